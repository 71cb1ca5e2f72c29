package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/sallyport/sallyport/bastion"
)

// Product is the name on every screen.
const Product = "Sallyport"

// person is who the header speaks of.
type person interface {
	Who() bastion.Identity
	Roles() []bastion.Role
	Now() time.Time
}

// desk is what the root needs of a session.
type desk interface {
	person
	Has(bastion.Duty) bool
	Requests(context.Context, bastion.RequestFilter) ([]bastion.Request, error)
	Request(context.Context, uint64) (bastion.Request, error)
	SignIn(context.Context, func(bastion.SignInPrompt) error) error
	actor
}

// Root is the program: a stack of screens between a header that says who, where
// and for how long, and a help line that the top screen's keys make.
type Root struct {
	ctx    context.Context // the session's
	desk   desk
	theme  Theme
	stack  []Screen
	w, h   int
	notice Notice

	queue    Screen        // the approvals queue, made on demand
	newQueue func() Screen // makes it
	bell     func()        // rings at the person's terminal

	waiting []bastion.Request // requests that the person may decide
	seen    uint64            // highest number among those shown before
	counted bool              // whether waiting was ever read
	own     []uint64          // the person's own requests that nobody has decided yet
	asking  Wait
	again   bool // something changed while asking
}

// What comes from outside of the program: a change among requests, and a minute
// that passed, which needs nothing but a new picture.
type (
	changed      struct{}
	minutePassed struct{}
)

func newRoot(ctx context.Context, d desk, th Theme, w bastion.Window, first Screen) *Root {
	w = w.Clamp()
	return &Root{ctx: ctx, desk: d, theme: th, w: w.Width, h: w.Height, stack: []Screen{first}, bell: func() {}}
}

// Init implements [tea.Model].
func (r *Root) Init() tea.Cmd {
	cmds := []tea.Cmd{r.all(r.body()), r.count()}
	for _, s := range r.stack {
		cmds = append(cmds, s.Init())
	}
	return tea.Batch(cmds...)
}

func (r *Root) top() Screen { return r.stack[len(r.stack)-1] }

// Update implements [tea.Model].
func (r *Root) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyMsg:
		return r, r.key(msg)
	case tea.WindowSizeMsg:
		w := bastion.Window{Width: msg.Width, Height: msg.Height}.Clamp()
		r.w, r.h = w.Width, w.Height
		return r, r.all(r.body())
	case changed:
		return r, r.count()
	case minutePassed:
		return r, nil
	case Push:
		s, size := msg.Screen.Update(r.body())
		r.stack = append(r.stack, s)
		return r, tea.Batch(size, s.Init())
	case Pop:
		r.pop()
		return r, nil
	case Notice:
		r.notice = msg
		return r, nil
	case Failed:
		return r, r.failed(msg.Err)
	case tea.QuitMsg:
		return r, tea.Quit
	}
	if m, err, ok := take[matters](&r.asking, msg); ok {
		return r, r.counts(m, err)
	}
	return r, r.all(msg)
}

// all passes a message to every screen.
func (r *Root) all(msg tea.Msg) tea.Cmd {
	cmds := make([]tea.Cmd, len(r.stack))
	for i, s := range r.stack {
		r.stack[i], cmds[i] = s.Update(msg)
	}
	return tea.Batch(cmds...)
}

// frame is the number of lines that are not the screen's.
func (r *Root) frame() int {
	if r.h >= 16 {
		return 4
	}
	return 3
}

// body is the size that the top screen's View is given.
func (r *Root) body() tea.WindowSizeMsg {
	return tea.WindowSizeMsg{Width: r.w, Height: max(0, r.h-r.frame())}
}

// pop takes the top screen away. The first one stays.
func (r *Root) pop() {
	if len(r.stack) < 2 {
		return
	}
	if l, ok := r.top().(Leaver); ok {
		l.Leave()
	}
	r.stack[len(r.stack)-1] = nil
	r.stack = r.stack[:len(r.stack)-1]
}

// leave ends all screens, top first.
func (r *Root) leave() {
	for _, s := range slices.Backward(r.stack) {
		if l, ok := s.(Leaver); ok {
			l.Leave()
		}
	}
	r.asking.Cancel()
}

func (r *Root) key(msg tea.KeyMsg) tea.Cmd {
	r.notice = Notice{}
	if msg.Type == tea.KeyCtrlC && !msg.Paste {
		if s, ok := r.top().(Interrupter); ok {
			if cmd, took := s.Interrupt(); took {
				return cmd
			}
		}
		return tea.Quit
	}
	if !r.top().Typing() && !msg.Paste {
		switch {
		case key.Matches(msg, keyHelp):
			if _, open := r.top().(*overlay); !open {
				return push(newOverlay(r.theme, r.top()))
			}
		case key.Matches(msg, keyQueue) && r.newQueue != nil:
			return r.openQueue()
		}
	}
	s, cmd := r.top().Update(msg)
	r.stack[len(r.stack)-1] = s
	return cmd
}

