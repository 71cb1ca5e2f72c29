package lineage

import (
	"slices"
	"strings"

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
	a.stores = true
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
				fields[i].flow = fields[i].flow.mix(c.fields[i].flow)
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
		if n == nil {
			continue
		}
		a.limited = true
		a.ordinal = a.ordinal || up != nil && !out.constant()
	}
	if up == nil {
		a.answer = out
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
	sorted, gathers := a.sorted, a.gathers
	a.sorted, a.gathers = nil, nil
	a.where(s.WhereClause, sc)
	out := a.targets(s.TargetList, sc)
	a.groups(s, sc, out)
	a.where(s.HavingClause, sc)
	for _, n := range s.WindowClause {
		a.probe(a.window(n.GetWindowDef(), sc), false)
	}
	for _, n := range s.DistinctClause {
		if n.GetNode() == nil { // plain DISTINCT
			a.distinct(out)
			continue
		}
		a.ordinal = true
		a.probe(a.byName(n, sc, out, true), false)
	}
	a.order_by(s.SortClause, sc, out)
	a.presorted()
	// An aggregate in a subquery may be one of the query around it.
	a.sorted, a.gathers = append(sorted, a.sorted...), append(gathers, a.gathers...)
	a.stores = a.stores || len(s.GroupClause)+len(s.WindowClause)+len(s.DistinctClause)+len(s.SortClause) > 0 || len(s.FromClause) > 1
	return out
}

// groups reads GROUP BY. Beside a table's primary key the server leaves out its other
// columns: rows are neither grouped nor sorted by them.
func (a *analysis) groups(s *pg.SelectStmt, sc *scope, out answer) {
	keyed := map[*entry]bool{}
	of := make([]*entry, len(s.GroupClause))
	for i, n := range s.GroupClause {
		if n.GetGroupingSet() != nil {
			clear(of)
			keyed = nil
			break
		}
		e, c := a.tableColumn(a.groupedBy(n, s.TargetList), sc)
		if of[i] = e; c != nil && c.Primary {
			keyed[e] = true
		}
	}
	for i, n := range s.GroupClause {
		if f := a.byName(n, sc, out, false); of[i] == nil || !keyed[of[i]] {
			a.probe(f, false)
		}
	}
}

// groupedBy is the column that an element of GROUP BY means: by its number or its name in
// the answer, or by itself. What means none, or not for certain, gives nil.
func (a *analysis) groupedBy(n *pg.Node, targets []*pg.Node) *pg.ColumnRef {
	plain := func(c *pg.ColumnRef) *pg.ColumnRef {
		if c == nil || len(c.Fields) == 0 || c.Fields[len(c.Fields)-1].GetAStar() != nil {
			return nil
		}
		return c
	}
	if k := a.constant(n); k.isInt {
		i := int(k.i)
		if i < 1 || i > len(targets) {
			return nil
		}
		for _, t := range targets[:i] {
			if c := t.GetResTarget().GetVal().GetColumnRef(); c != nil && plain(c) == nil || t.GetResTarget().GetVal().GetAIndirection() != nil {
				return nil // a star, which stands for several
			}
		}
		return plain(targets[i-1].GetResTarget().GetVal().GetColumnRef())
	}
	return plain(n.GetColumnRef())
}

// tableColumn finds the table in FROM, and the column in it, that a name means, if its rows are
// those of one table and its values are stored.
func (a *analysis) tableColumn(c *pg.ColumnRef, sc *scope) (found *entry, column *catalog.Column) {
	if c == nil {
		return nil, nil
	}
	names := stringsOf(c.Fields)
	last := names[len(names)-1]
	for _, it := range sc.items {
		for _, e := range it.entries {
			switch {
			case it.loose, e.loose:
				return nil, nil
			case e.index(last) < 0, len(names) > 1 && e.alias != names[len(names)-2]:
				continue
			case found != nil:
				return nil, nil
			}
			found = e
		}
	}
	if found == nil || len(names) > 2 {
		return nil, nil
	}
	f := found.fields[found.index(last)]
	if f.generated || !f.flow.straight() || f.flow.mixed {
		return nil, nil
	}
	rel, column := a.columnOf(f.flow.columns[0])
	if column == nil || rel.Kind != catalog.Table || len(rel.Children) > 0 || found.prefix != rel.FullName()+"." {
		return nil, nil
	}
	return found, column
}

