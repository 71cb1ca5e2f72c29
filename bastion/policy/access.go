package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport/sallyport/bastion"
)

// compileTerms makes the terms of a bundle that is had for a time only.
func (b *bundle) compileTerms(from Bundle) {
	if r := from.Request; r.set() {
		b.request = &bastion.Terms{Bundle: b.name, Reason: r.Reason.Text, Max: r.Max.D, Needs: compileNeeds(r.Approvals), Within: r.Within.D, OtherTeam: r.OtherTeam}
		if !r.Within.set() {
			b.request.Within = DefaultWithin
		}
	}
	if e := from.Emergency; e.set() {
		b.emergency = &bastion.Terms{Bundle: b.name, Reason: e.Reason.Text, Max: e.For.D, Needs: compileNeeds(e.Reviews), Emergency: true}
	}
}

// takes reports whether what was granted is the bundle as the policy has it now.
func (b *bundle) takes(g *bastion.Grant) bool {
	if g.Emergency {
		return b.emergency != nil
	}
	return b.request != nil
}

type grantedKey struct {
	view   *view
	bundle *bundle
}

// with is the view of somebody who was granted access for a time. What was granted
// on other targets does not count, nor what the roles may not ask for any more.
func (p *Policy) with(v *view, grants []bastion.Grant, target string) *view {
	if len(grants) == 0 || len(v.offers) == 0 {
		return v
	}
	var some [8]*bundle
	by := some[:0]
	for i := range grants {
		g := &grants[i]
		if g.Target != target {
			continue
		}
		if b := v.offers[g.Bundle]; b != nil && b.takes(g) && !slices.Contains(by, b) {
			by = append(by, b)
		}
	}
	slices.SortFunc(by, func(a, b *bundle) int { return cmp.Compare(a.order, b.order) })
	for _, b := range by { // one by one, so that nothing need be made to look for it
		key := grantedKey{v, b}
		next, ok := p.granted.get(key)
		if !ok {
			next = p.view(v.class, v.set, append(slices.Clone(v.by), b)...)
			if p.granted.put(key, next, maxViews) {
				p.meanings.forget()
				p.uses.forget()
			}
		}
		v = next
	}
	return v
}

// stands reports whether bundles that were granted allow all of an action, so that a
// rule which they lift need not ask.
func (m *meaning) stands(q *question, a bastion.Action, asks *match) bool {
	var parts []*rule
	for i := range m.lines {
		l := &m.lines[i]
		if l.effect != bastion.Allow || !l.grants || !slices.Contains(asks.lifted, l.bundle) {
			continue // and an allow is among the lines if it matches beyond doubt
		}
		if !l.limited() {
			return true
		}
		if _, grants := q.holds(l.rule, a); grants {
			parts = append(parts, l.rule)
		}
	}
	return len(parts) > 0 && q.granted(a, parts, asks.rows)
}

// Terms lists the access to a target that the identity can ask for, in the order of
// the file: what somebody else has to approve, and what is taken at once in an
// emergency. It is asked for by those who have the bundle, through a role with the
// duty of execution.
func (p *Policy) Terms(who bastion.Identity, t bastion.Target) []bastion.Terms {
	v := p.look(who, t.Name, sameAs(t))
	if v == nil {
		return nil
	}
	return v.terms()
}

func (v *view) terms() []bastion.Terms {
	var all []bastion.Terms
	for _, b := range v.class.bundles {
		if v.offers[b.name] != b {
			continue
		}
		for _, t := range []*bastion.Terms{b.request, b.emergency} {
			if t != nil {
				offer := *t
				offer.Needs = union(nil, t.Needs)
				all = append(all, offer)
			}
		}
	}
	return all
}

// policyChange is the verb of putting another policy in force, on the target that
// is the policy itself.
const policyChange bastion.Verb = "policy-change"

// floor is below all rules: nobody changes the policy without the approval of
// somebody else, and an approval of it is for once.
func floor(actions []bastion.Action, d bastion.Decision) bastion.Decision {
	if d.Effect == bastion.Deny || !slices.ContainsFunc(actions, func(a bastion.Action) bool { return a.Verb == policyChange }) {
		return d
	}
	d.Holds = 0
	if d.Effect == bastion.Ask && len(d.Needs) > 0 {
		return d
	}
	return bastion.Decision{Rule: "floor", Reason: fmt.Sprintf("nobody changes the policy alone, and rule %s asks nobody", d.Rule),
		Next: "have whoever keeps the policy write effect: ask, with approvals"}
}

// Teams lists the teams that the identity is in, sorted: groups that the provider
// tells and the policy calls teams. A service is in none of its own.
func (p *Policy) Teams(who bastion.Identity) []string {
	if p == nil || who.Kind != bastion.Person || who.ID() == "" {
		return nil
	}
	var in []string
	for _, g := range who.Groups {
		if p.team(g) {
			in = append(in, g)
		}
	}
	slices.Sort(in)
	return slices.Compact(in)
}

