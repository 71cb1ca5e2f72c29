package sshd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/sshd"
)

// Pitfall 13: a connection that stays open does not outlive the binding.
func TestBindingEndsBeforeTheNextChannel(t *testing.T) {
	d := newDoor(t, nil)
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	c := d.dial(t, key)
	if out, _, _ := run(t, c, "x"); out != "hello alice" {
		t.Fatalf("got %q", out)
	}
	for _, why := range []error{bastion.ErrExpired, errors.New("your access to this bastion was revoked; ask whoever runs it")} {
		d.people.set(key.PublicKey(), why)
		_, err := c.NewSession()
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || refused.Reason != ssh.Prohibited || refused.Message != why.Error() {
			t.Errorf("a new channel: %v", err)
		}
	}
	// The key is somebody else's by now.
	d.people.set(key.PublicKey(), nil)
	d.people.know(key.PublicKey(), "mallory")
	if _, err := c.NewSession(); err == nil {
		t.Error("the connection became another person's")
	}
	if d.starts.Load() != 1 {
		t.Errorf("%d sessions", d.starts.Load())
	}
}

// The same with OpenSSH's shared connections.
func TestControlMaster(t *testing.T) {
	d := newDoor(t, nil)
	path, key := keyFile(t)
	d.people.know(key, "alice")
	socket := filepath.Join(t.TempDir(), "s")
	master := d.openSSH(t, path, "-M", "-N", "-S", socket, "localhost")
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		exec.Command("ssh", "-S", socket, "-O", "exit", "localhost").Run() // may be gone
		master.Wait()
	})
	until(t, "the shared connection", func() bool {
		return exec.Command("ssh", "-S", socket, "-O", "check", "localhost").Run() == nil
	})
	for range 3 {
		if out, errs, code := result(t, d.openSSH(t, path, "-S", socket, "localhost", "x")); out != "hello alice" || code != 0 {
			t.Fatalf("%q, code %d: %s", out, code, errs)
		}
	}
	if d.Conns() != 1 {
		t.Fatalf("%d connections", d.Conns())
	}
	d.people.set(key, bastion.ErrExpired)
	out, _, code := result(t, d.openSSH(t, path, "-S", socket, "-o", "BatchMode=yes", "localhost", "x"))
	if code != 255 || out != "" || d.starts.Load() != 3 {
		t.Errorf("%q, code %d, %d sessions", out, code, d.starts.Load())
	}
}

