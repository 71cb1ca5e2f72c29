package policy_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/policy"
)

var weakGroups = []string{"developers", "operators", "writers", "reviewers", "seniors", "team-shop"}

// weak is a policy with every weakness that the analysis finds.
func weak(t testing.TB) *policy.Policy {
	c := world()
	c.Groups = weakGroups
	c.Owners = map[string]string{"ci-bot": "rita@shop.example"}
	return parse(t, string(read(t, testdata+"weak.yaml")), c)
}

func told(a policy.Analysis) string {
	var b strings.Builder
	for _, p := range a.Problems {
		fmt.Fprintln(&b, p)
	}
	for _, x := range a.Alone {
		fmt.Fprintln(&b, "alone:", x)
	}
	return b.String()
}

func mailed(name string, groups ...string) bastion.Identity {
	p := person(name, groups...)
	p.Email = name + "@shop.example"
	return p
}

func TestAnalysis(t *testing.T) {
	c := world()
	c.Groups, c.Targets = nil, append(c.Targets, blog, frozen)
	demo := load(t, "demo.yaml", world())
	for _, x := range []struct {
		name   string
		policy *policy.Policy
		people []bastion.Identity
	}{
		{"demo", demo, nil},
		{"demo-people", demo, []bastion.Identity{mailed("alice", "deployers"), mailed("rita", "reviewers"), mailed("axel", "auditors"), mailed("ben", "deployers", "reviewers")}},
		{"demo-two-people", demo, []bastion.Identity{mailed("alice", "deployers"), mailed("rita", "reviewers"), mailed("eve", "deployers", "auditors"), ciBot, {}}},
		{"teams", load(t, "teams.yaml", c), nil},
		{"weak", weak(t), nil},
		{"weak-people", weak(t), []bastion.Identity{mailed("rita", "reviewers"), mailed("rita2", "reviewers"), mailed("dora", "developers", "writers"), mailed("olaf", "operators", "reviewers"), mailed("sam", "seniors", "developers")}},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := told(x.policy.Analyse(x.people))
			golden(t, x.name+".analysis", strings.ReplaceAll(got, testdata, ""))
			if again := told(x.policy.Analyse(x.people)); again != got {
				t.Errorf("another time it says\n%s", again)
			}
		})
	}
}

