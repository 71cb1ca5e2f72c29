package tui

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/sallyport/sallyport/bastion"
)

// clerk is what the list of requests needs of a session.
type clerk interface {
	Requests(context.Context, bastion.RequestFilter) ([]bastion.Request, error)
	Has(bastion.Duty) bool
	Now() time.Time
}

// tab is one view of the requests.
type tab struct {
	name   string
	filter bastion.RequestFilter
	empty  string
}

// approvals is the queue of requests: those to decide, one's own, and for
// auditors all.
type approvals struct {
	ctx   context.Context
	clerk clerk
	theme Theme
	open  func(id uint64) Screen

	tabs     []tab
	tab      int
	requests []bastion.Request
	loaded   bool
	err      error
	list     list
	h        int
	load     Wait
	again    bool
	tick     Wait
}

func newApprovals(ctx context.Context, c clerk, th Theme, open func(uint64) Screen) *approvals {
	s := &approvals{ctx: ctx, clerk: c, theme: th, open: open, tabs: []tab{
		{"to decide", bastion.RequestFilter{Open: true, Decide: true}, "Nothing waits for you. New requests appear here by themselves."},
		{"my own", bastion.RequestFilter{Mine: true}, "You have asked for nothing yet."},
	}}
	if c.Has(bastion.Audit) {
		s.tabs = append(s.tabs, tab{"all", bastion.RequestFilter{}, "Nobody has asked for anything yet."})
	}
	if !c.Has(bastion.Approve) && !c.Has(bastion.Audit) {
		s.tab = 1
	}
	return s
}

func (s *approvals) Title() string { return "approvals" }
func (s *approvals) Typing() bool  { return false }
func (s *approvals) Init() tea.Cmd { return tea.Batch(s.reload(), s.moment()) }

// moment comes back so that the ages in the list stay true.
func (s *approvals) moment() tea.Cmd { return later(s.ctx, &s.tick, 10*time.Second) }

func (s *approvals) reload() tea.Cmd {
	if s.load.Busy() && s.loaded {
		s.again = true
		return nil
	}
	f := s.tabs[s.tab].filter
	return ask(s.ctx, &s.load, func(ctx context.Context) ([]bastion.Request, error) { return s.clerk.Requests(ctx, f) })
}

func (s *approvals) ShortHelp() []key.Binding {
	if s.load.Busy() && !s.loaded {
		return []key.Binding{bind("esc", "cancel", "esc")}
	}
	enter := keyEnter
	enter.SetEnabled(len(s.requests) > 0)
	return []key.Binding{enter, bind("tab", "next list", "tab"), bind("↑/↓", "choose", "up", "down"), keyBack}
}

func (s *approvals) FullHelp() [][]key.Binding {
	return [][]key.Binding{{bind("enter", "open the request: read it, then approve or deny"), bind("tab", "to decide, my own, all (auditors)"),
		bind("↑/↓ pgup/pgdn", "choose a request"), keyBack}}
}

func (s *approvals) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if rs, err, ok := take[[]bastion.Request](&s.load, msg); ok {
		s.err, s.loaded = err, true
		var next tea.Cmd
		if s.again {
			s.again = false
			next = s.reload()
		}
		if err != nil {
			return s, tea.Batch(next, fail(err))
		}
		follow(&s.list, s.requests, rs, s.page(s.h), func(r bastion.Request) uint64 { return r.ID })
		s.requests = rs
		return s, next
	}
	if _, err, ok := take[time.Time](&s.tick, msg); ok {
		if err != nil {
			return s, nil
		}
		return s, s.moment()
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.h = msg.Height
		s.list.clamp(len(s.requests), s.page(s.h))
	case Queue, SignedIn:
		return s, s.reload()
	case tea.KeyMsg:
		return s, s.key(msg)
	}
	return s, nil
}

func (s *approvals) key(k tea.KeyMsg) tea.Cmd {
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEsc:
		return pop
	case k.Type == tea.KeyTab || k.Type == tea.KeyShiftTab:
		step := 1
		if k.Type == tea.KeyShiftTab {
			step = len(s.tabs) - 1
		}
		s.tab = (s.tab + step) % len(s.tabs)
		s.requests, s.loaded, s.list, s.err = nil, false, list{}, nil
		return s.reload()
	case k.Type == tea.KeyEnter:
		if s.list.at < len(s.requests) {
			return push(s.open(s.requests[s.list.at].ID))
		}
		return nil
	}
	s.list.key(k, len(s.requests), s.page(s.h))
	return nil
}

