package postgres_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

var plainSession = lineage.Session{Path: []string{"pg_catalog", "public"}}

// unsettling is a database in which writing to some tables runs code that changes
// settings, and to others only looks as if it did.
const unsettling = `
	CREATE FUNCTION turn() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''search_path'', ''other'', false); RETURN NEW; END';
	CREATE FUNCTION odd(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM set_config(''search_path'', ''other'', false); RETURN true; END';
	CREATE FUNCTION even(text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT length($1) > 0';
	CREATE FUNCTION deep(text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS 'SELECT upper($1)';
	CREATE FUNCTION low(text) RETURNS text LANGUAGE sql VOLATILE SET search_path = pg_catalog AS 'SELECT set_config(''role'', $1, false)';
	CREATE TABLE quiet (id serial PRIMARY KEY, name text NOT NULL DEFAULT 'x', at timestamptz DEFAULT now(), n int GENERATED ALWAYS AS (length(name)) STORED, CHECK (name <> ''));
	CREATE INDEX ON quiet (lower(name)) WHERE id > 0;
	CREATE TABLE triggered (id int); CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION turn();
	CREATE TABLE ruled (id int); CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT set_config('role', 'x', false);
	CREATE TABLE defaulted (id int, x text DEFAULT set_config('search_path', 'other', false));
	CREATE TABLE deepened (id int, x text DEFAULT deep('a')); CREATE TABLE lowered (id int, x text DEFAULT low('a'));
	CREATE TABLE checked (id int, x text CHECK (odd(x))); CREATE TABLE checked_even (id int, x text CHECK (pg_catalog.length(x) > 0));
	CREATE DOMAIN strange AS text CHECK (odd(VALUE)); CREATE DOMAIN stranger AS strange; CREATE TYPE holder AS (x stranger);
	CREATE TABLE domained (id int, x stranger); CREATE TABLE held (id int, x holder[]);
	CREATE DOMAIN tame AS text CHECK (VALUE ~ '^a'); CREATE TABLE tamed (id int, x tame);
	CREATE TABLE indexed (id int, x text); CREATE INDEX ON indexed ((odd(x)));
	CREATE TABLE secured (id int, x text); ALTER TABLE secured ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON secured USING (odd(x));
	CREATE TABLE tenants (id int, x text); ALTER TABLE tenants ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON tenants USING (x = current_setting('app.tenant', true));
	CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE); CREATE TRIGGER t BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION turn();
	CREATE TABLE referred (id int PRIMARY KEY); CREATE TABLE referring (id int REFERENCES referred); CREATE TRIGGER t BEFORE DELETE ON referring FOR EACH ROW EXECUTE FUNCTION turn();
	CREATE TABLE whole (id int) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF whole DEFAULT; CREATE TRIGGER t BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION turn();
	CREATE TABLE fine (id int) PARTITION BY HASH (id); CREATE TABLE fine_0 PARTITION OF fine FOR VALUES WITH (MODULUS 1, REMAINDER 0);
	CREATE VIEW over_quiet AS SELECT id, name FROM quiet; CREATE VIEW over_triggered AS SELECT id FROM triggered;
	CREATE VIEW instead AS SELECT id FROM quiet; CREATE TRIGGER t INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION turn();
	CREATE VIEW setting AS SELECT set_config('role', name, false) AS x FROM quiet;
	CREATE TYPE point2 AS (x int); CREATE FUNCTION make(int) RETURNS point2 LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''role'', ''x'', false); RETURN ROW($1); END';
	CREATE CAST (int AS point2) WITH FUNCTION make(int) AS ASSIGNMENT; CREATE TABLE cast_to (id int, p point2);
	CREATE SEQUENCE s;`

