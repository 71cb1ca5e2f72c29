package postgres_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/connectors/connectortest"
)

// evil is a second schema, in which names that are harmless mean what is hidden.
const evil = `
	CREATE SCHEMA evil AUTHORIZATION shop_app;
	CREATE VIEW evil.customers AS SELECT id, email || '' AS name, email, phone FROM public.customers;
	ALTER VIEW evil.customers OWNER TO shop_app;
	CREATE FUNCTION public.best() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM customers WHERE id = 1';
	CREATE FUNCTION evil.swap() RETURNS trigger LANGUAGE plpgsql AS $f$
		DECLARE c refcursor := 'c';
		BEGIN
			IF new.a = 1 THEN CLOSE c; OPEN c FOR SELECT email || '' FROM public.customers WHERE id < 4;
			ELSE EXECUTE 'DEALLOCATE a'; EXECUTE 'PREPARE a AS SELECT email || '''' FROM public.customers WHERE id < 4';
			END IF;
			RETURN new;
		END $f$;
	CREATE TABLE public.quiet (a int);
	CREATE TRIGGER swap BEFORE INSERT ON public.quiet FOR EACH ROW EXECUTE FUNCTION evil.swap();
	GRANT ALL ON public.quiet TO shop_app;`

const (
	plainRows  = "SELECT name || '' FROM customers WHERE id < 4"
	hiddenRows = "SELECT email || '' FROM customers WHERE id < 4"
	// swapped puts other queries behind names, from where nobody can see it.
	swapPrepared = "DO $$ BEGIN EXECUTE 'DEALLOCATE a'; EXECUTE 'PREPARE a AS " + "SELECT email || '''' FROM customers WHERE id < 4" + "'; END $$"
	swapCursor   = "DO $$ DECLARE c refcursor := 'c'; BEGIN CLOSE c; OPEN c FOR SELECT email || '' FROM customers WHERE id < 4; END $$"
)

