package lineage

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// query reads whatever can stand where rows come from: SELECT, VALUES, and in a
// WITH also INSERT, UPDATE, DELETE and MERGE.
func (a *analysis) query(n *pg.Node, up *scope) answer {
	switch x := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		return a.selects(x.SelectStmt, up)
	case *pg.Node_InsertStmt:
		return a.insert(x.InsertStmt, up)
	case *pg.Node_UpdateStmt:
		return a.update(x.UpdateStmt, up)
	case *pg.Node_DeleteStmt:
		return a.delete(x.DeleteStmt, up)
	case *pg.Node_MergeStmt:
		return a.merge(x.MergeStmt, up)
	}
	a.refuse("the statement holds a query of a kind that this bastion does not know")
	return answer{}
}

// with opens a scope for a statement and its WITH.
func (a *analysis) with(w *pg.WithClause, up *scope) *scope {
	sc := &scope{up: up}
	if w == nil {
		return sc
	}
	a.seen[w] = true
	var all []*cte
	for _, n := range w.Ctes {
		e := n.GetCommonTableExpr()
		if e == nil {
			a.refuse("the WITH holds something that this bastion does not know")
		}
		a.seen[e] = true
		c := &cte{name: e.Ctename, next: sc.ctes}
		inner := &scope{up: up, ctes: sc.ctes} // sees those before it
		c.resolve = func(c *cte) { a.common(e, c, inner, false) }
		sc.ctes = c
		all = append(all, c)
		if w.Recursive {
			// All of them see each other, themselves included.
			c.resolve = func(c *cte) { a.common(e, c, &scope{up: up, ctes: sc.ctes}, true) }
		}
	}
	for _, c := range all {
		a.settle(c)
	}
	return sc
}

func (a *analysis) settle(c *cte) {
	if !c.known && !c.running {
		c.resolve(c)
	}
}

// common analyses one query of a WITH. A recursive one is analysed again until
// nothing more flows in.
func (a *analysis) common(e *pg.CommonTableExpr, c *cte, sc *scope, recursive bool) {
	c.running = true
	names := stringsOf(e.Aliascolnames)
	take := func(out answer) []field {
		fields := slices.Clone(out.fields)
		for i := range fields {
			if i < len(names) {
				fields[i].name = names[i]
			}
		}
		return fields
	}
	// What a reference sees before the query is known: for a recursive one, the
	// columns of its first branch.
	c.loose = true
	if s := e.Ctequery.GetSelectStmt(); recursive && s != nil && s.Op != pg.SetOperation_SETOP_NONE && s.WithClause == nil && s.Larg != nil {
		c.again = false
		first := a.selects(s.Larg, sc)
		if !c.again {
			c.fields, c.loose = take(first), !first.known
		}
	}
	for round := 0; ; round++ {
		c.again = false
		out := a.query(e.Ctequery, sc)
		fields := take(out)
		stable := !c.again || len(fields) == len(c.fields)
		for i := range fields {
			if c.again && i < len(c.fields) {
				fields[i].flow = fields[i].flow.with(c.fields[i].flow)
				stable = stable && fields[i].flow.equal(c.fields[i].flow)
			}
		}
		again := c.again
		c.fields, c.loose = fields, !out.known
		if !again || stable {
			break
		}
		if round == 20 {
			for i := range c.fields {
				c.fields[i].flow = opaque
			}
			break
		}
	}
	all := flow{derived: true}
	for i := range c.fields {
		all = all.with(c.fields[i].flow)
	}
	if s := e.SearchClause; s != nil {
		a.seen[s] = true
		c.fields = append(c.fields, field{name: s.SearchSeqColumn, flow: all})
	}
	if y := e.CycleClause; y != nil {
		a.seen[y] = true
		mark := all.with(a.expr(y.CycleMarkValue, sc)).with(a.expr(y.CycleMarkDefault, sc))
		a.probe(all, false) // rows are compared with earlier ones
		c.fields = append(c.fields, field{name: y.CycleMarkColumn, flow: mark}, field{name: y.CyclePathColumn, flow: all})
	}
	c.known, c.running = true, false
}

