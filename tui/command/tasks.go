package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// Tasks keeps tasks and runs them, for the person of a session.
type Tasks interface {
	// Tasks lists those that the person may see, newest first; those that have ended
	// only if all is set.
	Tasks(ctx context.Context, s *bastion.Session, all bool, limit int) ([]task.Task, error)
	Task(ctx context.Context, s *bastion.Session, id uint64) (task.Task, error)
	// Runbooks lists files that are kept for making tasks of them.
	Runbooks(ctx context.Context, s *bastion.Session) ([]task.Runbook, error)
	New(ctx context.Context, s *bastion.Session, file []byte, values map[string]string) (task.Task, error)
	Edit(ctx context.Context, s *bastion.Session, id uint64, file []byte, values map[string]string) (task.Task, error)
	Submit(ctx context.Context, s *bastion.Session, id uint64, reason string) (task.Task, error)
	Run(ctx context.Context, s *bastion.Session, id uint64, step string, w task.Watch) (task.Task, error)
	Stop(ctx context.Context, s *bastion.Session, id uint64, reason string) (task.Task, error)
	// Resume asks for votes to go on without a step, or with it once more; Repeat does
	// the latter by the approval that the task has, where it may.
	Resume(ctx context.Context, s *bastion.Session, id uint64, step string, way task.Way, reason string) (task.Task, bastion.Request, error)
	Repeat(ctx context.Context, s *bastion.Session, id uint64, step, reason string) (task.Task, error)
}

// tasks lists tasks, and does what can be done to them.
func tasks(ctx context.Context, c *call) error {
	if c.o.Tasks == nil {
		return refusedError{errors.New("this bastion keeps no tasks")}
	}
	var all bool
	if err := c.flags(nil, map[string]*bool{"json": &c.json, "all": &all}); err != nil {
		return err
	}
	what := c.word()
	if what != "" {
		if _, err := strconv.ParseUint(strings.TrimPrefix(what, "#"), 10, 64); err == nil {
			what, c.line = "show", what+" "+c.line
		}
	}
	switch what {
	case "", "list":
		if err := c.flags(nil, map[string]*bool{"json": &c.json, "all": &all}); err != nil {
			return err
		}
		return c.listTasks(ctx, all)
	case "show":
		id, _, err := c.taskWords(false, nil)
		if err != nil {
			return err
		}
		t, err := c.o.Tasks.Task(ctx, c.s, id)
		if err != nil {
			return err
		}
		return c.page(t)
	case "runbooks":
		if err := c.flags(nil, map[string]*bool{"json": &c.json}); err != nil {
			return err
		}
		return c.listRunbooks(ctx)
	case "new", "edit":
		return c.writeTask(ctx, what)
	case "submit":
		id, reason, err := c.taskWords(true, nil)
		if err != nil {
			return err
		}
		t, err := c.o.Tasks.Submit(ctx, c.s, id, reason)
		return c.told(ctx, t, err)
	case "stop":
		id, reason, err := c.taskWords(true, nil)
		if err != nil {
			return err
		}
		t, err := c.o.Tasks.Stop(ctx, c.s, id, reason)
		return c.told(ctx, t, err)
	case "skip":
		return c.resumeTask(ctx, task.Skipping)
	case "retry":
		return c.resumeTask(ctx, task.Repeating)
	case "run":
		return c.runTask(ctx)
	}
	return usagef("tasks %q is not known; list, show, runbooks, new, edit, submit, run, stop, retry or skip", bastion.VisibleLine(what))
}

// resumeTask goes on from a step: at once, where that needs no vote, and else it asks.
func (c *call) resumeTask(ctx context.Context, way task.Way) error {
	var step string
	id, reason, err := c.taskWords(true, &step)
	if err != nil {
		return err
	}
	t, err := c.o.Tasks.Task(ctx, c.s, id)
	if err != nil {
		return err
	}
	if i := t.Step(step); way == task.Repeating && i >= 0 && t.Repeats(i) {
		t, err := c.o.Tasks.Repeat(ctx, c.s, id, step, reason)
		return c.told(ctx, t, err)
	}
	t, r, err := c.o.Tasks.Resume(ctx, c.s, id, step, way, reason)
	if err != nil {
		return refusal(err)
	}
	if c.json {
		return c.printJSON(r)
	}
	c.words("request %d asks to %s step %s of task %d; it needs %s%s", r.ID, way, step, t.ID, r.Needs, by(r.Approvers))
	_, err = fmt.Fprintln(c.out, r.ID)
	return err
}

// refusal makes a denial of what somebody may not do, or not now; a task that failed
// on its target stays the target's error.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	var te *bastion.TargetError
	if errors.As(err, &te) || Code(err) != TargetError {
		return err
	}
	return refusedError{err}
}