// Nobody approves for themselves, by whatever account, and a team is told apart.
func TestAnalysisCountsPeople(t *testing.T) {
	const text = `
version: 1
teams: ["team-*"]
roles:
  dev:  { groups: [dev], duties: [execute] }
  boss: { groups: [boss], duties: [approve] }
  peer: { groups: [peer], duties: [approve] }
bundles:
  - name: a
    roles: [dev]
    targets: all
    rules:
      - { name: all, verbs: [connect], effect: allow }
      - { name: two, verbs: [insert], effect: ask, approvals: [{ count: 2, any: [boss, peer] }] }
      - { name: both, verbs: [update], effect: ask, approvals: [{ role: boss }, { role: peer }] }
      - { name: other, verbs: [delete], effect: ask, approvals: [{ role: boss }], other_team: true }
`
	p := parse(t, text, all())
	asker := mailed("dora", "dev", "team-a")
	twin := person("dora2", "boss")
	twin.Email = "DORA@shop.example"
	for _, c := range []struct {
		name   string
		people []bastion.Identity
		want   []string // what cannot be had
	}{
		{"nobody else", []bastion.Identity{asker}, []string{"a/two", "a/both", "a/other"}},
		{"a second account", []bastion.Identity{asker, twin}, []string{"a/two", "a/both", "a/other"}},
		{"one with both roles", []bastion.Identity{asker, mailed("x", "boss", "peer", "team-b")}, []string{"a/two", "a/both"}},
		{"two of a kind", []bastion.Identity{asker, mailed("x", "boss", "team-b"), mailed("y", "boss")}, []string{"a/both"}},
		{"one of each", []bastion.Identity{asker, mailed("x", "boss", "team-b"), mailed("y", "peer")}, nil},
		{"one of each, in no team", []bastion.Identity{asker, mailed("x", "boss"), mailed("y", "peer")}, []string{"a/other"}},
		{"one of each, in the same team", []bastion.Identity{asker, mailed("x", "boss", "team-a", "team-b"), mailed("y", "peer", "team-a")}, []string{"a/other"}},
		{"who asks counts for others", []bastion.Identity{asker, mailed("x", "boss", "dev"), mailed("y", "peer")}, []string{"a/two", "a/both", "a/other"}}, // when x asks
		{"nobody asks", []bastion.Identity{mailed("x", "boss")}, nil},
	} {
		var got []string
		for _, w := range p.Analyse(c.people).Problems {
			for _, rule := range []string{"a/two", "a/both", "a/other"} {
				if strings.Contains(w.Message, "cannot be had") && strings.Contains(w.Message, "rule "+rule) {
					got = append(got, rule)
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q\n%v", c.name, got, c.want, p.Analyse(c.people).Problems)
		}
	}
}

func TestMatrix(t *testing.T) {
	c := world()
	c.Groups, c.Targets = nil, append(c.Targets, blog, frozen)
	for name, p := range map[string]*policy.Policy{"demo": load(t, "demo.yaml", world()), "teams": load(t, "teams.yaml", c), "weak": weak(t)} {
		m := p.Matrix()
		var text, table strings.Builder
		if err := m.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".matrix", text.String())
		if err := m.WriteCSV(&table); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(table.String())).ReadAll()
		if err != nil || len(rows) != len(m.Rows)+1 {
			t.Errorf("%s: %d rows of %d, %v", name, len(rows), len(m.Rows), err)
		}
		data, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".matrix.json", string(data)+"\n")
		// What a cell says is what happens to somebody with the role alone.
		for _, r := range m.Rows {
			who := person("m", groupsOf(t, name, r.Role)...)
			if len(p.Roles(who)) != 1 {
				continue // its group brings more
			}
			for _, on := range []bastion.Target{staging, production, itself} {
				if !slices.Contains(r.Targets, on.Name) {
					continue
				}
				for _, cell := range slices.Concat(r.Connect, r.Read, r.Write, r.Schema, r.Admin) {
					for _, verb := range cell.Verbs {
						a := p.Access(who, on)
						if connect := p.Decide(who, op(on, "connect")).Effect; cell.How == "allow" && verb != bastion.Connect && connect != bastion.Deny && !slices.Contains(a.Allow, verb) {
							t.Errorf("%s: %s may %s on %s by the matrix, and not by %+v", name, r.Role, verb, on.Name, a)
						}
						if d := p.Decide(who, op(on, string(verb)+" public.orders").Estimated(1)); cell.How == "deny" && d.Effect != bastion.Deny {
							t.Errorf("%s: %s may not %s on %s by the matrix, and does: %+v", name, r.Role, verb, on.Name, d)
						}
					}
				}
			}
		}
	}
	var none *policy.Policy
	if m := none.Matrix(); len(m.Rows) > 0 {
		t.Error("no policy has a matrix")
	}
	if a := none.Analyse(nil); len(a.Alone)+len(a.Problems) > 0 {
		t.Error("no policy has an analysis")
	}
}

// groupsOf is a group that brings a role.
func groupsOf(t *testing.T, file, role string) []string {
	for _, r := range config.LoadPolicy(testdata + file + ".yaml").Roles {
		if r.Name.Text == role && len(r.Groups) > 0 {
			return []string{r.Groups[0].Text}
		}
	}
	return nil
}

