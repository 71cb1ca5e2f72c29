package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// plans is a fake planner: tasks in memory.
type plans struct {
	*visit
	all      []task.Task
	books    []task.Runbook
	did      []string
	run      func(ctx context.Context, id uint64, w task.Watch) (task.Task, error)
	written  []string // sources, with their values
	refusing error    // of writing
}

func (p *plans) note(format string, a ...any) { p.did = append(p.did, fmt.Sprintf(format, a...)) }

func (p *plans) Tasks(ctx context.Context, all bool) (ts []task.Task, err error) {
	for _, t := range p.all {
		if all || !t.Ended() {
			ts = append(ts, t)
		}
	}
	return ts, p.wait(ctx)
}

func (p *plans) Task(ctx context.Context, id uint64) (task.Task, error) {
	for _, t := range p.all {
		if t.ID == id {
			return t, p.wait(ctx)
		}
	}
	return task.Task{}, bastion.ErrNotFound
}

func (p *plans) Read(data []byte) (task.File, error) {
	if strings.Contains(string(data), "stepps") {
		return task.File{}, &task.FileError{Err: errors.New("task:3:1: task: unknown field \"stepps\"; did you mean \"steps\"")}
	}
	if strings.Contains(string(data), "parameters") {
		return runbook().File, nil
	}
	return task.File{Name: "n"}, nil
}

func (p *plans) Runbooks(ctx context.Context) ([]task.Runbook, error) { return p.books, p.wait(ctx) }

func (p *plans) Write(ctx context.Context, id uint64, file []byte, values map[string]string) (task.Task, error) {
	if p.refusing != nil {
		return task.Task{}, p.refusing
	}
	p.written = append(p.written, fmt.Sprintf("%d %q %v", id, file, values))
	return p.all[0], p.wait(ctx)
}

func (p *plans) Submit(ctx context.Context, id uint64, reason string) (task.Task, error) {
	p.note("submit %d %s", id, reason)
	return task.Task{ID: id, Request: 17, Needs: needs()}, p.wait(ctx)
}

func (p *plans) Run(ctx context.Context, id uint64, w task.Watch) (task.Task, error) {
	p.note("run %d", id)
	return p.run(ctx, id, w)
}

func (p *plans) Stop(ctx context.Context, id uint64, reason string) (task.Task, error) {
	p.note("stop %d %s", id, reason)
	return p.all[0], p.wait(ctx)
}

func (p *plans) GoOn(ctx context.Context, id uint64, step string, way task.Way, reason string) (uint64, error) {
	p.note("%s %d %s %s", way, id, step, reason)
	return 18, p.wait(ctx)
}

func needs() bastion.Needs { return bastion.Needs{{Count: 2, Role: "reviewer"}} }

func designer() bastion.Role {
	return bastion.Role{Name: "designer", Duties: []bastion.Duty{bastion.Design}}
}

func ben() bastion.Identity {
	return bastion.Identity{Issuer: "https://id.example", Subject: "3", Kind: bastion.Person, Name: "ben", Expires: noon.Add(8 * time.Hour)}
}

func runbook() task.Runbook {
	no := "false"
	return task.Runbook{Name: "correction", Source: []byte("name: correction\nparameters: {}\n"), File: task.File{Name: "customer data correction", Parameters: []task.Parameter{
		{Name: "customer", Type: task.Integer, Min: "1", Description: "the customer's number"},
		{Name: "city", Type: task.Text, Min: "1", Max: "80", Pattern: `[\p{L} .'-]+`},
		{Name: "country", Type: task.OneOf, Choices: []string{"AT", "DE", "IT"}},
		{Name: "silent", Type: task.Boolean, Default: &no, Description: "no mail to the customer"},
		{Name: "from", Type: task.Date, Min: "2026-01-01"}}}}
}

