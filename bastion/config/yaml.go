package config

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/bastion/policy"
)

// Limits of a file, so that a broken one cannot eat the machine.
const (
	maxFile  = 4 << 20 // bytes
	maxDepth = 32      // of nesting; what people write here nests six deep
)

// reader turns a small, strict part of YAML into structs: mappings, lists and
// plain values. Anchors, aliases, merges and tags are refused, so that what a
// reviewer sees is what holds. Each problem has its place, and none quotes a
// value, because a value in the wrong place may be a secret.
type reader struct {
	policy.Problems
	file string
}

// readFile reads a whole file of a size that can be meant.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return b, err
}

// parse returns the one document of a file, or nil after a problem.
func (r *reader) parse(data []byte) (root ast.Node) {
	top := policy.Pos{File: r.file, Line: 1, Column: 1}
	switch {
	case len(data) > maxFile:
		r.Add(top, "the file has more than %d bytes", maxFile)
		return nil
	case !utf8.Valid(data):
		r.Add(top, "the file is not valid UTF-8")
		return nil
	case deep(data):
		r.Add(top, "the file nests too deep")
		return nil
	}
	defer func() { // the library's parser is large; its fault must not be ours
		if recover() != nil {
			r.Add(top, "the file cannot be read as YAML")
			root = nil
		}
	}()
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		at, message := top, "the file cannot be read as YAML"
		if se, ok := err.(*yaml.SyntaxError); ok && se.Token != nil {
			at.Line, at.Column = se.Token.Position.Line, se.Token.Position.Column
			message = se.Message // without the excerpt of the file that Error adds
		}
		r.Add(at, "%s", message)
		return nil
	}
	var docs []ast.Node
	for _, d := range f.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			docs = append(docs, d.Body)
		}
	}
	switch len(docs) {
	case 0:
		r.Add(top, "the file is empty")
		return nil
	case 1:
		return docs[0]
	}
	r.Add(r.pos(docs[1]), "a second document begins here; one file is one document")
	return nil
}

// deep reports whether brackets, or list marks in one line, nest deeper than
// anybody writes. The parser recurses for each.
func deep(data []byte) bool {
	depth := 0
	for line := range bytes.Lines(data) {
		marks := 0
		for _, c := range line {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			case '-', '?', ':', '&', '*', '!':
				marks++
			}
		}
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		if depth > maxDepth || marks > 64*maxDepth || indent > 256 {
			return true
		}
	}
	return false
}

// pos is where a node begins.
func (r *reader) pos(n ast.Node) policy.Pos {
	switch m := n.(type) {
	case *ast.MappingNode: // its own token is the first colon
		if len(m.Values) > 0 && (m.Start == nil || !m.IsFlowStyle) {
			return r.pos(m.Values[0])
		}
	case *ast.MappingValueNode:
		return r.pos(m.Key)
	}
	p := policy.Pos{File: r.file, Line: 1, Column: 1}
	if t := n.GetToken(); t != nil && t.Position != nil {
		p.Line, p.Column = max(1, t.Position.Line), max(1, t.Position.Column)
	}
	return p
}

// kind names what a node is, for messages.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which is not supported here; write it out"
	case *ast.TagNode:
		return "a tag, which is not supported here; leave it out"
	}
	return "something else"
}

func (r *reader) want(n ast.Node, what, wanted string) {
	r.Add(r.pos(n), "%s: want %s, found %s", what, wanted, kind(n))
}

// fields says how each field of a mapping is read.
type fields map[string]func(ast.Node)

// mapping reads the fields of a mapping. Unknown and repeated ones are errors.
func (r *reader) mapping(n ast.Node, what string, known fields) {
	r.pairs(n, what, func(key policy.Word, value ast.Node) {
		read, ok := known[key.Text]
		if !ok {
			r.Add(key.Pos, "%s: %s", what, policy.Unknown("field", key.Text, slices.Collect(maps.Keys(known))))
			return
		}
		if _, null := value.(*ast.NullNode); null && !named(value) {
			r.Add(key.Pos, "%s has no value; write one, or leave it out", key.Text)
			return
		}
		read(value)
	})
}

// named reports whether a node is the word null, which YAML takes for nothing and
// a policy for a mask.
func named(n ast.Node) bool {
	t := n.GetToken()
	return t != nil && t.Type == token.NullType && t.Value == mask.Null.String()
}

