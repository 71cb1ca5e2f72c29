package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/task"
)

// quiet runs what has nothing to show.
func quiet(bastion.Frame) error { return nil }

// Submit reads every statement of a draft on its target, fixes what it means, and
// asks those for whose approval policy asks, and the plan itself. One statement that
// policy denies refuses the task.
func (l *Ledger) Submit(ctx context.Context, s *bastion.Session, id uint64, reason string) (t task.Task, err error) {
	p, err := whois(ctx, s)
	if err != nil {
		return t, err
	}
	if t, err = l.mine(p, id); err != nil {
		return t, err
	}
	if t.State != task.Draft {
		return t, fmt.Errorf("task %d is %s, so it is submitted already", t.ID, t.State)
	}
	if err := checkReason(reason, true); err != nil {
		return t, err
	}
	var plan task.Plan
	var asked verdict
	if err := s.Aside(func(s *bastion.Session) (err error) {
		plan, asked, err = l.readPlan(ctx, s, t.Plan)
		return err
	}); err != nil {
		return t, err
	}
	needs := union(plan.Approvals, asked.needs)
	if len(needs) == 0 {
		return t, fmt.Errorf("policy asks for nobody's approval of these statements, and a task takes somebody's; say whose under approvals")
	}
	digest, err := plan.Digest(t.ID, t.Revision)
	if err != nil {
		return t, err
	}
	text := fmt.Sprintf("task %d, revision %d, designed by %s\n\n%s", t.ID, t.Revision, bastion.VisibleLine(t.Author.Name), plan)
	recorded := fmt.Sprintf("task %d, revision %d, designed by %s\n\n%s", t.ID, t.Revision, bastion.VisibleLine(t.Author.Name), plan.Recorded())
	if len(text) > bastion.MaxText {
		return t, fmt.Errorf("the task has %d bytes with all that approvers read, and may have %d; split it", len(text), bastion.MaxText)
	}
	q := approval.TaskQuestion{
		Who: p.who, Origin: p.origin, Session: p.session, Task: t.ID, Target: targets(plan), Verb: "task",
		Summary: fmt.Sprintf("task %d: %s (%s)", t.ID, t.Plan.Name, steps(len(plan.Steps))),
		Text:    text, Recorded: recorded, Digest: digest, Actions: asked.actions,
		Needs: needs, OtherTeam: asked.otherTeam, Within: plan.Within, Lasts: plan.Lasts, Reason: reason,
	}
	revision := t.Revision
	_, err = l.c.Approvals.FileTask(ctx, q, func(tx store.Tx, r bastion.Request) error {
		var err error
		if t, err = load(tx, id); err != nil {
			return err
		}
		if t.Revision != revision {
			return fmt.Errorf("task %d was edited meanwhile; look at it again", id)
		}
		f := facts{now: r.Created, who: p.who, session: p.session, author: t.Author.Equal(p.who), designs: true}
		t, err = l.apply(tx, t, action{act: submit, plan: plan, digest: digest, reason: reason, needs: needs, otherTeam: asked.otherTeam, request: r}, f, p.by)
		return err
	})
	return t, err
}

func steps(n int) string {
	if n == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", n)
}

// targets names the targets of a plan, each once.
func targets(p task.Plan) string {
	var names []string
	for _, s := range p.Steps {
		if !slices.Contains(names, s.Target) {
			names = append(names, s.Target)
		}
	}
	return strings.Join(names, ", ")
}

// verdict is what policy asks for all statements.
type verdict struct {
	needs     bastion.Needs
	otherTeam bool
	actions   []bastion.Action
}