// TestNativeNamesCannotBeSwapped tries to have the server run another text, or show
// another portal's rows, than what was decided upon. Each attempt works where nobody
// stands in between.
func TestNativeNamesCannotBeSwapped(t *testing.T) {
	s := shop(t, "native_attack", labels...)
	if _, err := server.Query(t.Context(), "native_attack", plant+";"+evil); err != nil {
		t.Fatal(err)
	}
	direct := server.URL(server.App(), "native_attack")
	a := parse("a", plainRows)
	// The target keeps 63 bytes of a name.
	name, one, other := strings.Repeat("n", 63), strings.Repeat("n", 63)+"x", strings.Repeat("n", 63)+"y"
	go_ := []any{bind("", "a"), run("")}
	hides(t, s, direct, []bool{false, true}, map[string][]any{
		"search path in one text":               {"SET search_path = evil; " + plainRows},
		"search path in a transaction":          {"BEGIN; SET LOCAL search_path = evil; " + plainRows + "; COMMIT"},
		"search path, extended":                 together(a, all("SET search_path = evil"), go_, sync_, ready{}),
		"search path, described":                together(a, describe('S', "a"), sync_, ready{}, all("SET search_path = evil"), go_, sync_, ready{}),
		"search path by a function":             together(all("SELECT set_config('search_path', 'evil', false)"), a, go_, sync_, ready{}),
		"search path comes back":                {"SET search_path = evil", "BEGIN; SET LOCAL search_path = public; COMMIT; " + plainRows},
		"search path comes back, error":         together("SET search_path = evil", "BEGIN", "SET LOCAL search_path = public", "SELECT 1/0", "ROLLBACK", plainRows),
		"search path comes back with Sync":      together("SET search_path = evil", all("SET LOCAL search_path = public"), all("SELECT 1"), sync_, all(plainRows), sync_, ready{}, ready{}),
		"search path comes back with a query":   together("SET search_path = evil", all("SET LOCAL search_path = public"), all("SELECT 1"), query("SELECT 2"), query(plainRows), ready{}, ready{}),
		"search path comes back with an error":  together("SET search_path = evil", all("SET search_path = public"), all("SELECT 1"), all("SELECT 1/0"), sync_, all(plainRows), sync_, ready{}, ready{}),
		"search path of a portal":               together("BEGIN", parse("b", "SELECT best()"), bind("p", "b"), all("SET LOCAL search_path = evil"), run("p"), sync_, ready{}, "ROLLBACK"),
		"long name":                             together(parse(one, plainRows), sync_, ready{}, closing('S', other), parse(other, hiddenRows), sync_, ready{}, bind("", one), run(""), sync_, ready{}),
		"long name in a pipeline":               together(parse(one, plainRows), closing('S', other), parse(other, hiddenRows), bind("", one), run(""), sync_, ready{}),
		"long name of SQL's":                    together("PREPARE "+name+" AS "+plainRows, closing('S', one), parse(one, hiddenRows), sync_, ready{}, "EXECUTE "+name),
		"long name of a portal":                 together("BEGIN", a, parse("b", hiddenRows), bind(one, "a"), closing('P', other), bind(other, "b"), sync_, ready{}, run(one), sync_, ready{}, "ROLLBACK"),
		"long name of a cursor":                 together("BEGIN", "DECLARE "+name+" CURSOR FOR "+plainRows, closing('P', one), parse("b", hiddenRows), bind(one, "b"), sync_, ready{}, "FETCH ALL "+name, "ROLLBACK"),
		"long name, closed by SQL":              together("BEGIN", a, bind(one, "a"), sync_, ready{}, "CLOSE "+name, "DECLARE "+name+" CURSOR FOR "+hiddenRows, run(one), sync_, ready{}, "ROLLBACK"),
		"copy in one text":                      {"SET search_path = evil; COPY (" + plainRows + ") TO STDOUT"},
		"prepared, swapped":                     together(a, sync_, ready{}, swapPrepared, go_, sync_, ready{}),
		"prepared, swapped, described":          together(a, describe('S', "a"), sync_, ready{}, swapPrepared, go_, sync_, ready{}),
		"prepared, swapped in a pipeline":       together(a, describe('S', "a"), sync_, ready{}, all(swapPrepared), go_, sync_, ready{}),
		"prepared, swapped in one text":         {"PREPARE a AS " + plainRows, "DEALLOCATE a; PREPARE a AS " + hiddenRows + "; EXECUTE a"},
		"SQL prepared, swapped":                 {"PREPARE a AS " + plainRows, swapPrepared, "EXECUTE a"},
		"portal of EXECUTE, swapped":            together("BEGIN", "PREPARE a AS "+plainRows, parse("e", "EXECUTE a"), bind("c", "e"), sync_, ready{}, "DEALLOCATE a; PREPARE a AS "+hiddenRows, run("c"), sync_, ready{}, "ROLLBACK"),
		"portal of EXECUTE, swapped, described": together("BEGIN", "PREPARE a AS "+plainRows, parse("e", "EXECUTE a"), bind("c", "e"), describe('P', "c"), sync_, ready{}, "DEALLOCATE a; PREPARE a AS "+hiddenRows, run("c"), sync_, ready{}, "ROLLBACK"),
		"portal of EXECUTE, swapped, extended":  together("BEGIN", "PREPARE a AS "+plainRows, parse("e", "EXECUTE a"), bind("c", "e"), describe('P', "c"), all("DEALLOCATE a"), all("PREPARE a AS "+hiddenRows), run("c"), sync_, ready{}, "ROLLBACK"),
		"portal of EXECUTE, closed and parsed":  together("BEGIN", "PREPARE a AS "+plainRows, parse("e", "EXECUTE a"), bind("c", "e"), describe('P', "c"), closing('S', "a"), parse("a", hiddenRows), run("c"), sync_, ready{}, "ROLLBACK"),
		"SQL prepared, closed":                  together("PREPARE a AS "+plainRows, closing('S', "a"), parse("a", hiddenRows), sync_, ready{}, "EXECUTE a"),
		"SQL prepared, closed, pipeline":        together("PREPARE a AS "+plainRows, closing('S', "a"), parse("a", hiddenRows), all("EXECUTE a"), sync_, ready{}),
		"unnamed portal of FETCH, swapped": together("BEGIN", "DECLARE c CURSOR FOR "+plainRows, parse("e", "FETCH ALL c"), bind("", "e"), parse("x", "CLOSE c"), bind("y", "x"), run("y"),
			parse("z", "DECLARE c CURSOR FOR "+hiddenRows), bind("w", "z"), run("w"), run(""), sync_, ready{}, "ROLLBACK"),
		"EXECUTE of a protocol statement":          together(parse("a", hiddenRows), sync_, ready{}, "EXECUTE a", "EXPLAIN ANALYZE EXECUTE a"),
		"EXECUTE of a protocol statement at once":  together(parse("a", hiddenRows), query("EXECUTE a"), sync_, ready{}, ready{}),
		"EXECUTE, replaced by the protocol":        together("PREPARE a AS "+plainRows, closing('S', "a"), parse("a", hiddenRows), query("EXECUTE a"), sync_, ready{}, ready{}),
		"EXECUTE, replaced in one batch":           together("PREPARE a AS "+plainRows, closing('S', "a"), parse("a", hiddenRows), all("EXECUTE a"), sync_, ready{}),
		"EXECUTE, replacing is skipped":            together("PREPARE a AS "+hiddenRows, parse("", "SELECT nosuch"), closing('S', "a"), parse("a", plainRows), sync_, query("EXECUTE a"), ready{}, ready{}),
		"SQL's, run by the protocol":               together("PREPARE a AS "+hiddenRows, describe('S', "a"), bind("", "a"), describe('P', ""), run(""), sync_, ready{}),
		"SQL's, replaced, run by the protocol":     together("PREPARE a AS "+plainRows, describe('S', "a"), sync_, ready{}, query("DEALLOCATE a"), query("PREPARE a AS "+hiddenRows), bind("", "a"), run(""), sync_, ready{}, ready{}, ready{}),
		"SQL's, swapped, run by the protocol":      together("PREPARE a AS "+plainRows, describe('S', "a"), sync_, ready{}, swapPrepared, bind("", "a"), run(""), sync_, ready{}),
		"SQL's, swapped in a pipeline":             together("PREPARE a AS "+plainRows, all(swapPrepared), bind("", "a"), run(""), sync_, ready{}),
		"SQL's, PREPARE by the protocol":           together(all("PREPARE a AS "+hiddenRows), bind("", "a"), run(""), sync_, ready{}),
		"protocol's, SQL takes the name":           together(a, sync_, ready{}, query("DEALLOCATE a"), query("PREPARE a AS "+hiddenRows), bind("", "a"), run(""), sync_, ready{}, ready{}, ready{}),
		"temporary table, discarded":               {"CREATE TEMP TABLE customers (id int, name text, email text)", "DISCARD TEMP", hiddenRows},
		"temporary table, all discarded":           {"CREATE TEMP TABLE customers (id int, name text, email text); DISCARD SEQUENCES", "DISCARD ALL", hiddenRows},
		"temporary table, discarded in a pipeline": together("CREATE TEMP TABLE customers (id int, name text, email text)", all("DISCARD TEMP"), all(hiddenRows), sync_, ready{}),
		"cursor, swapped":                          {"BEGIN", "DECLARE c CURSOR FOR " + plainRows, swapCursor, "FETCH ALL c", "ROLLBACK"},
		"cursor, swapped by a trigger":             {"BEGIN", "DECLARE c CURSOR FOR " + plainRows, "INSERT INTO quiet VALUES (1)", "FETCH ALL c", "ROLLBACK"},
		"prepared, swapped by a trigger":           together(a, describe('S', "a"), sync_, ready{}, all("INSERT INTO quiet VALUES (2)"), go_, sync_, ready{}),
		"SQL prepared, swapped by a trigger":       {"PREPARE a AS " + plainRows, "INSERT INTO quiet VALUES (2)", "EXECUTE a"},
		"portal, swapped by a trigger":             together("BEGIN", a, bind("c", "a"), run("c", 1), sync_, ready{}, "INSERT INTO quiet VALUES (1)", run("c"), sync_, ready{}, "ROLLBACK"),
		"parse fails, bound in the next batch":     {parse("a", hiddenRows), sync_, ready{}, a, sync_, bind("", "a"), run(""), sync_, ready{}, ready{}},
		"parse fails, described":                   {parse("a", hiddenRows), describe('S', "a"), sync_, ready{}, a, describe('S', "a"), sync_, bind("", "a"), run(""), sync_, ready{}, ready{}},
		"parse is skipped":                         {parse("", hiddenRows), sync_, ready{}, parse("x", "SELECT nosuch"), parse("", plainRows), sync_, bind("", ""), run(""), sync_, ready{}, ready{}},
		"close and parse are skipped":              {parse("a", hiddenRows), sync_, ready{}, parse("x", "SELECT nosuch"), closing('S', "a"), a, sync_, bind("", "a"), run(""), sync_, ready{}, ready{}},
		"close is skipped, query between":          {parse("a", hiddenRows), sync_, ready{}, parse("x", "SELECT nosuch"), closing('S', "a"), sync_, query("SELECT 1"), a, sync_, bind("", "a"), run(""), sync_, ready{}, ready{}, ready{}, ready{}},
		"bind fails":                               {"BEGIN", parse("b", hiddenRows), a, bind("p", "b"), sync_, ready{}, "SAVEPOINT s", bind("p", "a"), sync_, query("ROLLBACK TO s"), run("p"), sync_, ready{}, ready{}, ready{}, "ROLLBACK"},
		"bind is skipped":                          {"BEGIN", parse("b", hiddenRows), a, bind("p", "b"), sync_, ready{}, "SAVEPOINT s", parse("x", "SELECT nosuch"), closing('P', "p"), bind("p", "a"), sync_, query("ROLLBACK TO s"), run("p"), sync_, ready{}, ready{}, ready{}, "ROLLBACK"},
		"cursor, closed":                           together("BEGIN", "DECLARE c CURSOR FOR "+plainRows, closing('P', "c"), parse("b", hiddenRows), bind("c", "b"), sync_, ready{}, "FETCH ALL c", "ROLLBACK"),
		"cursor, closed, pipeline":                 together("BEGIN", "DECLARE c CURSOR FOR "+plainRows, closing('P', "c"), parse("b", hiddenRows), bind("c", "b"), all("FETCH ALL c"), sync_, ready{}, "ROLLBACK"),
		"cursor, rolled back":                      together("BEGIN", "SAVEPOINT s", "DECLARE c CURSOR FOR "+plainRows, "ROLLBACK TO s", parse("b", hiddenRows), bind("c", "b"), sync_, ready{}, "FETCH ALL c", "ROLLBACK"),
		"cursor, described":                        together("BEGIN", "DECLARE c CURSOR FOR "+hiddenRows, describe('P', "c"), sync_, ready{}, "FETCH 3 c", "ROLLBACK"),
		"cursor, described, swapped":               together("BEGIN", "DECLARE c CURSOR FOR "+plainRows, describe('P', "c"), sync_, ready{}, swapCursor, describe('P', "c"), sync_, ready{}, "FETCH ALL c", "ROLLBACK"),
		"cursor in one text":                       {"BEGIN", "DECLARE c CURSOR FOR " + plainRows, "CLOSE c; DECLARE c CURSOR FOR " + hiddenRows + "; FETCH ALL c", "ROLLBACK"},
		"portal, closed by SQL":                    together("BEGIN", a, bind("c", "a"), sync_, ready{}, "CLOSE c", "DECLARE c CURSOR FOR "+hiddenRows, run("c"), sync_, ready{}, "ROLLBACK"),
		"portal, closed by SQL, described":         together("BEGIN", a, describe('S', "a"), bind("c", "a"), describe('P', "c"), sync_, ready{}, "CLOSE c", "DECLARE c CURSOR FOR "+hiddenRows, run("c"), sync_, ready{}, "ROLLBACK"),
		"portal, closed by SQL, pipeline":          together("BEGIN", a, bind("c", "a"), all("CLOSE c"), all("DECLARE c CURSOR FOR "+hiddenRows), run("c"), sync_, ready{}, "ROLLBACK"),
		"portal, swapped":                          together("BEGIN", a, bind("c", "a"), sync_, ready{}, swapCursor, run("c"), sync_, ready{}, "ROLLBACK"),
		"portal, begun, swapped":                   together("BEGIN", a, bind("c", "a"), run("c", 1), sync_, ready{}, swapCursor, run("c"), sync_, ready{}, "ROLLBACK"),
		"portal, swapped, pipeline":                together("BEGIN", a, bind("c", "a"), describe('P', "c"), all(swapCursor), run("c"), sync_, ready{}, "ROLLBACK"),
		"portal, rolled back":                      together("BEGIN", a, "SAVEPOINT s", bind("c", "a"), sync_, ready{}, "ROLLBACK TO s", "DECLARE c CURSOR FOR "+hiddenRows, run("c"), sync_, ready{}, "ROLLBACK"),
		"column renamed in one text":               {"BEGIN; ALTER TABLE customers RENAME name TO x; ALTER TABLE customers RENAME email TO name; " + plainRows + "; ROLLBACK"},
		"setting reported":                         {"DO $$ BEGIN PERFORM set_config('timezone', '<' || substr(email, 1, 10) || '>5', false) FROM customers WHERE id = 1; END $$"},
		"setting shown": {"DO $$ BEGIN PERFORM set_config('timezone', '<' || substr(email, 1, 10) || '>5', false) FROM customers WHERE id = 1; END $$", "SHOW timezone", "SELECT current_setting('timezone')", "SELECT setting FROM pg_settings WHERE name = 'TimeZone'",
			"SELECT current_setting(name) FROM pg_settings WHERE name = 'TimeZone'"},
		"program reported":         {"DO $$ BEGIN PERFORM set_config('application_name', email, false) FROM customers WHERE id = 1; END $$", "SELECT 1", "SHOW application_name"},
		"error text":               {"SELECT email::int FROM customers WHERE id = 1"},
		"error code":               {"DO $$ DECLARE e text; BEGIN SELECT upper(substr(email, 1, 5)) INTO e FROM customers WHERE id = 1; RAISE EXCEPTION USING ERRCODE = e; END $$"},
		"error class":              {"DO $$ DECLARE e text; BEGIN SELECT upper(substr(email, 1, 3)) INTO e FROM customers WHERE id = 1; RAISE EXCEPTION USING ERRCODE = '22' || e; END $$"},
		"error about names":        {"DO $$ DECLARE e text; BEGIN SELECT email INTO e FROM customers WHERE id = 1; RAISE EXCEPTION '%', e USING ERRCODE = '42P07', TABLE = e, COLUMN = e, CONSTRAINT = e, DATATYPE = e, SCHEMA = e; END $$"},
		"error about constraints":  {"DO $$ DECLARE e text; BEGIN SELECT email INTO e FROM customers WHERE id = 1; RAISE EXCEPTION '%', e USING ERRCODE = '23505', TABLE = e, CONSTRAINT = e; END $$"},
		"notice":                   {"DO $$ DECLARE e text; BEGIN SELECT email INTO e FROM customers WHERE id = 1; RAISE NOTICE '%', e; END $$"},
		"notification":             {"LISTEN x", "DO $$ DECLARE e text; BEGIN SELECT email INTO e FROM customers WHERE id = 1; PERFORM pg_notify('x', e); END $$", "SELECT 1"},
		"copy out":                 {"COPY customers TO STDOUT", "COPY customers (email) TO STDOUT (FORMAT csv)", "COPY (SELECT * FROM customers) TO STDOUT (FORMAT binary)"},
		"binary":                   {parse("", hiddenRows), bindIn([]int16{1}, "", ""), run(""), sync_, ready{}},
		"skipped describe":         together("BEGIN", parse("", hiddenRows), sync_, ready{}, "SAVEPOINT s", parse("b", "SELECT nosuch"), describe('S', ""), sync_, ready{}, "ROLLBACK TO s", parse("", hiddenRows), bind("", ""), run(""), sync_, ready{}, "ROLLBACK"),
		"fetch by SQL of a portal": together("BEGIN", parse("b", hiddenRows), bind("c", "b"), sync_, ready{}, "FETCH ALL c", "ROLLBACK"),
	})
}

// hides plays scripts that show what is hidden where nobody stands in between, and wants
// nothing of it to be seen, by those who may not use what is hidden, and by those who may
// but not show it.
func hides(t *testing.T, s connectortest.Setup, direct string, trusted []bool, scripts map[string][]any) {
	t.Helper()
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			if lines := raw(t, direct).play(script...); leaked(strings.Join(lines, "\n"), "") == "" {
				t.Fatalf("nothing to be seen directly: %q", lines)
			}
			for _, s.Trust = range trusted {
				l, url := listen(t, s)
				lines := raw(t, url).play(script...)
				if c := leaked(strings.Join(lines, "\n"), ""); c != "" {
					t.Errorf("trusted %v, shows %q: %s", s.Trust, c, strings.Join(lines, "\n"))
				}
				if all := l.Transcript() + l.Recorded(); leaked(all, "") != "" {
					t.Errorf("the record shows %q", leaked(all, ""))
				}
			}
		})
	}
}
