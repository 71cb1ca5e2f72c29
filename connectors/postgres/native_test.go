package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

func TestNativeSimpleQuery(t *testing.T) {
	alike(t, map[string][]any{
		"one":               {"SELECT 1 AS a, 'x'::text AS b, NULL AS c"},
		"empty":             {"", ";", " ; ;\n", "-- nothing\n", "/* nothing */"},
		"comments":          {"/* a */ SELECT 1; -- b\n", "SELECT 1 /* ; */ ; /* b */"},
		"no rows":           {"SELECT id FROM customers WHERE false", "CREATE TEMP TABLE t (a int)", "INSERT INTO t VALUES (1), (2)", "UPDATE t SET a = 3", "DELETE FROM t WHERE a = 3"},
		"no columns":        {"SELECT FROM generate_series(1, 3)"},
		"error":             {"SELECT nosuch", "SELEC 1", "SELECT 1/0", "SELECT 1"},
		"several":           {"SELECT 1; SELECT 'a', 2; SELECT 3"},
		"several, blanks":   {"; SELECT 1;; SELECT 2 ;", "SELECT 1;\n\n\t;SELECT 2"},
		"several, comments": {"SELECT 1; -- one\nSELECT 2; /* two */ SELECT nosuch"},
		"long":              {"SELECT repeat('x', 300000), generate_series(1, 5)"},
		"in transaction":    {"BEGIN", "SELECT 1", "SELECT nosuch", "SELECT 1", "ROLLBACK", "SELECT 1"},
		"savepoints":        {"BEGIN", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", "SELECT 1", "RELEASE a", "COMMIT"},
		"do":                {"DO $$ BEGIN RAISE NOTICE 'here %', 1; END $$", "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$"},
		"unicode":           {"SELECT 'žluťoučký 🐎', nosuch", "SELECT '🐎' AS \"🐎\""},
	})
}

func TestNativeSeveralStatements(t *testing.T) {
	table := "CREATE TEMP TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)"
	alike(t, map[string][]any{
		"all or nothing":         {table, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)", "SELECT a FROM t"},
		"error in the middle":    {"SELECT 1; SELECT 1/0; SELECT 2"},
		"error at the end":       {"SELECT 1; SELECT 2; SELECT nosuch"},
		"syntax error":           {table, "INSERT INTO t VALUES (3); SELEC", "SELECT a FROM t"},
		"transaction inside":     {table, "BEGIN; INSERT INTO t VALUES (2); COMMIT", "SELECT a FROM t"},
		"transaction stays":      {"BEGIN; SELECT 1", "SELECT 2; SELECT 3", "ROLLBACK"},
		"transaction breaks":     {"BEGIN; SELECT 1/0; SELECT 2", "SELECT 3", "ROLLBACK; SELECT 4"},
		"commit in the middle":   {table, "INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (3); SELECT 1/0", "SELECT a FROM t"},
		"rollback in the middle": {table, "INSERT INTO t VALUES (2); ROLLBACK; INSERT INTO t VALUES (3)", "SELECT a FROM t"},
		"begin twice":            {"BEGIN; BEGIN; SELECT 1; COMMIT; COMMIT"},
		"many":                   {"CREATE TEMP TABLE m (a int)", strings.Repeat("INSERT INTO m VALUES (1); ", 600), "SELECT count(*) FROM m"},
		"many, one fails":        {"CREATE TEMP TABLE m (a int)", strings.Repeat("INSERT INTO m VALUES (1); ", 600) + "SELECT 1/0", "SELECT count(*) FROM m"},
		"savepoint outside":      {"SELECT 1; SAVEPOINT a; SELECT 2"},
		"lock":                   {"LOCK TABLE customers IN ACCESS SHARE MODE; SELECT 1"},
		"settings":               {"SET work_mem = '1MB'; SHOW work_mem", "SET LOCAL work_mem = '2MB'; SHOW work_mem", "SHOW work_mem"},
		"search path":            {"CREATE TEMP TABLE u (a text); SELECT a FROM u; INSERT INTO u VALUES ('x'); SELECT a FROM u"},
		"search path and error":  {"SET search_path = pg_catalog; SELECT 1/0", "SELECT id FROM customers WHERE false"},
		"prepare and execute":    {"PREPARE p AS SELECT 7 AS n; EXECUTE p; DEALLOCATE p", "SELECT 1"},
		"cursor":                 {"BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 5); FETCH 2 FROM c; FETCH 2 FROM c; CLOSE c; COMMIT"},
		"cursor, implicit":       {"DECLARE c CURSOR FOR SELECT 1; FETCH c"},
		"vacuum":                 {"SELECT 1; VACUUM customers", "SET work_mem = '1MB'; VACUUM customers"},
		"deferred constraint": {"CREATE TEMP TABLE d (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
			"BEGIN; INSERT INTO d VALUES (1); INSERT INTO d VALUES (1); COMMIT", "SELECT 1"},
		"place of an error": {"SET work_mem = '1MB'; SELECT 'ž🐎';  SELECT nosuch", "SELECT 'ž🐎';  SELECT nosuch"},
		"after extended":    together(parse("", "SELECT 1"), bind("", ""), run(""), "SELECT 2; SELECT 3"),
		"schema":            {"CREATE TEMP TABLE v (a int); ALTER TABLE v ADD b text; INSERT INTO v VALUES (1, 'x'); SELECT * FROM v; DROP TABLE v; SELECT 5"},
	})
}

func TestNativeExtendedQuery(t *testing.T) {
	alike(t, map[string][]any{
		"usual":              together(all("SELECT $1::int + 1 AS n, $2::text", "4", "x"), sync_, ready{}),
		"no describe":        {parse("", "SELECT 1, 'a'"), bind("", ""), run(""), sync_, ready{}},
		"statement first":    {parse("", "SELECT $1::int"), describe('S', ""), sync_, ready{}, bind("", "", "5"), run(""), sync_, ready{}},
		"statement in one":   {parse("", "SELECT $1::int"), describe('S', ""), bind("", "", "5"), run(""), sync_, ready{}},
		"statement after":    {parse("a", "SELECT 1"), bind("", "a"), describe('S', "a"), run(""), describe('S', "a"), sync_, ready{}},
		"both":               {parse("a", "SELECT 1"), describe('S', "a"), bind("p", "a"), describe('P', "p"), run("p"), describe('P', "p"), sync_, ready{}},
		"twice":              {parse("a", "SELECT 1"), bind("", "a"), describe('P', ""), describe('P', ""), run(""), sync_, ready{}},
		"describe only":      {parse("a", "SELECT $1::text, id FROM customers"), describe('S', "a"), sync_, ready{}, describe('S', "a"), sync_, ready{}},
		"no answer":          {parse("a", "SET work_mem = '1MB'"), describe('S', "a"), bind("", "a"), describe('P', ""), run(""), sync_, ready{}},
		"empty":              {parse("", ""), describe('S', ""), bind("", ""), describe('P', ""), run(""), sync_, ready{}, parse("e", "/**/"), bind("x", "e"), run("x"), sync_, ready{}},
		"two statements":     {parse("", "SELECT 1; SELECT 2"), sync_, ready{}},
		"parameter types":    {parse("a", "SELECT $1, $2", 23, 25), describe('S', "a"), bind("", "a", "1", "x"), run(""), sync_, ready{}},
		"wrong parameters":   {parse("a", "SELECT $1::int"), bind("", "a"), run(""), sync_, ready{}, bind("", "a", "x"), run(""), sync_, ready{}},
		"formats":            {parse("a", "SELECT 1, 'x'::text, 2.5::float8, true"), bindIn([]int16{1, 0, 1, 0}, "", "a"), describe('P', ""), run(""), bindIn([]int16{1}, "", "a"), run(""), bindIn([]int16{0}, "", "a"), describe('P', ""), run(""), sync_, ready{}},
		"formats, statement": {parse("a", "SELECT 1, 'x'::text"), describe('S', "a"), sync_, ready{}, bindIn([]int16{1, 0}, "", "a"), run(""), sync_, ready{}},
		"no such format":     {parse("a", "SELECT 1, 'x'::text"), bindIn([]int16{2}, "", "a"), describe('P', ""), run(""), sync_, ready{}, bindIn([]int16{-1, 0}, "", "a"), run(""), sync_, ready{}},
		"formats in vain":    {parse("a", "SELECT FROM generate_series(1, 2)"), bindIn([]int16{1, 1}, "", "a"), run(""), sync_, ready{}, parse("b", "SET work_mem = '1MB'"), bindIn([]int16{1, 1}, "", "b"), run(""), sync_, ready{}},
		"nothing is there":   {run(""), sync_, ready{}, describe('P', ""), sync_, ready{}, describe('S', ""), sync_, ready{}, closing('P', ""), closing('S', ""), sync_, ready{}},
		"wrong formats":      {parse("a", "SELECT 1, 2"), bindIn([]int16{1, 0, 1}, "", "a"), run(""), sync_, ready{}},
		"returning":          {"CREATE TEMP TABLE t (a int)", parse("", "INSERT INTO t VALUES ($1) RETURNING a"), bind("", "", "3"), run(""), sync_, ready{}},
		"flush":              {parse("", "SELECT 1"), flush_, receive(1), bind("", ""), run(""), flush_, receive(3), sync_, ready{}},
		"syncs":              {sync_, sync_, sync_, ready{}, ready{}, ready{}},
		"binary parameters":  {parse("a", "SELECT $1::int"), &pgproto3.Bind{PreparedStatement: "a", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 0, 0, 9}}}, run(""), sync_, ready{}},
		"null parameter":     {parse("a", "SELECT $1::int IS NULL"), &pgproto3.Bind{PreparedStatement: "a", Parameters: [][]byte{nil}}, run(""), sync_, ready{}},
	})
}

