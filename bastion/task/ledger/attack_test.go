package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/task"
)

// A rule that denies holds, whatever people approved before it was made.
func TestBlockedAfterApproval(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a"))
	d.denied = func(bastion.Identity) bool { return true }
	d.refused(d.run(ben, x.ID), "refused by rule blocked: policy does not let you execute statement 1 of step one: not now")
	d.stands(x.ID, task.Approved, "")
	d.didSend()
}

// Who designs need not be allowed to do it: policy is asked for those who may execute,
// and what it wants of any of them the task needs.
func TestAuthorMayNotDoIt(t *testing.T) {
	d := newDesk(t)
	f := one("write a")
	f.Approvals = nil
	d.denied = func(who bastion.Identity) bool { return who.Equal(alice) }
	x := d.approved(f)
	if x.Needs.String() != "1 approval by a reviewer" || x.Plan.Steps[0].Statements[0].Effect != "ask" {
		t.Errorf("needs %s, %+v", x.Needs, x.Plan.Steps[0].Statements[0])
	}
	d.refused(d.run(alice, x.ID), "separation of duties")
	d.must(d.run(ben, x.ID))
	d.didSend("write a")

	d.denied = func(bastion.Identity) bool { return true }
	x, err := d.create(f)
	d.must(err)
	_, err = d.submit(x.ID)
	d.refused(err, "step one, statement 1: refused by rule blocked")
}

func TestOptionsChangedAfterReview(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("read a"))
	d.targets[0].Options = map[string]string{"database": "another"}
	d.must(d.restart())
	d.refused(d.run(ben, x.ID), "not the system for which the task was reviewed")
	d.didSend()
}

// What the executor did on a console of the same session, such as to begin a
// transaction, is not where the task runs.
func TestConsoleOfTheExecutor(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a"))
	d.must(d.as(ben, func(s *bastion.Session) error {
		typed := func() error {
			if err := s.Open(t.Context(), "staging", watching().Job); err != nil {
				return err
			}
			op, err := s.Parse(t.Context(), "staging", "read typed")
			if err != nil {
				return err
			}
			return s.Run(t.Context(), op, watching().Job)
		}
		d.must(typed())
		before := d.dialed
		if _, err := d.ledger.Run(t.Context(), s, x.ID, "", watching()); err != nil {
			return err
		}
		if d.dialed != before+1 {
			t.Errorf("the step made %d connections", d.dialed-before)
		}
		d.must(typed())
		if d.dialed != before+1 {
			t.Error("the console lost its connection")
		}
		return nil
	}))
	d.didSend("read typed", "write a", "read typed")
}

// The clock goes back after the approval's time was over, whether somebody looked at
// the task meanwhile or not.
func TestClockSetBack(t *testing.T) {
	for _, looked := range []bool{true, false} {
		d := newDesk(t)
		x := d.approved(one("write a"))
		other := d.approved(one("write b"))
		d.Pass(task.Lasts + time.Hour)
		if looked {
			d.stands(x.ID, task.Draft, "has expired")
		} else {
			d.refused(d.run(ben, other.ID), "not found") // it is its author's draft again
		}
		d.Pass(-task.Lasts - time.Hour)
		if err := d.run(ben, x.ID); err == nil {
			t.Errorf("it runs after its time; looked: %v", looked)
		}
		d.must(d.restart())
		if err := d.run(ben, x.ID); err == nil {
			t.Errorf("it runs after its time and a restart; looked: %v", looked)
		}
		d.didSend()
	}
}

// The executor is not let in any more, or loses the role, while a statement runs.
func TestExecutorRevokedInBetween(t *testing.T) {
	d := newDesk(t)
	for script, lost := range map[string]func(){
		"write a1; write a2": func() { d.Forget(ben) },
		"write b1; write b2": func() {
			less := ben
			less.Groups = []string{"reviewer"}
			d.Set(less)
		},
	} {
		d.Set(ben)
		d.sent = nil
		x := d.approved(one(script))
		d.during = func(string) error { lost(); return nil }
		d.refused(d.run(ben, x.ID), "")
		d.during = nil
		d.stands(x.ID, task.Stopped, "left in the middle")
		if len(d.sent) != 1 {
			t.Errorf("sent %q", d.sent)
		}
	}
}

