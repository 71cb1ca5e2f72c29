package ledger_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
	"github.com/sallyport/sallyport/bastion/task"
)

// desk is a world in which one task is moved by hand.
type desk struct {
	*world
	t    *testing.T
	sent []string
	// during is called while a statement is at the target.
	during func(text string) error
}

var (
	carol = bastiontest.Person("carol", "deployer")
	nora  = bastiontest.Person("nora", "reviewer")
	both  = bastiontest.Person("both", "reviewer", "deployer")
)

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t}
	w, err := newWorld(storetest.Dir(t), func(text string) error {
		d.sent = append(d.sent, text)
		if d.during != nil {
			return d.during(text)
		}
		return nil
	}, alice, rita, ben, axel, carol, nora, both)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	d.world = w
	return d
}

func (d *desk) as(who bastion.Identity, f func(*bastion.Session) error) error {
	return d.visit(d.t.Context(), who, f)
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// refused insists on an error that says something.
func (d *desk) refused(err error, says string) {
	d.t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		d.t.Fatalf("got %v; should be refused with %q", err, says)
	}
}

func (d *desk) create(f task.File) (t task.Task, err error) {
	b, err := json.Marshal(f)
	d.must(err)
	err = d.as(alice, func(s *bastion.Session) (err error) { t, err = d.ledger.New(d.t.Context(), s, b, nil); return err })
	return t, err
}

func (d *desk) submit(id uint64) (t task.Task, err error) {
	err = d.as(alice, func(s *bastion.Session) (err error) {
		t, err = d.ledger.Submit(d.t.Context(), s, id, "a good reason")
		return err
	})
	return t, err
}

func (d *desk) vote(who bastion.Identity, request uint64, v bastion.Verdict) error {
	return d.as(who, func(s *bastion.Session) error {
		_, err := s.Vote(d.t.Context(), request, v, "I looked at it")
		return err
	})
}

// approved makes a task that rita has approved.
func (d *desk) approved(f task.File) task.Task {
	d.t.Helper()
	t, err := d.create(f)
	d.must(err)
	t, err = d.submit(t.ID)
	d.must(err)
	d.must(d.vote(rita, t.Request, bastion.VoteApprove))
	return d.see(t.ID)
}

func (d *desk) see(id uint64) (t task.Task) {
	d.t.Helper()
	d.must(d.as(axel, func(s *bastion.Session) (err error) { t, err = d.ledger.Task(d.t.Context(), s, id); return err }))
	return t
}

func watching() task.Watch {
	return task.Watch{Job: bastion.Job{Show: func(bastion.Frame) error { return nil }}}
}

func (d *desk) run(who bastion.Identity, id uint64) error {
	return d.as(who, func(s *bastion.Session) error {
		_, err := d.ledger.Run(d.t.Context(), s, id, "", watching())
		return err
	})
}

func (d *desk) stands(id uint64, state task.State, why string) {
	d.t.Helper()
	if t := d.see(id); t.State != state || !strings.Contains(t.Why, why) {
		d.t.Fatalf("task %d is %s (%s); want %s (%s)", id, t.State, t.Why, state, why)
	}
}

func (d *desk) didSend(want ...string) {
	d.t.Helper()
	if !slices.Equal(d.sent, want) {
		d.t.Fatalf("the target was sent %q; want %q", d.sent, want)
	}
}

// one is a task of one step.
func one(script string) task.File {
	return task.File{Name: "n", Approvals: bastion.Needs{{Count: 1, Role: "reviewer"}}, Steps: []task.FileStep{{Name: "one", Target: "staging", Script: script}}}
}

// Policy that got stricter after the approval holds: what it asks for now is not
// covered by what people gave then.
func TestPolicyChangedAfterApproval(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("read a; write b"))
	d.strict = true
	d.refused(d.run(ben, x.ID), "policy now asks for more")
	d.stands(x.ID, task.Failed, "2 approvals by reviewers")
	d.didSend("read a")
}

func TestSettingsChangedAfterReview(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("read a"))
	d.settings = "path=evil"
	d.refused(d.run(ben, x.ID), "not what it was when the task was reviewed")
	d.stands(x.ID, task.Failed, "")
	d.didSend()
}

