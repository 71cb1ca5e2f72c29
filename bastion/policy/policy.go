// Package policy turns a policy file into decisions.
//
// [New] checks a [File] against the targets, verbs and services that there are,
// and makes a [Policy] only of a file without errors. A Policy is pure: it reads
// no clock and no file, and the same question has the same answer for as long as
// it lives. README.md explains the model and every field of the file.
package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// DefaultWithin is how long a request stays open where the rule does not say.
const DefaultWithin = 30 * time.Minute

// Context is the world that a policy speaks of. Names in the policy that are not
// in it are errors, so a policy cannot quietly speak of nothing.
type Context struct {
	Targets []bastion.Target
	// Verbs are the verbs of each kind of target, [bastion.Connect] left out.
	Verbs    map[string][]bastion.VerbInfo
	Services []string // names of the service identities
	// Owners are the people who answer for services, by the service's name: an e-mail
	// address, or issuer#subject.
	Owners map[string]string
	// Groups are the groups that the provider is known to have. If there are any,
	// groups on one side only are warned of.
	Groups []string
	// Unheard: the bastion has no channel by which people would hear of an emergency.
	Unheard bool
	// PseudonymKey makes pseudonyms; without it they are redacted whole.
	PseudonymKey []byte
}

// Policy decides. It implements [bastion.Policy] and is safe for concurrent use.
// The zero Policy, like a nil one, denies everything and shows nothing.
type Policy struct {
	roles    []bastion.Role
	places   []Pos            // of roles, in the file
	execute  bits             // roles with the duty of execution
	groups   map[string][]int // roles that people hold by a group
	services map[string][]int // roles that services hold by their name
	targets  map[string]target
	key      []byte // for pseudonyms

	top         Pos // of the file
	bundles     []*bundle
	labels      []*label
	owners      map[string]string // of services
	known       []string          // groups of the provider; none if they are not known
	classes     []*class
	teams       []string // patterns of groups
	separations []separation
	apart       [][]bastion.Duty

	views memo[viewKey, *view]
	// What follows depends on views, and is forgotten with them.
	stands   memo[standKey, *stand]
	granted  memo[grantedKey, *view]
	meanings memo[meaningKey, *meaning]
	uses     memo[useKey, *uses]
}

// target is a configured target and the class that it belongs to.
type target struct {
	target bastion.Target // name, kind and labels of it
	class  *class
}

// class is all targets of a kind on which the same bundles and labels hold.
type class struct {
	kind      string
	verbs     []bastion.Verb // sorted; nil if no connector knows the kind
	writes    map[bastion.Verb]bool
	bundles   []*bundle
	labels    []*label
	detectors []*detector
	trust     []string                 // functions
	rules     map[bastion.Verb][]*rule // what any bundle says of a verb
	targets   []string                 // names
}

type bundle struct {
	name   string
	order  int // in the file
	pos    Pos
	roles  bits
	except bits
	clear  []string
	fresh  time.Duration
	rules  []*rule
	// How one gets it for a time: on request, at once, or by neither.
	request, emergency *bastion.Terms
}

// byGrant reports whether the bundle is had for a time only.
func (b *bundle) byGrant() bool { return b.request != nil || b.emergency != nil }

type rule struct {
	name   string // bundle/rule
	order  int    // in the file
	pos    Pos
	bundle *bundle
	verbs  []bastion.Verb
	on     []pattern
	limits // by columns and rows
	effect bastion.Effect
	reason string
	next   string
	needs  bastion.Needs
	within time.Duration
	holds  time.Duration
	// otherTeam: approvers share no team with the requester.
	otherTeam bool
	try       bool      // those who decide may have it run and taken back
	liftedBy  []*bundle // that have it not ask for what they allow
}

type label struct {
	name   string
	pos    Pos
	masks  []mask.Label
	rules  mask.Rules // of this label alone, to find what it hides
	lookup bool
	probe  bastion.Effect
	needs  bastion.Needs // of an asking probe
}

type detector struct {
	name       string
	detections []mask.Detection
}

// star stands for every verb, in a deny.
const star bastion.Verb = "*"

