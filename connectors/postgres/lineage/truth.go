package lineage

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// everything reports whether a WHERE chooses all rows of the target: it is
// missing, always true, or does not look at the target at all.
func (a *analysis) everything(n *pg.Node, sc *scope, e *entry) bool {
	if n == nil || n.Node == nil {
		return true
	}
	if n.GetCurrentOfExpr() != nil {
		return false
	}
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_AND_EXPR && len(b.Args) <= 50 {
		all := !slices.ContainsFunc(b.Args, func(n *pg.Node) bool { return !a.everything(n, sc, e) })
		return all || a.truth(n, e) == yes
	}
	before := a.touchesTarget
	a.touchesTarget = false
	probes := slices.Clone(a.probes)
	a.expr(n, sc)
	a.probes = probes // where reads it again
	looks := a.touchesTarget
	a.touchesTarget = before
	switch a.truth(n, e) {
	case yes:
		return true
	case no:
		return false
	}
	return !looks
}

// verdict of a condition that can be told without data.
type verdict int8

const (
	unsure verdict = iota
	yes
	no
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

func (v verdict) not() verdict {
	switch v {
	case yes:
		return no
	case no:
		return yes
	}
	return unsure
}

// truth tells whether a condition is true for every row of e (NULLs aside), or for
// none, as far as simple means go.
func (a *analysis) truth(n *pg.Node, e *entry) verdict {
	if a.depth++; a.depth > 4*maxDepth {
		a.refuse("the statement nests too deeply")
	}
	defer func() { a.depth-- }()
	a.spend(1)
	if k := a.constant(n); k.is {
		switch {
		case k.isBool:
			return verdictOf(k.b)
		case k.null:
			return no
		}
		return unsure
	}
	switch x := n.GetNode().(type) {
	case *pg.Node_TypeCast:
		k := a.constant(x.TypeCast.Arg)
		switch {
		case k.isText:
			switch strings.ToLower(strings.TrimSpace(k.s)) {
			case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1":
				return yes
			case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0":
				return no
			}
		case k.isInt:
			return verdictOf(k.i != 0)
		}
		return a.truth(x.TypeCast.Arg, e)
	case *pg.Node_BoolExpr:
		return a.connective(x.BoolExpr, e)
	case *pg.Node_NullTest:
		if a.notNull(x.NullTest.Arg, e) {
			return verdictOf(x.NullTest.Nulltesttype == pg.NullTestType_IS_NOT_NULL)
		}
	case *pg.Node_BooleanTest:
		v := a.truth(x.BooleanTest.Arg, e)
		switch x.BooleanTest.Booltesttype {
		case pg.BoolTestType_IS_TRUE:
			return v
		case pg.BoolTestType_IS_NOT_FALSE:
			if v == yes {
				return yes
			}
		case pg.BoolTestType_IS_FALSE, pg.BoolTestType_IS_NOT_TRUE:
			if v == no {
				return yes
			}
		case pg.BoolTestType_IS_NOT_UNKNOWN:
			if v == yes || a.notNull(x.BooleanTest.Arg, e) {
				return yes
			}
		}
	case *pg.Node_AExpr:
		return a.compared(x.AExpr, e)
	case *pg.Node_CoalesceExpr:
		for _, n := range x.CoalesceExpr.Args {
			if a.constant(n).null {
				continue
			}
			return a.truth(n, e)
		}
	case *pg.Node_CaseExpr:
		return a.chosen(x.CaseExpr, e)
	case *pg.Node_SubLink:
		return a.subquery(x.SubLink, e)
	}
	return unsure
}

// connective tells of AND, OR and NOT.
func (a *analysis) connective(b *pg.BoolExpr, e *entry) verdict {
	switch b.Boolop {
	case pg.BoolExprType_NOT_EXPR:
		return a.truth(b.Args[0], e).not()
	case pg.BoolExprType_AND_EXPR:
		all := yes
		for _, n := range b.Args {
			switch a.truth(n, e) {
			case no:
				return no
			case unsure:
				all = unsure
			}
		}
		return all
	case pg.BoolExprType_OR_EXPR:
		none := no
		for i, n := range b.Args {
			switch a.truth(n, e) {
			case yes:
				return yes
			case unsure:
				none = unsure
			}
			for _, m := range b.Args[:min(i, 50)] {
				if a.opposite(n, m) {
					return yes
				}
			}
		}
		return none
	}
	return unsure
}

// chosen tells of CASE.
func (a *analysis) chosen(c *pg.CaseExpr, e *entry) verdict {
	var results []verdict
	for _, n := range c.Args {
		w := n.GetCaseWhen()
		v := unsure
		if c.Arg == nil {
			v = a.truth(w.GetExpr(), e)
		} else if a.same(c.Arg, w.GetExpr()) {
			v = yes
		} else {
			v = a.ordered(c.Arg, w.GetExpr(), "=")
		}
		if v == no {
			continue
		}
		results = append(results, a.truth(w.GetResult(), e))
		if v == yes {
			return agreed(results)
		}
	}
	if c.Defresult == nil {
		return agreed(append(results, no))
	}
	return agreed(append(results, a.truth(c.Defresult, e)))
}

// agreed is the verdict that all share.
func agreed(list []verdict) verdict {
	for _, v := range list[1:] {
		if v != list[0] {
			return unsure
		}
	}
	return list[0]
}

// subquery tells of EXISTS, IN and scalar subqueries.
func (a *analysis) subquery(l *pg.SubLink, e *entry) verdict {
	s := l.Subselect.GetSelectStmt()
	if s == nil || s.Op != pg.SetOperation_SETOP_NONE || s.HavingClause != nil || s.WithClause != nil || s.LimitCount != nil || s.LimitOffset != nil ||
		len(s.ValuesLists) > 0 || len(s.GroupClause) > 0 {
		return unsure
	}
	plain := len(s.FromClause) == 0 && (s.WhereClause == nil || a.truth(s.WhereClause, e) == yes) // one row, always
	switch l.SubLinkType {
	case pg.SubLinkType_EXISTS_SUBLINK:
		if plain {
			return yes
		}
		// EXISTS (SELECT FROM the same table WHERE it is the same row)
		if in := a.itself(s, e); in != "" && (s.WhereClause == nil || a.truth(s.WhereClause, e) == yes || a.selves(s.WhereClause, in, e)) {
			return yes
		}
	case pg.SubLinkType_EXPR_SUBLINK:
		if plain && len(s.TargetList) == 1 {
			return a.truth(s.TargetList[0].GetResTarget().GetVal(), e)
		}
	case pg.SubLinkType_ANY_SUBLINK:
		if len(l.OperName) > 0 && nameOf(l.OperName[len(l.OperName)-1]) != "=" || len(s.TargetList) != 1 {
			return unsure
		}
		value := s.TargetList[0].GetResTarget().GetVal()
		if plain {
			if a.same(l.Testexpr, value) {
				return yes
			}
			return a.ordered(l.Testexpr, value, "=")
		}
		// x IN (SELECT x FROM the same table)
		if a.itself(s, e) != "" && (s.WhereClause == nil || a.truth(s.WhereClause, e) == yes) && a.same(l.Testexpr, value) {
			return yes
		}
	}
	return unsure
}

// itself returns the name under which a query reads all of e and nothing else, or
// nothing.
func (a *analysis) itself(s *pg.SelectStmt, e *entry) string {
	if len(s.FromClause) != 1 || e.prefix == "" {
		return ""
	}
	v := s.FromClause[0].GetRangeVar()
	if v == nil {
		return ""
	}
	if schema, _ := a.resolve(v); fullName(schema, v.Relname)+"." != e.prefix {
		return ""
	}
	if v.Alias != nil {
		return v.Alias.Aliasname
	}
	return v.Relname
}

// selves reports whether a condition compares columns of e with the same columns of
// itself under another name, for equality.
func (a *analysis) selves(n *pg.Node, other string, e *entry) bool {
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_AND_EXPR {
		return !slices.ContainsFunc(b.Args, func(n *pg.Node) bool { return !a.selves(n, other, e) })
	}
	x := n.GetAExpr()
	if x == nil || x.Kind != pg.A_Expr_Kind_AEXPR_OP || len(x.Name) != 1 || nameOf(x.Name[0]) != "=" {
		return false
	}
	l, r := stringsOf(x.Lexpr.GetColumnRef().GetFields()), stringsOf(x.Rexpr.GetColumnRef().GetFields())
	return len(l) == 2 && len(r) == 2 && l[1] == r[1] && (l[0] == other && r[0] == e.alias || r[0] == other && l[0] == e.alias)
}

// notNull reports whether an expression cannot be NULL: a column of the target that
// is declared so, a constant, or a comparison of such.
func (a *analysis) notNull(n *pg.Node, e *entry) bool {
	if k := a.constant(n); k.is {
		return !k.null
	}
	if x := n.GetAExpr(); x != nil && x.Kind == pg.A_Expr_Kind_AEXPR_OP && len(x.Name) == 1 && x.Lexpr != nil && x.Rexpr != nil {
		switch nameOf(x.Name[0]) {
		case "=", "<>", "!=", "<", ">", "<=", ">=":
			return a.notNull(x.Lexpr, e) && a.notNull(x.Rexpr, e)
		}
	}
	c := n.GetColumnRef()
	if c == nil || len(c.Fields) == 0 {
		return false
	}
	names := stringsOf(c.Fields)
	name := names[len(names)-1]
	if system[name] {
		return true
	}
	if a.reader.catalog == nil || e.prefix == "" {
		return false
	}
	schema, rel, _ := strings.Cut(strings.TrimSuffix(e.prefix, "."), ".")
	r := a.reader.catalog.Relation(schema, rel)
	if r == nil {
		return false
	}
	k := r.Column(name)
	return k != nil && k.NotNull
}

// compared evaluates a comparison of constants, or of something with itself.
func (a *analysis) compared(x *pg.A_Expr, e *entry) verdict {
	if len(x.Name) == 0 {
		return unsure
	}
	op := nameOf(x.Name[len(x.Name)-1])
	l, r := x.Lexpr, x.Rexpr
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR:
		if c := r.GetFuncCall(); c != nil && len(c.Args) > 0 { // an escape
			r = c.Args[0]
		}
		if k := a.constant(r); k.isText && k.s != "" && strings.Trim(k.s, "%") == "" || a.same(l, r) {
			return verdictOf(!strings.HasPrefix(op, "!"))
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_DISTINCT:
		if a.same(l, r) {
			return no
		}
		if a.constant(r).null && a.notNull(l, e) || a.constant(l).null && a.notNull(r, e) {
			return yes
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		if a.same(l, r) {
			return yes
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_IN, pg.A_Expr_Kind_AEXPR_OP_ANY:
		items := r.GetList().GetItems()
		if x.Kind == pg.A_Expr_Kind_AEXPR_OP_ANY {
			items = r.GetAArrayExpr().GetElements()
		}
		for _, n := range items {
			if op == "=" && (a.same(l, n) || a.ordered(l, n, "=") == yes) {
				return yes
			}
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_BETWEEN:
		if between := r.GetList().GetItems(); len(between) == 2 &&
			(a.same(l, between[0]) || a.ordered(l, between[0], ">=") == yes) &&
			(a.same(l, between[1]) || a.ordered(l, between[1], "<=") == yes) {
			return yes
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_OP:
	default:
		return unsure
	}
	switch op {
	case "~", "~*":
		if k := a.constant(r); k.isText && anything[k.s] {
			return yes
		}
		return unsure
	case "=", "<=", ">=", "~~", "~~*":
		if a.same(l, r) {
			return yes
		}
	case "<>", "!=", "<", ">":
		if a.same(l, r) {
			return no
		}
	}
	if v := a.ordered(l, r, op); v != unsure {
		return v
	}
	// What is never negative.
	if c := l.GetFuncCall(); c != nil && len(c.Funcname) > 0 && unsigned[nameOf(c.Funcname[len(c.Funcname)-1])] {
		if f, ok := a.numeric(r); ok && (op == ">=" && f <= 0 || op == ">" && f < 0) {
			return yes
		}
	}
	return unsure
}

var (
	// anything names regular expressions that match every text.
	anything = map[string]bool{"": true, ".*": true, "^": true, "$": true, "^.*": true, ".*$": true, "^.*$": true}
	// unsigned names functions whose results are never negative.
	unsigned = set(`length char_length character_length octet_length bit_length abs cardinality num_nulls num_nonnulls`)
)

// ordered compares two constants of one type.
func (a *analysis) ordered(l, r *pg.Node, op string) verdict {
	if x, ok := a.numeric(l); ok {
		y, ok := a.numeric(r)
		if !ok {
			return unsure
		}
		switch op {
		case "=":
			return verdictOf(x == y)
		case "<>", "!=":
			return verdictOf(x != y)
		case "<":
			return verdictOf(x < y)
		case ">":
			return verdictOf(x > y)
		case "<=":
			return verdictOf(x <= y)
		case ">=":
			return verdictOf(x >= y)
		}
		return unsure
	}
	if l.GetNode() == nil || r.GetNode() == nil || !isConstant(l) || !isConstant(r) {
		return unsure
	}
	x, y := a.constant(l), a.constant(r)
	if !(x.isText && y.isText || x.isBool && y.isBool) {
		return unsure
	}
	// The collation may order otherwise, but equal is equal.
	switch op {
	case "=":
		return verdictOf(x.s == y.s && x.b == y.b)
	case "<>", "!=":
		return verdictOf(x.s != y.s || x.b != y.b)
	}
	return unsure
}

// numeric is the value of a constant number.
func (a *analysis) numeric(n *pg.Node) (float64, bool) {
	if isConstant(n) {
		k := a.constant(n)
		return k.f, k.isInt || k.isFloat
	}
	if x := n.GetAExpr(); x != nil && x.Lexpr == nil && len(x.Name) == 1 && nameOf(x.Name[0]) == "-" {
		f, ok := a.numeric(x.Rexpr)
		return -f, ok
	}
	return 0, false
}

// same reports whether two expressions have the same value: references to one column,
// or things computed from those in the same way.
func (a *analysis) same(l, r *pg.Node) bool {
	x, y := l.GetColumnRef(), r.GetColumnRef()
	if x == nil && y == nil {
		return l.GetNode() != nil && r.GetNode() != nil && !isConstant(l) && a.settled(l) && a.equalNodes(l, r)
	}
	if x == nil || y == nil {
		return false
	}
	p, q := stringsOf(x.Fields), stringsOf(y.Fields)
	n := min(len(p), len(q)) // t.id and id: take them for one
	return slices.Equal(p[len(p)-n:], q[len(q)-n:])
}

// settled reports whether an expression looks at a column and gives the same value
// whenever it is computed for the same row.
func (a *analysis) settled(n *pg.Node) bool {
	column, steady := false, true
	var walk func(m protoreflect.Message)
	walk = func(m protoreflect.Message) {
		a.spend(1)
		switch x := m.Interface().(type) {
		case *pg.ColumnRef:
			column = true
		case *pg.FuncCall:
			steady = steady && len(x.Funcname) > 0 && total[nameOf(x.Funcname[len(x.Funcname)-1])]
		case *pg.SubLink, *pg.ParamRef:
			steady = false
		}
		m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case d.Message() == nil:
			case d.IsList():
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			default:
				walk(v.Message())
			}
			return steady
		})
	}
	walk(n.ProtoReflect())
	return column && steady
}

// opposite reports whether one of two conditions is true for every row.
func (a *analysis) opposite(n, m *pg.Node) bool {
	x, y := n.GetNullTest(), m.GetNullTest()
	if x != nil && y != nil {
		return x.Nulltesttype != y.Nulltesttype && a.same(x.Arg, y.Arg)
	}
	for _, p := range [2][2]*pg.Node{{n, m}, {m, n}} {
		if b := p[0].GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_NOT_EXPR && a.equalNodes(b.Args[0], p[1]) {
			return true
		}
	}
	u, v := n.GetAExpr(), m.GetAExpr()
	if u == nil || v == nil || len(u.Name) != 1 || len(v.Name) != 1 || u.Kind != v.Kind {
		return false
	}
	p, q := nameOf(u.Name[0]), nameOf(v.Name[0])
	switch p + " " + q {
	case "= <>", "<> =", "< >=", ">= <", "> <=", "<= >", "<= >=", ">= <=", "~~ !~~", "!~~ ~~", "~~* !~~*", "!~~* ~~*":
		if a.same(u.Lexpr, v.Lexpr) && a.equalNodes(u.Rexpr, v.Rexpr) {
			return true
		}
	}
	if u.Kind != pg.A_Expr_Kind_AEXPR_OP || u.Lexpr.GetColumnRef() == nil || !a.same(u.Lexpr, v.Lexpr) {
		return false
	}
	// Numbers that leave nothing between them: id > 1 OR id < 5.
	f, ok := a.numeric(u.Rexpr)
	if !ok {
		return false
	}
	g, ok := a.numeric(v.Rexpr)
	if !ok {
		return false
	}
	if p[0] == '<' && p != "<>" && q[0] == '>' {
		p, q, f, g = q, p, g, f
	}
	switch {
	case (p == ">" || p == ">=") && (q == "<" || q == "<="):
		return f < g || f == g && (p == ">=" || q == "<=")
	case p == "<>" && q == "<>":
		return f != g
	}
	return false
}

// equalNodes reports whether two expressions read the same, places aside.
func (a *analysis) equalNodes(l, r *pg.Node) bool {
	if isConstant(l) || isConstant(r) { // most of them
		return isConstant(l) && isConstant(r) && a.constant(l) == a.constant(r)
	}
	if sort(l) != sort(r) {
		return false
	}
	a.valued = true
	x, y := proto.Clone(l).(*pg.Node), proto.Clone(r).(*pg.Node)
	unplace(x.ProtoReflect())
	unplace(y.ProtoReflect())
	return proto.Equal(x, y)
}

// sort is the name of what a node is, with the operator if it is one.
func sort(n *pg.Node) string {
	if n.GetNode() == nil {
		return ""
	}
	s := string(childOf(n).Descriptor().Name())
	if x := n.GetAExpr(); x != nil && len(x.Name) > 0 {
		s += x.Kind.String() + nameOf(x.Name[len(x.Name)-1])
	}
	return s
}

func unplace(m protoreflect.Message) {
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.Name() == "location":
			m.Clear(d)
		case d.Message() == nil:
		case d.IsList():
			for i := range v.List().Len() {
				unplace(v.List().Get(i).Message())
			}
		default:
			unplace(v.Message())
		}
		return true
	})
}