// aTask is a task of two steps in some state.
func aTask(id uint64, s task.State) task.Task {
	seven, city := "7", "L'Aquila\u202e"
	who := ben()
	t := task.Task{ID: id, Revision: 2, State: s, Author: alice(), Created: noon.Add(-time.Hour), Source: "name: correction\nstepps: []\n",
		Plan: task.Plan{Name: "customer data correction", Description: "Corrects where a customer lives.\n", Values: []task.Value{{Name: "customer", Type: task.Integer, Text: seven}, {Name: "city", Type: task.Text, Text: city}},
			Steps: []task.Step{
				{Name: "staging", Target: "shop-staging", Who: task.Who{Duty: bastion.Execute}, Retry: 1, Statements: []task.Statement{
					{Text: "update customers set city = $1 where id = $2", Params: []string{"city", "customer"}, Summary: "update of public.customers, with WHERE", Effect: "ask", Rule: "staging/writes", Whole: true}}},
				{Name: "production", Target: "shop-production", Who: task.Who{Role: "deployer"}, After: []string{"staging"}, Apart: []string{"staging"}, Statements: []task.Statement{
					{Text: "update customers set city = $1 where id = $2", Params: []string{"city", "customer"}, Summary: "update of public.customers, with WHERE", Effect: "ask", Rule: "production/writes"},
					{Text: "select count(*) from customers where id = $1", Params: []string{"customer"}, Expect: task.Answer{{&seven}}, Reads: true}}}}},
		Progress: []task.Progress{{State: task.StepWaiting}, {State: task.StepWaiting}},
		History:  []task.Entry{{At: noon.Add(-time.Hour), What: "created", Revision: 1, Who: "x", Name: "alice", Session: "s-1"}, {At: noon.Add(-50 * time.Minute), What: "edited", Revision: 2, Name: "alice", Session: "s-1"}}}
	if s == task.Draft {
		return t
	}
	t.Digest, t.Reason, t.Needs, t.Request, t.Approval, t.Expires = strings.Repeat("0f", 32), "ticket 4711\x1b]0;evil\a", needs(), 17, bastion.Pending, noon.Add(23*time.Hour)
	t.History = append(t.History, task.Entry{At: noon.Add(-40 * time.Minute), What: "submitted", Revision: 2, Name: "alice", Session: "s-1", Request: 17, Note: t.Reason})
	if s == task.Review {
		return t
	}
	t.Approval = bastion.Approved
	for i, who := range []bastion.Identity{rita(), {Issuer: "https://id.example", Subject: "4", Name: "nora"}} {
		t.Votes = append(t.Votes, bastion.Vote{Who: who, Roles: []string{"reviewer"}, Verdict: bastion.VoteApprove, Reason: "looks right", At: noon.Add(-30 * time.Minute), Session: fmt.Sprint("s-", i+2)})
		t.History = append(t.History, task.Entry{At: noon.Add(-30 * time.Minute), What: "approve", Revision: 2, Name: who.Name, Session: fmt.Sprint("s-", i+2), Request: 17, Note: "looks right"})
	}
	began := noon.Add(-10 * time.Minute)
	ok := task.Result{Outcome: task.Succeeded, Tag: "UPDATE 1", Rows: 1, Began: began, Ended: began.Add(12 * time.Millisecond)}
	switch s {
	case task.Failed:
		t.Why = "statement 1 of step staging: deadlock detected (40P01)"
		t.Progress[0] = task.Progress{State: task.StepFailed, By: &who, Session: "s-5", Undone: true,
			Results: []task.Result{{Outcome: task.Failing, Error: "deadlock detected (40P01)", Began: began, Ended: began.Add(time.Second)}},
			Earlier: []task.Attempt{{By: &who, Session: "s-4", Results: []task.Result{{Outcome: task.Failing, Error: "deadlock detected (40P01)", Began: began, Ended: began.Add(time.Second)}}}}}
		t.Resumed = []task.Resumption{{Way: task.Repeating, Step: "staging", Request: 18, State: bastion.Pending}}
	case task.Running, task.Done:
		t.Progress[0] = task.Progress{State: task.StepDone, By: &who, Session: "s-5", Results: []task.Result{ok}}
		t.History = append(t.History, task.Entry{At: began, What: "began", Revision: 2, Name: "ben", Session: "s-5", Step: "staging"}, task.Entry{At: began, What: "done", Revision: 2, Name: "ben", Session: "s-5", Step: "staging"})
	}
	if s == task.Done {
		t.Approval = bastion.Used
		t.Progress[1] = task.Progress{State: task.StepDone, By: &who, Session: "s-5", Results: []task.Result{ok, ok}}
	}
	return t
}

func tasksOf(v *visit, ts ...task.Task) func() *visit {
	return func() *visit {
		p := &plans{visit: v, all: ts, books: []task.Runbook{runbook(), {Name: "broken", Source: []byte("stepps: []"), Err: errors.New("task:1:1: unknown field")},
			{Name: "review", Source: []byte("name: r"), File: task.File{Name: "quarterly review of access"}}}}
		p.run = p.running(nil)
		v.plans = p
		return v
	}
}

