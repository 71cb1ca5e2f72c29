package policy

import (
	"fmt"
	"strings"
	"unicode"
)

// pattern names resources such as public.orders; a * stands for any run of
// characters within one part, and a lone * for any resource.
//
// Names can lie about their shape: a quoted name may hold capitals or dots. So a
// pattern answers twice. A grant needs an exact match, part by part. What limits
// (a deny, or an ask against an allow) already holds when the name could be
// read so: without regard to case, and with * running over dots.
type pattern struct {
	text   string
	parts  []string
	folded string
	// What stands before the first star tells most patterns from most names.
	head, foldedHead string
}

// newPattern reads a pattern that checkPattern found right.
func newPattern(s string) pattern {
	p := pattern{text: s, parts: strings.Split(s, "."), folded: strings.ToLower(s)}
	p.head, _, _ = strings.Cut(p.text, "*")
	p.foldedHead, _, _ = strings.Cut(p.folded, "*")
	return p
}

// checkPattern says what is wrong with a pattern, or nil.
func checkPattern(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return fmt.Errorf("pattern %q: a pattern has no spaces or control characters", s)
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return fmt.Errorf("pattern %q: a part is empty; write * for any name", s)
		}
	}
	return nil
}

// exact reports whether the resource is what the pattern names, beyond doubt.
func (p *pattern) exact(resource string) bool {
	if resource == "" || !strings.HasPrefix(resource, p.head) {
		return false
	}
	if p.text == "*" {
		return true
	}
	for i, part := range p.parts {
		name, rest, more := strings.Cut(resource, ".")
		if more != (i < len(p.parts)-1) || !glob(part, name) {
			return false
		}
		resource = rest
	}
	return true
}

// perhaps reports whether the resource could be meant by the pattern. All that
// matches exactly matches so too.
func (p *pattern) perhaps(folded string) bool {
	return folded != "" && strings.HasPrefix(folded, p.foldedHead) && glob(p.folded, folded)
}

// covers reports whether all that q names is limited by p.
func (p *pattern) covers(q *pattern) bool { return glob(p.folded, q.folded) }

// glob matches s against a pattern whose * stands for any run of characters. It
// takes time in proportion to the product of the lengths at most.
func glob(pattern, s string) bool {
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && pattern[i] == s[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}
