package recordings

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
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
	r := &Recorder{a: a, id: meta.ID, who: meta.Who, whoID: meta.Who.ID(), sum: checksum(0, []byte(meta.ID)), base: a.now()}
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
		owner := append(digest(r.whoID), key...)
		return errors.Join(save(tx, key, e), tx.Put(idBucket, []byte(e.ID), key), tx.Put(liveBucket, []byte(e.ID), key),
			tally{}.save(tx, e.ID), tx.Put(ownerBucket, owner, nil), meet(tx, r.whoID))
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
	a     *Archive
	id    string
	who   bastion.Identity
	whoID string
	sum   uint32 // checksum of id, which begins those of frames

	// order is held over a commit and a sync, so that what is recorded first is
	// committed first. It is locked before mu, which is not held meanwhile: output
	// need not wait for the disk.
	order  sync.Mutex
	stored place  // guarded by order
	synced uint64 // number of the first frame that may not be on disk; guarded by order

	mu    sync.Mutex // guards the rest
	base  time.Time  // when offset was 0, by the archive's clock
	at    time.Duration
	total uint64 // bytes of output so far
	err   error
	ended bool

	events runWriter
	held   []byte // whole frames that are accepted, and not yet in the spool
	spool  file   // nil until it is needed
	next   uint64 // number of the next frame
	size   int64  // bytes of whole frames in the spool
	folded int64  // of them, bytes that the store has
	timer  *time.Timer
	due    time.Time // when the timer goes off; zero while it is not set
}

// place is how far the store is with a session's frames.
type place struct {
	next      uint64 // number of the next frame to fold
	at, bytes uint64 // of the last chunk, as in tally
}

// file is a spool as the system has it.
type file interface {
	io.Writer // at the end
	io.ReaderAt
	io.Closer
	Name() string
	Sync() error
	Truncate(size int64) error
}

