package sshd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/identity"
)

// proof is what an authentication that succeeded has proved.
type proof struct {
	who    bastion.Identity
	origin bastion.Origin
}

// proofKey finds the proof in a connection's permissions.
type proofKey struct{}

// proofOf returns what the connection's successful authentication proved.
func proofOf(sc *gossh.ServerConn) (proof, bool) {
	if sc.Permissions == nil {
		return proof{}, false
	}
	p, ok := sc.Permissions.ExtraData[proofKey{}].(proof)
	return p, ok && p.who.ID() != "" && p.origin.Key != ""
}

var (
	errNone     = errors.New("a key is needed")
	errRenamed  = errors.New("the user name changed between attempts")
	errTooLong  = errors.New("the user name is too long")
	errNoSignIn = errors.New("the sign-in was not completed")
)

const maxUser = 256

// config is what authenticates this connection. Each permission in it is made
// anew for the attempt that earned it.
func (c *conn) config() *gossh.ServerConfig {
	config := c.d.base
	config.PreAuthConnCallback = func(p gossh.ServerPreAuthConn) { c.preauth = p }
	// The library that holds this configuration turns authentication off where
	// it knows of no handler of its own; so "none" gets an answer: no.
	config.NoClientAuthCallback = func(meta gossh.ConnMetadata) (*gossh.Permissions, error) {
		return c.attempt(meta, func() (*gossh.Permissions, error) { return nil, errNone })
	}
	config.PublicKeyCallback = func(meta gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
		return c.attempt(meta, func() (*gossh.Permissions, error) { return nil, c.offered(key) })
	}
	config.VerifiedPublicKeyCallback = func(meta gossh.ConnMetadata, key gossh.PublicKey, _ *gossh.Permissions, _ string) (*gossh.Permissions, error) {
		return c.attempt(meta, func() (*gossh.Permissions, error) { return c.proved(meta, key) })
	}
	return &config
}

// attempt runs one step of authentication. The name must stay the same from the
// first attempt to the last: a client that changes it tries something, and
// there is nothing here that it could gain honestly.
func (c *conn) attempt(meta gossh.ConnMetadata, f func() (*gossh.Permissions, error)) (p *gossh.Permissions, err error) {
	user := meta.User()
	switch {
	case len(user) > maxUser:
		c.Close()
		return nil, errTooLong
	case c.user == nil:
		c.user = &user
	case *c.user != user:
		c.Close()
		return nil, errRenamed
	}
	if perr := c.d.guard("authentication", func() error { p, err = f(); return nil }); perr != nil {
		c.Close()
		return nil, perr
	}
	return p, err
}

// offered answers a key that the client offers, or says that it can sign with.
// The answer is the same for keys that are known and keys that are not, and
// leaves no trace: the key may be anybody's.
func (c *conn) offered(key gossh.PublicKey) error {
	err := identity.CheckKey(key)
	if err == nil || c.told {
		return err
	}
	c.told = true
	return c.loud(err)
}

// loud makes an error that the client shows to the person.
func (c *conn) loud(err error) error {
	return &gossh.BannerError{Err: err, Message: "sallyport: " + bastion.VisibleLine(err.Error()) + "\r\n"}
}

// proved goes on with a key that the client has just signed with.
func (c *conn) proved(meta gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
	origin := bastion.Origin{
		Address: meta.RemoteAddr().String(),
		Key:     gossh.FingerprintSHA256(key),
		Client:  bastion.VisibleLine(string(meta.ClientVersion())),
	}
	who, err := c.d.c.Identities.Lookup(origin.Key)
	expired := errors.Is(err, bastion.ErrExpired)
	switch {
	case err == nil:
		return c.admit(proof{who, origin})
	case expired, errors.Is(err, identity.ErrUnknown):
		// Said here too, because a client that cannot ask its user anything does
		// not get to see the next step.
		if err := c.preauth.SendAuthBanner("sallyport: this key has to sign in; if nothing else appears, connect once from a terminal, without BatchMode\r\n"); err != nil {
			return nil, err
		}
		// The step that follows is for this key and this name and for nothing else.
		return nil, &gossh.PartialSuccessError{Next: gossh.ServerAuthCallbacks{
			KeyboardInteractiveCallback: func(meta gossh.ConnMetadata, ask gossh.KeyboardInteractiveChallenge) (*gossh.Permissions, error) {
				return c.attempt(meta, func() (*gossh.Permissions, error) { return c.signIn(origin, expired, ask) })
			},
		}}
	}
	return nil, c.loud(err)
}

