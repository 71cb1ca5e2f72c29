package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
)

// maxTries bounds the names that are tried for one verb.
const maxTries = 64

// answer is what can happen to an operation of a verb, for reading.
type answer struct {
	effect    bastion.Effect
	needs     bastion.Needs
	otherTeam bool
	rule      string
}

func (o answer) same(x answer) bool {
	return o.effect == x.effect && slices.EqualFunc(o.needs, x.needs, bastion.Need.Equal) && o.otherTeam == x.otherTeam
}

// budget bounds the work of looking at a whole policy: it counts rules that were
// looked at.
type budget struct {
	left  int
	spent bool
}

// take reports whether there is still so much to spend.
func (b *budget) take(n int) bool {
	if b.left -= n; b.left < 0 {
		b.spent = true
	}
	return !b.spent
}

// answers tries a verb on a name for each pattern that rules have, on one that none
// of them names, and by columns and rows. The laxest comes first, and a denial only
// if there is nothing else.
func (v *view) answers(verb bastion.Verb, b *budget) []answer {
	names := []string{""}
	for _, l := range v.lines[verb] {
		for _, p := range l.on {
			// A name that no pattern holds by itself stands where the star was.
			if name := strings.ReplaceAll(p.text, "*", "\x00"); l.effect != bastion.Deny && len(names) < maxTries && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	var all []answer
	for _, name := range names {
		a := bastion.Action{Verb: verb, Resource: name}
		if !b.take(1 + len(v.lines[verb])) {
			break
		}
		q := question{actions: []bastion.Action{a}, means: []*meaning{v.mean(a)}, class: v.class, known: verb == bastion.Connect}
		steps := q.steps(nil)
		if len(steps) > maxTries {
			steps = steps[:maxTries]
		}
		for _, q.rows = range steps {
			for _, q.lenient = range []bool{true, false} {
				d := q.weigh()
				o := answer{d.Effect, d.Needs, d.OtherTeam, d.Rule}
				if !slices.ContainsFunc(all, o.same) {
					all = append(all, o)
				}
				if q.known {
					break
				}
			}
		}
	}
	slices.SortStableFunc(all, func(x, y answer) int {
		return cmp.Or(cmp.Compare(y.effect, x.effect), cmp.Compare(seats(x.needs), seats(y.needs)), strings.Compare(x.needs.String(), y.needs.String()))
	})
	for len(all) > 1 && all[len(all)-1].effect == bastion.Deny {
		all = all[:len(all)-1]
	}
	return all
}

// best is the laxest answer of a verb.
func (v *view) best(verb bastion.Verb, b *budget) answer {
	if all := v.answers(verb, b); len(all) > 0 {
		return all[0]
	}
	return answer{}
}

// seats is how many people the needs take.
func seats(needs bastion.Needs) int {
	n := 0
	for _, need := range needs {
		n += need.Count
	}
	return n
}

// granting is the view with one more bundle for a time.
func (p *Policy) granting(v *view, b *bundle) *view {
	return p.view(v.class, v.set, append(slices.Clone(v.by), b)...)
}

// someTargets names a few of many.
func someTargets(names []string) string {
	const few = 3
	if len(names) > few+1 {
		return strings.Join(names[:few], ", ") + " and " + grouped(int64(len(names)-few)) + " more"
	}
	return strings.Join(names, ", ")
}