// Pitfall 26: every kind of channel and request passes the same gate.
func TestRequestMatrix(t *testing.T) {
	d := newDoor(t, nil)
	c := d.visitor(t, "alice")
	for _, kind := range []string{"direct-tcpip", "direct-streamlocal@openssh.com", "forwarded-tcpip", "x11", "auth-agent@openssh.com", "tun@openssh.com", "", "\x1b[2J", "Session"} {
		_, _, err := c.OpenChannel(kind, nil)
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || strings.Contains(refused.Message, "\x1b") {
			t.Errorf("channel %q: %v", kind, err)
		}
		if kind == "direct-tcpip" && !strings.Contains(refused.Message, "ssh bastion sql TARGET") {
			t.Errorf("channel %q: %q", kind, refused.Message)
		}
	}
	for _, kind := range []string{"tcpip-forward", "cancel-tcpip-forward", "streamlocal-forward@openssh.com", "keepalive@openssh.com", "no-more-sessions@openssh.com", "hostkeys-prove-00@openssh.com", ""} {
		if ok, _, err := c.SendRequest(kind, true, []byte("junk")); ok || err != nil {
			t.Errorf("global request %q: %v, %v", kind, ok, err)
		}
	}
	type request struct {
		kind    string
		payload []byte
	}
	pty := request{"pty-req", ssh.Marshal(struct {
		Term       string
		W, H, X, Y uint32
		Modes      string
	}{"xterm", 80, 24, 0, 0, ""})}
	str := func(s string) []byte { return ssh.Marshal(struct{ S string }{s}) }
	env := func(n, v string) request { return request{"env", ssh.Marshal(struct{ N, V string }{n, v})} }
	size := request{"window-change", ssh.Marshal(struct{ W, H, X, Y uint32 }{1, 1, 0, 0})}
	for name, m := range map[string]struct {
		send []request
		want bool // of the last
	}{
		"agent": {[]request{{"auth-agent-req@openssh.com", nil}}, false},
		"x11": {[]request{{"x11-req", ssh.Marshal(struct {
			Single bool
			P, C   string
			S      uint32
		}{false, "MIT", "00", 0})}}, false},
		"sftp":                  {[]request{{"subsystem", str("sftp")}}, false},
		"netconf":               {[]request{{"subsystem", str("netconf")}}, false},
		"unknown":               {[]request{{"make-me-root", nil}}, false},
		"no name":               {[]request{{"", nil}}, false},
		"terminal":              {[]request{pty}, true},
		"two terminals":         {[]request{pty, pty}, false},
		"broken terminal":       {[]request{{"pty-req", []byte{0, 0}}}, false},
		"size with no terminal": {[]request{size}, false},
		"size":                  {[]request{pty, size}, true},
		"broken size":           {[]request{pty, {"window-change", []byte{1}}}, false},
		"language":              {[]request{env("LANG", "C")}, true},
		"locale":                {[]request{env("LC_ALL", "C")}, true},
		"odd locale":            {[]request{env("LC_", "C")}, false},
		"loader":                {[]request{env("LD_PRELOAD", "x")}, false},
		"escapes":               {[]request{env("LANG", "\x1b[2J")}, false},
		"large variable":        {[]request{env("LANG", strings.Repeat("x", 257))}, false},
		"signal":                {[]request{{"signal", str("KILL")}}, true},
		"broken signal":         {[]request{{"signal", nil}}, false},
		"break":                 {[]request{{"break", []byte{0, 0, 0, 1}}}, true},
		"broken exec":           {[]request{{"exec", []byte{255, 255, 255, 255}}}, false},
		"broken shell":          {[]request{{"shell", []byte{1}}}, false},
		"shell":                 {[]request{{"shell", nil}}, true},
		"exec":                  {[]request{{"exec", str("x")}}, true},
		"shell and exec":        {[]request{{"shell", nil}, {"exec", str("x")}}, false},
		"two shells":            {[]request{{"shell", nil}, {"shell", nil}}, false},
		"late terminal":         {[]request{{"shell", nil}, pty}, false},
		"late variable":         {[]request{{"shell", nil}, env("LANG", "C")}, false},
		"own exit":              {[]request{{"exit-status", []byte{0, 0, 0, 0}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			d.serves(func(*bastion.Session, sshd.Visitor) int { <-release; return 0 })
			ch, reqs, err := c.OpenChannel("session", nil)
			if err != nil {
				t.Fatal(err)
			}
			go ssh.DiscardRequests(reqs)
			var ok bool
			for _, r := range m.send {
				if ok, err = ch.SendRequest(r.kind, true, r.payload); err != nil {
					t.Fatal(err)
				}
			}
			if ok != m.want {
				t.Errorf("answered %v", ok)
			}
			close(release)
			ch.Close()
			until(t, "the visit to end", func() bool { return d.Visits() == 0 })
		})
	}
}

// Pitfall 27: with the real client, an agent and -A.
func TestNoAgentForwarding(t *testing.T) {
	d := newDoor(t, nil)
	got := make(chan sshd.Visitor, 1)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int { got <- v; return 0 })
	path, key := keyFile(t)
	d.people.know(key, "alice")
	socket := filepath.Join(t.TempDir(), "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
	until(t, "the agent", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	cmd := d.openSSH(t, path, "-A", "-v", "localhost", "x")
	cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+socket, "LANG=C")
	cmd.Args = slices.DeleteFunc(cmd.Args, func(s string) bool { return s == "IdentityAgent=none" })
	cmd.Args = slices.DeleteFunc(cmd.Args, func(s string) bool { return s == "-o" })
	for i := 0; i < len(cmd.Args); i++ {
		if strings.Contains(cmd.Args[i], "=") {
			cmd.Args = slices.Insert(cmd.Args, i, "-o")
			i++
		}
	}
	_, errs, code := result(t, cmd)
	if code != 0 || !strings.Contains(errs, "Requesting authentication agent forwarding") {
		t.Fatalf("code %d: %s", code, errs)
	}
	if strings.Contains(errs, "client_request_agent") || len((<-got).Env) != 0 {
		t.Errorf("something of the agent came through: %s", errs)
	}
}

// Pitfall 21: the last byte and the exit code arrive.
func TestLastByteAndExitCode(t *testing.T) {
	d := newDoor(t, nil)
	const size = 50 << 20
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		block := bytes.Repeat([]byte{'x'}, 32<<10)
		for range size / len(block) {
			if _, err := s.Terminal().Write(block); err != nil {
				return 9
			}
		}
		return 42
	})
	path, key := keyFile(t)
	d.people.know(key, "alice")
	out, errs, code := result(t, d.openSSH(t, path, "localhost", "x"))
	if len(out) != size || code != 42 {
		t.Errorf("%d bytes, code %d: %s", len(out), code, errs)
	}

	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		var n int
		if _, err := fmt.Sscan(v.Command, &n); err != nil {
			return 255
		}
		fmt.Fprint(s.Terminal(), strings.Repeat("o", n*7))
		fmt.Fprint(s.Terminal().Stderr(), strings.Repeat("e", n))
		return n % 256
	})
	c := d.visitor(t, "rita")
	for n := range 500 {
		out, errs, code := run(t, c, fmt.Sprint(n))
		if len(out) != n*7 || len(errs) != n || code != n%256 {
			t.Fatalf("%d: %d bytes, %d of errors, code %d", n, len(out), len(errs), code)
		}
	}
	for n := range 20 {
		if out, _, code := result(t, d.openSSH(t, path, "localhost", fmt.Sprint(n))); len(out) != n*7 || code != n {
			t.Errorf("%d: %d bytes, code %d", n, len(out), code)
		}
	}
}

