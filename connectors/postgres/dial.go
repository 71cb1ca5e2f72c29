package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/sallyport/sallyport/bastion"
)

// maxMessage is the largest message that a target may send, in bytes: one row.
const maxMessage = 64 << 20

// Dial implements [bastion.Connector].
func (k Connector) Dial(ctx context.Context, p *bastion.Permit) (bastion.Conn, error) {
	op, err := p.Use(bastion.ForDial)
	if err != nil {
		return nil, err
	}
	t := op.Target()
	s, err := read(t)
	if err != nil {
		return nil, err
	}
	user, password := p.Secret().Reveal()
	main, err := s.config(user, password, p.Label())
	if err != nil {
		return nil, err
	}
	c := &Conn{reading: reading{target: t, person: p.Person(), database: main.Database, source: k.sources.of(t, main), cursors: map[string]cursor{}}}
	c.session.Prepared = c.named
	main.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler { return &canceller{conn: conn} }
	main.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { c.notice(n) }
	if c.main, err = pgconn.ConnectConfig(ctx, main); err != nil {
		return nil, errors.Join(reaching(ctx, err), c.Close())
	}
	if err := c.settle(ctx); err != nil {
		return nil, errors.Join(reaching(ctx, err), c.Close())
	}
	return c, nil
}

// config says how to connect: by the target's options and the secret alone.
func (s settings) config(user, password, label string) (*pgconn.Config, error) {
	// Only ParseConfig makes a Config, and it looks at the environment. What it
	// finds there is thrown away: every field is set below.
	c, err := pgconn.ParseConfig("host=127.0.0.1 port=5432 user=nobody password=none database=none sslmode=disable target_session_attrs=any")
	if err != nil {
		return nil, errors.New("the bastion's environment holds variables for PostgreSQL clients (PGSERVICE and the like) that cannot be read; unset them")
	}
	verify, err := s.tls()
	if err != nil {
		return nil, err
	}
	*c = *c.Copy()
	c.Host, c.Port, c.Database, c.User, c.Password = s.host, s.port, s.database, user, password
	c.TLSConfig, c.Fallbacks, c.SSLNegotiation, c.SSLCertMode = verify, nil, "", "disable"
	c.ConnectTimeout = s.timeout
	c.DialFunc = (&net.Dialer{Timeout: s.timeout, KeepAlive: 30 * time.Second}).DialContext
	c.LookupFunc = net.DefaultResolver.LookupHost
	c.MaxProtocolMessageBodyLen = maxMessage
	c.KerberosSrvName, c.KerberosSpn = "", ""
	c.AfterNetConnect, c.ValidateConnect, c.AfterConnect = nil, nil, nil
	c.OnNotification, c.OnNotice, c.OAuthTokenProvider = nil, nil, nil
	c.MinProtocolVersion, c.MaxProtocolVersion, c.ChannelBinding = "3.0", "3.0", "prefer"
	// Who has not proved to be the target gets no password to read or to crack.
	c.RequireAuth = "scram-sha-256"
	if strings.HasPrefix(s.mode, "verify-") {
		c.RequireAuth = ""
	}
	c.RuntimeParams = map[string]string{
		"application_name":            applicationName(label),
		"client_encoding":             "UTF8",
		"standard_conforming_strings": "on",
		"backslash_quote":             "safe_encoding",
		"datestyle":                   "ISO, MDY",
		"intervalstyle":               "postgres",
		"extra_float_digits":          "1",
		"bytea_output":                "hex",
	}
	return c, nil
}

// tls says how to verify the server; nil means no TLS.
func (s settings) tls() (*tls.Config, error) {
	if s.mode == "disable" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.host}
	if s.ca != nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(s.ca) {
			return nil, fmt.Errorf("option %q: the file holds no certificate in PEM", optionCA)
		}
	}
	if s.mode == "verify-full" {
		return c, nil
	}
	c.InsecureSkipVerify = true // sslmode=require asks for encryption alone
	if s.mode == "verify-ca" {
		roots := c.RootCAs
		c.VerifyConnection = func(cs tls.ConnectionState) error { // the chain, whatever the name
			o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, cert := range cs.PeerCertificates[1:] {
				o.Intermediates.AddCert(cert)
			}
			_, err := cs.PeerCertificates[0].Verify(o)
			return err
		}
	}
	return c, nil
}

// labelled is a label with the name of a program after it.
func labelled(label, program string) string {
	if program == "" {
		return label
	}
	return applicationName(label + " " + program)
}

// applicationName makes a label fit for application_name: printable ASCII, and at
// most the 63 bytes that PostgreSQL keeps.
func applicationName(label string) string {
	var b strings.Builder
	for _, r := range label {
		if r < ' ' || r > '~' {
			r = '?'
		}
		b.WriteRune(r)
		if b.Len() == 63 {
			break
		}
	}
	return b.String()
}

// canceller cancels on the server when a context ends, and gives it time to
// answer, so that the connection stays usable.
type canceller struct {
	conn *pgconn.PgConn
	done chan struct{} // closed when the request for cancelling is through
}

const (
	cancelTimeout = 5 * time.Second  // for the request to reach the server
	drainTimeout  = 15 * time.Second // for the server to stop; then the connection is given up
)

func (c *canceller) HandleCancel(context.Context) {
	// A deadline cannot fail to be set on an open connection, and a closed one needs none.
	_ = c.conn.Conn().SetDeadline(time.Now().Add(drainTimeout))
	c.done = make(chan struct{})
	go func() { // HandleUnwatchAfterCancel waits for it
		defer close(c.done)
		ctx, stop := context.WithTimeout(context.Background(), cancelTimeout)
		defer stop()
		// If it does not get through, the deadline ends the statement.
		_ = c.conn.CancelRequest(ctx)
	}()
}

func (c *canceller) HandleUnwatchAfterCancel() {
	<-c.done
	_ = c.conn.Conn().SetDeadline(time.Time{})
}
