package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// MaskedColumn is the rule that decisions name where an operation would read a
// masked column by the back door of a filter or an order.
const MaskedColumn = "masked-column"

// Decide says what happens to the operation if this identity wants it. Of all
// rules that match an action the strictest decides, and of all actions of an
// operation the strictest decides again. What no rule grants is denied. The mask
// rules come with every decision about a target that the policy knows.
//
// Where rules speak of rows and nobody asked for an estimate yet, the answer is
// the strictest that any estimate may bring, and says that it wants one. It does
// not if the answer is the same by any estimate.
func (p *Policy) Decide(who bastion.Identity, op bastion.Operation) bastion.Decision {
	name := op.TargetName()
	v := p.look(who, name, op.Is)
	if v == nil {
		return bastion.Decision{Reason: fmt.Sprintf("the policy does not know target %s as it is", quote(name)), Next: "tell whoever runs the bastion"}
	}
	// Most operations have fewer actions and probes, and need no memory of their own.
	var actions [8]bastion.Action
	var means [8]*meaning
	var probes [8]bastion.Probe
	q := p.question(v, op, actions[:0], means[:0])
	return p.decide(v, name, &q, op.AppendProbes(probes[:0]))
}

// question is an operation as the rules of the view meet it, in the memory of
// actions and means if it is large enough.
func (p *Policy) question(v *view, op bastion.Operation, actions []bastion.Action, means []*meaning) question {
	q := question{actions: op.AppendActions(actions), means: means, rows: op.Rows(), asked: op.Asked(), class: v.class, known: true}
	columns := false
	for _, a := range q.actions {
		m := p.meaning(v, a)
		q.means, columns = append(q.means, m), columns || m.limited || !m.verdict.granted
	}
	if columns { // decide, or may explain
		q.wrote, q.read = touches(op.Intent(), v.mask)
	}
	return q
}

func (p *Policy) decide(v *view, target string, q *question, probes []bastion.Probe) bastion.Decision {
	d := q.weigh()
	d.Estimate = q.rows < 0 && !q.asked && q.depends(d)
	d.Mask = v.mask
	if d.Effect == bastion.Deny && d.Rule == "" {
		d.Reason, d.Next = p.why(v, target, q)
	}
	if d.Effect == bastion.Deny && !d.Estimate || len(probes) == 0 {
		return d
	}
	return p.probe(v, d, probes)
}

// depends reports whether an estimate would change the decision.
func (q *question) depends(without bastion.Decision) bool {
	var buf [16]int64
	steps := q.steps(buf[:0])
	if len(steps) > maxSteps {
		return true // it may
	}
	if len(steps) == 1 {
		return false
	}
	with := *q
	for _, with.rows = range steps {
		if !same(with.weigh(), without) {
			return true
		}
	}
	return false
}

// same reports whether two decisions ask the same of a person.
func same(a, b bastion.Decision) bool {
	return a.Effect == b.Effect && slices.EqualFunc(a.Needs, b.Needs, bastion.Need.Equal) && a.Within == b.Within && a.Holds == b.Holds && a.Fresh == b.Fresh && a.OtherTeam == b.OtherTeam && a.Try == b.Try
}

// verdict is what rules say of an action, or of several.
type verdict struct {
	decides *rule          // the strictest that matches, the first of those
	granted bool           // all of it
	best    bastion.Effect // the laxest by which it is granted
	asked   bool
	needs   bastion.Needs
	within  time.Duration // if asked
	holds   time.Duration // if asked
	fresh   time.Duration // zero means any
	// otherTeam, if asked: approvers share no team with the requester.
	otherTeam bool
	// try, if asked: every rule that asks lets those who decide have it tried.
	try bool
}

// meaning is what rules say of an action by its verb and object.
type meaning struct {
	lines   []match // that match it
	limited bool    // one of them speaks of columns or rows, too
	verdict verdict // if it is not limited
}

// match is a line that matches an action.
type match struct {
	line
	exact bool // beyond doubt
}

type meaningKey struct {
	view   *view
	action bastion.Action
}

// weigh combines what the rules say of all actions. Its answer names no rule
// where none grants.
func (q *question) weigh() bastion.Decision {
	all := verdict{granted: len(q.actions) > 0, best: bastion.Allow}
	for i, m := range q.means {
		one := m.of(q, q.actions[i])
		all.granted, all.best = all.granted && one.granted, min(all.best, one.best)
		all.limit(one)
	}
	return floor(q.actions, all.decision(q))
}

// meaning is [view.mean], from memory if it can. Where nothing is limited, it keeps
// the verdict alone.
func (p *Policy) meaning(v *view, a bastion.Action) *meaning {
	m, ok := p.meanings.get(meaningKey{v, a})
	if ok {
		return m
	}
	if m = v.mean(a); !m.limited {
		m.lines = nil
	}
	if len(a.Verb)+len(a.Resource) <= maxName {
		a.Resource = strings.Clone(a.Resource) // which may be a piece of a large text
		p.meanings.put(meaningKey{v, a}, m, maxRemembered)
	}
	return m
}

// mean finds the rules that match an action by its verb and object.
func (v *view) mean(a bastion.Action) *meaning {
	m := &meaning{}
	folded := strings.ToLower(a.Resource)
	for _, l := range v.lines[a.Verb] {
		exact, perhaps := l.matches(a.Resource, folded)
		if !perhaps || !exact && l.effect == bastion.Allow {
			continue
		}
		m.lines, m.limited = append(m.lines, match{l, exact}), m.limited || l.limited()
	}
	if !m.limited {
		m.verdict = m.judge(nil, a)
	}
	return m
}

