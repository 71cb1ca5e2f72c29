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

// judge is what the screen of one request needs of a session.
type judge interface {
	Request(context.Context, uint64) (bastion.Request, error)
	Vote(context.Context, uint64, bastion.Verdict, string) (bastion.Request, error)
	Withdraw(context.Context, uint64) (bastion.Request, error)
	Revoke(context.Context, uint64, string) (bastion.Request, error)
	Who() bastion.Identity
	Has(bastion.Duty) bool
	Now() time.Time
}

// dialog is what a person is doing on the detail screen.
type dialog uint8

const (
	reading dialog = iota
	approving
	denying
	withdrawing
)

// detail is one request in full: all that an approver must know before they
// answer for it, and the dialogs to do so. Dialogs open on a key alone, so none
// can catch a key that was meant for something else.
type detail struct {
	ctx   context.Context
	judge judge
	theme Theme
	id    uint64
	// connect makes the screen of a target, for an approved request to connect.
	connect func(target string) Screen

	request bastion.Request
	loaded  bool
	err     error
	top     int
	w, h    int

	dialog dialog
	in     input
	hint   string

	load  Wait
	again bool
	vote  Wait // of a vote or a withdrawal
	tick  Wait
}

// voted is the request after one's own vote or withdrawal.
type voted struct{ request bastion.Request }

func newDetail(ctx context.Context, j judge, th Theme, id uint64, connect func(string) Screen) *detail {
	return &detail{ctx: ctx, judge: j, theme: th, id: id, connect: connect}
}

func (s *detail) Title() string { return fmt.Sprintf("request %d", s.id) }
func (s *detail) Typing() bool  { return s.dialog != reading }
func (s *detail) Init() tea.Cmd { return tea.Batch(s.reload(), second(s.ctx, &s.tick)) }

func (s *detail) reload() tea.Cmd {
	if s.load.Busy() {
		s.again = true
		return nil
	}
	return ask(s.ctx, &s.load, func(ctx context.Context) (bastion.Request, error) { return s.judge.Request(ctx, s.id) })
}

func (s *detail) mine() bool { return s.request.Who.Person() == s.judge.Who().Person() }

// ready reports that this is the person's own approved request to connect.
func (s *detail) ready() bool {
	r := s.request
	return r.Verb == bastion.Connect && r.State == bastion.Approved && r.Who.Equal(s.judge.Who())
}

func (s *detail) ShortHelp() []key.Binding {
	switch s.dialog {
	case approving:
		return []key.Binding{bind("enter", "approve", "enter"), bind("esc", "do not", "esc")}
	case denying:
		return []key.Binding{bind("enter", "deny", "enter"), bind("esc", "do not", "esc")}
	case withdrawing:
		return []key.Binding{bind("enter", "withdraw", "enter"), bind("esc", "do not", "esc")}
	}
	if s.vote.Busy() {
		return []key.Binding{bind("esc", "stop waiting", "esc")}
	}
	connect := bind("enter", "connect", "enter")
	connect.SetEnabled(s.ready())
	approve, deny, withdraw := bind("y", "approve", "y"), bind("d", "deny", "d"), bind("w", "withdraw", "w")
	can := s.loaded && s.request.Yours && s.request.State == bastion.Pending
	approve.SetEnabled(can)
	deny.SetEnabled(can)
	withdraw.SetEnabled(s.loaded && s.mine() && s.request.State.Open())
	return []key.Binding{approve, deny, connect, withdraw, bind("↑/↓", "scroll", "up", "down"), keyBack}
}

func (s *detail) FullHelp() [][]key.Binding {
	return [][]key.Binding{{bind("y", "approve: type the request's number, then enter"), bind("d", "deny: with a reason"), bind("enter", "connect, when your request to do so is approved"), bind("w", "withdraw your own request"), bind("c x", "comment; end what was approved"),
		bind("↑/↓ pgup/pgdn", "scroll"), keyBack}}
}

