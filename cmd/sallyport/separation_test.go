package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/charter"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/bastion/demo/idp"
	"github.com/sallyport/sallyport/testdata/policies"
)

// told is what a webhook heard, by kind.
type told chan map[string]any

func (h told) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var m map[string]any
	if json.NewDecoder(r.Body).Decode(&m) == nil {
		h <- m
	}
}

// hears waits for what the webhook is told of that kind.
func (h told) hears(t *testing.T, kind string) map[string]any {
	t.Helper()
	for {
		select {
		case m := <-h:
			if m["kind"] == kind {
				return m
			}
		case <-t.Context().Done():
			t.Fatalf("nobody was told of %s", kind)
		}
	}
}

// separated is a company in which nobody is deployer and reviewer at once, which ben
// has to choose, and which tells a webhook of everything.
func separated(t *testing.T) (*testCompany, told) {
	t.Helper()
	policy := strings.Replace(string(policies.Demo), "separation:\n", `separation:
  - name: hats
    roles: [deployer, reviewer]
    conflict: choose
    reason: "who deploys does not review on the same day"
`, 1)
	heard := make(told, 100)
	server := httptest.NewServer(heard)
	t.Cleanup(server.Close)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := policyDir(t, policy)
	twin := idp.Person{User: "alina", Name: "Alina", Email: "Alice@shop.example", Password: "alina", Groups: []string{"auditors"}}
	c := opens(t, func(o *demo.Options) {
		o.Dir = dir
		o.IDP.People = append(idp.DemoPeople(), twin)
		o.More = "\nnotify:\n  address: bastion.shop.example\n  channels:\n    - name: watch\n      kinds: [used]\n      webhook: { url: " + server.URL + ", secret: { file: " + key + " } }\n"
	})
	c.keys(t, "alina", "laptop")
	c.known(t, "alice", "rita", "axel", "ben")
	return c, heard
}

func TestSeparation(t *testing.T) {
	c, heard := separated(t)
	t.Run("roles", c.chooses)
	t.Run("emergency", func(t *testing.T) { c.burns(t, heard) })
}

// Who leaves a group at the provider, or the company, takes their votes along: the
// access that they approved ends, and they approve nothing more. Nobody signs in anew.
func TestGroupsAreThoseOfNow(t *testing.T) {
	dir := policyDir(t, strings.Replace(string(policies.Demo), "  auditor: ", "  keeper: { groups: [keepers], duties: [administer] }\n  auditor: ", 1))
	c := opens(t, func(o *demo.Options) {
		o.Recheck, o.Dir = "1s", dir
		o.IDP.People = idp.DemoPeople()
		o.IDP.People[2].Groups = append(o.IDP.People[2].Groups, "keepers") // axel
	})
	c.keys(t, "laptop")
	c.known(t, "alice", "rita", "ben", "axel")
	t.Run("keys", c.losesALaptop)
	t.Run("lock", c.locksOut)
	const change = `sql --reason moved --wait 100ms shop-production update customers set city = 'Ulm' where id = 3`
	c.does(t, "alice", change, "", 4, ``)
	request := c.waitsFor(t, "rita", "set city = 'Ulm'")
	c.does(t, "rita", "approve "+request, "", 0, `approved`)
	if err := c.Provider.SetGroups("rita", "auditors"); err != nil {
		t.Fatal(err)
	}
	c.until(t, "rita", "whoami", `auditors`)
	c.does(t, "axel", "events", "", 0, `rita facts .*no longer in reviewers; now in auditors`)
	// The approval is there, and at the moment of use rita is no reviewer any more.
	c.does(t, "alice", change, "", 4, `no longer counts: rita may no longer approve it; ask again`)
	c.does(t, "alice", change, "", 4, ``)
	again := c.waitsFor(t, "ben", "set city = 'Ulm'")
	if again == request {
		t.Errorf("request %s still counts", request)
	}
	c.does(t, "rita", "approve "+again, "", 3, `(?i)not|may`)
	c.does(t, "ben", "sql shop-production select city = 'Ulm' as moved from customers where id = 3", "", 0, `(?m)^\W*f\b`)

	// Somebody who is disabled there is gone here, and what he runs is stopped.
	p := c.sits(t, "ben", 100, 30, "sql shop-staging select 1 from generate_series(1, 100000000000)")
	c.until(t, "axel", "events", `ben decision .*generate_series`)
	if err := c.Provider.Disable("ben"); err != nil {
		t.Fatal(err)
	}
	p.sees(`identity provider has ended your sign-in`)
	c.until(t, "axel", "events", `ben facts .*the identity provider has ended the sign-in`)
}

