package lineage_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// corpora returns the statements of all files of the connector's testdata.
func corpora(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("../testdata/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatal("no corpora:", err)
	}
	var texts []string
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			for step := range strings.SplitSeq(strings.TrimSpace(line), ";;") {
				if step = strings.TrimSpace(step); step != "" && step[0] != '#' {
					texts = append(texts, step)
				}
			}
		}
	}
	return texts
}

// samples are texts in which constants stand wherever the grammar takes one.
var samples = []string{
	"SELECT abalance FROM pgbench_accounts WHERE aid = 4711",
	"UPDATE customers SET id = id + -5, name = 'a' WHERE id = 7 AND city = 'x'",
	"UPDATE customers SET id = 1 WHERE 1 = 1",
	"UPDATE customers SET id = 1 WHERE id > 5 OR id < 7",
	"UPDATE customers SET id = 1 WHERE name LIKE 'a%'",
	"UPDATE customers SET id = 1 WHERE name LIKE '%'",
	"UPDATE customers SET id = 1 WHERE id = 4 OR 'a' = 'a'",
	"UPDATE customers SET id = 1 WHERE CASE 1 WHEN 1 THEN true ELSE id = 5 END",
	"DELETE FROM customers WHERE id BETWEEN 5 AND 9",
	"DELETE FROM customers WHERE length(name) >= 0",
	"DELETE FROM customers WHERE name ~ 'x'",
	"DELETE FROM customers WHERE NOT id = 5 OR id = 5",
	"DELETE FROM customers WHERE '1'::bool",
	"SELECT id, email FROM customers ORDER BY 2",
	"SELECT id, email FROM customers GROUP BY 1, 2 ORDER BY email LIMIT 5 OFFSET 7",
	"SELECT name::varchar(10), id::numeric(5, 2), interval '1 day', date '2020-01-01', 'x'::float(24) FROM customers",
	"SELECT current_setting('search_path'), current_setting('x.y')",
	"SELECT set_config('work_mem', '1', true)",
	"SELECT a[1], a[1:2], $1, $2 + 1, -1, - -1, +1, 1.5, 0x1F, 1_000, 1e5, 123456789, 1234567890 FROM customers",
	"SELECT 'it''s', 'a' 'b', 'a'\n'b', E'a', U&'a', B'1', X'1f', $$a$$, \"Name\", 'é', '', date'2020-01-01' FROM customers",
	"SELECT U&\"d!0061ta\" UESCAPE '!' FROM customers",
	"SELECT 1 -- 2\n, 3",
	"SELECT 1 /* 2 */, 3",
	"SELECT 5-3, 5 -3, 5- -3, x'1' FROM customers",
	"SELECT * FROM generate_series(1, 10) g WHERE g IN (1, 2, 3)",
	"SELECT * FROM customers FETCH FIRST 5 ROWS ONLY",
	"SELECT * FROM customers TABLESAMPLE bernoulli (10) REPEATABLE (5)",
	"SELECT sum(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING) FROM customers",
	"SELECT extract('year' FROM now()), substring('abc' from 1 for 2), trim(both 'x' from name), position('a' in name) FROM customers",
	"SELECT name LIKE 'a' ESCAPE 'b', name SIMILAR TO 'x' FROM customers",
	"SELECT current_timestamp(3), localtime(2)",
	"SELECT json_value('{}', '$.a'), x.a FROM json_table('[]', '$[*]' COLUMNS (a int PATH '$.a')) x",
	"SELECT xmltable.a FROM xmltable('/r' PASSING '<r/>' COLUMNS a int PATH 'x')",
	"INSERT INTO customers (id, name) VALUES (1, 'a'), (2, 'b') ON CONFLICT (id) DO UPDATE SET name = 'c' WHERE customers.id > 5",
	"MERGE INTO customers c USING (VALUES (1)) v (id) ON c.id = v.id WHEN MATCHED AND 1 = 1 THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')",
	"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n",
	"SELECT * FROM xmltable(xmlnamespaces('u' AS x), '/r' PASSING '<r/>' COLUMNS a int PATH 'x' DEFAULT 5)",
	"SELECT substr(email, 1, 3), substring(email from 2 for 5), substr(email, -1, 3), substr(email, 1, -3), substr(email, 0, - 7) FROM customers",
	"SET work_mem = 5", "FETCH 5 FROM c", "EXECUTE p(1, 'x')", "DECLARE c CURSOR FOR SELECT 1", "PREPARE p AS SELECT 1",
	"COPY customers TO STDOUT (DELIMITER ',')", "ALTER ROLE x PASSWORD 'y'", "NOTIFY c, 'x'", "EXPLAIN SELECT 1",
	"SELECT bit(3) '101', char(5) 'a', time(3) '10:00', interval(3) '1', interval '1' second(2), float8 '1'",
}

