package approval_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// Each attack is a way in which one person could be two, or an approval could
// serve what nobody approved.

func TestApproveOwn(t *testing.T) {
	boss := bastiontest.Person("boss", "deployer", "reviewer", "owner", "auditor", "chief")
	again := boss // another provider, another subject, the same mailbox
	again.Issuer, again.Subject, again.Email = "https://other.example", "4711", "BOSS@Example.com"
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: boss.ID(), Groups: []string{"deployer", "reviewer"}}
	secondKey := func(i bastion.Identity) bastion.Ballot {
		return bastion.Ballot{Who: i, Origin: bastion.Origin{Address: "198.51.100.9:1", Key: "SHA256:another"}, Session: "another"}
	}
	for _, c := range []struct {
		name   string
		asks   bastion.Identity
		ballot bastion.Ballot
		says   string
	}{
		{"in the same session", boss, bastion.Ballot{Who: boss, Session: "s-boss"}, "you cannot approve your own request"},
		{"with a second key", boss, secondKey(boss), "you cannot approve your own request"},
		{"with a second account of the same e-mail", boss, secondKey(again), "you cannot approve your own request"},
		{"asked with the second account", again, secondKey(boss), "you cannot approve your own request"},
		{"that of one's own service", bot, secondKey(boss), "you cannot approve your own request"},
		{"that of one's own service, with a second account", bot, secondKey(again), "you cannot approve your own request"},
		{"by one's own service", boss, bastion.Ballot{Who: bot}, "you cannot approve your own request"},
		{"by the service itself", bot, bastion.Ballot{Who: bot}, "you cannot approve your own request"},
		{"by a service, for somebody else", alice, bastion.Ballot{Who: bot}, "a service cannot vote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, append(everybody(), boss, again, bot)...)
			r := w.file(ask(c.asks, plan(statement), need(1, "reviewer")))
			c.ballot.Request, c.ballot.Verdict = r.ID, bastion.VoteApprove
			_, err := w.Vote(t.Context(), c.ballot)
			refused(t, err, c.says)
			if got := w.state(r.ID); got != bastion.Pending {
				t.Errorf("the request is %s", got)
			}
			if got, err := w.Requests(t.Context(), c.ballot.Who, bastion.RequestFilter{Decide: true}); err != nil || len(got) != 0 {
				t.Errorf("it is in the attacker's queue: %v, %v", ids(got), err)
			}
			if got := w.log(r.ID); !strings.HasSuffix(got, "refused "+c.ballot.Who.Name) {
				t.Errorf("the attempt is not logged: %s", got)
			}
			for _, name := range r.Approvers {
				if name == boss.Name && c.asks.Name != "alice" {
					t.Errorf("the requester is told to ask %s", name)
				}
			}
		})
	}
}

// Nobody knows the owner's e-mail address before the owner signed in, so an
// account of another provider might be the owner's.
func TestOwnerNeverSeen(t *testing.T) {
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: "https://other.example#boss"}
	w := newWorld(t, append(everybody(), bot)...)
	r := w.file(ask(bot, plan(statement), need(1, "reviewer")))
	if len(r.Approvers) != 0 {
		t.Errorf("approvers: %v", r.Approvers)
	}
	_, err := w.vote(rita, r.ID, bastion.VoteApprove)
	refused(t, err, "the owner of the service that asks has not signed in here yet")
	w.Set(bastion.Identity{Issuer: "https://other.example", Subject: "boss", Kind: bastion.Person, Name: "boss", Email: "boss@example.com"})
	if got := w.approves(rita, r.ID); got.State != bastion.Approved {
		t.Errorf("after the owner signed in: %s", got.State)
	}
}

func TestQuorumOfTwoByOnePerson(t *testing.T) {
	rita2 := rita
	rita2.Issuer, rita2.Email = "https://other.example", "Rita@EXAMPLE.com"
	w := newWorld(t, append(everybody(), rita2)...)
	r := w.file(ask(alice, plan(statement), need(2, "reviewer")))
	w.approves(rita, r.ID)
	for _, who := range []bastion.Identity{rita, rita2} {
		_, err := w.vote(who, r.ID, bastion.VoteApprove)
		refused(t, err, "you already voted")
	}
	if got := w.state(r.ID); got != bastion.Pending {
		t.Errorf("the request is %s", got)
	}
	if got := w.approves(ben, r.ID); got.State != bastion.Approved {
		t.Errorf("with a second person: %s", got.State)
	}
}

