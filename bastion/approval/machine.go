package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// act is what somebody does to a request.
type act string

const (
	file     act = "file"
	grant    act = "grant" // file access for an emergency, which is given at once
	approve  act = "approve"
	deny     act = "deny"
	comment  act = "comment"
	see      act = "see" // somebody who can decide it reads it
	use      act = "use"
	warn     act = "warn"   // access will end soon
	expire   act = "expire" // its time is over
	lapse    act = "lapse"  // approved, but the approval no longer counts
	withdraw act = "withdraw"
	revoke   act = "revoke"
)

// action is an act with what comes with it.
type action struct {
	act    act
	vote   bastion.Vote  // of approve, deny and comment, and of see who and when
	within time.Duration // of file: how long the request waits
	by     string        // of withdraw and revoke: the author's name
	why    string        // of revoke, expire and lapse
}

// facts are what the machine needs to know of the world. The zero facts
// allow nothing but to file and, since the zero time is before every deadline,
// expire nothing.
type facts struct {
	now     time.Time
	asker   bool // the author is the very identity that asked
	owner   bool // the author answers for the service that asked
	may     bool // the author holds a needed role that carries the duty to approve
	apart   bool // the author is another person than the requester
	outside bool // the author is of another team than the requester, or need not be
	voted   bool // this person has voted before, with whatever account
	reads   bool // the author may see the request
	over    bool // what a review looks at has ended
	// covered tells that the votes that count at this moment, this one included,
	// cover the needs; for a use also those that policy has now. why says what is
	// missing.
	covered bool
	why     string
	exact   bool          // what would run is exactly what was asked for
	holds   time.Duration // how long policy lets an approval be used again, now
}

// decides reports whether the author is one of those who decide the request.
func (f facts) decides() bool { return f.may && f.apart && f.outside && !f.asker && !f.owner }

// useful is how long a single-use approval can be used at least, so that one
// given in the last minute is not lost.
const useful = 15 * time.Minute

