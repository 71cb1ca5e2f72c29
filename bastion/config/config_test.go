package config_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/vault"
)

var update = flag.Bool("update", false, "write golden files")

const (
	configs  = "../../testdata/config/"
	policies = "../../testdata/policies/"
)

// secret is what the files of mistakes hold where no secret belongs.
const secret = "hunter2"

func TestExample(t *testing.T) {
	c, problems := config.Load(configs + "example.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	d := config.Defaults()
	if c.Limits != d.Limits || c.Recordings != d.Recordings || c.Binding != d.Binding || c.Name != d.Name || c.Listen != d.Listen {
		t.Errorf("the example says other defaults: %+v and %+v", c.Limits, d.Limits)
	}
	if diff := cmp.Diff(d.Provider.Scopes, c.Provider.Scopes); diff != "" || c.Provider.GroupsClaim != d.Provider.GroupsClaim {
		t.Errorf("the example says other scopes or another claim:\n%s", diff)
	}
	if want := filepath.Join(configs, "state"); c.State != want {
		t.Errorf("state is %q, want %q", c.State, want)
	}
	if c.Runbooks != "../../testdata/tasks" {
		t.Errorf("runbooks are in %q", c.Runbooks)
	}
	if want := policies + "demo.yaml"; c.Policy != want {
		t.Errorf("policy is %q, want %q", c.Policy, want)
	}
	want := bastion.Target{Name: "shop-production", Kind: "postgres", Address: "db.shop.example:5432", Description: "The shop that customers see",
		Labels: map[string]string{"app": "shop", "env": "production"}, Options: map[string]string{"database": "shop"}}
	if got, ok := c.BastionTargets().Named("shop-production"); !ok || !cmp.Equal(want, got) {
		t.Errorf("got %+v", got)
	}
	credentials := map[string]vault.Credential{
		"shop-staging":    {User: "sallyport", Password: vault.Source{File: filepath.Join(configs, "staging.password")}},
		"shop-production": {User: "sallyport", Password: vault.Source{Command: []string{"/usr/bin/pass", "show", "shop/production"}}},
	}
	if diff := cmp.Diff(credentials, c.Credentials()); diff != "" {
		t.Error(diff)
	}
	hears := config.Notify{Address: "bastion.shop.example", Channels: []notify.Channel{
		{Name: "chat", Slack: &notify.Slack{URL: vault.Source{Env: "SALLYPORT_SLACK_URL"}}},
		{Name: "operations", Kinds: []notify.Kind{notify.Request, notify.Emergency, notify.Review}, Teams: &notify.Teams{URL: vault.Source{File: filepath.Join(configs, "teams.url")}}},
		{Name: "mail", Kinds: []notify.Kind{notify.Request, notify.Review}, Email: &notify.Email{Server: "smtp.shop.example:587", TLS: notify.STARTTLS,
			From: "bastion@shop.example", User: "bastion", Password: vault.Source{Env: "SALLYPORT_SMTP_PASSWORD"}, To: []string{"security@shop.example"}}},
		{Name: "siem", Targets: []string{"shop-production"}, Webhook: &notify.Webhook{URL: "https://collector.shop.example/sallyport",
			Secret: vault.Source{File: filepath.Join(configs, "siem.key")}, CA: filepath.Join(configs, "id-ca.pem")}},
	}}
	if diff := cmp.Diff(hears, c.Notify); diff != "" {
		t.Error(diff)
	}
	if s := c.Services; len(s) != 1 || s[0].Name != "ci-bot" || s[0].Owner != "alice@shop.example" || len(s[0].Keys) != 1 {
		t.Errorf("got %+v", s)
	}
	// The two examples fit each other.
	world := c.PolicyContext([]bastion.Connector{connector{}}, nil)
	world.Targets = append(world.Targets, bastion.Target{Name: "policy", Kind: "policy", Labels: map[string]string{"kind": "policy"}})
	world.Verbs["policy"] = []bastion.VerbInfo{{Verb: "policy-read"}, {Verb: "policy-change", Write: true}}
	if _, problems := policy.New(config.LoadPolicy(c.Policy), world); len(problems) > 0 {
		t.Error(problems)
	}
	if world.Owners["ci-bot"] != "alice@shop.example" {
		t.Errorf("got %+v", world.Owners)
	}
}

const least = `
provider: { issuer: "https://id.example.com", client_id: x }
targets:
  - { name: a, kind: postgres, address: "db:1", credential: { user: u, password: { env: P } } }
`

func TestLeast(t *testing.T) {
	c, problems := config.Parse("/etc/sallyport/config.yaml", []byte(least))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := config.Defaults()
	want.File, want.State, want.Policy = "/etc/sallyport/config.yaml", "/etc/sallyport/state", "/etc/sallyport/policy.yaml"
	want.Provider.Issuer, want.Provider.ClientID = "https://id.example.com", "x"
	want.Targets = []config.Target{{Target: bastion.Target{Name: "a", Kind: "postgres", Address: "db:1"},
		Credential: vault.Credential{User: "u", Password: vault.Source{Env: "P"}}, Pos: policy.Pos{File: want.File, Line: 4, Column: 5}}}
	if diff := cmp.Diff(&want, c); diff != "" {
		t.Error(diff)
	}
}

func TestFields(t *testing.T) {
	c, problems := config.Parse("c.yaml", []byte(least+`
name: The Gate
listen: ":22"
host_keys: [keys/a, /keys/b]
binding: { lasts: 30m }
limits: { handshake: 5s, login: 1m, waiting: 7, waiting_per_address: 3, sessions: 2, forwards: 4, attempts: 1, keepalive: 1m, idle: 1h, longest: 9h }
recordings: { sync: always }
services: [{ name: s, owner: "https://id#42", keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBc8VQZQyhIRNw9Hdz1yAEC7a8VJu2lpL9uMkg9mG1pS"] }]
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if want := (config.Limits{Handshake: 5 * time.Second, Login: time.Minute, Waiting: 7, WaitingPerAddress: 3, Sessions: 2, Forwards: 4, Attempts: 1, Keepalive: time.Minute, Idle: time.Hour, Longest: 9 * time.Hour}); c.Limits != want {
		t.Errorf("got %+v", c.Limits)
	}
	if c.Name != "The Gate" || c.Listen != ":22" || c.Binding != 30*time.Minute || c.Recordings.Sync != config.SyncAlways || c.Services[0].Owner != "https://id#42" {
		t.Errorf("got %+v", c)
	}
	if diff := cmp.Diff([]string{"keys/a", "/keys/b"}, c.HostKeys); diff != "" {
		t.Error(diff)
	}
}

func TestProblems(t *testing.T) {
	c, problems := config.Load(configs + "broken.yaml")
	if c != nil || problems.Err() == nil {
		t.Error("a broken configuration was accepted")
	}
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintln(&b, strings.TrimPrefix(p.String(), configs))
	}
	if strings.Contains(b.String(), secret) {
		t.Error("a secret was repeated")
	}
	golden(t, "broken.problems", b.String())
}

func TestForm(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "f.yaml:1:1: the file is empty"},
		{"a comment", "# hello\n", "f.yaml:1:1: the file is empty"},
		{"a text", "hello", "f.yaml:1:1: configuration: want a mapping, found a text"},
		{"a list", "- a\n", "f.yaml:1:1: configuration: want a mapping, found a list"},
		{"two documents", "name: a\n---\nname: b\n", "f.yaml:3:1: a second document begins here; one file is one document"},
		{"a key twice", "name: a\nlisten: ':1'\nname: b\n", `f.yaml:3:1: mapping key "name" already defined at [1:1]`},
		{"no value", "name:\n", "f.yaml:1:1: name has no value; write one, or leave it out"},
		{"an unfinished text", "name: 'hunter2\n", "f.yaml:1:7: could not find end character of single-quoted text"},
		{"a tab", "provider:\n\tissuer: x\n", "f.yaml:2:1: found character '\t' that cannot start any token"},
		{"broken characters", "name: \xff\n", "f.yaml:1:1: the file is not valid UTF-8"},
		{"deep brackets", strings.Repeat("[", 100000), "f.yaml:1:1: the file nests too deep"},
		{"deep lists", strings.Repeat("- ", 100000), "f.yaml:1:1: the file nests too deep"},
		{"too long", "name: " + strings.Repeat("a", 5<<20), "f.yaml:1:1: the file has more than 4194304 bytes"},
		{"an alias", "name: &a b\nlisten: *a\n", "f.yaml:1:7: name: want a text, found an anchor or alias, which is not supported here; write it out"},
		{"a list for a field", "? [a]\n: b\n", "f.yaml:2:1: found an invalid key for this map"},
		{"no such sync", "recordings: { sync: allways }", `f.yaml:1:21: sync: want soon or always`},
		{"a number for sync", "recordings: { sync: 7 }", "f.yaml:1:21: sync: want a text, found a number; put it in quotes"},
		{"a text for recordings", "recordings: always", "f.yaml:1:13: recordings: want a mapping, found a text"},
		{"no field of recordings", "recordings: { snyc: soon }", `f.yaml:1:15: recordings: unknown field "snyc"; did you mean "sync"?`},
		{"a number for a field", "7: b\n", "f.yaml:1:1: configuration: want a field's name before the colon, found a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := config.Parse("f.yaml", []byte(c.text))
			if got != nil {
				t.Error("accepted")
			}
			want := strings.ReplaceAll(c.want, "\t", "    ")
			if len(problems) == 0 || problems[0].String() != want && (len(problems) < 2 || problems[1].String() != want) {
				t.Errorf("got %v\nwant %s", problems, want)
			}
			if strings.Contains(fmt.Sprint(problems), secret) {
				t.Error("a secret was repeated")
			}
		})
	}
}

// A key of two services would be both of them, however it is spelled.
func TestOneKeyTwice(t *testing.T) {
	const text = "services:\n  - { name: a, owner: a@b.example, keys: [%q] }\n  - { name: b, owner: a@b.example, keys: [%q] }\n"
	blob := append(binary.BigEndian.AppendUint32(nil, 11), "ssh-ed25519"...)
	blob = append(binary.BigEndian.AppendUint32(blob, 32), make([]byte, 32)...)
	plain := base64.StdEncoding.EncodeToString(append(blob, 1)) // a last character with bits to spare
	spare := strings.TrimSuffix(plain, "Q==") + "R=="
	for _, again := range []string{"ssh-ed25519 " + plain, "  ssh-ed25519\t" + plain + " a comment", "ssh-ed25519 " + spare} {
		_, problems := config.Parse("f.yaml", fmt.Appendf(nil, text, "ssh-ed25519 "+plain, again))
		if !strings.Contains(fmt.Sprint(problems), `has a key that service "a" has too`) {
			t.Errorf("%q: %v", again, problems)
		}
	}
}

// What counts for less than no time is a slip, and not told at the start alone.
func TestUnreachable(t *testing.T) {
	for text, refused := range map[string]bool{"-1h": true, "-1ns": true, "0": false, "1h": false} {
		_, problems := config.Parse("f.yaml", []byte("provider: { unreachable: "+text+" }"))
		if got := strings.Contains(fmt.Sprint(problems), "unreachable: want 0 or more"); got != refused {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func TestNoFile(t *testing.T) {
	c, problems := config.Load("testdata/no such file")
	if c != nil || len(problems) != 1 || problems[0].String() != "testdata/no such file: cannot be read: no such file or directory" {
		t.Errorf("got %v", problems)
	}
	f := config.LoadPolicy("testdata/no such file")
	if p, problems := policy.New(f, policy.Context{}); p != nil || problems.Err() == nil {
		t.Errorf("got %v", problems)
	}
}

func TestMaskNull(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"columns: [{ name: a, columns: [a.b.c], mask: null }]", "null"},
		{"columns: [{ name: a, columns: [a.b.c], mask: 'null' }]", "null"},
		{"columns: [{ name: a, columns: [a.b.c], mask: ~ }]", ""},
		{"columns:\n  - name: a\n    mask:\n", ""},
	} {
		f := config.ParsePolicy("p.yaml", []byte(c.text))
		if got := f.Columns[0].Mask.Text; got != c.want || (c.want == "") != (f.Problems.Err() != nil) {
			t.Errorf("%s: got %q, %v", c.text, got, f.Problems)
		}
	}
}

// TestPolicyFields reads the fields of a policy that limit rules, hide values and
// trust functions.
func TestPolicyFields(t *testing.T) {
	f := config.ParsePolicy("p.yaml", []byte(`
columns: [{ name: a, columns: [a.b.c], mask: redact, probe: ask, approvals: [{ role: r, count: 2 }] }]
values: [{ name: v, targets: { env: x }, detect: [card, iban], mask: null }, { name: w, detect: jwt, mask: last4 }]
functions: [{ name: f, targets: all, trust: "public.f(text)" }, { name: g, trust: ["public.g(*)", "public.h()"] }]
bundles: [{ name: b, rules: [{ name: r, columns: a.b.c, rows: { over: 10, up_to: 20 } }, { name: s, columns: [a.b.c, a.b.d], rows: { over: 0 } }, { name: t }] }]
`))
	if err := f.Problems.Err(); err != nil {
		t.Fatal(err)
	}
	texts := func(words []policy.Word) string {
		var s []string
		for _, w := range words {
			if w.Pos.Line == 0 {
				t.Errorf("%q stands nowhere", w.Text)
			}
			s = append(s, w.Text)
		}
		return strings.Join(s, " ")
	}
	if l := f.Columns[0]; l.Probe.Text != "ask" || len(l.Approvals) != 1 || l.Approvals[0].Role.Text != "r" || l.Approvals[0].Count.N != 2 {
		t.Errorf("label %+v", l)
	}
	if v, w := f.Values[0], f.Values[1]; v.Name.Text != "v" || len(v.Targets.Requires) != 1 || texts(v.Detect) != "card iban" || v.Mask.Text != "null" || texts(w.Detect) != "jwt" || w.Mask.Text != "last4" {
		t.Errorf("values %+v and %+v", v, w)
	}
	if x, y := f.Functions[0], f.Functions[1]; x.Name.Text != "f" || !x.Targets.All || texts(x.Trust) != "public.f(text)" || texts(y.Trust) != "public.g(*) public.h()" {
		t.Errorf("functions %+v and %+v", x, y)
	}
	r, s, n := f.Bundles[0].Rules[0], f.Bundles[0].Rules[1], f.Bundles[0].Rules[2]
	if texts(r.Columns) != "a.b.c" || r.Rows.Over.N != 10 || r.Rows.UpTo.N != 20 || r.Rows.Pos.Line == 0 {
		t.Errorf("rule %+v", r)
	}
	// That zero was written, and what was not, is for the policy to see.
	if texts(s.Columns) != "a.b.c a.b.d" || s.Rows.Over.Pos.Line == 0 || s.Rows.UpTo.Pos.Line != 0 || n.Rows.Pos.Line != 0 || n.Columns != nil {
		t.Errorf("rules %+v and %+v", s, n)
	}
}

// connector is the smallest one, for checking targets.
type connector struct{ bastion.Connector }

func (connector) Kind() string { return "postgres" }

func (connector) Verbs() []bastion.VerbInfo {
	var vs []bastion.VerbInfo
	for v := range strings.FieldsSeq("select catalog explain insert update update-all delete delete-all merge truncate create alter drop comment maintain transaction setting setting-meaning function call do define lock listen cursor prepare copy-in copy-out") {
		vs = append(vs, bastion.VerbInfo{Verb: bastion.Verb(v)})
	}
	return vs
}

func (connector) Check(t bastion.Target) error {
	if t.Options["database"] == "" {
		return errors.New("option database is missing")
	}
	return nil
}

func TestCheck(t *testing.T) {
	c, problems := config.Parse("c.yaml", []byte(least+`
  - { name: b, kind: postgers, address: "db:1", credential: { user: u, password: { env: P } } }
  - { name: c, kind: postgres, address: /run/db, options: { database: d }, credential: { user: u, password: { env: P } } }
`))
	if c == nil {
		t.Fatal(problems)
	}
	var got []string
	for _, p := range c.Check([]bastion.Connector{connector{}}) {
		got = append(got, p.String())
	}
	want := []string{
		`c.yaml:4:5: target "a": option database is missing`,
		`c.yaml:6:5: target "b": unknown kind "postgers"; did you mean "postgres"?`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigPrintsNoArguments(t *testing.T) {
	c, problems := config.Parse("c.yaml", []byte(strings.Replace(least, "{ env: P }", "{ command: [fetch, --token, "+secret+"] }", 1)))
	if c == nil {
		t.Fatal(problems)
	}
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", *c, *c, *c), string(j), fmt.Sprint(c.Credentials())} {
		if strings.Contains(s, secret) {
			t.Errorf("an argument is printed: %s", s)
		}
	}
}

// TestNotify reads what channels may leave out, and what their targets mean.
func TestNotify(t *testing.T) {
	c, problems := config.Parse("c.yaml", []byte(`
notify:
  address: "[2001:db8::1]:2222"
  channels:
    - { name: a, webhook: { url: { env: U }, secret: { env: S } } }
    - { name: b, targets: all, email: { server: "localhost:25", tls: none, from: a@b.example } }
    - { name: c, targets: { env: [x, y] }, email: { server: "[::1]:465", tls: implicit, from: a@b.example } }
    - { name: d, targets: { env: z }, kinds: used, slack: { url: { env: U } } }
`+strings.Replace(least, "kind:", "labels: { env: y }, kind:", 1)))
	if c == nil {
		t.Fatal(problems)
	}
	if len(problems) != 1 || problems[0].String() != "c.yaml:8:27: warning: no target has these labels, so this channel is told of emergencies alone" {
		t.Errorf("got %v", problems)
	}
	local := func(tls notify.TLS, server string) *notify.Email {
		return &notify.Email{Server: server, TLS: tls, From: "a@b.example"}
	}
	want := []notify.Channel{
		{Name: "a", Webhook: &notify.Webhook{From: vault.Source{Env: "U"}, Secret: vault.Source{Env: "S"}}},
		{Name: "b", Email: local(notify.NoTLS, "localhost:25")},
		{Name: "c", Targets: []string{"a"}, Email: local(notify.Implicit, "[::1]:465")},
		{Name: "d", Targets: []string{}, Kinds: []notify.Kind{notify.Used}, Slack: &notify.Slack{URL: vault.Source{Env: "U"}}},
	}
	if diff := cmp.Diff(want, c.Notify.Channels); diff != "" {
		t.Error(diff)
	}
}

func seeds(f *testing.F, dirs ...string) {
	for _, dir := range dirs {
		paths, err := filepath.Glob(dir + "*.yaml")
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds in %s (%v)", dir, err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	for _, s := range []string{"", "version: 1", "a: &a [*a]", "<<: {}", "? ", "- - -", "{}", "[{}]", "a: !!binary x", "version: 1\nbundles: [{}]\nroles: {a: {}}\ncolumns: [{}]", "targets: [{}]\nservices: [{}]\nprovider: {}"} {
		f.Add([]byte(s))
	}
}

func FuzzPolicy(f *testing.F) {
	seeds(f, policies)
	c := policy.Context{
		Targets:  []bastion.Target{{Name: "t", Kind: "postgres", Labels: map[string]string{"app": "shop", "env": "production"}}},
		Verbs:    map[string][]bastion.VerbInfo{"postgres": connector{}.Verbs()},
		Services: []string{"ci-bot"},
	}
	op := bastion.Plan(c.Targets[0], "x", bastion.Intent{Verb: "select", Actions: []bastion.Action{{Verb: "select", Resource: "public.t"}}})
	f.Fuzz(func(t *testing.T, data []byte) {
		file := config.ParsePolicy("p.yaml", data)
		p, problems := policy.New(file, c)
		if (p == nil) != (problems.Err() != nil) || file.Problems.Err() != nil && p != nil {
			t.Fatalf("policy %v with problems %v", p != nil, problems)
		}
		told(t, problems)
		for _, who := range []bastion.Identity{{}, {Issuer: "i", Subject: "nobody", Kind: bastion.Person}} {
			if d := p.Decide(who, op); d.Effect != bastion.Deny {
				t.Fatalf("somebody without a group got %+v", d)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	seeds(f, configs)
	db, err := store.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := db.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := config.Parse("c.yaml", data)
		if (c == nil) != (problems.Err() != nil) {
			t.Fatalf("configuration %v with problems %v", c != nil, problems)
		}
		told(t, problems)
		if c == nil {
			return
		}
		if c.Provider.Issuer == "" || c.Provider.ClientID == "" || c.Binding <= 0 || c.Limits.Waiting < 1 {
			t.Fatalf("an incomplete configuration was accepted: %+v", c)
		}
		for _, ch := range c.Notify.Channels { // but for the files that they name
			if ch.Webhook != nil {
				ch.Webhook.CA = ""
			}
			if ch.Email != nil {
				ch.Email.CA = ""
			}
		}
		if _, err := notify.New(notify.Config{DB: db, Log: slog.New(slog.DiscardHandler), Address: c.Notify.Address, Channels: c.Notify.Channels}); err != nil {
			t.Fatalf("channels that do not work were accepted: %v", err)
		}
		seen := map[string]bool{}
		for _, x := range c.Targets {
			if seen[x.Name] || policy.CheckName(x.Name) != nil || x.Address == "" || x.Credential.User == "" {
				t.Fatalf("target %+v", x)
			}
			seen[x.Name] = true
		}
	})
}

// told checks that problems can be shown.
func told(t *testing.T, problems policy.Problems) {
	for _, p := range problems {
		if s := p.String(); p.Message == "" || p.Pos.File == "" || p.Pos.Line < 1 || strings.ContainsAny(s, "\n\x1b") {
			t.Fatalf("a problem that cannot be shown: %q at %+v", s, p.Pos)
		}
	}
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
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestVaultReadsWhatTheFileSays follows a secret from the file to the vault.
func TestVaultReadsWhatTheFileSays(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, problems := config.Parse(filepath.Join(dir, "c.yaml"), []byte(strings.Replace(least, "{ env: P }", "{ file: pw }", 1)))
	if c == nil {
		t.Fatal(problems)
	}
	s, err := vault.New(c.Credentials()).Secret(t.Context(), c.Targets[0].Target)
	if err != nil {
		t.Fatal(err)
	}
	if user, password := s.Reveal(); user != "u" || password != secret {
		t.Error("not the secret of the file")
	}
}
