package tui

import (
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// prompt is a screen that asks for one line, such as the reason of a request.
type prompt struct {
	theme Theme
	title string
	about []string // paragraphs above the line
	label string
	does  string // what enter does, for the help line
	then  func(text string) tea.Cmd
	in    input
	hint  string
}

// newPrompt asks for one line that is not empty. On enter the prompt leaves the
// stack, and the command of then runs; on esc it leaves, and nothing does.
func newPrompt(th Theme, title string, about []string, label, does string, then func(string) tea.Cmd) *prompt {
	return &prompt{theme: th, title: title, about: about, label: label, does: does, then: then}
}

func (p *prompt) Title() string             { return p.title }
func (p *prompt) Typing() bool              { return true }
func (p *prompt) Init() tea.Cmd             { return nil }
func (p *prompt) FullHelp() [][]key.Binding { return [][]key.Binding{p.ShortHelp()} }
func (p *prompt) ShortHelp() []key.Binding {
	return []key.Binding{bind("enter", p.does, "enter"), bind("esc", "cancel", "esc")}
}

func (p *prompt) Update(msg tea.Msg) (Screen, tea.Cmd) {
	k, ok := msg.(tea.KeyMsg)
	if !ok {
		return p, nil
	}
	p.hint = ""
	switch {
	case k.Type == tea.KeyEsc:
		return p, pop
	case k.Type == tea.KeyEnter && !k.Paste:
		text := p.in.String()
		if text == "" {
			p.hint = "please write a few words"
			return p, nil
		}
		return p, tea.Sequence(pop, p.then(text))
	}
	p.in.key(k)
	return p, nil
}

func (p *prompt) View(w, h int) string {
	th := p.theme
	b := []string{""}
	for _, s := range p.about {
		for _, l := range prose(s, min(w-4, 90)) {
			b = append(b, "  "+l)
		}
		b = append(b, "")
	}
	// The line that is being typed is always on the screen.
	if room := h - 3; len(b) > room {
		b = b[:max(0, room)]
	}
	b = append(b, "  "+th.Heading.Render(p.label), "  "+th.Accent.Render("> ")+p.in.view(th, w-6, true))
	if p.hint != "" {
		b = append(b, "  "+th.Warn.Render(p.hint))
	}
	return strings.Join(b, "\n")
}
