package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// policyTarget is the target that stands for the policy itself.
const policyTarget = "policy"

// policy reads the policy, and proposes another.
func policy(ctx context.Context, c *call) error {
	what := c.word()
	if what == "" {
		what = "show"
	}
	if strings.HasPrefix(what, "--") { // flags may stand before the word, too
		c.line = what + c.line
		what = ""
	}
	var reason, wait string
	set, switches := map[string]*string{}, map[string]*bool{"json": &c.json}
	if what == "propose" || what == "" {
		set["reason"], set["wait"] = &reason, &wait
	}
	if err := c.flags(set, switches); err != nil {
		return err
	}
	if what == "" {
		if what = c.word(); what == "" {
			what = "show"
		}
		if err := c.flags(set, switches); err != nil {
			return err
		}
	}
	r := &runner{c: c, target: policyTarget, reason: strings.TrimSpace(reason)}
	if c.json {
		r.format = formatJSON
	}
	switch what {
	case "show":
		text := "show"
		if n := c.word(); n != "" {
			if _, err := strconv.ParseUint(n, 10, 64); err != nil {
				return usagef("%q is not the number of a version", bastion.VisibleLine(n))
			}
			text += " " + n
		}
		if err := c.flags(nil, switches); err != nil {
			return err
		}
		if err := c.nothing(); err != nil {
			return err
		}
		return r.showPolicy(ctx, text)
	case "versions":
		if err := c.nothing(); err != nil {
			return err
		}
		return r.one(ctx, "versions")
	case "diff":
		if err := c.nothing(); err != nil {
			return err
		}
		text, err := c.file(what)
		if err != nil {
			return err
		}
		return r.diffPolicy(ctx, text)
	case "propose":
		if rest := c.rest(); rest != "" { // words of a reason without quotes
			if r.reason == "" {
				return usagef("unexpected %q", bastion.VisibleLine(strings.TrimSpace(rest)))
			}
			r.reason += rest
		}
		if wait != "" {
			d, err := time.ParseDuration(wait)
			if err != nil || d < 0 {
				return usagef("--wait wants a duration such as 10m, not %q", bastion.VisibleLine(wait))
			}
			r.wait, r.waits = d, true
		}
		text, err := c.file(what)
		if err != nil {
			return err
		}
		return r.proposePolicy(ctx, text)
	}
	return usagef("policy %q is not known; show, diff, propose or versions", bastion.VisibleLine(what))
}

// file reads a policy file from standard input.
func (c *call) file(what string) (string, error) {
	if c.o.PTY {
		return "", usagef("give the file on standard input: ssh bastion policy %s < policy.yaml", what)
	}
	b, err := io.ReadAll(io.LimitReader(c.in, bastion.MaxText+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading standard input: %w", err)
	case len(b) > bastion.MaxText:
		return "", usagef("the file has more than %d bytes", bastion.MaxText)
	case strings.TrimSpace(string(b)) == "":
		return "", usagef("give the file on standard input: ssh bastion policy %s < policy.yaml", what)
	}
	return string(b), nil
}

// run runs one operation on the policy, and gives its rows to show.
func (r *runner) run(ctx context.Context, text string, row func([][]byte) error) (said string, err error) {
	if err := r.open(ctx); err != nil {
		return "", err
	}
	op, err := r.c.s.Parse(ctx, r.target, text)
	if err != nil {
		return "", err
	}
	err = r.limited(ctx, func(ctx context.Context, job bastion.Job) error {
		job.Show = func(f bastion.Frame) error {
			switch f.Kind() {
			case bastion.RowFrame:
				return row(f.Row())
			case bastion.TagFrame:
				said = f.Text()
			}
			return nil
		}
		return r.c.s.Run(ctx, op, job)
	})
	return said, err
}

// showPolicy writes a version of the policy byte for byte.
func (r *runner) showPolicy(ctx context.Context, text string) error {
	var lines []string
	_, err := r.run(ctx, text, func(row [][]byte) error {
		lines = append(lines, string(row[0]))
		return nil
	})
	if err != nil {
		return err
	}
	file := strings.Join(lines, "\n")
	if r.c.json {
		return r.c.printJSON(struct {
			Text string `json:"text"`
		}{file})
	}
	if !r.c.o.PTY {
		_, err = io.WriteString(r.c.out, file)
		return err
	}
	_, err = io.WriteString(r.c.out, bastion.Visible(file))
	return err
}

// diffPolicy says what a policy would change, in meaning and then in its text.
func (r *runner) diffPolicy(ctx context.Context, text string) error {
	if r.c.json {
		return r.one(ctx, "diff\n"+text)
	}
	w := bufio.NewWriter(r.c.out)
	texts := false
	fmt.Fprintln(w, "In meaning:")
	_, err := r.run(ctx, "diff\n"+text, func(row [][]byte) error {
		kind, who, targets, what := string(row[0]), string(row[1]), string(row[2]), string(row[3])
		if kind == "text" {
			if !texts {
				fmt.Fprintln(w, "\nIn the text:")
			}
			texts = true
			_, err := fmt.Fprintln(w, "  "+bastion.VisibleLine(what))
			return err
		}
		line := kind + ": " + who
		if targets != "" {
			line += " on " + targets
		}
		if who == "" && targets == "" {
			line = kind
		}
		_, err := fmt.Fprintln(w, "  "+bastion.VisibleLine(line+": "+what))
		return err
	})
	if err != nil {
		return err
	}
	if !texts {
		fmt.Fprintln(w, "\nIn the text: nothing")
	}
	return w.Flush()
}

// proposePolicy asks for a policy to come into force, and waits for it.
func (r *runner) proposePolicy(ctx context.Context, text string) error {
	said, err := r.run(ctx, text, func([][]byte) error { return nil })
	if err != nil {
		return err
	}
	if r.c.json {
		return r.c.printJSON(struct {
			Done string `json:"done"`
		}{said})
	}
	r.c.words("%s", said)
	return nil
}