// Two accounts vote, and turn out to be one person before the use.
func TestTwoAccountsBecomeOnePerson(t *testing.T) {
	other := bastion.Identity{Issuer: "https://other.example", Subject: "r", Kind: bastion.Person, Name: "rr", Email: "r@other.example", Groups: []string{"reviewer"}}
	w := newWorld(t, append(everybody(), other)...)
	q := ask(alice, plan(statement), need(2, "reviewer"))
	r := w.file(q)
	w.approves(rita, r.ID)
	w.approves(other, r.ID)
	other.Email = rita.Email
	w.Set(other)
	_, err := w.Use(t.Context(), r.ID, q)
	refused(t, err, "no longer counts")
}

func TestOnePersonInTwoRoles(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.file(ask(alice, plan(statement), need(1, "reviewer"), need(1, "owner")))
	if got := w.approves(pia, r.ID); got.State != bastion.Pending {
		t.Errorf("pia alone: %s", got.State)
	}
	_, err := w.vote(pia, r.ID, bastion.VoteApprove)
	refused(t, err, "you already voted")
}

// A role that is asked for but does not carry the duty approves nothing.
func TestRoleWithoutDuty(t *testing.T) {
	chief := bastiontest.Person("chief", "chief")
	w := newWorld(t, append(everybody(), chief)...)
	r := w.file(ask(alice, plan(statement), need(1, "chief")))
	if _, err := w.vote(chief, r.ID, bastion.VoteApprove); !errors.Is(err, bastion.ErrNotFound) {
		t.Errorf("an administrator voted: %v", err)
	}
	if len(r.Approvers) != 0 {
		t.Errorf("approvers: %v", r.Approvers)
	}
}

// Between the vote and the use, the world changes.
func TestVoteNoLongerCounts(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		says   string
	}{
		{"the approver was demoted", func(w *world) { w.Set(bastiontest.Person("rita", "deployer")) }, "rita may no longer approve it"},
		{"the approver's groups were removed", func(w *world) { w.Set(bastiontest.Person("rita")) }, "rita may no longer approve it"},
		{"the approver has another approving role now", func(w *world) { w.Set(bastiontest.Person("rita", "owner")) }, "rita may no longer approve it"},
		{"the approver is gone", func(w *world) { w.Forget(rita) }, "rita is no longer known here"},
		{"the approver is a machine now", func(w *world) { p := rita; p.Kind = bastion.Service; w.Set(p) }, "rita is no longer known here"},
		{"the approver turns out to be the requester", func(w *world) { p := rita; p.Email = "ALICE@example.com"; w.Set(p) }, "rita may be the same person"},
		{"the requester turns out to be the approver", func(w *world) { p := alice; p.Email = rita.Email; w.Set(p) }, "rita may be the same person"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, everybody()...)
			q := ask(alice, plan(statement), need(1, "reviewer"))
			r := w.file(q)
			w.approves(rita, r.ID)
			c.change(w)
			_, err := w.Use(t.Context(), r.ID, q)
			refused(t, err, c.says)
			if not := (*bastion.NotApprovedError)(nil); !errors.As(err, &not) || not.Request.State != bastion.Expired {
				t.Errorf("%v is not a *NotApprovedError of an expired request", err)
			}
			// It has ended, so that the next attempt asks anew rather than for ever in vain.
			w.Set(rita)
			w.Set(alice)
			if _, err := w.Use(t.Context(), r.ID, q); err == nil {
				t.Error("it came back")
			}
			if _, ok, err := w.Find(t.Context(), alice, plan(statement)); ok || err != nil {
				t.Errorf("found: %v", err)
			}
			if got, want := w.log(r.ID), "request alice, vote rita approve, expired sallyport, refused alice, refused alice"; got != want {
				t.Errorf("log: %s\nwant %s", got, want)
			}
		})
	}
}

// The session that uses the approval knows better than anybody who the
// requester is by now.
func TestRequesterComesBackAsApprover(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	r := w.file(q)
	w.approves(rita, r.ID)
	q.Who.Email = rita.Email
	_, err := w.Use(t.Context(), r.ID, q)
	refused(t, err, "rita may be the same person")
}

// An approver who was demoted before the second vote does not count in it.
func TestDemotedBeforeTheSecondVote(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.file(ask(alice, plan(statement), need(2, "reviewer")))
	w.approves(rita, r.ID)
	w.Set(bastiontest.Person("rita"))
	if got := w.approves(ben, r.ID); got.State != bastion.Pending {
		t.Errorf("with one of two left: %s", got.State)
	}
	if got := w.approves(pia, r.ID); got.State != bastion.Approved {
		t.Errorf("with a third: %s", got.State)
	}
}

