package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/task"
)

// account is an account of the model, which knows the human being behind it.
type account struct {
	who   bastion.Identity
	human string
}

func (a *account) has(role string) bool { return slices.Contains(a.who.Groups, role) }

// planned is a task of the model.
type planned struct {
	author   *account
	revision int
	state    task.State
	votes    map[uint64][]*account // approvals, by the request
	request  uint64
	skips    map[uint64]skip // by the request
	denied   map[uint64]bool
	expires  time.Time // of the approval
	steps    [2]stage
}

// skip is what was asked about a step that is in the way.
type skip struct {
	step    int // from 1
	way     task.Way
	attempt int // how often the step had been repeated when it was asked
}

// stage is a step of the model.
type stage struct {
	ran     int // statements that ran
	over    bool
	by      *account
	skipped bool
	failed  bool
	earlier []*account // who executed it before it was repeated
}

func (s stage) gone() bool { return s.over || s.skipped }

// Several people do random things with tasks. Nothing runs unapproved, out of order,
// twice, or by somebody whom separation of duties forbids it; and what is right is
// not refused.
func TestModel(t *testing.T) {
	ran := 0
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "ledger-model-")
		if err != nil {
			rt.Fatal(err)
		}
		m := &model{T: rt, ctx: t.Context()}
		m.world, err = newWorld(dir, m.do)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() {
			if err := errors.Join(m.world.db.Close(), os.RemoveAll(dir)); err != nil {
				t.Error(err)
			}
		}()
		m.run()
		ran += m.ran
	})
	if t.Logf("%d statements ran", ran); ran == 0 {
		t.Error("nothing ever ran")
	}
}

// back is a task that is a draft again.
func (p *planned) back() {
	*p = planned{author: p.author, revision: p.revision, state: task.Draft, votes: p.votes, skips: map[uint64]skip{}, denied: p.denied}
}

type model struct {
	*rapid.T
	ctx      context.Context
	world    *world
	accounts []*account
	tasks    []*planned // task n is tasks[n-1]
	actor    *account   // who acts
	failing  bool       // the target refuses everything
	ran      int
}

func (m *model) add(human string, i bastion.Identity) *account {
	a := &account{i, human}
	m.accounts = append(m.accounts, a)
	m.world.Set(i)
	return a
}

// approvers are the human beings whose approval of a request counts now.
func (m *model) approvers(p *planned, request uint64, but ...string) []string {
	var humans []string
	for _, v := range p.votes[request] {
		if v.has("reviewer") && !slices.Contains(but, v.human) && !slices.Contains(humans, v.human) {
			humans = append(humans, v.human)
		}
	}
	return humans
}

// do is the target: it judges whether this may run now.
func (m *model) do(text string) error {
	var id, revision, step, statement int
	if _, err := fmt.Sscanf(strings.NewReplacer(".", " ", "t", "").Replace(strings.TrimPrefix(strings.TrimPrefix(text, "write "), "read ")), "%d %d %d %d", &id, &revision, &step, &statement); err != nil {
		m.Fatalf("the target was sent %q: %v", text, err)
	}
	p, a := m.tasks[id-1], m.actor
	s := &p.steps[step-1]
	switch {
	case revision != p.revision:
		m.Fatalf("%s ran; the task has revision %d", text, p.revision)
	case p.state != task.Approved && p.state != task.Running:
		m.Fatalf("%s ran; the task is %s", text, p.state)
	case !m.world.Now().Before(p.expires):
		m.Fatalf("%s ran after the approval's time", text)
	case len(m.approvers(p, p.request, p.author.human)) < 1:
		m.Fatalf("%s ran, and nobody's approval counts", text)
	case a.human == p.author.human:
		m.Fatalf("%s ran by its own author", text)
	case !a.has("deployer"):
		m.Fatalf("%s ran by %s, who may not execute it", text, a.who.Name)
	case statement != s.ran+1 || s.over:
		m.Fatalf("%s ran; %d statements of the step had run, over: %v", text, s.ran, s.over)
	case step == 2 && !p.steps[0].gone():
		m.Fatalf("%s ran before the step before it was over", text)
	case s.skipped:
		m.Fatalf("%s ran; the step is skipped", text)
	case s.by != nil && s.by != a:
		m.Fatalf("%s ran by somebody else than what was before it in the step", text)
	}
	for r, votes := range p.votes {
		if _, skip := p.skips[r]; r != p.request && !skip {
			continue
		}
		for _, v := range votes {
			if v.human == a.human {
				m.Fatalf("%s ran by %s, who approved it", text, a.who.Name)
			}
		}
	}
	s.by = a
	if m.failing {
		p.state, s.failed = task.Failed, true
		return &bastion.TargetError{Code: "1", Summary: "no"}
	}
	m.ran++
	s.ran++
	p.state = task.Running
	if s.ran == 2 {
		s.over = true
		if p.steps[0].gone() && p.steps[1].gone() {
			p.state = task.Done
		}
	}
	return nil
}

