package identity_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/identity"
)

const secretCode = "the-device-code-is-secret"

// fake is a provider that answers as its fields say: what a real one never
// does is what it is for. By default it approves every code at the first poll.
type fake struct {
	t      *testing.T
	server *httptest.Server
	key    *rsa.PrivateKey
	kid    string

	mu    sync.Mutex
	polls int
	forms []url.Values // of device authorizations
	asked url.Values   // the last at the token endpoint

	handle map[string]http.HandlerFunc           // instead of the path's own answer
	device func(map[string]any)                  // changes the device authorization
	claims func(poll int, claims map[string]any) // changes the ID token
	header map[string]any                        // of the ID token
	sign   func(signed string) []byte            // instead of RS256
	answer func(poll int) map[string]any         // to a poll, instead of a token; nil gives the token
	jwks   func() []any                          // the published keys
}

func newFake(t *testing.T) *fake {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, key: key, kid: "1", handle: map[string]http.HandlerFunc{}, header: map[string]any{"alg": "RS256"}}
	f.jwks = func() []any { return []any{jwk(f.kid, &f.key.PublicKey)} }
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) provider() identity.Provider {
	return identity.Provider{Issuer: f.server.URL, ClientID: "sallyport"}
}

func jwk(kid string, pub *rsa.PublicKey) any {
	return map[string]any{"kty": "RSA", "use": "sig", "kid": kid, "n": b64(pub.N.Bytes()), "e": b64(big.NewInt(int64(pub.E)).Bytes())}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := f.handle[r.URL.Path]; h != nil {
		h(w, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		f.t.Error(err)
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		f.json(w, 200, map[string]any{"issuer": f.server.URL, "device_authorization_endpoint": f.server.URL + "/device",
			"token_endpoint": f.server.URL + "/token", "userinfo_endpoint": f.server.URL + "/userinfo", "jwks_uri": f.server.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}})
	case "/keys":
		f.json(w, 200, map[string]any{"keys": f.jwks()})
	case "/device":
		f.mu.Lock()
		f.forms = append(f.forms, r.PostForm)
		f.mu.Unlock()
		a := map[string]any{"device_code": secretCode, "user_code": "ABCD", "verification_uri": f.server.URL + "/go", "expires_in": 300, "interval": 2}
		if f.device != nil {
			f.device(a)
		}
		f.json(w, 200, a)
	case "/token":
		f.mu.Lock()
		f.polls++
		f.asked = r.PostForm
		n := f.polls
		nonce := ""
		if len(f.forms) > 0 {
			nonce = f.forms[len(f.forms)-1].Get("nonce")
		}
		f.mu.Unlock()
		if f.answer != nil {
			if a := f.answer(n); a != nil {
				status := 400
				if s, ok := a["status"].(int); ok {
					status = s
				}
				f.json(w, status, a)
				return
			}
		}
		f.json(w, 200, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": f.token(n, nonce)})
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		f.t.Log(err) // the client may have stopped reading
	}
}

func (f *fake) token(n int, nonce string) string {
	now := time.Now().Unix()
	c := map[string]any{"iss": f.server.URL, "aud": "sallyport", "sub": "s1", "iat": now, "exp": now + 300, "preferred_username": "sam"}
	if f.claims == nil || n == 0 {
		c["nonce"] = nonce
	}
	if f.claims != nil {
		f.claims(n, c)
	}
	h := maps.Clone(f.header)
	if _, ok := h["kid"]; !ok {
		h["kid"] = f.kid
	}
	if h["kid"] == nil {
		delete(h, "kid")
	}
	signed := b64(f.marshal(h)) + "." + b64(f.marshal(c))
	if f.sign != nil {
		return signed + "." + b64(f.sign(signed))
	}
	return signed + "." + b64(f.rs256(f.key, signed))
}

func (f *fake) marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		f.t.Error(err)
	}
	return b
}

func (f *fake) rs256(key *rsa.PrivateKey, signed string) []byte {
	sum := sha256.Sum256([]byte(signed))
	s, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		f.t.Error(err)
	}
	return s
}

