package bastion

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

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
	// By names the function (schema.name(types)) through which alone the column is
	// used, if there is one: who trusts the function need not mind the use.
	By string
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
}

// Operation is one thing that somebody wants done on a target, as the target's
// connector read it. Only a [Session] makes one, so its verb is never the
// caller's claim. The zero Operation is refused everywhere.
type Operation struct {
	target  Target
	intent  Intent
	text    string
	rows    int64 // the target's estimate, plus one; 0 if there is none
	session *Session
}

// Rows is the target's estimate of the rows that the operation touches, -1 if
// nobody asked or the target has none.
func (o Operation) Rows() int64 { return o.rows - 1 }

// Estimated returns the operation with an estimate of the rows that it touches;
// a negative one is none.
func (o Operation) Estimated(rows int64) Operation {
	o.rows = max(rows, -1) + 1
	return o
}

// Target returns the target on which the operation runs.
func (o Operation) Target() Target { return o.target.clone() }

// Text is the exact text that runs.
func (o Operation) Text() string { return o.text }

// Intent returns the connector's reading of the text.
func (o Operation) Intent() Intent {
	i := o.intent
	i.Actions, i.Outputs, i.Probes, i.Writes = slices.Clone(i.Actions), slices.Clone(i.Outputs), slices.Clone(i.Probes), slices.Clone(i.Writes)
	return i
}

// Recorded is the text as it may be recorded and shown in lists.
func (o Operation) Recorded() string {
	if o.intent.Record != "" {
		return o.intent.Record
	}
	return o.text
}

// Digest identifies what runs: target, text, and the settings that change the
// text's meaning. An approval binds it. The zero Operation has no digest.
func (o Operation) Digest() string {
	if o.intent.Verb == "" {
		return ""
	}
	h := sha256.New()
	for _, s := range []string{"operation/1", o.target.Name, o.target.Kind, o.target.Address, string(o.intent.Verb), o.intent.Settings, o.text} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil))
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
