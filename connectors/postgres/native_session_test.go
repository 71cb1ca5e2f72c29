package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// plainly connects and sends bytes as they are.
func plainly(t *testing.T, addr string, bytes ...[]byte) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, b := range bytes {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// startup is a first message.
func startup(code uint32, words ...string) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), code)
	for _, w := range words {
		b = append(append(b, w...), 0)
	}
	if len(words) > 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// answers reads lines from a connection until it is ready or gone.
func answers(t *testing.T, c net.Conn) []string {
	t.Helper()
	f := pgproto3.NewFrontend(c, io.Discard)
	var lines []string
	for {
		m, err := f.Receive()
		if err != nil {
			return append(lines, "gone")
		}
		switch m := m.(type) {
		case *pgproto3.AuthenticationOk:
			lines = append(lines, "R")
		case *pgproto3.BackendKeyData:
			lines = append(lines, "K")
		case *pgproto3.ReadyForQuery:
			return append(lines, line(m))
		default:
			lines = append(lines, line(m))
		}
	}
}

func TestNativeGreetings(t *testing.T) {
	s := shop(t, "native_greetings")
	l, _ := listen(t, s)
	ssl, gss, v30, v32 := startup(80877103), startup(80877104), uint32(3<<16), uint32(3<<16|2)
	good := func(lines []string) bool {
		return lines[0] == "R" && slices.Contains(lines, "K") && lines[len(lines)-1] == "Z I" && slices.Contains(lines, "S client_encoding=UTF8") && slices.Contains(lines, "S session_authorization=shop_app") && slices.Contains(lines, "S standard_conforming_strings=on")
	}
	expect := func(want string) func([]string) bool {
		return func(lines []string) bool { return strings.HasPrefix(lines[0], want) && lines[len(lines)-1] == "gone" }
	}
	refused := func(code string) func([]string) bool { // after the greeting
		return func(lines []string) bool {
			return len(lines) == 3 && lines[0] == "R" && strings.HasPrefix(lines[1], "E FATAL "+code)
		}
	}
	silent := func(lines []string) bool { return len(lines) == 1 && lines[0] == "gone" }
	for _, c := range []struct {
		name  string
		bytes [][]byte
		skip  int // bytes that are no messages
		good  func([]string) bool
	}{
		{"plain", [][]byte{startup(v30, "user", "alice")}, 0, good},
		{"no user", [][]byte{startup(v30, "database", "native_greetings")}, 0, good},
		{"own e-mail", [][]byte{startup(v30, "user", "alice@shop.example", "application_name", "psql")}, 0, func(lines []string) bool { return good(lines) && slices.Contains(lines, "S application_name=psql") }},
		{"TLS first", [][]byte{ssl, startup(v30, "user", "alice")}, 1, good},
		{"GSSAPI and TLS first", [][]byte{gss, ssl, startup(v30, "user", "alice")}, 2, good},
		{"TLS for ever", [][]byte{ssl, ssl, ssl}, 3, expect("E FATAL 08P01")},
		{"TLS at once", [][]byte{{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}}, 0, silent},
		{"3.2", [][]byte{startup(v32, "user", "alice")}, 0, func(lines []string) bool { return lines[0] == "*pgproto3.NegotiateProtocolVersion" && good(lines[1:]) }},
		{"unknown option", [][]byte{startup(v30, "user", "alice", "_pq_.compression", "zstd")}, 0, func(lines []string) bool { return lines[0] == "*pgproto3.NegotiateProtocolVersion" && good(lines[1:]) }},
		{"2.0", [][]byte{startup(2<<16, "user", "alice")}, 0, expect("E FATAL 0A000")},
		{"4.0", [][]byte{startup(4<<16, "user", "alice")}, 0, expect("E FATAL 0A000")},
		{"replication", [][]byte{startup(v30, "user", "alice", "replication", "database")}, 0, expect("E FATAL 42601 replication does not go through")},
		{"another user", [][]byte{startup(v30, "user", "postgres")}, 0, refused(`28000 the target has no user of the name "postgres" for you; connect as "alice"`)},
		{"another database", [][]byte{startup(v30, "user", "alice", "database", "template1")}, 0, refused("3D000")},
		{"options", [][]byte{startup(v30, "user", "alice", "options", `-c TimeZone=Asia/Tokyo --work-mem=1MB -csallyport.mask_notice=off`)}, 0, func(lines []string) bool { return good(lines) && slices.Contains(lines, "S TimeZone=Asia/Tokyo") }},
		{"options before a parameter", [][]byte{startup(v30, "user", "alice", "options", "-c TimeZone=Asia/Tokyo", "timezone", "Europe/Prague")}, 0, func(lines []string) bool { return good(lines) && slices.Contains(lines, "S TimeZone=Europe/Prague") }},
		{"options after a parameter", [][]byte{startup(v30, "user", "alice", "timezone", "Europe/Prague", "options", "-c TimeZone=Asia/Tokyo")}, 0, func(lines []string) bool { return good(lines) && slices.Contains(lines, "S TimeZone=Europe/Prague") }},
		{"options twice", [][]byte{startup(v30, "user", "alice", "options", "-c TimeZone=Asia/Tokyo", "options", "-c TimeZone=UTC -c TimeZone=Europe/Prague")}, 0, func(lines []string) bool { return good(lines) && slices.Contains(lines, "S TimeZone=Europe/Prague") }},
		{"strange options", [][]byte{startup(v30, "user", "alice", "options", `-d 5`)}, 0, expect("E FATAL 42601")},
		{"option without a name", [][]byte{startup(v30, "user", "alice", "options", `-c =x`)}, 0, expect("E FATAL 42601")},
		{"option without a value", [][]byte{startup(v30, "user", "alice", "options", `-c work_mem`)}, 0, expect("E FATAL 42601")},
		{"latin1", [][]byte{startup(v30, "user", "alice", "client_encoding", "LATIN1")}, 0, expect("E FATAL 42601")},
		{"utf8", [][]byte{startup(v30, "user", "alice", "client_encoding", "'utf-8'")}, 0, good},
		{"bad setting", [][]byte{startup(v30, "user", "alice", "nosuch", "x")}, 0, refused(`42704 unrecognized configuration parameter "nosuch"`)},
		{"bad value", [][]byte{startup(v30, "user", "alice", "options", "-c timezone=Nowhere")}, 0, refused(`22023 invalid value for parameter "TimeZone": "Nowhere"`)},
		{"no end", [][]byte{{0, 0, 0, 20, 0, 3, 0, 0, 'u', 's', 'e', 'r', 0, 'a', 'l', 'i', 'c', 'e', 'e', 'e'}}, 0, expect("E FATAL 08P01")},
		{"too long", [][]byte{{0, 1, 0, 0, 0, 3, 0, 0}}, 0, silent},
		{"too short", [][]byte{{0, 0, 0, 7, 0, 3, 0, 0}}, 0, silent},
		{"wrong key", [][]byte{append([]byte{0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e}, 1, 2, 3, 4, 5, 6, 7, 8)}, 0, silent},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := plainly(t, l.Addr, c.bytes...)
			no := make([]byte, c.skip)
			if _, err := io.ReadFull(conn, no); err != nil || strings.Trim(string(no), "N") != "" {
				t.Fatalf("encryption was answered %q, %v", no, err)
			}
			if lines := answers(t, conn); !c.good(lines) {
				t.Errorf("%q", lines)
			}
		})
	}
	if all := l.Recorded() + l.Transcript(); strings.Contains(all, server.App().Password) {
		t.Error("the target's password is in the record")
	}
}

