package approval_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// account is an account of the model, which knows what the service has to find
// out: which human being is behind it.
type account struct {
	who   bastion.Identity
	human string
	known bool
}

func (a *account) may(role string) bool {
	return a.who.Kind == bastion.Person && slices.Contains(a.who.Groups, role) && slices.Contains(duties[role], bastion.Approve)
}

// asked is a request of the model.
type asked struct {
	asker            *account
	text             string
	needs            bastion.Needs
	holds            time.Duration
	expires, granted time.Time
	state            bastion.RequestState
	uses             int
	votes            []modelVote
}

type modelVote struct {
	by    *account
	roles []string
}

// people are those whose votes count now, each human with the roles in which
// they count.
func (r *asked) people() map[string][]string {
	m := map[string][]string{}
	for _, v := range r.votes {
		for _, role := range v.roles {
			if v.by.known && v.by.may(role) && v.by.human != r.asker.human {
				m[v.by.human] = append(m[v.by.human], role)
			}
		}
	}
	return m
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
		if !slices.Contains(roles, needs[0].Role) {
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
// that moment, nothing twice, nothing late; and what is right is not refused.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "approval-model-")
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
		(&model{T: rt, world: worldOver(t, db), now: start}).run()
	})
}

type model struct {
	*rapid.T
	world    *world
	accounts []*account
	asked    []*asked // request n is asked[n-1]
	now      time.Time
}

func (m *model) add(human string, i bastion.Identity) *account {
	a := &account{who: i, human: human, known: true}
	m.accounts = append(m.accounts, a)
	m.world.set(i)
	return a
}

func (m *model) run() {
	groups := []string{"reviewer", "owner", "deployer", "chief"}
	a := m.add("alice", person("alice", "deployer", "reviewer", "owner"))
	second := person("alice-at-home", "reviewer", "owner")
	second.Issuer, second.Email = "https://other.example", "Alice@Example.COM"
	m.add("alice", second)
	m.add("alice", bastion.Identity{Issuer: "services", Subject: "bot", Kind: bastion.Service, Name: "bot", Owner: a.who.ID(), Groups: []string{"reviewer"}})
	m.add("rita", person("rita", "reviewer", "owner"))
	m.add("ben", person("ben", "reviewer", "deployer"))
	m.add("omar", person("omar", "owner"))
	anybody := rapid.SampledFrom(m.accounts)
	anyone := func() uint64 { return uint64(rapid.IntRange(1, len(m.asked)+1).Draw(m.T, "request")) }
	needs := rapid.SampledFrom([]bastion.Needs{{need(1, "reviewer")}, {need(2, "reviewer")}, {need(1, "reviewer"), need(1, "owner")}, {need(1, "chief")}})
	texts := rapid.SampledFrom([]string{"update a", "update b"})
	question := func(a *account, text string) bastion.Question {
		q := ask(a.who, plan(text), needs.Draw(m.T, "needs")...)
		q.Decision.Within = 10 * time.Minute
		q.Decision.Holds = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(m.T, "holds")
		return q
	}
	m.Repeat(map[string]func(*rapid.T){
		"file": func(*rapid.T) { m.file(question(m.pick(anybody), texts.Draw(m.T, "text"))) },
		"vote": func(*rapid.T) { m.vote(anyone(), m.pick(anybody), bastion.VoteApprove) },
		"more": func(*rapid.T) { m.vote(anyone(), m.pick(anybody), bastion.VoteApprove) },
		"deny": func(*rapid.T) {
			if rapid.IntRange(0, 3).Draw(m.T, "rarely") == 0 {
				m.vote(anyone(), m.pick(anybody), bastion.VoteDeny)
			}
		},
		"use": func(*rapid.T) {
			id := anyone()
			who, text := m.pick(anybody), texts.Draw(m.T, "text")
			if int(id) <= len(m.asked) && rapid.IntRange(0, 3).Draw(m.T, "as asked") > 0 {
				who, text = m.asked[id-1].asker, m.asked[id-1].text
			}
			m.use(id, question(who, text))
		},
		"withdraw": func(*rapid.T) {
			if rapid.IntRange(0, 3).Draw(m.T, "rarely") == 0 {
				m.withdraw(anyone(), m.pick(anybody))
			}
		},
		"groups": func(*rapid.T) {
			a := m.pick(anybody)
			a.who.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom(groups), 0, 3, rapid.ID).Draw(m.T, "groups")
			m.world.set(a.who)
		},
		"come and go": func(*rapid.T) {
			a := m.accounts[rapid.IntRange(3, len(m.accounts)-1).Draw(m.T, "who")]
			if a.known = !a.known; a.known {
				m.world.set(a.who)
			} else {
				m.world.forget(a.who)
			}
		},
		"time passes": func(*rapid.T) {
			d := time.Duration(rapid.IntRange(1, 9).Draw(m.T, "minutes")) * time.Minute
			m.world.pass(d)
			m.now = m.now.Add(d)
			m.look()
		},
		"clock set back": func(*rapid.T) {
			m.world.pass(-time.Duration(rapid.IntRange(1, 90).Draw(m.T, "minutes")) * time.Minute)
			m.look()
		},
		"": func(*rapid.T) { m.check() },
	})
}