func create(path string) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
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
		if err != nil || r.size+int64(len(r.held)) < spoolSize {
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
// session or person is refused. It goes to the spool, and gets its place in the
// log a fifth of a second later, or with whatever is committed before.
func (r *Recorder) Event(e bastion.Event) error {
	if e.Kind == bastion.EventStart || e.Kind == bastion.EventEnd || weight(&e) > maxFrame/2 {
		return r.commitEvent(e)
	}
	at, err := r.enter()
	if err == nil {
		err = r.own(&e, at)
	}
	if err == nil {
		if err = check(e); err != nil {
			err = r.fail(err)
		}
	}
	if err != nil {
		r.mu.Unlock()
		return err
	}
	b, start := r.beginFrame(eventFrame)
	if b, err = r.events.append(b, &e); err != nil {
		defer r.mu.Unlock()
		return r.fail(err)
	}
	last := e.Kind == bastion.EventResult
	n := r.next
	err = r.put(r.endFrame(b, start), 1, eventDelay, !last)
	r.mu.Unlock()
	if err != nil || last || !r.a.sync {
		return err
	}
	return r.hardened(n)
}

// weight is about how many bytes an event has.
func weight(e *bastion.Event) int {
	n := 0
	for _, s := range eventTexts(e) {
		n += len(*s)
	}
	for _, list := range [...][]string{e.Params, e.By, e.Masked} {
		for _, s := range list {
			n += len(s) + 4
		}
	}
	if e.Origin != nil {
		n += len(e.Origin.Address) + len(e.Origin.Key) + len(e.Origin.Client)
	}
	return n
}

// commitEvent brings an event into the store at once.
func (r *Recorder) commitEvent(e bastion.Event) error {
	r.order.Lock()
	defer r.order.Unlock()
	at, err := r.begin()
	if err == nil {
		err = r.own(&e, at)
	}
	var p span
	if err == nil {
		p, err = r.take()
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return r.commit(p, func(tx store.Tx) error { return Append(tx, e) })
}

// hardened returns once the frame of that number would survive the death of the
// machine: once it is folded, or its spool is synced.
func (r *Recorder) hardened(n uint64) error {
	r.order.Lock()
	defer r.order.Unlock()
	r.mu.Lock()
	if r.err != nil || r.ended || n < r.stored.next || n < r.synced {
		defer r.mu.Unlock()
		return r.err
	}
	spool, next := r.spool, r.next
	r.mu.Unlock()
	if err := spool.Sync(); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.fail(err)
	}
	r.synced = next
	return nil
}

// Flush implements [bastion.Recorder].
func (r *Recorder) Flush() error { return r.fold() }

// own makes the event this session's, at its time. The caller holds mu.
func (r *Recorder) own(e *bastion.Event, at time.Duration) error {
	if e.Session == "" && e.Who == "" {
		e.Session, e.Who, e.Name = r.id, r.whoID, r.who.Name
	}
	if e.Session != r.id || e.Who != r.whoID {
		return r.fail(fmt.Errorf("internal error: %s event of another session or person", e.Kind))
	}
	e.Offset = max(at, 1) // zero would mean that the event has none yet
	return nil
}

// Output implements [bastion.Recorder]. The bytes are the caller's again once
// it returns. After an error, some of them may be in the recording; none of
// them may be shown. It waits for the disk only if it brings so much that the
// store cannot keep up.
func (r *Recorder) Output(p []byte) error { return r.pieces(p, outputDelay, true) }

// Note implements [bastion.Recorder].
func (r *Recorder) Note(p []byte) error { return r.pieces(p, eventDelay, false) }

func (r *Recorder) pieces(p []byte, delay time.Duration, write bool) error {
	for {
		part := p[:min(len(p), writeSize)]
		p = p[len(part):]
		if err := r.piece(part, delay, write); err != nil || len(p) == 0 {
			return err
		}
	}
}

func (r *Recorder) piece(p []byte, delay time.Duration, write bool) error {
	at, err := r.enter()
	defer r.mu.Unlock()
	if err != nil || len(p) == 0 {
		return err
	}
	b := r.held
	var n uint64
	for ; len(p) > 0; n++ {
		c := chunk{kind: outputChunk, at: at, body: p[:min(len(p), chunkSize)]}
		p = p[len(c.body):]
		r.total += uint64(len(c.body))
		c.total = r.total
		start := len(b)
		b = r.endFrame(c.append(startFrame(b, r.next+n)), start)
	}
	return r.put(b, n, delay, write)
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
	c := chunk{kind: sizeChunk, at: at, total: r.total, body: body}
	start := len(r.held)
	return r.put(r.endFrame(c.append(startFrame(r.held, r.next)), start), 1, outputDelay, true)
}

// beginFrame begins the next frame after those that are held. The caller holds mu.
func (r *Recorder) beginFrame(kind byte) (b []byte, start int) {
	return append(startFrame(r.held, r.next), kind), len(r.held)
}

func (r *Recorder) endFrame(b []byte, start int) []byte { return endFrame(b, start, r.sum) }

// put accepts n more frames, which end b, after those that are held. They wait in
// memory if they may, else all go to the spool. They are folded in so much time.
// The caller holds mu.
func (r *Recorder) put(b []byte, n uint64, delay time.Duration, write bool) error {
	accepted := len(r.held)
	r.held = b
	if write || len(b) >= heldSize {
		if err := r.write(); err != nil {
			r.held = b[:accepted]
			return r.fail(err)
		}
	}
	r.next += n
	if !r.due.IsZero() && !time.Now().Add(delay).Before(r.due) {
		return nil
	}
	// Sessions fold at the same times, so that they share a commit.
	now := time.Now()
	r.due = now.Truncate(delay).Add(delay)
	if wait := r.due.Sub(now); r.timer == nil {
		r.timer = time.AfterFunc(wait, func() { _ = r.fold() }) // whose error is the next call's
	} else {
		r.timer.Reset(wait)
	}
	return nil
}

// write writes the frames that are held to the spool. The caller holds mu.
func (r *Recorder) write() error {
	// The store is locked against other processes for as long as it is open. So
	// nobody folds and removes the spool while it is written to.
	err := r.a.db.Hold(func() (err error) {
		if r.spool == nil {
			if r.spool, err = r.a.open(spoolPath(r.a.dir, r.id)); err != nil {
				r.spool = nil
				return err
			}
			if r.a.sync {
				if err := syncDir(r.a.dir); err != nil {
					return err
				}
			}
		}
		_, err = r.spool.Write(r.held)
		return err
	})
	if err != nil {
		return err
	}
	r.size += int64(len(r.held))
	if r.held = r.held[:0]; cap(r.held) > heldSize {
		r.held = nil
	}
	return nil
}

// syncDir makes durable that a directory has its files.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// span is a part of the spool that waits to be folded, and what comes after it.
type span struct {
	spool    file
	from, to int64
	held     []byte
}

// take writes and returns what waits, and sets the timer back: who takes, folds.
// A new run of events begins, so that the store has whole ones. The caller holds
// order and mu.
func (r *Recorder) take() (span, error) {
	if len(r.held) > 0 {
		if err := r.write(); err != nil {
			return span{}, r.fail(err)
		}
	}
	r.rest()
	return span{spool: r.spool, from: r.folded, to: r.size}, nil
}

// rest sets the timer and the events' writer back. The caller holds mu.
func (r *Recorder) rest() {
	if !r.due.IsZero() {
		r.timer.Stop()
		r.due = time.Time{}
	}
	r.events.restart()
}

// read returns the frames of a span, all of which were accepted once.
func (r *Recorder) read(p span) (frames []frame, damage error) {
	b := make([]byte, p.to-p.from, int(p.to-p.from)+len(p.held))
	if len(b) > 0 {
		n, err := p.spool.ReadAt(b, p.from)
		if err != nil {
			frames, _, damage = parseFrames(r.sum, b[:n])
			if damage == nil {
				damage = err
			}
			return frames, damage
		}
	}
	frames, torn, damage := parseFrames(r.sum, append(b, p.held...))
	if damage == nil && torn > 0 {
		damage = errors.New("its last frame is cut short")
	}
	return frames, damage
}

// waits reports whether something is not yet in the store.
func (r *Recorder) waits() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.folded != r.size || len(r.held) > 0
}

