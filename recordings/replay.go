package recordings

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// Recordings implements [bastion.Archive]. Person is compared without regard to
// case with name and e-mail, Text with the statements of the session, and Since
// and Until choose sessions that lived at some time between them.
func (a *Archive) Recordings(ctx context.Context, s bastion.Scope, f bastion.RecordingFilter) ([]bastion.Recording, error) {
	if a == nil || a.db == nil {
		return nil, errZero
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	a.settleScope(s)
	var found []bastion.Recording
	sc := scan{scope: s, f: f, person: strings.ToLower(f.Person), rawPerson: inJSON(strings.ToLower(f.Person)), target: inJSON(f.Target)}
	for !sc.done {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		page, err := sc.page(a.db, limit-len(found))
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if f.Text != "" {
				ok, err := a.says(ctx, r.ID, f.Text)
				if err != nil {
					return nil, err
				}
				if !ok {
					continue
				}
			}
			if found = append(found, r); len(found) == limit {
				return found, nil
			}
		}
	}
	return found, nil
}

// says reports whether a statement of the session contains the text.
func (a *Archive) says(ctx context.Context, id, text string) (bool, error) {
	text, last, found := strings.ToLower(text), "", false
	wanted := func(e bastion.Event) bool {
		if e.Kind != bastion.EventDecision && e.Kind != bastion.EventUnread || e.Text == last {
			return false
		}
		last = e.Text // which often comes again
		return strings.Contains(strings.ToLower(e.Text), text)
	}
	err := a.each(ctx, sessionBucket, sessionPrefix(id), 0, wanted, func(bastion.Event) bool { found = true; return false })
	return found, err
}

// inJSON is the text as it looks inside a JSON string.
func inJSON(text string) []byte {
	b, err := json.Marshal(text)
	if err != nil { // a string can always be marshalled
		return nil
	}
	return b[1 : len(b)-1]
}

// scan goes through recordings from the newest on, a page per transaction.
type scan struct {
	scope     bastion.Scope
	f         bastion.RecordingFilter
	person    string // in lower case
	rawPerson []byte // the same, and target, as in the kept form
	target    []byte

	from []byte // where the page before ended; nil at the start
	done bool

	live map[string]tally // of sessions that live, during a page
}

func (sc *scan) page(db *store.DB, limit int) (page []bastion.Recording, err error) {
	err = db.View(func(tx store.Tx) error {
		page = nil
		all, prefix, ok, err := reach(tx, sc.scope)
		if err != nil || !ok {
			sc.done = true
			return err
		}
		bucket := ownerBucket
		if all {
			bucket = metaBucket
		}
		oldest, err := sc.oldest(tx)
		if err != nil {
			return err
		}
		if sc.live, err = lives(tx); err != nil {
			return err
		}
		start := sc.from
		if start == nil {
			start = highest(prefix)
			if !sc.f.Until.IsZero() {
				start = highest(slices.Concat(prefix, startKey(sc.f.Until, "")))
			}
		}
		keys, full := 0, false
		err = tx.ScanBack(bucket, start, func(k, v []byte) (bool, error) {
			if !hasPrefix(k, prefix) {
				return false, nil
			}
			if bytes.Equal(k, sc.from) {
				return true, nil // the last of the page before
			}
			key := k[len(prefix):]
			if !all {
				v = tx.Get(metaBucket, key)
			}
			if parseStart(key).Before(oldest) {
				return false, nil
			}
			r, ok, err := sc.match(key, v)
			if err != nil {
				return false, err
			}
			if ok {
				page = append(page, r)
			}
			if keys++; keys == pageKeys || len(page) == limit {
				sc.from, full = bytes.Clone(k), true
				return false, nil
			}
			return true, nil
		})
		sc.done = !full
		return err
	})
	return page, err
}

// oldest is before the start of all recordings that lived at Since or later: no
// sealed one is longer than the longest, and the living are few.
func (sc *scan) oldest(tx store.Tx) (time.Time, error) {
	if sc.f.Since.IsZero() {
		return time.Time{}, nil
	}
	t := sc.f.Since
	if v := tx.Get(boundBucket, []byte("longest")); len(v) == 8 {
		t = t.Add(-time.Duration(binary.BigEndian.Uint64(v)))
	}
	err := tx.Scan(liveBucket, nil, func(_, v []byte) (bool, error) {
		if start := parseStart(v); start.Before(t) {
			t = start
		}
		return true, nil
	})
	return t, err
}

// lives returns what living recordings have.
func lives(tx store.Tx) (map[string]tally, error) {
	m := map[string]tally{}
	err := tx.Scan(tallyBucket, nil, func(k, v []byte) (more bool, err error) {
		m[string(k)], err = parseTally(v)
		return true, err
	})
	return m, err
}

