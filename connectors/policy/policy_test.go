package policy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/policy"
)

// shelf is a charter in memory. A text is sound if it begins with "version: 1".
type shelf struct {
	mu        sync.Mutex
	versions  []policy.Version // the newest first
	activated []string         // digests of operations
}

func newShelf() *shelf {
	return &shelf{versions: []policy.Version{{Number: 1, Text: "version: 1\nroles: {}\n", Digest: "d1", At: time.Unix(0, 0), By: "files"}}}
}

func (s *shelf) Active() policy.Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions[0]
}

func (s *shelf) Versions(context.Context) ([]policy.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.versions), nil
}

func (s *shelf) Check(text string) ([]string, error) {
	if !strings.HasPrefix(text, "version: 1\n") {
		return nil, &bastion.ParseError{Message: "policy:1:1: version is missing", Position: 1}
	}
	return []string{"policy:2:1: warning: odd"}, nil
}

func (s *shelf) Difference(text string) (policy.Difference, error) {
	return policy.Difference{Summary: "alice gains; nobody loses", Lines: []policy.Line{{Kind: "GAINS ACCESS", Who: "deployers (alice)", Targets: "db", What: "drop: deny → allow"}}}, nil
}

func (s *shelf) Activate(_ context.Context, text string, on uint64, digest string) (policy.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on != s.versions[0].Number {
		return policy.Version{}, errors.New("overtaken")
	}
	v := policy.Version{Number: on + 1, Text: text, Digest: fmt.Sprint("d", on+1), By: "alice", Approved: []string{"ben", "rita"}, Request: 7}
	s.versions = slices.Insert(s.versions, 0, v)
	s.activated = append(s.activated, digest)
	return v, nil
}

func start(t *testing.T, s *shelf) *connectortest.Session {
	t.Helper()
	return connectortest.Start(t, connectortest.Setup{Connector: policy.New(s), Target: policy.Target()})
}

const next = "version: 1\nroles: { a: {} }\n"