// Pitfall 21: the client's end of input is not the end of the session.
func TestHalfClose(t *testing.T) {
	d := newDoor(t, nil)
	d.serves(func(s *bastion.Session, _ sshd.Visitor) int {
		in := s.Terminal().Input()
		defer in.Close()
		b, err := io.ReadAll(in)
		if err != nil {
			return 1
		}
		fmt.Fprintf(s.Terminal(), "%d bytes", len(b))
		return 0
	})
	path, key := keyFile(t)
	d.people.know(key, "alice")
	cmd := d.openSSH(t, path, "localhost", "x")
	cmd.Stdin = bytes.NewReader(make([]byte, 3<<20))
	if out, errs, code := result(t, cmd); out != "3145728 bytes" || code != 0 {
		t.Errorf("%q, code %d: %s", out, code, errs)
	}
}

// Pitfall 22: a terminal session passes every byte on as it is.
func TestTerminalIsTransparent(t *testing.T) {
	d := newDoor(t, nil)
	d.serves(echo)
	c := d.visitor(t, "alice")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm-256color", 24, 80, ssh.TerminalModes{ssh.ECHO: 1, ssh.OPOST: 1, ssh.ONLCR: 1}); err != nil {
		t.Fatal(err)
	}
	all := make([]byte, 0, 3*256)
	for i := range 256 {
		all = append(all, byte(i), '\n', byte(255-i))
	}
	var out bytes.Buffer
	s.Stdin, s.Stdout = bytes.NewReader(all), &out
	if err := s.Run("x"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), all) {
		t.Errorf("came back as %q", out.Bytes())
	}
}

