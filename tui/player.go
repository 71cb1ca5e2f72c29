package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/sallyport/sallyport/bastion"
)

// projector is what replay needs of a session.
type projector interface {
	Replay(ctx context.Context, id string) (bastion.Replay, error)
}

const (
	tapeBytes  = 8 << 20   // of output that are kept, unless a test says otherwise, for going back without reading anew
	readBytes  = 256 << 10 // of output that are read at a time
	drawnBytes = 512 << 10 // of output that are drawn between two keys
	drawnTime  = 50 * time.Millisecond
	frameTime  = 50 * time.Millisecond
	idleTime   = 2 * time.Second // what is left of a pause when pauses are skipped
)

// speeds are the steps of + and -.
func speeds() []float64 { return []float64{1, 2, 4, 8, 16} }

// player replays one recording: the screen as the person saw it, and beside it
// what happened when.
type player struct {
	ctx       context.Context
	projector projector
	theme     Theme
	recording bastion.Recording

	drawer drawer
	reel   *reel // nil until the recording is open
	events []bastion.Event
	begun  bool // it was open once; from then on it opens to go back
	err    error

	screen *emulator
	tape   []bastion.Chunk // what was read, without what was given up at its beginning
	keep   int             // bytes of tape that may be kept
	kept   int             // bytes of tape
	whole  bool            // whether tape begins at the beginning
	next   int             // index into tape of the chunk to draw next
	eof    bool
	end    time.Duration // length as far as it is known

	at      time.Duration
	goal    time.Duration // while seeking
	seeking bool
	playing bool
	last    time.Time // of the frame before
	speed   int
	skip    bool
	skipped time.Duration // the pause that was skipped last

	only    bool // events only
	focus   bool // keys go to the timeline
	full    bool // the screen takes all the room
	list    list
	scroll  int // first line of the recorded screen, when it is higher than its pane
	w, h    int
	loading Wait // of the open recording
	reading Wait // of chunks
	tick    Wait // of frames and of drawing steps
}

// reel is an open recording, which may be closed while a command reads it.
type reel struct {
	mu     sync.Mutex // guards what follows
	replay bastion.Replay
	closed bool
}

func (r *reel) next() (bastion.Chunk, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return bastion.Chunk{}, context.Canceled
	}
	return r.replay.Next()
}

func (r *reel) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		_ = r.replay.Close() // it was only read
	}
}

// drawer holds the player's open recording, so that none stays open whose
// opening ended after the player was left.
type drawer struct {
	mu   sync.Mutex // guards what follows
	reel *reel
	shut bool
}

func (d *drawer) put(r *reel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reel != nil {
		d.reel.close()
	}
	if d.reel = r; d.shut {
		r.close()
	}
}

func (d *drawer) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	if d.reel != nil {
		d.reel.close()
	}
}

// chunks is what one reading brought.
type chunks struct {
	list []bastion.Chunk
	eof  bool
}

// frameAt is the time of a frame; step goes on drawing.
type (
	frameAt time.Time
	step    struct{}
)

func newPlayer(ctx context.Context, p projector, th Theme, r bastion.Recording, eventsOnly bool) *player {
	return &player{ctx: ctx, projector: p, theme: th, recording: r, only: eventsOnly, focus: eventsOnly, skip: true, keep: tapeBytes,
		screen: emulatorOf(r), whole: true, end: r.Length}
}

func (s *player) Title() string {
	if s.only {
		return "events"
	}
	return "replay"
}

func (s *player) Typing() bool  { return false }
func (s *player) Init() tea.Cmd { return s.open() }

// open opens the recording at its beginning.
func (s *player) open() tea.Cmd {
	id := s.recording.ID
	return ask(s.ctx, &s.loading, func(ctx context.Context) (*reel, error) {
		r, err := s.projector.Replay(ctx, id)
		if err != nil {
			return nil, err
		}
		l := &reel{replay: r}
		s.drawer.put(l)
		return l, nil
	})
}

