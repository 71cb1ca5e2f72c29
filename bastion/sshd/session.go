package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
)

// channel handles a channel that the client opens: the one gate for all kinds.
func (c *conn) channel(sc *gossh.ServerConn, ch gossh.NewChannel) {
	if err := c.d.guard("channel", func() error {
		v, done, err := c.admitChannel(sc, ch)
		if v != nil {
			defer done()
			v.run()
		}
		return err
	}); err != nil {
		c.Close() // our own fault, and nobody knows in which state
	}
}

// admitChannel accepts or refuses a channel. If it accepts, done is to be called
// after the visit.
func (c *conn) admitChannel(sc *gossh.ServerConn, ch gossh.NewChannel) (v *visit, done func(), err error) {
	c.opening.Add(1)
	defer c.answered()
	// An error of Reject means that the connection is gone; so does the channel.
	reject := func(why gossh.RejectionReason, sentence string) (*visit, func(), error) {
		ch.Reject(why, bastion.VisibleLine(sentence))
		return nil, nil, nil
	}
	c.pace.wait(c.ctx)
	p, ok := proofOf(sc)
	if !ok {
		return nil, nil, errors.New("internal error: a channel without an identity")
	}
	open, most, what := &c.sessions, c.d.c.Limits.Channels, "sessions"
	var forward *Forward
	switch ch.ChannelType() {
	case "session":
	case "direct-tcpip":
		if c.d.c.Forward == nil {
			return reject(gossh.Prohibited, "this bastion does not forward; use: ssh bastion sql TARGET")
		}
		f, err := parseForward(ch.ExtraData())
		if err != nil {
			return reject(gossh.ConnectionFailed, err.Error())
		}
		forward = &f
		open, most, what = &c.forwards, c.d.c.Limits.Forwards, "forwarded connections"
	case "direct-streamlocal@openssh.com":
		return reject(gossh.Prohibited, "this bastion forwards to targets by their names, not to sockets; use: ssh -N -L PORT:TARGET:5432 bastion")
	default:
		return reject(gossh.UnknownChannelType, "this bastion does not open channels of this kind; for what it offers: ssh bastion help")
	}
	if c.d.stopping.Load() {
		return reject(gossh.Prohibited, errStopping.Error())
	}
	leave := func() { open.Add(-1) }
	defer func() {
		if v == nil {
			leave()
		}
	}()
	if int(open.Add(1)) > most {
		return reject(gossh.ResourceShortage, fmt.Sprintf("there are %d %s on this connection already; close one, or connect once more", most, what))
	}
	// The connection may be hours old: who is it now?
	who, err := c.d.c.Identities.ForKey(p.origin.Key).Current(c.ctx, p.who)
	if err == nil && !who.Equal(p.who) {
		err = errors.New("internal error: the identity changed")
	}
	if err != nil {
		return reject(gossh.Prohibited, err.Error())
	}
	if forward != nil {
		if err := c.d.guard("forwarding", func() error { return c.d.c.Forward(who, p.origin, *forward) }); err != nil {
			why := gossh.Prohibited
			if errors.Is(err, bastion.ErrNotFound) {
				why = gossh.ConnectionFailed
			}
			return reject(why, err.Error())
		}
	}
	channel, requests, err := ch.Accept()
	if err != nil {
		return nil, nil, nil // the connection is gone
	}
	return c.newVisit(channel, requests, Visitor{Identity: who, Origin: p.origin, User: sc.User(), Forward: forward}), leave, nil
}

// visit is one channel, of a session or forwarded.
type visit struct {
	c        *conn
	channel  gossh.Channel
	requests <-chan *gossh.Request
	began    time.Time
	ctx      context.Context // ends with the channel
	end      context.CancelCauseFunc
	done     chan struct{} // closed when the visit has been served
	left     chan struct{} // closed when the client has closed the channel
	breaks   chan struct{}
	asking   atomic.Bool // the client has sent something since it was last answered
	used     atomic.Bool // something happened since the last check
	last     time.Time   // when a check last found that; guarded by d.mu
	hurried  atomic.Bool
	eof      sync.Once // the end of our output is said once

	Visitor      // complete before it is served, unchanged from then on
	wanted  bool // shell or exec was asked for; only run's goroutine uses it
	broke   bool // an interrupt was asked for; only run's goroutine uses it

	mu       sync.Mutex // guards what follows
	window   bastion.Window
	brought  bastion.Window   // what the session knows
	session  *bastion.Session // nil until it has begun
	resizing bool             // a goroutine brings the newest size to the session
}