// pairs calls read with each pair of a mapping, in the order of the file.
func (r *reader) pairs(n ast.Node, what string, read func(key policy.Word, value ast.Node)) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		r.want(n, what, "a mapping")
		return
	}
	seen := map[string]policy.Pos{}
	for _, v := range values {
		key, ok := text(v.Key)
		if !ok {
			r.Add(r.pos(v.Key), "%s: want a field's name before the colon, found %s", what, kind(v.Key))
			continue
		}
		at := r.pos(v.Key)
		if first, twice := seen[key]; twice {
			r.Add(at, "%s: %q is here twice, first in line %d", what, key, first.Line)
			continue
		}
		seen[key] = at
		if v.Value == nil {
			r.Add(at, "%s has no value; write one, or leave it out", key)
			continue
		}
		read(policy.Word{Text: key, Pos: at}, v.Value)
	}
}

// text is the text of a node that is one.
func text(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		if s.Value != nil {
			return strings.TrimRight(s.Value.Value, "\n"), true
		}
	}
	return "", false
}

// word reads a text that is not empty.
func (r *reader) word(n ast.Node, what string) policy.Word {
	s, ok := text(n)
	switch {
	case !ok && strings.HasPrefix(kind(n), "a number"), !ok && kind(n) == "true or false":
		r.Add(r.pos(n), "%s: want a text, found %s; put it in quotes", what, kind(n))
	case !ok:
		r.want(n, what, "a text")
	case s == "":
		r.Add(r.pos(n), "%s is empty", what)
	default:
		return policy.Word{Text: s, Pos: r.pos(n)}
	}
	return policy.Word{Pos: r.pos(n)}
}

// list calls read with each item of a list.
func (r *reader) list(n ast.Node, what string, read func(ast.Node)) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.want(n, what, "a list")
		return
	}
	for _, v := range s.Values {
		if _, null := v.(*ast.NullNode); v == nil || null {
			r.Add(r.pos(n), "%s: an item is empty", what)
			continue
		}
		read(v)
	}
}

// words reads a list of texts, or one text that stands for a list of one.
func (r *reader) words(n ast.Node, what string) []policy.Word {
	var words []policy.Word
	add := func(n ast.Node) {
		if w := r.word(n, what); w.Text != "" {
			words = append(words, w)
		}
	}
	if _, one := text(n); one {
		add(n)
		return words
	}
	r.list(n, what, add)
	return words
}

// number reads a whole number.
func (r *reader) number(n ast.Node, what string) policy.Number {
	if i, ok := n.(*ast.IntegerNode); ok {
		switch v := i.Value.(type) {
		case uint64:
			if v <= 1<<31-1 {
				return policy.Number{N: int(v), Pos: r.pos(n)}
			}
		case int64:
			if v >= -1<<31 && v < 0 {
				return policy.Number{N: int(v), Pos: r.pos(n)}
			}
		}
		r.Add(r.pos(n), "%s: the number is too large", what)
		return policy.Number{}
	}
	r.want(n, what, "a whole number")
	return policy.Number{}
}

// flag reads true or false.
func (r *reader) flag(n ast.Node, what string) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.want(n, what, "true or false")
		return false
	}
	return b.Value
}

// span reads a duration such as 90s, 30m or 8h. Zero needs no unit.
func (r *reader) span(n ast.Node, what string) policy.Span {
	if i, ok := n.(*ast.IntegerNode); ok {
		if v, ok := i.Value.(uint64); ok && v == 0 {
			return policy.Span{Pos: r.pos(n)}
		}
		r.Add(r.pos(n), "%s: a duration needs a unit, such as 90s, 30m or 8h", what)
		return policy.Span{}
	}
	s, ok := text(n)
	if !ok {
		r.want(n, what, "a duration, such as 90s, 30m or 8h")
		return policy.Span{}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		r.Add(r.pos(n), "%s: want a duration, such as 90s, 30m or 8h", what)
		return policy.Span{}
	}
	return policy.Span{D: d, Pos: r.pos(n)}
}

// positive reads a duration that is longer than nothing.
func (r *reader) positive(n ast.Node, what string) time.Duration {
	before := len(r.Problems)
	s := r.span(n, what)
	if s.D <= 0 && len(r.Problems) == before {
		r.Add(r.pos(n), "%s must be longer than nothing", what)
	}
	return s.D
}

// texts are the words without their places.
func texts(words []policy.Word) []string {
	var s []string
	for _, w := range words {
		s = append(s, w.Text)
	}
	return s
}

// failed is the problem of a file that could not be read at all.
func failed(path string, err error) policy.Problem {
	if pe, ok := err.(*os.PathError); ok {
		err = pe.Err
	}
	return policy.Problem{Pos: policy.Pos{File: path}, Message: fmt.Sprintf("cannot be read: %v", err)}
}
