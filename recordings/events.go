package recordings

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// A read transaction hands over this much and ends, because an old one makes
// the store's file grow.
const (
	pageKeys   = 512
	pageEvents = 4096
	pageBytes  = 1 << 20
)

// maxEvent is the largest event as it is kept, in bytes: a text of MaxText, and
// ample room for the rest.
const maxEvent = 8 << 20

// Append adds an event to the log, inside a transaction, so that what the event
// speaks of and the event itself are kept together or not at all. Every event
// of the bastion passes here and nowhere else. The log gives the event its
// number; the caller's is ignored. Where the event belongs to a recording, the
// recording's counts change with it.
func Append(tx store.Tx, e bastion.Event) error {
	if err := check(e); err != nil {
		return err
	}
	if e.Session != "" {
		if err := count(tx, &e); err != nil {
			return fmt.Errorf("recording an event: %w", err)
		}
	}
	var w runWriter
	run, err := w.append(nil, &e)
	if err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	if len(run) > maxEvent {
		return fmt.Errorf("recording an event: it has %d bytes, and %d are allowed", len(run), maxEvent)
	}
	b := block{run: run, events: 1}
	b.remember(&e)
	if err := b.put(tx, e.Session, e.Who); err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	return nil
}

func check(e bastion.Event) error {
	if !slices.Contains(kinds[:], e.Kind) {
		return fmt.Errorf("internal error: event of unknown kind %q", e.Kind)
	}
	if e.At.IsZero() {
		return fmt.Errorf("internal error: %s event without a time", e.Kind)
	}
	if y := e.At.UTC().Year(); y < 0 || y > 9999 { // which JSON cannot tell
		return fmt.Errorf("internal error: %s event of the year %d", e.Kind, y)
	}
	if len(e.Text) > bastion.MaxText {
		return fmt.Errorf("internal error: %s event with a text of %d bytes, and %d are allowed", e.Kind, len(e.Text), bastion.MaxText)
	}
	if e.Session != "" {
		return checkID(e.Session)
	}
	return nil
}

// count brings the event into its recording. An event that did not come through
// the session's recorder has no offset yet and gets one by the clock.
func count(tx store.Tx, e *bastion.Event) error {
	key, r, err := load(tx, e.Session)
	if err != nil || key == nil {
		return err
	}
	if e.Offset == 0 {
		e.Offset = max(0, e.At.Sub(r.Start))
	}
	c, own := counts(e)
	own = own && e.Who == r.Who.ID() // or it is somebody else's doing, told in this session's events
	t, live, err := loadTally(tx, e.Session)
	switch {
	case err != nil:
		return err
	case live:
		if own {
			t.count(c)
		}
		t.offset = max(t.offset, uint64(max(0, e.Offset)))
		return t.save(tx, e.Session)
	case own:
		r.count(c)
		return save(tx, key, r)
	}
	return nil
}

// block is a run of events of one session and person on its way into the log.
type block struct {
	run     []byte
	events  int
	targets []string // that have statements in it
}

// remember notes what history will ask for.
func (b *block) remember(e *bastion.Event) {
	if said(e) && !slices.Contains(b.targets, e.Target) {
		b.targets = append(b.targets, e.Target)
	}
}

// said reports whether the event holds a text for its person's history.
func said(e *bastion.Event) bool {
	return (e.Kind == bastion.EventDecision || e.Kind == bastion.EventUnread) && e.Verb != bastion.Connect && e.Text != ""
}

// put gives the events their numbers, and writes them and their places in the indexes.
func (b *block) put(tx store.Tx, session, who string) error {
	n, err := tx.Take(blockBucket, uint64(b.events))
	if err != nil {
		return err
	}
	v := appendBlock(make([]byte, 0, blockHeader+binary.MaxVarintLen64+len(b.run)), b.events, b.run)
	if err := tx.Put(blockBucket, number(n), v); err != nil {
		return err
	}
	if session != "" {
		if err := tx.Put(sessionBucket, numbered(sessionPrefix(session), n), nil); err != nil {
			return err
		}
	}
	if who == "" {
		return nil
	}
	if err := meet(tx, who); err != nil {
		return err
	}
	if err := tx.Put(personBucket, numbered(digest(who), n), nil); err != nil {
		return err
	}
	for _, t := range b.targets {
		if err := tx.Put(historyBucket, numbered(digest(who, t), n), nil); err != nil {
			return err
		}
	}
	return nil
}

// meet remembers that there is such a person: a [bastion.Scope] can be asked
// whom it covers, but does not say it.
func meet(tx store.Tx, who string) error {
	k := digest(who)
	if tx.Get(peopleBucket, k) != nil {
		return nil
	}
	return tx.Put(peopleBucket, k, []byte(who))
}

// reach says what the scope covers: everybody, or the one person whose prefix
// is returned. ok is false for nobody.
func reach(tx store.Tx, s bastion.Scope) (all bool, prefix []byte, ok bool, err error) {
	if s.Covers("") { // true only for a scope that covers all
		return true, nil, true, nil
	}
	err = tx.Scan(peopleBucket, nil, func(k, v []byte) (bool, error) {
		if ok = s.Covers(string(v)); ok {
			prefix = bytes.Clone(k)
		}
		return !ok, nil
	})
	return false, prefix, ok, err
}

