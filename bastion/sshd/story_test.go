package sshd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/demo/idp"
	"github.com/sallyport/sallyport/bastion/identity"
	"github.com/sallyport/sallyport/bastion/sshd"
	"github.com/sallyport/sallyport/bastion/store"
)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	add time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.add)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add += d
}

// realDoor is a door before real identities, kept in a real store, proved at a
// real provider.
func realDoor(t testing.TB) (*door, *idp.Provider, *identity.Keeper, *clock) {
	t.Helper()
	provider, err := idp.Start(context.Background(), idp.Options{PollInterval: time.Second, Hold: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { provider.Close() })
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &clock{}
	keeper, err := identity.New(identity.Config{DB: db, Now: c.Now, Append: func(store.Tx, bastion.Event) error { return nil },
		Provider: identity.Provider{Issuer: provider.Issuer(), ClientID: idp.ClientID}})
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, func(_ *door, config *sshd.Config) { config.Identities, config.Now = keeper, c.Now })
	return d, provider, keeper, c
}

// terminal is a person at a terminal with the real client.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	file io.ReadWriteCloser

	mu     sync.Mutex
	screen bytes.Buffer
	more   chan struct{}
}

func (d *door) terminal(t *testing.T, key string, args ...string) *terminal {
	t.Helper()
	term := &terminal{t: t, cmd: d.openSSH(t, key, append([]string{"-o", "LogLevel=INFO"}, args...)...), more: make(chan struct{}, 1)}
	term.cmd.Env = append(term.cmd.Env, "TERM=xterm-256color", "LANG=C.UTF-8")
	file, err := pty.StartWithSize(term.cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	term.file = file
	t.Cleanup(func() { file.Close() })
	go func() { // ends with the terminal
		defer close(term.more)
		buf := make([]byte, 4096)
		for {
			n, err := file.Read(buf)
			term.mu.Lock()
			term.screen.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case term.more <- struct{}{}:
			default:
			}
		}
	}()
	return term
}

func (p *terminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ReplaceAll(p.screen.String(), "\r", "")
}

// expect waits until the screen matches and returns the first group.
func (p *terminal) expect(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(time.Minute)
	for {
		if m := re.FindStringSubmatch(p.text()); m != nil {
			return m[len(m)-1]
		}
		select {
		case _, ok := <-p.more:
			if !ok && re.FindString(p.text()) == "" {
				p.t.Fatalf("the client ended; waited for %q in:\n%s", pattern, p.text())
			}
		case <-late:
			p.t.Fatalf("waited in vain for %q in:\n%s", pattern, p.text())
		}
	}
}

// end waits for the client and returns its exit code.
func (p *terminal) end() int {
	p.t.Helper()
	for range p.more {
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

const codePattern = `Code +([A-Z]{4}-[A-Z]{4})\n`

// The whole first visit: the real client at a terminal, the real provider.
func TestFirstVisit(t *testing.T) {
	d, provider, keeper, clock := realDoor(t)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		fmt.Fprintf(s.Terminal(), "hello %s of %v on %s %dx%d\r\n", s.Who().Name, s.Who().Groups, v.Term, v.Window.Width, v.Window.Height)
		in := s.Terminal().Input()
		defer in.Close()
		b := make([]byte, 1)
		if _, err := in.Read(b); err != nil {
			return 1
		}
		return int(b[0])
	})
	path, key := keyFile(t)

	p := d.terminal(t, path, "localhost")
	code := p.expect(codePattern)
	p.expect("Ctrl-C gives up")
	for _, want := range []string{"This key is not signed in yet.", provider.DevicePage() + "\n", ssh.FingerprintSHA256(key), "UTC, in "} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("%q is missing in:\n%s", want, p.text())
		}
	}
	if strings.Contains(p.text(), `\0`) || strings.Contains(p.text(), `\3`) {
		t.Errorf("the client had to escape something:\n%s", p.text())
	}
	if _, err := keeper.Lookup(ssh.FingerprintSHA256(key)); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("bound before the sign-in: %v", err)
	}
	if err := provider.SignIn(t.Context(), code, "alice", "alice", true); err != nil {
		t.Fatal(err)
	}
	p.expect(`Signed in as alice\. This key alone lets you in until`)
	p.expect(`hello alice of \[deployers\] on xterm-256color 80x24`)
	if _, err := p.file.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != 7 {
		t.Errorf("exit code %d:\n%s", code, p.text())
	}

	// From now on the key is enough, also for scripts.
	d.serves(func(s *bastion.Session, _ sshd.Visitor) int { fmt.Fprint(s.Terminal(), s.Who().Name); return 0 })
	if out, errs, code := result(t, d.openSSH(t, path, "-o", "BatchMode=yes", "localhost", "whoami")); out != "alice" || code != 0 {
		t.Errorf("%q, code %d: %s", out, code, errs)
	}

	// The binding ends: the same step again. This time she says no.
	clock.advance(12 * time.Hour)
	p = d.terminal(t, path, "localhost")
	p.expect("Your sign-in has expired")
	if err := provider.SignIn(t.Context(), p.expect(codePattern), "alice", "alice", false); err != nil {
		t.Fatal(err)
	}
	p.expect("Not signed in: the sign-in was denied at the identity provider; nothing was bound")
	if code := p.end(); code != 255 {
		t.Errorf("exit code %d", code)
	}

	// Her access is taken away.
	clock.advance(-12 * time.Hour)
	if err := keeper.Lock(bastion.Identity{}, mustLookup(t, keeper, key).ID(), "left"); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := result(t, d.openSSH(t, path, "localhost", "whoami")); code != 255 || !strings.Contains(errs, "you are locked out of this bastion") {
		t.Errorf("revoked: code %d: %s", code, errs)
	}

	// The provider is down.
	if err := provider.Close(); err != nil {
		t.Fatal(err)
	}
	other, _ := keyFile(t)
	p = d.terminal(t, other, "localhost")
	p.expect("Not signed in: the identity provider cannot be reached; try again later")
	if code := p.end(); code != 255 {
		t.Errorf("exit code %d", code)
	}
}

