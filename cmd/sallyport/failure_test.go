package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/testdata/policies"
)

// Where the recording cannot be written, the session ends with a sentence, and
// nothing more reaches the target.
func TestRecorderGone(t *testing.T) {
	c := opens(t)
	c.known(t, "alice")
	alice := c.sits(t, "alice", 100, 30)
	alice.sees(`shop-staging`)
	alice.types("\r")
	alice.sees(`shop-staging=> *\n`)
	if err := c.server.db.Close(); err != nil { // the store is gone, as a disk may be
		t.Fatal(err)
	}
	alice.types("select 'unrecorded';\r")
	if code := alice.leaves(); code == 0 {
		t.Error("the session ended as if all were well")
	}
	if !strings.Contains(alice.shown(), "recording cannot be written") {
		t.Errorf("alice is not told why:\n%s", alice.shown())
	}
	if c.asked("unrecorded") > 0 {
		t.Error("the statement reached the database")
	}
	if r := c.runs(t, "alice", "sql shop-staging 'select 1'"); r.code == 0 {
		t.Errorf("a new session starts without a recorder: %s", r)
	}
}

// Somebody who leaves while they wait leaves the request open, and nothing runs
// until they are back.
func TestClientGoneWhileWaiting(t *testing.T) {
	c := opens(t)
	c.known(t, "alice", "rita")
	update := "update customers set city = 'Gera' where id = 11"
	alice := c.sits(t, "alice", 100, 30, `sql --reason 'moving' shop-production `+update)
	number := alice.sees(`request (\d+) needs`)[1]
	if err := alice.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	alice.leaves()
	if r := c.runs(t, "rita", "approve "+number); r.code != 0 {
		t.Fatalf("rita approves: %s", r)
	}
	if c.asked(update) > 1 { // once, by EXPLAIN
		t.Error("it ran without alice")
	}
	if r := c.runs(t, "alice", "sql shop-production "+update); r.code != 0 || !strings.Contains(r.err, "UPDATE 1") {
		t.Errorf("alice is back: %s", r)
	}
}

// A password in a statement is in nothing that is kept of it: not in the events,
// the list of recordings, the account of one, or its cast.
func TestSecretsAreNotKept(t *testing.T) {
	c := opens(t)
	c.known(t, "alice", "axel")
	for _, statement := range []string{"alter role shop_app password 'canary77'", "alter roel shop_app password 'canary77'"} {
		if r := c.runs(t, "alice", "sql shop-staging "+statement); r.code == 0 {
			t.Fatalf("%s ran: %s", statement, r)
		}
	}
	list := c.runs(t, "axel", "recordings --json --person alice")
	kept := list.out + c.runs(t, "axel", "events --json").out
	for _, m := range regexp.MustCompile(`"id":"([a-z0-9]{12})"`).FindAllStringSubmatch(list.out, -1) {
		kept += c.runs(t, "axel", "text "+m[1]).out + c.runs(t, "axel", "cast "+m[1]).out
	}
	if strings.Contains(kept, "canary77") {
		t.Errorf("a password was kept:\n%s", kept)
	}
	if !strings.Contains(kept, "shop_app") || !strings.Contains(list.out, `"command":"sql"`) {
		t.Fatalf("what was kept does not speak of the statements at all:\n%s", kept)
	}
}

