package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

func TestWords(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{"  sql   shop ", []string{"sql", "shop"}},
		{`deny 17 'not in the window'`, []string{"deny", "17", "not in the window"}},
		{`x "a b"c`, []string{"x", "a b", "c"}},
		{`it's open`, []string{"it's", "open"}},
		{`'unended quote`, []string{"'unended", "quote"}},
	} {
		k := &call{line: c.line}
		var got []string
		for w := k.word(); w != ""; w = k.word() {
			got = append(got, w)
		}
		if strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}

// Flags are read at the head only: what follows may be SQL, where -- begins a comment.
func TestFlagsLeaveTheStatementAlone(t *testing.T) {
	var reason string
	var asJSON bool
	k := &call{line: `--json --reason='fix it' shop select 1 --json`}
	if err := k.flags(map[string]*string{"reason": &reason}, map[string]*bool{"json": &asJSON}); err != nil {
		t.Fatal(err)
	}
	if !asJSON || reason != "fix it" || k.line != "shop select 1 --json" {
		t.Errorf("json %v reason %q rest %q", asJSON, reason, k.line)
	}
	for line, want := range map[string]string{
		"--jsno x":  "--json",
		"--reason":  "needs a value",
		"--reason=": "needs a value",
	} {
		k := &call{line: line}
		err := k.flags(map[string]*string{"reason": &reason}, map[string]*bool{"json": &asJSON})
		var u usageError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

func TestUnquote(t *testing.T) {
	for in, want := range map[string]string{
		"select 'a'": "select 'a'", "'select 1'": "select 1", `"select 1"`: "select 1",
		"'a' || 'b'": "'a' || 'b'", "'": "'", "": "", `'select "x"'`: `select "x"`,
	} {
		if got := unquote(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, OK}, {usagef("x"), Usage}, {&bastion.DeniedError{}, Denied}, {fmt.Errorf("x: %w", bastion.ErrNotFound), Denied},
		{bastion.ErrReason, Denied}, {bastion.ErrExpired, Denied}, {&bastion.StaleError{}, Denied},
		{&bastion.NotApprovedError{Request: bastion.Request{State: bastion.Denied}}, Denied},
		{&bastion.NotApprovedError{Request: bastion.Request{State: bastion.Revoked}}, Denied},
		{&bastion.NotApprovedError{Request: bastion.Request{State: bastion.Expired}}, NotApproved}, {errNotYet, NotApproved},
		{&bastion.TargetError{}, TargetError}, {&bastion.ParseError{}, TargetError}, {bastion.ErrRecorder, TargetError},
		{errInterrupted, TargetError}, {errors.New("anything else"), TargetError},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

func TestJSONKeepsTypes(t *testing.T) {
	clear := mask.Clear
	for _, c := range []struct {
		column bastion.Column
		value  string
		want   string
	}{
		{bastion.Column{Numeric: true, Mask: clear}, "12.50", "12.50"},
		{bastion.Column{Numeric: true, Mask: clear}, "NaN", `"NaN"`},
		{bastion.Column{Numeric: true, Mask: mask.Redact}, "****", `"****"`},
		{bastion.Column{Type: "boolean", Mask: clear}, "t", "true"},
		{bastion.Column{Type: "boolean", Mask: mask.Redact}, "****", `"****"`},
		{bastion.Column{Type: "jsonb", Mask: clear}, `{"a": 1}`, `{"a":1}`},
		{bastion.Column{Type: "jsonb", Mask: mask.Pseudonym}, `{"a": 1}`, `"{\"a\": 1}"`},
		{bastion.Column{Type: "text", Mask: clear}, "t", `"t"`},
		{bastion.Column{Type: "text", Mask: clear}, "\x1b[2J", `"\u001b[2J"`},
	} {
		got, err := jsonValue(c.column, []byte(c.value))
		if err != nil || string(got) != c.want {
			t.Errorf("%+v %q: %s, %v; want %s", c.column, c.value, got, err, c.want)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	got := keys([]bastion.Column{{Name: "a"}, {Name: "a"}, {Name: "a_2"}, {Name: "a"}, {Name: "?column?"}})
	seen := map[string]bool{}
	for _, k := range got {
		if seen[k] {
			t.Errorf("%q twice in %q", k, got)
		}
		seen[k] = true
	}
}

func TestTerminalNewLines(t *testing.T) {
	var b bytes.Buffer
	w := &crlf{w: &b}
	for _, s := range []string{"a\n", "b\r", "\nc", "\n\n"} {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "a\r\nb\r\nc\r\n\r\n" {
		t.Errorf("%q", b.String())
	}
}

func TestEventLineIsOneSafeLine(t *testing.T) {
	got := Line(bastion.Event{Kind: bastion.EventDecision, Name: "al\x1bice", Text: "select 1\n; -- \u202e", Target: "db"})
	if strings.ContainsAny(got, "\x1b\n\u202e") || !strings.Contains(got, "target=") {
		t.Errorf("%q", got)
	}
}

// A command line is untrusted text: reading it never fails and never yields more
// than came.
func FuzzWords(f *testing.F) {
	f.Add(`sql --reason 'a b' shop "select 1"`)
	f.Fuzz(func(t *testing.T, line string) {
		k := &call{line: line}
		var v string
		var b bool
		_ = k.flags(map[string]*string{"reason": &v}, map[string]*bool{"json": &b})
		total := len(v)
		for range len(line) + 1 {
			w := k.word()
			if total += len(w); total > len(line) {
				t.Fatalf("%q grew", line)
			}
		}
		if utf8.ValidString(line) && strings.TrimSpace(k.line) != "" && !strings.ContainsAny(line, `'"`) {
			t.Fatalf("%q left %q", line, k.line)
		}
	})
}

func FuzzJSONValue(f *testing.F) {
	f.Add("jsonb", true, []byte("{}"))
	f.Fuzz(func(t *testing.T, typ string, numeric bool, v []byte) {
		got, err := jsonValue(bastion.Column{Type: typ, Numeric: numeric, Mask: mask.Clear}, v)
		if err != nil || !json.Valid(got) || bytes.ContainsAny(got, "\n\r") {
			t.Fatalf("%q: %q, %v", v, got, err)
		}
	})
}
