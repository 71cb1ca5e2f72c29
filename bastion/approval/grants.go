package approval

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// Recheck is how long an answer of [Service.Grants] may go by people, roles and
// policy as they were. Ends, windows and revocations take effect at once.
const Recheck = time.Second

// grants is who holds access. It is never changed, only replaced.
type grants map[holderKey]*holder

// holderKey is an identity. It is a struct because looking one up costs nothing.
type holderKey struct{ issuer, subject string }

func keyOf(who bastion.Identity) holderKey { return holderKey{who.Issuer, who.Subject} }

// holder is an identity that was granted access.
type holder struct {
	held   []held // by request; never changed
	answer atomic.Pointer[answer]
	asking sync.Mutex // held while a new answer is made
}

// held is access that somebody was granted, as the store has it.
type held struct {
	record
	window  Window
	limited bool // by window
}

// answer is what an identity may use until a moment.
type answer struct {
	until  time.Time
	grants []bastion.Grant
}

// Grants lists the access that exactly this identity was granted and may use at this
// moment: not that of linked accounts or owned services. The list is shared and must
// not be changed. It is asked before every operation of every session, so who has
// been granted nothing costs a look into a map, and the answer for who has is kept
// until something is due, for [Recheck] at most.
//
// When it is made anew, everything that the access rests on is looked at again: that
// the votes still count, with the roles, addresses and teams of now, and that policy
// still offers it. Access for which that is not so ends there and then, for good, as
// does access whose time is over; that is in the store before Grants returns, and if
// it cannot be, Grants returns an error and no access. Access of which nobody can tell
// for the time being whether it still counts is not in the list.
func (s *Service) Grants(ctx context.Context, who bastion.Identity) ([]bastion.Grant, error) {
	h := (*s.grants.Load())[keyOf(who)]
	if h == nil {
		return nil, nil
	}
	if a := h.answer.Load(); a != nil && s.clock.now().Before(a.until) {
		return a.grants, nil
	}
	return s.granted(ctx, who)
}

// granted makes a new answer.
func (s *Service) granted(ctx context.Context, who bastion.Identity) ([]bastion.Grant, error) {
	for {
		h := (*s.grants.Load())[keyOf(who)]
		if h == nil {
			return nil, nil
		}
		a, over := s.answer(ctx, h, who)
		if len(over) == 0 {
			return a.grants, nil
		}
		for _, r := range over {
			if err := s.lapse(ctx, r, who); err != nil {
				return nil, fmt.Errorf("ending access: %w", err)
			}
		}
	}
}

// answer looks at what somebody holds. over is what has to end first.
func (s *Service) answer(ctx context.Context, h *holder, who bastion.Identity) (a *answer, over []record) {
	h.asking.Lock()
	defer h.asking.Unlock()
	now := s.clock.now()
	if a := h.answer.Load(); a != nil && now.Before(a.until) {
		return a, nil // somebody else of the same was quicker
	}
	a = &answer{until: now.Add(Recheck)}
	sooner := func(t time.Time) {
		if t.Before(a.until) {
			a.until = t
		}
	}
	for _, g := range h.held {
		if g.due(now) {
			over = append(over, g.record)
			continue
		}
		sooner(g.Expires)
		until := g.Expires
		switch {
		case now.Before(g.Access.From):
			sooner(g.Access.From)
			continue
		case g.limited:
			// A window opens and closes at a whole minute.
			sooner(now.Truncate(time.Minute).Add(time.Minute))
			if !g.window.Contains(now) {
				continue
			}
			if closes := g.window.Ends(now); !closes.IsZero() && closes.Before(until) {
				until = closes
			}
		}
		// Access that others approved waits while nobody can tell whether they still
		// may; nobody approved an emergency.
		if !g.emergency() && s.c.Confirm(ctx, involved(g.record)...) != nil {
			continue
		}
		terms := s.offered(g.record, who)
		if why := s.crowd(g.OtherTeam || terms.OtherTeam, g.record).rests(g.record, who, terms, now); why != "" {
			over = append(over, g.record)
			continue
		}
		a.grants = append(a.grants, bastion.Grant{Request: g.ID, Target: g.Target, Bundle: g.Access.Bundle, Until: until, Emergency: g.Access.Emergency})
	}
	if len(over) > 0 {
		return nil, over
	}
	a.grants = slices.Clip(a.grants)
	h.answer.Store(a)
	return a, nil
}

// offer is what policy says now of access that was granted.
type offer struct {
	bastion.Terms
	known, gone bool
}

func (s *Service) offered(r record, who bastion.Identity) offer {
	if s.c.Terms == nil {
		return offer{}
	}
	t, ok := s.c.Terms(who, r.Target, r.Access.Bundle, r.Access.Emergency)
	return offer{t, true, !ok}
}

