package notify_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// post is a small mail server (RFC 5321) that does what a test tells it to.
type post struct {
	implicit bool              // TLS from the first byte
	offers   string            // extensions, by a space; STARTTLS only before it
	answers  map[string]string // by the beginning of a command, instead of what is right
	tls      *tls.Config

	address, ca string
	got         chan letter

	mu    sync.Mutex
	heard []string // commands
}

// letter is a mail that a server took.
type letter struct {
	from, to string
	auth     string
	secure   bool
	data     []byte
}

const (
	mailUser     = "bastion"
	mailPassword = "hunter2 pässword"
)

func (p *post) start(t *testing.T) *post {
	t.Helper()
	s := httptest.NewTLSServer(nil) // for its certificate
	p.tls = &tls.Config{Certificates: s.TLS.Certificates}
	p.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(p.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Close()
	p.got = make(chan letter, 100)
	p.address = listen(t, p.serve)
	return p
}

func (p *post) commands() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.heard)
}

// serve has one conversation.
func (p *post) serve(conn net.Conn) {
	var now letter
	if p.implicit {
		conn = tls.Server(conn, p.tls)
		now.secure = true
	}
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	if a, ok := p.answers["greeting"]; ok {
		say("%s", a)
	} else {
		say("220 mail.example.com ESMTP")
	}
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return
		}
		text = strings.TrimRight(text, "\r\n")
		verb := strings.ToUpper(strings.SplitN(text, " ", 2)[0])
		p.mu.Lock()
		p.heard = append(p.heard, verb)
		p.mu.Unlock()
		if a, ok := p.answers[verb]; ok {
			say("%s", a)
			if verb != "STARTTLS" {
				continue
			}
		}
		switch verb {
		case "EHLO":
			var lines []string
			for _, e := range strings.Split(p.offers, ",") {
				if e != "" && !(now.secure && e == "STARTTLS") {
					lines = append(lines, e)
				}
			}
			say("250-mail.example.com at your service")
			for _, l := range lines {
				say("250-%s", l)
			}
			say("250 8BITMIME")
		case "STARTTLS":
			if _, own := p.answers[verb]; !own {
				say("220 go ahead")
			}
			c := tls.Server(conn, p.tls)
			conn, in, now.secure = c, bufio.NewReader(c), true
			say = func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
		case "AUTH":
			b, _ := base64.StdEncoding.DecodeString(text[strings.LastIndex(text, " ")+1:])
			if now.auth = string(b); now.auth != "\x00"+mailUser+"\x00"+mailPassword {
				say("535 own words")
				continue
			}
			say("235 welcome")
		case "MAIL":
			now.from = text
			say("250 ok")
		case "RCPT":
			now.to = text
			say("250 ok")
		case "DATA":
			say("354 go ahead")
			now.data = nil
			for {
				l, err := in.ReadBytes('\n')
				if err != nil {
					return
				}
				if string(l) == ".\r\n" {
					break
				}
				now.data = append(now.data, bytes.TrimPrefix(l, []byte("."))...)
			}
			if a, ok := p.answers["sent"]; ok {
				say("%s", a)
				continue
			}
			p.got <- now
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 no")
		}
	}
}

func (p *post) channel(t *testing.T, change func(*notify.Email)) notify.Channel {
	e := &notify.Email{Server: p.address, From: "bastion@example.com", User: mailUser, Password: secret(t, mailPassword), CA: p.ca}
	if p.implicit {
		e.TLS = notify.Implicit
	}
	if change != nil {
		change(e)
	}
	return notify.Channel{Name: "mail", Email: e}
}

// One mail to each person who can decide, and to the addresses of the channel.
func TestMail(t *testing.T) {
	for _, p := range []*post{
		{offers: "STARTTLS,AUTH LOGIN PLAIN"},
		{offers: "STARTTLS,AUTH LOGIN PLAIN", implicit: true},
	} {
		p.start(t)
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, p.channel(t, func(e *notify.Email) { e.To = []string{"Security@example.com", "RITA@example.com"} })).run()
		n := asked(17)
		n.To = append(n.To, notify.Recipient{Name: "axel"}, notify.Recipient{Name: "rita's other account", Email: "Rita@Example.com"})
		w.put(n)
		to := map[string]string{}
		ids := map[string]bool{}
		for range 3 {
			l := <-p.got
			m, err := mail.ReadMessage(bytes.NewReader(l.data))
			if err != nil {
				t.Fatal(err)
			}
			to[l.to] = m.Header.Get("To")
			ids[m.Header.Get("Message-ID")] = true
			if !l.secure || l.auth != "\x00"+mailUser+"\x00"+mailPassword || l.from != "MAIL FROM:<bastion@example.com> BODY=8BITMIME" {
				t.Errorf("got %+v", l)
			}
			b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(b), "ssh -p 2222 bastion.example.com approve 17") || strings.Contains(string(b), "example.com#") {
				t.Errorf("body:\n%s", b)
			}
		}
		want := map[string]string{"RCPT TO:<rita@example.com>": `"rita" <rita@example.com>`, "RCPT TO:<ben@example.com>": `"ben" <ben@example.com>`,
			"RCPT TO:<Security@example.com>": "<Security@example.com>"}
		if diff := cmp.Diff(want, to); diff != "" {
			t.Error(diff)
		}
		if len(ids) != 3 || ids[""] {
			t.Errorf("message ids %v", ids)
		}
	}
}

