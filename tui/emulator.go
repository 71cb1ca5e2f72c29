package tui

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hinshun/vt10x"
	"github.com/sallyport/sallyport/bastion"
)

// emulator draws recorded output the way the person's terminal did. What a
// recording holds may be hostile to a terminal: nothing of it is passed on but
// printable characters and colours, sizes are bounded, and a panic of the
// library costs the picture, not the session.
type emulator struct {
	t    vt10x.Terminal
	w, h int
	rest []byte // the beginning of a character that was cut in two
	seq  []byte // the control sequence that is being read
	bare bool   // lines end in a new line alone, as without a terminal
}

// Largest screen that is emulated, in characters.
const (
	maxColumns = 400
	maxLines   = 150
)

// maxSequence is more than any control sequence needs, in bytes.
const maxSequence = 128

func newEmulator(w, h int) *emulator {
	e := &emulator{}
	e.resize(w, h)
	return e
}

// emulatorOf makes the screen on which a recording begins.
func emulatorOf(r bastion.Recording) *emulator {
	e := newEmulator(r.Width, r.Height)
	e.bare = r.Term == ""
	return e
}

func (e *emulator) resize(w, h int) {
	c := bastion.Window{Width: w, Height: h}.Clamp()
	e.w, e.h = min(c.Width, maxColumns), min(c.Height, maxLines)
	defer func() {
		if recover() != nil {
			e.fresh()
		}
	}()
	if e.t == nil {
		e.fresh()
		return
	}
	e.t.Resize(e.w, e.h)
}

func (e *emulator) fresh() {
	e.t, e.rest, e.seq = vt10x.New(vt10x.WithSize(e.w, e.h)), nil, nil
}

// write takes a piece of output.
func (e *emulator) write(p []byte) {
	defer func() {
		if recover() != nil {
			e.fresh()
		}
	}()
	p = e.tame(p)
	if len(e.rest) > 0 {
		p = append(e.rest, p...)
		e.rest = nil
	}
	if n := len(p); n > 0 {
		// Keep a character back that is not complete.
		for i := 1; i <= min(utf8.UTFMax-1, n); i++ {
			if c := p[n-i]; utf8.RuneStart(c) {
				if c >= utf8.RuneSelf && !utf8.FullRune(p[n-i:]) {
					e.rest = append([]byte(nil), p[n-i:]...)
					p = p[:n-i]
				}
				break
			}
		}
	}
	_, _ = e.t.Write(p) // it always takes all
}

// tame returns a copy in which no control sequence is longer than maxSequence,
// and none makes the library count to a number that is greater than any screen.
func (e *emulator) tame(p []byte) []byte {
	out := make([]byte, 0, len(p)+len(e.seq))
	for _, c := range p {
		switch {
		case c == 0x1b:
			e.seq = append(e.seq[:0], c)
		case len(e.seq) == 0:
			if c == '\n' && e.bare {
				out = append(out, '\r') // one too many does no harm
			}
			out = append(out, c)
		case len(e.seq) == 1: // what comes after an escape
			if e.seq = append(e.seq, c); c != '[' {
				out = append(out, e.seq...)
				e.seq = e.seq[:0]
			}
		case c < 0x20 || c == 0x7f: // acts at once, also within a sequence
			out = append(out, c)
		default:
			if len(e.seq) < maxSequence {
				e.seq = append(e.seq, c)
			}
			if c < 0x40 || c > 0x7e {
				continue
			}
			if len(e.seq) < maxSequence {
				out = append(out, small(e.seq)...)
			}
			e.seq = e.seq[:0]
		}
	}
	return out
}

// small shortens the numbers of a control sequence: of those that repeat a tab
// to two digits, of the others to four.
func small(seq []byte) []byte {
	most := 4
	if c := seq[len(seq)-1]; c == 'I' || c == 'Z' {
		most = 2
	}
	digits := 0
	return slices.DeleteFunc(seq, func(c byte) bool {
		if c < '0' || c > '9' {
			digits = 0
			return false
		}
		digits++
		return digits > most
	})
}

// Bits of vt10x.Glyph.Mode, which the library does not export.
const (
	glyphUnderline = 1 << 1
	glyphBold      = 1 << 2
	glyphItalic    = 1 << 4
)

// view draws w columns and h lines of the screen, from a first line on.
func (e *emulator) view(th Theme, w, h, from int) []string {
	e.t.Lock()
	defer e.t.Unlock()
	cols, lines := e.t.Size()
	cursor := e.t.Cursor()
	if !e.t.CursorVisible() {
		cursor.Y = -1
	}
	out := make([]string, 0, h)
	for y := from; y < min(lines, from+h); y++ {
		var b strings.Builder
		style := ""
		for x := range min(cols, w) {
			g := e.t.Cell(x, y)
			if st := e.style(th, g, x == cursor.X && y == cursor.Y); st != style {
				if style != "" {
					b.WriteString("\x1b[m")
				}
				b.WriteString(st)
				style = st
			}
			b.WriteString(shownRune(g.Char))
		}
		if style != "" {
			b.WriteString("\x1b[m")
		}
		out = append(out, b.String())
	}
	return out
}

// shownRune is a character that only shows itself.
func shownRune(r rune) string {
	switch {
	case r == 0:
		return " "
	case r >= 0x20 && r < 0x7f:
		return string(r)
	}
	if s := string(r); r != '\n' && bastion.VisibleLine(s) == s {
		return s
	}
	return "·"
}

func (e *emulator) style(th Theme, g vt10x.Glyph, cursor bool) string {
	if th.Colourless() {
		return ""
	}
	var sgr []string
	if g.Mode&glyphBold != 0 {
		sgr = append(sgr, "1")
	}
	if g.Mode&glyphItalic != 0 {
		sgr = append(sgr, "3")
	}
	if g.Mode&glyphUnderline != 0 {
		sgr = append(sgr, "4")
	}
	// The library swaps the colours of reversed text itself.
	if reversed := g.FG == vt10x.DefaultBG || g.BG == vt10x.DefaultFG; reversed != cursor {
		sgr = append(sgr, "7")
		if reversed {
			g.FG, g.BG = g.BG, g.FG
		}
	}
	sgr = append(sgr, th.sgr(g.FG, 3)...)
	sgr = append(sgr, th.sgr(g.BG, 4)...)
	if len(sgr) == 0 {
		return ""
	}
	return "\x1b[" + strings.Join(sgr, ";") + "m"
}

// sgr spells a colour of a recording for this terminal: kind 3 is foreground,
// 4 background.
func (t Theme) sgr(c vt10x.Color, kind int) []string {
	switch {
	case c >= vt10x.DefaultFG:
		return nil
	case c < 8:
		return []string{fmt.Sprintf("%d%d", kind, c)}
	case c < 16:
		return []string{fmt.Sprint(kind*10 + 60 + int(c) - 8)}
	case c >= 256: // true colour: the nearest of the 216
		r, g, b := int(c>>16&255), int(c>>8&255), int(c&255)
		c = vt10x.Color(16 + 36*((r+25)/51) + 6*((g+25)/51) + (b+25)/51)
	}
	if t.sixteen {
		return nil
	}
	return []string{fmt.Sprintf("%d8;5;%d", kind, c)}
}
