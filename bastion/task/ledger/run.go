package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/task"
)

// bound identifies the system behind a target's name, so that what was reviewed for
// one does not run on another.
func bound(t bastion.Target) (string, error) {
	b, err := json.Marshal([]any{t.Name, t.Kind, t.Address, t.Options})
	if err != nil {
		return "", fmt.Errorf("reading target %s: %w", t.Name, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Run executes what is next of an approved task: the step of that name, or, without
// one, step after step as long as they are for this person. It returns the task as it
// is then. A statement that fails, or is refused, stops the task and is an error.
func (l *Ledger) Run(ctx context.Context, s *bastion.Session, id uint64, only string, w task.Watch) (t task.Task, err error) {
	p, err := whois(ctx, s)
	if err != nil {
		return t, err
	}
	if t, err = l.Task(ctx, s, id); err != nil {
		return t, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := l.enter(id, cancel); err != nil {
		return t, err
	}
	defer l.exit(id)
	l.watch(ctx, s, id, cancel)
	for ran := 0; ; ran++ {
		if t, err = l.see(p, id); err != nil {
			return t, err
		}
		i, err := pick(t, only, ran)
		if err != nil || i < 0 {
			return t, err
		}
		// On connections of its own: what a console of the same session left open, or set,
		// is nothing to it, and cannot take back what it does.
		err = s.Aside(func(s *bastion.Session) error { return l.step(ctx, s, p, t, i, w) })
		again, serr := l.see(p, id)
		if serr == nil {
			t = again
		}
		notMine := errors.Is(err, errWho) || errors.Is(err, approval.ErrApart)
		if ran > 0 && only == "" && notMine && t.Progress[i].State == task.StepWaiting {
			return t, nil // the rest is for others
		}
		if err = errors.Join(err, serr); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return t, err
		}
	}
}

// pick is the step to execute; -1 if there is none left.
func pick(t task.Task, only string, ran int) (int, error) {
	if t.State == task.Done && ran > 0 || only != "" && ran > 0 {
		return -1, nil
	}
	if t.State != task.Approved && t.State != task.Running {
		if t.Why != "" {
			return -1, &bastion.DeniedError{Reason: fmt.Sprintf("task %d is %s: %s", t.ID, t.State, t.Why)}
		}
		return -1, &bastion.DeniedError{Reason: fmt.Sprintf("task %d is %s, so nothing of it runs", t.ID, t.State)}
	}
	if only != "" {
		i := t.Step(only)
		if i < 0 {
			return -1, fmt.Errorf("task %d has no step %q", t.ID, bastion.VisibleLine(only))
		}
		if t.Progress[i].State.Over() {
			return -1, &bastion.DeniedError{Reason: fmt.Sprintf("step %s is %s already", only, t.Progress[i].State), Next: "nothing runs twice"}
		}
		return i, nil
	}
	return t.Next(), nil
}

// enter lets one execution of a task in at a time.
func (l *Ledger) enter(id uint64, cancel context.CancelCauseFunc) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[id] != nil {
		return fmt.Errorf("task %d is being executed in another session; wait for its end", id)
	}
	l.running[id] = cancel
	return nil
}

func (l *Ledger) exit(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, id)
}

// watch cancels what runs as soon as the task is stopped, by whatever: a person, or
// an approval that was taken back.
func (l *Ledger) watch(ctx context.Context, s *bastion.Session, id uint64, cancel context.CancelCauseFunc) {
	changed, unwatch := l.c.Approvals.Watch()
	s.Go(func() { // ends with ctx
		defer unwatch()
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			var t task.Task
			err := l.c.DB.View(func(tx store.Tx) (err error) { t, err = load(tx, id); return err })
			if err == nil && t.State == task.Stopped {
				cancel(errors.New(t.Why))
			}
		}
	})
}

