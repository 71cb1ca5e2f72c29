package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/bastion/policy"
)

func TestDemoTerms(t *testing.T) {
	p := load(t, "demo.yaml", world())
	request := bastion.Terms{Bundle: "production-write", Reason: "a reviewer agrees to a time of writing", Max: 2 * time.Hour, Needs: bastion.Needs{{Count: 1, Role: "reviewer"}}, Within: 30 * time.Minute}
	glass := bastion.Terms{Bundle: "break-glass", Reason: "production is down and nobody can be asked", Max: 30 * time.Minute, Needs: bastion.Needs{{Count: 1, Role: "auditor"}}, Emergency: true}
	for _, c := range []struct {
		name string
		who  bastion.Identity
		on   bastion.Target
		want []bastion.Terms
	}{
		{"a deployer", alice, production, []bastion.Terms{request, glass}},
		{"who has it already may ask for more", writing, production, []bastion.Terms{request, glass}},
		{"elsewhere", alice, staging, nil},
		{"on another target of the name", alice, target("shop-production", "app=shop"), nil},
		{"a reviewer", rita, production, nil},
		{"a deployer who reviews", ben, production, []bastion.Terms{request, glass}},
		{"a service", ciBot, production, nil},
		{"nobody", bastion.Identity{}, production, nil},
	} {
		if diff := cmp.Diff(c.want, p.Terms(c.who, c.on)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	p.Terms(alice, production)[0].Needs[0].Count = 0
	if p.Terms(alice, production)[0].Needs[0].Count != 1 {
		t.Error("what a caller does to terms changes the policy")
	}
}

// requests has a target that is reached by request alone, and one by emergency alone.
const requests = `
version: 1
teams: ["team-*", dbas]
roles:
  dev:   { groups: [dev, team-a], duties: [execute] }
  idle:  { groups: [idle], duties: [] }
  out:   { groups: [out], duties: [execute] }
  boss:  { groups: [boss], duties: [approve] }
  owner: { groups: [owner], duties: [approve] }
columns:
  - { name: mail, columns: ["*.*.email"], mask: email }
bundles:
  - name: jit
    roles: [dev, idle]
    except: [out]
    targets: { app: shop }
    clear: [mail]
    request: { max: 8h, approvals: [{ count: 2, any: [owner, boss] }, { role: owner }], within: 1h, other_team: true, reason: "just in time" }
    rules:
      - { name: use, verbs: [connect, select], effect: allow }
      - { name: some, verbs: [update], on: [public.orders], effect: ask, approvals: [{ role: boss }], other_team: true }
      - { name: never, verbs: [drop], effect: deny }
  - name: glass
    roles: [dev]
    targets: { app: blog }
    emergency: { for: 30m, reviews: [{ role: boss }] }
    rules:
      - { name: all, verbs: [connect, select, drop], effect: allow }
  - name: either
    roles: [dev]
    targets: { kind: policy }
    request: { max: 1h, approvals: [{ role: boss }] }
    emergency: { for: 5m, reviews: [{ role: owner }] }
    rules:
      - { name: use, verbs: [connect, policy-read], effect: allow }
`

func TestRequests(t *testing.T) {
	p := parse(t, requests, all())
	dev, out, idle := person("d", "dev"), person("o", "dev", "out"), person("i", "idle")
	both := emergency(granted(dev, itself, "either"), itself, "either")
	for _, c := range []struct {
		name   string
		who    bastion.Identity
		op     bastion.Operation
		effect bastion.Effect
		rule   string
		says   string
	}{
		{"before it was asked for", dev, op(production, "connect"), bastion.Deny, "", "ask for access jit, which lasts 8h at most and takes 2 approvals by bosses or owners and 1 approval by an owner"},
		{"what it does not hold", dev, op(production, "insert public.orders"), bastion.Deny, "", "no role may"},
		{"another object", dev, op(production, "update public.x"), bastion.Deny, "", "no role may"},
		{"in an emergency", dev, op(blog, "connect"), bastion.Deny, "", "in an emergency, take access glass for 30m; people are told at once, and it is reviewed"},
		{"granted", granted(dev, production, "jit"), op(production, "connect"), bastion.Allow, "jit/use", ""},
		{"granted, and asked each time", granted(dev, production, "jit"), op(production, "update public.orders"), bastion.Ask, "jit/some", ""},
		{"granted elsewhere", granted(dev, staging, "jit"), op(production, "connect"), bastion.Deny, "", ""},
		{"a bundle that is none", granted(dev, production, "jti"), op(production, "connect"), bastion.Deny, "", ""},
		{"taken, where it must be asked for", emergency(dev, production, "jit"), op(production, "connect"), bastion.Deny, "", ""},
		{"asked for, where it must be taken", granted(dev, blog, "glass"), op(blog, "connect"), bastion.Deny, "", ""},
		{"taken", emergency(dev, blog, "glass"), op(blog, "drop public.x"), bastion.Allow, "glass/all", ""},
		{"the role is gone", granted(person("d"), production, "jit"), op(production, "connect"), bastion.Deny, "", "no role"},
		{"a role that excludes came", granted(out, production, "jit"), op(production, "connect"), bastion.Deny, "", ""},
		{"without the duty", granted(idle, production, "jit"), op(production, "connect"), bastion.Deny, "", "duty execute"},
		{"a refusal holds before", dev, op(production, "drop public.orders"), bastion.Deny, "jit/never", ""},
		{"and after", granted(dev, production, "jit"), op(production, "drop public.orders"), bastion.Deny, "jit/never", ""},
		{"either way", granted(dev, itself, "either"), op(itself, "policy-read"), bastion.Allow, "either/use", ""},
		{"or the other", emergency(dev, itself, "either"), op(itself, "policy-read"), bastion.Allow, "either/use", ""},
		{"or both", both, op(itself, "policy-read"), bastion.Allow, "either/use", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := p.Decide(c.who, c.op)
			if d.Effect != c.effect || d.Rule != c.rule || !strings.Contains(d.Reason+"; "+d.Next, c.says) {
				t.Errorf("got %s by %q: %s; %s", d.Effect, d.Rule, d.Reason, d.Next)
			}
		})
	}
	for _, c := range []struct {
		name string
		who  bastion.Identity
		want bastion.Access
	}{
		{"invisible for others", person("x", "boss"), bastion.Access{}},
		{"to be asked for", dev, bastion.Access{Request: true}},
		{"granted", granted(dev, production, "jit"), bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select"}, Ask: []bastion.Verb{"update"}, Note: "depends on the object: update", Request: true}},
		{"ended", granted(dev, staging, "jit"), bastion.Access{Request: true}},
		{"without the duty", idle, bastion.Access{}},
	} {
		if diff := cmp.Diff(c.want, p.Access(c.who, production)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if d := p.Decide(granted(dev, production, "jit"), op(production, "update public.orders")); !d.OtherTeam || d.Needs.String() != "1 approval by a boss" {
		t.Errorf("got %+v", d)
	}
	for who, want := range map[string]mask.Kind{"before": mask.Email, "after": mask.Clear} {
		i := dev
		if who == "after" {
			i = granted(i, production, "jit")
		}
		if got := p.Decide(i, op(production, "select public.a")).Mask.Source("public.a.email"); got != want {
			t.Errorf("%s: %s", who, got)
		}
	}
	want := []bastion.Terms{{Bundle: "jit", Reason: "just in time", Max: 8 * time.Hour, Within: time.Hour, OtherTeam: true,
		Needs: bastion.Needs{{Count: 2, Role: "boss", Or: []string{"owner"}}, {Count: 1, Role: "owner"}}}}
	if diff := cmp.Diff(want, p.Terms(dev, production)); diff != "" {
		t.Error(diff)
	}
	p.Terms(dev, production)[0].Needs[0].Or[0] = "dev"
	if diff := cmp.Diff(want, p.Terms(dev, production)); diff != "" {
		t.Errorf("what a caller does to terms changes the policy:\n%s", diff)
	}
	if ts := p.Terms(dev, itself); len(ts) != 2 || ts[0].Emergency || !ts[1].Emergency || ts[0].Within != policy.DefaultWithin {
		t.Errorf("got %+v", ts)
	}
}

// Needs of several rules add up, whatever roles they may come from.
func TestNeedsAddUp(t *testing.T) {
	p := parse(t, header+`
  - name: a
    roles: [dev]
    targets: all
    rules:
      - { name: yes, verbs: [select], effect: allow }
      - { name: either, verbs: [select], on: [public.a, public.b, public.c], effect: ask, approvals: [{ count: 2, any: [legal, boss] }] }
      - { name: other, verbs: [select], on: [public.d], rows: { over: 10 }, effect: ask, approvals: [{ role: boss }], other_team: true }
      - { name: boss, verbs: [select], on: [public.b, public.d], effect: ask, approvals: [{ role: boss }] }
      - { name: more, verbs: [select], on: [public.c], effect: ask, approvals: [{ count: 3, any: [boss, legal] }, { role: legal }] }
`+"teams: [dev]\n", all())
	dev := person("d", "dev")
	for object, want := range map[string]string{
		"public.a": "2 approvals by bosses or legals",
		"public.b": "1 approval by a boss and 2 approvals by bosses or legals",
		"public.c": "3 approvals by bosses or legals and 1 approval by a legal",
	} {
		if d := p.Decide(dev, op(production, "select "+object)); d.Needs.String() != want {
			t.Errorf("%s: %s, want %s", object, d.Needs, want)
		}
	}
	d := p.Decide(dev, op(production, "select public.a"))
	d.Needs[0].Or[0] = "dev"
	if d := p.Decide(dev, op(production, "select public.a")); d.Needs[0].Or[0] != "legal" {
		t.Error("what a caller does to a decision changes the policy")
	}
	// That only the team depends on the number of rows is enough to ask for an estimate.
	d = p.Decide(dev, op(production, "select public.d"))
	if !d.Estimate || !d.OtherTeam {
		t.Errorf("got %+v", d)
	}
	if d := p.Decide(dev, op(production, "select public.d").Estimated(10)); d.OtherTeam {
		t.Errorf("got %+v", d)
	}
}

// A grant lifts an asking rule for what it allows itself, and for no more.
func TestLifts(t *testing.T) {
	p := parse(t, header+`
  - name: base
    roles: [dev]
    targets: all
    fresh: 2h
    rules:
      - { name: connect, verbs: [connect], effect: allow }
      - { name: write, verbs: [insert, update, delete], effect: ask, approvals: [{ role: boss }] }
      - { name: many, verbs: [insert], rows: { over: 100 }, effect: ask, approvals: [{ role: boss, count: 2 }] }
  - name: few
    roles: [dev]
    targets: all
    request: { max: 1h, approvals: [{ role: boss }] }
    lifts: [base/write]
    rules:
      - { name: orders, verbs: [insert, update], on: [public.orders], effect: allow }
      - { name: titles, verbs: [update], columns: [public.posts.title], effect: allow }
      - { name: deleting, verbs: [delete], rows: { up_to: 10 }, effect: allow }
  - name: many
    roles: [dev]
    targets: all
    request: { max: 1h, approvals: [{ role: boss }] }
    lifts: [base/many, base/write]
    rules:
      - { name: deleting, verbs: [delete], rows: { over: 10 }, effect: allow }
      - { name: inserting, verbs: [insert], on: [public.orders], effect: ask, approvals: [{ role: legal }] }
  - name: bulk
    roles: [dev]
    targets: all
    request: { max: 1h, approvals: [{ role: boss }] }
    lifts: [base/many]
    rules:
      - { name: inserting, verbs: [insert], rows: { over: 100 }, effect: allow }
`, all())
	dev := person("d", "dev")
	few, many := granted(dev, production, "few"), granted(dev, production, "many")
	both := granted(many, production, "few")
	for _, c := range []struct {
		name string
		who  bastion.Identity
		op   bastion.Operation
		want bastion.Effect
		need string
	}{
		{"without", dev, op(production, "update public.orders"), bastion.Ask, "1 approval by a boss"},
		{"what it allows", few, op(production, "update public.orders"), bastion.Allow, ""},
		{"another object", few, op(production, "update public.x"), bastion.Ask, "1 approval by a boss"},
		{"both in one", few, op(production, "update public.orders", "update public.x"), bastion.Ask, "1 approval by a boss"},
		{"a name that may be meant", few, op(production, "update public.ORDERS"), bastion.Ask, "1 approval by a boss"},
		{"its column", few, touching(production, "update public.posts", "public.posts.title"), bastion.Allow, ""},
		{"and another", few, touching(production, "update public.posts", "public.posts.title", "public.posts.body"), bastion.Ask, "1 approval by a boss"},
		{"no column is told", few, op(production, "update public.posts"), bastion.Ask, "1 approval by a boss"},
		{"a rule that it does not lift", few, op(production, "insert public.orders").Estimated(101), bastion.Ask, "2 approvals by bosses"},
		{"few rows", few, op(production, "delete public.x").Estimated(10), bastion.Allow, ""},
		{"more rows", few, op(production, "delete public.x").Estimated(11), bastion.Ask, "1 approval by a boss"},
		{"unknown rows", few, op(production, "delete public.x").Estimated(-1), bastion.Ask, "1 approval by a boss"},
		{"two grants together", both, op(production, "delete public.x").Estimated(-1), bastion.Allow, ""},
		{"as many rows as the rule speaks of, however many", granted(dev, production, "bulk"), op(production, "insert public.x").Estimated(-1), bastion.Ask, "1 approval by a boss"},
		{"a rule of its own asks", many, op(production, "insert public.orders").Estimated(101), bastion.Ask, "2 approvals by bosses and 1 approval by a legal"},
		{"of the strictest", both, op(production, "insert public.orders").Estimated(1), bastion.Ask, "1 approval by a legal"},
	} {
		if d := p.Decide(c.who, c.op); d.Effect != c.want || d.Needs.String() != c.need || d.Fresh != 2*time.Hour {
			t.Errorf("%s: got %s, %s: %+v", c.name, d.Effect, d.Needs, d)
		}
	}
	if d := p.Decide(few, op(production, "delete public.x")); !d.Estimate {
		t.Error("nobody asks for an estimate that decides")
	}
}

const separated = `
version: 1
roles:
  dev:     { groups: [dev], services: [ci-bot], duties: [execute] }
  boss:    { groups: [boss], duties: [approve] }
  auditor: { groups: [auditors], services: [ci-bot], duties: [audit] }
separation:
  - { name: audit, roles: [auditor, dev], reason: "an eye from outside" }
  - { name: three, roles: [boss, dev, auditor] }
  - { name: hats, roles: [boss, dev], conflict: choose }
bundles: []
`

// Who chose a role has the other ones of the separation no more, wherever it is asked.
// What was chosen is no way to more: not to a role that one does not hold, nor past a
// separation that leaves no choice.
func TestChosenRole(t *testing.T) {
	text := strings.Replace(separated, "services: [ci-bot], duties: [audit]", "duties: [audit]", 1)
	p := parse(t, strings.Replace(text, "bundles: []", `bundles:
  - { name: work, roles: [dev], targets: all, rules: [{ name: all, verbs: [connect, select], effect: allow }] }`, 1), world())
	acting := func(roles []string, groups ...string) bastion.Identity {
		who := person("a", groups...)
		who.Acting = roles
		return who
	}
	for range 2 { // the second time from memory
		for _, c := range []struct {
			name      string
			who       bastion.Identity
			roles     string
			connects  bool
			conflicts bool
		}{
			{"nothing chosen", acting(nil, "boss", "dev"), "boss dev", true, true},
			{"dev", acting([]string{"dev"}, "boss", "dev"), "dev", true, false},
			{"boss", acting([]string{"boss"}, "boss", "dev"), "boss", false, false},
			{"the first counts", acting([]string{"boss", "dev"}, "boss", "dev"), "boss", false, false},
			{"one that is not held", acting([]string{"boss"}, "dev"), "dev", true, false},
			{"one that is not there", acting([]string{"root"}, "boss", "dev"), "boss dev", true, true},
			{"no choice is offered", acting([]string{"dev"}, "auditors", "dev"), "auditor dev", true, true},
			{"and one of another separation does not help", acting([]string{"dev"}, "auditors", "boss", "dev"), "auditor dev", true, true},
			{"what is left may go together", acting([]string{"boss"}, "auditors", "boss", "dev"), "auditor boss", false, false},
		} {
			var held []string
			for _, r := range p.Roles(c.who) {
				held = append(held, r.Name)
			}
			if got := strings.Join(held, " "); got != c.roles {
				t.Errorf("%s: holds %s", c.name, got)
			}
			if got := p.Access(c.who, production).Connect == bastion.Allow; got != c.connects {
				t.Errorf("%s: connects %v", c.name, got)
			}
			if err := p.Conflict(c.who); (err != nil) != c.conflicts {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestConflict(t *testing.T) {
	text := strings.Replace(separated, "services: [ci-bot], duties: [audit]", "duties: [audit]", 1)
	p := parse(t, text, world())
	for range 2 { // the second time from memory
		for _, c := range []struct {
			name   string
			who    bastion.Identity
			rule   string
			reason string
			next   string
		}{
			{"one role", person("a", "dev"), "", "", ""},
			{"no role", person("a"), "", "", ""},
			{"two", person("a", "dev", "auditors"), "separation/audit", "you hold roles auditor and dev, which nobody may hold together; an eye from outside", "ask whoever manages your groups to take you out of one of them"},
			{"two that go together", person("a", "boss", "auditors"), "", "", ""},
			{"the first that is broken", person("a", "boss", "auditors", "dev"), "separation/audit", "you hold roles auditor and dev", ""},
			{"one to choose", person("a", "boss", "dev"), "separation/hats", "you hold the roles boss and dev", "choose the one in which you act until you sign in again: ssh bastion act boss, or ssh bastion act dev"},
			{"a service", ciBot, "", "", ""},
			{"another one of its subject", person("ci-bot", "dev", "boss"), "separation/hats", "", ""},
			{"nobody", bastion.Identity{}, "", "", ""},
		} {
			err := p.Conflict(c.who)
			var denied *bastion.DeniedError
			var choice *bastion.ChoiceError
			switch {
			case c.rule == "":
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			case c.rule == "separation/hats":
				if !errors.As(err, &choice) || choice.Rule != c.rule || !slices.Equal(choice.Roles, []string{"boss", "dev"}) || !strings.Contains(err.Error(), c.reason) || !strings.Contains(err.Error(), c.next) {
					t.Errorf("%s: %v", c.name, err)
				}
			case !errors.As(err, &denied):
				t.Errorf("%s: %v", c.name, err)
			case denied.Rule != c.rule || !strings.Contains(denied.Reason, c.reason) || !strings.Contains(denied.Next, c.next):
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	if err := load(t, "demo.yaml", world()).Conflict(person("a", "deployers", "auditors")); err == nil || !strings.Contains(err.Error(), "separation/audit-from-outside") {
		t.Errorf("got %v", err)
	}
	if err := load(t, "demo.yaml", world()).Conflict(ben); err != nil {
		t.Error(err)
	}
	if _, problems := policy.New(config.ParsePolicy("test.yaml", []byte(separated)), world()); problems.Err() == nil || !strings.Contains(problems.Err().Error(), `service "ci-bot" holds all of these roles`) {
		t.Errorf("a service that holds both: %v", problems.Err())
	}
	if err := (*policy.Policy)(nil).Conflict(alice); err != nil {
		t.Error(err)
	}
}

func TestTeamsOfPeople(t *testing.T) {
	p := parse(t, requests, all())
	service := ciBot
	service.Groups = []string{"team-a"}
	for _, c := range []struct {
		name string
		who  bastion.Identity
		want []string
	}{
		{"sorted, and once", person("a", "team-b", "dev", "team-a", "team-b", "dbas"), []string{"dbas", "team-a", "team-b"}},
		{"by a name", person("a", "dbas2", "dbas"), []string{"dbas"}},
		{"none", person("a", "dev"), nil},
		{"as it is written", person("a", "Team-a"), nil},
		{"a service", service, nil},
		{"nobody", bastion.Identity{Groups: []string{"team-a"}}, nil},
	} {
		if diff := cmp.Diff(c.want, p.Teams(c.who)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if got := (*policy.Policy)(nil).Teams(alice); got != nil {
		t.Error(got)
	}
	_, problems := policy.New(config.ParsePolicy("test.yaml", []byte(strings.Replace(requests, "teams:", "# teams:", 1))), all())
	if n := strings.Count(problems.Err().Error(), "other_team needs to know the teams"); n != 2 {
		t.Errorf("told %d times: %v", n, problems.Err())
	}
}

func TestApart(t *testing.T) {
	all := [][]bastion.Duty{{bastion.Design, bastion.Approve, bastion.Execute}}
	for _, p := range []*policy.Policy{nil, new(policy.Policy), load(t, "teams.yaml", func() policy.Context {
		c := world()
		c.Groups = nil
		c.Targets = append(c.Targets, blog, frozen)
		return c
	}())} {
		if diff := cmp.Diff(all, p.Apart()); diff != "" {
			t.Error(diff)
		}
	}
	p := load(t, "demo.yaml", world())
	want := [][]bastion.Duty{{bastion.Design, bastion.Approve}, {bastion.Approve, bastion.Execute}, {bastion.Design, bastion.Execute}}
	p.Apart()[0][0] = bastion.Audit
	if diff := cmp.Diff(want, p.Apart()); diff != "" {
		t.Error(diff)
	}
}

// Whatever the rules say, nobody changes the policy alone, and no approval of it is
// used twice.
func TestFloorUnderEveryRule(t *testing.T) {
	p := parse(t, header+`
  - name: a
    roles: [dev]
    targets: { kind: policy }
    rules:
      - { name: all, verbs: [connect, policy-read, policy-change], effect: allow }
  - name: b
    roles: [ops]
    targets: { kind: policy }
    rules:
      - { name: ask, verbs: [policy-change], effect: ask, approvals: [{ role: boss }], holds: 1h }
  - name: c
    roles: [legal-reader]
    targets: { kind: policy }
    emergency: { for: 1h, reviews: [{ role: boss }] }
    rules:
      - { name: all, verbs: [connect, policy-change], effect: allow }
`, world())
	for _, who := range []bastion.Identity{person("d", "dev"), emergency(person("l", "legal-readers"), itself, "c")} {
		if d := p.Decide(who, op(itself, "policy-change")); d.Effect != bastion.Deny || d.Rule != "floor" || !strings.Contains(d.Reason, "nobody changes the policy alone") {
			t.Errorf("%s: %+v", who.Name, d)
		}
		if d := p.Decide(who, op(itself, "policy-read", "policy-change")); d.Effect != bastion.Deny {
			t.Errorf("%s, among others: %+v", who.Name, d)
		}
		if a := p.Access(who, itself); len(a.Ask) > 0 || strings.Contains(strings.Join(verbNames(a.Allow), " "), "policy-change") {
			t.Errorf("%s: %+v", who.Name, a)
		}
	}
	if d := p.Decide(person("d", "dev"), op(itself, "policy-read")); d.Effect != bastion.Allow {
		t.Errorf("got %+v", d)
	}
	if d := p.Decide(person("o", "ops"), op(itself, "policy-change")); d.Effect != bastion.Ask || d.Holds != 0 || len(d.Needs) != 1 {
		t.Errorf("got %+v", d)
	}
	if d := p.Decide(person("o", "ops", "dev"), op(itself, "policy-change")); d.Effect != bastion.Ask {
		t.Errorf("with a rule that asks beside: %+v", d)
	}
}

func verbNames(vs []bastion.Verb) []string {
	var s []string
	for _, v := range vs {
		s = append(s, string(v))
	}
	return s
}

// The path of a native client's statements takes no memory.
func TestDecidingTakesNoMemory(t *testing.T) {
	p, who, o := grants(t)
	demo := load(t, "demo.yaml", world())
	read := showing(production, "select public.orders", "public.orders.id")
	for name, f := range map[string]func(){
		"with 20 grants and 200 groups": func() { p.Decide(who, o) },
		"conflicts":                     func() { p.Conflict(who) },
		"the demo":                      func() { demo.Decide(alice, read) },
		"the demo, with a grant":        func() { demo.Decide(writing, read) },
		"the demo's conflicts":          func() { demo.Conflict(alice) },
	} {
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
