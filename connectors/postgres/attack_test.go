package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

var attackFiles = flag.String("attacks", "testdata/attack/*.sql", "files of attempts to see what is hidden")

// A visitor is a person at the bastion with one database open, whatever the client:
// run sends one statement and gives every byte that comes back, in the order in
// which it came, words of errors included. The error says that the statement did
// not succeed. offered is what completion offers, if there is any; kept is what the
// recording holds so far.
type visitor struct {
	run     func(statement string) ([]byte, error)
	offered func() []byte
	kept    func() string
}

// console is a visitor who uses the bastion's own console.
func console(t testing.TB, setup connectortest.Setup) visitor {
	t.Helper()
	s := connectortest.Start(t, setup)
	return visitor{kept: s.Recorded, run: func(statement string) ([]byte, error) {
		var b bytes.Buffer
		err := s.Stream(t.Context(), statement, func(f bastion.Frame) error { writeFrame(&b, f); return nil })
		writeError(&b, err)
		return b.Bytes(), err
	}, offered: func() []byte {
		names, err := s.Names(t.Context(), setup.Target.Name)
		return fmt.Appendf(nil, "%v %v", names, err)
	}}
}

// approved is a visitor who was allowed to filter, sort and group by hidden columns,
// as somebody is whose request was approved: what comes back is masked all the same.
func approved(t testing.TB, setup connectortest.Setup) visitor {
	t.Helper()
	rules, err := mask.NewRules([]byte("a key for tests"), setup.Labels...)
	if err != nil {
		t.Fatal(err)
	}
	rec := &journal{}
	s, err := bastion.NewSession(t.Context(), bastion.Config{
		ID: "s-test", Identity: bastion.Identity{Issuer: "https://idp.test", Subject: "alice", Kind: bastion.Person, Name: "alice"},
		Channel: silent{}, Targets: bastion.Targets{setup.Target}, Connectors: []bastion.Connector{setup.Connector},
		Policy: trusting{rules: rules}, Approvals: nobody{}, Identities: same{}, Secrets: holder{setup.Secret}, Recorder: rec, Archive: nothing{}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Open(t.Context(), setup.Target.Name, bastion.Job{Show: func(bastion.Frame) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	return visitor{kept: rec.String, run: func(statement string) ([]byte, error) {
		var b bytes.Buffer
		op, err := s.Parse(t.Context(), setup.Target.Name, statement)
		if err == nil {
			err = s.Run(t.Context(), op, bastion.Job{Show: func(f bastion.Frame) error { writeFrame(&b, f); return nil }})
		}
		writeError(&b, err)
		return b.Bytes(), err
	}}
}

func writeFrame(b *bytes.Buffer, f bastion.Frame) {
	switch f.Kind() {
	case bastion.ColumnsFrame:
		for _, c := range f.Columns() {
			fmt.Fprint(b, c.Name, " ", c.Type, fieldEnd)
		}
	case bastion.RowFrame:
		for _, v := range f.Row() {
			if v == nil {
				b.WriteString(`\N`)
			}
			b.Write(v)
			b.WriteString(fieldEnd)
		}
	default:
		b.WriteString(f.Text())
	}
	b.WriteString(rowEnd)
}

func writeError(b *bytes.Buffer, err error) {
	if err == nil {
		return
	}
	b.WriteString(err.Error())
	if te, ok := errors.AsType[*bastion.TargetError](err); ok {
		fmt.Fprint(b, " ", te.Detail, " ", te.Position)
	}
}

// What a session needs besides: only what is used is there.
type (
	trusting struct {
		bastion.Policy
		rules mask.Rules
	}
	nobody  struct{ bastion.Approvals }
	nothing struct{ bastion.Archive }
	same    struct{}
	holder  struct{ secret bastion.Secret }
	silent  struct{ bytes.Buffer }
	journal struct {
		bastion.Recorder
		bytes.Buffer
	}
)

func (p trusting) Decide(bastion.Identity, bastion.Operation) bastion.Decision {
	return bastion.Decision{Effect: bastion.Allow, Mask: p.rules, Rule: "test"}
}
func (trusting) Access(bastion.Identity, bastion.Target) bastion.Access {
	return bastion.Access{Connect: bastion.Allow}
}
func (trusting) Roles(bastion.Identity) []bastion.Role                               { return nil }
func (nobody) Grants(context.Context, bastion.Identity) ([]bastion.Grant, error)     { return nil, nil }
func (same) Current(_ context.Context, i bastion.Identity) (bastion.Identity, error) { return i, nil }
func (s holder) Secret(context.Context, bastion.Target) (bastion.Secret, error)      { return s.secret, nil }
func (silent) Read([]byte) (int, error)                                              { return 0, io.EOF }
func (silent) Write(p []byte) (int, error)                                           { return len(p), nil }
func (silent) Stderr() io.ReadWriter                                                 { return &bytes.Buffer{} }
func (silent) CloseWrite() error                                                     { return nil }
func (silent) Close() error                                                          { return nil }
func (j *journal) Event(e bastion.Event) error                                       { fmt.Fprintf(&j.Buffer, "%+v\n", e); return nil }
func (*journal) Output([]byte) error                                                 { return nil }
func (*journal) Resize(int, int) error                                               { return nil }
func (*journal) Close() error                                                        { return nil }
func (j *journal) String() string                                                    { return j.Buffer.String() }

// An attempt is some steps of one person, in one session.
type attempt struct {
	place string // file:line
	story string
	steps []string
	// refused: it is about time, which a comparison of answers does not show, so
	// that one of the steps must not run.
	refused bool
}

// attempts reads a file of attempts. Empty lines are between attempts; lines of --
// tell what an attempt is about; a step ends with a semicolon at the end of a line.
// Where the story begins with "Each:", every step is an attempt of its own. The
// words "must be refused" in it set the flag.
func attempts(t testing.TB, path string) []attempt {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []attempt
	var now attempt
	step := ""
	end := func() {
		if step != "" {
			t.Fatalf("%s: a step without a semicolon at its end: %s", now.place, step)
		}
		now.refused = strings.Contains(now.story, "must be refused")
		switch {
		case strings.HasPrefix(now.story, " Each: "):
			for i, s := range now.steps {
				all = append(all, attempt{fmt.Sprintf("%s+%d", now.place, i), now.story, []string{s}, now.refused})
			}
		case len(now.steps) > 0:
			all = append(all, now)
		}
		now = attempt{}
	}
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case strings.TrimSpace(line) == "" && step == "":
			end()
			continue
		case strings.HasPrefix(line, "--") && step == "" && len(now.steps) == 0:
			now.story += strings.TrimPrefix(line, "--")
			continue
		case now.place == "":
			now.place = fmt.Sprintf("%s:%d", filepath.Base(path), i+1)
		}
		if step != "" {
			step += "\n"
		}
		step += line
		if s, ok := strings.CutSuffix(step, ";"); ok {
			now.steps, step = append(now.steps, s), ""
		}
	}
	end()
	return all
}

var reading = regexp.MustCompile(`(?i)^\s*\(*(SELECT|VALUES|TABLE|EXPLAIN|SHOW|WITH)\b`)
var writing = regexp.MustCompile(`(?i)\b(INSERT|UPDATE|DELETE|MERGE|INTO|CREATE|ANALYZE|lo_\w+|setval|nextval|set_config|pg_advisory_\w+)\b`)
var transactions = regexp.MustCompile(`(?i)^\s*(BEGIN|START|COMMIT|ROLLBACK|END|ABORT|VACUUM|CLUSTER)\b`)

// outliving is what a rollback does not undo.
var outliving = regexp.MustCompile(`(?i)\b(PREPARE|HOLD)\b`)

// reads: no step changes anything, neither the database nor the session.
func (a attempt) reads() bool {
	return !slices.ContainsFunc(a.steps, func(s string) bool { return !reading.MatchString(s) || writing.MatchString(s) })
}

// own: the steps begin or end transactions themselves.
func (a attempt) own() bool { return slices.ContainsFunc(a.steps, transactions.MatchString) }

// TestAttackCorpus runs every attempt of the corpus for real, allowed everything
// but what probes hidden columns, at twins: databases that differ in nothing but
// hidden values. Nothing hidden may reach the person, in rows, errors, notices,
// tags, names for completion and previews, nor the recording; and what reaches the
// person must be the same from both, so that it does not tell a single bit.
func TestAttackCorpus(t *testing.T) {
	files, err := filepath.Glob(*attackFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", *attackFiles, err)
	}
	twins := [2]smallShop{plantSmall(t, "small_a", 1), plantSmall(t, "small_b", 2)}
	var net [2]*dragnet
	var words [2]*dragnet
	for i, s := range twins {
		net[i] = newDragnet(s.secrets, partOfDigits)
		words[i] = newDragnet(slices.DeleteFunc(slices.Clone(s.secrets), func(s secret) bool { return !strings.ContainsAny(s.core, letters) }), partOfDigits)
		copyDatabase(t, s.database, s.database+"_read") // nobody may be connected to what is copied
	}
	all := map[string][]attempt{}
	for _, f := range files {
		all[strings.TrimSuffix(filepath.Base(f), ".sql")] = attempts(t, f)
	}
	if *attackFiles == flag.Lookup("attacks").DefValue {
		for i, line := range corpus(t, "testdata/attacks.sql") {
			a := attempt{place: fmt.Sprintf("attacks.sql, %d", i+1)}
			for step := range strings.SplitSeq(line, ";;") {
				a.steps = append(a.steps, strings.TrimSpace(step))
			}
			all["mixed"] = append(all["mixed"], a)
		}
	}
	var tried, refused, failed atomic.Int64
	t.Run("files", func(t *testing.T) {
		for name, these := range all {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				g := &grounds{t: t, twins: twins, net: net, words: words}
				g.walk(these)
				tried.Add(int64(g.tried))
				refused.Add(int64(g.refused))
				failed.Add(int64(g.failed))
			})
		}
	})
	t.Logf("%d attempts, %d steps refused or failed, %d of them though filters were approved", tried.Load(), refused.Load(), failed.Load())
}

