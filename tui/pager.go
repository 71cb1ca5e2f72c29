package tui

import (
	tea "github.com/charmbracelet/bubbletea"
)

// pager is how far a text is scrolled of which there is more than the screen has
// room for.
type pager struct{ top int }

// key says by how many lines a key scrolls, and false for keys that mean something
// else. h is the height of the screen.
func (*pager) key(k tea.KeyMsg, h int) (by int, ok bool) {
	page := max(1, h-4)
	switch k.Type {
	case tea.KeyUp:
		return -1, true
	case tea.KeyDown:
		return 1, true
	case tea.KeyPgUp:
		return -page, true
	case tea.KeyPgDown, tea.KeySpace:
		return page, true
	case tea.KeyHome:
		return -1 << 30, true
	case tea.KeyEnd:
		return 1 << 30, true
	}
	return 0, false
}

// scroll moves by so many of n lines, of which a page is on the screen.
func (p *pager) scroll(by, n, page int) { p.top = max(0, min(p.top+by, n-max(1, page))) }

// page is what is on the screen, filled up to its height, and how many lines are below.
func (p *pager) page(lines []string, page int) (shown []string, below int) {
	page = max(1, page)
	top := max(0, min(p.top, len(lines)-page))
	for shown = window(lines, top, page); len(shown) < page; {
		shown = append(shown, "")
	}
	return shown, len(lines) - top - page
}

// window is h lines from a top line on.
func window(lines []string, top, h int) []string {
	top = max(0, min(top, len(lines)-h))
	return lines[top:min(len(lines), top+max(0, h))]
}
