package sshd_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/sshd"
)

func TestKnownKey(t *testing.T) {
	d := newDoor(t, nil)
	got := make(chan sshd.Visitor, 1)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int { got <- v; return 0 })
	key := newSigner(t)
	who := d.people.know(key.PublicKey(), "alice")
	run(t, d.dial(t, key), "whoami --json")
	v := <-got
	if !v.Identity.Equal(who) || v.Origin.Key != ssh.FingerprintSHA256(key.PublicKey()) || !strings.HasPrefix(v.Origin.Address, "127.0.0.1:") || v.Origin.Client != "SSH-2.0-Go" {
		t.Errorf("%+v", v)
	}
	if v.User != "someone" || v.Command != "whoami --json" || !v.HasCommand || v.PTY || v.Term != "" {
		t.Errorf("%+v", v)
	}
}

// The library that holds the configuration turns authentication off where it
// finds none of its own handlers set. It must not matter.
func TestNoneIsRefused(t *testing.T) {
	d := newDoor(t, nil)
	if c, err := ssh.Dial("tcp", d.address, clientConfig("root")); err == nil {
		c.Close()
		t.Fatal("let in with no credentials")
	}
	c := dialRaw(t, d.address)
	for range 3 {
		c.must(c.send(request("root", "none")))
		if p := c.next(msgAuthFailure); !strings.Contains(string(p), "publickey") || strings.Contains(string(p), "keyboard") {
			t.Errorf("methods %q", p)
		}
	}
	for _, m := range []ssh.AuthMethod{ssh.Password("x"), ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) { return nil, nil })} {
		if c, err := ssh.Dial("tcp", d.address, clientConfig("root", m)); err == nil {
			c.Close()
			t.Error("let in without a key")
		}
	}
	if d.starts.Load() != 0 {
		t.Error("a session began")
	}
}

// Pitfall 1: OpenSSH with nothing but somebody's public key. The server says
// that the key would do, the client cannot sign, and goes on to other methods.
func TestOfferedKeyProvesNothing(t *testing.T) {
	d := newDoor(t, nil)
	path, victim := keyFile(t)
	d.people.know(victim, "victim")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, errs, code := result(t, d.openSSH(t, path+".pub", "localhost", "whoami"))
	if code != 255 || d.starts.Load() != 0 || d.people.signs.Load() != 0 || d.people.lookups.Load() != 0 {
		t.Errorf("exit code %d, %d sessions, %d sign-ins, %d lookups: %s", code, d.starts.Load(), d.people.signs.Load(), d.people.lookups.Load(), errs)
	}

	// By hand: offer the victim's key, then claim that the next step is due.
	c := dialRaw(t, d.address)
	c.must(c.send(offer("victim", victim)))
	c.next(msgAuthOK)
	c.must(c.send(request("victim", "keyboard-interactive", text(""), text(""))))
	c.next(msgAuthFailure)

	// Offer the victim's, prove one's own: what signs in is one's own.
	own := newSigner(t)
	signedIn := make(chan string, 1)
	d.people.signing(func(_ context.Context, from bastion.Origin, _ func(bastion.SignInPrompt) error) (bastion.Identity, error) {
		signedIn <- from.Key
		return bastion.Identity{}, errors.New("denied")
	})
	c = dialRaw(t, d.address)
	c.must(c.send(offer("victim", victim)))
	c.next(msgAuthOK)
	c.must(c.send(c.signed("victim", own)))
	c.next(msgAuthFailure) // in part
	c.must(c.send(offer("victim", victim)))
	c.next(msgAuthFailure) // keys are no longer asked for
	c.must(c.send(request("victim", "keyboard-interactive", text(""), text(""))))
	if k := <-signedIn; k != ssh.FingerprintSHA256(own.PublicKey()) {
		t.Errorf("%s signed in", k)
	}
	c.next(msgAuthOK)
	c.must(c.send([]byte{msgAuthInfo, 0, 0, 0, 0}))
	c.closed()
}

