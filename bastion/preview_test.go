package bastion_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// trier is a connector whose operations can be tried.
type trier struct {
	connector
	look func() (string, error)
	try  func(before, after *bastion.Sink) (bastion.Preview, error)
}

type tryConn struct {
	conn
	of trier
}

func (c trier) Dial(ctx context.Context, p *bastion.Permit) (bastion.Conn, error) {
	inner, err := c.connector.Dial(ctx, p)
	if err != nil {
		return nil, err
	}
	return tryConn{inner.(conn), c}, nil
}

func (c tryConn) Adopt(context.Context, string) error { return nil }

func (c tryConn) Look(context.Context, string) (string, error) { return c.of.look() }

func (c tryConn) Try(_ context.Context, p *bastion.Permit, before, after *bastion.Sink) (bastion.Preview, error) {
	op, err := p.Use(bastion.ForTry)
	if err != nil {
		return bastion.Preview{}, err
	}
	c.note("try:%s", strings.ReplaceAll(op.Text(), " ", "_"))
	return c.of.try(before, after)
}

func (c tryConn) Do(context.Context, *bastion.Permit, io.Reader, *bastion.Sink) error {
	c.t.Error("a preview was executed")
	return nil
}

// trials is approvals with one request to try.
type trials struct {
	approvals
	trial bastion.Trial
	err   error
	let   *bastion.Request // rita's own, for connecting
}

func (a trials) Find(_ context.Context, who bastion.Identity, op bastion.Operation) (bastion.Request, bool, error) {
	if a.let == nil || !who.Equal(rita) || op.Intent().Verb != bastion.Connect {
		return bastion.Request{}, false, nil
	}
	return *a.let, true, nil
}

func (a trials) Trial(context.Context, bastion.Identity, uint64) (bastion.Trial, error) {
	return a.trial, a.err
}

var rita = bastion.Identity{Issuer: "https://id.example", Subject: "2", Kind: bastion.Person, Name: "rita"}

// trying is a world in which rita decides about an update of alice's.
type trying struct {
	*world
	conn   trier
	trials trials
	may    bastion.Decision // what rita may, by herself
}

func newTrying(t *testing.T) *trying {
	w := newWorld(t)
	y := &trying{world: w}
	y.may = w.decide(rita, bastion.Operation{})
	ask := y.may
	ask.Effect, ask.Try, ask.Needs, ask.Rule = bastion.Ask, true, bastion.Needs{{Count: 1, Role: "reviewer"}}, "production/write"
	w.decide = func(who bastion.Identity, op bastion.Operation) bastion.Decision {
		if who.Equal(rita) {
			return y.may
		}
		return ask
	}
	y.conn = trier{connector: connector{w}, look: func() (string, error) { return "select it", nil },
		try: func(before, after *bastion.Sink) (bastion.Preview, error) {
			for _, s := range []*bastion.Sink{before, after} {
				if s != nil {
					if err := w.answer(s); err != nil {
						return bastion.Preview{}, err
					}
				}
			}
			return bastion.Preview{Rows: 1, Note: "run and taken back"}, nil
		}}
	intent, err := conn{w}.Parse(t.Context(), "update it")
	if err != nil {
		t.Fatal(err)
	}
	y.trials = trials{approvals: approvals{world: w}, trial: bastion.Trial{Asker: alice, Recorded: "update it",
		Request: bastion.Request{ID: 17, State: bastion.Pending, Target: "db", Verb: "update", Text: "update it", Rule: "production/write", Try: true, Who: alice,
			Digest: bastion.Plan(bastion.Target{Name: "db", Kind: "fake"}, "update it", intent).Digest()}}}
	return y
}

func (y *trying) try() (bastion.Preview, error) {
	y.t.Helper()
	c := y.config()
	c.Identity, c.Connectors, c.Approvals = rita, []bastion.Connector{y.conn}, y.trials
	s, err := bastion.NewSession(y.t.Context(), c)
	if err != nil {
		y.t.Fatal(err)
	}
	return s.Try(y.t.Context(), 17)
}

func TestTry(t *testing.T) {
	y := newTrying(t)
	p, err := y.try()
	if err != nil {
		t.Fatal(err)
	}
	want := "event:session-start: event:try:updateallow flush secret dial event:decision:selectallow try:update_it closed event:try:update"
	if got := y.happened(); got != want {
		t.Errorf("happened:\n%s\nwant:\n%s", got, want)
	}
	if !p.Tried || p.Rows != 1 || p.Before == nil || p.After == nil || len(p.Before.Rows) != 1 {
		t.Fatalf("preview: %+v", p)
	}
	if got := *p.Before.Rows[0][0] + *p.Before.Rows[0][1]; got != "7****" || !p.Before.Columns[1].Masked {
		t.Errorf("rita saw %q", got)
	}
	if y.did("used") || y.did("event:result:update") {
		t.Errorf("a preview counts as an execution: %s", y.happened())
	}
}