func (m *model) pick(g *rapid.Generator[*account]) *account { return g.Draw(m.T, "who") }

// expire ends what is over.
func (m *model) expire() {
	for _, r := range m.asked {
		if r.state.Open() && !m.now.Before(r.expires) {
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

func (m *model) file(q bastion.Question) {
	m.expire()
	r, err := m.world.File(m.world.t.Context(), q)
	m.agree("file", true, err)
	who := m.account(q.Who.ID())
	for n, old := range m.asked {
		if old.asker == who && old.text == q.Op.Text() && old.state.Open() {
			if r.ID != uint64(n+1) {
				m.Fatalf("asked again as %d; it is %d", r.ID, n+1)
			}
			return
		}
	}
	m.asked = append(m.asked, &asked{asker: who, text: q.Op.Text(), needs: q.Decision.Needs, holds: q.Decision.Holds,
		expires: m.now.Add(q.Decision.Within), state: bastion.Pending})
	if r.ID != uint64(len(m.asked)) {
		m.Fatalf("request %d should be %d", r.ID, len(m.asked))
	}
}

func (m *model) vote(id uint64, by *account, v bastion.Verdict) {
	r := m.at(id)
	eligible := slices.ContainsFunc(r.needs, func(n bastion.Need) bool { return by.may(n.Role) })
	voted := slices.ContainsFunc(r.votes, func(v modelVote) bool { return v.by.human == by.human })
	ok := r.state.Open() && eligible && by.human != r.asker.human && (!voted || v == bastion.VoteDeny)
	known := by.known
	_, err := m.world.vote(by.who, id, v)
	m.agree("vote", ok, err)
	if !ok {
		return
	}
	if v == bastion.VoteDeny {
		r.state = bastion.Denied
		return
	}
	r.votes = append(r.votes, modelVote{by, slices.Clone(by.who.Groups)})
	by.known = true // who votes has just been asked who they are
	if r.state == bastion.Pending && enough(r.needs, r.people()) {
		r.state, r.granted = bastion.Approved, m.now
		if r.holds > 0 {
			r.expires = m.now.Add(r.holds)
		} else if least := m.now.Add(15 * time.Minute); least.After(r.expires) {
			r.expires = least
		}
	}
	by.known = known
}

func (m *model) use(id uint64, q bastion.Question) {
	r := m.at(id)
	mine := r.state == bastion.Approved && r.asker == m.account(q.Who.ID()) && r.text == q.Op.Text()
	holds := min(r.holds, q.Decision.Holds)
	counts := enough(r.needs, r.people()) && enough(q.Decision.Needs, r.people()) &&
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
	ok := r.state.Open() && (r.asker == by || r.asker.who.Owner == by.who.ID())
	_, err := m.world.Withdraw(m.world.t.Context(), by.who, id)
	m.agree("withdraw", ok, err)
	if ok {
		r.state = bastion.Withdrawn
	}
}

// check compares all states, and the queues of all accounts.
func (m *model) check() {
	m.expire()
	all, err := m.world.Requests(m.world.t.Context(), axel, bastion.RequestFilter{Limit: 1 << 30})
	if err != nil || len(all) != len(m.asked) {
		m.Fatalf("%d requests, %v; want %d", len(all), err, len(m.asked))
	}
	for _, got := range all {
		if want := m.asked[got.ID-1]; got.State != want.state || got.State.Open() && !got.Expires.Equal(want.expires) {
			m.Fatalf("request %d is %s until %v; want %s until %v", got.ID, got.State, got.Expires, want.state, want.expires)
		}
	}
	for _, a := range m.accounts {
		var want []uint64
		for n, r := range slices.Backward(m.asked) {
			eligible := slices.ContainsFunc(r.needs, func(n bastion.Need) bool { return a.may(n.Role) })
			voted := slices.ContainsFunc(r.votes, func(v modelVote) bool { return v.by.human == a.human })
			if r.state == bastion.Pending && eligible && !voted && a.human != r.asker.human {
				want = append(want, uint64(n+1))
			}
		}
		got, err := m.world.Requests(m.world.t.Context(), a.who, bastion.RequestFilter{Decide: true})
		if err != nil || !slices.Equal(ids(got), want) {
			m.Fatalf("queue of %s: %v, %v; want %v", a.who.Name, ids(got), err, want)
		}
	}
}
