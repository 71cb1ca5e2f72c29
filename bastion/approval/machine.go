package approval

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// act is what somebody does to a request.
type act string

const (
	file     act = "file"
	approve  act = "approve"
	deny     act = "deny"
	use      act = "use"
	expire   act = "expire" // its time is over
	lapse    act = "lapse"  // approved, but the approval no longer counts
	withdraw act = "withdraw"
)

// action is an act with what comes with it.
type action struct {
	act    act
	vote   bastion.Vote  // of approve and deny
	within time.Duration // of file: how long the request waits
}

// facts are what the machine needs to know of the world. The zero facts
// allow nothing but to file and, since the zero time is before every deadline,
// expire nothing.
type facts struct {
	now   time.Time
	asker bool // the author is the very identity that asked
	owner bool // the author answers for the service that asked
	may   bool // the author holds a needed role that carries the duty to approve
	apart bool // the author is another person than the requester
	voted bool // this person has voted before, with whatever account
	// covered tells that the votes that count at this moment, this one included,
	// cover the needs; for a use also those that policy has now. why says what is
	// missing.
	covered bool
	why     string
	exact   bool          // what would run is exactly what was asked for
	holds   time.Duration // how long policy lets an approval be used again, now
}

// useful is how long a single-use approval can be used at least, so that one
// given in the last minute is not lost.
const useful = 15 * time.Minute

var (
	errOwn   = errors.New("you cannot approve your own request; another person has to")
	errDeny  = errors.New("you cannot deny your own request; withdraw it instead")
	errVoted = errors.New("you already voted on this request, and one person has one vote; you can still deny it")
	errExact = errors.New("what would run is not exactly what was approved, so it does not run; ask again")
)

// lapseError refuses a use because the approval no longer counts, which ends it.
type lapseError struct {
	request bastion.Request
	why     string
}

func (e *lapseError) Error() string {
	return fmt.Sprintf("the approval of request %d no longer counts: %s; ask again", e.request.ID, e.why)
}

// Unwrap makes it one of the ways in which a request is not approved.
func (e *lapseError) Unwrap() error { return &bastion.NotApprovedError{Request: e.request} }

// next is the whole life of a request: what becomes of r when somebody does a.
// It reads nothing but its arguments and changes none of them. An error leaves
// the request as it was.
//
//	         file      approve           deny    use            expire   lapse    withdraw
//	(none)   Pending   -                 -       -              -        -        -
//	Pending  -         Pending/Approved  Denied  -              Expired  -        Withdrawn
//	Approved -         Approved          Denied  Used/Approved  Expired  Expired  Withdrawn
//	others   -         -                 -       -              -        -        -
//
// A denial of an approved request revokes it. Nobody votes twice, but who
// approved may still deny: changing one's mind is always allowed in the
// direction of refusal.
func next(r record, a action, f facts) (record, error) {
	r.Votes = slices.Clone(r.Votes)
	if a.act == file {
		if r.State != "" || a.within <= 0 {
			return r, fmt.Errorf("internal error: request %d cannot be filed", r.ID)
		}
		r.State, r.Created, r.Expires = bastion.Pending, f.now, f.now.Add(a.within)
		return r, nil
	}
	if !r.State.Open() {
		return r, ended(r)
	}
	due := !f.now.Before(r.Expires)
	if due && a.act != expire {
		return r, fmt.Errorf("request %d has expired", r.ID)
	}
	switch a.act {
	case approve, deny:
		if err := mayVote(r, a.act, f); err != nil {
			return r, err
		}
		r.Votes = append(r.Votes, a.vote)
		switch {
		case a.act == deny:
			r.end(bastion.Denied, f.now)
		case r.State == bastion.Pending && f.covered:
			r.State, r.Granted = bastion.Approved, f.now
			if r.Holds > 0 {
				r.Expires = f.now.Add(r.Holds) // from the approval, whenever it is used
			} else if least := f.now.Add(useful); least.After(r.Expires) {
				r.Expires = least
			}
		}
		return r, nil
	case use:
		return used(r, f)
	case expire:
		if !due {
			return r, fmt.Errorf("internal error: request %d is not due", r.ID)
		}
		r.end(bastion.Expired, f.now)
		return r, nil
	case lapse:
		if r.State != bastion.Approved {
			return r, fmt.Errorf("internal error: request %d has no approval to lapse", r.ID)
		}
		r.end(bastion.Expired, f.now)
		return r, nil
	case withdraw:
		if !f.asker && !f.owner {
			return r, notFound(r.ID)
		}
		r.end(bastion.Withdrawn, f.now)
		return r, nil
	}
	return r, fmt.Errorf("internal error: unknown act %q", a.act)
}

func mayVote(r record, a act, f facts) error {
	switch own := f.asker || f.owner || !f.apart; {
	case own && a == deny:
		return errDeny
	case own:
		return errOwn
	case !f.may:
		return fmt.Errorf("request %d is not yours to decide: it needs %s", r.ID, r.Needs)
	case f.voted && a == approve:
		return errVoted
	}
	return nil
}

func used(r record, f facts) (record, error) {
	switch {
	case !f.asker:
		return r, notFound(r.ID)
	case r.State != bastion.Approved:
		return r, fmt.Errorf("request %d is not approved yet", r.ID)
	case !f.exact:
		return r, errExact
	case !f.covered:
		return r, &lapseError{r.Request, f.why}
	}
	// The stricter of what was approved and what policy says now.
	holds := min(r.Holds, f.holds)
	switch {
	case holds <= 0 && r.Uses > 0:
		return r, &lapseError{r.Request, "the policy now asks for an approval each time"}
	case holds > 0 && !f.now.Before(r.Granted.Add(holds)):
		return r, &lapseError{r.Request, fmt.Sprintf("the policy now lets an approval hold for %s", holds)}
	}
	r.Uses++
	if holds <= 0 {
		r.end(bastion.Used, f.now)
	}
	return r, nil
}

// end ends the request. From then on only the text that is fit to be recorded
// is kept: an approver had to see the secret in a text, history has not.
func (r *record) end(s bastion.RequestState, now time.Time) {
	r.State, r.Ended = s, now
	if r.Recorded != "" {
		r.Text, r.Recorded = r.Recorded, ""
	}
}

// ended says why nothing more can be done to a request.
func ended(r record) error {
	switch r.State {
	case bastion.Used:
		return fmt.Errorf("request %d has been used already", r.ID)
	case bastion.Denied:
		for _, v := range r.Votes {
			if v.Verdict == bastion.VoteDeny {
				return fmt.Errorf("request %d was denied by %s already", r.ID, bastion.VisibleLine(v.Who.Name))
			}
		}
		return fmt.Errorf("request %d was denied already", r.ID)
	case bastion.Expired:
		return fmt.Errorf("request %d has expired", r.ID)
	case bastion.Withdrawn:
		return fmt.Errorf("request %d was withdrawn", r.ID)
	}
	return notFound(r.ID)
}

// notFound is the same for what does not exist and for what one may not see.
func notFound(id uint64) error { return fmt.Errorf("request %d: %w", id, bastion.ErrNotFound) }