// openQueue shows the approvals queue: the one that is open below, or a new one.
func (r *Root) openQueue() tea.Cmd {
	if slices.Contains(r.stack, r.queue) {
		for r.top() != r.queue {
			r.pop()
		}
		return nil
	}
	r.queue = r.newQueue()
	return push(r.queue)
}

// failed shows an error, or has the person sign in or choose a role where that is
// the cure.
func (r *Root) failed(err error) tea.Cmd {
	var stale *bastion.StaleError
	var of *bastion.ChoiceError
	switch {
	case errors.As(err, &of):
		if slices.ContainsFunc(r.stack, func(s Screen) bool { _, is := s.(*choice); return is }) {
			return nil
		}
		return push(newChoice(r.ctx, r.desk, r.theme, of))
	case err == nil, errors.Is(err, context.Canceled) && r.ctx.Err() == nil:
		return nil
	case errors.Is(err, bastion.ErrExpired) || errors.As(err, &stale):
		if slices.ContainsFunc(r.stack, func(s Screen) bool { _, is := s.(*signIn); return is }) {
			return nil
		}
		return push(newSignIn(r.ctx, r.desk, r.theme, err))
	}
	r.notice = Notice{clean(err.Error()), Bad}
	return nil
}

// matters are the requests that are this person's business.
type matters struct {
	waiting []bastion.Request // what they may decide
	own     []bastion.Request // what they asked for: what is open, and what was when last looked at
}

// count asks for the requests that wait for this person, and for their own.
// Those who can never decide are spared the first question, and the bastion its
// cost.
func (r *Root) count() tea.Cmd {
	if r.asking.Busy() {
		r.again = true
		return nil
	}
	before, decides := r.own, r.desk.Has(bastion.Approve) || r.desk.Has(bastion.Audit) // to whom policy can give reviews
	return ask(r.ctx, &r.asking, func(ctx context.Context) (m matters, err error) {
		if decides {
			if m.waiting, err = r.desk.Requests(ctx, bastion.RequestFilter{Open: true, Decide: true}); err != nil {
				return m, err
			}
		}
		if m.own, err = r.desk.Requests(ctx, bastion.RequestFilter{Open: true, Mine: true}); err != nil {
			return m, err
		}
		for _, id := range before {
			if slices.ContainsFunc(m.own, func(q bastion.Request) bool { return q.ID == id }) {
				continue
			}
			q, err := r.desk.Request(ctx, id)
			if err != nil {
				return m, err
			}
			m.own = append(m.own, q)
		}
		return m, nil
	})
}

// decided notes which of the person's own requests are still undecided. Of one
// that no longer is, it says what came of it, unless a screen does: who asked and
// went on to something else learns it wherever they are.
func (r *Root) decided(own []bastion.Request) (ring bool) {
	before := r.own
	r.own = nil
	for _, q := range own {
		if q.State == bastion.Pending {
			r.own = append(r.own, q.ID)
			continue
		}
		follows := func(s Screen) bool { f, ok := s.(follower); return ok && f.follows(q.ID) }
		if !slices.Contains(before, q.ID) || slices.ContainsFunc(r.stack, follows) {
			continue
		}
		if n := outcomeOf(q); n.Text != "" {
			r.notice, ring = n, true
		}
	}
	return ring
}

// outcomeOf says what came of one's own request, and what to do next. What one
// did oneself is not worth a word.
func outcomeOf(q bastion.Request) Notice {
	no := fmt.Sprintf("request %d", q.ID)
	switch q.State {
	case bastion.Approved:
		if q.Kind == bastion.KindTask {
			return Notice{no + " was approved" + voters(q, bastion.VoteApprove) + ": " + clean(q.Summary), Good}
		}
		if q.Verb == bastion.Connect {
			return Notice{no + " was approved" + voters(q, bastion.VoteApprove) + ": connect to " + clean(q.Target), Good}
		}
		return Notice{no + " was approved" + voters(q, bastion.VoteApprove) + ": run it again on " + clean(q.Target), Good}
	case bastion.Denied:
		text := no + " was denied" + voters(q, bastion.VoteDeny)
		for _, v := range q.Votes {
			if v.Verdict == bastion.VoteDeny && v.Reason != "" {
				text += ": " + clean(v.Reason)
			}
		}
		return Notice{text, Bad}
	case bastion.Expired:
		if q.EndedFor != "" { // it was approved once
			return Notice{clean(q.End()), Warn}
		}
		return Notice{no + " expired before it was approved; you may ask again", Warn}
	case bastion.Revoked:
		if q.EndedBy != q.Who.Name {
			return Notice{clean(q.End()), Bad}
		}
	}
	return Notice{}
}

