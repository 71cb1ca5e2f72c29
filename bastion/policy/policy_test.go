package policy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/bastion/policy"
)

var update = flag.Bool("update", false, "write golden files")

const testdata = "../../testdata/policies/"

// postgres is what the connector of the demo's targets can do.
var postgres = verbs("select", "catalog", "explain", "insert", "update", "update-all", "delete", "delete-all",
	"merge", "truncate", "create", "alter", "drop", "comment", "grant", "maintain", "transaction", "setting",
	"setting-meaning", "function", "call", "do", "define", "extension", "foreign", "lock", "listen", "cursor",
	"prepare", "copy-in", "copy-out", "server-file", "large-object")

func verbs(names ...bastion.Verb) []bastion.VerbInfo {
	var vs []bastion.VerbInfo
	for _, n := range names {
		vs = append(vs, bastion.VerbInfo{Verb: n})
	}
	return vs
}

func target(name string, labels ...string) bastion.Target {
	t := bastion.Target{Name: name, Kind: "postgres", Address: "127.0.0.1:1", Labels: map[string]string{}}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		t.Labels[k] = v
	}
	return t
}

var (
	staging    = target("shop-staging", "app=shop", "env=staging")
	production = target("shop-production", "app=shop", "env=production")
	blog       = target("blog", "app=blog", "env=production")
	frozen     = target("shop-frozen", "app=shop", "env=staging", "frozen=yes")
	cluster    = bastion.Target{Name: "cluster", Kind: "kubernetes", Labels: map[string]string{"app": "cluster"}}
)

func world() policy.Context {
	return policy.Context{
		Targets:      []bastion.Target{staging, production},
		Verbs:        map[string][]bastion.VerbInfo{"postgres": postgres},
		Services:     []string{"ci-bot"},
		Groups:       []string{"deployers", "reviewers", "auditors"},
		PseudonymKey: []byte("a key for tests"),
	}
}

// all is a world with more targets and kinds, and no list of groups.
func all() policy.Context {
	c := world()
	c.Targets = append(c.Targets, blog, frozen, cluster)
	c.Verbs["kubernetes"] = verbs("list", "delete")
	c.Groups = nil
	return c
}

func person(name string, groups ...string) bastion.Identity {
	return bastion.Identity{Issuer: "https://id", Subject: name, Kind: bastion.Person, Name: name, Groups: groups}
}

