package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// Explanation is what would happen to an operation, and why.
type Explanation struct {
	Who      bastion.Identity
	Target   string
	Decision bastion.Decision
	// Estimates is what the decision would be by the rows that the target expects,
	// where it depends on them and they are not known: fewest first, and at last
	// without an estimate.
	Estimates []EstimateExplained
	Roles     []bastion.Role
	Actions   []ActionExplained
	Columns   []ColumnExplained
	// Values are the detectors that look at what the operation shows.
	Values []string
	// Terms are the access to the target that can be asked for, and Had what was
	// granted for a time.
	Terms []bastion.Terms
	Had   []string
	// Trusted are functions of the operation that the policy trusts.
	Trusted []string
}

// EstimateExplained is the decision for some estimates: more than Over, UpTo at
// most. Unknown says that it is the one for no estimate instead.
type EstimateExplained struct {
	Over, UpTo int64
	Unknown    bool
	Decision   bastion.Decision
}

// ActionExplained is one action with every rule that spoke about it, in the
// order of the file.
type ActionExplained struct {
	Action  bastion.Action
	Matches []Match
}

// Match is a rule that speaks about an action.
type Match struct {
	Rule   string
	Pos    Pos
	Effect bastion.Effect
	// Note says what is special, such as that the rule grants nothing to these roles.
	Note string
}

// ColumnExplained is a column that the operation shows or reads, and how it is
// hidden from the identity.
type ColumnExplained struct {
	Column string
	Mask   mask.Kind
}

// Explain says what [Policy.Decide] would answer, and lists every rule that has a
// part in it.
func (p *Policy) Explain(who bastion.Identity, op bastion.Operation) Explanation {
	t := op.Target()
	e := Explanation{Who: who, Target: t.Name, Decision: p.Decide(who, op), Roles: p.Roles(who)}
	v := p.look(who, t.Name, op.Is)
	if v == nil {
		return e
	}
	e.Terms = v.terms()
	for _, b := range v.by {
		e.Had = append(e.Had, b.name)
	}
	intent := op.Intent()
	q := p.question(v, op, nil, nil)
	for _, a := range intent.Actions {
		x := ActionExplained{Action: a}
		mean := v.mean(a)
		for _, l := range mean.lines {
			if limits, _ := q.holds(l.rule, a); !limits {
				continue
			}
			m := Match{Rule: l.name, Pos: l.pos, Effect: l.effect, Note: l.condition()}
			switch {
			case l.effect == bastion.Deny:
			case len(l.lifted) > 0 && l.effect == bastion.Ask && mean.stands(&q, a, &l):
				m.Note = joined(m.Note, "does not ask, because access was granted that lifts it")
			case !l.grants:
				m.Note = joined(m.Note, "grants nothing by itself: the role lacks the duty execute")
			case !l.exact:
				m.Note = joined(m.Note, "grants nothing by itself: the name is matched only if its capitals or dots are read loosely")
			}
			x.Matches = append(x.Matches, m)
		}
		e.Actions = append(e.Actions, x)
	}
	if e.Decision.Estimate {
		e.Estimates = p.estimates(v, t.Name, q, intent.Probes)
	}
	trusted := func(name string) {
		if v.mask.Trusts(name) && !slices.Contains(e.Trusted, name) {
			e.Trusted = append(e.Trusted, name)
		}
	}
	seen := map[string]bool{}
	column := func(name string) {
		if k := v.mask.Source(name); k != mask.Clear && !seen[name] {
			seen[name] = true
			e.Columns = append(e.Columns, ColumnExplained{name, k})
		}
	}
	if len(intent.Outputs) > 0 {
		e.Values = v.values
	}
	for _, o := range intent.Outputs {
		for _, s := range o.Sources {
			column(s)
		}
		for _, f := range o.Opaque {
			trusted(f)
		}
	}
	for _, probe := range intent.Probes {
		column(probe.Column)
		trusted(probe.By)
	}
	return e
}

