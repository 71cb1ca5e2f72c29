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
	"github.com/charmbracelet/x/ansi"
	"github.com/sallyport/sallyport/bastion"
)

// judge is what the screen of one request needs of a session.
type judge interface {
	Request(context.Context, uint64) (bastion.Request, error)
	Vote(context.Context, uint64, bastion.Verdict, string) (bastion.Request, error)
	Withdraw(context.Context, uint64) (bastion.Request, error)
	Revoke(context.Context, uint64, string) (bastion.Request, error)
	Past(context.Context, uint64) (bastion.Past, error)
	Reviewed(context.Context, bastion.Request) ([]string, error)
	Try(context.Context, uint64) (bastion.Preview, error)
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
	past    bastion.Past
	tapes   []string         // the recordings that a review looks at
	tried   *bastion.Preview // what the person had run and taken back; nobody else sees it so
	untried error            // why it could not be
	loaded  bool
	err     error
	pager   pager
	w, h    int

	dialog dialog
	in     input
	hint   string

	load  Wait
	again bool
	vote  Wait // of a vote or a withdrawal
	trial Wait
	tick  Wait
}

// weighed is a request with what became of earlier ones like it.
type weighed struct {
	request bastion.Request
	past    bastion.Past
	tapes   []string
}

// voted is the request after one's own vote or withdrawal.
type voted struct{ request bastion.Request }

func newDetail(ctx context.Context, j judge, th Theme, id uint64, connect func(string) Screen) *detail {
	return &detail{ctx: ctx, judge: j, theme: th, id: id, connect: connect}
}

func (s *detail) Title() string { return fmt.Sprintf("request %d", s.id) }
func (s *detail) Typing() bool  { return s.dialog != reading }
func (s *detail) Init() tea.Cmd { return tea.Batch(s.reload(), later(s.ctx, &s.tick, time.Second)) }

func (s *detail) reload() tea.Cmd {
	if s.load.Busy() {
		s.again = true
		return nil
	}
	return ask(s.ctx, &s.load, func(ctx context.Context) (weighed, error) {
		r, err := s.judge.Request(ctx, s.id)
		if err != nil {
			return weighed{}, err
		}
		past, err := s.judge.Past(ctx, s.id)
		if err != nil {
			return weighed{}, err
		}
		tapes, err := s.judge.Reviewed(ctx, r)
		return weighed{r, past, tapes}, err
	})
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
		if s.request.Kind == bastion.KindReview {
			return []key.Binding{bind("enter", "close it", "enter"), bind("esc", "do not", "esc")}
		}
		return []key.Binding{bind("enter", "deny", "enter"), bind("esc", "do not", "esc")}
	case withdrawing:
		return []key.Binding{bind("enter", "withdraw", "enter"), bind("esc", "do not", "esc")}
	}
	if s.vote.Busy() {
		return []key.Binding{bind("esc", "stop waiting", "esc")}
	}
	connect := bind("enter", "connect", "enter")
	connect.SetEnabled(s.ready())
	approve, deny, try, withdraw := bind("y", "approve", "y"), bind("d", "deny", "d"), bind("p", "preview", "p"), bind("w", "withdraw", "w")
	if s.request.Kind == bastion.KindReview {
		approve.SetHelp("y", "all in order")
		deny.SetHelp("d", "something was wrong")
	}
	if s.trial.Busy() {
		return []key.Binding{bind("esc", "stop the preview", "esc"), bind("↑/↓", "scroll", "up", "down")}
	}
	can := s.loaded && s.request.Yours && s.request.State == bastion.Pending
	approve.SetEnabled(can)
	deny.SetEnabled(can)
	try.SetEnabled(can && s.request.Try)
	withdraw.SetEnabled(s.loaded && s.mine() && s.request.State.Open())
	return []key.Binding{approve, deny, try, connect, withdraw, bind("↑/↓", "scroll", "up", "down"), keyBack}
}