type viewKey struct {
	class *class
	roles string
}

// view is a class of targets as people with one set of roles meet it, and with
// one set of bundles for a time.
type view struct {
	class  *class
	set    bits      // of the roles
	by     []*bundle // what was granted, in the order of the file
	offers map[string]*bundle
	lines  map[bastion.Verb][]line // of the verbs that the kind knows, in the order of the file
	held   []string                // names of the roles
	acts   bool                    // one of the roles has the duty of execution
	labels []*label                // those that hide something from these roles
	values []string                // detectors that do
	mask   mask.Rules
	access func() bastion.Access
}

// line is a rule of a bundle that the roles have. Where they have it without the
// duty of execution it grants nothing, and still limits.
type line struct {
	*rule
	grants bool
	lifted []*bundle // that were granted, and have it not ask for what they allow
}

// New checks the file and makes a policy of it. Problems may come with a policy,
// if all of them are warnings; an error among them leaves the policy nil.
func New(f File, c Context) (*Policy, Problems) {
	problems := check(f, c)
	problems.Sort()
	if problems.Err() != nil {
		return nil, problems
	}
	return compile(f, c), problems
}

// compile makes the policy of a file that has no errors.
func compile(f File, c Context) *Policy {
	p := &Policy{
		groups: map[string][]int{}, services: map[string][]int{}, targets: make(map[string]target, len(c.Targets)),
		execute: newBits(len(f.Roles)), key: slices.Clone(c.PseudonymKey),
	}
	index := map[string]int{}
	for i, r := range f.Roles {
		index[r.Name.Text] = i
		role := bastion.Role{Name: r.Name.Text}
		for _, d := range r.Duties {
			role.Duties = append(role.Duties, bastion.Duty(d.Text))
		}
		if slices.Contains(role.Duties, bastion.Execute) {
			p.execute.set(i)
		}
		p.roles, p.places = append(p.roles, role), append(p.places, r.Name.Pos)
		for _, g := range r.Groups {
			p.groups[g.Text] = append(p.groups[g.Text], i)
		}
		for _, s := range r.Services {
			p.services[s.Text] = append(p.services[s.Text], i)
		}
	}
	set := func(words []Word) bits {
		b := newBits(len(f.Roles))
		for _, w := range words {
			b.set(index[w.Text])
		}
		return b
	}
	var bundles []*bundle
	rules := map[string]*rule{}
	order := 0
	for _, b := range f.Bundles {
		made := &bundle{name: b.Name.Text, order: len(bundles), pos: b.Name.Pos, roles: set(b.Roles), except: set(b.Except), clear: texts(b.Clear), fresh: b.Fresh.D}
		made.compileTerms(b)
		for _, r := range b.Rules {
			made.rules = append(made.rules, compileRule(made, r, order))
			rules[made.rules[len(made.rules)-1].name] = made.rules[len(made.rules)-1]
			order++
		}
		bundles = append(bundles, made)
	}
	for i, b := range f.Bundles {
		for _, w := range b.Lifts {
			if r := rules[w.Text]; r != nil && bundles[i].byGrant() { // check refuses the file otherwise
				r.liftedBy = append(r.liftedBy, bundles[i])
			}
		}
	}
	p.separate(f, index)
	var labels []*label
	for _, l := range f.Columns {
		labels = append(labels, compileLabel(l))
	}
	var detectors []*detector
	for _, v := range f.Values {
		made := &detector{name: v.Name.Text}
		for _, d := range v.Detect {
			if known, err := mask.ParseDetector(d.Text); err == nil { // check refuses the file before this
				made.detections = append(made.detections, mask.Detection{Detector: known, Kind: kindOf(v.Mask)})
			}
		}
		detectors = append(detectors, made)
	}
	p.top, p.bundles, p.labels, p.owners, p.known = f.Pos, bundles, labels, maps.Clone(c.Owners), slices.Clone(c.Groups)
	p.classify(f, c, bundles, labels, detectors)
	return p
}