func TestNativeNames(t *testing.T) {
	one, two := parse("a", "SELECT 1 AS one"), parse("a", "SELECT 2 AS two")
	exec := []any{bind("", "a"), describe('P', ""), run("")}
	silent := []any{bind("", "a"), run("")}
	table := "CREATE TEMP TABLE t (a int, v varchar(5))"
	long := strings.Repeat("ž", 31) + "n" // 63 bytes
	alike(t, map[string][]any{
		"taken":            together(one, two, sync_, ready{}, exec, sync_, ready{}),
		"closed and taken": together(one, closing('S', "a"), two, exec, sync_, ready{}),
		"closed in a batch that is skipped": together(one, sync_, ready{}, "BEGIN", parse("", "SELECT nosuch"), closing('S', "a"), sync_, ready{}, "ROLLBACK",
			exec, sync_, ready{}, two, sync_, ready{}, exec, sync_, ready{}),
		"skipped, not waited for":         together(one, sync_, ready{}, parse("", "SELECT nosuch"), closing('S', "a"), sync_, two, exec, sync_, exec, sync_, ready{}, ready{}, ready{}),
		"made in a batch that is skipped": together(parse("", "SELECT nosuch"), one, sync_, ready{}, exec, sync_, ready{}, two, exec, sync_, ready{}),
		"fails":                           together(parse("a", "SELECT nosuch"), sync_, ready{}, one, exec, sync_, ready{}),
		"unknown":                         together(exec, sync_, ready{}, describe('S', "x"), sync_, ready{}, describe('P', "x"), sync_, ready{}, run("x"), sync_, ready{}, closing('S', "x"), closing('P', "x"), sync_, ready{}),
		"unnamed replaced":                {parse("", "SELECT 1"), parse("", "SELECT 2"), bind("", ""), run(""), sync_, ready{}},
		"unnamed fails":                   {parse("", "SELECT 1"), sync_, ready{}, parse("", "SELECT nosuch"), sync_, ready{}, bind("", ""), run(""), sync_, ready{}},
		"unnamed skipped":                 {parse("", "SELECT 1"), sync_, ready{}, parse("x", "SELECT nosuch"), parse("", "SELECT 2"), sync_, ready{}, bind("", ""), run(""), sync_, ready{}},
		"unnamed and simple":              {parse("", "SELECT 1"), sync_, ready{}, "SELECT 5", bind("", ""), run(""), sync_, ready{}},
		"unnamed and bad simple":          {parse("", "SELECT 1"), sync_, ready{}, "SELEC", bind("", ""), run(""), sync_, ready{}},
		"unnamed and several":             {parse("", "SELECT 1"), sync_, ready{}, "SET work_mem = '1MB'; SELECT 2", bind("", ""), run(""), sync_, ready{}},
		"unnamed closed":                  {parse("", "SELECT 1"), closing('S', ""), bind("", ""), run(""), sync_, ready{}},
		"deallocate":                      together(one, sync_, ready{}, "DEALLOCATE a", exec, sync_, ready{}, two, exec, sync_, ready{}),
		"deallocate in one":               together(one, parse("d", "DEALLOCATE a"), bind("", "d"), run(""), exec, sync_, ready{}),
		"deallocate all":                  together(one, parse("", "SELECT 3"), sync_, ready{}, "DEALLOCATE ALL", exec, sync_, ready{}),
		"discard":                         together(one, sync_, ready{}, "DISCARD ALL", exec, sync_, ready{}, two, exec, sync_, ready{}),
		"discard fails":                   together(one, sync_, ready{}, "BEGIN", "DISCARD ALL", "ROLLBACK", exec, sync_, ready{}),
		"prepare takes the name":          together(one, sync_, ready{}, "PREPARE a AS SELECT 9", "DEALLOCATE a", "PREPARE a AS SELECT 9", one, sync_, ready{}, closing('S', "a"), one, exec, sync_, ready{}),
		"kept over a rollback":            together("BEGIN", one, sync_, ready{}, "ROLLBACK", exec, sync_, ready{}),
		"long":                            together(parse(long+"x", "SELECT 1"), bind(long+"p", long+"y"), describe('P', long+"q"), run(long+"r"), closing('S', long+"z"), bind("", long+"x"), sync_, ready{}, describe('S', long+"s"), sync_, ready{}),
		"long, and SQL's":                 together(parse(long+"x", "SELECT 1"), sync_, ready{}, "EXECUTE "+long+"y", "DEALLOCATE "+long, bind("", long+"x"), sync_, ready{}),
		"in signs":                        {parse(`a"b'c;`, "SELECT 1"), bind(`p"'`, `a"b'c;`), describe('P', `p"'`), run(`p"'`), sync_, ready{}, `DEALLOCATE "a""b'c;"`, bind("", `a"b'c;`), sync_, ready{}},
		"renewed":                         together(one, sync_, ready{}, "DO $$ BEGIN PERFORM 1; END $$", exec, sync_, ready{}, exec, sync_, ready{}),
		"renewed, other shape": together("CREATE TEMP TABLE t (a int)", parse("a", "SELECT * FROM t"), describe('S', "a"), sync_, ready{}, exec, sync_, ready{},
			"ALTER TABLE t ADD b text", exec, sync_, ready{}, closing('S', "a"), parse("a", "SELECT * FROM t"), exec, sync_, ready{}),
		"renewed, other shape, portal described": together(table, parse("a", "SELECT * FROM t"), exec, sync_, ready{}, "ALTER TABLE t ADD b text", exec, sync_, ready{}, exec, sync_, ready{}),
		"renewed, other shape, never described":  together(table, parse("a", "SELECT * FROM t"), silent, sync_, ready{}, "ALTER TABLE t ADD b text", silent, sync_, ready{}),
		"renewed, other shape, never run":        together(table, parse("a", "SELECT * FROM t"), sync_, ready{}, "ALTER TABLE t ADD b text", "BEGIN", exec, sync_, ready{}, "ROLLBACK", exec, sync_, ready{}),
		"renewed, other length":                  together(table, parse("a", "SELECT * FROM t"), describe('S', "a"), sync_, ready{}, "ALTER TABLE t ALTER v TYPE varchar(9)", exec, sync_, ready{}),
		"renewed, other default":                 together(table, parse("a", "SELECT * FROM t"), silent, sync_, ready{}, "ALTER TABLE t ALTER v SET DEFAULT 'x'", exec, sync_, ready{}),
		"renewed, gone":                          together(table, parse("a", "SELECT * FROM t"), exec, sync_, ready{}, "DROP TABLE t", exec, sync_, ready{}),
		"renewed, deallocated by code":           together(one, sync_, ready{}, "DO $$ BEGIN EXECUTE 'DEALLOCATE a'; END $$", exec, sync_, ready{}),
		"renewed in a transaction, other shape":  together(table, parse("a", "SELECT * FROM t"), exec, sync_, ready{}, "BEGIN", "ALTER TABLE t ADD b text", exec, sync_, ready{}, "ROLLBACK", exec, sync_, ready{}),
	})
}