func (s *detail) FullHelp() [][]key.Binding {
	return [][]key.Binding{{bind("y", "approve: type the request's number, then enter"), bind("d", "deny: with a reason"), bind("p", "preview: have it run and taken back, where policy lets you"), bind("enter", "connect, when your request to do so is approved"), bind("w", "withdraw your own request"), bind("c x", "comment; end what was approved"),
		bind("↑/↓ pgup/pgdn", "scroll"), keyBack}}
}

func (s *detail) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if p, err, ok := take[bastion.Preview](&s.trial, msg); ok {
		s.tried, s.untried = nil, err
		if err == nil {
			s.tried = &p
		}
		s.showTrial()
		return s, nil
	}
	if w, err, ok := take[weighed](&s.load, msg); ok {
		s.loaded = true
		var next tea.Cmd
		if s.again {
			s.again = false
			next = s.reload()
		}
		if s.err = err; err != nil {
			return s, tea.Batch(next, fail(err))
		}
		s.past, s.tapes = w.past, w.tapes
		s.take(w.request)
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
		return s, later(s.ctx, &s.tick, time.Second)
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
		if r.Kind == bastion.KindTask {
			return notify(Good, fmt.Sprintf("request %d is approved; the task can go on", r.ID))
		}
		return notify(Good, fmt.Sprintf("request %d is approved; %s can %s", r.ID, clean(r.Who.Name), can))
	case bastion.Denied:
		return notify(Good, fmt.Sprintf("request %d is denied; %s reads your reason", r.ID, clean(r.Who.Name)))
	case bastion.Withdrawn:
		return notify(Good, fmt.Sprintf("request %d is withdrawn", r.ID))
	case bastion.Revoked:
		return notify(Good, fmt.Sprintf("request %d is revoked; what used it has ended", r.ID))
	case bastion.Closed:
		found := "all was in order"
		if slices.ContainsFunc(r.Votes, func(v bastion.Vote) bool { return v.Verdict == bastion.VoteDeny }) {
			found = "something was wrong, and that is kept with your reason"
		}
		return notify(Good, fmt.Sprintf("review %d is closed: %s", r.ID, found))
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
	by, scrolls := s.pager.key(k, s.h)
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEsc:
		if s.trial.Cancel() {
			s.untried = errors.New("you stopped it, and it is taken back")
			return nil
		}
		if s.vote.Cancel() {
			return tea.Batch(s.reload(), notify(Warn, "you stopped waiting; the answer may have been recorded all the same"))
		}
		return pop
	case scrolls:
		s.scroll(by)
	case !s.loaded || s.vote.Busy():
		return nil
	case k.String() == "p":
		return s.try()
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

// try has the operation run and taken back.
func (s *detail) try() tea.Cmd {
	r := s.request
	switch why := s.cannot(); {
	case s.trial.Busy():
		return nil
	case why != "":
		return notify(Warn, why)
	case r.Kind != "" && r.Kind != bastion.KindOperation:
		return notify(Warn, "only a single operation can be tried; decide by what stands here")
	case !r.Try:
		return notify(Warn, "policy does not let rule "+clean(r.Rule)+" be tried before; decide by the text and the estimate")
	}
	s.tried, s.untried = nil, nil
	id := s.id
	cmd := ask(s.ctx, &s.trial, func(ctx context.Context) (bastion.Preview, error) { return s.judge.Try(ctx, id) })
	s.showTrial()
	return cmd
}

// showTrial scrolls to where a trial is told of.
func (s *detail) showTrial() {
	for i, l := range s.lines(s.w) {
		if strings.HasPrefix(ansi.Strip(l), " "+previewHeading) {
			s.pager.top = i
		}
	}
	s.scroll(0)
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
	s.trial.Cancel()
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
	s.pager.scroll(by, len(s.lines(s.w)), s.h-s.foot(s.h))
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
	b, below := s.pager.page(s.lines(w), h-s.foot(h))
	if s.dialog != reading {
		return strings.Join(append(b, s.ask(w, h)...), "\n")
	}
	foot := ""
	if below > 0 {
		foot = th.Muted.Render(fmt.Sprintf(" ↓ %s below", count(below, "line")))
		if s.request.Yours && s.request.State == bastion.Pending {
			foot = th.Warn.Render(fmt.Sprintf(" ↓ %s below: read on before you decide", count(below, "line")))
		}
	} else if s.pager.top > 0 {
		foot = th.Muted.Render(" end")
	}
	switch {
	case s.vote.Busy():
		foot = th.Muted.Render(" … your answer is being recorded")
	case s.trial.Busy():
		foot = th.Warn.Render(" … it is being run on " + clean(s.request.Target) + ", to be taken back")
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
		if r.Kind == bastion.KindReview {
			say = fmt.Sprintf("You have looked at what %s did on %s, and found all in order.", clean(r.Who.Name), clean(r.Target))
		}
		label = fmt.Sprintf("Type the request's number (%d), then enter: ", r.ID)
		if w < 60 {
			label = fmt.Sprintf("Type %d, then enter: ", r.ID)
		}
	case denying:
		say = "You deny this. " + clean(r.Who.Name) + " reads your reason."
		if r.Kind == bastion.KindReview {
			say = "You say that something was wrong. It is kept, and everybody told reads it."
		}
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
	case r.State == bastion.Pending && r.Expires.IsZero(): // a review
		state = "waiting, " + progress(r) + ", until somebody does it"
	case r.State == bastion.Pending && now.Before(r.Expires):
		state = "waiting, " + progress(r) + ", ends in " + left(r.Expires.Sub(now))
	case r.State == bastion.Approved && now.Before(r.Expires):
		state = "approved, to be used within " + left(r.Expires.Sub(now))
	case r.State.Open():
		state = "expired"
	case !r.Ended.IsZero():
		state += " " + left(now.Sub(r.Ended)) + " ago"
		if r.EndedBy != "" {
			state += " by " + r.EndedBy
		}
		if r.EndedFor != "" {
			state += ": " + r.EndedFor
		}
	}
	field("state", rows(stateStyle(th, r.State), prose(state, in))...)
	if r.Yours && r.State == bastion.Pending {
		say := "this waits for you: y approves, d denies"
		if r.Kind == bastion.KindReview {
			say = "this waits for you: y if all was in order, d if something was wrong"
		}
		field("", rows(th.Strong, prose(say, in))...)
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
	if len(s.tapes) > 0 {
		field("recorded", wrap("sessions "+strings.Join(s.tapes, ", "), in)...)
	}

	if r.Kind == bastion.KindOperation || r.Kind == "" {
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
		if r.Verb != bastion.Connect {
			label := "estimate"
			if len(r.Preview.Effect) > 0 {
				label = "compared"
			}
			for _, l := range r.Preview.Lines() {
				field(label, prose(l, in)...)
				label = ""
			}
		}
		for _, l := range r.Preview.Effect {
			b = append(b, s.effect(l, w)...)
		}
	}

	b = append(b, "", " "+th.Heading.Render(exactly(r.Kind))+th.Muted.Render(fmt.Sprintf("  %s, %s", count(strings.Count(strings.TrimSuffix(r.Text, "\n"), "\n")+1, "line"), count(len(r.Text), "byte"))))
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
	if r.Settings != "" {
		field("read with", rows(th.Muted, prose(r.Settings, in))...)
	}

	if r.Try && (r.Yours || s.tried != nil || s.untried != nil) && (r.State == bastion.Pending || s.tried != nil) {
		b = append(b, "", " "+th.Heading.Render(previewHeading)+th.Muted.Render("  run on the target and taken back, seen by you alone"))
		switch {
		case s.trial.Busy():
			b = append(b, " … it is being run; esc stops it")
		case s.untried != nil:
			why := s.untried.Error()
			if denied := (*bastion.DeniedError)(nil); errors.As(s.untried, &denied) {
				why = denied.Reason + "; " + denied.Next
			}
			b = append(b, rows(th.Bad, indent(prose("no preview: "+why, w-4)))...)
		case s.tried == nil:
			b = append(b, rows(th.Muted, indent(prose("Press p to have it run in a transaction that is rolled back. For seconds it locks what it touches, and others wait.", w-4)))...)
		default:
			b = append(b, s.trialLines(w)...)
		}
	}

	if !s.mine() { // who asks wants to know who decides
		b = append(b, s.before(w)...)
	}

	b = append(b, "", " "+th.Heading.Render("Approval"))
	field("rule", wrap(bastion.VisibleLine(r.Rule), in)...)
	field("needs", prose(r.Needs.String(), in)...)
	use := "once"
	if r.Holds > 0 {
		use = "again and again for " + left(r.Holds)
	}
	if r.Kind != bastion.KindReview {
		field("usable", use)
	}
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
		review := r.Kind == bastion.KindReview
		switch {
		case v.Verdict == bastion.VoteApprove && review:
			word = "found all in order"
		case v.Verdict == bastion.VoteApprove:
		case v.Verdict == bastion.VoteComment:
			word, st = "said", th.Muted
		case review:
			word, st = "found something wrong", th.Bad
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
	if s.mine() {
		b = append(b, s.before(w)...)
	}
	return b
}

// before is what became of earlier requests like this one.
func (s *detail) before(w int) []string {
	b := []string{"", " " + s.theme.Heading.Render("How earlier requests ended")}
	if s.past.Person.Total == 0 && s.past.Target.Total == 0 {
		return append(b, rows(s.theme.Warn, hanging("none by "+clean(s.request.Who.Name)+" has ended yet, and none on "+clean(s.request.Target), w))...)
	}
	for i, l := range s.past.Lines(s.request) {
		st := s.theme.Muted
		if i == 0 && s.past.Same.Total == 0 {
			st = s.theme.Warn
		}
		b = append(b, rows(st, hanging(l, w))...)
	}
	return b
}

// previewHeading stands above what the person had run and taken back.
const previewHeading = "Preview"

// exactly is the heading of a request's text.
func exactly(k bastion.RequestKind) string {
	switch k {
	case bastion.KindAccess:
		return "Exactly this is asked for"
	case bastion.KindTask:
		return "Exactly these steps run"
	case bastion.KindReview:
		return "This is to be looked at"
	}
	return "Exactly this runs"
}

// hanging is a line under a heading, whose further lines stand in a little.
func hanging(text string, w int) []string {
	lines := prose(text, max(4, w-4))
	for i := range lines {
		lines[i] = "  " + lines[i]
		if i > 0 {
			lines[i] = "  " + lines[i]
		}
	}
	return lines
}

// effect is a line of what a connector says that the operation does. The lines of a
// difference, and what is gained, show at a glance.
func (s *detail) effect(l string, w int) []string {
	st := s.theme.Plain
	switch {
	case strings.HasPrefix(l, "+"):
		st = s.theme.Good
	case strings.HasPrefix(l, "-"), strings.HasPrefix(l, "warning:"):
		st = s.theme.Bad
	case strings.HasPrefix(l, "GAINS"), strings.HasPrefix(l, "UNMASKED"), strings.HasPrefix(l, "EASIER"):
		st = s.theme.Warn
	}
	return rows(st, hanging(l, w))
}

// trialLines tells of what the person had run and taken back.
func (s *detail) trialLines(w int) []string {
	p := s.tried
	var b []string
	for i, l := range p.Lines() {
		st := s.theme.Plain
		switch {
		case i == 0 && p.Failure != "":
			st = s.theme.Bad
		case i == 0:
			st = s.theme.Strong
		case strings.HasPrefix(l, "note: "):
			st = s.theme.Muted
		}
		b = append(b, rows(st, hanging(l, w))...)
	}
	made := "made at " + bastion.Moment(p.At, s.judge.Now()) + " in " + p.Took.Round(time.Millisecond).String() + "; p makes it anew"
	return append(b, rows(s.theme.Muted, hanging(made, w))...)
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
