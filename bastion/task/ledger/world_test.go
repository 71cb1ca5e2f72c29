package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
	"github.com/sallyport/sallyport/bastion/task"
	"github.com/sallyport/sallyport/bastion/task/ledger"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// duties of the roles; a person's groups are their roles.
var duties = map[string][]bastion.Duty{
	"designer": {bastion.Design},
	"deployer": {bastion.Execute},
	"reviewer": {bastion.Approve},
	"auditor":  {bastion.Audit},
}

func rolesOf(i bastion.Identity) []bastion.Role {
	var roles []bastion.Role
	for _, g := range i.Groups {
		if d, ok := duties[g]; ok {
			roles = append(roles, bastion.Role{Name: g, Duties: d})
		}
	}
	return roles
}

// world is a ledger with people around it, and a target that writes down what runs.
// It is policy, identities and secrets of its sessions.
type world struct {
	*bastiontest.Clock
	*bastiontest.People
	db      *store.DB
	targets bastion.Targets
	votes   *approval.Service
	ledger  *ledger.Ledger
	// do is what the target does with a statement.
	do func(text string) error

	mu       sync.Mutex // guards what follows
	sessions int
	settings string
	strict   bool // policy asks for two reviewers where it asked for one
	fresh    time.Duration
	dialed   int // connections to targets
	runbooks []task.Runbook
	// denied is whom policy refuses everything; nil is nobody.
	denied func(bastion.Identity) bool
	// deniedVerb is all that they are refused; empty is everything but to connect.
	deniedVerb bastion.Verb
}

func targets() bastion.Targets {
	return bastion.Targets{{Name: "staging", Kind: "toy", Address: "s:1"}, {Name: "production", Kind: "toy", Address: "p:1"},
		{Name: "pg", Kind: "postgres", Address: "db:5432", Options: map[string]string{"database": "shop"}}}
}

// file is the two steps that most tasks of the tests have. The toy language is a verb
// and a word; write asks for approval, read is allowed, drop is denied.
func file(name string) task.File {
	return task.File{Name: name, Approvals: bastion.Needs{{Count: 1, Role: "reviewer"}}, Steps: []task.FileStep{
		{Name: "one", Target: "staging", Script: "write " + name + ".1.1; read " + name + ".1.2"},
		{Name: "two", Target: "production", Script: "write " + name + ".2.1; write " + name + ".2.2", Retry: 1},
	}}
}

func newWorld(dir string, do func(string) error, people ...bastion.Identity) (*world, error) {
	db, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	w := &world{Clock: bastiontest.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), People: bastiontest.NewPeople(people...),
		db: db, targets: targets(), do: do, settings: "path=public"}
	return w, w.restart()
}

// restart makes services anew over the same store, as after a restart.
func (w *world) restart() (err error) {
	var l *ledger.Ledger
	w.votes, err = approval.New(approval.Config{DB: w.db, Append: storetest.Append, Roles: rolesOf, Known: w.Known, People: w.Everybody, Now: w.Now,
		Task: func(tx store.Tx, c approval.TaskChange) error { return l.Follow(tx, c) }})
	if err != nil {
		return err
	}
	l, err = ledger.Open(ledger.Config{DB: w.db, Append: storetest.Append, Approvals: w.votes, Policy: w, People: w.Everybody, Targets: w.targets, Connectors: []bastion.Connector{toy{w}, postgres.New()},
		Parse: func(b []byte) (f task.File, err error) { err = json.Unmarshal(b, &f); return f, err },
		Place: func(_ []byte, found []task.Problem) error {
			return fmt.Errorf("%s: %s", found[0].Path, found[0].Message)
		},
		Runbooks: func() ([]task.Runbook, error) { return w.runbooks, nil },
		Now:      w.Now})
	w.ledger = l
	return err
}

// Policy.

func (w *world) Decide(who bastion.Identity, op bastion.Operation) bastion.Decision {
	if !slices.ContainsFunc(rolesOf(who), func(r bastion.Role) bool {
		return slices.Contains(r.Duties, bastion.Execute) || slices.Contains(r.Duties, bastion.Design)
	}) {
		return bastion.Decision{Rule: "duty", Reason: "no duty"}
	}
	if w.denied != nil && op.Intent().Verb != bastion.Connect && (w.deniedVerb == "" || op.Intent().Verb == w.deniedVerb) && w.denied(who) {
		return bastion.Decision{Rule: "blocked", Reason: "not now"}
	}
	switch op.Intent().Verb {
	case "write", "create":
		n := 1
		w.mu.Lock()
		if w.strict {
			n = 2
		}
		w.mu.Unlock()
		return bastion.Decision{Effect: bastion.Ask, Rule: "writes", Needs: bastion.Needs{{Count: n, Role: "reviewer"}}, Fresh: w.fresh}
	case "drop":
		return bastion.Decision{Rule: "no-drop", Reason: "what is gone is gone"}
	}
	return bastion.Decision{Effect: bastion.Allow, Rule: "reads"}
}

func (w *world) Access(bastion.Identity, bastion.Target) bastion.Access {
	return bastion.Access{Connect: bastion.Allow}
}
func (w *world) Roles(i bastion.Identity) []bastion.Role { return rolesOf(i) }
func (w *world) Terms(bastion.Identity, bastion.Target) []bastion.Terms {
	return nil
}
func (w *world) Conflict(bastion.Identity) error { return nil }
func (w *world) Apart() [][]bastion.Duty {
	return [][]bastion.Duty{{bastion.Design, bastion.Approve, bastion.Execute}}
}

