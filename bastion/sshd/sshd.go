// Package sshd is the front door: it listens, proves who comes, and turns each
// SSH session channel, and each channel that a client forwards to a target, into
// a [bastion.Session].
//
// Who somebody is comes from one place, the permissions of the authentication
// that succeeded, and they are made in one function, admit. Neither the name
// before the @, nor a key that was merely offered, nor anything that a library
// remembers of earlier attempts has a part in it. The identity is asked for
// again at each channel, so that a connection that stays open for hours does
// not outlive its binding.
//
// Of gliderlabs/ssh this package uses the handling of connections and the
// dispatch of channels. Authentication, session channels, terminals and limits
// are its own.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
)

// Identities is what the front door needs to know of people and keys.
type Identities interface {
	// Lookup returns the identity of a proved key. The error is
	// identity.ErrUnknown or wraps bastion.ErrExpired where signing in helps.
	Lookup(fingerprint string) (bastion.Identity, error)
	// SignIn binds the proved key from.Key to whoever signs in.
	SignIn(ctx context.Context, from bastion.Origin, show func(bastion.SignInPrompt) error) (bastion.Identity, error)
	// ForKey says who somebody is now, while their key counts.
	ForKey(fingerprint string) bastion.Identities
}

// Config is what a [Server] is made of. All fields but Forward and Limits are needed.
type Config struct {
	HostKeys   []gossh.Signer
	Identities Identities
	// Start makes the session of a visitor. Its error is shown to the visitor as
	// it is, so it must hold no target's data.
	Start func(context.Context, Visitor) (*bastion.Session, error)
	// Serve does what the visitor came for and returns the exit code. When the
	// session's context ends it must return soon; the cause is shown after it.
	// Of a forwarded channel nobody sees code or cause: Serve says what there is to
	// say in the client's own protocol. When it returns, nothing may write to the
	// channel any more.
	Serve func(*bastion.Session, Visitor) int
	// Forward says whether a channel may be forwarded, before it is accepted. Its
	// error is the message of the refusal, one sentence that says what to do: ssh
	// prints it after "open failed: connect failed: " where it wraps
	// bastion.ErrNotFound, else after "open failed: administratively prohibited: ".
	// If Forward is nil, nothing is forwarded.
	Forward func(bastion.Identity, bastion.Origin, Forward) error
	Limits  Limits
	Log     *slog.Logger
	Now     func() time.Time
}

// Limits bound what clients can take. Zero fields get the default.
type Limits struct {
	// Handshake is the time until a client has begun to exchange keys; 20 s.
	Handshake time.Duration
	// Login is the time until it has authenticated, in which a person may have to
	// confirm a host key and type a passphrase; 2 min. Signing in at the provider
	// has the time that the provider gives instead.
	Login time.Duration
	// Waiting is the number of connections that have not authenticated yet, in
	// total and from one address (IPv6: one /64); 1024 and 64. Where there are
	// more, the one with the least progress from the busiest address goes.
	Waiting, WaitingEach int
	// SignIns is the number of people who sign in at the provider at the same
	// time, in total and from one address; 256 and 16.
	SignIns, SignInsEach int
	// Tries is the number of failed attempts to authenticate per connection; 6.
	Tries int
	// Channels is the number of sessions on one connection; 10. Forwards is the
	// number of forwarded channels on one, such as a client's pool of database
	// connections; 256. Each may hold the 2 MiB that a client may send ahead.
	Channels, Forwards int
	// Requests is the number of requests per second on one connection; 1000. More
	// have to wait.
	Requests int
	// KeepAlive is the silence after which a client is asked whether it is still
	// there; 30 s. After Misses more of them, 3, it is not.
	KeepAlive time.Duration
	Misses    int
	// Idle ends a session in which nothing happened for so long, and Longest one
	// that has lasted so long; 0 means never.
	Idle, Longest time.Duration
	// Drain is how long sessions may go on when the bastion stops; 0 ends them at
	// once. Grace is how long an ended session may take to say so; 5 s.
	Drain, Grace time.Duration
}

