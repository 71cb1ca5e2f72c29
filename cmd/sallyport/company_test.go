package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/bastion/demo/idp"
)

// testCompany is a demo with its bastion, serving, and people who can sit down.
type testCompany struct {
	*company
	log *logBuffer // what the database was asked
}

// logBuffer collects what a server logs.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// opens starts a company for one test.
func opens(t *testing.T, change ...func(*demo.Options)) *testCompany {
	t.Helper()
	log := &logBuffer{}
	o := demo.Options{Listen: "127.0.0.1:0", Provider: "127.0.0.1:0", Log: log,
		Settings: map[string]string{"log_statement": "all"}}
	for _, f := range change {
		f(&o)
	}
	c, err := found(t.Context(), o, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return &testCompany{c, log}
}

// testLog sends the bastion's log to the test's.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("bastion: %s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// ssh is the client's command line for one of the demo's people.
func (c *testCompany) ssh(name string, args ...string) []string {
	return append([]string{"ssh", "-F", c.company.ssh, name}, args...)
}

// sits lets somebody sit down at a terminal and ssh to the bastion.
func (c *testCompany) sits(t *testing.T, name string, width, height int, args ...string) *person {
	t.Helper()
	return sit(t, name, width, height, []string{"TERM=xterm-256color"}, c.ssh(name, args...)...)
}

// runs runs a command through ssh, without a terminal.
func (c *testCompany) runs(t *testing.T, name, line string) result {
	t.Helper()
	return execute(t, "", c.ssh(name, line)...)
}

// signsIn has somebody sign in at the provider, as the client that shows the
// page asks them to.
func (c *testCompany) signsIn(t *testing.T, p *person) {
	t.Helper()
	page := p.sees(`(https?://\S+user_code=[A-Z0-9-]+)`)[1]
	if err := idp.SignIn(t.Context(), page, "", p.name, p.name, true); err != nil {
		t.Fatal(err)
	}
}

// known has somebody sign in once, so that the key alone is enough from now on.
func (c *testCompany) known(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		c.signsInAt(t, name, name, "whoami")
	}
}

// asked reports how often the database was sent a statement with the text in it.
func (c *testCompany) asked(text string) int { return strings.Count(c.log.String(), text) }

// keys makes more hosts for the ssh client, each with a key of its own.
func (c *testCompany) keys(t *testing.T, hosts ...string) {
	t.Helper()
	config, err := os.ReadFile(c.company.ssh)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		key := filepath.Join(t.TempDir(), host)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		config = fmt.Appendf(nil, "Host %s\n\tUser %s\n\tIdentityFile %s\n%s", host, host, key, config)
	}
	if err := os.WriteFile(c.company.ssh, config, 0o644); err != nil {
		t.Fatal(err)
	}
}

// signsInAt has somebody sign in, also anew, with the key of a host.
func (c *testCompany) signsInAt(t *testing.T, host, name, verb string) {
	t.Helper()
	p := c.sits(t, host, 100, 30, verb)
	p.name = name
	c.signsIn(t, p)
	if code := p.leaves(); code != 0 {
		t.Fatalf("%s signs in: exit %d\n%s", name, code, p.shown())
	}
}

// query asks the production database directly.
func (c *testCompany) query(t *testing.T, sql string) string {
	t.Helper()
	rows, err := c.Database.Query(t.Context(), "shop_production", sql)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(rows)
}
