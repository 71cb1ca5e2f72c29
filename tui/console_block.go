package tui

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// blockState is where a statement stands.
type blockState uint8

const (
	blockRuns blockState = iota
	blockWaits
	blockDone
)

// block is one statement in the scrollback, with what came of it.
type block struct {
	text    string // what ran, as far as it is shown
	state   blockState
	request bastion.Request // what it waited for, if anything
	sheet   *sheet          // nil without rows
	small   bool            // the sheet keeps its beginning alone
	reach   reach
	tag     string
	took    time.Duration
	denied  *bastion.DeniedError
	says    []said
}

// said is a paragraph under a statement.
type said struct {
	level Level
	text  string
	at    *excerpt // the place that it speaks of; nil if none
}

// mostSaid bounds the paragraphs of one block.
const mostSaid = 60

func (b *block) say(l Level, text string) { b.sayAt(l, text, nil) }

func (b *block) sayAt(l Level, text string, at *excerpt) {
	if len(b.says) < mostSaid {
		b.says = append(b.says, said{l, string(head([]byte(text), 4096)), at})
	}
}

// clip cuts a text to what the scrollback shows of it.
func clip(text string) string {
	const most = 4 << 10
	if len(text) <= most {
		return text
	}
	return string(head([]byte(text), most)) + "…"
}

// fail takes an error in.
func (b *block) fail(err error, text string) {
	var (
		denied *bastion.DeniedError
		parse  *bastion.ParseError
		target *bastion.TargetError
		stale  *bastion.StaleError
		not    *bastion.NotApprovedError
	)
	switch {
	case errors.As(err, &denied):
		b.denied = denied
	case errors.As(err, &parse):
		b.sayAt(Bad, "not understood, so it did not run: "+parse.Message, excerptAt(text, parse.Position))
		if parse.Next != "" {
			b.say(Info, "Instead: "+parse.Next)
		}
	case errors.As(err, &target):
		s := "error: " + target.Summary
		if target.Code != "" {
			s += " (" + target.Code + ")"
		}
		b.sayAt(Bad, s, excerptAt(text, target.Position))
		if target.Detail != "" {
			b.say(Info, target.Detail)
		}
	case errors.As(err, &not):
		b.say(Bad, "not run: "+not.Error())
	case errors.As(err, &stale), errors.Is(err, bastion.ErrExpired):
		b.say(Warn, "not run: "+err.Error())
	case errors.Is(err, errNoReason):
		b.say(Warn, errNoReason.Error())
	default:
		b.say(Bad, "failed: "+err.Error())
	}
}

// excerpt is a line of a text with the place of an error in it.
type excerpt struct {
	number int    // of the line, from 1
	before string // what stands before the place, as far as it is shown
	after  string
}

// excerptAt finds a position, in characters from 1. It is nil if there is none.
func excerptAt(text string, position int) *excerpt {
	if position <= 0 {
		return nil
	}
	const around = 400
	e, n, start, at := excerpt{number: 1}, 0, 0, len(text)
	for i, r := range text {
		if n++; n == position {
			at = i
			break
		}
		if r == '\n' {
			e.number++
			start = i + 1
		}
	}
	if n+1 < position {
		return nil // the position is of another text than this one
	}
	end := at
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		end += i
	} else {
		end = len(text)
	}
	before := text[start:at]
	if len(before) > around {
		before = "…" + strings.ToValidUTF8(before[len(before)-around:], "")
	}
	e.before, e.after = before, string(head([]byte(text[at:end]), around))
	return &e
}

// lines draws the excerpt and a caret under its place.
func (e *excerpt) lines(th Theme, w int) []string {
	prefix := fmt.Sprintf("  line %d: ", e.number)
	before, after := clean(e.before), clean(e.after)
	room := max(8, w-len(prefix))
	if over := textWidth(before) + 1 - room*3/4; over > 0 {
		for cutOff := []rune(before); ; cutOff = cutOff[1:] {
			if before = "…" + string(cutOff); textWidth(before) <= room*3/4 || len(cutOff) == 0 {
				break
			}
		}
	}
	after = cut(after, room-textWidth(before))
	caret := strings.Repeat(" ", len(prefix)+textWidth(before)) + th.Bad.Render("^")
	return []string{th.Muted.Render(prefix) + before + after, caret}
}

// fieldLine is a name and what belongs to it.
type fieldLine struct{ name, text string }

// fields lays out names and what belongs to them, in w columns.
func fields(th Theme, w int, fs ...fieldLine) []string {
	wide := 0
	for _, f := range fs {
		if f.text != "" {
			wide = max(wide, len(f.name))
		}
	}
	var out []string
	for _, f := range fs {
		if f.text == "" {
			continue
		}
		for i, l := range prose(f.text, max(8, w-wide-4)) {
			name := strings.Repeat(" ", wide)
			if i == 0 {
				name = th.Muted.Render(pad(f.name, wide))
			}
			out = append(out, "  "+name+"  "+l)
		}
	}
	return out
}

// refusal lays out what policy refused, why, and what to do instead.
func refusal(th Theme, d *bastion.DeniedError, w int) []string {
	rule := d.Rule
	if rule == "" {
		rule = "none allows it"
	}
	out := rows(th.Bad, prose("refused before it reached the target", w))
	return append(out, fields(th, w, fieldLine{"rule", rule}, fieldLine{"why", d.Reason}, fieldLine{"instead", d.Next})...)
}

// countdown says a duration as a countdown: 29:12, 1:02:03.
func countdown(d time.Duration) string {
	d = max(0, d.Truncate(time.Second))
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%d:%02d", m, s)
}

// took says how long a statement worked.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return left(d)
}
