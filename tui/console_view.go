package tui

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// View implements [Screen].
func (c *console) View(w, h int) string {
	if w <= 0 || h <= 0 {
		return ""
	}
	if c.phase != ready {
		return strings.Join(lastLines(c.openLines(w), h), "\n")
	}
	below := c.bottom(w, h)
	most := h / 2
	if c.popup != nil {
		most = h
	}
	prompt := c.promptLines(w, max(1, min(most, h-len(below)-1)))
	room := max(0, h-len(below)-len(prompt))
	var above []string
	switch {
	case c.focus == onRecord:
		above = c.active.sheet.records(c.theme, w, max(1, room))
	case c.focus == onResult && c.up == 0 && c.active != nil && c.active.sheet != nil:
		above = c.browse(w, room)
	default:
		above = c.transcript(w, room)
	}
	lines := append(above, prompt...)
	for len(lines)+len(below) < h {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, below...), "\n")
}

func lastLines(lines []string, n int) []string { return lines[max(0, len(lines)-max(0, n)):] }

// openLines is the screen until the target is open.
func (c *console) openLines(w int) []string {
	th, in := c.theme, max(8, w-2)
	var b *block
	if c.front != nil {
		b = c.front.block
	}
	if c.phase == failed {
		b = c.open
	}
	out := []string{"", th.Strong.Render(cut(clean(c.target), in))}
	switch {
	case c.phase == failed:
		if b != nil {
			out = append(out, c.outcome(b, in)...)
		}
		out = append(out, "", th.Muted.Render(cut("The target is not open. enter tries again, esc goes back.", in)))
	case len(c.forms) > 0:
		out = append(out, c.forms[0].lines(th, in)...)
	case c.front != nil && c.front.request.ID != 0:
		out = append(out, c.panelLines(c.front, in)...)
	default:
		out = append(out, c.spinner()+" opening the connection; esc cancels")
	}
	for i, l := range out {
		out[i] = " " + l
	}
	return out
}