// selects reads a SELECT or VALUES.
func (a *analysis) selects(s *pg.SelectStmt, up *scope) answer {
	if a.depth++; a.depth > maxDepth {
		a.refuse("the statement nests too deeply")
	}
	defer func() { a.depth-- }()
	a.spend(20)
	a.seen[s] = true
	sc := a.with(s.WithClause, up)
	var out answer
	switch {
	case s.Op != pg.SetOperation_SETOP_NONE:
		out = a.combine(s, sc)
		// ORDER BY of a set operation sees the columns of the answer alone.
		sc = &scope{up: sc, items: []item{{fields: out.fields, loose: !out.known}}}
		a.order_by(s.SortClause, sc, out)
	case len(s.ValuesLists) > 0:
		out = a.values(s.ValuesLists, sc)
		a.order_by(s.SortClause, &scope{up: sc, items: []item{{fields: out.fields}}}, out)
	default:
		out = a.plain(s, sc)
	}
	for _, n := range []*pg.Node{s.LimitCount, s.LimitOffset} {
		a.probe(a.expr(n, sc), false)
	}
	for _, n := range s.LockingClause {
		a.locking(n.GetLockingClause(), sc)
	}
	if into := s.IntoClause; into != nil {
		a.into(into, out)
	}
	return out
}

// plain reads a SELECT that is no set operation.
func (a *analysis) plain(s *pg.SelectStmt, sc *scope) answer {
	sc.items = a.from(s.FromClause, sc)
	a.where(s.WhereClause, sc)
	out := a.targets(s.TargetList, sc)
	for _, n := range s.GroupClause {
		a.probe(a.byName(n, sc, out, false), false)
	}
	a.where(s.HavingClause, sc)
	for _, n := range s.WindowClause {
		a.probe(a.window(n.GetWindowDef(), sc), false)
	}
	for _, n := range s.DistinctClause {
		if n.GetNode() == nil { // plain DISTINCT
			a.distinct(out)
			continue
		}
		a.probe(a.byName(n, sc, out, true), false)
	}
	a.order_by(s.SortClause, sc, out)
	return out
}

// distinct: the number of rows tells which values are equal.
func (a *analysis) distinct(out answer) {
	for _, f := range out.fields {
		a.probe(f.flow, false)
	}
	if !out.known {
		a.probe(opaque, false)
	}
}

func (a *analysis) order_by(list []*pg.Node, sc *scope, out answer) {
	for _, n := range list {
		by := n.GetSortBy()
		if by == nil {
			a.refuse("the ORDER BY holds something that this bastion does not know")
		}
		a.seen[by] = true
		f := a.byName(by.Node, sc, out, true)
		if len(by.UseOp) > 0 {
			f = f.with(a.operator(stringsOf(by.UseOp), f))
		}
		a.probe(f, false)
	}
}

// byName reads an element of ORDER BY, GROUP BY or DISTINCT ON: a name or number
// of an output column, or an expression. outputFirst tells which of an output
// and an input column of one name is meant.
func (a *analysis) byName(n *pg.Node, sc *scope, out answer, outputFirst bool) flow {
	if k := n.GetAConst(); k != nil && k.GetIval() != nil {
		a.seen[k] = true
		if i := int(k.GetIval().Ival); i >= 1 && i <= len(out.fields) {
			return out.fields[i-1].flow
		}
		if out.known {
			return flow{}
		}
		return opaque
	}
	if c := n.GetColumnRef(); c != nil && len(c.Fields) == 1 && c.Fields[0].GetString_() != nil {
		name := c.Fields[0].GetString_().Sval
		a.seen[c] = true
		// The union of both readings is right whichever the server takes.
		f, _, input := sc.column(name)
		found := input
		if !input || outputFirst {
			for _, o := range out.fields {
				if o.name == name {
					f, found = f.with(o.flow), true
				}
			}
		}
		if found {
			return f
		}
	}
	if g := n.GetGroupingSet(); g != nil {
		a.seen[g] = true
		var f flow
		for _, c := range g.Content {
			f = f.with(a.byName(c, sc, out, outputFirst))
		}
		return f
	}
	if r := n.GetRowExpr(); r != nil {
		a.seen[r] = true
		var f flow
		for _, c := range r.Args {
			f = f.with(a.byName(c, sc, out, outputFirst))
		}
		return f
	}
	return a.expr(n, sc)
}

