package bastion

import (
	"errors"
	"sync/atomic"
)

// Purpose is what a permit is for. The zero Purpose is for nothing.
type Purpose uint8

// The purposes.
const (
	ForDial Purpose = iota + 1
	ForPreview
	ForDo
	// ForPrepare lets a target look at a text without running it.
	ForPrepare
	// ForTry lets a target do an operation that is taken back. The operation's request
	// need not be approved, and is not used.
	ForTry
)

// ErrPermit is returned for a permit that is zero, used, or for another purpose.
var ErrPermit = errors.New("internal error: no permit for this operation")

// Permit is proof that policy decided, that the decision is recorded and that
// those who had to approve did. Only [Session] makes one. It can be used once.
type Permit struct {
	op      *Operation
	purpose Purpose
	secret  Secret
	label   string
	person  string
	used    atomic.Bool
}

// Purpose is what the permit is for; nothing, if it is no permit.
func (p *Permit) Purpose() Purpose {
	if p == nil {
		return 0
	}
	return p.purpose
}

// Use takes the operation out of the permit, for one purpose, once.
func (p *Permit) Use(purpose Purpose) (Operation, error) {
	if p == nil || purpose == 0 || p.purpose != purpose || p.op == nil || p.op.session == nil || !p.used.CompareAndSwap(false, true) {
		return Operation{}, ErrPermit
	}
	return *p.op, nil
}

// Secret is the target's credential, in a permit for dialing.
func (p *Permit) Secret() Secret { return p.secret }

// Person is the identity for whom the permit is, in a permit for dialing.
func (p *Permit) Person() string { return p.person }

// Label names person and session for the target's own logs, in a permit for dialing.
func (p *Permit) Label() string { return p.label }
