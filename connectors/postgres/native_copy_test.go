package postgres_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/bastion/mask"
)

func data(s string) pgproto3.FrontendMessage { return &pgproto3.CopyData{Data: []byte(s)} }

var (
	copyDone = &pgproto3.CopyDone{}
	copyFail = &pgproto3.CopyFail{Message: "enough"}
)

func query(text string) pgproto3.FrontendMessage { return &pgproto3.Query{String: text} }

func TestNativeCopyIn(t *testing.T) {
	table := "CREATE TEMP TABLE t (a int PRIMARY KEY, b text)"
	rest := "SELECT a, b FROM t ORDER BY a"
	into := query("COPY t FROM STDIN")
	alike(t, map[string][]any{
		"text":                   {table, into, receive(1), data("1\tx\n2\t\\N\n"), data("3\ty"), copyDone, ready{}, rest},
		"csv":                    {table, query("COPY t FROM STDIN (FORMAT csv, HEADER, DELIMITER ';')"), receive(1), data("a;b\n1;\"x;\"\n"), copyDone, ready{}, rest},
		"binary":                 {table, query("COPY t FROM STDIN (FORMAT binary)"), receive(1), data("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00\x01z\xff\xff"), copyDone, ready{}, rest},
		"not waited for":         {table, into, data("1\tx\n"), copyDone, ready{}, rest},
		"nothing":                {table, into, receive(1), copyDone, ready{}, rest},
		"fail":                   {table, into, receive(1), data("1\tx\n"), copyFail, ready{}, rest},
		"data after fail":        {table, into, receive(1), data("1\tx\n"), copyFail, data("2\ty\n"), copyDone, copyFail, ready{}, rest},
		"data after the end":     {table, into, receive(1), data("1\tx\n"), copyDone, data("2\ty\n"), copyDone, copyFail, ready{}, rest},
		"data between messages":  {data("1\n"), parse("", "SELECT 1"), data("2\n"), bind("", ""), copyDone, run(""), copyFail, sync_, ready{}},
		"bad row":                {table, into, receive(1), data("1\tx\nz\ty\n"), data("3\tz\n"), copyDone, ready{}, rest},
		"conflict":               {table, into, receive(1), data("1\tx\n1\ty\n"), copyDone, ready{}, rest},
		"in transaction":         {table, "BEGIN", into, receive(1), data("x\n"), copyDone, ready{}, "SELECT 1", "ROLLBACK", rest},
		"no such table":          {query("COPY nosuch FROM STDIN"), ready{}, data("1\n"), copyDone, "SELECT 1"},
		"extended":               {table, parse("", "COPY t FROM STDIN"), bind("", ""), describe('P', ""), run(""), flush_, until("G"), data("1\tx\n"), copyDone, sync_, ready{}, rest},
		"extended, Sync at once": {table, parse("", "COPY t FROM STDIN"), bind("", ""), run(""), sync_, until("G"), data("1\tx\n"), copyDone, sync_, ready{}, rest},
		"extended, flush inside": {table, parse("", "COPY t FROM STDIN"), bind("", ""), run(""), flush_, until("G"), data("1\tx\n"), flush_, sync_, data("2\ty\n"), copyDone, sync_, ready{}, rest},
		"extended, fail":         {table, parse("", "COPY t FROM STDIN"), bind("", ""), run(""), flush_, until("G"), data("1\tx\n"), copyFail, run(""), sync_, ready{}, rest},
		"extended, after fail":   {table, parse("", "COPY t FROM STDIN"), bind("", ""), run(""), flush_, until("G"), data("1\tx\n"), copyFail, data("2\ty\n"), copyDone, sync_, ready{}, rest},
		"extended, pipeline":     together(table, all("INSERT INTO t VALUES (5)"), parse("", "COPY t FROM STDIN"), bind("", ""), run(""), flush_, until("G"), data("1\tx\n"), copyDone, all("INSERT INTO t VALUES (6)"), sync_, ready{}, rest),
		"several":                {table, query("SELECT 1; COPY t FROM STDIN; SELECT 2"), until("G"), data("1\tx\n"), copyDone, ready{}, rest},
		"twice":                  {table, query("COPY t FROM STDIN; COPY t FROM STDIN"), until("G"), data("1\tx\n"), copyDone, until("G"), data("2\tx\n"), copyDone, ready{}, rest},
		// Where what stands before or after it has to wait until it can be read.
		"step by step":           {table, query("SET work_mem = '1MB'; COPY t FROM STDIN; SELECT count(*) FROM t"), until("G"), data("1\tx\n"), flush_, sync_, data("2\ty\n"), copyDone, ready{}, rest},
		"step by step, at once":  {table, query("SET work_mem = '1MB'; COPY t FROM STDIN; COPY t FROM STDIN (FORMAT csv); SELECT 1"), until("G"), data("1\tx\n"), copyDone, until("G"), data("2,y\n"), copyDone, ready{}, rest},
		"step by step, fail":     {table, query("SET work_mem = '1MB'; COPY t FROM STDIN; SELECT 1"), until("G"), data("1\tx\n"), copyFail, ready{}, rest},
		"step by step, bad row":  {table, query("SET work_mem = '1MB'; COPY t FROM STDIN; SELECT 1"), until("G"), data("z\tx\n"), ready{}, rest},
		"step by step, bad end":  {table, query("SET work_mem = '1MB'; COPY t FROM STDIN; SELECT 1"), until("G"), data("z\tx\n"), data("1\tx\n"), copyDone, ready{}, rest},
		"step by step, no table": {query("SET work_mem = '1MB'; COPY nosuch FROM STDIN; SELECT 1"), ready{}, "SELECT 2"},
		"transaction":            {"BEGIN", table, query("COPY t FROM STDIN; SELECT count(*) FROM t"), until("G"), data("1\tx\n"), copyDone, ready{}, rest, "COMMIT", rest},
		"nonsense":               {table, "COPY t FROM STDIN (FORMAT nonsense)", "SELECT 'ž'; COPY t TO STDOUT (FORMAT nonsense)", "COPY t TO STDOUT (FORMAT csv, NONSENSE 5)", "BEGIN", "COPY t FROM STDIN (FORMAT x)", "ROLLBACK"},
		"out of place":           {data("1\tx\n"), copyDone, copyFail, "SELECT 1"},
	})
}

