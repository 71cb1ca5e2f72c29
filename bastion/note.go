package bastion

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// A transcript is what a native client did as text, so that its recording can be
// replayed like a terminal's. Several goroutines write it, line by line. What was
// answered is recorded before the client gets any of it, and may wait until then.
type transcript struct {
	write func([]byte) error // into the recording; an error ends the session by itself

	mu  sync.Mutex // guards what follows
	buf []byte     // whole lines that are not recorded yet
}

// most is how much waits at most, in bytes, but for a line.
const most = 4 << 10

// flush records what waits.
func (t *transcript) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.record()
}

// record is flush for who holds mu.
func (t *transcript) record() error {
	if len(t.buf) == 0 {
		return nil
	}
	err := t.write(t.buf)
	if t.buf = t.buf[:0]; cap(t.buf) > 2*most {
		t.buf = nil
	}
	return err
}

// line completes a line, which ends b. now says that nothing else is sure to come.
// The caller holds mu, which is given back.
func (t *transcript) line(b []byte, now bool) {
	t.buf = append(b, '\n')
	if now || len(t.buf) >= most {
		// Whoever writes next hears of a failure, and so does the session.
		_ = t.record()
	}
	t.mu.Unlock()
}

// note writes what became of one operation to the transcript. A nil note writes nothing.
type note struct {
	to   *transcript
	left int // rows of this answer that are wanted yet
	more bool
}

// asked notes an operation that runs.
func (n *note) asked(op Operation, params []string) {
	if n == nil {
		return
	}
	text := op.Recorded()
	cut := len(text) > notedText
	if cut {
		text = text[:notedText]
	}
	n.to.mu.Lock()
	b := append(append(append(n.to.buf, op.target.Name...), "=> "...), Visible(text)...)
	if cut {
		b = append(b, " …"...)
	}
	for i, p := range params {
		b = append(strconv.AppendInt(append(b, "\n-- $"...), int64(i+1), 10), " = "...)
		b = append(b, clip(VisibleLine(p))...)
	}
	n.to.line(b, true)
}

func (n *note) header(columns []Column) {
	if n == nil {
		return
	}
	n.left, n.more = notedRows, false
	n.to.mu.Lock()
	b := n.to.buf
	for i := range columns[:min(len(columns), notedCells)] {
		if i > 0 {
			b = append(b, " | "...)
		}
		b = append(b, clip(VisibleLine(columns[i].Name))...)
		if columns[i].Mask != mask.Clear {
			b = append(b, " (masked)"...)
		}
	}
	n.to.line(b, false)
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
	n.to.mu.Lock()
	b := n.to.buf
	for i, v := range row[:min(len(row), notedCells)] {
		if i > 0 {
			b = append(b, " | "...)
		}
		switch t := columns[i].Typed; {
		case v == nil:
			b = append(b, "NULL"...)
			continue
		case t != nil && t.Text != nil:
			v = t.Text(v)
		case t != nil:
			v = []byte("…")
		}
		b = appendCell(b, v)
	}
	n.to.line(b, false)
}

// appendCell appends a value as far as it is shown.
func appendCell(b, v []byte) []byte {
	if len(v) <= notedCell && !slices.ContainsFunc(v, func(c byte) bool { return c < ' ' || c > '~' }) {
		return append(b, v...) // as most are
	}
	return append(b, clip(VisibleLine(string(v[:min(len(v), 8*notedCell)])))...)
}

func (n *note) tag(command string, masked []string) {
	if n == nil {
		return
	}
	n.to.mu.Lock()
	b := n.to.buf
	if n.more {
		b = append(b, "…\n"...)
	}
	b = append(b, command...)
	if len(masked) > 0 {
		b = append(append(b, "  -- masked: "...), VisibleLine(strings.Join(masked, ", "))...)
	}
	n.left, n.more = 0, false
	n.to.line(b, false)
}

// ended notes how an operation ended that was not simply answered.
func (n *note) ended(err error, took time.Duration) {
	if n == nil || err == nil {
		return
	}
	text := VisibleLine(err.Error())
	if errors.Is(err, context.Canceled) {
		text = "cancelled, or the client went away"
	}
	n.to.mu.Lock()
	b := append(append(n.to.buf, "ERROR: "...), text...)
	if took > 0 {
		b = append(append(append(b, " ("...), took.Round(time.Microsecond*100).String()...), ')')
	}
	n.to.line(b, true)
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