// Nobody gets a trial whom policy, of this moment, does not let have it: and then
// the target is left alone.
func TestTryRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*trying)
		want    string
		reaches bool // the target, to read the text
	}{
		"who does not decide":          {func(y *trying) { y.trials.err = bastion.ErrNotFound }, "not yours", false},
		"a rule that does not say so":  {func(y *trying) { y.trials.trial.Request.Try = false }, "does not let", false},
		"a target that is gone":        {func(y *trying) { y.trials.trial.Request.Target = "gone" }, "not found", false},
		"a record that cannot be kept": {func(y *trying) { y.recorder = failing("event:try") }, "recording", false},
		"a record that is not durable": {func(y *trying) { y.recorder = failing("flush") }, "recording", false},
		"other settings":               {func(y *trying) { y.settings = "search_path=mallory" }, "would not be what was asked for", true},
		"other parameters":             {func(y *trying) { y.trials.trial.Params.Bytes = []byte("8") }, "would not be what was asked for", true},
		"another text":                 {func(y *trying) { y.trials.trial.Request.Text = "update all" }, "would not be what was asked for", true},
		"a policy that changed": {func(y *trying) {
			y.decide = func(bastion.Identity, bastion.Operation) bastion.Decision {
				return bastion.Decision{Effect: bastion.Ask, Needs: bastion.Needs{{Count: 1, Role: "reviewer"}}}
			}
		}, "policy has changed", true},
		"a requester who is denied now": {func(y *trying) {
			y.decide = func(bastion.Identity, bastion.Operation) bastion.Decision { return bastion.Decision{Try: true} }
		}, "policy has changed", true},
		"an operation that cannot be taken back": {func(y *trying) {
			y.conn.look = func() (string, error) { return "", errors.New("VACUUM cannot be taken back") }
		}, "VACUUM cannot be taken back", true},
	} {
		t.Run(name, func(t *testing.T) {
			y := newTrying(t)
			c.change(y)
			p, err := y.try()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error: %v; preview %+v", err, p)
			}
			if y.did("try:update_it") || y.did("try:update_all") || y.did("dial") != c.reaches || y.did("dial") != y.did("closed") {
				t.Errorf("happened: %s", y.happened())
			}
		})
	}
}

func failing(what string) func(string) error {
	return func(done string) error {
		if done == what {
			return errors.New("disk full")
		}
		return nil
	}
}

