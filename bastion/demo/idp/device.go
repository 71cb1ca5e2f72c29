package idp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// device is one device authorization, from the request to its one token.
type device struct {
	userCode string
	client   string
	scopes   []string
	asker    asker
	expires  time.Time

	polled time.Time     // arrival of the last poll
	gap    time.Duration // least distance between two polls

	stage   stage
	asked   question      // the confirmation page shown last
	decided chan struct{} // closed when stage leaves waiting

	user     string    // who allowed it
	authTime time.Time // when that person signed in
}

// stage of a device authorization. Only an allowed one gives a token, and it
// does so once.
type stage uint8

const (
	waiting stage = iota
	allowed
	denied
	used
)

// asker is what a client says about the device that asks.
type asker struct {
	key, from string // raw: to be shown through visible
	nonce     string
}

// question is one confirmation page: a decision counts only from the browser
// session that it was shown to. The zero question is answered by nobody.
type question struct {
	id       string
	session  string
	user     string
	authTime time.Time
}

type (
	askerKey struct{} // context key of asker
	takenKey struct{} // context key of *taken
)

// taken is an allowed authorization on its one way to a token.
type taken struct {
	code  string
	state *op.DeviceAuthorizationState
	nonce string
}

// ---- the client's side

// authorize takes what op does not read from a device authorization request,
// then leaves the request to op (RFC 8628, section 3.1).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	a := asker{key: r.PostForm.Get(KeyParam), from: r.PostForm.Get(FromParam), nonce: r.PostForm.Get("nonce")}
	for _, v := range []string{a.key, a.from, a.nonce} {
		// Refused, not cut: a person must see all of it or nothing.
		if len(v) > maxDisplay {
			refuse(w, http.StatusBadRequest, oidc.ErrInvalidRequest().WithDescription("%s, %s and nonce may be %d bytes long", KeyParam, FromParam, maxDisplay))
			return
		}
	}
	if _, _, ok := r.BasicAuth(); ok {
		refuseSecret(w)
		return
	}
	p.op.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), askerKey{}, a)))
}

// StoreDeviceAuthorization begins a device authorization.
func (s *store) StoreDeviceAuthorization(ctx context.Context, clientID, deviceCode, userCode string, _ time.Time, scopes []string) error {
	a, _ := ctx.Value(askerKey{}).(asker)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for code, d := range s.codes {
		// Kept for a while after their end, so that late comers hear
		// expired_token and not that there never was such a code.
		if now.After(d.expires.Add(s.lifetime)) {
			delete(s.codes, code)
			delete(s.typed, d.userCode)
		}
	}
	if len(s.codes) >= maxPending {
		return errors.New("too many device codes are in use; wait for some to expire")
	}
	if _, ok := s.typed[userCode]; ok {
		return op.ErrDuplicateUserCode
	}
	d := &device{
		userCode: userCode,
		client:   clientID,
		scopes:   allowedScopes(scopes),
		asker:    a,
		expires:  now.Add(s.lifetime),
		gap:      s.pollLimit,
		decided:  make(chan struct{}),
	}
	s.codes[deviceCode], s.typed[userCode] = d, d
	return nil
}

// token answers the token endpoint. Everyday refusals are answered here: op
// would answer an unknown code with access_denied, and log every pending poll.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if !parseForm(w, r) {
		return
	}
	// op checks a client after it has taken the code, so a wrong client must
	// not get that far.
	if _, _, ok := r.BasicAuth(); ok {
		refuseSecret(w)
		return
	}
	switch r.PostForm.Get("grant_type") {
	case string(oidc.GrantTypeDeviceCode):
	case string(oidc.GrantTypeRefreshToken):
		if token := r.PostForm.Get("refresh_token"); token != "" {
			if _, err := p.store.TokenRequestByRefreshToken(r.Context(), token); err != nil {
				refuse(w, http.StatusBadRequest, oidc.ErrInvalidGrant().WithDescription("the refresh token has ended; sign in again"))
				return
			}
		}
		p.op.ServeHTTP(w, r)
		return
	default:
		p.op.ServeHTTP(w, r)
		return
	}
	if r.PostForm.Get("client_id") != ClientID {
		refuse(w, http.StatusUnauthorized, oidc.ErrInvalidClient().WithDescription("unknown client"))
		return
	}
	if r.PostForm.Get("device_code") == "" {
		refuse(w, http.StatusBadRequest, oidc.ErrInvalidRequest().WithDescription("device_code is missing"))
		return
	}
	t, no := p.store.await(r.Context(), ClientID, r.PostForm.Get("device_code"), p.hold)
	if no != nil {
		refuse(w, http.StatusBadRequest, no)
		return
	}
	p.op.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), takenKey{}, t)))
}

// await polls once, and where the person has not decided waits up to hold.
func (s *store) await(ctx context.Context, clientID, code string, hold time.Duration) (*taken, *oidc.Error) {
	t, decided, no := s.poll(clientID, code, true)
	if decided == nil || hold <= 0 {
		return t, no
	}
	timer := time.NewTimer(hold)
	defer timer.Stop()
	select {
	case <-decided:
	case <-timer.C:
	case <-ctx.Done():
		// The client left, or the provider stops: the code is not used up.
		return nil, no
	}
	t, _, no = s.poll(clientID, code, false)
	return t, no
}

