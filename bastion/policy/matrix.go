package policy

import (
	"cmp"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
)

// Matrix is who may do what where, for auditors: a row for each role on targets where
// it means the same.
type Matrix struct {
	Rows []MatrixRow `json:"rows"`
	// Partial says that the policy was too large to look at all of it.
	Partial bool `json:"partial,omitempty"`
}

// MatrixRow is what a role by itself means on some targets. What is in no row is
// denied.
type MatrixRow struct {
	Role   string         `json:"role"`
	Duties []bastion.Duty `json:"duties"`
	// Targets have the same row. A role that means nothing on any target has a row
	// without targets, for its duties.
	Targets []string `json:"targets,omitempty"`
	Connect []Cell   `json:"connect,omitempty"`
	Read    []Cell   `json:"read,omitempty"`
	Write   []Cell   `json:"write,omitempty"`
	Schema  []Cell   `json:"schema,omitempty"`
	Admin   []Cell   `json:"admin,omitempty"`
	// Shows are labels and detectors that do not hide from the role what they name,
	// with the bundle in parentheses where that is so for a time only.
	Shows []string `json:"shows,omitempty"`
	// Approves are rules, requests and reviews that holders of the role decide.
	Approves []string `json:"approves,omitempty"`
}

// Cell is what happens to some operations. Several in a place are for different
// operations, or for the same one on different objects, columns or numbers of rows.
type Cell struct {
	// How is allow, ask, request (allowed after access was asked for), emergency
	// (allowed after access was taken) or deny.
	How   string        `json:"how"`
	Needs bastion.Needs `json:"needs,omitempty"` // of ask, request and emergency
	// OtherTeam: whose approval counts shares no team with who asks.
	OtherTeam bool `json:"other_team,omitempty"`
	// Bundle is what is asked for, or taken.
	Bundle string `json:"bundle,omitempty"`
	// Then is ask if each operation takes approval all the same.
	Then  string         `json:"then,omitempty"`
	Verbs []bastion.Verb `json:"verbs"`
}

// String is the cell in a few words.
func (c Cell) String() string {
	s := c.How
	if c.Bundle != "" {
		s += " " + c.Bundle
	}
	if len(c.Needs) > 0 {
		s += " (" + counted(c.Needs)
		if c.OtherTeam {
			s += ", other team"
		}
		s += ")"
	}
	if c.Then != "" {
		s += ", then " + c.Then
	}
	return s
}

// counted is needs as a table has them: 1 reviewer + 2 dba|owner.
func counted(needs bastion.Needs) string {
	var ns []string
	for _, n := range needs {
		ns = append(ns, grouped(int64(n.Count))+" "+strings.Join(append([]string{n.Role}, n.Or...), "|"))
	}
	return strings.Join(ns, " + ")
}

func (c Cell) same(d Cell) bool { return c.String() == d.String() }

// The groups of verbs in a row, by the words of connectors. Any other verb reads or
// writes, as its connector says.
var (
	schemaVerbs = map[bastion.Verb]bool{"create": true, "alter": true, "drop": true, "comment": true, "define": true}
	adminVerbs  = map[bastion.Verb]bool{"grant": true, "extension": true, "foreign": true, "server-file": true, "do": true, "setting-meaning": true, policyChange: true}
)

// Matrix tells who may do what where.
func (p *Policy) Matrix() Matrix {
	var m Matrix
	if p == nil {
		return m
	}
	work := budget{left: maxWork}
	asked := p.questions()
	for i, r := range p.roles {
		held := newBits(len(p.roles))
		held.set(i)
		before := len(m.Rows)
		for _, c := range p.classes {
			if work.spent {
				break
			}
			row := MatrixRow{Role: r.Name, Duties: slices.Clone(r.Duties)}
			p.fill(&row, c, held, &work)
			for _, q := range asked {
				if q.on(c) && slices.ContainsFunc(q.needs, func(n bastion.Need) bool { return n.Takes(r.Name) }) {
					row.Approves = append(row.Approves, q.what)
				}
			}
			if row.empty() {
				continue
			}
			j := slices.IndexFunc(m.Rows[before:], row.same)
			if j < 0 {
				j = len(m.Rows) - before
				m.Rows = append(m.Rows, row)
			}
			m.Rows[before+j].Targets = append(m.Rows[before+j].Targets, c.targets...)
		}
		if len(m.Rows) == before {
			m.Rows = append(m.Rows, MatrixRow{Role: r.Name, Duties: slices.Clone(r.Duties)})
		}
	}
	m.Partial = work.spent
	return m
}

