package policy_test

import (
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/policy"
)

// large is a policy of 200 roles, each by a group of its own, and 1,000 rules in
// 100 bundles, for 10,000 targets.
func large(b *testing.B) (*policy.Policy, []bastion.Target, bastion.Identity) {
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

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		large(b)
	}
}
