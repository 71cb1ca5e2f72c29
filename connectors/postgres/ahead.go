package postgres

import (
	"crypto/tls"
	"net"
)

// ahead is a connection to a target, beneath TLS where there is any. It reads much at
// once where much arrives, and says so before it waits for more.
type ahead struct {
	net.Conn
	// before is called before something is read that may not be there yet; nil: nobody
	// wants to know. Its error is that of the read.
	before func() error

	lent *[large]byte // what was read ahead; nil if nothing is
	r, w int
	more bool // the last read took all that there was room for
}

// aheadOf is the connection under another, if it reads ahead.
func aheadOf(c net.Conn) (*ahead, bool) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	a, ok := c.(*ahead)
	return a, ok
}

// Read implements [net.Conn]. One goroutine calls it.
func (a *ahead) Read(p []byte) (n int, err error) {
	if a.lent == nil {
		if a.before != nil {
			if err := a.before(); err != nil {
				return 0, err
			}
		}
		if !a.more || len(p) >= large {
			n, err = a.Conn.Read(p)
			a.more = n == len(p)
			return n, err
		}
		b := larges.Get().(*[large]byte)
		n, err = a.Conn.Read(b[:])
		a.more = n > small
		if n == 0 {
			larges.Put(b)
			return 0, err
		}
		a.lent, a.r, a.w = b, 0, n
	}
	n = copy(p, a.lent[a.r:a.w])
	if a.r += n; a.r == a.w {
		larges.Put(a.lent)
		a.lent = nil
	}
	return n, nil // what is wrong will be so at the next read, too
}
