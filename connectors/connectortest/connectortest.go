// Package connectortest is what every connector must pass, and a small session to
// test connectors in: with the bastion's own path, and a policy, a record and a
// person of the test's.
package connectortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/bastion"
)

// Fixture tells [Run] about a connector and a real target.
type Fixture struct {
	Setup

	// Rows is a text whose answer has a few rows at least.
	Rows string
	// Endless is a text whose answer never ends, or not for a long time.
	Endless string
	// Slow is a text that answers nothing for a long time.
	Slow string
	// Verbs maps texts to the verb that each must get.
	Verbs map[string]bastion.Verb
	// Unread are texts that must be refused as unreadable.
	Unread []string
	// Several is a text of several operations; Parts are these.
	Several string
	Parts   []string
	// Failing are texts that the target answers with an error that holds Canary,
	// where the labels of the setup hide it.
	Failing []string
	Canary  string
	// Received returns what reached the target so far.
	Received func() string
	// WrongSecret is a credential that the target refuses. Its password must show nowhere.
	WrongSecret bastion.Secret
	// WrongTargets are targets that Check must refuse.
	WrongTargets []bastion.Target
}

// Run checks that a connector keeps the contract of [bastion.Connector].
func Run(t *testing.T, f Fixture) {
	t.Run("describes itself", f.describes)
	t.Run("refuses what is no permit", f.permits)
	t.Run("uses a permit once", f.once)
	t.Run("reads verbs", f.verbs)
	t.Run("refuses what it cannot read", f.unread)
	t.Run("splits", f.splits)
	t.Run("runs exactly the text", f.exact)
	t.Run("refused texts do not arrive", f.refused)
	t.Run("cancels", f.cancels)
	t.Run("holds back", f.holds)
	t.Run("errors leak nothing", f.errors)
	t.Run("hides the secret", f.secret)
	t.Run("reads while it runs", f.concurrent)
}

func (f Fixture) describes(t *testing.T) {
	c := f.Connector
	if c.Kind() == "" || c.Kind() != f.Target.Kind {
		t.Errorf("kind is %q, and the target's %q", c.Kind(), f.Target.Kind)
	}
	seen := map[bastion.Verb]bool{bastion.Connect: true}
	for _, v := range c.Verbs() {
		if v.Verb == "" || v.Doc == "" || seen[v.Verb] {
			t.Errorf("verb %+v: empty, without words, twice, or not the connector's to name", v)
		}
		seen[v.Verb] = true
	}
	for text, v := range f.Verbs {
		if !seen[v] {
			t.Errorf("verb %q of %q is not listed", v, text)
		}
	}
	if err := c.Check(f.Target); err != nil {
		t.Error(err)
	}
	for _, w := range f.WrongTargets {
		if err := c.Check(w); err == nil {
			t.Errorf("target %+v is taken for right", w)
		}
	}
}

func (f Fixture) permits(t *testing.T) {
	for name, p := range map[string]*bastion.Permit{"nil": nil, "zero": {}} {
		if c, err := f.Connector.Dial(t.Context(), p); !errors.Is(err, bastion.ErrPermit) || c != nil {
			t.Errorf("Dial with a %s permit: %v, %v", name, c, err)
		}
	}
	spy := f.spied(t)
	for name, p := range map[string]*bastion.Permit{"nil": nil, "zero": {}} {
		if err := spy.conn.Do(t.Context(), p, nil, &bastion.Sink{}); !errors.Is(err, bastion.ErrPermit) {
			t.Errorf("Do with a %s permit: %v", name, err)
		}
		if _, err := spy.conn.Preview(t.Context(), p); !errors.Is(err, bastion.ErrPermit) {
			t.Errorf("Preview with a %s permit: %v", name, err)
		}
		if trier, ok := spy.conn.(bastion.Trier); ok {
			if _, err := trier.Try(t.Context(), p, nil, nil); !errors.Is(err, bastion.ErrPermit) {
				t.Errorf("Try with a %s permit: %v", name, err)
			}
		}
	}
}