func (c *conn) newVisit(channel gossh.Channel, requests <-chan *gossh.Request, who Visitor) *visit {
	v := &visit{c: c, channel: channel, requests: requests, began: time.Now(), done: make(chan struct{}), left: make(chan struct{}), Visitor: who}
	v.ctx, v.end = context.WithCancelCause(c.ctx)
	v.last = v.began
	v.Channel = active{channel, v}
	if v.Forward == nil {
		v.breaks, v.Env = make(chan struct{}, 1), map[string]string{}
		v.Interrupts = v.breaks
	}
	c.d.mu.Lock()
	c.d.visits[v] = struct{}{}
	c.d.mu.Unlock()
	if c.d.stopping.Load() {
		v.end(errStopping)
	}
	return v
}

// active is a channel that remembers when it was used.
type active struct {
	gossh.Channel
	v *visit
}

// Read implements [bastion.Channel].
func (a active) Read(p []byte) (int, error) {
	n, err := a.Channel.Read(p)
	mark(&a.v.used)
	if a.v.Forward != nil && n > 0 {
		a.v.asks(true)
	}
	return n, err
}

// Write implements [bastion.Channel]. On a terminal only input counts as use:
// a clock on the screen is no sign of a person.
func (a active) Write(p []byte) (int, error) {
	n, err := a.Channel.Write(p)
	if !a.v.PTY {
		mark(&a.v.used)
	}
	if a.v.Forward != nil {
		a.v.asks(false)
		if a.v.c.asked.Load() >= crowd {
			a.v.c.out.gather()
		}
	}
	return n, err
}

// crowd is from how many clients on, that wait for an answer on one connection, others
// may be answered meanwhile. Fewer are not worth waiting for.
const crowd = 3

// asks notes whether the client has sent something since it was last answered.
func (v *visit) asks(yes bool) {
	if v.asking.Load() == yes || !v.asking.CompareAndSwap(!yes, yes) {
		return
	}
	if yes {
		v.c.asked.Add(1)
	} else {
		v.c.asked.Add(-1)
	}
}

// CloseWrite implements [bastion.Channel]. A visit that ends says it too.
func (a active) CloseWrite() (err error) {
	a.v.eof.Do(func() { err = a.Channel.CloseWrite() })
	return err
}

// Stderr implements [bastion.Channel]. A forwarded channel has one stream only:
// what is written here goes nowhere, and there is nothing to read.
func (a active) Stderr() io.ReadWriter {
	if a.v.Forward != nil {
		return nowhere{}
	}
	return a.Channel.Stderr()
}

// nowhere takes everything and has nothing.
type nowhere struct{}

func (nowhere) Read([]byte) (int, error)    { return 0, io.EOF }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

var (
	errIdle    = errors.New("nothing happened here for too long, so this session ends; connect again")
	errLongest = errors.New("this session has lasted as long as one may; connect again")
)

// check ends what is idle or too old. The caller holds d.mu.
func (v *visit) check(now time.Time) {
	l := v.c.d.c.Limits
	if v.used.Swap(false) {
		v.last = now
	}
	switch {
	case l.Longest > 0 && now.Sub(v.began) >= l.Longest:
		v.end(errLongest)
	case l.Idle > 0 && now.Sub(v.last) >= l.Idle:
		v.end(errIdle)
	}
}

// run handles the channel's requests until the client closes it, and returns
// when the visit is over.
func (v *visit) run() {
	defer func() {
		v.asks(false)
		v.c.d.mu.Lock()
		delete(v.c.d.visits, v)
		v.c.d.mu.Unlock()
		v.c.d.forgotten()
	}()
	hurry := context.AfterFunc(v.ctx, v.hurry)
	defer hurry()
	v.wanted = v.Forward != nil // nothing is left to ask for
	served := v.wanted
	if served {
		go v.c.d.guard("visit", v.serve) // this function waits for it
	}
	for r := range v.requests {
		v.c.pace.wait(v.ctx)
		ok := v.Forward == nil && v.request(r.Type, r.Payload)
		if r.WantReply && r.Reply(ok, nil) != nil {
			break // the connection is gone
		}
		// After the reply, so that the client hears of its request before it hears
		// from the session.
		if v.broke {
			v.broke = false
			v.interrupt()
		}
		if v.wanted && !served {
			served = true
			go v.c.d.guard("visit", v.serve) // the same
		}
	}
	close(v.left)
	v.end(errLeft)
	if served {
		<-v.done
		return
	}
	v.channel.Close() // nobody asked for anything
}

