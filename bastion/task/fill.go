package task

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	number
	param  // $1
	place  // a placeholder
	sign   // anything else
	broken // a string, identifier or comment that does not end
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
		return param, n
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

var (
	errBroken = errors.New("a quote or comment has no end, so nobody can tell what is code")
	errParam  = errors.New("a script has no parameters such as $1; declare one, and write :name")
)

// placeholders finds the names of the placeholders of a text, all of them in code.
func placeholders(s string) ([]string, error) {
	var found []string
	for _, t := range scan(s) {
		switch t.kind {
		case broken:
			return nil, errBroken
		case param:
			return nil, errParam
		case place:
			if !parameterForm.MatchString(t.text[1:]) {
				return nil, fmt.Errorf("%q is not the name of a parameter", t.text)
			}
			found = append(found, t.text[1:])
		}
	}
	return found, nil
}

// numbered puts a parameter of the target's language, such as $2, where a placeholder
// stands: the number is that of the name. No value is anywhere near the text.
func numbered(s string, names []string) (string, error) {
	if _, err := placeholders(s); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, t := range scan(s) {
		if t.kind != place {
			b.WriteString(t.text)
			continue
		}
		i := slices.Index(names, t.text[1:])
		if i < 0 {
			return "", fmt.Errorf("there is no parameter %q", t.text[1:])
		}
		if before := b.String(); before != "" && (letter(before[len(before)-1]) || digit(before[len(before)-1]) || before[len(before)-1] == '$') {
			b.WriteByte(' ') // or it would be a part of the word before it
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	return b.String(), nil
}

// renumbered numbers the parameters of one statement from 1 on, as the target wants
// them, and tells their names in this order.
func renumbered(s string, names []string) (string, []string, error) {
	var b strings.Builder
	var used []string
	for _, t := range scan(s) {
		if t.kind != param {
			b.WriteString(t.text)
			continue
		}
		n, err := strconv.Atoi(t.text[1:])
		if err != nil || n < 1 || n > len(names) {
			return "", nil, errParam
		}
		if !slices.Contains(used, names[n-1]) {
			used = append(used, names[n-1])
		}
		fmt.Fprintf(&b, "$%d", slices.Index(used, names[n-1])+1)
	}
	return b.String(), used, nil
}