// readPlan reads and decides the statements of a plan, and fixes what they mean.
func (l *Ledger) readPlan(ctx context.Context, s *bastion.Session, p task.Plan) (task.Plan, verdict, error) {
	var v verdict
	p.Steps = slices.Clone(p.Steps)
	settings := map[string]string{}
	changed := map[string]bool{} // targets on which an earlier statement changes what names mean
	for i := range p.Steps {
		step := &p.Steps[i]
		step.Statements = slices.Clone(step.Statements)
		target, _, err := l.connector(step.Target)
		if err != nil {
			return p, v, err
		}
		if step.Bound, err = bound(target); err != nil {
			return p, v, err
		}
		executors := l.executors(s.Who(), *step)
		if err := s.Open(ctx, step.Target, bastion.Job{Show: quiet}); err != nil {
			return p, v, fmt.Errorf("reading step %s on %s: %w", step.Name, step.Target, err)
		}
		for j := range step.Statements {
			st := &step.Statements[j]
			op, d, err := l.readStatement(ctx, s, p, step.Target, st, changed[step.Target])
			if err == nil {
				d = l.forAll(d, executors, op, st)
			}
			if err == nil && d.Effect == bastion.Deny && st.Note == "" {
				err = &bastion.DeniedError{Rule: d.Rule, Reason: d.Reason, Next: d.Next}
			}
			if err != nil {
				return p, v, fmt.Errorf("step %s, statement %d: %w", step.Name, j+1, err)
			}
			changed[step.Target] = changed[step.Target] || slices.ContainsFunc(op.AppendActions(nil), func(a bastion.Action) bool { return slices.Contains(makers, a.Verb) })
			if st.Digest != "" {
				settings[step.Target] = st.Settings
			}
			if d.Effect == bastion.Ask {
				v.needs = union(v.needs, d.Needs)
			}
			v.otherTeam = v.otherTeam || d.OtherTeam
			before := len(v.actions)
			v.actions = op.AppendActions(v.actions)
			if st.Reads, st.Whole, err = l.nature(step.Target, v.actions[before:]); err != nil {
				return p, v, err
			}
		}
	}
	for i := range p.Steps {
		known, ok := settings[p.Steps[i].Target]
		if !ok {
			return p, v, fmt.Errorf("step %s: nothing of what runs on %s can be read now; let a statement that can come first", p.Steps[i].Name, p.Steps[i].Target)
		}
		for j := range p.Steps[i].Statements {
			p.Steps[i].Statements[j].Settings = known
		}
	}
	v.actions = unique(v.actions)
	return p, v, nil
}

// nature says whether actions change nothing, and whether nothing of them lasts if
// they fail.
func (l *Ledger) nature(target string, actions []bastion.Action) (reads, whole bool, err error) {
	_, c, err := l.connector(target)
	if err != nil {
		return false, false, err
	}
	verbs := c.Verbs()
	reads, whole = true, true
	for _, a := range actions {
		i := slices.IndexFunc(verbs, func(v bastion.VerbInfo) bool { return v.Verb == a.Verb })
		reads = reads && i >= 0 && !verbs[i].Write
		whole = whole && i >= 0 && (!verbs[i].Write || verbs[i].Whole)
	}
	return reads, whole, nil
}

// executors are those known who may execute a step, one of each combination of roles:
// policy decides by these. The author is left out.
func (l *Ledger) executors(author bastion.Identity, step task.Step) []bastion.Identity {
	var found []bastion.Identity
	seen := map[string]bool{}
	for _, who := range l.c.People() {
		roles := l.c.Policy.Roles(who)
		if who.Equal(author) || !step.Who.In(roles) {
			continue
		}
		key := string(who.Kind)
		for _, r := range roles {
			key += "\x00" + r.Name
		}
		if !seen[key] {
			seen[key] = true
			found = append(found, who)
		}
	}
	return found
}

// forAll is a decision about a statement for whoever may execute it: what is asked for
// any of them is asked for, so that any of them can. It is denied only if it is denied
// to all: authors design what they may not do themselves.
func (l *Ledger) forAll(d bastion.Decision, executors []bastion.Identity, op bastion.Operation, st *task.Statement) bastion.Decision {
	for _, who := range executors {
		o := l.c.Policy.Decide(who, op)
		switch {
		case o.Effect == bastion.Deny:
			continue
		case d.Effect == bastion.Deny:
			d = o
			st.Effect, st.Rule, st.Note = o.Effect.String(), o.Rule, ""
			continue
		case o.Effect == bastion.Ask && d.Effect != bastion.Ask:
			d.Effect, d.Rule, d.Needs = bastion.Ask, o.Rule, nil
			st.Effect, st.Rule = o.Effect.String(), o.Rule
		}
		d.Needs, d.OtherTeam = union(d.Needs, o.Needs), d.OtherTeam || o.OtherTeam
	}
	return d
}

