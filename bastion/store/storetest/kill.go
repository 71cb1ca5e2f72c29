package storetest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childDir tells a test binary to be a child over the store in a directory.
const childDir = "SALLYPORT_TEST_DIR"

// Main is the TestMain of a package whose tests start children: the same binary
// runs child over the store of their directory in place of the tests.
func Main(m *testing.M, child func(dir string) error) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Child is the command of a child over the store of a directory, with further
// variables of its environment.
func Child(dir string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	return cmd
}

// Killed runs a child, and kills it when hear had as many lines of its output. It
// hears those, too, that the child writes before it dies. A child that ends by itself
// or complains fails the test.
func Killed(t *testing.T, dir string, lines int, hear func(line string)) {
	t.Helper()
	cmd := Child(dir)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for ; ; lines-- {
		if lines == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := r.ReadString('\n')
		if err == io.EOF {
			break // a line that was cut off was not told
		}
		if err != nil {
			t.Fatal(err)
		}
		hear(strings.TrimSuffix(line, "\n"))
	}
	if err := cmd.Wait(); err == nil || complaint.Len() > 0 {
		t.Fatalf("child ended by itself: %v\n%s", err, complaint.String())
	}
}
