package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// CheckName says what is wrong with a name that somebody gave to a role, a rule
// or a target, or returns nil. Names are typed and shown everywhere, so they are
// plain.
func CheckName(s string) error {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	if s == "" || len(s) > 63 || !letter(s[0]) {
		return fmt.Errorf("name %q: a name has 1 to 63 characters and begins with a small letter or a digit", s)
	}
	for i := range len(s) {
		if !letter(s[i]) && s[i] != '.' && s[i] != '-' {
			return fmt.Errorf("name %q: a name has small letters, digits, - and . only", s)
		}
	}
	return nil
}

// checker finds what is wrong with a file.
type checker struct {
	Problems
	f     File
	c     Context
	roles map[string]Role
	// labels of all targets: key to values
	labels map[string][]string
}

// check lists all problems of the file in its context. Of a file that was not
// read in full it repeats the reader's problems only: the rest would be guesses.
func check(f File, c Context) Problems {
	if f.Problems.Err() != nil {
		return slices.Clone(f.Problems)
	}
	k := &checker{Problems: slices.Clone(f.Problems), f: f, c: c, roles: map[string]Role{}, labels: map[string][]string{}}
	for _, t := range c.Targets {
		for key, v := range t.Labels {
			k.labels[key] = append(k.labels[key], v)
		}
	}
	for key, vs := range k.labels {
		slices.Sort(vs)
		k.labels[key] = slices.Compact(vs)
	}
	switch {
	case !f.Version.set():
		k.Add(f.Pos, "version is missing; write version: 1")
	case f.Version.N != 1:
		k.Add(f.Version.Pos, "version %d is not known here; this bastion reads version 1", f.Version.N)
	}
	k.checkRoles()
	k.checkLabels()
	if len(f.Bundles) == 0 {
		k.Warn(f.Pos, "there are no bundles, so nobody may do anything")
	}
	names := map[string]Pos{}
	for _, b := range f.Bundles {
		k.name("bundle", b.Name, names)
		k.checkBundle(b)
	}
	return k.Problems
}

// name checks a name that must be unique among those seen.
func (k *checker) name(what string, w Word, seen map[string]Pos) {
	if err := CheckName(w.Text); err != nil {
		k.Add(w.Pos, "%s %v", what, err)
		return
	}
	if first, twice := seen[w.Text]; twice {
		k.Add(w.Pos, "%s %q exists already, in line %d", what, w.Text, first.Line)
		return
	}
	seen[w.Text] = w.Pos
}

func (k *checker) checkRoles() {
	names, mapped := map[string]Pos{}, map[string]bool{}
	for _, r := range k.f.Roles {
		k.name("role", r.Name, names)
		k.roles[r.Name.Text] = r
		if len(r.Groups) == 0 && len(r.Services) == 0 {
			k.Add(r.Name.Pos, "nobody can hold role %q; give it groups or services", r.Name.Text)
		}
		for _, g := range r.Groups {
			mapped[g.Text] = true
			switch {
			case !plain(g.Text):
				k.Add(g.Pos, "group %q: a group has a name without control or invisible characters, and no spaces around it", g.Text)
			case len(k.c.Groups) > 0 && !slices.Contains(k.c.Groups, g.Text):
				k.Warn(g.Pos, "nobody holds role %q by this: %s", r.Name.Text, Unknown("group", g.Text, k.c.Groups))
			}
		}
		for _, s := range r.Services {
			if !slices.Contains(k.c.Services, s.Text) {
				k.Add(s.Pos, "%s", Unknown("service", s.Text, k.c.Services))
			}
		}
		if len(r.Duties) == 0 && !k.named(r.Name.Text) {
			k.Warn(r.Name.Pos, "role %q has no duties and no bundle names it, so it changes nothing", r.Name.Text)
		}
		for _, d := range r.Duties {
			if !slices.Contains(bastion.Duties(), bastion.Duty(d.Text)) {
				var known []string
				for _, d := range bastion.Duties() {
					known = append(known, string(d))
				}
				k.Add(d.Pos, "%s", Unknown("duty", d.Text, known))
			}
		}
		k.twice("group", r.Groups)
		k.twice("service", r.Services)
		k.twice("duty", r.Duties)
	}
	for _, g := range k.c.Groups {
		if !mapped[g] {
			k.Warn(k.f.Pos, "group %q of the provider is mapped to no role", g)
		}
	}
}

