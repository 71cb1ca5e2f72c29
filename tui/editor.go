package tui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/sallyport/sallyport/bastion"
)

// editor holds a text of several lines, at most [bastion.MaxText] bytes long,
// and a cursor. What the text holds stays exactly as it was typed; only the view
// makes invisible characters visible.
type editor struct {
	lines    [][]rune // at least one
	row, col int      // the cursor, before the character there
	bytes    int      // length of the text
	want     int      // the column that up and down go back to
	killed   []rune   // what was cut last, for ctrl+y
}

func newEditor() editor { return editor{lines: [][]rune{nil}} }

// String is the text.
func (e *editor) String() string { return joinLines(e.lines) }

// empty reports whether there is no text at all.
func (e *editor) empty() bool { return e.bytes == 0 }

// set replaces the text and puts the cursor at its end.
func (e *editor) set(s string) {
	killed := e.killed
	*e = newEditor()
	e.killed = killed
	e.insert(s)
}

// insert puts a text at the cursor. It reports false, and changes nothing, if the
// whole would be too long.
func (e *editor) insert(s string) bool {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if e.bytes+len(s) > bastion.MaxText {
		return false
	}
	e.bytes += len(s)
	line := e.lines[e.row]
	tail := append([]rune(nil), line[e.col:]...)
	first, rest, more := strings.Cut(s, "\n")
	e.lines[e.row] = append(line[:e.col:e.col], []rune(first)...)
	if !more {
		e.col = len(e.lines[e.row])
		e.lines[e.row] = append(e.lines[e.row], tail...)
		e.want = e.col
		return true
	}
	var added [][]rune
	for l := range strings.SplitSeq(rest, "\n") {
		added = append(added, []rune(l))
	}
	below := e.lines[e.row+1:]
	lines := make([][]rune, 0, len(e.lines)+len(added))
	lines = append(append(append(lines, e.lines[:e.row+1]...), added...), below...)
	e.row += len(added)
	e.col = len(lines[e.row])
	lines[e.row] = append(lines[e.row], tail...)
	e.lines, e.want = lines, e.col
	return true
}

// paste inserts a text from a clipboard: line ends become new lines, and those at
// the very end go, so that the cursor stays where the text ends.
func (e *editor) paste(s string) bool {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
	return e.insert(strings.TrimRight(s, "\n"))
}

// offset is the cursor's place in the text, in bytes.
func (e *editor) offset() int {
	n := 0
	for _, l := range e.lines[:e.row] {
		n += runesLen(l) + 1
	}
	return n + runesLen(e.lines[e.row][:e.col])
}

// replace puts a text in the place of the last n bytes before the cursor, which
// are all in its line.
func (e *editor) replace(n int, s string) bool {
	from := e.col
	for n > 0 && from > 0 {
		from--
		n -= utf8.RuneLen(e.lines[e.row][from])
	}
	old, at := e.lines[e.row], e.col
	e.cutLine(from, at)
	if !e.insert(s) {
		e.lines[e.row], e.col = old, at
		e.bytes += runesLen(old[from:at])
		return false
	}
	return true
}

// cutLine takes the characters from one column up to another out of the line.
func (e *editor) cutLine(from, to int) []rune {
	line := e.lines[e.row]
	out := append([]rune(nil), line[from:to]...)
	e.lines[e.row] = append(line[:from:from], line[to:]...)
	e.bytes -= runesLen(out)
	e.col, e.want = from, from
	return out
}

// join appends the next line to the cursor's.
func (e *editor) join() {
	e.lines[e.row] = append(e.lines[e.row][:len(e.lines[e.row]):len(e.lines[e.row])], e.lines[e.row+1]...)
	e.lines = append(e.lines[:e.row+1], e.lines[e.row+2:]...)
	e.bytes--
}

// first and last report whether the cursor is in the first or the last line.
func (e *editor) first() bool { return e.row == 0 }
func (e *editor) last() bool  { return e.row == len(e.lines)-1 }

