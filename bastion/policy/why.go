package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
)

// why explains a denial by no rule: what was missing, and where to turn.
func (p *Policy) why(v *view, target string, q *question) (reason, next string) {
	if len(q.actions) == 0 {
		return "the operation was read into nothing that a rule could allow", "write it differently"
	}
	a := q.actions[0]
	for i, m := range q.means {
		if !m.of(q, q.actions[i]).granted {
			a = q.actions[i]
			break
		}
	}
	what := describe(a, target)
	switch {
	case len(v.held) == 0:
		return "you hold no role here, so you may not " + what, "ask whoever manages your groups for one that the policy maps to a role"
	case !slices.Contains(v.class.verbs, a.Verb):
		return fmt.Sprintf("targets of kind %s know no operation %s", quote(v.class.kind), quote(string(a.Verb))), "tell whoever runs the bastion"
	case !v.acts:
		return fmt.Sprintf("you may not %s: %s does not come with the duty execute", what, roleList(v.held)), "ask somebody whose role executes"
	}
	reason = fmt.Sprintf("no rule lets %s %s", roleList(v.held), what)
	if next = v.offered(q, a); next != "" {
		return reason, next
	}
	if near := v.nearly(a); near != nil {
		if near.rows != anyRows {
			reason = joined(reason, q.expected())
		}
		return reason, fmt.Sprintf("rule %s covers only %s", near.name, near.extent())
	}
	var names, roles []string
	for _, r := range v.class.rules[a.Verb] {
		if exact, _ := r.matches(a.Resource, ""); !exact || r.effect == bastion.Deny || r.bundle.byGrant() || !q.mayGrant(r, a) {
			continue
		}
		for i, role := range p.roles {
			switch {
			case !r.bundle.roles.has(i) || !p.execute.has(i):
			case slices.Contains(v.held, role.Name): // an exception keeps it from them
				next = fmt.Sprintf("bundle %s would let you, but leaves out whoever also holds %s", r.bundle.name, p.exception(r.bundle, v.held))
			case r.limited():
				names, roles = append(names, r.name), append(roles, role.Name)
			default: // which is more to the point
				names, roles = slices.Insert(names, 0, r.name), append(roles, role.Name)
			}
		}
	}
	slices.Sort(roles)
	switch roles = slices.Compact(roles); {
	case next != "":
		return reason, next
	case len(roles) > 0:
		return reason, fmt.Sprintf("%s may, by rule %s; ask somebody who holds it", roleList(roles), names[0])
	}
	return reason, "no role may; whoever keeps the policy can add a rule"
}

// offered says which access would grant the action, of that which can be asked for,
// or nothing.
func (v *view) offered(q *question, a bastion.Action) string {
	for _, b := range v.class.bundles {
		if v.offers[b.name] != b || slices.Contains(v.by, b) || !slices.ContainsFunc(b.rules, func(r *rule) bool {
			exact, _ := r.matches(a.Resource, "")
			return exact && r.effect != bastion.Deny && slices.Contains(r.verbs, a.Verb) && q.mayGrant(r, a)
		}) {
			continue
		}
		if t := b.request; t != nil {
			return fmt.Sprintf("ask for access %s, which lasts %s at most and takes %s", b.name, bastion.Span(t.Max), t.Needs)
		}
		return fmt.Sprintf("in an emergency, take access %s for %s; people are told at once, and it is reviewed", b.name, bastion.Span(b.emergency.Max))
	}
	return ""
}

// nearly finds a rule that grants the verb, but not all of the action: one for
// its object if there is one, else one for whatever it touches of another.
func (v *view) nearly(a bastion.Action) *rule {
	var near *rule
	for _, l := range v.lines[a.Verb] {
		if !l.grants || l.effect == bastion.Deny {
			continue
		}
		if exact, _ := l.matches(a.Resource, ""); exact {
			return l.rule
		}
		if near == nil || near.limited() && !l.limited() {
			near = l.rule
		}
	}
	return near
}

// mayGrant reports whether a rule's limits leave a part of the action to grant.
func (q *question) mayGrant(r *rule, a bastion.Action) bool {
	_, grants := q.holds(r, a)
	return grants
}

// expected says what is known of the rows that the operation touches.
func (q *question) expected() string {
	switch {
	case !q.asked:
		return ""
	case q.rows < 0:
		return "how many rows it touches is not known, so the strictest holds"
	}
	return "the target expects it to touch " + countRows(q.rows)
}

// extent says what a rule covers, as in "covers only ...".
func (r *rule) extent() string {
	var parts []string
	if len(r.on) > 0 {
		parts = append(parts, patterns(r.on))
	}
	if len(r.columns) > 0 {
		parts = append(parts, "columns "+patterns(r.columns))
	}
	if r.rows != anyRows {
		parts = append(parts, r.rows.String())
	}
	return strings.Join(parts, ", ")
}

// joined puts two pieces of an explanation together.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// exception names the held roles that a bundle excepts.
func (p *Policy) exception(b *bundle, held []string) string {
	var names []string
	for i, r := range p.roles {
		if b.except.has(i) && slices.Contains(held, r.Name) {
			names = append(names, r.Name)
		}
	}
	return roleList(names)
}

// describe says what an action would do, as in "you may not ...".
func describe(a bastion.Action, target string) string {
	switch {
	case a.Verb == bastion.Connect:
		return "connect to " + quote(target)
	case a.Resource == "":
		return quote(string(a.Verb)) + " on " + quote(target)
	}
	return quote(string(a.Verb)) + " " + quote(a.Resource) + " on " + quote(target)
}

// quote makes a name that others chose safe to show.
func quote(s string) string {
	if s == "" {
		return `""`
	}
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return bastion.VisibleLine(s)
}

func roleList(names []string) string {
	switch {
	case len(names) == 1:
		return "role " + names[0]
	case len(names) > 5:
		return "roles " + strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return "roles " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func patterns(on []pattern) string {
	var s []string
	for _, p := range on {
		s = append(s, p.text)
	}
	if len(s) > 5 {
		s = append(s[:5], fmt.Sprintf("%d more", len(s)-5))
	}
	return strings.Join(s, ", ")
}
