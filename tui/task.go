package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// taskPage is one task in full: its steps, who may do what, what runs, and who
// designed, approved and executed it, with the recordings of that. What the person can
// do is a key each; what changes a target wants the task's number typed.
type taskPage struct {
	ctx     context.Context
	planner planner
	theme   Theme
	id      uint64
	request func(id uint64) Screen      // of an approval
	replay  func(session string) Screen // of a recording

	task     task.Task
	loaded   bool
	err      error
	pager    pager
	w, h     int
	starting bool // the dialog that starts it is open
	in       input
	hint     string

	load  Wait
	again bool
	act   Wait
	doing string // what act waits for, in words
	tick  Wait
}

func newTaskPage(ctx context.Context, p planner, th Theme, id uint64, request func(uint64) Screen, replay func(string) Screen) *taskPage {
	return &taskPage{ctx: ctx, planner: p, theme: th, id: id, request: request, replay: replay}
}

func (s *taskPage) Title() string { return fmt.Sprintf("task %d", s.id) }
func (s *taskPage) Typing() bool  { return s.starting }
func (s *taskPage) Init() tea.Cmd { return tea.Batch(s.reload(), s.pulse()) }

func (s *taskPage) reload() tea.Cmd {
	if s.load.Busy() {
		s.again = true
		return nil
	}
	return ask(s.ctx, &s.load, func(ctx context.Context) (task.Task, error) { return s.planner.Task(ctx, s.id) })
}

// pulse comes back now and then, because nobody tells of a step that others execute.
func (s *taskPage) pulse() tea.Cmd { return later(s.ctx, &s.tick, 3*time.Second) }

func (s *taskPage) mine() bool { return s.task.Author.Equal(s.planner.Who()) }

// executes reports whether the person may execute a step, by role or duty. Whether
// separation of duties forbids it is decided when it begins.
func (s *taskPage) executes(i int) bool { return s.task.Plan.Steps[i].Who.In(s.planner.Roles()) }

// starts reports whether there is a step for the person to begin, or to go on with.
func (s *taskPage) starts() bool {
	i := s.task.Next()
	return i >= 0 && s.executes(i) && !s.mine()
}

// resumable are the steps from which a task can go on in some way, if people vote.
func (s *taskPage) resumable(way task.Way) (steps []int) {
	t := s.task
	if t.Approval != bastion.Approved || t.State == task.Done {
		return nil
	}
	for i, p := range t.Progress {
		if (p.State == task.StepFailed || way == task.Skipping && p.State == task.StepWaiting) && (s.mine() || s.executes(i)) {
			steps = append(steps, i)
		}
	}
	return steps
}

// votes are the requests of the task that wait.
func (s *taskPage) votes() (all []option) {
	show := func(id uint64) func() tea.Cmd { return func() tea.Cmd { return push(s.request(id)) } }
	for _, k := range s.task.Resumed {
		if k.State == bastion.Pending {
			all = append(all, option{fmt.Sprintf("request %d", k.Request), fmt.Sprintf("to %s step %s", k.Way, k.Step), show(k.Request)})
		}
	}
	if s.task.Request > 0 {
		all = append(all, option{fmt.Sprintf("request %d", s.task.Request), "for the task itself, " + string(s.task.Approval), show(s.task.Request)})
	}
	return all
}

// recorded are the sessions in which something was done to the task.
func (s *taskPage) recorded() (all []option) {
	var seen []string
	for _, e := range s.task.History {
		if e.Session == "" || slices.Contains(seen, e.Session) {
			continue
		}
		seen = append(seen, e.Session)
		var did []string
		for _, o := range s.task.History {
			what := o.What
			if o.Step != "" {
				what += " " + o.Step
			}
			if o.Session == e.Session && !slices.Contains(did, what) {
				did = append(did, what)
			}
		}
		all = append(all, option{e.Name + ", " + at(e.At) + " UTC", strings.Join(did, ", "), func() tea.Cmd { return push(s.replay(e.Session)) }})
	}
	return all
}