// Who loses a machine takes its key away, and nobody else's.
func (c *testCompany) losesALaptop(t *testing.T) {
	c.signsInAt(t, "laptop", "alice", "whoami")
	var laptop string
	for _, line := range strings.Split(c.runs(t, "laptop", "keys").out, "\n") {
		if strings.HasSuffix(strings.TrimSpace(line), "this one") {
			laptop = strings.Fields(line)[0]
		}
	}
	c.does(t, "rita", "keys forget "+laptop, "", 3, `is no key of yours`)
	c.does(t, "alice", "keys forget", "", 2, `keys forget FINGERPRINT`)
	c.does(t, "ci-bot", "keys", "", 3, `in the configuration`)
	c.does(t, "alice", "keys forget "+laptop, "", 0, `nobody's now`)
	c.does(t, "alice", "keys", "", 0, `this one`)
	if r := c.runs(t, "alice", "keys"); strings.Contains(r.out, laptop) {
		t.Errorf("the key is still there: %s", r)
	}
	c.sits(t, "laptop", 100, 30, "whoami").sees(`user_code=`)
	c.does(t, "axel", "events", "", 0, `alice unbind .*`+regexp.QuoteMeta(laptop))
}

// Those who administer keep somebody out at once, and nobody else does.
func (c *testCompany) locksOut(t *testing.T) {
	c.does(t, "rita", "people lock ben --reason gone", "", 3, `duty to administer`)
	c.does(t, "rita", "people", "", 3, `duty to audit or to administer`)
	c.does(t, "axel", "people lock ben", "", 2, `say why`)
	c.does(t, "axel", "people lock bne --reason gone", "", 3, `nobody of the name bne`)
	c.does(t, "axel", "people lock axel --reason gone", "", 3, `nobody locks themselves out`)
	c.does(t, "axel", "people unlock ben", "", 3, `ben is not locked out`)
	p := c.sits(t, "ben", 100, 30, "sql shop-staging select 1 from generate_series(1, 100000000001)")
	c.until(t, "axel", "events", `ben decision .*generate_series`)
	c.does(t, "axel", "people lock ben --reason gone", "", 0, `ben is locked out`)
	p.sees(`you are locked out of this bastion`)
	c.does(t, "ben", "whoami", "", 255, `you are locked out of this bastion`)
	c.does(t, "axel", "people", "", 0, `(?s)alice.*deployer.*ben .*locked out since`)
	c.does(t, "axel", "people unlock ben", "", 0, `ben may sign in again`)
	c.signsInAt(t, "ben", "ben", "whoami")
	c.does(t, "axel", "events --json", "", 0, `"kind":"revoke".*access of ben .*"reason":"gone"`)
}

// until has somebody look again and again until they see it.
func (c *testCompany) until(t *testing.T, name, line, want string) {
	t.Helper()
	re := regexp.MustCompile(want)
	for {
		r := c.runs(t, name, line)
		if re.MatchString(r.out) {
			return
		}
		if r.code != 0 || t.Context().Err() != nil {
			t.Fatalf("%s %s: %s, want %s", name, line, r, want)
		}
	}
}

