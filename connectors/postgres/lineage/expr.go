package lineage

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// total names functions and operators that give a result for every argument, in
// about the same time and always one row: computing them over a hidden column
// tells nothing but the result, which is masked. Whatever may fail instead
// (1/x, x::int) tells a bit with each error, so it counts as a probe.
var (
	total = set(`abs age date_part date_trunc extract position round floor ceil ceiling any_value array_agg avg bit_length btrim bool_and bool_or char_length character_length coalesce concat
		concat_ws count cume_dist dense_rank every first_value greatest initcap jsonb_agg jsonb_build_array jsonb_build_object
		json_agg json_build_array json_build_object lag last_value lead least left length lower ltrim max md5 min mode
		ntile nth_value num_nonnulls num_nulls octet_length percent_rank pg_typeof quote_literal quote_nullable rank replace
		reverse right row_number row_to_json rtrim sha224 sha256 sha384 sha512 split_part starts_with string_agg strpos
		sum to_json to_jsonb translate upper pg_column_size`)
	totalOperators = set(`|| = <> != < > <= >= ~~ !~~ ~~* !~~* ~ ~* !~ !~* -> ->> BETWEEN`)
	// rowsets names functions that return rows: how many, tells of the arguments.
	rowsets = set(`generate_series generate_subscripts unnest json_array_elements json_array_elements_text json_each json_each_text
		json_object_keys json_populate_recordset json_to_recordset jsonb_array_elements jsonb_array_elements_text jsonb_each
		jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz jsonb_populate_recordset jsonb_to_recordset
		regexp_matches regexp_split_to_table string_to_table ts_debug ts_parse ts_stat ts_token_type`)
	// scalarSet names those of one column.
	scalarSet = set(`generate_series generate_subscripts json_array_elements json_array_elements_text json_object_keys
		jsonb_array_elements jsonb_array_elements_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz
		regexp_matches regexp_split_to_table string_to_table current_database current_schema current_user lower upper
		now version length abs pg_backend_pid array_length cardinality date_trunc`)
	// fieldsOf gives the columns of others.
	fieldsOf = map[string]string{
		"json_each": "key value", "json_each_text": "key value", "jsonb_each": "key value", "jsonb_each_text": "key value",
		"pg_timezone_names": "name abbrev utc_offset is_dst", "pg_get_keywords": "word catcode barelabel catdesc baredesc",
		"aclexplode": "grantor grantee privilege_type is_grantable",
	}
	// sequences names functions whose results are numbers of sequences.
	sequences = set(`nextval currval lastval setval`)
	// known names functions of pg_catalog that are not pure, so that using one does
	// not make the catalog look out of date.
	known = set(`nextval currval lastval setval pg_sleep pg_sleep_for pg_sleep_until pg_cancel_backend pg_terminate_backend
		pg_reload_conf current_setting setseed txid_current pg_current_xact_id query_to_xml table_to_xml cursor_to_xml
		schema_to_xml database_to_xml ts_stat ts_rewrite pg_stat_reset pg_stat_get_activity pg_notification_queue_usage`)
)

func fieldNames(function string) func(func(string) bool) {
	return strings.FieldsSeq(fieldsOf[function])
}

func itoa(i int) string { return strconv.Itoa(i) }

// stringsOf returns the names in a list of names.
func stringsOf(list []*pg.Node) []string {
	if len(list) == 0 {
		return nil
	}
	s := make([]string, len(list))
	for i, n := range list {
		s[i] = n.GetString_().GetSval()
	}
	return s
}