func copyDatabase(t testing.TB, from, to string) {
	t.Helper()
	if _, err := server.Query(t.Context(), "postgres", fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy", to, from)); err != nil {
		t.Fatal(err)
	}
}

// grounds are where the attempts of one file happen.
type grounds struct {
	t              *testing.T
	twins          [2]smallShop
	net            [2]*dragnet
	words          [2]*dragnet // of letters alone: in recordings, times and digests look like the rest
	tried, refused int
	doors          []string          // by which the attempt of the moment is made, too
	failed         int               // though filters were approved
	pair           [2]string         // databases for attempts that change something, if any
	behind         [2]*pgconn.PgConn // a connection of the superuser to each
	now            string            // their state
	pairs          int
}

func (g *grounds) setup(database string, ask bool) connectortest.Setup {
	s := connectortest.Setup{Connector: postgres.Connector{}, Target: target(database),
		Secret: bastion.NewSecret(server.App().User, server.App().Password), Labels: labels}
	if ask { // everything needs approval, so that people see a preview of it
		s.Decide = func(op bastion.Operation) bastion.Effect {
			if op.Intent().Verb == bastion.Connect {
				return bastion.Allow
			}
			return bastion.Ask
		}
	}
	return s
}

func (g *grounds) walk(all []attempt) {
	var readers, askers [2]visitor
	trusted := approved(g.t, g.setup(g.twins[0].database+"_read", false))
	for i, s := range g.twins {
		readers[i] = console(g.t, g.setup(s.database+"_read", false))
		askers[i] = console(g.t, g.setup(s.database+"_read", true))
	}
	drivers, trusting := map[string][2]visitor{}, map[string]visitor{}
	for i, a := range all {
		g.tried++
		g.doors = doorsOf(i)
		if a.reads() && !a.own() {
			for _, door := range g.doors {
				if _, ok := drivers[door]; !ok {
					drivers[door] = [2]visitor{wired(g.t, g.setup(g.twins[0].database+"_read", false), door), wired(g.t, g.setup(g.twins[1].database+"_read", false), door)}
					allowed := g.setup(g.twins[0].database+"_read", false)
					allowed.Trust = true
					trusting[door] = wired(g.t, allowed, door)
				}
				g.try(g.t, a, "reading", drivers[door])
			}
			g.try(g.t, a, "reading", readers)
			g.try(g.t, a, "preview", askers)
			if strings.Contains(a.steps[0], "generate_series") {
				continue // a series that is compared with a hidden number tells it: that would be what was approved
			}
			for _, who := range append([]visitor{trusted}, visitorsOf(trusting, g.doors)...) {
				received, err := who.run(g.twins[0].fill(a.steps[0]))
				if err != nil {
					g.failed++
				}
				if w := g.net[0].search(string(received), g.twins[0].fill(a.steps[0])); w != "" {
					g.t.Errorf("%s, with filters approved:%s\n%s\nshows %s:\n%s", a.place, a.story, a.steps[0], w, shown(string(received)))
				}
			}
			continue
		}
		g.apart(a)
	}
	g.drop()
}

