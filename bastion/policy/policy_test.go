package policy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// reading is the verbs that change nothing.
var reading = []bastion.Verb{"select", "catalog", "explain", "transaction", "setting", "cursor", "prepare", "copy-out", "list"}

func verbs(names ...bastion.Verb) []bastion.VerbInfo {
	var vs []bastion.VerbInfo
	for _, n := range names {
		vs = append(vs, bastion.VerbInfo{Verb: n, Write: !slices.Contains(reading, n)})
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
	itself     = bastion.Target{Name: "policy", Kind: "policy", Labels: map[string]string{"kind": "policy"}}
	cluster    = bastion.Target{Name: "cluster", Kind: "kubernetes", Labels: map[string]string{"app": "cluster"}}
)

func world() policy.Context {
	return policy.Context{
		Targets:      []bastion.Target{staging, production, itself},
		Verbs:        map[string][]bastion.VerbInfo{"postgres": postgres, "policy": {{Verb: "policy-read"}, {Verb: "policy-change", Write: true}}},
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

// granted is somebody with access that was granted.
func granted(who bastion.Identity, on bastion.Target, bundle string) bastion.Identity {
	who.Grants = append(slices.Clone(who.Grants), bastion.Grant{Request: 1, Target: on.Name, Bundle: bundle})
	return who
}

// emergency is somebody with access that they took.
func emergency(who bastion.Identity, on bastion.Target, bundle string) bastion.Identity {
	who.Grants = append(slices.Clone(who.Grants), bastion.Grant{Request: 1, Target: on.Name, Bundle: bundle, Emergency: true})
	return who
}

var (
	writing = granted(alice, production, "production-write")
	burning = emergency(alice, production, "break-glass")
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

// touching is an operation of one action that writes columns.
func touching(t bastion.Target, action string, writes ...string) bastion.Operation {
	i := op(t, action).Intent()
	i.Writes = writes
	return bastion.Plan(t, action, i)
}

// showing is an operation of one action that shows columns.
func showing(t bastion.Target, action string, shown ...string) bastion.Operation {
	i := op(t, action).Intent()
	i.Outputs = []mask.Column{{Name: "c", Sources: shown, Proven: true}}
	return bastion.Plan(t, action, i)
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

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
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
		{"deployer updates with where", alice, op(production, "update public.customers", "select public.customers").Estimated(1), bastion.Ask, "production/write", "second person", "1 approval by a reviewer"},
		{"deployer updates a thousand rows", alice, op(production, "update public.customers").Estimated(1000), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
		{"deployer updates more", alice, op(production, "update public.customers").Estimated(1001), bastion.Ask, "production/many-rows", "two reviewers; the target expects it to touch 1,001 rows", "2 approvals by reviewers"},
		{"deployer updates nobody knows how many", alice, op(production, "update public.customers").Estimated(-1), bastion.Ask, "production/many-rows", "not known, so the strictest holds", "2 approvals by reviewers"},
		{"deployer updates before anybody asked", alice, op(production, "update public.customers"), bastion.Ask, "production/many-rows", "", "2 approvals by reviewers"},
		{"deployer copies in", alice, op(production, "copy-in public.customers"), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
		{"deployer updates a salary", alice, touching(production, "update public.employees", "public.employees.name", "public.employees.salary"), bastion.Deny, "production/salaries", "payroll", ""},
		{"deployer updates a salary, it may be", alice, op(production, "update public.employees"), bastion.Deny, "production/salaries", "payroll", ""},
		{"deployer updates an employee", alice, touching(production, "update public.employees", "public.employees.name").Estimated(1), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
		{"deployer updates outside public", alice, op(production, "update private.x"), bastion.Deny, "", "rule production/write covers only public.*", ""},
		{"deployer deletes all", alice, op(production, "delete-all public.payments"), bastion.Deny, "production/no-unbounded-writes", "add a WHERE clause", ""},
		{"deployer updates all", alice, op(production, "update-all public.payments"), bastion.Deny, "production/no-unbounded-writes", "add a WHERE clause", ""},
		{"deployer truncates", alice, op(production, "truncate public.payments"), bastion.Deny, "production/no-unbounded-writes", "every row", ""},
		{"deployer drops", alice, op(production, "drop public.payments"), bastion.Deny, "production/no-drop", "migration", ""},
		{"deployer alters", alice, op(production, "alter public.payments"), bastion.Ask, "production/schema", "two reviewers", "2 approvals by reviewers"},
		{"the one that is missing is named", alice, op(production, "select public.orders", "update private.x", "select public.customers"), bastion.Deny, "", "deployer update private.x", ""},
		{"the harmless and the refused together", alice, op(production, "select public.orders", "drop public.orders"), bastion.Deny, "production/no-drop", "", ""},
		{"asks add up", alice, op(production, "alter public.a", "insert public.a").Estimated(1), bastion.Ask, "production/write", "", "2 approvals by reviewers"},
		{"deployer and reviewer acts as deployer", ben, op(production, "connect"), bastion.Allow, "production/read", "", ""},
		{"deployer and reviewer is asked too", ben, op(production, "update public.orders").Estimated(1), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
		{"reviewer asks for access", rita, op(production, "connect"), bastion.Ask, "production-look/access", "by request", "1 approval by a reviewer"},
		{"reviewer reads production", rita, op(production, "select public.orders"), bastion.Allow, "production-look/read", "", ""},
		{"reviewer writes", rita, op(production, "update public.orders"), bastion.Deny, "", "roles bot and deployer may, by rule production/write", ""},
		{"reviewer on staging", rita, op(staging, "connect"), bastion.Deny, "", "roles observer and reviewer connect to shop-staging", ""},
		{"auditor on staging", axel, op(staging, "connect"), bastion.Deny, "", "no rule lets roles auditor and inspector connect", ""},
		{"auditor on production", axel, op(production, "select public.orders"), bastion.Deny, "", "roles bot, deployer and observer may", ""},
		{"auditor reads the policy", axel, op(itself, "policy-read"), bastion.Allow, "policy/read", "", ""},
		{"auditor changes the policy", axel, op(itself, "policy-change"), bastion.Deny, "", "role deployer may, by rule policy-change/propose", ""},
		{"deployer changes the policy", alice, op(itself, "policy-change"), bastion.Ask, "policy-change/propose", "two reviewers", "2 approvals by reviewers"},
		{"reviewer changes the policy", rita, op(itself, "policy-change"), bastion.Deny, "", "deployer", ""},
		{"a service reads the policy", ciBot, op(itself, "policy-read"), bastion.Deny, "", "", ""},
		{"deployer writes in time that was granted", writing, op(production, "update public.customers").Estimated(1000), bastion.Allow, "production-write/write", "", ""},
		{"many rows take two reviewers all the same", writing, op(production, "update public.customers").Estimated(1001), bastion.Ask, "production/many-rows", "", "2 approvals by reviewers"},
		{"and so does what nobody can estimate", writing, op(production, "update public.customers").Estimated(-1), bastion.Ask, "production/many-rows", "", "2 approvals by reviewers"},
		{"a grant lifts no refusal", writing, op(production, "delete-all public.customers"), bastion.Deny, "production/no-unbounded-writes", "", ""},
		{"nor what it does not speak of", writing, op(production, "alter public.customers").Estimated(1), bastion.Ask, "production/schema", "", "2 approvals by reviewers"},
		{"nor on another object", writing, op(production, "insert private.x").Estimated(1), bastion.Deny, "", "", ""},
		{"nor on another target", writing, op(staging, "do"), bastion.Ask, "staging/code", "", "1 approval by a reviewer"},
		{"of somebody without the role it means nothing", granted(rita, production, "production-write"), op(production, "update public.customers"), bastion.Deny, "", "", ""},
		{"nor does one that was granted for another target", granted(alice, staging, "production-write"), op(production, "update public.customers").Estimated(1), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
		{"an emergency lifts more", burning, op(production, "alter public.customers"), bastion.Allow, "break-glass/repair", "", ""},
		{"many rows among it", burning, op(production, "update public.customers").Estimated(1_000_000), bastion.Allow, "break-glass/repair", "", ""},
		{"but no refusal", burning, op(production, "drop public.customers"), bastion.Deny, "production/no-drop", "", ""},
		{"and no change of the policy", burning, op(itself, "policy-change"), bastion.Ask, "policy-change/propose", "", "2 approvals by reviewers"},
		{"service on staging", ciBot, op(staging, "drop public.orders"), bastion.Allow, "staging/work", "", ""},
		{"service reads production", ciBot, op(production, "select public.orders"), bastion.Allow, "production/read", "", ""},
		{"service writes", ciBot, op(production, "insert public.orders").Estimated(1), bastion.Ask, "production/write", "", "1 approval by a reviewer"},
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
			Note:  "depends on the object: copy-in, delete, insert, merge, update; depends on columns or on the number of rows: copy-in, insert, merge, update", Request: true}},
		{writing, production, bastion.Access{Connect: bastion.Allow,
			Allow: []bastion.Verb{"catalog", "copy-in", "cursor", "delete", "explain", "insert", "merge", "prepare", "select", "setting", "transaction", "update"},
			Ask:   []bastion.Verb{"alter", "call", "comment", "copy-out", "create", "function", "lock", "maintain"},
			Note:  "depends on the object: copy-in, delete, insert, merge, update; depends on columns or on the number of rows: copy-in, delete, insert, merge, update", Request: true}},
		{rita, production, bastion.Access{Connect: bastion.Ask, Allow: []bastion.Verb{"catalog", "explain", "select", "setting", "transaction"}}},
		{rita, staging, bastion.Access{}},
		{axel, staging, bastion.Access{}},
		{axel, itself, bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"policy-read"}}},
		{alice, itself, bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"policy-read"}, Ask: []bastion.Verb{"policy-change"}}},
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
	slip := bastion.Plan(staging, "select", bastion.Intent{Verb: "select", Actions: []bastion.Action{{Verb: "select", Resource: "public.customers"}},
		Probes: []bastion.Probe{{Column: "?", Why: "no table has it"}}})
	if d := p.Decide(alice, slip); d.Effect != bastion.Deny || !strings.Contains(d.Reason, "no table has it") || d.Next != "check the name" {
		t.Errorf("a slip: %+v", d)
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
  legal-reader: { groups: [legal-readers], duties: [execute] }
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

// rowsOf tells of a decision what rows bring about.
func rowsOf(d bastion.Decision) string {
	s := d.Effect.String()
	if d.Rule != "" {
		s += " " + d.Rule
	}
	if d.Needs != nil {
		s += " (" + d.Needs.String() + ")"
	}
	if d.Estimate {
		s += " ?"
	}
	return s
}

func TestRows(t *testing.T) {
	for _, c := range []struct {
		name    string
		rules   string
		op      bastion.Operation
		unasked string
		unknown string
		known   map[int64]string
	}{
		{"many rows need another", `
      { name: yes, verbs: [update], effect: allow },
      { name: many, verbs: [update], rows: { over: 1000 }, effect: ask, approvals: [{ role: boss, count: 2 }] }`,
			op(staging, "update public.t"), "ask a/many (2 approvals by bosses) ?", "ask a/many (2 approvals by bosses)",
			map[int64]string{0: "allow a/yes", 1000: "allow a/yes", 1001: "ask a/many (2 approvals by bosses)", 1 << 40: "ask a/many (2 approvals by bosses)"}},
		{"too many rows are refused", `
      { name: yes, verbs: [update], effect: allow },
      { name: no, verbs: [update], rows: { over: 10 }, effect: deny }`,
			op(staging, "update public.t"), "deny a/no ?", "deny a/no", map[int64]string{10: "allow a/yes", 11: "deny a/no"}},
		{"few rows are allowed", `
      { name: few, verbs: [update], rows: { up_to: 10 }, effect: allow }`,
			op(staging, "update public.t"), "deny ?", "deny", map[int64]string{0: "allow a/few", 10: "allow a/few", 11: "deny"}},
		{"two ranges that meet grant what is unknown, by the stricter", `
      { name: few, verbs: [update], rows: { up_to: 10 }, effect: allow },
      { name: many, verbs: [update], rows: { over: 10 }, effect: ask, approvals: [{ role: boss }] }`,
			op(staging, "update public.t"), "ask a/many (1 approval by a boss) ?", "ask a/many (1 approval by a boss)",
			map[int64]string{10: "allow a/few", 11: "ask a/many (1 approval by a boss)"}},
		{"two ranges with a gap do not", `
      { name: few, verbs: [update], rows: { up_to: 10 }, effect: allow },
      { name: many, verbs: [update], rows: { over: 11 }, effect: allow }`,
			op(staging, "update public.t"), "deny ?", "deny", map[int64]string{10: "allow a/few", 11: "deny", 12: "allow a/many"}},
		{"ranges that ask the same make no difference", `
      { name: few, verbs: [update], rows: { up_to: 10 }, effect: ask, approvals: [{ role: boss }] },
      { name: many, verbs: [update], rows: { over: 10 }, effect: ask, approvals: [{ role: boss }] }`,
			op(staging, "update public.t"), "ask a/few (1 approval by a boss)", "ask a/few (1 approval by a boss)", nil},
		{"ranges that ask different people ask all of them", `
      { name: few, verbs: [update], rows: { up_to: 10 }, effect: ask, approvals: [{ role: boss }] },
      { name: many, verbs: [update], rows: { over: 10 }, effect: ask, approvals: [{ role: legal }] }`,
			op(staging, "update public.t"), "ask a/few (1 approval by a boss and 1 approval by a legal) ?", "ask a/few (1 approval by a boss and 1 approval by a legal)", nil},
		{"what is refused anyway needs no estimate", `
      { name: yes, verbs: [update], effect: allow },
      { name: never, verbs: [update], on: [public.t], effect: deny },
      { name: no, verbs: [update], rows: { over: 10 }, effect: deny }`,
			op(staging, "update public.t"), "deny a/never", "deny a/never", nil},
		{"nor what no rule grants", `
      { name: few, verbs: [update], rows: { up_to: 10 }, effect: allow }`,
			op(staging, "update public.t", "insert public.t"), "deny", "deny", nil},
		{"nor what no estimate grants", `
      { name: few, verbs: [update], rows: { up_to: 10 }, effect: allow },
      { name: many, verbs: [delete], rows: { over: 10 }, effect: allow }`,
			op(staging, "update public.t", "delete public.t"), "deny", "deny", map[int64]string{5: "deny", 50: "deny"}},
		{"nor what a masked column refuses", `
      { name: yes, verbs: [select], effect: allow },
      { name: no, verbs: [select], rows: { over: 10 }, effect: deny }`,
			probing(staging, "public.customers.email", false), "deny masked-column", "deny a/no", map[int64]string{1: "deny masked-column"}},
		{"nor other verbs and objects", `
      { name: yes, verbs: [update], effect: allow },
      { name: no, verbs: [update], on: [public.s], rows: { over: 10 }, effect: deny }`,
			op(staging, "update public.t"), "allow a/yes", "allow a/yes", nil},
		{"a range has two ends", `
      { name: yes, verbs: [update], effect: allow },
      { name: some, verbs: [update], rows: { over: 10, up_to: 20 }, effect: ask, approvals: [{ role: boss }] }`,
			op(staging, "update public.t"), "ask a/some (1 approval by a boss) ?", "ask a/some (1 approval by a boss)",
			map[int64]string{10: "allow a/yes", 11: "ask a/some (1 approval by a boss)", 20: "ask a/some (1 approval by a boss)", 21: "allow a/yes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse(t, header+"  - { name: a, roles: [dev], targets: all, rules: ["+c.rules+" ] }", all())
			who := person("d", "dev")
			if got := rowsOf(p.Decide(who, c.op)); got != c.unasked {
				t.Errorf("before anybody asked: got %q, want %q", got, c.unasked)
			}
			if got := rowsOf(p.Decide(who, c.op.Estimated(-1))); got != c.unknown {
				t.Errorf("unknown: got %q, want %q", got, c.unknown)
			}
			for n, want := range c.known {
				if got := rowsOf(p.Decide(who, c.op.Estimated(n))); got != want {
					t.Errorf("%d rows: got %q, want %q", n, got, want)
				}
			}
		})
	}
}

func TestRowsSayWhy(t *testing.T) {
	p := parse(t, header+`
  - { name: a, roles: [dev], targets: all, rules: [{ name: few, verbs: [update], on: ["public.*"], rows: { up_to: 1000 }, effect: allow }] }`, all())
	for _, c := range []struct {
		rows int64
		want string
	}{
		{12345, "no rule lets role dev update public.t on shop-staging; the target expects it to touch 12,345 rows; rule a/few covers only public.*, up to 1,000 rows"},
		{-1, "no rule lets role dev update public.t on shop-staging; how many rows it touches is not known, so the strictest holds; rule a/few covers only public.*, up to 1,000 rows"},
	} {
		d := p.Decide(person("d", "dev"), op(staging, "update public.t").Estimated(c.rows))
		if got := d.Reason + "; " + d.Next; d.Effect != bastion.Deny || got != c.want {
			t.Errorf("got %s: %s", d.Effect, got)
		}
	}
}

func TestColumns(t *testing.T) {
	const deny, ask, allow = `
      { name: yes, verbs: [select, update, insert, delete, alter, drop, transaction, function], effect: allow },
      { name: pay, verbs: [select, update, insert, delete, alter, transaction, function], columns: ["public.employees.salary"], effect: deny }`, `
      { name: yes, verbs: [update], effect: allow },
      { name: pay, verbs: [update], columns: ["public.employees.salary"], effect: ask, approvals: [{ role: boss }] }`, `
      { name: names, verbs: [update, select, delete], columns: ["public.employees.name", "public.*.nick"], effect: allow },
      { name: mail, verbs: [update], on: ["public.*"], columns: ["public.employees.city"], effect: ask, approvals: [{ role: boss }] },
      { name: orders, verbs: [select, update], on: [public.orders], effect: allow }`
	const never = `
      { name: yes, verbs: [connect, select, update, transaction], effect: allow },
      { name: pay, verbs: ["*"], columns: ["public.employees.salary"], effect: deny }`
	mixed := func(writes ...string) bastion.Operation {
		i := op(staging, "update public.employees", "update public.orders").Intent()
		i.Writes = writes
		return bastion.Plan(staging, "x", i)
	}
	reading := func(i bastion.Intent, actions ...string) bastion.Operation {
		i.Verb, i.Actions = "select", op(staging, actions...).Intent().Actions
		return bastion.Plan(staging, "x", i)
	}
	proven := func(sources ...string) []mask.Column { return []mask.Column{{Sources: sources, Proven: true}} }
	for _, c := range []struct {
		name  string
		rules string
		op    bastion.Operation
		want  string
	}{
		{"a deny holds for its column", deny, touching(staging, "update public.employees", "public.employees.salary"), "deny a/pay"},
		{"not for others", deny, touching(staging, "update public.employees", "public.employees.name"), "allow a/yes"},
		{"nor for other tables", deny, op(staging, "update public.orders"), "allow a/yes"},
		{"where columns are unknown it may be one of them", deny, op(staging, "update public.employees"), "deny a/pay"},
		{"also where some are known", deny, touching(staging, "update public.employees", "public.employees.name", "?"), "deny a/pay"},
		{"but of that table", deny, touching(staging, "update public.orders", "?"), "allow a/yes"},
		{"a row that is deleted takes its columns along", deny, op(staging, "delete public.employees"), "deny a/pay"},
		{"so does a table that is altered", deny, op(staging, "alter public.employees"), "deny a/pay"},
		{"capitals do not help", deny, touching(staging, "update public.Employees", "public.Employees.Salary"), "deny a/pay"},
		{"nor dots in a name", deny, op(staging, "delete public.EMPLOYEES"), "deny a/pay"},
		{"a verb that the rule does not name is none of its business", deny, touching(staging, "drop public.employees", "public.employees.salary"), "allow a/yes"},
		{"among several tables too", deny, mixed("public.orders.total", "public.employees.salary"), "deny a/pay"},
		{"reading: what is shown", deny, showing(staging, "select public.employees", "public.employees.salary"), "deny a/pay"},
		{"reading: what is shown of others", deny, showing(staging, "select public.employees", "public.employees.name"), "allow a/yes"},
		{"reading: through a view", deny, showing(staging, "select public.overview", "public.employees.salary"), "deny a/pay"},
		{"reading: what is compared", deny, reading(bastion.Intent{Outputs: proven(), Probes: []bastion.Probe{{Column: "public.employees.salary", Equality: true}}}, "select public.employees"), "deny a/pay"},
		{"reading: what is written does not count", deny, reading(bastion.Intent{Outputs: proven(), Writes: []string{"public.employees.salary"}}, "select public.orders"), "allow a/yes"},
		{"reading: what is not proven may be anything", deny, reading(bastion.Intent{Outputs: []mask.Column{{}}}, "select public.orders"), "deny a/pay"},
		{"reading: so may what has no name", deny, reading(bastion.Intent{Outputs: proven(), Probes: []bastion.Probe{{Column: "?"}}}, "select public.orders"), "deny a/pay"},
		{"reading: and what is not described", deny, op(staging, "select public.orders"), "deny a/pay"},
		{"what has no object and no answer touches nothing", deny, op(staging, "transaction"), "allow a/yes"},
		{"a function of unknown answer touches anything", deny, reading(bastion.Intent{Outputs: []mask.Column{{Opaque: []string{"public.g()"}}}}, "select"), "deny a/pay"},
		{"a trusted one does not", deny, reading(bastion.Intent{Outputs: []mask.Column{{Opaque: []string{"public.f(text)"}}}}, "select"), "allow a/yes"},
		{"a trusted one shows what it is given", deny, reading(bastion.Intent{Outputs: []mask.Column{{Sources: []string{"public.employees.salary"}, Opaque: []string{"public.f(text)"}}}}, "select"), "deny a/pay"},
		{"every verb: writing", never, touching(staging, "update public.employees", "public.employees.salary"), "deny a/pay"},
		{"every verb: reading", never, showing(staging, "select public.employees", "public.employees.salary"), "deny a/pay"},
		{"every verb: another column", never, showing(staging, "select public.employees", "public.employees.name"), "allow a/yes"},
		{"every verb: no column", never, op(staging, "transaction"), "allow a/yes"},
		{"every verb: connecting", never, op(staging, "connect"), "allow a/yes"},
		{"an ask limits", ask, touching(staging, "update public.employees", "public.employees.salary", "public.employees.name"), "ask a/pay (1 approval by a boss)"},
		{"an ask lets others be", ask, touching(staging, "update public.employees", "public.employees.name"), "allow a/yes"},
		{"an allow grants its column", allow, touching(staging, "update public.employees", "public.employees.name"), "allow a/names"},
		{"and its pattern", allow, touching(staging, "update public.pets", "public.pets.nick"), "allow a/names"},
		{"but no other", allow, touching(staging, "update public.employees", "public.employees.salary"), "deny"},
		{"nor both", allow, touching(staging, "update public.employees", "public.employees.name", "public.employees.salary"), "deny"},
		{"two rules grant two columns, by the stricter", allow, touching(staging, "update public.employees", "public.employees.name", "public.employees.city"), "ask a/mail (1 approval by a boss)"},
		{"capitals are another column", allow, touching(staging, "update public.employees", "public.employees.Name"), "deny"},
		{"nor beside one that is unknown", allow, touching(staging, "update public.employees", "public.employees.name", "?"), "deny"},
		{"unknown columns are not granted", allow, op(staging, "update public.employees"), "deny"},
		{"nor whole rows", allow, op(staging, "delete public.employees"), "deny"},
		{"nor rows beside a column that is", allow, touching(staging, "delete public.pets", "public.employees.name"), "deny"},
		{"each table by its own rule", allow, mixed("public.employees.name", "public.orders.total"), "allow a/names"},
		{"each table", allow, mixed("public.orders.total"), "deny"},
		{"a column of no table there must be granted too", allow, mixed("public.employees.name", "public.payments.iban"), "deny"},
		{"reading a column that is granted", allow, showing(staging, "select public.employees", "public.employees.name"), "allow a/names"},
		{"and another", allow, showing(staging, "select public.employees", "public.employees.name", "public.employees.salary"), "deny"},
		{"or comparing it", allow, reading(bastion.Intent{Outputs: proven("public.employees.name"), Probes: []bastion.Probe{{Column: "public.employees.salary"}}}, "select public.employees"), "deny"},
		{"reading no column at all", allow, showing(staging, "select public.employees"), "deny"},
		{"reading beside another table", allow, showing(staging, "select public.secrets", "public.employees.name"), "deny"},
		{"reading what is not proven", allow, reading(bastion.Intent{Outputs: []mask.Column{{Sources: []string{"public.employees.name"}}}}, "select public.employees"), "deny"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := parse(t, strings.Replace(header, "bundles:", "functions: [{ name: pure, trust: [public.f(text)] }]\nbundles:", 1)+"  - { name: a, roles: [dev], targets: all, rules: ["+c.rules+" ] }", all())
			d := p.Decide(person("d", "dev"), c.op)
			if got := rowsOf(d); got != c.want {
				t.Errorf("got %q, want %q: %s; %s", got, c.want, d.Reason, d.Next)
			}
		})
	}
}

func TestColumnsSayWhy(t *testing.T) {
	p := parse(t, header+`
  - { name: a, roles: [dev], targets: all, rules: [{ name: names, verbs: [update], columns: [public.employees.name], effect: allow }] }`, all())
	d := p.Decide(person("d", "dev"), touching(staging, "update public.employees", "public.employees.name", "public.employees.salary"))
	if want := "rule a/names covers only columns public.employees.name"; d.Next != want {
		t.Errorf("got %q, want %q", d.Next, want)
	}
}

func TestProbesByPolicy(t *testing.T) {
	p := parse(t, `
version: 1
roles:
  dev:   { groups: [dev], duties: [execute] }
  boss:  { groups: [boss], duties: [approve] }
  legal: { groups: [legal], duties: [approve] }
columns:
  - { name: shut, columns: [public.t.shut, public.t.both], mask: redact }
  - { name: look, columns: [public.t.look, public.t.asklook], mask: redact, lookup: true }
  - { name: asks, columns: [public.t.asks, public.t.asks2, public.t.both, public.t.asklook, public.t.open2], mask: redact, probe: ask, approvals: [{ role: boss }] }
  - { name: legal, columns: [public.t.legal, public.t.asks2], mask: redact, lookup: true, probe: ask, approvals: [{ role: legal, count: 2 }] }
  - { name: open, columns: [public.t.open, public.t.open2], mask: redact, probe: allow }
functions:
  - { name: pure, targets: { app: shop }, trust: ["public.f(text)", "public.g(*)"] }
bundles:
  - name: a
    roles: [dev]
    targets: all
    rules:
      - { name: yes, verbs: [select], effect: allow }
      - { name: maybe, verbs: [delete], effect: ask, approvals: [{ role: legal }], within: 10m, holds: 1h }
`, all())
	equal, other := true, false
	probe := func(column string, equality bool, by ...string) bastion.Probe {
		return bastion.Probe{Column: column, Equality: equality, By: strings.Join(by, "")}
	}
	for _, c := range []struct {
		name   string
		on     bastion.Target
		verb   string
		probes []bastion.Probe
		want   string
	}{
		{"closed by default", staging, "select", []bastion.Probe{probe("public.t.shut", equal)}, "deny masked-column"},
		{"a lookup", staging, "select", []bastion.Probe{probe("public.t.look", equal)}, "allow a/yes"},
		{"joined with another hidden column", staging, "select", []bastion.Probe{{Column: "public.t.shut", Equality: true, With: "public.v.x\x00public.t.look", Order: bastion.Scattered}}, "allow a/yes"},
		{"joined with one that is shown", staging, "select", []bastion.Probe{{Column: "public.t.shut", Equality: true, With: "public.t.id", Order: bastion.Settled}}, "deny masked-column"},
		{"joined with one that is shown, a lookup", staging, "select", []bastion.Probe{{Column: "public.t.look", Equality: true, With: "public.t.id"}}, "allow a/yes"},
		{"joined where the order of rows tells", staging, "select", []bastion.Probe{{Column: "public.t.shut", Equality: true, With: "public.t.look"}}, "deny masked-column"},
		{"joined where the order of rows tells, a lookup", staging, "select", []bastion.Probe{{Column: "public.t.look", Equality: true, With: "public.t.shut"}}, "deny masked-column"},
		{"more than an equality", staging, "select", []bastion.Probe{{Column: "public.t.shut", With: "public.t.look", Order: bastion.Settled}}, "deny masked-column"},
		{"more than a lookup", staging, "select", []bastion.Probe{probe("public.t.look", other)}, "deny masked-column"},
		{"asked", staging, "select", []bastion.Probe{probe("public.t.asks", other)}, "ask masked-column (1 approval by a boss)"},
		{"asked for an equality too", staging, "select", []bastion.Probe{probe("public.t.asks", equal)}, "ask masked-column (1 approval by a boss)"},
		{"a lookup where more is asked", staging, "select", []bastion.Probe{probe("public.t.legal", equal)}, "allow a/yes"},
		{"two labels, the stricter", staging, "select", []bastion.Probe{probe("public.t.both", equal)}, "deny masked-column"},
		{"two labels, one with a lookup", staging, "select", []bastion.Probe{probe("public.t.asklook", equal)}, "ask masked-column (1 approval by a boss)"},
		{"two labels that ask", staging, "select", []bastion.Probe{probe("public.t.asks2", other)}, "ask masked-column (1 approval by a boss and 2 approvals by legals)"},
		{"two labels, one open", staging, "select", []bastion.Probe{probe("public.t.open2", other)}, "ask masked-column (1 approval by a boss)"},
		{"open", staging, "select", []bastion.Probe{probe("public.t.open", other)}, "allow a/yes"},
		{"two columns ask all people", staging, "select", []bastion.Probe{probe("public.t.asks", other), probe("public.t.legal", other)}, "ask masked-column (1 approval by a boss and 2 approvals by legals)"},
		{"one that is denied denies", staging, "select", []bastion.Probe{probe("public.t.asks", other), probe("public.t.shut", other)}, "deny masked-column"},
		{"an ask of a rule and one of a label", staging, "delete", []bastion.Probe{probe("public.t.asks", other)}, "ask a/maybe (1 approval by a boss and 1 approval by a legal)"},
		{"no name at all is every label's", staging, "select", []bastion.Probe{probe("?", other)}, "deny masked-column"},
		{"a trusted function", staging, "select", []bastion.Probe{probe("public.t.shut", other, "public.f(text)")}, "allow a/yes"},
		{"a trusted function of any types", staging, "select", []bastion.Probe{probe("public.t.shut", other, "public.g(integer, text)")}, "allow a/yes"},
		{"another function of that name", staging, "select", []bastion.Probe{probe("public.t.shut", other, "public.f(integer)")}, "deny masked-column"},
		{"another target", blog, "select", []bastion.Probe{probe("public.t.shut", other, "public.f(text)")}, "deny masked-column"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := bastion.Intent{Verb: bastion.Verb(c.verb), Actions: []bastion.Action{{Verb: bastion.Verb(c.verb), Resource: "public.t"}}, Probes: c.probes}
			for range 2 { // the second answer is from memory
				d := p.Decide(person("d", "dev"), bastion.Plan(c.on, "x", i))
				if got := rowsOf(d); got != c.want {
					t.Fatalf("got %q, want %q: %s; %s", got, c.want, d.Reason, d.Next)
				}
				if d.Effect == bastion.Ask && (d.Holds != 0 || d.Within <= 0 || d.Within > policy.DefaultWithin || !strings.Contains(d.Reason, "masked for you")) {
					t.Errorf("%+v", d)
				}
				for j := range d.Needs { // what a caller does to an answer changes no other
					d.Needs[j].Count = 99
				}
			}
		})
	}
	d := p.Decide(person("d", "dev"), bastion.Plan(staging, "x", bastion.Intent{Verb: "delete", Actions: []bastion.Action{{Verb: "delete", Resource: "public.t"}},
		Probes: []bastion.Probe{probe("public.t.asks", other)}}))
	if d.Within != 10*time.Minute || d.Holds != 0 {
		t.Errorf("an approval of a probe is used once, and the shorter time counts: %+v", d)
	}
}

func TestDetectors(t *testing.T) {
	p := parse(t, strings.Replace(header, "columns:", `values:
  - { name: account, targets: { env: production }, detect: [card, iban], mask: last4 }
  - { name: key, detect: private-key, mask: redact }
columns:`, 1)+`
  - { name: a, roles: [dev, ops], targets: all, rules: [{ name: yes, verbs: [select], effect: allow }] }
  - { name: b, roles: [ops], targets: { app: shop }, clear: [account, mail, cards], rules: [{ name: yes, verbs: [select], effect: allow }] }
  - { name: c, roles: [looker], targets: all, clear: [key], rules: [{ name: no, verbs: [drop], effect: deny }] }
  - { name: d, roles: [legal-reader], targets: all, clear: [account, key, mail, cards], rules: [{ name: yes, verbs: [select], effect: allow }] }
`, all())
	const card, iban, key = "paid with 4242 4242 4242 4242 today", "to DE89 3704 0044 0532 0130 00", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----"
	for _, c := range []struct {
		name            string
		who             bastion.Identity
		on              bastion.Target
		card, iban, key bool // found
		nothing         bool // hidden at all
	}{
		{"by target", person("d", "dev"), production, true, true, true, false},
		{"by another target", person("d", "dev"), staging, false, false, true, false},
		{"cleared by name", person("o", "ops"), production, false, false, true, false},
		{"cleared on its targets only", person("o", "ops"), blog, true, true, true, false},
		{"not by a role without execute", person("l", "dev", "looker"), production, true, true, true, false},
		{"all of it cleared", person("x", "legal-readers"), production, false, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := p.Decide(c.who, op(c.on, "select public.t")).Mask
			for text, want := range map[string]bool{card: c.card, iban: c.iban, key: c.key} {
				if out, found := m.Scan([]byte(text)); found != want {
					t.Errorf("%q became %q", text, out)
				}
			}
			if m.HidesNothing() != c.nothing || m.Detects() == c.nothing {
				t.Errorf("hides nothing: %v, detects: %v", m.HidesNothing(), m.Detects())
			}
		})
	}
	// What is found by its looks may be filtered by: no label hides the column.
	if d := p.Decide(person("d", "dev"), probing(production, "public.notes.text", false)); d.Effect != bastion.Allow {
		t.Errorf("got %+v", d)
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
	for _, name := range []string{"broken", "unreadable", "demo", "teams", "weak"} {
		t.Run(name, func(t *testing.T) {
			f := config.LoadPolicy(testdata + name + ".yaml")
			c := world()
			if name == "weak" {
				c.Groups = weakGroups
			}
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
		{"free on staging", shop, op(staging, "update public.orders").Estimated(500), bastion.Allow, "shop/write", ""},
		{"many rows", shop, op(staging, "update public.orders").Estimated(501), bastion.Ask, "shop/bulk", "1 approval by a dba"},
		{"many rows for all we know", shop, op(staging, "update public.orders"), bastion.Ask, "shop/bulk", "1 approval by a dba"},
		{"asked for payments", shop, op(staging, "update public.payments").Estimated(1), bastion.Ask, "shop/payments", "1 approval by a privacy"},
		{"asked twice in production", shop, op(production, "update public.payments"), bastion.Ask, "shop/payments", "1 approval by a dba and 1 approval by a privacy"},
		{"frozen", shop, op(frozen, "update public.orders"), bastion.Deny, "freeze/no-changes", ""},
		{"reading while frozen", shop, op(frozen, "select public.orders"), bastion.Allow, "shop/read", ""},
		{"not the other team's", blogger, op(staging, "select public.orders"), bastion.Deny, "", ""},
		{"a column that none may change", blogger, touching(blog, "update posts.x", "posts.x.title", "posts.x.rating"), bastion.Deny, "blog/ratings", ""},
		{"it may be that column", blogger, op(blog, "update posts.x"), bastion.Deny, "blog/ratings", ""},
		{"production of the blog", blogger, touching(blog, "update posts.x", "posts.x.title", "posts.x.body"), bastion.Ask, "production-writes/second-pair-of-eyes", "1 approval by a dba"},
		{"database administrators are limited too", dba, op(frozen, "drop public.orders"), bastion.Deny, "freeze/no-changes", ""},
	} {
		d := p.Decide(c.who, c.op)
		if d.Effect != c.effect || d.Rule != c.rule || d.Needs.String() != c.needs {
			t.Errorf("%s: got %s by %q, needs %q", c.name, d.Effect, d.Rule, d.Needs)
		}
	}
	if d := p.Decide(shop, probing(staging, "x.y.email", false)); d.Effect != bastion.Ask || d.Rule != policy.MaskedColumn || d.Needs.String() != "1 approval by a privacy" {
		t.Errorf("a probe that somebody may approve: %+v", d)
	}
	if m := p.Decide(shop, op(staging, "select")).Mask; !m.Trusts("public.slug(text)") || m.Trusts("public.normalise(text)") {
		t.Error("not the functions of the policy are trusted")
	}
	if m := p.Decide(blogger, op(blog, "select")).Mask; m.Trusts("public.slug(text)") {
		t.Error("a function is trusted elsewhere too")
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
		p.Explain(alice, touching(production, "update public.customers", "public.customers.city").Estimated(12345)),
		p.Explain(alice, touching(production, "update public.employees", "public.employees.name")),
		p.Explain(alice, touching(production, "update public.employees", "public.employees.salary")),
		p.Explain(alice, op(production, "delete-all public.payments")),
		p.Explain(rita, op(production, "connect")),
		p.Explain(rita, op(production, "update public.orders")),
		p.Explain(writing, op(production, "update public.customers").Estimated(7)),
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

// TestPeopleAreToldApart asks for people and services that share a subject, and for
// one whose groups change, after an answer for the other is in memory.
func TestPeopleAreToldApart(t *testing.T) {
	p := load(t, "demo.yaml", world())
	groups := []string{"deployers"}
	bot := person("ci-bot", groups...)
	elsewhere := ciBot
	elsewhere.Issuer, elsewhere.Kind = "https://id", bastion.Service
	for _, c := range []struct {
		name string
		who  bastion.Identity
		want bastion.Effect
	}{
		{"a service", ciBot, bastion.Allow},
		{"a person of its name, in no group", person("ci-bot"), bastion.Deny},
		{"in a group", bot, bastion.Allow},
		{"in another", person("ci-bot", "auditors"), bastion.Deny},
		{"a service again", ciBot, bastion.Allow},
		{"a kind that is none", bastion.Identity{Issuer: "sallyport", Subject: "ci-bot"}, bastion.Deny},
		{"an identity without an issuer", bastion.Identity{Subject: "ci-bot", Kind: bastion.Service}, bastion.Deny},
		{"a service of another issuer", elsewhere, bastion.Allow}, // who makes identities answers for that
		{"in a group again", bot, bastion.Allow},
	} {
		if d := p.Decide(c.who, op(staging, "select public.orders")); d.Effect != c.want {
			t.Errorf("%s: got %s", c.name, d.Effect)
		}
	}
	if groups[0] = "auditors"; p.Decide(bot, op(staging, "select public.orders")).Effect != bastion.Deny {
		t.Error("groups that changed in place are remembered as they were")
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
