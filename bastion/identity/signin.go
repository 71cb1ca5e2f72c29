package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// The parameters by which the provider can show the person which key asks, and
// from where (RFC 8628, section 5.4). Providers that do not know them ignore
// them (section 3.1).
const (
	keyParam  = "sallyport_key"
	fromParam = "sallyport_from"
)

// SignIn has the person who proved the key from.Key sign in at the provider, and
// binds the key to who they turn out to be. show is called once, with what the
// person needs. SignIn returns when they have decided, the code has expired or
// ctx has ended; every error is a *SignInError and leaves everything as it was.
func (k *Keeper) SignIn(ctx context.Context, from bastion.Origin, show func(bastion.SignInPrompt) error) (bastion.Identity, error) {
	if _, ok := k.byKey[from.Key]; ok || from.Key == "" {
		return bastion.Identity{}, fault(Taken, nil, "this key is not a person's; it cannot sign in")
	}
	if _, err := k.Lookup(from.Key); errors.Is(err, ErrLocked) {
		return bastion.Identity{}, fault(Locked, err, "%s", ErrLocked)
	}
	d, err := k.discover(ctx)
	if err != nil {
		return bastion.Identity{}, err
	}
	code, err := k.begin(ctx, d, from)
	if err != nil {
		return bastion.Identity{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, code.lasts, errCodeExpired)
	defer cancel()
	if err := show(code.prompt); err != nil {
		return bastion.Identity{}, fault(Ended, err, "the sign-in was given up")
	}
	tokens, err := k.await(ctx, d, code)
	if err != nil {
		return bastion.Identity{}, err
	}
	p, err := k.verify(ctx, d, tokens.id, code.nonce, code.began)
	if err != nil {
		return bastion.Identity{}, err
	}
	return k.bind(p, refresh{tokens.refresh, code.nonce}, from)
}

var errCodeExpired = errors.New("the device code has expired")

// code is a device authorization under way.
type code struct {
	prompt   bastion.SignInPrompt
	device   string
	nonce    string
	began    time.Time
	lasts    time.Duration
	interval time.Duration
}

// Limits of a device authorization.
const (
	maxCode     = 4096
	maxUserCode = 64
	maxAddress  = 512
	maxLasts    = 15 * time.Minute
	maxInterval = time.Minute
)

// begin asks the provider for a code (RFC 8628, section 3.1).
func (k *Keeper) begin(ctx context.Context, d *discovery, from bastion.Origin) (*code, error) {
	c := &code{nonce: rand.Text(), began: k.c.Now()}
	status, body, err := k.post(ctx, d, d.device, url.Values{
		"scope":   {strings.Join(k.c.Provider.Scopes, " ")},
		"nonce":   {c.nonce},
		keyParam:  {from.Key},
		fromParam: {from.Address},
	}, answerTime)
	if err != nil {
		k.forget()
		return nil, asFault(ctx, err)
	}
	if status != 200 {
		return nil, refusal(status, body)
	}
	var r struct {
		Device   string  `json:"device_code"`
		User     string  `json:"user_code"`
		Page     string  `json:"verification_uri"`
		Direct   string  `json:"verification_uri_complete"`
		Lasts    float64 `json:"expires_in"`
		Interval float64 `json:"interval"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, transportFault(ctx, err)
	}
	if r.Device == "" || len(r.Device) > maxCode || r.User == "" || len(r.User) > maxUserCode || !printable(r.User) ||
		!k.page(r.Page) || r.Direct != "" && !k.page(r.Direct) || !(r.Lasts > 0) || !(r.Interval >= 0) {
		return nil, fault(Misbehaved, nil, "the identity provider's answer lacks what a sign-in needs; tell whoever runs the bastion")
	}
	c.device = r.Device
	c.lasts = seconds(r.Lasts, maxLasts)
	c.interval = 5 * time.Second // where the provider says nothing
	if r.Interval > 0 {
		c.interval = seconds(r.Interval, maxInterval)
	}
	c.prompt = bastion.SignInPrompt{Address: r.Page, Code: r.User, Direct: r.Direct, Key: from.Key, Expires: c.began.Add(c.lasts)}
	return c, nil
}

// seconds makes a duration of a number that somebody else sent.
func seconds(n float64, most time.Duration) time.Duration {
	return time.Duration(min(n, most.Seconds()) * float64(time.Second))
}

// page reports whether an address is one to send a person to.
func (k *Keeper) page(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= maxAddress && printable(address) && secure(u, k.c.Provider.Issuer)
}

// tokens is what a sign-in brings.
type tokens struct {
	id      string
	refresh string // empty if the provider gives none
}

// await polls until the person has decided (RFC 8628, section 3.5). A provider
// that cannot be asked three times in a row is given up.
func (k *Keeper) await(ctx context.Context, d *discovery, c *code) (tokens, error) {
	failures := 0
	for {
		if err := k.pause(ctx, c.interval); err != nil {
			return tokens{}, ended(ctx, err)
		}
		status, body, err := k.post(ctx, d, d.token, url.Values{
			"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
			"device_code": {c.device},
		}, pollTime)
		if ctx.Err() != nil {
			return tokens{}, ended(ctx, err)
		}
		var fatal *SignInError
		if errors.As(err, &fatal) {
			return tokens{}, fatal
		}
		if err != nil || status >= 500 {
			if failures++; failures == 3 {
				k.forget()
				if err == nil {
					return tokens{}, refusal(status, body)
				}
				return tokens{}, transportFault(ctx, err)
			}
			c.interval = min(2*c.interval, maxInterval)
			continue
		}
		failures = 0
		var r struct {
			Error   string `json:"error"`
			Token   string `json:"id_token"`
			Refresh string `json:"refresh_token"`
		}
		if err := json.Unmarshal(body, &r); err != nil {
			return tokens{}, transportFault(ctx, err)
		}
		switch {
		case r.Error == "authorization_pending":
		case r.Error == "slow_down":
			c.interval = min(c.interval+5*time.Second, maxInterval)
		case r.Error == "access_denied":
			return tokens{}, fault(Denied, nil, "the sign-in was denied at the identity provider; nothing was bound")
		case r.Error == "expired_token":
			return tokens{}, ended(ctx, errCodeExpired)
		case r.Error != "" || status != 200:
			return tokens{}, refusal(status, body)
		case r.Token == "":
			return tokens{}, fault(BadToken, nil, "the identity provider gave no ID token; tell whoever runs the bastion")
		case len(r.Refresh) > maxToken:
			return tokens{}, fault(BadToken, nil, "the identity provider's refresh token is too large; tell whoever runs the bastion")
		default:
			return tokens{r.Token, r.Refresh}, nil
		}
	}
}

// pause waits. The test package sets another one.
func (k *Keeper) pause(ctx context.Context, d time.Duration) error {
	if k.wait != nil {
		return k.wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ended says why a wait ended.
func ended(ctx context.Context, err error) *SignInError {
	if errors.Is(context.Cause(ctx), errCodeExpired) || errors.Is(err, errCodeExpired) {
		return fault(CodeExpired, err, "nobody signed in before the code expired; connect again for a new one")
	}
	return fault(Ended, err, "the sign-in was given up")
}

func asFault(ctx context.Context, err error) *SignInError {
	var f *SignInError
	if errors.As(err, &f) {
		return f
	}
	return transportFault(ctx, err)
}

// refusal says that the provider refused, with its error code if that is one
// (RFC 6749, section 5.2) and not some text of its own.
func refusal(status int, body []byte) *SignInError {
	var r struct {
		Error string `json:"error"`
	}
	cause := fmt.Errorf("the provider answered with status %d", status)
	if json.Unmarshal(body, &r) == nil && r.Error != "" && len(r.Error) <= 40 && strings.Trim(r.Error, "abcdefghijklmnopqrstuvwxyz_") == "" {
		return fault(Misbehaved, cause, "the identity provider refuses this bastion (%s); tell whoever runs it", r.Error)
	}
	return fault(Misbehaved, cause, "the identity provider failed (HTTP %d); try again later", status)
}

// bind writes binding, person and event in one transaction, or nothing.
func (k *Keeper) bind(p *person, token refresh, from bastion.Origin) (bastion.Identity, error) {
	var who bastion.Identity
	err := k.update(func(tx store.Tx) error {
		now := k.c.Now()
		p := *p
		before, err := readPerson(tx, p.id())
		if err != nil {
			return err
		}
		if before != nil && !before.Locked.IsZero() {
			return fault(Locked, nil, "%s", ErrLocked)
		}
		old, err := readBinding(tx, from.Key)
		if err != nil {
			return err
		}
		b := &binding{Issuer: p.Issuer, Subject: p.Subject, Bound: now, Renewed: now, SignedIn: p.SignedIn, Expires: now.Add(k.c.Lasts), Origin: from}
		text := "key bound"
		switch {
		case old == nil:
		case old.id() == p.id():
			b.Bound, text = old.Bound, "key renewed"
		case old.Issuer == k.c.Provider.Issuer:
			return fault(Taken, nil, "this key belongs to somebody else, so it was not bound to you; connect with a key of your own")
		default: // of a provider that vouches for nobody any more
			if err := deleteBinding(tx, from.Key, old); err != nil {
				return err
			}
		}
		if p.Name, err = k.freeName(tx, &p, before); err != nil {
			return err
		}
		if token.Token == "" && k.c.Recheck > 0 {
			text += "; the identity provider gives no refresh token, so groups stay as they are until the next sign-in"
		}
		if err := errors.Join(writePerson(tx, &p), writeBinding(tx, from.Key, b), writeRefresh(tx, p.id(), token)); err != nil {
			return err
		}
		who = p.identity()
		who.SignedIn, who.Expires = b.SignedIn, b.Expires
		return k.c.Append(tx, bastion.Event{At: now, Kind: bastion.EventSignIn, Who: who.ID(), Name: who.Name, Origin: &from, Text: text})
	})
	if err == nil {
		k.standings.Delete(who.ID()) // it spoke of the sign-in before
		k.changes.Add(1)
		return who, nil
	}
	var f *SignInError
	if !errors.As(err, &f) {
		return bastion.Identity{}, fault(Failed, err, "you signed in, but the bastion could not keep it; try again, or tell whoever runs it")
	}
	if f.Reason == Taken {
		// Somebody real tried a key that is not theirs. If even this cannot be
		// written, the refusal stands.
		by := p.identity()
		if err := k.update(func(tx store.Tx) error {
			return k.c.Append(tx, bastion.Event{At: k.c.Now(), Kind: bastion.EventRefused, Who: by.ID(), Name: by.Name, Origin: &from, Error: "signed in with a key that is bound to another identity"})
		}); err != nil {
			f.cause = err
		}
	}
	return bastion.Identity{}, f
}

// freeName makes a name that nobody else has, because people often choose
// their own at the provider, and others read it in a list of approvers.
func (k *Keeper) freeName(tx store.Tx, p, before *person) (string, error) {
	sum := sha256.Sum256([]byte(p.id()))
	name, id := p.Name, []byte(p.id())
	for n := 2; ; n++ {
		owner := tx.Get(namesBucket, []byte(name))
		service := slices.ContainsFunc(k.services, func(s Service) bool { return s.Name == name })
		if !service && (owner == nil || string(owner) == string(id)) {
			break
		}
		name = p.Name + "~" + hex.EncodeToString(sum[:n])
	}
	if before != nil && before.Name != name && string(tx.Get(namesBucket, []byte(before.Name))) == string(id) {
		if err := tx.Delete(namesBucket, []byte(before.Name)); err != nil {
			return "", err
		}
	}
	return name, tx.Put(namesBucket, []byte(name), id)
}

// shortName makes a name fit for lists: one line, printable, not too long.
// A name that is not printable is no name.
func shortName(s string) string {
	s = strings.TrimSpace(s)
	if !printable(s) || strings.ContainsAny(s, "~#") {
		return ""
	}
	if r := []rune(s); len(r) > maxName {
		return string(r[:maxName])
	}
	return s
}

// printable reports whether a text shows all that is in it, in one line.
func printable(s string) bool { return bastion.VisibleLine(s) == s }