// rests returns why access that was granted does not count at this moment; empty if
// it does. It is the stricter of what was approved and what policy says now.
func (c *crowd) rests(r record, who bastion.Identity, o offer, now time.Time) (why string) {
	switch {
	case o.gone:
		return "the policy no longer offers it"
	case o.known && !now.Before(r.Access.From.Add(o.Max)):
		return "the policy now grants it for " + bastion.Span(o.Max)
	case r.emergency():
		return "" // nobody had to approve it
	}
	t := c.count([]bastion.Identity{r.Who, who}, r.OtherTeam || o.OtherTeam, r.Votes)
	if ok, why := t.cover(r.Needs); !ok {
		return why
	}
	if o.known {
		if ok, why := t.cover(o.Needs); !ok {
			return why
		}
	}
	return ""
}

// lapse ends access whose time is over, or which does not count any more.
func (s *Service) lapse(ctx context.Context, r record, who bastion.Identity) error {
	o := s.offered(r, who)
	return s.around(ctx, r.ID, o.OtherTeam, func(known *crowd) error {
		return s.change(ctx, func(w *work) error {
			r, err := w.within(r.ID, known) // which ends it if its time is over
			if err != nil || !r.lasting() {
				return err
			}
			why := known.rests(r, who, o, w.now)
			if why == "" {
				return nil
			}
			after, err := next(r, action{act: lapse, why: why}, facts{now: w.now})
			if err != nil {
				return err
			}
			return w.keep(after, author{}, bastion.Event{Kind: bastion.EventExpired, Reason: why}, NoteExpired)
		})
	})
}

// recall fills the grants from the store, as it was left. It also gives requests of
// an earlier version their place in the order of what is due.
func (s *Service) recall() error {
	var open, late []record
	err := s.c.DB.View(func(tx store.Tx) error {
		open, late = nil, nil
		ids, err := oldest(tx, openBucket, everything())
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, ok, err := load(tx, id)
			if err != nil {
				return err
			}
			if !ok {
				return notFound(id)
			}
			if r.lasting() {
				open = append(open, r)
			}
			if !r.Wake.Equal(r.wake()) {
				late = append(late, r)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.refresh(open)
	if len(late) == 0 {
		return nil
	}
	return s.c.DB.Update(func(tx store.Tx) error {
		for _, r := range late {
			if err := save(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// refresh makes the grants agree with the store about requests that have changed.
// It reads them again, so that of two changes the later one counts, in whatever
// order they come here. What cannot be read is not granted.
func (s *Service) refresh(changed []record) {
	if !slices.ContainsFunc(changed, func(r record) bool { return r.Kind == bastion.KindAccess }) {
		return
	}
	s.granting.Lock()
	defer s.granting.Unlock()
	var now []record
	err := s.c.DB.View(func(tx store.Tx) error {
		now = nil
		for _, r := range changed {
			r, ok, err := load(tx, r.ID)
			if err != nil {
				return err
			}
			if ok {
				now = append(now, r)
			}
		}
		return nil
	})
	if err != nil {
		now = nil
	}
	all := maps.Clone(*s.grants.Load())
	for _, c := range changed {
		key := keyOf(c.Who)
		if h := all[key]; h != nil {
			rest := slices.DeleteFunc(slices.Clone(h.held), func(g held) bool { return g.ID == c.ID })
			if all[key] = (&holder{held: rest}); len(rest) == 0 {
				delete(all, key)
			}
		}
	}
	for _, r := range now {
		if !r.lasting() {
			continue
		}
		h := held{record: r, limited: r.Access.Window != ""}
		if h.limited {
			w, err := ParseWindow(r.Access.Window)
			if err == nil {
				h.window = w // else it is never open
			}
		}
		var of []held
		if before := all[keyOf(r.Who)]; before != nil {
			of = slices.Clone(before.held)
		}
		if slices.ContainsFunc(of, func(g held) bool { return g.ID == r.ID }) {
			continue // changed twice
		}
		of = append(of, h)
		slices.SortFunc(of, func(a, b held) int { return cmp.Compare(a.ID, b.ID) })
		all[keyOf(r.Who)] = &holder{held: of}
	}
	s.grants.Store(&all)
}

// sweepAtOnce is how many requests one transaction of a sweep ends.
const sweepAtOnce = 100

// Sweep does what time does: it ends requests and access whose time is over, and
// leaves notes of access that ends within [Soon]. Nothing depends on its being
// called in time, because what is due is never treated as open; but whoever waits
// for the news gets them by it. When nothing is due it costs a short read.
func (s *Service) Sweep(ctx context.Context) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		var due []uint64
		if err := s.c.DB.View(func(tx store.Tx) (err error) {
			due, err = overdue(tx, s.clock.now(), sweepAtOnce)
			return err
		}); err != nil || len(due) == 0 {
			return err
		}
		if err := s.change(ctx, func(w *work) error {
			for _, id := range due {
				r, err := w.record(id)
				if err != nil {
					return err
				}
				if r.wake().IsZero() || r.wake().After(w.now) {
					continue // it has ended, just now or meanwhile
				}
				if r, err = next(r, action{act: warn}, facts{now: w.now}); err != nil {
					return err
				}
				if err := save(w.tx, r); err != nil {
					return err
				}
				w.changed = append(w.changed, r)
				if err := w.note(r, author{}, NoteSoon); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
}