func (f Fixture) once(t *testing.T) {
	spy := f.spied(t)
	if _, err := spy.session.Do(t.Context(), f.Rows); err != nil {
		t.Fatal(err)
	}
	if len(spy.again) == 0 {
		t.Fatal("the connection was not used")
	}
	for _, err := range spy.again {
		if !errors.Is(err, bastion.ErrPermit) {
			t.Errorf("a used permit, or one for something else, gives %v", err)
		}
	}
}

// spy is a connector around another that tries each permit once more.
type spy struct {
	bastion.Connector
	session *Session
	conn    bastion.Conn
	again   []error
}

type spyConn struct {
	bastion.Conn
	s *spy
}

func (s *spy) Dial(ctx context.Context, p *bastion.Permit) (bastion.Conn, error) {
	c, err := s.Connector.Dial(ctx, p)
	if err != nil {
		return nil, err
	}
	_, again := s.Connector.Dial(ctx, p)
	s.again = append(s.again, again)
	s.conn = c
	return spyConn{c, s}, nil
}

func (c spyConn) Do(ctx context.Context, p *bastion.Permit, in io.Reader, out *bastion.Sink) error {
	_, wrong := c.Conn.Preview(ctx, p) // another purpose
	if trier, ok := c.Conn.(bastion.Trier); ok {
		_, untried := trier.Try(ctx, p, nil, nil)
		c.s.again = append(c.s.again, untried)
	}
	err := c.Conn.Do(ctx, p, in, out)
	c.s.again = append(c.s.again, wrong, c.Conn.Do(ctx, p, in, out))
	return err
}

func (f Fixture) spied(t *testing.T) *spy {
	t.Helper()
	s := &spy{Connector: f.Connector}
	setup := f.Setup
	setup.Connector = s
	s.session = Start(t, setup)
	return s
}