// A wrong signature, and one of another session, end the connection.
func TestWrongSignatures(t *testing.T) {
	d := newDoor(t, nil)
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	other := dialRaw(t, d.address)
	for name, change := range map[string]func(*raw) []byte{
		"replayed": func(*raw) []byte { return other.signed("alice", key) },
		"flipped":  func(c *raw) []byte { p := c.signed("alice", key); p[len(p)-1] ^= 1; return p },
		"another key's": func(c *raw) []byte {
			return c.signed("alice", wrongKey{newSigner(t), key.PublicKey()})
		},
	} {
		c := dialRaw(t, d.address)
		c.must(c.send(change(c)))
		if c.closed(); d.people.lookups.Load() != 0 {
			t.Errorf("%s: the key was looked up", name)
		}
	}
}

type wrongKey struct {
	ssh.Signer
	public ssh.PublicKey
}

func (w wrongKey) PublicKey() ssh.PublicKey { return w.public }

// Pitfall 2: one attempt as alice, the next as bob. No honest client does it.
func TestUserNameSwitch(t *testing.T) {
	d := newDoor(t, nil)
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	for name, first := range map[string]func(*raw) []byte{
		"after none":     func(*raw) []byte { return request("alice", "none") },
		"after an offer": func(*raw) []byte { return offer("alice", newSigner(t).PublicKey()) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, d.address)
			c.must(c.send(first(c)))
			if _, err := c.read(); err != nil {
				t.Fatal(err)
			}
			c.must(c.send(c.signed("bob", key)))
			c.closed()
		})
	}
	t.Run("after a part", func(t *testing.T) {
		c := dialRaw(t, d.address)
		c.must(c.send(c.signed("alice", newSigner(t))))
		c.next(msgAuthFailure)
		c.must(c.send(request("bob", "keyboard-interactive", text(""), text(""))))
		c.closed()
	})
	t.Run("endless name", func(t *testing.T) {
		c := dialRaw(t, d.address)
		c.must(c.send(c.signed(strings.Repeat("a", 257), key)))
		c.closed()
	})
	if d.starts.Load() != 0 || d.people.signs.Load() != 0 {
		t.Errorf("%d sessions, %d sign-ins", d.starts.Load(), d.people.signs.Load())
	}
}

// Pitfall 3: a thousand keys that are offered and never proved leave nothing.
func TestOffersLeaveNoTrace(t *testing.T) {
	d := newDoor(t, nil)
	for range 10 {
		c := dialRaw(t, d.address)
		for range 100 {
			c.must(c.send(offer("someone", newSigner(t).PublicKey())))
			c.next(msgAuthOK)
		}
		c.conn.Close()
	}
	until(t, "the connections to end", func() bool { return d.Conns() == 0 })
	if d.people.lookups.Load() != 0 || d.people.signs.Load() != 0 || d.log.String() != "" {
		t.Errorf("%d lookups, %d sign-ins, log %q", d.people.lookups.Load(), d.people.signs.Load(), d.log)
	}
}

// A known key and an unknown one are answered alike when offered.
func TestOffersTellNothing(t *testing.T) {
	d := newDoor(t, nil)
	known, unknown, revoked := newSigner(t).PublicKey(), newSigner(t).PublicKey(), newSigner(t).PublicKey()
	d.people.know(known, "alice")
	d.people.set(revoked, errors.New("your access was revoked"))
	for _, k := range []ssh.PublicKey{known, unknown, revoked} {
		c := dialRaw(t, d.address)
		c.must(c.send(offer("alice", k)))
		want := append([]byte{msgAuthOK}, append(text(k.Type()), text(string(k.Marshal()))...)...)
		if p := c.next(msgAuthOK); !bytes.Equal(p, want) {
			t.Errorf("answer %q", p)
		}
	}
}

