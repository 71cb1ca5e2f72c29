package tui

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/sallyport/sallyport/bastion"
)

// shelf is what the list of recordings needs of a session.
type shelf interface {
	Recordings(context.Context, bastion.RecordingFilter) ([]bastion.Recording, error)
	Has(bastion.Duty) bool
	Now() time.Time
}

// The fields of the filter bar, in their order.
const (
	byPerson = iota
	byTarget
	byText
	bySince
	byUntil
	filterFields
)

// filterNames are the labels of the fields.
var filterNames = [filterFields]string{"person", "target", "statement", "since", "until"}

// recordings is the list of recordings, with a filter bar.
type recordings struct {
	ctx   context.Context
	shelf shelf
	theme Theme
	open  func(r bastion.Recording, eventsOnly bool) Screen

	all     []bastion.Recording
	loaded  bool
	err     error
	list    list
	h       int
	load    Wait
	idle    bool // also sessions that touched no target
	inputs  [filterFields]input
	asked   [filterFields]string // what filter was made of
	filter  bastion.RecordingFilter
	editing bool
	field   int
	hint    string
}

func newRecordings(ctx context.Context, sh shelf, th Theme, open func(bastion.Recording, bool) Screen) *recordings {
	return &recordings{ctx: ctx, shelf: sh, theme: th, open: open}
}

func (s *recordings) Title() string { return "recordings" }
func (s *recordings) Typing() bool  { return s.editing }
func (s *recordings) Init() tea.Cmd { return s.reload() }

func (s *recordings) reload() tea.Cmd {
	f := s.filter
	f.All = s.idle
	return ask(s.ctx, &s.load, func(ctx context.Context) ([]bastion.Recording, error) { return s.shelf.Recordings(ctx, f) })
}

func (s *recordings) ShortHelp() []key.Binding {
	switch {
	case s.editing:
		return []key.Binding{bind("enter", "apply", "enter"), bind("tab", "next field", "tab"), bind("ctrl+x", "clear all", "ctrl+x"), bind("esc", "cancel", "esc")}
	case s.load.Busy():
		return []key.Binding{bind("esc", "cancel", "esc")}
	}
	replay, events := bind("enter", "replay", "enter"), bind("e", "events", "e")
	replay.SetEnabled(len(s.all) > 0)
	events.SetEnabled(len(s.all) > 0)
	what := "with idle visits"
	if s.idle {
		what = "without idle visits"
	}
	return []key.Binding{replay, events, bind("/", "filter", "/"), bind("s", what, "s"), keyBack}
}

func (s *recordings) FullHelp() [][]key.Binding {
	return [][]key.Binding{{bind("enter", "replay the recording"), bind("e", "its events alone"), bind("/", "filter by person, target, statement and time"),
		bind("tab", "in the filter: next field; up and down work too"), bind("since, until", "today, yesterday, 7d, 12h, 2006-01-02, or with 15:04 after it; UTC"),
		bind("s", "also show visits that touched no target, or hide them"), bind("ctrl+r", "read the list again"), keyBack}}
}

func (s *recordings) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if rs, err, ok := take[[]bastion.Recording](&s.load, msg); ok {
		s.loaded, s.err = true, err
		if err != nil {
			return s, fail(err)
		}
		s.all = rs
		s.list.clamp(len(rs), s.page(s.h))
		return s, nil
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.h = msg.Height
		s.list.clamp(len(s.all), s.page(s.h))
	case SignedIn:
		return s, s.reload()
	case tea.KeyMsg:
		if s.editing {
			return s, s.edit(msg)
		}
		return s, s.key(msg)
	}
	return s, nil
}

func (s *recordings) key(k tea.KeyMsg) tea.Cmd {
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEsc:
		if s.load.Cancel() {
			if s.loaded {
				return nil
			}
			return pop
		}
		return pop
	case k.Type == tea.KeyCtrlR:
		return s.reload()
	case k.Type == tea.KeyEnter || k.String() == "e":
		if s.list.at < len(s.all) {
			return push(s.open(s.all[s.list.at], k.Type != tea.KeyEnter))
		}
		return nil
	case k.String() == "/":
		s.editing, s.field, s.hint = true, 0, ""
		if !s.shelf.Has(bastion.Audit) {
			s.field = byTarget // the person is oneself
		}
		return nil
	case k.String() == "s":
		s.idle = !s.idle
		return s.reload()
	}
	s.list.key(k, len(s.all), s.page(s.h))
	return nil
}