// step executes a step from where it stands.
func (l *Ledger) step(ctx context.Context, s *bastion.Session, p person, t task.Task, i int, w task.Watch) (err error) {
	step := t.Plan.Steps[i]
	switch {
	case !p.may(step):
		return fmt.Errorf("step %s: %w: it is for %s", step.Name, errWho, step.Who)
	case !t.Ready(i):
		return &bastion.DeniedError{Reason: fmt.Sprintf("step %s comes after %s, and that is not done yet", step.Name, strings.Join(step.After, ", "))}
	}
	target, ok := l.c.Targets.Named(step.Target)
	now, err := bound(target)
	if err != nil {
		return err
	}
	if !ok || now != step.Bound {
		return &bastion.DeniedError{Reason: fmt.Sprintf("target %s is not the system for which the task was reviewed", step.Target), Next: "submit the task again"}
	}
	if err := s.Open(ctx, step.Target, w.Job); err != nil {
		return err
	}
	began := false
	defer func() {
		// Whatever ended this, a panic too: a step that is not done is not taken up again.
		if began {
			err = errors.Join(err, l.leave(p, t.ID, i, context.Cause(ctx)))
		}
	}()
	for j := len(t.Progress[i].Results); j < len(step.Statements); j++ {
		if err := l.statement(ctx, s, t, i, j, w, &began); err != nil {
			return err
		}
	}
	return nil
}

// lasting is a context for what has to be kept although the session may be gone.
func lasting() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// leave notes that a step was left, if it was not finished.
func (l *Ledger) leave(p person, id uint64, i int, cause error) error {
	ctx, stop := lasting()
	defer stop()
	a := action{act: leave, step: i}
	if cause != nil {
		a.result.Error = cause.Error()
	}
	_, err := l.change(ctx, id, a, facts{who: p.who, session: p.session}, p.by)
	if errors.Is(err, errTask) {
		return nil // it was finished, or failed
	}
	return err
}

// statement executes one statement. An error means that the step does not go on.
func (l *Ledger) statement(ctx context.Context, s *bastion.Session, t task.Task, i, j int, w task.Watch, began *bool) error {
	step := t.Plan.Steps[i]
	st := step.Statements[j]
	op, refusal, err := l.reread(ctx, s, t.Plan, step.Target, st)
	if err != nil {
		return err
	}
	// Who may execute is asked anew for each statement.
	p, err := whois(ctx, s)
	if err != nil {
		return err
	}
	a := action{act: begin, step: i, statement: j, result: task.Result{Digest: op.Digest()}}
	if refusal == nil && !*began {
		if err := fresh(ctx, s, p, op); err != nil {
			return err
		}
		if err := l.permitted(ctx, s, p, t, i, j); err != nil {
			return err
		}
	}
	if refusal != nil {
		a.act, a.result.Error = refuse, refusal.Error()
	}
	t, claim, err := l.use(ctx, p, t.ID, op.Digest(), a)
	if err != nil {
		return err
	}
	*began = true
	if refusal != nil {
		if w.Ended != nil {
			w.Ended(t, i, j, t.Progress[i].Results[j])
		}
		return fmt.Errorf("step %s, statement %d: %w", step.Name, j+1, refusal)
	}
	if w.Begins != nil {
		w.Begins(t, i, j)
	}
	answer := capture{show: w.Job.Show, verifies: st.Verifies()}
	job := w.Job
	job.Show, job.Sent = answer.frame, func() { answer.sent = true }
	err = s.Run(l.c.Approvals.InTask(ctx, claim), op, job)
	r := answer.result(err, st)
	if t, err = l.finish(t, p, action{act: finish, step: i, statement: j, result: r}, err); w.Ended != nil {
		if t.Progress[i].Results[j].Outcome != task.Began {
			r = t.Progress[i].Results[j] // as it is kept, with its times
		}
		w.Ended(t, i, j, r)
	}
	if err == nil && r.Outcome != task.Succeeded {
		err = errors.New(r.Error)
	}
	if err != nil {
		return fmt.Errorf("step %s, statement %d: %w", step.Name, j+1, err)
	}
	return nil
}

// fresh asks for a fresher sign-in where policy wants one, before anything has begun:
// somebody who only has to sign in again does not make the task fail.
func fresh(ctx context.Context, s *bastion.Session, p person, op bastion.Operation) error {
	d, err := s.Decide(ctx, op)
	if err == nil && d.Effect != bastion.Deny && d.Fresh > 0 && p.who.Kind == bastion.Person && s.Now().Sub(p.who.SignedIn) > d.Fresh {
		err = &bastion.StaleError{Max: d.Fresh}
	}
	return err
}

