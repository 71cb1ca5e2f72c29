package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/bastion/demo/idp"
	"github.com/sallyport/sallyport/bastion/task"
)

// crew is a company with two more people: a second reviewer and a second deployer.
func crew(t *testing.T) *testCompany {
	t.Helper()
	more := []idp.Person{
		{User: "nora", Name: "Nora Haugen", Email: "nora@shop.example", Password: "nora", Groups: []string{"reviewers"}},
		{User: "carol", Name: "Carol Diaz", Email: "carol@shop.example", Password: "carol", Groups: []string{"deployers"}},
	}
	c := opens(t, func(o *demo.Options) { o.IDP.People = append(idp.DemoPeople(), more...) })
	c.keys(t, "nora", "carol")
	c.known(t, "alice", "rita", "nora", "ben", "carol", "axel")
	return c
}

// does runs a command that has to end with the code, and to say what the pattern wants.
func (c *testCompany) does(t *testing.T, who, line, in string, code int, says string) string {
	t.Helper()
	r := execute(t, in, c.ssh(who, line)...)
	if r.code != code || !regexp.MustCompile(says).MatchString(r.out+r.err) {
		t.Fatalf("%s: %s: want exit %d and %q; got %s", who, line, code, says, r)
	}
	return strings.TrimSpace(r.out)
}

func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../testdata/tasks/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// submits makes a task and has it reviewed. It returns the numbers of task and request.
func (c *testCompany) submits(t *testing.T, file, params string) (id, request string) {
	t.Helper()
	id = c.does(t, "alice", "tasks new "+params, file, 0, `is draft`)
	c.does(t, "alice", "tasks submit "+id+" --reason ticket 4711", "", 0, `is review; request \d+ needs`)
	return id, c.page(t, "alice", id).request
}

type page struct {
	task.Task
	request string
}

func (c *testCompany) page(t *testing.T, who, id string) page {
	t.Helper()
	out := c.does(t, who, "tasks show "+id+" --json", "", 0, ``)
	var p page
	if err := json.Unmarshal([]byte(out), &p.Task); err != nil {
		t.Fatal(err, out)
	}
	b, err := json.Marshal(p.Request)
	if err != nil {
		t.Fatal(err)
	}
	p.request = string(b)
	return p
}

// The examples and what may go wrong with them, in one company: signing in is what
// takes the time.
func TestTasks(t *testing.T) {
	c := crew(t)
	for _, x := range []struct {
		name string
		test func(*testing.T, *testCompany)
	}{{"migration", migrates}, {"correction", corrects}, {"failure", fails}, {"staged", stages}, {"access", reviewsAccess}, {"repeat", repeats}, {"screens", plansOnScreens}} {
		t.Run(x.name, func(t *testing.T) { x.test(t, c) })
	}
}

