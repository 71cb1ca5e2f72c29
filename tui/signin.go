package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
)

// signer proves the person at the provider again.
type signer interface {
	SignIn(context.Context, func(bastion.SignInPrompt) error) error
	Now() time.Time
}

// signIn is the screen that has the person sign in again, during a session.
type signIn struct {
	ctx    context.Context
	signer signer
	theme  Theme
	why    error // what made it necessary
	prompt *bastion.SignInPrompt
	shown  chan bastion.SignInPrompt
	wait   Wait // for the end of the sign-in
	next   Wait // for the prompt
	tick   Wait
	err    error // why it failed; then the person may try again
}

type signedIn struct{}

func newSignIn(ctx context.Context, s signer, th Theme, why error) *signIn {
	return &signIn{ctx: ctx, signer: s, theme: th, why: why}
}

func (s *signIn) Title() string             { return "sign in" }
func (s *signIn) Typing() bool              { return false }
func (s *signIn) FullHelp() [][]key.Binding { return [][]key.Binding{s.ShortHelp()} }
func (s *signIn) ShortHelp() []key.Binding {
	again := bind("enter", "try again", "enter")
	again.SetEnabled(s.err != nil)
	return []key.Binding{again, bind("esc", "cancel", "esc")}
}

func (s *signIn) Init() tea.Cmd {
	s.err, s.prompt = nil, nil
	shown := make(chan bastion.SignInPrompt, 1)
	s.shown = shown
	return tea.Batch(
		ask(s.ctx, &s.wait, func(ctx context.Context) (signedIn, error) {
			return signedIn{}, s.signer.SignIn(ctx, func(p bastion.SignInPrompt) error {
				select { // a newer prompt takes the place of an unread one
				case <-shown:
				default:
				}
				shown <- p
				return nil
			})
		}),
		s.await(),
	)
}

// await waits for the next prompt.
func (s *signIn) await() tea.Cmd {
	shown := s.shown
	return ask(s.ctx, &s.next, func(ctx context.Context) (bastion.SignInPrompt, error) {
		select {
		case p := <-shown:
			return p, nil
		case <-ctx.Done():
			return bastion.SignInPrompt{}, context.Cause(ctx)
		}
	})
}

func (s *signIn) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if _, err, ok := take[signedIn](&s.wait, msg); ok {
		s.next.Cancel()
		s.tick.Cancel()
		if err != nil {
			s.err, s.prompt = err, nil
			return s, nil
		}
		return s, tea.Sequence(pop, notify(Good, "you are signed in again"), func() tea.Msg { return SignedIn{} })
	}
	if p, err, ok := take[bastion.SignInPrompt](&s.next, msg); ok && err == nil {
		s.prompt = &p
		return s, tea.Batch(s.await(), later(s.ctx, &s.tick, time.Second))
	}
	if _, err, ok := take[time.Time](&s.tick, msg); ok && err == nil && s.prompt != nil {
		return s, later(s.ctx, &s.tick, time.Second)
	}
	if k, ok := msg.(tea.KeyMsg); ok && !k.Paste {
		switch {
		case k.Type == tea.KeyEsc:
			return s, pop
		case k.Type == tea.KeyEnter && s.err != nil:
			return s, s.Init()
		}
	}
	return s, nil
}

// Leave implements [Leaver].
func (s *signIn) Leave() {
	s.wait.Cancel()
	s.next.Cancel()
	s.tick.Cancel()
}

func (s *signIn) View(w, h int) string {
	th := s.theme
	in := max(1, w-4)
	var b []string
	add := func(lines ...string) {
		for _, l := range lines {
			b = append(b, "  "+l)
		}
	}
	add("")
	add(rows(th.Strong, prose("Sign in again", in))...)
	add(rows(th.Muted, prose(s.reason(), in))...)
	add("")
	switch {
	case s.err != nil:
		add(rows(th.Bad, prose("not signed in: "+s.err.Error(), in))...)
		add("", "Press enter to try again, or esc to leave.")
	case s.prompt == nil:
		add(th.Muted.Render("… asking the sign-in provider; esc cancels"))
	default:
		p := s.prompt
		add("Open this page:")
		add(rows(th.Accent, wrap(p.Address, in))...)
		add("", "and type this code:", "", "    "+th.Strong.Render(clean(p.Code)), "")
		if p.Direct != "" && h > 16 {
			add("or open the page with the code filled in:")
			add(rows(th.Accent, wrap(p.Direct, in))...)
			add("")
		}
		add(prose("Your key "+clean(p.Key)+" will be bound to who signs in there.", in)...)
		add(th.Muted.Render(fmt.Sprintf("… waiting for you; the code ends in %s", left(p.Expires.Sub(s.signer.Now())))))
	}
	return strings.Join(b, "\n")
}

// reason says what made the sign-in necessary.
func (s *signIn) reason() string {
	var stale *bastion.StaleError
	if errors.As(s.why, &stale) {
		return "What you want to do needs a sign-in that is less than " + bastion.Span(stale.Max) + " old. Then this session goes on."
	}
	return "Your sign-in has ended. Prove at the provider that it is still you, and this session goes on."
}