// PREPARE and the protocol name statements in one space.
func TestNativePrepare(t *testing.T) {
	p, doubled := "PREPARE p (int) AS SELECT $1 * 2 AS n -- twice", []any{bind("", "p", "21"), describe('P', ""), run("")}
	q := parse("q", "SELECT $1::int * 3")
	alike(t, map[string][]any{
		"run by the protocol":         together(p, describe('S', "p"), doubled, describe('S', "p"), sync_, ready{}, doubled, sync_, ready{}),
		"run at once":                 together(query(p), doubled, sync_, ready{}, ready{}),
		"made by the protocol":        together(all(p), doubled, sync_, ready{}, "EXECUTE p (4)"),
		"many texts":                  together("SELECT 1; "+p+"; SELECT 2", doubled, sync_, ready{}),
		"closed by the protocol":      together(p, closing('S', "p"), doubled, sync_, ready{}, p, "EXECUTE p (1)"),
		"taken":                       together(p, parse("p", "SELECT 1"), sync_, ready{}, doubled, sync_, ready{}, p, q, sync_, ready{}, "PREPARE q AS SELECT 1", bind("", "q", "2"), run(""), sync_, ready{}),
		"executed":                    {q, sync_, ready{}, "EXECUTE q (5)", "SELECT 1; EXECUTE q (6); SELECT 2", "EXPLAIN (COSTS off) EXECUTE q (7)", "EXECUTE q", "EXECUTE q ('x')"},
		"executed at once":            {q, sync_, query("EXECUTE q (5)"), ready{}, ready{}},
		"executed in one batch":       together(q, all("EXECUTE q (8)"), sync_, ready{}),
		"executed after an error":     together(q, parse("", "SELECT nosuch"), sync_, query("EXECUTE q (9)"), ready{}, ready{}),
		"deallocated":                 {q, sync_, ready{}, "DEALLOCATE q", "EXECUTE q (1)", "DEALLOCATE q", bind("", "q", "1"), sync_, ready{}},
		"deallocated and made":        together(q, sync_, ready{}, query("DEALLOCATE q"), query("PREPARE q AS SELECT 'other'"), bind("", "q"), describe('P', ""), run(""), sync_, ready{}, ready{}, ready{}),
		"deallocated in a failure":    together(q, sync_, ready{}, "BEGIN; DEALLOCATE q; SELECT 1/0", "ROLLBACK", bind("", "q", "1"), sync_, ready{}),
		"unknown":                     {"EXECUTE nosuch", "EXECUTE nosuch (1)", "DEALLOCATE nosuch", "SELECT 1; EXECUTE nosuch; SELECT 2", "BEGIN", "EXECUTE nosuch", "SELECT 1", "ROLLBACK"},
		"unknown in the protocol":     together(describe('S', "p"), sync_, ready{}, bind("", "p"), sync_, ready{}),
		"discard plans":               together(p, q, sync_, ready{}, "DISCARD PLANS", "DISCARD SEQUENCES", "DISCARD TEMP", doubled, bind("", "q", "4"), run(""), sync_, ready{}),
		"discard all":                 together(p, q, sync_, ready{}, "DISCARD ALL", doubled, sync_, ready{}, "EXECUTE q (1)", p, doubled, sync_, ready{}),
		"after code":                  together(p, q, sync_, ready{}, "DO $$ BEGIN PERFORM 1; END $$", "EXECUTE p (3)", "EXECUTE q (3)", doubled, sync_, ready{}, describe('S', "q"), sync_, ready{}),
		"other shape":                 together("CREATE TEMP TABLE t (a int)", "PREPARE t AS SELECT * FROM t", "ALTER TABLE t ADD b int", "EXECUTE t", bind("", "t"), sync_, ready{}, "DEALLOCATE t", "PREPARE t AS SELECT * FROM t", "EXECUTE t"),
		"an empty one":                together(parse("e", ""), sync_, ready{}, bind("", "e"), run(""), sync_, ready{}),
		"parameters of unknown types": {"PREPARE u AS SELECT $1 || 'x', $2 + 1", describe('S', "u"), bind("", "u", "a", "2"), describe('P', ""), run(""), sync_, ready{}},
		"a cursor in the name":        {`PREPARE "As ("  (text, "char") AS (SELECT $1, 'AS', $2)`, bind("", "As (", "a", "b"), run(""), sync_, ready{}, `EXECUTE "As (" ('x', 'y')`},
	})
}

