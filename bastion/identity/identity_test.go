package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/demo/idp"
	"github.com/sallyport/sallyport/bastion/identity"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// house is a keeper with its surroundings.
type house struct {
	*identity.Keeper
	t     *testing.T
	db    *store.DB
	clock *bastiontest.Clock

	mu     sync.Mutex
	events []bastion.Event
	fail   error // of the event log
}

const eventsBucket = "events"

func newHouse(t *testing.T, p identity.Provider, services ...identity.Service) *house {
	t.Helper()
	db := storetest.Open(t, storetest.Dir(t))
	h := &house{t: t, db: db, clock: bastiontest.NewClock(time.Now())}
	h.Keeper = h.keeper(identity.Config{Provider: p, Services: services})
	return h
}

// keeper makes another keeper on the same state.
func (h *house) keeper(c identity.Config) *identity.Keeper {
	h.t.Helper()
	c.DB, c.Now = h.db, h.clock.Now
	c.Append = func(tx store.Tx, e bastion.Event) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.fail != nil {
			return h.fail
		}
		n, err := tx.Next(eventsBucket)
		if err != nil {
			return err
		}
		h.events = append(h.events, e)
		return tx.Put(eventsBucket, fmt.Appendf(nil, "%06d", n), []byte(e.Kind))
	}
	k, err := identity.New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

