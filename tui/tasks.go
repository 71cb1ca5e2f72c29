package tui

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// Tasks keeps tasks and runs them, for the person of a session.
type Tasks interface {
	Tasks(ctx context.Context, s *bastion.Session, all bool, limit int) ([]task.Task, error)
	Task(ctx context.Context, s *bastion.Session, id uint64) (task.Task, error)
	Read(data []byte) (task.File, error)
	Runbooks(ctx context.Context, s *bastion.Session) ([]task.Runbook, error)
	New(ctx context.Context, s *bastion.Session, file []byte, values map[string]string) (task.Task, error)
	Edit(ctx context.Context, s *bastion.Session, id uint64, file []byte, values map[string]string) (task.Task, error)
	Submit(ctx context.Context, s *bastion.Session, id uint64, reason string) (task.Task, error)
	Run(ctx context.Context, s *bastion.Session, id uint64, step string, w task.Watch) (task.Task, error)
	Stop(ctx context.Context, s *bastion.Session, id uint64, reason string) (task.Task, error)
	Resume(ctx context.Context, s *bastion.Session, id uint64, step string, way task.Way, reason string) (task.Task, bastion.Request, error)
	Repeat(ctx context.Context, s *bastion.Session, id uint64, step, reason string) (task.Task, error)
}

// planner is what the screens of tasks need of a session.
type planner interface {
	person
	Has(bastion.Duty) bool
	Tasks(ctx context.Context, all bool) ([]task.Task, error)
	Task(ctx context.Context, id uint64) (task.Task, error)
	Read(data []byte) (task.File, error)
	Runbooks(context.Context) ([]task.Runbook, error)
	// Write makes a task, or gives one another content if id is not 0.
	Write(ctx context.Context, id uint64, file []byte, values map[string]string) (task.Task, error)
	Submit(ctx context.Context, id uint64, reason string) (task.Task, error)
	Run(ctx context.Context, id uint64, w task.Watch) (task.Task, error)
	Stop(ctx context.Context, id uint64, reason string) (task.Task, error)
	// GoOn goes on from a step: at once, where that takes no vote; else it makes a
	// request, whose number is not 0 then.
	GoOn(ctx context.Context, id uint64, step string, way task.Way, reason string) (request uint64, err error)
}

// planning is a planner of a session.
type planning struct {
	*bastion.Session
	tasks Tasks
}

func (p planning) Tasks(ctx context.Context, all bool) ([]task.Task, error) {
	return p.tasks.Tasks(ctx, p.Session, all, 0)
}
func (p planning) Task(ctx context.Context, id uint64) (task.Task, error) {
	return p.tasks.Task(ctx, p.Session, id)
}
func (p planning) Read(data []byte) (task.File, error) { return p.tasks.Read(data) }
func (p planning) Runbooks(ctx context.Context) ([]task.Runbook, error) {
	return p.tasks.Runbooks(ctx, p.Session)
}
func (p planning) Write(ctx context.Context, id uint64, file []byte, values map[string]string) (task.Task, error) {
	if id == 0 {
		return p.tasks.New(ctx, p.Session, file, values)
	}
	return p.tasks.Edit(ctx, p.Session, id, file, values)
}
func (p planning) Submit(ctx context.Context, id uint64, reason string) (task.Task, error) {
	return p.tasks.Submit(ctx, p.Session, id, reason)
}
func (p planning) Run(ctx context.Context, id uint64, w task.Watch) (task.Task, error) {
	return p.tasks.Run(ctx, p.Session, id, "", w)
}
func (p planning) Stop(ctx context.Context, id uint64, reason string) (task.Task, error) {
	return p.tasks.Stop(ctx, p.Session, id, reason)
}
func (p planning) GoOn(ctx context.Context, id uint64, step string, way task.Way, reason string) (uint64, error) {
	t, err := p.Task(ctx, id)
	if err != nil {
		return 0, err
	}
	if i := t.Step(step); way == task.Repeating && i >= 0 && t.Repeats(i) {
		_, err := p.tasks.Repeat(ctx, p.Session, id, step, reason)
		return 0, err
	}
	_, r, err := p.tasks.Resume(ctx, p.Session, id, step, way, reason)
	return r.ID, err
}