func (s *player) ShortHelp() []key.Binding {
	enter := bind("enter", "replay from here", "enter")
	if s.loading.Busy() && s.reel == nil {
		return []key.Binding{bind("esc", "cancel", "esc")}
	}
	if s.only {
		return []key.Binding{enter, bind("↑/↓", "choose", "up", "down"), keyBack}
	}
	play := bind("space", "play", " ")
	if s.playing {
		play = bind("space", "pause", " ")
	}
	tab := bind("tab", "timeline", "tab")
	if s.focus {
		tab = bind("tab", "screen", "tab")
		enter = bind("enter", "jump", "enter")
	}
	enter.SetEnabled(s.focus)
	skip := bind("i", "show idle time", "i")
	if !s.skip {
		skip = bind("i", "skip idle time", "i")
	}
	return []key.Binding{play, enter, bind("←/→", "5 s", "left", "right"), bind("+/-", "speed", "+", "-"), tab, bind("z", "zoom", "z"), keyBack, skip}
}

func (s *player) FullHelp() [][]key.Binding {
	return [][]key.Binding{
		{bind("space", "play, pause"), bind("←/→", "back or forward 5 seconds"), bind("0-9", "go to 0 % to 90 %"), bind("home/end", "beginning, end"), bind("+/-", "faster, slower: 1x to 16x"), bind("i", "skip idle time, or show it")},
		{bind("tab", "to the timeline and back"), bind("enter", "in the timeline: jump to the event"), bind("↑/↓", "in the timeline: choose; else scroll a high screen"), bind("z", "the screen in full, without the timeline"), keyBack},
	}
}

func (s *player) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if r, err, ok := take[*reel](&s.loading, msg); ok {
		return s, s.opened(r, err)
	}
	if c, err, ok := take[chunks](&s.reading, msg); ok {
		return s, s.arrived(c, err)
	}
	if t, err, ok := take[frameAt](&s.tick, msg); ok {
		if err != nil {
			return s, nil
		}
		return s, s.frame(time.Time(t))
	}
	if _, err, ok := take[step](&s.tick, msg); ok {
		if err != nil {
			return s, nil
		}
		return s, s.draw()
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.w, s.h = msg.Width, msg.Height
		s.list.clamp(len(s.events), s.timelinePage())
		s.scrollBy(0)
	case SignedIn:
		if s.reel == nil {
			return s, s.open()
		}
	case tea.KeyMsg:
		if !msg.Paste {
			return s, s.key(msg)
		}
	}
	return s, nil
}

func (s *player) opened(r *reel, err error) tea.Cmd {
	if err != nil {
		s.err = err
		s.seeking = false
		return fail(err)
	}
	s.err = nil
	s.reel = r
	s.events = r.replay.Events()
	s.recording = r.replay.Recording()
	s.end = max(s.end, s.recording.Length)
	if n := len(s.events); n > 0 {
		s.end = max(s.end, s.events[n-1].Offset)
	}
	s.tape, s.kept, s.next, s.whole, s.eof = nil, 0, 0, true, false
	s.screen = emulatorOf(s.recording)
	s.list.clamp(len(s.events), s.timelinePage())
	if !s.begun {
		s.begun, s.goal, s.seeking = true, 0, true
		s.playing = !s.only
	}
	if s.only {
		s.seeking = false
		return nil
	}
	return s.draw()
}

// read reads the next pieces of output.
func (s *player) read() tea.Cmd {
	if s.reading.Busy() || s.reel == nil {
		return nil
	}
	r := s.reel
	return ask(s.ctx, &s.reading, func(ctx context.Context) (chunks, error) {
		var c chunks
		for n := 0; n < readBytes; {
			k, err := r.next()
			if errors.Is(err, io.EOF) {
				c.eof = true
				return c, nil
			}
			if err != nil {
				return c, err
			}
			k.Output = slices.Clone(k.Output)
			n += len(k.Output) + 64
			c.list = append(c.list, k)
		}
		return c, ctx.Err()
	})
}

func (s *player) arrived(c chunks, err error) tea.Cmd {
	if err != nil {
		s.err, s.playing, s.seeking = err, false, false
		return fail(fmt.Errorf("reading the recording: %w", err))
	}
	s.tape = append(s.tape, c.list...)
	for _, k := range c.list {
		s.kept += len(k.Output) + 64
	}
	if s.eof = c.eof; len(s.tape) > 0 {
		s.end = max(s.end, s.tape[len(s.tape)-1].At)
	}
	return s.draw()
}

