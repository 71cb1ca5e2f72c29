package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// A request for a task asks for many operations at once: for exactly what its digest
// stands for, which whoever keeps the tasks sees to. People vote on it as on any
// other, and its use is one for each statement, by somebody else than its author.

// TaskQuestion is what an author asks of approvers about a task, or about leaving out
// a part of one.
type TaskQuestion struct {
	Who     bastion.Identity
	Origin  bastion.Origin
	Session string
	// Task is the number of the task.
	Task    uint64
	Target  string // for lists: of several, their names
	Verb    bastion.Verb
	Actions []bastion.Action
	Summary string
	// Text is all that will run, for people; Recorded the same without its secrets,
	// empty if there are none. Digest identifies it.
	Text, Recorded, Digest string
	Needs                  bastion.Needs
	OtherTeam              bool
	// Apart are people besides the author who cannot vote on it.
	Apart []bastion.Identity
	// Within is how long it waits for votes, Lasts how long it holds once it has them.
	Within, Lasts time.Duration
	Reason        string
}

// TaskChange is what became of a request for a task, and who did it; nobody, if that
// was the bastion itself.
type TaskChange struct {
	Task    uint64
	Request bastion.Request
	At      time.Time
	Who     bastion.Identity
	Origin  bastion.Origin
	Session string
}

// TaskUse is the use of a task's approval for one operation of it.
type TaskUse struct {
	Who     bastion.Identity
	Origin  bastion.Origin
	Session string
	// Digest is that of the task, as it is now; Operation that of the operation.
	Digest, Operation string
	// Apart are people who must not be who uses it.
	Apart []bastion.Identity
	// ApartFromVoters: those who approved it must not be, either.
	ApartFromVoters bool
	// Others are further open requests for the same task, on which whoever executes
	// something of it cannot vote from now on.
	Others []uint64
}

var (
	// ErrApart refuses an execution by somebody whom separation of duties forbids it.
	ErrApart = errors.New("separation of duties: who designs a task or approves it does not execute it, and this step may be for somebody else than an earlier one; ask another person")
	// ErrNotCovered refuses an operation of a task for which policy wants more than
	// the task's approval has.
	ErrNotCovered = errors.New("policy now asks for more than the approval of the task has")
)

