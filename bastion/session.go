package bastion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Identities says who an identity is now. It is asked at each use, so that a
// removed group or an ended binding takes effect at the next operation.
type Identities interface {
	// Current returns the identity with the facts of this moment, or an error that
	// wraps ErrExpired.
	Current(context.Context, Identity) (Identity, error)
}

// Config is what a session is made of. Every field is needed but those that say so.
type Config struct {
	ID       string
	Identity Identity // of a key that was proved; the front door alone may fill this in
	Origin   Origin
	Channel  Channel
	Term     string // TERM; empty without a terminal
	Window   Window

	Targets    Targets
	Connectors []Connector
	Policy     Policy
	Approvals  Approvals
	Identities Identities
	Secrets    Secrets
	Recorder   Recorder
	Archive    Archive
	// SignIn proves the person at the provider again. It may be nil: then nobody
	// can be asked to, as with a service.
	SignIn func(ctx context.Context, show func(SignInPrompt) error) (Identity, error)
	Now    func() time.Time
}

// Session is one person's visit over one SSH channel. It is safe for
// concurrent use.
type Session struct {
	c        Config
	terminal *Terminal
	started  time.Time
	ctx      context.Context // ends with the session; its cause says why
	end      context.CancelCauseFunc

	mu    sync.Mutex // guards what follows
	who   Identity
	links map[string]*link
}

// link is the session's connection to one target.
type link struct {
	conn Conn
	busy chan struct{} // one token: who holds it may call Do
}

// NewSession starts a session and records that it began. There is no session
// without policy, approvals or recorder.
func NewSession(ctx context.Context, c Config) (*Session, error) {
	if c.ID == "" || c.Identity.ID() == "" || c.Channel == nil || c.Policy == nil || c.Approvals == nil ||
		c.Identities == nil || c.Secrets == nil || c.Recorder == nil || c.Archive == nil || c.Now == nil {
		return nil, errors.New("internal error: a session needs an identity, a channel, policy, approvals, secrets, a recorder and a clock")
	}
	s := &Session{c: c, who: c.Identity, links: map[string]*link{}, started: c.Now()}
	s.ctx, s.end = context.WithCancelCause(ctx)
	s.terminal = newTerminal(c.Channel, c.Term, c.Window, s.output, s.resize)
	if err := s.record(Event{Kind: EventStart, Origin: &c.Origin}); err != nil {
		return nil, err
	}
	return s, nil
}

// ID is the session's name, also of its recording.
func (s *Session) ID() string { return s.c.ID }

// Context ends with the session. Its cause says why, in words for the person.
func (s *Session) Context() context.Context { return s.ctx }

// Terminal is the person's end.
func (s *Session) Terminal() *Terminal { return s.terminal }

// Origin is where the person comes from.
func (s *Session) Origin() Origin { return s.c.Origin }

// Started is when the session began.
func (s *Session) Started() time.Time { return s.started }

// Now is the time by the session's clock.
func (s *Session) Now() time.Time { return s.c.Now() }

// Who returns the person as last checked.
func (s *Session) Who() Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.who
}

// Roles returns the roles that the person holds now.
func (s *Session) Roles() []Role { return s.c.Policy.Roles(s.Who()) }

// Has reports whether the person holds the duty by one of their roles.
func (s *Session) Has(d Duty) bool { return has(s.Roles(), d) }

func has(roles []Role, d Duty) bool {
	return slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(r.Duties, d) })
}

// Fail ends the session with a cause that the person will read.
func (s *Session) Fail(cause error) { s.end(cause) }

// Close ends the session, closes its connections and seals the recording.
func (s *Session) Close() error {
	cause := context.Cause(s.ctx)
	s.end(ErrEnded)
	s.mu.Lock()
	links := s.links
	s.links = nil
	s.mu.Unlock()
	var errs []error
	for _, l := range links {
		<-l.busy // whoever runs is being cancelled
		errs = append(errs, l.conn.Close())
	}
	end := Event{Kind: EventEnd}
	if cause != nil && !errors.Is(cause, ErrEnded) && !errors.Is(cause, context.Canceled) {
		end.Error = cause.Error()
	}
	errs = append(errs, s.record(end), s.c.Recorder.Close())
	return errors.Join(errs...)
}