func TestNativeBadMessages(t *testing.T) {
	s := shop(t, "native_bad")
	_, url := listen(t, s)
	for name, bytes := range map[string]string{
		"unknown type":      "y\x00\x00\x00\x04",
		"unknown, no body":  "y\x00\x00\xff\xff",
		"start-up again":    string(startup(3<<16, "user", "alice")),
		"TLS afterwards":    string(startup(80877103)),
		"GSSAPI afterwards": string(startup(80877104)),
		"cancel afterwards": string(startup(80877102, "abcdefg")),
		"password":          "p\x00\x00\x00\x05\x00",
		"too short":         "Q\x00\x00\x00\x03",
		"negative":          "Q\xff\xff\xff\xff",
		"too long":          "Q\x7f\xff\xff\xff",
		"sync with a body":  "S\x00\x00\x00\x05x",
		"flush with a body": "H\x00\x00\x00\x05x",
		"copy done, body":   "c\x00\x00\x00\x05x",
		"copy fail, no end": "f\x00\x00\x00\x05x",
	} {
		t.Run(name, func(t *testing.T) {
			k := raw(t, url)
			lines := k.play("SELECT 1", rawly(bytes), until("gone"))
			if e := lines[len(lines)-2]; !strings.HasPrefix(e, "E FATAL 08P01") && !strings.HasPrefix(e, "E FATAL 54000") {
				t.Errorf("%q", lines)
			}
		})
	}
}

