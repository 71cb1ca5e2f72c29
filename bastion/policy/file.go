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
	Values  []Detector
	// Functions are those that the policy trusts.
	Functions []Trust
	Bundles   []Bundle
	// Teams are the groups of the provider that are teams, with * inside a name.
	Teams      []Word
	Separation []Separation
	// Apart are duties that one person may not have in the same task; if it was not
	// written, design, approve and execute.
	Apart []Apart
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
	// Probe is the effect of any other use than showing: deny if it was not written.
	Probe     Word
	Approvals []Approval // what an asking Probe takes
}

// Detector names values that are sensitive by what they look like, in whatever
// column they turn up, and how they are hidden.
type Detector struct {
	Name    Word
	Targets Selector // all targets if it was not written
	Detect  []Word   // names that [mask.ParseDetector] knows
	Mask    Word
}

// Trust names functions of users that compute from their arguments alone.
type Trust struct {
	Name    Word
	Targets Selector // all targets if it was not written
	Trust   []Word   // schema.name(types), or schema.name(*)
}

// Bundle is what roles may do on some targets.
type Bundle struct {
	Name    Word
	Roles   []Word
	Except  []Word // who also holds one of these does not get the bundle
	Targets Selector
	Clear   []Word // labels that the bundle shows
	Fresh   Span   // greatest age of the sign-in
	// Request and Emergency say how one gets the bundle for a time. With either of
	// them, it is not had otherwise.
	Request   Request
	Emergency Emergency
	// Lifts names rules that ask, as bundle/rule: who has this bundle for a time is
	// not asked by them for what the bundle allows.
	Lifts []Word
	Rules []Rule
}

// Request says how a bundle is asked for.
type Request struct {
	Pos       Pos // no line if it was not written
	Max       Span
	Approvals []Approval
	Within    Span
	OtherTeam bool
	Reason    Word
}

func (r Request) set() bool { return r.Pos.Line != 0 }

// Emergency says how a bundle is taken at once, to be reviewed afterwards.
type Emergency struct {
	Pos     Pos // no line if it was not written
	For     Span
	Reviews []Approval
	Reason  Word
}

func (e Emergency) set() bool { return e.Pos.Line != 0 }

// byGrant reports whether the bundle is had for a time only.
func (b Bundle) byGrant() bool { return b.Request.set() || b.Emergency.set() }

// Separation names roles that nobody may hold together.
type Separation struct {
	Name     Word
	Roles    []Word
	Conflict Word // refuse, if it was not written, or choose
	Reason   Word
}

// Apart is duties of which nobody may have two in one task.
type Apart struct {
	Pos    Pos
	Duties []Word
}

// Rule is one line of a bundle.
type Rule struct {
	Name      Word
	Verbs     []Word
	On        []Word // resources, with * inside a part; anything if empty
	Columns   []Word // schema.table.column, with * inside a part; any if empty
	Rows      Rows
	Effect    Word
	Reason    Word
	Next      Word
	Approvals []Approval
	OtherTeam bool // an approver shares no team with the requester
	Within    Span
	Holds     Span
	Preview   Word // estimate, if it was not written, or run
}

// Rows is how many rows a rule speaks of: more than Over, and UpTo at most, by the
// target's estimate.
type Rows struct {
	Pos        Pos // no line if it was not written
	Over, UpTo Number
}

func (r Rows) set() bool { return r.Pos.Line != 0 }

// Approval is one part of what an asking rule takes: people of one role, or of any
// of several.
type Approval struct {
	Pos   Pos
	Count Number // 1 if it was not written
	Role  Word
	Any   []Word
}

// roles are those whose holders count.
func (a Approval) roles() []Word {
	if a.Role.Text == "" {
		return a.Any
	}
	return append([]Word{a.Role}, a.Any...)
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

// orAll is the selector, or that of all targets if it was not written.
func (s Selector) orAll() Selector {
	if !s.set() {
		return Selector{All: true}
	}
	return s
}

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
