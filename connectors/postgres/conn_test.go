package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// lines keeps the server's log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var logged = &lines{}

func TestConformance(t *testing.T) {
	setup := shop(t, "conformance", labels...)
	if _, err := server.Query(t.Context(), "conformance", plant); err != nil {
		t.Fatal(err)
	}
	wrong := func(change func(*bastion.Target)) bastion.Target {
		w := target("conformance")
		change(&w)
		return w
	}
	connectortest.Run(t, connectortest.Fixture{
		Setup:   setup,
		Rows:    "SELECT id, name /* exactly so */ FROM customers WHERE id < 4",
		Endless: "SELECT generate_series(1, 100000000), repeat('x', 1000)",
		Slow:    "SELECT pg_sleep(600)",
		Verbs: map[string]bastion.Verb{"SELECT 1": "select", "DELETE FROM orders": "delete-all", "UPDATE orders SET total = 1 WHERE id = 1": "update",
			"DROP TABLE orders": "drop", "SELECT relname FROM pg_class": "catalog", "DO $$ BEGIN END $$": "do", "GRANT a TO b": "grant"},
		Unread:  []string{"SELEC 1", "SELECT 1; SELECT 2", "SELECT 'x", "-- nothing", ";"},
		Several: "SELECT ';'; -- and; more\nSELECT $$;$$ ; ",
		Parts:   []string{"SELECT ';'", "-- and; more\nSELECT $$;$$"},
		Failing: []string{
			"SELECT 1 / (id - id) FROM orders",
			"INSERT INTO customers (name, email, city, country) VALUES ('x', 'zqxcanary1@example.com', 'x', 'DE')",
			"UPDATE customers SET email = 'zqxcanary2@example.com' WHERE id = 1",
			"INSERT INTO customers (name, city, country, phone) VALUES ('x', 'x', 'DE', 'zqxcanary')",
			"SELECT 'zqxcanary'::int",
			"SELECT name::int FROM customers",
		},
		Canary:      "zqxcanary",
		Received:    logged.String,
		WrongSecret: bastion.NewSecret(server.App().User, "hunter2-wrong"),
		WrongTargets: []bastion.Target{
			{},
			wrong(func(t *bastion.Target) { t.Address = "somewhere" }),
			wrong(func(t *bastion.Target) { t.Address = "somewhere:0" }),
			wrong(func(t *bastion.Target) { t.Options["database"] = "" }),
			wrong(func(t *bastion.Target) { t.Options["sslmode"] = "prefer" }),
			wrong(func(t *bastion.Target) { t.Options["ca"] = "/nonexistent" }),
			wrong(func(t *bastion.Target) { t.Options["ca"] = os.Args[0] }),
			wrong(func(t *bastion.Target) { t.Options["connect_timeout"] = "soon" }),
			wrong(func(t *bastion.Target) { t.Options["passfile"] = "/root/.pgpass" }),
		},
	})
}

// TestCancel sees on the server that the statement stops, and the session goes on.
func TestCancel(t *testing.T) {
	s := connectortest.Start(t, shop(t, "cancel"))
	if _, err := s.Do(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	running := func(want string) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			rows, err := server.Query(t.Context(), "postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cancel' AND state = 'active' AND query LIKE '%pg_sleep(600)%'")
			if err != nil {
				t.Fatal(err)
			}
			if rows[0][0] == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s statements run, want %s", rows[0][0], want)
			}
			runtime.Gosched()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { // ends when the statement does
		_, err := s.Do(ctx, "SELECT pg_sleep(600)")
		done <- err
	}()
	running("1")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	running("0")
	// The transaction has failed, as at any client, and can be ended.
	_, err := s.Do(t.Context(), "SELECT 1")
	if te, ok := errors.AsType[*bastion.TargetError](err); !ok || te.Code != "25P02" || !strings.Contains(te.Summary, "ROLLBACK") {
		t.Errorf("in a failed transaction: %v", err)
	}
	if _, err := s.Do(t.Context(), "ROLLBACK"); err != nil {
		t.Error(err)
	}
	if r, err := s.Do(t.Context(), "SELECT 1"); err != nil || r.Rows[0][0] != "1" {
		t.Errorf("after a cancel: %v, %v", r, err)
	}
}

