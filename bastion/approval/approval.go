// Package approval keeps requests, the votes on them, and their use.
//
// What may happen to a request is one pure function, next. Around it, every
// transition is one transaction of the store that reads the request, applies
// next, keeps the outcome, appends an event with the author and leaves a note for
// those who should hear of it: transactions are serial, so simultaneous votes all
// count and a single-use approval is used once, and they are on disk before
// anybody is told, so no crash undoes them.
//
// Who is who: a service counts as its owner, and accounts with the same e-mail
// address count as one person, whatever provider, key or session they come
// with. Whether a vote counts is asked when the next vote is cast, and again at
// the moment of use, with the roles, addresses and teams as they are then. Of
// access that was granted, every operation is a use, and the question is asked
// anew once a second; see [Service.Grants].
//
// An approval binds a person and exactly one operation, and no session: who asked,
// hung up and comes back finds it, while another person, also one's own other
// account or service, does not. The log tells the session that asked and the one
// that used.
//
// The kinds of request are lines of one table, lives, and everything else is the
// same for all of them.
package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	// MaxAsked is the greatest number of requests that one person makes within an
	// hour, with the services that they own, however they ended: whoever asks and
	// takes back fills no queue, but tells everybody each time.
	MaxAsked = 200
	// MaxUnreviewed is the greatest number of emergencies of one identity for the same
	// target and bundle of which nobody has closed the review.
	MaxUnreviewed = 10
	// MaxComments is the greatest number of comments on a request.
	MaxComments = 100
	// Waiting is how long a request waits for votes if policy does not say.
	Waiting = 30 * time.Minute
)

// Config is what the service is made of. Every field is needed but those that say so.
//
// Roles, Known, People, Teams and Terms are asked outside of transactions, at each
// vote, use and list; they must be quick and must not call the service.
type Config struct {
	DB *store.DB
	// Append adds an event to the log inside a transaction.
	Append func(store.Tx, bastion.Event) error
	// Roles are the roles of an identity with the groups that it has.
	Roles func(bastion.Identity) []bastion.Role
	// Known returns the identity of an ID as it is now; ok is false if it may not
	// come in any more.
	Known func(id string) (who bastion.Identity, ok bool)
	// Confirm sees to it that Known tells of these identities what is so now, not what
	// was so hours ago, before a vote counts or an approval is used. An error says that
	// it cannot be told: then it does not count. Nil: what is known is as of now.
	Confirm func(ctx context.Context, ids ...string) error
	// People are all known identities, for telling who can approve.
	People func() []bastion.Identity
	// Teams are the teams of an identity, for requests that somebody of another team
	// has to decide. Nil: nobody is in any.
	Teams func(bastion.Identity) []string
	// Terms is what policy says now of a bundle on a target that the identity was
	// granted; ok is false if it is not to be had any more. Nil: what was granted is
	// not compared with what policy says later.
	Terms func(who bastion.Identity, target, bundle string, emergency bool) (terms bastion.Terms, ok bool)
	// Notify takes a note of what happened, in the transaction in which it happens:
	// if it fails, nothing happens. Nil: nobody wants to hear.
	Notify func(store.Tx, Note) error
	// Task is told what becomes of a request for a task, in the transaction in which it
	// becomes that: if it fails, nothing happens. Nil: there are no tasks.
	Task func(store.Tx, TaskChange) error
	Now  func() time.Time
}

// Service implements [bastion.Approvals]. It is safe for concurrent use.
type Service struct {
	c     Config
	clock *clock

	mu       sync.Mutex // guards what follows
	watchers map[*watcher]struct{}

	granting sync.Mutex // held while grants changes
	grants   atomic.Pointer[grants]
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
	if c.Confirm == nil {
		c.Confirm = func(context.Context, ...string) error { return nil }
	}
	s := &Service{c: c, clock: newClock(c.Now, latest), watchers: map[*watcher]struct{}{}}
	s.grants.Store(&grants{})
	if err := s.recall(); err != nil {
		return nil, fmt.Errorf("opening approvals: %w", err)
	}
	return s, nil
}