// named reports whether a bundle speaks of the role, if only to limit it.
func (k *checker) named(role string) bool {
	return slices.ContainsFunc(k.f.Bundles, func(b Bundle) bool {
		return slices.Contains(texts(b.Roles), role) || slices.Contains(texts(b.Except), role)
	})
}

// twice warns of repeated words.
func (k *checker) twice(what string, words []Word) {
	for i, w := range words {
		if slices.ContainsFunc(words[:i], func(v Word) bool { return v.Text == w.Text }) {
			k.Warn(w.Pos, "%s %q is here twice", what, w.Text)
		}
	}
}

// plain reports whether a name of somebody else's making shows itself in full.
func plain(s string) bool {
	return s != "" && strings.TrimSpace(s) == s && bastion.VisibleLine(s) == s
}

func (k *checker) checkLabels() {
	names := map[string]Pos{}
	for _, l := range k.f.Columns {
		k.name("label", l.Name, names)
		k.checkSelector(l.Targets)
		if len(l.Columns) == 0 {
			k.Add(l.Name.Pos, "label %q names no columns", l.Name.Text)
		}
		for _, c := range l.Columns {
			err := checkPattern(c.Text)
			if err == nil && strings.Count(c.Text, ".") != 2 {
				err = fmt.Errorf("column pattern %q: want schema.table.column, such as public.customers.email or public.*.iban", c.Text)
			}
			if err != nil {
				k.Add(c.Pos, "%v", err)
			}
		}
		k.twice("column", l.Columns)
		kinds := slices.DeleteFunc(mask.Names(), func(s string) bool { return s == mask.Clear.String() })
		switch {
		case l.Mask.Text == "":
			k.Add(l.Name.Pos, "label %q has no mask (known: %s)", l.Name.Text, strings.Join(kinds, ", "))
		case l.Mask.Text == mask.Clear.String():
			k.Add(l.Mask.Pos, "clear hides nothing; leave the label out, or name it under clear: of a bundle")
		case !slices.Contains(kinds, l.Mask.Text):
			k.Add(l.Mask.Pos, "%s", Unknown("mask", l.Mask.Text, kinds))
		}
	}
}

