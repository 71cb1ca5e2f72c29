package tui

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/sallyport/sallyport/bastion"
)

// Bounds of what a console keeps of answers.
const (
	pageRows   = 500       // rows that are read ahead
	pageBytes  = 4 << 20   // bytes of them together
	sheetRows  = 5_000     // rows that one result keeps
	sheetBytes = 8 << 20   // bytes of them together
	cellBytes  = 256 << 10 // bytes of one cell
	oldRows    = 10        // rows that a result keeps when a newer one comes
	oldBytes   = 8 << 10   // bytes of them together
	oldCell    = 120       // bytes of one cell of them
	widest     = 200       // columns of the screen that a cell may measure
)

// sheet is the table of one answer: the rows that are kept, and where the person
// is among them.
type sheet struct {
	columns []bastion.Column
	heads   []string
	widths  []int // of the widest cell so far, at most widest
	rows    [][][]byte
	bytes   int
	before  int64 // rows that came before those that are kept, and went
	after   int64 // rows that came after them, and were only counted
	cut     bool  // some cell was too long to be kept whole
	none    int   // width of what stands for NULL

	at, top int // the row under the cursor, and the first one shown
	left    int // the first column shown
	line    int // in the expanded view, the first line shown of the row at
}

func newSheet(th Theme, columns []bastion.Column) *sheet {
	s := &sheet{columns: columns, heads: make([]string, len(columns)), widths: make([]int, len(columns)), none: textWidth(null(th))}
	for i, c := range columns {
		s.heads[i] = clean(c.Name)
		if c.Masked() {
			s.heads[i] += " " + maskMark(th)
		}
		s.widths[i] = min(textWidth(s.heads[i]), widest)
	}
	return s
}

// maskMark marks the head of a masked column. Terminals without colour are often
// those without the better character.
func maskMark(th Theme) string {
	if th.Colourless() {
		return "*"
	}
	return "⊘"
}

// null stands for NULL. With colour it is set apart from the text NULL by its
// style, without colour by its spelling.
func null(th Theme) string {
	if th.Colourless() {
		return "<null>"
	}
	return "NULL"
}

// rowBytes is what a row weighs in memory.
func rowBytes(row [][]byte) int {
	n := 24
	for _, v := range row {
		n += len(v) + 24
	}
	return n
}

// add keeps a row. The oldest ones go when there are too many.
func (s *sheet) add(row [][]byte) {
	for i, v := range row {
		if i < len(s.widths) {
			s.widths[i] = max(s.widths[i], s.cellWidth(v))
		}
		s.cut = s.cut || len(v) >= cellBytes
	}
	s.rows = append(s.rows, row)
	s.bytes += rowBytes(row)
	n := 0
	for ; len(s.rows)-n > sheetRows || s.bytes > sheetBytes && len(s.rows)-n > 1; n++ {
		s.bytes -= rowBytes(s.rows[n])
		s.rows[n] = nil
	}
	if n > 0 {
		s.rows = s.rows[n:]
		s.before += int64(n)
		s.at, s.top = max(0, s.at-n), max(0, s.top-n)
	}
}

// total is the number of rows that came.
func (s *sheet) total() int64 { return s.before + int64(len(s.rows)) + s.after }

// shrink keeps the beginning of what is left, for the scrollback.
func (s *sheet) shrink() {
	var kept [][][]byte
	size := 0
	for _, row := range s.rows[:min(len(s.rows), oldRows)] {
		small := make([][]byte, len(row))
		for i, v := range row {
			if v != nil {
				small[i] = append([]byte{}, head(v, oldCell)...)
			}
		}
		if size += rowBytes(small); size > oldBytes && len(kept) > 0 {
			break
		}
		kept = append(kept, small)
	}
	s.after += int64(len(s.rows) - len(kept))
	s.rows, s.bytes = kept, size
	s.at, s.top, s.left, s.line = 0, 0, 0, 0
}

// head is the first n bytes, less a character that they would break.
func head(v []byte, n int) []byte {
	if len(v) <= n {
		return v
	}
	for n > 0 && !utf8.RuneStart(v[n]) {
		n--
	}
	return v[:n]
}

func textWidth(s string) int {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return ansi.StringWidth(s)
		}
	}
	return len(s)
}

// cellText is a value in one line, as far as any screen can show it.
func cellText(v []byte) string {
	text := clean(string(head(v, 4*widest)))
	if len(v) > 4*widest {
		text += "…"
	}
	return text
}