// Pitfall 51: sizes and names of terminals that no terminal has.
func TestOddTerminals(t *testing.T) {
	d := newDoor(t, nil)
	got := make(chan sshd.Visitor, 1)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		if s.Terminal().Window() != v.Window {
			t.Errorf("the session has %v, the visitor %v", s.Terminal().Window(), v.Window)
		}
		got <- v
		return 0
	})
	c := d.visitor(t, "alice")
	for _, o := range []struct {
		term   string
		w, h   int
		want   string
		window bastion.Window
	}{
		{"xterm-256color", 132, 43, "xterm-256color", bastion.Window{Width: 132, Height: 43}},
		{"", 0, 0, "dumb", bastion.Window{Width: 80, Height: 24}},
		{"../../etc/passwd", 65535, 65535, "dumb", bastion.Window{Width: 1000, Height: 400}},
		{"x\x1b[2J", 1 << 31, 1<<32 - 1, "dumb", bastion.Window{Width: 1000, Height: 400}},
		{strings.Repeat("x", 200_000), 1, 1, "dumb", bastion.Window{Width: 1, Height: 1}},
	} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RequestPty(o.term, o.h, o.w, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(""); err != nil {
			t.Fatal(err)
		}
		if v := <-got; !v.PTY || v.Term != o.want || v.Window != o.window || !v.HasCommand {
			t.Errorf("%q: %+v", o.want, v)
		}
	}
}

// Pitfalls 18 and 51: a storm of resizes. The newest wins, nothing waits.
func TestResizeStorm(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.Requests = 1 << 30 })
	d.serves(untilEnd)
	c := d.visitor(t, "alice")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 1, 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if err := s.WindowChange(1+i%300, 1+i%900); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.WindowChange(33, 77); err != nil {
		t.Fatal(err)
	}
	until(t, "the last size", func() bool {
		r := d.recording(0)
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.sizes) > 0 && r.sizes[len(r.sizes)-1] == bastion.Window{Width: 77, Height: 33}
	})
	s.Close()
}

// Pitfall 18: floods of channels, variables and long names.
func TestFloods(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.Requests = 1 << 30 })
	got := make(chan sshd.Visitor, 1)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int { got <- v; <-s.Context().Done(); return 0 })
	c := d.visitor(t, "alice")
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	want := map[string]string{}
	for i := range 20_000 {
		name := "LC_" + strings.Repeat("A", i%40+1)
		if len(want) < 32 {
			want[name] = fmt.Sprint(i)
		} else if _, ok := want[name]; ok {
			want[name] = fmt.Sprint(i)
		}
		if _, err := ch.SendRequest("env", false, ssh.Marshal(struct{ N, V string }{name, fmt.Sprint(i)})); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if ok, err := ch.SendRequest("shell", true, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if v := <-got; !maps.Equal(v.Env, want) || v.HasCommand {
		t.Errorf("%d variables: %v", len(v.Env), v.Env)
	}
	opened, refused := 1, 0
	for range 200 {
		_, r, err := c.OpenChannel("session", nil)
		var no *ssh.OpenChannelError
		switch {
		case err == nil:
			opened++
			go ssh.DiscardRequests(r)
		case errors.As(err, &no) && no.Reason == ssh.ResourceShortage:
			refused++
		default:
			t.Fatal(err)
		}
	}
	if opened != 10 || refused != 191 {
		t.Errorf("%d opened, %d refused", opened, refused)
	}
}

// Pitfall 18: a client that opens channels without end and listens to no answer.
func TestChannelFlood(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.Requests, c.Limits.KeepAlive = 1, 300*time.Millisecond })
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	c := dialRaw(t, d.address)
	c.must(c.send(c.signed("a", key)))
	c.next(msgAuthSuccess)
	open := append([]byte{90}, text("direct-tcpip")...)
	open = append(open, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x80, 0)
	for range 2000 {
		c.must(c.send(open))
	}
	until(t, "the flood", func() bool { return d.Opening() > 64 })
	// What was read already may still come, one buffer of it.
	for range 1000 {
		if n := d.Opening(); n > 300 {
			t.Fatalf("%d channels wait for an answer", n)
		}
		runtime.Gosched()
	}
	// It is not read from, so it counts as silent, and that ends it.
	until(t, "the connection to end", func() bool { return d.Conns() == 0 && d.Opening() == 0 })
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := sshd.Pace(100)
		began := time.Now()
		for range 100 {
			wait(t.Context())
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("the first hundred waited %s", d)
		}
		for range 1000 {
			wait(t.Context())
		}
		if d := time.Since(began).Round(time.Millisecond); d != 10*time.Second {
			t.Errorf("the next thousand took %s", d)
		}
		time.Sleep(time.Hour)
		began = time.Now()
		for range 100 {
			wait(t.Context())
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("after a rest they waited %s", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		for range 100 {
			wait(ctx)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("after the end they waited %s", d)
		}
	})
}

