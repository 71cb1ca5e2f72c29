package approval_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

func TestNewNeedsEverything(t *testing.T) {
	if _, err := approval.New(approval.Config{}); err == nil {
		t.Error("a service of nothing")
	}
}

// From the question to the use, with what everybody reads and what is logged.
func TestLife(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	r := w.file(q)
	want := bastion.Request{
		ID: 1, Kind: bastion.KindOperation, State: bastion.Pending, Who: alice, Origin: q.Origin, Session: "s-alice", Target: "shop-production", Verb: "update",
		Actions: []bastion.Action{{Verb: "update", Resource: "public.customers"}}, Text: statement, Digest: plan(statement).Digest(),
		Settings: "search_path=public", Summary: "update of public.customers", Rule: "production-writes", Needs: bastion.Needs{need(1, "reviewer")},
		Reason: "the customer moved", Preview: bastion.Preview{Rows: 1}, Created: start, Expires: start.Add(30 * time.Minute),
		Approvers: []string{"ben", "pia", "rita"},
	}
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("the requester sees (-want +got):\n%s", d)
	}
	seen, err := w.Request(t.Context(), rita, r.ID)
	want.Yours, want.Seen = true, []bastion.Seen{{Name: "rita", At: start}}
	if d := cmp.Diff(want, seen); err != nil || d != "" {
		t.Errorf("the approver sees %v (-want +got):\n%s", err, d)
	}
	if found, ok, err := w.Find(t.Context(), alice, plan(statement)); err != nil || !ok || found.ID != r.ID {
		t.Errorf("find: %v %v %v", found.ID, ok, err)
	}
	if _, err := w.Use(t.Context(), r.ID, q); err == nil {
		t.Fatal("used before it was approved")
	}
	w.Pass(time.Minute)
	got := w.approves(rita, r.ID)
	if got.State != bastion.Approved || got.Yours || got.Approvers != nil {
		t.Errorf("approved: %+v", got)
	}
	wantVotes := []bastion.Vote{{Who: rita, Roles: []string{"reviewer"}, Verdict: bastion.VoteApprove, Reason: "I looked at it",
		At: start.Add(time.Minute), Origin: bastion.Origin{Key: "SHA256:rita"}, Session: "s-rita"}}
	if d := cmp.Diff(wantVotes, got.Votes); d != "" {
		t.Errorf("votes (-want +got):\n%s", d)
	}
	used, err := w.Use(t.Context(), r.ID, q)
	if err != nil || used.State != bastion.Used || used.Ended.IsZero() {
		t.Errorf("use: %+v, %v", used, err)
	}
	_, err = w.Use(t.Context(), r.ID, q)
	refused(t, err, "request 1 has been used already")
	if _, ok, err := w.Find(t.Context(), alice, plan(statement)); ok || err != nil {
		t.Errorf("find after use: %v %v", ok, err)
	}
	if got, want := w.log(r.ID), "request alice, refused alice, vote rita approve, use alice, refused alice"; got != want {
		t.Errorf("log: %s\nwant %s", got, want)
	}
	for _, e := range storetest.Events(t, w.db) {
		if e.Kind == bastion.EventUse && (e.Digest != r.Digest || e.Text != statement || !slices.Equal(e.By, []string{"rita"}) || e.Who != alice.ID() || e.Session != "s-alice") {
			t.Errorf("the event of the use: %+v", e)
		}
	}
	if again := w.file(q); again.ID == r.ID || again.State != bastion.Pending {
		t.Errorf("asked again: %+v", again)
	}
}

func TestAskedOnce(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	first := w.file(q)
	q.Reason = "again"
	if r := w.file(q); r.ID != first.ID || r.Reason != first.Reason {
		t.Errorf("the same question became request %d, %q", r.ID, r.Reason)
	}
	w.approves(rita, first.ID)
	if r := w.file(q); r.ID != first.ID || r.State != bastion.Approved {
		t.Errorf("the same question, approved, became request %d, %s", r.ID, r.State)
	}
	if r := w.file(ask(ben, plan(statement), need(1, "reviewer"))); r.ID == first.ID {
		t.Error("another person got alice's request")
	}
	if r := w.file(ask(alice, plan(statement+" "), need(1, "reviewer"))); r.ID == first.ID {
		t.Error("another text got the request")
	}
}

