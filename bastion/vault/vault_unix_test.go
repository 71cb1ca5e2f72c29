//go:build unix

package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/vault"
)

// canary is the secret that nothing may tell.
const canary = "c4n4ry-s3cret"

var shop = bastion.Target{Name: "shop"}

var _ bastion.Secrets = (*vault.Vault)(nil)

// file writes a file of a mode and returns its path.
func file(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret-"+canary) // the path is not for everybody either
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// fetch asks a vault with one credential for it.
func fetch(t *testing.T, s vault.Source) (string, error) {
	t.Helper()
	secret, err := vault.New(map[string]vault.Credential{"shop": {User: "app", Password: s}}).Secret(t.Context(), shop)
	user, password := secret.Reveal()
	if err == nil && user != "app" {
		t.Errorf("user is %q", user)
	}
	if err != nil && (user != "" || password != "") {
		t.Error("a secret came with an error")
	}
	return password, err
}

func TestSources(t *testing.T) {
	t.Setenv("VAULT_TEST", canary)
	t.Setenv("VAULT_EMPTY", "")
	long := strings.Repeat("x", vault.Most)
	for _, c := range []struct {
		name   string
		source vault.Source
		want   string
		fails  string
	}{
		{"environment", vault.Source{Env: "VAULT_TEST"}, canary, ""},
		{"environment, empty", vault.Source{Env: "VAULT_EMPTY"}, "", "environment variable: the secret is empty"},
		{"environment, not set", vault.Source{Env: "VAULT_" + canary}, "", "environment variable: it is not set"},
		{"file", vault.Source{File: file(t, canary, 0o600)}, canary, ""},
		{"file, read only", vault.Source{File: file(t, canary, 0o400)}, canary, ""},
		{"file, one line", vault.Source{File: file(t, canary+"\n", 0o600)}, canary, ""},
		{"file, one line of another system", vault.Source{File: file(t, canary+"\r\n", 0o600)}, canary, ""},
		{"file, only one line end goes", vault.Source{File: file(t, canary+" \n\n", 0o600)}, canary + " \n", ""},
		{"file, others read", vault.Source{File: file(t, canary, 0o604)}, "", "file: its mode is 0604, so others can read or change it; use chmod 0600"},
		{"file, others write", vault.Source{File: file(t, canary, 0o602)}, "", "use chmod 0600"},
		{"file, group writes", vault.Source{File: file(t, canary, 0o620)}, "", "use chmod 0600"},
		{"file, missing", vault.Source{File: "/nowhere/" + canary}, "", "file: no such file or directory"},
		{"file, a directory", vault.Source{File: t.TempDir()}, "", "file: it is not a regular file"},
		{"file, a device", vault.Source{File: "/dev/zero"}, "", "file: it is not a regular file"},
		{"file, empty", vault.Source{File: file(t, "", 0o600)}, "", "file: the secret is empty"},
		{"file, one line end alone", vault.Source{File: file(t, "\n", 0o600)}, "", "file: the secret is empty"},
		{"file, as long as may be", vault.Source{File: file(t, long+"\n", 0o600)}, long, ""},
		{"file, too long", vault.Source{File: file(t, long+"x", 0o600)}, "", "file: the secret has more than 65536 bytes"},
		{"file, far too long", vault.Source{File: file(t, long+long, 0o600)}, "", "more than 65536 bytes"},
		{"file, no text", vault.Source{File: file(t, canary+"\xff", 0o600)}, "", "file: the secret is not valid UTF-8"},
		{"file, a zero byte", vault.Source{File: file(t, canary+"\x00", 0o600)}, "", "file: the secret has a zero byte"},
		{"command", vault.Source{Command: []string{"printf", "%s\\n", canary}}, canary, ""},
		{"command, no shell", vault.Source{Command: []string{"printf", "%s", "$HOME;`id`"}}, "$HOME;`id`", ""},
		{"command, fails", vault.Source{Command: []string{"sh", "-c", "echo " + canary + "; echo " + canary + " >&2; exit 3"}}, "", "command: it failed (exit status 3)"},
		{"command, words of warning", vault.Source{Command: []string{"sh", "-c", "echo warning >&2; echo " + canary}}, canary, ""},
		{"command, missing", vault.Source{Command: []string{"/nowhere/" + canary}}, "", "command: it could not be run"},
		{"command, silent", vault.Source{Command: []string{"true"}}, "", "command: the secret is empty"},
		{"command, endless", vault.Source{Command: []string{"yes", canary}}, "", "command: it wrote more than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := fetch(t, c.source)
			if got != c.want {
				t.Errorf("got %d bytes, want %d", len(got), len(c.want))
			}
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "fetching the password of target shop: ") {
				t.Errorf("does not name the target: %v", err)
			}
			if s := fmt.Sprintf("%v %+v %#v %q", err, err, err, err); strings.Contains(s, canary) {
				t.Errorf("the error tells: %s", s)
			}
		})
	}
}

