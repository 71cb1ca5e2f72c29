package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// Pos is a place in a file that people wrote. Lines and columns count from 1.
type Pos struct {
	File         string
	Line, Column int
}

// String is the place as compilers and editors write it.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is something wrong with what people wrote, at its place.
type Problem struct {
	Pos     Pos
	Message string
	// Warning marks what may be meant so. Everything else makes the file unusable.
	Warning bool
}

// String is the problem in one line: "file:line:column: message".
func (p Problem) String() string {
	s := bastion.VisibleLine(p.Pos.String()) + ": "
	if p.Warning {
		s += "warning: "
	}
	return s + bastion.VisibleLine(p.Message)
}

// Problems is all that is wrong with a file.
type Problems []Problem

// Sort puts problems into the order of the files.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), a.Pos.Line-b.Pos.Line, a.Pos.Column-b.Pos.Column)
	})
}

// Err returns an error that names every problem that is not a warning, one a
// line, or nil if there is none.
func (ps Problems) Err() error {
	var lines []string
	for _, p := range ps {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n"))
}

// Add notes an error at a place.
func (ps *Problems) Add(at Pos, format string, args ...any) {
	*ps = append(*ps, Problem{Pos: at, Message: fmt.Sprintf(format, args...)})
}

// Warn notes a warning at a place.
func (ps *Problems) Warn(at Pos, format string, args ...any) {
	*ps = append(*ps, Problem{Pos: at, Message: fmt.Sprintf(format, args...), Warning: true})
}

// Word is a text that somebody wrote, and where. The zero Word was not written.
type Word struct {
	Text string
	Pos  Pos
}

// Number is a whole number that somebody wrote, and where. Its place has no
// line if it was not written.
type Number struct {
	N   int
	Pos Pos
}

// Span is a duration that somebody wrote, and where. Its place has no line if it
// was not written.
type Span struct {
	D   time.Duration
	Pos Pos
}

func (n Number) set() bool { return n.Pos.Line != 0 }
func (s Span) set() bool   { return s.Pos.Line != 0 }

// File is a policy as people wrote it. The zero File makes no policy.
type File struct {
	Pos     Pos
	Version Number // 1
	Roles   []Role
	Columns []Label
	Bundles []Bundle
	// Problems are what the reader of the file found; [New] reports them again,
	// so a file that could not be read in full never becomes a policy.
	Problems Problems
}

// Role says who holds a role, and the duties that come with it.
type Role struct {
	Name     Word
	Groups   []Word // of people, as the provider names them
	Services []Word // by name
	Duties   []Word
}

// Label names columns that are sensitive, and how they are hidden.
type Label struct {
	Name    Word
	Targets Selector // all targets if it was not written
	Columns []Word   // schema.table.column, with * inside a part
	Mask    Word
	Lookup  bool // comparing with a constant for equality is allowed
}

// Bundle is what roles may do on some targets.
type Bundle struct {
	Name    Word
	Roles   []Word
	Except  []Word // who also holds one of these does not get the bundle
	Targets Selector
	Clear   []Word // labels that the bundle shows
	Fresh   Span   // greatest age of the sign-in
	Rules   []Rule
}

// Rule is one line of a bundle.
type Rule struct {
	Name      Word
	Verbs     []Word
	On        []Word // resources, with * inside a part; anything if empty
	Effect    Word
	Reason    Word
	Next      Word
	Approvals []Approval
	Within    Span
	Holds     Span
}

// Approval is one part of what an asking rule takes.
type Approval struct {
	Pos   Pos
	Count Number // 1 if it was not written
	Role  Word
}

// Selector chooses targets by labels. It chooses nothing unless All is set or a
// requirement was written.
type Selector struct {
	Pos      Pos // no line if it was not written
	All      bool
	Requires []Requirement
}

// Requirement is a label that a target must have, with one of the values.
type Requirement struct {
	Key    Word
	Values []Word
}

func (s Selector) set() bool { return s.Pos.Line != 0 }

// matches reports whether a target has all labels that the selector requires.
func (s Selector) matches(t bastion.Target) bool {
	if s.All {
		return true
	}
	for _, r := range s.Requires {
		v, ok := t.Labels[r.Key.Text]
		if !ok || !slices.ContainsFunc(r.Values, func(w Word) bool { return w.Text == v }) {
			return false
		}
	}
	return len(s.Requires) > 0
}

// texts are the words without their places.
func texts(words []Word) []string {
	var s []string
	for _, w := range words {
		s = append(s, w.Text)
	}
	return s
}