// expr reads an expression and returns what flows into its value.
func (a *analysis) expr(n *pg.Node, sc *scope) flow {
	if n == nil || n.Node == nil {
		return flow{}
	}
	if a.depth++; a.depth > 4*maxDepth {
		a.refuse("the statement nests too deeply")
	}
	defer func() { a.depth-- }()
	a.spend(1)
	switch x := n.Node.(type) {
	case *pg.Node_AConst, *pg.Node_ParamRef, *pg.Node_SetToDefault, *pg.Node_String_, *pg.Node_Integer, *pg.Node_Float,
		*pg.Node_Boolean, *pg.Node_CurrentOfExpr, *pg.Node_SqlvalueFunction:
		return flow{}
	case *pg.Node_ColumnRef:
		return a.column(x.ColumnRef, sc)
	case *pg.Node_AExpr:
		return a.operation(x.AExpr, sc)
	case *pg.Node_BoolExpr:
		f := a.list(x.BoolExpr.Args, sc).computed()
		if x.BoolExpr.Boolop != pg.BoolExprType_NOT_EXPR {
			a.probe(f, false) // one side decides whether the other is computed
		}
		return f
	case *pg.Node_NullTest:
		return a.expr(x.NullTest.Arg, sc).computed()
	case *pg.Node_BooleanTest:
		return a.expr(x.BooleanTest.Arg, sc).computed()
	case *pg.Node_TypeCast:
		return a.cast(x.TypeCast, sc)
	case *pg.Node_CollateClause:
		return a.expr(x.CollateClause.Arg, sc)
	case *pg.Node_FuncCall:
		return a.function(x.FuncCall, sc)
	case *pg.Node_CoalesceExpr:
		return a.list(x.CoalesceExpr.Args, sc)
	case *pg.Node_MinMaxExpr:
		return a.list(x.MinMaxExpr.Args, sc)
	case *pg.Node_CaseExpr:
		return a.choice(x.CaseExpr, sc)
	case *pg.Node_SubLink:
		return a.sublink(x.SubLink, sc)
	case *pg.Node_AArrayExpr:
		return a.list(x.AArrayExpr.Elements, sc).computed()
	case *pg.Node_RowExpr:
		return a.row(x.RowExpr.Args, sc).computed()
	case *pg.Node_List:
		return a.list(x.List.Items, sc)
	case *pg.Node_AIndirection:
		return a.selection(x.AIndirection, sc)
	case *pg.Node_NamedArgExpr:
		return a.expr(x.NamedArgExpr.Arg, sc)
	case *pg.Node_MultiAssignRef:
		return a.expr(x.MultiAssignRef.Source, sc)
	case *pg.Node_SelectStmt:
		return a.flows(a.selects(x.SelectStmt, sc))
	case *pg.Node_MergeSupportFunc:
		return flow{}
	case *pg.Node_GroupingFunc, *pg.Node_XmlExpr, *pg.Node_XmlSerialize, *pg.Node_JsonObjectConstructor,
		*pg.Node_JsonArrayConstructor, *pg.Node_JsonArrayQueryConstructor, *pg.Node_JsonObjectAgg, *pg.Node_JsonArrayAgg,
		*pg.Node_JsonParseExpr, *pg.Node_JsonScalarExpr, *pg.Node_JsonSerializeExpr, *pg.Node_JsonIsPredicate,
		*pg.Node_JsonFuncExpr, *pg.Node_JsonValueExpr, *pg.Node_ColumnDef, *pg.Node_JsonKeyValue, *pg.Node_JsonArgument:
		f := a.children(childOf(n), sc).computed()
		a.probe(f, false) // some of them may fail
		return f
	}
	a.refuse("the statement holds an expression that this bastion does not know")
	return opaque
}

// list is the union of several expressions.
func (a *analysis) list(nodes []*pg.Node, sc *scope) flow {
	var f flow
	for _, n := range nodes {
		f = f.with(a.expr(n, sc))
	}
	return f
}

// row is the union of the fields of ROW(...), where t.* may stand.
func (a *analysis) row(nodes []*pg.Node, sc *scope) flow {
	var f flow
	for _, n := range nodes {
		if fields, star, ok := a.star(n, sc); star {
			a.spend(len(fields) * len(fields) / 8)
			for _, x := range fields {
				f = f.with(x.flow)
			}
			if !ok {
				f = f.with(opaque)
			}
			continue
		}
		f = f.with(a.expr(n, sc))
	}
	return f
}

// flows is the union of an answer's columns.
func (a *analysis) flows(out answer) flow {
	f := flow{}
	for _, x := range out.fields {
		f = f.with(x.flow)
	}
	if !out.known {
		f = f.with(opaque)
	}
	return f
}

// column reads a reference to a column, or to a whole row.
func (a *analysis) column(c *pg.ColumnRef, sc *scope) flow {
	a.seen[c] = true
	if n := len(c.Fields); n > 0 && c.Fields[n-1].GetAStar() != nil {
		// t.* within an expression is the whole row.
		fields, _, ok := a.star(&pg.Node{Node: &pg.Node_ColumnRef{ColumnRef: c}}, sc)
		f := flow{derived: true}
		for _, x := range fields {
			f = f.with(x.flow)
		}
		if !ok {
			f = f.with(opaque)
		}
		return f
	}
	names := stringsOf(c.Fields)
	last := names[len(names)-1]
	if len(names) == 1 {
		if f, target, ok := sc.column(last); ok {
			if target {
				a.touchesTarget = true
			}
			return f
		}
		if e := sc.entry("", last); e != nil {
			a.touchesTarget = a.touchesTarget || e.target
			a.spend(len(e.fields) * len(e.fields) / 8)
			return e.whole()
		}
		return a.missing(opaque)
	}
	e := a.qualified(names[:len(names)-1], sc)
	if e == nil {
		// (column).field is written without parentheses only where it is wrong.
		return a.missing(opaque)
	}
	a.touchesTarget = a.touchesTarget || e.target
	if f, ok := e.of(last); ok {
		return f
	}
	// t.f can be f(t): a function or a cast of the whole row.
	f := e.whole()
	if !pure[last] || len(a.others(last)) > 0 {
		a.call([]string{last}, false)
		f = f.with(opaque)
		a.probe(f, false)
	}
	return f.with(flow{derived: true, unproven: true})
}

