package tui

import (
	"io"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// Theme names what a style means. Colour only ever repeats what words say. A
// theme is small to pass on: its styles are kept once per session.
type Theme struct{ *styles }

// styles is some twenty styles of half a kilobyte each.
type styles struct {
	Plain    lipgloss.Style
	Strong   lipgloss.Style // what the eye should find first
	Muted    lipgloss.Style // what it may skip
	Accent   lipgloss.Style // the product's colour: titles, marks, keys
	Good     lipgloss.Style // allowed, approved, done
	Warn     lipgloss.Style // needs approval, soon over
	Bad      lipgloss.Style // refused, failed
	Selected lipgloss.Style // the row or cell under the cursor
	Heading  lipgloss.Style // heads of columns and sections
	Cursor   lipgloss.Style // the character that the next key changes
	Masked   lipgloss.Style // marks of hidden columns, and their values
	Null     lipgloss.Style

	Keyword lipgloss.Style
	String  lipgloss.Style
	Number  lipgloss.Style
	Comment lipgloss.Style

	colourless bool
	sixteen    bool // knows no more than 16 colours
}

// NewTheme makes the styles for a terminal of the given TERM. Without colour the
// styles change nothing. The colours have been chosen to read well on dark and
// on light ground, as a session cannot ask which it is without delay.
func NewTheme(term string, noColor bool) Theme {
	p := profile(term)
	if noColor {
		p = termenv.Ascii
	}
	return newTheme(p)
}

func newTheme(p termenv.Profile) Theme {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(p)
	r.SetHasDarkBackground(true)
	plain := r.NewStyle()
	fg := func(c string) lipgloss.Style { return plain.Foreground(lipgloss.Color(c)) }
	return Theme{&styles{
		Plain:    plain,
		Strong:   plain.Bold(true),
		Muted:    fg("243"),
		Accent:   fg("31"),
		Good:     fg("28"),
		Warn:     fg("130"),
		Bad:      fg("160"),
		Selected: plain.Foreground(lipgloss.Color("231")).Background(lipgloss.Color("24")),
		Heading:  fg("243").Bold(true),
		Cursor:   plain.Reverse(true),
		Masked:   fg("133"),
		Null:     fg("243").Italic(true),
		Keyword:  fg("31").Bold(true),
		String:   fg("28"),
		Number:   fg("130"),
		Comment:  fg("243").Italic(true),

		colourless: p == termenv.Ascii,
		sixteen:    p == termenv.ANSI,
	}}
}

// profile is what a terminal of that name can show.
func profile(term string) termenv.Profile {
	term = strings.ToLower(term)
	switch {
	case term == "" || term == "dumb" || strings.HasPrefix(term, "vt") || strings.HasSuffix(term, "-m") || strings.HasSuffix(term, "-mono"):
		return termenv.Ascii
	case term == "linux" || term == "ansi" || strings.HasSuffix(term, "-16color"):
		return termenv.ANSI
	}
	return termenv.ANSI256
}

// Colourless reports that styles change nothing, so that a cursor needs a mark.
func (t Theme) Colourless() bool { return t.colourless }

// Level returns the style of a notice.
func (t Theme) Level(l Level) lipgloss.Style {
	switch l {
	case Good:
		return t.Good
	case Warn:
		return t.Warn
	case Bad:
		return t.Bad
	}
	return t.Accent
}

// keys draws bindings on a line of at most w columns, as many as fit.
func (t Theme) keys(bindings []key.Binding, w int) string {
	line, used := "", 0
	for _, k := range bindings {
		if !k.Enabled() {
			continue
		}
		h, gap := k.Help(), ""
		if used > 0 {
			gap = "  "
		}
		size := len(gap) + width(h.Key) + 1 + width(h.Desc)
		if used+size > w {
			if used+2 <= w {
				line += t.Muted.Render(" …")
			}
			return line
		}
		line += gap + t.Accent.Render(h.Key) + " " + t.Muted.Render(h.Desc)
		used += size
	}
	return line
}
