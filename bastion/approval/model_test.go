package approval_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// account is an account of the model, which knows what the service has to find
// out: which human being is behind it.
type account struct {
	who   bastion.Identity
	human string
	known bool
}

// has reports whether the account's groups let it approve in the role.
func (a *account) has(role string) bool {
	return slices.Contains(a.who.Groups, role) && slices.Contains(duties[role], bastion.Approve)
}

func (a *account) may(role string) bool { return a.who.Kind == bastion.Person && a.has(role) }

// decides reports whether the account may decide by the needs.
func (a *account) decides(needs bastion.Needs) bool {
	return slices.ContainsFunc(needs, func(n bastion.Need) bool {
		return slices.ContainsFunc(append([]string{n.Role}, n.Or...), a.may)
	})
}

// asked is a request of the model.
type asked struct {
	kind             bastion.RequestKind
	asker            *account
	groups           []string // of the asker, when they asked
	key              string   // what the same asker asks for once
	text             string
	needs            bastion.Needs
	otherTeam        bool
	holds, length    time.Duration
	from             time.Time
	noon, emergency  bool // access in the noon window, of an emergency
	review, of       int
	expires, granted time.Time
	state            bastion.RequestState
	uses             int
	votes            []modelVote
	comments         int
	seen             []*account
}

type modelVote struct {
	by     *account
	groups []string
}

func teams(groups ...[]string) []string {
	return slices.DeleteFunc(slices.Concat(groups...), func(g string) bool { return !strings.HasPrefix(g, "team-") })
}

// otherTeam reports whether somebody is in a team and the asker in another one, and
// in none together: as they were when they asked or voted, or are with any account
// that is known now. using is what the asker is who uses what was approved.
func (m *model) otherTeam(r *asked, by *account, then, using []string) bool {
	of := func(a *account, then ...[]string) []string {
		all := then
		for _, x := range m.accounts {
			if x.known && (x == a || x.human == a.human && x.who.Kind == bastion.Person) {
				all = append(all, x.who.Groups)
			}
		}
		return teams(all...)
	}
	askers, theirs := of(r.asker, r.groups, using), of(by, then)
	return len(askers) > 0 && len(theirs) > 0 && !slices.ContainsFunc(theirs, func(t string) bool { return slices.Contains(askers, t) })
}

// people are those whose votes count now, each human with the roles in which
// they count.
func (m *model) people(r *asked, otherTeam bool, using []string) map[string][]string {
	counting := map[string][]string{}
	for _, v := range r.votes {
		for _, role := range v.groups {
			if v.by.known && v.by.may(role) && v.by.human != r.asker.human && !(otherTeam && !m.otherTeam(r, v.by, v.groups, using)) {
				counting[v.by.human] = append(counting[v.by.human], role)
			}
		}
	}
	return counting
}

// enough tries every way of giving each need its people.
func enough(needs bastion.Needs, people map[string][]string) bool {
	if len(needs) == 0 {
		return true
	}
	if needs[0].Count == 0 {
		return enough(needs[1:], people)
	}
	less := slices.Clone(needs)
	less[0].Count--
	for human, roles := range people {
		if !slices.ContainsFunc(roles, func(role string) bool { return role == needs[0].Role || slices.Contains(needs[0].Or, role) }) {
			continue
		}
		others := map[string][]string{}
		for h, r := range people {
			if h != human {
				others[h] = r
			}
		}
		if enough(less, others) {
			return true
		}
	}
	return false
}

// Several people do random things, and the service does what the model does:
// nothing is used without the approvals of different people that are valid at
// that moment, nothing twice, nothing late; access is there from its beginning to
// its end and no longer; nobody decides their own; and what is right is not refused.
func TestModel(t *testing.T) {
	all := storetest.Dir(t)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(all, "model-")
		if err != nil {
			rt.Fatal(err)
		}
		db, err := store.Open(dir)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}()
		w := worldOver(t, db)
		w.lawless = true
		w.Service = w.service(w.Now)
		(&model{T: rt, world: w, now: start, barred: map[string]int{}}).run()
	})
}

type model struct {
	*rapid.T
	world    *world
	accounts []*account
	asked    []*asked       // request n is asked[n-1]
	barred   map[string]int // an emergency that was taken away, to its review
	now      time.Time
}

func (m *model) add(human string, i bastion.Identity) *account {
	a := &account{who: i, human: human, known: true}
	m.accounts = append(m.accounts, a)
	m.world.Set(i)
	return a
}

