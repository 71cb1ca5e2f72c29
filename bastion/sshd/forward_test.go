package sshd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/sshd"
)

// forwards lets everything through to targets that are not called "nowhere" or
// "secret".
func forwards(_ *door, c *sshd.Config) {
	c.Forward = func(_ bastion.Identity, _ bastion.Origin, f sshd.Forward) error {
		switch f.Host {
		case "nowhere":
			return fmt.Errorf("there is no target %q; ssh bastion targets lists yours: %w", f.Host, bastion.ErrNotFound)
		case "secret":
			return &bastion.DeniedError{Rule: "r", Reason: "not\nyou\x1b[2J", Next: "ask a reviewer"}
		case "panic":
			panic("a name")
		}
		return nil
	}
}

// back sends back what comes, as a program in a protocol of its own would.
func back(s *bastion.Session, v sshd.Visitor) int {
	if _, err := io.Copy(v.Channel, v.Channel); err != nil {
		return 1
	}
	return 0
}

// direct is the payload of a request to forward.
func direct(host string, port uint32) []byte {
	return ssh.Marshal(struct {
		Host string
		Port uint32
		From string
		FP   uint32
	}{host, port, "127.0.0.1", 40000})
}

// halfClose sends a text and its end, and returns all of the answer.
func halfClose(t testing.TB, c net.Conn, text string) string {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, text)
		sent <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
	}()
	b, err := io.ReadAll(c)
	if err := errors.Join(err, <-sent, c.Close()); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b)
}

func forwardTo(t testing.TB, c *ssh.Client, host string) (ssh.Channel, <-chan *ssh.Request) {
	t.Helper()
	ch, reqs, err := c.OpenChannel("direct-tcpip", direct(host, 5432))
	if err != nil {
		t.Fatal(err)
	}
	return ch, reqs
}

