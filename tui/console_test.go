package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// consoleWorld is everything around a real session: a target that answers what
// the test says, a policy by the first word, and approvals that the test gives.
type consoleWorld struct {
	t testing.TB

	mu       sync.Mutex // guards what follows
	ran      []string   // what reached the target
	rows     int        // rows that the target was asked for
	finished []error    // how each Do ended
	requests []bastion.Request
	changed  chan struct{} // closed and renewed when a request changes
	expired  bool
	fresh    time.Time // when the person signed in
	events   []bastion.Event
	names    int // times that names were read

	dial    func(context.Context) error
	connect bastion.Effect
	preview func(context.Context) error
}

func newConsoleWorld(t testing.TB) *consoleWorld {
	return &consoleWorld{t: t, connect: bastion.Allow}
}

func (w *consoleWorld) did() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.ran, " | ")
}

func (w *consoleWorld) pulled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows
}

// Policy.
func (w *consoleWorld) Access(bastion.Identity, bastion.Target) bastion.Access {
	return bastion.Access{Connect: bastion.Allow}
}
func (w *consoleWorld) Roles(bastion.Identity) []bastion.Role { return []bastion.Role{deployer()} }
func (w *consoleWorld) Decide(_ bastion.Identity, op bastion.Operation) bastion.Decision {
	rules, err := mask.NewRules([]byte("key"), mask.Label{Pattern: "public.customers.email", Kind: mask.Email}, mask.Label{Pattern: "public.customers.phone", Kind: mask.Last4})
	if err != nil {
		w.t.Error(err)
	}
	d := bastion.Decision{Effect: bastion.Allow, Rule: "work", Mask: rules}
	needs := bastion.Needs{{Count: 1, Role: "reviewer"}}
	switch op.Intent().Verb {
	case bastion.Connect:
		d.Effect, d.Needs, d.Within, d.Rule = w.connect, needs, 30*time.Minute, "connect-production"
	case "update":
		d.Effect, d.Needs, d.Within = bastion.Ask, needs, 30*time.Minute
		d.Rule, d.Reason = "production-writes", "a change in production takes a second pair of eyes"
	case "delete-all", "drop":
		return bastion.Decision{Rule: "no-mass-delete", Reason: "it would empty the table", Next: "add a WHERE clause, or ask the owners of the shop for a migration"}
	case "set":
		d.Fresh = 10 * time.Minute
	}
	return d
}

// Identities, secrets, recorder, archive.
func (w *consoleWorld) Current(_ context.Context, who bastion.Identity) (bastion.Identity, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expired {
		return who, bastion.ErrExpired
	}
	who.SignedIn = w.fresh
	return who, nil
}
func (w *consoleWorld) Secret(context.Context, bastion.Target) (bastion.Secret, error) {
	return bastion.NewSecret("shop", "x"), nil
}
func (w *consoleWorld) Event(e bastion.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	return nil
}
func (w *consoleWorld) Flush() error          { return nil }
func (w *consoleWorld) Output([]byte) error   { return nil }
func (w *consoleWorld) Note([]byte) error     { return nil }
func (w *consoleWorld) Resize(int, int) error { return nil }
func (w *consoleWorld) Close() error          { return nil }

type consoleArchive struct{ bastion.Archive }

func (consoleArchive) History(context.Context, string, string, int) ([]string, error) {
	return []string{"connect shop", "select count(*) from orders", "select * from customers where id = 7;"}, nil
}

// Approvals.
type consoleApprovals struct {
	bastion.Approvals
	*consoleWorld
}

func (w consoleApprovals) Requests(context.Context, bastion.Identity, bastion.RequestFilter) ([]bastion.Request, error) {
	return nil, nil
}

func (w consoleApprovals) Find(_ context.Context, _ bastion.Identity, op bastion.Operation) (bastion.Request, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if r.State.Open() && r.Digest == op.Digest() {
			return r, true, nil
		}
	}
	return bastion.Request{}, false, nil
}

func (w consoleApprovals) File(_ context.Context, q bastion.Question) (bastion.Request, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := bastion.Request{ID: 17 + uint64(len(w.requests)), State: bastion.Pending, Who: q.Who, Target: q.Op.Target().Name, Text: q.Op.Text(), Digest: q.Op.Digest(), Reason: q.Reason, Needs: q.Decision.Needs,
		Expires: time.Now().Add(q.Decision.Within), Approvers: []string{"rita", "ben"}}
	w.requests = append(w.requests, r)
	return r, nil
}

