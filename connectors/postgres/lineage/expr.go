package lineage

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
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
		sum to_json to_jsonb translate upper pg_column_size array_length array_lower array_ndims array_upper cardinality format regexp_replace`)
	// edged names those of them that fail for values at the edge of their types.
	edged = set(`abs age avg date_part date_trunc extract sum to_jsonb jsonb_agg jsonb_build_array jsonb_build_object array_agg`)
	// passing names functions that return rows, if they are given some.
	passing = set(`array_agg min max mode percentile_disc unnest array_append array_cat array_prepend array_remove array_replace`)
	// listing names functions that return arrays, or what may hold some.
	listing = set(`array_agg array_append array_cat array_fill array_positions array_prepend array_remove array_replace array_reverse array_sample
		array_shuffle array_sort trim_array string_to_array regexp_split_to_array regexp_match regexp_matches tsvector_to_array
		parse_ident xpath current_schemas enum_range json_populate_record jsonb_populate_record`)
	// measuring names functions whose results are small numbers, whatever their arguments.
	measuring = set(`length char_length character_length octet_length bit_length position strpos count num_nulls num_nonnulls
		array_length array_lower array_ndims array_upper cardinality`)
	// units names what date_trunc and extract take of all kinds of dates.
	units          = set(`century day decade epoch millennium month quarter year`)
	totalOperators = set(`|| = <> != < > <= >= ~~ !~~ ~~* !~~* ~ ~* !~ !~* -> ->> BETWEEN`)
	// rowsets names functions that return rows: how many, tells of the arguments.
	rowsets = set(`generate_series generate_subscripts unnest json_array_elements json_array_elements_text json_each json_each_text
		json_object_keys json_populate_recordset json_to_recordset jsonb_array_elements jsonb_array_elements_text jsonb_each
		jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz jsonb_populate_recordset jsonb_to_recordset
		regexp_matches regexp_split_to_table string_to_table ts_debug ts_parse ts_stat ts_token_type`)
	// gathering names aggregates whose result depends on the order of their input.
	gathering = set(`array_agg string_agg any_value xmlagg json_agg json_agg_strict jsonb_agg jsonb_agg_strict json_object_agg
		json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_object_agg jsonb_object_agg_strict
		jsonb_object_agg_unique jsonb_object_agg_unique_strict`)
	// scalarSet names those of one column.
	scalarSet = set(`generate_series generate_subscripts json_array_elements json_array_elements_text json_object_keys
		jsonb_array_elements jsonb_array_elements_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz
		regexp_matches regexp_split_to_table string_to_table current_database current_schema current_user lower upper
		now version length abs pg_backend_pid array_length cardinality date_trunc`)
	// fieldsOf gives the columns of others.
	fieldsOf = map[string]string{
		"json_each": "key value", "json_each_text": "key value", "jsonb_each": "key value", "jsonb_each_text": "key value",
		"pg_timezone_names": "name abbrev utc_offset is_dst", "pg_get_keywords": "word catcode barelabel catdesc baredesc",
		"aclexplode": "grantor grantee privilege_type is_grantable", "pg_partition_tree": "relid parentrelid isleaf level",
		"pg_options_to_table": "option_name option_value", "pg_input_error_info": "message detail hint sql_error_code",
		"pg_identify_object": "type schema name identity", "pg_sequence_parameters": "start_value minimum_value maximum_value increment cycle_option cache_size data_type",
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
		s[i] = nameOf(n)
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
	case *pg.Node_ParamRef:
		if i := int(x.ParamRef.Number); i >= 1 && i <= len(a.parameters) {
			return a.parameters[i-1]
		}
		return flow{argument: len(a.routines) > 0}
	case *pg.Node_AConst, *pg.Node_SetToDefault, *pg.Node_String_, *pg.Node_Integer, *pg.Node_Float,
		*pg.Node_Boolean, *pg.Node_CurrentOfExpr, *pg.Node_SqlvalueFunction:
		return flow{}
	case *pg.Node_ColumnRef:
		return a.column(x.ColumnRef, sc)
	case *pg.Node_AExpr:
		return a.operation(x.AExpr, sc)
	case *pg.Node_BoolExpr:
		if x.BoolExpr.Boolop == pg.BoolExprType_NOT_EXPR {
			return a.list(x.BoolExpr.Args, sc).computed()
		}
		return a.lazily(x.BoolExpr.Args, sc).computed()
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
		return a.lazily(x.CoalesceExpr.Args, sc)
	case *pg.Node_MinMaxExpr:
		var f flow
		for i, n := range x.MinMaxExpr.Args {
			f = a.beside(f, i == 0, n, sc)
		}
		a.compares(f)
		return f.computed() // it chooses by what the values are, as in keeping
	case *pg.Node_CaseExpr:
		return a.choice(x.CaseExpr, sc)
	case *pg.Node_SubLink:
		return a.sublink(x.SubLink, sc)
	case *pg.Node_AArrayExpr:
		f := a.list(x.AArrayExpr.Elements, sc).computed()
		if f.carries() && f.list && len(x.AArrayExpr.Elements) > 1 {
			a.probe(f, false)
		}
		return f
	case *pg.Node_RowExpr:
		f := a.row(x.RowExpr.Args, sc).computed()
		f.row, f.list = true, false
		return f
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
		a.ordinal = a.ordinal || n.GetJsonArrayQueryConstructor() != nil
		if n.GetJsonObjectAgg() != nil || n.GetJsonArrayAgg() != nil {
			a.ordinal = true
			a.gathers = append(a.gathers, f)
		}
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
		f := flow{derived: true, row: true}
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
		a.absent = last
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
	users := a.users([]string{last}, 1)
	for _, fn := range users {
		g, _, _ := a.routine(fn, arguments{flows: []flow{f}, names: []string{""}}, f)
		f = f.with(g)
	}
	if len(users) == 0 && !pure[last] {
		a.call([]string{last}, 1, false)
		f = f.with(opaque)
		a.probe(f, false)
	}
	return f.with(flow{derived: true, unproven: len(users) == 0})
}

// missing notes that a name is in no table: the server will most likely say so.
func (a *analysis) missing(f flow) flow {
	a.unknown = true
	return f
}

// choice reads CASE: what decides flows in too.
func (a *analysis) choice(c *pg.CaseExpr, sc *scope) flow {
	decides, tame := a.expr(c.Arg, sc), true
	var f flow
	for i, n := range c.Args {
		w := n.GetCaseWhen()
		decides = decides.with(a.expr(w.GetExpr(), sc))
		f = a.beside(f, i == 0, w.GetResult(), sc)
		tame = tame && a.tame(w.GetResult(), sc) && (i == 0 && c.Arg == nil || a.tame(w.GetExpr(), sc))
	}
	f = a.beside(f, false, c.Defresult, sc)
	if c.Arg != nil {
		decides = decides.with(a.operator([]string{"="}, decides))
		a.compares(decides)
	}
	if !tame || !a.tame(c.Defresult, sc) {
		a.probe(decides, false) // and decides what is computed at all
	}
	if decides.carries() {
		f = f.with(decides.computed().plain())
		f.list = f.list || array(c.Defresult) || slices.ContainsFunc(c.Args, func(n *pg.Node) bool { return array(n.GetCaseWhen().GetResult()) })
		f.chosen = f.chosen || !a.small(c.Defresult) || slices.ContainsFunc(c.Args, func(n *pg.Node) bool { return !a.small(n.GetCaseWhen().GetResult()) })
	}
	return f
}

// compares notes that values are compared.
func (a *analysis) compares(f flow) {
	if f.row {
		a.probe(f, false)
	}
}

// operation reads an operator and the constructs that are written with operators.
func (a *analysis) operation(x *pg.A_Expr, sc *scope) flow {
	a.seen[x] = true
	names := stringsOf(x.Name)
	l, r := a.expr(x.Lexpr, sc), a.expr(x.Rexpr, sc)
	f := l.with(r)
	if len(names) > 0 && names[len(names)-1] != "||" && !spelled(x) {
		a.compares(f)
	}
	last := ""
	if len(names) > 0 {
		last = names[len(names)-1]
	}
	switch x.Kind {
	case pg.A_Expr_Kind_AEXPR_NULLIF:
		f.chosen = f.chosen || r.carries()
		return f.with(a.operator([]string{"="}, f)).computed()
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		if f.carries() && !a.tame(x.Rexpr, sc) { // one bound decides whether the other is computed
			a.probe(f, false)
		}
		return f.with(a.operator([]string{"<="}, f)).with(a.operator([]string{">="}, f)).computed()
	case pg.A_Expr_Kind_AEXPR_SIMILAR, pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE:
		if r.carries() {
			a.probe(f, false) // a pattern may be wrong
		}
	case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_OP_ANY, pg.A_Expr_Kind_AEXPR_OP_ALL, pg.A_Expr_Kind_AEXPR_DISTINCT,
		pg.A_Expr_Kind_AEXPR_NOT_DISTINCT, pg.A_Expr_Kind_AEXPR_IN:
	default:
		a.refuse("the statement holds an operator of a kind that this bastion does not know")
	}
	f = f.with(a.operator(names, f))
	if !totalOperators[last] || f.carries() && strings.Contains(last, "~") && !a.pattern(last, x.Rexpr) || f.chosen && strings.HasPrefix(last, "->") {
		a.probe(f, false)
	}
	if last == "||" && f.carries() && f.list {
		a.probe(f, false)
	}
	// The elements of a list, and those of rows, are compared up to the one that decides.
	rows := x.Lexpr.GetRowExpr() != nil || x.Rexpr.GetRowExpr() != nil
	if f.carries() && (rows && !(a.tame(x.Lexpr, sc) && a.tame(x.Rexpr, sc)) || x.Kind == pg.A_Expr_Kind_AEXPR_IN && !a.tame(x.Rexpr, sc)) {
		a.probe(f, false)
	}
	f.row, f.list = f.row && last == "||", f.list && last == "||"
	f.chosen = f.chosen && last == "||" || r.carries() && strings.HasPrefix(last, "->")
	return f.computed()
}

// spelled reports whether both sides of a comparison are written as rows, which the
// server takes apart before anything runs.
func spelled(x *pg.A_Expr) bool {
	if x.Lexpr.GetRowExpr() == nil {
		return false
	}
	l := x.Rexpr.GetList()
	return x.Rexpr.GetRowExpr() != nil || l != nil && !slices.ContainsFunc(l.Items, func(n *pg.Node) bool { return n.GetRowExpr() == nil })
}

// regular is what regular expressions look like that are never wrong.
var regular = regexp.MustCompile(`^\^?(?:[A-Za-z0-9 _@%&,:;<>=!~'"/#-]|\.\*?|\\[.dsw]|\[(?:a-z|A-Z|0-9|[A-Za-z0-9_])+\])*\$?$`)

// simple is what formats look like that take values of every kind, and NULL.
var simple = regexp.MustCompile(`^(?:[^%]|%%|%s)*$`)

// pattern reports whether an operator finds nothing wrong with a pattern, whatever it is
// compared with: LIKE finds an escape at the end only where all before it fits, and no
// value that is NULL is compared with an expression that is wrong.
func (a *analysis) pattern(operator string, n *pg.Node) bool {
	k := a.constant(n)
	switch {
	case !k.isText:
		return k.null
	case strings.Contains(operator, "~~"):
		return !strings.HasSuffix(k.s, `\`)
	}
	return regular.MatchString(k.s)
}

// operator notes the use of an operator, and returns what else than the operands
// flows into its result: something, if it is a user's own.
func (a *analysis) operator(names []string, args flow) flow {
	if len(names) == 0 || a.reader.catalog == nil {
		return flow{}
	}
	last := names[len(names)-1]
	f := flow{}
	for _, o := range a.reader.catalog.Operators(last) {
		switch {
		case o.Function.Transparent:
		case len(names) > 1 && names[len(names)-2] != o.Schema:
		case len(names) == 1 && !slices.Contains(a.session.Path, o.Schema):
		default:
			f = f.with(a.opaque(&o.Function, args))
		}
	}
	if len(names) > 1 && names[len(names)-2] != "pg_catalog" && len(a.reader.catalog.Operators(last)) == 0 {
		a.unknown = true
		a.action(Function, fullName(names[len(names)-2], last))
		a.runs()
		return opaque
	}
	return f
}

// opaque notes the use of a user's function that cannot be looked into, and returns
// what flows out of it beside its arguments.
func (a *analysis) opaque(fn *catalog.Function, args flow) flow {
	signature := fn.Signature()
	a.action(Function, fullName(fn.Schema, fn.Name))
	a.runs()
	a.settable = a.settable || fn.Settings
	a.probeBy(args, signature)
	if mayDo(fn) && !a.inView {
		a.oneProbe(bastion.Probe{Column: unreadable, By: signature})
	}
	return flow{derived: true, by: []string{signature}}
}

// code notes that code runs, or will run, that may read what is hidden and let it be
// seen otherwise than by a result.
func (a *analysis) code() {
	if !a.inView {
		a.oneProbe(bastion.Probe{Column: unreadable})
	}
}

// mayDo reports whether a function may do more than its result tells: write what is
// hidden somewhere else. One in SQL that cannot be looked into was made so by somebody,
// and one in C that takes a text may run it, as crosstab does.
func mayDo(fn *catalog.Function) bool {
	return fn.Volatile || fn.Language == "sql" || fn.Language == "c" && slices.Contains(fn.Types, "text")
}

// runs notes that something runs that cannot be looked into.
func (a *analysis) runs() { a.effects, a.unsettles = true, true }

// cast reads x::type.
func (a *analysis) cast(c *pg.TypeCast, sc *scope) flow {
	a.seen[c] = true
	f := a.expr(c.Arg, sc)
	names := stringsOf(c.TypeName.GetNames())
	if a.typeName(c.TypeName) {
		a.probe(f, false)
		return opaque.with(f)
	}
	if !f.carries() {
		return f
	}
	plain := len(c.TypeName.GetTypmods()) == 0 && len(c.TypeName.GetArrayBounds()) == 0
	if last := names[len(names)-1]; plain && (last == "text" || last == "varchar") {
		f.row, f.list = false, false
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
		t, ok := a.reader.catalog.Type(s, last)
		if !ok {
			continue
		}
		calls := t.Calls
		for _, x := range t.Checks {
			check := a.check(x)
			calls = calls || check.effects
			a.unsettles = a.unsettles || check.unsettles
		}
		if calls {
			a.action(Function, fullName(s, last))
			a.effects, a.unsettles = true, a.unsettles || t.Calls
			return true
		}
	}
	return false
}

// selection reads (x).field and x[1].
func (a *analysis) selection(x *pg.A_Indirection, sc *scope) flow {
	if fields, ok := a.record(x.Arg, sc); ok && len(x.Indirection) == 1 {
		name := nameOf(x.Indirection[0])
		e := &entry{fields: fields}
		if f, ok := e.of(name); ok && name != "" && len(a.others(name)) == 0 {
			return f
		}
	}
	f := a.expr(x.Arg, sc)
	for _, n := range x.Indirection { // subscripts are computed up to one that is NULL
		for _, i := range []*pg.Node{n.GetAIndices().GetLidx(), n.GetAIndices().GetUidx()} {
			if f.carries() && !a.tame(i, sc) {
				a.probe(f, false)
			}
			g := a.expr(i, sc)
			if g.carries() && !a.subscript(i, sc) {
				a.probe(g, false) // it may be too large for one
			}
			f.chosen = f.chosen || g.carries()
			f = f.with(g)
		}
	}
	if i := x.Indirection[len(x.Indirection)-1].GetAIndices(); i != nil {
		if i.IsSlice && f.carries() && !f.list {
			a.probe(f, false) // names and points have elements, and no slices
		}
		f.list = f.list && i.IsSlice
	}
	for _, n := range x.Indirection {
		if s := n.GetString_(); s != nil {
			// (row).f can be f(row). Fields of row types are not in the catalog here.
			for _, fn := range a.users([]string{s.Sval}, 1) {
				f = f.with(a.opaque(fn, f))
			}
		}
	}
	return f.computed()
}

// subscript reports whether an expression can be taken for a subscript whatever its value.
func (a *analysis) subscript(n *pg.Node, sc *scope) bool {
	if c := n.GetColumnRef(); c != nil && len(c.Fields) > 0 && c.Fields[len(c.Fields)-1].GetString_() != nil {
		typ := a.typeOf(stringsOf(c.Fields), sc)
		return typ == "integer" || typ == "smallint"
	}
	names := stringsOf(n.GetFuncCall().GetFuncname())
	return len(names) == 1 && measuring[names[0]] && names[0] != "count" && len(a.users(names, -1)) == 0
}

// listed reports whether a column's type may be one of arrays, or a domain of one.
func (a *analysis) listed(typ string) bool {
	schema, name, ok := strings.Cut(typ, ".")
	if !ok || strings.HasSuffix(typ, "]") {
		return strings.HasSuffix(typ, "]")
	}
	t, ok := a.reader.catalog.Type(schema, name)
	return !ok || t.Category == 'A'
}

// array reports whether an expression of the text makes an array.
func array(n *pg.Node) bool {
	if c := n.GetTypeCast(); c != nil {
		names := stringsOf(c.TypeName.GetNames())
		return len(c.TypeName.GetArrayBounds()) > 0 || strings.HasPrefix(names[len(names)-1], "_")
	}
	return n.GetAArrayExpr() != nil
}

// record returns the fields of a whole row: of something in FROM, of a column whose type
// is made of fields, or of what a function returns.
func (a *analysis) record(n *pg.Node, sc *scope) (fields []field, ok bool) {
	switch x := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		names := stringsOf(x.ColumnRef.Fields)
		if len(names) == 0 || x.ColumnRef.Fields[len(names)-1].GetAStar() != nil {
			return nil, false
		}
		if typ := a.typeOf(names, sc); typ != "" {
			return a.fieldsOf(typ, a.expr(n, sc))
		}
		if len(names) == 1 {
			if _, _, column := sc.column(names[0]); column {
				return nil, false
			}
		}
		e := a.qualified(names, sc)
		if e == nil || e.loose {
			return nil, false
		}
		a.seen[x.ColumnRef] = true
		a.touchesTarget = a.touchesTarget || e.target
		return e.fields, true
	case *pg.Node_FuncCall:
		_, fields, ok = a.invoke(x.FuncCall, sc)
		return fields, ok && len(fields) > 0
	case *pg.Node_AIndirection: // (list[1]).field
		c := x.AIndirection.Arg.GetColumnRef()
		if c == nil || len(x.AIndirection.Indirection) != 1 || x.AIndirection.Indirection[0].GetAIndices() == nil || len(c.Fields) == 0 ||
			c.Fields[len(c.Fields)-1].GetAStar() != nil {
			return nil, false
		}
		if typ, array := strings.CutSuffix(a.typeOf(stringsOf(c.Fields), sc), "[]"); array {
			return a.fieldsOf(typ, a.expr(n, sc))
		}
	}
	return nil, false
}

// typeOf is the type of a column that is named, if it is a relation's.
func (a *analysis) typeOf(names []string, sc *scope) string {
	last := names[len(names)-1]
	if len(names) == 1 {
		return sc.typ(last)
	}
	if e := a.qualified(names[:len(names)-1], sc); e != nil {
		if i := e.index(last); i >= 0 {
			return e.fields[i].typ
		}
	}
	return ""
}

// fieldsOf returns the fields of a type of users, with what flows into the whole.
func (a *analysis) fieldsOf(typ string, f flow) (fields []field, ok bool) {
	schema, name, ok := strings.Cut(typ, ".")
	if !ok || a.reader.catalog == nil || strings.ContainsAny(typ, `"[]`) {
		return nil, false
	}
	rel := a.reader.catalog.Composite(schema, name)
	if rel == nil || len(rel.Columns) == 0 {
		return nil, false
	}
	for i := range rel.Columns {
		fields = append(fields, field{name: rel.Columns[i].Name, typ: rel.Columns[i].Type, flow: f.computed()})
	}
	return fields, true
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
		a.ordinal = true
		f := a.flows(out).computed()
		f.list = true
		return f
	case pg.SubLinkType_ANY_SUBLINK, pg.SubLinkType_ALL_SUBLINK, pg.SubLinkType_ROWCOMPARE_SUBLINK, pg.SubLinkType_MULTIEXPR_SUBLINK:
		f := test.with(a.flows(out))
		if f.carries() && !a.tameQuery(s.Subselect, sc) {
			a.probe(f, false) // the rows are compared up to the one that decides
		}
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
	f, _, _ := a.invoke(c, sc)
	return f
}

// invoke reads a call. shaped tells that the fields of a result that is a row are
// known.
func (a *analysis) invoke(c *pg.FuncCall, sc *scope) (result flow, fields []field, shaped bool) {
	a.seen[c] = true
	names := stringsOf(c.Funcname)
	last := names[len(names)-1]
	given := arguments{variadic: c.FuncVariadic, flows: make([]flow, len(c.Args)), names: make([]string, len(c.Args))}
	args := flow{}
	for i, n := range c.Args {
		given.flows[i] = a.row(c.Args[i:i+1], sc)
		given.names[i] = n.GetNamedArgExpr().GetName()
		args = args.with(given.flows[i])
	}
	order := flow{}
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
			order = order.with(o)
		}
	}
	if c.AggFilter != nil {
		f := a.expr(c.AggFilter, sc)
		a.probe(f, false) // decides what is computed
		args = args.with(f.computed())
	}
	if c.Over != nil {
		a.stores, a.ordinal = true, true
		f := a.window(c.Over, sc)
		a.probe(f, false) // the rows may come in that order
		args = args.with(f.computed())
	}
	if c.AggDistinct {
		a.operator([]string{"="}, args)
		order = order.with(args)
	}
	if last == "min" || last == "max" || c.AggDistinct || len(c.AggOrder) > 0 {
		a.compares(args)
	}
	if order.carries() {
		a.sorted = append(a.sorted, order)
	}
	a.ordinal = a.ordinal || ordinals[last] || gathering[last]
	if gathering[last] {
		a.gathers = append(a.gathers, args)
	}
	n := len(c.Args)
	if c.AggWithinGroup {
		n += len(c.AggOrder)
	}
	if users := a.users(names, n); len(users) > 0 {
		// PostgreSQL picks among all functions of the name on the path, by their types.
		if pureCall(names) {
			result = args
		}
		for _, fn := range users {
			f, columns, ok := a.routine(fn, given, args)
			result = result.with(f)
			if len(users) == 1 && !pureCall(names) {
				fields, shaped = columns, ok
			}
		}
		return result.computed(), fields, shaped
	}
	builtin := len(names) == 1 || names[len(names)-2] == "pg_catalog"
	if builtin {
		switch last {
		case "current_setting":
			if name, ok := a.firstText(c.Args); !ok || !choices[name] {
				a.settable = true
			}
			if name, ok := a.firstText(c.Args); ok && a.shows(name) {
				return flow{}, nil, false
			}
			// What pg_settings names, it shows as well.
			if len(args.columns) == 1 && args.columns[0] == "pg_catalog.pg_settings.name" && args.straight() && !a.session.Ran {
				return args.computed(), nil, false
			}
		case "set_config":
			name, ok := a.firstText(c.Args)
			a.runs()
			switch {
			case ok && fixed[name]:
				a.refuse("the setting %s cannot be changed here, because the bastion reads texts by it", name)
			case ok && harmless[name]:
				a.action(Setting, "")
			default:
				a.action(SettingMeaning, "")
			}
			a.probe(args, false)
			return args.computed(), nil, false
		}
	}
	if !a.call(names, n, false) {
		a.nowhere(names, c.Location)
		a.probe(args, false)
		if builtin && special[last] == Do {
			a.code() // whether it fails tells of what the text in it reads
		}
		if builtin && sequences[last] {
			return args.computed(), nil, false
		}
		if builtin && special[last] == Lock {
			return flow{}, nil, false
		}
		return opaque.with(args), nil, false
	}
	if rowsets[last] || !total[last] && !a.part(last, c.Args) || args.chosen && edged[last] || args.carries() && !a.fits(last, c.Args, args) {
		a.probe(args, false)
	} else {
		for i := range given.flows {
			if picky(last, i, len(given.flows), c.FuncVariadic) || last == "array_agg" && given.flows[i].list {
				a.probe(given.flows[i], false)
			}
		}
	}
	if keeping[last] && len(c.Args) <= 1 {
		return args, nil, false
	}
	args.row = args.row && (passing[last] || keeping[last])
	args.list = args.list && (keeping[last] || passing[last] && last != "unnest") || listing[last]
	args.chosen = args.chosen && !measuring[last] || order.carries()
	return args.computed(), nil, false
}

// fits reports whether the constants that a function wants are right: a wrong one makes
// it fail, but not where another argument is NULL.
func (a *analysis) fits(function string, args []*pg.Node, values flow) bool {
	switch function {
	case "date_trunc", "date_part", "extract":
		return len(args) == 2 && units[strings.ToLower(a.constant(args[0]).s)] && !slices.ContainsFunc(values.columns, a.ofTime)
	case "length": // of bytes in an encoding, which may not be right
		return len(args) == 1
	case "format":
		k := a.constant(args[0])
		return k.isText && simple.MatchString(k.s)
	case "regexp_replace":
		pattern, with := a.constant(args[min(1, len(args)-1)]), a.constant(args[len(args)-1])
		return len(args) == 3 && pattern.isText && regular.MatchString(pattern.s) && with.isText && !strings.Contains(with.s, `\`)
	case "split_part":
		return len(args) == 3 && a.constant(args[2]).isInt && a.constant(args[2]).i > 0
	}
	return true
}

// ofTime reports whether a column holds times of the day, which have no date in them.
func (a *analysis) ofTime(column string) bool {
	_, c := a.columnOf(column)
	return c != nil && strings.HasPrefix(c.Type, "time") && !strings.HasPrefix(c.Type, "timestamp")
}

// part reports whether a call takes a part of a text at places that cannot be wrong:
// only a negative length is.
func (a *analysis) part(function string, args []*pg.Node) bool {
	if function != "substr" && function != "substring" || len(args) < 2 || len(args) > 3 {
		return false
	}
	for _, n := range args[1:] {
		if !a.positive(n) {
			return false
		}
	}
	return true
}

// picky reports whether a function that is total otherwise fails for some values of
// its argument at place i of n.
func picky(function string, i, n int, variadic bool) bool {
	switch function {
	case "date_trunc", "date_part", "extract": // a name of a field or of a time zone
		return i != 1
	case "split_part": // zero
		return i == 2
	case "format": // too few values
		return i == 0 || variadic
	case "regexp_replace": // a pattern that is wrong, and what grows without an end
		return i > 0
	case "lag", "lead": // the distance tells which row is looked at, if any
		return i == 1
	case "nth_value": // zero and less
		return i == 1
	case "ntile":
		return true
	case "json_build_object", "jsonb_build_object": // keys that are NULL
		return i%2 == 0 || variadic
	}
	return false
}

// pureCall reports whether a call may mean a pure function of pg_catalog.
func pureCall(names []string) bool {
	return pure[names[len(names)-1]] && (len(names) == 1 || names[len(names)-2] == "pg_catalog")
}

// firstText returns the first argument of a call if it is a string constant.
func (a *analysis) firstText(args []*pg.Node) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	n := args[0]
	if t := n.GetTypeCast(); t != nil {
		n = t.Arg
	}
	k := a.constant(n)
	return strings.ToLower(k.s), k.isText
}

// users lists the functions that a call with n arguments may mean and that are not
// transparent; n < 0 stands for any number.
func (a *analysis) users(names []string, n int) []*catalog.Function {
	if a.reader.catalog == nil {
		return nil
	}
	var found []*catalog.Function
	all := a.reader.catalog.Functions(names[len(names)-1])
	for i := range all {
		f := &all[i]
		if f.Transparent || n >= 0 && !f.Takes(n) {
			continue
		}
		if len(names) > 1 && names[len(names)-2] == f.Schema || len(names) == 1 && slices.Contains(a.session.Path, f.Schema) {
			found = append(found, f)
		}
	}
	return found
}

// others lists the schemas on the path in which a function of that name exists
// that takes one argument and is not transparent.
func (a *analysis) others(name string) []string {
	var schemas []string
	for _, f := range a.users([]string{name}, 1) {
		if !slices.Contains(schemas, f.Schema) {
			schemas = append(schemas, f.Schema)
		}
	}
	return schemas
}

// nowhere notes a call of a function that the target has not, under any schema.
func (a *analysis) nowhere(names []string, location int32) {
	last := names[len(names)-1]
	if a.fails != nil || a.reader.catalog == nil || a.session.Uncommitted || known[last] || pure[last] || special[last] != "" || a.reader.catalog.Callable(last) {
		return
	}
	at := min(max(int(location), 0), len(a.text))
	a.unknown, a.volatile = true, true
	a.fails = &bastion.ParseError{Code: "42883", Message: "function " + bastion.VisibleLine(strings.Join(names, ".")) + " does not exist",
		Next: "the database has no function of that name; look for a misspelling", Position: utf8.RuneCountInString(a.text[:at]) + 1}
}

// call notes a call of none of the users' functions that are not transparent, and
// reports whether the function has no effect and its result comes from its
// arguments alone.
func (a *analysis) call(names []string, n int, sampling bool) bool {
	if len(names) > 2 {
		names = names[len(names)-2:]
	}
	last := names[len(names)-1]
	if sampling && (last == "bernoulli" || last == "system") && len(names) == 1 {
		return true
	}
	builtin := len(names) == 1 || names[0] == "pg_catalog"
	if builtin && pure[last] || !builtin && names[0] == "information_schema" && strings.HasPrefix(last, "_pg_") {
		return true // those of information_schema are immutable, and of use for its views
	}
	if a.reader.catalog != nil {
		for _, f := range a.reader.catalog.Functions(last) {
			if f.Transparent && (len(names) == 1 && slices.Contains(a.session.Path, f.Schema) || len(names) == 2 && names[0] == f.Schema) {
				return true
			}
		}
	}
	a.effects = true
	if !builtin {
		a.unsettles = true
		a.unknown = a.unknown || a.reader.catalog != nil
		a.action(Function, fullName(names[0], last))
		return false
	}
	a.unsettles = a.unsettles || !calm[last]
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
	if x := n.GetAExpr(); x != nil && len(x.Name) == 1 && nameOf(x.Name[0]) == "=" {
		switch x.Kind {
		case pg.A_Expr_Kind_AEXPR_OP, pg.A_Expr_Kind_AEXPR_IN, pg.A_Expr_Kind_AEXPR_OP_ANY:
			l, r := x.Lexpr, x.Rexpr
			if fixedValue(r) && l.GetColumnRef() != nil || x.Kind == pg.A_Expr_Kind_AEXPR_OP && fixedValue(l) && r.GetColumnRef() != nil {
				a.seen[x] = true
				f := a.expr(l, sc).with(a.expr(r, sc))
				o := a.operator([]string{"="}, f)
				a.probe(f, f.straight() && o.constant())
				return
			}
			if x.Kind == pg.A_Expr_Kind_AEXPR_OP && l.GetColumnRef() != nil && r.GetColumnRef() != nil {
				a.seen[x] = true
				lf, rf := a.expr(l, sc), a.expr(r, sc)
				a.compare(lf, rf, a.operator([]string{"="}, lf.with(rf)))
				return
			}
		}
	}
	if s := n.GetSubLink(); s != nil && s.SubLinkType == pg.SubLinkType_ANY_SUBLINK && len(s.OperName) == 0 && s.Testexpr.GetColumnRef() != nil {
		a.seen[s] = true
		l := a.expr(s.Testexpr, sc)
		out := a.query(s.Subselect, sc)
		a.compare(l, a.flows(out), a.operator([]string{"="}, l))
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
			nameOf(x.AExpr.Name[0]) == "-" && fixedValue(x.AExpr.Rexpr)
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
				case *pg.Node_TypeName:
					if a.typeName(y.TypeName) {
						f = f.with(opaque)
					}
				case *pg.Node_RangeTableFuncCol, *pg.Node_JsonTableColumn, *pg.Node_JsonTablePathSpec, *pg.Node_Constraint, *pg.Node_DefElem:
					f = f.with(a.children(childOf(x), sc))
				case nil:
				default:
					f = f.with(a.expr(x, sc))
				}
			case *pg.TypeName:
				if a.typeName(x) {
					f = f.with(opaque)
				}
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
	name, _ := figure(n)
	if name == "" {
		return "?column?"
	}
	return name
}

// figure is how PostgreSQL names a column by its expression, and how much that name
// weighs: a cast's type gives way to a name of weight 2.
func figure(n *pg.Node) (name string, weight int) {
	switch x := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		return lastName(x.ColumnRef.Fields), 2
	case *pg.Node_FuncCall:
		return lastName(x.FuncCall.Funcname), 2
	case *pg.Node_AExpr:
		if x.AExpr.Kind == pg.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", 2
		}
	case *pg.Node_TypeCast:
		if name, weight = figure(x.TypeCast.Arg); weight > 1 {
			return name, weight
		}
		return lastName(x.TypeCast.TypeName.GetNames()), 1
	case *pg.Node_CollateClause:
		return figure(x.CollateClause.Arg)
	case *pg.Node_AIndirection:
		if name = lastName(x.AIndirection.Indirection); name != "" {
			return name, 2
		}
		return figure(x.AIndirection.Arg)
	case *pg.Node_CaseExpr:
		if name, weight = figure(x.CaseExpr.Defresult); weight > 1 {
			return name, weight
		}
		return "case", 1
	case *pg.Node_SqlvalueFunction:
		return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(x.SqlvalueFunction.Op.String(), "SVFOP_"), "_N")), 2
	case *pg.Node_MinMaxExpr:
		if x.MinMaxExpr.Op == pg.MinMaxOp_IS_LEAST {
			return "least", 2
		}
		return "greatest", 2
	case *pg.Node_SubLink:
		switch x.SubLink.SubLinkType {
		case pg.SubLinkType_EXISTS_SUBLINK:
			return "exists", 2
		case pg.SubLinkType_ARRAY_SUBLINK:
			return "array", 2
		case pg.SubLinkType_EXPR_SUBLINK:
			s := x.SubLink.Subselect.GetSelectStmt()
			for s.GetLarg() != nil {
				s = s.Larg
			}
			if list := s.GetTargetList(); len(list) > 0 {
				return targetName(list[0].GetResTarget()), 2
			}
			if len(s.GetValuesLists()) > 0 {
				return columnName(0), 2
			}
		}
	case *pg.Node_XmlExpr:
		switch x.XmlExpr.Op {
		case pg.XmlExprOp_IS_XMLCONCAT, pg.XmlExprOp_IS_XMLELEMENT, pg.XmlExprOp_IS_XMLFOREST, pg.XmlExprOp_IS_XMLPARSE,
			pg.XmlExprOp_IS_XMLPI, pg.XmlExprOp_IS_XMLROOT, pg.XmlExprOp_IS_XMLSERIALIZE:
			return strings.ToLower(strings.TrimPrefix(x.XmlExpr.Op.String(), "IS_")), 2
		}
	case *pg.Node_JsonFuncExpr:
		switch x.JsonFuncExpr.Op {
		case pg.JsonExprOp_JSON_EXISTS_OP, pg.JsonExprOp_JSON_QUERY_OP, pg.JsonExprOp_JSON_VALUE_OP:
			return strings.ToLower(strings.TrimSuffix(x.JsonFuncExpr.Op.String(), "_OP")), 2
		}
	default:
		if n.GetNode() != nil {
			if name = labels[string(childOf(n).Descriptor().Name())]; name != "" {
				return name, 2
			}
		}
	}
	return "", 0
}

// labels are the names of columns by the kind of their expression.
var labels = map[string]string{
	"CoalesceExpr": "coalesce", "A_ArrayExpr": "array", "RowExpr": "row", "GroupingFunc": "grouping", "MergeSupportFunc": "merge_action",
	"XmlSerialize": "xmlserialize", "JsonParseExpr": "json", "JsonScalarExpr": "json_scalar", "JsonSerializeExpr": "json_serialize",
	"JsonObjectConstructor": "json_object", "JsonArrayConstructor": "json_array", "JsonArrayQueryConstructor": "json_array",
	"JsonObjectAgg": "json_objectagg", "JsonArrayAgg": "json_arrayagg",
}

// lastName is the last name in a list of names, subscripts and stars.
func lastName(list []*pg.Node) string {
	for i := len(list) - 1; i >= 0; i-- {
		if s := list[i].GetString_(); s != nil {
			return s.Sval
		}
	}
	return ""
}
