package tui

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

// watch opens the replay of a recording.
func watch(t *testing.T, r func() *reelOf, test func(*stage, *player, *[]*reelOf)) {
	t.Helper()
	var opened []*reelOf
	v := visitOf(rita(), auditor())
	v.targets = nil
	v.replay = func(string) (bastion.Replay, error) {
		one := r()
		opened = append(opened, one)
		return one, nil
	}
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("l", "down", "enter")
		test(st, st.root.top().(*player), &opened)
	})
}

func TestPlay(t *testing.T) {
	watch(t, someReplay, func(st *stage, p *player, opened *[]*reelOf) {
		st.wants("playing", "0:00 / 30:00", "shop-production connected")
		st.lacks("Müller")
		// The first pause of 8 s shrinks to 2 s, the next of 2 s stays.
		time.Sleep(5 * time.Second)
		st.settle()
		for range 20 { // frames follow each other
			time.Sleep(frameTime)
			st.settle()
		}
		st.press(" ")
		st.wants("paused", "select id, name")
		at := p.at
		time.Sleep(time.Minute)
		st.settle()
		if p.at != at {
			t.Error("it plays while it is paused")
		}
		st.press("right")
		if p.at != at+5*time.Second {
			t.Errorf("right went from %s to %s", at, p.at)
		}
		st.press("left", "left", "left", "left", "left", "left", "left")
		st.wants("0:00 / 30:00")
		st.lacks("name, email from customers;", "Müller")
		st.press("end")
		st.wants("end", "30:00 / 30:00", "bye", "UPDATE 1")
		st.press("5")
		st.wants("15:00 / 30:00", "Müller", "refused by rule never")
		st.lacks("bye")
		st.press("0")
		st.wants("0:00 / 30:00")
		if len(*opened) != 1 {
			t.Errorf("a short recording was opened %d times", len(*opened))
		}
		st.press("+", "+", "+", "+", "+", "+")
		st.wants("16x")
		st.press("-")
		st.wants("8x")
		st.press("end", " ") // playing at the end begins again
		st.wants("playing", "0:00 / 30:00")
	})
}

func TestIdleTime(t *testing.T) {
	watch(t, someReplay, func(st *stage, p *player, _ *[]*reelOf) {
		st.press("i", " ")
		if p.skip {
			t.Fatal("i does not show idle time")
		}
		st.run(p.seek(30 * time.Second))
		st.settle()
		st.press(" ")
		for range 40 {
			time.Sleep(frameTime)
			st.settle()
		}
		if p.at > 33*time.Second {
			t.Errorf("idle time was skipped: at %s", p.at)
		}
		st.press("i")
		time.Sleep(frameTime)
		st.settle()
		if want := 25*time.Minute + time.Second - idleTime; p.at != want {
			t.Errorf("at %s, want %s", p.at, want)
		}
		st.wants("skipped 24:")
		for range 60 {
			time.Sleep(frameTime)
			st.settle()
		}
		st.wants("UPDATE 1")
	})
}

func TestTimeline(t *testing.T) {
	watch(t, someReplay, func(st *stage, p *player, _ *[]*reelOf) {
		st.resize(140, 30)
		st.press(" ")
		st.wants("Timeline", "refused   delete from payments", "rule never · a DELETE without", "masked email", "by rita")
		st.press("tab", "end", "up", "up", "enter")
		st.wants("25:00 / 30:00", "›  25:00 vote")
		st.press("tab")
		st.wants("▸  25:00 vote")
		st.press("1")
		st.wants("▸   1:01 request")
	})
}

func TestEventsOnly(t *testing.T) {
	v := visitOf(rita(), auditor())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("l", "down", "e", "down", "down", "down", "down")
		st.wants("Events of alice", "10 events", "event 105", "delete from payments", "a DELETE without WHERE empties the table")
		st.press("enter")
		st.wants("0:20 / 30:00", "paused", "refused by rule never")
	})
}

// A recording larger than what is kept replays with bounded memory, and goes
// back by being opened anew.
func TestLargeRecording(t *testing.T) {
	const n, size, keep = 250, 4 << 10, 100 << 10
	closed := 0
	large := func() *reelOf {
		r := someReplay()
		r.chunks, r.closed = nil, func() { closed++ }
		for i := range n {
			out := append(bytes.Repeat([]byte("x\r"), size/2), fmt.Sprintf("\r\npiece %d\r\n", i)...)
			r.chunks = append(r.chunks, bastion.Chunk{At: time.Duration(i) * time.Second, Output: out})
		}
		return r
	}
	watch(t, large, func(st *stage, p *player, opened *[]*reelOf) {
		p.keep = keep
		st.press(" ", "end")
		st.wants("piece 249")
		if p.kept > keep+size || p.whole {
			t.Errorf("%d bytes are kept", p.kept)
		}
		st.press("1") // of 30 minutes: 180 s
		st.wants("3:00 / 30:00", "piece 180")
		st.lacks("piece 181")
		if len(*opened) != 2 || closed != 1 {
			t.Errorf("opened %d times, closed %d", len(*opened), closed)
		}
		st.press("esc")
		if closed != 2 {
			t.Errorf("closed %d of 2", closed)
		}
	})
}

// What is opened for a screen that was left is closed.
func TestReplayLeftEarly(t *testing.T) {
	closed := 0
	v := visitOf(rita(), auditor())
	v.replay = func(string) (bastion.Replay, error) {
		r := someReplay()
		r.closed = func() { closed++ }
		return r, nil
	}
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("l")
		gate := make(chan struct{})
		inner := v.replay
		v.replay = func(id string) (bastion.Replay, error) { <-gate; return inner(id) } // deaf to its context
		st.press("enter")
		st.wants("… opening the recording")
		st.press("esc")
		st.wants("Recordings")
		close(gate)
		st.settle()
		if closed != 1 {
			t.Errorf("closed %d times", closed)
		}
	})
}