func TestBadQuestions(t *testing.T) {
	w := newWorld(t, everybody()...)
	good := func() bastion.Question { return ask(alice, plan(statement), need(1, "reviewer")) }
	for name, c := range map[string]struct {
		spoil func(*bastion.Question)
		says  string
	}{
		"no reason":         {func(q *bastion.Question) { q.Reason = "" }, "approvers want a reason"},
		"reason of dots":    {func(q *bastion.Question) { q.Reason = "... 123 !\u202e" }, "approvers want a reason in words"},
		"long reason":       {func(q *bastion.Question) { q.Reason = strings.Repeat("ä", 2001) }, "the reason has 2001 characters, and may have 2000"},
		"broken reason":     {func(q *bastion.Question) { q.Reason = "fix \xff" }, "not valid UTF-8"},
		"broken text":       {func(q *bastion.Question) { q.Op = plan("select '\xff'") }, "not valid UTF-8"},
		"no operation":      {func(q *bastion.Question) { q.Op = bastion.Operation{} }, "internal error"},
		"nobody":            {func(q *bastion.Question) { q.Who = bastion.Identity{} }, "internal error"},
		"neither kind":      {func(q *bastion.Question) { q.Who.Kind = "" }, "internal error"},
		"denied":            {func(q *bastion.Question) { q.Decision.Effect = bastion.Deny }, "internal error"},
		"zero decision":     {func(q *bastion.Question) { q.Decision = bastion.Decision{} }, "internal error"},
		"needs nobody":      {func(q *bastion.Question) { q.Decision.Needs = nil }, "internal error"},
		"service of nobody": {func(q *bastion.Question) { q.Who.Kind = bastion.Service }, "has no owner"},
	} {
		t.Run(name, func(t *testing.T) {
			q := good()
			c.spoil(&q)
			_, err := w.File(t.Context(), q)
			refused(t, err, c.says)
		})
	}
	q := good()
	q.Reason = strings.Repeat("ä", 2000)
	w.file(q)
	if n := len(storetest.Events(t, w.db)); n != 1 {
		t.Errorf("%d events for one request", n)
	}
}

func TestOpenRequestsAreBounded(t *testing.T) {
	w := newWorld(t, everybody()...)
	var last bastion.Request
	for n := range approval.MaxOpen {
		last = w.file(ask(alice, plan(number(n)), need(1, "reviewer")))
	}
	_, err := w.File(t.Context(), ask(alice, plan("one more"), need(1, "reviewer")))
	refused(t, err, "you have 50 open requests")
	w.file(ask(ben, plan("ben's"), need(1, "reviewer")))
	if _, err := w.Withdraw(t.Context(), alice, last.ID); err != nil {
		t.Fatal(err)
	}
	w.file(ask(alice, plan("one more"), need(1, "reviewer")))
	w.Pass(time.Hour) // nobody looked, and all of them are over
	w.file(ask(alice, plan("later"), need(1, "reviewer")))
}

func TestWithdraw(t *testing.T) {
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: alice.ID(), Groups: []string{"deployer"}}
	w := newWorld(t, append(everybody(), bot)...)
	r := w.file(ask(alice, plan(statement), need(1, "reviewer")))
	if _, err := w.Withdraw(t.Context(), omar, r.ID); !errors.Is(err, bastion.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	_, err := w.Withdraw(t.Context(), rita, r.ID)
	refused(t, err, "not yours, so you cannot withdraw it")
	got, err := w.Withdraw(t.Context(), alice, r.ID)
	if err != nil || got.State != bastion.Withdrawn {
		t.Errorf("%s, %v", got.State, err)
	}
	_, err = w.Withdraw(t.Context(), alice, r.ID)
	refused(t, err, "request 1 was withdrawn")
	_, err = w.vote(rita, r.ID, bastion.VoteApprove)
	refused(t, err, "request 1 was withdrawn")
	b := w.file(ask(bot, plan(statement), need(1, "reviewer")))
	if got, err := w.Withdraw(t.Context(), alice, b.ID); err != nil || got.State != bastion.Withdrawn {
		t.Errorf("the owner of the service: %s, %v", got.State, err)
	}
	if got, want := w.log(r.ID), "request alice, withdrawn alice, refused rita"; got != want {
		t.Errorf("log: %s\nwant %s", got, want)
	}
}