// Pitfall 26: what opens, and what is said where it does not, for every kind of
// channel and every answer of the policy.
func TestForwardMatrix(t *testing.T) {
	const usage = "; use: ssh -N -L PORT:TARGET:5432 bastion"
	good := direct("shop", 5432)
	open := newDoor(t, forwards)
	open.serves(back)
	shut := newDoor(t, nil)
	for _, m := range []struct {
		name, kind string
		payload    []byte
		reason     ssh.RejectionReason // 0: opens
		said       string
	}{
		{"a target", "direct-tcpip", good, 0, ""},
		{"any port", "direct-tcpip", direct("shop", 65535), 0, ""},
		{"capitals", "direct-tcpip", direct("SHOP_1.example", 1), 0, ""},
		{"longest", "direct-tcpip", direct(strings.Repeat("x", 253), 1), 0, ""},
		{"an address", "direct-tcpip", direct("10.0.0.1", 1), 0, ""}, // it is the policy's to say that this is no target
		{"unknown", "direct-tcpip", direct("nowhere", 1), ssh.ConnectionFailed, `there is no target "nowhere"; ssh bastion targets lists yours: not found, or not yours to see`},
		{"refused", "direct-tcpip", direct("secret", 1), ssh.Prohibited, "refused by rule r: not⏎you<U+001B>[2J; ask a reviewer"},
		{"a fault of ours", "direct-tcpip", direct("panic", 1), ssh.Prohibited, sshd.ErrPanic.Error()},
		{"port 0", "direct-tcpip", direct("shop", 0), ssh.ConnectionFailed, "a port is a number from 1 to 65535" + usage},
		{"port 65536", "direct-tcpip", direct("shop", 65536), ssh.ConnectionFailed, "a port is a number from 1 to 65535" + usage},
		{"largest port", "direct-tcpip", direct("shop", 1<<32-1), ssh.ConnectionFailed, "a port is a number from 1 to 65535" + usage},
		{"no host", "direct-tcpip", direct("", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"a long host", "direct-tcpip", direct(strings.Repeat("x", 254), 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"a huge host", "direct-tcpip", direct(strings.Repeat("x", 200_000), 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"NUL", "direct-tcpip", direct("shop\x00", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"escapes", "direct-tcpip", direct("\x1b[2J", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"a line", "direct-tcpip", direct("shop\n", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"a letter like another", "direct-tcpip", direct("ѕhop", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"broken UTF-8", "direct-tcpip", direct("\xff", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"IPv6", "direct-tcpip", direct("::1", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"IPv6 in brackets", "direct-tcpip", direct("[fe80::1%lo]", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"a socket", "direct-tcpip", direct("/run/postgresql/.s.PGSQL.5432", 1), ssh.ConnectionFailed, "targets have names of letters, digits, - and . only" + usage},
		{"nothing", "direct-tcpip", nil, ssh.ConnectionFailed, "the request to forward cannot be read" + usage},
		{"half of it", "direct-tcpip", good[:9], ssh.ConnectionFailed, "the request to forward cannot be read" + usage},
		{"more than it", "direct-tcpip", append(slices.Clone(good), 0), ssh.ConnectionFailed, "the request to forward cannot be read" + usage},
		{"a length that lies", "direct-tcpip", []byte{255, 255, 255, 255}, ssh.ConnectionFailed, "the request to forward cannot be read" + usage},
		{"a socket's kind", "direct-streamlocal@openssh.com", ssh.Marshal(struct {
			Path, R string
			N       uint32
		}{"/run/s", "", 0}), ssh.Prohibited, "this bastion forwards to targets by their names, not to sockets" + usage},
		{"the other way", "forwarded-tcpip", good, ssh.UnknownChannelType, ""},
		{"the other way to a socket", "forwarded-streamlocal@openssh.com", good, ssh.UnknownChannelType, ""},
		{"X11", "x11", good, ssh.UnknownChannelType, ""},
		{"agent", "auth-agent@openssh.com", nil, ssh.UnknownChannelType, ""},
		{"tunnel", "tun@openssh.com", ssh.Marshal(struct{ M, U uint32 }{1, 0}), ssh.UnknownChannelType, ""},
		{"no kind", "", nil, ssh.UnknownChannelType, ""},
		{"nearly", "direct-tcpip ", good, ssh.UnknownChannelType, ""},
		{"in capitals", "DIRECT-TCPIP", good, ssh.UnknownChannelType, ""},
	} {
		t.Run(m.name, func(t *testing.T) {
			if m.said == "" {
				m.said = "this bastion does not open channels of this kind; for what it offers: ssh bastion help"
			}
			c := open.visitor(t, "alice")
			ch, reqs, err := c.OpenChannel(m.kind, m.payload)
			var refused *ssh.OpenChannelError
			switch {
			case m.reason == 0 && err != nil:
				t.Fatal(err)
			case m.reason == 0:
				go ssh.DiscardRequests(reqs)
				ch.Close()
			case !errors.As(err, &refused) || refused.Reason != m.reason || refused.Message != m.said:
				t.Errorf("%#v", err)
			}
			// Where nothing is forwarded nothing of it is even read.
			_, _, err = shut.visitor(t, "alice").OpenChannel(m.kind, m.payload)
			switch {
			case !errors.As(err, &refused):
				t.Errorf("where nothing is forwarded: %v", err)
			case m.kind == "direct-tcpip" && (refused.Reason != ssh.Prohibited || !strings.Contains(refused.Message, "ssh bastion sql TARGET")):
				t.Errorf("where nothing is forwarded: %v", err)
			}
			// A refusal costs nothing but itself.
			if out := halfClose(t, dialTarget(t, c, "shop"), "still here"); out != "still here" {
				t.Errorf("afterwards: %q", out)
			}
		})
	}
	if shut.starts.Load() != 0 {
		t.Errorf("%d sessions where nothing is forwarded", shut.starts.Load())
	}
	for _, kind := range []string{"tcpip-forward", "cancel-tcpip-forward", "streamlocal-forward@openssh.com", "cancel-streamlocal-forward@openssh.com"} {
		if ok, _, err := open.visitor(t, "alice").SendRequest(kind, true, ssh.Marshal(struct {
			H string
			P uint32
		}{"", 0})); ok || err != nil {
			t.Errorf("global request %q: %v, %v", kind, ok, err)
		}
	}
}

func dialTarget(t testing.TB, c *ssh.Client, host string) net.Conn {
	t.Helper()
	nc, err := c.Dial("tcp", net.JoinHostPort(host, "5432"))
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// Pitfall 26: nothing can be asked for on a forwarded channel, and a session's
// visitor is told of no forwarding.
func TestForwardVisitor(t *testing.T) {
	d := newDoor(t, forwards)
	got := make(chan sshd.Visitor, 2)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int { got <- v; <-s.Context().Done(); return 0 })
	key := newSigner(t)
	who := d.people.know(key.PublicKey(), "alice")
	c := d.dial(t, key)
	ch, reqs, err := c.OpenChannel("direct-tcpip", ssh.Marshal(struct {
		Host string
		Port uint32
		From string
		FP   uint32
	}{"shop", 5432, "client\x1b[2J" + strings.Repeat("x", 500), 1 << 31}))
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 10)
	go func() {
		defer close(said)
		for r := range reqs {
			said <- r.Type
		}
	}()
	str := func(s string) []byte { return ssh.Marshal(struct{ S string }{s}) }
	for kind, payload := range map[string][]byte{
		"pty-req": ssh.Marshal(struct {
			T          string
			W, H, X, Y uint32
			M          string
		}{"xterm", 80, 24, 0, 0, ""}),
		"shell": nil, "exec": str("x"), "subsystem": str("sftp"), "env": ssh.Marshal(struct{ N, V string }{"LANG", "C"}),
		"window-change": ssh.Marshal(struct{ W, H, X, Y uint32 }{1, 1, 0, 0}), "signal": str("INT"), "break": {0, 0, 0, 0},
		"eow@openssh.com": nil, "auth-agent-req@openssh.com": nil, "x11-req": nil, "": nil,
	} {
		if ok, err := ch.SendRequest(kind, true, payload); ok || err != nil {
			t.Errorf("request %q: %v, %v", kind, ok, err)
		}
	}
	v := <-got
	if v.Forward == nil || v.Forward.Host != "shop" || v.Forward.Port != 5432 || v.Forward.String() != "shop:5432" || !v.Identity.Equal(who) {
		t.Errorf("%+v", v)
	}
	if f := v.Forward.From; !strings.HasPrefix(f, "client<U+001B>[2Jxxx") || !strings.HasSuffix(f, ":2147483648") || len(f) > 100 {
		t.Errorf("from %q", f)
	}
	if v.PTY || v.Term != "" || v.Command != "" || v.HasCommand || len(v.Env) > 0 || v.Interrupts != nil {
		t.Errorf("%+v", v)
	}
	// One stream only, and no exit status.
	if n, err := v.Channel.Stderr().Write([]byte("words")); n != 5 || err != nil {
		t.Error(n, err)
	}
	if _, err := v.Channel.Stderr().Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	d.stop()
	if b, err := io.ReadAll(ch); len(b) > 0 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := io.ReadAll(ch.Stderr()); len(b) > 0 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	for s := range said {
		t.Errorf("said %q", s)
	}

	d = newDoor(t, forwards)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int { got <- v; return 0 })
	run(t, d.visitor(t, "alice"), "x")
	if v := <-got; v.Forward != nil {
		t.Errorf("a session: %+v", v)
	}
}

// Pitfall 21: the end of the client's input is not the end of the answer, however
// long, and the last byte arrives.
func TestForwardHalfClose(t *testing.T) {
	d := newDoor(t, forwards)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		b, err := io.ReadAll(v.Channel)
		if err != nil {
			return 1
		}
		if v.Forward.Host == "early" { // says its own end, before the door does
			defer v.Channel.CloseWrite()
		}
		for range 100 {
			if _, err := v.Channel.Write(b); err != nil {
				return 1
			}
		}
		return 0
	})
	c := d.visitor(t, "alice")
	for n := range 200 {
		want := strings.Repeat("x", n*7)
		host := []string{"shop", "early"}[n%2]
		if got := halfClose(t, dialTarget(t, c, host), want); len(got) != 100*len(want) {
			t.Fatalf("%d of %d bytes", len(got), 100*len(want))
		}
	}
	until(t, "the visits to end", func() bool { return d.Visits() == 0 })
}

// Pitfall 13, and what goes wrong at each step: the client's program sees its
// connection end, the log says why, the rest goes on.
func TestForwardFails(t *testing.T) {
	d := newDoor(t, forwards)
	const data = "row of a customer"
	d.start = func(_ context.Context, v sshd.Visitor) error {
		if v.Forward != nil && v.Forward.Host == "start" {
			return errors.New("the recording cannot begin")
		}
		return nil
	}
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		switch {
		case v.Forward == nil:
			fmt.Fprint(s.Terminal(), "hello")
		case v.Forward.Host == "crash":
			panic(data)
		case v.Forward.Host == "fail":
			s.Fail(errors.New("policy changed"))
		default:
			return back(s, v)
		}
		return 0
	})
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	c := d.dial(t, key)
	other := dialTarget(t, c, "other")
	for host, logged := range map[string]string{
		"crash": "panic", "start": "the recording cannot begin", "fail": "policy changed", "panic": "panic",
	} {
		ch, reqs, err := c.OpenChannel("direct-tcpip", direct(host, 1))
		if host == "panic" {
			if err == nil {
				t.Error("opened")
			}
			continue
		}
		if err != nil {
			t.Fatal(host, err)
		}
		go ssh.DiscardRequests(reqs)
		if b, err := io.ReadAll(ch); len(b) > 0 || err != nil {
			t.Errorf("%s: %q, %v", host, b, err)
		}
		if b, err := io.ReadAll(ch.Stderr()); len(b) > 0 || err != nil {
			t.Errorf("%s: %q, %v", host, b, err)
		}
		ch.Close()
		if log := d.log.String(); !strings.Contains(log, logged) || strings.Contains(log, data) {
			t.Errorf("%s: log %s", host, log)
		}
	}
	for _, why := range []error{bastion.ErrExpired, errors.New("your access to this bastion was revoked; ask whoever runs it")} {
		d.people.set(key.PublicKey(), why)
		_, _, err := c.OpenChannel("direct-tcpip", direct("shop", 1))
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || refused.Reason != ssh.Prohibited || refused.Message != why.Error() {
			t.Errorf("a new channel: %v", err)
		}
	}
	d.people.set(key.PublicKey(), nil)
	if out := halfClose(t, other, "still here"); out != "still here" {
		t.Errorf("the other channel: %q", out)
	}
	if out, _, code := run(t, c, "x"); out != "hello" || code != 0 {
		t.Errorf("%q, code %d", out, code)
	}
	if !strings.Contains(d.log.String(), "to=other:5432") {
		t.Errorf("log: %s", d.log.String())
	}
	for i := range int(d.starts.Load()) - 1 { // one session never began
		if !d.recording(i).sealed() {
			t.Errorf("recording %d is open", i)
		}
	}
}

// Forwarded channels and sessions have limits of their own.
func TestForwardLimits(t *testing.T) {
	d := newDoor(t, func(d *door, c *sshd.Config) {
		forwards(d, c)
		c.Limits.Channels, c.Limits.Requests = 2, 1<<30
	})
	d.serves(untilEnd)
	c := d.visitor(t, "alice")
	count := func(kind string, payload []byte, n int) (opened int) {
		for range n {
			_, reqs, err := c.OpenChannel(kind, payload)
			var no *ssh.OpenChannelError
			switch {
			case err == nil:
				opened++
				go ssh.DiscardRequests(reqs)
			case !errors.As(err, &no) || no.Reason != ssh.ResourceShortage:
				t.Fatal(err)
			case kind == "session" && no.Message != "there are 2 sessions on this connection already; close one, or connect once more",
				kind != "session" && no.Message != "there are 256 forwarded connections on this connection already; close one, or connect once more":
				t.Fatal(no.Message)
			}
		}
		return opened
	}
	if n := count("direct-tcpip", direct("shop", 1), 300); n != 256 {
		t.Errorf("%d forwarded", n)
	}
	if n := count("session", nil, 10); n != 2 {
		t.Errorf("%d sessions", n)
	}
	// Another connection has its own, and one that closes makes room.
	c = d.visitor(t, "rita")
	first, reqs := forwardTo(t, c, "shop")
	go ssh.DiscardRequests(reqs)
	if n := count("direct-tcpip", direct("shop", 1), 256); n != 255 {
		t.Errorf("%d forwarded", n)
	}
	// A client hears of its channel before the visit is counted.
	const all = 256 + 2 + 256
	until(t, "all visits to begin", func() bool { return d.Visits() == all })
	first.Close()
	until(t, "the visit to end", func() bool { return d.Visits() == all-1 })
	until(t, "room", func() bool {
		_, reqs, err := c.OpenChannel("direct-tcpip", direct("shop", 1))
		if err == nil {
			go ssh.DiscardRequests(reqs)
		}
		return err == nil
	})
}

func TestForwardIdleAndLongest(t *testing.T) {
	d := newDoor(t, func(d *door, c *sshd.Config) {
		forwards(d, c)
		c.Limits.Idle, c.Limits.KeepAlive, c.Limits.Misses = 200*time.Millisecond, 60*time.Millisecond, 1000
	})
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		switch v.Forward.Host {
		case "talks":
			for s.Context().Err() == nil {
				if _, err := v.Channel.Write([]byte("x")); err != nil {
					break
				}
				time.Sleep(10 * time.Millisecond) // a program that has something to say now and then
			}
		case "listens":
			io.Copy(io.Discard, v.Channel) // ends with the channel
		default:
			<-s.Context().Done()
		}
		return 0
	})
	c := d.visitor(t, "alice")
	talks, reqs := forwardTo(t, c, "talks")
	go ssh.DiscardRequests(reqs)
	go io.Copy(io.Discard, talks)
	listens, reqs := forwardTo(t, c, "listens")
	go ssh.DiscardRequests(reqs)
	still, reqs := forwardTo(t, c, "still")
	go ssh.DiscardRequests(reqs)
	ended := make(chan struct{})
	go func() { defer close(ended); io.Copy(io.Discard, still) }()
	for { // the silent one ends while bytes in either direction keep the others
		if _, err := listens.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Millisecond):
			continue
		}
		break
	}
	if !strings.Contains(d.log.String(), "nothing happened here for too long") {
		t.Errorf("log: %s", d.log.String())
	}
	if d.Visits() < 2 {
		t.Errorf("%d visits", d.Visits())
	}
	talks.Close()
	listens.Close()

	d = newDoor(t, func(d *door, c *sshd.Config) {
		forwards(d, c)
		c.Limits.Longest, c.Limits.KeepAlive, c.Limits.Misses = 50*time.Millisecond, 60*time.Millisecond, 1000
		c.Limits.Grace = 20 * time.Millisecond
	})
	d.serves(back) // waits for the client, and so ends with the channel only
	busy, reqs := forwardTo(t, d.visitor(t, "alice"), "shop")
	go ssh.DiscardRequests(reqs)
	go func() { // ends with the channel
		for {
			if _, err := busy.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(time.Millisecond) // a program that is in use all the time
		}
	}()
	if _, err := io.Copy(io.Discard, busy); err != nil {
		t.Error(err)
	}
	if err := busy.Close(); err != nil && err != io.EOF {
		t.Error(err)
	}
	until(t, "the visit to end", func() bool { return d.Visits() == 0 })
	if ends := d.recording(0).ends(); !slices.Equal(ends, []string{"this session has lasted as long as one may; connect again"}) {
		t.Errorf("recorded %q", ends)
	}
}

