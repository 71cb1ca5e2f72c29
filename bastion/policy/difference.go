package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// ChangeKind is how a change matters. The kinds are ordered: what gives something
// comes before what takes something.
type ChangeKind uint8

// The kinds of change.
const (
	GainsDuty   ChangeKind = iota // a duty, or a role in which one approves
	GainsAccess                   // something that was refused, or needed approval
	Eased                         // approval takes other people, or fewer, or counts for longer; an older sign-in will do
	Unmasked                      // something that was hidden, or could not be used
	Joined                        // roles may be held together
	LosesDuty
	LosesAccess
	Tightened
	Masked
	Parted
)

// String is the kind in words.
func (k ChangeKind) String() string {
	switch k {
	case GainsDuty:
		return "GAINS DUTY"
	case GainsAccess:
		return "GAINS ACCESS"
	case Eased:
		return "EASIER TERMS"
	case Unmasked:
		return "LIFTED MASK"
	case Joined:
		return "LIFTED SEPARATION"
	case LosesDuty:
		return "loses duty"
	case LosesAccess:
		return "loses access"
	case Tightened:
		return "stricter terms"
	case Masked:
		return "new mask"
	case Parted:
		return "new separation"
	}
	return "change"
}

// Gains reports whether the change gives something.
func (k ChangeKind) Gains() bool { return k < LosesDuty }

// Change is one thing that two policies decide differently.
type Change struct {
	Kind ChangeKind
	// Who names the groups and services that it concerns, with people who are known.
	Who string
	// Targets names those that it concerns; empty if it has nothing to do with targets.
	Targets string
	What    string
}

// Difference is what two policies decide differently, the dangerous part first.
type Difference struct {
	Changes []Change
	// Note says what was not compared; empty if everything was.
	Note string

	gain, lose []string // known people and services; groups and services if nobody is known
	called     string   // what these are
}

// Summary is the difference in a few words.
func (d Difference) Summary() string {
	if len(d.Changes) == 0 {
		return "nothing changes in meaning"
	}
	say := func(names []string, some bool, one, many string) string {
		switch {
		case len(names) == 0 && some:
			return "nobody known " + one
		case len(names) == 0:
			return "nobody " + one
		case len(names) == 1:
			return names[0] + " " + one
		case len(names) <= 3:
			return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " " + many
		}
		return fmt.Sprintf("%d %s %s", len(names), d.called, many)
	}
	gains := slices.ContainsFunc(d.Changes, func(c Change) bool { return c.Kind.Gains() })
	loses := slices.ContainsFunc(d.Changes, func(c Change) bool { return !c.Kind.Gains() })
	return say(d.gain, gains, "gains", "gain") + "; " + say(d.lose, loses, "loses", "lose")
}

// maxGroups bounds the groups of which all combinations are compared; of more, only
// single ones, pairs, and what known people hold.
const maxGroups = 8

// maxSamples bounds the objects that are tried for a verb.
const maxSamples = 4096

// Compare says what two policies of one context decide differently: for everybody,
// by the groups of the provider that a person is in, and for each service. People are
// those who are known, to name who is concerned. Two policies that decide the same
// have no difference, whatever their texts.
func Compare(before, after *Policy, people []bastion.Identity) Difference {
	c := &comparison{before: before, after: after, found: map[fact][]int{}, where: map[string][]string{}, tried: map[trial][]sample{}, of: map[*rule]*Policy{}}
	c.subjects(people)
	for _, p := range c.classes() {
		c.compare(p)
	}
	for i := range c.who {
		c.duties(i)
	}
	c.everybody()
	return c.difference()
}

// subject is somebody whom the policies are asked about.
type subject struct {
	id     bastion.Identity
	groups []string // of a person
	people []string // known, who are in exactly these groups
}

// comparison is the work of comparing.
type comparison struct {
	before, after *Policy
	who           []subject
	partly        bool // not all combinations of groups are among them
	known         int  // people

	found map[fact][]int      // to the subjects that it is true of
	where map[string][]string // the first target of a class pair -> all of them
	tried map[trial][]sample
	of    map[*rule]*Policy // of each rule that is suspect
	parts bool              // some objects were left out
}

// trial is what samples were made for.
type trial struct {
	before, after *class
	verb          bastion.Verb
	all           bool
	suspects      string
}