var (
	alice = person("alice", "deployers")
	rita  = person("rita", "reviewers")
	axel  = person("axel", "auditors")
	ben   = person("ben", "deployers", "reviewers")
	guest = person("guest", "visitors")
	ciBot = bastion.Identity{Issuer: "sallyport", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot"}
)

// op is an operation of actions such as "select public.orders".
func op(t bastion.Target, actions ...string) bastion.Operation {
	var i bastion.Intent
	for _, a := range actions {
		verb, resource, _ := strings.Cut(a, " ")
		i.Actions = append(i.Actions, bastion.Action{Verb: bastion.Verb(verb), Resource: resource})
	}
	if len(i.Actions) > 0 {
		i.Verb = i.Actions[0].Verb
	}
	return bastion.Plan(t, strings.Join(actions, "; "), i)
}

// probing is an operation that reads a column other than by showing it.
func probing(t bastion.Target, column string, equality bool) bastion.Operation {
	return bastion.Plan(t, "select", bastion.Intent{Verb: "select", Actions: []bastion.Action{{Verb: "select", Resource: "public.customers"}},
		Probes: []bastion.Probe{{Column: "public.orders.id"}, {Column: column, Equality: equality}}})
}

func load(t testing.TB, name string, c policy.Context) *policy.Policy {
	t.Helper()
	p, problems := policy.New(config.LoadPolicy(testdata+name), c)
	if len(problems) > 0 {
		t.Fatalf("%s:\n%v", name, problems)
	}
	return p
}

func parse(t testing.TB, text string, c policy.Context) *policy.Policy {
	t.Helper()
	p, problems := policy.New(config.ParsePolicy("test.yaml", []byte(text)), c)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDemo(t *testing.T) {
	p := load(t, "demo.yaml", world())
	for _, c := range []struct {
		name   string
		who    bastion.Identity
		op     bastion.Operation
		effect bastion.Effect
		rule   string
		says   string // part of reason and next
		needs  string
	}{
		{"deployer connects to staging", alice, op(staging, "connect"), bastion.Allow, "staging/work", "", ""},
		{"deployer drops on staging", alice, op(staging, "drop public.orders"), bastion.Allow, "staging/work", "", ""},
		{"deployer defines code on staging", alice, op(staging, "define public.f"), bastion.Ask, "staging/code", "masked", "1 approval by a reviewer"},
		{"deployer reads the server's files", alice, op(staging, "server-file"), bastion.Deny, "", "no rule lets role deployer server-file on shop-staging; no role may", ""},
		{"deployer connects to production", alice, op(production, "connect"), bastion.Allow, "production/read", "", ""},
		{"deployer reads production", alice, op(production, "select public.customers"), bastion.Allow, "production/read", "", ""},
		{"deployer updates with where", alice, op(production, "update public.customers", "select public.customers"), bastion.Ask, "production/write", "second person", "1 approval by a reviewer"},
		{"deployer updates outside public", alice, op(production, "update private.x"), bastion.Deny, "", "rule production/write covers only public.*", ""},
		{"deployer deletes all", alice, op(production, "delete-all public.payments"), bastion.Deny, "production/no-unbounded-writes", "add a WHERE clause", ""},
		{"deployer updates all", alice, op(production, "update-all public.payments"), bastion.Deny, "production/no-unbounded-writes", "add a WHERE clause", ""},
		{"deployer truncates", alice, op(production, "truncate public.payments"), bastion.Deny, "production/no-unbounded-writes", "every row", ""},
		{"deployer drops", alice, op(production, "drop public.payments"), bastion.Deny, "production/no-drop", "migration", ""},
		{"deployer alters", alice, op(production, "alter public.payments"), bastion.Ask, "production/schema", "two reviewers", "2 approvals by reviewers"},
		{"the harmless and the refused together", alice, op(production, "select public.orders", "drop public.orders"), bastion.Deny, "production/no-drop", "", ""},
		{"asks add up", alice, op(production, "alter public.a", "insert public.a"), bastion.Ask, "production/write", "", "2 approvals by reviewers"},
		{"deployer and reviewer acts as deployer", ben, op(production, "connect"), bastion.Allow, "production/read", "", ""},
		{"deployer and reviewer is asked too", ben, op(production, "update public.orders"), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
		{"reviewer asks for access", rita, op(production, "connect"), bastion.Ask, "production-look/access", "by request", "1 approval by a reviewer"},
		{"reviewer reads production", rita, op(production, "select public.orders"), bastion.Allow, "production-look/read", "", ""},
		{"reviewer writes", rita, op(production, "update public.orders"), bastion.Deny, "", "roles bot and deployer may, by rule production/write", ""},
		{"reviewer on staging", rita, op(staging, "connect"), bastion.Deny, "", "roles observer and reviewer connect to shop-staging", ""},
		{"auditor on staging", axel, op(staging, "connect"), bastion.Deny, "", "role auditor does not come with the duty execute", ""},
		{"auditor on production", axel, op(production, "select public.orders"), bastion.Deny, "", "execute", ""},
		{"service on staging", ciBot, op(staging, "drop public.orders"), bastion.Allow, "staging/work", "", ""},
		{"service reads production", ciBot, op(production, "select public.orders"), bastion.Allow, "production/read", "", ""},
		{"service writes", ciBot, op(production, "insert public.orders"), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
		{"guest", guest, op(staging, "select public.orders"), bastion.Deny, "", "you hold no role here", ""},
		{"nobody", bastion.Identity{}, op(staging, "select public.orders"), bastion.Deny, "", "no role", ""},
		{"unknown verb", alice, op(staging, "levitate public.orders"), bastion.Deny, "", "know no operation levitate", ""},
		{"no verb", alice, op(staging, " public.orders"), bastion.Deny, "", "know no operation", ""},
		{"no action", alice, op(staging), bastion.Deny, "", "nothing", ""},
		{"unknown target", alice, op(target("other", "app=shop", "env=staging"), "select"), bastion.Deny, "", "does not know target other", ""},
		{"target with other labels", alice, op(target("shop-production", "app=shop", "env=staging"), "drop public.a"), bastion.Deny, "", "does not know target", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := p.Decide(c.who, c.op)
			if d.Effect != c.effect || d.Rule != c.rule || d.Needs.String() != c.needs {
				t.Errorf("got %s by %q, needs %q; want %s by %q, needs %q\nreason: %s\nnext: %s", d.Effect, d.Rule, d.Needs, c.effect, c.rule, c.needs, d.Reason, d.Next)
			}
			if said := d.Reason + "; " + d.Next; !strings.Contains(said, c.says) {
				t.Errorf("says %q, want %q in it", said, c.says)
			}
			if d.Effect == bastion.Deny && (d.Reason == "" || d.Next == "") {
				t.Errorf("a refusal without reason or next: %+v", d)
			}
			if d.Effect == bastion.Ask && d.Within <= 0 {
				t.Error("a request that is never open")
			}
		})
	}
}

func TestDemoSpans(t *testing.T) {
	p := load(t, "demo.yaml", world())
	if d := p.Decide(rita, op(production, "connect")); d.Holds != time.Hour || d.Within != 30*time.Minute || d.Fresh != 8*time.Hour {
		t.Errorf("access: %+v", d)
	}
	if d := p.Decide(alice, op(production, "update public.orders")); d.Holds != 0 || d.Within != 30*time.Minute || d.Fresh != 8*time.Hour {
		t.Errorf("write: %+v", d)
	}
	if d := p.Decide(alice, op(staging, "do")); d.Within != policy.DefaultWithin || d.Fresh != 0 {
		t.Errorf("staging: %+v", d)
	}
	if d := p.Decide(alice, op(production, "alter public.a", "insert public.a")); d.Within != 30*time.Minute {
		t.Errorf("the shorter time does not win: %+v", d)
	}
}

func TestDemoMasks(t *testing.T) {
	p := load(t, "demo.yaml", world())
	want := map[string]mask.Kind{
		"public.customers.email":         mask.Email,
		"public.customers.phone":         mask.Last4,
		"public.customers.national_id":   mask.Redact,
		"public.customers.date_of_birth": mask.Null,
		"public.customers.notes":         mask.Redact,
		"public.customers.name":          mask.Clear,
		"public.payments.card_number":    mask.Last4,
		"public.payments.card_holder":    mask.Pseudonym,
		"public.payments.iban":           mask.Last4,
		"public.employees.iban":          mask.Last4,
		"public.employees.salary":        mask.Redact,
		"public.orders.total":            mask.Clear,
	}
	for _, who := range []bastion.Identity{alice, ben, ciBot, axel, guest} {
		for _, on := range []bastion.Target{staging, production} {
			d := p.Decide(who, op(on, "server-file")) // refused for all: the masks come all the same
			for column, kind := range want {
				if got := d.Mask.Source(column); got != kind {
					t.Errorf("%s on %s: %s is shown by %s, want %s", who.Name, on.Name, column, got, kind)
				}
			}
		}
	}
	if d := p.Decide(alice, op(blog, "select")); d.Mask.HidesNothing() || d.Mask.Source("public.a.b") != mask.Redact {
		t.Error("a target that the policy does not know shows something")
	}
}

func TestDemoAccess(t *testing.T) {
	p := load(t, "demo.yaml", world())
	for _, c := range []struct {
		who  bastion.Identity
		on   bastion.Target
		want bastion.Access
	}{
		{alice, production, bastion.Access{Connect: bastion.Allow,
			Allow: []bastion.Verb{"catalog", "cursor", "explain", "prepare", "select", "setting", "transaction"},
			Ask:   []bastion.Verb{"alter", "call", "comment", "copy-in", "copy-out", "create", "delete", "function", "insert", "lock", "maintain", "merge", "update"},
			Note:  "depends on the object: copy-in, delete, insert, merge, update"}},
		{rita, production, bastion.Access{Connect: bastion.Ask, Allow: []bastion.Verb{"catalog", "explain", "select", "setting", "transaction"}}},
		{rita, staging, bastion.Access{}},
		{axel, staging, bastion.Access{}},
		{axel, production, bastion.Access{}},
		{guest, production, bastion.Access{}},
		{bastion.Identity{}, staging, bastion.Access{}},
		{alice, blog, bastion.Access{}},
	} {
		if diff := cmp.Diff(c.want, p.Access(c.who, c.on)); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", c.who.Name, c.on.Name, diff)
		}
	}
	a := p.Access(alice, production)
	a.Allow[0], a.Ask[0] = "drop", "drop"
	if b := p.Access(alice, production); b.Allow[0] != "catalog" || b.Ask[0] != "alter" {
		t.Error("what a caller does to an answer changes the next one")
	}
}

func TestRoles(t *testing.T) {
	p := load(t, "demo.yaml", world())
	names := func(who bastion.Identity) string {
		var s []string
		for _, r := range p.Roles(who) {
			s = append(s, r.Name)
		}
		return strings.Join(s, " ")
	}
	unkind := alice
	unkind.Kind = ""
	claims := person("ci-bot", "ci-bot")
	grouped := ciBot
	grouped.Subject, grouped.Groups = "other", []string{"deployers"}
	nameless := alice
	nameless.Subject = ""
	for _, c := range []struct {
		name string
		who  bastion.Identity
		want string
	}{
		{"a person by a group", alice, "deployer"},
		{"one group, two roles", rita, "observer reviewer"},
		{"two groups, sorted", ben, "deployer observer reviewer"},
		{"a service by its name", ciBot, "bot"},
		{"a person with a service's name", claims, ""},
		{"a service with people's groups", grouped, ""},
		{"neither person nor service", unkind, ""},
		{"an identity without a subject", nameless, ""},
		{"no groups", person("x"), ""},
		{"nobody", bastion.Identity{}, ""},
	} {
		if got := names(c.who); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	roles := p.Roles(alice)
	roles[0].Duties[0] = bastion.Audit
	if p.Roles(alice)[0].Duties[0] != bastion.Design {
		t.Error("what a caller does to a role changes the policy")
	}
}

func TestProbes(t *testing.T) {
	p := load(t, "demo.yaml", world())
	for _, c := range []struct {
		name     string
		column   string
		equality bool
		effect   bastion.Effect
		says     string
	}{
		{"a filter on a column in the clear", "public.customers.name", false, bastion.Allow, ""},
		{"a lookup where lookups are allowed", "public.customers.email", true, bastion.Allow, ""},
		{"more than a lookup", "public.customers.email", false, bastion.Deny, "compare it with = and a constant"},
		{"a lookup where none is allowed", "public.customers.phone", true, bastion.Deny, "column public.customers.phone is masked for you"},
		{"an order by a masked column", "public.payments.card_number", false, bastion.Deny, "leave it out"},
		{"a column without a table", "email", true, bastion.Deny, "masked"},
		{"something without a name", "?", false, bastion.Deny, "cannot be looked into"},
		{"a column with a lying name", "public.customers.phone\x1b[2J", false, bastion.Allow, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := p.Decide(alice, probing(staging, c.column, c.equality))
			if d.Effect != c.effect || !strings.Contains(d.Reason+"; "+d.Next, c.says) {
				t.Errorf("got %+v", d)
			}
			if c.effect == bastion.Deny && (d.Rule != policy.MaskedColumn || d.Mask.HidesNothing()) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

const header = `
version: 1
roles:
  dev:    { groups: [dev], duties: [execute] }
  ops:    { groups: [ops], duties: [execute] }
  looker: { groups: [looker], duties: [audit] }
  boss:   { groups: [boss], duties: [approve] }
  legal:  { groups: [legal], duties: [approve] }
columns:
  - { name: mail, columns: ["*.*.email"], mask: email }
  - { name: cards, columns: ["public.payments.card*"], mask: last4 }
bundles:
`

func TestSemantics(t *testing.T) {
	dev, looker := person("d", "dev"), person("l", "looker")
	both, devLooker := person("b", "dev", "ops"), person("dl", "dev", "looker")
	ask := func(needs string, within, holds, fresh time.Duration) bastion.Decision {
		d := bastion.Decision{Effect: bastion.Ask, Within: within, Holds: holds, Fresh: fresh}
		for n := range strings.FieldsSeq(needs) {
			var need bastion.Need
			fmt.Sscanf(strings.Replace(n, ":", " ", 1), "%s %d", &need.Role, &need.Count)
			d.Needs = append(d.Needs, need)
		}
		return d
	}
	allow := bastion.Decision{Effect: bastion.Allow}
	for _, c := range []struct {
		name    string
		bundles string
		who     bastion.Identity
		op      bastion.Operation
		want    bastion.Decision // without reason, next and mask
		rule    string
	}{
		{"deny wins over ask and allow in one bundle", `
  - { name: a, roles: [dev], targets: all, rules: [
      { name: yes, verbs: [select], effect: allow }, { name: maybe, verbs: [select], effect: ask, approvals: [{role: boss}] }, { name: no, verbs: [select], effect: deny } ] }`,
			dev, op(staging, "select public.t"), bastion.Decision{}, "a/no"},
		{"ask of one bundle wins over allow of another", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }
  - { name: b, roles: [ops], targets: all, rules: [{ name: maybe, verbs: [select], effect: ask, approvals: [{role: boss}] }] }`,
			both, op(staging, "select public.t"), ask("boss:1", 30*time.Minute, 0, 0), "b/maybe"},
		{"a bundle of somebody else's role says nothing", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }
  - { name: b, roles: [ops], targets: all, rules: [{ name: no, verbs: [select], effect: deny }] }`,
			dev, op(staging, "select public.t"), allow, "a/yes"},
		{"asks unite: greatest counts, shortest spans", `
  - { name: a, roles: [dev], targets: all, fresh: 4h, rules: [{ name: one, verbs: [select], effect: ask, approvals: [{role: boss, count: 2}, {role: legal}], within: 1h, holds: 2h }] }
  - { name: b, roles: [dev], targets: all, fresh: 3h, rules: [{ name: two, verbs: [select], effect: ask, approvals: [{role: boss}], within: 2h, holds: 1h }] }`,
			dev, op(staging, "select public.t"), ask("boss:2 legal:1", time.Hour, time.Hour, 3*time.Hour), "a/one"},
		{"once is stricter than for an hour", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: one, verbs: [select], effect: ask, approvals: [{role: boss}], holds: 2h }, { name: two, verbs: [select], effect: ask, approvals: [{role: legal}], holds: 0 }] }`,
			dev, op(staging, "select public.t"), ask("boss:1 legal:1", 30*time.Minute, 0, 0), "a/one"},
		{"the sign-in of an allowing bundle counts beside an asking one", `
  - { name: a, roles: [dev], targets: all, fresh: 1h, rules: [{ name: yes, verbs: [select], effect: allow }] }
  - { name: b, roles: [dev], targets: all, rules: [{ name: maybe, verbs: [select], effect: ask, approvals: [{role: boss}] }] }`,
			dev, op(staging, "select public.t"), ask("boss:1", 30*time.Minute, 0, time.Hour), "b/maybe"},
		{"every action needs a rule", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [insert], effect: allow }] }`,
			dev, op(staging, "insert public.t", "select public.s"), bastion.Decision{}, ""},
		{"the asks of several actions unite", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: one, verbs: [insert], effect: ask, approvals: [{role: boss}] }, { name: two, verbs: [delete], effect: ask, approvals: [{role: legal}] }, { name: r, verbs: [select], effect: allow }] }`,
			dev, op(staging, "select public.s", "delete public.t", "insert public.t"), ask("boss:1 legal:1", 30*time.Minute, 0, 0), "a/one"},
		{"a named denial is told before a missing rule", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: no, verbs: [drop], effect: deny }] }`,
			dev, op(staging, "select public.s", "drop public.t"), bastion.Decision{}, "a/no"},
		{"labels choose targets", `
  - { name: a, roles: [dev], targets: { app: shop, env: [staging, test] }, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			dev, op(production, "select public.t"), bastion.Decision{}, ""},
		{"a label with several values", `
  - { name: a, roles: [dev], targets: { app: [blog, shop] }, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			dev, op(production, "select public.t"), allow, "a/yes"},
		{"except takes the bundle away", `
  - { name: a, roles: [dev], except: [ops], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			both, op(staging, "select public.t"), bastion.Decision{}, ""},
		{"except leaves others alone", `
  - { name: a, roles: [dev], except: [ops], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			dev, op(staging, "select public.t"), allow, "a/yes"},
		{"a role without execute is granted nothing", `
  - { name: a, roles: [looker], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			looker, op(staging, "select public.t"), bastion.Decision{}, ""},
		{"execute by one role does not lend itself to another's bundle", `
  - { name: a, roles: [looker], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }
  - { name: b, roles: [dev], targets: all, rules: [{ name: yes, verbs: [insert], effect: allow }] }`,
			devLooker, op(staging, "select public.t"), bastion.Decision{}, ""},
		{"a role without execute still limits by deny", `
  - { name: a, roles: [looker], targets: all, rules: [{ name: no, verbs: [select], effect: deny }] }
  - { name: b, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			devLooker, op(staging, "select public.t"), bastion.Decision{}, "a/no"},
		{"a role without execute still limits by ask", `
  - { name: a, roles: [looker], targets: all, rules: [{ name: maybe, verbs: [select], effect: ask, approvals: [{role: boss}] }] }
  - { name: b, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			devLooker, op(staging, "select public.t"), ask("boss:1", 30*time.Minute, 0, 0), "a/maybe"},
		{"a star denies every verb", `
  - { name: a, roles: [ops], targets: all, rules: [{ name: frozen, verbs: ["*"], effect: deny }] }
  - { name: b, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			both, op(staging, "select public.t"), bastion.Decision{}, "a/frozen"},
		{"a star denies connecting too", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: frozen, verbs: ["*"], effect: deny }] }
  - { name: b, roles: [dev], targets: all, rules: [{ name: yes, verbs: [connect], effect: allow }] }`,
			dev, op(staging, "connect"), bastion.Decision{}, "a/frozen"},
		{"a verb of another kind of target", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [list], effect: allow }] }`,
			dev, op(staging, "list public.t"), bastion.Decision{}, ""},
		{"a verb of this kind of target", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [list], effect: allow }] }`,
			dev, op(cluster, "list pods"), allow, "a/yes"},
		{"a rule for resources does not cover none", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], on: ["public.*"], effect: allow }] }`,
			dev, op(staging, "select"), bastion.Decision{}, ""},
		{"a star runs within one part", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], on: ["*.orders"], effect: allow }] }`,
			dev, op(staging, "select shop.public.orders"), bastion.Decision{}, ""},
		{"an allow compares names exactly", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], on: [public.orders], effect: allow }] }`,
			dev, op(staging, "select public.Orders"), bastion.Decision{}, ""},
		{"a deny ignores capitals", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }, { name: no, verbs: [select], on: [Public.orders], effect: deny }] }`,
			dev, op(staging, "select public.ORDERS"), bastion.Decision{}, "a/no"},
		{"a deny is not escaped by a dot in a quoted name", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }, { name: no, verbs: [select], on: ["secret.*"], effect: deny }] }`,
			dev, op(staging, "select secret.a.b"), bastion.Decision{}, "a/no"},
		{"an ask is not escaped by a dot in a quoted name", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }, { name: maybe, verbs: [select], on: ["secret.*"], effect: ask, approvals: [{role: boss}] }] }`,
			dev, op(staging, "select secret.a.b"), ask("boss:1", 30*time.Minute, 0, 0), "a/maybe"},
		{"an ask grants no name that it does not match exactly", `
  - { name: a, roles: [dev], targets: all, rules: [{ name: maybe, verbs: [select], on: ["open.*"], effect: ask, approvals: [{role: boss}] }] }`,
			dev, op(staging, "select open.a.b"), bastion.Decision{}, ""},
		{"an allow says nothing about a name that it does not match exactly", `
  - { name: a, roles: [dev], targets: all, fresh: 1h, rules: [{ name: yes, verbs: [select], on: [public.orders], effect: allow }] }
  - { name: b, roles: [dev], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }`,
			dev, op(staging, "select public.Orders"), allow, "b/yes"},
		{"the first of two denials is named", `
  - { name: b, roles: [dev], targets: all, rules: [{ name: one, verbs: [drop], effect: deny }] }
  - { name: a, roles: [dev], targets: all, rules: [{ name: two, verbs: [delete], effect: deny }] }`,
			dev, op(staging, "delete public.t", "drop public.t"), bastion.Decision{}, "b/one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := parse(t, header+c.bundles, all()).Decide(c.who, c.op)
			got := d
			got.Rule, got.Reason, got.Next, got.Mask = "", "", "", mask.Rules{}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(mask.Rules{})); diff != "" || d.Rule != c.rule {
				t.Errorf("rule %q, want %q (-want +got):\n%s%s; %s", d.Rule, c.rule, diff, d.Reason, d.Next)
			}
		})
	}
}

func TestClear(t *testing.T) {
	p := parse(t, header+`
  - { name: plain, roles: [dev, looker], targets: all, rules: [{ name: r, verbs: [select], effect: allow }] }
  - { name: shop, roles: [ops], except: [boss], targets: { app: shop }, clear: [mail], rules: [{ name: r, verbs: [select], effect: allow }] }
  - { name: lookers, roles: [looker], targets: all, clear: [cards], rules: [{ name: n, verbs: [drop], effect: deny }] }
