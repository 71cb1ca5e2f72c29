package tui

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/sallyport/sallyport/bastion"
)

// fit cuts or fills a text to exactly h lines of at most w columns.
func fit(s string, w, h int) string {
	if h <= 0 {
		return ""
	}
	lines := strings.Split(s, "\n")
	if len(lines) > h {
		lines = lines[:h]
	}
	for i, l := range lines {
		if width(l) > w {
			lines[i] = ansi.Truncate(l, w, "")
		}
	}
	for len(lines) < h {
		lines = append(lines, "")
	}
	return strings.Join(lines, "\n")
}

// width is the number of columns of a line that may hold our own styles. Most
// lines are plain ASCII and colours, for which counting is enough.
func width(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x20 && c < 0x7f:
			n++
		case c == 0x1b:
			end := strings.IndexByte(s[i:], 'm')
			if end < 2 || s[i+1] != '[' || strings.Trim(s[i+2:i+end], "0123456789;") != "" {
				return ansi.StringWidth(s)
			}
			i += end
		case strings.HasPrefix(s[i:], "─"):
			i, n = i+len("─")-1, n+1
		default:
			return ansi.StringWidth(s)
		}
	}
	return n
}

// cut shortens a line that may hold our own styles to w columns, with an
// ellipsis where something is missing.
func cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	if width(s) <= w {
		return s
	}
	return ansi.Truncate(s, w, "…")
}

// pad is cut, filled with spaces on the right to exactly w columns.
func pad(s string, w int) string {
	s = cut(s, w)
	return s + strings.Repeat(" ", max(0, w-width(s)))
}

// padLeft is cut, filled with spaces on the left.
func padLeft(s string, w int) string {
	s = cut(s, w)
	return strings.Repeat(" ", max(0, w-width(s))) + s
}

// clean makes one safe line of text from anywhere.
func clean(s string) string { return bastion.VisibleLine(s) }

// wrap makes text from anywhere safe and breaks it hard at w columns, so that
// nothing of it can hide beyond the edge.
func wrap(s string, w int) []string {
	return strings.Split(ansi.Hardwrap(bastion.Visible(s), max(1, w), true), "\n")
}

// prose breaks our own words at spaces, and hard where a word is too long.
func prose(s string, w int) []string {
	return strings.Split(ansi.Wrap(bastion.Visible(s), max(1, w), ""), "\n")
}

// ends puts one text at the left and one at the right edge of a line. If both do
// not fit, the left one is cut, and then the right one.
func ends(left, right string, w int) string {
	r := width(right)
	if r > w {
		return cut(right, w)
	}
	if width(left)+r+1 > w {
		left = cut(left, w-r-1)
	}
	return left + strings.Repeat(" ", max(0, w-width(left)-r)) + right
}

// left says a duration the way people do: two units at most, rounded down.
func left(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d/time.Minute), int(d%time.Minute/time.Second))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d/time.Hour), int(d%time.Hour/time.Minute))
	}
	return fmt.Sprintf("%dd %dh", int(d/(24*time.Hour)), int(d%(24*time.Hour)/time.Hour))
}

// short is left in its largest unit alone, for columns.
func short(d time.Duration) string {
	s, _, _ := strings.Cut(left(d), " ")
	return s
}

// count says a number with its noun: "1 request", "2 requests".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// rows styles each line.
func rows(st lipgloss.Style, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = st.Render(l)
	}
	return out
}

// indent puts two spaces before each line.
func indent(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = "  " + l
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }
