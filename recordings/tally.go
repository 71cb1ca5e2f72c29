package recordings

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// tally is what changes in a recording while it lives. It is kept by itself, so
// that a fold need not rewrite the description, which gets it when it is sealed.
type tally struct {
	next    uint64 // number of the next frame to fold
	records uint64 // of what the person saw
	at      uint64 // of the last chunk, in nanoseconds
	bytes   uint64 // of output
	offset  uint64 // of the last event, in nanoseconds

	operations, denied, asked, votes uint64

	targets []string
	// asking are digests of operations that were asked for and whose approval was
	// not used yet: they are decided once more, and counted once.
	asking []string
}

func (t *tally) numbers() [9]*uint64 {
	return [...]*uint64{&t.next, &t.records, &t.at, &t.bytes, &t.offset, &t.operations, &t.denied, &t.asked, &t.votes}
}

func (t tally) encode() []byte {
	b := make([]byte, 0, 64)
	for _, n := range t.numbers() {
		b = binary.AppendUvarint(b, *n)
	}
	return appendList(appendList(b, t.targets, appendPlain), t.asking, appendPlain)
}

var errTally = errors.New("reading what a living recording has: it makes no sense")

func parseTally(v []byte) (t tally, err error) {
	in, r := input{b: v}, runReader{}
	for _, n := range t.numbers() {
		*n = in.uvarint()
	}
	t.targets, t.asking = r.list(&in, false), r.list(&in, false)
	if in.bad || len(in.b) > 0 || t.at > math.MaxInt64 || t.bytes > math.MaxInt64 || t.offset > math.MaxInt64 {
		return tally{}, errTally
	}
	return t, nil
}

// loadTally returns what a living recording has. ok is false for others.
func loadTally(tx store.Tx, id string) (t tally, ok bool, err error) {
	v := tx.Get(tallyBucket, []byte(id))
	if v == nil {
		return t, false, nil
	}
	t, err = parseTally(v)
	return t, err == nil, err
}

func (t tally) save(tx store.Tx, id string) error { return tx.Put(tallyBucket, []byte(id), t.encode()) }

// place is how far the store is with the session's frames.
func (t tally) place() place { return place{t.next, t.at, t.bytes} }

// describe brings the tally into a recording's description.
func (t tally) describe(e *entry) {
	e.Length, e.Bytes = time.Duration(max(t.at, t.offset)), int64(t.bytes)
	e.Operations, e.Denied, e.Asked, e.Votes = int(t.operations), int(t.denied), int(t.asked), int(t.votes)
	e.Targets = t.targets
}

// counted is what counts of an event.
type counted struct {
	kind           bastion.EventKind
	effect         string
	failed         bool
	digest, target string
}

// counts returns what counts of the event, if something does.
func counts(e *bastion.Event) (c counted, ok bool) {
	switch e.Kind {
	case bastion.EventDecision, bastion.EventUnread, bastion.EventVote, bastion.EventUse:
		return counted{e.Kind, e.Effect, e.Error != "", e.Digest, e.Target}, true
	}
	return c, false
}

// count counts what the recording's own person did.
func (t *tally) count(c counted) {
	switch c.kind {
	case bastion.EventUse:
		t.answered(c.digest)
		return
	case bastion.EventVote:
		t.votes++
		return // its target is where others work
	case bastion.EventDecision:
		t.decided(c)
	}
	if c.target != "" && !slices.Contains(t.targets, c.target) {
		t.targets = append(slices.Clip(t.targets), c.target)
	}
}

// maxAsking is how many operations a session may have asked for at a time
// without being counted twice.
const maxAsking = 64

// decided counts a decision. An operation that needs approval is decided when it
// is asked for, and again when it was approved: that is one operation, until its
// approval is used or the second decision is another one.
func (t *tally) decided(c counted) {
	asked := c.effect == bastion.Ask.String() && !c.failed
	again := slices.Contains(t.asking, c.digest)
	if !again {
		t.operations++
	}
	switch {
	case asked && again:
		return
	case asked:
		t.asked++
		if c.digest != "" {
			t.asking = append(slices.Clone(t.asking[max(0, len(t.asking)-maxAsking+1):]), c.digest)
		}
		return
	case c.effect != bastion.Allow.String() || c.failed:
		t.denied++
	}
	t.answered(c.digest)
}

// answered forgets that an operation was asked for.
func (t *tally) answered(digest string) {
	if slices.Contains(t.asking, digest) {
		t.asking = slices.DeleteFunc(slices.Clone(t.asking), func(d string) bool { return d == digest })
	}
}
