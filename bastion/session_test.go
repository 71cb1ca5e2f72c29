package bastion_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// world is everything around a session, with a log of what happened in order.
type world struct {
	t  *testing.T
	mu sync.Mutex // guards log
	// log has an entry for each thing that reached a neighbour of the session.
	log []string

	now      time.Time
	decide   func(bastion.Identity, bastion.Operation) bastion.Decision
	current  func(bastion.Identity) (bastion.Identity, error)
	settings string
	probes   []bastion.Probe // of every text
	answer   func(*bastion.Sink) error
	recorder func(string) error // fails a write by what it is
	approve  func(context.Context) error
	use      func(bastion.Question) error
	open     bastion.Request // that is found
	filed    []bastion.Question
	held     bastion.RequestState // of an approval that was used
	roles    []bastion.Role
	screen   bytes.Buffer
	events   []bastion.Event
}

func (w *world) note(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, a...))
}

func (w *world) happened() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, " ")
}

func (w *world) did(what string) bool { return strings.Contains(" "+w.happened()+" ", " "+what+" ") }

// policy
func (w *world) Decide(i bastion.Identity, op bastion.Operation) bastion.Decision {
	return w.decide(i, op)
}
func (w *world) Access(bastion.Identity, bastion.Target) bastion.Access {
	return bastion.Access{Connect: bastion.Allow}
}
func (w *world) Roles(bastion.Identity) []bastion.Role { return w.roles }

// identities and secrets
func (w *world) Current(_ context.Context, i bastion.Identity) (bastion.Identity, error) {
	return w.current(i)
}
func (w *world) Secret(context.Context, bastion.Target) (bastion.Secret, error) {
	w.note("secret")
	return bastion.NewSecret("shop_app", "hunter2"), nil
}

// recorder
type recorder struct{ *world }

func (r recorder) Event(e bastion.Event) error {
	r.note("event:%s:%s%s", e.Kind, e.Verb, e.Effect)
	r.events = append(r.events, e)
	return r.world.recorder("event:" + string(e.Kind))
}
func (r recorder) Output(p []byte) error {
	r.note("output")
	return r.world.recorder("output")
}
func (r recorder) Flush() error          { r.note("flush"); return r.world.recorder("flush") }
func (r recorder) Note([]byte) error     { return r.world.recorder("note") }
func (r recorder) Resize(int, int) error { return r.world.recorder("resize") }
func (r recorder) Close() error          { r.note("sealed"); return nil }

// approvals; those that no test uses are left nil by embedding.
type approvals struct {
	bastion.Approvals
	*world
}

func (a approvals) Find(context.Context, bastion.Identity, bastion.Operation) (bastion.Request, bool, error) {
	return a.open, a.open.ID != 0, nil
}
func (a approvals) File(_ context.Context, q bastion.Question) (bastion.Request, error) {
	a.note("filed")
	a.filed = append(a.filed, q)
	return bastion.Request{ID: 17, State: bastion.Pending, Text: q.Op.Text(), Reason: q.Reason}, nil
}
func (a approvals) Wait(ctx context.Context, id uint64, update func(bastion.Request)) (bastion.Request, error) {
	if err := a.approve(ctx); err != nil {
		return bastion.Request{}, err
	}
	return bastion.Request{ID: id, State: bastion.Approved}, nil
}
func (a approvals) Use(_ context.Context, id uint64, q bastion.Question) (bastion.Request, error) {
	a.note("used")
	return bastion.Request{ID: id}, a.use(q)
}

func (a approvals) Request(_ context.Context, _ bastion.Identity, id uint64) (bastion.Request, error) {
	if a.held == "" {
		return bastion.Request{}, bastion.ErrNotFound
	}
	return bastion.Request{ID: id, State: a.held, Expires: a.now.Add(time.Minute)}, nil
}

type archive struct{ bastion.Archive }

// connector
type connector struct{ *world }