// Pitfall 4: nothing of a failed attempt is left in the one that succeeds, and
// nobody gets what another connection proved.
func TestAttemptsShareNothing(t *testing.T) {
	d := newDoor(t, nil)
	revoked, good := newSigner(t), newSigner(t)
	d.people.know(revoked.PublicKey(), "mallory")
	d.people.set(revoked.PublicKey(), errors.New("your access to this bastion was revoked"))
	d.people.know(good.PublicKey(), "alice")
	c, err := ssh.Dial("tcp", d.address, clientConfig("mallory", ssh.PublicKeys(revoked, good)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if out, _, _ := run(t, c, "x"); out != "hello alice" {
		t.Errorf("after a refused key: %q", out)
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			name := fmt.Sprint("person", i)
			if out, _, _ := run(t, d.visitor(t, name), "x"); out != "hello "+name {
				t.Errorf("%s got %q", name, out)
			}
		})
	}
	all.Wait()
}

func TestRefusedKeysSayWhy(t *testing.T) {
	d := newDoor(t, nil)
	banner := func(keys ...ssh.Signer) string {
		var said strings.Builder
		config := clientConfig("a", ssh.PublicKeys(keys...))
		config.BannerCallback = func(m string) error { said.WriteString(m); return nil }
		if c, err := ssh.Dial("tcp", d.address, config); err == nil {
			c.Close()
			t.Error("let in")
		}
		return said.String()
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := ssh.NewSignerFromKey(small)
	if err != nil {
		t.Fatal(err)
	}
	ca, user := newSigner(t), newSigner(t)
	cert := &ssh.Certificate{Key: user.PublicKey(), CertType: ssh.UserCert, KeyId: "x", ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(cert, user)
	if err != nil {
		t.Fatal(err)
	}
	d.people.know(user.PublicKey(), "alice") // the key alone would do
	revoked := newSigner(t)
	d.people.set(revoked.PublicKey(), errors.New("your access to this bastion was revoked; ask whoever runs it"))
	if s := banner(weak); !strings.Contains(s, "2048 bits") {
		t.Errorf("short RSA: %q", s)
	}
	if s := banner(certified); !strings.Contains(s, "certificates") {
		t.Errorf("certificate: %q", s)
	}
	if s := banner(revoked); !strings.Contains(s, "revoked") {
		t.Errorf("revoked: %q", s)
	}
	if s := banner(certified, weak, certified); strings.Count(s, "sallyport:") != 1 {
		t.Errorf("said more than once: %q", s)
	}
	if d.starts.Load() != 0 {
		t.Error("a session began")
	}
}

func TestKeyTypes(t *testing.T) {
	d := newDoor(t, nil)
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []any{ec, long} {
		s, err := ssh.NewSignerFromKey(k)
		if err != nil {
			t.Fatal(err)
		}
		d.people.know(s.PublicKey(), "alice")
		if out, _, _ := run(t, d.dial(t, s), "x"); out != "hello alice" {
			t.Errorf("%s: %q", s.PublicKey().Type(), out)
		}
		// SHA-1 is not among the signatures.
		if s.PublicKey().Type() == ssh.KeyAlgoRSA {
			old, err := ssh.NewSignerWithAlgorithms(s.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
			if err != nil {
				t.Fatal(err)
			}
			if c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(old))); err == nil {
				c.Close()
				t.Error("let in by SHA-1")
			}
		}
	}
}

// skKey is a security key in software, which says itself whether it was touched.
type skKey struct {
	private ed25519.PrivateKey
	public  ssh.PublicKey
	flags   byte
}

func newSKKey(t *testing.T, flags byte) skKey {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Name string
		Key  []byte
		App  string
	}{ssh.KeyAlgoSKED25519, pub, "ssh:"}))
	if err != nil {
		t.Fatal(err)
	}
	return skKey{private, public, flags}
}

func (k skKey) PublicKey() ssh.PublicKey { return k.public }

