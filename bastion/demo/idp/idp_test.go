package idp_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/demo/idp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// start runs a provider that limits polls only where a test says so.
func start(t *testing.T, o idp.Options) *idp.Provider {
	t.Helper()
	o.PollLimit = max(o.PollLimit, time.Nanosecond)
	p, err := idp.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// app is a client of the provider, as the bastion is one.
type app struct {
	t        *testing.T
	oidc     *oidc.Provider
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
}

func newApp(t *testing.T, p *idp.Provider) *app {
	t.Helper()
	found, err := oidc.NewProvider(t.Context(), p.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	endpoint := found.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	return &app{t: t, oidc: found,
		config:   oauth2.Config{ClientID: idp.ClientID, Endpoint: endpoint, Scopes: idp.Scopes()},
		verifier: found.Verifier(&oidc.Config{ClientID: idp.ClientID}),
	}
}

func (a *app) ask(params ...oauth2.AuthCodeOption) *oauth2.DeviceAuthResponse {
	a.t.Helper()
	da, err := a.config.DeviceAuth(a.t.Context(), params...)
	if err != nil {
		a.t.Fatal(err)
	}
	return da
}

type claims struct {
	Iss, Sub, Name, Email, Nonce string
	User                         string `json:"preferred_username"`
	EmailVerified                bool   `json:"email_verified"`
	Groups                       []string
	Aud                          any
	AuthTime                     int64 `json:"auth_time"`
	Iat, Exp                     int64
	AMR                          []string
}

func (a *app) verify(tok *oauth2.Token) claims {
	a.t.Helper()
	raw, _ := tok.Extra("id_token").(string)
	id, err := a.verifier.Verify(a.t.Context(), raw)
	if err != nil {
		a.t.Fatalf("verifying the ID token: %v", err)
	}
	if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
		a.t.Errorf("at_hash: %v", err)
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		a.t.Fatal(err)
	}
	return c
}

// post sends a form as a client does and returns status and JSON answer.
func (a *app) post(to string, form url.Values) (int, map[string]any) {
	a.t.Helper()
	resp, err := http.PostForm(to, form)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	if len(text) > 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &answer); err != nil {
			a.t.Fatalf("%s: %v", text, err)
		}
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		a.t.Errorf("Cache-Control = %q", got)
	}
	return resp.StatusCode, answer
}

func pollForm(code string) url.Values {
	return url.Values{
		"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
		"device_code": {code},
		"client_id":   {idp.ClientID},
	}
}

// poll polls once and returns the error code, or "" and the answer.
func (a *app) poll(code string) (string, map[string]any) {
	a.t.Helper()
	_, answer := a.post(a.config.Endpoint.TokenURL, pollForm(code))
	no, _ := answer["error"].(string)
	return no, answer
}

func (a *app) wantPoll(code, want string) {
	a.t.Helper()
	if got, answer := a.poll(code); got != want {
		a.t.Errorf("poll answers %q, want %q: %v", got, want, answer)
	}
}

// token goes the whole way: ask, sign in as user, poll once.
func (a *app) token(p *idp.Provider, user string) *oauth2.Token {
	a.t.Helper()
	da := a.ask()
	if err := p.SignIn(a.t.Context(), da.UserCode, user, user, true); err != nil {
		a.t.Fatal(err)
	}
	no, answer := a.poll(da.DeviceCode)
	if no != "" {
		a.t.Fatalf("poll: %v", answer)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		a.t.Fatal(err)
	}
	var tok oauth2.Token
	if err := json.Unmarshal(text, &tok); err != nil {
		a.t.Fatal(err)
	}
	return tok.WithExtra(answer)
}

func (a *app) refresh(token string) (string, map[string]any) {
	a.t.Helper()
	_, answer := a.post(a.config.Endpoint.TokenURL, url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {idp.ClientID},
	})
	no, _ := answer["error"].(string)
	return no, answer
}