func (m *model) run() {
	groups := []string{"reviewer", "owner", "deployer", "chief", "team-a", "team-b"}
	a := m.add("alice", bastiontest.Person("alice", "deployer", "reviewer", "owner"))
	second := bastiontest.Person("alice-at-home", "reviewer", "owner", "team-a")
	second.Issuer, second.Email = "https://other.example", "Alice@Example.COM"
	m.add("alice", second)
	m.add("alice", bastion.Identity{Issuer: "services", Subject: "bot", Kind: bastion.Service, Name: "bot", Owner: a.who.ID(), Groups: []string{"reviewer"}})
	m.add("rita", bastiontest.Person("rita", "reviewer", "owner"))
	m.add("ben", bastiontest.Person("ben", "reviewer", "deployer", "team-a"))
	m.add("omar", bastiontest.Person("omar", "owner", "team-b"))
	anybody := rapid.SampledFrom(m.accounts)
	anyone := func() uint64 { return uint64(rapid.IntRange(1, len(m.asked)+1).Draw(m.T, "request")) }
	rarely := func() bool { return rapid.IntRange(0, 3).Draw(m.T, "rarely") == 0 }
	needs := rapid.SampledFrom([]bastion.Needs{{need(1, "reviewer")}, {need(2, "reviewer")}, {need(1, "reviewer"), need(1, "owner")}, {need(1, "chief")},
		{either(2, "reviewer", "owner")}, {either(1, "chief", "owner"), need(1, "reviewer")}})
	texts := rapid.SampledFrom([]string{"update a", "update b"})
	question := func(a *account, text string) bastion.Question {
		q := ask(a.who, plan(text), needs.Draw(m.T, "needs")...)
		q.Decision.Within = 10 * time.Minute
		q.Decision.Holds = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(m.T, "holds")
		q.Decision.OtherTeam = rapid.IntRange(0, 3).Draw(m.T, "other team") == 0
		return q
	}
	m.Repeat(map[string]func(*rapid.T){
		"file": func(*rapid.T) { m.file(question(m.pick(anybody), texts.Draw(m.T, "text"))) },
		"file access": func(*rapid.T) {
			q := want(m.pick(anybody).who, "writer", needs.Draw(m.T, "needs")...)
			q.Terms.Within = 10 * time.Minute
			q.Terms.OtherTeam = rapid.IntRange(0, 3).Draw(m.T, "other team") == 0
			q.Asked.For = rapid.SampledFrom([]time.Duration{20 * time.Minute, time.Hour}).Draw(m.T, "for")
			switch rapid.IntRange(0, 5).Draw(m.T, "kind") {
			case 0:
				q.Asked.From = m.now.Add(5 * time.Minute)
			case 1:
				q.Asked.Window = "mon-sun 12:00-12:30 UTC"
			case 2:
				q.Asked.Emergency, q.Terms.Emergency = true, true
			}
			m.access(q)
		},
		"vote":    func(*rapid.T) { m.vote(anyone(), m.pick(anybody), bastion.VoteApprove) },
		"more":    func(*rapid.T) { m.vote(anyone(), m.pick(anybody), bastion.VoteApprove) },
		"again":   func(*rapid.T) { m.vote(anyone(), m.pick(anybody), bastion.VoteApprove) },
		"comment": func(*rapid.T) { m.comment(anyone(), m.pick(anybody)) },
		"read":    func(*rapid.T) { m.read(anyone(), m.pick(anybody)) },
		"deny": func(*rapid.T) {
			if rarely() {
				m.vote(anyone(), m.pick(anybody), bastion.VoteDeny)
			}
		},
		"revoke": func(*rapid.T) {
			if rarely() {
				m.revoke(anyone(), m.pick(anybody))
			}
		},
		"use": func(*rapid.T) {
			id := anyone()
			who, text := m.pick(anybody), texts.Draw(m.T, "text")
			if int(id) <= len(m.asked) && m.asked[id-1].text != "" && rapid.IntRange(0, 3).Draw(m.T, "as asked") > 0 {
				who, text = m.asked[id-1].asker, m.asked[id-1].text
			}
			m.use(id, question(who, text))
		},
		"withdraw": func(*rapid.T) {
			if rarely() {
				m.withdraw(anyone(), m.pick(anybody))
			}
		},
		"groups": func(*rapid.T) {
			a := m.pick(anybody)
			a.who.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 0, 4, rapid.ID).Draw(m.T, "groups")
			if a.known {
				m.world.Set(a.who)
			}
			m.pass(approval.Recheck)
		},
		"come and go": func(*rapid.T) {
			a := m.accounts[rapid.IntRange(3, len(m.accounts)-1).Draw(m.T, "who")]
			if a.known = !a.known; a.known {
				m.world.Set(a.who)
			} else {
				m.world.Forget(a.who)
			}
			m.pass(approval.Recheck)
		},
		"time passes": func(*rapid.T) {
			m.pass(time.Duration(rapid.IntRange(1, 9).Draw(m.T, "minutes")) * time.Minute)
		},
		"clock set back": func(*rapid.T) {
			m.world.Pass(-time.Duration(rapid.IntRange(1, 90).Draw(m.T, "minutes")) * time.Minute)
			m.look()
		},
		"sweep": func(*rapid.T) {
			if err := m.world.Sweep(m.world.t.Context()); err != nil {
				m.Fatal(err)
			}
		},
		"restart": func(*rapid.T) {
			if rarely() && m.world.Now().Equal(m.now) { // nothing keeps the time that passes while nothing is written
				m.world.Service = m.world.service(m.world.Now)
			}
		},
		"": func(*rapid.T) { m.check() },
	})
}

