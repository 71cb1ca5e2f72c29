package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
)

// consoleSession is what the console needs of a session.
type consoleSession interface {
	Context() context.Context
	Now() time.Time
	Open(ctx context.Context, target string, job bastion.Job) error
	Split(target, text string) (operations []string, rest string, err error)
	Command(target, line string) (text string, ok bool, err error)
	Parse(ctx context.Context, target, text string) (bastion.Operation, error)
	Decide(ctx context.Context, op bastion.Operation) (bastion.Decision, error)
	Run(ctx context.Context, op bastion.Operation, job bastion.Job) error
	Names(ctx context.Context, target string) ([]bastion.Name, error)
	History(ctx context.Context, target string, limit int) ([]string, error)
	Withdraw(ctx context.Context, id uint64) (bastion.Request, error)
}

// Bounds of the scrollback.
const (
	mostBlocks = 50
	mostBack   = 8 // runs that wait in the background
)

// phase is how far the console is.
type phase uint8

const (
	opening phase = iota
	failed
	ready
)

// focus is where keys go.
type focus uint8

const (
	onEditor focus = iota
	onResult       // the rows of a result, or the scrollback above them
	onRecord       // one row of it, expanded
)

// console is the screen on which a person types statements for one target. Above
// the editor stands what ran before, the newest result last.
type console struct {
	s      consoleSession
	theme  Theme
	target string
	ctx    context.Context // ends with the screen
	leave  context.CancelFunc
	w, h   int // of the screen's own part of the window, for keys that move by pages

	phase  phase
	open   *block // how opening went, until the target is open
	edit   editor
	past   history
	names  catalogue
	popup  *popup  // nil if nothing is offered
	search *search // nil if nothing is searched
	focus  focus

	blocks []*block
	active *block // the result under the keys; nil if there is none
	up     int    // lines that the scrollback is scrolled up

	front *run    // what runs in the foreground; nil if nothing does
	back  []*run  // what waits or ends in the background
	panel *run    // whose waiting panel has the keys; nil if none has
	sure  bool    // the panel asked whether to withdraw
	forms []*form // reasons to give; the first has the keys
	retry []*run  // what runs again after a new sign-in

	typed   bool // a key came since the text was sent: the person may be typing ahead
	leaving bool // asked to leave once, while something runs or waits

	expanded expansion
	timing   bool
	tx       transaction
	frame    int // of the spinner

	beat, loading, reading, idling Wait
	withdrawing                    Wait
}

// newConsole makes the screen, which opens the target by itself.
func newConsole(s consoleSession, th Theme, target string) Screen {
	c := &console{s: s, theme: th, target: target, edit: newEditor(), timing: true, w: 80, h: 20}
	c.ctx, c.leave = context.WithCancel(s.Context())
	return c
}

// Title implements [Screen].
func (c *console) Title() string { return c.target }

// Typing implements [Screen].
func (c *console) Typing() bool {
	return len(c.forms) > 0 || c.phase == ready && c.panel == nil
}

// Leave implements [Leaver]: whatever runs is cancelled.
func (c *console) Leave() { c.leave() }

// Init implements [Screen].
func (c *console) Init() tea.Cmd {
	c.phase, c.typed = opening, false
	c.front = &run{}
	return c.start(c.front)
}

// opened goes on after the attempt to open the target.
func (c *console) opened(r *run) tea.Cmd {
	c.open = r.block
	if r.done == 0 {
		c.phase = failed
		return nil
	}
	c.phase, c.typed = ready, false
	hello := &block{state: blockDone}
	if r.block.request.ID != 0 {
		hello.says = r.block.says
	}
	hello.say(Info, "Statements end with ; and run on enter. \\? lists commands, f1 the keys.")
	c.put(hello)
	return tea.Batch(c.readNames(), ask(c.ctx, &c.loading, func(ctx context.Context) ([]string, error) {
		return c.s.History(ctx, c.target, historyTexts)
	}))
}

func (c *console) readNames() tea.Cmd {
	s, target := c.s, c.target
	return ask(c.ctx, &c.reading, func(ctx context.Context) (catalogue, error) {
		names, err := s.Names(ctx, target)
		return newCatalogue(names), err
	})
}

// pulsed is the moment at which spinner and countdown move on.
type pulsed struct{}

// pulseEvery is the rhythm of the spinner.
const pulseEvery = 250 * time.Millisecond