// kindOf is the kind of mask that a file names.
func kindOf(w Word) mask.Kind {
	k, err := mask.ParseKind(w.Text)
	if err != nil {
		return mask.Redact // check refuses the file before this
	}
	return k
}

func compileLabel(l Label) *label {
	made := &label{name: l.Name.Text, pos: l.Name.Pos, lookup: l.Lookup, needs: compileNeeds(l.Approvals)}
	for _, c := range l.Columns {
		made.masks = append(made.masks, mask.Label{Pattern: c.Text, Kind: kindOf(l.Mask), Lookup: l.Lookup})
	}
	if rules, err := mask.NewRules(nil, made.masks...); err == nil {
		made.rules = rules // else it hides everything; check refuses such patterns
	}
	if l.Probe.Text != "" {
		if err := made.probe.UnmarshalText([]byte(l.Probe.Text)); err != nil {
			made.probe = bastion.Deny // check refuses the file before this
		}
	}
	return made
}

func compileNeeds(approvals []Approval) bastion.Needs {
	var needs bastion.Needs
	for _, a := range approvals {
		// In one order, so that the same needs look the same.
		roles := slices.Compact(slices.Sorted(slices.Values(texts(a.roles()))))
		if len(roles) == 0 {
			roles = []string{""} // nobody; check refuses the file before this
		}
		n := bastion.Need{Count: a.Count.N, Role: roles[0]}
		if len(roles) > 1 {
			n.Or = roles[1:]
		}
		if !a.Count.set() {
			n.Count = 1
		}
		needs = union(needs, bastion.Needs{n})
	}
	return needs
}

func compileRule(b *bundle, r Rule, order int) *rule {
	made := &rule{name: b.name + "/" + r.Name.Text, order: order, pos: r.Name.Pos, bundle: b, reason: r.Reason.Text, next: r.Next.Text}
	if err := made.effect.UnmarshalText([]byte(r.Effect.Text)); err != nil {
		made.effect = bastion.Deny // check refuses the file before this
	}
	for _, v := range r.Verbs {
		made.verbs = append(made.verbs, bastion.Verb(v.Text))
	}
	for _, o := range r.On {
		made.on = append(made.on, newPattern(o.Text))
	}
	made.limits = newLimits(r)
	if made.effect == bastion.Ask {
		made.within, made.holds = r.Within.D, r.Holds.D
		if !r.Within.set() {
			made.within = DefaultWithin
		}
		made.needs, made.otherTeam = compileNeeds(r.Approvals), r.OtherTeam
		made.try = r.Preview.Text == previewRun
	}
	return made
}

// classify sorts the targets into classes: thousands of targets are a few classes.
func (p *Policy) classify(f File, c Context, bundles []*bundle, labels []*label, detectors []*detector) {
	verbs, writes := map[string][]bastion.Verb{}, map[string]map[bastion.Verb]bool{}
	for kind, infos := range c.Verbs {
		known := []bastion.Verb{bastion.Connect}
		writes[kind] = map[bastion.Verb]bool{}
		for _, i := range infos {
			known = append(known, i.Verb)
			writes[kind][i.Verb] = i.Write
		}
		slices.Sort(known)
		verbs[kind] = slices.Compact(known)
	}
	// The parts of the file, each for some targets.
	type part struct {
		targets Selector
		add     func(*class)
	}
	var parts []part
	for i, b := range f.Bundles {
		parts = append(parts, part{b.Targets, func(c *class) { c.addBundle(bundles[i]) }})
	}
	for i, l := range f.Columns {
		parts = append(parts, part{l.Targets.orAll(), func(c *class) { c.labels = append(c.labels, labels[i]) }})
	}
	for i, v := range f.Values {
		parts = append(parts, part{v.Targets.orAll(), func(c *class) { c.detectors = append(c.detectors, detectors[i]) }})
	}
	for _, t := range f.Functions {
		parts = append(parts, part{t.Targets.orAll(), func(c *class) { c.trust = append(c.trust, texts(t.Trust)...) }})
	}
	classes := map[string]*class{}
	for _, t := range c.Targets {
		holds := newBits(len(parts))
		for i, part := range parts {
			if part.targets.matches(t) {
				holds.set(i)
			}
		}
		key := string(holds) + t.Kind
		made := classes[key]
		if made == nil {
			made = &class{kind: t.Kind, verbs: verbs[t.Kind], writes: writes[t.Kind], rules: map[bastion.Verb][]*rule{}}
			for i, part := range parts {
				if holds.has(i) {
					part.add(made)
				}
			}
			classes[key] = made
			p.classes = append(p.classes, made)
		}
		made.targets = append(made.targets, t.Name)
		p.targets[t.Name] = target{target: bastion.Target{Name: t.Name, Kind: t.Kind, Labels: maps.Clone(t.Labels)}, class: made}
	}
}

