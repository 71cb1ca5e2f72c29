// Package mask hides sensitive values on their way from a target to a person.
//
// A [Kind] says how a value is hidden, a [Label] ties a kind to columns of a
// target, and [Rules] are the labels that hold for one person on one target.
// A [Detector] finds sensitive values by what they look like, where no label is.
// The zero values hide everything: a forgotten rule never shows a value.
package mask

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind is one way to hide a value. Kinds are ordered by strength: where several
// apply to one value, the smallest wins, and the zero Kind hides all of it.
type Kind uint8

const (
	Redact    Kind = iota // a fixed token; not even whether there is a value shows
	Null                  // always NULL
	Pseudonym             // a token that is equal for equal values, by keyed hash
	Email                 // the first letter and the domain stay
	Last4                 // the last four letters or digits stay
	Clear                 // shown as it is
)

// Redacted is the token that stands for a value hidden by [Redact].
const Redacted = "****"

var names = [...]string{Redact: "redact", Null: "null", Pseudonym: "pseudonym", Email: "email", Last4: "last4", Clear: "clear"}

// Names lists the kinds as policy files spell them, strongest first.
func Names() []string { return append([]string(nil), names[:]...) }

// String returns the kind as policy files spell it.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return names[Redact]
}

// ParseKind reads a kind as policy files spell it.
func ParseKind(s string) (Kind, error) {
	for k, name := range names {
		if s == name {
			return Kind(k), nil
		}
	}
	return Redact, fmt.Errorf("unknown mask %q (known: %s)", s, strings.Join(names[:], ", "))
}

// Label says that the columns matching Pattern are hidden by Kind.
type Label struct {
	// Pattern names columns as schema.table.column; a * matches any run of
	// characters within one of the three parts.
	Pattern string
	Kind    Kind
	// Lookup allows comparing the column for equality with a constant, so that
	// support can find a customer by e-mail without being able to read the column.
	Lookup bool
}

// Column is what is known about one column of an answer: its name and the
// columns of the target that flow into it. The zero Column is not proven, so
// rules hide it.
type Column struct {
	Name    string
	Sources []string // schema.table.column
	Proven  bool     // Sources is complete: nothing else flows in
	// Derived says that values are computed from the sources. A mask that keeps a
	// part of a value would keep a part of something else (reverse(email) ends in
	// the name), so hidden values of such a column are redacted.
	Derived bool
	// Mixed says that some values are those of sources and others are not, or of other
	// sources: pseudonyms would tell which of them are equal, and so whether a guess is
	// right. Values are redacted instead.
	Mixed bool
	// Opaque names the functions (schema.name(types)) for whose sake alone Proven is
	// false: trusting them all makes the column proven.
	Opaque []string
}

// Within reports whether no rules could hide more of a column than of another one: it
// has no source that the other one has not, and is no harder to look into.
func (c Column) Within(o Column) bool {
	few := func(a, b []string) bool {
		return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
	}
	return few(c.Sources, o.Sources) && few(c.Opaque, o.Opaque) && (c.Proven || !o.Proven) && (!c.Derived || o.Derived) && (!c.Mixed || o.Mixed)
}

// Rules decide how each column of an answer is hidden. The zero Rules hide
// everything; make others with [NewRules].
type Rules struct {
	made    bool
	labels  []label
	key     []byte
	trusted []string
	scanner *scanner // nil: values are not looked at
}

type label struct {
	Label
	parts []string
}

// NewRules makes rules from labels. The key makes pseudonyms: the same key
// gives the same pseudonym for the same value. With no labels nothing is hidden.
func NewRules(key []byte, labels ...Label) (Rules, error) {
	r := Rules{made: true, key: key}
	for _, l := range labels {
		parts := strings.Split(strings.ToLower(l.Pattern), ".")
		if len(parts) != 3 {
			return Rules{}, fmt.Errorf("column pattern %q: want schema.table.column", l.Pattern)
		}
		r.labels = append(r.labels, label{l, parts})
	}
	return r, nil
}

// HidesNothing reports whether nothing of the target is hidden by these rules:
// there are neither labels nor detectors, and its bytes may pass as they are.
func (r Rules) HidesNothing() bool { return r.made && len(r.labels) == 0 && r.scanner == nil }

// Trust returns rules that also believe functions to return nothing but what is
// computed from their arguments, and to leave no trace of them elsewhere. A column
// that is not proven only for the sake of such functions counts as proven and as
// derived. Functions are written as in [Column.Opaque], schema.name(type, type),
// and compared exactly; a * may stand for the whole list of types, as in public.f(*).
func (r Rules) Trust(functions ...string) Rules {
	r.trusted = append(slices.Clip(r.trusted), functions...)
	return r
}

// Trusts reports whether the rules trust a function, written schema.name(type, type).
func (r Rules) Trusts(function string) bool {
	if !r.made || function == "" {
		return false
	}
	for _, t := range r.trusted {
		if t == function {
			return true
		}
		name, ok := strings.CutSuffix(t, "(*)")
		if !ok || name == "" {
			continue
		}
		types, ok := strings.CutPrefix(function, name+"(")
		// A function may be named f(x: what stands between the parentheses must be a list of types.
		if types, closed := strings.CutSuffix(types, ")"); ok && closed && !strings.ContainsAny(types, "()") {
			return true
		}
	}
	return false
}