func TestInterrupts(t *testing.T) {
	d := newDoor(t, nil)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		fmt.Fprint(s.Terminal(), "ready")
		select {
		case <-v.Interrupts:
			return 130
		case <-s.Context().Done():
			return 1
		}
	})
	c := d.visitor(t, "alice")
	for _, send := range []func(*ssh.Session) error{
		func(s *ssh.Session) error { return s.Signal(ssh.SIGINT) },
		func(s *ssh.Session) error { _, err := s.SendRequest("break", true, []byte{0, 0, 0, 0}); return err },
	} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("x"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		for _, other := range []ssh.Signal{ssh.SIGTERM, ssh.SIGHUP, "odd"} {
			if err := s.Signal(other); err != nil {
				t.Fatal(err)
			}
		}
		if err := send(s); err != nil {
			t.Fatal(err)
		}
		var exit *ssh.ExitError
		if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 130 {
			t.Errorf("ended with %v", err)
		}
	}
}

// Pitfall 19: what panics in one session ends that session alone, says so, and
// tells nothing of what it worked on.
func TestPanics(t *testing.T) {
	d := newDoor(t, nil)
	const data = "row of a customer"
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		switch v.Command {
		case "panic":
			panic(data)
		case "goroutine":
			d.Go(s, func() { panic(data) })
			<-s.Context().Done()
		case "wait":
			return echo(s, v)
		}
		return 0
	})
	d.start = func(_ context.Context, v sshd.Visitor) error {
		if v.Command == "start" {
			panic(data)
		}
		return nil
	}
	other, err := d.visitor(t, "rita").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	other.Stdout = &out
	if err := other.Start("wait"); err != nil {
		t.Fatal(err)
	}
	until(t, "the other session", func() bool { return d.starts.Load() == 1 })
	c := d.visitor(t, "alice")
	for _, command := range []string{"panic", "goroutine", "start"} {
		_, errs, code := run(t, c, command)
		if code != 1 || errs != "sallyport: "+sshd.ErrPanic.Error()+"\n" {
			t.Errorf("%s: code %d, %q", command, code, errs)
		}
	}
	if ends := d.recording(1).ends(); !slices.Equal(ends, []string{sshd.ErrPanic.Error()}) {
		t.Errorf("recorded %q", ends)
	}
	if !d.recording(1).sealed() {
		t.Error("the recording was left open")
	}
	if log := d.log.String(); strings.Contains(log, data) || !strings.Contains(log, "panic") {
		t.Errorf("log: %s", log)
	}
	if _, err := fmt.Fprint(in, "still here"); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := other.Wait(); err != nil || out.String() != "still here" {
		t.Errorf("the other session: %v, %q", err, out.String())
	}
}

// A fault in what tells who somebody is costs one connection.
func TestPanicInIdentities(t *testing.T) {
	d := newDoor(t, nil)
	d.people.signing(func(context.Context, bastion.Origin, func(bastion.SignInPrompt) error) (bastion.Identity, error) {
		panic("x")
	})
	if c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(newSigner(t)), (&prompts{}).method())); err == nil {
		c.Close()
		t.Error("let in")
	}
	// An identity that is nobody's is not let in either.
	d.people.signing(func(context.Context, bastion.Origin, func(bastion.SignInPrompt) error) (bastion.Identity, error) {
		return bastion.Identity{Name: "nobody"}, nil
	})
	if c, err := ssh.Dial("tcp", d.address, clientConfig("a", ssh.PublicKeys(newSigner(t)), (&prompts{}).method())); err == nil {
		c.Close()
		t.Error("let nobody in")
	}
	if out, _, _ := run(t, d.visitor(t, "alice"), "x"); out != "hello alice" {
		t.Errorf("got %q", out)
	}
}