func (k skKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	app, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	end := []byte{k.flags, 0, 0, 0, 1}
	signed := slices.Concat(app[:], end, message[:])
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.private, signed), Rest: end}, nil
}

// Pitfall 11: a security key that nobody touched proves nothing.
func TestSecurityKeys(t *testing.T) {
	d := newDoor(t, nil)
	touched, untouched := newSKKey(t, 1), newSKKey(t, 0)
	d.people.know(touched.public, "alice")
	d.people.know(untouched.public, "mallory")
	if out, _, _ := run(t, d.dial(t, touched), "x"); out != "hello alice" {
		t.Errorf("got %q", out)
	}
	if c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(untouched))); err == nil {
		c.Close()
		t.Error("let in without a touch")
	}
	if n := d.starts.Load(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Pitfall 24: what is not on the lists is not spoken, asked by the real client.
func TestAlgorithms(t *testing.T) {
	d := newDoor(t, nil)
	path, key := keyFile(t)
	d.people.know(key, "alice")
	for option, want := range map[string]bool{
		"KexAlgorithms=curve25519-sha256":             true,
		"KexAlgorithms=curve25519-sha256@libssh.org":  true,
		"KexAlgorithms=ecdh-sha2-nistp256":            false,
		"KexAlgorithms=diffie-hellman-group14-sha256": false,
		"KexAlgorithms=diffie-hellman-group14-sha1":   false,
		"Ciphers=chacha20-poly1305@openssh.com":       true,
		"Ciphers=aes256-gcm@openssh.com":              true,
		"Ciphers=aes128-ctr":                          true,
		"Ciphers=aes128-cbc":                          false,
		"Ciphers=3des-cbc":                            false,
		"HostKeyAlgorithms=ssh-ed25519":               true,
		"HostKeyAlgorithms=ssh-rsa":                   false,
		"PubkeyAcceptedAlgorithms=ssh-ed25519":        true,
	} {
		_, errs, code := result(t, d.openSSH(t, path, "-o", option, "localhost", "x"))
		if (code == 0) != want {
			t.Errorf("%s: exit code %d: %s", option, code, errs)
		}
	}
	for mac, want := range map[string]bool{"hmac-sha2-256-etm@openssh.com": true, "hmac-sha2-512-etm@openssh.com": true, "hmac-sha2-256": false, "hmac-sha1": false} {
		_, errs, code := result(t, d.openSSH(t, path, "-o", "Ciphers=aes128-ctr", "-o", "MACs="+mac, "localhost", "x"))
		if (code == 0) != want {
			t.Errorf("%s: exit code %d: %s", mac, code, errs)
		}
	}
}

// signingIn is a provider that a test answers.
type signingIn struct {
	shown chan bastion.SignInPrompt
	reply chan error // nil signs in
	ended chan error // why the wait ended, where the client left
}

func (d *door) signingIn(name string) signingIn {
	p := signingIn{make(chan bastion.SignInPrompt, 1), make(chan error, 1), make(chan error, 1)}
	d.people.signing(func(ctx context.Context, from bastion.Origin, show func(bastion.SignInPrompt) error) (bastion.Identity, error) {
		prompt := bastion.SignInPrompt{Address: "https://id.example/device", Code: "ABCD-EFGH", Direct: "https://id.example/device?code=ABCD-EFGH",
			Key: from.Key, Expires: time.Now().Add(5 * time.Minute)}
		if err := show(prompt); err != nil {
			return bastion.Identity{}, err
		}
		p.shown <- prompt
		select {
		case err := <-p.reply:
			if err != nil {
				return bastion.Identity{}, err
			}
		case <-ctx.Done():
			p.ended <- context.Cause(ctx)
			return bastion.Identity{}, context.Cause(ctx)
		}
		d.people.mu.Lock()
		defer d.people.mu.Unlock()
		who := bastion.Identity{Issuer: "https://id.example", Subject: name, Kind: bastion.Person, Name: name, Expires: time.Now().Add(12 * time.Hour)}
		d.people.known[from.Key] = who
		delete(d.people.errs, from.Key)
		return who, nil
	})
	return p
}

// prompts is a client's keyboard, and remembers what it was shown.
type prompts struct {
	mu   sync.Mutex
	said []string
}

func (p *prompts) method() ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(name, instruction string, questions []string, _ []bool) ([]string, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.said = append(p.said, name+instruction+strings.Join(questions, ""))
		return make([]string, len(questions)), nil
	})
}

