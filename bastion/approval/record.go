package approval

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// The buckets. Requests are found by subject: everything, a requester, an
// owner, a role that is needed; so that no list reads more than it shows,
// however long the history is.
const (
	requestsBucket = "approval.requests" // number -> record
	allBucket      = "approval.all"      // subject and number
	openBucket     = "approval.open"     // the same, of open requests
	exactBucket    = "approval.exact"    // requester's subject and digest -> number, of open requests
	dueBucket      = "approval.due"      // time and number of open requests that time does something to
	barredBucket   = "approval.barred"   // requester's subject and digest of a revoked emergency -> its review
	askedBucket    = "approval.asked"    // person's subject -> the hour in which they began to ask, and how often since
	pastBucket     = "approval.past"     // subject -> tally of ended requests
	clockBucket    = "approval.clock"    // the latest time seen
)

// record is a request as it is kept.
type record struct {
	bastion.Request
	// Recorded is the text without its secrets, where it has any.
	Recorded string `json:"recorded,omitempty"`
	// Bound is the parameters as the target gets them, while the request is open.
	Bound   []byte    `json:"bound,omitempty"`
	Granted time.Time `json:"granted,omitzero"` // when it was approved
	Uses    int       `json:"uses,omitempty"`
	SeenBy  []string  `json:"seen_by,omitempty"` // the IDs of Seen
	Warned  bool      `json:"warned,omitempty"`  // that access will end soon
	Review  uint64    `json:"review,omitempty"`  // of an emergency: the request that looks at it
	Of      uint64    `json:"of,omitempty"`      // of a review: what it looks at
	Task    uint64    `json:"task,omitempty"`    // of a task: its number
	// Apart are people besides the requester who cannot vote on it.
	Apart []bastion.Identity `json:"apart,omitempty"`
	Wake  time.Time          `json:"wake,omitzero"` // where it stands in dueBucket
}

// emergency reports whether the request is access that nobody had to approve.
func (r record) emergency() bool {
	return r.Kind == bastion.KindAccess && r.Access != nil && r.Access.Emergency
}

// lasting reports whether the request is access that was granted and has not ended.
func (r record) lasting() bool {
	return r.Kind == bastion.KindAccess && r.Access != nil && r.State == bastion.Approved
}

// due reports whether the request's time is over. A review's never is.
func (r record) due(now time.Time) bool {
	return r.State.Open() && r.Kind != bastion.KindReview && !now.Before(r.Expires)
}

// Soon is how long before the end of access people are told of it.
const Soon = 5 * time.Minute

// wake is when time does something to the request; zero is never.
func (r record) wake() time.Time {
	switch {
	case !r.State.Open() || r.Kind == bastion.KindReview:
		return time.Time{}
	case r.lasting() && !r.Warned && r.Access.For > 2*Soon:
		return r.Expires.Add(-Soon)
	}
	return r.Expires
}

// recorded is the text as events and those who need not decide may see it.
func (r record) recorded() string {
	if r.Recorded != "" {
		return r.Recorded
	}
	return r.Text
}

// subject is the hash of what requests are listed by: of one length, so that no
// name can be the beginning of another.
type subject [sha256.Size]byte

func subjectOf(kind, name string) subject { return sha256.Sum256([]byte(kind + ":" + name)) }

func everything() subject              { return subjectOf("all", "") }
func requester(id string) subject      { return subjectOf("who", id) }
func ownedBy(id string) subject        { return subjectOf("owner", id) }
func neededRole(role string) subject   { return subjectOf("role", role) }
func number(id uint64) []byte          { return binary.BigEndian.AppendUint64(nil, id) }
func (s subject) key(id uint64) []byte { return append(slices.Clone(s[:]), number(id)...) }

func exactKey(who, digest string) []byte {
	s := requester(who)
	return append(s[:], digest...)
}

