package recordings

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// A read transaction hands over this much and ends, because an old one makes
// the store's file grow.
const (
	pageKeys  = 512
	pageBytes = 1 << 20
)

// maxEvent is the largest event as it is kept, in bytes: a text of MaxText that
// is all escapes, and ample room for the rest.
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
	n, err := tx.Next(eventBucket)
	if err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	e.Seq, e.At = n, e.At.UTC()
	if e.Session != "" {
		if err := count(tx, &e); err != nil {
			return fmt.Errorf("recording an event: %w", err)
		}
	}
	v, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	if len(v) > maxEvent {
		return fmt.Errorf("recording an event: it has %d bytes, and %d are allowed", len(v), maxEvent)
	}
	if err := put(tx, e, v); err != nil {
		return fmt.Errorf("recording an event: %w", err)
	}
	return nil
}

func check(e bastion.Event) error {
	switch e.Kind {
	case bastion.EventSignIn, bastion.EventStart, bastion.EventEnd, bastion.EventDecision, bastion.EventUnread,
		bastion.EventRequest, bastion.EventVote, bastion.EventUse, bastion.EventWithdrawn, bastion.EventExpired,
		bastion.EventResult, bastion.EventReplay, bastion.EventResize, bastion.EventRefused, bastion.EventAlarm,
		bastion.EventUnbind, bastion.EventRevoke, bastion.EventRestore:
	default:
		return fmt.Errorf("internal error: event of unknown kind %q", e.Kind)
	}
	if e.At.IsZero() {
		return fmt.Errorf("internal error: %s event without a time", e.Kind)
	}
	if len(e.Text) > bastion.MaxText {
		return fmt.Errorf("internal error: %s event with a text of %d bytes, and %d are allowed", e.Kind, len(e.Text), bastion.MaxText)
	}
	if e.Session != "" {
		return checkID(e.Session)
	}
	return nil
}

// count brings the event into its recording's description. An event that did
// not come through the session's recorder has no offset yet and gets one by the
// clock.
func count(tx store.Tx, e *bastion.Event) error {
	counted := e.Kind == bastion.EventDecision || e.Kind == bastion.EventUnread || e.Kind == bastion.EventVote || e.Kind == bastion.EventUse
	if !counted && e.Offset != 0 {
		return nil
	}
	key, r, err := load(tx, e.Session)
	if err != nil || key == nil {
		return err
	}
	if e.Offset == 0 {
		e.Offset = max(0, e.At.Sub(r.Start))
	}
	if !counted || e.Who != r.Who.ID() {
		return nil // or somebody else's doing, told in this session's events
	}
	switch e.Kind {
	case bastion.EventDecision:
		r.decided(*e)
	case bastion.EventUse:
		r.answered(e.Digest)
		return save(tx, key, r)
	case bastion.EventVote:
		r.Votes++
		return save(tx, key, r) // its target is where others work
	}
	if e.Target != "" && !slices.Contains(r.Targets, e.Target) {
		r.Targets = append(r.Targets, e.Target)
	}
	return save(tx, key, r)
}

// maxAsking is how many operations a session may have asked for at a time
// without being counted twice.
const maxAsking = 64

// decided counts a decision. An operation that needs approval is decided when it
// is asked for, and again when it was approved: that is one operation, until its
// approval is used or the second decision is another one.
func (r *entry) decided(e bastion.Event) {
	asked := e.Effect == bastion.Ask.String() && e.Error == ""
	again := slices.Contains(r.Asking, e.Digest)
	if !again {
		r.Operations++
	}
	switch {
	case asked && again:
		return
	case asked:
		r.Asked++
		if e.Digest != "" {
			r.Asking = append(r.Asking[max(0, len(r.Asking)-maxAsking+1):], e.Digest)
		}
		return
	case e.Effect != bastion.Allow.String() || e.Error != "":
		r.Denied++
	}
	r.answered(e.Digest)
}