// apart runs an attempt in sessions of its own, in databases that nobody changed:
// in a transaction that is rolled back, and then as it is.
func (g *grounds) apart(a attempt) {
	if g.pair[0] == "" {
		for i, s := range g.twins {
			g.pair[i] = fmt.Sprintf("%s_%s_%d", s.database, strings.ReplaceAll(strings.ToLower(filepath.Base(g.t.Name())), "-", "_"), g.pairs)
			copyDatabase(g.t, s.database, g.pair[i])
			var err error
			if g.behind[i], err = pgconn.Connect(g.t.Context(), server.URL(server.Superuser(), g.pair[i])); err != nil {
				g.t.Fatal(err)
			}
		}
		g.pairs++
		g.now = g.state()
	}
	g.t.Run(a.place, func(t *testing.T) {
		var who [2]visitor
		for i := range g.twins {
			who[i] = console(t, g.setup(g.pair[i], false))
		}
		if !a.own() {
			b := a
			b.steps = slices.Concat([]string{"BEGIN"}, a.steps, []string{"ROLLBACK"})
			if slices.ContainsFunc(a.steps, outliving.MatchString) {
				b.steps = append(b.steps, "DEALLOCATE ALL", "CLOSE ALL")
			}
			g.try(t, b, "in a transaction", who)
			for _, door := range g.doors {
				g.try(t, b, "in a transaction, "+door, [2]visitor{wired(t, g.setup(g.pair[0], false), door), wired(t, g.setup(g.pair[1], false), door)})
			}
		}
		g.try(t, a, "as it is", who)
	})
	if g.state() == g.now {
		return
	}
	// What was made is dropped again. If that is not all that was done, the databases are.
	for _, c := range g.behind {
		if _, err := c.Exec(g.t.Context(), undo).ReadAll(); err != nil {
			g.t.Fatal(err)
		}
	}
	if g.state() != g.now {
		g.drop()
	}
}