// combine reads UNION, INTERSECT and EXCEPT.
func (a *analysis) combine(s *pg.SelectStmt, sc *scope) answer {
	l, r := a.selects(s.Larg, sc), a.selects(s.Rarg, sc)
	out := answer{known: l.known && r.known && len(l.fields) == len(r.fields)}
	if out.known {
		out.fields = slices.Clone(l.fields)
		for i := range out.fields {
			out.fields[i].flow = out.fields[i].flow.with(r.fields[i].flow)
		}
	}
	if !s.All || s.Op != pg.SetOperation_SETOP_UNION {
		a.distinct(l)
		a.distinct(r)
	}
	return out
}

func (a *analysis) values(lists []*pg.Node, sc *scope) answer {
	out := answer{known: true}
	for i, l := range lists {
		for j, n := range l.GetList().GetItems() {
			f := a.expr(n, sc)
			switch {
			case i == 0:
				out.fields = append(out.fields, field{name: columnName(j), flow: f})
			case j < len(out.fields):
				out.fields[j].flow = out.fields[j].flow.with(f)
			}
		}
	}
	return out
}

func columnName(i int) string {
	const digits = "0123456789"
	if i < 9 {
		return "column" + digits[i+1:i+2]
	}
	return "column" + itoa(i+1)
}

// targets reads a target list or RETURNING.
func (a *analysis) targets(list []*pg.Node, sc *scope) answer {
	out := answer{known: true, fields: make([]field, 0, len(list))}
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			a.refuse("the list of columns holds something that this bastion does not know")
		}
		a.seen[t] = true
		if fields, star, ok := a.star(t.Val, sc); star {
			out.fields = append(out.fields, fields...)
			out.known = out.known && ok
			a.spend(len(fields))
			if len(out.fields) > maxColumns {
				a.refuse("the statement asks for more than %d columns", maxColumns)
			}
			continue
		}
		out.fields = append(out.fields, field{name: targetName(t), flow: a.expr(t.Val, sc)})
	}
	return out
}

// star expands *, t.* and (expression).*.
func (a *analysis) star(n *pg.Node, sc *scope) (fields []field, star, ok bool) {
	if x := n.GetAIndirection(); x != nil && len(x.Indirection) > 0 && x.Indirection[len(x.Indirection)-1].GetAStar() != nil {
		// The fields of a row: how many is not known.
		a.expr(n, sc)
		return nil, true, false
	}
	c := n.GetColumnRef()
	if c == nil || len(c.Fields) == 0 || c.Fields[len(c.Fields)-1].GetAStar() == nil {
		return nil, false, false
	}
	a.seen[c] = true
	if len(c.Fields) == 1 {
		ok = len(sc.items) > 0
		for _, it := range sc.items {
			fields = append(fields, it.fields...)
			ok = ok && !it.loose
		}
		return fields, true, ok
	}
	names := stringsOf(c.Fields[:len(c.Fields)-1])
	e := a.qualified(names, sc)
	if e == nil {
		return nil, true, false
	}
	return e.fields, true, !e.loose
}

// qualified finds the entry that t, schema.t or database.schema.t name.
func (a *analysis) qualified(names []string, sc *scope) *entry {
	switch len(names) {
	case 1:
		return sc.entry("", names[0])
	case 2:
		return sc.entry(names[0], names[1])
	case 3:
		return sc.entry(names[1], names[2])
	}
	return nil
}

// from reads a FROM list. Items see those to their left if they are lateral.
func (a *analysis) from(list []*pg.Node, sc *scope) []item {
	var items []item
	for _, n := range list {
		items = append(items, a.source(n, sc, items))
	}
	return items
}

