package sshd_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/identity"
	"github.com/sallyport/sallyport/bastion/sshd"
)

// ---- what a session is made of, as far as the door is concerned

type policy struct{ bastion.Policy }

func (policy) Roles(bastion.Identity) []bastion.Role { return nil }

type (
	approvals struct{ bastion.Approvals }
	secrets   struct{ bastion.Secrets }
	archive   struct{ bastion.Archive }
)

// recorder keeps a recording in memory, and fails when it is told to.
type recorder struct {
	mu     sync.Mutex
	events []bastion.Event
	output bytes.Buffer
	sizes  []bastion.Window
	closed bool
	fail   error
}

func (r *recorder) Event(e bastion.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return r.fail
}

func (r *recorder) Output(p []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail == nil && r.output.Len() < 1<<20 {
		r.output.Write(p)
	}
	return r.fail
}

func (r *recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fail
}

func (r *recorder) Note(p []byte) error { return r.Output(p) }

func (r *recorder) Resize(w, h int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes = append(r.sizes, bastion.Window{Width: w, Height: h})
	return r.fail
}

func (r *recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.fail
}

func (r *recorder) sealed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *recorder) breakNow(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

func (r *recorder) ends() (ends []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == bastion.EventEnd {
			ends = append(ends, e.Error)
		}
	}
	return ends
}

// people is a table of keys, and counts what it is asked.
type people struct {
	mu      sync.Mutex
	known   map[string]bastion.Identity
	errs    map[string]error // of Lookup, instead
	lookups atomic.Int64
	signs   atomic.Int64
	signIn  func(ctx context.Context, from bastion.Origin, show func(bastion.SignInPrompt) error) (bastion.Identity, error)
}

func newPeople() *people {
	return &people{known: map[string]bastion.Identity{}, errs: map[string]error{}}
}

func (p *people) know(key ssh.PublicKey, name string) bastion.Identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	who := bastion.Identity{Issuer: "https://id.example", Subject: name, Kind: bastion.Person, Name: name}
	p.known[ssh.FingerprintSHA256(key)] = who
	return who
}

func (p *people) set(key ssh.PublicKey, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs[ssh.FingerprintSHA256(key)] = err
}

