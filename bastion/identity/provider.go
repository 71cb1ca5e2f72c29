package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Provider is the OpenID provider at which people sign in.
type Provider struct {
	// Issuer is the provider's name and address. It is https, or http on a
	// loopback address.
	Issuer   string
	ClientID string
	// Secret returns the client's secret; nil means a public client.
	Secret func(context.Context) (string, error)
	// Scopes are what to ask for; openid, profile, email, groups and offline_access if
	// nil. The last lets the bastion ask later whether the groups are still so.
	Scopes []string
	// GroupsClaim is the claim that lists groups; "groups" if empty.
	GroupsClaim string
	// HTTP lends its transport; nil means the usual one.
	HTTP *http.Client
}

func (p *Provider) check() error {
	u, err := url.Parse(p.Issuer)
	switch {
	case p.Issuer == "":
		return errors.New("the identity provider has no issuer")
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(p.Issuer, "#?") || !printable(p.Issuer):
		return fmt.Errorf("the issuer %q is no address such as https://id.example.com", p.Issuer)
	case !secure(u, p.Issuer):
		return fmt.Errorf("the issuer %q must be https: only a loopback address may do without", p.Issuer)
	case p.ClientID == "":
		return errors.New("the identity provider has no client id")
	}
	if p.Scopes == nil {
		p.Scopes = []string{oidc.ScopeOpenID, "profile", "email", "groups", oidc.ScopeOfflineAccess}
	}
	if !slices.Contains(p.Scopes, oidc.ScopeOpenID) {
		return errors.New("the scopes lack openid, without which no identity comes back")
	}
	if p.GroupsClaim == "" {
		p.GroupsClaim = "groups"
	}
	return nil
}

// secure reports whether an address may be used with the issuer: https always,
// http only if both are on a loopback address.
func secure(u *url.URL, issuer string) bool {
	if u.Host == "" || u.User != nil {
		return false
	}
	if u.Scheme == "https" {
		return true
	}
	i, err := url.Parse(issuer)
	return err == nil && u.Scheme == "http" && i.Scheme == "http" && loopback(u.Hostname()) && loopback(i.Hostname())
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// How long the provider may take, and how much it may say.
const (
	answerTime = 15 * time.Second
	// A provider may hold a poll open until the person has decided.
	pollTime   = 90 * time.Second
	maxAnswer  = 1 << 20
	discoverTo = time.Hour // age at which the provider is asked for its addresses anew
)

// client talks to the provider: no redirects, no endless answers.
type client struct{ http *http.Client }

func newClient(lent *http.Client) client {
	t := http.RoundTripper(&http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: answerTime}).DialContext,
		TLSHandshakeTimeout:    answerTime,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
	})
	if lent != nil && lent.Transport != nil {
		t = lent.Transport
	}
	// Following a redirect would carry a device code, or the trust in a key set,
	// to an address that the provider's own description does not name.
	return client{&http.Client{
		Transport:     limited{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
		Timeout:       pollTime,
	}}
}

// limited ends answers that are too large, whoever reads them.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &limitedBody{resp.Body, maxAnswer}
	return resp, nil
}

