package approval

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// add counts a request that has ended.
func add(t *bastion.Tally, r record) {
	t.Total++
	if !r.Granted.IsZero() {
		t.Approved++
	}
	if r.emergency() {
		t.Emergency++
	}
	switch r.State {
	case bastion.Used:
		t.Used++
	case bastion.Denied:
		t.Denied++
	case bastion.Expired:
		t.Expired++
	case bastion.Withdrawn:
		t.Withdrawn++
	case bastion.Revoked:
		t.Revoked++
	default:
		t.Closed++
	}
	t.Last = r.Ended
}

// Past counts what became of earlier requests like one that the reader may see. It
// reads four counts, however many requests there were.
func (s *Service) Past(ctx context.Context, who bastion.Identity, id uint64) (h bastion.Past, err error) {
	held := s.c.Roles(who)
	err = s.read(ctx, func(v *view) error {
		r, err := v.record(id)
		if err != nil {
			return err
		}
		if !visible(r, who, held) {
			return notFound(id)
		}
		places := r.past()
		for i, t := range []*bastion.Tally{&h.Person, &h.Target, &h.Shape, &h.Same} {
			if *t, err = tallied(v.tx, places[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return h, err
}

// past is where requests like this one are counted.
func (r record) past() [4]subject {
	shape := r.shape()
	return [...]subject{requester(r.Who.ID()), subjectOf("target", r.Target), subjectOf("shape", shape), subjectOf("same", digest(r.Who.ID(), shape))}
}

// shape is what requests that do the same to the same have in common, whatever the
// values in their texts. A review's is that of what it looks at.
func (r record) shape() string {
	if r.Access != nil {
		return digest("access", r.Target, r.Access.Bundle)
	}
	parts := []string{"operation", r.Target, string(r.Verb)}
	actions := slices.Clone(r.Actions)
	slices.SortFunc(actions, func(a, b bastion.Action) int {
		return cmp.Or(cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Resource, b.Resource))
	})
	for _, a := range slices.Compact(actions) {
		parts = append(parts, string(a.Verb), a.Resource)
	}
	return digest(parts...)
}

func tallied(tx store.Tx, place subject) (t bastion.Tally, err error) {
	b := tx.Get(pastBucket, place[:])
	if b == nil {
		return t, nil
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("reading what became of earlier requests: %w", err)
	}
	return t, nil
}

// remember counts a request that has just ended.
func remember(tx store.Tx, r record) error {
	if r.Kind == bastion.KindReview {
		return nil
	}
	for _, place := range r.past() {
		t, err := tallied(tx, place)
		if err != nil {
			return err
		}
		add(&t, r)
		b, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("counting requests: %w", err)
		}
		if err := tx.Put(pastBucket, place[:], b); err != nil {
			return err
		}
	}
	return nil
}