// What does not exist and what is not one's to see are the same.
func TestVisibility(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.file(ask(alice, plan(statement), need(1, "reviewer")))
	for _, id := range []uint64{r.ID, 99, 0} {
		_, err := w.Request(t.Context(), omar, id)
		_, verr := w.vote(omar, id, bastion.VoteApprove)
		_, uerr := w.Use(t.Context(), id, ask(omar, plan(statement), need(1, "reviewer")))
		_, werr := w.Withdraw(t.Context(), omar, id)
		want := fmt.Sprintf("request %d: not found, or not yours to see", id)
		for _, err := range []error{err, verr, uerr, werr} {
			if !errors.Is(err, bastion.ErrNotFound) || err.Error() != want {
				t.Errorf("request %d: %v; want %s", id, err, want)
			}
		}
	}
	for _, who := range []bastion.Identity{alice, rita, ben, pia, axel} {
		if got, err := w.Request(t.Context(), who, r.ID); err != nil || got.Yours != slices.Contains([]string{"rita", "ben", "pia"}, who.Name) {
			t.Errorf("%s: %v %v", who.Name, got.Yours, err)
		}
	}
	_, err := w.vote(axel, r.ID, bastion.VoteApprove)
	refused(t, err, "not yours to decide: it needs 1 approval by a reviewer")
	if n := len(storetest.Events(t, w.db)); n != 2 { // the request, and axel's attempt
		t.Errorf("%d events: what one may not see leaves no trace in one's own log", n)
	}
}

func ids(rs []bastion.Request) []uint64 {
	var all []uint64
	for _, r := range rs {
		all = append(all, r.ID)
	}
	return all
}

func TestLists(t *testing.T) {
	w := newWorld(t, everybody()...)
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: rita.ID(), Groups: []string{"deployer"}}
	w.Set(bot)
	file := func(who bastion.Identity, n int, needs ...bastion.Need) uint64 {
		return w.file(ask(who, plan(number(n)), needs...)).ID
	}
	used := file(alice, 1, need(1, "reviewer"))     // 1
	file(alice, 2, need(1, "owner"))                // 2
	file(ben, 3, need(1, "reviewer"))               // 3
	approved := file(alice, 4, need(1, "reviewer")) // 4
	file(bot, 5, need(1, "reviewer"))               // 5, rita's own service
	half := file(alice, 6, need(2, "reviewer"))     // 6
	w.approves(rita, used)
	if _, err := w.Use(t.Context(), used, ask(alice, plan(number(1)), need(1, "reviewer"))); err != nil {
		t.Fatal(err)
	}
	w.approves(rita, approved)
	w.approves(ben, half)
	for _, c := range []struct {
		who  bastion.Identity
		f    bastion.RequestFilter
		want []uint64
	}{
		{alice, bastion.RequestFilter{}, []uint64{6, 4, 2, 1}},
		{alice, bastion.RequestFilter{Open: true}, []uint64{6, 4, 2}},
		{alice, bastion.RequestFilter{Decide: true}, nil},
		{rita, bastion.RequestFilter{}, []uint64{6, 5, 4, 3, 1}},
		{rita, bastion.RequestFilter{Open: true}, []uint64{6, 5, 4, 3}},
		{rita, bastion.RequestFilter{Mine: true}, []uint64{5}},
		{rita, bastion.RequestFilter{Decide: true}, []uint64{6, 3}},
		{rita, bastion.RequestFilter{Decide: true, Limit: 1}, []uint64{6}},
		{rita, bastion.RequestFilter{Decide: true, Mine: true}, nil},
		{ben, bastion.RequestFilter{Decide: true}, []uint64{5}},
		{ben, bastion.RequestFilter{Mine: true, Open: true}, []uint64{3}},
		{omar, bastion.RequestFilter{}, []uint64{2}},
		{pia, bastion.RequestFilter{Decide: true}, []uint64{6, 5, 3, 2}},
		{pia, bastion.RequestFilter{Limit: 2}, []uint64{6, 5}},
		{axel, bastion.RequestFilter{}, []uint64{6, 5, 4, 3, 2, 1}},
		{axel, bastion.RequestFilter{Open: true, Limit: 3}, []uint64{6, 5, 4}},
		{axel, bastion.RequestFilter{Mine: true}, nil},
		{axel, bastion.RequestFilter{Decide: true}, nil},
		{bastiontest.Person("eve"), bastion.RequestFilter{}, nil},
		{bastion.Identity{}, bastion.RequestFilter{}, nil},
	} {
		got, err := w.Requests(t.Context(), c.who, c.f)
		if err != nil || !slices.Equal(ids(got), c.want) {
			t.Errorf("%s %+v: %v, %v; want %v", c.who.Name, c.f, ids(got), err, c.want)
		}
		for _, r := range got {
			one, err := w.Request(t.Context(), c.who, r.ID)
			r.Seen = one.Seen // which begins when it is looked at alone
			if d := cmp.Diff(one, r); err != nil || d != "" {
				t.Errorf("%s: listed otherwise than alone: %v\n%s", c.who.Name, err, d)
			}
		}
	}
	w.Pass(31 * time.Minute) // over, approved ones too, before anybody looked
	if got, err := w.Requests(t.Context(), rita, bastion.RequestFilter{Open: true}); err != nil || len(got) != 0 {
		t.Errorf("open after their time: %v, %v", ids(got), err)
	}
	if got, err := w.Requests(t.Context(), axel, bastion.RequestFilter{}); err != nil || len(got) != 6 || got[0].State != bastion.Expired {
		t.Errorf("history: %v, %v", ids(got), err)
	}
}

