package approval_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
)

func either(count int, role string, or ...string) bastion.Need {
	return bastion.Need{Count: count, Role: role, Or: or}
}

// Two of either role, and one of each, by people who hold one or both.
func TestCombinations(t *testing.T) {
	for _, c := range []struct {
		name  string
		needs []bastion.Need
		votes []bastion.Identity
		want  []bastion.RequestState
	}{
		{"two of either: one of each", []bastion.Need{either(2, "reviewer", "owner")}, []bastion.Identity{rita, omar}, []bastion.RequestState{bastion.Pending, bastion.Approved}},
		{"two of either: two of one", []bastion.Need{either(2, "owner", "reviewer")}, []bastion.Identity{rita, ben}, []bastion.RequestState{bastion.Pending, bastion.Approved}},
		{"two of either: who is both is one", []bastion.Need{either(2, "reviewer", "owner")}, []bastion.Identity{pia, omar}, []bastion.RequestState{bastion.Pending, bastion.Approved}},
		{"one of each: who is both stands for one", []bastion.Need{need(1, "reviewer"), need(1, "owner")}, []bastion.Identity{pia, rita}, []bastion.RequestState{bastion.Pending, bastion.Approved}},
		{"either, and an owner", []bastion.Need{either(1, "reviewer", "owner"), need(1, "owner")}, []bastion.Identity{rita, ben, omar}, []bastion.RequestState{bastion.Pending, bastion.Pending, bastion.Approved}},
		{"either, and an owner: moved over", []bastion.Need{either(1, "reviewer", "owner"), need(1, "owner")}, []bastion.Identity{omar, rita}, []bastion.RequestState{bastion.Pending, bastion.Approved}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, everybody()...)
			q := ask(alice, plan(statement), c.needs...)
			r := w.file(q)
			if len(r.Approvers) == 0 {
				t.Error("nobody is told to approve it")
			}
			for i, who := range c.votes {
				if got, err := w.Requests(t.Context(), who, bastion.RequestFilter{Decide: true}); err != nil || len(got) != 1 {
					t.Errorf("queue of %s: %v, %v", who.Name, ids(got), err)
				}
				if got := w.approves(who, r.ID); got.State != c.want[i] {
					t.Errorf("after %s: %s", who.Name, got.State)
				}
			}
			if _, err := w.Use(t.Context(), r.ID, q); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOtherTeam(t *testing.T) {
	inShop := func(p bastion.Identity) bastion.Identity {
		p.Groups = append(slices.Clone(p.Groups), "team-shop")
		return p
	}
	asker := inShop(alice)
	bot := bastion.Identity{Issuer: "services", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: asker.ID(), Groups: []string{"deployer"}}
	home := rita // another account of rita's that is in the team
	home.Issuer, home.Groups = "https://other.example", []string{"team-shop"}
	for _, c := range []struct {
		name   string
		asks   bastion.Identity
		people []bastion.Identity
		voter  bastion.Identity
		may    bool
	}{
		{"of no team", asker, nil, rita, false},
		{"for somebody of no team", alice, nil, inShop(rita), false},
		{"of another team", asker, nil, bastiontest.Person("rita", "reviewer", "team-bank"), true},
		{"of the same team", asker, nil, inShop(rita), false},
		{"of the same team and another", asker, nil, bastiontest.Person("rita", "reviewer", "team-bank", "team-shop"), false},
		{"of the same team by another account", asker, []bastion.Identity{home}, rita, false},
		{"for a service of somebody of the same team", bot, nil, inShop(rita), false},
		{"for a service of somebody of another team", bot, nil, bastiontest.Person("rita", "reviewer", "team-bank"), true},
		{"the same group, which is no team", asker, nil, bastiontest.Person("rita", "reviewer", "deployer", "team-bank"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, append([]bastion.Identity{asker, c.voter, bot, c.asks}, c.people...)...)
			q := ask(c.asks, plan(statement), need(1, "reviewer"))
			q.Decision.OtherTeam = true
			r := w.file(q)
			seen, err := w.Request(t.Context(), c.voter, r.ID)
			if err != nil || seen.Yours != c.may || slices.Contains(r.Approvers, "rita") != c.may || (len(seen.Seen) == 1) != c.may {
				t.Errorf("shown as theirs: %v, approvers %v, seen by %v, %v", seen.Yours, r.Approvers, seen.Seen, err)
			}
			_, err = w.vote(c.voter, r.ID, bastion.VoteApprove)
			if !c.may {
				refused(t, err, "somebody of another team than the one who asks")
				_, err = w.vote(c.voter, r.ID, bastion.VoteDeny)
				refused(t, err, "somebody of another team than the one who asks")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.Set(inShop(c.voter)) // and at the moment of use
			_, err = w.Use(t.Context(), r.ID, q)
			refused(t, err, "rita is not of another team than the one who asked")
		})
	}
	// Who asked, and is in no team any more when they use it, was of another one.
	banker := bastiontest.Person("rita", "reviewer", "team-bank")
	w := newWorld(t, asker, banker)
	left := want(asker, "writer")
	left.Terms.OtherTeam = true
	r := w.access(left)
	w.Set(alice)
	w.approves(banker, r.ID)
	w.holds(alice, r.ID)
	joined := alice
	joined.Groups = append(slices.Clone(alice.Groups), "team-bank")
	w.Set(joined)
	w.Pass(approval.Recheck)
	w.holds(joined)
	// Policy begins to ask for another team after the vote.
	for _, people := range [][]bastion.Identity{{asker, inShop(rita)}, {asker, rita, home}, {asker, rita}} {
		w := newWorld(t, people...)
		q := ask(asker, plan(statement), need(1, "reviewer"))
		r := w.file(q)
		w.approves(people[1], r.ID)
		q.Decision.OtherTeam = true
		_, err := w.Use(t.Context(), r.ID, q)
		refused(t, err, "rita is not of another team than the one who asked")
	}
}

// Comments decide nothing, whoever makes them and however many.
func TestComments(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	r := w.file(q)
	say := func(who bastion.Identity, text string) error {
		_, err := w.Vote(t.Context(), bastion.Ballot{Request: r.ID, Verdict: bastion.VoteComment, Reason: text, Who: who})
		return err
	}
	for _, who := range []bastion.Identity{rita, alice, axel, rita, ben} {
		if err := say(who, "which customer? \x1b[2J"); err != nil {
			t.Errorf("%s: %v", who.Name, err)
		}
	}
	refused(t, say(omar, "let me see"), "not found")
	refused(t, say(rita, " "), "a comment needs words")
	refused(t, say(rita, strings.Repeat("ä", 2001)), "has 2001 characters")
	_, err := w.Use(t.Context(), r.ID, q)
	refused(t, err, "not approved yet")
	got, err := w.Request(t.Context(), rita, r.ID)
	if err != nil || len(got.Votes) != 5 || !got.Yours || got.State != bastion.Pending || got.Votes[1].Who.Name != "alice" || got.Votes[0].Reason != "which customer? \x1b[2J" {
		t.Errorf("%+v, %v", got, err)
	}
	w.approves(rita, r.ID) // who commented has not voted
	if err := say(alice, "thank you"); err != nil {
		t.Error(err)
	}
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatal(err)
	}
	refused(t, say(rita, "too late"), "used already")
	if got, want := w.log(r.ID), "request alice, vote rita comment, vote alice comment, vote axel comment, vote rita comment, vote ben comment, "+
		"refused rita, refused rita, refused alice, vote rita approve, vote alice comment, use alice, refused rita"; got != want {
		t.Errorf("log: %s", got)
	}
}

// Who can decide a request and reads it is noted once, and tells whoever waits.
func TestSeen(t *testing.T) {
	w := newWorld(t, everybody()...)
	r := w.file(ask(alice, plan(statement), need(2, "reviewer")))
	changes, stop := w.Watch()
	defer stop()
	read := func(who bastion.Identity, want ...string) {
		t.Helper()
		got, err := w.Request(t.Context(), who, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range got.Seen {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("seen by %v; want %v", names, want)
		}
	}
	read(alice)
	read(axel)
	select {
	case <-changes:
		t.Error("that nobody who decides it read it is news")
	default:
	}
	w.Pass(time.Minute)
	read(rita, "rita")
	<-changes
	w.Pass(time.Minute)
	read(rita, "rita")
	if _, err := w.Requests(t.Context(), ben, bastion.RequestFilter{Decide: true}); err != nil { // a list is not a look
		t.Fatal(err)
	}
	read(alice, "rita")
	w.approves(rita, r.ID)
	read(pia, "rita", "pia")
	got, err := w.Request(t.Context(), alice, r.ID)
	want := []bastion.Seen{{Name: "rita", At: start.Add(time.Minute)}, {Name: "pia", At: start.Add(2 * time.Minute)}}
	if d := cmp.Diff(want, got.Seen); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if n := len(w.notes()); n != 1 {
		t.Errorf("%d notes", n)
	}
}

// Reviews of emergencies first, then what expires soonest, the newest of equals
// first, and nothing of one's own.
func TestQueueIsByUrgency(t *testing.T) {
	w := newWorld(t, everybody()...)
	file := func(who bastion.Identity, n int, within time.Duration) {
		q := ask(who, plan(number(n)), need(1, "reviewer"))
		q.Decision.Within = within
		w.file(q)
	}
	file(alice, 1, time.Hour)      // 1
	file(alice, 2, 10*time.Minute) // 2
	w.access(urgent(alice))        // 3, reviewed by 4
	w.access(want(ben, "writer"))  // 5
	file(alice, 3, time.Hour)      // 6
	w.access(urgent(ben))          // 7, reviewed by 8
	for who, want := range map[*bastion.Identity][]uint64{
		&rita: {8, 4, 2, 5, 6, 1}, &ben: {4, 2, 6, 1}, &alice: nil, &omar: nil, &axel: nil,
	} {
		got, err := w.Requests(t.Context(), *who, bastion.RequestFilter{Decide: true})
		if err != nil || !slices.Equal(ids(got), want) {
			t.Errorf("%s: %v, %v; want %v", who.Name, ids(got), err, want)
		}
	}
	if got, err := w.Requests(t.Context(), rita, bastion.RequestFilter{Decide: true, Limit: 3}); err != nil || !slices.Equal(ids(got), []uint64{8, 4, 2}) {
		t.Errorf("three: %v, %v", ids(got), err)
	}
}

func TestHistory(t *testing.T) {
	w := newWorld(t, everybody()...)
	use := func(who bastion.Identity, n int) {
		q := ask(who, plan(number(n)), need(1, "reviewer"))
		r := w.file(q)
		w.approves(rita, r.ID)
		if _, err := w.Use(t.Context(), r.ID, q); err != nil {
			t.Fatal(err)
		}
	}
	use(alice, 1)
	use(alice, 2)
	use(ben, 3)
	denied := w.file(ask(alice, plan(number(4)), need(1, "reviewer")))
	if _, err := w.vote(rita, denied.ID, bastion.VoteDeny); err != nil {
		t.Fatal(err)
	}
	other := bastion.Plan(production, "delete from orders", bastion.Intent{Verb: "delete", Actions: []bastion.Action{{Verb: "delete", Resource: "public.orders"}}})
	gone := w.file(ask(alice, other, need(1, "reviewer")))
	if _, err := w.Withdraw(t.Context(), alice, gone.ID); err != nil {
		t.Fatal(err)
	}
	unused := w.file(ask(alice, other, need(1, "reviewer")))
	w.approves(rita, unused.ID)
	w.file(ask(ben, other, need(1, "reviewer")))
	w.access(urgent(alice))
	w.Pass(3 * time.Hour)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	end := w.Now()
	use(ben, 5)
	r := w.file(ask(alice, plan(number(6)), need(1, "reviewer")))
	want := bastion.Past{
		Person: bastion.Tally{Total: 6, Approved: 4, Emergency: 1, Used: 2, Denied: 1, Expired: 2, Withdrawn: 1, Last: end},
		Target: bastion.Tally{Total: 9, Approved: 6, Emergency: 1, Used: 4, Denied: 1, Expired: 3, Withdrawn: 1, Last: end},
		Shape:  bastion.Tally{Total: 5, Approved: 4, Used: 4, Denied: 1, Last: end},
		Same:   bastion.Tally{Total: 3, Approved: 2, Used: 2, Denied: 1, Last: start},
	}
	for _, who := range []bastion.Identity{rita, alice, axel} {
		got, err := w.Past(t.Context(), who, r.ID)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v (-want +got):\n%s", who.Name, err, d)
		}
	}
	if got, err := w.Past(t.Context(), omar, r.ID); err == nil {
		t.Errorf("omar reads %+v", got)
	}
	if got, err := w.Past(t.Context(), rita, 9); err != nil || got.Same.Total != 1 || got.Same.Emergency != 1 { // beside the review
		t.Errorf("beside the review: %+v, %v", got, err)
	}
	w.approves(rita, 9)
	if got, err := w.Past(t.Context(), rita, r.ID); err != nil || got != want { // the review is no request of alice's
		t.Errorf("after the review: %+v, %v", got, err)
	}
}

// A trial is for those who still decide, of an operation that waits, and with who asked
// as they are now.
func TestTrial(t *testing.T) {
	teamed := func(p bastion.Identity, team string) bastion.Identity {
		p.Groups = append(slices.Clone(p.Groups), team)
		return p
	}
	alice, rita, pia := teamed(alice, "team-a"), teamed(rita, "team-a"), teamed(pia, "team-b")
	bot := bastion.Identity{Issuer: "sallyport", Subject: "ci", Kind: bastion.Service, Name: "ci", Owner: rita.ID(), Groups: []string{"deployer"}}
	second := bastiontest.Person("alice-too", "reviewer")
	second.Email = alice.Email
	w := newWorld(t, alice, rita, omar, pia, axel, ben, bot, second)
	secret := bastion.Plan(production, "alter role x password 'hunter2'", bastion.Intent{Verb: "grant", Actions: []bastion.Action{{Verb: "grant"}}, Record: "alter role x password '****'"})
	q := ask(alice, secret, need(2, "reviewer"))
	q.Decision.Try = true
	r := w.file(q)
	if !r.Try {
		t.Error("what policy said of trials is forgotten")
	}
	granted := w.access(want(alice, "writer"))
	w.approves(pia, granted.ID)
	w.Service = w.service(w.Now) // a restart forgets nothing
	for _, c := range []struct {
		who  bastion.Identity
		id   uint64
		says string
	}{
		{rita, r.ID, ""},
		{pia, r.ID, ""},
		{alice, r.ID, "does not wait for your vote"},
		{second, r.ID, "does not wait for your vote"},
		{axel, r.ID, "does not wait for your vote"},
		{omar, r.ID, "not found"},
		{bastion.Identity{}, r.ID, "not found"},
		{rita, 77, "not found"},
		{rita, w.file(ask(bot, plan("update one"), need(1, "reviewer"))).ID, "does not wait for your vote"}, // she answers for it
		{rita, w.access(want(ben, "writer")).ID, "only an operation can be tried"},
	} {
		tr, err := w.Trial(t.Context(), c.who, c.id)
		switch {
		case c.says != "":
			refused(t, err, c.says)
		case err != nil:
			t.Errorf("%s: %v", c.who.Name, err)
		case tr.Request.Text != secret.Text() || tr.Recorded != secret.Recorded() || !tr.Asker.Equal(alice) || len(tr.Asker.Grants) != 1:
			t.Errorf("%s: %+v", c.who.Name, tr)
		}
	}
	other := ask(alice, plan("update other"), need(1, "reviewer"))
	other.Decision.OtherTeam = true
	elsewhere := w.file(other)
	_, err := w.Trial(t.Context(), rita, elsewhere.ID)
	refused(t, err, "does not wait for your vote")
	if _, err := w.Trial(t.Context(), pia, elsewhere.ID); err != nil {
		t.Error(err)
	}
	w.approves(rita, r.ID)
	_, err = w.Trial(t.Context(), rita, r.ID)
	refused(t, err, "does not wait for your vote")
	if _, err = w.vote(pia, r.ID, bastion.VoteDeny); err != nil {
		t.Fatal(err)
	}
	_, err = w.Trial(t.Context(), pia, r.ID)
	refused(t, err, "was denied")
	late := w.file(ask(alice, plan("update late"), need(1, "reviewer")))
	w.Forget(alice)
	_, err = w.Trial(t.Context(), rita, late.ID)
	refused(t, err, "may not come in any more")
	w.Pass(time.Hour)
	_, err = w.Trial(t.Context(), rita, late.ID)
	refused(t, err, "has expired")
}

// Who took something back, and why, is kept with it.
func TestEnds(t *testing.T) {
	w := newWorld(t, everybody()...)
	given := w.access(want(alice, "writer"))
	w.approves(rita, given.ID)
	if _, err := w.Revoke(t.Context(), bastion.Ballot{Request: given.ID, Reason: "the change is over", Who: rita}); err != nil {
		t.Fatal(err)
	}
	back := w.file(ask(alice, plan(number(1)), need(1, "reviewer")))
	if _, err := w.Withdraw(t.Context(), alice, back.ID); err != nil {
		t.Fatal(err)
	}
	unused := w.file(ask(alice, plan(number(2)), need(1, "reviewer")))
	w.approves(rita, unused.ID)
	w.Pass(3 * time.Hour)
	for id, says := range map[uint64]string{
		given.ID:  "was revoked by rita: the change is over; ask again if it is still needed",
		back.ID:   "was withdrawn by alice; ask again if it is still needed",
		unused.ID: "was approved, but counts no more: it was approved, and its time is over; ask again",
	} {
		r, err := w.Request(t.Context(), alice, id)
		if err != nil || !strings.HasSuffix(r.End(), says) {
			t.Errorf("%q, %v; want %q", r.End(), err, says)
		}
	}
}

// What leaves the bastion names nothing but what and who, and nothing that a
// terminal would obey.
func TestNotes(t *testing.T) {
	w := newWorld(t, everybody()...)
	mallory := alice
	mallory.Name = "al\x1b[31mice"
	w.Set(mallory)
	op := bastion.Plan(production, "update customers set city = 'hunter2'", bastion.Intent{Verb: "update",
		Actions: []bastion.Action{{Verb: "update", Resource: "public.customers\u202e"}, {Verb: "select", Resource: "public.cities"}}, Summary: "sets 'hunter2'"})
	q := ask(mallory, op, need(1, "reviewer"))
	q.Reason = "because hunter2"
	r := w.file(q)
	if _, err := w.Vote(t.Context(), bastion.Ballot{Request: r.ID, Verdict: bastion.VoteComment, Reason: "hunter2?", Who: rita}); err != nil {
		t.Fatal(err)
	}
	w.approves(rita, r.ID)
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Fatal(err)
	}
	e := urgent(ben)
	e.Reason = "hunter2"
	w.access(e)
	if _, err := w.revokes(rita, 2, "hunter2"); err != nil {
		t.Fatal(err)
	}
	deny := w.access(want(ben, "writer"))
	if _, err := w.vote(rita, deny.ID, bastion.VoteDeny); err != nil {
		t.Fatal(err)
	}
	w.approves(pia, 3)
	by := func(p bastion.Identity) approval.Party {
		return approval.Party{ID: p.ID(), Name: p.Name, Email: p.Email}
	}
	who := approval.Party{ID: alice.ID(), Name: "al<U+001B>[31mice", Email: alice.Email}
	all := []approval.Party{by(ben), by(pia), by(rita)}
	others := []approval.Party{by(pia), by(rita)}
	note := func(k approval.NoteKind, s bastion.RequestState, by string) approval.Note {
		return approval.Note{Kind: k, At: start, Request: 1, What: bastion.KindOperation, State: s, Target: "shop-production",
			Summary: "update public.customers<U+202E>, public.cities", Requester: who, By: by, Approvers: all, Until: start.Add(30 * time.Minute)}
	}
	emergency := approval.Note{Kind: approval.NoteEmergency, At: start, Request: 2, Review: 3, What: bastion.KindAccess, State: bastion.Approved, Target: "shop-production",
		Summary: "emergency: break-glass on shop-production for 2h", Requester: by(ben), By: "ben", Approvers: others, Until: start.Add(2 * time.Hour)}
	review := approval.Note{Kind: approval.NoteReview, At: start, Request: 3, Of: 2, What: bastion.KindReview, State: bastion.Pending, Target: "shop-production",
		Summary: "review of request 2: emergency: break-glass on shop-production for 2h", Requester: by(ben), Approvers: others}
	revoked, reviewed := emergency, review
	revoked.Kind, revoked.State, revoked.By = approval.NoteRevoked, bastion.Revoked, "rita"
	reviewed.Kind, reviewed.State, reviewed.By = approval.NoteReviewed, bastion.Closed, "pia"
	filed := approval.Note{Kind: approval.NoteFiled, At: start, Request: 4, What: bastion.KindAccess, State: bastion.Pending, Target: "shop-production",
		Summary: "writer on shop-production for 2h", Requester: by(ben), By: "ben", Approvers: others, Until: start.Add(30 * time.Minute)}
	denied := filed
	denied.Kind, denied.State, denied.By = approval.NoteDenied, bastion.Denied, "rita"
	want := []approval.Note{
		note(approval.NoteFiled, bastion.Pending, who.Name), note(approval.NoteComment, bastion.Pending, "rita"),
		note(approval.NoteApproved, bastion.Approved, "rita"), note(approval.NoteUsed, bastion.Used, who.Name),
		emergency, review, revoked, filed, denied, reviewed,
	}
	if d := cmp.Diff(want, w.notes()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A request of before there were kinds is one for an operation.
func TestRequestOfAnEarlierVersion(t *testing.T) {
	w := newWorld(t, everybody()...)
	q := ask(alice, plan(statement), need(1, "reviewer"))
	r := w.file(q)
	w.forgetKind(r.ID)
	w.Service = w.service(w.Now)
	got, err := w.Request(t.Context(), rita, r.ID)
	if err != nil || got.Kind != bastion.KindOperation {
		t.Fatalf("%q, %v", got.Kind, err)
	}
	w.approves(rita, r.ID)
	if _, err := w.Use(t.Context(), r.ID, q); err != nil {
		t.Error(err)
	}
	old := w.file(ask(alice, plan("another"), need(1, "reviewer")))
	w.forgetKind(old.ID)
	w.Service = w.service(w.Now)
	w.Pass(time.Hour)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.log(old.ID); got != "request alice, expired sallyport" {
		t.Errorf("log: %s", got)
	}
}