// What ends a statement that is already at the target is the same as what refuses one
// before: but then nobody knows whether it ran, and it is not repeated by itself.
func TestRevokedWhileAtTheTarget(t *testing.T) {
	for name, end := range map[string]func(*desk, *bastion.Session){
		"the sign-in ended": func(_ *desk, s *bastion.Session) { s.Fail(fmt.Errorf("looked again: %w", bastion.ErrExpired)) },
		"policy denies it": func(d *desk, s *bastion.Session) {
			d.denied = func(bastion.Identity) bool { return true }
			s.Recheck(t.Context())
		},
	} {
		d := newDesk(t)
		x := d.approved(retry("write a", 5))
		err := d.as(ben, func(s *bastion.Session) error {
			d.during = func(string) error { end(d, s); return errors.New("cancelled") }
			_, err := d.ledger.Run(t.Context(), s, x.ID, "", watching())
			return err
		})
		d.refused(err, "")
		d.denied = nil
		d.stands(x.ID, task.Stopped, "nobody knows whether statement 1")
		if p := d.see(x.ID).Progress[0]; p.Undone || p.Results[0].Outcome != task.Unknowable {
			t.Errorf("%s: %+v", name, p)
		}
		d.refused(d.repeat(ben, x.ID), "takes a vote")
	}
}

// Second accounts and services of somebody's count as the person.
func TestOtherAccounts(t *testing.T) {
	d := newDesk(t)
	second := bastiontest.Person("alice2", "deployer", "reviewer")
	second.Issuer, second.Email = "https://other.example", "ALICE@example.com"
	bot := bastion.Identity{Issuer: "services", Subject: "bot", Kind: bastion.Service, Name: "bot", Owner: alice.ID(), Groups: []string{"deployer", "reviewer"}}
	ritas := bastion.Identity{Issuer: "services", Subject: "r", Kind: bastion.Service, Name: "r", Owner: rita.ID(), Groups: []string{"deployer"}}
	for _, who := range []bastion.Identity{second, bot, ritas} {
		d.Set(who)
	}
	x := d.approved(one("write a"))
	for _, who := range []bastion.Identity{alice, second, bot, ritas} {
		d.refused(d.run(who, x.ID), "separation of duties")
	}
	for _, who := range []bastion.Identity{alice, second, bot} {
		if err := d.vote(who, x.Request, bastion.VoteApprove); err == nil {
			t.Errorf("%s votes on a task of alice's", who.Name)
		}
	}
	d.didSend()

	f := one("write a")
	f.Steps = append(f.Steps, task.FileStep{Name: "two", Target: "staging", Script: "write b", Apart: []string{"one"}})
	x = d.approved(f)
	bens := bastiontest.Person("ben2", "deployer")
	bens.Issuer, bens.Email = "https://other.example", ben.Email
	d.Set(bens)
	d.must(d.run(ben, x.ID)) // and the rest is for others
	for _, who := range []bastion.Identity{ben, bens} {
		d.refused(d.run(who, x.ID), "separation of duties")
	}
	d.must(d.run(carol, x.ID))
	d.didSend("write a", "write b")
}

// Whoever only has to sign in again does not make the task fail.
func TestStaleSignIn(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a"))
	d.fresh = time.Hour
	var stale *bastion.StaleError
	if err := d.run(ben, x.ID); !errors.As(err, &stale) {
		t.Fatal(err)
	}
	d.stands(x.ID, task.Approved, "")
	again := ben
	again.SignedIn = d.Now()
	d.Set(again)
	d.must(d.run(again, x.ID))
	d.didSend("write a")
}

// An author edits while somebody starts: what runs is what was approved, or nothing.
func TestEditRacesWithStart(t *testing.T) {
	d := newDesk(t)
	ran, edited := 0, 0
	for n := range 12 {
		x := d.approved(one(fmt.Sprintf("write a%d; write b%d", n, n)))
		evil, err := json.Marshal(one("write evil"))
		d.must(err)
		d.sent = nil
		start := make(chan struct{})
		var both sync.WaitGroup
		var editing, running error
		both.Go(func() {
			<-start
			running = d.run(ben, x.ID)
		})
		both.Go(func() {
			<-start
			editing = d.as(alice, func(s *bastion.Session) error {
				_, err := d.ledger.Edit(t.Context(), s, x.ID, evil, nil)
				return err
			})
		})
		close(start)
		both.Wait()
		if strings.Contains(strings.Join(d.sent, " "), "evil") || editing == nil && len(d.sent) > 0 {
			t.Fatalf("%d: sent %q; edit: %v, run: %v", n, d.sent, editing, running)
		}
		if editing == nil {
			edited++
			d.stands(x.ID, task.Draft, "")
		}
		if running == nil {
			ran++
		}
	}
	t.Logf("%d ran, %d were edited", ran, edited)
}

