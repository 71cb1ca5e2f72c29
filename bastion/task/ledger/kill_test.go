package ledger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
	"github.com/sallyport/sallyport/bastion/task"
)

// childDir tells the test binary to be a bastion that will be killed.
const childDir = "LEDGER_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var (
	alice = person("alice", "designer", "deployer")
	rita  = person("rita", "reviewer")
	ben   = person("ben", "deployer")
	axel  = person("axel", "auditor")
)

// child takes over what an earlier child left, and then makes, submits, approves and
// executes tasks until it is killed. It says each thing only after it was told that it
// is done; of a statement, that it is at the target.
func child(dir string) error {
	w, err := newWorld(dir, func(text string) error {
		fmt.Println("sent", text)
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
		if t.State == task.Stopped {
			if err := forward(t); err == nil {
				return errors.New("a task that was stopped went on")
			}
			continue
		}
		if err := forward(t); err != nil {
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
		if err := forward(t); err != nil {
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
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		var complaint strings.Builder
		cmd.Stderr = &complaint
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for left := rand.IntN(40); ; left-- {
			if left == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break // a line that was cut off was not told
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), "sent "); ok {
				sent[text]++
			} else {
				told[strings.TrimSpace(line)] = true
			}
		}
		if err := cmd.Wait(); err == nil || complaint.Len() > 0 {
			t.Fatalf("child ended by itself: %v\n%s", err, complaint.String())
		}
	}
	stopped := checkKilled(t, dir, sent, told)
	if len(sent) == 0 || stopped == 0 {
		t.Errorf("%d statements were sent, and %d tasks stopped in the middle; no proof of anything", len(sent), stopped)
	}
}

// checkKilled compares the store with what the children told.
func checkKilled(t *testing.T, dir string, sent map[string]int, told map[string]bool) (stopped int) {
	t.Helper()
	for text, n := range sent {
		if n > 1 {
			t.Errorf("%s was sent %d times", text, n)
		}
	}
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
	if err := w.db.View(func(tx store.Tx) error {
		return tx.Scan("log", nil, func(_, b []byte) (bool, error) {
			var e bastion.Event
			err := json.Unmarshal(b, &e)
			if e.Kind == bastion.EventUse && e.Verb == "write" {
				events[e.Request]++
			}
			return true, err
		})
	}); err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		writes := 0
		for i, p := range x.Progress {
			for j, r := range p.Results {
				st := x.Plan.Steps[i].Statements[j]
				if r.Outcome == task.Began {
					t.Errorf("task %d: a statement is on its way for ever", x.ID)
				}
				if r.Outcome == task.Succeeded && sent[st.Text] != 1 && told[fmt.Sprint("done ", x.ID)] {
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
			if !strings.Contains(x.Why, "the bastion died") {
				t.Errorf("task %d stopped: %s", x.ID, x.Why)
			}
		}
		for state, what := range map[task.State]string{task.Done: "done ", task.Review: "submitted ", task.Approved: "approved "} {
			if told[fmt.Sprint(what, x.ID)] && (x.State == task.Draft || what == "done " && x.State != state) {
				t.Errorf("task %d is %s; it was told that it is %s", x.ID, x.State, what)
			}
		}
	}
	return stopped
}
