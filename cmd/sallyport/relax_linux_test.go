package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// relaxed tells the test binary to relax, and to print the slack of its threads.
const relaxed = "SALLYPORT_TEST_RELAX"

func printSlack() {
	relax()
	fmt.Println(os.Args[1:])
	threads, _ := filepath.Glob("/proc/self/task/*")
	for _, path := range threads {
		b, err := os.ReadFile(filepath.Join("/proc", filepath.Base(path), "timerslack_ns"))
		if err == nil { // the thread is still there, and the system lets it be known
			fmt.Println(time.Duration(number(string(b))))
		}
	}
	fmt.Println(timerSlack())
}

func number(s string) (n int64) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

// Every thread may be woken late, those that were there before main began too, and
// the program is what it was.
func TestRelax(t *testing.T) {
	cmd := exec.Command(os.Args[0], "serve", "--config", "a b")
	cmd.Env = append(os.Environ(), relaxed+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if lines[0] != "[serve --config a b]" || len(lines) < 2 {
		t.Fatalf("%s", out)
	}
	for _, l := range lines[1:] {
		if l != "500µs" {
			t.Errorf("%s", out)
		}
	}
}
