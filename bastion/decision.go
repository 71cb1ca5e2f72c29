package bastion

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion/mask"
)

// Effect is what policy does with an operation. The zero Effect denies.
type Effect uint8

// The effects, strictest first.
const (
	Deny Effect = iota
	Ask
	Allow
)

// String returns the effect as policy files and events spell it.
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Ask:
		return "ask"
	}
	return "deny"
}

// MarshalText implements [encoding.TextMarshaler].
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. What it does not know denies.
func (e *Effect) UnmarshalText(b []byte) error {
	switch string(b) {
	case "allow":
		*e = Allow
	case "ask":
		*e = Ask
	case "deny":
		*e = Deny
	default:
		*e = Deny
		return fmt.Errorf("unknown effect %q (known: allow, ask, deny)", b)
	}
	return nil
}

// Need is a part of what an approval takes: Count different people of one role, or
// of any of several.
type Need struct {
	Count int    `json:"count"`
	Role  string `json:"role"`
	// Or names other roles whose holders count as well.
	Or []string `json:"or,omitempty"`
}

// Equal reports whether two needs are the same.
func (n Need) Equal(m Need) bool {
	return n.Count == m.Count && n.Role == m.Role && slices.Equal(n.Or, m.Or)
}

// Takes reports whether holders of the role count.
func (n Need) Takes(role string) bool { return role == n.Role || slices.Contains(n.Or, role) }

// String says the need in words.
func (n Need) String() string {
	article := "a"
	if n.Role != "" && strings.ContainsRune("aeiou", rune(n.Role[0])) {
		article = "an"
	}
	if n.Count == 1 {
		return "1 approval by " + article + " " + strings.Join(append([]string{n.Role}, n.Or...), " or ")
	}
	var roles []string
	for _, r := range append([]string{n.Role}, n.Or...) {
		roles = append(roles, plural(r))
	}
	return fmt.Sprintf("%d approvals by %s", n.Count, strings.Join(roles, " or "))
}

// plural is several of what a word names, by the rules of English: bosses, deputies,
// reviewers.
func plural(word string) string {
	for _, hiss := range []string{"s", "x", "z", "ch", "sh"} {
		if strings.HasSuffix(word, hiss) {
			return word + "es"
		}
	}
	if stem, ok := strings.CutSuffix(word, "y"); ok && stem != "" && !strings.ContainsRune("aeiou", rune(stem[len(stem)-1])) {
		return stem + "ies"
	}
	return word + "s"
}

// Needs is all that an approval takes.
type Needs []Need

// String says the needs in words.
func (ns Needs) String() string {
	var s []string
	for _, n := range ns {
		s = append(s, n.String())
	}
	return strings.Join(s, " and ")
}

// Decision is policy's answer about one operation by one identity. The zero
// Decision denies, and its zero mask rules hide everything.
type Decision struct {
	Effect Effect
	Rule   string // the rule that decided; empty when no rule matched
	Reason string // why, for the person
	Next   string // what the person can do instead
	Mask   mask.Rules
	Needs  Needs         // what an Ask takes
	Within time.Duration // how long a request stays open
	// Holds is how long an approval may be used again; zero means once.
	Holds time.Duration
	// Fresh is the greatest age of the sign-in; zero means any.
	Fresh time.Duration
	// OtherTeam: an approver must share no team with the requester.
	OtherTeam bool
	// Try: those who decide may have the operation tried before, which is run and taken
	// back. See [Session.Try].
	Try bool
	// Estimate says that the answer depends on the number of rows that the operation
	// touches, which the operation does not tell yet. Until it does, the rest of the
	// decision is the strictest that may come of it.
	Estimate bool
}

// Policy decides. Implementations are pure: the same question has the same
// answer until the policy itself changes.
type Policy interface {
	Decide(Identity, Operation) Decision
	Access(Identity, Target) Access
	Roles(Identity) []Role
	// Terms lists the access to a target that the identity can ask for.
	Terms(Identity, Target) []Terms
	// Conflict returns an error if the identity holds roles that nobody may hold
	// together.
	Conflict(Identity) error
}