func (s *recordings) edit(k tea.KeyMsg) tea.Cmd {
	s.hint = ""
	switch {
	case k.Type == tea.KeyEsc:
		s.editing = false
		for i, text := range s.asked {
			s.inputs[i].set(text)
		}
	case k.Type == tea.KeyTab, k.Type == tea.KeyDown:
		s.field = (s.field + 1) % filterFields
	case k.Type == tea.KeyShiftTab, k.Type == tea.KeyUp:
		s.field = (s.field + filterFields - 1) % filterFields
	case k.Type == tea.KeyCtrlX:
		s.inputs = [filterFields]input{}
	case k.Type == tea.KeyEnter && !k.Paste:
		f := bastion.RecordingFilter{Person: s.inputs[byPerson].String(), Target: s.inputs[byTarget].String(), Text: s.inputs[byText].String()}
		var err error
		if f.Since, err = when(s.inputs[bySince].String(), s.shelf.Now(), false); err == nil {
			f.Until, err = when(s.inputs[byUntil].String(), s.shelf.Now(), true)
		}
		if err == nil && !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
			err = fmt.Errorf("since must be before until")
		}
		if err != nil {
			s.hint = err.Error()
			return nil
		}
		s.filter, s.editing, s.list = f, false, list{}
		for i := range s.inputs {
			s.asked[i] = s.inputs[i].String()
		}
		return s.reload()
	default:
		s.inputs[s.field].key(k)
	}
	return nil
}

// when reads a point in time as people say it, in UTC. A day that ends a span
// counts in full.
func when(text string, now time.Time, end bool) (time.Time, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	now = now.UTC()
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	whole := func(d time.Time) (time.Time, error) {
		if end {
			d = d.AddDate(0, 0, 1)
		}
		return d, nil
	}
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today":
		return whole(day)
	case "yesterday":
		return whole(day.AddDate(0, 0, -1))
	}
	if n, err := strconv.Atoi(text[:len(text)-1]); err == nil && n > 0 && n < 100_000 {
		switch text[len(text)-1] {
		case 'd':
			return now.AddDate(0, 0, -n), nil
		case 'h':
			return now.Add(-time.Duration(n) * time.Hour), nil
		case 'm':
			return now.Add(-time.Duration(n) * time.Minute), nil
		}
	}
	if t, err := time.Parse("2006-01-02", text); err == nil {
		return whole(t)
	}
	if t, err := time.Parse("2006-01-02 15:04", text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time that is known here; try today, yesterday, 7d, 12h or 2006-01-02", bastion.VisibleLine(text))
}

// Leave implements [Leaver].
func (s *recordings) Leave() { s.load.Cancel() }

func (s *recordings) page(h int) int { return max(1, h-2) }

