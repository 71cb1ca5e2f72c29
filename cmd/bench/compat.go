package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	compatDir      = "testdata/compat"
	compatDatabase = "compat"
	// What of node-postgres is tested, and where its source is cloned from.
	nodeSource = "https://github.com/brianc/node-postgres"
	nodeCommit = "c9e57617bc92c2ded23a75345f50eadc527bd131" // pg 8.23.0
)

// results are what a suite's tests came to: pass, fail, skip, by their names.
type results map[string]string

// suite is the tests of another project's client.
type suite struct {
	name string
	// prepare puts the tests into a folder.
	prepare func(ctx context.Context, dir string) error
	// setup makes a new database ready.
	setup func(ctx context.Context, dir string, direct *url.URL) error
	// run runs them, or only those of names, against a server.
	run func(ctx context.Context, dir string, server *url.URL, names []string) (results, error)
}

// compat runs the tests of other clients directly against PostgreSQL and through
// Sallyport, under a policy that lets everything through, and lists every test that
// does not come to the same. Differences that are known are in differences.md with
// their reasons; others are an error.
func compat(ctx context.Context, binary, nodePostgres, only, tests string) error {
	known, err := readDifferences(filepath.Join(compatDir, "differences.md"))
	if err != nil {
		return err
	}
	policy, err := os.ReadFile(filepath.Join(compatDir, "policy.yaml"))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sallyport-compat-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL runs as a user of its own
		return err
	}
	w, err := startWorld(ctx, dir, worldOptions{binary: binary, ways: []string{direct, sallyport}, plain: true, super: true, database: compatDatabase,
		settings: map[string]string{"max_connections": "400"}, policy: func(string) string { return string(policy) }})
	if err != nil {
		return err
	}
	defer w.stop()

	var names []string // nil: all
	if tests != "" {
		names = strings.Split(tests, ",")
	}
	var unexplained int
	ran := false
	for _, s := range []suite{pgxSuite(), nodeSuite(nodePostgres)} {
		if only != "" && only != s.name {
			continue
		}
		ran = true
		n, err := w.compare(ctx, s, filepath.Join(dir, s.name), known, names)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		unexplained += n
	}
	if !ran {
		return fmt.Errorf("there is no suite %q: choose of pgx, node", only)
	}
	if unexplained > 0 {
		return fmt.Errorf("%d differences have no reason in %s/differences.md", unexplained, compatDir)
	}
	return nil
}

// compare runs a suite on both ways, prints where they differ, and returns how many
// of the differences are not known.
func (w *world) compare(ctx context.Context, s suite, dir string, known []difference, names []string) (int, error) {
	if err := s.prepare(ctx, dir); err != nil {
		return 0, err
	}
	both := map[string]results{}
	again := func(v way, names []string) (results, error) {
		home, err := url.Parse(w.ways[0].url)
		if err != nil {
			return nil, err
		}
		server, err := url.Parse(v.url)
		if err != nil {
			return nil, err
		}
		// Each run begins with the same empty database.
		for _, sql := range []string{"drop database if exists " + compatDatabase + " with (force)", "create database " + compatDatabase} {
			if _, err := w.company.Database.Query(ctx, "postgres", sql); err != nil {
				return nil, err
			}
		}
		if s.setup != nil {
			if err := s.setup(ctx, dir, home); err != nil {
				return nil, err
			}
		}
		return s.run(ctx, dir, server, names)
	}
	for _, v := range w.ways {
		start := time.Now()
		r, err := again(v, names)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", v.name, err)
		}
		fmt.Fprintf(os.Stderr, "ran %s, %s: %s in %s\n", s.name, v.name, r.count(), time.Since(start).Round(time.Second))
		both[v.name] = r
	}
	// What differs runs once more: some tests are about time, and the machine may have
	// been busy.
	if differ := both[direct].differ(both[sallyport]); len(differ) > 0 {
		for _, v := range w.ways {
			r, err := again(v, differ)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", v.name, err)
			}
			for name, result := range r {
				if was, ok := both[v.name][name]; !ok || result == "pass" {
					if was == "fail" {
						fmt.Printf("%s  %s  %s: only at the second try\n", s.name, name, v.name)
					}
					both[v.name][name] = result
				}
			}
		}
	}
	unexplained := 0
	for _, name := range both[direct].differ(both[sallyport]) {
		reason := ""
		for _, k := range known {
			if k.suite == s.name && k.holds(name) {
				reason = k.reason
				break
			}
		}
		if reason == "" {
			unexplained++
			reason = "NO REASON IS KNOWN"
		}
		fmt.Printf("%s  %s  directly: %s, through sallyport: %s  %s\n", s.name, name, both[direct].of(name), both[sallyport].of(name), reason)
	}
	fmt.Printf("%s: directly %s; through sallyport %s\n", s.name, both[direct].count(), both[sallyport].count())
	return unexplained, nil
}

