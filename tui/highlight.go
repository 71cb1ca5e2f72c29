package tui

import (
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
)

// lexeme is the kind of a piece of SQL. It serves colours and completion alone:
// what a text means is for its connector to say.
type lexeme uint8

// The kinds.
const (
	lexSpace lexeme = iota
	lexComment
	lexString
	lexNumber
	lexName   // a name as typed
	lexQuoted // a name in double quotes
	lexKeyword
	lexParameter // $1
	lexSemicolon
	lexOperator // anything else, one character at a time
)

// token is a piece of SQL.
type token struct {
	kind lexeme
	text string
	open bool // it wants an end that the text does not have
}

// lex yields the tokens of a text with their offsets. Together they are the text.
func lex(s string) iter.Seq2[int, token] {
	return func(yield func(int, token) bool) {
		for i := 0; i < len(s); {
			t := nextToken(s[i:])
			if !yield(i, t) {
				return
			}
			i += len(t.text)
		}
	}
}

// nextToken reads the first token of a text that is not empty. The rules are
// those of PostgreSQL's manual, "Lexical Structure".
func nextToken(s string) token {
	c := s[0]
	switch {
	case c == ' ' || c >= '\t' && c <= '\r':
		n := len(s) - len(strings.TrimLeft(s, " \t\n\v\f\r"))
		return token{kind: lexSpace, text: s[:n]}
	case strings.HasPrefix(s, "--"):
		n := strings.IndexAny(s, "\r\n")
		if n < 0 {
			return token{lexComment, s, true}
		}
		return token{kind: lexComment, text: s[:n]}
	case strings.HasPrefix(s, "/*"):
		return blockComment(s)
	case c == '\'':
		return quoted(s, 0, '\'', lexString, false)
	case c == '"':
		return quoted(s, 0, '"', lexQuoted, false)
	case c == '$':
		return dollar(s)
	case c == ';':
		return token{kind: lexSemicolon, text: s[:1]}
	case c >= '0' && c <= '9' || c == '.' && len(s) > 1 && s[1] >= '0' && s[1] <= '9':
		return number(s)
	}
	if len(s) > 1 && s[1] == '\'' && strings.IndexByte("eEbBxXnN", c) >= 0 {
		return quoted(s, 1, '\'', lexString, c == 'e' || c == 'E')
	}
	if len(s) > 2 && (c == 'u' || c == 'U') && s[1] == '&' && (s[2] == '\'' || s[2] == '"') {
		kind := lexString
		if s[2] == '"' {
			kind = lexQuoted
		}
		return quoted(s, 2, s[2], kind, false)
	}
	if n := wordLen(s); n > 0 {
		if isKeyword(s[:n]) {
			return token{kind: lexKeyword, text: s[:n]}
		}
		return token{kind: lexName, text: s[:n]}
	}
	_, n := utf8.DecodeRuneInString(s)
	return token{kind: lexOperator, text: s[:n]}
}

// blockComment reads a comment; comments nest.
func blockComment(s string) token {
	depth := 1
	for i := 2; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return token{kind: lexComment, text: s[:i+1]}
			}
		}
	}
	return token{lexComment, s, true}
}

// quoted reads what stands between quotes, the first of which is at an offset. A
// doubled quote is part of it, and so is a quote after a backslash if escapes.
func quoted(s string, at int, quote byte, kind lexeme, escapes bool) token {
	for i := at + 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] != quote:
		case i+1 < len(s) && s[i+1] == quote:
			i++
		default:
			return token{kind: kind, text: s[:i+1]}
		}
	}
	return token{kind, s, true}
}

// dollar reads a parameter or a dollar-quoted string.
func dollar(s string) token {
	n := 1
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n > 1 {
		return token{kind: lexParameter, text: s[:n]}
	}
	for n < len(s) && s[n] != '$' {
		w := wordLen(s[n:])
		if w == 0 {
			return token{kind: lexOperator, text: s[:1]}
		}
		// A word may hold the closing dollar of the tag.
		if d := strings.IndexByte(s[n:n+w], '$'); d >= 0 {
			n += d
			break
		}
		n += w
	}
	if n >= len(s) {
		return token{kind: lexOperator, text: s[:1]}
	}
	tag := s[:n+1]
	if end := strings.Index(s[len(tag):], tag); end >= 0 {
		return token{kind: lexString, text: s[:len(tag)+end+len(tag)]}
	}
	return token{lexString, s, true}
}

func number(s string) token {
	n := 0
	for n < len(s) {
		c := s[n]
		sign := (c == '+' || c == '-') && n > 0 && (s[n-1] == 'e' || s[n-1] == 'E') && n+1 < len(s) && s[n+1] >= '0' && s[n+1] <= '9'
		if !(c >= '0' && c <= '9' || c == '.' || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || sign) {
			break
		}
		n++
	}
	return token{kind: lexNumber, text: s[:n]}
}

