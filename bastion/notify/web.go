package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/vault"
)

// shortestKey is the least length of a key for signatures, in bytes (Standard
// Webhooks specification, "Signature scheme").
const shortestKey = 24

// newWeb makes a client that follows no redirect: where a note goes is what the
// configuration says, and nobody else. Each request has a connection of its own,
// so that nothing of a server's stays behind.
func newWeb(dial dialer, authorities *x509.CertPool) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialing,
			ResponseHeaderTimeout:  patience,
			MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		},
	}
}

// post sends a JSON body. Whatever the server answers is neither kept nor logged.
func post(ctx context.Context, client *http.Client, url string, header http.Header, body []byte) error {
	if err := CheckURL(url); err != nil {
		return failed("its URL is wrong: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return failed("its URL is wrong")
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Sallyport")
	resp, err := client.Do(req)
	if err != nil {
		return failed("%s", reason(err))
	}
	// The status says all; a body, which may be huge or never end, is not read.
	_ = resp.Body.Close()
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return failed("it answered %d, a redirect, and redirects are not followed", code)
	default:
		f := failed("it answered %s", strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code))))
		f.after = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return f
	}
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3), of which at most
// the longest pause counts.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, longestPause)
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, min(t.Sub(now), longestPause))
	}
	return 0
}

type webhook struct {
	Webhook
	client *http.Client
}

func newWebhook(w Webhook, dial dialer) (*webhook, error) {
	if (w.URL == "") == w.From.IsZero() {
		return nil, errors.New("want a URL, in plain or by its source")
	}
	if w.URL != "" {
		if err := CheckURL(w.URL); err != nil {
			return nil, fmt.Errorf("url: %w", err)
		}
	}
	if w.Secret.IsZero() {
		return nil, errors.New("a webhook needs a secret, so that its receiver can tell who sent something")
	}
	pool, err := authorities(w.CA)
	if err != nil {
		return nil, err
	}
	return &webhook{w, newWeb(dial, pool)}, nil
}

