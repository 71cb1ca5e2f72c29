package tui

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?2004h" // other screen, no cursor, pastes are marked
	leaveScreen = "\x1b[?2004l\x1b[?25h\x1b[?1049l"
)

const (
	keyGap   = 4 * time.Millisecond  // least time between two paintings for keys,
	otherGap = 33 * time.Millisecond // and for everything else
)

// painter draws the root on a terminal. It takes the place of Bubble Tea's own
// renderer, whose ticker wakes every idle session thirty times a second and
// holds each key back until the next tick: a painter draws when something
// changed, a key's effect at once, and otherwise sleeps. All of it happens in
// the program's event loop.
type painter struct {
	*Root
	out   io.Writer
	now   func() time.Time
	last  []string // lines on the terminal; nil if they are not known
	drawn time.Time
	due   bool // a repaint is on its way
}

// repaint draws what was held back.
type repaint struct{}

// Init implements [tea.Model].
func (p *painter) Init() tea.Cmd {
	cmd := p.Root.Init()
	p.paint()
	return cmd
}

// View implements [tea.Model]. Nobody draws it.
func (p *painter) View() string { return "" }

// Update implements [tea.Model].
func (p *painter) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	gap := otherGap
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case repaint:
		p.due = false
		p.paint()
		return p, nil
	case tea.WindowSizeMsg:
		p.last = nil // the terminal may have moved its lines
	case tea.KeyMsg:
		gap = keyGap
		if msg.Type == tea.KeyCtrlL {
			p.last = nil
		}
	}
	_, cmd = p.Root.Update(msg)
	if wait := gap - p.now().Sub(p.drawn); wait <= 0 {
		p.paint()
	} else if !p.due {
		p.due = true
		cmd = tea.Batch(cmd, tea.Tick(wait, func(time.Time) tea.Msg { return repaint{} }))
	}
	return p, cmd
}

// paint writes the lines that changed, in one piece. An error ends nothing here:
// a terminal that cannot be written to ends its session.
func (p *painter) paint() {
	lines := strings.Split(p.Root.View(), "\n")
	var b bytes.Buffer
	if len(p.last) != len(lines) {
		p.last = nil
		b.WriteString("\x1b[H\x1b[2J")
	}
	for i, l := range lines {
		if p.last != nil && p.last[i] == l || p.last == nil && l == "" {
			continue
		}
		b.WriteString("\x1b[" + strconv.Itoa(i+1) + "H")
		b.WriteString(l)
		if p.last != nil && width(l) < p.w {
			b.WriteString("\x1b[K")
		}
	}
	p.last, p.drawn = lines, p.now()
	if b.Len() > 0 {
		_, _ = p.out.Write(b.Bytes())
	}
}
