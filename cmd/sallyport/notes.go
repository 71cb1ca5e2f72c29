package main

import (
	"slices"

	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/store"
)

// tell puts what happened to a request into the outbox, in the transaction in
// which it happens.
func (s *server) tell(tx store.Tx, n approval.Note) error {
	kind := notify.Kind(n.Kind)
	if n.Kind == approval.NoteFiled {
		kind = notify.Request
	}
	// What is to be decided concerns those who can; what was, who asked; the rest both.
	to := []approval.Party{n.Requester}
	switch n.Kind {
	case approval.NoteFiled, approval.NoteEmergency, approval.NoteReview:
		to = n.Approvers
	case approval.NoteComment, approval.NoteWithdrawn, approval.NoteRevoked, approval.NoteReviewed:
		to = append(to, n.Approvers...)
	}
	to = slices.DeleteFunc(slices.Clone(to), func(p approval.Party) bool { return p.Email == "" && p.Name == "" })
	out := notify.Note{Kind: kind, Request: n.Request, Of: n.Of, Target: n.Target, Who: n.Requester.Name, By: n.By,
		Summary: n.Summary, Finding: n.Finding, At: n.At, Expires: n.Until}
	for _, p := range to {
		out.To = append(out.To, notify.Recipient{ID: p.ID, Name: p.Name, Email: p.Email})
	}
	return s.notes.Put(tx, out)
}