func (g *grounds) drop() {
	if g.pair[0] == "" {
		return
	}
	for i, d := range g.pair {
		if err := g.behind[i].Close(g.t.Context()); err != nil {
			g.t.Fatal(err)
		}
		if _, err := server.Query(g.t.Context(), "postgres", fmt.Sprintf(`DROP DATABASE %q WITH (FORCE)`, d)); err != nil {
			g.t.Fatal(err)
		}
		g.pair[i] = ""
	}
}

// state changes with whatever an attempt leaves behind.
func (g *grounds) state() string {
	var all strings.Builder
	for _, c := range g.behind {
		results, err := c.Exec(g.t.Context(), stateQuery).ReadAll()
		if err != nil {
			return "changed so much that the query does not run: " + err.Error()
		}
		fmt.Fprintf(&all, "%s ", results[0].Rows)
	}
	return all.String()
}

// undo drops everything that is not the shop's: whatever has a larger OID than
// the last thing of the shop, a comment of its last function left out.
const undo = `DO $$
DECLARE
	last oid := (SELECT max(oid) FROM pg_proc WHERE proname IN ('customer_email', 'last_card') AND pronamespace = 'public'::regnamespace);
	command text;
BEGIN
	FOR command IN
		SELECT format('DROP SCHEMA %I CASCADE', nspname) FROM pg_namespace WHERE oid > last AND nspname !~ '^pg_'
		UNION ALL SELECT format('DROP %s %s CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
			WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' ELSE 'TABLE' END, oid::regclass)
			FROM pg_class WHERE oid > last AND relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I') AND relnamespace = 'public'::regnamespace
		UNION ALL SELECT format('DROP ROUTINE %s CASCADE', oid::regprocedure) FROM pg_proc WHERE oid > last AND pronamespace = 'public'::regnamespace
		UNION ALL SELECT format('DROP TYPE %s CASCADE', oid::regtype) FROM pg_type WHERE oid > last AND typnamespace = 'public'::regnamespace AND typtype IN ('c', 'd', 'e', 'r')
		UNION ALL SELECT format('SELECT lo_unlink(%s)', oid) FROM pg_largeobject_metadata
		UNION ALL SELECT format('DROP STATISTICS %s', stxname) FROM pg_statistic_ext WHERE oid > last
	LOOP
		BEGIN
			EXECUTE command;
		EXCEPTION WHEN OTHERS THEN NULL; -- it went with another
		END;
	END LOOP;
END $$`