// fold brings what waits into the store.
func (r *Recorder) fold() error {
	if r.a == nil {
		return errZero
	}
	r.order.Lock()
	defer r.order.Unlock()
	r.mu.Lock()
	if r.err != nil || r.ended || r.folded == r.size && len(r.held) == 0 {
		defer r.mu.Unlock()
		return r.err
	}
	p, err := r.take()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	if err := r.commit(p, nil); err != nil {
		return err
	}
	return r.present(p)
}

// present notices that the spool was removed, which can still be written to but would
// not survive the process. The caller holds order.
func (r *Recorder) present(p span) error {
	if p.spool == nil {
		return nil
	}
	if _, err := os.Lstat(p.spool.Name()); errors.Is(err, fs.ErrNotExist) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.fail(errSpoolGone)
	}
	return nil
}

var errSpoolGone = errors.New("its spool was removed while it was written to")

// commit brings a span of the spool into the store and then what f writes, in
// one transaction, which may run more than once. It remembers a failure for
// good. The caller holds order alone.
func (r *Recorder) commit(p span, f func(store.Tx) error) error {
	frames, err := r.read(p)
	var b batch
	if err == nil {
		b, err = gather(r.id, frames, r.stored)
	}
	if err == nil {
		err = r.a.db.Update(func(tx store.Tx) error {
			if err := b.put(tx, r.id, r.whoID); err != nil {
				return err
			}
			if f == nil {
				return nil
			}
			return f(tx)
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return r.fail(err)
	}
	r.stored = b.to
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
	r.rest()
	length, failed, p := r.offset(), r.err != nil, span{r.spool, r.folded, r.size, r.held}
	r.mu.Unlock()

	frames, damage := r.read(p)
	b, unfit := gather(r.id, frames, r.stored)
	if unfit != nil {
		damage = unfit
	}
	err := r.a.db.Update(func(tx store.Tx) error {
		if err := b.put(tx, r.id, r.whoID); err != nil {
			return err
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
		if p.spool != nil {
			// A spool that cannot be removed goes when the archive is next opened: all that
			// was in it is in the store.
			_ = os.Remove(p.spool.Name())
		}
	}
	if p.spool != nil {
		err = errors.Join(err, p.spool.Close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spool, r.held = nil, nil
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
)

// chunk is a piece of a recording. In a frame it is kept as kind, time since the
// start, bytes of output up to its end, both varints, and body.
type chunk struct {
	kind  byte
	at    time.Duration
	total uint64
	body  []byte
}

func (c chunk) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, c.kind), uint64(c.at))
	return append(binary.AppendUvarint(b, c.total), c.body...)
}

// sound reports whether the chunk is of a known kind.
func (c chunk) sound() bool { return c.kind == outputChunk || c.kind == sizeChunk && len(c.body) == 8 }

// parseChunk returns a chunk whose body is part of b.
func parseChunk(b []byte) (chunk, error) {
	if len(b) == 0 {
		return chunk{}, errors.New("a chunk is cut short")
	}
	in := input{b: b[1:]}
	at, total := in.uvarint(), in.uvarint()
	c := chunk{kind: b[0], at: time.Duration(at), total: total, body: in.b}
	if in.bad || at > math.MaxInt64 || total > math.MaxInt64 {
		return chunk{}, errors.New("a chunk is cut short")
	}
	if !c.sound() {
		return chunk{}, errors.New("a chunk is of no known kind")
	}
	return c, nil
}