// trim gives up what was drawn, when it is too much to keep.
func (s *player) trim() {
	n := 0
	for s.kept > s.keep && n < s.next {
		s.kept -= len(s.tape[n].Output) + 64
		n++
	}
	if n > 0 {
		s.tape, s.next, s.whole = slices.Clone(s.tape[n:]), s.next-n, false
	}
}

// draw draws up to the present moment, or up to the goal of a search, some of it
// at a time so that keys keep working.
func (s *player) draw() tea.Cmd {
	if s.reel == nil || s.loading.Busy() {
		return nil
	}
	until := s.at
	if s.seeking {
		until = s.goal
	}
	began := time.Now()
	for n := 0; s.next < len(s.tape) && s.tape[s.next].At <= until; s.next++ {
		if n > drawnBytes || time.Since(began) > drawnTime {
			return ask(s.ctx, &s.tick, func(context.Context) (step, error) { return step{}, nil })
		}
		k := s.tape[s.next]
		if k.Output == nil {
			s.screen.resize(k.Width, k.Height)
		} else {
			s.screen.write(k.Output)
		}
		n += len(k.Output)
	}
	s.trim()
	if s.next == len(s.tape) && !s.eof {
		return s.read()
	}
	if s.seeking {
		s.at, s.seeking = s.goal, false
	}
	return s.run()
}

// run asks for the next frame while the recording plays.
func (s *player) run() tea.Cmd {
	if !s.playing {
		return nil
	}
	if s.at >= s.end && s.eof {
		s.playing, s.at = false, s.end
		return nil
	}
	return ask(s.ctx, &s.tick, func(ctx context.Context) (frameAt, error) {
		at, err := sleep(ctx, frameTime)
		return frameAt(at), err
	})
}

// frame moves on by the time since the frame before.
func (s *player) frame(now time.Time) tea.Cmd {
	if !s.playing {
		return nil
	}
	passed := frameTime
	if !s.last.IsZero() {
		// After a hitch, play on rather than jump.
		passed = max(0, min(now.Sub(s.last), 4*frameTime))
	}
	s.last = now
	s.at += time.Duration(float64(passed) * speeds()[s.speed])
	s.skipped = 0
	if s.skip {
		next := s.end
		if s.next < len(s.tape) {
			next = s.tape[s.next].At
		} else if !s.eof {
			next = s.at
		}
		if next-s.at > idleTime {
			s.skipped = next - s.at - idleTime
			s.at = next - idleTime
		}
	}
	s.at = min(s.at, s.end)
	return s.draw()
}

// seek goes to a moment. Going back starts again from the beginning: from what
// is kept, or else from the recording opened anew.
func (s *player) seek(to time.Duration) tea.Cmd {
	to = max(0, min(to, s.end))
	s.last = time.Time{}
	now := s.present()
	switch {
	case s.loading.Busy() && s.seeking: // being opened anew: it goes to the new goal
		s.goal = to
		return nil
	case s.reel == nil:
		return nil
	}
	s.goal, s.seeking = to, true
	if to >= now {
		return s.draw()
	}
	s.tick.Cancel()
	s.at, s.next = 0, 0
	s.screen = emulatorOf(s.recording)
	if s.whole {
		return s.draw()
	}
	s.reading.Cancel()
	s.reel = nil
	return s.open()
}

// present is the moment that the screen shows, or is on its way to.
func (s *player) present() time.Duration {
	if s.seeking {
		return s.goal
	}
	return s.at
}

func (s *player) key(k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		return pop
	case "tab":
		if !s.only {
			s.focus = !s.focus
			if s.focus {
				s.full = false
				s.list.at = max(0, s.current())
				s.list.clamp(len(s.events), s.timelinePage())
			}
		}
		return nil
	case "enter":
		if (s.focus || s.only) && s.list.at < len(s.events) {
			if s.only {
				s.only, s.focus, s.playing = false, true, false
			}
			return s.seek(s.events[s.list.at].Offset)
		}
		return nil
	}
	if s.focus && s.list.key(k, len(s.events), s.timelinePage()) || s.only {
		return nil
	}
	switch str := k.String(); str {
	case " ":
		s.playing = !s.playing
		s.last = time.Time{}
		if s.playing && s.eof && s.at >= s.end {
			return s.seek(0)
		}
		if !s.seeking {
			return s.run()
		}
	case "left":
		return s.seek(s.present() - 5*time.Second)
	case "right":
		return s.seek(s.present() + 5*time.Second)
	case "home":
		return s.seek(0)
	case "end":
		return s.seek(s.end)
	case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9":
		return s.seek(s.end * time.Duration(str[0]-'0') / 10)
	case "+", "=":
		s.speed = min(s.speed+1, len(speeds())-1)
	case "-":
		s.speed = max(s.speed-1, 0)
	case "i":
		s.skip = !s.skip
	case "z":
		s.full = !s.full
		if s.full {
			s.focus = false
		}
		s.scrollBy(0)
	case "up":
		s.scrollBy(-1)
	case "down":
		s.scrollBy(1)
	case "pgup":
		s.scrollBy(-10)
	case "pgdown":
		s.scrollBy(10)
	}
	return nil
}

