package policy_test

import (
	"fmt"
	"maps"
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
	someColumns   = []string{"public.a.x", "public.b.y", "public.a.clear", "other.a.z"} // of resources above
	someMatched   = []string{"public.a.x", "public.*.y", "*.a.*", "public.a.clear"}
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
	if rapid.IntRange(0, 2).Draw(t, "limited") == 0 {
		r.Columns = maybe(t, "columns", someMatched)
		if !slices.Contains(r.Verbs, word("connect")) {
			r.Rows = genRows(t)
		}
	}
	if r.Effect.Text == "deny" && r.Rows.Pos.Line == 0 && rapid.IntRange(0, 9).Draw(t, "star") == 0 {
		r.Verbs = words("*")
	}
	if r.Effect.Text == "ask" {
		r.Approvals, r.OtherTeam = genApprovals(t), rapid.IntRange(0, 3).Draw(t, "other team") == 0
		r.Within = policy.Span{D: time.Duration(rapid.IntRange(1, 5).Draw(t, "within")) * time.Minute, Pos: at}
		r.Holds = policy.Span{D: time.Duration(rapid.IntRange(0, 3).Draw(t, "holds")) * time.Minute, Pos: at}
		r.Preview = word(rapid.SampledFrom([]string{"", "estimate", "run", "run"}).Draw(t, "preview"))
	}
	return r
}

func genApprovals(t *rapid.T) []policy.Approval {
	var as []policy.Approval
	for _, roles := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"boss", "legal", "legal boss"}), 1, 2, rapid.ID).Draw(t, "approvers") {
		a := policy.Approval{Pos: at, Count: policy.Number{N: rapid.IntRange(1, 3).Draw(t, "count"), Pos: at}}
		if any := strings.Fields(roles); len(any) > 1 {
			a.Any = words(any...)
		} else {
			a.Role = word(roles)
		}
		as = append(as, a)
	}
	return as
}

// genRows draws a range of rows that makes sense.
func genRows(t *rapid.T) policy.Rows {
	rows := policy.Rows{Pos: at}
	limits := rapid.SliceOfNDistinct(rapid.SampledFrom([]int{1, 10, 1000}), 2, 2, rapid.ID).Draw(t, "rows")
	slices.Sort(limits)
	which := rapid.IntRange(0, 2).Draw(t, "over and up to")
	if which != 0 {
		rows.Over = policy.Number{N: limits[0], Pos: at}
	}
	if which != 1 {
		rows.UpTo = policy.Number{N: limits[1], Pos: at}
	}
	return rows
}

// someRows is an estimate of each kind that rows above can tell apart.
var someRows = []int64{0, 1, 2, 10, 11, 1000, 1001, 1 << 40}

func genFile(t *rapid.T) policy.File {
	f := policy.File{Pos: at, Version: policy.Number{N: 1, Pos: at}, Teams: words("g-*")}
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
		l := policy.Label{Name: word(fmt.Sprint("l", i)), Columns: words(c), Mask: word("redact"), Lookup: rapid.Bool().Draw(t, "lookup")}
		if effect := rapid.SampledFrom([]string{"", "", "deny", "ask", "allow"}).Draw(t, "probe"); effect != "" {
			l.Probe = word(effect)
		}
		if l.Probe.Text == "ask" {
			l.Approvals = genApprovals(t)
		}
		f.Columns = append(f.Columns, l)
	}
	if rapid.Bool().Draw(t, "trusts") {
		f.Functions = []policy.Trust{{Name: word("pure"), Trust: words("public.f(text)")}}
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
		if had := rapid.IntRange(0, 5).Draw(t, "for a time"); had < 2 {
			b.Request = policy.Request{Pos: at, Max: policy.Span{D: time.Hour, Pos: at}, Approvals: genApprovals(t)}
		} else if had < 3 {
			b.Emergency = policy.Emergency{Pos: at, For: policy.Span{D: time.Hour, Pos: at}, Reviews: genApprovals(t)}
		}
		f.Bundles = append(f.Bundles, b)
	}
	for i, b := range f.Bundles {
		if !byGrant(b) {
			continue
		}
		for _, o := range f.Bundles {
			for _, r := range o.Rules {
				if r.Effect.Text == "ask" && o.Name != b.Name && rapid.Bool().Draw(t, "lifts") {
					f.Bundles[i].Lifts = append(f.Bundles[i].Lifts, word(o.Name.Text+"/"+r.Name.Text))
				}
			}
		}
	}
	return f
}