// TestNativeCopyInterrupted sends what does not belong between a COPY's data. The
// server hangs up, and so does the bastion.
func TestNativeCopyInterrupted(t *testing.T) {
	s := shop(t, "native_copy")
	_, url := listen(t, s)
	begun := []any{"CREATE TEMP TABLE t (a int)", query("COPY t FROM STDIN"), until("G"), data("1\n")}
	for name, script := range map[string][]any{
		"query":    together(begun, query("SELECT 1"), until("gone")),
		"parse":    together(begun, parse("", "SELECT 1"), until("gone")),
		"describe": together(begun, describe('S', ""), until("gone")),
		"step":     together("CREATE TEMP TABLE t (a int)", query("SET work_mem = '1MB'; COPY t FROM STDIN; SELECT 1"), until("G"), data("1\n"), query("SELECT 1"), until("gone")),
		"extended": together("CREATE TEMP TABLE t (a int)", parse("", "COPY t FROM STDIN"), bind("", ""), run(""), flush_, until("G"), parse("", "SELECT 1"), bind("", ""), sync_, until("gone")),
	} {
		t.Run(name, func(t *testing.T) {
			got := raw(t, url).play(script...)
			if want := "E FATAL 08P01 unexpected message during COPY from stdin"; !strings.HasPrefix(got[len(got)-2], want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestNativeCopyOut(t *testing.T) {
	alike(t, map[string][]any{
		"text":       {"COPY (SELECT id, name, country FROM customers ORDER BY id LIMIT 20) TO STDOUT"},
		"csv":        {"COPY (SELECT id, name, country FROM customers ORDER BY id LIMIT 20) TO STDOUT (FORMAT csv, HEADER)"},
		"binary":     {"COPY (SELECT id, name, country FROM customers ORDER BY id LIMIT 20) TO STDOUT (FORMAT binary)"},
		"no rows":    {"COPY (SELECT 1 WHERE false) TO STDOUT", "COPY (SELECT 1 WHERE false) TO STDOUT (FORMAT binary)"},
		"no columns": {"COPY (SELECT FROM generate_series(1, 3)) TO STDOUT"},
		"extended":   {parse("", "COPY (SELECT 1, 'x') TO STDOUT"), bind("", ""), describe('P', ""), run(""), sync_, ready{}, "SELECT 1"},
		"several":    {"COPY (SELECT 1) TO STDOUT; COPY (SELECT 2) TO STDOUT; SELECT 3"},
		"fails":      {"COPY (SELECT 1/(3 - g) FROM generate_series(1, 5) g) TO STDOUT", "SELECT 1"},
		"large":      {"COPY (SELECT repeat('x', 200000) FROM generate_series(1, 3)) TO STDOUT", "SELECT 1"},
		"both ways":  {"CREATE TEMP TABLE t (a int)", query("COPY t FROM STDIN"), receive(1), data("1\n2\n"), copyDone, ready{}, "COPY t TO STDOUT"},
	})
}

// awkward holds what each format has to write in another way.
const awkward = `CREATE TABLE awkward (a text, secret text, "B b" text);
	GRANT ALL ON awkward TO shop_app;
	INSERT INTO awkward VALUES ('plain', 'x', 'plain'), (NULL, NULL, ''), ('', 'y', NULL), (E'tab\t,;|"''', 'z', E'new\nline\r\\'), ('\N', 'v', 'NULL'),
	('\.', 'w', '\.'), (E'\b\f\v\x01\x7f', 'u', 'žluť 🐎'), ('"', 't', '""'), (' lead', 's', 'trail '), (repeat('long,"', 20000), 'r', 'q''q\q')`

// TestNativeCopyOutMasked compares the rows that the bastion writes, where a column is
// hidden, with those that the server writes of the same values.
func TestNativeCopyOutMasked(t *testing.T) {
	s := shop(t, "native_copy_masked", mask.Label{Pattern: "public.awkward.secret", Kind: mask.Redact})
	if _, err := server.Query(t.Context(), "native_copy_masked", awkward); err != nil {
		t.Fatal(err)
	}
	_, url := listen(t, s)
	through, direct := raw(t, url), raw(t, server.URL(server.App(), "native_copy_masked"))
	for _, options := range []string{"", "(DELIMITER '|', NULL 'nothing')", "(DELIMITER ',', NULL '')", "(HEADER)", "(NULL '****')",
		"(FORMAT csv)", "(FORMAT csv, HEADER)", "(FORMAT csv, FORCE_QUOTE *)", `(FORMAT csv, FORCE_QUOTE ("B b", secret))`,
		"(FORMAT csv, DELIMITER ';', NULL 'NULL')", "(FORMAT csv, QUOTE '''')", `(FORMAT csv, QUOTE '''', ESCAPE '\')`, `(FORMAT csv, ESCAPE 'x')`,
		"(FORMAT csv, DELIMITER E'\\t', HEADER)", "(FORMAT csv, NULL '****')", "(FORMAT binary)", "(ENCODING 'LATIN9')", "(ENCODING 'UTF8', FORMAT csv)"} {
		for _, rows := range []string{"a, secret, \"B b\"", "secret", "a, secret"} {
			if strings.Contains(options, "B b") && !strings.Contains(rows, "B b") {
				continue // the server looks for the column
			}
			where := ""
			if strings.Contains(options, "LATIN") {
				where = " WHERE a = 'plain' OR a IS NULL"
			}
			stand := "'****' AS secret"
			if strings.Contains(options, "binary") {
				stand = "NULL::text AS secret"
			}
			want := direct.play("COPY (SELECT " + strings.Replace(rows, "secret", stand, 1) + " FROM awkward" + where + ") TO STDOUT " + options)
			got := through.play("COPY (SELECT " + rows + " FROM awkward" + where + ") TO STDOUT " + options)
			if len(got) < 2 || !strings.HasPrefix(got[1], "N NOTICE 00000 masked: secret") {
				t.Fatalf("%s: nothing is masked: %q", options, got)
			}
			got = append(got[:1:1], got[2:]...)
			if strings.Contains(options, "binary") { // the server sends the header by itself
				got, want = rejoin(got), rejoin(want)
			}
			t.Run(options+" "+rows, func(t *testing.T) { differ(t, got, want) })
		}
	}
	got := through.play("COPY awkward TO STDOUT (ENCODING 'SJIS')")
	if !strings.HasPrefix(got[len(got)-2], "E FATAL 0A000") {
		t.Errorf("an encoding in which delimiters hide: %q", got)
	}
}

// rejoin joins the data of a COPY.
func rejoin(lines []string) []string {
	var out []string
	var all bytes.Buffer
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "d "); ok {
			all.WriteString(strings.Trim(rest, `"`))
			continue
		}
		out = append(out, l)
	}
	return append(out, all.String())
}