func (w consoleApprovals) Wait(ctx context.Context, id uint64, update func(bastion.Request)) (bastion.Request, error) {
	for {
		w.mu.Lock()
		r, changed := w.requests[id-17], w.changed
		w.mu.Unlock()
		update(r)
		switch {
		case r.State == bastion.Approved:
			return r, nil
		case !r.State.Open():
			return r, &bastion.NotApprovedError{Request: r}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	}
}

func (w consoleApprovals) Use(_ context.Context, id uint64, _ bastion.Question) (bastion.Request, error) {
	return w.set(id, bastion.Used), nil
}

func (w consoleApprovals) Withdraw(_ context.Context, _ bastion.Identity, id uint64) (bastion.Request, error) {
	return w.set(id, bastion.Withdrawn), nil
}

func (w *consoleWorld) set(id uint64, s bastion.RequestState) bastion.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.requests[id-17]
	r.State = s
	switch s {
	case bastion.Approved:
		r.Votes = append(r.Votes, bastion.Vote{Who: rita(), Verdict: bastion.VoteApprove})
	case bastion.Denied:
		r.Votes = append(r.Votes, bastion.Vote{Who: rita(), Verdict: bastion.VoteDeny, Reason: "customer 7 is a test account; use staging"})
	}
	close(w.changed)
	w.changed = make(chan struct{})
	return *r
}

// Connector. It splits at semicolons, and the first word is the verb.
func (w *consoleWorld) Kind() string               { return "fake" }
func (w *consoleWorld) Verbs() []bastion.VerbInfo  { return nil }
func (w *consoleWorld) Check(bastion.Target) error { return nil }
func (w *consoleWorld) Split(text string) (ops []string, rest string, err error) {
	parts := strings.SplitAfter(text, ";")
	for _, p := range parts[:len(parts)-1] {
		ops = append(ops, strings.TrimSpace(strings.TrimSuffix(p, ";")))
	}
	return ops, parts[len(parts)-1], nil
}

type consoleConnector struct{ *consoleWorld }

func (consoleConnector) Parse(bastion.Target, string) (bastion.Intent, error) {
	return bastion.Intent{}, errors.New("not used")
}
func (w consoleConnector) Dial(ctx context.Context, p *bastion.Permit) (bastion.Conn, error) {
	if _, err := p.Use(bastion.ForDial); err != nil {
		return nil, err
	}
	if w.dial != nil {
		if err := w.dial(ctx); err != nil {
			return nil, err
		}
	}
	return consoleConn(w), nil
}

type consoleConn struct{ *consoleWorld }

func (consoleConn) Close() error { return nil }

func (consoleConn) Parse(_ context.Context, text string) (bastion.Intent, error) {
	verb, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(text)), " ")
	switch {
	case verb == "selec":
		return bastion.Intent{}, &bastion.ParseError{Message: `syntax error at or near "selec"`, Position: 1, Next: "begin with a command such as SELECT"}
	case verb == "delete" && !strings.Contains(strings.ToLower(text), "where"):
		verb = "delete-all"
	}
	i := bastion.Intent{Verb: bastion.Verb(verb), Actions: []bastion.Action{{Verb: bastion.Verb(verb), Resource: "public.customers"}}, Summary: verb + " of public.customers, with WHERE"}
	for _, c := range consoleAnswer(text) {
		i.Outputs = append(i.Outputs, mask.Column{Name: c.Name, Proven: true, Sources: []string{c.Source}})
	}
	return i, nil
}

func (w consoleConn) Preview(ctx context.Context, p *bastion.Permit) (bastion.Preview, error) {
	if _, err := p.Use(bastion.ForPreview); err != nil {
		return bastion.Preview{}, err
	}
	if w.preview != nil {
		if err := w.preview(ctx); err != nil {
			return bastion.Preview{}, err
		}
	}
	return bastion.Preview{Rows: 1, Note: "the planner's guess"}, nil
}

func (w consoleConn) Names(context.Context) ([]bastion.Name, error) {
	w.mu.Lock()
	w.consoleWorld.names++
	w.mu.Unlock()
	return consoleNames(), nil
}