// Who holds roles that nobody may hold together acts in one of them, by choice and
// until the next sign-in; in no way can they decide in one what they did in the other.
func (c *testCompany) chooses(t *testing.T) {
	const change = `sql --reason "'a customer moved'" --wait 100ms shop-production update customers set city = 'Ulm' where id = 3`
	const choose = `separation/hats.*who deploys does not review.*ssh bastion act deployer, or ssh bastion act reviewer`

	// Without a choice nothing goes, by no way into the bastion.
	c.does(t, "ben", "targets", "", 3, choose)
	c.does(t, "ben", "requests", "", 3, choose)
	if r := execute(t, "", c.ssh("ben", "-W", "shop-production:5432")...); r.code == 0 || !regexp.MustCompile(choose).MatchString(r.err) {
		t.Errorf("a tunnel without a choice: %s", r)
	}
	c.does(t, "ben", "act auditor", "", 3, `not among those to choose from: deployer, reviewer`)
	c.does(t, "alice", "act deployer", "", 3, `nothing to choose`)
	c.does(t, "ci-bot", "act bot", "", 3, `nothing to choose`)

	// At a terminal there is a question. What was pasted does not answer it.
	p := c.sits(t, "ben", 100, 30)
	p.sees(`In which role do you act\?`)
	p.types("\x1b[200~\r\x1b[201~")
	p.types("\x1b[B\x1b[A")
	p.sees(`> deployer`)
	p.types("\r")
	p.sees(`you act as deployer`)
	p.sees(`shop-production`)
	c.does(t, "ben", "act reviewer", "", 3, `you act as deployer since you chose so; to choose anew, sign in again first`)

	// As a deployer he asks, and approves nothing: neither this nor another one's.
	c.does(t, "ben", change, "", 4, ``)
	mine := c.waitsFor(t, "rita", "set city = 'Ulm'")
	c.does(t, "ben", "approve "+mine, "", 3, `your own`)
	c.does(t, "alice", strings.Replace(change, "Ulm", "Hof", 1), "", 4, ``)
	hers := c.waitsFor(t, "rita", "set city = 'Hof'")
	c.does(t, "ben", "approve "+hers, "", 3, `not found`)

	// As a reviewer he decides what others ask, and not what he asked as a deployer.
	c.signsInAt(t, "ben", "ben", "login")
	c.does(t, "ben", "targets", "", 3, choose)
	c.does(t, "ben", "act reviewer", "", 0, `you act as reviewer`)
	c.does(t, "ben", "approve "+mine, "", 3, `your own`)
	c.does(t, "ben", "sql shop-staging select 1", "", 3, `not found`)
	c.does(t, "ben", "approve "+hers, "", 0, `approved`)

	// What he approved stays approved when he goes back to deploying.
	c.signsInAt(t, "ben", "ben", "login")
	c.does(t, "ben", "act deployer", "", 0, ``)
	c.does(t, "alice", strings.Replace(change, "Ulm", "Hof", 1), "", 0, `UPDATE 1`)
	c.does(t, "axel", "events", "", 0, `(?s)ben act .*acts as deployer.*ben act .*acts as reviewer.*ben act .*acts as deployer`)
}