func (m *model) visit(a *account, f func(*bastion.Session) error) error {
	m.actor = a
	return m.world.visit(m.ctx, a.who, f)
}

// content is the file for the next revision of a task.
func (m *model) content(id, revision int) []byte {
	f := file(fmt.Sprintf("t%d.%d", id, revision))
	b, err := json.Marshal(f)
	if err != nil {
		m.Fatal(err)
	}
	return b
}

func (m *model) run() {
	alice := m.add("alice", bastiontest.Person("alice", "designer", "deployer", "reviewer"))
	second := bastiontest.Person("alice-at-home", "deployer", "reviewer")
	second.Issuer, second.Email = "https://other.example", "Alice@Example.COM"
	m.add("alice", second)
	m.add("alice", bastion.Identity{Issuer: "services", Subject: "bot", Kind: bastion.Service, Name: "bot", Owner: alice.who.ID(), Groups: []string{"deployer"}})
	m.add("rita", bastiontest.Person("rita", "reviewer"))
	m.add("ben", bastiontest.Person("ben", "reviewer", "deployer"))
	m.add("carol", bastiontest.Person("carol", "designer", "deployer"))
	m.add("rita", bastion.Identity{Issuer: "services", Subject: "rita-bot", Kind: bastion.Service, Name: "rita-bot", Owner: "https://id.example#rita", Groups: []string{"deployer"}})
	anybody := rapid.SampledFrom(m.accounts)
	pick := func() *account { return anybody.Draw(m.T, "who") }
	some := func() (int, *planned) {
		if len(m.tasks) == 0 {
			m.T.Skip("no task yet")
		}
		i := rapid.IntRange(0, len(m.tasks)-1).Draw(m.T, "task")
		return i + 1, m.tasks[i]
	}
	m.Repeat(map[string]func(*rapid.T){
		"new": func(*rapid.T) {
			if len(m.tasks) < 4 {
				m.create(pick())
			}
		},
		"edit": func(*rapid.T) {
			if id, p := some(); rapid.IntRange(0, 4).Draw(m.T, "rarely") == 0 {
				m.edit(id, p, m.mostly(p.author, pick))
			}
		},
		"submit":  func(*rapid.T) { id, p := some(); m.submit(id, p, m.mostly(p.author, pick)) },
		"approve": func(*rapid.T) { _, p := some(); m.vote(p, m.of(p), pick(), bastion.VoteApprove) },
		"approve too": func(*rapid.T) {
			_, p := some()
			m.vote(p, m.of(p), pick(), bastion.VoteApprove)
		},
		"deny": func(*rapid.T) {
			if _, p := some(); rapid.IntRange(0, 9).Draw(m.T, "rarely") == 0 {
				m.vote(p, m.of(p), pick(), bastion.VoteDeny)
			}
		},
		"run": func(*rapid.T) {
			id, p := some()
			m.execute(id, p, pick(), rapid.SampledFrom([]string{"", "one", "two"}).Draw(m.T, "step"))
		},
		"run all": func(*rapid.T) { id, p := some(); m.execute(id, p, pick(), "") },
		"stop": func(*rapid.T) {
			if id, p := some(); rapid.IntRange(0, 9).Draw(m.T, "rarely") == 0 {
				m.stop(id, p, pick())
			}
		},
		"skip": func(*rapid.T) {
			id, p := some()
			m.resume(id, p, pick(), rapid.IntRange(0, 1).Draw(m.T, "step"), rapid.SampledFrom([]task.Way{task.Skipping, task.Repeating}).Draw(m.T, "way"))
		},
		"repeat":        func(*rapid.T) { id, p := some(); m.repeat(id, p, pick(), rapid.IntRange(0, 1).Draw(m.T, "step")) },
		"forward":       func(*rapid.T) { m.forward(some()) },
		"forward again": func(*rapid.T) { m.forward(some()) },
		"groups": func(*rapid.T) {
			a := pick()
			a.who.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"reviewer", "deployer", "designer"}), 0, 3, rapid.ID).Draw(m.T, "groups")
			m.world.Set(a.who)
		},
		"target": func(*rapid.T) { m.failing = rapid.IntRange(0, 3).Draw(m.T, "failing") == 0 },
		"time passes": func(*rapid.T) {
			m.world.Pass(time.Duration(rapid.IntRange(1, 3).Draw(m.T, "hours")) * time.Hour)
			m.follow()
		},
		"restart": func(*rapid.T) {
			if err := m.world.restart(); err != nil {
				m.Fatal(err)
			}
		},
		"": func(*rapid.T) { m.follow() },
	})
}

