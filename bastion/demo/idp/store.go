package idp

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	accessLifetime  = 5 * time.Minute
	idTokenLifetime = 10 * time.Minute
	grantLifetime   = 30 * 24 * time.Hour

	// Bounds on what strangers can make the provider remember.
	maxPending = 1000
	maxGrants  = 10000
	maxTokens  = 10000
	maxName    = 64
	maxDisplay = 256
)

// store is everything that the provider knows. It is op's storage.
type store struct {
	now       func() time.Time
	lifetime  time.Duration
	pollLimit time.Duration

	mu     sync.Mutex // guards all below
	kept   *kept
	people map[string]*Person    // by user name
	codes  map[string]*device    // by device code
	typed  map[string]*device    // the same by user code
	tokens map[string]accessInfo // by token id
}

// accessInfo is what one access token stands for.
type accessInfo struct {
	user    string
	scopes  []string
	grant   string // "" without a refresh token
	expires time.Time
}

func newStore(o Options) (*store, error) {
	if err := checkPeople(o.People); err != nil {
		return nil, err
	}
	k, err := load(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &store{
		now:       o.Now,
		lifetime:  o.Lifetime,
		pollLimit: o.PollLimit,
		kept:      k,
		people:    map[string]*Person{},
		codes:     map[string]*device{},
		typed:     map[string]*device{},
		tokens:    map[string]accessInfo{},
	}
	for _, q := range o.People {
		q.Groups = slices.Clone(q.Groups)
		s.people[q.User] = &q
	}
	return s, nil
}

func (s *store) change(user string, f func(*Person)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.people[user]
	if !ok {
		return fmt.Errorf("no person %q at the provider", user)
	}
	f(q)
	return nil
}

func (s *store) rotate() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := append([]signingKey{key}, s.kept.Keys...)
	s.kept.Keys = keys[:min(len(keys), keptKeys)]
	return s.kept.save()
}

// subject returns the stable name by which clients know a user. It tells
// nothing about the user name.
func (s *store) subject(user string) string {
	mac := hmac.New(sha256.New, s.kept.Subjects)
	mac.Write([]byte(user))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// active returns the person with this subject, if that person may still use
// what was given. The caller holds mu.
func (s *store) active(subject string) (*Person, bool) {
	for _, q := range s.people {
		if s.subject(q.User) == subject {
			return q, !q.Disabled
		}
	}
	return nil, false
}

// check tells whether a password is right, and whether its owner is disabled.
// It takes the same work for a name that does not exist.
func (s *store) check(user, password string) (q Person, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, known := s.people[user]
	if !known {
		stored = &Person{Password: rand.Text()}
	}
	a, b := sha256.Sum256([]byte(stored.Password)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 || !known {
		return Person{}, false
	}
	return *stored, true
}

// describe fills in the claims that the scopes ask for. The caller holds mu.
func (s *store) describe(info *oidc.UserInfo, q *Person, scopes []string) {
	info.Subject = s.subject(q.User)
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.Name = q.Name
		info.PreferredUsername = q.User
	}
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email = q.Email
		info.EmailVerified = q.Email != ""
	}
	if slices.Contains(scopes, scopeGroups) {
		info.AppendClaims("groups", append([]string{}, q.Groups...))
	}
}

// allowedScopes leaves out what the client may not have (RFC 6749, section
// 3.3).
func allowedScopes(asked []string) []string {
	known := Scopes()
	return slices.DeleteFunc(slices.Clone(asked), func(sc string) bool { return !slices.Contains(known, sc) })
}

// ---- tokens

// issue remembers a new access token. The caller holds mu.
func (s *store) issue(subject string, scopes []string, grant string) (id string, expires time.Time, err error) {
	q, ok := s.active(subject)
	if !ok {
		return "", time.Time{}, oidc.ErrAccessDenied().WithDescription("the account is disabled")
	}
	now := time.Now()
	maps.DeleteFunc(s.tokens, func(_ string, t accessInfo) bool { return now.After(t.expires) })
	if len(s.tokens) >= maxTokens {
		return "", time.Time{}, errors.New("too many access tokens are in use")
	}
	id, expires = rand.Text(), now.Add(accessLifetime)
	s.tokens[id] = accessInfo{user: q.User, scopes: slices.Clone(scopes), grant: grant, expires: expires}
	return id, expires, nil
}