// Find returns the open request of this identity for exactly this operation.
func (s *Service) Find(ctx context.Context, who bastion.Identity, op bastion.Operation) (bastion.Request, bool, error) {
	digest := op.Digest()
	if who.ID() == "" || digest == "" {
		return bastion.Request{}, false, errors.New("internal error: nobody asks for nothing")
	}
	if c := claimed(ctx); c != nil {
		return s.findClaimed(ctx, c, who, op)
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
	if claimed(ctx) != nil {
		return bastion.Request{}, errClaim // a task asks for all that it does at once
	}
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
				if !open.NoReason || asked.NoReason {
					return nil
				}
				return w.explain(&r, asked)
			}
		}
		if err := w.room(r, author{r.Who, r.Origin, r.Session}); err != nil {
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
			Kind: bastion.EventRequest, Text: r.recorded(), Effect: bastion.Ask.String(), Rule: r.Rule, Reason: r.Reason}, NoteFiled)
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, q.Who)[0], nil
}

// explain gives a request the reason that it was made without. Whoever has looked at it
// already hears of it as of a comment, and the log says when it came.
func (w *work) explain(r *record, asked record) error {
	by := author{asked.Who, asked.Origin, asked.Session}
	said := bastion.Vote{Who: asked.Who, Verdict: bastion.VoteComment, Reason: asked.Reason, At: w.now, Origin: asked.Origin, Session: asked.Session}
	after, err := next(*r, action{act: comment, vote: said}, facts{now: w.now, asker: true, reads: true})
	if err != nil {
		return w.refuse(*r, by, err)
	}
	after.Reason, after.NoReason = asked.Reason, false
	*r = after
	return w.keep(after, by, bastion.Event{Kind: bastion.EventVote, Effect: string(bastion.VoteComment), Rule: after.Rule, Reason: after.Reason, By: []string{asked.Who.Name}}, NoteComment)
}

// question makes a record of what is asked, or says what is wrong with it.
func question(q bastion.Question) (record, error) {
	i := q.Op.Intent()
	if err := checkAsker(q.Who); err != nil {
		return record{}, err
	}
	switch {
	case q.Op.Digest() == "" || q.Decision.Effect != bastion.Ask || len(q.Decision.Needs) == 0:
		return record{}, errors.New("internal error: there is nothing to ask approvers for")
	case !utf8.ValidString(q.Op.Text()) || !utf8.ValidString(i.Settings):
		return record{}, errors.New("the text is not valid UTF-8, so approvers could not read it; send it as UTF-8")
	}
	if err := checkReason(q.Reason); err != nil {
		return record{}, err
	}
	r := record{Request: bastion.Request{
		Kind: bastion.KindOperation, Who: asker(q.Who), Origin: q.Origin, Session: q.Session,
		Target: q.Op.Target().Name, Verb: i.Verb, Actions: i.Actions,
		Text: q.Op.Text(), Params: slices.Clone(q.Op.Params().Shown), Digest: q.Op.Digest(), Settings: i.Settings, Summary: i.Summary,
		Rule: q.Decision.Rule, Needs: slices.Clone(q.Decision.Needs), Holds: max(0, q.Decision.Holds),
		Reason: q.Reason, NoReason: q.NoReason, Preview: q.Preview, OtherTeam: q.Decision.OtherTeam, Try: q.Decision.Try,
	}, Bound: slices.Clone(q.Op.Params().Bytes)}
	if rec := q.Op.Recorded(); rec != r.Text {
		r.Recorded = rec
	}
	return r, nil
}

// checkAsker refuses requests of those whom nobody could be told apart from.
func checkAsker(who bastion.Identity) error {
	switch {
	case who.ID() == "" || who.Kind != bastion.Person && who.Kind != bastion.Service:
		return errors.New("internal error: nobody asks")
	case who.Kind == bastion.Service && who.Owner == "":
		// Whoever runs it might be the one who approves.
		return fmt.Errorf("service %s has no owner, so nobody can be told apart from it and its requests cannot be approved; name its owner in the configuration", bastion.VisibleLine(who.Name))
	}
	return nil
}