func TestUnsettles(t *testing.T) {
	c := admin(t, "unsettling", true)
	execute(t, c, unsettling)
	r := lineage.NewReader(catalogOf(t, "unsettling"))
	for text, want := range map[string]bool{
		"INSERT INTO quiet (name) VALUES ('a')":        false,
		"UPDATE quiet SET name = 'b' WHERE id = 1":     false,
		"DELETE FROM quiet":                            false,
		"INSERT INTO quiet DEFAULT VALUES RETURNING *": false,
		"INSERT INTO quiet (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = excluded.name": false,
		"MERGE INTO quiet q USING (VALUES (1)) v (i) ON q.id = v.i WHEN MATCHED THEN DELETE":    false,
		"WITH d AS (DELETE FROM quiet RETURNING id) SELECT id FROM d":                           false,
		"WITH d AS (INSERT INTO triggered VALUES (1) RETURNING id) SELECT id FROM d":            true,
		"COPY quiet FROM STDIN":                            false,
		"COPY quiet TO STDOUT":                             false,
		"COPY triggered FROM STDIN":                        true,
		"INSERT INTO triggered VALUES (1)":                 true,
		"SELECT id FROM triggered":                         false,
		"INSERT INTO ruled VALUES (1)":                     true,
		"INSERT INTO defaulted (id) VALUES (1)":            true,
		"INSERT INTO deepened (id) VALUES (1)":             false,
		"INSERT INTO lowered (id) VALUES (1)":              true,
		"INSERT INTO checked VALUES (1, 'x')":              true,
		"INSERT INTO checked_even VALUES (1, 'x')":         false,
		"INSERT INTO domained VALUES (1, 'x')":             true,
		"INSERT INTO held VALUES (1, NULL)":                true,
		"INSERT INTO tamed VALUES (1, 'a')":                false,
		"SELECT 'a'::tame, 'a'::tame[]":                    false,
		"SELECT 'a'::stranger":                             true,
		"SELECT '(a)'::holder":                             true,
		"INSERT INTO indexed VALUES (1, 'a')":              true,
		"INSERT INTO secured VALUES (1, 'a')":              true,
		"SELECT id FROM secured":                           true,
		"UPDATE tenants SET id = 1 WHERE id = 2":           false,
		"SELECT id FROM tenants":                           false,
		"DELETE FROM parent WHERE id = 1":                  true,
		"DELETE FROM referred WHERE id = 1":                false,
		"INSERT INTO whole VALUES (1)":                     true,
		"INSERT INTO part VALUES (1)":                      true,
		"INSERT INTO fine VALUES (1)":                      false,
		"UPDATE over_quiet SET name = 'x' WHERE id = 1":    false,
		"INSERT INTO over_triggered VALUES (1)":            true,
		"INSERT INTO instead VALUES (1)":                   true,
		"SELECT id FROM over_triggered":                    false,
		"SELECT x FROM setting":                            true,
		"INSERT INTO cast_to VALUES (1, 2)":                true,
		"INSERT INTO nowhere VALUES (1)":                   true,
		"SELECT nextval('s'), now(), pg_sleep(0)":          false,
		"SELECT set_config('work_mem', '1MB', false)":      true,
		"SELECT odd('x')":                                  true,
		"SELECT even('x'), deep('y')":                      false,
		"SELECT low('x')":                                  true,
		"EXPLAIN INSERT INTO triggered VALUES (1)":         false,
		"EXPLAIN ANALYZE INSERT INTO triggered VALUES (1)": true,
		"EXPLAIN SELECT odd('x')":                          true,
		"BEGIN":                                            false,
		"BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY":     false,
		"SAVEPOINT a":                                      false,
		"RELEASE a":                                        false,
		"COMMIT":                                           true,
		"ROLLBACK":                                         true,
		"ROLLBACK TO a":                                    true,
		"SET work_mem = '1MB'":                             false,
		"SET timezone = 'UTC'":                             true,
		"SET search_path = other":                          true,
		"SET CONSTRAINTS ALL IMMEDIATE":                    true,
		"SHOW search_path":                                 false,
		"PREPARE p AS INSERT INTO triggered VALUES (1)":    false,
		"DEALLOCATE p":                                     false,
		"DECLARE c CURSOR FOR SELECT odd(name) FROM quiet": true,
		"DECLARE c CURSOR FOR SELECT name FROM quiet":      false,
		"FETCH c":                              true, // it is not known
		"CLOSE c":                              false,
		"CREATE TEMP TABLE t (x int)":          true,
		"CREATE TABLE t AS SELECT 1":           true,
		"DO 'BEGIN END'":                       true,
		"CALL p()":                             true,
		"LISTEN x":                             false,
		"LOCK TABLE quiet":                     false,
		"TRUNCATE quiet":                       true,
		"VALUES (1)":                           false,
		"SELECT id INTO x FROM quiet":          true,
		"UPDATE pg_settings SET setting = 'x'": true,
	} {
		rd, err := r.Read(text, plainSession)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if rd.Unsettles != want {
			t.Errorf("%s: unsettles %v, want %v", text, rd.Unsettles, want)
		}
	}
	s := plainSession
	s.Cursors = map[string]lineage.OpenCursor{"q": {Text: "DECLARE q CURSOR FOR SELECT name FROM quiet", Path: s.Path}, "o": {Text: "DECLARE o CURSOR FOR SELECT odd(name) FROM quiet", Path: s.Path}}
	s.Prepared = func(string) (string, bool) { return "PREPARE p AS INSERT INTO triggered VALUES (1)", true }
	for text, want := range map[string]bool{"FETCH q": false, "MOVE q": false, "FETCH o": true, "MOVE o": true, "EXECUTE p": true} {
		if rd, err := r.Read(text, s); err != nil || rd.Unsettles != want {
			t.Errorf("%s: %v, %+v; want %v", text, err, rd, want)
		}
	}
}