`, all())
	for _, c := range []struct {
		name        string
		who         bastion.Identity
		on          bastion.Target
		mail, cards mask.Kind
	}{
		{"nothing is clear by default", person("d", "dev"), staging, mask.Email, mask.Last4},
		{"cleared by a bundle", person("o", "ops"), staging, mask.Clear, mask.Last4},
		{"cleared on its targets only", person("o", "ops"), blog, mask.Email, mask.Last4},
		{"cleared by one of two bundles", person("b", "ops", "dev"), staging, mask.Clear, mask.Last4},
		{"not by a bundle that is excepted", person("b", "ops", "boss"), staging, mask.Email, mask.Last4},
		{"not by a role without execute", person("l", "looker"), staging, mask.Email, mask.Last4},
		{"not by another role's execute", person("l", "looker", "dev"), staging, mask.Email, mask.Last4},
		{"not for nobody", bastion.Identity{}, staging, mask.Email, mask.Last4},
	} {
		m := p.Decide(c.who, op(c.on, "select public.t")).Mask
		if mail, cards := m.Source("public.customers.email"), m.Source("public.payments.card_number"); mail != c.mail || cards != c.cards {
			t.Errorf("%s: got %s and %s, want %s and %s", c.name, mail, cards, c.mail, c.cards)
		}
	}
	d := p.Decide(person("d", "dev"), probing(staging, "public.customers.email", true))
	if d.Effect != bastion.Deny || !strings.Contains(d.Next, "role ops, who may see it") {
		t.Errorf("does not say who may: %+v", d)
	}
}

func TestExceptSaysWhy(t *testing.T) {
	p := parse(t, header+`
  - { name: a, roles: [dev], except: [ops], targets: all, rules: [{ name: r, verbs: [select], effect: allow }] }
  - { name: b, roles: [ops], targets: all, rules: [{ name: r, verbs: [insert], effect: allow }] }
