package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// Codes with which a client begins (protocol section "Start-up").
const (
	protocol      = 3 << 16 // 3.0
	cancelRequest = 1234<<16 | 5678
	sslRequest    = 1234<<16 | 5679
	gssRequest    = 1234<<16 | 5680
)

// Limits of one client.
const (
	// maxRequest is the largest message of a client, in bytes; COPY's data come in
	// parts and have no limit.
	maxRequest = 64 << 20
	// maxNames is how many prepared statements a client may have, and how many portals.
	maxNames = 10_000
	// maxTexts is how many bytes of prepared texts it may have.
	maxTexts = 64 << 20
	// maxTogether is how many statements of one text go to the target together.
	maxTogether = 500
)

const (
	// goodbye is how long a client that has to go may take to read what is left.
	goodbye = time.Second
	// patience is after how long the bastion looks whether the client is still there.
	patience = time.Second
)

// client is the client half: it speaks to the native client, and to the target
// through n alone. Two goroutines use it: serve's handles what the client sends, and
// the target half's brings the answers.
type client struct {
	n     *bastion.Native
	watch *lookout
	in    *wire.Reader // of watch
	out   *outbox
	greeting
	key     cancelKey // by which it can be cancelled; guarded by the mu of clients, as is left
	left    bool
	reasons func(context.Context, bastion.Decision, bastion.Preview) (string, error) // why, made once
	waiting func(bastion.Request)                                                    // waits, made once

	ctx    context.Context // of the client
	now    atomic.Pointer[waiting]
	status atomic.Uint32 // of the transaction, as the client was last told
	over   chan struct{} // closed when the client is gone, or the target, and the client was told
	ending sync.Once     // for over

	// What the client's names stand for.
	statements assumed[*prepared]
	portals    assumed[*answer]
	texts      atomic.Int64 // bytes of prepared texts

	// serve's goroutine's alone.
	slow     *time.Timer
	heard    heard  // of what the message waits for
	renaming bool   // SQL has made or forgotten prepared statements, or is about to
	skipping bool   // a message was refused: nothing counts until Sync
	pauses   uint64 // how often the client had nothing more to say
}

// waiting is a context that a cancel request ends.
type waiting struct {
	context.Context
	cancel context.CancelCauseFunc
}

var (
	errCancelled = errors.New("canceled at the request of the client")
	errLeft      = errors.New("the client said goodbye")
	errStranger  = errors.New("what connected does not begin as PostgreSQL's clients do") // and would not understand an answer
)

// Serve implements [bastion.Proxy].
func (k Connector) Serve(ctx context.Context, end io.ReadWriter, n *bastion.Native) error {
	watch := newLookout(end)
	c := &client{n: n, watch: watch, in: wire.NewReader(watch, maxRequest), out: &outbox{dst: end}, ctx: ctx, over: make(chan struct{})}
	c.reasons, c.waiting = c.why, c.waits
	c.status.Store('I')
	c.fresh()
	done := make(chan error, 1)
	// Whatever ends the session also ends a client that is silent: a Read waits for
	// as long as its channel lives, and so does this goroutine, which owns the reader.
	n.Go(func() {
		defer c.in.Close()
		done <- c.visit(k.clients)
	})
	var err error
	select {
	case err = <-done:
	case <-c.over:
		err = errLeft
	case <-ctx.Done():
	}
	return c.leave(err)
}

// depart ends the client's visit. Any goroutine may call it.
func (c *client) depart() { c.ending.Do(func() { close(c.over) }) }

// visit speaks to the client until it leaves.
func (c *client) visit(k *clients) error {
	// What takes long, such as an approval, must not outlive the client.
	c.slow = time.AfterFunc(patience, func() { c.watch.watch(c.n.Go, c.depart) })
	defer c.slow.Stop()
	ok, err := c.hello(k)
	if err != nil || !ok {
		return err
	}
	defer k.leave(c)
	err = c.welcome(k)
	c.slow.Stop()
	if err != nil {
		return err
	}
	c.n.Go(c.relay)
	return c.serve()
}