// pulse keeps the spinner turning while something runs, and the countdown going
// while something waits.
func (c *console) pulse() tea.Cmd {
	every := pulseEvery
	switch {
	case c.front != nil && !c.front.parked && c.front.request.ID == 0:
	case c.front != nil && c.front.request.ID != 0 || len(c.back) > 0:
		every = time.Second
	default:
		return nil
	}
	return ask(c.ctx, &c.beat, func(ctx context.Context) (pulsed, error) {
		_, err := sleep(ctx, every)
		return pulsed{}, err
	})
}

// Update implements [Screen].
func (c *console) Update(msg tea.Msg) (Screen, tea.Cmd) {
	switch msg := msg.(type) {
	case told:
		return c, c.hear(msg)
	case tea.WindowSizeMsg:
		c.w, c.h = msg.Width, msg.Height // of the screen's own part
		return c, nil
	case tea.KeyMsg:
		return c, c.key(msg)
	case SignedIn:
		return c, c.again()
	case armed:
		msg.form.wake(msg.count)
		return c, nil
	}
	if _, err, ok := take[pulsed](&c.beat, msg); ok {
		if err != nil {
			return c, nil
		}
		c.frame++
		return c, c.pulse()
	}
	if names, err, ok := take[catalogue](&c.reading, msg); ok {
		if err == nil {
			c.names = names
		}
		return c, nil // completion does without, and statements will tell
	}
	if texts, err, ok := take[[]string](&c.loading, msg); ok {
		if err == nil {
			c.past.load(slices.DeleteFunc(texts, func(t string) bool { return t == "connect "+c.target }))
		}
		return c, nil
	}
	if i, err, ok := take[idled](&c.idling, msg); ok {
		if err == nil && i.run == c.front && i.run.parked && i.run.count == i.count {
			c.stop(i.run, errIdle)
		}
		return c, nil
	}
	if _, err, ok := take[bastion.Request](&c.withdrawing, msg); ok && err != nil {
		return c, fail(err)
	}
	return c, nil
}

// again runs what failed for want of a sign-in.
func (c *console) again() tea.Cmd {
	retry := c.retry
	c.retry = nil
	if c.phase != ready {
		if c.phase == failed && len(retry) > 0 {
			return c.Init()
		}
		return nil
	}
	var cmds []tea.Cmd
	for _, r := range retry {
		if c.front == nil {
			c.front = r
		} else {
			c.back = append(c.back, r)
		}
		cmds = append(cmds, c.start(r))
	}
	return tea.Batch(cmds...)
}

// put adds a block to the scrollback. Only the newest result keeps all its rows,
// and the one that the person is looking at.
func (c *console) put(b *block) {
	c.blocks = append(c.blocks, b)
	if len(c.blocks) > mostBlocks {
		c.blocks = slices.Delete(c.blocks, 0, len(c.blocks)-mostBlocks)
	}
	if c.focus == onEditor {
		c.up = 0
	}
	c.settle()
}

// settle makes the newest result the active one, unless the person is busy with
// another, and shrinks the others.
func (c *console) settle() {
	var newest *block
	for _, b := range slices.Backward(c.blocks) {
		if b.sheet != nil {
			newest = b
			break
		}
	}
	if c.focus == onEditor {
		c.active = newest
	}
	for _, b := range c.blocks {
		if b.sheet != nil && b != newest && b != c.active && b.state == blockDone && !b.small {
			b.sheet.shrink()
			b.small = true
		}
	}
}

// ShortHelp implements [help.KeyMap].
func (c *console) ShortHelp() []key.Binding {
	switch {
	case len(c.forms) > 0:
		return []key.Binding{bind("enter", "ask for approval", "enter"), bind("esc", "do not ask", "esc")}
	case c.panel != nil:
		later := bind("esc", "go on working", "esc")
		if c.phase != ready {
			later = bind("esc", "back", "esc")
		}
		stop := bind("ctrl+c", "stop waiting", "ctrl+c")
		stop.SetEnabled(c.phase == ready)
		return []key.Binding{later, bind("w", "withdraw", "w"), stop}
	case c.phase == opening:
		return []key.Binding{bind("esc", "cancel", "esc")}
	case c.phase == failed:
		return []key.Binding{bind("enter", "try again", "enter"), keyBack}
	case c.search != nil:
		return []key.Binding{bind("enter", "take it", "enter"), bind("ctrl+r", "older", "ctrl+r"), bind("esc", "cancel", "esc")}
	case c.popup != nil:
		return []key.Binding{bind("tab", "next", "tab"), bind("enter", "take it", "enter"), bind("esc", "close", "esc")}
	case c.focus == onRecord:
		return []key.Binding{bind("←/→", "row", "left", "right"), bind("↑/↓", "scroll", "up", "down"), bind("esc", "table", "esc")}
	case c.focus == onResult:
		return []key.Binding{bind("↑/↓ pgup/pgdn", "rows", "up", "down"), bind("←/→", "columns", "left", "right"), bind("enter", "expand", "enter"), bind("esc", "prompt", "esc")}
	}
	var keys []key.Binding
	if c.front != nil && !c.front.parked {
		keys = append(keys, bind("ctrl+c", "cancel", "ctrl+c"))
	} else {
		keys = append(keys, bind("enter", "run", "enter"))
	}
	if len(c.waiting()) > 0 {
		keys = append(keys, bind("ctrl+o", "request", "ctrl+o"))
	}
	result := bind("pgup", "result", "pgup")
	result.SetEnabled(len(c.blocks) > 0)
	return append(keys, bind("tab", "complete", "tab"), result, bind("ctrl+r", "search", "ctrl+r"), bind("f1", "keys", "f1"), bind("ctrl+d", "leave", "ctrl+d"))
}