func (p *prompts) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said, "\n---\n")
}

func TestFirstSignIn(t *testing.T) {
	for name, first := range map[string]error{"unknown": nil, "expired": bastion.ErrExpired} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, nil)
			key := newSigner(t)
			d.people.set(key.PublicKey(), first)
			p := d.signingIn("alice")
			p.reply <- nil
			var keyboard prompts
			c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(key), keyboard.method()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if out, _, _ := run(t, c, "x"); out != "hello alice" {
				t.Errorf("got %q", out)
			}
			said := keyboard.text()
			for _, want := range []string{"https://id.example/device\n", "ABCD-EFGH", ssh.FingerprintSHA256(key.PublicKey()), "Signed in as alice.", "5 minutes"} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is missing in:\n%s", want, said)
				}
			}
			if strings.Contains(said, "expired") != (first != nil) {
				t.Errorf("said:\n%s", said)
			}
			// The next time the key alone is enough.
			if out, _, _ := run(t, d.dial(t, key), "x"); out != "hello alice" {
				t.Errorf("the second time: %q", out)
			}
			if n := d.people.signs.Load(); n != 1 {
				t.Errorf("%d sign-ins", n)
			}
		})
	}
}

func TestFailedSignIn(t *testing.T) {
	d := newDoor(t, nil)
	p := d.signingIn("alice")
	p.reply <- errors.New("the sign-in was denied at the identity provider; nothing was bound\x1b[2J")
	path, _ := keyFile(t)
	_, errs, code := result(t, d.openSSH(t, path, "localhost", "x"))
	if code != 255 || !strings.Contains(errs, "Not signed in: the sign-in was denied at the identity provider") || strings.Contains(errs, "\x1b") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	// One code only: the client would ask for the next by itself.
	if n := d.people.signs.Load(); n != 1 || d.starts.Load() != 0 {
		t.Errorf("%d sign-ins, %d sessions", n, d.starts.Load())
	}
}

// The client hangs up while the person is at the provider: nobody waits on.
func TestClientLeavesDuringSignIn(t *testing.T) {
	d := newDoor(t, nil)
	p := d.signingIn("alice")
	path, _ := keyFile(t)
	cmd := d.openSSH(t, path, "localhost", "x")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-p.shown
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := <-p.ended; !errors.Is(err, bastion.ErrEnded) {
		t.Errorf("ended with %v", err)
	}
	until(t, "the connection to end", func() bool { return d.Conns() == 0 })
}

// A client that cannot ask its user anything learns what to do.
func TestBatchMode(t *testing.T) {
	d := newDoor(t, nil)
	path, _ := keyFile(t)
	_, errs, code := result(t, d.openSSH(t, path, "-o", "BatchMode=yes", "localhost", "x"))
	if code != 255 || !strings.Contains(errs, "connect once from a terminal") || d.people.signs.Load() != 0 {
		t.Errorf("exit code %d, %d sign-ins: %s", code, d.people.signs.Load(), errs)
	}
}