func (s *detail) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if r, err, ok := take[bastion.Request](&s.load, msg); ok {
		s.loaded = true
		var next tea.Cmd
		if s.again {
			s.again = false
			next = s.reload()
		}
		if s.err = err; err != nil {
			return s, tea.Batch(next, fail(err))
		}
		s.take(r)
		return s, next
	}
	if v, err, ok := take[voted](&s.vote, msg); ok {
		if err != nil {
			return s, tea.Batch(s.reload(), fail(err))
		}
		s.take(v.request)
		return s, s.result()
	}
	if _, err, ok := take[time.Time](&s.tick, msg); ok && err == nil && (s.request.State.Open() || !s.loaded) {
		return s, second(s.ctx, &s.tick)
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.w, s.h = msg.Width, msg.Height
		s.scroll(0)
	case Queue, SignedIn:
		return s, s.reload()
	case tea.KeyMsg:
		return s, s.key(msg)
	}
	return s, nil
}

// take shows a newer state of the request. A dialog whose question is settled closes.
func (s *detail) take(r bastion.Request) {
	s.request, s.loaded, s.err = r, true, nil
	settled := r.State != bastion.Pending || !r.Yours
	if s.dialog == withdrawing {
		settled = !r.State.Open()
	}
	if s.dialog != reading && settled {
		s.dialog, s.in, s.hint = reading, input{}, ""
	}
	s.scroll(0)
}

// result says what the request became by what the person did.
func (s *detail) result() tea.Cmd {
	r := s.request
	switch r.State {
	case bastion.Approved, bastion.Used:
		can := "run it"
		if r.Verb == bastion.Connect {
			can = "connect"
		}
		return notify(Good, fmt.Sprintf("request %d is approved; %s can %s", r.ID, clean(r.Who.Name), can))
	case bastion.Denied:
		return notify(Good, fmt.Sprintf("request %d is denied; %s reads your reason", r.ID, clean(r.Who.Name)))
	case bastion.Withdrawn:
		return notify(Good, fmt.Sprintf("request %d is withdrawn", r.ID))
	case bastion.Revoked, bastion.Closed:
		return notify(Good, fmt.Sprintf("request %d is %s", r.ID, r.State))
	}
	if n := len(r.Votes); n > 0 && r.Votes[n-1].Verdict == bastion.VoteComment && r.Votes[n-1].Who.Equal(s.judge.Who()) {
		return notify(Good, "your comment is kept, and decides nothing")
	}
	return notify(Good, fmt.Sprintf("your vote counts; request %d still waits: %s", r.ID, progress(r)))
}

func (s *detail) key(k tea.KeyMsg) tea.Cmd {
	if s.dialog != reading {
		return s.answer(k)
	}
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEsc:
		if s.vote.Cancel() {
			return tea.Batch(s.reload(), notify(Warn, "you stopped waiting; the answer may have been recorded all the same"))
		}
		return pop
	case k.Type == tea.KeyUp:
		s.scroll(-1)
	case k.Type == tea.KeyDown:
		s.scroll(1)
	case k.Type == tea.KeyPgUp:
		s.scroll(-max(1, s.h-4))
	case k.Type == tea.KeyPgDown || k.Type == tea.KeySpace:
		s.scroll(max(1, s.h-4))
	case k.Type == tea.KeyHome:
		s.scroll(-1 << 30)
	case k.Type == tea.KeyEnd:
		s.scroll(1 << 30)
	case !s.loaded || s.vote.Busy():
		return nil
	case k.Type == tea.KeyEnter && s.ready():
		return tea.Sequence(pop, push(s.connect(s.request.Target)))
	case k.String() == "y" || k.String() == "d":
		if why := s.cannot(); why != "" {
			return notify(Warn, why)
		}
		s.dialog, s.in, s.hint = approving, input{limit: 20}, ""
		if k.String() == "d" {
			s.dialog, s.in = denying, input{}
		}
	case k.String() == "c":
		return push(newPrompt(s.theme, "comment", []string{"A comment decides nothing; everybody who may see the request sees it."}, "What do you want to say?", "say it", func(text string) tea.Cmd {
			return ask(s.ctx, &s.vote, func(ctx context.Context) (voted, error) {
				r, err := s.judge.Vote(ctx, s.id, bastion.VoteComment, text)
				return voted{r}, err
			})
		}))
	case k.String() == "x":
		if s.request.State != bastion.Approved {
			return notify(Info, "there is nothing to end: the request is "+string(s.request.State))
		}
		return push(newPrompt(s.theme, "end it", []string{"What was approved ends at once, also where it is in use."}, "Why?", "end it", func(text string) tea.Cmd {
			return ask(s.ctx, &s.vote, func(ctx context.Context) (voted, error) {
				r, err := s.judge.Revoke(ctx, s.id, text)
				return voted{r}, err
			})
		}))
	case k.String() == "w":
		switch {
		case !s.mine():
			return notify(Warn, "only "+clean(s.request.Who.Name)+" can withdraw this request")
		case !s.request.State.Open():
			return notify(Info, "this request is "+string(s.request.State)+" already")
		}
		s.dialog, s.in, s.hint = withdrawing, input{}, ""
	}
	return nil
}