// current asks who the person is now and remembers the answer.
func (s *Session) current(ctx context.Context) (Identity, error) {
	if err := context.Cause(s.ctx); err != nil {
		return Identity{}, err
	}
	who, err := s.c.Identities.Current(ctx, s.Who())
	if err != nil {
		return Identity{}, err
	}
	if !who.Equal(s.c.Identity) {
		return Identity{}, errors.New("internal error: the identity changed during the session")
	}
	s.mu.Lock()
	s.who = who
	s.mu.Unlock()
	return who, nil
}

// SignIn proves the person at the provider again, for an expired binding or a
// target that wants a fresh sign-in. Signing in as somebody else is refused.
func (s *Session) SignIn(ctx context.Context, show func(SignInPrompt) error) error {
	if s.c.SignIn == nil {
		return errors.New("this identity cannot sign in interactively; renew its key in the configuration")
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	who, err := s.c.SignIn(ctx, show)
	if err != nil {
		return err
	}
	if !who.Equal(s.c.Identity) {
		return fmt.Errorf("you signed in as %s, but this session belongs to %s; connect with a key of your own", who.Name, s.c.Identity.Name)
	}
	s.mu.Lock()
	s.who = who
	s.mu.Unlock()
	return nil
}

// bind makes a context that ends with ctx or with the session.
func (s *Session) bind(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	return ctx, func() { stop(); cancel(nil) }
}

func (s *Session) connector(t Target) (Connector, error) {
	for _, c := range s.c.Connectors {
		if c.Kind() == t.Kind {
			return c, nil
		}
	}
	return nil, fmt.Errorf("target %s is of kind %q, which this bastion does not know", t.Name, t.Kind)
}

// target finds a target that the person may know of. Others do not exist for them.
func (s *Session) target(who Identity, name string) (Target, Connector, error) {
	t, ok := s.c.Targets.Named(name)
	if !ok || !s.c.Policy.Access(who, t).Visible() {
		return Target{}, nil, fmt.Errorf("target %q: %w", VisibleLine(name), ErrNotFound)
	}
	c, err := s.connector(t)
	return t, c, err
}

// Targets lists what the person may see, as they may use it.
func (s *Session) Targets(ctx context.Context) ([]TargetView, error) {
	who, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	var views []TargetView
	for _, t := range s.c.Targets {
		if a := s.c.Policy.Access(who, t); a.Visible() {
			views = append(views, TargetView{t.clone(), a})
		}
	}
	return views, nil
}

// Job is one run of an operation, from the person's side.
type Job struct {
	// In is the operation's input; nil means none.
	In io.Reader
	// Show receives the answer piece by piece, and holds it back by not returning.
	Show func(Frame) error
	// Reason asks the person why, when approval is needed. If it is nil, Run
	// returns an error that wraps ErrReason.
	Reason func(context.Context, Decision, Preview) (string, error)
	// Waiting is told of the request each time it changes. It may be nil.
	Waiting func(Request)
}

// Open connects to a target, after policy and, where it says so, after approval.
// Opening an open target does nothing.
func (s *Session) Open(ctx context.Context, target string, job Job) error {
	s.mu.Lock()
	_, open := s.links[target]
	s.mu.Unlock()
	if open {
		return nil
	}
	op, err := s.Connecting(ctx, target)
	if err != nil {
		return err
	}
	return s.Run(ctx, op, job)
}

// Connecting is the operation of opening a target, to be run or to be asked for.
func (s *Session) Connecting(ctx context.Context, target string) (Operation, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Operation{}, err
	}
	t, _, err := s.target(who, target)
	if err != nil {
		return Operation{}, err
	}
	i := Intent{Verb: Connect, Actions: []Action{{Verb: Connect}}, Summary: "connect to " + t.Name}
	return Operation{target: t, intent: i, text: "connect " + t.Name, session: s}, nil
}