func (s *taskPage) ShortHelp() []key.Binding {
	if s.starting {
		return []key.Binding{bind("enter", "start", "enter"), bind("esc", "do not", "esc")}
	}
	t := s.task
	able := func(b key.Binding, can bool) key.Binding { b.SetEnabled(can && s.loaded && t.ID > 0); return b }
	stop := "stop"
	if t.State.Editable() {
		stop = "withdraw"
	}
	return []key.Binding{
		able(bind("g", "start", "g"), s.starts()),
		able(bind("s", "submit", "s"), t.State == task.Draft && s.mine()),
		able(bind("e", "edit", "e"), t.State.Editable() && s.mine()),
		able(bind("v", "review", "v"), len(s.votes()) > 0),
		able(bind("f", "repeat", "f"), len(s.resumable(task.Repeating)) > 0),
		able(bind("k", "skip", "k"), len(s.resumable(task.Skipping)) > 0 && t.State != task.Approved),
		able(bind("x", stop, "x"), t.State == task.Running || t.State.Editable() && s.mine()),
		able(bind("r", "recordings", "r"), len(s.recorded()) > 0),
		bind("↑/↓", "scroll", "up", "down"), keyBack,
	}
}

func (s *taskPage) FullHelp() [][]key.Binding {
	return [][]key.Binding{
		{bind("s", "submit your draft: it is read on its targets, and people are asked to approve it"), bind("e", "edit your task; that takes it back from review"),
			bind("v", "review: open the request, to approve or deny it"), bind("g", "start what is next; type the task's number, then enter"),
			bind("f", "repeat a step that failed: at once where the plan says so and nothing lasts, else by vote"), bind("k", "skip a step, by vote"),
			bind("x", "stop it while it runs; before that, withdraw your own")},
		{bind("r", "replay the recordings of those who had to do with it"), bind("↑/↓ pgup/pgdn", "scroll"), keyBack},
	}
}

// went is a task after something was done to it.
type went struct {
	request uint64 // that was made, if any
	says    string
}

func (s *taskPage) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if t, err, ok := take[task.Task](&s.load, msg); ok {
		s.loaded = true
		var next tea.Cmd
		if s.again {
			s.again = false
			next = s.reload()
		}
		if s.err = err; err != nil {
			return s, next // the page says it
		}
		if t.Revision != s.task.Revision {
			s.pager.top = 0
		}
		s.task = t
		if !s.starts() {
			s.starting, s.in, s.hint = false, input{}, ""
		}
		s.scroll(0)
		return s, next
	}
	if d, err, ok := take[went](&s.act, msg); ok {
		if err != nil {
			return s, tea.Batch(s.reload(), fail(err))
		}
		says := notify(Good, d.says)
		if d.request > 0 {
			says = notify(Good, fmt.Sprintf("request %d asks for it; others decide", d.request))
		}
		return s, tea.Sequence(toldOfTasks, says)
	}
	if _, err, ok := take[time.Time](&s.tick, msg); ok && err == nil {
		next := s.pulse()
		if s.task.State == task.Running {
			next = tea.Batch(next, s.reload())
		}
		return s, next
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.w, s.h = msg.Width, msg.Height
		s.scroll(0)
	case Queue, SignedIn, tasksChanged:
		return s, s.reload()
	case tea.KeyMsg:
		return s, s.key(msg)
	}
	return s, nil
}

func (s *taskPage) key(k tea.KeyMsg) tea.Cmd {
	if s.starting {
		return s.answer(k)
	}
	by, scrolls := s.pager.key(k, s.h)
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEsc:
		if s.act.Cancel() {
			return tea.Batch(s.reload(), notify(Warn, "you stopped waiting; it may have been done all the same"))
		}
		return pop
	case scrolls:
		s.scroll(by)
	case s.task.ID == 0 || s.act.Busy():
		return nil
	default:
		return s.does(k.String())
	}
	return nil
}

