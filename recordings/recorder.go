package recordings

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// chunkSize is the most output in one chunk, in bytes.
const chunkSize = 64 << 10

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
		Command: meta.Command, Term: meta.Term, Width: size.Width, Height: size.Height}}
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
	a.mu.Lock()
	a.live[r.id] = r
	a.mu.Unlock()
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

	// order is held over a commit, so that what is recorded first is committed
	// first. It is locked before mu, which is not held meanwhile: output need not
	// wait for the disk.
	order sync.Mutex

	mu    sync.Mutex // guards the rest
	base  time.Time  // when offset was 0, by the archive's clock
	at    time.Duration
	total int64 // bytes of output so far
	err   error
	ended bool

	spool  *os.File // nil until it is needed
	next   uint64   // number of the next frame
	size   int64    // bytes of whole frames in the spool
	folded int64    // of them, bytes that the store has
	timer  *time.Timer
	due    time.Time // when the timer goes off; zero while it is not set
}

// begin locks mu if the recorder can still be used, and says what time it is.
// The caller unlocks in any case.
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

// enter is begin, after making room in the spool.
func (r *Recorder) enter() (time.Duration, error) {
	for {
		at, err := r.begin()
		if err != nil || r.size < spoolSize {
			return at, err
		}
		r.mu.Unlock()
		// Its error is the next begin's.
		_ = r.fold()
	}
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

// fail remembers a failure for good. The caller holds mu.
func (r *Recorder) fail(err error) error {
	if r.err == nil {
		r.err = fmt.Errorf("recording session %s: %w", r.id, err)
	}
	return r.err
}

// Event implements [bastion.Recorder]. The event's offset is the recorder's own
// time, so that events and output stand on one line of time. An event of another
// session or person is refused. A result goes to the spool and gets its place in
// the log a fifth of a second later, or with whatever is committed before.
func (r *Recorder) Event(e bastion.Event) error {
	if e.Kind == bastion.EventResult {
		if done, err := r.result(e); done {
			return err
		}
	}
	r.order.Lock()
	defer r.order.Unlock()
	at, err := r.begin()
	if err == nil {
		err = r.own(&e, at)
	}
	if err != nil {
		r.mu.Unlock()
		return err
	}
	p := r.take()
	r.mu.Unlock()
	return r.commit(p, func(tx store.Tx) error { return Append(tx, e) })
}

// result spools an event. It is not done if the event is too large for that.
func (r *Recorder) result(e bastion.Event) (done bool, err error) {
	at, err := r.enter()
	defer r.mu.Unlock()
	if err == nil {
		err = r.own(&e, at)
	}
	if err != nil {
		return true, err
	}
	if err := check(e); err != nil {
		return true, r.fail(err)
	}
	v, ok, err := encodeEvent(e)
	if err != nil {
		return true, r.fail(err)
	}
	if !ok {
		return false, nil
	}
	b := make([]byte, 0, frameHeader+1+len(v))
	return true, r.put(appendFrame(b, r.id, r.next, []byte{eventFrame}, v), 1, resultDelay)
}

// own makes the event this session's, at its time. The caller holds mu.
func (r *Recorder) own(e *bastion.Event, at time.Duration) error {
	if e.Session == "" && e.Who == "" {
		e.Session, e.Who, e.Name = r.id, r.who.ID(), r.who.Name
	}
	if e.Session != r.id || e.Who != r.who.ID() {
		return r.fail(fmt.Errorf("internal error: %s event of another session or person", e.Kind))
	}
	e.Offset = max(at, 1) // zero would mean that the event has none yet
	return nil
}

// Output implements [bastion.Recorder]. The bytes are the caller's again once
// it returns. After an error, some of them may be in the recording; none of
// them may be shown. It waits for the disk only if it brings so much that the
// store cannot keep up.
func (r *Recorder) Output(p []byte) error {
	for {
		part := p[:min(len(p), writeSize)]
		p = p[len(part):]
		if err := r.write(part); err != nil || len(p) == 0 {
			return err
		}
	}
}

func (r *Recorder) write(p []byte) error {
	at, err := r.enter()
	defer r.mu.Unlock()
	if err != nil || len(p) == 0 {
		return err
	}
	b := make([]byte, 0, len(p)+(len(p)/chunkSize+1)*(frameHeader+chunkHeader))
	var n uint64
	for ; len(p) > 0; n++ {
		c := chunk{kind: outputChunk, at: at, body: p[:min(len(p), chunkSize)]}
		p = p[len(c.body):]
		r.total += int64(len(c.body))
		c.total = r.total
		b = appendFrame(b, r.id, r.next+n, c.header(), c.body)
	}
	return r.put(b, n, outputDelay)
}

// Resize implements [bastion.Recorder].
func (r *Recorder) Resize(width, height int) error {
	at, err := r.enter()
	defer r.mu.Unlock()
	if err != nil {
		return err
	}
	w := bastion.Window{Width: width, Height: height}.Clamp()
	body := binary.BigEndian.AppendUint32(nil, uint32(w.Width))
	body = binary.BigEndian.AppendUint32(body, uint32(w.Height))
	c := chunk{kind: sizeChunk, at: at, total: r.total}
	return r.put(appendFrame(nil, r.id, r.next, c.header(), body), 1, outputDelay)
}

// put writes n frames to the spool, to be folded in so much time. The caller
// holds mu.
func (r *Recorder) put(frames []byte, n uint64, delay time.Duration) error {
	// The store is locked against other processes for as long as it is open, and
	// stays open during a transaction. So nobody folds and removes the spool while
	// it is written to.
	err := r.a.db.View(func(store.Tx) (err error) {
		if r.spool == nil {
			r.spool, err = os.OpenFile(spoolPath(r.a.dir, r.id), os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
		}
		if err == nil {
			_, err = r.spool.Write(frames)
		}
		return err
	})
	if err != nil {
		return r.fail(err)
	}
	r.next += n
	r.size += int64(len(frames))
	due := time.Now().Add(delay)
	switch {
	case r.timer == nil:
		r.timer = time.AfterFunc(delay, func() { _ = r.fold() }) // whose error is the next call's
	case r.due.IsZero() || due.Before(r.due):
		r.timer.Reset(delay)
	default:
		return nil
	}
	r.due = due
	return nil
}

// span is a part of the spool that waits to be folded.
type span struct {
	file     *os.File
	from, to int64
}

// take returns what waits, and sets the timer back: who takes, folds. The caller
// holds order and mu.
func (r *Recorder) take() span {
	if !r.due.IsZero() {
		r.timer.Stop()
		r.due = time.Time{}
	}
	return span{r.spool, r.folded, r.size}
}

// read returns the frames of a span, all of which were accepted once.
func (r *Recorder) read(p span) (frames []frame, damage error) {
	if p.from == p.to {
		return nil, nil
	}
	b := make([]byte, p.to-p.from)
	n, err := p.file.ReadAt(b, p.from)
	frames, torn, damage := parseFrames(r.id, b[:n])
	switch {
	case damage != nil:
	case err != nil:
		damage = err
	case torn > 0:
		damage = errors.New("its last frame is cut short")
	}
	return frames, damage
}

// fold brings what waits in the spool into the store.
func (r *Recorder) fold() error {
	r.order.Lock()
	defer r.order.Unlock()
	r.mu.Lock()
	if r.err != nil || r.ended || r.folded == r.size {
		defer r.mu.Unlock()
		return r.err
	}
	p := r.take()
	r.mu.Unlock()
	return r.commit(p, func(store.Tx) error { return nil })
}

// commit brings a span of the spool into the store and then what f writes, in
// one transaction, which may run more than once. It remembers a failure for
// good. The caller holds order alone.
func (r *Recorder) commit(p span, f func(store.Tx) error) error {
	frames, err := r.read(p)
	if err == nil {
		err = r.a.db.Update(func(tx store.Tx) error {
			if tx.Get(liveBucket, []byte(r.id)) == nil {
				return errors.New("internal error: somebody else sealed the recording")
			}
			damage, err := fold(tx, r.id, frames)
			if err = errors.Join(err, damage); err != nil {
				return err
			}
			return f(tx)
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return r.fail(err)
	}
	r.folded = p.to
	if r.size == r.folded && r.size >= emptySize {
		if err := r.spool.Truncate(0); err != nil {
			return r.fail(err)
		}
		r.size, r.folded = 0, 0
	}
	return nil
}

// Close implements [bastion.Recorder]. A recording that had an error is sealed
// as broken, and Close returns the error. Closing again changes nothing.
func (r *Recorder) Close() error {
	r.order.Lock()
	defer r.order.Unlock()
	r.mu.Lock()
	if r.a == nil || r.ended {
		defer r.mu.Unlock()
		if r.a == nil {
			return errZero
		}
		return r.err
	}
	r.ended = true
	length, failed, p := r.offset(), r.err != nil, r.take()
	r.mu.Unlock()

	frames, unread := r.read(p)
	var damage error
	err := r.a.db.Update(func(tx store.Tx) (err error) {
		if damage, err = fold(tx, r.id, frames); err != nil {
			return err
		}
		if damage == nil {
			damage = unread
		}
		if damage != nil {
			if err := alarm(tx, r.id, r.a.now(), damage); err != nil {
				return err
			}
		}
		return seal(tx, r.id, length, failed || damage != nil)
	})
	r.a.forget(r.id)
	if err == nil {
		err = damage
		if p.file != nil {
			// A spool that cannot be removed goes when the archive is next opened: all that
			// was in it is in the store.
			_ = os.Remove(p.file.Name())
		}
	}
	if p.file != nil {
		err = errors.Join(err, p.file.Close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spool = nil
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("sealing the recording of session %s: %w", r.id, err)
	}
	return r.err
}

// forget says that the session lives no more.
func (a *Archive) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.live, id)
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

// header is a chunk as it is kept, up to its body.
func (c chunk) header() []byte {
	b := append(make([]byte, 0, chunkHeader), c.kind)
	b = binary.BigEndian.AppendUint64(b, uint64(c.at))
	return binary.BigEndian.AppendUint64(b, uint64(c.total))
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
