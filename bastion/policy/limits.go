package policy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// limits are what a rule asks of an operation beyond verb and object.
type limits struct {
	columns []pattern // any if empty
	rows    span
}

// span is a range of estimates: more than over, upTo at most.
type span struct{ over, upTo int64 }

// anyRows is every estimate there may be, and no estimate at all.
var anyRows = span{-1, math.MaxInt64}

func newLimits(r Rule) limits {
	l := limits{rows: anyRows}
	if r.Rows.Over.set() {
		l.rows.over = int64(r.Rows.Over.N)
	}
	if r.Rows.UpTo.set() {
		l.rows.upTo = int64(r.Rows.UpTo.N)
	}
	for _, c := range r.Columns {
		l.columns = append(l.columns, newPattern(c.Text))
	}
	return l
}

func (l *limits) limited() bool { return len(l.columns) > 0 || l.rows != anyRows }

func (s span) has(rows int64) bool { return rows > s.over && rows <= s.upTo }

// String says the span in words, as in "rule a covers only ...".
func (s span) String() string {
	switch {
	case s == anyRows:
		return "any number of rows"
	case s.over < 0:
		return "up to " + countRows(s.upTo)
	case s.upTo == math.MaxInt64:
		return "more than " + countRows(s.over)
	}
	return "more than " + grouped(s.over) + " and up to " + countRows(s.upTo)
}

func countRows(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return grouped(n) + " rows"
}

// grouped writes a number as people read it: 1,000.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// question is an operation as the rules meet it.
type question struct {
	actions []bastion.Action
	means   []*meaning // of each action
	// rows is the estimate. Without one, if it is negative, rules with rows are read
	// strictly: what may refuse or ask does, what may not grant does not, and nothing
	// that any estimate brings is stricter.
	rows  int64
	asked bool // for rows
	class *class
	// known: the columns below are those of an operation. Else this is about what
	// somebody may do at all, and rules with columns are read strictly, or leniently.
	known       bool
	lenient     bool
	wrote, read touched
}

// touched is the columns that an operation writes, or shows and probes.
type touched struct {
	columns []string
	unknown bool // there may be others
	told    bool // something is said about columns at all
}

// touches finds the columns of an intent. The rules know which functions are trusted.
func touches(i bastion.Intent, rules mask.Rules) (wrote, read touched) {
	nameless := func(column string) bool { return strings.Count(column, ".") < 2 }
	wrote.columns, wrote.told, read.told = i.Writes, true, i.Outputs != nil
	wrote.unknown = slices.ContainsFunc(i.Writes, nameless)
	for _, o := range i.Outputs {
		read.columns = append(read.columns, o.Sources...)
		read.unknown = read.unknown || !o.Proven && !trusts(rules, o.Opaque)
	}
	for _, p := range i.Probes {
		if p.Check {
			continue // a rule about columns is one about those that somebody touches
		}
		read.columns = append(read.columns, p.Column)
		read.unknown = read.unknown || nameless(p.Column) && !rules.Trusts(p.By)
	}
	return wrote, read
}

// touched is what the operation touches in the way that the verb does.
func (q *question) touched(verb bastion.Verb) *touched {
	if q.class.writes[verb] {
		return &q.wrote
	}
	return &q.read
}

// trusts reports whether a column of an answer is unproven for the sake of trusted
// functions alone.
func trusts(rules mask.Rules, opaque []string) bool {
	return len(opaque) > 0 && !slices.ContainsFunc(opaque, func(f string) bool { return !rules.Trusts(f) })
}

// of is the resource's own among the columns, and those that belong to none of
// the objects that the operation touches in the same way. ok is false if the
// operation does not tell which columns of the resource it touches.
func (q *question) of(a bastion.Action) (columns []string, ok bool) {
	t := q.touched(a.Verb)
	if t.unknown || !t.told {
		return nil, false
	}
	for _, c := range t.columns {
		if belongs(c, a.Resource) {
			ok = true
		} else if slices.ContainsFunc(q.actions, func(b bastion.Action) bool {
			return q.class.writes[a.Verb] == q.class.writes[b.Verb] && belongs(c, b.Resource)
		}) {
			continue // and is decided there
		}
		columns = append(columns, c)
	}
	return columns, ok
}

