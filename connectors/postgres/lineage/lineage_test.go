package lineage_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// shop is a small catalog of a few tables.
func shop() *catalog.Snapshot {
	table := func(schema, name string, columns ...string) *catalog.Relation {
		r := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.Table}
		for i, c := range columns {
			r.Columns = append(r.Columns, catalog.Column{Name: c, Number: int16(i + 1)})
		}
		return r
	}
	whole := table("public", "log", "id", "detail")
	part := table("public", "log_2024", "id", "detail")
	part.Parents = []*catalog.Relation{whole}
	view := table("public", "contacts", "who", "mail")
	view.Kind, view.Definition = catalog.View, "SELECT c.name AS who, lower(c.email) AS mail FROM public.customers c"
	calling := table("public", "calls", "x")
	calling.Kind, calling.Definition = catalog.View, "SELECT public.act(1) AS x"
	generated := table("public", "sums", "a", "b", "total")
	generated.Columns[2].Generated = "(a + b)"
	return catalog.New(catalog.Content{
		Schemas:   []string{"public", "other"},
		Relations: []*catalog.Relation{table("public", "customers", "id", "name", "email", "city"), table("other", "customers", "id", "x"), whole, part, view, calling, generated},
		Functions: []catalog.Function{{Schema: "public", Name: "act", Types: []string{"integer"}, Returns: 23},
			{Schema: "public", Name: "citext_lower", Types: []string{"text"}, Transparent: true},
			{Schema: "public", Name: "upper", Types: []string{"public.checked"}, Returns: 25}},
		Operators: []catalog.Operator{{Schema: "public", Name: "@@@", Function: catalog.Function{Schema: "public", Name: "act", Types: []string{"text", "text"}}},
			{Schema: "other", Name: "=", Function: catalog.Function{Schema: "other", Name: "eq", Types: []string{"text", "text"}}}},
		Types: []catalog.Type{{Schema: "public", Name: "checked", Calls: true}},
	}, nil)
}

var session = lineage.Session{Path: []string{"pg_catalog", "public"}}