// presorted: where an aggregate takes its input in an order, or without repeats, others
// of the query get theirs in the same order, and may show it.
func (a *analysis) presorted() {
	for _, s := range a.sorted {
		for _, g := range a.gathers {
			if !g.covers(s) {
				a.probe(s, false)
				break
			}
		}
	}
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
		if sc.up == nil {
			a.orderedBy = append(a.orderedBy, f)
		}
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
	if k := a.constant(n); k.isInt {
		if i := int(k.i); i >= 1 && i <= len(out.fields) {
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
			out.fields[i].flow = out.fields[i].flow.mix(r.fields[i].flow)
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
				out.fields[j].flow = out.fields[j].flow.mix(f)
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
			for i := range fields {
				a.shown = a.shown.with(fields[i].flow)
			}
			if len(out.fields) > maxColumns {
				a.refuse("the statement asks for more than %d columns", maxColumns)
			}
			continue
		}
		f := a.expr(t.Val, sc)
		if f.derived {
			a.sizes = a.sizes.with(f)
		}
		a.shown = a.shown.with(f)
		out.fields = append(out.fields, field{name: targetName(t), flow: f})
	}
	return out
}

// star expands *, t.* and (expression).*.
func (a *analysis) star(n *pg.Node, sc *scope) (fields []field, star, ok bool) {
	if x := n.GetAIndirection(); x != nil && len(x.Indirection) > 0 && x.Indirection[len(x.Indirection)-1].GetAStar() != nil {
		if len(x.Indirection) == 1 {
			if fields, ok := a.record(x.Arg, sc); ok {
				return fields, true, true
			}
		}
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
		if names := stringsOf(r.Method); len(a.users(names, -1)) > 0 || !a.call(names, -1, true) {
			a.runs()
		}
		for _, n := range append(slices.Clone(r.Args), r.Repeatable) {
			a.probe(a.expr(n, inner(false)), false)
		}
		return it
	case *pg.Node_RangeTableFunc:
		r := x.RangeTableFunc
		a.seen[r] = true
		f := a.children(r.ProtoReflect(), inner(true)).computed()
		a.probe(f, false) // the number of rows tells of the document, and it may be none
		var fields []field
		for _, n := range r.Columns {
			if c := n.GetRangeTableFuncCol(); c != nil {
				fields = append(fields, field{name: c.Colname, flow: f})
			}
		}
		return derivedTable(r.Alias, answer{fields: fields, known: true})
	case *pg.Node_JsonTable:
		r := x.JsonTable
		a.seen[r] = true
		f := a.children(r.ProtoReflect(), inner(true)).computed()
		a.probe(f, false)
		return derivedTable(r.Alias, answer{fields: tabled(r.Columns, f, nil), known: true})
	}
	a.refuse("the FROM holds something that this bastion does not know")
	return item{}
}