// match reads a kept recording and applies the filter, but for Text.
func (sc *scan) match(key, v []byte) (r bastion.Recording, ok bool, err error) {
	if len(key) < startSize {
		return r, false, errors.New("the list of recordings is damaged")
	}
	t, live := sc.live[string(key[startSize:])]
	// Most are passed over by their bytes, unread.
	if !live && sc.f.Target != "" && !bytes.Contains(v, sc.target) || sc.person != "" && !bytes.Contains(bytes.ToLower(v), sc.rawPerson) {
		return r, false, nil
	}
	e, err := decode(v)
	if err != nil {
		return r, false, err
	}
	if live {
		t.describe(&e)
	}
	switch {
	case !sc.scope.Covers(e.Who.ID()),
		!sc.f.All && !e.busy(),
		sc.f.Target != "" && !slices.Contains(e.Targets, sc.f.Target),
		sc.person != "" && !strings.Contains(strings.ToLower(e.Who.Name), sc.person) && !strings.Contains(strings.ToLower(e.Who.Email), sc.person),
		!sc.f.Since.IsZero() && !e.End.IsZero() && e.End.Before(sc.f.Since):
		return r, false, nil
	}
	return e.Recording, true, nil
}

// Replay implements [bastion.Archive]. A recording of somebody outside of the
// scope is answered exactly like one that does not exist. A living recording
// ends where it is at present. Its events are in the order in which they
// happened, which is not the log's where results waited in the spool.
func (a *Archive) Replay(ctx context.Context, s bastion.Scope, id string) (bastion.Replay, error) {
	if a == nil || a.db == nil {
		return nil, errZero
	}
	e, err := a.entry(s, id)
	if err != nil {
		return nil, err
	}
	if live := a.recorder(id); live != nil && e.End.IsZero() {
		_ = live.fold() // whose failure is for its session to end with, as in settle
		if e, err = a.entry(s, id); err != nil {
			return nil, err
		}
	}
	r := &replay{a: a, recording: e.Recording}
	err = a.each(ctx, sessionBucket, sessionPrefix(id), 0, nil, func(ev bastion.Event) bool {
		r.events = append(r.events, ev)
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.events, func(x, y bastion.Event) int { return cmp.Compare(x.Offset, y.Offset) })
	return r, nil
}

// entry finds the recording of a session in a scope, as long as it is now.
func (a *Archive) entry(s bastion.Scope, id string) (e entry, err error) {
	err = a.db.View(func(tx store.Tx) error {
		key, found, err := load(tx, id)
		if err != nil {
			return err
		}
		if key == nil || !s.Covers(found.Who.ID()) {
			return bastion.ErrNotFound
		}
		e = found
		return nil
	})
	return e, err
}

// replay reads a recording page by page, and holds no transaction between.
type replay struct {
	a         *Archive
	recording bastion.Recording
	events    []bastion.Event

	page   []bastion.Chunk
	next   uint64 // number of the first record after the page
	total  int64  // bytes of output before it
	closed bool
}

func (r *replay) Recording() bastion.Recording { return r.recording }

func (r *replay) Events() []bastion.Event { return r.events }

// Next returns the next piece, which is the caller's to keep. After io.EOF it
// may be called again: a living recording may have gone on.
func (r *replay) Next() (bastion.Chunk, error) {
	if r.closed {
		return bastion.Chunk{}, errors.New("internal error: the replay is closed")
	}
	if len(r.page) == 0 {
		if err := r.read(); err != nil {
			return bastion.Chunk{}, err
		}
	}
	if live := r.a.recorder(r.recording.ID); len(r.page) == 0 && live != nil {
		_ = live.fold() // as in Replay
		if err := r.read(); err != nil {
			return bastion.Chunk{}, err
		}
	}
	if len(r.page) == 0 {
		if !r.recording.End.IsZero() && r.total != r.recording.Bytes {
			return bastion.Chunk{}, damaged(r.recording.ID, errors.New("its end is missing"))
		}
		return bastion.Chunk{}, io.EOF
	}
	c := r.page[0]
	r.page = r.page[1:]
	return c, nil
}

func (r *replay) read() error {
	prefix := sessionPrefix(r.recording.ID)
	return r.a.db.View(func(tx store.Tx) error {
		size := 0
		return tx.Scan(recordBucket, numbered(prefix, r.next), func(k, v []byte) (bool, error) {
			if !hasPrefix(k, prefix) {
				return false, nil
			}
			if !bytes.Equal(k[len(prefix):], number(r.next)) {
				return false, damaged(r.recording.ID, errors.New("a part is missing"))
			}
			err := readRecord(v, func(c chunk) {
				piece := bastion.Chunk{At: c.at}
				if c.kind == sizeChunk {
					piece.Width, piece.Height = int(binary.BigEndian.Uint32(c.body)), int(binary.BigEndian.Uint32(c.body[4:]))
				} else {
					piece.Output = bytes.Clone(c.body)
					r.total += int64(len(c.body))
				}
				r.page = append(r.page, piece)
			})
			if err != nil {
				return false, damaged(r.recording.ID, err)
			}
			r.next++
			size += len(v)
			return len(r.page) < pageKeys && size < pageBytes, nil
		})
	})
}

func (r *replay) Close() error {
	r.closed, r.page, r.events = true, nil, nil
	return nil
}
