package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// existing is a database with constraints that look at hidden columns: pay, mail and
// born. %[1]s to %[3]s are one person's values of them.
const existing = `
	CREATE TABLE people (id int PRIMARY KEY, name text, mail text UNIQUE, pay int, bonus int CHECK (bonus >= 0), born date,
		low text GENERATED ALWAYS AS (lower(mail)) STORED, CHECK (bonus < pay));
	CREATE TABLE logins (id int PRIMARY KEY, mail text REFERENCES people (mail), note text);
	CREATE TABLE visits (id int PRIMARY KEY, person int REFERENCES people, note text);
	CREATE TABLE badges (id int PRIMARY KEY, holder int UNIQUE REFERENCES people);
	INSERT INTO people VALUES (1, 'Ann', '%[1]s', %[2]s, 10, '%[3]s'), (2, 'Bob', 'bob@example.com', 500, 20, '1990-01-01'), (3, 'Cy', 'cy@example.com', 500, 20, '1990-01-01');
	INSERT INTO logins VALUES (1, 'bob@example.com', 'first');
	INSERT INTO visits VALUES (1, 1, 'first');
	GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_app;`

// TestTypesHaveNames: columns of a database's own types are told by their names.
func TestTypesHaveNames(t *testing.T) {
	t.Parallel()
	execute(t, admin(t, "type_names", true), `CREATE TYPE mood AS ENUM ('good'); CREATE TYPE "Pair" AS (a int, b text); CREATE TABLE things (id int PRIMARY KEY, m mood[], p "Pair", ps "Pair"[]);
		GRANT ALL ON things TO shop_app`)
	s := connectortest.Start(t, connectortest.Setup{Connector: postgres.Connector{}, Target: target("type_names"), Secret: bastion.NewSecret(server.App().User, server.App().Password)})
	r, err := s.Do(t.Context(), "SELECT m, p, ps, t, ARRAY[t] FROM things t")
	var types []string
	for _, c := range r.Columns {
		types = append(types, c.Type)
	}
	if want := []string{"public.mood[]", `public."Pair"`, `public."Pair"[]`, "public.things", "public.things[]"}; err != nil || !slices.Equal(types, want) {
		t.Errorf("%q, %v; want %q", types, err, want)
	}
}

// TestMissingValues: what the catalog holds of columns that came later to their rows is
// hidden where one of them is, and else it is shown.
func TestMissingValues(t *testing.T) {
	t.Parallel()
	const database = "missing_values"
	a := admin(t, database, true)
	execute(t, a, `CREATE TABLE things (id int); INSERT INTO things VALUES (1); ALTER TABLE things ADD clean text DEFAULT 'clean'; GRANT ALL ON things TO shop_app`)
	s := connectortest.Start(t, connectortest.Setup{Connector: postgres.Connector{}, Target: target(database), Secret: bastion.NewSecret(server.App().User, server.App().Password), Labels: []mask.Label{{Pattern: "public.things.pin"}}, Trust: true})
	ask := []string{"SELECT attmissingval FROM pg_attribute WHERE attrelid = 'things'::regclass AND atthasmissing", "SELECT a.* FROM pg_attribute a WHERE attrelid = 'things'::regclass AND attnum > 0",
		"SELECT to_jsonb(a) FROM pg_attribute a WHERE attrelid = 'things'::regclass AND attnum > 0", "SELECT attname FROM pg_attribute WHERE attmissingval::text LIKE '%zqx%'"}
	see := func(text string) string {
		r, err := s.Do(t.Context(), text)
		return fmt.Sprint(r.Rows, err)
	}
	for _, text := range ask[:3] {
		if got := see(text); !strings.Contains(got, "clean") || strings.Contains(got, mask.Redacted) {
			t.Errorf("%s\ngives %s", text, got)
		}
	}
	execute(t, a, `ALTER TABLE things ADD pin text DEFAULT 'zqxcanary'; ALTER TABLE things ALTER pin DROP DEFAULT`)
	if _, err := s.Do(t.Context(), "CREATE TEMP TABLE tick ()"); err != nil { // so that the catalog is read anew
		t.Fatal(err)
	}
	for _, text := range ask {
		if got := see(text); strings.Contains(got, "zqx") {
			t.Errorf("%s\nshows %s", text, got)
		}
		if op, err := s.Parse(t.Context(), text); err != nil || !strings.Contains(fmt.Sprint(op.Intent().Outputs, op.Intent().Probes), "public.things.pin") {
			t.Errorf("%s: %v, read as %+v", text, err, op.Intent())
		}
	}
}

