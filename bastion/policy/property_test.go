package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/bastion/policy"
)

// at is where everything in a generated file stands.
var at = policy.Pos{File: "generated", Line: 1, Column: 1}

func word(s string) policy.Word { return policy.Word{Text: s, Pos: at} }

func words(s ...string) []policy.Word {
	var ws []policy.Word
	for _, t := range s {
		ws = append(ws, word(t))
	}
	return ws
}

var (
	someRoles     = []string{"r0", "r1", "r2", "r3"}
	someVerbs     = []string{"connect", "select", "insert", "drop"}
	somePatterns  = []string{"public.*", "public.a", "*.a", "*", "Public.A", "x.y.z"}
	someResources = []string{"", "public.a", "public.b", "other.a", "public.A", "public.a.b", "x.y.z", "a"}
	someTargets   = []bastion.Target{staging, production, blog, frozen}
)

// some draws words of a list, in its order, at least one.
func some(t *rapid.T, name string, from []string) []policy.Word {
	return words(rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, len(from), rapid.ID).Draw(t, name)...)
}

// maybe draws words of a list, or none.
func maybe(t *rapid.T, name string, from []string) []policy.Word {
	if rapid.Bool().Draw(t, name+"?") {
		return nil
	}
	return some(t, name, from)
}

func genRule(t *rapid.T, name string) policy.Rule {
	r := policy.Rule{Name: word(name), Verbs: some(t, "verbs", someVerbs), On: maybe(t, "on", somePatterns)}
	r.Effect = word(rapid.SampledFrom([]string{"allow", "allow", "ask", "deny"}).Draw(t, "effect"))
	if r.Effect.Text == "deny" && rapid.IntRange(0, 9).Draw(t, "star") == 0 {
		r.Verbs = words("*")
	}
	if r.Effect.Text == "ask" {
		for _, role := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"boss", "legal"}), 1, 2, rapid.ID).Draw(t, "approvers") {
			r.Approvals = append(r.Approvals, policy.Approval{Pos: at, Role: word(role), Count: policy.Number{N: rapid.IntRange(1, 3).Draw(t, "count"), Pos: at}})
		}
		r.Within = policy.Span{D: time.Duration(rapid.IntRange(1, 5).Draw(t, "within")) * time.Minute, Pos: at}
		r.Holds = policy.Span{D: time.Duration(rapid.IntRange(0, 3).Draw(t, "holds")) * time.Minute, Pos: at}
	}
	return r
}

func genFile(t *rapid.T) policy.File {
	f := policy.File{Pos: at, Version: policy.Number{N: 1, Pos: at}}
	for _, r := range someRoles {
		duties := words("execute")
		if rapid.IntRange(0, 3).Draw(t, "idle") == 0 {
			duties = words("audit")
		}
		f.Roles = append(f.Roles, policy.Role{Name: word(r), Groups: words("g-" + r), Duties: duties})
	}
	for _, r := range []string{"boss", "legal"} {
		f.Roles = append(f.Roles, policy.Role{Name: word(r), Groups: words("g-" + r), Duties: words("approve")})
	}
	for i, c := range []string{"public.a.x", "public.*.y", "*.a.z"} {
		f.Columns = append(f.Columns, policy.Label{Name: word(fmt.Sprint("l", i)), Columns: words(c), Mask: word("redact"), Lookup: rapid.Bool().Draw(t, "lookup")})
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "bundles") {
		b := policy.Bundle{Name: word(fmt.Sprint("b", i)), Roles: some(t, "roles", someRoles), Clear: maybe(t, "clear", []string{"l0", "l1", "l2"})}
		for _, e := range maybe(t, "except", someRoles) {
			if !slices.Contains(b.Roles, e) {
				b.Except = append(b.Except, e)
			}
		}
		b.Targets = policy.Selector{Pos: at, All: rapid.Bool().Draw(t, "everywhere")}
		if !b.Targets.All {
			b.Targets.Requires = []policy.Requirement{{Key: word("app"), Values: some(t, "app", []string{"shop", "blog"})}}
			if rapid.Bool().Draw(t, "narrow") {
				b.Targets.Requires = append(b.Targets.Requires, policy.Requirement{Key: word("env"), Values: words("staging")})
			}
		}
		if rapid.Bool().Draw(t, "fresh") {
			b.Fresh = policy.Span{D: time.Duration(rapid.IntRange(1, 3).Draw(t, "age")) * time.Hour, Pos: at}
		}
		for j := range rapid.IntRange(1, 4).Draw(t, "rules") {
			b.Rules = append(b.Rules, genRule(t, fmt.Sprint("n", j)))
		}
		f.Bundles = append(f.Bundles, b)
	}
	return f
}