// try signs in once with a new key, and reports whether anything was kept.
func (f *fake) try(t *testing.T) (bastion.Identity, error) {
	t.Helper()
	h := newHouse(t, f.provider())
	h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	who, err := h.SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { return nil })
	if err != nil {
		if n := h.rows(); n != 0 {
			t.Errorf("%d rows are kept in spite of %v", n, err)
		}
		if s := err.Error(); strings.Contains(s, secretCode) || strings.Contains(s, "eyJ") || strings.Contains(s, f.server.URL) || strings.Contains(s, "\x1b") {
			t.Errorf("the sentence tells too much: %s", s)
		}
	}
	return who, err
}

// Pitfall 8: each fault of an ID token by itself.
func TestTokens(t *testing.T) {
	set := func(k string, v any) func(int, map[string]any) {
		return func(_ int, c map[string]any) {
			if v == nil {
				delete(c, k)
			} else {
				c[k] = v
			}
		}
	}
	now := time.Now().Unix()
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*fake){
		"alg none": func(f *fake) {
			f.header["alg"] = "none"
			f.sign = func(string) []byte { return nil }
		},
		"HS256 with the public key": func(f *fake) {
			f.header["alg"] = "HS256"
			f.sign = func(signed string) []byte {
				der, err := x509.MarshalPKIXPublicKey(&f.key.PublicKey)
				if err != nil {
					t.Error(err)
				}
				m := hmac.New(sha256.New, der)
				m.Write([]byte(signed))
				return m.Sum(nil)
			}
		},
		"a stranger's key":   func(f *fake) { f.sign = func(s string) []byte { return f.rs256(stranger, s) } },
		"a stranger, no kid": func(f *fake) { f.header["kid"] = nil; f.sign = func(s string) []byte { return f.rs256(stranger, s) } },
		"unknown kid":        func(f *fake) { f.header["kid"] = "9" },
		"embedded key": func(f *fake) {
			f.header["jwk"] = jwk("1", &stranger.PublicKey)
			f.sign = func(s string) []byte { return f.rs256(stranger, s) }
		},
		"no keys":              func(f *fake) { f.jwks = func() []any { return nil } },
		"wrong issuer":         func(f *fake) { f.claims = set("iss", "https://evil.example") },
		"no issuer":            func(f *fake) { f.claims = set("iss", nil) },
		"wrong audience":       func(f *fake) { f.claims = set("aud", "other") },
		"no audience":          func(f *fake) { f.claims = set("aud", nil) },
		"two audiences":        func(f *fake) { f.claims = set("aud", []string{"sallyport", "other"}) },
		"another's azp":        func(f *fake) { f.claims = set("azp", "other") },
		"expired":              func(f *fake) { f.claims = set("exp", now-10) },
		"no expiry":            func(f *fake) { f.claims = set("exp", nil) },
		"future iat":           func(f *fake) { f.claims = set("iat", now+3600) },
		"old iat":              func(f *fake) { f.claims = set("iat", now-3600) },
		"no iat":               func(f *fake) { f.claims = set("iat", nil) },
		"future nbf":           func(f *fake) { f.claims = set("nbf", now+3600) },
		"future auth_time":     func(f *fake) { f.claims = set("auth_time", now+3600) },
		"auth_time is a word":  func(f *fake) { f.claims = set("auth_time", "now") },
		"another nonce":        func(f *fake) { f.claims = set("nonce", "other") },
		"no subject":           func(f *fake) { f.claims = set("sub", nil) },
		"empty subject":        func(f *fake) { f.claims = set("sub", "") },
		"subject is a number":  func(f *fake) { f.claims = set("sub", 7) },
		"long subject":         func(f *fake) { f.claims = set("sub", strings.Repeat("s", 256)) },
		"subject with NUL":     func(f *fake) { f.claims = set("sub", "a\x00b") },
		"subject with escapes": func(f *fake) { f.claims = set("sub", "\x1b[2J") },
		"groups are a word":    func(f *fake) { f.claims = set("groups", "admins") },
		"groups are an object": func(f *fake) { f.claims = set("groups", map[string]any{"admins": true}) },
		"groups are numbers":   func(f *fake) { f.claims = set("groups", []any{"a", 7}) },
		"an empty group":       func(f *fake) { f.claims = set("groups", []any{""}) },
		"a group with escapes": func(f *fake) { f.claims = set("groups", []any{"\x1b]0;x\x07"}) },
		"too many groups":      func(f *fake) { f.claims = set("groups", slices.Repeat([]string{"g"}, 1001)) },
		"name is a number":     func(f *fake) { f.claims = set("preferred_username", 7) },
		"large":                func(f *fake) { f.claims = set("pad", strings.Repeat("x", 70_000)) },
		"no token": func(f *fake) {
			f.answer = func(int) map[string]any { return map[string]any{"status": 200, "access_token": "a"} }
		},
		"junk": func(f *fake) {
			f.answer = func(int) map[string]any { return map[string]any{"status": 200, "id_token": "eyJ\x1b[2J"} }
		},
		"encrypted": func(f *fake) {
			f.answer = func(int) map[string]any {
				return map[string]any{"status": 200, "id_token": b64([]byte(`{"alg":"dir","enc":"A128GCM"}`)) + "..AAAA.AAAA.AAAA"}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			change(f)
			who, err := f.try(t)
			if err == nil {
				t.Fatalf("accepted as %+v", who)
			}
			wantReason(t, err, identity.BadToken)
		})
	}
}

