// Package recordings keeps the proof of what happened: one log of events for
// the whole bastion, and for each session a recording of what the person saw.
//
// What a person is about to see, and what a target is about to execute, is out of
// the process's hands before it is shown or sent, so that a recording is never
// behind what the death of the process leaves.
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
	blockBucket   = "recordings.block"             // number of its first event → block of events
	sessionBucket = "recordings.block.session"     // session, 0, number of a block
	personBucket  = "recordings.block.person"      // person, number of a block
	historyBucket = "recordings.block.history"     // person and target, number of a block with statements
	metaBucket    = "recordings.recording"         // start, session → recording
	ownerBucket   = "recordings.recording.person"  // person, start, session
	idBucket      = "recordings.recording.session" // session → key in metaBucket
	liveBucket    = "recordings.recording.live"    // session → key in metaBucket
	tallyBucket   = "recordings.recording.tally"   // session that lives → tally
	recordBucket  = "recordings.shown"             // session, 0, number → chunks
	peopleBucket  = "recordings.people"            // person → identity's ID
	boundBucket   = "recordings.bound"             // "longest" → length of the longest recording
	layoutBucket  = "recordings.layout"            // "layout" → layout

	// layout changes when the rest is not to be read as before.
	layout = "2"
	// firstBucket is where layout 1, which did not yet say so, had its events.
	firstBucket = "recordings.event"
)

// Config is what an archive is made of. Every field is needed but those that say so.
type Config struct {
	DB  *store.DB        // that nobody else has open
	Dir string           // directory of spools, of which no other use is made
	Now func() time.Time // the clock
	// Sync makes each event but a result wait for the disk. Without it, events are
	// on disk a fifth of a second later. It may be left out.
	Sync bool
}

// Archive keeps recordings and events. It implements [bastion.Archive]. The zero
// Archive refuses. It is safe for concurrent use.
type Archive struct {
	db   *store.DB
	dir  string // of spools
	now  func() time.Time
	sync bool
	open func(path string) (file, error) // makes a spool

	mu   sync.Mutex // guards what follows
	live map[string]*Recorder
}

var errZero = errors.New("internal error: an archive or recorder that was not opened")

// New opens the archive. It makes the directory of spools if need be, and refuses
// one that others than the owner may enter, as it refuses a store of another
// layout. Recordings that were never sealed, because the bastion died, take in
// what their spools hold, and are sealed as broken: they end with the last thing
// that they hold.
func New(c Config) (*Archive, error) {
	if c.DB == nil || c.Dir == "" || c.Now == nil {
		return nil, errZero
	}
	a := &Archive{db: c.DB, dir: c.Dir, now: c.Now, sync: c.Sync, open: create, live: map[string]*Recorder{}}
	err := a.db.Update(claim)
	if err == nil {
		err = prepare(a.dir)
	}
	if err == nil {
		err = a.sealDead()
	}
	if err != nil {
		return nil, fmt.Errorf("opening recordings: %w", err)
	}
	return a, nil
}

// claim writes the layout into a store without recordings, and refuses another one.
func claim(tx store.Tx) error {
	v := tx.Get(layoutBucket, []byte("layout"))
	if v == nil {
		empty := true
		err := tx.Scan(firstBucket, nil, func(_, _ []byte) (bool, error) { empty = false; return false, nil })
		if err != nil {
			return err
		}
		if empty {
			return tx.Put(layoutBucket, []byte("layout"), []byte(layout))
		}
		v = []byte("1")
	}
	if string(v) != layout {
		return fmt.Errorf("this store keeps recordings in layout %q, and this version of sallyport reads layout %q; read them with the version that wrote them, and give this one a new state directory", v, layout)
	}
	return nil
}

// recorder returns the recorder of a session that lives, or nil.
func (a *Archive) recorder(id string) *Recorder {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.live[id]
}

// entry is a recording as it is kept. While it lives, its tally has what changes.
type entry struct {
	bastion.Recording
	Votes int `json:"votes,omitempty"`
}

// busy reports whether the session did more than look around.
func (e entry) busy() bool { return len(e.Targets) > 0 || e.Votes > 0 }

// count counts in a recording that is sealed.
func (e *entry) count(c counted) {
	t := tally{operations: uint64(e.Operations), denied: uint64(e.Denied), asked: uint64(e.Asked), votes: uint64(e.Votes), targets: e.Targets}
	t.count(c)
	e.Operations, e.Denied, e.Asked, e.Votes, e.Targets = int(t.operations), int(t.denied), int(t.asked), int(t.votes), t.targets
}

// load returns the entry of a session as it is now, and its key, or a nil key.
func load(tx store.Tx, id string) (key []byte, e entry, err error) {
	if checkID(id) != nil {
		return nil, e, nil
	}
	key = tx.Get(idBucket, []byte(id))
	if key == nil {
		return nil, e, nil
	}
	if e, err = decode(tx.Get(metaBucket, key)); err != nil || !e.End.IsZero() {
		return key, e, err
	}
	t, ok, err := loadTally(tx, id)
	if ok {
		t.describe(&e)
	}
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
	if !broken || length > e.Length {
		e.Length = length
	}
	e.End, e.Broken = e.Start.Add(e.Length), broken
	if err := save(tx, key, e); err != nil {
		return err
	}
	if v := tx.Get(boundBucket, []byte("longest")); len(v) != 8 || binary.BigEndian.Uint64(v) < uint64(e.Length) {
		if err := tx.Put(boundBucket, []byte("longest"), number(uint64(e.Length))); err != nil {
			return err
		}
	}
	if err := tx.Delete(tallyBucket, []byte(id)); err != nil {
		return err
	}
	return tx.Delete(liveBucket, []byte(id))
}

func unknown(id string) error {
	return fmt.Errorf("internal error: recording %q has no description", id)
}

func damaged(id string, err error) error {
	return fmt.Errorf("the recording of session %s is damaged: %w", id, err)
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
