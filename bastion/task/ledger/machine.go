package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// act is what is done to a task.
type act string

const (
	edit     act = "edit"
	submit   act = "submit"
	withdraw act = "withdraw"
	stop     act = "stop"
	begin    act = "begin"  // a statement is about to be sent
	finish   act = "finish" // it has ended
	refuse   act = "refuse" // a statement was refused before it was sent
	leave    act = "leave"  // whoever executes a step left it, in the middle
	decide   act = "decide" // the request for the task changed
	ask      act = "ask"    // whether to go on from a step
	resume   act = "resume" // the request for that changed
	repeat   act = "repeat" // a step is to be executed again, by the approval of the task
)

// action is an act with what comes with it.
type action struct {
	act       act
	plan      task.Plan       // of edit, and of submit with what was read
	source    string          // of edit
	digest    string          // of submit
	reason    string          // of submit and stop
	needs     bastion.Needs   // of submit
	otherTeam bool            // of submit
	request   bastion.Request // of submit, decide, ask and resume
	way       task.Way        // of ask
	step      int             // of begin, finish, refuse, leave, ask and repeat
	statement int             // of begin, finish and refuse
	result    task.Result     // of begin (its digest), finish and refuse
}

// facts are what the machine needs to know of the world. The zero facts allow nothing.
type facts struct {
	now     time.Time
	who     bastion.Identity
	session string
	author  bool // they are the author
	designs bool // they hold the duty to design
	may     bool // they may execute the step, by role or duty
	apart   bool // they are none of those from whom executors have to be apart
	covered bool // the approval counts at this moment, of exactly this plan
	stops   bool // they may stop the task: author, executor, or one who decides
}

var (
	errTask    = errors.New("internal error: that cannot be done to a task")
	errDesign  = errors.New("this takes the duty to design; ask somebody who has it")
	errAuthor  = errors.New("the task is somebody else's; only its author can do this")
	errWho     = errors.New("the step is not yours to execute")
	errApart   = errors.New("somebody else has to execute the step")
	errCovered = errors.New("the task is not approved")
)

// next is the whole life of a task: what becomes of t when somebody does a. It reads
// nothing but its arguments and changes none of them. An error leaves the task as it
// was.
//
//	           edit   submit  decide          begin    finish, refuse       leave    stop     ask  resume         repeat   withdraw
//	Draft      Draft  Review  -               -        -                    -        -        -    -              -        Withdrawn
//	Review     -      -       Approved/Draft  -        -                    -        -        -    -              -        -
//	Approved   -      -       Draft           Running  Failed (refuse)      -        -        =    Approved/Done  -        -
//	Running    -      -       Stopped         Running  Running/Done,        Stopped  Stopped  =    Running/Done   -        -
//	                                                   Failed/Stopped
//	Failed     -      -       =               -        -                    -        -        =    Running/Done   Running  -
//	Stopped    -      -       =               -        =/Done (finish)      =        -        =    Running/Done   -        -
//	others     -      -       =               -        -                    -        -        -    =              -        -
//
// To edit or withdraw a task in review its author withdraws the request first, which
// brings it back to Draft and voids all votes. A statement begins if its step is
// ready, all before it in the step have succeeded in the same session, and none runs;
// so each runs once at most, and in order. One whose end nobody knows, because the
// session or the bastion died, stops the task. A step that failed is executed again
// from its beginning, if people vote for that, or if nothing of it lasts and its plan
// says so.
func next(t task.Task, a action, f facts) (task.Task, error) {
	t = t.Clone()
	switch a.act {
	case edit, submit, withdraw:
		return authored(t, a, f)
	case decide:
		return decided(t, a, f)
	case begin:
		return begun(t, a, f)
	case finish:
		return finished(t, a, f)
	case refuse:
		return refused(t, a, f)
	case leave:
		return left(t, a, f)
	case stop:
		switch {
		case t.State != task.Running:
			return t, fmt.Errorf("task %d is %s, so there is nothing to stop", t.ID, t.State)
		case !f.stops:
			return t, fmt.Errorf("task %d is not yours to stop: that is for its author, those who execute it, and those who decide it", t.ID)
		}
		t.State, t.Why = task.Stopped, "stopped by "+f.who.Name
		if a.reason != "" {
			t.Why += ": " + a.reason
		}
		note(&t, f, "stopped", task.Entry{Note: a.reason})
		return t, nil
	case ask:
		return asked(t, a, f)
	case resume:
		return resumed(t, a, f)
	case repeat:
		if a.step < 0 || a.step >= len(t.Progress) {
			return t, errTask
		}
		step := t.Plan.Steps[a.step]
		switch {
		case !f.may:
			return t, fmt.Errorf("%w: it is for %s", errWho, step.Who)
		case !t.Repeats(a.step):
			return t, fmt.Errorf("step %s takes a vote to be executed again", step.Name)
		}
		note(&t, f, "to be repeated", task.Entry{Step: step.Name, Note: a.reason})
		repeated(&t.Progress[a.step])
		return goesOn(t), nil
	}
	return t, errTask
}