func TestOutputs(t *testing.T) {
	r := lineage.NewReader(shop())
	for text, want := range map[string][]mask.Column{
		"SELECT email FROM customers":               {{Name: "email", Sources: []string{"public.customers.email"}, Proven: true}},
		"SELECT mail FROM contacts":                 {{Name: "mail", Sources: []string{"public.contacts.mail", "public.customers.email"}, Proven: true, Derived: true}},
		"SELECT x FROM calls":                       {{Name: "x", Sources: []string{"public.calls.x"}, Derived: true, Opaque: []string{"public.act(integer)"}}},
		"SELECT detail FROM log_2024":               {{Name: "detail", Sources: []string{"public.log_2024.detail", "public.log.detail"}, Proven: true}},
		"SELECT total FROM sums":                    {{Name: "total", Sources: []string{"public.sums.total", "public.sums.a", "public.sums.b"}, Proven: true, Derived: true}},
		"SELECT citext_lower(email) FROM customers": {{Name: "citext_lower", Sources: []string{"public.customers.email"}, Proven: true, Derived: true}},
		"SELECT upper('x')":                         {{Name: "upper", Derived: true, Opaque: []string{"public.upper(public.checked)"}}}, // public.upper may be meant
		"SELECT pg_catalog.upper('x')":              {{Name: "upper", Proven: true, Derived: true}},
		"SELECT name @@@ 'x' FROM customers":        {{Name: "?column?", Sources: []string{"public.customers.name"}, Derived: true, Opaque: []string{"public.act(text, text)"}}},
		"SELECT name::checked FROM customers":       {{Name: "name", Sources: []string{"public.customers.name"}, Derived: true}},
		"SELECT x FROM other.customers":             {{Name: "x", Sources: []string{"other.customers.x"}, Proven: true}},
		"WITH RECURSIVE r (a, b) AS (SELECT '', email FROM customers UNION ALL SELECT b, a FROM r) SELECT a FROM r": {
			{Name: "a", Sources: []string{"public.customers.email"}, Proven: true, Mixed: true}},
	} {
		rd, err := r.Read(text, session)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, rd.Intent.Outputs); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

func TestActions(t *testing.T) {
	r := lineage.NewReader(shop())
	for text, want := range map[string][]bastion.Action{
		"SELECT * FROM calls":      {{Verb: "select", Resource: "public.calls"}, {Verb: "function", Resource: "public.act"}},
		"DELETE FROM contacts":     {{Verb: "delete-all", Resource: "public.contacts"}, {Verb: "delete-all", Resource: "public.customers"}},
		"SELECT 1 @@@ 2":           {{Verb: "function", Resource: "public.act"}},
		"SELECT 1 = 2":             {{Verb: "select"}}, // other is not on the path
		"SELECT 'x'::checked":      {{Verb: "function", Resource: "public.checked"}},
		"DELETE FROM log_2024":     {{Verb: "delete-all", Resource: "public.log_2024"}, {Verb: "delete-all", Resource: "public.log"}},
		"SELECT c.act FROM log c":  {{Verb: "select", Resource: "public.log"}, {Verb: "function", Resource: "public.act"}},
		"TABLE pg_temp.t":          {{Verb: "select", Resource: "pg_temp.t"}},
		"SELECT pg_read_file('x')": {{Verb: "server-file"}},
	} {
		rd, err := r.Read(text, session)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, rd.Intent.Actions); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

// TestKept: what runs later, when nobody says it, is code.
func TestKept(t *testing.T) {
	r := lineage.NewReader(shop())
	for text, verb := range map[string]bastion.Verb{
		"CREATE VIEW v AS SELECT set_config('search_path', 'x', false)":                 lineage.Define,
		"CREATE TABLE t (x text DEFAULT set_config('search_path', 'x', false))":         lineage.Define,
		"CREATE TABLE t (x text CHECK (set_config('role', x, false) <> ''))":            lineage.Define,
		"ALTER TABLE log ALTER detail SET DEFAULT set_config('role', 'x', false)":       lineage.Define,
		"CREATE DOMAIN d AS text CHECK (set_config('role', VALUE, false) <> '')":        lineage.Define,
		"CREATE SCHEMA s CREATE VIEW v AS SELECT set_config('search_path', 'x', false)": lineage.Define,
		"CREATE COLLATION c (provider = icu, locale = 'und', deterministic = false)":    lineage.Define,
		"CREATE TABLE t (x timestamp DEFAULT now())":                                    lineage.Create,
		"UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'":               lineage.SettingMeaning,
		"SELECT query_to_xml('SELECT pg_advisory_lock(1)', true, false, '')":            lineage.Do,
		"SELECT ts_rewrite('a'::tsquery, 'SELECT 1')":                                   lineage.Do,
		"SELECT * FROM ts_stat('SELECT 1')":                                             lineage.Do,
	} {
		rd, err := r.Read(text, session)
		if err != nil || rd.Intent.Verb != verb {
			t.Errorf("%s: %v, %+v; want %s", text, err, rd, verb)
		}
	}
}

// TestMoves: values that would be read under another name, and constraints that
// compare values, are probes.
func TestMoves(t *testing.T) {
	r := lineage.NewReader(shop())
	for text, column := range map[string]string{
		"ALTER TABLE customers RENAME COLUMN email TO e":                                                     "public.customers.email",
		"ALTER TABLE customers RENAME TO people":                                                             "public.customers.email",
		"ALTER INDEX customers RENAME TO people":                                                             "public.customers.email",
		"ALTER TABLE customers SET SCHEMA other":                                                             "public.customers.email",
		"ALTER SCHEMA public RENAME TO x":                                                                    "?",
		"ALTER TABLE customers INHERIT log":                                                                  "public.customers.email",
		"ALTER TABLE log_2024 NO INHERIT log":                                                                "public.log.detail",
		"ALTER TABLE log ATTACH PARTITION customers DEFAULT":                                                 "public.customers.email",
		"ALTER TABLE log DETACH PARTITION log_2024":                                                          "public.log.detail",
		"CREATE UNIQUE INDEX ON customers (email)":                                                           "public.customers.email",
		"CREATE INDEX ON customers (id, email) INCLUDE (name)":                                               "public.customers.email",
		"CREATE INDEX ON customers (lower(email))":                                                           "public.customers.email",
		"CLUSTER customers USING i":                                                                          "public.customers.email",
		"CLUSTER customers":                                                                                  "public.customers.email",
		"CLUSTER":                                                                                            "?",
		"ALTER TABLE customers CLUSTER ON i":                                                                 "public.customers.email",
		"ALTER TABLE customers ADD EXCLUDE USING btree (email WITH =)":                                       "public.customers.email",
		"INSERT INTO customers (email) VALUES ('x') ON CONFLICT (email) DO NOTHING":                          "public.customers.email",
		"INSERT INTO customers (email) VALUES ('x') ON CONFLICT (lower(email)) DO NOTHING":                   "public.customers.email",
		"DO 'BEGIN END'":                                                                                     "?",
		"CALL nowhere()":                                                                                     "?",
		"CREATE TRIGGER t BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION f()":                      "?",
		"ALTER TABLE customers ENABLE TRIGGER t":                                                             "?",
		"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN END'":                                    "?",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'CREATE TABLE x (y int)'":                           "?",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = other AS 'SELECT 1'":                 "?",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT id FROM customers WHERE email LIKE 'a%'$$": "public.customers.email",
		"CREATE FUNCTION f() RETURNS int RETURN (SELECT id FROM customers WHERE email LIKE 'a%')":            "public.customers.email",
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'UPDATE customers SET name = email'":               "public.customers.email",
		"CREATE FUNCTION f(customers) RETURNS int BEGIN ATOMIC SELECT 1; SELECT id FROM customers ORDER BY email; END": "public.customers.email",
		"ALTER FUNCTION act(int) STABLE":                                                      "?",
		"ALTER FUNCTION act(int) RENAME TO trusted":                                           "?",
		"CREATE CAST (int AS text) WITH FUNCTION act(int) AS IMPLICIT":                        "?",
		"SELECT query_to_xml('SELECT 1', true, false, '')":                                    "?",
		"ALTER TABLE customers ADD UNIQUE (id, email)":                                        "public.customers.email",
		"ALTER TABLE customers ADD FOREIGN KEY (email) REFERENCES log (detail)":               "public.customers.email",
		"CREATE TABLE t (x text REFERENCES customers (email))":                                "public.customers.email",
		"CREATE TABLE t (i int, x text, FOREIGN KEY (i, x) REFERENCES customers (id, email))": "public.customers.email",
	} {
		rd, err := r.Read(text, session)
		if err != nil || !slices.ContainsFunc(rd.Intent.Probes, func(p bastion.Probe) bool { return p.Column == column }) {
			t.Errorf("%s: %v, %+v; want a probe of %s", text, err, rd, column)
		}
	}
	rd, err := r.Read("SELECT detail FROM log", session)
	if err != nil || !slices.Contains(rd.Intent.Outputs[0].Sources, "public.log_2024.detail") {
		t.Errorf("the whole does not count as its parts: %v, %+v", err, rd)
	}
	for _, text := range []string{"CREATE INDEX ON customers ((1))", "ALTER TABLE customers RENAME CONSTRAINT a TO b",
		"CREATE FUNCTION f(x int) RETURNS text LANGUAGE sql AS 'SELECT email FROM customers'", "CREATE FUNCTION f() RETURNS text RETURN (SELECT max(c.email) FROM customers c)"} {
		if rd, err := r.Read(text, session); err != nil || len(rd.Intent.Probes) > 0 {
			t.Errorf("%s: %v, %+v", text, err, rd)
		}
	}
}

// TestUncommitted: a transaction that changed the schema sees another catalog
// than we do, so nothing is proven and nothing may be compared.
func TestUncommitted(t *testing.T) {
	s := session
	s.Uncommitted = true
	rd, err := lineage.NewReader(shop()).Read("SELECT city FROM customers", s)
	if err != nil {
		t.Fatal(err)
	}
	if rd.Intent.Outputs[0].Proven || !slices.Contains(rd.Intent.Probes, bastion.Probe{Column: "?"}) {
		t.Errorf("got %+v", rd.Intent)
	}
}

// TestAbsent: most often a name that no table has is a slip, and people are told.
func TestAbsent(t *testing.T) {
	for text, why := range map[string]string{
		"SELECT name FROM customers WHERE citty = 'x'":          `no table that it names has a column "citty"`,
		"SELECT count(*) FROM customers GROUP BY citty":         `no table that it names has a column "citty"`,
		"SELECT name FROM customers WHERE city = 'x'":           "",
		"SELECT name FROM nosuch WHERE city = 'x'":              "",
		"SELECT name AS n FROM customers ORDER BY n":            "",
		"SELECT 1 FROM customers c WHERE c IS NOT NULL":         "",
		"SELECT name FROM customers WHERE ctid = '(0,1)'::tid":  "",
		"SELECT act(1) FROM customers ORDER BY act(1)":          "",
		"SELECT x FROM generate_series(1, 3) x ORDER BY x DESC": "",
	} {
		rd, err := lineage.NewReader(shop()).Read(text, session)
		if err != nil {
			t.Fatal(text, err)
		}
		got := ""
		for _, p := range rd.Intent.Probes {
			got += p.Why
		}
		if got != why {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{ // the last element is the rest
		"":                                 {""},
		" ; ;; ":                           {""},
		"SELECT 1":                         {"SELECT 1"},
		"SELECT 1;":                        {"SELECT 1", ""},
		"SELECT 1; SELECT 2 ; x":           {"SELECT 1", "SELECT 2", "x"},
		"SELECT ';' ; -- a; b\n":           {"SELECT ';'", ""},
		"SELECT 'it''s; x'; y":             {"SELECT 'it''s; x'", "y"},
		`SELECT E'\'; x'; y`:               {`SELECT E'\'; x'`, "y"},
		"SELECT E'a'\n'\\'; x'; y":         {"SELECT E'a'\n'\\'; x'", "y"},
		`SELECT '\'; x`:                    {`SELECT '\'`, "x"},
		`SELECT "a;""b"; x`:                {`SELECT "a;""b"`, "x"},
		`SELECT U&"a;" ; U&'b;'; x`:        {`SELECT U&"a;"`, `U&'b;'`, "x"},
		"SELECT $$a;b$$; x":                {"SELECT $$a;b$$", "x"},
		"SELECT $q$a;$$;b$q$; x":           {"SELECT $q$a;$$;b$q$", "x"},
		"SELECT a$b$; x$b$":                {"SELECT a$b$", "x$b$"},
		"SELECT $1; x":                     {"SELECT $1", "x"},
		"/* a; /* b; */ c; */ SELECT 1; x": {"/* a; /* b; */ c; */ SELECT 1", "x"},
		"/* a; /* b; */":                   {"/* a; /* b; */"},
		"SELECT 'a; b":                     {"SELECT 'a; b"},
		"SELECT $$a; b":                    {"SELECT $$a; b"},
		"CREATE RULE r AS ON DELETE TO t DO (SELECT 1; SELECT 2); x": {"CREATE RULE r AS ON DELETE TO t DO (SELECT 1; SELECT 2)", "x"},
		"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; x": {
			"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END", "x"},
		"CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END; x": {"CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END", "x"},
		"BEGIN; SELECT 1; END; x": {"BEGIN", "SELECT 1", "END", "x"},
		"SELECT 1+--;\n2; x":      {"SELECT 1+--;\n2", "x"},
		"SELECT 1/*;*/; x":        {"SELECT 1/*;*/", "x"},
	} {
		got, rest := lineage.Split(text)
		if d := cmp.Diff(want, append(got, rest)); d != "" {
			t.Errorf("Split(%q) (-want +got):\n%s", text, d)
		}
	}
}

// TestDeep: no text is so deep that the parser, which is written in C, runs out
// of stack and takes the process with it.
func TestDeep(t *testing.T) {
	r := lineage.NewReader(shop())
	repeat := strings.Repeat
	for name, text := range map[string]string{
		"sums":        "SELECT 1" + repeat("+1", 400_000),
		"unions":      "SELECT 1" + repeat(" UNION SELECT 1", 60_000),
		"with commas": "SELECT 1, 2" + repeat(" UNION SELECT 1, 2", 50_000),
		"joins":       "SELECT 1 FROM a" + repeat(" JOIN a ON true", 60_000),
		"joined":      "SELECT 1 FROM a" + repeat(" NATURAL JOIN a", 60_000),
		"casts":       "SELECT 1" + repeat("::int", 150_000),
		"nots":        "SELECT " + repeat("NOT ", 200_000) + "true",
		"parentheses": "SELECT " + repeat("(", 200_000) + "1" + repeat(")", 200_000),
		"subqueries":  "SELECT " + repeat("(SELECT ", 20_000) + "1" + repeat(")", 20_000),
		"arrays":      "SELECT " + repeat("ARRAY[", 100_000) + "1" + repeat("]", 100_000),
		"cases":       "SELECT " + repeat("CASE WHEN true AND ", 50_000) + "true" + repeat(" THEN 1 END", 50_000),
		"zones":       "SELECT now()" + repeat(" AT TIME ZONE 'UTC'", 50_000),
		"zones 2":     "SELECT now()" + repeat(" AT LOCAL", 100_000),
		"nulls":       "SELECT 1" + repeat(" IS NULL", 100_000),
		"nulls 2":     "SELECT 1" + repeat(" ISNULL", 100_000),
		"collations":  "SELECT 'a'" + repeat(` COLLATE "C"`, 80_000),
		"minus":       "SELECT " + repeat("- ", 400_000) + "1",
		"operators":   "SELECT 1" + repeat(" OPERATOR(pg_catalog.+) 1", 40_000),
		"likes":       "SELECT 'a'" + repeat(" LIKE 'a'", 100_000),
		"json":        "SELECT 'a'" + repeat(" IS JSON", 100_000),
		"explains":    repeat("EXPLAIN ", 100_000) + "SELECT 1",
		"intervals":   "SELECT " + repeat("interval ", 100_000) + "'1'",
		"subscripts":  "SELECT a" + repeat("[1]", 300_000),
		"fields":      "SELECT a" + repeat(".b", 400_000),
		"ands":        "SELECT 1 WHERE true" + repeat(" AND true", 100_000),
		"values":      "VALUES (1)" + repeat(", (-1)", 150_000),
	} {
		if len(text) > bastion.MaxText {
			text = text[:bastion.MaxText]
		}
		_, err := r.Read(text, session)
		if pe, ok := errors.AsType[*bastion.ParseError](err); err != nil && (!ok || len(pe.Message) > 200) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
	// Just what is allowed is read.
	for _, text := range []string{"SELECT 1" + repeat("+1", 900), "SELECT 1 WHERE 1 = 1" + repeat(" OR 1 = 2", 5000), "SELECT 1 IN (1" + repeat(", 1", 50_000) + ")", "SELECT 1" + repeat(" UNION ALL SELECT 1", 900)} {
		if _, err := r.Read(text, session); err != nil {
			t.Errorf("%.40s…: %v", text, err)
		}
	}
}

// writes reports whether a tree holds a statement that changes something.
func writes(m protoreflect.Message) (found bool) {
	switch m.Interface().(type) {
	case *pg.InsertStmt, *pg.UpdateStmt, *pg.DeleteStmt, *pg.MergeStmt, *pg.IntoClause, *pg.LockingClause, *pg.CopyStmt, *pg.DoStmt, *pg.CallStmt:
		return true
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.Message() == nil:
		case d.IsList():
			for i := range v.List().Len() {
				found = found || writes(v.List().Get(i).Message())
			}
		default:
			found = found || writes(v.Message())
		}
		return !found
	})
	return found
}

// FuzzRead: no text panics, refusals are of the one type, and what is read as a
// mere query holds nothing that writes.
func FuzzRead(f *testing.F) {
	for _, path := range []string{"../testdata/statements.sql", "../testdata/attacks.sql", "../testdata/honest.sql", "../testdata/writes.sql"} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f.Add(strings.TrimSpace(line))
		}
	}
	c := shop()
	f.Fuzz(func(t *testing.T, text string) {
		rd, err := lineage.NewReader(c).Read(text, session)
		if err != nil {
			if _, ok := errors.AsType[*bastion.ParseError](err); !ok {
				t.Fatalf("refused by %T: %v", err, err)
			}
			return
		}
		if rd.Intent.Verb == "" || len(rd.Intent.Actions) == 0 {
			t.Fatalf("read into nothing: %+v", rd.Intent)
		}
		for _, a := range rd.Intent.Actions {
			if a.Verb != lineage.Select && a.Verb != lineage.Catalog {
				return
			}
		}
		tree, err := pg.Parse(text)
		if err != nil || len(tree.Stmts) != 1 {
			t.Fatalf("read, though the parser says %v", err)
		}
		if tree.Stmts[0].Stmt.GetSelectStmt() == nil || writes(tree.ProtoReflect()) {
			t.Fatalf("read as a query: %s", text)
		}
	})
}

// FuzzSplit: what Split calls statements are as many as the parser finds, and
// nothing of the text is lost.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"SELECT 1; SELECT ';'", "SELECT E'\\';'; x", "a $$;$$ b; /* ; */ c", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; SELECT 2", "SELECT 'a'\n'b';"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		statements, rest := lineage.Split(text)
		at := 0
		for _, s := range append(slices.Clone(statements), rest) {
			i := strings.Index(text[at:], s)
			if i < 0 {
				t.Fatalf("%q is not in the rest of %q", s, text)
			}
			at += i + len(s)
		}
		if len(text) > 1000 || strings.ContainsAny(text, "\x00") || strings.ToValidUTF8(text, "") != text {
			return
		}
		tree, err := pg.Parse(text)
		if err != nil {
			return
		}
		n := len(statements)
		if rest != "" {
			n++
		}
		if n != len(tree.Stmts) {
			t.Errorf("%q: %d statements, the parser finds %d: %q, %q", text, n, len(tree.Stmts), statements, rest)
		}
	})
}