func (l *Limits) setDefaults() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&l.Handshake, 20 * time.Second}, {&l.Login, 2 * time.Minute}, {&l.KeepAlive, 30 * time.Second}, {&l.Grace, 5 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, n := range []struct {
		field *int
		value int
	}{{&l.Waiting, 1024}, {&l.WaitingEach, 64}, {&l.SignIns, 256}, {&l.SignInsEach, 16}, {&l.Tries, 6}, {&l.Channels, 10}, {&l.Forwards, 256}, {&l.Requests, 1000}, {&l.Misses, 3}} {
		if *n.field <= 0 {
			*n.field = n.value
		}
	}
}

// Visitor is somebody who proved who they are and wants a session.
type Visitor struct {
	Identity bastion.Identity
	Origin   bastion.Origin // with the fingerprint of the proved key
	Channel  bastion.Channel
	// User is the name typed before the @. It says what the visitor would like,
	// never who they are.
	User   string
	PTY    bool   // a terminal was asked for
	Term   string // its TERM, "dumb" if that was odd; empty without a terminal
	Window bastion.Window
	// Command is the text that came with ssh, unparsed; HasCommand tells an empty
	// one from none. It fits into one packet of 256 KiB: longer texts come as
	// input.
	Command    string
	HasCommand bool
	Env        map[string]string // of a short list of harmless names
	// Interrupts receives when the client sends an interrupt as a signal or a
	// break, instead of typing it.
	Interrupts <-chan struct{}
	// Forward is where a forwarded channel goes; nil for a session. Then Channel is
	// the client's connection in its own protocol, and User, PTY, Term, Window,
	// Command, Env and Interrupts say nothing. The end of what Channel has to read
	// means that the client's program will send no more: it may still read, or be
	// gone. Writes to Channel must come one after another. A read that still waits
	// when Serve returns ends with the channel.
	Forward *Forward
}

// Forward is a connection that a client wants forwarded (RFC 4254, section 7.2),
// all of it as the client says.
type Forward struct {
	Host string // letters, digits, ".", "-" and "_", at most 253 of them
	Port uint32 // 1 to 65535
	// From is who connected to the client, host and port; for the record only.
	From string
}

// String is host and port, for the log.
func (f *Forward) String() string {
	return net.JoinHostPort(f.Host, strconv.FormatUint(uint64(f.Port), 10))
}

// Causes that end a session, for the person to read.
var (
	errLeft     = fmt.Errorf("the client left: %w", bastion.ErrEnded)
	errStopping = errors.New("the bastion is stopping; connect again in a moment")
	// ErrPanic is the cause where a session's own code failed.
	ErrPanic = errors.New("internal error: this session failed and has ended; tell whoever runs the bastion")
)

// Server is the front door. Serve may be called once.
type Server struct {
	c        Config
	ssh      *ssh.Server
	base     gossh.ServerConfig // what all connections share
	gate     *gate
	stopping atomic.Bool
	quiet    counters

	noteMu  sync.Mutex // guards noted and unnoted
	noted   time.Time
	unnoted int

	mu     sync.Mutex // guards what follows
	conns  map[*conn]struct{}
	visits map[*visit]struct{}

	open  sync.WaitGroup // connections
	fewer chan struct{}  // receives after a connection or a visit ended
}

