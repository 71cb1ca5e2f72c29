package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/connectortest"
)

// forbid refuses what has the word in its text.
func forbid(word string, effect bastion.Effect) func(bastion.Operation) bastion.Effect {
	return func(op bastion.Operation) bastion.Effect {
		if strings.Contains(op.Text(), word) {
			return effect
		}
		return bastion.Allow
	}
}

// withoutErrors leaves out what an error says.
func withoutErrors(lines []string) []string {
	var out []string
	for _, l := range lines {
		if strings.HasPrefix(l, "E ") {
			l = "E"
		}
		out = append(out, l)
	}
	return out
}

// TestNativeRefused compares what comes after a refusal with what the server sends
// where a statement fails at the same place.
func TestNativeRefused(t *testing.T) {
	s := shop(t, "native_refused")
	s.Decide = forbid("nosuch", bastion.Deny)
	_, url := listen(t, s)
	direct := server.URL(server.App(), "native_refused")
	bad, table := "SELECT nosuch", "CREATE TEMP TABLE t (a int PRIMARY KEY)"
	for name, script := range map[string][]any{
		"simple":                {bad, "SELECT 1"},
		"in a transaction":      {"BEGIN", "SELECT 1", bad, "SELECT 2", "ROLLBACK", "SELECT 3"},
		"in a broken one":       {"BEGIN", "SELECT 1/0", bad, "ROLLBACK"},
		"savepoint":             {"BEGIN", "SAVEPOINT s", bad, "ROLLBACK TO s", "SELECT 1", "COMMIT"},
		"alone in a pipeline":   together(all(bad), sync_, ready{}, all("SELECT 1"), sync_, ready{}),
		"first in a pipeline":   together(all(bad), all("SELECT 1"), sync_, ready{}, "SELECT 2"),
		"later in a pipeline":   together(table, all("INSERT INTO t VALUES (1)"), all(bad), all("INSERT INTO t VALUES (2)"), sync_, ready{}, "SELECT count(*) FROM t"),
		"after a sync":          together(all("SELECT 1"), sync_, all(bad), sync_, all("SELECT 2"), sync_, ready{}, ready{}, ready{}),
		"pipeline, transaction": together("BEGIN", all("SELECT 1"), all(bad), sync_, ready{}, all("SELECT 2"), sync_, ready{}, "ROLLBACK"),
		"pipeline begins":       together(all("BEGIN"), all(bad), sync_, ready{}, "SELECT 2", "ROLLBACK"),
		"pipeline commits":      together(table, all("BEGIN"), all("INSERT INTO t VALUES (1)"), all("COMMIT"), all(bad), sync_, ready{}, "SELECT count(*) FROM t"),
		"two refused":           together(all(bad), all(bad), sync_, ready{}, all(bad), sync_, ready{}),
		"after an error":        together(all("SELECT 1/0"), all(bad), sync_, ready{}),
		"flush":                 together(all(bad), flush_, until("E"), all("SELECT 1"), sync_, ready{}),
		"second query":          {&pgproto3.Query{String: "SELECT 1"}, &pgproto3.Query{String: bad}, &pgproto3.Query{String: "SELECT 2"}, ready{}, ready{}, ready{}},
		"query in a batch":      together(table, all("INSERT INTO t VALUES (1)"), bad, "SELECT count(*) FROM t"),
		"several, last":         {table, "INSERT INTO t VALUES (1); SELECT 7; " + bad, "SELECT count(*) FROM t"},
		"several, first":        {bad + "; SELECT 1", "SELECT 2"},
		"several, middle":       {"SELECT 1; " + bad + "; SELECT 2"},
		"several, begin":        {"BEGIN; SELECT 1; " + bad + "; SELECT 2", "SELECT 3", "ROLLBACK"},
		"several, commit":       {table, "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT; " + bad, "SELECT count(*) FROM t"},
		"several, one by one":   {table, "SET work_mem = '1MB'; INSERT INTO t VALUES (1); " + bad, "SELECT count(*) FROM t", "SHOW work_mem"},
		"one by one, begin":     {"SET work_mem = '1MB'; BEGIN; SET work_mem = '2MB'; " + bad + "; SELECT 1", "SELECT 3", "ROLLBACK"},
		"names after it":        together(parse("a", "SELECT 1"), sync_, ready{}, "BEGIN", all(bad), closing('S', "a"), parse("b", "SELECT 2"), sync_, ready{}, "ROLLBACK", bind("", "a"), run(""), sync_, ready{}, bind("", "b"), sync_, ready{}),
		"portals after it":      together("BEGIN", parse("a", "SELECT 1"), bind("p", "a"), sync_, ready{}, all(bad), sync_, ready{}, run("p"), sync_, ready{}, "ROLLBACK"),
		"unnamed is gone":       {parse("", "SELECT 1"), sync_, ready{}, bad, bind("", ""), run(""), sync_, ready{}},
	} {
		t.Run(name, func(t *testing.T) {
			want := raw(t, direct).play(script...)
			got := raw(t, url).play(script...)
			differ(t, withoutErrors(got), withoutErrors(want))
			if !slices.ContainsFunc(got, func(l string) bool {
				return strings.HasPrefix(l, "E ERROR 42501 refused by rule test") || name == "after an error"
			}) {
				t.Errorf("nothing was refused: %q", got)
			}
		})
	}
}

