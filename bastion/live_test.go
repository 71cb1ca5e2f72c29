package bastion_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// While a statement runs, what allowed it ends: it is stopped, and says why. What
// others approved exactly goes on, and so does what is still allowed.
func TestRevokedWhileRunning(t *testing.T) {
	const hidden bastion.Effect = 50 // what is shown may be shown no more
	for _, c := range []struct {
		name    string
		asked   bool
		after   bastion.Effect
		stopped bool
	}{
		{"still allowed", false, bastion.Allow, false},
		{"asked for now", false, bastion.Ask, true},
		{"denied now", false, bastion.Deny, true},
		{"approved, and still asked for", true, bastion.Ask, false},
		{"approved, and denied now", true, bastion.Deny, true},
		{"an effect that nobody knows", true, 99, true},
		{"allowed, and hidden", false, hidden, true},
		{"approved, and hidden", true, hidden, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.session()
			if _, err := w.run(s, "select first"); err != nil {
				t.Fatal(err)
			}
			if c.asked {
				w.ask()
			}
			runs := w.answer
			w.answer = func(out *bastion.Sink) error {
				before := w.decide
				w.decide = func(i bastion.Identity, op bastion.Operation) bastion.Decision {
					d := before(i, op)
					d.Effect, d.Rule = c.after, "now"
					if c.after == hidden { // the name too, from now on
						d = before(i, op)
						d.Rule, d.Mask = "now", mask.Rules{}
					}
					return d
				}
				s.Recheck(t.Context())
				return runs(out)
			}
			_, err := w.run(s, "select long")
			denied, ok := errors.AsType[*bastion.DeniedError](err)
			if ok != c.stopped || ok && (denied.Rule != "now" || !strings.Contains(denied.Reason, "ended while it ran")) || !ok && err != nil {
				t.Errorf("ended with %v", err)
			}
			if context.Cause(s.Context()) != nil {
				t.Errorf("the session ended: %v", context.Cause(s.Context()))
			}
			last := w.events[len(w.events)-1]
			if last.Kind != bastion.EventResult || strings.Contains(last.Error, "ended while it ran") != c.stopped {
				t.Errorf("logged %+v", last)
			}
			s.Recheck(t.Context()) // and nothing runs that could be stopped once more
		})
	}
}

// A connection that an approval allowed for a time ends with it: when the time is over,
// or the approval is taken back. One that an approval allowed once stays.
func TestConnectionEndsWithItsApproval(t *testing.T) {
	for _, c := range []struct {
		name  string
		holds time.Duration
		state bastion.RequestState
		ends  bool
	}{
		{"it holds", time.Hour, bastion.Approved, false},
		{"its time is over", time.Hour, bastion.Expired, true},
		{"it was revoked", time.Hour, bastion.Revoked, true},
		{"it was denied after all", time.Hour, bastion.Denied, true},
		{"nobody knows of it", time.Hour, "", true},
		{"for once, and used", 0, bastion.Used, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.ask()
			asks := w.decide
			w.decide = func(i bastion.Identity, op bastion.Operation) bastion.Decision {
				d := asks(i, op)
				d.Effect, d.Needs, d.Holds = bastion.Ask, bastion.Needs{{Count: 1, Role: "reviewer"}}, c.holds
				return d
			}
			s := w.session()
			if _, err := w.run(s, "select one"); err != nil {
				t.Fatal(err)
			}
			w.held = c.state
			ends := s.Recheck(t.Context())
			if cause := context.Cause(s.Context()); (cause != nil) != c.ends || cause != nil && !strings.Contains(cause.Error(), "your access to db has ended") {
				t.Errorf("the session ended: %v", cause)
			}
			if warned := c.holds > 0 && !c.ends; ends.IsZero() == warned {
				t.Errorf("it ends at %v", ends)
			}
		})
	}
}