// tabled lists the columns of JSON_TABLE: those of nested paths come last.
func tabled(list []*pg.Node, f flow, fields []field) []field {
	for _, n := range list {
		if c := n.GetJsonTableColumn(); c.GetColtype() != pg.JsonTableColumnType_JTC_NESTED {
			fields = append(fields, field{name: c.GetName(), flow: f})
		}
	}
	for _, n := range list {
		if c := n.GetJsonTableColumn(); c.GetColtype() == pg.JsonTableColumnType_JTC_NESTED {
			fields = tabled(c.Columns, f, fields)
		}
	}
	return fields
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
	if rel != nil {
		if a.uses == nil {
			a.uses = map[*catalog.Relation]int{}
		}
		a.uses[rel]++
	}
	if a.inView && verb == Select {
		a.reads = append(a.reads, full)
		if rel != nil {
			a.under = append(a.under, rel)
		}
	}
	switch verb {
	case Insert, Update, UpdateAll, Delete, DeleteAll, Merge, CopyIn:
		a.written(rel)
	case Select:
		if rel != nil {
			for _, p := range rel.Policies {
				a.unsettles = a.unsettles || a.check(p).unsettles
			}
		}
	}
	if rel != nil && verb != "" && verb != Insert && verb != CopyIn {
		for _, p := range rel.Policies {
			if c := a.columnsOf(rel, p); c.settable {
				a.decides(c.filters, true)
			}
		}
	}
	if catalog.System(schema) {
		a.system = true
		a.settable = a.settable || full == "pg_catalog.pg_settings"
		if rel == nil {
			e.loose = true
			return e
		}
		e.fields = make([]field, len(rel.Columns))
		for i, c := range rel.Columns {
			e.fields[i] = field{name: c.Name, typ: c.Type, flow: flow{columns: c.Sources, list: a.listed(c.Type)}}
			put := a.session.Ran && full == "pg_catalog.pg_settings" && (c.Name == "setting" || c.Name == "reset_val")
			if g := guarded[full]; put || g == c.Name || g == "" && !structure[full] && !counting[full] {
				e.fields[i].flow = opaque.with(e.fields[i].flow)
			}
			if full == "pg_catalog.pg_attribute" && c.Name == "attmissingval" && len(a.reader.catalog.Missing()) > 0 {
				e.fields[i].flow = e.fields[i].flow.mix(flow{columns: a.reader.catalog.Missing()}).computed()
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
	a.effects, a.unsettles = a.effects || w.effects, a.unsettles || w.unsettles
	a.folded = a.folded.with(w.folded)
	a.decides(w.filters, w.settable)
	if verb != Select {
		for _, r := range w.reads {
			a.action(verb, r)
		}
	}
}

// columns returns a relation's columns with all that flows into each. They are
// shared and must not be changed.
func (a *analysis) columns(rel *catalog.Relation) []field {
	a.spend(len(rel.Columns))
	r := a.reader
	r.mu.Lock()
	k := viewOf{rel, a.session.Ran && rel.Kind == catalog.View}
	fields, ok := r.fields[k]
	r.mu.Unlock()
	if ok {
		return fields
	}
	fields = make([]field, len(rel.Columns))
	for i := range rel.Columns {
		c := &rel.Columns[i]
		fields[i] = field{name: c.Name, typ: c.Type, flow: flow{columns: c.Sources, list: a.listed(c.Type)}}
	}
	whole := true
	switch {
	case rel.Kind == catalog.Sequence:
		for _, n := range []string{"last_value", "log_cnt", "is_called"} {
			fields = append(fields, field{name: n, flow: flow{columns: []string{rel.FullName() + "." + n}}})
		}
	case rel.Kind == catalog.View || rel.Kind == catalog.Materialized:
		w := r.view(rel, a)
		whole = w.whole
		for i := range fields {
			if i < len(w.fields) && len(w.fields) == len(fields) {
				fields[i].flow = fields[i].flow.with(w.fields[i].flow)
			} else {
				fields[i].flow = fields[i].flow.with(opaque)
			}
		}
	default:
		for i := range rel.Columns {
			if g := rel.Columns[i].Generated; g != "" {
				fields[i].generated = true
				fields[i].flow = fields[i].flow.with(a.generated(rel, g))
			}
		}
	}
	if whole {
		r.mu.Lock()
		r.fields[k] = fields
		r.mu.Unlock()
	}
	return fields
}

// generated reads the expression of a generated column.
func (a *analysis) generated(rel *catalog.Relation, expression string) flow {
	list := expressions(expression)
	if len(list) != 1 {
		return opaque
	}
	fields := make([]field, len(rel.Columns))
	for i := range rel.Columns {
		fields[i] = field{name: rel.Columns[i].Name, flow: flow{columns: rel.Columns[i].Sources}}
	}
	e := &entry{schema: rel.Schema, alias: rel.Name, fields: fields, named: true}
	sub := a.inside()
	f := opaque
	sub.guard(func() {
		f = sub.expr(list[0], &scope{items: []item{{entries: []*entry{e}, fields: fields}}})
	})
	return f.computed()
}

// inside makes an analysis of a definition in the catalog, where every name is
// qualified and nothing was chosen by the person.
func (a *analysis) inside() *analysis {
	return &analysis{reader: a.reader, session: Session{Path: []string{"pg_catalog"}}, seen: map[any]bool{},
		actions: map[bastion.Action]bool{}, inView: true, views: a.views, routines: a.routines, depth: a.depth, steps: a.steps}
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
	k := viewOf{rel, a.session.Ran}
	w := r.views[k]
	r.mu.Unlock()
	if w != nil {
		return w
	}
	w = &view{effects: true, unsettles: true, folded: opaque}
	if slices.Contains(a.views, rel) || len(a.views) > 100 {
		return w // views cannot refer to themselves; a hostile server might tell of one
	}
	if depth(rel.Definition) > maxDepth {
		return w
	}
	tree, err := pg.Parse(rel.Definition)
	if err == nil && len(tree.Stmts) == 1 && tree.Stmts[0].Stmt.GetSelectStmt() != nil {
		sub := a.inside()
		sub.session.Ran = a.session.Ran
		sub.views = append(slices.Clip(a.views), rel)
		var out answer
		if sub.guard(func() { out = sub.query(tree.Stmts[0].Stmt, nil) }) && unseen(tree.Stmts[0].Stmt, sub.seen) == "" && out.known {
			w.fields, w.effects, w.unsettles, w.reads, w.under, w.folded = out.fields, sub.effects, sub.unsettles, sub.reads, sub.under, sub.folded
			w.filters, w.settable = sub.filters, sub.settable
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
	w.whole = true
	r.mu.Lock()
	r.views[k] = w
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
	for i, s := range a.session.Path {
		if rel = c.Relation(s, v.Relname); rel != nil {
			if a.strict && slices.ContainsFunc(a.session.Path[i+1:], func(s string) bool { return c.Relation(s, v.Relname) != nil }) {
				a.refuse("a name in a function may mean one thing or another")
			}
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
	a.stores = true
	a.outer = a.outer || j.Jointype != pg.JoinType_JOIN_INNER
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
		a.compare(lf, rf, a.operator([]string{"="}, lf.with(rf)))
		merged = append(merged, field{name: name, flow: lf.mix(rf)})
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

// compare notes an equality between two columns, or a column and an argument of the
// function that is being read. by is what the operator adds.
func (a *analysis) compare(l, r, by flow) {
	equality := by.constant() && (l.straight() || l.argument && l.constant()) && (r.straight() || r.argument && r.constant())
	if equality && a.pairs(l, r) {
		return
	}
	argument := l.argument || r.argument
	l.argument, r.argument = argument, argument
	a.probe(l, equality)
	a.probe(r, equality)
}

// functions reads functions in FROM.
func (a *analysis) functions(r *pg.RangeFunction, sc *scope) item {
	a.seen[r] = true
	alias, columns := "", []string(nil)
	if r.Alias != nil {
		alias, columns = r.Alias.Aliasname, stringsOf(r.Alias.Colnames)
	}
	all, first := flow{}, ""
	out := answer{known: len(r.Functions) > 0}
	for i, n := range r.Functions {
		items := n.GetList().GetItems()
		if len(items) == 0 {
			a.refuse("the FROM holds something that this bastion does not know")
		}
		f, fields, label := a.rows(items[0], sc, len(r.Functions) == 1, alias)
		all = all.with(f)
		if i == 0 {
			first = label
		}
		defined := r.Coldeflist
		for _, x := range items[1:] { // a column definition list
			a.expr(x, sc)
			if l := x.GetList(); l != nil {
				defined = l.Items
			}
		}
		if len(defined) > 0 {
			fields = nil
			for _, n := range defined {
				fields = append(fields, field{name: n.GetColumnDef().GetColname(), flow: f.computed()})
			}
		}
		out.known = out.known && len(fields) > 0
		out.fields = append(out.fields, fields...)
	}
	for _, n := range r.Coldeflist {
		all = all.with(a.expr(n, sc))
	}
	if !out.known { // the columns are not known, but all that flows into them is
		out.fields = nil
	}
	if out.known && r.Ordinality {
		out.fields = append(out.fields, field{name: "ordinality"})
	}
	if alias == "" {
		alias = first
	}
	e := &entry{alias: alias, fields: out.fields, loose: !out.known, fill: all.computed(), filled: !out.known}
	return rename(item{entries: []*entry{e}, fields: out.fields, loose: !out.known}, alias, columns)
}

// rows reads one function in FROM. Without fields, its columns are not known. label
// is the name that it has without an alias.
func (a *analysis) rows(n *pg.Node, sc *scope, single bool, alias string) (f flow, fields []field, label string) {
	c := n.GetFuncCall()
	if c == nil { // such as current_date
		label = columnLabel(n)
		f = a.expr(n, sc)
		if n.GetSqlvalueFunction() != nil || n.GetCoalesceExpr() != nil {
			fields = []field{{flow: f}}
		}
	} else {
		names := stringsOf(c.Funcname)
		label = names[len(names)-1]
		var shaped bool
		f, fields, shaped = a.invoke(c, sc)
		switch {
		case shaped || len(a.users(names, len(c.Args))) > 0:
		case label == "unnest" && len(c.Args) > 0:
			if c := c.Args[0].GetColumnRef(); len(n.GetFuncCall().Args) == 1 && c != nil && len(c.Fields) > 0 && c.Fields[len(c.Fields)-1].GetAStar() == nil {
				if typ, array := strings.CutSuffix(a.typeOf(stringsOf(c.Fields), sc), "[]"); array {
					if rows, ok := a.fieldsOf(typ, f); ok {
						return f, rows, label
					}
				}
			}
			for _, arg := range c.Args {
				if !a.scalars(arg, sc) {
					fields = nil
					break
				}
				fields = append(fields, field{name: "unnest", flow: f.computed()})
			}
			if len(fields) > 1 {
				return f, fields, label
			}
			if len(fields) == 1 {
				fields[0].name = ""
			}
		case scalarSet[label] && len(c.Args) <= 5:
			fields = []field{{flow: f}}
		case fieldsOf[label] != "":
			for n := range fieldNames(label) {
				fields = append(fields, field{name: n, flow: f.computed()})
			}
		}
	}
	// One column, named after the alias or the function.
	if len(fields) == 1 && fields[0].name == "" {
		fields = []field{{name: label, flow: fields[0].flow}}
		if single && alias != "" {
			fields[0].name = alias
		}
	}
	return f, fields, label
}

// scalars reports whether an expression is an array whose elements are no rows, as
// far as the text and the catalog tell.
func (a *analysis) scalars(n *pg.Node, sc *scope) bool {
	switch x := n.GetNode().(type) {
	case *pg.Node_AArrayExpr:
		return len(x.AArrayExpr.Elements) > 0 && !slices.ContainsFunc(x.AArrayExpr.Elements, func(n *pg.Node) bool {
			return !isConstant(n) && n.GetParamRef() == nil && !a.scalars(n, sc) && !a.builtinType(n)
		})
	case *pg.Node_TypeCast:
		return a.builtinType(n)
	case *pg.Node_FuncCall:
		names := stringsOf(x.FuncCall.Funcname)
		return len(names) == 1 && textArrays[names[0]] && len(a.users(names, -1)) == 0
	case *pg.Node_ColumnRef:
		typ := a.typeOf(stringsOf(x.ColumnRef.Fields), sc)
		return strings.HasSuffix(typ, "[]") && !strings.ContainsAny(typ, `."`)
	}
	return false
}

// builtinType reports whether an expression is a cast to a type of PostgreSQL's own,
// none of which is a row but record.
func (a *analysis) builtinType(n *pg.Node) bool {
	t := n.GetTypeCast().GetTypeName()
	if t == nil || t.PctType {
		return false
	}
	names := stringsOf(t.Names)
	last := strings.TrimPrefix(names[len(names)-1], "_")
	if !builtinTypes[last] || len(names) > 2 || len(names) == 2 && names[0] != "pg_catalog" {
		return false
	}
	if len(names) == 2 || a.reader.catalog == nil {
		return true
	}
	for _, s := range a.session.Path {
		if s == "pg_catalog" {
			return true
		}
		if _, ok := a.reader.catalog.Type(s, last); ok {
			return false
		}
	}
	return false
}

var (
	// textArrays names functions of pg_catalog that return arrays of plain values.
	textArrays = set(`string_to_array regexp_split_to_array regexp_match parse_ident`)
	// builtinTypes names common types of pg_catalog.
	builtinTypes = set(`int2 int4 int8 float4 float8 numeric bool text varchar bpchar name char date time timetz timestamp
		timestamptz interval uuid bytea json jsonb oid inet cidr regclass regtype xid money`)
)

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
	a.makes(a.created(into.Rel, Create), everything)
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

// created notes a new relation, and returns its name.
func (a *analysis) created(v *pg.RangeVar, verb bastion.Verb) string {
	if v == nil {
		return ""
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
	return fullName(schema, v.Relname)
}

// everything stands for all columns of a table in [Reading.Made].
const everything = "*"

// makes notes that the statement chooses values of a column, or gives them its name.
func (a *analysis) makes(relation, column string) {
	if relation != "" && column != "" {
		a.made = append(a.made, relation+"."+column)
	}
}

// insert reads INSERT.
func (a *analysis) insert(s *pg.InsertStmt, up *scope) answer {
	a.seen[s] = true
	sc := a.with(s.WithClause, up)
	e := a.target(s.Relation, Insert)
	a.inserts(e, s.Cols, sc)
	var put []copied
	if s.SelectStmt != nil {
		rows := a.query(s.SelectStmt, sc)
		a.copies(rows)
		put = a.fills(e, s.Cols, rows)
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
				f := a.expr(x.GetExpr(), sc)
				if x.GetName() != "" {
					f, _, _ = sc.column(x.GetName())
				}
				a.probe(f, f.straight()) // whether there is a row of that value
			}
			a.where(i.WhereClause, sc)
		}
		if c.Action == pg.OnConflictAction_ONCONFLICT_UPDATE {
			a.action(Update, e.prefix[:len(e.prefix)-1])
			excluded := &entry{alias: "excluded", fields: e.fields, loose: e.loose, prefix: e.prefix, assumed: e.assumed}
			both := &scope{up: sc.up, ctes: sc.ctes, items: []item{sc.items[0], {entries: []*entry{excluded}, loose: e.loose}}}
			put = append(put, a.assign(e, c.TargetList, both)...)
			a.where(c.WhereClause, both)
		}
	}
	sc.receives(e, put)
	return a.targets(s.ReturningList, sc)
}

// copied is what flows into a column that is written.
type copied struct {
	name string
	flow flow
}

// fills tells what flows into the columns of an INSERT.
func (a *analysis) fills(e *entry, list []*pg.Node, rows answer) (put []copied) {
	for i, f := range rows.fields {
		switch {
		case i < len(list):
			put = append(put, copied{list[i].GetResTarget().GetName(), f.flow})
		case len(list) == 0 && i < len(e.fields):
			put = append(put, copied{e.fields[i].name, f.flow})
		}
	}
	return put
}

// receives notes what was written into e, the first in the scope, for RETURNING: the
// values are those that were written.
func (sc *scope) receives(e *entry, put []copied) {
	fields := slices.Clone(e.fields)
	for _, p := range put {
		g := flow{columns: p.flow.columns, derived: true, mixed: true}
		for i := range fields {
			if k := &fields[i]; (k.name == p.name || k.generated) && !k.flow.covers(g) {
				k.flow = k.flow.with(g)
			}
		}
	}
	e.fields, sc.items[0].fields = fields, fields
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

// inserts reads the list of columns of an INSERT.
func (a *analysis) inserts(e *entry, list []*pg.Node, sc *scope) {
	names := make([]string, 0, len(list))
	for _, n := range list {
		t := n.GetResTarget()
		a.seen[t] = true
		a.indirection(t.GetIndirection(), sc)
		names = append(names, t.GetName())
	}
	a.sets(e, names, len(list) == 0)
}

// sets notes that columns of e are written; all means all that can be.
func (a *analysis) sets(e *entry, names []string, all bool) {
	if all {
		if e.loose {
			a.write(unreadable)
		}
		for i := range e.fields {
			if !e.fields[i].generated {
				names = append(names, e.fields[i].name)
			}
		}
	}
	for _, name := range names {
		f, ok := e.of(name)
		if !ok || len(f.columns) == 0 {
			a.write(e.prefix + name)
		}
		for _, c := range f.columns {
			a.write(c)
			if a.unique(c) {
				a.probe(flow{columns: []string{c}}, true) // whether it can be written tells whether it is there
			}
			if _, k := a.columnOf(c); k != nil {
				a.checks(k.References, true) // and so does whether the other table has it
				a.made = append(a.made, k.ReferencedBy...)
			}
		}
	}
}

// unique reports whether values of a column, schema.table.column, are compared when
// one is written.
func (a *analysis) unique(column string) bool {
	_, c := a.columnOf(column)
	return c != nil && c.Unique
}

func (a *analysis) write(column string) {
	a.spend(1 + len(a.writes)/64)
	if !slices.Contains(a.writes, column) {
		a.writes = append(a.writes, column)
	}
}

// assign reads SET: what flows into a column is copied.
func (a *analysis) assign(e *entry, list []*pg.Node, sc *scope) (put []copied) {
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			a.refuse("the SET holds something that this bastion does not know")
		}
		a.seen[t] = true
		a.sets(e, []string{t.Name}, false)
		a.indirection(t.Indirection, sc)
		f := a.expr(t.Val, sc)
		a.probe(f, false)
		put = append(put, copied{t.Name, f})
	}
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.GetResTarget().GetName()
	}
	a.constrained(e, names)
	return put
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
	put := a.assign(e, s.TargetList, sc)
	a.where(s.WhereClause, sc)
	sc.receives(e, put)
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
	a.referred(e)
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
	var put []copied
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
			a.referred(e)
		case pg.CmdType_CMD_NOTHING:
		default:
			a.refuse("the MERGE does something that this bastion does not know")
		}
		a.where(w.Condition, sc)
		if w.CommandType == pg.CmdType_CMD_INSERT {
			a.inserts(e, w.TargetList, sc)
		} else {
			put = append(put, a.assign(e, w.TargetList, sc)...)
		}
		var rows answer
		for _, n := range w.Values {
			f := a.expr(n, sc)
			a.probe(f, false)
			rows.fields = append(rows.fields, field{flow: f})
		}
		put = append(put, a.fills(e, w.TargetList, rows)...)
	}
	sc.receives(e, put)
	return a.targets(s.ReturningList, sc)
}

func pick(cond bool, yes, no bastion.Verb) bastion.Verb {
	if cond {
		return yes
	}
	return no
}