func (c *class) addBundle(b *bundle) {
	c.bundles = append(c.bundles, b)
	for _, r := range b.rules {
		for _, v := range r.verbs {
			c.rules[v] = append(c.rules[v], r)
		}
	}
}

// Roles lists the roles that the identity holds, sorted by name: a person by the
// groups that the provider tells, a service by its name (its subject). Anybody
// else holds none.
func (p *Policy) Roles(who bastion.Identity) []bastion.Role {
	if p == nil {
		return nil
	}
	var roles []bastion.Role
	held := p.held(who)
	for i, r := range p.roles {
		if held.has(i) {
			r.Duties = slices.Clone(r.Duties)
			roles = append(roles, r)
		}
	}
	slices.SortFunc(roles, func(a, b bastion.Role) int { return cmp.Compare(a.Name, b.Name) })
	return roles
}

// held is the set of roles that the identity holds.
func (p *Policy) held(who bastion.Identity) bits {
	b := newBits(len(p.roles))
	if who.ID() == "" {
		return b
	}
	switch who.Kind {
	case bastion.Person:
		for _, g := range who.Groups {
			for _, i := range p.groups[g] {
				b.set(i)
			}
		}
		p.chosen(b, who.Acting)
	case bastion.Service:
		for _, i := range p.services[who.Subject] {
			b.set(i)
		}
	}
	return b
}

type standKey struct {
	class   *class
	subject string
}

// stand is where somebody stood last time: the view that their groups brought.
type stand struct {
	issuer string
	kind   bastion.PersonKind
	groups []string
	acting []string
	view   *view
	// conflict is why nobody may hold these roles; see [Policy.Conflict].
	conflict error
}

func (s *stand) of(who bastion.Identity) bool {
	return s.issuer == who.Issuer && s.kind == who.Kind && slices.Equal(s.groups, who.Groups) && slices.Equal(s.acting, who.Acting)
}

// look finds the view that the identity has of a target. A target that is not the
// one that the policy was made for, by name, kind and labels, is unknown to it.
func (p *Policy) look(who bastion.Identity, name string, is func(bastion.Target) bool) *view {
	if p == nil {
		return nil
	}
	known, ok := p.targets[name]
	if !ok || !is(known.target) {
		return nil
	}
	key := standKey{known.class, who.Subject}
	if s, ok := p.stands.get(key); ok && s.of(who) {
		return p.with(s.view, who.Grants, name)
	}
	held := p.held(who)
	v, ok := p.views.get(viewKey{known.class, string(held)})
	if !ok {
		v = p.view(known.class, held)
		if p.views.put(viewKey{known.class, string(held)}, v, maxViews) { // none but the newest are kept alive
			p.stands.forget()
			p.granted.forget()
			p.meanings.forget()
			p.uses.forget()
		}
	}
	p.stands.put(key, &stand{issuer: who.Issuer, kind: who.Kind, groups: slices.Clone(who.Groups), acting: slices.Clone(who.Acting), view: v}, maxRemembered)
	return p.with(v, who.Grants, name)
}