// A secret in a statement is shown to those who decide on it while they do, and
// to nobody else; history and log never have it.
func TestSecretInText(t *testing.T) {
	w := newWorld(t, everybody()...)
	text, clean := "alter role shop password 'hunter2'", "alter role shop password '•'"
	op := bastion.Plan(production, text, bastion.Intent{Verb: "alter", Actions: []bastion.Action{{Verb: "alter"}}, Record: clean})
	q := ask(alice, op, need(1, "reviewer"))
	r := w.file(q)
	for who, want := range map[*bastion.Identity]string{&alice: text, &rita: text, &axel: clean} {
		if got, err := w.Request(t.Context(), *who, r.ID); err != nil || got.Text != want {
			t.Errorf("%s reads %q, %v", who.Name, got.Text, err)
		}
	}
	w.approves(rita, r.ID)
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatal(err)
	}
	for _, who := range []bastion.Identity{alice, rita, axel} {
		if got, err := w.Request(t.Context(), who, r.ID); err != nil || got.Text != clean {
			t.Errorf("afterwards %s reads %q, %v", who.Name, got.Text, err)
		}
	}
	for _, e := range storetest.Events(t, w.db) {
		if strings.Contains(e.Text+e.Reason+e.Error, "hunter2") {
			t.Errorf("the log has the secret: %+v", e)
		}
	}
}

func TestQuorums(t *testing.T) {
	w := newWorld(t, everybody()...)
	both := []bastion.Need{need(1, "reviewer"), need(1, "owner")}
	r := w.file(ask(alice, plan(number(1)), both...))
	if got := w.approves(pia, r.ID); got.State != bastion.Pending {
		t.Errorf("pia alone, in both roles: %s", got.State)
	}
	if got := w.approves(rita, r.ID); got.State != bastion.Approved { // pia moves over to owner
		t.Errorf("pia and rita: %s", got.State)
	}
	if got := w.approves(omar, r.ID); got.State != bastion.Approved || len(got.Votes) != 3 {
		t.Errorf("more than needed: %s, %d votes", got.State, len(got.Votes))
	}
	// One more than needed makes up for one who may not any more.
	w.Set(bastiontest.Person("rita"))
	if _, err := w.Use(t.Context(), r.ID, ask(alice, plan(number(1)), both...)); err != nil {
		t.Errorf("with pia and omar left: %v", err)
	}
}