// taskWords reads NUMBER [STEP] [--reason] [WORDS...].
func (c *call) taskWords(reasons bool, step *string) (id uint64, reason string, err error) {
	w := c.word()
	id, err = strconv.ParseUint(strings.TrimPrefix(w, "#"), 10, 64)
	if err != nil || id == 0 {
		return 0, "", usagef("%q is not the number of a task", bastion.VisibleLine(w))
	}
	set := map[string]*string{}
	if reasons {
		set["reason"] = &reason
	}
	if err := c.flags(set, map[string]*bool{"json": &c.json}); err != nil {
		return 0, "", err
	}
	if step != nil {
		if *step = c.word(); *step == "" {
			return 0, "", usagef("which step?")
		}
		if err := c.flags(set, map[string]*bool{"json": &c.json}); err != nil {
			return 0, "", err
		}
	}
	if reason != "" {
		reason = strings.TrimSpace(reason + c.rest())
	}
	return id, reason, c.nothing()
}

func (c *call) listTasks(ctx context.Context, all bool) error {
	if err := c.nothing(); err != nil {
		return err
	}
	ts, err := c.o.Tasks.Tasks(ctx, c.s, all, 0)
	if err != nil {
		return err
	}
	if c.json {
		for _, t := range ts {
			if err := c.printJSON(t); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ts) == 0 {
		c.words("there is no task for you; --all lists those that ended too")
		return nil
	}
	var rows [][]string
	for _, t := range ts {
		next := "-"
		if i := t.Next(); i >= 0 {
			next = t.Plan.Steps[i].Name + " on " + t.Plan.Steps[i].Target
		}
		over := 0
		for _, p := range t.Progress {
			if p.State.Over() {
				over++
			}
		}
		request := "-"
		if t.Request > 0 {
			request = strconv.FormatUint(t.Request, 10)
		}
		rows = append(rows, []string{strconv.FormatUint(t.ID, 10), string(t.State), t.Author.Name, request,
			fmt.Sprintf("%d of %d", over, len(t.Progress)), next, t.Plan.Name})
	}
	return c.table([]string{"NO", "STATE", "AUTHOR", "REQUEST", "STEPS", "NEXT", "TASK"}, rows)
}

// listRunbooks lists the files of which one can make tasks, with their parameters.
func (c *call) listRunbooks(ctx context.Context) error {
	if err := c.nothing(); err != nil {
		return err
	}
	all, err := c.o.Tasks.Runbooks(ctx, c.s)
	if err != nil {
		return refusal(err)
	}
	type parameter struct {
		Name        string    `json:"name"`
		Type        task.Type `json:"type"`
		Description string    `json:"description,omitempty"`
		Default     *string   `json:"default,omitempty"`
		Choices     []string  `json:"choices,omitempty"`
	}
	var rows [][]string
	for _, b := range all {
		parameters, names, about := []parameter{}, []string{}, b.File.Name
		for _, p := range b.File.Parameters {
			parameters = append(parameters, parameter{p.Name, p.Type, p.Description, p.Default, p.Choices})
			names = append(names, p.Name+" ("+string(p.Type)+")")
		}
		problem := ""
		if b.Err != nil {
			problem = b.Err.Error()
			about = "cannot be read: " + problem
		}
		if c.json {
			if err := c.printJSON(struct {
				Runbook    string      `json:"runbook"`
				Name       string      `json:"name"`
				Parameters []parameter `json:"parameters"`
				Error      string      `json:"error,omitempty"`
			}{b.Name, b.File.Name, parameters, problem}); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{b.Name, strings.Join(names, ", "), about})
	}
	if c.json {
		return nil
	}
	if len(rows) == 0 {
		c.words("there are no runbooks here; make a task of a file: tasks new < FILE")
		return nil
	}
	return c.table([]string{"RUNBOOK", "PARAMETERS", "TASK"}, rows)
}

// runbook is the source of a runbook.
func (c *call) runbook(ctx context.Context, name string) (string, error) {
	all, err := c.o.Tasks.Runbooks(ctx, c.s)
	if err != nil {
		return "", refusal(err)
	}
	for _, b := range all {
		if b.Name == name {
			return string(b.Source), nil
		}
	}
	return "", usagef("there is no runbook %q; list them: tasks runbooks", bastion.VisibleLine(name))
}

// writeTask makes a task of a file, or gives one another content.
func (c *call) writeTask(ctx context.Context, what string) error {
	var id uint64
	if what == "edit" {
		w := c.word()
		var err error
		if id, err = strconv.ParseUint(strings.TrimPrefix(w, "#"), 10, 64); err != nil || id == 0 {
			return usagef("%q is not the number of a task", bastion.VisibleLine(w))
		}
	}
	values := map[string]string{}
	runbook := ""
	for {
		w := c.peek()
		if w == "--runbook" || strings.HasPrefix(w, "--runbook=") {
			c.line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimLeft(c.line, " \t\n"), "--runbook"), "=")
			if runbook = c.word(); runbook == "" {
				return usagef("--runbook wants a name; list them: tasks runbooks")
			}
			continue
		}
		if w == "--json" {
			c.word()
			c.json = true
			continue
		}
		if w != "--param" && !strings.HasPrefix(w, "--param=") {
			break
		}
		c.line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimLeft(c.line, " \t\n"), "--param"), "=")
		name, value, ok := strings.Cut(c.word(), "=")
		if _, twice := values[name]; !ok || twice {
			return usagef("--param wants NAME=VALUE, once for each")
		}
		values[name] = value
	}
	if err := c.flags(map[string]*string{"param": new(string), "runbook": new(string)}, map[string]*bool{"json": &c.json}); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	var data string
	var err error
	if runbook != "" {
		data, err = c.runbook(ctx, runbook)
	} else {
		data, err = c.file("tasks " + what)
	}
	if err != nil {
		return err
	}
	var t task.Task
	if what == "new" {
		t, err = c.o.Tasks.New(ctx, c.s, []byte(data), values)
	} else {
		t, err = c.o.Tasks.Edit(ctx, c.s, id, []byte(data), values)
	}
	return c.told(ctx, t, err)
}

