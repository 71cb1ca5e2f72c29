package tui

import (
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
)

func TestInput(t *testing.T) {
	for _, tt := range []struct {
		keys []string
		want string
		view string
	}{
		{[]string{"hello"}, "hello", "hello_"},
		{[]string{"helo", "left", "l"}, "hello", "hello"},
		{[]string{"ab", "home", "x", "end", "y"}, "xaby", "xaby_"},
		{[]string{"one two  ", "ctrl+u"}, "", "_"},
		{[]string{"abc", "left", "backspace"}, "ac", "ac"},
		{[]string{"backspace", "left", "right", "x"}, "x", "x_"},
		{[]string{"  padded  "}, "padded", "  padded  _"},
		{[]string{"grün漢"}, "grün漢", "grün漢_"},
	} {
		var in input
		for _, k := range tt.keys {
			for _, m := range keysOf(k) {
				in.key(m.(tea.KeyMsg))
			}
		}
		if got := in.String(); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.keys, got, tt.want)
		}
		if got := in.view(newTheme(termenv.Ascii), 20, true); got != tt.view {
			t.Errorf("%q shows %q, want %q", tt.keys, got, tt.view)
		}
	}
}

func TestInputLimits(t *testing.T) {
	in := input{limit: 5}
	in.key(paste("a\nb\tc\x1b\x07def").(tea.KeyMsg))
	if got := in.String(); got != "a b c" {
		t.Errorf("%q", got)
	}
	in = input{}
	in.key(paste(strings.Repeat("x", 10_000)).(tea.KeyMsg))
	if len(in.text) != 500 {
		t.Errorf("%d characters were taken", len(in.text))
	}
	for _, w := range []int{0, 1, 2, 10} {
		if got := ansi.StringWidth(in.view(newTheme(termenv.Ascii), w, true)); got > w {
			t.Errorf("%d columns in %d", got, w)
		}
	}
}

func TestWidth(t *testing.T) {
	for _, s := range []string{"", "abc", "\x1b[1mabc\x1b[0m", "\x1b[38;5;31m──\x1b[m x", "漢字", "e\u0301x", "\x1b[31", "\x1b[", "\x1b]0;m\x07x", "\x1b[?25mx", "a─漢", "─\u0301"} {
		if got, want := width(s), ansi.StringWidth(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m 01s", time.Hour: "1h 00m", 11*time.Hour + 58*time.Minute + 59*time.Second: "11h 58m", 50 * time.Hour: "2d 2h"} {
		if got := left(d); got != want {
			t.Errorf("left(%s) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0:00", 65 * time.Second: "1:05", time.Hour + 2*time.Minute + 3*time.Second: "1:02:03"} {
		if got := clock(d); got != want {
			t.Errorf("clock(%s) = %q, want %q", d, got, want)
		}
	}
	for _, tt := range []struct {
		left, right string
		w           int
		want        string
	}{
		{"ab", "cd", 6, "ab  cd"}, {"abcdef", "xy", 6, "ab… xy"}, {"a", "uvwxyz", 4, "uvw…"}, {"", "", 0, ""},
	} {
		if got := ends(tt.left, tt.right, tt.w); got != tt.want {
			t.Errorf("ends(%q, %q, %d) = %q, want %q", tt.left, tt.right, tt.w, got, tt.want)
		}
	}
	if got := fit("one\ntwo wide\nthree", 3, 2); got != "one\ntwo" {
		t.Errorf("%q", got)
	}
	if got := fit("one", 3, 3); got != "one\n\n" {
		t.Errorf("%q", got)
	}
	if got := strings.Join(wrap("ab\u202ecd\nef", 5), "|"); got != "ab<U+|202E>|cd|ef" {
		t.Errorf("%q", got)
	}
}