func TestCausesAreSaid(t *testing.T) {
	d := newDoor(t, nil)
	d.start = func(_ context.Context, v sshd.Visitor) error {
		switch v.Command {
		case "denied":
			return &bastion.DeniedError{Rule: "r", Reason: "no role"}
		case "broken":
			return errors.New("the recording cannot begin\x1b[2J")
		}
		return nil
	}
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		switch v.Command {
		case "fail":
			s.Fail(errors.New("first\nsecond"))
		case "ended":
			s.Fail(bastion.ErrEnded)
		case "recorder":
			d.mu.Lock()
			r := d.recorders[len(d.recorders)-1]
			d.mu.Unlock()
			r.breakNow(errors.New("disk full"))
			if _, err := fmt.Fprint(s.Terminal(), "never seen"); err == nil {
				return 99
			}
		case "close":
			d.mu.Lock()
			r := d.recorders[len(d.recorders)-1]
			d.mu.Unlock()
			r.breakNow(errors.New("disk full"))
		case "odd":
			return -1
		}
		return 0
	})
	c := d.visitor(t, "alice")
	for command, want := range map[string]struct {
		said string
		code int
	}{
		"denied":   {"sallyport: refused by rule r: no role\n", 3},
		"broken":   {"sallyport: the recording cannot begin<U+001B>[2J\n", 1},
		"fail":     {"sallyport: first\nsecond\n", 1},
		"ended":    {"", 0},
		"odd":      {"", 1},
		"recorder": {"sallyport: " + bastion.ErrRecorder.Error() + "\n", 1},
		"close":    {"sallyport: this session did not close well: ", 1},
	} {
		out, errs, code := run(t, c, command)
		ok := errs == want.said || command == "close" && strings.HasPrefix(errs, want.said)
		if out != "" || !ok || code != want.code {
			t.Errorf("%s: %q, %q, code %d", command, out, errs, code)
		}
	}
	// On a terminal, lines end as terminals want it.
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	s.Stderr = &errs
	var exit *ssh.ExitError
	if err := s.Run("fail"); !errors.As(err, &exit) || errs.String() != "sallyport: first\r\nsecond\r\n" {
		t.Errorf("%v, %q", err, errs.String())
	}
}

// Pitfall 20: clients that come, go and vanish leave nothing behind.
func TestNothingIsLeft(t *testing.T) {
	d := newDoor(t, nil)
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		if v.Command == "wait" {
			return echo(s, v)
		}
		return 0
	})
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
		run(t, c, "x")
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("wait"); err != nil {
			t.Fatal(err)
		}
		nc.Close() // no goodbye
	}
	cycle()
	until(t, "quiet", func() bool { return d.Conns() == 0 && d.Visits() == 0 })
	before := runtime.NumGoroutine()
	for range 300 {
		cycle()
	}
	until(t, "all to be gone", func() bool { return d.Conns() == 0 && d.Visits() == 0 && runtime.NumGoroutine() <= before })
}

// A session whose client closed the channel, or lost interest in the output, ends.
func TestClientLeaves(t *testing.T) {
	d := newDoor(t, nil)
	ended := make(chan error, 1)
	d.serves(func(s *bastion.Session, _ sshd.Visitor) int {
		<-s.Context().Done()
		ended <- context.Cause(s.Context())
		return 0
	})
	c := d.visitor(t, "alice")
	for _, leave := range []func(ssh.Channel) error{
		func(ch ssh.Channel) error { return ch.Close() },
		func(ch ssh.Channel) error { _, err := ch.SendRequest("eow@openssh.com", false, nil); return err },
		func(ssh.Channel) error { return c.Close() },
	} {
		ch, reqs, err := c.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		go ssh.DiscardRequests(reqs)
		if ok, err := ch.SendRequest("shell", true, nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := leave(ch); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, bastion.ErrEnded) {
			t.Errorf("ended with %v", err)
		}
	}
	until(t, "all to be gone", func() bool { return d.Conns() == 0 && d.Visits() == 0 })
	for i := range 3 {
		if ends := d.recording(i).ends(); !slices.Equal(ends, []string{""}) {
			t.Errorf("recorded %q", ends)
		}
	}
}