// Who may not read the rows is told how many there are, and no more; and whatever the
// target says of its data stays hidden.
func TestTryShowsWhatOneMayRead(t *testing.T) {
	for name, change := range map[string]func(*trying){
		"who may not read": func(y *trying) { y.may = bastion.Decision{} },
		"who is asked about reading": func(y *trying) {
			y.may.Effect = bastion.Ask
		},
		"who signed in long ago": func(y *trying) { y.may.Fresh = time.Minute },
		"who may not compare what the operation compares": func(y *trying) {
			may, all := y.may, y.decide
			y.decide = func(who bastion.Identity, op bastion.Operation) bastion.Decision {
				if who.Equal(rita) && len(op.Intent().Probes) > 0 {
					return bastion.Decision{Mask: may.Mask, Rule: "masked-column"}
				}
				return all(who, op)
			}
			y.probes = []bastion.Probe{{Column: "public.t.email"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := newTrying(t)
			change(y)
			p, err := y.try()
			if err != nil {
				t.Fatal(err)
			}
			if p.Rows != 1 || p.Before != nil || p.After != nil || !strings.Contains(strings.Join(p.Caveats, " "), "No rows are shown") {
				t.Errorf("preview: %+v", p)
			}
			y.conn.try = func(*bastion.Sink, *bastion.Sink) (bastion.Preview, error) {
				return bastion.Preview{Rows: -1}, &bastion.TargetError{Code: "23505", Summary: "unique violation", Detail: "Key (email)=(ann@example.com) exists"}
			}
			p, err = y.try()
			if err != nil || !strings.Contains(p.Failure, "unique violation") || strings.Contains(p.Failure, "ann@") || p.Rows != -1 {
				t.Errorf("preview of a failure: %+v, %v", p, err)
			}
			for _, e := range y.events {
				if strings.Contains(e.Error, "ann@") {
					t.Errorf("recorded: %+v", e)
				}
			}
		})
	}
}

// Who may connect by an approval that holds may look; one for once is not used for it.
func TestTryByAnApprovalThatHolds(t *testing.T) {
	for _, c := range []struct {
		let  bastion.Request
		use  error
		sees bool
	}{
		{bastion.Request{ID: 3, State: bastion.Approved, Holds: time.Hour}, nil, true},
		{bastion.Request{ID: 3, State: bastion.Approved, Holds: time.Hour}, &bastion.NotApprovedError{}, false},
		{bastion.Request{ID: 3, State: bastion.Approved}, nil, false},
		{bastion.Request{ID: 3, State: bastion.Pending, Holds: time.Hour}, nil, false},
	} {
		y := newTrying(t)
		all := y.decide
		y.decide = func(who bastion.Identity, op bastion.Operation) bastion.Decision {
			d := all(who, op)
			if who.Equal(rita) && op.Intent().Verb == bastion.Connect {
				d.Effect, d.Holds = bastion.Ask, time.Hour
			}
			return d
		}
		y.use = func(bastion.Question) error { return c.use }
		y.trials.let = &c.let
		p, err := y.try()
		if err != nil || (p.Before != nil) != c.sees || y.did("used") != (c.let.State == bastion.Approved && c.let.Holds > 0) {
			t.Errorf("%+v: %+v, %v; happened: %s", c, p, err, y.happened())
		}
	}
}

func TestTryEndsWithTheSession(t *testing.T) {
	y := newTrying(t)
	c := y.config()
	c.Identity, c.Approvals = rita, y.trials
	var s *bastion.Session
	y.conn.try = func(*bastion.Sink, *bastion.Sink) (bastion.Preview, error) {
		if _, err := s.Try(t.Context(), 17); err == nil {
			t.Error("two previews at once")
		}
		s.Fail(errors.New("revoked"))
		return bastion.Preview{}, errors.New("stopped")
	}
	c.Connectors = []bastion.Connector{y.conn}
	s, err := bastion.NewSession(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Try(t.Context(), 17); err == nil || err.Error() != "revoked" {
		t.Errorf("error: %v", err)
	}
	if !y.did("closed") {
		t.Errorf("happened: %s", y.happened())
	}
}

// A connector without trials, such as that of the policy, says so.
func TestTryNeedsATrier(t *testing.T) {
	y := newTrying(t)
	c := y.config()
	c.Identity, c.Approvals = rita, y.trials
	s, err := bastion.NewSession(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Try(t.Context(), 17); err == nil || !strings.Contains(err.Error(), "cannot be tried") {
		t.Errorf("error: %v", err)
	}
}

// Every state says what happened and what to do next, and each says something else.
func TestRequestEnd(t *testing.T) {
	denied := []bastion.Vote{{Who: rita, Verdict: bastion.VoteDeny, Reason: "wrong\x1b table"}}
	seen := map[string]bool{}
	for _, c := range []struct {
		r    bastion.Request
		want string
	}{
		{bastion.Request{ID: 3, State: bastion.Denied, Votes: denied}, "request 3 was denied by rita: wrong<U+001B> table; change it, then ask again"},
		{bastion.Request{ID: 3, State: bastion.Denied}, "request 3 was denied; change it, then ask again"},
		{bastion.Request{ID: 3, State: bastion.Expired}, "request 3 was not approved in time; ask again, and tell those who can approve"},
		{bastion.Request{ID: 3, State: bastion.Expired, EndedFor: "rita may not come in any more"}, "request 3 was approved, but counts no more: rita may not come in any more; ask again"},
		{bastion.Request{ID: 3, State: bastion.Withdrawn, EndedBy: "alice"}, "request 3 was withdrawn by alice; ask again if it is still needed"},
		{bastion.Request{ID: 3, State: bastion.Revoked, EndedBy: "rita", EndedFor: "it is done"}, "request 3 was revoked by rita: it is done; ask again if it is still needed"},
		{bastion.Request{ID: 3, State: bastion.Revoked, Votes: denied}, "request 3 was taken back by rita: wrong<U+001B> table; talk to them before you ask again"},
		{bastion.Request{ID: 3, State: bastion.Used}, "request 3 was approved and has been used; ask again to do the same once more"},
		{bastion.Request{ID: 3, State: bastion.Closed}, "review 3 was closed and found all in order; nothing is left to do"},
		{bastion.Request{ID: 3, State: bastion.Closed, Votes: denied}, "review 3 was closed by rita: wrong<U+001B> table; something was found to be wrong, so talk to them"},
		{bastion.Request{ID: 3, State: bastion.Pending}, "request 3 still waits for approval"},
		{bastion.Request{ID: 3, State: bastion.Approved}, "request 3 is approved and can be used"},
	} {
		err := error(&bastion.NotApprovedError{Request: c.r})
		if got := err.Error(); got != c.want || seen[got] {
			t.Errorf("%s: %q, want %q", c.r.State, got, c.want)
		}
		seen[c.want] = true
	}
}
