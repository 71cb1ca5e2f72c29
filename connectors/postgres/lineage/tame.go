package lineage

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// PostgreSQL computes some expressions only if others before them have certain values:
// the branches of CASE, what follows in AND, OR, COALESCE and IN, the rows of a
// subquery that a value is compared with. Where one of them can fail or do something,
// that tells the values of those before it. Tame ones cannot.

// lazily reads expressions of which each is computed only if those before it do not
// decide, and returns what flows in.
func (a *analysis) lazily(nodes []*pg.Node, sc *scope) flow {
	var f flow
	for i, n := range nodes {
		if i > 0 && f.carries() && !a.tame(n, sc) {
			a.probe(f, false)
		}
		chosen := i > 0 && f.carries() && !a.small(n)
		f = a.beside(f, i == 0, n, sc)
		f.chosen = f.chosen || chosen
	}
	return f
}

// beside adds an expression to others whose values stand in its place otherwise.
func (a *analysis) beside(f flow, first bool, n *pg.Node, sc *scope) flow {
	g := a.expr(n, sc)
	if first || n.GetNode() == nil || a.constant(n).null {
		return f.with(g)
	}
	return f.mix(g)
}

// tameCalls names functions of pg_catalog that never fail, whatever their arguments.
var tameCalls = set(`upper lower initcap length char_length character_length octet_length md5 btrim reverse left right
	concat concat_ws num_nulls num_nonnulls now quote_literal replace`)

// tame reports whether computing an expression can neither fail nor have an effect,
// as far as its form tells.
func (a *analysis) tame(n *pg.Node, sc *scope) bool {
	columns := 0
	return a.tameWith(n, sc, &columns)
}

// tameWith counts the columns in the expression: two that are compared with each other
// may have collations that do not go together, which fails when it is computed.
func (a *analysis) tameWith(n *pg.Node, sc *scope, columns *int) bool {
	all := func(nodes ...*pg.Node) bool {
		return !slices.ContainsFunc(nodes, func(n *pg.Node) bool { return !a.tameWith(n, sc, columns) })
	}
	// each reads parts that do not meet.
	each := func(nodes []*pg.Node) bool {
		most := *columns
		ok := !slices.ContainsFunc(nodes, func(n *pg.Node) bool {
			mine := *columns
			ok := a.tameWith(n, sc, &mine)
			most = max(most, mine)
			return !ok
		})
		*columns = most
		return ok
	}
	switch x := n.GetNode().(type) {
	case nil:
		return true
	case *pg.Node_AConst, *pg.Node_SqlvalueFunction:
		return true
	case *pg.Node_ParamRef: // in a function, whatever the call gives, which may be put in its place
		return len(a.routines) == 0
	case *pg.Node_ColumnRef:
		*columns++
		return a.storedColumn(x.ColumnRef, sc)
	case *pg.Node_TypeCast:
		if !a.builtinType(n) || len(x.TypeCast.TypeName.GetArrayBounds()) > 0 {
			return false
		}
		if isConstant(x.TypeCast.Arg) {
			return true // it is made before anything runs
		}
		last := nameOf(x.TypeCast.TypeName.Names[len(x.TypeCast.TypeName.Names)-1])
		return last == "text" && all(x.TypeCast.Arg)
	case *pg.Node_NullTest:
		return all(x.NullTest.Arg)
	case *pg.Node_BooleanTest:
		return all(x.BooleanTest.Arg)
	case *pg.Node_BoolExpr:
		return each(x.BoolExpr.Args)
	case *pg.Node_CoalesceExpr:
		return all(x.CoalesceExpr.Args...)
	case *pg.Node_MinMaxExpr:
		return all(x.MinMaxExpr.Args...) && *columns <= 1
	case *pg.Node_CaseExpr:
		var parts []*pg.Node
		for _, w := range x.CaseExpr.Args {
			parts = append(parts, w.GetCaseWhen().GetExpr(), w.GetCaseWhen().GetResult())
		}
		return x.CaseExpr.Arg == nil && each(append(parts, x.CaseExpr.Defresult))
	case *pg.Node_RowExpr:
		return each(x.RowExpr.Args)
	case *pg.Node_List:
		return each(x.List.Items)
	case *pg.Node_AExpr:
		return a.tameOperator(x.AExpr) && all(x.AExpr.Lexpr, x.AExpr.Rexpr) && *columns <= 1
	case *pg.Node_FuncCall:
		c := x.FuncCall
		names := stringsOf(c.Funcname)
		if len(names) != 1 || !tameCalls[names[0]] || c.Over != nil || c.AggFilter != nil || c.FuncVariadic || len(a.users(names, len(c.Args))) > 0 {
			return false
		}
		return all(c.Args...) && *columns <= 1
	}
	return false
}