// key takes a key that edits or moves. It reports false for keys that mean
// something else. A text that would grow too long stays as it is.
func (e *editor) key(k tea.KeyMsg) (took, fits bool) {
	switch k.Type {
	case tea.KeyRunes, tea.KeySpace:
		switch {
		case k.Paste:
			return true, e.paste(string(k.Runes))
		case k.Alt:
			return e.alt(k.Runes), true
		}
		return true, e.insert(string(k.Runes))
	case tea.KeyCtrlJ:
		return true, e.insert("\n")
	case tea.KeyEnter:
		if !k.Alt {
			return false, true
		}
		return true, e.insert("\n")
	case tea.KeyBackspace:
		if k.Alt {
			e.killed = e.cutLine(e.wordBefore(), e.col)
			break
		}
		e.backspace()
	case tea.KeyDelete, tea.KeyCtrlD:
		e.delete()
	case tea.KeyCtrlW:
		from := e.col
		for from > 0 && unicode.IsSpace(e.lines[e.row][from-1]) {
			from--
		}
		for from > 0 && !unicode.IsSpace(e.lines[e.row][from-1]) {
			from--
		}
		e.killed = e.cutLine(from, e.col)
	case tea.KeyCtrlU:
		e.killed = e.cutLine(0, e.col)
	case tea.KeyCtrlK:
		if e.col == len(e.lines[e.row]) {
			e.delete()
			break
		}
		e.killed = e.cutLine(e.col, len(e.lines[e.row]))
	case tea.KeyCtrlY:
		return true, e.insert(string(e.killed))
	default:
		return e.move(k), true
	}
	return true, true
}

// alt takes letters typed with Alt.
func (e *editor) alt(letters []rune) bool {
	switch string(letters) {
	case "b":
		e.col = e.wordBefore()
	case "f":
		e.col = e.wordAfter()
	case "d":
		e.killed = e.cutLine(e.col, e.wordAfter())
	default:
		return false
	}
	e.want = e.col
	return true
}

// move takes a key that moves the cursor and changes nothing.
func (e *editor) move(k tea.KeyMsg) bool {
	switch k.Type {
	case tea.KeyUp:
		if e.row > 0 {
			e.row--
			e.col = min(e.want, len(e.lines[e.row]))
		}
		return true
	case tea.KeyDown:
		if !e.last() {
			e.row++
			e.col = min(e.want, len(e.lines[e.row]))
		}
		return true
	case tea.KeyLeft, tea.KeyCtrlB:
		switch {
		case k.Alt:
			e.col = e.wordBefore()
		case e.col > 0:
			e.col--
		case e.row > 0:
			e.row--
			e.col = len(e.lines[e.row])
		}
	case tea.KeyRight, tea.KeyCtrlF:
		switch {
		case k.Alt:
			e.col = e.wordAfter()
		case e.col < len(e.lines[e.row]):
			e.col++
		case !e.last():
			e.row++
			e.col = 0
		}
	case tea.KeyCtrlLeft:
		e.col = e.wordBefore()
	case tea.KeyCtrlRight:
		e.col = e.wordAfter()
	case tea.KeyHome, tea.KeyCtrlA:
		e.col = 0
	case tea.KeyEnd, tea.KeyCtrlE:
		e.col = len(e.lines[e.row])
	case tea.KeyCtrlHome:
		e.row, e.col = 0, 0
	case tea.KeyCtrlEnd:
		e.row = len(e.lines) - 1
		e.col = len(e.lines[e.row])
	default:
		return false
	}
	e.want = e.col
	return true
}

func (e *editor) backspace() {
	switch {
	case e.col > 0:
		e.cutLine(e.col-1, e.col)
	case e.row > 0:
		e.row--
		e.col = len(e.lines[e.row])
		e.join()
	}
	e.want = e.col
}

func (e *editor) delete() {
	switch {
	case e.col < len(e.lines[e.row]):
		e.cutLine(e.col, e.col+1)
	case !e.last():
		e.join()
	}
}

