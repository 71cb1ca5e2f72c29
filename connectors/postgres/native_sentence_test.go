package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion/mask"
)

// constraints are tables whose rows break rules, with something in them that is hidden.
const constraints = `CREATE DOMAIN even AS int CHECK (value % 2 = 0); CREATE DOMAIN "Some" AS int NOT NULL;
	CREATE TABLE parent (id int PRIMARY KEY CHECK (id < 100), secret text UNIQUE NOT NULL, "an ""odd"" one" even, must "Some" DEFAULT 1, during int4range, EXCLUDE USING gist (during WITH &&));
	CREATE TABLE child (id int PRIMARY KEY REFERENCES parent, later int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
	CREATE TABLE parts (a int) PARTITION BY LIST (a); CREATE TABLE part PARTITION OF parts FOR VALUES IN (1);
	INSERT INTO parent VALUES (1, 'secret31337', 2, 1, '[1,5)'); INSERT INTO child VALUES (1, 1);
	CREATE FUNCTION lies() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE s text; BEGIN SELECT secret INTO s FROM parent WHERE id = 1;
		RAISE unique_violation USING MESSAGE = format('duplicate key value violates unique constraint "%s"', s), CONSTRAINT = s, TABLE = s, COLUMN = s, SCHEMA = s, DATATYPE = s; END $$;
	CREATE TABLE short (a varchar(3)); CREATE TABLE lying (a int); CREATE TRIGGER lies BEFORE INSERT ON lying FOR EACH ROW EXECUTE FUNCTION lies();
	GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_app; ALTER TABLE parent OWNER TO shop_app`

// TestNativeSentences: programs look for the server's own sentences and for the names of
// constraints in its errors, also where values are hidden.
func TestNativeSentences(t *testing.T) {
	setup := shop(t, "native_sentences", slices.Concat(labels, []mask.Label{{Pattern: "public.parent.secret", Kind: mask.Redact, Lookup: true}})...)
	if _, err := server.Query(t.Context(), "native_sentences", constraints); err != nil {
		t.Fatal(err)
	}
	_, url := listen(t, setup)
	directly, through := connect(t, server.URL(server.App(), "native_sentences")), connect(t, url)
	said := func(c *pgx.Conn, texts ...string) string {
		t.Helper()
		for _, text := range texts[:len(texts)-1] {
			if err := c.PgConn().Exec(t.Context(), text).Close(); err != nil && len(texts) < 4 { // longer ones break a transaction
				t.Fatal(text, err)
			}
		}
		last := texts[len(texts)-1]
		var err error
		if rows, ok := strings.CutPrefix(last, "COPY: "); ok {
			into, values, _ := strings.Cut(rows, "\n")
			_, err = c.PgConn().CopyFrom(t.Context(), strings.NewReader(values+"\n"), into)
		} else {
			err = c.PgConn().Exec(t.Context(), last).Close()
		}
		e, ok := errors.AsType[*pgconn.PgError](err)
		if !ok {
			t.Fatalf("%s: %v", last, err)
		}
		if e.Message != "cached plan must not change result type" {
			e.Routine = ""
		}
		if strings.Contains(fmt.Sprintf("%+v", *e), "31337") && c == through {
			t.Errorf("%s shows what is hidden: %+v", last, e)
		}
		if err := c.PgConn().Exec(t.Context(), "ROLLBACK; RESET ALL; DEALLOCATE ALL").Close(); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.SchemaName, "pg_temp_") {
			e.SchemaName = "pg_temp"
		}
		return fmt.Sprintf("%s %s: %s | schema %s table %s column %s type %s constraint %s routine %s", e.Severity, e.Code, e.Message,
			e.SchemaName, e.TableName, e.ColumnName, e.DataTypeName, e.ConstraintName, e.Routine)
	}
	for _, texts := range [][]string{
		{"INSERT INTO parent (id, secret) VALUES (1, 'x')"},
		{"INSERT INTO parent (id, secret) VALUES (2, 'secret31337')"},
		{"INSERT INTO parent (id) VALUES (2)"},
		{"INSERT INTO parent (id, secret) VALUES (200, 'x')"},
		{`INSERT INTO parent (id, secret, "an ""odd"" one") VALUES (2, 'x', 3)`},
		{"INSERT INTO parent (id, secret, must) VALUES (2, 'x', NULL)"},
		{"INSERT INTO parent (id, secret, during) VALUES (2, 'x', '[2,3)')"},
		{"INSERT INTO child VALUES (7)"},
		{"DELETE FROM parent"},
		{"BEGIN", "UPDATE child SET later = 9", "COMMIT"},
		{"INSERT INTO parts VALUES (2)"},
		{"INSERT INTO part VALUES (2)"},
		{"COPY: COPY parent (id, secret) FROM STDIN\n1\tsecret31337"},
		{"COPY: COPY child FROM STDIN\n7\t1"},
		{"COPY: COPY parent (id, secret) FROM STDIN\n5\t\\N"},
		{"ALTER TABLE parent ADD CHECK (id > 1)"},
		{"ALTER TABLE child ALTER later TYPE int, ADD CHECK (later > 1)"},
		{"CREATE TEMP TABLE two AS SELECT 1 AS a FROM generate_series(1, 2)", "CREATE UNIQUE INDEX twice ON two (a)"},
		{"BEGIN", "SELECT 1", "SELECT 1/0", "SELECT 1"},
		{"SET statement_timeout = '20ms'", "SELECT pg_sleep(9)"},
		{"BEGIN READ ONLY", "INSERT INTO child VALUES (7)"},
		{"BEGIN", "VACUUM parent"},
		{"SAVEPOINT a"},
		{"BEGIN", "ROLLBACK TO nosuch"},
		{"SET work_mem = 'lots'"},
		{"DROP TABLE parent"},
		{"DEALLOCATE nosuch"},
		{"CLOSE nosuch"},
		{"CREATE TABLE nosuch.t (a int)"},
		{"ALTER TABLE parent ADD id int"},
		{"DROP INDEX nosuch"},
		{"SELECT (SELECT id FROM customers)"},
		{"SELECT 1/0"},
		{"INSERT INTO short VALUES ('too long')"},
		{"INSERT INTO part VALUES (1000000 * 1000000)"},
		{"CREATE TEMP TABLE shape (a int)", "PREPARE shape AS SELECT * FROM shape; ALTER TABLE shape ADD b int", "EXECUTE shape"},
	} {
		if want, got := said(directly, texts...), said(through, texts...); got != want {
			t.Errorf("%s\n got %s\nwant %s", strings.Join(texts, "; "), got, want)
		}
	}
	// Functions and values may say what they please: then it is told what kind of error it is.
	// A constant may be somebody's value: the record is not to hold it.
	for text, want := range map[string]string{
		"SELECT id FROM customers WHERE id = 'secret31337'":                          "ERROR 22P02: invalid text for the type",
		"INSERT INTO lying VALUES (1)":                                               "ERROR 23505: unique violation",
		"COPY: COPY lying FROM STDIN\n1":                                             "ERROR 23505: unique violation",
		"SELECT country::int FROM customers":                                         "ERROR 22P02: invalid text for the type",
		"SELECT pg_catalog.\"varchar\"(name::varchar, id + 4, false) FROM customers": "ERROR 22001: string data too long",
		"SELECT country::regclass FROM customers":                                    "ERROR 42P01: undefined table",
		"COPY: COPY child FROM STDIN\nsecret31337\t1":                                "ERROR 22P02: invalid text for the type",
	} {
		if got := said(through, text); !strings.HasPrefix(got, want+" | schema  table  column  type  constraint ") {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