// storedColumn reports whether a name is that of a table's column, whose values are
// there. What a subquery or a view gives may be computed only where it is used.
func (a *analysis) storedColumn(c *pg.ColumnRef, sc *scope) bool {
	if len(c.Fields) == 0 || c.Fields[len(c.Fields)-1].GetAStar() != nil {
		return false
	}
	names := stringsOf(c.Fields)
	last := names[len(names)-1]
	stored := func(e *entry) bool {
		i := e.index(last)
		if i < 0 || e.prefix == "" || e.fields[i].generated || len(e.fields[i].flow.columns) == 0 {
			return false
		}
		rel, _ := a.columnOf(e.fields[i].flow.columns[0])
		return rel != nil && strings.HasPrefix(e.prefix, rel.FullName()) && len(e.prefix) == len(rel.FullName())+1 &&
			(rel.Kind == catalog.Table || rel.Kind == catalog.Partitioned || rel.Kind == catalog.Materialized)
	}
	if len(names) > 1 {
		e := a.qualified(names[:len(names)-1], sc)
		return e != nil && stored(e)
	}
	for s := sc; s != nil; s = s.up {
		found := false
		for _, it := range s.items {
			named := it.loose
			for i := range it.fields {
				named = named || it.fields[i].name == last
			}
			if !named {
				continue
			}
			found = true
			if len(it.entries) == 0 || !slices.ContainsFunc(it.entries, stored) ||
				slices.ContainsFunc(it.entries, func(e *entry) bool { return (e.loose || e.index(last) >= 0) && !stored(e) }) {
				return false
			}
		}
		if found {
			return true
		}
	}
	return false
}

// tameOperator reports whether an operator is one of PostgreSQL's own that never fails.
func (a *analysis) tameOperator(x *pg.A_Expr) bool {
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_IN, pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
	default:
		return false
	}
	if len(x.Name) != 1 || a.reader.catalog == nil {
		return false
	}
	name := nameOf(x.Name[0])
	switch name {
	case "=", "<>", "<", ">", "<=", ">=":
	case "-": // of a constant
		return x.Lexpr == nil && isConstant(x.Rexpr)
	default:
		return false
	}
	return !slices.ContainsFunc(a.reader.catalog.Operators(name), func(o catalog.Operator) bool {
		return !o.Function.Transparent && slices.Contains(a.session.Path, o.Schema)
	})
}

// tameQuery reports whether a subquery is a plain list of a table's columns.
func (a *analysis) tameQuery(n *pg.Node, sc *scope) bool {
	s := n.GetSelectStmt()
	if s == nil || s.Op != pg.SetOperation_SETOP_NONE || s.WithClause != nil || s.HavingClause != nil || s.LimitCount != nil || s.LimitOffset != nil ||
		len(s.GroupClause) > 0 || len(s.WindowClause) > 0 || len(s.DistinctClause) > 0 || len(s.SortClause) > 0 || len(s.LockingClause) > 0 || len(s.FromClause) > 1 {
		return false
	}
	inner := &scope{up: sc}
	for _, n := range s.FromClause {
		v := n.GetRangeVar()
		if v == nil || v.Schemaname == "" && sc.find(v.Relname) != nil {
			return false
		}
		_, rel := a.resolve(v)
		if rel == nil || rel.Kind != catalog.Table && rel.Kind != catalog.Partitioned || len(rel.Policies) > 0 {
			return false
		}
		e := &entry{alias: v.Relname, fields: a.columns(rel), prefix: rel.FullName() + "."}
		if v.Alias != nil {
			if len(v.Alias.Colnames) > 0 {
				return false
			}
			e.alias = v.Alias.Aliasname
		}
		inner.items = append(inner.items, item{entries: []*entry{e}, fields: e.fields})
	}
	for _, l := range s.ValuesLists {
		if !a.tame(l, sc) {
			return false
		}
	}
	return a.tame(s.WhereClause, inner) && !slices.ContainsFunc(s.TargetList, func(n *pg.Node) bool { return !a.tame(n.GetResTarget().GetVal(), inner) })
}
