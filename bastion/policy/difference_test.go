package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/policy"
)

// changedDemo is the demo's policy with replacements, each of which must apply.
func changedDemo(t *testing.T, pairs ...string) *policy.Policy {
	t.Helper()
	b, err := os.ReadFile(testdata + "demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the demo's policy has no %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return parse(t, text, world())
}

// lines is a difference as people read it.
func lines(d policy.Difference) string {
	var b strings.Builder
	fmt.Fprintln(&b, d.Summary())
	for _, c := range d.Changes {
		fmt.Fprintf(&b, "%s: %s", c.Kind, c.Who)
		if c.Targets != "" {
			fmt.Fprintf(&b, " on %s", c.Targets)
		}
		fmt.Fprintf(&b, ": %s\n", c.What)
	}
	if d.Note != "" {
		fmt.Fprintln(&b, d.Note)
	}
	return b.String()
}

// Changes of the demo's policy, as approvers read them.
func TestDifference(t *testing.T) {
	people := []bastion.Identity{person("alice", "deployers"), person("ben", "deployers", "reviewers"), person("rita", "reviewers"), person("axel", "auditors")}
	before := changedDemo(t)
	var b strings.Builder
	for _, c := range []struct {
		name  string
		pairs []string
	}{
		{"nothing", nil},
		{"words", []string{`reason: "what is dropped in production is gone"`, `reason: "gone is gone"`, "# Who holds which role.", "#"}},
		{"order", []string{"verbs: [delete-all, update-all, truncate]", "verbs: [truncate, update-all, delete-all]"}},
		{"a deny is gone", []string{"verbs: [drop]\n        effect: deny", "verbs: [listen]\n        effect: deny"}},
		{"deletes without WHERE", []string{"verbs: [delete-all, update-all, truncate]\n        effect: deny", "verbs: [update-all, truncate]\n        effect: deny",
			"verbs: [connect, select, catalog, explain, transaction, setting, cursor, prepare]\n        effect: allow", "verbs: [connect, select, catalog, explain, transaction, setting, cursor, prepare, delete-all]\n        effect: allow"}},
		{"fewer approvals", []string{"approvals: [{ count: 2, role: reviewer }]", "approvals: [{ count: 1, role: reviewer }]"}},
		{"more approvals", []string{"approvals: [{ count: 1, role: reviewer }]\n        within: 30m\n        reason: \"writes", "approvals: [{ count: 2, role: reviewer }]\n        within: 30m\n        reason: \"writes"}},
		{"a mask is gone", []string{"columns: [public.customers.phone]\n    mask: last4", "columns: [public.customers.fax]\n    mask: last4"}},
		{"a weaker mask", []string{"mask: redact\n  - name: birth", "mask: last4\n  - name: birth"}},
		{"more rows", []string{"rows: { over: 1000 }", "rows: { over: 100000 }"}},
		{"salaries", []string{"columns: [public.employees.salary]\n        effect: deny", "columns: [public.employees.bonus]\n        effect: deny"}},
		{"a duty", []string{"deployer: { groups: [deployers], duties: [design, execute] }", "deployer: { groups: [deployers], duties: [design, execute, approve] }"}},
		{"a role", []string{"deployer: { groups: [deployers]", "deployer: { groups: [deployers, reviewers]"}},
		{"a service", []string{"bot:      { services: [ci-bot],  duties: [execute] }", "bot:      { services: [ci-bot],  duties: [audit] }"}},
		{"an older sign-in", []string{"fresh: 8h", "fresh: 24h"}},
		{"no preview", []string{"        preview: run\n", ""}},
		{"a preview", []string{"reason: \"a change of the schema takes two reviewers\"", "preview: run"}},
		{"a lookup", []string{"lookup: true", "lookup: false"}},
	} {
		fmt.Fprintf(&b, "== %s\n%s\n", c.name, lines(policy.Compare(before, changedDemo(t, c.pairs...), people)))
	}
	golden := filepath.Join("testdata", "difference.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("%s differs; run with -update and read it:\n%s", golden, got)
	}
}

// shuffled is a file that says the same in another order.
func shuffled(t *rapid.T, f policy.File) policy.File {
	f.Roles = rapid.Permutation(f.Roles).Draw(t, "roles")
	f.Columns = rapid.Permutation(f.Columns).Draw(t, "columns")
	f.Bundles = rapid.Permutation(f.Bundles).Draw(t, "bundles")
	f.Bundles = slices.Clone(f.Bundles)
	for i := range f.Bundles {
		b := &f.Bundles[i]
		b.Rules = slices.Clone(rapid.Permutation(b.Rules).Draw(t, "rules"))
		for j := range b.Rules {
			r := &b.Rules[j]
			r.Verbs = rapid.Permutation(r.Verbs).Draw(t, "verbs")
			r.Reason = word("for another reason")
			if len(r.On) > 0 {
				r.On = rapid.Permutation(r.On).Draw(t, "on")
			}
		}
	}
	return f
}

// Policies that say the same have no difference, whatever their texts.
func TestSameMeaningIsNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		d := policy.Compare(made(t, f), made(t, shuffled(t, f)), nil)
		if len(d.Changes) > 0 || d.Note != "" {
			t.Fatal(lines(d))
		}
	})
}

