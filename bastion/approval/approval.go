// Package approval keeps requests, the votes on them, and their use.
//
// What may happen to a request is one pure function, next. Around it, every
// transition is one transaction of the store that reads the request, applies
// next, keeps the outcome and appends an event with the author: transactions
// are serial, so simultaneous votes all count and a single-use approval is used
// once, and they are on disk before anybody is told, so no crash undoes them.
//
// Who is who: a service counts as its owner, and accounts with the same e-mail
// address count as one person, whatever provider, key or session they come
// with. Whether a vote counts is asked when the next vote is cast, and again at
// the moment of use, with the roles and addresses as they are then.
package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// Limits on what one identity can ask for.
const (
	// MaxReason is the greatest length of a reason, in characters.
	MaxReason = 2000
	// MaxOpen is the greatest number of open requests of one identity.
	MaxOpen = 50
	// Waiting is how long a request waits for votes if policy does not say.
	Waiting = 30 * time.Minute
)

// Config is what the service is made of. Every field is needed.
//
// Roles, Known and People are asked outside of transactions, at each vote, use
// and list; they must be quick and must not call the service.
type Config struct {
	DB *store.DB
	// Append adds an event to the log inside a transaction.
	Append func(store.Tx, bastion.Event) error
	// Roles are the roles of an identity with the groups that it has.
	Roles func(bastion.Identity) []bastion.Role
	// Known returns the identity of an ID as it is now; ok is false if it may not
	// come in any more.
	Known func(id string) (who bastion.Identity, ok bool)
	// People are all known identities, for telling who can approve.
	People func() []bastion.Identity
	Now    func() time.Time
}

// Service implements [bastion.Approvals]. It is safe for concurrent use.
type Service struct {
	c     Config
	clock *clock

	mu       sync.Mutex // guards what follows
	watchers map[*watcher]struct{}
}

var _ bastion.Approvals = (*Service)(nil)

// New makes a service over the requests in the store.
func New(c Config) (*Service, error) {
	if c.DB == nil || c.Append == nil || c.Roles == nil || c.Known == nil || c.People == nil || c.Now == nil {
		return nil, errors.New("internal error: approvals need a store, a log, roles, people and a clock")
	}
	var latest time.Time
	if err := c.DB.View(func(tx store.Tx) error { latest = floor(tx); return nil }); err != nil {
		return nil, fmt.Errorf("opening approvals: %w", err)
	}
	return &Service{c: c, clock: newClock(c.Now, latest), watchers: map[*watcher]struct{}{}}, nil
}

// Find returns the open request of this identity for exactly this operation.
func (s *Service) Find(ctx context.Context, who bastion.Identity, op bastion.Operation) (bastion.Request, bool, error) {
	digest := op.Digest()
	if who.ID() == "" || digest == "" {
		return bastion.Request{}, false, errors.New("internal error: nobody asks for nothing")
	}
	var r record
	err := s.read(ctx, func(v *view) error {
		r = record{}
		id := exact(v.tx, who.ID(), digest)
		if id == 0 {
			return nil
		}
		var err error
		r, err = v.record(id)
		return err
	})
	if err != nil || r.ID == 0 || !r.State.Open() {
		return bastion.Request{}, false, err
	}
	return s.shown([]record{r}, who)[0], true, nil
}

