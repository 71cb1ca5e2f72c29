package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// MaskedColumn is the rule that decisions name where an operation would read a
// masked column by the back door of a filter or an order.
const MaskedColumn = "masked-column"

// Decide says what happens to the operation if this identity wants it. Of all
// rules that match an action the strictest decides, and of all actions of an
// operation the strictest decides again. What no rule grants is denied. The mask
// rules come with every decision about a target that the policy knows.
func (p *Policy) Decide(who bastion.Identity, op bastion.Operation) bastion.Decision {
	t := op.Target()
	c, v := p.look(who, t)
	if v == nil {
		return bastion.Decision{Reason: fmt.Sprintf("the policy does not know target %s as it is", quote(t.Name)), Next: "tell whoever runs the bastion"}
	}
	intent := op.Intent()
	d := v.weigh(intent.Actions, nil)
	d.Mask = v.mask
	if d.Effect == bastion.Deny {
		if d.Rule == "" {
			d.Reason, d.Next = p.why(c, v, t, intent.Actions)
		}
		return d
	}
	if column, hidden := peeks(v.mask, intent.Probes); hidden {
		return p.peeking(c, v, column)
	}
	return d
}

// weigh combines what the lines say of all actions. Its answer names no rule
// where none grants. seen, which may be nil, is told of every match.
func (v *view) weigh(actions []bastion.Action, seen func(bastion.Action, line)) bastion.Decision {
	d := bastion.Decision{Effect: bastion.Allow}
	var decides *rule
	uncovered := len(actions) == 0
	asked := false
	for _, a := range actions {
		granted := false
		folded := strings.ToLower(a.Resource)
		for _, l := range v.lines[a.Verb] {
			exact, perhaps := l.matches(a.Resource, folded)
			if !perhaps || !exact && l.effect == bastion.Allow {
				continue
			}
			if seen != nil {
				seen(a, l)
			}
			granted = granted || exact && l.grants && l.effect != bastion.Deny
			if f := l.bundle.fresh; f > 0 && l.effect != bastion.Deny && (d.Fresh == 0 || f < d.Fresh) {
				d.Fresh = f
			}
			if l.effect == bastion.Ask {
				d.Needs = union(d.Needs, l.needs)
				if !asked || l.within < d.Within {
					d.Within = l.within
				}
				if !asked || l.holds < d.Holds {
					d.Holds = l.holds
				}
				asked = true
			}
			if decides == nil || l.effect < decides.effect || l.effect == decides.effect && l.order < decides.order {
				decides = l.rule
			}
		}
		uncovered = uncovered || !granted
	}
	switch {
	case decides != nil && decides.effect == bastion.Deny:
		return bastion.Decision{Rule: decides.name, Reason: decides.reason, Next: decides.next}
	case uncovered || decides == nil:
		return bastion.Decision{}
	}
	d.Effect, d.Rule, d.Reason, d.Next = decides.effect, decides.name, decides.reason, decides.next
	return d
}

// matches reports whether the rule speaks of the resource beyond doubt, and
// whether it perhaps does.
func (r *rule) matches(resource, folded string) (exact, perhaps bool) {
	if len(r.on) == 0 {
		return true, true
	}
	for i := range r.on {
		p := &r.on[i]
		if p.exact(resource) {
			return true, true
		}
		perhaps = perhaps || p.perhaps(folded)
	}
	return false, perhaps
}

// peeks finds a masked column whose values the operation could find out without
// showing them.
func peeks(rules mask.Rules, probes []bastion.Probe) (string, bool) {
	for _, p := range probes {
		if rules.Source(p.Column) != mask.Clear && !(p.Equality && rules.Lookup(p.Column)) {
			return p.Column, true
		}
	}
	return "", false
}

// peeking is the refusal of an operation that filters or orders by a masked column,
// or moves it out from under its label.
func (p *Policy) peeking(c *class, v *view, column string) bastion.Decision {
	d := bastion.Decision{Rule: MaskedColumn, Mask: v.mask,
		Reason: fmt.Sprintf("column %s is masked for you, and filtering, joining, grouping or ordering by it, computing with it, copying or renaming it would tell its values", quote(column)),
		Next:   "leave it out of everything but the list of shown columns"}
	if strings.Count(column, ".") < 2 { // it has no name, as in the answer of a function
		d.Reason = "the operation uses something that cannot be looked into, such as the answer of a function or a system catalog, in more than the list of shown columns, and masked values could be in it"
		d.Next = "show it as it is, or leave it out"
	} else if v.mask.Lookup(column) {
		d.Next = "compare it with = and a constant: that is allowed for this column"
	} else if roles := p.clearedFor(c, column); len(roles) > 0 {
		d.Next += ", or have it run by somebody with " + roleList(roles) + ", who may see it"
	}
	return d
}