func TestPolicyAsksMoreAtUse(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*bastion.Decision)
		says   string // empty: it may be used
	}{
		{"two instead of one", func(d *bastion.Decision) { d.Needs = bastion.Needs{need(2, "reviewer")} }, "the policy now asks for 2 approvals by reviewers"},
		{"an owner instead", func(d *bastion.Decision) { d.Needs = bastion.Needs{need(1, "owner")} }, "the policy now asks for 1 approval by an owner"},
		{"an owner too", func(d *bastion.Decision) { d.Needs = append(d.Needs, need(1, "owner")) }, "the policy now asks for"},
		{"nobody in particular", func(d *bastion.Decision) { d.Needs = nil }, "no longer counts"},
		{"denied", func(d *bastion.Decision) { d.Effect = bastion.Deny }, "internal error"},
		{"another rule, the same needs", func(d *bastion.Decision) { d.Rule = "renamed" }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, everybody()...)
			q := ask(alice, plan(statement), need(1, "reviewer"))
			r := w.file(q)
			w.approves(rita, r.ID)
			c.change(&q.Decision)
			_, err := w.Use(t.Context(), r.ID, q)
			if c.says != "" {
				refused(t, err, c.says)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Policy shortens how long approvals hold, or wants one each time.
func TestPolicyHoldsLessAtUse(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	q.Decision.Holds = 8 * time.Hour
	r := w.file(q)
	w.approves(rita, r.ID)
	w.Pass(time.Hour)
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatal(err)
	}
	q.Decision.Holds = time.Hour
	_, err := w.Use(t.Context(), r.ID, q)
	refused(t, err, "the policy now lets an approval hold for 1h0m0s")

	q.Decision.Holds = 8 * time.Hour
	r = w.file(q)
	w.approves(rita, r.ID)
	q.Decision.Holds = 0
	if got, err := w.Use(t.Context(), r.ID, q); err != nil || got.State != bastion.Used {
		t.Fatalf("once, as policy says now: %s, %v", got.State, err)
	}

	q.Decision.Holds = 8 * time.Hour
	r = w.file(q)
	w.approves(rita, r.ID)
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatal(err)
	}
	q.Decision.Holds = 0
	_, err = w.Use(t.Context(), r.ID, q)
	refused(t, err, "an approval each time")

	q.Decision.Holds = 0 // and what was approved for once does not begin to hold
	r = w.file(q)
	w.approves(rita, r.ID)
	q.Decision.Holds = 8 * time.Hour
	if got, err := w.Use(t.Context(), r.ID, q); err != nil || got.State != bastion.Used {
		t.Fatalf("approved for once: %s, %v", got.State, err)
	}
}

// What would run is not what was approved, or it is somebody else who runs it.
func TestUseOfSomethingElse(t *testing.T) {
	intent := plan(statement).Intent()
	staging := production
	staging.Name = "shop-staging"
	moved := production
	moved.Address = "db2:5432"
	settings := intent
	settings.Settings = "search_path=evil, public"
	role := intent
	role.Settings = "role=postgres, search_path=public"
	verb := intent
	verb.Verb = "update-all"
	alice2 := alice
	alice2.Issuer = "https://other.example"
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: alice.ID()}
	for _, c := range []struct {
		name string
		who  bastion.Identity
		op   bastion.Operation
		says string
	}{
		{"one byte more", alice, plan(statement + " "), "not exactly what was approved"},
		{"another case", alice, plan(strings.Replace(statement, "Bern", "bern", 1)), "not exactly what was approved"},
		{"another value", alice, plan(strings.Replace(statement, "7", "8", 1)), "not exactly what was approved"},
		{"a letter that looks alike", alice, plan(strings.Replace(statement, "Bern", "Bеrn", 1)), "not exactly what was approved"},
		{"re-encoded as an escape", alice, plan(strings.Replace(statement, "'Bern'", `E'\x42ern'`, 1)), "not exactly what was approved"},
		{"re-encoded by numbers", alice, plan(strings.Replace(statement, "'Bern'", `U&'\0042ern'`, 1)), "not exactly what was approved"},
		{"in other quotes", alice, plan(strings.Replace(statement, "'Bern'", "$$Bern$$", 1)), "not exactly what was approved"},
		{"with a character that does not show", alice, plan(strings.Replace(statement, "Bern", "Be\u200brn", 1)), "not exactly what was approved"},
		{"with another space", alice, plan(strings.Replace(statement, " set", "\u00a0set", 1)), "not exactly what was approved"},
		{"a value as a parameter", alice, plan(strings.Replace(statement, "7", "$1", 1)), "not exactly what was approved"},
		{"a comment", alice, plan(statement + " -- or 1=1"), "not exactly what was approved"},
		{"another search path", alice, bastion.Plan(production, statement, settings), "not exactly what was approved"},
		{"another role", alice, bastion.Plan(production, statement, role), "not exactly what was approved"},
		{"read as something else", alice, bastion.Plan(production, statement, verb), "not exactly what was approved"},
		{"another target", alice, bastion.Plan(staging, statement, intent), "not exactly what was approved"},
		{"the target moved", alice, bastion.Plan(moved, statement, intent), "not exactly what was approved"},
		{"another person", ben, plan(statement), "not found"},
		{"the approver", rita, plan(statement), "not found"},
		{"another account of the same person", alice2, plan(statement), "not found"},
		{"the person's service", bot, plan(statement), "not found"},
		{"the auditor", axel, plan(statement), "not found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, append(everybody(), alice2, bot)...)
			q := ask(alice, plan(statement), need(1, "reviewer"))
			r := w.file(q)
			w.approves(rita, r.ID)
			_, err := w.Use(t.Context(), r.ID, ask(c.who, c.op, need(1, "reviewer")))
			refused(t, err, c.says)
			if _, ok, err := w.Find(t.Context(), c.who, c.op); ok || err != nil {
				t.Errorf("found all the same: %v", err)
			}
			if _, err := w.Use(t.Context(), r.ID, q); err != nil {
				t.Errorf("the attempt spoilt the approval: %v", err)
			}
		})
	}
}

