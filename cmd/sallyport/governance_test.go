package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/charter"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/bastion/sshd"
	"github.com/sallyport/sallyport/testdata/policies"
)

// governance is how policy changes in these tests: deployers propose, and two
// reviewers agree.
const governance = `
  - name: governed
    roles: [deployer, observer]
    targets: { kind: policy }
    rules:
      - name: read
        verbs: [connect, policy-read]
        effect: allow
  - name: proposals
    roles: [deployer]
    targets: { kind: policy }
    rules:
      - name: change
        verbs: [policy-change]
        effect: ask
        approvals: [{ count: 2, role: reviewer }]
        within: 24h
        reason: "a change of the policy takes two reviewers"
`

// governedPolicy is the demo's policy, under which a policy can be proposed.
func governedPolicy() string {
	text := string(policies.Demo)
	if strings.Contains(text, "policy-change") {
		return text
	}
	return text + governance
}

// governedDir is a directory for a demo whose policy can be changed.
func governedDir(t *testing.T) string { return policyDir(t, governedPolicy()) }

// policyDir is a directory for a demo with a policy of its own.
func policyDir(t *testing.T, policy string) string {
	t.Helper()
	// The database may run as a user of its own, who cannot pass a test's directory.
	dir, err := os.MkdirTemp("", "sallyport-governed-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// governed starts a company whose policy can be changed.
func governed(t *testing.T) *testCompany {
	t.Helper()
	dir := governedDir(t)
	return opens(t, func(o *demo.Options) { o.Dir = dir })
}

// laxer is the policy with which deployers may delete without WHERE in production.
func laxer(t *testing.T) string {
	t.Helper()
	text := strings.Replace(governedPolicy(), "verbs: [delete-all, update-all, truncate]\n        effect: deny", "verbs: [update-all, truncate]\n        effect: deny", 1)
	text = strings.Replace(text, "verbs: [connect, select, catalog, explain, transaction, setting, cursor, prepare]\n        effect: allow",
		"verbs: [connect, select, catalog, explain, transaction, setting, cursor, prepare, delete-all]\n        effect: allow", 1)
	if strings.Count(text, "delete-all") == strings.Count(governedPolicy(), "delete-all") && text == governedPolicy() {
		t.Fatal("the demo's policy is not what it was")
	}
	return text
}

// requestNumber finds the number of a request in words for people.
func requestNumber(t *testing.T, r result) string {
	t.Helper()
	m := regexp.MustCompile(`request (\d+)`).FindStringSubmatch(r.err)
	if m == nil {
		t.Fatalf("no request: %s", r)
	}
	return m[1]
}

// A policy changes by a proposal that others approve, and in no other way.
func TestPolicyChange(t *testing.T) {
	c := governed(t)
	c.known(t, "alice", "rita", "ben", "axel")
	next := laxer(t)
	propose := func(who, text string) result {
		t.Helper()
		return execute(t, text, c.ssh(who, `policy propose --reason "'ticket 12, tables are emptied by hand'" --wait 100ms`)...)
	}
	wants := func(r result, code int, pattern string) {
		t.Helper()
		if r.code != code || !regexp.MustCompile(pattern).MatchString(r.out+r.err) {
			t.Errorf("want exit %d and %q: %s", code, pattern, r)
		}
	}

	// What there is.
	if r := c.runs(t, "alice", "policy show"); r.code != 0 || r.out != governedPolicy() {
		t.Fatalf("the policy in force: exit %d, %s", r.code, r.err)
	}
	wants(c.runs(t, "alice", "policy versions"), 0, `1 .*the bastion's own files`)
	wants(c.runs(t, "ci-bot", "policy show"), 3, `not found`)
	wants(execute(t, governedPolicy(), c.ssh("alice", "policy propose --reason nothing")...), 1, `in force already`)

	// What would change.
	diff := execute(t, next, c.ssh("alice", "policy diff")...)
	wants(diff, 0, `GAINS ACCESS: deployers \(alice, ben\), service ci-bot on shop-production: delete-all: deny → allow`)
	wants(diff, 0, `(?m)^  -        verbs: \[delete-all, update-all, truncate\]$`)
	wants(execute(t, next, c.ssh("alice", "policy diff --json")...), 0, `\{"kind":"GAINS ACCESS","who":"deployers`)
	wants(execute(t, "# more words\n"+governedPolicy(), c.ssh("alice", "policy diff")...), 0, `(?s)both policies decide the same.*\+# more words`)
	wants(execute(t, "version: 1\nroels: {}\n", c.ssh("alice", "policy diff")...), 1, `policy:2:1: .*roles`)

	// A live session under the old policy.
	live := c.sits(t, "alice", 120, 40)
	live.sees(`shop-production`)
	live.types("/production")
	live.sees(`1 of 3`)
	live.types("\r")
	live.sees(`shop-production=>`)
	live.types("delete from payments;\r")
	live.sees(`production/no-unbounded-writes`)

	// Alice proposes. Nothing changes, and she cannot approve it.
	r := propose("alice", next)
	wants(r, 4, `needs 2 approvals by reviewers`)
	number := requestNumber(t, r)
	wants(c.runs(t, "alice", "approve "+number), 3, `your own`)
	wants(c.runs(t, "axel", "approve "+number), 3, ``)
	wants(c.runs(t, "alice", "sql shop-production delete from payments"), 3, `refused by rule production/no-unbounded-writes`)
	wants(propose("alice", next), 4, `request `+number+` needs`) // the same is not asked twice

	// A second proposal upon the same version, for later.
	second := strings.Replace(governedPolicy(), "fresh: 8h", "fresh: 4h", 1)
	r = propose("ben", second)
	wants(r, 4, `needs 2 approvals`)
	other := requestNumber(t, r)
	wants(c.runs(t, "rita", "approve "+other), 0, `pending`)

	// What the approvers see: who gains what, and exactly this file.
	shown := c.runs(t, "rita", "requests "+number)
	wants(shown, 0, `policy: alice, ben and ci-bot gain; nobody loses`)
	wants(shown, 0, `GAINS ACCESS: deployers \(alice, ben\), service ci-bot on shop-production: delete-all`)
	wants(shown, 0, `in place of version 1`)
	wants(shown, 0, `prepare, delete-all\]`)

	// On a small screen, too: the text is long, and what it changes is below it.
	small := c.sits(t, "rita", 80, 24)
	small.sees(`waits? for you`)
	small.types("a")
	small.sees(number + ` +alice.*policy: alice`)
	small.types("\x1b[B\r") // the older one
	small.sees(`request ` + number)
	small.sees(`lines? below: read on before you decide`)
	small.types("\x1b[F")
	small.sees(`GAINS ACCESS`)
	small.types("\x1b\x1bq")

	// One of two is not enough; the second one makes it so, for alice to use.
	wants(c.runs(t, "rita", "approve "+number), 0, `pending`)
	wants(propose("alice", next), 4, ``)
	wants(c.runs(t, "ben", "approve "+number), 0, `approved`)
	wants(c.runs(t, "alice", "sql shop-production delete from payments"), 3, `no-unbounded-writes`)
	wants(propose("alice", next), 0, `version 2 is in force`)

	// It is in force at once, in the live session too.
	if c.asked("delete from payments") > 0 {
		t.Error("a refused statement reached the database")
	}
	live.types("delete from payments;\r")
	live.sees(`DELETE \d+`)

	// The approval counted once, and an overtaken proposal counts for nothing.
	wants(propose("alice", next), 1, `in force already`)
	wants(c.runs(t, "rita", "requests --all"), 0, number+` +used`)
	r = propose("ben", second)
	wants(r, 4, `needs 2 approvals`)
	if again := requestNumber(t, r); again == other {
		t.Error("a proposal upon version 1 goes on upon version 2")
	}

	// The history.
	wants(c.runs(t, "alice", "policy versions"), 0, `(?s)2 .*alice.*ben, rita|2 .*alice.*rita, ben`)
	wants(c.runs(t, "alice", "policy versions --json"), 0, `"version":2,`)
	if r := c.runs(t, "alice", "policy show 1"); r.out != governedPolicy() {
		t.Errorf("version 1 is not what it was: %s", r)
	}
	if r := c.runs(t, "alice", "policy show --json"); r.code != 0 {
		t.Error(r)
	} else {
		var v struct{ Text string }
		if err := json.Unmarshal([]byte(r.out), &v); err != nil || v.Text != next {
			t.Errorf("version 2 is not what was proposed: %v", err)
		}
	}
	events := c.runs(t, "axel", "events").out
	for _, pattern := range []string{
		`sallyport|own files.* alarm .*version 1 of the policy is in force`,
		`alice request .*request="` + number + `"`, `rita vote .*request="` + number + `"`, `alice use .*request="` + number + `".*by="rita,ben"`,
		`alice alarm .*target="policy" verb="policy-change" request="` + number + `" by="rita,ben".*version 2 of the policy is in force`,
	} {
		if !regexp.MustCompile(pattern).MatchString(events) {
			t.Errorf("the log does not tell of %q:\n%s", pattern, events)
		}
	}
}

// The approver edits the rules so as to approve alone, or to be asked no more.
func TestPolicyFloor(t *testing.T) {
	c := governed(t)
	c.known(t, "alice")
	rule := "verbs: [policy-change]\n        effect: ask\n        approvals: [{ count: 2, role: reviewer }]\n        within: 24h"
	locked := strings.Replace(governedPolicy(), "groups: [deployers]", "groups: [nobody-here]", 1)
	if r := execute(t, locked, c.ssh("alice", `policy propose --reason mine --wait 100ms`)...); r.code != 1 || !strings.Contains(r.err, "nobody could propose") {
		t.Errorf("a proposal after which nobody could propose: %s", r)
	}
	for name, change := range map[string]struct{ to, says string }{
		"alone":     {"verbs: [policy-change]\n        effect: allow", `policy:\d+:\d+: rule "\S+" would let somebody change the policy alone`},
		"for hours": {rule + "\n        holds: 8h", `policy:\d+:\d+: an approval of policy-change is used once`},
		"nobody":    {"verbs: [policy-change]\n        effect: deny", `nobody could propose`},
		"services":  {strings.Replace(rule, "reviewer", "bot", 1), `bot`},
		"hidden":    {rule + " # \u202e allow", `does not show`},
	} {
		text := strings.Replace(governedPolicy(), rule, change.to, 1)
		if text == governedPolicy() {
			t.Fatal("the policy of the test has no such rule")
		}
		r := execute(t, text, c.ssh("alice", `policy propose --reason mine --wait 100ms`)...)
		if r.code != 1 || !regexp.MustCompile(change.says).MatchString(r.err) {
			t.Errorf("%s: want %q, got %s", name, change.says, r)
		}
	}
	if r := c.runs(t, "alice", "requests --mine"); strings.Contains(r.out, "policy") {
		t.Errorf("one of them is waiting for approval: %s", r)
	}
}

// Of two proposals upon the same version, both approved, the one that comes second
// is refused: what its approvers saw is no longer what would change.
func TestPolicyOvertaken(t *testing.T) {
	c := governed(t)
	c.known(t, "alice", "rita", "ben")
	first := strings.Replace(governedPolicy(), "fresh: 8h", "fresh: 7h", 1)
	second := strings.Replace(governedPolicy(), "fresh: 8h", "fresh: 6h", 1)
	ended := map[string]chan result{}
	numbers := map[string]string{}
	for _, text := range []string{first, second} {
		done := make(chan result, 1)
		go func() { // ends with the client
			done <- execute(t, text, c.ssh("alice", `policy propose --reason "'shorter sign-ins'"`)...)
		}()
		ended[text] = done
		numbers[text] = c.waiting(t, done)
		if r := c.runs(t, "rita", "approve "+numbers[text]); r.code != 0 {
			t.Fatal(r)
		}
	}
	if r := c.runs(t, "ben", "approve "+numbers[first]); r.code != 0 {
		t.Fatal(r)
	}
	if r := <-ended[first]; r.code != 0 || !strings.Contains(r.err, "version 2 is in force") {
		t.Errorf("the first: %s", r)
	}
	if r := c.runs(t, "ben", "approve "+numbers[second]); r.code != 0 {
		t.Fatal(r)
	}
	if r := <-ended[second]; r.code != 3 || !strings.Contains(r.err, "refused by rule exact-operation") {
		t.Errorf("the second: %s", r)
	}
	if r := c.runs(t, "alice", "policy show"); r.out != first {
		t.Errorf("not the first is in force: %s", r)
	}
}

// waiting returns the number of a request that waits for rita, unless what asks for
// it ends before. She has voted on all others.
func (c *testCompany) waiting(t *testing.T, ended <-chan result) string {
	t.Helper()
	for {
		select {
		case r := <-ended:
			t.Fatalf("no request waits: %s", r)
		default:
		}
		line, _, _ := strings.Cut(c.runs(t, "rita", "requests --json").out, "\n")
		var r bastion.Request
		if json.Unmarshal([]byte(line), &r) == nil && r.ID > 0 {
			return fmt.Sprint(r.ID)
		}
	}
}

// serveConfig tells the test binary to be a bastion that will be killed.
const serveConfig = "SALLYPORT_TEST_SERVE"

func TestMain(m *testing.M) {
	if path := os.Getenv(serveConfig); path != "" {
		os.Exit(run(context.Background(), []string{"serve", "--config", path}, nil, os.Stdout, os.Stderr))
	}
	if os.Getenv(relaxed) != "" {
		printSlack()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bastionProcess is a bastion in a process of its own.
type bastionProcess struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
	log   strings.Builder
}

func startProcess(t *testing.T, config string) *bastionProcess {
	t.Helper()
	p := &bastionProcess{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), serveConfig+"="+config)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	p.lines = bufio.NewReader(out)
	p.says(t, "msg=listening")
	return p
}

// says waits until the process logs a text.
func (p *bastionProcess) says(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := p.lines.ReadString('\n')
		p.log.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("the bastion did not say %q:\n%s", text, p.log.String())
		}
	}
}