// What a denial and a second thought do, in each order.
func TestApproveAndDeny(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(2, "reviewer"))
	r := w.file(q)
	w.approves(rita, r.ID)
	_, err := w.vote(rita, r.ID, bastion.VoteApprove)
	refused(t, err, "you already voted")
	_, err = w.Vote(t.Context(), bastion.Ballot{Request: r.ID, Verdict: bastion.VoteDeny, Who: pia})
	refused(t, err, "a denial needs a reason")
	_, err = w.Vote(t.Context(), bastion.Ballot{Request: r.ID, Verdict: "maybe\x1b[2J", Who: pia})
	refused(t, err, `unknown vote "maybe<U+001B>[2J"`)
	got, err := w.vote(rita, r.ID, bastion.VoteDeny) // she thought again
	if err != nil || got.State != bastion.Denied || len(got.Votes) != 2 {
		t.Fatalf("second thoughts: %+v, %v", got, err)
	}
	_, err = w.vote(pia, r.ID, bastion.VoteApprove)
	refused(t, err, "request 1 was denied by rita already")
	var not *bastion.NotApprovedError
	if _, err := w.Use(t.Context(), r.ID, q); !errors.As(err, &not) || not.Request.State != bastion.Denied {
		t.Errorf("use: %v", err)
	}

	r = w.file(q) // a denial revokes what is approved and not used
	w.approves(rita, r.ID)
	w.approves(ben, r.ID)
	got, err = w.vote(pia, r.ID, bastion.VoteDeny)
	if err != nil || got.State != bastion.Denied {
		t.Fatalf("revoked: %s, %v", got.State, err)
	}
	if _, err := w.Use(t.Context(), r.ID, q); !errors.As(err, &not) {
		t.Errorf("use of what was revoked: %v", err)
	}
	if got, want := w.log(r.ID), "request alice, vote rita approve, vote ben approve, vote pia deny, refused alice"; got != want {
		t.Errorf("log: %s\nwant %s", got, want)
	}
}

// An approval that holds serves until its end, counted from the approval.
func TestHolds(t *testing.T) {
	w := newWorld(t, everybody()...)
	connect := bastion.Plan(production, "connect shop-production", bastion.Intent{Verb: bastion.Connect, Actions: []bastion.Action{{Verb: bastion.Connect}}})
	q := ask(alice, connect, need(1, "reviewer"))
	q.Decision.Holds = time.Hour
	r := w.file(q)
	w.Pass(20 * time.Minute)
	w.approves(rita, r.ID)
	for range 3 {
		w.Pass(19 * time.Minute)
		found, ok, err := w.Find(t.Context(), alice, connect)
		if err != nil || !ok || found.ID != r.ID {
			t.Fatalf("find: %v %v", ok, err)
		}
		if got, err := w.Use(t.Context(), r.ID, q); err != nil || got.State != bastion.Approved || !got.Expires.Equal(start.Add(80*time.Minute)) {
			t.Fatalf("use: %s until %v, %v", got.State, got.Expires, err)
		}
	}
	w.Pass(3 * time.Minute)
	_, err := w.Use(t.Context(), r.ID, q)
	refused(t, err, "it was not used in time")
	if _, ok, err := w.Find(t.Context(), alice, connect); ok || err != nil {
		t.Errorf("found after its end: %v", err)
	}
	if got, want := w.log(r.ID), "request alice, vote rita approve, use alice, use alice, use alice, expired sallyport, refused alice"; got != want {
		t.Errorf("log: %s\nwant %s", got, want)
	}
}

