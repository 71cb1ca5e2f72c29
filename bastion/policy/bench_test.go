package policy_test

import (
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/policy"
)

// large is a policy of 200 roles, each by a group of its own, and 1,000 rules in
// 100 bundles, for 10,000 targets.
func large(b testing.TB) (*policy.Policy, []bastion.Target, bastion.Identity) {
	c := policy.Context{Verbs: map[string][]bastion.VerbInfo{"postgres": postgres}}
	for i := range 10_000 {
		c.Targets = append(c.Targets, target(fmt.Sprintf("t%d", i), fmt.Sprintf("app=a%d", i%100), fmt.Sprintf("env=e%d", i%3), fmt.Sprintf("team=t%d", i%7)))
	}
	f := policy.File{Pos: at, Version: policy.Number{N: 1, Pos: at}}
	who := person("alice")
	for i := range 200 {
		f.Roles = append(f.Roles, policy.Role{Name: word(fmt.Sprint("r", i)), Groups: words(fmt.Sprint("g", i)), Duties: words("execute")})
		if i%10 == 0 {
			who.Groups = append(who.Groups, fmt.Sprint("g", i))
		}
	}
	for i := range 20 {
		f.Columns = append(f.Columns, policy.Label{Name: word(fmt.Sprint("l", i)), Columns: words(fmt.Sprintf("public.t%d.c", i)), Mask: word("redact")})
	}
	for i := range 100 {
		bundle := policy.Bundle{Name: word(fmt.Sprint("b", i)), Roles: words(fmt.Sprint("r", i), fmt.Sprint("r", 199-i)), Targets: policy.Selector{Pos: at, All: true}}
		if i%2 == 0 {
			bundle.Targets = policy.Selector{Pos: at, Requires: []policy.Requirement{{Key: word("env"), Values: words("e0", "e1")}}}
		}
		for j := range 10 {
			effect := []string{"allow", "allow", "deny"}[j%3]
			bundle.Rules = append(bundle.Rules, policy.Rule{Name: word(fmt.Sprint("n", j)), Verbs: words("connect", "select", string(postgres[j].Verb)), On: words(fmt.Sprintf("s%d.t%d", i, j), "public.x*"), Effect: word(effect)})
			if j == 0 {
				bundle.Rules[0].On, bundle.Rules[0].Verbs = nil, words("connect", "select", "insert")
			}
		}
		f.Bundles = append(f.Bundles, bundle)
	}
	p, problems := policy.New(f, c)
	if p == nil {
		b.Fatal(problems.Err())
	}
	return p, c.Targets, who
}

func BenchmarkDecide(b *testing.B) {
	p, targets, who := large(b)
	var ops []bastion.Operation
	for i := range 64 {
		ops = append(ops, op(targets[i*151], "insert public.orders", "select public.customers"))
	}
	if d := p.Decide(who, ops[0]); d.Effect != bastion.Allow {
		b.Fatalf("%+v", d)
	}
	for b.Loop() {
		for _, o := range ops {
			p.Decide(who, o)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(ops)), "ns/decision")
}

func BenchmarkDecideOne(b *testing.B) {
	p, targets, who := large(b)
	o := op(targets[7], "insert public.orders")
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(who, o)
	}
}

// The demo's policy, and what a native client asks for thousands of times a second.
func benchDemo(b *testing.B, who bastion.Identity, o bastion.Operation, want bastion.Effect) {
	p := load(b, "demo.yaml", world())
	if d := p.Decide(who, o); d.Effect != want {
		b.Fatalf("%+v", d)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(who, o)
	}
}

func BenchmarkDemoSelect(b *testing.B) {
	benchDemo(b, alice, showing(production, "select public.orders", "public.orders.id", "public.orders.total"), bastion.Allow)
}

func BenchmarkDemoWhere(b *testing.B) {
	i := showing(production, "select public.orders", "public.orders.id", "public.orders.total").Intent()
	i.Probes = []bastion.Probe{{Column: "public.orders.id", Equality: true}}
	benchDemo(b, alice, bastion.Plan(production, "select", i), bastion.Allow)
}

func BenchmarkDemoMaskedProbe(b *testing.B) {
	benchDemo(b, alice, probing(production, "public.customers.phone", true), bastion.Deny)
}

// A write that rules by columns and by rows speak of, before the planner is asked
// and after.
func BenchmarkDemoUpdate(b *testing.B) {
	benchDemo(b, alice, touching(production, "update public.orders", "public.orders.total"), bastion.Ask)
}

func BenchmarkDemoUpdateEstimated(b *testing.B) {
	benchDemo(b, alice, touching(production, "update public.orders", "public.orders.total").Estimated(7), bastion.Ask)
}

// BenchmarkManyGroups is somebody in 200 groups.
func BenchmarkManyGroups(b *testing.B) {
	p, targets, who := large(b)
	who.Groups = nil
	for i := range 200 {
		who.Groups = append(who.Groups, fmt.Sprint("g", i))
	}
	o := op(targets[7], "insert public.orders")
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(who, o)
	}
}