// A planned change, from its design to the auditor's page: nobody does two of it.
func migrates(t *testing.T, c *testCompany) {
	id := c.does(t, "alice", "tasks new", example(t, "migration.yaml"), 0, `task \d+ is draft`)
	c.does(t, "ben", "tasks show "+id, "", 3, `not found, or not yours`) // a draft is its author's
	c.does(t, "rita", "tasks new", example(t, "migration.yaml"), 3, `duty to design`)
	c.does(t, "alice", "tasks run "+id, "", 3, `is draft, so nothing of it runs`)
	c.does(t, "alice", "tasks submit "+id, "", 3, `--reason`)
	c.does(t, "alice", "tasks submit "+id+" --reason ticket 4711", "", 0, `is review; request \d+ needs 2 approvals by reviewers \(ben, nora, rita can approve\)`)
	request := c.page(t, "alice", id).request

	// What approvers see is what runs.
	shown := c.does(t, "rita", "requests "+request, "", 0, `step 2 of 2: production`)
	for _, want := range []string{"add column tier text not null", "set tier = 'gold' where id <= 10", "cannot be told before the statements before it ran", "on shop-staging", "on shop-production", `"gold", "10"`} {
		if !strings.Contains(shown, want) {
			t.Errorf("the request does not show %q:\n%s", want, shown)
		}
	}
	c.does(t, "alice", "approve "+request, "", 3, `own request`)
	c.does(t, "ben", "tasks run "+id, "", 3, `is review`)
	c.does(t, "rita", "approve "+request, "", 0, `pending`)
	c.does(t, "ben", "tasks run "+id, "", 3, `is review`)
	c.does(t, "nora", "approve "+request, "", 0, `approved`)

	c.does(t, "alice", "tasks run "+id, "", 3, `separation of duties`)
	c.does(t, "axel", "tasks run "+id, "", 3, `not yours to execute`)
	c.does(t, "ben", "tasks run "+id+" --step production", "", 3, `comes after staging`)
	if c.asked("add column tier") > 0 {
		t.Fatal("something ran")
	}
	c.does(t, "ben", "tasks run "+id+" --step staging", "", 0, `task \d+ is running; next is step production`)
	if got := c.query(t, "select count(*) from information_schema.columns where column_name = 'tier'"); !strings.Contains(got, "0") {
		t.Fatalf("production was changed with staging: %s", got)
	}
	c.does(t, "ben", "tasks run "+id+" --step staging", "", 3, `is done already`)
	c.does(t, "ben", "tasks run "+id, "", 0, `(?s)ALTER TABLE.*UPDATE 10.*task \d+ is done`)
	if got := c.query(t, "select count(*) from customers where tier = 'gold'"); !strings.Contains(got, "10") {
		t.Fatalf("the migration did not run: %s", got)
	}
	c.does(t, "ben", "tasks run "+id, "", 3, `task \d+ is done`)
	c.does(t, "rita", "requests "+request, "", 0, `has been used`)

	// The auditor's page.
	text := c.does(t, "axel", "tasks "+id, "", 0, `state +done`)
	p := c.page(t, "axel", id)
	if p.State != task.Done || p.Author.Name != "alice" || len(p.Votes) != 2 || p.Digest == "" {
		t.Errorf("the page: %+v", p.Task)
	}
	for i, s := range p.Progress {
		if s.By == nil || s.By.Name != "ben" || s.State != task.StepDone || len(s.Results) != len(p.Plan.Steps[i].Statements) {
			t.Errorf("step %d: %+v", i, s)
		}
		for _, r := range s.Results {
			if r.Outcome != task.Succeeded || r.Digest == "" || r.Ended.IsZero() || !strings.Contains(text, r.Digest) {
				t.Errorf("step %d: %+v", i, r)
			}
		}
		if account := c.does(t, "axel", "text "+s.Session, "", 0, ``); !strings.Contains(account, "add column tier") || !strings.Contains(text, s.Session) {
			t.Errorf("the recording of step %d does not tell what ran:\n%s", i, account)
		}
	}
	for _, want := range []string{"rita", "nora", "submitted", "approved", "began", "done", "ticket 4711", p.Votes[0].Session} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not tell %q:\n%s", want, text)
		}
	}
	events := c.does(t, "axel", "events --json", "", 0, `"kind":"task"`)
	if n := strings.Count(events, `"kind":"use"`); n < 3 {
		t.Errorf("only %d uses of the approval are in the log", n)
	}
}

// A runbook: values are constants, whatever is in them, and an edit voids the votes.
func corrects(t *testing.T, c *testCompany) {
	file := example(t, "correction.yaml")
	for params, want := range map[string]string{
		"":                              `parameter customer: it has no value`,
		"--param customer=7x":           `parameter customer: want a whole number`,
		"--param customer=7 --param a=": `there is no such parameter`,
		`--param customer=7 --param country=DE --param city=Ulm;drop`: `parameter city: want what matches`,
		`--param customer=7 --param country=XX --param city=Ulm`:      `parameter country: want one of`,
	} {
		c.does(t, "alice", "tasks new "+params, file, 2, want)
	}
	c.does(t, "alice", "tasks runbooks", "", 0, `(?s)RUNBOOK.*correction +customer \(integer\), city \(text\), country \(one-of\) +customer data correction`)
	c.does(t, "alice", "tasks runbooks --json", "", 0, `"choices":\["AT"`)
	c.does(t, "rita", "tasks runbooks", "", 3, `duty to design`)
	c.does(t, "alice", "tasks new --runbook nothing", "", 2, `there is no runbook "nothing"`)
	draft := c.does(t, "alice", `tasks new --runbook correction --param customer=9 --param city=Ulm --param country=DE`, "", 0, `is draft`)
	c.does(t, "alice", "tasks stop "+draft, "", 0, `withdrawn`)
	id, request := c.submits(t, file, `--param customer=7 --param "city=L'Aquila" --param country=IT`)
	c.does(t, "rita", "requests "+request, "", 0, `(?s)set city = \$1, country = \$2 where id = \$3.*with \$1 = "L'Aquila", the text city.*with \$3 = "7", the integer customer`)
	c.does(t, "rita", "approve "+request, "", 0, `approved`)

	c.does(t, "ben", `tasks edit `+id+` --param customer=8 --param city=Ulm --param country=DE`, file, 3, `somebody else's`)
	c.does(t, "alice", `tasks edit `+id+` --param customer=8 --param city=Ulm --param country=DE`, file, 0, `is draft`)
	c.does(t, "ben", "tasks run "+id, "", 3, `is draft|not found`)
	c.does(t, "rita", "requests "+request, "", 0, `withdrawn`)
	c.does(t, "alice", "tasks submit "+id+" --reason another customer", "", 0, `review`)
	if again := c.page(t, "alice", id); again.request == request || len(again.Votes) != 0 || again.Revision != 2 {
		t.Errorf("after the edit: %+v", again.Task)
	}
	request = c.page(t, "alice", id).request
	c.does(t, "ben", "tasks run "+id, "", 3, `is review`)
	c.does(t, "rita", "approve "+request, "", 0, `approved`)
	// Who approves does not execute, although others could have approved it.
	c.does(t, "ben", "approve "+request, "", 0, `approved`)
	c.does(t, "ben", "tasks run "+id, "", 3, `separation of duties`)
	c.does(t, "carol", "tasks run "+id, "", 0, `UPDATE 1`)
	if got := c.query(t, "select city from customers where id in (7, 8) order by id"); !strings.Contains(got, "Ulm") || strings.Contains(got, "Aquila") {
		t.Fatalf("the correction: %s", got)
	}
}

