package approval_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// duties of the roles; a person's groups are their roles.
var duties = map[string][]bastion.Duty{
	"deployer": {bastion.Execute},
	"reviewer": {bastion.Approve},
	"owner":    {bastion.Approve},
	"auditor":  {bastion.Audit},
	"chief":    {bastion.Administer, bastion.Design}, // not to approve
}

func rolesOf(i bastion.Identity) []bastion.Role {
	var roles []bastion.Role
	for _, g := range i.Groups {
		if d, ok := duties[g]; ok {
			roles = append(roles, bastion.Role{Name: g, Duties: d})
		}
	}
	return roles
}

// world is a service with people around it, a clock and a log in the store.
type world struct {
	*approval.Service
	*bastiontest.Clock
	*bastiontest.People
	t  testing.TB
	db *store.DB

	mu     sync.Mutex // guards what follows
	broken error      // what Append answers
	deaf   error      // what Notify answers
	gone   bool       // policy offers no access any more
	terms  *bastion.Terms

	lawless bool // nobody says what policy offers
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, people ...bastion.Identity) *world {
	t.Helper()
	return worldIn(t, storetest.Dir(t), people...)
}

func worldIn(t testing.TB, dir string, people ...bastion.Identity) *world {
	t.Helper()
	return worldOver(t, storetest.Open(t, dir), people...)
}

func worldOver(t testing.TB, db *store.DB, people ...bastion.Identity) *world {
	t.Helper()
	w := &world{t: t, db: db, Clock: bastiontest.NewClock(start), People: bastiontest.NewPeople(people...)}
	w.Service = w.service(w.Now)
	return w
}

// service makes a further service over the same store, as after a restart.
func (w *world) service(now func() time.Time) *approval.Service {
	w.t.Helper()
	c := approval.Config{DB: w.db, Append: w.append, Roles: rolesOf, Known: w.Known, People: w.Everybody,
		Teams: teamsOf, Terms: w.offers, Notify: w.notify, Now: now}
	if w.lawless {
		c.Terms = nil
	}
	s, err := approval.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// teamsOf are the groups that are teams.
func teamsOf(i bastion.Identity) []string {
	return slices.DeleteFunc(slices.Clone(i.Groups), func(g string) bool { return !strings.HasPrefix(g, "team-") })
}

// offers is what policy says of access now: what it said when it was asked for,
// unless a test says otherwise.
func (w *world) offers(_ bastion.Identity, _, bundle string, emergency bool) (bastion.Terms, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return bastion.Terms{}, false
	}
	if w.terms != nil {
		return *w.terms, true
	}
	return terms(bundle, need(1, "reviewer")), true
}

// terms are those of a bundle for at most eight hours.
func terms(bundle string, needs ...bastion.Need) bastion.Terms {
	return bastion.Terms{Bundle: bundle, Max: 8 * time.Hour, Needs: needs}
}

func (w *world) notify(tx store.Tx, n approval.Note) error {
	w.mu.Lock()
	err := w.deaf
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return noteTo(tx, n)
}

func noteTo(tx store.Tx, n approval.Note) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	id, err := tx.Next("outbox")
	if err != nil {
		return err
	}
	return tx.Put("outbox", binary.BigEndian.AppendUint64(nil, id), b)
}

func (w *world) notes() []approval.Note {
	w.t.Helper()
	var all []approval.Note
	if err := w.db.View(func(tx store.Tx) error {
		all = nil
		return tx.Scan("outbox", nil, func(_, v []byte) (bool, error) {
			var n approval.Note
			err := json.Unmarshal(v, &n)
			all = append(all, n)
			return true, err
		})
	}); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) append(tx store.Tx, e bastion.Event) error {
	w.mu.Lock()
	err := w.broken
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return storetest.Append(tx, e)
}