func wordy(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// wordBefore is the column where the word before the cursor begins.
func (e *editor) wordBefore() int {
	line, i := e.lines[e.row], e.col
	for i > 0 && !wordy(line[i-1]) {
		i--
	}
	for i > 0 && wordy(line[i-1]) {
		i--
	}
	return i
}

// wordAfter is the column where the word after the cursor ends.
func (e *editor) wordAfter() int {
	line, i := e.lines[e.row], e.col
	for i < len(line) && !wordy(line[i]) {
		i++
	}
	for i < len(line) && wordy(line[i]) {
		i++
	}
	return i
}

func runesLen(rs []rune) int {
	n := 0
	for _, r := range rs {
		n += utf8.RuneLen(r)
	}
	return n
}

// glyph is how one character is shown, and how wide that is.
func glyph(r rune) (string, int) {
	if r >= ' ' && r < 0x7f {
		return string(r), 1
	}
	s := bastion.VisibleLine(string(r))
	return s, ansi.StringWidth(s)
}

// span is a piece of a line that fills one line of the screen.
type span struct {
	row      int
	from, to int
	begin    bool // of the line
}

// spans breaks the text from one line up to another into lines of the screen.
// The cursor's line leaves room for the cursor at its end. Of a very long line
// only what is near the cursor is broken, and of others only their beginning.
func (e *editor) spans(first, last, w int) (out []span, cursor int) {
	const far = 4096
	for row := first; row < last; row++ {
		line, from, to := e.lines[row], 0, min(len(e.lines[row]), far)
		if row == e.row {
			from, to = max(0, e.col-far), min(len(e.lines[row]), e.col+far)
		}
		s := span{row: row, from: from, begin: from == 0}
		width := 0
		for i := from; i < to; i++ {
			_, n := glyph(line[i])
			if width+n > w && i > s.from {
				s.to = i
				out = append(out, s)
				s, width = span{row: row, from: i}, 0
			}
			if row == e.row && i == e.col {
				cursor = len(out)
			}
			width += n
		}
		s.to = to
		if row == e.row && e.col == to {
			if width+1 > w && s.to > s.from {
				out = append(out, s)
				s = span{row: row, from: to, to: to}
			}
			cursor = len(out)
		}
		out = append(out, s)
	}
	return out, cursor
}

// view draws the part of the text around the cursor in at most h lines of w
// columns, each after a prompt. Without focus there is no cursor. at is the
// cursor's column on the screen, and line its line.
func (e *editor) view(th Theme, first, more string, w, h int, focus bool) (lines []string, line, at int) {
	margin := ansi.StringWidth(first)
	room := max(1, w-margin)
	if th.Colourless() {
		room = max(1, room-1) // the cursor's shape takes one
	}
	lo, hi := max(0, e.row-h), min(len(e.lines), e.row+h+1)
	spans, cursor := e.spans(lo, hi, room)
	top := max(0, min(cursor-h/2, len(spans)-h))
	shown := spans[top:min(len(spans), top+h)]
	kinds := lexLines(e.lines, lo, hi, e.bytes)
	for _, s := range shown {
		prompt := strings.Repeat(" ", margin)
		switch {
		case s.row == 0 && s.begin:
			prompt = first
		case s.begin:
			prompt = more
		}
		var of []lexeme
		if kinds != nil {
			of = kinds[s.row-lo]
		}
		col := -1
		if s.row == e.row && len(lines)+top == cursor {
			line, col = len(lines), e.col
		}
		text, x := e.draw(th, s, of, col, focus)
		if col >= 0 {
			at = margin + x
		}
		lines = append(lines, prompt+text)
	}
	return lines, line, at
}

// draw draws one line of the screen, with the cursor at a column of the text
// unless that is negative. x is where the cursor is on the screen.
func (e *editor) draw(th Theme, s span, kinds []lexeme, col int, focus bool) (text string, x int) {
	var b strings.Builder
	var piece strings.Builder
	kind := lexSpace
	flush := func() {
		if piece.Len() > 0 {
			b.WriteString(kind.style(th).Render(piece.String()))
			piece.Reset()
		}
	}
	width := 0
	for i := s.from; i < s.to; i++ {
		k := lexName
		if i < len(kinds) {
			k = kinds[i]
		}
		if k != kind {
			flush()
			kind = k
		}
		g, n := glyph(e.lines[s.row][i])
		if i == col {
			x = width
			if focus {
				flush()
				b.WriteString(cursor(th, g))
				width += n
				continue
			}
		}
		piece.WriteString(g)
		width += n
	}
	flush()
	if col >= s.to && col >= 0 {
		x = width
		if focus {
			b.WriteString(cursor(th, ""))
		}
	}
	return b.String(), x
}

// cursor draws the cursor over a character, or at the end of the text if that is
// empty. Without colour it needs a shape and stands before the character.
func cursor(th Theme, over string) string {
	switch {
	case th.Colourless() && over == "":
		return "_"
	case th.Colourless():
		return "▏" + over
	case over == "":
		over = " "
	}
	return th.Cursor.Render(over)
}

// paint gives a text of several lines its colours.
func paint(th Theme, text string) []string {
	var b strings.Builder
	for _, t := range lex(text) {
		for i, l := range strings.Split(bastion.Visible(t.text), "\n") {
			if i > 0 {
				b.WriteByte('\n')
			}
			if l != "" {
				b.WriteString(t.kind.style(th).Render(l))
			}
		}
	}
	return strings.Split(b.String(), "\n")
}