func TestGroupReadsRootsFile(t *testing.T) {
	path := file(t, canary, 0o640)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	root := info.Sys().(*syscall.Stat_t).Uid == 0 // whoever runs the test
	if _, err := fetch(t, vault.Source{File: path}); (err == nil) != root {
		t.Errorf("owned by root: %v, error %v", root, err)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Setenv("VAULT_TEST", canary)
	sources := []vault.Source{{Env: "VAULT_TEST"}, {File: "/" + canary}, {Command: []string{"fetch", "--token", canary}}, {}}
	for _, s := range sources {
		c := vault.Credential{User: "app", Password: s}
		v := vault.New(map[string]vault.Credential{"shop": c})
		j, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		secret, _ := v.Secret(t.Context(), shop)
		js, err := json.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		all := fmt.Sprintf("%v %+v %#v %s %q %v %+v %#v", s, s, s, s, s, c, c, c) +
			fmt.Sprintf("%v %+v %#v %v %+v %#v", *v, *v, *v, secret, secret, secret) + string(j) + string(js)
		if strings.Contains(all, canary) {
			t.Errorf("tells: %s", all)
		}
	}
}

func TestNoCredential(t *testing.T) {
	v := vault.New(map[string]vault.Credential{"open": {User: "app"}})
	if _, err := v.Secret(t.Context(), shop); err == nil || err.Error() != "target shop has no credential in the configuration" {
		t.Errorf("got %v", err)
	}
	s, err := v.Secret(t.Context(), bastion.Target{Name: "open"})
	if user, password := s.Reveal(); err != nil || user != "app" || password != "" {
		t.Errorf("got %v", err)
	}
	if _, err := (*vault.Vault)(nil).Secret(t.Context(), shop); err == nil {
		t.Error("no vault gave a secret")
	}
	if _, err := (vault.Source{}).Read(t.Context()); err == nil {
		t.Error("no source gave a secret")
	}
}

// TestAskedAnew checks that nothing is fetched before it is asked for, and that a
// changed secret is the next answer.
func TestAskedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counted")
	v := vault.New(map[string]vault.Credential{"shop": {User: "app", Password: vault.Source{Command: []string{"sh", "-c", `printf x >> "$0"; cat "$0"`, path}}}})
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the command ran before anybody asked: %v", err)
	}
	for _, want := range []string{"x", "xx"} {
		s, err := v.Secret(t.Context(), shop)
		if _, password := s.Reveal(); err != nil || password != want {
			t.Fatalf("got %q, %v", password, err)
		}
	}
}

// TestWhatACommandLeaves has a command that ends, while what it started keeps its
// output open.
func TestWhatACommandLeaves(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := (vault.Source{Command: []string{"sh", "-c", `exec 3> "$0"; sleep 1000 & echo ` + canary, fifo}}).Read(t.Context())
		done <- err
	}()
	r, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "kept its output open") {
		t.Errorf("got %v", err)
	}
	gone(t, r)
}

// gone checks that nobody holds the other end of a pipe any more.
func gone(t *testing.T, r *os.File) {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the inner command still runs: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestCancelEndsTheCommand has a command that starts another and waits for it.
func TestCancelEndsTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := errors.New("the session has ended")
	done := make(chan error, 1)
	go func() {
		_, err := (vault.Source{Command: []string{"sh", "-c", `sleep 1000 > "$0" & wait; echo ` + canary, fifo}}).Read(ctx)
		done <- err
	}()
	r, err := os.Open(fifo) // returns once the inner command has opened it too
	if err != nil {
		t.Fatal(err)
	}
	cancel(ended)
	if err := <-done; !errors.Is(err, ended) {
		t.Errorf("got %v", err)
	}
	gone(t, r)
}