// missing notes that a name is in no table: the server will most likely say so.
func (a *analysis) missing(f flow) flow {
	a.unknown = true
	return f
}

// choice reads CASE: what decides flows in too.
func (a *analysis) choice(c *pg.CaseExpr, sc *scope) flow {
	decides := a.expr(c.Arg, sc)
	f := a.expr(c.Defresult, sc)
	for _, n := range c.Args {
		w := n.GetCaseWhen()
		decides = decides.with(a.expr(w.GetExpr(), sc))
		f = f.with(a.expr(w.GetResult(), sc))
	}
	if c.Arg != nil {
		decides = decides.with(a.operator([]string{"="}, decides))
	}
	a.probe(decides, false) // and decides what is computed at all
	if len(decides.columns) > 0 || decides.hidden {
		f = f.with(decides.computed())
	}
	return f
}

// operation reads an operator and the constructs that are written with operators.
func (a *analysis) operation(x *pg.A_Expr, sc *scope) flow {
	a.seen[x] = true
	names := stringsOf(x.Name)
	l, r := a.expr(x.Lexpr, sc), a.expr(x.Rexpr, sc)
	f := l.with(r)
	last := ""
	if len(names) > 0 {
		last = names[len(names)-1]
	}
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_NULLIF:
		f = f.with(a.operator([]string{"="}, f))
		a.probe(f, false)
		return f.computed()
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return f.with(a.operator([]string{"<="}, f)).with(a.operator([]string{">="}, f)).computed()
	case pg.A_Expr_Kind_AEXPR_SIMILAR, pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE:
		if len(r.columns) > 0 || r.hidden {
			a.probe(f, false) // a pattern may be wrong
		}
	case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL, pg.A_Expr_Kind_AEXPR_DISTINCT,
		pg.A_Expr_Kind_AEXPR_NOT_DISTINCT, pg.A_Expr_Kind_AEXPR_IN:
	default:
		a.refuse("the statement holds an operator of a kind that this bastion does not know")
	}
	f = f.with(a.operator(names, f))
	if !totalOperators[last] || strings.Contains(last, "~") && (len(r.columns) > 0 || r.hidden) {
		a.probe(f, false)
	}
	return f.computed()
}

// operator notes the use of an operator, and returns opaque if it is a user's own.
func (a *analysis) operator(names []string, args flow) flow {
	if len(names) == 0 || a.reader.catalog == nil {
		return flow{}
	}
	last := names[len(names)-1]
	for _, o := range a.reader.catalog.Operators(last) {
		switch {
		case o.Function.Transparent:
		case len(names) > 1 && names[len(names)-2] != o.Schema:
		case len(names) == 1 && !slices.Contains(a.session.Path, o.Schema):
		default:
			a.action(Function, fullName(o.Function.Schema, o.Function.Name))
			a.effects = true
			a.probe(args, false)
			return opaque
		}
	}
	if len(names) > 1 && names[len(names)-2] != "pg_catalog" && len(a.reader.catalog.Operators(last)) == 0 {
		a.unknown = true
		a.action(Function, fullName(names[len(names)-2], last))
		a.effects = true
		return opaque
	}
	return flow{}
}

// cast reads x::type.
func (a *analysis) cast(c *pg.TypeCast, sc *scope) flow {
	a.seen[c] = true
	f := a.expr(c.Arg, sc)
	names := stringsOf(c.TypeName.GetNames())
	if a.typeName(c.TypeName) {
		a.probe(f, false)
		return opaque.with(f)
	}
	if len(f.columns) == 0 && !f.hidden {
		return f
	}
	plain := len(c.TypeName.GetTypmods()) == 0 && len(c.TypeName.GetArrayBounds()) == 0
	if last := names[len(names)-1]; plain && (last == "text" || last == "varchar") {
		return f
	}
	a.probe(f, false) // a cast that fails tells of the value
	return f.computed()
}

// typeName notes the use of a type, and reports whether making a value of it may
// run a user's function.
func (a *analysis) typeName(t *pg.TypeName) bool {
	if t == nil {
		return false
	}
	names := stringsOf(t.Names)
	if t.PctType || len(names) == 0 || a.reader.catalog == nil {
		return false
	}
	last := names[len(names)-1]
	schemas := a.session.Path
	if len(names) > 1 {
		schemas = names[len(names)-2 : len(names)-1]
	}
	for _, s := range schemas {
		if t, ok := a.reader.catalog.Type(s, last); ok {
			if t.Calls {
				a.action(Function, fullName(s, last))
				a.effects = true
			}
			return t.Calls
		}
	}
	return false
}

