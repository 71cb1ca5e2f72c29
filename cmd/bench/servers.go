package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	gliderlabs "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion/demo/idp"
)

// bastion is a running demo.
type bastion struct {
	cmd     *exec.Cmd
	addr    string
	keyFile string // of the service account ci-bot
	url     string // to reach the staging database without the bastion
}

// startSallyport starts the demo and waits until it says that it is ready.
func startSallyport(binary, dir string) (*bastion, error) {
	cmd := exec.Command(binary, "demo", "--dir", filepath.Join(dir, "demo"), "--listen", "127.0.0.1:0", "--provider", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b := &bastion{cmd: cmd, keyFile: filepath.Join(dir, "demo", "keys", "ci-bot")}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if a, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			b.addr = a
		}
		if !strings.HasPrefix(lines.Text(), "Configuration") {
			continue
		}
		go io.Copy(io.Discard, out) // ends with the demo
		if b.url, err = databaseURL(filepath.Join(dir, "demo")); err == nil {
			err = b.signIn()
		}
		if err != nil {
			b.stop()
		}
		return b, err
	}
	b.stop()
	return nil, errors.New("the demo ended before it was ready")
}

// databaseURL reads from the demo's configuration how to reach its database.
func databaseURL(dir string) (string, error) {
	config, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return "", err
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?s)address: (\S+).*?database: (\w+), sslmode: (\S+), ca: (\S+) \}.*?user: (\w+),`).FindStringSubmatch(string(config))
	if m == nil {
		return "", errors.New("the demo's configuration names no database")
	}
	u := url.URL{Scheme: "postgres", Host: m[1], Path: "/" + m[2], User: url.UserPassword(m[5], strings.TrimSpace(string(password))),
		RawQuery: url.Values{"sslmode": {m[3]}, "sslrootcert": {m[4]}}.Encode()}
	return u.String(), nil
}

// signIn has alice sign in once: a service works only when its owner is known.
func (b *bastion) signIn() error {
	key, err := readKey(filepath.Join(filepath.Dir(b.keyFile), "alice"))
	if err != nil {
		return err
	}
	address := regexp.MustCompile(`(https?://\S+user_code=\S+)`)
	c, err := ssh.Dial("tcp", b.addr, &ssh.ClientConfig{User: "alice", HostKeyCallback: anyHost,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key), ssh.KeyboardInteractive(func(_, text string, questions []string, _ []bool) ([]string, error) {
			if m := address.FindString(text); m != "" {
				go func() { // the bastion waits for it
					if err := idp.SignIn(context.Background(), m, "", "alice", "alice", true); err != nil {
						fmt.Fprintln(os.Stderr, "bench: signing in:", err)
					}
				}()
			}
			return make([]string, len(questions)), nil
		})}})
	if err != nil {
		return fmt.Errorf("alice signs in: %w", err)
	}
	return c.Close()
}

// anyHost is for servers that this program started itself.
func anyHost(string, net.Addr, ssh.PublicKey) error { return nil }

func (b *bastion) stop() {
	b.cmd.Process.Signal(os.Interrupt)
	b.cmd.Wait()
}

// sshd is OpenSSH's server with a configuration of its own.
type sshd struct {
	cmd     *exec.Cmd
	addr    string
	user    string
	keyFile string
}

// startSSHD starts OpenSSH's server on a free port for the key.
func startSSHD(dir, keyFile string) (*sshd, error) {
	path := "/usr/sbin/sshd"
	if p, err := exec.LookPath("sshd"); err == nil {
		path = p
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(host, "")
	if err != nil {
		return nil, err
	}
	signer, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "sshd")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // its privilege separation wants it
			return nil, err
		}
	}
	config := fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %[2]s/host
AuthorizedKeysFile %[2]s/authorized
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
UsePAM no
MaxStartups 1000:30:2000
MaxSessions 1000
PidFile none
PrintMotd no
PrintLastLog no
Subsystem empty internal-sftp
`, port, home)
	for name, data := range map[string][]byte{
		// The signer is a key that this program reads itself, not one that a client claims.
		"host": pem.EncodeToMemory(block), "authorized": ssh.MarshalAuthorizedKey(signer.PublicKey()), "config": []byte(config),
	} {
		if err := os.WriteFile(filepath.Join(home, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(path, "-D", "-e", "-f", filepath.Join(home, "config"))
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &sshd{cmd: cmd, addr: "127.0.0.1:" + strconv.Itoa(port), user: os.Getenv("USER"), keyFile: keyFile}
	if s.user == "" || os.Getuid() == 0 {
		s.user = "root"
	}
	for range 100 { // until it listens
		c, err := net.Dial("tcp", s.addr)
		if err == nil {
			return s, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("sshd does not listen: %s", log.String())
}

func (s *sshd) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// copyAt serves SSH at an address of this machine and forwards whatever whoever holds
// the key asks for. It is a baseline, and in no program but the benchmark: the library's
// own PublicKeyHandler and DirectTCPIPHandler, which the bastion does without, do here
// because there is one key, it may do all, nobody's name is taken from it, and behind it
// is a database that is thrown away.
func copyAt(addr, keyFile string) error {
	signer, err := readKey(keyFile)
	if err != nil {
		return err
	}
	server := &gliderlabs.Server{
		Addr: addr,
		// The signer is a key that this program reads itself, not one that a client claims.
		PublicKeyHandler: func(_ gliderlabs.Context, k gliderlabs.PublicKey) bool {
			return gliderlabs.KeysEqual(k, signer.PublicKey())
		},
		LocalPortForwardingCallback: func(gliderlabs.Context, string, uint32) bool { return true },
		ChannelHandlers:             map[string]gliderlabs.ChannelHandler{"direct-tcpip": gliderlabs.DirectTCPIPHandler},
	}
	return server.ListenAndServe()
}

func readKey(path string) (ssh.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(b)
}

// dial logs in with the one cipher and key exchange that both sides use.
func dial(addr, user string, key ssh.Signer) (*ssh.Client, error) {
	return ssh.Dial("tcp", addr, &ssh.ClientConfig{
		Config:          ssh.Config{KeyExchanges: []string{"curve25519-sha256"}, Ciphers: []string{"aes128-gcm@openssh.com"}},
		User:            user,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: anyHost,
	})
}