// subjects lists all under which a request is found.
func (r record) subjects() []subject {
	all := []subject{everything(), requester(r.Who.ID())}
	if r.Who.Kind == bastion.Service {
		all = append(all, ownedBy(r.Who.Owner))
	}
	for _, n := range r.Needs {
		for _, role := range append([]string{n.Role}, n.Or...) {
			if s := neededRole(role); !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// load reads a request. ok is false if there is none.
func load(tx store.Tx, id uint64) (r record, ok bool, err error) {
	b := tx.Get(requestsBucket, number(id))
	if b == nil {
		return record{}, false, nil
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, false, fmt.Errorf("reading request %d: %w", id, err)
	}
	if r.Kind == "" {
		r.Kind = bastion.KindOperation // the only kind there was
	}
	return r, true, nil
}

// save keeps a request and its place in the lists.
func save(tx store.Tx, r record) error {
	r.Approvers, r.Yours = nil, false
	if err := schedule(tx, &r); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("keeping request %d: %w", r.ID, err)
	}
	if err := tx.Put(requestsBucket, number(r.ID), b); err != nil {
		return err
	}
	exact := exactKey(r.Who.ID(), r.Digest)
	if r.State.Open() {
		err = tx.Put(exactBucket, exact, number(r.ID))
	} else {
		err = tx.Delete(exactBucket, exact)
	}
	if err != nil {
		return err
	}
	for _, s := range r.subjects() {
		if err := tx.Put(allBucket, s.key(r.ID), []byte{}); err != nil {
			return err
		}
		if r.State.Open() {
			err = tx.Put(openBucket, s.key(r.ID), []byte{})
		} else {
			err = tx.Delete(openBucket, s.key(r.ID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// schedule moves a request to its place in the order of what is due.
func schedule(tx store.Tx, r *record) error {
	wake := r.wake()
	if wake.Equal(r.Wake) {
		return nil
	}
	if !r.Wake.IsZero() {
		if err := tx.Delete(dueBucket, dueKey(r.Wake, r.ID)); err != nil {
			return err
		}
	}
	if r.Wake = wake; wake.IsZero() {
		return nil
	}
	return tx.Put(dueBucket, dueKey(wake, r.ID), []byte{})
}

func dueKey(t time.Time, id uint64) []byte {
	return append(number(uint64(max(0, t.UnixNano()))), number(id)...)
}

// overdue lists at most limit requests to which time does something until now,
// the earliest first.
func overdue(tx store.Tx, now time.Time, limit int) ([]uint64, error) {
	var ids []uint64
	err := tx.Scan(dueBucket, nil, func(k, _ []byte) (bool, error) {
		if len(k) != 16 || binary.BigEndian.Uint64(k) > uint64(max(0, now.UnixNano())) {
			return false, nil
		}
		ids = append(ids, binary.BigEndian.Uint64(k[8:]))
		return len(ids) < limit, nil
	})
	return ids, err
}

// exact finds the open request of an identity for a digest; 0 is none.
func exact(tx store.Tx, who, digest string) uint64 {
	b := tx.Get(exactBucket, exactKey(who, digest))
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// oldest lists all numbers under a subject, oldest first.
func oldest(tx store.Tx, bucket string, s subject) ([]uint64, error) {
	var ids []uint64
	err := tx.Scan(bucket, s.key(0), func(k, _ []byte) (bool, error) {
		if !bytes.HasPrefix(k, s[:]) || len(k) != len(s)+8 {
			return false, nil
		}
		ids = append(ids, binary.BigEndian.Uint64(k[len(s):]))
		return true, nil
	})
	return ids, err
}

// newest lists the numbers under a subject, newest first, at most limit; 0
// means all of them. It is for read transactions: where a write transaction,
// whose commit may be shared, has emptied pages, bbolt's cursor can go
// backwards for ever (v1.5.0, Cursor.Last calling prev at the first page).
func newest(tx store.Tx, bucket string, s subject, limit int) ([]uint64, error) {
	var ids []uint64
	err := tx.ScanBack(bucket, s.key(1<<64-1), func(k, _ []byte) (bool, error) {
		if !bytes.HasPrefix(k, s[:]) || len(k) != len(s)+8 {
			return false, nil
		}
		ids = append(ids, binary.BigEndian.Uint64(k[len(s):]))
		return len(ids) != limit, nil
	})
	return ids, err
}

// asked counts a request of a person. If they have made too many in an hour, it does
// not count, and next says when that hour is over.
func asked(tx store.Tx, person string, now time.Time) (next time.Time, err error) {
	key := requester(person)
	began, n := now, uint64(0)
	if b := tx.Get(askedBucket, key[:]); len(b) == 16 {
		if t := time.Unix(0, int64(binary.BigEndian.Uint64(b))); now.Before(t.Add(time.Hour)) {
			began, n = t, binary.BigEndian.Uint64(b[8:])
		}
	}
	if n >= MaxAsked {
		return began.Add(time.Hour), nil
	}
	return time.Time{}, tx.Put(askedBucket, key[:], append(number(uint64(began.UnixNano())), number(n+1)...))
}

// floor is the latest time that the store knows.
func floor(tx store.Tx) time.Time {
	b := tx.Get(clockBucket, []byte("latest"))
	if len(b) != 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
}

func setFloor(tx store.Tx, t time.Time) error {
	return tx.Put(clockBucket, []byte("latest"), number(uint64(t.UnixNano())))
}