// admit makes the one thing that says who somebody is.
func (c *conn) admit(p proof) (*gossh.Permissions, error) {
	if p.who.ID() == "" || p.origin.Key == "" {
		return nil, errors.New("internal error: an identity without a name, or without a key")
	}
	c.d.gate.leave(c)
	c.in.Store(true)
	c.deadline(time.Time{})
	return &gossh.Permissions{ExtraData: map[any]any{proofKey{}: p}}, nil
}

// signIn has the person sign in at the provider while the client waits. Text
// goes to the client as questions without anything to answer (RFC 4256, section
// 3.2), which it shows and answers at once.
func (c *conn) signIn(origin bastion.Origin, expired bool, ask gossh.KeyboardInteractiveChallenge) (*gossh.Permissions, error) {
	say := func(text string) error {
		_, err := ask("", text, nil, nil)
		return err
	}
	// Whatever goes wrong ends the connection: the client would ask again by
	// itself, and the person would be looking at a new code unasked.
	fail := func(err error, sentence string) (*gossh.Permissions, error) {
		defer c.Close()
		return nil, errors.Join(err, say("Not signed in: "+sentence))
	}
	done, ok := c.d.gate.signIn(c)
	if !ok {
		c.d.quiet.crowded.Add(1)
		return fail(errNoSignIn, "too many people are signing in at this moment; try again in a few minutes")
	}
	defer done()
	c.deadline(time.Now().Add(time.Minute)) // for the provider's answers
	who, err := c.d.c.Identities.SignIn(c.ctx, origin, func(p bastion.SignInPrompt) error {
		left := p.Expires.Sub(c.d.c.Now())
		c.deadline(time.Now().Add(left + time.Minute))
		return say(promptText(p, left, expired))
	})
	if err != nil {
		c.d.note("a sign-in failed", err)
		return fail(err, bastion.VisibleLine(err.Error()))
	}
	text := "Signed in as " + who.Name + "."
	if !who.Expires.IsZero() {
		text = fmt.Sprintf("Signed in as %s. This key alone lets you in until %s.", who.Name, who.Expires.UTC().Format("2006-01-02 15:04 MST"))
	}
	if err := say(text); err != nil {
		return nil, err
	}
	return c.admit(proof{who, origin})
}

// promptText is what the person reads. OpenSSH cuts it after 1,023 bytes and
// shows anything but ASCII as octal numbers.
func promptText(p bastion.SignInPrompt, left time.Duration, expired bool) string {
	var b strings.Builder
	if expired {
		b.WriteString("Your sign-in has expired.\n")
	} else {
		b.WriteString("This key is not signed in yet.\n")
	}
	fmt.Fprintf(&b, "\n  Open      %s\n  Code      %s\n  Your key  %s\n", p.Address, p.Code, p.Key)
	fmt.Fprintf(&b, "  Ends      %s, in %s\n\n", p.Expires.UTC().Format("15:04:05 MST"), minutes(left))
	b.WriteString("The page shows the same key: go on only if it does.\nWaiting for you to sign in there; Ctrl-C gives up.")
	text := b.String()
	if direct := "\n  Or open   " + p.Direct; p.Direct != "" && len(text)+len(direct) < 1000 {
		text = strings.Replace(text, "\n  Your key ", direct+"\n  Your key ", 1)
	}
	return bastion.Visible(text)
}

func minutes(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d seconds", max(0, int(d.Seconds())))
	}
	return fmt.Sprintf("%d minutes", int(d.Round(time.Minute).Minutes()))
}