// team reports whether a group is a team.
func (p *Policy) team(group string) bool {
	return slices.ContainsFunc(p.teams, func(pattern string) bool { return glob(pattern, group) })
}

// Apart lists sets of duties. In one task, nobody may have two of one set. That an
// approver is not the requester holds always, and is not said here.
func (p *Policy) Apart() [][]bastion.Duty {
	if p == nil || len(p.apart) == 0 {
		return [][]bastion.Duty{{bastion.Design, bastion.Approve, bastion.Execute}}
	}
	var sets [][]bastion.Duty
	for _, s := range p.apart {
		sets = append(sets, slices.Clone(s))
	}
	return sets
}

// separation is roles that nobody may hold together.
type separation struct {
	name   string
	pos    Pos
	roles  bits
	names  []string // in the order of the file
	order  []int    // the roles of names
	choose bool
	reason string
}

// breaks reports whether a set of roles has all that must not come together.
func (s *separation) breaks(held bits) bool { return s.roles.within(held) }

// separate takes over what the file says of separation, apart from rules.
func (p *Policy) separate(f File, roles map[string]int) {
	p.teams = texts(f.Teams)
	for _, s := range f.Separation {
		made := separation{name: s.Name.Text, pos: s.Name.Pos, roles: newBits(len(f.Roles)), names: texts(s.Roles), choose: s.Conflict.Text == "choose", reason: s.Reason.Text}
		for _, r := range s.Roles {
			made.roles.set(roles[r.Text])
			made.order = append(made.order, roles[r.Text])
		}
		p.separations = append(p.separations, made)
	}
	for _, a := range f.Apart {
		var duties []bastion.Duty
		for _, d := range a.Duties {
			duties = append(duties, bastion.Duty(d.Text))
		}
		p.apart = append(p.apart, duties)
	}
}

// conflict finds the first separation that a set of roles breaks, or nil.
func (p *Policy) conflict(held bits) *separation {
	for i := range p.separations {
		if p.separations[i].breaks(held) {
			return &p.separations[i]
		}
	}
	return nil
}

// chosen takes from a set of roles those that were given up by choosing another one
// of a separation. What is not a choice, or of a separation that is not broken,
// changes nothing.
func (p *Policy) chosen(held bits, acting []string) {
	if len(acting) == 0 {
		return
	}
	for i := range p.separations {
		s := &p.separations[i]
		if !s.choose || !s.breaks(held) {
			continue
		}
		if at := slices.IndexFunc(acting, func(role string) bool { return slices.Contains(s.names, role) }); at >= 0 {
			s.leave(held, acting[at])
		}
	}
}

// leave takes all roles of the separation but one from a set.
func (s *separation) leave(held bits, role string) {
	for i, r := range s.order {
		if s.names[i] != role {
			held.clear(r)
		}
	}
}

// hats lists the sets of roles in which somebody can act who holds a set: the set
// itself, or what is left of it by each choice; none if they can do nothing.
func (p *Policy) hats(held bits) []bits {
	s := p.conflict(held)
	switch {
	case s == nil:
		return []bits{held}
	case !s.choose:
		return nil
	}
	var all []bits
	for _, role := range s.names {
		left := slices.Clone(held)
		s.leave(left, role)
		all = append(all, p.hats(left)...)
	}
	return all
}

// Conflict returns an error if the identity holds roles that nobody may hold together:
// a *[bastion.ChoiceError] if a person can choose one of them, else a
// *[bastion.DeniedError]. It names the separation as the rule, as separation/NAME.
func (p *Policy) Conflict(who bastion.Identity) error {
	if p == nil || len(p.separations) == 0 {
		return nil
	}
	key := standKey{subject: who.Subject}
	if s, ok := p.stands.get(key); ok && s.of(who) {
		return s.conflict
	}
	s := &stand{issuer: who.Issuer, kind: who.Kind, groups: slices.Clone(who.Groups), acting: slices.Clone(who.Acting)}
	if found := p.conflict(p.held(who)); found != nil {
		s.conflict = found.refusal(who.Kind)
	}
	p.stands.put(key, s, maxRemembered)
	return s.conflict
}

// refusal says what to do about a conflict.
func (s *separation) refusal(kind bastion.PersonKind) error {
	if s.choose && kind == bastion.Person {
		return &bastion.ChoiceError{Rule: "separation/" + s.name, Roles: slices.Clone(s.names), Reason: s.reason}
	}
	e := &bastion.DeniedError{Rule: "separation/" + s.name, Reason: joined(fmt.Sprintf("you hold %s, which nobody may hold together", roleList(s.names)), s.reason)}
	switch {
	case kind == bastion.Service:
		e.Next = "have whoever keeps the policy take one of them from the service"
	default:
		e.Next = "ask whoever manages your groups to take you out of one of them"
	}
	return e
}

// sameAs tells a configured target by name, kind and labels.
func sameAs(t bastion.Target) func(bastion.Target) bool {
	return func(known bastion.Target) bool {
		return known.Name == t.Name && known.Kind == t.Kind && maps.Equal(known.Labels, t.Labels)
	}
}
