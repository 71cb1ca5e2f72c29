package postgres_test

import (
	"slices"
	"strings"
	"testing"
)

// TestNativeWithin: a transaction that changed the schema is read by the catalog that it
// sees, so that what it made can be used, and what is hidden stays so.
func TestNativeWithin(t *testing.T) {
	s := shop(t, "native_within", labels...)
	if _, err := server.Query(t.Context(), "native_within", plant+"; CREATE SCHEMA moved AUTHORIZATION shop_app; ALTER TABLE customers OWNER TO shop_app"); err != nil {
		t.Fatal(err)
	}
	direct := server.URL(server.App(), "native_within")
	_, url := listen(t, s)
	table := "CREATE TABLE made (id serial PRIMARY KEY, name text, email text)"
	settings := "SELECT current_setting('search_path'), current_setting('lock_timeout'), current_setting('statement_timeout')"
	for name, script := range map[string][]any{
		"one text":         {"SELECT 1; SELECT 2; CREATE TEMP TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'); SELECT * FROM t"},
		"one text, a view": {"CREATE TEMP VIEW v AS SELECT id, name FROM customers; SELECT name FROM v WHERE name LIKE 'S%' ORDER BY id LIMIT 3"},
		"migration": {"BEGIN", table, "INSERT INTO made (name) VALUES ('a'), ('b') RETURNING id", "UPDATE made SET name = 'c' WHERE name = 'b'", "SELECT name, count(*) FROM made GROUP BY name ORDER BY name",
			"ALTER TABLE made ADD age int", "UPDATE made SET age = id WHERE age IS NULL RETURNING *", "INSERT INTO made (name) SELECT name FROM customers WHERE id < 4 ORDER BY id", "SELECT m.*, c.country FROM made m JOIN customers c USING (id) ORDER BY id", "ROLLBACK", "SELECT 1"},
		"extended":             together("BEGIN", all(table), sync_, ready{}, all("INSERT INTO made (name) VALUES ($1) RETURNING id, name", "x"), sync_, ready{}, all("SELECT * FROM made"), sync_, ready{}, "ROLLBACK"),
		"one batch":            together("BEGIN", all(table), all("INSERT INTO made (name) VALUES ($1) RETURNING id, name", "x"), all("SELECT * FROM made"), sync_, ready{}, "SELECT name FROM made", "ROLLBACK"),
		"one batch that fails": together("BEGIN", all(table), all("SELECT name FROM made"), all("SELECT 1/0"), all("SELECT name FROM made"), sync_, ready{}, "ROLLBACK", "SELECT 1"),
		"savepoints": {"BEGIN", "SAVEPOINT a", table, "SELECT name FROM made", "SAVEPOINT b", "ALTER TABLE made RENAME name TO called", "SELECT called FROM made", "ROLLBACK TO b", "SELECT name FROM made", "RELEASE a", "SELECT name FROM made",
			"SELECT called FROM made", "ROLLBACK"},
		"savepoint of that name": {"BEGIN", `SAVEPOINT "sallyport: catalog"`, table, "SELECT name FROM made", `ROLLBACK TO "sallyport: catalog"`, "SELECT to_regclass('made') IS NULL", "ROLLBACK"},
		"settings stay":          {"BEGIN", "SET LOCAL search_path = public, pg_temp", "SET LOCAL lock_timeout = '7s'", "SET statement_timeout = '9s'", table, "SELECT name FROM made", settings, "COMMIT", settings, "DROP TABLE made; RESET ALL"},
		"chained":                {"BEGIN", table, "SELECT name FROM made", "COMMIT AND CHAIN", "DROP TABLE made", "SELECT name FROM customers WHERE id = 7", "COMMIT"},
		"prepared":               together(parse("c", "SELECT name FROM customers WHERE id = 7"), sync_, ready{}, "BEGIN", table, parse("m", "SELECT name FROM made"), bind("", "m"), run(""), bind("", "c"), run(""), sync_, ready{}, "ROLLBACK"),
		"a function":             {"BEGIN", "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2'", "SELECT twice(4)", "ROLLBACK"},
		"catalog":                {"BEGIN", table, "SELECT relname, attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid WHERE relname = 'made' AND attnum > 0 ORDER BY attnum", "SELECT table_name FROM information_schema.tables WHERE table_name = 'made'", "ROLLBACK"},
	} {
		t.Run(name, func(t *testing.T) {
			want := raw(t, direct).play(script...)
			got := slices.DeleteFunc(raw(t, url).play(script...), func(l string) bool { return strings.HasPrefix(l, "N NOTICE 00000 masked: ") })
			differ(t, got, want)
		})
	}

	reads := "CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS 'SELECT %s FROM customers WHERE id = 1'"
	name, email, f := strings.Replace(reads, "%s", "name", 1), strings.Replace(reads, "%s", "email", 1), "SELECT pg_temp.f()"
	both := []bool{false, true}
	hides(t, s, direct, both, map[string][]any{
		"a view":                    {"BEGIN", "CREATE TEMP VIEW v AS SELECT email AS a FROM customers", "SELECT a FROM v", "ROLLBACK"},
		"a view in one text":        {"CREATE TEMP TABLE t (a int); SELECT a FROM t; CREATE TEMP VIEW v AS SELECT email AS a FROM customers; SELECT a FROM v"},
		"a view, replaced":          {"BEGIN", "CREATE TEMP VIEW v AS SELECT name::text AS a FROM customers", "SELECT a FROM v WHERE false", "CREATE OR REPLACE TEMP VIEW v AS SELECT email::text AS a FROM customers", "SELECT a FROM v", "ROLLBACK"},
		"generated":                 {"BEGIN", "ALTER TABLE customers ADD a text GENERATED ALWAYS AS (lower(email)) STORED", "SELECT a FROM customers", "ROLLBACK"},
		"renamed":                   {"BEGIN", "CREATE TEMP TABLE t (a int)", "ALTER TABLE customers RENAME email TO a", "SELECT a FROM customers", "ROLLBACK"},
		"table renamed":             {"BEGIN", "CREATE TEMP TABLE t (a int)", "ALTER TABLE customers RENAME TO a", "SELECT email FROM a", "ROLLBACK"},
		"table moved":               {"BEGIN", "CREATE TEMP TABLE t (a int)", "ALTER TABLE customers SET SCHEMA moved", "SELECT email FROM moved.customers", "ROLLBACK"},
		"inherited":                 {"BEGIN", "CREATE TABLE a (email email_address)", "ALTER TABLE customers INHERIT a", "SELECT email FROM a", "ROLLBACK"},
		"a function":                {"BEGIN", email, f, "ROLLBACK"},
		"a function, replaced":      {"BEGIN", name, f, email, f, "ROLLBACK"},
		"a function, taken back":    {"BEGIN", email, f, "SAVEPOINT a", name, f, "ROLLBACK TO a", f, "ROLLBACK"},
		"taken back in one text":    {"BEGIN; " + email + "; SAVEPOINT a; " + name + "; " + f + "; ROLLBACK TO a; " + f + "; ROLLBACK"},
		"taken back in one batch":   together("BEGIN", all(email), all("SAVEPOINT a"), all(name), all(f), all("ROLLBACK TO a"), all(f), sync_, ready{}, "ROLLBACK"),
		"taken back after an error": {"BEGIN", email, "SAVEPOINT a", name, f, "SELECT 1/0", "ROLLBACK TO a", f, "ROLLBACK"},
		"taken back without a word": together("BEGIN", email, "SAVEPOINT a", query(name), query(f), query("ROLLBACK TO a"), query(f), ready{}, ready{}, ready{}, ready{}, "ROLLBACK"),
		"rolled back":               {email, "BEGIN", name, f, "ROLLBACK", f},
		"rolled back and chained":   {email, "BEGIN", name, f, "ROLLBACK AND CHAIN", f, "ROLLBACK"},
		"bound before":              together("BEGIN", name, parse("a", f), bind("p", "a"), sync_, ready{}, email, bind("q", "a"), run("q"), run("p"), sync_, ready{}, "ROLLBACK"),
		"a function, with shadows":  {"BEGIN", email, "CREATE TEMP TABLE pg_proc AS SELECT oid, proname FROM pg_catalog.pg_proc WHERE false; CREATE TEMP TABLE pg_class (oid oid); CREATE TEMP TABLE pg_attribute (attrelid oid); CREATE DOMAIN pg_temp.text AS int; CREATE DOMAIN pg_temp.regclass AS int", f, "SELECT email FROM customers WHERE id = 1", "ROLLBACK"},
		"an older snapshot":         {"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1", "CREATE TEMP TABLE t (a int)", "SELECT email FROM customers WHERE id = 1", email, f, "ROLLBACK"},
		"a name for it":             {"BEGIN", "CREATE TEMP TABLE t (a int)", "SELECT email AS name FROM customers WHERE id = 1", "TABLE customers", "ROLLBACK"},
	})
	// Who may copy it has it.
	hides(t, s, direct, both[:1], map[string][]any{
		"a copy":                        {"BEGIN", "CREATE TEMP TABLE t AS SELECT email FROM customers", "SELECT * FROM t", "ROLLBACK"},
		"copied":                        {"BEGIN", "CREATE TEMP TABLE t (a text)", "INSERT INTO t SELECT email FROM customers", "SELECT a FROM t", "ROLLBACK"},
		"copied to a new column":        {"BEGIN", "ALTER TABLE customers ADD a text", "UPDATE customers SET a = email", "SELECT a FROM customers", "ROLLBACK"},
		"a function in a default":       {"BEGIN", email, "CREATE TEMP TABLE t (a int, b text DEFAULT pg_temp.f())", "INSERT INTO t VALUES (1)", "SELECT b FROM t", "ROLLBACK"},
		"a table like one of a catalog": {"BEGIN", "CREATE TEMP TABLE pg_class AS SELECT email AS relname FROM customers", "SELECT relname FROM pg_temp.pg_class", "CREATE TEMP VIEW v AS SELECT relname FROM pg_temp.pg_class", "SELECT relname FROM v", "ROLLBACK"},
	})
}