func (c connector) Kind() string                           { return "fake" }
func (c connector) Verbs() []bastion.VerbInfo              { return nil }
func (c connector) Check(bastion.Target) error             { return nil }
func (c connector) Split(string) ([]string, string, error) { return nil, "", nil }
func (c connector) Parse(bastion.Target, string) (bastion.Intent, error) {
	return bastion.Intent{}, nil
}
func (c connector) Dial(_ context.Context, p *bastion.Permit) (bastion.Conn, error) {
	if _, err := p.Use(bastion.ForDial); err != nil {
		return nil, err
	}
	c.note("dial")
	return conn(c), nil
}

type conn struct{ *world }

func (c conn) Parse(_ context.Context, text string) (bastion.Intent, error) {
	verb, _, _ := strings.Cut(text, " ")
	if verb == "gibberish" {
		return bastion.Intent{}, &bastion.ParseError{Message: "no"}
	}
	return bastion.Intent{
		Verb: bastion.Verb(verb), Actions: []bastion.Action{{Verb: bastion.Verb(verb), Resource: "public.t"}},
		Outputs:  []mask.Column{{Name: "id", Proven: true, Sources: []string{"public.t.id"}}, {Name: "email", Proven: true, Sources: []string{"public.t.email"}}},
		Settings: c.settings, Probes: c.probes,
	}, nil
}
func (c conn) Preview(_ context.Context, p *bastion.Permit) (bastion.Preview, error) {
	_, err := p.Use(bastion.ForPreview)
	c.note("preview")
	return bastion.Preview{Rows: 3}, err
}
func (c conn) Do(ctx context.Context, p *bastion.Permit, _ io.Reader, out *bastion.Sink) error {
	op, err := p.Use(bastion.ForDo)
	if err != nil {
		return err
	}
	c.note("do:%s", strings.ReplaceAll(op.Text(), " ", "_"))
	if _, err := p.Use(bastion.ForDo); err == nil {
		c.t.Error("a permit was used twice")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.answer(out); err != nil {
		return err
	}
	return ctx.Err()
}
func (c conn) Names(context.Context) ([]bastion.Name, error) { return nil, nil }
func (c conn) Command(string) (string, bool, error)          { return "", false, nil }
func (c conn) Close() error                                  { c.note("closed"); return nil }

// channel
type channel struct {
	io.Reader
	*world
}

func (c channel) Write(p []byte) (int, error) {
	c.note("shown")
	return c.screen.Write(p)
}
func (c channel) Stderr() io.ReadWriter { return c }
func (c channel) CloseWrite() error     { return nil }

var alice = bastion.Identity{Issuer: "https://id.example", Subject: "1", Kind: bastion.Person, Name: "alice"}

func newWorld(t *testing.T) *world {
	labels, err := mask.NewRules([]byte("key"), mask.Label{Pattern: "public.t.email", Kind: mask.Redact})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: time.Unix(1_000_000, 0)}
	w.decide = func(bastion.Identity, bastion.Operation) bastion.Decision {
		return bastion.Decision{Effect: bastion.Allow, Mask: labels}
	}
	w.current = func(i bastion.Identity) (bastion.Identity, error) { return i, nil }
	w.answer = func(s *bastion.Sink) error {
		return errors.Join(s.Columns([]bastion.Column{{Name: "id"}, {Name: "email"}}),
			s.Row([][]byte{[]byte("7"), []byte("ann@example.com")}), s.Tag("SELECT", 1))
	}
	w.recorder = func(string) error { return nil }
	w.approve = func(context.Context) error { return nil }
	w.use = func(bastion.Question) error { return nil }
	return w
}

// ask makes w's policy ask for approval of everything but connecting.
func (w *world) ask() {
	allow := w.decide
	w.decide = func(i bastion.Identity, op bastion.Operation) bastion.Decision {
		d := allow(i, op)
		if op.Intent().Verb != bastion.Connect {
			d.Effect, d.Needs = bastion.Ask, bastion.Needs{{Count: 1, Role: "reviewer"}}
		}
		return d
	}
}

