// Package idp is an OpenID provider for the demo and for tests: real
// discovery, keys, tokens and device authorization (RFC 8628), with sign-in
// pages that work without scripts. It knows its people from its options,
// forgets who was signing in when it stops, and speaks plain HTTP on loopback
// only, so it is no provider for anybody's real accounts.
package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ClientID is the one client that the provider knows: a public native client
// (RFC 8252), so it has no secret and names itself in the form body
// (oauth2.AuthStyleInParams).
const ClientID = "sallyport"

// The names of the parameters by which a client may tell, in its device
// authorization request, what the person is asked to confirm (RFC 8628,
// section 5.4). Other providers ignore them (RFC 6749, section 3.1).
const (
	// KeyParam carries the fingerprint of the SSH key that waits.
	KeyParam = "sallyport_key"
	// FromParam carries the address that the key came from.
	FromParam = "sallyport_from"
)

// Person is somebody who can sign in.
type Person struct {
	// User is the name typed at sign-in and the preferred_username claim.
	User string
	// Name is the person's full name.
	Name string
	// Email is always reported as verified.
	Email string
	// Password is what the person types. It is never empty.
	Password string
	// Groups fill the groups claim; none gives an empty list.
	Groups []string
	// Disabled people cannot sign in, and what they were given before stops
	// working.
	Disabled bool
}

// DemoPeople returns the people of the demo: alice deploys, rita reviews, axel
// audits, ben deploys and reviews. Each one's password is the user name.
func DemoPeople() []Person {
	person := func(user, name string, groups ...string) Person {
		return Person{User: user, Name: name, Email: user + "@shop.example", Password: user, Groups: groups}
	}
	return []Person{
		person("alice", "Alice Moreau", "deployers"),
		person("rita", "Rita Lindqvist", "reviewers"),
		person("axel", "Axel Okafor", "auditors"),
		person("ben", "Ben Sato", "deployers", "reviewers"),
	}
}

// Scopes returns every scope that the client may ask for. Without openid there
// is no ID token, without groups no groups claim, without offline_access no
// refresh token; an unknown scope is ignored.
func Scopes() []string {
	return []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, scopeGroups, oidc.ScopeOfflineAccess}
}

// scopeGroups asks for the groups claim.
const scopeGroups = "groups"

// Options say how a provider runs. The zero value is a provider for the demo's
// people on a free loopback port.
type Options struct {
	// Addr is the loopback address to listen on; "127.0.0.1:0" if empty. The
	// port is part of the issuer, so a provider that is to be recognised after
	// a restart needs a fixed one.
	Addr string
	// Listener is listened on instead of Addr. The provider closes it.
	Listener net.Listener
	// Dir keeps signing keys, subjects and refresh tokens over restarts, in one
	// file. Empty: they live as long as the provider.
	Dir string
	// People can sign in; DemoPeople if nil.
	People []Person
	// Lifetime of a device code and its user code, rounded up to seconds;
	// five minutes if zero.
	Lifetime time.Duration
	// PollInterval is what clients are told to wait between two polls, rounded
	// up to seconds, as RFC 8628 knows no smaller unit; two seconds if zero.
	PollInterval time.Duration
	// PollLimit is the distance between two polls below which the answer is
	// slow_down; a tenth less than PollInterval if zero. Each slow_down adds
	// five seconds for that code (RFC 8628, section 3.5).
	PollLimit time.Duration
	// Hold is how long a poll waits for the person before it is answered with
	// authorization_pending; zero answers at once. With it a client learns of
	// the decision the moment it is made.
	Hold time.Duration
	// Now is the clock for codes, polls, lockouts and auth_time; time.Now if
	// nil. Tokens' iat and exp follow the machine's clock.
	Now func() time.Time
}

// Provider is a running OpenID provider. Its methods may be called from any
// goroutine.
type Provider struct {
	issuer  string
	host    string
	hold    time.Duration
	store   *store
	op      *op.Provider
	csrfKey []byte
	logins  *limiter
	guesses *limiter
	origin  *http.CrossOriginProtection

	cancel context.CancelFunc
	server *http.Server
	served chan struct{}
	once   sync.Once
	err    error
}

