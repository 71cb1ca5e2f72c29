package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
)

// terms lets a person choose among the access that they can ask for.
type terms struct {
	theme  Theme
	target string
	all    []bastion.Terms
	at     int
	then   func(bastion.Terms) tea.Cmd
}

func newTerms(th Theme, target string, all []bastion.Terms, then func(bastion.Terms) tea.Cmd) *terms {
	return &terms{theme: th, target: target, all: all, then: then}
}

func (s *terms) Title() string             { return "access to " + s.target }
func (s *terms) Typing() bool              { return false }
func (s *terms) Init() tea.Cmd             { return nil }
func (s *terms) FullHelp() [][]key.Binding { return [][]key.Binding{s.ShortHelp()} }
func (s *terms) ShortHelp() []key.Binding {
	return []key.Binding{bind("enter", "ask for it", "enter"), bind("↑/↓", "choose", "up", "down"), keyBack}
}

func (s *terms) Update(msg tea.Msg) (Screen, tea.Cmd) {
	k, ok := msg.(tea.KeyMsg)
	if !ok || k.Paste {
		return s, nil
	}
	switch k.Type {
	case tea.KeyEsc:
		return s, pop
	case tea.KeyUp:
		s.at = max(0, s.at-1)
	case tea.KeyDown:
		s.at = min(len(s.all)-1, s.at+1)
	case tea.KeyEnter:
		return s, tea.Sequence(pop, s.then(s.all[s.at]))
	}
	return s, nil
}

func (s *terms) View(w, h int) string {
	th := s.theme
	b := []string{"", "  " + cut("What access to "+clean(s.target)+" do you want?", w-4), ""}
	first := max(0, min(s.at-1, len(s.all)-max(1, (h-4)/3))) // each takes three lines
	for i, t := range s.all[first:] {
		mark, name := "  ", cut(clean(t.Bundle), w-8)
		if first+i == s.at {
			mark, name = th.Accent.Render("> "), th.Strong.Render(name)
		}
		b = append(b, "  "+mark+name, "      "+th.Muted.Render(cut(termsLine(t), w-8)), "")
	}
	return strings.Join(b[:min(len(b), h)], "\n")
}

// termsLine says in a line what access costs.
func termsLine(t bastion.Terms) string {
	s := fmt.Sprintf("at most %s, %s", left(t.Max), t.Needs)
	if t.Emergency {
		s = fmt.Sprintf("emergency: at once, for %s; alarms people, and needs a review with %s", left(t.Max), t.Needs)
	}
	if t.Reason != "" {
		s += "; " + clean(t.Reason)
	}
	return s
}

// askAccess asks for how long and why, and then does it.
func askAccess(th Theme, target string, t bastion.Terms, do func(bastion.AccessAsked, string) tea.Cmd) tea.Cmd {
	about := []string{"Access " + clean(t.Bundle) + " to " + clean(target) + ": " + termsLine(t) + "."}
	var length func(hint string) tea.Cmd
	length = func(hint string) tea.Cmd {
		a := about
		if hint != "" {
			a = append([]string{hint}, about...)
		}
		return push(newPrompt(th, "access to "+target, a, "For how long? (as 30m or 2h)", "go on", func(text string) tea.Cmd {
			d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
			switch {
			case err != nil || d <= 0:
				return length(fmt.Sprintf("%q is no length of time; write it as 30m or 2h.", clean(text)))
			case d > t.Max:
				return length(fmt.Sprintf("It is granted for %s at most.", left(t.Max)))
			}
			return push(newPrompt(th, "access to "+target, about, "Why do you need it?", "ask for access", func(reason string) tea.Cmd {
				return do(bastion.AccessAsked{Bundle: t.Bundle, For: d, Emergency: t.Emergency}, reason)
			}))
		}))
	}
	return length("")
}