// substitute puts other constants in the place of some of a text's.
func substitute(r *rand.Rand, text string) string {
	numbers := []string{"0", "1", "2", "3", "5", "24", "25", "53", "54", "4711", "999999999", "1000000000", "007"}
	texts := []string{"", "a", "%", "t", "false", "1", "search_path", "client_encoding", "work_mem", "2020-01-01", ".*", "!", "x y", "it", "--", "/*", "$1", ";", "\"", "E", "ü", "\\", "''"}
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c >= '0' && c <= '9' && (i == 0 || !strings.ContainsRune("0123456789", rune(text[i-1]))):
			j := i
			for j < len(text) && text[j] >= '0' && text[j] <= '9' {
				j++
			}
			if r.IntN(2) == 0 {
				b.WriteString(numbers[r.IntN(len(numbers))])
			} else {
				b.WriteString(text[i:j])
			}
			i = j
		case c == '\'':
			j := i + 1
			for j < len(text) && text[j] != '\'' {
				j++
			}
			j = min(j+1, len(text))
			if r.IntN(2) == 0 {
				b.WriteString("'" + texts[r.IntN(len(texts))] + "'")
			} else {
				b.WriteString(text[i:j])
			}
			i = j
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

// TestShared: whatever was read before, a text is read as if it were the first one.
func TestShared(t *testing.T) {
	c := shop()
	shared := lineage.NewReader(c)
	r := rand.New(rand.NewPCG(1, 2))
	texts := append(corpora(t), samples...)
	found := 0
	for _, text := range texts {
		for n := range 12 {
			varied := text
			if n > 0 {
				varied = substitute(r, text)
			}
			got, err := shared.Read(varied, session)
			want, err2 := lineage.NewReader(c).Read(varied, session)
			if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
				// A constant may be wrong in itself: the server says so then.
				t.Fatalf("%s\nread first as %s\n%v, alone: %v", varied, text, err, err2)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%s\nlike %s\nis not read as it is alone (-alone +shared):\n%s", varied, text, d)
			}
			if again, err := shared.Read(varied, session); err == nil && again == got && n > 0 {
				found++
			}
		}
	}
	t.Logf("%d texts, %d readings found again", len(texts), found)
}