// A failing step stops the task, and only people other than its author and executors
// can have the rest go on without it.
func fails(t *testing.T, c *testCompany) {
	file := `
name: two things
approvals: [{ role: reviewer }]
steps:
  - name: one
    target: shop-staging
    script: |
      update products set price = 1 where id = 1;
      update products set price = price / 0 where id = 2;
      update products set price = 3 where id = 3;
  - name: two
    target: shop-staging
    script: update products set price = 4 where id = 4
`
	id, request := c.submits(t, file, "")
	c.does(t, "rita", "approve "+request, "", 0, `approved`)
	c.does(t, "ben", "tasks run "+id, "", 1, `(?s)UPDATE 1.*division by zero.*task \d+ is failed: statement 2 of step one`)
	c.does(t, "ben", "tasks run "+id, "", 3, `is failed`)
	c.does(t, "ben", "tasks run "+id+" --step two", "", 3, `is failed`)
	if c.asked("set price = 3") > 0 || c.asked("set price = 4") > 0 {
		t.Fatal("it went on after a failure")
	}
	skip := c.does(t, "ben", "tasks skip "+id+" one --reason it was wrong anyhow", "", 0, `needs 1 approval by a reviewer`)
	c.does(t, "ben", "approve "+skip, "", 3, `own request`)
	c.does(t, "ben", "tasks run "+id, "", 3, `is failed`)
	c.does(t, "nora", "requests "+skip, "", 0, `(?s)skip step one of task \d+.*statement 2: failed`)
	c.does(t, "nora", "approve "+skip, "", 0, `approved`)
	c.does(t, "ben", "tasks run "+id, "", 0, `(?s)UPDATE 1.*task \d+ is done`)
	if c.asked("set price = 3") > 0 || c.asked("set price = 4") != 1 {
		t.Fatal("what was skipped ran, or what was not did not")
	}

	// An answer that was not expected is a failure, too.
	id, request = c.submits(t, strings.Replace(example(t, "access.yaml"), "expect: 0", "expect: 7", 1), "")
	c.does(t, "rita", "approve "+request, "", 0, `approved`)
	c.does(t, "ben", "tasks run "+id, "", 1, `(?s)rolname.*the answer, of 1 rows, is not what the plan expects`)
	// The author asks, and the executor, who reviews too, has no say.
	skip = c.does(t, "alice", "tasks skip "+id+" roles --reason looked at by hand", "", 0, ``)
	c.does(t, "ben", "approve "+skip, "", 3, ``)
	c.does(t, "alice", "tasks stop "+id, "", 3, `nothing to stop`)
	for line, want := range map[string]string{"frobnicate": `is not known`, "run x": `not the number of a task`, "skip " + id: `which step`, "new": `standard input`,
		"new --param": `NAME=VALUE`, "show " + id + " more": `unexpected "more"`, "run 1 --setp one": `--step`} {
		c.does(t, "alice", "tasks "+line, "", 2, want)
	}
	c.does(t, "alice", "tasks 4711", "", 3, `not found, or not yours`)
	c.does(t, "axel", "tasks --all", "", 0, `(?s)NO .*failed.*one on shop-staging|done`)
	c.does(t, "alice", "tasks new", "name: n\nsteps:\n  - { name: a, target: nowhere, script: x }\n", 2, `task:3:24: there is no target "nowhere"`)
	c.does(t, "alice", "tasks new", "name: n\nsetps: []\n", 2, `task:2:1: task: unknown field`)
}

