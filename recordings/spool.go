package recordings

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// A spool is a file per session that takes what is recorded: one write, after
// which it outlives the process, in the kernel's hands. It is folded into the
// store from time to time, and nobody reads it but to fold it.
//
// A spool is a row of frames, only ever appended to and emptied as a whole:
//
//	length of the body       4 bytes, big-endian like all that follows
//	number                   8 bytes, from 0, without gaps
//	checksum of the body     4 bytes, CRC-32C
//	checksum of the above    4 bytes, CRC-32C of the session's name and the 16 bytes
//	body                     a chunk, or eventFrame and an event in its run
//
// With the header's own checksum, a frame that the death of the process cut
// short can be told from one whose length was damaged. The store keeps the
// number of the next frame to fold, written in the transaction that folds: what
// was folded and not yet removed is not folded again, whenever the process dies.
// Each fold takes whole runs of events.
//
// What must survive the death of the machine is folded soon. A spool is synced
// only where events may not wait for that. One that such a death brings back after
// its removal belongs to a sealed recording, or holds only numbers that were folded.
const (
	eventFrame  = 'e'
	frameHeader = 20

	// spoolSize is where a spool is folded before it takes more, in bytes, and
	// writeSize the most output in one write. Together they bound a transaction, for
	// which other sessions wait.
	spoolSize = 1 << 20
	writeSize = 256 << 10
	// maxFrame is the largest body, in bytes. An event that is larger goes to the
	// store at once.
	maxFrame = 1 << 20
	// maxSpool is above the size that a spool can reach: a full one, less a byte,
	// takes one more frame or one more write.
	maxSpool = spoolSize + maxFrame + writeSize
	// emptySize is from where a spool that was folded is emptied. A smaller one is
	// left, to spare the system the trouble after each fold.
	emptySize = 64 << 10
	// heldSize is how much waits in memory at most for the next write, in bytes, but
	// for the frame that reaches it.
	heldSize = 32 << 10

	// How long output and events are out of the store at most, for as long as it works.
	outputDelay = 2 * time.Second
	eventDelay  = 200 * time.Millisecond

	spoolSuffix = ".spool"
)

// prepare makes the directory of spools. It refuses one that others may look into.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if p := info.Mode().Perm(); p&0o077 != 0 {
		return fmt.Errorf("others than its owner may enter %s, which has mode %04o; chmod 700 it", dir, p)
	}
	return nil
}

// spoolPath is where a session's spool is. A session's name may hold characters
// that mean something in a path.
func spoolPath(dir, id string) string {
	return filepath.Join(dir, hex.EncodeToString([]byte(id))+spoolSuffix)
}

// spoolOwner is the session whose spool has that name of a file, or "".
func spoolOwner(name string) string {
	name, ok := strings.CutSuffix(name, spoolSuffix)
	id, err := hex.DecodeString(name)
	if !ok || err != nil || checkID(string(id)) != nil {
		return ""
	}
	return string(id)
}

// frame is one entry of a spool. Its body is part of what it was read from.
type frame struct {
	number uint64
	body   []byte
}

func checksum(sum uint32, p []byte) uint32 { return crc32.Update(sum, castagnoli(), p) }

// startFrame appends the header of a frame, as far as it is known.
func startFrame(b []byte, number uint64) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0)
}

// endFrame completes the frame that begins at start and ends with b. The sum is
// the checksum of the session's name.
func endFrame(b []byte, start int, sum uint32) []byte {
	head := b[start:]
	binary.BigEndian.PutUint32(head, uint32(len(head)-frameHeader))
	binary.BigEndian.PutUint32(head[12:], checksum(0, head[frameHeader:]))
	binary.BigEndian.PutUint32(head[16:], checksum(sum, head[:16]))
	return b
}

