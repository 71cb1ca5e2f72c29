package postgres

import (
	"io"
	"sync"
)

// lookout reads from a client. While whoever uses it is busy for long with what the
// client sent, it can keep watch, so that a client which leaves is noticed.
type lookout struct {
	src io.Reader

	mu      sync.Mutex // guards what follows
	change  sync.Cond  // of mu: the watch has read something
	reading bool       // Read is at it
	watched bool       // the watch is
	wanted  bool       // Read wants what comes next, so the watch ends with it
	ahead   []byte     // what the watch has read
	err     error
}

// maxAhead is how much the watch reads ahead, in bytes.
const maxAhead = 4 << 10

func newLookout(src io.Reader) *lookout {
	l := &lookout{src: src}
	l.change.L = &l.mu
	return l
}

// Read implements [io.Reader].
func (l *lookout) Read(p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.watched && len(l.ahead) == 0 {
		l.wanted = true
		l.change.Wait()
	}
	l.wanted = false
	if len(l.ahead) > 0 {
		n = copy(p, l.ahead)
		l.ahead = l.ahead[n:]
		return n, nil
	}
	if l.err != nil {
		return 0, l.err
	}
	l.reading = true
	l.mu.Unlock()
	n, err = l.src.Read(p)
	l.mu.Lock()
	l.reading = false
	return n, err
}

// await returns once there is something to read, or the client has left, or over says
// that nobody waits any more, which is asked again at each stir.
func (l *lookout) await(run func(func()), left func(), over func() bool) {
	l.watch(run, left)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.watched && len(l.ahead) == 0 && l.err == nil && !over() {
		l.change.Wait()
	}
}

// stir has await ask again.
func (l *lookout) stir() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change.Broadcast()
}

// watch reads ahead, on a goroutine of its own, and calls left if the client leaves. It
// ends when somebody has read what it read, or with the client.
func (l *lookout) watch(run func(func()), left func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading || l.watched || l.err != nil || len(l.ahead) > 0 {
		return
	}
	l.watched = true
	run(func() {
		buf := make([]byte, maxAhead)
		for more := true; more; {
			n, err := l.src.Read(buf)
			l.mu.Lock()
			l.ahead = append(l.ahead, buf[:n]...)
			l.err = err
			more = err == nil && !l.wanted && len(l.ahead) < maxAhead
			l.watched = more
			l.change.Broadcast()
			l.mu.Unlock()
			if err != nil {
				left()
			}
		}
	})
}