// TestSettingsDecide: what a setting decides in a view, a function or a policy, the
// session decides, which may set it. And what code put into a setting shows in no view.
func TestSettingsDecide(t *testing.T) {
	t.Parallel()
	const database = "settings_decide"
	execute(t, admin(t, database, true), `
		CREATE TABLE people (id int PRIMARY KEY, name text, mail text, team text);
		INSERT INTO people VALUES (1, 'Ann', 'zqxcanary@example.com', 'red');
		CREATE VIEW mine AS SELECT id, name FROM people WHERE mail = current_setting('app.mail', true);
		CREATE VIEW ours AS SELECT m.name FROM mine m JOIN people p USING (id);
		CREATE VIEW theirs AS SELECT id, name FROM people WHERE team = current_setting('app.team', true);
		CREATE VIEW fixed AS SELECT id, name FROM people WHERE mail LIKE 'zqx%' AND current_setting('row_security') = 'on';
		CREATE VIEW zone AS SELECT name, setting FROM pg_settings WHERE name = 'TimeZone';
		CREATE FUNCTION said() RETURNS text STABLE LANGUAGE sql AS $$ SELECT current_setting('app.mail', true) $$;
		CREATE FUNCTION me() RETURNS text STABLE LANGUAGE sql AS $$ SELECT name FROM public.people WHERE mail = public.said() $$;
		CREATE FUNCTION setting() RETURNS text STABLE LANGUAGE sql AS $$ SELECT setting FROM pg_catalog.pg_settings WHERE name = 'TimeZone' $$;
		CREATE TABLE rows (id int PRIMARY KEY, mail text, team text); INSERT INTO rows SELECT id, mail, team FROM people;
		ALTER TABLE rows ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON rows USING (mail = said());
		CREATE VIEW through AS SELECT id FROM rows;
		CREATE TABLE teams (id int PRIMARY KEY, mail text, team text); INSERT INTO teams SELECT id, mail, team FROM people;
		ALTER TABLE teams ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON teams USING (team = current_setting('app.team', true));
		GRANT ALL ON ALL TABLES IN SCHEMA public TO shop_app`)
	setup := connectortest.Setup{Connector: postgres.Connector{}, Target: target(database), Secret: bastion.NewSecret(server.App().User, server.App().Password),
		Labels: []mask.Label{{Pattern: "public.*.mail", Kind: mask.Redact}}}
	s := connectortest.Start(t, setup)
	for _, x := range []struct {
		text string
		runs bool
	}{
		{"SET app.mail = 'zqxcanary@example.com'", true}, {"SET app.team = 'red'", true},
		{"SELECT name FROM mine", false}, {"SELECT count(*) FROM ours", false}, {"SELECT me()", false},
		{"SELECT id FROM rows", false}, {"SELECT FROM through", false}, {"DELETE FROM rows WHERE id = 7", false},
		{"SELECT name FROM theirs", true}, {"SELECT id FROM teams", true}, {"SELECT name FROM fixed", true}, {"SELECT said()", true},
		{"INSERT INTO teams VALUES (2, 'x', 'red')", true}, {"SELECT setting FROM zone", true},
	} {
		if r, err := s.Do(t.Context(), x.text); (err == nil) != x.runs || x.runs && strings.HasPrefix(x.text, "SELECT name") && len(r.Rows) != 1 {
			t.Errorf("%s: %v %v", x.text, r.Rows, err)
		}
	}
	setup.Trust = true
	s = connectortest.Start(t, setup)
	for _, text := range []string{"SELECT setting FROM zone", "SELECT setting()"} {
		if r, err := s.Do(t.Context(), text); err != nil || strings.Contains(fmt.Sprint(r.Rows), mask.Redacted) {
			t.Errorf("%s, before code: %v %v", text, r.Rows, err)
		}
	}
	if _, err := s.Do(t.Context(), "DO $$ BEGIN PERFORM set_config('timezone', '<' || substr(mail, 1, 9) || '>5', false) FROM people; END $$"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"SELECT setting FROM zone", "SELECT setting()", "TABLE zone"} {
		if r, err := s.Do(t.Context(), text); strings.Contains(fmt.Sprint(r.Rows, err), "zqx") {
			t.Errorf("%s, after code: %v %v", text, r.Rows, err)
		}
	}
}