// TestNativeNoFunction: a function that is nowhere fails as it does at the server, and
// nobody is asked whether it may run.
func TestNativeNoFunction(t *testing.T) {
	s := shop(t, "native_no_function")
	s.Decide = func(op bastion.Operation) bastion.Effect {
		if strings.Contains(op.Text(), "nosuch") {
			return bastion.Ask // and nobody answers
		}
		return bastion.Allow
	}
	_, url := listen(t, s)
	direct := server.URL(server.App(), "native_no_function")
	for name, script := range map[string][]any{
		"simple":           {"SELECT nosuch(1)", "SELECT 1"},
		"in a schema":      {"SELECT public.nosuch('x', 2), pg_catalog.pg_nosuch()", "SELECT 1"},
		"after another":    {"SELECT 1; SELECT 'ž', nosuch(1); SELECT 2"},
		"in a transaction": {"BEGIN", "SELECT nosuch(1)", "SELECT 1", "ROLLBACK"},
		"extended":         together(all("SELECT 1"), all("SELECT nosuch($1)", "x"), sync_, ready{}, "SELECT 1"),
		"prepared":         {"PREPARE p AS SELECT nosuch()", "EXECUTE p"},
		"found later":      {"CREATE FUNCTION pg_temp.later(int) RETURNS int LANGUAGE sql AS 'SELECT $1'", "SELECT pg_temp.later(3)", "DROP FUNCTION pg_temp.later", "SELECT pg_temp.later(3)", "BEGIN", "CREATE FUNCTION pg_temp.later(int) RETURNS int LANGUAGE sql AS 'SELECT $1'", "SELECT pg_temp.later(4)", "COMMIT"},
		"of a row":         {"SELECT name(c), row_to_json(c) IS NULL FROM customers c WHERE id = 1", "SELECT email_address('a@example.com')"},
	} {
		t.Run(name, func(t *testing.T) {
			want := raw(t, direct).play(script...)
			got := raw(t, url).play(script...)
			differ(t, codes(got), codes(want))
		})
	}
}

func TestNativeRefusalSaysWhy(t *testing.T) {
	s := shop(t, "native_refused", labels...)
	l, url := listen(t, s)
	k := raw(t, url)
	got := k.play("SELECT id FROM customers ORDER BY email /* never arrives */", &pgproto3.FunctionCall{Function: 1}, ready{}, "SELECT 1")
	want := []string{
		`E ERROR 42501 refused by rule test: uses the hidden column public.customers.email pos=0 hint=""`, "Z I",
		`E ERROR 42501 refused: calls of functions by the old protocol cannot be read pos=0 hint="use SELECT function(...)"`, "Z I",
		"T ?column?:23:4:-1:0", `D "1"`, "C SELECT 1", "Z I"}
	differ(t, got, want)
	if !strings.Contains(l.Recorded(), "deny") || !strings.Contains(l.Transcript(), "uses the hidden column") {
		t.Errorf("a refusal is not recorded: %s", l.Transcript())
	}
	if strings.Contains(logged.String(), "never arrives") {
		t.Error("what was refused reached the target")
	}
}

