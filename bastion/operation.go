package bastion

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion/mask"
)

// MaxText is the largest text of one operation, in bytes.
const MaxText = 1 << 20

// Verb is what an operation does, in the words of its connector: "select",
// "update", "delete-all". The zero Verb names nothing, so no rule can allow it.
type Verb string

// Connect is the verb of opening a target. All connectors share it.
const Connect Verb = "connect"

// VerbInfo describes a verb for people who write policy.
type VerbInfo struct {
	Verb  Verb
	Doc   string
	Write bool // changes something on the target
	Whole bool // if it fails, nothing of it lasts
}

// Action is one thing that an operation does to one resource. An operation
// with several actions needs all of them allowed.
type Action struct {
	Verb     Verb   `json:"verb"`
	Resource string `json:"resource,omitempty"` // such as public.customers; empty for the target itself
}

// Probe is a use of a source column other than showing it: in a filter, an
// order, a group. A patient person can read a hidden column through those.
type Probe struct {
	Column string // schema.table.column
	// Equality tells that the column is only compared for equality with a
	// constant or a parameter, or with another column whose values are hidden.
	Equality bool
	// With, where Equality is set, says that the column is compared with another one and
	// nothing else: the names of that, schema.table.column, a zero byte between two.
	With string
	// Order says, where With is set, what the order of the answer's rows can tell: the
	// target may find equal values by sorting them.
	Order RowOrder
	// Check says that the target looks at the column by itself, to keep a constraint: the
	// text does not name it.
	Check bool
	// By names the function (schema.name(types)) through which alone the column is
	// used, if there is one: who trusts the function need not mind the use.
	By string
	// Why tells people why the column is not known, where the text most likely has a
	// wrong name; empty if there is nothing to say.
	Why string
}

// RowOrder is what can be known from the order of an answer's rows.
type RowOrder uint8

// The orders. The zero RowOrder is the worst.
const (
	// Telling: rows may come in the order of a column's values, and that shows in more
	// than their order, such as a LIMIT or their numbers.
	Telling RowOrder = iota
	// Scattered: rows may come in the order of a column's values; put in another order
	// they tell nothing of them.
	Scattered
	// Settled: the order comes from elsewhere.
	Settled
)

// Paired reports whether the column is compared for equality with nothing but a column
// that the rules hide as well, so that nothing shows but which of their values are
// equal. The rows may have to be scattered.
func (p Probe) Paired(rules mask.Rules) bool {
	return p.Equality && p.With != "" && p.Order != Telling && hidesOne(rules, p.With)
}

// Tells reports whether the order of rows may tell values of the column, though it is
// only compared for equality with another hidden column.
func (p Probe) Tells(rules mask.Rules) bool {
	return p.With != "" && p.Order == Telling && hidesOne(rules, p.With)
}

func hidesOne(rules mask.Rules, columns string) bool {
	for c := range strings.SplitSeq(columns, "\x00") {
		if rules.Source(c) != mask.Clear {
			return true
		}
	}
	return false
}

// scatters reports whether the rows must not be shown in the order in which they come.
func (o Operation) scatters(rules mask.Rules) bool {
	if rules.HidesNothing() {
		return false
	}
	return slices.ContainsFunc(o.intent.Probes, func(p Probe) bool {
		return p.With != "" && p.Order != Settled && rules.Source(p.Column) != mask.Clear && hidesOne(rules, p.With)
	})
}

// Intent is a connector's reading of a text: all that the text can do.
type Intent struct {
	Verb    Verb     // the strongest of the actions, for people and for logs
	Actions []Action // all of them; an intent without actions is refused
	// Outputs describes the columns of the answer, in order. Nil means unknown.
	Outputs []mask.Column
	Probes  []Probe
	// Writes are the columns that the text sets, as schema.table.column.
	Writes []string
	// Settings names the target's session settings that change what the text
	// means, such as the role and the search path. They are part of the digest.
	Settings string
	// Summary is the effect in a few words: "update of public.customers, with WHERE".
	Summary string
	// Record is the text as it may be recorded, where it holds a secret such as
	// a new password; empty if it is fit to be recorded as it is.
	Record string
	// Fails is why the target would refuse the text, as far as the connector can tell;
	// nil if it knows of nothing. Nobody is asked to approve such a text, and whom policy
	// would refuse hears it too. Where policy allows it, the target says so itself.
	Fails error
}

// Params are the parameters that a text runs with. The zero Params are none.
type Params struct {
	// Bytes is all of them as the target gets them. It is part of the digest.
	Bytes []byte
	// Shown is the same for people, one for each parameter.
	Shown []string
}

// Operation is one thing that somebody wants done on a target, as the target's
// connector read it. Only a [Session] makes one, so its verb is never the
// caller's claim. The zero Operation is refused everywhere.
type Operation struct {
	target  Target
	intent  Intent
	text    string
	params  Params
	rows    int64 // the target's estimate, plus one; 0 if there is none
	asked   bool  // the target was asked for one
	session *Session
	digest  string // if it was computed already
}

