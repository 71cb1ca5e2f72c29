package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// Explanation is what would happen to an operation, and why.
type Explanation struct {
	Who      bastion.Identity
	Target   string
	Decision bastion.Decision
	Roles    []bastion.Role
	Actions  []ActionExplained
	Columns  []ColumnExplained
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
	_, v := p.look(who, t)
	if v == nil {
		return e
	}
	intent := op.Intent()
	for _, a := range intent.Actions {
		x := ActionExplained{Action: a}
		v.weigh([]bastion.Action{a}, func(_ bastion.Action, l line) {
			m := Match{Rule: l.name, Pos: l.pos, Effect: l.effect}
			exact, _ := l.matches(a.Resource, "")
			switch {
			case l.effect == bastion.Deny:
			case !l.grants:
				m.Note = "grants nothing by itself: the role lacks the duty execute"
			case !exact:
				m.Note = "grants nothing by itself: the name is matched only if its capitals or dots are read loosely"
			}
			x.Matches = append(x.Matches, m)
		})
		e.Actions = append(e.Actions, x)
	}
	seen := map[string]bool{}
	column := func(name string) {
		if k := v.mask.Source(name); k != mask.Clear && !seen[name] {
			seen[name] = true
			e.Columns = append(e.Columns, ColumnExplained{name, k})
		}
	}
	for _, o := range intent.Outputs {
		for _, s := range o.Sources {
			column(s)
		}
	}
	for _, probe := range intent.Probes {
		column(probe.Column)
	}
	return e
}

// String is the explanation for people, in a few lines without a newline at the end.
func (e Explanation) String() string {
	var b strings.Builder
	var roles []string
	for _, r := range e.Roles {
		roles = append(roles, r.Name)
	}
	d := e.Decision
	fmt.Fprintf(&b, "%s on %s: %s", quote(e.Who.Name), quote(e.Target), d.Effect)
	if d.Rule != "" {
		fmt.Fprintf(&b, " by rule %s", d.Rule)
	}
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "\n  %-9s %s", name, bastion.VisibleLine(value))
		}
	}
	field("reason", d.Reason)
	field("next", d.Next)
	if d.Effect == bastion.Ask {
		field("needs", d.Needs.String())
		field("open for", short(d.Within))
		if d.Holds > 0 {
			field("holds", short(d.Holds))
		} else {
			field("holds", "once")
		}
	}
	if d.Fresh > 0 {
		field("sign-in", "less than "+short(d.Fresh)+" old")
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
	for _, c := range e.Columns {
		field("masked", c.Column+" ("+c.Mask.String()+")")
	}
	return b.String()
}

// short writes a duration without the zeros that Go adds.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