// view works out what a set of roles meets on a class of targets, with what was
// granted for a time.
func (p *Policy) view(c *class, held bits, by ...*bundle) *view {
	v := &view{class: c, set: held, by: by, offers: map[string]*bundle{}, lines: map[bastion.Verb][]line{}, acts: held.meets(p.execute)}
	p.hide(v, held)
	for i, r := range p.roles {
		if held.has(i) {
			v.held = append(v.held, r.Name)
		}
	}
	slices.Sort(v.held)
	for _, b := range c.bundles {
		if !b.appliesTo(held) {
			continue
		}
		grants := p.grants(b, held)
		had := !b.byGrant() || slices.Contains(by, b)
		if b.byGrant() && grants {
			v.offers[b.name] = b
		}
		for _, r := range b.rules {
			if !had && r.effect != bastion.Deny {
				continue
			}
			l := line{rule: r, grants: grants}
			for _, lifts := range r.liftedBy {
				if slices.Contains(by, lifts) {
					l.lifted = append(l.lifted, lifts)
				}
			}
			verbs := r.verbs
			if slices.Contains(verbs, star) {
				verbs = c.verbs
			}
			for _, verb := range verbs {
				if slices.Contains(c.verbs, verb) {
					v.lines[verb] = append(v.lines[verb], l)
				}
			}
		}
	}
	v.access = sync.OnceValue(func() bastion.Access { return v.survey(c.verbs) })
	return v
}

// hide works out what a set of roles does not see: all labels and detectors of the
// class but those that a granting bundle shows.
func (p *Policy) hide(v *view, held bits) {
	cleared := p.cleared(v.class, held, v.by)
	var masks []mask.Label
	for _, l := range v.class.labels {
		if !slices.Contains(cleared, l.name) {
			v.labels, masks = append(v.labels, l), append(masks, l.masks...)
		}
	}
	rules, err := mask.NewRules(p.key, masks...)
	if err != nil {
		return // and the zero rules hide everything; check refuses such patterns
	}
	for _, d := range v.class.detectors {
		if !slices.Contains(cleared, d.name) {
			rules, v.values = rules.Detect(d.detections...), append(v.values, d.name)
		}
	}
	v.mask = rules.Trust(v.class.trust...)
}

// cleared lists the labels and detectors that bundles show to a set of roles, with
// what was granted for a time.
func (p *Policy) cleared(c *class, held bits, by []*bundle) []string {
	var names []string
	for _, b := range c.bundles {
		if len(b.clear) > 0 && b.appliesTo(held) && p.grants(b, held) && (!b.byGrant() || slices.Contains(by, b)) {
			names = append(names, b.clear...)
		}
	}
	return names
}

// appliesTo reports whether people with these roles have the bundle.
func (b *bundle) appliesTo(held bits) bool { return held.meets(b.roles) && !held.meets(b.except) }

// grants reports whether one of the roles that bring the bundle has the duty of
// execution.
func (p *Policy) grants(b *bundle, held bits) bool {
	for i := range held {
		if held[i]&b.roles[i]&p.execute[i] != 0 {
			return true
		}
	}
	return false
}

// union is all that both needs take, the greater count of each role, or of each
// set of roles that any may come from. Needs of different sets add up, also where
// the sets overlap: each takes people of its own.
func union(a, b bastion.Needs) bastion.Needs {
	for _, n := range b {
		i := slices.IndexFunc(a, func(m bastion.Need) bool { return m.Role == n.Role && slices.Equal(m.Or, n.Or) })
		switch {
		case i < 0:
			n.Or = slices.Clone(n.Or)
			a = append(a, n)
		case a[i].Count < n.Count:
			a[i].Count = n.Count
		}
	}
	slices.SortFunc(a, func(m, n bastion.Need) int {
		return cmp.Or(strings.Compare(m.Role, n.Role), slices.Compare(m.Or, n.Or))
	})
	return a
}

// bits is a set of small numbers.
type bits []byte

func newBits(n int) bits { return make(bits, (n+7)/8) }

func (b bits) set(i int)      { b[i/8] |= 1 << (i % 8) }
func (b bits) has(i int) bool { return b[i/8]&(1<<(i%8)) != 0 }

// meets reports whether two sets of the same size have a number in common.
func (b bits) meets(c bits) bool {
	for i := range b {
		if b[i]&c[i] != 0 {
			return true
		}
	}
	return false
}