// BenchmarkGrants is somebody in 200 groups with 20 grants, five of which count, of
// bundles that are had for a time, in a policy with separations.
func BenchmarkGrants(b *testing.B) {
	p, who, o := grants(b)
	if d := p.Decide(who, o); d.Effect != bastion.Allow || d.Rule != "jit4/n0" {
		b.Fatalf("%+v", d)
	}
	b.ReportAllocs()
	for b.Loop() {
		if p.Conflict(who) != nil {
			b.Fatal("a conflict")
		}
		p.Decide(who, o)
	}
}

// grants is a policy of 1,000 rules, ten targets of one label for each of 1,000 labels,
// and somebody whose grants alone allow an operation.
func grants(t testing.TB) (*policy.Policy, bastion.Identity, bastion.Operation) {
	c := policy.Context{Verbs: map[string][]bastion.VerbInfo{"postgres": postgres}}
	for i := range 10_000 {
		c.Targets = append(c.Targets, target(fmt.Sprintf("t%d", i), fmt.Sprintf("app=a%d", i%1000)))
	}
	f := policy.File{Pos: at, Version: policy.Number{N: 1, Pos: at}, Roles: []policy.Role{{Name: word("boss"), Groups: words("bosses"), Duties: words("approve")}}}
	who := person("alice")
	for i := range 200 {
		f.Roles = append(f.Roles, policy.Role{Name: word(fmt.Sprint("r", i)), Groups: words(fmt.Sprint("g", i)), Duties: words("execute")})
		who.Groups = append(who.Groups, fmt.Sprint("g", i))
		if i < 20 {
			f.Separation = append(f.Separation, policy.Separation{Name: word(fmt.Sprint("s", i)), Roles: words("boss", fmt.Sprint("r", i))})
		}
	}
	for i := range 100 {
		bundle := policy.Bundle{Name: word(fmt.Sprint("jit", i)), Roles: words(fmt.Sprint("r", i), fmt.Sprint("r", 199-i)), Targets: policy.Selector{Pos: at, All: true},
			Request: policy.Request{Pos: at, Max: policy.Span{D: 1, Pos: at}, Approvals: []policy.Approval{{Pos: at, Role: word("boss")}}}}
		for j := range 10 {
			bundle.Rules = append(bundle.Rules, policy.Rule{Name: word(fmt.Sprint("n", j)), Verbs: words("connect", "select"), On: words(fmt.Sprintf("s%d.t%d", i, j), fmt.Sprintf("x%d.*", i)), Effect: word("allow")})
		}
		f.Bundles = append(f.Bundles, bundle)
	}
	p, problems := policy.New(f, c)
	if p == nil {
		t.Fatal(problems.Err())
	}
	for i := range 20 {
		on := "t7"
		if i%4 != 0 {
			on = fmt.Sprintf("t%d", i)
		}
		who.Grants = append(who.Grants, bastion.Grant{Target: on, Bundle: fmt.Sprint("jit", i)})
	}
	return p, who, op(c.Targets[7], "select s4.t0")
}

// BenchmarkLimited has columns and rows in every rule that matches.
func BenchmarkLimited(b *testing.B) {
	f := policy.File{Pos: at, Version: policy.Number{N: 1, Pos: at}, Roles: []policy.Role{
		{Name: word("r"), Groups: words("deployers"), Duties: words("execute")}, {Name: word("boss"), Groups: words("bosses"), Duties: words("approve")}}}
	for i := range 100 {
		bundle := policy.Bundle{Name: word(fmt.Sprint("b", i)), Roles: words("r"), Targets: policy.Selector{Pos: at, All: true}}
		for j := range 10 {
			r := policy.Rule{Name: word(fmt.Sprint("n", j)), Verbs: words("update"), On: words(fmt.Sprintf("s%d.t%d", i, j)), Columns: words(fmt.Sprintf("s%d.t%d.*", i, j)), Effect: word("ask"),
				Approvals: []policy.Approval{{Pos: at, Role: word("boss")}}, Rows: policy.Rows{Pos: at, Over: policy.Number{N: 1 + i, Pos: at}}}
			if j == 0 {
				r.On, r.Effect, r.Approvals, r.Columns, r.Rows = nil, word("allow"), nil, nil, policy.Rows{}
			}
			bundle.Rules = append(bundle.Rules, r)
		}
		f.Bundles = append(f.Bundles, bundle)
	}
	p, problems := policy.New(f, world())
	if p == nil {
		b.Fatal(problems.Err())
	}
	o := touching(production, "update s7.t7", "s7.t7.a")
	if d := p.Decide(alice, o); d.Effect != bastion.Ask || !d.Estimate {
		b.Fatalf("%+v", d)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(alice, o)
	}
}

func BenchmarkDenied(b *testing.B) {
	p, targets, who := large(b)
	o := op(targets[7], "drop public.orders")
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(who, o)
	}
}

func BenchmarkAccess(b *testing.B) {
	p, targets, who := large(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Access(who, targets[7])
	}
}

func BenchmarkAnalyse(b *testing.B) {
	p, _, _ := large(b)
	for b.Loop() {
		p.Analyse(nil)
	}
}

func BenchmarkMatrix(b *testing.B) {
	p, _, _ := large(b)
	for b.Loop() {
		p.Matrix()
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		large(b)
	}
}
