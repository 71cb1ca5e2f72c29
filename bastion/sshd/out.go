package sshd

import (
	"net"
	"runtime"
	"sync"
)

// out writes what goes to one client. The library encrypts packets one by one, and
// writes each by itself, one at a time.
//
// Where many forwarded channels of a connection are answered at the same time, packets
// go out together: whoever has written lets the others go on first, and then writes what
// they had to say meanwhile. That saves the system's work for each packet, on both ends.
type out struct {
	dst net.Conn

	begun []byte // of a packet, whose rest is to be written with it; the library's alone

	writing sync.Mutex // held while bytes go out, so that they keep their order; locked before mu

	mu      sync.Mutex // guards what follows
	gathers bool       // somebody is going to write what is held
	held    []byte
	spare   []byte // empty, to be held in next
	err     error  // of writing what was held
}

const (
	// libraryBuffer is what the library collects of a packet before it writes, in bytes.
	libraryBuffer = 4096
	// maxHeld is how many bytes are held at most, but for a packet.
	maxHeld = 64 << 10
	// maxKept is how many bytes of memory a connection keeps for what is held next.
	maxKept = 4 << 10
	// rounds is how often one who gathers does so before others have to.
	rounds = 8
)

// Write implements [io.Writer] for the library, which writes a long packet in two parts,
// the first of which fills its buffer. They go out together: the client is not woken for a
// part.
//
// No packet ends where the buffer does: encrypted by what this server offers, its length
// is 4 bytes, a multiple of 16, and a multiple of 16 that proves it (RFC 5647, section
// 7.3; PROTOCOL and PROTOCOL.chacha20poly1305 of OpenSSH).
func (o *out) Write(p []byte) (int, error) {
	if len(o.begun) == 0 && len(p) == libraryBuffer {
		o.begun = append(o.begun, p...)
		return len(p), nil
	}
	begun := o.begun
	o.begun = o.begun[:0]
	o.mu.Lock()
	if o.err != nil {
		defer o.mu.Unlock()
		return 0, o.err
	}
	if o.gathers && len(o.held) < maxHeld {
		defer o.mu.Unlock()
		o.held = append(append(o.held, begun...), p...)
		return len(p), nil
	}
	o.mu.Unlock()
	// What is held goes first. Meanwhile the library is here, so that nobody adds to it.
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	held := o.take()
	o.mu.Unlock()
	if len(held) == 0 && len(begun) == 0 {
		return o.dst.Write(p)
	}
	all := net.Buffers{held, begun, p}
	n, err := all.WriteTo(o.dst)
	return int(max(n-int64(len(held)+len(begun)), 0)), err
}

// take returns what is held, as long as writing is held. The caller holds both.
func (o *out) take() []byte {
	held := o.held
	if cap(o.spare) > maxKept {
		o.spare = nil
	}
	o.held, o.spare = o.spare[:0], held[:0]
	return held
}

// gather writes what others have to say once those who can have said it. The caller has
// written something itself.
func (o *out) gather() {
	o.mu.Lock()
	idle := !o.gathers && o.err == nil
	o.gathers = o.gathers || idle
	o.mu.Unlock()
	for left := rounds - 1; idle && left >= 0; left-- {
		runtime.Gosched()
		idle = o.round(left > 0)
	}
}

// round writes what is held. again says that another round follows, if there was something;
// round says whether it does.
func (o *out) round(again bool) bool {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	held := o.take()
	again = again && len(held) > 0
	o.gathers = again
	o.mu.Unlock()
	if len(held) == 0 {
		return false
	}
	if _, err := o.dst.Write(held); err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.err, o.gathers = err, false
		return false
	}
	return again
}
