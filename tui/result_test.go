package tui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

func consoleSheet(columns, rows int) *sheet {
	var cols []bastion.Column
	for i := range columns {
		cols = append(cols, bastion.Column{Name: fmt.Sprintf("column_%d", i), Numeric: i%2 == 0, Mask: mask.Clear})
	}
	s := newSheet(newTheme(termenv.Ascii), cols)
	for r := range rows {
		row := make([][]byte, columns)
		for c := range row {
			if (r+c)%3 > 0 {
				row[c] = fmt.Appendf(nil, "%d·%d", r, c)
			}
		}
		s.add(row)
	}
	return s
}

// The window over an answer is bounded by rows and by bytes, whatever comes.
func TestSheetIsBounded(t *testing.T) {
	s := consoleSheet(3, 0)
	for range sheetRows * 3 {
		s.add([][]byte{[]byte("a"), nil, []byte("b")})
	}
	if len(s.rows) != sheetRows || s.total() != sheetRows*3 || s.before != sheetRows*2 {
		t.Errorf("%d rows of %d are kept, after %d", len(s.rows), s.total(), s.before)
	}
	big := make([]byte, cellBytes)
	for range 100 {
		s.add([][]byte{big, nil, nil})
		if s.bytes > sheetBytes {
			t.Fatalf("%d bytes are kept", s.bytes)
		}
	}
	sum := 0
	for _, r := range s.rows {
		sum += rowBytes(r)
	}
	if sum != s.bytes {
		t.Errorf("%d bytes are kept, and %d counted", sum, s.bytes)
	}
	total := s.total()
	s.shrink()
	if s.bytes > 2*oldBytes || s.total() != total {
		t.Errorf("%d bytes are kept of an old result, of %d rows where %d came", s.bytes, s.total(), total)
	}
}

func TestSheetMoves(t *testing.T) {
	s := consoleSheet(30, 100)
	th := newTheme(termenv.Ascii)
	seen := map[int]bool{}
	for range 60 {
		cols, _ := s.fits(80)
		for _, f := range cols {
			seen[f.col] = true
		}
		s.side(1, 80)
	}
	if len(seen) != 30 {
		t.Errorf("%d of 30 columns can be reached", len(seen))
	}
	if cols, _ := s.fits(80); cols[len(cols)-1].col != 29 || len(cols) < 3 {
		t.Errorf("at the right end %d columns are shown", len(cols))
	}
	if !s.move(1000, 10) || s.at != 99 {
		t.Errorf("the end is row %d", s.at)
	}
	if from, to := s.page(10); from != 90 || to != 100 {
		t.Errorf("the last page is %d to %d", from, to)
	}
	for range 100 * 40 {
		s.scroll(th, -1, 40)
	}
	if s.at != 0 || s.line != 0 {
		t.Errorf("scrolling up ends in row %d, line %d", s.at, s.line)
	}
	for _, w := range []int{1, 3, 10, 40, 80} {
		for _, l := range s.table(th, w, 10, true) {
			if n := ansi.StringWidth(l); n > w && w > 3 {
				t.Errorf("a line has %d columns of %d: %q", n, w, l)
			}
		}
	}
}

// NULL and the text NULL differ, with colour and without.
func TestSheetNull(t *testing.T) {
	for _, p := range []termenv.Profile{termenv.Ascii, termenv.ANSI256} {
		th := newTheme(p)
		s := newSheet(th, []bastion.Column{{Name: "a", Mask: mask.Clear}})
		s.add([][]byte{nil})
		s.add([][]byte{[]byte("NULL")})
		lines := s.table(th, 40, 4, false)
		if lines[2] == lines[3] {
			t.Errorf("NULL and the text are both shown as %q", lines[2])
		}
	}
}

// A position counts characters, and the caret stands under its character on
// screens of any width.
func TestExcerpt(t *testing.T) {
	th := newTheme(termenv.Ascii)
	long := strings.Repeat("ä, ", 300)
	for _, tt := range []struct {
		text     string
		position int
		under    string
	}{
		{"select nosuch", 8, "nosuch"},
		{"select '林美' as x,\n\tnosuch from t", 20, "nosuch"},
		{"select " + long + "nosuch, " + long, 908, "nosuch"},
		{"x", 2, ""},
	} {
		e := excerptAt(tt.text, tt.position)
		for _, w := range []int{40, 80, 120} {
			lines := e.lines(th, w)
			at := strings.Index(lines[1], "^")
			if n := ansi.StringWidth(lines[0]); n > w {
				t.Errorf("an excerpt of %d columns in %d", n, w)
			}
			if got := ansi.Cut(lines[0], at, w); !strings.HasPrefix(got, tt.under) {
				t.Errorf("the caret is under %q, want %q, of %q", got, tt.under, lines[0])
			}
		}
	}
	for _, position := range []int{0, -1, 100} {
		if e := excerptAt("select", position); e != nil {
			t.Errorf("position %d gives %v", position, e)
		}
	}
}

func TestGroup(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := group(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}