func genWho(t *rapid.T) bastion.Identity {
	var groups []string
	for _, r := range maybe(t, "holds", someRoles) {
		groups = append(groups, "g-"+r.Text)
	}
	return person("p", groups...)
}

func genOp(t *rapid.T) bastion.Operation {
	i := bastion.Intent{Verb: "select"}
	for range rapid.IntRange(0, 3).Draw(t, "actions") {
		i.Actions = append(i.Actions, bastion.Action{
			Verb:     bastion.Verb(rapid.SampledFrom(append([]string{"", "unknown", "*"}, someVerbs...)).Draw(t, "verb")),
			Resource: rapid.SampledFrom(someResources).Draw(t, "resource")})
	}
	if rapid.IntRange(0, 3).Draw(t, "probe") == 0 {
		i.Probes = []bastion.Probe{{Column: rapid.SampledFrom([]string{"public.a.x", "public.b.y", "public.a.clear"}).Draw(t, "column"), Equality: rapid.Bool().Draw(t, "equality")}}
	}
	return bastion.Plan(rapid.SampledFrom(someTargets).Draw(t, "target"), "text", i)
}

func made(t *rapid.T, f policy.File) *policy.Policy {
	p, problems := policy.New(f, all())
	if p == nil {
		t.Fatalf("generated file: %v", problems.Err())
	}
	return p
}

// likely is the plain reading of the rules, without any index: what README.md says.
func likely(f policy.File, who bastion.Identity, op bastion.Operation) bastion.Decision {
	holds := func(w policy.Word) bool { return who.In("g-" + w.Text) }
	executes := func(w policy.Word) bool {
		i := slices.IndexFunc(f.Roles, func(r policy.Role) bool { return r.Name.Text == w.Text })
		return holds(w) && slices.Contains(f.Roles[i].Duties, word("execute"))
	}
	labels := op.Target().Labels
	known := append(slices.Clone(postgres), bastion.VerbInfo{Verb: bastion.Connect})
	d := bastion.Decision{Effect: bastion.Allow}
	masked := map[string]bool{"l0": true, "l1": true, "l2": true}
	if len(op.Intent().Actions) == 0 {
		return bastion.Decision{}
	}
	first, covered := true, true
	for _, a := range op.Intent().Actions {
		granted := false
		for _, b := range f.Bundles {
			fits := b.Targets.All || !slices.ContainsFunc(b.Targets.Requires, func(r policy.Requirement) bool {
				return !slices.Contains(r.Values, word(labels[r.Key.Text]))
			})
			if !fits || !slices.ContainsFunc(b.Roles, holds) || slices.ContainsFunc(b.Except, holds) {
				continue
			}
			grants := slices.ContainsFunc(b.Roles, executes)
			for _, l := range b.Clear {
				if grants {
					masked[l.Text] = false
				}
			}
			for _, r := range b.Rules {
				knows := slices.ContainsFunc(known, func(v bastion.VerbInfo) bool { return v.Verb == a.Verb })
				if !knows || !slices.Contains(r.Verbs, word(string(a.Verb))) && !slices.Contains(r.Verbs, word("*")) {
					continue
				}
				exact, loose := len(r.On) == 0, len(r.On) == 0
				for _, o := range r.On {
					e, l := reads(o.Text, a.Resource)
					exact, loose = exact || e, loose || l
				}
				if !loose || r.Effect.Text == "allow" && !exact {
					continue
				}
				if r.Effect.Text == "deny" {
					return bastion.Decision{}
				}
				granted = granted || grants && exact
				if b.Fresh.D > 0 && (d.Fresh == 0 || b.Fresh.D < d.Fresh) {
					d.Fresh = b.Fresh.D
				}
				if r.Effect.Text == "ask" {
					d.Effect = bastion.Ask
					if first || r.Within.D < d.Within {
						d.Within = r.Within.D
					}
					if first || r.Holds.D < d.Holds {
						d.Holds = r.Holds.D
					}
					first = false
					for _, n := range r.Approvals {
						i := slices.IndexFunc(d.Needs, func(m bastion.Need) bool { return m.Role == n.Role.Text })
						if i < 0 {
							d.Needs = append(d.Needs, bastion.Need{Role: n.Role.Text})
							i = len(d.Needs) - 1
						}
						d.Needs[i].Count = max(d.Needs[i].Count, n.Count.N)
					}
				}
			}
		}
		covered = covered && granted // and a deny rule for another action may still be found
	}
	for _, p := range op.Intent().Probes {
		for i, ending := range []string{".x", ".y"} { // of the columns that labels l0 and l1 hide
			if masked[fmt.Sprint("l", i)] && strings.HasSuffix(p.Column, ending) && !(p.Equality && f.Columns[i].Lookup) {
				return bastion.Decision{}
			}
		}
	}
	if !covered {
		return bastion.Decision{}
	}
	slices.SortFunc(d.Needs, func(a, b bastion.Need) int { return strings.Compare(a.Role, b.Role) })
	return d
}