func (s *recordings) View(w, h int) string {
	if s.editing {
		return s.editor(w, h)
	}
	th := s.theme
	head := " " + th.Strong.Render("Recordings")
	set := ""
	for i, in := range s.inputs {
		if v := in.String(); v != "" {
			set += "  " + filterNames[i] + ": " + clean(v)
		}
	}
	if set != "" {
		head += th.Accent.Render(set)
	}
	right := ""
	switch {
	case s.load.Busy():
		right = th.Muted.Render("… reading; esc cancels ")
	case len(s.all) > 0:
		right = th.Muted.Render(count(len(s.all), "recording") + " ")
	}
	b := []string{ends(head, right, w)}
	switch {
	case s.err != nil && len(s.all) == 0:
		b = append(b, "")
		b = append(b, rows(th.Bad, indent(prose("The recordings cannot be read: "+s.err.Error(), w-4)))...)
		return strings.Join(b, "\n")
	case s.loaded && len(s.all) == 0 && set != "":
		b = append(b, "", "  No recording matches. "+th.Muted.Render("Press / to change the filter."))
		return strings.Join(b, "\n")
	case s.loaded && len(s.all) == 0:
		b = append(b, "")
		b = append(b, rows(th.Muted, indent(prose("Nothing is recorded yet that you may see. Press s to include visits that touched no target.", w-4)))...)
		return strings.Join(b, "\n")
	case !s.loaded && len(s.all) == 0:
		return strings.Join(b, "\n")
	}
	cols := []column{{head: "START (UTC)", width: 16}, {head: "WHO", width: 12}, {head: "LENGTH", width: 8, right: true}, {head: "OPS", width: 6, right: true}, {head: "DENIED", width: 6, right: true}, {head: "STATE", width: 6}, {head: "TARGETS", width: w}}
	if w >= 100 {
		cols[1].width = 24
	}
	switch {
	case w < 60:
		cols[0].width = 11
		cols[2].width, cols[3].width, cols[4].width, cols[5].width = 0, 0, 0, 0
	case w < 80:
		cols[4].width = 0
	}
	stamp := "2006-01-02 15:04"
	if cols[0].width < len(stamp) {
		stamp = "01-02 15:04"
	}
	table := make([][]string, len(s.all))
	for i, r := range s.all {
		table[i] = recordingCells(r, s.shelf.Now(), stamp)
	}
	measure(cols, table)
	b = append(b, s.list.table(th, cols, table, w, s.page(h), 10, func(i int, cells []string) {
		st := th.Muted
		switch {
		case s.all[i].Broken:
			st = th.Bad
		case s.all[i].End.IsZero():
			st = th.Good
		}
		cells[5] = st.Render(pad(cells[5], cols[5].width))
		cells[1] = th.Strong.Render(pad(cells[1], cols[1].width))
		if s.all[i].Denied > 0 {
			cells[4] = th.Warn.Render(padLeft(cells[4], cols[4].width))
		}
	})...)
	return strings.Join(b, "\n")
}

// recordingCells are the cells of a recording's row.
func recordingCells(r bastion.Recording, now time.Time, stamp string) []string {
	targets, state := strings.Join(r.Targets, ", "), "sealed"
	if r.Command != "" {
		targets += "  " + r.Command
	}
	if targets == "" {
		targets = "–"
	}
	switch {
	case r.Broken:
		state = "broken"
	case r.End.IsZero():
		state = "live"
	}
	return []string{r.Start.UTC().Format(stamp), clean(r.Who.Name), length(r, now), itoa(r.Operations), itoa(r.Denied), state, clean(targets)}
}

// length is how long a recording is, or has been so far.
func length(r bastion.Recording, now time.Time) string {
	d := r.Length
	if r.End.IsZero() && !r.Broken && d == 0 {
		d = now.Sub(r.Start)
	}
	return clock(d)
}

// clock says a duration as a player does: 1:05, 1:02:03.
func clock(d time.Duration) string {
	t := int(max(0, d) / time.Second)
	if t >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", t/3600, t/60%60, t%60)
	}
	return fmt.Sprintf("%d:%02d", t/60, t%60)
}

func (s *recordings) editor(w, h int) string {
	th := s.theme
	b := []string{" " + th.Strong.Render("Filter the recordings")}
	if h > 9 {
		b = append(b, "")
	}
	for i := range s.inputs {
		mark, name := "   ", th.Muted.Render(pad(filterNames[i], 10))
		if i == s.field {
			mark, name = " › ", th.Accent.Render(pad(filterNames[i], 10))
		}
		b = append(b, mark+name+" "+s.inputs[i].view(th, w-16, i == s.field))
	}
	if h > 9 {
		b = append(b, "")
	}
	if s.hint != "" {
		return strings.Join(append(b, rows(th.Warn, indent(prose(s.hint, w-4)))...), "\n")
	}
	hints := [filterFields]string{"a part of the name or e-mail", "the target's name", "a part of what was run", "today, yesterday, 7d, 12h, or a day such as 2006-01-02 (UTC)", "now, today, or a day such as 2006-01-02; the day counts in full"}
	return strings.Join(append(b, rows(th.Muted, indent(prose(hints[s.field], w-4)))...), "\n")
}
