package approval

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// MaxAhead is how far ahead of its request access may begin.
const MaxAhead = 30 * 24 * time.Hour

// FileAccess makes a request for access, or returns the open one of the same
// identity for the same: target, bundle, time, start and window.
//
// Access for an emergency is granted at once. In the same transaction the alarm is
// recorded, and a request is opened to review what it was used for, which is done
// by those who would otherwise decide, once the access has ended, and never by the
// person who used it. Of one emergency, target and bundle, an identity has one at a
// time; where another person took it back, its review comes first.
func (s *Service) FileAccess(ctx context.Context, q bastion.AccessQuestion) (bastion.Request, error) {
	now := s.clock.now()
	asked, err := accessQuestion(q, now)
	if err != nil {
		return bastion.Request{}, err
	}
	var r record
	err = s.change(ctx, func(w *work) (err error) {
		r = asked
		if id := exact(w.tx, r.Who.ID(), r.Digest); id != 0 {
			open, err := w.record(id)
			if err != nil {
				return err
			}
			if open.State.Open() {
				r = open
				return nil
			}
		}
		by := author{q.Who, q.Origin, q.Session}
		if r.emergency() {
			r, err = w.emergency(r, by)
			return err
		}
		if err := w.room(r, by); err != nil {
			return err
		}
		if r.ID, err = w.tx.Next(requestsBucket); err != nil {
			return err
		}
		within := q.Terms.Within
		if within <= 0 {
			within = Waiting
		}
		if r, err = next(r, action{act: file, within: within}, facts{now: w.now}); err != nil {
			return err
		}
		return w.keep(r, by, r.asks(), NoteFiled)
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, q.Who)[0], nil
}

// emergency grants access at once, alarms, and opens the review.
func (w *work) emergency(r record, by author) (record, error) {
	if id := barred(w.tx, r); id != 0 {
		review, err := w.record(id)
		if err != nil {
			return r, err
		}
		if review.State.Open() {
			return r, w.refuse(review, by, fmt.Errorf("somebody took this access from you, so review %d has to be closed before it can be had again", id))
		}
	}
	if err := w.unreviewed(r, by); err != nil {
		return r, err
	}
	review := r.review()
	var err error
	if r.ID, err = w.tx.Next(requestsBucket); err != nil {
		return r, err
	}
	if review.ID, err = w.tx.Next(requestsBucket); err != nil {
		return r, err
	}
	r.Review, review.Of = review.ID, r.ID
	if r, err = next(r, action{act: grant}, facts{now: w.now}); err != nil {
		return r, err
	}
	if err := w.keep(r, by, r.asks(), NoteEmergency); err != nil {
		return r, err
	}
	alarm := bastion.Event{Kind: bastion.EventAlarm, Effect: bastion.Allow.String(), Rule: r.Rule, Reason: r.Reason,
		Text: fmt.Sprintf("emergency access to %s with %s until %s", r.Target, r.Access.Bundle, r.Expires.UTC().Format(time.RFC3339))}
	if err := w.log(r, by, alarm); err != nil {
		return r, err
	}
	review.Digest = digest("review", fmt.Sprint(r.ID))
	review.Summary = fmt.Sprintf("review of request %d: %s", r.ID, r.Summary)
	review.Text = fmt.Sprintf("review %d: %s", r.ID, r.Text)
	if review, err = next(review, action{act: file, within: time.Nanosecond}, facts{now: w.now}); err != nil {
		return r, err
	}
	return r, w.keep(review, author{}, review.asks(), NoteReview)
}

// unreviewed refuses an emergency after many that nobody has looked at: taken again
// and again, it would be access for good, and a queue in which nobody finds anything.
func (w *work) unreviewed(r record, by author) error {
	ids, err := oldest(w.tx, openBucket, requester(r.Who.ID()))
	if err != nil {
		return err
	}
	first, n := record{}, 0
	for _, id := range ids {
		open, err := w.record(id)
		if err != nil {
			return err
		}
		if open.Kind != bastion.KindReview || open.Target != r.Target || open.Rule != r.Rule {
			continue
		}
		if n++; n == 1 {
			first = open
		}
	}
	if n < MaxUnreviewed {
		return nil
	}
	return w.refuse(first, by, fmt.Errorf("%d emergencies of yours with %s on %s wait for their review, and nobody may have more; review %d has to be closed first, which is for %s",
		n, bastion.VisibleLine(r.Access.Bundle), bastion.VisibleLine(r.Target), first.ID, deciders(first.Needs)))
}

// asks is the event of a request for access, or for a review.
func (r record) asks() bastion.Event {
	effect := bastion.Ask
	if r.emergency() {
		effect = bastion.Allow
	}
	return bastion.Event{Kind: bastion.EventRequest, Text: r.Text, Effect: effect.String(), Rule: r.Rule, Reason: r.Reason}
}

// review makes the request to look at what an emergency was used for.
func (r record) review() record {
	asked := *r.Access
	r.Kind, r.Verb, r.Access = bastion.KindReview, "review", &asked
	return r
}

// accessQuestion makes a record of what is asked, or says what is wrong with it.
func accessQuestion(q bastion.AccessQuestion, now time.Time) (record, error) {
	if err := checkAsker(q.Who); err != nil {
		return record{}, err
	}
	a := q.Asked
	a.From = a.From.Round(0).UTC()
	switch {
	case q.Target == "" || a.Bundle == "" || a.Bundle != q.Terms.Bundle || a.Emergency != q.Terms.Emergency || len(q.Terms.Needs) == 0:
		return record{}, errors.New("internal error: there is no access to ask for")
	case a.For <= 0:
		return record{}, errors.New("say for how long you want access")
	case a.For > q.Terms.Max:
		return record{}, fmt.Errorf("%s is granted for %s at most", bastion.VisibleLine(a.Bundle), bastion.Span(q.Terms.Max))
	case a.Emergency && (!a.From.IsZero() || a.Window != ""):
		return record{}, errors.New("an emergency begins at once and has no window; leave them out, or ask for access as usual")
	case a.From.After(now.Add(MaxAhead)):
		return record{}, fmt.Errorf("access may begin %d days from now at most; ask again when it is nearer", MaxAhead/(24*time.Hour))
	}
	if a.Window != "" {
		w, err := ParseWindow(a.Window)
		if err != nil {
			return record{}, err
		}
		a.Window = w.String()
	}
	if err := checkReason(q.Reason); err != nil {
		return record{}, err
	}
	r := record{Request: bastion.Request{
		Kind: bastion.KindAccess, Who: asker(q.Who), Origin: q.Origin, Session: q.Session, Target: q.Target, Verb: "access",
		Rule: a.Bundle, Needs: slices.Clone(q.Terms.Needs), OtherTeam: q.Terms.OtherTeam, Reason: q.Reason, Preview: bastion.Preview{Rows: -1},
		Access: &a,
	}}
	r.Summary = a.Bundle + " on " + q.Target + " for " + bastion.Span(a.For)
	r.Text = "access " + q.Target + " " + a.Bundle + " for " + bastion.Span(a.For)
	if !a.From.IsZero() {
		r.Text += " from " + a.From.Format(time.RFC3339)
	}
	if a.Window != "" {
		r.Text += " in " + a.Window
	}
	r.Digest = digest("access", q.Target, a.Bundle, a.For.String(), a.From.Format(time.RFC3339Nano), a.Window)
	if a.Emergency { // of which one has one, however long it was asked for
		r.Summary, r.Text = "emergency: "+r.Summary, "emergency "+r.Text
		r.Digest = digest("emergency", q.Target, a.Bundle)
	}
	return r, nil
}

// digest identifies what is asked for. No operation has the same.
func digest(of ...string) string {
	b, err := json.Marshal(of)
	if err != nil {
		panic("internal error: texts cannot be marshalled")
	}
	sum := sha256.Sum256(append([]byte("request/1"), b...))
	return hex.EncodeToString(sum[:])
}

// Revoke ends an approval at once: access that was granted, or an operation that
// was approved and is not used up. Those may who asked, and those who decide it; who
// takes it from another person says why.
func (s *Service) Revoke(ctx context.Context, b bastion.Ballot) (bastion.Request, error) {
	if b.Who.ID() == "" {
		return bastion.Request{}, errors.New("internal error: nobody revokes")
	}
	held := s.c.Roles(b.Who)
	roles := approving(held)
	var r record
	err := s.around(ctx, b.Request, false, func(known *crowd) error {
		known.members[b.Who.ID()] = member{b.Who, true, roles} // the session has just asked
		return s.change(ctx, func(w *work) error {
			var err error
			if r, err = w.within(b.Request, known); err != nil {
				return err
			}
			if !visible(r, b.Who, held) {
				return &refusal{notFound(b.Request)}
			}
			by := author{b.Who, b.Origin, b.Session}
			after, err := next(r, action{act: revoke, by: b.Who.Name, why: b.Reason}, known.revoking(r, b.Who, roles, w.now))
			if err != nil {
				return w.refuse(r, by, err)
			}
			switch err := checkReason(b.Reason); {
			case errors.Is(err, bastion.ErrReason) && own(r, b.Who):
			case errors.Is(err, bastion.ErrReason):
				return w.refuse(r, by, errors.New("taking access from somebody needs a reason in words, because they read it"))
			case err != nil:
				return w.refuse(r, by, err)
			}
			r = after
			return w.keep(r, by, bastion.Event{Kind: bastion.EventRevoke, Text: r.recorded(), Rule: r.Rule, Reason: b.Reason, By: []string{b.Who.Name}}, NoteRevoked)
		})
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, b.Who)[0], nil
}

// barred is the review that comes before an emergency of the same identity, target
// and bundle; 0 is none.
func barred(tx store.Tx, r record) uint64 {
	b := tx.Get(barredBucket, exactKey(r.Who.ID(), r.Digest))
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// bar keeps an emergency that somebody else took away from being had again at once.
func bar(tx store.Tx, r record) error {
	return tx.Put(barredBucket, exactKey(r.Who.ID(), r.Digest), number(r.Review))
}

// revoking are the facts about somebody who revokes.
func (c *crowd) revoking(r record, who bastion.Identity, roles []string, now time.Time) facts {
	f := c.facts(r, who, roles)
	f.now = now
	return f
}
