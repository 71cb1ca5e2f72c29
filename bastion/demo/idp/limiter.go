package idp

import (
	"hash/maphash"
	"sync"
	"time"
)

// limiter stops guessing: after too many failures, each within a pause of the
// one before, it refuses a name, the right answer included, for that pause.
// Names share a fixed number of buckets, so strangers' names cost no memory
// and look like known ones.
type limiter struct {
	now     func() time.Time
	limit   int
	pause   time.Duration
	forgive bool // a success wipes out the failures before it
	seed    maphash.Seed

	mu      sync.Mutex // guards buckets
	buckets [256]bucket
}

type bucket struct {
	failures int
	last     time.Time // of the failures
	until    time.Time // refused
}

func newLimiter(now func() time.Time, limit int, pause time.Duration, forgive bool) *limiter {
	return &limiter{now: now, limit: limit, pause: pause, forgive: forgive, seed: maphash.MakeSeed()}
}

// try calls attempt unless the name is refused, and counts how it ends. No two
// attempts run at once, so parallel guesses are counted too. wait is how long
// a refused name stays refused.
func (l *limiter) try(name string, attempt func() bool) (ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.buckets[maphash.String(l.seed, name)%uint64(len(l.buckets))]
	now := l.now()
	if wait := b.until.Sub(now); wait > 0 {
		return false, wait
	}
	if attempt() {
		if l.forgive {
			*b = bucket{}
		}
		return true, 0
	}
	if now.Sub(b.last) > l.pause {
		b.failures = 0
	}
	b.failures++
	b.last = now
	if b.failures >= l.limit {
		*b = bucket{until: now.Add(l.pause)}
	}
	return false, 0
}