// belongs reports whether a column is one of the resource, beyond doubt.
func belongs(column, resource string) bool {
	return resource != "" && len(column) > len(resource) && column[len(resource)] == '.' &&
		column[:len(resource)] == resource && strings.IndexByte(column[len(resource)+1:], '.') < 0
}

// holds says of a rule that matches the action by its name whether its limits are
// met: as far as it refuses or asks, and as far as it grants. It may grant a part
// of the action only; see granted.
func (q *question) holds(r *rule, a bastion.Action) (limits, grants bool) {
	limits, grants = true, r.effect != bastion.Deny
	if q.rows >= 0 && !r.rows.has(q.rows) {
		return false, false
	}
	switch {
	case len(r.columns) == 0:
		return limits, grants
	case !q.known:
		return !q.lenient && r.effect != bastion.Allow, q.lenient && grants
	}
	if grants {
		columns, ok := q.of(a)
		grants = ok && slices.ContainsFunc(columns, r.names)
	}
	if r.effect == bastion.Allow {
		return grants, grants
	}
	return q.meets(r, a), grants
}

// names reports whether a column is one of the rule's, beyond doubt.
func (r *rule) names(column string) bool {
	return slices.ContainsFunc(r.columns, func(p pattern) bool { return p.exact(column) })
}

// meets reports whether the operation touches one of the columns of a rule that
// limits, or may do so.
func (q *question) meets(r *rule, a bastion.Action) bool {
	t := q.touched(a.Verb)
	own := false
	for _, c := range t.columns {
		folded := strings.ToLower(c)
		if slices.ContainsFunc(r.columns, func(p pattern) bool { return p.perhaps(folded) }) {
			return true
		}
		own = own || belongs(c, a.Resource)
	}
	if q.class.writes[a.Verb] {
		// Deleting a row or altering a table says nothing of columns, and touches all.
		return (t.unknown || !own) && a.Resource != "" && r.mayName(a.Resource)
	}
	return t.unknown || !t.told && a.Resource != ""
}

// mayName reports whether one of the rule's columns may be of the resource.
func (r *rule) mayName(resource string) bool {
	folded := strings.ToLower(resource)
	return slices.ContainsFunc(r.columns, func(p pattern) bool {
		return glob(p.folded[:strings.LastIndexByte(p.folded, '.')], folded)
	})
}

// granted reports whether rules that grant a part of the action each grant all of
// it together: every column, by whatever number of rows of a span.
func (q *question) granted(a bastion.Action, parts []*rule, rows span) bool {
	if q.covers(parts, "", rows) {
		return true
	}
	if !q.known || !slices.ContainsFunc(parts, func(r *rule) bool { return len(r.columns) > 0 }) {
		return false
	}
	columns, ok := q.of(a)
	return ok && !slices.ContainsFunc(columns, func(c string) bool { return !q.covers(parts, c, rows) })
}

// covers reports whether the rules for a column, or those for all columns if it
// has no name, grant it by whatever number of rows of a span.
func (q *question) covers(parts []*rule, column string, rows span) bool {
	for reach := rows.over; ; {
		before := reach
		for _, r := range parts {
			switch {
			case q.known && len(r.columns) > 0 && (column == "" || !r.names(column)):
			case q.rows >= 0:
				return true // holds looked at the rows
			case r.rows.over <= reach:
				reach = max(reach, r.rows.upTo)
			}
		}
		if reach >= rows.upTo || reach == before {
			return reach >= rows.upTo
		}
	}
}

// maxSteps bounds the estimates that are tried in order to learn whether one is
// worth asking for.
const maxSteps = 64

// steps adds to buf the least estimate of every range in which the rules say the
// same.
func (q *question) steps(buf []int64) []int64 {
	buf = append(buf, 0)
	for _, m := range q.means {
		if !m.limited {
			continue
		}
		for i := range m.lines {
			for _, n := range [...]int64{m.lines[i].rows.over, m.lines[i].rows.upTo} {
				if n >= 0 && n < math.MaxInt64 {
					buf = append(buf, n+1)
				}
			}
		}
	}
	if len(buf) > 1 {
		slices.Sort(buf)
		buf = slices.Compact(buf)
	}
	return buf
}
