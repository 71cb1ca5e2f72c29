package task

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// Plan is what people review and what runs: a file with values for its parameters.
type Plan struct {
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	Values      []Value       `json:"values,omitempty"`
	Approvals   bastion.Needs `json:"approvals,omitempty"` // besides policy's
	Within      time.Duration `json:"within"`
	Lasts       time.Duration `json:"lasts"`
	Steps       []Step        `json:"steps"`
}

// Step is a step of a plan.
type Step struct {
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty"`
	Target      string      `json:"target"`
	Bound       string      `json:"bound,omitempty"` // which system that was when review began
	Who         Who         `json:"who"`
	After       []string    `json:"after,omitempty"` // steps that have to be done before
	Apart       []string    `json:"apart,omitempty"` // steps that somebody else executes
	Retry       int         `json:"retry,omitempty"` // how often it may be repeated without a vote
	Statements  []Statement `json:"statements"`
}

// Statement is one statement of a step. What was read of it is filled in when review
// begins, and binds: what means anything else later does not run.
type Statement struct {
	Text string `json:"text"`
	// Params names the parameters of the plan whose values are bound to $1, $2 and so
	// on of the text.
	Params []string `json:"params,omitempty"`
	// Recorded is the text without its secrets, where it has any; then it takes the
	// place of Text once the task has ended.
	Recorded string `json:"recorded,omitempty"`
	// Expect is the answer of a query that verifies; nil for other statements.
	Expect  Answer       `json:"expect"`
	Verb    bastion.Verb `json:"verb,omitempty"`
	Summary string       `json:"summary,omitempty"`
	// Effect is what policy did with it, and Rule the rule that decided.
	Effect string `json:"effect,omitempty"`
	Rule   string `json:"rule,omitempty"`
	// Digest is that of the operation, and Settings those of the target's session. The
	// digest is empty where a statement before it has to run before it can be read in
	// full; Note says so.
	Digest   string `json:"digest,omitempty"`
	Settings string `json:"settings,omitempty"`
	Note     string `json:"note,omitempty"`
	// Reads says that it changes nothing, Whole that nothing of it lasts if it fails.
	Reads bool `json:"reads,omitempty"`
	Whole bool `json:"whole,omitempty"`
}

// Verifies reports whether the statement is there for its answer.
func (s Statement) Verifies() bool { return s.Expect != nil }

// Split cuts a text into the statements of a target's language, as a connector does.
type Split func(target, text string) (statements []string, rest string, err error)

// Make makes a plan of a file that has no problems, with values as [File.Values]
// made them.
func (f File) Make(values []Value, split Split) (Plan, []Problem) {
	c := &checker{}
	p := Plan{Name: f.Name, Description: f.Description, Values: values, Approvals: f.Approvals, Within: f.Within, Lasts: f.Lasts}
	if p.Within == 0 {
		p.Within = Within
	}
	if p.Lasts == 0 {
		p.Lasts = Lasts
	}
	var names []string
	for _, v := range values {
		names = append(names, v.Name)
	}
	statements, size := 0, 0
	for i, s := range f.Steps {
		path := fmt.Sprintf("steps.%d", i)
		step := Step{Name: s.Name, Description: s.Description, Target: s.Target, Who: s.Who, After: slices.Clone(s.After), Apart: slices.Clone(s.Apart), Retry: s.Retry}
		if step.Who == (Who{}) {
			step.Who.Duty = bastion.Execute
		}
		if s.After == nil && i > 0 {
			step.After = []string{f.Steps[i-1].Name}
		}
		step.Statements = c.cut(path+".script", s.Target, s.Script, names, split)
		if len(step.Statements) == 0 && len(s.Verify) == 0 {
			c.add(path+".script", "there is no statement in it")
		}
		for j, v := range s.Verify {
			at := fmt.Sprintf("%s.verify.%d.query", path, j)
			one := c.cut(at, s.Target, v.Query, names, split)
			if len(one) != 1 {
				c.add(at, "want one query, found %d", len(one))
				continue
			}
			one[0].Expect = v.Expect
			step.Statements = append(step.Statements, one[0])
		}
		if open := unended(step.Statements); open {
			c.add(path+".script", "the step begins a transaction that it does not end, so that nothing of it would last")
		}
		for _, st := range step.Statements {
			statements, size = statements+1, size+len(st.Text)
		}
		p.Steps = append(p.Steps, step)
	}
	if statements > MaxStatements || size > MaxScripts {
		c.add("steps", "the task has %d statements of %d bytes, and may have %d of %d", statements, size, MaxStatements, MaxScripts)
	}
	return p, c.problems
}