// A client that takes no more output cannot keep a session that has ended.
func TestStalledClient(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.Grace = 20 * time.Millisecond })
	began, fail := make(chan *bastion.Session, 1), errors.New("policy changed")
	d.serves(func(s *bastion.Session, _ sshd.Visitor) int {
		began <- s
		for {
			if _, err := s.Terminal().Write(make([]byte, 32<<10)); err != nil {
				return 0
			}
		}
	})
	c := dialRaw(t, d.address)
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	c.must(c.send(c.signed("a", key)))
	c.next(msgAuthSuccess)
	// A channel with room for one byte, and nobody who answers anything.
	open := append([]byte{90}, text("session")...)
	open = append(open, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x80, 0)
	c.must(c.send(open))
	c.next(91)
	c.must(c.send(append(append([]byte{98, 0, 0, 0, 0}, text("shell")...), 0)))
	(<-began).Fail(fail)
	until(t, "the connection to end", func() bool { return d.Conns() == 0 && d.Visits() == 0 })
	if ends := d.recording(0).ends(); !slices.Equal(ends, []string{fail.Error()}) {
		t.Errorf("recorded %q", ends)
	}
}

// A client that is there is asked now and then, and answers.
func TestKeepAlive(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.KeepAlive, c.Limits.Misses = 60*time.Millisecond, 1<<20 })
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	nc, err := net.Dial("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	sc, chans, reqs, err := ssh.NewClientConn(nc, d.address, clientConfig("a", ssh.PublicKeys(key)))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	answered := make(chan *ssh.Request)
	go func() {
		defer close(answered)
		for r := range reqs {
			asked <- r.Type
			answered <- r
		}
	}()
	c := ssh.NewClient(sc, chans, answered)
	defer c.Close()
	for range 5 {
		if kind := <-asked; kind != "keepalive@openssh.com" {
			t.Errorf("asked for %q", kind)
		}
	}
	if out, _, _ := run(t, c, "x"); out != "hello alice" {
		t.Errorf("got %q", out)
	}
}

// One that does not answer is gone.
func TestKeepAliveUnanswered(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.KeepAlive = 60 * time.Millisecond })
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	dead := dialRaw(t, d.address)
	dead.must(dead.send(dead.signed("a", key)))
	dead.next(msgAuthSuccess)
	dead.closed()
	until(t, "the connection to end", func() bool { return d.Conns() == 0 })
}

func TestIdleAndLongest(t *testing.T) {
	for name, set := range map[string]func(*sshd.Limits){
		"nothing happened here for too long": func(l *sshd.Limits) { l.Idle = 50 * time.Millisecond },
		"has lasted as long as one may":      func(l *sshd.Limits) { l.Longest = 50 * time.Millisecond },
	} {
		d := newDoor(t, func(_ *door, c *sshd.Config) {
			set(&c.Limits)
			c.Limits.KeepAlive = 60 * time.Millisecond
			c.Limits.Misses = 1000
		})
		d.serves(untilEnd)
		if _, errs, code := run(t, d.visitor(t, "alice"), "x"); code != 1 || !strings.Contains(errs, name) {
			t.Errorf("code %d, %q", code, errs)
		}
	}
}