func TestVoteAfterExpiry(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	q.Decision.Within = time.Minute
	r := w.file(q)
	w.Pass(time.Minute) // to the nanosecond: the end is the end
	for _, v := range []bastion.Verdict{bastion.VoteApprove, bastion.VoteDeny} {
		_, err := w.vote(rita, r.ID, v)
		refused(t, err, "request 1 has expired")
	}
	if got, want := w.log(r.ID), "request alice, expired sallyport, refused rita, refused rita"; got != want {
		t.Errorf("log: %s\nwant %s", got, want)
	}
}

// Setting the clock back brings nothing back to life, in this process or the next.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	unseen := w.file(ask(alice, plan("nobody looks at it"), need(1, "reviewer")))
	r := w.file(q)
	w.approves(rita, r.ID)
	w.Pass(time.Hour)
	if got := w.state(r.ID); got != bastion.Expired {
		t.Fatalf("after its time: %s", got)
	}
	w.Pass(-time.Hour)
	for range 2 {
		if got := w.state(r.ID); got != bastion.Expired {
			t.Errorf("set back: %s", got)
		}
		if got := w.state(unseen.ID); got != bastion.Expired {
			t.Errorf("set back, seen for the first time: %s", got)
		}
		if _, err := w.Use(t.Context(), r.ID, q); err == nil {
			t.Error("used after its time")
		}
		w.Service = w.service(w.Now) // after a restart
	}
	r = w.file(q) // and what is asked now does not wait until the clock has caught up
	w.approves(rita, r.ID)
	w.Pass(31 * time.Minute)
	if got := w.state(r.ID); got != bastion.Expired {
		t.Errorf("behind the clock: %s", got)
	}
}

// A new process whose clock is behind goes by the latest time that was written.
func TestClockSetBackWhileDown(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.file(ask(alice, plan(statement), need(1, "reviewer")))
	w.Pass(40 * time.Minute)
	w.file(ask(ben, plan("something else, later"), need(1, "owner"))) // nobody looks at alice's
	w.Pass(-35 * time.Minute)
	w.Service = w.service(w.Now)
	_, err := w.vote(rita, r.ID, bastion.VoteApprove)
	refused(t, err, "has expired")
}