// New makes a server.
func New(c Config) (*Server, error) {
	if len(c.HostKeys) == 0 || c.Identities == nil || c.Start == nil || c.Serve == nil || c.Log == nil || c.Now == nil {
		return nil, errors.New("internal error: the front door needs host keys, identities, sessions, a log and a clock")
	}
	c.Limits.setDefaults()
	d := &Server{c: c, gate: newGate(c.Limits), conns: map[*conn]struct{}{}, visits: map[*visit]struct{}{}, fewer: make(chan struct{}, 1)}
	d.base = gossh.ServerConfig{
		Config: gossh.Config{
			KeyExchanges: []string{gossh.KeyExchangeMLKEM768X25519, gossh.KeyExchangeCurve25519},
			Ciphers:      []string{gossh.CipherChaCha20Poly1305, gossh.CipherAES256GCM, gossh.CipherAES128GCM, gossh.CipherAES256CTR, gossh.CipherAES128CTR},
			MACs:         []string{gossh.HMACSHA256ETM, gossh.HMACSHA512ETM},
		},
		PublicKeyAuthAlgorithms: []string{gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519, gossh.KeyAlgoSKECDSA256,
			gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521, gossh.KeyAlgoRSASHA256, gossh.KeyAlgoRSASHA512},
		MaxAuthTries:  c.Limits.Tries,
		ServerVersion: "SSH-2.0-Sallyport",
	}
	d.ssh = &ssh.Server{
		ConnCallback: func(ctx ssh.Context, nc net.Conn) net.Conn {
			c := nc.(*conn)
			c.library = ctx
			ctx.SetValue(connKey{}, c)
			return c
		},
		ServerConfigCallback:     func(ctx ssh.Context) *gossh.ServerConfig { return connOf(ctx).config() },
		ConnectionFailedCallback: func(net.Conn, error) { d.quiet.failed.Add(1) },
		ChannelHandlers: map[string]ssh.ChannelHandler{"default": func(_ *ssh.Server, sc *gossh.ServerConn, ch gossh.NewChannel, ctx ssh.Context) {
			connOf(ctx).channel(sc, ch)
		}},
		RequestHandlers: map[string]ssh.RequestHandler{"default": func(ctx ssh.Context, _ *ssh.Server, _ *gossh.Request) (bool, []byte) {
			// Nothing is granted on a connection as a whole: no forwarding, no
			// streams. A client's keepalive is content with a refusal, which is
			// what OpenSSH answers too.
			c := connOf(ctx)
			c.pace.wait(c.ctx)
			return false, nil
		}},
		SubsystemHandlers: map[string]ssh.SubsystemHandler{},
	}
	for _, k := range c.HostKeys {
		d.ssh.AddHostKey(k)
	}
	return d, nil
}

type connKey struct{}

func connOf(ctx ssh.Context) *conn { return ctx.Value(connKey{}).(*conn) }

// Serve accepts connections until ctx ends, then drains: new ones are refused,
// sessions may go on for a while, then end with a cause. It closes the listener
// and returns nil if everybody has gone, or why it could not go on.
func (d *Server) Serve(ctx context.Context, l net.Listener) error {
	closing := context.AfterFunc(ctx, func() { l.Close() })
	defer closing()
	sweeping, stop := context.WithCancel(context.Background())
	var sweeper sync.WaitGroup
	sweeper.Go(func() { d.sweep(sweeping) })
	err := d.accept(ctx, l)
	if cerr := l.Close(); err == nil && !errors.Is(cerr, net.ErrClosed) {
		err = cerr
	}
	err = errors.Join(err, d.drain())
	stop()
	sweeper.Wait()
	return err
}

func (d *Server) accept(ctx context.Context, l net.Listener) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting connections: %w", err)
		case err != nil:
			// Out of descriptors, or a client that left the queue: it passes.
			if pause = min(max(2*pause, 5*time.Millisecond), time.Second); pause == time.Second {
				d.c.Log.Warn("cannot accept connections; trying again", "error", err)
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		c := d.newConn(nc)
		d.open.Go(func() {
			defer c.Close()
			// A fault in the handshake must cost one connection, not all.
			d.guard("connection", func() error { d.ssh.HandleConn(c); return nil })
		})
	}
}