func (w *world) session() *bastion.Session {
	w.t.Helper()
	s, err := bastion.NewSession(w.t.Context(), w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) config() bastion.Config {
	return bastion.Config{
		ID: "s1", Identity: alice, Channel: channel{strings.NewReader(""), w},
		Targets:    bastion.Targets{{Name: "db", Kind: "fake"}, {Name: "other", Kind: "fake"}},
		Connectors: []bastion.Connector{connector{w}}, Policy: w, Approvals: approvals{world: w}, Identities: w, Secrets: w,
		Recorder: recorder{w}, Archive: archive{}, Now: func() time.Time { return w.now },
	}
}

// run opens the target and runs one text, and returns what was shown.
func (w *world) run(s *bastion.Session, text string) (shown string, err error) {
	w.t.Helper()
	job := bastion.Job{
		Show: func(f bastion.Frame) error {
			if f.Kind() == bastion.RowFrame {
				shown += string(bytes.Join(f.Row(), []byte("|")))
			}
			return nil
		},
		Reason: func(context.Context, bastion.Decision, bastion.Preview) (string, error) { return "because", nil },
	}
	if err := s.Open(w.t.Context(), "db", job); err != nil {
		return shown, err
	}
	op, err := s.Parse(w.t.Context(), "db", text)
	if err != nil {
		return shown, err
	}
	err = s.Run(w.t.Context(), op, job)
	return shown, err
}

func TestThePath(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	shown, err := w.run(s, "select all")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if shown != "7|****" {
		t.Errorf("shown: %q", shown)
	}
	want := "event:session-start: event:decision:connectallow secret dial event:result:connect " +
		"event:decision:selectallow do:select_all event:result:select closed event:session-end: sealed"
	if got := w.happened(); got != want {
		t.Errorf("happened:\n%s\nwant:\n%s", got, want)
	}
}

func TestDeniedReachesNothing(t *testing.T) {
	w := newWorld(t)
	w.decide = func(bastion.Identity, bastion.Operation) bastion.Decision {
		return bastion.Decision{Effect: bastion.Deny, Rule: "no"}
	}
	_, err := w.run(w.session(), "select all")
	var denied *bastion.DeniedError
	if !errors.As(err, &denied) || denied.Rule != "no" {
		t.Errorf("error: %v", err)
	}
	if w.did("secret") || w.did("dial") {
		t.Errorf("happened: %s", w.happened())
	}
}

func TestZeroDecisionDenies(t *testing.T) {
	w := newWorld(t)
	w.decide = func(bastion.Identity, bastion.Operation) bastion.Decision { return bastion.Decision{} }
	if _, err := w.run(w.session(), "select all"); err == nil || w.did("dial") {
		t.Errorf("error %v, happened: %s", err, w.happened())
	}
}

func TestUnknownEffectDenies(t *testing.T) {
	w := newWorld(t)
	w.decide = func(bastion.Identity, bastion.Operation) bastion.Decision { return bastion.Decision{Effect: 99} }
	if _, err := w.run(w.session(), "select all"); err == nil || w.did("dial") {
		t.Errorf("error %v, happened: %s", err, w.happened())
	}
}

// Fail closed: what cannot be recorded does not happen, and the session is over.
func TestRecorderFailureStopsEverything(t *testing.T) {
	full := errors.New("disk full")
	t.Run("before the decision takes effect", func(t *testing.T) {
		w := newWorld(t)
		s := w.session()
		if _, err := w.run(s, "select one"); err != nil {
			t.Fatal(err)
		}
		w.recorder = func(what string) error { return full }
		if _, err := w.run(s, "select two"); !errors.Is(err, bastion.ErrRecorder) {
			t.Errorf("error: %v", err)
		}
		if w.did("do:select_two") {
			t.Error("an unrecorded statement ran")
		}
		if !errors.Is(context.Cause(s.Context()), bastion.ErrRecorder) {
			t.Errorf("the session goes on: %v", context.Cause(s.Context()))
		}
		w.recorder = func(string) error { return nil }
		if _, err := w.run(s, "select three"); !errors.Is(err, bastion.ErrRecorder) || w.did("do:select_three") {
			t.Errorf("an ended session ran a statement: %v", err)
		}
	})
	for name, last := range map[string]string{"before people are asked": "filed", "before their approval is used": "used"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ask()
			s := w.session()
			w.recorder = func(what string) error {
				if what == "flush" && (last == "filed" || w.did("filed")) {
					return full
				}
				return nil
			}
			if _, err := w.run(s, "update x"); !errors.Is(err, bastion.ErrRecorder) || !errors.Is(context.Cause(s.Context()), bastion.ErrRecorder) {
				t.Errorf("error: %v", err)
			}
			if w.did(last) || w.did("do:update_x") {
				t.Errorf("happened: %s", w.happened())
			}
		})
	}
	t.Run("output", func(t *testing.T) {
		w := newWorld(t)
		s := w.session()
		w.recorder = func(what string) error { return full }
		if _, err := s.Terminal().Write([]byte("secret")); !errors.Is(err, bastion.ErrRecorder) {
			t.Errorf("error: %v", err)
		}
		if _, err := s.Terminal().Stderr().Write([]byte("secret")); !errors.Is(err, bastion.ErrRecorder) {
			t.Errorf("error: %v", err)
		}
		if w.screen.Len() > 0 {
			t.Error("unrecorded bytes were shown")
		}
	})
	t.Run("start", func(t *testing.T) {
		w := newWorld(t)
		w.recorder = func(what string) error { return full }
		if _, err := bastion.NewSession(t.Context(), w.config()); err == nil {
			t.Error("a session started unrecorded")
		}
	})
}