// A message that is in one piece and cannot be read is an error like others, and the
// session goes on.
func TestNativeMalformedMessages(t *testing.T) {
	s := shop(t, "native_malformed")
	_, url := listen(t, s)
	for name, bytes := range map[string]string{
		"query without end": "Q\x00\x00\x00\x06ab",
		"query and more":    "Q\x00\x00\x00\x08a\x00b\x00",
		"parse, short":      "P\x00\x00\x00\x07a\x00b",
		"parse, types":      "P\x00\x00\x00\x0a\x00\x00\xff\xff\x00\x00",
		"bind, short":       "B\x00\x00\x00\x06\x00\x00",
		"bind, lengths":     "B\x00\x00\x00\x10\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00",
		"bind, huge value":  "B\x00\x00\x00\x10\x00\x00\x00\x00\x00\x01\x7f\xff\xff\xff\x00\x00",
		"bind, formats":     "B\x00\x00\x00\x0e\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00",
		"describe, kind":    "D\x00\x00\x00\x06X\x00",
		"close, kind":       "C\x00\x00\x00\x06X\x00",
		"execute, short":    "E\x00\x00\x00\x05\x00",
	} {
		t.Run(name, func(t *testing.T) {
			k := raw(t, url)
			end := "S\x00\x00\x00\x04"
			if bytes[0] == 'Q' {
				end = ""
			}
			lines := k.play("BEGIN", rawly(bytes+end), ready{}, "ROLLBACK", "SELECT 1")
			want := []string{"C BEGIN", "Z T", `E ERROR 08P01 invalid message format pos=0 hint=""`, "Z E", "C ROLLBACK", "Z I", "T ?column?:23:4:-1:0", `D "1"`, "C SELECT 1", "Z I"}
			differ(t, lines, want)
		})
	}
}

// A count of parameters has 16 bits, and a statement may have more of them.
func TestNativeManyParameters(t *testing.T) {
	_, url := listen(t, shop(t, "native_many"))
	c := cancelled(t, url)
	const n = 1<<16 + 1
	var text strings.Builder
	text.WriteString("VALUES ($1::text)")
	for i := 2; i <= n; i++ {
		fmt.Fprintf(&text, ", ($%d::text)", i)
	}
	d, err := c.Prepare(t.Context(), "many", text.String(), nil)
	if err != nil || len(d.ParamOIDs) != n || len(d.Fields) != 1 {
		t.Fatalf("%v, %d parameters, %d columns", err, len(d.ParamOIDs), len(d.Fields))
	}
	if _, err := c.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
		t.Error(err)
	}
}

