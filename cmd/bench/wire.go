package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion/demo/pgserver"
)

// wireOptions are how much the wire part measures.
type wireOptions struct {
	binary  string
	rounds  int
	part    string // one of the parts alone; empty means all
	ways    []string
	plain   bool   // no TLS to the database
	seconds int    // of one run of pgbench
	scale   int    // of pgbench's tables
	rows    int    // of the SELECT
	copyMiB int    // of COPY out; COPY in takes a quarter of it
	json    string // also write the figures there
}

// A figure is one comparison over all ways. Higher says whether more is better.
type figure struct {
	What   string             `json:"what"`
	Unit   string             `json:"unit"`
	Ways   map[string]float64 `json:"ways"`             // medians over the rounds
	Ratios map[string]float64 `json:"ratios,omitempty"` // medians of each round's ratio, as "sallyport/ssh -L"
	Goal   string             `json:"goal,omitempty"`
	Met    *bool              `json:"met,omitempty"`
}

// wire compares the same clients on several ways to one database. In each round every
// way has its turn, so what drifts on the machine drifts for all of them.
func wire(ctx context.Context, o wireOptions) error {
	dir, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL and pgbouncer run as users of their own
		return err
	}
	w, err := startWorld(ctx, dir, worldOptions{binary: o.binary, ways: o.ways, plain: o.plain, policy: labelled, config: inspected,
		// Enough for 64 clients, for the idle ones, and to hold what pgbench reads.
		settings: map[string]string{"max_connections": "800", "shared_buffers": "512MB", "max_wal_size": "4GB"}})
	if err != nil {
		return err
	}
	defer w.stop()
	m := &wireMeasure{wireOptions: o, world: w, dir: dir}
	var figures []figure
	var failed error
	known := false
	for _, part := range []struct {
		name string
		f    func(context.Context) ([]figure, error)
	}{{"connect", m.connect}, {"memory", m.idle}, {"rows", m.bulkRows}, {"copy", m.copies}, {"tps", m.transactions}, {"analysis", m.analysis}} {
		if o.part != "" && o.part != part.name {
			continue
		}
		known = true
		start := time.Now()
		f, err := part.f(ctx)
		if err != nil { // the others are worth knowing all the same
			failed = errors.Join(failed, fmt.Errorf("measuring wire/%s: %w", part.name, err))
		}
		fmt.Fprintf(os.Stderr, "measured wire/%s in %s\n", part.name, time.Since(start).Round(time.Second))
		figures = append(figures, f...)
	}
	if !known {
		return fmt.Errorf("there is no part wire/%s: choose of connect, memory, rows, copy, tps, analysis", o.part)
	}
	err = printFigures(os.Stdout, o.ways, figures)
	if o.json != "" && err == nil {
		err = writeJSON(o.json, figures)
	}
	return errors.Join(failed, err)
}

