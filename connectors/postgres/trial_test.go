package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// trials is people around a target who ask for what changes it, and look before they
// decide.
type trials struct {
	t       testing.TB
	waiting *connectortest.Approvals
	setup   connectortest.Setup
	asks    *connectortest.Session
	looks   *connectortest.Session
}

func trialSetup(setup connectortest.Setup) (connectortest.Setup, *connectortest.Approvals) {
	waiting := &connectortest.Approvals{}
	setup.Approvals = waiting
	setup.Decide = func(op bastion.Operation) bastion.Effect {
		switch op.Intent().Verb {
		case bastion.Connect, "select", "setting", "setting-meaning":
			return bastion.Allow
		}
		return bastion.Ask
	}
	return setup, waiting
}

func tryOn(t testing.TB, database string, labels ...mask.Label) *trials {
	t.Helper()
	setup := shop(t, database, labels...)
	setup.Connector = postgres.New()
	y := &trials{t: t}
	y.setup, y.waiting = trialSetup(setup)
	y.asks = connectortest.Start(t, y.setup)
	person := y.setup
	person.Person = "rita"
	y.looks = connectortest.Start(t, person)
	return y
}

// try files a request of alice's and has rita look.
func (y *trials) try(ctx context.Context, text string) (bastion.Preview, error) {
	y.t.Helper()
	op, err := y.asks.Parse(y.t.Context(), text)
	if err != nil {
		y.t.Fatalf("%s: %v", text, err)
	}
	return y.tryOp(ctx, op)
}

func (y *trials) tryOp(ctx context.Context, op bastion.Operation) (bastion.Preview, error) {
	y.t.Helper()
	r, err := y.waiting.File(y.t.Context(), bastion.Question{Op: op, Who: y.asks.Who(), Reason: "x", Decision: bastion.Decision{Effect: bastion.Ask, Try: true}})
	if err != nil {
		y.t.Fatal(err)
	}
	return y.looks.Try(ctx, r.ID)
}

// everything is all rows and names of a database, apart from numbers of sequences.
func everything(t testing.TB, database string) string {
	t.Helper()
	rows, err := server.Query(t.Context(), database, `SELECT
		(SELECT md5(string_agg(x::text, '|' ORDER BY x::text)) FROM customers x),
		(SELECT md5(string_agg(x::text, '|' ORDER BY x::text)) FROM employees x), (SELECT md5(string_agg(x::text, '|' ORDER BY x::text)) FROM products x),
		(SELECT md5(string_agg(relname::text || relkind::text || relnatts::text, '|' ORDER BY oid)) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'i', 'S'))`)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(rows[0], " ")
}

// sampled is a sample as a person reads it.
func sampled(s *bastion.Sample) string {
	if s == nil {
		return "-"
	}
	var b strings.Builder
	for i, row := range s.Rows {
		if i > 0 {
			b.WriteString("/")
		}
		for j, v := range row {
			if j > 0 {
				b.WriteString("|")
			}
			if v == nil {
				b.WriteString("NULL")
			} else {
				b.WriteString(*v)
			}
		}
	}
	return b.String()
}