// Settings that come with the connection are in force, also those that change what
// statements mean.
func TestNativeStartupSettings(t *testing.T) {
	s := shop(t, "native_startup")
	if _, err := server.Query(t.Context(), "native_startup", "CREATE SCHEMA other AUTHORIZATION shop_app; CREATE TABLE other.customers (only_here text); ALTER TABLE other.customers OWNER TO shop_app"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	verbs := map[bastion.Verb]bool{}
	var last bastion.Intent
	s.Decide = func(op bastion.Operation) bastion.Effect {
		mu.Lock()
		defer mu.Unlock()
		last = op.Intent()
		for _, a := range op.Intent().Actions {
			verbs[a.Verb] = true
		}
		return bastion.Allow
	}
	_, url := listen(t, s)
	one := func(c *pgconn.PgConn, text string) string {
		t.Helper()
		reader := c.ExecParams(t.Context(), text, nil, nil, nil, nil)
		fields := slices.Clone(reader.FieldDescriptions())
		r := reader.Read()
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if len(r.Rows) == 0 {
			return fields[0].Name
		}
		return string(r.Rows[0][0])
	}
	for _, given := range []string{"&search_path=other,nowhere", "&options=-c%20search_path%3Dother,nowhere"} {
		c := cancelled(t, url+given)
		for text, want := range map[string]string{"SHOW search_path": "other,nowhere", "SELECT * FROM customers": "only_here"} {
			if got := one(c, text); got != want {
				t.Errorf("%s: %s gives %q, want %q", given, text, got, want)
			}
		}
		mu.Lock()
		if !verbs[lineage.SettingMeaning] {
			t.Error("a setting that changes what statements mean was not decided upon")
		}
		mu.Unlock()
	}
	// A schema that comes to be is noticed.
	c := cancelled(t, url+"&search_path=later,other")
	if got := one(c, "SELECT * FROM customers"); got != "only_here" {
		t.Errorf("got %q", got)
	}
	if _, err := server.Query(t.Context(), "native_startup", "CREATE SCHEMA later AUTHORIZATION shop_app; CREATE TABLE later.customers (later_only text); ALTER TABLE later.customers OWNER TO shop_app"); err != nil {
		t.Fatal(err)
	}
	// Another session changes the schema, so that the bastion reads the catalog anew.
	if _, err := cancelled(t, url).Exec(t.Context(), "CREATE TABLE other.tick (); SELECT FROM other.tick").ReadAll(); err != nil {
		t.Fatal(err)
	}
	got := one(c, "SELECT * FROM customers")
	mu.Lock()
	if got != "later_only" || !slices.Contains(last.Actions, bastion.Action{Verb: lineage.Select, Resource: "later.customers"}) {
		t.Errorf("got %q, decided %v", got, last.Actions)
	}
	mu.Unlock()
	if got := one(cancelled(t, url), "SHOW search_path"); got != `"$user", public` {
		t.Errorf("by itself the path is %q", got)
	}
}

// The target's own log and views name the person, whatever the program calls itself.
func TestNativeProgram(t *testing.T) {
	s := shop(t, "native_program")
	_, url := listen(t, s)
	direct := cancelled(t, server.URL(server.App(), "native_program"))
	c := cancelled(t, url+"&application_name=first")
	for _, step := range []struct{ text, told, ends string }{
		{"", "first", "first"},
		{"SET application_name = 'second'", "second", "second"},
		{"BEGIN; SET LOCAL application_name = 'it''s third'", "it's third", "it's third"},
		{"COMMIT", "second", "second"},
		{"BEGIN; SET application_name = 'fourth'; SELECT 1/0", "second", ""},
		{"ROLLBACK", "second", "second"},
		{"SET application_name = 'one'; SET application_name = 'fifth'", "fifth", "fifth"},
		{"DO $$ BEGIN PERFORM set_config('application_name', '', false); END $$", "", ""},
		{"RESET application_name", "first", "first"},
		{"DISCARD ALL", "first", "first"},
		{"SET application_name = '" + strings.Repeat("long ", 20) + "'", "*", "*"},
	} {
		_, err := c.Exec(t.Context(), step.text).ReadAll()
		if err != nil && !strings.Contains(err.Error(), "22012") {
			t.Fatal(err)
		}
		if got := c.ParameterStatus("application_name"); got != step.told && step.told != "*" {
			t.Errorf("after %s, the client is told %q, want %q", step.text, got, step.told)
		}
		if err != nil {
			continue
		}
		// While the next statement runs.
		if _, err := c.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
			t.Fatal(err)
		}
		r := direct.ExecParams(t.Context(), "SELECT application_name FROM pg_stat_activity WHERE pid = $1", [][]byte{[]byte(fmt.Sprint(c.PID()))}, nil, nil, nil).Read()
		if r.Err != nil || len(r.Rows) != 1 {
			t.Fatal(r.Err, r.Rows)
		}
		name, ends := string(r.Rows[0][0]), step.ends
		if !strings.HasPrefix(name, "sallyport alice ") || ends != "*" && ends != "" && !strings.HasSuffix(name, " "+ends) {
			t.Errorf("after %s, the target sees %q", step.text, name)
		}
	}
}

