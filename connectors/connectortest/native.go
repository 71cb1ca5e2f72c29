package connectortest

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// Serve serves one native client that asks for the target, on a connection of the
// test's own, until it leaves or the connection ends.
func Serve(ctx context.Context, s Setup, client io.ReadWriter) error {
	return (&Listener{}).serve(ctx, s, client)
}

// Listener takes native clients to a target: each connection is a session of its
// own, as each forwarded channel is behind the front door.
type Listener struct {
	Addr string

	mu       sync.Mutex // guards the rest
	sessions []*Session
	open     sync.WaitGroup
	served   sync.WaitGroup // the sessions
}

// Listen starts a listener, which is closed when the test ends.
func Listen(t testing.TB, s Setup) *Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &Listener{Addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		k.open.Wait()
	})
	k.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			k.served.Add(1)
			k.open.Go(func() {
				defer k.served.Done()
				defer c.Close()
				if err := k.serve(ctx, s, c); err != nil {
					t.Log("a client's session: ", err)
				}
			})
		}
	})
	return k
}

func (k *Listener) serve(ctx context.Context, s Setup, c io.ReadWriter) error {
	rules, err := mask.NewRules([]byte("a key for tests"), s.Labels...)
	if err != nil {
		return err
	}
	rec := &record{forget: s.Forget}
	k.mu.Lock()
	id := fmt.Sprintf("n-%d", len(k.sessions))
	inner, err := bastion.NewSession(ctx, bastion.Config{
		ID: id, Identity: s.identity(), Native: c, Targets: bastion.Targets{s.Target},
		Connectors: []bastion.Connector{s.Connector}, Policy: policy{rules, s.Decide, s.Trust}, Approvals: s.approvals(),
		Identities: identities{}, Secrets: secrets{s.Secret}, Recorder: rec, Archive: empty{}, Now: time.Now,
		Go: func(_ *bastion.Session, f func()) { go f() }, // a panic must fail the test
	})
	if err != nil {
		k.mu.Unlock()
		return err
	}
	session := &Session{Session: inner, target: s.Target.Name, record: rec}
	k.sessions = append(k.sessions, session)
	k.mu.Unlock()
	err = inner.Forward(inner.Context(), s.Target.Name, 5432)
	if cerr := inner.Close(); err == nil {
		err = cerr
	}
	return err
}

// Wait returns when all sessions are over that clients have begun; they have to leave.
func (k *Listener) Wait() { k.served.Wait() }

// End ends all sessions, and tells their clients why.
func (k *Listener) End(cause error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sessions {
		s.Fail(cause)
	}
}

// Warn tells all sessions something that they did not ask for.
func (k *Listener) Warn(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sessions {
		s.Warn(text)
	}
}

// Recorded is every event of every session so far, in one text.
func (k *Listener) Recorded() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := ""
	for _, s := range k.sessions {
		text += s.Recorded() + "\n"
	}
	return text
}

// Transcript is what the sessions so far wrote down for replay.
func (k *Listener) Transcript() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := ""
	for _, s := range k.sessions {
		s.record.mu.Lock()
		text += string(s.record.notes)
		s.record.mu.Unlock()
	}
	return text
}