// repeated is a failed step that is to be executed again.
func repeated(p *task.Progress) {
	*p = task.Progress{State: task.StepWaiting, Earlier: append(slices.Clone(p.Earlier), task.Attempt{By: p.By, Session: p.Session, Results: p.Results})}
}

// goesOn is a task of which a step is not in its way any more.
func goesOn(t task.Task) task.Task {
	if broken := slices.ContainsFunc(t.Progress, func(p task.Progress) bool { return p.State == task.StepFailed }); !broken && t.State != task.Approved {
		t.State, t.Why = task.Running, ""
	}
	return settled(t)
}

// note adds a line to the history.
func note(t *task.Task, f facts, what string, e task.Entry) {
	e.At, e.What, e.Revision, e.Who, e.Name, e.Session = f.now, what, t.Revision, f.who.ID(), f.who.Name, f.session
	if e.Who == "" {
		e.Name = "sallyport"
	}
	t.History = append(t.History, e)
}

// authored is what its author does to a task.
func authored(t task.Task, a action, f facts) (task.Task, error) {
	switch {
	case !f.author:
		return t, errAuthor
	case a.act != withdraw && !f.designs:
		return t, errDesign
	case t.State != task.Draft:
		return t, fmt.Errorf("task %d is %s, so it cannot be changed any more", t.ID, t.State)
	}
	switch a.act {
	case withdraw:
		t.State, t.Why = task.Withdrawn, ""
		note(&t, f, "withdrawn", task.Entry{Note: a.reason})
	case edit:
		t.Revision++
		t.Plan, t.Source, t.Why = a.plan, a.source, ""
		clear(&t)
		note(&t, f, "edited", task.Entry{})
	case submit:
		if a.request.ID == 0 || a.digest == "" || len(a.needs) == 0 || len(a.plan.Steps) == 0 {
			return t, errTask
		}
		t.State, t.Why, t.Plan, t.Digest, t.Reason = task.Review, "", a.plan, a.digest, a.reason
		t.Needs, t.OtherTeam = a.needs, a.otherTeam
		t.Request, t.Approval, t.Expires, t.Votes = a.request.ID, a.request.State, a.request.Expires, nil
		note(&t, f, "submitted", task.Entry{Request: a.request.ID, Note: a.reason})
	}
	return t, nil
}

// clear forgets a review.
func clear(t *task.Task) {
	t.Digest, t.Reason, t.Needs, t.OtherTeam, t.Request, t.Approval, t.Votes, t.Expires = "", "", nil, false, 0, "", nil, time.Time{}
	t.Resumed = nil
	t.Progress = make([]task.Progress, len(t.Plan.Steps))
	for i := range t.Progress {
		t.Progress[i].State = task.StepWaiting
	}
}