// source reads one item of FROM.
func (a *analysis) source(n *pg.Node, sc *scope, left []item) item {
	// What an item may see: the outer scope, and what is on its left if lateral.
	inner := func(lateral bool) *scope {
		s := &scope{up: sc.up, ctes: sc.ctes}
		if lateral {
			s.items = left
		}
		return s
	}
	switch x := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		return a.table(x.RangeVar, sc)
	case *pg.Node_RangeSubselect:
		r := x.RangeSubselect
		a.seen[r] = true
		out := a.query(r.Subquery, inner(r.Lateral))
		return derivedTable(r.Alias, out)
	case *pg.Node_JoinExpr:
		return a.join(x.JoinExpr, sc, left)
	case *pg.Node_RangeFunction:
		return a.functions(x.RangeFunction, inner(true))
	case *pg.Node_RangeTableSample:
		r := x.RangeTableSample
		a.seen[r] = true
		it := a.source(r.Relation, sc, left)
		a.call(stringsOf(r.Method), true)
		for _, n := range append(slices.Clone(r.Args), r.Repeatable) {
			a.probe(a.expr(n, inner(false)), false)
		}
		return it
	case *pg.Node_RangeTableFunc:
		r := x.RangeTableFunc
		a.seen[r] = true
		f := a.children(r.ProtoReflect(), inner(true)).computed()
		var fields []field
		for _, n := range r.Columns {
			if c := n.GetRangeTableFuncCol(); c != nil {
				fields = append(fields, field{name: c.Colname, flow: f.with(opaque)})
			}
		}
		return derivedTable(r.Alias, answer{fields: fields, known: true})
	case *pg.Node_JsonTable:
		r := x.JsonTable
		a.seen[r] = true
		a.children(r.ProtoReflect(), inner(true))
		return derivedTable(r.Alias, answer{})
	}
	a.refuse("the FROM holds something that this bastion does not know")
	return item{}
}

func derivedTable(alias *pg.Alias, out answer) item {
	e := &entry{fields: out.fields, loose: !out.known}
	it := item{entries: []*entry{e}, fields: out.fields, loose: !out.known}
	if alias == nil {
		return it
	}
	return rename(it, alias.Aliasname, stringsOf(alias.Colnames))
}

// table reads a table, view or CTE in FROM.
func (a *analysis) table(v *pg.RangeVar, sc *scope) item {
	a.seen[v] = true
	alias, columns := v.Relname, []string(nil)
	if v.Alias != nil {
		alias, columns = v.Alias.Aliasname, stringsOf(v.Alias.Colnames)
	}
	if v.Schemaname == "" {
		if c := sc.find(v.Relname); c != nil {
			a.settle(c)
			if c.running {
				c.again = true
			}
			e := &entry{alias: alias, fields: c.fields, loose: c.loose}
			return rename(item{entries: []*entry{e}, fields: c.fields, loose: c.loose}, alias, columns)
		}
	}
	e := a.relation(v, Select)
	it := item{entries: []*entry{e}, fields: e.fields, loose: e.loose}
	if v.Alias == nil {
		return it
	}
	return rename(it, alias, columns)
}

// relation resolves a name to a relation and notes what is done to it.
func (a *analysis) relation(v *pg.RangeVar, verb bastion.Verb) *entry {
	a.seen[v] = true
	schema, rel := a.resolve(v)
	full := fullName(schema, v.Relname)
	e := &entry{schema: schema, alias: v.Relname, named: true, prefix: full + "."}
	if verb == Select && structure[full] {
		a.action(Catalog, full)
	} else if verb != "" {
		a.action(verb, full)
	}
	if a.inView && verb == Select {
		a.reads = append(a.reads, full)
	}
	if catalog.System(schema) {
		a.system = true
		if rel == nil {
			e.loose = true
			return e
		}
		e.fields = make([]field, len(rel.Columns))
		for i, c := range rel.Columns {
			e.fields[i] = field{name: c.Name, flow: flow{columns: c.Sources}}
			if !structure[full] && !counting[full] && (full != "pg_catalog.pg_stat_activity" || c.Name == "query") {
				e.fields[i].flow = opaque.with(e.fields[i].flow)
			}
		}
		return e
	}
	if rel == nil {
		a.unknown = a.unknown || a.reader.catalog != nil
		e.loose, e.assumed = true, a.reader.catalog == nil
		return e
	}
	for _, p := range rel.Parents {
		if verb != "" {
			a.action(verb, p.FullName()) // a rule about the whole is one about the part
		}
	}
	e.fields = a.columns(rel)
	if rel.Kind == catalog.View && verb != "" {
		a.through(rel, verb)
	}
	return e
}

// through notes what using a view does besides: functions that it calls, and
// writes to the tables under it.
func (a *analysis) through(rel *catalog.Relation, verb bastion.Verb) {
	w := a.reader.view(rel, a)
	for _, c := range w.calls {
		a.action(c.Verb, c.Resource)
	}
	a.effects = a.effects || w.effects
	if verb != Select {
		for _, r := range w.reads {
			a.action(verb, r)
		}
	}
}