func (m *model) pick(g *rapid.Generator[*account]) *account { return g.Draw(m.T, "who") }

func (m *model) pass(d time.Duration) {
	m.world.Pass(d)
	m.now = m.now.Add(d)
	m.look()
}

// expire ends what is over.
func (m *model) expire() {
	for _, r := range m.asked {
		if r.state.Open() && r.kind != bastion.KindReview && !m.now.Before(r.expires) {
			r.state = bastion.Expired
		}
	}
}

// look has the service read its clock, as a service that is in use does all the time.
func (m *model) look() {
	if _, err := m.world.Requests(m.world.t.Context(), axel, bastion.RequestFilter{}); err != nil {
		m.Fatal(err)
	}
}

func (m *model) at(id uint64) *asked {
	m.expire()
	if int(id) > len(m.asked) {
		return &asked{asker: &account{human: "nobody"}}
	}
	return m.asked[id-1]
}

func (m *model) agree(what string, want bool, err error) {
	m.Helper()
	if want != (err == nil) {
		m.Fatalf("%s: got %v; allowed by the model: %v", what, err, want)
	}
}

func (m *model) account(id string) *account {
	i := slices.IndexFunc(m.accounts, func(a *account) bool { return a.who.ID() == id })
	return m.accounts[i]
}

// open finds the open request of somebody for something; 0 is none.
func (m *model) open(who *account, key string) uint64 {
	for n, old := range m.asked {
		if old.asker == who && old.key == key && old.state.Open() {
			return uint64(n + 1)
		}
	}
	return 0
}

func (m *model) filed(r bastion.Request, a *asked) {
	if id := m.open(a.asker, a.key); id != 0 {
		if r.ID != id {
			m.Fatalf("asked again as %d; it is %d", r.ID, id)
		}
		return
	}
	a.groups = slices.Clone(a.asker.who.Groups)
	m.asked = append(m.asked, a)
	if r.ID != uint64(len(m.asked)) {
		m.Fatalf("request %d should be %d", r.ID, len(m.asked))
	}
	if a.emergency {
		a.review = len(m.asked) + 1
		m.begin(a)
		m.asked = append(m.asked, &asked{kind: bastion.KindReview, asker: a.asker, groups: a.groups, key: fmt.Sprint("review ", len(m.asked)),
			needs: a.needs, otherTeam: a.otherTeam, of: len(m.asked), state: bastion.Pending})
	}
}

func (m *model) file(q bastion.Question) {
	m.expire()
	r, err := m.world.File(m.world.t.Context(), q)
	m.agree("file", true, err)
	m.filed(r, &asked{kind: bastion.KindOperation, asker: m.account(q.Who.ID()), key: q.Op.Text(), text: q.Op.Text(), needs: q.Decision.Needs,
		otherTeam: q.Decision.OtherTeam, holds: q.Decision.Holds, expires: m.now.Add(q.Decision.Within), state: bastion.Pending})
}

func (m *model) access(q bastion.AccessQuestion) {
	m.expire()
	a := &asked{kind: bastion.KindAccess, asker: m.account(q.Who.ID()), key: fmt.Sprint(q.Asked), needs: q.Terms.Needs, otherTeam: q.Terms.OtherTeam,
		length: q.Asked.For, from: q.Asked.From, noon: q.Asked.Window != "", emergency: q.Asked.Emergency, expires: m.now.Add(q.Terms.Within), state: bastion.Pending}
	if a.emergency {
		a.key = "emergency"
	}
	barred := a.emergency && m.open(a.asker, a.key) == 0 && m.barred[q.Who.ID()] != 0 && m.asked[m.barred[q.Who.ID()]-1].state.Open()
	r, err := m.world.FileAccess(m.world.t.Context(), q)
	m.agree("file access", !barred, err)
	if !barred {
		m.filed(r, a)
	}
}

