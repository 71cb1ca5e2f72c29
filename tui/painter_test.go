package tui

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/hinshun/vt10x"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

// counter counts what is written to a terminal.
type counter struct {
	vt10x.Terminal
	writes, bytes int
}

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	c.bytes += len(p)
	return c.Terminal.Write(p)
}

// text is a screen without the spaces at the ends of lines.
func text(s string, h int) string {
	lines := strings.Split(s, "\n")
	lines = lines[:min(h, len(lines))]
	return strings.TrimRight(strings.Join(trimmed(lines), "\n"), "\n")
}

// What the painter leaves on a terminal is always the view, however little it writes.
func TestPainter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visitOf(rita(), reviewer())
		th := newTheme(termenv.ANSI256)
		root := newRoot(t.Context(), v, th, bastion.Window{Width: 80, Height: 24}, newHome(t.Context(), v, th, places{}, ""))
		root.newQueue = func() Screen { return newApprovals(t.Context(), v, th, nil) }
		out := &counter{Terminal: vt10x.New(vt10x.WithSize(80, 24))}
		p := &painter{Root: root, out: out, now: time.Now}
		p.Init()
		same := func(what string) {
			t.Helper()
			if got, want := text(out.String(), p.h), text(ansi.Strip(p.Root.View()), p.h); got != want {
				t.Errorf("after %s the terminal shows\n%s\nand not\n%s", what, got, want)
			}
		}
		same("the beginning")
		home := root.top().(*home)
		home.arrived(v.targets, nil)
		p.Update(minutePassed{})
		time.Sleep(otherGap)
		p.Update(repaint{})
		same("the list's arrival")
		for _, k := range []string{"down", "down", "up", "/", "s", "h", "backspace", "esc", "?"} {
			time.Sleep(keyGap)
			n, b := out.writes, out.bytes
			p.Update(keysOf(k)[0])
			same(k)
			if out.writes > n+1 {
				t.Errorf("%s took %d writes", k, out.writes-n)
			}
			if k == "down" && out.bytes-b > 2000 {
				t.Errorf("%s took %d bytes", k, out.bytes-b)
			}
		}
		p.Update(Push{newApprovals(t.Context(), v, th, nil)})
		time.Sleep(otherGap)
		p.Update(repaint{})
		same("another screen")

		n := out.writes
		time.Sleep(time.Hour)
		p.Update(Notice{})
		if out.writes != n {
			t.Error("it writes although nothing changed")
		}

		out.Resize(40, 10)
		time.Sleep(otherGap)
		p.Update(tea.WindowSizeMsg{Width: 40, Height: 10})
		same("a smaller window")
		out.Resize(120, 40)
		time.Sleep(otherGap)
		p.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
		same("a larger window")

		_, _ = out.Terminal.Write([]byte("\x1b[2J")) // somebody writes to the terminal
		time.Sleep(keyGap)
		p.Update(tea.KeyMsg{Type: tea.KeyCtrlL})
		same("ctrl+l")
		root.leave()
	})
}

// A burst of messages is painted a few times, and its end always.
func TestPainterHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := visitOf(rita(), reviewer())
		th := newTheme(termenv.Ascii)
		root := newRoot(t.Context(), v, th, bastion.Window{Width: 80, Height: 24}, newHome(t.Context(), v, th, places{}, ""))
		out := &counter{Terminal: vt10x.New(vt10x.WithSize(80, 24))}
		p := &painter{Root: root, out: out, now: time.Now}
		p.Init()
		n, later := out.writes, []tea.Cmd{}
		for i := range 1000 {
			if _, cmd := p.Update(Notice{Text: "step " + itoa(i)}); cmd != nil {
				later = append(later, cmd)
			}
		}
		if out.writes != n || len(later) != 1 {
			t.Fatalf("%d writes and %d timers for a burst", out.writes-n, len(later))
		}
		began := time.Now()
		p.Update(later[0]())
		if took := time.Since(began); took > otherGap {
			t.Errorf("the end of the burst came after %s", took)
		}
		if !strings.Contains(out.String(), "step 999") {
			t.Error("the end of the burst is not shown")
		}
		root.leave()
	})
}