// clearedFor lists the roles to which a bundle shows everything of a column.
func (p *Policy) clearedFor(c *class, column string) []string {
	var names []string
	for i, r := range p.roles {
		held := newBits(len(p.roles))
		held.set(i)
		if p.masks(c, held).Source(column) == mask.Clear {
			names = append(names, r.Name)
		}
	}
	return names
}

// why explains a denial by no rule: what was missing, and where to turn.
func (p *Policy) why(c *class, v *view, t bastion.Target, actions []bastion.Action) (reason, next string) {
	if len(actions) == 0 {
		return "the operation was read into nothing that a rule could allow", "write it differently"
	}
	var a bastion.Action
	for _, a = range actions {
		if v.weigh([]bastion.Action{a}, nil).Effect == bastion.Deny {
			break
		}
	}
	what := describe(a, t.Name)
	switch {
	case len(v.held) == 0:
		return "you hold no role here, so you may not " + what, "ask whoever manages your groups for one that the policy maps to a role"
	case !slices.Contains(c.verbs, a.Verb):
		return fmt.Sprintf("targets of kind %s know no operation %s", quote(t.Kind), quote(string(a.Verb))), "tell whoever runs the bastion"
	case !v.acts:
		return fmt.Sprintf("you may not %s: %s does not come with the duty execute", what, roleList(v.held)), "ask somebody whose role executes"
	}
	reason = fmt.Sprintf("no rule lets %s %s", roleList(v.held), what)
	for _, l := range v.lines[a.Verb] {
		if l.grants && l.effect != bastion.Deny && len(l.on) > 0 {
			return reason, fmt.Sprintf("rule %s covers only %s", l.name, patterns(l.on))
		}
	}
	var names, roles []string
	for _, r := range c.rules[a.Verb] {
		if exact, _ := r.matches(a.Resource, ""); !exact || r.effect == bastion.Deny {
			continue
		}
		for i, role := range p.roles {
			switch {
			case !r.bundle.roles.has(i) || !p.execute.has(i):
			case slices.Contains(v.held, role.Name): // an exception keeps it from them
				next = fmt.Sprintf("bundle %s would let you, but leaves out whoever also holds %s", r.bundle.name, p.exception(r.bundle, v.held))
			default:
				names, roles = append(names, r.name), append(roles, role.Name)
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

// Access tells an identity what it may do on a target, before it asks. Verbs that
// rules grant on some resources only are listed by what the best of these
// resources takes, and the note names them. A target to which the identity may
// not connect gives the zero Access.
func (p *Policy) Access(who bastion.Identity, t bastion.Target) bastion.Access {
	_, v := p.look(who, t)
	if v == nil {
		return bastion.Access{}
	}
	a := v.access()
	a.Allow, a.Ask = slices.Clone(a.Allow), slices.Clone(a.Ask)
	return a
}

// survey works out the access of a view, by trying each verb on a resource for
// each pattern that rules have, and on one that none of them names.
func (v *view) survey(verbs []bastion.Verb) bastion.Access {
	try := func(verb bastion.Verb, resource string) bastion.Effect {
		return v.weigh([]bastion.Action{{Verb: verb, Resource: resource}}, nil).Effect
	}
	var a bastion.Access
	if a.Connect = try(bastion.Connect, ""); a.Connect == bastion.Deny {
		return bastion.Access{}
	}
	var some []string
	for _, verb := range verbs {
		if verb == bastion.Connect {
			continue
		}
		best := try(verb, "")
		worst := best
		for _, l := range v.lines[verb] {
			for _, p := range l.on {
				// A name that no pattern holds by itself stands where the star was.
				e := try(verb, strings.ReplaceAll(p.text, "*", "\x00"))
				best, worst = max(best, e), min(worst, e)
			}
		}
		switch best {
		case bastion.Allow:
			a.Allow = append(a.Allow, verb)
		case bastion.Ask:
			a.Ask = append(a.Ask, verb)
		}
		if best != worst {
			some = append(some, string(verb))
		}
	}
	if some != nil {
		a.Note = "depends on the object: " + strings.Join(some, ", ")
	}
	return a
}
