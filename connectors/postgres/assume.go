package postgres

import (
	"slices"
	"sync"
)

// assumed is what names stand for: what the target confirmed, and on top of that
// what was sent and is not answered yet. A change that fails or is skipped is taken
// back, whatever was sent after it. The zero T stands for nothing, as does a name that
// was never set. It is safe for concurrent use.
//
// What is assumed can be relied on within its batch, the messages up to the next Sync
// or query: if the change fails, the target skips the rest of the batch. After that, a
// name may stand for what it stood for before.
type assumed[T comparable] struct {
	mu    sync.Mutex // guards the rest
	batch int
	by    map[string]*standing[T]
}

// standing is what one name stands for.
type standing[T comparable] struct {
	known   T
	changes []*change[T] // in the order in which they were sent
}

// outcome hears how a message ended that changes what a name stands for. One of its
// methods is called, once.
type outcome interface {
	confirm()
	undo()
}

// outcomes are several as one. Some may be nil.
type outcomes []outcome

func (o outcomes) confirm() {
	for _, x := range o {
		if x != nil {
			x.confirm()
		}
	}
}

func (o outcomes) undo() {
	for _, x := range o {
		if x != nil {
			x.undo()
		}
	}
}

// change is something that a name is to stand for. It is an outcome.
type change[T comparable] struct {
	of    *assumed[T]
	name  string
	value T
	batch int
}

// next begins another batch.
func (a *assumed[T]) next() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.batch++
}

// get returns what a name stands for. sure is false if that depends on the answer to
// an earlier batch.
func (a *assumed[T]) get(name string) (value T, sure bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.by[name]
	if s == nil {
		return value, true
	}
	if n := len(s.changes); n > 0 {
		last := s.changes[n-1]
		return last.value, last.batch == a.batch
	}
	return s.known, true
}

// holds reports whether a name stands for something, or may.
func (a *assumed[T]) holds(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	var nothing T
	s := a.by[name]
	return s != nil && (s.known != nothing || len(s.changes) > 0)
}

// set assumes that a name is going to stand for something.
func (a *assumed[T]) set(name string, value T) *change[T] {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.place(name)
	c := &change[T]{a, name, value, a.batch}
	s.changes = append(s.changes, c)
	return c
}

// confirm says that the target made the change.
func (c *change[T]) confirm() { c.replace() }

// replace confirms the change, and returns what the name stood for before.
func (c *change[T]) replace() (before T) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if s := c.drop(); s != nil {
		before, s.known = s.known, c.value
		c.of.tidy(c.name, s)
	}
	return before
}

// undo says that the target did not make the change.
func (c *change[T]) undo() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if s := c.drop(); s != nil {
		c.of.tidy(c.name, s)
	}
}

// drop takes the change off the list. The caller holds mu.
func (c *change[T]) drop() *standing[T] {
	s := c.of.by[c.name]
	if s == nil {
		return nil
	}
	i := slices.Index(s.changes, c)
	if i < 0 {
		return nil
	}
	s.changes = slices.Delete(s.changes, i, i+1)
	return s
}

// tidy forgets a name that stands for nothing. The unnamed one stays: it comes again
// with the next message. The caller holds mu.
func (a *assumed[T]) tidy(name string, s *standing[T]) {
	var nothing T
	if name != "" && s.known == nothing && len(s.changes) == 0 {
		delete(a.by, name)
	}
}

// place is where it stands what a name stands for. The caller holds mu.
func (a *assumed[T]) place(name string) *standing[T] {
	s := a.by[name]
	if s == nil {
		if a.by == nil {
			a.by = map[string]*standing[T]{}
		}
		s = &standing[T]{}
		a.by[name] = s
	}
	return s
}

// put says that a name stands for something now, which no change said. Changes that
// are on their way come after it.
func (a *assumed[T]) put(name string, value T) (before T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.place(name)
	before, s.known = s.known, value
	a.tidy(name, s)
	return before
}

// forget takes away what is confirmed, where which says so.
func (a *assumed[T]) forget(which func(name string, value T) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var nothing T
	for name, s := range a.by {
		if s.known != nothing && which(name, s.known) {
			s.known = nothing
			a.tidy(name, s)
		}
	}
}

// size is how many names stand for something, or may.
func (a *assumed[T]) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.by)
}
