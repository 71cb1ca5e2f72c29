// Command bench measures Sallyport beside OpenSSH's sshd and psql, on the same
// machine in the same run, and prints ratios. Figures without a baseline next to
// them say more about the machine than about the program.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	binary := flag.String("sallyport", "bin/sallyport", "the program to measure")
	rounds := flag.Int("rounds", 5, "how often each pair is measured, in turns")
	only := flag.String("only", "", "logins, memory, echo or sql; empty means all")
	flag.Parse()
	if err := run(*binary, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is one comparison. Ratio is how much better we are: above 1 is better.
type row struct {
	what, ours, base string
	ratio            float64
	goal             string
}

func run(binary string, rounds int, only string) error {
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
		fmt.Fprintln(os.Stderr, "measuring", m.name)
		r, err := m.f(us, base, rounds)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", m.name, err)
		}
		rows = append(rows, r...)
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
	return xs[len(xs)/2]
}
