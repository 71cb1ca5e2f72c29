package tui

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
)

// form asks why a statement should be approved. It opens by itself, so when the
// person is typing ahead it swallows keys until they pause.
type form struct {
	run   *run
	asks  asks
	in    input
	hint  string
	armed bool
	count int // keys that were swallowed
}

// grace is the pause in typing that shows that the form has been seen.
const grace = 600 * time.Millisecond

// armed tells that nothing was typed for a while.
type armed struct {
	form  *form
	count int
}

func (f *form) arm(ctx context.Context) tea.Cmd {
	if f.armed {
		return nil
	}
	f.count++
	count := f.count
	return func() tea.Msg {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		return armed{f, count}
	}
}

func (f *form) wake(count int) { f.armed = f.armed || f.count == count }

// leastReason is the fewest letters that say something.
const leastReason = 4

func letters(s string) int {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// formKey takes a key for the form in front.
func (c *console) formKey(k tea.KeyMsg) tea.Cmd {
	f := c.forms[0]
	if !f.armed && k.Type != tea.KeyEsc {
		return f.arm(c.ctx)
	}
	f.hint = ""
	switch {
	case k.Type == tea.KeyEsc:
		return c.giveUp()
	case k.Type == tea.KeyEnter:
		reason := f.in.String()
		if letters(reason) < leastReason {
			f.hint = "please write a few words: those who approve know nothing else"
			return nil
		}
		f.asks.reply <- reason
		c.typed = false
		return c.nextForm()
	}
	f.in.key(k)
	return nil
}

// giveUp closes the form without a reason: nothing is asked and nothing runs.
func (c *console) giveUp() tea.Cmd {
	close(c.forms[0].asks.reply)
	return c.nextForm()
}

func (c *console) nextForm() tea.Cmd {
	c.forms = c.forms[1:]
	if len(c.forms) == 0 {
		return nil
	}
	c.forms[0].armed = false // it opens under the person's fingers
	return c.forms[0].arm(c.ctx)
}

func (f *form) lines(th Theme, w int) []string {
	a := f.asks
	rule := a.decision.Rule
	if a.decision.Reason != "" {
		rule += ": " + a.decision.Reason
	}
	out := rows(th.Warn, prose("needs "+a.decision.Needs.String(), w))
	out = append(out, fields(th, w, fieldLine{"effect", a.summary}, fieldLine{"rule", rule}, fieldLine{"estimate", estimate(a.preview)})...)
	for i, l := range a.preview.Effect {
		if i == formEffect {
			out = append(out, th.Muted.Render(cut(fmt.Sprintf("  … %s more, which those who approve read in full", count(len(a.preview.Effect)-i, "line")), w)))
			break
		}
		out = append(out, hanging(l, w)...)
	}
	out = append(out, cut(th.Heading.Render("Why do you need it? Those who approve will read this."), w))
	out = append(out, th.Accent.Render("> ")+f.in.view(th, max(4, w-3), true))
	if f.hint != "" {
		out = append(out, rows(th.Warn, prose(f.hint, w))...)
	}
	return out
}

// formEffect is how many lines of what an operation does stand in the form.
const formEffect = 12

func estimate(p bastion.Preview) string {
	s := ""
	if p.Rows >= 0 {
		s = "about " + countRows(p.Rows)
	}
	if p.Note != "" {
		if s != "" {
			s += "; "
		}
		s += p.Note
	}
	return s
}

// panelKey takes a key for the waiting panel.
func (c *console) panelKey(k tea.KeyMsg) tea.Cmd {
	r := c.panel
	sure := c.sure
	c.sure = false
	switch {
	case k.Type == tea.KeyEsc:
		c.panel = nil
		if c.phase != ready {
			c.stop(r, errStopWaiting)
			return pop
		}
		if r == c.front && !c.putBack() {
			c.panel = r
			return notify(Warn, "too much waits in the background already; withdraw something first")
		}
		return c.pulse()
	case !k.Paste && (k.String() == "w" || k.String() == "W"):
		if !sure {
			c.sure = true
			return nil
		}
		s, id := c.s, r.request.ID
		return ask(c.ctx, &c.withdrawing, func(ctx context.Context) (bastion.Request, error) { return s.Withdraw(ctx, id) })
	}
	return nil
}

// putBack lets what runs in the foreground go on in the background.
func (c *console) putBack() bool {
	if len(c.back) >= mostBack {
		return false
	}
	c.front, c.back = nil, append(c.back, c.front)
	return true
}

func (c *console) panelLines(r *run, w int) []string {
	th, q := c.theme, r.request
	title := th.Warn.Render(fmt.Sprintf("request %d waits for approval", q.ID))
	right := ""
	if !q.Expires.IsZero() {
		right = th.Strong.Render(countdown(q.Expires.Sub(c.s.Now())) + " left")
	}
	out := []string{ends(title, right, w)}
	who := make([]string, len(q.Approvers))
	for i, a := range q.Approvers {
		who[i] = clean(a)
	}
	var votes []string
	for _, v := range q.Votes {
		verb := "approved by "
		if v.Verdict == bastion.VoteDeny {
			verb = "denied by "
		}
		votes = append(votes, verb+clean(v.Who.Name))
	}
	out = append(out, fields(th, w, fieldLine{"needs", q.Needs.String()}, fieldLine{"can give", strings.Join(who, ", ")},
		fieldLine{"so far", strings.Join(votes, ", ")}, fieldLine{"reason", clean(q.Reason)})...)
	switch {
	case c.sure:
		out = append(out, rows(th.Warn, prose("Withdraw it? Press w again; any other key keeps it.", w))...)
	case c.phase != ready:
		out = append(out, rows(th.Muted, prose("The console opens when it is approved. If you leave, it stays open, and you can connect later.", w))...)
	default:
		out = append(out, rows(th.Muted, prose("It runs at once when it is approved, also while you go on working (esc).", w))...)
	}
	return out
}
