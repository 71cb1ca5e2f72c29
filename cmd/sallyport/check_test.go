package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion/policy"
)

var update = flag.Bool("update", false, "write golden files")

// TestCheckExplainsEstimates asks what would happen where it depends on rows that
// only the target can estimate, and on columns that a statement writes.
func TestCheckExplainsEstimates(t *testing.T) {
	const example = "../../testdata/config/example.yaml"
	for _, c := range []struct {
		name, text string
		says       []string
		not        []string
	}{
		{"a write depends on rows", "UPDATE customers SET city = 'x' WHERE id = 7", []string{
			"alice on shop-production: depends on how many rows the planner expects",
			"if the planner expects up to 1,000 rows: ask by rule production/write, 1 approval by a reviewer",
			"if the planner expects more than 1,000 rows: ask by rule production/many-rows, 2 approvals by reviewers",
			"if the planner cannot tell: ask by rule production/many-rows, 2 approvals by reviewers",
			"production/many-rows (",
			"): only more than 1,000 rows",
		}, []string{"deny"}},
		{"what is refused does not", "DELETE FROM payments", []string{"deny by rule production/no-unbounded-writes"}, []string{"planner"}},
		{"reading does not", "SELECT name, email FROM customers LIMIT 3", []string{"allow by rule production/read", "(email)", "accounts-in-text, secrets-in-text"}, []string{"planner"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), []string{"check", "--config", example, "--groups", "deployers", "--explain", "alice@shop-production", c.text}, nil, &out, &out); code != 0 {
				t.Fatalf("exit %d: %s", code, out.String())
			}
			got := out.String()
			for _, want := range c.says {
				if !strings.Contains(got, want) {
					t.Errorf("want %q in:\n%s", want, got)
				}
			}
			for _, unwanted := range c.not {
				if strings.Contains(got, unwanted) {
					t.Errorf("unwanted %q in:\n%s", unwanted, got)
				}
			}
		})
	}
}

// checks runs check on the example.
func checks(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	return checksFile(t, "../../testdata/config/example.yaml", args...)
}

func checksFile(t *testing.T, file string, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	code = run(t.Context(), append([]string{"check", "--config", file}, args...), nil, &b, &b)
	return b.String(), code
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, got)
	}
	if diff := cmp.Diff(strings.Split(readFile(t, path), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestCheckAnalyses(t *testing.T) {
	out, code := checks(t)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	golden(t, "check.txt", out)
	out, code = checks(t, "--json")
	var c checked
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != 0 || len(c.Alone) != 3 || c.People || c.Warnings == nil || c.Targets != 2 {
		t.Errorf("exit %d, %v: %+v", code, err, c)
	}
}

// TestCheckCountsPeople has the people who signed in decide what is told.
func TestCheckCountsPeople(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	text := readFile(t, "../../testdata/config/example.yaml")
	demo, err := filepath.Abs("../../testdata/policies/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, strings.Replace(text, "../policies/demo.yaml", demo, 1))
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	people := filepath.Join(dir, "state", peopleFile)
	writeFile(t, people, `[
  {"issuer": "https://id", "subject": "1", "kind": "person", "name": "alice", "groups": ["deployers"]},
  {"issuer": "https://id", "subject": "2", "kind": "person", "name": "rita", "groups": ["reviewers"]},
  {"issuer": "https://id", "subject": "3", "kind": "person", "name": "eve\u001b[2J", "groups": ["deployers", "auditors"]}
]`)
	out, code := checksFile(t, file)
	for _, want := range []string{
		"eve<U+001B>[2J holds roles deployer and auditor, and is refused when signing in",
		"2 approvals by reviewers cannot be had when alice asks: of the people who have signed in, only rita could give it",
		"alice (deployer) on shop-staging: alter,",
		"4 warnings; looked at services and the 3 people who have signed in",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, want %q in:\n%s", code, want, out)
		}
	}
	if strings.ContainsRune(out, 0x1b) {
		t.Errorf("%q", out)
	}
	out, code = checksFile(t, file, "--explain", "alice@shop-production", "insert into orders (id) values (1)")
	if code != 0 || !strings.Contains(out, "request   production-write") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	writeFile(t, people, "not JSON")
	if out, code := checksFile(t, file); code == 0 || !strings.Contains(out, "reading people.json") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestCheckMatrix(t *testing.T) {
	out, code := checks(t, "--matrix")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	golden(t, "matrix.txt", out)
	var m policy.Matrix
	if out, code := checks(t, "--matrix", "--json"); code != 0 || json.Unmarshal([]byte(out), &m) != nil || len(m.Rows) == 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	out, code = checks(t, "--matrix", "--csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if code != 0 || err != nil || len(rows) != len(m.Rows)+1 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

func TestCheckExplainsGrants(t *testing.T) {
	const sql = "UPDATE customers SET city = 'x' WHERE id = 7"
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"granted", []string{"--groups", "deployers", "--granted", "production-write"}, 0, "if the planner expects up to 1,000 rows: allow by rule production-write/write"},
		{"taken", []string{"--groups", "deployers", "--granted", "break-glass"}, 0, "allow by rule break-glass/repair"},
		{"misspelt", []string{"--groups", "deployers", "--granted", "production-writ"}, 1, `did you mean "production-write"?`},
		{"not to be had", []string{"--groups", "reviewers", "--granted", "production-write"}, 1, `unknown access "production-write"`},
		{"roles that nobody may hold together", []string{"--groups", "deployers,auditors"}, 0, "refused by rule separation/audit-from-outside: you hold roles deployer and auditor"},
	} {
		out, code := checks(t, append(c.args, "--explain", "alice@shop-production", sql)...)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d, want %q in:\n%s", c.name, code, c.says, out)
		}
	}
}

func TestCheckUsage(t *testing.T) {
	for line, says := range map[string]string{
		"--matrix --explain alice@shop-staging x": "goes with none of",
		"--csv":                        "--csv belongs to --matrix",
		"--matrix --csv --json":        "--json is another form",
		"--granted production-write":   "belong to --explain",
		"--matrix x":                   "unexpected",
		"--explain alice@shop-staging": "wants one text",
	} {
		if out, code := checks(t, strings.Fields(line)...); code != 2 || !strings.Contains(out, says) {
			t.Errorf("%s: exit %d, %s", line, code, out)
		}
	}
}

// A directory of state that others can look into or write to is refused, before
// anything is made in it.
func TestStateIsPrivate(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "state")
	demo, err := filepath.Abs("../../testdata/policies/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, strings.Replace(readFile(t, "../../testdata/config/example.yaml"), "../policies/demo.yaml", demo, 1))
	for _, mode := range []os.FileMode{0o755, 0o750, 0o701, 0o720} {
		if err := errors.Join(os.RemoveAll(state), os.Mkdir(state, 0o700), os.Chmod(state, mode)); err != nil {
			t.Fatal(err)
		}
		_, err := open(file, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("%04o: %v", mode, err)
		}
		if files, err := os.ReadDir(state); err != nil || len(files) > 0 {
			t.Errorf("%04o: it made %v, %v", mode, files, err)
		}
	}
}
