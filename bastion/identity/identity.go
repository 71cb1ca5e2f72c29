// Package identity knows whose key a key is.
//
// A person's key counts because they proved it and then signed in at the
// OpenID provider by device authorization (RFC 8628): that makes a binding of
// the key to issuer and subject, which ends after a set time. What the provider
// says of them, above all their groups, is asked again before it counts. A service's key
// counts because the configuration names it. Nothing here believes what an SSH
// client says of itself, and nothing is written before both proofs are
// complete.
//
// A key belongs to the identity that bound it first. Only that identity can
// renew the binding, also after it ended; another person needs a key of their
// own, or somebody who unbinds this one. So the history of a key is the history
// of one identity, and a key file that changed hands gives nothing to its
// finder. A binding of an issuer that is no longer configured is void.
package identity

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// Issuer is the issuer of identities that the bastion's own configuration
// vouches for: the services. No provider can have it, as it is no address.
const Issuer = "sallyport"

// Why a proved key is nobody's, besides [bastion.ErrExpired].
var (
	// ErrUnknown says that no binding exists for the key.
	ErrUnknown = errors.New("this key is not signed in; connect again to sign in")
	// ErrLocked says that the person's access was taken away.
	ErrLocked = errors.New("you are locked out of this bastion; ask whoever runs it")
)

// Config is what a [Keeper] is made of.
type Config struct {
	DB       *store.DB
	Provider Provider
	// Lasts is how long a binding holds after the sign-in; 12 hours if zero. A
	// shorter time also shortens the bindings that exist.
	Lasts time.Duration
	// Recheck is the age at which what a provider said of a person does not count
	// without asking it again. Zero: it counts until the next sign-in.
	Recheck time.Duration
	// Unreachable is how much longer it counts for [Keeper.Confirm] while the
	// provider cannot be asked.
	Unreachable time.Duration
	Services    []Service
	// Append writes an event in the transaction of the change that it tells of.
	Append func(store.Tx, bastion.Event) error
	Now    func() time.Time
}

// Service is a machine that the configuration names.
type Service struct {
	Name string
	// Owner is the person who answers for it, by ID (issuer#subject) or by the
	// verified e-mail address of somebody who has signed in. While it names
	// nobody known, the service is refused: separation of duties would be blind.
	// Empty means that the service answers for itself.
	Owner  string
	Groups []string
	Keys   []string // lines as in authorized_keys, without options
}

// Keeper keeps bindings and people. It is safe for concurrent use.
type Keeper struct {
	c        Config
	services []Service
	byKey    map[string]int // fingerprint to index in services
	client   client
	wait     func(context.Context, time.Duration) error // between polls; nil waits
	changes  atomic.Uint64                              // counts what was written
	// standings says how current what is known of a person is: ID to *standing.
	standings sync.Map

	mu         sync.Mutex // guards what follows
	discovered *discovery
}

// New checks the configuration and makes a keeper. It asks the provider
// nothing, so that the bastion starts, and knows the keys that are bound, while
// the provider is down.
func New(c Config) (*Keeper, error) {
	if c.DB == nil || c.Append == nil || c.Now == nil {
		return nil, errors.New("internal error: identity needs a store, a log and a clock")
	}
	if c.Lasts < 0 {
		return nil, fmt.Errorf("a sign-in cannot last %s", c.Lasts)
	}
	if c.Recheck < 0 || c.Unreachable < 0 {
		return nil, fmt.Errorf("what is known of people cannot count for %s or %s", c.Recheck, c.Unreachable)
	}
	if c.Lasts == 0 {
		c.Lasts = 12 * time.Hour
	}
	if err := c.Provider.check(); err != nil {
		return nil, err
	}
	k := &Keeper{c: c, services: slices.Clone(c.Services), byKey: map[string]int{}, client: newClient(c.Provider.HTTP)}
	for i, s := range k.services {
		if err := k.addService(i, s); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *Keeper) addService(i int, s Service) error {
	if s.Name == "" || len(s.Name) > maxName || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return fmt.Errorf("service %q: a name is made of lower case letters, digits, dots, hyphens and underscores", s.Name)
	}
	for _, other := range k.services[:i] {
		if other.Name == s.Name {
			return fmt.Errorf("service %q is there twice", s.Name)
		}
	}
	for n, line := range s.Keys {
		key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		switch {
		case err != nil:
			return fmt.Errorf("service %q: key %d is no public key in the form of authorized_keys", s.Name, n+1)
		case len(bytes.TrimSpace(rest)) > 0:
			return fmt.Errorf("service %q: key %d has more than one line", s.Name, n+1)
		case len(options) > 0:
			return fmt.Errorf("service %q: key %d has options, which have no meaning here; remove them", s.Name, n+1)
		}
		if err := CheckKey(key); err != nil {
			return fmt.Errorf("service %q: key %d: %w", s.Name, n+1, err)
		}
		f := ssh.FingerprintSHA256(key)
		if other, taken := k.byKey[f]; taken {
			return fmt.Errorf("service %q: key %d is also a key of service %q; each needs its own", s.Name, n+1, k.services[other].Name)
		}
		k.byKey[f] = i
	}
	return nil
}

