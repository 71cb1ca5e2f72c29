// Command bench measures Sallyport beside OpenSSH's sshd and psql, on the same
// machine in the same run, and prints ratios. Figures without a baseline next to
// them say more about the machine than about the program.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	o := wireOptions{}
	flag.StringVar(&o.binary, "sallyport", "bin/sallyport", "the program to measure")
	rounds := flag.Int("rounds", 0, "how often each pair is measured, in turns; 0: 5, and 2 for wire")
	only := flag.String("only", "", "logins, memory, echo, sql or wire, or a part of it: wire/connect, wire/memory, wire/rows, wire/copy, wire/tps, wire/analysis; empty means all of these. compat, compat/pgx or compat/node runs other clients' tests instead")
	brief := flag.Bool("short", false, "wire: small sizes and one round, to see that it works")
	ways := flag.String("ways", strings.Join([]string{direct, throughSSH, bouncer, sallyport}, ","), "wire: what to compare; \"library\" may be added: the SSH library that the bastion stands on, copying and doing nothing else")
	flag.BoolVar(&o.plain, "plain", false, "wire: no TLS to the database")
	flag.IntVar(&o.seconds, "seconds", 2, "wire: of one run of pgbench")
	flag.IntVar(&o.scale, "scale", 50, "wire: of pgbench's tables")
	flag.IntVar(&o.rows, "rows", 1_000_000, "wire: of the SELECT")
	flag.IntVar(&o.copyMiB, "copy", 1024, "wire: MiB of COPY out; COPY in takes a quarter")
	flag.StringVar(&o.json, "json", "", "wire: also write the figures to this file")
	node := flag.String("node-postgres", os.Getenv("NODE_POSTGRES"), "compat: a checkout of node-postgres; empty: it is cloned")
	tests := flag.String("tests", "", "compat: only these, by the beginning of their names, separated by commas, such as pgconn.TestConnPing")
	copyAddr := flag.String("copy-at", "", "serve SSH at this address that copies and does nothing else; the bench starts itself so")
	copyKey := flag.String("copy-key", "", "the file with the one key that may do so")
	flag.Parse()
	if *copyAddr != "" {
		fmt.Fprintln(os.Stderr, "bench:", copyAt(*copyAddr, *copyKey))
		os.Exit(1)
	}
	// What was started is stopped, also when somebody has seen enough.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second time ends it at once
	if suite, ok := strings.CutPrefix(*only, "compat"); ok {
		if err := compat(ctx, o.binary, *node, strings.TrimPrefix(suite, "/"), *tests); err != nil {
			fmt.Fprintln(os.Stderr, "compat:", err)
			os.Exit(1)
		}
		return
	}
	o.ways, o.rounds = strings.Split(*ways, ","), cmp.Or(*rounds, 2)
	if *brief {
		o.rounds = cmp.Or(*rounds, 1)
		given := map[string]bool{}
		flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, v := range map[string]struct {
			to    *int
			small int
		}{"seconds": {&o.seconds, 1}, "scale": {&o.scale, 10}, "rows": {&o.rows, 100_000}, "copy": {&o.copyMiB, 32}} {
			if !given[name] {
				*v.to = v.small
			}
		}
	}
	if err := run(ctx, o, cmp.Or(*rounds, 5), *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o wireOptions, rounds int, only string) error {
	part, rest, _ := strings.Cut(only, "/")
	if part != "wire" {
		if err := sessions(ctx, o.binary, rounds, only); err != nil {
			return err
		}
	}
	if part != "wire" && part != "" {
		return nil
	}
	o.part = rest
	return wire(ctx, o)
}

// row is one comparison. Ratio is how much better we are: above 1 is better.
type row struct {
	what, ours, base string
	ratio            float64
	goal             string
}

// sessions compares what people do at a terminal and what scripts do with a session.
func sessions(ctx context.Context, binary string, rounds int, only string) error {
	dir, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL runs as a user of its own
		return err
	}
	us, err := startSallyport(binary, dir)
	if err != nil {
		return err
	}
	defer us.stop()
	base, err := startSSHD(dir, us.keyFile)
	if err != nil {
		return err
	}
	defer base.stop()

	var rows []row
	for _, m := range []struct {
		name string
		f    func(*bastion, *sshd, int) ([]row, error)
	}{{"logins", logins}, {"memory", memory}, {"echo", echo}, {"sql", statements}} {
		if only != "" && only != m.name {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "measuring", m.name)
		r, err := m.f(us, base, rounds)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", m.name, err)
		}
		rows = append(rows, r...)
	}
	if rows == nil {
		return fmt.Errorf("there is no part %q: choose of logins, memory, echo, sql, wire", only)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tsallyport\tbaseline\tratio (above 1 is better)\tgoal")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%s\n", r.what, r.ours, r.base, r.ratio, r.goal)
	}
	return w.Flush()
}

func median[T float64 | time.Duration](xs []T) T {
	xs = slices.Clone(xs)
	slices.Sort(xs)
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}