// of is the verdict on the action in question.
func (m *meaning) of(q *question, a bastion.Action) verdict {
	if m.limited {
		return m.judge(q, a)
	}
	return m.verdict
}

// judge works out the verdict. If no rule is limited, it is the same for every
// question, and q may be nil.
func (m *meaning) judge(q *question, a bastion.Action) verdict {
	var one verdict
	var some [8]*rule
	parts := some[:0]
	for i := range m.lines {
		l := &m.lines[i]
		limits, grants := true, l.effect != bastion.Deny
		if l.limited() {
			limits, grants = q.holds(l.rule, a)
		}
		if grants && l.exact && l.grants {
			one.best = max(one.best, l.effect)
			if l.limited() {
				parts = append(parts, l.rule)
			} else {
				one.granted = true
			}
		}
		switch {
		case !limits:
		case len(l.lifted) > 0 && l.effect == bastion.Ask && m.stands(q, a, l):
			one.limit(verdict{fresh: l.freshness()})
		default:
			one.limit(verdict{decides: l.rule, asked: l.effect == bastion.Ask, needs: l.needs, within: l.within, holds: l.holds, fresh: l.freshness(), otherTeam: l.otherTeam, try: l.try})
		}
	}
	one.granted = one.granted || len(parts) > 0 && q.granted(a, parts, anyRows)
	return one
}

// freshness is the greatest age of a sign-in by which the rule grants or asks.
func (r *rule) freshness() time.Duration {
	if r.effect == bastion.Deny {
		return 0
	}
	return r.bundle.fresh
}

// limit takes over what is stricter in another verdict.
func (v *verdict) limit(w verdict) {
	if w.fresh > 0 && (v.fresh == 0 || w.fresh < v.fresh) {
		v.fresh = w.fresh
	}
	if w.asked {
		v.needs = union(v.needs, w.needs)
		if !v.asked || w.within < v.within {
			v.within = w.within
		}
		if !v.asked || w.holds < v.holds {
			v.holds = w.holds
		}
		v.try = w.try && (v.try || !v.asked)
		v.asked, v.otherTeam = true, v.otherTeam || w.otherTeam
	}
	if r := w.decides; r != nil && (v.decides == nil || r.effect < v.decides.effect || r.effect == v.decides.effect && r.order < v.decides.order) {
		v.decides = r
	}
}

func (v *verdict) decision(q *question) bastion.Decision {
	d := bastion.Decision{Effect: v.best}
	if r := v.decides; r != nil {
		d = bastion.Decision{Effect: min(v.best, r.effect), Rule: r.name, Reason: r.reason, Next: r.next}
		if r.rows != anyRows {
			d.Reason = joined(d.Reason, q.expected())
		}
		if r.effect == bastion.Deny {
			return d
		}
	}
	if !v.granted {
		return bastion.Decision{}
	}
	d.Needs, d.Within, d.Holds, d.Fresh, d.OtherTeam, d.Try = v.needs, v.within, v.holds, v.fresh, v.otherTeam, v.try
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

// Access tells an identity what it may do on a target, before it asks. Verbs that
// rules grant on some resources only, or by columns or rows, are listed by what
// the best of these takes, and the note names them. A target to which the identity
// may not connect gives the zero Access, but for what can be asked for.
func (p *Policy) Access(who bastion.Identity, t bastion.Target) bastion.Access {
	v := p.look(who, t.Name, sameAs(t))
	if v == nil {
		return bastion.Access{}
	}
	a := v.access()
	a.Allow, a.Ask, a.Request = slices.Clone(a.Allow), slices.Clone(a.Ask), len(v.offers) > 0
	return a
}

// survey works out the access of a view, by trying each verb on a resource for
// each pattern that rules have, and on one that none of them names.
func (v *view) survey(verbs []bastion.Verb) bastion.Access {
	// try is the best and the worst that can happen, by columns and rows.
	try := func(verb bastion.Verb, resource string) (best, worst bastion.Effect) {
		a := bastion.Action{Verb: verb, Resource: resource}
		// Connecting touches no columns; what else does is not known here.
		q := question{actions: []bastion.Action{a}, means: []*meaning{v.mean(a)}, class: v.class, known: verb == bastion.Connect}
		worst = bastion.Allow
		for _, q.rows = range q.steps(nil) {
			for _, q.lenient = range []bool{false, true} {
				e := q.weigh().Effect
				best, worst = max(best, e), min(worst, e)
			}
		}
		return best, worst
	}
	var a bastion.Access
	if _, a.Connect = try(bastion.Connect, ""); a.Connect == bastion.Deny {
		return bastion.Access{}
	}
	var object, extent []string
	for _, verb := range verbs {
		if verb == bastion.Connect {
			continue
		}
		best, worst := try(verb, "")
		least, limited := best, worst != best
		for _, l := range v.lines[verb] {
			for _, p := range l.on {
				// A name that no pattern holds by itself stands where the star was.
				b, w := try(verb, strings.ReplaceAll(p.text, "*", "\x00"))
				best, least, limited = max(best, b), min(least, b), limited || w != b
			}
		}
		switch best {
		case bastion.Allow:
			a.Allow = append(a.Allow, verb)
		case bastion.Ask:
			a.Ask = append(a.Ask, verb)
		}
		if best != least {
			object = append(object, string(verb))
		}
		if limited {
			extent = append(extent, string(verb))
		}
	}
	if object != nil {
		a.Note = "depends on the object: " + strings.Join(object, ", ")
	}
	if extent != nil {
		a.Note = joined(a.Note, "depends on columns or on the number of rows: "+strings.Join(extent, ", "))
	}
	return a
}
