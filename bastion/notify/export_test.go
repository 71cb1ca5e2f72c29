package notify

import (
	"context"
	"net"
	"time"
)

// Open is New with another way to reach servers.
func Open(c Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Outbox, error) {
	return open(c, dial)
}

// Limits that the tests hold the outbox to.
const (
	Attempts     = maxAttempts
	Patience     = patience
	LongestPause = longestPause
	Places       = places
)

// Bodies are a note as each medium would get it.
func Bodies(name, address, from string, n Note, to Recipient) (slack, teams, mail []byte) {
	v := voice{name: name, ssh: command(address), host: host(address)}
	n = n.bounded()
	m := v.say(n, n.At)
	mm := &mailer{Email: Email{From: from}, voice: v}
	return slackBody(m), teamsBody(m), mm.compose(parcel{Note: n, message: m, key: "0123", to: to})
}

// RetryAfter reads the header of that name.
func RetryAfter(s string, now time.Time) time.Duration { return retryAfter(s, now) }

// Dial is how servers are reached.
func Dial(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }

// Mailable reports whether mail can be sent to an address.
func Mailable(s string) bool { return mailable(s) }

// Ring is what Put does last.
func (o *Outbox) Ring() { o.ring() }

// Guard says whether a name may lead to an address.
func Guard(resolved string) error { return guard(resolved) }
