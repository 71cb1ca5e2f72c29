package lineage

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// pair is an equality of two stored columns, which reveals nothing of them but where
// they are equal, if both are hidden: no guess is among them but by writing it.
type pair struct{ l, r flow }

// pairs reports whether an equality is one of two stored columns, and remembers it.
func (a *analysis) pairs(l, r flow) bool {
	if len(a.routines) > 0 || a.inView || !a.stored(l) || !a.stored(r) {
		return false
	}
	a.paired = append(a.paired, pair{l, r})
	return true
}

// stored reports whether all values of a flow are those of one column of a table.
func (a *analysis) stored(f flow) bool {
	return f.straight() && !f.mixed && !f.argument && slices.ContainsFunc(f.columns, func(c string) bool {
		rel, _ := a.columnOf(c)
		return rel != nil && (rel.Kind == catalog.Table || rel.Kind == catalog.Partitioned)
	})
}

// columnOf finds a column by its name, schema.table.column.
func (a *analysis) columnOf(column string) (*catalog.Relation, *catalog.Column) {
	if a.reader.catalog == nil {
		return nil, nil
	}
	schema, rest, _ := strings.Cut(column, ".")
	dot := strings.LastIndexByte(rest, '.')
	if dot < 0 {
		return nil, nil
	}
	rel := a.reader.catalog.Relation(schema, rest[:dot])
	if rel == nil {
		return nil, nil
	}
	return rel, rel.Column(rest[dot+1:])
}

// probePairs notes the pairs of a statement as probes, each with what the order of the
// rows tells of it.
func (a *analysis) probePairs(stmt *pg.Node) {
	for _, p := range a.paired {
		order := a.rowOrder(stmt, p)
		for _, side := range [2][2]flow{{p.l, p.r}, {p.r, p.l}} {
			with := strings.Join(side[1].columns, "\x00")
			for _, c := range side[0].columns {
				a.oneProbe(bastion.Probe{Column: c, Equality: true, With: with, Order: order})
			}
		}
	}
}

// rowOrder is what the order of a statement's rows tells of a pair. The server may
// find equal values by sorting, or by an index, and its rows come in that order then.
func (a *analysis) rowOrder(stmt *pg.Node, p pair) bastion.RowOrder {
	switch {
	case stmt.GetPrepareStmt() != nil:
		stmt = stmt.GetPrepareStmt().Query
	case stmt.GetExecuteStmt() != nil:
		stmt = a.executed
	}
	s := stmt.GetSelectStmt()
	switch {
	case stmt.GetExplainStmt() != nil && !a.measured:
		return bastion.Settled // there are no rows
	case s == nil || s.Op != pg.SetOperation_SETOP_NONE || s.IntoClause != nil || a.ordinal || a.effects:
		return bastion.Telling
	case len(s.GroupClause) > 0 || a.answer.constant() || single(s.TargetList) || a.keyed(p) || a.total():
		return bastion.Settled
	case a.limited || len(s.SortClause) > 0:
		return bastion.Telling
	}
	return bastion.Scattered
}

// keyed reports whether the rows are ordered by keys of the pair's tables, so that rows
// between which the order is open have one value of the pair.
func (a *analysis) keyed(p pair) bool {
	relation := func(f flow) *catalog.Relation {
		rel, _ := a.columnOf(f.columns[0])
		return rel
	}
	left, right := relation(p.l), relation(p.r)
	uses := 1
	if left == right {
		uses = 2
	}
	side := func(rel *catalog.Relation) bool {
		if rel == nil || rel.Kind != catalog.Partitioned && (rel.Kind != catalog.Table || len(rel.Children) > 0) || a.uses[rel] > uses {
			return false
		}
		return slices.ContainsFunc(rel.Columns, func(k catalog.Column) bool { return k.Key && a.orders(k.Sources[0]) })
	}
	l, r := side(left), side(right)
	return l && r && left != right || (l || r) && !a.outer
}

// orders reports whether the outermost query is sorted by a column, as it is.
func (a *analysis) orders(column string) bool {
	return slices.ContainsFunc(a.orderedBy, func(o flow) bool { return o.straight() && !o.mixed && o.columns[0] == column })
}

// total reports whether the outermost query is sorted by all that it returns.
func (a *analysis) total() bool {
	return a.answer.known && len(a.answer.fields) > 0 && !slices.ContainsFunc(a.answer.fields, func(f field) bool {
		if f.flow.constant() {
			return false
		}
		if !f.flow.straight() || f.flow.mixed || !a.orders(f.flow.columns[0]) {
			return true
		}
		rel, _ := a.columnOf(f.flow.columns[0])
		return rel == nil || a.uses[rel] > 1
	})
}

// single reports whether a list of columns is one of plain aggregates, so that there is
// one row.
func single(list []*pg.Node) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(n *pg.Node) bool {
		c := n.GetResTarget().GetVal().GetFuncCall()
		return c == nil || c.Over != nil || len(c.Funcname) != 1 || !singles[nameOf(c.Funcname[0])]
	})
}

var (
	// singles names aggregates that have one result whatever the order of their input.
	singles = set(`count sum avg min max bool_and bool_or every`)
	// ordinals names functions whose results tell in which order rows were computed.
	ordinals = set(`random random_normal clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7`)
)
