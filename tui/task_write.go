package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// writer is a task's file in an editor.
type writer struct {
	ctx     context.Context
	planner planner
	theme   Theme
	id      uint64 // of the task that is edited; 0 makes one
	values  map[string]string
	open    func(id uint64) Screen // of a new task

	editor editor
	before string
	says   string // what is wrong with the file
	sure   bool   // esc was pressed, and there is something to lose
	write  Wait
}

func newWriter(ctx context.Context, p planner, th Theme, id uint64, source string, values map[string]string, open func(uint64) Screen) *writer {
	s := &writer{ctx: ctx, planner: p, theme: th, id: id, values: values, open: open, editor: newEditor(), before: source}
	s.editor.set(source)
	s.editor.row, s.editor.col, s.editor.want = 0, 0, 0
	return s
}

func (s *writer) Title() string {
	if s.id == 0 {
		return "new task"
	}
	return "edit"
}
func (s *writer) Typing() bool { return true }
func (s *writer) Init() tea.Cmd {
	return nil
}

func (s *writer) ShortHelp() []key.Binding {
	if s.write.Busy() {
		return []key.Binding{bind("esc", "stop waiting", "esc")}
	}
	save := bind("ctrl+s", "go on", "ctrl+s")
	return []key.Binding{save, bind("tab", "indent", "tab"), bind("esc", "leave", "esc")}
}

func (s *writer) FullHelp() [][]key.Binding { return [][]key.Binding{s.ShortHelp()} }

// Interrupt implements [Interrupter]: a text is not lost by one key.
func (s *writer) Interrupt() (tea.Cmd, bool) {
	return notify(Info, "esc leaves the editor"), true
}

func (s *writer) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if t, err, ok := take[task.Task](&s.write, msg); ok {
		if err != nil {
			s.says = wordsOf(err)
			return s, refused(err)
		}
		return s, written(t, s.id, 1, s.open)
	}
	if k, ok := msg.(tea.KeyMsg); ok {
		return s, s.key(k)
	}
	return s, nil
}

// refused opens the sign-in where an error asks for that. Others stay on the screen.
func refused(err error) tea.Cmd {
	var stale *bastion.StaleError
	if errors.Is(err, bastion.ErrExpired) || errors.As(err, &stale) {
		return fail(err)
	}
	return nil
}

// written leaves the screens that made a task, and shows it.
func written(t task.Task, id uint64, leave int, open func(uint64) Screen) tea.Cmd {
	var cmds []tea.Cmd
	for range leave {
		cmds = append(cmds, pop)
	}
	if id == 0 {
		cmds = append(cmds, push(open(t.ID)))
	}
	return tea.Sequence(append(cmds, toldOfTasks, notify(Good, fmt.Sprintf("task %d is a draft, revision %d; s submits it", t.ID, t.Revision)))...)
}

func (s *writer) key(k tea.KeyMsg) tea.Cmd {
	if k.Type == tea.KeyEsc {
		switch {
		case s.write.Cancel():
			return nil
		case s.editor.String() != s.before && !s.sure:
			s.sure = true
			return notify(Warn, "esc again throws away what you wrote")
		}
		return pop
	}
	s.sure = false
	switch {
	case s.write.Busy():
		return nil
	case k.Type == tea.KeyCtrlS:
		return s.save()
	case k.Type == tea.KeyEnter && !k.Paste:
		line := string(s.editor.lines[s.editor.row][:s.editor.col])
		s.editor.insert("\n" + line[:len(line)-len(strings.TrimLeft(line, " "))])
		return nil
	case k.Type == tea.KeyTab:
		s.editor.insert("  ")
		return nil
	}
	if _, fits := s.editor.key(k); !fits {
		return notify(Warn, "that is too long for a task")
	}
	return nil
}

// save reads the file, asks for the values of its parameters, and makes the task.
func (s *writer) save() tea.Cmd {
	s.says = ""
	data := []byte(s.editor.String())
	f, err := s.planner.Read(data)
	if err != nil {
		s.says = wordsOf(err)
		return nil
	}
	if len(f.Parameters) > 0 {
		return push(newValues(s.ctx, s.planner, s.theme, s.id, data, f, s.values, 2, s.open))
	}
	id := s.id
	return ask(s.ctx, &s.write, func(ctx context.Context) (task.Task, error) { return s.planner.Write(ctx, id, data, nil) })
}

