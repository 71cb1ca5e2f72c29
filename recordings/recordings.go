// Package recordings keeps the proof of what happened: one log of events for
// the whole bastion, and for each session a recording of what the person saw.
//
// What a person is about to see is out of the process's hands before it is
// shown, and what a target is about to execute is on disk before it is sent, so
// that a recording is never behind either.
package recordings

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// The buckets. A number in a key is 8 bytes, big-endian, so that keys sort as
// numbers do. Names of people and targets stand in keys as hashes of one
// length: no name can pass for the beginning of another.
const (
	eventBucket   = "recordings.event"             // number → event
	sessionBucket = "recordings.event.session"     // session, 0, number
	personBucket  = "recordings.event.person"      // person, number
	historyBucket = "recordings.event.history"     // person and target, number → hash of the text
	metaBucket    = "recordings.recording"         // start, session → recording
	ownerBucket   = "recordings.recording.person"  // person, start, session
	idBucket      = "recordings.recording.session" // session → key in metaBucket
	liveBucket    = "recordings.recording.live"    // session → key in metaBucket
	chunkBucket   = "recordings.chunk"             // session, 0, number → chunk
	spoolBucket   = "recordings.spool"             // session that lives → number of the next frame to fold
	peopleBucket  = "recordings.people"            // person → identity's ID
	boundBucket   = "recordings.bound"             // "longest" → length of the longest recording
)

// Archive keeps recordings and events. It implements [bastion.Archive]. The zero
// Archive refuses. It is safe for concurrent use.
type Archive struct {
	db  *store.DB
	dir string // of spools
	now func() time.Time

	mu   sync.Mutex // guards what follows
	live map[string]*Recorder
}

var errZero = errors.New("internal error: an archive or recorder that was not opened")

// New opens the archive in a store that nobody else has open, with a directory
// of its own for spools, which it makes if need be; it refuses one that others
// than the owner may enter. Recordings that were never sealed, because the
// bastion died, take in what their spools hold, and are sealed as broken: they
// end with the last thing that they hold.
func New(db *store.DB, dir string, now func() time.Time) (*Archive, error) {
	if db == nil || dir == "" || now == nil {
		return nil, errZero
	}
	a := &Archive{db: db, dir: dir, now: now, live: map[string]*Recorder{}}
	err := prepare(dir)
	if err == nil {
		err = a.sealDead()
	}
	if err != nil {
		return nil, fmt.Errorf("opening recordings: %w", err)
	}
	return a, nil
}

// recorder returns the recorder of a session that lives, or nil.
func (a *Archive) recorder(id string) *Recorder {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.live[id]
}

// entry is a recording as it is kept. While it lives, Length and Bytes are in
// its last chunk alone, so that output need not write the entry each time.
type entry struct {
	bastion.Recording
	Votes int `json:"votes,omitempty"`
	// Asking are digests of operations that were asked for and whose approval was
	// not used yet: they are decided once more, and counted once.
	Asking []string `json:"asking,omitempty"`
}

// busy reports whether the session did more than look around.
func (e entry) busy() bool { return len(e.Targets) > 0 || e.Votes > 0 }

// load returns the entry of a session and its key, or a nil key.
func load(tx store.Tx, id string) (key []byte, e entry, err error) {
	if checkID(id) != nil {
		return nil, e, nil
	}
	key = tx.Get(idBucket, []byte(id))
	if key == nil {
		return nil, e, nil
	}
	e, err = decode(tx.Get(metaBucket, key))
	return key, e, err
}

func decode(v []byte) (entry, error) {
	var e entry
	if err := json.Unmarshal(v, &e); err != nil {
		return e, fmt.Errorf("reading a recording's description: %w", err)
	}
	return e, nil
}

func save(tx store.Tx, key []byte, e entry) error {
	v, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing a recording's description: %w", err)
	}
	return tx.Put(metaBucket, key, v)
}

// seal ends a recording at the length that its recorder gives. A broken one ends
// at its last chunk or event, if that is later.
func seal(tx store.Tx, id string, length time.Duration, broken bool) error {
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
	if !broken || length > e.Length {
		e.Length = length
	}
	e.End, e.Broken, e.Asking = e.Start.Add(e.Length), broken, nil
	if err := save(tx, key, e); err != nil {
		return err
	}
	if v := tx.Get(boundBucket, []byte("longest")); len(v) != 8 || binary.BigEndian.Uint64(v) < uint64(e.Length) {
		if err := tx.Put(boundBucket, []byte("longest"), number(uint64(e.Length))); err != nil {
			return err
		}
	}
	if err := tx.Delete(spoolBucket, []byte(id)); err != nil {
		return err
	}
	return tx.Delete(liveBucket, []byte(id))
}

func unknown(id string) error {
	return fmt.Errorf("internal error: recording %q has no description", id)
}

// measure sets Length and Bytes from what the recording holds.
func measure(tx store.Tx, e *entry) error {
	prefix := sessionPrefix(e.ID)
	if k, v := last(tx, chunkBucket, prefix); k != nil {
		c, err := parseChunk(v)
		if err != nil {
			return damaged(e.ID, err)
		}
		e.Length, e.Bytes = max(e.Length, c.at), c.total
	}
	if k, _ := last(tx, sessionBucket, prefix); k != nil {
		ev, err := parseEvent(tx.Get(eventBucket, k[len(prefix):]))
		if err != nil {
			return err
		}
		e.Length = max(e.Length, ev.Offset)
	}
	return nil
}

func damaged(id string, err error) error {
	return fmt.Errorf("the recording of session %s is damaged: %w", id, err)
}

// last returns the last pair whose key is the prefix and a number, or nil. It
// asks forwards, halving what is left, because a scan backwards is not to be had
// in a transaction that writes.
func last(tx store.Tx, bucket string, prefix []byte) (key, value []byte) {
	from := func(n uint64) (k, v []byte) {
		// The function that is called returns no error, and a scan has none of its own.
		_ = tx.Scan(bucket, numbered(prefix, n), func(fk, fv []byte) (bool, error) {
			if hasPrefix(fk, prefix) {
				k, v = fk, fv
			}
			return false, nil
		})
		return k, v
	}
	low, high := uint64(0), uint64(1<<64-1) // there is one from low on, if there is any
	for low < high {
		middle := low + (high-low)/2 + 1
		if k, _ := from(middle); k != nil {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return from(low)
}

// checkID refuses names of sessions that could be mistaken for another key.
func checkID(id string) error {
	if id == "" || len(id) > 64 {
		return fmt.Errorf("internal error: a session's name has %d bytes, and 1 to 64 are allowed", len(id))
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return errors.New("internal error: a session's name has characters other than printable ASCII")
		}
	}
	return nil
}
