package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The main job, as people do it: alice changes production, ben may not approve
// his own, rita approves, the statement runs in alice's session, axel replays it.
func TestMainJob(t *testing.T) {
	c := opens(t)

	// A key that the bastion has never seen: sign in once, and go on.
	alice := c.sits(t, "alice", 120, 40)
	c.signsIn(t, alice)
	alice.sees(`shop-production`)
	alice.sees(`alice`)
	alice.sees(`1[12]h`) // how long the binding lasts

	// Masked SQL.
	alice.types("/")
	alice.sees(`(?m)^ */`)
	alice.types("production")
	alice.sees(`1 of 3`)
	alice.types("\r")
	alice.sees(`shop-production=>`)
	alice.types("select id, name, email, phone from customers where id = 7;\r")
	alice.sees(`Grace Hoffmann`)
	alice.sees(`g\*\*\*@example\.com`)
	if strings.Contains(alice.shown(), "grace.hoffmann@") || strings.Contains(alice.shown(), "5550107") {
		t.Fatal("a masked value reached the terminal")
	}

	// Refused before it reaches the database.
	for statement, rule := range map[string]string{"delete from payments;": `production/no-unbounded-writes`, "drop table payments;": `production/no-drop`} {
		alice.types(statement + "\r")
		alice.sees(rule)
		alice.sees(`shop-production=> *\n`) // and is ready again
	}
	if c.asked("delete from payments") > 0 || c.asked("drop table") > 0 {
		t.Fatal("a refused statement reached the database")
	}

	// Paused until somebody else approves exactly this.
	update := "update customers set city = 'Bonn' where id = 7"
	alice.types(update + ";\r")
	alice.sees(`1 approval by a reviewer`)
	alice.types("moved house, ticket 4711\r")
	number := alice.sees(`request (?:number )?#?(\d+)`)[1]

	rita := c.sits(t, "rita", 100, 30)
	c.signsIn(t, rita)
	rita.sees(`waits? for you`)
	rita.types("a")
	rita.sees(`alice`)
	rita.types("\r")
	rita.sees(`update customers set city = 'Bonn' where id = 7`)
	rita.sees(`moved house, ticket 4711`)
	rita.sees(`update of public\.customers`)
	if c.asked(update+";") > 0 {
		t.Fatal("the statement reached the database before it was approved")
	}
	rita.types("p") // have it run and taken back
	rita.sees(`1 row \(run in a transaction and rolled back`)
	rita.sees(`No rows are shown, because you could not read them yourself`)
	if got := c.query(t, "select city from customers where id = 7"); strings.Contains(got, "Bonn") {
		t.Fatalf("a preview changed the target: %s", got)
	}
	if !strings.Contains(c.runs(t, "rita", "requests "+number).out, "pending") {
		t.Error("a preview used the request")
	}
	rita.types("y")
	rita.sees(`Type the request's number`)
	rita.types(number + "\r")
	rita.sees(`approved`)

	alice.sees(`UPDATE 1`)
	if got := c.query(t, "select city from customers where id = 7"); !strings.Contains(got, "Bonn") {
		t.Fatalf("the update did not run: %s", got)
	}
	alice.types("\x04")
	alice.sees(`1 of 3 targets`)
	alice.types("\x1b")
	alice.sees(`shop-staging`)
	alice.types("q")
	if code := alice.leaves(); code != 0 {
		t.Errorf("alice leaves with %d", code)
	}

	// The auditor finds it and replays it.
	axel := c.sits(t, "axel", 120, 40)
	c.signsIn(t, axel)
	axel.sees(`the policy of this bastion`)
	axel.types("l")
	axel.sees(`› .*rita`)
	axel.sees(`alice`)
	axel.types("\x1b[B")
	axel.sees(`› .*alice`)
	axel.types("\r")
	axel.sees(`request 1 by rita|production/no-drop`) // the timeline
	axel.types("8")                                   // at 80 percent
	axel.sees(`Grace Hoffmann`)
	axel.types("\x1b")
	axel.sees(`2 recordings`)

	recordings := c.runs(t, "axel", "recordings --person alice --json")
	var rec struct {
		ID      string
		Targets []string
	}
	first, _, _ := strings.Cut(recordings.out, "\n")
	if err := json.Unmarshal([]byte(first), &rec); err != nil || recordings.code != 0 {
		t.Fatal(err, recordings)
	}
	cast := c.runs(t, "axel", "cast "+rec.ID)
	if cast.code != 0 || !strings.HasPrefix(cast.out, `{"version":2`) {
		t.Fatal(cast)
	}
	if strings.Contains(cast.out, "grace.hoffmann@") {
		t.Error("the recording holds a clear value")
	}
	path := filepath.Join(t.TempDir(), "x.cast")
	if err := os.WriteFile(path, []byte(cast.out), 0o600); err != nil {
		t.Fatal(err)
	}
	player := sit(t, "asciinema", 120, 40, nil, "asciinema", "cat", path)
	if code := player.leaves(); code != 0 || !strings.Contains(player.shown(), "Grace Hoffmann") {
		t.Errorf("asciinema cannot play it: exit %d, %s", code, player.shown())
	}

	// The auditor has no targets, and alice nobody else's recordings.
	if r := c.runs(t, "axel", "sql shop-production 'select 1'"); r.code != 3 {
		t.Errorf("axel reaches a target: %s", r)
	}
	axelRec := c.runs(t, "axel", "recordings --all --person axel --json").out
	id := regexp.MustCompile(`"id":"([a-z0-9]+)"`).FindStringSubmatch(axelRec)
	if id == nil {
		t.Fatalf("axel has no recording: %s", axelRec)
	}
	if r := c.runs(t, "alice", "cast "+id[1]); r.code != 3 || !strings.Contains(r.err, "not found, or not yours") {
		t.Errorf("alice opens axel's recording: %s", r)
	}
}