// Leave implements [Leaver].
func (s *writer) Leave() { s.write.Cancel() }

func (s *writer) View(w, h int) string {
	th := s.theme
	right := th.Muted.Render(fmt.Sprintf("line %d of %d ", s.editor.row+1, len(s.editor.lines)))
	if s.write.Busy() {
		right = th.Muted.Render("… reading it ")
	}
	b := []string{ends(" "+th.Strong.Render("The task's file"), right, w)}
	var says []string
	if s.says != "" {
		says = rows(th.Bad, indent(prose(s.says, w-4)))
		says = says[:min(len(says), max(1, h/3))]
		says = append([]string{th.Accent.Render(strings.Repeat("─", w))}, says...)
	}
	room := max(1, h-1-len(says))
	lines, _, _ := s.editor.view(th, th.Muted.Render(" │ "), th.Muted.Render(" │ "), w, room, true)
	for len(lines) < room {
		lines = append(lines, "")
	}
	return strings.Join(slices.Concat(b, lines, says), "\n")
}

// values is the form for the parameters of a runbook.
type values struct {
	ctx     context.Context
	planner planner
	theme   Theme
	id      uint64
	source  []byte
	file    task.File
	leave   int // screens that leave the stack once the task is made
	open    func(id uint64) Screen

	inputs []input
	wrong  []string // what is wrong with each value
	at     int
	says   string
	write  Wait
}

func newValues(ctx context.Context, p planner, th Theme, id uint64, source []byte, f task.File, given map[string]string, leave int, open func(uint64) Screen) *values {
	s := &values{ctx: ctx, planner: p, theme: th, id: id, source: source, file: f, leave: leave, open: open,
		inputs: make([]input, len(f.Parameters)), wrong: make([]string, len(f.Parameters))}
	for i, p := range f.Parameters {
		s.inputs[i].limit = 10_000
		v, ok := given[p.Name]
		switch {
		case ok:
			s.inputs[i].set(v)
		case p.Default != nil:
			s.inputs[i].set(*p.Default)
		case len(choices(p)) > 0:
			s.inputs[i].set(choices(p)[0])
		}
	}
	return s
}

// choices are all values that a parameter can have, if they are few.
func choices(p task.Parameter) []string {
	switch p.Type {
	case task.Boolean:
		return []string{"false", "true"}
	case task.OneOf:
		return p.Choices
	}
	return nil
}

func (s *values) Title() string { return "values" }
func (s *values) Typing() bool  { return true }
func (s *values) Init() tea.Cmd { return nil }

func (s *values) ShortHelp() []key.Binding {
	if s.write.Busy() {
		return []key.Binding{bind("esc", "stop waiting", "esc")}
	}
	choose := bind("←/→", "choose", "left", "right")
	choose.SetEnabled(len(choices(s.file.Parameters[s.at])) > 0)
	enter := bind("enter", "next", "enter")
	if s.at == len(s.inputs)-1 {
		enter = bind("enter", "make the task", "enter")
	}
	return []key.Binding{enter, choose, bind("↑/↓", "another value", "up", "down"), bind("esc", "back", "esc")}
}

func (s *values) FullHelp() [][]key.Binding { return [][]key.Binding{s.ShortHelp()} }

func (s *values) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if t, err, ok := take[task.Task](&s.write, msg); ok {
		if err != nil {
			s.blame(err)
			return s, refused(err)
		}
		return s, written(t, s.id, s.leave, s.open)
	}
	if k, ok := msg.(tea.KeyMsg); ok {
		return s, s.key(k)
	}
	return s, nil
}

// blame shows an error beside the value that it speaks of, if it does.
func (s *values) blame(err error) {
	var value *task.ValueError
	if errors.As(err, &value) {
		for i, p := range s.file.Parameters {
			if p.Name == value.Name {
				s.at, s.wrong[i] = i, value.Message
				return
			}
		}
	}
	s.says = wordsOf(err)
}

