package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion/demo/pgserver"
	"github.com/sallyport/sallyport/connectors/connectortest"
)

var utilityFiles = flag.String("utility", "testdata/utility/*.sql", "files of honest statements")

// An asker is a person at the bastion who looks at answers as tables, whatever the
// client. hidden tells which columns are masked, and is nil where the client does
// not say so.
type asker func(statement string) (table, error)

type table struct {
	columns []string
	hidden  []bool
	rows    [][]string // NULL is \N
	tag     string
}

// atConsole is an asker who uses the bastion's own console.
func atConsole(t testing.TB, setup connectortest.Setup) asker {
	t.Helper()
	s := connectortest.Start(t, setup)
	return func(statement string) (table, error) {
		r, err := s.Do(t.Context(), statement)
		a := table{rows: r.Rows, tag: r.Tag}
		for _, c := range r.Columns {
			a.columns, a.hidden = append(a.columns, c.Name), append(a.hidden, c.Masked())
		}
		return a, err
	}
}

// directly is an asker who talks to the server without the bastion, with the
// credential and the settings that the bastion uses.
func directly(t testing.TB, database string) asker {
	t.Helper()
	config, err := pgconn.ParseConfig(server.URL(server.App(), database))
	if err != nil {
		t.Fatal(err)
	}
	// As the connector sets them; the rest is the server's own.
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.RuntimeParams["application_name"] = "sallyport alice s-test"
	c, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	if _, err := c.Exec(t.Context(), "SET search_path = public").ReadAll(); err != nil {
		t.Fatal(err)
	}
	return func(statement string) (table, error) {
		r := c.ExecParams(t.Context(), statement, nil, nil, nil, nil)
		var a table
		for _, f := range r.FieldDescriptions() {
			a.columns = append(a.columns, f.Name)
		}
		for r.NextRow() {
			values := make([]string, len(a.columns))
			for i, v := range r.Values() {
				if values[i] = string(v); v == nil {
					values[i] = `\N`
				}
			}
			a.rows = append(a.rows, values)
		}
		tag, err := r.Close()
		a.tag = tag.String()
		return a, err
	}
}

var maskedColumns = regexp.MustCompile(`masked: ([^\n]*)`)

// compareTables says how an answer through the bastion differs from the direct one,
// masked columns left out: there it must differ, where there is anything.
func compareTables(direct, through table, masked []string) string {
	if d := cmp.Diff(direct.columns, through.columns); d != "" {
		return "other columns (-direct +bastion):\n" + d
	}
	if direct.tag != through.tag {
		return fmt.Sprintf("the tag is %q and not %q", through.tag, direct.tag)
	}
	if len(direct.rows) != len(through.rows) {
		return fmt.Sprintf("%d rows and not %d", len(through.rows), len(direct.rows))
	}
	for i, c := range direct.columns {
		hidden := slices.Contains(masked, c)
		if through.hidden != nil && through.hidden[i] != hidden {
			if hidden {
				return "does not hide the column " + c
			}
			return "hides the column " + c + ", which holds nothing hidden"
		}
		for j := range direct.rows {
			if d, b := direct.rows[j][i], through.rows[j][i]; !hidden && d != b {
				return fmt.Sprintf("row %d, column %s is %q and not %q", j+1, c, b, d)
			}
		}
	}
	return ""
}

// TestUtilityCorpus sends what people, reports and programs send, directly and
// through the bastion, to two copies of one database. Columns into which nothing
// hidden flows come back exactly, the others are masked, and nothing is refused.
func TestUtilityCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(*utilityFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", *utilityFiles, err)
	}
	s := plantSmall(t, "utility", 3)
	net := newDragnet(s.secrets, partOfDigits)
	copyDatabase(t, "utility", "utility_direct")
	copyDatabase(t, "utility", "utility_bastion")
	direct := directly(t, "utility_direct")
	through := atConsole(t, (&grounds{}).setup("utility_bastion", false))
	sent := 0
	for _, file := range files {
		for _, a := range attempts(t, file) {
			var masked []string
			if m := maskedColumns.FindStringSubmatch(a.story); m != nil {
				masked = strings.Split(m[1], ", ")
			}
			for _, step := range a.steps {
				sent++
				step = s.fill(step)
				want, err := direct(step)
				if err != nil {
					t.Errorf("%s: %s\nfails without the bastion: %v", a.place, step, err)
					continue
				}
				got, err := through(step)
				if err != nil {
					t.Errorf("%s: %s\n%v", a.place, step, err)
					continue
				}
				var here []string // the steps of one attempt share the list
				for _, c := range want.columns {
					if slices.Contains(masked, c) {
						here = append(here, c)
					}
				}
				if d := compareTables(want, got, here); d != "" {
					t.Errorf("%s: %s\n%s", a.place, step, d)
				}
				if w := net.search(fmt.Sprint(got.columns, got.rows, got.tag), step); w != "" {
					t.Errorf("%s: %s\nshows %s", a.place, step, w)
				}
			}
		}
	}
	t.Logf("%d statements", sent)
}

// TestPsqlCatalog sends the catalog queries of every listing command of psql, taken
// from psql itself (-E), so that they are those of the version that is installed.
func TestPsqlCatalog(t *testing.T) {
	t.Parallel()
	if err := server.Fill(t.Context(), "psql"); err != nil {
		t.Fatal(err)
	}
	bin, err := pgserver.Find()
	if err != nil {
		t.Fatal(err)
	}
	commands, err := os.Open("testdata/utility/psql_commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer commands.Close()
	psql := exec.CommandContext(t.Context(), filepath.Join(bin, "psql"), "-X", "-E", server.URL(server.App(), "psql"))
	psql.Stdin, psql.Env = commands, append(os.Environ(), "PAGER=cat", "PSQL_PAGER=cat")
	out, err := psql.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Before 18 the query stands between lines of stars, then between comments.
	echoed := regexp.MustCompile(`(?s)[/*]\*{8,} QUERY \*{8,}/?\n(.*?);?\n[/*]\*{20,}/?\n`)
	direct := directly(t, "psql")
	through := atConsole(t, (&grounds{}).setup("psql", false))
	seen := map[string]bool{}
	for _, m := range echoed.FindAllStringSubmatch(string(out), -1) {
		query := m[1]
		if seen[query] {
			continue
		}
		seen[query] = true
		want, err := direct(query)
		if err != nil { // a listing of what this role may not see
			continue
		}
		got, err := through(query)
		if err != nil {
			t.Errorf("%s\n%v", query, err)
			continue
		}
		if d := compareTables(want, got, nil); d != "" {
			t.Errorf("%s\n%s", query, d)
		}
	}
	if len(seen) < 150 {
		t.Errorf("psql told of %d queries only", len(seen))
	}
	t.Logf("%d queries", len(seen))
}
