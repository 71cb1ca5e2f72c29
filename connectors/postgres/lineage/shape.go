package lineage

import (
	"slices"
	"strings"
	"sync"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// Clients that speak the simple protocol write values into their texts, so that
// hardly any text comes twice. The shape of a text is the text with its plain
// constants taken out; texts of one shape have trees that differ in the values of
// constants alone. Where a reading did not look at any of those, it holds for all
// texts of its shape.

const (
	numberMark = 0x01 // stands for an integer
	textMark   = 0x02 // stands for a string
	maxShaped  = 4 << 10
)

// Classes of characters for shape.
const (
	odd    = iota // not in a text that has a shape, outside of quotes
	plain         // stands for itself
	digitC        // 0 to 9
	part          // of a name or number: letters, _, $, .
	quoteC        // '
	doubleC
	minus
	slash
	amper
)

var classes = func() (c [256]uint8) {
	for _, b := range []byte(" \t\n\r()[],;+*<>=!%^|?~#:@") {
		c[b] = plain
	}
	for b := byte('0'); b <= '9'; b++ {
		c[b] = digitC
	}
	for b := byte('a'); b <= 'z'; b++ {
		c[b], c[b-'a'+'A'] = part, part
	}
	c['_'], c['.'], c['$'] = part, part, part
	c['\''], c['"'], c['-'], c['/'], c['&'] = quoteC, doubleC, minus, slash, amper
	return c
}()

// shape appends the shape of a text to buf. ok is false if it has none, or if there
// is nothing in it to take out. It is conservative: it gives up on comments, dollar
// quotes, escapes, strings with anything in them but printable ASCII, and strings that
// follow each other.
func shape(buf []byte, s string) (out []byte, ok bool) {
	if len(s) > maxShaped {
		return buf, false
	}
	from, taken := 0, false // s[from:i] is to be copied
	afterString := false    // nothing but white space since a string
	for i := 0; i < len(s); {
		c := s[i]
		switch classes[c] {
		case plain:
			if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
				afterString = false
			}
			i++
		case amper:
			// U&'...' and U&"..." mean something else with the same quotes.
			if i+1 < len(s) && (s[i+1] == '\'' || s[i+1] == '"') {
				return buf, false
			}
			afterString = false
			i++
		case minus, slash:
			if i+1 < len(s) && (s[i+1] == '-' || s[i+1] == '*') {
				return buf, false // a comment, or what could be one
			}
			afterString = false
			i++
		case part, digitC:
			// A name, a number, or what is neither: all of it is one piece.
			j, digits := i, true
			for j < len(s) {
				k := classes[s[j]]
				if k != digitC {
					if k != part {
						break
					}
					if s[j] == '$' && !(j+1 < len(s) && classes[s[j+1]] == digitC && j == i) {
						return buf, false // $1 is a parameter, else it may be a quote
					}
					digits = false
				}
				j++
			}
			if j < len(s) && (s[j] == '\'' || s[j] == '"' || s[j] >= 0x80) {
				return buf, false
			}
			if digits && j-i <= 9 {
				buf = append(append(buf, s[from:i]...), numberMark)
				from, taken = j, true
			} else if !digits && changes(s[i:j]) {
				return buf, false
			}
			afterString = false
			i = j
		case quoteC:
			if afterString {
				return buf, false
			}
			j := i + 1
			for j < len(s) && s[j] != '\'' {
				if s[j] < ' ' || s[j] > '~' || s[j] == '\\' {
					return buf, false
				}
				j++
			}
			if j+1 >= len(s) {
				if j >= len(s) {
					return buf, false
				}
			} else if k := s[j+1]; k == '\'' || k == '"' || k >= 0x80 || classes[k] == part || classes[k] == digitC {
				return buf, false
			}
			buf = append(append(buf, s[from:i]...), textMark)
			from, taken = j+1, true
			afterString = true
			i = j + 1
		case doubleC:
			j := i + 1
			for j < len(s) && s[j] != '"' {
				if s[j] < ' ' || s[j] > '~' {
					return buf, false
				}
				j++
			}
			if j >= len(s) || j == i+1 || j+1 < len(s) && (s[j+1] == '"' || s[j+1] == '\'' || s[j+1] >= 0x80 || classes[s[j+1]] == digitC) {
				return buf, false
			}
			afterString = false
			i = j + 1
		default:
			return buf, false
		}
	}
	if !taken {
		return buf, false
	}
	return append(buf, s[from:]...), true
}

