package lineage

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/bastion"
)

// statement reads any statement. What is not in the list is refused.
func (a *analysis) statement(n *pg.Node, rd *Reading) answer {
	rows := func(out answer) answer {
		rd.Class = Plannable
		return out
	}
	none := answer{known: true}
	switch x := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		out := a.selects(x.SelectStmt, nil)
		if x.SelectStmt.IntoClause != nil {
			rd.Unsettles = true // a temporary table may be the first one
			return none
		}
		return rows(out)
	case *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return rows(a.query(n, nil))
	case *pg.Node_ExplainStmt:
		return a.explain(x.ExplainStmt, rd)
	case *pg.Node_CopyStmt:
		return a.copy(x.CopyStmt, rd)
	case *pg.Node_PrepareStmt:
		return a.prepare(x.PrepareStmt, rd)
	case *pg.Node_ExecuteStmt:
		return a.execute(x.ExecuteStmt)
	case *pg.Node_DeallocateStmt:
		rd.Class, rd.Forgets = Static, x.DeallocateStmt.Name
		if x.DeallocateStmt.Isall || x.DeallocateStmt.Name == "" {
			rd.Forgets = "*"
		}
		a.action(Prepare, "")
		return none
	case *pg.Node_DeclareCursorStmt:
		c := x.DeclareCursorStmt
		a.action(Cursor, "")
		a.query(c.Query, nil)
		const hold = 0x0020 // CURSOR_OPT_HOLD
		rd.Declares, rd.Hold = c.Portalname, c.Options&hold != 0
		return none
	case *pg.Node_FetchStmt:
		return a.fetch(x.FetchStmt)
	case *pg.Node_ClosePortalStmt:
		rd.Class, rd.Closes = Static, x.ClosePortalStmt.Portalname
		if rd.Closes == "" {
			rd.Closes = "*"
		}
		a.action(Cursor, "")
		return none
	case *pg.Node_CreateTableAsStmt:
		c := x.CreateTableAsStmt
		rd.Unsettles = true
		if e := c.Query.GetExecuteStmt(); e != nil {
			a.into(c.Into, a.execute(e))
		} else {
			a.into(c.Into, a.query(c.Query, nil))
		}
		return none
	case *pg.Node_ViewStmt:
		rd.Unsettles = true
		a.created(x.ViewStmt.View, Create)
		a.copies(a.query(x.ViewStmt.Query, nil))
		a.options(x.ViewStmt.Options)
		a.kept()
		return none
	case *pg.Node_VariableSetStmt:
		rd.Class = Static
		rd.Unsettles = a.set(x.VariableSetStmt)
		return none
	case *pg.Node_VariableShowStmt:
		rd.Class = Static
		return a.show(x.VariableShowStmt)
	case *pg.Node_CallStmt:
		c := x.CallStmt.Funccall
		a.seen[c] = true
		a.runs()
		names := stringsOf(c.Funcname)
		schema := a.creating()
		if len(names) > 1 {
			schema = names[len(names)-2]
		} else if s := a.others(names[0]); len(s) > 0 {
			schema = s[0]
		}
		a.action(Call, fullName(schema, names[len(names)-1]))
		called := a.users(names, -1)
		for _, fn := range called {
			a.oneProbe(bastion.Probe{Column: unreadable, By: fn.Signature()})
		}
		if len(called) == 0 {
			a.code()
		}
		a.probe(a.list(c.Args, nil), false)
		return answer{}
	case *pg.Node_DoStmt:
		a.runs()
		a.code()
		a.action(Do, "")
		return none
	}
	rd.Class = Static
	rd.Unsettles = !keepsSettings(n)
	a.utility(n, rd)
	if a.keeps(n) {
		a.kept()
	}
	if a.redacts(n) {
		rd.Intent.Record = hideConstants(a.text)
	}
	return none
}