func (p *bastionProcess) kill() {
	p.cmd.Process.Kill()
	io.Copy(io.Discard, p.lines)
	p.cmd.Wait()
}

// alone starts a demo without its bastion, which will be a process.
func alone(t *testing.T) *testCompany {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := demo.Start(t.Context(), demo.Options{Dir: governedDir(t), Listen: addr, Provider: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	state := filepath.Join(w.Dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := sshd.HostKey(filepath.Join(state, "host_key"))
	if err != nil {
		t.Fatal(err)
	}
	c := &company{World: w, addr: addr}
	if c.ssh, err = c.SSH(addr, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))); err != nil {
		t.Fatal(err)
	}
	return &testCompany{company: c, log: &logBuffer{}}
}

// A bastion that is killed while a policy comes into force has the old one or the
// new one after that, and nothing between. No approval counts twice.
func TestPolicyKilled(t *testing.T) {
	c := alone(t)
	p := startProcess(t, c.Config)
	c.known(t, "alice", "rita", "ben", "axel")
	texts := []string{governedPolicy()} // by version
	for round := range 4 {
		next := strings.Replace(governedPolicy(), "fresh: 8h", fmt.Sprintf("fresh: %dm", 400-round), 1)
		ended := make(chan result, 1)
		go func() { ended <- execute(t, next, c.ssh("alice", `policy propose --reason "'a shorter sign-in'"`)...) }() // ends with the client
		number := c.waiting(t, ended)
		if r := c.runs(t, "rita", "approve "+number); r.code != 0 {
			t.Fatal(r)
		}
		voted := make(chan result, 1)
		go func() { voted <- c.runs(t, "ben", "approve "+number) }() // ends with the client
		told := false
		select { // a moment to be killed at
		case <-ended: // all of it has happened
		case <-voted:
			told = true // and the proposal goes on at this moment
		case <-time.After(time.Duration(rand.IntN(500)) * time.Millisecond):
		}
		p.kill()
		if !told {
			<-voted
		}
		p = startProcess(t, c.Config)

		var kept []struct {
			Version int
			Request int
			Digest  string
		}
		for line := range strings.SplitSeq(strings.TrimSpace(c.runs(t, "alice", "policy versions --json").out), "\n") {
			var v struct {
				Version int
				Request int
				Digest  string
			}
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatal(err)
			}
			kept = append(kept, v)
		}
		seen := map[int]bool{}
		for i, v := range kept {
			if v.Version != len(kept)-i || seen[v.Request] && v.Request > 0 {
				t.Errorf("versions %+v", kept)
			}
			seen[v.Request] = true
		}
		switch len(kept) {
		case len(texts):
		case len(texts) + 1:
			texts = append(texts, next)
		default:
			t.Fatalf("%d versions after %d", len(kept), len(texts))
		}
		if r := c.runs(t, "alice", "policy show"); r.out != texts[len(texts)-1] || charter.Digest(r.out) != kept[0].Digest {
			t.Fatalf("half a policy: %s", r)
		}
		if n := strings.Count(c.runs(t, "axel", "events").out, " alarm "); n != len(texts) {
			t.Errorf("%d events tell of %d versions", n, len(texts))
		}
		state := c.runs(t, "rita", "requests "+number).out
		t.Logf("round %d: %d versions, %s", round, len(kept), regexp.MustCompile(`state +\w+`).FindString(state))
		if regexp.MustCompile(`state +used`).MatchString(state) && texts[len(texts)-1] != next {
			// Used, and nothing came of it: it may not come into force by this approval.
			r := execute(t, next, c.ssh("alice", `policy propose --reason again --wait 100ms`)...)
			if r.code != 4 || requestNumber(t, r) == number {
				t.Errorf("a used approval counts again: %s", r)
			}
		}
		if regexp.MustCompile(`state +approved`).MatchString(state) {
			// Approved and not used: the same proposal goes on.
			r := execute(t, next, c.ssh("alice", `policy propose --reason again --wait 100ms`)...)
			if r.code != 0 || !strings.Contains(r.err, fmt.Sprintf("version %d is in force", len(texts)+1)) {
				t.Errorf("an approval from before: %s", r)
			}
			texts = append(texts, next)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(c.runs(t, "alice", "requests --mine --json").out), "\n") {
			var r bastion.Request
			if json.Unmarshal([]byte(line), &r) == nil && r.State.Open() {
				c.runs(t, "alice", fmt.Sprint("revoke ", r.ID))
			}
		}
	}

	// The file on disk changes nothing, at a start or by SIGHUP, and the bastion says
	// what to do with it.
	if err := os.WriteFile(filepath.Join(c.Dir, "policy.yaml"), []byte("version: 1\nroels: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.says(t, "ssh bastion policy propose")
	p.kill()
	p = startProcess(t, c.Config)
	if !strings.Contains(p.log.String(), "ssh bastion policy propose") {
		t.Errorf("a start with another file does not tell of it:\n%s", p.log.String())
	}
	if r := c.runs(t, "alice", "policy show"); r.out != texts[len(texts)-1] {
		t.Errorf("the file came into force: %s", r)
	}

	// The configuration loses what the policy speaks of: the bastion starts, and warns.
	p.kill()
	text, err := os.ReadFile(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	cut := regexp.MustCompile(`(?s)services:.*targets:.*$`).ReplaceAll(text, []byte("targets: []\n"))
	if err := os.WriteFile(c.Config, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	p = startProcess(t, c.Config)
	if !strings.Contains(p.log.String(), `there is no service \"ci-bot\" any more`) {
		t.Errorf("the bastion does not warn:\n%s", p.log.String())
	}
	if r := c.runs(t, "alice", "policy show"); r.out != texts[len(texts)-1] {
		t.Errorf("without its targets: %s", r)
	}
}

// A version that no configuration could make sound leaves no bastion.
func TestPolicyUnsound(t *testing.T) {
	context := world(&config.Config{}, nil)
	for name, c := range map[string]struct{ text, says string }{
		"unreadable": {"version: 1\nroels: {}\n", "version 7 of the policy:2:1: "},
		"floor":      {strings.Replace(governedPolicy(), "effect: ask\n        approvals: [{ count: 2, role: reviewer }]\n        within: 24h", "effect: allow", 1), "change the policy alone"},
	} {
		p, problems := kept(charter.Version{Number: 7, Text: c.text}, context)
		if err := problems.Err(); p != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	// What targets and services the configuration has lost takes rights away, and no more.
	gone := strings.Replace(governedPolicy(), "verbs: [connect, policy-read]", "verbs: [connect, policy-read, select]", 1)
	p, problems := kept(charter.Version{Number: 7, Text: gone}, context)
	if p == nil {
		t.Fatalf("without targets and services: %v", problems.Err())
	}
	said := fmt.Sprint(problems)
	for _, w := range []string{`there is no service "ci-bot" any more`, `no target knows the verb "select" any more`} {
		if !strings.Contains(said, w) {
			t.Errorf("no warning of %q: %s", w, said)
		}
	}
}

// A bastion that dies after the approval was used, and before the policy came into
// force, has the old policy after that, and the approval is spent.
func TestPolicyDiesBetween(t *testing.T) {
	c := governed(t)
	c.known(t, "alice", "rita", "ben")
	text := strings.Replace(governedPolicy(), "fresh: 8h", "fresh: 7h", 1)
	c.server.law.mu.Lock() // nothing comes into force
	ended := make(chan result, 1)
	go func() { ended <- execute(t, text, c.ssh("alice", `policy propose --reason "'shorter sign-ins'"`)...) }() // ends with the client
	number := c.waiting(t, ended)
	for _, who := range []string{"rita", "ben"} {
		if r := c.runs(t, who, "approve "+number); r.code != 0 {
			t.Error(r)
		}
	}
	used := regexp.MustCompile(`state +used`)
	for !used.MatchString(c.runs(t, "rita", "requests "+number).out) {
		if len(ended) > 0 {
			t.Fatalf("it came into force: %s", <-ended)
		}
	}
	if err := c.server.db.Close(); err != nil { // from here on nothing is kept, as after a death
		t.Error(err)
	}
	c.server.law.mu.Unlock()
	if r := <-ended; r.code == 0 {
		t.Errorf("it came into force without being kept: %s", r)
	}
	if got := c.server.law.live.Load(); got == nil {
		t.Error("there is no policy at all")
	}
	again, err := open(c.Config, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}()
	if v, _ := again.law.charter.Active(); v.Number != 1 || v.Text != governedPolicy() {
		t.Errorf("version %d is in force", v.Number)
	}
	id, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range again.keeper.People() {
		if r, err := again.votes.Request(t.Context(), who, id); err != nil || r.State != bastion.Used {
			t.Errorf("%s sees %s, %v", who.Name, r.State, err)
		}
	}
}
