package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
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
	// hides is what bundles may clear: the targets of each label and detector
	hides map[string]Selector
	// rules are those that ask, by bundle/rule, and whether one may be lifted
	asks map[string]bool
}

// check lists all problems of the file in its context. Of a file that was not
// read in full it repeats the reader's problems only: the rest would be guesses.
func check(f File, c Context) Problems {
	if f.Problems.Err() != nil {
		return slices.Clone(f.Problems)
	}
	k := &checker{Problems: slices.Clone(f.Problems), f: f, c: c, roles: map[string]Role{}, labels: map[string][]string{}, hides: map[string]Selector{}, asks: map[string]bool{}}
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
	k.checkTeams()
	k.checkSeparation()
	for _, b := range f.Bundles {
		for _, r := range b.Rules {
			if r.Effect.Text == "ask" {
				k.asks[b.Name.Text+"/"+r.Name.Text] = !slices.Contains(texts(r.Verbs), string(policyChange))
			}
		}
	}
	hidden := map[string]Pos{}
	for _, l := range f.Columns {
		k.checkLabel(l, hidden)
	}
	for _, d := range f.Values {
		k.checkDetector(d, hidden)
	}
	trusts := map[string]Pos{}
	for _, t := range f.Functions {
		k.checkTrust(t, trusts)
	}
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
			k.checkDuty(d)
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

// checkLabel checks a label. seen is the names that labels and detectors have.
func (k *checker) checkLabel(l Label, seen map[string]Pos) {
	k.name("label", l.Name, seen)
	k.hides[l.Name.Text] = l.Targets
	k.checkSelector(l.Targets)
	if len(l.Columns) == 0 {
		k.Add(l.Name.Pos, "label %q names no columns", l.Name.Text)
	}
	k.checkColumns(l.Columns)
	k.checkMask("label", l.Name, l.Mask)
	effects := []string{"allow", "ask", "deny"}
	switch {
	case l.Probe.Text != "" && !slices.Contains(effects, l.Probe.Text):
		k.Add(l.Probe.Pos, "%s", Unknown("effect", l.Probe.Text, effects))
	case l.Probe.Text == "ask":
		if len(l.Approvals) == 0 {
			k.Add(l.Probe.Pos, "label %q asks nobody; write approvals: [{ count: 1, role: ... }]", l.Name.Text)
		}
		k.checkApprovals(l.Approvals, bastion.Approve)
	case len(l.Approvals) > 0:
		k.Add(l.Approvals[0].Pos, "only a label with probe: ask has approvals")
	case l.Probe.Text == "allow" && l.Lookup:
		k.Warn(l.Probe.Pos, "probe: allow permits every comparison, so lookup: true adds nothing")
	}
}

// checkColumns checks patterns of columns.
func (k *checker) checkColumns(columns []Word) {
	for _, c := range columns {
		err := checkPattern(c.Text)
		if err == nil && strings.Count(c.Text, ".") != 2 {
			err = fmt.Errorf("column pattern %q: want schema.table.column, such as public.customers.email or public.*.iban", c.Text)
		}
		if err != nil {
			k.Add(c.Pos, "%v", err)
		}
	}
	k.twice("column", columns)
}

// checkMask checks the mask of a label or of a detector.
func (k *checker) checkMask(what string, name, m Word) {
	kinds := slices.DeleteFunc(mask.Names(), func(s string) bool { return s == mask.Clear.String() })
	switch {
	case m.Text == "":
		k.Add(name.Pos, "%s %q has no mask (known: %s)", what, name.Text, strings.Join(kinds, ", "))
	case m.Text == mask.Clear.String():
		k.Add(m.Pos, "clear hides nothing; leave the %s out, or name it under clear: of a bundle", what)
	case !slices.Contains(kinds, m.Text):
		k.Add(m.Pos, "%s", Unknown("mask", m.Text, kinds))
	}
}

func (k *checker) checkDetector(d Detector, seen map[string]Pos) {
	k.name("value", d.Name, seen)
	k.hides[d.Name.Text] = d.Targets
	k.checkSelector(d.Targets)
	if len(d.Detect) == 0 {
		k.Add(d.Name.Pos, "value %q detects nothing (known: %s)", d.Name.Text, strings.Join(mask.DetectorNames(), ", "))
	}
	for _, w := range d.Detect {
		if _, err := mask.ParseDetector(w.Text); err != nil {
			k.Add(w.Pos, "%s", Unknown("detector", w.Text, mask.DetectorNames()))
		}
	}
	k.twice("detector", d.Detect)
	k.checkMask("value", d.Name, d.Mask)
}

// checkTrust checks functions that the policy trusts.
func (k *checker) checkTrust(t Trust, seen map[string]Pos) {
	k.name("function", t.Name, seen)
	k.checkSelector(t.Targets)
	if len(t.Trust) == 0 {
		k.Add(t.Name.Pos, "function %q trusts nothing", t.Name.Text)
	}
	for _, w := range t.Trust {
		if err := checkSignature(w.Text); err != nil {
			k.Add(w.Pos, "%v", err)
		}
	}
	k.twice("function", t.Trust)
}

// checkSignature says what is wrong with a function's name and types. Nothing but
// the whole list of types can be left open: trust is given to one function.
func checkSignature(s string) error {
	name, types, open := strings.Cut(s, "(")
	types, closed := strings.CutSuffix(types, ")")
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("function %q: %s; write schema.name(type, type), such as public.normalise(text, integer), or public.normalise(*) for any types", s, fmt.Sprintf(format, args...))
	}
	switch parts := strings.Split(name, "."); {
	case !plain(s):
		return wrong("it has control or invisible characters, or spaces around it")
	case !open || !closed || strings.ContainsAny(types, "()"):
		return wrong("want its types in one pair of parentheses")
	case len(parts) != 2 || parts[0] == "" || parts[1] == "" || strings.ContainsFunc(name, unicode.IsSpace):
		return wrong("want schema and name before the parentheses")
	case strings.Contains(name, "*"):
		return wrong("each function is trusted by its own name")
	case types != "*" && strings.Contains(types, "*"):
		return wrong("a * stands for all types or for none")
	case types == "":
		return nil
	}
	for i, t := range strings.Split(types, ",") {
		if i > 0 {
			if !strings.HasPrefix(t, " ") {
				return wrong("want a comma and one space between types")
			}
			t = t[1:]
		}
		if t == "" || strings.TrimSpace(t) != t || strings.Contains(t, "  ") {
			return wrong("want a comma and one space between types")
		}
	}
	return nil
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
	for _, w := range b.Clear {
		targets, ok := k.hides[w.Text]
		switch {
		case !ok:
			k.Add(w.Pos, "%s", Unknown("label", w.Text, slices.Collect(maps.Keys(k.hides))))
		case len(chosen) > 0 && targets.set() && !slices.ContainsFunc(chosen, targets.matches):
			k.Warn(w.Pos, "label %q hides nothing on the targets of this bundle, so there is nothing to clear", w.Text)
		}
	}
	k.checkTerms(b, grants)
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
	k.checkLimits(r)
	k.shown(r.Reason, r.Next)
	effects := []string{"allow", "ask", "deny"}
	switch {
	case r.Effect.Text == "":
		k.Add(r.Name.Pos, "rule %q has no effect (known: %s)", r.Name.Text, strings.Join(effects, ", "))
	case !slices.Contains(effects, r.Effect.Text):
		k.Add(r.Effect.Pos, "%s", Unknown("effect", r.Effect.Text, effects))
	case r.Effect.Text == "ask":
		k.checkAsk(r)
	default:
		if len(r.Approvals) > 0 {
			k.Add(r.Approvals[0].Pos, "only a rule with effect: ask has approvals")
		}
		if r.Preview.Text != "" {
			k.Add(r.Preview.Pos, "only a rule with effect: ask has preview")
		}
		if r.OtherTeam {
			k.Add(r.Name.Pos, "only a rule with effect: ask has other_team")
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

// checkLimits checks what a rule says of columns and rows.
func (k *checker) checkLimits(r Rule) {
	k.checkColumns(r.Columns)
	connects := slices.Contains(texts(r.Verbs), string(bastion.Connect))
	if connects && len(r.Columns) > 0 {
		k.Warn(r.Columns[0].Pos, "connecting touches no columns, so with columns: this rule never matches it")
	}
	for _, c := range r.Columns {
		p := newPattern(c.Text)
		if len(p.parts) == 3 && len(r.On) > 0 && !slices.ContainsFunc(r.On, func(o Word) bool {
			return meet(strings.ToLower(o.Text), strings.Join(strings.Split(p.folded, ".")[:2], "."))
		}) {
			k.Warn(c.Pos, "column pattern %q names no column of an object that on: names; leave on: out to mean the columns whatever they are reached by", c.Text)
		}
	}
	if !r.Rows.set() {
		return
	}
	over, upTo := r.Rows.Over, r.Rows.UpTo
	switch {
	case !over.set() && !upTo.set():
		k.Add(r.Rows.Pos, "rows says no number; write rows: { over: 1000 }, or { up_to: 1000 }")
	case over.set() && over.N < 1:
		k.Add(over.Pos, "over must be at least 1; leave it out to mean any number")
	case upTo.set() && upTo.N < 1:
		k.Add(upTo.Pos, "up_to must be at least 1")
	case over.set() && upTo.set() && over.N >= upTo.N:
		k.Add(upTo.Pos, "no number is over %d and up to %d, so this rule never matches", over.N, upTo.N)
	case slices.Contains(texts(r.Verbs), string(star)):
		k.Add(r.Rows.Pos, "with * this would hold for all that has no estimate, such as connecting; name the verbs")
	case connects:
		k.Add(r.Rows.Pos, "connecting touches no rows, so nothing can be said of it by rows")
	case r.Effect.Text == "deny" && upTo.set():
		k.Warn(upTo.Pos, "this refuses what touches few rows, and not what touches many; did you mean over?")
	case r.Effect.Text == "allow" && over.set():
		k.Warn(over.Pos, "this allows what touches many rows, and not what touches few; did you mean up_to?")
	}
}

// meet reports whether some text matches two patterns, in which * stands for any
// run of characters.
func meet(p, q string) bool {
	// last[j] tells of p[i+1:] and q[j:], row[j] of p[i:] and q[j:].
	var last []bool
	for i := len(p); i >= 0; i-- {
		row := make([]bool, len(q)+1)
		for j := len(q); j >= 0; j-- {
			switch {
			case i == len(p) && j == len(q):
				row[j] = true
			case i < len(p) && p[i] == '*':
				row[j] = last[j] || j < len(q) && row[j+1]
			case j < len(q) && q[j] == '*':
				row[j] = row[j+1] || i < len(p) && last[j]
			case i < len(p) && j < len(q) && p[i] == q[j]:
				row[j] = last[j+1]
			}
		}
		last = row
	}
	return last[0]
}

func (k *checker) checkAsk(r Rule) {
	if len(r.Approvals) == 0 {
		k.Add(r.Effect.Pos, "rule %q asks nobody; write approvals: [{ count: 1, role: ... }]", r.Name.Text)
	}
	if r.Within.set() && r.Within.D <= 0 {
		k.Add(r.Within.Pos, "within must be longer than nothing")
	}
	if r.Holds.D < 0 {
		k.Add(r.Holds.Pos, "holds must not be negative; 0 means that an approval is used once")
	}
	if p := r.Preview; p.Text != "" && p.Text != previewRun && p.Text != previewEstimate {
		k.Add(p.Pos, "%s", Unknown("preview", p.Text, []string{previewEstimate, previewRun}))
	}
	k.checkOtherTeam(r.OtherTeam, r.Name.Pos)
	k.checkApprovals(r.Approvals, bastion.Approve)
}

// What those who decide about an operation get to see of what it would do.
const (
	previewEstimate = "estimate" // what the target's planner expects
	previewRun      = "run"      // if they want, what comes of running it and taking it back
)

// checkApprovals checks that what a rule, a label or access takes can be given, by
// roles with one of the duties.
func (k *checker) checkApprovals(approvals []Approval, duties ...bastion.Duty) {
	may := func(r Role) bool {
		return slices.ContainsFunc(duties, func(d bastion.Duty) bool { return slices.Contains(texts(r.Duties), string(d)) })
	}
	var approvers []string
	for name, role := range k.roles {
		if may(role) {
			approvers = append(approvers, name)
		}
	}
	seen := map[string]bool{}
	for _, a := range approvals {
		if a.Count.set() && a.Count.N < 1 {
			k.Add(a.Count.Pos, "count must be at least 1")
		}
		roles := a.roles()
		switch {
		case len(roles) == 0:
			k.Add(a.Pos, "an approval needs a role, or any: [role, role]")
			continue
		case a.Role.Text != "" && len(a.Any) > 0:
			k.Add(a.Any[0].Pos, "an approval has role or any, not both")
		}
		k.twice("role", a.Any)
		names := slices.Compact(slices.Sorted(slices.Values(texts(roles))))
		if key := strings.Join(names, " "); seen[key] {
			k.Add(roles[0].Pos, "%s asked twice; raise its count", areOrIs(names))
		} else {
			seen[key] = true
		}
		people := false
		for _, w := range roles {
			role, ok := k.roles[w.Text]
			switch {
			case !ok:
				k.Add(w.Pos, "%s", Unknown("role", w.Text, approvers))
			case !may(role):
				k.Add(w.Pos, "role %q does not have the duty %s, so nobody could approve this%s", w.Text, orList(duties), instead(approvers))
			}
			people = people || !ok || !may(role) || len(role.Groups) > 0 // what was said is said once
		}
		if !people {
			k.Add(roles[0].Pos, "%s held by services only, so no person could approve this", areOrIs(names))
		}
	}
}

// areOrIs begins a sentence about roles.
func areOrIs(names []string) string {
	if len(names) == 1 {
		return fmt.Sprintf("role %q is", names[0])
	}
	return roleList(names) + " are"
}

func orList(duties []bastion.Duty) string {
	var s []string
	for _, d := range duties {
		s = append(s, string(d))
	}
	return strings.Join(s, " or ")
}

// checkOtherTeam checks that approvers of another team can be told.
func (k *checker) checkOtherTeam(wanted bool, at Pos) {
	if wanted && len(k.f.Teams) == 0 {
		k.Add(at, "other_team needs to know the teams; write teams: [\"team-*\"], the groups of the provider that are teams")
	}
}

// shown checks texts that people read.
func (k *checker) shown(ws ...Word) {
	for _, w := range ws {
		if strings.ContainsFunc(w.Text, unicode.IsControl) || bastion.VisibleLine(w.Text) != w.Text {
			k.Add(w.Pos, "this text is shown to people in one line; it must have no line breaks, control or invisible characters")
		}
	}
}

// checkTerms checks how a bundle is had for a time, if it is.
func (k *checker) checkTerms(b Bundle, grants bool) {
	if r := b.Request; r.set() {
		switch {
		case !r.Max.set():
			k.Add(r.Pos, "request does not say for how long; write max: 8h")
		case r.Max.D <= 0:
			k.Add(r.Max.Pos, "max must be longer than nothing")
		}
		if len(r.Approvals) == 0 {
			k.Add(r.Pos, "a request that asks nobody would be granted by nobody; write approvals: [{ count: 1, role: ... }]")
		}
		if r.Within.set() && r.Within.D <= 0 {
			k.Add(r.Within.Pos, "within must be longer than nothing")
		}
		k.checkOtherTeam(r.OtherTeam, r.Pos)
		k.checkApprovals(r.Approvals, bastion.Approve)
		k.shown(r.Reason)
	}
	if e := b.Emergency; e.set() {
		if k.c.Unheard {
			k.Warn(e.Pos, "who takes bundle %q in an emergency alarms nobody outside of a session: no channel is configured under notify", b.Name.Text)
		}
		switch {
		case !e.For.set():
			k.Add(e.Pos, "emergency does not say for how long; write for: 30m")
		case e.For.D <= 0:
			k.Add(e.For.Pos, "for must be longer than nothing")
		case e.For.D > 24*time.Hour:
			k.Warn(e.For.Pos, "an emergency of more than a day is not one; did you mean request?")
		}
		if len(e.Reviews) == 0 {
			k.Add(e.Pos, "an emergency that nobody reviews is a way around; write reviews: [{ count: 1, role: ... }]")
		}
		k.checkApprovals(e.Reviews, bastion.Approve, bastion.Audit)
		k.shown(e.Reason)
	}
	if b.byGrant() && !grants && len(b.Rules) > 0 {
		k.Warn(b.Name.Pos, "bundle %q grants nothing, so there is nothing to ask for", b.Name.Text)
	}
	k.twice("rule", b.Lifts)
	for _, w := range b.Lifts {
		may, ok := k.asks[w.Text]
		switch {
		case !b.byGrant():
			k.Add(w.Pos, "only a bundle with request or emergency lifts rules")
		case !ok:
			k.Add(w.Pos, "%s; a rule is named bundle/rule", Unknown("asking rule", w.Text, slices.Collect(maps.Keys(k.asks))))
		case !may:
			k.Add(w.Pos, "rule %q asks about %s, which always needs the approval of somebody else, each time", w.Text, policyChange)
		case strings.HasPrefix(w.Text, b.Name.Text+"/"):
			k.Add(w.Pos, "a bundle lifts rules of others; leave rule %q out instead", w.Text)
		}
	}
}

// checkTeams checks the patterns of teams, and duties that are kept apart.
func (k *checker) checkTeams() {
	for _, w := range k.f.Teams {
		switch {
		case !plain(w.Text):
			k.Add(w.Pos, "team %q: a group has a name without control or invisible characters, and no spaces around it", w.Text)
		case len(k.c.Groups) > 0 && !slices.ContainsFunc(k.c.Groups, func(g string) bool { return glob(w.Text, g) }):
			k.Warn(w.Pos, "no group of the provider is a team by %q", w.Text)
		}
	}
	k.twice("team", k.f.Teams)
	for _, a := range k.f.Apart {
		for _, d := range a.Duties {
			k.checkDuty(d)
		}
		k.twice("duty", a.Duties)
		if n := len(slices.Compact(slices.Sorted(slices.Values(texts(a.Duties))))); n < 2 {
			k.Add(a.Pos, "apart wants two duties or more, such as [design, execute]")
		}
	}
}

func (k *checker) checkDuty(d Word) {
	if !slices.Contains(bastion.Duties(), bastion.Duty(d.Text)) {
		var known []string
		for _, d := range bastion.Duties() {
			known = append(known, string(d))
		}
		k.Add(d.Pos, "%s", Unknown("duty", d.Text, known))
	}
}

// checkSeparation checks that roles which nobody may hold together can be held apart.
func (k *checker) checkSeparation() {
	names := map[string]Pos{}
	for _, s := range k.f.Separation {
		k.name("separation", s.Name, names)
		k.twice("role", s.Roles)
		k.shown(s.Reason)
		var both []Role
		for i, w := range s.Roles {
			r, ok := k.roles[w.Text]
			if !ok {
				k.Add(w.Pos, "%s", Unknown("role", w.Text, slices.Collect(maps.Keys(k.roles))))
			}
			if !slices.ContainsFunc(s.Roles[:i], func(v Word) bool { return v.Text == w.Text }) {
				both = append(both, r)
			}
		}
		if len(both) < 2 {
			k.Add(s.Name.Pos, "separation %q wants two roles or more", s.Name.Text)
			continue
		}
		if conflicts := []string{"refuse", "choose"}; s.Conflict.Text != "" && !slices.Contains(conflicts, s.Conflict.Text) {
			k.Add(s.Conflict.Pos, "%s", Unknown("conflict", s.Conflict.Text, conflicts))
		}
		// Somebody who holds all of them by one group can never come in.
		all := func(have func(Role) []Word) []string {
			return slices.DeleteFunc(texts(have(both[0])), func(name string) bool {
				return slices.ContainsFunc(both, func(r Role) bool { return !slices.Contains(texts(have(r)), name) })
			})
		}
		for _, g := range all(func(r Role) []Word { return r.Groups }) {
			k.Add(s.Name.Pos, "separation %q: whoever is in group %q holds all of these roles, so nobody in it could do anything", s.Name.Text, g)
		}
		for _, v := range all(func(r Role) []Word { return r.Services }) {
			k.Add(s.Name.Pos, "separation %q: service %q holds all of these roles, so it could do nothing", s.Name.Text, v)
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

// coversAll reports whether the rule matches whatever s matches.
func (r *rule) coversAll(s *rule) bool {
	loosely := r.effect != bastion.Allow
	return coverAll(r.on, s.on, loosely) && coverAll(r.columns, s.columns, loosely) && r.rows.over <= s.rows.over && r.rows.upTo >= s.rows.upTo
}

// coverAll reports whether all that qs name is named by ps, of which none means
// everything.
func coverAll(ps, qs []pattern, loosely bool) bool {
	if len(ps) == 0 {
		return true
	}
	for i := range qs {
		if !slices.ContainsFunc(ps, func(p pattern) bool {
			return p.text == qs[i].text || loosely && p.covers(&qs[i])
		}) {
			return false
		}
	}
	return len(qs) > 0
}
