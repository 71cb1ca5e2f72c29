package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Reason is why a sign-in ended without a binding.
type Reason string

// The reasons.
const (
	Denied      Reason = "denied"      // the person said no at the provider
	CodeExpired Reason = "expired"     // nobody signed in while the code was good
	Unreachable Reason = "unreachable" // no connection to the provider
	Slow        Reason = "slow"        // no answer from the provider in time
	Misbehaved  Reason = "misbehaved"  // an answer that no OpenID provider should give
	BadToken    Reason = "token"       // a token that does not prove who signed in
	Taken       Reason = "taken"       // the key belongs to another identity
	Locked      Reason = "locked"      // the person is locked out
	Ended       Reason = "ended"       // the client left, or the prompt could not be shown
	Failed      Reason = "failed"      // the binding could not be kept
)

// SignInError is why a sign-in ended without a binding, in a sentence for the
// person. It quotes neither tokens nor codes nor what the provider said.
type SignInError struct {
	Reason   Reason
	sentence string
	cause    error
}

// Error is the sentence.
func (e *SignInError) Error() string { return e.sentence }

// Unwrap is the cause, for the operator's log. It may quote the provider.
func (e *SignInError) Unwrap() error { return e.cause }

func fault(r Reason, cause error, format string, args ...any) *SignInError {
	return &SignInError{r, fmt.Sprintf(format, args...), cause}
}

// What a provider's answers are refused for.
var (
	errRedirect = errors.New("the provider answered with a redirect, which is not followed")
	errOversize = errors.New("the provider's answer is too large")
)

// transportFault says in words how an exchange with the provider failed.
func transportFault(ctx context.Context, err error) *SignInError {
	var timeout net.Error
	var mismatch *oidc.IssuerMismatchError
	var cert *tls.CertificateVerificationError
	var dial *net.OpError
	var name *net.DNSError
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return fault(Ended, err, "the sign-in was given up")
	case errors.As(err, &mismatch):
		return fault(Misbehaved, err, "the identity provider calls itself by another name than the one configured; tell whoever runs the bastion")
	case errors.Is(err, errRedirect):
		return fault(Misbehaved, err, "the identity provider answered with a redirect, which is not followed; tell whoever runs the bastion")
	case errors.Is(err, errOversize):
		return fault(Misbehaved, err, "the identity provider's answer is too large; tell whoever runs the bastion")
	case errors.As(err, &cert):
		return fault(Unreachable, err, "the identity provider's certificate cannot be verified; tell whoever runs the bastion")
	case errors.As(err, &name):
		return fault(Unreachable, err, "the identity provider's name cannot be resolved; try again later")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fault(Slow, err, "the identity provider takes too long to answer; try again later")
	case errors.As(err, &dial), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fault(Unreachable, err, "the identity provider cannot be reached; try again later")
	}
	return fault(Misbehaved, err, "the identity provider's answer makes no sense; try again later, or tell whoever runs the bastion")
}