// Parse has the target's connector read a text. The target must be open.
func (s *Session) Parse(ctx context.Context, target, text string) (Operation, error) {
	ctx, stop := s.bind(ctx)
	defer stop()
	l, t, err := s.link(target)
	if err != nil {
		return Operation{}, err
	}
	var intent Intent
	switch {
	case len(text) > MaxText:
		err = &ParseError{Message: fmt.Sprintf("the text has %d bytes, and an operation may have %d", len(text), MaxText), Next: "split it"}
	case !utf8.ValidString(text):
		err = &ParseError{Message: "the text is not valid UTF-8", Next: "send it as UTF-8"}
	default:
		if intent, err = l.conn.Parse(ctx, text); err == nil {
			err = intent.check()
		}
	}
	if err != nil {
		s.lose(t.Name, l, err)
		shown := text
		if len(shown) > MaxText {
			shown = shown[:1024]
		}
		kept, why := hideLiterals(shown), err.Error()
		if kept != shown && strings.Contains(why, `"`) { // as in: syntax error at or near "secret"
			why = "the text cannot be read; the message is left out, because it quotes from the text"
		}
		if rerr := s.record(Event{Kind: EventUnread, Target: t.Name, Text: kept, Error: why}); rerr != nil {
			return Operation{}, rerr
		}
		return Operation{}, err
	}
	return Operation{target: t, intent: intent, text: text, session: s}, nil
}

// hideLiterals takes out of a text that nobody could read whatever may be a secret:
// what stands between single quotes or dollar quotes, and all that follows the word
// password, quoted or not. Such a text never ran, so that nothing is lost but what
// should not be kept.
func hideLiterals(text string) string {
	const hidden = "'****'"
	tail := ""
	for i := 0; i+len("password") <= len(text); i++ {
		if strings.EqualFold(text[i:i+len("password")], "password") {
			text, tail = text[:i+len("password")], " ****"
			break
		}
	}
	var b strings.Builder
	for {
		i := strings.IndexAny(text, "'$")
		if i < 0 {
			break
		}
		open := "'"
		if text[i] == '$' {
			end := strings.IndexByte(text[i+1:], '$')
			if end < 0 || strings.ContainsFunc(text[i+1:i+1+end], func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
				b.WriteString(text[:i+1]) // a parameter, or nothing
				text = text[i+1:]
				continue
			}
			open = text[i : i+end+2]
		}
		b.WriteString(text[:i])
		b.WriteString(hidden)
		_, rest, _ := strings.Cut(text[i+len(open):], open) // what is not closed goes to the end
		text = rest
	}
	return b.String() + text + tail
}

// Decide says what would happen to the operation now, without doing it.
func (s *Session) Decide(ctx context.Context, op Operation) (Decision, error) {
	if op.session != s || op.intent.Verb == "" {
		return Decision{}, ErrPermit
	}
	who, err := s.current(ctx)
	if err != nil {
		return Decision{}, err
	}
	return s.c.Policy.Decide(who, op), nil
}

// Run takes one operation to its target. This is the only way there.
func (s *Session) Run(ctx context.Context, op Operation, job Job) error {
	if op.session != s || op.intent.Verb == "" || job.Show == nil {
		return ErrPermit
	}
	ctx, stop := s.bind(ctx)
	defer stop()

	decision, question, err := s.decide(ctx, op) // identity and policy as they are now; recorded
	if err != nil {
		return err
	}
	var request uint64
	if decision.Effect == Ask {
		if request, err = s.ask(ctx, &question, job); err != nil { // waits for people
			return err
		}
	}
	hold, err := s.hold(ctx, op) // this session's turn on the connection
	if err != nil {
		return err
	}
	defer hold.release()
	if decision.Effect == Ask {
		// People took their time. What runs is what they saw, read and decided anew.
		if op, err = s.reread(ctx, op); err != nil {
			return err
		}
		reason := question.Reason
		if decision, question, err = s.decide(ctx, op); err != nil {
			return err
		}
		question.Reason = reason
		if decision.Effect == Ask {
			if _, err = s.c.Approvals.Use(ctx, request, question); err != nil { // at most once
				return err
			}
		}
	}
	if op.intent.Verb == Connect {
		return s.dial(ctx, op)
	}
	began := s.c.Now()
	sink := &Sink{rules: decision.Mask, outputs: op.intent.Outputs, show: job.Show}
	err = hold.conn.Do(ctx, s.permit(op, ForDo, Secret{}), job.In, sink)
	s.lose(op.target.Name, hold.link, err)
	return s.finish(ctx, op, decision, request, sink, began, err)
}