// CreateAccessToken serves requests without offline_access.
func (s *store) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(r.GetSubject(), r.GetScopes(), "")
}

// CreateAccessAndRefreshTokens begins a grant, or, given its current refresh
// token, goes on with it under a new one.
func (s *store) CreateAccessAndRefreshTokens(_ context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	fail := func(err error) (string, string, time.Time, error) { return "", "", time.Time{}, err }
	s.mu.Lock()
	defer s.mu.Unlock()

	q, ok := s.active(r.GetSubject())
	if !ok {
		return fail(oidc.ErrAccessDenied().WithDescription("the account is disabled"))
	}
	var id string
	var g grant
	if current == "" {
		state, ok := r.(*op.DeviceAuthorizationState)
		if !ok {
			return fail(oidc.ErrInvalidGrant())
		}
		now := time.Now()
		maps.DeleteFunc(s.kept.Grants, func(_ string, g *grant) bool { return now.After(g.Expires) })
		if len(s.kept.Grants) >= maxGrants {
			return fail(errors.New("too many refresh tokens are in use"))
		}
		id = rand.Text()
		g = grant{User: q.User, Client: state.ClientID, Scopes: slices.Clone(state.Scopes), AuthTime: state.AuthTime, Expires: now.Add(grantLifetime)}
	} else {
		// Looked up again, because another request may have used it since op
		// asked for the grant.
		var old *grant
		var err error
		if id, old, err = s.grantOf(current); err != nil {
			return fail(oidc.ErrInvalidGrant().WithParent(err))
		}
		g = *old
	}
	secret := rand.Text() + rand.Text()
	hash := sha256.Sum256([]byte(secret))
	g.Hash = hash[:]

	before := s.kept.Grants[id]
	s.kept.Grants[id] = &g
	if err := s.kept.save(); err != nil {
		// What is not kept is not given.
		if before == nil {
			delete(s.kept.Grants, id)
		} else {
			s.kept.Grants[id] = before
		}
		return fail(err)
	}
	access, expires, err := s.issue(r.GetSubject(), r.GetScopes(), id)
	return access, id + "." + secret, expires, err
}

// grantOf finds a refresh token's grant. A token that was replaced already is
// in two hands, and nobody knows which are honest: the grant ends. The caller
// holds mu.
func (s *store) grantOf(token string) (string, *grant, error) {
	id, secret, _ := strings.Cut(token, ".")
	g, ok := s.kept.Grants[id]
	if !ok || time.Now().After(g.Expires) {
		return "", nil, op.ErrInvalidRefreshToken
	}
	hash := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(hash[:], g.Hash) != 1 {
		return "", nil, errors.Join(op.ErrInvalidRefreshToken, s.end(id))
	}
	return id, g, nil
}

// end forgets a grant and the access tokens that came from it. The caller
// holds mu.
func (s *store) end(id string) error {
	delete(s.kept.Grants, id)
	maps.DeleteFunc(s.tokens, func(_ string, t accessInfo) bool { return t.grant == id })
	return s.kept.save()
}

// refresh is a request to go on with a grant.
type refresh struct {
	*op.DeviceAuthorizationState
}

func (r refresh) SetCurrentScopes(scopes []string) { r.Scopes = scopes }

// TokenRequestByRefreshToken finds what a refresh token stands for.
func (s *store) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, g, err := s.grantOf(token)
	if err != nil {
		return nil, err
	}
	q, ok := s.people[g.User]
	if !ok || q.Disabled {
		return nil, errors.New("the account is disabled")
	}
	return refresh{&op.DeviceAuthorizationState{
		ClientID: g.Client,
		Audience: []string{g.Client},
		Scopes:   slices.Clone(g.Scopes),
		Subject:  s.subject(g.User),
		AMR:      []string{"pwd"},
		AuthTime: g.AuthTime,
	}}, nil
}

// GetRefreshTokenInfo tells a refresh token from an access token.
func (s *store) GetRefreshTokenInfo(_ context.Context, clientID, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, g, err := s.grantOf(token)
	if err != nil || g.Client != clientID {
		return "", "", op.ErrInvalidRefreshToken
	}
	return s.subject(g.User), id, nil
}

