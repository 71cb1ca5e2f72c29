package tui

import (
	"context"
	"time"

	"github.com/charmbracelet/bubbles/help"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/sallyport/sallyport/bastion"
)

// Screen is one place in the program. Keys reach the top screen alone; every
// other message reaches every screen on the stack, also those below.
type Screen interface {
	// KeyMap makes the help line and the help overlay. A disabled binding hides.
	help.KeyMap
	// Title is the screen's word in the breadcrumb. Empty leaves it out.
	Title() string
	// Init begins the screen's work. Before it, Update has received the screen's
	// size once as a [tea.WindowSizeMsg]; it does again when that changes.
	Init() tea.Cmd
	Update(tea.Msg) (Screen, tea.Cmd)
	// View draws into w columns and h lines, and changes nothing. What is larger is cut.
	View(w, h int) string
	// Typing reports that letters are text here, so that global keys stand back.
	Typing() bool
}

// Interrupter is a screen with a use of its own for Ctrl-C. Without it, Ctrl-C
// leaves the program.
type Interrupter interface {
	// Interrupt reports whether the screen took the key.
	Interrupt() (tea.Cmd, bool)
}

// Leaver is a screen that holds something when it is taken off the stack.
type Leaver interface {
	// Leave is called once, when the screen leaves the stack or the program ends.
	Leave()
}

// follower is a screen that shows by itself what comes of a request.
type follower interface {
	follows(request uint64) bool
}

// Push puts a screen on top of the stack.
type Push struct{ Screen Screen }

// Pop takes the top screen off the stack.
type Pop struct{}

// Level says how a notice is meant.
type Level uint8

// The levels.
const (
	Info Level = iota
	Good
	Warn
	Bad
)

// Notice is a sentence for the status line. The next key takes it away.
type Notice struct {
	Text  string
	Level Level
}

// Failed tells the root of an error that a screen has no better place for. An
// ended or old sign-in opens the sign-in screen; the rest is a notice.
type Failed struct{ Err error }

// Queue is sent to every screen after any request changed.
type Queue struct {
	Waiting []bastion.Request // those that the person may decide
}

// SignedIn is sent to every screen after the person signed in again, so that
// what failed for it can be tried once more.
type SignedIn struct{}

// push, pop, notify and fail are the commands of these messages.
func push(s Screen) tea.Cmd { return func() tea.Msg { return Push{s} } }

func pop() tea.Msg { return Pop{} }

func notify(l Level, text string) tea.Cmd {
	return func() tea.Msg { return Notice{text, l} }
}

func fail(err error) tea.Cmd { return func() tea.Msg { return Failed{err} } }

// Wait is a question that a screen asked and waits for. The zero Wait waits for
// nothing. A screen that asks anew drops the answer to its older question.
type Wait struct {
	asked  *question
	cancel context.CancelFunc
}

// question is the identity of one question. It has a size, so that two of them
// never share an address.
type question struct{ _ byte }

// Answer is what came of a question, addressed to the Wait that asked it.
type Answer[T any] struct {
	asked *question
	Value T
	Err   error
}

// Busy reports whether an answer is still to come.
func (w *Wait) Busy() bool { return w.asked != nil }

// Cancel ends the context of the question and drops its answer. It reports
// whether there was anything to cancel.
func (w *Wait) Cancel() bool {
	if w.asked == nil {
		return false
	}
	w.cancel()
	*w = Wait{}
	return true
}

// ask runs f in a command, with a context that w can cancel. An older question
// of w is cancelled. Use [take] on every message to find the answer.
func ask[T any](ctx context.Context, w *Wait, f func(context.Context) (T, error)) tea.Cmd {
	w.Cancel()
	ctx, cancel := context.WithCancel(ctx)
	q := new(question)
	*w = Wait{asked: q, cancel: cancel}
	return func() tea.Msg {
		defer cancel()
		v, err := f(ctx)
		return Answer[T]{q, v, err}
	}
}

// later answers w after a while, with the time.
func later(ctx context.Context, w *Wait, d time.Duration) tea.Cmd {
	return ask(ctx, w, func(ctx context.Context) (time.Time, error) { return sleep(ctx, d) })
}

// sleep returns after a while with the time, or with why ctx ended before.
func sleep(ctx context.Context, d time.Duration) (time.Time, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case at := <-t.C:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
}

// take returns the answer that w waits for, if msg is it, and ends the wait.
func take[T any](w *Wait, msg tea.Msg) (value T, err error, ok bool) {
	a, is := msg.(Answer[T])
	if !is || w.asked == nil || a.asked != w.asked {
		return value, nil, false
	}
	w.cancel()
	*w = Wait{}
	return a.Value, a.Err, true
}
