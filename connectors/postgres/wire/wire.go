// Package wire reads and writes messages of PostgreSQL's protocol 3.0, as the
// manual's chapter "Frontend/Backend Protocol" describes it. It knows nothing of
// what they mean, and trusts neither side: lengths are checked before anything is
// allocated, and what a message holds is read with bounds.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// header is a message's type and length.
	header = 5
	// small is the buffer of a side that is silent, large of one that is not; in bytes.
	small = 2 << 10
	large = 64 << 10
)

// ErrTooLong is returned for a message that is longer than the reader's limit.
var ErrTooLong = errors.New("a message is longer than it may be")

// ErrLength is returned for a length that cannot be.
var ErrLength = errors.New("a message has an impossible length")

// pool keeps large buffers for those who need one now.
var pool = sync.Pool{New: func() any { return new([large]byte) }}

// Reader reads messages. It holds little memory while nothing comes.
type Reader struct {
	src    io.Reader
	max    int // of a message's body that is returned whole
	buf    []byte
	r, w   int
	lent   *[large]byte // buf, if it came from the pool
	silent []byte       // the small buffer
	rest   int          // bytes of a message of which Run has returned a part
	last   int          // bytes of the last read
}

// NewReader makes a reader that refuses to return messages with bodies of more
// than max bytes. Run passes longer ones on in parts.
func NewReader(src io.Reader, max int) *Reader {
	silent := make([]byte, small)
	return &Reader{src: src, max: max, buf: silent, silent: silent}
}

// fill reads until at least n bytes are there. Memory for more than a buffer is taken
// as they arrive, not as somebody says that they will.
func (r *Reader) fill(n int) error {
	for r.w-r.r < n {
		if have := r.w - r.r; have == 0 || r.w == len(r.buf) {
			r.room(min(n, max(large, 2*have)))
		}
		k, err := r.src.Read(r.buf[r.w:])
		r.w += k
		r.last = k
		if err != nil && r.w-r.r < n {
			if errors.Is(err, io.EOF) && r.w > r.r {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// room makes sure that n bytes fit, and that there is space to read into.
func (r *Reader) room(n int) {
	have := r.w - r.r
	switch {
	case have == 0 && r.last < small && n <= small:
		// Nothing is there, and little came: wait with little.
		r.release()
		r.buf, r.r, r.w = r.silent, 0, 0
	case have == 0 && n <= len(r.buf):
		r.r, r.w = 0, 0
	case n <= len(r.buf) && r.w < len(r.buf) && r.r+n <= len(r.buf):
	case n <= len(r.buf) && have < len(r.buf):
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, have
	case n <= large:
		b := pool.Get().(*[large]byte)
		copy(b[:], r.buf[r.r:r.w])
		r.release()
		r.lent, r.buf = b, b[:]
		r.r, r.w = 0, have
	default:
		b := make([]byte, n)
		copy(b, r.buf[r.r:r.w])
		r.release()
		r.buf, r.r, r.w = b, 0, have
	}
}

func (r *Reader) release() {
	if r.lent != nil {
		pool.Put(r.lent)
		r.lent = nil
	}
}

// grow takes a large buffer, for when a small one was filled at once.
func (r *Reader) grow() {
	if len(r.buf) < large {
		have := r.w - r.r
		b := pool.Get().(*[large]byte)
		copy(b[:], r.buf[r.r:r.w])
		r.lent, r.buf = b, b[:]
		r.r, r.w = 0, have
	}
}

// Peek waits for the next message and returns its type, which stays where it is. It
// must not be called in the middle of a message that Run passes on in parts.
func (r *Reader) Peek() (typ byte, err error) {
	if r.rest > 0 {
		return 0, errors.New("internal error: a message is not at its end")
	}
	if err := r.fill(header); err != nil {
		return 0, err
	}
	if int32(binary.BigEndian.Uint32(r.buf[r.r+1:])) < 4 {
		return 0, ErrLength
	}
	return r.buf[r.r], nil
}

// Size is how many bytes the body of the message has that Peek found.
func (r *Reader) Size() int {
	if r.w-r.r < header {
		return 0
	}
	return int(binary.BigEndian.Uint32(r.buf[r.r+1:])) - 4
}

// Next returns the next message. The body is valid until the next call.
func (r *Reader) Next() (typ byte, body []byte, err error) {
	if typ, err = r.Peek(); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(r.buf[r.r+1:])) - 4
	if n > r.max {
		return typ, nil, ErrTooLong
	}
	if err := r.fill(header + n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return typ, nil, err
	}
	body = r.buf[r.r+header : r.r+header+n : r.r+header+n]
	r.r += header + n
	return typ, body, nil
}

// Run returns the messages of one type that are next and have arrived, as they
// are, and how many of them end in it. A message that does not fit into a buffer
// comes in parts; Inside tells that it is not at its end. The bytes are valid
// until the next call.
func (r *Reader) Run(typ byte) (raw []byte, ends int, err error) {
	if r.rest > 0 {
		if r.w == r.r {
			if err := r.fill(1); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return nil, 0, err
			}
			r.grow()
		}
		n := min(r.rest, r.w-r.r)
		raw = r.buf[r.r : r.r+n]
		r.r += n
		if r.rest -= n; r.rest == 0 {
			ends = 1
		}
		return raw, ends, nil
	}
	first, err := r.Peek()
	if err != nil {
		return nil, 0, err
	}
	if first != typ {
		return nil, 0, fmt.Errorf("internal error: the next message is %q", first)
	}
	if r.w == len(r.buf) {
		r.grow() // more is waiting: take it in larger pieces
	}
	at := r.r
	for r.w-at >= header && r.buf[at] == typ {
		n := int32(binary.BigEndian.Uint32(r.buf[at+1:]))
		if n < 4 {
			break // Peek will say so
		}
		if size := 1 + int(n); size > r.w-at {
			break
		} else {
			at += size
			ends++
		}
	}
	if ends > 0 {
		raw = r.buf[r.r:at]
		r.r = at
		return raw, ends, nil
	}
	size := 1 + int(binary.BigEndian.Uint32(r.buf[r.r+1:]))
	if size <= large {
		if err := r.fill(size); err != nil {
			return nil, 0, err
		}
		raw = r.buf[r.r : r.r+size]
		r.r += size
		return raw, 1, nil
	}
	raw = r.buf[r.r:r.w]
	r.rest = size - len(raw)
	r.r = r.w
	return raw, 0, nil
}

// Inside reports whether Run has returned a message without its end.
func (r *Reader) Inside() bool { return r.rest > 0 }

// Ready reports whether a whole message has arrived already.
func (r *Reader) Ready() bool {
	have := r.w - r.r
	if have < header {
		return false
	}
	n := int32(binary.BigEndian.Uint32(r.buf[r.r+1:]))
	return n < 4 || have >= 1+int(n) // a wrong one is ready to be refused
}

// maxStartup is the longest first message, in bytes, as in the server.
const maxStartup = 10000

// First returns the body of a message without a type, with which a client begins,
// including the code that tells what it wants.
func (r *Reader) First() (code uint32, body []byte, err error) {
	if err := r.fill(8); err != nil {
		return 0, nil, err
	}
	n := int32(binary.BigEndian.Uint32(r.buf[r.r:]))
	if n < 8 || n > maxStartup {
		return 0, nil, ErrLength
	}
	if err := r.fill(int(n)); err != nil {
		return 0, nil, err
	}
	body = r.buf[r.r+8 : r.r+int(n)]
	code = binary.BigEndian.Uint32(r.buf[r.r+4:])
	r.r += int(n)
	return code, body, nil
}

// Close gives the memory back. The reader must not be used any more.
func (r *Reader) Close() {
	r.release()
	r.buf, r.silent = nil, nil
}

// Begin starts a message at the end of b; End completes it.
func Begin(b []byte, typ byte) (out []byte, at int) {
	return append(b, typ, 0, 0, 0, 0), len(b)
}

// End writes the length of the message that began at a place.
func End(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-at-1))
	return b
}