// log is the events of a request in few words: kind, author, what.
func (w *world) log(id uint64) string {
	w.t.Helper()
	var lines []string
	for _, e := range storetest.Events(w.t, w.db) {
		if e.Request != id {
			continue
		}
		line := string(e.Kind) + " " + e.Name
		if e.Kind == bastion.EventVote {
			line += " " + e.Effect
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

var production = bastion.Target{Name: "shop-production", Kind: "postgres", Address: "db:5432"}

func plan(text string) bastion.Operation {
	return bastion.Plan(production, text, bastion.Intent{
		Verb: "update", Actions: []bastion.Action{{Verb: "update", Resource: "public.customers"}},
		Settings: "search_path=public", Summary: "update of public.customers",
	})
}

const statement = "update customers set city = 'Bern' where id = 7"

func need(count int, role string) bastion.Need { return bastion.Need{Count: count, Role: role} }

func ask(who bastion.Identity, op bastion.Operation, needs ...bastion.Need) bastion.Question {
	return bastion.Question{
		Who: who, Origin: bastion.Origin{Address: "192.0.2.7:40000", Key: "SHA256:" + who.Name}, Session: "s-" + who.Name, Op: op,
		Decision: bastion.Decision{Effect: bastion.Ask, Rule: "production-writes", Needs: needs},
		Reason:   "the customer moved", Preview: bastion.Preview{Rows: 1},
	}
}

func (w *world) file(q bastion.Question) bastion.Request {
	w.t.Helper()
	r, err := w.File(w.t.Context(), q)
	if err != nil {
		w.t.Fatalf("filing: %v", err)
	}
	return r
}

func (w *world) vote(who bastion.Identity, id uint64, v bastion.Verdict) (bastion.Request, error) {
	return w.Vote(w.t.Context(), bastion.Ballot{Request: id, Verdict: v, Reason: "I looked at it", Who: who,
		Origin: bastion.Origin{Key: "SHA256:" + who.Name}, Session: "s-" + who.Name})
}

// approves casts an approval that has to be accepted.
func (w *world) approves(who bastion.Identity, id uint64) bastion.Request {
	w.t.Helper()
	r, err := w.vote(who, id, bastion.VoteApprove)
	if err != nil {
		w.t.Fatalf("%s approves: %v", who.Name, err)
	}
	return r
}

// state is the request as it is kept.
func (w *world) state(id uint64) bastion.RequestState {
	w.t.Helper()
	axel := bastiontest.Person("axel", "auditor")
	r, err := w.Request(w.t.Context(), axel, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.State
}

// refused insists on an error that says something.
func refused(t testing.TB, err error, says string) {
	t.Helper()
	if err == nil {
		t.Fatalf("allowed; should be refused: %s", says)
	}
	if !strings.Contains(err.Error(), says) {
		t.Fatalf("refused with %q; should say %q", err, says)
	}
}

func number(n int) string { return fmt.Sprintf("update customers set city = 'Bern' where id = %d", n) }

// The people of most tests.
var (
	alice = bastiontest.Person("alice", "deployer")
	rita  = bastiontest.Person("rita", "reviewer")
	omar  = bastiontest.Person("omar", "owner")
	pia   = bastiontest.Person("pia", "reviewer", "owner")
	axel  = bastiontest.Person("axel", "auditor")
	ben   = bastiontest.Person("ben", "deployer", "reviewer")
)

func everybody() []bastion.Identity { return []bastion.Identity{alice, rita, omar, pia, axel, ben} }

// forgetKind makes a request what an earlier version kept.
func (w *world) forgetKind(id uint64) {
	w.t.Helper()
	key := binary.BigEndian.AppendUint64(nil, id)
	if err := w.db.Update(func(tx store.Tx) error {
		var r map[string]json.RawMessage
		if err := json.Unmarshal(tx.Get("approval.requests", key), &r); err != nil {
			return err
		}
		var wake time.Time
		if err := json.Unmarshal(r["wake"], &wake); err != nil {
			return err
		}
		delete(r, "kind")
		delete(r, "wake")
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		due := append(binary.BigEndian.AppendUint64(nil, uint64(wake.UnixNano())), key...)
		return errors.Join(tx.Delete("approval.due", due), tx.Put("approval.requests", key, b))
	}); err != nil {
		w.t.Fatal(err)
	}
}