// changes reports whether a word lets the value of a constant after it decide what
// the parser makes of the text: FLOAT(24) is another type than FLOAT(25), and the
// character after UESCAPE changes names.
func changes(word string) bool {
	switch len(word) {
	case 5:
		return strings.EqualFold(word, "float")
	case 7:
		return strings.EqualFold(word, "uescape")
	}
	return false
}

// shareable reports whether a reading is one that texts of the same shape can share.
func shareable(stmt *pg.Node, rd *Reading) bool {
	switch x := stmt.GetNode().(type) {
	case *pg.Node_SelectStmt:
		if x.SelectStmt.IntoClause != nil {
			return false
		}
	case *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
	default:
		return false
	}
	return rd.Class == Plannable && rd.Intent.Record == "" && rd.Prepares == "" && rd.Declares == "" && rd.Forgets == "" && rd.Closes == "" && rd.Copy == nil
}

// cache keeps readings by text and by shape. It holds two generations: when the young
// one is full, the old one is dropped, and what is used moves to the young one.
type cache struct {
	mu         sync.Mutex // guards the rest
	young, old map[key]entryOf
	size       int // bytes in the young generation, about
}

// key is what a reading depends on besides the catalog. The path is part of the
// settings, but for the name of the session's temporary schema, and is compared when
// a reading is found.
type key struct {
	text, settings, temporary string
	shape, uncommitted, ran   bool
}

type entryOf struct {
	reading *Reading
	path    []string
}

const (
	maxGeneration = 8 << 20  // bytes
	maxCachedText = 32 << 10 // bytes of each
)

// keyOf makes a key without its text.
func keyOf(s *Session) key {
	k := key{settings: s.Settings, uncommitted: s.Uncommitted, ran: s.Ran}
	for _, p := range s.Path {
		if strings.HasPrefix(p, "pg_temp_") {
			k.temporary = p
		}
	}
	return k
}

// find returns the reading of a text, or nil.
func (c *cache) find(text string, s *Session) *Reading {
	k := keyOf(s)
	k.text = text
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.young[k]; ok && slices.Equal(e.path, s.Path) {
		return e.reading
	}
	var stack [1024]byte
	buf, shaped := shape(stack[:0], text)
	if shaped {
		// The compiler makes no string of a key that only looks something up.
		if e, ok := c.young[key{string(buf), k.settings, k.temporary, true, k.uncommitted, k.ran}]; ok && slices.Equal(e.path, s.Path) {
			return e.reading
		}
	}
	if len(c.old) == 0 {
		return nil
	}
	if e, ok := c.old[k]; ok && slices.Equal(e.path, s.Path) {
		c.put(k, e)
		return e.reading
	}
	if shaped {
		k.text, k.shape = string(buf), true
		if e, ok := c.old[k]; ok && slices.Equal(e.path, s.Path) {
			c.put(k, e)
			return e.reading
		}
	}
	return nil
}

// keep remembers a reading, for all texts of the same shape if it can be shared.
func (c *cache) keep(text string, s *Session, rd *Reading, share bool) {
	if len(text) > maxCachedText {
		return
	}
	k := keyOf(s)
	k.text = text
	if share {
		if buf, ok := shape(nil, text); ok {
			k.text, k.shape = string(buf), true
		}
	}
	if !k.shape {
		k.text = strings.Clone(text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(k, entryOf{rd, slices.Clone(s.Path)})
}

// put adds an entry to the young generation. The caller holds mu.
func (c *cache) put(k key, e entryOf) {
	n := e.reading.bytes() + len(k.text) + len(k.settings) + 200
	for _, p := range e.path {
		n += len(p) + 16
	}
	if c.size+n > maxGeneration || c.young == nil {
		c.old, c.young, c.size = c.young, map[key]entryOf{}, 0
	}
	c.young[k] = e
	c.size += n
}

// bytes is about how much memory a reading takes. Names that it shares with the
// catalog count only as headers.
func (rd *Reading) bytes() int {
	n := 400 + len(rd.Intent.Summary) + len(rd.Intent.Record) + 80*len(rd.Intent.Actions) + 64*len(rd.Intent.Probes) + 16*len(rd.Intent.Writes)
	for i := range rd.Intent.Outputs {
		o := &rd.Intent.Outputs[i]
		n += 80 + len(o.Name) + 16*len(o.Sources) + 16*len(o.Opaque)
	}
	return n
}