// Servers that will not have it. The password goes nowhere without TLS, and what
// they say is repeated by its number alone.
func TestMailRefused(t *testing.T) {
	all := "STARTTLS,AUTH PLAIN"
	for _, c := range []struct {
		name    string
		post    *post
		change  func(*notify.Email)
		want    string
		dead    bool
		reached string // the last command before it was given up
	}{
		{"no STARTTLS", &post{offers: "AUTH PLAIN"}, nil, "it does not offer STARTTLS, and without it no mail is sent", false, "EHLO"},
		{"no STARTTLS without a password", &post{}, func(e *notify.Email) { e.User, e.Password = "", secretless }, "it does not offer STARTTLS, and without it no mail is sent", false, "EHLO"},
		{"STARTTLS refused", &post{offers: all, answers: map[string]string{"STARTTLS": "454 own words"}}, nil, "it answered 454 to STARTTLS", false, "STARTTLS"},
		{"unknown authority", &post{offers: all}, func(e *notify.Email) { e.CA = "" }, "STARTTLS: its certificate is of an authority that is not known", false, "STARTTLS"},
		{"unknown authority at once", &post{offers: all, implicit: true}, func(e *notify.Email) { e.CA = "" }, "its greeting: its certificate is of an authority that is not known", false, ""},
		{"another name", &post{offers: all, implicit: true}, func(e *notify.Email) { e.Server = strings.Replace(e.Server, "127.0.0.1", "localhost", 1) }, "its greeting: its certificate is for another name", false, ""},
		{"no PLAIN", &post{offers: "STARTTLS,AUTH LOGIN CRAM-MD5"}, nil, "it does not offer AUTH PLAIN", false, "EHLO"},
		{"wrong password", &post{offers: all}, func(e *notify.Email) { e.User = "somebody" }, "it answered 535 to the password", false, "*"},
		{"sender", &post{offers: all, answers: map[string]string{"MAIL": "550 own words"}}, nil, "it answered 550 to the sender", false, "MAIL"},
		{"recipient for now", &post{offers: all, answers: map[string]string{"RCPT": "450 own words"}}, nil, "it answered 450 to the recipient", false, "RCPT"},
		{"recipient for good", &post{offers: all, answers: map[string]string{"RCPT": "550 own words"}}, nil, "it answered 550 to the recipient", true, "RCPT"},
		{"data", &post{offers: all, answers: map[string]string{"DATA": "554 own words"}}, nil, "it answered 554 to the mail", false, "DATA"},
		{"mail for good", &post{offers: all, answers: map[string]string{"sent": "554-own words\r\n554 own words"}}, nil, "it answered 554 to the mail", true, "DATA"},
		{"mail for now", &post{offers: all, answers: map[string]string{"sent": "451 own words"}}, nil, "it answered 451 to the mail", false, "DATA"},
		{"greeting", &post{answers: map[string]string{"greeting": "554 own words"}}, nil, "it answered 554 to its greeting", false, ""},
		{"garbage", &post{answers: map[string]string{"greeting": "HTTP/1.1 400 own words"}}, nil, "its greeting: the connection failed, or it does not speak the protocol", false, ""},
		{"endless line", &post{answers: map[string]string{"greeting": "220 " + strings.Repeat("own words ", 200_000)}}, nil, "its greeting: the connection failed, or it does not speak the protocol", false, ""},
		{"endless answer", &post{answers: map[string]string{"EHLO": strings.Repeat("250-own words\r\n", 200_000)}}, nil, "EHLO: the connection failed, or it does not speak the protocol", false, "HELO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.post.start(t)
			w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, p.channel(t, c.change)).run()
			n := asked(17)
			n.To = n.To[:1]
			w.put(n)
			var got bastion.Delivery
			// Real time: nothing tells when an attempt has ended but the counts.
			for tick := time.NewTicker(time.Millisecond); got.Failed+got.Delivered == 0; <-tick.C {
				got = w.counts()[0]
			}
			if got.Error != c.want {
				t.Errorf("got %+v", got)
			}
			if dead := len(w.dead()) == 1; dead != c.dead {
				t.Errorf("dead %v", dead)
			}
			if err := w.stop(); err != nil {
				t.Fatal(err)
			}
			heard := p.commands()
			if last := append([]string{""}, heard...)[len(heard)]; c.reached != "*" && last != c.reached {
				t.Errorf("it went on to %v", heard)
			}
			if len(p.got) > 0 {
				t.Error("the mail arrived")
			}
			for _, s := range []string{"own words", "hunter2", "rita"} {
				if strings.Contains(w.log.String(), s) || strings.Contains(got.Error, s) {
					t.Errorf("it tells too much: %s", w.log)
				}
			}
		})
	}
}

