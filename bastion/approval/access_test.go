package approval_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// want is a question for two hours of access.
func want(who bastion.Identity, bundle string, needs ...bastion.Need) bastion.AccessQuestion {
	if needs == nil {
		needs = []bastion.Need{need(1, "reviewer")}
	}
	return bastion.AccessQuestion{Who: who, Origin: bastion.Origin{Key: "SHA256:" + who.Name}, Session: "s-" + who.Name, Target: production.Name,
		Asked: bastion.AccessAsked{Bundle: bundle, For: 2 * time.Hour}, Terms: terms(bundle, needs...), Reason: "the shop is slow, ticket 7"}
}

// urgent is the same for an emergency.
func urgent(who bastion.Identity, needs ...bastion.Need) bastion.AccessQuestion {
	q := want(who, "break-glass", needs...)
	q.Asked.Emergency, q.Terms.Emergency = true, true
	return q
}

func (w *world) access(q bastion.AccessQuestion) bastion.Request {
	w.t.Helper()
	r, err := w.FileAccess(w.t.Context(), q)
	if err != nil {
		w.t.Fatalf("asking for access: %v", err)
	}
	return r
}

// holds insists on what somebody may use at this moment: the numbers of requests.
func (w *world) holds(who bastion.Identity, want ...uint64) []bastion.Grant {
	w.t.Helper()
	grants, err := w.Grants(w.t.Context(), who)
	if err != nil {
		w.t.Fatalf("grants of %s: %v", who.Name, err)
	}
	var got []uint64
	for _, g := range grants {
		got = append(got, g.Request)
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("%s holds %v; want %v", who.Name, got, want)
	}
	return grants
}

func (w *world) revokes(who bastion.Identity, id uint64, reason string) (bastion.Request, error) {
	return w.Revoke(w.t.Context(), bastion.Ballot{Request: id, Reason: reason, Who: who, Session: "s-" + who.Name})
}

func TestAccess(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := want(alice, "writer")
	q.Who.Grants = []bastion.Grant{{Request: 99}} // what she may do just now is not who she is
	r := w.access(q)
	wanted := bastion.Request{
		ID: 1, Kind: bastion.KindAccess, State: bastion.Pending, Who: alice, Origin: q.Origin, Session: "s-alice", Target: "shop-production", Verb: "access",
		Text: "access shop-production writer for 2h", Digest: r.Digest, Summary: "writer on shop-production for 2h", Rule: "writer",
		Needs: bastion.Needs{need(1, "reviewer")}, Reason: q.Reason, Preview: bastion.Preview{Rows: -1}, Created: start, Expires: start.Add(30 * time.Minute),
		Access: &bastion.AccessAsked{Bundle: "writer", For: 2 * time.Hour}, Approvers: []string{"ben", "pia", "rita"},
	}
	if d := cmp.Diff(wanted, r); d != "" || r.Who.Grants != nil {
		t.Errorf("the requester sees (-want +got):\n%s", d)
	}
	if again := w.access(q); again.ID != r.ID {
		t.Errorf("the same, asked again, became request %d", again.ID)
	}
	w.holds(alice)
	w.Pass(10 * time.Minute)
	got := w.approves(rita, r.ID)
	begins, ends := start.Add(10*time.Minute), start.Add(130*time.Minute)
	if got.State != bastion.Approved || !got.Access.From.Equal(begins) || !got.Expires.Equal(ends) {
		t.Errorf("approved: %s from %v to %v", got.State, got.Access.From, got.Expires)
	}
	for _, who := range []bastion.Identity{rita, ben, {}} {
		w.holds(who)
	}
	grants := w.holds(alice, 1)
	if d := cmp.Diff([]bastion.Grant{{Request: 1, Target: "shop-production", Bundle: "writer", Until: ends}}, grants); d != "" {
		t.Errorf("grant (-want +got):\n%s", d)
	}
	if got := w.access(q); got.ID != r.ID || got.State != bastion.Approved {
		t.Errorf("the same, asked while it is granted: %d, %s", got.ID, got.State)
	}
	if _, err := w.Use(t.Context(), r.ID, ask(alice, plan(statement), need(1, "reviewer"))); err == nil {
		t.Error("access was used up by an operation")
	}
	w.Pass(2*time.Hour - 1)
	w.holds(alice, 1)
	w.Pass(1) // to the nanosecond
	w.holds(alice)
	if got, want := w.log(r.ID), "request alice, vote rita approve, refused alice, expired sallyport"; got != want {
		t.Errorf("log: %s\nwant %s", got, want)
	}
	if again := w.access(q); again.ID == r.ID || again.State != bastion.Pending {
		t.Errorf("asked again after its end: %d, %s", again.ID, again.State)
	}
}

