package sshd

import (
	"net"
	"syscall"
)

// prompt makes a function that has the kernel acknowledge at once what was read.
//
// ssh -N leaves Nagle's algorithm on (RFC 896): while something is unacknowledged,
// it holds small packets back, and an acknowledgement that waits for data to ride
// on takes 40 ms. One forwarded client that waits, for a lock or for an approval,
// would so slow down all others of the same connection. The option falls back by
// itself (tcp(7), TCP_QUICKACK), so it is set after each read.
func prompt(c net.Conn) func() {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	set := func(fd uintptr) {
		// If it cannot be set, clients are as slow as they would be without it.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	}
	return func() { _ = raw.Control(set) }
}