// If it cannot be logged, it does not happen.
func TestLogFails(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	disk := errors.New("disk full")
	w.fail(disk)
	if _, err := w.File(t.Context(), q); !errors.Is(err, disk) {
		t.Fatalf("file: %v", err)
	}
	w.fail(nil)
	r := w.file(q)
	w.fail(disk)
	if _, err := w.vote(rita, r.ID, bastion.VoteApprove); !errors.Is(err, disk) {
		t.Fatalf("vote: %v", err)
	}
	w.fail(nil)
	if got := w.state(r.ID); got != bastion.Pending {
		t.Fatalf("after a vote that was not logged: %s", got)
	}
	w.approves(rita, r.ID)
	w.fail(disk)
	if _, err := w.Use(t.Context(), r.ID, q); !errors.Is(err, disk) {
		t.Fatalf("use: %v", err)
	}
	w.fail(nil)
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatalf("use, logged: %v", err)
	}
}

func TestEndedContext(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	r := w.file(q)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the session has ended for a reason")
	cancel(gone)
	_, ferr := w.File(ctx, ask(alice, plan("other"), need(1, "reviewer")))
	_, verr := w.Vote(ctx, bastion.Ballot{Request: r.ID, Verdict: bastion.VoteApprove, Who: rita})
	_, uerr := w.Use(ctx, r.ID, q)
	_, werr := w.Wait(ctx, r.ID, nil)
	for _, err := range []error{ferr, verr, uerr, werr} {
		if !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
	}
	if got := w.state(r.ID); got != bastion.Pending {
		t.Errorf("the request is %s", got)
	}
}

// Waiting sees the request as it is, each change, and the end on time.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, everybody()...)
		w.Service = w.service(time.Now)
		r := w.file(ask(alice, plan(statement), need(2, "reviewer")))
		var seen []bastion.RequestState
		var votes []int
		done := make(chan error)
		go func() {
			_, err := w.Wait(t.Context(), r.ID, func(r bastion.Request) {
				seen, votes = append(seen, r.State), append(votes, len(r.Votes))
			})
			done <- err
		}()
		synctest.Wait()
		if !slices.Equal(votes, []int{0}) {
			t.Errorf("at first: %v", votes)
		}
		w.approves(rita, r.ID)
		synctest.Wait()
		w.approves(ben, r.ID)
		if err := <-done; err != nil {
			t.Errorf("wait: %v", err)
		}
		if !slices.Equal(seen, []bastion.RequestState{bastion.Pending, bastion.Pending, bastion.Approved}) || !slices.Equal(votes, []int{0, 1, 2}) {
			t.Errorf("seen: %v %v", seen, votes)
		}
		if got, err := w.Wait(t.Context(), r.ID, nil); err != nil || got.State != bastion.Approved {
			t.Errorf("waiting for what is approved: %s, %v", got.State, err)
		}

		// Nobody answers.
		began := time.Now()
		q := ask(alice, plan("nobody answers"), need(1, "reviewer"))
		q.Decision.Within = 5 * time.Minute
		r = w.file(q)
		_, err := w.Wait(t.Context(), r.ID, nil)
		var not *bastion.NotApprovedError
		if !errors.As(err, &not) || not.Request.State != bastion.Expired || time.Since(began) != 5*time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}

		// Denied and withdrawn while waiting; and the person goes away.
		for _, end := range []struct {
			act  func(uint64)
			want bastion.RequestState
		}{
			{func(id uint64) { _, err = w.vote(rita, id, bastion.VoteDeny) }, bastion.Denied},
			{func(id uint64) { _, err = w.Withdraw(t.Context(), alice, id) }, bastion.Withdrawn},
		} {
			r = w.file(ask(alice, plan("ends otherwise"), need(1, "reviewer")))
			go func() { _, err := w.Wait(t.Context(), r.ID, nil); done <- err }()
			synctest.Wait()
			end.act(r.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-done; !errors.As(err, &not) || not.Request.State != end.want {
				t.Errorf("%s: %v", end.want, err)
			}
		}
		r = w.file(ask(alice, plan("gone"), need(1, "reviewer")))
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { _, err := w.Wait(ctx, r.ID, nil); done <- err }()
		synctest.Wait()
		cancel(bastion.ErrEnded)
		if err := <-done; !errors.Is(err, bastion.ErrEnded) {
			t.Errorf("gone: %v", err)
		}
		if got := w.state(r.ID); got != bastion.Pending {
			t.Errorf("gone, and the request is %s", got)
		}
		if _, err := w.Wait(t.Context(), 999, nil); !errors.Is(err, bastion.ErrNotFound) {
			t.Errorf("waiting for nothing: %v", err)
		}
	})
}