// The policy file changes nothing while the bastion runs, sound or broken; a policy
// that others approved does at once.
func TestReload(t *testing.T) {
	c := governed(t)
	c.known(t, "alice", "rita", "ben")
	stricter := strings.Replace(governedPolicy(), "fresh: 8h", "fresh: 1ns", 1)
	read := "sql --csv shop-production select 1 as one"
	for _, text := range []string{stricter, "version: 1\nroels: {}\n", ""} {
		if err := os.WriteFile(filepath.Join(c.Dir, "policy.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.server.reload()
		if r := c.runs(t, "alice", read); r.code != 0 || r.out != "one\n1\n" {
			t.Errorf("after the file was changed: %s", r)
		}
	}

	propose := c.ssh("alice", "policy propose --reason 'fresh sign-ins' --wait 100ms")
	number := requestNumber(t, execute(t, stricter, propose...))
	for _, who := range []string{"rita", "ben"} {
		if r := c.runs(t, who, "approve "+number); r.code != 0 {
			t.Errorf("%s approves: %s", who, r)
		}
	}
	if r := execute(t, stricter, propose...); r.code != 0 {
		t.Errorf("an approved policy: %s", r)
	}
	if r := c.runs(t, "alice", read); r.code != 3 || !strings.Contains(r.err, "ssh bastion login") {
		t.Errorf("an old sign-in: %s", r)
	}

	p := c.sits(t, "alice", 100, 30, "login")
	c.signsIn(t, p)
	p.sees(`signed in as alice`)
	if code := p.leaves(); code != 0 {
		t.Errorf("login: %d", code)
	}
}

// A demo that is stopped leaves nothing: no process, no directory.
func TestDemoLeavesNothing(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &stopper{stop: stop, at: "Ctrl-C stops everything"}
	var errs bytes.Buffer
	if code := run(ctx, []string{"demo", "--listen", "127.0.0.1:0", "--provider", "127.0.0.1:0"}, nil, out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	m := regexp.MustCompile(`state: (\S+)\. Ctrl-C`).FindStringSubmatch(out.said.String())
	if m == nil {
		t.Fatalf("the demo does not say where it lives:\n%s", out.said.String())
	}
	if _, err := os.Stat(m[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there", m[1])
	}
	cmdlines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range cmdlines {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(m[1])) {
			t.Errorf("still running: %q", b)
		}
	}
}

// stopper stops the demo once it has said that it is ready.
type stopper struct {
	said bytes.Buffer
	stop func()
	at   string
}

func (s *stopper) Write(p []byte) (int, error) {
	n, err := s.said.Write(p)
	if strings.Contains(s.said.String(), s.at) {
		s.stop()
	}
	return n, err
}

func TestDemoOnABusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var errs bytes.Buffer
	code := run(t.Context(), []string{"demo", "--listen", l.Addr().String()}, nil, &errs, &errs)
	if code != 1 || !strings.Contains(errs.String(), "--listen") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestCommandLine(t *testing.T) {
	c := opens(t)
	c.known(t, "alice")
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, 0, `sallyport demo`},
		{[]string{"help"}, 0, `sallyport serve`},
		{[]string{"version"}, 0, `^sallyport`},
		{[]string{"srve"}, 2, `there is no command "srve"`},
		{[]string{"serve", "--confg", "x"}, 2, `confg`},
		{[]string{"serve", "--config", "/nowhere.yaml"}, 1, `/nowhere\.yaml`},
		{[]string{"check", "--config", c.Config}, 0, `sound; 2 targets`},
		{[]string{"check", "--config", c.Config, "--explain", "alice@shop-production", "UPDATE customers SET city = 'x' WHERE id = 7"}, 0, `(?s)ask.*production/write.*1 approval by a reviewer`},
		{[]string{"check", "--config", c.Config, "--explain", "alice@shop-production", "DELETE FROM payments"}, 0, `(?s)deny.*production/no-unbounded-writes`},
		{[]string{"check", "--config", c.Config, "--explain", "ci-bot@shop-staging", "select email from customers"}, 0, `(?s)allow.*email`},
		{[]string{"check", "--config", c.Config, "--explain", "alcie@shop-production", "select 1"}, 1, `alice`},
		{[]string{"check", "--config", c.Config, "--explain", "mallory@shop-production", "--groups", "strangers", "select 1"}, 0, `deny`},
		{[]string{"check", "--config", c.Config, "--explain", "alice@shop-prodction", "select 1"}, 1, `shop-production`},
		{[]string{"check", "--config", c.Config, "--explain", "alice", "select 1"}, 2, `WHO@TARGET`},
		{[]string{"check", "--config", c.Config, "--explain", "alice@shop-production", "selec 1"}, 1, `syntax error`},
	} {
		var out bytes.Buffer
		code := run(t.Context(), step.args, nil, &out, &out)
		if code != step.code || !regexp.MustCompile(step.says).MatchString(out.String()) {
			t.Errorf("sallyport %q: want exit %d and %q, got %d and:\n%s", step.args, step.code, step.says, code, out.String())
		}
	}
	broken := filepath.Join(t.TempDir(), "config.yaml")
	text, err := os.ReadFile(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, bytes.Replace(text, []byte("binding:"), []byte("bindnig:"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"check", "--config", broken}, nil, &out, &out); code != 1 || !regexp.MustCompile(`config\.yaml:\d+:\d+: .*bindnig.*binding`).MatchString(out.String()) {
		t.Errorf("a misspelt field: exit %d, %s", code, out.String())
	}
}

// A policy that cannot be read keeps the bastion from starting, and says where it is
// wrong.
func TestNoStartWithABrokenPolicy(t *testing.T) {
	dir := policyDir(t, strings.Replace(string(policies.Demo), "duties: [approve]", "duties: [aprove]", 1))
	w, err := demo.Start(t.Context(), demo.Options{Dir: dir, Listen: "127.0.0.1:0", Provider: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := open(w.Config, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if s != nil || err == nil || !strings.Contains(err.Error(), "policy.yaml:9:") || !strings.Contains(err.Error(), `"approve"`) {
		t.Errorf("it starts, or says %v", err)
	}
}

// Whoever takes the log away, or a part of it, while the bastion is down does not get
// another one that begins with the policy file: it says what is gone, and does not start.
func TestStoreTakenAway(t *testing.T) {
	c := opens(t)
	c.known(t, "alice")
	if err := c.server.Close(); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(c.Dir, "state")
	whole, err := os.ReadFile(filepath.Join(state, "sallyport.db"))
	if err != nil {
		t.Fatal(err)
	}
	for name, left := range map[string]struct {
		bytes []byte
		says  string
	}{
		"taken away": {nil, "is gone or empty, and with it the log"},
		"emptied":    {[]byte{}, "is gone or empty, and with it the log"},
		"cut short":  {whole[:len(whole)/8], "damaged|cut short"},
	} {
		if err := os.Remove(filepath.Join(state, "sallyport.db")); err != nil {
			t.Fatal(err)
		}
		if left.bytes != nil {
			if err := os.WriteFile(filepath.Join(state, "sallyport.db"), left.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := open(c.Config, slog.New(slog.NewTextHandler(testLog{t}, nil)))
		if err == nil {
			t.Errorf("%s: it starts", name)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		} else if !regexp.MustCompile(left.says).MatchString(err.Error()) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(state, "sallyport.db"), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