// CheckKey says whether a public key is of a kind that may prove an identity:
// Ed25519, ECDSA and RSA from 2048 bits, with or without a security key.
// Certificates are not: there is no authority here that they could come from.
func CheckKey(key ssh.PublicKey) error {
	if c, ok := key.(*ssh.Certificate); ok {
		return fmt.Errorf("certificates (%s) do not count here; offer the plain key", c.Type())
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if ck, ok := key.(ssh.CryptoPublicKey); ok {
			if pub, ok := ck.CryptoPublicKey().(*rsa.PublicKey); ok && pub.N.BitLen() >= 2048 {
				return nil
			}
		}
		return errors.New("this RSA key has less than 2048 bits; make a better one with: ssh-keygen -t ed25519")
	}
	return fmt.Errorf("keys of type %s do not count here; make one with: ssh-keygen -t ed25519", bastion.VisibleLine(key.Type()))
}

// Lookup returns the identity of a proved key, by its SHA-256 fingerprint. The
// error is ErrUnknown or wraps [bastion.ErrExpired] where the person can sign
// in to be known; any other error is a refusal.
func (k *Keeper) Lookup(fingerprint string) (bastion.Identity, error) {
	var who bastion.Identity
	err := k.c.DB.View(func(tx store.Tx) (err error) {
		who, err = k.lookup(tx, fingerprint)
		return err
	})
	if err != nil {
		return bastion.Identity{}, err
	}
	return who, nil
}

func (k *Keeper) lookup(tx store.Tx, fingerprint string) (bastion.Identity, error) {
	if i, ok := k.byKey[fingerprint]; ok {
		return k.service(tx, i)
	}
	b, err := readBinding(tx, fingerprint)
	if err != nil {
		return bastion.Identity{}, err
	}
	if b == nil || b.Issuer != k.c.Provider.Issuer {
		return bastion.Identity{}, ErrUnknown
	}
	p, err := readPerson(tx, b.id())
	if err != nil {
		return bastion.Identity{}, err
	}
	if p == nil {
		return bastion.Identity{}, errors.New("internal error: a key is bound to nobody")
	}
	if !p.Locked.IsZero() {
		return bastion.Identity{}, ErrLocked
	}
	who := p.identity()
	who.SignedIn, who.Expires, who.Acting = b.SignedIn, k.ends(b), slices.Clone(p.Acting)
	if !k.c.Now().Before(who.Expires) {
		return bastion.Identity{}, bastion.ErrExpired
	}
	if !p.Ended.IsZero() {
		return bastion.Identity{}, fmt.Errorf("the identity provider has ended your sign-in: %w", bastion.ErrExpired)
	}
	return who, nil
}

// ends is when a binding ends: as it was made, or sooner if the configuration
// now grants less.
func (k *Keeper) ends(b *binding) time.Time {
	if latest := b.Renewed.Add(k.c.Lasts); latest.Before(b.Expires) {
		return latest
	}
	return b.Expires
}

