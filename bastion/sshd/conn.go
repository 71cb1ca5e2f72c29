package sshd

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// conn is one client's connection.
type conn struct {
	net.Conn
	d       *Server
	from    netip.Prefix
	began   time.Time
	library ssh.Context
	ctx     context.Context // ends with the connection
	cancel  context.CancelCauseFunc
	pace    pace
	prompt  func() // acknowledges what was read; nil if it cannot

	spoke    atomic.Bool   // the client sent something since the last check
	heard    time.Time     // when a check last found that; guarded by d.mu
	received atomic.Int64  // bytes
	in       atomic.Bool   // authenticated
	asking   atomic.Bool   // a keepalive is on its way
	sessions atomic.Int32  // channels open
	forwards atomic.Int32  // forwarded channels open
	opening  atomic.Int32  // channels that have neither been accepted nor refused yet
	calmer   chan struct{} // receives after opening went down
	closing  sync.Once

	asked atomic.Int32 // forwarded channels whose clients have sent something since they were last answered
	out   out

	// Used by the one goroutine that authenticates.
	preauth gossh.ServerPreAuthConn
	user    *string // the name of the first attempt
	told    bool    // what is wrong with an offered key
}

// keysBegun is how many bytes a client has sent when it has begun to exchange
// keys: its first packet lists algorithms and has about a thousand.
const keysBegun = 512

// Limits that no honest client meets: bytes before authentication is complete,
// which the library may have to hold while a person signs in, and channels that
// wait for an answer.
const (
	maxBefore  = 512 << 10
	maxOpening = 64
)

func (d *Server) newConn(nc net.Conn) *conn {
	now := time.Now()
	c := &conn{Conn: nc, d: d, from: prefix(nc.RemoteAddr()), began: now, pace: pace{rate: float64(d.c.Limits.Requests)}, calmer: make(chan struct{}, 1), out: out{dst: nc}}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.heard, c.prompt = now, prompt(nc)
	c.deadline(now.Add(d.c.Limits.Handshake))
	d.mu.Lock()
	d.conns[c] = struct{}{}
	d.mu.Unlock()
	if victim := d.gate.enter(c); victim != nil {
		d.quiet.evicted.Add(1)
		victim.Close()
	}
	return c
}