func (r results) of(name string) string {
	if v, ok := r[name]; ok {
		return v
	}
	return "not reached"
}

func (r results) differ(other results) []string {
	all := maps.Clone(r)
	maps.Copy(all, other)
	maps.DeleteFunc(all, func(name, _ string) bool { return r.of(name) == other.of(name) })
	return slices.Sorted(maps.Keys(all))
}

func (r results) count() string {
	n := map[string]int{}
	for _, v := range r {
		n[v]++
	}
	return fmt.Sprintf("%d pass, %d fail, %d skipped", n["pass"], n["fail"], n["skip"])
}

// difference is one line of the table of known ones.
type difference struct{ suite, test, reason string }

// holds reports whether the line is about the test: by its name, or by a beginning
// of it with a star.
func (d difference) holds(test string) bool {
	prefix, ok := strings.CutSuffix(d.test, "*")
	return d.test == test || ok && strings.HasPrefix(test, prefix)
}

var differenceLine = regexp.MustCompile("^\\| *(\\w+) *\\| *`([^`]+)` *\\| *(.+?) *\\|$")

func readDifferences(name string) ([]difference, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var known []difference
	for line := range strings.Lines(string(b)) {
		if m := differenceLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			known = append(known, difference{m[1], m[2], m[3]})
		}
	}
	return known, nil
}

// command runs a program in a folder, with the server's address in the environment
// as libpq reads it, and returns what it printed on both outputs.
func command(ctx context.Context, dir string, server *url.URL, env []string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PG") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	if server != nil {
		password, _ := server.User.Password()
		cmd.Env = append(cmd.Env, "PGHOST="+server.Hostname(), "PGPORT="+server.Port(), "PGUSER="+server.User.Username(), "PGPASSWORD="+password,
			"PGDATABASE="+strings.TrimPrefix(server.Path, "/"))
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd.CombinedOutput()
}

// pgxSuite is the driver's own tests, from the module that Sallyport uses.
func pgxSuite() suite {
	return suite{
		name: "pgx",
		prepare: func(ctx context.Context, dir string) error {
			out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/jackc/pgx/v5").Output()
			if err != nil {
				return fmt.Errorf("finding its source: %w", err)
			}
			return os.CopyFS(dir, os.DirFS(strings.TrimSpace(string(out))))
		},
		setup: func(ctx context.Context, dir string, direct *url.URL) error {
			// Roles outlive databases, so from the second time on those are errors.
			out, err := command(ctx, dir, nil, nil, "psql", "-X", "-q", "-f", filepath.Join("testsetup", "postgresql_setup.sql"), direct.String())
			if err != nil {
				return fmt.Errorf("setting up: %w: %s", err, out)
			}
			return nil
		},
		run: func(ctx context.Context, dir string, server *url.URL, names []string) (results, error) {
			// -p 1: tests of one package wait for what those of another lock.
			argv := []string{"go", "test", "-count=1", "-p", "1", "-timeout", "5m", "-json"}
			if names != nil {
				tests := map[string]bool{}
				for _, n := range names {
					_, test, _ := strings.Cut(n, ".")
					top, _, _ := strings.Cut(test, "/")
					tests["^"+regexp.QuoteMeta(top)+"$"] = true
				}
				argv = append(argv, "-run", strings.Join(slices.Sorted(maps.Keys(tests)), "|"))
			}
			out, err := command(ctx, dir, server, []string{"GOFLAGS=-mod=mod", "GOWORK=off", "PGX_TEST_DATABASE=" + server.String(), "PGX_TEST_TCP_CONN_STRING=" + server.String()}, append(argv, "./...")...)
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				return nil, err
			}
			return goResults(out, names != nil)
		},
	}
}

// temporaryPath is in the names of some tests.
var temporaryPath = regexp.MustCompile(`/tmp/Test\w+/\d+`)

// goResults reads what go test -json prints. A test is package.name, where the
// package is given within the module. What failing tests say is shown if asked for.
func goResults(out []byte, show bool) (results, error) {
	r := results{}
	said := map[string]string{}
	for lines := bufio.NewReader(bytes.NewReader(out)); ; {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			break
		}
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(line, &e) != nil || e.Test == "" {
			continue // what the go command says itself
		}
		name := temporaryPath.ReplaceAllString(strings.TrimPrefix(strings.TrimPrefix(e.Package, "github.com/jackc/pgx/v5"), "/")+"."+e.Test, "TMP")
		switch e.Action {
		case "pass", "fail", "skip":
			r[name] = e.Action
			if e.Action == "fail" && show {
				fmt.Fprintf(os.Stderr, "%s:\n%s\n", name, said[name])
			}
		case "output":
			if len(said[name]) < 1500 {
				said[name] += e.Output
			}
		}
	}
	if len(r) == 0 {
		return nil, fmt.Errorf("no test ran: %s", out[:min(len(out), 2000)])
	}
	return r, nil
}

