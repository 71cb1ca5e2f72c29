package approval

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// work is one write transaction.
type work struct {
	s       *Service
	tx      store.Tx
	now     time.Time
	changed []record // for those who watch, and for the grants
	people  *crowd   // everybody, for notes; nil if nobody wants any
}

// author is who does something. The zero author is the bastion itself.
type author struct {
	who     bastion.Identity
	origin  bastion.Origin
	session string
}

// refusal is an error after which the transaction is kept: what was refused is
// in the log, and what was found to have expired has expired.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// change runs f in a transaction and returns once it is on disk, and those who
// watch are told. f may run more than once.
func (s *Service) change(ctx context.Context, f func(*work) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var w *work
	var refused *refusal
	var people *crowd
	if s.c.Notify != nil {
		people = s.everybody()
	}
	err := s.c.DB.Update(func(tx store.Tx) error {
		w, refused = &work{s: s, tx: tx, now: s.clock.now(), people: people}, nil
		err := f(w)
		if errors.As(err, &refused) {
			err = nil
		}
		if err != nil {
			return err
		}
		return setFloor(tx, w.now)
	})
	if err != nil {
		return err
	}
	s.refresh(w.changed) // before anybody is told
	s.notify(w.changed)
	if refused != nil {
		return refused.error
	}
	return nil
}

// record reads a request. If its time is over, it expires here and now, for good.
func (w *work) record(id uint64) (record, error) {
	r, ok, err := load(w.tx, id)
	if err != nil {
		return record{}, err
	}
	if !ok {
		return record{}, notFound(id)
	}
	if !r.due(w.now) {
		return r, nil
	}
	why := "not approved in time"
	if r.State == bastion.Approved {
		why = "it was approved, and its time is over"
	}
	if r, err = next(r, action{act: expire, why: why}, facts{now: w.now}); err != nil {
		return record{}, err
	}
	return r, w.keep(r, author{}, bastion.Event{Kind: bastion.EventExpired, Reason: why}, NoteExpired)
}

// within is record, of a request whose voters are all in the crowd.
func (w *work) within(id uint64, known *crowd) (record, error) {
	r, err := w.record(id)
	if err != nil {
		return record{}, err
	}
	for _, v := range r.Votes {
		if _, ok := known.members[v.Who.ID()]; !ok {
			return record{}, errStranger
		}
	}
	for _, who := range r.Apart {
		if _, ok := known.members[who.ID()]; !ok {
			return record{}, errStranger
		}
	}
	return r, nil
}

// keep saves a request after a transition, logs the event that tells it, and leaves
// a note for those who should hear of it, if anybody should.
func (w *work) keep(r record, by author, e bastion.Event, note NoteKind) error {
	if err := save(w.tx, r); err != nil {
		return err
	}
	if !r.State.Open() { // from where nothing leads on, so that it counts once
		if err := remember(w.tx, r); err != nil {
			return err
		}
	}
	if r.emergency() && r.State == bastion.Revoked && !own(r, by.who) {
		if err := bar(w.tx, r); err != nil {
			return err
		}
	}
	w.changed = append(w.changed, r)
	if err := w.log(r, by, e); err != nil {
		return err
	}
	if err := w.told(r, by); err != nil {
		return err
	}
	return w.note(r, by, note)
}

// refuse logs that something was refused, and returns why.
func (w *work) refuse(r record, by author, why error) error {
	e := bastion.Event{Kind: bastion.EventRefused, Error: why.Error()}
	if err := w.log(r, by, e); err != nil {
		return err
	}
	return &refusal{why}
}

// log completes an event with request, author and time. The bastion's own
// events have its name and no ID.
func (w *work) log(r record, by author, e bastion.Event) error {
	e.At, e.Request, e.Target, e.Verb, e.Digest = w.now, r.ID, r.Target, r.Verb, r.Digest
	e.Who, e.Name, e.Session = by.who.ID(), by.who.Name, by.session
	if by.origin != (bastion.Origin{}) {
		e.Origin = &by.origin
	}
	if e.Who == "" {
		e.Name = "sallyport"
	}
	if err := w.s.c.Append(w.tx, e); err != nil {
		return fmt.Errorf("recording request %d: %w", r.ID, err)
	}
	return nil
}

// room refuses a requester who has too many open requests, or has made too many in
// an hour. Reviews are not the requester's to end, so they do not count.
func (w *work) room(r record, by author) error {
	ids, err := oldest(w.tx, openBucket, requester(r.Who.ID()))
	if err != nil {
		return err
	}
	open := len(ids)
	if open >= MaxOpen {
		open = 0
		for _, id := range ids { // some may only look open
			r, err := w.record(id)
			if err != nil {
				return err
			}
			if r.State.Open() && r.Kind != bastion.KindReview {
				open++
			}
		}
	}
	if open >= MaxOpen {
		return w.refuse(r, by, fmt.Errorf("you have %d open requests, and nobody may have more; withdraw one, or wait until some are decided", open))
	}
	next, err := asked(w.tx, r.Who.Person(), w.now)
	if err != nil {
		return err
	}
	if !next.IsZero() {
		return w.refuse(r, by, fmt.Errorf("you and your services have made %d requests within an hour, and nobody may make more; ask again after %s", MaxAsked, bastion.Moment(next, w.now)))
	}
	return nil
}

// view is one read transaction.
type view struct {
	tx  store.Tx
	now time.Time
	due []uint64 // requests that have to be expired first
}

// record reads a request.
func (v *view) record(id uint64) (record, error) {
	r, ok, err := load(v.tx, id)
	if err != nil {
		return record{}, err
	}
	if !ok {
		return record{}, notFound(id)
	}
	if r.due(v.now) {
		v.due = append(v.due, id)
	}
	return r, nil
}

// read runs f in a read transaction. Whatever f came across that is due is
// expired for good, and f runs again: nobody ever sees an open request whose
// time is over, and no clock that is set back opens it again.
func (s *Service) read(ctx context.Context, f func(*view) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for {
		var v *view
		err := s.c.DB.View(func(tx store.Tx) error {
			v = &view{tx: tx, now: s.clock.now()}
			return f(v)
		})
		if err != nil || len(v.due) == 0 {
			return err
		}
		if err := s.change(ctx, func(w *work) error {
			for _, id := range v.due {
				if _, err := w.record(id); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
}
