package tui

import (
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
)

// overlay is the help: the keys of the screen below, and what everybody should
// know about recording and masking.
type overlay struct {
	theme Theme
	of    string
	keys  [][]key.Binding
	top   int
	w, h  int
}

func newOverlay(th Theme, s Screen) *overlay {
	return &overlay{theme: th, of: s.Title(), keys: s.FullHelp()}
}

func (o *overlay) Title() string             { return "help" }
func (o *overlay) Typing() bool              { return false }
func (o *overlay) Init() tea.Cmd             { return nil }
func (o *overlay) FullHelp() [][]key.Binding { return [][]key.Binding{o.ShortHelp()} }
func (o *overlay) ShortHelp() []key.Binding {
	return []key.Binding{bind("↑/↓", "scroll", "up", "down"), keyBack}
}

func (o *overlay) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if size, ok := msg.(tea.WindowSizeMsg); ok {
		o.w, o.h = size.Width, size.Height
	}
	if k, ok := msg.(tea.KeyMsg); ok && !k.Paste {
		switch k.String() {
		case "esc", "?", "q", "enter":
			return o, pop
		case "up", "k":
			o.top = max(0, o.top-1)
		case "down", "j":
			o.top++
		case "pgup":
			o.top = max(0, o.top-10)
		case "pgdown", " ":
			o.top += 10
		}
		o.top = max(0, min(o.top, len(o.lines(o.w))-o.h))
	}
	return o, nil
}

// known is what everybody should know.
var known = []string{
	"Everything that you see here is recorded, together with each statement, its decision and who approved it. Auditors can replay it; so can you, your own.",
	"Columns that policy hides are masked before they reach you and the recording. Their heads carry a mark, and what cannot be proved to be clean is masked too.",
	"An approval is for exactly one statement on one target. If a byte of it changes, it does not run.",
	"Your access is decided anew at every statement. Leaving ends it: close the session when you are done.",
}

func (o *overlay) View(w, h int) string {
	return strings.Join(window(o.lines(w), o.top, h), "\n")
}

func (o *overlay) lines(w int) []string {
	th := o.theme
	var b []string
	head := "Keys"
	if o.of != "" {
		head += " on this screen: " + clean(o.of)
	}
	b = append(b, " "+th.Heading.Render(head))
	groups := append([][]key.Binding{}, o.keys...)
	groups = append(groups, []key.Binding{keyHelp, bind("ctrl+c", "leave "+Product, "ctrl+c")})
	wide := 0
	for _, g := range groups {
		for _, k := range g {
			if k.Enabled() {
				wide = max(wide, ansi.StringWidth(k.Help().Key))
			}
		}
	}
	for _, g := range groups {
		for _, k := range g {
			if k.Enabled() {
				b = append(b, "   "+th.Accent.Render(pad(k.Help().Key, wide))+"  "+k.Help().Desc)
			}
		}
	}
	b = append(b, "", " "+th.Heading.Render("Good to know"))
	for i, s := range known {
		if i > 0 {
			b = append(b, "")
		}
		for _, l := range prose(s, min(w-4, 90)) {
			b = append(b, "   "+l)
		}
	}
	return b
}