// TestNativeWithinLocks: what others hold is not waited for, and nothing stays locked.
func TestNativeWithinLocks(t *testing.T) {
	s := shop(t, "native_within_locks", labels...)
	if _, err := server.Query(t.Context(), "native_within_locks", "CREATE VIEW named AS SELECT name FROM customers; ALTER TABLE customers OWNER TO shop_app"); err != nil {
		t.Fatal(err)
	}
	_, url := listen(t, s)
	other, k := raw(t, server.URL(server.App(), "native_within_locks")), raw(t, url)
	k.play("BEGIN", "CREATE TEMP TABLE t (a int)", "SELECT a FROM t")
	differ(t, other.play("BEGIN", "LOCK TABLE customers IN ACCESS EXCLUSIVE MODE NOWAIT"), []string{"C BEGIN", "Z T", "C LOCK TABLE", "Z T"})
	// Nothing is known of t then, and the transaction goes on.
	differ(t, withoutErrors(k.play("ALTER TABLE t ADD b int", "SAVEPOINT a", "SELECT a, b FROM t ORDER BY a", "ROLLBACK TO a", "SELECT 1 AS one")), []string{"C ALTER TABLE", "Z T", "C SAVEPOINT", "Z T", "E", "Z E", "C ROLLBACK", "Z T",
		"N NOTICE 00000 masked: one", "T one:23:4:-1:0", `D "0"`, "C SELECT 1", "Z T"})
	other.play("ROLLBACK")
	differ(t, k.play("SELECT a, b FROM t ORDER BY a", "ROLLBACK"), []string{"T a:23:4:-1:0 b:23:4:-1:0", "C SELECT 0", "Z T", "C ROLLBACK", "Z I"})
}