// Somebody between us and the server adds answers before TLS begins, for what is
// asked only after it (CVE-2011-0411 and its kin). They count for nothing.
func TestMailInjectedAnswers(t *testing.T) {
	p := (&post{offers: "STARTTLS,AUTH PLAIN", answers: map[string]string{
		"STARTTLS": "220 go ahead\r\n250-mail.example.com\r\n250 AUTH LOGIN\r\n235 welcome\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n250 taken"}}).start(t)
	n := asked(17)
	n.To = n.To[:1]
	w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, p.channel(t, nil)).run()
	w.put(n)
	var got bastion.Delivery
	for tick := time.NewTicker(time.Millisecond); got.Failed+got.Delivered == 0; <-tick.C {
		got = w.counts()[0]
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	// Whether the first bytes of TLS are lost among them is for the network to say.
	if got.Delivered == 1 {
		if l := <-p.got; !l.secure || l.auth == "" {
			t.Errorf("got %+v", l)
		}
	} else if slices.Contains(p.commands(), "AUTH") {
		t.Errorf("got %+v, and the server heard %v", got, p.commands())
	}
}

// A server on this machine may go without TLS, and then without a password.
func TestMailLocal(t *testing.T) {
	p := (&post{offers: "AUTH PLAIN"}).start(t)
	w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, p.channel(t, func(e *notify.Email) { e.TLS, e.User, e.Password, e.CA = notify.NoTLS, "", secretless, "" })).run()
	w.put(asked(17))
	if l := <-p.got; l.secure || l.auth != "" {
		t.Errorf("got %+v", l)
	}
	if slices.Contains(p.commands(), "AUTH") {
		t.Error("a password")
	}
}

// Addresses that cannot be used, and emergencies that nobody would hear of, are
// seen among the dead at once.
func TestMailToNobody(t *testing.T) {
	p := (&post{offers: "STARTTLS,AUTH PLAIN"}).start(t)
	w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, p.channel(t, nil)).run()
	for _, n := range []notify.Note{
		{Kind: notify.Request, Request: 1},   // nobody to tell, and nothing lost
		{Kind: notify.Emergency, Request: 2}, // nobody to tell
		{Kind: notify.Request, Request: 3, To: []notify.Recipient{{Email: "a@b.example>\r\nRCPT TO:<c@d.example"}, {Email: "a@b.example, c@d.example"}, {Email: "ä@b.example"}}},
	} {
		w.put(n)
	}
	for tick := time.NewTicker(time.Millisecond); len(w.dead()) < 4; <-tick.C {
	}
	for _, l := range w.dead() {
		want := "the person's e-mail address cannot be used"
		if l.Request == 2 {
			want = "nobody whom it concerns has an e-mail address"
		}
		if l.Error != want || l.Request == 1 || l.Attempts != 1 {
			t.Errorf("got %+v", l)
		}
	}
	if h := p.commands(); len(h) > 0 {
		t.Errorf("the server heard %v", h)
	}
}

func TestMailable(t *testing.T) {
	for _, a := range []string{"a@b", "first.last+tag@mail.example.com", "o'neill@example.com"} {
		if !notify.Mailable(a) {
			t.Errorf("%q", a)
		}
	}
	for _, a := range []string{"", "a", "@b", "a@", "a@b@c", "a b@c", "<a@b>", "A <a@b>", "a@b\r\n", "a@b\x00", "a@b,c@d", `"a b"@c`, "a@[127.0.0.1]", "ä@b", "a@b(c)", strings.Repeat("a", 250) + "@b.example"} {
		if notify.Mailable(a) {
			t.Errorf("%q", a)
		}
	}
}

// decoded is a mail's header, and its body in clear.
func decoded(t *testing.T, raw []byte) (mail.Header, string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range m.Header {
		for i, v := range values {
			if m.Header[name][i], err = new(mime.WordDecoder).DecodeHeader(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, string(b)
}