// fill works out what a set of roles means on a class of targets.
func (p *Policy) fill(row *MatrixRow, c *class, held bits, work *budget) {
	if !slices.ContainsFunc(c.bundles, func(b *bundle) bool { return b.appliesTo(held) }) || !work.take(len(c.bundles)) {
		return
	}
	v := p.view(c, held)
	type offer struct {
		view *view
		cell Cell
	}
	var offers []offer
	for _, b := range c.bundles {
		if v.offers[b.name] != b || !work.take(len(c.bundles)) {
			continue
		}
		had := p.granting(v, b)
		if had.best(bastion.Connect, work).effect == bastion.Deny {
			continue
		}
		for _, t := range []*bastion.Terms{b.request, b.emergency} {
			if t != nil {
				how := "request"
				if t.Emergency {
					how = "emergency"
				}
				offers = append(offers, offer{had, Cell{How: how, Needs: t.Needs, OtherTeam: t.OtherTeam, Bundle: b.name}})
			}
		}
		for _, name := range b.clear {
			row.Shows = append(row.Shows, name+" ("+b.name+")")
		}
	}
	reaches := v.best(bastion.Connect, work).effect != bastion.Deny
	for _, verb := range c.verbs {
		into := &row.Read
		switch {
		case verb == bastion.Connect:
			into = &row.Connect
		case schemaVerbs[verb]:
			into = &row.Schema
		case adminVerbs[verb]:
			into = &row.Admin
		case c.writes[verb]:
			into = &row.Write
		}
		put := func(cell Cell) {
			i := slices.IndexFunc(*into, cell.same)
			if i < 0 {
				i = len(*into)
				*into = append(*into, cell)
			}
			(*into)[i].Verbs = append((*into)[i].Verbs, verb)
		}
		best := bastion.Deny
		answers := v.answers(verb, work)
		if !reaches { // and so does nothing there
			answers = []answer{{}}
		}
		for _, a := range answers {
			best = max(best, a.effect)
			put(Cell{How: a.effect.String(), Needs: a.needs, OtherTeam: a.otherTeam})
		}
		for _, o := range offers {
			if a := o.view.best(verb, work); a.effect > best {
				if a.effect == bastion.Ask {
					o.cell.Then = "ask"
				}
				put(o.cell)
			}
		}
	}
	order := []string{"allow", "ask", "request", "emergency", "deny"}
	for _, cells := range [][]Cell{row.Connect, row.Read, row.Write, row.Schema, row.Admin} {
		slices.SortStableFunc(cells, func(a, b Cell) int {
			return cmp.Or(cmp.Compare(slices.Index(order, a.How), slices.Index(order, b.How)), cmp.Compare(seats(a.Needs), seats(b.Needs)))
		})
	}
	for _, name := range p.cleared(c, held, nil) {
		if reaches && !slices.Contains(row.Shows, name) {
			row.Shows = append(row.Shows, name)
		}
	}
	slices.Sort(row.Shows)
}

func (r *MatrixRow) cells() [][]Cell {
	return [][]Cell{r.Connect, r.Read, r.Write, r.Schema, r.Admin}
}

// empty reports whether the row says nothing but that all is denied.
func (r *MatrixRow) empty() bool {
	return len(r.Shows) == 0 && len(r.Approves) == 0 && !slices.ContainsFunc(r.cells(), func(cs []Cell) bool {
		return slices.ContainsFunc(cs, func(c Cell) bool { return c.How != "deny" })
	})
}

// same reports whether a row says the same of its targets.
func (r *MatrixRow) same(o MatrixRow) bool {
	return slices.Equal(r.Shows, o.Shows) && slices.Equal(r.Approves, o.Approves) && slices.EqualFunc(r.cells(), o.cells(), func(a, b []Cell) bool {
		return slices.EqualFunc(a, b, func(c, d Cell) bool { return c.same(d) && slices.Equal(c.Verbs, d.Verbs) })
	})
}

// matrixHeader is the columns of a printed matrix.
var matrixHeader = []string{"role", "duties", "targets", "connect", "read", "write", "schema", "admin", "shows", "approves"}

// fields is a row as text. Of long lists only a few names are written, if few is set.
func (r *MatrixRow) fields(few bool) []string {
	var duties []string
	for _, d := range r.Duties {
		duties = append(duties, string(d))
	}
	list := func(names []string) string {
		if few && len(names) > 4 {
			return someTargets(names)
		}
		return strings.Join(names, ", ")
	}
	fields := []string{r.Role, strings.Join(duties, " "), list(r.Targets)}
	for _, cells := range r.cells() {
		var s []string
		for _, c := range cells {
			s = append(s, c.String())
		}
		fields = append(fields, strings.Join(s, "; "))
	}
	fields = append(fields, list(r.Shows), list(r.Approves))
	for i := range fields {
		if fields[i] = bastion.VisibleLine(fields[i]); fields[i] == "" {
			fields[i] = "-"
		}
	}
	return fields
}

// WriteText writes the matrix for people, in columns that stand below each other.
func (m Matrix) WriteText(w io.Writer) error {
	table := [][]string{matrixHeader}
	for i := range m.Rows {
		table = append(table, m.Rows[i].fields(true))
	}
	width := make([]int, len(matrixHeader))
	for _, row := range table {
		for i, f := range row {
			width[i] = max(width[i], utf8.RuneCountInString(f))
		}
	}
	var b strings.Builder
	for _, row := range table {
		for i, f := range row {
			b.WriteString(f)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(f)+2))
			}
		}
		b.WriteByte('\n')
	}
	if m.Partial {
		b.WriteString("the policy is so large that this is a part of it\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteCSV writes the matrix for other programs (RFC 4180).
func (m Matrix) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	rows := [][]string{matrixHeader}
	for i := range m.Rows {
		fields := m.Rows[i].fields(false)
		for j := range fields {
			if strings.ContainsAny(fields[j][:1], "=+@") { // which a spreadsheet would compute
				fields[j] = "'" + fields[j]
			}
		}
		rows = append(rows, fields)
	}
	return c.WriteAll(rows)
}
