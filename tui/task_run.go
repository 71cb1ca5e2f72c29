package tui

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// Bounds of what the screen of an execution keeps. The recordings have the answers,
// and so does the task's page how each statement ended.
const (
	runRows  = 20 // rows of an answer
	runNotes = 20 // notices of the target about a statement
)

// taskRun is an execution of a task, as far as it is for this person: each statement,
// its answer, and how it ended.
type taskRun struct {
	ctx     context.Context
	planner planner
	theme   Theme
	id      uint64
	name    string

	log  *runLog
	done []ranOne // what the log has told so far
	task task.Task
	err  error
	over bool
	up   int // lines scrolled back from the end
	w, h int

	run  Wait
	more Wait
	stop Wait
}

// ranOne is a statement that was sent, and what came of it.
type ranOne struct {
	step, target string
	number, of   int
	text         string
	params       []string
	verifies     bool
	sheet        *sheet
	rows         int64 // of the answer
	notes        []string
	result       task.Result
	finished     bool
}

// runLog is filled by the execution and read by the screen.
type runLog struct {
	mu   sync.Mutex
	all  []ranOne
	news chan struct{} // receives after a change, newest wins
}

// last changes the newest statement.
func (l *runLog) last(f func(*ranOne)) {
	l.mu.Lock()
	if n := len(l.all); n > 0 {
		f(&l.all[n-1])
	}
	l.mu.Unlock()
	signal(l.news)
}

// copy is all so far. Rows are never changed once they are there.
func (l *runLog) copy() []ranOne {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := append([]ranOne(nil), l.all...)
	for i := range all {
		if all[i].sheet != nil {
			sheet := *all[i].sheet
			sheet.widths = append([]int(nil), sheet.widths...)
			all[i].sheet = &sheet
		}
	}
	return all
}

func newTaskRun(ctx context.Context, p planner, th Theme, t task.Task) *taskRun {
	return &taskRun{ctx: ctx, planner: p, theme: th, id: t.ID, name: t.Plan.Name, task: t, log: &runLog{news: make(chan struct{}, 1)}}
}

func (s *taskRun) Title() string { return "run" }
func (s *taskRun) Typing() bool  { return false }

func (s *taskRun) Init() tea.Cmd {
	l, th := s.log, s.theme
	begins := func(t task.Task, i, j int) {
		step := t.Plan.Steps[i]
		var params []string
		if values, err := t.Plan.Bound(step.Statements[j]); err == nil {
			for k, v := range values {
				params = append(params, fmt.Sprintf("$%d = %s", k+1, clean(strconv.Quote(v.Text))))
			}
		}
		l.mu.Lock()
		l.all = append(l.all, ranOne{params: params, step: step.Name, target: step.Target, number: j + 1, of: len(step.Statements), text: step.Statements[j].Text, verifies: step.Statements[j].Verifies()})
		l.mu.Unlock()
		signal(l.news)
	}
	watch := task.Watch{
		Begins: begins,
		Ended: func(t task.Task, i, j int, r task.Result) {
			if r.Outcome == task.Refused { // it may never have begun
				l.mu.Lock()
				n := len(l.all)
				begun := n > 0 && !l.all[n-1].finished
				l.mu.Unlock()
				if !begun {
					begins(t, i, j)
				}
			}
			l.last(func(x *ranOne) { x.result, x.finished = r, true })
		},
		Job: bastion.Job{Show: func(f bastion.Frame) error {
			switch f.Kind() {
			case bastion.ColumnsFrame:
				l.last(func(x *ranOne) { x.sheet, x.rows = newSheet(th, f.Columns()), 0 })
			case bastion.RowFrame:
				l.last(func(x *ranOne) {
					if x.rows++; x.sheet != nil && len(x.sheet.rows) < runRows {
						row := make([][]byte, len(f.Row()))
						for i, v := range f.Row() {
							if v != nil {
								row[i] = append([]byte{}, head(v, 4*widest)...)
							}
						}
						x.sheet.add(row)
					}
				})
			case bastion.NoticeFrame:
				l.last(func(x *ranOne) {
					if len(x.notes) < runNotes {
						x.notes = append(x.notes, string(head([]byte(f.Text()), 1000)))
					}
				})
			}
			return nil
		}},
	}
	return tea.Batch(ask(s.ctx, &s.run, func(ctx context.Context) (task.Task, error) { return s.planner.Run(ctx, s.id, watch) }), s.listen())
}

func (s *taskRun) listen() tea.Cmd {
	news := s.log.news
	return ask(s.ctx, &s.more, func(ctx context.Context) (struct{}, error) {
		select {
		case <-news:
			return struct{}{}, nil
		case <-ctx.Done():
			return struct{}{}, context.Cause(ctx)
		}
	})
}

func (s *taskRun) ShortHelp() []key.Binding {
	scroll := bind("↑/↓", "scroll", "up", "down")
	if !s.over {
		return []key.Binding{bind("x", "stop", "x"), scroll}
	}
	return []key.Binding{bind("esc", "back to the task", "esc"), scroll}
}

func (s *taskRun) FullHelp() [][]key.Binding {
	return [][]key.Binding{{bind("x", "stop the task: what runs is cancelled"), bind("↑/↓ pgup/pgdn", "scroll"), bind("esc", "back to the task, once nothing runs")}}
}

