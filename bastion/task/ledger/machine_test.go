package ledger

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// shape is where the two steps of a task stand, the second of which comes after the
// first. Each has two statements.
type shape [2]struct {
	state   task.StepState
	results []task.Outcome
}

func shapes() []shape {
	type step = struct {
		state   task.StepState
		results []task.Outcome
	}
	ok, began, failed := task.Succeeded, task.Began, task.Failing
	steps := []step{{task.StepWaiting, nil}, {task.StepRunning, []task.Outcome{began}}, {task.StepRunning, []task.Outcome{ok}},
		{task.StepRunning, []task.Outcome{ok, began}}, {task.StepDone, []task.Outcome{ok, ok}}, {task.StepFailed, []task.Outcome{failed}},
		{task.StepFailed, []task.Outcome{ok}}, {task.StepSkipped, nil}}
	var all []shape
	for _, a := range steps {
		for _, b := range steps {
			if a.state == task.StepRunning && b.state == task.StepRunning {
				continue // which no act leads to
			}
			all = append(all, shape{a, b})
		}
	}
	return all
}

var (
	author   = bastion.Identity{Issuer: "i", Subject: "author", Kind: bastion.Person, Name: "author"}
	executor = bastion.Identity{Issuer: "i", Subject: "executor", Kind: bastion.Person, Name: "executor"}
	stranger = bastion.Identity{Issuer: "i", Subject: "stranger", Kind: bastion.Person, Name: "stranger"}
)

func made(state task.State, approval bastion.RequestState, s shape, way task.Way) task.Task {
	t := task.Task{ID: 7, Revision: 3, State: state, Author: author, Request: 4, Approval: approval, Digest: "d", Why: "because",
		Plan: task.Plan{Name: "n", Steps: []task.Step{
			{Name: "one", Target: "a", Who: task.Who{Duty: bastion.Execute}, Statements: []task.Statement{{Whole: true}, {}}, Retry: 1},
			{Name: "two", Target: "b", Who: task.Who{Duty: bastion.Execute}, After: []string{"one"}, Statements: make([]task.Statement, 2)}}},
		Resumed: []task.Resumption{{Way: way, Step: "two", Request: 5, State: bastion.Pending}}}
	for _, x := range s {
		p := task.Progress{State: x.state}
		if x.results != nil {
			who := executor
			p.By, p.Session = &who, "s-executor"
		}
		for _, o := range x.results {
			p.Results = append(p.Results, task.Result{Outcome: o})
		}
		p.Undone = x.state == task.StepFailed && t.Plan.Steps[len(t.Progress)].Undone(p.Results)
		t.Progress = append(t.Progress, p)
	}
	return t
}

func (s shape) over(i int) bool {
	return s[i].state == task.StepDone || s[i].state == task.StepSkipped
}

func (s shape) flies(i int) bool {
	return len(s[i].results) > 0 && s[i].results[len(s[i].results)-1] == task.Began
}

// next as the sentences of the design say it: whether an act is allowed.
func allowed(t task.Task, s shape, a action, f facts) bool {
	running := t.State == task.Approved || t.State == task.Running
	i := a.step
	switch a.act {
	case edit:
		return t.State == task.Draft && f.author && f.designs
	case submit:
		return t.State == task.Draft && f.author && f.designs
	case withdraw:
		return t.State == task.Draft && f.author
	case stop:
		return t.State == task.Running && f.stops
	case begin, refuse:
		mine := f.session == "s-executor" && f.who.Equal(executor)
		first := s[i].state == task.StepWaiting && a.statement == 0
		goesOn := s[i].state == task.StepRunning && mine && !s.flies(i) && a.statement == len(s[i].results)
		return running && t.Approval == bastion.Approved && f.covered && f.may && f.apart &&
			(i == 0 || s.over(0)) && s[1-i].state != task.StepRunning && (first || goesOn)
	case finish:
		return (t.State == task.Running || t.State == task.Stopped) && s.flies(i) && s[i].state == task.StepRunning && a.statement == len(s[i].results)-1 && f.session == "s-executor"
	case leave:
		return (t.State == task.Running || t.State == task.Stopped) && s[i].state == task.StepRunning && f.session == "s-executor"
	case ask:
		return (f.author || f.may) && (running || t.State == task.Failed || t.State == task.Stopped) && t.Approval == bastion.Approved &&
			(s[i].state == task.StepWaiting && a.way == task.Skipping || s[i].state == task.StepFailed && a.way != "") && i != 1 // two is asked for already
	case repeat:
		// Of step one nothing lasts if its first statement failed, and it says that it may
		// be repeated; of two both is otherwise.
		return f.may && t.State == task.Failed && t.Approval == bastion.Approved && i == 0 && s[i].state == task.StepFailed && t.Progress[i].Undone
	case decide, resume:
		return true
	}
	return false
}