// answered forgets that an operation was asked for.
func (r *entry) answered(digest string) {
	r.Asking = slices.DeleteFunc(r.Asking, func(d string) bool { return d == digest })
}

// put writes the event and its places in the indexes.
func put(tx store.Tx, e bastion.Event, v []byte) error {
	if err := tx.Put(eventBucket, number(e.Seq), v); err != nil {
		return err
	}
	if e.Session != "" {
		if err := tx.Put(sessionBucket, numbered(sessionPrefix(e.Session), e.Seq), nil); err != nil {
			return err
		}
	}
	if e.Who == "" {
		return nil
	}
	if err := meet(tx, e.Who); err != nil {
		return err
	}
	if err := tx.Put(personBucket, numbered(digest(e.Who), e.Seq), nil); err != nil {
		return err
	}
	if (e.Kind != bastion.EventDecision && e.Kind != bastion.EventUnread) || e.Verb == bastion.Connect || e.Text == "" {
		return nil
	}
	return tx.Put(historyBucket, numbered(digest(e.Who, e.Target), e.Seq), digest(e.Text))
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

func parseEvent(v []byte) (bastion.Event, error) {
	var e bastion.Event
	if err := json.Unmarshal(v, &e); err != nil {
		return e, fmt.Errorf("reading an event: %w", err)
	}
	return e, nil
}

// Events implements [bastion.Archive]. yield is called outside of any
// transaction and may take its time.
func (a *Archive) Events(ctx context.Context, s bastion.Scope, from uint64, yield func(bastion.Event) bool) error {
	if a == nil || a.db == nil {
		return errZero
	}
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
		bucket = eventBucket
	}
	return a.each(ctx, bucket, prefix, from, nil, func(e bastion.Event) bool {
		return !s.Covers(e.Who) || yield(e)
	})
}

// each calls yield with the events of an index from a number on, until it
// returns false. Events whose kept form wanted refuses are passed over unread;
// nil wants all.
func (a *Archive) each(ctx context.Context, bucket string, prefix []byte, from uint64, wanted func([]byte) bool, yield func(bastion.Event) bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var page []bastion.Event
		keys, size, next, full := 0, 0, from, false
		err := a.db.View(func(tx store.Tx) error {
			return tx.Scan(bucket, numbered(prefix, from), func(k, v []byte) (bool, error) {
				if !hasPrefix(k, prefix) || len(k) != len(prefix)+numberSize {
					return false, nil
				}
				n := k[len(prefix):]
				if bucket != eventBucket {
					v = tx.Get(eventBucket, n)
				}
				keys, size, next = keys+1, size+len(v), binary.BigEndian.Uint64(n)+1
				if wanted == nil || wanted(v) {
					e, err := parseEvent(v)
					if err != nil {
						return false, err
					}
					page = append(page, e)
				}
				full = keys == pageKeys || size >= pageBytes
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
		from = next
	}
}

// maxHistory is how many entries History looks at in search of different ones.
const maxHistory = 50_000

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
	prefix := digest(who, target)
	from := highest(prefix)
	seen := map[[32]byte]bool{}
	var texts []string
	for looked := 0; from != nil && len(texts) < limit && looked < maxHistory; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := a.db.View(func(tx store.Tx) error {
			start, keys, size := from, 0, 0
			from = nil
			return tx.ScanBack(historyBucket, start, func(k, v []byte) (bool, error) {
				if !hasPrefix(k, prefix) || len(v) != 32 {
					return false, nil
				}
				if bytes.Equal(k, start) {
					return true, nil // the last of the page before
				}
				keys++
				if h := [32]byte(v); !seen[h] {
					e, err := parseEvent(tx.Get(eventBucket, k[len(prefix):]))
					if err != nil {
						return false, err
					}
					seen[h] = true
					texts = append(texts, e.Text)
					size += len(e.Text)
				}
				if keys == pageKeys || size >= pageBytes {
					from, looked = bytes.Clone(k), looked+keys
					return false, nil
				}
				return len(texts) < limit, nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Reverse(texts)
	return texts, nil
}