// TestImplicitCasts: a function that PostgreSQL calls by itself is in no text.
func TestImplicitCasts(t *testing.T) {
	c := admin(t, "implicit", true)
	execute(t, c, `CREATE TABLE t (id int); CREATE TYPE p AS (x int);
		CREATE FUNCTION f(p) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END'; CREATE CAST (p AS int) WITH FUNCTION f(p) AS IMPLICIT`)
	rd, err := lineage.NewReader(catalogOf(t, "implicit")).Read("SELECT id FROM t", plainSession)
	if err != nil || !rd.Unsettles {
		t.Errorf("%v, %+v", err, rd)
	}
}

// TestOpaque: what is unproven for the sake of functions alone says so, by all names
// that a call can mean, and the rest of what is known is told as well.
func TestOpaque(t *testing.T) {
	f := world(t, "opaque")
	execute(t, f.conns[0], `CREATE FUNCTION procedural(a text, b int DEFAULT 1) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN a; END';
		CREATE FUNCTION spread(VARIADIC a text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN a[1]; END';
		CREATE FUNCTION doing() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
		CREATE FUNCTION mixed(n int) RETURNS text LANGUAGE sql AS 'SELECT p.secret || procedural(n) FROM people p WHERE id = n'`)
	r := lineage.NewReader(catalogOf(t, "opaque_0"))
	const one, two = "public.procedural(integer)", "public.procedural(text, integer)"
	for text, want := range map[string]struct {
		sources, opaque []string
		probes          []bastion.Probe
	}{
		"SELECT procedural(1)":                {nil, []string{one, two}, nil},
		"SELECT procedural(name) FROM people": {[]string{"public.people.name"}, []string{one, two}, []bastion.Probe{{Column: "public.people.name", By: one}, {Column: "public.people.name", By: two}}},
		"SELECT procedural(name, id) FROM people": {[]string{"public.people.name", "public.people.id"}, []string{two},
			[]bastion.Probe{{Column: "public.people.name", By: two}, {Column: "public.people.id", By: two}}},
		"SELECT public.spread(name, 'x', secret) FROM people": {[]string{"public.people.name", "public.people.secret"}, []string{"public.spread(text[])"},
			[]bastion.Probe{{Column: "public.people.name", By: "public.spread(text[])"}, {Column: "public.people.secret", By: "public.spread(text[])"}}},
		"SELECT spread(procedural(name, 1)) FROM people": {[]string{"public.people.name"}, []string{"public.spread(text[])", two},
			[]bastion.Probe{{Column: "public.people.name", By: two}, {Column: "public.people.name", By: "public.spread(text[])"}, {Column: "?", By: "public.spread(text[])"}}},
		"SELECT y FROM procedural_table()":                               {nil, []string{"public.procedural_table()"}, nil},
		"SELECT secret FROM procedural_rows()":                           {[]string{"public.people.secret"}, []string{"public.procedural_rows()"}, nil},
		"SELECT mixed(1)":                                                {[]string{"public.people.secret"}, []string{one, two}, []bastion.Probe{{Column: "public.people.id", Equality: true}}},
		"SELECT name FROM people WHERE procedural(1) = 'x'":              {[]string{"public.people.name"}, nil, []bastion.Probe{{Column: "?", By: one}, {Column: "?", By: two}}},
		"SELECT spread(query_to_xml('SELECT 1', true, false, '')::text)": {nil, nil, []bastion.Probe{{Column: "?"}, {Column: "?", By: "public.spread(text[])"}}},
		"SELECT pg_read_file('x') || spread('y')":                        {nil, nil, nil},
		"SELECT nosuch(name) FROM people":                                {[]string{"public.people.name"}, nil, []bastion.Probe{{Column: "public.people.name"}}},
	} {
		rd, err := r.Read(text, plainSession)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		o := rd.Intent.Outputs[0]
		if d := cmp.Diff(want.sources, o.Sources); d != "" {
			t.Errorf("%s: sources (-want +got):\n%s", text, d)
		}
		if d := cmp.Diff(want.opaque, o.Opaque); d != "" {
			t.Errorf("%s: functions (-want +got):\n%s", text, d)
		}
		if d := cmp.Diff(want.probes, rd.Intent.Probes); d != "" {
			t.Errorf("%s: probes (-want +got):\n%s", text, d)
		}
		if clean := strings.Contains(text, "WHERE"); o.Proven != clean {
			t.Errorf("%s: proven %v", text, o.Proven)
		}
	}
}