// begin grants access.
func (m *model) begin(r *asked) {
	if r.from.Before(m.now) {
		r.from = m.now
	}
	r.state, r.expires = bastion.Approved, r.from.Add(r.length)
}

// judge reports whether the account is one of those who decide the request.
func (m *model) judge(r *asked, by *account) bool {
	return by.decides(r.needs) && by.human != r.asker.human && !(r.otherTeam && !m.otherTeam(r, by, by.who.Groups, nil))
}

func (r *asked) voted(by *account) bool {
	return slices.ContainsFunc(r.votes, func(v modelVote) bool { return v.by.human == by.human })
}

func (m *model) vote(id uint64, by *account, v bastion.Verdict) {
	r := m.at(id)
	ok := r.state.Open() && m.judge(r, by) && (!r.voted(by) || v == bastion.VoteDeny) && !(r.emergency && v == bastion.VoteApprove) &&
		(r.of == 0 || !m.asked[r.of-1].state.Open())
	known := by.known
	_, err := m.world.vote(by.who, id, v)
	m.agree("vote", ok, err)
	if !ok {
		return
	}
	if v == bastion.VoteDeny {
		switch {
		case r.kind == bastion.KindReview:
			r.state = bastion.Closed
		case r.kind == bastion.KindAccess && r.state == bastion.Approved:
			m.taken(r)
		default:
			r.state = bastion.Denied
		}
		return
	}
	r.votes = append(r.votes, modelVote{by, slices.Clone(by.who.Groups)})
	by.known = true // who votes has just been asked who they are
	if r.state == bastion.Pending && enough(r.needs, m.people(r, r.otherTeam, nil)) {
		r.granted = m.now
		switch least := m.now.Add(15 * time.Minute); {
		case r.kind == bastion.KindReview:
			r.state = bastion.Closed
		case r.kind == bastion.KindAccess:
			m.begin(r)
		case r.holds > 0:
			r.state, r.expires = bastion.Approved, m.now.Add(r.holds)
		default:
			r.state = bastion.Approved
			if least.After(r.expires) {
				r.expires = least
			}
		}
	}
	by.known = known
}

// taken is access that somebody else took away.
func (m *model) taken(r *asked) {
	r.state = bastion.Revoked
	if r.emergency {
		m.barred[r.asker.who.ID()] = r.review
	}
}

func (m *model) comment(id uint64, by *account) {
	r := m.at(id)
	sees := r.asker == by || r.asker.who.Owner != "" && r.asker.who.Owner == by.who.ID() ||
		slices.ContainsFunc(r.needs, func(n bastion.Need) bool { return slices.ContainsFunc(append([]string{n.Role}, n.Or...), by.has) })
	ok := r.state.Open() && sees
	_, err := m.world.vote(by.who, id, bastion.VoteComment)
	m.agree("comment", ok, err)
	if ok {
		r.comments++
	}
}

func (m *model) read(id uint64, by *account) {
	r := m.at(id)
	got, err := m.world.Request(m.world.t.Context(), by.who, id)
	if err != nil {
		return
	}
	if r.state.Open() && m.judge(r, by) && !slices.Contains(r.seen, by) {
		r.seen = append(r.seen, by)
	}
	var names []string
	for _, a := range r.seen {
		names = append(names, a.who.Name)
	}
	var seen []string
	for _, s := range got.Seen {
		seen = append(seen, s.Name)
	}
	if !slices.Equal(names, seen) {
		m.Fatalf("request %d was seen by %v; want %v", id, seen, names)
	}
}

func (m *model) revoke(id uint64, by *account) {
	r := m.at(id)
	own := r.asker == by || r.asker.who.Owner != "" && r.asker.who.Owner == by.who.ID()
	ok := r.state == bastion.Approved && (own || m.judge(r, by))
	_, err := m.world.revokes(by.who, id, "no longer")
	m.agree("revoke", ok, err)
	switch {
	case ok && own:
		r.state = bastion.Revoked
	case ok:
		m.taken(r)
	}
}