// tasksChanged is sent to every screen after a task may have changed.
type tasksChanged struct{}

func toldOfTasks() tea.Msg { return tasksChanged{} }

// tasks is the list of tasks.
type tasks struct {
	ctx     context.Context
	planner planner
	theme   Theme
	open    func(id uint64) Screen

	all    bool // also those that have ended
	shown  []task.Task
	loaded bool
	err    error
	list   list
	h      int

	load  Wait
	again bool
	books Wait // for runbooks
	write Wait
}

func newTasks(ctx context.Context, p planner, th Theme, open func(uint64) Screen) *tasks {
	return &tasks{ctx: ctx, planner: p, theme: th, open: open}
}

func (s *tasks) Title() string { return "tasks" }
func (s *tasks) Typing() bool  { return false }
func (s *tasks) Init() tea.Cmd { return s.reload() }

func (s *tasks) reload() tea.Cmd {
	if s.load.Busy() && s.loaded {
		s.again = true
		return nil
	}
	all := s.all
	return ask(s.ctx, &s.load, func(ctx context.Context) ([]task.Task, error) { return s.planner.Tasks(ctx, all) })
}

func (s *tasks) ShortHelp() []key.Binding {
	enter, make := keyEnter, bind("n", "new", "n")
	enter.SetEnabled(len(s.shown) > 0)
	make.SetEnabled(s.planner.Has(bastion.Design))
	tab := bind("tab", "all", "tab")
	if s.all {
		tab = bind("tab", "open ones", "tab")
	}
	return []key.Binding{enter, make, tab, bind("↑/↓", "choose", "up", "down"), keyBack}
}

func (s *tasks) FullHelp() [][]key.Binding {
	return [][]key.Binding{{bind("enter", "open the task: all that is known of it, and what you can do"), bind("n", "make a task, of a runbook or of a text of your own (the duty design)"),
		bind("tab", "those that are open, or all"), bind("↑/↓ pgup/pgdn", "choose a task"), bind("ctrl+r", "read the list again"), keyBack}}
}

func (s *tasks) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if ts, err, ok := take[[]task.Task](&s.load, msg); ok {
		s.err, s.loaded = err, true
		var next tea.Cmd
		if s.again {
			s.again = false
			next = s.reload()
		}
		if err != nil {
			return s, tea.Batch(next, fail(err))
		}
		follow(&s.list, s.shown, ts, s.page(s.h), func(t task.Task) uint64 { return t.ID })
		s.shown = ts
		return s, next
	}
	if books, err, ok := take[[]task.Runbook](&s.books, msg); ok {
		if err != nil {
			return s, fail(err)
		}
		return s, s.choose(books)
	}
	if t, err, ok := take[task.Task](&s.write, msg); ok {
		if err != nil {
			return s, fail(err)
		}
		return s, tea.Sequence(push(s.open(t.ID)), toldOfTasks)
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.h = msg.Height
		s.list.clamp(len(s.shown), s.page(s.h))
	case Queue, SignedIn, tasksChanged:
		return s, s.reload()
	case tea.KeyMsg:
		return s, s.key(msg)
	}
	return s, nil
}

