package bastion

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// RequestState is where a request stands. The zero state is none.
type RequestState string

// The states. Pending and Approved are open; the others are ends.
const (
	Pending   RequestState = "pending"
	Approved  RequestState = "approved"
	Used      RequestState = "used"
	Denied    RequestState = "denied"
	Expired   RequestState = "expired"
	Withdrawn RequestState = "withdrawn"
	Revoked   RequestState = "revoked" // was approved, and ended before its time
	Closed    RequestState = "closed"  // a review that somebody did
)

// RequestKind is what a request asks for. The zero kind is an operation.
type RequestKind string

// The kinds of request.
const (
	KindOperation RequestKind = "operation" // exactly this, once
	KindAccess    RequestKind = "access"    // a bundle on a target, for a time
	KindTask      RequestKind = "task"      // the steps of a task, once each
	KindReview    RequestKind = "review"    // that somebody looks at what an emergency was used for
)

// Open reports whether the request can still lead to an execution.
func (s RequestState) Open() bool { return s == Pending || s == Approved }

// Verdict is what a vote says.
type Verdict string

// The verdicts.
const (
	VoteApprove Verdict = "approve"
	VoteDeny    Verdict = "deny"
	// VoteComment decides nothing.
	VoteComment Verdict = "comment"
)

// Vote is one person's answer to a request.
type Vote struct {
	Who     Identity  `json:"who"`
	Roles   []string  `json:"roles"` // the roles that they held when they voted
	Verdict Verdict   `json:"verdict"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
	Origin  Origin    `json:"origin"`
	Session string    `json:"session"`
}

// Request is a question to approvers: about exactly one operation, access for a time, a
// task, or what an emergency was used for.
type Request struct {
	ID       uint64        `json:"id"`
	Kind     RequestKind   `json:"kind,omitempty"`
	State    RequestState  `json:"state"`
	Who      Identity      `json:"who"`
	Origin   Origin        `json:"origin"`
	Session  string        `json:"session"`
	Target   string        `json:"target"`
	Verb     Verb          `json:"verb"`
	Actions  []Action      `json:"actions"`
	Text     string        `json:"text"`             // exactly what runs; for other kinds, what is asked for
	Params   []string      `json:"params,omitempty"` // its parameters, for people
	Digest   string        `json:"digest"`
	Settings string        `json:"settings,omitempty"`
	Summary  string        `json:"summary"`
	Rule     string        `json:"rule"`
	Needs    Needs         `json:"needs"`
	Holds    time.Duration `json:"holds,omitempty"` // how long an approval may be used again; 0 means once
	Reason   string        `json:"reason"`
	// NoReason: none was given, and Reason says so.
	NoReason bool      `json:"no_reason,omitempty"`
	Preview  Preview   `json:"preview"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"` // end of waiting; of use, once approved
	Ended    time.Time `json:"ended,omitzero"`
	EndedBy  string    `json:"ended_by,omitempty"`  // name of who withdrew or revoked it
	EndedFor string    `json:"ended_for,omitempty"` // why it was revoked, or no longer counted
	Votes    []Vote    `json:"votes,omitempty"`
	// Access is what a request for access asks for; nil for other kinds.
	Access *AccessAsked `json:"access,omitempty"`
	// OtherTeam: an approver must share no team with the requester.
	OtherTeam bool `json:"other_team,omitempty"`
	// Try: policy lets those who decide have it tried.
	Try bool `json:"try,omitempty"`
	// Seen is who of those that can decide has looked at it, oldest first.
	Seen []Seen `json:"seen,omitempty"`
	// Approvers are the names of people known to be able to approve. It is filled
	// in for the reader and not kept.
	Approvers []string `json:"approvers,omitempty"`
	// Yours reports that the reader may vote on it. It is filled in for the reader.
	Yours bool `json:"yours"`
}