// asker is an identity as a request keeps it: without what it may do just now.
func asker(who bastion.Identity) bastion.Identity {
	who.Grants = nil
	return who
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
// request is kept too, and counts if another one no longer does. A comment is for
// everybody who may see the request, and decides nothing. Approving a review closes
// it, and so does denying it, which says that something was wrong.
func (s *Service) Vote(ctx context.Context, b bastion.Ballot) (bastion.Request, error) {
	a := action{vote: bastion.Vote{Who: asker(b.Who), Verdict: b.Verdict, Reason: b.Reason, Origin: b.Origin, Session: b.Session}}
	switch b.Verdict {
	case bastion.VoteApprove:
		a.act = approve
	case bastion.VoteDeny:
		a.act = deny
	case bastion.VoteComment:
		a.act = comment
	default:
		return bastion.Request{}, fmt.Errorf("unknown vote %q; approve, deny or comment", bastion.VisibleLine(string(b.Verdict)))
	}
	if b.Who.ID() == "" {
		return bastion.Request{}, errors.New("internal error: nobody votes")
	}
	held := s.c.Roles(b.Who)
	a.vote.Roles = approving(held)
	if a.act == approve {
		if err := s.confirm(ctx, b.Request, b.Who); err != nil {
			return bastion.Request{}, err
		}
	}
	var r record
	err := s.around(ctx, b.Request, false, func(known *crowd) error {
		known.members[b.Who.ID()] = member{b.Who, true, a.vote.Roles} // the session has just asked
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
			t := known.count(r.requesters(), r.OtherTeam, append(slices.Clone(r.Votes), a.vote))
			f := known.facts(r, b.Who, a.vote.Roles)
			f.now, f.reads, f.voted = w.now, true, known.voted(r, b.Who)
			f.covered, f.why = t.cover(r.Needs)
			if r.Of != 0 {
				of, err := w.record(r.Of)
				if err != nil {
					return err
				}
				f.over = !of.State.Open()
			}
			after, err := next(r, a, f)
			if err != nil {
				return w.refuse(r, by, err)
			}
			note := noteOfVote(r, after, a.act)
			r = after
			e := bastion.Event{Kind: bastion.EventVote, Effect: string(b.Verdict), Rule: r.Rule, Reason: b.Reason, By: t.names}
			if a.act == deny || a.act == comment {
				e.By = []string{b.Who.Name}
			}
			return w.keep(r, by, e, note)
		})
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, b.Who)[0], nil
}

// facts are what the machine has to know of somebody who acts on a request.
func (c *crowd) facts(r record, who bastion.Identity, roles []string) facts {
	return facts{
		asker: r.Who.Equal(who), owner: who.ID() != "" && r.Who.Person() == who.ID(),
		may: who.Kind == bastion.Person && mayDecide(r, roles), apart: c.apartFrom(r, who) == nil,
		outside: !r.OtherTeam || c.otherTeam(who, r.Who),
	}
}