func (c *console) spinner() string {
	frames := []rune("⠋⠙⠸⠴⠦⠇")
	if c.theme.Colourless() {
		frames = []rune(`|/-\`)
	}
	return c.theme.Accent.Render(string(frames[c.frame%len(frames)]))
}

// prompts are what stands before the first line, and before others.
func (c *console) prompts(w int) (first, more string) {
	name := clean(c.target)
	if most := max(4, w/3-3); textWidth(name) > most {
		name = cut(name, most)
	}
	mark := c.tx.mark()
	return name + "=" + mark + "> ", name + "-" + mark + "> "
}

// promptLines is the editor, or what has taken its place.
func (c *console) promptLines(w, h int) []string {
	th := c.theme
	if len(c.forms) > 0 || c.panel != nil {
		return nil
	}
	if s := c.search; s != nil {
		label := "search: "
		found := ""
		switch {
		case s.found:
			found = clean(c.past.texts[s.at])
		case len(s.in.text) > 0:
			found = th.Muted.Render("nothing holds this")
		}
		typed := s.in.view(th, max(4, w/3), true)
		line := th.Accent.Render(label) + typed
		return []string{cut(pad(line, max(textWidth(label)+8, min(w/3, ansi.StringWidth(line)+2)))+found, w)}
	}
	first, more := c.prompts(w)
	if c.focus == onEditor {
		first, more = th.Accent.Render(first), th.Muted.Render(more)
	} else {
		first, more = th.Muted.Render(first), th.Muted.Render(more)
	}
	popupRoom := 0
	if c.popup != nil {
		popupRoom = min(popupLines, len(c.popup.offers), max(1, h-1))
	}
	lines, at, col := c.edit.view(th, first, more, w, max(1, min(h-popupRoom, c.h/2)), c.focus == onEditor)
	if c.popup != nil {
		offers := c.popup.view(th, w, popupRoom, col-c.popup.replaces)
		lines = slices.Insert(lines, at+1, offers...)
	}
	return lines
}

// bottom is what waits in the background.
func (c *console) bottom(w, h int) []string {
	th := c.theme
	var out []string
	for _, r := range c.back {
		switch {
		case r == c.panel || r.request.ID == 0 || r.stopped != nil:
		case r.request.State.Open():
			text := "request " + utoa(r.request.ID) + " waits"
			if !r.request.Expires.IsZero() {
				text += ": " + countdown(r.request.Expires.Sub(c.s.Now()))
			}
			if len(out) == 0 {
				text += "  ctrl+o shows it"
			}
			out = append(out, th.Warn.Render(cut(" "+text, w)))
		}
	}
	if most := max(1, h/4); len(out) > most {
		out = append(out[:most-1], th.Warn.Render(cut(" "+itoa(len(out)-most+1)+" requests wait  ctrl+o shows one", w)))
	}
	return out
}

// browse is the active result with the keys in it.
func (c *console) browse(w, h int) []string {
	b := c.active
	echo := c.echo(b, w, 1)
	if h < 7 {
		echo = nil
	}
	notes := len(c.foot(b, w, 1, true))
	switch {
	case h < 5:
		notes = 0
	case h-len(echo)-2-notes < 2:
		notes = 1
	}
	foot := c.foot(b, w, max(1, h-len(echo)-2-notes), true)[:notes]
	table := b.sheet.table(c.theme, w, max(1, h-len(echo)-len(foot)), true)
	return lastLines(append(append(echo, table...), foot...), h)
}

// tableRoom is the number of rows that browse has room for, on a screen as large
// as the last one that was told.
func (c *console) tableRoom() int {
	h := c.h - len(c.bottom(c.w, c.h)) - len(c.promptLines(c.w, max(1, c.h/2)))
	n := h - 2 - 1
	if h >= 7 {
		n--
	}
	if c.active != nil && c.active.sheet != nil && c.active.sheet.masked() != "" && h >= 7 {
		n--
	}
	return max(1, n)
}

// transcript is the scrollback, as scrolled, in at most h lines.
func (c *console) transcript(w, h int) []string {
	if h <= 0 {
		return nil
	}
	var out []string // from the bottom up
	for i, b := range slices.Backward(c.blocks) {
		lines := c.draw(b, w, h, i == len(c.blocks)-1)
		slices.Reverse(lines)
		out = append(out, lines...)
		if len(out) >= h+c.up {
			break
		}
	}
	up := max(0, min(c.up, len(out)-h))
	out = out[up:min(len(out), up+h)]
	slices.Reverse(out)
	return out
}

// clampUp keeps the scrollback from being scrolled beyond its beginning.
func (c *console) clampUp() {
	n, h := 0, max(1, c.h-2)
	for i, b := range c.blocks {
		n += len(c.draw(b, c.w, h, i == len(c.blocks)-1))
	}
	c.up = max(0, min(c.up, n-h))
}

// draw draws one block. The newest may fill h lines, others stay short.
func (c *console) draw(b *block, w, h int, newest bool) []string {
	lines := c.echo(b, w, 6)
	rest := c.outcome(b, w)
	form := c.pending(b, w)
	var table []string
	if b.sheet != nil && (b.reach != reachStopped || b.sheet.total() > 0) {
		most := oldRows
		if newest {
			most = max(3, h-len(lines)-len(rest)-len(form)-len(c.foot(b, w, 1, false))-3)
		}
		table = c.result(b, w, most)
	}
	lines = append(append(append(lines, table...), rest...), form...)
	if len(lines) > 0 && h >= 8 && (b.state == blockDone || !newest) {
		lines = append(lines, "")
	}
	return lines
}

// echo is the statement as it was typed, in at most n lines.
func (c *console) echo(b *block, w, n int) []string {
	if b.text == "" {
		return nil
	}
	first, more := c.prompts(w)
	if i := strings.IndexByte(first, '='); i >= 0 { // the transaction may be another by now
		first, more = first[:i]+"=> ", more[:i]+"-> "
	}
	margin := textWidth(first)
	var out []string
	for i, l := range paint(c.theme, b.text) {
		for j, piece := range strings.Split(ansi.Hardwrap(l, max(1, w-margin), true), "\n") {
			p := strings.Repeat(" ", margin)
			switch {
			case i == 0 && j == 0:
				p = c.theme.Muted.Render(first)
			case j == 0:
				p = c.theme.Muted.Render(more)
			}
			out = append(out, p+piece)
		}
	}
	if len(out) > n {
		hidden := len(out) - n
		out = out[:n]
		if n > 1 {
			out[n-1] = c.theme.Muted.Render(cut(strings.Repeat(" ", margin)+"… "+itoa(hidden+1)+" more lines", w))
		} else {
			out[0] = cut(out[0], w-2) + c.theme.Muted.Render(" …")
		}
	}
	return out
}

// result is the table of a block, or its rows expanded, in at most n rows.
func (c *console) result(b *block, w, n int) []string {
	t := b.sheet
	if len(t.columns) == 0 {
		return c.foot(b, w, n, false)
	}
	if c.expands(t, w) {
		var lines []string
		whole := 0 // rows of which all can be seen
		for i := 0; i < len(t.rows) && len(lines) < n; i++ {
			if lines = append(lines, t.rowLines(c.theme, i, w)...); len(lines) <= n {
				whole++
			}
		}
		whole = max(1, whole) // or a part of the first
		return append(lines[:min(len(lines), n)], c.foot(b, w, whole, false)...)
	}
	lines := t.table(c.theme, w, n+2, false)
	return append(lines, c.foot(b, w, n, false)...)
}

// expands reports whether a table is shown expanded, a line for each value.
func (c *console) expands(t *sheet, w int) bool {
	return c.expanded == expandOn || c.expanded == expandAuto && t.wide(w)
}

// foot says what a table shows, and what is hidden in it.
func (c *console) foot(b *block, w, n int, focus bool) []string {
	th := c.theme
	t := b.sheet
	room := w
	if !focus && c.expands(t, w) {
		room = math.MaxInt32 // every column has a line of its own
	}
	text := t.place(room, n, focus, b.reach)
	if b.reach == reachMore {
		text += " (pgdn)"
	}
	if b.tag != "" && !strings.HasPrefix(b.tag, "SELECT") && !strings.HasPrefix(b.tag, "SHOW") && !strings.HasPrefix(b.tag, "EXPLAIN") {
		text += " · " + clean(b.tag)
	}
	if c.timing && b.state == blockDone && b.reach == reachAll && b.took > 0 {
		text += " · " + took(b.took)
	}
	out := []string{th.Muted.Render(cut(" "+text, w))}
	if m := t.masked(); m != "" {
		lines := []string{cut("masked: "+m, w-1)}
		if !focus { // there is room for all of them
			lines = prose("masked: "+m, w-1)
		}
		for _, l := range rows(th.Masked, lines) {
			out = append(out, " "+l)
		}
	}
	if t.cut {
		out = append(out, th.Muted.Render(cut(" some values were too long and are cut", w)))
	}
	return out
}

// outcome is what a block says besides its rows.
func (c *console) outcome(b *block, w int) []string {
	th := c.theme
	var out []string
	if b.denied != nil {
		out = append(out, refusal(th, b.denied, w)...)
	}
	for _, s := range b.says {
		st := th.Level(s.level)
		if s.level == Info {
			st = th.Muted
		}
		out = append(out, rows(st, prose(s.text, w))...)
		if s.at != nil {
			out = append(out, s.at.lines(th, w)...)
		}
	}
	if b.sheet == nil && b.tag != "" {
		text := clean(b.tag)
		if c.timing && b.took > 0 {
			text += th.Muted.Render(" · " + took(b.took))
		}
		out = append(out, cut(text, w))
	}
	return out
}

// pending is what a block waits for.
func (c *console) pending(b *block, w int) []string {
	th := c.theme
	for _, f := range c.forms[:min(1, len(c.forms))] {
		if f.run.block == b {
			return f.lines(th, w)
		}
	}
	if c.panel != nil && c.panel.block == b {
		return c.panelLines(c.panel, w)
	}
	switch {
	case b.state == blockWaits:
		return []string{th.Warn.Render(cut("request "+utoa(b.request.ID)+" waits for approval in the background", w))}
	case b.state == blockRuns && c.front != nil && c.front.block == b && !c.front.parked:
		d := c.s.Now().Sub(c.front.since)
		if d < pulseEvery && c.front.stopped == nil {
			return nil // most are over before there is anything to say
		}
		text := "running"
		switch {
		case c.front.stopped != nil:
			text = "cancelling on the server"
		case b.request.State != "":
			text = "approved; running"
		}
		if d >= time.Second {
			text += " for " + left(d)
		}
		if rest := len(c.front.texts) - c.front.done - 1; rest > 0 {
			text += " (" + itoa(rest) + " more after it)"
		}
		return []string{c.spinner() + " " + cut(text+"; ctrl+c cancels", w-2)}
	case b.state == blockRuns && b.sheet == nil && (c.front == nil || c.front.block != b):
		return []string{th.Muted.Render("ending")}
	}
	return nil
}
