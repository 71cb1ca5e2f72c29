package sshd

import (
	"context"
	"net"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// ParseRequest runs the parser of a channel request's payload.
func ParseRequest(kind string, payload []byte) (text []string, w bastion.Window, ok bool) {
	switch kind {
	case "pty-req":
		t, w, ok := parsePTY(payload)
		return []string{t}, w, ok
	case "window-change":
		w, ok := parseWindow(payload)
		return nil, w, ok
	case "env":
		n, v, ok := parseEnv(payload)
		return []string{n, v}, bastion.Window{}, ok
	}
	s, ok := parseString(payload)
	return []string{s}, bastion.Window{}, ok
}

// Pace is a pace of so many requests per second.
func Pace(rate float64) func(context.Context) {
	p := &pace{rate: rate}
	return p.wait
}

// Note logs what clients can cause as often as they like.
func (d *Server) Note(what string, err error) { d.note(what, err) }

// Conns and Visits count what the server holds.
func (d *Server) Conns() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// Visits counts the sessions' channels.
func (d *Server) Visits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.visits)
}

// Waiting counts connections that have not authenticated.
func (d *Server) Waiting() int {
	d.gate.mu.Lock()
	defer d.gate.mu.Unlock()
	return d.gate.total
}

// PromptText is what a person who signs in reads.
func PromptText(p bastion.SignInPrompt, left time.Duration, expired bool) string {
	return promptText(p, left, expired)
}

// Opening counts channels that wait for an answer.
func (d *Server) Opening() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		n += int(c.opening.Load())
	}
	return n
}

// ParseForward runs the parser of a request to forward.
func ParseForward(payload []byte) (Forward, error) { return parseForward(payload) }

// Out writes to a connection as the library does.
type Out struct{ o out }

// NewOut makes one.
func NewOut(c net.Conn) *Out { return &Out{out{dst: c}} }

func (o *Out) Write(p []byte) (int, error) { return o.o.Write(p) }

// Gather writes what others have to say.
func (o *Out) Gather() { o.o.gather() }

// Gathers reports whether somebody is at it.
func (o *Out) Gathers() bool {
	o.o.mu.Lock()
	defer o.o.mu.Unlock()
	return o.o.gathers
}
