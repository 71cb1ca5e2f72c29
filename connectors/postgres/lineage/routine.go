package lineage

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// arguments are those of a call, in order.
type arguments struct {
	flows    []flow
	names    []string // empty where the argument has none
	variadic bool     // the last one is the list of a variadic function, as it is
}

// maxRoutines bounds how deep functions may call each other.
const maxRoutines = 8

// body is a parsed function: its statements, or one expression for RETURN.
type body struct {
	statements []*pg.Node
	result     *pg.Node
	defaults   []*pg.Node
}

// routine reads a call of a user's function: by what it does, if it can be looked
// into, else as one that may do anything. shaped tells that the columns of its result
// are known.
func (a *analysis) routine(fn *catalog.Function, given arguments, args flow) (result flow, fields []field, shaped bool) {
	names, row := resultNames(fn)
	if out, ok := a.look(fn, given, args); ok {
		all := a.flows(out).computed()
		switch {
		case names == nil:
			return all, nil, false
		case len(out.fields) == len(names):
			fields = slices.Clone(out.fields)
			for i := range fields {
				fields[i] = field{name: names[i], flow: fields[i].flow.computed()}
			}
		default: // one column that is a row, or none at all
			for _, n := range names {
				fields = append(fields, field{name: n, flow: all})
			}
		}
		return all, fields, true
	}
	f := a.opaque(fn, args).with(args)
	for i, n := range names {
		g := f
		if row != nil { // rows of a table are that table's, whoever returns them
			g = g.with(flow{columns: row.Columns[i].Sources})
			result = result.with(g)
		}
		fields = append(fields, field{name: n, flow: g})
	}
	return result.with(f), fields, names != nil
}

// Types of results.
const (
	oidRecord        = 2249
	oidAnyElement    = 2283
	oidAnyCompatible = 5077
)

// resultNames returns the names of the columns of a result that is a row, and the
// relation whose rows it is, if there is one. One empty name stands for a single
// value; nil for what is not known.
func resultNames(fn *catalog.Function) ([]string, *catalog.Relation) {
	switch {
	case len(fn.Columns) > 0:
		return fn.Columns, nil
	case fn.Row != nil:
		names := make([]string, len(fn.Row.Columns))
		for i := range names {
			names[i] = fn.Row.Columns[i].Name
		}
		if len(names) == 0 {
			return nil, nil
		}
		return names, fn.Row
	case fn.Returns == 0 || fn.Returns == oidRecord || fn.Returns == oidAnyElement || fn.Returns == oidAnyCompatible:
		return nil, nil
	}
	return []string{""}, nil
}

// look reads the body of a function in LANGUAGE sql with what flows into its
// arguments. What it does counts as done by the statement.
func (a *analysis) look(fn *catalog.Function, given arguments, args flow) (out answer, ok bool) {
	b := fn.Body
	if b == nil || b.Calls || len(a.routines) >= maxRoutines || slices.Contains(a.routines, b) {
		return out, false
	}
	sub := &analysis{reader: a.reader, seen: map[any]bool{}, actions: map[bastion.Action]bool{}, inView: a.inView, views: a.views,
		depth: a.depth, steps: a.steps, routines: append(slices.Clip(a.routines), b), calling: true, runtime: a.runtime}
	sub.session.Ran = a.session.Ran
	defer func() { a.steps = sub.steps }()
	for _, x := range b.Checks {
		if e := sub.check(x); e.effects || e.unsettles {
			return out, false
		}
	}
	if slices.ContainsFunc(b.Settings, func(s string) bool { return !harmless[s] }) {
		return out, false
	}
	if b.Pinned {
		if sub.runtime, ok = pinned(b.Path, a.session.Path, a.runtime); !ok {
			return out, false
		}
	}
	switch {
	case b.Standard:
		sub.session.Path = []string{"pg_catalog"}
	case sub.runtime == nil || b.Definer && !b.Pinned:
		return out, false
	default:
		sub.session.Path = sub.runtime
		// A schema that the function's user may not use is left out by the server.
		sub.strict = b.Pinned
	}
	code := a.reader.body(b)
	if code == nil {
		return out, false
	}
	if sub.parameters, ok = sub.bind(fn, given, code); !ok {
		return out, false
	}
	if len(code.statements) > 1 || len(code.statements) == 1 && code.statements[0].GetSelectStmt() == nil {
		sub.calling = false // an argument may come back by a table
	}
	sc := sub.arguments(fn)
	ok = sub.guard(func() {
		if code.result != nil {
			out = answer{known: true, fields: []field{{flow: sub.expr(code.result, sc)}}}
		}
		for _, s := range code.statements {
			out = sub.query(s, sc)
		}
		for _, s := range append(slices.Clip(code.statements), code.result) {
			if s != nil && unseen(s, sub.seen) != "" {
				sub.refuse("a function cannot be looked into")
			}
		}
	})
	if b.Void {
		out = answer{known: true}
	}
	if !ok || !out.known {
		return out, false
	}
	if fn.Volatile || b.Definer {
		a.action(Function, fullName(fn.Schema, fn.Name))
	}
	for _, x := range sub.order {
		a.action(x.Verb, x.Resource)
	}
	for _, p := range sub.probes {
		a.oneProbe(p)
	}
	a.decides(sub.filters, sub.settable)
	for _, w := range sub.writes {
		a.write(w)
	}
	a.reads, a.under = append(a.reads, sub.reads...), append(a.under, sub.under...)
	a.effects, a.unsettles = a.effects || sub.effects, a.unsettles || sub.unsettles
	a.system, a.unknown = a.system || sub.system, a.unknown || sub.unknown
	for i := range out.fields {
		f := &out.fields[i].flow
		f.argument = f.argument && args.argument
		a.folded = a.folded.with(f.computed())
	}
	return out, true
}

