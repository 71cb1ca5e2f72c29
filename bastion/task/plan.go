package task

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
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
	Statements  []Statement `json:"statements"`
}

// Statement is one statement of a step. What was read of it is filled in when review
// begins, and binds: what means anything else later does not run.
type Statement struct {
	Text string `json:"text"`
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
	statements, size := 0, 0
	for i, s := range f.Steps {
		path := fmt.Sprintf("steps.%d", i)
		step := Step{Name: s.Name, Description: s.Description, Target: s.Target, Who: s.Who, After: slices.Clone(s.After), Apart: slices.Clone(s.Apart)}
		if step.Who == (Who{}) {
			step.Who.Duty = bastion.Execute
		}
		if s.After == nil && i > 0 {
			step.After = []string{f.Steps[i-1].Name}
		}
		for _, text := range c.cut(path+".script", s.Target, s.Script, values, split) {
			step.Statements = append(step.Statements, Statement{Text: text})
		}
		if len(step.Statements) == 0 && len(s.Verify) == 0 {
			c.add(path+".script", "there is no statement in it")
		}
		for j, v := range s.Verify {
			at := fmt.Sprintf("%s.verify.%d.query", path, j)
			texts := c.cut(at, s.Target, v.Query, values, split)
			if len(texts) != 1 {
				c.add(at, "want one query, found %d", len(texts))
				continue
			}
			step.Statements = append(step.Statements, Statement{Text: texts[0], Expect: v.Expect})
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

// cut fills a text in and cuts it into statements. The same text with other values
// has to be as many.
func (c *checker) cut(path, target, s string, values []Value, split Split) []string {
	texts, err := cut(target, s, values, split)
	if err != nil {
		c.add(path, "%v", err)
		return nil
	}
	plain, err := cut(target, s, plains(values), split)
	if err != nil || len(plain) != len(texts) {
		c.add(path, "%v", errShape)
		return nil
	}
	return texts
}

// plains are values of the same types that mean nothing.
func plains(values []Value) []Value {
	var all []Value
	for _, v := range values {
		all = append(all, v.Plain())
	}
	return all
}

func cut(target, s string, values []Value, split Split) ([]string, error) {
	filled, err := Fill(s, values)
	if err != nil {
		return nil, err
	}
	texts, rest, err := split(target, filled)
	if err != nil {
		return nil, err
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		texts = append(texts, rest)
	}
	return texts, nil
}

// Plain is the plan with values that mean nothing. Statement by statement it has to
// be read as the plan itself is.
func (f File) Plain(values []Value, split Split) (Plan, []Problem) {
	return f.Make(plains(values), split)
}

// unended reports whether a transaction is open after the statements.
func unended(statements []Statement) bool {
	open := false
	for _, s := range statements {
		var words []string
		for _, t := range scan(s.Text) {
			if t.kind == word {
				words = append(words, strings.ToLower(t.text))
			}
			if len(words) == 6 {
				break
			}
		}
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "begin", "start":
			open = true
		case "commit", "end", "abort", "rollback":
			open = slices.Contains(words, "to") || slices.Contains(words, "chain") && !slices.Contains(words, "no")
		case "prepare":
			open = open && !(len(words) > 1 && words[1] == "transaction")
		}
	}
	return open
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

// Recorded is the plan without the secrets in its statements.
func (p Plan) Recorded() Plan {
	p.Steps = slices.Clone(p.Steps)
	for i := range p.Steps {
		p.Steps[i].Statements = slices.Clone(p.Steps[i].Statements)
		for j := range p.Steps[i].Statements {
			if s := &p.Steps[i].Statements[j]; s.Recorded != "" {
				s.Text = s.Recorded
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
		line("  %s = %s (%s)", v.Name, bastion.VisibleLine(v.Text), v.Type)
	}
	for i, s := range p.Steps {
		line("")
		line("step %d of %d: %s", i+1, len(p.Steps), s.Name)
		block("  ", s.Description)
		who := "whoever has " + s.Who.String()
		if len(s.Apart) > 0 {
			who += ", but not who executed " + strings.Join(s.Apart, ", ")
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