// retry is a task of one step that says that it may be repeated.
func retry(script string, times int) task.File {
	f := one(script)
	f.Steps[0].Retry = times
	return f
}

func (d *desk) repeat(who bastion.Identity, id uint64) error {
	return d.as(who, func(s *bastion.Session) error {
		_, err := d.ledger.Repeat(d.t.Context(), s, id, "one", "once more")
		return err
	})
}

func (d *desk) resume(who bastion.Identity, id uint64, way task.Way) (r bastion.Request, err error) {
	err = d.as(who, func(s *bastion.Session) (err error) {
		_, r, err = d.ledger.Resume(d.t.Context(), s, id, "one", way, "a good reason")
		return err
	})
	return r, err
}

// A step of which nothing lasts is repeated as often as its plan says, by those who
// may execute it, and then it takes a vote.
func TestRepeat(t *testing.T) {
	d := newDesk(t)
	no := func(string) error { return &bastion.TargetError{Code: "40P01", Summary: "deadlock"} }
	for script, sent := range map[string][]string{
		"write a":                        {"write a"},
		"read a; write b":                {"read a", "write b"},
		"begin x; write a; create b":     nil, // a step that does not end its transaction
		"begin x; write a; commit x":     {"begin x", "write a", "commit x"},
		"begin x; create a; commit work": {"begin x", "create a", "commit work"},
	} {
		d.sent, d.during = nil, nil
		x, err := d.create(retry(script, 1))
		if sent == nil {
			d.refused(err, "does not end")
			continue
		}
		d.must(err)
		x, err = d.submit(x.ID)
		d.must(err)
		d.must(d.vote(rita, x.Request, bastion.VoteApprove))
		last := sent[len(sent)-1]
		fail := func(text string) error {
			if text == last {
				return no(text)
			}
			return nil
		}
		d.during = fail
		d.refused(d.run(ben, x.ID), "deadlock")
		d.stands(x.ID, task.Failed, "deadlock")
		d.refused(d.repeat(rita, x.ID), "not yours to execute")
		d.refused(d.run(ben, x.ID), "is failed")
		d.must(d.repeat(ben, x.ID))
		d.refused(d.run(ben, x.ID), "deadlock")
		d.refused(d.repeat(ben, x.ID), "takes a vote")
		r, err := d.resume(ben, x.ID, task.Repeating)
		d.must(err)
		d.refused(d.vote(ben, r.ID, bastion.VoteApprove), "")
		d.must(d.vote(nora, r.ID, bastion.VoteApprove))
		d.during = nil
		d.must(d.run(carol, x.ID))
		d.stands(x.ID, task.Done, "")
		p := d.see(x.ID).Progress[0]
		if len(p.Earlier) != 2 || len(p.Executors()) != 2 || !p.By.Equal(carol) || len(d.sent) != 3*len(sent) {
			t.Errorf("%s: %+v; sent %q", script, p, d.sent)
		}
	}
}

// What may last is repeated by vote alone, and so is what nobody knows of.
func TestRepeatOfWhatLasts(t *testing.T) {
	d := newDesk(t)
	for script, fails := range map[string]error{
		"write a; write b":                    &bastion.TargetError{Summary: "no"},
		"create b":                            &bastion.TargetError{Summary: "no"}, // is not undone as a whole
		"begin x; write a; commit x; write b": &bastion.TargetError{Summary: "no"},
		"begin x; write a; rollback x; write c; write b":  &bastion.TargetError{Summary: "no"},
		"begin x; write a; commit and; write b; commit x": &bastion.TargetError{Summary: "no"},
		"write b": &bastion.TargetError{Summary: "gone", Lost: true},
	} {
		d.sent = nil
		x := d.approved(retry(script, 5))
		d.during = func(text string) error {
			if strings.HasSuffix(text, " b") {
				return fails
			}
			return nil
		}
		d.refused(d.run(ben, x.ID), "")
		if x := d.see(x.ID); x.Progress[0].Undone {
			t.Errorf("%s: nothing lasts of %+v", script, x.Progress[0].Results)
		}
		d.refused(d.repeat(ben, x.ID), "takes a vote")
		r, err := d.resume(alice, x.ID, task.Repeating)
		d.must(err)
		d.refused(d.run(ben, x.ID), "")
		var asked bastion.Request
		d.must(d.as(nora, func(s *bastion.Session) (err error) { asked, err = s.Request(t.Context(), r.ID); return err }))
		if !strings.Contains(asked.Text, "may last, and would be executed again") {
			t.Error(asked.Text)
		}
		d.must(d.vote(nora, r.ID, bastion.VoteApprove))
		d.during = nil
		d.must(d.run(ben, x.ID))
		d.stands(x.ID, task.Done, "")
	}
}