// allowing are the facts that let a statement begin: may, apart and covered.
const allowing = 1<<2 | 1<<3 | 1<<4

// Every state with every progress, every act and every combination of facts does what
// the sentences say, or is refused and leaves the task as it was.
func TestMachine(t *testing.T) {
	states := []task.State{"", task.Draft, task.Review, task.Approved, task.Running, task.Failed, task.Stopped, task.Done, task.Withdrawn}
	approvals := []bastion.RequestState{bastion.Pending, bastion.Approved, bastion.Revoked}
	// The facts that an act looks at, by their bits below.
	looks := map[act]int{edit: 0b11, submit: 0b11, withdraw: 0b1, stop: 1 << 5, begin: 0b111011100, refuse: 0b111011100, finish: 0b111 << 6,
		leave: 0b11 << 6, ask: 1 | 1<<2 | 1<<7, repeat: 1<<2 | 1<<7}
	acts := []act{edit, submit, withdraw, stop, begin, finish, refuse, leave, decide, ask, resume, repeat, "", "nonsense"}
	reached := map[string]bool{}
	for _, state := range states {
		for _, approval := range approvals {
			for _, s := range shapes() {
				for _, a := range acts {
					for bits := range 1 << 9 {
						if bits&^looks[a] != 0 {
							continue
						}
						// Where nothing can begin, not even all that is good makes it.
						if (a == begin || a == refuse) && state != task.Approved && state != task.Running && bits&allowing != allowing {
							continue
						}
						machineCase(t, made(state, approval, s, task.Skipping), s, a, bits, reached)
						if a == resume {
							machineCase(t, made(state, approval, s, task.Repeating), s, a, bits, reached)
						}
					}
				}
			}
		}
	}
	for _, want := range []string{"draft edit draft", "draft submit review", "draft withdraw withdrawn", "review decide approved", "review decide draft",
		"approved decide draft", "approved begin running", "approved refuse failed", "running begin running", "running finish running",
		"running finish done", "running finish failed", "running finish stopped", "running leave stopped", "running stop stopped", "running decide stopped",
		"stopped finish stopped", "failed resume running", "stopped resume running", "failed resume done", "running resume done", "approved resume done", "failed repeat running"} {
		if !reached[want] {
			t.Errorf("never reached: %s", want)
		}
		delete(reached, want)
	}
	for got := range reached {
		var from, a, to string
		if _, err := fmt.Sscan(got, &from, &a, &to); err == nil && from != to {
			switch got {
			case "running refuse failed":
			case "stopped finish done", // the last statement ended well after somebody stopped the task
				"stopped resume done":
			default:
				t.Errorf("reached, and in no table: %s", got)
			}
		}
	}
}

