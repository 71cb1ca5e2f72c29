package idp

import (
	"hash/maphash"
	"sync"
	"time"
)

// limiter stops guessing: after too many failures in a row it refuses a name,
// the right answer included, for a while. Names share a fixed number of
// buckets, so strangers' names cost no memory and look like known ones.
type limiter struct {
	now   func() time.Time
	limit int
	pause time.Duration
	seed  maphash.Seed

	mu      sync.Mutex // guards buckets
	buckets [256]bucket
}

type bucket struct {
	failures int
	until    time.Time
}

func newLimiter(now func() time.Time, limit int, pause time.Duration) *limiter {
	return &limiter{now: now, limit: limit, pause: pause, seed: maphash.MakeSeed()}
}

// try calls attempt unless the name is refused, and counts how it ends. No two
// attempts run at once, so parallel guesses are counted too. wait is how long
// a refused name stays refused.
func (l *limiter) try(name string, attempt func() bool) (ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.buckets[maphash.String(l.seed, name)%uint64(len(l.buckets))]
	if wait := b.until.Sub(l.now()); wait > 0 {
		return false, wait
	}
	if attempt() {
		*b = bucket{}
		return true, 0
	}
	b.failures++
	if b.failures >= l.limit {
		*b = bucket{until: l.now().Add(l.pause)}
	}
	return false, 0
}