func (consoleConn) Command(line string) (string, bool, error) {
	switch strings.Fields(line)[0] {
	case `\dt`:
		return "catalog tables", true, nil
	case `\d`:
		return "", true, errors.New(`there is no relation "x\x1b[31m"`)
	}
	return "", false, nil
}

func consoleNames() []bastion.Name {
	ns := []bastion.Name{{Kind: "schema", Name: "public"}, {Kind: "schema", Name: "audit"}, {Kind: "function", Parent: "public", Name: "order_total"}}
	for _, t := range []string{"customers", "orders", "payments", "Order Items"} {
		ns = append(ns, bastion.Name{Kind: "table", Parent: "public", Name: t})
	}
	for _, c := range []string{"id int8", "name text", "email text", "phone text", "created_at timestamptz"} {
		n, t, _ := strings.Cut(c, " ")
		ns = append(ns, bastion.Name{Kind: "column", Parent: "public.customers", Name: n, Type: t})
	}
	for _, c := range []string{"id int8", "customer_id int8", "total numeric"} {
		n, t, _ := strings.Cut(c, " ")
		ns = append(ns, bastion.Name{Kind: "column", Parent: "public.orders", Name: n, Type: t})
	}
	return ns
}

// consoleAnswer is the columns of the answer to a text.
func consoleAnswer(text string) []bastion.Column {
	col := func(name, typ string, numeric bool) bastion.Column {
		return bastion.Column{Name: name, Type: typ, Numeric: numeric, Source: "public.customers." + name}
	}
	customers := []bastion.Column{col("id", "int8", true), col("name", "text", false), col("email", "text", false), col("phone", "text", false), col("city", "text", false), col("balance", "numeric", true)}
	switch {
	case strings.Contains(text, "evil"):
		return []bastion.Column{col("na\x1b]0;x\x07me\u202e", "text", false)}
	case strings.Contains(text, "wide"):
		for i := range 12 {
			customers = append(customers, col(fmt.Sprintf("attribute_%d", i), "text", false))
		}
		return customers
	case strings.Contains(text, "customers") && (strings.HasPrefix(text, "select") || strings.Contains(text, "returning")):
		return customers
	case strings.Contains(text, "from"), strings.HasPrefix(text, "select"), strings.HasPrefix(text, "catalog"):
		return []bastion.Column{col("n", "int8", true), col("what", "text", false)}
	}
	return nil
}

// Do answers by what the text says.
func (w consoleConn) Do(ctx context.Context, p *bastion.Permit, _ io.Reader, out *bastion.Sink) (err error) {
	op, err := p.Use(bastion.ForDo)
	if err != nil {
		return err
	}
	text := op.Text()
	w.mu.Lock()
	w.ran = append(w.ran, text)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.finished = append(w.finished, err)
	}()
	columns := consoleAnswer(text)
	rows, tag := 3, "SELECT"
	switch {
	case strings.Contains(text, "sleep"):
		<-ctx.Done()
		return &bastion.TargetError{Code: "57014", Summary: "canceling statement due to user request"}
	case strings.Contains(text, "nosuch"):
		return &bastion.TargetError{Code: "42703", Summary: `column "nosuch" does not exist`, Position: strings.Index(text, "nosuch") + 1}
	case strings.Contains(text, "hostile"):
		return &bastion.TargetError{Code: "XX\x1b[2J", Summary: "bad \x1b]52;c;ZXZpbA==\x07 thing\u202e", Position: 3}
	case strings.Contains(text, "million"):
		rows = 1_000_000
	case strings.Contains(text, "bulk"):
		rows = 20_000
	case strings.Contains(text, "page"):
		rows = pageRows
	case strings.Contains(text, "notice"):
		for i := range 100 {
			if err := out.Notice(fmt.Sprint("notice ", i), nil); err != nil {
				return err
			}
		}
	case strings.HasPrefix(text, "create"):
		return out.Tag("CREATE TABLE", 0)
	case strings.HasPrefix(text, "begin"):
		return out.Tag("BEGIN", 0)
	case strings.HasPrefix(text, "rollback"):
		return out.Tag("ROLLBACK", 0)
	}
	if columns == nil {
		verb, _, _ := strings.Cut(text, " ")
		return out.Tag(strings.ToUpper(verb)+" 1", 1)
	}
	if err := out.Columns(columns); err != nil {
		return err
	}
	for i := range rows {
		w.mu.Lock()
		w.rows++
		w.mu.Unlock()
		if err := out.Row(consoleRow(columns, i)); err != nil {
			return err
		}
	}
	return out.Tag(fmt.Sprintf("%s %d", tag, rows), int64(rows))
}