func TestNativeNoticesAndNotifications(t *testing.T) {
	alike(t, map[string][]any{
		"skipping":         {"DROP TABLE IF EXISTS nosuch", "CREATE TABLE IF NOT EXISTS customers (a int)"},
		"warning":          {"ROLLBACK", "SET LOCAL work_mem = '1MB'"},
		"levels":           {"SET client_min_messages = debug1", "SELECT 1", "DO $$ BEGIN RAISE DEBUG 'd'; RAISE LOG 'l'; RAISE INFO 'i'; RAISE WARNING 'w' USING DETAIL = 'x', HINT = 'y'; END $$"},
		"in between":       {"DO $$ BEGIN RAISE NOTICE 'x'; END $$; SELECT 1"},
		"listen":           {"LISTEN a", "NOTIFY a, 'hello'", "UNLISTEN a", "NOTIFY a"},
		"in a transaction": {"LISTEN a", "BEGIN", "NOTIFY a, 'x'", "SELECT 1", "COMMIT"},
		"parameter":        {"SET TimeZone = 'Asia/Tokyo'", "SET DateStyle = 'German'", "BEGIN", "SET LOCAL TimeZone = 'UTC'", "ROLLBACK", "RESET ALL"},
	})
}

func TestNativeNotifiedWhileIdle(t *testing.T) {
	s := shop(t, "native_notify")
	_, url := listen(t, s)
	k := raw(t, url)
	other := connect(t, server.URL(server.App(), "native_notify"))
	lines := k.play("LISTEN a", then(func(t *testing.T) {
		if _, err := other.Exec(t.Context(), "NOTIFY a, 'hello'"); err != nil {
			t.Fatal(err)
		}
	}), receive(1))
	if want := []string{"C LISTEN", "Z I", `A a "hello"`}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
	// One's own notifications carry the number that the client knows its session by.
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), "LISTEN b; NOTIFY b"); err != nil {
		t.Fatal(err)
	}
	n, err := c.WaitForNotification(t.Context())
	if err != nil || n.PID != c.PgConn().PID() {
		t.Errorf("%+v, %v; the client is %d", n, err, c.PgConn().PID())
	}
}

// TestNativeHiddenNotices: where anything is hidden, only notices that can speak of
// nothing but the statement show what they say.
func TestNativeHiddenNotices(t *testing.T) {
	s := shop(t, "native_hidden", labels...)
	s.Trust = true
	_, url := listen(t, s)
	lines := raw(t, url).play("DROP TABLE IF EXISTS nosuch", "ROLLBACK", "DO $$ BEGIN RAISE NOTICE 'secret'; END $$", "SELECT nosuch", "SELECT 'secret'::int",
		"LISTEN a", "NOTIFY a, 'secret'")
	want := []string{`N NOTICE 00000 table "nosuch" does not exist, skipping`, "C DROP TABLE", "Z I",
		"N WARNING 25P01 there is no transaction in progress", "C ROLLBACK", "Z I",
		"N NOTICE 00000 the target sent a notice; its text is hidden because it may carry masked data", "C DO", "Z I",
		`E ERROR 42703 column "nosuch" does not exist pos=8 hint=""`, "Z I",
		`E ERROR 22P02 invalid text for the type pos=8 hint=""`, "Z I",
		"C LISTEN", "Z I", "C NOTIFY", `A a "****"`, "Z I"}
	differ(t, lines, want)
}

// That a name in the text is too long is said in the server's words, whatever the
// statement is; the same words from within a function are hidden like all others.
func TestNativeLongNames(t *testing.T) {
	s := shop(t, "native_long_names", labels...)
	s.Trust = true
	_, url := listen(t, s)
	long, short := strings.Repeat("a", 70), strings.Repeat("a", 63)
	said := `N NOTICE 42622 identifier "` + long + `" will be truncated to "` + short + `"`
	hidden := "N NOTICE 00000 the target sent a notice; its text is hidden because it may carry masked data"
	for text, want := range map[string]string{
		"PREPARE " + long + " AS SELECT name FROM customers":                      said,
		"SELECT name AS " + strings.ToUpper(long) + " FROM customers WHERE false": said,
		"DEALLOCATE " + long: said,
		`DO $$ BEGIN RAISE NOTICE USING ERRCODE = '42622', MESSAGE = 'identifier "' || 's' || 'ecret" will be truncated to "s"'; END $$`: hidden,
	} {
		if got := raw(t, url).play(text); !slices.Contains(got, want) {
			t.Errorf("%s:\n%q", text, got)
		}
	}
}