func TestNeedsInWords(t *testing.T) {
	for want, needs := range map[string]bastion.Needs{
		"1 approval by a reviewer":                            {{Count: 1, Role: "reviewer"}},
		"1 approval by an owner or dba":                       {{Count: 1, Role: "owner", Or: []string{"dba"}}},
		"2 approvals by reviewers or bosses":                  {{Count: 2, Role: "reviewer", Or: []string{"boss"}}},
		"2 approvals by deputies and 3 approvals by attaches": {{Count: 2, Role: "deputy"}, {Count: 3, Role: "attach"}},
		"2 approvals by keys":                                 {{Count: 2, Role: "key"}},
		"":                                                    nil,
	} {
		if got := needs.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSessionNeedsItsGuards(t *testing.T) {
	for name, drop := range map[string]func(*bastion.Config){
		"identity":   func(c *bastion.Config) { c.Identity = bastion.Identity{Name: "nobody"} },
		"policy":     func(c *bastion.Config) { c.Policy = nil },
		"approvals":  func(c *bastion.Config) { c.Approvals = nil },
		"recorder":   func(c *bastion.Config) { c.Recorder = nil },
		"identities": func(c *bastion.Config) { c.Identities = nil },
		"clock":      func(c *bastion.Config) { c.Now = nil },
	} {
		c := newWorld(t).config()
		drop(&c)
		if _, err := bastion.NewSession(t.Context(), c); err == nil {
			t.Errorf("a session without %s started", name)
		}
	}
}

func TestApprovedRunsOnce(t *testing.T) {
	w := newWorld(t)
	w.ask()
	if _, err := w.run(w.session(), "update x"); err != nil {
		t.Fatal(err)
	}
	if want := "event:decision:updateask flush preview filed flush used do:update_x event:result:update"; !strings.HasSuffix(w.happened(), want) {
		t.Errorf("happened:\n%s\nwant at the end:\n%s", w.happened(), want)
	}
}

// A client that cannot be asked gives its reason now or later, and a request that has
// none gets the one that comes with the next attempt.
func TestReasonsOfClients(t *testing.T) {
	none := bastion.Request{ID: 17, State: bastion.Pending, Reason: "none", NoReason: true}
	some := bastion.Request{ID: 17, State: bastion.Pending, Reason: "ticket 1"}
	for name, c := range map[string]struct {
		open  bastion.Request
		given string
		filed string // as what; empty for not at all
		none  bool
	}{
		"the first, without": {bastion.Request{}, "", "stands for one", true},
		"the first, with":    {bastion.Request{}, "ticket 2", "stands for one", false}, // what Reason made of it
		"later, without":     {none, "", "", false},
		"later, with":        {none, "ticket 2", "ticket 2", false},
		"when there is one":  {some, "ticket 2", "", false},
	} {
		w := newWorld(t)
		s := w.session()
		if _, err := w.run(s, "select all"); err != nil {
			t.Fatal(err)
		}
		w.ask()
		w.open = c.open
		op, err := s.Parse(t.Context(), "db", "update x")
		if err != nil {
			t.Fatal(err)
		}
		err = s.Run(t.Context(), op, bastion.Job{Show: func(bastion.Frame) error { return nil }, Given: c.given, Unasked: true,
			Reason: func(context.Context, bastion.Decision, bastion.Preview) (string, error) { return "stands for one", nil }})
		if err != nil {
			t.Fatal(err)
		}
		if c.filed == "" && len(w.filed) > 0 || c.filed != "" && (len(w.filed) != 1 || w.filed[0].Reason != c.filed || w.filed[0].NoReason != c.none) {
			t.Errorf("%s: %+v", name, w.filed)
		}
	}
}

func TestNotApprovedDoesNotRun(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"denied while waiting":   func(w *world) { w.approve = func(context.Context) error { return &bastion.NotApprovedError{} } },
		"approval not valid now": func(w *world) { w.use = func(bastion.Question) error { return errors.New("used before") } },
		"policy changed meanwhile": func(w *world) {
			w.approve = func(context.Context) error {
				w.decide = func(bastion.Identity, bastion.Operation) bastion.Decision { return bastion.Decision{} }
				return nil
			}
		},
		"settings changed meanwhile": func(w *world) {
			w.approve = func(context.Context) error { w.settings = "search_path=evil"; return nil }
		},
		"person lost their binding meanwhile": func(w *world) {
			w.approve = func(context.Context) error {
				w.current = func(bastion.Identity) (bastion.Identity, error) { return bastion.Identity{}, bastion.ErrExpired }
				return nil
			}
		},
		"sign-in too old": func(w *world) {
			ask := w.decide
			w.decide = func(i bastion.Identity, op bastion.Operation) bastion.Decision {
				d := ask(i, op)
				d.Fresh = time.Minute
				return d
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ask()
			prepare(w)
			if _, err := w.run(w.session(), "update x"); err == nil || w.did("do:update_x") {
				t.Errorf("error %v, happened: %s", err, w.happened())
			}
		})
	}
}

func TestReasonIsNeeded(t *testing.T) {
	w := newWorld(t)
	w.ask()
	s := w.session()
	show := func(bastion.Frame) error { return nil }
	if err := s.Open(t.Context(), "db", bastion.Job{Show: show}); err != nil {
		t.Fatal(err)
	}
	op, err := s.Parse(t.Context(), "db", "update x")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), op, bastion.Job{Show: show}); !errors.Is(err, bastion.ErrReason) || w.did("filed") {
		t.Errorf("error %v, happened %s", err, w.happened())
	}
}