// Leave implements [Leaver].
func (s *approvals) Leave() {
	s.load.Cancel()
	s.tick.Cancel()
}

func (s *approvals) page(h int) int { return max(1, h-2) }

func (s *approvals) View(w, h int) string {
	th := s.theme
	var names []string
	for i, t := range s.tabs {
		if i == s.tab {
			names = append(names, th.Strong.Render("["+t.name+"]"))
		} else {
			names = append(names, th.Muted.Render(" "+t.name+" "))
		}
	}
	right := ""
	switch {
	case s.load.Busy() && !s.loaded:
		right = th.Muted.Render("… reading; esc goes back ")
	case len(s.requests) > 0:
		right = th.Muted.Render(count(len(s.requests), "request") + " ")
	}
	b := []string{ends(" "+strings.Join(names, " "), right, w)}
	switch {
	case s.err != nil && len(s.requests) == 0:
		b = append(b, "")
		b = append(b, rows(th.Bad, indent(prose("The requests cannot be read: "+s.err.Error(), w-4)))...)
		return strings.Join(b, "\n")
	case s.loaded && len(s.requests) == 0:
		b = append(b, "")
		b = append(b, rows(th.Muted, indent(prose(s.tabs[s.tab].empty, w-4)))...)
		return strings.Join(b, "\n")
	case !s.loaded && len(s.requests) == 0:
		return strings.Join(b, "\n")
	}
	cols := []column{{head: "NO", width: 8, right: true}, {head: "WHO", width: 12}, {head: "TARGET", width: 16}, {head: "STATE", width: 10}, {head: "SINCE", width: 6, right: true}, {head: "ENDS IN", width: 7, right: true}, {head: "WHAT", width: w}}
	if w >= 100 {
		cols[1].width, cols[2].width = 20, 28
	}
	// Who and what matter most when there is little room.
	switch {
	case w < 60:
		cols[2].width, cols[3].width, cols[4].width, cols[5].width = 0, 0, 0, 0
	case w < 76:
		cols[3].width, cols[4].width = 0, 0
	}
	now := s.clerk.Now()
	table := make([][]string, len(s.requests))
	for i, r := range s.requests {
		table[i] = requestCells(r, now)
	}
	measure(cols, table)
	b = append(b, s.list.table(th, cols, table, w, s.page(h), 12, func(i int, cells []string) {
		cells[3] = stateStyle(th, s.requests[i].State).Render(pad(cells[3], cols[3].width))
		cells[0] = th.Strong.Render(padLeft(cells[0], cols[0].width))
	})...)
	return strings.Join(b, "\n")
}

// requestCells are the cells of a request's row.
func requestCells(r bastion.Request, now time.Time) []string {
	state, ends, what := string(r.State), "–", r.Summary
	if r.State.Open() && !r.Expires.IsZero() {
		ends = short(r.Expires.Sub(now))
	}
	if r.State == bastion.Pending {
		have, need := tally(r)
		state = fmt.Sprintf("waits %d/%d", have, need)
	}
	if what == "" {
		what = string(r.Verb)
	}
	return []string{strconv.FormatUint(r.ID, 10), clean(r.Who.Name), clean(r.Target), clean(state), short(now.Sub(r.Created)), ends, clean(what)}
}

// progress says how many of the approvals that a request needs it has.
func progress(r bastion.Request) string {
	have, need := tally(r)
	return fmt.Sprintf("has %d of %d", have, need)
}

// tally counts the approvals that a request has and needs.
func tally(r bastion.Request) (have, need int) {
	for _, n := range r.Needs {
		need += n.Count
	}
	for _, v := range r.Votes {
		if v.Verdict == bastion.VoteApprove {
			have++
		}
	}
	return have, need
}

func stateStyle(th Theme, st bastion.RequestState) lipgloss.Style {
	switch st {
	case bastion.Pending:
		return th.Warn
	case bastion.Approved, bastion.Used:
		return th.Good
	case bastion.Denied:
		return th.Bad
	}
	return th.Muted
}