var stateQuery = func() string {
	var parts []string
	for _, c := range []string{"pg_class", "pg_attribute", "pg_proc", "pg_type", "pg_rewrite", "pg_constraint", "pg_attrdef", "pg_operator", "pg_cast", "pg_index",
		"pg_namespace", "pg_inherits", "pg_trigger", "pg_largeobject_metadata", "pg_enum", "pg_statistic_ext", "pg_collation", "pg_description", "pg_policy",
		"customers", "products", "orders", "order_items", "payments", "employees", "audit_log"} {
		parts = append(parts, fmt.Sprintf("(SELECT count(*) || ':' || max(xmin::text::bigint) FROM %s)", c))
	}
	return "SELECT concat_ws(' ', " + strings.Join(parts, ", ") + ", (SELECT sum(last_value) FROM pg_sequences))"
}()

// noise is what differs between twins for no reason of the data.
var noise = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`small_[ab]\w*`), "database"},
	{regexp.MustCompile(`pg_(toast_)?temp_\d+`), "pg_temp"},
	{regexp.MustCompile(`(actual time=|Execution Time[": ]+|Planning Time[": ]+|Total Time[": ]+|time=)[\d.]+(\.\.[\d.]+)?`), "$1"},
	{regexp.MustCompile(`\btype \d+`), "type"},
	{regexp.MustCompile(`"(Actual Startup Time|Actual Total Time)": [\d.]+`), "$1"},
}

var pseudonyms = regexp.MustCompile(`~[A-Z2-7]{8}`)

// serverWide are views of all sessions of the server, other tests' included.
var serverWide = regexp.MustCompile(`(?i)pg_stat_activity`)

// quiet takes the noise out of what a person received. Pseudonyms are numbered in
// the order in which they come, for what they tell is which are equal.
func quiet(s string) string {
	for _, n := range noise {
		s = n.what.ReplaceAllString(s, n.by)
	}
	seen := map[string]string{}
	return pseudonyms.ReplaceAllStringFunc(s, func(p string) string {
		if seen[p] == "" {
			seen[p] = fmt.Sprintf("~%d", len(seen)+1)
		}
		return seen[p]
	})
}

// try runs the steps at both twins and compares.
func (g *grounds) try(t *testing.T, a attempt, how string, who [2]visitor) {
	t.Helper()
	typed := g.twins[0].fill(strings.Join(a.steps, ";\n")) // a right guess at the one is wrong at the other
	ran, apart := 0, false
	for _, step := range a.steps { // to the end, so that a transaction ends

		var answers [2]string
		for i, p := range who {
			received, err := p.run(g.twins[0].fill(step))
			if err != nil {
				g.refused++
			} else {
				ran++
			}
			answers[i] = string(received)
			if i == 1 && answers[1] == answers[0] {
				continue // the same text holds what is hidden in neither
			}
			if w := g.net[i].search(answers[i], typed); w != "" {
				t.Errorf("%s, %s:%s\n%s\nshows %s:\n%s", a.place, how, a.story, step, w, shown(answers[i]))
			}
		}
		if answers[0] != answers[1] {
			answers[0], answers[1] = quiet(answers[0]), quiet(answers[1])
		}
		if answers[0] != answers[1] && !apart && !serverWide.MatchString(step) {
			apart = true
			t.Errorf("%s, %s:%s\n%s\ntells twins apart:\n%s\n%s", a.place, how, a.story, step, shown(answers[0]), shown(answers[1]))
		}
	}
	if a.refused && ran == 2*len(a.steps) {
		t.Errorf("%s, %s:%s\nis not refused", a.place, how, a.story)
	}
	if how == "reading" || how == "preview" {
		return // the recording is that of many attempts: it is searched where it is apart
	}
	var offered [2]string
	for i, p := range who {
		offered[i] = string(p.offered())
		if w := g.words[i].search(p.kept(), typed); w != "" {
			t.Errorf("%s, %s:%s\nis recorded with %s", a.place, how, a.story, w)
		}
	}
	if offered[0] != offered[1] && quiet(offered[0]) != quiet(offered[1]) {
		t.Errorf("%s, %s:%s\ncompletion tells twins apart:\n%s\n%s", a.place, how, a.story, offered[0], offered[1])
	}
	if w := g.words[0].search(offered[0], typed); w != "" {
		t.Errorf("%s, %s:%s\ncompletion offers %s", a.place, how, a.story, w)
	}
}

// shown makes a received text fit for a report.
func shown(received string) string {
	s := strings.NewReplacer(fieldEnd, " | ", rowEnd, "\n  ").Replace(received)
	return s[:min(len(s), 1500)]
}

func (trusting) Terms(bastion.Identity, bastion.Target) []bastion.Terms { return nil }
func (trusting) Conflict(bastion.Identity) error                        { return nil }