// selection reads (x).field and x[1].
func (a *analysis) selection(x *pg.A_Indirection, sc *scope) flow {
	f := a.expr(x.Arg, sc).with(a.indirection(x.Indirection, sc))
	for _, n := range x.Indirection {
		if s := n.GetString_(); s != nil && (!pure[s.Sval] || len(a.others(s.Sval)) > 0) {
			// (row).f can be f(row). Fields of row types are not in the catalog here.
			for _, o := range a.others(s.Sval) {
				a.action(Function, fullName(o, s.Sval))
				a.effects = true
				a.probe(f, false)
				f = f.with(opaque)
			}
		}
	}
	return f.computed()
}

// indirection reads the subscripts of a list of fields and subscripts.
func (a *analysis) indirection(list []*pg.Node, sc *scope) flow {
	var f flow
	for _, n := range list {
		if i := n.GetAIndices(); i != nil {
			f = f.with(a.expr(i.Lidx, sc)).with(a.expr(i.Uidx, sc))
		}
	}
	return f
}

// sublink reads a subquery in an expression.
func (a *analysis) sublink(s *pg.SubLink, sc *scope) flow {
	a.seen[s] = true
	test := a.expr(s.Testexpr, sc)
	out := a.query(s.Subselect, sc)
	switch s.SubLinkType {
	case pg.SubLinkType_EXISTS_SUBLINK:
		return flow{}
	case pg.SubLinkType_EXPR_SUBLINK:
		return a.flows(out)
	case pg.SubLinkType_ARRAY_SUBLINK:
		return a.flows(out).computed()
	case pg.SubLinkType_ANY_SUBLINK, pg.SubLinkType_ALL_SUBLINK, pg.SubLinkType_ROWCOMPARE_SUBLINK, pg.SubLinkType_MULTIEXPR_SUBLINK:
		f := test.with(a.flows(out))
		names := stringsOf(s.OperName)
		if len(names) == 0 {
			names = []string{"="}
		}
		return f.with(a.operator(names, f)).computed()
	}
	a.refuse("the statement holds a subquery of a kind that this bastion does not know")
	return opaque
}

// function reads a call.
func (a *analysis) function(c *pg.FuncCall, sc *scope) flow {
	a.seen[c] = true
	names := stringsOf(c.Funcname)
	last := names[len(names)-1]
	args := a.row(c.Args, sc)
	for _, n := range c.AggOrder {
		by := n.GetSortBy()
		a.seen[by] = true
		o := a.expr(by.GetNode(), sc)
		if len(by.GetUseOp()) > 0 {
			o = o.with(a.operator(stringsOf(by.GetUseOp()), o))
		}
		if c.AggWithinGroup {
			args = args.with(o)
		} else {
			args = args.with(o.computed())
		}
	}
	if c.AggFilter != nil {
		f := a.expr(c.AggFilter, sc)
		a.probe(f, false) // decides what is computed
		args = args.with(f.computed())
	}
	if c.Over != nil {
		f := a.window(c.Over, sc)
		a.probe(f, false) // the rows may come in that order
		args = args.with(f.computed())
	}
	if c.AggDistinct {
		a.operator([]string{"="}, args)
	}
	builtin := len(names) == 1 || names[len(names)-2] == "pg_catalog"
	if builtin {
		switch last {
		case "current_setting":
			if name, ok := text(c.Args); ok && (harmless[name] || shown[name]) {
				return flow{}
			}
		case "set_config":
			name, ok := text(c.Args)
			a.effects = true
			switch {
			case ok && fixed[name]:
				a.refuse("the setting %s cannot be changed here, because the bastion reads texts by it", name)
			case ok && harmless[name]:
				a.action(Setting, "")
			default:
				a.action(SettingMeaning, "")
			}
			a.probe(args, false)
			return args.computed()
		}
	}
	if !a.call(names, false) {
		a.probe(args, false)
		if builtin && sequences[last] {
			return args.computed()
		}
		if builtin && special[last] == Lock {
			return flow{}
		}
		return opaque.with(args)
	}
	if rowsets[last] || !total[last] {
		a.probe(args, false)
	}
	if keeping[last] && len(c.Args) <= 1 {
		return args
	}
	return args.computed()
}

// text returns the first argument of a call if it is a string constant.
func text(args []*pg.Node) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	n := args[0]
	if t := n.GetTypeCast(); t != nil {
		n = t.Arg
	}
	if k := n.GetAConst(); k != nil && k.GetSval() != nil {
		return strings.ToLower(k.GetSval().Sval), true
	}
	return "", false
}

// others lists the schemas on the path in which a function of that name exists
// that cannot be looked into.
func (a *analysis) others(name string) []string {
	if a.reader.catalog == nil {
		return nil
	}
	var schemas []string
	for _, f := range a.reader.catalog.Functions(name) {
		if !f.Transparent && slices.Contains(a.session.Path, f.Schema) && !slices.Contains(schemas, f.Schema) {
			schemas = append(schemas, f.Schema)
		}
	}
	return schemas
}