// trustsAll reports whether functions, of which there is at least one, are all trusted.
func (r Rules) trustsAll(functions []string) bool {
	for _, f := range functions {
		if !r.Trusts(f) {
			return false
		}
	}
	return len(functions) > 0
}

// Kind returns how column c is hidden: the strongest kind among its sources,
// and Redact where the sources are not proven while any label exists. Detectors
// have no part in it: values of a Clear column still go through [Rules.Scan].
func (r Rules) Kind(c Column) Kind {
	if !r.made {
		return Redact
	}
	if len(r.labels) == 0 {
		return Clear
	}
	if !c.Proven {
		if !r.trustsAll(c.Opaque) {
			return Redact
		}
		c.Derived = true
	}
	k := Clear
	for _, s := range c.Sources {
		k = min(k, r.Source(s))
	}
	if c.Derived && k != Clear && k != Null || c.Mixed && k == Pseudonym {
		return Redact
	}
	return k
}

// Source returns how values of one source column (schema.table.column) are hidden.
func (r Rules) Source(column string) Kind {
	k, _ := r.source(column)
	return k
}

// Lookup reports whether equality with a constant is allowed on a source column.
// A column that is not hidden may be compared in any way.
func (r Rules) Lookup(column string) bool {
	k, lookup := r.source(column)
	return k == Clear || lookup
}

func (r Rules) source(column string) (Kind, bool) {
	if !r.made {
		return Redact, false
	}
	schema, rest, ok := strings.Cut(strings.ToLower(column), ".")
	table, column, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 {
		if len(r.labels) == 0 {
			return Clear, true
		}
		return Redact, false // a source that cannot be read is not proof
	}
	k, lookup := Clear, true
	for i := range r.labels {
		l := &r.labels[i]
		if glob(l.parts[2], column) && glob(l.parts[1], table) && glob(l.parts[0], schema) {
			k = min(k, l.Kind)
			lookup = lookup && l.Lookup
		}
	}
	return k, lookup
}

// glob matches s against a pattern whose * stands for any run of characters. It
// takes at most len(pattern) times len(s) steps.
func glob(pattern, s string) bool {
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0: // let the last star take one character more
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// String tells how many labels there are and whether values are looked at, and
// nothing of the key.
func (r Rules) String() string {
	if r.scanner != nil {
		return fmt.Sprintf("mask rules with %d labels and detectors", len(r.labels))
	}
	return fmt.Sprintf("mask rules with %d labels", len(r.labels))
}

// GoString is String, for %#v.
func (r Rules) GoString() string { return r.String() }

// Apply hides value v by kind k; nil stands for NULL. The result never shares
// memory with v unless k is Clear.
func (r Rules) Apply(k Kind, v []byte) []byte {
	_, shown := r.Append(nil, k, v)
	return shown
}

// Append is [Rules.Apply] in the memory of b, where that is large enough: all is b
// with what is shown at its end, if that took any memory.
func (r Rules) Append(b []byte, k Kind, v []byte) (all, shown []byte) {
	at := len(b)
	switch {
	case k == Clear && r.made:
		return b, v
	case k == Null:
		return b, nil
	case v == nil && k != Redact && k < Clear:
		return b, nil
	case k == Pseudonym && r.made && len(r.key) > 0:
		b = append(b, pseudonym(r.key, v)...)
	case k == Email:
		b = email(b, v)
	case k == Last4:
		b = last4(b, v)
	default:
		b = append(b, Redacted...)
	}
	return b, b[at:len(b):len(b)]
}

// pseudonym is eight letters of HMAC-SHA-256 (RFC 2104): forty bits, enough to
// tell people of one table apart and useless without the key.
func pseudonym(key, v []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(v)
	return []byte("~" + base32.StdEncoding.EncodeToString(h.Sum(nil)[:5]))
}

// email keeps the first letter and the domain. What has no single @ with text
// on both sides is not an address and is hidden whole.
func email(b, v []byte) []byte {
	name, domain, ok := bytes.Cut(v, []byte("@"))
	if !ok || len(name) == 0 || len(domain) == 0 || bytes.IndexByte(domain, '@') >= 0 || bytes.ContainsAny(v, " \t\r\n") || !utf8.Valid(v) {
		return append(b, Redacted...)
	}
	if _, size := utf8.DecodeRune(name); size < len(name) { // one letter would be the whole name
		b = append(b, name[:size]...)
	}
	return append(append(b, "***@"...), domain...)
}

// last4 keeps the last four letters or digits of a value that has at least
// eight, so that never more than half of it shows.
func last4(b, v []byte) []byte {
	if !utf8.Valid(v) {
		return append(b, Redacted...)
	}
	var kept [4]rune // the last ones, in a ring
	n := 0
	for i := 0; i < len(v); {
		c, size := utf8.DecodeRune(v[i:])
		i += size
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c > 0x7f {
			kept[n%4] = c
			n++
		}
	}
	b = append(b, Redacted...)
	if n < 8 {
		return b
	}
	for i := range kept {
		b = utf8.AppendRune(b, kept[(n+i)%4])
	}
	return b
}
