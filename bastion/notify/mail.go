package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// mostFromServer is how much a mail server may say in one conversation, in bytes,
// its certificates included.
const mostFromServer = 256 << 10

type mailer struct {
	Email
	voice voice
	host  string // of the server
	roots *x509.CertPool
	dial  dialer
}

func newMailer(e Email, v voice, dial dialer) (*mailer, error) {
	if err := CheckServer(e); err != nil {
		return nil, err
	}
	if err := CheckEmail(e.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	for _, a := range e.To {
		if err := CheckEmail(a); err != nil {
			return nil, fmt.Errorf("to: %w", err)
		}
	}
	e.To = slices.Clone(e.To)
	pool, err := authorities(e.CA)
	if err != nil {
		return nil, err
	}
	return &mailer{e, v, host(e.Server), pool, dial}, nil
}

// mailable reports whether a text is an address that mail can be sent to, and
// nothing else: no name, no comment, no second address, no line end.
func mailable(s string) bool {
	if len(s) > 254 {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`<>()[]\,;:"`, s[i]) >= 0 {
			return false
		}
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}

// recipients are the people to whom a note goes by mail, each once.
func (e *Email) recipients(n Note) []Recipient {
	var people []Recipient
	seen := map[string]bool{}
	add := func(r Recipient) {
		if a := strings.ToLower(r.Email); a != "" && !seen[a] {
			seen[a] = true
			people = append(people, Recipient{ID: clip(r.ID, keptName), Name: clip(r.Name, keptName), Email: clip(r.Email, keptName)})
		}
	}
	for _, r := range n.To {
		add(r)
	}
	for _, a := range e.To {
		add(Recipient{Email: a})
	}
	return people
}

func (m *mailer) send(ctx context.Context, p parcel) error {
	if p.to.Email == "" {
		return &failure{why: "nobody whom it concerns has an e-mail address", final: true}
	}
	if !mailable(p.to.Email) {
		return &failure{why: "the person's e-mail address cannot be used", final: true}
	}
	password := ""
	if m.User != "" {
		var err error
		if password, err = fetch(ctx, m.Password, "password"); err != nil {
			return err
		}
	}
	conn, err := m.dial(ctx, "tcp", m.Server)
	if err != nil {
		return failed("%s", reason(err))
	}
	defer conn.Close()
	// Whatever happens below, it ends with ctx, which has a deadline.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err = m.talk(&bounded{Conn: conn, left: mostFromServer}, password, p)
	if err != nil && ctx.Err() != nil {
		return failed("%s", reason(ctx.Err()))
	}
	return err
}

// talk delivers one mail over a connection.
func (m *mailer) talk(conn net.Conn, password string, p parcel) error {
	config := &tls.Config{ServerName: m.host, RootCAs: m.roots, MinVersion: tls.VersionTLS12}
	if m.TLS == Implicit {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return refused("its greeting", err)
	}
	if err := c.Hello(m.voice.greeting()); err != nil {
		return refused("EHLO", err)
	}
	if m.TLS == "" || m.TLS == STARTTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return failed("it does not offer STARTTLS, and without it no mail is sent")
		}
		if err := c.StartTLS(config); err != nil {
			return refused("STARTTLS", err)
		}
	}
	if m.User != "" {
		if _, ok := c.TLSConnectionState(); !ok {
			return failed("internal error: a password without TLS")
		}
		if ok, ways := c.Extension("AUTH"); !ok || !slices.Contains(strings.Fields(ways), "PLAIN") {
			return failed("it does not offer AUTH PLAIN")
		}
		if err := c.Auth(smtp.PlainAuth("", m.User, password, m.host)); err != nil {
			return refused("the password", err)
		}
	}
	if err := c.Mail(m.From); err != nil {
		return refused("the sender", err)
	}
	if err := c.Rcpt(p.to.Email); err != nil {
		return forGood(refused("the recipient", err), err)
	}
	w, err := c.Data()
	if err != nil {
		return refused("the mail", err)
	}
	if _, err := w.Write(m.compose(p)); err != nil {
		return refused("the mail", err)
	}
	if err := w.Close(); err != nil {
		return forGood(refused("the mail", err), err)
	}
	// It has the mail; how it says goodbye does not matter.
	_ = c.Quit()
	return nil
}

// greeting is the name for EHLO: a domain, or an address literal (RFC 5321,
// section 4.1.3).
func (v voice) greeting() string {
	ip := net.ParseIP(v.host)
	switch {
	case ip == nil:
		return v.host
	case ip.To4() != nil:
		return "[" + v.host + "]"
	}
	return "[IPv6:" + v.host + "]"
}

// refused says what a server did not take. Of its answer only the code is told.
func refused(what string, err error) *failure {
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return failed("it answered %03d to %s", e.Code%1000, what)
	}
	return failed("%s: %s", what, reason(err))
}

// forGood marks a refusal of this mail by a 5yz reply, which says not to repeat
// it (RFC 5321, section 4.2.1).
func forGood(f *failure, err error) *failure {
	if e, ok := errors.AsType[*textproto.Error](err); ok && e.Code/100 == 5 {
		f.final = true
	}
	return f
}

// compose writes a mail (RFC 5322) in seven bits, with short lines. Each text is
// one line already; words that are not ASCII are encoded (RFC 2047), so that no
// text can begin a header or end the mail.
func (m *mailer) compose(p parcel) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, fold(value)) }
	subject := p.title
	if p.gist != "" {
		subject += " (" + p.gist + ")"
	}
	header("From", (&mail.Address{Name: words(line(m.voice.name, 40)), Address: m.From}).String())
	header("To", (&mail.Address{Name: words(line(p.to.Name, 60)), Address: p.to.Email}).String())
	header("Subject", mime.QEncoding.Encode("utf-8", words(subject)))
	header("Date", p.At.UTC().Format(time.RFC1123Z))
	_, domain, _ := strings.Cut(m.From, "@")
	header("Message-ID", "<"+p.key+"@"+domain+">")
	header("Auto-Submitted", "auto-generated") // RFC 3834: no holiday answers
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	write := func(format string, args ...any) {
		// Into memory; it cannot fail.
		_, _ = fmt.Fprintf(q, format+"\n", args...)
	}
	write("%s\n", p.title)
	for _, f := range p.fields {
		write("%-12s %s", f.label+":", f.value)
	}
	for _, s := range p.steps {
		write("\n%s:\n    %s", s.what, s.command)
	}
	if p.end != "" {
		write("\n%s", p.end)
	}
	_ = q.Close()
	return b.Bytes()
}

// words takes apart what a reader would take for an encoded word, and so for
// characters that are not there to be seen.
func words(s string) string { return strings.ReplaceAll(s, "=?", "= ?") }

// fold breaks a header's value where a space stands, so that no line is longer
// than 78 characters if it can be helped (RFC 5322, section 2.2.3).
func fold(s string) string {
	var b strings.Builder
	length := 20 // the name of the header
	for i, word := range strings.Split(s, " ") {
		if i > 0 {
			if length+1+len(word) > 76 && word != "" {
				b.WriteString("\r\n")
				length = 0
			}
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// bounded is a connection whose other side may say only so much.
type bounded struct {
	net.Conn
	left int
}

func (c *bounded) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("it said too much")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
