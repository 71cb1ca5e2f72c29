package bastion_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

func TestWindowClamp(t *testing.T) {
	for _, c := range []struct{ in, want bastion.Window }{
		{bastion.Window{}, bastion.Window{Width: 80, Height: 24}},
		{bastion.Window{Width: -1, Height: 10}, bastion.Window{Width: 80, Height: 10}},
		{bastion.Window{Width: 65535, Height: 65535}, bastion.Window{Width: 1000, Height: 400}},
		{bastion.Window{Width: 120, Height: 40}, bastion.Window{Width: 120, Height: 40}},
	} {
		if got := c.in.Clamp(); got != c.want {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
}

func TestRecordedBeforeShown(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	if _, err := io.WriteString(s.Terminal(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s.Terminal().Stderr(), "b"); err != nil {
		t.Fatal(err)
	}
	if want := "event:session-start: output shown output shown"; w.happened() != want {
		t.Errorf("happened: %s", w.happened())
	}
}

// A session serves a person or a native client, and says so to who wires both.
func TestOneChannelPerSession(t *testing.T) {
	c := newWorld(t).config()
	if c.Channel == nil {
		t.Fatal("there is no channel")
	}
	c.Native = &bytes.Buffer{}
	if _, err := bastion.NewSession(t.Context(), c); err == nil || !strings.Contains(err.Error(), "not both") {
		t.Errorf("got %v", err)
	}
}

// A program that ends hands the keyboard to the next one, and no key is lost.
func TestInputHandover(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	pr, pw := io.Pipe()
	c.Channel = channel{pr, w}
	s, err := bastion.NewSession(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	first := s.Terminal().Input()
	ended := make(chan error)
	go func() {
		_, err := first.Read(make([]byte, 10)) // nothing is typed: it blocks
		ended <- err
	}()
	first.Close()
	if err := <-ended; err != io.EOF {
		t.Fatalf("the closed reader: %v", err)
	}
	go func() {
		io.WriteString(pw, "ls -l")
		pw.Close()
	}()
	second := s.Terminal().Input()
	b := make([]byte, 2)
	if n, err := second.Read(b); err != nil || string(b[:n]) != "ls" {
		t.Fatalf("second reader: %q, %v", b[:n], err)
	}
	second.Close()
	rest, err := io.ReadAll(s.Terminal().Input())
	if err != nil || string(rest) != " -l" {
		t.Errorf("third reader: %q, %v", rest, err)
	}
}

func TestNewestWindowWins(t *testing.T) {
	w := newWorld(t)
	term := w.session().Terminal()
	for i := range 10_000 { // nobody reads: this must not block
		if err := term.Resize(bastion.Window{Width: 80 + i%50, Height: 24}); err != nil {
			t.Fatal(err)
		}
	}
	if err := term.Resize(bastion.Window{Width: 200, Height: 60}); err != nil {
		t.Fatal(err)
	}
	if got := <-term.Windows(); got != (bastion.Window{Width: 200, Height: 60}) {
		t.Errorf("got %v", got)
	}
}

func TestVisible(t *testing.T) {
	for _, c := range []struct{ in, want, line string }{
		{"plain", "plain", "plain"},
		{"two\nlines\r\n", "two\nlines\n", "two⏎lines⏎"},
		{"a\rb", "a<U+000D>b", "a<U+000D>b"},
		{"\x1b]52;c;AAAA\a", "<U+001B>]52;c;AAAA<U+0007>", "<U+001B>]52;c;AAAA<U+0007>"},
		{"\u009b31m", "<U+009B>31m", "<U+009B>31m"},
		{"id = \u202e7", "id = <U+202E>7", "id = <U+202E>7"},
		{"zero\u200bwidth\ufeff", "zero<U+200B>width<U+FEFF>", "zero<U+200B>width<U+FEFF>"},
		{"no\u00a0break", "no<U+00A0>break", "no<U+00A0>break"},
		{"hangul\u3164filler", "hangul<U+3164>filler", "hangul<U+3164>filler"},
		{"broken\xff\xfe", "broken<FF><FE>", "broken<FF><FE>"},
		{"tab\tbed", "tab    bed", "tab    bed"},
		{"Zoë 東京 ñ", "Zoë 東京 ñ", "Zoë 東京 ñ"},
		{"tag\U000e0041", "tag<U+E0041>", "tag<U+E0041>"},
	} {
		if got := bastion.Visible(c.in); got != c.want {
			t.Errorf("Visible(%q) = %q, want %q", c.in, got, c.want)
		}
		if got := bastion.VisibleLine(c.in); got != c.line {
			t.Errorf("VisibleLine(%q) = %q, want %q", c.in, got, c.line)
		}
	}
}

// Whatever comes in, nothing that a terminal would obey comes out.
func FuzzVisible(f *testing.F) {
	f.Add("plain\x1b[2J\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{bastion.Visible(s), bastion.VisibleLine(s)} {
			for _, r := range out {
				if r != '\n' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069) {
					t.Fatalf("%q lets %U through: %q", s, r, out)
				}
			}
		}
		if strings.Contains(bastion.VisibleLine(s), "\n") {
			t.Fatal("a line holds a new line")
		}
		if clean := bastion.Visible(s); bastion.Visible(clean) != clean {
			t.Fatalf("not stable: %q", clean)
		}
		if bytes.IndexByte([]byte(s), 0) >= 0 && strings.Contains(bastion.Visible(s), "\x00") {
			t.Fatal("NUL came through")
		}
	})
}

// A time that is not today's has its date, wherever the clocks are that it comes from.
func TestMoment(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", -3600)) // the 2nd, half past midnight
	for _, c := range []struct {
		t    time.Time
		want string
	}{
		{time.Date(2026, 3, 2, 18, 42, 7, 0, time.UTC), "18:42:07 UTC"},
		{time.Date(2026, 3, 2, 20, 42, 7, 0, time.FixedZone("", 2*3600)), "18:42:07 UTC"},
		{time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC), "2026-03-03 00:00:00 UTC"},
		{time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC), "2026-03-01 23:59:59 UTC"},
		{time.Date(2027, 3, 2, 18, 42, 7, 0, time.UTC), "2027-03-02 18:42:07 UTC"},
	} {
		if got := bastion.Moment(c.t, now); got != c.want {
			t.Errorf("%v: %s, want %s", c.t, got, c.want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 10 * time.Second: "10s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 90 * time.Minute: "1h30m", 10 * time.Hour: "10h", 72 * time.Hour: "72h"} {
		if got := bastion.Span(d); got != want {
			t.Errorf("%d seconds are %q, want %q", d/time.Second, got, want)
		}
	}
	if err := (&bastion.StaleError{Max: 30 * time.Second}).Error(); !strings.Contains(err, "less than 30s old") {
		t.Error(err)
	}
}