// does what a letter stands for.
func (s *taskPage) does(letter string) tea.Cmd {
	t := s.task
	switch letter {
	case "g":
		if why := s.cannotStart(); why != "" {
			return notify(Warn, why)
		}
		s.starting, s.in, s.hint = true, input{limit: 20}, ""
	case "s":
		if t.State != task.Draft || !s.mine() {
			return notify(Warn, "its author submits a draft; this is "+string(t.State)+", by "+clean(t.Author.Name))
		}
		return s.why("submit task "+itoa(int(t.ID)), "Every statement is read on its target, and those whom policy wants are asked to approve all of it.", "submit", func(ctx context.Context, reason string) (went, error) {
			t, err := s.planner.Submit(ctx, s.id, reason)
			return went{says: fmt.Sprintf("request %d asks for %s", t.Request, t.Needs)}, err
		})
	case "e":
		if !t.State.Editable() || !s.mine() {
			return notify(Warn, "only its author edits a task, and only before it runs")
		}
		var values map[string]string
		for _, v := range t.Plan.Values {
			if values == nil {
				values = map[string]string{}
			}
			values[v.Name] = v.Text
		}
		return push(newWriter(s.ctx, s.planner, s.theme, t.ID, t.Source, values, nil))
	case "v":
		return s.one("review", "Which request?", "open", s.votes(), "nobody was asked yet: its author submits it first")
	case "r":
		return s.one("recordings", "Whose part do you want to see?", "replay", s.recorded(), "there is no recording of it")
	case "f":
		return s.goOn(task.Repeating, "Repeat which step?", "no step of it failed, or none is yours to repeat")
	case "k":
		return s.goOn(task.Skipping, "Skip which step?", "there is no step to skip, or none that is yours")
	case "x":
		switch {
		case t.State == task.Running:
			return s.why("stop task "+itoa(int(t.ID)), "What is being executed is cancelled. It goes on only if people vote for that.", "stop it", s.stop("the task is stopped"))
		case t.State.Editable() && s.mine():
			return s.why("withdraw task "+itoa(int(t.ID)), "It ends here, and nobody is asked any more.", "withdraw", s.stop("the task is withdrawn"))
		}
		return notify(Info, "there is nothing to stop: the task is "+string(t.State))
	}
	return nil
}

func (s *taskPage) stop(says string) func(context.Context, string) (went, error) {
	return func(ctx context.Context, reason string) (went, error) {
		_, err := s.planner.Stop(ctx, s.id, reason)
		return went{says: says}, err
	}
}

// why asks for a reason and then does something.
func (s *taskPage) why(title, about, does string, do func(context.Context, string) (went, error)) tea.Cmd {
	return push(newPrompt(s.theme, title, []string{about}, "Why?", does, func(reason string) tea.Cmd {
		s.doing = title
		return ask(s.ctx, &s.act, func(ctx context.Context) (went, error) { return do(ctx, reason) })
	}))
}

// one has the person choose, unless there is but one thing.
func (s *taskPage) one(title, says, does string, options []option, none string) tea.Cmd {
	switch len(options) {
	case 0:
		return notify(Info, none)
	case 1:
		return options[0].then()
	}
	return push(newPicker(s.theme, title, says, does, options))
}

// goOn asks to go on from a step.
func (s *taskPage) goOn(way task.Way, says, none string) tea.Cmd {
	var options []option
	for _, i := range s.resumable(way) {
		step, p := s.task.Plan.Steps[i].Name, s.task.Progress[i]
		about := "Those who could approve the task are asked."
		switch {
		case way == task.Repeating && s.task.Repeats(i) && s.executes(i):
			about = "It goes on at once: nothing lasts of what failed, and the plan says that it may be repeated."
		case way == task.Repeating && !p.Undone:
			about += " What was executed of it may last, and would be executed again."
		}
		options = append(options, option{step, "it is " + string(p.State), func() tea.Cmd {
			return s.why(string(way)+" step "+step, about, string(way), func(ctx context.Context, reason string) (went, error) {
				request, err := s.planner.GoOn(ctx, s.id, step, way, reason)
				return went{request, "step " + step + " can be started again"}, err
			})
		}})
	}
	return s.one(string(way), says, "choose", options, none)
}