func TestTargetMovedAfterReview(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("read a"))
	d.targets[0].Address = "elsewhere:1"
	d.must(d.restart())
	d.refused(d.run(ben, x.ID), "not the system for which the task was reviewed")
	d.didSend()
}

func TestApproverDemotedAfterApproval(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a"))
	demoted := rita
	demoted.Groups = nil
	d.Set(demoted)
	d.refused(d.run(ben, x.ID), "no longer counts")
	d.stands(x.ID, task.Draft, "")
	d.didSend()
}

// An approval that is taken back in the middle ends what runs at once.
func TestApprovalTakenBackWhileRunning(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a; write b"))
	d.during = func(string) error { return d.vote(nora, x.Request, bastion.VoteDeny) }
	d.refused(d.run(ben, x.ID), "request 1") // was denied
	d.stands(x.ID, task.Stopped, "the approval is over")
	d.didSend("write a")
	d.refused(d.run(carol, x.ID), "is stopped")
}

func TestStopWhileRunning(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a; write b"))
	d.during = func(string) error {
		return d.as(alice, func(s *bastion.Session) error {
			_, err := d.ledger.Stop(d.t.Context(), s, x.ID, "wrong day")
			return err
		})
	}
	d.refused(d.run(ben, x.ID), "stopped by alice: wrong day")
	d.stands(x.ID, task.Stopped, "wrong day")
	d.didSend("write a")
}

// Where nobody knows whether a statement ran, it is not sent again, by nobody.
func TestConnectionLost(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a; write b"))
	d.during = func(string) error { return &bastion.TargetError{Summary: "gone", Lost: true} }
	d.refused(d.run(ben, x.ID), "gone")
	d.stands(x.ID, task.Stopped, "nobody knows whether statement 1 of step one ran")
	d.during = nil
	d.refused(d.run(ben, x.ID), "is stopped")
	d.refused(d.run(carol, x.ID), "is stopped")
	d.didSend("write a")
}

// The session of the executor ends while a statement runs.
func TestExecutorGone(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a; write b"))
	ctx, gone := context.WithCancelCause(t.Context())
	d.during = func(string) error {
		gone(errors.New("the client hung up"))
		return context.Cause(ctx)
	}
	err := d.visit(t.Context(), ben, func(s *bastion.Session) error {
		_, err := d.ledger.Run(ctx, s, x.ID, "", watching())
		return err
	})
	d.refused(err, "hung up")
	d.stands(x.ID, task.Stopped, "nobody knows whether statement 1")
	d.didSend("write a")
}

// A fault in the middle leaves no statement on its way.
func TestPanic(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a; write b"))
	d.during = func(string) error { panic("fault") }
	func() {
		defer func() { _ = recover() }()
		_ = d.run(ben, x.ID)
	}()
	d.stands(x.ID, task.Stopped, "nobody knows whether statement 1")
	d.refused(d.run(ben, x.ID), "is stopped")
}

// The approval of a task is for what the task sends, and not for what its executor
// types at the same time.
func TestApprovalOutsideOfTheTask(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a"))
	typed := func(s *bastion.Session) error {
		if err := s.Open(t.Context(), "staging", watching().Job); err != nil {
			return err
		}
		op, err := s.Parse(t.Context(), "staging", "write a")
		if err != nil {
			return err
		}
		return s.Run(t.Context(), op, watching().Job)
	}
	d.refused(d.as(ben, typed), "want a reason")
	d.during = func(string) error {
		if err := d.as(ben, typed); !errors.Is(err, bastion.ErrReason) {
			t.Errorf("typed while the task runs: %v", err)
		}
		return nil
	}
	d.must(d.run(ben, x.ID))
	d.during = nil
	d.refused(d.as(ben, typed), "want a reason")
	d.didSend("write a")
}

func TestTwoExecutors(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a; write b"))
	d.during = func(string) error {
		if err := d.run(carol, x.ID); err == nil || !strings.Contains(err.Error(), "in another session") {
			t.Errorf("carol executes it, too: %v", err)
		}
		return nil
	}
	d.must(d.run(ben, x.ID))
	d.didSend("write a", "write b")
}

