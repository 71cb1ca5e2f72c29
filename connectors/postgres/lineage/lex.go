package lineage

import (
	"strings"
	"unicode/utf8"
)

// kind is the lexical class of a token. The classes are those of PostgreSQL's
// manual, chapter "Lexical Structure", as far as quoting and nesting need them.
type kind uint8

const (
	blank    kind = iota // white space and comments
	word                 // an unquoted identifier or keyword
	quoted               // a quoted identifier
	str                  // a string constant of any kind
	number               // a number or $1
	operator             // a run of operator characters, and ::
	punct                // one other character
	open                 // a string, identifier or comment without its end
)

type token struct {
	kind       kind
	start, end int
}

const operators = "+-*/<>=~!@#%^&|`?"

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func space(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

// next returns the token at position i of s, which must be before the end.
func next(s string, i int) token {
	c := s[i]
	switch {
	case space(c):
		j := i
		for j < len(s) && space(s[j]) {
			j++
		}
		return token{blank, i, j}
	case strings.HasPrefix(s[i:], "--"):
		return token{blank, i, lineEnd(s, i)}
	case strings.HasPrefix(s[i:], "/*"):
		return comment(s, i)
	case c == '\'':
		return constant(s, i, i, false)
	case c == '"':
		return identifier(s, i, i)
	case c == '$':
		return dollar(s, i)
	case digit(c) || c == '.' && i+1 < len(s) && digit(s[i+1]):
		j := i
		for j < len(s) && (digit(s[j]) || letter(s[j]) || s[j] == '.') {
			j++
		}
		return token{number, i, j}
	case letter(c):
		return name(s, i)
	case strings.IndexByte(operators, c) >= 0:
		j := i
		for j < len(s) && strings.IndexByte(operators, s[j]) >= 0 && !strings.HasPrefix(s[j:], "--") && !strings.HasPrefix(s[j:], "/*") {
			j++
		}
		return token{operator, i, j}
	case strings.HasPrefix(s[i:], "::"):
		return token{operator, i, i + 2}
	}
	_, size := utf8.DecodeRuneInString(s[i:])
	return token{punct, i, i + size}
}

func lineEnd(s string, i int) int {
	if n := strings.IndexAny(s[i:], "\r\n"); n >= 0 {
		return i + n
	}
	return len(s)
}

// comment reads a block comment; they nest.
func comment(s string, i int) token {
	depth := 0
	for j := i; j < len(s); {
		switch {
		case strings.HasPrefix(s[j:], "/*"):
			depth++
			j += 2
		case strings.HasPrefix(s[j:], "*/"):
			depth--
			j += 2
			if depth == 0 {
				return token{blank, i, j}
			}
		default:
			j++
		}
	}
	return token{open, i, len(s)}
}

// name reads an identifier, or a constant or quoted identifier with a letter
// before it: E”, B”, X”, N”, U&” and U&"".
func name(s string, i int) token {
	if i+1 < len(s) && s[i+1] == '\'' && strings.IndexByte("eEbBxXnN", s[i]) >= 0 {
		return constant(s, i, i+1, s[i] == 'e' || s[i] == 'E')
	}
	if i+2 < len(s) && (s[i] == 'u' || s[i] == 'U') && s[i+1] == '&' {
		switch s[i+2] {
		case '\'':
			return constant(s, i, i+2, false)
		case '"':
			return identifier(s, i, i+2)
		}
	}
	j := i
	for j < len(s) && (letter(s[j]) || digit(s[j]) || s[j] == '$') {
		j++
	}
	return token{word, i, j}
}

// constant reads a string constant whose first quote is at q. Constants with
// nothing but white space and a new line between them are one, and keep the
// escapes of the first.
func constant(s string, i, q int, escapes bool) token {
	for j := q + 1; j < len(s); j++ {
		switch {
		case escapes && s[j] == '\\':
			j++
		case s[j] != '\'':
		case j+1 < len(s) && s[j+1] == '\'':
			j++
		default:
			k, lines := j+1, false
			for k < len(s) && (space(s[k]) || lines && strings.HasPrefix(s[k:], "--")) {
				if s[k] == '-' {
					k = lineEnd(s, k)
					continue
				}
				lines = lines || s[k] == '\n' || s[k] == '\r'
				k++
			}
			if !lines || k >= len(s) || s[k] != '\'' {
				return token{str, i, j + 1}
			}
			j = k
		}
	}
	return token{open, i, len(s)}
}

func identifier(s string, i, q int) token {
	for j := q + 1; j < len(s); j++ {
		if s[j] != '"' {
			continue
		}
		if j+1 < len(s) && s[j+1] == '"' {
			j++
			continue
		}
		return token{quoted, i, j + 1}
	}
	return token{open, i, len(s)}
}

// dollar reads $1 or a dollar-quoted constant.
func dollar(s string, i int) token {
	j := i + 1
	for j < len(s) && digit(s[j]) {
		j++
	}
	if j > i+1 {
		return token{number, i, j}
	}
	for j < len(s) && (letter(s[j]) || digit(s[j])) {
		j++
	}
	if j >= len(s) || s[j] != '$' {
		return token{punct, i, i + 1}
	}
	tag := s[i : j+1]
	end := strings.Index(s[j+1:], tag)
	if end < 0 {
		return token{open, i, len(s)}
	}
	return token{str, i, j + 1 + end + len(tag)}
}

// Split cuts a text at the semicolons that end statements. rest is what follows
// the last of them, and is empty if that is only white space and comments.
func Split(s string) (statements []string, rest string) {
	start, content := 0, false // of the statement that is being read
	paren, begin := 0, 0
	var words [4]string // the first words of the statement
	n := 0
	for i := 0; i < len(s); {
		t := next(s, i)
		i = t.end
		switch {
		case t.kind == blank:
			continue
		case t.kind == open:
			if !content && strings.HasPrefix(s[t.start:], "/*") {
				// a comment is not a statement, but it is not finished
				return statements, s[start:]
			}
			content = true
		case t.kind == punct && s[t.start] == ';' && paren == 0 && begin == 0:
			if content {
				statements = append(statements, strings.TrimSpace(s[start:t.start]))
			}
			start, content, n = t.end, false, 0
		case t.kind == punct:
			content = true
			switch s[t.start] {
			case '(', '[':
				paren++
			case ')', ']':
				paren = max(0, paren-1)
			}
		case t.kind == word:
			content = true
			w := strings.ToLower(s[t.start:t.end])
			if n < len(words) {
				words[n] = w
				n++
			}
			// The body of a function in standard SQL holds semicolons.
			if paren == 0 && function(words[:n]) {
				switch {
				case w == "begin", w == "case" && begin > 0:
					begin++
				case w == "end" && begin > 0:
					begin--
				}
			}
		default:
			content = true
		}
	}
	if content {
		rest = strings.TrimSpace(s[start:])
	}
	return statements, rest
}

// function reports whether a statement with these first words makes a function.
func function(words []string) bool {
	if len(words) < 2 || words[0] != "create" {
		return false
	}
	w := words[1]
	if len(words) == 4 && w == "or" && words[2] == "replace" {
		w = words[3]
	}
	return w == "function" || w == "procedure"
}

// maxDepth bounds how deep a statement may nest. The parser in C and the walks
// over its tree use the stack, and a full stack ends the process for everybody.
const maxDepth = 1000

// deep words add a level to the tree that no parenthesis shows; queries of them
// stay deep across commas.
var (
	deepWords = set(`not is isnull notnull like ilike similar between in collate at operator escape overlaps`)
	deepJoins = set(`union intersect except join explain`)
)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for n := range strings.FieldsSeq(names) {
		m[n] = true
	}
	return m
}