func (s *tasks) key(k tea.KeyMsg) tea.Cmd {
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEsc:
		if s.books.Cancel() || s.write.Cancel() {
			return nil
		}
		return pop
	case k.Type == tea.KeyTab || k.Type == tea.KeyShiftTab:
		s.all = !s.all
		s.shown, s.loaded, s.list, s.err = nil, false, list{}, nil
		return s.reload()
	case k.Type == tea.KeyCtrlR:
		return s.reload()
	case k.Type == tea.KeyEnter:
		if s.list.at < len(s.shown) {
			return push(s.open(s.shown[s.list.at].ID))
		}
		return nil
	case k.String() == "n":
		if !s.planner.Has(bastion.Design) {
			return notify(Warn, "making tasks takes the duty to design, and none of your roles has it")
		}
		return ask(s.ctx, &s.books, s.planner.Runbooks)
	}
	s.list.key(k, len(s.shown), s.page(s.h))
	return nil
}

// skeleton is what a new file begins with.
const skeleton = `name: what changes
description: why, and what to look out for
steps:
  - name: staging
    target: shop-staging
    script: |
      select 1;
    verify:
      - query: select 1
        expect: 1
`

// choose has the author choose what to begin with.
func (s *tasks) choose(books []task.Runbook) tea.Cmd {
	var options []option
	for _, b := range books {
		about := b.File.Name
		if n := len(b.File.Parameters); n > 0 {
			about += ", " + count(n, "parameter")
		}
		if b.Err != nil {
			about = "cannot be read: " + b.Err.Error()
		}
		options = append(options, option{b.Name, about, func() tea.Cmd {
			switch {
			case b.Err != nil:
				return push(newWriter(s.ctx, s.planner, s.theme, 0, string(b.Source), nil, s.open))
			case len(b.File.Parameters) > 0:
				return push(newValues(s.ctx, s.planner, s.theme, 0, b.Source, b.File, nil, 1, s.open))
			}
			return ask(s.ctx, &s.write, func(ctx context.Context) (task.Task, error) { return s.planner.Write(ctx, 0, b.Source, nil) })
		}})
	}
	options = append(options, option{"a text of your own", "write the steps in YAML, here", func() tea.Cmd {
		return push(newWriter(s.ctx, s.planner, s.theme, 0, skeleton, nil, s.open))
	}})
	return push(newPicker(s.theme, "new task", "What do you begin with?", "begin", options))
}

// Leave implements [Leaver].
func (s *tasks) Leave() {
	s.load.Cancel()
	s.books.Cancel()
	s.write.Cancel()
}

func (s *tasks) page(h int) int { return max(1, h-2) }

func (s *tasks) View(w, h int) string {
	th := s.theme
	name := "Open tasks"
	if s.all {
		name = "All tasks"
	}
	right := ""
	switch {
	case s.load.Busy() && !s.loaded, s.books.Busy():
		right = th.Muted.Render("… reading; esc goes back ")
	case len(s.shown) > 0:
		right = th.Muted.Render(count(len(s.shown), "task") + " ")
	}
	b := []string{ends(" "+th.Strong.Render(name), right, w)}
	switch {
	case s.err != nil && len(s.shown) == 0:
		b = append(b, "")
		b = append(b, rows(th.Bad, indent(prose("The tasks cannot be read: "+s.err.Error(), w-4)))...)
		return strings.Join(b, "\n")
	case s.loaded && len(s.shown) == 0:
		text := "No task is open that is yours to design, decide, execute or audit. Tab shows those that have ended."
		if s.all {
			text = "There is no task that is yours to design, decide, execute or audit."
		}
		if s.planner.Has(bastion.Design) {
			text += " n makes one."
		}
		b = append(b, "")
		return strings.Join(append(b, rows(th.Muted, indent(prose(text, w-4)))...), "\n")
	case len(s.shown) == 0:
		return strings.Join(b, "\n")
	}
	cols := []column{{head: "NO", width: 6, right: true}, {head: "STATE", width: 9}, {head: "STEPS", width: 5}, {head: "DESIGNED BY", width: 12}, {head: "NEXT", width: 26}, {head: "TASK", width: w}}
	switch {
	case w < 60:
		cols[2].width, cols[3].width, cols[4].width = 0, 0, 0
	case w < 90:
		cols[3].width = 0
	case w >= 100:
		cols[4].width = 36
	}
	table := make([][]string, len(s.shown))
	for i, t := range s.shown {
		table[i] = taskCells(t)
	}
	measure(cols, table)
	b = append(b, s.list.table(th, cols, table, w, s.page(h), 16, func(i int, cells []string) {
		cells[0] = th.Strong.Render(padLeft(cells[0], cols[0].width))
		cells[1] = taskStyle(th, s.shown[i].State).Render(pad(cells[1], cols[1].width))
	})...)
	return strings.Join(b, "\n")
}