// parseFrames returns the frames of a session's spool up to the first that is
// damaged, which the error tells, or cut short, of which torn is the length. The
// sum is the checksum of the session's name.
func parseFrames(sum uint32, b []byte) (frames []frame, torn int, err error) {
	frames = make([]frame, 0, len(b)/(4*frameHeader)+1) // about as many as there are
	for at := 0; at < len(b); {
		p := b[at:]
		if len(p) < frameHeader {
			return frames, len(p), nil
		}
		size := binary.BigEndian.Uint32(p)
		if binary.BigEndian.Uint32(p[16:]) != checksum(sum, p[:16]) || size == 0 || size > maxFrame {
			return frames, 0, fmt.Errorf("the frame at byte %d is damaged", at)
		}
		f := frame{number: binary.BigEndian.Uint64(p[4:])}
		if uint64(len(p)) < frameHeader+uint64(size) {
			return frames, len(p), nil
		}
		f.body = p[frameHeader : frameHeader+size : frameHeader+size]
		if binary.BigEndian.Uint32(p[12:]) != checksum(0, f.body) {
			return frames, 0, fmt.Errorf("the content of the frame at byte %d is damaged", at)
		}
		frames = append(frames, f)
		at += frameHeader + int(size)
	}
	return frames, 0, nil
}

// batch is what frames bring to the store, ready to be put there.
type batch struct {
	from, to place
	offset   uint64 // of the last event, in nanoseconds
	blocks   []block
	counted  []counted
	records  [][]byte
}

// gather reads frames that follow a place in a session, passing over those before
// it. It stops at the first that does not fit, which damage tells.
func gather(id string, frames []frame, from place) (b batch, damage error) {
	b.from, b.to = from, from
	var events runReader
	var record []byte
	var recordAt time.Duration
	rest, output := 0, 0 // bytes that are still to come
	for _, f := range frames {
		if f.body[0] == eventFrame {
			rest += len(f.body)
		} else {
			output += len(f.body)
		}
	}
	for _, f := range frames {
		if f.body[0] == eventFrame {
			rest -= len(f.body)
		}
		if f.number < b.to.next {
			continue
		}
		if f.number > b.to.next {
			damage = fmt.Errorf("frame %d is missing", b.to.next)
			break
		}
		if f.body[0] == eventFrame {
			if damage = b.event(id, &events, f.body[1:], rest); damage != nil {
				break
			}
		} else {
			var c chunk
			if c, damage = following(b.to, f.body); damage != nil {
				break
			}
			if len(record) > 0 && len(record)+len(c.body) > recordSize {
				b.records, record = append(b.records, finishRecord(record)), nil
			}
			if len(record) == 0 {
				record, recordAt = make([]byte, 0, min(output, recordSize)), 0
			}
			output -= len(f.body)
			record, recordAt = appendPiece(record, recordAt, c), c.at
			b.to.at, b.to.bytes = uint64(c.at), c.total
		}
		b.to.next++
	}
	if len(record) > 0 {
		b.records = append(b.records, finishRecord(record))
	}
	return b, damage
}

// event reads an event that waited in a session's spool, with so many bytes after it.
func (b *batch) event(id string, r *runReader, v []byte, rest int) error {
	in := input{b: v}
	e, first, err := r.next(&in)
	if err == nil && len(in.b) > 0 {
		err = errCut
	}
	if err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	if err := check(e); err != nil {
		return err
	}
	if e.Session != id {
		return errors.New("an event of another session")
	}
	if first {
		b.blocks = append(b.blocks, block{run: make([]byte, 0, len(v)+min(rest, runBytes))})
	}
	last := &b.blocks[len(b.blocks)-1]
	last.run = append(last.run, v...)
	last.events++
	last.remember(&e)
	if c, ok := counts(&e); ok {
		b.counted = append(b.counted, c)
	}
	b.offset = max(b.offset, uint64(max(0, e.Offset)))
	return nil
}

// following reads the chunk that comes after a place.
func following(p place, v []byte) (chunk, error) {
	c, err := parseChunk(v)
	if err != nil {
		return c, err
	}
	total := p.bytes
	if c.kind == outputChunk {
		total += uint64(len(c.body))
	}
	if uint64(c.at) < p.at || c.total != total {
		return c, errors.New("a chunk that does not follow the one before")
	}
	return c, nil
}

