package recordings

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

const (
	// chunkSize is the most output in one chunk, in bytes.
	chunkSize = 64 << 10
	// commitSize is the most output in one transaction, in bytes: it bounds how
	// long other sessions wait for a session with much to say.
	commitSize = 1 << 20
)

// Start begins a recording. The caller says who, from where and, if it likes,
// since when; what can only be counted is counted here. There is no second
// recording of the same session.
func (a *Archive) Start(meta bastion.Recording) (bastion.Recorder, error) {
	if a == nil || a.db == nil {
		return nil, errZero
	}
	if err := checkID(meta.ID); err != nil {
		return nil, err
	}
	if meta.Who.ID() == "" {
		return nil, errors.New("internal error: a recording of nobody")
	}
	r := &Recorder{a: a, id: meta.ID, who: meta.Who, base: a.now()}
	size := bastion.Window{Width: meta.Width, Height: meta.Height}.Clamp()
	e := entry{Recording: bastion.Recording{ID: meta.ID, Who: meta.Who, Origin: meta.Origin, Start: meta.Start,
		Command: meta.Command, Width: size.Width, Height: size.Height}}
	if e.Start.IsZero() {
		e.Start = r.base
	}
	e.Start = e.Start.UTC()
	err := a.db.Update(func(tx store.Tx) error {
		if tx.Get(idBucket, []byte(e.ID)) != nil {
			return errors.New("internal error: there is a recording of this session already")
		}
		key := startKey(e.Start, e.ID)
		owner := append(digest(e.Who.ID()), key...)
		return errors.Join(save(tx, key, e), tx.Put(idBucket, []byte(e.ID), key), tx.Put(liveBucket, []byte(e.ID), key),
			tx.Put(ownerBucket, owner, nil), meet(tx, e.Who.ID()))
	})
	if err != nil {
		return nil, fmt.Errorf("starting the recording of session %s: %w", meta.ID, err)
	}
	return r, nil
}

// Recorder keeps what one session does and shows. It implements
// [bastion.Recorder]. [Archive.Start] makes one; the zero Recorder refuses.
//
// After its first error a Recorder is of no more use: it returns that error
// from then on, so that a session cannot go on as if nothing had happened.
type Recorder struct {
	a   *Archive
	id  string
	who bastion.Identity

	mu    sync.Mutex // guards the rest, and is held while a commit runs: order on disk is order of calls
	base  time.Time  // when offset was 0, by the archive's clock
	at    time.Duration
	next  uint64 // number of the next chunk
	total int64  // bytes of output so far
	err   error
	ended bool
}

// begin locks the recorder if it can still be used, and says what time it is.
// The caller unlocks.
func (r *Recorder) begin() (time.Duration, error) {
	r.mu.Lock()
	switch {
	case r.a == nil:
		return 0, errZero
	case r.err != nil:
		return 0, r.err
	case r.ended:
		return 0, fmt.Errorf("internal error: the recording of session %s is sealed", r.id)
	}
	return r.offset(), nil
}

// offset is the time since the start. It never goes back: where the clock was
// set back, time goes on from the last offset.
func (r *Recorder) offset() time.Duration {
	now := r.a.now()
	if d := now.Sub(r.base); d >= r.at {
		r.at = d
	} else {
		r.base = now.Add(-r.at)
	}
	return r.at
}

// update commits, and remembers a failure for good.
func (r *Recorder) update(f func(store.Tx) error) error {
	if err := r.a.db.Update(f); err != nil {
		r.err = fmt.Errorf("recording session %s: %w", r.id, err)
	}
	return r.err
}