// asking is a setup in which statements with the word need approval.
func asking(t *testing.T, word string) (connectortest.Setup, *connectortest.Approvals) {
	s := shop(t, "native_asking")
	a := &connectortest.Approvals{}
	s.Approvals, s.Decide = a, forbid(word, bastion.Ask)
	return s, a
}

func TestNativeWaitsForApproval(t *testing.T) {
	s, a := asking(t, "wanted")
	_, url := listen(t, s)
	k := raw(t, url)
	decide := func(state bastion.RequestState) then {
		return func(t *testing.T) { a.Set(<-a.Filed(), state) }
	}
	for _, c := range []struct {
		name  string
		state bastion.RequestState
		want  string
	}{
		{"approved", bastion.Approved, "T wanted"},
		{"denied", bastion.Denied, "E ERROR 42501 request"},
		{"expired", bastion.Expired, "E ERROR 42501 request"},
		{"withdrawn", bastion.Withdrawn, "E ERROR 42501 request"},
	} {
		text := "SELECT 1 AS wanted, '" + c.name + "'"
		for _, script := range [][]any{
			{&pgproto3.Query{String: text}, until("N NOTICE"), decide(c.state), ready{}},
			together(all(text+" AS extended"), sync_, until("N NOTICE"), decide(c.state), ready{}),
		} {
			got := k.play(script...)
			if !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, c.want) }) || got[len(got)-1] != "Z I" {
				t.Errorf("%s: %q", c.name, got)
			}
			i := slices.IndexFunc(got, func(l string) bool { return strings.HasPrefix(l, "N NOTICE") })
			if i < 0 || !strings.Contains(got[i], "waits for") {
				t.Errorf("%s: nobody said what is waited for: %q", c.name, got)
			}
		}
	}
	if used := a.Used(); len(used) != 2 {
		t.Errorf("used: %q", used)
	}
}

func TestNativeHearsOfItsRequest(t *testing.T) {
	s, a := asking(t, "wanted")
	_, url := listen(t, s)
	k := raw(t, url)
	id := uint64(0)
	change := func(f func(*bastion.Request)) then {
		return func(*testing.T) {
			if id == 0 {
				id = <-a.Filed()
			}
			a.Change(id, f)
		}
	}
	vote := func(v bastion.Verdict, reason string) then {
		return change(func(r *bastion.Request) {
			r.Votes = append(r.Votes, bastion.Vote{Who: bastion.Identity{Name: "rita"}, Verdict: v, Reason: reason})
		})
	}
	got := k.play(&pgproto3.Query{String: "SELECT 'wanted'"}, until("N NOTICE"),
		change(func(r *bastion.Request) { r.Seen = append(r.Seen, bastion.Seen{Name: "rita"}) }), until("N NOTICE"),
		vote(bastion.VoteComment, "which\x1b[2J ticket?"), until("N NOTICE"),
		vote(bastion.VoteApprove, ""), until("N NOTICE"),
		change(func(r *bastion.Request) { r.State = bastion.Approved }), ready{})
	var notices []string
	for _, l := range got {
		if strings.HasPrefix(l, "N ") {
			notices = append(notices, l)
		}
	}
	for i, want := range []string{"request 1 waits for", "request 1 was seen by rita", "request 1, rita: which", "request 1 was approved by rita"} {
		if len(notices) != 4 || !strings.Contains(notices[i], want) || strings.Contains(notices[i], "\x1b") {
			t.Fatalf("%q", notices)
		}
	}
}