func (m *model) use(id uint64, q bastion.Question) {
	r := m.at(id)
	mine := r.state == bastion.Approved && r.asker == m.account(q.Who.ID()) && r.kind == bastion.KindOperation && r.text == q.Op.Text()
	holds := min(r.holds, q.Decision.Holds)
	people := m.people(r, r.otherTeam || q.Decision.OtherTeam, q.Who.Groups)
	counts := enough(r.needs, people) && enough(q.Decision.Needs, people) &&
		(holds > 0 && m.now.Before(r.granted.Add(holds)) || holds == 0 && r.uses == 0)
	_, err := m.world.Use(m.world.t.Context(), id, q)
	m.agree("use", mine && counts, err)
	switch {
	case mine && counts && holds == 0:
		r.state = bastion.Used
		r.uses++
	case mine && counts:
		r.uses++
	case mine:
		r.state = bastion.Expired
	}
}

func (m *model) withdraw(id uint64, by *account) {
	r := m.at(id)
	ok := r.state.Open() && r.kind != bastion.KindReview && (r.asker == by || r.asker.who.Owner != "" && r.asker.who.Owner == by.who.ID())
	_, err := m.world.Withdraw(m.world.t.Context(), by.who, id)
	m.agree("withdraw", ok, err)
	switch {
	case ok && r.kind == bastion.KindAccess && r.state == bastion.Approved:
		r.state = bastion.Revoked
	case ok:
		r.state = bastion.Withdrawn
	}
}

// granted lists what the account may use now, and ends what does not count any more.
func (m *model) granted(a *account) []uint64 {
	var all []uint64
	for n, r := range m.asked {
		if r.asker != a || r.kind != bastion.KindAccess || r.state != bastion.Approved || m.now.Before(r.from) ||
			r.noon && (m.now.Hour() != 12 || m.now.Minute() >= 30) {
			continue
		}
		if !r.emergency && !enough(r.needs, m.people(r, r.otherTeam, a.who.Groups)) {
			r.state = bastion.Expired
			continue
		}
		all = append(all, uint64(n+1))
	}
	return all
}

// check compares all grants and states, and the queues of all accounts.
func (m *model) check() {
	m.expire()
	for _, a := range m.accounts {
		want := m.granted(a)
		grants, err := m.world.Grants(m.world.t.Context(), a.who)
		var got []uint64
		for _, g := range grants {
			got = append(got, g.Request)
			if r := m.asked[g.Request-1]; g.Until.After(r.expires) || !g.Until.After(m.now) || g.Emergency != r.emergency {
				m.Fatalf("granted by request %d until %v; it ends %v", g.Request, g.Until, r.expires)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			m.Fatalf("%s is granted %v, %v; want %v", a.who.Name, got, err, want)
		}
	}
	all, err := m.world.Requests(m.world.t.Context(), axel, bastion.RequestFilter{Limit: 1 << 30})
	if err != nil || len(all) != len(m.asked) {
		m.Fatalf("%d requests, %v; want %d", len(all), err, len(m.asked))
	}
	for _, got := range all {
		want := m.asked[got.ID-1]
		if got.Kind != want.kind || got.State != want.state || got.State.Open() && !got.Expires.Equal(want.expires) {
			m.Fatalf("request %d is %s until %v; want %s until %v", got.ID, got.State, got.Expires, want.state, want.expires)
		}
		comments := 0
		for _, v := range got.Votes {
			if v.Verdict == bastion.VoteComment {
				comments++
			}
			if v.Verdict == bastion.VoteApprove && m.account(v.Who.ID()).human == want.asker.human {
				m.Fatalf("request %d was approved by the one who asked", got.ID)
			}
		}
		if comments != want.comments {
			m.Fatalf("request %d has %d comments; want %d", got.ID, comments, want.comments)
		}
	}
	for _, a := range m.accounts {
		var want []uint64
		for n, r := range slices.Backward(m.asked) {
			if r.state == bastion.Pending && !r.voted(a) && m.judge(r, a) {
				want = append(want, uint64(n+1))
			}
		}
		slices.SortStableFunc(want, func(a, b uint64) int {
			r, s := m.asked[a-1], m.asked[b-1]
			return cmp.Or(cmp.Compare(s.of, 0)-cmp.Compare(r.of, 0), r.expires.Compare(s.expires))
		})
		got, err := m.world.Requests(m.world.t.Context(), a.who, bastion.RequestFilter{Decide: true})
		if err != nil || !slices.Equal(ids(got), want) {
			m.Fatalf("queue of %s: %v, %v; want %v", a.who.Name, ids(got), err, want)
		}
	}
}