// FileTask makes a request for a task. with is called in the same transaction, with
// the request as it is then: what it refuses is not filed.
func (s *Service) FileTask(ctx context.Context, q TaskQuestion, with func(store.Tx, bastion.Request) error) (bastion.Request, error) {
	if err := checkAsker(q.Who); err != nil {
		return bastion.Request{}, err
	}
	if q.Task == 0 || q.Digest == "" || q.Text == "" || len(q.Needs) == 0 || q.Within <= 0 || q.Lasts <= 0 || s.c.Task == nil {
		return bastion.Request{}, errors.New("internal error: there is nothing to ask approvers for")
	}
	if err := checkReason(q.Reason); err != nil {
		return bastion.Request{}, err
	}
	var r record
	err := s.change(ctx, func(w *work) error {
		r = record{Task: q.Task, Recorded: q.Recorded, Request: bastion.Request{
			Kind: bastion.KindTask, Who: asker(q.Who), Origin: q.Origin, Session: q.Session, Target: q.Target, Verb: q.Verb,
			Actions: q.Actions, Text: q.Text, Digest: q.Digest, Summary: q.Summary, Needs: slices.Clone(q.Needs), Holds: q.Lasts,
			Reason: q.Reason, Preview: bastion.Preview{Rows: -1}, OtherTeam: q.OtherTeam,
		}}
		if r.Recorded == r.Text {
			r.Recorded = ""
		}
		for _, who := range q.Apart {
			r.Apart = append(r.Apart, asker(who))
		}
		if err := w.room(r, author{r.Who, r.Origin, r.Session}); err != nil {
			return err
		}
		id, err := w.tx.Next(requestsBucket)
		if err != nil {
			return err
		}
		r.ID = id
		if r, err = next(r, action{act: file, within: q.Within}, facts{now: w.now}); err != nil {
			return err
		}
		if err := with(w.tx, r.Request); err != nil {
			return err
		}
		return w.keep(r, author{r.Who, r.Origin, r.Session}, bastion.Event{
			Kind: bastion.EventRequest, Text: r.Summary, Effect: bastion.Ask.String(), Reason: r.Reason}, NoteFiled)
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{r}, q.Who)[0], nil
}

// told tells whoever keeps the tasks what became of a request for one.
func (w *work) told(r record, by author) error {
	if r.Kind != bastion.KindTask || w.s.c.Task == nil {
		return nil
	}
	return w.s.c.Task(w.tx, TaskChange{r.Task, r.Request, w.now, by.who, by.origin, by.session})
}

// executing calls f in a transaction with the request for a task and the people
// around it, who uses it and those from whom they have to be apart included.
func (s *Service) executing(ctx context.Context, id uint64, otherTeam bool, who bastion.Identity, apart []bastion.Identity, f func(*work, record, *crowd) error) error {
	for {
		r, err := s.one(ctx, id)
		if err != nil {
			return err
		}
		around := []record{r}
		for _, i := range append(slices.Clone(apart), who) {
			around = append(around, record{Request: bastion.Request{Who: i}})
		}
		known := s.crowd(otherTeam || r.OtherTeam, around...)
		known.members[who.ID()] = member{who, true, approving(s.c.Roles(who))} // the session has just asked
		err = s.change(ctx, func(w *work) error {
			r, err := w.within(id, known)
			if err != nil {
				return err
			}
			if r.Kind != bastion.KindTask || r.Task == 0 {
				return fmt.Errorf("internal error: request %d is for no task", id)
			}
			return f(w, r, known)
		})
		if !errors.Is(err, errStranger) {
			return err
		}
	}
}

// stands returns nil if the approval of a task counts at this moment.
func stands(r record, t tally) error {
	if !r.State.Open() {
		return ended(r)
	}
	if r.State != bastion.Approved {
		return fmt.Errorf("request %d is not approved yet", r.ID)
	}
	if ok, why := t.cover(r.Needs); !ok {
		return &lapseError{r.Request, why}
	}
	return nil
}

// UseTask takes the approval of a task for one operation of it. It checks, at this
// moment, that every vote still counts, and that whoever executes it is who may by
// the separation of duties. with is called in the same transaction, and notes that
// the operation begins; what it refuses is not used. The claim lets exactly this
// operation through, once, where policy asks for approval.
func (s *Service) UseTask(ctx context.Context, id uint64, u TaskUse, with func(store.Tx, TaskChange) error) (*Claim, error) {
	if u.Who.ID() == "" || u.Digest == "" {
		return nil, errors.New("internal error: there is nothing to use an approval for")
	}
	if err := s.confirm(ctx, id, append(slices.Clone(u.Apart), u.Who)...); err != nil {
		return nil, err
	}
	err := s.executing(ctx, id, false, u.Who, u.Apart, func(w *work, r record, known *crowd) error {
		by := author{u.Who, u.Origin, u.Session}
		others := slices.Clone(u.Apart)
		if u.ApartFromVoters {
			for _, v := range r.Votes {
				if v.Verdict == bastion.VoteApprove {
					others = append(others, v.Who)
				}
			}
		}
		for _, o := range others {
			if known.apart(o, u.Who) != nil || known.apart(u.Who, o) != nil {
				return w.refuse(r, by, ErrApart)
			}
		}
		if err := stands(r, known.count(r.requesters(), r.OtherTeam, r.Votes)); err != nil {
			return w.unused(r, by, err)
		}
		if r.Digest != u.Digest {
			return w.refuse(r, by, errExact)
		}
		if err := with(w.tx, TaskChange{r.Task, r.Request, w.now, u.Who, u.Origin, u.Session}); err != nil {
			return err
		}
		for _, id := range u.Others {
			if err := w.bar(id, r.Task, u.Who); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Claim{request: id, who: u.Who, operation: u.Operation}, nil
}

// bar keeps somebody from voting on an open request for a task.
func (w *work) bar(id, task uint64, who bastion.Identity) error {
	r, err := w.record(id)
	if err != nil || !r.State.Open() || slices.ContainsFunc(r.Apart, who.Equal) {
		return err
	}
	if r.Kind != bastion.KindTask || r.Task != task {
		return fmt.Errorf("internal error: request %d is for no task", id)
	}
	r.Apart = append(slices.Clone(r.Apart), asker(who))
	w.changed = append(w.changed, r)
	return save(w.tx, r)
}

// EndTask calls with in a transaction, to note how an operation of a task ended. If
// with reports that nothing of the task is left to do, the request is used up.
func (s *Service) EndTask(ctx context.Context, id uint64, u TaskUse, with func(store.Tx, TaskChange) (over bool, err error)) error {
	return s.executing(ctx, id, false, u.Who, nil, func(w *work, r record, known *crowd) error {
		over, err := with(w.tx, TaskChange{r.Task, r.Request, w.now, u.Who, u.Origin, u.Session})
		if err != nil || !over || r.State != bastion.Approved {
			return err
		}
		t := known.count(r.requesters(), r.OtherTeam, r.Votes)
		// It has been done, whatever became of the votes since.
		after, err := next(r, action{act: use}, facts{now: w.now, asker: true, exact: true, covered: true})
		if err != nil {
			return err
		}
		return w.keep(after, author{u.Who, u.Origin, u.Session}, bastion.Event{Kind: bastion.EventUse, Text: r.Summary, Reason: r.Reason, By: t.names}, NoteUsed)
	})
}

// Claim is the right to run one operation of a task. Only UseTask makes one, and it
// can be used once.
type Claim struct {
	request   uint64
	who       bastion.Identity
	operation string // its digest
	used      atomic.Bool
}

type claimKey struct{}

// InTask returns a context in which the claim stands for the approval of its operation.
func (s *Service) InTask(ctx context.Context, c *Claim) context.Context {
	return context.WithValue(ctx, claimKey{}, c)
}

// claimed is the claim of a context; nil if there is none.
func claimed(ctx context.Context) *Claim {
	c, _ := ctx.Value(claimKey{}).(*Claim)
	return c
}

var errClaim = errors.New("internal error: what would run is not the operation of the task")

// findClaimed is Find within a task.
func (s *Service) findClaimed(ctx context.Context, c *Claim, who bastion.Identity, op bastion.Operation) (bastion.Request, bool, error) {
	if !c.who.Equal(who) || c.operation == "" || c.operation != op.Digest() {
		return bastion.Request{}, false, errClaim
	}
	r, err := s.one(ctx, c.request)
	if err != nil {
		return bastion.Request{}, false, err
	}
	if r.State != bastion.Approved {
		return bastion.Request{}, false, &bastion.NotApprovedError{Request: r.Request}
	}
	return s.shown([]record{r}, who)[0], true, nil
}

// useClaimed is Use within a task: what policy asks for this operation now has to be
// covered by those who approved the task.
func (s *Service) useClaimed(ctx context.Context, c *Claim, id uint64, q bastion.Question) (bastion.Request, error) {
	if id != c.request || !c.who.Equal(q.Who) || c.operation == "" || c.operation != q.Op.Digest() || !c.used.CompareAndSwap(false, true) {
		return bastion.Request{}, errClaim
	}
	if err := s.confirm(ctx, id, q.Who); err != nil {
		return bastion.Request{}, err
	}
	var used record
	err := s.executing(ctx, id, q.Decision.OtherTeam, q.Who, nil, func(w *work, r record, known *crowd) error {
		used = r
		by := author{q.Who, q.Origin, q.Session}
		if err := stands(r, known.count(r.requesters(), r.OtherTeam, r.Votes)); err != nil {
			return w.unused(r, by, err)
		}
		t := known.count(r.requesters(), r.OtherTeam || q.Decision.OtherTeam, r.Votes)
		if ok, _ := t.cover(q.Decision.Needs); !ok {
			return w.refuse(r, by, fmt.Errorf("%w: %s", ErrNotCovered, q.Decision.Needs))
		}
		e := bastion.Event{Kind: bastion.EventUse, Text: q.Op.Recorded(), Rule: q.Decision.Rule, Reason: r.Reason, By: t.names}
		shown := r
		shown.Target, shown.Verb, shown.Digest = q.Op.TargetName(), q.Op.Intent().Verb, q.Op.Digest()
		return w.log(shown, by, e)
	})
	if err != nil {
		return bastion.Request{}, err
	}
	return s.shown([]record{used}, q.Who)[0], nil
}

// requesters are all from whom those who vote on a request have to be apart.
func (r record) requesters() []bastion.Identity {
	return append([]bastion.Identity{r.Who}, r.Apart...)
}