// Start listens and serves until ctx ends or Close is called. It refuses
// people without a name or password and any address that is not loopback,
// because passwords travel in the clear.
func Start(ctx context.Context, o Options) (*Provider, error) {
	if o.People == nil {
		o.People = DemoPeople()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Lifetime = seconds(o.Lifetime, 5*time.Minute)
	if o.PollLimit <= 0 {
		o.PollLimit = seconds(o.PollInterval, 2*time.Second) * 9 / 10
	}
	o.PollInterval = seconds(o.PollInterval, 2*time.Second)

	st, err := newStore(o)
	if err != nil {
		return nil, err
	}
	l, err := listen(o)
	if err != nil {
		return nil, err
	}
	p := &Provider{
		issuer:  "http://" + l.Addr().String(),
		host:    l.Addr().String(),
		hold:    o.Hold,
		store:   st,
		csrfKey: []byte(rand.Text() + rand.Text()),
		logins:  newLimiter(o.Now, 5, 30*time.Second, true),
		// Anybody can ask for a code of one's own, so a right one proves nothing.
		guesses: newLimiter(o.Now, 20, time.Minute, false),
		origin:  http.NewCrossOriginProtection(),
		served:  make(chan struct{}),
	}
	p.op, err = op.NewProvider(&op.Config{
		CryptoKey:             [32]byte(st.kept.TokenKey),
		CryptoKeyId:           "1",
		GrantTypeRefreshToken: true,
		SupportedScopes:       Scopes(),
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime:     o.Lifetime,
			PollInterval: o.PollInterval,
			UserFormPath: devicePath,
			UserCode:     op.UserCodeBase20,
		},
	}, st, op.StaticIssuer(p.issuer), op.WithAllowInsecure(), op.WithCORSOptions(nil))
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("building the provider: %w", err)
	}

	// The requests' context ends with the provider, so that polls held open do
	// not delay a shutdown.
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.server = &http.Server{
		Handler:           p.handler(),
		BaseContext:       func(net.Listener) context.Context { return serving },
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	// Ends when Close shuts the server down.
	go func() {
		defer close(p.served)
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.err = fmt.Errorf("serving the provider: %w", err)
		}
	}()
	// Ends with the server.
	go func() {
		select {
		case <-ctx.Done():
			p.Close()
		case <-p.served:
		}
	}()
	return p, nil
}

func listen(o Options) (net.Listener, error) {
	l := o.Listener
	if l == nil {
		if o.Addr == "" {
			o.Addr = "127.0.0.1:0"
		}
		var err error
		if l, err = net.Listen("tcp", o.Addr); err != nil {
			return nil, fmt.Errorf("listening for sign-ins: %w", err)
		}
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("refusing to serve sign-ins on %s: passwords would travel in the clear; use a loopback address such as 127.0.0.1", l.Addr())
	}
	return l, nil
}

// seconds rounds d up to whole seconds, or takes the default.
func seconds(d, unset time.Duration) time.Duration {
	if d <= 0 {
		return unset
	}
	return (d + time.Second - 1).Truncate(time.Second)
}

// Issuer returns the provider's issuer URL, under which OpenID discovery
// answers.
func (p *Provider) Issuer() string { return p.issuer }

// DevicePage returns the address where people type their user codes.
func (p *Provider) DevicePage() string { return p.issuer + devicePath }

// Close stops the provider and returns when nobody is answered any more. Polls
// held open are answered first. It returns the error that ended serving, if
// one did before Close.
func (p *Provider) Close() error {
	p.once.Do(func() {
		p.cancel()
		// Nothing that is still being answered takes long; what the grace
		// cuts off is connections that browsers opened for later.
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if p.server.Shutdown(ctx) != nil {
			p.server.Close()
		}
	})
	<-p.served
	return p.err
}

// Disable keeps a person from signing in and takes back what was given before:
// refresh and access tokens stop working, and approved codes are denied.
func (p *Provider) Disable(user string) error {
	return p.store.change(user, func(q *Person) { q.Disabled = true })
}

// SetGroups replaces a person's groups. The next token and the next userinfo
// answer carry the new ones.
func (p *Provider) SetGroups(user string, groups ...string) error {
	return p.store.change(user, func(q *Person) { q.Groups = slices.Clone(groups) })
}

// RotateKeys signs from now on with a new key. The two keys before it stay in
// the published set, so tokens signed with them can still be verified.
func (p *Provider) RotateKeys() error { return p.store.rotate() }

func checkPeople(people []Person) error {
	seen := map[string]bool{}
	for i, q := range people {
		switch {
		case q.User == "" || strings.TrimSpace(q.User) != q.User || len(q.User) > maxName:
			return fmt.Errorf("person %d: %q is no user name", i+1, q.User)
		case q.Password == "":
			return fmt.Errorf("person %q has no password", q.User)
		case seen[q.User]:
			return fmt.Errorf("person %q is there twice", q.User)
		}
		seen[q.User] = true
	}
	return nil
}