func TestSignInLimits(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.SignInsEach = 2 })
	p := d.signingIn("alice")
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() {
			var keyboard prompts
			c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(newSigner(t)), keyboard.method()))
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
		<-p.shown
	}
	if n := d.Waiting(); n != 0 {
		t.Errorf("%d people who sign in count as waiting", n)
	}
	var keyboard prompts
	if c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(newSigner(t)), keyboard.method())); err == nil {
		c.Close()
		t.Error("a third one got in")
	}
	if s := keyboard.text(); !strings.Contains(s, "too many people are signing in") {
		t.Errorf("said %q", s)
	}
	// Known keys are not concerned.
	if out, _, _ := run(t, d.visitor(t, "rita"), "x"); out != "hello rita" {
		t.Errorf("got %q", out)
	}
	p.reply <- nil
	p.reply <- nil
	waiting.Wait()
	p.reply <- nil // the places are free again
	c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(newSigner(t)), (&prompts{}).method()))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// deadlines is a listener whose connections remember until when they may live.
type deadlines struct {
	net.Listener
	last atomic.Pointer[time.Time]
}

type deadlined struct {
	net.Conn
	l *deadlines
}

func (l *deadlines) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return deadlined{c, l}, err
}

func (c deadlined) SetDeadline(t time.Time) error {
	c.l.last.Store(&t)
	return c.Conn.SetDeadline(t)
}

// Who signs in has the time that the code has; who is in has no end.
func TestDeadlines(t *testing.T) {
	d := newDoor(t, nil)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &deadlines{Listener: inner}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	p := d.signingIn("alice")
	began := time.Now()
	server := d.another(t)
	go func() { served <- server.Serve(ctx, l) }()
	done := make(chan error, 1)
	key := newSigner(t)
	go func() {
		c, err := ssh.Dial("tcp", l.Addr().String(), clientConfig("a", ssh.PublicKeys(key), (&prompts{}).method()))
		if err == nil {
			defer c.Close()
			_, _, err = c.SendRequest("keepalive@openssh.com", true, nil)
		}
		done <- err
	}()
	<-p.shown
	if until := *l.last.Load(); until.Before(began.Add(5 * time.Minute)) {
		t.Errorf("who signs in is cut off at %s, the code ends at %s", until, began.Add(5*time.Minute))
	}
	p.reply <- nil
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if until := *l.last.Load(); !until.IsZero() {
		t.Errorf("who is in is cut off at %s", until)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestHandshakeDeadline(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.Handshake = 50 * time.Millisecond })
	for _, first := range []string{"", "SSH-2.0-slow\r\n", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("x", 300)} {
		c, err := net.Dial("tcp", d.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(first)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for err == nil {
			_, err = c.Read(buf)
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%q: the server did not hang up", first)
		}
	}
	until(t, "the connections to end", func() bool { return d.Conns() == 0 && d.Waiting() == 0 })
}

func TestTooManyTries(t *testing.T) {
	d := newDoor(t, nil)
	c := dialRaw(t, d.address)
	for range 7 {
		if c.send(request("a", "password", []byte{0}, text("x"))) != nil {
			break
		}
	}
	if s := c.closed(); !strings.Contains(s, "too many authentication failures") {
		t.Errorf("said %q", s)
	}
}

// Who is not in yet cannot make the bastion hold much.
func TestBytesBeforeLogin(t *testing.T) {
	d := newDoor(t, nil)
	c := dialRaw(t, d.address)
	ignore := append([]byte{2}, text(strings.Repeat("x", 100_000))...)
	for range 6 {
		if c.send(ignore) != nil {
			break
		}
	}
	c.closed()
	until(t, "the connection to end", func() bool { return d.Conns() == 0 })
}

// Pitfall 14: failures fill neither log nor memory.
func TestFailuresAreQuiet(t *testing.T) {
	d := newDoor(t, nil)
	began := time.Now()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				if c, err := ssh.Dial("tcp", d.address, clientConfig("root", ssh.Password("x"))); err == nil {
					c.Close()
					t.Error("let in")
				}
				// A sign-in that fails is as cheap.
				if c, err := ssh.Dial("tcp", d.address, clientConfig("root", ssh.PublicKeys(newSigner(t)), (&prompts{}).method())); err == nil {
					c.Close()
					t.Error("let in")
				}
			}
		})
	}
	all.Wait()
	until(t, "the connections to end", func() bool { return d.Conns() == 0 && d.Waiting() == 0 })
	// One line in ten seconds, and a count once a minute.
	most := 2 + int(time.Since(began)/(10*time.Second)) + int(time.Since(began)/time.Minute)
	if n := strings.Count(d.log.String(), "\n"); n > most {
		t.Errorf("400 failures wrote %d lines:\n%s", n, d.log)
	}
}