// What was decided has a result in the record, also where it could not be sent.
func TestNativeNotSent(t *testing.T) {
	l, url := listen(t, shop(t, "native_not_sent"))
	lines := raw(t, url).play("CREATE TABLE gone (a int); PREPARE p AS SELECT a FROM gone", "DROP TABLE gone", "EXECUTE p", "SELECT 1")
	if e := lines[len(lines)-6]; !strings.HasPrefix(e, "E ERROR 42P01") {
		t.Errorf("%q", lines)
	}
	if all := l.Recorded(); !strings.Contains(all, `relation "gone" does not exist (42P01)`) {
		t.Errorf("no result in %s", all)
	}
}

func TestNativeMaskNotice(t *testing.T) {
	s := shop(t, "native_mask_notice", labels...)
	_, url := listen(t, s)
	text := "SELECT name, email FROM customers WHERE id = 4"
	count := func(lines []string) (n int) {
		for _, l := range lines {
			if l == "N NOTICE 00000 masked: email" {
				n++
			}
		}
		return n
	}
	if lines := raw(t, url).play(together(text, parse("a", text), describe('S', "a"), bind("", "a"), describe('P', ""), run(""), sync_, ready{})...); count(lines) != 2 {
		t.Errorf("once for each statement that ran: %q", lines)
	}
	if lines := raw(t, url+"&options=-c%20sallyport.mask_notice%3Doff").play(text); count(lines) != 0 {
		t.Errorf("turned off: %q", lines)
	}
}

func cancelled(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// running waits until a statement with a comment runs on the server.
func running(t *testing.T, database, comment string) {
	t.Helper()
	for {
		rows, err := server.Query(t.Context(), database, "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%/* "+comment+"%' AND pid <> pg_backend_pid()")
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) > 0 {
			return
		}
		runtime.Gosched()
	}
}

func TestNativeCancel(t *testing.T) {
	s := shop(t, "native_cancel")
	a := &connectortest.Approvals{}
	s.Approvals, s.Decide = a, forbid("wanted", bastion.Ask)
	s.Connector = postgres.New()
	l := connectortest.Listen(t, s)
	s.Person = "bob"
	others := connectortest.Listen(t, s)
	url := "postgres://alice@" + l.Addr + "/native_cancel?sslmode=disable"
	key := func(c *pgconn.PgConn, secret []byte) []byte {
		b := binary.BigEndian.AppendUint32(make([]byte, 0, 16), 16)
		b = binary.BigEndian.AppendUint32(b, 80877102)
		return append(binary.BigEndian.AppendUint32(b, c.PID()), secret...)
	}
	c := cancelled(t, url)
	var pe *pgconn.PgError
	result := func(sql string) chan error {
		done := make(chan error, 1)
		go func() { // ends when the statement does
			_, err := c.Exec(context.Background(), sql).ReadAll()
			done <- err
		}()
		return done
	}

	// The number is the process's own, which other sessions know it by.
	if r := c.ExecParams(t.Context(), "SELECT pg_backend_pid()", nil, nil, nil, nil).Read(); r.Err != nil || string(r.Rows[0][0]) != fmt.Sprint(c.PID()) {
		t.Errorf("the client is told %d: %q, %v", c.PID(), r.Rows, r.Err)
	}
	done := result("SELECT pg_sleep(600) /* one */")
	running(t, "native_cancel", "one")
	// Somebody else's cancel, and one with a wrong key, do nothing and say nothing.
	for _, conn := range []net.Conn{plainly(t, others.Addr, key(c, c.SecretKey())), plainly(t, l.Addr, key(c, []byte{1, 2, 3, 4}))} {
		if b, err := io.ReadAll(conn); len(b) > 0 || err != nil {
			t.Errorf("a wrong cancel is answered %q, %v", b, err)
		}
	}
	select {
	case err := <-done:
		t.Fatalf("somebody else cancelled: %v", err)
	default:
	}
	if err := c.CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.As(err, &pe) || pe.Code != "57014" {
		t.Errorf("cancelled: %v", err)
	}
	// While it waits for approval.
	done = result("SELECT 'wanted'")
	id := <-a.Filed()
	if err := c.CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.As(err, &pe) || pe.Code != "57014" {
		t.Errorf("cancelled while waiting for request %d: %v", id, err)
	}
	// An idle client takes no harm.
	if err := c.CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-result("SELECT 1"); err != nil {
		t.Errorf("after all: %v", err)
	}
}