func TestNativePortals(t *testing.T) {
	series := parse("a", "SELECT generate_series(1, 5)")
	alike(t, map[string][]any{
		"cursor, described":             {"BEGIN", "DECLARE \"c\"\"x\" CURSOR FOR SELECT id, name FROM customers ORDER BY id", describe('P', `c"x`), sync_, ready{}, `FETCH 2 FROM "c""x"`, describe('P', `c"x`), sync_, ready{}, "COMMIT", describe('P', `c"x`), sync_, ready{}},
		"cursor, described in a batch":  together("BEGIN", all("DECLARE c CURSOR FOR SELECT 1 AS one"), describe('P', "c"), all("FETCH c"), all("CLOSE c"), describe('P', "c"), all("SELECT 1"), sync_, ready{}, "ROLLBACK"),
		"cursor, described and skipped": together("BEGIN", "DECLARE c CURSOR FOR SELECT 1 AS one", all("SELECT 1/0"), describe('P', "c"), sync_, ready{}, describe('P', "c"), sync_, ready{}, "ROLLBACK", "SELECT 1"),
		"cursor, held":                  {"DECLARE c CURSOR WITH HOLD FOR SELECT id, name FROM customers ORDER BY id LIMIT 3", describe('P', "c"), sync_, ready{}, "FETCH ALL c", "CLOSE c", describe('P', "c"), sync_, ready{}},
		"cursor, binary":                {"BEGIN", "DECLARE c BINARY CURSOR FOR SELECT id FROM customers ORDER BY id", describe('P', "c"), sync_, ready{}, "FETCH c", "COMMIT"},
		"row limits":                    {series, bind("", "a"), run("", 2), run("", 2), run("", 2), run("", 2), sync_, ready{}},
		"less than none":                {series, bind("", "a"), run("", 1<<32-1), sync_, ready{}, bind("", "a"), run("", 1<<31), sync_, ready{}},
		"exactly":                       {series, bind("", "a"), run("", 5), run("", 5), sync_, ready{}},
		"named":                         {series, bind("p", "a"), bind("q", "a"), run("p", 2), run("q", 3), run("p", 2), run("q"), run("p"), sync_, ready{}},
		"taken":                         {series, bind("p", "a"), bind("p", "a"), sync_, ready{}},
		"unnamed replaced":              {series, bind("", "a"), run("", 1), bind("", "a"), run("", 1), sync_, ready{}},
		"ends with Sync":                {series, bind("p", "a"), run("p", 2), sync_, ready{}, run("p", 2), sync_, ready{}, describe('P', "p"), sync_, ready{}},
		"stays in transaction":          {"BEGIN", series, bind("p", "a"), run("p", 2), sync_, ready{}, run("p", 2), sync_, ready{}, "SELECT 1", run("p", 2), sync_, ready{}, "COMMIT", run("p"), sync_, ready{}},
		"unnamed in transaction":        {"BEGIN", series, bind("", "a"), run("", 2), sync_, ready{}, run("", 2), sync_, ready{}, "SELECT 1", run(""), sync_, ready{}, "ROLLBACK"},
		"closed":                        {"BEGIN", series, bind("p", "a"), run("p", 2), closing('P', "p"), run("p"), sync_, ready{}, "ROLLBACK"},
		"closed and bound":              {"BEGIN", series, bind("p", "a"), run("p", 2), closing('P', "p"), bind("p", "a"), run("p"), sync_, ready{}, "ROLLBACK"},
		"savepoint":                     {"BEGIN", series, "SAVEPOINT s", bind("p", "a"), run("p", 2), sync_, ready{}, "ROLLBACK TO s", run("p"), sync_, ready{}, "ROLLBACK TO s", bind("p", "a"), run("p", 1), sync_, ready{}, "COMMIT"},
		"older than a savepoint":        {"BEGIN", series, bind("p", "a"), run("p", 2), sync_, ready{}, "SAVEPOINT s", "SELECT 1/0", "ROLLBACK TO s", run("p", 2), sync_, ready{}, "COMMIT"},
		"described in vain":             {"BEGIN", series, bind("p", "a"), sync_, ready{}, "SAVEPOINT s", parse("", "SELECT nosuch"), describe('P', "p"), sync_, ready{}, "ROLLBACK TO s", run("p", 2), sync_, ready{}, "COMMIT"},
		"commit in a pipeline":          {"BEGIN", series, parse("c", "COMMIT"), bind("p", "a"), run("p", 1), bind("", "c"), run(""), run("p", 1), sync_, ready{}},
		"bound again after commit":      {"BEGIN", series, parse("c", "COMMIT"), bind("p", "a"), run("p", 1), bind("", "c"), run(""), bind("p", "a"), run("p", 1), sync_, ready{}},
		"not to be exec again":          {"CREATE TEMP TABLE t (a int)", parse("i", "INSERT INTO t VALUES (1)"), bind("p", "i"), run("p"), run("p"), sync_, ready{}},
		"sql cursor takes the name":     {"BEGIN", "DECLARE c CURSOR FOR SELECT 1", series, bind("c", "a"), sync_, ready{}, "ROLLBACK"},
		"sql closes it":                 {"BEGIN", series, bind("c", "a"), run("c", 1), sync_, ready{}, "CLOSE c", run("c"), sync_, ready{}, "ROLLBACK"},
		"close all":                     {"BEGIN", series, bind("c", "a"), run("c", 1), sync_, ready{}, "CLOSE ALL", run("c"), sync_, ready{}, "ROLLBACK"},
		"failed":                        {"BEGIN", series, bind("p", "a"), run("p", 1), sync_, ready{}, "SELECT 1/0", run("p", 1), sync_, ready{}, "ROLLBACK"},
	})
}

