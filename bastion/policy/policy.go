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
	// Groups are the groups that the provider is known to have. If there are any,
	// groups on one side only are warned of.
	Groups []string
	// PseudonymKey makes pseudonyms; without it they are redacted whole.
	PseudonymKey []byte
}

// Policy decides. It implements [bastion.Policy] and is safe for concurrent use.
// The zero Policy, like a nil one, denies everything and shows nothing.
type Policy struct {
	roles    []bastion.Role
	execute  bits             // roles with the duty of execution
	groups   map[string][]int // roles that people hold by a group
	services map[string][]int // roles that services hold by their name
	targets  map[string]target
	key      []byte // for pseudonyms

	mu    sync.RWMutex
	views map[viewKey]*view // grows to maxViews, then starts anew; guarded by mu
}

// target is a configured target and the class that it belongs to.
type target struct {
	kind   string
	labels map[string]string
	class  *class
}

// class is all targets of a kind on which the same bundles and labels hold.
type class struct {
	verbs   []bastion.Verb // sorted; nil if no connector knows the kind
	bundles []*bundle
	labels  []*label
	rules   map[bastion.Verb][]*rule // what any bundle says of a verb
}

type bundle struct {
	name   string
	pos    Pos
	roles  bits
	except bits
	clear  []string
	fresh  time.Duration
	rules  []*rule
}

type rule struct {
	name   string // bundle/rule
	order  int    // in the file
	pos    Pos
	bundle *bundle
	verbs  []bastion.Verb
	on     []pattern
	effect bastion.Effect
	reason string
	next   string
	needs  bastion.Needs
	within time.Duration
	holds  time.Duration
}

type label struct {
	name  string
	pos   Pos
	masks []mask.Label
}

// star stands for every verb, in a deny.
const star bastion.Verb = "*"

// maxViews bounds the memory that views take. There is one for each set of roles
// that somebody holds and each class of targets that they looked at.
const maxViews = 1024

type viewKey struct {
	class *class
	roles string
}

// view is a class of targets as people with one set of roles meet it.
type view struct {
	lines  map[bastion.Verb][]line // of the verbs that the kind knows, in the order of the file
	held   []string                // names of the roles
	acts   bool                    // one of the roles has the duty of execution
	mask   mask.Rules
	access func() bastion.Access
}

// line is a rule of a bundle that the roles have. Where they have it without the
// duty of execution it grants nothing, and still limits.
type line struct {
	*rule
	grants bool
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
		execute: newBits(len(f.Roles)), key: slices.Clone(c.PseudonymKey), views: map[viewKey]*view{},
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
		p.roles = append(p.roles, role)
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
	order := 0
	for _, b := range f.Bundles {
		made := &bundle{name: b.Name.Text, pos: b.Name.Pos, roles: set(b.Roles), except: set(b.Except), clear: texts(b.Clear), fresh: b.Fresh.D}
		for _, r := range b.Rules {
			made.rules = append(made.rules, compileRule(made, r, order))
			order++
		}
		bundles = append(bundles, made)
	}
	var labels []*label
	for _, l := range f.Columns {
		made := &label{name: l.Name.Text, pos: l.Name.Pos}
		kind, err := mask.ParseKind(l.Mask.Text)
		if err != nil {
			kind = mask.Redact // check refuses the file before this
		}
		for _, c := range l.Columns {
			made.masks = append(made.masks, mask.Label{Pattern: c.Text, Kind: kind, Lookup: l.Lookup})
		}
		labels = append(labels, made)
	}
	p.classify(f, c, bundles, labels)
	return p
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
	if made.effect == bastion.Ask {
		made.within, made.holds = r.Within.D, r.Holds.D
		if !r.Within.set() {
			made.within = DefaultWithin
		}
		for _, a := range r.Approvals {
			n := bastion.Need{Count: a.Count.N, Role: a.Role.Text}
			if !a.Count.set() {
				n.Count = 1
			}
			made.needs = union(made.needs, bastion.Needs{n})
		}
	}
	return made
}

