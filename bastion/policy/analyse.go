package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
)

// Analysis is what a whole policy lets people do, as far as somebody should look at
// it.
type Analysis struct {
	// Problems are what may not be meant so, each at its place.
	Problems Problems
	// Alone is what single people can change with nobody else.
	Alone []Alone
}

// Alone is operations that one person can design, decide and execute.
type Alone struct {
	// Who holds the roles: a group, a service, several groups together, or a person.
	Who     string         `json:"who"`
	Roles   []string       `json:"roles"`
	Targets []string       `json:"targets"`
	Verbs   []bastion.Verb `json:"verbs"`
	// Emergency names the bundle by which one can, in an emergency alone; empty if one
	// can at any time.
	Emergency string `json:"emergency,omitempty"`
}

// String is the line for people.
func (a Alone) String() string {
	var verbs []string
	for _, v := range a.Verbs {
		verbs = append(verbs, string(v))
	}
	s := fmt.Sprintf("%s (%s) on %s: %s", bastion.VisibleLine(a.Who), strings.Join(a.Roles, ", "), bastion.VisibleLine(someTargets(a.Targets)), strings.Join(verbs, ", "))
	if a.Emergency != "" {
		s += "; in an emergency, by " + a.Emergency
	}
	return s
}

// maxWork bounds an analysis, in rules looked at.
const maxWork = 3_000_000

// analyst looks at a policy.
type analyst struct {
	Problems
	p        *Policy
	people   []bastion.Identity // who are known
	holdings []holding
	rules    map[string]*rule
	asked    []asking
	bears    []bearing // of each role
	work     budget
	alone    []Alone
}

// holding is a set of roles that somebody holds, and how they come by it.
type holding struct {
	who     string // as in "group deployers"
	roles   bits
	service string // its name, if it is one
}

// Analyse looks at what the policy lets people do, without anybody asking it. People
// are those who are known; if there are none, it looks at whoever is in one group of
// the provider or in two: a third one gives no right to a single operation that two
// of the three do not give.
func (p *Policy) Analyse(people []bastion.Identity) Analysis {
	if p == nil {
		return Analysis{}
	}
	a := &analyst{p: p, rules: map[string]*rule{}, work: budget{left: maxWork}}
	for _, i := range people {
		if i.Kind == bastion.Person && i.ID() != "" {
			a.people = append(a.people, i)
		}
	}
	for _, b := range p.bundles {
		for _, r := range b.rules {
			a.rules[r.name] = r
		}
	}
	a.asked = p.questions()
	a.bear()
	a.hold()
	a.conflicts()
	a.bypasses()
	a.apart()
	a.approvers()
	a.accomplices()
	a.power()
	if a.work.spent {
		a.Warn(p.top, "the policy is so large that not all of it was analysed: who can do something alone, and who copies what is hidden from others, may not be all")
	}
	a.Sort()
	slices.SortStableFunc(a.alone, func(x, y Alone) int {
		return cmp.Or(strings.Compare(x.Emergency, y.Emergency), strings.Compare(x.Who, y.Who), slices.Compare(x.Targets, y.Targets))
	})
	return Analysis{Problems: a.Problems, Alone: a.alone}
}

// hold finds the sets of roles that single groups and services bring, or those of
// known people.
func (a *analyst) hold() {
	one := func(h holding) {
		for i := range a.holdings {
			o := &a.holdings[i]
			if slices.Equal(o.roles, h.roles) && o.service == "" && h.service == "" {
				o.who += ", " + h.who
				return
			}
		}
		a.holdings = append(a.holdings, h)
	}
	add := func(h holding) {
		if h.service != "" && a.p.conflict(h.roles) != nil {
			return // it cannot choose
		}
		for _, hat := range a.p.hats(h.roles) {
			one(holding{h.who, hat, h.service})
		}
	}
	if len(a.people) > 0 {
		for _, i := range a.people {
			if held := a.p.held(i); held.any() {
				add(holding{who: i.Name, roles: held})
			}
		}
	} else {
		for _, g := range slices.Sorted(maps.Keys(a.p.groups)) {
			add(holding{who: "group " + g, roles: a.p.ofGroup(g)})
		}
	}
	for _, s := range slices.Sorted(maps.Keys(a.p.services)) {
		held := newBits(len(a.p.roles))
		for _, i := range a.p.services[s] {
			held.set(i)
		}
		add(holding{who: "service " + s, roles: held, service: s})
	}
}