// An operation belongs to the session that read it.
func TestForeignAndPlannedOperationsAreRefused(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	job := bastion.Job{Show: func(bastion.Frame) error { return nil }}
	if err := s.Open(t.Context(), "db", job); err != nil {
		t.Fatal(err)
	}
	other := newWorld(t)
	so := other.session()
	if err := so.Open(t.Context(), "db", job); err != nil {
		t.Fatal(err)
	}
	foreign, err := so.Parse(t.Context(), "db", "select foreign")
	if err != nil {
		t.Fatal(err)
	}
	planned := bastion.Plan(bastion.Target{Name: "db", Kind: "fake"}, "select planned", bastion.Intent{Verb: "select", Actions: []bastion.Action{{Verb: "select"}}})
	for _, op := range []bastion.Operation{foreign, planned, {}} {
		if err := s.Run(t.Context(), op, job); !errors.Is(err, bastion.ErrPermit) {
			t.Errorf("%q: %v", op.Text(), err)
		}
	}
	if w.did("do:select_foreign") || w.did("do:select_planned") {
		t.Error("it ran")
	}
}

func TestTextsThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	for name, text := range map[string]string{
		"broken UTF-8":             "select \xff",
		"oversized":                "select " + strings.Repeat("x", bastion.MaxText),
		"not the target's grammar": "gibberish",
		"nothing":                  "",
	} {
		if _, err := w.run(s, text); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
	if strings.Contains(w.happened(), "do:") {
		t.Errorf("happened: %s", w.happened())
	}
	for _, e := range w.events {
		if e.Kind == bastion.EventUnread && e.Error == "" {
			t.Errorf("an unread text left no reason: %+v", e)
		}
	}
}

