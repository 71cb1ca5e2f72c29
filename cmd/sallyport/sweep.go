package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/sshd"
)

const (
	// sweepEvery is how often live sessions are looked at, if nothing happens.
	sweepEvery = time.Second
	// warnBefore is how long before its end people hear that their access ends.
	warnBefore = 5 * time.Minute
)

// sweeper ends sessions that live by something that has ended: access that was
// granted for a time, a role, a policy.
type sweeper struct {
	mu   sync.Mutex                     // guards what follows
	live map[*bastion.Session]time.Time // with the end that was warned of
}

// add has a session looked after until it ends.
func (s *sweeper) add(session *bastion.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		s.live = map[*bastion.Session]time.Time{}
	}
	s.live[session] = time.Time{}
	context.AfterFunc(session.Context(), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.live, session)
	})
}

// run looks at all sessions and requests from time to time, and at sessions whenever
// a request changed, until ctx ends.
func (s *sweeper) run(ctx context.Context, changed <-chan struct{}, requests func(context.Context) error) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Requests that are over end with or without somebody who looks. An error is
			// the store's, and whoever needs the request next meets it.
			_ = requests(ctx)
		case <-changed:
		}
		s.sweep(ctx)
	}
}

func (s *sweeper) sweep(ctx context.Context) {
	s.mu.Lock()
	sessions := maps.Clone(s.live)
	s.mu.Unlock()
	// A session whose person the provider is slow to tell of must not keep others open.
	var all sync.WaitGroup
	for session, warned := range sessions {
		all.Go(func() { s.look(ctx, session, warned) })
	}
	all.Wait()
}

// look looks at one session, of whose end at warned its person has heard.
func (s *sweeper) look(ctx context.Context, session *bastion.Session, warned time.Time) {
	ends := recheck(ctx, session)
	if ends.IsZero() || ends.Equal(warned) || ends.Sub(session.Now()) > warnBefore {
		return
	}
	session.Warn(fmt.Sprintf("your access ends at %s; ask for it again if you need longer", bastion.Moment(ends, session.Now())))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.live[session]; ok {
		s.live[session] = ends
	}
}

// recheck looks at one session. A fault there must end no other.
func recheck(ctx context.Context, session *bastion.Session) (ends time.Time) {
	defer func() {
		if recover() != nil {
			session.Fail(sshd.ErrPanic)
		}
	}()
	return session.Recheck(ctx)
}