// Stopping: a connection with a forwarded channel is not idle, may finish, and
// gets no new one.
func TestForwardDrain(t *testing.T) {
	d := newDoor(t, func(d *door, c *sshd.Config) { forwards(d, c); c.Limits.Drain = time.Hour })
	d.serves(back)
	idle, c := d.visitor(t, "idle"), d.visitor(t, "alice")
	nc := dialTarget(t, c, "shop")
	until(t, "the session", func() bool { return d.starts.Load() == 1 })
	d.stop()
	if err := idle.Wait(); err == nil {
		t.Error("an idle connection ended without an error")
	}
	if _, _, err := c.OpenChannel("direct-tcpip", direct("shop", 1)); err == nil || !strings.Contains(err.Error(), "the bastion is stopping") {
		t.Errorf("a new one: %v", err)
	}
	if out := halfClose(t, nc, "the last transaction"); out != "the last transaction" {
		t.Errorf("%q", out)
	}
	if err := <-d.served; err != nil {
		t.Error(err)
	}
	d.served <- nil

	d = newDoor(t, forwards)
	d.serves(untilEnd)
	ch, reqs := forwardTo(t, d.visitor(t, "alice"), "shop")
	go ssh.DiscardRequests(reqs)
	until(t, "the session", func() bool { return d.starts.Load() == 1 })
	d.stop()
	if _, err := io.Copy(io.Discard, ch); err != nil {
		t.Error(err)
	}
	if err := <-d.served; err != nil {
		t.Error(err)
	}
	d.served <- nil
	if ends := d.recording(0).ends(); !slices.Equal(ends, []string{"the bastion is stopping; connect again in a moment"}) {
		t.Errorf("recorded %q", ends)
	}
}