// cannot says why the person cannot decide the request; empty if they can.
func (s *detail) cannot() string {
	r := s.request
	me := s.judge.Who()
	switch {
	case r.State != bastion.Pending:
		return "this request is " + string(r.State) + " already"
	case s.mine() && r.Who.Kind == bastion.Service:
		return "you answer for this service, and nobody approves what they asked for themselves"
	case s.mine():
		return "this is your own request, and nobody approves their own"
	case slices.ContainsFunc(r.Votes, func(v bastion.Vote) bool {
		return v.Verdict != bastion.VoteComment && v.Who.Person() == me.Person()
	}):
		return "you have voted on this request already"
	case !r.Yours && !s.judge.Has(bastion.Approve):
		return "none of your roles may approve; this needs " + r.Needs.String()
	case !r.Yours:
		return "your roles do not fit this request; it needs " + r.Needs.String()
	}
	return ""
}

// answer takes the keys of a dialog. Nothing pasted can decide.
func (s *detail) answer(k tea.KeyMsg) tea.Cmd {
	s.hint = ""
	if k.Type == tea.KeyEsc {
		s.dialog, s.in = reading, input{}
		return nil
	}
	// Several characters at once are a paste too, from a terminal that does not mark it.
	if (k.Paste || len(k.Runes) > 1) && s.dialog != denying {
		s.hint = "pasting does not count here: type it, so that it is you who decides"
		return nil
	}
	if k.Type != tea.KeyEnter || k.Paste {
		s.in.key(k)
		return nil
	}
	text, id := s.in.String(), s.id
	switch s.dialog {
	case approving:
		if text != fmt.Sprint(id) {
			s.hint = fmt.Sprintf("that is not the number: this is request %d", id)
			s.in = input{limit: 20}
			return nil
		}
		return s.cast(bastion.VoteApprove, "")
	case denying:
		if text == "" {
			s.hint = "please give a reason; " + clean(s.request.Who.Name) + " reads it"
			return nil
		}
		return s.cast(bastion.VoteDeny, text)
	}
	s.dialog, s.in = reading, input{}
	return ask(s.ctx, &s.vote, func(ctx context.Context) (voted, error) {
		r, err := s.judge.Withdraw(ctx, id)
		return voted{r}, err
	})
}

func (s *detail) cast(v bastion.Verdict, reason string) tea.Cmd {
	s.dialog, s.in = reading, input{}
	id := s.id
	return ask(s.ctx, &s.vote, func(ctx context.Context) (voted, error) {
		r, err := s.judge.Vote(ctx, id, v, reason)
		return voted{r}, err
	})
}

// follows implements [follower].
func (s *detail) follows(request uint64) bool { return s.id == request }

// Leave implements [Leaver].
func (s *detail) Leave() {
	s.load.Cancel()
	s.vote.Cancel()
	s.tick.Cancel()
}

// foot is the number of lines below the text.
func (s *detail) foot(h int) int {
	switch {
	case s.dialog == reading:
		return 1
	case h < 10:
		return 3
	}
	return 4
}

func (s *detail) scroll(by int) {
	n := len(s.lines(s.w))
	s.top = max(0, min(s.top+by, n-max(1, s.h-s.foot(s.h))))
}

func (s *detail) View(w, h int) string {
	th := s.theme
	if !s.loaded {
		return "\n  " + th.Muted.Render("… reading the request; esc goes back")
	}
	if s.err != nil && s.request.ID == 0 {
		text := s.err.Error()
		if errors.Is(s.err, bastion.ErrNotFound) {
			text = fmt.Sprintf("There is no request %d, or it is not yours to see.", s.id)
		}
		return "\n" + strings.Join(rows(th.Bad, indent(prose(text, w-4))), "\n")
	}
	page := max(1, h-s.foot(h))
	all := s.lines(w)
	top := max(0, min(s.top, len(all)-page))
	b := window(all, top, page)
	for len(b) < page {
		b = append(b, "")
	}
	if s.dialog != reading {
		return strings.Join(append(b, s.ask(w, h)...), "\n")
	}
	foot := ""
	if more := len(all) - top - page; more > 0 {
		foot = th.Muted.Render(fmt.Sprintf(" ↓ %s below", count(more, "line")))
		if s.request.Yours && s.request.State == bastion.Pending {
			foot = th.Warn.Render(fmt.Sprintf(" ↓ %s below: read on before you decide", count(more, "line")))
		}
	} else if top > 0 {
		foot = th.Muted.Render(" end")
	}
	if s.vote.Busy() {
		foot = th.Muted.Render(" … your answer is being recorded")
	}
	return strings.Join(append(b, foot), "\n")
}