// rulesKey tells sets of rules apart.
func rulesKey(rules map[*rule]bool) string {
	var keys []string
	for r := range rules {
		keys = append(keys, fmt.Sprintf("%p", r))
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// fact is one difference. Two facts that differ only in the item are told together.
type fact struct {
	kind    ChangeKind
	targets string // the first of the class pair
	detail  string
	item    item
}

// item is what a difference is about.
type item struct {
	verb   bastion.Verb // or a word of our own
	object string       // with \x00 where anything may stand; empty: any
	column string
	rows   string
	with   string // access that was granted for a time
	plain  bool   // the object is the verb's own, as in "show x", and not where it is done
}

// rest is the item in words, without its verb.
func (i item) rest() string {
	s := ""
	switch {
	case i.object == "":
	case i.plain:
		s += " " + shown(i.object)
	default:
		s += " on " + shown(i.object)
	}
	if i.column != "" {
		s += " with column " + shown(i.column)
	}
	if i.rows != "" {
		s += " of " + i.rows
	}
	if i.with != "" {
		s += " during access " + i.with
	}
	return s
}

func shown(sample string) string { return strings.ReplaceAll(sample, "\x00", "*") }

// covers reports whether whatever is true of i says the same of j.
func (i item) covers(j item) bool {
	names := func(a, b string) bool { return a == "" || a == b || b != "" && glob(shown(a), b) }
	return i.verb == j.verb && names(i.object, j.object) && names(i.column, j.column) && (i.rows == "" || i.rows == j.rows) && (i.with == "" || i.with == j.with)
}

// subjects lists whom to ask about. Groups by which people hold the same roles under
// both policies are one.
func (c *comparison) subjects(people []bastion.Identity) {
	groups := slices.Sorted(maps.Keys(keysOf(c.before.groups, c.after.groups)))
	first := map[string]string{} // what a group brings -> the first group that does
	same := map[string]string{}  // group -> that group
	var different []string
	for _, g := range groups {
		key := fmt.Sprint(c.before.named(c.before.groups[g]), c.after.named(c.after.groups[g]))
		if _, ok := first[key]; !ok {
			first[key], different = g, append(different, g)
		}
		same[g] = first[key]
	}
	index := map[string]int{}
	add := func(gs []string) int {
		key := strings.Join(gs, "\x00")
		if i, ok := index[key]; ok {
			return i
		}
		index[key] = len(c.who)
		c.who = append(c.who, subject{groups: gs, id: bastion.Identity{Issuer: "compare", Subject: "people " + key, Kind: bastion.Person, Name: "people", Groups: gs}})
		return len(c.who) - 1
	}
	if len(different) <= maxGroups {
		for set := 1; set < 1<<len(different); set++ {
			var gs []string
			for i, g := range different {
				if set&(1<<i) != 0 {
					gs = append(gs, g)
				}
			}
			add(gs)
		}
	} else {
		c.partly = true
		for i, g := range different {
			add([]string{g})
			for _, h := range different[i+1:] {
				add([]string{g, h})
			}
		}
	}
	for _, k := range []*Policy{c.before, c.after} {
		for _, s := range k.separations {
			if gs := k.brings(s.roles, same); gs != nil {
				add(gs)
			}
		}
	}
	for _, p := range people {
		if p.Kind != bastion.Person {
			continue
		}
		c.known++
		var gs []string
		for _, g := range p.Groups {
			if s, ok := same[g]; ok && !slices.Contains(gs, s) {
				gs = append(gs, s)
			}
		}
		if len(gs) == 0 {
			continue
		}
		slices.Sort(gs)
		i := add(gs)
		c.who[i].people = append(c.who[i].people, p.Name)
	}
	for _, s := range slices.Sorted(maps.Keys(keysOf(c.before.services, c.after.services))) {
		c.who = append(c.who, subject{id: bastion.Identity{Issuer: "compare", Subject: s, Kind: bastion.Service, Name: s}})
	}
}

// brings lists groups that together bring all roles of a set, each by the name of the
// first that brings the same; nil if there are none.
func (p *Policy) brings(roles bits, same map[string]string) []string {
	var gs []string
	for i := range p.roles {
		if !roles.has(i) {
			continue
		}
		found := false
		for _, g := range slices.Sorted(maps.Keys(p.groups)) {
			if slices.Contains(p.groups[g], i) {
				found = true
				if !slices.Contains(gs, same[g]) {
					gs = append(gs, same[g])
				}
				break
			}
		}
		if !found {
			return nil
		}
	}
	slices.Sort(gs)
	return gs
}

// keysOf has the keys of both.
func keysOf(a, b map[string][]int) map[string][]int {
	all := maps.Clone(a)
	if all == nil {
		all = map[string][]int{}
	}
	maps.Copy(all, b)
	return all
}

// named are the names of roles, sorted.
func (p *Policy) named(roles []int) []string {
	var names []string
	for _, i := range roles {
		names = append(names, p.roles[i].Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pair is a class of targets before and after.
type pair struct {
	before, after *class
	target        bastion.Target // one of them
	names         []string
}

func (c *comparison) classes() []pair {
	type key struct{ before, after *class }
	found := map[key]int{}
	var pairs []pair
	for _, name := range slices.Sorted(maps.Keys(c.after.targets)) {
		b, ok := c.before.targets[name]
		a := c.after.targets[name]
		if !ok {
			continue // not of one context
		}
		k := key{b.class, a.class}
		i, ok := found[k]
		if !ok {
			i = len(pairs)
			found[k] = i
			pairs = append(pairs, pair{b.class, a.class, a.target, nil})
		}
		pairs[i].names = append(pairs[i].names, name)
	}
	return pairs
}

// compare compares what everybody may do on targets of one pair of classes.
func (c *comparison) compare(p pair) {
	where := p.names[0] // stands for all of them
	c.where[where] = p.names
	suspects := c.suspect(p)
	type stance struct{ before, after string }
	byGrant := func(c *class) bool { return slices.ContainsFunc(c.bundles, (*bundle).byGrant) }
	lent := byGrant(p.before) || byGrant(p.after)
	same := hidden(p.before) == hidden(p.after)
	seen := map[stance][]fact{}
	matter := keysOf(c.before.mattering(p.before), c.after.mattering(p.after))
	for i, who := range c.who {
		st := stance{c.before.stance(who.id, matter), c.after.stance(who.id, matter)}
		facts, ok := seen[st]
		if !ok {
			all := st.before != st.after // then every rule may tell
			telling := suspects
			if !all {
				telling = c.meeting(who.id, suspects)
			}
			if lent {
				facts = c.terms(p, who.id)
			}
			for _, g := range c.grants(p, who.id, lent) {
				who := who.id
				if g.Bundle != "" {
					who.Grants = []bastion.Grant{g}
				}
				for _, f := range append(c.decisions(p, who, telling, all), c.masks(p, who, same)...) {
					f.item.with = g.Bundle
					if g.Bundle == "" || !slices.ContainsFunc(facts, func(o fact) bool { return o.kind == f.kind && o.detail == f.detail && o.item.covers(f.item) }) {
						facts = append(facts, f)
					}
				}
			}
			seen[st] = facts
		}
		for _, f := range facts {
			f.targets = where
			if of := c.found[f]; len(of) == 0 || of[len(of)-1] != i {
				c.found[f] = append(of, i)
			}
		}
	}
}

// grants are the ways in which an identity may meet targets of a class: with nothing
// granted to it, and, where something is lent at all, with each access that it can
// ask for by one of the policies.
func (c *comparison) grants(p pair, who bastion.Identity, lent bool) []bastion.Grant {
	all := []bastion.Grant{{}}
	if !lent {
		return all
	}
	for _, k := range []*Policy{c.before, c.after} {
		for _, t := range k.Terms(who, p.target) {
			g := bastion.Grant{Target: p.target.Name, Bundle: t.Bundle, Emergency: t.Emergency}
			if !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return all
}

// view is what an identity meets on a target; nil if the policy does not know it.
func (c *comparison) view(p *Policy, who bastion.Identity, t bastion.Target) *view {
	v := p.look(who, t.Name, sameAs(t))
	if v == nil {
		return nil
	}
	return p.with(v, who.Grants, t.Name)
}

// stance is all of an identity that decisions about a class depend on: the roles
// that matter there.
func (p *Policy) stance(who bastion.Identity, matter map[string][]int) string {
	held := p.held(who)
	var names []string
	for i, r := range p.roles {
		if _, ok := matter[r.Name]; ok && held.has(i) {
			names = append(names, fmt.Sprint(r.Name, " ", p.execute.has(i)))
		}
	}
	slices.Sort(names)
	return string(who.Kind) + " " + strings.Join(names, ", ")
}

// mattering are the names of the roles that bundles of a class name.
func (p *Policy) mattering(c *class) map[string][]int {
	names := map[string][]int{}
	for _, b := range c.bundles {
		for i, r := range p.roles {
			if b.roles.has(i) || b.except.has(i) {
				names[r.Name] = nil
			}
		}
	}
	return names
}

// canonical is all of a bundle and a rule that decisions depend on, the order and
// the names of both left out.
func (p *Policy) canonical(b *bundle, r *rule) string {
	roles := func(set bits) []string {
		var names []string
		for i, r := range p.roles {
			if set.has(i) {
				names = append(names, r.Name)
			}
		}
		slices.Sort(names)
		return names
	}
	words := func(ps []pattern) []string {
		var s []string
		for _, p := range ps {
			s = append(s, p.text)
		}
		slices.Sort(s)
		return slices.Compact(s)
	}
	var lifted []string
	for _, b := range r.liftedBy {
		lifted = append(lifted, b.name)
	}
	slices.Sort(lifted)
	had := ""
	if b.byGrant() { // by its name, since what is granted is granted so
		had = fmt.Sprintf("%s %+v %+v", b.name, b.request, b.emergency)
	}
	return fmt.Sprintf("%q %q %q %v %v %q", roles(b.roles), roles(b.except), r.effect, b.fresh, r.rows, had) +
		fmt.Sprintf(" %q %q %q %+v %v %v %v %q", words(r.on), words(r.columns), slices.Sorted(slices.Values(r.verbs)), r.needs, r.within, r.holds, r.otherTeam, lifted) + fmt.Sprint(r.try)
}

// suspect finds the rules that only one of the two classes has.
func (c *comparison) suspect(p pair) map[*rule]bool {
	of := func(k *Policy, c *class) map[string][]*rule {
		m := map[string][]*rule{}
		for _, b := range c.bundles {
			for _, r := range b.rules {
				s := k.canonical(b, r)
				m[s] = append(m[s], r)
			}
		}
		return m
	}
	b, a := of(c.before, p.before), of(c.after, p.after)
	suspects := map[*rule]bool{}
	for s, rules := range b {
		if _, both := a[s]; !both {
			for _, r := range rules {
				suspects[r], c.of[r] = true, c.before
			}
		}
	}
	for s, rules := range a {
		if _, both := b[s]; !both {
			for _, r := range rules {
				suspects[r], c.of[r] = true, c.after
			}
		}
	}
	return suspects
}

// meeting is the rules of which one identity has the bundle.
func (c *comparison) meeting(who bastion.Identity, rules map[*rule]bool) map[*rule]bool {
	before, after := c.before.held(who), c.after.held(who)
	met := map[*rule]bool{}
	for r := range rules {
		held := before
		if c.of[r] == c.after {
			held = after
		}
		if r.bundle.appliesTo(held) {
			met[r] = true
		}
	}
	return met
}

// decisions compares what one identity may do. all has every rule be suspect.
func (c *comparison) decisions(p pair, who bastion.Identity, suspects map[*rule]bool, all bool) []fact {
	trust := !slices.Equal(trusted(p.before.trust), trusted(p.after.trust))
	if len(suspects) == 0 && !all && !trust {
		return nil
	}
	var rules []*rule
	for _, k := range []*class{p.before, p.after} {
		for _, b := range k.bundles {
			rules = append(rules, b.rules...)
		}
	}
	var facts []fact
	for _, verb := range p.after.verbs {
		key := trial{p.before, p.after, verb, all, rulesKey(suspects)}
		samples, ok := c.tried[key]
		if !ok {
			samples = c.telling(verb, rules, p.after, func(r *rule) bool { return all || suspects[r] || trust && len(r.columns) > 0 })
			c.tried[key] = samples
		}
		for _, s := range samples {
			op := bastion.Plan(p.target, "", s.intent)
			if s.rows != nil {
				op = op.Estimated(*s.rows)
			}
			b, a := c.before.Decide(who, op), c.after.Decide(who, op)
			if kind, detail, differ := judged(b, a); differ {
				facts = append(facts, fact{kind: kind, detail: detail, item: s.item})
			}
		}
	}
	return facts
}

// telling lists operations of a verb of which the rules that may tell say something.
func (c *comparison) telling(verb bastion.Verb, rules []*rule, k *class, may func(*rule) bool) []sample {
	var of, telling []*rule
	for _, r := range rules {
		if !slices.Contains(r.verbs, verb) && !slices.Contains(r.verbs, star) {
			continue
		}
		of = append(of, r)
		if may(r) {
			telling = append(telling, r)
		}
	}
	if len(telling) == 0 {
		return nil
	}
	return c.samples(verb, telling, of, k)
}

// sample is an operation to be decided upon.
type sample struct {
	item
	intent bastion.Intent
	rows   *int64
}

// samples lists operations of a verb so that whatever the telling rules change is
// true of one of them at least: of what each names, of what it names together with
// another rule, of each column and number of rows on either side of a limit.
func (c *comparison) samples(verb bastion.Verb, telling, of []*rule, k *class) []sample {
	objects := map[string]bool{}
	columns := map[string]bool{}
	rows := []int64{}
	limited := false
	for _, r := range of {
		for _, n := range []int64{r.rows.over, r.rows.upTo} {
			if n >= 0 && n < anyRows.upTo {
				rows = append(rows, n+1)
			}
		}
		limited = limited || len(r.columns) > 0
	}
	named := func(r *rule) []string {
		if len(r.on) == 0 {
			return []string{"*"}
		}
		var s []string
		for _, p := range r.on {
			s = append(s, p.text)
		}
		return s
	}
	for _, t := range telling {
		for _, p := range named(t) {
			if p == "*" {
				objects[""] = true
			}
			objects[generic(p)] = true
			for _, r := range of {
				for _, q := range named(r) {
					for _, m := range members(p, q) {
						if len(objects) < maxSamples {
							objects[m] = true
						} else {
							c.parts = true
						}
					}
				}
			}
		}
	}
	if limited {
		var patterns []string
		for _, r := range of {
			for _, p := range r.columns {
				patterns = append(patterns, p.text)
			}
		}
		for i, p := range patterns {
			columns[generic(p)] = true
			for _, q := range patterns[i+1:] {
				for _, m := range members(p, q) {
					if len(columns) < maxSamples {
						columns[m] = true
					} else {
						c.parts = true
					}
				}
			}
			for o := range maps.Clone(objects) { // one of its own for every object
				for _, m := range members(p, o+".*") {
					columns[m] = true
				}
			}
		}
		for col := range columns {
			objects[col[:strings.LastIndexByte(col, '.')]] = true
		}
		for o := range objects {
			if o != "" {
				columns[o+".\x00"] = true
			}
		}
	}
	// An estimate in each range in which all rules say the same, none, and one that
	// nobody can make.
	type estimate struct {
		rows *int64
		name string
	}
	estimates := []estimate{{}}
	if len(rows) > 0 {
		rows = append(rows, 0)
		slices.Sort(rows)
		rows = slices.Compact(rows)
		unknown := int64(-1)
		estimates = append(estimates, estimate{&unknown, "a number of rows that cannot be estimated"})
		for i := range rows {
			reach := span{rows[i] - 1, anyRows.upTo}
			if i+1 < len(rows) {
				reach.upTo = rows[i+1] - 1
			}
			estimates = append(estimates, estimate{&rows[i], reach.String()})
		}
	}
	var all []sample
	for _, o := range slices.Sorted(maps.Keys(objects)) {
		i := item{verb: verb, object: o}
		if o == generic("*") {
			i.object = ""
		}
		if o == "" {
			i.object = "" // and what has no object
		}
		in := bastion.Intent{Verb: verb, Actions: []bastion.Action{{Verb: verb, Resource: o}}}
		intents := []sample{{item: i, intent: in}}
		for _, col := range slices.Sorted(maps.Keys(columns)) {
			if o == "" || !belongs(col, o) {
				continue
			}
			with := sample{item: i, intent: in}
			with.column = col
			if k.writes[verb] {
				with.intent.Writes = []string{col}
			} else {
				with.intent.Outputs = []mask.Column{{Name: "c", Sources: []string{col}, Proven: true}}
			}
			intents = append(intents, with)
		}
		for _, s := range intents {
			for _, e := range estimates {
				s.rows, s.item.rows = e.rows, e.name
				all = append(all, s)
			}
		}
	}
	return all
}

// judged says how two decisions on one operation differ.
func judged(b, a bastion.Decision) (kind ChangeKind, detail string, differ bool) {
	was, is := conditions(b), conditions(a)
	switch {
	case b.Effect == bastion.Deny && a.Effect == bastion.Deny || b.Effect == a.Effect && slices.Equal(was, is):
		return 0, "", false
	case b.Effect < a.Effect:
		kind = GainsAccess
	case b.Effect > a.Effect:
		kind = LosesAccess
	case stricterThan(a, b):
		kind = Tightened
	default:
		kind = Eased
	}
	if b.Effect == a.Effect { // what is the same on both sides need not be said
		before, after := was, is
		was = slices.DeleteFunc(slices.Clone(was), func(t string) bool { return slices.Contains(after, t) })
		is = slices.DeleteFunc(slices.Clone(is), func(t string) bool { return slices.Contains(before, t) })
	}
	return kind, described(b.Effect, was) + " → " + described(a.Effect, is), true
}

// stricterThan reports whether a asks for all that b asks for, and no longer.
func stricterThan(a, b bastion.Decision) bool {
	covers := !slices.ContainsFunc(b.Needs, func(n bastion.Need) bool {
		return !slices.ContainsFunc(a.Needs, func(m bastion.Need) bool {
			return m.Count >= n.Count && n.Takes(m.Role) && !slices.ContainsFunc(m.Or, func(r string) bool { return !n.Takes(r) })
		})
	})
	fresh := b.Fresh == 0 || a.Fresh > 0 && a.Fresh <= b.Fresh
	return covers && fresh && a.Holds <= b.Holds && a.Within <= b.Within && (a.OtherTeam || !b.OtherTeam) && (b.Try || !a.Try)
}

// conditions are what a decision that is no denial asks of a person, in words.
func conditions(d bastion.Decision) []string {
	var parts []string
	if d.Effect == bastion.Ask {
		parts = append(parts, d.Needs.String())
		if d.OtherTeam {
			parts = append(parts, "of another team")
		}
		parts = append(parts, "within "+bastion.Span(d.Within))
		if d.Holds > 0 {
			parts = append(parts, "usable for "+bastion.Span(d.Holds))
		}
		if d.Try {
			parts = append(parts, "tried before if an approver wants")
		}
	}
	if d.Effect != bastion.Deny && d.Fresh > 0 {
		parts = append(parts, "signed in less than "+bastion.Span(d.Fresh)+" ago")
	}
	return parts
}

// described is an effect with its conditions.
func described(e bastion.Effect, conditions []string) string {
	if len(conditions) == 0 {
		return e.String()
	}
	return e.String() + " (" + strings.Join(conditions, ", ") + ")"
}

// hidden is all that a class hides from those to whom nothing is shown, in one text.
func hidden(c *class) string {
	var all []string
	for _, l := range c.labels {
		all = append(all, fmt.Sprintf("%q %+v %v %v %+v", l.name, l.masks, l.lookup, l.probe, l.needs))
	}
	for _, d := range c.detectors {
		all = append(all, fmt.Sprintf("%q %+v", d.name, d.detections))
	}
	slices.Sort(all)
	return fmt.Sprintf("%q %q", all, trusted(c.trust))
}

// shows lists what bundles of a class show to an identity, and might for a time.
func (p *Policy) shows(c *class, who bastion.Identity) []string {
	held := p.held(who)
	var names []string
	for _, b := range c.bundles {
		if len(b.clear) == 0 || !b.appliesTo(held) || !p.grants(b, held) {
			continue
		}
		if !b.byGrant() || slices.ContainsFunc(who.Grants, func(g bastion.Grant) bool { return g.Bundle == b.name && b.takes(&g) }) {
			names = append(names, b.clear...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// masks compares what one identity sees, and how it may use what it does not see.
// same: both classes hide the same from those to whom nothing is shown.
func (c *comparison) masks(p pair, who bastion.Identity, same bool) []fact {
	if same && slices.Equal(c.before.shows(p.before, who), c.after.shows(p.after, who)) {
		return nil
	}
	b, a := c.view(c.before, who, p.target), c.view(c.after, who, p.target)
	if b == nil || a == nil || !b.gives() && !a.gives() {
		return nil // what cannot be reached need not be hidden
	}
	var facts []fact
	add := func(gains bool, word, object, detail string) {
		kind := Masked
		if gains {
			kind = Unmasked
		}
		facts = append(facts, fact{kind: kind, detail: detail, item: item{verb: bastion.Verb(word), object: object, plain: true}})
	}
	for _, col := range c.columns(p.before.labels, p.after.labels) {
		was, is := b.mask.Source(col), a.mask.Source(col)
		if was != is {
			add(is > was, "show", col, was.String()+" → "+is.String())
		}
		if was == mask.Clear || is == mask.Clear {
			continue // what is shown may be used, which goes without saying
		}
		u, v := c.before.weighUses(b, col), c.after.weighUses(a, col)
		for _, way := range []struct {
			name string
			b, a use
		}{{"look up by =", u.equal, v.equal}, {"filter or sort by", u.other, v.other}} {
			if kind, detail, differ := judged(way.b.decision(), way.a.decision()); differ {
				add(kind.Gains(), way.name, col, detail)
			}
		}
	}
	was, is := b.finds(), a.finds()
	detectors := maps.Clone(was)
	maps.Copy(detectors, is)
	for _, d := range slices.Sorted(maps.Keys(detectors)) {
		w, ok := was[d]
		if !ok {
			w = mask.Clear
		}
		n, ok := is[d]
		if !ok {
			n = mask.Clear
		}
		if w != n {
			add(n > w, "values that look like "+d, "", w.String()+" → "+n.String())
		}
	}
	before, after := trusted(p.before.trust), trusted(p.after.trust)
	hides := func(v *view) bool { return !v.mask.HidesNothing() }
	if hides(b) || hides(a) {
		for _, f := range after {
			if !slices.Contains(before, f) {
				add(true, "function "+f, "", "not trusted → trusted with hidden values")
			}
		}
		for _, f := range before {
			if !slices.Contains(after, f) {
				add(false, "function "+f, "", "trusted with hidden values → not trusted")
			}
		}
	}
	return facts
}

// gives reports whether a rule lets something happen.
func (v *view) gives() bool {
	for _, lines := range v.lines {
		if slices.ContainsFunc(lines, func(l line) bool { return l.grants && l.effect != bastion.Deny }) {
			return true
		}
	}
	return false
}

// decision is what a use alone would come to.
func (u use) decision() bastion.Decision {
	return bastion.Decision{Effect: u.effect, Needs: u.needs, Within: DefaultWithin}
}

// columns are samples of what labels name, each by itself and with another.
func (c *comparison) columns(before, after []*label) []string {
	var patterns []string
	for _, l := range slices.Concat(before, after) {
		for _, m := range l.masks {
			patterns = append(patterns, strings.ToLower(m.Pattern))
		}
	}
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	columns := map[string]bool{}
	for i, p := range patterns {
		columns[generic(p)] = true
		for _, q := range patterns[i+1:] {
			if len(columns) >= maxSamples {
				c.parts = true
				break
			}
			for _, m := range members(p, q) {
				columns[m] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(columns))
}

// finds is how values that detectors find are hidden, by the detector's name.
func (v *view) finds() map[string]mask.Kind {
	kinds := map[string]mask.Kind{}
	for _, d := range v.class.detectors {
		if !slices.Contains(v.values, d.name) {
			continue
		}
		for _, x := range d.detections {
			name := fmt.Sprint(x.Detector)
			if k, ok := kinds[name]; !ok || x.Kind < k {
				kinds[name] = x.Kind
			}
		}
	}
	return kinds
}

// trusted is trusted functions, without those that another one covers.
func trusted(fs []string) []string {
	var s []string
	for _, f := range fs {
		name, _, _ := strings.Cut(f, "(")
		if f == name+"(*)" || !slices.Contains(fs, name+"(*)") {
			s = append(s, f)
		}
	}
	slices.Sort(s)
	return slices.Compact(s)
}

// terms compares what one identity can ask for.
func (c *comparison) terms(p pair, who bastion.Identity) []fact {
	words := func(ts []bastion.Terms) []string {
		var s []string
		for _, t := range ts {
			w := fmt.Sprintf("%s for %s at most, by %s within %s", t.Bundle, bastion.Span(t.Max), t.Needs, bastion.Span(t.Within))
			if t.OtherTeam {
				w += " of another team"
			}
			if t.Emergency {
				w = fmt.Sprintf("%s for %s at most, at once, in an emergency, reviewed by %s", t.Bundle, bastion.Span(t.Max), t.Needs)
			}
			s = append(s, w)
		}
		return s
	}
	before, after := words(c.before.Terms(who, p.target)), words(c.after.Terms(who, p.target))
	var facts []fact
	for _, w := range after {
		if !slices.Contains(before, w) {
			facts = append(facts, fact{kind: GainsAccess, detail: "can be asked for", item: item{verb: bastion.Verb(w)}})
		}
	}
	for _, w := range before {
		if !slices.Contains(after, w) {
			facts = append(facts, fact{kind: LosesAccess, detail: "cannot be asked for any more", item: item{verb: bastion.Verb(w)}})
		}
	}
	return facts
}

// duties compares the duties of a subject, and whether its roles may be held together.
func (c *comparison) duties(i int) {
	who := c.who[i].id
	of := func(p *Policy) []string {
		var s []string
		for _, r := range p.Roles(who) {
			for _, d := range r.Duties {
				w := string(d)
				if d == bastion.Approve {
					w += " as " + r.Name
				}
				if !slices.Contains(s, w) {
					s = append(s, w)
				}
			}
		}
		return s
	}
	note := func(k ChangeKind, word, detail string) {
		f := fact{kind: k, detail: detail, item: item{verb: bastion.Verb(word)}}
		c.found[f] = append(c.found[f], i)
	}
	before, after := of(c.before), of(c.after)
	for _, d := range after {
		if !slices.Contains(before, d) {
			note(GainsDuty, d, "")
		}
	}
	for _, d := range before {
		if !slices.Contains(after, d) {
			note(LosesDuty, d, "")
		}
	}
	was, is := c.before.Conflict(who), c.after.Conflict(who)
	switch {
	case was != nil && is == nil:
		note(Joined, "may act with roles that were kept apart", "")
	case was == nil && is != nil:
		what := "may not act any more: "
		if _, ok := errors.AsType[*bastion.ChoiceError](is); ok {
			what = "has to choose: "
		}
		note(Parted, what+bastion.VisibleLine(is.Error()), "")
	}
}

// everybody compares what is the same for all: the teams, and duties that are apart.
func (c *comparison) everybody() {
	note := func(k ChangeKind, word string) {
		c.found[fact{kind: k, item: item{verb: bastion.Verb(word)}}] = nil
	}
	apart := func(p *Policy) []string {
		var sets []string
		for _, set := range p.Apart() {
			var duties []string
			for _, d := range set {
				duties = append(duties, string(d))
			}
			slices.Sort(duties)
			sets = append(sets, strings.Join(slices.Compact(duties), ", "))
		}
		return sets
	}
	for _, part := range []struct {
		before, after []string
		what          string
	}{{c.before.teams, c.after.teams, "teams by groups "}, {apart(c.before), apart(c.after), "apart in a task: "}} {
		for _, x := range part.after {
			if !slices.Contains(part.before, x) {
				note(Parted, part.what+x)
			}
		}
		for _, x := range part.before {
			if !slices.Contains(part.after, x) {
				note(Joined, part.what+x)
			}
		}
	}
}

// difference tells what was found.
func (c *comparison) difference() Difference {
	d := Difference{called: "groups and services"}
	if c.known > 0 {
		d.called = "people and services"
	}
	type told struct {
		kind         ChangeKind
		targets, who string
		detail       string
	}
	items := map[told][]item{}
	gain, lose := map[string]bool{}, map[string]bool{}
	for f, subjects := range c.found {
		who := c.names(subjects)
		k := told{f.kind, f.targets, who, f.detail}
		items[k] = append(items[k], f.item)
		to := lose
		if f.kind.Gains() {
			to = gain
		}
		for _, i := range subjects {
			switch s := c.who[i]; {
			case s.id.Kind == bastion.Service:
				to[s.id.Name] = true
			case c.known > 0:
				for _, n := range s.people {
					to[n] = true
				}
			case len(s.groups) == 1:
				to[s.groups[0]] = true
			}
		}
	}
	d.gain, d.lose = slices.Sorted(maps.Keys(gain)), slices.Sorted(maps.Keys(lose))
	// The same of several classes of targets is told once.
	type line struct {
		kind      ChangeKind
		who, what string
	}
	where := map[line][]string{}
	for k, is := range items {
		l := line{k.kind, k.who, what(is, k.detail)}
		where[l] = append(where[l], c.where[k.targets]...)
	}
	for l, targets := range where {
		slices.Sort(targets)
		d.Changes = append(d.Changes, Change{l.kind, l.who, list(targets), l.what})
	}
	slices.SortFunc(d.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Targets, b.Targets), cmp.Compare(a.Who, b.Who), cmp.Compare(a.What, b.What))
	})
	if c.partly {
		d.Note = "there are so many groups that of their combinations only pairs, and those that known people hold, were compared"
	}
	if c.parts {
		d.Note = joined(d.Note, "there are so many patterns of objects that not all of their combinations were compared")
	}
	return d
}

// what lists items, those left out that another one covers. Verbs of which the same
// is to be said stand together.
func what(is []item, detail string) string {
	verbs := map[string][]string{}
	for n, i := range is {
		covered := false
		for m, j := range is {
			if n != m && j.covers(i) && (!i.covers(j) || m < n) {
				covered = true
				break
			}
		}
		if !covered {
			verbs[i.rest()] = append(verbs[i.rest()], string(i.verb))
		}
	}
	var parts []string
	for _, rest := range slices.Sorted(maps.Keys(verbs)) {
		slices.Sort(verbs[rest])
		parts = append(parts, strings.Join(slices.Compact(verbs[rest]), ", ")+rest)
	}
	s := strings.Join(parts, "; ")
	if detail != "" {
		s += ": " + detail
	}
	return s
}

// names tells of whom something is true: the smallest sets of groups, the known
// people, and services.
func (c *comparison) names(subjects []int) string {
	var sets [][]string
	var people, services []string
	for _, i := range subjects {
		s := c.who[i]
		people = append(people, s.people...)
		if s.id.Kind == bastion.Service {
			services = append(services, "service "+bastion.VisibleLine(s.id.Name))
		} else {
			sets = append(sets, s.groups)
		}
	}
	if len(subjects) == 0 {
		return "everybody"
	}
	var parts []string
	known := map[string]bool{}
	for _, s := range sets {
		known[strings.Join(s, "\x00")] = true
	}
	for _, s := range sets {
		if !c.smaller(s, known) {
			parts = append(parts, bastion.VisibleLine(strings.Join(s, "+")))
		}
	}
	slices.Sort(parts)
	slices.Sort(people)
	if len(parts) > 0 && len(people) > 0 {
		parts[len(parts)-1] += " (" + bastion.VisibleLine(list(slices.Compact(people))) + ")"
	}
	return strings.Join(append(parts, services...), ", ")
}

// smaller reports whether a part of a set of groups is among the known ones. Of a
// large set only parts of one and two are looked for, which are all that there are.
func (c *comparison) smaller(s []string, known map[string]bool) bool {
	if len(s) > maxGroups {
		for i, g := range s {
			if known[g] || slices.ContainsFunc(s[i+1:], func(h string) bool { return known[g+"\x00"+h] }) {
				return true
			}
		}
		return false
	}
	for part := 1; part < 1<<len(s)-1; part++ {
		var gs []string
		for i, g := range s {
			if part&(1<<i) != 0 {
				gs = append(gs, g)
			}
		}
		if known[strings.Join(gs, "\x00")] {
			return true
		}
	}
	return false
}

// list joins names, of many only the first.
func list(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + fmt.Sprintf(" and %d more", len(names)-8)
	}
	return strings.Join(names, ", ")
}

// Possible reports whether somebody could have the operation happen by asking for it:
// who may reach its target, is asked to find approval, and finds, by the roles that
// there are, people who could give it.
func (p *Policy) Possible(op bastion.Operation) bool {
	if p == nil {
		return false
	}
	c := &comparison{before: p, after: p}
	c.subjects(nil)
	connect := bastion.Plan(op.Target(), "connect", bastion.Intent{Verb: bastion.Connect, Actions: []bastion.Action{{Verb: bastion.Connect}}})
	for _, s := range c.who {
		if slices.ContainsFunc(s.id.Groups, func(g string) bool { return !p.exists(g) }) || p.Conflict(s.id) != nil || p.Decide(s.id, connect).Effect == bastion.Deny {
			continue
		}
		d := p.Decide(s.id, op)
		if d.Effect == bastion.Allow || d.Effect == bastion.Ask && len(d.Needs) > 0 && !slices.ContainsFunc(d.Needs, func(n bastion.Need) bool { return !p.givable(n) }) {
			return true
		}
	}
	return false
}

// exists reports whether somebody can be in a group, as far as it is known which there are.
func (p *Policy) exists(group string) bool {
	return len(p.known) == 0 || slices.Contains(p.known, group)
}

// givable reports whether people hold a role that the need takes, with the duty to approve.
func (p *Policy) givable(n bastion.Need) bool {
	for g, roles := range p.groups {
		for _, i := range roles {
			if p.exists(g) && n.Takes(p.roles[i].Name) && slices.Contains(p.roles[i].Duties, bastion.Approve) {
				return true
			}
		}
	}
	return false
}

// generic is a name that a pattern has, with \x00 where anything may stand: whatever
// else matches it matches all that the pattern has.
func generic(p string) string {
	if p == "*" {
		return "\x00.\x00"
	}
	return strings.ReplaceAll(p, "*", "\x00")
}

// members are names that both patterns may mean, as general as there are: by the
// letter, and as names can lie (see pattern).
func members(p, q string) []string {
	var all []string
	for _, x := range [][2]string{{p, q}, {q, p}} {
		if x[0] == "*" {
			all = append(all, generic(x[1]))
			continue
		}
		if m, ok := member(strings.ToLower(x[0]), x[1]); ok && strings.Trim(m, ".") != "" {
			all = append(all, m)
		}
	}
	if m, ok := member(p, q); ok {
		all = append(all, m)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// member finds a text that both patterns match, p with stars that run over dots and
// without regard to the case of q, which gives the letters.
func member(p, q string) (string, bool) {
	type at struct{ i, j int }
	dead := map[at]bool{}
	var walk func(i, j int) (string, bool)
	walk = func(i, j int) (string, bool) {
		if i == len(p) && j == len(q) {
			return "", true
		}
		if dead[at{i, j}] {
			return "", false
		}
		try := func(emit string, i, j int) (string, bool) {
			s, ok := walk(i, j)
			return emit + s, ok
		}
		ps, qs := i < len(p) && p[i] == '*', j < len(q) && q[j] == '*'
		var s string
		ok := false
		switch {
		case ps && qs:
			if s, ok = try("\x00", i+1, j+1); !ok {
				if s, ok = try("\x00", i, j+1); !ok {
					s, ok = try("\x00", i+1, j)
				}
			}
		case ps && j < len(q):
			if s, ok = try(q[j:j+1], i, j+1); !ok {
				s, ok = try("", i+1, j)
			}
		case ps:
			s, ok = try("", i+1, j)
		case qs && i < len(p):
			if p[i] != '.' {
				s, ok = try(p[i:i+1], i+1, j)
			}
			if !ok {
				s, ok = try("", i, j+1)
			}
		case qs:
			s, ok = try("", i, j+1)
		case i < len(p) && j < len(q) && (p[i] == q[j] || strings.EqualFold(p[i:i+1], q[j:j+1])):
			s, ok = try(q[j:j+1], i+1, j+1)
		}
		if !ok {
			dead[at{i, j}] = true
		}
		return s, ok
	}
	return walk(0, 0)
}