func TestNativeSessionEnds(t *testing.T) {
	s := shop(t, "native_ends")
	a := &connectortest.Approvals{}
	s.Approvals, s.Decide = a, forbid("wanted", bastion.Ask)
	why := errors.New("the administrator ended this session")
	for name, script := range map[string]func(l *connectortest.Listener) []any{
		"idle":             func(l *connectortest.Listener) []any { return []any{"SELECT 1"} },
		"in a transaction": func(l *connectortest.Listener) []any { return []any{"BEGIN"} },
		"running": func(l *connectortest.Listener) []any {
			return []any{query("SELECT pg_sleep(600) /* ends */"), then(func(t *testing.T) { running(t, "native_ends", "ends") })}
		},
		"copying": func(l *connectortest.Listener) []any {
			return []any{"CREATE TEMP TABLE t (a int)", query("COPY t FROM STDIN"), until("G")}
		},
		"in the middle of a message": func(l *connectortest.Listener) []any { return []any{"SELECT 1", rawly("Q\x00\x00\x00\x20SEL")} },
		"waiting":                    func(l *connectortest.Listener) []any { return []any{query("SELECT 'wanted'"), until("N NOTICE")} },
	} {
		t.Run(name, func(t *testing.T) {
			l, url := listen(t, s)
			steps := append(script(l), then(func(*testing.T) { l.End(why) }), until("gone"))
			lines := raw(t, url).play(steps...)
			if e := lines[len(lines)-2]; !strings.HasPrefix(e, "E FATAL") || !strings.Contains(e, why.Error()) {
				t.Errorf("%q", lines)
			}
			gone(t, "native_ends")
		})
	}
}

// What the bastion has to say comes at once, to a client that is idle and to one that
// waits for an answer, and never in the middle of a message.
func TestNativeWarned(t *testing.T) {
	l, url := listen(t, shop(t, "native_warned"))
	warn := then(func(*testing.T) { l.Warn("your access ends at 12:00:00 UTC\n; ask for it again") })
	const want = `N NOTICE 00000 your access ends at 12:00:00 UTC`
	k := raw(t, url)
	if got := k.play("SELECT 1", warn, receive(1)); !strings.HasPrefix(got[len(got)-1], want) || strings.Contains(got[len(got)-1], "\n") {
		t.Errorf("idle: %q", got)
	}
	got := k.play(query("SELECT pg_sleep(600) /* warned */"), then(func(t *testing.T) { running(t, "native_warned", "warned") }), warn, until("N NOTICE"))
	if !strings.HasPrefix(got[len(got)-1], want) {
		t.Errorf("running: %q", got)
	}
	l.End(errors.New("your access to db has ended; ask for it again"))
	if got := k.play(until("gone")); !strings.HasPrefix(got[len(got)-2], "E FATAL 57P01 your access to db has ended") {
		t.Errorf("%q", got)
	}
	gone(t, "native_warned")
}

// gone waits until the server has no session of the bastion's clients in a database.
func gone(t *testing.T, database string) {
	t.Helper()
	for {
		rows, err := server.Query(t.Context(), database, "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'sallyport % n-%'")
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return
		}
		runtime.Gosched()
	}
}

func TestNativeServerEndsSession(t *testing.T) {
	s := shop(t, "native_fatal")
	_, url := listen(t, s)
	kill := then(func(t *testing.T) {
		if _, err := server.Query(t.Context(), "native_fatal", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sallyport % n-%'"); err != nil {
			t.Fatal(err)
		}
	})
	for name, script := range map[string][]any{
		"idle":           {"SELECT 1", kill, until("gone")},
		"in transaction": {"BEGIN", kill, until("gone")},
		"running":        {query("SELECT pg_sleep(600) /* fatal */"), then(func(t *testing.T) { running(t, "native_fatal", "fatal") }), kill, until("gone")},
		"copying":        {"CREATE TEMP TABLE t (a int)", query("COPY t FROM STDIN"), until("G"), kill, data("1\n"), until("gone")},
		"by itself":      {query("SELECT pg_terminate_backend(pg_backend_pid())"), until("gone")},
	} {
		t.Run(name, func(t *testing.T) {
			lines := raw(t, url).play(script...)
			if e := lines[len(lines)-2]; !strings.HasPrefix(e, "E FATAL 57P01 terminating connection due to administrator command") {
				t.Errorf("%q", lines)
			}
			if n := strings.Count(strings.Join(lines, "\n"), "E FATAL"); n != 1 {
				t.Errorf("told %d times: %q", n, lines)
			}
		})
	}
}

