package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/sallyport/sallyport/bastion"
)

// Options are what a visit may bring along.
type Options struct {
	NoColor bool   // the client asked for no colour
	Target  string // open this target at once; empty shows the list
	Notice  string // a sentence to begin with
	Tasks   Tasks  // nil: there are no screens for tasks
}

// Run shows the screens until the person leaves (nil) or the session ends; then
// the error is the cause, in words for the person. The terminal is left as it
// was found.
func Run(s *bastion.Session, o Options) error {
	ctx := s.Context()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	term := s.Terminal()
	th := NewTheme(term.Term(), o.NoColor)

	root := newSessionRoot(s, th, o)
	defer root.leave()
	changes, unwatch := s.WatchRequests()
	defer unwatch()
	in := &ending{Input: term.Input(), end: make(chan struct{})}
	defer in.Close()
	root.bell = func() { _, _ = term.Write([]byte{'\a'}) } // a broken terminal ends the session elsewhere

	if _, err := io.WriteString(term, enterScreen); err != nil {
		return fmt.Errorf("showing the screens: %w", err)
	}
	p := tea.NewProgram(&painter{Root: root, out: term, now: time.Now},
		tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(io.Discard), tea.WithoutRenderer(),
		tea.WithEnvironment([]string{"TERM=" + term.Term()}), tea.WithoutSignalHandler())
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			msg := outsideOf(term.Windows(), changes, s.Warnings(), in.end, over)
			if msg == nil {
				return
			}
			p.Send(msg)
		}
	}()
	_, err := p.Run()
	_, _ = io.WriteString(term, leaveScreen) // if this fails, there is nobody to see it
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("showing the screens: %w", err)
	}
	return nil
}

// ending is an input that tells of its end.
type ending struct {
	*bastion.Input
	once sync.Once
	end  chan struct{}
}

// Read implements [io.Reader].
func (in *ending) Read(p []byte) (int, error) {
	n, err := in.Input.Read(p)
	if err != nil {
		in.once.Do(func() { close(in.end) })
	}
	return n, err
}

// outsideOf waits for a new window size, a change among requests, the end of
// the input, or a minute, so that the header stays true. It returns nil when the
// program is over. One goroutine waits for all of them.
func outsideOf(windows <-chan bastion.Window, changes <-chan struct{}, warnings <-chan string, end, over <-chan struct{}) tea.Msg {
	minute := time.NewTimer(time.Minute)
	defer minute.Stop()
	select {
	case w := <-windows:
		return tea.WindowSizeMsg{Width: w.Width, Height: w.Height}
	case <-changes:
		return changed{}
	case text := <-warnings:
		return Notice{clean(text), Warn}
	case <-minute.C:
		return minutePassed{}
	case <-end:
		return tea.QuitMsg{}
	case <-over:
		return nil
	}
}
