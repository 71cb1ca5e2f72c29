package tui

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

func TestFilter(t *testing.T) {
	play(t, visitOf(alice(), deployer()), termenv.Ascii, func(st *stage) {
		st.press("/", "production approval")
		st.wants("2 of 4 targets", "shop-production", "vault")
		st.lacks("shop-staging")
		st.press("down", "enter") // asks, as vault needs approval
		st.wants("request access to vault")
		st.press("esc", "esc")
		st.wants("shop-staging", "4 targets")

		st.press("vau") // a letter without a meaning of its own starts to filter
		st.wants("1 of 4 targets")
		st.press("x")
		st.wants("No target matches.")
		st.press("backspace", "enter", "esc")
		st.press("ctrl+u")
		st.wants("4 of 4 targets")
	})
	play(t, visitOf(alice(), deployer()), termenv.Ascii, func(st *stage) {
		st.press("/", "shop-sta", "enter")
		if got := st.root.top().Title(); got != "shop-staging" {
			t.Errorf("on top is %q", got)
		}
		st.press("esc", "esc")
		st.press("q")
		if !st.quit {
			t.Error("q did not leave")
		}
	})
}

// A wait shows that it waits, and can be cancelled.
func TestWaitsCanBeCancelled(t *testing.T) {
	v := visitOf(alice(), deployer())
	play(t, v, termenv.Ascii, func(st *stage) {
		v.hold = make(chan struct{})
		st.press("ctrl+r")
		st.wants("… reading the list; esc cancels")
		st.press("enter") // nothing to connect to yet
		st.press("esc")
		st.lacks("reading the list")
		st.press("down", "down", "enter")
		st.wants("… looking for your request; esc cancels")
		st.press("esc")
		st.lacks("looking for")
		st.press("a")
		st.wants("… reading; esc goes back")
		st.press("esc", "l")
		st.wants("… reading; esc cancels")
		st.press("esc")
		st.wants("Targets")
	})
}

func TestStraightToTarget(t *testing.T) {
	v := visitOf(alice(), deployer())
	play(t, v, termenv.Ascii, func(st *stage) {
		open := func(target string) Screen { return page{"console of " + target} }
		st.root.stack = []Screen{newHome(st.ctx, v, newTheme(termenv.Ascii), places{console: open}, "shop-production")}
		st.run(st.root.Init())
		st.settle()
		st.wants("console of shop-production")
		st.root.stack = []Screen{newHome(st.ctx, v, newTheme(termenv.Ascii), places{console: open}, "nowhere\x1b[2J")}
		st.run(st.root.Init())
		st.settle()
		st.wants("there is no target nowhere<U+001B>[2J that you may see")
	})
}

func TestMay(t *testing.T) {
	for _, tt := range []struct {
		access bastion.Access
		want   string
	}{
		{bastion.Access{}, "not allowed"},
		{bastion.Access{Connect: bastion.Deny, Allow: []bastion.Verb{"select"}}, "not allowed"},
		{bastion.Access{Connect: bastion.Ask, Allow: []bastion.Verb{"select"}}, "needs approval"},
		{bastion.Access{Connect: bastion.Allow}, "connect only"},
		{bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select"}}, "read"},
		{bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select", "insert"}}, "run"},
		{bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select", "somersault"}}, "run"},
		{bastion.Access{Connect: bastion.Allow, Ask: []bastion.Verb{"select"}}, "run by approval"},
		{bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select"}, Ask: []bastion.Verb{"drop"}}, "read, change by approval"},
		{bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select", "update"}, Ask: []bastion.Verb{"drop"}}, "run, some by approval"},
	} {
		if got := may(tt.access); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.access, got, tt.want)
		}
	}
}

func TestManyTargets(t *testing.T) {
	v := visitOf(alice(), deployer())
	for i := range 10_000 {
		tv := someTargets()[0]
		tv.Name = "db-" + itoa(i)
		v.targets = append(v.targets, tv)
	}
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("end")
		st.wants("› db-9999")
		st.press("/", "9998")
		st.wants("1 of 10004 targets", "› db-9998")
	})
}

func TestRecordingFilter(t *testing.T) {
	v := visitOf(rita(), auditor())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("l", "/", "ali", "tab", "shop", "tab", "drop", "tab", "7d", "tab", "2026-03-01", "enter")
		want := bastion.RecordingFilter{Person: "ali", Target: "shop", Text: "drop", Since: noon.AddDate(0, 0, -7), Until: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
		if got := v.asked[len(v.asked)-1]; got != want {
			t.Errorf("asked %+v, want %+v", got, want)
		}
		st.wants("person: ali", "target: shop")
		st.press("s")
		if !v.asked[len(v.asked)-1].All {
			t.Error("visits without targets were not asked for")
		}
		n := len(v.asked)
		st.press("/", "up", "ctrl+u", "rubbish", "enter")
		st.wants(`"rubbish" is no time that is known here`)
		st.press("ctrl+u", "yesterday", "up", "ctrl+u", "today", "enter")
		st.wants("since must be before until")
		if len(v.asked) != n {
			t.Error("a wrong filter was asked for")
		}
		st.press("esc")
		st.wants("person: ali")
		st.press("/", "ctrl+x", "enter")
		st.lacks("person: ali")
		st.press("/", "up", "today", "esc") // it was typed, and not asked for
		st.lacks("until: today")
		st.press("/", "up", "today", "enter")
		st.wants("until: today")
	})
	v = visitOf(alice(), deployer())
	v.tapes = nil
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("l")
		st.wants("Nothing is recorded yet that you may see.")
		st.press("/", "x", "enter")
		st.wants("No recording matches.")
		v.err = errors.New("the store is gone")
		st.press("ctrl+r")
		st.wants("The recordings cannot be read: the store is gone")
	})
}

func TestWhen(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		text       string
		begin, end time.Time
	}{
		{"", time.Time{}, time.Time{}},
		{" now ", noon, noon},
		{"Today", day(4), day(5)},
		{"yesterday", day(3), day(4)},
		{"2d", noon.AddDate(0, 0, -2), noon.AddDate(0, 0, -2)},
		{"12h", day(4), day(4)},
		{"90m", noon.Add(-90 * time.Minute), noon.Add(-90 * time.Minute)},
		{"2026-03-01", day(1), day(2)},
		{"2026-03-01 00:00", day(1), day(1)},
	} {
		begin, err1 := when(tt.text, noon, false)
		end, err2 := when(tt.text, noon, true)
		if err1 != nil || err2 != nil || !begin.Equal(tt.begin) || !end.Equal(tt.end) {
			t.Errorf("%q: %v %v %v %v", tt.text, begin, end, err1, err2)
		}
	}
	for _, text := range []string{"x", "0d", "-1d", "9999999d", "7", "7w", "2026-13-01", "ü", "\x1b[2J"} {
		if got, err := when(text, noon, false); err == nil {
			t.Errorf("%q: %v", text, got)
		} else if strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: the error is %q", text, err)
		}
	}
}

// The queue keeps its cursor on a request while others come and go.
func TestQueueKeepsPlace(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down")
		st.wants("› 12")
		newer := v.requests[0]
		newer.ID = 14
		v.requests = slices.Insert(v.requests, 0, newer)
		st.send(changed{})
		st.wants("› 12", "3 requests")
		st.press("enter", "a") // from anywhere, a leads back to the one queue
		st.wants("› 12")
		if len(st.root.stack) != 2 {
			t.Errorf("%d screens are open", len(st.root.stack))
		}
		st.press("tab")
		st.wants("[my own]", "You have asked for nothing yet.")
		st.press("shift+tab")
		st.wants("[to decide]")
	})
}