// Pitfall 16: a flood of connections that never go on keeps nobody out, from
// another address or from the same.
func TestHalfOpenFlood(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.Waiting, c.Limits.WaitingEach = 100, 40 })
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	login := func(from string) {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		nc, err := dialer.Dial("tcp", d.address)
		if err != nil {
			t.Fatal(err)
		}
		sc, chans, reqs, err := ssh.NewClientConn(nc, d.address, clientConfig("a", ssh.PublicKeys(key)))
		if err != nil {
			t.Fatalf("from %s: %v", from, err)
		}
		c := ssh.NewClient(sc, chans, reqs)
		defer c.Close()
		if out, _, _ := run(t, c, "x"); out != "hello alice" {
			t.Errorf("from %s: %q", from, out)
		}
	}
	for i := range 1000 {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprint("127.0.0.", 2+i%5))}}
		c, err := dialer.Dial("tcp", d.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%250 == 249 {
			login("127.0.0.1")
			login("127.0.0.2") // floods
		}
	}
	until(t, "the flood to be counted", func() bool { return d.Conns() <= 101 })
	if n := d.Waiting(); n > 100 {
		t.Errorf("%d connections wait", n)
	}
	if n := strings.Count(d.log.String(), "\n"); n > 40 {
		t.Errorf("the flood wrote %d lines", n)
	}
}

// Pitfall 24, the prompt: the real client cuts long text and has only ASCII.
func TestPromptText(t *testing.T) {
	p := bastion.SignInPrompt{Address: "https://id.example/device", Code: "ABCD-EFGH", Key: "SHA256:" + strings.Repeat("x", 43), Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	short := sshd.PromptText(p, 5*time.Minute, false)
	p.Direct = "https://id.example/" + strings.Repeat("d", 490)
	long := sshd.PromptText(p, 90*time.Second, true)
	p.Address = "https://id.example/" + strings.Repeat("a", 490)
	longest := sshd.PromptText(p, time.Second, true)
	for _, s := range []string{short, long, longest} {
		if len(s) > 1023 {
			t.Errorf("%d bytes", len(s))
		}
		for _, r := range s {
			if r >= 0x7f || r < ' ' && r != '\n' {
				t.Errorf("character %q", r)
			}
		}
		if !strings.Contains(s, p.Code) || !strings.Contains(s, p.Key) || !strings.Contains(s, "03:04:05 UTC") {
			t.Errorf("incomplete: %s", s)
		}
	}
	if !strings.Contains(long, p.Direct) || strings.Contains(longest, p.Direct) {
		t.Error("the filled-in address is there where it fits, and only there")
	}
}

// The identity comes from our own permissions alone. What the library
// remembers, and its helpers, are wrong in ways that let one user in as another.
func TestForbiddenNames(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ctx.User()", "ctx.Permissions()", ".PublicKey()", "PublicKeyHandler", "PasswordHandler", "KeyboardInteractiveHandler",
			"DefaultSessionHandler", "DirectTCPIPHandler", "ForwardedTCPHandler", "AgentRequested", "NewAgentListener", "ForwardAgentConnections",
			"ssh.Session", "ssh.Handler", "ssh.Handle(", "ssh.Pty", "ContextKeyUser", "ContextKeyPublicKey", "ContextKeyPermissions", "InsecureIgnoreHostKey"} {
			if strings.Contains(string(b), name) {
				t.Errorf("%s uses %s", file, name)
			}
		}
	}
}