// The story that the package exists for: a client asks, the person signs in at
// the page while the client polls, and the tokens say who it is.
func TestDeviceFlow(t *testing.T) {
	p := start(t, idp.Options{PollInterval: time.Second, Hold: 10 * time.Second})
	a := newApp(t, p)
	before := time.Now()
	da := a.ask(oauth2.SetAuthURLParam("nonce", "n-1"))
	if da.Interval != 1 {
		t.Errorf("interval = %d", da.Interval)
	}
	if want := p.DevicePage(); da.VerificationURI != want || da.VerificationURIComplete != want+"?user_code="+da.UserCode {
		t.Errorf("addresses %q and %q", da.VerificationURI, da.VerificationURIComplete)
	}
	if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(da.UserCode) {
		t.Errorf("user code %q", da.UserCode)
	}
	if left := time.Until(da.Expiry); left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("expires in %v", left)
	}

	signedIn := make(chan error, 1)
	go func() { signedIn <- p.SignIn(t.Context(), da.UserCode, "ben", "ben", true) }()
	tok, err := a.config.DeviceAccessToken(t.Context(), da)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-signedIn; err != nil {
		t.Fatal(err)
	}

	c := a.verify(tok)
	if c.Iss != p.Issuer() || c.Name != "Ben Sato" || c.Email != "ben@shop.example" || !c.EmailVerified || c.User != "ben" || c.Nonce != "n-1" {
		t.Errorf("claims %+v", c)
	}
	if !slices.Equal(c.Groups, []string{"deployers", "reviewers"}) {
		t.Errorf("groups %q", c.Groups)
	}
	if c.Sub == "" || strings.Contains(c.Sub, "ben") {
		t.Errorf("subject %q is not opaque", c.Sub)
	}
	if c.AuthTime < before.Unix() || c.AuthTime > time.Now().Unix() || c.Exp <= c.Iat || !slices.Equal(c.AMR, []string{"pwd"}) {
		t.Errorf("times and methods %+v", c)
	}

	info, err := a.oidc.UserInfo(t.Context(), oauth2.StaticTokenSource(tok))
	if err != nil {
		t.Fatal(err)
	}
	var told claims
	if err := info.Claims(&told); err != nil {
		t.Fatal(err)
	}
	if told.Sub != c.Sub || told.Email != c.Email || !slices.Equal(told.Groups, c.Groups) {
		t.Errorf("userinfo %+v", told)
	}

	if again := a.verify(a.token(p, "ben")); again.Sub != c.Sub {
		t.Errorf("the subject changed from %q to %q", c.Sub, again.Sub)
	}
	if other := a.verify(a.token(p, "alice")); other.Sub == c.Sub || !slices.Equal(other.Groups, []string{"deployers"}) {
		t.Errorf("alice is %+v", other)
	}
}

// A client that lets x/oauth2 find out how to authenticate gets there too: the
// first try, with a header, must not use up the code.
func TestAuthStyleAutoDetect(t *testing.T) {
	p := start(t, idp.Options{PollInterval: time.Second})
	a := newApp(t, p)
	a.config.Endpoint.AuthStyle = oauth2.AuthStyleAutoDetect
	da := a.ask()
	if err := p.SignIn(t.Context(), da.UserCode, "rita", "rita", true); err != nil {
		t.Fatal(err)
	}
	tok, err := a.config.DeviceAccessToken(t.Context(), da)
	if err != nil {
		t.Fatal(err)
	}
	if c := a.verify(tok); c.User != "rita" {
		t.Errorf("claims %+v", c)
	}
}

func TestScopesDecideClaims(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	a.config.Scopes = []string{"openid", "email", "admin"}
	tok := a.token(p, "alice")
	c := a.verify(tok)
	if c.Email == "" || c.Groups != nil || c.Name != "" {
		t.Errorf("claims %+v", c)
	}
	if tok.RefreshToken != "" {
		t.Error("a refresh token that nobody asked for")
	}
	if scope := tok.Extra("scope"); scope != "openid email" {
		t.Errorf("scope %q", scope)
	}
	a.config.Scopes = []string{"groups"}
	if id := a.token(p, "alice").Extra("id_token"); id != nil {
		t.Errorf("an ID token without openid: %v", id)
	}
	if err := p.SetGroups("alice"); err != nil {
		t.Fatal(err)
	}
	a.config.Scopes = idp.Scopes()
	if c := a.verify(a.token(p, "alice")); c.Groups == nil || len(c.Groups) != 0 {
		t.Errorf("no groups are told as %#v, want an empty list", c.Groups)
	}
}