// drain ends what is left.
func (d *Server) drain() error {
	d.stopping.Store(true)
	d.closeConns(func(c *conn) bool { return c.sessions.Load()+c.forwards.Load() == 0 })
	if !d.wait(d.c.Limits.Drain, func() bool { return len(d.visits) == 0 }) {
		d.mu.Lock()
		for v := range d.visits {
			v.end(errStopping)
		}
		d.mu.Unlock()
		d.wait(3*d.c.Limits.Grace, func() bool { return len(d.visits) == 0 })
	}
	// A client hangs up after its last session. Hanging up first could cost it
	// the last bytes.
	d.wait(min(time.Second, d.c.Limits.Grace), func() bool { return len(d.conns) == 0 })
	d.closeConns(func(*conn) bool { return true })
	if !d.wait(d.c.Limits.Grace, func() bool { return len(d.visits) == 0 }) {
		return errors.New("some sessions did not end in time")
	}
	d.open.Wait()
	return nil
}

func (d *Server) closeConns(which func(*conn) bool) {
	d.mu.Lock()
	var conns []*conn
	for c := range d.conns {
		if which(c) {
			conns = append(conns, c)
		}
	}
	d.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// wait returns true once ok is, which is asked under d.mu after each change.
func (d *Server) wait(most time.Duration, ok func() bool) bool {
	t := time.NewTimer(most)
	defer t.Stop()
	for {
		d.mu.Lock()
		is := ok()
		d.mu.Unlock()
		if is {
			return true
		}
		select {
		case <-d.fewer:
		case <-t.C:
			return false
		}
	}
}

// forgotten tells wait that a connection or a visit is no more.
func (d *Server) forgotten() {
	select {
	case d.fewer <- struct{}{}:
	default: // it has not yet heard of the last one
	}
}

// sweep looks after connections and sessions at intervals. One goroutine for
// all keeps an idle session small.
func (d *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(max(d.c.Limits.KeepAlive/6, 10*time.Millisecond))
	defer tick.Stop()
	told := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		d.mu.Lock()
		for c := range d.conns {
			c.check(now)
		}
		for v := range d.visits {
			v.check(now)
		}
		d.mu.Unlock()
		if now.Sub(told) >= time.Minute {
			told = now
			d.quiet.tell(d.c.Log)
		}
	}
}

// counters count what happens before anybody is known. They are told once a
// minute, so that no stranger can fill the log.
type counters struct{ failed, evicted, crowded atomic.Int64 }

func (q *counters) tell(log *slog.Logger) {
	f, e, w := q.failed.Swap(0), q.evicted.Swap(0), q.crowded.Swap(0)
	if f+e+w > 0 {
		log.Info("connections that did not authenticate", "failed", f, "evicted", e, "sign-ins refused", w)
	}
}

// note logs what clients can cause as often as they like: once in ten seconds,
// with the number of times that were left out. The cause may quote a provider.
func (d *Server) note(what string, err error) {
	d.noteMu.Lock()
	defer d.noteMu.Unlock()
	now := time.Now()
	if now.Sub(d.noted) < 10*time.Second {
		d.unnoted++
		return
	}
	cause := ""
	if c := errors.Unwrap(err); c != nil {
		cause = bastion.VisibleLine(c.Error())
		if len(cause) > 300 {
			cause = strings.ToValidUTF8(cause[:300], "") // not a part of a character
		}
	}
	d.c.Log.Warn(what, "error", err, "cause", cause, "left out", d.unnoted)
	d.noted, d.unnoted = now, 0
}

// guard runs f and turns a panic into ErrPanic. The log gets the stack but not
// the panic's value, which may hold a target's data.
func (d *Server) guard(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.c.Log.Error("panic", "in", what, "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = ErrPanic
		}
	}()
	return f()
}

// Go runs f in a goroutine that belongs to a session: a panic there ends that
// session and no other.
func (d *Server) Go(s *bastion.Session, f func()) {
	go func() { // ends with f
		if err := d.guard("goroutine of session "+s.ID(), func() error { f(); return nil }); err != nil {
			s.Fail(err)
		}
	}()
}