// Event implements [bastion.Recorder]. The event's offset is the recorder's own
// time, so that events and output stand on one line of time. An event of another
// session or person is refused.
func (r *Recorder) Event(e bastion.Event) error {
	at, err := r.begin()
	defer r.mu.Unlock()
	if err != nil {
		return err
	}
	if e.Session == "" && e.Who == "" {
		e.Session, e.Who, e.Name = r.id, r.who.ID(), r.who.Name
	}
	if e.Session != r.id || e.Who != r.who.ID() {
		r.err = fmt.Errorf("recording session %s: internal error: %s event of another session or person", r.id, e.Kind)
		return r.err
	}
	e.Offset = max(at, 1) // zero would mean that the event has none yet
	return r.update(func(tx store.Tx) error { return Append(tx, e) })
}

// Output implements [bastion.Recorder]. The bytes are the caller's again once
// it returns. After an error, some of them may be in the recording; none of
// them may be shown.
func (r *Recorder) Output(p []byte) error {
	at, err := r.begin()
	defer r.mu.Unlock()
	for err == nil && len(p) > 0 {
		part := p[:min(len(p), commitSize)]
		p = p[len(part):]
		var chunks [][]byte
		for len(part) > 0 {
			c := part[:min(len(part), chunkSize)]
			part = part[len(c):]
			r.total += int64(len(c))
			chunks = append(chunks, chunk{kind: outputChunk, at: at, total: r.total, body: c}.encode())
		}
		err = r.write(chunks)
	}
	return err
}

// Resize implements [bastion.Recorder].
func (r *Recorder) Resize(width, height int) error {
	at, err := r.begin()
	defer r.mu.Unlock()
	if err != nil {
		return err
	}
	w := bastion.Window{Width: width, Height: height}.Clamp()
	body := binary.BigEndian.AppendUint32(nil, uint32(w.Width))
	body = binary.BigEndian.AppendUint32(body, uint32(w.Height))
	return r.write([][]byte{chunk{kind: sizeChunk, at: at, total: r.total, body: body}.encode()})
}

// write commits chunks in one transaction, which may run more than once.
func (r *Recorder) write(chunks [][]byte) error {
	prefix, first := sessionPrefix(r.id), r.next
	r.next += uint64(len(chunks))
	return r.update(func(tx store.Tx) error {
		for i, c := range chunks {
			if err := tx.Put(chunkBucket, numbered(prefix, first+uint64(i)), c); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close implements [bastion.Recorder]. A recording that had an error is sealed
// as broken, and Close returns the error. Closing again changes nothing.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.a == nil {
		return errZero
	}
	if r.ended {
		return r.err
	}
	r.ended = true
	length, broken := r.offset(), r.err != nil
	err := r.a.db.Update(func(tx store.Tx) error { return seal(tx, r.id, length, broken) })
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("sealing the recording of session %s: %w", r.id, err)
	}
	return r.err
}

const (
	outputChunk = 'o'
	sizeChunk   = 'r' // body: width and height, 4 bytes each

	chunkHeader = 1 + numberSize + numberSize
)

// chunk is a piece of a recording as it is kept: kind, time since the start,
// bytes of output up to its end, body.
type chunk struct {
	kind  byte
	at    time.Duration
	total int64
	body  []byte
}

func (c chunk) encode() []byte {
	b := append(make([]byte, 0, chunkHeader+len(c.body)), c.kind)
	b = binary.BigEndian.AppendUint64(b, uint64(c.at))
	b = binary.BigEndian.AppendUint64(b, uint64(c.total))
	return append(b, c.body...)
}

// parseChunk returns a chunk whose body is part of b.
func parseChunk(b []byte) (chunk, error) {
	if len(b) < chunkHeader {
		return chunk{}, errors.New("a chunk is cut short")
	}
	c := chunk{kind: b[0], at: time.Duration(binary.BigEndian.Uint64(b[1:])), total: int64(binary.BigEndian.Uint64(b[9:])), body: b[chunkHeader:]}
	if c.kind != outputChunk && (c.kind != sizeChunk || len(c.body) != 8) {
		return chunk{}, errors.New("a chunk is of no known kind")
	}
	return c, nil
}