// Append appends a message with a body.
func Append(b []byte, typ byte, body ...byte) []byte {
	b = append(b, typ)
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(body)))
	return append(b, body...)
}

// String appends a string with the zero byte that ends it. A zero byte within
// would end it early, so the rest is left out.
func String(b []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == 0 {
			s = s[:i]
			break
		}
	}
	return append(append(b, s...), 0)
}

// ErrBody is returned for a message whose body is not what its type says.
var ErrBody = errors.New("a message has a body that its type does not allow")

// Body reads the parts of a message's body. After an error, everything is zero.
type Body struct {
	b   []byte
	bad bool
}

// NewBody reads a body.
func NewBody(b []byte) *Body { return &Body{b: b} }

// Byte reads one byte.
func (p *Body) Byte() byte {
	if p.bad || len(p.b) < 1 {
		p.bad = true
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

// Int16 reads two bytes.
func (p *Body) Int16() int {
	if p.bad || len(p.b) < 2 {
		p.bad = true
		return 0
	}
	v := int16(binary.BigEndian.Uint16(p.b))
	p.b = p.b[2:]
	return int(v)
}

// Count reads how many things follow, each of which takes size bytes at least.
func (p *Body) Count(size int) int {
	if p.bad || len(p.b) < 2 {
		p.bad = true
		return 0
	}
	n := int(binary.BigEndian.Uint16(p.b)) // up to 65535 in newer clients
	p.b = p.b[2:]
	if n*size > len(p.b) {
		p.bad = true
		return 0
	}
	return n
}

// Int32 reads four bytes.
func (p *Body) Int32() int32 {
	if p.bad || len(p.b) < 4 {
		p.bad = true
		return 0
	}
	v := int32(binary.BigEndian.Uint32(p.b))
	p.b = p.b[4:]
	return v
}

// String reads up to a zero byte.
func (p *Body) String() string {
	for i, c := range p.b {
		if c == 0 && !p.bad {
			s := string(p.b[:i])
			p.b = p.b[i+1:]
			return s
		}
	}
	p.bad = true
	return ""
}

// Value reads a length and that many bytes, which are lent; nil stands for NULL.
func (p *Body) Value() []byte {
	n := p.Int32()
	if p.bad || n < -1 || int(n) > len(p.b) {
		p.bad = true
		return nil
	}
	if n == -1 {
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}

// Take reads n bytes, which are lent.
func (p *Body) Take(n int) []byte {
	if p.bad || n < 0 || n > len(p.b) {
		p.bad = true
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}

// Rest is what has not been read.
func (p *Body) Rest() []byte { return p.b }

// End returns ErrBody if something was missing, or is left over.
func (p *Body) End() error {
	if p.bad || len(p.b) > 0 {
		return ErrBody
	}
	return nil
}

// Err returns ErrBody if something was missing.
func (p *Body) Err() error {
	if p.bad {
		return ErrBody
	}
	return nil
}