func TestTry(t *testing.T) {
	y := tryOn(t, "trial", labels...)
	if _, err := server.Query(t.Context(), "trial", `CREATE TABLE prices (sku text PRIMARY KEY, price int CHECK (price > 0), was int);
		INSERT INTO prices SELECT 'p' || n, n FROM generate_series(1, 9) n; ALTER TABLE prices OWNER TO `+server.App().User+`;
		CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
		GRANT ALL ON parents, children TO `+server.App().User); err != nil {
		t.Fatal(err)
	}
	prices := func() string {
		rows, err := server.Query(t.Context(), "trial", `SELECT (SELECT string_agg(p::text, ' ' ORDER BY sku) FROM prices p), (SELECT count(*) FROM children),
			(SELECT md5(string_agg(relname::text || relnatts::text, '|' ORDER BY oid)) FROM pg_class WHERE oid >= 16384)`)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(rows[0], " ")
	}
	was, priced := everything(t, "trial"), prices()
	for _, c := range []struct {
		text          string
		rows          int64
		before, after string
		failure       string
	}{
		{"UPDATE prices SET was = price, price = price * 2 WHERE sku IN ('p1', 'p2')", 2, "p1|1|NULL/p2|2|NULL", "p1|2|1/p2|4|2", ""},
		{"UPDATE prices AS p SET price = 7 FROM customers c WHERE p.price = c.id AND c.id < 3 RETURNING c.name", 2, "p1|1|NULL/p2|2|NULL", "p1|7|NULL/p2|7|NULL", ""},
		{"DELETE FROM prices WHERE price > 7", 2, "p8|8|NULL/p9|9|NULL", "-", ""},
		{"INSERT INTO prices VALUES ('new', 5, NULL), ('newer', 6, 1)", 2, "-", "new|5|NULL/newer|6|1", ""},
		{"INSERT INTO prices VALUES ('p1', 5, NULL) ON CONFLICT (sku) DO UPDATE SET price = excluded.price", 1, "-", "p1|5|NULL", ""},
		{"WITH d AS (DELETE FROM prices WHERE sku = 'p9' RETURNING *) INSERT INTO prices SELECT sku || 'x', price, was FROM d", 1, "-", "p9x|9|NULL", ""},
		{"UPDATE prices SET sku = 'q' || sku WHERE price = 3", 1, "-", "qp3|3|NULL", ""},
		{"MERGE INTO prices p USING (VALUES ('p1', 8), ('p77', 9)) v (s, n) ON p.sku = v.s WHEN MATCHED THEN UPDATE SET price = v.n WHEN NOT MATCHED THEN INSERT VALUES (v.s, v.n)", 2, "-", "-", ""},
		{"UPDATE prices SET price = 0 WHERE sku = 'p1'", -1, "-", "-", `violates check constraint "prices_price_check"`},
		{"INSERT INTO children VALUES (1)", -1, "-", "-", `violates foreign key constraint "children_id_fkey"`}, // which would fail at COMMIT
		{"DELETE FROM prices WHERE sku = 'nothing'", 0, "", "-", ""},
		{"TRUNCATE prices", -1, "-", "-", ""},
		{"ALTER TABLE prices ADD COLUMN since date, ALTER COLUMN was SET DEFAULT 1", -1, "-", "-", ""},
		{"ALTER TABLE prices ALTER COLUMN was SET NOT NULL", -1, "-", "-", `column "was" of relation "prices" contains null values`},
		{"CREATE INDEX prices_price ON prices (price)", -1, "-", "-", ""},
		{"DROP TABLE prices", -1, "-", "-", ""},
		{"CREATE TABLE fresh (id int PRIMARY KEY, of text DEFAULT 'x')", -1, "-", "-", ""},
		// What rita may not see she does not see, before or after.
		{"UPDATE customers SET phone = '0123456789' WHERE id = 1", 1, "masked", "masked", ""},
	} {
		p, err := y.try(t.Context(), c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if !p.Tried || p.Rows != c.rows || !strings.Contains(p.Failure, c.failure) || (c.failure == "") != (p.Failure == "") {
			t.Errorf("%s: %+v", c.text, p)
		}
		if c.before == "masked" {
			if b, a := sampled(p.Before), sampled(p.After); !strings.Contains(b, "@") || strings.Contains(a, "0123456789") || !strings.HasPrefix(a, "1|") || !strings.Contains(a, "6789") || !strings.Contains(b, "NULL") {
				t.Errorf("%s: %s, %s", c.text, b, a)
			}
		} else if sampled(p.Before) != c.before || sampled(p.After) != c.after {
			t.Errorf("%s: %s, %s; want %s, %s", c.text, sampled(p.Before), sampled(p.After), c.before, c.after)
		}
		if p.Failure == "" && !strings.Contains(p.Note, "was aborted") && p.Rows != 0 {
			t.Errorf("%s: it is not said that it was rolled back: %q", c.text, p.Note)
		}
		if now := prices(); now != priced {
			t.Fatalf("%s: trying it changed the target", c.text)
		}
	}
	op, err := y.asks.Bind(t.Context(), y.setup.Target.Name, "UPDATE prices SET was = $1 WHERE sku = $2",
		[]bastion.Value{{Type: bastion.IntegerValue, Text: "41"}, {Type: bastion.TextValue, Text: "p4"}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := y.tryOp(t.Context(), op); err != nil || p.Rows != 1 || sampled(p.After) != "p4|4|41" {
		t.Errorf("with parameters: %+v, %v", p, err)
	}
	if now := everything(t, "trial"); now != was {
		t.Error("trying changed the target")
	}
	if got := y.waiting.Used(); len(got) > 0 {
		t.Errorf("trying used approvals: %q", got)
	}
}

// What would leave something behind, or of which nobody knows, never reaches the
// target, as its own log shows.
func TestTryRefuses(t *testing.T) {
	y := tryOn(t, "trial_refused")
	if _, err := server.Query(t.Context(), "trial_refused", `
		CREATE TABLE plain (id int PRIMARY KEY, v text);
		CREATE TABLE told (id int, at bigint DEFAULT txid_current(), v text DEFAULT current_setting('work_mem'));
		CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN COPY (SELECT 1) TO PROGRAM 'touch /nowhere/at/all'; RETURN new; END $$;
		CREATE TABLE listened (id int); CREATE TRIGGER t AFTER INSERT OR UPDATE OR TRUNCATE ON listened EXECUTE FUNCTION tell();
		CREATE TABLE ruled (id int); CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT pg_sleep(1);
		CREATE FUNCTION calls(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM setval('s', $1); RETURN 1; END $$;
		CREATE SEQUENCE s; CREATE TABLE computed (id int CHECK (calls(id) = 1));
		CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO plain VALUES (9, 'x'); COMMIT; END $$;
		CREATE TABLE kept (id int REFERENCES plain ON DELETE CASCADE); CREATE TRIGGER t AFTER DELETE ON kept EXECUTE FUNCTION tell();
		GRANT ALL ON ALL TABLES IN SCHEMA public TO `+server.App().User); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ text, why string }{
		{"COMMIT", "begins or ends a transaction"},
		{"ROLLBACK", "begins or ends a transaction"},
		{"PREPARE TRANSACTION 'x'", ""},
		{"CALL commits()", "not known to be taken back"},
		{"DO $$ BEGIN COMMIT; END $$", "not known to be taken back"},
		{"VACUUM plain", "do not run in a transaction"},
		{"CREATE DATABASE other", "do not run in a transaction"},
		{"CREATE INDEX CONCURRENTLY ON plain (v)", "CONCURRENTLY"},
		{"DROP INDEX CONCURRENTLY plain_pkey", "CONCURRENTLY"},
		{"TRUNCATE plain CASCADE", "CASCADE"},
		{"SELECT * FROM plain FOR UPDATE", "it reads"},
		{"SELECT nextval('s')", "it reads"},
		{"COPY plain FROM PROGRAM 'true'", "not known to be taken back"},
		{"EXPLAIN ANALYZE DELETE FROM plain", "not known to be taken back"},
		{"NOTIFY x", "not known to be taken back"},
		{"GRANT ALL ON plain TO PUBLIC", "not known to be taken back"},
		{"CREATE EXTENSION dblink", "not known to be taken back"},
		{"INSERT INTO plain VALUES (setval('s', 7), 'x')", "function"},
		{"INSERT INTO plain SELECT 1, pg_sleep(9)::text", "function"},
		{"UPDATE plain SET v = pg_read_file('/etc/passwd')", "server-file"},
		{"DELETE FROM plain WHERE id = calls(1)", "function"},
		{"DELETE FROM plain WHERE pg_try_advisory_lock(1)", "lock"},
		{"UPDATE plain SET v = query_to_xml('select calls(1)', true, true, '')::text", "more than can be taken back"},
		{"INSERT INTO told (id) VALUES (1)", "code"},
		{"INSERT INTO listened VALUES (1)", "code beside it"},
		{"TRUNCATE listened", "code runs beside it"},
		{"INSERT INTO ruled VALUES (1)", "code beside it"},
		{"INSERT INTO computed VALUES (1)", "code"},
		{"ALTER TABLE computed ADD COLUMN x int", "code runs beside it"},
		{"DELETE FROM plain WHERE id = 1", "code"}, // what a foreign key passes on fires a trigger
		{"ALTER TABLE plain ADD COLUMN x int DEFAULT calls(1)", "function"},
		{"CREATE INDEX ON plain (calls(id))", "function"},
		{"CREATE TABLE copied AS SELECT * FROM plain", "not known to be taken back"},
		{"CREATE TRIGGER u AFTER INSERT ON plain EXECUTE FUNCTION tell()", "not known to be taken back"},
		{"UPDATE pg_class SET relname = 'x'", ""},
	} {
		mark := fmt.Sprintf(" /* never %d */", i)
		op, err := y.asks.Parse(t.Context(), c.text+mark)
		if err != nil {
			continue // it cannot even be asked for
		}
		p, err := y.tryOp(t.Context(), op)
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q; %+v", c.text, err, c.why, p)
		}
		if strings.Contains(logged.String(), mark) {
			t.Errorf("%s reached the target", c.text)
		}
	}
	// Of several statements in one text not even a request is made.
	for _, text := range []string{"DELETE FROM plain; COMMIT", "DELETE FROM plain; COMMIT; --"} {
		if _, err := y.asks.Parse(t.Context(), text); err == nil {
			t.Errorf("%s was read", text)
		}
	}
	// Another session that listens to changes of the schema is code, too.
	if _, err := server.Query(t.Context(), "trial_refused", `CREATE FUNCTION hears() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM setval('s', 99); END $$;
		CREATE EVENT TRIGGER hear ON ddl_command_end EXECUTE FUNCTION hears()`); err != nil {
		t.Fatal(err)
	}
	p, err := y.try(t.Context(), "CREATE TABLE heard (id int) /* never heard */")
	if err != nil || !strings.Contains(p.Failure, "event triggers") || strings.Contains(logged.String(), "/* never heard */") {
		t.Errorf("event triggers: %+v, %v", p, err)
	}
	if rows, err := server.Query(t.Context(), "trial_refused", "SELECT last_value, is_called FROM s"); err != nil || rows[0][0] != "1" || rows[0][1] != "f" {
		t.Errorf("the sequence moved: %v, %v", rows, err)
	}
}

// The session that asks may mean something else by its texts than one that has just
// begun. It is tried as that session means it, or not at all.
func TestTryMeansTheSame(t *testing.T) {
	y := tryOn(t, "trial_means")
	if _, err := server.Query(t.Context(), "trial_means", `CREATE SCHEMA "Other, one"; CREATE TABLE "Other, one".customers (id int PRIMARY KEY, born timestamptz);
		INSERT INTO "Other, one".customers VALUES (7, '2026-01-01 00:00+00'); GRANT ALL ON SCHEMA "Other, one" TO `+server.App().User+`;
		GRANT ALL ON "Other, one".customers TO `+server.App().User); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"SET timezone = 'Asia/Tokyo'", "SET datestyle = 'German'", `SET search_path = "Other, one", public`} {
		if _, err := y.asks.Do(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	p, err := y.try(t.Context(), "UPDATE customers SET born = '01.02.2026 00:00' WHERE id = 7")
	if err != nil || sampled(p.Before) != "7|01.01.2026 09:00:00 JST" || sampled(p.After) != "7|01.02.2026 00:00:00 JST" {
		t.Errorf("%s, %s: %+v, %v", sampled(p.Before), sampled(p.After), p, err)
	}
	if _, err := y.asks.Do(t.Context(), "SET transform_null_equals = on"); err != nil {
		t.Fatal(err)
	}
	if p, err := y.try(t.Context(), "UPDATE customers SET born = NULL WHERE born = NULL"); err == nil || !strings.Contains(err.Error(), "settings of its own") {
		t.Errorf("%+v, %v", p, err)
	}
}

// What others lock is not waited for, and what is stopped is taken back.
func TestTryWaitsForNobody(t *testing.T) {
	y := tryOn(t, "trial_locks")
	was := everything(t, "trial_locks")
	holder := lockRow(t, "trial_locks")
	defer holder()
	p, err := y.try(t.Context(), "UPDATE customers SET city = 'x' WHERE id < 3")
	if err != nil || !strings.Contains(p.Failure, "a lock was not to be had") {
		t.Errorf("%+v, %v", p, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() { // ends with the trial
		_, err := y.try(ctx, "UPDATE customers SET city = 'y' WHERE id < 3")
		done <- err
	}()
	untilWaiting(t, "trial_locks")
	gone := errors.New("rita hung up")
	cancel(gone)
	if err := <-done; !errors.Is(err, gone) {
		t.Errorf("cancelled: %v", err)
	}
	holder()
	if now := everything(t, "trial_locks"); now != was {
		t.Error("trying changed the target")
	}
}

// lockRow keeps a row of customers locked until the function is called.
func lockRow(t *testing.T, database string) (release func()) {
	t.Helper()
	setup := connectortest.Setup{Connector: postgres.Connector{}, Target: target(database), Secret: bastion.NewSecret(server.App().User, server.App().Password), Person: "ben"}
	s := connectortest.Start(t, setup)
	for _, text := range []string{"BEGIN", "UPDATE customers SET city = city WHERE id = 1"} {
		if _, err := s.Do(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	released := false
	return func() {
		if !released {
			released = true
			if _, err := s.Do(t.Context(), "ROLLBACK"); err != nil {
				t.Error(err)
			}
		}
	}
}

// untilWaiting returns once somebody waits for a lock, and their number at the server.
func untilWaiting(t *testing.T, database string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for a lock")
		}
		rows, err := server.Query(t.Context(), "postgres", "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '"+database+"'")
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) > 0 {
			return rows[0][0]
		}
		runtime.Gosched()
	}
}

// trialProcess is the environment variable by which this test runs itself again.
const trialProcess = "SALLYPORT_TEST_TRIAL"

// TestTryKilled kills a whole bastion, as kill -9 does, while it tries a statement
// that has changed rows already: nothing of it stays.
func TestTryKilled(t *testing.T) {
	if err := server.Fill(t.Context(), "trial_killed"); err != nil {
		t.Fatal(err)
	}
	was := everything(t, "trial_killed")
	release := lockRow(t, "trial_killed")
	defer release()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), trialProcess+"="+strings.Join([]string{server.Addr(), server.CACert(), server.App().User, server.App().Password}, "\n"))
	out, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := untilWaiting(t, "trial_killed")
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	words, _ := io.ReadAll(out)
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the bastion ended by itself: %v %s", err, words)
	}
	release() // the server goes on with the statement, if it has not noticed
	for deadline := time.Now().Add(time.Minute); ; {
		if time.Now().After(deadline) {
			t.Fatal("the server still works for a bastion that is gone")
		}
		rows, err := server.Query(t.Context(), "postgres", "SELECT count(*) FROM pg_stat_activity WHERE pid = "+pid)
		if err != nil {
			t.Fatal(err)
		}
		if rows[0][0] == "0" {
			break
		}
		runtime.Gosched()
	}
	if now := everything(t, "trial_killed"); now != was {
		t.Error("a killed trial changed the target")
	}
}

// killedTrial is the process of TestTryKilled: a bastion that tries a statement which
// changes rows and then waits for one that others hold.
func killedTrial(about string) int {
	parts := strings.Split(about, "\n")
	setup, waiting := trialSetup(connectortest.Setup{Connector: postgres.Connector{}, Secret: bastion.NewSecret(parts[2], parts[3]),
		Target: bastion.Target{Name: "shop", Kind: "postgres", Address: parts[0], Options: map[string]string{"database": "trial_killed", "ca": parts[1]}}})
	s, err := connectortest.Begin(setup)
	if err == nil {
		var op bastion.Operation
		if op, err = s.Parse(context.Background(), "UPDATE customers SET city = 'killed' WHERE id IN (SELECT id FROM customers WHERE id < 1000 ORDER BY id DESC)"); err == nil {
			var r bastion.Request
			if r, err = waiting.File(context.Background(), bastion.Question{Op: op, Who: s.Who(), Reason: "x", Decision: bastion.Decision{Try: true}}); err == nil {
				_, err = s.Try(context.Background(), r.ID)
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