// Pitfall 23: a client that does not read one channel holds up neither the others
// nor the bastion's memory, in either direction.
func TestForwardBackpressure(t *testing.T) {
	d := newDoor(t, forwards)
	release := make(chan struct{})
	var sent sync.WaitGroup
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		switch v.Forward.Host {
		case "flood":
			defer sent.Done()
			block := make([]byte, 64<<10)
			for range 64 << 20 / len(block) {
				if _, err := v.Channel.Write(block); err != nil {
					return 1
				}
			}
		case "deaf":
			<-release
			n, err := io.Copy(io.Discard, v.Channel)
			fmt.Fprint(v.Channel, n, err)
		default:
			return back(s, v)
		}
		return 0
	})
	c := d.visitor(t, "alice")
	var floods []ssh.Channel
	const deaf = 6 << 20
	answers := make(chan string, 8)
	for range 8 {
		sent.Add(1)
		ch, reqs := forwardTo(t, c, "flood")
		go ssh.DiscardRequests(reqs)
		floods = append(floods, ch)
		nc := dialTarget(t, c, "deaf")
		go func() { answers <- halfClose(t, nc, strings.Repeat("x", deaf)) }()
	}
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	before := memory()
	for range 50 {
		text := strings.Repeat("hello ", 20_000)
		if out := halfClose(t, dialTarget(t, c, "shop"), text); out != text {
			t.Fatalf("%d bytes came back", len(out))
		}
	}
	// The windows of 16 channels, with room for both ends, which share this process.
	if now := memory(); now > before+150<<20 {
		t.Errorf("%d MiB, and %d before", now>>20, before>>20)
	}
	close(release)
	for range 8 {
		if got := <-answers; got != fmt.Sprint(deaf, " <nil>") && got != fmt.Sprint(deaf, error(nil)) {
			t.Errorf("the one that did not read: %q", got)
		}
	}
	for _, ch := range floods {
		if n, err := io.Copy(io.Discard, ch); n != 64<<20 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		ch.Close()
	}
	sent.Wait()
}