func TestAccessIsAskedOnce(t *testing.T) {
	w := newWorld(t, everybody()...)
	first := w.access(want(alice, "writer")).ID
	for name, c := range map[string]struct {
		change func(*bastion.AccessQuestion)
		same   bool
	}{
		"another reason":        {func(q *bastion.AccessQuestion) { q.Reason = "again" }, true},
		"another session":       {func(q *bastion.AccessQuestion) { q.Session = "s2" }, true},
		"needs have changed":    {func(q *bastion.AccessQuestion) { q.Terms.Needs = bastion.Needs{need(2, "reviewer")} }, true},
		"another time":          {func(q *bastion.AccessQuestion) { q.Asked.For = time.Hour }, false},
		"another start":         {func(q *bastion.AccessQuestion) { q.Asked.From = start.Add(time.Hour) }, false},
		"a window":              {func(q *bastion.AccessQuestion) { q.Asked.Window = "mon 09:00-10:00 UTC" }, false},
		"another target":        {func(q *bastion.AccessQuestion) { q.Target = "shop-staging" }, false},
		"another bundle":        {func(q *bastion.AccessQuestion) { q.Asked.Bundle, q.Terms.Bundle = "reader", "reader" }, false},
		"somebody else":         {func(q *bastion.AccessQuestion) { q.Who = ben }, false},
		"one's other account":   {func(q *bastion.AccessQuestion) { q.Who.Issuer = "https://other.example" }, false},
		"an emergency":          {func(q *bastion.AccessQuestion) { q.Asked.Emergency, q.Terms.Emergency = true, true }, false},
		"an emergency by names": {func(q *bastion.AccessQuestion) { q.Asked.Bundle, q.Terms.Bundle = "writer ", "writer " }, false},
	} {
		q := want(alice, "writer")
		c.change(&q)
		if got := w.access(q).ID == first; got != c.same {
			t.Errorf("%s: the same: %v", name, got)
		}
	}
}