// poll takes an allowed authorization or says why not (RFC 8628, section 3.5).
// While the person may still decide, decided tells when that has happened.
func (s *store) poll(clientID, code string, arrived bool) (t *taken, decided <-chan struct{}, no *oidc.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.codes[code]
	if !ok || d.client != clientID || d.stage == used {
		return nil, nil, oidc.ErrInvalidGrant().WithDescription("the device code is unknown or was used")
	}
	now := s.now()
	if now.After(d.expires) {
		return nil, nil, oidc.ErrExpiredDeviceCode().WithDescription("the device code has expired; ask for a new one")
	}
	if arrived {
		early := !d.polled.IsZero() && now.Sub(d.polled) < d.gap
		d.polled = now
		if early {
			d.gap += 5 * time.Second
			return nil, nil, oidc.ErrSlowDown()
		}
	}
	switch d.stage {
	case denied:
		return nil, nil, oidc.ErrAccessDenied().WithDescription("the person denied the request")
	case allowed:
		d.stage = used
		q, ok := s.people[d.user]
		if !ok || q.Disabled {
			return nil, nil, oidc.ErrAccessDenied().WithDescription("the account is disabled")
		}
		return &taken{code: code, nonce: d.asker.nonce, state: &op.DeviceAuthorizationState{
			ClientID: d.client,
			Audience: []string{d.client},
			Scopes:   d.scopes,
			Expires:  d.expires,
			Done:     true,
			Subject:  s.subject(d.user),
			AMR:      []string{"pwd"},
			AuthTime: d.authTime,
		}}, nil, nil
	default:
		return nil, d.decided, oidc.ErrAuthorizationPending().WithDescription("the person has not decided yet")
	}
}

// GetDeviceAuthorizatonState hands op what this very request has taken.
func (s *store) GetDeviceAuthorizatonState(ctx context.Context, clientID, deviceCode string) (*op.DeviceAuthorizationState, error) {
	t, ok := ctx.Value(takenKey{}).(*taken)
	if !ok || t.code != deviceCode || t.state.ClientID != clientID {
		return nil, errors.New("the device code is unknown or was used")
	}
	return t.state, nil
}

// parseForm reads a request's form and refuses parameters in the address or
// given twice (RFC 6749, section 3.2), so that all who read the form read the
// same.
func parseForm(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
		refuse(w, http.StatusBadRequest, oidc.ErrInvalidRequest().WithDescription("parameters belong into a form in the request's body"))
		return false
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			refuse(w, http.StatusBadRequest, oidc.ErrInvalidRequest().WithDescription("%q is given twice", name))
			return false
		}
	}
	return true
}

func refuse(w http.ResponseWriter, status int, err *oidc.Error) {
	httphelper.MarshalJSONWithStatus(w, err, status)
}

func refuseSecret(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="sallyport"`)
	refuse(w, http.StatusUnauthorized, oidc.ErrInvalidClient().WithDescription("the client has no secret; send client_id in the form alone"))
}

// ---- the person's side

// Why a user code leads nowhere.
var (
	errUnknownCode = errors.New("no such code is waiting; compare it with the one in your terminal")
	errExpiredCode = errors.New("this code has expired; go back to your terminal and connect again for a new one")
	errUsedCode    = errors.New("this code was answered already; go back to your terminal")
	errAskAgain    = errors.New("this confirmation is no longer open; sign in again")
	errDisabled    = errors.New("this account is disabled; ask whoever runs this identity provider")
)

// open finds a user code that waits for a decision. The caller holds mu.
func (s *store) open(userCode string) (*device, error) {
	d, ok := s.typed[userCode]
	switch {
	case !ok:
		return nil, errUnknownCode
	case s.now().After(d.expires):
		return nil, errExpiredCode
	case d.stage != waiting:
		return nil, errUsedCode
	}
	return d, nil
}

// find tells whether a user code waits for a decision.
func (s *store) find(userCode string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.open(userCode)
	return err
}

// ask prepares a confirmation page for a person who has just signed in. It
// replaces an earlier one for the same code.
func (s *store) ask(userCode, session, user string) (id string, d device, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open, err := s.open(userCode)
	if err != nil {
		return "", device{}, err
	}
	open.asked = question{id: rand.Text(), session: session, user: user, authTime: s.now()}
	return open.asked.id, *open, nil
}

// decide takes the answer from a confirmation page.
func (s *store) decide(userCode, session, id string, allow bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.open(userCode)
	if err != nil {
		return err
	}
	same := func(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	if !same(d.asked.id, id) || !same(d.asked.session, session) {
		return errAskAgain
	}
	if q, ok := s.people[d.asked.user]; allow && (!ok || q.Disabled) {
		return errDisabled
	}
	d.stage = denied
	if allow {
		d.stage, d.user, d.authTime = allowed, d.asked.user, d.asked.authTime
	}
	close(d.decided)
	return nil
}

// normalCode brings a typed user code into the form in which it was shown:
// people type small letters, and blanks or other dashes, or none, where the
// dash was (RFC 8628, section 6.1).
func normalCode(typed string) (code string, ok bool) {
	if len(typed) > 64 {
		return "", false
	}
	var b strings.Builder
	for _, r := range typed {
		switch r {
		case ' ', '\t', '\u00a0', '-', '_', '.', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2212':
			continue
		}
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		if !strings.ContainsRune(op.CharSetBase20, r) {
			return "", false
		}
		if b.Len() == 4 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String(), b.Len() == 9
}
