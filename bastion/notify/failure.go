package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Limits of one attempt.
const (
	patience = 30 * time.Second // for all of it
	dialing  = 10 * time.Second
)

// sender delivers to one channel. An error is a *failure: it tells why in our own
// words, because errors of the network quote URLs, and servers say what they like.
type sender interface {
	send(ctx context.Context, l parcel) error
}

// parcel is what a sender gets.
type parcel struct {
	Note
	message
	bastion string // what it calls itself
	key     string // the same each time that this note goes to this channel
	to      Recipient
}

// failure is why something was not delivered.
type failure struct {
	why   string
	final bool          // to try again is of no use
	after time.Duration // do not try again before; 0 if the server did not say
}

func (f *failure) Error() string { return f.why }

func failed(format string, args ...any) *failure { return &failure{why: fmt.Sprintf(format, args...)} }

// reason says why a connection failed, in words that hold nothing of it.
func reason(err error) string {
	if errors.Is(err, errLinkLocal) {
		return errLinkLocal.Error()
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name of its server cannot be resolved"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is of an authority that is not known"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is for another name"
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "its certificate is not valid"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate cannot be verified"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS"
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "it did not answer in time"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it closed the connection"
	}
	return "the connection failed, or it does not speak the protocol"
}

// dialer connects to host:port.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

var errLinkLocal = errors.New("its name resolves to a link-local or multicast address, which is only used if the configuration has the address itself")

// dial connects. A name that leads to a link-local address, where clouds answer
// questions about the machine's own credentials, is refused.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialing}
	if host, _, err := net.SplitHostPort(address); err != nil || !literal(host) {
		d.Control = func(_, resolved string, _ syscall.RawConn) error { return guard(resolved) }
	}
	return d.DialContext(ctx, network, address)
}

// guard says whether a name may lead to an address.
func guard(resolved string) error {
	a, err := netip.ParseAddrPort(resolved)
	if ip := a.Addr().Unmap(); err != nil || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return errLinkLocal
	}
	return nil
}

func literal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