// TestShapes: texts that differ in plain constants share a reading, others do not.
func TestShapes(t *testing.T) {
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"SELECT id FROM customers WHERE id = 1", "SELECT id FROM customers WHERE id = 99", true},
		{"SELECT id FROM customers WHERE name = 'a'", "SELECT id FROM customers WHERE name = ''", true},
		{"SELECT id FROM customers LIMIT 1", "SELECT id FROM customers LIMIT 2", true},
		{"UPDATE customers SET id = id + 1 WHERE id = 2", "UPDATE customers SET id = id + 5 WHERE id = 3", true},
		{"INSERT INTO customers (id, name) VALUES (1, 'a')", "INSERT INTO customers (id, name) VALUES (2, 'b')", true},
		{"SELECT id FROM customers ORDER BY 1", "SELECT id FROM customers ORDER BY 2", false},
		{"DELETE FROM customers WHERE id = 1 OR 1 = 1", "DELETE FROM customers WHERE id = 1 OR 1 = 2", false},
		{"SELECT id FROM customers WHERE name = 'a'", "SELECT id FROM customers WHERE name = 'it''s'", false},
		{"SELECT id FROM customers WHERE name = 'a'", "SELECT id FROM customers WHERE name = E'a'", false},
		{"SELECT id FROM customers WHERE id = 1", "SELECT id FROM customers WHERE id = 1.5", false},
		{"SELECT id FROM customers WHERE id = 1", "SELECT id FROM customers WHERE id = $1", false},
		{"SELECT current_setting('work_mem')", "SELECT current_setting('x.y')", false},
		{"SELECT 'a'::float(24) FROM log", "SELECT 'a'::float(25) FROM log", false},
	} {
		r := lineage.NewReader(shop())
		one, err := r.Read(c.one, session)
		other, err2 := r.Read(c.other, session)
		if err != nil || err2 != nil {
			t.Errorf("%v, %v", err, err2)
		}
		if (one == other) != c.same {
			t.Errorf("%s\n%s\nshare a reading: %v, want %v", c.one, c.other, one == other, c.same)
		}
	}
}

// TestSessions: sessions with other settings, paths or temporary schemas do not share.
func TestSessions(t *testing.T) {
	r := lineage.NewReader(shop())
	base := lineage.Session{Path: []string{"pg_catalog", "public"}, Settings: "a"}
	const text = "SELECT id FROM customers WHERE id = 1"
	first, err := r.Read(text, base)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]lineage.Session{
		"settings":    {Path: base.Path, Settings: "b"},
		"path":        {Path: []string{"pg_catalog", "other"}, Settings: "a"},
		"temporary":   {Path: []string{"pg_temp_3", "pg_catalog", "public"}, Settings: "a"},
		"uncommitted": {Path: base.Path, Settings: "a", Uncommitted: true},
	} {
		if rd, err := r.Read(text, s); err != nil || rd == first {
			t.Errorf("another session with other %s shares a reading: %v", name, err)
		}
	}
	// Settings name the path, so that this one's place is taken by the other path's.
	again, err := r.Read(text, base)
	if err != nil || again == first {
		t.Errorf("two paths of the same settings: %v", err)
	}
	if d := cmp.Diff(first, again); d != "" {
		t.Error(d)
	}
}

// TestConstants: the values of constants are looked at in one place alone, which notes
// that they were.
func TestConstants(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := map[string]bool{"GetAConst": true, "AConst": true, "GetIval": true, "GetFval": true, "GetBsval": true, "GetBoolval": true, "GetIsnull": true, "Isnull": true,
		"A_Const_Ival": true, "A_Const_Sval": true, "A_Const_Fval": true, "A_Const_Boolval": true, "A_Const_Bsval": true}
	for _, path := range paths {
		if path == "constant.go" || strings.HasSuffix(path, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && forbidden[s.Sel.Name] {
				t.Errorf("%s uses %s; constant.go does", set.Position(s.Pos()), s.Sel.Name)
			}
			return true
		})
	}
}

// TestBounded: the cache does not grow without end, and forgets what is not used.
func TestBounded(t *testing.T) {
	r := lineage.NewReader(shop())
	kept := "SELECT id FROM customers WHERE id = 1"
	first, err := r.Read(kept, session)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat(", id", 5000)
	for i := range 3000 {
		s := session
		s.Settings = fmt.Sprint(i)
		if i%1000 == 0 {
			if _, err := r.Read("SELECT id"+long[:4*400]+" FROM customers", s); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Read(fmt.Sprintf("SELECT 1.%d, id FROM customers", i), s); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.Cached(); n > 2*8<<20 {
		t.Errorf("the cache holds %d bytes", n)
	}
	if again, err := r.Read(kept, session); err != nil || again != first {
		t.Errorf("what fits was forgotten: %v", err)
	}
}

// TestConcurrent: a reader serves many sessions at once.
func TestConcurrent(t *testing.T) {
	r := lineage.NewReader(shop())
	texts := append(corpora(t), samples...)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range texts {
				// Refusals are as good as readings here.
				_, _ = r.Read(texts[(i*7+g*13)%len(texts)], session)
			}
		})
	}
	wg.Wait()
}