// byGrant reports whether a bundle is had for a time only.
func byGrant(b policy.Bundle) bool { return b.Request.Pos.Line+b.Emergency.Pos.Line > 0 }

// had reports whether somebody has a bundle on a target, if the roles bring it.
func had(who bastion.Identity, b policy.Bundle, on bastion.Target) bool {
	return !byGrant(b) || slices.ContainsFunc(who.Grants, func(g bastion.Grant) bool {
		return g.Target == on.Name && g.Bundle == b.Name.Text && g.Emergency == (b.Emergency.Pos.Line > 0)
	})
}

func genWho(t *rapid.T) bastion.Identity {
	var groups []string
	for _, r := range maybe(t, "holds", someRoles) {
		groups = append(groups, "g-"+r.Text)
	}
	who := person("p", groups...)
	for range max(0, rapid.IntRange(-2, 4).Draw(t, "grants")) {
		who.Grants = append(who.Grants, bastion.Grant{Target: rapid.SampledFrom(someTargets).Draw(t, "granted on").Name,
			Bundle: rapid.SampledFrom([]string{"b0", "b1", "b2", "b3", "b4", "nosuch", ""}).Draw(t, "granted"), Emergency: rapid.IntRange(0, 3).Draw(t, "emergency") == 0})
	}
	return who
}

func genOp(t *rapid.T) bastion.Operation {
	i := bastion.Intent{Verb: "select"}
	for range rapid.IntRange(0, 3).Draw(t, "actions") {
		i.Actions = append(i.Actions, bastion.Action{
			Verb:     bastion.Verb(rapid.SampledFrom(append([]string{"", "unknown", "*"}, someVerbs...)).Draw(t, "verb")),
			Resource: rapid.SampledFrom(someResources).Draw(t, "resource")})
	}
	column := func(name string) string { return rapid.SampledFrom(someColumns).Draw(t, name) }
	for range max(0, rapid.IntRange(-2, 2).Draw(t, "probes")) {
		i.Probes = append(i.Probes, bastion.Probe{Column: column("probed"), Equality: rapid.Bool().Draw(t, "equality"),
			By: rapid.SampledFrom([]string{"", "", "public.f(text)", "public.g()"}).Draw(t, "by")})
	}
	for range max(0, rapid.IntRange(-2, 3).Draw(t, "writes")) {
		i.Writes = append(i.Writes, column("written"))
	}
	if rapid.Bool().Draw(t, "outputs") {
		i.Outputs = []mask.Column{{Sources: []string{column("shown")}, Proven: rapid.IntRange(0, 4).Draw(t, "proven") > 0}}
	}
	op := bastion.Plan(rapid.SampledFrom(someTargets).Draw(t, "target"), "text", i)
	switch rapid.IntRange(0, 2).Draw(t, "estimate") {
	case 0:
		return op
	case 1:
		return op.Estimated(-1)
	}
	return op.Estimated(rapid.SampledFrom(someRows).Draw(t, "rows"))
}

func made(t *rapid.T, f policy.File) *policy.Policy {
	p, problems := policy.New(f, all())
	if p == nil {
		t.Fatalf("generated file: %v", problems.Err())
	}
	return p
}