// keepsSettings reports whether a statement of the kind changes none of the session's
// settings, schemas that are searched included, and runs nothing that does. What is
// not in the list may: many can fire event triggers, or make the temporary schema.
func keepsSettings(n *pg.Node) bool {
	switch x := n.GetNode().(type) {
	case *pg.Node_TransactionStmt:
		switch x.TransactionStmt.Kind {
		case pg.TransactionStmtKind_TRANS_STMT_BEGIN, pg.TransactionStmtKind_TRANS_STMT_START,
			pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT, pg.TransactionStmtKind_TRANS_STMT_RELEASE:
			return true
		}
	case *pg.Node_ListenStmt, *pg.Node_UnlistenStmt, *pg.Node_NotifyStmt, *pg.Node_LockStmt, *pg.Node_CheckPointStmt:
		return true
	}
	return false
}

// keeps reports whether expressions of the statement stay in the catalog, to run
// whenever somebody uses what it makes.
func (a *analysis) keeps(n *pg.Node) bool {
	switch n.GetNode().(type) {
	case *pg.Node_CreateStmt, *pg.Node_AlterTableStmt, *pg.Node_CreateDomainStmt, *pg.Node_AlterDomainStmt, *pg.Node_CreateSchemaStmt:
		return true
	}
	return false
}

// kept makes code of an expression that is kept and changes what statements mean:
// it would do so when a statement runs that does not say it.
func (a *analysis) kept() {
	if slices.ContainsFunc(a.order, func(x bastion.Action) bool { return x.Verb == SettingMeaning }) {
		a.action(Define, "")
	}
}

// explain reads EXPLAIN: with ANALYZE the statement inside runs.
func (a *analysis) explain(x *pg.ExplainStmt, rd *Reading) answer {
	a.action(Explain, "")
	a.options(x.Options)
	var inner Reading
	switch q := x.Query.GetNode().(type) {
	case *pg.Node_ExplainStmt:
		a.refuse("EXPLAIN of EXPLAIN is not read")
	case *pg.Node_DeclareCursorStmt, *pg.Node_CreateTableAsStmt, *pg.Node_ExecuteStmt:
		a.statement(x.Query, &inner)
		rd.Unsettles = inner.Unsettles
	case *pg.Node_SelectStmt:
		a.selects(q.SelectStmt, nil)
	default:
		a.query(x.Query, nil)
	}
	run, sizes := false, false
	for _, n := range x.Options {
		switch d := n.GetDefElem(); d.GetDefname() {
		case "analyze":
			run = !off(d.Arg)
		case "wal", "serialize":
			sizes = sizes || !off(d.Arg) && !strings.EqualFold(optionText(d.Arg), "none")
		}
	}
	if !run {
		// Nothing is written, so what would write is only read. Functions stay:
		// the planner computes some of them.
		for i, x := range a.order {
			switch x.Verb {
			case Insert, Update, UpdateAll, Delete, DeleteAll, Merge, Create, Lock:
				a.order[i].Verb = Select
			}
		}
		a.order = compact(a.order)
		a.writes = nil
		if !a.effects {
			a.unsettles, rd.Unsettles = false, false
		}
	}
	a.measured = run
	f := a.folded // the planner may have computed a function and show its result
	if run {      // how large rows are tells how long values are, and whether there are any
		f = f.with(a.sizes)
		switch {
		case sizes && len(a.writes) > 0: // of whole rows
			f = opaque
		case sizes || a.stores:
			f = f.with(a.shown.computed())
		}
	}
	if a.effects {
		f = f.with(opaque)
	}
	return answer{known: true, fields: []field{{name: "QUERY PLAN", flow: f}}}
}

