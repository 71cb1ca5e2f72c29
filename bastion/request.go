package bastion

import (
	"context"
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
)

// Open reports whether the request can still lead to an execution.
func (s RequestState) Open() bool { return s == Pending || s == Approved }

// Verdict is what a vote says.
type Verdict string

// The verdicts.
const (
	VoteApprove Verdict = "approve"
	VoteDeny    Verdict = "deny"
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

// Request is a question to approvers about exactly one operation.
type Request struct {
	ID       uint64        `json:"id"`
	State    RequestState  `json:"state"`
	Who      Identity      `json:"who"`
	Origin   Origin        `json:"origin"`
	Session  string        `json:"session"`
	Target   string        `json:"target"`
	Verb     Verb          `json:"verb"`
	Actions  []Action      `json:"actions"`
	Text     string        `json:"text"` // exactly what runs
	Digest   string        `json:"digest"`
	Settings string        `json:"settings,omitempty"`
	Summary  string        `json:"summary"`
	Rule     string        `json:"rule"`
	Needs    Needs         `json:"needs"`
	Holds    time.Duration `json:"holds,omitempty"` // how long an approval may be used again; 0 means once
	Reason   string        `json:"reason"`
	Preview  Preview       `json:"preview"`
	Created  time.Time     `json:"created"`
	Expires  time.Time     `json:"expires"` // end of waiting; of use, once approved
	Ended    time.Time     `json:"ended,omitzero"`
	Votes    []Vote        `json:"votes,omitempty"`
	// Approvers are the names of people known to be able to approve. It is filled
	// in for the reader and not kept.
	Approvers []string `json:"approvers,omitempty"`
	// Yours reports that the reader may vote on it. It is filled in for the reader.
	Yours bool `json:"yours"`
}

// Question is what a session asks of approvers.
type Question struct {
	Who      Identity
	Origin   Origin
	Session  string
	Op       Operation
	Decision Decision
	Reason   string
	Preview  Preview
}

// RequestFilter chooses requests.
type RequestFilter struct {
	Open bool // only those that are pending or approved
	Mine bool // only the reader's own
	// Decide: only those that the reader can vote on.
	Decide bool
	Limit  int // newest first; 0 means 100
}

// Ballot is a vote to be cast. Typed is the request's number as the person typed
// it, so that no stray key can approve.
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
	// File makes a request, or returns the open one for the same person and operation.
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
	// Withdraw takes back one's own request.
	Withdraw(ctx context.Context, who Identity, id uint64) (Request, error)
	// Watch returns a channel that receives after any request changed, newest
	// state wins, and a function that ends the watch.
	Watch() (<-chan struct{}, func())
}