// Who approved does not execute, also where others approved enough without them; and
// who executes has no say in what is skipped.
func TestApproverExecutes(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("write a; drop-nothing b"))
	d.must(d.vote(both, x.Request, bastion.VoteApprove))
	d.refused(d.run(both, x.ID), "separation of duties")
	d.refused(d.run(alice, x.ID), "separation of duties")
	d.didSend()
	d.during = func(string) error { return &bastion.TargetError{Summary: "no"} }
	d.refused(d.run(carol, x.ID), "no")
	skip := func(who bastion.Identity) (r bastion.Request, err error) {
		err = d.as(who, func(s *bastion.Session) (err error) {
			_, r, err = d.ledger.Resume(t.Context(), s, x.ID, "one", task.Skipping, "not needed")
			return err
		})
		return r, err
	}
	r, err := skip(alice)
	d.must(err)
	_, err = skip(carol)
	d.refused(err, "asks already")
	d.refused(d.vote(alice, r.ID, bastion.VoteApprove), "")
	d.refused(d.vote(carol, r.ID, bastion.VoteApprove), "")
	d.must(d.vote(nora, r.ID, bastion.VoteApprove))
	d.stands(x.ID, task.Done, "")
}

// A statement that names what the one before it makes is read when its turn comes.
func TestReadLater(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("create a; use a"))
	if s := x.Plan.Steps[0].Statements; s[1].Digest != "" || !strings.Contains(s[1].Note, "by its text alone") || s[0].Digest == "" {
		t.Errorf("read as %+v", s)
	}
	d.must(d.run(ben, x.ID))
	d.didSend("create a", "use a")

	d.sent = nil
	bad, err := d.create(one("read a; use a"))
	d.must(err)
	_, err = d.submit(bad.ID)
	d.refused(err, "step one, statement 2: there is no such thing")
	other := d.approved(one("create a; use b"))
	d.refused(d.run(ben, other.ID), "there is no such thing")
	d.stands(other.ID, task.Failed, "statement 2 of step one")
	d.didSend("create a")
}

func TestDenied(t *testing.T) {
	d := newDesk(t)
	x, err := d.create(one("read a; drop b"))
	d.must(err)
	_, err = d.submit(x.ID)
	d.refused(err, "step one, statement 2: refused by rule no-drop: what is gone is gone")
	nobody := one("read a")
	nobody.Approvals = nil
	x, err = d.create(nobody)
	d.must(err)
	_, err = d.submit(x.ID)
	d.refused(err, "asks for nobody's approval")
}

// A secret in a statement is for its author and those who decide and execute it, and
// for nobody once it has run.
func TestSecrets(t *testing.T) {
	d := newDesk(t)
	x := d.approved(one("hush hunter2"))
	var mine task.Task
	d.must(d.as(rita, func(s *bastion.Session) (err error) { mine, err = d.ledger.Task(t.Context(), s, x.ID); return err }))
	if !strings.Contains(mine.Plan.String(), "hunter2") || strings.Contains(d.see(x.ID).Plan.String(), "hunter2") {
		t.Errorf("rita sees %s\naxel sees %s", mine.Plan, d.see(x.ID).Plan)
	}
	d.must(d.run(ben, x.ID))
	d.didSend("hush hunter2")
	d.must(d.as(rita, func(s *bastion.Session) (err error) { mine, err = d.ledger.Task(t.Context(), s, x.ID); return err }))
	if strings.Contains(mine.Plan.String(), "hunter2") {
		t.Error("the secret is kept")
	}
}