// cut numbers the parameters of a text and cuts it into statements.
func (c *checker) cut(path, target, s string, names []string, split Split) []Statement {
	all, err := cut(target, s, names, split)
	if err != nil {
		c.add(path, "%v", err)
	}
	return all
}

func cut(target, s string, names []string, split Split) ([]Statement, error) {
	s, err := numbered(s, names)
	if err != nil {
		return nil, err
	}
	texts, rest, err := split(target, s)
	if err != nil {
		return nil, err
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		texts = append(texts, rest)
	}
	all := make([]Statement, len(texts))
	for i, text := range texts {
		if all[i].Text, all[i].Params, err = renumbered(text, names); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Bound are the values of a statement's parameters, in order. A parameter that the
// plan does not have is an error.
func (p Plan) Bound(s Statement) ([]bastion.Value, error) {
	var all []bastion.Value
	for _, name := range s.Params {
		i := slices.IndexFunc(p.Values, func(v Value) bool { return v.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("internal error: the plan has no parameter %q", name)
		}
		all = append(all, p.Values[i].bound())
	}
	return all, nil
}

// words are the first words of a statement, in small letters.
func words(s Statement) []string {
	var first []string
	for _, t := range scan(s.Text) {
		if t.kind == word {
			first = append(first, strings.ToLower(t.text))
		}
		if len(first) == 6 {
			break
		}
	}
	return first
}

// begins reports whether a statement begins a transaction.
func begins(words []string) bool {
	return len(words) > 0 && (words[0] == "begin" || words[0] == "start")
}

// ends reports whether a statement ends a transaction, whatever it begins then.
func ends(words []string) bool {
	if len(words) == 0 {
		return false
	}
	switch words[0] {
	case "commit", "end", "abort", "rollback":
		return !slices.Contains(words, "to")
	case "prepare":
		return len(words) > 1 && words[1] == "transaction"
	}
	return false
}

// unended reports whether a transaction is open after the statements.
func unended(statements []Statement) bool {
	open := false
	for _, s := range statements {
		w := words(s)
		switch {
		case begins(w):
			open = true
		case ends(w):
			open = slices.Contains(w, "chain") && !slices.Contains(w, "no")
		case len(w) > 0 && w[0] == "rollback": // to a savepoint, and so in a transaction
			open = true
		}
	}
	return open
}

// Undone reports whether nothing lasts of the step if its execution ended with these
// results, not all of them well, and the connection was closed then: everything was in
// one transaction that never ended, or nothing but the last statement could change
// anything, and that one failed as a whole. Where nobody knows, it does not say so.
func (s Step) Undone(results []Result) bool {
	ran := 0 // statements that have run
	for i, r := range results {
		switch {
		case r.Outcome == Succeeded, r.Outcome == Failing && r.Tag != "": // the latter with an unexpected answer
			ran = i + 1
		case r.Outcome == Failing || r.Outcome == Refused:
		default:
			return false
		}
	}
	if ran > 0 && begins(words(s.Statements[0])) && !slices.ContainsFunc(s.Statements[:ran], func(s Statement) bool { return ends(words(s)) }) {
		return true
	}
	if slices.ContainsFunc(s.Statements[:ran], func(s Statement) bool { return !s.Reads || ends(words(s)) }) {
		return false
	}
	if len(results) == ran || results[ran].Outcome == Refused {
		return true
	}
	return s.Statements[ran].Reads || s.Statements[ran].Whole
}

// Digest identifies what the plan of that task and revision is: all of it, with what
// was read of its statements.
func (p Plan) Digest(id uint64, revision int) (string, error) {
	b, err := json.Marshal(struct {
		Format   string
		ID       uint64
		Revision int
		Plan     Plan
	}{"task/1", id, revision, p})
	if err != nil {
		return "", fmt.Errorf("reading the plan: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Recorded is the plan without the secrets in its statements, and without the values
// that are bound to these.
func (p Plan) Recorded() Plan {
	p.Steps, p.Values = slices.Clone(p.Steps), slices.Clone(p.Values)
	for i := range p.Steps {
		p.Steps[i].Statements = slices.Clone(p.Steps[i].Statements)
		for j := range p.Steps[i].Statements {
			s := &p.Steps[i].Statements[j]
			if s.Recorded == "" {
				continue
			}
			s.Text = s.Recorded
			for k, v := range p.Values {
				if slices.Contains(s.Params, v.Name) {
					p.Values[k].Text = "****"
				}
			}
		}
	}
	return p
}

// String is all of the plan for people to read, statements in full. Each line of a
// statement stands behind a bar, so that none can pass for anything else.
func (p Plan) String() string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	block := func(indent, s string) {
		for l := range strings.Lines(s) {
			line("%s| %s", indent, strings.TrimRight(l, "\n"))
		}
	}
	line("task %s", p.Name)
	block("  ", p.Description)
	for _, v := range p.Values {
		line("  %s = %s (%s)", v.Name, bastion.VisibleLine(strconv.Quote(v.Text)), v.Type)
	}
	for i, s := range p.Steps {
		line("")
		line("step %d of %d: %s", i+1, len(p.Steps), s.Name)
		block("  ", s.Description)
		who := "whoever has " + s.Who.String()
		if len(s.Apart) > 0 {
			who += ", but not who executed " + strings.Join(s.Apart, ", ")
		}
		if s.Retry > 0 {
			who += fmt.Sprintf(", again up to %d times if it failed and nothing of it lasts", s.Retry)
		}
		line("  on %s, by %s, %s", s.Target, who, after(s.After))
		for j, st := range s.Statements {
			about := bastion.VisibleLine(st.Summary)
			if st.Effect != "" {
				about += fmt.Sprintf(" (policy: %s, %s)", st.Effect, bastion.VisibleLine(st.Rule))
			}
			line("  statement %d of %d: %s", j+1, len(s.Statements), strings.TrimSpace(about))
			if st.Note != "" {
				line("    %s", st.Note)
			}
			block("    ", st.Text)
			for k, name := range st.Params {
				for _, v := range p.Values {
					if v.Name == name {
						line("    with $%d = %s, the %s %s", k+1, bastion.VisibleLine(strconv.Quote(v.Text)), v.Type, v.Name)
					}
				}
			}
			if st.Verifies() {
				line("    has to answer")
				block("      ", st.Expect.String())
			}
		}
	}
	return b.String()
}

func after(names []string) string {
	if len(names) == 0 {
		return "at any time"
	}
	return "after " + strings.Join(names, ", ")
}

// String is the answer in words, a line for each row.
func (a Answer) String() string {
	if len(a) == 0 {
		return "no rows"
	}
	var rows []string
	for _, row := range a {
		var values []string
		for _, v := range row {
			if v == nil {
				values = append(values, "NULL")
			} else {
				values = append(values, fmt.Sprintf("%q", *v))
			}
		}
		rows = append(rows, strings.Join(values, ", "))
	}
	return strings.Join(rows, "\n")
}

// Equal reports whether two answers are the same.
func (a Answer) Equal(b Answer) bool {
	return slices.EqualFunc(a, b, func(x, y []*string) bool {
		return slices.EqualFunc(x, y, func(v, w *string) bool { return v == w || v != nil && w != nil && *v == *w })
	})
}