func TestBadAccess(t *testing.T) {
	w := newWorld(t, everybody()...)
	for name, c := range map[string]struct {
		spoil func(*bastion.AccessQuestion)
		says  string
	}{
		"nobody":                  {func(q *bastion.AccessQuestion) { q.Who = bastion.Identity{} }, "internal error"},
		"a service of nobody":     {func(q *bastion.AccessQuestion) { q.Who.Kind = bastion.Service }, "has no owner"},
		"no target":               {func(q *bastion.AccessQuestion) { q.Target = "" }, "internal error"},
		"no bundle":               {func(q *bastion.AccessQuestion) { q.Asked.Bundle, q.Terms.Bundle = "", "" }, "internal error"},
		"another bundle's terms":  {func(q *bastion.AccessQuestion) { q.Terms.Bundle = "reader" }, "internal error"},
		"emergency by no terms":   {func(q *bastion.AccessQuestion) { q.Asked.Emergency = true }, "internal error"},
		"terms of an emergency":   {func(q *bastion.AccessQuestion) { q.Terms.Emergency = true }, "internal error"},
		"needs nobody":            {func(q *bastion.AccessQuestion) { q.Terms.Needs = nil }, "internal error"},
		"zero terms":              {func(q *bastion.AccessQuestion) { q.Terms = bastion.Terms{} }, "internal error"},
		"no time":                 {func(q *bastion.AccessQuestion) { q.Asked.For = 0 }, "for how long"},
		"less than no time":       {func(q *bastion.AccessQuestion) { q.Asked.For = -time.Hour }, "for how long"},
		"too long":                {func(q *bastion.AccessQuestion) { q.Asked.For = 8*time.Hour + 1 }, "writer is granted for 8h at most"},
		"too far ahead":           {func(q *bastion.AccessQuestion) { q.Asked.From = start.AddDate(0, 2, 0) }, "30 days from now at most"},
		"no reason":               {func(q *bastion.AccessQuestion) { q.Reason = " " }, "want a reason in words"},
		"broken window":           {func(q *bastion.AccessQuestion) { q.Asked.Window = "office hours" }, "is not days, times and a time zone"},
		"emergency of next week":  {func(q *bastion.AccessQuestion) { *q = urgent(alice); q.Asked.From = start.Add(time.Hour) }, "an emergency begins at once"},
		"emergency in a window":   {func(q *bastion.AccessQuestion) { *q = urgent(alice); q.Asked.Window = "mon 09:00-10:00 UTC" }, "an emergency begins at once"},
		"emergency for no reason": {func(q *bastion.AccessQuestion) { *q = urgent(alice); q.Reason = "" }, "want a reason in words"},
	} {
		t.Run(name, func(t *testing.T) {
			q := want(alice, "writer")
			c.spoil(&q)
			_, err := w.FileAccess(t.Context(), q)
			refused(t, err, c.says)
		})
	}
	if n := len(storetest.Events(t, w.db)); n != 0 {
		t.Errorf("%d events of nothing", n)
	}
}

// Waiting for a review, which has no end of waiting, is not looking all the time.
func TestWaitForReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, everybody()...)
		var looks atomic.Int64
		w.Service = w.service(func() time.Time { looks.Add(1); return time.Now() })
		if _, err := w.revokes(alice, w.access(urgent(alice)).ID, ""); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { _, err := w.Wait(t.Context(), 2, nil); done <- err }()
		synctest.Wait()
		looks.Store(0)
		time.Sleep(time.Hour) // of the test's own time
		synctest.Wait()
		if n := looks.Load(); n > 1000 {
			t.Errorf("%d looks in an hour", n)
		}
		w.approves(rita, 2)
		var not *bastion.NotApprovedError
		if err := <-done; !errors.As(err, &not) || not.Request.State != bastion.Closed {
			t.Errorf("%v", err)
		}
	})
}

// Access that begins later, in a window, and a window over the end.
func TestAccessLaterAndInWindow(t *testing.T) {
	w := newWorld(t, everybody()...) // it is Sunday, noon
	q := want(alice, "writer")
	q.Asked.From, q.Asked.For = start.Add(20*time.Minute), time.Hour
	r := w.access(q)
	w.approves(rita, r.ID)
	w.holds(alice)
	w.Pass(20*time.Minute - 1)
	w.holds(alice)
	w.Pass(1)
	if g := w.holds(alice, r.ID); !g[0].Until.Equal(start.Add(80 * time.Minute)) {
		t.Errorf("until %v", g[0].Until)
	}
	w.Pass(time.Hour)
	w.holds(alice)

	late := q // approved after its start, it has its whole time
	late.Asked.From = w.Now().Add(5 * time.Minute)
	r = w.access(late)
	w.Pass(10 * time.Minute)
	if got := w.approves(rita, r.ID); !got.Expires.Equal(w.Now().Add(time.Hour)) {
		t.Errorf("approved late: until %v", got.Expires)
	}

	w = newWorld(t, everybody()...)
	q = want(alice, "writer")
	q.Asked.For, q.Asked.Window = 8*time.Hour, "sun 13:00-14:00 UTC; sun 19:00-22:00 UTC"
	r = w.access(q)
	w.approves(rita, r.ID)
	for _, c := range []struct {
		after time.Duration
		until time.Duration // 0: nothing
	}{
		{0, 0}, {time.Hour - 1, 0}, {time.Hour, 2 * time.Hour}, {2*time.Hour - 1, 2 * time.Hour}, {2 * time.Hour, 0},
		{7 * time.Hour, 8 * time.Hour}, {8*time.Hour - 1, 8 * time.Hour}, {8 * time.Hour, 0}, {9 * time.Hour, 0},
	} {
		w.Pass(start.Add(c.after).Sub(w.Now()))
		if c.until == 0 {
			w.holds(alice)
		} else if g := w.holds(alice, r.ID); !g[0].Until.Equal(start.Add(c.until)) {
			t.Errorf("after %v: until %v", c.after, g[0].Until)
		}
	}
}

func TestRevoke(t *testing.T) {
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: alice.ID(), Groups: []string{"deployer"}}
	home := alice
	home.Issuer, home.Groups = "https://other.example", []string{"reviewer"}
	for _, c := range []struct {
		name, reason string
		asks, by     bastion.Identity
		says         string // empty: it may
	}{
		{"who asked", "", alice, alice, ""},
		{"the owner of the service that asked", "", bot, alice, ""},
		{"who approved", "the work is done", alice, rita, ""},
		{"who could have", "it looks wrong", alice, ben, ""},
		{"without a reason", "...", alice, rita, "needs a reason in words"},
		{"an auditor", "it looks wrong", alice, axel, "not yours to revoke: that is for the one who asked, and those who decide it (reviewer)"},
		{"a stranger", "it looks wrong", alice, omar, "not found"},
		{"a service", "it looks wrong", bastion.Identity{Issuer: "x", Subject: "y", Kind: bastion.Person, Name: "zoe"}, bot, "not found"},
		{"another account of the one who asked", "it looks wrong", alice, home, "not yours to revoke"},
		{"nobody", "", alice, bastion.Identity{}, "internal error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, append(everybody(), bot, home)...)
			r := w.access(want(c.asks, "writer"))
			_, err := w.revokes(c.by, r.ID, c.reason)
			if err == nil {
				t.Fatal("revoked what nobody approved")
			}
			w.approves(rita, r.ID)
			w.holds(c.asks, r.ID)
			changes, stop := w.Watch()
			defer stop()
			got, err := w.revokes(c.by, r.ID, c.reason)
			if c.says != "" {
				refused(t, err, c.says)
				w.holds(c.asks, r.ID)
				return
			}
			if err != nil || got.State != bastion.Revoked {
				t.Fatalf("%s, %v", got.State, err)
			}
			<-changes // so that whoever uses it is looked at again
			w.holds(c.asks)
			_, err = w.revokes(c.by, r.ID, c.reason)
			refused(t, err, "request 1 was revoked")
			if log := w.log(r.ID); !strings.Contains(log, "revoke "+c.by.Name) {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// An approved operation can be revoked, and then does not run.
func TestRevokeOperation(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	r := w.file(q)
	w.approves(rita, r.ID)
	if got, err := w.revokes(ben, r.ID, "wrong customer"); err != nil || got.State != bastion.Revoked {
		t.Fatalf("%s, %v", got.State, err)
	}
	_, err := w.Use(t.Context(), r.ID, q)
	var not *bastion.NotApprovedError
	if !errors.As(err, &not) || not.Request.State != bastion.Revoked {
		t.Errorf("use: %v", err)
	}
	r = w.file(q)
	w.approves(rita, r.ID)
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatal(err)
	}
	_, err = w.revokes(alice, r.ID, "")
	refused(t, err, "used already")
}

// Whoever takes back what was granted to them has had it all the same; and a
// denial of what was granted takes it away.
func TestWithdrawAndDenyAccess(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.access(want(alice, "writer"))
	if got, err := w.Withdraw(t.Context(), alice, r.ID); err != nil || got.State != bastion.Withdrawn {
		t.Errorf("pending: %s, %v", got.State, err)
	}
	r = w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	w.holds(alice, r.ID)
	if got, err := w.Withdraw(t.Context(), alice, r.ID); err != nil || got.State != bastion.Revoked {
		t.Errorf("granted: %s, %v", got.State, err)
	}
	w.holds(alice)
	r = w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	if got, err := w.vote(ben, r.ID, bastion.VoteDeny); err != nil || got.State != bastion.Revoked {
		t.Errorf("denied: %s, %v", got.State, err)
	}
	w.holds(alice)
	r = w.access(want(alice, "writer"))
	if got, err := w.vote(ben, r.ID, bastion.VoteDeny); err != nil || got.State != bastion.Denied {
		t.Errorf("denied: %s, %v", got.State, err)
	}
}

func TestEmergency(t *testing.T) {
	home := alice // another account of alice's, and her service, that could otherwise review
	home.Issuer, home.Groups = "https://other.example", []string{"reviewer"}
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: alice.ID(), Groups: []string{"reviewer"}}
	boss := alice
	boss.Groups = []string{"reviewer", "auditor", "deployer"}
	w := newWorld(t, append(everybody(), boss, home, bot)...)
	q := urgent(boss)
	r := w.access(q)
	if r.State != bastion.Approved || !r.Expires.Equal(start.Add(2*time.Hour)) || r.ID != 1 {
		t.Fatalf("%d, %s until %v", r.ID, r.State, r.Expires)
	}
	if g := w.holds(boss, 1); !g[0].Emergency || g[0].Bundle != "break-glass" {
		t.Errorf("grant: %+v", g)
	}
	q.Asked.For = time.Hour
	if again := w.access(q); again.ID != r.ID {
		t.Errorf("asked again, also for another time, it became %d", again.ID)
	}
	if got, want := w.log(1)+"; "+w.log(2), "request alice, alarm alice; request sallyport"; got != want {
		t.Fatalf("log: %s", got)
	}
	for _, e := range storetest.Events(t, w.db) {
		if e.Kind == bastion.EventAlarm && (e.Who != boss.ID() || e.Target != production.Name || e.Rule != "break-glass" || e.Reason != q.Reason ||
			e.Text != "emergency access to shop-production with break-glass until 2026-03-01T14:00:00Z" || e.Session != "s-alice") {
			t.Errorf("the alarm: %+v", e)
		}
	}
	review, err := w.Request(t.Context(), rita, 2)
	if err != nil || review.Kind != bastion.KindReview || review.State != bastion.Pending || !review.Yours || !review.Expires.IsZero() ||
		!review.Who.Equal(boss) || review.Summary != "review of request 1: emergency: break-glass on shop-production for 2h" || review.Reason != q.Reason {
		t.Errorf("the review: %+v, %v", review, err)
	}
	if d := cmp.Diff([]string{"ben", "pia", "rita"}, review.Approvers); d != "" {
		t.Errorf("who can review:\n%s", d)
	}
	_, err = w.vote(rita, 1, bastion.VoteApprove)
	refused(t, err, "was an emergency and needs no approval; what was done is looked at in review 2")
	_, err = w.vote(rita, 2, bastion.VoteApprove)
	refused(t, err, "what review 2 looks at still goes on; revoke request 1 or wait for its end")
	w.Pass(2 * time.Hour)
	w.holds(boss)
	for _, who := range []bastion.Identity{boss, home, bot} {
		for _, v := range []bastion.Verdict{bastion.VoteApprove, bastion.VoteDeny} {
			_, err := w.vote(who, 2, v)
			refused(t, err, "you cannot review your own emergency; another person has to")
		}
		if got, err := w.Withdraw(t.Context(), who, 2); err == nil {
			t.Errorf("%s withdrew the review: %s", who.Name, got.State)
		}
		if got, err := w.revokes(who, 2, "no need"); err == nil {
			t.Errorf("%s revoked the review: %s", who.Name, got.State)
		}
		if got, err := w.Requests(t.Context(), who, bastion.RequestFilter{Decide: true}); err != nil || len(got) != 0 {
			t.Errorf("it is in the queue of %s: %v, %v", who.Name, ids(got), err)
		}
	}
	w.Pass(365 * 24 * time.Hour) // it waits for as long as it takes
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := w.approves(rita, 2)
	if got.State != bastion.Closed || len(got.Votes) != 1 {
		t.Errorf("%s with %d votes", got.State, len(got.Votes))
	}
	_, err = w.vote(ben, 2, bastion.VoteDeny)
	refused(t, err, "review 2 is closed")
}

// A review by two, and one that says that something was wrong.
func TestReview(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.access(urgent(alice, need(2, "reviewer")))
	if _, err := w.revokes(alice, r.ID, ""); err != nil { // done sooner
		t.Fatal(err)
	}
	if got := w.approves(rita, 2); got.State != bastion.Pending {
		t.Errorf("by one of two: %s", got.State)
	}
	if got := w.approves(ben, 2); got.State != bastion.Closed {
		t.Errorf("by two: %s", got.State)
	}
	w.access(urgent(alice, need(2, "reviewer")))
	if _, err := w.revokes(alice, 3, ""); err != nil {
		t.Fatal(err)
	}
	if r := w.access(urgent(alice, need(2, "reviewer"))); r.ID != 5 { // her own end does not bar her, reviewed or not
		t.Errorf("taken again it is %d", r.ID)
	}
	got, err := w.vote(pia, 4, bastion.VoteDeny)
	if err != nil || got.State != bastion.Closed || got.Votes[0].Verdict != bastion.VoteDeny || got.Votes[0].Reason != "I looked at it" {
		t.Errorf("a finding: %+v, %v", got, err)
	}
	if got, want := w.log(4), "request sallyport, vote pia deny"; got != want {
		t.Errorf("log: %s", got)
	}
	var told []approval.Note
	for _, n := range w.notes() {
		if n.Kind == approval.NoteReviewed {
			told = append(told, n)
		}
	}
	if len(told) != 2 || told[0].Finding || !told[1].Finding || told[1].Of != 3 || told[1].By != "pia" {
		t.Errorf("notes: %+v", told)
	}
}

// An emergency that somebody else took away is not to be had again at once.
func TestEmergencyTakenAway(t *testing.T) {
	for _, c := range []struct {
		name string
		take func(*world) error
	}{
		{"revoked", func(w *world) error { _, err := w.revokes(rita, 1, "that is no emergency"); return err }},
		{"denied", func(w *world) error { _, err := w.vote(rita, 1, bastion.VoteDeny); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, everybody()...)
			w.access(urgent(alice))
			if err := c.take(w); err != nil {
				t.Fatal(err)
			}
			w.holds(alice)
			_, err := w.FileAccess(t.Context(), urgent(alice))
			refused(t, err, "review 2 has to be closed before it can be had again")
			other := urgent(alice)
			other.Target = "shop-staging"
			w.access(other)
			w.access(urgent(ben))
			w.approves(ben, 2)
			if r := w.access(urgent(alice)); r.State != bastion.Approved {
				t.Errorf("after the review: %s", r.State)
			}
		})
	}
}

// If the alarm, the note or the review cannot be kept, there is no emergency.
func TestEmergencyCannotBeSilenced(t *testing.T) {
	w := newWorld(t, everybody()...)
	disk := errors.New("disk full")
	for _, silence := range []func(error){w.fail, w.deafen} {
		silence(disk)
		if _, err := w.FileAccess(t.Context(), urgent(alice)); !errors.Is(err, disk) {
			t.Fatalf("%v", err)
		}
		silence(nil)
		w.holds(alice)
		if all, err := w.Requests(t.Context(), axel, bastion.RequestFilter{}); err != nil || len(all) != 0 {
			t.Errorf("requests %v, %v", ids(all), err)
		}
	}
	for n := range approval.MaxOpen { // and no number of open requests stands in its way
		w.file(ask(alice, plan(number(n)), need(1, "reviewer")))
	}
	r := w.access(urgent(alice))
	w.holds(alice, r.ID)
}

// That nobody does the reviews does not keep anybody from asking.
func TestReviewsTakeNoRoom(t *testing.T) {
	w := newWorld(t, everybody()...)
	for n := range approval.MaxOpen {
		q := urgent(alice)
		q.Target = "shop-" + number(n)
		if _, err := w.revokes(alice, w.access(q).ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.file(ask(alice, plan(statement), need(1, "reviewer")))
}

// Between the votes and an operation, the world changes; the access ends there.
func TestGrantNoLongerCounts(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		says   string
	}{
		{"the approver was demoted", func(w *world) { w.Set(bastiontest.Person("rita", "deployer")) }, "rita may no longer approve it"},
		{"the approver is gone", func(w *world) { w.Forget(rita) }, "rita is no longer known here"},
		{"the approver is the requester", func(w *world) { p := rita; p.Email = "ALICE@example.com"; w.Set(p) }, "may be the same person"},
		{"the approver joins the team", func(w *world) { w.Set(bastiontest.Person("rita", "reviewer", "team-shop")) }, "rita is not of another team than the one who asked"},
		{"policy does not offer it", func(w *world) { w.mu.Lock(); w.gone = true; w.mu.Unlock() }, "the policy no longer offers it"},
		{"policy asks for more", func(w *world) { w.offer(terms("writer", need(2, "reviewer"))) }, "the policy now asks for 2 approvals by reviewers"},
		{"policy asks for somebody else", func(w *world) { w.offer(terms("writer", need(1, "owner"))) }, "the policy now asks for 1 approval by an owner"},
		{"policy grants it for less", func(w *world) { o := terms("writer", need(1, "reviewer")); o.Max = time.Minute; w.offer(o) }, "the policy now grants it for 1m"},
		{"policy offers nothing", func(w *world) { w.offer(bastion.Terms{}) }, "the policy now grants it for 0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, everybody()...)
			w.Set(bastiontest.Person("alice", "deployer", "team-shop"))
			banker := bastiontest.Person("rita", "reviewer", "team-bank")
			w.Set(banker)
			who, _ := w.Known(alice.ID())
			q := want(who, "writer")
			q.Terms.OtherTeam = true
			r := w.access(q)
			w.approves(banker, r.ID)
			w.Pass(time.Minute)
			w.holds(who, r.ID)
			c.change(w)
			w.Pass(approval.Recheck)
			w.holds(who)
			w.Set(banker) // and nothing brings it back
			w.mu.Lock()
			w.gone, w.terms = false, nil
			w.mu.Unlock()
			w.Pass(approval.Recheck)
			w.holds(who)
			if got, want := w.log(r.ID), "request alice, vote rita approve, expired sallyport"; got != want {
				t.Errorf("log: %s", got)
			}
			if e := storetest.Events(t, w.db); !strings.Contains(e[len(e)-1].Reason, c.says) {
				t.Errorf("logged as %q", e[len(e)-1].Reason)
			}
		})
	}
}

