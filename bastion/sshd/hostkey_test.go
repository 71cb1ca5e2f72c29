package sshd_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion/sshd"
)

func TestHostKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host")
	keys := make([]ssh.Signer, 20)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = sshd.HostKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for _, k := range keys {
		if !bytes.Equal(k.PublicKey().Marshal(), keys[0].PublicKey().Marshal()) {
			t.Fatal("not everybody got the same key")
		}
	}
	if keys[0].PublicKey().Type() != ssh.KeyAlgoED25519 {
		t.Errorf("a key of type %s", keys[0].PublicKey().Type())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if b, err := os.ReadFile(path); err != nil {
		t.Error(err)
	} else if block, _ := pem.Decode(b); block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		t.Errorf("not in OpenSSH's format: %s", b)
	}
	// OpenSSH reads it too.
	out, err := exec.Command("ssh-keygen", "-l", "-f", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), ssh.FingerprintSHA256(keys[0].PublicKey())) {
		t.Errorf("%s, %v", out, err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}

	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := sshd.HostKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by all: %v", err)
	}
	for name, content := range map[string]string{"empty": "", "junk": "hello"} {
		bad := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sshd.HostKey(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if b, err := os.ReadFile(bad); err != nil || string(b) != content {
			t.Errorf("%s: was replaced", name)
		}
	}
	if _, err := sshd.HostKey(filepath.Join(path, "below", "a", "file")); err == nil {
		t.Error("made a key nowhere")
	}
}