// TestStream passes a million rows on without keeping them.
func TestStream(t *testing.T) {
	s := connectortest.Start(t, shop(t, "stream"))
	var base, most uint64
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	rows := 0
	err := s.Stream(t.Context(), "SELECT g, 'row number ' || g FROM generate_series(1, 1000000) g", func(f bastion.Frame) error {
		if f.Kind() != bastion.RowFrame {
			return nil
		}
		if rows++; rows == 1000 {
			base = heap()
		} else if rows%100_000 == 0 {
			most = max(most, heap())
		}
		return nil
	})
	if err != nil || rows != 1_000_000 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	if most > base+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes", base, most)
	}
}

// TestBackpressure stops reading: the server must stop sending, not we keep.
func TestBackpressure(t *testing.T) {
	s := connectortest.Start(t, shop(t, "backpressure"))
	rows := 0
	err := s.Stream(t.Context(), "SELECT repeat('x', 8000) FROM generate_series(1, 1000000)", func(f bastion.Frame) error {
		if f.Kind() != bastion.RowFrame {
			return nil
		}
		if rows++; rows < 100 {
			return nil
		}
		// Whoever sends into full buffers waits for the client.
		deadline := time.Now().Add(20 * time.Second)
		for {
			r, err := server.Query(t.Context(), "postgres", "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE datname = 'backpressure' AND state = 'active'")
			if err != nil {
				return err
			}
			if len(r) == 1 && r[0][0] == "ClientWrite" {
				return errors.New("seen")
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("the server does not wait: %v", r)
			}
			runtime.Gosched()
		}
	})
	if err == nil || err.Error() != "seen" {
		t.Error(err)
	}
	if _, err := s.Do(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	clear, masked := connectortest.Start(t, shop(t, "errors")), connectortest.Start(t, shop(t, "errors", labels...))
	for _, c := range []struct {
		text, code, summary string
		detail              string // where nothing is hidden
	}{
		{"SELECT nosuch FROM customers", "42703", `column "nosuch" does not exist`, ""},
		{"SELECT * FROM nosuch", "42P01", `relation "nosuch" does not exist`, ""},
		{"DROP TABLE nosuch", "42P01", `table "nosuch" does not exist`, ""},
		{"CREATE TABLE customers (a int)", "42P07", `relation "customers" already exists`, ""},
		{"SELECT 1 / (id - id) FROM customers", "22012", "division by zero", ""},
		{"SELECT country::regclass FROM customers WHERE id = 1", "42P01", "undefined table", "does not exist"},
		{"UPDATE customers SET id = 2 WHERE id = 1", "23505", `duplicate key value violates unique constraint "customers_pkey"`, "Key (id)=(2) already exists"},
		{"DELETE FROM customers WHERE id = 1", "23503", `update or delete on table "customers" violates foreign key constraint "orders_customer_id_fkey" on table "orders"`, "Key (id)=(1)"},
		{"SELECT pg_read_file('/etc/passwd')", "42501", "permission denied for function pg_read_file", ""},
	} {
		for _, s := range []*connectortest.Session{clear, masked} {
			_, err := s.Do(t.Context(), c.text)
			te, ok := errors.AsType[*bastion.TargetError](err)
			if !ok || c.code != "" && te.Code != c.code || !strings.Contains(te.Summary, c.summary) {
				t.Errorf("%s\ngot %v", c.text, err)
				continue
			}
			if s == clear && !strings.Contains(te.Detail, c.detail) {
				t.Errorf("%s\nlacks the detail %q: %v", c.text, c.detail, err)
			}
			if s == masked && c.detail != "" && strings.Contains(te.Error(), c.detail) && c.detail != c.summary {
				t.Errorf("%s\nshows its detail: %v", c.text, err)
			}
		}
	}
	_, err := clear.Do(t.Context(), "SELECT nosuch FROM customers")
	if te, ok := errors.AsType[*bastion.TargetError](err); !ok || te.Position != 8 {
		t.Errorf("position: %+v", te)
	}
}

func TestConnecting(t *testing.T) {
	setup := shop(t, "connecting")
	with := func(change func(*connectortest.Setup)) connectortest.Setup {
		s := setup
		s.Target = target("connecting")
		change(&s)
		return s
	}
	// Another authority, made by another server, does not vouch for this one.
	foreign := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(foreign, []byte(otherAuthority(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		setup connectortest.Setup
		want  string // part of the error; empty if it must open
	}{
		"verify-full": {with(func(s *connectortest.Setup) {}), ""},
		"verify-ca":   {with(func(s *connectortest.Setup) { s.Target.Options["sslmode"] = "verify-ca" }), ""},
		"require": {with(func(s *connectortest.Setup) {
			s.Target.Options["sslmode"] = "require"
			delete(s.Target.Options, "ca")
		}), ""},
		"plaintext":       {with(func(s *connectortest.Setup) { s.Target.Options["sslmode"] = "disable" }), "refused"},
		"no authority":    {with(func(s *connectortest.Setup) { delete(s.Target.Options, "ca") }), "not signed by the configured authority"},
		"wrong authority": {with(func(s *connectortest.Setup) { s.Target.Options["ca"] = foreign }), "not signed by the configured authority"},
		"wrong for ca": {with(func(s *connectortest.Setup) {
			s.Target.Options["ca"], s.Target.Options["sslmode"] = foreign, "verify-ca"
		}), "not signed by the configured authority"},
		"wrong name": {with(func(s *connectortest.Setup) {
			s.Target.Address = strings.Replace(server.Addr(), "127.0.0.1", "127.0.0.2", 1)
		}), "cannot be reached"},
		"wrong password":   {with(func(s *connectortest.Setup) { s.Secret = bastion.NewSecret(server.App().User, "hunter2") }), "credential"},
		"unknown user":     {with(func(s *connectortest.Setup) { s.Secret = bastion.NewSecret("nobody", "hunter2") }), "credential"},
		"unknown database": {with(func(s *connectortest.Setup) { s.Target.Options["database"] = "nosuch" }), "database"},
		"nobody listens":   {with(func(s *connectortest.Setup) { s.Target.Address = "127.0.0.1:1" }), "nothing listens"},
		"unknown host":     {with(func(s *connectortest.Setup) { s.Target.Address = "nosuch.invalid:5432" }), "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			err := connectortest.Open(t, c.setup)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want it to say %q", err, c.want)
			case err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), server.App().Password)):
				t.Errorf("the password shows: %v", err)
			}
		})
	}
}

