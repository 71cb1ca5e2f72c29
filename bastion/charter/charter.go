// Package charter keeps the versions of the policy in the store: which one is in
// force, and for each one who proposed it, who approved it, when, and its text.
//
// A version is never changed or removed. It is written in one transaction with the
// event that tells of it, so that after a crash there is all of it or nothing. The
// first comes from a file, when there is none yet; every other one takes a request
// that was approved by somebody else and used, and no request gives two versions.
package charter

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// The buckets of the store.
const (
	versionsBucket = "charter.versions" // number -> Version
	activeBucket   = "charter.active"   // "version" -> the number of the one in force
	requestsBucket = "charter.requests" // number of a request -> that of its version
)

// Files is the author of a version that came from a file and not from a person.
const Files = "the bastion's own files"

// Event is the kind of the event that tells of a new version: an alarm, because a
// change of the policy concerns everybody, and the first version most of all.
const Event = bastion.EventAlarm

// Version is a version of the policy.
type Version struct {
	Number uint64 `json:"number"` // from 1
	Text   string `json:"text"`
	Digest string `json:"digest"` // SHA-256 of the text, in hexadecimal
	// On is the number of the version that it replaced; 0 for the first.
	On uint64 `json:"on,omitempty"`
	// Who is the ID of the person who proposed it, empty for the first; Name is
	// theirs, or Files.
	Who      string    `json:"who,omitempty"`
	Name     string    `json:"name"`
	Reason   string    `json:"reason,omitempty"`
	Approved []string  `json:"approved,omitempty"` // names
	Request  uint64    `json:"request,omitempty"`  // 0 for the first
	At       time.Time `json:"at"`
}

// Digest is the digest of a text.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Config is what a charter is made of. Every field is needed.
type Config struct {
	DB *store.DB
	// Append adds an event to the log inside a transaction.
	Append func(store.Tx, bastion.Event) error
	Now    func() time.Time
}

// Charter is the policy's versions. It is safe for concurrent use.
type Charter struct {
	c Config

	mu     sync.RWMutex // guards what follows
	active Version
}