// Whatever two policies decide differently, for whomever, is in their difference.
func TestDifferenceIsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := genFile(t)
		g := f
		if rapid.Bool().Draw(t, "another") {
			g = genFile(t)
		} else { // one rule is another one
			g.Bundles = slices.Clone(f.Bundles)
			i := rapid.IntRange(0, len(g.Bundles)-1).Draw(t, "bundle")
			b := &g.Bundles[i]
			b.Rules = slices.Clone(b.Rules)
			j := rapid.IntRange(0, len(b.Rules)-1).Draw(t, "rule")
			r := genRule(t, b.Rules[j].Name.Text)
			if r.Effect.Text == "ask" || b.Rules[j].Effect.Text != "ask" { // others may lift it
				b.Rules[j] = r
			}
		}
		before, after := made(t, f), made(t, g)
		d := policy.Compare(before, after, nil)
		for range 50 {
			who, op := genWho(t), genOp(t)
			b, a := before.Decide(who, op), after.Decide(who, op)
			target := op.Target().Name
			if b.Effect != bastion.Deny || a.Effect != bastion.Deny { // who reaches something there sees masks
				for _, column := range someColumns {
					was, is := b.Mask.Source(column), a.Mask.Source(column)
					kind := policy.Masked
					if is > was {
						kind = policy.Unmasked
					}
					if was != is && !slices.ContainsFunc(d.Changes, func(c policy.Change) bool { return c.Kind == kind && strings.Contains(c.Targets, target) }) {
						t.Fatalf("%s, column %s: %s before and %s after, and nothing of that in:\n%s", who.Groups, column, was, is, lines(d))
					}
				}
			}
			if verdict(b) == verdict(a) {
				continue
			}
			if !slices.ContainsFunc(d.Changes, func(c policy.Change) bool { return strings.Contains(c.Targets, target) }) {
				t.Fatalf("%s, %+v: %s before and %s after, and nothing of that in:\n%s", who.Groups, op.Intent(), verdict(b), verdict(a), lines(d))
			}
		}
	})
}

// verdict is all of a decision that a person meets.
func verdict(d bastion.Decision) string {
	if d.Effect == bastion.Deny {
		return "deny"
	}
	return fmt.Sprint(d.Effect, d.Needs, d.Within, d.Holds, d.Fresh, d.OtherTeam, d.Try)
}

// What is compared must be all that a decision depends on: a new field here has to be
// thought about in difference.go, too.
func TestDifferenceKnowsTheFile(t *testing.T) {
	for _, c := range []struct {
		of    any
		known string
	}{
		{policy.File{}, "Pos Version Roles Columns Values Functions Bundles Teams Separation Apart Problems"},
		{policy.Role{}, "Name Groups Services Duties"},
		{policy.Label{}, "Name Targets Columns Mask Lookup Probe Approvals"},
		{policy.Detector{}, "Name Targets Detect Mask"},
		{policy.Trust{}, "Name Targets Trust"},
		{policy.Bundle{}, "Name Roles Except Targets Clear Fresh Rules Request Emergency Lifts"},
		{policy.Rule{}, "Name Verbs On Columns Rows Effect Reason Next Approvals Within Holds OtherTeam Preview"},
		{policy.Approval{}, "Pos Count Role Any"},
	} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(c.of)) {
			if !slices.Contains(strings.Fields(c.known), f.Name) {
				t.Errorf("%T has a field %s", c.of, f.Name)
			}
		}
	}
}

func TestPossible(t *testing.T) {
	change := op(itself, "policy-change")
	if !changedDemo(t).Possible(change) {
		t.Error("under the demo's policy nobody can propose another")
	}
	rule := "verbs: [policy-change]\n        effect: ask"
	for name, pairs := range map[string][]string{
		"denied":      {rule + "\n        approvals: [{ count: 2, role: reviewer }]\n        within: 24h", "verbs: [policy-change]\n        effect: deny"},
		"no way in":   {"verbs: [connect, policy-read]", "verbs: [policy-read]"},
		"no executor": {"deployer: { groups: [deployers], duties: [design, execute] }", "deployer: { groups: [deployers], duties: [design] }"},
	} {
		if changedDemo(t, pairs...).Possible(change) {
			t.Errorf("%s: somebody could", name)
		}
	}
	var none *policy.Policy
	if none.Possible(change) {
		t.Error("without a policy somebody could")
	}
}

func TestFloor(t *testing.T) {
	for _, c := range []struct{ rule, says string }{
		{"effect: ask, approvals: [{ role: boss }]", ""},
		{"effect: allow", "4:60: rule \"r\" would let somebody change the policy alone"},
		{"effect: deny", "warning: no rule lets anybody propose"},
		{"effect: ask", "asks nobody"},
		{"effect: ask, approvals: [{ role: boss }], holds: 1h", "used once"},
	} {
		text := "version: 1\nroles: { boss: { groups: [b], duties: [approve] } }\nbundles:\n  - { name: b, roles: [boss], targets: all, rules: [{ name: r, verbs: [policy-change], " + c.rule + " }] }\n"
		got := policy.Floor(config.ParsePolicy("policy.yaml", []byte(text)))
		if c.says == "" && len(got) > 0 || c.says != "" && !strings.Contains(fmt.Sprint(got), strings.TrimPrefix(c.says, "4:60: ")) {
			t.Errorf("%s: %v, want %q", c.rule, got, c.says)
		}
	}
}