// A runbook's values are bound: they are never a part of what runs, and an approval
// holds for these values alone.
func TestRunbook(t *testing.T) {
	d := newDesk(t)
	made := func(f task.File, values map[string]string) (x task.Task, err error) {
		b, err := json.Marshal(f)
		d.must(err)
		err = d.as(alice, func(s *bastion.Session) (err error) { x, err = d.ledger.New(t.Context(), s, b, values); return err })
		return x, err
	}
	script := func(target, s string) task.File {
		f := one(s)
		f.Steps[0].Target = target
		f.Parameters = []task.Parameter{{Name: "n", Type: task.Integer}, {Name: "s", Type: task.Text}}
		return f
	}
	values := map[string]string{"n": "-7", "s": "'; drop table t; --"}
	for _, c := range []struct{ script, text, fail string }{
		{"update t set a = :s, b = :n-:n where id = :n", "update t set a = $1, b = $2-$2 where id = $2", ""},
		{"select * from t limit :n; select :s", "select * from t limit $1", ""},
		{"select 'x:s', $$:s$$ from t -- :s", "select 'x:s', $$:s$$ from t -- :s", ""}, // these are no placeholders
		{"select date :s", "", "as in: $1::date"},
		{"drop table :s", "", "syntax error"}, // a name is no value
		{"select a from :s", "", "syntax error"},
		{"alter table t add column a text default :s", "", "takes parameters in SELECT"},
		{"create role r password :s", "", "takes parameters in SELECT"},
		{"select $1, :n", "", "declare one, and write :name"},
	} {
		f := script("pg", c.script)
		if found := f.Check(); len(found) > 0 {
			d.refused(errors.New(found[0].Message), c.fail)
			continue
		}
		x, err := made(f, values)
		if c.text == "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%s: %v; want %q", c.script, err, c.fail)
			}
			continue
		}
		d.must(err)
		if got := x.Plan.Steps[0].Statements[0].Text; got != c.text {
			t.Errorf("%s became %s", c.script, got)
		}
	}
	_, err := made(script("staging", "create :s"), values)
	d.refused(err, "statement 1: that takes no parameters")

	x, err := made(script("staging", "write :s; write :n"), values)
	d.must(err)
	x, err = d.submit(x.ID)
	d.must(err)
	d.must(d.vote(rita, x.Request, bastion.VoteApprove))
	d.must(d.run(ben, x.ID))
	d.didSend(`write $1[{"Type":"text","Text":"'; drop table t; --"}]`, `write $1[{"Type":"integer","Text":"-7"}]`)
}

// A value that is changed in the store after the review does not run.
func TestReparameterisedAfterApproval(t *testing.T) {
	d := newDesk(t)
	f := one("write :n")
	f.Parameters = []task.Parameter{{Name: "n", Type: task.Integer}}
	b, err := json.Marshal(f)
	d.must(err)
	var x task.Task
	d.must(d.as(alice, func(s *bastion.Session) (err error) {
		x, err = d.ledger.New(t.Context(), s, b, map[string]string{"n": "7"})
		return err
	}))
	x, err = d.submit(x.ID)
	d.must(err)
	d.must(d.vote(rita, x.Request, bastion.VoteApprove))
	d.must(d.db.Update(func(tx store.Tx) error {
		key := binary.BigEndian.AppendUint64(nil, x.ID)
		return tx.Put("task.tasks", key, bytes.Replace(tx.Get("task.tasks", key), []byte(`"text":"7"`), []byte(`"text":"8"`), 1))
	}))
	d.refused(d.run(ben, x.ID), "the task is not approved")
	d.didSend()
}

// Runbooks are for those who design, and the file that a task is made of is for its
// author.
func TestRunbooks(t *testing.T) {
	d := newDesk(t)
	b, err := json.Marshal(one("write a"))
	d.must(err)
	d.runbooks = []task.Runbook{{Name: "good", Source: b}, {Name: "bad", Source: []byte("no")}}
	d.must(d.as(alice, func(s *bastion.Session) error {
		books, err := d.ledger.Runbooks(t.Context(), s)
		if err != nil || len(books) != 2 || books[0].File.Name != "n" || books[0].Err != nil || books[1].Err == nil {
			t.Errorf("%+v, %v", books, err)
		}
		return err
	}))
	d.refused(d.as(ben, func(s *bastion.Session) error {
		_, err := d.ledger.Runbooks(t.Context(), s)
		return err
	}), "duty to design")
	x := d.approved(one("hush hunter2"))
	for who, sees := range map[string]bool{"alice": true, "rita": false, "axel": false} {
		p, _ := d.Known("https://id.example#" + who)
		d.must(d.as(p, func(s *bastion.Session) error {
			x, err := d.ledger.Task(t.Context(), s, x.ID)
			if (x.Source != "") != sees {
				t.Errorf("%s sees the source: %q", who, x.Source)
			}
			return err
		}))
	}
	d.must(d.run(ben, x.ID))
	d.must(d.as(alice, func(s *bastion.Session) error {
		x, err := d.ledger.Task(t.Context(), s, x.ID)
		if x.Source != "" {
			t.Error("the source, with its secret, is kept")
		}
		return err
	}))
}
