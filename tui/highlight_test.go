package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLex(t *testing.T) {
	names := [...]string{"space", "comment", "string", "number", "name", "quoted", "keyword", "parameter", "semicolon", "operator"}
	for _, tt := range []struct{ text, want string }{
		{"select a", "keyword:select name:a"},
		{"SELECT 'it''s'", "keyword:SELECT string:'it''s'"},
		{`E'a\'b' 'a\'`, `string:E'a\'b' string:'a\'`},
		{`e'open`, `string:e'open…`},
		{`"Na""me" U&"d\0061t"`, `quoted:"Na""me" quoted:U&"d\0061t"`},
		{"$$a;b$$ $f$ $$ $f$", "string:$$a;b$$ string:$f$ $$ $f$"},
		{"$1 $x a$b$c", "parameter:$1 operator:$ name:x name:a$b$c"},
		{"-- x\n1", "comment:-- x number:1"},
		{"/* a /* b */ c */ 1", "comment:/* a /* b */ c */ number:1"},
		{"/* a /* b */ c", "comment:/* a /* b */ c…"},
		{"1.5e-3 .5 1_000 0xff a.1", "number:1.5e-3 number:.5 number:1_000 number:0xff name:a number:.1"},
		{"a;b", "name:a semicolon:; name:b"},
		{"größe <> ?", "name:größe operator:< operator:> operator:?"},
	} {
		var got []string
		for _, k := range lex(tt.text) {
			if k.kind == lexSpace {
				continue
			}
			open := ""
			if k.open && k.kind != lexName {
				open = "…"
			}
			got = append(got, fmt.Sprintf("%s:%s%s", names[k.kind], k.text, open))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.text, s, tt.want)
		}
	}
}

func TestKeywordsAreSorted(t *testing.T) {
	if !slices.IsSorted(keywords) {
		t.Error("the keywords are not in order")
	}
	for _, k := range keywords {
		if len(k) > longestKeyword || !isKeyword(strings.ToLower(k)) {
			t.Errorf("%s is not found", k)
		}
	}
}

// The tokens of any text are the text.
func FuzzLex(f *testing.F) {
	for _, s := range []string{"select 'a' -- x\n", "/* /* */", "$a$ $b$ $a$", "E'\\", "U&\"", "\xff\xfe", "$é$x$é$", "1e+", "\"", "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b strings.Builder
		for i, k := range lex(s) {
			if k.text == "" || i != b.Len() {
				t.Fatalf("token %q at %d of %q", k.text, i, s)
			}
			b.WriteString(k.text)
		}
		if b.String() != s {
			t.Fatalf("%q became %q", s, b.String())
		}
		completeText(s)
		blankText(s)
	})
}
