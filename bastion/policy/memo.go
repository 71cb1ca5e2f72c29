package policy

import "sync"

// maxViews bounds the memory that views take. There is one for each set of roles
// that somebody holds and each class of targets that they looked at.
const maxViews = 1024

// maxRemembered bounds the other memos, and maxName the names in them, which
// people choose who write statements.
const (
	maxRemembered = 4096
	maxName       = 256 // bytes
)

// memo remembers answers that cost something to work out. It is safe for
// concurrent use; the zero memo is empty.
type memo[K comparable, V any] struct {
	mu sync.RWMutex
	m  map[K]V // guarded by mu
}

func (m *memo[K, V]) get(k K) (V, bool) {
	m.mu.RLock()
	v, ok := m.m[k]
	m.mu.RUnlock()
	return v, ok
}

// put keeps at most so many answers: with the next it starts anew, and says so.
func (m *memo[K, V]) put(k K, v V, most int) (anew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if anew = len(m.m) >= most; anew || m.m == nil {
		m.m = map[K]V{}
	}
	m.m[k] = v
	return anew
}

func (m *memo[K, V]) forget() {
	m.mu.Lock()
	m.m = nil
	m.mu.Unlock()
}