// One more approval than needed makes up for one that does not count any more; and
// an emergency rests on nobody's vote, but on the policy.
func TestGrantStillCounts(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	w.approves(ben, r.ID)
	w.holds(alice, r.ID)
	w.Forget(rita)
	w.Pass(approval.Recheck)
	w.holds(alice, r.ID)
	w.access(urgent(ben))
	w.Forget(pia)
	w.Pass(approval.Recheck)
	w.holds(ben, 2)
	w.mu.Lock()
	w.gone = true
	w.mu.Unlock()
	w.Pass(approval.Recheck)
	w.holds(ben)
	w.holds(alice)
}

// If the end cannot be kept, there is an error, and nothing to use.
func TestGrantCannotEnd(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	w.holds(alice, r.ID)
	w.Forget(rita)
	w.Pass(approval.Recheck)
	disk := errors.New("disk full")
	w.fail(disk)
	for range 2 {
		if g, err := w.Grants(t.Context(), alice); !errors.Is(err, disk) || g != nil {
			t.Fatalf("%v, %v", g, err)
		}
	}
	w.fail(nil)
	w.holds(alice)
}

// Another process knows what this one granted, and what time did meanwhile; and no
// clock that is set back gives access again.
func TestGrantsAfterRestart(t *testing.T) {
	w := newWorld(t, everybody()...)
	short := want(alice, "writer")
	short.Asked.For = time.Hour
	long := want(alice, "reader")
	w.access(short)
	w.access(long)
	taken := w.access(want(alice, "other"))
	for id := range uint64(3) {
		w.approves(rita, id+1)
	}
	w.access(urgent(ben))
	if _, err := w.revokes(rita, taken.ID, "not that"); err != nil {
		t.Fatal(err)
	}
	restart := func() { w.Service = w.service(w.Now) }
	restart()
	w.holds(alice, 1, 2)
	w.holds(ben, 4)
	w.Pass(time.Hour)
	restart()
	w.holds(alice, 2)
	for range 2 {
		w.Pass(-30 * time.Minute)
		restart()
		w.holds(alice, 2)
	}
	w.Pass(3 * time.Hour)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Pass(-3 * time.Hour)
	restart()
	w.holds(alice)
	w.holds(ben)
}