// columns returns a relation's columns with all that flows into each.
func (a *analysis) columns(rel *catalog.Relation) []field {
	a.spend(len(rel.Columns))
	fields := make([]field, len(rel.Columns))
	for i, c := range rel.Columns {
		fields[i] = field{name: c.Name, flow: flow{columns: c.Sources}}
	}
	switch {
	case rel.Kind == catalog.View || rel.Kind == catalog.Materialized:
		w := a.reader.view(rel, a)
		for i := range fields {
			if i < len(w.fields) && len(w.fields) == len(fields) {
				fields[i].flow = fields[i].flow.with(w.fields[i].flow)
			} else {
				fields[i].flow = fields[i].flow.with(opaque)
			}
		}
	default:
		for i, c := range rel.Columns {
			if c.Generated != "" {
				fields[i].flow = fields[i].flow.with(a.generated(rel, c.Generated))
			}
		}
	}
	return fields
}

// generated reads the expression of a generated column.
func (a *analysis) generated(rel *catalog.Relation, expression string) flow {
	tree, err := pg.Parse("SELECT " + expression)
	if err != nil || len(tree.Stmts) != 1 || len(tree.Stmts[0].Stmt.GetSelectStmt().GetTargetList()) != 1 {
		return opaque
	}
	fields := make([]field, len(rel.Columns))
	for i, c := range rel.Columns {
		fields[i] = field{name: c.Name, flow: flow{columns: c.Sources}}
	}
	e := &entry{schema: rel.Schema, alias: rel.Name, fields: fields, named: true}
	sub := a.inside()
	f := opaque
	sub.guard(func() {
		f = sub.expr(tree.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().GetVal(), &scope{items: []item{{entries: []*entry{e}, fields: fields}}})
	})
	return f.computed()
}

// inside makes an analysis of a definition in the catalog, where every name is
// qualified and nothing was chosen by the person.
func (a *analysis) inside() *analysis {
	return &analysis{reader: a.reader, session: Session{Path: []string{"pg_catalog"}}, seen: map[any]bool{},
		actions: map[bastion.Action]bool{}, inView: true, views: a.views, depth: a.depth, steps: a.steps}
}

// guard runs f. What f refuses to read leaves its result as it was.
func (a *analysis) guard(f func()) (ok bool) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case refused:
			ok = false
		default:
			panic(p)
		}
	}()
	f()
	return true
}

// view returns what a view's definition says, read once.
func (r *Reader) view(rel *catalog.Relation, a *analysis) *view {
	r.mu.Lock()
	w := r.views[rel]
	r.mu.Unlock()
	if w != nil {
		return w
	}
	w = &view{effects: true}
	if slices.Contains(a.views, rel) || len(a.views) > 100 {
		return w // views cannot refer to themselves; a hostile server might tell of one
	}
	if depth(rel.Definition) > maxDepth {
		return w
	}
	tree, err := pg.Parse(rel.Definition)
	if err == nil && len(tree.Stmts) == 1 && tree.Stmts[0].Stmt.GetSelectStmt() != nil {
		sub := a.inside()
		sub.views = append(slices.Clip(a.views), rel)
		var out answer
		if sub.guard(func() { out = sub.query(tree.Stmts[0].Stmt, nil) }) && unseen(tree.Stmts[0].Stmt, sub.seen) == "" && out.known {
			w.fields, w.effects, w.reads = out.fields, sub.effects, sub.reads
			for _, x := range sub.order {
				if x.Verb != Select && x.Verb != Catalog {
					w.calls = append(w.calls, x)
				}
			}
		}
		a.steps = sub.steps
		// A system catalog's columns may not have been loaded yet.
		if sub.system || sub.unknown {
			a.system = a.system || sub.system
			return w
		}
	}
	r.mu.Lock()
	r.views[rel] = w
	r.mu.Unlock()
	return w
}