func (s *values) key(k tea.KeyMsg) tea.Cmd {
	p, in := s.file.Parameters[s.at], &s.inputs[s.at]
	few := choices(p)
	switch {
	case k.Type == tea.KeyEsc:
		if s.write.Cancel() {
			return nil
		}
		return pop
	case s.write.Busy():
		return nil
	case k.Type == tea.KeyEnter && !k.Paste, k.Type == tea.KeyTab, k.Type == tea.KeyDown:
		s.check(s.at)
		if s.at < len(s.inputs)-1 {
			s.at++
			return nil
		}
		if k.Type == tea.KeyEnter {
			return s.save()
		}
	case k.Type == tea.KeyUp, k.Type == tea.KeyShiftTab:
		s.check(s.at)
		s.at = max(0, s.at-1)
	case len(few) > 0:
		i := slices.Index(few, in.String())
		switch k.Type {
		case tea.KeyRight, tea.KeySpace:
			in.set(few[(i+1)%len(few)])
		case tea.KeyLeft:
			in.set(few[(max(i, 0)+len(few)-1)%len(few)])
		}
		s.wrong[s.at] = ""
	default:
		in.key(k)
		s.wrong[s.at] = ""
	}
	return nil
}

// given is the value of a field, exactly as it was typed; none if that is nothing and
// there is a default.
func (s *values) given(i int) (string, bool) {
	v := string(s.inputs[i].text)
	return v, v != "" || s.file.Parameters[i].Default == nil
}

// check says beside a value what is wrong with it.
func (s *values) check(i int) bool {
	s.wrong[i] = ""
	v, ok := s.given(i)
	if !ok {
		return true
	}
	if _, err := s.file.Parameters[i].Value(v); err != nil {
		s.wrong[i] = err.Error()
	}
	return s.wrong[i] == ""
}

func (s *values) save() tea.Cmd {
	s.says = ""
	given := map[string]string{}
	for i, p := range s.file.Parameters {
		if !s.check(i) {
			s.at = i
			return nil
		}
		if v, ok := s.given(i); ok {
			given[p.Name] = v
		}
	}
	id, source := s.id, s.source
	return ask(s.ctx, &s.write, func(ctx context.Context) (task.Task, error) { return s.planner.Write(ctx, id, source, given) })
}

// Leave implements [Leaver].
func (s *values) Leave() { s.write.Cancel() }

// about says what a parameter is, and what it takes.
func about(p task.Parameter) string {
	unit := ""
	if p.Type == task.Text {
		unit = " characters"
	}
	text := string(p.Type)
	switch {
	case p.Min != "" && p.Max != "":
		text += ", " + p.Min + " to " + p.Max + unit
	case p.Min != "":
		text += ", at least " + p.Min + unit
	case p.Max != "":
		text += ", at most " + p.Max + unit
	}
	if p.Pattern != "" {
		text += ", matching " + p.Pattern
	}
	if p.Description != "" {
		text = p.Description + " (" + text + ")"
	}
	return clean(text)
}

func (s *values) View(w, h int) string {
	th := s.theme
	right := ""
	if s.write.Busy() {
		right = th.Muted.Render("… reading it ")
	}
	b := []string{ends(" "+th.Strong.Render(clean(s.file.Name)), right, w), ""}
	wide := 0
	for _, p := range s.file.Parameters {
		wide = max(wide, width(p.Name))
	}
	wide = min(wide, max(6, w/3))
	each := 3
	if h < 16 {
		each = 2
	}
	room := max(1, (h-4)/each)
	l := list{at: s.at}
	from, to := l.page(len(s.inputs), room)
	for i := from; i < to; i++ {
		p, on := s.file.Parameters[i], i == s.at
		mark, name := "  ", th.Plain.Render(pad(clean(p.Name), wide))
		if on {
			mark, name = th.Accent.Render("> "), th.Strong.Render(pad(clean(p.Name), wide))
		}
		few := choices(p)
		shown := s.inputs[i].view(th, max(4, w-wide-8), on && few == nil)
		if few != nil {
			shown = clean(s.inputs[i].String())
			if on {
				shown = "‹ " + shown + " ›"
			}
		}
		b = append(b, "  "+mark+name+"  "+cut(shown, max(4, w-wide-8)))
		under, st := about(p), th.Muted
		if s.wrong[i] != "" {
			under, st = s.wrong[i], th.Bad
		}
		b = append(b, strings.Repeat(" ", wide+6)+st.Render(cut(clean(under), max(4, w-wide-8))))
		if each == 3 {
			b = append(b, "")
		}
	}
	if len(s.inputs) > to {
		b = append(b, "  "+th.Muted.Render(fmt.Sprintf("↓ %s more", count(len(s.inputs)-to, "value"))))
	}
	if s.says != "" {
		b = append(b, rows(th.Bad, indent(prose(s.says, w-4)))...)
	}
	return strings.Join(b[:min(len(b), h)], "\n")
}