// decided follows the request for the task.
func decided(t task.Task, a action, f facts) (task.Task, error) {
	r := a.request
	if r.ID == 0 || r.ID != t.Request {
		return t, errTask
	}
	before := t.Approval
	for _, v := range r.Votes[min(len(t.Votes), len(r.Votes)):] {
		e := task.Entry{Request: r.ID, Note: v.Reason}
		e.At, e.What, e.Revision, e.Who, e.Name, e.Session = v.At, string(v.Verdict), t.Revision, v.Who.ID(), v.Who.Name, v.Session
		t.History = append(t.History, e)
	}
	t.Approval, t.Votes, t.Expires = r.State, slices.Clone(r.Votes), r.Expires
	if before == r.State {
		return t, nil
	}
	switch {
	case r.State == bastion.Approved && t.State == task.Review:
		t.State = task.Approved
		note(&t, f, "approved", task.Entry{Request: r.ID})
	case r.State.Open() || r.State == bastion.Used:
	case t.State == task.Review || t.State == task.Approved:
		why := fmt.Sprintf("request %d was %s", r.ID, r.State)
		if r.State == bastion.Expired {
			why = fmt.Sprintf("request %d has expired", r.ID)
		}
		note(&t, f, "back to draft", task.Entry{Request: r.ID, Note: why})
		t.State = task.Draft
		clear(&t)
		t.Why = why
	case t.State == task.Running:
		t.State, t.Why = task.Stopped, fmt.Sprintf("the approval is over: request %d is %s", r.ID, r.State)
		note(&t, f, "stopped", task.Entry{Request: r.ID, Note: t.Why})
	}
	return t, nil
}

// begun is a statement on its way to the target.
func begun(t task.Task, a action, f facts) (task.Task, error) {
	if err := mayBegin(t, a, f); err != nil {
		return t, err
	}
	p := &t.Progress[a.step]
	if p.State == task.StepWaiting {
		who := f.who
		p.State, p.By, p.Session = task.StepRunning, &who, f.session
		note(&t, f, "began", task.Entry{Step: t.Plan.Steps[a.step].Name})
	}
	p.Results = append(p.Results, task.Result{Outcome: task.Began, Digest: a.result.Digest, Began: f.now})
	t.State, t.Why = task.Running, ""
	return t, nil
}

func mayBegin(t task.Task, a action, f facts) error {
	switch {
	case t.State != task.Approved && t.State != task.Running:
		return fmt.Errorf("task %d is %s, so nothing of it runs", t.ID, t.State)
	case t.Approval != bastion.Approved || !f.covered:
		return errCovered
	case a.step < 0 || a.step >= len(t.Plan.Steps) || a.statement < 0 || a.statement >= len(t.Plan.Steps[a.step].Statements):
		return errTask
	}
	step, p := t.Plan.Steps[a.step], t.Progress[a.step]
	switch {
	case !f.may:
		return fmt.Errorf("%w: it is for %s", errWho, step.Who)
	case !f.apart:
		return errApart
	case p.State != task.StepWaiting && p.State != task.StepRunning:
		return fmt.Errorf("step %s is %s", step.Name, p.State)
	case !t.Ready(a.step):
		return fmt.Errorf("step %s comes after %v, and that is not done yet", step.Name, step.After)
	}
	for i, o := range t.Progress {
		if i != a.step && o.State == task.StepRunning {
			return fmt.Errorf("step %s is being executed by %s; one goes after the other", t.Plan.Steps[i].Name, o.By.Name)
		}
	}
	switch {
	case p.State == task.StepRunning && (p.Session != f.session || !p.By.Equal(f.who)):
		return fmt.Errorf("step %s is being executed by %s, in another session", step.Name, p.By.Name)
	case len(p.Results) > 0 && p.Results[len(p.Results)-1].Outcome != task.Succeeded:
		return fmt.Errorf("statement %d of step %s has not ended well", len(p.Results), step.Name)
	case a.statement != len(p.Results):
		return fmt.Errorf("statement %d of step %s is not the next one", a.statement+1, step.Name)
	}
	return nil
}