// hurry makes sure that a visit which has ended also goes: a client that takes
// no more bytes must not keep it. The last means is to end the connection, with
// all that goes on in it. A forwarded channel that has been served does without:
// a program that takes its time to read the last of an answer is no reason to end
// the connections of others.
func (v *visit) hurry() {
	if !v.hurried.CompareAndSwap(false, true) {
		return
	}
	cut := func() error {
		select {
		case <-v.done:
			if v.Forward != nil {
				return nil
			}
		default:
		}
		return v.c.Close()
	}
	for _, end := range []func() error{v.channel.Close, cut} {
		t := time.NewTimer(v.c.d.c.Limits.Grace)
		select {
		case <-v.left:
			t.Stop()
			return
		case <-t.C:
			end()
		}
	}
}

// serve makes the session, does what the visitor came for and says how it went:
// output, exit status, end of output, end of channel, in this order, so that
// the last byte and the status arrive. A forwarded channel has no status, and no
// place for words: they are in the log. An error of the last steps means that the
// client has gone.
func (v *visit) serve() error {
	defer close(v.done)
	defer v.channel.Close() // also where this very function fails
	code, said := v.work()
	if v.Forward != nil {
		v.Channel.CloseWrite()
		return nil
	}
	if said != "" {
		end := "\n"
		if v.PTY {
			end = "\r\n"
		}
		text := "sallyport: " + strings.TrimRight(bastion.Visible(said), "\n") + "\n"
		v.channel.Stderr().Write([]byte(strings.ReplaceAll(text, "\n", end)))
	}
	v.channel.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{uint32(code)}))
	v.Channel.CloseWrite()
	return nil
}

// Exit codes of the door itself, from those that users know.
const (
	exitFailed = 1
	exitDenied = 3
)

// work returns the exit code and what is left to say to the visitor.
func (v *visit) work() (code int, said string) {
	d := v.c.d
	var s *bastion.Session
	err := d.guard("start of a session", func() (err error) {
		if s, err = d.c.Start(v.ctx, v.Visitor); err == nil && s == nil {
			err = errors.New("internal error: no session")
		}
		return err
	})
	if err != nil {
		if v.Forward != nil {
			d.c.Log.Warn("no session for a forwarded channel", "who", v.Identity.ID(), "to", v.Forward.String(), "error", err)
		}
		var denied *bastion.DeniedError
		if errors.As(err, &denied) {
			return exitDenied, err.Error()
		}
		return exitFailed, err.Error()
	}
	began := []any{"session", s.ID(), "who", v.Identity.ID(), "name", v.Identity.Name, "from", v.Origin.Address}
	if v.Forward != nil {
		began = append(began, "to", v.Forward.String(), "for", v.Forward.From)
	}
	d.c.Log.Info("session began", began...)
	v.attach(s)
	// Not after Serve has returned by itself: a slow line may still be carrying
	// its last bytes.
	hurry := context.AfterFunc(s.Context(), v.hurry)
	code = exitFailed
	if err := d.guard("session "+s.ID(), func() error { code = d.c.Serve(s, v.Visitor); return nil }); err != nil {
		s.Fail(err)
	}
	hurry()
	if cause := context.Cause(s.Context()); cause != nil && !errors.Is(cause, bastion.ErrEnded) && !errors.Is(cause, context.Canceled) {
		said = cause.Error()
	}
	if err := d.guard("end of session "+s.ID(), s.Close); err != nil {
		d.c.Log.Error("session did not close well", "session", s.ID(), "error", err)
		if said == "" {
			said = "this session did not close well: " + err.Error()
		}
	}
	d.c.Log.Info("session ended", "session", s.ID(), "who", v.Identity.ID(), "code", code, "cause", said)
	if code < 0 || code > 255 || code == 0 && said != "" {
		code = exitFailed
	}
	return code, said
}

// attach brings the size that the window has by now to the new session.
func (v *visit) attach(s *bastion.Session) {
	v.mu.Lock()
	v.session, v.brought = s, v.Window
	w := v.window
	v.mu.Unlock()
	v.resize(w)
}

// resize passes a new size on without waiting, because recording it may take
// time: of several the newest wins.
func (v *visit) resize(w bastion.Window) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.window = w
	if s := v.session; s != nil && !v.resizing && v.window != v.brought {
		v.resizing = true
		v.c.d.Go(s, func() { v.bring(s) })
	}
}

// bring ends when the session knows the newest size.
func (v *visit) bring(s *bastion.Session) {
	for {
		v.mu.Lock()
		w := v.window
		if w == v.brought {
			v.resizing = false
			v.mu.Unlock()
			return
		}
		v.brought = w
		v.mu.Unlock()
		if err := s.Terminal().Resize(w); err != nil {
			return // the session ends, because it cannot record
		}
	}
}