func (k *Keeper) service(tx store.Tx, i int) (bastion.Identity, error) {
	s := k.services[i]
	who := bastion.Identity{Issuer: Issuer, Subject: s.Name, Kind: bastion.Service, Name: s.Name, Groups: slices.Clone(s.Groups)}
	if s.Owner == "" {
		return who, nil
	}
	owners, err := k.owners(tx, s.Owner)
	if err != nil {
		return bastion.Identity{}, err
	}
	switch len(owners) {
	case 1:
		p, err := readPerson(tx, owners[0])
		if err != nil {
			return bastion.Identity{}, err
		}
		if p != nil && !p.Locked.IsZero() { // who is out must not come in as their service
			return bastion.Identity{}, fmt.Errorf("the owner of service %s is locked out; name another in the configuration", s.Name)
		}
		who.Owner = owners[0]
		return who, nil
	case 0:
		return bastion.Identity{}, fmt.Errorf("the owner of service %s has not signed in yet; they must do so once before the service can work", s.Name)
	}
	return bastion.Identity{}, fmt.Errorf("service %s has an owner whom several people match; name the owner by issuer#subject in the configuration", s.Name)
}

// owners lists the IDs of known people whom a service's owner may mean.
func (k *Keeper) owners(tx store.Tx, owner string) (ids []string, err error) {
	if !strings.Contains(owner, "#") {
		prefix := []byte(strings.ToLower(owner) + "\x00")
		err := tx.Scan(emailsBucket, prefix, func(key, _ []byte) (bool, error) {
			id, ok := bytes.CutPrefix(key, prefix)
			if ok && bytes.HasPrefix(id, []byte(k.c.Provider.Issuer+"#")) {
				ids = append(ids, string(id))
			}
			return ok, nil
		})
		return ids, err
	}
	p, err := readPerson(tx, owner)
	if err != nil || p == nil || p.Issuer != k.c.Provider.Issuer {
		return nil, err
	}
	return []string{owner}, nil
}

// ForKey answers [bastion.Identities] for sessions that one key opened: the
// identity counts while that key is bound to it, or configured for it.
func (k *Keeper) ForKey(fingerprint string) bastion.Identities {
	return &forKey{k: k, fingerprint: fingerprint}
}

type forKey struct {
	k           *Keeper
	fingerprint string
	last        atomic.Pointer[answer]
}

// answer is what was found at a time. It holds until anything is written, or it
// expires: native clients ask thousands of times a second.
type answer struct {
	changes  uint64
	who      bastion.Identity
	standing *standing // nil for whom no provider knows
}

// update changes what is kept. All changes go through it.
func (k *Keeper) update(f func(store.Tx) error) error {
	defer k.changes.Add(1) // also after a failure, which costs no more than a look
	return k.c.DB.Update(f)
}

// lookup is Lookup, if anything may have changed since the last time. The provider is
// asked first, if what it said is too old. While it gives no answer, what it said
// last counts until the binding ends: it is where people sign in, and not to be asked
// is no reason to stop all work. What others have to decide is stricter (Confirm).
func (f *forKey) lookup(ctx context.Context) (bastion.Identity, error) {
	a := f.last.Load()
	if a != nil && a.standing != nil {
		if q := f.k.ask(ctx, a.standing, a.who.ID()); q != nil {
			q.wait(ctx)
		}
	}
	changes := f.k.changes.Load() // before what it is about is read
	if a != nil && a.changes == changes && (a.who.Expires.IsZero() || f.k.c.Now().Before(a.who.Expires)) {
		return a.who, nil
	}
	who, err := f.k.Lookup(f.fingerprint)
	if err != nil {
		return who, err
	}
	s, err := f.k.standing(who.ID())
	if err != nil {
		return bastion.Identity{}, err
	}
	f.last.Store(&answer{changes, who, s})
	if s != nil && (a == nil || a.standing != s) {
		return f.lookup(ctx) // a sign-in that nobody asked about yet
	}
	return who, nil
}

// Current implements [bastion.Identities].
func (f *forKey) Current(ctx context.Context, who bastion.Identity) (bastion.Identity, error) {
	if err := context.Cause(ctx); err != nil {
		return bastion.Identity{}, err
	}
	now, err := f.lookup(ctx)
	if errors.Is(err, ErrUnknown) {
		return bastion.Identity{}, fmt.Errorf("your key was unbound: %w", bastion.ErrExpired)
	}
	if err != nil {
		return bastion.Identity{}, err
	}
	if !now.Equal(who) {
		return bastion.Identity{}, fmt.Errorf("your key is now somebody else's: %w", ErrLocked)
	}
	return now, nil
}

