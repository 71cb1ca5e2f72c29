package recordings_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/recordings"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tape is a replay of what a test gives it.
type tape struct {
	recording bastion.Recording
	events    []bastion.Event
	chunks    []bastion.Chunk
	err       error // at the end, instead of io.EOF
}

func (t *tape) Recording() bastion.Recording { return t.recording }
func (t *tape) Events() []bastion.Event      { return t.events }
func (t *tape) Close() error                 { return nil }
func (t *tape) Next() (bastion.Chunk, error) {
	if len(t.chunks) == 0 {
		if t.err != nil {
			return bastion.Chunk{}, t.err
		}
		return bastion.Chunk{}, io.EOF
	}
	c := t.chunks[0]
	t.chunks = t.chunks[1:]
	return c, nil
}

// parsed is an asciicast read by somebody else's rules.
type parsed struct {
	header map[string]any
	events []parsedEvent
	output string
}

type parsedEvent struct {
	at         float64
	code, data string
}

// parse insists on all that the format asks for.
func parse(t testing.TB, cast []byte) (p parsed) {
	t.Helper()
	lines := bytes.Split(cast, []byte("\n"))
	if len(lines[len(lines)-1]) != 0 {
		t.Fatal("the last line has no end")
	}
	if err := json.Unmarshal(lines[0], &p.header); err != nil {
		t.Fatalf("header: %v\n%s", err, lines[0])
	}
	at := 0.0
	for _, l := range lines[1 : len(lines)-1] {
		var fields []any
		if err := json.Unmarshal(l, &fields); err != nil {
			t.Fatalf("%v in line %q", err, l)
		}
		if len(fields) != 3 {
			t.Fatalf("%d fields in line %q", len(fields), l)
		}
		when, ok1 := fields[0].(float64)
		code, ok2 := fields[1].(string)
		data, ok3 := fields[2].(string)
		if !ok1 || !ok2 || !ok3 || when < at {
			t.Fatalf("line %q after time %f", l, at)
		}
		at = when
		if code == "o" {
			p.output += data
		}
		p.events = append(p.events, parsedEvent{when, code, data})
	}
	return p
}

func cast(t testing.TB, r bastion.Replay) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, recordings.Cast(&b, r))
	return b.Bytes()
}

// FuzzCast checks that any bytes, cut anywhere, come out as the same text as
// when they are decoded in one piece, in lines of valid JSON.
func FuzzCast(f *testing.F) {
	for _, s := range []string{"plain", "größe €uro 😀 漢字", "\xff\xfe", "\xe2\x82", "\xf0\x9f\x98", "a\xf0\x9f\x98b", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80",
		"\x1b[31m\x00\x07\r\n\t\"\\<>&\x7f\u2028\u0085", "\xe2\x82\xac\xe2\x82", "\x80\x80\x80\x80", "a\nb\r\n\r\r\n\n\r", "\uFFFD", "\xf0\xe2\x82\xac"} {
		f.Add([]byte(s), []byte{1})
		f.Add([]byte(s), []byte{2, 1, 3})
		f.Add([]byte(s), []byte{})
	}
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		r := &tape{recording: bastion.Recording{ID: "f", Who: alice, Command: string(data), Targets: []string{string(cuts)}, Term: "xterm"}}
		bare := len(cuts)%2 == 1
		if bare {
			r.recording.Term = ""
		}
		rest := data
		for i, n := range cuts {
			at := time.Duration(i) * time.Millisecond
			if n == 0 { // between pieces of output something else may come
				r.chunks = append(r.chunks, bastion.Chunk{At: at, Width: i + 1, Height: 2})
				r.events = append(r.events, bastion.Event{Kind: bastion.EventUnread, Text: string(data), Offset: at})
				continue
			}
			n := min(int(n), len(rest))
			r.chunks = append(r.chunks, bastion.Chunk{At: at, Output: rest[:n:n]})
			rest = rest[n:]
		}
		r.chunks = append(r.chunks, bastion.Chunk{At: time.Second, Output: rest})
		p := parse(t, cast(t, r))
		want := string([]rune(string(data)))
		if bare { // each \n comes with exactly the \r that it had, or with one
			want = strings.ReplaceAll(strings.ReplaceAll(want, "\r\n", "\n"), "\n", "\r\n")
		}
		if p.output != want {
			t.Errorf("output %q, want %q", p.output, want)
		}
		for _, text := range []string{fmt.Sprint(p.header["title"]), fmt.Sprint(p.header["command"])} {
			if strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("control characters in %q", text)
			}
		}
		for _, e := range p.events {
			if e.code == "m" && strings.ContainsFunc(e.data, unicode.IsControl) {
				t.Errorf("control characters in marker %q", e.data)
			}
		}
	})
}