func TestNativePipelines(t *testing.T) {
	bad := []any{parse("", "SELECT 1/0"), bind("", ""), run("")}
	table := "CREATE TEMP TABLE t (a int PRIMARY KEY)"
	alike(t, map[string][]any{
		"one transaction":      together(table, all("INSERT INTO t VALUES (1)"), all("INSERT INTO t VALUES (2)"), sync_, ready{}, "SELECT count(*) FROM t"),
		"an error undoes":      together(table, all("INSERT INTO t VALUES (1)"), bad, all("SELECT 1"), sync_, ready{}, "SELECT count(*) FROM t"),
		"syncs between":        together(table, all("INSERT INTO t VALUES (1)"), sync_, bad, all("SELECT 1"), sync_, all("SELECT 2"), sync_, ready{}, ready{}, ready{}, "SELECT count(*) FROM t"),
		"error, then flush":    together(bad, flush_, until("E"), all("SELECT 1"), flush_, sync_, ready{}, all("SELECT 2"), sync_, ready{}),
		"error, waited for":    together(bad, flush_, until("E"), all("SELECT 1"), closing('S', ""), describe('S', ""), sync_, ready{}),
		"begin inside":         together(table, all("BEGIN"), all("INSERT INTO t VALUES (1)"), sync_, ready{}, bad, sync_, ready{}, all("ROLLBACK"), sync_, ready{}, "SELECT count(*) FROM t"),
		"commit inside":        together(table, all("BEGIN"), all("INSERT INTO t VALUES (1)"), all("COMMIT"), bad, sync_, ready{}, "SELECT count(*) FROM t"),
		"queries":              together(all("SELECT 1"), sync_, "SELECT 2", ready{}),
		"query without Sync":   together(table, all("INSERT INTO t VALUES (1)"), "SELECT 1/0", "SELECT count(*) FROM t", all("INSERT INTO t VALUES (2)"), "SELECT 1", "SELECT count(*) FROM t"),
		"query while skipping": together(bad, &pgproto3.Query{String: "SELECT 1"}, sync_, ready{}, "SELECT 2"),
		"settings":             together(all("SET work_mem = '1MB'"), all("SHOW work_mem"), bad, sync_, ready{}, "SHOW work_mem"),
		"search path":          together(all("SET search_path = pg_catalog"), all("SELECT count(*) > 0 FROM pg_class"), sync_, ready{}, all("SELECT id FROM customers WHERE id = 1"), sync_, ready{}),
		"deferred":             together("CREATE TEMP TABLE d (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)", all("INSERT INTO d VALUES (1), (1)"), sync_, ready{}, all("SELECT 1"), sync_, ready{}),
		"many queries":         {&pgproto3.Query{String: "SELECT 1"}, &pgproto3.Query{String: "SELECT 2"}, &pgproto3.Query{String: "SELECT nosuch"}, &pgproto3.Query{String: "SELECT 3"}, ready{}, ready{}, ready{}, ready{}},
		"functions before":     together("BEGIN", all("SELECT set_config('work_mem', '1MB', true)"), all("SHOW work_mem"), bad, sync_, ready{}, "ROLLBACK"),
	})
}
