package tui

import (
	"context"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
)

// actor keeps in which role the person acts.
type actor interface {
	Act(ctx context.Context, role string) error
}

// choice has a person who holds roles that nobody may hold together choose the one
// to act in. Until then they can do nothing else.
type choice struct {
	ctx   context.Context
	actor actor
	theme Theme
	of    *bastion.ChoiceError
	at    int
	wait  Wait
	err   error // why it could not be kept
}

// acting is the answer: it is kept.
type acting struct{}

func newChoice(ctx context.Context, a actor, th Theme, of *bastion.ChoiceError) *choice {
	return &choice{ctx: ctx, actor: a, theme: th, of: of}
}

func (s *choice) Title() string             { return "choose a role" }
func (s *choice) Typing() bool              { return false }
func (s *choice) Init() tea.Cmd             { return nil }
func (s *choice) FullHelp() [][]key.Binding { return [][]key.Binding{s.ShortHelp()} }
func (s *choice) ShortHelp() []key.Binding {
	return []key.Binding{bind("enter", "act in this role", "enter"), bind("↑/↓", "choose", "up", "down"), bind("ctrl+c", "leave")}
}

func (s *choice) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if _, err, ok := take[acting](&s.wait, msg); ok {
		if s.err = err; err != nil {
			return s, nil
		}
		return s, tea.Sequence(pop, notify(Good, "you act as "+clean(s.of.Roles[s.at])+" until you sign in again"),
			func() tea.Msg { return SignedIn{} }, func() tea.Msg { return changed{} })
	}
	k, ok := msg.(tea.KeyMsg)
	if !ok || k.Paste || s.wait.Busy() {
		return s, nil
	}
	switch k.Type {
	case tea.KeyUp:
		s.at = max(0, s.at-1)
	case tea.KeyDown:
		s.at = min(len(s.of.Roles)-1, s.at+1)
	case tea.KeyEnter:
		role := s.of.Roles[s.at]
		return s, ask(s.ctx, &s.wait, func(ctx context.Context) (acting, error) { return acting{}, s.actor.Act(ctx, role) })
	}
	return s, nil
}

// Leave implements [Leaver].
func (s *choice) Leave() { s.wait.Cancel() }

func (s *choice) View(w, h int) string {
	th, in := s.theme, max(1, w-4)
	b := []string{""}
	add := func(lines ...string) {
		for _, l := range lines {
			b = append(b, "  "+l)
		}
	}
	add(rows(th.Strong, prose("In which role do you act?", in))...)
	add("")
	room := max(1, h-len(b)) // for roles; why there is a choice comes below, where there is room
	first := max(0, min(s.at, len(s.of.Roles)-room))
	for i, role := range s.of.Roles[first:min(len(s.of.Roles), first+room)] {
		mark, name := "  ", cut(clean(role), w-8)
		if first+i == s.at {
			mark, name = th.Accent.Render("> "), th.Strong.Render(name)
		}
		add(mark + name)
	}
	if s.err != nil {
		add("")
		add(rows(th.Bad, prose("not chosen: "+s.err.Error(), in))...)
	}
	why := "You hold roles that nobody may hold together"
	if s.of.Reason != "" {
		why += ": " + clean(s.of.Reason)
	}
	add("")
	add(rows(th.Muted, prose(why+". What you choose holds in all of your sessions until you sign in again.", in))...)
	return strings.Join(b[:min(len(b), max(0, h))], "\n")
}