// call notes a call, and reports whether the function has no effect and its
// result comes from its arguments alone.
func (a *analysis) call(names []string, sampling bool) bool {
	if len(names) > 2 {
		names = names[len(names)-2:]
	}
	last := names[len(names)-1]
	if sampling && (last == "bernoulli" || last == "system") && len(names) == 1 {
		return true
	}
	if len(names) == 2 && names[0] != "pg_catalog" {
		return a.foreignCall(names[0], last)
	}
	if len(names) == 1 {
		// PostgreSQL picks among all functions of the name on the path, by their types.
		if schemas := a.others(last); len(schemas) > 0 {
			for _, s := range schemas {
				a.action(Function, fullName(s, last))
			}
			a.effects = true
			return false
		}
	}
	if pure[last] {
		return true
	}
	if len(names) == 1 && a.reader.catalog != nil {
		for _, f := range a.reader.catalog.Functions(last) {
			if f.Transparent && slices.Contains(a.session.Path, f.Schema) {
				return true
			}
		}
	}
	a.effects = true
	if v, ok := special[last]; ok {
		a.action(v, "")
		return false
	}
	schema := "pg_catalog"
	if !known[last] && !strings.HasPrefix(last, "pg_") && len(names) == 1 {
		a.unknown = a.unknown || a.reader.catalog != nil
		schema = a.creating()
	}
	a.action(Function, fullName(schema, last))
	return false
}

// foreignCall is call for a function with a schema other than pg_catalog.
func (a *analysis) foreignCall(schema, name string) bool {
	found, transparent := false, true
	if a.reader.catalog != nil {
		for _, f := range a.reader.catalog.Functions(name) {
			if f.Schema == schema {
				found, transparent = true, transparent && f.Transparent
			}
		}
		a.unknown = a.unknown || !found
	}
	if found && transparent {
		return true
	}
	a.action(Function, fullName(schema, name))
	a.effects = true
	return false
}

// window reads the definition of a window.
func (a *analysis) window(w *pg.WindowDef, sc *scope) flow {
	if w == nil {
		return flow{}
	}
	f := a.list(w.PartitionClause, sc)
	for _, n := range w.OrderClause {
		by := n.GetSortBy()
		a.seen[by] = true
		f = f.with(a.expr(by.GetNode(), sc))
		if len(by.GetUseOp()) > 0 {
			f = f.with(a.operator(stringsOf(by.GetUseOp()), f))
		}
	}
	return f.with(a.expr(w.StartOffset, sc)).with(a.expr(w.EndOffset, sc))
}

// where reads a condition: its columns are probed.
func (a *analysis) where(n *pg.Node, sc *scope) {
	if n == nil || n.Node == nil {
		return
	}
	if b := n.GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_AND_EXPR {
		for _, x := range b.Args {
			a.where(x, sc)
		}
		return
	}
	if x := n.GetAExpr(); x != nil && len(x.Name) == 1 && x.Name[0].GetString_().GetSval() == "=" {
		switch x.Kind {
		case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_IN, pg.A_Expr_Kind_AEXPR_OP_ANY:
			l, r := x.Lexpr, x.Rexpr
			if fixedValue(r) && l.GetColumnRef() != nil || x.Kind == pg.A_Expr_Kind_AEXPR_OP && fixedValue(l) && r.GetColumnRef() != nil {
				a.seen[x] = true
				f := a.expr(l, sc).with(a.expr(r, sc))
				o := a.operator([]string{"="}, f)
				a.probe(f, f.straight() && !o.hidden)
				return
			}
			if x.Kind == pg.A_Expr_Kind_AEXPR_OP && l.GetColumnRef() != nil && r.GetColumnRef() != nil {
				a.seen[x] = true
				lf, rf := a.expr(l, sc), a.expr(r, sc)
				if o := a.operator([]string{"="}, lf.with(rf)); !o.hidden {
					a.compare(lf, rf)
				}
				return
			}
		}
	}
	if s := n.GetSubLink(); s != nil && s.SubLinkType == pg.SubLinkType_ANY_SUBLINK && len(s.OperName) == 0 && s.Testexpr.GetColumnRef() != nil {
		a.seen[s] = true
		l := a.expr(s.Testexpr, sc)
		out := a.query(s.Subselect, sc)
		if o := a.operator([]string{"="}, l); !o.hidden {
			a.compare(l, a.flows(out))
		}
		return
	}
	a.probe(a.expr(n, sc), false)
}