// running is an execution of the second step, which ends with an error.
func (p *plans) running(err error) func(context.Context, uint64, task.Watch) (task.Task, error) {
	return func(ctx context.Context, id uint64, w task.Watch) (task.Task, error) {
		t := p.all[0]
		w.Begins(t, 1, 0)
		w.Ended(t, 1, 0, task.Result{Outcome: task.Succeeded, Tag: "UPDATE 1", Began: noon, Ended: noon.Add(12 * time.Millisecond)})
		w.Begins(t, 1, 1)
		if err == nil {
			<-ctx.Done()
			return t, ctx.Err()
		}
		w.Ended(t, 1, 1, task.Result{Outcome: task.Failing, Tag: "SELECT 1", Error: err.Error(), Began: noon, Ended: noon.Add(time.Millisecond)})
		t.State, t.Why = task.Failed, "statement 2 of step production: "+err.Error()
		return t, err
	}
}

func TestTaskScreens(t *testing.T) {
	every := []task.Task{aTask(9, task.Failed), aTask(8, task.Running), aTask(7, task.Approved), aTask(6, task.Review), aTask(5, task.Draft), aTask(4, task.Done)}
	ts := func(i int) []task.Task {
		all := []task.Task{every[i]}
		return append(append(all, every[:i]...), every[i+1:]...)
	}
	author := func(i int) func() *visit { return tasksOf(visitOf(alice(), deployer(), designer()), ts(i)...) }
	executor := func(i int) func() *visit { return tasksOf(visitOf(ben(), deployer()), ts(i)...) }
	auditor := tasksOf(visitOf(rita(), auditor()), ts(5)...)
	reviews := tasksOf(visitOf(rita(), reviewer()), ts(3)...)
	for _, sc := range []struct {
		name  string
		visit func() *visit
		keys  []string
	}{
		{"tasks", author(0), []string{"t", "down"}},
		{"tasks-all", executor(0), []string{"t", "tab"}},
		{"tasks-empty", tasksOf(visitOf(ben(), deployer())), []string{"t"}},
		{"task-draft", author(4), []string{"t", "enter"}},
		{"task-review", reviews, []string{"t", "enter"}},
		{"task-approved", executor(2), []string{"t", "enter"}},
		{"task-start", executor(2), []string{"t", "enter", "g", "7"}},
		{"task-run", executor(1), []string{"t", "enter", "g", "8", "enter"}},
		{"task-failed", executor(0), []string{"t", "enter"}},
		{"task-failed-end", executor(0), []string{"t", "enter", "end"}},
		{"task-repeat", executor(0), []string{"t", "enter", "f"}},
		{"task-skip", author(0), []string{"t", "enter", "k"}},
		{"task-done-end", auditor, []string{"t", "tab", "enter", "end"}},
		{"task-recordings", auditor, []string{"t", "tab", "enter", "r"}},
		{"task-new", author(0), []string{"t", "n"}},
		{"task-values", author(0), []string{"t", "n", "enter", "x", "enter", "Ulm", "enter", "right"}},
		{"task-write", author(4), []string{"t", "enter", "e", "ctrl+s"}},
		{"task-help", author(0), []string{"t", "enter", "?"}},
	} {
		t.Run(sc.name, func(t *testing.T) {
			for _, size := range []struct{ w, h int }{{80, 24}, {120, 40}, {40, 10}} {
				play(t, sc.visit(), termenv.Ascii, func(st *stage) {
					st.resize(size.w, size.h)
					st.press(sc.keys...)
					v := st.view()
					if strings.Contains(v, "\x1b") {
						t.Error("a screen without colour has escape sequences")
					}
					golden(t, fmt.Sprintf("%s_%dx%d.txt", sc.name, size.w, size.h), v)
				})
			}
		})
	}
}

// did insists on what reached the ledger.
func (st *stage) did(p *plans, want ...string) {
	st.t.Helper()
	if strings.Join(p.did, "; ") != strings.Join(want, "; ") {
		st.t.Errorf("did %q; want %q", p.did, want)
	}
	p.did = nil
}