// decide asks policy, and records the answer before anything else happens.
func (s *Session) decide(ctx context.Context, op Operation) (Decision, Question, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Decision{}, Question{}, err
	}
	d := s.c.Policy.Decide(who, op)
	stale := d.Effect != Deny && d.Fresh > 0 && who.Kind == Person && s.c.Now().Sub(who.SignedIn) > d.Fresh
	e := s.event(EventDecision, op)
	e.Effect, e.Rule, e.Reason = d.Effect.String(), d.Rule, d.Reason
	if stale {
		e.Error = "the sign-in is too old"
	}
	if err := s.record(e); err != nil {
		return Decision{}, Question{}, err
	}
	if stale {
		return Decision{}, Question{}, &StaleError{d.Fresh}
	}
	if d.Effect != Allow && d.Effect != Ask {
		return Decision{}, Question{}, &DeniedError{d.Rule, d.Reason, d.Next}
	}
	return d, Question{Who: who, Origin: s.c.Origin, Session: s.c.ID, Op: op, Decision: d}, nil
}

// ask finds or files a request for the question and waits until it is approved.
func (s *Session) ask(ctx context.Context, q *Question, job Job) (uint64, error) {
	r, ok, err := s.c.Approvals.Find(ctx, q.Who, q.Op)
	if err != nil {
		return 0, err
	}
	if !ok {
		q.Preview = s.preview(ctx, q.Op)
		if job.Reason == nil {
			return 0, fmt.Errorf("%w: %s", ErrReason, q.Decision.Needs)
		}
		if q.Reason, err = job.Reason(ctx, q.Decision, q.Preview); err != nil {
			return 0, err
		}
		if q.Reason == "" {
			return 0, fmt.Errorf("%w: %s", ErrReason, q.Decision.Needs)
		}
		if r, err = s.c.Approvals.File(ctx, *q); err != nil {
			return 0, err
		}
	}
	q.Reason = r.Reason
	r, err = s.c.Approvals.Wait(ctx, r.ID, job.Waiting)
	return r.ID, err
}

// preview never fails: what cannot be known is said to be unknown.
func (s *Session) preview(ctx context.Context, op Operation) Preview {
	unknown := Preview{Rows: -1, Note: "the target gave no estimate"}
	if op.intent.Verb == Connect {
		return Preview{Rows: -1}
	}
	l, _, err := s.link(op.target.Name)
	if err != nil {
		return unknown
	}
	p, err := l.conn.Preview(ctx, s.permit(op, ForPreview, Secret{}))
	var te *TargetError
	switch {
	case errors.As(err, &te): // it would probably fail, which both sides should know
		summary := TargetError{Code: te.Code, Summary: te.Summary}
		return Preview{Rows: -1, Note: "the target answers: " + summary.Error()}
	case err != nil:
		return unknown
	}
	return p
}

// reread reads the text again and insists that it means what it meant.
func (s *Session) reread(ctx context.Context, op Operation) (Operation, error) {
	if op.intent.Verb == Connect {
		return s.Connecting(ctx, op.target.Name)
	}
	again, err := s.Parse(ctx, op.target.Name, op.text)
	if err != nil {
		return Operation{}, err
	}
	if again.Digest() != op.Digest() {
		return Operation{}, &DeniedError{Rule: "exact-operation", Reason: "the session's settings changed while the request waited, so what would run is not what was approved", Next: "ask again"}
	}
	return again, nil
}

func (s *Session) permit(op Operation, purpose Purpose, secret Secret) *Permit {
	return &Permit{op: op, purpose: purpose, secret: secret, label: "sallyport " + VisibleLine(s.Who().Name) + " " + s.c.ID}
}

// turn is the right to use a connection until it is released.
type turn struct {
	*link
	release func()
}

func (s *Session) hold(ctx context.Context, op Operation) (turn, error) {
	if op.intent.Verb == Connect {
		return turn{release: func() {}}, nil
	}
	l, _, err := s.link(op.target.Name)
	if err != nil {
		return turn{}, err
	}
	select {
	case <-l.busy:
		return turn{l, func() { l.busy <- struct{}{} }}, nil
	case <-ctx.Done():
		return turn{}, context.Cause(ctx)
	}
}