// cannotStart says why the person cannot start what is next; empty if they can try.
func (s *taskPage) cannotStart() string {
	t := s.task
	i := t.Next()
	switch {
	case i < 0 && t.State == task.Failed:
		return "it failed: f repeats the step, k skips it"
	case i < 0:
		return "the task is " + string(t.State) + ", so there is nothing to start"
	case s.mine():
		return "you designed it, so somebody else executes it"
	case !s.executes(i):
		return "the next step, " + clean(t.Plan.Steps[i].Name) + ", is for " + clean(t.Plan.Steps[i].Who.String())
	}
	return ""
}

// answer takes the keys of the dialog that starts the task. Nothing pasted can.
func (s *taskPage) answer(k tea.KeyMsg) tea.Cmd {
	s.hint = ""
	switch {
	case k.Type == tea.KeyEsc:
		s.starting, s.in = false, input{}
		return nil
	case k.Paste || len(k.Runes) > 1:
		s.hint = "pasting does not count here: type it, so that it is you who decides"
		return nil
	case k.Type != tea.KeyEnter:
		s.in.key(k)
		return nil
	case s.in.String() != strconv.FormatUint(s.id, 10):
		s.hint, s.in = fmt.Sprintf("that is not the number: this is task %d", s.id), input{limit: 20}
		return nil
	}
	s.starting, s.in = false, input{}
	return push(newTaskRun(s.ctx, s.planner, s.theme, s.task))
}

// Leave implements [Leaver].
func (s *taskPage) Leave() {
	s.load.Cancel()
	s.act.Cancel()
	s.tick.Cancel()
}

// follows implements [follower].
func (s *taskPage) follows(request uint64) bool {
	return slices.ContainsFunc(s.task.Resumed, func(r task.Resumption) bool { return r.Request == request }) || request == s.task.Request
}

func (s *taskPage) foot() int {
	if s.starting {
		return 4
	}
	return 1
}

func (s *taskPage) scroll(by int) {
	s.pager.scroll(by, len(s.lines(s.w)), s.h-s.foot())
}

func (s *taskPage) View(w, h int) string {
	th := s.theme
	switch {
	case !s.loaded:
		return "\n  " + th.Muted.Render("… reading the task; esc goes back")
	case s.err != nil && s.task.ID == 0:
		text := s.err.Error()
		if errors.Is(s.err, bastion.ErrNotFound) {
			text = fmt.Sprintf("There is no task %d, or it is not yours to see.", s.id)
		}
		return "\n" + strings.Join(rows(th.Bad, indent(prose(text, w-4))), "\n")
	}
	b, below := s.pager.page(s.lines(w), h-s.foot())
	if s.starting {
		return strings.Join(append(b, s.dialog(w)...), "\n")
	}
	foot := ""
	switch {
	case s.act.Busy():
		foot = th.Muted.Render(" … " + s.doing)
	case s.err != nil:
		foot = th.Bad.Render(cut(" it cannot be read again: "+clean(s.err.Error()), w))
	case below > 0:
		foot = th.Muted.Render(fmt.Sprintf(" ↓ %s below", count(below, "line")))
	case s.pager.top > 0:
		foot = th.Muted.Render(" end")
	}
	return strings.Join(append(b, foot), "\n")
}

// dialog asks for the number of the task before anything runs.
func (s *taskPage) dialog(w int) []string {
	th, t := s.theme, s.task
	step := t.Plan.Steps[max(0, t.Next())]
	label := fmt.Sprintf("Type the task's number (%d), then enter: ", t.ID)
	if w < 60 {
		label = fmt.Sprintf("Type %d, then enter: ", t.ID)
	}
	return []string{th.Accent.Render(strings.Repeat("─", w)),
		" " + th.Strong.Render(cut(fmt.Sprintf("Step %s runs on %s now, and after it what else is yours.", clean(step.Name), clean(step.Target)), w-2)),
		" " + label + s.in.view(th, max(4, w-len(label)-2), true), " " + th.Warn.Render(cut(s.hint, w-2))}
}