// fixedValue reports whether a node is a constant or a parameter, or a list of them.
func fixedValue(n *pg.Node) bool {
	switch x := n.GetNode().(type) {
	case *pg.Node_AConst, *pg.Node_ParamRef:
		return true
	case *pg.Node_TypeCast:
		return fixedValue(x.TypeCast.Arg)
	case *pg.Node_List:
		return !slices.ContainsFunc(x.List.Items, func(n *pg.Node) bool { return !fixedValue(n) })
	case *pg.Node_AArrayExpr:
		return !slices.ContainsFunc(x.AArrayExpr.Elements, func(n *pg.Node) bool { return !fixedValue(n) })
	case *pg.Node_AExpr:
		return x.AExpr.Kind == pg.A_Expr_Kind_AEXPR_OP && x.AExpr.Lexpr == nil && len(x.AExpr.Name) == 1 &&
			x.AExpr.Name[0].GetString_().GetSval() == "-" && fixedValue(x.AExpr.Rexpr)
	}
	return false
}

// children is the union of all expressions within a message, whatever its type.
func (a *analysis) children(m protoreflect.Message, sc *scope) flow {
	var f flow
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if d.Message() == nil {
			return true
		}
		visit := func(m protoreflect.Message) {
			switch x := m.Interface().(type) {
			case *pg.Node:
				switch y := x.Node.(type) {
				case *pg.Node_SortBy:
					a.seen[y.SortBy] = true
					f = f.with(a.expr(y.SortBy.Node, sc))
				case *pg.Node_ResTarget: // a named argument of an XML function
					a.seen[y.ResTarget] = true
					f = f.with(a.expr(y.ResTarget.Val, sc))
				case *pg.Node_TypeName, *pg.Node_RangeTableFuncCol, *pg.Node_JsonTableColumn, *pg.Node_JsonTablePathSpec, *pg.Node_Constraint, *pg.Node_DefElem:
					f = f.with(a.children(childOf(x), sc))
				case nil:
				default:
					f = f.with(a.expr(x, sc))
				}
			case *pg.TypeName:
				a.typeName(x)
			case *pg.WindowDef:
				f = f.with(a.window(x, sc))
			case *pg.RangeVar:
			default:
				f = f.with(a.children(m, sc))
			}
		}
		if d.IsList() {
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message())
			}
		} else {
			visit(v.Message())
		}
		return true
	})
	return f
}

// childOf returns the message inside a node.
func childOf(n *pg.Node) protoreflect.Message {
	m := n.ProtoReflect()
	var child protoreflect.Message
	m.Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		child = v.Message()
		return false
	})
	return child
}

// targetName is the name that PostgreSQL gives an output column.
func targetName(t *pg.ResTarget) string {
	if t.Name != "" {
		return t.Name
	}
	return columnLabel(t.Val)
}

func columnLabel(n *pg.Node) string {
	switch x := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		for i := len(x.ColumnRef.Fields) - 1; i >= 0; i-- {
			if s := x.ColumnRef.Fields[i].GetString_(); s != nil {
				return s.Sval
			}
		}
	case *pg.Node_FuncCall:
		return x.FuncCall.Funcname[len(x.FuncCall.Funcname)-1].GetString_().GetSval()
	case *pg.Node_TypeCast:
		if l := columnLabel(x.TypeCast.Arg); l != "?column?" {
			return l
		}
		names := stringsOf(x.TypeCast.TypeName.GetNames())
		return names[len(names)-1]
	case *pg.Node_CollateClause:
		return columnLabel(x.CollateClause.Arg)
	case *pg.Node_AIndirection:
		for i := len(x.AIndirection.Indirection) - 1; i >= 0; i-- {
			if s := x.AIndirection.Indirection[i].GetString_(); s != nil {
				return s.Sval
			}
		}
		return columnLabel(x.AIndirection.Arg)
	case *pg.Node_CaseExpr:
		if l := columnLabel(x.CaseExpr.Defresult); l != "?column?" {
			return l
		}
		return "case"
	case *pg.Node_CoalesceExpr:
		return "coalesce"
	case *pg.Node_AArrayExpr:
		return "array"
	case *pg.Node_RowExpr:
		return "row"
	case *pg.Node_SqlvalueFunction:
		return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(x.SqlvalueFunction.Op.String(), "SVFOP_"), "_N"))
	case *pg.Node_MinMaxExpr:
		if x.MinMaxExpr.Op == pg.MinMaxOp_IS_LEAST {
			return "least"
		}
		return "greatest"
	case *pg.Node_SubLink:
		switch x.SubLink.SubLinkType {
		case pg.SubLinkType_EXISTS_SUBLINK:
			return "exists"
		case pg.SubLinkType_ARRAY_SUBLINK:
			return "array"
		case pg.SubLinkType_EXPR_SUBLINK:
			s := x.SubLink.Subselect.GetSelectStmt()
			for s.GetLarg() != nil {
				s = s.Larg
			}
			if list := s.GetTargetList(); len(list) > 0 {
				return targetName(list[0].GetResTarget())
			}
		}
	}
	return "?column?"
}

