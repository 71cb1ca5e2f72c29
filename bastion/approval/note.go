package approval

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// NoteKind says what a note tells.
type NoteKind string

// The kinds of note. The zero kind is none.
const (
	NoteFiled     NoteKind = "filed"     // somebody asks
	NoteApproved  NoteKind = "approved"  // enough approved
	NoteDenied    NoteKind = "denied"    // somebody denied
	NoteComment   NoteKind = "comment"   // somebody has something to say
	NoteUsed      NoteKind = "used"      // an approval was used, for the first time
	NoteExpired   NoteKind = "expired"   // nobody decided in time, or an approval or access has ended
	NoteSoon      NoteKind = "ends-soon" // access ends within Soon
	NoteWithdrawn NoteKind = "withdrawn" // who asked does not want it any more
	NoteRevoked   NoteKind = "revoked"   // what was approved was taken back
	NoteEmergency NoteKind = "emergency" // somebody took access without anybody's approval
	NoteReview    NoteKind = "review"    // an emergency is to be reviewed
	NoteReviewed  NoteKind = "reviewed"  // it was
)

// Party is somebody whom a note concerns. Names are fit to be shown.
type Party struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

// Note tells that something happened to a request. It holds no statement's text, no
// parameter, no reason and no comment, so that it may leave the bastion, and every
// text in it is fit to be shown. It is no way to decide anything.
type Note struct {
	Kind    NoteKind             `json:"kind"`
	At      time.Time            `json:"at"`
	Request uint64               `json:"request"`
	Of      uint64               `json:"of,omitempty"`     // of a review: the emergency
	Review  uint64               `json:"review,omitempty"` // of an emergency: its review
	What    bastion.RequestKind  `json:"what"`
	State   bastion.RequestState `json:"state"`
	Target  string               `json:"target"`
	// Summary is what is asked for: verb and resources, or bundle and time.
	Summary   string `json:"summary"`
	Requester Party  `json:"requester"`
	By        string `json:"by,omitempty"` // name of who did it; empty for the bastion itself
	// Approvers are those who decide it, by name. Who voted already is among them.
	Approvers []Party `json:"approvers,omitempty"`
	// Until is when waiting ends, or what was granted; zero for a review.
	Until time.Time `json:"until,omitzero"`
	// Finding: a review said that something was wrong.
	Finding bool `json:"finding,omitempty"`
}

// noteOfVote is what a vote is worth telling as.
func noteOfVote(before, after record, a act) NoteKind {
	switch {
	case a == comment:
		return NoteComment
	case after.State == bastion.Closed:
		return NoteReviewed
	case after.State == bastion.Revoked:
		return NoteRevoked
	case after.State == bastion.Denied:
		return NoteDenied
	case after.State == bastion.Approved && before.State == bastion.Pending:
		return NoteApproved
	}
	return ""
}

// note leaves a note of what happened to a request, if anybody wants one.
func (w *work) note(r record, by author, kind NoteKind) error {
	if kind == "" || w.people == nil {
		return nil
	}
	n := Note{Kind: kind, At: w.now, Request: r.ID, Of: r.Of, Review: r.Review, What: r.Kind, State: r.State, Target: r.Target,
		Summary: r.told(), Requester: party(r.Who), Until: r.Expires, By: bastion.VisibleLine(by.who.Name)}
	n.Finding = r.State == bastion.Closed && slices.ContainsFunc(r.Votes, func(v bastion.Vote) bool { return v.Verdict == bastion.VoteDeny })
	for _, m := range w.people.members {
		if w.people.mayDecide(r, m.who, m.roles) {
			n.Approvers = append(n.Approvers, party(m.who))
		}
	}
	slices.SortFunc(n.Approvers, func(a, b Party) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	if err := w.s.c.Notify(w.tx, n); err != nil {
		return fmt.Errorf("leaving a note of request %d: %w", r.ID, err)
	}
	return nil
}

func party(i bastion.Identity) Party {
	return Party{ID: i.ID(), Name: bastion.VisibleLine(i.Name), Email: i.Email}
}

// maxTold is how many resources a note names.
const maxTold = 5

// told is what is asked for in words that are the bastion's own, apart from the
// names of resources: a connector's summary may quote from the text.
func (r record) told() string {
	var s string
	switch {
	case r.Access != nil:
		s = r.Summary
	default:
		var resources []string
		for _, a := range r.Actions {
			if a.Resource != "" && !slices.Contains(resources, a.Resource) {
				resources = append(resources, a.Resource)
			}
		}
		s = string(r.Verb)
		if n := len(resources); n > maxTold {
			resources = append(resources[:maxTold], fmt.Sprintf("%d more", n-maxTold))
		}
		if len(resources) > 0 {
			s += " " + strings.Join(resources, ", ")
		}
	}
	return bastion.VisibleLine(s)
}