func unique(all []bastion.Action) []bastion.Action {
	var once []bastion.Action
	for _, a := range all {
		if !slices.Contains(once, a) {
			once = append(once, a)
		}
	}
	return once
}

// makers are the verbs by which connectors call what changes which names there are.
var makers = []bastion.Verb{"create", "alter", "drop", "define"}

// maskedColumn is the rule by which policy refuses a statement that may show what is
// masked, also one of which the connector cannot tell.
const maskedColumn = "masked-column"

// What approvers are told of statements about which not all is known yet.
const (
	noteText   = "read by its text alone, because it may name what a statement before it makes: it is read again, and policy decides again, when its turn comes"
	noteMasked = "whether it shows or compares what is masked cannot be told before the statements before it ran: policy decides when its turn comes"
	noteRows   = "policy decides by the target's estimate of rows when its turn comes"
)

// readStatement reads one statement as it is now. If a statement before it changes
// which names there are, what cannot be read yet is read as far as its text tells,
// and has no digest. Where something is not known yet, the statement has a note: what
// policy decides when its turn comes holds, and what was approved has to cover that.
func (l *Ledger) readStatement(ctx context.Context, s *bastion.Session, p task.Plan, target string, st *task.Statement, later bool) (op bastion.Operation, d bastion.Decision, err error) {
	values, err := p.Bound(*st)
	if err != nil {
		return op, d, err
	}
	op, err = s.Bind(ctx, target, st.Text, values)
	var unread *bastion.ParseError
	switch {
	case err == nil:
		if d, err = s.Decide(ctx, op); err == nil && d.Estimate {
			if op, err = s.Estimate(ctx, op); err == nil {
				d, err = s.Decide(ctx, op)
			}
		}
		if err != nil {
			return op, d, err
		}
		st.Digest, st.Settings = op.Digest(), op.Intent().Settings
	case errors.As(err, &unread) && later:
		t, _, cerr := l.connector(target)
		if cerr != nil {
			return op, d, cerr
		}
		i, perr := l.read(target, st.Text)
		if perr != nil {
			return op, d, perr
		}
		op = bastion.Plan(t, st.Text, i)
		d = l.c.Policy.Decide(s.Who(), op)
		st.Note = noteText
	default:
		return op, d, err
	}
	i := op.Intent()
	st.Verb, st.Summary, st.Effect, st.Rule = i.Verb, i.Summary, d.Effect.String(), d.Rule
	switch {
	case d.Effect != bastion.Deny:
	case d.Estimate || op.Asked() && op.Rows() < 0:
		st.Effect, st.Note = "open", noteRows
	case later && d.Rule == maskedColumn:
		st.Effect = "open"
		if st.Note == "" {
			st.Note = noteMasked
		}
	default:
		st.Note = "" // it is denied, whatever else is not known
	}
	if r := op.Recorded(); r != st.Text {
		st.Recorded = r
	}
	return op, d, nil
}

// union is what covers both: of the same roles the greater number.
func union(a, b bastion.Needs) bastion.Needs {
	var all bastion.Needs
	for _, n := range slices.Concat(a, b) {
		i := slices.IndexFunc(all, func(m bastion.Need) bool { return m.Role == n.Role && slices.Equal(m.Or, n.Or) })
		if i < 0 {
			all = append(all, n)
		} else {
			all[i].Count = max(all[i].Count, n.Count)
		}
	}
	return all
}

