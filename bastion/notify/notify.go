// Package notify tells people outside of their sessions what happened to
// requests: by a signed webhook, Slack, Microsoft Teams and e-mail.
//
// What is to be told is put into an outbox, in the transaction in which it
// happens, and leaves it once a channel has taken it: at least once, also when
// the bastion is killed between the two. A notification carries no secret, no
// text of a statement and no parameter, and nobody approves by one: it says what
// to type into an authenticated session.
package notify

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/vault"
)

// Kind is what a note tells. The zero Kind tells nothing and is refused.
type Kind string

// The kinds of note.
const (
	Request   Kind = "request"   // something waits for approval
	Approved  Kind = "approved"  // it was approved
	Denied    Kind = "denied"    // it was denied
	Comment   Kind = "comment"   // somebody has something to say about it
	Used      Kind = "used"      // the approval was used
	EndsSoon  Kind = "ends-soon" // what was granted is about to end
	Expired   Kind = "expired"   // nobody approved it in time, or what was granted has ended
	Withdrawn Kind = "withdrawn" // the requester took it back
	Revoked   Kind = "revoked"   // it was approved, and ended before its time
	Emergency Kind = "emergency" // somebody took emergency access; no filter holds it up
	Review    Kind = "review"    // the use of an emergency waits for somebody to look at it
	Reviewed  Kind = "reviewed"  // somebody looked at it
)

// Kinds are all kinds, in the order in which they happen.
func Kinds() []Kind {
	return []Kind{Request, Approved, Denied, Comment, Used, EndsSoon, Expired, Withdrawn, Revoked, Emergency, Review, Reviewed}
}

// Note is something that people should hear of. All its texts may come from
// anybody: they are made harmless for each medium when they are sent, and what
// is too long is cut.
type Note struct {
	Kind    Kind   `json:"kind"`
	Request uint64 `json:"request,omitempty"` // its number; 0 if there is none
	Target  string `json:"target,omitempty"`
	Who     string `json:"who,omitempty"`     // the requester's name
	By      string `json:"by,omitempty"`      // name of who did what is told; empty for the bastion itself
	Of      uint64 `json:"of,omitempty"`      // of a review: the number of the emergency
	Finding bool   `json:"finding,omitempty"` // a review found that something was wrong
	// Summary is the verb and what it is done to, never the text of a statement.
	Summary string `json:"summary,omitempty"`
	Reason  string `json:"reason,omitempty"` // the requester's
	Needs   string `json:"needs,omitempty"`  // whose approval, such as "2 approvals by a reviewer"
	// To are the people whom it concerns: of a request, those who can decide it.
	To      []Recipient `json:"to,omitempty"`
	At      time.Time   `json:"at"`
	Expires time.Time   `json:"expires,omitzero"` // end of waiting, or of access
}

