package bastion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion/mask"
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
	// Native is the channel of a native client, in a session that serves one: then
	// Channel is nil, and there is no terminal.
	Native io.ReadWriter
	// SignIn proves the person at the provider again. It may be nil: then nobody
	// can be asked to, as with a service.
	SignIn func(ctx context.Context, show func(SignInPrompt) error) (Identity, error)
	// Accounts is where people and their keys are; nil if nobody can see to them.
	Accounts Accounts
	// Outbox is where notifications are; nil if there are none.
	Outbox Outbox
	// Act keeps, until the next sign-in, in which one of several roles a person acts.
	// It may be nil: then nobody can choose.
	Act func(ctx context.Context, who Identity, from Origin, role string) (Identity, error)
	Now func() time.Time
	// Go runs a function of the session's on a goroutine, so that a panic in it ends
	// the session and nothing else. Nil does that without telling anybody why.
	Go func(*Session, func())
}

// Session is one person's visit over one SSH channel. It is safe for
// concurrent use.
type Session struct {
	c        Config
	terminal *Terminal
	started  time.Time
	whoID    string          // of the identity, which never is another
	ctx      context.Context // ends with the session; its cause says why
	end      context.CancelCauseFunc

	warnings chan string // the newest that nobody has read
	trying   atomic.Bool // a preview is being made

	mu     sync.Mutex // guards what follows
	who    Identity
	links  map[string]*link // nil once closed
	asides []*Session
	runs   map[*run]struct{}
}

// link is the session's connection to one target.
type link struct {
	target Target
	conn   Conn
	busy   chan struct{} // one token: who holds it may call Do
	// holds is the request whose approval, for a time, let the person connect; 0 if
	// none did.
	holds uint64
}

// NewSession starts a session and records that it began. There is no session
// without policy, approvals or recorder.
func NewSession(ctx context.Context, c Config) (*Session, error) {
	switch {
	case c.Native != nil && c.Channel != nil:
		return nil, errors.New("internal error: a session serves a person's channel or a native client's, not both")
	case c.Native != nil:
		c.Channel = noTerminal{}
	}
	if c.ID == "" || c.Identity.ID() == "" || c.Channel == nil || c.Policy == nil || c.Approvals == nil ||
		c.Identities == nil || c.Secrets == nil || c.Recorder == nil || c.Archive == nil || c.Now == nil {
		return nil, errors.New("internal error: a session needs an identity, a channel, policy, approvals, secrets, a recorder and a clock")
	}
	s := &Session{c: c, who: c.Identity, whoID: c.Identity.ID(), links: map[string]*link{}, started: c.Now(), warnings: make(chan string, 1)}
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

// Roles returns the roles that the person acts in now: none while they hold some that
// nobody may hold together.
func (s *Session) Roles() []Role {
	who := s.Who()
	if s.c.Policy.Conflict(who) != nil {
		return nil
	}
	return s.c.Policy.Roles(who)
}

// Has reports whether the person holds the duty by one of their roles.
func (s *Session) Has(d Duty) bool { return has(s.Roles(), d) }

func has(roles []Role, d Duty) bool {
	return slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(r.Duties, d) })
}

// Go runs f on a goroutine: a panic in it ends the session and no other.
func (s *Session) Go(f func()) {
	if s.c.Go != nil {
		s.c.Go(s, f)
		return
	}
	go func() { // ends with f
		defer func() {
			if recover() != nil {
				s.Fail(errors.New("internal error: this session failed and has ended"))
			}
		}()
		f()
	}()
}

// Fail ends the session with a cause that the person will read.
func (s *Session) Fail(cause error) { s.end(cause) }

// Close ends the session, closes its connections and seals the recording.
func (s *Session) Close() error {
	cause := context.Cause(s.ctx)
	s.end(ErrEnded)
	s.mu.Lock()
	asides := s.asides
	s.mu.Unlock()
	var errs []error
	for _, a := range append(slices.Clip(asides), s) { // the session's own list stays as it is
		errs = append(errs, a.disconnect()) // whoever runs is being cancelled
	}
	end := Event{Kind: EventEnd}
	if cause != nil && !errors.Is(cause, ErrEnded) && !errors.Is(cause, context.Canceled) {
		end.Error = cause.Error()
	}
	errs = append(errs, s.record(end), s.c.Recorder.Close())
	return errors.Join(errs...)
}

