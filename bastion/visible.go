package bastion

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Visible makes text from anywhere safe for a terminal and honest for a reader:
// control characters, bidirectional and other invisible characters and broken
// UTF-8 become visible escapes such as <U+202E>. New lines stay, a tab becomes
// spaces, a carriage return never overwrites.
func Visible(s string) string { return visible(s, true) }

// VisibleLine is [Visible] in one line: new lines become ⏎.
func VisibleLine(s string) string { return visible(s, false) }

func visible(s string, lines bool) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "<%02X>", s[i])
		case r == '\n' && lines:
			b.WriteByte('\n')
		case r == '\n':
			b.WriteString("⏎")
		case r == '\r' && strings.HasPrefix(s[i+size:], "\n"):
			// part of a line end
		case r == '\t':
			b.WriteString("    ")
		case hidden(r):
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// plain reports whether s is printable ASCII, which is most of what comes.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// hidden reports whether a character does something other than show itself:
// controls (Cc), formats such as bidirectional overrides and zero width joiners
// (Cf), line separators, private use, tags, variation selectors and fillers.
func hidden(r rune) bool {
	switch {
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs, unicode.Variation_Selector):
		return true
	case unicode.Is(unicode.Zs, r) && r != ' ':
		return true // a no-break or wide space passes for a space
	case r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, r == 0x2800, r == 0x034f:
		return true // letters that look like nothing
	}
	return !unicode.IsPrint(r) && r != ' '
}

// Moment is a time as people are shown it, in UTC: the hour, and the date too unless it
// is today's, so that nobody takes tomorrow's 18:42 for today's.
func Moment(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	layout := "15:04:05 MST"
	if t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		layout = "2006-01-02 " + layout
	}
	return t.Format(layout)
}

// Span is a length of time as people write it, without the units that are zero: 2h,
// 1h30m, 45s.
func Span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