// Reasons are kept as they were typed, and errors never carry what a terminal
// would obey.
func TestTerminalEscapes(t *testing.T) {
	evil := "because \x1b]52;c;ZXZpbA==\x07\u202e of it\r\x1b[2J"
	mallory := bastiontest.Person("mallory", "reviewer")
	mallory.Name = "m\x1b[31mallory"
	w := newWorld(t, append(everybody(), mallory)...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	q.Reason = evil
	r := w.file(q)
	if got, err := w.Request(t.Context(), rita, r.ID); err != nil || got.Reason != evil {
		t.Errorf("the reason became %q, %v", got.Reason, err)
	}
	denied, err := w.Vote(t.Context(), bastion.Ballot{Request: r.ID, Verdict: bastion.VoteDeny, Reason: evil, Who: mallory})
	if err != nil || denied.Votes[0].Reason != evil {
		t.Fatalf("%+v, %v", denied, err)
	}
	again := w.file(q)
	w.approves(mallory, again.ID)
	w.Forget(mallory)
	_, late := w.vote(rita, r.ID, bastion.VoteApprove)
	_, uerr := w.Use(t.Context(), r.ID, q)
	_, lapsed := w.Use(t.Context(), again.ID, q)
	_, werr := w.Wait(t.Context(), r.ID, nil)
	a := want(alice, "writer")
	a.Reason = evil
	access := w.access(a)
	if _, err := w.Vote(t.Context(), bastion.Ballot{Request: access.ID, Verdict: bastion.VoteComment, Reason: evil, Who: rita}); err != nil {
		t.Fatal(err)
	}
	w.approves(rita, access.ID)
	gone, err := w.revokes(rita, access.ID, evil)
	if err != nil || gone.Reason != evil || gone.Votes[0].Reason != evil {
		t.Errorf("the reasons became %q and %q, %v", gone.Reason, gone.Votes[0].Reason, err)
	}
	kept := 0
	for _, e := range storetest.Events(t, w.db) { // reasons are the record; all else is the bastion's own words
		if e.Reason == evil {
			kept++
		}
		if e.Text != bastion.Visible(e.Text) || e.Error != bastion.Visible(e.Error) {
			t.Errorf("an event has %q, %q", e.Text, e.Error)
		}
	}
	if kept < 6 {
		t.Errorf("%d events have the reason as it was typed", kept)
	}
	for _, err := range []error{late, uerr, lapsed, werr} {
		if err == nil || err.Error() != bastion.Visible(err.Error()) {
			t.Errorf("%q", err)
		}
		if err != nil && !strings.Contains(err.Error(), "m<U+001B>[31mallory") {
			t.Errorf("%q does not say who", err)
		}
	}
}

// A session other than the one that asked may use the approval, if it is the very
// same identity's: who waits long hangs up and comes back. It is used once all the
// same, and the log tells both sessions.
func TestUseInAnotherSession(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	r := w.file(q)
	w.approves(rita, r.ID)
	q.Session, q.Origin = "s-later", bastion.Origin{Address: "198.51.100.9:1", Key: "SHA256:alice-laptop"}
	if found, ok, err := w.Find(t.Context(), alice, plan(statement)); err != nil || !ok || found.ID != r.ID {
		t.Fatalf("find: %v, %v", ok, err)
	}
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatal(err)
	}
	q.Session = "s-alice"
	_, err := w.Use(t.Context(), r.ID, q)
	refused(t, err, "used already")
	for _, e := range storetest.Events(t, w.db) {
		if e.Kind == bastion.EventRequest && e.Session != "s-alice" || e.Kind == bastion.EventUse && e.Session != "s-later" {
			t.Errorf("%s in session %s", e.Kind, e.Session)
		}
	}
}

// Who was demoted since their screen was drawn votes in vain.
func TestVoteAfterOwnDemotion(t *testing.T) {
	for _, groups := range [][]string{nil, {"deployer"}, {"chief"}, {"owner"}} {
		w := newWorld(t, everybody()...)
		r := w.file(ask(alice, plan(statement), need(1, "reviewer")))
		if got, err := w.Request(t.Context(), rita, r.ID); err != nil || !got.Yours {
			t.Fatalf("%v, %v", got.Yours, err)
		}
		demoted := bastiontest.Person("rita", groups...)
		w.Set(demoted)
		for _, v := range []bastion.Verdict{bastion.VoteApprove, bastion.VoteDeny, bastion.VoteComment} {
			_, err := w.vote(demoted, r.ID, v)
			refused(t, err, "not found, or not yours to see")
		}
		if got := w.state(r.ID); got != bastion.Pending {
			t.Errorf("%v: %s", groups, got)
		}
	}
}

// Access is the identity's that asked, on its target, and nobody else's.
func TestAccessOfSomebodyElse(t *testing.T) {
	home := alice
	home.Issuer = "https://other.example"
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: alice.ID()}
	glued := bastion.Identity{Issuer: bastiontest.Issuer + "#ali", Subject: "ce", Kind: bastion.Person, Name: "glued"}
	w := newWorld(t, append(everybody(), home, bot, glued)...)
	r := w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	for _, who := range []bastion.Identity{home, bot, glued, rita, ben, axel, {}} {
		w.holds(who)
	}
	w.approves(rita, w.access(want(bot, "writer")).ID)
	w.holds(bot, 2)
	if g := w.holds(alice, 1); g[0].Target != production.Name {
		t.Errorf("%+v", g)
	}
}