func TestClaims(t *testing.T) {
	for name, c := range map[string]struct {
		change func(map[string]any)
		check  func(bastion.Identity) bool
	}{
		"verified e-mail":     {func(c map[string]any) { c["email"], c["email_verified"] = "a@b.example", true }, func(i bastion.Identity) bool { return i.Email == "a@b.example" }},
		"e-mail not verified": {func(c map[string]any) { c["email"], c["email_verified"] = "a@b.example", false }, func(i bastion.Identity) bool { return i.Email == "" }},
		"e-mail unsaid":       {func(c map[string]any) { c["email"] = "a@b.example" }, func(i bastion.Identity) bool { return i.Email == "" }},
		"verified by a word":  {func(c map[string]any) { c["email"], c["email_verified"] = "a@b.example", "true" }, func(i bastion.Identity) bool { return i.Email == "" }},
		"no groups":           {func(map[string]any) {}, func(i bastion.Identity) bool { return len(i.Groups) == 0 }},
		"null groups":         {func(c map[string]any) { c["groups"] = nil }, func(i bastion.Identity) bool { return len(i.Groups) == 0 }},
		"groups":              {func(c map[string]any) { c["groups"] = []string{"b", "a", "b"} }, func(i bastion.Identity) bool { return slices.Equal(i.Groups, []string{"a", "b"}) }},
		"name from e-mail": {func(c map[string]any) {
			c["email"], c["email_verified"], c["preferred_username"] = "ann@b.example", true, ""
		}, func(i bastion.Identity) bool { return i.Name == "ann" }},
		"long name":             {func(c map[string]any) { c["preferred_username"] = strings.Repeat("é", 99) }, func(i bastion.Identity) bool { return i.Name == strings.Repeat("é", 64) }},
		"old auth_time":         {func(c map[string]any) { c["auth_time"] = time.Now().Unix() - 3600 }, func(i bastion.Identity) bool { return time.Since(i.SignedIn) > 59*time.Minute }},
		"two audiences and azp": {func(c map[string]any) { c["aud"], c["azp"] = []string{"sallyport", "x"}, "sallyport" }, func(i bastion.Identity) bool { return i.Subject == "s1" }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.claims = func(_ int, claims map[string]any) { c.change(claims) }
			who, err := f.try(t)
			if err != nil {
				t.Fatal(err)
			}
			if !c.check(who) {
				t.Errorf("%+v", who)
			}
		})
	}
}

// Pitfall 8: keys rotate, and two keys are published at once.
func TestKeyRotation(t *testing.T) {
	f := newFake(t)
	h := newHouse(t, f.provider())
	h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	show := func(bastion.SignInPrompt) error { return nil }
	if _, err := h.SignIn(t.Context(), from("SHA256:1"), show); err != nil {
		t.Fatal(err)
	}
	old := f.key
	next, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f.key, f.kid = next, "2"
	f.jwks = func() []any { return []any{jwk("1", &old.PublicKey), jwk("2", &next.PublicKey)} }
	if _, err := h.SignIn(t.Context(), from("SHA256:2"), show); err != nil {
		t.Fatalf("with a new key: %v", err)
	}
	// The old key is gone from the set: what it signs counts no more, once the
	// keeper has looked.
	third, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f.key, f.kid = third, "3"
	f.jwks = func() []any { return []any{jwk("3", &third.PublicKey)} }
	if _, err := h.SignIn(t.Context(), from("SHA256:3"), show); err != nil {
		t.Fatal(err)
	}
	f.key, f.kid = old, "1"
	_, err = h.SignIn(t.Context(), from("SHA256:4"), show)
	wantReason(t, err, identity.BadToken)
}