// resolve finds the relation of a name. Without one in the catalog it is nil, and
// the schema is a guess that serves the explanation.
func (a *analysis) resolve(v *pg.RangeVar) (schema string, rel *catalog.Relation) {
	c := a.reader.catalog
	if v.Schemaname != "" {
		schema = v.Schemaname
		if schema == "pg_temp" {
			for _, s := range a.session.Path {
				if len(s) > 8 && s[:8] == "pg_temp_" {
					schema = s
				}
			}
		}
		if c != nil {
			rel = c.Relation(schema, v.Relname)
		}
		return schema, rel
	}
	if c == nil {
		if structure["pg_catalog."+v.Relname] || len(v.Relname) > 3 && v.Relname[:3] == "pg_" {
			return "pg_catalog", nil
		}
		return "public", nil
	}
	for _, s := range a.session.Path {
		if rel = c.Relation(s, v.Relname); rel != nil {
			return s, rel
		}
		// System catalogs are loaded when they are used.
		if s == "pg_catalog" && len(v.Relname) > 3 && v.Relname[:3] == "pg_" {
			a.system = true
			return s, nil
		}
	}
	return a.creating(), nil
}

// creating is the schema in which an unqualified new name would be made.
func (a *analysis) creating() string {
	for _, s := range a.session.Path {
		if !catalog.System(s) && (len(s) < 8 || s[:8] != "pg_temp_") {
			return s
		}
	}
	return "public"
}

// join reads a JOIN.
func (a *analysis) join(j *pg.JoinExpr, sc *scope, left []item) item {
	if a.depth++; a.depth > maxDepth {
		a.refuse("the statement nests too deeply")
	}
	defer func() { a.depth-- }()
	a.seen[j] = true
	l := a.source(j.Larg, sc, left)
	r := a.source(j.Rarg, sc, append(slices.Clone(left), l))
	it := item{entries: append(slices.Clone(l.entries), r.entries...), loose: l.loose || r.loose}
	using := stringsOf(j.UsingClause)
	if j.IsNatural {
		if l.loose || r.loose {
			a.probe(opaque, false)
		}
		for _, f := range l.fields {
			if slices.ContainsFunc(r.fields, func(g field) bool { return g.name == f.name }) {
				using = append(using, f.name)
			}
		}
	}
	var merged []field
	for _, name := range using {
		lf, _, lok := (&scope{items: []item{l}}).column(name)
		rf, _, rok := (&scope{items: []item{r}}).column(name)
		if !lok || !rok {
			lf.unproven, rf.unproven = true, true
		}
		a.compare(lf, rf)
		merged = append(merged, field{name: name, flow: lf.with(rf)})
	}
	if len(using) > 0 {
		a.operator([]string{"="}, flow{})
	}
	rest := func(fields []field) {
		for _, f := range fields {
			if !slices.Contains(using, f.name) {
				it.fields = append(it.fields, f)
			}
		}
	}
	it.fields = append(it.fields, merged...)
	rest(l.fields)
	rest(r.fields)
	a.spend(len(it.fields) * (1 + len(using)))
	if j.Quals != nil {
		a.where(j.Quals, &scope{up: sc.up, ctes: sc.ctes, items: []item{it}})
	}
	if u := j.JoinUsingAlias; u != nil {
		a.seen[u] = true
		it.entries = append(it.entries, &entry{alias: u.Aliasname, fields: merged})
	}
	if j.Alias != nil {
		return rename(it, j.Alias.Aliasname, stringsOf(j.Alias.Colnames))
	}
	return it
}

// compare notes an equality between two columns.
func (a *analysis) compare(l, r flow) {
	equality := l.straight() && r.straight()
	a.probe(l, equality)
	a.probe(r, equality)
}

// functions reads functions in FROM.
func (a *analysis) functions(r *pg.RangeFunction, sc *scope) item {
	a.seen[r] = true
	all, count, single := flow{}, 0, ""
	known := true
	for _, n := range r.Functions {
		for i, x := range n.GetList().GetItems() {
			if i > 0 { // a column definition list
				a.expr(x, sc)
				continue
			}
			f := a.expr(x, sc)
			all = all.with(f)
			count++
			if c := x.GetFuncCall(); c != nil {
				names := stringsOf(c.Funcname)
				single = names[len(names)-1]
				known = known && scalarSet[single] && len(c.Args) <= 3
			} else {
				single = columnLabel(x) // such as current_date
			}
		}
	}
	for _, n := range r.Coldeflist {
		a.expr(n, sc)
	}
	name := single
	columns := []string(nil)
	if r.Alias != nil {
		name, columns = r.Alias.Aliasname, stringsOf(r.Alias.Colnames)
	}
	out := answer{known: true}
	switch {
	case len(r.Coldeflist) > 0:
		for _, n := range r.Coldeflist {
			out.fields = append(out.fields, field{name: n.GetColumnDef().GetColname(), flow: all.computed()})
		}
	case count == 1 && known:
		// One column, named after the alias or the function.
		column := single
		if r.Alias != nil {
			column = r.Alias.Aliasname
		}
		out.fields = []field{{name: column, flow: all}}
	case count == 1 && fieldsOf[single] != "":
		for n := range fieldNames(single) {
			out.fields = append(out.fields, field{name: n, flow: all.computed()})
		}
	default:
		// The columns are not known, but all that flows into them is.
		out.known = false
	}
	if out.known && r.Ordinality {
		out.fields = append(out.fields, field{name: "ordinality"})
	}
	e := &entry{alias: name, fields: out.fields, loose: !out.known, fill: all.computed(), filled: !out.known}
	return rename(item{entries: []*entry{e}, fields: out.fields, loose: !out.known}, name, columns)
}