// FullHelp implements [help.KeyMap].
func (c *console) FullHelp() [][]key.Binding {
	return [][]key.Binding{{
		bind("enter", "run what ends with ; or begins with \\"),
		bind("alt+enter ctrl+j", "new line; a paste never runs by itself"),
		bind("tab", "complete: tab chooses, enter takes, esc closes"),
		bind("↑ ↓", "in the first and last line: earlier statements"),
		bind("ctrl+r", "search in earlier statements"),
		bind("ctrl+a ctrl+e", "begin and end of the line"),
		bind("alt+b alt+f", "a word back, a word on"),
		bind("ctrl+u ctrl+k ctrl+w", "cut back, cut on, cut a word; ctrl+y puts back"),
		bind("ctrl+l", "clear the screen"),
	}, {
		bind("pgup esc", "to the result: arrows move, typing comes back"),
		bind("enter", "in the result: the row in full"),
		bind("pgdn", "at the result's end: read more of it"),
		bind("ctrl+c", "cancel on the server, or clear the editor"),
		bind("ctrl+o", "to the request that waits in the background"),
		bind("ctrl+d", "on an empty line: leave"),
		bind(maskMark(c.theme), "in the head of a column: policy masks it"),
		bind(null(c.theme), "no value (SQL's NULL)"),
	}}
}

// waiting lists the runs in the background that wait for approval.
func (c *console) waiting() []*run {
	var out []*run
	for _, r := range c.back {
		if r.request.ID != 0 && r.stopped == nil {
			out = append(out, r)
		}
	}
	return out
}

// busy says what leaving would cut off, in words; empty if nothing.
func (c *console) busy() string {
	switch {
	case c.front != nil && !c.front.parked:
		return "a statement is running"
	case len(c.waiting()) > 0:
		return "request " + utoa(c.waiting()[0].request.ID) + " waits, and stays open"
	case c.tx != txNone:
		return "a transaction is open"
	}
	return ""
}

// expansion is how results are laid out.
type expansion uint8

const (
	expandOff expansion = iota
	expandOn
	expandAuto
)

// transaction is where the session's transaction stands, as far as the target's
// answers tell.
type transaction uint8

const (
	txNone transaction = iota
	txOpen
	txFailed
)

// after is the state after a command of that tag.
func (t transaction) after(tag, text string) transaction {
	chain, to := false, false
	if tag == "COMMIT" || tag == "ROLLBACK" {
		words := []string{}
		for _, k := range lex(text) {
			if k.kind != lexSpace && k.kind != lexComment {
				words = append(words, strings.ToUpper(k.text))
			}
		}
		to = tag == "ROLLBACK" && slices.Contains(words, "TO")
		n := slices.Index(words, "CHAIN")
		chain = n > 0 && words[n-1] == "AND"
	}
	switch {
	case tag == "BEGIN" || tag == "START TRANSACTION" || to || chain:
		return txOpen
	case tag == "COMMIT" || tag == "ROLLBACK" || tag == "PREPARE TRANSACTION":
		return txNone
	}
	return t
}

// mark is the transaction's sign in the prompt, as psql has it.
func (t transaction) mark() string {
	return [...]string{txNone: "", txOpen: "*", txFailed: "!"}[t]
}

// errIdle is the cause of leaving an answer that nobody read on.
var errIdle = fmt.Errorf("%w, because nobody read on for %s", errLeft, left(idleAfter))