// likely is the plain reading of the rules, without any index: what README.md says.
// Without an estimate it is the strictest of what each estimate brings.
func likely(f policy.File, who bastion.Identity, op bastion.Operation) bastion.Decision {
	if op.Rows() >= 0 {
		return likelyBy(f, who, op)
	}
	var all bastion.Decision
	differ := false
	for i, n := range someRows {
		d := likelyBy(f, who, op.Estimated(n))
		if i == 0 {
			all = d
			continue
		}
		differ = differ || !cmp.Equal(all, d, cmp.AllowUnexported(mask.Rules{}))
		all = stricter(all, d)
	}
	all.Estimate = differ && !op.Asked()
	return all
}

// stricter is what holds of two decisions if both must.
func stricter(a, b bastion.Decision) bastion.Decision {
	if a.Effect == bastion.Deny || b.Effect == bastion.Deny {
		return bastion.Decision{}
	}
	if a.Fresh == 0 || b.Fresh > 0 && b.Fresh < a.Fresh {
		a.Fresh = b.Fresh
	}
	a.OtherTeam = a.OtherTeam || b.OtherTeam
	switch {
	case b.Effect == bastion.Allow:
	case a.Effect == bastion.Allow:
		a.Effect, a.Within, a.Holds, a.Needs, a.Try = b.Effect, b.Within, b.Holds, b.Needs, b.Try
	default:
		a.Within, a.Holds, a.Needs, a.Try = min(a.Within, b.Within), min(a.Holds, b.Holds), most(a.Needs, b.Needs), a.Try && b.Try
	}
	return a
}

// most is the greater count of each role, and of each set of roles.
func most(a, b bastion.Needs) bastion.Needs {
	counts := map[string]int{}
	for _, n := range slices.Concat(a, b) {
		roles := strings.Join(append([]string{n.Role}, n.Or...), " ")
		counts[roles] = max(counts[roles], n.Count)
	}
	var all bastion.Needs
	for _, roles := range slices.Sorted(maps.Keys(counts)) {
		any := strings.Fields(roles)
		n := bastion.Need{Role: any[0], Count: counts[roles]}
		if len(any) > 1 {
			n.Or = any[1:]
		}
		all = append(all, n)
	}
	return all
}

func needs(as []policy.Approval) bastion.Needs {
	var ns bastion.Needs
	for _, a := range as {
		n := bastion.Need{Role: a.Role.Text, Count: a.Count.N}
		if len(a.Any) > 0 {
			n.Role, n.Or = "boss", []string{"legal"}
		}
		ns = most(ns, bastion.Needs{n})
	}
	return ns
}

