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
	p, err := ask(ctx, s)
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
	plan, asked, err := l.readPlan(ctx, s, t.Plan)
	if err != nil {
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
		Summary: fmt.Sprintf("task %d: %s (%d steps)", t.ID, t.Plan.Name, len(plan.Steps)),
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
		step.Bound = bound(target)
		if err := s.Open(ctx, step.Target, bastion.Job{Show: quiet}); err != nil {
			return p, v, fmt.Errorf("reading step %s on %s: %w", step.Name, step.Target, err)
		}
		for j := range step.Statements {
			st := &step.Statements[j]
			op, d, err := l.readStatement(ctx, s, p, step.Target, st, changed[step.Target])
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
			v.actions = op.AppendActions(v.actions)
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
		if d, err = s.Decide(ctx, op); err != nil {
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
	case d.Estimate:
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

// Skip asks those who decide the task whether a step may be skipped, so that the rest
// goes on. Neither the author nor those who executed anything can vote on it.
func (l *Ledger) Skip(ctx context.Context, s *bastion.Session, id uint64, step, reason string) (t task.Task, r bastion.Request, err error) {
	p, err := ask(ctx, s)
	if err != nil {
		return t, r, err
	}
	if t, err = l.see(p, id); err != nil {
		return t, r, err
	}
	if err := checkReason(reason, true); err != nil {
		return t, r, err
	}
	i := t.Step(step)
	if i < 0 {
		return t, r, fmt.Errorf("task %d has no step %q", t.ID, bastion.VisibleLine(step))
	}
	f := facts{who: p.who, session: p.session, author: t.Author.Equal(p.who), may: p.may(t.Plan.Steps[i])}
	// What would not be taken is not asked for.
	probe := action{act: askSkip, step: i, reason: reason, request: bastion.Request{ID: 1, State: bastion.Pending}}
	if _, err := next(t, probe, f); err != nil {
		return t, r, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "skip step %s of task %d, and go on with what comes after it\n\n", step, t.ID)
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
	digest := fmt.Sprintf("skip:%d:%d:%d:%s", t.ID, t.Revision, len(t.Skips), t.Digest)
	q := approval.TaskQuestion{
		Who: p.who, Origin: p.origin, Session: p.session, Task: t.ID, Target: t.Plan.Steps[i].Target, Verb: "skip",
		Actions: []bastion.Action{{Verb: "skip", Resource: step}},
		Summary: fmt.Sprintf("skip step %s of task %d: %s", step, t.ID, t.Plan.Name), Text: b.String(), Digest: digest,
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
		t, err = l.apply(tx, t, action{act: askSkip, step: i, reason: reason, request: r}, f, p.by)
		return err
	})
	return t, r, err
}