// executing reports whether a step of the task may be in somebody's hands.
func executing(t task.Task) bool { return t.State == task.Running || t.State == task.Stopped }

// finished is the end of a statement that was sent.
func finished(t task.Task, a action, f facts) (task.Task, error) {
	i, j, ok := t.InFlight()
	if !ok || i != a.step || j != a.statement || t.Progress[i].Session != f.session || !executing(t) {
		return t, errTask
	}
	r := a.result
	switch r.Outcome {
	case task.Succeeded, task.Failing, task.Refused, task.Unknowable:
	default:
		return t, errTask
	}
	p := &t.Progress[i]
	r.Began, r.Digest, r.Ended = p.Results[j].Began, p.Results[j].Digest, f.now
	p.Results[j] = r
	step := t.Plan.Steps[i]
	if r.Outcome != task.Succeeded {
		p.State, p.Undone = task.StepFailed, step.Undone(p.Results)
		note(&t, f, "failed", task.Entry{Step: step.Name, Note: r.Error})
		return broke(t, step.Name, j, r), nil
	}
	if len(p.Results) == len(step.Statements) {
		p.State = task.StepDone
		note(&t, f, "done", task.Entry{Step: step.Name})
	}
	return settled(t), nil
}

// broke ends a task that ran until a statement did not.
func broke(t task.Task, step string, statement int, r task.Result) task.Task {
	switch {
	case t.State == task.Stopped: // it was stopped while the statement ran
	case r.Outcome == task.Unknowable:
		t.State, t.Why = task.Stopped, fmt.Sprintf("nobody knows whether statement %d of step %s ran: %s", statement+1, step, r.Error)
	default:
		t.State, t.Why = task.Failed, fmt.Sprintf("statement %d of step %s: %s", statement+1, step, r.Error)
	}
	return t
}

// refused is a statement that was read, or decided, to go no further.
func refused(t task.Task, a action, f facts) (task.Task, error) {
	if err := mayBegin(t, a, f); err != nil {
		return t, err
	}
	p := &t.Progress[a.step]
	if p.State == task.StepWaiting {
		who := f.who
		p.By, p.Session = &who, f.session
	}
	r := a.result
	r.Outcome, r.Began, r.Ended = task.Refused, f.now, f.now
	p.State, p.Results = task.StepFailed, append(p.Results, r)
	p.Undone = t.Plan.Steps[a.step].Undone(p.Results)
	name := t.Plan.Steps[a.step].Name
	note(&t, f, "failed", task.Entry{Step: name, Note: r.Error})
	return broke(t, name, a.statement, r), nil
}

// left is a step whose executor is gone. What has begun may have run.
func left(t task.Task, a action, f facts) (task.Task, error) {
	i := a.step
	if i < 0 || i >= len(t.Progress) || t.Progress[i].State != task.StepRunning || t.Progress[i].Session != f.session || !executing(t) {
		return t, errTask
	}
	p, name := &t.Progress[i], t.Plan.Steps[i].Name
	p.State = task.StepFailed
	why := a.result.Error
	if why == "" {
		why = "the session ended"
	}
	if n := len(p.Results); n > 0 && p.Results[n-1].Outcome == task.Began {
		p.Results[n-1].Outcome, p.Results[n-1].Ended, p.Results[n-1].Error = task.Unknowable, f.now, why
		note(&t, f, "failed", task.Entry{Step: name, Note: why})
		return broke(t, name, n-1, p.Results[n-1]), nil
	}
	p.Undone = t.Plan.Steps[i].Undone(p.Results)
	note(&t, f, "interrupted", task.Entry{Step: name, Note: why})
	if t.State == task.Running {
		t.State, t.Why = task.Stopped, fmt.Sprintf("step %s was left in the middle: %s", name, why)
	}
	return t, nil
}