func machineCase(t *testing.T, before task.Task, s shape, what act, bits int, reached map[string]bool) {
	bit := func(n int) bool { return bits>>n&1 == 1 }
	f := facts{now: time.Unix(100, 0), who: stranger, session: "s-stranger", author: bit(0), designs: bit(1), may: bit(2), apart: bit(3), covered: bit(4), stops: bit(5)}
	if bit(6) {
		f.who, f.session = executor, "s-executor"
	}
	a := action{act: what}
	if bit(7) {
		a.step = 1
	}
	if bit(8) {
		a.statement = 1
	}
	var more []action
	switch what {
	case edit:
		a.plan = task.Plan{Steps: []task.Step{{Name: "new"}}}
	case submit:
		a.plan, a.digest, a.needs, a.request = before.Plan, "e", bastion.Needs{{Count: 1, Role: "r"}}, bastion.Request{ID: 9, State: bastion.Pending}
	case decide, resume:
		if bits != 0 { // the facts say nothing here
			return
		}
		for _, r := range []bastion.RequestState{bastion.Pending, bastion.Approved, bastion.Used, bastion.Denied, bastion.Expired, bastion.Withdrawn, bastion.Revoked} {
			x := a
			x.request = bastion.Request{ID: 4, State: r, Votes: []bastion.Vote{{Who: stranger, Verdict: bastion.VoteApprove}}}
			if what == resume {
				x.request.ID = 5
			}
			more = append(more, x)
		}
	case ask:
		for _, w := range []task.Way{"", task.Skipping, task.Repeating} {
			x := a
			x.way, x.request = w, bastion.Request{ID: 9, State: bastion.Pending}
			more = append(more, x)
		}
	case finish:
		for _, o := range []task.Outcome{task.Succeeded, task.Failing, task.Refused, task.Unknowable} {
			if o != task.Succeeded && before.State != task.Running && before.State != task.Stopped {
				continue // it is refused, whatever it is
			}
			x := a
			x.result = task.Result{Outcome: o, Error: "e"}
			more = append(more, x)
		}
	}
	if more == nil {
		more = []action{a}
	}
	for _, a := range more {
		given := before.Clone()
		after, err := next(given, a, f)
		if !reflect.DeepEqual(given, before) {
			t.Fatalf("%s %s changed its argument", before.State, a.act)
		}
		want := allowed(before, s, a, f)
		if want != (err == nil) {
			t.Fatalf("%s, approval %s, %v, %s of %d.%d, %+v: %v; allowed: %v", before.State, before.Approval, s, a.act, a.step, a.statement, f, err, want)
		}
		if err != nil {
			if !reflect.DeepEqual(after, before) {
				t.Fatalf("%s %s: refused, and changed all the same", before.State, a.act)
			}
			continue
		}
		reached[fmt.Sprintf("%s %s %s", before.State, a.act, after.State)] = true
		checkAfter(t, before, after, a, f)
	}
}

// checkAfter is what holds after any act.
func checkAfter(t *testing.T, before, after task.Task, a action, f facts) {
	if len(after.History) < len(before.History) || !slices.Equal(after.History[:len(before.History)], before.History) {
		t.Fatalf("%s %s: history was changed", before.State, a.act)
	}
	if before.State != after.State && len(after.History) == len(before.History) && a.act != begin && a.act != finish {
		t.Fatalf("%s %s %s: nobody can read who did that", before.State, a.act, after.State)
	}
	for i, p := range after.Progress {
		if i >= len(before.Progress) || a.act == edit || after.State == task.Draft {
			continue
		}
		old := before.Progress[i]
		if len(p.Earlier) > len(old.Earlier) {
			last := p.Earlier[len(p.Earlier)-1]
			voted := a.act == resume && a.request.State == bastion.Approved && before.Resumed[0].Way == task.Repeating
			if old.State != task.StepFailed || p.State != task.StepWaiting || p.Results != nil || !voted && a.act != repeat ||
				!reflect.DeepEqual(last, task.Attempt{By: old.By, Session: old.Session, Results: old.Results}) {
				t.Fatalf("%s %s: a step is repeated that was %v", before.State, a.act, old)
			}
			continue
		}
		if old.State.Over() && (p.State != old.State || !reflect.DeepEqual(p.Results, old.Results)) {
			t.Fatalf("%s %s: a step that is over changed from %v to %v", before.State, a.act, old, p)
		}
		if len(p.Results) > len(old.Results) && a.act != begin && a.act != refuse || len(p.Results) < len(old.Results) {
			t.Fatalf("%s %s: statements came or went", before.State, a.act)
		}
		for j := range min(len(old.Results), len(p.Results)) {
			if o := old.Results[j].Outcome; o != task.Began && o != p.Results[j].Outcome {
				t.Fatalf("%s %s: the outcome of a statement changed from %s to %s", before.State, a.act, o, p.Results[j].Outcome)
			}
		}
		if p.State == task.StepSkipped && old.State != task.StepSkipped && (a.act != resume || a.request.State != bastion.Approved || before.Resumed[0].Way != task.Skipping) {
			t.Fatalf("%s %s: skipped without a vote", before.State, a.act)
		}
	}
	unknown := slices.ContainsFunc(after.Progress, func(p task.Progress) bool {
		return slices.ContainsFunc(p.Results, func(r task.Result) bool { return r.Outcome == task.Unknowable })
	})
	if unknown && after.State != task.Stopped && before.State == task.Running {
		t.Fatalf("%s %s: nobody knows how a statement ended, and the task is %s", before.State, a.act, after.State)
	}
	if after.State == task.Done && before.State != task.Done {
		for _, p := range after.Progress {
			if !p.State.Over() {
				t.Fatalf("%s %s: done with a step that is %s", before.State, a.act, p.State)
			}
		}
	}
}
