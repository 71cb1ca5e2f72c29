package bastion

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers branch on.
var (
	// ErrEnded is the cause of everything that stops because the session ended.
	ErrEnded = errors.New("the session has ended")
	// ErrRecorder ends a session whose recording cannot be written.
	ErrRecorder = errors.New("the recording cannot be written, so this session ends; nothing more reaches the target or you")
	// ErrExpired says that the binding of the key has ended.
	ErrExpired = errors.New("your sign-in has expired; connect again to sign in")
	// ErrNotFound is the answer for what does not exist and for what one may not see.
	ErrNotFound = errors.New("not found, or not yours to see")
	// ErrReason asks for the reason that an approver will read.
	ErrReason = errors.New("this needs approval, and approvers want a reason")
)

// DeniedError is a refusal by policy.
type DeniedError struct {
	Rule   string
	Reason string
	Next   string
}

func (e *DeniedError) Error() string {
	s := "refused"
	if e.Rule != "" {
		s += " by rule " + e.Rule
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// ChoiceError says that somebody holds roles that nobody may hold together, and has
// to choose in which one of them to act before they can do anything.
type ChoiceError struct {
	Rule   string
	Roles  []string // those to choose from
	Reason string
}

func (e *ChoiceError) Error() string {
	s := fmt.Sprintf("refused by rule %s: you hold the roles %s, which nobody may hold together", e.Rule, strings.Join(e.Roles, " and "))
	if e.Reason != "" {
		s += "; " + e.Reason
	}
	return s + "; choose the one in which you act until you sign in again: ssh bastion act " + strings.Join(e.Roles, ", or ssh bastion act ")
}

// StaleError says that the operation wants a fresher sign-in.
type StaleError struct{ Max time.Duration }

func (e *StaleError) Error() string {
	return fmt.Sprintf("this needs a sign-in less than %s old; sign in again", Span(e.Max))
}

// NotApprovedError says how a request ended without approval, or that its approval is
// no more.
type NotApprovedError struct{ Request Request }

func (e *NotApprovedError) Error() string { return e.Request.End() }

// ParseError says why a text could not be read. It speaks of the person's own text.
type ParseError struct {
	Message  string
	Code     string // such as an SQLSTATE; empty where the text breaks the language's rules
	Position int    // in characters from 1; 0 if not known
	Next     string // what to do instead; may be empty
}

func (e *ParseError) Error() string {
	if e.Next != "" {
		return e.Message + "; " + e.Next
	}
	return e.Message
}

// TargetError is the target's own error. Summary carries no data of the target;
// Detail may, so Run drops it where anything of the target is hidden.
type TargetError struct {
	Code     string // such as an SQLSTATE
	Summary  string
	Detail   string
	Position int // in characters from 1 in the operation's text; 0 if not known
	// Lost says that the connection is of no more use. The session forgets it, so
	// that opening the target again connects anew.
	Lost bool
	// Native is the error in the target's own protocol, for clients that speak it;
	// dropped like Detail.
	Native []byte
	// Named is what of Native, as that has it, only names things of the target's, such
	// as a table and a constraint. It is kept where Native is dropped.
	Named []byte
}

func (e *TargetError) Error() string {
	s := e.Summary
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}