// defines reads a function that is about to be made. What its body compares and copies
// counts now, for whoever calls it did not write it; what cannot be read may do
// anything.
func (a *analysis) defines(f *pg.CreateFunctionStmt) {
	text, language, path := "", "", a.session.Path
	if f.SqlBody != nil {
		language = "sql"
	}
	for _, n := range f.Options {
		d := n.GetDefElem()
		switch d.GetDefname() {
		case "language":
			language = strings.ToLower(optionText(d.Arg))
		case "as":
			if items := d.Arg.GetList().GetItems(); len(items) == 1 {
				text = nameOf(items[0])
			}
		case "set":
			path = nil // names mean something else then
		}
	}
	code := &body{}
	if f.SqlBody == nil {
		code = parseBody(&catalog.Body{Text: text, Void: true})
	} else if !code.standard(f.SqlBody) {
		code = nil
	}
	if language != "sql" || code == nil || path == nil {
		a.code()
		return
	}
	fn := &catalog.Function{Body: &catalog.Body{}}
	if len(f.Funcname) > 0 {
		fn.Name = nameOf(f.Funcname[len(f.Funcname)-1])
	}
	sub := &analysis{reader: a.reader, session: Session{Path: path}, runtime: path, seen: map[any]bool{}, actions: map[bastion.Action]bool{},
		depth: a.depth, steps: a.steps, routines: []*catalog.Body{fn.Body}}
	for _, n := range f.Parameters {
		p := n.GetFunctionParameter()
		switch p.GetMode() {
		case pg.FunctionParameterMode_FUNC_PARAM_OUT, pg.FunctionParameterMode_FUNC_PARAM_TABLE:
			continue
		}
		fn.Body.Parameters = append(fn.Body.Parameters, p.GetName())
		sub.parameters = append(sub.parameters, flow{argument: true})
	}
	sc := sub.arguments(fn)
	ok := sub.guard(func() {
		sub.expr(code.result, sc)
		for _, s := range code.statements {
			sub.query(s, sc)
		}
	})
	a.steps = sub.steps
	for _, p := range sub.probes {
		a.oneProbe(p)
	}
	if !ok {
		a.code()
	}
}

// bind tells what flows into each parameter.
func (a *analysis) bind(fn *catalog.Function, given arguments, code *body) ([]flow, bool) {
	n := len(fn.Types)
	flows, set := make([]flow, n), make([]bool, n)
	for i, f := range given.flows {
		at := i
		if name := given.names[i]; name != "" {
			at = slices.Index(fn.Body.Parameters, name)
		} else if fn.Variadic && !given.variadic && at >= n {
			at = n - 1
		}
		if at < 0 || at >= n {
			return nil, false
		}
		flows[at], set[at] = flows[at].with(f), true
	}
	for i := range flows {
		switch d := i - (n - fn.Optional); {
		case set[i]:
		case d >= 0 && d < len(code.defaults):
			flows[i] = a.expr(code.defaults[d], nil)
		case fn.Variadic && i == n-1:
		default:
			return nil, false
		}
		flows[i].argument = true
	}
	return flows, true
}