// reads says by a table how the patterns and the resources of this test relate.
func reads(pattern, resource string) (exact, loose bool) {
	switch pattern {
	case "*":
		return resource != "", resource != ""
	case "public.*":
		exact = slices.Contains([]string{"public.a", "public.b", "public.A"}, resource)
		return exact, exact || resource == "public.a.b"
	case "public.a":
		return resource == "public.a", resource == "public.a" || resource == "public.A"
	case "*.a":
		exact = resource == "public.a" || resource == "other.a"
		return exact, exact || resource == "public.A"
	case "Public.A":
		return false, resource == "public.a" || resource == "public.A"
	}
	return pattern == resource, pattern == resource
}

// plainly drops from a decision what likely does not say.
func plainly(d bastion.Decision) bastion.Decision {
	d.Rule, d.Reason, d.Next, d.Mask = "", "", "", mask.Rules{}
	return d
}

func TestDecisionIsThePlainReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		p := made(t, f)
		for range 8 {
			who, op := genWho(t), genOp(t)
			want, got := likely(f, who, op), p.Decide(who, op)
			if diff := cmp.Diff(want, plainly(got), cmp.AllowUnexported(mask.Rules{})); diff != "" {
				t.Fatalf("%v %v on %s (-want +got):\n%s%+v", who.Groups, op.Intent(), op.Target().Name, diff, got)
			}
			if again := made(t, f).Decide(who, op); !cmp.Equal(plainly(got), plainly(again), cmp.AllowUnexported(mask.Rules{})) || again.Rule != got.Rule {
				t.Fatal("a policy that was asked before answers differently")
			}
		}
	})
}

func TestDenyRuleNeverWeakens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		before := made(t, f)
		deny := genRule(t, "extra")
		deny.Effect, deny.Approvals, deny.Within, deny.Holds = word("deny"), nil, policy.Span{}, policy.Span{}
		if rapid.Bool().Draw(t, "in a bundle of its own") {
			f.Bundles = append(f.Bundles, policy.Bundle{Name: word("extra"), Roles: some(t, "roles", someRoles), Targets: policy.Selector{Pos: at, All: true}, Rules: []policy.Rule{deny}})
		} else {
			i := rapid.IntRange(0, len(f.Bundles)-1).Draw(t, "bundle")
			f.Bundles[i].Rules = slices.Insert(slices.Clone(f.Bundles[i].Rules), 0, deny)
		}
		after := made(t, f)
		for range 8 {
			who, op := genWho(t), genOp(t)
			b, a := before.Decide(who, op), after.Decide(who, op)
			if a.Effect > b.Effect {
				t.Fatalf("%s became %s", b.Effect, a.Effect)
			}
			if a.Effect == b.Effect && a.Effect != bastion.Deny && !cmp.Equal(plainly(a), plainly(b), cmp.AllowUnexported(mask.Rules{})) {
				t.Fatalf("%+v became %+v", b, a)
			}
		}
	})
}

func TestAccessKeepsItsWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := made(t, genFile(t))
		who, on := genWho(t), rapid.SampledFrom(someTargets).Draw(t, "target")
		a := p.Access(who, on)
		if d := p.Decide(who, op(on, "connect")); a.Connect != d.Effect {
			t.Fatalf("access says %s, connecting is %s", a.Connect, d.Effect)
		}
		if !a.Visible() {
			if len(a.Allow)+len(a.Ask) > 0 || a.Note != "" {
				t.Fatalf("an invisible target tells %+v", a)
			}
			return
		}
		for _, verb := range someVerbs[1:] {
			best := bastion.Deny
			for _, r := range append([]string{"p.q", "public.q", "q.a", "Public.A"}, someResources...) {
				best = max(best, p.Decide(who, op(on, verb+" "+r)).Effect)
			}
			got := bastion.Deny
			if slices.Contains(a.Ask, bastion.Verb(verb)) {
				got = bastion.Ask
			}
			if slices.Contains(a.Allow, bastion.Verb(verb)) {
				got = bastion.Allow
			}
			if got != best {
				t.Fatalf("access says %s for %s, the best that happens is %s\n%+v", got, verb, best, a)
			}
		}
	})
}