// A cell that a spreadsheet would compute is a text.
func TestMatrixIsNoFormula(t *testing.T) {
	c := world()
	c.Targets = []bastion.Target{target("=cmd", "app=shop"), target("@x\x1b[2J", "app=shop")}
	c.Groups = nil
	p := parse(t, header+"  - { name: a, roles: [dev], targets: { app: shop }, rules: [{ name: r, verbs: [connect], effect: allow }] }\n", c)
	var b strings.Builder
	if err := p.Matrix().WriteCSV(&b); err != nil || !strings.Contains(b.String(), `"'=cmd, @x<U+001B>[2J"`) {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// The work is bounded: a policy of 1,000 rules and 10,000 targets is analysed, and one
// that is made to take long is analysed in part, and says so.
func TestAnalysisIsBounded(t *testing.T) {
	p, _, _ := large(t)
	began := time.Now()
	a, m := p.Analyse(nil), p.Matrix()
	t.Logf("%d problems, %d lines of who is alone, %d rows in %s", len(a.Problems), len(a.Alone), len(m.Rows), time.Since(began))
	if len(a.Alone) == 0 || len(m.Rows) < 200 || m.Partial {
		t.Errorf("%d lines of who is alone, %d rows, partial: %v", len(a.Alone), len(m.Rows), m.Partial)
	}

	f := policy.File{Pos: at, Version: policy.Number{N: 1, Pos: at}}
	c := policy.Context{Verbs: map[string][]bastion.VerbInfo{"postgres": postgres}}
	for i := range 100 {
		name := fmt.Sprint("r", i)
		f.Roles = append(f.Roles, policy.Role{Name: word(name), Groups: words(name), Duties: words("execute")})
		c.Targets = append(c.Targets, target(name, "n="+name, "m="+fmt.Sprint(i%2)))
		b := policy.Bundle{Name: word(name), Roles: words(name), Targets: policy.Selector{Pos: at, Requires: []policy.Requirement{{Key: word("n"), Values: words(name)}}}}
		all := policy.Bundle{Name: word("all-" + name), Roles: words(name), Targets: policy.Selector{Pos: at, All: true}}
		for j := range 10 {
			r := policy.Rule{Name: word(fmt.Sprint("n", j)), Effect: word("allow"), On: words(fmt.Sprintf("s%d.t%d", i, j), fmt.Sprintf("x%d.*", j))}
			for _, v := range postgres {
				r.Verbs = append(r.Verbs, word(string(v.Verb)))
			}
			b.Rules, all.Rules = append(b.Rules, r), append(all.Rules, r)
		}
		if i%2 == 0 {
			all.Rules[0].On, all.Rules[0].Verbs = nil, words("connect")
		}
		f.Bundles = append(f.Bundles, b, all)
	}
	hard, problems := policy.New(f, c)
	if hard == nil {
		t.Fatal(problems.Err())
	}
	began = time.Now()
	a, m = hard.Analyse(nil), hard.Matrix()
	t.Logf("the hard one: %d problems, %d rows in %s", len(a.Problems), len(m.Rows), time.Since(began))
	if !m.Partial || !slices.ContainsFunc(a.Problems, func(p policy.Problem) bool { return strings.Contains(p.Message, "not all of it was analysed") }) {
		t.Errorf("partial: %v, %v", m.Partial, a.Problems)
	}
}

// Who can choose between roles is looked at in each of them: what one can do alone in
// either is told, and they count among those who can approve.
func TestAnalyseChoices(t *testing.T) {
	c := world()
	c.Groups = nil
	p := parse(t, `version: 1
roles:
  dev:  { groups: [devs], duties: [execute] }
  boss: { groups: [bosses], duties: [approve, execute] }
separation:
  - { name: hats, roles: [dev, boss], conflict: choose }
bundles:
  - { name: write, roles: [dev], targets: all, rules: [{ name: all, verbs: [connect, update], effect: allow }, { name: more, verbs: [delete], effect: ask, approvals: [{ role: boss }] }] }
  - { name: drop, roles: [boss], targets: all, rules: [{ name: all, verbs: [connect, drop], effect: allow }] }
`, c)
	for _, x := range []struct {
		name   string
		people []bastion.Identity
		want   []string
		not    []string
	}{
		{"both hats", []bastion.Identity{mailed("hana", "devs", "bosses"), mailed("dora", "devs")},
			[]string{`separation "hats": hana holds roles dev and boss, and has to choose one of them when signing in`, "alone: hana, dora (dev)", "alone: hana (boss) on", "cannot be had when hana asks"}, []string{"refused", "when dora"}},
		{"groups", nil, []string{"alone: group devs (dev)", "alone: group bosses (boss)"}, []string{"can do alone on"}},
	} {
		got := told(p.Analyse(x.people))
		for _, w := range x.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: not told %q:\n%s", x.name, w, got)
			}
		}
		for _, w := range x.not {
			if strings.Contains(got, w) {
				t.Errorf("%s: told %q:\n%s", x.name, w, got)
			}
		}
	}
}

// Two groups are told of together where one brings the connection and the other the
// change, and not where the other one needs nobody for either.
func TestAnalyseTogether(t *testing.T) {
	c := world()
	c.Groups = nil
	for connects, want := range map[string]bool{"": true, "connect, ": false} {
		got := told(parse(t, `version: 1
roles:
  reach:  { groups: [reachers], duties: [execute] }
  change: { groups: [changers], duties: [execute] }
bundles:
  - { name: in, roles: [reach], targets: all, rules: [{ name: all, verbs: [connect], effect: allow }] }
  - { name: do, roles: [change], targets: all, rules: [{ name: all, verbs: [`+connects+`update], effect: allow }] }
`, c).Analyse(nil))
		if together := strings.Contains(got, "whoever is in group reachers and in group changers can do alone on"); together != want {
			t.Errorf("with verbs %supdate:\n%s", connects, got)
		}
		if alone := strings.Contains(got, "alone: group changers (change)"); alone == want {
			t.Errorf("with verbs %supdate:\n%s", connects, got)
		}
	}
}