// counts takes the requests that matter, and rings for news.
func (r *Root) counts(m matters, err error) tea.Cmd {
	var next tea.Cmd
	if r.again {
		r.again = false
		next = r.count()
	}
	if err != nil {
		// Nobody asked for this, so no screen may open because of it: it would take
		// the keys of whoever is typing.
		if _, choosing := errors.AsType[*bastion.ChoiceError](err); !choosing && !errors.Is(err, bastion.ErrExpired) && r.ctx.Err() == nil {
			r.notice = Notice{"requests cannot be read: " + err.Error(), Bad}
		}
		return next
	}
	fresh := r.decided(m.own)
	waiting := slices.DeleteFunc(m.waiting, func(q bastion.Request) bool { return q.State != bastion.Pending || !q.Yours })
	for _, q := range waiting {
		if q.ID > r.seen {
			r.seen, fresh = q.ID, fresh || r.counted
		}
	}
	r.waiting = waiting
	var ring tea.Cmd
	if fresh {
		ring = func() tea.Msg { r.bell(); return nil }
	}
	r.counted = true
	return tea.Batch(next, ring, r.all(Queue{waiting}))
}

// View implements [tea.Model]. It has exactly the window's height.
func (r *Root) View() string {
	if r.w <= 0 || r.h <= 0 {
		return ""
	}
	lines := []string{r.header()}
	if r.frame() > 3 {
		lines = append(lines, r.theme.Muted.Render(strings.Repeat("─", r.w)))
	}
	if body := r.h - r.frame(); body > 0 {
		lines = append(lines, fit(r.top().View(r.w, body), r.w, body))
	}
	lines = append(lines, r.status(), r.footer())
	return fit(strings.Join(lines, "\n"), r.w, r.h)
}

// header says what this is, where one is, who one is, and for how long.
func (r *Root) header() string {
	who := r.desk.Who()
	name := clean(who.Name)
	var roles []string
	for _, role := range r.desk.Roles() {
		roles = append(roles, clean(role.Name))
	}
	long := name
	if len(roles) > 0 {
		long += " (" + strings.Join(roles, ", ") + ")"
	}
	until, signed, st := "no end", "no end", r.theme.Muted
	if !who.Expires.IsZero() {
		d := who.Expires.Sub(r.desk.Now())
		until = left(d.Truncate(time.Minute)) + " left"
		switch {
		case d <= 0:
			until, st = "sign-in ended", r.theme.Bad
		case d < time.Minute:
			until, st = "under 1m left", r.theme.Warn
		case d < time.Hour:
			until, st = short(d)+" left", r.theme.Warn
		}
		if signed = "signed in, " + until; d <= 0 {
			signed = until
		}
	}
	var place []string
	for _, s := range r.stack {
		if t := s.Title(); t != "" {
			place = append(place, clean(t))
		}
	}
	at := strings.Join(place, " › ")
	// From the fullest wording to the shortest, the first that fits.
	for _, f := range []struct{ who, until, at string }{
		{long, signed, at},
		{long, until, at},
		{long, until, place[len(place)-1]},
		{name, until, place[len(place)-1]},
		{name, until, ""},
	} {
		plain := width(Product + " › " + f.at + "  " + f.who + " · " + f.until)
		if plain+2 > r.w && f.at != "" {
			continue
		}
		leftSide := " " + r.theme.Accent.Bold(true).Render(Product)
		if f.at != "" {
			leftSide += r.theme.Muted.Render(" › ") + f.at
		}
		return ends(leftSide, r.theme.Strong.Render(f.who)+r.theme.Muted.Render(" · ")+st.Render(f.until)+" ", r.w)
	}
	return ""
}

// status is the notice, or else what waits for the person.
func (r *Root) status() string {
	n := r.notice
	if n.Text == "" && len(r.waiting) > 0 && !slices.Contains(r.stack, r.queue) {
		n.Level = Warn
		n.Text = count(len(r.waiting), "request") + " waits for you"
		if len(r.waiting) > 1 {
			n.Text = count(len(r.waiting), "request") + " wait for you"
		}
		if r.top().Typing() {
			n.Text += " (go back to the targets, then press a)"
		} else {
			n.Text += " — press a"
		}
	}
	if n.Text == "" {
		return ""
	}
	return " " + r.theme.Level(n.Level).Render(cut(clean(n.Text), r.w-2))
}

// footer is the help line, made from the top screen's keys.
func (r *Root) footer() string {
	tail := ""
	if _, open := r.top().(*overlay); !open && !r.top().Typing() {
		tail = r.theme.keys([]key.Binding{keyHelp}, r.w)
	}
	room := r.w - 2
	if tail != "" {
		room -= width(tail) + 2
	}
	line := r.theme.keys(r.top().ShortHelp(), room)
	if line != "" && tail != "" {
		line += "  "
	}
	return " " + line + tail
}