// locking reads FOR UPDATE and its kin.
func (a *analysis) locking(l *pg.LockingClause, sc *scope) {
	if l == nil {
		return
	}
	a.seen[l] = true
	note := func(e *entry) {
		if e != nil && e.prefix != "" {
			a.action(Lock, e.prefix[:len(e.prefix)-1])
		} else {
			a.action(Lock, "")
		}
	}
	for _, n := range l.LockedRels {
		v := n.GetRangeVar()
		a.seen[v] = true
		note(sc.entry("", v.GetRelname()))
	}
	if len(l.LockedRels) == 0 {
		for _, it := range sc.items {
			for _, e := range it.entries {
				note(e)
			}
		}
		if len(sc.items) == 0 {
			a.action(Lock, "")
		}
	}
}

// into reads SELECT INTO and CREATE TABLE AS: the columns are copied.
func (a *analysis) into(into *pg.IntoClause, out answer) {
	a.seen[into] = true
	a.created(into.Rel, Create)
	a.copies(out)
	if into.ViewQuery != nil {
		a.refuse("the INTO holds something that this bastion does not know")
	}
	a.options(into.Options)
}

// copies notes that an answer is written somewhere.
func (a *analysis) copies(out answer) {
	for _, f := range out.fields {
		a.probe(f.flow, false)
	}
	if !out.known {
		a.probe(opaque, false)
	}
}

// created notes a new relation.
func (a *analysis) created(v *pg.RangeVar, verb bastion.Verb) {
	if v == nil {
		return
	}
	a.seen[v] = true
	schema := v.Schemaname
	switch {
	case schema != "":
	case v.Relpersistence == "t":
		schema = "pg_temp"
	default:
		schema = a.creating()
	}
	a.action(verb, fullName(schema, v.Relname))
}

// insert reads INSERT.
func (a *analysis) insert(s *pg.InsertStmt, up *scope) answer {
	a.seen[s] = true
	sc := a.with(s.WithClause, up)
	e := a.target(s.Relation, Insert)
	for _, n := range s.Cols {
		t := n.GetResTarget()
		a.seen[t] = true
		a.indirection(t.GetIndirection(), sc)
	}
	if s.SelectStmt != nil {
		a.copies(a.query(s.SelectStmt, sc))
	}
	a.returning(s.Relation, s.ReturningList)
	sc.items = []item{{entries: []*entry{e}, fields: e.fields, loose: e.loose}}
	if c := s.OnConflictClause; c != nil {
		a.seen[c] = true
		if i := c.Infer; i != nil {
			a.seen[i] = true
			for _, n := range i.IndexElems {
				x := n.GetIndexElem()
				a.seen[x] = true
				a.expr(x.GetExpr(), sc)
			}
			a.where(i.WhereClause, sc)
		}
		if c.Action == pg.OnConflictAction_ONCONFLICT_UPDATE {
			a.action(Update, e.prefix[:len(e.prefix)-1])
			excluded := &entry{alias: "excluded", fields: e.fields, loose: e.loose, prefix: e.prefix, assumed: e.assumed}
			both := &scope{up: sc.up, ctes: sc.ctes, items: []item{sc.items[0], {entries: []*entry{excluded}, loose: e.loose}}}
			a.assign(c.TargetList, both)
			a.where(c.WhereClause, both)
		}
	}
	return a.targets(s.ReturningList, sc)
}