// dial fetches the secret, now that the decision is made, and connects.
func (s *Session) dial(ctx context.Context, op Operation) error {
	c, err := s.connector(op.target)
	if err != nil {
		return err
	}
	began := s.c.Now()
	secret, err := s.c.Secrets.Secret(ctx, op.target)
	if err != nil {
		return s.finish(ctx, op, Decision{}, 0, nil, began, fmt.Errorf("the credential of %s cannot be fetched; tell whoever runs the bastion", op.target.Name))
	}
	conn, err := c.Dial(ctx, s.permit(op, ForDial, secret))
	if err != nil {
		return s.finish(ctx, op, Decision{}, 0, nil, began, err)
	}
	l := &link{conn: conn, busy: make(chan struct{}, 1)}
	l.busy <- struct{}{}
	s.mu.Lock()
	_, taken := s.links[op.target.Name]
	closed := s.links == nil
	if !taken && !closed {
		s.links[op.target.Name] = l
	}
	s.mu.Unlock()
	if closed || taken {
		if err := conn.Close(); err != nil {
			return err
		}
	}
	if closed {
		return ErrEnded
	}
	return s.finish(ctx, op, Decision{}, 0, nil, began, nil)
}

// lose forgets a connection that the target's error says is lost.
func (s *Session) lose(target string, l *link, err error) {
	var te *TargetError
	if !errors.As(err, &te) || !te.Lost {
		return
	}
	s.mu.Lock()
	lost := s.links[target] == l
	if lost {
		delete(s.links, target)
	}
	s.mu.Unlock()
	if lost {
		_ = l.conn.Close() // there is nobody left to say goodbye to
	}
}

func (s *Session) link(target string) (*link, Target, error) {
	s.mu.Lock()
	l := s.links[target]
	s.mu.Unlock()
	t, ok := s.c.Targets.Named(target)
	if l == nil || !ok {
		return nil, Target{}, fmt.Errorf("target %q is not open in this session", VisibleLine(target))
	}
	return l, t, nil
}

// finish records how an operation ended, and takes target data out of its error.
func (s *Session) finish(ctx context.Context, op Operation, d Decision, request uint64, sink *Sink, began time.Time, err error) error {
	e := s.event(EventResult, op)
	e.Text, e.Rule, e.Request, e.Took = "", d.Rule, request, s.c.Now().Sub(began)
	if sink != nil {
		e.Rows, e.Masked = sink.rows+sink.changed, sink.masked
	}
	var te *TargetError
	switch {
	case err == nil:
	case errors.As(err, &te):
		clean := *te
		clean.Detail = ""
		e.Error = clean.Error()
		if d.Mask.HidesNothing() {
			clean.Detail = te.Detail
		} else if te.Detail != "" {
			clean.Detail = "details are hidden because they may carry masked data"
		}
		err = &clean
	default:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		e.Error = err.Error()
		if errors.Is(err, context.Canceled) {
			e.Error = "cancelled by the person"
		}
	}
	if rerr := s.record(e); rerr != nil {
		return rerr
	}
	return err
}

func (s *Session) event(k EventKind, op Operation) Event {
	return Event{Kind: k, Target: op.target.Name, Verb: op.intent.Verb, Text: op.Recorded(), Digest: op.Digest()}
}

// record writes an event. If it cannot, the session ends.
func (s *Session) record(e Event) error {
	who := s.Who()
	e.At, e.Session, e.Who, e.Name = s.c.Now(), s.c.ID, who.ID(), who.Name
	e.Offset = e.At.Sub(s.started)
	return s.recorded(s.c.Recorder.Event(e))
}

func (s *Session) output(p []byte) error { return s.recorded(s.c.Recorder.Output(p)) }

func (s *Session) resize(w Window) error { return s.recorded(s.c.Recorder.Resize(w.Width, w.Height)) }

func (s *Session) recorded(err error) error {
	if err != nil {
		s.end(ErrRecorder)
		return fmt.Errorf("%w: %w", ErrRecorder, err)
	}
	return nil
}
