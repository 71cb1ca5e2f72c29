package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestChanged(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb\n", "a\nb", ""},
		{"a\nb\nc\n", "a\nx\nc\n", " a|-b|+x| c"},
		{"", "a\n", "+a"},
		{"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n6\n7\n8\n9\n", "…| 3| 4|-5|+x| 6| 7"},
	} {
		if got := strings.Join(changed(c.before, c.after), "|"); got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.before, c.after, got, c.want)
		}
	}
}

// The edits turn one text into the other.
func TestEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 0, 12)
		x, y := lines.Draw(t, "x"), lines.Draw(t, "y")
		var before, after []string
		for _, e := range edit(x, y) {
			if e[0] != '+' {
				before = append(before, e[1:])
			}
			if e[0] != '-' {
				after = append(after, e[1:])
			}
		}
		if strings.Join(before, "\n") != strings.Join(x, "\n") || strings.Join(after, "\n") != strings.Join(y, "\n") || len(before) != len(x) || len(after) != len(y) {
			t.Fatalf("%q to %q by %q", x, y, edit(x, y))
		}
	})
}