// likelyBy is likely for an estimate.
func likelyBy(f policy.File, who bastion.Identity, op bastion.Operation) bastion.Decision {
	holds := func(w policy.Word) bool { return who.In("g-" + w.Text) }
	executes := func(w policy.Word) bool {
		i := slices.IndexFunc(f.Roles, func(r policy.Role) bool { return r.Name.Text == w.Text })
		return holds(w) && slices.Contains(f.Roles[i].Duties, word("execute"))
	}
	labels, intent := op.Target().Labels, op.Intent()
	known := append(slices.Clone(postgres), bastion.VerbInfo{Verb: bastion.Connect})
	d := bastion.Decision{Effect: bastion.Allow}
	masked := map[string]bool{"l0": true, "l1": true, "l2": true}
	if len(intent.Actions) == 0 {
		return bastion.Decision{}
	}
	ask := func(b bastion.Decision) { b.Effect = bastion.Ask; d = stricter(d, b) }
	covered := true
	for _, a := range intent.Actions {
		var granting []policy.Rule
		for _, b := range f.Bundles {
			fits := b.Targets.All || !slices.ContainsFunc(b.Targets.Requires, func(r policy.Requirement) bool {
				return !slices.Contains(r.Values, word(labels[r.Key.Text]))
			})
			if !fits || !slices.ContainsFunc(b.Roles, holds) || slices.ContainsFunc(b.Except, holds) {
				continue
			}
			grants := slices.ContainsFunc(b.Roles, executes)
			for _, l := range b.Clear {
				if grants && had(who, b, op.Target()) {
					masked[l.Text] = false
				}
			}
			for _, r := range b.Rules {
				knows := slices.ContainsFunc(known, func(v bastion.VerbInfo) bool { return v.Verb == a.Verb })
				if !knows || !slices.Contains(r.Verbs, word(string(a.Verb))) && !slices.Contains(r.Verbs, word("*")) {
					continue
				}
				if !within(r, op) || r.Effect.Text != "deny" && !had(who, b, op.Target()) {
					continue
				}
				exact, loose := matches(r, a)
				some := exact && (len(r.Columns) == 0 || slices.ContainsFunc(own(intent, a), func(c string) bool { return named(r.Columns, c) }))
				switch {
				case r.Effect.Text == "allow" && !some, !loose, r.Effect.Text != "allow" && !touches(intent, a, r.Columns):
					continue
				case r.Effect.Text == "deny":
					return bastion.Decision{}
				}
				if grants && some {
					granting = append(granting, r)
				}
				d = stricter(d, bastion.Decision{Effect: bastion.Allow, Fresh: b.Fresh.D})
				if r.Effect.Text == "ask" && !covers(lifting(f, who, b.Name.Text+"/"+r.Name.Text, op, a, holds, executes), intent, a) {
					ask(bastion.Decision{Within: r.Within.D, Holds: r.Holds.D, Needs: needs(r.Approvals), OtherTeam: r.OtherTeam, Try: r.Preview.Text == "run"})
				}
			}
		}
		covered = covered && covers(granting, intent, a) // and a deny rule for another action may still be found
	}
	if !covered {
		return bastion.Decision{}
	}
	for _, p := range intent.Probes {
		if p.By == "public.f(text)" && len(f.Functions) > 0 {
			continue
		}
		for i, ending := range []string{".x", ".y", ".z"} { // of the columns that the labels hide
			l := f.Columns[i]
			switch {
			case !masked[l.Name.Text] || !strings.HasSuffix(p.Column, ending):
			case p.Equality && l.Lookup, l.Probe.Text == "allow":
			case l.Probe.Text == "ask":
				ask(bastion.Decision{Within: policy.DefaultWithin, Needs: needs(l.Approvals)})
			default:
				return bastion.Decision{}
			}
		}
	}
	return d
}

// within reports whether a rule speaks of so many rows.
func within(r policy.Rule, op bastion.Operation) bool {
	return !(r.Rows.Over.N > 0 && op.Rows() <= int64(r.Rows.Over.N) || r.Rows.UpTo.N > 0 && op.Rows() > int64(r.Rows.UpTo.N))
}

// matches reports whether a rule speaks of an action's object.
func matches(r policy.Rule, a bastion.Action) (exact, loose bool) {
	exact, loose = len(r.On) == 0, len(r.On) == 0
	for _, o := range r.On {
		e, l := reads(o.Text, a.Resource)
		exact, loose = exact || e, loose || l
	}
	return exact, loose
}

// covers reports whether rules grant all of an action together.
func covers(granting []policy.Rule, intent bastion.Intent, a bastion.Action) bool {
	whole := slices.ContainsFunc(granting, func(r policy.Rule) bool { return len(r.Columns) == 0 })
	columns := own(intent, a)
	byColumn := len(columns) > 0 && !slices.ContainsFunc(columns, func(c string) bool {
		return !slices.ContainsFunc(granting, func(r policy.Rule) bool { return named(r.Columns, c) })
	})
	return whole || byColumn
}

// lifting is the rules that allow a part of an action and are in bundles that were
// granted and lift a rule.
func lifting(f policy.File, who bastion.Identity, rule string, op bastion.Operation, a bastion.Action, holds, executes func(policy.Word) bool) []policy.Rule {
	var rules []policy.Rule
	for _, b := range f.Bundles {
		fits := b.Targets.All || !slices.ContainsFunc(b.Targets.Requires, func(r policy.Requirement) bool {
			return !slices.Contains(r.Values, word(op.Target().Labels[r.Key.Text]))
		})
		if !fits || !slices.Contains(b.Lifts, word(rule)) || !had(who, b, op.Target()) || !slices.ContainsFunc(b.Roles, executes) || slices.ContainsFunc(b.Except, holds) {
			continue
		}
		for _, r := range b.Rules {
			if exact, _ := matches(r, a); exact && r.Effect.Text == "allow" && within(r, op) && slices.Contains(r.Verbs, word(string(a.Verb))) {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// writes reports whether a verb of this test changes something.
func writes(v bastion.Verb) bool { return v == "insert" || v == "drop" }

// touched is the columns that an operation touches as an action does, and whether
// these are all.
func touched(i bastion.Intent, a bastion.Action) (columns []string, all bool) {
	if writes(a.Verb) {
		return i.Writes, true
	}
	all = i.Outputs != nil
	for _, o := range i.Outputs {
		columns, all = append(columns, o.Sources...), all && o.Proven
	}
	for _, p := range i.Probes {
		columns = append(columns, p.Column)
	}
	return columns, all
}

// touches reports whether a rule with columns limits an action.
func touches(i bastion.Intent, a bastion.Action, patterns []policy.Word) bool {
	columns, all := touched(i, a)
	switch {
	case len(patterns) == 0, slices.ContainsFunc(columns, func(c string) bool { return named(patterns, c) }):
		return true
	case a.Resource == "":
		return len(i.Outputs) > 0 && !all
	case !writes(a.Verb):
		return !all
	case slices.ContainsFunc(columns, func(c string) bool { return tableOf(c) == a.Resource }):
		return false
	}
	// The names of this test that one of the patterns may have a column of.
	return slices.ContainsFunc(patterns, func(p policy.Word) bool {
		switch p.Text {
		case "public.*.y":
			return slices.Contains([]string{"public.a", "public.b", "public.A", "public.a.b"}, a.Resource)
		case "*.a.*":
			return slices.Contains([]string{"public.a", "public.A", "other.a"}, a.Resource)
		}
		return a.Resource == "public.a" || a.Resource == "public.A"
	})
}

// own is the columns that must be granted for an action: those of its object, and
// those of no object; none if the object's are not known.
func own(i bastion.Intent, a bastion.Action) []string {
	columns, all := touched(i, a)
	var mine []string
	has := false
	for _, c := range columns {
		if tableOf(c) == a.Resource {
			has = true
		} else if slices.ContainsFunc(i.Actions, func(b bastion.Action) bool {
			return writes(a.Verb) == writes(b.Verb) && tableOf(c) == b.Resource
		}) {
			continue
		}
		mine = append(mine, c)
	}
	if !all || !has {
		return nil
	}
	return mine
}

func tableOf(column string) string { return column[:strings.LastIndexByte(column, '.')] }

// named says by a table which of the columns of this test the patterns name.
func named(patterns []policy.Word, column string) bool {
	return slices.ContainsFunc(patterns, func(p policy.Word) bool {
		switch p.Text {
		case "public.*.y":
			return column == "public.b.y"
		case "*.a.*":
			return column != "public.b.y"
		}
		return column == p.Text
	})
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
		deny.Effect, deny.Approvals, deny.OtherTeam, deny.Within, deny.Holds, deny.Preview = word("deny"), nil, false, policy.Span{}, policy.Span{}, policy.Word{}
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

func TestUnknownIsStrictest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := made(t, genFile(t))
		for range 8 {
			who, op := genWho(t), genOp(t)
			// The same operation before anybody asked for an estimate.
			op = bastion.Plan(op.Target(), op.Text(), op.Intent())
			before, unknown := plainly(p.Decide(who, op)), plainly(p.Decide(who, op.Estimated(-1)))
			if unknown.Estimate {
				t.Fatal("an estimate that cannot be had is wanted again")
			}
			wanted := before.Estimate
			if before.Estimate = false; !cmp.Equal(before, unknown, cmp.AllowUnexported(mask.Rules{})) {
				t.Fatalf("before anybody asked %+v, unknown %+v", before, unknown)
			}
			for _, n := range someRows {
				d := plainly(p.Decide(who, op.Estimated(n)))
				if d.Estimate || d.Effect < unknown.Effect {
					t.Fatalf("%d rows: %+v, unknown: %+v", n, d, unknown)
				}
				if d.Effect == bastion.Ask && unknown.Effect == bastion.Ask {
					for _, need := range d.Needs {
						if !slices.ContainsFunc(unknown.Needs, func(m bastion.Need) bool {
							return m.Role == need.Role && slices.Equal(m.Or, need.Or) && m.Count >= need.Count
						}) {
							t.Fatalf("%d rows need %s, unknown %s", n, d.Needs, unknown.Needs)
						}
					}
					if unknown.Within > d.Within || unknown.Holds > d.Holds || d.OtherTeam && !unknown.OtherTeam || unknown.Try && !d.Try {
						t.Fatalf("%d rows: %+v, unknown: %+v", n, d, unknown)
					}
				}
				if !wanted && !cmp.Equal(d, unknown, cmp.AllowUnexported(mask.Rules{})) {
					t.Fatalf("no estimate is wanted, and for %d rows it is %+v and not %+v", n, d, unknown)
				}
			}
		}
	})
}

// TestAllowRuleNeverLimits: a rule that allows refuses nobody, and asks nobody.
func TestAllowRuleNeverLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		before := made(t, f)
		allow := genRule(t, "extra")
		allow.Effect, allow.Approvals, allow.OtherTeam, allow.Within, allow.Holds, allow.Preview = word("allow"), nil, false, policy.Span{}, policy.Span{}, policy.Word{}
		if allow.Verbs[0].Text == "*" {
			allow.Verbs = words("select")
		}
		f.Bundles = append(slices.Clone(f.Bundles), policy.Bundle{Name: word("extra"), Roles: some(t, "roles", someRoles), Targets: policy.Selector{Pos: at, All: true}, Rules: []policy.Rule{allow}})
		after := made(t, f)
		for range 8 {
			who, op := genWho(t), genOp(t)
			b, a := before.Decide(who, op), after.Decide(who, op)
			if a.Effect < b.Effect || a.Effect == b.Effect && !cmp.Equal(a.Needs, b.Needs) {
				t.Fatalf("%+v became %+v", b, a)
			}
		}
	})
}

func TestAccessKeepsItsWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		p := made(t, f)
		who, on := genWho(t), rapid.SampledFrom(someTargets).Draw(t, "target")
		a := p.Access(who, on)
		if d := p.Decide(who, op(on, "connect")); a.Connect != d.Effect {
			t.Fatalf("access says %s, connecting is %s", a.Connect, d.Effect)
		}
		if a.Request != (len(p.Terms(who, on)) > 0) {
			t.Fatalf("access says %v of what can be asked for: %+v", a.Request, p.Terms(who, on))
		}
		if a.Connect == bastion.Deny {
			if len(a.Allow)+len(a.Ask) > 0 || a.Note != "" {
				t.Fatalf("an invisible target tells %+v", a)
			}
			return
		}
		for _, verb := range someVerbs[1:] {
			best, worst := bastion.Deny, bastion.Allow
			for _, r := range append([]string{"p.q", "public.q", "q.a", "Public.A"}, someResources...) {
				for _, n := range someRows {
					for _, c := range append([]string{"public.q.q"}, someColumns...) {
						i := bastion.Intent{Verb: "x", Actions: []bastion.Action{{Verb: bastion.Verb(verb), Resource: r}}, Writes: []string{c}, Outputs: []mask.Column{{Sources: []string{c}, Proven: true}}}
						e := p.Decide(who, bastion.Plan(on, "text", i).Estimated(n)).Effect
						best, worst = max(best, e), min(worst, e)
					}
				}
			}
			byColumn := slices.ContainsFunc(f.Bundles, func(b policy.Bundle) bool {
				return slices.ContainsFunc(b.Rules, func(r policy.Rule) bool { return len(r.Columns) > 0 })
			})
			got := bastion.Deny
			if slices.Contains(a.Ask, bastion.Verb(verb)) {
				got = bastion.Ask
			}
			if slices.Contains(a.Allow, bastion.Verb(verb)) {
				got = bastion.Allow
			}
			if best != worst && !strings.Contains(a.Note, verb) {
				t.Fatalf("access does not say that %s depends on something: %+v", verb, a)
			}
			if got != best && !(byColumn && got > best) { // columns of one rule may be excluded by another
				t.Fatalf("access says %s for %s, the best that happens is %s\n%+v", got, verb, best, a)
			}
		}
	})
}