// TestNativeBusy: what somebody alters is not waited for where a statement has nothing to
// do with it, and least of all where it is the session itself that alters it.
func TestNativeBusy(t *testing.T) {
	s := shop(t, "native_busy", labels...)
	if _, err := server.Query(t.Context(), "native_busy", plant+`; ALTER TABLE customers OWNER TO shop_app; CREATE VIEW named AS SELECT id, name FROM customers; CREATE TABLE plain (a int, b int GENERATED ALWAYS AS (a + 1) STORED);
		CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM customers; END; ALTER TABLE plain OWNER TO shop_app; ALTER VIEW named OWNER TO shop_app`); err != nil {
		t.Fatal(err)
	}
	_, url := listen(t, s)
	one, two := raw(t, url), raw(t, url)
	differ(t, one.play("BEGIN", "ALTER TABLE customers ADD z int"), []string{"C BEGIN", "Z T", "C ALTER TABLE", "Z T"})
	// The catalog changes, and both sessions need it.
	differ(t, two.play("CREATE TABLE more (a int)", "SELECT a FROM more", "SELECT a, b FROM plain"), []string{"C CREATE TABLE", "Z I", "T a:23:4:-1:0", "C SELECT 0", "Z I", "T a:23:4:-1:0 b:23:4:-1:0", "C SELECT 0", "Z I"})
	differ(t, one.play("SELECT z FROM customers WHERE id = 7", "SELECT name FROM named WHERE id = 7", "LOCK TABLE plain"), []string{"T z:23:4:-1:0", "D NULL", "C SELECT 1", "Z T", "T name:25:-1:-1:0", `D "Grace Hoffmann"`, "C SELECT 1", "Z T", "C LOCK TABLE", "Z T"})
	differ(t, two.play("DROP TABLE more", "SELECT 1 AS a"), []string{"C DROP TABLE", "Z I", "T a:23:4:-1:0", `D "1"`, "C SELECT 1", "Z I"})
	differ(t, one.play("COMMIT"), []string{"C COMMIT", "Z I"})
	// What was not known is known again.
	differ(t, two.play("CREATE TABLE more (a int)", "SELECT name FROM named WHERE id = 7", "SELECT a, b FROM plain"), []string{"C CREATE TABLE", "Z I", "T name:25:-1:-1:0", `D "Grace Hoffmann"`, "C SELECT 1", "Z I", "T a:23:4:-1:0 b:23:4:-1:0", "C SELECT 0", "Z I"})
}