// No account of the requester's approves, denies or keeps access for another one.
func TestApproveOwnAccess(t *testing.T) {
	boss := bastiontest.Person("boss", "deployer", "reviewer", "owner", "auditor")
	again := boss
	again.Issuer, again.Subject, again.Email = "https://other.example", "4711", "BOSS@Example.com"
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: boss.ID(), Groups: []string{"reviewer"}}
	for _, asks := range []bastion.Identity{boss, again, bot} {
		for _, votes := range []bastion.Identity{boss, again, bot} {
			w := newWorld(t, append(everybody(), boss, again, bot)...)
			r := w.access(want(asks, "writer"))
			_, err := w.vote(votes, r.ID, bastion.VoteApprove)
			if votes.Kind == bastion.Service { // which none can
				refused(t, err, "cannot")
			} else {
				refused(t, err, "you cannot approve your own request")
			}
			w.holds(asks)
			w.holds(votes)
			if slices.Contains(r.Approvers, "boss") {
				t.Errorf("%s is told to ask the boss", asks.ID())
			}
		}
	}
}

// A policy that changed between the approval of access and its use is looked at
// again; see TestGrantNoLongerCounts. One that changed before the approval is, too.
func TestPolicyChangedBeforeApproval(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.access(want(alice, "writer"))
	w.offer(terms("writer", need(2, "reviewer")))
	w.approves(rita, r.ID)
	w.holds(alice)
	if got := w.state(r.ID); got != bastion.Expired {
		t.Errorf("it is %s", got)
	}
}

// Several take the same emergency at once: one alarm, one review.
func TestEmergencyTwiceAtOnce(t *testing.T) {
	w := newWorld(t, everybody()...)
	var rs [8]bastion.Request
	var errs [8]error
	var asks []func()
	for i := range rs {
		asks = append(asks, func() { rs[i], errs[i] = w.FileAccess(t.Context(), urgent(alice)) })
	}
	together(asks...)
	alarms := 0
	for _, e := range storetest.Events(t, w.db) {
		if e.Kind == bastion.EventAlarm {
			alarms++
		}
	}
	all, err := w.Requests(t.Context(), axel, bastion.RequestFilter{})
	if errors.Join(append(errs[:], err)...) != nil || alarms != 1 || len(all) != 2 {
		t.Errorf("%d alarms, requests %v, %v %v", alarms, ids(all), errs, err)
	}
	w.holds(alice, rs[0].ID)
}

// Access is granted, used and revoked at once: after the revocation was told,
// nothing is listed any more, whichever of the changes came to the memory first.
func TestGrantAgainstRevocation(t *testing.T) {
	w := newWorld(t, everybody()...)
	together(func() { raceGrants(t, w, alice) }, func() { raceGrants(t, w, omar) }, func() { raceGrants(t, w, axel) }, func() { raceGrants(t, w, ben) })
}

func raceGrants(t *testing.T, w *world, who bastion.Identity) {
	for n := range rounds / 4 {
		r, err := w.FileAccess(t.Context(), want(who, "writer"))
		if err != nil {
			t.Error(err)
			return
		}
		var approved, revoked error
		together(
			func() { _, approved = w.vote(rita, r.ID, bastion.VoteApprove) },
			func() { _, revoked = w.revokes(pia, r.ID, "not now") },
			func() { _, err = w.Grants(t.Context(), who) },
		)
		if approved != nil || err != nil {
			t.Errorf("round %d: %v, %v", n, approved, err)
			return
		}
		grants, err := w.Grants(t.Context(), who)
		if held := len(grants) == 1; err != nil || held == (revoked == nil) {
			t.Errorf("round %d: revoked: %v; held %v, %v", n, revoked, grants, err)
			return
		}
		if revoked == nil {
			continue
		}
		if _, err := w.revokes(who, r.ID, ""); err != nil {
			t.Error(err)
			return
		}
		if grants, err := w.Grants(t.Context(), who); err != nil || len(grants) != 0 {
			t.Errorf("round %d: after its end: %v, %v", n, grants, err)
			return
		}
	}
}

const rounds = 200

// together runs all of it at the same moment.
func together(fs ...func()) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for _, f := range fs {
		wg.Go(func() { <-gate; f() })
	}
	close(gate)
	wg.Wait()
}