// Who waits and gave no reason hears how to give one, and who gave one does not.
func TestNativeMissesAReason(t *testing.T) {
	for option, missed := range map[string]bool{"": true, "&options=-c%20sallyport.reason%3Dticket": false} {
		s, a := asking(t, "wanted")
		_, url := listen(t, s)
		config, err := pgconn.ParseConfig(url + option)
		if err != nil {
			t.Fatal(err)
		}
		hints := ""
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { hints += n.Hint }
		c, err := pgconn.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		filed := a.Filed()
		go func() { a.Set(<-filed, bastion.Denied) }() // ends with the request
		if _, err := c.Exec(t.Context(), "SELECT 'wanted'").ReadAll(); err == nil {
			t.Error("it ran")
		}
		if strings.Contains(hints, "approvers miss a reason") != missed || strings.Contains(hints, "PGOPTIONS='-c sallyport.reason=") != missed {
			t.Errorf("%q: %s", option, hints)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestNativeApprovalIsNotUsedInVain(t *testing.T) {
	s, a := asking(t, "wanted")
	_, url := listen(t, s)
	k := raw(t, url)
	// Nobody is asked for what will be skipped, or cannot run.
	got := k.play(together(all("SELECT 1/0"), all("SELECT 'wanted'"), sync_, ready{})...)
	if !strings.HasPrefix(got[len(got)-2], "E ERROR 22012") || got[len(got)-1] != "Z I" {
		t.Errorf("after an error: %q", got)
	}
	got = k.play("BEGIN", "SELECT 1/0", "SELECT 'wanted'", "ROLLBACK")
	if !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "E ERROR 25P02") }) {
		t.Errorf("in a broken transaction: %q", got)
	}
	select {
	case id := <-a.Filed():
		t.Errorf("request %d was made for nothing", id)
	default:
	}
	// It is used after what comes before it went well.
	got = k.play(together(all("SELECT 1"), all("SELECT 'wanted'"), sync_, until("N NOTICE"), then(func(*testing.T) { a.Set(<-a.Filed(), bastion.Approved) }), ready{})...)
	if got[len(got)-2] != "C SELECT 1" || len(a.Used()) != 1 {
		t.Errorf("%q; used %q", got, a.Used())
	}
}

func TestNativeApprovalTimeout(t *testing.T) {
	s, a := asking(t, "wanted")
	_, url := listen(t, s)
	k := raw(t, url)
	for range 2 { // the request stays open, and is found again
		got := k.play("SET statement_timeout = '50ms'", "SELECT 'wanted'", "RESET statement_timeout")
		if !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "E ERROR 57014") }) {
			t.Errorf("%q", got)
		}
	}
	id := <-a.Filed()
	a.Set(id, bastion.Approved)
	if got := k.play("SELECT 'wanted'"); got[len(got)-1] != "Z I" || len(a.Used()) != 1 {
		t.Errorf("%q; used %q", got, a.Used())
	}
}

func TestNativeSessionEndsWhileWaiting(t *testing.T) {
	s, a := asking(t, "wanted")
	l, url := listen(t, s)
	k := raw(t, url)
	got := k.play(&pgproto3.Query{String: "SELECT 'wanted'"}, until("N NOTICE"), then(func(*testing.T) {
		<-a.Filed()
		l.End(errors.New("somebody ended this session"))
	}), receive(2))
	if want := []string{"E FATAL 57P01 somebody ended this session", "gone"}; !strings.HasPrefix(got[len(got)-2], want[0]) || got[len(got)-1] != want[1] {
		t.Errorf("%q", got)
	}
}

func TestNativeConnectNeedsApproval(t *testing.T) {
	s, a := asking(t, "connect")
	_, url := listen(t, s)
	done := make(chan struct{})
	go func() { // ends when the client asks
		a.Set(<-a.Filed(), bastion.Approved)
		close(done)
	}()
	c := connect(t, url)
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
	if used := a.Used(); len(used) != 1 || !strings.HasPrefix(used[0], "connect") {
		t.Errorf("used: %q", used)
	}
}