var (
	errOwn     = errors.New("you cannot approve your own request; another person has to")
	errDeny    = errors.New("you cannot deny your own request; withdraw it instead")
	errReview  = errors.New("you cannot review your own emergency; another person has to")
	errVoted   = errors.New("you already voted on this request, and one person has one vote; you can still deny it")
	errTeam    = errors.New("this has to be decided by somebody of another team than the one who asks: you share a team, or one of you is in none")
	errExact   = errors.New("what would run is not exactly what was approved, so it does not run; ask again")
	errOnTime  = errors.New("internal error: the request is not due")
	errNoLapse = errors.New("internal error: the request has no approval to lapse")
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

// life is where the kinds of request differ. Everything else is the same for all
// of them. A kind without a life cannot even be filed.
type life struct {
	// approved is what becomes of a pending request once its needs are covered.
	approved func(r *record, now time.Time)
	// denied is what a denial makes of it while it is pending; taken, once it is approved.
	denied, taken bastion.RequestState
	// used is what a use makes of it; nil if it is not there to be used.
	used func(record, facts) (record, error)
	// withdrawn says in which states the requester can take it back.
	withdrawn []bastion.RequestState
	// review: it waits until somebody has done it, whatever time that takes, and can
	// be done once what it looks at is over.
	review bool
}

// lives is the table of the kinds. A further kind is a further line.
func lives(k bastion.RequestKind) (l life, ok bool) {
	switch k {
	case bastion.KindOperation, bastion.KindTask:
		return life{approved: (*record).hold, denied: bastion.Denied, taken: bastion.Denied, used: used,
			withdrawn: []bastion.RequestState{bastion.Pending, bastion.Approved}}, true
	case bastion.KindAccess:
		return life{approved: (*record).begin, denied: bastion.Denied, taken: bastion.Revoked,
			withdrawn: []bastion.RequestState{bastion.Pending}}, true
	case bastion.KindReview:
		return life{approved: (*record).close, denied: bastion.Closed, review: true}, true
	}
	return life{}, false
}

// next is the whole life of a request: what becomes of r when somebody does a.
// It reads nothing but its arguments and changes none of them. An error leaves
// the request as it was.
//
//	          file, grant       approve           deny    use            expire   lapse    withdraw   revoke
//	operation, and task, which is used when all of it is done
//	(none)    Pending           -                 -       -              -        -        -          -
//	Pending   -                 Pending/Approved  Denied  -              Expired  -        Withdrawn  -
//	Approved  -                 Approved          Denied  Used/Approved  Expired  Expired  Withdrawn  Revoked
//	access
//	(none)    Pending/Approved  -                 -       -              -        -        -          -
//	Pending   -                 Pending/Approved  Denied  -              Expired  -        Withdrawn  -
//	Approved  -                 Approved          Revoked -              Expired  Expired  -          Revoked
//	review
//	(none)    Pending           -                 -       -              -        -        -          -
//	Pending   -                 Pending/Closed    Closed  -              -        -        -          -
//	all
//	others    -                 -                 -       -              -        -        -          -
//
// Comments, looks and warnings change no state and need an open request. A denial
// of an approved request takes the approval back. Nobody votes twice, but who
// approved may still deny: changing one's mind is always allowed in the direction
// of refusal. Access for an emergency is granted with nobody's vote, so there is
// nothing about it to approve, ever: it has a review.
func next(r record, a action, f facts) (record, error) {
	r.Votes = slices.Clone(r.Votes)
	l, ok := lives(r.Kind)
	if !ok {
		return r, fmt.Errorf("internal error: request %d is of kind %q", r.ID, r.Kind)
	}
	if a.act == file || a.act == grant {
		return filed(r, a, f)
	}
	if !r.State.Open() {
		return r, ended(r)
	}
	due := !l.review && !f.now.Before(r.Expires)
	if due && a.act != expire {
		return r, fmt.Errorf("request %d has expired", r.ID)
	}
	switch a.act {
	case approve, deny:
		if err := mayVote(r, l, a.act, f); err != nil {
			return r, err
		}
		r.Votes = append(r.Votes, a.vote)
		switch {
		case a.act == deny && r.State == bastion.Pending:
			r.end(l.denied, f.now)
		case a.act == deny:
			r.end(l.taken, f.now)
		case r.State == bastion.Pending && f.covered:
			l.approved(&r, f.now)
		}
		return r, nil
	case comment:
		if !f.reads {
			return r, notFound(r.ID)
		}
		if comments(r) >= MaxComments {
			return r, fmt.Errorf("request %d has %d comments, and nobody reads more; talk to each other, then vote", r.ID, MaxComments)
		}
		r.Votes = append(r.Votes, a.vote)
		return r, nil
	case see:
		if !f.decides() || slices.Contains(r.SeenBy, a.vote.Who.ID()) {
			return r, notFound(r.ID)
		}
		r.Seen = append(slices.Clone(r.Seen), bastion.Seen{Name: a.vote.Who.Name, At: f.now})
		r.SeenBy = append(slices.Clone(r.SeenBy), a.vote.Who.ID())
		return r, nil
	case use:
		return usedBy(r, l, f)
	case warn:
		if !r.lasting() || r.Warned {
			return r, fmt.Errorf("internal error: request %d is nothing to warn of", r.ID)
		}
		r.Warned = true
		return r, nil
	case expire:
		if !due {
			return r, errOnTime
		}
		if r.State == bastion.Approved {
			r.EndedFor = a.why
		}
		r.end(bastion.Expired, f.now)
		return r, nil
	case lapse:
		if r.State != bastion.Approved {
			return r, errNoLapse
		}
		r.end(bastion.Expired, f.now)
		r.EndedFor = a.why
		return r, nil
	case withdraw:
		if !f.asker && !f.owner {
			return r, notFound(r.ID)
		}
		if !slices.Contains(l.withdrawn, r.State) {
			return r, fmt.Errorf("request %d cannot be withdrawn any more", r.ID)
		}
		r.end(bastion.Withdrawn, f.now)
		r.EndedBy = a.by
		return r, nil
	case revoke:
		switch {
		case l.review || r.State != bastion.Approved:
			return r, fmt.Errorf("request %d gives nothing that could be revoked", r.ID)
		case f.asker || f.owner || f.decides():
			r.end(bastion.Revoked, f.now)
			r.EndedBy, r.EndedFor = a.by, a.why
			return r, nil
		case f.may && f.apart:
			return r, errTeam
		}
		return r, fmt.Errorf("request %d is not yours to revoke: that is for the one who asked, and %s", r.ID, deciders(r.Needs))
	}
	return r, fmt.Errorf("internal error: unknown act %q", a.act)
}

// filed begins a request.
func filed(r record, a action, f facts) (record, error) {
	emergency := r.emergency()
	if r.State != "" || emergency != (a.act == grant) || a.act == file && a.within <= 0 {
		return r, fmt.Errorf("internal error: request %d cannot be filed", r.ID)
	}
	r.State, r.Created = bastion.Pending, f.now
	switch l, _ := lives(r.Kind); {
	case emergency:
		r.begin(f.now)
	case !l.review:
		r.Expires = f.now.Add(a.within)
	}
	return r, nil
}

func mayVote(r record, l life, a act, f facts) error {
	switch own := f.asker || f.owner || !f.apart; {
	case own && l.review:
		return errReview
	case own && a == deny:
		return errDeny
	case own:
		return errOwn
	case !f.may:
		return fmt.Errorf("request %d is not yours to decide: it needs %s", r.ID, r.Needs)
	case !f.outside:
		return errTeam
	case r.emergency() && a == approve:
		return fmt.Errorf("request %d was an emergency and needs no approval; what was done is looked at in review %d", r.ID, r.Review)
	case l.review && !f.over:
		return fmt.Errorf("what review %d looks at still goes on; revoke request %d or wait for its end, then look at all of it", r.ID, r.Of)
	case f.voted && a == approve:
		return errVoted
	}
	return nil
}

// hold makes an approval of an operation.
func (r *record) hold(now time.Time) {
	r.State, r.Granted = bastion.Approved, now
	if r.Holds > 0 {
		r.Expires = now.Add(r.Holds) // from the approval, whenever it is used
	} else if least := now.Add(useful); least.After(r.Expires) {
		r.Expires = least
	}
}

// begin makes a grant of access: from now, or from when it is wanted.
func (r *record) begin(now time.Time) {
	asked := *r.Access // next changes nothing of its argument's
	if asked.From.Before(now) {
		asked.From = now
	}
	r.Access = &asked
	r.State, r.Granted, r.Expires = bastion.Approved, now, asked.From.Add(asked.For)
}

// close ends a review that somebody did.
func (r *record) close(now time.Time) { r.end(bastion.Closed, now) }

func usedBy(r record, l life, f facts) (record, error) {
	switch {
	case !f.asker:
		return r, notFound(r.ID)
	case l.used == nil:
		return r, fmt.Errorf("request %d is for %s, which is not used up", r.ID, r.Kind)
	case r.State != bastion.Approved:
		return r, fmt.Errorf("request %d is not approved yet", r.ID)
	}
	return l.used(r, f)
}

// used is the use of an operation's approval.
func used(r record, f facts) (record, error) {
	switch {
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
	r.State, r.Ended, r.Bound = s, now, nil
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
	case bastion.Revoked:
		return fmt.Errorf("request %d was revoked", r.ID)
	case bastion.Closed:
		return fmt.Errorf("review %d is closed", r.ID)
	}
	return notFound(r.ID)
}

// deciders names those who decide by the needs, for a sentence.
func deciders(needs bastion.Needs) string {
	var roles []string
	for _, n := range needs {
		for _, role := range append([]string{n.Role}, n.Or...) {
			if !slices.Contains(roles, role) {
				roles = append(roles, role)
			}
		}
	}
	return "those who decide it (" + strings.Join(roles, ", ") + ")"
}

func comments(r record) int {
	n := 0
	for _, v := range r.Votes {
		if v.Verdict == bastion.VoteComment {
			n++
		}
	}
	return n
}

// notFound is the same for what does not exist and for what one may not see.
func notFound(id uint64) error { return fmt.Errorf("request %d: %w", id, bastion.ErrNotFound) }