// signing changes what the next sign-ins do.
func (p *people) signing(f func(ctx context.Context, from bastion.Origin, show func(bastion.SignInPrompt) error) (bastion.Identity, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signIn = f
}

func (p *people) Lookup(fingerprint string) (bastion.Identity, error) {
	p.lookups.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.errs[fingerprint]; err != nil {
		return bastion.Identity{}, err
	}
	who, ok := p.known[fingerprint]
	if !ok {
		return bastion.Identity{}, identity.ErrUnknown
	}
	return who, nil
}

func (p *people) SignIn(ctx context.Context, from bastion.Origin, show func(bastion.SignInPrompt) error) (bastion.Identity, error) {
	p.signs.Add(1)
	p.mu.Lock()
	signIn := p.signIn
	p.mu.Unlock()
	if signIn == nil {
		return bastion.Identity{}, errors.New("the identity provider cannot be reached; try again later")
	}
	return signIn(ctx, from, show)
}

type keyOf struct {
	p           *people
	fingerprint string
}

func (p *people) ForKey(fingerprint string) bastion.Identities { return keyOf{p, fingerprint} }

func (k keyOf) Current(context.Context, bastion.Identity) (bastion.Identity, error) {
	return k.p.Lookup(k.fingerprint)
}

// ---- the door

type door struct {
	*sshd.Server
	t       testing.TB
	address string
	port    string
	people  *people
	log     *safeBuffer
	stop    context.CancelFunc
	served  chan error
	config  sshd.Config

	start  func(context.Context, sshd.Visitor) error // before the session is made
	starts atomic.Int64

	mu        sync.Mutex // guards what follows
	serve     func(*bastion.Session, sshd.Visitor) int
	recorders []*recorder
	number    int
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newDoor opens a door. Without change, sessions say who came and end with 0.
func newDoor(t testing.TB, change func(*door, *sshd.Config)) *door {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{t: t, people: newPeople(), log: &safeBuffer{}, served: make(chan error, 1)}
	d.serve = func(s *bastion.Session, v sshd.Visitor) int {
		fmt.Fprintf(s.Terminal(), "hello %s", s.Who().Name)
		return 0
	}
	c := sshd.Config{
		HostKeys: []ssh.Signer{host}, Identities: d.people, Now: time.Now,
		Log:   slog.New(slog.NewTextHandler(d.log, nil)),
		Start: d.session,
		Serve: func(s *bastion.Session, v sshd.Visitor) int {
			d.mu.Lock()
			serve := d.serve
			d.mu.Unlock()
			return serve(s, v)
		},
	}
	if change != nil {
		change(d, &c)
	}
	d.config = c
	d.Server, err = sshd.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = l.Addr().String()
	_, d.port, _ = net.SplitHostPort(d.address)
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	go func() { d.served <- d.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-d.served; err != nil {
			t.Errorf("serving: %v", err)
		}
		d.served <- nil // for a test that waits too
	})
	return d
}

// serves changes what the next sessions do.
func (d *door) serves(f func(*bastion.Session, sshd.Visitor) int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serve = f
}

// another makes a server like the door's, for a listener of the test's own.
func (d *door) another(t testing.TB) *sshd.Server {
	t.Helper()
	s, err := sshd.New(d.config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *door) session(ctx context.Context, v sshd.Visitor) (*bastion.Session, error) {
	d.starts.Add(1)
	if d.start != nil {
		if err := d.start(ctx, v); err != nil {
			return nil, err
		}
	}
	r := &recorder{}
	d.mu.Lock()
	d.number++
	id := fmt.Sprint("s", d.number)
	d.recorders = append(d.recorders, r)
	d.mu.Unlock()
	return bastion.NewSession(ctx, bastion.Config{ID: id, Identity: v.Identity, Origin: v.Origin, Channel: v.Channel, Term: v.Term, Window: v.Window,
		Policy: policy{}, Approvals: approvals{}, Identities: d.people.ForKey(v.Origin.Key), Secrets: secrets{}, Recorder: r, Archive: archive{}, Now: time.Now})
}

// recording returns the n-th session's recorder.
func (d *door) recording(n int) *recorder {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if n >= len(d.recorders) {
		d.t.Fatalf("there are %d sessions, not %d", len(d.recorders), n+1)
	}
	return d.recorders[n]
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func clientConfig(user string, methods ...ssh.AuthMethod) *ssh.ClientConfig {
	return &ssh.ClientConfig{User: user, Auth: methods, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
}

// dial logs in with a key.
func (d *door) dial(t testing.TB, key ssh.Signer) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", d.address, clientConfig("someone", ssh.PublicKeys(key)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// visitor makes a key that belongs to somebody, and logs in with it.
func (d *door) visitor(t testing.TB, name string) *ssh.Client {
	t.Helper()
	key := newSigner(t)
	d.people.know(key.PublicKey(), name)
	return d.dial(t, key)
}

// run runs a command and returns what it printed, with its exit code.
func run(t testing.TB, c *ssh.Client, command string) (out, errs string, code int) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var o, e bytes.Buffer
	s.Stdout, s.Stderr = &o, &e
	err = s.Run(command)
	var exit *ssh.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running %q: %v", command, err)
	}
	if exit != nil {
		code = exit.ExitStatus()
	}
	return o.String(), e.String(), code
}

// until polls for a state that another process or goroutine brings about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// keyFile writes a private key for OpenSSH.
func keyFile(t testing.TB) (path string, public ssh.PublicKey) {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	public, err = ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "key")
	if err := errors.Join(os.WriteFile(path, pem.EncodeToMemory(block), 0o600), os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(public), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path, public
}

// openSSH is the real client.
func (d *door) openSSH(t testing.TB, key string, args ...string) *exec.Cmd {
	t.Helper()
	all := append([]string{"-F", "none", "-p", d.port, "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null"}, args...)
	cmd := exec.CommandContext(t.Context(), "ssh", all...)
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK=", "DISPLAY=", "SSH_ASKPASS_REQUIRE=never")
	return cmd
}

// result runs a client to its end.
func result(t testing.TB, cmd *exec.Cmd) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// echo serves a visitor by sending back what comes.
func echo(s *bastion.Session, _ sshd.Visitor) int {
	in := s.Terminal().Input()
	defer in.Close()
	if _, err := io.Copy(s.Terminal(), in); err != nil {
		return 1
	}
	return 0
}

// untilEnd serves a visitor by waiting for the session's end.
func untilEnd(s *bastion.Session, _ sshd.Visitor) int {
	<-s.Context().Done()
	return 0
}

// What is quoted of a long cause ends with a whole character.
func TestNoteCutsBetweenCharacters(t *testing.T) {
	for shift := range 4 {
		d := newDoor(t, nil)
		d.Note("refused", fmt.Errorf("outer: %w", errors.New(strings.Repeat("x", shift)+strings.Repeat("\u20ac", 200))))
		log := d.log.String()
		if !strings.Contains(log, "\u20ac\u20ac\u20ac") || strings.Contains(log, `\xe2`) || strings.Contains(log, "\ufffd") || strings.Count(log, "\u20ac") > 400 {
			t.Errorf("%d: %s", shift, log)
		}
	}
}
