package idp

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
)

// Browser goes through the sign-in pages as a person with a browser does:
// cookies, forms, buttons. It is for tests, and for people in a terminal
// without a browser. It is not safe for concurrent use.
type Browser struct {
	client *http.Client
	at     *url.URL
	doc    document
}

// Question is what the confirmation page asks.
type Question struct {
	Person string // who has signed in
	Client string // who asks
	Code   string // the user code
	Key    string // the SSH key, or "" if the client named none
	From   string // where it came from, or "" if the client did not say
}

// PageError is a page that says no.
type PageError struct {
	Status int    // of the HTTP answer
	Text   string // what the page says
}

// Error returns what the page says.
func (e *PageError) Error() string { return e.Text }

// SignIn answers a user code as user, by the same pages as any browser. It
// returns nil once the provider has taken the decision; a *PageError carries
// what a page said instead.
func (p *Provider) SignIn(ctx context.Context, userCode, user, password string, allow bool) error {
	return SignIn(ctx, p.DevicePage(), userCode, user, password, allow)
}

// SignIn is Provider.SignIn for a provider in another process, known by its
// verification address (with the user code in it or without).
func SignIn(ctx context.Context, page, userCode, user, password string, allow bool) error {
	b := NewBrowser()
	if err := b.Open(ctx, page, userCode); err != nil {
		return err
	}
	if _, err := b.Login(ctx, user, password); err != nil {
		return err
	}
	return b.Decide(ctx, allow)
}

// NewBrowser returns a browser without cookies.
func NewBrowser() *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic("internal error: " + err.Error()) // it never returns one
	}
	return &Browser{client: &http.Client{Jar: jar}}
}

// Open fetches the verification page and sends the user code. An empty code
// sends the one that the page brings filled in.
func (b *Browser) Open(ctx context.Context, page, userCode string) error {
	if err := b.get(ctx, page); err != nil {
		return err
	}
	fields := map[string]string{}
	if userCode != "" {
		fields["user_code"] = userCode
	}
	return b.submit(ctx, fields, "user_code")
}

// Login sends name and password, after Open, and returns what the person is
// asked to confirm. After a wrong password it can be called again.
func (b *Browser) Login(ctx context.Context, user, password string) (Question, error) {
	if err := b.submit(ctx, map[string]string{"user": user, "password": password}, "user", "password"); err != nil {
		return Question{}, err
	}
	t := b.doc.texts
	return Question{Person: t["person"], Client: t["client"], Code: t["code"], Key: t["key"], From: t["from"]}, nil
}

// Decide presses Allow or Deny, after Login.
func (b *Browser) Decide(ctx context.Context, allow bool) error {
	decision := "deny"
	if allow {
		decision = "allow"
	}
	return b.submit(ctx, map[string]string{"decision": decision}, "question")
}

func (b *Browser) get(ctx context.Context, page string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return fmt.Errorf("opening the sign-in page: %w", err)
	}
	return b.load(req)
}

// submit fills in the page's form, which must have the fields named.
func (b *Browser) submit(ctx context.Context, fields map[string]string, needs ...string) error {
	for _, name := range needs {
		if _, ok := b.doc.fields[name]; !ok {
			return fmt.Errorf("the sign-in page does not ask for %q now", name)
		}
	}
	form := url.Values{}
	for name, value := range b.doc.fields {
		form.Set(name, value)
	}
	for name, value := range fields {
		form.Set(name, value)
	}
	action, err := b.at.Parse(b.doc.action)
	if err != nil {
		return fmt.Errorf("reading the sign-in page: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("sending the sign-in form: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.at.Scheme+"://"+b.at.Host)
	return b.load(req)
}

func (b *Browser) load(req *http.Request) error {
	resp, err := b.client.Do(req)
	if err != nil {
		return fmt.Errorf("reaching the sign-in page: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the sign-in page: %w", err)
	}
	doc := parse(string(text))
	// A refusal often brings the form for the next try.
	b.at, b.doc = resp.Request.URL, doc
	if resp.StatusCode != http.StatusOK {
		why := doc.texts["error"] + doc.texts["words"]
		if why == "" {
			why = "the sign-in page answered " + resp.Status
		}
		return &PageError{Status: resp.StatusCode, Text: why}
	}
	return nil
}

// document is what matters of a page: its one form, and texts by id.
type document struct {
	action string
	fields map[string]string
	texts  map[string]string
}

// parse reads one of the provider's own pages. Of what it cannot read it keeps
// the part before.
func parse(page string) document {
	doc := document{fields: map[string]string{}, texts: map[string]string{}}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var ids []string // of the elements open now
	for {
		token, err := d.Token()
		if err != nil {
			return doc
		}
		switch t := token.(type) {
		case xml.StartElement:
			attr := func(name string) string {
				i := slices.IndexFunc(t.Attr, func(a xml.Attr) bool { return a.Name.Local == name })
				if i < 0 {
					return ""
				}
				return t.Attr[i].Value
			}
			ids = append(ids, attr("id"))
			switch t.Name.Local {
			case "form":
				doc.action = attr("action")
			case "input":
				doc.fields[attr("name")] = attr("value")
			}
		case xml.EndElement:
			ids = ids[:len(ids)-1]
		case xml.CharData:
			for _, id := range ids {
				if id != "" {
					doc.texts[id] += string(t)
				}
			}
		}
	}
}

// Converse signs somebody in at a terminal: it asks for what is missing, shows
// what the confirmation page asks, and takes y or n for it. Without an answer
// nothing is allowed. The password is read as a line, like everything else.
func Converse(ctx context.Context, page string, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	prompt := func(label string) (string, error) {
		if _, err := fmt.Fprint(out, label); err != nil {
			return "", err
		}
		if !lines.Scan() {
			return "", errors.Join(errors.New("the input ended before you decided; nothing was allowed"), lines.Err())
		}
		return strings.TrimSpace(lines.Text()), nil
	}
	b := NewBrowser()
	if err := b.get(ctx, page); err != nil {
		return err
	}
	code := b.doc.fields["user_code"]
	label := "Code: "
	if code != "" {
		label = "Code [" + visible(code) + "]: "
	}
	typed, err := prompt(label)
	if err != nil {
		return err
	}
	if typed != "" {
		code = typed
	}
	if err := b.submit(ctx, map[string]string{"user_code": code}, "user_code"); err != nil {
		return err
	}
	var q Question
	for {
		user, err := prompt("User name: ")
		if err != nil {
			return err
		}
		password, err := prompt("Password: ")
		if err != nil {
			return err
		}
		q, err = b.Login(ctx, user, password)
		if no, ok := errors.AsType[*PageError](err); ok && no.Status == http.StatusForbidden {
			fmt.Fprintln(out, no.Text)
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	fmt.Fprintf(out, "\nSigned in as %s.\nWho asks:  %s\nCode:      %s\n", q.Person, q.Client, q.Code)
	if q.Key != "" {
		fmt.Fprintf(out, "Key:       %s\n", q.Key)
	}
	if q.From != "" {
		fmt.Fprintf(out, "From:      %s\n", q.From)
	}
	answer, err := prompt("Allow this only if your own terminal shows the same code. Allow? [y/N] ")
	if err != nil {
		return err
	}
	allow := strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
	if err := b.Decide(ctx, allow); err != nil {
		return err
	}
	if !allow {
		fmt.Fprintln(out, "Denied. Nobody was signed in.")
		return nil
	}
	fmt.Fprintln(out, "Signed in. The terminal that waits goes on by itself.")
	return nil
}