// peek is the next word of the command line, which stays there.
func (c *call) peek() string {
	line := c.line
	w := c.word()
	c.line = line
	return w
}

// told says what became of a task.
func (c *call) told(ctx context.Context, t task.Task, err error) error {
	if err != nil {
		return refusal(err)
	}
	if c.json {
		return c.printJSON(t)
	}
	c.words("task %d is %s%s", t.ID, t.State, c.waits(ctx, t))
	_, err = fmt.Fprintln(c.out, t.ID)
	return err
}

// waits says what a task waits for.
func (c *call) waits(ctx context.Context, t task.Task) string {
	switch t.State {
	case task.Draft:
		return fmt.Sprintf("; when it is ready: tasks submit %d --reason WHY", t.ID)
	case task.Review:
		who := ""
		if r, err := c.s.Request(ctx, t.Request); err == nil {
			if who = by(r.Approvers); who == "" {
				who = ", and nobody is known here who could give that"
			}
		}
		return fmt.Sprintf("; request %d needs %s%s", t.Request, t.Needs, who)
	case task.Approved, task.Running:
		if i := t.Next(); i >= 0 {
			s := t.Plan.Steps[i]
			return fmt.Sprintf("; next is step %s on %s, for %s", s.Name, s.Target, s.Who)
		}
	case task.Failed, task.Stopped:
		return ": " + t.Why
	}
	return ""
}

// runTask executes what is next.
func (c *call) runTask(ctx context.Context) error {
	var step, reason, wait string
	set := map[string]*string{"step": &step, "reason": &reason, "wait": &wait}
	if err := c.flags(set, map[string]*bool{"json": &c.json}); err != nil {
		return err
	}
	id, _, err := c.taskWordsWith(set)
	if err != nil {
		return err
	}
	r := &runner{c: c, reason: reason}
	if wait != "" {
		if r.wait, err = time.ParseDuration(wait); err != nil || r.wait < 0 {
			return usagef("--wait wants a duration such as 10m, not %q", bastion.VisibleLine(wait))
		}
		r.waits = true
	}
	if c.json {
		r.format = formatJSON
	}
	var t task.Task
	err = r.limited(ctx, func(ctx context.Context, job bastion.Job) error {
		var p *printer
		job.Show = func(f bastion.Frame) error {
			if p == nil {
				return nil
			}
			return p.frame(f)
		}
		var err error
		t, err = c.o.Tasks.Run(ctx, c.s, id, step, task.Watch{
			Job: job,
			Begins: func(t task.Task, i, j int) {
				p = r.printer()
				s := t.Plan.Steps[i]
				c.words("step %s on %s, statement %d of %d: %s", s.Name, s.Target, j+1, len(s.Statements), firstLine(s.Statements[j].Text))
				values, err := t.Plan.Bound(s.Statements[j])
				if err != nil {
					c.words("its values cannot be shown: %v", err)
				}
				for i, v := range values {
					c.words("  $%d = %s", i+1, bastion.VisibleLine(strconv.Quote(v.Text)))
				}
			},
			Ended: func(_ task.Task, _, _ int, x task.Result) {
				if p != nil {
					if err := p.flush(); err != nil {
						c.words("%v", err)
					}
					p = nil
				}
				if x.Outcome != task.Succeeded {
					c.words("%s: %s", x.Outcome, x.Error)
				}
			},
		})
		return err
	})
	if t.ID != 0 {
		c.words("task %d is %s%s", t.ID, t.State, c.waits(ctx, t))
	}
	if c.json && t.ID != 0 {
		return errors.Join(refusalOfRun(t, err), c.printJSON(t))
	}
	return refusalOfRun(t, err)
}