// prefix is what counts as one address: an IPv4 address, or the /64 that an
// IPv6 client commands as a whole.
func prefix(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	// The library starts a goroutine for each channel that a client opens, as
	// fast as they come. Not reading on is the only way to hold it back.
	for c.opening.Load() > maxOpening {
		select {
		case <-c.calmer:
		case <-c.ctx.Done():
			return 0, context.Cause(c.ctx)
		}
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		mark(&c.spoke)
		if c.prompt != nil && c.forwards.Load() > 0 {
			c.prompt()
		}
		if !c.in.Load() {
			before := c.received.Add(int64(n)) - int64(n)
			if before < keysBegun && before+int64(n) >= keysBegun {
				c.deadline(c.began.Add(c.d.c.Limits.Login))
			}
			if before+int64(n) > maxBefore {
				c.Close()
				return 0, errLeft
			}
		}
	}
	if err != nil {
		c.cancel(errLeft) // also ends a sign-in that waits
	}
	return n, err
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (int, error) {
	if !c.in.Load() {
		return c.Conn.Write(p)
	}
	return c.out.Write(p)
}

// mark notes for the next check that something happened. It is called for each
// piece of data, so it costs neither a look at the clock nor, most of the time, a
// write to memory that others read.
func mark(flag *atomic.Bool) {
	if !flag.Load() {
		flag.Store(true)
	}
}

// answered counts a channel that was accepted or refused.
func (c *conn) answered() {
	if c.opening.Add(-1) <= maxOpening {
		select {
		case c.calmer <- struct{}{}:
		default: // the reader has not yet heard of the last one
		}
	}
}

// SetDeadline does nothing: the library sets and clears deadlines at each read
// and write, which would lift ours.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, like SetDeadline.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, like SetDeadline.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// deadline ends the connection at a time; the zero time never does.
func (c *conn) deadline(t time.Time) {
	if err := c.Conn.SetDeadline(t); err != nil {
		c.Close() // a connection without its deadline could stay for ever
	}
}

// Close ends the connection and gives back what it held.
func (c *conn) Close() error {
	var err error
	c.closing.Do(func() {
		err = c.Conn.Close()
		c.cancel(errLeft)
		c.d.gate.leave(c)
		c.d.mu.Lock()
		delete(c.d.conns, c)
		c.d.mu.Unlock()
		c.d.forgotten()
	})
	return err
}

// check asks a silent client whether it is there. The caller holds d.mu.
func (c *conn) check(now time.Time) {
	if !c.in.Load() {
		return
	}
	l := c.d.c.Limits
	if c.spoke.Swap(false) {
		c.heard = now
	}
	silent := now.Sub(c.heard)
	switch {
	case silent >= l.KeepAlive*time.Duration(l.Misses+1):
		go c.Close() // Close takes d.mu
	case silent >= l.KeepAlive && c.asking.CompareAndSwap(false, true):
		sc, ok := c.library.Value(ssh.ContextKeyConn).(*gossh.ServerConn)
		if !ok {
			c.asking.Store(false)
			return
		}
		// Ends with the answer or with the connection. An error means the latter.
		go func() {
			defer c.asking.Store(false)
			sc.SendRequest("keepalive@openssh.com", true, nil)
		}()
	}
}

// pace makes those who ask too often wait.
type pace struct {
	rate float64 // per second, and as many at once

	mu     sync.Mutex // guards what follows
	tokens float64
	last   time.Time
}

// wait returns when the next request may be handled, or when ctx ends.
func (p *pace) wait(ctx context.Context) {
	p.mu.Lock()
	now := time.Now()
	if p.last.IsZero() {
		p.tokens = p.rate
	}
	p.tokens = min(p.rate, p.tokens+now.Sub(p.last).Seconds()*p.rate) - 1
	p.last = now
	owed := time.Duration(-p.tokens / p.rate * float64(time.Second))
	p.mu.Unlock()
	if owed <= 0 {
		return
	}
	t := time.NewTimer(owed)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// gate counts connections that have not authenticated, and sign-ins. Nobody is
// kept out because others wait: the newcomer comes in, and of the address that
// holds most the connection with the least progress goes.
type gate struct {
	limits Limits

	mu      sync.Mutex               // guards what follows
	waiting map[netip.Prefix][]*conn // oldest first
	total   int
	signing map[netip.Prefix]int
	signers int
}

func newGate(l Limits) *gate {
	return &gate{limits: l, waiting: map[netip.Prefix][]*conn{}, signing: map[netip.Prefix]int{}}
}

// enter counts a connection in and returns one that has to go, or nil.
func (g *gate) enter(c *conn) (victim *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting[c.from]) >= g.limits.WaitingEach {
		victim = g.least(c.from)
	} else if g.total >= g.limits.Waiting {
		busiest := c.from
		for p, conns := range g.waiting {
			if len(conns) > len(g.waiting[busiest]) {
				busiest = p
			}
		}
		victim = g.least(busiest)
	}
	if victim != nil {
		g.remove(victim)
	}
	g.waiting[c.from] = append(g.waiting[c.from], c)
	g.total++
	return victim
}

// least returns the connection that has sent least, the oldest of them.
func (g *gate) least(p netip.Prefix) (victim *conn) {
	for _, c := range g.waiting[p] {
		if victim == nil || c.received.Load() < victim.received.Load() {
			victim = c
		}
	}
	return victim
}

// leave counts a connection out, if it is still counted.
func (g *gate) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(c)
}

func (g *gate) remove(c *conn) {
	conns := g.waiting[c.from]
	for i := range conns {
		if conns[i] == c {
			g.total--
			if len(conns) == 1 {
				delete(g.waiting, c.from)
				return
			}
			g.waiting[c.from] = append(conns[:i:i], conns[i+1:]...)
			return
		}
	}
}

// signIn counts a sign-in, which no longer counts as waiting. ok is false if
// there are too many.
func (g *gate) signIn(c *conn) (done func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.signers >= g.limits.SignIns || g.signing[c.from] >= g.limits.SignInsEach {
		return nil, false
	}
	g.remove(c)
	g.signers++
	g.signing[c.from]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.signers--
		if g.signing[c.from]--; g.signing[c.from] == 0 {
			delete(g.signing, c.from)
		}
	}, true
}