// settle brings into the store what living sessions in the scope have recorded, so
// that a reader sees it. A failure is for its session to end with: what is in the
// store can be shown.
func (a *Archive) settle(covers func(*Recorder) bool) {
	a.mu.Lock()
	var rs []*Recorder
	for _, r := range a.live {
		if covers(r) {
			rs = append(rs, r)
		}
	}
	a.mu.Unlock()
	var wg sync.WaitGroup
	for _, r := range rs {
		if r.waits() {
			wg.Go(func() { _ = r.fold() }) // together, so that they share a commit
		}
	}
	wg.Wait()
}

func (a *Archive) settleScope(s bastion.Scope) {
	a.settle(func(r *Recorder) bool { return s.Covers(r.whoID) })
}

// Events implements [bastion.Archive]. yield is called outside of any
// transaction and may take its time.
func (a *Archive) Events(ctx context.Context, s bastion.Scope, from uint64, yield func(bastion.Event) bool) error {
	if a == nil || a.db == nil {
		return errZero
	}
	a.settleScope(s)
	var prefix []byte
	var all, ok bool
	err := a.db.View(func(tx store.Tx) (err error) {
		all, prefix, ok, err = reach(tx, s)
		return err
	})
	if err != nil || !ok {
		return err
	}
	bucket := personBucket
	if all {
		bucket = blockBucket
	}
	return a.each(ctx, bucket, prefix, from, nil, func(e bastion.Event) bool {
		return !s.Covers(e.Who) || yield(e)
	})
}

// each calls yield with the events of an index from a number on, until it
// returns false. Those that wanted refuses are passed over; nil wants all.
func (a *Archive) each(ctx context.Context, bucket string, prefix []byte, from uint64, wanted, yield func(bastion.Event) bool) error {
	start := from
	if from > 0 { // a block may begin before it and reach beyond
		err := a.db.View(func(tx store.Tx) error {
			return tx.ScanBack(bucket, numbered(prefix, from), func(k, _ []byte) (bool, error) {
				if n, ok := blockNumber(k, prefix); ok {
					start = n
				}
				return false, nil
			})
		})
		if err != nil {
			return err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var page []bastion.Event
		keys, size, full := 0, 0, false
		err := a.db.View(func(tx store.Tx) error {
			return tx.Scan(bucket, numbered(prefix, start), func(k, v []byte) (bool, error) {
				n, ok := blockNumber(k, prefix)
				if !ok {
					return false, nil
				}
				if bucket != blockBucket {
					v = tx.Get(blockBucket, number(n))
				}
				keys, size, start = keys+1, size+len(v), n+1
				err := readBlock(n, v, func(e bastion.Event) bool {
					if e.Seq >= from && (wanted == nil || wanted(e)) {
						page = append(page, e)
					}
					return true
				})
				if err != nil {
					return false, fmt.Errorf("reading the events from number %d on: %w", n, err)
				}
				full = keys >= pageKeys || size >= pageBytes || len(page) >= pageEvents
				return !full, nil
			})
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if !yield(e) {
				return nil
			}
		}
		if !full {
			return nil
		}
	}
}

// blockNumber is the number at the end of a key that has nothing else after the prefix.
func blockNumber(k, prefix []byte) (n uint64, ok bool) {
	if !hasPrefix(k, prefix) || len(k) != len(prefix)+numberSize {
		return 0, false
	}
	return binary.BigEndian.Uint64(k[len(prefix):]), true
}

// maxHistory is how many events History looks at in search of different texts.
const maxHistory = 100_000

// History implements [bastion.Archive]. A limit of 0 means 100. Where the same
// text ran several times, its newest run counts.
func (a *Archive) History(ctx context.Context, who, target string, limit int) ([]string, error) {
	if a == nil || a.db == nil {
		return nil, errZero
	}
	if who == "" || limit < 0 {
		return nil, nil
	}
	if limit == 0 {
		limit = 100
	}
	a.settle(func(r *Recorder) bool { return r.whoID == who })
	prefix := digest(who, target)
	from := highest(prefix)
	seen := map[string]bool{}
	var texts []string // newest first
	for looked := uint64(0); from != nil && len(texts) < limit && looked < maxHistory; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := a.db.View(func(tx store.Tx) error {
			start, keys, size := from, 0, 0
			from = nil
			return tx.ScanBack(historyBucket, start, func(k, _ []byte) (bool, error) {
				n, ok := blockNumber(k, prefix)
				if !ok {
					return false, nil
				}
				if bytes.Equal(k, start) {
					return true, nil // the last of the page before
				}
				v := tx.Get(blockBucket, number(n))
				var block []string // oldest first
				err := readBlock(n, v, func(e bastion.Event) bool {
					looked++
					if said(&e) && e.Target == target && (len(block) == 0 || block[len(block)-1] != e.Text) {
						block = append(block, e.Text)
					}
					return true
				})
				if err != nil {
					return false, err
				}
				for _, t := range slices.Backward(block) {
					if !seen[t] && len(texts) < limit {
						seen[t] = true
						texts = append(texts, t)
					}
				}
				keys, size = keys+1, size+len(v)
				if keys == pageKeys || size >= pageBytes {
					from = bytes.Clone(k)
					return false, nil
				}
				return len(texts) < limit && looked < maxHistory, nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Reverse(texts)
	return texts, nil
}