// ofGroup is the roles that a group brings.
func (p *Policy) ofGroup(group string) bits {
	held := newBits(len(p.roles))
	for _, i := range p.groups[group] {
		held.set(i)
	}
	return held
}

func (b bits) any() bool { return slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) }

// join is the union of two sets of the same size.
func (b bits) join(c bits) bits {
	d := slices.Clone(b)
	for i := range d {
		d[i] |= c[i]
	}
	return d
}

// names lists the roles of a set, sorted.
func (p *Policy) names(held bits) []string {
	var names []string
	for i, r := range p.roles {
		if held.has(i) {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// conflicts names the known people who hold what nobody may hold together.
func (a *analyst) conflicts() {
	broken := map[*separation][]string{}
	for _, i := range a.people {
		if s := a.p.conflict(a.p.held(i)); s != nil {
			broken[s] = append(broken[s], i.Name)
		}
	}
	for s, names := range broken {
		what := "is refused when signing in"
		if s.choose {
			what = "has to choose one of them when signing in"
		}
		a.Warn(s.pos, "separation %q: %s holds %s, and %s", s.name, quote(listed(names)), roleList(s.names), what)
	}
}

func listed(names []string) string {
	slices.Sort(names)
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}

// bypasses looks for ways around a separation: a role outside of it that can do all
// that one of its roles can, and a service of somebody who holds the rest.
func (a *analyst) bypasses() {
	for i := range a.p.separations {
		s := &a.p.separations[i]
		for b := range a.p.roles {
			for c := range a.p.roles {
				if !s.roles.has(b) || s.roles.has(c) {
					continue
				}
				instead := slices.Clone(s.roles)
				instead.clear(b)
				instead.set(c)
				if a.p.conflict(instead) != nil {
					continue
				}
				if a.substitutes(c, b) {
					a.Warn(s.pos, "separation %q can be got around with %s: role %s can do all that role %s can; name it in a separation, too",
						s.name, roleList(a.p.names(instead)), a.p.roles[c].Name, a.p.roles[b].Name)
				} else if shared := a.shared(c, b); shared != "" {
					a.Warn(s.pos, "separation %q can be got around in part with %s: role %s %s, as role %s does; name it in a separation, too",
						s.name, roleList(a.p.names(instead)), a.p.roles[c].Name, shared, a.p.roles[b].Name)
				}
			}
		}
		for _, v := range slices.Sorted(maps.Keys(a.p.services)) {
			held := newBits(len(a.p.roles))
			for _, r := range a.p.services[v] {
				held.set(r)
			}
			if !held.meets(s.roles) {
				continue
			}
			owner := a.p.owners[v]
			j := slices.IndexFunc(a.people, func(i bastion.Identity) bool {
				return owner != "" && (i.ID() == owner || strings.EqualFold(i.Email, owner))
			})
			switch {
			case owner == "":
				a.Warn(s.pos, "separation %q can be got around: nobody answers for service %q, which holds %s; give it an owner", s.name, v, roleList(a.p.names(held.meet(s.roles))))
			case j >= 0 && s.breaks(held.join(a.p.held(a.people[j]))):
				a.Warn(s.pos, "separation %q is got around: %s answers for service %q, and both together hold %s", s.name, quote(a.people[j].Name), v, roleList(s.names))
			case j < 0:
				a.Warn(s.pos, "separation %q can be got around: service %q holds %s, and its owner, %s, may hold the rest", s.name, v, roleList(a.p.names(held.meet(s.roles))), quote(owner))
			}
		}
	}
}

func (b bits) clear(i int) { b[i/8] &^= 1 << (i % 8) }

// meet is what two sets of the same size have in common.
func (b bits) meet(c bits) bits {
	d := slices.Clone(b)
	for i := range d {
		d[i] &= c[i]
	}
	return d
}

// bearing is all that a role changes: its duties, the bundles that name it, and what
// its holders approve.
type bearing struct{ duties, bundles, excepted, approves bits }

func (a *analyst) bear() {
	p, known := a.p, bastion.Duties()
	for i, r := range p.roles {
		x := bearing{newBits(len(known)), newBits(len(p.bundles)), newBits(len(p.bundles)), newBits(len(a.asked))}
		for _, d := range r.Duties {
			x.duties.set(slices.Index(known, d)) // which check knows
		}
		for j, b := range p.bundles {
			if b.roles.has(i) {
				x.bundles.set(j)
			}
			if b.except.has(i) {
				x.excepted.set(j)
			}
		}
		for j, q := range a.asked {
			if slices.ContainsFunc(q.needs, func(n bastion.Need) bool { return n.Takes(r.Name) }) {
				x.approves.set(j)
			}
		}
		a.bears = append(a.bears, x)
	}
}

// substitutes reports whether a role can do all that another can, which is something.
func (a *analyst) substitutes(c, b int) bool {
	x, y := &a.bears[c], &a.bears[b]
	for i := range y.bundles {
		if y.bundles[i]&x.excepted[i]&^y.excepted[i] != 0 {
			return false
		}
	}
	return y.duties.within(x.duties) && y.bundles.within(x.bundles) && y.approves.within(x.approves) &&
		(y.bundles.any() || y.approves.any() || y.duties.any())
}

// shared says what a role does for which another one is kept apart, though not all of
// it: deciding the same, or looking at everybody's doings.
func (a *analyst) shared(c, b int) string {
	x, y := &a.bears[c], &a.bears[b]
	var what []string
	if both := x.approves.meet(y.approves); both.any() {
		var asked []string
		for i := range a.asked {
			if both.has(i) {
				asked = append(asked, a.asked[i].what)
			}
		}
		what = append(what, "decides "+listed(asked))
	}
	if audits := slices.Index(bastion.Duties(), bastion.Audit); x.duties.has(audits) && y.duties.has(audits) {
		what = append(what, "audits")
	}
	return strings.Join(what, " and ")
}

// within reports whether all of a set is in another one of the same size.
func (b bits) within(c bits) bool {
	for i := range b {
		if b[i]&^c[i] != 0 {
			return false
		}
	}
	return true
}

// apart tells which duties of a task one person may have.
func (a *analyst) apart() {
	if len(a.p.apart) == 0 {
		return
	}
	for _, pair := range [][2]bastion.Duty{{bastion.Design, bastion.Approve}, {bastion.Approve, bastion.Execute}, {bastion.Design, bastion.Execute}} {
		if slices.ContainsFunc(a.p.apart, func(set []bastion.Duty) bool { return slices.Contains(set, pair[0]) && slices.Contains(set, pair[1]) }) {
			continue
		}
		a.Warn(a.p.top, "apart leaves out %s and %s: one person may do both in a task", pair[0], pair[1])
	}
}

// asking is something that takes approval or review.
type asking struct {
	what      string // as in "rule production/write"
	pos       Pos
	needs     bastion.Needs
	otherTeam bool
	by        *bundle // of those who ask; nil means everybody
	label     *label  // that asks, if one does
}

// on reports whether it is about targets of a class.
func (q *asking) on(c *class) bool {
	return q.by != nil && slices.Contains(c.bundles, q.by) || q.label != nil && slices.Contains(c.labels, q.label)
}

// questions lists all that takes somebody's approval or review.
func (p *Policy) questions() []asking {
	var all []asking
	for _, l := range p.labels {
		if len(l.needs) > 0 {
			all = append(all, asking{what: "label " + l.name, pos: l.pos, needs: l.needs, label: l})
		}
	}
	for _, b := range p.bundles {
		if t := b.request; t != nil {
			all = append(all, asking{"the request for " + b.name, b.pos, t.Needs, t.OtherTeam, b, nil})
		}
		if t := b.emergency; t != nil {
			all = append(all, asking{"the review of " + b.name, b.pos, t.Needs, t.OtherTeam, b, nil})
		}
		for _, r := range b.rules {
			if len(r.needs) > 0 {
				all = append(all, asking{"rule " + r.name, r.pos, r.needs, r.otherTeam, b, nil})
			}
		}
	}
	return all
}

// approvers looks for what nobody could approve.
func (a *analyst) approvers() {
	p := a.p
	// The groups by which each role can be held.
	by := make([][]string, len(p.roles))
	for g, roles := range p.groups {
		if p.hats(p.ofGroup(g)) == nil || len(p.known) > 0 && !slices.Contains(p.known, g) {
			continue
		}
		for _, r := range roles {
			by[r] = append(by[r], g)
		}
	}
	groups := func(n bastion.Need) []string {
		var all []string
		for i, r := range p.roles {
			if n.Takes(r.Name) {
				all = append(all, by[i]...)
			}
		}
		return all
	}
	type missing struct {
		needs string
		other bool
		names string
		only  string
	}
	lacks, order := map[missing][]asking{}, []missing{}
	reach := map[string]string{} // what is known of needs, by whom and by which
	for _, q := range a.asked {
		given := true
		for _, n := range q.needs {
			from := groups(n)
			if len(from) == 0 {
				a.Warn(q.pos, "%s wants what nobody can give: nobody can hold %s", q.what, roleList(append([]string{n.Role}, n.Or...)))
				given = false
				continue
			}
			if !q.otherTeam || q.by == nil {
				continue
			}
			var stuck []string
			for i := range p.roles {
				for _, g := range by[i] {
					if q.by.roles.has(i) && p.execute.has(i) && p.team(g) && !slices.ContainsFunc(from, func(f string) bool { return f != g }) && !slices.Contains(stuck, g) {
						stuck = append(stuck, g)
					}
				}
			}
			if len(stuck) > 0 {
				a.Warn(q.pos, "%s wants what nobody can give when group %s asks: %s of another team, and all of them are in that group", q.what, quote(listed(stuck)), roleList(append([]string{n.Role}, n.Or...)))
				given = false
			}
		}
		if !given || len(a.people) == 0 {
			continue
		}
		m := missing{needs: q.needs.String(), other: q.otherTeam}
		m.names, m.only = a.unreachable(q, reach)
		if m.names != "" {
			if lacks[m] == nil {
				order = append(order, m)
			}
			lacks[m] = append(lacks[m], q)
		}
	}
	for _, m := range order {
		var what []string
		for _, q := range lacks[m] {
			what = append(what, q.what)
		}
		team := ""
		if m.other {
			team = " of another team"
		}
		a.Warn(lacks[m][0].pos, "%s%s cannot be had when %s asks: of the people who have signed in, %s could give it (%s)", m.needs, team, m.names, m.only, listed(what))
	}
}

// accomplices looks for emergencies that two people can take and review for each other,
// so that nobody else ever looks.
func (a *analyst) accomplices() {
	p := a.p
	for _, b := range p.bundles {
		if b.emergency == nil {
			continue
		}
		var both []string
		var first bastion.Identity
		some := 0
		for _, i := range a.people {
			held := p.held(i)
			takes := slices.ContainsFunc(p.hats(held), func(hat bits) bool { return b.appliesTo(hat) && p.grants(b, hat) })
			if !takes || !a.work.take(1) || !covers(b.emergency.Needs, p.names(held)) {
				continue
			}
			if both = append(both, i.Name); some == 0 {
				first, some = i, 1
			} else if !samePerson(first, i) {
				some = 2
			}
		}
		if some == 2 {
			a.Warn(b.pos, "%s can take bundle %q in an emergency and can close the reviews of that: two of them could do it for each other, and nobody else would look", quote(listed(both)), b.name)
		}
		if len(a.people) > 0 {
			continue
		}
		for _, h := range a.holdings {
			if h.service == "" && b.appliesTo(h.roles) && p.grants(b, h.roles) && covers(b.emergency.Needs, p.names(h.roles)) {
				a.Warn(b.pos, "whoever is in %s can take bundle %q in an emergency and can close the reviews of that: two of them could do it for each other, and nobody else would look", quote(h.who), b.name)
			}
		}
	}
}

// covers reports whether people with these roles, if there are enough, can give all needs.
func covers(needs bastion.Needs, roles []string) bool {
	return !slices.ContainsFunc(needs, func(n bastion.Need) bool { return !slices.ContainsFunc(roles, n.Takes) })
}

// unreachable names the known people who could ask and would find too few others,
// and those others. done remembers what was worked out for the same needs.
func (a *analyst) unreachable(q asking, done map[string]string) (names, only string) {
	p := a.p
	var could []bastion.Identity
	for _, i := range a.people {
		held := p.held(i)
		if p.hats(held) == nil || !a.work.take(1) {
			continue
		}
		if slices.ContainsFunc(q.needs, func(n bastion.Need) bool { return slices.ContainsFunc(p.names(held), n.Takes) }) {
			could = append(could, i)
		}
	}
	var stuck, others []string
	for _, i := range a.people {
		held := p.held(i)
		if !slices.ContainsFunc(p.hats(held), func(hat bits) bool { return q.by == nil || q.by.appliesTo(hat) && p.grants(q.by, hat) }) {
			continue
		}
		key := i.ID() + "\x00" + q.needs.String() + fmt.Sprint(q.otherTeam)
		answer, ok := done[key]
		if !ok {
			var people [][]string
			var given []string
			for _, o := range could {
				if !a.work.take(1) {
					return "", ""
				}
				if samePerson(i, o) || q.otherTeam && !p.otherTeam(i, o) {
					continue
				}
				people, given = append(people, p.names(p.held(o))), append(given, o.Name)
				if len(people) > 64 { // enough for any needs that people write
					break
				}
			}
			if answer = "-"; !covered(q.needs, people) {
				answer = "nobody"
				if len(given) > 0 {
					answer = "only " + listed(given)
				}
			}
			done[key] = answer
		}
		if answer != "-" {
			stuck = append(stuck, i.Name)
			if !slices.Contains(others, answer) {
				others = append(others, answer)
			}
		}
	}
	if stuck == nil {
		return "", ""
	}
	slices.Sort(others)
	return quote(listed(stuck)), quote(strings.Join(others, ", or "))
}

// samePerson reports whether the same human being may be behind two identities.
func samePerson(a, b bastion.Identity) bool {
	return a.Person() == b.Person() || a.Email != "" && strings.EqualFold(a.Email, b.Email)
}

// otherTeam reports whether two people are of different teams, as approvals see it.
func (p *Policy) otherTeam(a, b bastion.Identity) bool {
	as, bs := p.Teams(a), p.Teams(b)
	return len(as) > 0 && len(bs) > 0 && !slices.ContainsFunc(as, func(t string) bool { return slices.Contains(bs, t) })
}

// covered reports whether different people can be found for all needs: a matching in
// a bipartite graph.
func covered(needs bastion.Needs, people [][]string) bool {
	var seats []bastion.Need
	for _, n := range needs {
		if n.Count > len(people) {
			return false
		}
		seats = append(seats, slices.Repeat([]bastion.Need{n}, n.Count)...)
	}
	taken := make([]int, len(people)) // the seat of each person, from 1
	var sit func(seat int, tried []bool) bool
	sit = func(seat int, tried []bool) bool {
		for i, roles := range people {
			if tried[i] || !slices.ContainsFunc(roles, seats[seat].Takes) {
				continue
			}
			tried[i] = true
			if taken[i] == 0 || sit(taken[i]-1, tried) {
				taken[i] = seat + 1
				return true
			}
		}
		return false
	}
	for seat := range seats {
		if !sit(seat, make([]bool, len(people))) {
			return false
		}
	}
	return true
}

// copying is the verbs by which what one reads can be left where others read it.
var copying = map[bastion.Verb]bool{"insert": true, "update": true, "update-all": true, "merge": true, "create": true, "define": true, "do": true, "foreign": true, "server-file": true}

// power looks at what each holding can do on each class of targets.
func (a *analyst) power() {
	found := map[string]*Alone{} // the same on several classes is one
	var order []string
	note := func(h holding, c *class, verbs []bastion.Verb, emergency string) {
		key := fmt.Sprint(h.who, "\x00", verbs, "\x00", emergency)
		if found[key] == nil {
			found[key] = &Alone{Who: h.who, Roles: a.p.names(h.roles), Verbs: verbs, Emergency: emergency}
			order = append(order, key)
		}
		found[key].Targets = append(found[key].Targets, c.targets...)
	}
	copies := map[string]bool{}
	for _, c := range a.p.classes {
		var reach []reached
		for _, h := range a.holdings {
			if !slices.ContainsFunc(c.bundles, func(b *bundle) bool { return b.appliesTo(h.roles) }) {
				continue
			}
			if !a.work.take(len(c.bundles)) {
				break
			}
			v := a.p.view(c, h.roles)
			r := reached{holding: h, view: v, connect: v.best(bastion.Connect, &a.work).effect, verbs: map[bastion.Verb]answer{}}
			for _, verb := range c.verbs {
				if c.writes[verb] {
					r.verbs[verb] = v.best(verb, &a.work)
				}
			}
			reach = append(reach, r)
			alone := r.alone(c)
			if len(alone) > 0 {
				note(h, c, alone, "")
			}
			a.copies(v, c, copies)
			for _, b := range c.bundles {
				if v.offers[b.name] != b || !a.work.take(len(c.bundles)) {
					continue
				}
				had := a.p.granting(v, b)
				a.copies(had, c, copies)
				if b.emergency == nil || had.best(bastion.Connect, &a.work).effect != bastion.Allow {
					continue
				}
				var more []bastion.Verb
				for _, verb := range c.verbs {
					if c.writes[verb] && !slices.Contains(alone, verb) && had.best(verb, &a.work).effect == bastion.Allow {
						more = append(more, verb)
					}
				}
				if len(more) > 0 {
					note(h, c, more, b.name)
				}
			}
		}
		a.uneven(c, reach)
		if len(a.people) == 0 {
			a.together(c, reach)
		}
	}
	for _, key := range order {
		a.alone = append(a.alone, *found[key])
	}
}

// reached is what a holding can do on a class of targets.
type reached struct {
	holding
	view    *view
	connect bastion.Effect
	verbs   map[bastion.Verb]answer // that change something
}

// alone lists what changes something and takes nobody else.
func (r *reached) alone(c *class) []bastion.Verb {
	var verbs []bastion.Verb
	for _, verb := range c.verbs {
		if r.connect == bastion.Allow && r.verbs[verb].effect == bastion.Allow {
			verbs = append(verbs, verb)
		}
	}
	return verbs
}

// at is the place of a rule.
func (a *analyst) at(rule string) Pos {
	if r := a.rules[rule]; r != nil {
		return r.pos
	}
	return a.p.top
}

// uneven tells where one holding does alone what takes another one approval.
func (a *analyst) uneven(c *class, reach []reached) {
	type finding struct{ rule, other, who string }
	verbs, order := map[finding][]string{}, []finding{}
	for i := range reach {
		for _, verb := range reach[i].alone(c) {
			j := slices.IndexFunc(reach, func(o reached) bool { return o.connect != bastion.Deny && o.verbs[verb].effect == bastion.Ask })
			if j < 0 {
				continue
			}
			f := finding{reach[i].verbs[verb].rule, reach[j].verbs[verb].rule, reach[i].who}
			if verbs[f] == nil {
				order = append(order, f)
			}
			verbs[f] = append(verbs[f], string(verb))
		}
	}
	for _, f := range order {
		a.Warn(a.at(f.rule), "rule %s lets %s do alone on %s what others need approval for, by rule %s: %s", f.rule, quote(f.who), quote(someTargets(c.targets)), f.other, strings.Join(verbs[f], ", "))
	}
}

// together tells what two groups bring together that neither brings: the one reaches
// the target, and the other may change it.
func (a *analyst) together(c *class, reach []reached) {
	for i := range reach {
		for j := range reach {
			x, y := &reach[i], &reach[j]
			if x.connect != bastion.Allow || y.connect == bastion.Allow || x.service != "" || y.service != "" {
				continue
			}
			both := x.roles.join(y.roles)
			if a.p.conflict(both) != nil || !a.work.take(len(c.bundles)) {
				continue
			}
			var v *view
			var verbs []string
			rule := ""
			for _, verb := range c.verbs {
				if y.verbs[verb].effect != bastion.Allow || x.verbs[verb].effect == bastion.Allow {
					continue
				}
				if v == nil {
					v = a.p.view(c, both)
				}
				if o := v.best(verb, &a.work); o.effect == bastion.Allow && v.best(bastion.Connect, &a.work).effect == bastion.Allow {
					verbs, rule = append(verbs, string(verb)), o.rule
				}
			}
			if verbs != nil {
				a.Warn(a.at(rule), "whoever is in %s and in %s can do alone on %s what neither can: %s", quote(x.who), quote(y.who), quote(someTargets(c.targets)), strings.Join(verbs, ", "))
			}
		}
	}
}

// copies tells where somebody who sees what is hidden from others may leave it where
// they see it. said keeps the same from being told twice.
func (a *analyst) copies(v *view, c *class, said map[string]bool) {
	for _, b := range c.bundles {
		if len(b.clear) == 0 || !b.appliesTo(v.set) || !a.p.grants(b, v.set) || b.byGrant() && !slices.Contains(v.by, b) || said[b.name] {
			continue
		}
		var verbs []string
		for _, verb := range c.verbs {
			if copying[verb] && v.best(verb, &a.work).effect == bastion.Allow {
				verbs = append(verbs, string(verb))
			}
		}
		if verbs != nil && v.best(bastion.Connect, &a.work).effect == bastion.Allow {
			said[b.name] = true
			a.Warn(b.pos, "bundle %s shows %s to %s, who may also %s there without asking: what they copy is hidden from nobody", b.name, listed(slices.Clone(b.clear)), roleList(a.p.names(v.set)), strings.Join(verbs, ", "))
		}
	}
}
