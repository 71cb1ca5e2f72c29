package lineage

import (
	"slices"
	"strings"
)

// flow is what is known of where the values of an expression come from.
type flow struct {
	// columns that flow in, as schema.table.column, without repeats. Never changed
	// in place: flows share it.
	columns []string
	// by names functions of users that cannot be looked into, by their signatures: if
	// they can be trusted, columns are all that flows in. Shared like columns.
	by []string
	// derived: the values are computed, not those of the columns as they are.
	derived bool
	// unproven: columns may be incomplete, whomever one trusts.
	unproven bool
	// hidden: what is missing from columns may be anything of the target.
	hidden bool
	// argument: an argument of the function that is being read flows in.
	argument bool
	// mixed: some values are those of columns, and others are not of the same columns. A
	// token that is equal for equal values would tell which of them are.
	mixed bool
	// row: the values may be rows, or hold some. Rows are compared field by field, which
	// fails where it comes to one that cannot be compared: whether it does tells of those before.
	row bool
	// chosen: hidden values may have chosen among values of the text, also such on which
	// functions fail that take those of any table.
	chosen bool
	// list: the values may be arrays of any size. Putting arrays together fails where their
	// sizes do not go together.
	list bool
}

// opaque is the flow of what cannot be looked into.
var opaque = flow{derived: true, unproven: true, hidden: true}

// with joins two flows into one that covers both.
func (f flow) with(g flow) flow {
	f.derived = f.derived || g.derived
	f.unproven = f.unproven || g.unproven
	f.hidden = f.hidden || g.hidden
	f.argument = f.argument || g.argument
	f.mixed = f.mixed || g.mixed
	f.row = f.row || g.row
	f.chosen = f.chosen || g.chosen
	f.list = f.list || g.list
	f.columns = union(f.columns, g.columns)
	f.by = union(f.by, g.by)
	return f
}

// mix joins two flows whose values stand beside each other: each value is of one or of
// the other.
func (f flow) mix(g flow) flow {
	mixed := (len(f.columns) > 0 || len(g.columns) > 0) && !slices.Equal(f.columns, g.columns)
	f = f.with(g)
	f.mixed = f.mixed || mixed
	return f
}

// union joins two lists that have no repeats, and changes neither.
func union(x, y []string) []string {
	switch {
	case len(x) == 0:
		return y
	case len(y) == 0 || len(x) == len(y) && &x[0] == &y[0]:
		return x
	}
	contains := func(s string) bool { return slices.Contains(x, s) }
	if len(x) > 50 && len(y) > 50 { // columns of a table with many partitions
		known := make(map[string]bool, len(x))
		for _, s := range x {
			known[s] = true
		}
		contains = func(s string) bool { return known[s] }
	}
	out := slices.Clip(x)
	for _, s := range y {
		if !contains(s) {
			out = append(out, s)
		}
	}
	return out
}

// computed is the flow of something computed from f.
func (f flow) computed() flow {
	f.derived = true
	return f
}

// plain is the flow of something that is no row or array, nor one of the text's values.
func (f flow) plain() flow {
	f.row, f.chosen, f.list = false, false, false
	return f
}

// covers reports whether all columns that flow into g flow into f.
func (f flow) covers(g flow) bool {
	return !slices.ContainsFunc(g.columns, func(c string) bool { return !slices.Contains(f.columns, c) }) && (f.unproven || !g.hidden && len(g.by) == 0)
}

// straight reports whether the values are those of base columns, as they are.
func (f flow) straight() bool {
	return len(f.columns) > 0 && !f.derived && !f.unproven && len(f.by) == 0
}

// carries reports whether values of the target may be in it, or an argument.
func (f flow) carries() bool {
	return len(f.columns) > 0 || f.hidden || len(f.by) > 0 || f.argument
}

// constant reports whether nothing of the target is in it.
func (f flow) constant() bool {
	return len(f.columns) == 0 && !f.hidden && !f.unproven && len(f.by) == 0
}

func (f flow) equal(g flow) bool {
	return f.derived == g.derived && f.unproven == g.unproven && f.hidden == g.hidden && f.argument == g.argument && f.mixed == g.mixed &&
		f.row == g.row && f.chosen == g.chosen && f.list == g.list && len(f.columns) == len(g.columns) && len(f.by) == len(g.by)
}

// field is a column of something in FROM, or of a query's answer.
type field struct {
	name string
	flow flow
	typ  string // of a relation's column, as format_type writes it
	// generated: the column is computed by the table.
	generated bool
}

// entry is something in FROM that a name can qualify.
type entry struct {
	schema, alias string
	fields        []field
	// prefix is schema.table. of a relation: its system columns exist.
	prefix string
	// loose: the columns are not known, so that any name may be one.
	loose bool
	// assumed: there is no catalog, and what the text says is taken for granted.
	assumed bool
	// fill is what flows into every column of a loose entry, if filled: the columns'
	// names are not known, but nothing else can be in them.
	fill   flow
	filled bool
	target bool // it is what the statement changes
	named  bool // by the table's own name, so that schema.table.column finds it
}

// item is one element of FROM: a table, or a join of several.
type item struct {
	entries []*entry
	fields  []field // what * gives, in order; unqualified names are looked up here
	loose   bool
}

