package notify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// The buckets. What waits is found by channel, emergencies apart, in the order in
// which it is due, so that one channel that fails holds up no other.
const (
	lettersBucket = "notify.letters" // number -> letter that waits
	dueBucket     = "notify.due"     // lane, time and number
	deadBucket    = "notify.dead"    // number -> letter that was given up
)

// MaxDead is how many letters that were given up are kept; the oldest goes first.
const MaxDead = 10_000

// letter is a note on its way to one channel, and there to one person if it is mail.
type letter struct {
	Channel  string    `json:"channel"`
	Key      string    `json:"key"`
	Note     Note      `json:"note"`
	To       Recipient `json:"to,omitzero"`
	Due      time.Time `json:"due"`
	Attempts int       `json:"attempts,omitempty"`
	Last     time.Time `json:"last,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// tally is what is counted in memory.
type tally struct {
	delivered, failed uint64
	err               string
	at                time.Time
}

// lane is where letters of a channel wait in order: emergencies, and the rest.
type lane [sha256.Size + 1]byte

func laneOf(channel string, k Kind) lane {
	var l lane
	h := sha256.Sum256([]byte(channel))
	copy(l[:], h[:])
	if k != Emergency {
		l[sha256.Size] = 1
	}
	return l
}

// atOnce is when a letter is due that nobody has tried: whatever the clock says,
// also if somebody sets it back.
var atOnce = time.Unix(0, 0).UTC()

func number(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// dueKey is where a letter stands in its lane.
func (l letter) dueKey(id uint64) []byte {
	of := laneOf(l.Channel, l.Note.Kind)
	k := binary.BigEndian.AppendUint64(of[:], uint64(max(0, l.Due.UnixNano())))
	return append(k, number(id)...)
}

// Put keeps a note until every channel that is to be told has taken it. It is part
// of the caller's transaction: if that fails, nothing was put, and nobody is told.
func (o *Outbox) Put(tx store.Tx, n Note) error {
	if !slices.Contains(Kinds(), n.Kind) {
		return fmt.Errorf("internal error: there is no kind of note %q", n.Kind)
	}
	n = n.bounded()
	for _, ch := range o.channels {
		if !ch.wants(n) {
			continue
		}
		to, kept := []Recipient{{}}, n
		kept.To = n.To[:min(len(n.To), keptTo)]
		if ch.Email != nil {
			to = ch.Email.recipients(n)
			if len(to) == 0 && n.Kind == Emergency {
				to = []Recipient{{}} // fails, and so is seen
			}
		}
		for _, r := range to {
			l := letter{Channel: ch.Name, Key: newKey(), Note: kept, To: r, Due: atOnce}
			if err := l.file(tx); err != nil {
				return fmt.Errorf("keeping a notification: %w", err)
			}
		}
	}
	o.ring()
	return nil
}

// file keeps a new letter.
func (l letter) file(tx store.Tx) error {
	id, err := tx.Next(lettersBucket)
	if err != nil {
		return err
	}
	return l.save(tx, id)
}

// save keeps a letter that waits.
func (l letter) save(tx store.Tx, id uint64) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := tx.Put(lettersBucket, number(id), b); err != nil {
		return err
	}
	return tx.Put(dueBucket, l.dueKey(id), []byte{})
}

// remove takes a letter out of what waits.
func (l letter) remove(tx store.Tx, id uint64) error {
	if err := tx.Delete(dueBucket, l.dueKey(id)); err != nil {
		return err
	}
	return tx.Delete(lettersBucket, number(id))
}

// bury moves a letter to the dead.
func (l letter) bury(tx store.Tx, id uint64) error {
	if err := l.remove(tx, id); err != nil {
		return err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return tx.Put(deadBucket, number(id), b)
}

// trim forgets the oldest of too many dead letters, and returns how many.
func trim(tx store.Tx) (int, error) {
	var dead [][]byte
	if err := tx.Scan(deadBucket, nil, func(k, _ []byte) (bool, error) {
		dead = append(dead, slices.Clone(k))
		return true, nil
	}); err != nil {
		return 0, err
	}
	many := max(0, len(dead)-MaxDead)
	for _, k := range dead[:many] {
		if err := tx.Delete(deadBucket, k); err != nil {
			return 0, err
		}
	}
	return many, nil
}

// load reads a letter of a bucket. ok is false if there is none.
func load(tx store.Tx, bucket string, id uint64) (l letter, ok bool, err error) {
	b := tx.Get(bucket, number(id))
	if b == nil {
		return letter{}, false, nil
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return letter{}, false, fmt.Errorf("reading notification %d: %w", id, err)
	}
	return l, true, nil
}

// wants reports whether a channel is to be told. Of an emergency each one is.
func (c *channel) wants(n Note) bool {
	if n.Kind == Emergency {
		return true
	}
	return (len(c.Kinds) == 0 || slices.Contains(c.Kinds, n.Kind)) && (c.Targets == nil || slices.Contains(c.Targets, n.Target))
}

// bounded cuts what is too long to keep.
func (n Note) bounded() Note {
	n.Target, n.Who, n.By = clip(n.Target, keptName), clip(n.Who, keptName), clip(n.By, keptName)
	n.Summary, n.Reason, n.Needs = clip(n.Summary, keptText), clip(n.Reason, keptText), clip(n.Needs, keptText)
	n.At, n.Expires = n.At.UTC(), n.Expires.UTC()
	to := n.To
	n.To = nil
	for _, r := range to {
		n.To = append(n.To, Recipient{clip(r.ID, keptName), clip(r.Name, keptName), clip(r.Email, keptName)})
	}
	return n
}

// newKey is a name that no other letter has, also of a store that is long gone.
func newKey() string {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		panic(err) // documented never to happen
	}
	return hex.EncodeToString(b)
}

// ring tells Run that there may be something new.
func (o *Outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Dead lists the letters that were given up, oldest first.
func (o *Outbox) Dead(ctx context.Context) ([]bastion.Letter, error) {
	var all []bastion.Letter
	err := o.db.View(func(tx store.Tx) error {
		return tx.Scan(deadBucket, nil, func(k, v []byte) (bool, error) {
			var l letter
			if err := json.Unmarshal(v, &l); err != nil {
				return false, err
			}
			all = append(all, bastion.Letter{ID: binary.BigEndian.Uint64(k), Channel: l.Channel, Kind: string(l.Note.Kind), Request: l.Note.Request, Target: l.Note.Target,
				To: l.To.Email, At: l.Note.At, Attempts: l.Attempts, Last: l.Last, Error: l.Error})
			return true, ctx.Err()
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing undelivered notifications: %w", err)
	}
	return all, nil
}

// Retry delivers a dead letter after all, as if it were new, under the key that it
// had. It is bastion.ErrNotFound if there is none of that number.
func (o *Outbox) Retry(ctx context.Context, id uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := o.db.Update(func(tx store.Tx) error {
		l, ok, err := load(tx, deadBucket, id)
		if err != nil {
			return err
		}
		if !ok {
			return bastion.ErrNotFound
		}
		if o.named(l.Channel) == nil {
			return fmt.Errorf("channel %q is not in the configuration any more", l.Channel)
		}
		l.Attempts, l.Due = 0, atOnce
		if err := tx.Delete(deadBucket, number(id)); err != nil {
			return err
		}
		return l.save(tx, id)
	})
	if err != nil {
		return fmt.Errorf("notification %d: %w", id, err)
	}
	o.ring()
	return nil
}

// Counts says how each channel fares, in the order of the configuration.
func (o *Outbox) Counts(ctx context.Context) ([]bastion.Delivery, error) {
	dead, err := o.Dead(ctx)
	if err != nil {
		return nil, err
	}
	var all []bastion.Delivery
	err = o.db.View(func(tx store.Tx) error {
		all = nil
		for _, ch := range o.channels {
			c := bastion.Delivery{Channel: ch.Name}
			from := laneOf(ch.Name, Emergency)
			if err := tx.Scan(dueBucket, from[:], func(k, _ []byte) (bool, error) {
				if string(k[:sha256.Size]) != string(from[:sha256.Size]) {
					return false, nil
				}
				c.Waiting++
				return true, ctx.Err()
			}); err != nil {
				return err
			}
			all = append(all, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting notifications: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range all {
		c := &all[i]
		for _, l := range dead {
			if l.Channel == c.Channel {
				c.Dead++
			}
		}
		t := o.tally[c.Channel]
		c.Delivered, c.Failed, c.Error, c.At = t.delivered, t.failed, t.err, t.at
	}
	return all, nil
}

func (o *Outbox) named(channel string) *channel {
	for _, c := range o.channels {
		if c.Name == channel {
			return c
		}
	}
	return nil
}

var errTwice = errors.New("internal error: the outbox is emptied by two at once")