// disconnect waits for what runs and closes the connections. Then there are no others.
func (s *Session) disconnect() error {
	s.mu.Lock()
	links := s.links
	s.links = nil
	s.mu.Unlock()
	var errs []error
	for _, l := range links {
		<-l.busy
		errs = append(errs, l.conn.Close())
	}
	return errors.Join(errs...)
}

// Aside calls f with a session beside this one: the same person, terminal and
// recording, but connections of its own, which are closed when f returns. Whatever is
// open or set on this one's, such as a transaction, is nothing to it, and it leaves
// nothing behind.
func (s *Session) Aside(f func(*Session) error) error {
	a := &Session{c: s.c, whoID: s.whoID, terminal: s.terminal, started: s.started, ctx: s.ctx, end: s.end, warnings: make(chan string, 1)}
	s.mu.Lock()
	a.who = s.who
	if s.links != nil {
		a.links = map[string]*link{}
		s.asides = append(s.asides, a)
	}
	s.mu.Unlock()
	var left error
	defer func() { // also after a panic
		s.mu.Lock()
		s.asides = slices.DeleteFunc(slices.Clone(s.asides), func(o *Session) bool { return o == a })
		s.mu.Unlock()
	}()
	err := func() error {
		defer func() { left = a.disconnect() }()
		return f(a)
	}()
	return errors.Join(err, left)
}

// identify asks who the person is now.
func (s *Session) identify(ctx context.Context) (Identity, error) {
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
	return who, nil
}

// Choice is what the person has to choose before they can do anything, or nil. Any
// other reason why they can do nothing is not told here.
func (s *Session) Choice(ctx context.Context) *ChoiceError {
	who, err := s.identify(ctx)
	if err != nil {
		return nil
	}
	choice, _ := errors.AsType[*ChoiceError](s.c.Policy.Conflict(who))
	return choice
}

// Act has the person act in one of several roles that nobody may hold together, in
// all of their sessions and until they sign in again. It can be chosen once.
func (s *Session) Act(ctx context.Context, role string) error {
	who, err := s.identify(ctx)
	if err != nil {
		return err
	}
	conflict := s.c.Policy.Conflict(who)
	choice, open := errors.AsType[*ChoiceError](conflict)
	switch {
	case !open && conflict != nil:
		return conflict
	case !open && len(who.Acting) > 0:
		return &DeniedError{Reason: "you act as " + strings.Join(who.Acting, " and ") + " since you chose so", Next: "to choose anew, sign in again first: ssh bastion login"}
	case !open:
		return &DeniedError{Reason: "there is nothing to choose: you act in all of your roles"}
	case !slices.Contains(choice.Roles, role):
		return fmt.Errorf("role %q is not among those to choose from: %s", VisibleLine(role), strings.Join(choice.Roles, ", "))
	case s.c.Act == nil:
		return errors.New("this identity cannot choose; have one of the roles taken from it")
	}
	who, err = s.c.Act(ctx, who, s.c.Origin, role)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.who = who
	s.mu.Unlock()
	return nil
}

// current is identify for somebody who is about to do something: with what they were
// granted, and not while they hold roles that nobody may hold together. It remembers
// the answer.
func (s *Session) current(ctx context.Context) (Identity, error) {
	who, err := s.identify(ctx)
	if err != nil {
		return Identity{}, err
	}
	if err := s.c.Policy.Conflict(who); err != nil {
		return Identity{}, err
	}
	if who.Grants, err = s.c.Approvals.Grants(ctx, who); err != nil {
		return Identity{}, err
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

// Warn tells the person something that they did not ask for, such as that their
// access ends soon. Of several that nobody has read the newest counts.
func (s *Session) Warn(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.warnings:
	default:
	}
	s.warnings <- text // room for one, and only this function sends, under mu
}

// Warnings receives what Warn says. A screen shows it.
func (s *Session) Warnings() <-chan string { return s.warnings }

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
	// Given is a reason that came with the operation. An open request that has none yet
	// gets it.
	Given string
	// Unasked: nobody can be asked, so that what Reason returns without a Given only
	// stands for a reason.
	Unasked bool
	// Sent is called right before the operation goes to its target: until then nothing
	// of it ran, and from then on some of it may have. It may be nil.
	Sent func()
	// Waiting is told of the request each time it changes. It may be nil.
	Waiting func(Request)
	// Done hears how the operation ended, after its answer. Only native clients,
	// which do not wait for one operation before they begin the next, need it.
	Done func(error)
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
	return s.parse(ctx, target, text, Params{})
}

