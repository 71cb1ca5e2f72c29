package tui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

var update = flag.Bool("update", false, "write the golden files anew")

// noon is the present of all fakes.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// visit is a fake of what screens need of a session.
type visit struct {
	mu       sync.Mutex
	who      bastion.Identity
	roles    []bastion.Role
	now      time.Time
	targets  []bastion.TargetView
	requests []bastion.Request
	tapes    []bastion.Recording
	replay   func(id string) (bastion.Replay, error)
	err      error         // of every question
	hold     chan struct{} // questions wait for it, if there is one
	act      func(role string) error
	signIn   func(context.Context, func(bastion.SignInPrompt) error) error

	past  bastion.Past
	trial *bastion.Preview // of whatever is tried; nil if nothing can be
	tried []uint64

	plans   *plans // nil: no screens for tasks
	asked   []bastion.RecordingFilter
	ballots []string // "12 approve reason"
}

func (v *visit) Who() bastion.Identity { return v.who }
func (v *visit) Roles() []bastion.Role { return v.roles }
func (v *visit) Now() time.Time        { return v.now }
func (v *visit) Has(d bastion.Duty) bool {
	for _, r := range v.roles {
		for _, has := range r.Duties {
			if has == d {
				return true
			}
		}
	}
	return false
}

func (v *visit) wait(ctx context.Context) error {
	if v.hold != nil {
		select {
		case <-v.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

func (v *visit) Targets(ctx context.Context) ([]bastion.TargetView, error) {
	return v.targets, v.wait(ctx)
}

func (v *visit) Requests(ctx context.Context, f bastion.RequestFilter) ([]bastion.Request, error) {
	if err := v.wait(ctx); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []bastion.Request
	for _, r := range v.requests {
		if f.Open && !r.State.Open() || f.Mine && !r.Who.Equal(v.who) || f.Decide && !r.Yours {
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

func (v *visit) Request(ctx context.Context, id uint64) (bastion.Request, error) {
	if err := v.wait(ctx); err != nil {
		return bastion.Request{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.requests {
		if r.ID == id {
			return r, nil
		}
	}
	return bastion.Request{}, bastion.ErrNotFound
}

// change changes a request and returns it.
func (v *visit) change(id uint64, f func(*bastion.Request)) (bastion.Request, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.requests {
		if v.requests[i].ID == id {
			f(&v.requests[i])
			return v.requests[i], nil
		}
	}
	return bastion.Request{}, bastion.ErrNotFound
}

func (v *visit) Vote(ctx context.Context, id uint64, verdict bastion.Verdict, reason string) (bastion.Request, error) {
	if err := v.wait(ctx); err != nil {
		return bastion.Request{}, err
	}
	return v.change(id, func(r *bastion.Request) {
		v.ballots = append(v.ballots, strings.TrimSpace(fmt.Sprint(id, " ", verdict, " ", reason)))
		switch verdict {
		case bastion.VoteApprove:
			r.State, r.Yours, r.Ended = bastion.Approved, false, v.now
		case bastion.VoteDeny:
			r.State, r.Yours, r.Ended = bastion.Denied, false, v.now
		}
		if r.Kind == bastion.KindReview && verdict != bastion.VoteComment {
			r.State = bastion.Closed
		}
		r.Votes = append(r.Votes, bastion.Vote{Who: v.who, Roles: []string{"reviewer"}, Verdict: verdict, Reason: reason, At: v.now})
	})
}

func (v *visit) Withdraw(ctx context.Context, id uint64) (bastion.Request, error) {
	if err := v.wait(ctx); err != nil {
		return bastion.Request{}, err
	}
	return v.change(id, func(r *bastion.Request) { r.State, r.Ended = bastion.Withdrawn, v.now })
}

func (v *visit) Revoke(ctx context.Context, id uint64, reason string) (bastion.Request, error) {
	if err := v.wait(ctx); err != nil {
		return bastion.Request{}, err
	}
	return v.change(id, func(r *bastion.Request) { r.State, r.Ended = bastion.Revoked, v.now })
}

func (v *visit) Reviewed(_ context.Context, r bastion.Request) ([]string, error) {
	if r.Kind != bastion.KindReview {
		return nil, nil
	}
	return []string{"k7f3", "q2m9"}, nil
}
func (v *visit) Past(context.Context, uint64) (bastion.Past, error) { return v.past, nil }

func (v *visit) Try(ctx context.Context, id uint64) (bastion.Preview, error) {
	if err := v.wait(ctx); err != nil {
		return bastion.Preview{}, err
	}
	v.tried = append(v.tried, id)
	if v.trial == nil {
		return bastion.Preview{}, errors.New("it cannot be tried")
	}
	return *v.trial, nil
}

func (v *visit) Terms(context.Context, string) ([]bastion.Terms, error) {
	return []bastion.Terms{
		{Bundle: "production-write", Reason: "writes without asking for each", Max: 2 * time.Hour, Needs: bastion.Needs{{Count: 1, Role: "reviewer"}}},
		{Bundle: "fire", Max: 30 * time.Minute, Needs: bastion.Needs{{Count: 1, Role: "auditor"}}, Emergency: true},
	}, nil
}

func (v *visit) RequestAccess(ctx context.Context, target string, _ bastion.AccessAsked, reason string) (bastion.Request, error) {
	if err := v.wait(ctx); err != nil {
		return bastion.Request{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	r := bastion.Request{ID: 31, State: bastion.Pending, Who: v.who, Target: target, Verb: bastion.Connect, Actions: []bastion.Action{{Verb: bastion.Connect}}, Text: "connect " + target,
		Summary: "connect to " + target, Reason: reason, Rule: "vault-access", Needs: bastion.Needs{{Count: 1, Role: "reviewer"}}, Created: v.now, Expires: v.now.Add(time.Hour), Preview: bastion.Preview{Rows: -1}, Approvers: []string{"rita"}}
	v.requests = append(v.requests, r)
	return r, nil
}

func (v *visit) SignIn(ctx context.Context, show func(bastion.SignInPrompt) error) error {
	return v.signIn(ctx, show)
}

func (v *visit) Act(ctx context.Context, role string) error {
	if err := v.act(role); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err, v.who.Acting = nil, []string{role}
	return nil
}

func (v *visit) Recordings(ctx context.Context, f bastion.RecordingFilter) ([]bastion.Recording, error) {
	err := v.wait(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, f)
	return v.tapes, err
}

func (v *visit) Replay(ctx context.Context, id string) (bastion.Replay, error) {
	if err := v.wait(ctx); err != nil {
		return nil, err
	}
	return v.replay(id)
}

// People of the tests.
func alice() bastion.Identity {
	return bastion.Identity{Issuer: "https://id.example", Subject: "1", Kind: bastion.Person, Name: "alice", Email: "alice@shop.example", SignedIn: noon.Add(-2 * time.Minute), Expires: noon.Add(11*time.Hour + 58*time.Minute)}
}

func rita() bastion.Identity {
	return bastion.Identity{Issuer: "https://id.example", Subject: "2", Kind: bastion.Person, Name: "rita", Email: "rita@shop.example", Expires: noon.Add(9*time.Hour + 12*time.Minute)}
}

func ciBot() bastion.Identity {
	return bastion.Identity{Issuer: "config", Subject: "ci-bot", Kind: bastion.Service, Name: "ci-bot", Owner: "https://id.example#9"}
}

func deployer() bastion.Role {
	return bastion.Role{Name: "deployer", Duties: []bastion.Duty{bastion.Execute}}
}

func reviewer() bastion.Role {
	return bastion.Role{Name: "reviewer", Duties: []bastion.Duty{bastion.Approve}}
}

func auditor() bastion.Role {
	return bastion.Role{Name: "auditor", Duties: []bastion.Duty{bastion.Audit}}
}

func visitOf(who bastion.Identity, roles ...bastion.Role) *visit {
	v := &visit{who: who, roles: roles, now: noon, targets: someTargets(), requests: someRequests(who), tapes: someRecordings(),
		replay: func(string) (bastion.Replay, error) { return someReplay(), nil }}
	for i := range v.requests {
		v.requests[i].Yours = v.requests[i].Yours && v.Has(bastion.Approve)
	}
	return v
}

func someTargets() []bastion.TargetView {
	target := func(name, env, about string, a bastion.Access) bastion.TargetView {
		return bastion.TargetView{Target: bastion.Target{Name: name, Kind: "postgres", Address: "db:5432", Labels: map[string]string{"env": env, "team": "shop"}, Description: about}, Access: a}
	}
	return []bastion.TargetView{
		target("shop-staging", "staging", "copy of the shop, refreshed every night", bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select", "insert", "update", "delete", "explain"}}),
		target("shop-production", "production", "the shop itself", bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select", "catalog", "explain"}, Ask: []bastion.Verb{"update", "delete", "alter"}, Note: "customers' e-mail and cards are masked"}),
		target("vault", "production", "payments and cards", bastion.Access{Connect: bastion.Ask, Ask: []bastion.Verb{"select"}}),
		target("reports", "", "", bastion.Access{Connect: bastion.Allow}),
	}
}

func someRequests(reader bastion.Identity) []bastion.Request {
	update := bastion.Request{ID: 12, State: bastion.Pending, Who: alice(), Origin: bastion.Origin{Address: "10.1.2.3:50122", Key: "SHA256:Zk3m0cXv6mW3oTq0S9m2n8bq3m1f7xUuJc1Vq8r7h2A", Client: "SSH-2.0-OpenSSH_9.6"},
		Session: "s-1", Target: "shop-production", Verb: "update", Actions: []bastion.Action{{Verb: "update", Resource: "public.customers"}, {Verb: "select", Resource: "public.orders"}},
		Text:   "UPDATE customers\n   SET email = 'new@shop.example'\n WHERE id = 7;",
		Digest: "5f0c954d0c0b1f5e4ce1f3a2f4f1b4a9d1f3ce0a4e6c2a9bb7a2f8c8a5c9d001", Settings: "search_path=public", Summary: "update of public.customers, with WHERE", Rule: "production-writes",
		Needs: bastion.Needs{{Count: 1, Role: "reviewer"}}, Reason: "ticket 4711: customer wants the new address", Preview: bastion.Preview{Rows: 1, Note: "the planner's estimate"},
		Created: noon.Add(-3 * time.Minute), Expires: noon.Add(27 * time.Minute), Approvers: []string{"rita", "ben"}, Yours: reader.Equal(rita())}
	drop := update
	drop.ID, drop.Who, drop.Verb, drop.Summary = 13, ciBot(), "alter", "alter of public.orders"
	drop.Text, drop.Actions, drop.Reason = "ALTER TABLE orders ADD COLUMN note text", []bastion.Action{{Verb: "alter", Resource: "public.orders"}}, "release 2.4"
	drop.Created, drop.Expires = noon.Add(-40*time.Second), noon.Add(29*time.Minute+20*time.Second)
	drop.Needs = bastion.Needs{{Count: 2, Role: "reviewer"}}
	old := update
	old.ID, old.State, old.Ended, old.Yours = 9, bastion.Denied, noon.Add(-24*time.Hour), false
	old.Created = noon.Add(-25 * time.Hour)
	old.Votes = []bastion.Vote{{Who: rita(), Roles: []string{"reviewer"}, Verdict: bastion.VoteDeny, Reason: "wrong customer", At: noon.Add(-24 * time.Hour)}}
	return []bastion.Request{drop, update, old}
}

func someRecordings() []bastion.Recording {
	return []bastion.Recording{
		{ID: "s-3", Who: rita(), Start: noon.Add(-4 * time.Minute), Length: 4 * time.Minute, Width: 80, Height: 24},
		{ID: "s-1", Who: alice(), Start: noon.Add(-time.Hour), End: noon.Add(-30 * time.Minute), Length: 30 * time.Minute, Targets: []string{"shop-production", "shop-staging"}, Width: 60, Height: 12, Operations: 14, Denied: 2, Asked: 1},
		{ID: "s-0", Who: ciBot(), Start: noon.Add(-26 * time.Hour), End: noon.Add(-26 * time.Hour), Length: 3 * time.Second, Targets: []string{"shop-staging"}, Command: "sql shop-staging 'select 1'", Operations: 1, Broken: true},
	}
}

// reelOf is a recording in memory.
type reelOf struct {
	recording bastion.Recording
	events    []bastion.Event
	chunks    []bastion.Chunk
	next      int
	closed    func()
}

func (r *reelOf) Recording() bastion.Recording { return r.recording }
func (r *reelOf) Events() []bastion.Event      { return r.events }
func (r *reelOf) Next() (bastion.Chunk, error) {
	if r.next == len(r.chunks) {
		return bastion.Chunk{}, io.EOF
	}
	r.next++
	return r.chunks[r.next-1], nil
}

func (r *reelOf) Close() error {
	if r.closed != nil {
		r.closed()
	}
	return nil
}

func someReplay() *reelOf {
	at := func(d time.Duration, e bastion.Event) bastion.Event {
		e.Offset, e.At, e.Session = d, noon.Add(-time.Hour+d), "s-1"
		return e
	}
	return &reelOf{recording: someRecordings()[1], events: []bastion.Event{
		at(0, bastion.Event{Seq: 101, Kind: bastion.EventStart, Origin: &bastion.Origin{Address: "10.1.2.3:50122"}}),
		at(2*time.Second, bastion.Event{Seq: 102, Kind: bastion.EventDecision, Verb: "connect", Target: "shop-production", Text: "connect shop-production", Effect: "allow", Rule: "connect"}),
		at(9*time.Second, bastion.Event{Seq: 103, Kind: bastion.EventDecision, Verb: "select", Target: "shop-production", Text: "select id, name, email\n  from customers", Effect: "allow", Rule: "reads"}),
		at(10*time.Second, bastion.Event{Seq: 104, Kind: bastion.EventResult, Verb: "select", Target: "shop-production", Rows: 2, Masked: []string{"email"}, Took: 1200 * time.Microsecond}),
		at(20*time.Second, bastion.Event{Seq: 105, Kind: bastion.EventDecision, Verb: "delete-all", Target: "shop-production", Text: "delete from payments", Effect: "deny", Rule: "never", Reason: "a DELETE without WHERE empties the table"}),
		at(60*time.Second, bastion.Event{Seq: 106, Kind: bastion.EventDecision, Verb: "update", Target: "shop-production", Text: "update customers set email = 'x' where id = 7", Effect: "ask", Rule: "production-writes"}),
		at(61*time.Second, bastion.Event{Seq: 107, Kind: bastion.EventRequest, Request: 12}),
		at(25*time.Minute, bastion.Event{Seq: 108, Kind: bastion.EventVote, Request: 12, By: []string{"rita"}, Effect: "approve"}),
		at(25*time.Minute+time.Second, bastion.Event{Seq: 109, Kind: bastion.EventResult, Verb: "update", Target: "shop-production", Rows: 1, Request: 12, By: []string{"rita"}}),
		at(30*time.Minute, bastion.Event{Seq: 110, Kind: bastion.EventEnd}),
	}, chunks: []bastion.Chunk{
		{At: 0, Output: []byte("\x1b[2J\x1b[H\x1b[1mshop-production\x1b[0m connected\r\n")},
		{At: 8 * time.Second, Output: []byte("\x1b[36mselect\x1b[0m id, name, email \x1b[36mfrom\x1b[0m customers;\r\n")},
		{At: 10 * time.Second, Output: []byte(" id │ name  │ email (masked)\r\n  7 │ Müll")},
		{At: 10 * time.Second, Output: []byte("er│ m•••@•••.de\r\n  8 │ Maier │ m•••@•••.de\r\n")},
		{At: 20 * time.Second, Output: []byte("\x1b[31mrefused\x1b[0m by rule never\r\n")},
		{At: 25*time.Minute + time.Second, Output: []byte("UPDATE 1\r\n\x1b]52;c;ZXZpbA==\x07")},
		{At: 26 * time.Minute, Width: 70, Height: 14},
		{At: 30 * time.Minute, Output: []byte("bye\r\n")},
	}}
}

// page is a screen that says what it is.
type page struct{ name string }

func (p page) Title() string             { return p.name }
func (p page) Typing() bool              { return false }
func (p page) Init() tea.Cmd             { return nil }
func (p page) ShortHelp() []key.Binding  { return []key.Binding{keyBack} }
func (p page) FullHelp() [][]key.Binding { return nil }
func (p page) View(int, int) string      { return p.name }
func (p page) Update(m tea.Msg) (Screen, tea.Cmd) {
	if k, ok := m.(tea.KeyMsg); ok && k.Type == tea.KeyEsc {
		return p, pop
	}
	return p, nil
}

// stage plays a model inside of a synctest bubble: commands run in goroutines of
// their own, and settle when all of them wait for something outside.
type stage struct {
	t     *testing.T
	ctx   context.Context
	root  *Root
	msgs  chan tea.Msg
	quit  bool
	rings int
}

// play runs a test with the screens of a visit.
func play(t *testing.T, v *visit, p termenv.Profile, test func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		st := &stage{t: t, ctx: ctx, msgs: make(chan tea.Msg, 1000)}
		th := newTheme(p)
		pl := places{
			console: func(target string) Screen { return page{target} },
			request: func(id uint64) Screen {
				return newDetail(ctx, v, th, id, func(target string) Screen { return page{target} })
			},
			recordings: func() Screen {
				return newRecordings(ctx, v, th, func(r bastion.Recording, only bool) Screen { return newPlayer(ctx, v, th, r, only) })
			},
		}
		if v.plans != nil {
			open := func(id uint64) Screen {
				return newTaskPage(ctx, v.plans, th, id, pl.request, func(session string) Screen { return newPlayer(ctx, v, th, bastion.Recording{ID: session}, false) })
			}
			pl.tasks = func() Screen { return newTasks(ctx, v.plans, th, open) }
		}
		st.root = newRoot(ctx, v, th, bastion.Window{Width: 80, Height: 24}, newHome(ctx, v, th, pl, ""))
		st.root.newQueue = func() Screen { return newApprovals(ctx, v, th, pl.request) }
		st.root.bell = func() { st.rings++ }
		st.run(st.root.Init())
		st.settle()
		test(st)
		cancel()
		st.root.leave()
		st.settle()
	})
}

func (st *stage) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go st.obey(cmd)
}

func (st *stage) obey(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	msg := cmd()
	if v := reflect.ValueOf(msg); msg != nil && v.Kind() == reflect.Slice && v.Type().Elem() == reflect.TypeFor[tea.Cmd]() {
		_, batch := msg.(tea.BatchMsg)
		for i := range v.Len() {
			if c := v.Index(i).Interface().(tea.Cmd); batch {
				st.run(c)
			} else {
				st.obey(c)
			}
		}
		return
	}
	if msg != nil {
		st.msgs <- msg
	}
}

// settle lets everything happen that can happen without time passing.
func (st *stage) settle() {
	for {
		synctest.Wait()
		select {
		case msg := <-st.msgs:
			if _, ok := msg.(tea.QuitMsg); ok {
				st.quit = true
				continue
			}
			_, cmd := st.root.Update(msg)
			st.run(cmd)
		default:
			return
		}
	}
}

func (st *stage) send(msgs ...tea.Msg) {
	for _, m := range msgs {
		_, cmd := st.root.Update(m)
		st.run(cmd)
		st.settle()
	}
}

// press sends keys: names such as "enter", or a text that is typed.
func (st *stage) press(keys ...string) {
	for _, k := range keys {
		for _, m := range keysOf(k) {
			st.send(m)
		}
	}
}

func keysOf(k string) []tea.Msg {
	named := map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "tab": tea.KeyTab, "shift+tab": tea.KeyShiftTab, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight,
		"home": tea.KeyHome, "end": tea.KeyEnd, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "backspace": tea.KeyBackspace, "ctrl+c": tea.KeyCtrlC, "ctrl+r": tea.KeyCtrlR, "ctrl+x": tea.KeyCtrlX, "ctrl+u": tea.KeyCtrlU, "ctrl+s": tea.KeyCtrlS}
	if t, ok := named[k]; ok {
		return []tea.Msg{tea.KeyMsg{Type: t}}
	}
	var out []tea.Msg
	for _, r := range k {
		if r == ' ' {
			out = append(out, tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}})
			continue
		}
		out = append(out, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
	}
	return out
}

func paste(text string) tea.Msg {
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text), Paste: true}
}

// view is what is on the screen now, checked against the window.
func (st *stage) view() string {
	st.t.Helper()
	v := st.root.View()
	lines := strings.Split(v, "\n")
	if len(lines) != st.root.h {
		st.t.Errorf("the view has %d lines in a window of %d:\n%s", len(lines), st.root.h, v)
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w > st.root.w {
			st.t.Errorf("line %d is %d columns wide in a window of %d: %q", i+1, w, st.root.w, l)
		}
	}
	return v
}

func (st *stage) wants(parts ...string) {
	st.t.Helper()
	v := ansi.Strip(st.view())
	for _, p := range parts {
		if !strings.Contains(v, p) {
			st.t.Errorf("the screen does not say %q:\n%s", p, v)
		}
	}
}

func (st *stage) lacks(parts ...string) {
	st.t.Helper()
	v := ansi.Strip(st.view())
	for _, p := range parts {
		if strings.Contains(v, p) {
			st.t.Errorf("the screen says %q:\n%s", p, v)
		}
	}
}

func (st *stage) resize(w, h int) { st.send(tea.WindowSizeMsg{Width: w, Height: h}) }

// golden compares a text with a file, or writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	// Lines end where their text ends, so that editors leave the files alone.
	var lines []string
	for l := range strings.SplitSeq(got, "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	got = strings.Join(lines, "\n") + "\n"
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, d)
	}
}