const typical = "SELECT o.id, o.status, c.name, upper(c.email) FROM customers o JOIN log l ON l.id = o.id JOIN customers c ON c.id = o.id WHERE o.city = 'Bonn' AND c.id > 10 ORDER BY o.id DESC LIMIT 50"

func BenchmarkReadNew(b *testing.B) {
	c := shop()
	b.ReportAllocs()
	r := lineage.NewReader(c)
	for i := 0; b.Loop(); i++ {
		s := session
		s.Settings = string(rune(i)) // not in the cache
		if _, err := r.Read(typical, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadCached(b *testing.B) {
	r := lineage.NewReader(shop())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(typical, session); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParserAlone(b *testing.B) {
	for b.Loop() {
		if _, err := pg.Parse(typical); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCostly: no text keeps the reader busy for long. The budget is steps, so that
// the test asks for the refusal, not for a time.
func TestCostly(t *testing.T) {
	r := lineage.NewReader(shop())
	nest := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for name, c := range map[string]struct {
		text string
		read bool
	}{
		"recursive in recursive": {nest("WITH RECURSIVE a AS ((", "SELECT 1", ") UNION ALL SELECT 1 FROM a) SELECT * FROM a", 40), false},
		"columns on columns":     {nest("SELECT *, * FROM (", "SELECT 1", ") x", 40), false},
		"unions in with":         {nest("WITH a AS (SELECT 1 UNION (", "SELECT 1", ")) SELECT * FROM a", 40), true},
		"many alternatives":      {"DELETE FROM log WHERE id = 0" + strings.Repeat(" OR id = 1 OR id <> 2", 5000), true},
		"many nots":              {"DELETE FROM log WHERE id = 0" + strings.Repeat(" OR NOT id = 1", 5000), true},
	} {
		_, err := r.Read(c.text, session)
		if _, ok := errors.AsType[*bastion.ParseError](err); c.read && err != nil || !c.read && !ok {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// TestFixedSettings: what texts are read by may be set to what it is, and to nothing else.
func TestFixedSettings(t *testing.T) {
	for text, good := range map[string]bool{
		"SET client_encoding = 'UTF8'": true, "SET client_encoding TO unicode": true, "SET NAMES 'utf-8'": true, "SET LOCAL standard_conforming_strings = on": true,
		"SET standard_conforming_strings TO 'True'": true, "SET client_encoding = LATIN1": false, "SET NAMES 'sql_ascii'": false, "SET standard_conforming_strings = off": false,
		"SET standard_conforming_strings = 0": false, "SET standard_conforming_strings FROM CURRENT": false, "RESET standard_conforming_strings": false,
		"SET client_encoding TO DEFAULT": false, "SET backslash_quote = on": false, "SET client_encoding = 'UTF8', 'LATIN1'": false,
	} {
		_, err := lineage.NewReader(shop()).Read(text, session)
		if pe, ok := errors.AsType[*bastion.ParseError](err); good != (err == nil) || !good && !ok {
			t.Errorf("%s: %v %v", text, err, pe)
		}
	}
}