// Staging comes before production, and production is for somebody else.
func stages(t *testing.T, c *testCompany) {
	id, request := c.submits(t, example(t, "staged.yaml"), "--param product=5 --param price=12.50")
	c.does(t, "rita", "approve "+request, "", 0, ``)
	c.does(t, "nora", "approve "+request, "", 0, `approved`)
	c.does(t, "carol", "tasks run "+id+" --step production", "", 3, `comes after staging`)
	c.does(t, "ben", "tasks run "+id, "", 0, `next is step production on shop-production, for the role deployer`)
	c.does(t, "ben", "tasks run "+id, "", 3, `separation of duties`)
	c.does(t, "rita", "deny "+request+" --reason I was wrong", "", 0, ``)
	c.does(t, "carol", "tasks run "+id, "", 3, `is stopped: the approval is over`)

	id, request = c.submits(t, example(t, "staged.yaml"), "--param product=5 --param price=13")
	c.does(t, "rita", "approve "+request, "", 0, ``)
	c.does(t, "nora", "approve "+request, "", 0, `approved`)
	c.does(t, "ben", "tasks run "+id, "", 0, `next is step production`)
	c.does(t, "carol", "tasks run "+id, "", 0, `is done`)
	if got := c.query(t, "select price from products where id = 5"); !strings.Contains(got, "13.00") {
		t.Fatalf("the price: %s", got)
	}
	// A statement that policy denies refuses the task before anybody reads it.
	denied := strings.Replace(example(t, "access.yaml"), "select rolname", "delete from payments; select rolname", 1)
	id = c.does(t, "alice", "tasks new", denied, 0, `draft`)
	c.does(t, "alice", "tasks submit "+id+" --reason x", "", 3, `step roles, statement 1: refused by rule production/no-unbounded-writes`)
	c.does(t, "alice", "tasks stop "+id, "", 0, `withdrawn`)
}

// A review of access changes nothing; that it was done, and by whom, is on the page. No
// text of anybody's reaches a terminal as anything but text.
func reviewsAccess(t *testing.T, c *testCompany) {
	evil := "\x1b]0;evil\a\u202e"
	id := c.does(t, "alice", "tasks new", example(t, "access.yaml"), 0, `is draft`)
	c.does(t, "alice", "tasks stop "+id+" --reason "+evil, "", 0, `withdrawn`)
	id = c.does(t, "alice", "tasks new", strings.Replace(example(t, "access.yaml"), "description: |\n", "description: |\n  \u202e\n", 1), 0, `is draft`)
	c.does(t, "alice", "tasks submit "+id+" --reason quarter "+evil, "", 0, `review`)
	request := c.page(t, "alice", id).request
	c.does(t, "rita", "approve "+request+" --reason fine"+evil, "", 0, `approved`)
	c.does(t, "ben", "tasks run "+id, "", 0, `(?s)rolname.*grantee.*task \d+ is done`)
	for who, line := range map[string]string{"axel": "tasks " + id, "rita": "requests " + request, "ben": "tasks --all"} {
		if out := c.does(t, who, line, "", 0, ``); strings.ContainsAny(out, "\x1b\a\u202e") {
			t.Errorf("%s: %s: %q", who, line, out)
		}
	}
	if p := c.page(t, "axel", id); p.State != task.Done || len(p.Progress) != 2 || p.Progress[1].By.Name != "ben" || p.Votes[0].Who.Name != "rita" {
		t.Errorf("%+v", p.Task)
	}
}