func writeJSON(path string, figures []figure) error {
	b, err := json.MarshalIndent(figures, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// labelled is the demo's policy with labels on what the benchmark reads, so that
// none of its statements is about a table that no label knows, and with the demo's
// detectors for one target only.
func labelled(policy string) string {
	policy = strings.Replace(policy, "\ncolumns:\n", `
columns:
  - { name: bench-email, columns: [public.bench_rows.email], mask: email }
  - { name: bench-filler, columns: [public.pgbench_accounts.filler], mask: redact }
`, 1)
	return regexp.MustCompile(`targets: \{[^}]*\}\n( *detect:)`).ReplaceAllString(policy, "targets: { values: inspected }\n$1")
}

// inspected adds a target: the same database, with detectors.
func inspected(config string) string {
	block := regexp.MustCompile(`(?s)\n  - name: shop-staging\n.*?\n\n`).FindString(config)
	block = strings.Replace(block, "name: shop-staging", "name: "+inspectedTarget, 1)
	return config + strings.Replace(block, "labels: {", "labels: { values: inspected,", 1)
}

// comparisons are the pairs of ways whose ratios are told, of those that were measured.
func comparisons(ways []string) (pairs [][2]string) {
	for _, p := range [][2]string{{sallyport, throughSSH}, {throughSSH, direct}, {bouncer, throughSSH}, {library, throughSSH}} {
		if slices.Contains(ways, p[0]) && slices.Contains(ways, p[1]) {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

func printFigures(out io.Writer, ways []string, figures []figure) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	pairs := comparisons(ways)
	fmt.Fprint(w, "what\tunit\t")
	for _, name := range ways {
		fmt.Fprintf(w, "%s\t", name)
	}
	for _, p := range pairs {
		fmt.Fprintf(w, "%s/%s\t", p[0], p[1])
	}
	fmt.Fprintln(w, "goal")
	for _, f := range figures {
		fmt.Fprintf(w, "%s\t%s\t", f.What, f.Unit)
		for _, name := range ways {
			fmt.Fprintf(w, "%s\t", short(f.Ways, name))
		}
		for _, p := range pairs {
			fmt.Fprintf(w, "%s\t", short(f.Ratios, p[0]+"/"+p[1]))
		}
		goal := f.Goal
		if f.Met != nil {
			goal += map[bool]string{true: " met", false: " MISSED"}[*f.Met]
		}
		fmt.Fprintln(w, goal)
	}
	return w.Flush()
}

// short is a number with three figures, or nothing where there is none.
func short(m map[string]float64, key string) string {
	v, ok := m[key]
	switch {
	case !ok:
		return ""
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

type wireMeasure struct {
	wireOptions
	*world
	dir string
}

// A sample is what one run gave: figures by name. Names that start with "cpu"
// are of the processes between client and database.
type sample map[string]float64

// measured names a figure of a sample.
type measured struct{ name, unit string }

// turns lets every way run in each round and returns one figure for each name in
// the samples. goals are for the ratio of sallyport to ssh -L.
func (m *wireMeasure) turns(ctx context.Context, what string, units []measured, goals map[string]float64, run func(context.Context, way) (sample, error)) ([]figure, error) {
	all := map[string]map[string][]float64{} // by figure, by way
	for round := range m.rounds {
		for i := range m.world.ways {
			// Who comes first changes, too: what one leaves behind in caches is for all.
			v := m.world.ways[(i+round)%len(m.world.ways)]
			s, err := run(ctx, v)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", what, v.name, err)
			}
			for name, x := range s {
				if all[name] == nil {
					all[name] = map[string][]float64{}
				}
				all[name][v.name] = append(all[name][v.name], x)
			}
		}
	}
	var figures []figure
	for _, u := range units {
		name := u.name
		f := figure{What: what + ": " + name, Unit: u.unit, Ways: map[string]float64{}, Ratios: map[string]float64{}}
		for v, xs := range all[name] {
			f.Ways[v] = median(xs)
		}
		for _, p := range comparisons(m.wireOptions.ways) {
			over, under := all[name][p[0]], all[name][p[1]]
			var ratios []float64
			for i := range min(len(over), len(under)) {
				ratios = append(ratios, over[i]/under[i])
			}
			if len(ratios) > 0 && !math.IsNaN(ratios[0]) && !math.IsInf(ratios[0], 0) {
				f.Ratios[p[0]+"/"+p[1]] = median(ratios)
			}
		}
		if goal, ok := goals[name]; ok {
			f.Goal = fmt.Sprintf(">= %.2f of ssh -L", goal)
			if r, ok := f.Ratios[sallyport+"/"+throughSSH]; ok {
				met := r >= goal
				f.Met = &met
			}
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// transactions is pgbench's rate.
func (m *wireMeasure) transactions(ctx context.Context) ([]figure, error) {
	bin, err := pgserver.Find()
	if err != nil {
		return nil, err
	}
	bench := filepath.Join(bin, "pgbench")
	home := m.company.Database.URL(m.company.Database.App(), pgserver.Staging)
	if out, err := exec.CommandContext(ctx, bench, "-i", "-q", "-s", strconv.Itoa(m.scale), home).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("filling pgbench's tables: %w: %s", err, out)
	}
	var figures []figure
	for _, load := range []struct {
		name  string
		args  []string
		start int // seconds
	}{{"select-only", []string{"-S"}, 2}, {"tpcb-like", nil, 8}} {
		for _, protocol := range []string{"simple", "prepared"} {
			for _, clients := range []int{1, 8, 64} {
				seconds := m.seconds
				if clients == 64 {
					seconds++
				}
				if protocol == "prepared" && clients == 64 {
					// Its clients prepare one after the other, and ssh -N holds small packets
					// back until the earlier ones are acknowledged: that takes seconds.
					seconds += load.start
				}
				// What updates leave behind would slow later runs down.
				if _, err := m.company.Database.Query(ctx, pgserver.Staging, "vacuum analyze pgbench_branches, pgbench_tellers, pgbench_history"); err != nil {
					return nil, err
				}
				what := fmt.Sprintf("pgbench %s, %s, %d clients", load.name, protocol, clients)
				fs, err := m.turns(ctx, what, []measured{{"rate", "tps"}, {"cpu between", "µs/transaction"}}, map[string]float64{"rate": 0.95},
					func(ctx context.Context, v way) (sample, error) {
						args := append([]string{"-n", "-M", protocol, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-T", strconv.Itoa(seconds), "-P", "1"}, load.args...)
						return runPgbench(ctx, v, bench, args)
					})
				if err != nil {
					return nil, err
				}
				figures = append(figures, fs...)
			}
		}
	}
	return figures, nil
}

var (
	progress  = regexp.MustCompile(`(?m)^progress: ([\d.]+) s, ([\d.]+) tps`)
	processed = regexp.MustCompile(`transactions actually processed: (\d+)`)
	whole     = regexp.MustCompile(`(?m)^tps = ([\d.]+)`)
	failed    = regexp.MustCompile(`failed transactions: (\d+)`)
)

func runPgbench(ctx context.Context, v way, bench string, args []string) (sample, error) {
	before, err := cpuOf(v)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, bench, append(args, v.url)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	after, err := cpuOf(v)
	if err != nil {
		return nil, err
	}
	n := processed.FindSubmatch(out)
	if f := failed.FindSubmatch(out); n == nil || f == nil || string(f[1]) != "0" {
		return nil, fmt.Errorf("pgbench: transactions failed: %s", out)
	}
	count, err := strconv.ParseFloat(string(n[1]), 64)
	if err != nil {
		return nil, err
	}
	rate, err := steady(string(out))
	return sample{"rate": rate, "cpu between": (after - before).Seconds() * 1e6 / count}, err
}

// steady is the mean rate of pgbench without its start: the seconds before it first
// came to half of the best second.
func steady(out string) (float64, error) {
	type second struct{ length, rate float64 }
	var all []second
	var end, best float64
	for _, m := range progress.FindAllStringSubmatch(out, -1) {
		at, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, err
		}
		rate, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return 0, err
		}
		all = append(all, second{at - end, rate})
		end, best = at, max(best, rate)
	}
	for len(all) > 0 && all[0].rate < best/2 {
		all = all[1:]
	}
	var done, took float64
	for _, s := range all {
		done, took = done+s.rate*s.length, took+s.length
	}
	if done > 0 {
		return done / took, nil
	}
	m := whole.FindStringSubmatch(out) // too short a run to be seen by the second
	if m == nil {
		return 0, fmt.Errorf("pgbench tells no rate: %s", out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// cpuOf is the time that the processes of a way have computed so far, children that
// have ended left out.
func cpuOf(v way) (time.Duration, error) {
	pids, err := v.between()
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it ended meanwhile
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 {
			return 0, fmt.Errorf("reading the times of process %d: too short", pid)
		}
		for _, ticks := range f[11:13] { // utime and stime, see proc(5)
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * (time.Second / 100)
		}
	}
	return total, nil
}

// fill makes the table that is read in bulk, once. The column tag holds what the
// labelled column email holds: same bytes with a mask and without.
func (m *wireMeasure) fill(ctx context.Context) (count int, err error) {
	const perRow = 106 // bytes in COPY's text format, about
	count = max(m.rows, m.copyMiB<<20/perRow)
	err = m.exec(ctx, fmt.Sprintf(`
create unlogged table if not exists bench_rows (id bigint, name text, city text, amount numeric(10,2), at timestamptz, note text, tag text, email text);
create unlogged table if not exists bench_in (id bigint, name text, city text, amount numeric(10,2), at timestamptz, note text, tag text);
insert into bench_rows select i, 'Customer ' || i, 'City ' || i %% 1000, i %% 100000 / 100.0, timestamptz '2024-01-01' + i * interval '1 second',
	'note of no weight', 'customer' || i || '@example.com', 'customer' || i || '@example.com'
	from generate_series(1, %d) i where not exists (select from bench_rows)`, count))
	if err != nil {
		return 0, fmt.Errorf("filling the table: %w", err)
	}
	// Otherwise the first to read it would write what the server notes about rows.
	_, err = m.company.Database.Query(ctx, pgserver.Staging, "vacuum (freeze, analyze) bench_rows")
	return count, err
}

// bulkRows is a SELECT of many rows by a driver that takes them as they come.
func (m *wireMeasure) bulkRows(ctx context.Context) ([]figure, error) {
	if _, err := m.fill(ctx); err != nil {
		return nil, err
	}
	run := func(ctx context.Context, v way, column string) (float64, error) {
		c, err := pgconn.Connect(ctx, v.url)
		if err != nil {
			return 0, err
		}
		defer c.Close(ctx)
		var rows, size int
		start := time.Now()
		r := c.Exec(ctx, fmt.Sprintf("select id, name, city, amount, at, %s from bench_rows limit %d", column, m.rows))
		for r.NextResult() {
			for r.ResultReader().NextRow() {
				rows++
				for _, b := range r.ResultReader().Values() {
					size += len(b)
				}
			}
		}
		took := time.Since(start)
		if err := r.Close(); err != nil {
			return 0, err
		}
		if rows != m.rows {
			return 0, fmt.Errorf("%d rows instead of %d", rows, m.rows)
		}
		return float64(rows) / took.Seconds(), nil
	}
	return m.clearAndMasked(ctx, fmt.Sprintf("SELECT of %d rows", m.rows), "rows/s", true, run)
}

// clearAndMasked runs a query with a column that has no label, with one that has, and
// if asked for with detectors looking at the values. The columns hold the same, so
// only Sallyport is asked more than once: to the other ways they are one. The rate is
// in source rows or bytes, which a mask does not change.
func (m *wireMeasure) clearAndMasked(ctx context.Context, what, unit string, detectors bool, run func(context.Context, way, string) (float64, error)) ([]figure, error) {
	cases := []struct{ name, column string }{{"clear", "tag"}, {"one column masked", "email"}, {"detectors on", "tag"}}
	if !detectors {
		cases = cases[:2]
	}
	var names []measured
	for _, c := range cases {
		names = append(names, measured{c.name, unit}, measured{c.name + ", cpu between", "s"})
	}
	return m.turns(ctx, what, names, map[string]float64{"clear": 0.9, "one column masked": 0.7}, func(ctx context.Context, v way) (sample, error) {
		s := sample{}
		for i, c := range cases {
			if i > 0 && v.name != sallyport {
				s[c.name], s[c.name+", cpu between"] = s[cases[0].name], s[cases[0].name+", cpu between"]
				continue
			}
			if c.name == "detectors on" {
				v.url = v.inspected
			}
			before, err := cpuOf(v)
			if err != nil {
				return nil, err
			}
			if s[c.name], err = run(ctx, v, c.column); err != nil {
				return nil, err
			}
			after, err := cpuOf(v)
			if err != nil {
				return nil, err
			}
			s[c.name+", cpu between"] = (after - before).Seconds()
		}
		return s, nil
	})
}

// copies is psql's \copy to nowhere and from a file.
func (m *wireMeasure) copies(ctx context.Context) ([]figure, error) {
	count, err := m.fill(ctx)
	if err != nil {
		return nil, err
	}
	const columns = "id, name, city, amount, at, note"
	psql := func(ctx context.Context, url, command string) (time.Duration, error) {
		start := time.Now()
		out, err := exec.CommandContext(ctx, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, url).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("psql: %w: %s", err, out)
		}
		return time.Since(start), err
	}
	home := m.company.Database.URL(m.company.Database.App(), pgserver.Staging)
	file := filepath.Join(m.dir, "copy.txt")
	in := max(count/4, 1)
	if _, err := psql(ctx, home, fmt.Sprintf(`\copy (select %s, tag from bench_rows limit %d) to '%s'`, columns, in, file)); err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	perRow := float64(info.Size()) / float64(in) / (1 << 20) // MiB
	total := perRow * float64(count)
	figures, err := m.clearAndMasked(ctx, fmt.Sprintf("COPY out of %.0f MiB", total), "MiB/s", false, func(ctx context.Context, v way, column string) (float64, error) {
		took, err := psql(ctx, v.url, fmt.Sprintf(`\copy bench_rows (%s, %s) to '/dev/null'`, columns, column))
		return total / took.Seconds(), err
	})
	if err != nil {
		return nil, err
	}
	into, err := m.turns(ctx, fmt.Sprintf("COPY in of %.0f MiB", perRow*float64(in)), []measured{{"rate", "MiB/s"}, {"cpu between", "s"}}, map[string]float64{"rate": 0.9},
		func(ctx context.Context, v way) (sample, error) {
			if err := m.exec(ctx, "truncate bench_in"); err != nil {
				return nil, err
			}
			before, err := cpuOf(v)
			if err != nil {
				return nil, err
			}
			took, err := psql(ctx, v.url, fmt.Sprintf(`\copy bench_in from '%s'`, file))
			if err != nil {
				return nil, err
			}
			after, err := cpuOf(v)
			return sample{"rate": perRow * float64(in) / took.Seconds(), "cpu between": (after - before).Seconds()}, err
		})
	return append(figures, into...), err
}

// connect is the time from nothing to the answer of a first statement.
func (m *wireMeasure) connect(ctx context.Context) ([]figure, error) {
	const each = 40 // a round
	return m.turns(ctx, "connect, select 1, close", []measured{{"p50", "ms"}, {"cpu between", "µs"}}, nil, func(ctx context.Context, v way) (sample, error) {
		before, err := cpuOf(v)
		if err != nil {
			return nil, err
		}
		var times []time.Duration
		for range each {
			start := time.Now()
			c, err := pgconn.Connect(ctx, v.url)
			if err != nil {
				return nil, err
			}
			_, err = c.Exec(ctx, "select 1").ReadAll()
			if err := errors.Join(err, c.Close(ctx)); err != nil {
				return nil, err
			}
			times = append(times, time.Since(start))
		}
		after, err := cpuOf(v)
		return sample{"p50": median(times).Seconds() * 1e3, "cpu between": (after - before).Seconds() * 1e6 / each}, err
	})
}

// idle is what one forwarded connection costs that has asked something and waits.
func (m *wireMeasure) idle(ctx context.Context) ([]figure, error) {
	const crowd = 200
	f := figure{What: fmt.Sprintf("memory of an idle connection, of %d", crowd), Unit: "KiB", Ways: map[string]float64{}, Ratios: map[string]float64{}, Goal: "< 256 KiB"}
	settle := func() { time.Sleep(3 * time.Second) } // the runtime gives memory back in its own time
	for _, v := range m.world.ways {
		if v.name == direct {
			continue
		}
		var open []*pgconn.PgConn
		more := func(n int) error {
			for range n {
				c, err := pgconn.Connect(ctx, v.url)
				if err != nil {
					return err
				}
				open = append(open, c)
				if _, err := c.Exec(ctx, "select id, city from customers where id = 7").ReadAll(); err != nil {
					return err
				}
			}
			settle()
			return nil
		}
		size := func() (total int64, err error) {
			pids, err := v.between()
			for _, pid := range pids {
				n, e := memoryOf(pid)
				total, err = total+n, errors.Join(err, e)
			}
			return total, err
		}
		// A first crowd brings the programs to their working size; what they then keep
		// is not what a connection costs.
		err := more(crowd / 4)
		var before, after int64
		if err == nil {
			before, err = size()
		}
		if err == nil {
			err = more(crowd)
		}
		if err == nil {
			after, err = size()
		}
		for _, c := range open {
			err = errors.Join(err, c.Close(ctx))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		f.Ways[v.name] = float64(after-before) / crowd / 1024
	}
	if ours, ok := f.Ways[sallyport]; ok {
		met := ours < 256
		f.Met = &met
	}
	return []figure{f}, nil
}

// analysis is what reading a statement costs, from the Go benchmarks.
func (m *wireMeasure) analysis(ctx context.Context) ([]figure, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkRead(New|Cached)$", "-count", strconv.Itoa(m.rounds), "./connectors/postgres/lineage").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test -bench: %w: %s", err, out)
	}
	times := map[string][]float64{}
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) >= 4 && f[3] == "ns/op" {
			ns, err := strconv.ParseFloat(f[2], 64)
			if err != nil {
				return nil, err
			}
			name, _, _ := strings.Cut(f[0], "-") // without the number of processors
			times[name] = append(times[name], ns/1000)
		}
	}
	var figures []figure
	for _, b := range []struct {
		name, prefix string
		goal         float64
	}{{"analysis of a cached statement", "BenchmarkReadCached", 2}, {"analysis of a new statement", "BenchmarkReadNew", 150}} {
		var found bool
		for _, name := range slices.Sorted(maps.Keys(times)) {
			if rest, ok := strings.CutPrefix(name, b.prefix); ok {
				found = true
				us := median(times[name])
				met := us < b.goal
				figures = append(figures, figure{What: strings.TrimSpace(b.name + " " + strings.TrimPrefix(rest, "/")), Unit: "µs", Ways: map[string]float64{sallyport: us}, Goal: fmt.Sprintf("< %.0f µs", b.goal), Met: &met})
			}
		}
		if !found {
			return nil, fmt.Errorf("go test -bench printed no %s: %s", b.prefix, out)
		}
	}
	return figures, nil
}
