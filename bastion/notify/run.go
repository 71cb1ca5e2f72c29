package notify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sallyport/sallyport/bastion/store"
)

// How often a letter is tried. The pauses double from two seconds to an hour: of
// 35 attempts the first twelve take an hour, the rest a day.
const (
	maxAttempts   = 35
	shortestPause = 2 * time.Second
	longestPause  = time.Hour
)

// How many letters of one channel are on their way at the same time. Emergencies
// have places of their own, so that they never wait behind others.
const (
	places       = 4
	urgentPlaces = 4
)

// trouble is how long Run waits when the store fails.
const trouble = 5 * time.Second

// pause is how long to wait after so many attempts, give or take a fifth, so that
// letters that failed together do not come back together.
func pause(attempts int) time.Duration {
	d := longestPause
	if attempts < 12 {
		d = min(longestPause, shortestPause<<(attempts-1))
	}
	return d*4/5 + rand.N(d*2/5)
}

// Run delivers what is in the outbox, and what comes, until ctx ends; then it
// returns nil, and nothing of it goes on. The store must stay open until then: if
// it is closed before, Run ends with its error. One Run at a time.
func (o *Outbox) Run(ctx context.Context) error {
	if !o.running.TryLock() {
		return errTwice
	}
	defer o.running.Unlock()
	if err := o.mend(); err != nil {
		return fmt.Errorf("opening the outbox: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &round{o: o, done: make(chan outcome), busy: map[uint64]bool{}, used: map[lane]int{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return r.finish()
		case <-o.wake:
			// The ring came from inside of a transaction. Transactions are serial, so
			// after an empty one that which rang has ended.
			err = o.db.Update(func(store.Tx) error { return nil })
		case e := <-r.done:
			r.arrived(e)
			r.more()
		case <-timer.C:
		}
		wait := time.Duration(-1)
		if err == nil {
			err = r.note(ctx.Err() != nil)
		}
		if err == nil {
			wait, err = r.start(ctx)
		}
		if errors.Is(err, store.ErrClosed) {
			cancel()
			return errors.Join(err, r.finish())
		}
		if err != nil {
			o.log.Error("notifications wait, because the store fails", "error", err)
			wait = trouble
		}
		timer.Stop()
		if wait >= 0 {
			timer.Reset(wait)
		}
	}
}

// mend makes what an earlier process left fit for this one: letters to channels
// that are gone are given up, and none waits longer than it could by our own
// pauses, which happens when the clock was ahead.
func (o *Outbox) mend() error {
	now := time.Now().UTC()
	known := map[lane]bool{}
	for _, c := range o.channels {
		known[laneOf(c.Name, Emergency)], known[laneOf(c.Name, "")] = true, true
	}
	var wrong []uint64
	if err := o.db.View(func(tx store.Tx) error {
		return tx.Scan(dueBucket, nil, func(k, _ []byte) (bool, error) {
			of, due, id := readDue(k)
			if !known[of] || due.After(now.Add(2*longestPause)) {
				wrong = append(wrong, id)
			}
			return true, nil
		})
	}); err != nil || len(wrong) == 0 {
		return err
	}
	return o.db.Update(func(tx store.Tx) error {
		for _, id := range wrong {
			l, ok, err := load(tx, lettersBucket, id)
			if err != nil || !ok {
				continue // start complains of it
			}
			if o.named(l.Channel) == nil {
				l.Error = "its channel is not in the configuration any more"
				if err := l.bury(tx, id); err != nil {
					return err
				}
				continue
			}
			if err := l.remove(tx, id); err != nil {
				return err
			}
			l.Due = atOnce
			if err := l.save(tx, id); err != nil {
				return err
			}
		}
		_, err := trim(tx)
		return err
	})
}

// readDue reads a key of the due bucket.
func readDue(k []byte) (of lane, due time.Time, id uint64) {
	copy(of[:], k)
	k = k[len(of):]
	return of, time.Unix(0, int64(binary.BigEndian.Uint64(k))).UTC(), binary.BigEndian.Uint64(k[8:])
}

// round is what one Run knows. Its own goroutine alone touches it.
type round struct {
	o *Outbox
	// done brings what came of attempts. Each goroutine sends once and ends; Run
	// takes all before it returns.
	done   chan outcome
	flying int
	used   map[lane]int    // places taken
	busy   map[uint64]bool // on its way, or back and not yet noted, or unreadable
	ended  []outcome       // back and not yet noted in the store
}

// outcome is what came of an attempt.
type outcome struct {
	id    uint64
	l     letter
	err   error
	at    time.Time
	pause time.Duration // before the next attempt
}

// start sends what is due where there is a place. It returns how long nothing more
// is due, or a negative time if only an outcome or a new letter changes anything.
func (r *round) start(ctx context.Context) (time.Duration, error) {
	now := time.Now()
	wait := time.Duration(-1)
	next := func(at time.Time) {
		if d := max(0, at.Sub(now)); wait < 0 || d < wait {
			wait = d
		}
	}
	for _, ch := range r.o.channels {
		for _, kind := range []Kind{Emergency, ""} {
			of, free := laneOf(ch.Name, kind), places
			if kind == Emergency {
				free = urgentPlaces
			}
			free -= r.used[of]
			if free <= 0 {
				continue
			}
			found, later, err := r.due(of, free, now)
			if err != nil {
				return 0, err
			}
			if !later.IsZero() {
				next(later)
			}
			for _, f := range found {
				r.used[of]++
				r.flying++
				r.busy[f.id] = true
				go func() { // ends with ctx at the latest
					r.done <- r.o.attempt(ctx, ch, f)
				}()
			}
		}
	}
	return wait, nil
}