// A text that nobody can read may be a password's, mistyped.
func TestUnreadTextsKeepNoSecrets(t *testing.T) {
	for _, c := range []struct{ text, kept string }{
		{"gibberish PASWORD 'sesame'", "gibberish PASWORD '****'"},
		{"gibberish PassWord sesame", "gibberish PassWord ****"},
		{"gibberish PASSWORD 'sesame' x", "gibberish PASSWORD ****"},
		{"gibberish 'sesame", "gibberish '****'"},
		{"gibberish $1 $a$sesame's$a$ x", "gibberish $1 '****' x"},
		{"gibberish 'a''sesame' x", "gibberish '****''****' x"},
		{"gibberish $$sesame", "gibberish '****'"},
		{"gibberish from customers", "gibberish from customers"},
	} {
		w := newWorld(t)
		s := w.session()
		if _, err := w.run(s, c.text); err == nil {
			t.Fatalf("%s: it ran", c.text)
		}
		i := slices.IndexFunc(w.events, func(e bastion.Event) bool { return e.Kind == bastion.EventUnread })
		if i < 0 || w.events[i].Text != c.kept || strings.Contains(w.events[i].Error, "sesame") {
			t.Errorf("%s: recorded %+v, want the text %q", c.text, w.events, c.kept)
		}
	}
}

// The target's error text is data too.
func TestErrorDetailsAreHiddenWhereAnythingIs(t *testing.T) {
	w := newWorld(t)
	w.answer = func(*bastion.Sink) error {
		return &bastion.TargetError{Code: "23505", Summary: "unique violation", Detail: "Key (email)=(ann@example.com) already exists"}
	}
	_, err := w.run(w.session(), "insert x")
	if err == nil || strings.Contains(err.Error(), "ann@") || !strings.Contains(err.Error(), "unique violation") {
		t.Errorf("error: %v", err)
	}
	for _, e := range w.events {
		if strings.Contains(fmt.Sprintf("%+v", e), "ann@") {
			t.Errorf("the event holds target data: %+v", e)
		}
	}
	open := newWorld(t)
	open.answer = w.answer
	open.decide = func(bastion.Identity, bastion.Operation) bastion.Decision {
		clear, err := mask.NewRules(nil)
		if err != nil {
			t.Fatal(err)
		}
		return bastion.Decision{Effect: bastion.Allow, Mask: clear}
	}
	s := open.session()
	if _, err := open.run(s, "insert x"); err == nil || !strings.Contains(err.Error(), "ann@") {
		t.Errorf("where nothing is hidden the detail helps: %v", err)
	}
	for _, e := range open.events {
		if strings.Contains(fmt.Sprintf("%+v", e), "ann@") {
			t.Errorf("the event holds target data: %+v", e)
		}
	}
}

