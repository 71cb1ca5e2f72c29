package task

import (
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// State is where a task stands. The zero State is none.
type State string

// The states. Done and Withdrawn are ends. From Failed and Stopped a task goes on
// only if people vote to go on without a step, or with it once more. See
// [Task.Repeats] for the exception.
const (
	Draft     State = "draft"
	Review    State = "review"    // waits for votes
	Approved  State = "approved"  // may run
	Running   State = "running"   // a step has begun
	Done      State = "done"      // every step is done, or skipped by vote
	Failed    State = "failed"    // a statement failed, or was refused
	Stopped   State = "stopped"   // by a person, by the end of the approval, or because nobody knows how a statement ended
	Withdrawn State = "withdrawn" // by its author, before anything ran
)

// Ended reports whether nothing more can become of the task: it is done or withdrawn,
// or it failed or was stopped and its approval is over.
func (t Task) Ended() bool {
	return t.State == Done || t.State == Withdrawn || (t.State == Failed || t.State == Stopped) && t.Approval != bastion.Approved
}

// Editable reports whether the content may still change.
func (s State) Editable() bool { return s == Draft || s == Review || s == Approved }

// StepState is where a step stands.
type StepState string

// The states of a step.
const (
	StepWaiting StepState = "waiting"
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed" // some of it may have been done
	StepSkipped StepState = "skipped"
)

// Over reports whether steps after it may begin.
func (s StepState) Over() bool { return s == StepDone || s == StepSkipped }

// Outcome is how a statement ended.
type Outcome string

// The outcomes.
const (
	Began      Outcome = "began"   // it may be running
	Succeeded  Outcome = "done"    // and verified, if it verifies
	Failing    Outcome = "failed"  // the target refused it, or its answer is not what was expected
	Refused    Outcome = "refused" // it never reached the target
	Unknowable Outcome = "unknown" // it was sent, and nobody knows whether it ran
)

// Result is one statement's execution.
type Result struct {
	Outcome Outcome   `json:"outcome"`
	Digest  string    `json:"digest"` // of the operation, as it ran
	Tag     string    `json:"tag,omitempty"`
	Rows    int64     `json:"rows"`
	Error   string    `json:"error,omitempty"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
}

// Progress is what became of a step.
type Progress struct {
	State StepState `json:"state"`
	// By executed it, or as much of it as there is, in the session, which names the
	// recording, too.
	By      *bastion.Identity `json:"by,omitempty"`
	Session string            `json:"session,omitempty"`
	Results []Result          `json:"results,omitempty"` // of its statements, in order
	// Undone says of a failed step that nothing of it lasts, as far as the target's own
	// transactions go.
	Undone bool `json:"undone,omitempty"`
	// Earlier are executions that failed and were repeated.
	Earlier []Attempt `json:"earlier,omitempty"`
}

// Attempt is an execution of a step that failed and was repeated.
type Attempt struct {
	By      *bastion.Identity `json:"by,omitempty"`
	Session string            `json:"session,omitempty"`
	Results []Result          `json:"results,omitempty"`
}

// Executors are those who executed the step, or a part of it.
func (p Progress) Executors() []bastion.Identity {
	var all []bastion.Identity
	for _, a := range append(slices.Clone(p.Earlier), Attempt{By: p.By}) {
		if a.By != nil && !slices.ContainsFunc(all, a.By.Equal) {
			all = append(all, *a.By)
		}
	}
	return all
}

// Way is how a task goes on from a step. The zero Way is none.
type Way string

// The ways.
const (
	Skipping  Way = "skip"   // without the step
	Repeating Way = "repeat" // with the step once more, from its first statement on
)

// Resumption is a question whether to go on from a step, and how.
type Resumption struct {
	Way     Way                  `json:"way"`
	Step    string               `json:"step"`
	Attempt int                  `json:"attempt,omitempty"` // how often the step had been repeated before
	Request uint64               `json:"request"`
	State   bastion.RequestState `json:"state"`
	Votes   []bastion.Vote       `json:"votes,omitempty"`
}

// Entry is a line of a task's history: something that somebody did, or that happened.
type Entry struct {
	At       time.Time `json:"at"`
	What     string    `json:"what"`
	Revision int       `json:"revision"`
	Who      string    `json:"who,omitempty"` // an ID; empty for the bastion itself
	Name     string    `json:"name"`
	Session  string    `json:"session,omitempty"`
	Step     string    `json:"step,omitempty"`
	Request  uint64    `json:"request,omitempty"`
	Note     string    `json:"note,omitempty"`
}

// Task is a planned change and all that became of it.
type Task struct {
	ID       uint64           `json:"id"`
	Revision int              `json:"revision"` // counts edits, from 1
	State    State            `json:"state"`
	Why      string           `json:"why,omitempty"` // why it failed or stopped, or came back from review
	Author   bastion.Identity `json:"author"`
	Created  time.Time        `json:"created"`
	Plan     Plan             `json:"plan"`
	Source   string           `json:"source,omitempty"` // the file that its author wrote; for the author alone
	// What follows is of the review that holds, and empty in a draft.
	Digest    string               `json:"digest,omitempty"`
	Reason    string               `json:"reason,omitempty"`
	Needs     bastion.Needs        `json:"needs,omitempty"`
	OtherTeam bool                 `json:"other_team,omitempty"`
	Request   uint64               `json:"request,omitempty"`
	Approval  bastion.RequestState `json:"approval,omitempty"` // state of the request
	Votes     []bastion.Vote       `json:"votes,omitempty"`
	Expires   time.Time            `json:"expires,omitzero"`  // of waiting; of the approval, once there is one
	Progress  []Progress           `json:"progress"`          // of each step of the plan
	Resumed   []Resumption         `json:"resumed,omitempty"` // what was asked for, in order
	History   []Entry              `json:"history"`
}

// Runbook is a file that is kept for making tasks of it.
type Runbook struct {
	Name   string // of the file
	Source []byte
	File   File
	Err    error // why the file cannot be read; nil if it can
}

// Step finds a step by its name; -1 if there is none.
func (t Task) Step(name string) int {
	return slices.IndexFunc(t.Plan.Steps, func(s Step) bool { return s.Name == name })
}

// Ready reports whether the steps that have to be done before a step are.
func (t Task) Ready(i int) bool {
	for _, name := range t.Plan.Steps[i].After {
		if j := t.Step(name); j < 0 || !t.Progress[j].State.Over() {
			return false
		}
	}
	return true
}

// Next is the first step that can begin, or goes on; -1 if there is none.
func (t Task) Next() int {
	if t.State != Approved && t.State != Running {
		return -1
	}
	for i, p := range t.Progress {
		if p.State == StepRunning {
			return i
		}
	}
	for i, p := range t.Progress {
		if p.State == StepWaiting && t.Ready(i) {
			return i
		}
	}
	return -1
}

// InFlight is the step and statement that has begun and not ended; ok is false if
// there is none.
func (t Task) InFlight() (step, statement int, ok bool) {
	for i, p := range t.Progress {
		if n := len(p.Results); n > 0 && p.Results[n-1].Outcome == Began {
			return i, n - 1, true
		}
	}
	return 0, 0, false
}

// Executors are those who executed steps.
func (t Task) Executors() []bastion.Identity {
	var all []bastion.Identity
	for _, p := range t.Progress {
		for _, who := range p.Executors() {
			if !slices.ContainsFunc(all, who.Equal) {
				all = append(all, who)
			}
		}
	}
	return all
}

// Repeats reports whether a step that failed may be executed again by the approval
// that the task has: those who gave it saw that the step says so, and nothing of what
// failed lasts.
func (t Task) Repeats(i int) bool {
	p := t.Progress[i]
	return t.State == Failed && t.Approval == bastion.Approved && p.State == StepFailed && p.Undone && len(p.Earlier) < t.Plan.Steps[i].Retry
}

// Clone shares nothing with t that changes.
func (t Task) Clone() Task {
	t.Votes, t.Resumed, t.History = slices.Clone(t.Votes), slices.Clone(t.Resumed), slices.Clone(t.History)
	for i := range t.Resumed {
		t.Resumed[i].Votes = slices.Clone(t.Resumed[i].Votes)
	}
	t.Progress = slices.Clone(t.Progress)
	for i := range t.Progress {
		p := &t.Progress[i]
		p.Results, p.Earlier = slices.Clone(p.Results), slices.Clone(p.Earlier)
		for j := range p.Earlier {
			p.Earlier[j].Results = slices.Clone(p.Earlier[j].Results)
		}
	}
	return t
}

// Watch is how the person who executes a task follows it. Job is for connecting and
// for showing answers; its Reason and Waiting serve targets to which connecting
// itself needs approval. The functions may be nil.
type Watch struct {
	Job bastion.Job
	// Begins is told of each statement before it is sent, and Ended of its result.
	Begins func(t Task, step, statement int)
	Ended  func(t Task, step, statement int, r Result)
}