// forward does with a task what it waits for.
func (m *model) forward(id int, p *planned) {
	able := func(role string) *account {
		var may []*account
		for _, a := range m.accounts {
			if a.has(role) && a.human != p.author.human {
				may = append(may, a)
			}
		}
		if may == nil {
			m.T.Skip("nobody")
		}
		return rapid.SampledFrom(may).Draw(m.T, "able")
	}
	switch p.state {
	case task.Draft:
		m.submit(id, p, p.author)
	case task.Review:
		m.vote(p, p.request, able("reviewer"), bastion.VoteApprove)
	case task.Approved, task.Running:
		m.execute(id, p, able("deployer"), "")
	default:
		for r := range p.skips {
			m.vote(p, r, able("reviewer"), bastion.VoteApprove)
			return
		}
		m.resume(id, p, p.author, 0, rapid.SampledFrom([]task.Way{task.Skipping, task.Repeating}).Draw(m.T, "way"))
	}
}

// mostly is one account, and sometimes any.
func (m *model) mostly(a *account, any func() *account) *account {
	if rapid.IntRange(0, 3).Draw(m.T, "as") > 0 {
		return a
	}
	return any()
}

// of is the request for a task, or for one of its skips.
func (m *model) of(p *planned) uint64 {
	all := []uint64{p.request}
	for r := range p.skips {
		all = append(all, r)
	}
	slices.Sort(all)
	return rapid.SampledFrom(all).Draw(m.T, "request")
}

// axel reads everything.
func (m *model) page(id int) (t task.Task) {
	axel := bastiontest.Person("axel", "auditor")
	m.world.Set(axel)
	if err := m.world.visit(m.ctx, axel, func(s *bastion.Session) (err error) {
		t, err = m.world.ledger.Task(m.ctx, s, uint64(id))
		return err
	}); err != nil {
		m.Fatal(err)
	}
	return t
}

// follow takes over what only the service's own rules decide: that a request expired,
// or that an approval no longer counted. It may take the way forward from nobody.
func (m *model) follow() {
	for i, p := range m.tasks {
		t := m.page(i + 1)
		if t.State != p.state {
			lapsed := t.State == task.Draft && (p.state == task.Review || p.state == task.Approved) || t.State == task.Stopped && p.state == task.Running
			if !lapsed || t.Approval.Open() {
				m.Fatalf("task %d is %s (%s), and %s in the model", i+1, t.State, t.Why, p.state)
			}
			p.state = t.State
			if p.state == task.Draft {
				p.back()
			}
		}
		if t.Revision != p.revision || t.Request != p.request {
			m.Fatalf("task %d has revision %d and request %d; in the model %d and %d", i+1, t.Revision, t.Request, p.revision, p.request)
		}
		for j, s := range p.steps {
			done := 0
			for _, r := range t.Progress[j].Results {
				if r.Outcome == task.Succeeded {
					done++
				}
			}
			if done != s.ran || (t.Progress[j].State == task.StepDone) != s.over || (t.Progress[j].State == task.StepSkipped) != s.skipped {
				m.Fatalf("task %d, step %d is %+v; in the model %+v", i+1, j+1, t.Progress[j], s)
			}
			if s.by != nil && !t.Progress[j].By.Equal(s.by.who) {
				m.Fatalf("task %d, step %d was executed by %s, and the page says %s", i+1, j+1, s.by.who.Name, t.Progress[j].By.Name)
			}
		}
	}
}

