package tui

import (
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// key takes a key that the root passed on.
func (c *console) key(k tea.KeyMsg) tea.Cmd {
	c.typed = true
	if k.Type != tea.KeyCtrlD {
		c.leaving = false
	}
	c.retry = nil // who comes back with a key did not sign in
	switch {
	case len(c.forms) > 0:
		return c.formKey(k)
	case c.panel != nil:
		return c.panelKey(k)
	case c.phase == opening:
		if k.Type == tea.KeyEsc {
			return c.quit()
		}
		return nil
	case c.phase == failed:
		switch k.Type {
		case tea.KeyEsc:
			return c.quit()
		case tea.KeyEnter:
			return c.Init()
		}
		return nil
	case c.search != nil:
		return c.searchKey(k)
	case c.focus == onRecord:
		return c.recordKey(k)
	case c.focus == onResult:
		return c.resultKey(k)
	case c.popup != nil:
		if cmd, took := c.popupKey(k); took {
			return cmd
		}
	}
	return c.editKey(k)
}

// Interrupt implements [Interrupter]: Ctrl-C stops what is nearest.
func (c *console) Interrupt() (tea.Cmd, bool) {
	c.typed, c.leaving, c.sure, c.retry = true, false, false, nil
	switch {
	case len(c.forms) > 0:
		return c.giveUp(), true
	case c.phase != ready:
		return c.quit(), true
	case c.panel != nil:
		c.stop(c.panel, errStopWaiting)
		c.panel = nil
	case c.search != nil:
		c.search = nil
	case c.front != nil && c.front.stopped == nil:
		cause := errCancelled
		if c.front.parked {
			cause = errLeft
		}
		c.stop(c.front, cause)
	case c.focus != onEditor:
		c.toEditor()
	case !c.edit.empty():
		c.popup = nil // it goes with the line that it was for
		c.edit.set("")
		c.past.at = len(c.past.texts)
	case c.front == nil:
		return notify(Info, "ctrl+d leaves the console"), true
	}
	return nil, true
}

// quit leaves the screen.
func (c *console) quit() tea.Cmd {
	c.leave()
	return pop
}

// askQuit leaves, or says first what that would cut off.
func (c *console) askQuit() tea.Cmd {
	if what := c.busy(); what != "" && !c.leaving {
		c.leaving = true
		return notify(Warn, "ctrl+d again leaves: "+what)
	}
	return c.quit()
}

// toEditor brings the keys back to the editor. An answer that was not read to its
// end is left: the target need not hold it any longer.
func (c *console) toEditor() {
	c.focus, c.up = onEditor, 0
	if c.front != nil && c.front.parked {
		c.stop(c.front, errLeft)
	}
	c.settle()
}

// toResult brings the keys to the result, or to the scrollback.
func (c *console) toResult() {
	c.settle()
	if len(c.blocks) == 0 {
		return
	}
	c.popup = nil
	c.focus = onResult
	if c.active == nil || c.active.sheet == nil || len(c.active.sheet.rows) == 0 {
		c.active = nil
		c.up = 1
		if c.clampUp(); c.up == 0 {
			c.focus = onEditor // there is nothing that cannot be seen already
			c.settle()
		}
	}
}

func (c *console) editKey(k tea.KeyMsg) tea.Cmd {
	switch {
	case k.Type == tea.KeyEnter && !k.Alt && !k.Paste:
		return c.enter()
	case k.Type == tea.KeyTab:
		c.complete()
		return nil
	case k.Type == tea.KeyEsc, k.Type == tea.KeyPgUp, k.Type == tea.KeyPgDown, k.Type == tea.KeyCtrlUp, k.Type == tea.KeyShiftUp:
		c.toResult()
		return nil
	case k.Type == tea.KeyUp && c.edit.first():
		if t, ok := c.past.older(c.edit.String()); ok {
			c.edit.set(t)
		}
		return nil
	case k.Type == tea.KeyDown && c.edit.last():
		if t, ok := c.past.newer(); ok {
			c.edit.set(t)
		}
		return nil
	case k.Type == tea.KeyCtrlR:
		c.search = &search{at: len(c.past.texts)}
		return nil
	case k.Type == tea.KeyCtrlD && c.edit.empty():
		return c.askQuit()
	case k.Type == tea.KeyCtrlL:
		c.clear()
		return nil
	case k.Type == tea.KeyCtrlO:
		if w := c.waiting(); len(w) > 0 {
			c.panel = w[0]
			// The next time, the next one.
			c.back = append(slices.DeleteFunc(c.back, func(r *run) bool { return r == w[0] }), w[0])
		}
		return nil
	case k.Type == tea.KeyF1:
		return push(newOverlay(c.theme, c))
	}
	if _, fits := c.edit.key(k); !fits {
		return notify(Warn, "that would be more than 1 MiB of text, so it was left out")
	}
	return nil
}

// clear empties the scrollback, but for what still runs.
func (c *console) clear() {
	var kept []*block
	for _, b := range c.blocks {
		if b.state != blockDone || c.front != nil && c.front.block == b {
			kept = append(kept, b)
		}
	}
	c.blocks, c.active = kept, nil
	c.settle()
}

// resultKey moves in the table; above its first row lies the scrollback.
func (c *console) resultKey(k tea.KeyMsg) tea.Cmd {
	var t *sheet
	if c.active != nil {
		t = c.active.sheet
	}
	page := max(1, c.tableRoom()-1)
	by := 0
	switch k.Type {
	case tea.KeyEsc:
		c.toEditor()
		return nil
	case tea.KeyUp, tea.KeyCtrlUp, tea.KeyShiftUp:
		by = -1
	case tea.KeyDown, tea.KeyCtrlDown, tea.KeyShiftDown:
		by = 1
	case tea.KeyPgUp:
		by = -page
	case tea.KeyPgDown:
		by = page
	case tea.KeyHome, tea.KeyCtrlHome:
		by = -1 << 30
	case tea.KeyEnd, tea.KeyCtrlEnd:
		by = 1 << 30
	case tea.KeyLeft:
		if t != nil {
			t.side(-1, c.w)
		}
		return nil
	case tea.KeyRight:
		if t != nil {
			t.side(1, c.w)
		}
		return nil
	case tea.KeyEnter:
		if t != nil && len(t.rows) > 0 && c.up == 0 {
			c.focus, t.line = onRecord, 0
		}
		return nil
	default:
		return c.typeOn(k)
	}
	switch {
	case c.up > 0 || t == nil:
		c.up -= by
		if by > 1<<20 {
			c.up = 0
		}
		c.clampUp()
		if t == nil && c.up == 0 {
			c.toEditor()
		}
	case by < 0 && t.at == 0 && by > -1<<20:
		c.up = 1
		if by < -1 {
			c.up = page
		}
		c.clampUp()
	default:
		if t.move(by, c.tableRoom()) {
			return c.readOn()
		}
	}
	return nil
}

// readOn gives leave for another page of the answer.
func (c *console) readOn() tea.Cmd {
	r := c.front
	if r == nil || !r.parked || r.block != c.active {
		return nil
	}
	r.parked = false
	r.block.reach = reachRunning
	c.idling.Cancel()
	r.feed.more()
	return c.pulse()
}

// typeOn goes back to the editor with a key that types.
func (c *console) typeOn(k tea.KeyMsg) tea.Cmd {
	switch k.Type {
	case tea.KeyF1:
		return push(newOverlay(c.theme, c))
	case tea.KeyRunes, tea.KeySpace, tea.KeyBackspace, tea.KeyCtrlR, tea.KeyTab, tea.KeyCtrlD, tea.KeyCtrlL, tea.KeyCtrlO, tea.KeyCtrlJ:
		c.toEditor()
		return c.editKey(k)
	}
	return nil
}

func (c *console) recordKey(k tea.KeyMsg) tea.Cmd {
	t := c.active.sheet
	if len(t.rows) == 0 {
		c.focus = onResult
		return nil
	}
	next := func(by int) tea.Cmd {
		t.line = 0
		if t.move(by, c.tableRoom()) {
			return c.readOn()
		}
		return nil
	}
	switch k.Type {
	case tea.KeyEsc, tea.KeyEnter:
		c.focus, t.line = onResult, 0
	case tea.KeyUp:
		t.scroll(c.theme, -1, c.w)
	case tea.KeyDown:
		t.scroll(c.theme, 1, c.w)
	case tea.KeyPgUp:
		t.scroll(c.theme, -max(1, c.h-2), c.w)
	case tea.KeyPgDown:
		t.scroll(c.theme, max(1, c.h-2), c.w)
	case tea.KeyRight:
		return next(1)
	case tea.KeyLeft:
		return next(-1)
	case tea.KeyHome:
		return next(-1 << 30)
	case tea.KeyEnd:
		return next(1 << 30)
	default:
		return c.typeOn(k)
	}
	return nil
}

func (c *console) searchKey(k tea.KeyMsg) tea.Cmd {
	s := c.search
	switch k.Type {
	case tea.KeyEsc:
		c.search = nil
	case tea.KeyCtrlR:
		s.again(&c.past)
	case tea.KeyRunes, tea.KeySpace, tea.KeyBackspace, tea.KeyCtrlU, tea.KeyCtrlW:
		s.in.key(k)
		s.narrow(&c.past)
	default: // it is taken, and what the key does in the editor happens there
		c.search = nil
		if s.found {
			c.edit.set(c.past.texts[s.at])
			c.past.at = s.at
		}
		if k.Type != tea.KeyEnter && k.Type != tea.KeyTab {
			return c.editKey(k)
		}
	}
	return nil
}

// complete offers what the word at the cursor may become. One offer is taken at
// once, and so is what all offers share.
func (c *console) complete() {
	offers, replaces := c.names.complete(c.edit.String(), c.edit.offset())
	switch len(offers) {
	case 0:
		c.popup = nil
		return
	case 1:
		c.edit.replace(replaces, offers[0].text)
		c.popup = nil
		return
	}
	p := &popup{offers: offers, replaces: replaces}
	line := string(c.edit.lines[c.edit.row][:c.edit.col])
	word := line[max(0, len(line)-replaces):]
	if share := p.common(); len(share) > len(word) && strings.EqualFold(share[:len(word)], word) {
		if c.edit.replace(replaces, share) {
			p.replaces = len(share)
		}
	}
	c.popup = p
}

// popupKey takes a key for the popup. Keys that it has no use for edit, and what
// is typed narrows the offers.
func (c *console) popupKey(k tea.KeyMsg) (tea.Cmd, bool) {
	p := c.popup
	n := len(p.offers)
	switch {
	case k.Type == tea.KeyTab, k.Type == tea.KeyDown:
		p.at = (p.at + 1) % n
	case k.Type == tea.KeyShiftTab, k.Type == tea.KeyUp:
		p.at = (p.at + n - 1) % n
	case k.Type == tea.KeyEnter && !k.Alt:
		c.edit.replace(p.replaces, p.offers[p.at].text)
		c.popup = nil
	case k.Type == tea.KeyEsc:
		c.popup = nil
	case k.Type == tea.KeyRunes && !k.Paste && !k.Alt, k.Type == tea.KeyBackspace:
		c.edit.key(k)
		c.popup = nil
		offers, replaces := c.names.complete(c.edit.String(), c.edit.offset())
		if len(offers) > 0 && replaces > 0 {
			c.popup = &popup{offers: offers, replaces: replaces}
		}
	default:
		c.popup = nil
		return nil, false
	}
	return nil, true
}
