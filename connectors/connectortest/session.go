package connectortest

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

// Setup is what a test session is made of. Only the first three are needed.
type Setup struct {
	Connector bastion.Connector
	Target    bastion.Target
	Secret    bastion.Secret
	// Labels are the columns to hide.
	Labels []mask.Label
	// Decide answers for policy; nil allows everything.
	Decide func(bastion.Operation) bastion.Effect
	// Trust allows what uses hidden columns other than by showing them, which is
	// refused otherwise, as by policy.
	Trust bool
	// Forget keeps no record, for tests that measure memory.
	Forget bool
	// Approvals keeps requests; nil refuses to.
	Approvals bastion.Approvals
	// Person is who it is; alice if it is empty.
	Person string
}

func (s Setup) approvals() bastion.Approvals {
	if s.Approvals == nil {
		return refusing{}
	}
	return s.Approvals
}

func (s Setup) identity() bastion.Identity {
	name := s.Person
	if name == "" {
		name = "alice"
	}
	return bastion.Identity{Issuer: "https://idp.test", Subject: name, Kind: bastion.Person, Name: name, Email: name + "@shop.example"}
}

// Session is a bastion's session of one person who has one target open, with a
// policy of the test's own, and a record in memory.
type Session struct {
	*bastion.Session
	target string
	record *record
}

