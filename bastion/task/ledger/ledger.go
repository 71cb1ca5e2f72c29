// Package ledger keeps tasks and runs them.
//
// What may happen to a task is one pure function, next. Around it, every transition
// is one transaction of the store that reads the task, applies next, keeps the
// outcome and appends an event with the author. Where it concerns the request by
// which people approve the task, it is the transaction of the request itself: a vote
// and the state to which it brings the task are kept together or not at all, and so
// are the check that the votes still count and the note that a statement begins.
//
// A statement is noted before it is sent and after it has ended. If the bastion dies
// in between, nobody knows whether it ran, and the task says so and stops: nothing is
// ever sent twice.
package ledger

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/task"
)

// The buckets of the store.
const (
	tasksBucket   = "task.tasks"   // number → task
	runningBucket = "task.running" // number of a task of which a step is being executed
	openBucket    = "task.open"    // number of a task that has not ended
)

// MaxOpen is the greatest number of tasks of one author that have not ended.
const MaxOpen = 100

// Policy is what a ledger asks of policy.
type Policy interface {
	Decide(bastion.Identity, bastion.Operation) bastion.Decision
	Roles(bastion.Identity) []bastion.Role
	// Apart lists sets of duties of which nobody may have two in one task.
	Apart() [][]bastion.Duty
}

// Config is what a ledger is made of. Every field is needed.
type Config struct {
	DB *store.DB
	// Append adds an event to the log inside a transaction.
	Append func(store.Tx, bastion.Event) error
	// Approvals keep the requests for tasks. They tell Follow what becomes of them.
	Approvals *approval.Service
	Policy    Policy
	// People are all known identities, for telling what policy asks of those who may
	// execute a step.
	People     func() []bastion.Identity
	Targets    bastion.Targets
	Connectors []bastion.Connector
	// Parse reads a file, and Place gives problems that come with values their places
	// in it. Their errors are for the author.
	Parse func(data []byte) (task.File, error)
	Place func(data []byte, found []task.Problem) error
	// Runbooks reads the files from which people make tasks: their names and sources.
	Runbooks func() ([]task.Runbook, error)
	Now      func() time.Time
}

// Ledger keeps tasks. It is safe for concurrent use.
type Ledger struct {
	c Config

	mu      sync.Mutex // guards what follows
	running map[uint64]context.CancelCauseFunc
}

// Open makes a ledger over the tasks in the store. A step that was being executed
// when the bastion died stops its task.
func Open(c Config) (*Ledger, error) {
	if c.DB == nil || c.Append == nil || c.Approvals == nil || c.Policy == nil || c.People == nil || c.Parse == nil || c.Place == nil || c.Runbooks == nil || c.Now == nil {
		return nil, errors.New("internal error: a ledger needs a store, a log, approvals, policy and a clock")
	}
	l := &Ledger{c: c, running: map[uint64]context.CancelCauseFunc{}}
	if err := l.recover(); err != nil {
		return nil, fmt.Errorf("opening tasks: %w", err)
	}
	return l, nil
}

