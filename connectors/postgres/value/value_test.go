package value_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sallyport/sallyport/bastion/demo/pgserver"
	"github.com/sallyport/sallyport/connectors/postgres/value"
)

var server *pgserver.Server

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	server, err = pgserver.Start(context.Background(), pgserver.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Close()
	return m.Run()
}

func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL(server.Superuser(), "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	if _, err := conn.Exec(t.Context(), "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET lc_monetary = 'C'"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// samples are values of every type that has a binary format, as text.
var samples = map[string][]string{
	"bool": {"t", "f"}, "int2": {"0", "-32768", "32767"}, "int4": {"0", "-2147483648", "2147483647"}, "int8": {"-9223372036854775808", "9223372036854775807"},
	"oid": {"0", "4294967295"}, "xid": {"7"}, "cid": {"7"}, "xid8": {"18446744073709551615"}, "tid": {"(4294967295,65535)"}, "pg_lsn": {"16/B374D848", "0/0"},
	"float4": {"0", "1.5", "-3.4028235e+38", "1e-45", "123456", "1.234567e+06", "1e+06", "0.0001", "1e-05", "NaN", "Infinity", "-Infinity"},
	"float8": {"0", "-0", "1.5", "1e+300", "5e-324", "123456789012345", "1e+15", "1234567890123456", "0.0001", "1e-05", "NaN", "Infinity"},
	"numeric": {"0", "0.00", "1", "-1", "10000", "9999.9999", "0.0001", "0.00001234", "123456789012345678901234567890.123456789", "-0.5", "NaN", "Infinity", "-Infinity",
		"1000000000000", "1.50", "100.000000"},
	"money": {"$0.00", "$1,234,567.89", "-$92,233,720,368,547,758.08", "$999.99", "$0.05"},
	"text":  {"", "plain", "Ünï\n\"quoted\"", `back\slash`}, "varchar": {"x"}, "bpchar": {"abc"}, "name": {"n"}, `"char"`: {"c"},
	"bytea": {`\x`, `\x00ff10`}, "uuid": {"550e8400-e29b-41d4-a716-446655440000"},
	"date":        {"2000-01-01", "1970-01-01", "2024-02-29", "1900-03-01", "0001-01-01", "0044-03-15 BC", "4713-01-01 BC", "12345-06-07", "5874897-12-31", "infinity", "-infinity", "1999-12-31", "2400-02-29"},
	"time":        {"00:00:00", "23:59:59.999999", "24:00:00", "01:02:03.5"},
	"timetz":      {"12:34:56+00", "12:34:56.1-05", "00:00:00+05:30", "00:00:00-00:00:30", "01:00:00+15:59:59"},
	"timestamp":   {"2000-01-01 00:00:00", "1999-12-31 23:59:59.999999", "0044-03-15 10:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity", "2024-05-06 07:08:09.01"},
	"timestamptz": {"2000-01-01 00:00:00+00", "1969-07-20 20:17:40+00", "infinity", "0044-03-15 10:00:00+00 BC"},
	"interval": {"00:00:00", "1 year", "-1 years", "1 mon", "2 mons 3 days", "1 day", "-1 days +02:03:04", "1 year 2 mons 3 days 04:05:06.789", "-1 years -2 mons +3 days -04:05:06",
		"-00:00:00.000001", "1000:00:00", "-2 mons", "178000000 years"},
	"json": {`{"a": [1, "x"]}`}, "jsonb": {`{"a": [1, "x"]}`, "12"}, "jsonpath": {`$."a"[*]`}, "xml": {"<a>b</a>"},
	"inet": {"10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "::ffff:1.2.3.4", "0.0.0.0/0"}, "cidr": {"10.0.0.0/8", "1.2.3.4/32", "2001:db8::/32", "::1/128"},
	"macaddr": {"08:00:2b:01:02:03"}, "macaddr8": {"08:00:2b:01:02:03:04:05"}, "bit(5)": {"10110"}, "bit varying": {"", "1", "101100111000"},
	"point": {"(1.5,-2)"}, "lseg": {"[(1,2),(3,4)]"}, "box": {"(3,4),(1,2)"}, "path": {"((1,2),(3,4))", "[(1,2),(3,4)]"}, "polygon": {"((0,0),(1,1),(1,0))"},
	"line": {"{1,-1,0.5}"}, "circle": {"<(1,2),3>"},
	"tsvector": {"", "'a':1 'cat':2A,3B,4C 'it''s' 'sl\\\\ash'"}, "int4range": {"[1,5)", "empty", "(,5)", "[1,)", "(,)"}, "int8range": {"[1,5)"},
	"numrange": {"[1.5,2.5]", "(-1,0)"}, "daterange": {"[2024-01-01,2024-02-01)"}, "tsrange": {`["2024-01-01 00:00:00","2024-02-01 00:00:00")`},
	"tstzrange": {`["2024-01-01 00:00:00+00",)`}, "int4multirange": {"{}", "{[1,3),[5,9)}"}, "tsmultirange": {`{["2024-01-01 00:00:00","2024-02-01 00:00:00")}`},
	"int4[]":    {"{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:2]={7,8,9}", "[2:3][-1:0]={{1,2},{3,4}}", "{{{1},{2}},{{3},{4}}}"},
	"text[]":    {"{}", `{a,"b c","","NULL",NULL,"x\"y","back\\slash","{}","c,d",nullx}`, `{{"a b",c},{d,"e\"f"}}`},
	"numeric[]": {"{1.5,-2,NaN}"}, "timestamptz[]": {`{"2024-01-01 00:00:00+00"}`}, "box[]": {"{(3,4),(1,2);(7,8),(5,6)}"}, "bytea[]": {`{"\\x00ff"}`},
	"uuid[]": {"{550e8400-e29b-41d4-a716-446655440000}"}, "jsonb[]": {`{"{\"a\": 1}"}`}, "int4range[]": {`{"[1,5)",empty}`}, "bool[]": {"{t,f}"}, "date[]": {"{2024-01-01}"},
	"int2vector": {"1 2 3", ""}, "oidvector": {"25 1700"}, "point[]": {`{"(1,2)"}`}, "interval[]": {`{"1 day 00:00:01"}`}, "varchar[]": {"{a}"}, "bit varying[]": {"{101}"},
	"void": {""}, "refcursor": {"c"}, "regclass": {"0"}, "regtype": {"0"},
	"tsquery": {"'a' & 'b'"}, "txid_snapshot": {"1:1:"},
}

// read asks the server for a value of a type in both formats.
func read(t testing.TB, conn *pgx.Conn, expression string) (typ value.Type, text, binary []byte) {
	t.Helper()
	for format := range int16(2) {
		r := conn.PgConn().ExecParams(t.Context(), "SELECT "+expression, nil, nil, nil, []int16{format}).Read()
		if r.Err != nil {
			t.Fatalf("%s: %v", expression, r.Err)
		}
		typ.OID = r.FieldDescriptions[0].DataTypeOID
		if format == value.TextFormat {
			text = r.Rows[0][0]
		} else {
			binary = r.Rows[0][0]
		}
	}
	row := conn.QueryRow(t.Context(), "SELECT typname, typcategory, typelem FROM pg_type WHERE oid = $1", typ.OID)
	var category string
	if err := row.Scan(&typ.Name, &category, &typ.Elem); err != nil {
		t.Fatal(err)
	}
	typ.Category = category[0]
	return typ, text, binary
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// What Text makes of a binary value is what the server itself writes.
func TestTextIsWhatTheServerWrites(t *testing.T) {
	conn := connect(t)
	for name, values := range samples {
		switch name {
		case "void", "tsquery", "txid_snapshot":
			continue // TestTextOfUnknownForms
		}
		for _, v := range values {
			typ, text, binary := read(t, conn, quote(v)+"::"+name)
			want := string(text)
			if strings.HasPrefix(name, "reg") {
				want = "0"
			}
			if got := string(value.Text(value.Type{OID: typ.OID}, value.BinaryFormat, binary)); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			if got := value.Text(typ, value.TextFormat, text); !bytes.Equal(got, text) {
				t.Errorf("%s in text: %q", name, got)
			}
		}
	}
	for _, e := range []string{"ROW(1, 'a b', NULL, '', 'x\"y', ARRAY['p q', 'r'], ROW('(', 2.5))", "ARRAY[ROW(1, 'x,y'), ROW(2, NULL)]", "ROW(ARRAY[ROW(ARRAY['a \"b']::text[])])", "ROW()"} {
		typ, text, binary := read(t, conn, e)
		if got := value.Text(typ, value.BinaryFormat, binary); !bytes.Equal(got, text) {
			t.Errorf("%s: %q, want %q", e, got, text)
		}
	}
}

// Types of a database: by name and category.
func TestTypesOfADatabase(t *testing.T) {
	conn := connect(t)
	const schema = `CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS hstore; CREATE TYPE mood AS ENUM ('sad', 'ok');
		CREATE TYPE pair AS (a int, b text); CREATE DOMAIN email AS text; CREATE TYPE words AS RANGE (subtype = text)`
	if _, err := conn.Exec(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		expression string
		text       string // what Text makes of it
		words      bool
		blank      string // "-" for NULL
	}{
		{"'A b'::citext", "A b", true, "****"},
		{"'sad'::mood", "sad", false, "-"},
		{"'ann@example.com'::email", "ann@example.com", true, "****"},
		{"ROW(1, 'x y')::pair", `(1,"x y")`, false, "-"},
		{`'a=>1, "b c"=>NULL, q=>"x\"y"'::hstore`, `"a"=>"1", "q"=>"x\"y", "b c"=>NULL`, false, ""},
		{"ARRAY['sad', 'ok']::mood[]", "{sad,ok}", false, "{}"},
		{"ARRAY['a b']::citext[]", `{"a b"}`, false, "{}"},
		{"'[a,b)'::words", "[a,b)", false, "empty"},
	} {
		typ, _, binary := read(t, conn, c.expression)
		if got := string(value.Text(typ, value.BinaryFormat, binary)); got != c.text && !strings.HasPrefix(got, c.text) {
			t.Errorf("%s: %q, want %q", c.expression, got, c.text)
		}
		if value.IsText(typ) != c.words {
			t.Errorf("%s: words %v", c.expression, !c.words)
		}
		v, ok := value.Blank(typ, value.TextFormat)
		if !ok && c.blank != "-" || ok && string(v) != c.blank {
			t.Errorf("%s: blank %q, %v, want %q", c.expression, v, ok, c.blank)
		}
		for format := range int16(2) {
			if v, ok := value.Blank(typ, format); ok {
				accepted(t, conn, typ, format, v)
			}
		}
	}
}

// accepted sends a value to the server as a parameter of its type, and returns what
// the server reads it as.
func accepted(t testing.TB, conn *pgx.Conn, typ value.Type, format int16, v []byte) string {
	t.Helper()
	r := conn.PgConn().ExecParams(t.Context(), "SELECT $1", [][]byte{v}, []uint32{typ.OID}, []int16{format}, []int16{value.TextFormat}).Read()
	if r.Err != nil {
		t.Errorf("%s in format %d: the server does not take %q: %v", typ.Name, format, v, r.Err)
		return ""
	}
	return string(r.Rows[0][0])
}

// decoded reads a value as pgx does, into what it reads a type into by itself.
func decoded(t testing.TB, conn *pgx.Conn, typ value.Type, format int16, v []byte) any {
	t.Helper()
	known, ok := conn.TypeMap().TypeForOID(typ.OID)
	if !ok || format == value.BinaryFormat && !known.Codec.FormatSupported(format) {
		return nil
	}
	got, err := known.Codec.DecodeValue(conn.TypeMap(), typ.OID, format, v)
	if err != nil {
		t.Errorf("%s in format %d: pgx does not decode %q: %v", typ.Name, format, v, err)
	}
	return got
}

// One column of each type; each is hidden in each format, and the server and pgx
// take what stands for it.
func TestBlankAndNumber(t *testing.T) {
	conn := connect(t)
	numbers, blanks := 0, 0
	for name, values := range samples {
		expression := quote(values[0]) + "::" + name
		if name == "void" {
			expression = "pg_notify('a', 'b')"
		}
		typ, _, _ := read(t, conn, expression)
		for _, format := range []int16{value.TextFormat, value.BinaryFormat} {
			v, ok := value.Blank(typ, format)
			if !ok {
				if name != "txid_snapshot" {
					t.Errorf("%s has no blank", name)
				}
				continue
			}
			blanks++
			if v == nil {
				t.Errorf("%s: the blank is NULL", name)
			}
			decoded(t, conn, typ, format, v)
			if name == "tsquery" || name == "int2vector" || name == "oidvector" { // the server sends empty ones and does not take them back
				if _, text, binary := read(t, conn, "''::"+name); string(v) != string(text) && string(v) != string(binary) {
					t.Errorf("%s: the blank is %q", name, v)
				}
				continue
			}
			if name == "void" {
				continue // nothing can be sent of it
			}
			shown := accepted(t, conn, typ, format, v)
			if other, _ := value.Blank(typ, 1-format); shown != accepted(t, conn, typ, 1-format, other) {
				t.Errorf("%s: the formats differ: %q", name, shown)
			}
			if value.IsText(typ) != (string(v) == "****") {
				t.Errorf("%s: words %v, blank %q", name, value.IsText(typ), v)
			}
			if got := value.Text(typ, format, v); format == value.BinaryFormat && name != "tsquery" && name != "regclass" && name != "regtype" && string(got) != shown {
				t.Errorf("%s: blank %q, the server shows %q", name, got, shown)
			}
			if value.IsJSON(typ) != (name == "json" || name == "jsonb") || value.Inline(typ) != (value.IsText(typ) || value.IsJSON(typ) || name == "xml") {
				t.Errorf("%s: JSON %v, inline %v", name, value.IsJSON(typ), value.Inline(typ))
			}
			seen := map[string]bool{}
			for _, n := range []uint64{0, 1, 2, 12345, 1 << 15, 1<<16 - 1, 1<<31 - 1, 1 << 32, 1<<53 + 1, 1 << 63, 1<<64 - 1} {
				v, ok := value.Number(typ, format, n)
				if !ok {
					break
				}
				numbers++
				decoded(t, conn, typ, format, v)
				shown := accepted(t, conn, typ, format, v)
				if strings.HasPrefix(shown, "-") || shown == "0" || shown == "$0.00" {
					t.Errorf("%s: %d became %s", name, n, shown)
				}
				other, _ := value.Number(typ, 1-format, n)
				if accepted(t, conn, typ, 1-format, other) != shown {
					t.Errorf("%s: the formats differ for %d: %s", name, n, shown)
				}
				if again, _ := value.Number(typ, format, n); !bytes.Equal(again, v) {
					t.Errorf("%s: %d has two pseudonyms", name, n)
				}
				seen[shown] = true
			}
			if len(seen) > 0 && len(seen) < 5 {
				t.Errorf("%s: %d pseudonyms", name, len(seen))
			}
		}
	}
	if blanks < 120 || numbers < 200 {
		t.Errorf("%d blanks, %d numbers", blanks, numbers)
	}
	for _, n := range []string{"int2", "int4", "int8", "numeric", "float4", "float8", "oid", "money", "uuid", "xid8"} {
		typ, _, _ := read(t, conn, quote(samples[n][0])+"::"+n)
		if _, ok := value.Number(typ, value.TextFormat, 7); !ok {
			t.Errorf("%s has no pseudonyms", n)
		}
	}
	if _, ok := value.Number(value.Type{OID: pgtype.TextOID}, value.TextFormat, 7); ok {
		t.Error("text has numbers")
	}
	for _, format := range []int16{-1, 2} {
		if _, ok := value.Blank(value.Type{OID: 23}, format); ok {
			t.Error("an unknown format has blanks")
		}
		if _, ok := value.Number(value.Type{OID: 23}, format, 1); ok {
			t.Error("an unknown format has numbers")
		}
		if _, ok := value.Number(value.Type{OID: 2950}, format, 1); ok {
			t.Error("an unknown format has UUIDs")
		}
		if got := string(value.Text(value.Type{OID: 25}, format, []byte("x"))); got != `\x78` {
			t.Errorf("an unknown format is read as %q", got)
		}
	}
}

// A whole row through pgx: what stands for the values of one column of each type is
// read into what a program would read them into.
func TestPgxReadsHiddenRows(t *testing.T) {
	conn := connect(t)
	for format := range int16(2) {
		hidden := func(oid uint32) []byte {
			v, ok := value.Blank(value.Type{OID: oid}, format)
			if !ok {
				t.Fatalf("type %d has no blank", oid)
			}
			return v
		}
		var (
			i   int64
			s   string
			b   bool
			f   float64
			n   pgtype.Numeric
			d   pgtype.Date
			at  pgtype.Timestamptz
			u   [16]byte
			a   []string
			raw []byte
			r   pgtype.Range[pgtype.Int4]
			in  pgtype.Interval
			m   any
		)
		for oid, to := range map[uint32]any{20: &i, 25: &s, 16: &b, 701: &f, 1700: &n, 1082: &d, 1184: &at, 2950: &u, 1009: &a, 17: &raw, 3904: &r, 1186: &in, 3802: &m, 114: &m} {
			if err := conn.TypeMap().Scan(oid, format, hidden(oid), to); err != nil {
				t.Errorf("type %d in format %d: %v", oid, format, err)
			}
		}
		if i != 0 || s != "****" || b || len(a) != 0 || m != "****" || d.Time.Format("2006-01-02") != "2000-01-01" {
			t.Errorf("read %v %q %v %v %v %v", i, s, b, a, m, d)
		}
	}
}

func TestTextOfUnknownForms(t *testing.T) {
	conn := connect(t)
	for _, c := range []struct {
		typ  uint32
		v    string
		want string
	}{
		{23, "\x00\x01", `\x0001`}, {23, "\x00\x00\x00\x01\x00", `\x0000000100`}, {2950, "short", `\x73686f7274`},
		{99999, "words", "words"}, {99999, "\x00\x01", `\x0001`}, {99999, "\xff", `\xff`}, {3802, "\x02{}", `\x027b7d`}, {2278, "", ""},
		{1007, "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x17\x7f\xff\xff\xff\x00\x00\x00\x01", `\x0000000100000000000000177fffffff00000001`},
		{1007, "\xff\xff\xff\xff", `\xffffffff`}, {1700, "\x7f\xff\x7f\xff\x00\x00\x3f\xff", `\x7fff7fff00003fff`}, {2249, "\x7f\xff\xff\xff", `\x7fffffff`},
		{3614, "\x00\x00\x00\x01abc", `\x00000001616263`}, {1560, "\x7f\xff\xff\xff\x00", `\x7fffffff00`},
	} {
		if got := string(value.Text(value.Type{OID: c.typ}, value.BinaryFormat, []byte(c.v))); got != c.want {
			t.Errorf("type %d: %q became %q, want %q", c.typ, c.v, got, c.want)
		}
	}
	_, _, binary := read(t, conn, "'a & b'::tsquery")
	if got := string(value.Text(value.Type{OID: 3615}, value.BinaryFormat, binary)); !strings.HasPrefix(got, `\x`) {
		t.Errorf("tsquery: %q", got)
	}
	big := bytes.Repeat([]byte{0}, 8<<20)
	if got := value.Text(value.Type{OID: 99999}, value.BinaryFormat, big); len(got) > value.Limit+16 || !bytes.HasSuffix(got, []byte("...")) {
		t.Errorf("%d bytes", len(got))
	}
	if value.Text(value.Type{OID: 23}, value.BinaryFormat, nil) != nil {
		t.Error("NULL is something")
	}
}

// An array of numbers that are short on the wire and long in words, which no server
// sends, does not grow without bound.
func TestHostileLengths(t *testing.T) {
	number := "\x00\x00\x00\x08" + "\x00\x00\x7f\xff\x00\x00\x3f\xff"
	const count = 100000
	v := binary.BigEndian.AppendUint32([]byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06\xa4"), count)
	v = append(v, "\x00\x00\x00\x01"...)
	v = append(v, strings.Repeat(number, count)...)
	if got := value.Text(value.Type{OID: 1231}, value.BinaryFormat, v); len(got) > 8*len(v)+value.Limit {
		t.Errorf("%d bytes became %d", len(v), len(got))
	}
	// Rows in rows in rows, each with quotes in it.
	row := []byte(strings.Repeat(`"`, 1000))
	oid := uint32(25)
	for range 40 {
		next := binary.BigEndian.AppendUint32([]byte("\x00\x00\x00\x01"), oid)
		next = binary.BigEndian.AppendUint32(next, uint32(len(row)))
		row, oid = append(next, row...), 2249
	}
	if got := value.Text(value.Type{OID: 2249}, value.BinaryFormat, row); len(got) > 8*len(row)+value.Limit {
		t.Errorf("%d bytes became %d", len(row), len(got))
	}
}

// The table of elements is the server's own.
func TestElementsAndBounds(t *testing.T) {
	conn := connect(t)
	rows, err := conn.Query(t.Context(), `SELECT a.oid, a.typname, a.typcategory, a.typelem FROM pg_type a JOIN pg_type e ON e.typarray = a.oid
		WHERE a.oid < 10000 AND e.typrelid = 0 AND a.typcategory = 'A'`)
	if err != nil {
		t.Fatal(err)
	}
	types, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (typ value.Type, err error) {
		var category string
		err = row.Scan(&typ.OID, &typ.Name, &category, &typ.Elem)
		return typ, err
	})
	if err != nil || len(types) < 60 {
		t.Fatalf("%d types, %v", len(types), err)
	}
	for _, typ := range types {
		byOID, ok := value.Blank(value.Type{OID: typ.OID}, value.BinaryFormat)
		full, _ := value.Blank(value.Type{OID: 1 << 30, Category: 'A', Elem: typ.Elem}, value.BinaryFormat)
		if !ok || !bytes.Equal(byOID, full) {
			t.Errorf("%s: %x by its OID, %x by its elements", typ.Name, byOID, full)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, oid := range []uint32{16, 17, 20, 23, 700, 701, 1700, 1082, 1114, 1184, 1186, 1266, 869, 1560, 2249, 2950, 3614, 3802, 3904, 4451, 1007, 1009, 22, 602, 604, 99999} {
		f.Add(oid, int16(1), []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00\x00\x01\x00\x00\x00\x01"), byte('A'))
		f.Add(oid, int16(0), []byte("x"), byte('S'))
	}
	f.Add(uint32(99999), int16(1), []byte("\x00\x00\x00\x00"), byte('U')) // an hstore without anything is not NULL
	f.Fuzz(func(t *testing.T, oid uint32, format int16, v []byte, category byte) {
		in := bytes.Clone(v)
		for _, name := range []string{"", "hstore", "citext"} {
			typ := value.Type{OID: oid, Name: name, Category: category, Elem: oid / 2}
			got := value.Text(typ, format, v)
			if !bytes.Equal(in, v) {
				t.Fatal("the value was changed")
			}
			if len(got) > 8*len(v)+2*value.Limit {
				t.Fatalf("%d bytes became %d", len(v), len(got))
			}
			if (got == nil) != (v == nil) && len(v) > 0 {
				t.Fatalf("%q became %q", v, got)
			}
			if more := value.AppendText([]byte("before "), typ, format, v); v != nil && string(more) != "before "+string(got) {
				t.Fatalf("%q, appended %q", got, more)
			}
			for f := range int16(2) {
				value.Blank(typ, f)
				value.Number(typ, f, uint64(len(v)))
			}
		}
	})
}

func BenchmarkText(b *testing.B) {
	conn := connect(b)
	buf := make([]byte, 0, 1<<10)
	for _, e := range []string{"123456::int4", "12345.67::numeric", "now()", "gen_random_uuid()", "'some words'::text", "1.5::float8", "ARRAY[1,2,3,4,5,6,7,8,9]", "ARRAY['a b','c','d e']"} {
		typ, _, binary := read(b, conn, e)
		b.Run(strings.NewReplacer(" ", "", "/", "").Replace(e), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf = value.AppendText(buf[:0], typ, value.BinaryFormat, binary)
			}
		})
	}
}