// scope is where names are looked up, innermost first.
type scope struct {
	up    *scope
	items []item
	ctes  *cte
}

// cte is one query of a WITH, in a chain from the innermost outwards.
type cte struct {
	name    string
	next    *cte
	fields  []field
	loose   bool
	known   bool
	running bool         // being analysed: a reference is recursive
	again   bool         // was referred to while running
	resolve func(c *cte) // analyses the query, when first referred to
}

// find looks a CTE up, from the innermost WITH outwards.
func (s *scope) find(name string) *cte {
	for ; s != nil; s = s.up {
		for c := s.ctes; c != nil; c = c.next {
			if c.name == name {
				return c
			}
		}
	}
	return nil
}

// system columns exist in every table and hold no user's values.
var system = set("ctid xmin xmax cmin cmax tableoid")

// column looks an unqualified name up. ok is false if it is no column.
func (s *scope) column(name string) (f flow, target, ok bool) {
	for ; s != nil; s = s.up {
		found := 0
		for _, it := range s.items {
			for i := range it.fields {
				if it.fields[i].name != name {
					continue
				}
				if found++; found == 1 {
					f = it.fields[i].flow
				} else { // the server will call it ambiguous
					f = f.with(it.fields[i].flow)
					f.unproven = true
				}
				target = target || it.has(name)
			}
		}
		if found > 0 {
			return f, target, true
		}
		for _, it := range s.items {
			if !it.loose {
				continue
			}
			for _, e := range it.entries {
				if e.loose {
					found++
					f = f.with(e.any(name))
					target = target || e.target
				}
			}
		}
		if found > 0 {
			// It may be none of theirs, and then it is an outer one.
			g, t, _ := s.up.column(name)
			return f.with(g), target || t, true
		}
		if system[name] {
			for _, it := range s.items {
				for _, e := range it.entries {
					if e.prefix != "" {
						return flow{}, e.target, true
					}
				}
			}
		}
	}
	return flow{}, false, false
}

// typ is the type of an unqualified name, if it is a relation's column.
func (s *scope) typ(name string) string {
	for ; s != nil; s = s.up {
		for _, it := range s.items {
			for i := range it.fields {
				if it.fields[i].name == name {
					return it.fields[i].typ
				}
			}
		}
	}
	return ""
}

// has reports whether the column is one of the statement's target.
func (it item) has(name string) bool {
	for _, e := range it.entries {
		if e.target && (e.loose || e.index(name) >= 0) {
			return true
		}
	}
	return false
}

func (e *entry) index(name string) int {
	return slices.IndexFunc(e.fields, func(f field) bool { return f.name == name })
}

// any is the flow of a column of an entry whose columns are not known.
func (e *entry) any(name string) flow {
	if e.filled {
		return e.fill
	}
	if e.prefix == "" {
		return opaque
	}
	return flow{columns: []string{e.prefix + name}, unproven: !e.assumed}
}

// whole is the flow of an entry's whole row.
func (e *entry) whole() flow {
	if e.filled {
		return e.fill.computed()
	}
	if e.loose {
		return opaque
	}
	f := flow{derived: true, row: true}
	for i := range e.fields {
		f = f.with(e.fields[i].flow)
	}
	f.list = false
	return f
}

// entry finds what a name qualifies.
func (s *scope) entry(schema, name string) *entry {
	for ; s != nil; s = s.up {
		for _, it := range s.items {
			for _, e := range it.entries {
				if e.alias == name && (schema == "" || e.named && e.schema == schema) {
					return e
				}
			}
		}
	}
	return nil
}

// of returns the flow of one column of an entry.
func (e *entry) of(name string) (flow, bool) {
	if i := e.index(name); i >= 0 {
		f := e.fields[i].flow
		if slices.ContainsFunc(e.fields[i+1:], func(g field) bool { return g.name == name }) {
			for _, g := range e.fields[i+1:] {
				if g.name == name {
					f = f.with(g.flow)
				}
			}
			f.unproven = true
		}
		return f, true
	}
	if e.loose {
		return e.any(name), true
	}
	if system[name] && e.prefix != "" {
		return flow{}, true
	}
	return flow{}, false
}

// rename gives an item a new name, as an alias does: the names inside vanish.
func rename(it item, alias string, columns []string) item {
	if alias == "" {
		return it
	}
	e := &entry{alias: alias, loose: it.loose}
	if len(it.entries) == 1 {
		in := it.entries[0]
		e.prefix, e.target, e.assumed, e.fill, e.filled = in.prefix, in.target, in.assumed, in.fill, in.filled
	}
	e.fields = slices.Clone(it.fields)
	for i, c := range columns {
		if i < len(e.fields) {
			e.fields[i].name = c
		} else if it.loose {
			e.fields = append(e.fields, field{name: c, flow: e.any(c)})
		}
	}
	return item{entries: []*entry{e}, fields: e.fields, loose: it.loose}
}

func fullName(schema, name string) string {
	var b strings.Builder
	b.Grow(len(schema) + 1 + len(name))
	b.WriteString(schema)
	b.WriteByte('.')
	b.WriteString(name)
	return b.String()
}