// What time does is done without anybody's looking, told once, and in time.
func TestSweep(t *testing.T) {
	w := newWorld(t, everybody()...)
	w.file(ask(alice, plan(statement), need(1, "reviewer")))
	r := w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	brief := want(alice, "reader")
	brief.Asked.For = 2 * approval.Soon
	w.approves(rita, w.access(brief).ID)
	w.access(urgent(ben))
	if _, err := w.revokes(ben, 4, ""); err != nil {
		t.Fatal(err)
	}
	before := len(w.notes())
	sweep := func(at time.Duration, want ...string) {
		t.Helper()
		w.Pass(start.Add(at).Sub(w.Now()))
		for range 2 {
			if err := w.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, n := range w.notes()[before:] {
			got = append(got, string(n.Kind)+" "+n.Summary)
		}
		before += len(got)
		if !slices.Equal(got, want) {
			t.Errorf("after %v: %q; want %q", at, got, want)
		}
	}
	sweep(0)
	sweep(10*time.Minute - 1)
	sweep(10*time.Minute, "expired reader on shop-production for 10m")
	sweep(30*time.Minute, "expired update public.customers")
	sweep(115*time.Minute - 1)
	sweep(115*time.Minute, "ends-soon writer on shop-production for 2h")
	sweep(120*time.Minute, "expired writer on shop-production for 2h")
	sweep(1000 * time.Hour)
	if got := w.state(1); got != bastion.Expired {
		t.Errorf("request 1 is %s", got)
	}

	for n := range 250 { // more than one transaction ends
		who := bastiontest.Person("p" + number(n%10))
		w.file(ask(who, plan(number(n)), need(1, "reviewer")))
	}
	w.Pass(time.Hour)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	expired := 0
	for _, e := range storetest.Events(t, w.db) {
		if e.Kind == bastion.EventExpired {
			expired++
		}
	}
	if expired != 253 {
		t.Errorf("%d have expired", expired)
	}
}

func (w *world) deafen(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = err
}

func (w *world) offer(t bastion.Terms) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.terms = &t
}

// Who has nothing pays nothing, and who has something no garbage.
func TestGrantsCostNothing(t *testing.T) {
	w := newWorld(t, everybody()...)
	none := func(who bastion.Identity) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := w.Grants(t.Context(), who); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", who.Name, n)
		}
	}
	none(alice)
	r := w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	w.holds(alice, r.ID)
	none(alice)
	none(ben)
}