// Bind is Parse for a text that names parameters, and the values for them. Together
// they are the operation: another value makes another digest.
func (s *Session) Bind(ctx context.Context, target, text string, values []Value) (Operation, error) {
	if len(values) == 0 {
		return s.Parse(ctx, target, text)
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	_, t, err := s.link(target)
	if err != nil {
		return Operation{}, err
	}
	c, err := s.connector(t)
	if err != nil {
		return Operation{}, err
	}
	b, ok := c.(Binder)
	if !ok {
		return Operation{}, fmt.Errorf("targets of kind %q take no parameters", t.Kind)
	}
	params, err := b.Bind(t, text, values)
	if err != nil {
		return Operation{}, err
	}
	return s.parse(ctx, target, text, params)
}

func (s *Session) parse(ctx context.Context, target, text string, params Params) (Operation, error) {
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
	op := Operation{target: t, intent: intent, text: text, params: params, session: s}
	op.digest = op.Digest()
	return op, nil
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

// Estimate returns the operation with the rows that the target's planner expects it to
// touch, for Decide, whose answer says where policy wants to know.
func (s *Session) Estimate(ctx context.Context, op Operation) (Operation, error) {
	if op.session != s || op.intent.Verb == "" {
		return Operation{}, ErrPermit
	}
	return op.Estimated(s.preview(ctx, op).Rows), nil
}

// Run takes one operation to its target and waits for the end of its answer.
// [Native.Begin] does the same for programs that do not wait; both go through
// admit, and there is no other way.
func (s *Session) Run(ctx context.Context, op Operation, job Job) error {
	if op.session != s || op.intent.Verb == "" || job.Show == nil {
		return ErrPermit
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	var t turn // this session's turn on the connection
	a, err := s.admit(ctx, op, job, func(ctx context.Context, _ bool) (err error) {
		t, err = s.hold(ctx, op)
		return err
	})
	if t.release != nil {
		defer t.release()
	}
	if err != nil {
		return err
	}
	if op.intent.Verb == Connect {
		c, err := s.connector(op.target)
		if err != nil {
			return err
		}
		return s.dial(ctx, a, c.Dial)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	now := &run{op: &a.op, asked: a.decision.Effect == Ask, mask: a.decision.Mask, stop: cancel}
	s.begin(now)
	if job.Sent != nil {
		job.Sent()
	}
	err = t.conn.Do(ctx, s.permit(&a.op, ForDo, Secret{}), job.In, a.sink)
	s.over(now)
	s.lose(op.target.Name, t.link, err)
	if stopped, ok := errors.AsType[*DeniedError](context.Cause(ctx)); ok && err != nil {
		err = stopped // and not what the target says of being told to stop
	}
	return s.finish(ctx, &a, err)
}

// admitted is an operation that may run now.
type admitted struct {
	op       Operation
	decision Decision
	request  uint64 // the approval that was used; 0 if none was needed
	sink     *Sink  // for the answer
	began    time.Time
}

// admit decides, records the decision, waits for people where policy asks for
// them, takes the connection, and decides once more if that took time.
func (s *Session) admit(ctx context.Context, op Operation, job Job, take func(ctx context.Context, asked bool) error) (a admitted, err error) {
	op, decision, question, err := s.decide(ctx, op, nil) // identity and policy as they are now; recorded
	if err != nil {
		return a, err
	}
	if decision.Effect == Ask {
		if a.request, err = s.ask(ctx, &question, job); err != nil { // waits for people
			return a, err
		}
	}
	if err = take(ctx, decision.Effect == Ask); err != nil {
		return a, err
	}
	if decision.Effect == Ask {
		// People took their time. What runs is what they saw, read and decided anew.
		if op, err = s.reread(ctx, op); err != nil {
			return a, err
		}
		reason := question.Reason
		if op, decision, question, err = s.decide(ctx, op, &question.said); err != nil {
			return a, err
		}
		question.Reason = reason
		if decision.Effect == Ask {
			if err = s.flush(); err != nil {
				return a, err
			}
			if _, err = s.c.Approvals.Use(ctx, a.request, question); err != nil { // at most once
				return a, err
			}
		}
	}
	a.op, a.decision, a.began = op, decision, s.c.Now()
	a.sink = &Sink{rules: decision.Mask, outputs: op.intent.Outputs, show: job.Show, scatter: op.scatters(decision.Mask)}
	return a, nil
}

// decide asks policy, and records the answer before anything else happens. The
// operation comes back with what the target's planner expects, where policy
// wanted to know. An answer that was said before, about the same operation on its way,
// is not recorded again.
func (s *Session) decide(ctx context.Context, op Operation, said *Event) (Operation, Decision, Question, error) {
	who, err := s.current(ctx)
	if err != nil {
		return op, Decision{}, Question{}, err
	}
	d := s.c.Policy.Decide(who, op)
	var preview *Preview
	if d.Estimate {
		p := s.preview(ctx, op)
		preview, op = &p, op.Estimated(p.Rows)
		d = s.c.Policy.Decide(who, op)
	}
	stale := d.Effect != Deny && d.Fresh > 0 && who.Kind == Person && s.c.Now().Sub(who.SignedIn) > d.Fresh
	e := s.event(EventDecision, op)
	e.Effect, e.Rule, e.Reason, e.Params = d.Effect.String(), d.Rule, d.Reason, op.recordedParams(d.Mask)
	fails := d.Effect != Allow && op.intent.Fails != nil
	switch {
	case fails:
		e.Error = op.intent.Fails.Error()
	case stale:
		e.Error = "the sign-in is too old"
	}
	if said == nil || !e.says(*said) {
		if err := s.record(e); err != nil {
			return op, Decision{}, Question{}, err
		}
	}
	if fails {
		return op, Decision{}, Question{}, op.intent.Fails
	}
	if stale {
		return op, Decision{}, Question{}, &StaleError{d.Fresh}
	}
	if d.Effect != Allow && d.Effect != Ask {
		return op, Decision{}, Question{}, &DeniedError{d.Rule, d.Reason, d.Next}
	}
	return op, d, Question{Who: who, Origin: s.c.Origin, Session: s.c.ID, Op: op, Decision: d, known: preview, said: e}, nil
}

// ask finds or files a request for the question and waits until it is approved.
func (s *Session) ask(ctx context.Context, q *Question, job Job) (uint64, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	r, ok, err := s.c.Approvals.Find(ctx, q.Who, q.Op)
	if err != nil {
		return 0, err
	}
	if !ok {
		if q.known != nil {
			q.Preview = *q.known
		} else {
			q.Preview = s.preview(ctx, q.Op)
		}
		if job.Reason == nil {
			return 0, fmt.Errorf("%w: %s", ErrReason, q.Decision.Needs)
		}
		if q.Reason, err = job.Reason(ctx, q.Decision, q.Preview); err != nil {
			return 0, err
		}
		if q.Reason == "" {
			return 0, fmt.Errorf("%w: %s", ErrReason, q.Decision.Needs)
		}
		q.NoReason = job.Unasked && job.Given == ""
	}
	late := ok && r.NoReason && job.Given != ""
	if late {
		q.Reason = job.Given
	}
	if !ok || late {
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
	p := s.estimate(ctx, op)
	p.At = s.c.Now()
	return p
}

func (s *Session) estimate(ctx context.Context, op Operation) Preview {
	unknown := Preview{Rows: -1, Note: "the target gave no estimate"}
	if op.intent.Verb == Connect {
		return Preview{Rows: -1}
	}
	l, _, err := s.link(op.target.Name)
	if err != nil {
		return unknown
	}
	p, err := l.conn.Preview(ctx, s.permit(&op, ForPreview, Secret{}))
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
		again, err := s.Connecting(ctx, op.target.Name)
		if err == nil && again.target.Address == op.target.Address {
			again.intent, again.params = op.intent, op.params
		}
		return again, err
	}
	again, err := s.parse(ctx, op.target.Name, op.text, op.params)
	if err != nil {
		return Operation{}, err
	}
	if again.Digest() != op.Digest() {
		return Operation{}, &DeniedError{Rule: "exact-operation", Reason: "the session's settings changed while the request waited, so what would run is not what was approved", Next: "ask again"}
	}
	return again, nil
}

func (s *Session) permit(op *Operation, purpose Purpose, secret Secret) *Permit {
	p := &Permit{op: op, purpose: purpose, secret: secret}
	if purpose == ForDial {
		p.person = s.Who().ID()
		p.label = "sallyport " + VisibleLine(s.Who().Name) + " " + s.c.ID
	}
	return p
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
func (s *Session) dial(ctx context.Context, a admitted, connect func(context.Context, *Permit) (Conn, error)) error {
	name := a.op.target.Name
	a.sink = nil // connecting shows nothing
	secret, err := s.c.Secrets.Secret(ctx, a.op.target)
	if err != nil {
		return s.finish(ctx, &a, fmt.Errorf("the credential of %s cannot be fetched; tell whoever runs the bastion", name))
	}
	conn, err := connect(ctx, s.permit(&a.op, ForDial, secret))
	if err != nil {
		return s.finish(ctx, &a, err)
	}
	l := &link{target: a.op.target, conn: conn, busy: make(chan struct{}, 1)}
	if a.decision.Effect == Ask && a.decision.Holds > 0 {
		l.holds = a.request
	}
	l.busy <- struct{}{}
	s.mu.Lock()
	_, taken := s.links[name]
	closed := s.links == nil
	if !taken && !closed {
		s.links[name] = l
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
	return s.finish(ctx, &a, nil)
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
	if l == nil {
		return nil, Target{}, fmt.Errorf("target %q is not open in this session", VisibleLine(target))
	}
	return l, l.target, nil
}

// finish records how an operation ended, and takes target data out of its error.
func (s *Session) finish(ctx context.Context, a *admitted, err error) error {
	e := s.event(EventResult, a.op)
	e.Text, e.Rule, e.Request, e.Took = "", a.decision.Rule, a.request, s.c.Now().Sub(a.began)
	if a.sink != nil {
		e.Rows, e.Masked = a.sink.rows+a.sink.changed, a.sink.masked
	}
	err = clean(err, a.decision.Mask)
	if te, ok := errors.AsType[*TargetError](err); ok {
		told := *te
		told.Detail = ""
		e.Error = told.Error()
	} else if err != nil {
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

// clean takes target data out of an error, where any is hidden.
func clean(err error, rules mask.Rules) error {
	te, ok := errors.AsType[*TargetError](err)
	if !ok || rules.HidesNothing() {
		return err
	}
	c := *te
	c.Detail, c.Native = "", nil
	if te.Detail != "" {
		c.Detail = "details are hidden because they may carry masked data"
	}
	return &c
}

func (s *Session) event(k EventKind, op Operation) Event {
	return Event{Kind: k, Target: op.target.Name, Verb: op.intent.Verb, Text: op.Recorded(), Digest: op.Digest()}
}

// record writes an event. If it cannot, the session ends.
func (s *Session) record(e Event) error {
	s.mu.Lock()
	name := s.who.Name
	s.mu.Unlock()
	e.At, e.Session, e.Who, e.Name = s.c.Now(), s.c.ID, s.whoID, name
	e.Offset = e.At.Sub(s.started)
	return s.recorded(s.c.Recorder.Event(e))
}

// flush makes durable what is recorded, before anything is built upon it.
func (s *Session) flush() error { return s.recorded(s.c.Recorder.Flush()) }

func (s *Session) output(p []byte) error { return s.recorded(s.c.Recorder.Output(p)) }

func (s *Session) resize(w Window) error { return s.recorded(s.c.Recorder.Resize(w.Width, w.Height)) }

func (s *Session) recorded(err error) error {
	if err != nil {
		s.end(ErrRecorder)
		return fmt.Errorf("%w: %w", ErrRecorder, err)
	}
	return nil
}