// Resume asks those who decide the task whether it may go on without a step, or with it
// once more. Neither the author nor those who executed anything can vote on it.
func (l *Ledger) Resume(ctx context.Context, s *bastion.Session, id uint64, step string, way task.Way, reason string) (t task.Task, r bastion.Request, err error) {
	p, t, i, err := l.failing(ctx, s, id, step)
	if err != nil {
		return t, r, err
	}
	if err := checkReason(reason, true); err != nil {
		return t, r, err
	}
	f := facts{who: p.who, session: p.session, author: t.Author.Equal(p.who), may: p.may(t.Plan.Steps[i])}
	// What would not be taken is not asked for.
	probe := action{act: ask, way: way, step: i, reason: reason, request: bastion.Request{ID: 1, State: bastion.Pending}}
	if _, err := next(t, probe, f); err != nil {
		return t, r, err
	}
	digest := fmt.Sprintf("%s:%d:%d:%d:%s", way, t.ID, t.Revision, len(t.Resumed), t.Digest)
	q := approval.TaskQuestion{
		Who: p.who, Origin: p.origin, Session: p.session, Task: t.ID, Target: t.Plan.Steps[i].Target, Verb: bastion.Verb(way),
		Actions: []bastion.Action{{Verb: bastion.Verb(way), Resource: step}},
		Summary: fmt.Sprintf("%s step %s of task %d: %s", way, step, t.ID, t.Plan.Name), Text: resumption(t, i, way), Digest: digest,
		Needs: t.Needs, OtherTeam: t.OtherTeam, Within: t.Plan.Within, Lasts: t.Plan.Lasts, Reason: reason,
		Apart: append(t.Executors(), t.Author),
	}
	executors := len(t.Executors())
	r, err = l.c.Approvals.FileTask(ctx, q, func(tx store.Tx, r bastion.Request) error {
		var err error
		if t, err = load(tx, id); err != nil {
			return err
		}
		if len(t.Executors()) != executors {
			return fmt.Errorf("task %d went on meanwhile; look at it, and ask again", id)
		}
		f := f
		f.now = r.Created
		t, err = l.apply(tx, t, action{act: ask, way: way, step: i, reason: reason, request: r}, f, p.by)
		return err
	})
	return t, r, err
}

// resumption is what people read who vote on it.
func resumption(t task.Task, i int, way task.Way) string {
	var b strings.Builder
	step := t.Plan.Steps[i].Name
	if way == task.Skipping {
		fmt.Fprintf(&b, "skip step %s of task %d, and go on with what comes after it\n\n", step, t.ID)
	} else {
		fmt.Fprintf(&b, "execute step %s of task %d once more, from its first statement on\n", step, t.ID)
		if t.Progress[i].Undone {
			fmt.Fprint(&b, "nothing lasts of what was executed of it\n\n")
		} else {
			fmt.Fprint(&b, "what was executed of it may last, and would be executed again\n\n")
		}
	}
	fmt.Fprintf(&b, "the task is %s\n", t.State)
	if t.Why != "" {
		fmt.Fprintf(&b, "  %s\n", bastion.VisibleLine(t.Why))
	}
	for j, st := range t.Plan.Steps {
		fmt.Fprintf(&b, "step %s is %s\n", st.Name, t.Progress[j].State)
		for k, res := range t.Progress[j].Results {
			fmt.Fprintf(&b, "  statement %d: %s %s\n", k+1, res.Outcome, bastion.VisibleLine(res.Tag))
		}
	}
	fmt.Fprintf(&b, "\n%s", t.Plan.Recorded())
	return b.String()
}

// failing is the person, the task, and the number of its step of that name.
func (l *Ledger) failing(ctx context.Context, s *bastion.Session, id uint64, step string) (p person, t task.Task, i int, err error) {
	if p, err = whois(ctx, s); err != nil {
		return p, t, 0, err
	}
	if t, err = l.see(p, id); err != nil {
		return p, t, 0, err
	}
	if i = t.Step(step); i < 0 {
		return p, t, 0, fmt.Errorf("task %d has no step %q", t.ID, bastion.VisibleLine(step))
	}
	return p, t, i, nil
}

// Repeat has a step that failed executed again by the approval that the task has, where
// [task.Task.Repeats]. Where that takes a vote, it is an error: see Resume.
func (l *Ledger) Repeat(ctx context.Context, s *bastion.Session, id uint64, step, reason string) (t task.Task, err error) {
	p, t, i, err := l.failing(ctx, s, id, step)
	if err != nil {
		return t, err
	}
	if err := checkReason(reason, false); err != nil {
		return t, err
	}
	return l.change(ctx, id, action{act: repeat, step: i, reason: reason}, facts{who: p.who, session: p.session, may: p.may(t.Plan.Steps[i])}, p.by)
}