func TestPolls(t *testing.T) {
	now := bastiontest.NewClock(time.Now())
	p := start(t, idp.Options{Now: now.Now, PollInterval: 2 * time.Second, PollLimit: 2 * time.Second, Lifetime: time.Minute})
	a := newApp(t, p)
	allow := func(code string) {
		t.Helper()
		if err := p.SignIn(t.Context(), code, "alice", "alice", true); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("pending, then slow down, then done once", func(t *testing.T) {
		da := a.ask()
		a.wantPoll(da.DeviceCode, "authorization_pending")
		now.Pass(time.Second)
		a.wantPoll(da.DeviceCode, "slow_down")
		now.Pass(6 * time.Second) // two seconds were asked for, and five more
		a.wantPoll(da.DeviceCode, "slow_down")
		now.Pass(12 * time.Second)
		a.wantPoll(da.DeviceCode, "authorization_pending")
		allow(da.UserCode)
		now.Pass(12 * time.Second)
		a.wantPoll(da.DeviceCode, "")
		now.Pass(12 * time.Second)
		a.wantPoll(da.DeviceCode, "invalid_grant")
	})
	t.Run("too fast is too fast after Allow too", func(t *testing.T) {
		da := a.ask()
		a.wantPoll(da.DeviceCode, "authorization_pending")
		allow(da.UserCode)
		a.wantPoll(da.DeviceCode, "slow_down")
		now.Pass(7 * time.Second)
		a.wantPoll(da.DeviceCode, "")
	})
	t.Run("expired", func(t *testing.T) {
		da := a.ask()
		now.Pass(time.Minute + time.Second)
		a.wantPoll(da.DeviceCode, "expired_token")
		wantPage(t, p.SignIn(t.Context(), da.UserCode, "alice", "alice", true), http.StatusGone, "expired")
	})
	t.Run("allowed but never fetched", func(t *testing.T) {
		da := a.ask()
		allow(da.UserCode)
		now.Pass(time.Minute + time.Second)
		a.wantPoll(da.DeviceCode, "expired_token")
	})
	t.Run("expires while the person reads", func(t *testing.T) {
		da := a.ask()
		b := idp.NewBrowser()
		if err := b.Open(t.Context(), p.DevicePage(), da.UserCode); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Login(t.Context(), "alice", "alice"); err != nil {
			t.Fatal(err)
		}
		now.Pass(2 * time.Minute)
		wantPage(t, b.Decide(t.Context(), true), http.StatusGone, "expired")
		a.wantPoll(da.DeviceCode, "expired_token")
	})
	t.Run("forgotten", func(t *testing.T) {
		da := a.ask()
		now.Pass(time.Hour)
		a.ask()
		a.wantPoll(da.DeviceCode, "invalid_grant")
		wantPage(t, p.SignIn(t.Context(), da.UserCode, "alice", "alice", true), http.StatusNotFound, "no such code")
	})
	t.Run("denied", func(t *testing.T) {
		da := a.ask()
		if err := p.SignIn(t.Context(), da.UserCode, "alice", "alice", false); err != nil {
			t.Fatal(err)
		}
		a.wantPoll(da.DeviceCode, "access_denied")
		wantPage(t, p.SignIn(t.Context(), da.UserCode, "alice", "alice", true), http.StatusGone, "answered already")
		now.Pass(3 * time.Second)
		a.wantPoll(da.DeviceCode, "access_denied")
	})
	t.Run("disabled between Allow and the poll", func(t *testing.T) {
		p := start(t, idp.Options{})
		a := newApp(t, p)
		da := a.ask()
		if err := p.SignIn(t.Context(), da.UserCode, "alice", "alice", true); err != nil {
			t.Fatal(err)
		}
		if err := p.Disable("alice"); err != nil {
			t.Fatal(err)
		}
		a.wantPoll(da.DeviceCode, "access_denied")
		a.wantPoll(da.DeviceCode, "invalid_grant")
	})
	t.Run("guessed", func(t *testing.T) {
		a.wantPoll("AAAAAAAAAAAAAAAAAAAAAA", "invalid_grant")
	})
}

// Polls held open are answered when the person decides, and at once when the
// provider stops.
func TestHold(t *testing.T) {
	p := start(t, idp.Options{Hold: time.Hour})
	a := newApp(t, p)
	for _, allow := range []bool{true, false} {
		da := a.ask()
		answers := make(chan string, 1)
		go func() {
			no, _ := a.poll(da.DeviceCode)
			answers <- no
		}()
		if err := p.SignIn(t.Context(), da.UserCode, "axel", "axel", allow); err != nil {
			t.Fatal(err)
		}
		if got, want := <-answers, map[bool]string{true: "", false: "access_denied"}[allow]; got != want {
			t.Errorf("after %v the poll answers %q, want %q", allow, got, want)
		}
	}

	// Of two polls the later one is too fast, so when that is answered the
	// other is being held.
	q := start(t, idp.Options{Hold: time.Hour, PollLimit: time.Hour})
	b := newApp(t, q)
	da := b.ask()
	answers := make(chan string, 2)
	for range 2 {
		go func() {
			no, _ := b.poll(da.DeviceCode)
			answers <- no
		}()
	}
	if got := <-answers; got != "slow_down" {
		t.Errorf("the later poll answers %q", got)
	}
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	if got := <-answers; got != "authorization_pending" {
		t.Errorf("the provider stops and a held poll answers %q", got)
	}
}

// Of many polls at once, one gets the token.
func TestOneTokenForManyPolls(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	da := a.ask()
	if err := p.SignIn(t.Context(), da.UserCode, "alice", "alice", true); err != nil {
		t.Fatal(err)
	}
	const n = 16
	answers := make(chan string, n)
	for range n {
		go func() {
			no, _ := a.poll(da.DeviceCode)
			answers <- no
		}()
	}
	got := map[string]int{}
	for range n {
		got[<-answers]++
	}
	if got[""] != 1 {
		t.Errorf("answers %v, want one token", got)
	}
}

func TestClientRequests(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	device, token := a.config.Endpoint.DeviceAuthURL, a.config.Endpoint.TokenURL
	da := a.ask()
	if err := p.SignIn(t.Context(), da.UserCode, "alice", "alice", true); err != nil {
		t.Fatal(err)
	}
	with := func(form url.Values, name string, values ...string) url.Values {
		form[name] = values
		return form
	}
	for _, c := range []struct {
		name, to string
		form     url.Values
		status   int
		want     string
	}{
		{"unknown client asks", device, url.Values{"client_id": {"evil"}}, 401, "invalid_client"},
		{"no client asks", device, url.Values{}, 401, "invalid_client"},
		{"client twice", device, url.Values{"client_id": {idp.ClientID, "evil"}}, 400, "invalid_request"},
		{"long display", device, url.Values{"client_id": {idp.ClientID}, idp.KeyParam: {strings.Repeat("x", 257)}}, 400, "invalid_request"},
		{"unknown client polls", token, with(pollForm(da.DeviceCode), "client_id", "evil"), 401, "invalid_client"},
		{"no code", token, with(pollForm(""), "device_code"), 400, "invalid_request"},
		{"code twice", token, with(pollForm(""), "device_code", da.DeviceCode, da.DeviceCode), 400, "invalid_request"},
		{"code in the address", token + "?" + pollForm(da.DeviceCode).Encode(), url.Values{}, 400, "invalid_request"},
		{"user code as device code", token, pollForm(da.UserCode), 400, "invalid_grant"},
		{"no grant type", token, url.Values{"client_id": {idp.ClientID}}, 400, "invalid_request"},
		{"password grant", token, url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice"}, "client_id": {idp.ClientID}}, 400, "unsupported_grant_type"},
		{"refresh of nothing", token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x.y"}, "client_id": {idp.ClientID}}, 400, "invalid_grant"},
		{"revoke as nobody", p.Issuer() + "/revoke", url.Values{"token": {"x"}}, 401, "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := a.post(c.to, c.form)
			if status != c.status || answer["error"] != c.want {
				t.Errorf("%d %v, want %d %s", status, answer, c.status, c.want)
			}
		})
	}
	// None of that used the code up.
	a.wantPoll(da.DeviceCode, "")

	for _, path := range []string{"/authorize", "/oauth/introspect", "/end_session", "/pages.html", "/healthz"} {
		resp, err := http.Get(p.Issuer() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %s", path, resp.Status)
		}
	}
}

func TestTooManyDevices(t *testing.T) {
	now := bastiontest.NewClock(time.Now())
	p := start(t, idp.Options{Now: now.Now})
	a := newApp(t, p)
	for range 1000 {
		a.ask()
	}
	if _, err := a.config.DeviceAuth(t.Context()); err == nil {
		t.Error("the provider remembers without bound")
	}
	now.Pass(time.Hour)
	a.ask()
}

func TestRefresh(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	tok := a.token(p, "alice")
	first := a.verify(tok)
	if err := p.SetGroups("alice", "deployers", "oncall"); err != nil {
		t.Fatal(err)
	}

	// A refresh brings who the person is now, and when that person signed in.
	source := a.config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: tok.RefreshToken})
	next, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	c := a.verify(next)
	if c.Sub != first.Sub || c.AuthTime != first.AuthTime || !slices.Equal(c.Groups, []string{"deployers", "oncall"}) {
		t.Errorf("claims %+v, first %+v", c, first)
	}
	info, err := a.oidc.UserInfo(t.Context(), oauth2.StaticTokenSource(tok))
	if err != nil {
		t.Fatal(err)
	}
	var told claims
	if err := info.Claims(&told); err != nil || !slices.Contains(told.Groups, "oncall") {
		t.Errorf("userinfo tells %+v, %v", told, err)
	}

	// The old token again: it is in two hands, so the new one ends as well.
	if no, _ := a.refresh(tok.RefreshToken); no != "invalid_grant" {
		t.Errorf("reuse answers %q", no)
	}
	if no, _ := a.refresh(next.RefreshToken); no != "invalid_grant" {
		t.Errorf("after a reuse the new token answers %q", no)
	}
	if _, err := a.oidc.UserInfo(t.Context(), oauth2.StaticTokenSource(next)); err == nil {
		t.Error("after a reuse the access token still works")
	}
}