// arguments is the scope in which a body's names are looked up last.
func (a *analysis) arguments(fn *catalog.Function) *scope {
	it := item{fields: make([]field, 0, len(a.parameters))}
	for i, f := range a.parameters {
		name := fn.Body.Parameters[i]
		if name == "" {
			continue
		}
		it.fields = append(it.fields, field{name: name, flow: f})
		// name.field
		it.entries = append(it.entries, &entry{alias: name, loose: true, fill: f.computed(), filled: true})
	}
	it.entries = append(it.entries, &entry{alias: fn.Name, fields: it.fields})
	return &scope{items: []item{it}}
}

// maxBodies bounds how many parsed functions a reader keeps.
const maxBodies = 500

// body returns a function, parsed once; nil if it cannot be read.
func (r *Reader) body(b *catalog.Body) *body {
	r.mu.Lock()
	code, ok := r.bodies[b]
	r.mu.Unlock()
	if ok {
		return code
	}
	code = parseBody(b)
	r.mu.Lock()
	if len(r.bodies) < maxBodies {
		r.bodies[b] = code
	}
	r.mu.Unlock()
	return code
}

func parseBody(b *catalog.Body) *body {
	if strings.IndexByte(b.Text, 0) >= 0 || depth(b.Text) > maxDepth {
		return nil
	}
	code := &body{}
	if b.Defaults != "" {
		if code.defaults = expressions(b.Defaults); code.defaults == nil {
			return nil
		}
	}
	if !b.Standard {
		tree, err := pg.Parse(b.Text)
		if err != nil {
			return nil
		}
		for _, s := range tree.Stmts {
			code.statements = append(code.statements, s.Stmt)
		}
	} else {
		tree, err := pg.Parse("CREATE FUNCTION f() RETURNS int LANGUAGE sql " + b.Text)
		if err != nil || len(tree.Stmts) != 1 {
			return nil
		}
		if !code.standard(tree.Stmts[0].Stmt.GetCreateFunctionStmt().GetSqlBody()) {
			return nil
		}
	}
	if len(code.statements) == 0 && code.result == nil && !b.Void || !code.queries() {
		return nil
	}
	return code
}

// standard takes a body in the standard's form.
func (b *body) standard(n *pg.Node) bool {
	if r := n.GetReturnStmt(); r != nil {
		b.result = r.Returnval
		return true
	}
	for _, l := range n.GetList().GetItems() {
		b.statements = append(b.statements, l.GetList().GetItems()...)
	}
	return b.queries()
}

// queries reports whether all statements are such as are looked into.
func (b *body) queries() bool {
	return !slices.ContainsFunc(b.statements, func(s *pg.Node) bool {
		if q := s.GetSelectStmt(); q != nil {
			return q.IntoClause != nil
		}
		return s.GetInsertStmt() == nil && s.GetUpdateStmt() == nil && s.GetDeleteStmt() == nil && s.GetMergeStmt() == nil
	})
}

// pinned reads a search_path as it is set for a function, and adds what PostgreSQL
// searches besides. ok is false if it depends on who runs the function.
func pinned(path string, sessions ...[]string) (schemas []string, ok bool) {
	temporary := ""
	for _, p := range sessions {
		for _, s := range p {
			if strings.HasPrefix(s, "pg_temp_") {
				temporary = s
			}
		}
	}
	temp := false
	for i := 0; i < len(path); {
		t := next(path, i)
		i = t.end
		name := path[t.start:t.end]
		switch t.kind {
		case blank:
			continue
		case word:
			name = strings.ToLower(name)
		case quoted:
			if name[0] != '"' {
				return nil, false
			}
			name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
		case punct:
			if name != "," {
				return nil, false
			}
			continue
		default:
			return nil, false
		}
		switch name {
		case "$user":
			return nil, false
		case "pg_temp":
			temp = true
			if name = temporary; name == "" {
				continue
			}
		}
		schemas = append(schemas, name)
	}
	if !slices.Contains(schemas, "pg_catalog") {
		schemas = append([]string{"pg_catalog"}, schemas...)
	}
	if !temp && temporary != "" {
		schemas = append([]string{temporary}, schemas...)
	}
	return schemas, true
}