// permitted refuses a step that policy does not let this person execute, before
// anything of it has begun: somebody else may, and the task has not failed. Of what
// cannot be told before its turn comes, nothing is said.
func (l *Ledger) permitted(ctx context.Context, s *bastion.Session, p person, t task.Task, i, from int) error {
	if slices.ContainsFunc(l.claim(p, t, i).Apart, p.who.Equal) {
		return nil // whatever policy says: another person has to, and is told so
	}
	step := t.Plan.Steps[i]
	for j := from; j < len(step.Statements); j++ {
		st := step.Statements[j]
		if st.Note != "" {
			continue
		}
		op, refusal, err := l.reread(ctx, s, t.Plan, step.Target, st)
		if err != nil {
			return err
		}
		if refusal != nil {
			continue
		}
		d, err := s.Decide(ctx, op)
		if err == nil && d.Estimate {
			if op, err = s.Estimate(ctx, op); err == nil {
				d, err = s.Decide(ctx, op)
			}
		}
		if err != nil {
			return err
		}
		if d.Effect == bastion.Deny && !(op.Asked() && op.Rows() < 0) {
			return &bastion.DeniedError{Rule: d.Rule,
				Reason: fmt.Sprintf("policy does not let you execute statement %d of step %s: %s; nothing was done, and the step still waits", j+1, step.Name, d.Reason),
				Next:   l.instead(s.Who(), t, step, op)}
		}
	}
	return nil
}