func TestRefreshAtOnce(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	tok := a.token(p, "alice")
	const n = 8
	answers := make(chan string, n)
	for range n {
		go func() {
			no, _ := a.refresh(tok.RefreshToken)
			answers <- no
		}()
	}
	won := 0
	for range n {
		if <-answers == "" {
			won++
		}
	}
	if won > 1 {
		t.Errorf("one refresh token worked %d times", won)
	}
}

func TestDisable(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	tok := a.token(p, "alice")
	if err := p.Disable("alice"); err != nil {
		t.Fatal(err)
	}
	if no, _ := a.refresh(tok.RefreshToken); no != "invalid_grant" {
		t.Errorf("refresh answers %q", no)
	}
	if _, err := a.oidc.UserInfo(t.Context(), oauth2.StaticTokenSource(tok)); err == nil {
		t.Error("userinfo still answers")
	}
	da := a.ask()
	wantPage(t, p.SignIn(t.Context(), da.UserCode, "alice", "alice", true), http.StatusForbidden, "disabled")
	// Only somebody who knows the password learns that.
	wantPage(t, p.SignIn(t.Context(), da.UserCode, "alice", "wrong", true), http.StatusForbidden, "wrong")
	a.wantPoll(da.DeviceCode, "authorization_pending")

	// Disabled while the confirmation page is open.
	b := idp.NewBrowser()
	if err := b.Open(t.Context(), p.DevicePage(), da.UserCode); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Login(t.Context(), "ben", "ben"); err != nil {
		t.Fatal(err)
	}
	if err := p.Disable("ben"); err != nil {
		t.Fatal(err)
	}
	wantPage(t, b.Decide(t.Context(), true), http.StatusForbidden, "disabled")
	a.wantPoll(da.DeviceCode, "authorization_pending")

	if err := p.Disable("nobody"); err == nil {
		t.Error("disabled nobody")
	}
	if err := p.SetGroups("nobody", "x"); err == nil {
		t.Error("gave nobody groups")
	}
}