// Nothing starts by one key, by a paste, or by another task's number.
func TestTaskStart(t *testing.T) {
	v := tasksOf(visitOf(ben(), deployer()), aTask(8, task.Running))()
	p := v.plans
	p.run = p.running(errors.New("the answer, of 1 rows, is not what the plan expects"))
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("t", "enter", "g")
		st.wants("Step production runs on shop-production now", "Type the task's number (8)")
		st.send(paste("8\r"), tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("8\r")})
		st.wants("pasting does not count")
		st.press("9", "enter")
		st.wants("that is not the number: this is task 8")
		st.press("esc")
		st.lacks("Type the task's number")
		st.did(p)
		st.press("g", "8", "enter")
		st.did(p, "run 8")
		st.wants("UPDATE 1", "with $1 = \"L'Aquila", "is not what the plan expects", "task 8 is failed")
		st.press("esc")
		st.wants("task 8", "Steps")
	})
}

// While a step runs the person cannot lose it by a key, and can stop it.
func TestTaskStop(t *testing.T) {
	for _, keys := range [][]string{{"x", "wrong day", "enter"}, {"ctrl+c"}} {
		v := tasksOf(visitOf(ben(), deployer()), aTask(8, task.Running))()
		p := v.plans
		play(t, v, termenv.Ascii, func(st *stage) {
			st.press("t", "enter", "g", "8", "enter", "esc")
			st.wants("it runs; x stops it", "… it runs")
			st.press(keys...)
			if len(p.did) != 2 || !strings.HasPrefix(p.did[1], "stop 8 ") || st.quit {
				st.t.Errorf("did %q", p.did)
			}
		})
	}
}

func TestTaskActs(t *testing.T) {
	v := tasksOf(visitOf(alice(), deployer(), designer()), aTask(5, task.Draft))()
	p := v.plans
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("t", "enter", "g")
		st.wants("the task is draft, so there is nothing to start")
		st.press("s", "ticket 4711", "enter")
		st.did(p, "submit 5 ticket 4711")
		st.wants("request 17 asks for 2 approvals by reviewers")
		st.press("x", "not needed", "enter")
		st.did(p, "stop 5 not needed")

		// The editor keeps a text that is wrong, and one that is not saved.
		st.press("e", "ctrl+s")
		st.wants(`unknown field "stepps"`)
		st.press("# ", "esc")
		st.wants("esc again throws away")
		st.press("x")
		st.press("ctrl+c")
		st.wants("esc leaves the editor")
		st.press("esc", "esc")
		st.wants("Exactly this runs")
		if len(p.written) > 0 {
			st.t.Errorf("written: %q", p.written)
		}
	})
	p.all[0].State, p.all[0].Approval = task.Approved, bastion.Approved
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("t", "enter", "g")
		st.wants("you designed it, so somebody else executes it")
	})
	v = tasksOf(visitOf(ben(), deployer()), aTask(9, task.Failed))()
	p = v.plans
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("t", "enter", "f")
		st.press("try again", "enter")
		st.did(p, "repeat 9 staging try again")
		st.wants("request 18 asks for it; others decide")
		st.press("k", "enter", "not needed", "enter")
		st.did(p, "skip 9 staging not needed")
		st.press("v")
		st.wants("request 18", "to repeat step staging", "request 17")
		st.press("esc", "r", "enter")
		st.wants("replay")
	})
}

// The form takes what the parameters take, and shows what is wrong beside them.
func TestTaskValues(t *testing.T) {
	v := tasksOf(visitOf(alice(), deployer(), designer()), aTask(5, task.Draft))()
	p := v.plans
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("t", "n", "enter", "seven", "enter")
		st.wants("want a whole number")
		st.press("up", "ctrl+u", "7", "enter", "Ulm", "enter", "right", "enter", "right", "enter", "enter")
		st.wants("want a date")
		p.refusing = &task.ValueError{Name: "city", Message: "there is no such city"}
		st.press("2026-03-01", "enter")
		st.wants("there is no such city")
		p.refusing = nil
		st.press("down", "down", "down", "enter")
		if len(p.written) != 1 || !strings.HasSuffix(p.written[0], "map[city:Ulm country:DE customer:7 from:2026-03-01 silent:true]") || !strings.HasPrefix(p.written[0], `0 "name: correction`) {
			st.t.Errorf("written: %q", p.written)
		}
		st.wants("task 5", "s submits it")
		st.press("esc")
		st.wants("Open tasks") // the form is not below
	})
}
