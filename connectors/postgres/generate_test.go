package postgres_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	generateSeed  = flag.Uint64("generate.seed", 20, "seed of the generated queries; 0 chooses one")
	generateCount = flag.Int("generate.count", 300, "how many queries to generate")
	generateFor   = flag.Duration("generate.for", 0, "generate queries for so long, instead of a number of them")
)

// A generator writes random queries over the shop. It knows by construction which
// base columns flow into each output column and which are compared, and so is an
// oracle of its own: simple, for it decides before it writes what a reader has to
// find out afterwards.
type generator struct {
	r     *rand.Rand
	names int
	// probed: a hidden column decides about rows, order or errors somewhere.
	probed bool
	// risky: an expression may fail on some value.
	risky bool
	// plain: where windows may not stand.
	plain bool
}

// kind is the type of a generated expression, as far as it matters to put it somewhere.
type kind int

const (
	number kind = iota
	word
	moment
	truth
	document
	list
	kinds // how many can be asked for
	other // what only * gives
)

// expression is a piece of text, what type it has, and whether hidden columns flow in.
type expression struct {
	text   string
	kind   kind
	hidden bool
}

// relation is what stands in FROM: a name and its columns.
type relation struct {
	text    string // as it stands in FROM
	alias   string
	columns []expression // text is the column's name
}

// The shop's tables as the generator knows them. Hidden columns are those that
// labels hide.
var shopTables = map[string][]expression{
	"customers": {{"id", number, false}, {"name", word, false}, {"email", word, true}, {"phone", word, true}, {"national_id", word, true},
		{"date_of_birth", moment, true}, {"city", word, false}, {"country", word, false}, {"created_at", moment, false}, {"notes", word, false}},
	"products": {{"id", number, false}, {"sku", word, false}, {"name", word, false}, {"price", number, false}, {"attributes", document, false}, {"tags", list, false}},
	"orders": {{"id", number, false}, {"customer_id", number, false}, {"status", other, false}, {"total", number, false}, {"placed_at", moment, false},
		{"shipped_at", moment, false}},
	"order_items": {{"order_id", number, false}, {"product_id", number, false}, {"quantity", number, false}, {"price", number, false},
		{"line_total", number, false}},
	"payments": {{"id", number, false}, {"order_id", number, false}, {"customer_id", number, false}, {"amount", number, false}, {"currency", word, false},
		{"card_number", word, true}, {"card_expiry", word, true}, {"card_holder", word, true}, {"iban", word, true}, {"status", other, false}, {"paid_at", moment, false}},
	"employees": {{"id", number, false}, {"name", word, false}, {"email", word, true}, {"salary", number, true}, {"iban", word, true},
		{"manager_id", number, false}, {"hired_on", moment, false}},
	"audit_log": {{"id", number, false}, {"at", moment, false}, {"actor", word, false}, {"action", word, false}, {"customer_id", number, false},
		{"detail", document, true}},
	"audit_log_2024": {{"id", number, false}, {"at", moment, false}, {"actor", word, false}, {"action", word, false}, {"customer_id", number, false},
		{"detail", document, true}},
	"customer_overview": {{"id", number, false}, {"name", word, false}, {"contact", word, true}, {"city", word, false}, {"country", word, false},
		{"orders", number, false}, {"spent", number, false}, {"last_order_at", moment, false}},
	"daily_revenue": {{"day", moment, false}, {"currency", word, false}, {"payments", number, false}, {"revenue", number, false}},
}