// TestExistingConstraintsAreNoOracle: whether a constraint holds tells of what it looks
// at. Two databases that differ in hidden values alone cannot be told apart by writing to
// columns that are clean, and what tells nothing runs.
func TestExistingConstraintsAreNoOracle(t *testing.T) {
	t.Parallel()
	var who [2]visitor
	for i, values := range [2][]any{{"ann@example.com", "100", "1980-05-05"}, {"eve@example.com", "5000", "1985-06-06"}} {
		database := fmt.Sprintf("existing_%d", i)
		execute(t, admin(t, database, true), fmt.Sprintf(existing, values...))
		who[i] = console(t, connectortest.Setup{Connector: postgres.Connector{}, Target: target(database),
			Secret: bastion.NewSecret(server.App().User, server.App().Password), Labels: []mask.Label{{Pattern: "public.*.mail"}, {Pattern: "public.people.pay"}, {Pattern: "public.people.born"}, {Pattern: "public.badges.holder"}}})
	}
	for _, x := range []struct {
		steps string
		runs  bool
	}{
		{"INSERT INTO logins VALUES (2, 'ann@example.com', 'x')", false},
		{"UPDATE logins SET mail = 'ann@example.com' WHERE id = 1", false},
		{"COPY logins FROM STDIN", false},
		{"MERGE INTO logins USING (VALUES (1)) v (i) ON id = i WHEN MATCHED THEN UPDATE SET mail = 'ann@example.com'", false},
		{"UPDATE people SET bonus = 1000 WHERE id = 1", false},
		{"INSERT INTO people (id, bonus) VALUES (1, 1000) ON CONFLICT (id) DO UPDATE SET bonus = 1000", false},
		{"DELETE FROM people WHERE id = 2", false}, // whether somebody logged in with that address
		{"ALTER TABLE people ALTER low DROP EXPRESSION; SELECT low FROM people", false},
		{"ALTER TABLE people RENAME low TO lower; SELECT lower FROM people", false},
		{"UPDATE people SET name = 'Anne' WHERE id = 1; SELECT name, bonus FROM people WHERE id = 1", true},
		{"INSERT INTO logins (id, note) VALUES (3, 'x')", true},
		{"UPDATE logins SET note = 'y' WHERE id = 1", true},
		{"INSERT INTO visits VALUES (3, 2, 'x'); DELETE FROM visits WHERE id = 3", true},
		{"SELECT p.id, v.note FROM people p JOIN visits v ON v.person = p.id ORDER BY v.id", true},
	} {
		for step := range strings.SplitSeq(x.steps, "; ") {
			var answers [2]string
			var errs [2]error
			for i, v := range who {
				b, err := v.run(step)
				answers[i], errs[i] = quiet(string(b)), err
			}
			if answers[0] != answers[1] {
				t.Errorf("%s\ntells twins apart:\n%s\n%s", step, shown(answers[0]), shown(answers[1]))
			}
			if slices.Contains(errs[:], nil) && !x.runs && step == x.steps || x.runs && (errs[0] != nil || errs[1] != nil) {
				t.Errorf("%s: %v", step, errs)
			}
		}
	}
}