// put brings a batch into the store, where it follows what the store has.
func (b *batch) put(tx store.Tx, id, who string) error {
	t, ok, err := loadTally(tx, id)
	if err != nil {
		return err
	}
	if !ok || t.place() != b.from {
		return errors.New("internal error: somebody else folded or sealed the recording")
	}
	if b.to == b.from {
		return nil
	}
	for i := range b.blocks {
		if err := b.blocks[i].put(tx, id, who); err != nil {
			return err
		}
	}
	prefix := sessionPrefix(id)
	for _, v := range b.records {
		if err := tx.Put(recordBucket, numbered(prefix, t.records), v); err != nil {
			return err
		}
		t.records++
	}
	for _, c := range b.counted {
		t.count(c)
	}
	t.next, t.at, t.bytes, t.offset = b.to.next, b.to.at, b.to.bytes, max(t.offset, b.offset)
	return t.save(tx, id)
}

// alarm says in the session's events that its recording lacks something. The
// recording does not become longer by it.
func alarm(tx store.Tx, id string, now time.Time, damage error) error {
	key, e, err := load(tx, id)
	if err != nil {
		return err
	}
	if key == nil {
		return unknown(id)
	}
	return Append(tx, bastion.Event{At: now, Kind: bastion.EventAlarm, Session: id, Name: "sallyport", Offset: max(e.Length, 1),
		Error: fmt.Sprintf("part of this recording may be lost: its spool cannot be read to the end: %v", damage)})
}

// leftover is the spool of a session that died.
type leftover struct {
	id     string
	frames []frame
	size   int
	damage error
}

// left reads what a died session left. A last frame that is cut short was not
// accepted when the process died, and is dropped.
func left(dir, id string) (leftover, error) {
	l := leftover{id: id}
	f, err := os.Open(spoolPath(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		l.damage = errMissing // unless it was never there
		return l, nil
	}
	if err != nil {
		return l, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSpool+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return l, err
	}
	l.size = len(b)
	l.frames, _, l.damage = parseFrames(checksum(0, []byte(id)), b)
	if len(b) > maxSpool && l.damage == nil {
		l.damage = errors.New("the file is larger than a spool becomes")
	}
	return l, nil
}

var errMissing = errors.New("the file is missing")

// sealDead folds and seals the recordings of sessions that died, and removes
// their spools, and those of sealed recordings that are left by chance. A spool
// of which the store knows nothing is not touched.
func (a *Archive) sealDead() error {
	var ids []string
	err := a.db.View(func(tx store.Tx) error {
		return tx.Scan(liveBucket, nil, func(k, _ []byte) (bool, error) {
			ids = append(ids, string(k))
			return true, nil
		})
	})
	var batch []leftover
	size := 0
	for i, id := range ids {
		if err != nil {
			return err
		}
		var l leftover
		if l, err = left(a.dir, id); err != nil {
			return err
		}
		batch, size = append(batch, l), size+l.size
		if size >= spoolSize || len(batch) == pageKeys || i == len(ids)-1 {
			err = a.db.Update(func(tx store.Tx) error { return sealLeft(tx, a.now(), batch) })
			batch, size = nil, 0
		}
	}
	if err != nil {
		return err
	}
	return a.sweep()
}

func sealLeft(tx store.Tx, now time.Time, batch []leftover) error {
	for _, l := range batch {
		_, e, err := load(tx, l.id)
		if err != nil {
			return err
		}
		t, ok, err := loadTally(tx, l.id)
		if err != nil {
			return err
		}
		if !ok {
			return unknown(l.id)
		}
		b, damage := gather(l.id, l.frames, t.place())
		if err := b.put(tx, l.id, e.Who.ID()); err != nil {
			return err
		}
		if damage == nil {
			damage = l.damage
		}
		if damage == errMissing && t.next == 0 {
			damage = nil // the session wrote nothing, or the machine died soon after it did
		}
		if damage != nil {
			if err := alarm(tx, l.id, now, damage); err != nil {
				return err
			}
		}
		if err := seal(tx, l.id, 0, true); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes the spools of sealed recordings.
func (a *Archive) sweep() error {
	files, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		id := spoolOwner(f.Name())
		if id == "" {
			continue
		}
		sealed := false
		err := a.db.View(func(tx store.Tx) error {
			sealed = tx.Get(idBucket, []byte(id)) != nil && tx.Get(liveBucket, []byte(id)) == nil
			return nil
		})
		if err == nil && sealed {
			err = os.Remove(filepath.Join(a.dir, f.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