// RevokeToken ends a grant or an access token (RFC 7009). An unknown token is
// revoked already.
func (s *store) RevokeToken(_ context.Context, id, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, id)
	if _, ok := s.kept.Grants[id]; ok {
		if err := s.end(id); err != nil {
			return oidc.ErrServerError().WithParent(err)
		}
	}
	return nil
}

// SetUserinfoFromToken answers the userinfo endpoint, with the person as known
// now.
func (s *store) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, tokenID, subject, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens[tokenID]
	q, active := s.active(subject)
	if !ok || !active || t.user != q.User || time.Now().After(t.expires) {
		return oidc.ErrAccessDenied().WithDescription("the access token has expired or was revoked")
	}
	s.describe(info, q, t.scopes)
	return nil
}

// SetUserinfoFromRequest fills an ID token.
func (s *store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.active(r.GetSubject())
	if !ok {
		return oidc.ErrAccessDenied().WithDescription("the account is disabled")
	}
	s.describe(info, q, scopes)
	if t, ok := ctx.Value(takenKey{}).(*taken); ok && t.nonce != "" {
		info.AppendClaims("nonce", t.nonce)
	}
	return nil
}

// ---- keys and the client

// SigningKey returns the key in use.
func (s *store) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Keys[0], nil
}

// SignatureAlgorithms returns the one algorithm of all keys.
func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

// KeySet returns the published keys.
func (s *store) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []op.Key
	for _, k := range s.kept.Keys {
		keys = append(keys, publicKey{k})
	}
	return keys, nil
}

// GetClientByClientID knows one client.
func (s *store) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != ClientID {
		return nil, oidc.ErrInvalidClient().WithDescription("unknown client")
	}
	return client{}, nil
}

// AuthorizeClientIDSecret refuses: the client has no secret, so whoever sends
// one is someone else.
func (s *store) AuthorizeClientIDSecret(context.Context, string, string) error {
	return oidc.ErrInvalidClient().WithDescription("the client has no secret; send client_id alone")
}

// Health always answers well.
func (s *store) Health(context.Context) error { return nil }

// client is the bastion as a client.
type client struct{}

func (client) GetID() string                       { return ClientID }
func (client) RedirectURIs() []string              { return nil }
func (client) PostLogoutRedirectURIs() []string    { return nil }
func (client) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (client) ResponseTypes() []oidc.ResponseType  { return nil }
func (client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeDeviceCode, oidc.GrantTypeRefreshToken}
}
func (client) LoginURL(string) string              { return "" }
func (client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }
func (client) IDTokenLifetime() time.Duration      { return idTokenLifetime }
func (client) DevMode() bool                       { return false }
func (client) ClockSkew() time.Duration            { return 0 }

// IDTokenUserinfoClaimsAssertion puts the person's claims into the ID token
// too, so that a client needs no second request.
func (client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (client) IsScopeAllowed(scope string) bool     { return slices.Contains(Scopes(), scope) }
func (client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return allowedScopes
}
func (client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return allowedScopes
}

// ---- what op's interface wants and this provider does not do

var errNotOffered = errors.New("not offered by this provider")

func (s *store) CreateAuthRequest(context.Context, *oidc.AuthRequest, string) (op.AuthRequest, error) {
	return nil, errNotOffered
}
func (s *store) AuthRequestByID(context.Context, string) (op.AuthRequest, error) {
	return nil, errNotOffered
}
func (s *store) AuthRequestByCode(context.Context, string) (op.AuthRequest, error) {
	return nil, errNotOffered
}
func (s *store) SaveAuthCode(context.Context, string, string) error { return errNotOffered }
func (s *store) DeleteAuthRequest(context.Context, string) error    { return errNotOffered }
func (s *store) TerminateSession(context.Context, string, string) error {
	return errNotOffered
}

// SetUserinfoFromScopes does nothing: SetUserinfoFromRequest does it.
func (s *store) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}
func (s *store) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errNotOffered
}
func (s *store) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, errNotOffered
}
func (s *store) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNotOffered
}
func (s *store) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNotOffered
}
