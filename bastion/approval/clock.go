package approval

import (
	"sync"
	"time"
)

// clock never goes back, so that a deadline that has passed has passed for good.
// When the system's clock is set back, time goes on from the latest that was
// seen, at the pace of the monotonic clock. The store keeps the latest time with
// every write, for the next process.
type clock struct {
	source func() time.Time

	mu   sync.Mutex // guards what follows
	last time.Time  // the source's last answer, with its monotonic reading
	at   time.Time  // the latest time
}

func newClock(source func() time.Time, floor time.Time) *clock {
	return &clock{source: source, last: source(), at: floor}
}

// now is the time, in UTC and without a monotonic reading.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.source()
	c.at = c.at.Add(max(0, t.Sub(c.last)))
	c.last = t
	if wall := t.Round(0).UTC(); wall.After(c.at) {
		c.at = wall
	}
	return c.at
}
