package idp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	devicePath = "/device"
	cookieName = "sallyport_idp"
	maxBody    = 16 << 10
)

//go:embed pages.html style.css
var files embed.FS

// page is what the templates show. Every page has a title; which further
// fields count is the template's choice.
type page struct {
	Title string
	Error string
	CSRF  string
	Code  string

	User string // as typed

	Question string
	Person   Person
	Client   string
	Key      string
	From     string
	Gets     []string

	Text string
}

// handler serves the pages and those of op's endpoints that this provider
// means to offer.
func (p *Provider) handler() http.Handler {
	templates := template.Must(template.ParseFS(files, "pages.html"))
	show := func(w http.ResponseWriter, status int, name string, pg page) {
		var b bytes.Buffer
		if err := templates.ExecuteTemplate(&b, name, pg); err != nil {
			http.Error(w, "this page cannot be shown", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		w.Write(b.Bytes())
	}
	ui := &pages{p: p, show: show}

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler(devicePath, http.StatusSeeOther))
	mux.Handle("GET /style.css", http.FileServerFS(files))
	mux.HandleFunc("GET "+devicePath, ui.askCode)
	mux.HandleFunc("POST "+devicePath, ui.askPassword)
	mux.HandleFunc("POST "+devicePath+"/sign-in", ui.askConsent)
	mux.HandleFunc("POST "+devicePath+"/decide", ui.decide)

	mux.HandleFunc("GET "+oidc.DiscoveryEndpoint, p.discover)
	mux.HandleFunc("POST "+p.op.DeviceAuthorizationEndpoint().Relative(), p.authorize)
	mux.HandleFunc("POST "+p.op.TokenEndpoint().Relative(), p.token)
	mux.Handle("GET "+p.op.KeysEndpoint().Relative(), p.op)
	mux.Handle("GET "+p.op.UserinfoEndpoint().Relative(), p.op)
	mux.Handle("POST "+p.op.UserinfoEndpoint().Relative(), p.op)
	mux.Handle("POST "+p.op.RevocationEndpoint().Relative(), p.op)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// A name that a stranger's DNS points to loopback is not this server.
		if _, port, _ := net.SplitHostPort(p.host); r.Host != p.host && r.Host != "localhost:"+port {
			http.Error(w, "this provider is reached as "+p.issuer, http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// discover tells the truth about what is offered, where op's own document
// names all that it could do.
func (p *Provider) discover(w http.ResponseWriter, r *http.Request) {
	all := op.CreateDiscoveryConfig(op.ContextWithIssuer(r.Context(), p.issuer), p.op, p.store)
	none := []oidc.AuthMethod{oidc.AuthMethodNone}
	httphelper.MarshalJSON(w, &oidc.DiscoveryConfiguration{
		Issuer:                                 all.Issuer,
		TokenEndpoint:                          all.TokenEndpoint,
		UserinfoEndpoint:                       all.UserinfoEndpoint,
		RevocationEndpoint:                     all.RevocationEndpoint,
		DeviceAuthorizationEndpoint:            all.DeviceAuthorizationEndpoint,
		JwksURI:                                all.JwksURI,
		ScopesSupported:                        Scopes(),
		ResponseTypesSupported:                 []string{"none"}, // there is no authorization endpoint
		GrantTypesSupported:                    client{}.GrantTypes(),
		SubjectTypesSupported:                  []string{"public"},
		IDTokenSigningAlgValuesSupported:       all.IDTokenSigningAlgValuesSupported,
		TokenEndpointAuthMethodsSupported:      none,
		RevocationEndpointAuthMethodsSupported: none,
		ClaimsSupported: []string{
			"iss", "sub", "aud", "azp", "iat", "exp", "auth_time", "amr", "nonce", "at_hash",
			"name", "preferred_username", "email", "email_verified", "groups",
		},
	})
}

// pages are the four steps of a sign-in. Each but the first is a POST with the
// browser session's CSRF token; nothing is decided before the last.
type pages struct {
	p    *Provider
	show func(w http.ResponseWriter, status int, name string, pg page)
}

// askCode shows the form for the user code. A code in the address is only
// filled in: the person must send it (RFC 8628, sections 3.3.1 and 5.4).
func (ui *pages) askCode(w http.ResponseWriter, r *http.Request) {
	pg := page{Title: "Sign in", CSRF: ui.p.csrf(session(w, r))}
	status := http.StatusOK
	if typed := r.URL.Query().Get("user_code"); typed != "" {
		var ok bool
		if pg.Code, ok = normalCode(typed); !ok {
			status, pg.Code, pg.Error = http.StatusBadRequest, "", malformed
		}
	}
	ui.show(w, status, "code", pg)
}

const malformed = "That is no code: a code has eight letters, as in BCDF-GHJK."

// askPassword takes a user code and shows the form for name and password.
func (ui *pages) askPassword(w http.ResponseWriter, r *http.Request) {
	sid, ok := ui.form(w, r)
	if !ok {
		return
	}
	code, ok := ui.code(w, r, sid)
	if !ok {
		return
	}
	ui.show(w, http.StatusOK, "sign-in", page{Title: "Sign in", CSRF: ui.p.csrf(sid), Code: code})
}

// askConsent takes name and password and shows what asks, and for what.
func (ui *pages) askConsent(w http.ResponseWriter, r *http.Request) {
	sid, ok := ui.form(w, r)
	if !ok {
		return
	}
	code, ok := ui.code(w, r, sid)
	if !ok {
		return
	}
	again := func(status int, why string) {
		pg := page{Title: "Sign in", CSRF: ui.p.csrf(sid), Code: code, Error: why}
		if u := r.PostForm.Get("user"); len(u) <= maxName {
			pg.User = u
		}
		ui.show(w, status, "sign-in", pg)
	}
	user := strings.TrimSpace(r.PostForm.Get("user"))
	if user == "" || len(user) > maxName {
		again(http.StatusBadRequest, "Type your user name and your password.")
		return
	}
	var person Person
	ok, wait := ui.p.logins.try(user, func() (right bool) {
		person, right = ui.p.store.check(user, r.PostForm.Get("password"))
		return right
	})
	switch {
	case wait > 0:
		again(tooMany(w, wait), "Too many wrong passwords for this name. "+tryAgain(wait))
		return
	case !ok:
		again(http.StatusForbidden, "The user name or the password is wrong. Nothing was approved.")
		return
	case person.Disabled:
		again(http.StatusForbidden, sentence(errDisabled))
		return
	}
	id, d, err := ui.p.store.ask(code, sid, user)
	if err != nil {
		ui.codeError(w, sid, err)
		return
	}
	pg := page{
		Title: "Allow this sign-in?", CSRF: ui.p.csrf(sid), Code: code,
		Question: id, Person: person, Client: "Sallyport bastion (" + d.client + ")",
		Key: visible(d.asker.key), From: visible(d.asker.from),
	}
	for _, g := range []struct{ scope, text string }{
		{oidc.ScopeOpenID, "that it is you, and when you signed in"},
		{oidc.ScopeProfile, "your name and user name"},
		{oidc.ScopeEmail, "your e-mail address"},
		{scopeGroups, "the groups that you are in"},
		{oidc.ScopeOfflineAccess, "leave to ask later whether all this is still so"},
	} {
		if slices.Contains(d.scopes, g.scope) {
			pg.Gets = append(pg.Gets, g.text)
		}
	}
	ui.show(w, http.StatusOK, "confirm", pg)
}

// decide takes Allow or Deny.
func (ui *pages) decide(w http.ResponseWriter, r *http.Request) {
	sid, ok := ui.form(w, r)
	if !ok {
		return
	}
	code, ok := ui.code(w, r, sid)
	if !ok {
		return
	}
	decision := r.PostForm.Get("decision")
	if decision != "allow" && decision != "deny" {
		ui.stop(w, http.StatusBadRequest, "Nothing was decided", "Choose Allow or Deny on the page before.")
		return
	}
	if err := ui.p.store.decide(code, sid, r.PostForm.Get("question"), decision == "allow"); err != nil {
		ui.codeError(w, sid, err)
		return
	}
	if decision == "allow" {
		ui.stop(w, http.StatusOK, "Signed in", "You may close this page. Your terminal goes on by itself.")
		return
	}
	ui.stop(w, http.StatusOK, "Denied", "Nobody was signed in. If you did not start this, tell whoever runs your bastion.")
}

// stop shows a page with words only.
func (ui *pages) stop(w http.ResponseWriter, status int, title, text string) {
	ui.show(w, status, "words", page{Title: title, Text: text})
}

// form lets only posts through that this browser session's own pages made.
// Cookies do not know ports, so a page on another port of this machine can set
// and reuse ours; such a page is told by its origin.
func (ui *pages) form(w http.ResponseWriter, r *http.Request) (sid string, ok bool) {
	const title = "This form cannot be used"
	if ui.p.origin.Check(r) != nil {
		ui.stop(w, http.StatusForbidden, title, "It came from another site. Nothing was changed. Open the address that your terminal shows yourself.")
		return "", false
	}
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if _, big := errors.AsType[*http.MaxBytesError](err); big {
			status = http.StatusRequestEntityTooLarge
		}
		ui.stop(w, status, title, "It could not be read. Open the sign-in page again.")
		return "", false
	}
	c, err := r.Cookie(cookieName)
	if err != nil || !hmac.Equal([]byte(ui.p.csrf(c.Value)), []byte(r.PostForm.Get("csrf"))) {
		ui.stop(w, http.StatusForbidden, title, "It does not belong to this browser session, or cookies are off. Nothing was changed. Open the sign-in page again.")
		return "", false
	}
	return c.Value, true
}

// code reads a form's user code, which must wait for a decision, and otherwise
// shows why it does not. Codes are short, so guessing is limited (RFC 8628,
// section 5.1).
func (ui *pages) code(w http.ResponseWriter, r *http.Request, sid string) (string, bool) {
	code, ok := normalCode(r.PostForm.Get("user_code"))
	if !ok {
		ui.show(w, http.StatusBadRequest, "code", page{Title: "Sign in", CSRF: ui.p.csrf(sid), Error: malformed})
		return "", false
	}
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	var err error
	_, wait := ui.p.guesses.try(from, func() bool {
		err = ui.p.store.find(code)
		return !errors.Is(err, errUnknownCode)
	})
	if wait > 0 {
		ui.show(w, tooMany(w, wait), "code", page{Title: "Sign in", CSRF: ui.p.csrf(sid), Code: code, Error: "Too many unknown codes from your address. " + tryAgain(wait)})
		return "", false
	}
	if err != nil {
		ui.codeError(w, sid, err)
		return "", false
	}
	return code, true
}

// codeError shows why a code leads nowhere, and the form for another.
func (ui *pages) codeError(w http.ResponseWriter, sid string, err error) {
	status := http.StatusForbidden
	switch {
	case errors.Is(err, errUnknownCode):
		status = http.StatusNotFound
	case errors.Is(err, errExpiredCode), errors.Is(err, errUsedCode):
		status = http.StatusGone
	}
	ui.show(w, status, "code", page{Title: "Sign in", CSRF: ui.p.csrf(sid), Error: sentence(err)})
}

// session returns the browser session's name, and begins one where there is
// none. The server keeps nothing for it.
func session(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(cookieName); err == nil && len(c.Value) == len(rand.Text()) {
		return c.Value
	}
	sid := rand.Text()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: sid, Path: devicePath, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	return sid
}

// csrf is the token that a session's forms carry.
func (p *Provider) csrf(sid string) string {
	mac := hmac.New(sha256.New, p.csrfKey)
	mac.Write([]byte(sid))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// visible shows a text that a client made up. All but plain ASCII is spelled
// out, so that nothing hides, overlaps, turns the direction of writing, or
// looks like another letter.
func visible(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\ufffd' && !strings.HasPrefix(s[i:], "\ufffd"):
			fmt.Fprintf(&b, `\x{%02X}`, s[i])
		case r < ' ' || r > '~' || r == '\\':
			fmt.Fprintf(&b, `\u{%04X}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// sentence makes a person's sentence of an error.
func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

func tooMany(w http.ResponseWriter, wait time.Duration) int {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return http.StatusTooManyRequests
}

func tryAgain(wait time.Duration) string {
	return fmt.Sprintf("Try again in %.0f seconds.", math.Ceil(wait.Seconds()))
}