// Known returns an identity by its ID, with what its provider said last. It
// is not told of one that was locked out, whose sign-in the provider has ended, that a
// former provider vouched for, or that the configuration no longer names. Expires is
// zero: no key is concerned.
func (k *Keeper) Known(id string) (bastion.Identity, bool) {
	var who bastion.Identity
	err := k.c.DB.View(func(tx store.Tx) error {
		for i, s := range k.services {
			if id == Issuer+"#"+s.Name {
				var err error
				who, err = k.service(tx, i)
				return err
			}
		}
		p, err := readPerson(tx, id)
		if err != nil || !k.counts(p) {
			return errors.Join(err, ErrUnknown)
		}
		who = p.identity()
		return nil
	})
	return who, err == nil
}

func (k *Keeper) counts(p *person) bool {
	return p != nil && p.Issuer == k.c.Provider.Issuer && p.Locked.IsZero() && p.Ended.IsZero()
}

// People lists the people that Known knows, ordered by ID; nobody if the store
// cannot be read.
func (k *Keeper) People() []bastion.Identity {
	var people []bastion.Identity
	err := k.c.DB.View(func(tx store.Tx) error {
		people = nil
		return eachPerson(tx, func(p *person) {
			if k.counts(p) {
				people = append(people, p.identity())
			}
		})
	})
	if err != nil {
		return nil
	}
	return people
}

// Accounts lists everybody who has signed in at the provider of now, also who may not
// come in any more, by name.
func (k *Keeper) Accounts() ([]bastion.Account, error) {
	var all []bastion.Account
	err := k.c.DB.View(func(tx store.Tx) error {
		all = nil
		return eachPerson(tx, func(p *person) {
			if p.Issuer == k.c.Provider.Issuer {
				all = append(all, bastion.Account{Identity: p.identity(), Confirmed: p.Confirmed, Ended: p.Ended, Locked: p.Locked})
			}
		})
	})
	for i := range all {
		if s, err := k.standing(all[i].Identity.ID()); err == nil && s != nil {
			s.mu.Lock()
			all[i].Confirmed = s.confirmed
			s.mu.Unlock()
		}
	}
	slices.SortFunc(all, func(a, b bastion.Account) int { return strings.Compare(a.Identity.Name, b.Identity.Name) })
	return all, err
}

// Keys lists a person's keys, also those whose binding has ended.
func (k *Keeper) Keys(id string) ([]bastion.Key, error) {
	var keys []bastion.Key
	err := k.c.DB.View(func(tx store.Tx) error {
		keys = nil
		return eachBinding(tx, id, func(f string, b *binding) error {
			keys = append(keys, bastion.Key{Fingerprint: f, Bound: b.Bound, SignedIn: b.SignedIn, Expires: k.ends(b), From: b.Origin})
			return nil
		})
	})
	return keys, err
}

// Unbind removes a key's binding. by is who does it: the key's own identity or
// an administrator, which the caller has checked.
func (k *Keeper) Unbind(by bastion.Identity, fingerprint string) error {
	return k.update(func(tx store.Tx) error {
		b, err := readBinding(tx, fingerprint)
		if err != nil {
			return err
		}
		if b == nil {
			return fmt.Errorf("key %s: %w", bastion.VisibleLine(fingerprint), bastion.ErrNotFound)
		}
		if err := deleteBinding(tx, fingerprint, b); err != nil {
			return err
		}
		return k.append(tx, by, bastion.EventUnbind, "key "+fingerprint+" of "+b.id())
	})
}

// Lock takes a person's access away and ends the bindings of all their keys. by is who
// does it, which the caller has checked.
func (k *Keeper) Lock(by bastion.Identity, id, reason string) error {
	return k.update(func(tx store.Tx) error {
		p, err := k.personNamed(tx, id)
		if err != nil {
			return err
		}
		now := k.c.Now()
		p.Locked = now
		if err := errors.Join(writePerson(tx, p), writeRefresh(tx, id, refresh{})); err != nil {
			return err
		}
		ended := map[string]*binding{}
		if err := eachBinding(tx, id, func(f string, b *binding) error {
			ended[f] = b
			return nil
		}); err != nil {
			return err
		}
		for f, b := range ended {
			if now.Before(b.Expires) {
				b.Expires = now
			}
			if err := writeBinding(tx, f, b); err != nil {
				return err
			}
		}
		return k.c.Append(tx, bastion.Event{At: now, Kind: bastion.EventRevoke, Who: by.ID(), Name: by.Name, Text: "access of " + p.Name + " (" + id + ")", Reason: reason})
	})
}