var shopTableNames = func() []string {
	var names []string
	for n := range shopTables {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}()

func (g *generator) pick(from ...string) string { return from[g.r.IntN(len(from))] }
func (g *generator) chance(percent int) bool    { return g.r.IntN(100) < percent }
func (g *generator) name() string {
	g.names++
	return fmt.Sprintf("%s%d", g.pick("a", "b", "t", "q", "city", "name", "Email "), g.names)
}

// written is a name as it must be written.
func written(name string) string {
	if strings.ContainsAny(name, " E") {
		return `"` + name + `"`
	}
	return name
}

// query writes a SELECT with the given number of columns, or any number for 0.
// want is the kinds that the columns must have, if not nil.
func (g *generator) query(depth int, want []kind) (string, []expression) {
	if want == nil && depth > 0 && g.chance(15) {
		return g.setOperation(depth)
	}
	var with string
	var named []relation
	if depth > 0 && g.chance(20) {
		for range 1 + g.r.IntN(2) {
			text, columns := g.query(depth-1, nil)
			n := g.name()
			var list []string
			r := relation{text: written(n), alias: n}
			for i := range columns {
				c := fmt.Sprintf("c%d", i+1)
				list = append(list, c)
				columns[i].text = c
			}
			r.columns = columns
			named = append(named, r)
			with += g.pick(", ", ", ", ",\n") + written(n) + " (" + strings.Join(list, ", ") + ") AS " + g.pick("", "", "MATERIALIZED ", "NOT MATERIALIZED ") + "(" + text + ")"
		}
		with = "WITH " + strings.TrimLeft(with, ", \n") + " "
	}
	from, scope := g.from(depth, named)
	where := ""
	if g.chance(35) {
		where = " WHERE " + g.condition(scope)
	}
	if want == nil && g.chance(15) {
		text, out := g.grouped(scope)
		return with + fmt.Sprintf(text, " FROM "+from+where), out
	}
	var out []expression
	var list []string
	if want == nil && g.chance(8) { // everything
		out = append(out, scope...)
		list = []string{"*"}
	} else {
		if want == nil {
			for range 1 + g.r.IntN(4) {
				want = append(want, kind(g.r.IntN(int(kinds))))
			}
		}
		for _, k := range want {
			e := g.expression(k, 3, scope, depth)
			out = append(out, e)
			t := e.text
			if g.chance(40) {
				t += g.pick(" AS ", " ") + written(g.name())
			}
			list = append(list, t)
		}
	}
	tail := ""
	if g.chance(25) {
		e := g.expression(kind(g.r.IntN(3)), 1, g.mostly(scope), 0)
		g.probed = g.probed || e.hidden
		if strings.Trim(e.text, "0123456789") == "" {
			e.text += "::int" // a bare number is that of an output column
		}
		tail = " ORDER BY " + e.text + g.pick("", " DESC", " NULLS FIRST")
	}
	if g.chance(25) {
		tail += fmt.Sprint(" LIMIT ", 1+g.r.IntN(20))
		if g.chance(30) {
			tail += fmt.Sprint(" OFFSET ", g.r.IntN(5))
		}
	}
	return with + "SELECT " + strings.Join(list, ", ") + " FROM " + from + where + tail, out
}

// scratch is a table to write to, whose columns are clean.
const scratch = `CREATE TABLE scratch (k int, n numeric, w text); INSERT INTO scratch SELECT k, k, 'w' || k FROM generate_series(1, 8) k; GRANT ALL ON scratch TO shop_app`

// modifying writes a statement in WITH that changes scratch and returns something, and a
// query that may look at it.
func (g *generator) modifying() (with, text string, out []expression) {
	// What is written into a clean column must be clean.
	put := func(e expression) expression {
		g.probed = g.probed || e.hidden
		return e
	}
	var change string
	var returned []expression
	if g.chance(35) {
		rows, columns := g.query(1, []kind{number, word})
		n, w := put(columns[0]), put(columns[1])
		change = "INSERT INTO scratch (k, n, w) SELECT 1, x.* FROM (" + rows + ") x"
		returned = []expression{{"k", number, false}, {"n", number, n.hidden}, {"w", word, w.hidden}, {"w || n", word, n.hidden || w.hidden}}
	} else {
		table := g.pick("customers", "employees", "payments", "products")
		scope := []expression{{"s.k", number, false}, {"s.n", number, false}, {"s.w", word, false}}
		for _, c := range shopTables[table] {
			scope = append(scope, expression{"t." + c.text, c.kind, c.hidden})
		}
		before := g.plain
		g.plain = true
		where := " WHERE s.k = t.id"
		if g.chance(30) {
			where += " AND " + g.condition(scope)
		}
		if g.chance(50) {
			change = "DELETE FROM scratch s USING " + table + " t" + where
		} else {
			e := put(g.expression(word, 2, g.mostly(scope), 0))
			change = "UPDATE scratch s SET w = " + e.text + " FROM " + table + " t" + where
			scope[2].hidden = e.hidden
		}
		for range 1 + g.r.IntN(3) {
			returned = append(returned, g.expression(kind(g.r.IntN(4)), 2, scope, 0))
		}
		g.plain = before
	}
	m := relation{text: "m", alias: "m"}
	var names, list []string
	for i, e := range returned {
		names, list = append(names, fmt.Sprintf("c%d", i+1)), append(list, e.text)
		m.columns = append(m.columns, expression{names[i], e.kind, e.hidden})
	}
	from, scope := g.from(1, []relation{m})
	list2 := make([]string, 0, 3)
	for range 1 + g.r.IntN(3) {
		e := g.expression(kind(g.r.IntN(int(kinds))), 2, scope, 0)
		out, list2 = append(out, e), append(list2, e.text)
	}
	return "WITH m (" + strings.Join(names, ", ") + ") AS (" + change + " RETURNING " + strings.Join(list, ", ") + ") ", "SELECT " + strings.Join(list2, ", ") + " FROM " + from, out
}

// undone runs what changes something in a transaction that is rolled back.
func undone[T any](run func(string) (T, error)) func(string) (T, error) {
	return func(text string) (out T, err error) {
		if !strings.HasPrefix(text, "WITH m ") {
			return run(text)
		}
		if out, err = run("BEGIN"); err != nil {
			return out, err
		}
		out, err = run(text)
		if _, rerr := run("ROLLBACK"); rerr != nil {
			return out, rerr
		}
		return out, err
	}
}

// grouped writes a list of groups and aggregates, with a place for the rest.
func (g *generator) grouped(scope []expression) (string, []expression) {
	by := expression{"1", number, false}
	if clean := g.mostly(scope); len(clean) > 0 {
		by = clean[g.r.IntN(len(clean))]
	}
	if by.kind == document {
		by = expression{"1", number, false}
	}
	g.probed = g.probed || by.hidden
	out := []expression{by}
	list := []string{by.text}
	for range 1 + g.r.IntN(3) {
		e := g.aggregate(scope)
		out, list = append(out, e), append(list, e.text)
	}
	group := " GROUP BY " + by.text
	if by.text == "1" {
		group = ""
	} else if g.chance(20) {
		group = " GROUP BY " + g.pick("ROLLUP", "CUBE") + " (" + by.text + ")"
	}
	if g.chance(15) {
		e := g.aggregate(scope)
		g.probed = g.probed || e.hidden
		group += " HAVING " + e.text + " IS NOT NULL"
	}
	return "SELECT " + strings.ReplaceAll(strings.Join(list, ", "), "%", "%%") + "%s" + strings.ReplaceAll(group, "%", "%%"), out
}

func (g *generator) aggregate(scope []expression) expression {
	k := kind(g.r.IntN(4))
	e := g.column(k, scope)
	var f expression
	switch {
	case g.chance(20):
		f = expression{"count(*)", number, false}
	case g.chance(30):
		f = expression{"array_agg(" + e.text + ")", list, e.hidden}
	case g.chance(20):
		f = expression{"json_agg(" + e.text + ")", document, e.hidden}
	case k == number:
		f = expression{g.pick("sum", "avg", "min", "max", "count") + "(" + e.text + ")", number, e.hidden}
	case k == word:
		f = expression{g.pick("min(%s)", "max(%s)", "string_agg(%s, ',')", "count(%s)"), word, e.hidden}
		f.text = fmt.Sprintf(f.text, e.text)
	case k == moment:
		f = expression{g.pick("min", "max") + "(" + e.text + ")", moment, e.hidden}
	default:
		f = expression{g.pick("bool_and", "bool_or", "every") + "(" + e.text + ")", truth, e.hidden}
	}
	if strings.HasPrefix(f.text, "array_agg(") && g.chance(50) || strings.HasPrefix(f.text, "count(") && f.text != "count(*)" && g.chance(50) {
		// The input is sorted, for other aggregates as well.
		if by := g.column(word, scope); strings.HasPrefix(f.text, "array_agg(") && g.chance(50) {
			f.text = strings.TrimSuffix(f.text, ")") + " ORDER BY " + by.text + ")"
			f.hidden = f.hidden || by.hidden
		} else if k != document {
			f.text = strings.Replace(f.text, "(", "(DISTINCT ", 1)
		}
		f = g.fails(f)
	}
	if g.chance(15) {
		f.text += " FILTER (WHERE " + g.condition(scope) + ")"
	}
	return f
}

// setOperation writes a set operation of two queries with the same kinds of columns.
func (g *generator) setOperation(depth int) (string, []expression) {
	var want []kind
	for range 1 + g.r.IntN(3) {
		want = append(want, kind(g.r.IntN(4)))
	}
	l, lc := g.query(depth-1, want)
	r, rc := g.query(depth-1, want)
	op := g.pick("UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "EXCEPT ALL")
	out := make([]expression, len(want))
	for i := range out {
		out[i] = expression{"?", want[i], lc[i].hidden || rc[i].hidden}
		if op != "UNION ALL" {
			g.probed = g.probed || out[i].hidden
		}
	}
	return "(" + l + ") " + op + " (" + r + ")", out
}

// from writes a FROM list and returns its columns, as they can be named.
func (g *generator) from(depth int, named []relation) (string, []expression) {
	var scope []expression
	text := ""
	last := g.r.IntN(3)
	for i := range last + 1 {
		lateral := scope
		r := g.source(depth, named, lateral)
		columns := make([]expression, len(r.columns))
		for j, c := range r.columns {
			columns[j] = expression{written(r.alias) + "." + c.text, c.kind, c.hidden}
		}
		switch {
		case i == 0:
			text = r.text
		case g.chance(20):
			comma := ", "
			if i < last { // a join that follows would not see what is before the comma
				comma = " CROSS JOIN "
			}
			text += g.pick(comma, " CROSS JOIN ") + r.text
		default:
			both := slices.Concat(scope, columns)
			on := ""
			a, b := g.column(number, g.mostly(scope)), g.column(number, g.mostly(columns))
			if g.chance(85) {
				on = a.text + " = " + b.text
				g.probed = g.probed || a.hidden || b.hidden
			} else {
				on = g.condition(both)
			}
			// FULL needs a condition that can be merged.
			text += g.pick(" JOIN ", " JOIN ", " LEFT JOIN ") + r.text + " ON " + on
		}
		scope = append(scope, columns...)
	}
	return text, scope
}

// source writes one item of FROM, with an alias of its own.
func (g *generator) source(depth int, named []relation, lateral []expression) relation {
	alias := g.name()
	switch {
	case len(named) > 0 && g.chance(60):
		r := named[g.r.IntN(len(named))]
		r.text, r.alias = r.text+" AS "+written(alias), alias
		return r
	case depth > 0 && g.chance(30):
		text, columns := g.query(depth-1, nil)
		columns = slices.Clone(columns)
		var list []string
		for i := range columns {
			columns[i].text = fmt.Sprintf("d%d", i+1)
			list = append(list, columns[i].text)
		}
		return relation{"(" + text + ") AS " + written(alias) + " (" + strings.Join(list, ", ") + ")", alias, columns}
	case lateral != nil && g.chance(10):
		a, b := g.expression(word, 2, lateral, 0), g.expression(number, 2, lateral, 0)
		return relation{"LATERAL (SELECT " + a.text + ", " + b.text + ") " + written(alias) + " (l1, l2)", alias,
			[]expression{{"l1", word, a.hidden}, {"l2", number, b.hidden}}}
	case lateral != nil && g.chance(10):
		before := g.plain
		g.plain = true
		a, b := g.expression(word, 2, lateral, 0), g.expression(number, 2, lateral, 0)
		g.plain = before
		return relation{"LATERAL (VALUES (" + a.text + ", " + b.text + ")) " + written(alias) + " (l1, l2)", alias,
			[]expression{{"l1", word, a.hidden}, {"l2", number, b.hidden}}}
	case g.chance(8):
		return relation{"generate_series(1, 3) AS " + written(alias) + " (n)", alias, []expression{{"n", number, false}}}
	case g.chance(8):
		return relation{"(VALUES (1, 'x'), (2, 'y')) AS " + written(alias) + " (n, w)", alias, []expression{{"n", number, false}, {"w", word, false}}}
	}
	table := shopTableNames[g.r.IntN(len(shopTableNames))]
	columns := shopTables[table]
	text := g.pick(table, "public."+table, `"`+table+`"`)
	if g.chance(20) { // columns by other names
		columns = slices.Clone(columns)
		n := 1 + g.r.IntN(len(columns))
		var list []string
		for i := range n {
			columns[i].text = fmt.Sprintf("r%d", i+1)
			list = append(list, columns[i].text)
		}
		return relation{text + " AS " + written(alias) + " (" + strings.Join(list, ", ") + ")", alias, columns}
	}
	return relation{text + g.pick(" AS ", " ") + written(alias), alias, columns}
}

// column picks a column of a kind, or makes a constant of it.
func (g *generator) column(k kind, scope []expression) expression {
	var fit []expression
	for _, c := range scope {
		if c.kind == k {
			fit = append(fit, c)
		}
	}
	if len(fit) > 0 {
		return fit[g.r.IntN(len(fit))]
	}
	switch k {
	case number:
		return expression{fmt.Sprint(g.r.IntN(100)), k, false}
	case word:
		return expression{g.pick("'x'::text", "'Berlin'::text", "''::text"), k, false}
	case moment:
		return expression{g.pick("date '2024-02-01'", "timestamptz '2024-03-01 10:00Z'"), k, false}
	case truth:
		return expression{g.pick("true", "false", "NULL::boolean"), k, false}
	case document:
		return expression{`'{"k": 1}'::jsonb`, k, false}
	}
	return expression{"ARRAY['x', 'y']", k, false}
}

// mostly leaves the hidden columns out, most of the time: a query that filters by one
// is refused, and tells no more.
func (g *generator) mostly(scope []expression) []expression {
	if g.chance(10) {
		return scope
	}
	return slices.DeleteFunc(slices.Clone(scope), func(e expression) bool { return e.hidden })
}

// condition writes something that decides about rows.
func (g *generator) condition(scope []expression) string {
	before := g.plain
	g.plain = true
	e := g.expression(truth, 2, g.mostly(scope), 0)
	g.plain = before
	g.probed = g.probed || e.hidden
	return e.text
}

// expression writes an expression of a kind.
func (g *generator) expression(k kind, depth int, scope []expression, queries int) expression {
	if depth == 0 || g.chance(35) {
		return g.column(k, scope)
	}
	sub := func(k kind) expression { return g.expression(k, depth-1, scope, queries) }
	// made puts expressions into a form; hidden ones make it hidden.
	made := func(form string, parts ...expression) expression {
		e := expression{kind: k}
		args := make([]any, len(parts))
		for i, p := range parts {
			args[i], e.hidden = p.text, e.hidden || p.hidden
		}
		e.text = fmt.Sprintf(form, args...)
		return e
	}
	// decides is made where the first part decides what is computed.
	decides := func(form string, parts ...expression) expression {
		g.probed = g.probed || parts[0].hidden
		return made(form, parts...)
	}
	if queries > 0 && g.chance(10) { // one value of another query
		text, columns := g.query(0, []kind{k})
		return expression{"(SELECT " + "* FROM (" + text + ") s LIMIT 1)", k, columns[0].hidden}
	}
	if g.chance(10) {
		return decides("CASE WHEN %s THEN %s ELSE %s END", g.expression(truth, depth-1, g.mostly(scope), 0), sub(k), sub(k))
	}
	if k != document && g.chance(10) {
		both := g.alike(k, depth, scope)
		g.fails(both[0]) // the second may be one that fails, if it is computed
		return made(g.pick("coalesce(%s, %s)", "greatest(%s, %s)", "least(%s, %s)"), both...)
	}
	if !g.plain && g.chance(8) && k != document && k != list {
		e, p, o := g.column(k, scope), g.column(word, g.mostly(scope)), g.column(number, g.mostly(scope))
		g.probed = g.probed || o.hidden || p.hidden
		return made(g.pick("first_value", "last_value", "lag")+"(%s) OVER (PARTITION BY %s ORDER BY %s)", e, p, o)
	}
	switch k {
	case number:
		if g.chance(3) { // fails for some rows, for reasons that anybody may know
			return g.fails(made("(%s / (%s - %s))", sub(number), g.column(number, g.mostly(scope)), g.column(number, g.mostly(scope))))
		}
		switch g.r.IntN(7) {
		case 0:
			return made(g.pick("length(%s)", "ascii(%s)", "octet_length(%s)"), g.safe(sub(word)))
		case 1:
			return g.fails(made("(%s "+g.pick("+", "-", "*")+" %s)", sub(number), sub(number)))
		case 2:
			return g.fails(made(g.pick("round(%s::numeric, 1)", "abs(%s)", "(- %s)", "%s::text::numeric"), sub(number)))
		case 3:
			return made("extract("+g.pick("year", "month", "day")+" FROM %s)", sub(moment))
		case 4:
			return made("cardinality(%s)", g.safe(sub(list)))
		case 5:
			return made("num_nulls(%s, %s)", sub(word), sub(number))
		default:
			return g.column(number, scope)
		}
	case word:
		switch g.r.IntN(10) {
		case 0:
			return made("(%s || %s)", sub(word), sub(word))
		case 1:
			return made(g.pick("upper(%s)", "lower(%s)", "initcap(%s)", "reverse(%s)", "md5(%s)", "btrim(%s)"), sub(word))
		case 2:
			if g.chance(30) { // fails where the length is negative
				return made(g.pick("substr(%s, 2, 3)", "substring(%s FROM 1 FOR 4)"), g.safe(sub(word)))
			}
			return made(g.pick("left(%s, 5)", "right(%s, 4)", "split_part(%s, 'e', 1)"), sub(word))
		case 3:
			if g.chance(20) {
				return made("format('%%s', %s)", g.safe(sub(kind(g.r.IntN(int(kinds))))))
			}
			return made(g.pick("%s::text", "CAST(%s AS text)", "%s::varchar", "concat(%s, '!')"), sub(kind(g.r.IntN(int(kinds)))))
		case 4:
			return made("concat_ws('-', %s, %s)", sub(word), sub(number))
		case 5:
			return made("(%s ->> 'k')", g.column(document, scope))
		case 6:
			return made("replace(%s, 'a', %s)", sub(word), sub(word))
		case 7:
			return made("(%s)[1]", g.safe(sub(list)))
		case 8:
			return made("array_to_string(%s, ',')", g.safe(sub(list)))
		default:
			return made("to_json(%s)::text", g.safe(sub(kind(g.r.IntN(int(kinds))))))
		}
	case moment:
		switch g.r.IntN(3) {
		case 0:
			return made("date_trunc('"+g.pick("month", "year", "day")+"', %s)", sub(moment))
		case 1:
			return g.fails(made("(%s + interval '1 day')", sub(moment)))
		default:
			return g.column(moment, scope)
		}
	case truth:
		if g.chance(25) {
			// What decides first decides whether the rest is computed.
			k := kind(g.r.IntN(2))
			parts := []expression{sub(k), sub(k), sub(k)}
			for i := range parts {
				parts[i].text = "(" + parts[i].text + ")::" + map[kind]string{number: "numeric", word: "text"}[k]
				parts[i] = g.fails(parts[i])
			}
			switch g.r.IntN(5) {
			case 0:
				return made("(%s "+g.pick("IN", "NOT IN")+" (%s, %s))", parts...)
			case 1:
				return made("(%s "+g.pick("BETWEEN", "NOT BETWEEN")+" %s AND %s)", parts...)
			case 2:
				return made("((%s, %s) "+g.pick("=", "<", "<>", "IS DISTINCT FROM")+" (%s, 'x'))", parts[0], g.fails(g.column(word, scope)), parts[1])
			case 3:
				return made("(nullif(%s, %s) IS NULL)", parts[:2]...)
			}
			text, columns := g.query(0, []kind{k})
			inner := expression{"SELECT (x)::" + map[kind]string{number: "numeric", word: "text"}[k] + " FROM (" + text + ") s (x)", k, columns[0].hidden}
			return made("(%s "+g.pick("IN", "NOT IN", "= ANY", "<> ALL", "< ALL")+" (%s))", parts[0], g.fails(inner))
		}
		switch g.r.IntN(7) {
		case 0:
			return made("(%s "+g.pick("=", "<>", "<", ">", "<=", ">=")+" %s)", sub(number), sub(number))
		case 1:
			return made("(%s "+g.pick("=", "<>", "<", ">")+" %s)", sub(word), sub(word))
		case 2:
			return made("(%s "+g.pick("LIKE '%%a%%'", "NOT LIKE 'x%%'", "ILIKE 'B%%'", "~ '^[a-m]'", "IN ('x', 'Berlin')", "= ANY ('{x,y}')", "BETWEEN 'a' AND 'm'")+")", sub(word))
		case 3:
			return made("(%s "+g.pick("IS NULL", "IS NOT NULL")+")", sub(kind(g.r.IntN(3))))
		case 4:
			a, b := g.expression(truth, depth-1, g.mostly(scope), 0), g.expression(truth, depth-1, g.mostly(scope), 0)
			g.probed = g.probed || a.hidden || b.hidden // one decides whether the other is computed
			return made("(%s "+g.pick("AND", "OR")+" %s)", a, b)
		case 5:
			return made("(NOT %s)", sub(truth))
		default:
			return made("(%s "+g.pick("<", ">=", "IS DISTINCT FROM")+" %s)", sub(moment), sub(moment))
		}
	case document:
		if g.chance(20) && len(scope) > 0 {
			// A whole row.
			at := scope[g.r.IntN(len(scope))].text
			if dot := strings.LastIndexByte(at, '.'); dot > 0 {
				row := expression{at[:dot], other, false}
				for _, c := range scope {
					row.hidden = row.hidden || strings.HasPrefix(c.text, at[:dot+1]) && c.hidden
				}
				return made(g.pick("to_jsonb(%s)", "row_to_json(%s)::jsonb", "jsonb_build_array(%s)"), g.fails(row))
			}
		}
		switch g.r.IntN(4) {
		case 0:
			return made("jsonb_build_object('a', %s, 'b', %s)", sub(word), sub(number))
		case 1:
			return made("to_jsonb(%s)", g.safe(sub(kind(g.r.IntN(5)))))
		case 2:
			return made("jsonb_build_array(%s, %s)", sub(number), sub(kind(g.r.IntN(5))))
		default:
			return g.column(document, scope)
		}
	}
	switch g.r.IntN(3) {
	case 0:
		return made("ARRAY[%s::text, %s::text]", sub(word), sub(number))
	case 1:
		return made("string_to_array(%s, ' ')", g.safe(sub(word)))
	default:
		return g.column(list, scope)
	}
}

// alike gives two expressions of exactly one type.
func (g *generator) alike(k kind, depth int, scope []expression) []expression {
	as := map[kind]string{number: "numeric", word: "text", moment: "timestamptz", truth: "boolean", list: "text[]"}[k]
	var both []expression
	for range 2 {
		e := g.expression(k, depth-1, scope, 0)
		if k != word { // a cast may fail
			e = g.fails(e)
		}
		e.text = "(" + e.text + ")::" + as
		both = append(both, e)
	}
	return both
}

// safe marks what a careful reader may count as a probe: functions that are not
// known to give a result for every argument.
func (g *generator) safe(e expression) expression { return g.fails(e) }

// fails marks an expression that may fail on some value: if it is hidden, failing
// tells of it, so that it may be refused.
func (g *generator) fails(e expression) expression {
	g.risky = g.risky || e.hidden
	return e
}

// TestGenerated compares random queries with what they give directly. Every column
// that the generator knows to be clean comes back exactly; no planted value shows;
// a refusal needs a hidden column that decides something, or that may fail.
func TestGenerated(t *testing.T) {
	t.Parallel()
	seed := *generateSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (-generate.seed=%[1]d)", seed)
	s := plantSmall(t, "generated", 5)
	plantSmall(t, "generated_twin", 6) // differs in hidden values alone
	for _, database := range []string{"generated", "generated_twin"} {
		if _, err := server.Query(t.Context(), database, scratch); err != nil {
			t.Fatal(err)
		}
	}
	net := newDragnet(s.secrets, longDigits)
	setup := (&grounds{}).setup("generated", false)
	direct, through, trusted := directly(t, "generated"), atConsole(t, setup), approved(t, setup)
	atTwin := atConsole(t, (&grounds{}).setup("generated_twin", false))
	direct, through, trusted.run, atTwin = undone(direct), undone(through), undone(trusted.run), undone(atTwin)
	const patience = "SET statement_timeout = '3s'" // some join all with all
	_, err1 := direct(patience)
	_, err2 := through(patience)
	_, err3 := trusted.run(patience)
	_, err4 := atTwin(patience)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	var n, failed, refused, clean, masked, wrong int
	for ; wrong < 10 && (*generateFor > 0 && time.Since(start) < *generateFor || *generateFor == 0 && n < *generateCount); n++ {
		g := &generator{r: rand.New(rand.NewPCG(seed, uint64(n)))}
		var with, text string
		var columns []expression
		if g.chance(12) {
			with, text, columns = g.modifying()
		} else {
			text, columns = g.query(2, nil)
		}
		text = with + "SELECT * FROM (" + text + ") LIMITED (" + names(len(columns)) + ") LIMIT 300"
		complain := func(format string, args ...any) {
			wrong++
			t.Errorf("query %d of seed %d: "+format+"\n%s", append(append([]any{n, seed}, args...), text)...)
		}
		want, err := direct(text)
		if err != nil && strings.Contains(err.Error(), "57014") {
			continue
		}
		if err != nil {
			failed++
		}
		// With filters approved, what comes back is masked all the same.
		received, _ := trusted.run(text)
		if w := net.search(string(received), text); w != "" {
			complain("shows %s where filters are approved", w)
			continue
		}
		got, berr := through(text)
		if w := net.search(fmt.Sprint(got.columns, got.rows, got.tag, berr), text); w != "" {
			complain("shows %s", w)
			continue
		}
		twin, terr := atTwin(text)
		if here, there := quiet(fmt.Sprint(got, berr)), quiet(fmt.Sprint(twin, terr)); here != there && !strings.Contains(here+there, "57014") {
			complain("tells twins apart:\n%.600s\n%.600s", here, there)
			continue
		}
		switch {
		case err != nil && berr != nil, berr != nil && strings.Contains(berr.Error(), "57014"):
			continue
		case err != nil:
			complain("fails directly (%v) and runs through the bastion", err)
			continue
		case berr != nil:
			refused++
			if !g.probed && !g.risky {
				complain("is refused (%v), though no hidden column decides anything", berr)
			}
			continue
		}
		if len(want.rows) != len(got.rows) || len(want.columns) != len(columns) {
			complain("%d rows and not %d, %d columns and not %d", len(got.rows), len(want.rows), len(want.columns), len(columns))
			continue
		}
		for i, c := range columns {
			if c.hidden {
				masked++
				if !got.hidden[i] {
					complain("does not hide column %d", i+1)
					break
				}
				continue
			}
			clean++
			if got.hidden[i] {
				complain("hides column %d, into which nothing hidden flows", i+1)
				break
			}
			for j := range want.rows {
				if want.rows[j][i] != got.rows[j][i] {
					complain("row %d of column %d is %q and not %q", j+1, i+1, got.rows[j][i], want.rows[j][i])
					break
				}
			}
		}
	}
	t.Logf("%d queries: %d fail by themselves, %d refused, %d clean columns equal, %d hidden columns masked", n, failed, refused, clean, masked)
	if n > 100 && clean < n/4 {
		t.Errorf("only %d clean columns were compared: the generator or the reader is too careful", clean)
	}
}

func names(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("o%d", i+1))
	}
	return strings.Join(list, ", ")
}