// nodeSuite is the tests of node's pg, pg-pool, pg-cursor and pg-query-stream.
func nodeSuite(source string) suite {
	mocha := map[string][]string{"pg-pool": nil, "pg-cursor": nil, "pg-query-stream": {"-r", "ts-node/register", "test/**/*.ts"}}
	return suite{
		name: "node",
		prepare: func(ctx context.Context, dir string) error {
			checkout := source
			if checkout == "" {
				checkout = dir + "-source"
				for _, argv := range [][]string{{"git", "clone", "-q", "--filter=blob:none", nodeSource, checkout}, {"git", "-C", checkout, "checkout", "-q", nodeCommit}} {
					if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
						return fmt.Errorf("getting its source: %w: %s; a checkout elsewhere can be named with -node-postgres", err, out)
					}
				}
			}
			packages := append(slices.Sorted(maps.Keys(mocha)), "pg")
			for _, p := range packages {
				if err := os.CopyFS(filepath.Join(dir, "packages", p), os.DirFS(filepath.Join(checkout, "packages", p))); err != nil {
					return err
				}
			}
			b, err := os.ReadFile(filepath.Join(compatDir, "node", "package.json"))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, "package.json"), b, 0o644); err != nil {
				return err
			}
			if out, err := command(ctx, dir, nil, nil, "npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"); err != nil {
				return fmt.Errorf("npm install: %w: %s", err, out)
			}
			// The packages under test are those of the checkout, not of the registry.
			for _, p := range packages {
				link := filepath.Join(dir, "node_modules", p)
				if err := os.RemoveAll(link); err != nil {
					return err
				}
				if err := os.Symlink(filepath.Join("..", "packages", p), link); err != nil {
					return err
				}
			}
			return nil
		},
		run: func(ctx context.Context, dir string, server *url.URL, names []string) (results, error) {
			r := results{}
			root := filepath.Join(dir, "packages", "pg")
			var files []string
			for _, pattern := range []string{"*-tests.js", "*/*-tests.js"} {
				found, err := filepath.Glob(filepath.Join(root, "test", "integration", pattern))
				if err != nil {
					return nil, err
				}
				files = append(files, found...)
			}
			wanted := func(prefix string) bool {
				return names == nil || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, prefix) || strings.HasPrefix(prefix, n) })
			}
			for _, f := range files {
				file := strings.TrimPrefix(f, filepath.Join(root, "test", "integration")+"/")
				if !wanted("pg/" + file) {
					continue
				}
				limited, stop := context.WithTimeout(ctx, time.Minute)
				out, err := command(limited, root, server, nil, "node", f)
				stop()
				r["pg/"+file] = "pass"
				if err != nil {
					r["pg/"+file] = "fail"
					if names != nil {
						fmt.Fprintf(os.Stderr, "pg/%s:\n%s\n", file, out[:min(len(out), 1500)])
					}
				}
				for _, m := range nodeTest.FindAllStringSubmatch(string(out), -1) {
					r["pg/"+file+": "+m[1]] = "pass"
				}
			}
			for p, args := range mocha {
				if !wanted(p + "/") {
					continue
				}
				limited, stop := context.WithTimeout(ctx, 5*time.Minute)
				report := filepath.Join(dir, p+".json")
				out, err := command(limited, filepath.Join(dir, "packages", p), server, []string{"TS_NODE_TRANSPILE_ONLY=1"},
					append([]string{"node", filepath.Join(dir, "node_modules", "mocha", "bin", "mocha.js"), "--exit", "--reporter", "json", "--reporter-option", "output=" + report}, args...)...)
				stop()
				if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
					return nil, err
				}
				if err := mochaResults(r, p, report); err != nil {
					r[p+"/"] = "fail" // all of it
					fmt.Fprintf(os.Stderr, "%s: %v: %s\n", p, err, out)
				}
			}
			return r, nil
		},
	}
}

// nodeTest is a line about a test that passed. After one that did not, the program
// of the file ends.
var nodeTest = regexp.MustCompile(`(?m)^  (.+?) ✔$`)

func mochaResults(r results, pkg, report string) error {
	b, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	if err := os.Remove(report); err != nil {
		return err
	}
	type test struct{ FullTitle string }
	var all struct{ Passes, Failures, Pending []test }
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for result, tests := range map[string][]test{"pass": all.Passes, "fail": all.Failures, "skip": all.Pending} {
		for _, t := range tests {
			r[pkg+"/"+t.FullTitle] = result
		}
	}
	return nil
}