// A vote to repeat a step is about the execution that people saw, and not about a
// later one.
func TestRepeatOfAnotherAttempt(t *testing.T) {
	d := newDesk(t)
	x := d.approved(retry("write a", 1))
	d.during = func(string) error { return &bastion.TargetError{Summary: "no"} }
	d.refused(d.run(ben, x.ID), "no")
	r, err := d.resume(ben, x.ID, task.Repeating)
	d.must(err)
	d.must(d.repeat(ben, x.ID))
	d.refused(d.run(ben, x.ID), "no")
	d.must(d.vote(nora, r.ID, bastion.VoteApprove))
	d.stands(x.ID, task.Failed, "")
	d.refused(d.run(ben, x.ID), "is failed")
	d.didSend("write a", "write a")
}

// Who stopped a task meant it: an executor cannot go on by himself.
func TestStoppedIsNotRepeated(t *testing.T) {
	d := newDesk(t)
	x := d.approved(retry("write a; write b", 5))
	d.during = func(string) error {
		return d.as(rita, func(s *bastion.Session) error {
			_, err := d.ledger.Stop(t.Context(), s, x.ID, "wait")
			return err
		})
	}
	d.refused(d.run(ben, x.ID), "stopped by rita")
	d.refused(d.repeat(ben, x.ID), "takes a vote")
}

// A task that can never go on is not in an author's way.
func TestRoom(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a"))
	d.during = func(string) error { return &bastion.TargetError{Summary: "no"} }
	d.refused(d.run(ben, x.ID), "no")
	list := func() (n int) {
		d.must(d.as(axel, func(s *bastion.Session) error {
			ts, err := d.ledger.Tasks(t.Context(), s, false, 0)
			n = len(ts)
			return err
		}))
		return n
	}
	if n := list(); n != 1 {
		t.Errorf("%d open tasks; the one that failed can go on", n)
	}
	d.Pass(task.Lasts + time.Hour)
	d.stands(x.ID, task.Failed, "")
	if n := list(); n != 0 {
		t.Errorf("%d open tasks; the one that failed cannot go on", n)
	}
}

// An executor whom policy lets less than others is told so before the step begins: the
// task has not failed, and who may executes it. That is asked of all statements of the
// step, so that it is not left half done.
func TestExecutorMayLess(t *testing.T) {
	for name, script := range map[string]string{"at its first statement": "write a; write b", "at a later one": "read a; write b"} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			x := d.approved(one(script))
			d.deniedVerb = "write"
			d.denied = func(who bastion.Identity) bool { return who.Equal(ben) }
			for range 2 {
				err := d.run(ben, x.ID)
				d.refused(err, "policy does not let you execute statement ")
				d.refused(err, "not now; nothing was done, and the step still waits; ")
				d.refused(err, "; policy lets both, carol execute it")
			}
			d.didSend()
			if got := d.see(x.ID); got.State != task.Approved || got.Progress[0].State != task.StepWaiting || len(got.Executors()) != 0 {
				t.Errorf("%s, the step %s", got.State, got.Progress[0].State)
			}
			d.must(d.run(carol, x.ID))
			d.stands(x.ID, task.Done, "")
		})
	}
	d := newDesk(t)
	x := d.approved(one("write a"))
	d.deniedVerb, d.denied = "write", func(bastion.Identity) bool { return true }
	d.refused(d.run(ben, x.ID), "policy lets nobody else execute it now")
}
