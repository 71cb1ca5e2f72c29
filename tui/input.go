package tui

import (
	"strings"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/sallyport/sallyport/bastion"
)

// input is one line of text that a person types. It shows what is invisible,
// takes a paste as text with its line ends as spaces, and never blinks.
type input struct {
	text  []rune
	at    int // cursor, an index into text
	limit int // greatest number of characters; 0 means 500
}

// String is the text without space around it.
func (in *input) String() string { return strings.TrimSpace(string(in.text)) }

// set replaces the text.
func (in *input) set(s string) { in.text = []rune(s); in.at = len(in.text) }

// key takes a key that edits. It reports false for keys that mean something else.
func (in *input) key(msg tea.KeyMsg) bool {
	switch msg.Type {
	case tea.KeyRunes, tea.KeySpace:
		if msg.Alt {
			return false
		}
		limit := in.limit
		if limit == 0 {
			limit = 500
		}
		for _, r := range msg.Runes {
			if r == '\n' || r == '\r' || r == '\t' {
				r = ' '
			}
			if unicode.IsControl(r) || len(in.text) >= limit {
				continue
			}
			in.text = append(in.text, 0)
			copy(in.text[in.at+1:], in.text[in.at:])
			in.text[in.at] = r
			in.at++
		}
	case tea.KeyBackspace:
		if in.at > 0 {
			in.text = append(in.text[:in.at-1], in.text[in.at:]...)
			in.at--
		}
	case tea.KeyDelete:
		if in.at < len(in.text) {
			in.text = append(in.text[:in.at], in.text[in.at+1:]...)
		}
	case tea.KeyLeft:
		in.at = max(0, in.at-1)
	case tea.KeyRight:
		in.at = min(len(in.text), in.at+1)
	case tea.KeyHome, tea.KeyCtrlA:
		in.at = 0
	case tea.KeyEnd, tea.KeyCtrlE:
		in.at = len(in.text)
	case tea.KeyCtrlU:
		in.text, in.at = in.text[in.at:], 0
	case tea.KeyCtrlK:
		in.text = in.text[:in.at]
	case tea.KeyCtrlW:
		from := in.at
		for from > 0 && in.text[from-1] == ' ' {
			from--
		}
		for from > 0 && in.text[from-1] != ' ' {
			from--
		}
		in.text = append(in.text[:from], in.text[in.at:]...)
		in.at = from
	default:
		return false
	}
	return true
}

// view draws the input in w columns. Without focus there is no cursor.
func (in *input) view(th Theme, w int, focus bool) string {
	if w <= 1 {
		return ""
	}
	before := bastion.VisibleLine(string(in.text[:in.at]))
	under, after := " ", ""
	if in.at < len(in.text) {
		under = bastion.VisibleLine(string(in.text[in.at]))
		after = bastion.VisibleLine(string(in.text[in.at+1:]))
	}
	if !focus {
		return cut(before+strings.TrimRight(under, " ")+after, w)
	}
	if room := w - ansi.StringWidth(under); ansi.StringWidth(before) > room {
		before = "…" + ansi.TruncateLeft(before, ansi.StringWidth(before)-room+1, "")
	}
	cursor := th.Cursor.Render(under)
	if th.Colourless() && under == " " {
		cursor = "_"
	}
	return cut(before+cursor+after, w)
}