func TestReplayFails(t *testing.T) {
	v := visitOf(alice(), deployer())
	v.replay = func(string) (bastion.Replay, error) { return nil, bastion.ErrNotFound }
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("l", "enter")
		st.wants("This recording does not exist, or it is not yours to see.")
		st.press(" ", "right", "1", "tab", "enter", "z", "end")
		st.view()
	})
	v.replay = func(string) (bastion.Replay, error) { return broken{someReplay()}, nil }
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("l", "enter")
		st.wants("reading the recording: a page is torn")
	})
}

type broken struct{ *reelOf }

func (broken) Next() (bastion.Chunk, error) { return bastion.Chunk{}, errors.New("a page is torn") }

func TestEmulator(t *testing.T) {
	plain := newTheme(termenv.Ascii)
	for _, tt := range []struct {
		name   string
		pieces []string
		want   string
	}{
		{"text", []string{"one\r\ntwo"}, "one\ntwo"},
		{"character cut in two", []string{"M\xc3", "\xbcller \xe6", "\xbc", "\xa2"}, "Müller 漢"},
		{"sequence cut in two", []string{"a\x1b[", "1", "0Cb"}, "a          b"},
		{"nothing passes but characters", []string{"a\x1b]52;c;ZXZpbA==\x07b\x1b]0;title\x1b\\c\u202ed\u200be"}, "abc·d·e"},
		{"device control", []string{"a\x1bP$q\x1b\\b\x1b_x\x1b\\c"}, "abc"},
		{"overlong sequence", []string{"a\x1b[" + strings.Repeat("1;", 5000), "mb"}, "ab"},
		{"repetition without end", []string{"a\x1b[99999999999Ib\x1b[99999999999Z\x1b[4294967296@"}, ""},
		{"broken UTF-8", []string{"a\xff\xfeb"}, "ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEmulator(40, 4)
			for _, p := range tt.pieces {
				e.write([]byte(p))
			}
			lines := e.view(plain, 40, 4, 0)
			got := strings.TrimRight(strings.Join(rows(plain.Plain, trimmed(lines)), "\n"), "\n")
			if tt.want != "" && got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func trimmed(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimRight(l, " ")
	}
	return out
}

func TestEmulatorColours(t *testing.T) {
	e := newEmulator(20, 2)
	e.write([]byte("\x1b[?25l\x1b[1;31mred\x1b[0m \x1b[38;5;200mpink\x1b[0m \x1b[7mrev\x1b[0m"))
	for p, want := range map[termenv.Profile]string{
		termenv.ANSI256: "\x1b[1;91mred\x1b[m \x1b[38;5;200mpink\x1b[m \x1b[7mrev\x1b[m",
		termenv.ANSI:    "\x1b[1;91mred\x1b[m pink \x1b[7mrev\x1b[m",
		termenv.Ascii:   "red pink rev",
	} {
		if got := strings.TrimRight(e.view(newTheme(p), 20, 2, 0)[0], " "); got != want {
			t.Errorf("%v: %q, want %q", p, got, want)
		}
	}
}

// Whatever is in a recording, the emulator lives on in bounds and shows nothing
// but characters and colours.
// What came without a terminal ends its lines in a new line alone, and must not
// be drawn as a staircase.
func TestEmulatorBareLines(t *testing.T) {
	e := emulatorOf(bastion.Recording{Width: 20, Height: 3})
	e.write([]byte("one\ntwo\r\nthree"))
	got := strings.Join(e.view(NewTheme("dumb", true), 20, 3, 0), "\n")
	for _, line := range strings.Split(got, "\n") {
		if strings.HasPrefix(line, " ") {
			t.Errorf("a staircase:\n%s", got)
		}
	}
	e = emulatorOf(bastion.Recording{Width: 20, Height: 3, Term: "xterm"})
	e.write([]byte("one\ntwo"))
	if got := e.view(NewTheme("dumb", true), 20, 3, 0)[1]; !strings.HasPrefix(got, "   two") {
		t.Errorf("a terminal's own bytes were changed: %q", got)
	}
}

func FuzzEmulator(f *testing.F) {
	f.Add([]byte("\x1b[2J\x1b[Hhello \x1b[31mred\x1b[0m"), 80, 24)
	f.Add([]byte("\x1b[999999999I\x1b[9;9r\x1bM\x1b[999L\x1b[-5P\x1b[?1049h\x1b#8"), 3, 2)
	f.Add([]byte("\x1b]52;c;\x07\xe6\xbc"), 0, -1)
	f.Add([]byte("\x1b[5;1r\x1b[10S\x1b[10T\x1b(0lqk\x1b[999@\x1bH\x1b[3g\x1b[I"), 65535, 65535)
	f.Fuzz(func(t *testing.T, p []byte, w, h int) {
		e := newEmulator(w, h)
		e.write(p)
		e.resize(h, w)
		e.write(p)
		if e.w > maxColumns || e.h > maxLines {
			t.Fatalf("%dx%d", e.w, e.h)
		}
		for _, l := range e.view(newTheme(termenv.ANSI256), 80, 24, 0) {
			bare := ansi.Strip(l)
			if i := strings.IndexFunc(bare, func(r rune) bool { return bastion.VisibleLine(string(r)) != string(r) }); i >= 0 {
				t.Fatalf("%q shows %q", p, bare[i:])
			}
			if onlyColours(l) != "" {
				t.Fatalf("%q shows %q", p, l)
			}
		}
	})
}