// ask draws the open dialog.
func (s *detail) ask(w, h int) []string {
	th, r := s.theme, s.request
	var say, label string
	switch s.dialog {
	case approving:
		say = fmt.Sprintf("You approve exactly this, for %s on %s.", clean(r.Who.Name), clean(r.Target))
		label = fmt.Sprintf("Type the request's number (%d), then enter: ", r.ID)
		if w < 60 {
			label = fmt.Sprintf("Type %d, then enter: ", r.ID)
		}
	case denying:
		say = "You deny this. " + clean(r.Who.Name) + " reads your reason."
		label = "Reason: "
	case withdrawing:
		say = "You take your request back. To run it, you would ask again."
		label = "Press enter to withdraw, esc to keep it."
	}
	b := []string{th.Accent.Render(strings.Repeat("─", w)), " " + th.Strong.Render(cut(say, w-2))}
	line := " " + label
	if s.dialog != withdrawing {
		line += s.in.view(th, max(4, w-len(label)-2), true)
	}
	hint := " " + th.Warn.Render(cut(s.hint, w-2))
	if s.foot(h) == 3 && s.hint != "" {
		b[1] = hint
	}
	b = append(b, line)
	if s.foot(h) == 4 {
		b = append(b, hint)
	}
	return b
}

// lines is the request in full, w columns wide.
func (s *detail) lines(w int) []string {
	th, r := s.theme, s.request
	now := s.judge.Now()
	const name = 11
	in := max(8, w-name-3)
	var b []string
	field := func(label string, lines ...string) {
		for i, l := range lines {
			if i > 0 {
				label = ""
			}
			b = append(b, " "+th.Muted.Render(pad(label, name))+" "+l)
		}
	}
	state := string(r.State)
	switch {
	case r.State == bastion.Pending && now.Before(r.Expires):
		state = "waiting, " + progress(r) + ", ends in " + left(r.Expires.Sub(now))
	case r.State == bastion.Approved && now.Before(r.Expires):
		state = "approved, to be used within " + left(r.Expires.Sub(now))
	case r.State.Open():
		state = "expired"
	case !r.Ended.IsZero():
		state += " " + left(now.Sub(r.Ended)) + " ago"
	}
	field("state", rows(stateStyle(th, r.State), prose(state, in))...)
	if r.Yours && r.State == bastion.Pending {
		field("", th.Strong.Render(cut("this waits for you: y approves, d denies", in)))
	} else if why := s.cannot(); r.State == bastion.Pending && why != "" {
		field("", rows(th.Muted, prose(why, in))...)
	}
	who := r.Who.Name
	if r.Who.Email != "" {
		who += " <" + r.Who.Email + ">"
	}
	who += ", a " + string(r.Who.Kind)
	field("who", rows(th.Strong, wrap(who, in))...)
	field("from", wrap(bastion.VisibleLine(r.Origin.Address)+"  key "+bastion.VisibleLine(r.Origin.Key), in)...)
	if r.Origin.Client != "" {
		field("client", rows(th.Muted, wrap(bastion.VisibleLine(r.Origin.Client), in))...)
	}
	field("target", rows(th.Strong, wrap(bastion.VisibleLine(r.Target), in))...)
	if a := r.Access; a != nil {
		text := clean(a.Bundle) + " for " + left(a.For)
		if !a.From.IsZero() {
			text += ", from " + a.From.UTC().Format("2006-01-02 15:04") + " UTC"
		}
		if a.Window != "" {
			text += ", in " + clean(a.Window)
		}
		if a.Emergency {
			text += ", taken in an emergency"
		}
		field("access", rows(th.Strong, wrap(text, in))...)
	}
	field("reason", wrap(r.Reason, in)...)

	b = append(b, "", " "+th.Heading.Render("Exactly this runs")+th.Muted.Render(fmt.Sprintf("  %s, %s", count(strings.Count(strings.TrimSuffix(r.Text, "\n"), "\n")+1, "line"), count(len(r.Text), "byte"))))
	if odd := unseen(r.Text); len(odd) > 0 {
		b = append(b, rows(th.Bad, frame(prose("contains characters that do not show: "+strings.Join(odd, " "), w-4)))...)
	}
	for _, l := range wrap(r.Text, w-4) {
		b = append(b, " "+th.Accent.Render("│")+" "+l)
	}

	for i, p := range r.Params {
		label := fmt.Sprintf("$%d = ", i+1)
		if odd := unseen(p); len(odd) > 0 {
			b = append(b, rows(th.Bad, frame(prose(fmt.Sprintf("$%d contains characters that do not show: %s", i+1, strings.Join(odd, " ")), w-4)))...)
		}
		for _, l := range wrap(label+p, w-4) {
			b = append(b, " "+th.Accent.Render("│")+" "+l)
		}
	}

	b = append(b, "", " "+th.Heading.Render("What it does"))
	field("effect", wrap(r.Summary, in)...)
	for i, a := range r.Actions {
		what := string(a.Verb)
		if a.Resource != "" {
			what += "  " + a.Resource
		}
		label := ""
		if i == 0 {
			label = "actions"
		}
		field(label, wrap(bastion.VisibleLine(what), in)...)
	}
	estimate := "unknown"
	if r.Preview.Rows >= 0 {
		estimate = "about " + count(int(r.Preview.Rows), "row")
	}
	if r.Verb != bastion.Connect {
		if r.Preview.Note != "" {
			estimate += " (" + r.Preview.Note + ")"
		}
		field("estimate", prose(estimate, in)...)
	}
	if r.Settings != "" {
		field("settings", wrap(r.Settings, in)...)
	}

	b = append(b, "", " "+th.Heading.Render("Approval"))
	field("rule", wrap(bastion.VisibleLine(r.Rule), in)...)
	field("needs", prose(r.Needs.String(), in)...)
	use := "once"
	if r.Holds > 0 {
		use = "again and again for " + left(r.Holds)
	}
	field("usable", use)
	if len(r.Approvers) > 0 && r.State == bastion.Pending {
		field("can approve", prose(strings.Join(r.Approvers, ", "), in)...)
	}
	for i, x := range r.Seen {
		label := ""
		if i == 0 {
			label = "seen by"
		}
		field(label, cut(clean(x.Name)+", "+left(now.Sub(x.At))+" ago", in))
	}
	for i, v := range r.Votes {
		word, st := "approved", th.Good
		switch v.Verdict {
		case bastion.VoteApprove:
		case bastion.VoteComment:
			word, st = "said", th.Muted
		default:
			word, st = "denied", th.Bad
		}
		text := fmt.Sprintf("%s %s, %s ago", clean(v.Who.Name), word, left(now.Sub(v.At)))
		if len(v.Roles) > 0 {
			text += ", as " + clean(strings.Join(v.Roles, ", "))
		}
		if v.Reason != "" {
			text += ": " + v.Reason
		}
		label := ""
		if i == 0 {
			label = "votes"
		}
		field(label, rows(st, wrap(text, in))...)
	}
	field("asked", left(now.Sub(r.Created))+" ago, at "+r.Created.UTC().Format("2006-01-02 15:04:05")+" UTC")
	if r.Digest != "" {
		field("digest", rows(th.Muted, wrap(clean(r.Digest), in))...)
	}
	return b
}

// unseen lists the characters of a text that do something other than show
// themselves, as Visible spells them, each once and eight at most.
func unseen(s string) []string {
	var out []string
	for i, r := range s {
		if r == '\n' || r == '\t' {
			continue
		}
		if r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD") {
			r = -1 // broken UTF-8
		}
		raw := s[i : i+1]
		if r >= 0 {
			raw = string(r)
		}
		shown := bastion.Visible(raw)
		if shown == raw || slices.Contains(out, shown) {
			continue
		}
		if len(out) == 8 {
			return append(out, "…")
		}
		out = append(out, shown)
	}
	return out
}

// frame puts the edge of a quotation before each line.
func frame(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = " ! " + l
	}
	return out
}