// settled is a task that runs, after something has ended.
func settled(t task.Task) task.Task {
	over := true
	for _, p := range t.Progress {
		over = over && p.State.Over()
	}
	if over {
		t.State, t.Why = task.Done, ""
	}
	return t
}

// resumable are the states in which people can vote how to go on from a step.
func resumable(s task.State) bool {
	return s == task.Approved || s == task.Running || s == task.Failed || s == task.Stopped
}

// leads reports whether a way leads on from a step in that state.
func leads(w task.Way, s task.StepState) bool {
	return s == task.StepFailed && (w == task.Skipping || w == task.Repeating) || s == task.StepWaiting && w == task.Skipping
}

// asked is the question whether to go on without a step, or with it once more.
func asked(t task.Task, a action, f facts) (task.Task, error) {
	if a.request.ID == 0 || a.step < 0 || a.step >= len(t.Progress) {
		return t, errTask
	}
	name := t.Plan.Steps[a.step].Name
	switch {
	case !f.author && !f.may:
		return t, fmt.Errorf("step %s is not yours to %s: that is for the author to ask, and for those who may execute it", name, a.way)
	case !resumable(t.State):
		return t, fmt.Errorf("task %d is %s, so there is nothing to %s", t.ID, t.State, a.way)
	case t.Approval != bastion.Approved:
		return t, fmt.Errorf("the approval of task %d is over, so it cannot go on; make another task of what is left", t.ID)
	case !leads(a.way, t.Progress[a.step].State):
		return t, fmt.Errorf("step %s is %s, so there is nothing to %s", name, t.Progress[a.step].State, a.way)
	}
	for _, s := range t.Resumed {
		if s.Step == name && s.State == bastion.Pending {
			return t, fmt.Errorf("request %d asks already whether to %s step %s", s.Request, s.Way, name)
		}
	}
	t.Resumed = append(t.Resumed, task.Resumption{Way: a.way, Step: name, Attempt: len(t.Progress[a.step].Earlier), Request: a.request.ID, State: a.request.State})
	note(&t, f, "asked to "+string(a.way), task.Entry{Step: name, Request: a.request.ID, Note: a.reason})
	return t, nil
}

// resumed follows the request for a resumption.
func resumed(t task.Task, a action, f facts) (task.Task, error) {
	n := slices.IndexFunc(t.Resumed, func(s task.Resumption) bool { return s.Request == a.request.ID })
	if n < 0 || a.request.ID == 0 {
		return t, errTask
	}
	s := &t.Resumed[n]
	for _, v := range a.request.Votes[min(len(s.Votes), len(a.request.Votes)):] {
		e := task.Entry{Request: a.request.ID, Step: s.Step, Note: v.Reason}
		e.At, e.What, e.Revision, e.Who, e.Name, e.Session = v.At, string(v.Verdict), t.Revision, v.Who.ID(), v.Who.Name, v.Session
		t.History = append(t.History, e)
	}
	before := s.State
	s.State, s.Votes = a.request.State, slices.Clone(a.request.Votes)
	i := t.Step(s.Step)
	if before != bastion.Pending || s.State != bastion.Approved || i < 0 || !resumable(t.State) || t.Approval != bastion.Approved {
		return t, nil
	}
	p := &t.Progress[i]
	if !leads(s.Way, p.State) || s.Attempt != len(p.Earlier) {
		return t, nil // it was done meanwhile, or executed once more
	}
	if s.Way == task.Repeating {
		repeated(p)
		note(&t, f, "to be repeated", task.Entry{Step: s.Step, Request: a.request.ID})
	} else {
		p.State = task.StepSkipped
		note(&t, f, "skipped", task.Entry{Step: s.Step, Request: a.request.ID})
	}
	return goesOn(t), nil
}