// recover stops what was being executed when the bastion died.
func (l *Ledger) recover() error {
	return l.c.DB.Update(func(tx store.Tx) error {
		var ids []uint64
		if err := tx.Scan(runningBucket, nil, func(k, _ []byte) (bool, error) {
			ids = append(ids, binary.BigEndian.Uint64(k))
			return true, nil
		}); err != nil {
			return err
		}
		for _, id := range ids {
			t, err := load(tx, id)
			if err != nil {
				return err
			}
			for i, p := range t.Progress {
				if p.State != task.StepRunning {
					continue
				}
				a := action{act: leave, step: i, result: task.Result{Error: "the bastion died meanwhile"}}
				if t, err = l.apply(tx, t, a, facts{now: l.c.Now().UTC(), session: p.Session}, by{}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// by is who does something, for events. The zero by is the bastion itself.
type by struct {
	who     bastion.Identity
	origin  bastion.Origin
	session string
}

func load(tx store.Tx, id uint64) (t task.Task, err error) {
	b := tx.Get(tasksBucket, number(id))
	if b == nil {
		return t, notFound(id)
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("reading task %d: %w", id, err)
	}
	return t, nil
}

func notFound(id uint64) error { return fmt.Errorf("task %d: %w", id, bastion.ErrNotFound) }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// save keeps a task, without the secrets in its statements once nothing more runs.
func save(tx store.Tx, t task.Task) error {
	open := tx.Put
	if t.Ended() {
		t.Plan, t.Source = t.Plan.Recorded(), ""
		open = func(bucket string, key, _ []byte) error { return tx.Delete(bucket, key) }
	}
	if err := open(openBucket, number(t.ID), []byte{}); err != nil {
		return err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("keeping task %d: %w", t.ID, err)
	}
	if slices.ContainsFunc(t.Progress, func(p task.Progress) bool { return p.State == task.StepRunning }) {
		err = tx.Put(runningBucket, number(t.ID), []byte{})
	} else {
		err = tx.Delete(runningBucket, number(t.ID))
	}
	if err != nil {
		return err
	}
	return tx.Put(tasksBucket, number(t.ID), b)
}

// apply takes one transition: it keeps the outcome and appends an event.
func (l *Ledger) apply(tx store.Tx, t task.Task, a action, f facts, who by) (task.Task, error) {
	after, err := next(t, a, f)
	if err != nil {
		return t, err
	}
	if err := save(tx, after); err != nil {
		return t, err
	}
	return after, l.log(tx, after, len(t.History), a, f, who)
}

// log appends an event for what was added to the history, and for what happened to a
// statement.
func (l *Ledger) log(tx store.Tx, t task.Task, from int, a action, f facts, who by) error {
	e := bastion.Event{Kind: bastion.EventTask, At: f.now, Who: who.who.ID(), Name: who.who.Name, Session: who.session, Digest: t.Digest, Request: t.Request}
	if e.Who == "" {
		e.Name = "sallyport"
	}
	if who.origin != (bastion.Origin{}) {
		e.Origin = &who.origin
	}
	said := ""
	for _, h := range t.History[from:] {
		what := h.What
		if h.Step != "" {
			what = "step " + h.Step + ": " + what
		}
		said += ", " + what
	}
	switch a.act {
	case begin:
		said += fmt.Sprintf(", step %s: statement %d began", t.Plan.Steps[a.step].Name, a.statement+1)
		e.Target, e.Digest = t.Plan.Steps[a.step].Target, a.result.Digest
	case finish, refuse:
		said += fmt.Sprintf(", step %s: statement %d %s", t.Plan.Steps[a.step].Name, a.statement+1, a.result.Outcome)
		e.Target, e.Error, e.Rows = t.Plan.Steps[a.step].Target, a.result.Error, a.result.Rows
		e.Digest = a.result.Digest
	}
	if said == "" {
		return nil // a comment, or a look: the request's own event tells it
	}
	e.Text = fmt.Sprintf("task %d, revision %d, is %s: %s", t.ID, t.Revision, t.State, said[2:])
	e.Reason = a.reason
	if err := l.c.Append(tx, e); err != nil {
		return fmt.Errorf("recording task %d: %w", t.ID, err)
	}
	return nil
}

// change takes one transition in a transaction of its own.
func (l *Ledger) change(ctx context.Context, id uint64, a action, f facts, who by) (t task.Task, err error) {
	if err := context.Cause(ctx); err != nil {
		return t, err
	}
	err = l.c.DB.Update(func(tx store.Tx) error {
		var err error
		if t, err = load(tx, id); err != nil {
			return err
		}
		f := f
		f.now, f.author = l.c.Now().UTC(), t.Author.Equal(f.who)
		t, err = l.apply(tx, t, a, f, who)
		return err
	})
	return t, err
}

// Follow takes over what became of a request for a task, in the transaction in which
// it became that. [approval.Config] has the place for it.
func (l *Ledger) Follow(tx store.Tx, c approval.TaskChange) error {
	t, err := load(tx, c.Task)
	if errors.Is(err, bastion.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a := action{act: decide, request: c.Request}
	switch {
	case c.Request.ID == t.Request:
	case slices.ContainsFunc(t.Resumed, func(s task.Resumption) bool { return s.Request == c.Request.ID }):
		a.act = resume
	default:
		return nil // of an earlier revision, or just being filed
	}
	_, err = l.apply(tx, t, a, facts{now: c.At, who: c.Who, session: c.Session}, by{c.Who, c.Origin, c.Session})
	return err
}

// person is somebody who visits, as they are now.
type person struct {
	by
	roles   []bastion.Role
	targets []string // that they may know of
}

// whois says who the person of a session is now.
func whois(ctx context.Context, s *bastion.Session) (person, error) {
	views, err := s.Targets(ctx) // asks who they are, too
	if err != nil {
		return person{}, err
	}
	p := person{by: by{s.Who(), s.Origin(), s.ID()}, roles: s.Roles()}
	for _, v := range views {
		p.targets = append(p.targets, v.Name)
	}
	return p, nil
}

func (p person) has(d bastion.Duty) bool {
	return slices.ContainsFunc(p.roles, func(r bastion.Role) bool { return slices.Contains(r.Duties, d) })
}

// may reports whether the person may execute a step.
func (p person) may(s task.Step) bool {
	return s.Who.In(p.roles) && slices.Contains(p.targets, s.Target)
}

// decides reports whether the person holds a role that the task needs.
func (p person) decides(t task.Task) bool {
	return slices.ContainsFunc(p.roles, func(r bastion.Role) bool {
		return slices.Contains(r.Duties, bastion.Approve) && slices.ContainsFunc(t.Needs, func(n bastion.Need) bool { return n.Takes(r.Name) })
	})
}

// executes reports whether the person may execute a step of the task.
func (p person) executes(t task.Task) bool { return slices.ContainsFunc(t.Plan.Steps, p.may) }

// sees reports whether the person may see the task: a draft is its author's and the
// auditors', and from the review on the task is also theirs who decide or execute it.
func (p person) sees(t task.Task) bool {
	if t.Author.Equal(p.who) || t.Author.Kind == bastion.Service && t.Author.Owner == p.who.ID() || p.has(bastion.Audit) {
		return true
	}
	took := slices.ContainsFunc(t.Executors(), p.who.Equal)
	return took || t.Request != 0 && (p.decides(t) || p.executes(t))
}

// shown is the task as the person may see it: the secrets in statements are for those
// who have to do with them.
func (p person) shown(t task.Task) task.Task {
	mine := t.Author.Equal(p.who)
	if !mine && !p.decides(t) && !p.executes(t) {
		t.Plan = t.Plan.Recorded()
	}
	if !mine {
		t.Source = ""
	}
	return t
}

// Tasks lists the tasks that the person may see, newest first, at most limit of them;
// those that have ended only if all is set.
func (l *Ledger) Tasks(ctx context.Context, s *bastion.Session, all bool, limit int) ([]task.Task, error) {
	p, err := whois(ctx, s)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = 100
	}
	bucket := openBucket
	if all {
		bucket = tasksBucket
	}
	var ts []task.Task
	err = l.c.DB.View(func(tx store.Tx) error {
		ts = nil
		return tx.ScanBack(bucket, nil, func(k, _ []byte) (bool, error) {
			t, err := load(tx, binary.BigEndian.Uint64(k))
			if err == nil && p.sees(t) {
				ts = append(ts, p.shown(t))
			}
			return len(ts) < limit, err
		})
	})
	return ts, err
}

// Task returns one task, or an error that wraps [bastion.ErrNotFound].
func (l *Ledger) Task(ctx context.Context, s *bastion.Session, id uint64) (task.Task, error) {
	p, err := whois(ctx, s)
	if err != nil {
		return task.Task{}, err
	}
	t, err := l.see(p, id)
	if err != nil {
		return task.Task{}, err
	}
	// A request whose time is over expires when somebody looks, and the task with it.
	if t.Request != 0 && t.Approval.Open() {
		if _, err := l.c.Approvals.Request(ctx, t.Author, t.Request); err != nil {
			return task.Task{}, err
		}
		if t, err = l.see(p, id); err != nil {
			return task.Task{}, err
		}
	}
	return p.shown(t), nil
}

// see reads a task that the person may see.
func (l *Ledger) see(p person, id uint64) (t task.Task, err error) {
	err = l.c.DB.View(func(tx store.Tx) (err error) { t, err = load(tx, id); return err })
	if err == nil && !p.sees(t) {
		return task.Task{}, notFound(id)
	}
	return t, err
}

// plan makes a plan of a file.
func (l *Ledger) plan(p person, data []byte, given map[string]string) (task.Plan, error) {
	plan, err := l.makePlan(p, data, given)
	if err != nil {
		return plan, &task.FileError{Err: err}
	}
	return plan, nil
}

func (l *Ledger) makePlan(p person, data []byte, given map[string]string) (task.Plan, error) {
	f, err := l.c.Parse(data)
	if err != nil {
		return task.Plan{}, err
	}
	var found []task.Problem
	for i, s := range f.Steps {
		if !slices.Contains(p.targets, s.Target) {
			found = append(found, task.Problem{Path: fmt.Sprintf("steps.%d.target", i), Message: fmt.Sprintf("there is no target %q that you may use", s.Target)})
		} else if t, _ := l.c.Targets.Named(s.Target); t.Kind == "policy" {
			found = append(found, task.Problem{Path: fmt.Sprintf("steps.%d.target", i), Message: "the policy changes by proposals alone"})
		}
	}
	if found != nil {
		return task.Plan{}, l.c.Place(data, found)
	}
	values, err := f.Values(given)
	if err != nil {
		return task.Plan{}, err
	}
	plan, found := f.Make(values, l.split)
	if found != nil {
		return task.Plan{}, l.c.Place(data, found)
	}
	if found, err = l.binds(plan); err != nil {
		return task.Plan{}, err
	}
	if found != nil {
		return task.Plan{}, l.c.Place(data, found)
	}
	return plan, nil
}

// binds insists that every statement with parameters can take their values.
func (l *Ledger) binds(p task.Plan) (found []task.Problem, err error) {
	for i, s := range p.Steps {
		for j, st := range s.Statements {
			if len(st.Params) == 0 {
				continue
			}
			path := fmt.Sprintf("steps.%d", i)
			t, c, err := l.connector(s.Target)
			if err != nil {
				return nil, err
			}
			b, ok := c.(bastion.Binder)
			if !ok {
				return append(found, task.Problem{Path: path, Message: fmt.Sprintf("parameters cannot be used on targets of kind %s", t.Kind)}), nil
			}
			values, err := p.Bound(st)
			if err != nil {
				return nil, err
			}
			if _, err := b.Bind(t, st.Text, values); err != nil {
				found = append(found, task.Problem{Path: path, Message: fmt.Sprintf("statement %d: %v", j+1, err)})
			}
		}
	}
	return found, nil
}

func (l *Ledger) connector(target string) (bastion.Target, bastion.Connector, error) {
	t, ok := l.c.Targets.Named(target)
	i := slices.IndexFunc(l.c.Connectors, func(c bastion.Connector) bool { return c.Kind() == t.Kind })
	if !ok || i < 0 {
		return t, nil, fmt.Errorf("target %q: %w", bastion.VisibleLine(target), bastion.ErrNotFound)
	}
	return t, l.c.Connectors[i], nil
}

func (l *Ledger) split(target, text string) ([]string, string, error) {
	_, c, err := l.connector(target)
	if err != nil {
		return nil, "", err
	}
	return c.Split(text)
}

// read reads a text without the target.
func (l *Ledger) read(target, text string) (bastion.Intent, error) {
	t, c, err := l.connector(target)
	if err != nil {
		return bastion.Intent{}, err
	}
	return c.Parse(t, text)
}

// Read reads a file, to see which parameters it has.
func (l *Ledger) Read(data []byte) (task.File, error) {
	f, err := l.c.Parse(data)
	if err != nil {
		return f, &task.FileError{Err: err}
	}
	return f, nil
}

// Runbooks lists what is kept for those who design tasks.
func (l *Ledger) Runbooks(ctx context.Context, s *bastion.Session) ([]task.Runbook, error) {
	p, err := whois(ctx, s)
	if err != nil {
		return nil, err
	}
	if !p.has(bastion.Design) {
		return nil, errDesign
	}
	all, err := l.c.Runbooks()
	for i := range all {
		all[i].File, all[i].Err = l.Read(all[i].Source)
	}
	return all, err
}

// New makes a task of a file and values for its parameters.
func (l *Ledger) New(ctx context.Context, s *bastion.Session, data []byte, given map[string]string) (t task.Task, err error) {
	p, err := whois(ctx, s)
	if err != nil {
		return t, err
	}
	if !p.has(bastion.Design) {
		return t, errDesign
	}
	plan, err := l.plan(p, data, given)
	if err != nil {
		return t, err
	}
	err = l.c.DB.Update(func(tx store.Tx) error {
		if err := room(tx, p.who); err != nil {
			return err
		}
		id, err := tx.Next(tasksBucket)
		if err != nil {
			return err
		}
		f := facts{now: l.c.Now().UTC(), who: p.who, session: p.session}
		t = task.Task{ID: id, Revision: 1, State: task.Draft, Author: p.who, Created: f.now, Plan: plan, Source: string(data)}
		clear(&t)
		note(&t, f, "created", task.Entry{})
		if err := save(tx, t); err != nil {
			return err
		}
		return l.log(tx, t, 0, action{act: edit}, f, p.by)
	})
	return t, err
}

// room refuses an author who has too many tasks that have not ended.
func room(tx store.Tx, who bastion.Identity) error {
	open := 0
	err := tx.Scan(openBucket, nil, func(k, _ []byte) (bool, error) {
		t, err := load(tx, binary.BigEndian.Uint64(k))
		if err == nil && t.Author.Equal(who) {
			open++
		}
		return open < MaxOpen, err
	})
	if err == nil && open >= MaxOpen {
		return fmt.Errorf("you have %d tasks that have not ended, and nobody may have more; withdraw some", open)
	}
	return err
}

// Edit gives a task another content. A review that it is in, or that approved it, is
// void: the request is withdrawn first.
func (l *Ledger) Edit(ctx context.Context, s *bastion.Session, id uint64, data []byte, given map[string]string) (t task.Task, err error) {
	p, err := whois(ctx, s)
	if err != nil {
		return t, err
	}
	if _, err := l.mine(p, id); err != nil {
		return t, err
	}
	plan, err := l.plan(p, data, given)
	if err != nil {
		return t, err
	}
	if err := l.recall(ctx, p, id); err != nil {
		return t, err
	}
	return l.change(ctx, id, action{act: edit, plan: plan, source: string(data)}, facts{who: p.who, session: p.session, designs: p.has(bastion.Design)}, p.by)
}

// mine reads a task of the person's own that can still be changed.
func (l *Ledger) mine(p person, id uint64) (task.Task, error) {
	t, err := l.see(p, id)
	switch {
	case err != nil:
		return t, err
	case !t.Author.Equal(p.who):
		return t, errAuthor
	case !p.has(bastion.Design):
		return t, errDesign
	case !t.State.Editable():
		return t, fmt.Errorf("task %d is %s, so it cannot be changed any more", t.ID, t.State)
	}
	return t, nil
}

// recall withdraws the request for a task, which brings it back to a draft.
func (l *Ledger) recall(ctx context.Context, p person, id uint64) error {
	t, err := l.see(p, id)
	if err != nil || t.State == task.Draft {
		return err
	}
	if !t.State.Editable() {
		return fmt.Errorf("task %d is %s, so it cannot be changed any more", t.ID, t.State)
	}
	_, err = l.c.Approvals.Withdraw(ctx, p.who, t.Request)
	if now, serr := l.see(p, id); serr == nil && now.State == task.Draft {
		return nil // somebody denied it at the same time
	}
	return err
}

// Stop ends a task: before anything ran its author withdraws it, and while it runs,
// what is being executed is cancelled.
func (l *Ledger) Stop(ctx context.Context, s *bastion.Session, id uint64, reason string) (t task.Task, err error) {
	p, err := whois(ctx, s)
	if err != nil {
		return t, err
	}
	if t, err = l.see(p, id); err != nil {
		return t, err
	}
	if err := checkReason(reason, false); err != nil {
		return t, err
	}
	f := facts{who: p.who, session: p.session}
	if t.State.Editable() {
		if !t.Author.Equal(p.who) {
			return t, errAuthor
		}
		if err := l.recall(ctx, p, id); err != nil {
			return t, err
		}
		return l.change(ctx, id, action{act: withdraw, reason: reason}, f, p.by)
	}
	f.stops = t.Author.Equal(p.who) || p.decides(t) || p.executes(t)
	if t, err = l.change(ctx, id, action{act: stop, reason: reason}, f, p.by); err != nil {
		return t, err
	}
	l.mu.Lock()
	cancel := l.running[id]
	l.mu.Unlock()
	if cancel != nil {
		cancel(errors.New(t.Why))
	}
	return t, nil
}

// maxReason is the greatest length of a reason, in characters, as for requests.
const maxReason = approval.MaxReason

func checkReason(reason string, needed bool) error {
	switch n := utf8.RuneCountInString(reason); {
	case !utf8.ValidString(reason):
		return errors.New("the reason is not valid UTF-8; type it again")
	case n > maxReason:
		return fmt.Errorf("the reason has %d characters, and may have %d; shorten it", n, maxReason)
	case needed && strings.TrimSpace(reason) == "":
		return bastion.ErrReason
	}
	return nil
}