// story is a recording with everything in it.
func story() *tape {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	event := func(ms int, k bastion.EventKind, e bastion.Event) bastion.Event {
		e.Kind, e.Offset, e.At, e.Session, e.Who = k, time.Duration(ms)*time.Millisecond, at, "k7f3", alice.ID()
		if e.Name == "" {
			e.Name = "alice"
		}
		return e
	}
	const change = "UPDATE customers\n\tSET name = 'O\u202eliver\x1b[2J'\nWHERE id = 7;\n"
	return &tape{
		recording: bastion.Recording{ID: "k7f3", Who: alice, Origin: bastion.Origin{Address: "192.0.2.7:51000", Key: "SHA256:abc", Client: "SSH-2.0-OpenSSH_9.9\x1b[31m"},
			Start: at, End: at.Add(95500 * time.Millisecond), Length: 95500 * time.Millisecond, Targets: []string{"shop-production"}, Term: "xterm", Width: 100, Height: 30,
			Bytes: 35, Operations: 6, Denied: 1, Asked: 2},
		events: []bastion.Event{
			event(1, bastion.EventStart, bastion.Event{}),
			event(1000, bastion.EventDecision, bastion.Event{Target: "shop-production", Verb: bastion.Connect, Text: "connect shop-production", Effect: "allow", Rule: "deployers"}),
			event(1010, bastion.EventResult, bastion.Event{Target: "shop-production", Verb: bastion.Connect, Took: 8 * time.Millisecond}),
			event(2000, bastion.EventDecision, bastion.Event{Target: "shop-production", Verb: "select", Text: "select id, email from customers", Effect: "allow", Rule: "read"}),
			event(2050, bastion.EventResult, bastion.Event{Target: "shop-production", Verb: "select", Rows: 1, Masked: []string{"email"}, Took: 1234567}),
			event(3000, bastion.EventUnread, bastion.Event{Target: "shop-production", Text: "selec 1", Error: "syntax error at \"selec\""}),
			event(4000, bastion.EventDecision, bastion.Event{Target: "shop-production", Verb: "delete-all", Text: "DELETE FROM payments -- " + strings.Repeat("ö", 100), Effect: "deny", Rule: "no-delete-all", Reason: "it would delete every row"}),
			event(5000, bastion.EventDecision, bastion.Event{Target: "shop-production", Verb: "update", Text: change, Effect: "ask", Rule: "write"}),
			event(9000, bastion.EventRequest, bastion.Event{Target: "shop-production", Verb: "update", Text: change, Request: 12, Reason: "ticket 4711"}),
			event(30000, bastion.EventDecision, bastion.Event{Target: "shop-production", Verb: "update", Text: change, Effect: "ask", Rule: "write"}),
			event(30001, bastion.EventUse, bastion.Event{Target: "shop-production", Verb: "update", Request: 12, By: []string{"rita"}}),
			event(30010, bastion.EventResult, bastion.Event{Target: "shop-production", Verb: "update", Request: 12, Rows: 3, Took: 2 * time.Millisecond, Error: "canceling statement (57014)"}),
			event(40000, bastion.EventVote, bastion.Event{Request: 13, Effect: "deny", Target: "shop-staging", Text: "drop table orders", Reason: "no"}),
			event(41000, bastion.EventVote, bastion.Event{Request: 13, Effect: "comment", Target: "shop-staging", Reason: "which ticket?", By: []string{"rita"}}),
			event(50000, bastion.EventWithdrawn, bastion.Event{Request: 14}),
			event(51000, bastion.EventExpired, bastion.Event{Request: 15}),
			event(60000, bastion.EventReplay, bastion.Event{Text: "b2c4"}),
			event(61000, bastion.EventDecision, bastion.Event{Target: "shop-production", Verb: "select", Text: "select 1", Effect: "allow", Rule: "read", Error: "the sign-in is too old"}),
			event(62000, bastion.EventTry, bastion.Event{Target: "shop-production", Verb: "update", Request: 12, Effect: "allow", Text: change}),
			event(62001, bastion.EventTry, bastion.Event{Target: "shop-production", Verb: "update", Request: 12, Rows: 1, Took: 2 * time.Minute}),
			event(63000, bastion.EventAct, bastion.Event{Text: "acts as dba"}),
			event(64000, bastion.EventTask, bastion.Event{Text: "task 3, revision 1: step clean: done"}),
			event(65000, bastion.EventFacts, bastion.Event{Text: "left group dba"}),
			event(66000, bastion.EventRetry, bastion.Event{Text: "notification 9"}),
			event(70000, bastion.EventAlarm, bastion.Event{Error: "the store is slow"}),
			event(95500, bastion.EventEnd, bastion.Event{}),
		},
		chunks: []bastion.Chunk{
			{At: 500 * time.Millisecond, Output: []byte("\x1b[2J\x1b[Hwelcome \"alice\"\r\n\xe2\x82")},
			{At: 2050 * time.Millisecond, Width: 120, Height: 40},
			{At: 2051*time.Millisecond + 1500*time.Nanosecond, Output: []byte("\xac 7 <a@b>\r\n")},
			{At: 80 * time.Second, Output: []byte("\xff end \xf0\x9f")},
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs; run with -update if it should (-want +got):\n%s", path, d)
	}
}

func TestCastGolden(t *testing.T) {
	got := cast(t, story())
	golden(t, "story.cast", got)
	p := parse(t, got)
	for k, want := range map[string]any{"version": 2.0, "width": 100.0, "height": 30.0, "timestamp": 1772366400.0, "duration": 95.5} {
		if p.header[k] != want {
			t.Errorf("%s is %v, want %v", k, p.header[k], want)
		}
	}
}

func TestTextGolden(t *testing.T) {
	var b bytes.Buffer
	must(t, recordings.Text(&b, story()))
	golden(t, "story.txt", b.Bytes())
	if i := bytes.IndexFunc(b.Bytes(), func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }); i >= 0 {
		t.Errorf("a control character at %d", i)
	}
	s := story()
	s.recording.Broken = true
	b.Reset()
	must(t, recordings.Text(&b, s))
	if !strings.Contains(b.String(), "breaks off") {
		t.Error("nothing says that the recording is broken")
	}
}