func (h *house) kinds() []bastion.EventKind {
	h.mu.Lock()
	defer h.mu.Unlock()
	var kinds []bastion.EventKind
	for _, e := range h.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// rows counts what the package keeps.
func (h *house) rows() int {
	h.t.Helper()
	n := 0
	err := h.db.View(func(tx store.Tx) error {
		n = 0
		for _, b := range []string{"identity.keys", "identity.people", "identity.owners", "identity.names", "identity.emails", eventsBucket} {
			if err := tx.Scan(b, nil, func(_, _ []byte) (bool, error) { n++; return true, nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func newKey(t testing.TB) ssh.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sshKey(t, pub)
}

func sshKey(t testing.TB, pub any) ssh.PublicKey {
	t.Helper()
	k, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func line(k ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(k)) }

func from(key string) bastion.Origin {
	return bastion.Origin{Address: "192.0.2.7:4711", Key: key, Client: "SSH-2.0-OpenSSH_9.2"}
}

// realProvider starts the demo's provider.
func realProvider(t *testing.T, o idp.Options) (*idp.Provider, identity.Provider) {
	t.Helper()
	if o.Hold == 0 {
		o.Hold = 20 * time.Second
	}
	p, err := idp.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, identity.Provider{Issuer: p.Issuer(), ClientID: idp.ClientID}
}

// signIn signs in as a person at the real provider.
func (h *house) signIn(k *identity.Keeper, p *idp.Provider, key, user string, allow bool) (bastion.Identity, error) {
	k.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	var browser sync.WaitGroup
	defer browser.Wait()
	return k.SignIn(h.t.Context(), from(key), func(prompt bastion.SignInPrompt) error {
		browser.Go(func() {
			if err := p.SignIn(h.t.Context(), prompt.Code, user, user, allow); err != nil {
				h.t.Errorf("signing in as %s: %v", user, err)
			}
		})
		return nil
	})
}

func wantReason(t *testing.T, err error, want identity.Reason) {
	t.Helper()
	var f *identity.SignInError
	if !errors.As(err, &f) {
		t.Fatalf("got error %v, want a SignInError for %s", err, want)
	}
	if f.Reason != want {
		t.Fatalf("got reason %s (%v, because %v), want %s", f.Reason, f, f.Unwrap(), want)
	}
}

func TestSignInBindsTheProvedKey(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := newHouse(t, at)
	key := ssh.FingerprintSHA256(newKey(t))
	if _, err := h.Lookup(key); !errors.Is(err, identity.ErrUnknown) {
		t.Fatalf("a new key: %v", err)
	}

	h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	var asked idp.Question
	var shown bastion.SignInPrompt
	var browser sync.WaitGroup
	who, err := h.SignIn(t.Context(), from(key), func(prompt bastion.SignInPrompt) error {
		shown = prompt
		if n := h.rows(); n != 0 {
			t.Errorf("%d rows are kept before anybody signed in", n)
		}
		browser.Go(func() {
			b := idp.NewBrowser()
			err := b.Open(t.Context(), prompt.Address, prompt.Code)
			if err == nil {
				asked, err = b.Login(t.Context(), "alice", "alice")
			}
			if err == nil {
				err = b.Decide(t.Context(), true)
			}
			if err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	browser.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if asked.Key != key || asked.From != "192.0.2.7:4711" {
		t.Errorf("the provider showed key %q from %q", asked.Key, asked.From)
	}
	if shown.Address != p.DevicePage() || shown.Code == "" || shown.Key != key || !shown.Expires.After(h.clock.Now()) {
		t.Errorf("prompt %+v", shown)
	}
	if who.Issuer != p.Issuer() || who.Subject == "" || who.Kind != bastion.Person || who.Name != "alice" ||
		who.Email != "alice@shop.example" || !slices.Equal(who.Groups, []string{"deployers"}) {
		t.Errorf("signed in as %+v", who)
	}
	if !who.Expires.Equal(h.clock.Now().Add(12 * time.Hour)) {
		t.Errorf("bound until %s", who.Expires)
	}
	found, err := h.Lookup(key)
	if err != nil || !found.Equal(who) || found.Name != "alice" || !found.Expires.Equal(who.Expires) {
		t.Errorf("found %+v, %v", found, err)
	}
	if k := h.kinds(); !slices.Equal(k, []bastion.EventKind{bastion.EventSignIn}) {
		t.Errorf("events %v", k)
	}
	if known, ok := h.Known(who.ID()); !ok || known.Name != "alice" || !known.Expires.IsZero() {
		t.Errorf("known as %+v, %v", known, ok)
	}
	if people := h.People(); len(people) != 1 || !people[0].Equal(who) {
		t.Errorf("people %+v", people)
	}
}

func TestBindingEndsByTheClock(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := newHouse(t, at)
	key := ssh.FingerprintSHA256(newKey(t))
	who, err := h.signIn(h.Keeper, p, key, "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	now := h.ForKey(key)
	h.clock.Pass(12*time.Hour - 1)
	if _, err := now.Current(t.Context(), who); err != nil {
		t.Fatalf("just before the end: %v", err)
	}
	// Less in the configuration also ends what was given before.
	shorter := h.keeper(identity.Config{Provider: at, Lasts: time.Hour})
	if _, err := shorter.Lookup(key); !errors.Is(err, bastion.ErrExpired) {
		t.Fatalf("with a shorter life: %v", err)
	}
	// More does not lengthen it.
	longer := h.keeper(identity.Config{Provider: at, Lasts: 100 * time.Hour})
	h.clock.Pass(1)
	for name, k := range map[string]*identity.Keeper{"same": h.Keeper, "longer": longer} {
		if _, err := k.Lookup(key); !errors.Is(err, bastion.ErrExpired) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
	if _, err := now.Current(t.Context(), who); !errors.Is(err, bastion.ErrExpired) {
		t.Errorf("in a session: %v", err)
	}
}

// Pitfall 5: a key has one identity. Another person's sign-in with it is
// refused while the binding holds and after it ended, and changes nothing.
func TestKeyHasOneIdentity(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := newHouse(t, at)
	key, other := ssh.FingerprintSHA256(newKey(t)), ssh.FingerprintSHA256(newKey(t))
	alice, err := h.signIn(h.Keeper, p, key, "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.signIn(h.Keeper, p, key, "rita", true)
	wantReason(t, err, identity.Taken)
	if who, err := h.Lookup(key); err != nil || !who.Equal(alice) {
		t.Errorf("the key is now %+v, %v", who, err)
	}
	if err := h.Lock(alice, alice.ID(), "left"); err != nil { // ends the binding
		t.Fatal(err)
	}
	if err := h.Unlock(alice, alice.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lookup(key); !errors.Is(err, bastion.ErrExpired) {
		t.Fatalf("after restoring: %v", err)
	}
	_, err = h.signIn(h.Keeper, p, key, "rita", true)
	wantReason(t, err, identity.Taken)
	if people := h.People(); len(people) != 0 { // she has to sign in first, and rita did not
		t.Errorf("people %+v", people)
	}
	// The same person renews, and may have several keys.
	again, err := h.signIn(h.Keeper, p, key, "alice", true)
	if err != nil || !again.Equal(alice) {
		t.Fatalf("renewing: %+v, %v", again, err)
	}
	if _, err := h.signIn(h.Keeper, p, other, "alice", true); err != nil {
		t.Fatal(err)
	}
	keys, err := h.Keys(alice.ID())
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys %+v, %v", keys, err)
	}
	// Unbound, the key is free.
	if err := h.Unbind(alice, key); err != nil {
		t.Fatal(err)
	}
	rita, err := h.signIn(h.Keeper, p, key, "rita", true)
	if err != nil || rita.Name != "rita" {
		t.Fatalf("after unbinding: %+v, %v", rita, err)
	}
	// A session of alice's that this key opened does not become rita's.
	if _, err := h.ForKey(key).Current(t.Context(), alice); !errors.Is(err, identity.ErrLocked) {
		t.Errorf("alice's session goes on: %v", err)
	}
	if keys, err := h.Keys(alice.ID()); err != nil || len(keys) != 1 || keys[0].Fingerprint != other {
		t.Errorf("alice's keys %+v, %v", keys, err)
	}
	if err := h.Unbind(alice, "SHA256:nobody"); !errors.Is(err, bastion.ErrNotFound) {
		t.Errorf("unbinding nothing: %v", err)
	}
}

// Pitfall 5, the race: a hundred sign-ins of two people with one key at once.
func TestKeyHasOneIdentityAtOnce(t *testing.T) {
	f := newFake(t)
	h := newHouse(t, f.provider())
	h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	key := ssh.FingerprintSHA256(newKey(t))
	f.claims = func(n int, c map[string]any) { c["sub"] = fmt.Sprint("person-", n%2) }
	var mu sync.Mutex
	winners := map[string]int{}
	refused := 0
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			who, err := h.SignIn(t.Context(), from(key), func(bastion.SignInPrompt) error { return nil })
			mu.Lock()
			defer mu.Unlock()
			var e *identity.SignInError
			switch {
			case err == nil:
				winners[who.ID()]++
			case errors.As(err, &e) && e.Reason == identity.Taken:
				refused++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(winners) != 1 || refused == 0 {
		t.Fatalf("winners %v, %d refused", winners, refused)
	}
	who, err := h.Lookup(key)
	if err != nil || winners[who.ID()] == 0 {
		t.Fatalf("bound to %+v, %v; winners %v", who, err, winners)
	}
}

func TestLockedPerson(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := newHouse(t, at)
	key := ssh.FingerprintSHA256(newKey(t))
	alice, err := h.signIn(h.Keeper, p, key, "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	axel := bastion.Identity{Issuer: "i", Subject: "axel", Name: "axel"}
	if err := h.Lock(axel, alice.ID(), "left"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lookup(key); !errors.Is(err, identity.ErrLocked) || errors.Is(err, bastion.ErrExpired) {
		t.Errorf("known key: %v", err)
	}
	if _, err := h.ForKey(key).Current(t.Context(), alice); !errors.Is(err, identity.ErrLocked) {
		t.Errorf("live session: %v", err)
	}
	if _, ok := h.Known(alice.ID()); ok || len(h.People()) != 0 {
		t.Error("a person who is locked out is still known")
	}
	_, err = h.SignIn(t.Context(), from(key), func(bastion.SignInPrompt) error {
		t.Error("a person who is locked out was asked to sign in")
		return nil
	})
	wantReason(t, err, identity.Locked)
	_, err = h.signIn(h.Keeper, p, ssh.FingerprintSHA256(newKey(t)), "alice", true)
	wantReason(t, err, identity.Locked)
	bot := h.keeper(identity.Config{Provider: at, Services: []identity.Service{{Name: "bot", Owner: alice.ID(), Keys: []string{line(newKey(t))}}}})
	if _, ok := bot.Known("sallyport#bot"); ok {
		t.Error("who is locked out comes in as their service")
	}
	if err := h.Unlock(axel, alice.ID()); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Known(alice.ID()); ok {
		t.Error("what was known of her long ago counts again without a sign-in")
	}
	if _, err := h.signIn(h.Keeper, p, key, "alice", true); err != nil {
		t.Fatal(err)
	}
	if _, ok := bot.Known("sallyport#bot"); !ok {
		t.Error("the service of somebody who is back is refused")
	}
	if err := h.Lock(axel, "nobody#1", "left"); !errors.Is(err, bastion.ErrNotFound) {
		t.Errorf("revoking nobody: %v", err)
	}
	if k := h.kinds(); !slices.Equal(k, []bastion.EventKind{bastion.EventSignIn, bastion.EventRevoke, bastion.EventRestore, bastion.EventSignIn}) {
		t.Errorf("events %v", k)
	}
}

// Facts of a person change with every sign-in, for all of their keys.
func TestGroupsAsNow(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := newHouse(t, at)
	one, two := ssh.FingerprintSHA256(newKey(t)), ssh.FingerprintSHA256(newKey(t))
	alice, err := h.signIn(h.Keeper, p, one, "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetGroups("alice", "auditors"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.signIn(h.Keeper, p, two, "alice", true); err != nil {
		t.Fatal(err)
	}
	now, err := h.ForKey(one).Current(t.Context(), alice)
	if err != nil || !slices.Equal(now.Groups, []string{"auditors"}) {
		t.Errorf("groups %v, %v", now.Groups, err)
	}
}

func TestNoPartialBinding(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	key := ssh.FingerprintSHA256(newKey(t))
	t.Run("the log fails", func(t *testing.T) {
		h := newHouse(t, at)
		h.fail = errors.New("disk full")
		_, err := h.signIn(h.Keeper, p, key, "alice", true)
		wantReason(t, err, identity.Failed)
		if n := h.rows(); n != 0 {
			t.Errorf("%d rows are kept", n)
		}
		h.fail = nil
		if _, err := h.Lookup(key); !errors.Is(err, identity.ErrUnknown) {
			t.Error(err)
		}
	})
	t.Run("denied", func(t *testing.T) {
		h := newHouse(t, at)
		_, err := h.signIn(h.Keeper, p, key, "alice", false)
		wantReason(t, err, identity.Denied)
		if n := h.rows(); n != 0 {
			t.Errorf("%d rows are kept", n)
		}
	})
	t.Run("the client leaves", func(t *testing.T) {
		h := newHouse(t, at)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := h.SignIn(ctx, from(key), func(bastion.SignInPrompt) error { cancel(); return nil })
		wantReason(t, err, identity.Ended)
		_, err = h.SignIn(t.Context(), from(key), func(bastion.SignInPrompt) error { return errors.New("gone") })
		wantReason(t, err, identity.Ended)
		if n := h.rows(); n != 0 {
			t.Errorf("%d rows are kept", n)
		}
	})
	t.Run("the person is disabled", func(t *testing.T) {
		p, at := realProvider(t, idp.Options{})
		h := newHouse(t, at)
		h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
		_, err := h.SignIn(t.Context(), from(key), func(prompt bastion.SignInPrompt) error {
			return errors.Join(p.SignIn(t.Context(), prompt.Code, "alice", "alice", true), p.Disable("alice"))
		})
		wantReason(t, err, identity.Denied)
		if n := h.rows(); n != 0 {
			t.Errorf("%d rows are kept", n)
		}
	})
}

// Pitfall 10: while the provider is down, known keys work until their binding
// ends, new sign-ins say why they cannot, and all is well when it is back.
func TestProviderDown(t *testing.T) {
	dir := t.TempDir()
	p, err := idp.Start(context.Background(), idp.Options{Dir: dir, Hold: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	at := identity.Provider{Issuer: p.Issuer(), ClientID: idp.ClientID}
	h := newHouse(t, at)
	known, unknown := ssh.FingerprintSHA256(newKey(t)), ssh.FingerprintSHA256(newKey(t))
	if _, err := h.signIn(h.Keeper, p, known, "alice", true); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	never := func(bastion.SignInPrompt) error { t.Error("asked to sign in"); return nil }
	fresh := h.keeper(identity.Config{Provider: at}) // a bastion that starts while the provider is down
	for name, k := range map[string]*identity.Keeper{"running": h.Keeper, "started": fresh} {
		if who, err := k.Lookup(known); err != nil || who.Name != "alice" {
			t.Errorf("%s: known key: %+v, %v", name, who, err)
		}
		_, err := k.SignIn(t.Context(), from(unknown), never)
		wantReason(t, err, identity.Unreachable)
		if want := "the identity provider cannot be reached; try again later"; err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.clock.Pass(12 * time.Hour)
	if _, err := fresh.Lookup(known); !errors.Is(err, bastion.ErrExpired) {
		t.Errorf("the end of the binding: %v", err)
	}
	h.clock.Pass(-12 * time.Hour)
	back, err := idp.Start(context.Background(), idp.Options{Dir: dir, Hold: 20 * time.Second, Addr: strings.TrimPrefix(at.Issuer, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	for name, k := range map[string]*identity.Keeper{"running": h.Keeper, "started": fresh} {
		if who, err := h.signIn(k, back, unknown, "alice", true); err != nil || who.Name != "alice" {
			t.Errorf("%s: when it is back: %+v, %v", name, who, err)
		}
	}
}

// A provider that goes away for good while somebody signs in is given up.
func TestProviderDiesDuringSignIn(t *testing.T) {
	f := newFake(t)
	h := newHouse(t, f.provider())
	h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	_, err := h.SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { f.server.Close(); return nil })
	wantReason(t, err, identity.Unreachable)
	if n := h.rows(); n != 0 {
		t.Errorf("%d rows are kept", n)
	}
}

// The provider that a binding came from is no longer configured: nobody can
// renew it, so it is void and the key free.
func TestFormerProvider(t *testing.T) {
	old, at := realProvider(t, idp.Options{})
	h := newHouse(t, at)
	key := ssh.FingerprintSHA256(newKey(t))
	was, err := h.signIn(h.Keeper, old, key, "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	next, at := realProvider(t, idp.Options{})
	k := h.keeper(identity.Config{Provider: at})
	if _, err := k.Lookup(key); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("the old binding: %v", err)
	}
	if _, ok := k.Known(was.ID()); ok || len(k.People()) != 0 {
		t.Error("the old provider's people are still known")
	}
	is, err := h.signIn(k, next, key, "alice", true)
	if err != nil || is.Issuer != next.Issuer() {
		t.Fatalf("%+v, %v", is, err)
	}
	if is.Name == was.Name {
		t.Errorf("two identities are both called %q", is.Name)
	}
	if keys, err := k.Keys(was.ID()); err != nil || len(keys) != 0 {
		t.Errorf("the former identity's keys: %+v, %v", keys, err)
	}
}

func TestNamesAreNotShared(t *testing.T) {
	f := newFake(t)
	h := newHouse(t, f.provider(), identity.Service{Name: "ci-bot"})
	h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	show := func(bastion.SignInPrompt) error { return nil }
	for i, want := range []struct{ sub, name, got string }{
		{"1", "alice", "alice"},
		{"2", "alice", "alice~"},
		{"3", "ci-bot", "ci-bot~"},
		{"4", "al\u202eice", "4"}, // no name at all: the subject
		{"1", "alison", "alison"},
		{"2", "alice", "alice"}, // free again
	} {
		f.claims = func(_ int, c map[string]any) { c["sub"], c["preferred_username"] = want.sub, want.name }
		who, err := h.SignIn(t.Context(), from(fmt.Sprint("key", want.sub)), show)
		if err != nil {
			t.Fatal(err)
		}
		if who.Name != want.got && (!strings.HasSuffix(want.got, "~") || !strings.HasPrefix(who.Name, want.got)) {
			t.Errorf("%d: called %q, want %q", i, who.Name, want.got)
		}
	}
}

func TestServices(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	bot, orphan := newKey(t), newKey(t)
	h := newHouse(t, at,
		identity.Service{Name: "ci-bot", Owner: "Alice@shop.example", Groups: []string{"deployers"}, Keys: []string{line(bot)}},
		identity.Service{Name: "cron", Keys: []string{line(orphan)}})
	key := ssh.FingerprintSHA256(bot)

	if _, err := h.Lookup(key); err == nil || !strings.Contains(err.Error(), "owner") {
		t.Errorf("with an owner whom nobody knows: %v", err)
	}
	if _, ok := h.Known("sallyport#ci-bot"); ok {
		t.Error("a service without a known owner is known")
	}
	alice, err := h.signIn(h.Keeper, p, ssh.FingerprintSHA256(newKey(t)), "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	who, err := h.Lookup(key)
	if err != nil {
		t.Fatal(err)
	}
	if who.ID() != "sallyport#ci-bot" || who.Kind != bastion.Service || !who.Expires.IsZero() || !who.In("deployers") || who.Person() != alice.ID() {
		t.Errorf("%+v", who)
	}
	if _, err := h.ForKey(key).Current(t.Context(), who); err != nil {
		t.Error(err)
	}
	if known, ok := h.Known(who.ID()); !ok || known.Owner != alice.ID() {
		t.Errorf("known as %+v, %v", known, ok)
	}
	if who, err := h.Lookup(ssh.FingerprintSHA256(orphan)); err != nil || who.Person() != "sallyport#cron" {
		t.Errorf("%+v, %v", who, err)
	}
	_, err = h.SignIn(t.Context(), from(key), func(bastion.SignInPrompt) error { t.Error("asked"); return nil })
	wantReason(t, err, identity.Taken)

	// The key leaves the configuration: the service's sessions end.
	without := h.keeper(identity.Config{Provider: at, Services: []identity.Service{{Name: "ci-bot"}}})
	if _, err := without.ForKey(key).Current(t.Context(), who); err == nil {
		t.Error("a key that left the configuration still counts")
	}
	// An owner by ID.
	byID := h.keeper(identity.Config{Provider: at, Services: []identity.Service{{Name: "b", Owner: alice.ID(), Keys: []string{line(bot)}}}})
	if who, err := byID.Lookup(key); err != nil || who.Owner != alice.ID() {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestNewRefuses(t *testing.T) {
	key := newKey(t)
	good := identity.Provider{Issuer: "https://id.example.com", ClientID: "sallyport"}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 1024) // refused for its size
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]identity.Config{
		"no issuer":       {Provider: identity.Provider{ClientID: "x"}},
		"no client":       {Provider: identity.Provider{Issuer: good.Issuer}},
		"http":            {Provider: identity.Provider{Issuer: "http://id.example.com", ClientID: "x"}},
		"no address":      {Provider: identity.Provider{Issuer: "sallyport", ClientID: "x"}},
		"hash":            {Provider: identity.Provider{Issuer: "https://id.example.com/#a", ClientID: "x"}},
		"password":        {Provider: identity.Provider{Issuer: "https://u:p@id.example.com", ClientID: "x"}},
		"no openid":       {Provider: identity.Provider{Issuer: good.Issuer, ClientID: "x", Scopes: []string{"email"}}},
		"negative time":   {Provider: good, Lasts: -1},
		"nameless":        {Provider: good, Services: []identity.Service{{}}},
		"odd name":        {Provider: good, Services: []identity.Service{{Name: "ci bot"}}},
		"twice":           {Provider: good, Services: []identity.Service{{Name: "a"}, {Name: "a"}}},
		"shared key":      {Provider: good, Services: []identity.Service{{Name: "a", Keys: []string{line(key)}}, {Name: "b", Keys: []string{line(key)}}}},
		"no key":          {Provider: good, Services: []identity.Service{{Name: "a", Keys: []string{"hello"}}}},
		"two keys a line": {Provider: good, Services: []identity.Service{{Name: "a", Keys: []string{line(key) + line(newKey(t))}}}},
		"options":         {Provider: good, Services: []identity.Service{{Name: "a", Keys: []string{`command="x" ` + line(key)}}}},
		"short RSA":       {Provider: good, Services: []identity.Service{{Name: "a", Keys: []string{line(sshKey(t, &rsaKey.PublicKey))}}}},
	} {
		c.DB, c.Now, c.Append = &store.DB{}, time.Now, func(store.Tx, bastion.Event) error { return nil }
		if _, err := identity.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := identity.New(identity.Config{Provider: good}); err == nil {
		t.Error("accepted without a store")
	}
}

func TestCheckKey(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sk := struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, make([]byte, ed25519.PublicKeySize), "ssh:"}
	skKey, err := ssh.ParsePublicKey(ssh.Marshal(sk))
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]ssh.PublicKey{"ed25519": newKey(t), "ecdsa": sshKey(t, &ec.PublicKey), "rsa": sshKey(t, &long.PublicKey), "sk": skKey} {
		if err := identity.CheckKey(k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	cert := &ssh.Certificate{Key: newKey(t), CertType: ssh.UserCert}
	if err := identity.CheckKey(cert); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("certificate: %v", err)
	}
	if err := identity.CheckKey(oddKey{newKey(t)}); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("unknown type: %v", err)
	}
}

type oddKey struct{ ssh.PublicKey }

func (oddKey) Type() string { return "ssh-\x1b[2Jodd" }

// A broken store knows nobody.
func TestBrokenStore(t *testing.T) {
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	k, err := identity.New(identity.Config{DB: db, Now: time.Now, Append: func(store.Tx, bastion.Event) error { return nil },
		Provider: identity.Provider{Issuer: server.URL, ClientID: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx store.Tx) error { return tx.Put("identity.keys", []byte("SHA256:x"), []byte(`{"issuer":`)) }); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Lookup("SHA256:x"); err == nil || errors.Is(err, identity.ErrUnknown) || errors.Is(err, bastion.ErrExpired) {
		t.Errorf("a record that cannot be read: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if who, err := k.Lookup("SHA256:y"); err == nil || errors.Is(err, identity.ErrUnknown) || who.ID() != "" {
		t.Errorf("a closed store: %+v, %v", who, err)
	}
	if _, ok := k.Known("a#b"); ok || k.People() != nil {
		t.Error("a closed store knows people")
	}
}

// A person chooses a role once: it holds for all of their keys, also after a restart,
// and until they sign in again with any of them. The log tells of it.
func TestActing(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := newHouse(t, at)
	one, two := ssh.FingerprintSHA256(newKey(t)), ssh.FingerprintSHA256(newKey(t))
	before, err := h.signIn(h.Keeper, p, one, "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.signIn(h.Keeper, p, two, "alice", true); err != nil {
		t.Fatal(err)
	}
	first, second := h.ForKey(one), h.ForKey(two)
	acts := func(want ...string) {
		t.Helper()
		for _, of := range []bastion.Identities{first, second, h.keeper(identity.Config{Provider: at}).ForKey(one)} {
			if who, err := of.Current(t.Context(), before); err != nil || !slices.Equal(who.Acting, want) {
				t.Errorf("acts as %v, %v; want %v", who.Acting, err, want)
			}
		}
		// What counts of a vote that was cast is not what one acts in now.
		if who, ok := h.Known(before.ID()); !ok || who.Acting != nil {
			t.Errorf("known as acting as %v", who.Acting)
		}
	}
	acts()
	who, err := h.Act(t.Context(), before, from(one), "deployer")
	if err != nil || !slices.Equal(who.Acting, []string{"deployer"}) {
		t.Fatalf("acts as %v, %v", who.Acting, err)
	}
	acts("deployer")
	if _, err := h.Act(t.Context(), before, from(two), "auditor"); err == nil {
		t.Error("a choice that rests on what is no longer so")
	}
	if _, err := h.Act(t.Context(), who, from(two), "reader"); err != nil {
		t.Error(err)
	}
	acts("deployer", "reader")
	if _, err := h.signIn(h.Keeper, p, two, "alice", true); err != nil {
		t.Fatal(err)
	}
	acts()
	if _, err := h.Act(t.Context(), bastion.Identity{Issuer: "https://elsewhere.example", Subject: "x"}, from(two), "auditor"); err == nil {
		t.Error("a stranger chose")
	}
	if err := h.Lock(before, before.ID(), "left"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Act(t.Context(), before, from(one), "auditor"); !errors.Is(err, identity.ErrLocked) {
		t.Errorf("who may not come in: %v", err)
	}
	if got := h.kinds(); !slices.Equal(got, []bastion.EventKind{bastion.EventSignIn, bastion.EventSignIn, bastion.EventAct, bastion.EventAct, bastion.EventSignIn, bastion.EventRevoke}) {
		t.Errorf("events %v", got)
	}
}