// Pitfall 6: what a poll can be answered with, and how often we ask.
func TestPolls(t *testing.T) {
	say := func(errors ...string) func(int) map[string]any {
		return func(n int) map[string]any {
			if n > len(errors) {
				return nil
			}
			return map[string]any{"error": errors[n-1], "error_description": "\x1b[2J" + secretCode}
		}
	}
	second := time.Second
	for name, c := range map[string]struct {
		device func(map[string]any)
		answer func(int) map[string]any
		want   identity.Reason
		waits  []time.Duration
	}{
		"at once":      {answer: say(), waits: []time.Duration{2 * second}},
		"pending":      {answer: say("authorization_pending", "authorization_pending"), waits: []time.Duration{2 * second, 2 * second, 2 * second}},
		"slow down":    {answer: say("slow_down", "authorization_pending", "slow_down"), waits: []time.Duration{2 * second, 7 * second, 7 * second, 12 * second}},
		"no interval":  {device: func(d map[string]any) { delete(d, "interval") }, answer: say(), waits: []time.Duration{5 * second}},
		"huge wait":    {device: func(d map[string]any) { d["interval"] = 1e18 }, answer: say(), waits: []time.Duration{60 * second}},
		"denied":       {answer: say("authorization_pending", "access_denied"), want: identity.Denied},
		"expired":      {answer: say("expired_token"), want: identity.CodeExpired},
		"used or lost": {answer: say("invalid_grant"), want: identity.Misbehaved},
		"odd error":    {answer: say("Hello\x1b[2J"), want: identity.Misbehaved},
		"broken once": {answer: func(n int) map[string]any {
			if n == 1 {
				return map[string]any{"status": 503}
			}
			return nil
		}, waits: []time.Duration{2 * second, 4 * second}},
		"broken for good":    {answer: func(int) map[string]any { return map[string]any{"status": 500} }, want: identity.Misbehaved},
		"error with a token": {answer: func(int) map[string]any { return map[string]any{"status": 200, "error": "odd", "id_token": "x"} }, want: identity.Misbehaved},
		"token in a refusal": {answer: func(int) map[string]any { return map[string]any{"status": 403, "id_token": "x"} }, want: identity.Misbehaved},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.device, f.answer = c.device, c.answer
			h := newHouse(t, f.provider())
			var waits []time.Duration
			h.Wait(func(ctx context.Context, d time.Duration) error { waits = append(waits, d); return ctx.Err() })
			_, err := h.SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { return nil })
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(waits, c.waits) {
					t.Errorf("waited %v, want %v", waits, c.waits)
				}
				return
			}
			wantReason(t, err, c.want)
			if strings.Contains(err.Error(), secretCode) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the sentence quotes the provider: %q", err)
			}
			if n := h.rows(); n != 0 {
				t.Errorf("%d rows are kept", n)
			}
		})
	}
}

// The code's own end stops the wait, also where the provider never says so.
func TestCodeExpires(t *testing.T) {
	f := newFake(t)
	f.device = func(d map[string]any) { d["expires_in"] = 0.05 }
	f.answer = func(int) map[string]any { return map[string]any{"error": "authorization_pending"} }
	h := newHouse(t, f.provider())
	h.Wait(func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return context.Cause(ctx) })
	_, err := h.SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { return nil })
	wantReason(t, err, identity.CodeExpired)
}