// What cannot be read or written to the end is an error, never a shorter cast.
func TestCastFails(t *testing.T) {
	s := story()
	s.err = io.ErrUnexpectedEOF
	if err := recordings.Cast(io.Discard, s); err == nil {
		t.Error("a damaged recording became a cast")
	}
	for n := range 3 {
		if err := recordings.Cast(&fullWriter{n * 100}, story()); err == nil {
			t.Error("a cast was written nowhere")
		}
		if err := recordings.Text(&fullWriter{n * 100}, story()); err == nil {
			t.Error("a text was written nowhere")
		}
	}
}

type fullWriter struct{ room int }

func (w *fullWriter) Write(p []byte) (int, error) {
	n := min(w.room, len(p))
	w.room -= n
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// Lines of a session without a terminal begin at the left, wherever a piece ends.
func TestCastWithoutTerminal(t *testing.T) {
	for _, c := range []struct{ term, pieces, want string }{
		{"", "a\nb\n", "a\r\nb\r\n"},
		{"", "a\r\nb", "a\r\nb"},
		{"", "a\r|\nb|\n", "a\r\nb\r\n"},
		{"", "a\r||\n", "a\r\n"},
		{"", "a|\n\n|\n", "a\r\n\r\n\r\n"},
		{"", "a\r\r|b\n", "a\r\rb\r\n"},
		{"", "\xe2\x82|\xac\n", "€\r\n"},
		{"", "\xe2\x82|\n", "\uFFFD\uFFFD\r\n"},
		{"dumb", "a\nb\n", "a\nb\n"},
		{"xterm", "a|\nb\r|\n", "a\nb\r\n"},
	} {
		_, a := open(t)
		r, err := a.Start(bastion.Recording{ID: "s", Who: alice, Term: c.term})
		must(t, err)
		for p := range strings.SplitSeq(c.pieces, "|") {
			must(t, r.Output([]byte(p)))
			must(t, r.Resize(80, 24))
		}
		p := replay(t, a, scope(t, alice, false), "s")
		if got := p.Recording().Term; got != c.term {
			t.Errorf("TERM %q was kept as %q", c.term, got)
		}
		if got := parse(t, cast(t, p)).output; got != c.want {
			t.Errorf("TERM %q: %q became %q, want %q", c.term, c.pieces, got, c.want)
		}
	}
}

// Markers of events that came by another clock neither go back nor hold up others.
func TestCastOfOddTimes(t *testing.T) {
	s := &tape{recording: bastion.Recording{Who: alice}, chunks: []bastion.Chunk{{At: time.Second, Output: []byte("x")}, {At: 2 * time.Second, Output: []byte("y")}}}
	for _, at := range []time.Duration{1500 * time.Millisecond, time.Hour, -time.Second, 1700 * time.Millisecond} {
		s.events = append(s.events, bastion.Event{Kind: bastion.EventExpired, Request: uint64(at.Abs().Milliseconds()), Offset: at})
	}
	var got []string
	for _, e := range parse(t, cast(t, s)).events {
		got = append(got, e.data)
	}
	if want := []string{"request 1000 expired", "x", "request 1500 expired", "request 1700 expired", "y", "request 3600000 expired"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// asciinema itself must show a cast as the person saw it.
func TestAsciinema(t *testing.T) {
	program, err := exec.LookPath("asciinema")
	if err != nil {
		t.Fatal("asciinema is needed to test that it plays our casts: apt-get install asciinema")
	}
	_, a := open(t)
	r := start(t, a, "s", alice)
	var want []byte
	for _, s := range []string{"\x1b[1mh\xc3", "\xa4llo\x1b[0m \xf0\x9f", "\x98", "\x80 \"quoted\" \\ \u2028 <&>\r\n", "bad \xff byte\r\n", strings.Repeat("wide 漢字 ", 30000)} {
		must(t, r.Output([]byte(s)))
		must(t, r.Event(decision("s", alice, "shop", "allow", "select '\x1b[2J'")))
		must(t, r.Resize(100+len(s)%10, 30))
		want = append(want, s...)
	}
	must(t, r.Close())
	path := filepath.Join(t.TempDir(), "s.cast")
	must(t, os.WriteFile(path, cast(t, replay(t, a, scope(t, alice, false), "s")), 0o600))

	// It wants a terminal of its own, though it prints elsewhere.
	terminal, tty, err := pty.Open()
	must(t, err)
	defer terminal.Close()
	defer tty.Close()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "cat", path)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+t.TempDir())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &out, &errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Run(); err != nil {
		t.Fatalf("asciinema cat: %v\n%s", err, errOut.Bytes())
	}
	if want := string([]rune(string(want))); out.String() != want {
		t.Errorf("asciinema shows %d bytes that differ from the %d recorded", out.Len(), len(want))
	}
}
