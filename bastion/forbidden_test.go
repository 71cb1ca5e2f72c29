package bastion_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each program in testdata/forbidden tries to get round the path, and says in a
// comment what the compiler must answer. One that compiles is a hole.
func TestForbiddenProgramsDoNotCompile(t *testing.T) {
	programs, err := filepath.Glob("testdata/forbidden/*/main.go")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	want := regexp.MustCompile(`(?m)^// want: (.*)$`)
	for _, p := range programs {
		t.Run(filepath.Base(filepath.Dir(p)), func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			m := want.FindSubmatch(src)
			if m == nil {
				t.Fatal("the program does not say what it wants")
			}
			out, err := exec.Command("go", "build", "-o", os.DevNull, "./"+filepath.Dir(p)).CombinedOutput()
			if err == nil {
				t.Fatal("the program compiles")
			}
			if !strings.Contains(string(out), string(m[1])) {
				t.Errorf("the compiler says\n%s\nwant %q", out, m[1])
			}
		})
	}
}