// What failed in a transaction left nothing, and is executed again as its plan says:
// what was committed is not.
func repeats(t *testing.T, c *testCompany) {
	file := `
name: once more
approvals: [{ role: reviewer }]
steps:
  - name: one
    target: shop-production
    retry: 1
    script: |
      begin;
      update products set price = price + 1000 where id = 11;
      select 1 / count(*) from products where id = 11 and name = 'ready';
      commit;
`
	price := func() string { return c.query(t, "select price > 1000 and price < 2000 from products where id = 11") }
	id, request := c.submits(t, file, "")
	c.does(t, "rita", "approve "+request, "", 0, ``)
	c.does(t, "nora", "approve "+request, "", 0, ``)
	c.does(t, "ben", "tasks run "+id, "", 1, `(?s)UPDATE 1.*division by zero`)
	if got := price(); !strings.Contains(got, "f") {
		t.Fatalf("something of what failed lasts: %s", got)
	}
	c.does(t, "ben", "tasks run "+id, "", 3, `is failed`)
	c.query(t, "update products set name = 'ready' where id = 11")
	c.does(t, "carol", "tasks retry "+id+" one", "", 0, `is running; next is step one`)
	c.does(t, "carol", "tasks run "+id, "", 0, `(?s)UPDATE 1.*task \d+ is done`)
	if got := price(); !strings.Contains(got, "t") {
		t.Fatalf("it was not executed, or twice: %s", got)
	}
	if text := c.does(t, "axel", "tasks "+id, "", 0, `(?s)one +shop-production +repeated +ben.*one +shop-production +done +carol`); !strings.Contains(text, "to be repeated") {
		t.Error(text)
	}

	// Without a transaction the first statement lasts, so it takes a vote.
	id, request = c.submits(t, strings.NewReplacer("begin;", "", "commit;", "", "'ready'", "'never'").Replace(file), "")
	c.does(t, "rita", "approve "+request, "", 0, ``)
	c.does(t, "nora", "approve "+request, "", 0, ``)
	c.does(t, "ben", "tasks run "+id, "", 1, `division by zero`)
	c.does(t, "ben", "tasks retry "+id+" one", "", 3, `--reason`)
	again := c.does(t, "ben", "tasks retry "+id+" one --reason it does no harm", "", 0, `asks to repeat step one`)
	c.does(t, "nora", "requests "+again, "", 0, `may last, and would be executed again`)
	c.does(t, "ben", "tasks run "+id, "", 3, `is failed`)
}

// confirms types a number digit by digit: what comes at once counts as pasted.
func (p *person) confirms(number string) {
	for i := range number {
		p.types(number[i : i+1])
		p.sees(`then enter: ` + number[:i+1])
	}
	p.types("\r")
}

// The same by the screens: alice designs it of a runbook, rita approves it, ben starts
// it, axel finds who did what and replays it.
func plansOnScreens(t *testing.T, c *testCompany) {
	alice := c.sits(t, "alice", 80, 24)
	alice.sees(`shop-production`)
	alice.types("t")
	alice.sees(`Open tasks`)
	alice.types("n")
	alice.sees(`customer data correction, 3 parameters`)
	alice.types("\x1b[B\r")
	alice.sees(`the customer's number`)
	alice.types("12\r")
	alice.sees(`> city`)
	alice.types("Lyon\r")
	alice.sees(`‹ AT ›`)
	alice.types("\x1b[D\r")
	id := alice.sees(`task (\d+) is a draft`)[1]
	alice.types("s")
	alice.sees(`Why\?`)
	alice.types("moved house\r")
	request := alice.sees(`request (\d+) asks for 1 approval`)[1]
	alice.types("g")
	alice.sees(`the task is review`)

	rita := c.sits(t, "rita", 80, 24)
	rita.sees(`waits? for you`)
	rita.types("t")
	rita.sees(`customer data`)
	rita.types("\r")
	rita.sees(`v opens the request`)
	rita.types("v")
	rita.sees(`y approve`)
	rita.types("y")
	rita.sees(`Type the request's number`)
	rita.confirms(request)
	rita.sees(`approved`)

	ben := c.sits(t, "ben", 80, 24)
	ben.sees(`shop-production`)
	ben.types("t")
	ben.sees(`correct on shop-prod`)
	ben.types("\r")
	ben.sees(`g starts it`)
	ben.types("g")
	ben.sees(`Type the task's number`)
	ben.confirms(id)
	ben.sees(`✓ 2 done`)
	ben.sees(`task ` + id + ` is done`)
	if got := c.query(t, "select city || country from customers where id = 12"); !strings.Contains(got, "LyonSE") {
		t.Fatalf("the correction: %s", got)
	}

	axel := c.sits(t, "axel", 80, 24)
	axel.sees(`policy`)
	axel.types("t")
	axel.sees(`Open tasks`)
	axel.types("\t")
	axel.sees(`(?s)All tasks.*› +` + id + ` `) // what is being read cannot be opened yet
	axel.types("\r")
	axel.sees(`designed by alice`)
	axel.types("r")
	axel.sees(`(?s)Whose part.*> alice, .*rita, .*ben, `)
	axel.types("\x1b[B\x1b[B")
	axel.sees(`> ben, `)
	axel.types("\r")
	axel.sees(`playing|0:00`)
	axel.sees(`correct: began`)
	for _, p := range []*person{alice, rita, ben, axel} {
		p.types("\x03")
		p.leaves()
	}
}
