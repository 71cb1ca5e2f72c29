package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// scanned is what a scan found, by column.
type scanned struct {
	*postgres.Scanned
	values []string
}

func scan(t *testing.T, database string, login bastion.Secret, s postgres.Sample) map[string]*scanned {
	t.Helper()
	values := map[*postgres.Scanned][]string{}
	columns, err := postgres.Connector{}.Scan(t.Context(), target(database), login, s, func(c *postgres.Scanned, v []byte) {
		values[c] = append(values[c], string(v))
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*scanned{}
	for _, c := range columns {
		got[c.Schema+"."+c.Table+"."+c.Name] = &scanned{c, values[c]}
	}
	return got
}

// TestScan: every kind of table, and of what somebody may put into one.
func TestScan(t *testing.T) {
	if _, err := server.Query(t.Context(), "postgres", `CREATE DATABASE scanning`); err != nil {
		t.Fatal(err)
	}
	app := server.App()
	for _, sql := range []string{
		`CREATE SCHEMA other; CREATE SCHEMA closed; GRANT USAGE ON SCHEMA public, other TO ` + app.User,
		`CREATE DOMAIN address AS text CHECK (VALUE LIKE '%@%'); CREATE DOMAIN work_address AS address`,
		`CREATE TABLE plain (id int, big bigint, price numeric(10,2), account numeric(20), mail address, work work_address[], tags text[], doc jsonb, raw bytea, ok bool, at inet, empty text)`,
		`INSERT INTO plain SELECT i, 4000000000000000 + i, i, i, 'a' || i || '@x.test', ARRAY['w@x.test'], ARRAY['t'], '{"k": "v"}', '\x00', true, '10.0.0.1', NULL FROM generate_series(1, 50) i`,
		`CREATE TABLE "odd "" . name; --" ("a""b ; drop table plain" text, "new
line" text)`,
		`INSERT INTO "odd "" . name; --" VALUES ('one', 'two')`,
		`CREATE TABLE long (v text); INSERT INTO long VALUES (repeat('x', 10000000))`,
		`CREATE TABLE parent (p text) PARTITION BY LIST (p); CREATE TABLE part PARTITION OF parent FOR VALUES IN ('in part'); INSERT INTO parent VALUES ('in part')`,
		`CREATE TABLE elder (e text); CREATE TABLE younger (own text) INHERITS (elder); INSERT INTO younger VALUES ('inherited', 'own')`,
		`CREATE VIEW seen AS SELECT mail FROM plain`,
		`CREATE MATERIALIZED VIEW kept AS SELECT mail FROM plain`,
		`CREATE TABLE closed.hidden (v text); INSERT INTO closed.hidden VALUES ('no right')`,
		`CREATE TABLE other.mixed (open text, shut text); INSERT INTO other.mixed VALUES ('open', 'shut'); GRANT SELECT (open) ON other.mixed TO ` + app.User,
		// What would run somebody's code, with the rights of the bastion's role.
		`CREATE TABLE trapped (n int); INSERT INTO trapped VALUES (0); GRANT ALL ON trapped TO ` + app.User,
		`CREATE FUNCTION trap(text) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped %', $1; END$$`,
		`CREATE TABLE guarded (v text); INSERT INTO guarded VALUES ('guarded'); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON guarded USING (trap(v))`,
		`CREATE TYPE public.text AS ENUM ('lure'); CREATE FUNCTION lure(public.text) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$`,
		`CREATE CAST (public.text AS pg_catalog.text) WITH FUNCTION lure(public.text)`,
		`CREATE TABLE lured (v public.text, w pg_catalog.text); INSERT INTO lured VALUES ('lure', 'beside')`,
		`CREATE FUNCTION copies() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$`,
		`CREATE TRIGGER "To audit" AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION copies(); CREATE RULE also AS ON INSERT TO plain DO ALSO NOTHING`,
		`CREATE TRIGGER below AFTER INSERT ON part FOR EACH ROW EXECUTE FUNCTION copies(); CREATE TRIGGER young AFTER INSERT ON younger FOR EACH ROW EXECUTE FUNCTION copies()`,
		`CREATE TRIGGER off AFTER INSERT ON long FOR EACH ROW EXECUTE FUNCTION copies(); ALTER TABLE long DISABLE TRIGGER off`,
		`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ` + app.User,
	} {
		if _, err := server.Query(t.Context(), "scanning", sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	secret := bastion.NewSecret(app.User, app.Password)
	got := scan(t, "scanning", secret, postgres.Sample{Rows: 20})
	for name, want := range map[string]struct {
		base   string
		values int
		first  string
		why    string
	}{
		"public.plain.id":      {"int4", 0, "", ""},
		"public.plain.big":     {"int8", 20, "4000000000000001", ""},
		"public.plain.price":   {"numeric", 0, "", ""},
		"public.plain.account": {"numeric", 20, "1", ""},
		"public.plain.mail":    {"text", 20, "a1@x.test", ""},
		"public.plain.work":    {"text", 20, "{w@x.test}", ""},
		"public.plain.tags":    {"text", 20, "{t}", ""},
		"public.plain.doc":     {"jsonb", 20, `{"k": "v"}`, ""},
		"public.plain.raw":     {"bytea", 0, "", ""},
		"public.plain.at":      {"inet", 0, "", ""},
		"public.plain.empty":   {"text", 0, "", ""},
		"public.odd \" . name; --.a\"b ; drop table plain": {"text", 1, "one", ""},
		"public.odd \" . name; --.new\nline":               {"text", 1, "two", ""},
		"public.long.v":                                    {"text", 1, strings.Repeat("x", 4000), ""},
		"public.parent.p":                                  {"text", 1, "in part", ""},
		"public.elder.e":                                   {"text", 1, "inherited", ""},
		"public.younger.own":                               {"text", 1, "own", ""},
		"closed.hidden.v":                                  {"text", 0, "", "the bastion's role may not read it"},
		"other.mixed.open":                                 {"text", 1, "open", ""},
		"other.mixed.shut":                                 {"text", 0, "", "the bastion's role may not read it"},
		"public.guarded.v":                                 {"text", 0, "", "the bastion's role may not read it without its row-level policies, or has no right (42501)"},
		"public.lured.v":                                   {"text", 0, "", "reading it would run code of the database"},
		"public.lured.w":                                   {"text", 1, "beside", ""},
	} {
		c := got[name]
		switch {
		case c == nil:
			t.Errorf("%s was not found", name)
		case c.Base != want.base || len(c.values) != want.values || c.Why != want.why:
			t.Errorf("%s: %+v, %d values", name, c.Scanned, len(c.values))
		case want.values > 0 && (!c.Looked || c.values[0] != want.first):
			t.Errorf("%s: looked %v, %.50q", name, c.Looked, c.values[0])
		}
	}
	for name := range got {
		for _, out := range []string{".part.", ".seen.", ".kept.", "younger.e", "pg_catalog."} {
			if strings.Contains(name, out) {
				t.Errorf("%s is of no interest", name)
			}
		}
	}
	// A superuser would go past the policies, which is no reason to run them.
	super := server.Superuser()
	all := scan(t, "scanning", bastion.NewSecret(super.User, super.Password), postgres.Sample{Rows: 20})
	if c := all["public.guarded.v"]; len(c.values) != 1 || c.Why != "" {
		t.Errorf("%+v", c)
	}
	if c := all["public.lured.v"]; len(c.values) != 0 || c.Why == "" {
		t.Errorf("%+v", c)
	}

	// What copies on writing is told of, and what does not is not.
	for name, want := range map[string][]string{
		"public.plain.mail":  {`rule also`, `trigger "To audit", which runs public.copies()`},
		"public.parent.p":    {`trigger below, which runs public.copies()`},
		"public.elder.e":     nil,
		"public.younger.own": {`trigger young, which runs public.copies()`},
		"public.long.v":      nil,
	} {
		if c := all[name]; !slices.Equal(c.Triggers, want) {
			t.Errorf("%s: %q", name, c.Triggers)
		}
	}

	if got := scan(t, "scanning", secret, postgres.Sample{Schema: "other", Rows: 20}); len(got) != 2 {
		t.Errorf("%d columns in one schema", len(got))
	}
	for name, c := range scan(t, "scanning", secret, postgres.Sample{}) {
		if len(c.values) > 0 || c.Looked {
			t.Errorf("%s was looked at", name)
		}
	}

	// Somebody holds a lock: the others are read all the same.
	held := make(chan struct{})
	var holder sync.WaitGroup
	holder.Go(func() {
		if _, err := server.Query(context.WithoutCancel(t.Context()), "scanning", `DO $$BEGIN
			LOCK TABLE other.mixed; WHILE (SELECT n FROM trapped) = 0 LOOP PERFORM pg_sleep(0.01); END LOOP; END$$`); err != nil {
			t.Error(err)
		}
	})
	go func() {
		for {
			rows, err := server.Query(t.Context(), "scanning", `SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'other.mixed'::regclass AND granted`)
			if err != nil || len(rows) > 0 {
				close(held)
				return
			}
		}
	}()
	<-held
	got = scan(t, "scanning", secret, postgres.Sample{Rows: 20})
	if c := got["other.mixed.open"]; c.Why != "somebody holds a lock on it (55P03)" || c.Looked {
		t.Errorf("%+v", c.Scanned)
	}
	if c := got["public.plain.mail"]; len(c.values) != 20 {
		t.Errorf("%+v", c.Scanned)
	}
	if _, err := server.Query(t.Context(), "scanning", `UPDATE trapped SET n = 1`); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
}

// TestScanLarge: of a large table, rows from everywhere.
func TestScanLarge(t *testing.T) {
	if _, err := server.Query(t.Context(), "postgres", `CREATE DATABASE scanning_large`); err != nil {
		t.Fatal(err)
	}
	for statement := range strings.SplitSeq(`CREATE TABLE large AS SELECT CASE WHEN i < 100000 THEN 'early' ELSE 'late' END AS v FROM generate_series(1, 200000) i; ANALYZE large; GRANT SELECT ON large TO `+server.App().User, "; ") {
		if _, err := server.Query(t.Context(), "scanning_large", statement); err != nil {
			t.Fatal(err)
		}
	}
	c := scan(t, "scanning_large", bastion.NewSecret(server.App().User, server.App().Password), postgres.Sample{Rows: 1000})["public.large.v"]
	count := map[string]int{}
	for _, v := range c.values {
		count[v]++
	}
	if len(c.values) < 100 || len(c.values) > 1000 || count["early"] == 0 || count["late"] == 0 {
		t.Errorf("%d values: %v", len(c.values), count)
	}
}

// TestScanFails: what is said holds nothing of the target or its credential.
func TestScanFails(t *testing.T) {
	look := func(*postgres.Scanned, []byte) { t.Error("a value was seen") }
	for want, login := range map[string]bastion.Secret{
		"the target refused the bastion's credential": bastion.NewSecret(server.App().User, "hunter2"),
		"no database": bastion.NewSecret(server.App().User, server.App().Password),
	} {
		_, err := postgres.Connector{}.Scan(t.Context(), target("nosuch"), login, postgres.Sample{Rows: 1}, look)
		if te, ok := errors.AsType[*bastion.TargetError](err); !ok || !strings.Contains(err.Error(), want) || strings.Contains(fmt.Sprintf("%+v", te), "hunter2") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (postgres.Connector{}).Scan(ctx, target("postgres"), bastion.NewSecret(server.App().User, server.App().Password), postgres.Sample{}, look); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
