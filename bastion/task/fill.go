package task

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// kind is the class of a token, after the chapter "Lexical Structure" of
// PostgreSQL's manual, as far as it takes to tell code from what stands in quotes.
type kind uint8

const (
	blank  kind = iota // white space and comments
	word               // an unquoted identifier or keyword
	quoted             // a quoted identifier
	text               // a string constant
	escape             // a string constant with backslash escapes
	number             // a number, or $1
	place              // a placeholder
	sign               // anything else
	broken             // a string, identifier or comment that does not end
)

type token struct {
	kind kind
	text string
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// scan cuts a text into tokens, which put together are the text.
func scan(s string) []token {
	var all []token
	for s != "" {
		k, n := first(s)
		all = append(all, token{k, s[:n]})
		s = s[n:]
	}
	return all
}

// first is the first token of a text that is not empty.
func first(s string) (kind, int) {
	c := s[0]
	switch {
	case strings.IndexByte(" \t\n\r\f\v", c) >= 0:
		return blank, 1
	case strings.HasPrefix(s, "--"):
		if n := strings.IndexAny(s, "\n\r"); n >= 0 {
			return blank, n
		}
		return blank, len(s)
	case strings.HasPrefix(s, "/*"):
		return comment(s)
	case c == '\'':
		return ended(text, s, 1, '\'', false)
	case c == '"':
		return ended(quoted, s, 1, '"', false)
	case c == '$':
		return dollar(s)
	case letter(c):
		return name(s)
	case digit(c):
		return number, run(s, 1, func(c byte) bool { return digit(c) || letter(c) || c == '.' || c == '$' })
	case strings.HasPrefix(s, "::") || strings.HasPrefix(s, ":="):
		return sign, 2
	case c == ':' && len(s) > 1 && letter(s[1]):
		return place, run(s, 2, func(c byte) bool { return letter(c) || digit(c) || c == '$' })
	}
	return sign, 1
}

func run(s string, n int, in func(byte) bool) int {
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

// name is a word, or a constant or quoted identifier that begins with a letter.
func name(s string) (kind, int) {
	if len(s) > 1 && s[1] == '\'' {
		switch s[0] {
		case 'e', 'E':
			return ended(escape, s, 2, '\'', true)
		case 'b', 'B', 'x', 'X', 'n', 'N':
			return ended(text, s, 2, '\'', false)
		}
	}
	if len(s) > 2 && (s[0] == 'u' || s[0] == 'U') && s[1] == '&' {
		switch s[2] {
		case '\'':
			return ended(text, s, 3, '\'', false)
		case '"':
			return ended(quoted, s, 3, '"', false)
		}
	}
	return word, run(s, 1, func(c byte) bool { return letter(c) || digit(c) || c == '$' })
}

// ended finds the end of what is quoted. A doubled quote stands for one.
func ended(k kind, s string, n int, quote byte, escapes bool) (kind, int) {
	for ; n < len(s); n++ {
		switch {
		case escapes && s[n] == '\\':
			n++
		case s[n] != quote:
		case n+1 < len(s) && s[n+1] == quote:
			n++
		default:
			return k, n + 1
		}
	}
	return broken, len(s)
}

// comment is a block comment; they nest.
func comment(s string) (kind, int) {
	depth := 0
	for n := 0; n < len(s); {
		switch {
		case strings.HasPrefix(s[n:], "/*"):
			depth++
			n += 2
		case strings.HasPrefix(s[n:], "*/"):
			depth--
			n += 2
			if depth == 0 {
				return blank, n
			}
		default:
			n++
		}
	}
	return broken, len(s)
}

// dollar is $1, or a constant in dollar quotes.
func dollar(s string) (kind, int) {
	if n := run(s, 1, digit); n > 1 {
		return number, n
	}
	n := run(s, 1, func(c byte) bool { return letter(c) || digit(c) })
	if n == len(s) || s[n] != '$' {
		return sign, 1
	}
	tag := s[:n+1]
	end := strings.Index(s[len(tag):], tag)
	if end < 0 {
		return broken, len(s)
	}
	return text, len(tag) + end + len(tag)
}

// placeholder is one of a text.
type placeholder struct{ name string }

var errBroken = errors.New("a quote or comment has no end, so nobody can tell what is code")

// placeholders finds the placeholders of a text, all of them in code. Where there
// are any, it refuses what could blur where code ends.
func placeholders(s string) ([]placeholder, error) {
	var found []placeholder
	tokens := slices.DeleteFunc(scan(s), func(t token) bool { return t.kind == blank })
	escapes := false
	for i, t := range tokens {
		switch t.kind {
		case broken:
			return nil, errBroken
		case escape:
			escapes = true
		case place:
			name := t.text[1:]
			if !parameterForm.MatchString(name) {
				return nil, fmt.Errorf("%q is not the name of a parameter", t.text)
			}
			for _, j := range []int{i - 1, i + 1} {
				// Two constants with a new line between them are one.
				if j >= 0 && j < len(tokens) && (tokens[j].kind == text || tokens[j].kind == place) {
					return nil, fmt.Errorf("the placeholder %s stands beside another constant, with nothing between them", t.text)
				}
			}
			found = append(found, placeholder{name})
		}
	}
	if escapes && len(found) > 0 {
		return nil, errors.New("a text with placeholders cannot have constants such as E'...'; write them without backslashes")
	}
	return found, nil
}

// errShape is an internal error: what a value made of a text is not what it was.
var errShape = errors.New("internal error: a value would change more of the text than its placeholder")

// Fill puts each value as a constant where its placeholder stands. It reads the
// outcome again: all other tokens are as they were, and each placeholder is one
// constant, or it is an error.
func Fill(s string, values []Value) (string, error) {
	if _, err := placeholders(s); err != nil {
		return "", err
	}
	var b strings.Builder
	var want []token
	for _, t := range scan(s) {
		if t.kind != place {
			b.WriteString(t.text)
			want = append(want, t)
			continue
		}
		i := slices.IndexFunc(values, func(v Value) bool { return v.Name == t.text[1:] })
		if i < 0 {
			return "", fmt.Errorf("there is no parameter %q", t.text[1:])
		}
		// The spaces keep it apart from what stands beside it.
		b.WriteString(" " + values[i].Literal() + " ")
		want = append(want, token{blank, " "})
		want = append(want, values[i].tokens()...)
		want = append(want, token{blank, " "})
	}
	filled := b.String()
	if !slices.Equal(scan(filled), want) {
		return "", errShape
	}
	return filled, nil
}

// tokens are what the value's constant has to be read as.
func (v Value) tokens() []token {
	l := v.Literal()
	switch v.Type {
	case Integer, Number:
		if strings.HasPrefix(l, "(") {
			return []token{{sign, "("}, {sign, "-"}, {number, v.Text[1:]}, {sign, ")"}}
		}
		return []token{{number, l}}
	case Boolean:
		return []token{{word, l}}
	case Date:
		return []token{{word, "DATE"}, {blank, " "}, {text, "'" + v.Text + "'"}}
	}
	return []token{{text, l}}
}