// Whoever approves at the same moment, all of them count: 1,000 rounds.
func TestSimultaneousApprovals(t *testing.T) {
	w := newWorld(t, everybody()...)
	var lanes []func() // which share commits
	for lane := range 20 {
		who := bastiontest.Person(fmt.Sprintf("asker %d", lane), "deployer")
		w.Set(who)
		lanes = append(lanes, func() {
			for n := range 50 {
				q := ask(who, plan(number(50*lane+n)), need(2, "reviewer"), need(1, "owner"))
				r, err := w.File(t.Context(), q)
				var errs [4]error
				var votes []func()
				for i, voter := range []bastion.Identity{rita, ben, omar, pia} {
					votes = append(votes, func() { _, errs[i] = w.vote(voter, r.ID, bastion.VoteApprove) })
				}
				together(votes...)
				got, uerr := w.Use(t.Context(), r.ID, q)
				if errors.Join(append(errs[:], err, uerr)...) != nil || got.State != bastion.Used || len(got.Votes) != 4 {
					t.Errorf("lane %d, round %d: %s with %d votes; %v, %v, %v", lane, n, got.State, len(got.Votes), err, errs, uerr)
					return
				}
			}
		})
	}
	together(lanes...)
}

// The same person approves in many sessions at once, and counts once.
func TestSimultaneousVotesOfOnePerson(t *testing.T) {
	rita2 := rita
	rita2.Issuer = "https://other.example"
	w := newWorld(t, append(everybody(), rita2)...)
	for n := range rounds {
		r := w.file(ask(ben, plan(number(n)), need(2, "reviewer")))
		var errs [4]error
		var votes []func()
		for i, who := range []bastion.Identity{rita, rita2, rita, rita2} {
			votes = append(votes, func() { _, errs[i] = w.vote(who, r.ID, bastion.VoteApprove) })
		}
		together(votes...)
		counted := 0
		for _, err := range errs {
			if err == nil {
				counted++
			}
		}
		if got := w.state(r.ID); counted != 1 || got != bastion.Pending {
			t.Fatalf("round %d: %d votes counted, and it is %s", n, counted, got)
		}
		if _, err := w.Withdraw(t.Context(), ben, r.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// Approve, deny and use at once: a denial that was accepted is never followed
// by a use, and one that came too late says so.
func TestApproveAgainstDeny(t *testing.T) {
	w := newWorld(t, everybody()...)
	outcomes := map[bastion.RequestState]int{}
	for n := range rounds {
		q := ask(alice, plan(number(n)), need(1, "reviewer"))
		r := w.file(q)
		var approved, denied, used error
		together(
			func() { _, approved = w.vote(rita, r.ID, bastion.VoteApprove) },
			func() { _, denied = w.vote(ben, r.ID, bastion.VoteDeny) },
			func() { _, used = w.Use(t.Context(), r.ID, q) },
		)
		state := w.state(r.ID)
		outcomes[state]++
		switch {
		case used == nil && (state != bastion.Used || denied == nil || approved != nil):
			t.Fatalf("round %d: used, and %s; approve %v, deny %v", n, state, approved, denied)
		case used != nil && (state != bastion.Denied || denied != nil):
			t.Fatalf("round %d: %s; approve %v, deny %v, use %v", n, state, approved, denied, used)
		}
	}
	t.Log(outcomes)
}

func TestUseTwiceAtOnce(t *testing.T) {
	w := newWorld(t, everybody()...)
	for n := range rounds {
		q := ask(alice, plan(number(n)), need(1, "reviewer"))
		r := w.file(q)
		w.approves(rita, r.ID)
		var errs [5]error
		var uses []func()
		for i := range errs {
			uses = append(uses, func() { _, errs[i] = w.Use(t.Context(), r.ID, q) })
		}
		together(uses...)
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !strings.Contains(err.Error(), "used already") {
				t.Errorf("round %d: %v", n, err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: used %d times", n, won)
		}
	}
}

func TestFileTwiceAtOnce(t *testing.T) {
	w := newWorld(t, everybody()...)
	for n := range rounds {
		q := ask(alice, plan(number(n)), need(1, "reviewer"))
		var rs [4]bastion.Request
		var errs [4]error
		var files []func()
		for i := range rs {
			files = append(files, func() { rs[i], errs[i] = w.File(t.Context(), q) })
		}
		together(files...)
		for i, r := range rs {
			if errs[i] != nil || r.ID != rs[0].ID {
				t.Fatalf("round %d: request %d and %d, %v", n, r.ID, rs[0].ID, errs[i])
			}
		}
		if _, err := w.Withdraw(t.Context(), alice, rs[0].ID); err != nil {
			t.Fatal(err)
		}
	}
}

// Many people ask and take back at once, so that one commit both fills and
// empties the lists: nobody waits for ever, and nothing is left open.
func TestManyAskAtOnce(t *testing.T) {
	w := newWorld(t, everybody()...)
	var crowd []func()
	for n := range 40 {
		who := bastiontest.Person(fmt.Sprintf("asker %d", n), "deployer")
		w.Set(who)
		crowd = append(crowd, func() {
			for i := range 100 {
				r, err := w.File(t.Context(), ask(who, plan(number(1000*n+i)), need(1, "reviewer")))
				if err == nil {
					_, err = w.Withdraw(t.Context(), who, r.ID)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	together(crowd...)
	open, err := w.Requests(t.Context(), axel, bastion.RequestFilter{Open: true})
	all, aerr := w.Requests(t.Context(), axel, bastion.RequestFilter{Limit: 1 << 20})
	if errors.Join(err, aerr) != nil || len(open) != 0 || len(all) != 4000 {
		t.Errorf("%d open, %d in all; %v %v", len(open), len(all), err, aerr)
	}
}

// Who asks and takes back, again and again, fills no queue, and yet tells everybody
// each time; with a service it would be two who do. There is an end to it, which is
// told and kept, and which an emergency does not have to wait for.
func TestFloodOfRequests(t *testing.T) {
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: alice.ID(), Groups: []string{"deployer"}}
	w := newWorld(t, append(everybody(), bot)...)
	for n := range approval.MaxAsked {
		who := []bastion.Identity{alice, bot}[n%2]
		r := w.file(ask(who, plan(number(n)), need(1, "reviewer")))
		if _, err := w.Withdraw(t.Context(), who, r.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, who := range []bastion.Identity{alice, bot} {
		_, err := w.File(t.Context(), ask(who, plan(statement), need(1, "reviewer")))
		refused(t, err, "you and your services have made 200 requests within an hour, and nobody may make more; ask again after 13:00:00 UTC")
	}
	_, err := w.FileAccess(t.Context(), want(alice, "writer"))
	refused(t, err, "200 requests within an hour")
	all := storetest.Events(t, w.db)
	if e := all[len(all)-1]; e.Kind != bastion.EventRefused || e.Name != "alice" || !strings.Contains(e.Error, "within an hour") || e.Target != production.Name || e.Session != "s-alice" {
		t.Errorf("the last event: %+v", e)
	}
	w.access(urgent(alice))
	w.file(ask(ben, plan(statement), need(1, "reviewer")))
	w.Pass(time.Hour)
	w.file(ask(alice, plan(statement), need(1, "reviewer")))
}

// One who asks for much, also with a service and so that it is due sooner, does not
// hide what somebody else asks for.
func TestFloodHidesNobody(t *testing.T) {
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: alice.ID(), Groups: []string{"deployer"}}
	w := newWorld(t, append(everybody(), bot)...)
	for n := range 2 * approval.MaxOpen {
		q := ask([]bastion.Identity{alice, bot}[n%2], plan(number(n)), need(1, "reviewer"))
		q.Decision.Within = 10 * time.Minute
		w.file(q)
	}
	w.access(urgent(alice))
	honest := w.file(ask(ben, plan(statement), need(1, "reviewer")))
	got, err := w.Requests(t.Context(), rita, bastion.RequestFilter{Decide: true})
	if err != nil || len(got) != 100 {
		t.Fatalf("%d, %v", len(got), err)
	}
	if got[0].Kind != bastion.KindReview || slices.Index(ids(got), honest.ID) != 11 {
		t.Errorf("a %s first, then the honest one at %d of %v", got[0].Kind, slices.Index(ids(got), honest.ID), ids(got))
	}
}

// An emergency taken again and again, ended by oneself each time, would be access for
// good with nobody looking.
func TestChainOfEmergencies(t *testing.T) {
	w := newWorld(t, everybody()...)
	for range approval.MaxUnreviewed {
		if _, err := w.revokes(alice, w.access(urgent(alice)).ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.FileAccess(t.Context(), urgent(alice))
	refused(t, err, "10 emergencies of yours with break-glass on shop-production wait for their review, and nobody may have more; review 2 has to be closed first, which is for those who decide it (reviewer)")
	if got, want := w.log(2), "request sallyport, refused alice"; got != want {
		t.Errorf("log: %s", got)
	}
	w.holds(alice)
	other := urgent(alice)
	other.Target = "shop-staging" // of which nobody abuses anything
	w.access(other)
	w.access(urgent(ben))
	w.approves(ben, 2)
	w.access(urgent(alice))
}