// Identities and secrets.

func (w *world) Current(_ context.Context, i bastion.Identity) (bastion.Identity, error) {
	p, ok := w.Known(i.ID())
	if !ok {
		return p, bastion.ErrExpired
	}
	return p, nil
}

func (w *world) Secret(context.Context, bastion.Target) (bastion.Secret, error) {
	return bastion.NewSecret("u", "p"), nil
}

// session lets somebody visit.
func (w *world) session(ctx context.Context, who bastion.Identity) (*bastion.Session, error) {
	w.mu.Lock()
	w.sessions++
	id := fmt.Sprintf("s%d", w.sessions)
	w.mu.Unlock()
	return bastion.NewSession(ctx, bastion.Config{ID: id, Identity: who, Channel: channel{strings.NewReader("")}, Targets: w.targets, Connectors: []bastion.Connector{toy{w}},
		Policy: w, Approvals: w.votes, Identities: w, Secrets: w, Recorder: recorder{}, Archive: archive{}, Now: w.Now})
}

// visit calls f with a session of somebody's.
func (w *world) visit(ctx context.Context, who bastion.Identity, f func(*bastion.Session) error) error {
	s, err := w.session(ctx, who)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

type recorder struct{}

func (recorder) Event(bastion.Event) error { return nil }
func (recorder) Output([]byte) error       { return nil }
func (recorder) Flush() error              { return nil }
func (recorder) Note([]byte) error         { return nil }
func (recorder) Resize(int, int) error     { return nil }
func (recorder) Close() error              { return nil }

type archive struct{ bastion.Archive }

type channel struct{ io.Reader }

func (channel) Write(p []byte) (int, error) { return len(p), nil }
func (c channel) Stderr() io.ReadWriter     { return c }
func (channel) CloseWrite() error           { return nil }

// toy is a connector of a language of a verb and a word.
type toy struct{ *world }

func (toy) Kind() string { return "toy" }
func (toy) Verbs() []bastion.VerbInfo {
	return []bastion.VerbInfo{{Verb: "read"}, {Verb: "write", Write: true, Whole: true}, {Verb: "create", Write: true}}
}
func (toy) Check(bastion.Target) error { return nil }
func (toy) Split(text string) (all []string, rest string, err error) {
	for {
		one, after, ok := strings.Cut(text, ";")
		if !ok {
			return all, strings.TrimSpace(text), nil
		}
		all, text = append(all, strings.TrimSpace(one)), after
	}
}
func (c toy) Parse(_ bastion.Target, text string) (bastion.Intent, error) {
	verb, word, ok := strings.Cut(text, " ")
	if !ok {
		return bastion.Intent{}, &bastion.ParseError{Message: "want a verb and a word"}
	}
	i := bastion.Intent{Verb: bastion.Verb(verb), Actions: []bastion.Action{{Verb: bastion.Verb(verb), Resource: word}}, Summary: verb}
	if verb == "hush" {
		i.Record = "hush ****"
	}
	return i, nil
}

// Bind is of a language in which $1 may stand for a word.
func (toy) Bind(_ bastion.Target, text string, values []bastion.Value) (bastion.Params, error) {
	verb, _, _ := strings.Cut(text, " ")
	if strings.Count(text, "$") != len(values) || verb == "create" {
		return bastion.Params{}, &bastion.ParseError{Message: "that takes no parameters"}
	}
	b, err := json.Marshal(values)
	return bastion.Params{Bytes: b, Shown: []string{string(b)}}, err
}
func (c toy) Dial(_ context.Context, p *bastion.Permit) (bastion.Conn, error) {
	_, err := p.Use(bastion.ForDial)
	c.mu.Lock()
	c.dialed++
	c.mu.Unlock()
	return conn{toy: c, made: map[string]bool{}}, err
}

type conn struct {
	toy
	made map[string]bool // by create, which use needs
}

func (c conn) Parse(_ context.Context, text string) (bastion.Intent, error) {
	i, err := c.toy.Parse(bastion.Target{}, text)
	if err == nil && i.Verb == "use" && !c.made[i.Actions[0].Resource] {
		err = &bastion.ParseError{Message: "there is no such thing"}
	}
	c.mu.Lock()
	i.Settings = c.settings
	c.mu.Unlock()
	return i, err
}
func (c conn) Preview(_ context.Context, p *bastion.Permit) (bastion.Preview, error) {
	_, err := p.Use(bastion.ForPreview)
	return bastion.Preview{Rows: -1}, err
}
func (c conn) Do(_ context.Context, p *bastion.Permit, _ io.Reader, out *bastion.Sink) error {
	op, err := p.Use(bastion.ForDo)
	if err != nil {
		return err
	}
	if err := c.do(op.Text() + string(op.Params().Bytes)); err != nil {
		return err
	}
	if i := op.Intent(); i.Verb == "create" {
		c.made[i.Actions[0].Resource] = true
	}
	return out.Tag("OK", 1)
}
func (c conn) Names(context.Context) ([]bastion.Name, error) { return nil, nil }
func (c conn) Command(string) (string, bool, error)          { return "", false, nil }
func (c conn) Close() error                                  { return nil }
