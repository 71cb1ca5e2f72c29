package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInstalled is returned (wrapped) by [Find] and [Start] when there is no
// PostgreSQL server on this machine. The message around it says what to install.
var ErrNotInstalled = errors.New("the PostgreSQL server is not installed")

// installed are the places where packages put each version's programs.
var installed = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // postgresql.org packages for Red Hat
	"/opt/homebrew/opt/postgresql@*/bin", // Homebrew
	"/usr/local/opt/postgresql@*/bin",
}

// Find returns the directory with PostgreSQL's server programs (postgres, initdb):
// the one pg_config names, or else the newest version installed in a usual place.
// pg_config alone does not count: it also comes with the client library.
func Find() (string, error) {
	return find(installed)
}

func find(places []string) (string, error) {
	if pgConfig, err := exec.LookPath("pg_config"); err == nil {
		if out, err := exec.Command(pgConfig, "--bindir").Output(); err == nil {
			if dir := strings.TrimSpace(string(out)); hasServer(dir) {
				return dir, nil
			}
		}
	}
	for _, place := range places {
		dirs, err := filepath.Glob(place)
		if err != nil {
			return "", fmt.Errorf("looking for PostgreSQL in %q: %w", place, err)
		}
		slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
		for _, dir := range dirs {
			if hasServer(dir) {
				return dir, nil
			}
		}
	}
	return "", notInstalled()
}

func notInstalled() error {
	install := "apt-get install postgresql"
	if runtime.GOOS == "darwin" {
		install = "brew install postgresql@17"
	}
	return fmt.Errorf("%w (no initdb and postgres programs found); install it with: %s", ErrNotInstalled, install)
}

func hasServer(dir string) bool {
	for _, program := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(dir, program)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// version is the number in a folder's path, as 15 in /usr/lib/postgresql/15/bin.
// Before 10 a version has two parts; those are too old to matter.
func version(dir string) int {
	name := filepath.Base(filepath.Dir(dir))
	n, err := strconv.Atoi(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz-@"))
	if err != nil {
		return 0
	}
	return n
}
