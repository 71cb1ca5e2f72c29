package postgres

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// outbox collects what goes to the client. Whoever has enough to say, or says that the
// client is to hear of it now, writes it himself. So a client that does not read holds
// back who answers it, and with that the target, as it would without a bastion.
type outbox struct {
	dst io.Writer

	closed  atomic.Bool // nothing more is taken
	writing atomic.Bool // somebody may be held up by the client

	mu     sync.Mutex // guards the rest; held while somebody writes
	buf    []byte
	lent   *[large]byte // buf, if it came from the pool
	inside bool         // buf ends in the middle of a message
	aside  []byte       // whole messages that wait for its end
	cut    bool         // what was written does
	err    error        // why nothing is written any more
}

const (
	// piece is how much is written at once: what fits into a packet of OpenSSH's.
	piece = 32 << 10
	large = 2 * piece
	// small is the most that the outbox of a client keeps of memory, in bytes.
	small = 4 << 10
)

// larges keeps memory for those who have much to say now.
var larges = sync.Pool{New: func() any { return new([large]byte) }}

// add appends to what is collected, by f. inside says that it ends in the middle of a
// message.
func (o *outbox) add(inside bool, f func(b []byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.open(); err != nil {
		return err
	}
	if o.lent == nil && len(o.buf) > small/2 {
		o.lent = larges.Get().(*[large]byte)
		o.buf = append(o.lent[:0], o.buf...)
	}
	o.buf, o.inside = f(o.buf), inside
	if !inside {
		o.buf, o.aside = append(o.buf, o.aside...), nil
	}
	if len(o.buf) < piece {
		return nil
	}
	return o.write(len(o.buf) - len(o.buf)%piece)
}

// raw writes whole messages or parts of one, which are lent.
func (o *outbox) raw(inside bool, p []byte) error {
	if len(p) < piece/2 {
		return o.add(inside, func(b []byte) []byte { return append(b, p...) })
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.open(); err != nil {
		return err
	}
	if err := o.write(len(o.buf)); err != nil {
		return err
	}
	o.inside = inside
	if err := o.send(p, inside); err != nil || inside {
		return err
	}
	o.buf, o.aside = append(o.buf, o.aside...), nil
	return nil
}

// interject takes whole messages that belong to no answer, which the client hears now,
// or at the end of the message that it is being sent.
func (o *outbox) interject(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.open(); err != nil {
		return err
	}
	if o.inside {
		o.aside = append(o.aside, p...)
		return nil
	}
	o.buf = append(o.buf, p...)
	return o.write(len(o.buf))
}

// open says why nothing more is taken. The caller holds mu.
func (o *outbox) open() error {
	if o.err == nil && o.closed.Load() {
		return errLeft
	}
	return o.err
}

// write writes the first n bytes of what is collected. The caller holds mu.
func (o *outbox) write(n int) error {
	if n == 0 || o.err != nil {
		return o.err
	}
	err := o.send(o.buf[:n], o.inside || n < len(o.buf))
	o.buf = append(o.buf[:0], o.buf[n:]...)
	if len(o.buf) == 0 && (o.lent != nil || cap(o.buf) > small) {
		if o.lent != nil {
			larges.Put(o.lent)
		}
		o.buf, o.lent = nil, nil
	}
	return err
}

// send writes, and notes whether that ended in the middle of a message. The caller
// holds mu.
func (o *outbox) send(p []byte, inside bool) error {
	o.writing.Store(true)
	n, err := o.dst.Write(p)
	o.writing.Store(false)
	if err != nil {
		o.err = err
		o.cut = o.cut || n > 0
		return err
	}
	o.cut = inside
	return nil
}

// flush lets the client hear of what was collected.
func (o *outbox) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write(len(o.buf))
}

// close ends the outbox. rest says that what is collected is to be written first, and
// run how to do that elsewhere. It returns false if the client does not take in time
// what was being written, or took only part of a message, so that nothing more can be
// said to it.
func (o *outbox) close(rest bool, patience time.Duration, run func(func())) bool {
	o.closed.Store(true)
	heard := make(chan bool, 1)
	run(func() { // ends when the client has read, or its channel is closed
		o.mu.Lock()
		defer o.mu.Unlock()
		if rest {
			_ = o.write(len(o.buf)) // a client that is gone hears nothing
		}
		if o.err == nil {
			o.err = errLeft
		}
		heard <- !o.cut
	})
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case ok := <-heard:
		return ok
	case <-t.C:
		o.writing.Load() // whoever is held up has done before this what he has done
		return false
	}
}