func (s *player) scrollBy(n int) {
	_, h, _, _ := s.layout(s.w, s.h)
	s.scroll = max(0, min(s.scroll+n, s.screen.h-h))
}

// current is the index of the event that happened last, -1 before the first.
func (s *player) current() int {
	at := s.present()
	i, _ := slices.BinarySearchFunc(s.events, at, func(e bastion.Event, d time.Duration) int {
		if e.Offset <= d {
			return -1
		}
		return 1
	})
	return i - 1
}

// Leave implements [Leaver].
func (s *player) Leave() {
	s.loading.Cancel()
	s.reading.Cancel()
	s.tick.Cancel()
	s.drawer.close()
}

// layout divides the room: the recorded screen's pane, and the timeline's,
// which is beside it where there is room and else below.
func (s *player) layout(w, h int) (paneW, paneH, lineW, lineH int) {
	h = max(1, h-1) // the bar
	switch {
	case s.only:
		return 0, 0, w, h + 1
	case s.full || len(s.events) == 0:
		return w, h, 0, 0
	case w >= 110:
		lineW = min(max(40, w-s.screen.w-1), w-20)
		return w - lineW - 1, h, lineW, h
	case h < 8 && s.focus:
		return w, 0, w, h
	case h < 8:
		return w, h, 0, 0
	}
	lineH = max(3, min(8, h/3))
	return w, h - lineH - 1, w, lineH
}

func (s *player) timelinePage() int {
	_, _, _, h := s.layout(s.w, s.h)
	if s.only {
		return max(1, h-1-eventDetails(h))
	}
	if s.beside(h) {
		return max(1, (h-1)/2)
	}
	return max(1, h)
}

// beside reports that the timeline has room for two lines per event.
func (s *player) beside(lineH int) bool { return lineH >= 12 }

func (s *player) View(w, h int) string {
	th := s.theme
	if s.err != nil && s.reel == nil {
		text := s.err.Error()
		if errors.Is(s.err, bastion.ErrNotFound) {
			text = "This recording does not exist, or it is not yours to see."
		}
		return "\n" + strings.Join(rows(th.Bad, indent(prose(text, w-4))), "\n")
	}
	if s.reel == nil && !s.seeking {
		return "\n  " + th.Muted.Render("… opening the recording; esc goes back")
	}
	if s.only {
		return s.viewEvents(w, h)
	}
	paneW, paneH, lineW, lineH := s.layout(w, h)
	pane := s.pane(paneW, paneH)
	var b []string
	switch {
	case lineH == 0:
		b = pane
	case lineW < w:
		line := s.timeline(lineW, lineH)
		bar := th.Muted.Render("│")
		for i, l := range pane {
			b = append(b, pad(l, paneW)+bar+line[i])
		}
	case paneH == 0:
		b = s.timeline(lineW, lineH)
	default:
		b = append(pane, th.Muted.Render(strings.Repeat("─", w)))
		b = append(b, s.timeline(lineW, lineH)...)
	}
	return strings.Join(append(b, s.bar(w)), "\n")
}

// pane is exactly h lines with the recorded screen, and its edge where the pane
// is larger.
func (s *player) pane(w, h int) []string {
	edge := s.theme.Muted.Render
	lines := s.screen.view(s.theme, w, h, max(0, min(s.scroll, s.screen.h-h)))
	if w > s.screen.w {
		for i, l := range lines {
			lines[i] = pad(l, s.screen.w) + edge("│")
		}
	}
	if len(lines) < h {
		lines = append(lines, edge(strings.Repeat("─", min(w, s.screen.w))))
		if w > s.screen.w {
			lines[len(lines)-1] += edge("╯")
		}
	}
	for len(lines) < h {
		lines = append(lines, "")
	}
	return lines
}