// compact removes repeats.
func compact(actions []bastion.Action) []bastion.Action {
	var out []bastion.Action
	for _, x := range actions {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// off reports whether the value of a boolean option is false.
func off(n *pg.Node) bool {
	switch x := n.GetNode().(type) {
	case *pg.Node_String_:
		switch strings.ToLower(x.String_.Sval) {
		case "false", "off", "0":
			return true
		}
	case *pg.Node_Integer:
		return x.Integer.Ival == 0
	case *pg.Node_Boolean:
		return !x.Boolean.Boolval
	}
	return false
}

// options walks options, in which expressions may hide.
func (a *analysis) options(list []*pg.Node) {
	for _, n := range list {
		if d := n.GetDefElem(); d != nil && d.Arg != nil {
			a.walk(d.Arg, nil)
		}
	}
}

func (a *analysis) prepare(p *pg.PrepareStmt, rd *Reading) answer {
	a.action(Prepare, "")
	for _, n := range p.Argtypes {
		a.typeName(n.GetTypeName())
	}
	a.query(p.Query, nil)
	a.unsettles = false // it does not run yet
	rd.Prepares, rd.Inner = p.Name, inner(a.text, p.Query)
	return answer{known: true}
}

// inner is the part of the text of PREPARE that is the statement within: what follows
// the first AS that stands in no parentheses. It is empty if that reads differently by
// itself.
func inner(text string, query *pg.Node) string {
	level := 0
	for i := 0; i < len(text); {
		t := next(text, i)
		i = t.end
		switch s := text[t.start:t.end]; {
		case s == "(":
			level++
		case s == ")":
			level--
		case level == 0 && t.kind == word && strings.EqualFold(s, "as"):
			// Blanks in front keep everything in its place.
			stmt, err := parse(strings.Repeat(" ", i) + text[i:])
			if err != nil || !proto.Equal(stmt, query) {
				return ""
			}
			return strings.TrimSpace(strings.TrimRight(text[i:], "; \t\r\n\f\v"))
		}
	}
	return ""
}

// execute reads EXECUTE as the statement that it runs.
func (a *analysis) execute(e *pg.ExecuteStmt) answer {
	a.volatile = true
	a.action(Prepare, "")
	a.probe(a.list(e.Params, nil), false)
	text, ok := "", false
	if a.session.Prepared != nil {
		text, ok = a.session.Prepared(e.Name)
	}
	if !ok {
		panic(refused{NoStatement(e.Name)})
	}
	a.executes = e.Name
	stmt, err := parse(text)
	if err != nil {
		a.refuse("the prepared statement %s cannot be read", e.Name)
	}
	if p := stmt.GetPrepareStmt(); p != nil {
		stmt = p.Query
	}
	switch stmt.GetNode().(type) {
	case *pg.Node_SelectStmt:
		if stmt.GetSelectStmt().IntoClause == nil {
			a.executed = stmt
			return a.query(stmt, nil)
		}
	case *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return a.query(stmt, nil)
	}
	a.refuse("the prepared statement %s is of a kind that EXECUTE does not run here", e.Name)
	return answer{}
}

// NoStatement is the error for a prepared statement that is not there, in
// PostgreSQL's words.
func NoStatement(name string) *bastion.ParseError {
	e := &bastion.ParseError{Code: "26000", Message: `prepared statement "` + name + `" does not exist`}
	if name == "" {
		e.Message = "unnamed prepared statement does not exist"
	}
	return e
}

// fetch reads FETCH as rows of the cursor's query.
func (a *analysis) fetch(f *pg.FetchStmt) answer {
	a.volatile = true
	a.action(Cursor, "")
	a.fetches = f.Portalname
	c, ok := a.session.Cursors[f.Portalname]
	if !ok {
		a.unsettles = true
		return answer{known: f.Ismove} // its columns are not known, so they are hidden
	}
	stmt, err := parse(c.Text)
	if err != nil || stmt.GetDeclareCursorStmt() == nil {
		a.unsettles = true
		return answer{known: f.Ismove}
	}
	// What the query does was decided upon when the cursor was declared.
	order, actions := slices.Clone(a.order), a.actions
	path := a.session.Path
	if !slices.Equal(c.Path, path) {
		a.runtime = nil // functions may have been read by either
	}
	a.actions, a.session.Path = map[bastion.Action]bool{}, c.Path
	out := a.query(stmt.GetDeclareCursorStmt().Query, nil)
	a.order, a.actions, a.session.Path = order, actions, path
	if f.Ismove {
		return answer{known: true}
	}
	return out
}

// stays reports whether SET gives one of the fixed settings the value that it has, as many
// programs and every dump do to be sure.
func (a *analysis) stays(name string, v *pg.VariableSetStmt) bool {
	if v.Kind != pg.VariableSetKind_VAR_SET_VALUE || len(v.Args) != 1 {
		return false
	}
	value := strings.ToLower(a.constant(v.Args[0]).s)
	switch name {
	case "client_encoding", "names":
		e := strings.NewReplacer("-", "", "_", "", " ", "").Replace(value)
		return e == "utf8" || e == "unicode"
	case "standard_conforming_strings":
		return value == "on" || value == "true" || value == "yes"
	}
	return false
}

// set reads SET and RESET, and reports whether other settings than the one that it
// names may change, or one on which the meaning of texts depends.
func (a *analysis) set(v *pg.VariableSetStmt) (unsettles bool) {
	a.listWalk(v.Args)
	name := strings.ToLower(v.Name)
	switch {
	case fixed[name] && a.stays(name, v):
		a.action(Setting, "") // which it has
		return false
	case fixed[name]:
		a.refuse("the setting %s cannot be changed here, because the bastion reads texts by it", name)
	case v.Kind == pg.VariableSetKind_VAR_RESET_ALL:
		a.action(SettingMeaning, "")
	case v.Kind == pg.VariableSetKind_VAR_SET_MULTI && (name == "transaction" || name == "session characteristics"):
		a.action(Transaction, "")
		return false
	case harmless[name], name == "application_name": // whose value is not fit to be shown
		a.action(Setting, "")
		return noted[name]
	default:
		a.action(SettingMeaning, "")
	}
	return true
}

// noted names settings that are harmless and still looked at when they may have been
// changed: some go into [Session.Settings], and one says how long to wait for people.
var noted = set(`datestyle intervalstyle timezone statement_timeout`)

// show reads SHOW. What is not known may have been made to carry anything.
func (a *analysis) show(v *pg.VariableShowStmt) answer {
	a.action(Setting, "")
	name := strings.ToLower(v.Name)
	f := opaque
	if a.shows(name) {
		f = flow{}
	}
	if name == "all" {
		return answer{known: true, fields: []field{{name: "name", flow: f}, {name: "setting", flow: f}, {name: "description", flow: f}}}
	}
	return answer{known: true, fields: []field{{name: v.Name, flow: f}}}
}

// shows reports whether the value of a setting is fit to be shown.
func (a *analysis) shows(name string) bool {
	return choices[name] || !a.session.Ran && (harmless[name] || shown[name])
}

// walk reads all expressions and queries below a node of a utility statement,
// with the columns of one table in sight. What they read is probed.
func (a *analysis) walk(n *pg.Node, sc *scope) {
	if n == nil || n.Node == nil {
		return
	}
	if a.depth++; a.depth > maxDepth {
		a.refuse("the statement nests too deeply")
	}
	defer func() { a.depth-- }()
	switch x := n.Node.(type) {
	case *pg.Node_ColumnRef, *pg.Node_AExpr, *pg.Node_BoolExpr, *pg.Node_FuncCall, *pg.Node_TypeCast, *pg.Node_SubLink, *pg.Node_CaseExpr,
		*pg.Node_CoalesceExpr, *pg.Node_MinMaxExpr, *pg.Node_NullTest, *pg.Node_BooleanTest, *pg.Node_CollateClause,
		*pg.Node_AIndirection, *pg.Node_AArrayExpr, *pg.Node_RowExpr, *pg.Node_XmlExpr, *pg.Node_SqlvalueFunction:
		a.probe(a.expr(n, sc), false)
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		a.copies(a.query(n, sc))
	case *pg.Node_RangeVar:
		a.seen[x.RangeVar] = true
	case *pg.Node_Constraint:
		a.constraint(x.Constraint, sc)
		a.below(childOf(n), sc)
	case *pg.Node_List:
		for _, m := range x.List.Items {
			a.walk(m, sc)
		}
	default:
		a.below(childOf(n), sc)
	}
}

func (a *analysis) listWalk(list []*pg.Node) {
	for _, n := range list {
		a.walk(n, nil)
	}
}