// File makes a request, or returns the open one of the same identity for the
// same operation.
func (s *Service) File(ctx context.Context, q bastion.Question) (bastion.Request, error) {
	asked, err := question(q)
	if err != nil {
		return bastion.Request{}, err
	}
	var r record
	err = s.change(ctx, func(w *work) error {
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
		if err := w.room(r.Who); err != nil {
			return err
		}
		id, err := w.tx.Next(requestsBucket)
		if err != nil {
			return err
		}
		r.ID = id
		within := q.Decision.Within
		if within <= 0 {
			within = Waiting
		}
		if r, err = next(r, action{act: file, within: within}, facts{now: w.now}); err != nil {
			return err
		}
		return w.keep(r, author{r.Who, r.Origin, r.Session}, bastion.Event{
			Kind: bastion.EventRequest, Text: r.recorded(), Effect: bastion.Ask.String(), Rule: r.Rule, Reason: r.Reason})
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, q.Who)[0], nil
}

// question makes a record of what is asked, or says what is wrong with it.
func question(q bastion.Question) (record, error) {
	i := q.Op.Intent()
	switch {
	case q.Who.ID() == "" || q.Who.Kind != bastion.Person && q.Who.Kind != bastion.Service:
		return record{}, errors.New("internal error: nobody asks")
	case q.Op.Digest() == "" || q.Decision.Effect != bastion.Ask || len(q.Decision.Needs) == 0:
		return record{}, errors.New("internal error: there is nothing to ask approvers for")
	case q.Who.Kind == bastion.Service && q.Who.Owner == "":
		// Whoever runs it might be the one who approves.
		return record{}, fmt.Errorf("service %s has no owner, so nobody can be told apart from it and its requests cannot be approved; name its owner in the configuration", bastion.VisibleLine(q.Who.Name))
	case !utf8.ValidString(q.Op.Text()) || !utf8.ValidString(i.Settings):
		return record{}, errors.New("the text is not valid UTF-8, so approvers could not read it; send it as UTF-8")
	}
	if err := checkReason(q.Reason); err != nil {
		return record{}, err
	}
	r := record{Request: bastion.Request{
		Who: q.Who, Origin: q.Origin, Session: q.Session,
		Target: q.Op.Target().Name, Verb: i.Verb, Actions: i.Actions,
		Text: q.Op.Text(), Digest: q.Op.Digest(), Settings: i.Settings, Summary: i.Summary,
		Rule: q.Decision.Rule, Needs: slices.Clone(q.Decision.Needs), Holds: max(0, q.Decision.Holds),
		Reason: q.Reason, Preview: q.Preview,
	}}
	if rec := q.Op.Recorded(); rec != r.Text {
		r.Recorded = rec
	}
	return r, nil
}

// checkReason refuses a reason that tells an approver nothing.
func checkReason(reason string) error {
	switch n := utf8.RuneCountInString(reason); {
	case !utf8.ValidString(reason):
		return errors.New("the reason is not valid UTF-8; type it again")
	case n > MaxReason:
		return fmt.Errorf("the reason has %d characters, and may have %d; shorten it", n, MaxReason)
	case !strings.ContainsFunc(reason, unicode.IsLetter):
		return fmt.Errorf("%w in words", bastion.ErrReason)
	}
	return nil
}

// Vote casts a vote. The voter must be a person other than the requester and
// hold one of the needed roles, with the duty to approve. One denial ends the
// request, also one that is approved already; an approval of an approved
// request is kept too, and counts if another one no longer does.
func (s *Service) Vote(ctx context.Context, b bastion.Ballot) (bastion.Request, error) {
	a := action{vote: bastion.Vote{Who: b.Who, Verdict: b.Verdict, Reason: b.Reason, Origin: b.Origin, Session: b.Session}}
	switch b.Verdict {
	case bastion.VoteApprove:
		a.act = approve
	case bastion.VoteDeny:
		a.act = deny
	default:
		return bastion.Request{}, fmt.Errorf("unknown vote %q; approve or deny", bastion.VisibleLine(string(b.Verdict)))
	}
	if b.Who.ID() == "" {
		return bastion.Request{}, errors.New("internal error: nobody votes")
	}
	held := s.c.Roles(b.Who)
	a.vote.Roles = approving(held)
	var r record
	err := s.around(ctx, b.Request, func(known crowd) error {
		known[b.Who.ID()] = member{b.Who, true, a.vote.Roles} // the session has just asked
		return s.change(ctx, func(w *work) error {
			var err error
			if r, err = w.within(b.Request, known); err != nil {
				return err
			}
			if !visible(r, b.Who, held) {
				return &refusal{notFound(b.Request)}
			}
			by := author{b.Who, b.Origin, b.Session}
			if r.State.Open() {
				if err := ballot(r, b, known); err != nil {
					return w.refuse(r, by, err)
				}
			}
			a := a
			a.vote.At = w.now
			t := known.count([]bastion.Identity{r.Who}, append(slices.Clone(r.Votes), a.vote))
			covered, why := t.cover(r.Needs)
			after, err := next(r, a, facts{
				now: w.now, asker: r.Who.Equal(b.Who), owner: r.Who.Person() == b.Who.ID(),
				may: mayDecide(r, a.vote.Roles), apart: known.apart(r.Who, b.Who) == nil,
				voted:   slices.ContainsFunc(r.Votes, func(v bastion.Vote) bool { return known.same(v.Who, b.Who) }),
				covered: covered, why: why,
			})
			if err != nil {
				return w.refuse(r, by, err)
			}
			r = after
			e := bastion.Event{Kind: bastion.EventVote, Effect: string(b.Verdict), Rule: r.Rule, Reason: b.Reason, By: t.names}
			if a.act == deny {
				e.By = []string{b.Who.Name}
			}
			return w.keep(r, by, e)
		})
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, b.Who)[0], nil
}

// ballot refuses a vote for reasons other than the request's state.
func ballot(r record, b bastion.Ballot, known crowd) error {
	if err := known.apart(r.Who, b.Who); errors.Is(err, errOwn) {
		return nil // the machine has the words for it
	} else if err != nil {
		return err
	}
	if b.Who.Kind != bastion.Person {
		return errors.New("a service cannot vote; approvals are given by people")
	}
	err := checkReason(b.Reason)
	switch {
	case !errors.Is(err, bastion.ErrReason):
		return err
	case b.Verdict == bastion.VoteDeny:
		return errors.New("a denial needs a reason in words, because the requester reads it")
	}
	return nil // an approval speaks for itself
}

// Use takes an approval for exactly this question. Everything that the
// approval rests on is checked again: who asks, what runs, that the people who
// approved still may, and that they are what policy wants now. An approval that
// no longer counts ends here, so that the next attempt asks anew.
func (s *Service) Use(ctx context.Context, id uint64, q bastion.Question) (bastion.Request, error) {
	if q.Who.ID() == "" || q.Op.Digest() == "" || q.Decision.Effect != bastion.Ask {
		return bastion.Request{}, errors.New("internal error: there is nothing to use an approval for")
	}
	var r record
	err := s.around(ctx, id, func(known crowd) error {
		return s.change(ctx, func(w *work) error {
			var err error
			if r, err = w.within(id, known); err != nil {
				return err
			}
			if !r.Who.Equal(q.Who) {
				return &refusal{notFound(id)} // whatever its state: it is somebody else's
			}
			t := known.count([]bastion.Identity{r.Who, q.Who}, r.Votes)
			covered, why := t.cover(r.Needs)
			if covered {
				covered, why = t.cover(q.Decision.Needs)
			}
			after, err := next(r, action{act: use}, facts{
				now: w.now, asker: true, covered: covered, why: why, holds: q.Decision.Holds,
				exact: r.Digest == q.Op.Digest() && r.Target == q.Op.Target().Name,
			})
			by := author{q.Who, q.Origin, q.Session}
			if err != nil {
				return w.unused(r, by, err)
			}
			r = after
			return w.keep(r, by, bastion.Event{Kind: bastion.EventUse, Text: r.recorded(), Rule: r.Rule, Reason: r.Reason, By: t.names})
		})
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, q.Who)[0], nil
}

// unused refuses a use, and ends an approval that no longer counts.
func (w *work) unused(r record, by author, err error) error {
	var gone *lapseError
	switch {
	case errors.As(err, &gone):
		after, lerr := next(r, action{act: lapse}, facts{now: w.now})
		if lerr != nil {
			return lerr
		}
		gone.request = after.Request
		if lerr := w.keep(after, author{}, bastion.Event{Kind: bastion.EventExpired, Reason: gone.why}); lerr != nil {
			return lerr
		}
	case r.State == bastion.Expired && !r.Granted.IsZero():
		err = &lapseError{r.Request, "it was not used in time"}
	case r.State == bastion.Expired, r.State == bastion.Denied, r.State == bastion.Withdrawn:
		err = &bastion.NotApprovedError{Request: r.Request}
	}
	return w.refuse(r, by, err)
}

// Withdraw takes back one's own request, or that of a service that one owns.
func (s *Service) Withdraw(ctx context.Context, who bastion.Identity, id uint64) (bastion.Request, error) {
	held := s.c.Roles(who)
	var r record
	err := s.change(ctx, func(w *work) error {
		var err error
		if r, err = w.record(id); err != nil {
			return err
		}
		if !visible(r, who, held) {
			return &refusal{notFound(id)}
		}
		if !own(r, who) {
			return &refusal{fmt.Errorf("request %d is not yours, so you cannot withdraw it", id)}
		}
		if r, err = next(r, action{act: withdraw}, facts{now: w.now, asker: r.Who.Equal(who), owner: r.Who.Person() == who.ID()}); err != nil {
			return &refusal{err}
		}
		return w.keep(r, author{who: who}, bastion.Event{Kind: bastion.EventWithdrawn})
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, who)[0], nil
}

// around calls f with what is known of the people around a request. It asks
// before the transaction, because those who know may keep locks or
// transactions of their own, and asks again when somebody else voted meanwhile.
func (s *Service) around(ctx context.Context, id uint64, f func(crowd) error) error {
	for {
		var r record
		if err := s.read(ctx, func(v *view) (err error) { r, err = v.record(id); return err }); err != nil {
			return err
		}
		if err := f(s.crowd(r)); !errors.Is(err, errStranger) {
			return err
		}
	}
}

// errStranger restarts what was decided without knowing all voters.
var errStranger = errors.New("internal error: somebody voted meanwhile")

// crowd asks who the people around requests are now.
func (s *Service) crowd(rs ...record) crowd {
	c := crowd{}
	add := func(id string) {
		if _, ok := c[id]; ok || id == "" {
			return
		}
		who, ok := s.c.Known(id)
		if !ok || who.ID() != id {
			c[id] = member{}
			return
		}
		c[id] = member{who, true, approving(s.c.Roles(who))}
	}
	for _, r := range rs {
		add(r.Who.ID())
		add(r.Who.Person())
		for _, v := range r.Votes {
			add(v.Who.ID())
		}
	}
	return c
}

// approving lists, in order, the names of the roles that carry the duty to approve.
func approving(held []bastion.Role) []string {
	var names []string
	for _, r := range held {
		if r.Name != "" && slices.Contains(r.Duties, bastion.Approve) {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// mayDecide reports whether one of the roles is needed.
func mayDecide(r record, roles []string) bool {
	return slices.ContainsFunc(r.Needs, func(n bastion.Need) bool { return slices.Contains(roles, n.Role) })
}

// own reports whether the request is the identity's own, or its service's.
func own(r record, who bastion.Identity) bool {
	return r.Who.Equal(who) || who.ID() != "" && r.Who.Person() == who.ID()
}

// visible reports whether the identity, with the roles that it holds, may see
// the request.
func visible(r record, who bastion.Identity, held []bastion.Role) bool {
	return own(r, who) || mayDecide(r, approving(held)) || auditor(held)
}

func auditor(held []bastion.Role) bool {
	return slices.ContainsFunc(held, func(r bastion.Role) bool { return slices.Contains(r.Duties, bastion.Audit) })
}