// plainTree takes places and the values of constants out of a tree.
func plainTree(m protoreflect.Message) {
	switch x := m.Interface().(type) {
	case *pg.A_Const:
		switch v := x.Val.(type) {
		case *pg.A_Const_Ival:
			v.Ival.Ival = 0
		case *pg.A_Const_Sval:
			v.Sval.Sval = ""
		}
		x.Location = 0
		return
	case *pg.SQLValueFunction:
		x.Typmod = 0
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.Name() == "location" || d.Name() == "stmt_len" || d.Name() == "stmt_location" || strings.HasSuffix(string(d.Name()), "_location"):
			m.Clear(d)
		case d.Message() == nil:
		case d.IsList():
			for i := range v.List().Len() {
				plainTree(v.List().Get(i).Message())
			}
		default:
			plainTree(v.Message())
		}
		return true
	})
}

// FuzzShape: texts of one shape have trees that differ in the values of constants
// alone, where both are queries.
func FuzzShape(f *testing.F) {
	for i, text := range append(corpora(f), samples...) {
		f.Add(text, uint64(i))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		other := substitute(rand.New(rand.NewPCG(seed, 1)), text)
		one, ok := lineage.Shape(text)
		two, ok2 := lineage.Shape(other)
		if !ok || !ok2 || one != two || len(text) > 2000 {
			return
		}
		x, err := pg.Parse(text)
		y, err2 := pg.Parse(other)
		if err != nil || err2 != nil {
			return
		}
		if len(x.Stmts) != len(y.Stmts) {
			t.Fatalf("%q and %q hold %d and %d statements", text, other, len(x.Stmts), len(y.Stmts))
		}
		if len(x.Stmts) != 1 {
			return
		}
		switch x.Stmts[0].Stmt.Node.(type) {
		case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		default:
			return
		}
		plainTree(x.ProtoReflect())
		plainTree(y.ProtoReflect())
		if !proto.Equal(x, y) {
			t.Fatalf("%q and %q have one shape and differ:\n%s", text, other, cmp.Diff(x.String(), y.String()))
		}
	})
}

const pgbench = "SELECT abalance FROM pgbench_accounts WHERE aid = %d;"

// BenchmarkShape reads texts that differ in a number, as pgbench sends them.
func BenchmarkShape(b *testing.B) {
	texts := make([]string, 1000)
	for i := range texts {
		texts[i] = fmt.Sprintf(pgbench, i*i+1)
	}
	s := session
	s.Settings = "database=shop user=app role=app search_path=public schemas=pg_catalog,public row_security=on session_replication_role=origin transform_null_equals=off datestyle='ISO, MDY' intervalstyle=postgres timezone='Etc/UTC'"
	r := lineage.NewReader(shop())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.Read(texts[i%len(texts)], s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkShapeTyped is a longer text, with several constants.
func BenchmarkShapeTyped(b *testing.B) {
	texts := make([]string, 1000)
	for i := range texts {
		texts[i] = fmt.Sprintf("SELECT o.id, o.status, c.name, upper(c.email) FROM customers o JOIN log l ON l.id = o.id JOIN customers c ON c.id = o.id WHERE o.city = 'Bonn %d' AND c.id > %d ORDER BY o.id DESC LIMIT 50", i, i)
	}
	r := lineage.NewReader(shop())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.Read(texts[i%len(texts)], session); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkShapeParallel is BenchmarkShape from many sessions at once.
func BenchmarkShapeParallel(b *testing.B) {
	r := lineage.NewReader(shop())
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		text := fmt.Sprintf(pgbench, 5)
		for p.Next() {
			if _, err := r.Read(text, session); err != nil {
				b.Fatal(err)
			}
		}
	})
}