// End says how the request ended, and what whoever asked can do next. Of one that has
// not ended it says that.
func (r Request) End() string {
	name := fmt.Sprintf("request %d", r.ID)
	by, because := "", ""
	if r.EndedBy != "" {
		by = " by " + VisibleLine(r.EndedBy)
	}
	if r.EndedFor != "" {
		because = ": " + VisibleLine(r.EndedFor)
	}
	denied, against := "", false
	for _, v := range r.Votes {
		if against = v.Verdict == VoteDeny; against {
			denied = fmt.Sprintf(" by %s: %s", VisibleLine(v.Who.Name), VisibleLine(v.Reason))
			break
		}
	}
	switch {
	case r.State == Denied:
		return name + " was denied" + denied + "; change it, then ask again"
	case r.State == Expired && because != "":
		return name + " was approved, but counts no more" + because + "; ask again"
	case r.State == Expired:
		return name + " was not approved in time; ask again, and tell those who can approve"
	case r.State == Withdrawn:
		return name + " was withdrawn" + by + "; ask again if it is still needed"
	case r.State == Revoked && against:
		return name + " was taken back" + denied + "; talk to them before you ask again"
	case r.State == Revoked:
		return name + " was revoked" + by + because + "; ask again if it is still needed"
	case r.State == Used:
		return name + " was approved and has been used; ask again to do the same once more"
	case r.State == Closed && against:
		return fmt.Sprintf("review %d was closed%s; something was found to be wrong, so talk to them", r.ID, denied)
	case r.State == Closed:
		return fmt.Sprintf("review %d was closed and found all in order; nothing is left to do", r.ID)
	case r.State == Approved:
		return name + " is approved and can be used"
	case r.State == Pending:
		return name + " still waits for approval"
	}
	return fmt.Sprintf("%s is %s", name, r.State)
}

// Seen is a look at a request by somebody who can decide it.
type Seen struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// AccessAsked is what a request for access asks for.
type AccessAsked struct {
	Bundle string        `json:"bundle"`
	For    time.Duration `json:"for"`
	// From is when it begins; zero: when it is approved.
	From time.Time `json:"from,omitzero"`
	// Window limits it to times of the week, such as "mon-fri 09:00-17:00 Europe/Berlin".
	Window string `json:"window,omitempty"`
	// Emergency: it began at once, and is reviewed afterwards.
	Emergency bool `json:"emergency,omitempty"`
}

// Terms are what policy says of access that one can ask for.
type Terms struct {
	Bundle string `json:"bundle"`
	Reason string `json:"reason,omitempty"` // why it has to be asked for
	// Max is the longest time for which it is granted.
	Max       time.Duration `json:"max"`
	Needs     Needs         `json:"needs,omitempty"`
	Within    time.Duration `json:"within,omitempty"` // how long a request stays open
	OtherTeam bool          `json:"other_team,omitempty"`
	// Emergency: it is granted at once, alarms people, and Needs are those who
	// review it afterwards.
	Emergency bool `json:"emergency,omitempty"`
}

// AccessQuestion is what a session asks of approvers about access.
type AccessQuestion struct {
	Who     Identity
	Origin  Origin
	Session string
	Target  string
	Asked   AccessAsked
	Terms   Terms
	Reason  string
}

// Grant is access that was approved. It is a record with an end, looked at for each
// operation, and nothing that somebody carries around.
type Grant struct {
	Request   uint64    `json:"request"`
	Target    string    `json:"target"`
	Bundle    string    `json:"bundle"`
	Until     time.Time `json:"until"`
	Emergency bool      `json:"emergency,omitempty"`
}

// Question is what a session asks of approvers.
type Question struct {
	Who      Identity
	Origin   Origin
	Session  string
	Op       Operation
	Decision Decision
	Reason   string
	NoReason bool // Reason only stands for one
	Preview  Preview

	known *Preview // from deciding, if that took one
	said  Event    // the decision, as it was recorded
}

// Past is what became of earlier requests like one, for those who look at it. Reviews
// do not count, and beside a review stands the past of what it looks at.
type Past struct {
	Person Tally `json:"person"` // all that the requester asked for
	Target Tally `json:"target"` // all that was asked for on the target
	Shape  Tally `json:"shape"`  // by anybody, of the same shape: target, verb and resources, or target and bundle
	Same   Tally `json:"same"`   // by the requester, of the same shape
}

// Lines says the past of a request in lines for people.
func (p Past) Lines(r Request) []string {
	who, where := VisibleLine(r.Who.Name), VisibleLine(r.Target)
	return []string{
		"like this, by " + who + ": " + p.Same.String(),
		"like this, by anybody: " + p.Shape.String(),
		"all by " + who + ": " + p.Person.String(),
		"all on " + where + ": " + p.Target.String(),
	}
}