// everything reports whether a WHERE chooses all rows of the target: it is
// missing, always true, or does not look at the target at all.
func (a *analysis) everything(n *pg.Node, sc *scope, e *entry) bool {
	if n == nil || n.Node == nil {
		return true
	}
	if n.GetCurrentOfExpr() != nil {
		return false
	}
	before := a.touchesTarget
	a.touchesTarget = false
	probes := slices.Clone(a.probes)
	a.expr(n, sc)
	a.probes = probes // where reads it again
	looks := a.touchesTarget
	a.touchesTarget = before
	switch truth(n, a, e) {
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

// truth tells whether a condition is true for every row (NULLs aside), or for
// none, as far as simple means go.
func truth(n *pg.Node, a *analysis, e *entry) verdict {
	switch x := n.GetNode().(type) {
	case *pg.Node_AConst:
		if b := x.AConst.GetBoolval(); b != nil {
			return verdictOf(b.Boolval)
		}
		if x.AConst.Isnull {
			return no
		}
	case *pg.Node_TypeCast:
		if s := x.TypeCast.Arg.GetAConst().GetSval(); s != nil {
			switch strings.ToLower(strings.TrimSpace(s.Sval)) {
			case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1":
				return yes
			case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0":
				return no
			}
		}
		if i := x.TypeCast.Arg.GetAConst().GetIval(); i != nil {
			return verdictOf(i.Ival != 0)
		}
		return truth(x.TypeCast.Arg, a, e)
	case *pg.Node_BoolExpr:
		args := x.BoolExpr.Args
		switch x.BoolExpr.Boolop {
		case pg.BoolExprType_NOT_EXPR:
			switch truth(args[0], a, e) {
			case yes:
				return no
			case no:
				return yes
			}
		case pg.BoolExprType_AND_EXPR:
			all := yes
			for _, n := range args {
				switch truth(n, a, e) {
				case no:
					return no
				case unsure:
					all = unsure
				}
			}
			return all
		case pg.BoolExprType_OR_EXPR:
			none := no
			for i, n := range args {
				switch truth(n, a, e) {
				case yes:
					return yes
				case unsure:
					none = unsure
				}
				for _, m := range args[:min(i, 50)] {
					if opposite(n, m) {
						return yes
					}
				}
			}
			return none
		}
	case *pg.Node_NullTest:
		c := x.NullTest.Arg.GetColumnRef()
		if c == nil || x.NullTest.Nulltesttype != pg.NullTestType_IS_NOT_NULL {
			return unsure
		}
		names := stringsOf(c.Fields)
		if name := names[len(names)-1]; system[name] || a.notNull(e, name) {
			return yes
		}
	case *pg.Node_BooleanTest:
		v := truth(x.BooleanTest.Arg, a, e)
		switch x.BooleanTest.Booltesttype {
		case pg.BoolTestType_IS_TRUE:
			return v
		case pg.BoolTestType_IS_NOT_FALSE:
			if v == yes {
				return yes
			}
		case pg.BoolTestType_IS_FALSE:
			if v == no {
				return yes
			}
		case pg.BoolTestType_IS_NOT_TRUE:
			if v == no {
				return yes
			}
		}
	case *pg.Node_AExpr:
		return compared(x.AExpr)
	case *pg.Node_CoalesceExpr:
		if len(x.CoalesceExpr.Args) > 0 {
			return truth(x.CoalesceExpr.Args[0], a, e)
		}
	case *pg.Node_SubLink:
		s := x.SubLink.Subselect.GetSelectStmt()
		if x.SubLink.SubLinkType == pg.SubLinkType_EXISTS_SUBLINK && s != nil && s.WhereClause == nil && s.HavingClause == nil && len(s.FromClause) == 0 {
			return yes
		}
		// x IN (SELECT x FROM the same table)
		if x.SubLink.SubLinkType == pg.SubLinkType_ANY_SUBLINK && s != nil && s.WhereClause == nil && len(s.FromClause) == 1 && len(s.TargetList) == 1 && s.LimitCount == nil {
			if v := s.FromClause[0].GetRangeVar(); v != nil && e.prefix != "" {
				schema, _ := a.resolve(v)
				if fullName(schema, v.Relname)+"." == e.prefix && same(x.SubLink.Testexpr, s.TargetList[0].GetResTarget().GetVal()) {
					return yes
				}
			}
		}
	}
	return unsure
}

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// notNull reports whether a column of the target is declared NOT NULL.
func (a *analysis) notNull(e *entry, name string) bool {
	if a.reader.catalog == nil || e.prefix == "" {
		return false
	}
	schema, rel, _ := strings.Cut(strings.TrimSuffix(e.prefix, "."), ".")
	r := a.reader.catalog.Relation(schema, rel)
	if r == nil {
		return false
	}
	c := r.Column(name)
	return c != nil && c.NotNull
}

// compared evaluates a comparison of constants, or of a column with itself.
func compared(x *pg.A_Expr) verdict {
	names := stringsOf(x.Name)
	if len(names) == 0 {
		return unsure
	}
	op := names[len(names)-1]
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE:
		if s := x.Rexpr.GetAConst().GetSval(); s != nil && s.Sval != "" && strings.Trim(s.Sval, "%") == "" && !strings.HasPrefix(op, "!") {
			return yes
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		if same(x.Lexpr, x.Rexpr) {
			return yes
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_IN:
		if op != "=" {
			return unsure
		}
		for _, n := range x.Rexpr.GetList().GetItems() {
			if same(x.Lexpr, n) || ordered(x.Lexpr, n, "=") == yes {
				return yes
			}
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_BETWEEN:
		if l := x.Rexpr.GetList().GetItems(); len(l) == 2 {
			if same(x.Lexpr, l[0]) && same(x.Lexpr, l[1]) || ordered(x.Lexpr, l[0], ">=") == yes && ordered(x.Lexpr, l[1], "<=") == yes {
				return yes
			}
		}
		return unsure
	case pg.A_Expr_Kind_AEXPR_OP:
	default:
		return unsure
	}
	if same(x.Lexpr, x.Rexpr) {
		switch op {
		case "=", "<=", ">=", "~~", "~~*":
			return yes
		case "<>", "!=", "<", ">":
			return no
		}
	}
	return ordered(x.Lexpr, x.Rexpr, op)
}

// ordered compares two constants of one type.
func ordered(l, r *pg.Node, op string) verdict {
	c, ok := 0, false
	if x, isx := numeric(l); isx {
		if y, isy := numeric(r); isy {
			ok = true
			switch {
			case x < y:
				c = -1
			case x > y:
				c = 1
			}
		}
	}
	if x, y := l.GetAConst().GetSval(), r.GetAConst().GetSval(); x != nil && y != nil {
		// The collation may order otherwise, but equal is equal.
		switch op {
		case "=":
			return verdictOf(x.Sval == y.Sval)
		case "<>", "!=":
			return verdictOf(x.Sval != y.Sval)
		}
		return unsure
	}
	if !ok {
		return unsure
	}
	switch op {
	case "=":
		return verdictOf(c == 0)
	case "<>", "!=":
		return verdictOf(c != 0)
	case "<":
		return verdictOf(c < 0)
	case ">":
		return verdictOf(c > 0)
	case "<=":
		return verdictOf(c <= 0)
	case ">=":
		return verdictOf(c >= 0)
	}
	return unsure
}

func numeric(n *pg.Node) (float64, bool) {
	k := n.GetAConst()
	switch {
	case k.GetIval() != nil:
		return float64(k.GetIval().Ival), true
	case k.GetFval() != nil:
		f, err := strconv.ParseFloat(k.GetFval().Fval, 64)
		return f, err == nil
	}
	if x := n.GetAExpr(); x != nil && x.Lexpr == nil && len(x.Name) == 1 && x.Name[0].GetString_().GetSval() == "-" {
		f, ok := numeric(x.Rexpr)
		return -f, ok
	}
	return 0, false
}

// same reports whether two nodes are references to one column.
func same(l, r *pg.Node) bool {
	x, y := l.GetColumnRef(), r.GetColumnRef()
	if x == nil || y == nil {
		return false
	}
	a, b := stringsOf(x.Fields), stringsOf(y.Fields)
	n := min(len(a), len(b)) // t.id and id: take them for one
	return slices.Equal(a[len(a)-n:], b[len(b)-n:])
}

// opposite reports whether one of two conditions is true for every row.
func opposite(n, m *pg.Node) bool {
	x, y := n.GetNullTest(), m.GetNullTest()
	if x != nil && y != nil {
		return same(x.Arg, y.Arg) && x.Nulltesttype != y.Nulltesttype
	}
	for _, p := range [2][2]*pg.Node{{n, m}, {m, n}} {
		if b := p[0].GetBoolExpr(); b != nil && b.Boolop == pg.BoolExprType_NOT_EXPR && equalNodes(b.Args[0], p[1]) {
			return true
		}
	}
	u, v := n.GetAExpr(), m.GetAExpr()
	if u == nil || v == nil || len(u.Name) != 1 || len(v.Name) != 1 {
		return false
	}
	ops := u.Name[0].GetString_().GetSval() + " " + v.Name[0].GetString_().GetSval()
	switch ops {
	case "= <>", "<> =", "< >=", ">= <", "> <=", "<= >", "<= >=", ">= <=", "~~ !~~", "!~~ ~~":
		return u.Kind == v.Kind && same(u.Lexpr, v.Lexpr) && equalNodes(u.Rexpr, v.Rexpr)
	}
	return false
}
