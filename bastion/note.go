package bastion

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion/mask"
)

// How much of a native client's session its transcript shows. Events have the
// texts in full, and count all rows.
const (
	notedRows  = 20      // of each answer
	notedText  = 4 << 10 // bytes of a text
	notedCell  = 60      // characters of a value
	notedCells = 32      // columns
)

// note writes what a native client did as text, so that its recording can be
// replayed like a terminal's. A nil note writes nothing.
type note struct {
	write func([]byte) error // into the recording; an error ends the session by itself
	left  int                // rows of this answer that are wanted yet
	more  bool
}

// asked notes an operation that runs.
func (n *note) asked(op Operation, params []string) {
	if n == nil {
		return
	}
	var b strings.Builder
	b.WriteString(op.target.Name)
	b.WriteString("=> ")
	text := op.Recorded()
	if len(text) > notedText {
		text = text[:notedText] + " …"
	}
	b.WriteString(Visible(text))
	for i, p := range params {
		b.WriteString("\n-- $" + strconv.Itoa(i+1) + " = " + clip(VisibleLine(p)))
	}
	n.line(&b)
}

func (n *note) header(columns []Column) {
	if n == nil {
		return
	}
	n.left, n.more = notedRows, false
	var b strings.Builder
	for i := range columns[:min(len(columns), notedCells)] {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(clip(VisibleLine(columns[i].Name)))
		if columns[i].Mask != mask.Clear {
			b.WriteString(" (masked)")
		}
	}
	n.line(&b)
}

// wants reports whether rows are to be noted.
func (n *note) wants() bool {
	if n == nil || n.left > 0 {
		return n != nil
	}
	n.more = true
	return false
}

func (n *note) row(columns []Column, row [][]byte) {
	if n == nil {
		return
	}
	if n.left == 0 {
		n.more = true
		return
	}
	n.left--
	var b strings.Builder
	for i, v := range row[:min(len(row), notedCells)] {
		if i > 0 {
			b.WriteString(" | ")
		}
		switch t := columns[i].Typed; {
		case v == nil:
			b.WriteString("NULL")
			continue
		case t != nil && t.Text != nil:
			v = t.Text(v)
		case t != nil:
			v = []byte("…")
		}
		b.WriteString(clip(VisibleLine(string(v[:min(len(v), 8*notedCell)]))))
	}
	n.line(&b)
}

func (n *note) tag(command string, masked []string) {
	if n == nil {
		return
	}
	var b strings.Builder
	if n.more {
		b.WriteString("…\n")
	}
	b.WriteString(command)
	if len(masked) > 0 {
		b.WriteString("  -- masked: " + VisibleLine(strings.Join(masked, ", ")))
	}
	n.left, n.more = 0, false
	n.line(&b)
}

// ended notes how an operation ended that was not simply answered.
func (n *note) ended(err error, took time.Duration) {
	if n == nil || err == nil {
		return
	}
	var b strings.Builder
	b.WriteString("ERROR: " + VisibleLine(err.Error()))
	if took > 0 {
		b.WriteString(" (" + took.Round(time.Microsecond*100).String() + ")")
	}
	n.line(&b)
}

func (n *note) line(b *strings.Builder) {
	b.WriteByte('\n')
	// Whoever writes next hears of a failure, and so does the session.
	_ = n.write([]byte(b.String()))
}

// clip cuts a text that is too long for a line of the transcript.
func clip(s string) string {
	if len(s) <= notedCell {
		return s
	}
	n := 0
	for i := range s {
		if n++; n > notedCell {
			return s[:i] + "…"
		}
	}
	if !utf8.ValidString(s) {
		return ""
	}
	return s
}