// Tally counts requests that have ended.
type Tally struct {
	Total     int `json:"total"`
	Approved  int `json:"approved"` // were approved at some time, however they ended
	Emergency int `json:"emergency"`

	// How they ended; the sum of these is Total.
	Used      int `json:"used"`
	Denied    int `json:"denied"`
	Expired   int `json:"expired"` // approved ones among them were not used, or access that came to its end
	Withdrawn int `json:"withdrawn"`
	Revoked   int `json:"revoked"`
	Closed    int `json:"closed"`

	Last time.Time `json:"last,omitzero"` // when the latest one ended
}

// String says the tally in words: "7: 5 used, 2 denied".
func (t Tally) String() string {
	if t.Total == 0 {
		return "none"
	}
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{t.Used, "used"}, {t.Denied, "denied"}, {t.Expired, "expired"}, {t.Withdrawn, "withdrawn"}, {t.Revoked, "revoked"}, {t.Closed, "closed"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	if t.Emergency > 0 {
		parts = append(parts, fmt.Sprintf("of these %d in an emergency", t.Emergency))
	}
	s := fmt.Sprintf("%d: %s", t.Total, strings.Join(parts, ", "))
	if !t.Last.IsZero() {
		s += "; last on " + t.Last.UTC().Format("2006-01-02")
	}
	return s
}

// RequestFilter chooses requests.
type RequestFilter struct {
	Open bool // only those that are pending or approved
	Mine bool // only the reader's own
	// Decide: only those that the reader can vote on.
	Decide bool
	Limit  int // newest first; 0 means 100
}

// Ballot is a vote to be cast, or an approval to be revoked: then Verdict is empty.
type Ballot struct {
	Request uint64
	Verdict Verdict
	Reason  string
	Who     Identity
	Origin  Origin
	Session string
}

// Approvals keeps requests, votes and their use.
type Approvals interface {
	// Find returns the open request of this person for exactly this operation,
	// or of an approval that still holds. ok is false if there is none.
	Find(ctx context.Context, who Identity, op Operation) (r Request, ok bool, err error)
	// File makes a request, or returns the open one for the same person and operation:
	// with the reason that is given now, if it had none.
	File(ctx context.Context, q Question) (Request, error)
	// Wait returns once the request is approved. update, which may be nil, is
	// called with each state on the way. A request that ends otherwise is a
	// *NotApprovedError. When ctx ends, the request stays as it is.
	Wait(ctx context.Context, id uint64, update func(Request)) (Request, error)
	// Use takes an approval for exactly this question. It checks, at this moment,
	// that every vote still counts, and marks the request before it returns nil,
	// so that a single-use approval is used at most once.
	Use(ctx context.Context, id uint64, q Question) (Request, error)
	// Requests lists what the reader may see: own requests, those that they may
	// decide, and all of them for auditors.
	Requests(ctx context.Context, who Identity, f RequestFilter) ([]Request, error)
	// Request returns one request, or ErrNotFound.
	Request(ctx context.Context, who Identity, id uint64) (Request, error)
	// Vote casts a vote.
	Vote(ctx context.Context, b Ballot) (Request, error)
	// FileAccess makes a request for access, or returns the open one for the same. One
	// for an emergency is granted at once, with an alarm, and opens a review.
	FileAccess(ctx context.Context, q AccessQuestion) (Request, error)
	// Grants are what the identity has been granted and may use at this moment. It
	// is asked before each operation, and is quick.
	Grants(ctx context.Context, who Identity) ([]Grant, error)
	// Trial is what it takes to try what a request asks for. It is for those who may
	// vote on it, while they may.
	Trial(ctx context.Context, who Identity, id uint64) (Trial, error)
	// Past counts what became of earlier requests like one that the reader may see.
	// However many there were, it is quick.
	Past(ctx context.Context, who Identity, id uint64) (Past, error)
	// Revoke ends access that was granted, at once: one's own, or what one could
	// have decided.
	Revoke(ctx context.Context, b Ballot) (Request, error)
	// Withdraw takes back one's own request.
	Withdraw(ctx context.Context, who Identity, id uint64) (Request, error)
	// Watch returns a channel that receives after any request changed, newest
	// state wins, and a function that ends the watch.
	Watch() (<-chan struct{}, func())
}