// Rows is the target's estimate of the rows that the operation touches, -1 if
// nobody asked or the target has none.
func (o Operation) Rows() int64 { return o.rows - 1 }

// Asked reports whether the target was asked for an estimate, whatever it said.
func (o Operation) Asked() bool { return o.asked }

// Estimated returns the operation with an estimate of the rows that it touches;
// a negative one is none.
func (o Operation) Estimated(rows int64) Operation {
	o.rows, o.asked = max(rows, -1)+1, true
	return o
}

// Target returns the target on which the operation runs.
func (o Operation) Target() Target { return o.target.clone() }

// Is reports whether the operation runs on the target of that name, kind and labels.
func (o Operation) Is(t Target) bool {
	return o.target.Name == t.Name && o.target.Kind == t.Kind && maps.Equal(o.target.Labels, t.Labels)
}

// TargetName is the name of the target on which the operation runs.
func (o Operation) TargetName() string { return o.target.Name }

// AppendActions adds the actions of the intent to a slice, for those who need no
// more of it.
func (o Operation) AppendActions(as []Action) []Action { return append(as, o.intent.Actions...) }

// AppendProbes adds the probes of the intent to a slice.
func (o Operation) AppendProbes(ps []Probe) []Probe { return append(ps, o.intent.Probes...) }

// Text is the exact text that runs.
func (o Operation) Text() string { return o.text }

// Intent returns the connector's reading of the text.
func (o Operation) Intent() Intent {
	i := o.intent
	i.Actions, i.Outputs, i.Probes, i.Writes = slices.Clone(i.Actions), slices.Clone(i.Outputs), slices.Clone(i.Probes), slices.Clone(i.Writes)
	return i
}

// On reports whether the operation runs on the target as it is given.
func (o Operation) On(t Target) bool {
	return o.target.Name == t.Name && o.target.Address == t.Address && o.target.Kind == t.Kind
}

// Outputs is Intent().Outputs, shared: it must not be changed.
func (o Operation) Outputs() []mask.Column { return o.intent.Outputs }

// Means reports whether a new reading of the text says nothing that the
// operation's own did not, when it was decided.
func (o Operation) Means(now Intent) bool {
	return now.Settings == o.intent.Settings && slices.Equal(now.Actions, o.intent.Actions) &&
		!slices.ContainsFunc(now.Probes, func(p Probe) bool {
			return !slices.ContainsFunc(o.intent.Probes, func(d Probe) bool {
				return d == p || d.Column == p.Column && d.By == p.By && !d.Equality
			})
		}) && !slices.ContainsFunc(now.Writes, func(w string) bool { return !slices.Contains(o.intent.Writes, w) }) &&
		slices.EqualFunc(now.Outputs, o.intent.Outputs, mask.Column.Within)
}

// Params are the parameters that the text runs with.
func (o Operation) Params() Params { return o.params }

// recordedParams are the parameters as they may be recorded. If one of them may
// meet a hidden column, all are hidden: which of them does is not known.
func (o Operation) recordedParams(rules mask.Rules) []string {
	if len(o.params.Shown) == 0 {
		return nil
	}
	hidden := func(column string) bool { return rules.Source(column) != mask.Clear }
	if o.intent.Record != "" || slices.ContainsFunc(o.intent.Writes, hidden) ||
		slices.ContainsFunc(o.intent.Probes, func(p Probe) bool { return hidden(p.Column) }) {
		return slices.Repeat([]string{mask.Redacted}, len(o.params.Shown))
	}
	return o.params.Shown
}

// Recorded is the text as it may be recorded and shown in lists.
func (o Operation) Recorded() string {
	if o.intent.Record != "" {
		return o.intent.Record
	}
	return o.text
}

// Digest identifies what runs: target, text, parameters, and the settings that
// change the text's meaning. An approval binds it. The zero Operation has no digest.
func (o Operation) Digest() string {
	if o.intent.Verb == "" || o.digest != "" {
		return o.digest
	}
	var few [1 << 10]byte // most operations are shorter
	b := few[:0]
	for _, s := range [...]string{"operation/2", o.target.Name, o.target.Kind, o.target.Address, string(o.intent.Verb), o.intent.Settings, o.text} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
	}
	b = append(binary.BigEndian.AppendUint64(b, uint64(len(o.params.Bytes))), o.params.Bytes...)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Plan makes an operation that can be decided upon but never run: for `check
// --explain` and for policy tests. No session accepts it.
func Plan(t Target, text string, i Intent) Operation {
	return Operation{target: t.clone(), intent: i, text: text}
}

// check refuses what no connector should produce.
func (i Intent) check() error {
	if i.Verb == "" || len(i.Actions) == 0 {
		return fmt.Errorf("internal error: connector read a text into nothing")
	}
	for _, a := range i.Actions {
		if a.Verb == "" {
			return fmt.Errorf("internal error: connector read a text into an unnamed action")
		}
	}
	return nil
}