func TestRevoke(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	revoke := func(token string) {
		t.Helper()
		if status, answer := a.post(p.Issuer()+"/revoke", url.Values{"token": {token}, "client_id": {idp.ClientID}}); status != http.StatusOK {
			t.Errorf("revoking answers %d %v", status, answer)
		}
	}
	works := func(tok *oauth2.Token) bool {
		_, err := a.oidc.UserInfo(t.Context(), oauth2.StaticTokenSource(tok))
		return err == nil
	}
	one, two := a.token(p, "alice"), a.token(p, "alice")
	revoke(one.AccessToken)
	if works(one) || !works(two) {
		t.Error("not just the revoked access token ended")
	}
	if no, _ := a.refresh(one.RefreshToken); no != "" {
		t.Errorf("refresh answers %q", no)
	}
	revoke(two.RefreshToken)
	if works(two) {
		t.Error("the access token outlived its revoked refresh token")
	}
	if no, _ := a.refresh(two.RefreshToken); no != "invalid_grant" {
		t.Errorf("refresh answers %q", no)
	}
	revoke("never was one")
}

// Tokens signed before a rotation can be verified for a while, by clients that
// knew the old keys and by clients that did not.
func TestRotateKeys(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	old := a.token(p, "alice")
	a.verify(old)
	if err := p.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	young := a.token(p, "alice")
	a.verify(young)
	fresh := newApp(t, p)
	fresh.verify(old)
	for range 2 {
		if err := p.RotateKeys(); err != nil {
			t.Fatal(err)
		}
	}
	fresh = newApp(t, p)
	fresh.verify(young)
	if _, err := fresh.verifier.Verify(t.Context(), old.Extra("id_token").(string)); err == nil {
		t.Error("a key that was rotated out three times is still trusted")
	}
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "idp")
	first := start(t, idp.Options{Dir: dir})
	a := newApp(t, first)
	tok := a.token(first, "alice")
	before := a.verify(tok)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(first.Issuer()); err == nil {
		t.Fatal("a closed provider answers")
	}

	second := start(t, idp.Options{Dir: dir, Addr: strings.TrimPrefix(first.Issuer(), "http://")})
	b := newApp(t, second)
	b.verify(tok) // signed before
	no, answer := b.refresh(tok.RefreshToken)
	if no != "" {
		t.Fatalf("refresh answers %v", answer)
	}
	if after := b.verify((&oauth2.Token{AccessToken: answer["access_token"].(string)}).WithExtra(answer)); after.Sub != before.Sub || after.AuthTime != before.AuthTime {
		t.Errorf("alice was %+v and is %+v", before, after)
	}

	path := filepath.Join(dir, "idp.json")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("keys are kept with mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{tok.RefreshToken, answer["refresh_token"].(string)} {
		_, secret, _ = strings.Cut(secret, ".")
		if strings.Contains(string(text), secret) {
			t.Error("a refresh token is kept in the clear")
		}
	}
	for name, broken := range map[string]string{"empty": "", "other": `{"grants":{}}`, "unknown field": strings.Replace(string(text), "{", `{"x":1,`, 1), "cut": string(text[:len(text)/2])} {
		if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := idp.Start(t.Context(), idp.Options{Dir: dir}); err == nil {
			p.Close()
			t.Errorf("started from a file that is %s", name)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not name the file", err)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	open, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]idp.Options{
		"open address":  {Addr: "0.0.0.0:0"},
		"open listener": {Listener: open},
		"bad address":   {Addr: "nowhere"},
		"no password":   {People: []idp.Person{{User: "a"}}},
		"no name":       {People: []idp.Person{{Password: "a"}}},
		"blank in name": {People: []idp.Person{{User: "a ", Password: "a"}}},
		"twice":         {People: []idp.Person{{User: "a", Password: "a"}, {User: "a", Password: "b"}}},
	} {
		if p, err := idp.Start(t.Context(), o); err == nil {
			p.Close()
			t.Errorf("%s: started", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := idp.Start(ctx, idp.Options{Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(p.Issuer()); err == nil {
		t.Error("it answers after its context ended")
	}
}

func wantPage(t *testing.T, err error, status int, says string) {
	t.Helper()
	no, ok := errors.AsType[*idp.PageError](err)
	if !ok {
		t.Errorf("got %v, want a page that says %q", err, says)
		return
	}
	if no.Status != status || !strings.Contains(strings.ToLower(no.Text), says) {
		t.Errorf("the page says %d %q, want %d and %q", no.Status, no.Text, status, says)
	}
}

func TestLoginErrors(t *testing.T) {
	now := bastiontest.NewClock(time.Now())
	p := start(t, idp.Options{Now: now.Now, Lifetime: time.Hour})
	a := newApp(t, p)
	da := a.ask()
	in := func(user, password string) error {
		return p.SignIn(t.Context(), da.UserCode, user, password, true)
	}
	wantPage(t, in("alice", "wrong"), 403, "user name or the password is wrong")
	wantPage(t, in("mallory", "wrong"), 403, "user name or the password is wrong")
	wantPage(t, in("", "x"), 400, "type your user name")
	wantPage(t, in(strings.Repeat("x", 100), "x"), 400, "type your user name")
	wantPage(t, in("alice", ""), 403, "wrong")

	for _, user := range []string{"rita", "mallory-2"} {
		now.Pass(31 * time.Second) // names may share a count, and those before failed too
		for range 5 {
			wantPage(t, in(user, "wrong"), 403, "wrong")
		}
		// The right password is not heard either, or guessing would go on.
		wantPage(t, in(user, user), 429, "try again in 30 seconds")
	}
	now.Pass(31 * time.Second)
	a.wantPoll(da.DeviceCode, "authorization_pending")

	// After a wrong password the page asks again, in the same session.
	b := idp.NewBrowser()
	if err := b.Open(t.Context(), p.DevicePage(), da.UserCode); err != nil {
		t.Fatal(err)
	}
	_, err := b.Login(t.Context(), "rita", "wrong")
	wantPage(t, err, 403, "wrong")
	if _, err := b.Login(t.Context(), " rita ", "rita"); err != nil {
		t.Fatal(err)
	}
	if err := b.Decide(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	now.Pass(time.Minute)
	a.wantPoll(da.DeviceCode, "")
}

func TestCodeErrors(t *testing.T) {
	now := bastiontest.NewClock(time.Now())
	p := start(t, idp.Options{Now: now.Now})
	a := newApp(t, p)
	da := a.ask()
	in := func(code string) error { return p.SignIn(t.Context(), code, "alice", "alice", true) }
	for _, code := range []string{"AAAA-AAAA", "BCDF", "BCDF-GHJK-L", "<b>", strings.Repeat("B", 100)} {
		wantPage(t, in(code), 400, "that is no code")
	}
	for range 19 {
		wantPage(t, in("BBBB-BBBB"), 404, "no such code")
	}
	// A right code among wrong ones does not buy more guesses.
	b := idp.NewBrowser()
	if err := b.Open(t.Context(), p.DevicePage(), da.UserCode); err != nil {
		t.Fatal(err)
	}
	wantPage(t, in("BBBB-BBBB"), 404, "no such code")
	wantPage(t, in(da.UserCode), 429, "too many unknown codes")
	now.Pass(2 * time.Minute)
	small := strings.ToLower(strings.Replace(da.UserCode, "-", " ", 1))
	if err := in(small); err != nil {
		t.Errorf("%q: %v", small, err)
	}
	wantPage(t, in(da.UserCode), 410, "answered already")
}

// browser is a client with cookies that follows nothing by itself.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func fetch(t *testing.T, c *http.Client, method, to string, form url.Values, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func hidden(t *testing.T, page, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no field %q in\n%s", name, page)
	}
	return m[1]
}

// confirm brings a browser to the confirmation page and returns it.
func confirm(t *testing.T, c *http.Client, p *idp.Provider, code, user string) string {
	t.Helper()
	_, page := fetch(t, c, "GET", p.DevicePage(), nil)
	_, page = fetch(t, c, "POST", p.DevicePage(), url.Values{"csrf": {hidden(t, page, "csrf")}, "user_code": {code}})
	_, page = fetch(t, c, "POST", p.DevicePage()+"/sign-in", url.Values{"csrf": {hidden(t, page, "csrf")}, "user_code": {code}, "user": {user}, "password": {user}})
	hidden(t, page, "question")
	return page
}

// Somebody sends a victim the link that has the code in it. Opening it, with
// whatever method and parameters, decides nothing; it only fills in the code.
func TestLinkAloneApprovesNothing(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	da := a.ask()
	c := browser(t)
	confirm(t, c, p, da.UserCode, "alice") // the victim even is in the middle of a sign-in
	for _, link := range []string{
		da.VerificationURIComplete,
		da.VerificationURIComplete + "&decision=allow",
		p.DevicePage() + "/decide?decision=allow&user_code=" + da.UserCode,
		p.DevicePage() + "/sign-in?user=alice&password=alice&user_code=" + da.UserCode,
	} {
		fetch(t, c, "GET", link, nil)
		fetch(t, c, "POST", link, nil)
		a.wantPoll(da.DeviceCode, "authorization_pending")
	}
	_, page := fetch(t, c, "GET", da.VerificationURIComplete, nil)
	if got := hidden(t, page, "user_code"); got != da.UserCode {
		t.Errorf("the page is filled in with %q", got)
	}
	if strings.Contains(page, "Allow") {
		t.Error("the link leads straight to Allow")
	}
	resp, page := fetch(t, c, "GET", p.DevicePage()+"?user_code=%3Cscript%3Ealert(1)%3C/script%3E", nil)
	if resp.StatusCode != 400 || strings.Contains(page, "alert(1)") {
		t.Errorf("%s\n%s", resp.Status, page)
	}
	// The link works in the ordinary way.
	if err := idp.SignIn(t.Context(), da.VerificationURIComplete, "", "alice", "alice", true); err != nil {
		t.Fatal(err)
	}
	a.wantPoll(da.DeviceCode, "")
}

// An attacker's page, or an attacker with an account of his own, tries to make
// the decision that the victim has open.
func TestForgedDecisions(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	da := a.ask()
	victim, attacker := browser(t), browser(t)

	theirs := confirm(t, attacker, p, da.UserCode, "ben")
	page := confirm(t, victim, p, da.UserCode, "alice") // replaces ben's
	good := func() url.Values {
		return url.Values{"csrf": {hidden(t, page, "csrf")}, "question": {hidden(t, page, "question")}, "user_code": {da.UserCode}, "decision": {"allow"}}
	}
	with := func(name string, values ...string) url.Values {
		form := good()
		form[name] = values
		return form
	}
	to := p.DevicePage() + "/decide"
	for _, c := range []struct {
		name    string
		client  *http.Client
		form    url.Values
		headers []string
		status  int
	}{
		{"no csrf", victim, with("csrf"), nil, 403},
		{"empty csrf", victim, with("csrf", ""), nil, 403},
		{"foreign csrf", victim, with("csrf", hidden(t, theirs, "csrf")), nil, 403},
		{"no cookie", http.DefaultClient, good(), nil, 403},
		{"victim's form in another browser", attacker, good(), nil, 403},
		{"victim's question in another session", attacker, with("csrf", hidden(t, theirs, "csrf")), nil, 403},
		{"replaced question", attacker, url.Values{"csrf": {hidden(t, theirs, "csrf")}, "question": {hidden(t, theirs, "question")}, "user_code": {da.UserCode}, "decision": {"allow"}}, nil, 403},
		{"no question", victim, with("question"), nil, 403},
		{"other origin", victim, good(), []string{"Origin", "http://evil.example"}, 403},
		{"other port of this machine", victim, good(), []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"other site", victim, good(), []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same site, other origin", victim, good(), []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"other host", victim, good(), []string{"Host", "rebound.example"}, 421},
		{"no decision", victim, with("decision"), nil, 400},
		{"other decision", victim, with("decision", "yes"), nil, 400},
		{"too long", victim, with("pad", strings.Repeat("x", 20000)), nil, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, text := fetch(t, c.client, "POST", to, c.form, c.headers...)
			if resp.StatusCode != c.status {
				t.Errorf("%s, want %d\n%s", resp.Status, c.status, text)
			}
			a.wantPoll(da.DeviceCode, "authorization_pending")
		})
	}
	resp, _ := fetch(t, victim, "POST", to, good(), "Sec-Fetch-Site", "same-origin", "Origin", p.Issuer())
	if resp.StatusCode != 200 {
		t.Errorf("the victim's own decision: %s", resp.Status)
	}
	resp, _ = fetch(t, victim, "POST", to, good())
	if resp.StatusCode != 410 {
		t.Errorf("the same decision again: %s", resp.Status)
	}
	a.wantPoll(da.DeviceCode, "")
}

func TestHeaders(t *testing.T) {
	p := start(t, idp.Options{})
	c := browser(t)
	for _, path := range []string{"/device", "/style.css", "/nowhere", "/keys", "/.well-known/openid-configuration"} {
		resp, _ := fetch(t, c, "GET", p.Issuer()+path, nil)
		for name, want := range map[string]string{
			"Cache-Control":           "no-store",
			"X-Frame-Options":         "DENY",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "same-origin",
			"Content-Security-Policy": "frame-ancestors 'none'",
		} {
			if got := resp.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s: open to scripts of %q", path, got)
		}
	}
	resp, _ := fetch(t, http.DefaultClient, "GET", p.DevicePage(), nil)
	if cookies := resp.Cookies(); len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Errorf("cookies %v", cookies)
	}
	resp, page := fetch(t, c, "GET", p.Issuer()+"/", nil)
	if resp.StatusCode != 200 || !strings.Contains(page, "user_code") {
		t.Errorf("the front page: %s", resp.Status)
	}
}

// What a client says about itself is shown, and cannot become markup, hide,
// or turn the line around.
func TestDisplayedParameters(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	login := func(da *oauth2.DeviceAuthResponse) idp.Question {
		t.Helper()
		b := idp.NewBrowser()
		if err := b.Open(t.Context(), p.DevicePage(), da.UserCode); err != nil {
			t.Fatal(err)
		}
		q, err := b.Login(t.Context(), "alice", "alice")
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	const key = "SHA256:uNiVztksCsDhcc0u9e8BrvHXRL7WLFoSrZ2jg0OkM0I"
	da := a.ask(oauth2.SetAuthURLParam(idp.KeyParam, key), oauth2.SetAuthURLParam(idp.FromParam, "127.0.0.1"))
	want := idp.Question{Person: "Alice Moreau (alice, alice@shop.example)", Client: "Sallyport bastion (sallyport)", Code: da.UserCode, Key: key, From: "127.0.0.1"}
	if q := login(da); q != want {
		t.Errorf("asked %+v, want %+v", q, want)
	}
	if q := login(a.ask()); q.Key != "" || q.From != "" {
		t.Errorf("asked %+v", q)
	}

	const evil = "\"><script>alert(1)</script>\u202emoc\u200b\x1b[2J\x00\xff\\ä"
	da = a.ask(oauth2.SetAuthURLParam(idp.KeyParam, evil), oauth2.SetAuthURLParam(idp.FromParam, evil))
	page := confirm(t, browser(t), p, da.UserCode, "alice")
	if strings.Contains(page, "<script") || strings.ContainsAny(page, "\u202e\u200b\x1b\x00ä") {
		t.Errorf("the page carries it raw:\n%s", page)
	}
	const shown = `"><script>alert(1)</script>\u{202E}moc\u{200B}\u{001B}[2J\u{0000}\x{FF}\u{005C}\u{00E4}`
	if q := login(da); q.Key != shown || q.From != shown {
		t.Errorf("shown %q", q.Key)
	}
}

// The pages as people get them.
func TestPages(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	da := a.ask(oauth2.SetAuthURLParam(idp.KeyParam, "SHA256:uNiVztksCsDhcc0u9e8BrvHXRL7WLFoSrZ2jg0OkM0I"), oauth2.SetAuthURLParam(idp.FromParam, "127.0.0.1"))
	c := browser(t)
	pages := map[string]string{}
	_, pages["code"] = fetch(t, c, "GET", da.VerificationURIComplete, nil)
	csrf := hidden(t, pages["code"], "csrf")
	_, pages["sign-in"] = fetch(t, c, "POST", p.DevicePage(), url.Values{"csrf": {csrf}, "user_code": {da.UserCode}})
	_, pages["wrong"] = fetch(t, c, "POST", p.DevicePage()+"/sign-in", url.Values{"csrf": {csrf}, "user_code": {da.UserCode}, "user": {"alice"}, "password": {"x"}})
	_, pages["confirm"] = fetch(t, c, "POST", p.DevicePage()+"/sign-in", url.Values{"csrf": {csrf}, "user_code": {da.UserCode}, "user": {"alice"}, "password": {"alice"}})
	question := hidden(t, pages["confirm"], "question")
	_, pages["done"] = fetch(t, c, "POST", p.DevicePage()+"/decide", url.Values{"csrf": {csrf}, "user_code": {da.UserCode}, "question": {question}, "decision": {"allow"}})
	stable := strings.NewReplacer(csrf, "CSRF", question, "QUESTION", da.UserCode, "BCDF-GHJK")
	for name, page := range pages {
		page = stable.Replace(page)
		path := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if page != string(want) {
			t.Errorf("page %s is\n%s\nwant\n%s", name, page, want)
		}
	}
}

func TestConverse(t *testing.T) {
	p := start(t, idp.Options{})
	a := newApp(t, p)
	for _, c := range []struct {
		name, typed, says, poll string
	}{
		{"allow", "\nalice\nwrong\nalice\nalice\ny\n", "the password is wrong", ""},
		{"deny", "\nalice\nalice\n\n", "Denied", "access_denied"},
		{"gone", "\nalice\nalice\n", "Allow?", "authorization_pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			da := a.ask(oauth2.SetAuthURLParam(idp.KeyParam, "SHA256:x"))
			var out strings.Builder
			err := idp.Converse(t.Context(), da.VerificationURIComplete, strings.NewReader(c.typed), &out)
			if (err != nil) != (c.name == "gone") {
				t.Error(err)
			}
			for _, want := range []string{c.says, da.UserCode, "SHA256:x", "Alice Moreau"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in\n%s", want, out.String())
				}
			}
			a.wantPoll(da.DeviceCode, c.poll)
		})
	}
	var out strings.Builder
	err := idp.Converse(t.Context(), p.DevicePage(), strings.NewReader("BBBB-BBBB\n"), &out)
	wantPage(t, err, 404, "no such code")
}

func FuzzNormalCode(f *testing.F) {
	for _, s := range []string{"BCDF-GHJK", "bcdf ghjk", "bcdfghjk", "", "----", "BCDF–GHJK", "AEIO-UYAE", "BCDF-GHJ1", "\xff"} {
		f.Add(s)
	}
	shape := regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`)
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := idp.NormalCode(typed)
		if !ok {
			return
		}
		if !shape.MatchString(code) {
			t.Fatalf("%q became %q", typed, code)
		}
		for _, same := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + code + "\t", strings.ReplaceAll(code, "-", " - ")} {
			if again, ok := idp.NormalCode(same); !ok || again != code {
				t.Errorf("%q became %q, %q became %q", typed, code, same, again)
			}
		}
	})
}

func FuzzVisible(f *testing.F) {
	for _, s := range []string{"SHA256:x", "\u202e", "\xff\xfe", "\ufffd", `\x{FF}`, "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := idp.Visible(s)
		for _, r := range shown {
			if r < ' ' || r > '~' {
				t.Fatalf("%q is shown as %q", s, shown)
			}
		}
		// Plain text stays as it is, and nothing else can look like it.
		plain := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' }) < 0
		if plain && shown != s || !plain && !strings.Contains(shown, `\`) {
			t.Errorf("%q is shown as %q", s, shown)
		}
	})
}