func (s *taskRun) Update(msg tea.Msg) (Screen, tea.Cmd) {
	// Both may come in either order: what was told last is always read.
	if t, err, ok := take[task.Task](&s.run, msg); ok {
		s.done, s.over, s.err = s.log.copy(), true, err
		if t.ID != 0 {
			s.task = t
		}
		s.more.Cancel()
		s.stop.Cancel()
		return s, tea.Sequence(toldOfTasks, refused(err))
	}
	if _, err, ok := take[struct{}](&s.more, msg); ok && err == nil {
		s.done = s.log.copy()
		return s, s.listen()
	}
	if _, err, ok := take[went](&s.stop, msg); ok && err != nil {
		return s, fail(err)
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.w, s.h = msg.Width, msg.Height
	case tea.KeyMsg:
		return s, s.key(msg)
	}
	return s, nil
}

func (s *taskRun) key(k tea.KeyMsg) tea.Cmd {
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEsc:
		if s.over {
			return pop
		}
		return notify(Info, "it runs; x stops it")
	case k.Type == tea.KeyUp:
		s.up++
	case k.Type == tea.KeyDown:
		s.up--
	case k.Type == tea.KeyPgUp:
		s.up += max(1, s.h-3)
	case k.Type == tea.KeyPgDown || k.Type == tea.KeySpace:
		s.up -= max(1, s.h-3)
	case k.Type == tea.KeyHome:
		s.up = 1 << 30
	case k.Type == tea.KeyEnd:
		s.up = 0
	case k.String() == "x" && !s.over:
		return push(newPrompt(s.theme, fmt.Sprintf("stop task %d", s.id), []string{"What runs is cancelled. The task goes on only if people vote for that."}, "Why?", "stop it", s.halt))
	}
	s.up = max(0, min(s.up, len(s.lines(s.w))-(s.h-2)))
	return nil
}

func (s *taskRun) halt(reason string) tea.Cmd {
	if s.over {
		return nil
	}
	return ask(s.ctx, &s.stop, func(ctx context.Context) (went, error) {
		_, err := s.planner.Stop(ctx, s.id, reason)
		return went{}, err
	})
}

// Interrupt implements [Interrupter]: ctrl+c stops what runs, before it leaves.
func (s *taskRun) Interrupt() (tea.Cmd, bool) {
	if s.over {
		return nil, false
	}
	return s.halt("ctrl+c"), true
}

// Leave implements [Leaver].
func (s *taskRun) Leave() {
	s.run.Cancel()
	s.more.Cancel()
	s.stop.Cancel()
}

func (s *taskRun) lines(w int) []string {
	th := s.theme
	var b []string
	step := ""
	for _, x := range s.done {
		if x.step != step {
			step = x.step
			b = append(b, "", " "+th.Heading.Render(cut("Step "+clean(x.step)+" on "+clean(x.target), w-2)))
		}
		about := fmt.Sprintf(" %d of %d", x.number, x.of)
		if x.verifies {
			about += ", to verify"
		}
		b = append(b, "", th.Muted.Render(about))
		text := wrap(strings.TrimSpace(x.text), w-4)
		for _, l := range text[:min(len(text), 8)] {
			b = append(b, " "+th.Accent.Render("│")+" "+l)
		}
		if n := len(text) - 8; n > 0 {
			b = append(b, " "+th.Accent.Render("│")+th.Muted.Render(" … "+count(n, "more line")))
		}
		if len(x.params) > 0 {
			b = append(b, rows(th.Muted, indent(prose("with "+strings.Join(x.params, ", "), w-4)))...)
		}
		if x.sheet != nil && len(x.sheet.rows) > 0 {
			b = append(b, indent(x.sheet.table(th, w-2, runRows+2, false))...)
			if more := x.rows - int64(len(x.sheet.rows)); more > 0 {
				b = append(b, "  "+th.Muted.Render("… "+countRows(more)+" more"))
			}
		}
		for _, n := range x.notes {
			b = append(b, rows(th.Muted, indent(prose(n, w-4)))...)
		}
		if x.finished {
			b = append(b, resultLines(th, x.number-1, x.result, w)...)
		} else {
			b = append(b, "     "+th.Warn.Render("… it runs"))
		}
	}
	if s.over {
		t := s.task
		text := fmt.Sprintf("task %d is %s", t.ID, t.State)
		if i := t.Next(); i >= 0 {
			text += fmt.Sprintf("; next is step %s on %s, for %s", t.Plan.Steps[i].Name, t.Plan.Steps[i].Target, t.Plan.Steps[i].Who)
		}
		b = append(b, "")
		if s.err != nil {
			b = append(b, rows(th.Bad, indent(prose(s.err.Error(), w-4)))...)
		}
		b = append(b, rows(taskStyle(th, t.State), indent(prose(text, w-4)))...)
	}
	return b
}

func (s *taskRun) View(w, h int) string {
	th := s.theme
	right := th.Warn.Render("it runs ")
	if s.over {
		right = th.Muted.Render("over ")
	}
	b := []string{ends(" "+th.Strong.Render(cut(fmt.Sprintf("Task %d: %s", s.id, clean(s.name)), max(4, w-12))), right, w)}
	all := s.lines(w)
	page := max(1, h-1)
	top := max(0, len(all)-page-s.up)
	return strings.Join(append(b, window(all, top, page)...), "\n")
}