// Act keeps that a person acts in a role, besides those that they act in already,
// until they sign in again with whatever key. who is what the choice rests on: if
// something else was chosen meanwhile, it fails.
func (k *Keeper) Act(ctx context.Context, who bastion.Identity, from bastion.Origin, role string) (bastion.Identity, error) {
	if err := context.Cause(ctx); err != nil {
		return bastion.Identity{}, err
	}
	acting := append(slices.Clone(who.Acting), role)
	err := k.update(func(tx store.Tx) error {
		p, err := k.personNamed(tx, who.ID())
		switch {
		case err != nil:
			return err
		case !k.counts(p):
			return ErrLocked
		case !slices.Equal(p.Acting, who.Acting):
			return errors.New("you chose in another session just now; look again")
		}
		p.Acting = acting
		if err := writePerson(tx, p); err != nil {
			return err
		}
		return k.c.Append(tx, bastion.Event{At: k.c.Now(), Kind: bastion.EventAct, Who: who.ID(), Name: who.Name, Origin: &from, Text: "acts as " + role})
	})
	if err != nil {
		return bastion.Identity{}, err
	}
	who.Acting = acting
	return who, nil
}

// Unlock undoes Lock. The person's keys stay ended, and they are not known, until they
// sign in again.
func (k *Keeper) Unlock(by bastion.Identity, id string) error {
	return k.update(func(tx store.Tx) error {
		p, err := k.personNamed(tx, id)
		if err != nil {
			return err
		}
		// What is known of them may have changed meanwhile, and so votes of theirs count
		// again only after a sign-in.
		p.Locked, p.Ended = time.Time{}, k.c.Now()
		if err := writePerson(tx, p); err != nil {
			return err
		}
		return k.append(tx, by, bastion.EventRestore, "access of "+p.Name+" ("+id+")")
	})
}

func (k *Keeper) personNamed(tx store.Tx, id string) (*person, error) {
	p, err := readPerson(tx, id)
	if err == nil && p == nil {
		err = fmt.Errorf("person %s: %w", bastion.VisibleLine(id), bastion.ErrNotFound)
	}
	return p, err
}

func (k *Keeper) append(tx store.Tx, by bastion.Identity, kind bastion.EventKind, text string) error {
	return k.c.Append(tx, bastion.Event{At: k.c.Now(), Kind: kind, Who: by.ID(), Name: by.Name, Text: text})
}

// ---- records

// The buckets of the store. The third lists fingerprints by identity, so that
// all keys of one person are found; the fourth keeps names apart; the fifth
// finds people by their verified address in lower case; the sixth holds what the
// provider wants to see when it is asked about somebody, which is secret.
const (
	keysBucket   = "identity.keys"   // fingerprint: binding
	peopleBucket = "identity.people" // ID: person
	ownersBucket = "identity.owners" // ID, NUL, fingerprint: nothing
	namesBucket  = "identity.names"  // name: ID
	emailsBucket = "identity.emails" // e-mail, NUL, ID: nothing
	tokensBucket = "identity.tokens" // ID: refresh
)

// binding ties a key to an identity until a time.
type binding struct {
	Issuer   string         `json:"issuer"`
	Subject  string         `json:"subject"`
	Bound    time.Time      `json:"bound"`
	Renewed  time.Time      `json:"renewed"`   // when the last sign-in was complete
	SignedIn time.Time      `json:"signed_in"` // when the person proved themselves
	Expires  time.Time      `json:"expires"`
	Origin   bastion.Origin `json:"origin"`
}

func (b *binding) id() string { return bastion.Identity{Issuer: b.Issuer, Subject: b.Subject}.ID() }

// refresh is what a sign-in left for asking about the person later.
type refresh struct {
	Token string `json:"token"`
	Nonce string `json:"nonce"` // of the sign-in, which later ID tokens may repeat
}