// TestFunctions: what functions in SQL do counts as done by the statement.
func TestFunctions(t *testing.T) {
	f := world(t, "functions")
	for text, want := range map[string][]bastion.Action{
		"SELECT secret_of(1)":     {{Verb: "select", Resource: "public.people"}},
		"SELECT twice(1)":         {{Verb: "select", Resource: "public.people"}},
		"SELECT elsewhere()":      {{Verb: "select", Resource: "other.people"}},
		"SELECT pinned(1)":        {{Verb: "function", Resource: "public.pinned"}, {Verb: "select", Resource: "public.people"}},
		"SELECT procedural(1)":    {{Verb: "function", Resource: "public.procedural"}},
		"SELECT around(1)":        {{Verb: "function", Resource: "public.procedural"}},
		"SELECT loose_definer(1)": {{Verb: "function", Resource: "public.loose_definer"}},
		"SELECT endless(1)":       {{Verb: "function", Resource: "public.endless"}},
		"SELECT copied(1)": {{Verb: "function", Resource: "public.copied"}, {Verb: "select", Resource: "public.people"},
			{Verb: "update", Resource: "public.visits"}},
		"SELECT count_up()":     {{Verb: "function", Resource: "public.count_up"}, {Verb: "insert", Resource: "public.visits"}, {Verb: "select", Resource: "public.visits"}},
		"SELECT s FROM calling": {{Verb: "select", Resource: "public.calling"}, {Verb: "function", Resource: "public.secret_of"}},
	} {
		rd, err := f.reader.Read(text, plainSession)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, rd.Intent.Actions); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
	for text, want := range map[string][]bastion.Probe{
		"SELECT by_secret('a')":               {{Column: "public.people.secret", Equality: true}},
		"SELECT by_secret('a' || 'b')":        {{Column: "public.people.secret", Equality: true}},
		"SELECT from_pin(5)":                  {{Column: "public.people.pin"}},
		"SELECT name_of(5)":                   {{Column: "public.people.id", Equality: true}},
		"SELECT by_secret(place) FROM visits": {{Column: "public.people.secret", Equality: true}, {Column: "public.visits.place", Equality: true}},
		"SELECT copied(1)":                    {{Column: "public.people.secret"}, {Column: "public.people.id", Equality: true}, {Column: "public.visits.person", Equality: true}, {Column: "public.visits.id", Equality: true}},
	} {
		rd, err := f.reader.Read(text, plainSession)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, rd.Intent.Probes); d != "" {
			t.Errorf("%s: probes (-want +got):\n%s", text, d)
		}
	}
	// The same name is another table by another path.
	s := lineage.Session{Path: []string{"pg_catalog", "other", "public"}}
	rd, err := f.reader.Read("SELECT pinned_name(1), public.secret_of(1)", s)
	if err != nil || !slices.Contains(rd.Intent.Actions, bastion.Action{Verb: "select", Resource: "other.people"}) {
		t.Errorf("%v, %+v", err, rd)
	}
}