// estimates lists the decisions that estimates bring, one for each range in which
// it stays the same.
func (p *Policy) estimates(v *view, target string, q question, probes []bastion.Probe) []EstimateExplained {
	var es []EstimateExplained
	for _, q.rows = range q.steps(nil) {
		d := p.decide(v, target, &q, probes)
		if last := len(es) - 1; last < 0 || !same(es[last].Decision, d) || es[last].Decision.Rule != d.Rule {
			if last >= 0 {
				es[last].UpTo = q.rows - 1
			}
			es = append(es, EstimateExplained{Over: q.rows - 1, UpTo: math.MaxInt64, Decision: d})
		}
	}
	q.rows, q.asked = -1, true
	return append(es, EstimateExplained{Unknown: true, Decision: p.decide(v, target, &q, probes)})
}

// condition says what a rule wants of columns and rows, if anything.
func (r *rule) condition() string {
	bare := *r
	if bare.on = nil; !bare.limited() {
		return ""
	}
	return "only " + bare.extent()
}

// String is the explanation for people, in a few lines without a newline at the end.
func (e Explanation) String() string {
	var b strings.Builder
	var roles []string
	for _, r := range e.Roles {
		roles = append(roles, r.Name)
	}
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "\n  %-9s %s", name, bastion.VisibleLine(value))
		}
	}
	fmt.Fprintf(&b, "%s on %s: ", quote(e.Who.Name), quote(e.Target))
	d := e.Decision
	if e.Estimates == nil {
		b.WriteString(outcome(d))
		field("reason", d.Reason)
		field("next", d.Next)
		if d.Effect == bastion.Ask {
			field("needs", needed(d))
		}
	} else {
		b.WriteString("depends on how many rows the planner expects")
	}
	for _, x := range e.Estimates {
		when := "the planner expects " + span{x.Over, x.UpTo}.String()
		if x.Unknown {
			when = "the planner cannot tell"
		}
		fmt.Fprintf(&b, "\n  if %s: %s", when, outcome(x.Decision))
		if x.Decision.Effect == bastion.Ask {
			b.WriteString(", " + needed(x.Decision))
		}
		field("  reason", x.Decision.Reason)
		field("  next", x.Decision.Next)
		if d.Effect == bastion.Deny {
			d = x.Decision // which may have more to tell
		}
	}
	if d.Effect == bastion.Ask {
		field("open for", bastion.Span(d.Within))
		if d.Holds > 0 {
			field("holds", bastion.Span(d.Holds))
		} else {
			field("holds", "once")
		}
		if d.Try {
			field("preview", "approvers may have it run and taken back")
		}
	}
	if d.Fresh > 0 {
		field("sign-in", "less than "+bastion.Span(d.Fresh)+" old")
	}
	if roles == nil {
		roles = []string{"none"}
	}
	field("roles", strings.Join(roles, ", "))
	for _, a := range e.Actions {
		field("action", strings.TrimSpace(string(a.Action.Verb)+" "+a.Action.Resource))
		for _, m := range a.Matches {
			fmt.Fprintf(&b, "\n    %-5s %s (%s)", m.Effect, m.Rule, bastion.VisibleLine(m.Pos.String()))
			if m.Note != "" {
				b.WriteString(": " + m.Note)
			}
		}
		if len(a.Matches) == 0 {
			b.WriteString("\n    no rule of these roles matches, so it is denied")
		}
	}
	field("granted", strings.Join(e.Had, ", "))
	for _, t := range e.Terms {
		if t.Emergency {
			field("emergency", fmt.Sprintf("%s for %s at once, reviewed by %s", t.Bundle, bastion.Span(t.Max), counted(t.Needs)))
		} else {
			field("request", fmt.Sprintf("%s for %s at most, approved by %s", t.Bundle, bastion.Span(t.Max), counted(t.Needs)))
		}
	}
	for _, c := range e.Columns {
		field("masked", c.Column+" ("+c.Mask.String()+")")
	}
	field("values", strings.Join(e.Values, ", "))
	field("trusted", strings.Join(e.Trusted, ", "))
	return b.String()
}

// needed is what an asking decision takes.
func needed(d bastion.Decision) string {
	if d.OtherTeam {
		return d.Needs.String() + ", of another team"
	}
	return d.Needs.String()
}

// outcome is a decision in one line.
func outcome(d bastion.Decision) string {
	if d.Rule == "" {
		return d.Effect.String()
	}
	return d.Effect.String() + " by rule " + d.Rule
}