func (m *model) agree(what string, want bool, err error) {
	m.Helper()
	if want != (err == nil) {
		m.Fatalf("%s by %s: got %v; allowed by the model: %v", what, m.actor.who.Name, err, want)
	}
}

func (m *model) create(a *account) {
	id := len(m.tasks) + 1
	err := m.visit(a, func(s *bastion.Session) error {
		t, err := m.world.ledger.New(m.ctx, s, m.content(id, 1), nil)
		if err == nil && t.ID != uint64(id) {
			m.Fatalf("task %d should be %d", t.ID, id)
		}
		return err
	})
	m.agree("new", a.has("designer"), err)
	if err == nil {
		m.tasks = append(m.tasks, &planned{author: a, revision: 1, state: task.Draft, votes: map[uint64][]*account{}, skips: map[uint64]skip{}, denied: map[uint64]bool{}})
	}
}

func (m *model) edit(id int, p *planned, a *account) {
	err := m.visit(a, func(s *bastion.Session) error {
		_, err := m.world.ledger.Edit(m.ctx, s, uint64(id), m.content(id, p.revision+1), nil)
		return err
	})
	m.agree("edit", a == p.author && a.has("designer") && p.state.Editable(), err)
	if err == nil {
		*p = planned{author: p.author, revision: p.revision + 1, state: task.Draft, votes: p.votes, skips: map[uint64]skip{}, denied: p.denied}
	}
}

func (m *model) submit(id int, p *planned, a *account) {
	err := m.visit(a, func(s *bastion.Session) error {
		t, err := m.world.ledger.Submit(m.ctx, s, uint64(id), "a good reason")
		if err == nil {
			p.request = t.Request
		}
		return err
	})
	m.agree("submit", a == p.author && a.has("designer") && p.state == task.Draft, err)
	if err == nil {
		p.state = task.Review
	}
}

func (m *model) vote(p *planned, request uint64, a *account, v bastion.Verdict) {
	if request == 0 {
		return
	}
	m.follow() // what has expired has
	if request != p.request && p.skips[request] == (skip{}) {
		return
	}
	open := bastion.RequestState("")
	err := m.visit(a, func(s *bastion.Session) error {
		r, err := s.Vote(m.ctx, request, v, "I looked at it")
		open = r.State
		return err
	})
	if err != nil {
		return // package approval has a model of its own for that
	}
	if a.human == p.author.human || !a.has("reviewer") || a.who.Kind != bastion.Person {
		m.Fatalf("%s voted on request %d", a.who.Name, request)
	}
	asked, skips := p.skips[request]
	if skips {
		for _, s := range p.steps {
			if slices.ContainsFunc(append(slices.Clone(s.earlier), s.by), func(by *account) bool { return by != nil && by.human == a.human }) {
				m.Fatalf("%s executed a step and votes on a skip", a.who.Name)
			}
		}
	}
	switch {
	case v == bastion.VoteDeny:
		m.denied(p, request, skips)
		return
	case open == bastion.Approved && !skips && p.state == task.Review:
		p.state, p.expires = task.Approved, m.world.Now().Add(task.Lasts)
	case open == bastion.Approved && skips && len(p.votes[request]) == 0:
		m.resumed(p, asked)
	}
	p.votes[request] = append(p.votes[request], a)
}

func (m *model) denied(p *planned, request uint64, skips bool) {
	switch {
	case skips:
		delete(p.skips, request)
	case p.state == task.Running:
		p.state = task.Stopped
	case p.state == task.Review || p.state == task.Approved:
		p.back()
	}
	p.denied[request] = true
}

// resumed is a step that people voted to leave out, or to execute again.
func (m *model) resumed(p *planned, asked skip) {
	s := &p.steps[asked.step-1]
	repeats := asked.way == task.Repeating
	if p.denied[p.request] || s.over || s.skipped || !m.world.Now().Before(p.expires) || asked.attempt != len(s.earlier) || repeats && !s.failed ||
		p.state != task.Approved && p.state != task.Running && p.state != task.Failed && p.state != task.Stopped {
		return
	}
	if repeats {
		s.again()
	} else {
		s.skipped, s.failed = true, false
	}
	m.goesOn(p)
}