// TestEnvironment: nothing but target and secret says where to connect.
func TestEnvironment(t *testing.T) {
	setup := shop(t, "environment")
	for name, value := range map[string]string{"PGHOST": "192.0.2.1", "PGPORT": "1", "PGUSER": "eve", "PGPASSWORD": "x", "PGDATABASE": "y",
		"PGSSLMODE": "disable", "PGOPTIONS": "-c search_path=evil", "PGAPPNAME": "evil", "PGTARGETSESSIONATTRS": "read-only", "PGREQUIREAUTH": "none", "PGTZ": "Asia/Tokyo"} {
		t.Setenv(name, value)
	}
	s := connectortest.Start(t, setup)
	r, err := s.Do(t.Context(), "SELECT current_database(), current_user, current_setting('search_path'), application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE pid = pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"environment", "shop_app", "public", "sallyport alice s-test", "t"}
	if !slices.Equal(r.Rows[0], want) {
		t.Errorf("got %q, want %q", r.Rows[0], want)
	}
}

// TestMeaning: what a statement means is part of its digest, and a statement that
// means something else by now does not run.
func TestMeaning(t *testing.T) {
	setup := shop(t, "meaning")
	if _, err := server.Query(t.Context(), "meaning", "CREATE SCHEMA other AUTHORIZATION shop_app"); err != nil {
		t.Fatal(err)
	}
	s := connectortest.Start(t, setup)
	before, err := s.Parse(t.Context(), "SELECT count(*) FROM customers")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"CREATE TABLE other.customers (a int)", "SET search_path = other, public"} {
		if _, err := s.Do(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	after, err := s.Parse(t.Context(), "SELECT count(*) FROM customers")
	if err != nil {
		t.Fatal(err)
	}
	if before.Digest() == after.Digest() {
		t.Error("another search_path does not change the digest")
	}
	if got := after.Intent().Actions[0].Resource; got != "other.customers" {
		t.Errorf("the name means %s", got)
	}
	err = s.Run(t.Context(), before, bastion.Job{Show: func(bastion.Frame) error { return nil }})
	if err == nil || !strings.Contains(err.Error(), "did not run") {
		t.Errorf("a statement read under another search_path: %v", err)
	}
	// A temporary table shadows the real one.
	if _, err := s.Do(t.Context(), "CREATE TEMP TABLE orders (a int)"); err != nil {
		t.Fatal(err)
	}
	op, err := s.Parse(t.Context(), "DELETE FROM orders")
	if err != nil {
		t.Fatal(err)
	}
	if got := op.Intent().Actions[0].Resource; got != "pg_temp.orders" {
		t.Errorf("the name means %s", got)
	}
}

// TestSchemaChanges: the reading follows the schema, changed here or elsewhere.
func TestSchemaChanges(t *testing.T) {
	s := connectortest.Start(t, shop(t, "changes", mask.Label{Pattern: "public.secrets.*", Kind: mask.Redact}))
	if _, err := s.Do(t.Context(), "CREATE TABLE secrets (a text)"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Do(t.Context(), "INSERT INTO secrets VALUES ('x')"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Do(t.Context(), "SELECT a || '' FROM secrets"); err != nil || r.Rows[0][0] != mask.Redacted {
		t.Errorf("a new table: %v, %v", r, err)
	}
	if _, err := server.Query(t.Context(), "changes", "ALTER TABLE secrets ADD b text DEFAULT 'y'"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Do(t.Context(), "SELECT b || '' FROM secrets"); err != nil || r.Rows[0][0] != mask.Redacted || !r.Columns[0].Masked() {
		t.Errorf("a column that somebody else added: %v, %v", r, err)
	}
	// In a transaction that changed the schema, nothing is proven.
	for _, text := range []string{"BEGIN", "ALTER TABLE products RENAME TO p2"} {
		if _, err := s.Do(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Do(t.Context(), "SELECT name FROM p2 LIMIT 1"); err == nil {
		t.Error("names are read by a catalog that is not the transaction's")
	}
	if _, err := s.Do(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Do(t.Context(), "SELECT name FROM products ORDER BY id LIMIT 1"); err != nil || r.Columns[0].Masked() {
		t.Errorf("after the transaction: %v, %v", r, err)
	}
}

func TestPreparedAndCursors(t *testing.T) {
	s := connectortest.Start(t, shop(t, "prepared", labels...))
	for _, c := range []struct{ text, verb string }{
		{"PREPARE q (int) AS SELECT id, email FROM customers WHERE id = $1", "prepare"},
		{"PREPARE d AS DELETE FROM audit_log", "delete-all"},
		{"BEGIN", "transaction"},
		{"DECLARE c CURSOR FOR SELECT id, email FROM customers ORDER BY id", "cursor"},
	} {
		op, err := s.Parse(t.Context(), c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := op.Intent().Verb; string(got) != c.verb {
			t.Errorf("%s is %s, want %s", c.text, got, c.verb)
		}
		if _, err := s.Do(t.Context(), c.text); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"EXECUTE q(1)", "FETCH 1 FROM c"} {
		r, err := s.Do(t.Context(), text)
		if err != nil || len(r.Rows) != 1 || r.Rows[0][0] != "1" || !r.Columns[1].Masked() {
			t.Errorf("%s: %v, %v", text, r, err)
		}
	}
	op, err := s.Parse(t.Context(), "EXECUTE d")
	if err != nil || op.Intent().Verb != "delete-all" {
		t.Errorf("EXECUTE is not decided by what it runs: %v, %v", op.Intent(), err)
	}
	for _, text := range []string{"COMMIT", "DEALLOCATE ALL"} {
		if _, err := s.Do(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Parse(t.Context(), "EXECUTE d"); err == nil {
		t.Error("a forgotten statement is still known")
	}
}

// TestCursorPath: a cursor means what its names meant when it was declared.
// Code can put another statement behind a name, which nobody sees.
func TestPreparedAnew(t *testing.T) {
	s := connectortest.Start(t, shop(t, "prepared_anew"))
	swap := "DO $$ BEGIN EXECUTE 'DEALLOCATE p'; EXECUTE 'PREPARE p AS DELETE FROM audit_log'; END $$"
	for _, c := range []struct{ text, want string }{
		{"PREPARE p AS SELECT 'as decided'", ""}, {swap, ""}, {"EXECUTE p", "as decided"},
		{"DO $$ BEGIN EXECUTE 'DEALLOCATE p'; END $$", ""}, {"EXECUTE p", "as decided"},
		{"BEGIN", ""}, {swap, ""}, {"EXECUTE p", "as decided"}, {"ROLLBACK", ""}, {"EXECUTE p", "as decided"},
		{"DISCARD PLANS", ""}, {"EXECUTE p", "as decided"},
	} {
		r, err := s.Do(t.Context(), c.text)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		if c.want != "" && (len(r.Rows) != 1 || r.Rows[0][0] != c.want) {
			t.Errorf("%s gives %q", c.text, r.Rows)
		}
	}
	if _, err := s.Do(t.Context(), "DISCARD ALL"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Do(t.Context(), "EXECUTE p"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("forgotten: %v", err)
	}
}

func TestCursorPath(t *testing.T) {
	setup := shop(t, "cursorpath", labels...)
	if _, err := server.Query(t.Context(), "cursorpath", plant+"; CREATE SCHEMA other AUTHORIZATION shop_app; CREATE TABLE other.customers (id int, email text); ALTER TABLE other.customers OWNER TO shop_app"); err != nil {
		t.Fatal(err)
	}
	s := connectortest.Start(t, setup)
	for _, text := range []string{"BEGIN", "DECLARE c CURSOR FOR SELECT email || '' FROM customers", "SET LOCAL search_path = other"} {
		if _, err := s.Do(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Do(t.Context(), "FETCH 3 FROM c")
	if err != nil || len(r.Rows) != 3 || r.Rows[0][0] != mask.Redacted {
		t.Errorf("got %v, %v", r.Rows, err)
	}
}

func TestPreview(t *testing.T) {
	setup := shop(t, "preview")
	setup.Decide = func(op bastion.Operation) bastion.Effect {
		if op.Intent().Verb == bastion.Connect {
			return bastion.Allow
		}
		return bastion.Ask
	}
	s := connectortest.Start(t, setup)
	for text, want := range map[string]string{
		"UPDATE customers SET city = 'x' WHERE id = 7": ": 1 rows: the planner's estimate; the true number may differ",
		"DELETE FROM payments":                         "000 rows: the planner's estimate", // about as many as there are
		"SELECT * FROM customers":                      ": 20000 rows: the planner",
		"DELETE FROM orders WHERE last_card(1) = 'x'":  ": -1 rows: not estimated: planning could run a function",
		"DROP TABLE orders":                            ": -1 rows: the target's planner has no estimate",
	} {
		op, err := s.Parse(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Run(t.Context(), op, bastion.Job{Show: func(bastion.Frame) error { return nil },
			Reason: func(context.Context, bastion.Decision, bastion.Preview) (string, error) { return "test", nil }})
		if text == "DELETE FROM payments" {
			if err == nil || !strings.Contains(err.Error(), "rows: the planner's estimate") || strings.Contains(err.Error(), ": 0 rows") {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", text, err, want)
		}
	}
	rows, err := server.Query(t.Context(), "preview", "SELECT count(*) > 0 FROM payments")
	if err != nil || rows[0][0] != "t" {
		t.Errorf("a preview deleted: %v, %v", rows, err)
	}
}

func TestCommands(t *testing.T) {
	s := connectortest.Start(t, shop(t, "commands", labels...))
	for line, want := range map[string]string{
		`\dt`: "customers", `\dt cust*`: "customers", `\dt public.ord?rs`: "orders", `\dv`: "customer_overview", `\dn`: "public",
		`\l`: "commands", `\df`: "last_card", `\du`: "shop_app", `\di`: "customers_email_key", `\d`: "audit_log_2024",
		`\d customers`: "national_id", `\d public.customers`: "customers_email_key", `\d "customers"`: "customers_pkey",
		`\d order_items`: "generated always as", `\dt+ CUSTOMERS;`: "customers", `\d audit_log`: "PRIMARY KEY",
	} {
		text, ok, err := s.Command("shop", line)
		if !ok || err != nil {
			t.Errorf("%s: %v, %v", line, ok, err)
			continue
		}
		op, err := s.Parse(t.Context(), text)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if v := op.Intent().Verb; v != "catalog" {
			t.Errorf("%s is %s: %v", line, v, op.Intent().Actions)
		}
		r, err := s.Do(t.Context(), text)
		if err != nil || !strings.Contains(r.Shown(), want) || slices.ContainsFunc(r.Columns, bastion.Column.Masked) {
			t.Errorf("%s: %v\n%s", line, err, r.Shown())
		}
	}
	for line, want := range map[string]string{`\dt nosuch`: "", `\dt x'; DROP TABLE customers; --`: "takes one name", `\dt x'y\`: "", `\dt "a""b"`: "", `\d a.b.c`: "not written", `\dt "x`: "closing quote", `\dn a.b`: "no schema"} {
		text, ok, err := s.Command("shop", line)
		if !ok || (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, %v", line, text, ok, err)
		}
		if err == nil {
			if r, err := s.Do(t.Context(), text); err != nil || len(r.Rows) != 0 {
				t.Errorf("%s: %v, %v", line, r.Rows, err)
			}
		}
	}
	for _, line := range []string{"", `\x`, `\q`, `\timing`, `\?`, `\!`, "SELECT 1"} {
		if text, ok, err := s.Command("shop", line); ok || err != nil || text != "" {
			t.Errorf("%q: %q, %v, %v", line, text, ok, err)
		}
	}
}

func TestNames(t *testing.T) {
	s := connectortest.Start(t, shop(t, "names"))
	names, err := s.Names(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bastion.Name{
		{Kind: "table", Parent: "public", Name: "customers"}, {Kind: "view", Parent: "public", Name: "customer_overview"},
		{Kind: "schema", Name: "public"}, {Kind: "column", Parent: "public.orders", Name: "total", Type: "numeric(12,2)"},
		{Kind: "function", Parent: "public", Name: "last_card", Type: "customer integer"},
	} {
		if !slices.Contains(names, want) {
			t.Errorf("lacks %+v", want)
		}
	}
	for _, n := range names {
		if n.Parent == "pg_catalog" || strings.HasPrefix(n.Name, "pg_") {
			t.Errorf("offers %+v", n)
		}
	}
}

// TestReadOnly runs what is read as harmless in a transaction, and asks the server
// whether the transaction wrote.
func TestReadOnly(t *testing.T) {
	s := connectortest.Start(t, shop(t, "readonly"))
	harmless := map[bastion.Verb]bool{"select": true, "catalog": true, "explain": true, "setting": true}
	n := 0
	texts := slices.Concat(corpus(t, "testdata/statements.sql"), corpus(t, "testdata/honest.sql"), corpus(t, "testdata/attacks.sql"), corpus(t, "testdata/writes.sql"))
	for _, text := range texts {
		op, err := s.Parse(t.Context(), text)
		if err != nil || slices.ContainsFunc(op.Intent().Actions, func(a bastion.Action) bool { return !harmless[a.Verb] }) {
			continue
		}
		n++
		for _, first := range []string{"BEGIN", "SET LOCAL statement_timeout = '10s'"} {
			if _, err := s.Do(t.Context(), first); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Do(t.Context(), text); err == nil {
			r, err := s.Do(t.Context(), "SELECT pg_current_xact_id_if_assigned()")
			if err != nil || r.Rows[0][0] != `\N` {
				t.Errorf("%s\nis read as harmless, and wrote: %v, %v", text, r.Rows, err)
			}
		}
		if _, err := s.Do(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
	if n < 150 {
		t.Errorf("only %d statements were tried", n)
	}
	for _, text := range corpus(t, "testdata/writes.sql") {
		op, err := s.Parse(t.Context(), text)
		if err == nil && !slices.ContainsFunc(op.Intent().Actions, func(a bastion.Action) bool { return !harmless[a.Verb] }) {
			t.Errorf("%s\nis read as harmless: %v", text, op.Intent().Actions)
		}
	}
}

// TestPure: what the reader takes for pure, the server does not call volatile,
// those left out that are known to be harmless.
func TestPure(t *testing.T) {
	if err := server.Fill(t.Context(), "pure"); err != nil {
		t.Fatal(err)
	}
	rows, err := server.Query(t.Context(), "pure", `SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND (provolatile = 'v' OR prosecdef) AND prokind <> 'p'`)
	if err != nil {
		t.Fatal(err)
	}
	allowed := strings.Fields(`clock_timestamp current_query gen_random_uuid pg_current_wal_lsn pg_database_size pg_indexes_size pg_is_in_recovery
		pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_partition_ancestors pg_partition_tree pg_relation_size
		pg_table_size pg_tablespace_size pg_total_relation_size random timeofday array_sample array_shuffle random_normal`)
	for _, r := range rows {
		i, err := postgres.Connector{}.Parse(target("pure"), "SELECT pg_catalog."+r[0]+"()")
		if err != nil {
			continue // a keyword
		}
		if i.Verb == "select" && !slices.Contains(allowed, r[0]) {
			t.Errorf("%s is volatile and taken for pure", r[0])
		}
	}
}

// TestStreams: what needs a stream is refused before it reaches the server.
func TestStreams(t *testing.T) {
	s := connectortest.Start(t, shop(t, "streams"))
	for _, text := range []string{"COPY customers TO STDOUT", "COPY customers FROM STDIN", "LISTEN x"} {
		_, err := s.Do(t.Context(), text)
		if te, ok := errors.AsType[*bastion.TargetError](err); !ok || !strings.Contains(te.Summary, "not available here") {
			t.Errorf("%s: %v", text, err)
		}
		if strings.Contains(logged.String(), text) {
			t.Errorf("%s reached the server", text)
		}
	}
}

// TestLostConnection: the server ends the session, which says so and connects anew.
func TestLostConnection(t *testing.T) {
	s := connectortest.Start(t, shop(t, "lost"))
	if _, err := server.Query(t.Context(), "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lost'"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Do(t.Context(), "SELECT 1")
	if te, ok := errors.AsType[*bastion.TargetError](err); !ok || !te.Lost {
		t.Fatalf("a dead connection: %v", err)
	}
	if err := s.Open(t.Context(), "shop", bastion.Job{Show: func(bastion.Frame) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Do(t.Context(), "SELECT 1"); err != nil || r.Rows[0][0] != "1" {
		t.Errorf("connected anew: %v, %v", r, err)
	}
	// The side connection alone is made anew without a word.
	if _, err := server.Query(t.Context(), "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lost' AND application_name LIKE '%catalog'"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"CREATE TABLE made (a int)", "SELECT a FROM made"} { // reads the catalog anew
		if _, err := s.Do(t.Context(), text); err != nil {
			t.Errorf("%s, without the side connection: %v", text, err)
		}
	}
}

// TestPasswordsInText: a new password is not recorded.
func TestPasswordsInText(t *testing.T) {
	s := connectortest.Start(t, shop(t, "passwords"))
	_, err := s.Do(t.Context(), "CREATE ROLE bob PASSWORD 'hunter2'")
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
	if r := s.Recorded(); strings.Contains(r, "hunter2") || !strings.Contains(r, "CREATE ROLE bob PASSWORD '****'") {
		t.Errorf("recorded: %s", r)
	}
}