// lines is the page, w columns wide.
func (s *taskPage) lines(w int) []string {
	th, t := s.theme, s.task
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
	head := func(text string) { b = append(b, "", " "+th.Heading.Render(text)) }
	field("task", rows(th.Strong, wrap(bastion.VisibleLine(t.Plan.Name), in))...)
	if t.Plan.Description != "" {
		field("", rows(th.Muted, prose(strings.TrimSpace(t.Plan.Description), in))...)
	}
	state := string(t.State)
	if t.Why != "" {
		state += ": " + t.Why
	}
	field("state", rows(taskStyle(th, t.State), prose(state, in))...)
	if next := s.next(); next != "" {
		field("", rows(th.Strong, prose(next, in))...)
	}
	field("designed by", prose(t.Author.Name+", "+at(t.Created)+" UTC, revision "+itoa(t.Revision), in)...)
	if t.Request > 0 {
		field("reason", wrap(t.Reason, in)...)
		ends := ""
		if t.Approval.Open() && !t.Expires.IsZero() {
			ends = ", for another " + left(t.Expires.Sub(s.planner.Now()))
		}
		field("approval", prose(fmt.Sprintf("request %d is %s%s; it takes %s", t.Request, t.Approval, ends, t.Needs), in)...)
		s.ballots(field, "votes", t.Votes, in)
	}
	for _, k := range t.Resumed {
		field(string(k.Way), prose(fmt.Sprintf("step %s: request %d is %s", k.Step, k.Request, k.State), in)...)
		s.ballots(field, "", k.Votes, in)
	}
	for i, v := range t.Plan.Values {
		label := ""
		if i == 0 {
			label = "values"
		}
		field(label, wrap(fmt.Sprintf("%s = %s (%s)", v.Name, bastion.VisibleLine(strconv.Quote(v.Text)), v.Type), in)...)
	}
	head("Steps")
	for i := range t.Plan.Steps {
		b = append(b, s.step(i, w)...)
	}
	head("Exactly this runs")
	for l := range strings.Lines(t.Plan.String()) {
		for _, part := range wrap(strings.TrimRight(l, "\n"), w-4) {
			b = append(b, " "+th.Accent.Render("│")+" "+part)
		}
	}
	head("Who did what, and when (UTC)")
	for _, e := range t.History {
		what := e.What
		if e.Step != "" {
			what += " " + e.Step
		}
		if e.Request > 0 {
			what += fmt.Sprintf(", request %d", e.Request)
		}
		line := at(e.At) + "  " + clean(e.Name) + "  " + clean(what)
		if e.Note != "" {
			line += ": " + clean(e.Note)
		}
		parts := prose(line, w-4)
		b = append(b, indent(parts)...)
		if e.Session != "" {
			b = append(b, rows(th.Muted, indent(indent(wrap("recording "+clean(e.Session), w-6))))...)
		}
	}
	if t.Digest != "" {
		b = append(b, "")
		field("digest", rows(th.Muted, wrap(clean(t.Digest), in))...)
	}
	return b
}

// next says what the task waits for, and of whom.
func (s *taskPage) next() string {
	t := s.task
	switch t.State {
	case task.Draft:
		if s.mine() {
			return "s submits it, e edits it"
		}
	case task.Review:
		if s.mine() {
			return "it waits for others to approve it"
		}
		return "v opens the request, to approve or deny it"
	case task.Approved, task.Running:
		i := t.Next()
		if i < 0 {
			return ""
		}
		if p := t.Progress[i]; p.State == task.StepRunning && p.By != nil {
			return fmt.Sprintf("step %s is being executed by %s", t.Plan.Steps[i].Name, p.By.Name)
		}
		if s.starts() {
			return fmt.Sprintf("step %s is next: g starts it", t.Plan.Steps[i].Name)
		}
		return fmt.Sprintf("step %s is next, for whoever has %s", t.Plan.Steps[i].Name, t.Plan.Steps[i].Who)
	case task.Failed, task.Stopped:
		if len(s.resumable(task.Skipping)) > 0 {
			return "f repeats what failed, k skips it; both ask others, unless the plan says that it may be repeated"
		}
	}
	return ""
}