// instead says who can execute a step in place of somebody.
func (l *Ledger) instead(than bastion.Identity, t task.Task, step task.Step, op bastion.Operation) string {
	var names []string
	for _, who := range l.c.People() {
		if !who.Equal(than) && !who.Equal(t.Author) && step.Who.In(l.c.Policy.Roles(who)) && l.c.Policy.Decide(who, op).Effect != bastion.Deny {
			names = append(names, who.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("the step is for %s, and of those known here policy lets nobody else execute it now; the policy, or the task, has to change", step.Who)
	}
	slices.Sort(names)
	return fmt.Sprintf("the step is for %s; policy lets %s execute it", step.Who, strings.Join(slices.Compact(names), ", "))
}

// claim is a use of the task's approval for a step, and from whom who executes it has
// to be apart.
func (l *Ledger) claim(p person, t task.Task, i int) approval.TaskUse {
	u := approval.TaskUse{Who: p.who, Origin: p.origin, Session: p.session, Digest: t.Digest}
	for _, set := range l.c.Policy.Apart() {
		if !slices.Contains(set, bastion.Execute) {
			continue
		}
		if slices.Contains(set, bastion.Design) {
			u.Apart = append(u.Apart, t.Author)
		}
		if slices.Contains(set, bastion.Approve) {
			u.ApartFromVoters = true
		}
	}
	for _, k := range t.Resumed {
		if k.State.Open() {
			u.Others = append(u.Others, k.Request)
		}
		for _, v := range k.Votes {
			if u.ApartFromVoters && v.Verdict == bastion.VoteApprove {
				u.Apart = append(u.Apart, v.Who)
			}
		}
	}
	if i >= len(t.Plan.Steps) {
		return u
	}
	for _, name := range t.Plan.Steps[i].Apart {
		if k := t.Step(name); k >= 0 {
			u.Apart = append(u.Apart, t.Progress[k].Executors()...)
		}
	}
	return u
}

// errStale restarts a use that was prepared for a task that changed meanwhile.
var errStale = errors.New("internal error: the task changed meanwhile")

// use takes the approval of the task for one statement: in one transaction the votes
// are counted, and it is noted that the statement begins.
func (l *Ledger) use(ctx context.Context, p person, id uint64, operation string, a action) (t task.Task, c *approval.Claim, err error) {
	for {
		if t, err = l.see(p, id); err != nil {
			return t, nil, err
		}
		u := l.claim(p, t, a.step)
		u.Operation = operation
		c, err = l.c.Approvals.UseTask(ctx, t.Request, u, func(tx store.Tx, r approval.TaskChange) error {
			now, err := load(tx, r.Task)
			if err != nil {
				return err
			}
			again := l.claim(p, now, a.step)
			again.Operation = operation
			if !reflect.DeepEqual(u, again) {
				return errStale
			}
			digest, err := now.Plan.Digest(now.ID, now.Revision)
			if err != nil {
				return err
			}
			f := facts{now: r.At, who: p.who, session: p.session, apart: true, may: p.may(now.Plan.Steps[a.step]),
				covered: now.Request == r.Request.ID && now.Digest == r.Request.Digest && digest == now.Digest}
			t, err = l.apply(tx, now, a, f, p.by)
			return err
		})
		if !errors.Is(err, errStale) {
			return t, c, err
		}
	}
}

// finish notes how a statement ended, whatever became of the session. With the last
// one the request for the task is used up. failed is the session's own error.
func (l *Ledger) finish(t task.Task, p person, a action, failed error) (task.Task, error) {
	ctx, stop := lasting()
	defer stop()
	err := l.c.Approvals.EndTask(ctx, t.Request, approval.TaskUse{Who: p.who, Origin: p.origin, Session: p.session}, func(tx store.Tx, r approval.TaskChange) (bool, error) {
		now, err := load(tx, r.Task)
		if err != nil {
			return false, err
		}
		now, err = l.apply(tx, now, a, facts{now: r.At, who: p.who, session: p.session}, p.by)
		if err == nil {
			t = now
		}
		return now.State == task.Done, err
	})
	return t, errors.Join(failed, err)
}

// reread reads a statement as it means now. refusal says why it must not run.
func (l *Ledger) reread(ctx context.Context, s *bastion.Session, p task.Plan, target string, st task.Statement) (op bastion.Operation, refusal, err error) {
	values, err := p.Bound(st)
	if err != nil {
		return op, nil, err
	}
	op, err = s.Bind(ctx, target, st.Text, values)
	var unread *bastion.ParseError
	switch {
	case errors.As(err, &unread) && st.Recorded != "":
		return op, &bastion.DeniedError{Reason: "it cannot be read; the message is left out, because it may quote from the text"}, nil
	case errors.As(err, &unread):
		return op, err, nil
	case err != nil:
		return op, nil, err
	case st.Digest != "" && st.Digest != op.Digest(), op.Intent().Settings != st.Settings:
		return op, &bastion.DeniedError{Rule: "exact-operation", Reason: "the statement, or a setting of the session by which it is read, is not what it was when the task was reviewed"}, nil
	}
	return op, nil, nil
}

// capture passes an answer on and remembers what the task keeps of it.
type capture struct {
	show     func(bastion.Frame) error
	verifies bool
	sent     bool // the target may have it
	masked   bool
	tag      string
	affected int64
	rows     int64
	answer   task.Answer
}

// maxAnswer is how many rows of an answer are compared; none that is expected has more.
const maxAnswer = 101

func (c *capture) frame(f bastion.Frame) error {
	switch f.Kind() {
	case bastion.ColumnsFrame:
		c.masked = slices.ContainsFunc(f.Columns(), bastion.Column.Masked)
	case bastion.RowFrame:
		c.rows++
		if c.verifies && len(c.answer) < maxAnswer {
			row := make([]*string, len(f.Row()))
			for i, v := range f.Row() {
				if v != nil {
					s := string(v)
					row[i] = &s
				}
			}
			c.answer = append(c.answer, row)
		}
	case bastion.TagFrame:
		c.tag, c.affected = f.Text(), f.Affected()
	}
	if c.show == nil {
		return nil
	}
	return c.show(f)
}

// result says how a statement ended, by the session's error. Only what certainly did
// not run, or certainly ran, is told so.
func (c *capture) result(err error, st task.Statement) task.Result {
	r := task.Result{Outcome: task.Succeeded, Tag: c.tag, Rows: max(c.rows, c.affected)}
	var (
		target *bastion.TargetError
		denied *bastion.DeniedError
		stale  *bastion.StaleError
		not    *bastion.NotApprovedError
		unread *bastion.ParseError
		// The same errors end what runs, when what allowed it ends.
		refusal = !c.sent && (errors.As(err, &denied) || errors.As(err, &stale) || errors.As(err, &not) ||
			errors.Is(err, bastion.ErrExpired) || errors.Is(err, approval.ErrNotCovered)) ||
			errors.As(err, &unread) || errors.Is(err, bastion.ErrPermit)
	)
	switch {
	case err == nil && st.Verifies() && !c.answer.Equal(st.Expect):
		r.Outcome, r.Error = task.Failing, fmt.Sprintf("the answer, of %d rows, is not what the plan expects", c.rows)
		if c.masked {
			r.Error += "; some of its columns are masked"
		}
	case err == nil:
	case errors.As(err, &target) && !target.Lost:
		told := *target
		told.Detail = ""
		r.Outcome, r.Error = task.Failing, told.Error()
	case refusal && !errors.As(err, &target):
		r.Outcome, r.Error = task.Refused, err.Error()
	case errors.As(err, &target):
		told := *target
		told.Detail = ""
		r.Outcome, r.Error = task.Unknowable, told.Error()
	default:
		r.Outcome, r.Error = task.Unknowable, err.Error()
	}
	return r
}