// Every packet goes out whole as soon as it is written, whatever its length and
// however it is encrypted.
func TestForwardPacketLengths(t *testing.T) {
	d := newDoor(t, forwards)
	d.serves(back)
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	for _, c := range []ssh.Config{
		{Ciphers: []string{ssh.CipherChaCha20Poly1305}},
		{Ciphers: []string{ssh.CipherAES256GCM}},
		{Ciphers: []string{ssh.CipherAES128GCM}},
		{Ciphers: []string{ssh.CipherAES128CTR}, MACs: []string{ssh.HMACSHA256ETM}},
		{Ciphers: []string{ssh.CipherAES256CTR}, MACs: []string{ssh.HMACSHA512ETM}},
	} {
		config := clientConfig("alice", ssh.PublicKeys(key))
		config.Config = c
		client, err := ssh.Dial("tcp", d.address, config)
		if err != nil {
			t.Fatal(err)
		}
		nc := dialTarget(t, client, "shop")
		for _, n := range slices.Concat(lengths(3900, 4200), lengths(8100, 8200), []int{1, 32 << 10, 100_000}) {
			sent := bytes.Repeat([]byte{byte(n)}, n)
			got := make([]byte, n)
			if _, err := nc.Write(sent); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%v, %d bytes: %v", c, n, err)
			}
		}
		client.Close()
	}
}