// due reads at most so many letters of a lane that are due, and when the next one
// will be, if there is none now.
func (r *round) due(of lane, most int, now time.Time) (found []outcome, later time.Time, err error) {
	err = r.o.db.View(func(tx store.Tx) error {
		found, later = nil, time.Time{}
		return tx.Scan(dueBucket, of[:], func(k, _ []byte) (bool, error) {
			in, due, id := readDue(k)
			if in != of || len(found) == most {
				return false, nil
			}
			if r.busy[id] {
				return true, nil
			}
			if due.After(now) {
				later = due
				return false, nil
			}
			l, ok, err := load(tx, lettersBucket, id)
			if err != nil || !ok {
				// One letter that cannot be read must not hold up the others.
				r.busy[id] = true
				r.o.log.Error("a notification cannot be read, and stays where it is", "id", id, "error", err)
				return true, nil
			}
			found = append(found, outcome{id: id, l: l})
			return true, nil
		})
	})
	return found, later, err
}

// attempt sends a letter once.
func (o *Outbox) attempt(ctx context.Context, ch *channel, f outcome) (out outcome) {
	out = f
	defer func() {
		// What a letter holds comes from anybody; it must not take the bastion with it.
		if recover() != nil {
			out.err = failed("internal error: a panic while sending")
		}
		out.at = time.Now().UTC()
		out.pause = pause(f.l.Attempts + 1)
		if fail, ok := errors.AsType[*failure](out.err); ok {
			out.pause = max(out.pause, fail.after)
		} else if out.err != nil {
			out.err = failed("internal error: a failure without a reason")
		}
	}()
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out.err = ch.send.send(within, parcel{Note: f.l.Note, message: o.voice.say(f.l.Note, time.Now()), bastion: o.voice.name, key: f.l.Key, to: f.l.To})
	return out
}

// more takes the outcomes that are there already, so that they share a transaction.
func (r *round) more() {
	for {
		select {
		case e := <-r.done:
			r.arrived(e)
		default:
			return
		}
	}
}

// arrived takes an outcome, and with it the place that is free again.
func (r *round) arrived(e outcome) {
	r.flying--
	r.used[laneOf(e.l.Channel, e.l.Note.Kind)]--
	r.ended = append(r.ended, e)
}

// note writes what came of attempts into the store. Until that worked, no letter
// of them is sent again. If Run was cut short, what did not arrive does not count
// as an attempt.
func (r *round) note(cut bool) error {
	if len(r.ended) == 0 {
		return nil
	}
	var dropped int
	err := r.o.db.Update(func(tx store.Tx) error {
		died := false
		for _, e := range r.ended {
			if err := e.note(tx, cut); err != nil {
				return err
			}
			died = died || e.err != nil && e.dead()
		}
		dropped = 0
		if !died {
			return nil
		}
		var err error
		dropped, err = trim(tx)
		return err
	})
	if err != nil {
		return err
	}
	for _, e := range r.ended {
		delete(r.busy, e.id)
		r.o.tell(e, cut)
	}
	r.ended = nil
	if dropped > 0 {
		r.o.log.Error("more notifications were given up than are kept; the oldest are gone", "gone", dropped)
	}
	return nil
}

func (e outcome) note(tx store.Tx, cut bool) error {
	l, ok, err := load(tx, lettersBucket, e.id)
	if err != nil || !ok {
		return err
	}
	switch {
	case e.err == nil:
		return l.remove(tx, e.id)
	case cut:
		return nil
	}
	before := l
	l.Attempts, l.Last, l.Error, l.Due = l.Attempts+1, e.at, e.err.Error(), e.at.Add(e.pause)
	if e.dead() {
		l.Due = before.Due // where it stands until it is buried
		return l.bury(tx, e.id)
	}
	if err := before.remove(tx, e.id); err != nil {
		return err
	}
	return l.save(tx, e.id)
}

// dead reports whether there is no further attempt after this one, which failed.
func (e outcome) dead() bool {
	fail, ok := errors.AsType[*failure](e.err)
	return ok && fail.final || e.l.Attempts+1 >= maxAttempts
}

// tell counts an outcome, and tells the operator what they should know.
func (o *Outbox) tell(e outcome, cut bool) {
	if e.err != nil && cut {
		return
	}
	o.mu.Lock()
	t := o.tally[e.l.Channel]
	if e.err == nil {
		t.delivered++
	} else {
		t.failed++
		t.err, t.at = e.err.Error(), e.at
	}
	o.mu.Unlock()
	about := []any{"channel", e.l.Channel, "kind", string(e.l.Note.Kind), "request", e.l.Note.Request, "attempt", e.l.Attempts + 1, "error", e.err}
	switch {
	case e.err == nil:
	case e.dead():
		o.log.Error("a notification was given up", append(about, "letter", e.id)...)
	case e.l.Note.Kind == Emergency:
		o.log.Error("the alarm of an emergency was not delivered, and is tried again", about...)
	case e.l.Attempts == 0:
		o.log.Warn("a notification was not delivered, and is tried again", about...)
	}
}

// finish waits for what is on its way, which ends at once because ctx has ended,
// and keeps what arrived.
func (r *round) finish() error {
	for r.flying > 0 {
		r.arrived(<-r.done)
	}
	if err := r.note(true); err != nil {
		return fmt.Errorf("closing the outbox: %w", err)
	}
	return nil
}