// person is what the provider said of somebody: at their last sign-in, or when it was
// asked later.
type person struct {
	Issuer   string    `json:"issuer"`
	Subject  string    `json:"subject"`
	Name     string    `json:"name"`
	Email    string    `json:"email,omitempty"` // verified, or empty
	Groups   []string  `json:"groups,omitempty"`
	SignedIn time.Time `json:"signed_in"`
	// Confirmed is when the provider said it, or later; Ended is when it ended the
	// sign-in.
	Confirmed time.Time `json:"confirmed,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	Locked    time.Time `json:"revoked,omitzero"` // when somebody locked the person out
	// Acting is the roles that they chose to act in after that sign-in.
	Acting []string `json:"acting,omitempty"`
}

func (p *person) id() string { return bastion.Identity{Issuer: p.Issuer, Subject: p.Subject}.ID() }

func (p *person) emailKey() []byte { return []byte(strings.ToLower(p.Email) + "\x00" + p.id()) }

func (p *person) identity() bastion.Identity {
	return bastion.Identity{Issuer: p.Issuer, Subject: p.Subject, Kind: bastion.Person,
		Name: p.Name, Email: p.Email, Groups: slices.Clone(p.Groups), SignedIn: p.SignedIn}
}

func read[T any](tx store.Tx, bucket, key string) (*T, error) {
	b := tx.Get(bucket, []byte(key))
	if b == nil {
		return nil, nil
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("internal error: a record in %s cannot be read", bucket)
	}
	return v, nil
}

func write(tx store.Tx, bucket, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing a record in %s: %w", bucket, err)
	}
	return tx.Put(bucket, []byte(key), b)
}

func readBinding(tx store.Tx, fingerprint string) (*binding, error) {
	return read[binding](tx, keysBucket, fingerprint)
}

func readPerson(tx store.Tx, id string) (*person, error) { return read[person](tx, peopleBucket, id) }

func writePerson(tx store.Tx, p *person) error {
	before, err := readPerson(tx, p.id())
	if err != nil {
		return err
	}
	if before != nil && before.Email != "" {
		if err := tx.Delete(emailsBucket, before.emailKey()); err != nil {
			return err
		}
	}
	if p.Email != "" {
		if err := tx.Put(emailsBucket, p.emailKey(), []byte{1}); err != nil {
			return err
		}
	}
	return write(tx, peopleBucket, p.id(), p)
}

func readRefresh(tx store.Tx, id string) (*refresh, error) {
	return read[refresh](tx, tokensBucket, id)
}

// writeRefresh keeps the token of the last sign-in, and removes one that is empty.
func writeRefresh(tx store.Tx, id string, r refresh) error {
	if r.Token == "" {
		return tx.Delete(tokensBucket, []byte(id))
	}
	return write(tx, tokensBucket, id, r)
}

func writeBinding(tx store.Tx, fingerprint string, b *binding) error {
	if err := tx.Put(ownersBucket, []byte(b.id()+"\x00"+fingerprint), []byte{1}); err != nil {
		return err
	}
	return write(tx, keysBucket, fingerprint, b)
}

func deleteBinding(tx store.Tx, fingerprint string, b *binding) error {
	if err := tx.Delete(ownersBucket, []byte(b.id()+"\x00"+fingerprint)); err != nil {
		return err
	}
	return tx.Delete(keysBucket, []byte(fingerprint))
}

// eachBinding calls f with each binding of an identity. f must not write.
func eachBinding(tx store.Tx, id string, f func(fingerprint string, b *binding) error) error {
	prefix := []byte(id + "\x00")
	return tx.Scan(ownersBucket, prefix, func(key, _ []byte) (bool, error) {
		fingerprint, ok := bytes.CutPrefix(key, prefix)
		if !ok {
			return false, nil
		}
		b, err := readBinding(tx, string(fingerprint))
		if err != nil {
			return false, err
		}
		if b == nil || b.id() != id {
			return false, errors.New("internal error: the lists of keys disagree")
		}
		return true, f(string(fingerprint), b)
	})
}

func eachPerson(tx store.Tx, f func(*person)) error {
	return tx.Scan(peopleBucket, nil, func(_, v []byte) (bool, error) {
		p := new(person)
		if err := json.Unmarshal(v, p); err != nil {
			return false, fmt.Errorf("internal error: a record in %s cannot be read", peopleBucket)
		}
		f(p)
		return true, nil
	})
}