// TestWrites: the columns that texts set, under all names that labels may have.
func TestWrites(t *testing.T) {
	f := world(t, "writes")
	people := []string{"public.people.id", "public.people.name", "public.people.secret", "public.people.pin", "public.people.tags", "public.people.meta", "public.people.born", "public.people.boss"}
	for text, want := range map[string][]string{
		"INSERT INTO people (id, name) VALUES (1, 'x')":                                             people[:2],
		"INSERT INTO people VALUES (1, 'x')":                                                        people,
		"UPDATE people SET name = 'x', pin = 2 WHERE id = 1":                                        {people[1], people[3]},
		"UPDATE people SET (name, pin) = ('x', 2) WHERE id = 1":                                     {people[1], people[3]},
		"UPDATE people SET tags[1] = 'x' WHERE id = 1":                                              {people[4]},
		"INSERT INTO people (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET secret = 'y'": {people[0], people[1], people[2]},
		"DELETE FROM people WHERE id = 1":                                                           nil,
		"SELECT * FROM people":                                                                      nil,
		"COPY people (id, secret) FROM STDIN":                                                       {people[0], people[2]},
		"COPY people FROM STDIN":                                                                    people,
		"MERGE INTO people p USING visits v ON p.id = v.id WHEN MATCHED THEN UPDATE SET pin = 1 WHEN NOT MATCHED THEN INSERT (id, name) VALUES (1, 'x')": {people[3], people[0], people[1]},
		"UPDATE renamed SET what = 'x' WHERE who = 'y'":                          {"public.renamed.what", "public.people.secret"},
		"UPDATE events_2024 SET secret = 'x' WHERE id = 1":                       {"public.events_2024.secret", "public.events.secret"},
		"WITH u AS (UPDATE people SET name = 'x' RETURNING id) SELECT id FROM u": {people[1]},
		"SELECT copied(1)":                             {"public.visits.place"},
		"EXPLAIN UPDATE people SET name = 'x'":         nil,
		"EXPLAIN ANALYZE UPDATE people SET name = 'x'": {people[1]},
		"INSERT INTO nowhere VALUES (1)":               {"?"},
		"INSERT INTO nowhere (x) VALUES (1)":           {"public.nowhere.x"},
	} {
		rd, err := f.reader.Read(text, plainSession)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, rd.Intent.Writes); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

// TestLarge: a database of many tables is loaded in memory that follows their number.
func TestLarge(t *testing.T) {
	c := admin(t, "large", true)
	execute(t, c, `DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE TABLE t%s (id int, name text, email text, at timestamptz DEFAULT now(), a int, b int, c text, d text, e numeric, f jsonb)', i); END LOOP; END $$;
		CREATE TABLE whole (id int, x text) PARTITION BY RANGE (id);
		DO $$ BEGIN FOR i IN 1..500 LOOP EXECUTE format('CREATE TABLE part%s PARTITION OF whole FOR VALUES FROM (%s) TO (%s)', i, i, i + 1); END LOOP; END $$`)
	var before, after runtime.MemStats
	side := admin(t, "large", false)
	execute(t, side, "SET search_path = ''")
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, _, err := postgres.ReadCatalog(t.Context(), side, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	columns := 0
	s.Relations(func(r *catalog.Relation) bool {
		columns += len(r.Columns)
		return true
	})
	if per := float64(after.HeapAlloc-before.HeapAlloc) / float64(columns); per > 600 {
		t.Errorf("%d columns take %.0f bytes each", columns, per)
	} else {
		t.Logf("%d columns take %.0f bytes each", columns, per)
	}
	rd, err := lineage.NewReader(s).Read("SELECT x FROM whole", plainSession)
	if err != nil || len(rd.Intent.Outputs[0].Sources) != 501 {
		t.Errorf("%v, %d sources", err, len(rd.Intent.Outputs[0].Sources))
	}
	runtime.KeepAlive(s)
}

func TestCopy(t *testing.T) {
	f := world(t, "copies")
	text := lineage.Copy{Format: "text", Delimiter: '\t', Null: `\N`}
	with := func(change func(c *lineage.Copy)) *lineage.Copy {
		c := text
		change(&c)
		return &c
	}
	open := []string{"id", "name", "secret", "pin", "tags", "meta", "born", "boss"}
	for sql, want := range map[string]*lineage.Copy{
		"COPY people TO STDOUT":              with(func(c *lineage.Copy) { c.Columns = open }),
		"COPY people (secret, id) TO STDOUT": with(func(c *lineage.Copy) { c.Columns = []string{"secret", "id"} }),
		"COPY people (pin) FROM STDIN (DELIMITER '|', NULL '', DEFAULT 'd', HEADER match)": with(func(c *lineage.Copy) {
			c.In, c.Columns, c.Delimiter, c.Null, c.Default, c.HasDefault, c.Header, c.Match = true, []string{"pin"}, '|', "", "d", true, true, true
		}),
		"COPY (SELECT secret AS s FROM people) TO STDOUT WITH CSV HEADER QUOTE '`' ESCAPE '!' FORCE QUOTE s": with(func(c *lineage.Copy) {
			c.Format, c.Delimiter, c.Quote, c.Escape, c.Null, c.Header, c.ForceQuote, c.Columns = "csv", ',', '`', '!', "", true, []string{"s"}, []string{"s"}
		}),
		"COPY people (id) TO STDOUT (FORMAT csv, FORCE_QUOTE *, ENCODING 'latin1', HEADER false)": with(func(c *lineage.Copy) {
			c.Format, c.Delimiter, c.Quote, c.Escape, c.Null, c.ForceQuoteAll, c.Encoding, c.Columns = "csv", ',', '"', '"', "", true, "latin1", []string{"id"}
		}),
		"COPY people (id) FROM STDIN (FORMAT csv, FORCE_NOT_NULL (id), FORCE_NULL (id), FREEZE 0, ON_ERROR ignore)": with(func(c *lineage.Copy) {
			c.In, c.Format, c.Delimiter, c.Quote, c.Escape, c.Null, c.ForceNotNull, c.ForceNull, c.Ignore, c.Columns = true, "csv", ',', '"', '"', "", []string{"id"}, []string{"id"}, true, []string{"id"}
		}),
		"COPY BINARY people (id) TO STDOUT": {Format: "binary", Columns: []string{"id"}},
		"COPY people (id) TO '/tmp/x'":      nil,
		"SELECT 1":                          nil,
	} {
		rd, err := f.reader.Read(sql, plainSession)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if d := cmp.Diff(want, rd.Copy); d != "" {
			t.Errorf("%s (-want +got):\n%s", sql, d)
		}
	}
	for _, sql := range []string{
		"COPY people TO STDOUT (FORMAT xml)", "COPY people TO STDOUT (COMPRESS true)", "COPY people TO STDOUT (HEADER true, HEADER true)",
		"COPY people TO STDOUT (DELIMITER 'ab')", "COPY people TO STDOUT (DELIMITER 'a')", "COPY people TO STDOUT (FORMAT binary, DELIMITER '|')",
		"COPY people TO STDOUT (QUOTE '|')", "COPY people TO STDOUT (FORMAT csv, QUOTE ',')", "COPY people TO STDOUT (FORMAT csv, NULL 'a,b')",
		"COPY people TO STDOUT (HEADER maybe)", "COPY people FROM STDIN (ON_ERROR explode)", "COPY people TO STDOUT (DELIMITER 'é')",
	} {
		if rd, err := f.reader.Read(sql, plainSession); err == nil {
			t.Errorf("%s: read as %+v", sql, rd.Copy)
		}
	}
	// What the server sends has as many columns, in this order, as the reading says.
	for _, sql := range []string{"COPY people TO STDOUT", "COPY people (pin, name) TO STDOUT", "COPY codes TO STDOUT", "COPY (SELECT * FROM people) TO STDOUT", "COPY events_2024 TO STDOUT"} {
		rd, err := f.reader.Read(sql, plainSession)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := f.conns[0].CopyTo(t.Context(), &b, strings.Replace(sql, " TO STDOUT", " TO STDOUT (HEADER)", 1)); err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(b.String(), "\n")
		if got := strings.Split(line, "\t"); !slices.Equal(got, rd.Copy.Columns) || len(rd.Intent.Outputs) != len(got) {
			t.Errorf("%s: sends %q, is read as %q, %d outputs", sql, got, rd.Copy.Columns, len(rd.Intent.Outputs))
		}
		for i, o := range rd.Intent.Outputs {
			if o.Name != rd.Copy.Columns[i] || !o.Proven || !slices.ContainsFunc(o.Sources, func(s string) bool { return strings.HasSuffix(s, "."+o.Name) }) {
				t.Errorf("%s: output %+v", sql, o)
			}
		}
		if len(rd.Intent.Probes) > 0 {
			t.Errorf("%s: probes %v, though what it sends can be masked", sql, rd.Intent.Probes)
		}
	}
	if rd, err := f.reader.Read("COPY people TO '/tmp/x'", plainSession); err != nil || !f.probed([]*lineage.Reading{rd}) {
		t.Errorf("a file on the server is no masked shown: %v, %+v", err, rd)
	}
}

// FuzzCatalog: whatever a server answers, the catalog is read or refused, and texts can
// be read by it.
func FuzzCatalog(f *testing.F) {
	world := strings.Join([]string{
		"n\tpublic", "b\tupper",
		"r\t20000\tpublic\tt\tr\t\\N\t20001\t20002\tf\t[\"(x = 1)\"]",
		"r\t20010\tpublic\tv\tv\tSELECT t.x, public.f(t.x) AS y FROM public.t\t20011\t20012\tf\t\\N",
		"r\t20020\tpublic\tc\tc\t\\N\t20021\t20022\tf\t\\N",
		"a\t20000\tx\t1\tinteger\tt\t\\N\t23\tf", "a\t20000\ty\t2\tpublic.d\tf\tupper(x)\t20030\tf",
		"a\t20010\tx\t1\tinteger\tf\t\\N\t23\tf", "a\t20010\ty\t2\ttext\tf\t\\N\t25\tf", "a\t20020\tz\t1\tpublic.t\tf\t\\N\t20001\tf",
		"i\t20000\t20010", "i\t20010\t20000", "e\t20000\tpublic.f(1)", "e\t20000\t\\N", "k\t20000\t20000", "u\t20000\t1",
		"t\t20030\tpublic\td\t20031\tf\t25\t\\N\tpublic.d\tpublic.d[]", "c\t20030\tpublic.f(VALUE)", "x\tf",
		`f	public	f	x integer	f	1	f	["integer"]	{"returns":25,"names":["x"],"modes":null}	{"text":"SELECT public.f($1) || y FROM t","config":["search_path=public, \"A\"","work_mem=1"],"types":[23],"defaults":"1"}	f	sql`,
		`f	public	g		f	0	t	["text[]"]	{"returns":2249,"names":["x","a","b"],"modes":["v","t","o"]}	{"text":"","standard":"RETURN x","types":[1009],"void":false}	t	sql`,
		`o	public	@@	public	f	f	["integer"]	t	sql`,
	}, "\n")
	for _, text := range []string{"SELECT * FROM v, g('a', 'b')", "SELECT f(x), f(), x @@ y FROM t", "INSERT INTO t VALUES (1)", "SELECT 'x'::d, (c).z FROM c", "CREATE FUNCTION h() RETURNS int LANGUAGE sql AS 'SELECT f(1)'"} {
		f.Add(world, text)
	}
	f.Fuzz(func(t *testing.T, answers, text string) {
		s, err := postgres.Load(answers)
		if err != nil {
			return
		}
		if _, err := lineage.NewReader(s).Read(text, plainSession); err != nil {
			if _, ok := errors.AsType[*bastion.ParseError](err); !ok {
				t.Fatalf("refused by %T: %v", err, err)
			}
		}
	})
}