// lengths are from one to another.
func lengths(from, to int) (all []int) {
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

// A program that takes its time to read the rest of an answer that is complete
// costs nobody else the connection, not even when that is idle for too long.
func TestForwardSlowToRead(t *testing.T) {
	d := newDoor(t, func(d *door, c *sshd.Config) {
		forwards(d, c)
		c.Limits.Longest, c.Limits.KeepAlive, c.Limits.Misses = 100*time.Millisecond, 60*time.Millisecond, 1000
		c.Limits.Grace = 20 * time.Millisecond
	})
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		if v.Forward != nil {
			fmt.Fprint(v.Channel, "an answer")
		}
		return 0
	})
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	c := dialRaw(t, d.address)
	c.must(c.send(c.signed("a", key)))
	c.next(msgAuthSuccess)
	open := append([]byte{90}, text("direct-tcpip")...)
	open = append(open, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x80, 0)
	c.must(c.send(append(open, direct("shop", 5432)...)))
	c.next(91) // accepted
	c.next(94) // data
	c.next(96) // end of data
	c.next(97) // closed, which this client does not answer
	until(t, "the visit to be over its time", func() bool { return d.starts.Load() == 1 && strings.Contains(d.log.String(), "session ended") })
	for range 10 { // several times the limit and the grace
		time.Sleep(30 * time.Millisecond)
		c.must(c.send(append([]byte{80}, append(text("keepalive@openssh.com"), 1)...)))
		for {
			p, err := c.read()
			c.must(err)
			if p[0] == 82 { // request failure, which is an answer
				break
			}
		}
	}
	if d.Conns() != 1 || d.Visits() != 1 {
		t.Errorf("%d connections, %d visits", d.Conns(), d.Visits())
	}
	c.must(c.send([]byte{97, 0, 0, 0, 0}))
	until(t, "the visit to end", func() bool { return d.Visits() == 0 })
}

// Pitfall 20: clients that come, go and vanish leave nothing behind.
func TestForwardLeavesNothing(t *testing.T) {
	d := newDoor(t, forwards)
	d.serves(back)
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	cycle := func() {
		nc, err := net.Dial("tcp", d.address)
		if err != nil {
			t.Fatal(err)
		}
		sc, chans, reqs, err := ssh.NewClientConn(nc, d.address, clientConfig("a", ssh.PublicKeys(key)))
		if err != nil {
			t.Fatal(err)
		}
		c := ssh.NewClient(sc, chans, reqs)
		halfClose(t, dialTarget(t, c, "shop"), "x")
		dialTarget(t, c, "shop").Close()
		if _, err := dialTarget(t, c, "shop").Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		nc.Close() // no goodbye
	}
	cycle()
	until(t, "quiet", func() bool { return d.Conns() == 0 && d.Visits() == 0 })
	before := runtime.NumGoroutine()
	for range 100 {
		cycle()
	}
	until(t, "all to be gone", func() bool { return d.Conns() == 0 && d.Visits() == 0 && runtime.NumGoroutine() <= before })
}

