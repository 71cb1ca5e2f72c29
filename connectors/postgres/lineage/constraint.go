package lineage

import (
	"slices"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// checks notes that the target looks at columns by itself, to keep a constraint: whether
// a statement fails tells of them.
func (a *analysis) checks(columns []string, equality bool) {
	if a.inView {
		return
	}
	for _, c := range columns {
		sources := []string{c}
		if _, k := a.columnOf(c); k != nil {
			sources = k.Sources
		}
		for _, s := range sources {
			a.oneProbe(bastion.Probe{Column: s, Equality: equality, Check: true})
		}
	}
}

// referred notes that rows of a table are removed: whether that fails tells whether a
// foreign key refers to them.
func (a *analysis) referred(e *entry) {
	for _, f := range e.fields {
		for _, c := range f.flow.columns {
			if _, k := a.columnOf(c); k != nil {
				a.checks(k.ReferencedBy, true)
			}
		}
	}
}

// constrained notes which columns decide whether others can be changed: those that a
// check, a generated column or an index looks at together with them.
func (a *analysis) constrained(e *entry, names []string) {
	for _, name := range names {
		f, _ := e.of(name)
		for _, c := range f.columns {
			rel, k := a.columnOf(c)
			if rel == nil || k == nil {
				continue
			}
			a.checks(k.ReferencedBy, true)
			for _, x := range rel.Checks {
				if all := a.columnsOf(rel, x).flow; len(all.columns) > 1 && slices.Contains(all.columns, k.Sources[0]) {
					a.checks(all.columns, false)
				}
			}
		}
	}
}

// checkOf is an expression of the catalog about a table's rows.
type checkOf struct {
	rel        *catalog.Relation
	expression string
}

// check is what flows into such an expression, and what decides in it: see analysis.
type check struct {
	flow     flow
	filters  flow
	settable bool
}

// columnsOf is what flows into an expression of the catalog about a table's rows.
func (a *analysis) columnsOf(rel *catalog.Relation, expression string) check {
	r := a.reader
	k := checkOf{rel, expression}
	r.mu.Lock()
	c, ok := r.checked[k]
	r.mu.Unlock()
	if ok {
		return c
	}
	fields := make([]field, len(rel.Columns))
	for i := range rel.Columns {
		fields[i] = field{name: rel.Columns[i].Name, flow: flow{columns: rel.Columns[i].Sources[:1]}}
	}
	for i := range fields { // what cannot be read may look at all
		c.filters = c.filters.with(fields[i].flow)
	}
	c.settable = true
	en := &entry{schema: rel.Schema, alias: rel.Name, fields: fields, named: true}
	sub := a.inside()
	if list := expressions(expression); len(list) == 1 && sub.guard(func() {
		c.flow = sub.expr(list[0], &scope{items: []item{{entries: []*entry{en}, fields: fields}}})
	}) {
		c.filters, c.settable = sub.filters.with(c.flow), sub.settable
	}
	a.steps = sub.steps
	r.mu.Lock()
	r.checked[k] = c
	r.mu.Unlock()
	return c
}
