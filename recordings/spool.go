package recordings

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
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

// A spool is a file per session that takes what need not be synced yet: one
// write, after which it outlives the process, in the kernel's hands. It is
// folded into the store from time to time, and nobody reads it but to fold it.
//
// A spool is a row of frames, only ever appended to and emptied as a whole:
//
//	length of the body       4 bytes, big-endian like all that follows
//	number                   8 bytes, from 0, without gaps
//	checksum of the body     4 bytes, CRC-32C
//	checksum of the above    4 bytes, CRC-32C of the session's name and the 16 bytes
//	body                     a chunk, or eventFrame and an event in JSON
//
// With the header's own checksum, a frame that the death of the process cut
// short can be told from one whose length was damaged. The store keeps the
// number of the next frame to fold, written in the transaction that folds: what
// was folded and not yet removed is not folded again, whenever the process dies.
//
// The spool and its directory are never synced: a spool owes nothing to the
// death of the machine, and one that such a death brings back after its removal
// belongs to a sealed recording, or holds only numbers that were folded.
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
	// left, to spare the system the trouble after each event.
	emptySize = 64 << 10

	// How long output and results wait in the spool at most, for as long as the
	// store works.
	outputDelay = 2 * time.Second
	resultDelay = 200 * time.Millisecond

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

func checksum(session string, p []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum([]byte(session), table), table, p)
}

// appendFrame appends a frame whose body is the parts, one after another.
func appendFrame(b []byte, session string, number uint64, parts ...[]byte) []byte {
	start, size := len(b), 0
	for _, p := range parts {
		size += len(p)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint64(b, number)
	b = append(b, make([]byte, 8)...)
	for _, p := range parts {
		b = append(b, p...)
	}
	head := b[start:]
	binary.BigEndian.PutUint32(head[12:], checksum("", head[frameHeader:]))
	binary.BigEndian.PutUint32(head[16:], checksum(session, head[:16]))
	return b
}

// parseFrames returns the frames of a session's spool up to the first that is
// damaged, which the error tells, or cut short, of which torn is the length.
func parseFrames(session string, b []byte) (frames []frame, torn int, err error) {
	for at := 0; at < len(b); {
		p := b[at:]
		if len(p) < frameHeader {
			return frames, len(p), nil
		}
		size := binary.BigEndian.Uint32(p)
		if binary.BigEndian.Uint32(p[16:]) != checksum(session, p[:16]) || size == 0 || size > maxFrame {
			return frames, 0, fmt.Errorf("the frame at byte %d is damaged", at)
		}
		f := frame{number: binary.BigEndian.Uint64(p[4:])}
		if uint64(len(p)) < frameHeader+uint64(size) {
			return frames, len(p), nil
		}
		f.body = p[frameHeader : frameHeader+size : frameHeader+size]
		if binary.BigEndian.Uint32(p[12:]) != checksum("", f.body) {
			return frames, 0, fmt.Errorf("the content of the frame at byte %d is damaged", at)
		}
		frames = append(frames, f)
		at += frameHeader + int(size)
	}
	return frames, 0, nil
}

// fold brings frames into the store, without those that are there already. It
// stops at the first that does not fit what the store holds, which damage tells;
// after an error the transaction must not be kept.
func fold(tx store.Tx, id string, frames []frame) (damage, err error) {
	if len(frames) == 0 {
		return nil, nil
	}
	next := uint64(0)
	if v := tx.Get(spoolBucket, []byte(id)); len(v) == numberSize {
		next = binary.BigEndian.Uint64(v)
	}
	prefix, n, before := sessionPrefix(id), uint64(0), chunk{}
	if k, v := last(tx, chunkBucket, prefix); k != nil {
		n = binary.BigEndian.Uint64(k[len(prefix):]) + 1
		if before, err = parseChunk(v); err != nil {
			return damaged(id, err), nil
		}
	}
	first := next
	for _, f := range frames {
		if f.number < next {
			continue
		}
		if f.number > next {
			damage = fmt.Errorf("frame %d is missing", next)
			break
		}
		if f.body[0] == eventFrame {
			var e bastion.Event
			if e, damage = spooledEvent(id, f.body[1:]); damage != nil {
				break
			}
			if err := Append(tx, e); err != nil {
				return nil, err
			}
		} else {
			if before, damage = following(before, f.body); damage != nil {
				break
			}
			if err := tx.Put(chunkBucket, numbered(prefix, n), f.body); err != nil {
				return nil, err
			}
			n++
		}
		next++
	}
	if next == first {
		return damage, nil
	}
	return damage, tx.Put(spoolBucket, []byte(id), number(next))
}

// spooledEvent reads an event that waited in a session's spool.
func spooledEvent(id string, v []byte) (bastion.Event, error) {
	e, err := parseEvent(v)
	if err == nil {
		err = check(e)
	}
	if err == nil && e.Session != id {
		err = errors.New("an event of another session")
	}
	return e, err
}

// following reads the chunk that comes after another one.
func following(before chunk, v []byte) (chunk, error) {
	c, err := parseChunk(v)
	if err != nil {
		return c, err
	}
	total := before.total
	if c.kind == outputChunk {
		total += int64(len(c.body))
	}
	if c.at < before.at || c.total != total {
		return c, errors.New("a chunk that does not follow the one before")
	}
	return c, nil
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
	if err := measure(tx, &e); err != nil {
		return err
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
	l.frames, _, l.damage = parseFrames(id, b)
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
		damage, err := fold(tx, l.id, l.frames)
		if err != nil {
			return err
		}
		if damage == nil {
			damage = l.damage
		}
		if damage == errMissing && tx.Get(spoolBucket, []byte(l.id)) == nil {
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

// encodeEvent is an event as the body of a frame, after its kind. ok is false
// for one that is too large.
func encodeEvent(e bastion.Event) (v []byte, ok bool, err error) {
	v, err = json.Marshal(e)
	return v, err == nil && len(v) < maxFrame, err
}
