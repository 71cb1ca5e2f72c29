package command

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

var update = flag.Bool("update", false, "write the golden files anew")

// ---- a session of one person, with targets and nothing else

type (
	configPolicy   struct{ bastion.Policy }
	configPeople   struct{}
	configRecorder struct{ bastion.Recorder }
	configVotes    struct{ bastion.Approvals }
	configSecrets  struct{ bastion.Secrets }
	configArchive  struct{ bastion.Archive }
	configChannel  struct{ out, errs bytes.Buffer }
)

func (configPolicy) Access(_ bastion.Identity, t bastion.Target) bastion.Access {
	switch t.Labels["env"] {
	case "staging":
		return bastion.Access{Connect: bastion.Allow}
	case "production":
		return bastion.Access{Connect: bastion.Ask}
	}
	return bastion.Access{}
}

func (configPeople) Current(_ context.Context, who bastion.Identity) (bastion.Identity, error) {
	return who, nil
}

func (configRecorder) Event(bastion.Event) error { return nil }
func (configRecorder) Output([]byte) error       { return nil }
func (configRecorder) Close() error              { return nil }

func (*configChannel) Read([]byte) (int, error)      { return 0, io.EOF }
func (c *configChannel) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *configChannel) Stderr() io.ReadWriter       { return &c.errs }
func (*configChannel) CloseWrite() error             { return nil }

// runConfig runs one command line as alice, or as whoever name says.
func runConfig(t *testing.T, name, line string, targets bastion.Targets) (out, errs string, code int) {
	t.Helper()
	return runAt(t, name, line, targets, Options{})
}

func runAt(t *testing.T, name, line string, targets bastion.Targets, o Options) (out, errs string, code int) {
	t.Helper()
	ch := &configChannel{}
	s, err := bastion.NewSession(t.Context(), bastion.Config{ID: "s", Identity: bastion.Identity{Issuer: "i", Subject: "s", Kind: bastion.Person, Name: name},
		Channel: ch, Targets: targets, Policy: configPolicy{}, Approvals: configVotes{}, Identities: configPeople{}, Secrets: configSecrets{},
		Recorder: configRecorder{}, Archive: configArchive{}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	code = Run(s, line, o)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ch.out.String(), ch.errs.String(), code
}

func configTarget(name, kind, env, database, about string) bastion.Target {
	return bastion.Target{Name: name, Kind: kind, Address: "10.9.8.7:6543", Labels: map[string]string{"env": env}, Options: map[string]string{"database": database, "ca": "/etc/ca.pem"}, Description: about}
}

var configTargets = bastion.Targets{
	configTarget("shop-staging", "postgres", "staging", "shop", "the shop, with yesterday's data"),
	configTarget("secret", "postgres", "hidden", "secret", "not for alice"),
	configTarget("router", "ssh", "staging", "", "not a database"),
	configTarget("shop-production", "postgres", "production", "shop it's", strings.Repeat("ö", 300)),
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}

func TestConfig(t *testing.T) {
	for name, line := range map[string]string{
		"config-psql":         "config psql",
		"config-psql-flags":   "config psql --port 6000 --host sallyport.example.com --ssh-port 2222",
		"config-psql-json":    "config --json psql --ssh-port 2222",
		"config-ssh":          "config ssh",
		"config-ssh-flags":    "config --host=fe80::1%eth0 ssh --ssh-port=2222 --port=20000",
		"config-no-such-kind": "config jdbc",
		"config-no-kind":      "config",
		"config-port":         "config psql --port 65535",
		"config-host":         "config psql --host -oProxyCommand=x",
		"config-word":         "config psql shop-staging",
	} {
		out, errs, code := runConfig(t, "alice", line, configTargets)
		golden(t, name+".golden", "$ "+line+"\n"+out+"--- words\n"+errs+"--- code "+strconv.Itoa(code)+"\n")
		for _, hidden := range []string{"secret", "router", "10.9.8.7", "6543", "ca.pem"} {
			if strings.Contains(out+errs, hidden) {
				t.Errorf("%s tells of %s", line, hidden)
			}
		}
	}
	if out, errs, code := runConfig(t, "alice", "config psql", nil); out != "" || code != OK || errs != "your roles give no PostgreSQL targets\n" {
		t.Errorf("%q, %q, code %d", out, errs, code)
	}
}

// What people type after ssh is printed where it is known; where it is not, what stands
// for it is named.
func TestConfigAddress(t *testing.T) {
	for _, c := range []struct{ address, line, says string }{
		{"", "config psql", `"bastion" stands for what you type`},
		{"", "config ssh", `"bastion" stands for what you type`},
		{"ssh.example.com:2222", "config psql", "ssh -N -p 2222 \\\n"},
		{"ssh.example.com:2222", "config psql", "#     ssh.example.com\n"},
		{"ssh.example.com:2222", "config ssh", "    HostName ssh.example.com\n    Port 2222\n"},
		{"ssh.example.com", "config ssh --ssh-port 24", "    HostName ssh.example.com\n    Port 24\n"},
		{"[2001:db8::1]:22", "config psql", "#     2001:db8::1\n"},
		{"2001:db8::1", "config psql", "#     2001:db8::1\n"},
		{"ssh.example.com:2222", "config psql --host jump", "#     jump\n"},
	} {
		out, errs, code := runAt(t, "alice", c.line, configTargets, Options{Address: c.address})
		if code != OK || !strings.Contains(out, c.says) || strings.Contains(out+errs, "stands for") != (c.address == "") {
			t.Errorf("%s at %q: code %d\n%s%s", c.line, c.address, code, out, errs)
		}
	}
}

// Names come from elsewhere, and must not become lines of somebody's files.
func TestConfigHostileNames(t *testing.T) {
	for _, line := range []string{"config psql", "config ssh", "config psql --json"} {
		out, _, code := runConfig(t, "al\nhost=evil\r\x1b[2J", line, bastion.Targets{configTarget("shop", "postgres", "staging", "x\nProxyCommand evil", "a\nhost=evil")})
		if code != OK {
			t.Fatal(code)
		}
		for l := range strings.Lines(out) {
			if l = strings.TrimSpace(l); strings.HasPrefix(l, "host=evil") || strings.HasPrefix(l, "ProxyCommand") || strings.ContainsAny(l, "\x1b\r") {
				t.Errorf("%s: %q", line, l)
			}
		}
	}
}

// What is printed is what psql reads: it comes to the port, and asks for the
// person and the database.
func TestConfigWithPsql(t *testing.T) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return // the test has failed
		}
		defer c.Close()
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head); err != nil {
			got <- err.Error()
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(head)-8)
		if _, err := io.ReadFull(c, b); err != nil {
			got <- err.Error()
			return
		}
		got <- strconv.Itoa(int(binary.BigEndian.Uint32(head[4:])>>16)) + " " + string(b)
	}()
	port := l.Addr().(*net.TCPAddr).Port
	out, _, code := runConfig(t, "Álice O'Neill", "config psql --port "+strconv.Itoa(port-1), configTargets)
	if code != OK {
		t.Fatal(code)
	}
	file := filepath.Join(t.TempDir(), "pg_service.conf")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	psql := exec.CommandContext(t.Context(), "psql", "-X", "-w", "service=shop-production", "-c", "select 1")
	psql.Env = append(os.Environ(), "PGSERVICEFILE="+file)
	if out, err := psql.CombinedOutput(); err == nil || !strings.Contains(string(out), "server closed the connection") {
		t.Errorf("psql: %v: %s", err, out)
	}
	if want := "3 user\x00Álice O'Neill\x00database\x00shop it's\x00"; !strings.HasPrefix(<-got, want) {
		t.Errorf("psql did not ask for %q", want)
	}
	for l := range strings.Lines(out) {
		if len(l) > 255 {
			t.Errorf("a line of %d bytes: %s", len(l), l)
		}
	}

	// And the connection string in the block for ssh_config.
	out, _, _ = runConfig(t, "alice o'neill", "config ssh --port "+strconv.Itoa(port), configTargets)
	_, rest, _ := strings.Cut(out, `# psql "`)
	info, _, _ := strings.Cut(rest, "\"\n")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return // the test has failed
		}
		defer c.Close()
		b := make([]byte, 512)
		n, err := c.Read(b)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- string(b[8:n])
	}()
	if out, err := exec.CommandContext(t.Context(), "psql", "-X", "-w", info, "-c", "select 1").CombinedOutput(); err == nil || !strings.Contains(string(out), "server closed the connection") {
		t.Errorf("psql: %v: %s", err, out)
	}
	if g := <-got; !strings.HasPrefix(g, "user\x00alice o'neill\x00database\x00shop\x00") {
		t.Errorf("psql asked for %q", g)
	}
}

