package policy

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// conn is one session's connection to the policy. It keeps nothing.
type conn struct{ c *Connector }

// Parse implements [bastion.Conn].
func (c *conn) Parse(_ context.Context, text string) (bastion.Intent, error) { return c.c.parse(text) }

// Preview implements [bastion.Conn]: the difference in meaning, and what is odd
// about the new policy.
func (c *conn) Preview(_ context.Context, p *bastion.Permit) (bastion.Preview, error) {
	op, err := p.Use(bastion.ForPreview)
	if err != nil {
		return bastion.Preview{}, err
	}
	preview := bastion.Preview{Rows: -1}
	if op.Intent().Verb != Change {
		return preview, nil
	}
	warnings, err := c.c.charter.Check(op.Text())
	if err != nil {
		return preview, err
	}
	d, err := c.c.charter.Difference(op.Text())
	if err != nil {
		return preview, err
	}
	preview.Note = "against the policy in force: " + d.Summary
	preview.Effect = d.effect(warnings, changed(c.c.charter.Active().Text, op.Text()))
	if d.Note != "" {
		preview.Caveats = []string{d.Note}
	}
	return preview, nil
}

// effect is the difference for people: a line for each change in meaning, and below
// them what changes in the text.
func (d Difference) effect(warnings, text []string) []string {
	var lines []string
	for _, l := range d.Lines {
		lines = append(lines, l.String())
	}
	if len(d.Lines) == 0 {
		lines = append(lines, "nothing: both policies decide the same")
	}
	for _, w := range warnings {
		lines = append(lines, "warning: "+w)
	}
	if len(text) > 0 {
		lines = append(append(lines, "in the text:"), text...)
	}
	return lines
}

// String is the change in one line.
func (l Line) String() string {
	s := l.Kind + ": " + l.Who
	if l.Targets != "" {
		s += " on " + l.Targets
	}
	if l.What != "" {
		s += ": " + l.What
	}
	return s
}

// Do implements [bastion.Conn].
func (c *conn) Do(ctx context.Context, p *bastion.Permit, _ io.Reader, out *bastion.Sink) error {
	op, err := p.Use(bastion.ForDo)
	if err != nil {
		return err
	}
	now, err := c.c.parse(op.Text()) // what was decided upon may be no longer so
	if err != nil {
		return err
	}
	if !op.Means(now) {
		return errOvertaken()
	}
	if op.Intent().Verb == Change {
		return c.change(ctx, op, out)
	}
	name, rest, ok := command(op.Text())
	switch {
	case !ok:
		return bastion.ErrPermit
	case name == "versions":
		return c.versions(ctx, out)
	case name == "diff":
		return c.diff(rest, out)
	}
	return c.show(ctx, rest, out)
}

func (c *conn) change(ctx context.Context, op bastion.Operation, out *bastion.Sink) error {
	active := c.c.charter.Active()
	if settings(active) != op.Intent().Settings {
		return errOvertaken()
	}
	v, err := c.c.charter.Activate(ctx, op.Text(), active.Number, op.Digest())
	if err != nil {
		return err
	}
	return out.Tag(fmt.Sprintf("version %d is in force", v.Number), 0)
}

// errOvertaken refuses what was decided upon another policy.
func errOvertaken() error {
	return &bastion.DeniedError{Rule: "exact-operation", Reason: "another policy came into force while this was on its way, so what would change is not what was approved",
		Next: "look at the difference, and propose it again"}
}

// show gives a version line by line. The last row is empty where the text ends with
// a new line, so that the rows tell the text exactly.
func (c *conn) show(ctx context.Context, number string, out *bastion.Sink) error {
	v := c.c.charter.Active()
	if number != "" {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return err
		}
		vs, err := c.c.charter.Versions(ctx)
		if err != nil {
			return err
		}
		v = Version{}
		for i := range vs {
			if vs[i].Number == n {
				v = vs[i]
			}
		}
		if v.Number == 0 {
			return fmt.Errorf("version %d of the policy: %w", n, bastion.ErrNotFound)
		}
	}
	if err := out.Columns([]bastion.Column{{Name: "policy", Type: "text"}}); err != nil {
		return err
	}
	n := int64(0)
	for line := range strings.SplitSeq(v.Text, "\n") {
		if err := out.Row([][]byte{[]byte(line)}); err != nil {
			return err
		}
		n++
	}
	return out.Tag("show", n)
}

func versionColumns() []string {
	return []string{"version", "in force since", "proposed by", "approved by", "request", "digest"}
}

func (c *conn) versions(ctx context.Context, out *bastion.Sink) error {
	vs, err := c.c.charter.Versions(ctx)
	if err != nil {
		return err
	}
	columns := make([]bastion.Column, 0, 6)
	for i, name := range versionColumns() {
		columns = append(columns, bastion.Column{Name: name, Type: "text", Numeric: i == 0 || i == 4})
	}
	if err := out.Columns(columns); err != nil {
		return err
	}
	for _, v := range vs {
		var request []byte
		if v.Request > 0 {
			request = strconv.AppendUint(nil, v.Request, 10)
		}
		err := out.Row([][]byte{strconv.AppendUint(nil, v.Number, 10), []byte(v.At.UTC().Format(time.RFC3339)), []byte(v.By),
			[]byte(strings.Join(v.Approved, ", ")), request, []byte(v.Digest)})
		if err != nil {
			return err
		}
	}
	return out.Tag("versions", int64(len(vs)))
}

func lineColumns() []string { return []string{"kind", "who", "targets", "what"} }

// diff gives the difference in meaning, and below it, with the kind "text", that
// of the texts line by line.
func (c *conn) diff(text string, out *bastion.Sink) error {
	warnings, err := c.c.charter.Check(text)
	if err != nil {
		return shifted(err)
	}
	d, err := c.c.charter.Difference(text)
	if err != nil {
		return err
	}
	var columns []bastion.Column
	for _, name := range lineColumns() {
		columns = append(columns, bastion.Column{Name: name, Type: "text"})
	}
	if err := out.Columns(columns); err != nil {
		return err
	}
	lines := d.Lines
	if len(lines) == 0 {
		lines = append(lines, Line{Kind: "same", What: "both policies decide the same"})
	}
	if d.Note != "" {
		lines = append(lines, Line{Kind: "note", What: d.Note})
	}
	for _, w := range warnings {
		lines = append(lines, Line{Kind: "warning", What: w})
	}
	for _, l := range changed(c.c.charter.Active().Text, text) {
		lines = append(lines, Line{Kind: "text", What: l})
	}
	for _, l := range lines {
		if err := out.Row([][]byte{[]byte(l.Kind), []byte(l.Who), []byte(l.Targets), []byte(l.What)}); err != nil {
			return err
		}
	}
	return out.Tag("diff", int64(len(lines)))
}

// Names implements [bastion.Conn].
func (c *conn) Names(context.Context) ([]bastion.Name, error) {
	return []bastion.Name{{Kind: "function", Name: "show"}, {Kind: "function", Name: "versions"}}, nil
}

// Command implements [bastion.Conn]: there are no others.
func (c *conn) Command(string) (text string, ok bool, err error) { return "", false, nil }

// Close implements [bastion.Conn].
func (c *conn) Close() error { return nil }

var _ bastion.Connector = (*Connector)(nil)