// bar says where in the recording this is.
func (s *player) bar(w int) string {
	th := s.theme
	state := "paused"
	switch {
	case s.seeking || s.loading.Busy():
		state = "… seeking"
	case s.playing:
		state = "playing"
	case s.eof && s.at >= s.end:
		state = "end"
	}
	left := fmt.Sprintf(" %-9s %s / %s ", state, clock(s.present()), clock(s.end))
	right := fmt.Sprintf(" %gx", speeds()[s.speed])
	switch {
	case s.skipped > time.Second && w >= 60:
		right += "  skipped " + clock(s.skipped) + " idle"
	case s.skip && w >= 60:
		right += "  idle time skipped"
	}
	if s.screen.h > 0 && w >= 100 {
		right += fmt.Sprintf("  %dx%d", s.screen.w, s.screen.h)
	}
	right += " "
	room := w - len([]rune(left)) - len([]rune(right))
	if room < 4 {
		return cut(th.Strong.Render(left)+th.Muted.Render(right), w)
	}
	done := 0
	if s.end > 0 {
		done = int(int64(room) * int64(min(s.present(), s.end)) / int64(s.end))
	}
	line := th.Accent.Render(strings.Repeat("━", done)) + th.Muted.Render(strings.Repeat("─", room-done))
	return th.Strong.Render(left) + line + th.Muted.Render(right)
}

// timeline is exactly h lines of events.
func (s *player) timeline(w, h int) []string {
	th := s.theme
	now := s.current()
	l := s.list
	if !s.focus {
		l.at = max(0, now)
	}
	var b []string
	two := s.beside(h)
	page := h
	if two {
		b = append(b, th.Heading.Render(pad(" Timeline", w)))
		page = max(1, (h-1)/2)
	}
	from, to := l.page(len(s.events), page)
	for i := from; i < to; i++ {
		e := s.events[i]
		mark, st := "  ", th.Plain
		switch {
		case s.focus && i == l.at:
			mark, st = "› ", th.Selected
		case i == now:
			mark, st = "▸ ", th.Strong
		case i > now:
			st = th.Muted
		}
		what, facts := eventText(e), strings.Join(eventFacts(e), " · ")
		if !two && facts != "" {
			what = what + "  " + facts
		}
		line := pad(mark+padLeft(clock(e.Offset), 6)+" "+pad(eventWord(e), 9)+" "+what, w)
		b = append(b, st.Render(line))
		if two {
			b = append(b, s.effectStyle(e).Render(pad("         "+facts, w)))
		}
	}
	for len(b) < h {
		b = append(b, "")
	}
	return b[:h]
}

func (s *player) effectStyle(e bastion.Event) styler {
	switch {
	case e.Kind == bastion.EventDecision && e.Effect == bastion.Deny.String(), e.Error != "":
		return s.theme.Bad
	case e.Kind == bastion.EventDecision && e.Effect == bastion.Ask.String():
		return s.theme.Warn
	}
	return s.theme.Muted
}

type styler interface{ Render(...string) string }

// eventWord is an event's kind in a word.
func eventWord(e bastion.Event) string {
	switch e.Kind {
	case bastion.EventDecision:
		switch e.Effect {
		case bastion.Allow.String():
			return "allowed"
		case bastion.Ask.String():
			return "asked"
		}
		return "refused"
	case bastion.EventResult:
		if e.Error != "" {
			return "failed"
		}
		return "done"
	case bastion.EventVote:
		if e.Effect == string(bastion.VoteComment) {
			return "comment"
		}
	case bastion.EventTry:
		switch {
		case e.Error != "":
			return "untried"
		case e.Effect == "":
			return "undone"
		}
		return "try"
	case bastion.EventStart:
		return "start"
	case bastion.EventEnd:
		return "end"
	}
	return clean(string(e.Kind))
}