func TestSinkHidesWhatIsNotProven(t *testing.T) {
	for _, c := range []struct {
		name    string
		columns []bastion.Column
		want    string
	}{
		{"as read", []bastion.Column{{Name: "id"}, {Name: "email"}}, "a|****"},
		{"more columns than read", []bastion.Column{{Name: "id"}, {Name: "x"}, {Name: "y"}}, "****|****|****"},
		{"the target names a hidden source", []bastion.Column{{Name: "id", Source: "public.t.email"}, {Name: "email"}}, "****|****"},
		{"the target names a source nobody knows", []bastion.Column{{Name: "id", Source: "?"}, {Name: "email"}}, "****|****"},
		{"the target cannot clear", []bastion.Column{{Name: "id"}, {Name: "email", Source: "public.t.id"}}, "a|****"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.answer = func(s *bastion.Sink) error {
				row := [][]byte{[]byte("a"), []byte("b"), []byte("c")}[:len(c.columns)]
				return errors.Join(s.Columns(c.columns), s.Row(row))
			}
			if got, err := w.run(w.session(), "select x"); err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestSinkScattersRows: rows of a join of hidden columns come in the order of what they
// show, all of them or none.
func TestSinkScattersRows(t *testing.T) {
	w := newWorld(t)
	w.probes = []bastion.Probe{{Column: "public.t.email", Equality: true, With: "public.t.email", Order: bastion.Scattered}}
	rows := []string{"c", "a", "b", "a"}
	w.answer = func(s *bastion.Sink) error {
		err := s.Columns([]bastion.Column{{Name: "id"}, {Name: "email"}})
		if !s.Scatters() || s.Clear() || s.Passes() || s.Raw([]byte("x"), 1) == nil {
			t.Error("rows could pass as they come")
		}
		for _, r := range rows {
			err = errors.Join(err, s.Row([][]byte{[]byte(r), []byte("x")}))
		}
		return errors.Join(err, s.Tag("SELECT 4", 4))
	}
	if got, err := w.run(w.session(), "select x"); err != nil || got != "a|****a|****b|****c|****" {
		t.Errorf("got %q, %v", got, err)
	}
	w.answer = func(s *bastion.Sink) error {
		err := s.Columns([]bastion.Column{{Name: "id"}, {Name: "email"}})
		for err == nil {
			err = s.Row([][]byte{[]byte("a"), []byte("x")})
		}
		return err
	}
	if got, err := w.run(w.session(), "select x"); !errors.Is(err, bastion.ErrScattered) || got != "" {
		t.Errorf("more rows than can be kept: %q, %v", got[:min(len(got), 100)], err)
	}
}

func TestZeroValuesRefuse(t *testing.T) {
	var s bastion.Sink
	if s.Columns(nil) == nil || s.Row(nil) == nil || s.Tag("x", 1) == nil || s.Notice("x", nil) == nil {
		t.Error("a zero Sink takes an answer")
	}
	var p bastion.Permit
	for purpose := range bastion.Purpose(5) {
		if _, err := p.Use(purpose); err == nil {
			t.Error("a zero Permit permits")
		}
	}
	if (bastion.Operation{}).Digest() != "" {
		t.Error("a zero Operation has a digest")
	}
}

func TestRowsDoNotShareTheConnectorsMemory(t *testing.T) {
	w := newWorld(t)
	var kept [][]byte
	buf := []byte("7")
	w.answer = func(s *bastion.Sink) error {
		if err := s.Columns([]bastion.Column{{Name: "id"}, {Name: "email"}}); err != nil {
			return err
		}
		err := s.Row([][]byte{buf, nil})
		buf[0] = '9'
		return err
	}
	s := w.session()
	job := bastion.Job{Show: func(f bastion.Frame) error {
		if f.Kind() == bastion.RowFrame {
			kept = f.Row()
		}
		return nil
	}}
	if err := s.Open(t.Context(), "db", job); err != nil {
		t.Fatal(err)
	}
	op, err := s.Parse(t.Context(), "db", "select x")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), op, job); err != nil {
		t.Fatal(err)
	}
	if string(kept[0]) != "7" {
		t.Errorf("the row changed to %q", kept[0])
	}
}

func TestSecretPrintsAsADot(t *testing.T) {
	s := bastion.NewSecret("user", "hunter2")
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(f, s); strings.Contains(got, "hunter2") || strings.Contains(got, "68756e74657232") {
			t.Errorf("%s prints %s", f, got)
		}
		if got := fmt.Sprintf(f, struct{ S bastion.Secret }{s}); strings.Contains(got, "hunter2") {
			t.Errorf("%s prints %s", f, got)
		}
	}
}