// TestNativeClientLeaves hangs up everywhere. Nothing may stay behind.
func TestNativeClientLeaves(t *testing.T) {
	s := shop(t, "native_leaves")
	a := &connectortest.Approvals{}
	s.Approvals, s.Decide = a, forbid("wanted", bastion.Ask)
	_, url := listen(t, s)
	before := runtime.NumGoroutine()
	for name, script := range map[string][]any{
		"at once":          {},
		"in a message":     {rawly("Q\x00\x00")},
		"in a transaction": {"BEGIN", "LOCK TABLE customers"},
		"in a pipeline":    together(all("SELECT 1"), flush_),
		"running":          {query("SELECT pg_sleep(600) /* leaves */"), then(func(t *testing.T) { running(t, "native_leaves", "leaves") })},
		"reading":          {query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"), receive(10)},
		"copying in":       {"CREATE TEMP TABLE t (a int)", query("COPY t FROM STDIN"), until("G"), rawly("d\x00\x00\x10\x00x")},
		"copying out":      {query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT"), receive(10)},
		"waiting":          {query("SELECT 'wanted'"), until("N NOTICE")},
		"politely":         {"SELECT 1", &pgproto3.Terminate{}, until("gone")},
	} {
		t.Run(name, func(t *testing.T) {
			k := raw(t, url)
			k.play(script...)
			_ = k.Flush()
			if err := k.conn.Close(); err != nil {
				t.Fatal(err)
			}
			gone(t, "native_leaves")
		})
	}
	settled(t, before)
}

func TestNativeTranscriptEnds(t *testing.T) {
	s := shop(t, "native_transcript")
	for name, c := range map[string]struct {
		leave func(*connectortest.Listener, *pgconn.PgConn)
		want  string
	}{
		"goodbye": {func(_ *connectortest.Listener, c *pgconn.PgConn) { _ = c.Close(context.Background()) }, "SELECT 1\n"},
		"gone":    {func(_ *connectortest.Listener, c *pgconn.PgConn) { _ = c.Conn().Close() }, "SELECT 1\n"},
		"ended":   {func(l *connectortest.Listener, _ *pgconn.PgConn) { l.End(errors.New("your access has ended")) }, "ERROR: your access has ended\n"},
	} {
		t.Run(name, func(t *testing.T) {
			l := connectortest.Listen(t, s)
			client := cancelled(t, "postgres://alice@"+l.Addr+"/native_transcript?sslmode=disable")
			if _, err := client.Exec(t.Context(), "SELECT 1").ReadAll(); err != nil {
				t.Fatal(err)
			}
			c.leave(l, client)
			for !strings.Contains(l.Recorded(), " Kind:"+string(bastion.EventEnd)+" ") {
				runtime.Gosched()
			}
			if got := l.Transcript(); !strings.HasSuffix(got, c.want) || strings.Count(got, "ERROR") != strings.Count(c.want, "ERROR") {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestNativeTranscriptOfOneWhoLeft: whoever replays it reads words, not a program's error.
func TestNativeTranscriptOfOneWhoLeft(t *testing.T) {
	s := shop(t, "native_transcript_left")
	s.Approvals, s.Decide = &connectortest.Approvals{}, forbid("wanted", bastion.Ask)
	l := connectortest.Listen(t, s)
	k := raw(t, "postgres://alice@"+l.Addr+"/native_transcript_left?sslmode=disable")
	k.play(query("SELECT 'wanted'"), until("N NOTICE"))
	if err := k.conn.Close(); err != nil {
		t.Fatal(err)
	}
	l.Wait()
	if got := l.Transcript(); !strings.HasSuffix(got, "ERROR: cancelled, or the client went away\n") {
		t.Errorf("%q", got)
	}
}