`, all())
	d := p.Decide(person("b", "dev", "ops"), op(staging, "select public.t"))
	if want := "bundle a would let you, but leaves out whoever also holds role ops"; d.Next != want {
		t.Errorf("got %q, want %q", d.Next, want)
	}
}

func TestZeroValuesDeny(t *testing.T) {
	var none *policy.Policy
	for _, p := range []*policy.Policy{none, new(policy.Policy)} {
		if d := p.Decide(alice, op(staging, "select")); d.Effect != bastion.Deny || d.Mask.HidesNothing() {
			t.Errorf("got %+v", d)
		}
		if d := p.Decide(bastion.Identity{}, bastion.Operation{}); d.Effect != bastion.Deny {
			t.Errorf("got %+v", d)
		}
		if a := p.Access(alice, staging); a.Visible() {
			t.Errorf("got %+v", a)
		}
		if r := p.Roles(alice); len(r) > 0 {
			t.Errorf("got %+v", r)
		}
		p.Explain(alice, op(staging, "select"))
	}
	if p, problems := policy.New(policy.File{}, policy.Context{}); p != nil || problems.Err() == nil {
		t.Error("the zero file made a policy")
	}
	p := load(t, "demo.yaml", world())
	if d := p.Decide(alice, bastion.Operation{}); d.Effect != bastion.Deny || d.Mask.HidesNothing() {
		t.Errorf("the zero operation: %+v", d)
	}
	if p.Access(alice, bastion.Target{}).Visible() {
		t.Error("the zero target is visible")
	}
}

func TestUnknownKind(t *testing.T) {
	c := all()
	delete(c.Verbs, "kubernetes")
	p := parse(t, header+`
  - { name: a, roles: [dev], targets: all, rules: [{ name: r, verbs: [connect, select], effect: allow }] }`, c)
	who := person("d", "dev")
	if d := p.Decide(who, op(cluster, "connect")); d.Effect != bastion.Deny || p.Access(who, cluster).Visible() {
		t.Errorf("a kind that no connector knows: %+v", d)
	}
}

func TestProblems(t *testing.T) {
	for _, name := range []string{"broken", "unreadable", "demo", "teams"} {
		t.Run(name, func(t *testing.T) {
			f := config.LoadPolicy(testdata + name + ".yaml")
			c := world()
			if name == "teams" {
				c.Groups = []string{"team-shop", "team-blog", "dbas", "privacy"}
				c.Targets = append(c.Targets, blog, frozen)
			}
			p, problems := policy.New(f, c)
			if (p == nil) != (problems.Err() != nil) {
				t.Errorf("policy %v with error %v", p != nil, problems.Err())
			}
			var b strings.Builder
			for _, p := range problems {
				fmt.Fprintln(&b, strings.TrimPrefix(p.String(), testdata))
			}
			golden(t, name+".problems", b.String())
		})
	}
}

func TestTeams(t *testing.T) {
	c := all()
	p := load(t, "teams.yaml", c)
	shop, blogger, dba := person("s", "team-shop"), person("b", "team-blog"), person("d", "dbas")
	for _, c := range []struct {
		name   string
		who    bastion.Identity
		op     bastion.Operation
		effect bastion.Effect
		rule   string
		needs  string
	}{
		{"free on staging", shop, op(staging, "update public.orders"), bastion.Allow, "shop/write", ""},
		{"asked for payments", shop, op(staging, "update public.payments"), bastion.Ask, "shop/payments", "1 approval by a privacy"},
		{"asked twice in production", shop, op(production, "update public.payments"), bastion.Ask, "shop/payments", "1 approval by a dba and 1 approval by a privacy"},
		{"frozen", shop, op(frozen, "update public.orders"), bastion.Deny, "freeze/no-changes", ""},
		{"reading while frozen", shop, op(frozen, "select public.orders"), bastion.Allow, "shop/read", ""},
		{"not the other team's", blogger, op(staging, "select public.orders"), bastion.Deny, "", ""},
		{"production of the blog", blogger, op(blog, "update posts.x"), bastion.Ask, "production-writes/second-pair-of-eyes", "1 approval by a dba"},
		{"database administrators are limited too", dba, op(frozen, "drop public.orders"), bastion.Deny, "freeze/no-changes", ""},
	} {
		d := p.Decide(c.who, c.op)
		if d.Effect != c.effect || d.Rule != c.rule || d.Needs.String() != c.needs {
			t.Errorf("%s: got %s by %q, needs %q", c.name, d.Effect, d.Rule, d.Needs)
		}
	}
	if k := p.Decide(dba, op(staging, "select")).Mask.Source("x.y.email"); k != mask.Clear {
		t.Errorf("cleared label: %s", k)
	}
	if k := p.Decide(dba, op(blog, "select")).Mask.Source("x.y.email"); k != mask.Pseudonym {
		t.Errorf("label that is cleared elsewhere: %s", k)
	}
}

func TestExplain(t *testing.T) {
	p := load(t, "demo.yaml", world())
	var b strings.Builder
	for _, e := range []policy.Explanation{
		p.Explain(alice, bastion.Plan(production, "update", bastion.Intent{Verb: "update",
			Actions: []bastion.Action{{Verb: "update", Resource: "public.customers"}, {Verb: "select", Resource: "public.customers"}},
			Outputs: []mask.Column{{Name: "e", Sources: []string{"public.customers.email", "public.customers.name"}, Proven: true}},
			Probes:  []bastion.Probe{{Column: "public.customers.email", Equality: true}}})),
		p.Explain(alice, op(production, "delete-all public.payments")),
		p.Explain(rita, op(production, "connect")),
		p.Explain(rita, op(production, "update public.orders")),
		p.Explain(axel, op(staging, "connect")),
		p.Explain(guest, op(staging, "connect")),
		p.Explain(ciBot, probing(staging, "public.customers.phone", true)),
		p.Explain(alice, op(blog, "select")),
		p.Explain(person("\x1b[31mred\u202e", "deployers"), op(staging, "select public.\x1b[2J")),
	} {
		fmt.Fprintf(&b, "%s\n\n", strings.ReplaceAll(e.String(), testdata, ""))
	}
	golden(t, "explain.txt", b.String())
}

func TestNear(t *testing.T) {
	for _, c := range []struct{ wrong, want string }{
		{"selct", "select"}, {"SELECT", "select"}, {"slect", "select"}, {"udpate", "update"}, {"delete_all", "delete-all"},
		{"xyzzy", ""}, {"", ""}, {strings.Repeat("select", 100), ""},
	} {
		if got := policy.Near(c.wrong, []string{"select", "update", "delete", "delete-all", "drop", ""}); got != c.want {
			t.Errorf("%q: got %q, want %q", c.wrong, got, c.want)
		}
	}
}

func TestProblemIsOneVisibleLine(t *testing.T) {
	s := policy.Problem{Pos: policy.Pos{File: "a\nb", Line: 1, Column: 2}, Message: "c\x1b[2J\nd"}.String()
	if strings.ContainsAny(s, "\n\x1b") {
		t.Errorf("%q", s)
	}
}

// golden compares with a file in testdata; -update writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestManyPeopleAtOnce has more sets of roles than a policy keeps in memory, asked
// for by several people at the same time.
func TestManyPeopleAtOnce(t *testing.T) {
	f := policy.File{Pos: at, Version: policy.Number{N: 1, Pos: at}}
	const roles = 11
	for i := range roles {
		name := fmt.Sprint("r", i)
		f.Roles = append(f.Roles, policy.Role{Name: word(name), Groups: words(name), Duties: words("execute")})
		f.Bundles = append(f.Bundles, policy.Bundle{Name: word(name), Roles: words(name), Targets: policy.Selector{Pos: at, All: true},
			Rules: []policy.Rule{{Name: word("r"), Verbs: words("connect", "select"), On: nil, Effect: word("allow")},
				{Name: word("own"), Verbs: words("insert"), On: words("public." + name), Effect: word("allow")}}})
	}
	p, problems := policy.New(f, all())
	if p == nil {
		t.Fatal(problems)
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for set := range 1 << roles {
				who := person("p")
				for i := range roles {
					if set&(1<<i) != 0 {
						who.Groups = append(who.Groups, fmt.Sprint("r", i))
					}
				}
				mine := set&(1<<worker) != 0
				if d := p.Decide(who, op(staging, fmt.Sprint("insert public.r", worker))); (d.Effect == bastion.Allow) != mine {
					t.Errorf("roles %b: %s", set, d.Effect)
				}
				if p.Access(who, staging).Visible() != (set != 0) {
					t.Errorf("roles %b: visible is wrong", set)
				}
			}
		})
	}
	wg.Wait()
}