// wordLen is the length of the name or keyword that s begins with.
func wordLen(s string) int {
	n := 0
	for n < len(s) {
		c := s[n]
		if c < utf8.RuneSelf {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || n > 0 && (c >= '0' && c <= '9' || c == '$')) {
				break
			}
			n++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		if !unicode.IsLetter(r) && !unicode.IsMark(r) && !(n > 0 && unicode.IsDigit(r)) {
			break
		}
		n += size
	}
	return n
}

// keywords are the words that get a colour and are offered for completion, in
// order. Words that are as often names as keywords are left out.
var keywords = strings.Fields(`
ADD ALL ALTER ANALYZE AND ANY ARRAY AS ASC BEGIN BETWEEN BY CALL CASCADE CASE CAST CHECK
COALESCE COLLATE COLUMN COMMENT COMMIT CONCURRENTLY CONFLICT CONSTRAINT COPY CREATE CROSS CURRENT_DATE
CURRENT_TIMESTAMP CURRENT_USER DATABASE DEALLOCATE DECLARE DEFAULT DELETE DESC DISTINCT DO DROP
ELSE END EXCEPT EXECUTE EXISTS EXPLAIN EXTENSION FALSE FETCH FILTER FIRST FOR FOREIGN FROM FULL FUNCTION
GRANT GROUP HAVING IF ILIKE IN INDEX INNER INSERT INTERSECT INTERVAL INTO IS ISNULL JOIN KEY LAST
LATERAL LEFT LIKE LIMIT LISTEN LOCK MATERIALIZED MERGE NATURAL NOT NOTHING NOTIFY NOTNULL NULL NULLIF NULLS
OFFSET ON ONLY OR ORDER OUTER OVER PARTITION PREPARE PRIMARY RECURSIVE REFERENCES REFRESH REINDEX
RELEASE RENAME RESET RESTRICT RETURNING REVOKE RIGHT ROLLBACK ROW ROWS SAVEPOINT SCHEMA SELECT SEQUENCE
SET SHOW SIMILAR SOME START TABLE TABLESAMPLE TEMPORARY THEN TO TRANSACTION TRIGGER TRUE TRUNCATE TYPE UNION
UNIQUE UPDATE USING VACUUM VALUES VIEW WHEN WHERE WINDOW WITH WITHIN`)

// longestKeyword is the length of the longest keyword.
const longestKeyword = len("CURRENT_TIMESTAMP")

func isKeyword(word string) bool {
	if len(word) > longestKeyword {
		return false
	}
	_, ok := slices.BinarySearch(keywords, strings.ToUpper(word))
	return ok
}

// style is how a kind of token looks.
func (k lexeme) style(th Theme) lipgloss.Style {
	switch k {
	case lexKeyword:
		return th.Keyword
	case lexString:
		return th.String
	case lexNumber, lexParameter:
		return th.Number
	case lexComment:
		return th.Comment
	}
	return th.Plain
}

// highlighted is the largest text, in bytes, that gets colours. Larger ones come
// from a paste, and reading all of one at each key would be felt.
const highlighted = 64 << 10

// lexLines returns the kind of each character of the lines from first up to, not
// including, last. A text that is too large has no kinds.
func lexLines(lines [][]rune, first, last, bytes int) [][]lexeme {
	if bytes > highlighted {
		return nil
	}
	out := make([][]lexeme, last-first)
	for i := range out {
		out[i] = make([]lexeme, 0, len(lines[first+i]))
	}
	row := 0
	for _, t := range lex(joinLines(lines)) {
		for _, r := range t.text {
			switch {
			case r == '\n':
				if row++; row >= last {
					return out
				}
			case row >= first:
				out[row-first] = append(out[row-first], t.kind)
			}
		}
	}
	return out
}

func joinLines(lines [][]rune) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, r := range l {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// completeText reports whether a text ends with a semicolon that ends a statement:
// not inside of a string, with nothing but space and comments after it.
func completeText(s string) bool {
	ended := false
	for _, t := range lex(s) {
		switch t.kind {
		case lexSemicolon:
			ended = true
		case lexSpace:
		case lexComment:
			if t.open && strings.HasPrefix(t.text, "/*") {
				ended = false
			}
		default:
			ended = false
		}
	}
	return ended
}

// blankText reports whether a text has nothing but space and comments.
func blankText(s string) bool {
	for _, t := range lex(s) {
		if t.kind != lexSpace && t.kind != lexComment {
			return false
		}
	}
	return true
}