// A connection that was lost is forgotten: opening the target again connects anew,
// with a decision of its own.
func TestLostConnection(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	good := w.answer
	w.answer = func(*bastion.Sink) error { return &bastion.TargetError{Summary: "lost", Lost: true} }
	if _, err := w.run(s, "select one"); err == nil {
		t.Fatal("no error")
	}
	if _, err := s.Parse(t.Context(), "db", "select two"); err == nil {
		t.Error("the lost connection still reads")
	}
	w.answer = good
	if _, err := w.run(s, "select two"); err != nil {
		t.Error(err)
	}
	if n := strings.Count(w.happened(), "dial"); n != 2 {
		t.Errorf("%d connections: %s", n, w.happened())
	}
	if n := strings.Count(w.happened(), "decision:connect"); n != 2 {
		t.Errorf("%d decisions to connect", n)
	}
}

// A session aside has connections of its own: it neither finds nor leaves anything on
// the other's. It is recorded with it, and cannot outlive it.
func TestAside(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	if _, err := w.run(s, "select one"); err != nil {
		t.Fatal(err)
	}
	var kept *bastion.Session
	var op bastion.Operation
	err := s.Aside(func(a *bastion.Session) (err error) {
		kept = a
		if a.ID() != s.ID() || !a.Who().Equal(s.Who()) || a.Terminal() != s.Terminal() {
			t.Error("another person, terminal or recording")
		}
		if _, err := a.Parse(t.Context(), "db", "select two"); err == nil {
			t.Error("it found a connection")
		}
		if _, err := w.run(a, "select two"); err != nil {
			return err
		}
		op, err = a.Parse(t.Context(), "db", "select three")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), op, bastion.Job{Show: func(bastion.Frame) error { return nil }}); !errors.Is(err, bastion.ErrPermit) {
		t.Errorf("an operation of another session runs: %v", err)
	}
	if _, err := w.run(kept, "select late"); err == nil {
		t.Error("it runs after it was left")
	}
	if _, err := w.run(s, "select four"); err != nil {
		t.Error(err)
	}
	if n := strings.Count(w.happened(), "dial"); n != 3 { // one of them too late, and closed at once
		t.Errorf("%d connections: %s", n, w.happened())
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.Aside(func(a *bastion.Session) error { panic("fault") })
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Aside(func(a *bastion.Session) error { _, err := w.run(a, "select five"); return err }); err == nil {
		t.Error("something runs after the session")
	}
	if w.did("do:select five") || w.did("do:select late") {
		t.Error(w.happened())
	}
	for _, e := range w.events {
		if e.Who != s.Who().ID() || e.Session != s.ID() {
			t.Errorf("an event of %q in %q: %+v", e.Who, e.Session, e)
		}
	}
}

// One target's connection serves one session; two targets over one session are
// two connections with two decisions.
func TestTwoTargetsTwoDecisions(t *testing.T) {
	w := newWorld(t)
	w.decide = func(_ bastion.Identity, op bastion.Operation) bastion.Decision {
		if op.Target().Name == "other" {
			return bastion.Decision{}
		}
		return bastion.Decision{Effect: bastion.Allow}
	}
	s := w.session()
	job := bastion.Job{Show: func(bastion.Frame) error { return nil }}
	if err := s.Open(t.Context(), "db", job); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), "other", job); err == nil {
		t.Error("the second target opened on the first one's decision")
	}
	if _, err := s.Parse(t.Context(), "other", "select x"); err == nil {
		t.Error("a target that is not open read a text")
	}
}

func (*world) Terms(bastion.Identity, bastion.Target) []bastion.Terms { return nil }
func (*world) Conflict(bastion.Identity) error                        { return nil }

func (approvals) Grants(context.Context, bastion.Identity) ([]bastion.Grant, error) { return nil, nil }

func TestReachableSaysHowTargetsAreNamed(t *testing.T) {
	w := &world{t: t}
	for name, hint := range map[string]bool{"10.0.0.7": true, "::1": true, "nosuch": false} {
		err := bastion.Reachable(w, nil, nil, bastion.Identity{}, name, 5432)
		if !errors.Is(err, bastion.ErrNotFound) || strings.Contains(err.Error(), "socks5h") != hint {
			t.Errorf("%s: %v", name, err)
		}
	}
}
