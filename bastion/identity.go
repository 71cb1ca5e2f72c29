package bastion

import (
	"slices"
	"time"
)

// PersonKind tells people from machines. The zero kind is neither and may do nothing.
type PersonKind string

// The kinds of identity.
const (
	Person  PersonKind = "person"
	Service PersonKind = "service"
)

// Identity is who somebody is, from a provider or from the configuration: never
// what a client claims. Issuer and Subject together name the identity; the
// other fields are facts that may change.
type Identity struct {
	Issuer  string     `json:"issuer"`
	Subject string     `json:"subject"`
	Kind    PersonKind `json:"kind"`
	Name    string     `json:"name"` // short name for people to read, such as alice
	Email   string     `json:"email,omitempty"`
	Groups  []string   `json:"groups,omitempty"`
	// Acting names the roles that a person chose to act in since the last sign-in, of
	// those that nobody may hold together.
	Acting []string `json:"acting,omitempty"`
	// Owner is the ID of the person who answers for a service.
	Owner    string    `json:"owner,omitempty"`
	SignedIn time.Time `json:"signed_in,omitzero"` // last proof at the provider
	Expires  time.Time `json:"expires,omitzero"`   // end of the key's binding; zero for services
	// Grants is the access that was granted to the identity for a time, as of now.
	Grants []Grant `json:"-"`
}

// ID is issuer and subject in one string: the only thing by which two
// identities are compared.
func (i Identity) ID() string {
	if i.Issuer == "" || i.Subject == "" {
		return ""
	}
	return i.Issuer + "#" + i.Subject
}

// Person returns the ID of the human being who answers for the identity: the
// owner of a service, else the identity itself. Separation of duties compares
// these, so that nobody approves their own service's request.
func (i Identity) Person() string {
	if i.Kind == Service && i.Owner != "" {
		return i.Owner
	}
	return i.ID()
}

// Equal reports whether two identities are the same one.
func (i Identity) Equal(j Identity) bool {
	if i.Issuer == j.Issuer && i.Subject == j.Subject { // as ever, and no memory is needed
		return i.Issuer != "" && i.Subject != ""
	}
	return i.ID() != "" && i.ID() == j.ID()
}

// In reports whether the identity is in the group.
func (i Identity) In(group string) bool { return slices.Contains(i.Groups, group) }

// Origin is where a session comes from, as the front door saw it.
type Origin struct {
	Address string `json:"address"` // host:port of the client
	Key     string `json:"key"`     // fingerprint of the key that was proved
	Client  string `json:"client"`  // SSH version string of the client, untrusted
}

// Duty is one of the duties that segregation of duties keeps apart.
type Duty string

// The duties.
const (
	Design     Duty = "design"
	Approve    Duty = "approve"
	Execute    Duty = "execute"
	Audit      Duty = "audit"
	Administer Duty = "administer"
)

// Duties lists all duties.
func Duties() []Duty { return []Duty{Design, Approve, Execute, Audit, Administer} }

// Role is a role that an identity holds, with the duties that come with it.
type Role struct {
	Name   string `json:"name"`
	Duties []Duty `json:"duties"`
}

// SignInPrompt is what a person needs in order to sign in at the provider
// (RFC 8628, section 3.2).
type SignInPrompt struct {
	Address string // page to open
	Code    string // code to type there
	Direct  string // address with the code filled in; may be empty
	Key     string // fingerprint of the key that will be bound
	Expires time.Time
}