func (s *sheet) cellWidth(v []byte) int {
	if v == nil {
		return s.none
	}
	return min(textWidth(cellText(v)), widest)
}

// cell is a value, padded or cut to a width, and the style that it has.
func (s *sheet) cell(th Theme, col int, v []byte, w int) (string, lipgloss.Style) {
	text, st := cellText(v), th.Plain
	switch {
	case v == nil:
		text, st = null(th), th.Null
	case s.columns[col].Masked():
		st = th.Masked
	}
	if s.columns[col].Numeric {
		return padLeft(text, w), st
	}
	return pad(text, w), st
}

// fitted is a column on the screen.
type fitted struct{ col, width int }

// fits chooses the columns from the first shown one on that have room in w.
func (s *sheet) fits(w int) (cols []fitted, all bool) {
	limit, used := s.limit(w), 0
	for i := min(s.left, max(0, len(s.columns)-1)); i < len(s.columns); i++ {
		n := min(s.want(i), limit)
		sep := 3
		if len(cols) == 0 {
			sep = 0
		}
		room := w - 2 - used - sep
		if n > room {
			if len(cols) == 0 || room >= 8 {
				cols = append(cols, fitted{i, max(1, room)})
			}
			return cols, false
		}
		cols = append(cols, fitted{i, n})
		used += n + sep
	}
	return cols, len(cols) == len(s.columns)
}

func (s *sheet) want(i int) int { return max(1, s.widths[i]) }

// limit is the greatest width of a column on a screen of w.
func (s *sheet) limit(w int) int {
	if len(s.columns) > 1 && s.wide(w) {
		return max(12, min(40, w/2))
	}
	return w
}

// wide reports whether the table is wider than w.
func (s *sheet) wide(w int) bool {
	n := 2
	for i := range s.columns {
		n += s.want(i) + 3
	}
	return n-3 > w
}

// page is the range of rows to show on n lines.
func (s *sheet) page(n int) (from, to int) {
	l := list{at: s.at, top: s.top}
	return l.page(len(s.rows), n)
}

// table draws head and rows in at most h lines. With focus the row under the
// cursor is marked.
func (s *sheet) table(th Theme, w, h int, focus bool) []string {
	cols, _ := s.fits(w)
	sep := th.Muted.Render(" │ ")
	var heads, rules []string
	for _, f := range cols {
		name := s.heads[f.col]
		if s.columns[f.col].Numeric {
			name = padLeft(name, f.width)
		} else {
			name = pad(name, f.width)
		}
		st := th.Strong
		if s.columns[f.col].Masked() {
			st = th.Masked.Bold(!th.Colourless())
		}
		heads = append(heads, st.Render(name))
		rules = append(rules, strings.Repeat("─", f.width))
	}
	out := []string{" " + strings.Join(heads, sep), th.Muted.Render("─" + strings.Join(rules, "─┼─") + "─")}
	from, to := s.page(max(1, h-len(out)))
	if !focus {
		from, to = s.top, min(len(s.rows), s.top+max(1, h-len(out)))
	}
	for i := from; i < to; i++ {
		on := focus && i == s.at
		var cells []string
		for _, f := range cols {
			text, st := s.cell(th, f.col, s.rows[i][f.col], f.width)
			if !on {
				text = st.Render(text)
			}
			cells = append(cells, text)
		}
		if on {
			out = append(out, th.Selected.Render(pad("›"+strings.Join(cells, " │ "), w)))
			continue
		}
		out = append(out, " "+strings.Join(cells, sep))
	}
	return out
}

// rowLines draws one row with a line or more for each value.
func (s *sheet) rowLines(th Theme, i, w int) []string {
	name := 0
	for _, h := range s.heads {
		name = max(name, textWidth(h))
	}
	name = min(name, max(6, w/3))
	title := "─ row " + group(s.before+int64(i)+1) + " "
	out := []string{th.Heading.Render(title) + th.Muted.Render(strings.Repeat("─", max(0, w-textWidth(title))))}
	for c, v := range s.rows[i] {
		head, st := th.Strong, th.Plain
		var lines []string
		switch {
		case v == nil:
			lines, st = []string{null(th)}, th.Null
		default:
			lines = wrap(string(v), max(1, w-name-4))
			if len(v) >= cellBytes {
				lines = append(lines, "… cut after "+strconv.Itoa(cellBytes>>10)+" KiB")
			}
		}
		if s.columns[c].Masked() {
			head = th.Masked.Bold(!th.Colourless())
			if v != nil {
				st = th.Masked
			}
		}
		for n, l := range lines {
			h := strings.Repeat(" ", name)
			if n == 0 {
				h = head.Render(pad(s.heads[c], name))
			}
			out = append(out, " "+h+th.Muted.Render(" │ ")+st.Render(l))
		}
	}
	return out
}