// Pitfall 18: a flood of channels to forward.
func TestForwardFlood(t *testing.T) {
	d := newDoor(t, func(d *door, c *sshd.Config) {
		forwards(d, c)
		c.Limits.Requests, c.Limits.KeepAlive = 1, 300*time.Millisecond
	})
	d.serves(back)
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	c := dialRaw(t, d.address)
	c.must(c.send(c.signed("a", key)))
	c.next(msgAuthSuccess)
	open := append([]byte{90}, text("direct-tcpip")...)
	open = append(open, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x80, 0)
	open = append(open, direct("shop", 5432)...)
	for range 2000 {
		if c.send(open) != nil {
			break // the server has had enough
		}
	}
	until(t, "the flood", func() bool { return d.Opening() > 64 })
	for range 1000 {
		if n := d.Opening(); n > 300 {
			t.Fatalf("%d channels wait for an answer", n)
		}
		runtime.Gosched()
	}
	until(t, "the connection to end", func() bool { return d.Conns() == 0 && d.Opening() == 0 && d.Visits() == 0 })
}

// ---- with OpenSSH's client

// freePort finds a port that nobody listens on at this moment.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// tunnel runs ssh -N with forwardings until the test ends, and waits for the last
// of its listeners.
func (d *door) tunnel(t testing.TB, key, network, address string, args ...string) *bytes.Buffer {
	t.Helper()
	cmd := d.openSSH(t, key, slices.Concat([]string{"-N", "-o", "ExitOnForwardFailure=yes"}, args, []string{"bastion-of-nobody@localhost"})...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	until(t, "the tunnel", func() bool {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return &errs
}

// answer serves a visitor by saying what was asked for, then what was sent.
func answer(s *bastion.Session, v sshd.Visitor) int {
	b, err := io.ReadAll(v.Channel)
	if err != nil {
		return 1
	}
	fmt.Fprintf(v.Channel, "%s by %s: %d bytes", v.Forward, v.Identity.Name, len(b))
	return 0
}

func dialLocal(t testing.TB, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOpenSSHForwards(t *testing.T) {
	d := newDoor(t, forwards)
	d.serves(answer)
	path, key := keyFile(t)
	d.people.know(key, "alice")
	long := strings.Repeat("x", 3<<20)

	t.Run("port", func(t *testing.T) {
		one, two := freePort(t), freePort(t)
		d.tunnel(t, path, "tcp", "localhost:"+two, "-L", one+":shop:5432", "-L", two+":staging.example:6432")
		for range 3 {
			if got := halfClose(t, dialLocal(t, "tcp", "localhost:"+one), long); got != "shop:5432 by alice: 3145728 bytes" {
				t.Errorf("%q", got)
			}
			if got := halfClose(t, dialLocal(t, "tcp", "localhost:"+two), ""); got != "staging.example:6432 by alice: 0 bytes" {
				t.Errorf("%q", got)
			}
		}
	})
	t.Run("socket", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "s") // a socket's path must be short
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		socket := filepath.Join(dir, ".s.PGSQL.5432")
		d.tunnel(t, path, "unix", socket, "-L", socket+":shop:5432")
		if got := halfClose(t, dialLocal(t, "unix", socket), long); got != "shop:5432 by alice: 3145728 bytes" {
			t.Errorf("%q", got)
		}
	})
	t.Run("socks", func(t *testing.T) {
		port := freePort(t)
		d.tunnel(t, path, "tcp", "localhost:"+port, "-D", port)
		d.serves(func(s *bastion.Session, v sshd.Visitor) int {
			if _, err := v.Channel.Read(make([]byte, 4096)); err != nil {
				return 1
			}
			said := "at " + v.Forward.String()
			fmt.Fprintf(v.Channel, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(said), said)
			return 0
		})
		defer d.serves(answer)
		for _, host := range []string{"shop-production:5432", "10.1.2.3:80"} {
			curl := exec.CommandContext(t.Context(), "curl", "-sS", "--noproxy", "", "--socks5-hostname", "localhost:"+port, "http://"+host+"/")
			if out, errs, code := result(t, curl); out != "at "+host || code != 0 {
				t.Errorf("%q, code %d: %s", out, code, errs)
			}
		}
	})
	t.Run("stdio", func(t *testing.T) {
		for _, text := range []string{"", "x", long} {
			cmd := d.openSSH(t, path, "-W", "shop:5432", "localhost")
			cmd.Stdin = strings.NewReader(text)
			if out, errs, code := result(t, cmd); out != fmt.Sprintf("shop:5432 by alice: %d bytes", len(text)) || code != 0 {
				t.Errorf("%q, code %d: %s", out, code, errs)
			}
		}
		d.serves(back)
		defer d.serves(answer)
		cmd := d.openSSH(t, path, "-W", "shop:5432", "localhost")
		cmd.Stdin = strings.NewReader(long)
		if out, errs, code := result(t, cmd); out != long || code != 0 {
			t.Errorf("%d bytes, code %d: %s", len(out), code, errs)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		for host, want := range map[string]string{
			"nowhere:1": `open failed: connect failed: there is no target "nowhere"; ssh bastion targets lists yours`,
			"secret:1":  "open failed: administratively prohibited: refused by rule r: not",
			"[::1]:1":   "open failed: connect failed: targets have names of letters, digits, - and . only; use: ssh -N -L PORT:TARGET:5432 bastion",
		} {
			if out, errs, code := result(t, d.openSSH(t, path, "-W", host, "localhost")); code != 255 || out != "" || !strings.Contains(errs, want) {
				t.Errorf("%s: %q, code %d: %s", host, out, code, errs)
			}
		}
		for what, args := range map[string][]string{
			"remote port forwarding failed": {"-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:1", "localhost"},
		} {
			if out, errs, code := result(t, d.openSSH(t, path, args...)); code != 255 || out != "" || !strings.Contains(errs, what) {
				t.Errorf("%q, code %d: %s", out, code, errs)
			}
		}
	})
	t.Run("shared connection", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		one, two := freePort(t), freePort(t)
		until(t, "earlier clients to go", func() bool { return d.Conns() == 0 })
		d.tunnel(t, path, "tcp", "localhost:"+one, "-M", "-S", socket, "-L", one+":shop:5432")
		if out, errs, code := result(t, d.openSSH(t, path, "-S", socket, "-O", "forward", "-L", two+":staging:5432", "localhost")); code != 0 {
			t.Fatalf("%q, code %d: %s", out, code, errs)
		}
		var all sync.WaitGroup
		for i := range 32 {
			all.Go(func() {
				port, want := one, "shop:5432 by alice: "
				if i%2 == 1 {
					port, want = two, "staging:5432 by alice: "
				}
				if got := halfClose(t, dialLocal(t, "tcp", "localhost:"+port), strings.Repeat("x", i*1000)); got != want+strconv.Itoa(i*1000)+" bytes" {
					t.Errorf("%q", got)
				}
			})
		}
		all.Wait()
		cmd := d.openSSH(t, path, "-S", socket, "-W", "third:1", "localhost")
		cmd.Stdin = strings.NewReader("x")
		if out, errs, code := result(t, cmd); out != "third:1 by alice: 1 bytes" || code != 0 {
			t.Errorf("%q, code %d: %s", out, code, errs)
		}
		if n := d.Conns(); n != 1 {
			t.Errorf("%d connections", n)
		}
		// Whoever is no longer let in gets no more on the old connection.
		starts := d.starts.Load()
		d.people.set(key, bastion.ErrExpired)
		defer d.people.set(key, nil)
		if got := halfClose(t, dialLocal(t, "tcp", "localhost:"+two), ""); got != "" || d.starts.Load() != starts {
			t.Errorf("%q, %d sessions", got, d.starts.Load()-starts)
		}
	})
	until(t, "all to be gone", func() bool { return d.Visits() == 0 })
}

// FuzzForward: whatever a client asks for, what comes out is a name and a port.
func FuzzForward(f *testing.F) {
	f.Add(direct("shop", 5432))
	f.Add(direct("::1", 1<<16))
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := sshd.ParseForward(payload)
		if err != nil {
			if got != (sshd.Forward{}) || bastion.VisibleLine(err.Error()) != err.Error() {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		if got.Host == "" || len(got.Host) > 253 || strings.ContainsAny(got.Host, "\x00 :/[]%\x1b\n") || bastion.VisibleLine(got.Host) != got.Host ||
			got.Port < 1 || got.Port > 65535 || len(got.From) > 600 || bastion.VisibleLine(got.From) != got.From {
			t.Fatalf("%+v", got)
		}
		again, err := sshd.ParseForward(direct(got.Host, got.Port))
		if err != nil || again.Host != got.Host || again.Port != got.Port {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}