// depth is an upper bound of how deep the tree of s is.
func depth(s string) int {
	type level struct{ chain, joins int }
	levels := []level{{}}
	sum, most := 1, 1 // of all levels
	for i := 0; i < len(s); {
		t := next(s, i)
		i = t.end
		top := &levels[len(levels)-1]
		switch t.kind {
		case operator:
			top.chain++
			sum++
		case word:
			// Only short words matter, and lowering them costs nothing then.
			if t.end-t.start > 9 {
				continue
			}
			switch w := strings.ToLower(s[t.start:t.end]); {
			case w == "and" || w == "or":
				sum -= top.chain
				top.chain = 0
			case w == "case":
				levels = append(levels, level{})
				sum++
			case w == "end":
				if len(levels) > 1 {
					sum -= 1 + top.chain + top.joins
					levels = levels[:len(levels)-1]
				}
			case deepJoins[w]:
				top.joins++
				sum++
			case deepWords[w]:
				top.chain++
				sum++
			}
		case punct:
			switch s[t.start] {
			case '(', '[':
				levels = append(levels, level{})
				sum++
			case ')', ']':
				if len(levels) > 1 {
					sum -= 1 + top.chain + top.joins
					levels = levels[:len(levels)-1]
				}
			case ',':
				sum -= top.chain
				top.chain = 0
			case ';':
				levels, sum = levels[:1], 1
				levels[0] = level{}
			}
		}
		most = max(most, sum)
	}
	return most
}

// hideConstants replaces every string constant, so that no secret among them is kept.
func hideConstants(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		t := next(s, i)
		if t.kind == str || t.kind == open {
			b.WriteString("'****'")
		} else {
			b.WriteString(s[t.start:t.end])
		}
		i = t.end
	}
	return b.String()
}