// relay tells the client what it should hear without having asked, such as that its
// access ends soon. It ends with the client's visit.
func (c *client) relay() {
	for {
		select {
		case text := <-c.n.Warnings():
			if c.out.interject(appendNotice(nil, bastion.VisibleLine(text), "")) != nil {
				return
			}
		case <-c.over:
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// hello handles what comes before the session. ok is false if there is none.
func (c *client) hello(k *clients) (ok bool, err error) {
	for range 3 { // TLS, GSSAPI, and then the real one
		code, body, err := c.in.First()
		if errors.Is(err, wire.ErrLength) {
			return false, errStranger
		}
		if err != nil {
			return false, err
		}
		switch {
		case code == sslRequest || code == gssRequest:
			// SSH encrypts and proves who is there already.
			if err := c.say([]byte{'N'}); err != nil {
				return false, err
			}
			continue
		case code == cancelRequest:
			if other := k.find(body, c.n.Who().ID()); other != nil {
				other.interrupt()
			}
			return false, nil // nobody is told whether there was something to cancel
		case code>>16 != protocol>>16:
			return false, &bastion.TargetError{Code: "0A000", Summary: fmt.Sprintf("the client speaks version %d.%d of the protocol, and this bastion speaks 3.0", code>>16, code&0xffff)}
		}
		g, unknown, err := readGreeting(body)
		if err != nil {
			return false, err
		}
		c.greeting = g
		if code > protocol || len(unknown) > 0 {
			b, at := wire.Begin(nil, 'v') // NegotiateProtocolVersion
			b = binary.BigEndian.AppendUint32(b, protocol)
			b = binary.BigEndian.AppendUint32(b, uint32(len(unknown)))
			for _, u := range unknown {
				b = wire.String(b, u)
			}
			if err := c.put(wire.End(b, at)); err != nil {
				return false, err
			}
		}
		who := c.n.Who()
		c.aliases = []string{who.Name, who.Email, c.n.Target().Name}
		if name, _, ok := strings.Cut(who.Email, "@"); ok {
			c.aliases = append(c.aliases, name)
		}
		return true, nil
	}
	return false, &bastion.TargetError{Code: "08P01", Summary: "the client asks for encryption again and again"}
}

// welcome connects to the target and tells the client that it may begin.
func (c *client) welcome(k *clients) error {
	asked, err := c.encode()
	if err != nil {
		return err
	}
	// The target half tells its settings as soon as it runs, and then that it is ready.
	began, pid := false, uint32(0)
	show := func(f bastion.Frame) error {
		if f.Kind() == bastion.ParametersFrame && !began {
			pid = binary.BigEndian.Uint32(f.Raw())
			return nil
		}
		if code, _ := f.Signal(); f.Kind() != bastion.SignalFrame || code != signalReady || began {
			return c.show(f)
		}
		began = true
		key := k.enter(c, pid)
		b := append(wire.Append(nil, 'K', key[:]...), wire.Append(nil, 'Z', 'I')...)
		return c.say(b)
	}
	if err := c.put(wire.Append(nil, 'R', 0, 0, 0, 0)); err != nil { // AuthenticationOk: SSH proved who it is
		return err
	}
	return c.n.Open(c.ctx, asked, bastion.Job{Reason: c.reasons, Given: c.reason, Unasked: true, Waiting: c.waiting, Show: show, Done: c.failing})
}

// fresh returns a context for the next operation: a new one, if the last was cancelled.
func (c *client) fresh() context.Context {
	w := c.now.Load()
	if w == nil || w.Err() != nil {
		ctx, cancel := context.WithCancelCause(c.ctx)
		w = &waiting{ctx, cancel}
		c.now.Store(w)
	}
	return w
}

// interrupt cancels what the client does now. Any goroutine may call it.
func (c *client) interrupt() {
	c.now.Load().cancel(errCancelled)
	c.n.Cancel(c.ctx)
}

// why is the reason that approvers read. Nobody is asked to approve what cannot run.
func (c *client) why(ctx context.Context, _ bastion.Decision, _ bastion.Preview) (string, error) {
	if err := c.n.Settle(ctx); err != nil {
		return "", err
	}
	if c.status.Load() == 'E' {
		return "", &bastion.TargetError{Code: "25P02", Summary: "current transaction is aborted, commands ignored until end of transaction block"}
	}
	if c.reason != "" {
		return c.reason, nil
	}
	program := c.application
	if program == "" {
		program = "a native client"
	}
	return "from " + program + "; no reason given (PGOPTIONS='-c " + reasonSetting + "=...' gives one)", nil
}

// heard is what the client was told of the request that it waits for.
type heard struct {
	request     uint64
	seen, votes int
}

// waits tells the client what it waits for, and then what is new about it.
func (c *client) waits(r bastion.Request) {
	if r.State != bastion.Pending {
		return
	}
	var b []byte
	say := func(hint, format string, args ...any) {
		b = appendNotice(b, bastion.VisibleLine(fmt.Sprintf(format, args...)), hint)
	}
	if c.heard.request != r.ID {
		c.heard = heard{request: r.ID}
		text := fmt.Sprintf("request %d waits for %s, until %s", r.ID, r.Needs, bastion.Moment(r.Expires, c.n.Now()))
		if len(r.Approvers) > 0 {
			text += "; can be approved by " + strings.Join(r.Approvers, ", ")
		}
		hint := "cancel to go on without it: the request stays open"
		if r.NoReason {
			hint += "; approvers miss a reason, and get it with a next attempt under PGOPTIONS='-c " + reasonSetting + "=...'"
		}
		say(hint, "%s", text)
	}
	for _, seen := range r.Seen[min(c.heard.seen, len(r.Seen)):] {
		say("", "request %d was seen by %s", r.ID, seen.Name)
	}
	for _, v := range r.Votes[min(c.heard.votes, len(r.Votes)):] {
		switch v.Verdict {
		case bastion.VoteApprove:
			say("", "request %d was approved by %s, and waits for more", r.ID, v.Who.Name)
		case bastion.VoteComment:
			say("", "request %d, %s: %s", r.ID, v.Who.Name, v.Reason)
		}
	}
	c.heard.seen, c.heard.votes = len(r.Seen), len(r.Votes)
	if len(b) > 0 {
		_ = c.say(b) // a client that is gone ends the session by itself
	}
}

// put collects bytes for the client: whole messages.
func (c *client) put(b []byte) error {
	return c.out.add(false, func(to []byte) []byte { return append(to, b...) })
}

// say is put, for what the client is to hear now.
func (c *client) say(b []byte) error {
	if err := c.put(b); err != nil {
		return err
	}
	return c.out.flush()
}

// leave tells the client why it has to go, if it does not know, and ends.
func (c *client) leave(err error) error {
	cause := context.Cause(c.ctx)
	if cause != nil {
		err = endedError{cause}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errLeft) {
		err = nil
	}
	heard := c.out.close(cause == nil, goodbye, c.n.Go)
	if err != nil && heard && !errors.Is(err, errStranger) {
		_ = c.n.Farewell(appendError(nil, "FATAL", err)) // if it is there to hear it
	}
	return err
}

// serve handles messages until the client leaves.
func (c *client) serve() error {
	busy := false // with what has arrived
	for {
		if !c.in.Ready() {
			if busy {
				c.slow.Stop()
				busy = false
			}
			c.pauses++
			if err := c.n.Send(finishMessage{}); err != nil {
				return c.told(err)
			}
		}
		typ, err := c.in.Peek()
		if err == nil {
			err = context.Cause(c.ctx)
		}
		if err != nil {
			return err
		}
		// Nobody waits for the body of what is no message: another start-up, say, whose
		// length would be read for a type.
		if strings.IndexByte("QPBDECHSXFcfd", typ) < 0 {
			return errMessage(typ)
		}
		if typ == 'd' {
			err = c.copyData()
		} else {
			var body []byte
			if typ, body, err = c.in.Next(); err == nil {
				if !busy {
					c.slow.Reset(patience)
					busy = true
				}
				err = c.message(typ, body)
			}
		}
		if errors.Is(err, wire.ErrTooLong) {
			return &bastion.TargetError{Code: "54000", Summary: fmt.Sprintf("a message has more than the %d MiB that this bastion takes", maxRequest>>20)}
		}
		if err != nil {
			return c.told(err)
		}
	}
}

// copyData passes on data for COPY.
func (c *client) copyData() error {
	for {
		raw, _, err := c.in.Run('d')
		if err != nil {
			return err
		}
		if !c.skipping {
			if err := c.n.Send(copyMessage{raw}); err != nil {
				return err
			}
		}
		if !c.in.Inside() {
			return nil
		}
	}
}

// told waits until the client was told of an error that the target half tells it
// once for all: that the target is gone.
func (c *client) told(err error) error {
	if te, ok := errors.AsType[*bastion.TargetError](err); !ok || !te.Lost {
		return err
	}
	select {
	case <-c.over:
		return errLeft
	case <-c.ctx.Done():
		return err
	}
}