// Stopping: a session that ends by itself in time may.
func TestDrain(t *testing.T) {
	d := newDoor(t, func(_ *door, c *sshd.Config) { c.Limits.Drain = time.Hour })
	finish := make(chan struct{})
	d.serves(func(s *bastion.Session, v sshd.Visitor) int {
		<-finish
		fmt.Fprint(s.Terminal(), "done")
		return 7
	})
	idle, c := d.visitor(t, "idle"), d.visitor(t, "alice")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if out, errs, code := run(t, c, "x"); out != "done" || errs != "" || code != 7 {
			t.Errorf("%q, %q, code %d", out, errs, code)
		}
		c.Close()
	}()
	until(t, "the session", func() bool { return d.starts.Load() == 1 })
	d.stop()
	if err := idle.Wait(); err == nil {
		t.Error("an idle connection ended without an error")
	}
	if c, err := net.Dial("tcp", d.address); err == nil {
		c.Close()
		t.Error("still listening")
	}
	if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "the bastion is stopping") {
		t.Errorf("a new session: %v", err)
	}
	close(finish)
	<-ended
	if err := <-d.served; err != nil {
		t.Error(err)
	}
	d.served <- nil
}

// Stopping: whoever stays hears why it ends.
func TestDrainEnds(t *testing.T) {
	d := newDoor(t, nil)
	d.serves(untilEnd)
	c := d.visitor(t, "alice")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, errs, code := run(t, c, "x"); code != 1 || errs != "sallyport: the bastion is stopping; connect again in a moment\n" {
			t.Errorf("%q, code %d", errs, code)
		}
		c.Close()
	}()
	until(t, "the session", func() bool { return d.Visits() == 1 && d.starts.Load() == 1 })
	d.stop()
	<-ended
	if err := <-d.served; err != nil {
		t.Error(err)
	}
	d.served <- nil
	if ends := d.recording(0).ends(); !slices.Equal(ends, []string{"the bastion is stopping; connect again in a moment"}) {
		t.Errorf("recorded %q", ends)
	}
}

// sick is a listener that fails now and then, as with no descriptors left.
type sick struct {
	net.Listener
	mu    sync.Mutex
	fails int
}

func (s *sick) Accept() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return nil, errors.New("too many open files")
	}
	return s.Listener.Accept()
}

func TestAcceptErrorsPass(t *testing.T) {
	d := newDoor(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	server := d.another(t)
	go func() { served <- server.Serve(ctx, &sick{Listener: l, fails: 5}) }()
	key := newSigner(t)
	d.people.know(key.PublicKey(), "alice")
	c, err := ssh.Dial("tcp", l.Addr().String(), clientConfig("a", ssh.PublicKeys(key)))
	if err != nil {
		t.Fatal(err)
	}
	if out, _, _ := run(t, c, "x"); out != "hello alice" {
		t.Errorf("got %q", out)
	}
	c.Close()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	// A listener that is closed under the server is an error, not a loop.
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := d.another(t).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := sshd.New(sshd.Config{}); err == nil {
		t.Error("made of nothing")
	}
}

// FuzzRequests: whatever a client sends, what comes out is small and harmless.
func FuzzRequests(f *testing.F) {
	kinds := []string{"pty-req", "window-change", "env", "exec"}
	for i := range kinds {
		f.Add(i, []byte{})
		f.Add(i, []byte{0, 0, 0, 4, 'L', 'A', 'N', 'G', 0, 0, 0, 1, 'C'})
		f.Add(i, []byte{255, 255, 255, 255})
		f.Add(i, ssh.Marshal(struct {
			T          string
			W, H, X, Y uint32
			M          string
		}{"xterm", 1 << 31, 0, 1, 1, "\x00"}))
	}
	f.Fuzz(func(t *testing.T, kind int, payload []byte) {
		k := kinds[uint(kind)%uint(len(kinds))]
		got, w, ok := sshd.ParseRequest(k, payload)
		if !ok {
			return
		}
		if (k == "pty-req" || k == "window-change") && (w.Width < 1 || w.Width > 1000 || w.Height < 1 || w.Height > 400) {
			t.Fatalf("size %+v", w)
		}
		for _, s := range got {
			if k != "exec" && (len(s) > 256 || bastion.VisibleLine(s) != s) {
				t.Fatalf("%s lets %q through", k, s)
			}
			if len(s) > len(payload) && s != "dumb" {
				t.Fatalf("%q is longer than what came", s)
			}
		}
	})
}