// met is a decision as a person meets it, with what is hidden of the columns
// of this test.
func met(d bastion.Decision) string {
	s := fmt.Sprintf("%+v", plainly(d))
	for _, c := range someColumns {
		s += " " + d.Mask.Source(c).String()
	}
	return s
}

// TestGrantWidensByItsBundleAlone: what was granted changes nothing but by what the
// bundle says about the operation, on the target that it was granted for.
func TestGrantWidensByItsBundleAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		p := made(t, f)
		for range 8 {
			with, op := genWho(t), genOp(t)
			without := with
			without.Grants = nil
			a, b := p.Decide(with, op), p.Decide(without, op)
			about := func(b policy.Bundle) bool {
				return byGrant(b) && had(with, b, op.Target()) && (len(b.Clear) > 0 || slices.ContainsFunc(b.Rules, func(r policy.Rule) bool {
					return r.Effect.Text != "deny" && slices.ContainsFunc(op.Intent().Actions, func(a bastion.Action) bool {
						_, loose := matches(r, a)
						return loose && slices.Contains(r.Verbs, word(string(a.Verb)))
					})
				}))
			}
			if met(a) != met(b) && !slices.ContainsFunc(f.Bundles, about) {
				t.Fatalf("without %+v it is\n%s\nwith it\n%s", with.Grants, met(b), met(a))
			}
			if b.Effect == bastion.Deny && b.Rule != "" && b.Rule != policy.MaskedColumn && a.Effect != bastion.Deny {
				t.Fatalf("a grant lifts %s", b.Rule)
			}
		}
	})
}

// TestUngrantedBundlesOnlyDeny: a bundle that is had for a time says nothing before it
// was granted, but what it refuses.
func TestUngrantedBundlesOnlyDeny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		before := made(t, f)
		f.Bundles = slices.Clone(f.Bundles)
		for i := range f.Bundles {
			b := &f.Bundles[i]
			if !byGrant(*b) {
				continue
			}
			b.Rules = slices.DeleteFunc(slices.Clone(b.Rules), func(r policy.Rule) bool { return r.Effect.Text != "deny" })
			if len(b.Rules) == 0 { // something that never holds: no bundle may be empty
				b.Rules = []policy.Rule{{Name: word("none"), Verbs: words("select"), On: words("no.such.thing.here"), Effect: word("deny")}}
			}
			b.Clear, b.Lifts, b.Request, b.Emergency = nil, nil, policy.Request{}, policy.Emergency{}
		}
		after := made(t, f)
		for range 8 {
			who, op := genWho(t), genOp(t)
			who.Grants = nil
			if a, b := after.Decide(who, op), before.Decide(who, op); met(a) != met(b) || a.Rule != b.Rule {
				t.Fatalf("without its grants the policy says\n%s %s\nand not\n%s %s", met(b), b.Rule, met(a), a.Rule)
			}
		}
	})
}