// The block for ssh_config means to ssh what it should.
func TestConfigWithSSH(t *testing.T) {
	out, _, code := runConfig(t, "alice", "config ssh --host sallyport.example.com --ssh-port 2222 --port 6000", configTargets)
	if code != OK {
		t.Fatal(code)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := exec.CommandContext(t.Context(), "ssh", "-G", "-F", file, "sallyport.example.com-targets").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, read)
	}
	for _, want := range []string{"hostname sallyport.example.com", "port 2222", "localforward 6000 [shop-staging]:5432", "localforward 6001 [shop-production]:5432",
		"exitonforwardfailure yes", "serveraliveinterval 30"} {
		if !strings.Contains(string(read), want+"\n") {
			t.Errorf("no %q in:\n%s", want, read)
		}
	}
}

// Each line of --json is enough for one target.
func TestConfigJSON(t *testing.T) {
	out, _, _ := runConfig(t, "alice", "config psql --json", configTargets)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	var l local
	if err := json.Unmarshal([]byte(lines[1]), &l); err != nil {
		t.Fatal(err)
	}
	if l.Service != "shop-production" || l.Port != 15433 || l.SSH != "ssh -N -L 15433:shop-production:5432 bastion" || l.Connect != "needs approval" {
		t.Errorf("%+v", l)
	}
}

func (configPolicy) Terms(bastion.Identity, bastion.Target) []bastion.Terms { return nil }
func (configPolicy) Conflict(bastion.Identity) error                        { return nil }

func (configVotes) Grants(context.Context, bastion.Identity) ([]bastion.Grant, error) {
	return nil, nil
}