type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errOversize
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// post sends a form and returns the answer, whatever its status.
func (c client) post(ctx context.Context, to string, form url.Values, user, secret string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if user != "" {
		req.SetBasicAuth(url.QueryEscape(user), url.QueryEscape(secret)) // RFC 6749, section 2.3.1
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// discovery is what the provider says of itself.
type discovery struct {
	provider *oidc.Provider
	device   string // device authorization endpoint
	token    string // token endpoint
	basic    bool   // the client's secret goes into a header, not into the form
	at       time.Time
}

// discover returns what the provider says of itself, and remembers it for a
// while. Nobody waits for somebody else's question: a provider that hangs must
// not queue people up.
func (k *Keeper) discover(ctx context.Context) (*discovery, error) {
	k.mu.Lock()
	d := k.discovered
	k.mu.Unlock()
	if age := k.c.Now().Sub(timeOf(d)); d != nil && age >= 0 && age < discoverTo {
		return d, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client.http), k.c.Provider.Issuer)
	if err != nil {
		return nil, transportFault(ctx, err)
	}
	var about struct {
		JWKS    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := p.Claims(&about); err != nil {
		return nil, transportFault(ctx, err)
	}
	e := p.Endpoint()
	if e.DeviceAuthURL == "" {
		return nil, fault(Misbehaved, nil, "the identity provider offers no device authorization; tell whoever runs the bastion")
	}
	for _, s := range []string{e.DeviceAuthURL, e.TokenURL, about.JWKS} {
		if u, err := url.Parse(s); err != nil || !secure(u, k.c.Provider.Issuer) {
			return nil, fault(Misbehaved, err, "the identity provider names an address that is not https; tell whoever runs the bastion")
		}
	}
	d = &discovery{
		provider: p, device: e.DeviceAuthURL, token: e.TokenURL, at: k.c.Now(),
		// The default is the header (OpenID Connect Discovery 1.0, section 3).
		basic: len(about.Methods) == 0 || slices.Contains(about.Methods, "client_secret_basic"),
	}
	k.mu.Lock()
	k.discovered = d
	k.mu.Unlock()
	return d, nil
}

func timeOf(d *discovery) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.at
}

// forget makes the next sign-in ask the provider for its addresses again.
func (k *Keeper) forget() {
	k.mu.Lock()
	k.discovered = nil
	k.mu.Unlock()
}

// post sends a form with the client's credentials.
func (k *Keeper) post(ctx context.Context, d *discovery, to string, form url.Values, limit time.Duration) (int, []byte, error) {
	form.Set("client_id", k.c.Provider.ClientID)
	var user, secret string
	if k.c.Provider.Secret != nil {
		s, err := k.c.Provider.Secret(ctx)
		if err != nil {
			return 0, nil, fault(Failed, err, "the bastion cannot read its own client secret; tell whoever runs it")
		}
		if d.basic {
			user, secret = k.c.Provider.ClientID, s
		} else {
			form.Set("client_secret", s)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return k.client.post(ctx, to, form, user, secret)
}

// algorithms are the signatures that count (RFC 7518). There is no "none" among
// them, and none with a shared key: the public key would serve as that.
func algorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}
}

// Limits of what a token may say.
const (
	maxToken   = 64 << 10
	maxSubject = 255 // OpenID Connect Core 1.0, section 2
	maxName    = 64
	maxEmail   = 254
	maxGroups  = 1000
	maxGroup   = 256
	skew       = time.Minute // between the provider's clock and ours
)

// verify takes an ID token apart (OpenID Connect Core 1.0, section 3.1.3.7).
// began is when the sign-in began: an older token proves something else.
func (k *Keeper) verify(ctx context.Context, d *discovery, token, nonce string, began time.Time) (*person, error) {
	if len(token) > maxToken {
		return nil, badToken(nil, "it is too large")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	v := d.provider.Verifier(&oidc.Config{ClientID: k.c.Provider.ClientID, SupportedSigningAlgs: algorithms(), Now: k.c.Now})
	t, err := v.Verify(ctx, token)
	if err != nil {
		if ctx.Err() != nil {
			return nil, transportFault(ctx, err)
		}
		return nil, badToken(err, verifyFault(err))
	}
	var c struct {
		AZP      string   `json:"azp"`
		AuthTime *float64 `json:"auth_time"`
	}
	if err := t.Claims(&c); err != nil {
		return nil, badToken(err, "a claim is of the wrong type")
	}
	now := k.c.Now()
	switch {
	case c.AZP != "" && c.AZP != k.c.Provider.ClientID, c.AZP == "" && len(t.Audience) > 1:
		return nil, badToken(nil, "it is meant for another client")
	case t.Nonce != "" && t.Nonce != nonce:
		return nil, badToken(nil, "it answers another sign-in")
	case t.IssuedAt.After(now.Add(skew)):
		return nil, badToken(nil, "it comes from the future; compare the clocks")
	case t.IssuedAt.Before(began.Add(-skew)):
		return nil, badToken(nil, "it is older than this sign-in")
	}
	p, err := k.describe(t.Subject, t.Claims)
	if err != nil {
		return nil, err
	}
	if c.AuthTime != nil {
		// The browser may have been signed in for hours: what counts is when the
		// person proved themselves.
		p.SignedIn = time.Unix(int64(*c.AuthTime), 0)
		if p.SignedIn.After(now.Add(skew)) {
			return nil, badToken(nil, "it speaks of a sign-in in the future; compare the clocks")
		}
		if p.SignedIn.After(now) {
			p.SignedIn = now
		}
	}
	return p, nil
}

// badToken says why what the provider tells of a person does not count.
func badToken(cause error, what string) error {
	return fault(BadToken, cause, "the identity provider's token does not count: %s; tell whoever runs the bastion", what)
}

// describe makes a person of claims (OpenID Connect Core 1.0, section 5.1).
func (k *Keeper) describe(subject string, claims func(any) error) (*person, error) {
	var c struct {
		Email             string          `json:"email"`
		EmailVerified     json.RawMessage `json:"email_verified"`
		PreferredUsername string          `json:"preferred_username"`
		Name              string          `json:"name"`
	}
	all := map[string]json.RawMessage{}
	if err := errors.Join(claims(&c), claims(&all)); err != nil {
		return nil, badToken(err, "a claim is of the wrong type")
	}
	switch {
	case subject == "":
		return nil, badToken(nil, "it names nobody")
	case len(subject) > maxSubject || !printable(subject):
		return nil, badToken(nil, "its subject is too long or not printable")
	}
	now := k.c.Now()
	p := &person{Issuer: k.c.Provider.Issuer, Subject: subject, SignedIn: now, Confirmed: now}
	if string(c.EmailVerified) == "true" && len(c.Email) <= maxEmail && printable(c.Email) && strings.Contains(c.Email, "@") {
		p.Email = c.Email
	}
	var err error
	if p.Groups, err = groups(all[k.c.Provider.GroupsClaim]); err != nil {
		return nil, badToken(err, fmt.Sprintf("its claim %q is no list of names", k.c.Provider.GroupsClaim))
	}
	user, _, _ := strings.Cut(p.Email, "@")
	for _, n := range []string{c.PreferredUsername, user, c.Name, subject} {
		if p.Name = shortName(n); p.Name != "" {
			break
		}
	}
	return p, nil
}

// verifyFault says what is wrong with a token, without quoting it.
func verifyFault(err error) string {
	var expired *oidc.TokenExpiredError
	switch s := err.Error(); {
	case errors.As(err, &expired):
		return "it has expired"
	case strings.Contains(s, "different provider"):
		return "another provider issued it"
	case strings.Contains(s, "audience"):
		return "it is meant for another client"
	case strings.Contains(s, "fetching keys"):
		return "the provider's keys cannot be fetched"
	case strings.Contains(s, "signature"):
		return "its signature is wrong"
	}
	return "it is malformed"
}

// groups reads the groups claim. An absent one means no groups.
func groups(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	if len(list) > maxGroups {
		return nil, fmt.Errorf("it has %d groups, and %d are the most", len(list), maxGroups)
	}
	for _, g := range list {
		if g == "" || len(g) > maxGroup || !printable(g) {
			return nil, errors.New("a group has no name, too long a name or one that is not printable")
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