// target resolves what a statement changes.
func (a *analysis) target(v *pg.RangeVar, verb bastion.Verb) *entry {
	e := a.relation(v, verb)
	e.target = true
	if v.Alias != nil {
		e.alias, e.named = v.Alias.Aliasname, false
	}
	return e
}

// assign reads SET: what flows into a column is copied.
func (a *analysis) assign(list []*pg.Node, sc *scope) {
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			a.refuse("the SET holds something that this bastion does not know")
		}
		a.seen[t] = true
		a.indirection(t.Indirection, sc)
		a.probe(a.expr(t.Val, sc), false)
	}
}

func (a *analysis) update(s *pg.UpdateStmt, up *scope) answer {
	a.seen[s] = true
	sc := a.with(s.WithClause, up)
	verb := Update
	e := a.target(s.Relation, "")
	sc.items = []item{{entries: []*entry{e}, fields: e.fields, loose: e.loose}}
	sc.items = append(sc.items, a.from(s.FromClause, sc)...)
	if a.everything(s.WhereClause, sc, e) {
		verb = UpdateAll
	}
	a.relation(s.Relation, verb)
	a.returning(s.Relation, s.ReturningList)
	a.assign(s.TargetList, sc)
	a.where(s.WhereClause, sc)
	return a.targets(s.ReturningList, sc)
}

func (a *analysis) delete(s *pg.DeleteStmt, up *scope) answer {
	a.seen[s] = true
	sc := a.with(s.WithClause, up)
	verb := Delete
	e := a.target(s.Relation, "")
	sc.items = []item{{entries: []*entry{e}, fields: e.fields, loose: e.loose}}
	sc.items = append(sc.items, a.from(s.UsingClause, sc)...)
	if a.everything(s.WhereClause, sc, e) {
		verb = DeleteAll
	}
	a.relation(s.Relation, verb)
	a.returning(s.Relation, s.ReturningList)
	a.where(s.WhereClause, sc)
	return a.targets(s.ReturningList, sc)
}

// returning: rows that a statement returns are read.
func (a *analysis) returning(v *pg.RangeVar, list []*pg.Node) {
	if len(list) > 0 {
		a.relation(v, Select)
	}
}

func (a *analysis) merge(s *pg.MergeStmt, up *scope) answer {
	a.seen[s] = true
	sc := a.with(s.WithClause, up)
	e := a.target(s.Relation, Merge)
	resource := e.prefix[:len(e.prefix)-1]
	a.returning(s.Relation, s.ReturningList)
	sc.items = []item{{entries: []*entry{e}, fields: e.fields, loose: e.loose}}
	sc.items = append(sc.items, a.source(s.SourceRelation, sc, nil))
	all := a.everything(s.JoinCondition, sc, e)
	a.where(s.JoinCondition, sc)
	for _, n := range s.MergeWhenClauses {
		w := n.GetMergeWhenClause()
		if w == nil {
			a.refuse("the MERGE holds something that this bastion does not know")
		}
		a.seen[w] = true
		every := all && a.everything(w.Condition, sc, e)
		bySource := w.MatchKind == pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE && a.everything(w.Condition, sc, e)
		switch w.CommandType {
		case pg.CmdType_CMD_INSERT:
			a.action(Insert, resource)
		case pg.CmdType_CMD_UPDATE:
			a.action(pick(every || bySource, UpdateAll, Update), resource)
		case pg.CmdType_CMD_DELETE:
			a.action(pick(every || bySource, DeleteAll, Delete), resource)
		case pg.CmdType_CMD_NOTHING:
		default:
			a.refuse("the MERGE does something that this bastion does not know")
		}
		a.where(w.Condition, sc)
		if w.CommandType == pg.CmdType_CMD_INSERT {
			for _, n := range w.TargetList {
				a.seen[n.GetResTarget()] = true
				a.indirection(n.GetResTarget().GetIndirection(), sc)
			}
		} else {
			a.assign(w.TargetList, sc)
		}
		for _, n := range w.Values {
			a.probe(a.expr(n, sc), false)
		}
	}
	return a.targets(s.ReturningList, sc)
}

func pick(cond bool, yes, no bastion.Verb) bastion.Verb {
	if cond {
		return yes
	}
	return no
}