// Another person's sign-in with a key that is bound is refused at the door too.
func TestAnothersKey(t *testing.T) {
	d, provider, keeper, _ := realDoor(t)
	path, key := keyFile(t)
	visit := func(as, says string) {
		t.Helper()
		p := d.terminal(t, path, "localhost")
		if err := provider.SignIn(t.Context(), p.expect(codePattern), as, as, true); err != nil {
			t.Fatal(err)
		}
		p.expect(says)
		p.end()
	}
	visit("alice", "hello alice")
	alice := mustLookup(t, keeper, key)
	// Her binding ends before its time.
	if err := errors.Join(keeper.Lock(alice, alice.ID(), "left"), keeper.Unlock(alice, alice.ID())); err != nil {
		t.Fatal(err)
	}
	visit("rita", "Not signed in: this key belongs to somebody else")
	if who, err := keeper.Lookup(ssh.FingerprintSHA256(key)); !errors.Is(err, bastion.ErrExpired) {
		t.Errorf("the key is %+v, %v", who, err)
	}
	visit("alice", "hello alice")
}

func mustLookup(t *testing.T, k *identity.Keeper, key ssh.PublicKey) bastion.Identity {
	t.Helper()
	who, err := k.Lookup(ssh.FingerprintSHA256(key))
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// BenchmarkLogin is a full login: TCP, key exchange, an Ed25519 key that the
// store knows, one command with its exit code.
func BenchmarkLogin(b *testing.B) {
	d, _, config := boundDoor(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c, err := ssh.Dial("tcp", d.address, config)
			if err != nil {
				b.Error(err)
				return
			}
			s, err := c.NewSession()
			if err == nil {
				err = s.Run("true")
			}
			if err != nil {
				b.Error(err)
				return
			}
			c.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

// boundDoor is a real door that knows one key as a service's.
func boundDoor(b testing.TB) (*door, *identity.Keeper, *ssh.ClientConfig) {
	b.Helper()
	db, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	key := newSigner(b)
	keeper, err := identity.New(identity.Config{DB: db, Now: time.Now, Append: func(store.Tx, bastion.Event) error { return nil },
		Provider: identity.Provider{Issuer: "https://id.example", ClientID: "x"},
		Services: []identity.Service{{Name: "bot", Keys: []string{string(ssh.MarshalAuthorizedKey(key.PublicKey()))}}}})
	if err != nil {
		b.Fatal(err)
	}
	d := newDoor(b, func(d *door, config *sshd.Config) {
		config.Identities, config.Limits.WaitingEach = keeper, 1024
	})
	d.serves(func(*bastion.Session, sshd.Visitor) int { return 0 })
	return d, keeper, clientConfig("bot", ssh.PublicKeys(key))
}
