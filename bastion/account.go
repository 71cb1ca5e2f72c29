package bastion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Accounts keeps the people who have signed in, and their keys.
type Accounts interface {
	// Accounts lists everybody who has signed in, by name.
	Accounts() ([]Account, error)
	// Keys lists the keys that are or were bound to a person, by Identity.ID.
	Keys(id string) ([]Key, error)
	// Unbind takes a key from whoever it is bound to; ErrNotFound if it is nobody's.
	Unbind(by Identity, fingerprint string) error
	// Lock keeps a person out, with all of their keys, until Unlock. Their votes count
	// no more while they are out.
	Lock(by Identity, id, reason string) error
	// Unlock lets a person sign in again.
	Unlock(by Identity, id string) error
}

// Account is somebody who has signed in.
type Account struct {
	Identity Identity `json:"identity"`
	Roles    []Role   `json:"roles"`
	// Confirmed is when the provider last said what Identity tells, Ended when it
	// ended the sign-in, Locked when somebody locked the person out.
	Confirmed time.Time `json:"confirmed,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	Locked    time.Time `json:"locked,omitzero"`
}

// Key is an SSH key that is or was bound to a person.
type Key struct {
	Fingerprint string    `json:"fingerprint"`
	Bound       time.Time `json:"bound"`     // first sign-in with it
	SignedIn    time.Time `json:"signed_in"` // last proof at the provider
	Expires     time.Time `json:"expires"`
	From        Origin    `json:"from"` // where the last sign-in came from
}

// Keys lists one's own keys, the one signed in with last first.
func (s *Session) Keys(ctx context.Context) ([]Key, error) {
	who, err := s.identify(ctx)
	if err != nil {
		return nil, err
	}
	if s.c.Accounts == nil || who.Kind != Person {
		return nil, errors.New("the keys of a service are in the configuration of the bastion")
	}
	keys, err := s.c.Accounts.Keys(who.ID())
	slices.SortFunc(keys, func(a, b Key) int { return b.SignedIn.Compare(a.SignedIn) })
	return keys, err
}

// Unbind takes a key of one's own away: of a machine that was lost, say. Sessions that
// it opened end. Who has it must sign in again as this person, or it is nobody's.
func (s *Session) Unbind(ctx context.Context, fingerprint string) error {
	keys, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(k Key) bool { return k.Fingerprint == fingerprint }) {
		return fmt.Errorf("%s is no key of yours: %w", VisibleLine(fingerprint), ErrNotFound)
	}
	return s.c.Accounts.Unbind(s.Who(), fingerprint)
}

// Accounts lists everybody who has signed in, with their roles, for those with the
// duty to audit or to administer.
func (s *Session) Accounts(ctx context.Context) ([]Account, error) {
	if _, err := s.caretaker(ctx, "accounts are looked after", Audit, Administer); err != nil {
		return nil, err
	}
	if s.c.Accounts == nil {
		return nil, errNoAccounts
	}
	all, err := s.c.Accounts.Accounts()
	for i := range all {
		all[i].Roles = s.c.Policy.Roles(all[i].Identity)
	}
	return all, err
}

// Lock keeps the person of that name out, at once and until Unlock. It needs the duty
// to administer and a reason. It can only take away: what others approved with the
// person's vote counts no more.
func (s *Session) Lock(ctx context.Context, name, reason string) error {
	who, other, err := s.accountNamed(ctx, name)
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(reason) == "":
		return ErrReason
	case other.Identity.ID() == who.Person():
		return &DeniedError{Reason: "nobody locks themselves out"}
	case !other.Locked.IsZero():
		return fmt.Errorf("%s is locked out already", VisibleLine(name))
	}
	return s.c.Accounts.Lock(who, other.Identity.ID(), reason)
}

// Unlock lets the person of that name sign in again. It needs the duty to administer.
func (s *Session) Unlock(ctx context.Context, name string) error {
	who, other, err := s.accountNamed(ctx, name)
	switch {
	case err != nil:
		return err
	case other.Locked.IsZero():
		return fmt.Errorf("%s is not locked out", VisibleLine(name))
	}
	return s.c.Accounts.Unlock(who, other.Identity.ID())
}

// errNoAccounts says that nobody signs in at this bastion.
var errNoAccounts = errors.New("this bastion keeps no accounts")

func (s *Session) accountNamed(ctx context.Context, name string) (who Identity, named Account, err error) {
	if who, err = s.caretaker(ctx, "who comes in is looked after", Administer); err != nil {
		return who, named, err
	}
	if s.c.Accounts == nil {
		return who, named, errNoAccounts
	}
	all, err := s.c.Accounts.Accounts()
	if err != nil {
		return who, named, err
	}
	for _, a := range all {
		if a.Identity.Name == name {
			return who, a, nil
		}
	}
	return who, named, fmt.Errorf("nobody of the name %s has signed in; people lists who has: %w", VisibleLine(name), ErrNotFound)
}

// caretaker is who the person is now, if a role of theirs has one of the duties.
func (s *Session) caretaker(ctx context.Context, what string, duties ...Duty) (Identity, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Identity{}, err
	}
	roles := s.c.Policy.Roles(who)
	var names []string
	for _, d := range duties {
		if has(roles, d) {
			return who, nil
		}
		names = append(names, string(d))
	}
	return Identity{}, &DeniedError{Reason: what + " by those with the duty to " + strings.Join(names, " or to ")}
}