func TestDeviceAnswers(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"no device code":     func(d map[string]any) { delete(d, "device_code") },
		"no user code":       func(d map[string]any) { delete(d, "user_code") },
		"escapes in code":    func(d map[string]any) { d["user_code"] = "\x1b[2J" },
		"long code":          func(d map[string]any) { d["user_code"] = strings.Repeat("A", 65) },
		"no page":            func(d map[string]any) { delete(d, "verification_uri") },
		"script page":        func(d map[string]any) { d["verification_uri"] = "javascript:alert(1)" },
		"plain page":         func(d map[string]any) { d["verification_uri"] = "http://evil.example/" },
		"page with a person": func(d map[string]any) { d["verification_uri"] = "https://id.example@evil.example/" },
		"bidi page":          func(d map[string]any) { d["verification_uri"] = "https://a.example/\u202emoc" },
		"odd direct page":    func(d map[string]any) { d["verification_uri_complete"] = "file:///etc/passwd" },
		"no life":            func(d map[string]any) { delete(d, "expires_in") },
		"negative life":      func(d map[string]any) { d["expires_in"] = -1 },
		"negative interval":  func(d map[string]any) { d["interval"] = -1 },
		"life is a word":     func(d map[string]any) { d["expires_in"] = "long" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.device = change
			_, err := f.try(t)
			if err == nil {
				t.Fatal("accepted")
			}
			wantReason(t, err, identity.Misbehaved)
		})
	}
}

