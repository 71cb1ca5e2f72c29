package postgres_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/postgres"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// admin opens a connection of the superuser's to a database, new if it says so.
func admin(t testing.TB, database string, create bool) *pgconn.PgConn {
	t.Helper()
	ctx := context.Background()
	if create {
		if _, err := server.Query(ctx, "postgres", "CREATE DATABASE "+database); err != nil {
			t.Fatal(err)
		}
	}
	c, err := pgconn.Connect(ctx, server.URL(server.Superuser(), database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// execute runs statements for their effects.
func execute(t testing.TB, c *pgconn.PgConn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%.60s…: %v", sql, err)
	}
}

// catalogOf reads the catalog of a database as a session does, system relations included.
func catalogOf(t testing.TB, database string) *catalog.Snapshot {
	t.Helper()
	c := admin(t, database, false)
	execute(t, c, "SET search_path = ''")
	s, _, err := postgres.ReadCatalog(t.Context(), c, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// flows is a world with two fillings of what is hidden, and a reader of it.
type flows struct {
	conns  [2]*pgconn.PgConn
	reader *lineage.Reader
	rules  mask.Rules
}

func world(t testing.TB, name string) *flows {
	t.Helper()
	b, err := os.ReadFile("testdata/flow/world.sql")
	if err != nil {
		t.Fatal(err)
	}
	f := &flows{}
	// The second filling is of another length, order and number of distinct values.
	for i, filling := range [2][2]string{{"'alpha'", "1000"}, {"'zulu' || random() || 'x'", "2000 + i"}} {
		database := fmt.Sprintf("%s_%d", name, i)
		f.conns[i] = admin(t, database, true)
		execute(t, f.conns[i], "SET client_min_messages = error")
		sql := strings.NewReplacer(":secret", filling[0], ":pin", filling[1]).Replace(string(b))
		execute(t, f.conns[i], sql)
	}
	f.reader = lineage.NewReader(catalogOf(t, name+"_0"))
	f.rules, err = mask.NewRules(nil, mask.Label{Pattern: "*.*.secret"}, mask.Label{Pattern: "*.*.pin"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// returned is what a statement returns.
type returned struct {
	names []string
	rows  [][]string
}

// run runs the steps of a line on one of the two, and undoes them.
func (f *flows) run(t testing.TB, i int, steps []string) (a returned, err error) {
	t.Helper()
	c := f.conns[i]
	execute(t, c, "BEGIN")
	defer execute(t, c, "ROLLBACK; DEALLOCATE ALL")
	for _, s := range steps {
		r := c.ExecParams(t.Context(), s, nil, nil, nil, nil).Read()
		if r.Err != nil {
			return a, r.Err
		}
		a = returned{}
		for _, d := range r.FieldDescriptions {
			a.names = append(a.names, d.Name)
		}
		for _, row := range r.Rows {
			values := make([]string, len(row))
			for k, v := range row {
				values[k] = string(v)
				if v == nil {
					values[k] = "NULL"
				}
			}
			a.rows = append(a.rows, values)
		}
	}
	return a, nil
}

// read reads the last step as a session would that took the others.
func (f *flows) read(t testing.TB, steps []string) (*lineage.Reading, []*lineage.Reading) {
	t.Helper()
	s := lineage.Session{Path: []string{"pg_catalog", "public"}, Cursors: map[string]lineage.OpenCursor{}}
	prepared := map[string]string{}
	s.Prepared = func(name string) (string, bool) { text, ok := prepared[name]; return text, ok }
	var all []*lineage.Reading
	for _, text := range steps {
		rd, err := f.reader.Read(text, s)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if rd.Prepares != "" {
			prepared[rd.Prepares] = text
		}
		if rd.Declares != "" {
			s.Cursors[rd.Declares] = lineage.OpenCursor{Text: text, Path: s.Path}
		}
		for _, a := range rd.Intent.Actions {
			s.Uncommitted = s.Uncommitted || a.Verb == lineage.Create
		}
		all = append(all, rd)
	}
	return all[len(all)-1], all
}

// probed reports whether a statement uses something hidden in another way than showing it.
func (f *flows) probed(all []*lineage.Reading) bool {
	for _, rd := range all {
		for _, p := range rd.Intent.Probes {
			if f.rules.Source(p.Column) != mask.Clear {
				return true
			}
		}
	}
	return false
}

// TestFlows is the property that masking rests on: with other values in what is
// hidden, nothing else of an returned changes than what the reading says.
func TestFlows(t *testing.T) {
	f := world(t, "flows")
	for _, line := range corpus(t, "testdata/flow/queries.sql") {
		text, clean := strings.CutPrefix(line, "=")
		text, recent := strings.CutPrefix(text, "17 ")
		var steps []string
		for s := range strings.SplitSeq(text, ";;") {
			steps = append(steps, strings.TrimSpace(s))
		}
		rd, all := f.read(t, steps)
		outputs := rd.Intent.Outputs
		probed := f.probed(all)
		if recent && f.conns[0].ParameterStatus("server_version") < "17" {
			for _, o := range outputs {
				if clean && (probed || f.rules.Kind(o) != mask.Clear) {
					t.Errorf("%s\nis read as using something hidden: %+v", text, rd.Intent)
				}
			}
			continue
		}
		one, err := f.run(t, 0, steps)
		two, err2 := f.run(t, 1, steps)
		if err != nil || err2 != nil {
			if (err == nil) != (err2 == nil) && !probed {
				t.Errorf("%s\nfails with one filling alone, and has no probe: %v, %v", text, err, err2)
			}
			if clean || !probed && !rd.Effects {
				t.Errorf("%s\n%v", text, err)
			}
			continue
		}
		if outputs != nil && len(one.names) > 0 {
			var names []string
			for _, o := range outputs {
				names = append(names, o.Name)
			}
			if !slices.Equal(names, one.names) {
				t.Errorf("%s\nreturns %q, is read to return %q", text, one.names, names)
				continue
			}
		}
		hidden := func(i int) bool { return outputs == nil || f.rules.Kind(outputs[i]) != mask.Clear }
		if clean {
			if probed {
				t.Errorf("%s\nis read as probing %v", text, rd.Intent.Probes)
			}
			for i, name := range one.names {
				if hidden(i) {
					t.Errorf("%s\nhides %s, from %+v", text, name, outputs)
				}
			}
		}
		if len(one.rows) != len(two.rows) {
			if !probed {
				t.Errorf("%s\nreturns %d and %d rows, and has no probe: %+v", text, len(one.rows), len(two.rows), rd.Intent)
			}
			continue
		}
		for i, name := range one.names {
			differ := false
			for n := range one.rows {
				differ = differ || one.rows[n][i] != two.rows[n][i]
			}
			if differ && !hidden(i) && !probed {
				t.Errorf("%s\nshows by %s what is hidden: %v, %v\n%+v", text, name, one.rows, two.rows, rd.Intent)
			}
		}
	}
}