// ballots lists votes.
func (s *taskPage) ballots(field func(string, ...string), label string, votes []bastion.Vote, in int) {
	th := s.theme
	for _, v := range votes {
		st := map[bastion.Verdict]lipgloss.Style{bastion.VoteApprove: th.Good, bastion.VoteDeny: th.Bad}[v.Verdict]
		text := fmt.Sprintf("%s: %s, as %s, %s UTC", v.Verdict, v.Who.Name, strings.Join(v.Roles, ", "), at(v.At))
		if v.Reason != "" {
			text += ": " + v.Reason
		}
		field(label, rows(st, wrap(bastion.VisibleLine(text), in))...)
		label = ""
	}
}

// step is what is known of one step.
func (s *taskPage) step(i, w int) []string {
	th, t := s.theme, s.task
	step, p := t.Plan.Steps[i], t.Progress[i]
	st := map[task.StepState]lipgloss.Style{task.StepDone: th.Good, task.StepFailed: th.Bad, task.StepRunning: th.Warn}[p.State]
	who := "for whoever has " + step.Who.String()
	if s.executes(i) && !s.mine() {
		who = "for you, by " + step.Who.String()
	}
	if len(step.After) > 0 {
		who += "; after " + strings.Join(step.After, ", ")
	}
	if len(step.Apart) > 0 {
		who += "; not by who executed " + strings.Join(step.Apart, ", ")
	}
	if step.Retry > 0 {
		who += fmt.Sprintf("; may be repeated %d×", step.Retry)
	}
	b := []string{cut(fmt.Sprintf("  %d  %s  %s", i+1, th.Strong.Render(clean(step.Name)), st.Render(string(p.State)))+th.Muted.Render("  on "+clean(step.Target)+", "+count(len(step.Statements), "statement")), w)}
	for _, l := range prose(who, w-7) {
		b = append(b, "     "+th.Muted.Render(l))
	}
	attempts := append(slices.Clone(p.Earlier), task.Attempt{By: p.By, Session: p.Session, Results: p.Results})
	for n, a := range attempts {
		if a.By == nil {
			continue
		}
		by := "by " + clean(a.By.Name) + ", recording " + clean(a.Session)
		if n < len(p.Earlier) {
			by = "failed and repeated: " + by
		}
		b = append(b, cut("     "+by, w))
		for j, r := range a.Results {
			b = append(b, resultLines(th, j, r, w)...)
		}
	}
	if p.State == task.StepFailed {
		text := "what was executed of it may last"
		if p.Undone {
			text = "nothing of it lasts"
		}
		b = append(b, "     "+th.Muted.Render(text))
	}
	return b
}

// resultLines say how a statement ended.
func resultLines(th Theme, j int, r task.Result, w int) []string {
	mark, st := "✗", th.Bad
	switch r.Outcome {
	case task.Succeeded:
		mark, st = "✓", th.Good
	case task.Began:
		mark, st = "…", th.Warn
	}
	text := fmt.Sprintf("%s %d %s", mark, j+1, r.Outcome)
	if r.Tag != "" {
		text += "  " + clean(r.Tag)
	}
	if !r.Ended.IsZero() {
		text += "  " + took(r.Ended.Sub(r.Began))
	}
	if r.Error != "" {
		text += "  " + clean(r.Error)
	}
	var b []string
	for i, l := range prose(text, max(8, w-9)) {
		if i > 0 {
			l = "    " + l
		}
		b = append(b, "     "+st.Render(l))
	}
	return b
}