func (f Fixture) verbs(t *testing.T) {
	s := Start(t, f.Setup)
	for text, want := range f.Verbs {
		op, err := s.Parse(t.Context(), text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := op.Intent().Verb; got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
		if _, err := f.Connector.Parse(f.Target, text); err != nil {
			t.Errorf("%q without a connection: %v", text, err)
		}
	}
}

func (f Fixture) unread(t *testing.T) {
	s := Start(t, f.Setup)
	for _, text := range append(f.Unread, "", " ", "\x00", f.Rows+"\x00") {
		if _, err := s.Parse(t.Context(), text); !parseError(err) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := f.Connector.Parse(f.Target, text); !parseError(err) {
			t.Errorf("%q without a connection: %v", text, err)
		}
	}
}

func parseError(err error) bool {
	var pe *bastion.ParseError
	return errors.As(err, &pe) && pe.Message != ""
}

func (f Fixture) splits(t *testing.T) {
	got, rest, err := f.Connector.Split(f.Several)
	if err != nil || rest != "" || fmt.Sprint(got) != fmt.Sprint(f.Parts) {
		t.Errorf("Split(%q) = %q, %q, %v; want %q", f.Several, got, rest, err, f.Parts)
	}
}

func (f Fixture) exact(t *testing.T) {
	s := Start(t, f.Setup)
	r, err := s.Do(t.Context(), f.Rows)
	if err != nil || len(r.Rows) == 0 || r.Tag == "" {
		t.Fatalf("%q: %+v, %v", f.Rows, r, err)
	}
	if !strings.Contains(f.Received(), f.Rows) {
		t.Errorf("%q did not reach the target as it is", f.Rows)
	}
}

func (f Fixture) refused(t *testing.T) {
	setup := f.Setup
	setup.Decide = func(op bastion.Operation) bastion.Effect {
		if op.Intent().Verb == bastion.Connect {
			return bastion.Allow
		}
		return bastion.Deny
	}
	s := Start(t, setup)
	before := strings.Count(f.Received(), f.Rows)
	var denied *bastion.DeniedError
	if _, err := s.Do(t.Context(), f.Rows); !errors.As(err, &denied) {
		t.Errorf("refused by policy: %v", err)
	}
	if after := strings.Count(f.Received(), f.Rows); after != before {
		t.Errorf("%q reached the target though it was refused", f.Rows)
	}
}

var errStop = errors.New("the person has seen enough")

func (f Fixture) cancels(t *testing.T) {
	s := Start(t, f.Setup)
	for _, text := range []string{f.Slow, f.Endless} {
		ctx, cancel := context.WithCancelCause(t.Context())
		op, err := s.Parse(ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		done := make(chan error, 1)
		began := make(chan struct{})
		go func() { // ends when the operation does
			close(began)
			done <- s.Run(ctx, op, bastion.Job{Show: func(bastion.Frame) error {
				if rows++; rows == 10 {
					cancel(errStop)
				}
				return nil
			}})
		}()
		<-began
		if text == f.Slow {
			cancel(errStop)
		}
		if err := <-done; !errors.Is(err, errStop) {
			t.Errorf("%q, cancelled: %v", text, err)
		}
		if r, err := s.Do(t.Context(), f.Rows); err != nil || len(r.Rows) == 0 {
			t.Errorf("after %q was cancelled, %q: %v", text, f.Rows, err)
		}
		cancel(nil)
	}
}

func (f Fixture) holds(t *testing.T) {
	s := Start(t, f.Setup)
	n := 0
	err := s.Stream(t.Context(), f.Endless, func(fr bastion.Frame) error {
		if n++; n > 100 {
			return errStop
		}
		return nil
	})
	if !errors.Is(err, errStop) || n != 101 {
		t.Errorf("%q, stopped after 100 frames: %d frames, %v", f.Endless, n, err)
	}
	if r, err := s.Do(t.Context(), f.Rows); err != nil || len(r.Rows) == 0 {
		t.Errorf("after that, %q: %v", f.Rows, err)
	}
}

func (f Fixture) errors(t *testing.T) {
	for _, text := range f.Failing {
		s := Start(t, f.Setup)
		r, err := s.Do(t.Context(), text)
		if err == nil {
			t.Errorf("%q did not fail", text)
			continue
		}
		if all := r.Shown() + err.Error() + s.Recorded(); strings.Contains(strings.ReplaceAll(all, text, ""), f.Canary) {
			t.Errorf("%q leaks %q: %s", text, f.Canary, all)
		}
	}
}

func (f Fixture) secret(t *testing.T) {
	setup := f.Setup
	setup.Secret = f.WrongSecret
	_, password := f.WrongSecret.Reveal()
	s, err := begin(setup)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Open(t.Context(), f.Target.Name, bastion.Job{Show: func(bastion.Frame) error { return nil }})
	if err == nil {
		t.Error("a wrong secret opens the target")
	} else if strings.Contains(err.Error()+s.Recorded(), password) {
		t.Errorf("a wrong secret shows: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func (f Fixture) concurrent(t *testing.T) {
	s := Start(t, f.Setup)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var wg sync.WaitGroup
	started := make(chan struct{})
	var once sync.Once
	wg.Go(func() {
		err := s.Stream(ctx, f.Endless, func(bastion.Frame) error {
			once.Do(func() { close(started) })
			return nil
		})
		once.Do(func() { close(started) })
		if !errors.Is(err, errStop) {
			t.Errorf("%q: %v", f.Endless, err)
		}
	})
	<-started
	for range 4 {
		wg.Go(func() {
			if _, err := s.Parse(t.Context(), f.Rows); err != nil {
				t.Errorf("Parse while another operation runs: %v", err)
			}
			if _, err := s.Names(t.Context(), f.Target.Name); err != nil {
				t.Errorf("Names while another operation runs: %v", err)
			}
		})
	}
	cancel(errStop)
	wg.Wait()
}