func consoleRow(columns []bastion.Column, i int) [][]byte {
	people := []string{"Anna Weber", "Łukasz Żak", "林美玲", "Björn Ødegård", "Zoë"}
	row := make([][]byte, len(columns))
	for c, col := range columns {
		switch col.Name {
		case "id", "n":
			row[c] = fmt.Append(nil, i+1)
		case "name":
			row[c] = []byte(people[i%len(people)])
		case "email":
			row[c] = fmt.Appendf(nil, "anna.%d@example.com", i)
		case "phone":
			row[c] = fmt.Appendf(nil, "+41 44 555 %04d", i)
		case "city":
			if i%2 == 0 {
				row[c] = []byte("Zürich")
			}
		case "balance":
			row[c] = fmt.Appendf(nil, "%d.50", i*1234)
		case "what":
			row[c] = []byte("NULL")
		default:
			row[c] = []byte("value\twith \x1b[31mred\x1b[0m and\nlines \u202e " + strings.Repeat("long ", 20))
		}
	}
	return row
}

// session is a real session in this world.
func (w *consoleWorld) session(ctx context.Context) *bastion.Session {
	who := alice()
	w.fresh, w.changed = time.Now(), make(chan struct{}) // inside of the bubble
	who.Expires = time.Now().Add(12 * time.Hour)
	s, err := bastion.NewSession(ctx, bastion.Config{ID: "s-1", Identity: who, Channel: newLine(80, 24), Term: "xterm-256color", Window: bastion.Window{Width: 80, Height: 24},
		Targets: bastion.Targets{{Name: "shop", Kind: "fake"}}, Connectors: []bastion.Connector{consoleConnector{w}},
		Policy: w, Approvals: consoleApprovals{consoleWorld: w}, Identities: w, Secrets: w, Recorder: w, Archive: consoleArchive{}, Now: time.Now,
		SignIn: func(context.Context, func(bastion.SignInPrompt) error) (bastion.Identity, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.expired, w.fresh = false, time.Now()
			who.SignedIn = w.fresh
			return who, nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// consoleStage is a stage with a console on top.
type consoleStage struct {
	*stage
	w *consoleWorld
	c *console
	s *bastion.Session
}

// playConsole runs a test on a console inside of a synctest bubble. Goroutines
// that outlive the console make the bubble fail.
func playConsole(t *testing.T, w *consoleWorld, p termenv.Profile, test func(*consoleStage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := w.session(ctx)
		th := newTheme(p)
		st := &consoleStage{stage: &stage{t: t, ctx: ctx, msgs: make(chan tea.Msg, 1000)}, w: w, s: s}
		st.c = newConsole(s, th, "shop").(*console)
		st.root = newRoot(ctx, s, th, bastion.Window{Width: 80, Height: 24}, page{"targets"})
		st.run(st.root.Init())
		st.send(Push{st.c})
		test(st)
		st.root.leave()
		st.settle()
		if err := s.Close(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func (st *consoleStage) settle() { st.stage.settle() }

// keys beyond those that have a name.
func (st *consoleStage) key(types ...tea.KeyType) {
	for _, k := range types {
		st.send(tea.KeyMsg{Type: k})
	}
}

// pass lets time pass.
func (st *consoleStage) pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	st.settle()
}

func (st *consoleStage) query(text string) { st.press(text, "enter") }

func TestConsoleScreens(t *testing.T) {
	const update = "update customers set name = 'Anna Keller' where id = 7;"
	asks := func(st *consoleStage) {
		st.query(update)
		st.press("typo in the name, ticket 4711")
	}
	waits := func(st *consoleStage) {
		asks(st)
		st.press("enter")
		st.pass(48 * time.Second)
	}
	for _, sc := range []struct {
		name  string
		world func(*consoleWorld)
		does  func(*consoleStage)
	}{
		{"empty", nil, func(st *consoleStage) {}},
		{"opening", func(w *consoleWorld) {
			w.dial = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}, func(st *consoleStage) {}},
		{"unreachable", func(w *consoleWorld) {
			w.dial = func(ctx context.Context) error { return errors.New("connecting to the target: connection refused") }
		}, func(st *consoleStage) {}},
		{"completion", nil, func(st *consoleStage) {
			st.press("select c.id, c. from customers c")
			for range len(" from customers c") {
				st.press("left")
			}
			st.press("tab", "tab")
		}},
		{"lines", nil, func(st *consoleStage) {
			st.send(paste("select c.name, count(*) -- how many\n  from customers c\n  join orders o on o.customer_id = c.id\n where c.city = 'Zürich'\n   and o.total > 100.5"))
		}},
		{"result", nil, func(st *consoleStage) { st.query("select * from customers;") }},
		{"null", nil, func(st *consoleStage) { st.query("select 1;"); st.query("select city from customers;") }},
		{"wide", nil, func(st *consoleStage) {
			st.query("select wide from customers;")
			st.press("pgup", "down", "right", "right", "right")
		}},
		{"expanded", nil, func(st *consoleStage) {
			st.query("select wide from customers;")
			st.press("pgup", "down", "enter")
		}},
		{"x-on", nil, func(st *consoleStage) { st.query(`\x`); st.query("select * from customers;") }},
		{"error", nil, func(st *consoleStage) { st.query("select id,\n nosuch from customers;") }},
		{"unread", nil, func(st *consoleStage) { st.query("selec 1;") }},
		{"denied", nil, func(st *consoleStage) { st.query("delete from payments;") }},
		{"several", nil, func(st *consoleStage) { st.query("insert into orders; delete from payments; select 1;") }},
		{"commands", nil, func(st *consoleStage) { st.query(`\?`); st.query(`\foo`) }},
		{"reason", nil, asks},
		{"waiting", nil, waits},
		{"background", nil, func(st *consoleStage) {
			waits(st)
			st.press("esc")
			st.query("select * from customers;")
			st.press("select name from")
			st.pass(time.Second)
		}},
		{"approved", nil, func(st *consoleStage) {
			waits(st)
			st.press("esc", "select name from")
			st.w.set(17, bastion.Approved)
			st.settle()
		}},
		{"not-approved", nil, func(st *consoleStage) {
			waits(st)
			st.w.set(17, bastion.Denied)
			st.settle()
		}},
		{"connect-waiting", func(w *consoleWorld) { w.connect = bastion.Ask }, func(st *consoleStage) {
			st.press("look at an order, ticket 4712", "enter")
		}},
		{"running", nil, func(st *consoleStage) {
			st.query("select sleep;")
			st.pass(2300 * time.Millisecond)
		}},
		{"streaming", nil, func(st *consoleStage) {
			st.query("select million from customers;")
			st.press("pgup", "end")
		}},
		{"stopped", nil, func(st *consoleStage) {
			st.query("select million from customers;")
			st.press("pgup", "end", "esc")
		}},
		{"search", nil, func(st *consoleStage) { st.key(tea.KeyCtrlR); st.press("CUST") }},
		{"transaction", nil, func(st *consoleStage) { st.query("begin;"); st.query("select nosuch;") }},
		{"help", nil, func(st *consoleStage) { st.key(tea.KeyF1) }},
	} {
		t.Run(sc.name, func(t *testing.T) {
			for _, p := range []termenv.Profile{termenv.Ascii, termenv.ANSI256} {
				w := newConsoleWorld(t)
				if sc.world != nil {
					sc.world(w)
				}
				playConsole(t, w, p, func(st *consoleStage) {
					sc.does(st)
					if p == termenv.ANSI256 {
						golden(t, "console-"+sc.name+"_80x24.ansi", strings.ReplaceAll(st.view(), "\x1b", "␛"))
						return
					}
					for _, size := range []bastion.Window{{Width: 80, Height: 24}, {Width: 120, Height: 40}, {Width: 40, Height: 10}} {
						st.resize(size.Width, size.Height)
						golden(t, fmt.Sprintf("console-%s_%dx%d.txt", sc.name, size.Width, size.Height), st.view())
					}
				})
			}
		})
	}
}

func (*consoleWorld) Terms(bastion.Identity, bastion.Target) []bastion.Terms { return nil }
func (*consoleWorld) Conflict(bastion.Identity) error                        { return nil }

func (consoleApprovals) Grants(context.Context, bastion.Identity) ([]bastion.Grant, error) {
	return nil, nil
}
