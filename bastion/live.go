package bastion

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion/mask"
)

// What follows looks after what a session does while it does it: time passes, access
// ends or is revoked, a role is taken away, policy changes.

// run is an operation at its target.
type run struct {
	op    *Operation
	asked bool        // others approved exactly this
	mask  mask.Rules  // by which its answer is shown
	stop  func(error) // ends it; the error is for the person
}

// stands reports whether a decision of now lets the operation go on as it began: it is
// allowed still, or others approved exactly it, and what it shows would be shown so.
// Where the decision depends on an estimate that was not needed when it began, as when
// access is revoked that lifted a limit, the strictest counts that may come of it.
func (r *run) stands(d Decision) bool {
	if d.Effect != Allow && !(d.Effect == Ask && r.asked) {
		return false
	}
	if d.Mask.HidesNothing() {
		return true
	}
	return !r.mask.HidesNothing() && (r.mask.Detects() || !d.Mask.Detects()) &&
		!slices.ContainsFunc(r.op.Outputs(), func(c mask.Column) bool { return d.Mask.Kind(c) != r.mask.Kind(c) })
}

// stopped says why an operation does not go on.
func stopped(d Decision) error {
	return &DeniedError{Rule: d.Rule, Reason: "what allowed this ended while it ran, so it was stopped", Next: "ask for it again"}
}

// begin notes that an operation runs, until over does.
func (s *Session) begin(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		s.runs = map[*run]struct{}{}
	}
	s.runs[r] = struct{}{}
}

// over notes that an operation has ended.
func (s *Session) over(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, r)
}

// Recheck looks whether what the session has open and what runs in it is still
// allowed, now that time has passed: access may have ended or been revoked, a role may
// be gone, policy may say something else. A connection that is not allowed any more
// ends the session; an operation is stopped, unless others approved exactly it, and so
// is one whose answer would be hidden more by now. ends
// is when the first access ends that a connection lives by, zero if none does.
func (s *Session) Recheck(ctx context.Context) (ends time.Time) {
	open, runs := s.live()
	if len(open) == 0 {
		return ends
	}
	who, err := s.current(ctx)
	if err != nil {
		s.Fail(err)
		return ends
	}
	sooner := func(t time.Time) {
		if ends.IsZero() || t.Before(ends) {
			ends = t
		}
	}
	without := who
	without.Grants = nil
	for _, l := range open {
		over := fmt.Errorf("your access to %s has ended; ask for it again", l.target.Name)
		if l.holds != 0 { // an approval that holds for a time is access for that time
			r, err := s.c.Approvals.Request(ctx, who, l.holds)
			if err != nil || r.State != Approved && r.State != Used {
				s.Fail(over)
				return ends
			}
			sooner(r.Expires)
		}
		switch {
		case s.c.Policy.Access(without, l.target).Connect != Deny:
		case s.c.Policy.Access(who, l.target).Connect == Deny:
			s.Fail(over)
			return ends
		default:
			for _, g := range who.Grants {
				if g.Target == l.target.Name {
					sooner(g.Until)
				}
			}
		}
	}
	for _, r := range runs {
		if d := s.c.Policy.Decide(who, *r.op); !r.stands(d) {
			r.stop(stopped(d))
		}
	}
	return ends
}

// live lists the connections of the session and what runs on them, asides included.
func (s *Session) live() (open []*link, runs []*run) {
	s.mu.Lock()
	asides := s.asides
	open, runs = slices.Collect(maps.Values(s.links)), slices.Collect(maps.Keys(s.runs))
	s.mu.Unlock()
	for _, a := range asides {
		o, r := a.live()
		open, runs = append(open, o...), append(runs, r...)
	}
	return open, runs
}
