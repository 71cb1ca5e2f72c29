package approval_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// childDies says how a child kills itself: "event N" while the event of that number is
// written, "said N" when that many things are done and it has not told of the last. With
// it, everything is done once and in order; without it, in several goroutines until
// somebody kills it.
const childDies = "APPROVAL_TEST_DIES"

// dying counts steps, and kills the process at one of them.
type dying struct {
	of    string
	after int

	mu sync.Mutex // guards at
	at map[string]int
}

func newDying(how string) (*dying, error) {
	d := &dying{at: map[string]int{}}
	if how == "" || how == "never" {
		return d, nil
	}
	_, err := fmt.Sscan(how, &d.of, &d.after)
	return d, err
}

// step is a step of a kind, which may be the last.
func (d *dying) step(kind string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at[kind]++; kind == d.of && d.at[kind] == d.after {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it is there
	}
}

func TestMain(m *testing.M) {
	storetest.Main(m, func(dir string) error { return child(dir, os.Getenv(childDies)) })
}

// child takes over what an earlier child left, then asks, votes and uses in
// several goroutines until it is killed. It says each thing only after it was
// told that it is done.
func child(dir, dies string) error {
	end, err := newDying(dies)
	if err != nil {
		return err
	}
	db, err := store.Open(dir)
	if err != nil {
		return err
	}
	people := bastiontest.NewPeople(everybody()...)
	logs := func(tx store.Tx, e bastion.Event) error {
		err := storetest.Append(tx, e)
		end.step("event")
		return err
	}
	s, err := approval.New(approval.Config{DB: db, Append: logs, Roles: rolesOf, Now: time.Now, Teams: teamsOf, Notify: noteTo,
		Known: people.Known, People: people.Everybody})
	if err != nil {
		return err
	}
	ctx := context.Background()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		end.step("said")
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	old, err := s.Requests(ctx, axel, bastion.RequestFilter{Limit: 1 << 20})
	if err != nil {
		return err
	}
	say("hello %d", len(old))
	ballot := func(r bastion.Request, who bastion.Identity, v bastion.Verdict) (bastion.Request, error) {
		if slices.ContainsFunc(r.Votes, func(v bastion.Vote) bool { return v.Who.Equal(who) }) {
			return r, nil
		}
		r, err := s.Vote(ctx, bastion.Ballot{Request: r.ID, Verdict: v, Reason: "I looked", Who: who})
		if err == nil {
			say("vote %d %s", r.ID, who.Name)
		}
		return r, err
	}
	both := func(r bastion.Request) (_ bastion.Request, err error) {
		for _, who := range []bastion.Identity{rita, ben} {
			if r.State != bastion.Pending {
				break
			}
			if r, err = ballot(r, who, bastion.VoteApprove); err != nil {
				return r, err
			}
		}
		return r, nil
	}
	run := func(r bastion.Request) error {
		r, err := both(r)
		if err != nil {
			return err
		}
		used, err := s.Use(ctx, r.ID, ask(alice, plan(r.Text), need(2, "reviewer")))
		if err != nil {
			return err
		}
		say("run %d", used.ID) // here the statement would go to the target
		return nil
	}
	held := func(id uint64, want bool) error {
		grants, err := s.Grants(ctx, alice)
		if err == nil && slices.ContainsFunc(grants, func(g bastion.Grant) bool { return g.Request == id }) != want {
			err = fmt.Errorf("request %d is held: %v", id, !want)
		}
		return err
	}
	// hold takes access from wherever it is to its end.
	hold := func(r bastion.Request) error {
		r, err := both(r)
		if err != nil {
			return err
		}
		if err := held(r.ID, true); err != nil {
			return err
		}
		say("hold %d", r.ID)
		if _, err := ballot(r, alice, bastion.VoteComment); err != nil {
			return err
		}
		if _, err := s.Revoke(ctx, bastion.Ballot{Request: r.ID, Who: alice}); err != nil {
			return err
		}
		say("revoke %d", r.ID)
		return held(r.ID, false)
	}
	for _, r := range old {
		var err error
		switch {
		case r.Kind == bastion.KindAccess && r.State.Open():
			err = hold(r)
		case r.Kind == bastion.KindAccess:
			err = held(r.ID, false)
		case r.Kind == bastion.KindReview:
			// after the emergency, below
		case r.State.Open():
			err = run(r)
		default:
			if _, err := s.Use(ctx, r.ID, ask(alice, plan(r.Text), need(2, "reviewer"))); err == nil {
				say("run %d", r.ID)
			}
		}
		if err != nil {
			return fmt.Errorf("going on with request %d, %s %s: %w", r.ID, r.Kind, r.State, err)
		}
	}
	for _, r := range old {
		if r.Kind == bastion.KindReview && r.State.Open() {
			if r, err = both(r); err != nil || r.State != bastion.Closed {
				return fmt.Errorf("going on with review %d, now %s: %w", r.ID, r.State, err)
			}
		}
	}
	var lanes []func(n int) error
	for g := range 3 {
		lanes = append(lanes, func(n int) error {
			r, err := s.File(ctx, ask(alice, plan(fmt.Sprintf("update %d.%d.%d", os.Getpid(), g, n)), need(2, "reviewer")))
			if err != nil {
				return err
			}
			say("file %d", r.ID)
			return run(r)
		}, func(n int) error {
			q := want(alice, fmt.Sprintf("b%d.%d.%d", os.Getpid(), g, n), need(2, "reviewer"))
			q.Asked.Emergency = g == 0
			q.Terms.Emergency = g == 0
			r, err := s.FileAccess(ctx, q)
			if err != nil {
				return err
			}
			say("file %d", r.ID)
			if err := hold(r); err != nil || g != 0 {
				return err
			}
			review, err := s.Request(ctx, rita, r.ID+1)
			if err != nil {
				return err
			}
			_, err = both(review)
			return err
		})
	}
	if dies != "" {
		for _, f := range lanes[:4] { // one statement, one emergency; and one of each besides
			if err := f(0); err != nil {
				return err
			}
		}
		return nil
	}
	failed := make(chan error)
	for _, f := range lanes {
		go func() {
			for n := 0; ; n++ {
				if err := f(n); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// The bastion is killed at every step of what happens to requests: in the middle of
// each transaction, and after each one before anybody hears of it. The next one finds
// all or nothing of the step, and goes on to the end.
func TestKilledAtEveryStep(t *testing.T) {
	for _, kind := range []string{"event", "said"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			n := 1
			for ; !killedAt(t, fmt.Sprint(kind, " ", n)); n++ {
			}
			if n < 12 {
				t.Errorf("there were %d steps", n-1)
			}
		})
	}
}

// killedAt reports whether the child came to its end before the step at which it dies.
func killedAt(t *testing.T, step string) (over bool) {
	t.Helper()
	dir := storetest.Dir(t)
	h := newHeard()
	for _, dies := range []string{step, "never"} {
		out, err := storetest.Child(dir, childDies+"="+dies).Output()
		exit, _ := errors.AsType[*exec.ExitError](err)
		killed := exit != nil && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if err != nil && (!killed || dies == "never") {
			t.Fatalf("%s, then %s: %v", step, dies, err)
		}
		for line := range strings.Lines(string(out)) {
			h.hear(t, line)
		}
		h.check(t, dir)
		if dies == step && !killed {
			return true
		}
	}
	return false
}

// The bastion is killed again and again, at whatever step it happens to be:
// nothing that was told is lost, and nothing runs twice.
func TestKilled(t *testing.T) {
	dir := storetest.Dir(t)
	h := newHeard()
	for range 12 {
		storetest.Killed(t, dir, rand.IntN(100), func(line string) { h.hear(t, line) })
		h.check(t, dir)
	}
	if len(h.ran) == 0 || h.held == 0 || len(h.revoked) == 0 {
		t.Errorf("%d ran, %d were held, %d revoked", len(h.ran), h.held, len(h.revoked))
	}
}

// heard is what children told.
type heard struct {
	filed, revoked map[uint64]bool
	voted          map[string]bool // "7 rita"
	ran            map[uint64]int
	held           int
}

func newHeard() *heard {
	return &heard{map[uint64]bool{}, map[uint64]bool{}, map[string]bool{}, map[uint64]int{}, 0}
}

// hear takes a line of a child.
func (h *heard) hear(t *testing.T, line string) {
	t.Helper()
	var what, who string
	var id uint64
	if _, err := fmt.Sscan(line+" -", &what, &id, &who); err != nil {
		t.Fatalf("child said %q", line)
	}
	switch what {
	case "file":
		h.filed[id] = true
	case "vote":
		h.voted[fmt.Sprint(id, " ", who)] = true
	case "run":
		h.ran[id]++
	case "hold":
		h.held++
	case "revoke":
		h.revoked[id] = true
	}
}

// check compares the store with what the children told.
func (h *heard) check(t *testing.T, dir string) {
	t.Helper()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := worldOver(t, db, everybody()...)
	w.Service = w.service(time.Now)
	uses, alarms, ends, notes := map[uint64]int{}, map[uint64]int{}, map[uint64]int{}, map[uint64]int{}
	for _, n := range w.notes() {
		if n.Kind == approval.NoteFiled || n.Kind == approval.NoteEmergency || n.Kind == approval.NoteReview {
			notes[n.Request]++
		}
	}
	votes := map[string]int{}
	for _, e := range storetest.Events(t, db) {
		switch e.Kind {
		case bastion.EventUse:
			uses[e.Request]++
		case bastion.EventAlarm:
			alarms[e.Request]++
		case bastion.EventRevoke:
			ends[e.Request]++
		case bastion.EventVote:
			votes[fmt.Sprint(e.Request, " ", e.Name)]++
		}
	}
	all, err := w.Requests(t.Context(), axel, bastion.RequestFilter{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	holds, err := w.Grants(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	given := map[uint64]bool{}
	for _, g := range holds {
		given[g.Request] = true
	}
	kept := map[uint64]bool{}
	balance := 0 // emergencies without a review
	keptVotes := map[string]bool{}
	for _, r := range all {
		kept[r.ID] = true
		for _, v := range r.Votes {
			key := fmt.Sprint(r.ID, " ", v.Who.Name)
			if keptVotes[key] || votes[key] != 1 {
				t.Errorf("vote %s: kept twice %v, logged %d times", key, keptVotes[key], votes[key])
			}
			keptVotes[key] = true
		}
		used := 0
		if r.State == bastion.Used {
			used = 1
		}
		if uses[r.ID] != used || h.ran[r.ID] > used {
			t.Errorf("request %d is %s; logged %d uses, ran %d times", r.ID, r.State, uses[r.ID], h.ran[r.ID])
		}
		emergency, ended := 0, 0
		switch {
		case r.Kind == bastion.KindReview:
			balance--
		case r.Kind == bastion.KindAccess && r.Access.Emergency:
			balance++
			emergency = 1
		}
		if r.State == bastion.Revoked {
			ended = 1
		}
		if alarms[r.ID] != emergency || ends[r.ID] != ended || notes[r.ID] != 1 {
			t.Errorf("request %d, %s %s: %d alarms, %d revocations and %d notes of its beginning", r.ID, r.Kind, r.State, alarms[r.ID], ends[r.ID], notes[r.ID])
		}
		if given[r.ID] != (r.Kind == bastion.KindAccess && r.State == bastion.Approved) || h.revoked[r.ID] && r.State != bastion.Revoked {
			t.Errorf("request %d, %s %s: granted %v, revoked %v", r.ID, r.Kind, r.State, given[r.ID], h.revoked[r.ID])
		}
	}
	if balance != 0 {
		t.Errorf("%d emergencies have no review", balance)
	}
	for id := range h.filed {
		if !kept[id] {
			t.Errorf("request %d is lost", id)
		}
	}
	for key := range h.voted {
		if !keptVotes[key] {
			t.Errorf("vote %s is lost", key)
		}
	}
	for id := range h.ran {
		if !kept[id] {
			t.Errorf("request %d ran and is lost", id)
		}
	}
}
