package bastion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Native is a native client's way to one target: what [Session] is for a screen.
// The connector's client half asks it for everything, and sees frames and never
// what the target sent. Its methods are called by one goroutine, except Cancel.
type Native struct {
	s      *Session
	target Target
	proxy  Proxy
	note   *note
	stop   func(error) // ends the session
	lanes  []Lane      // memory for those that are sent

	stream Stream // nil until Open
	end    io.Writer

	gate sync.RWMutex // held for reading while an operation is in the gate
}

// Forward serves a native client that asked for a target: with a session of its
// own, made with Config.Native, and until the client leaves or the session ends.
func (s *Session) Forward(ctx context.Context, target string, port uint32) error {
	if s.c.Native == nil {
		return errors.New("internal error: a native client without a channel of its own")
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	who, err := s.current(ctx)
	if err != nil {
		return err
	}
	t, c, err := s.target(who, target)
	if err != nil {
		return err
	}
	proxy, ok := c.(Proxy)
	if !ok {
		return fmt.Errorf("targets of kind %q have no native clients; use: ssh bastion", t.Kind)
	}
	if err := proxy.Reach(t, port); err != nil {
		return err
	}
	script := &transcript{write: s.noted}
	n := &Native{s: s, target: t, proxy: proxy, note: &note{to: script}, stop: s.Fail, end: s.c.Native}
	visit, left := context.WithCancel(ctx)
	err = proxy.Serve(visit, &client{s.c.Native, s.ctx, script}, n)
	left()
	n.cleared()
	if ferr := script.flush(); err == nil {
		err = ferr
	}
	return err
}

// clearing is how long an operation has to leave the gate once its client left. It does
// so at once, but for one whose target takes nothing more: the end of the session ends it.
const clearing = time.Second

// cleared waits until no operation is in the gate, so that the transcript tells what became
// of one that waited for approval.
func (n *Native) cleared() {
	out := make(chan struct{})
	n.s.Go(func() {
		n.gate.Lock()
		defer n.gate.Unlock()
		close(out)
	})
	select {
	case <-out:
	case <-time.After(clearing):
	}
}

// Reachable says whether somebody may open a forwarded connection to a target at
// all, before there is a session: whatever it answers is decided again later.
func Reachable(p Policy, ts Targets, cs []Connector, who Identity, target string, port uint32) error {
	t, ok := ts.Named(target)
	if !ok || !p.Access(who, t).Visible() {
		hint := ""
		if _, err := netip.ParseAddr(target); err == nil {
			hint = "; targets go by their names, so a SOCKS client has to leave names to the proxy (socks5h)"
		}
		return fmt.Errorf("target %q: %w%s", VisibleLine(target), ErrNotFound, hint)
	}
	i := slices.IndexFunc(cs, func(c Connector) bool { return c.Kind() == t.Kind })
	if i < 0 {
		return fmt.Errorf("target %s is of kind %q, which this bastion does not know", t.Name, t.Kind)
	}
	proxy, ok := cs[i].(Proxy)
	if !ok {
		return fmt.Errorf("targets of kind %q have no native clients; use: ssh bastion", t.Kind)
	}
	return proxy.Reach(t, port)
}

// client is the native client's end. Nothing reaches it before the transcript is
// recorded, or once the session ended.
type client struct {
	io.ReadWriter
	ctx    context.Context
	script *transcript
}

func (c *client) Write(p []byte) (int, error) {
	if err := c.script.flush(); err != nil {
		return 0, err
	}
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.ReadWriter.Write(p)
}

// noted writes to the transcript. If it cannot, the session ends.
func (s *Session) noted(p []byte) error { return s.recorded(s.c.Recorder.Note(p)) }

// Farewell tells the client why it has to go, in the connector's own words, which
// may be more than can still be recorded. Nothing can be said after it.
func (n *Native) Farewell(p []byte) error {
	end := n.end
	if end == nil {
		return ErrEnded
	}
	n.end = nil
	n.s.Fail(ErrEnded)
	_, err := end.Write(p)
	return err
}

// Warnings receives what the client should hear of without having asked.
func (n *Native) Warnings() <-chan string { return n.s.Warnings() }

// Go runs f on a goroutine of the session's.
func (n *Native) Go(f func()) { n.s.Go(f) }

// ID is the session's name.
func (n *Native) ID() string { return n.s.ID() }

// Target is what the client asked for.
func (n *Native) Target() Target { return n.target.clone() }

// Who is the person, as last checked.
func (n *Native) Who() Identity { return n.s.Who() }

// Now is the time by the session's clock.
func (n *Native) Now() time.Time { return n.s.Now() }

// Open connects to the target, after policy and, where it says so, after
// approval. asked is what the client wants of the connection. What belongs to no
// operation comes to job.Show from then on, and failures that belong to none to
// job.Done.
func (n *Native) Open(ctx context.Context, asked Params, job Job) error {
	if n.stream != nil || job.Show == nil || job.Done == nil {
		return ErrPermit
	}
	i, err := n.proxy.Greet(n.target, asked)
	if err != nil {
		return err
	}
	if i.Verb != Connect || !slices.Contains(i.Actions, Action{Verb: Connect}) {
		return errors.New("internal error: a connection that is none")
	}
	op := Operation{target: n.target, intent: i, text: "connect " + n.target.Name, params: asked, session: n.s}
	a, err := n.s.admit(ctx, op, job, func(context.Context, bool) error { return nil })
	if err != nil {
		return err
	}
	return n.s.dial(ctx, a, func(ctx context.Context, p *Permit) (Conn, error) {
		stream, err := n.proxy.Stream(ctx, p)
		if err != nil {
			return nil, err
		}
		stream.Attach(a.sink, func(err error) {
			err = clean(err, a.decision.Mask)
			switch cause := context.Cause(n.s.ctx); {
			case cause == nil:
				n.note.ended(err, 0)
			case !errors.Is(cause, ErrEnded) && !errors.Is(cause, context.Canceled):
				n.note.ended(cause, 0) // the session ended, and the connection with it
			}
			job.Done(err)
		})
		n.stream = stream
		n.s.Go(stream.Listen)
		return stream, nil
	})
}

// Read has the target half read a text that is to run with parameters.
func (n *Native) Read(ctx context.Context, text string, params Params) (Operation, error) {
	return n.s.parse(ctx, n.target.Name, text, params)
}

// ErrPatience says that an operation was not approved within the time that the
// client lets it take.
var ErrPatience = errors.New("nobody approved this within the client's statement timeout; it did not run, and the request stays open")

// Flight is an operation on its way to the target.
type Flight struct {
	n *Native
	admitted
	run  run // of one that was begun
	note note
	lane Lane

	mu   sync.Mutex
	done bool
}

// Begin takes an operation through the gate. Nothing is sent yet, so that several
// can pass before the first is sent. job.Done is called once, after the end of
// the answer, unless Begin returns an error.
func (n *Native) Begin(ctx context.Context, op Operation, job Job) (*Flight, error) {
	if n.stream == nil || op.session != n.s || op.intent.Verb == "" || op.intent.Verb == Connect || op.target.Name != n.target.Name || job.Show == nil || job.Done == nil {
		return nil, ErrPermit
	}
	wait := ctx
	if most := n.stream.Patience(); most > 0 {
		var stop context.CancelFunc
		wait, stop = context.WithTimeoutCause(ctx, most, ErrPatience)
		defer stop()
	}
	a, err := n.admit(wait, op, job)
	if err != nil {
		return nil, err
	}
	f := &Flight{n: n, admitted: a, note: note{to: n.note.to}}
	f.sink.note, f.sink.lends = &f.note, true
	f.note.asked(f.op, f.op.recordedParams(f.decision.Mask))
	// What is on its way cannot be taken out of it: the connection has to go.
	f.run = run{op: &f.op, asked: f.decision.Effect == Ask, mask: f.decision.Mask, stop: n.stop}
	n.s.begin(&f.run)
	f.lane, err = n.stream.Lane(n.s.permit(&f.op, ForDo, Secret{}), f.sink, func(err error) {
		if f.land() {
			n.s.over(&f.run)
			err = n.s.finish(ctx, &f.admitted, err)
			f.note.ended(err, n.s.Now().Sub(f.began))
			job.Done(err)
		}
	})
	if err != nil {
		if f.land() { // it was decided, and ends here
			n.s.over(&f.run)
			err = n.s.finish(ctx, &f.admitted, err)
			f.note.ended(err, 0)
		}
		return nil, err
	}
	return f, nil
}

// admit has the gate decide, and notes what it does not let through.
func (n *Native) admit(ctx context.Context, op Operation, job Job) (admitted, error) {
	n.gate.RLock()
	defer n.gate.RUnlock()
	a, err := n.s.admit(ctx, op, job, func(ctx context.Context, asked bool) error {
		if !asked {
			return nil
		}
		// An approval is used once: not for what an earlier error will skip.
		return n.stream.Settle(ctx)
	})
	if err != nil {
		n.note.asked(op, nil)
		n.note.ended(err, 0)
	}
	return a, err
}

// Prepare lets the target look at a text without running it, which policy must
// not deny. job.Show gets parameters and columns.
func (n *Native) Prepare(ctx context.Context, op Operation, job Job) (*Flight, error) {
	if n.stream == nil || op.session != n.s || op.intent.Verb == "" || op.intent.Verb == Connect || op.target.Name != n.target.Name || job.Show == nil || job.Done == nil {
		return nil, ErrPermit
	}
	who, err := n.s.current(ctx)
	if err != nil {
		return nil, err
	}
	d := n.s.c.Policy.Decide(who, op)
	if d.Effect == Deny && !d.Estimate {
		_, _, _, err := n.s.decide(ctx, op, nil) // recorded
		n.note.asked(op, nil)
		n.note.ended(err, 0)
		if err == nil {
			err = ErrPermit
		}
		return nil, err
	}
	e := n.s.event(EventPrepare, op)
	e.Effect, e.Rule = d.Effect.String(), d.Rule
	if err := n.s.record(e); err != nil {
		return nil, err
	}
	sink := &Sink{rules: d.Mask, outputs: op.intent.Outputs, show: job.Show}
	f := &Flight{n: n, admitted: admitted{op: op}}
	f.lane, err = n.stream.Lane(n.s.permit(&f.op, ForPrepare, Secret{}), sink, func(err error) {
		if f.land() {
			job.Done(clean(err, d.Mask))
		}
	})
	return f, err
}

// land reports whether the flight has just ended.
func (f *Flight) land() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.done
	f.done = true
	return !was
}