// An emergency is taken at once, told at once whatever a channel's filter says, and
// looked at by somebody else: not by another key, another account or a service of who
// took it.
func (c *testCompany) burns(t *testing.T, heard told) {
	const change = "sql shop-production update customers set city = 'Köln' where id = 5"
	c.does(t, "rita", "break-glass shop-production --reason on fire", "", 3, `no emergency access`)
	c.does(t, "alice", "break-glass shop-production", "", 3, `reason`)
	c.does(t, "alice", "break-glass shop-production --for 31m --reason on fire", "", 1, `30m`)
	id := c.does(t, "alice", "break-glass shop-production --reason checkout is down", "", 0, `granted until`)
	alarm := heard.hears(t, "emergency")
	if alarm["who"] != "alice" || alarm["target"] != "shop-production" || alarm["reason"] != nil && strings.Contains(alarm["reason"].(string), "update") {
		t.Errorf("the alarm: %v", alarm)
	}
	c.does(t, "axel", "notify", "", 0, `watch +[1-9]`)
	c.does(t, "axel", "notify dead", "", 0, `nothing was given up on`)
	c.does(t, "axel", "notify retry 99", "", 3, `not found`)
	c.does(t, "alice", "notify", "", 3, `duty to audit or to administer`)
	// A second time is the same one: no longer, and nothing new.
	if again := c.does(t, "alice", "break-glass shop-production --reason again", "", 0, ``); again != id {
		t.Errorf("a second emergency, %s beside %s", again, id)
	}
	c.does(t, "alice", change, "", 0, `UPDATE 1`)
	c.does(t, "alice", "sql shop-production delete from payments", "", 3, `no-unbounded-writes`)
	c.does(t, "ci-bot", change+" --", "", 3, `reason|waits|approv`)

	review := regexp.MustCompile(`"id":(\d+),"kind":"review"`).FindStringSubmatch(c.does(t, "axel", "requests --json", "", 0, ``))
	if review == nil {
		t.Fatal("no review")
	}
	c.does(t, "axel", "approve "+review[1], "", 3, `still goes on`)
	// What runs by it ends with it, in a session and in a tunnel.
	at := freePort(t)
	c.tunnel(t, "alice", "-L", fmt.Sprintf("%d:shop-production:5432", at))
	const slow = "update customers set city = 'Unna' where id = 6"
	lock, err := pgx.Connect(t.Context(), c.Database.URL(c.Database.App(), "shop_production"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close(context.Background())
	if _, err := lock.Exec(t.Context(), "begin; select 1 from customers where id = 6 for update"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan result, 2)
	go func() { ended <- c.runs(t, "alice", "sql shop-production "+slow) }()                              // ends with the access
	go func() { ended <- psql(t, "127.0.0.1", at, "shop_production", "-c", slow+" /* in a tunnel */") }() // ends with the access
	for c.asked(slow) < 2 {
		if len(ended) > 0 {
			t.Fatalf("it ended before the access: %s", <-ended)
		}
		runtime.Gosched()
	}
	c.does(t, "alice", "revoke "+id, "", 0, `revoked`)
	for range 2 {
		if r := <-ended; r.code == 0 || !strings.Contains(r.err, "what allowed this ended while it ran") {
			t.Errorf("it went on, or does not say why it ended: %s", r)
		}
	}
	if _, err := lock.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if got := c.query(t, "select city from customers where id = 6"); strings.Contains(got, "Unna") {
		t.Error("it was done all the same")
	}
	c.does(t, "alice", change, "", 3, `reason`)

	// Whoever reviews it finds what was recorded of it, all of it and nothing else.
	page := c.runs(t, "axel", "requests --json "+review[1])
	var looked struct{ Recordings []string }
	if err := json.Unmarshal([]byte(page.out), &looked); err != nil || len(looked.Recordings) == 0 {
		t.Fatalf("%v: %s", err, page)
	}
	told := ""
	for _, id := range looked.Recordings {
		text := c.runs(t, "axel", "text "+id)
		told += text.out + text.err
		if !strings.Contains(text.out, "alice") || !strings.Contains(text.out, "shop-production") {
			t.Errorf("recording %s has nothing to do with it: %s", id, text)
		}
	}
	if !strings.Contains(told, "Köln") || !strings.Contains(told, slow) || !strings.Contains(told, "in a tunnel") {
		t.Errorf("the recordings %q do not tell all that was done: %s", looked.Recordings, told)
	}

	c.does(t, "alice", "approve "+review[1], "", 3, `your own emergency`)
	c.does(t, "alice", "deny "+review[1]+" --reason nothing to see", "", 3, `your own emergency`)
	c.does(t, "alice", "revoke "+review[1], "", 3, ``)
	c.does(t, "ci-bot", "approve "+review[1], "", 3, ``)
	c.signsInAt(t, "laptop", "alice", "whoami")
	c.does(t, "laptop", "approve "+review[1], "", 3, `your own emergency`)
	c.signsInAt(t, "alina", "alina", "whoami") // an auditor with the e-mail address of alice
	c.does(t, "alina", "approve "+review[1], "", 3, `your own emergency`)
	c.does(t, "rita", "approve "+review[1], "", 3, `not found`)
	c.does(t, "axel", "approve "+review[1]+" --reason nothing is wrong", "", 0, `closed`)
	if r := c.does(t, "axel", "events", "", 0, ``); !regexp.MustCompile(`alice alarm .*request="` + id + `"`).MatchString(r) {
		t.Errorf("the log has no alarm:\n%s", r)
	}
}

// The vote of somebody who by now holds roles that nobody may hold together counts no
// more; of somebody who can choose, it does.
func TestEligible(t *testing.T) {
	policy := strings.Replace(governedPolicy(), "separation:\n", "separation:\n  - { name: hats, roles: [deployer, reviewer], conflict: choose }\n", 1)
	p, problems := kept(charter.Version{Number: 1, Text: policy}, world(&config.Config{}, nil))
	if p == nil {
		t.Fatal(problems.Err())
	}
	s := &server{policy: &livePolicy{}}
	s.policy.Store(p)
	for groups, want := range map[string]string{"reviewers": "observer reviewer", "deployers reviewers": "deployer observer reviewer", "reviewers auditors": "", "deployers auditors": ""} {
		var held []string
		for _, r := range s.eligible(bastion.Identity{Issuer: "i", Subject: groups, Kind: bastion.Person, Groups: strings.Fields(groups)}) {
			held = append(held, r.Name)
		}
		if got := strings.Join(held, " "); got != want {
			t.Errorf("%s: %s; want %s", groups, got, want)
		}
	}
}
