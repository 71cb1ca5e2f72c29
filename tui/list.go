package tui

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"
)

// list is a cursor over n lines, of which a page is on the screen.
type list struct {
	at, top int
}

// key moves the cursor. It reports false for keys that mean something else.
func (l *list) key(k tea.KeyMsg, n, page int) bool {
	switch k.Type {
	case tea.KeyUp:
		l.at--
	case tea.KeyDown:
		l.at++
	case tea.KeyPgUp:
		l.at -= max(1, page)
	case tea.KeyPgDown:
		l.at += max(1, page)
	case tea.KeyHome:
		l.at = 0
	case tea.KeyEnd:
		l.at = n - 1
	default:
		return false
	}
	l.clamp(n, page)
	return true
}

// clamp brings cursor and page back to what exists.
func (l *list) clamp(n, page int) {
	l.at = max(0, min(l.at, n-1))
	l.top, _ = l.page(n, page)
}

// page is the range of lines to show on a page of that size.
func (l *list) page(n, page int) (from, to int) {
	page = max(1, page)
	from = min(l.top, l.at)          // the cursor is not above,
	from = max(from, l.at-page+1)    // nor below,
	from = max(0, min(from, n-page)) // and no room is wasted
	return from, min(n, from+page)
}

// follow keeps the cursor on the line of the same number while lines come and go.
func follow[T any](l *list, before, now []T, page int, number func(T) uint64) {
	if l.at < len(before) {
		on := number(before[l.at])
		if i := slices.IndexFunc(now, func(t T) bool { return number(t) == on }); i >= 0 {
			l.at = i
		}
	}
	l.clamp(len(now), page)
}

// table draws a page of lines below the heads of their columns, of which the last has
// room for at least so much. paint colours the cells of a line that the cursor is not on.
func (l *list) table(th Theme, cols []column, lines [][]string, w, page, least int, paint func(line int, cells []string)) []string {
	share(cols, w, least)
	b := []string{tableHead(th, cols, w)}
	from, to := l.page(len(lines), page)
	for i := from; i < to; i++ {
		if i != l.at {
			paint(i, lines[i])
		}
		b = append(b, tableRow(th, cols, lines[i], w, i == l.at))
	}
	return b
}

// column is one column of a table of lines.
type column struct {
	head  string
	width int // as given, the most that measure allows; 0 leaves the column out
	right bool
}

// measure narrows columns to what their cells need.
func measure(cols []column, table [][]string) {
	for i := range cols {
		if cols[i].width == 0 {
			continue
		}
		need := width(cols[i].head)
		for _, cells := range table {
			need = max(need, width(cells[i]))
		}
		cols[i].width = min(cols[i].width, need)
	}
}

// tableRow lays cells out in columns, two spaces apart, after the mark of the
// cursor. Cells may hold our own styles.
func tableRow(th Theme, cols []column, cells []string, w int, selected bool) string {
	mark := "   "
	if selected {
		mark = " › "
	}
	line, gap := mark, ""
	for i, c := range cols {
		if c.width <= 0 {
			continue
		}
		if line += gap; c.right {
			line += padLeft(cells[i], c.width)
		} else {
			line += pad(cells[i], c.width)
		}
		gap = "  "
	}
	if selected {
		return th.Selected.Render(pad(line, w))
	}
	return cut(line, w)
}

// tableHead is the line of heads.
func tableHead(th Theme, cols []column, w int) string {
	cells := make([]string, len(cols))
	for i, c := range cols {
		cells[i] = c.head
	}
	return th.Heading.Render(cut(tableRow(th, cols, cells, w, false), w))
}

// share gives the last column what the others leave of w, and drops columns
// from the right, the last one excepted, while it would be less than least.
func share(cols []column, w, least int) {
	for {
		used := 3
		for _, c := range cols[:len(cols)-1] {
			if c.width > 0 {
				used += c.width + 2
			}
		}
		last := &cols[len(cols)-1]
		last.width = w - used - 1
		if last.width >= least {
			return
		}
		drop := -1
		for i := len(cols) - 2; i > 0; i-- {
			if cols[i].width > 0 {
				drop = i
				break
			}
		}
		if drop < 0 {
			last.width = max(0, last.width)
			return
		}
		cols[drop].width = 0
	}
}
