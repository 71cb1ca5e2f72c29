package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/sallyport/sallyport/bastion"
)

// errNotYet ends a command whose approval did not come in the time it would wait.
var errNotYet = errors.New("not approved yet; the request stays open: run the same command again once it is approved")

func sql(ctx context.Context, c *call) error {
	var reason, wait string
	var asCSV bool
	set := map[string]*string{"reason": &reason, "wait": &wait}
	switches := map[string]*bool{"json": &c.json, "csv": &asCSV}
	if err := c.flags(set, switches); err != nil {
		return err
	}
	target, err := c.target(ctx, &reason)
	if err != nil {
		return err
	}
	if err := c.flags(set, switches); err != nil {
		return err
	}
	if c.json && asCSV {
		return usagef("choose --json or --csv")
	}
	r := &runner{c: c, target: target, reason: reason}
	if wait != "" {
		if r.wait, err = time.ParseDuration(wait); err != nil || r.wait < 0 {
			return usagef("--wait wants a duration such as 10m, not %q", bastion.VisibleLine(wait))
		}
		r.waits = true
	}
	switch {
	case c.json:
		r.format = formatJSON
	case asCSV:
		r.format = formatCSV
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	if text := unquote(strings.TrimSpace(c.line)); text != "" {
		return r.text(ctx, text)
	}
	if c.o.PTY {
		return usagef("give the SQL after the target, or pipe it in without -t")
	}
	return r.all(ctx, c.in)
}

// target takes the target's name. Words of an unquoted reason may stand before
// it, since the shell took their quotes away.
func (c *call) target(ctx context.Context, reason *string) (string, error) {
	ts, err := c.s.Targets(ctx)
	if err != nil {
		return "", err
	}
	known := func(w string) bool {
		return slices.ContainsFunc(ts, func(t bastion.TargetView) bool { return t.Name == w })
	}
	first := c.word()
	if first == "" {
		return "", usagef("which target? you may use: %s", targetNames(ts))
	}
	w := first
	for !known(w) && *reason != "" && w != "" {
		*reason += " " + w
		w = c.word()
	}
	if !known(w) {
		return "", fmt.Errorf("target %q: %w; you may use: %s", bastion.VisibleLine(first), bastion.ErrNotFound, targetNames(ts))
	}
	return w, nil
}

func targetNames(ts []bastion.TargetView) string {
	var names []string
	for _, t := range ts {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// unquote takes off quotes around a whole text, left by one quoting too many: no
// statement begins with a quote.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] && strings.Count(s, s[:1]) == 2 {
		return s[1 : len(s)-1]
	}
	return s
}

type format int

const (
	formatTable format = iota
	formatJSON
	formatCSV
)

// runner runs statements on one target and prints their answers.
type runner struct {
	c      *call
	target string
	reason string
	waits  bool
	wait   time.Duration
	format format
}

func (r *runner) open(ctx context.Context) error {
	return r.limited(ctx, func(ctx context.Context, job bastion.Job) error {
		job.Show = func(bastion.Frame) error { return nil }
		return r.c.s.Open(ctx, r.target, job)
	})
}

// text runs the statements of one text.
func (r *runner) text(ctx context.Context, text string) error {
	statements, rest, err := r.c.s.Split(r.target, text)
	if err != nil {
		return err
	}
	if strings.TrimSpace(rest) != "" {
		statements = append(statements, rest)
	}
	if len(statements) == 0 {
		return usagef("there is no SQL to run")
	}
	return r.batch(ctx, statements)
}

// batch runs statements in order, until one fails.
func (r *runner) batch(ctx context.Context, statements []string) error {
	if err := r.refused(ctx, statements); err != nil {
		return err
	}
	for _, statement := range statements {
		if err := r.one(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// all runs every statement that it reads, in order, until one fails.
func (r *runner) all(ctx context.Context, in io.Reader) error {
	var text strings.Builder
	ran := false
	src := bufio.NewReaderSize(in, 64<<10)
	buf := make([]byte, 64<<10)
	for {
		n, rerr := src.Read(buf)
		text.Write(buf[:n])
		ended := errors.Is(rerr, io.EOF)
		if rerr != nil && !ended {
			return fmt.Errorf("reading standard input: %w", rerr)
		}
		if n == 0 && !ended {
			continue
		}
		statements, rest, err := r.c.s.Split(r.target, text.String())
		if err != nil {
			return err
		}
		if ended && strings.TrimSpace(rest) != "" {
			statements, rest = append(statements, rest), ""
		}
		ran = ran || len(statements) > 0
		if err := r.batch(ctx, statements); err != nil {
			return err
		}
		if len(rest) > bastion.MaxText {
			return usagef("a statement has more than %d bytes; split it", bastion.MaxText)
		}
		text.Reset()
		text.WriteString(rest)
		if ended {
			break
		}
	}
	if !ran {
		return usagef("there is no SQL to run")
	}
	return nil
}

// refused refuses several statements where policy denies one of them, before the
// first has run. What cannot be read yet, perhaps because a statement before it
// makes what it names, is left for its turn.
func (r *runner) refused(ctx context.Context, statements []string) error {
	if len(statements) < 2 {
		return nil
	}
	for _, statement := range statements {
		if strings.HasPrefix(strings.TrimSpace(statement), `\`) {
			continue
		}
		op, err := r.c.s.Parse(ctx, r.target, statement)
		if err != nil {
			continue
		}
		d, err := r.c.s.Decide(ctx, op)
		if err != nil {
			return err
		}
		if d.Effect == bastion.Deny {
			// Run refuses it, and records that it did.
			return r.c.s.Run(ctx, op, bastion.Job{Show: func(bastion.Frame) error { return nil }})
		}
	}
	return nil
}

// one runs one statement, or one of the console's own commands such as \dt.
func (r *runner) one(ctx context.Context, statement string) error {
	if line := strings.TrimSpace(statement); strings.HasPrefix(line, `\`) {
		text, ok, err := r.c.s.Command(r.target, strings.TrimSuffix(line, ";"))
		if err != nil {
			return err
		}
		if !ok {
			return usagef("unknown command %s; \\d \\dt \\dn \\l work here", bastion.VisibleLine(line))
		}
		statement = text
	}
	if err := r.open(ctx); err != nil { // nothing, unless the connection was lost since
		return err
	}
	op, err := r.c.s.Parse(ctx, r.target, statement)
	if err != nil {
		return err
	}
	p := r.printer()
	err = r.limited(ctx, func(ctx context.Context, job bastion.Job) error {
		job.Show = p.frame
		return r.c.s.Run(ctx, op, job)
	})
	return errors.Join(err, p.flush())
}

// limited runs a job with the reason and the patience that the flags gave.
func (r *runner) limited(ctx context.Context, run func(context.Context, bastion.Job) error) error {
	job := bastion.Job{Given: r.reason}
	if r.reason != "" || r.c.ask != nil {
		job.Reason = func(_ context.Context, d bastion.Decision, p bastion.Preview) (string, error) {
			if r.reason != "" {
				return r.reason, nil
			}
			r.c.words("this needs %s (rule %s)%s", d.Needs, d.Rule, estimate(p))
			return r.c.ask("reason: ")
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var timer *time.Timer
	var last bastion.Request
	job.Waiting = func(q bastion.Request) {
		if last.ID == 0 && q.State == bastion.Pending {
			r.c.words("request %d needs %s%s; it waits until %s", q.ID, q.Needs, by(q.Approvers), bastion.Moment(q.Expires, r.c.s.Now()))
			if r.waits {
				timer = time.AfterFunc(r.wait, func() { cancel(errNotYet) })
			}
		} else if q.State != last.State {
			r.c.words("request %d is %s%s", q.ID, q.State, voters(q))
			if timer != nil && q.State == bastion.Approved {
				timer.Stop()
			}
		} else if len(q.Votes) != len(last.Votes) {
			r.c.words("request %d has %d votes%s", q.ID, len(q.Votes), voters(q))
		}
		last = q
	}
	err := run(ctx, job)
	if timer != nil {
		timer.Stop()
	}
	if err != nil && errors.Is(context.Cause(ctx), errNotYet) {
		return errNotYet
	}
	return err
}

func estimate(p bastion.Preview) string {
	if p.Rows < 0 {
		return ""
	}
	return fmt.Sprintf("; the planner expects %d rows", p.Rows)
}

func by(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + " can approve)"
}

func voters(q bastion.Request) string {
	var names []string
	for _, v := range q.Votes {
		names = append(names, fmt.Sprintf("%s by %s", v.Verdict, v.Who.Name))
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// printer writes the frames of one answer as they come.
type printer struct {
	r       *runner
	out     *bufio.Writer
	columns []bastion.Column
	keys    []string
	head    [][]string // the first rows of a table, kept to measure its columns
	widths  []int
	csv     *csv.Writer
}

func (r *runner) printer() *printer {
	w := bufio.NewWriterSize(r.c.out, 32<<10)
	return &printer{r: r, out: w, csv: csv.NewWriter(w)}
}

// measured is how many rows a table looks at before it chooses its widths. Later
// rows that are wider push their line out; they are never cut.
const measured = 200

func (p *printer) frame(f bastion.Frame) error {
	switch f.Kind() {
	case bastion.ColumnsFrame:
		p.columns = f.Columns()
		p.keys = keys(p.columns)
		if p.r.format == formatCSV {
			return p.csv.Write(p.keys)
		}
	case bastion.RowFrame:
		return p.row(f.Row())
	case bastion.TagFrame:
		if err := p.flush(); err != nil {
			return err
		}
		p.said(f)
	case bastion.NoticeFrame:
		p.r.c.words("notice: %s", f.Text())
	}
	return nil
}

// said tells the outcome in words.
func (p *printer) said(f bastion.Frame) {
	what := f.Text()
	if p.columns != nil && p.r.format == formatTable {
		what = fmt.Sprintf("(%d rows)", f.Affected())
		if f.Affected() == 1 {
			what = "(1 row)"
		}
	}
	var masked []string
	for _, c := range p.columns {
		if c.Masked() {
			masked = append(masked, c.Name+" ("+c.Mask.String()+")")
		}
	}
	if len(masked) > 0 {
		what += "; masked: " + strings.Join(masked, ", ")
	}
	p.r.c.words("%s", what)
}

// keys makes the column names different from each other, for objects.
func keys(columns []bastion.Column) []string {
	seen := map[string]int{}
	var ks []string
	for _, c := range columns {
		k := c.Name
		for seen[k] > 0 {
			k = fmt.Sprintf("%s_%d", c.Name, seen[c.Name]+1)
			seen[c.Name]++
		}
		seen[k]++
		ks = append(ks, k)
	}
	return ks
}

func (p *printer) row(row [][]byte) error {
	switch p.r.format {
	case formatJSON:
		return p.object(row)
	case formatCSV:
		record := make([]string, len(row))
		for i, v := range row {
			record[i] = string(v)
		}
		return p.csv.Write(record)
	}
	cells := make([]string, len(row))
	for i, v := range row {
		cells[i] = bastion.VisibleLine(string(v))
		if v == nil {
			cells[i] = "NULL"
		}
	}
	if p.widths == nil {
		if p.head = append(p.head, cells); len(p.head) < measured {
			return nil
		}
		return p.begin()
	}
	return p.line(cells)
}

// begin measures what is kept, and prints it.
func (p *printer) begin() error {
	p.widths = make([]int, len(p.columns))
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = bastion.VisibleLine(c.Name)
		if c.Masked() {
			names[i] += " *" // the mark of a masked column
		}
		p.widths[i] = ansi.StringWidth(names[i])
	}
	for _, cells := range p.head {
		for i, cell := range cells {
			p.widths[i] = max(p.widths[i], min(ansi.StringWidth(cell), 60))
		}
	}
	if err := p.line(names); err != nil {
		return err
	}
	rule := make([]string, len(p.widths))
	for i, w := range p.widths {
		rule[i] = strings.Repeat("-", w)
	}
	if _, err := fmt.Fprintln(p.out, strings.Join(rule, "-+-")); err != nil {
		return err
	}
	for _, cells := range p.head {
		if err := p.line(cells); err != nil {
			return err
		}
	}
	p.head = nil
	return nil
}

func (p *printer) line(cells []string) error {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString(" | ")
		}
		pad := strings.Repeat(" ", max(0, p.widths[i]-ansi.StringWidth(cell)))
		if p.columns[i].Numeric {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
	}
	_, err := fmt.Fprintln(p.out, strings.TrimRight(b.String(), " "))
	return err
}

// object writes a row as one line of JSON, in the order of the columns.
func (p *printer) object(row [][]byte) error {
	if err := p.out.WriteByte('{'); err != nil {
		return err
	}
	for i, v := range row {
		if i > 0 {
			p.out.WriteByte(',')
		}
		key, err := json.Marshal(p.keys[i])
		if err != nil {
			return err
		}
		p.out.Write(key)
		p.out.WriteByte(':')
		value, err := jsonValue(p.columns[i], v)
		if err != nil {
			return err
		}
		p.out.Write(value)
	}
	_, err := p.out.WriteString("}\n")
	return err
}

// jsonValue keeps the type of a value that JSON has a type for.
func jsonValue(c bastion.Column, v []byte) ([]byte, error) {
	switch {
	case v == nil:
		return []byte("null"), nil
	case c.Masked():
	case (c.Numeric || c.Type == "json" || c.Type == "jsonb") && json.Valid(v):
		var line bytes.Buffer // a value with new lines in it would break the line
		err := json.Compact(&line, v)
		return line.Bytes(), err
	case c.Type == "boolean" || c.Type == "bool":
		if s := string(v); s == "t" || s == "f" {
			return []byte(map[string]string{"t": "true", "f": "false"}[s]), nil
		}
	}
	return json.Marshal(string(v))
}

func (p *printer) flush() error {
	if p.r.format == formatTable && p.columns != nil && p.widths == nil {
		if err := p.begin(); err != nil {
			return err
		}
	}
	p.csv.Flush()
	return errors.Join(p.csv.Error(), p.out.Flush())
}