// Open reads which version is in force. A version whose text is not what its
// digest says is an error.
func Open(c Config) (*Charter, error) {
	if c.DB == nil || c.Append == nil || c.Now == nil {
		return nil, errors.New("internal error: a charter needs a store, a log and a clock")
	}
	k := &Charter{c: c}
	err := c.DB.View(func(tx store.Tx) error {
		var err error
		k.active, err = newest(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the policy's versions: %w", err)
	}
	return k, nil
}

// Active is the version in force. ok is false if there is none yet.
func (k *Charter) Active() (v Version, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.active.clone(), k.active.Number > 0
}

// Found makes a text the first version. from says where it was read. If there is a
// version already, that is an error.
func (k *Charter) Found(text, from string) (Version, error) {
	return k.put(func(tx store.Tx, v *Version) (bastion.Event, error) {
		if v.On != 0 {
			return bastion.Event{}, errors.New("there is a policy in force already; a file changes nothing")
		}
		v.Text, v.Name = text, Files
		return bastion.Event{Name: Files, Reason: "read from " + from + ", because there was no policy yet"}, nil
	})
}

// Change is a new version that was approved.
type Change struct {
	Text string
	// On is the number of the version that the change was decided upon.
	On uint64
	// Request is the request, as its use returned it.
	Request bastion.Request
	Origin  bastion.Origin
	Session string
}

// StaleError says that a change was decided upon a version that is no longer in force.
type StaleError struct{ On, Active uint64 }

func (e *StaleError) Error() string {
	return fmt.Sprintf("the policy changed meanwhile: this was decided upon version %d, and version %d is in force", e.On, e.Active)
}

// Activate writes a new version. On return it survives the death of the machine. It
// refuses a change that nobody but its author approved, a request that gave a
// version already, and, with a *StaleError, one that another version overtook.
func (k *Charter) Activate(c Change) (Version, error) {
	r := c.Request
	var names []string
	for _, v := range r.Votes {
		if v.Verdict == bastion.VoteApprove && v.Who.Kind == bastion.Person && v.Who.Person() != r.Who.Person() {
			names = append(names, v.Who.Name)
		}
	}
	switch {
	case r.ID == 0 || r.State != bastion.Used || r.Text != c.Text || r.Who.ID() == "":
		return Version{}, errors.New("internal error: no used request for this change of the policy")
	case len(names) == 0:
		return Version{}, errors.New("internal error: nobody else approved this change of the policy")
	}
	return k.put(func(tx store.Tx, v *Version) (bastion.Event, error) {
		if v.On != c.On || v.On == 0 {
			return bastion.Event{}, &StaleError{c.On, v.On}
		}
		if tx.Get(requestsBucket, number(r.ID)) != nil {
			return bastion.Event{}, fmt.Errorf("request %d has changed the policy already, and counts once", r.ID)
		}
		if err := tx.Put(requestsBucket, number(r.ID), number(v.Number)); err != nil {
			return bastion.Event{}, err
		}
		v.Text, v.Who, v.Name, v.Reason, v.Approved, v.Request = c.Text, r.Who.ID(), r.Who.Name, r.Reason, names, r.ID
		return bastion.Event{Who: v.Who, Name: v.Name, Session: c.Session, Origin: &c.Origin, Reason: r.Reason, Request: r.ID, By: names}, nil
	})
}

// put writes the version after the newest, as fill completes it, with its event.
func (k *Charter) put(fill func(store.Tx, *Version) (bastion.Event, error)) (Version, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var v Version
	err := k.c.DB.Update(func(tx store.Tx) error {
		// The store counts here, and not what this process remembers.
		last, err := inForce(tx)
		if err != nil {
			return err
		}
		v = Version{Number: last + 1, On: last, At: k.c.Now().UTC()}
		e, err := fill(tx, &v)
		if err != nil {
			return err
		}
		v.Digest = Digest(v.Text)
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := tx.Put(versionsBucket, number(v.Number), b); err != nil {
			return err
		}
		if err := tx.Put(activeBucket, []byte("version"), number(v.Number)); err != nil {
			return err
		}
		e.Kind, e.At, e.Target, e.Verb, e.Digest = Event, v.At, "policy", "policy-change", v.Digest
		e.Text = fmt.Sprintf("version %d of the policy is in force", v.Number)
		return k.c.Append(tx, e)
	})
	if err != nil {
		return Version{}, err
	}
	k.active = v
	return v.clone(), nil
}

// Versions lists versions, the newest first, at most limit; 0 means all.
func (k *Charter) Versions(limit int) ([]Version, error) {
	var vs []Version
	err := k.c.DB.View(func(tx store.Tx) error {
		return tx.ScanBack(versionsBucket, nil, func(_, b []byte) (bool, error) {
			v, err := read(b)
			vs = append(vs, v)
			return len(vs) != limit, err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the policy's versions: %w", err)
	}
	return vs, nil
}

// Version returns a version by its number, or [bastion.ErrNotFound].
func (k *Charter) Version(n uint64) (v Version, err error) {
	err = k.c.DB.View(func(tx store.Tx) error {
		b := tx.Get(versionsBucket, number(n))
		if b == nil {
			return fmt.Errorf("version %d of the policy: %w", n, bastion.ErrNotFound)
		}
		v, err = read(b)
		return err
	})
	return v, err
}

// inForce is the number of the version in force; 0 if there is none yet.
func inForce(tx store.Tx) (uint64, error) {
	switch b := tx.Get(activeBucket, []byte("version")); len(b) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(b), nil
	}
	return 0, errors.New("which version of the policy is in force cannot be read")
}

// newest reads the version in force.
func newest(tx store.Tx) (Version, error) {
	n, err := inForce(tx)
	if err != nil || n == 0 {
		return Version{}, err
	}
	v, err := read(tx.Get(versionsBucket, number(n)))
	if err == nil && v.Number != n {
		err = fmt.Errorf("version %d of the policy is damaged: it has the number of another", n)
	}
	return v, err
}

func read(b []byte) (v Version, err error) {
	if err := json.Unmarshal(b, &v); err != nil {
		return Version{}, fmt.Errorf("a version of the policy is damaged: %w", err)
	}
	if v.Number == 0 || Digest(v.Text) != v.Digest {
		return Version{}, fmt.Errorf("version %d of the policy is damaged: its text is not what its digest says", v.Number)
	}
	return v, nil
}

func (v Version) clone() Version {
	v.Approved = slices.Clone(v.Approved)
	return v
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