// Landed reports whether the answer is complete.
func (f *Flight) Landed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// Operation is what is on its way.
func (f *Flight) Operation() Operation { return f.op }

// Send hands a message of the connector's own to the target half, with the
// flights that it speaks of. Without any it may only keep order.
func (n *Native) Send(message any, flights ...*Flight) error {
	if n.stream == nil {
		return ErrPermit
	}
	lanes := n.lanes[:0]
	for _, f := range flights {
		if f == nil || f.n != n {
			return ErrPermit
		}
		lanes = append(lanes, f.lane)
	}
	n.lanes = nil // they are lent
	err := n.stream.Send(message, lanes...)
	clear(lanes)
	n.lanes = lanes
	return err
}

// Again asks policy whether a flight that took a pause may go on. An approval
// that was used for it still counts.
func (n *Native) Again(ctx context.Context, f *Flight) error {
	who, err := n.s.current(ctx)
	if err != nil {
		return err
	}
	d := n.s.c.Policy.Decide(who, f.op)
	if f.run.op != nil && f.run.stands(d) {
		return nil
	}
	if _, _, _, err = n.s.decide(ctx, f.op, nil); err == nil { // recorded
		err = stopped(d)
	}
	return err
}

// Settle returns once everything that was sent is answered.
func (n *Native) Settle(ctx context.Context) error {
	if n.stream == nil {
		return nil
	}
	return n.stream.Settle(ctx)
}

// Cancel stops what runs on the target now. It may be called at any time.
func (n *Native) Cancel(ctx context.Context) {
	n.s.mu.Lock()
	l := n.s.links[n.target.Name]
	n.s.mu.Unlock()
	if l == nil {
		return
	}
	if stream, ok := l.conn.(Stream); ok {
		stream.Cancel(ctx)
	}
}