// Requests outlive the process: a new service finds them, waits and goes on.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, everybody()...)
		w.Service = w.service(time.Now)
		q := ask(alice, plan(statement), need(2, "reviewer"))
		r := w.file(q)
		w.approves(rita, r.ID)
		w.Service = w.service(time.Now)
		found, ok, err := w.Find(t.Context(), alice, plan(statement))
		if err != nil || !ok || found.ID != r.ID || len(found.Votes) != 1 {
			t.Fatalf("find: %+v %v %v", found, ok, err)
		}
		done := make(chan error)
		go func() { _, err := w.Wait(t.Context(), r.ID, nil); done <- err }()
		synctest.Wait()
		w.approves(pia, r.ID)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.Service = w.service(time.Now)
		if _, err := w.Use(t.Context(), r.ID, q); err != nil {
			t.Fatal(err)
		}
		w.Service = w.service(time.Now)
		_, err = w.Use(t.Context(), r.ID, q)
		refused(t, err, "used already")
	})
}

func TestWatch(t *testing.T) {
	w := newWorld(t, everybody()...)
	changes, stop := w.Watch()
	lazy, stopLazy := w.Watch() // never looks; nobody waits for it
	defer stopLazy()
	quiet := func() {
		t.Helper()
		select {
		case <-changes:
			t.Error("told of no change")
		default:
		}
	}
	quiet()
	r := w.file(ask(alice, plan(statement), need(1, "reviewer")))
	<-changes
	quiet()
	w.approves(rita, r.ID)
	w.file(ask(alice, plan("another"), need(1, "reviewer")))
	<-changes
	quiet() // several are one
	if _, err := w.vote(omar, r.ID, bastion.VoteApprove); err == nil {
		t.Error("omar voted")
	}
	quiet() // what was refused is no change
	stop()
	stop()
	if _, err := w.Withdraw(t.Context(), alice, r.ID); err != nil {
		t.Fatal(err)
	}
	quiet()
	<-lazy
}

// A request that was made without a reason gets the one that comes when the same is
// asked again: whoever has looked at it is told, and the log says when it came. A reason
// that is there stays.
func TestReasonGivenLater(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	q.Reason, q.NoReason = "from psql; no reason given", true
	r := w.file(q)
	if again := w.file(q); again.ID != r.ID || len(again.Votes) > 0 || !again.NoReason {
		t.Errorf("asked again without one: %+v", again)
	}
	q.Reason, q.NoReason = "ticket 4711", false
	after := w.file(q)
	if after.ID != r.ID || after.Reason != "ticket 4711" || after.NoReason || after.Digest != r.Digest {
		t.Errorf("got %+v", after)
	}
	if len(after.Votes) != 1 || after.Votes[0].Verdict != bastion.VoteComment || after.Votes[0].Reason != "ticket 4711" || !after.Votes[0].Who.Equal(q.Who) {
		t.Errorf("votes: %+v", after.Votes)
	}
	if got, want := w.log(r.ID), "request alice, vote alice comment"; got != want {
		t.Errorf("log: %s\nwant %s", got, want)
	}
	if es := storetest.Events(t, w.db); es[len(es)-1].Reason != "ticket 4711" || es[len(es)-1].At.IsZero() {
		t.Errorf("the event: %+v", es[len(es)-1])
	}
	for _, other := range []bastion.Question{{Reason: "another one"}, {Reason: "from psql; no reason given", NoReason: true}} {
		q.Reason, q.NoReason = other.Reason, other.NoReason
		if again := w.file(q); again.Reason != "ticket 4711" || len(again.Votes) != 1 {
			t.Errorf("%q changed it: %+v", q.Reason, again)
		}
	}
	if r := w.approves(rita, r.ID); r.State != bastion.Approved {
		t.Errorf("it is %s", r.State)
	}
}