// body is what a webhook gets. The names of its fields are stable.
type body struct {
	ID       string    `json:"id"`
	Kind     Kind      `json:"kind"`
	Bastion  string    `json:"bastion"`
	Request  uint64    `json:"request,omitempty"`
	Target   string    `json:"target,omitempty"`
	Who      string    `json:"who,omitempty"`
	By       string    `json:"by,omitempty"`
	Of       uint64    `json:"of,omitempty"`
	Finding  bool      `json:"finding,omitempty"`
	Summary  string    `json:"summary,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Needs    string    `json:"needs,omitempty"`
	To       []person  `json:"to,omitempty"`
	At       time.Time `json:"at"`
	Expires  time.Time `json:"expires,omitzero"`
	Title    string    `json:"title"`
	Commands []string  `json:"commands,omitempty"`
}

// person is a recipient without the address, which is nobody's business there.
type person struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

func (w *webhook) send(ctx context.Context, p parcel) error {
	key, err := signingKey(ctx, w.Secret)
	if err != nil {
		return err
	}
	to := w.URL
	if to == "" {
		if to, err = fetch(ctx, w.From, "URL"); err != nil {
			return err
		}
	}
	b := body{ID: p.key, Kind: p.Kind, Bastion: p.bastion, Request: p.Request, Target: bastion.VisibleLine(p.Target),
		Who: bastion.VisibleLine(p.Who), By: bastion.VisibleLine(p.By), Of: p.Of, Finding: p.Finding, Summary: bastion.VisibleLine(p.Summary), Reason: bastion.Visible(p.Reason), Needs: bastion.VisibleLine(p.Needs),
		At: p.At.UTC(), Expires: p.Expires.UTC(), Title: p.title}
	for _, t := range p.To {
		b.To = append(b.To, person{bastion.VisibleLine(t.ID), bastion.VisibleLine(t.Name)})
	}
	for _, s := range p.steps {
		b.Commands = append(b.Commands, s.command)
	}
	data, err := json.Marshal(b)
	if err != nil {
		return failed("internal error: a note that cannot be written")
	}
	return post(ctx, w.client, to, signed(key, p.key, time.Now(), data), data)
}

// signed are the headers of the Standard Webhooks specification, version 1: the
// signature is over the id, the time in Unix seconds and the body, with a full
// stop between them.
func signed(key []byte, id string, at time.Time, body []byte) http.Header {
	h := identified(id)
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return h
}

func identified(key string) http.Header {
	h := http.Header{}
	h.Set("Idempotency-Key", key)
	return h
}

// signingKey fetches a key: what stands in base64 after whsec_, or else the
// secret's own bytes.
func signingKey(ctx context.Context, s vault.Source) ([]byte, error) {
	secret, err := fetch(ctx, s, "secret")
	if err != nil {
		return nil, err
	}
	key := []byte(secret)
	if coded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, failed("its secret has no base64 after whsec_")
		}
	}
	if len(key) < shortestKey {
		return nil, failed("its secret is shorter than %d bytes", shortestKey)
	}
	return key, nil
}

// fetch reads a secret. The vault's errors say where it failed, and nothing of it.
func fetch(ctx context.Context, s vault.Source, what string) (string, error) {
	v, err := s.Read(ctx)
	if err != nil {
		return "", failed("fetching its %s: %v", what, err)
	}
	return v, nil
}

type slack struct {
	url    vault.Source
	client *http.Client
}

func (s *slack) send(ctx context.Context, p parcel) error {
	url, err := fetch(ctx, s.url, "URL")
	if err != nil {
		return err
	}
	return post(ctx, s.client, url, identified(p.key), slackBody(p.message))
}

// object is a JSON object.
type object map[string]any

// slackBody writes a message for an incoming webhook of Slack. Everything is
// plain_text, where no markup is read, and is escaped for its control characters
// nevertheless, as Slack asks for all text.
func slackBody(m message) []byte {
	plain := func(s string) object {
		return object{"type": "plain_text", "text": slackText(s), "emoji": false}
	}
	section := func(s string) object { return object{"type": "section", "text": plain(s)} }
	blocks := []object{{"type": "header", "text": plain(clip(m.title, 150))}}
	for _, f := range m.fields {
		blocks = append(blocks, section(f.label+": "+f.value))
	}
	for _, s := range m.steps {
		blocks = append(blocks, section(s.what+":\n"+s.command))
	}
	if m.end != "" {
		blocks = append(blocks, object{"type": "context", "elements": []object{plain(m.end)}})
	}
	text := m.title
	if m.gist != "" {
		text += " (" + m.gist + ")"
	}
	return encode(object{"text": slackText(text), "mrkdwn": false, "unfurl_links": false, "unfurl_media": false, "blocks": blocks})
}

// slackText escapes the three characters that mean something to Slack in any
// text: with them somebody could call a whole channel, or dress up a link.
func slackText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

type teams struct {
	url    vault.Source
	client *http.Client
}

func (t *teams) send(ctx context.Context, p parcel) error {
	url, err := fetch(ctx, t.url, "URL")
	if err != nil {
		return err
	}
	return post(ctx, t.client, url, identified(p.key), teamsBody(p.message))
}

// teamsBody writes a message as an Adaptive Card. All text is in TextRuns, in
// which a card reads no Markdown, so that no link can be dressed up as another.
func teamsBody(m message) []byte {
	run := func(s string, more object) object {
		r := object{"type": "TextRun", "text": teamsText(s)}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	block := func(runs ...object) object { return object{"type": "RichTextBlock", "inlines": runs} }
	bold, fixed := object{"weight": "Bolder"}, object{"fontType": "Monospace"}
	body := []object{block(run(m.title, object{"weight": "Bolder", "size": "Medium"}))}
	for _, f := range m.fields {
		body = append(body, block(run(f.label+": ", bold), run(f.value, nil)))
	}
	for _, s := range m.steps {
		body = append(body, block(run(s.what+": ", bold), run(s.command, fixed)))
	}
	if m.end != "" {
		body = append(body, block(run(m.end, object{"isSubtle": true})))
	}
	return encode(object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"contentUrl":  nil,
		"content": object{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"fallbackText": teamsText(m.title), "body": body},
	}}})
}

// teamsText takes apart what begins a card's functions, such as {{DATE(...)}}.
func teamsText(s string) string {
	for strings.Contains(s, "{{") {
		s = strings.ReplaceAll(s, "{{", "{ {")
	}
	return s
}

// encode writes JSON of texts and lists, which cannot fail.
func encode(o object) []byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic("internal error: a message that cannot be written")
	}
	return b
}
