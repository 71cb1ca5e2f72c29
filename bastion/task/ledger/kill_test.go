package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store/storetest"
	"github.com/sallyport/sallyport/bastion/task"
)

func TestMain(m *testing.M) { storetest.Main(m, child) }

var (
	alice = bastiontest.Person("alice", "designer", "deployer")
	rita  = bastiontest.Person("rita", "reviewer")
	ben   = bastiontest.Person("ben", "deployer")
	axel  = bastiontest.Person("axel", "auditor")
)

// fails reports whether the target refuses a statement when it comes for the first time
// to one bastion: of some tasks it is the first statement of step two, which may be
// repeated.
func fails(text string) bool {
	return strings.HasSuffix(text, "3.2.1") || strings.HasSuffix(text, "7.2.1")
}

// child takes over what an earlier child left, and then makes, submits, approves and
// executes tasks until it is killed, and repeats steps that failed. It says each thing
// only after it was told that it is done; of a statement, that it is at the target.
func child(dir string) error {
	seen := map[string]bool{}
	w, err := newWorld(dir, func(text string) error {
		fmt.Println("sent", text)
		if fails(text) && !seen[text] {
			seen[text] = true
			return &bastion.TargetError{Code: "40P01", Summary: "deadlock"}
		}
		return nil
	}, alice, rita, ben, axel)
	if err != nil {
		return err
	}
	ctx := context.Background()
	as := func(who bastion.Identity, f func(*bastion.Session) error) error { return w.visit(ctx, who, f) }
	// forward takes a task from wherever it stands to its end.
	forward := func(t task.Task) error {
		if t.State == task.Draft {
			if err := as(alice, func(s *bastion.Session) (err error) {
				t, err = w.ledger.Submit(ctx, s, t.ID, "a good reason")
				return err
			}); err != nil {
				return err
			}
			fmt.Println("submitted", t.ID)
		}
		if t.State == task.Review {
			if err := as(rita, func(s *bastion.Session) error {
				_, err := s.Vote(ctx, t.Request, bastion.VoteApprove, "")
				return err
			}); err != nil {
				return err
			}
			fmt.Println("approved", t.ID)
		}
		if i := slices.IndexFunc(t.Progress, func(p task.Progress) bool { return p.State == task.StepFailed }); i >= 0 && t.Repeats(i) {
			if err := as(ben, func(s *bastion.Session) error {
				_, err := w.ledger.Repeat(ctx, s, t.ID, t.Plan.Steps[i].Name, "")
				return err
			}); err != nil {
				return err
			}
			fmt.Println("repeated", t.ID)
		}
		return as(ben, func(s *bastion.Session) error {
			t, err := w.ledger.Run(ctx, s, t.ID, "", task.Watch{Job: bastion.Job{Show: func(bastion.Frame) error { return nil }}})
			if err == nil {
				fmt.Println("done", t.ID)
			}
			return err
		})
	}
	var old []task.Task
	if err := as(axel, func(s *bastion.Session) (err error) { old, err = w.ledger.Tasks(ctx, s, false, 1<<20); return err }); err != nil {
		return err
	}
	for _, t := range old {
		if i := slices.IndexFunc(t.Progress, func(p task.Progress) bool { return p.State == task.StepFailed }); t.State == task.Failed && !t.Repeats(i) {
			continue // it failed for a second bastion, too
		}
		if t.State == task.Stopped {
			if err := forward(t); err == nil {
				return errors.New("a task that was stopped went on")
			}
			continue
		}
		if err := forward(t); err != nil && !(fails(t.Plan.Steps[1].Statements[0].Text) && strings.Contains(err.Error(), "deadlock")) {
			return fmt.Errorf("going on with task %d, %s: %w", t.ID, t.State, err)
		}
	}
	for n := 0; ; n++ {
		var t task.Task
		b, err := json.Marshal(file(fmt.Sprintf("p%d-%d", os.Getpid(), n)))
		if err != nil {
			return err
		}
		if err := as(alice, func(s *bastion.Session) (err error) { t, err = w.ledger.New(ctx, s, b, nil); return err }); err != nil {
			return err
		}
		err = forward(t)
		if fails(t.Plan.Steps[1].Statements[0].Text) {
			if err == nil {
				return errors.New("a statement failed, and the task did not")
			}
			if err = as(axel, func(s *bastion.Session) (err error) { t, err = w.ledger.Task(ctx, s, t.ID); return err }); err == nil {
				err = forward(t)
			}
		}
		if err != nil {
			return err
		}
	}
}

