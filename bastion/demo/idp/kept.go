package idp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// keptKeys is how many signing keys are published: the one in use and two for
// tokens that were signed before.
const keptKeys = 3

// kept is what a provider needs to be the same one after a restart.
type kept struct {
	// Subjects is the secret that turns user names into subjects.
	Subjects []byte `json:"subjects"`
	// TokenKey encrypts access tokens.
	TokenKey []byte `json:"token_key"`
	// Keys are the signing keys, the one in use first.
	Keys []signingKey `json:"keys"`
	// Grants are the refresh tokens' records by id.
	Grants map[string]*grant `json:"grants"`

	path string // "" keeps nothing
}

// grant is what one refresh token stands for. The token is the id and a secret
// that changes at every use (RFC 9700, section 4.14.2), of which only a hash is
// kept.
type grant struct {
	Hash     []byte    `json:"hash"`
	User     string    `json:"user"`
	Client   string    `json:"client"`
	Scopes   []string  `json:"scopes"`
	AuthTime time.Time `json:"auth_time"`
	Expires  time.Time `json:"expires"`
}

type signingKey struct {
	KeyID string `json:"id"`
	PKCS8 []byte `json:"pkcs8"`

	private *ecdsa.PrivateKey
}

func newKey() (signingKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signingKey{}, fmt.Errorf("making a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, fmt.Errorf("making a signing key: %w", err)
	}
	return signingKey{KeyID: rand.Text()[:12], PKCS8: der, private: private}, nil
}

// load reads dir's file, or makes a new identity where there is none. An empty
// dir keeps nothing.
func load(dir string) (*kept, error) {
	k := &kept{Grants: map[string]*grant{}}
	if dir != "" {
		k.path = filepath.Join(dir, "idp.json")
		text, err := os.ReadFile(k.path)
		if err == nil {
			if err := k.parse(text); err != nil {
				return nil, fmt.Errorf("reading %s: %w; remove the file to begin with new keys (everybody signs in again)", k.path, err)
			}
			return k, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the provider's keys: %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the provider's folder: %w", err)
		}
	}
	k.Subjects, k.TokenKey = make([]byte, 32), make([]byte, 32)
	rand.Read(k.Subjects)
	rand.Read(k.TokenKey)
	first, err := newKey()
	if err != nil {
		return nil, err
	}
	k.Keys = []signingKey{first}
	return k, k.save()
}

func (k *kept) parse(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(k); err != nil {
		return err
	}
	if len(k.Subjects) != 32 || len(k.TokenKey) != 32 || len(k.Keys) == 0 || k.Grants == nil {
		return errors.New("it is not complete")
	}
	for i := range k.Keys {
		key, err := x509.ParsePKCS8PrivateKey(k.Keys[i].PKCS8)
		if err != nil {
			return err
		}
		private, ok := key.(*ecdsa.PrivateKey)
		if !ok || private.Curve != elliptic.P256() {
			return fmt.Errorf("signing key %d is of another kind", i+1)
		}
		k.Keys[i].private = private
	}
	for id, g := range k.Grants {
		if g == nil {
			return fmt.Errorf("grant %q is empty", id)
		}
	}
	return nil
}

// save writes the file so that a crash leaves the old or the new one.
func (k *kept) save() error {
	if k.path == "" {
		return nil
	}
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("keeping the provider's state: %w", err)
	}
	if err := replace(k.path, text); err != nil {
		return fmt.Errorf("keeping the provider's state: %w", err)
	}
	return nil
}

func replace(path string, text []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".idp-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, once renamed
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ID, SignatureAlgorithm and Key make a signingKey what op signs with.
func (k signingKey) ID() string                                  { return k.KeyID }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k signingKey) Key() any                                    { return k.private }

// publicKey is the half of a signing key that is published.
type publicKey struct{ signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.private.PublicKey }