// Everything without the TUI too.
func TestScripts(t *testing.T) {
	c := opens(t)
	c.known(t, "alice", "rita", "axel", "ben")

	for _, step := range []struct {
		who, line string
		code      int
		out, err  string // patterns
	}{
		{"alice", "whoami", 0, `alice@shop\.example`, `^$`},
		{"alice", "whoami --json", 0, `"groups":\["deployers"\]`, `^$`},
		{"alice", "targets", 0, `shop-production.*\n.*shop-staging|shop-staging.*\n.*shop-production`, `^$`},
		{"alice", "targets --json", 0, `"name":"shop-staging"`, `^$`},
		{"axel", "targets", 0, `^.*\n?policy .*\n$`, ``},
		{"alice", "help", 0, `recordings`, `^$`},
		{"alice", "help sql", 0, `^sql`, `^$`},
		{"alice", "sql shop-staging 'select id, name, email from customers where id = 7'", 0, `7 \| Grace Hoffmann \| g\*\*\*@example\.com`, `1 row.*masked: email`},
		{"alice", "sql --json shop-staging select id, name, email, null as n from customers where id = 7", 0, `^\{"id":7,"name":"Grace Hoffmann","email":"g\*\*\*@example.com","n":null\}\n$`, `masked`},
		{"alice", "sql --csv shop-staging select id, name from customers where id in (7)", 0, `^id,name\n7,Grace Hoffmann\n$`, ``},
		{"alice", `sql shop-staging '\dt'`, 0, `customers`, ``},
		{"alice", "sql shop-staging 'select 1/0'", 1, `^$`, `22012|division`},
		{"alice", "sql shop-staging 'selec 1'", 1, `^$`, `syntax error`},
		{"alice", "sql shop-staging 'select nothing from nowhere'", 1, `^$`, `nowhere`},
		{"alice", "sql shop-production 'drop table payments'", 3, `^$`, `refused by rule`},
		{"alice", "sql shop-production \"update customers set city = 'x' where id = 7\"", 3, `^$`, `--reason`},
		{"alice", "sql shop-production 'select 1; drop table payments'", 3, `^$`, `refused by rule production/no-drop`},
		{"alice", "sql nowhere 'select 1'", 3, `^$`, `not found`},
		{"alice", "sql", 2, `^$`, `which target`},
		{"alice", "sql --jsno shop-staging 'select 1'", 2, `^$`, `--json`},
		{"alice", "frobnicate", 2, `^$`, `there is no command "frobnicate"`},
		{"alice", "approve seventeen", 2, `^$`, `not the number of a request`},
		{"alice", "approve 4711", 3, `^$`, `not found`},
		{"alice", "cast nothing", 3, `^$`, `not found`},
		{"rita", "sql shop-staging 'select 1'", 3, `^$`, ``},
	} {
		r := c.runs(t, step.who, step.line)
		if r.code != step.code || !regexp.MustCompile(step.out).MatchString(r.out) || !regexp.MustCompile(step.err).MatchString(r.err) {
			t.Errorf("%s: %s: want exit %d, out %q, err %q; got %s", step.who, step.line, step.code, step.out, step.err, r)
		}
	}

	// Standard input.
	if r := execute(t, "select 1 as a;\nselect 2 as b", c.ssh("alice", "sql --csv shop-staging")...); r.code != 0 || r.out != "a\n1\nb\n2\n" {
		t.Errorf("from standard input: %s", r)
	}
	if r := execute(t, "", c.ssh("alice", "sql shop-staging")...); r.code != 2 {
		t.Errorf("nothing on standard input: %s", r)
	}

	// An approval that does not come in time: the request stays, and the same
	// command goes on once it is approved.
	update := `sql --reason 'a customer moved' --wait 100ms shop-production update customers set city = 'Köln' where id = 8`
	r := c.runs(t, "alice", update)
	number := regexp.MustCompile(`request (\d+)`).FindStringSubmatch(r.err)
	if r.code != 4 || number == nil {
		t.Fatalf("an approval that does not come: %s", r)
	}
	for _, who := range []string{"alice", "axel", "ci-bot"} {
		if r := c.runs(t, who, "approve "+number[1]); r.code != 3 {
			t.Errorf("%s approves alice's request: %s", who, r)
		}
	}
	if r := c.runs(t, "rita", "requests"); !strings.Contains(r.out, "alice") || r.code != 0 {
		t.Errorf("rita's queue: %s", r)
	}
	if r := c.runs(t, "rita", "requests "+number[1]); !strings.Contains(r.out, "update customers set city = 'Köln' where id = 8") {
		t.Errorf("the request in full: %s", r)
	}
	if r := c.runs(t, "rita", "approve "+number[1]); r.code != 0 {
		t.Errorf("rita approves: %s", r)
	}
	if other := c.runs(t, "alice", strings.Replace(update, "id = 8", "id = 9", 1)); other.code != 4 {
		t.Errorf("another statement ran on the approval: %s", other)
	}
	if r := c.runs(t, "alice", update); r.code != 0 || !strings.Contains(r.err, "UPDATE 1") {
		t.Errorf("the approved statement: %s", r)
	}
	if r := c.runs(t, "alice", update); r.code != 4 {
		t.Errorf("the approval was used twice: %s", r)
	}

	// A service waits for approval like everybody, and its owner's approval would
	// be the requester's own.
	r = c.runs(t, "ci-bot", `sql --reason nightly --wait 100ms shop-production update customers set notes = null where id = 9`)
	if number = regexp.MustCompile(`request (\d+)`).FindStringSubmatch(r.err); r.code != 4 || number == nil {
		t.Fatalf("the bot: %s", r)
	}
	if r := c.runs(t, "ben", "deny "+number[1]+" --reason not today"); r.code != 0 {
		t.Errorf("ben denies: %s", r)
	}
	if r := c.runs(t, "ben", `sql --reason mine --wait 100ms shop-production update customers set city = 'Ulm' where id = 10`); r.code != 4 {
		t.Errorf("ben: %s", r)
	} else if n := regexp.MustCompile(`request (\d+)`).FindStringSubmatch(r.err); n == nil || c.runs(t, "ben", "approve "+n[1]).code != 3 {
		t.Errorf("ben approves his own: %s", r)
	}

	if r := c.runs(t, "axel", "events --json"); r.code != 0 || !strings.Contains(r.out, `"kind":"vote"`) || strings.Contains(r.out, "grace.hoffmann@") {
		t.Errorf("events: %s", r)
	}
	if r := c.runs(t, "alice", "events --json"); r.code != 0 || strings.Contains(r.out, `"name":"axel"`) {
		t.Errorf("alice sees what axel did: %s", r)
	}
}

// Without a terminal, or with a dumb one, there is a plain menu.
func TestPlainMenu(t *testing.T) {
	c := opens(t)
	c.known(t, "alice")
	r := execute(t, "2\nselect name from customers where id = 7;\n\\q\nwhoami\nq\n", c.ssh("alice")...)
	if r.code != 0 || !strings.Contains(r.out, "Grace Hoffmann") || !strings.Contains(r.out, "alice@shop.example") {
		t.Errorf("piped in: %s", r)
	}
	if strings.Contains(r.out, "\x1b") {
		t.Errorf("the menu draws: %q", r.out)
	}
	p := sit(t, "alice", 80, 24, []string{"TERM=dumb"}, c.ssh("alice", "-t")...)
	p.sees(`choose>`)
	p.types("2\rselect 40 +\x7f+ 2 as answer;\r")
	p.sees(`42`)
	p.types("\\q\r")
	p.sees(`(?s)choose> 2.*choose>`)
	p.types("q\r")
	if code := p.leaves(); code != 0 {
		t.Errorf("leaves with %d", code)
	}
}