func TestReads(t *testing.T) {
	s := newShelf()
	session := start(t, s)
	for text, want := range map[string]string{
		"show":          "version: 1|roles: {}|",
		"show 1":        "version: 1|roles: {}|",
		" show\n":       "version: 1|roles: {}|",
		"versions":      `1,1970-01-01T00:00:00Z,files,,\N,d1`,
		"diff\n" + next: "GAINS ACCESS,deployers (alice),db,drop: deny → allow|warning,,,policy:2:1: warning: odd|text,,, version: 1|text,,,-roles: {}|text,,,+roles: { a: {} }",
	} {
		op, err := session.Parse(t.Context(), text)
		if err != nil || op.Intent().Verb != policy.Read {
			t.Errorf("%q: %v, %v", text, op.Intent().Verb, err)
			continue
		}
		r, err := session.Do(t.Context(), text)
		var rows []string
		for _, row := range r.Rows {
			rows = append(rows, strings.Join(row, ","))
		}
		if got := strings.Join(rows, "|"); err != nil || got != want || r.Tag == "" {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"show 9"} {
		if _, err := session.Do(t.Context(), text); !errors.Is(err, bastion.ErrNotFound) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if len(s.activated) > 0 {
		t.Errorf("reading changed the policy: %q", s.activated)
	}
}

func TestUnread(t *testing.T) {
	session := start(t, newShelf())
	for _, c := range []struct {
		text     string
		position int
	}{
		{"", 0}, {" \n", 0}, {"drop", 1}, {"show x", 0}, {"show 1 2", 1}, {"roles: {}\n", 1}, {"version: 1\n\x00", 0},
		{"version: 1\nroles: {}\n", 0}, // in force already
		{"diff\nroles: {}\n", 6}, {"diff", 1}, {"show\nversions", 1},
	} {
		_, err := session.Parse(t.Context(), c.text)
		var pe *bastion.ParseError
		if !errors.As(err, &pe) || pe.Message == "" || pe.Position != c.position {
			t.Errorf("%q: %+v", c.text, err)
		}
	}
}

func TestChange(t *testing.T) {
	s := newShelf()
	session := start(t, s)
	op, err := session.Parse(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	i := op.Intent()
	if i.Verb != policy.Change || i.Summary != "policy: alice gains; nobody loses" || i.Settings != "in place of version 1, sha256 d1" {
		t.Errorf("%+v", i)
	}
	r, err := session.Do(t.Context(), next)
	if err != nil || r.Tag != "version 2 is in force" || s.Active().Text != next {
		t.Fatalf("%+v, %v", r, err)
	}
	if fmt.Sprint(s.activated) != fmt.Sprint([]string{op.Digest()}) {
		t.Errorf("activated by %q, and the operation is %s", s.activated, op.Digest())
	}
	// What was read upon version 1 means nothing upon version 2.
	err = session.Run(t.Context(), op, bastion.Job{Show: func(bastion.Frame) error { return nil }})
	if err == nil || len(s.activated) != 1 {
		t.Errorf("an overtaken change: %v", err)
	}
	third := next + "# more\n"
	op, err = session.Parse(t.Context(), third)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Activate(t.Context(), next+"# other\n", 2, "x"); err != nil { // somebody else is faster
		t.Fatal(err)
	}
	var denied *bastion.DeniedError
	err = session.Run(t.Context(), op, bastion.Job{Show: func(bastion.Frame) error { return nil }})
	if !errors.As(err, &denied) || s.Active().Text == third {
		t.Errorf("an overtaken change: %v", err)
	}
}

// An approver sees what changes.
func TestPreview(t *testing.T) {
	session := connectortest.Start(t, connectortest.Setup{Connector: policy.New(newShelf()), Target: policy.Target(), Decide: func(op bastion.Operation) bastion.Effect {
		if op.Intent().Verb == policy.Change {
			return bastion.Ask
		}
		return bastion.Allow
	}})
	op, err := session.Parse(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	var preview bastion.Preview
	err = session.Run(t.Context(), op, bastion.Job{Show: func(bastion.Frame) error { return nil },
		Reason: func(_ context.Context, _ bastion.Decision, p bastion.Preview) (string, error) {
			preview = p
			return "", nil
		}})
	if !errors.Is(err, bastion.ErrReason) {
		t.Error(err)
	}
	effect := strings.Join(preview.Effect, "\n")
	for _, want := range []string{"GAINS ACCESS: deployers (alice) on db: drop: deny → allow", "policy:2:1: warning: odd", "in the text:\n"} {
		if !strings.Contains(effect, want) {
			t.Errorf("the preview lacks %q: %q", want, effect)
		}
	}
	if !strings.Contains(preview.Note, "alice gains; nobody loses") {
		t.Errorf("the preview says %q", preview.Note)
	}
}

func TestPermits(t *testing.T) {
	c := policy.New(newShelf())
	for _, p := range []*bastion.Permit{nil, {}} {
		if conn, err := c.Dial(t.Context(), p); !errors.Is(err, bastion.ErrPermit) || conn != nil {
			t.Errorf("%v, %v", conn, err)
		}
	}
	if err := connectortest.Open(t, connectortest.Setup{Connector: policy.New(nil), Target: policy.Target()}); err == nil {
		t.Error("a connector without a policy opens one")
	}
}

func TestCheck(t *testing.T) {
	c := policy.New(nil)
	if err := c.Check(policy.Target()); err != nil {
		t.Error(err)
	}
	for _, wrong := range []bastion.Target{{Name: "mine", Kind: "policy"}, {Name: "policy", Kind: "policy", Address: "db:1"}} {
		if err := c.Check(wrong); err == nil || !strings.Contains(err.Error(), "leave it out") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	for text, verb := range map[string]bastion.Verb{"show": policy.Read, "versions": policy.Read, "diff\nversion: 1\n": policy.Read, "version: 1\n": policy.Change} {
		if i, err := c.Parse(policy.Target(), text); err != nil || i.Verb != verb {
			t.Errorf("%q without a connection: %v, %v", text, i.Verb, err)
		}
	}
	for _, text := range []string{"", "drop it", "diff\nx"} {
		var pe *bastion.ParseError
		if _, err := c.Parse(policy.Target(), text); !errors.As(err, &pe) {
			t.Errorf("%q without a connection: %v", text, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		text, rest string
		want       []string
	}{
		{"", "", nil},
		{"show", "", []string{"show"}},
		{"show 3;\nversions\n", "", []string{"show 3", "versions"}},
		{"version: 1\nroles: {}\n", "version: 1\nroles: {}\n", nil},
		{"version: 1\n...\nshow\n", "", []string{"version: 1\n", "show"}},
		{"diff\nversion: 1\n...\n", "", []string{"diff\nversion: 1\n"}},
	} {
		got, rest, err := policy.New(nil).Split(c.text)
		if err != nil || rest != c.rest || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, %q, %v", c.text, got, rest, err)
		}
	}
}

// Whatever comes, splitting ends and loses nothing that it does not understand.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"show", "diff\nversion: 1\n...\nshow", "...", "\n;\n", "version: 1\r\n...\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		operations, rest, err := policy.New(nil).Split(text)
		if err != nil {
			t.Fatal(err)
		}
		size := len(rest)
		for _, o := range operations {
			size += len(o)
			_, _ = policy.New(nil).Parse(policy.Target(), o)
		}
		if size > len(text) {
			t.Fatalf("%q grew into %q and %q", text, operations, rest)
		}
	})
}