// Recipient is a person. One without an e-mail address gets no e-mail.
type Recipient struct {
	ID    string `json:"id,omitempty"` // of the identity: issuer and subject
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// Channel is a place where people hear of notes. Exactly one of Webhook, Slack,
// Teams and Email is set.
type Channel struct {
	Name string
	// Kinds are those that it is told; none means all. It is told of emergencies
	// in any case.
	Kinds []Kind
	// Targets are the names of those whose notes it is told; nil means all, and
	// notes without a target. It is told of emergencies in any case.
	Targets []string

	Webhook *Webhook
	Slack   *Slack
	Teams   *Teams
	Email   *Email
}

// Webhook gets a signed JSON object with POST. See the folder's README.
type Webhook struct {
	URL string // https, or http on this machine
	// From is where the URL is, instead of URL, if whoever knows it may use it.
	From   vault.Source
	Secret vault.Source // the key of the signature; at least 24 bytes
	CA     string       // PEM file of the authority of its certificate; empty for the system's
}

// Slack is an incoming webhook of Slack.
type Slack struct {
	URL vault.Source // a secret by itself
}

// Teams is a workflow of Microsoft Teams that begins with a webhook request.
type Teams struct {
	URL vault.Source // a secret by itself
}

// Email sends one plain text mail to each person.
type Email struct {
	Server   string // host:port
	TLS      TLS
	From     string       // address
	User     string       // none: the server takes mail without authentication
	Password vault.Source // of the user; sent over TLS only
	To       []string     // addresses that get everything, beside the people of a note
	CA       string       // PEM file of the authority of its certificate; empty for the system's
}

// TLS is how a connection to a mail server is protected.
type TLS string

// The ways to protect it. The zero TLS is STARTTLS.
const (
	STARTTLS TLS = "starttls" // RFC 3207, and never without it
	Implicit TLS = "implicit" // from the first byte (RFC 8314, section 3.3)
	NoTLS    TLS = "none"     // only to this machine, without a password
)

// Config is what an outbox is made of. DB and Log are needed, and Address if
// there is a channel.
type Config struct {
	DB *store.DB
	// Log gets failures, for the operator: the channel, the kind, the number of the
	// request and why. Never an address, a URL or anything that a server said.
	Log *slog.Logger
	// Name is what the bastion calls itself to people.
	Name string
	// Address is what people type after ssh: host or host:port.
	Address  string
	Channels []Channel
}

// Outbox keeps notes until they are delivered. It is safe for concurrent use.
type Outbox struct {
	db       *store.DB
	log      *slog.Logger
	voice    voice
	channels []*channel
	wake     chan struct{} // holds one token while there may be something new

	running sync.Mutex // held by Run

	mu    sync.Mutex // guards tally
	tally map[string]*tally
}

// channel is a channel with what sends to it.
type channel struct {
	Channel
	send sender
}

// New makes an outbox over the notes in the store. It reads no secret and
// delivers nothing before Run.
func New(c Config) (*Outbox, error) { return open(c, dial) }

func open(c Config, dial dialer) (*Outbox, error) {
	if c.DB == nil || c.Log == nil {
		return nil, errors.New("internal error: an outbox needs a store and a log")
	}
	o := &Outbox{db: c.DB, log: c.Log, wake: make(chan struct{}, 1), tally: map[string]*tally{}}
	if len(c.Channels) == 0 {
		return o, nil
	}
	if err := CheckAddress(c.Address); err != nil {
		return nil, fmt.Errorf("notify: address: %w", err)
	}
	o.voice = voice{name: c.Name, ssh: command(c.Address), host: host(c.Address)}
	for _, ch := range c.Channels {
		if ch.Name == "" || o.tally[ch.Name] != nil {
			return nil, fmt.Errorf("notify: channel %q: a channel needs a name of its own", ch.Name)
		}
		send, err := newSender(ch, o.voice, dial)
		if err != nil {
			return nil, fmt.Errorf("notify: channel %q: %w", ch.Name, err)
		}
		ch.Kinds = slices.Clone(ch.Kinds)
		if ch.Targets != nil {
			ch.Targets = append([]string{}, ch.Targets...)
		}
		o.channels = append(o.channels, &channel{ch, send})
		o.tally[ch.Name] = &tally{}
	}
	return o, nil
}

// newSender makes what sends to a channel, or says what is wrong with it.
func newSender(c Channel, v voice, dial dialer) (sender, error) {
	var made []sender
	var err error
	for _, k := range c.Kinds {
		if !slices.Contains(Kinds(), k) {
			return nil, fmt.Errorf("there is no kind %q", k)
		}
	}
	if c.Webhook != nil {
		var w *webhook
		w, err = newWebhook(*c.Webhook, dial)
		made = append(made, w)
	}
	if c.Slack != nil {
		made = append(made, &slack{c.Slack.URL, newWeb(dial, nil)})
	}
	if c.Teams != nil {
		made = append(made, &teams{c.Teams.URL, newWeb(dial, nil)})
	}
	if c.Email != nil {
		var m *mailer
		m, err = newMailer(*c.Email, v, dial)
		made = append(made, m)
	}
	if len(made) != 1 {
		return nil, errors.New("want exactly one of webhook, slack, teams and email")
	}
	return made[0], err
}

// CheckAddress says what is wrong with the address of the bastion that people
// type after ssh: it becomes a part of a command that they copy.
func CheckAddress(s string) error {
	wrong := errors.New("want the host that people type after ssh, such as bastion.example.com, or host:port")
	h := s
	if strings.Contains(s, ":") {
		var port string
		var err error
		if h, port, err = net.SplitHostPort(s); err != nil {
			return wrong
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return wrong
		}
	}
	if _, err := netip.ParseAddr(h); err == nil && !strings.Contains(h, "%") {
		return nil
	}
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
	if h == "" || len(h) > 253 || !letter(h[0]) {
		return wrong
	}
	for i := range len(h) {
		if !letter(h[i]) && h[i] != '-' && h[i] != '.' && h[i] != '_' {
			return wrong
		}
	}
	return nil
}

// host is the host of an address that was checked.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// command is the beginning of what people type.
func command(address string) string {
	if h, port, err := net.SplitHostPort(address); err == nil && port != "22" {
		return "ssh -p " + port + " " + h
	}
	return "ssh " + host(address)
}

// CheckURL says what is wrong with the URL of a webhook, without repeating it.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "":
		return errors.New("want an address such as https://example.com/hook")
	case u.User != nil:
		return errors.New("want an address without user and password")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return errors.New("want https; http is for a server on this machine only")
	}
	return nil
}

// CheckEmail says what is wrong with an e-mail address: want one without a name,
// in ASCII (RFC 5321, section 4.1.2; without SMTPUTF8), of at most 254 bytes.
func CheckEmail(s string) error {
	if !mailable(s) {
		return errors.New("want an e-mail address such as someone@example.com")
	}
	return nil
}

// CheckServer says what is wrong with the server of an e-mail channel.
func CheckServer(e Email) error {
	h, port, err := net.SplitHostPort(e.Server)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || CheckAddress(e.Server) != nil {
		return errors.New("server: want host:port, such as smtp.example.com:587")
	}
	switch e.TLS {
	case "", STARTTLS, Implicit:
	case NoTLS:
		if !loopback(h) {
			return errors.New("tls: none is for a server on this machine only")
		}
		if e.User != "" {
			return errors.New("tls: a password is not sent without it")
		}
	default:
		return errors.New("tls: want starttls, implicit or none")
	}
	if (e.User == "") != e.Password.IsZero() {
		return errors.New("user and password belong together")
	}
	return nil
}

// loopback reports whether a host is this machine, by name or by address.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// authorities reads a PEM file of certificates; nil means the system's.
func authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading its authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("its authority %s holds no certificate", path)
	}
	return pool, nil
}

// clip cuts a text to so many characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n++; n == most && utf8.RuneCountInString(s[i:]) > 1 {
			return s[:i] + "…"
		}
	}
	return s
}