// checkSelector warns of labels that no target has, and returns the targets that
// the selector chooses.
func (k *checker) checkSelector(s Selector) []bastion.Target {
	said := false
	if s.set() && !s.All && len(s.Requires) == 0 {
		k.Add(s.Pos, "targets is empty; write {label: value}, or all")
		said = true
	}
	for _, r := range s.Requires {
		values, ok := k.labels[r.Key.Text]
		if !ok {
			k.Warn(r.Key.Pos, "no target has the label %q, so this matches none%s", r.Key.Text, hint(r.Key.Text, slices.Collect(maps.Keys(k.labels))))
			said = true
			continue
		}
		if len(r.Values) == 0 {
			k.Add(r.Key.Pos, "label %q has no value to match", r.Key.Text)
			said = true
		}
		for _, v := range r.Values {
			if !slices.Contains(values, v.Text) {
				k.Warn(v.Pos, "no target has the label %s: %q%s", r.Key.Text, v.Text, hint(v.Text, values))
				said = true
			}
		}
	}
	var chosen []bastion.Target
	for _, t := range k.c.Targets {
		if s.matches(t) {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 && !said && s.set() && len(k.c.Targets) > 0 {
		k.Warn(s.Pos, "no target has all of these labels, so this can never match")
	}
	return chosen
}

func hint(wrong string, known []string) string {
	if near := Near(wrong, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

func (k *checker) checkBundle(b Bundle) {
	if len(b.Roles) == 0 {
		k.Add(b.Name.Pos, "bundle %q names no roles, so nobody has it", b.Name.Text)
	}
	if len(b.Rules) == 0 {
		k.Add(b.Name.Pos, "bundle %q has no rules, so it says nothing", b.Name.Text)
	}
	k.twice("role", b.Roles)
	k.twice("role", b.Except)
	k.twice("label", b.Clear)
	for _, w := range slices.Concat(b.Roles, b.Except) {
		if _, ok := k.roles[w.Text]; !ok {
			k.Add(w.Pos, "%s", Unknown("role", w.Text, slices.Collect(maps.Keys(k.roles))))
		}
	}
	for _, w := range b.Except {
		if slices.Contains(texts(b.Roles), w.Text) {
			k.Add(w.Pos, "role %q is in roles and in except, so nobody has the bundle by it", w.Text)
		}
	}
	grants := slices.ContainsFunc(b.Rules, func(r Rule) bool { return r.Effect.Text != "deny" })
	for _, w := range b.Roles {
		if r, ok := k.roles[w.Text]; ok && grants && !slices.Contains(texts(r.Duties), string(bastion.Execute)) {
			k.Warn(w.Pos, "role %q does not have the duty execute, so this bundle grants it nothing", w.Text)
		}
	}
	if !b.Targets.set() {
		k.Add(b.Name.Pos, "bundle %q does not say for which targets; write targets: {label: value}, or targets: all", b.Name.Text)
	}
	chosen := k.checkSelector(b.Targets)
	var labels []string
	for _, l := range k.f.Columns {
		labels = append(labels, l.Name.Text)
	}
	for _, w := range b.Clear {
		i := slices.Index(labels, w.Text)
		if i < 0 {
			k.Add(w.Pos, "%s", Unknown("label", w.Text, labels))
			continue
		}
		l := k.f.Columns[i]
		if len(chosen) > 0 && l.Targets.set() && !slices.ContainsFunc(chosen, l.Targets.matches) {
			k.Warn(w.Pos, "label %q hides nothing on the targets of this bundle, so there is nothing to clear", w.Text)
		}
	}
	if b.Fresh.set() && b.Fresh.D <= 0 {
		k.Add(b.Fresh.Pos, "fresh must be longer than nothing; leave it out to accept any sign-in that has not expired")
	}
	kinds := map[string]bool{}
	for _, t := range chosen {
		kinds[t.Kind] = true
	}
	if len(kinds) == 0 { // nothing matches, which was said; check against all kinds
		for kind := range k.c.Verbs {
			kinds[kind] = true
		}
	}
	known := []string{string(bastion.Connect)}
	for kind := range kinds {
		for _, v := range k.c.Verbs[kind] {
			known = append(known, string(v.Verb))
		}
	}
	names := map[string]Pos{}
	for _, r := range b.Rules {
		k.name("rule", r.Name, names)
		k.checkRule(r, known)
	}
	k.checkShadows(b)
}

// checkRule checks one rule, given the verbs that its targets know.
func (k *checker) checkRule(r Rule, known []string) {
	if len(r.Verbs) == 0 {
		k.Add(r.Name.Pos, "rule %q names no verbs", r.Name.Text)
	}
	for _, v := range r.Verbs {
		switch {
		case v.Text == string(star) && r.Effect.Text != "deny":
			k.Add(v.Pos, "only a deny may say *; name the verbs, so that one that comes later is not granted unseen")
		case v.Text == string(star) || slices.Contains(known, v.Text):
		default:
			k.Add(v.Pos, "%s", k.unknownVerb(v.Text, known))
		}
		if v.Text == string(bastion.Connect) && len(r.On) > 0 {
			k.Warn(v.Pos, "connecting has no object, so with on: this rule never matches it")
		}
	}
	k.twice("verb", r.Verbs)
	for _, o := range r.On {
		if err := checkPattern(o.Text); err != nil {
			k.Add(o.Pos, "%v", err)
		}
	}
	k.twice("pattern", r.On)
	for _, w := range []Word{r.Reason, r.Next} {
		if strings.ContainsFunc(w.Text, unicode.IsControl) || bastion.VisibleLine(w.Text) != w.Text {
			k.Add(w.Pos, "this text is shown to people in one line; it must have no line breaks, control or invisible characters")
		}
	}
	effects := []string{"allow", "ask", "deny"}
	switch {
	case r.Effect.Text == "":
		k.Add(r.Name.Pos, "rule %q has no effect (known: %s)", r.Name.Text, strings.Join(effects, ", "))
	case !slices.Contains(effects, r.Effect.Text):
		k.Add(r.Effect.Pos, "%s", Unknown("effect", r.Effect.Text, effects))
	case r.Effect.Text == "ask":
		k.checkApprovals(r)
	default:
		if len(r.Approvals) > 0 {
			k.Add(r.Approvals[0].Pos, "only a rule with effect: ask has approvals")
		}
		for _, s := range []struct {
			name string
			span Span
		}{{"within", r.Within}, {"holds", r.Holds}} {
			if s.span.set() {
				k.Add(s.span.Pos, "only a rule with effect: ask has %s", s.name)
			}
		}
	}
}

// unknownVerb says that a verb is unknown to the targets of a bundle, and whether
// it is known elsewhere.
func (k *checker) unknownVerb(verb string, known []string) string {
	for _, kind := range slices.Sorted(maps.Keys(k.c.Verbs)) {
		if slices.ContainsFunc(k.c.Verbs[kind], func(v bastion.VerbInfo) bool { return string(v.Verb) == verb }) {
			return fmt.Sprintf("verb %q belongs to targets of kind %s, and this bundle has none", verb, kind)
		}
	}
	return Unknown("verb", verb, known)
}

func (k *checker) checkApprovals(r Rule) {
	if len(r.Approvals) == 0 {
		k.Add(r.Effect.Pos, "rule %q asks nobody; write approvals: [{ count: 1, role: ... }]", r.Name.Text)
	}
	if r.Within.set() && r.Within.D <= 0 {
		k.Add(r.Within.Pos, "within must be longer than nothing")
	}
	if r.Holds.D < 0 {
		k.Add(r.Holds.Pos, "holds must not be negative; 0 means that an approval is used once")
	}
	var approvers []string
	for name, role := range k.roles {
		if slices.Contains(texts(role.Duties), string(bastion.Approve)) {
			approvers = append(approvers, name)
		}
	}
	seen := map[string]bool{}
	for _, a := range r.Approvals {
		if a.Count.set() && a.Count.N < 1 {
			k.Add(a.Count.Pos, "count must be at least 1")
		}
		if a.Role.Text == "" {
			k.Add(a.Pos, "an approval needs a role")
			continue
		}
		if seen[a.Role.Text] {
			k.Add(a.Role.Pos, "role %q is asked twice; raise its count", a.Role.Text)
		}
		seen[a.Role.Text] = true
		role, ok := k.roles[a.Role.Text]
		switch {
		case !ok:
			k.Add(a.Role.Pos, "%s", Unknown("role", a.Role.Text, approvers))
		case !slices.Contains(approvers, a.Role.Text):
			k.Add(a.Role.Pos, "role %q does not have the duty approve, so nobody could approve this%s", a.Role.Text, instead(approvers))
		case len(role.Groups) == 0:
			k.Add(a.Role.Pos, "role %q is held by services only, so no person could approve this", a.Role.Text)
		}
	}
}

func instead(names []string) string {
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "; those that have it: " + strings.Join(names, ", ")
}

// checkShadows warns of rules that never decide anything, because a stricter rule
// of the same bundle, or an earlier one as strict, matches all that they match.
func (k *checker) checkShadows(b Bundle) {
	rules := make([]*rule, len(b.Rules))
	for i, r := range b.Rules {
		rules[i] = compileRule(&bundle{}, r, i)
	}
	strict := map[string]int{"deny": 0, "ask": 1, "allow": 2}
	for i, r := range b.Rules {
		mine, ok := strict[r.Effect.Text]
		if !ok {
			continue
		}
		for _, v := range r.Verbs {
			for j, wide := range b.Rules {
				theirs, ok := strict[wide.Effect.Text]
				same := theirs == mine && j < i && mine != strict["ask"] // two asks add up
				if i == j || !ok || theirs >= mine && !same {
					continue
				}
				if (slices.Contains(texts(wide.Verbs), v.Text) || slices.Contains(texts(wide.Verbs), string(star))) && rules[j].coversAll(rules[i]) {
					k.Warn(r.Name.Pos, "rule %q never decides about %s, because rule %q in line %d has effect: %s for all of it", r.Name.Text, v.Text, wide.Name.Text, wide.Name.Pos.Line, wide.Effect.Text)
					break
				}
			}
		}
	}
}

// coversAll reports whether the rule matches every resource that s matches.
func (r *rule) coversAll(s *rule) bool {
	if len(r.on) == 0 {
		return true
	}
	for i := range s.on {
		q := &s.on[i]
		if !slices.ContainsFunc(r.on, func(p pattern) bool {
			return p.text == q.text || r.effect != bastion.Allow && p.covers(q)
		}) {
			return false
		}
	}
	return len(s.on) > 0
}