// ballot refuses a vote for reasons other than the request's state.
func ballot(r record, b bastion.Ballot, known *crowd) error {
	if b.Verdict == bastion.VoteComment {
		if err := checkReason(b.Reason); errors.Is(err, bastion.ErrReason) {
			return errors.New("a comment needs words, because others read it")
		} else {
			return err
		}
	}
	if err := known.apartFrom(r, b.Who); errors.Is(err, errOwn) {
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
	if c := claimed(ctx); c != nil {
		return s.useClaimed(ctx, c, id, q)
	}
	if err := s.confirm(ctx, id); err != nil {
		return bastion.Request{}, err
	}
	var r record
	err := s.around(ctx, id, q.Decision.OtherTeam, func(known *crowd) error {
		return s.change(ctx, func(w *work) error {
			var err error
			if r, err = w.within(id, known); err != nil {
				return err
			}
			if !r.Who.Equal(q.Who) {
				return &refusal{notFound(id)} // whatever its state: it is somebody else's
			}
			t := known.count([]bastion.Identity{r.Who, q.Who}, r.OtherTeam || q.Decision.OtherTeam, r.Votes)
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
			note := NoteUsed
			if r.Uses > 1 {
				note = "" // of an approval that holds, the first use is news
			}
			return w.keep(r, by, bastion.Event{Kind: bastion.EventUse, Text: r.recorded(), Rule: r.Rule, Reason: r.Reason, By: t.names}, note)
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
		after, lerr := next(r, action{act: lapse, why: gone.why}, facts{now: w.now})
		if lerr != nil {
			return lerr
		}
		gone.request = after.Request
		if lerr := w.keep(after, author{}, bastion.Event{Kind: bastion.EventExpired, Reason: gone.why}, NoteExpired); lerr != nil {
			return lerr
		}
	case r.State == bastion.Expired && !r.Granted.IsZero():
		err = &lapseError{r.Request, "it was not used in time"}
	case r.State == bastion.Expired, r.State == bastion.Denied, r.State == bastion.Withdrawn, r.State == bastion.Revoked:
		err = &bastion.NotApprovedError{Request: r.Request}
	}
	return w.refuse(r, by, err)
}

// Withdraw takes back one's own request, or that of a service that one owns. Access
// that was granted is revoked: that it was there is not undone.
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
		a, e, note := action{act: withdraw, by: who.Name}, bastion.Event{Kind: bastion.EventWithdrawn}, NoteWithdrawn
		if r.lasting() {
			a, e, note = action{act: revoke, by: who.Name}, bastion.Event{Kind: bastion.EventRevoke, Text: r.recorded(), Rule: r.Rule}, NoteRevoked
		}
		if r, err = next(r, a, facts{now: w.now, asker: r.Who.Equal(who), owner: r.Who.Person() == who.ID()}); err != nil {
			return &refusal{err}
		}
		return w.keep(r, author{who: who}, e, note)
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, who)[0], nil
}

// around calls f with what is known of the people around a request. It asks
// before the transaction, because those who know may keep locks or
// transactions of their own, and asks again when somebody else voted meanwhile.
func (s *Service) around(ctx context.Context, id uint64, otherTeam bool, f func(*crowd) error) error {
	for {
		var r record
		if err := s.read(ctx, func(v *view) (err error) { r, err = v.record(id); return err }); err != nil {
			return err
		}
		if err := f(s.crowd(otherTeam || r.OtherTeam, r)); !errors.Is(err, errStranger) {
			return err
		}
	}
}

// errStranger restarts what was decided without knowing all voters.
var errStranger = errors.New("internal error: somebody voted meanwhile")

// confirm has it confirmed who the people around a request are, and others. To take
// something away from somebody needs no such thing.
func (s *Service) confirm(ctx context.Context, id uint64, others ...bastion.Identity) error {
	r, err := s.one(ctx, id)
	if err != nil {
		return err
	}
	return s.c.Confirm(ctx, involved(r, others...)...)
}

// involved lists the IDs of those on whom a decision about a request rests, each once.
func involved(r record, others ...bastion.Identity) []string {
	var ids []string
	add := func(who bastion.Identity) { ids = append(ids, who.ID(), who.Person()) }
	add(r.Who)
	for _, who := range slices.Concat(r.Apart, others) {
		add(who)
	}
	for _, v := range r.Votes {
		if v.Verdict != bastion.VoteComment {
			add(v.Who)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// crowd asks who the people around requests are now, and if otherTeam is set in
// which teams.
func (s *Service) crowd(otherTeam bool, rs ...record) *crowd {
	c := &crowd{members: map[string]member{}, teams: s.c.Teams}
	add := func(id string) {
		if _, ok := c.members[id]; ok || id == "" {
			return
		}
		who, ok := s.c.Known(id)
		if !ok || who.ID() != id {
			c.members[id] = member{}
			return
		}
		c.members[id] = member{who, true, approving(s.c.Roles(who))}
	}
	for _, r := range rs {
		add(r.Who.ID())
		add(r.Who.Person())
		for _, who := range r.Apart {
			add(who.ID())
			add(who.Person())
		}
		for _, v := range r.Votes {
			add(v.Who.ID())
		}
	}
	if otherTeam {
		c.link(s.c.People())
	}
	return c
}

// everybody is all known people, with their roles and teams.
func (s *Service) everybody() *crowd {
	c := &crowd{members: map[string]member{}, teams: s.c.Teams}
	people := s.c.People()
	for _, p := range people {
		c.members[p.ID()] = member{p, true, approving(s.c.Roles(p))}
	}
	c.link(people)
	return c
}

// approving lists, in order, the names of the roles that may decide: by the duty to
// approve, or by the duty to audit, to which policy can give the review of an
// emergency. Which of them a request takes, its needs say.
func approving(held []bastion.Role) []string {
	var names []string
	for _, r := range held {
		if r.Name != "" && (slices.Contains(r.Duties, bastion.Approve) || slices.Contains(r.Duties, bastion.Audit)) {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// mayDecide reports whether one of the roles is needed.
func mayDecide(r record, roles []string) bool {
	return slices.ContainsFunc(r.Needs, func(n bastion.Need) bool { return slices.ContainsFunc(roles, n.Takes) })
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