// records draws rows from the one under the cursor on, expanded, in at most h lines.
func (s *sheet) records(th Theme, w, h int) []string {
	var out []string
	skip := s.line
	for i := s.at; i < len(s.rows) && len(out) < h; i++ {
		lines := s.rowLines(th, i, w)
		if skip > 0 {
			lines = lines[min(skip, len(lines)-1):]
			skip = 0
		}
		out = append(out, lines...)
	}
	return out[:min(len(out), h)]
}

// scroll moves the expanded view by lines.
func (s *sheet) scroll(th Theme, by, w int) {
	for ; by > 0; by-- {
		if len(s.rows) == 0 {
			return
		}
		if s.line+1 < len(s.rowLines(th, s.at, w)) {
			s.line++
		} else if s.at+1 < len(s.rows) {
			s.at++
			s.line = 0
		}
	}
	for ; by < 0; by++ {
		if s.line > 0 {
			s.line--
		} else if s.at > 0 {
			s.at--
			s.line = len(s.rowLines(th, s.at, w)) - 1
		}
	}
}

// move moves the cursor by rows. It reports whether the cursor was asked to go
// beyond the last row.
func (s *sheet) move(by, page int) bool {
	beyond := s.at+by > len(s.rows)-1
	s.at = max(0, min(s.at+by, len(s.rows)-1))
	s.top, _ = s.page(page)
	return beyond
}

// side moves the columns.
func (s *sheet) side(by, w int) {
	cols, _ := s.fits(w)
	if last := len(s.columns) - 1; by > 0 && len(cols) > 0 {
		if f := cols[len(cols)-1]; f.col == last && f.width >= min(s.want(last), s.limit(w)) {
			return // the last column is there, as wide as it gets
		}
	}
	s.left = max(0, min(s.left+by, len(s.columns)-1))
}

// masked says which columns are hidden, and how.
func (s *sheet) masked() string {
	var out []string
	for _, c := range s.columns {
		if c.Masked() {
			out = append(out, clean(c.Name)+" ("+c.Mask.String()+")")
		}
	}
	return strings.Join(out, ", ")
}

// place says which rows and columns of the answer are on n lines of w columns.
// reach says how much of the answer came.
func (s *sheet) place(w, n int, focus bool, r reach) string {
	from, to := s.page(n)
	if !focus {
		from, to = s.top, min(len(s.rows), s.top+n)
	}
	var out []string
	total := s.total()
	switch {
	case total == 0 && r != reachRunning:
		out = append(out, "no rows")
	case from == 0 && int64(to) == total && r == reachAll:
		out = append(out, countRows(total))
	default:
		span := "rows " + group(s.before+int64(from)+1) + "–" + group(s.before+int64(to))
		switch to - from {
		case 0:
			span = countRows(0)
		case 1:
			span = "row " + group(s.before+int64(to))
		}
		switch r {
		case reachAll:
			span += " of " + group(total)
		case reachMore:
			span += " of the first " + group(total) + ", more to read"
		case reachStopped:
			span += " of the first " + group(total) + ", stopped there"
		case reachRunning:
			span += " of " + group(total) + " so far"
		}
		out = append(out, span)
	}
	switch {
	case s.before > 0:
		out = append(out, "kept from "+group(s.before+1))
	case s.after > 0:
		out = append(out, "first "+group(int64(len(s.rows)))+" kept")
	}
	if cols, all := s.fits(w); !all && len(cols) > 0 {
		a, b := cols[0].col+1, cols[len(cols)-1].col+1
		if a == b {
			out = append(out, "column "+itoa(a)+" of "+itoa(len(s.columns)))
		} else {
			out = append(out, "columns "+itoa(a)+"–"+itoa(b)+" of "+itoa(len(s.columns)))
		}
	}
	return strings.Join(out, " · ")
}

// reach is how much of an answer came.
type reach uint8

// The reaches.
const (
	reachRunning reach = iota // more is coming
	reachMore                 // more waits on the target
	reachStopped              // the rest was cancelled
	reachAll
)

func countRows(n int64) string {
	switch n {
	case 0:
		return "no rows"
	case 1:
		return "1 row"
	}
	return group(n) + " rows"
}

// group writes a number with its thousands set apart.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