// classify sorts the targets into classes: thousands of targets are a few classes.
func (p *Policy) classify(f File, c Context, bundles []*bundle, labels []*label) {
	verbs := map[string][]bastion.Verb{}
	for kind, infos := range c.Verbs {
		known := []bastion.Verb{bastion.Connect}
		for _, i := range infos {
			known = append(known, i.Verb)
		}
		slices.Sort(known)
		verbs[kind] = slices.Compact(known)
	}
	classes := map[string]*class{}
	for _, t := range c.Targets {
		holds := newBits(len(bundles) + len(labels))
		for i, b := range f.Bundles {
			if b.Targets.matches(t) {
				holds.set(i)
			}
		}
		for i, l := range f.Columns {
			if !l.Targets.set() || l.Targets.matches(t) {
				holds.set(len(bundles) + i)
			}
		}
		key := string(holds) + t.Kind
		made := classes[key]
		if made == nil {
			made = &class{verbs: verbs[t.Kind], rules: map[bastion.Verb][]*rule{}}
			for i, b := range bundles {
				if !holds.has(i) {
					continue
				}
				made.bundles = append(made.bundles, b)
				for _, r := range b.rules {
					for _, v := range r.verbs {
						made.rules[v] = append(made.rules[v], r)
					}
				}
			}
			for i, l := range labels {
				if holds.has(len(bundles) + i) {
					made.labels = append(made.labels, l)
				}
			}
			classes[key] = made
		}
		p.targets[t.Name] = target{kind: t.Kind, labels: maps.Clone(t.Labels), class: made}
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
	held := p.held(nil, who)
	for i, r := range p.roles {
		if held.has(i) {
			r.Duties = slices.Clone(r.Duties)
			roles = append(roles, r)
		}
	}
	slices.SortFunc(roles, func(a, b bastion.Role) int { return cmp.Compare(a.Name, b.Name) })
	return roles
}

// held is the set of roles that the identity holds, in the memory of buf if that
// is large enough.
func (p *Policy) held(buf []byte, who bastion.Identity) bits {
	n := (len(p.roles) + 7) / 8
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	b := bits(buf[:n])
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
	case bastion.Service:
		for _, i := range p.services[who.Subject] {
			b.set(i)
		}
	}
	return b
}

// look finds the view that the identity has of a target. A target that is not the
// one that the policy was made for is unknown to it.
func (p *Policy) look(who bastion.Identity, t bastion.Target) (*class, *view) {
	if p == nil {
		return nil, nil
	}
	known, ok := p.targets[t.Name]
	if !ok || known.kind != t.Kind || !maps.Equal(known.labels, t.Labels) {
		return nil, nil
	}
	var buf [32]byte
	held := p.held(buf[:], who)
	p.mu.RLock()
	v := p.views[viewKey{known.class, string(held)}]
	p.mu.RUnlock()
	if v != nil {
		return known.class, v
	}
	v = p.view(known.class, held)
	p.mu.Lock()
	if len(p.views) >= maxViews {
		clear(p.views)
	}
	p.views[viewKey{known.class, string(held)}] = v
	p.mu.Unlock()
	return known.class, v
}

// view works out what a set of roles meets on a class of targets.
func (p *Policy) view(c *class, held bits) *view {
	v := &view{lines: map[bastion.Verb][]line{}, acts: held.meets(p.execute), mask: p.masks(c, held)}
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
		for _, r := range b.rules {
			verbs := r.verbs
			if slices.Contains(verbs, star) {
				verbs = c.verbs
			}
			for _, verb := range verbs {
				if slices.Contains(c.verbs, verb) {
					v.lines[verb] = append(v.lines[verb], line{r, grants})
				}
			}
		}
	}
	v.access = sync.OnceValue(func() bastion.Access { return v.survey(c.verbs) })
	return v
}

// masks is what a set of roles does not see on a class of targets: all its
// labels but those that a granting bundle shows.
func (p *Policy) masks(c *class, held bits) mask.Rules {
	var cleared []string
	for _, b := range c.bundles {
		if len(b.clear) > 0 && b.appliesTo(held) && p.grants(b, held) {
			cleared = append(cleared, b.clear...)
		}
	}
	var masks []mask.Label
	for _, l := range c.labels {
		if !slices.Contains(cleared, l.name) {
			masks = append(masks, l.masks...)
		}
	}
	rules, err := mask.NewRules(p.key, masks...)
	if err != nil {
		return mask.Rules{} // hides everything; check refuses such patterns
	}
	return rules
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

// union is all that both needs take, the greater count of each role.
func union(a, b bastion.Needs) bastion.Needs {
	for _, n := range b {
		i := slices.IndexFunc(a, func(m bastion.Need) bool { return m.Role == n.Role })
		switch {
		case i < 0:
			a = append(a, n)
		case a[i].Count < n.Count:
			a[i].Count = n.Count
		}
	}
	slices.SortFunc(a, func(m, n bastion.Need) int { return strings.Compare(m.Role, n.Role) })
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
