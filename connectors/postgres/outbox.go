package postgres

import (
	"context"
	"io"
	"sync"
	"time"
)

// outbox collects what goes to the client. One goroutine writes it, so that nobody
// else is held up by a client that does not read: who has more to say than there is
// room for waits, until the client has read or the outbox is closed.
type outbox struct {
	dst io.Writer

	mu     sync.Mutex // guards what follows
	buf    []byte
	spare  []byte
	due    bool          // what is collected is to be written now
	wake   chan struct{} // tells the writer; holds one
	moved  chan struct{} // is closed when the writer has taken something or stopped; nil if nobody waits
	busy   bool          // it is writing
	inside bool          // buf ends in the middle of a message
	cut    bool          // what was written does
	closed bool          // nothing more is taken
	err    error         // why nothing is written any more
}

const (
	fair = 16 << 10  // bytes after which the client should hear of it
	full = 128 << 10 // bytes that wait for the client to read, at most, but for one message
)

func newOutbox(dst io.Writer) *outbox { return &outbox{dst: dst, wake: make(chan struct{}, 1)} }

// write writes until the outbox is closed or the client is gone.
func (o *outbox) write() {
	for range o.wake {
		o.mu.Lock()
		for o.due && o.err == nil && len(o.buf) > 0 {
			b := o.buf
			o.buf, o.spare = o.spare[:0], nil
			o.due, o.busy = false, true
			cut := o.inside
			o.progress()
			o.mu.Unlock()
			n, err := o.dst.Write(b)
			o.mu.Lock()
			o.busy = false
			if cap(b) <= 2*fair {
				o.spare = b
			}
			switch {
			case err == nil:
				o.cut = cut
			case o.err == nil:
				o.err = err
				fallthrough
			default:
				o.cut = o.cut || n > 0
			}
			o.progress()
		}
		o.due = false
		over := o.err != nil
		o.mu.Unlock()
		if over {
			return
		}
	}
}

// progress tells who waits. The caller holds mu.
func (o *outbox) progress() {
	if o.moved != nil {
		close(o.moved)
		o.moved = nil
	}
}

// push lets the writer write what is collected. The caller holds mu.
func (o *outbox) push() {
	if len(o.buf) == 0 || o.due {
		return
	}
	o.due = true
	select {
	case o.wake <- struct{}{}:
	default: // it has been told
	}
}

// add appends to what is collected, by f, and waits first if there is too much.
// inside says that it ends in the middle of a message.
func (o *outbox) add(inside bool, f func(b []byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) >= full && o.err == nil && !o.closed {
		o.push()
		o.pause(nil)
	}
	switch {
	case o.err != nil:
		return o.err
	case o.closed:
		return errLeft
	}
	o.buf, o.inside = f(o.buf), inside
	if len(o.buf) >= fair {
		o.push()
	}
	return nil
}

// pause waits until something has moved, or for until. The caller holds mu.
func (o *outbox) pause(until <-chan struct{}) (over bool) {
	if o.moved == nil {
		o.moved = make(chan struct{})
	}
	moved := o.moved
	o.mu.Unlock()
	defer o.mu.Lock()
	select {
	case <-moved:
		return false
	case <-until:
		return true
	}
}

// flush lets the client hear of what was collected.
func (o *outbox) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.push()
	return o.err
}

// close ends the outbox. rest says that what is collected is to be written first. It
// returns false if the client does not take what was being written, or took only part
// of a message, so that nothing more can be said to it.
func (o *outbox) close(rest bool, patience time.Duration) bool {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.progress()
	if rest {
		o.push()
	} else if o.err == nil {
		o.err = errLeft
	}
	for (o.busy || rest && o.err == nil && len(o.buf) > 0) && !o.pause(ctx.Done()) {
	}
	if o.err == nil {
		o.err = errLeft
	}
	select {
	case o.wake <- struct{}{}: // the writer ends
	default:
	}
	return !o.busy && !o.cut
}