func TestProviderMisbehaves(t *testing.T) {
	elsewhere := newFake(t)
	redirect := func(path string) func(*fake) {
		return func(f *fake) {
			f.handle[path] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.server.URL+path, http.StatusTemporaryRedirect)
			}
		}
	}
	oversize := func(path string) func(*fake) {
		return func(f *fake) {
			f.handle[path] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"pad":"%s"}`, strings.Repeat("x", 2<<20))
			}
		}
	}
	discovery := func(key, value string) func(*fake) {
		return func(f *fake) {
			f.handle["/.well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
				d := map[string]any{"issuer": f.server.URL, "device_authorization_endpoint": f.server.URL + "/device",
					"token_endpoint": f.server.URL + "/token", "userinfo_endpoint": f.server.URL + "/userinfo", "jwks_uri": f.server.URL + "/keys"}
				d[key] = value
				f.json(w, 200, d)
			}
		}
	}
	status := func(path string, code int) func(*fake) {
		return func(f *fake) {
			f.handle[path] = func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<b>"+secretCode+"\x1b[2J</b>", code) }
		}
	}
	for name, c := range map[string]struct {
		change func(*fake)
		want   identity.Reason
	}{
		"discovery redirects":   {redirect("/.well-known/openid-configuration"), identity.Misbehaved},
		"device redirects":      {redirect("/device"), identity.Misbehaved},
		"token redirects":       {redirect("/token"), identity.Misbehaved},
		"keys redirect":         {redirect("/keys"), identity.BadToken},
		"discovery is large":    {oversize("/.well-known/openid-configuration"), identity.Misbehaved},
		"device is large":       {oversize("/device"), identity.Misbehaved},
		"token is large":        {oversize("/token"), identity.Misbehaved},
		"keys are large":        {oversize("/keys"), identity.BadToken},
		"discovery fails":       {status("/.well-known/openid-configuration", 500), identity.Misbehaved},
		"device fails":          {status("/device", 500), identity.Misbehaved},
		"device refuses":        {status("/device", 401), identity.Misbehaved},
		"token is a page":       {status("/token", 200), identity.Misbehaved},
		"keys fail":             {status("/keys", 500), identity.BadToken},
		"another issuer":        {discovery("issuer", "https://evil.example"), identity.Misbehaved},
		"no device endpoint":    {discovery("device_authorization_endpoint", ""), identity.Misbehaved},
		"plain device endpoint": {discovery("device_authorization_endpoint", "http://evil.example/device"), identity.Misbehaved},
		"plain token endpoint":  {discovery("token_endpoint", "http://evil.example/token"), identity.Misbehaved},
		"plain keys":            {discovery("jwks_uri", "http://evil.example/keys"), identity.Misbehaved},
		"keys from a file":      {discovery("jwks_uri", "file:///etc/passwd"), identity.Misbehaved},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c.change(f)
			_, err := f.try(t)
			if err == nil {
				t.Fatal("accepted")
			}
			wantReason(t, err, c.want)
		})
	}
	if elsewhere.polls > 0 || len(elsewhere.forms) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestSlowProvider(t *testing.T) {
	f := newFake(t)
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	f.handle["/device"] = func(http.ResponseWriter, *http.Request) { <-stuck }
	p := f.provider()
	p.HTTP = &http.Client{Transport: impatient{}}
	h := newHouse(t, p)
	_, err := h.SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { return nil })
	wantReason(t, err, identity.Slow)
}

// impatient gives requests for codes a tiny part of the time that they have.
type impatient struct{}

func (impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/device" {
		return http.DefaultTransport.RoundTrip(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
	defer cancel()
	return http.DefaultTransport.RoundTrip(r.WithContext(ctx))
}

func TestClientSecret(t *testing.T) {
	const secret = "s3cret/&="
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		t.Run(method, func(t *testing.T) {
			f := newFake(t)
			var seen []string
			for _, path := range []string{"/device", "/token"} {
				f.handle[path] = func(w http.ResponseWriter, r *http.Request) {
					if err := r.ParseForm(); err != nil {
						t.Error(err)
					}
					_, basic, _ := r.BasicAuth()
					if basic != "" {
						var err error
						if basic, err = url.QueryUnescape(basic); err != nil {
							t.Error(err)
						}
					}
					seen = append(seen, basic+"|"+r.PostForm.Get("client_secret"))
					delete(f.handle, path)
					f.ServeHTTP(w, r)
				}
			}
			f.handle["/.well-known/openid-configuration"] = func(w http.ResponseWriter, r *http.Request) {
				f.json(w, 200, map[string]any{"issuer": f.server.URL, "device_authorization_endpoint": f.server.URL + "/device",
					"token_endpoint": f.server.URL + "/token", "userinfo_endpoint": f.server.URL + "/userinfo", "jwks_uri": f.server.URL + "/keys",
					"token_endpoint_auth_methods_supported": []string{method}})
			}
			p := f.provider()
			p.Secret = func(context.Context) (string, error) { return secret, nil }
			h := newHouse(t, p)
			h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
			if _, err := h.SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { return nil }); err != nil {
				t.Fatal(err)
			}
			want := []string{secret + "|", secret + "|"}
			if method == "client_secret_post" {
				want = []string{"|" + secret, "|" + secret}
			}
			if !slices.Equal(seen, want) {
				t.Errorf("seen %q", seen)
			}
		})
	}
	t.Run("cannot be read", func(t *testing.T) {
		f := newFake(t)
		p := f.provider()
		p.Secret = func(context.Context) (string, error) { return "", fmt.Errorf("reading %s: no such file", secret) }
		_, err := newHouse(t, p).SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { return nil })
		wantReason(t, err, identity.Failed)
		if strings.Contains(err.Error(), secret) {
			t.Error(err)
		}
	})
}

// What a provider sends in a token must never bring the bastion down, and never
// make an identity with something missing.
func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"sub":"s","groups":["a"]}`))
	f.Add([]byte(`{"sub":"s\u0000","groups":null,"aud":[],"auth_time":1e300}`))
	f.Add([]byte(`{"email":"a@b","email_verified":true,"preferred_username":"~"}`))
	t0 := &testing.T{}
	srv := newFakeFor(f, t0)
	f.Fuzz(func(t *testing.T, claims []byte) {
		var over map[string]any
		if json.Unmarshal(claims, &over) != nil {
			return
		}
		srv.claims = func(_ int, c map[string]any) { maps.Copy(c, over) }
		h := newHouse(t, srv.provider())
		h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
		key := ssh.FingerprintSHA256(newKey(t))
		who, err := h.SignIn(t.Context(), from(key), func(bastion.SignInPrompt) error { return nil })
		if err != nil {
			if h.rows() != 0 {
				t.Fatalf("kept something in spite of %v", err)
			}
			return
		}
		if who.Issuer != srv.server.URL || who.Subject == "" || who.Name == "" || who.Kind != bastion.Person {
			t.Fatalf("%+v", who)
		}
		for _, s := range append([]string{who.Subject, who.Name, who.Email}, who.Groups...) {
			if bastion.VisibleLine(s) != s {
				t.Fatalf("not printable: %q in %+v", s, who)
			}
		}
	})
}

func newFakeFor(f *testing.F, t *testing.T) *fake {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	srv := &fake{t: t, key: key, kid: "1", handle: map[string]http.HandlerFunc{}, header: map[string]any{"alg": "RS256"}}
	srv.jwks = func() []any { return []any{jwk("1", &key.PublicKey)} }
	srv.server = httptest.NewServer(srv)
	f.Cleanup(srv.server.Close)
	return srv
}