// An emergency of which nobody would hear outside of a session is warned of.
func TestUnheardEmergency(t *testing.T) {
	for _, unheard := range []bool{true, false} {
		c := world()
		c.Unheard = unheard
		_, problems := policy.New(config.ParsePolicy("demo.yaml", read(t, testdata+"demo.yaml")), c)
		if got := strings.Contains(fmt.Sprint(problems), `who takes bundle "break-glass" in an emergency alarms nobody outside of a session`); got != unheard || problems.Err() != nil {
			t.Errorf("unheard %v: %v", unheard, problems)
		}
	}
}

// A role that does only a part of what a separated one does still gets around the
// separation in that part: by deciding the same, or by the duty to audit.
func TestAnalyseBypassInPart(t *testing.T) {
	c := world()
	c.Groups = nil
	for name, x := range map[string]struct{ roles, separation, want string }{
		"decides some of it": {"lead: { groups: [leads], duties: [approve] }", "{ name: apart, roles: [dev, boss] }",
			`separation "apart" can be got around in part with roles dev and lead: role lead decides rule write/one, as role boss does`},
		"decides all of it": {"lead: { groups: [leads], duties: [approve] }\n  unused: { groups: [u], duties: [execute] }", "{ name: apart, roles: [unused, lead] }",
			`separation "apart" can be got around with roles boss and unused: role boss can do all that role lead can`},
		"audits": {"lead: { groups: [leads], duties: [approve] }\n  auditor: { groups: [a], duties: [audit] }\n  peeper: { groups: [p], duties: [audit, execute] }", "{ name: apart, roles: [dev, peeper] }",
			`separation "apart" can be got around in part with roles auditor and dev: role auditor audits, as role peeper does`},
		"is separated too": {"lead: { groups: [leads], duties: [approve] }", "{ name: apart, roles: [dev, boss] }\n  - { name: more, roles: [dev, lead] }", ""},
	} {
		got := told(parse(t, `version: 1
roles:
  dev:  { groups: [devs], duties: [execute] }
  boss: { groups: [bosses], duties: [approve] }
  `+x.roles+`
separation:
  - `+x.separation+`
bundles:
  - name: write
    roles: [dev]
    targets: all
    rules:
      - { name: one, verbs: [connect, update], effect: ask, approvals: [{ any: [boss, lead] }] }
      - { name: two, verbs: [delete], effect: ask, approvals: [{ role: boss }] }
`, c).Analyse(nil))
		if around := strings.Contains(got, "got around"); x.want == "" && around || !strings.Contains(got, x.want) {
			t.Errorf("%s:\n%s\nwant %q", name, got, x.want)
		}
	}
}

// Two who may take an emergency and close the review of it do so for each other.
func TestAccomplices(t *testing.T) {
	text := string(read(t, testdata+"demo.yaml"))
	lax := strings.Replace(text, "reviews: [{ count: 1, role: auditor }]", "reviews: [{ count: 1, role: reviewer }]", 1)
	both := strings.Replace(lax, "reviewer: { groups: [reviewers], duties: [approve] }", "reviewer: { groups: [reviewers, deployers], duties: [approve] }", 1)
	alice, rita, ben := mailed("alice", "deployers"), mailed("rita", "reviewers"), mailed("ben", "deployers", "reviewers")
	eve, ben2 := mailed("eve", "reviewers", "deployers"), mailed("ben2", "deployers", "reviewers")
	ben2.Email = ben.Email
	for _, x := range []struct {
		text   string
		people []bastion.Identity
		want   string
	}{
		{text, []bastion.Identity{alice, rita, ben, eve}, ""},
		{lax, []bastion.Identity{alice, rita, ben, ben2}, ""},
		{lax, []bastion.Identity{alice, rita, ben, eve}, "ben, eve can take bundle \"break-glass\" in an emergency and can close the reviews of that"},
		{lax, nil, ""},
		{both, nil, "whoever is in group deployers can take bundle \"break-glass\""},
	} {
		got := told(parse(t, x.text, world()).Analyse(x.people))
		if strings.Contains(got, "and can close the reviews") != (x.want != "") || !strings.Contains(got, x.want) {
			t.Errorf("%d people: want %q in\n%s", len(x.people), x.want, got)
		}
	}
}