func (s *stage) again() {
	*s = stage{earlier: append(slices.Clone(s.earlier), s.by)}
}

// goesOn is a task in whose way one thing less is.
func (m *model) goesOn(p *planned) {
	if p.state != task.Approved && !p.steps[0].failed && !p.steps[1].failed {
		p.state = task.Running
	}
	if p.steps[0].gone() && p.steps[1].gone() {
		p.state = task.Done
	}
}

// repeat has a step executed again without a vote: of the second step alone that is
// right, once, and if its first statement failed.
func (m *model) repeat(id int, p *planned, a *account, step int) {
	m.follow()
	err := m.visit(a, func(s *bastion.Session) error {
		_, err := m.world.ledger.Repeat(m.ctx, s, uint64(id), []string{"one", "two"}[step], "")
		return err
	})
	s := &p.steps[step]
	right := step == 1 && s.failed && s.ran == 0 && len(s.earlier) == 0
	m.agree("repeat", right && p.state == task.Failed && a.has("deployer") && m.world.Now().Before(p.expires) && !p.denied[p.request], err)
	if err == nil {
		s.again()
		m.goesOn(p)
	}
}

func (m *model) execute(id int, p *planned, a *account, step string) {
	m.follow()
	next := 0
	if p.steps[0].gone() {
		next = 1
	}
	want := step == "" || step == []string{"one", "two"}[next]
	voted := func(r uint64) bool {
		return slices.ContainsFunc(p.votes[r], func(v *account) bool { return v.human == a.human })
	}
	mine := a.has("deployer") && a.human != p.author.human && !voted(p.request)
	for r := range p.skips {
		mine = mine && !voted(r)
	}
	ready := (p.state == task.Approved || p.state == task.Running) && !p.steps[next].gone() &&
		m.world.Now().Before(p.expires) && len(m.approvers(p, p.request, p.author.human)) > 0
	want = want && mine && ready && !m.failing
	before := m.ran
	err := m.visit(a, func(s *bastion.Session) error {
		_, err := m.world.ledger.Run(m.ctx, s, uint64(id), step, task.Watch{Job: bastion.Job{Show: func(bastion.Frame) error { return nil }}})
		return err
	})
	m.agree("run of "+step, want, err)
	if want && m.ran == before {
		m.Fatal("it ran, and nothing of it did")
	}
}

func (m *model) stop(id int, p *planned, a *account) {
	m.follow()
	executes := a.has("deployer") && p.request != 0
	decides := a.has("reviewer") && p.request != 0
	want := p.state == task.Running && (a == p.author || executes || decides) || p.state.Editable() && a == p.author
	err := m.visit(a, func(s *bastion.Session) error {
		_, err := m.world.ledger.Stop(m.ctx, s, uint64(id), "enough")
		return err
	})
	m.agree("stop", want, err)
	switch {
	case err != nil:
	case p.state == task.Running:
		p.state = task.Stopped
	default:
		*p = planned{author: p.author, revision: p.revision, state: task.Withdrawn, votes: p.votes, skips: map[uint64]skip{}, denied: p.denied}
	}
}

func (m *model) resume(id int, p *planned, a *account, step int, way task.Way) {
	m.follow()
	s := p.steps[step]
	err := m.visit(a, func(v *bastion.Session) error {
		_, r, err := m.world.ledger.Resume(m.ctx, v, uint64(id), []string{"one", "two"}[step], way, "it is not needed")
		if err == nil {
			p.skips[r.ID] = skip{step + 1, way, len(s.earlier)}
		}
		return err
	})
	if err == nil && (!a.has("deployer") && a != p.author || s.gone() || way == task.Repeating && !s.failed ||
		p.state == task.Draft || p.state == task.Review || p.state == task.Done || p.state == task.Withdrawn || !m.world.Now().Before(p.expires)) {
		m.Fatalf("%s asks to %s a step of a task that is %s", a.who.Name, way, p.state)
	}
}