// refusalOfRun tells a task that failed on a target from one that one may not run.
func refusalOfRun(t task.Task, err error) error {
	if t.State == task.Failed || t.State == task.Stopped {
		return err
	}
	return refusal(err)
}

// taskWordsWith reads NUMBER with flags before and after it.
func (c *call) taskWordsWith(set map[string]*string) (uint64, string, error) {
	w := c.word()
	id, err := strconv.ParseUint(strings.TrimPrefix(w, "#"), 10, 64)
	if err != nil || id == 0 {
		return 0, "", usagef("%q is not the number of a task", bastion.VisibleLine(w))
	}
	if err := c.flags(set, map[string]*bool{"json": &c.json}); err != nil {
		return 0, "", err
	}
	return id, "", c.nothing()
}

func firstLine(s string) string {
	line, rest, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more && strings.TrimSpace(rest) != "" {
		line += " ..."
	}
	return bastion.VisibleLine(line)
}

// page is all that is known of a task: who designed, approved and executed it, when,
// in which recordings, and how each statement ended.
func (c *call) page(t task.Task) error {
	if c.json {
		return c.printJSON(t)
	}
	at := func(x time.Time) string {
		if x.IsZero() {
			return "-"
		}
		return x.UTC().Format("2006-01-02 15:04:05 MST")
	}
	person := func(i bastion.Identity) string { return fmt.Sprintf("%s (%s)", i.Name, i.ID()) }
	rows := [][]string{{"name", t.Plan.Name}, {"state", strings.TrimSpace(string(t.State) + " " + t.Why)}, {"revision", strconv.Itoa(t.Revision)},
		{"designed by", person(t.Author) + ", " + at(t.Created)}}
	if t.Request > 0 {
		rows = append(rows, []string{"reason", t.Reason}, []string{"needs", t.Needs.String()},
			[]string{"request", fmt.Sprintf("%d, %s, until %s", t.Request, t.Approval, at(t.Expires))}, []string{"digest", t.Digest})
	}
	votes := func(of string, vs []bastion.Vote) {
		for _, v := range vs {
			rows = append(rows, []string{of + string(v.Verdict), fmt.Sprintf("%s as %s, %s, recording %s %s", person(v.Who), strings.Join(v.Roles, ", "), at(v.At), v.Session, v.Reason)})
		}
	}
	votes("", t.Votes)
	for _, k := range t.Resumed {
		rows = append(rows, []string{string(k.Way), fmt.Sprintf("step %s, request %d, %s", k.Step, k.Request, k.State)})
		votes(string(k.Way)+": ", k.Votes)
	}
	if err := c.table([]string{"task", strconv.FormatUint(t.ID, 10)}, rows); err != nil {
		return err
	}
	var steps [][]string
	did := func(name, target, state string, x task.Attempt) {
		by, session := "-", "-"
		if x.By != nil {
			by, session = person(*x.By), x.Session
		}
		steps = append(steps, []string{name, target, state, by, session, "", "", ""})
		for j, r := range x.Results {
			steps = append(steps, []string{fmt.Sprintf("  %d", j+1), "", string(r.Outcome), r.Tag, r.Error, at(r.Began), r.Ended.Sub(r.Began).Truncate(time.Millisecond).String(), r.Digest})
		}
	}
	for i, p := range t.Progress {
		s := t.Plan.Steps[i]
		for _, x := range p.Earlier {
			did(s.Name, s.Target, "repeated", x)
		}
		did(s.Name, s.Target, string(p.State), task.Attempt{By: p.By, Session: p.Session, Results: p.Results})
	}
	fmt.Fprintln(c.out)
	if err := c.table([]string{"STEP", "TARGET", "STATE", "BY, DID", "RECORDING, ERROR", "BEGAN", "TOOK", "DIGEST"}, steps); err != nil {
		return err
	}
	var history [][]string
	for _, e := range t.History {
		what := e.What
		if e.Step != "" {
			what += " " + e.Step
		}
		history = append(history, []string{at(e.At), strconv.Itoa(e.Revision), e.Name, what, e.Session, e.Note})
	}
	fmt.Fprintln(c.out)
	if err := c.table([]string{"AT", "REVISION", "WHO", "WHAT", "RECORDING", "NOTE"}, history); err != nil {
		return err
	}
	w := bufio.NewWriter(c.out)
	fmt.Fprintf(w, "\n%s", bastion.Visible(t.Plan.String()))
	return w.Flush()
}