// taskCells are the cells of a task's row.
func taskCells(t task.Task) []string {
	over := 0
	for _, p := range t.Progress {
		if p.State.Over() {
			over++
		}
	}
	next := "–"
	if i := t.Next(); i >= 0 {
		next = t.Plan.Steps[i].Name + " on " + t.Plan.Steps[i].Target
	} else if t.State == task.Review {
		next = fmt.Sprintf("request %d", t.Request)
	}
	return []string{strconv.FormatUint(t.ID, 10), string(t.State), fmt.Sprintf("%d/%d", over, len(t.Progress)), clean(t.Author.Name), clean(next), clean(t.Plan.Name)}
}

func taskStyle(th Theme, s task.State) lipgloss.Style {
	switch s {
	case task.Review, task.Running:
		return th.Warn
	case task.Approved, task.Done:
		return th.Good
	case task.Failed, task.Stopped:
		return th.Bad
	}
	return th.Muted
}

// option is something to choose.
type option struct {
	name, about string
	then        func() tea.Cmd
}

// picker lets a person choose one of a few things. It leaves the stack then.
type picker struct {
	theme       Theme
	title, says string
	does        string // what enter does
	options     []option
	at          int
}

func newPicker(th Theme, title, says, does string, options []option) *picker {
	return &picker{theme: th, title: title, says: says, does: does, options: options}
}

func (s *picker) Title() string             { return s.title }
func (s *picker) Typing() bool              { return false }
func (s *picker) Init() tea.Cmd             { return nil }
func (s *picker) FullHelp() [][]key.Binding { return [][]key.Binding{s.ShortHelp()} }
func (s *picker) ShortHelp() []key.Binding {
	return []key.Binding{bind("enter", s.does, "enter"), bind("↑/↓", "choose", "up", "down"), keyBack}
}

func (s *picker) Update(msg tea.Msg) (Screen, tea.Cmd) {
	k, ok := msg.(tea.KeyMsg)
	if !ok || k.Paste {
		return s, nil
	}
	l := list{at: s.at}
	switch {
	case k.Type == tea.KeyEsc:
		return s, pop
	case k.Type == tea.KeyEnter && s.at < len(s.options):
		return s, tea.Sequence(pop, s.options[s.at].then())
	case l.key(k, len(s.options), 10):
		s.at = l.at
	}
	return s, nil
}

func (s *picker) View(w, h int) string {
	th := s.theme
	b := []string{"", "  " + cut(s.says, w-4), ""}
	room := max(1, h-3)
	l := list{at: s.at}
	from, to := l.page(len(s.options), max(1, room/2))
	for i := from; i < to; i++ {
		o := s.options[i]
		mark, name := "  ", cut(clean(o.name), w-8)
		if i == s.at {
			mark, name = th.Accent.Render("> "), th.Strong.Render(name)
		}
		b = append(b, "  "+mark+name, "      "+th.Muted.Render(cut(clean(o.about), w-8)))
	}
	return strings.Join(b[:min(len(b), h)], "\n")
}

// at is a moment, for the pages of tasks.
func at(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// wordsOf is an error of a task's file in lines of its own.
func wordsOf(err error) string {
	var file *task.FileError
	if errors.As(err, &file) {
		return file.Error()
	}
	return err.Error()
}