// eventText is what an event is about, in one line.
func eventText(e bastion.Event) string {
	text := clean(strings.Join(strings.Fields(e.Text), " "))
	switch {
	case e.Kind == bastion.EventVote || e.Kind == bastion.EventRequest || e.Kind == bastion.EventUse || e.Kind == bastion.EventWithdrawn || e.Kind == bastion.EventExpired || e.Kind == bastion.EventRevoke && e.Request != 0:
		s := fmt.Sprintf("request %d", e.Request)
		if len(e.By) > 0 {
			s += " by " + clean(strings.Join(e.By, ", "))
		}
		return s
	case text != "":
		return text
	case e.Target != "":
		return clean(string(e.Verb) + " " + e.Target)
	case e.Origin != nil:
		return "from " + clean(e.Origin.Address)
	}
	return ""
}

// eventFacts are the other facts of an event, each in a few words.
func eventFacts(e bastion.Event) []string {
	var f []string
	add := func(format string, a ...any) { f = append(f, clean(fmt.Sprintf(format, a...))) }
	if e.Rule != "" && e.Kind != bastion.EventResult {
		add("rule %s", e.Rule)
	}
	if e.Kind == bastion.EventResult || e.Kind == bastion.EventTry && e.Effect == "" {
		if e.Error == "" {
			add("%s", count(int(e.Rows), "row"))
		}
		if len(e.Masked) > 0 {
			add("masked %s", strings.Join(e.Masked, ", "))
		}
		if e.Took > 0 {
			add("%s", e.Took.Round(100*time.Microsecond))
		}
	}
	if e.Request != 0 && e.Kind != bastion.EventVote && e.Kind != bastion.EventRequest && e.Kind != bastion.EventUse {
		add("request %d", e.Request)
	}
	if len(e.By) > 0 && e.Kind != bastion.EventVote && e.Kind != bastion.EventUse {
		add("by %s", strings.Join(e.By, ", "))
	}
	if e.Effect != "" && e.Kind != bastion.EventDecision {
		add("%s", e.Effect)
	}
	if e.Reason != "" {
		add("%s", e.Reason)
	}
	if e.Error != "" {
		add("%s", e.Error)
	}
	return f
}

// eventDetails is the number of lines that tell all of the chosen event.
func eventDetails(h int) int {
	if h >= 14 {
		return h / 2
	}
	return 0
}

// viewEvents is the screen of events alone.
func (s *player) viewEvents(w, h int) string {
	th := s.theme
	r := s.recording
	b := []string{ends(" "+th.Strong.Render("Events of "+clean(r.Who.Name))+th.Muted.Render("  "+r.Start.UTC().Format("2006-01-02 15:04")+" UTC"), th.Muted.Render(count(len(s.events), "event")+" "), w)}
	from, to := s.list.page(len(s.events), s.timelinePage())
	for i := from; i < to; i++ {
		e, on := s.events[i], i == s.list.at
		line := padLeft(clock(e.Offset), 7) + "  " + pad(eventWord(e), 10) + "  "
		text := eventText(e)
		if facts := strings.Join(eventFacts(e), " · "); facts != "" {
			text += "  " + facts
		}
		if on {
			b = append(b, th.Selected.Render(pad(" › "+line+text, w)))
			continue
		}
		b = append(b, "   "+th.Muted.Render(padLeft(clock(e.Offset), 7))+"  "+s.effectStyle(e).Render(pad(eventWord(e), 10))+"  "+cut(text, w-24))
	}
	n := eventDetails(h)
	if n == 0 || s.list.at >= len(s.events) {
		return strings.Join(b, "\n")
	}
	for len(b) < h-n {
		b = append(b, "")
	}
	e := s.events[s.list.at]
	b = append(b[:h-n], th.Muted.Render(strings.Repeat("─", w)))
	add := func(name, value string) {
		if value == "" {
			return
		}
		for i, l := range wrap(value, max(8, w-14)) {
			if i > 0 {
				name = ""
			}
			b = append(b, " "+th.Muted.Render(pad(name, 10))+" "+l)
		}
	}
	add("when", e.At.UTC().Format("2006-01-02 15:04:05.000")+" UTC, event "+fmt.Sprint(e.Seq))
	add("what", eventWord(e)+"  "+strings.TrimSpace(string(e.Verb)+" on "+e.Target))
	add("facts", strings.Join(eventFacts(e), " · "))
	add("text", e.Text)
	return strings.Join(window(b, 0, h), "\n")
}