// Start starts a session and opens the target. It is closed when the test ends.
func Start(t testing.TB, s Setup) *Session {
	t.Helper()
	session, err := Begin(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	return session
}

// Begin starts a session and opens the target, outside of a test.
func Begin(s Setup) (*Session, error) {
	session, err := begin(s)
	if err != nil {
		return nil, err
	}
	return session, session.Open(context.Background(), s.Target.Name, bastion.Job{Show: func(bastion.Frame) error { return nil }})
}

func begin(s Setup) (*Session, error) {
	rules, err := mask.NewRules([]byte("a key for tests"), s.Labels...)
	if err != nil {
		return nil, err
	}
	rec := &record{forget: s.Forget}
	inner, err := bastion.NewSession(context.Background(), bastion.Config{
		ID: "s-test", Identity: s.identity(), Channel: &channel{}, Targets: bastion.Targets{s.Target},
		Connectors: []bastion.Connector{s.Connector}, Policy: policy{rules, s.Decide, s.Trust}, Approvals: s.approvals(),
		Identities: identities{}, Secrets: secrets{s.Secret}, Recorder: rec, Archive: empty{}, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	return &Session{Session: inner, target: s.Target.Name, record: rec}, nil
}

// Result is an answer as the person got it.
type Result struct {
	Columns []bastion.Column
	Rows    [][]string // NULL is \N
	Tag     string
	Rest    []string // notices
}

// Shown is all that reached the person, in one text.
func (r Result) Shown() string {
	var b strings.Builder
	for _, c := range r.Columns {
		fmt.Fprintln(&b, c.Name, c.Type)
	}
	for _, row := range r.Rows {
		fmt.Fprintln(&b, strings.Join(row, "|"))
	}
	fmt.Fprintln(&b, r.Tag, r.Rest)
	return b.String()
}

// Parse reads a text.
func (s *Session) Parse(ctx context.Context, text string) (bastion.Operation, error) {
	return s.Session.Parse(ctx, s.target, text)
}

// Do parses and runs a text.
func (s *Session) Do(ctx context.Context, text string) (Result, error) {
	var r Result
	err := s.Stream(ctx, text, func(f bastion.Frame) error {
		switch f.Kind() {
		case bastion.ColumnsFrame:
			r.Columns = f.Columns()
		case bastion.RowFrame:
			row := make([]string, len(f.Row()))
			for i, v := range f.Row() {
				if row[i] = string(v); v == nil {
					row[i] = `\N`
				}
			}
			r.Rows = append(r.Rows, row)
		case bastion.TagFrame:
			r.Tag = f.Text()
		case bastion.NoticeFrame:
			r.Rest = append(r.Rest, f.Text())
		}
		return nil
	})
	return r, err
}

// Stream parses and runs a text, and gives each frame to show.
func (s *Session) Stream(ctx context.Context, text string, show func(bastion.Frame) error) error {
	op, err := s.Parse(ctx, text)
	if err != nil {
		return err
	}
	return s.Run(ctx, op, bastion.Job{Show: show})
}

// Recorded is every event so far, in one text. It has no times: their digits would
// now and then be those of a value that must not be found.
func (s *Session) Recorded() string {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	events := slices.Clone(s.record.events)
	for i := range events {
		events[i].At, events[i].Offset, events[i].Took = time.Time{}, 0, 0
	}
	return fmt.Sprintf("%+v", events)
}

// record keeps events in memory.
type record struct {
	forget bool
	mu     sync.Mutex // guards the rest
	events []bastion.Event
	notes  []byte
}

func (r *record) Event(e bastion.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.forget {
		r.events = append(r.events, e)
	}
	return nil
}
func (*record) Flush() error        { return nil }
func (*record) Output([]byte) error { return nil }
func (r *record) Note(p []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.forget {
		r.notes = append(r.notes, p...)
	}
	return nil
}
func (*record) Resize(int, int) error { return nil }
func (*record) Close() error          { return nil }

type policy struct {
	rules  mask.Rules
	decide func(bastion.Operation) bastion.Effect
	trust  bool
}

// Decide refuses what the setup says and what probes hidden columns, as policy does.
func (p policy) Decide(_ bastion.Identity, op bastion.Operation) bastion.Decision {
	d := bastion.Decision{Effect: bastion.Allow, Mask: p.rules, Rule: "test"}
	if p.decide != nil {
		d.Effect = p.decide(op)
		d.Try = d.Effect == bastion.Ask
	}
	for _, x := range op.Intent().Probes {
		if p.trust || p.rules.Source(x.Column) == mask.Clear || x.Paired(p.rules) || x.Equality && !x.Tells(p.rules) && p.rules.Lookup(x.Column) {
			continue
		}
		d.Effect, d.Reason = bastion.Deny, "uses the hidden column "+x.Column
	}
	return d
}
func (policy) Access(bastion.Identity, bastion.Target) bastion.Access {
	return bastion.Access{Connect: bastion.Allow}
}
func (policy) Roles(bastion.Identity) []bastion.Role { return nil }

type identities struct{}

func (identities) Current(_ context.Context, i bastion.Identity) (bastion.Identity, error) {
	return i, nil
}

type secrets struct{ secret bastion.Secret }

func (s secrets) Secret(context.Context, bastion.Target) (bastion.Secret, error) {
	return s.secret, nil
}

var errNone = errors.New("there are no approvals in this test")

type refusing struct{}

func (refusing) Find(context.Context, bastion.Identity, bastion.Operation) (bastion.Request, bool, error) {
	return bastion.Request{}, false, nil
}
func (refusing) File(_ context.Context, q bastion.Question) (bastion.Request, error) {
	return bastion.Request{}, fmt.Errorf("%w: %d rows: %s", errNone, q.Preview.Rows, q.Preview.Note)
}
func (refusing) Wait(context.Context, uint64, func(bastion.Request)) (bastion.Request, error) {
	return bastion.Request{}, errNone
}
func (refusing) Use(context.Context, uint64, bastion.Question) (bastion.Request, error) {
	return bastion.Request{}, errNone
}
func (refusing) Requests(context.Context, bastion.Identity, bastion.RequestFilter) ([]bastion.Request, error) {
	return nil, nil
}
func (refusing) Request(context.Context, bastion.Identity, uint64) (bastion.Request, error) {
	return bastion.Request{}, bastion.ErrNotFound
}
func (refusing) Vote(context.Context, bastion.Ballot) (bastion.Request, error) {
	return bastion.Request{}, bastion.ErrNotFound
}
func (refusing) Withdraw(context.Context, bastion.Identity, uint64) (bastion.Request, error) {
	return bastion.Request{}, bastion.ErrNotFound
}
func (refusing) Watch() (<-chan struct{}, func()) { return nil, func() {} }

type empty struct{}

func (empty) Recordings(context.Context, bastion.Scope, bastion.RecordingFilter) ([]bastion.Recording, error) {
	return nil, nil
}
func (empty) Replay(context.Context, bastion.Scope, string) (bastion.Replay, error) {
	return nil, bastion.ErrNotFound
}
func (empty) Events(context.Context, bastion.Scope, uint64, func(bastion.Event) bool) error {
	return nil
}
func (empty) History(context.Context, string, string, int) ([]string, error) { return nil, nil }

// channel is a person who types nothing.
type channel struct{ bytes.Buffer }

func (*channel) Read([]byte) (int, error) { return 0, io.EOF }
func (*channel) Stderr() io.ReadWriter    { return &bytes.Buffer{} }
func (*channel) CloseWrite() error        { return nil }

// Open starts a session, opens the target, and closes both. The error says why
// the target did not open.
func Open(t testing.TB, s Setup) error {
	t.Helper()
	session, err := begin(s)
	if err != nil {
		t.Fatal(err)
	}
	err = session.Open(t.Context(), s.Target.Name, bastion.Job{Show: func(bastion.Frame) error { return nil }})
	if cerr := session.Close(); cerr != nil {
		t.Error(cerr)
	}
	return err
}

func (policy) Terms(bastion.Identity, bastion.Target) []bastion.Terms { return nil }
func (policy) Conflict(bastion.Identity) error                        { return nil }

func (refusing) FileAccess(context.Context, bastion.AccessQuestion) (bastion.Request, error) {
	return bastion.Request{}, bastion.ErrNotFound
}
func (refusing) Grants(context.Context, bastion.Identity) ([]bastion.Grant, error) { return nil, nil }
func (refusing) Trial(context.Context, bastion.Identity, uint64) (bastion.Trial, error) {
	return bastion.Trial{}, bastion.ErrNotFound
}
func (refusing) Past(context.Context, bastion.Identity, uint64) (bastion.Past, error) {
	return bastion.Past{}, bastion.ErrNotFound
}
func (refusing) Revoke(context.Context, bastion.Ballot) (bastion.Request, error) {
	return bastion.Request{}, bastion.ErrNotFound
}
