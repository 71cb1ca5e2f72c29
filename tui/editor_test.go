package tui

import (
	"strings"
	"testing"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"github.com/sallyport/sallyport/bastion"
)

func TestEditorKeys(t *testing.T) {
	k := func(t tea.KeyType) tea.KeyMsg { return tea.KeyMsg{Type: t} }
	alt := func(s string) tea.KeyMsg { return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(s), Alt: true} }
	for _, tt := range []struct {
		name string
		text string
		keys []tea.KeyMsg
		want string // | is the cursor
	}{
		{"end", "ab", nil, "ab|"},
		{"left and right stop at the ends", "a", []tea.KeyMsg{k(tea.KeyLeft), k(tea.KeyLeft), k(tea.KeyRight), k(tea.KeyRight)}, "a|"},
		{"left into the line above", "a\nb", []tea.KeyMsg{k(tea.KeyLeft), k(tea.KeyLeft)}, "a|\nb"},
		{"right into the line below", "a\nb", []tea.KeyMsg{k(tea.KeyCtrlHome), k(tea.KeyRight), k(tea.KeyRight)}, "a\n|b"},
		{"up keeps the column", "abcd\nx\nabcd", []tea.KeyMsg{k(tea.KeyLeft), k(tea.KeyUp), k(tea.KeyUp)}, "abc|d\nx\nabcd"},
		{"home and end are of the line", "ab\ncd", []tea.KeyMsg{k(tea.KeyHome), k(tea.KeyCtrlE), k(tea.KeyCtrlA)}, "ab\n|cd"},
		{"backspace joins", "ab\ncd", []tea.KeyMsg{k(tea.KeyHome), k(tea.KeyBackspace)}, "ab|cd"},
		{"delete joins", "ab\ncd", []tea.KeyMsg{k(tea.KeyCtrlHome), k(tea.KeyEnd), k(tea.KeyDelete)}, "ab|cd"},
		{"delete", "äb", []tea.KeyMsg{k(tea.KeyHome), k(tea.KeyCtrlD)}, "|b"},
		{"word back and on", "select a_b from t", []tea.KeyMsg{alt("b"), alt("b"), alt("b"), alt("f")}, "select a_b| from t"},
		{"cut a word and put it back", "select from", []tea.KeyMsg{k(tea.KeyCtrlW), k(tea.KeyCtrlY), k(tea.KeyCtrlY)}, "select fromfrom|"},
		{"cut to the begin", "a\nselect", []tea.KeyMsg{k(tea.KeyLeft), k(tea.KeyCtrlU)}, "a\n|t"},
		{"cut to the end", "select x", []tea.KeyMsg{alt("b"), k(tea.KeyCtrlK)}, "select |"},
		{"cut at the end joins", "a\nb", []tea.KeyMsg{k(tea.KeyCtrlHome), k(tea.KeyEnd), k(tea.KeyCtrlK)}, "a|b"},
		{"delete a word", "one two", []tea.KeyMsg{k(tea.KeyHome), alt("d")}, "| two"},
		{"alt enter", "ab", []tea.KeyMsg{k(tea.KeyLeft), {Type: tea.KeyEnter, Alt: true}}, "a\n|b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEditor()
			e.set(tt.text)
			for _, k := range tt.keys {
				if took, fits := e.key(k); !took || !fits {
					t.Errorf("%v was not taken", k)
				}
			}
			s := e.String()
			if got := s[:e.offset()] + "|" + s[e.offset():]; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEditorIsBounded(t *testing.T) {
	e := newEditor()
	if !e.paste(strings.Repeat("select 1;\n", bastion.MaxText/10)) {
		t.Fatal("a text of the greatest length was refused")
	}
	n := e.bytes
	if e.paste(strings.Repeat("ä", 100)) || e.bytes != n || len(e.String()) != n {
		t.Error("a text grew beyond its bound")
	}
	lines, _, _ := e.view(newTheme(termenv.Ascii), "> ", "- ", 80, 10, true)
	if len(lines) != 10 {
		t.Errorf("the view has %d lines", len(lines))
	}
}

// Whatever is typed, the cursor is in the text, its length is known, and the view
// has its size.
func FuzzEditor(f *testing.F) {
	f.Add("select 'ä' from t\n", []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add("", []byte{20, 20, 13, 12, 11})
	f.Add("\x1b[2J\u202e\r\n林", []byte{9, 9, 9, 1, 1, 15})
	types := []tea.KeyType{tea.KeyUp, tea.KeyDown, tea.KeyLeft, tea.KeyRight, tea.KeyHome, tea.KeyEnd, tea.KeyBackspace, tea.KeyDelete, tea.KeyCtrlW, tea.KeyCtrlU, tea.KeyCtrlK, tea.KeyCtrlY, tea.KeyCtrlJ, tea.KeyCtrlLeft, tea.KeyCtrlRight, tea.KeyCtrlHome, tea.KeyCtrlEnd}
	th := newTheme(termenv.Ascii)
	f.Fuzz(func(t *testing.T, text string, keys []byte) {
		if len(text) > 2000 || len(keys) > 200 {
			return
		}
		e := newEditor()
		e.insert(text)
		for _, k := range keys {
			switch n := int(k); {
			case n < len(types):
				e.key(tea.KeyMsg{Type: types[n]})
			case n < 40:
				e.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text), Paste: true})
			case n < 60:
				e.replace(n-40, "名前")
			case n < 63:
				e.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{rune("bfd"[n-60])}, Alt: true})
			default:
				e.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{rune(n)}})
			}
			s := e.String()
			if len(s) != e.bytes {
				t.Fatalf("the text has %d bytes, and the editor says %d", len(s), e.bytes)
			}
			if e.row < 0 || e.row >= len(e.lines) || e.col < 0 || e.col > len(e.lines[e.row]) {
				t.Fatalf("the cursor is at %d, %d", e.row, e.col)
			}
			if o := e.offset(); o > len(s) || !utf8.ValidString(s[:o]) {
				t.Fatalf("the cursor is at byte %d of %q", o, s)
			}
		}
		lines, at, col := e.view(th, "> ", "- ", 30, 7, true)
		if len(lines) == 0 || len(lines) > 7 || at < 0 || at >= len(lines) || col < 0 || col > 30 {
			t.Fatalf("%d lines, the cursor at %d, %d", len(lines), at, col)
		}
		for _, l := range lines {
			if strings.ContainsAny(l, "\x1b\r\n\x07\u202e") {
				t.Fatalf("the view shows %q", l)
			}
			if w := ansi.StringWidth(l); w > 40 { // an escape such as <U+202E> is not broken
				t.Fatalf("a line of %d columns: %q", w, l)
			}
		}
	})
}

// A key in the largest text that the editor takes.
func BenchmarkEditorLargest(b *testing.B) {
	for name, text := range map[string]string{"lines": strings.Repeat("select 1;\n", bastion.MaxText/10-1), "one line": strings.Repeat("x", bastion.MaxText-1000)} {
		b.Run(name, func(b *testing.B) {
			th := newTheme(termenv.ANSI256)
			e := newEditor()
			e.paste(text)
			for b.Loop() {
				e.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("x")})
				e.view(th, "> ", "- ", 80, 10, true)
				e.key(tea.KeyMsg{Type: tea.KeyBackspace})
			}
		})
	}
}