// The bastion is killed again and again, wherever it happens to be: nothing that was
// told is lost, nothing is sent twice, and where nobody knows whether a statement
// ran, the task says so and stops.
func TestKilled(t *testing.T) {
	dir := storetest.Dir(t)
	sent := map[string]int{}
	told := map[string]bool{} // "done 7"
	for range 20 {
		storetest.Killed(t, dir, rand.IntN(40), func(line string) {
			if text, ok := strings.CutPrefix(line, "sent "); ok {
				sent[text]++
			} else {
				told[line] = true
			}
		})
	}
	stopped := checkKilled(t, dir, sent, told)
	if len(sent) == 0 || stopped == 0 {
		t.Errorf("%d statements were sent, and %d tasks stopped in the middle; no proof of anything", len(sent), stopped)
	}
}

// checkKilled compares the store with what the children told.
func checkKilled(t *testing.T, dir string, sent map[string]int, told map[string]bool) (stopped int) {
	t.Helper()
	repeated := 0
	w, err := newWorld(dir, func(string) error { return nil }, alice, rita, ben, axel)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []task.Task
	if err := w.visit(t.Context(), axel, func(s *bastion.Session) (err error) {
		all, err = w.ledger.Tasks(t.Context(), s, true, 1<<20)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	events := map[uint64]int{} // uses of a request for one statement
	for _, e := range storetest.Events(t, w.db) {
		if e.Kind == bastion.EventUse && e.Verb == "write" {
			events[e.Request]++
		}
	}
	for _, x := range all {
		writes := 0
		for i, p := range x.Progress {
			repeated += len(p.Earlier)
			before := func(j int) (n int) { // executions of a statement that were repeated
				for _, a := range p.Earlier {
					if j < len(a.Results) {
						n++
					}
				}
				return n
			}
			for j, st := range x.Plan.Steps[i].Statements {
				if n := sent[st.Text]; n > 1+before(j) {
					t.Errorf("%s was sent %d times, and repeated %d times", st.Text, n, before(j))
				}
			}
			if len(p.Earlier) > x.Plan.Steps[i].Retry {
				t.Errorf("task %d: a step was repeated %d times", x.ID, len(p.Earlier))
			}
			for _, a := range p.Earlier {
				writes += len(a.Results)
			}
			for j, r := range p.Results {
				st := x.Plan.Steps[i].Statements[j]
				if r.Outcome == task.Began {
					t.Errorf("task %d: a statement is on its way for ever", x.ID)
				}
				if r.Outcome == task.Succeeded && sent[st.Text] != 1+before(j) && told[fmt.Sprint("done ", x.ID)] {
					t.Errorf("task %d: %s succeeded and was sent %d times", x.ID, st.Text, sent[st.Text])
				}
				if st.Verb == "write" {
					writes++
				}
			}
			for j := len(p.Results); j < len(x.Plan.Steps[i].Statements); j++ {
				if text := x.Plan.Steps[i].Statements[j].Text; sent[text] > 0 {
					t.Errorf("task %d: %s was sent, and the task does not know", x.ID, text)
				}
			}
		}
		if events[x.Request] > writes {
			t.Errorf("task %d: the approval was used %d times for %d statements", x.ID, events[x.Request], writes)
		}
		if x.State == task.Stopped {
			stopped++
			if !strings.Contains(x.Why, "the bastion died") && !strings.Contains(x.Why, "deadlock") {
				t.Errorf("task %d stopped: %s", x.ID, x.Why)
			}
		}
		for state, what := range map[task.State]string{task.Done: "done ", task.Review: "submitted ", task.Approved: "approved "} {
			if told[fmt.Sprint(what, x.ID)] && (x.State == task.Draft || what == "done " && x.State != state) {
				t.Errorf("task %d is %s; it was told that it is %s", x.ID, x.State, what)
			}
		}
	}
	t.Logf("%d tasks stopped in the middle, %d steps were repeated", stopped, repeated)
	return stopped
}
