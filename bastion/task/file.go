package task

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
)

// Limits of a file and of its task.
const (
	// MaxSteps, MaxStatements and MaxParameters are the greatest numbers of steps, of
	// statements in all of them, and of parameters.
	MaxSteps      = 50
	MaxStatements = 200
	MaxParameters = 50
	// MaxScripts is the greatest length of all statements together, in bytes. What
	// approvers read has to be one text.
	MaxScripts = bastion.MaxText / 2
	// MaxWithin and MaxLasts are the longest times for which a task waits for votes,
	// and for which its approval lasts.
	MaxWithin = 7 * 24 * time.Hour
	MaxLasts  = 7 * 24 * time.Hour
	// Within and Lasts are the same if a file does not say.
	Within = 24 * time.Hour
	Lasts  = 8 * time.Hour

	maxRetry = 5

	maxName  = 60   // of a task, step or parameter, in bytes
	maxWords = 2000 // of a description, in bytes
	maxRows  = 100  // of an answer that is expected
)

// File is a task as people write it.
type File struct {
	Name        string
	Description string
	Parameters  []Parameter
	// Approvals is what the task takes besides what policy asks for its statements.
	Approvals bastion.Needs
	// Within is how long it waits for votes, and Lasts how long it may run after they
	// were given. Zero: the defaults.
	Within, Lasts time.Duration
	Steps         []FileStep
}

// FileStep is a step as people write it.
type FileStep struct {
	Name        string
	Description string
	Target      string
	Who         Who
	// After names the steps that have to be done before. Nil: the step before this one;
	// empty but not nil: none.
	After []string
	// Apart names steps that somebody else has to execute.
	Apart []string
	// Retry is how often the step may be executed again without another vote, if it
	// failed and nothing of it lasts.
	Retry int
	// Script is statements, with placeholders such as :customer for parameters.
	Script string
	Verify []FileCheck
}

// FileCheck is a query that follows a script, and the answer that it has to give.
type FileCheck struct {
	Query  string
	Expect Answer
}

// Answer is an answer row by row, value by value, in the target's words; nil is NULL.
type Answer [][]*string

// Who says who may execute a step: whoever holds the role, or any role with the duty.
type Who struct {
	Role string       `json:"role,omitempty"`
	Duty bastion.Duty `json:"duty,omitempty"`
}

// String names those people.
func (w Who) String() string {
	if w.Role != "" {
		return "the role " + w.Role
	}
	return "the duty " + string(w.Duty)
}

// In reports whether somebody with these roles is one of them.
func (w Who) In(roles []bastion.Role) bool {
	return slices.ContainsFunc(roles, func(r bastion.Role) bool {
		if w.Role != "" {
			return r.Name == w.Role
		}
		return w.Duty != "" && slices.Contains(r.Duties, w.Duty)
	})
}

// Parameter is something that a runbook leaves open.
type Parameter struct {
	Name        string
	Description string
	Type        Type
	// Default stands where no value is given; nil: there has to be one.
	Default *string
	// Pattern is a regular expression (RE2) that all of a text has to match.
	Pattern string
	// Min and Max are the bounds of a number or date; of a text, those of its length in
	// characters. Empty: none.
	Min, Max string
	Choices  []string // of a OneOf
}

// Problem is something wrong with a file. Path names the place, such as
// steps.2.after.0; problems of something as a whole name that.
type Problem struct {
	Path    string
	Message string
}

var (
	nameForm      = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._/-]*$`)
	parameterForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// checker collects problems.
type checker struct{ problems []Problem }

func (c *checker) add(path, format string, a ...any) {
	c.problems = append(c.problems, Problem{path, fmt.Sprintf(format, a...)})
}

func (c *checker) name(path, what, s string) {
	switch {
	case s == "":
		c.add(path, "%s has no name", what)
	case len(s) > maxName || !nameForm.MatchString(s) || bastion.VisibleLine(s) != s:
		c.add(path, "the name of %s: want at most %d bytes of letters, digits, spaces and . _ / -", what, maxName)
	}
}

func (c *checker) words(path, s string) {
	if len(s) > maxWords || !utf8.ValidString(s) {
		c.add(path, "a description has at most %d bytes of UTF-8", maxWords)
	}
}

func (c *checker) span(path string, d, most time.Duration) {
	if d < 0 || d > most {
		c.add(path, "want more than nothing, and at most %s", most)
	}
}

// Check lists what is wrong with the file, whatever values its parameters get.
func (f File) Check() []Problem {
	c := &checker{}
	c.name("name", "the task", f.Name)
	c.words("description", f.Description)
	c.span("within", f.Within, MaxWithin)
	c.span("lasts", f.Lasts, MaxLasts)
	for i, n := range f.Approvals {
		path := fmt.Sprintf("approvals.%d", i)
		if n.Role == "" || n.Count < 1 || n.Count > 20 {
			c.add(path, "an approval needs a role, and a count from 1 to 20")
		}
		for j, role := range n.Or {
			if role == "" || role == n.Role || slices.Contains(n.Or[:j], role) {
				c.add(path, "an approval names each role once")
			}
		}
	}
	if len(f.Parameters) > MaxParameters {
		c.add("parameters", "there are more than %d parameters", MaxParameters)
	}
	for i, p := range f.Parameters {
		path := fmt.Sprintf("parameters.%d", i)
		if slices.ContainsFunc(f.Parameters[:i], func(q Parameter) bool { return q.Name == p.Name }) {
			c.add(path, "parameter %q is here twice", p.Name)
		}
		p.check(c, path)
	}
	switch {
	case len(f.Steps) == 0:
		c.add("steps", "the task has no steps")
	case len(f.Steps) > MaxSteps:
		c.add("steps", "there are more than %d steps", MaxSteps)
	}
	for i, s := range f.Steps {
		f.checkStep(c, fmt.Sprintf("steps.%d", i), i, s)
	}
	return c.problems
}

func (f File) checkStep(c *checker, path string, i int, s FileStep) {
	c.name(path+".name", "the step", s.Name)
	c.words(path+".description", s.Description)
	earlier := func(name string) bool {
		return slices.ContainsFunc(f.Steps[:i], func(o FileStep) bool { return o.Name == name })
	}
	if earlier(s.Name) {
		c.add(path+".name", "step %q is here twice", s.Name)
	}
	if s.Target == "" {
		c.add(path, "the step names no target")
	}
	switch {
	case s.Who.Role != "" && s.Who.Duty != "":
		c.add(path+".who", "want a role or a duty, not both")
	case s.Who.Duty != "" && !slices.Contains(bastion.Duties(), s.Who.Duty):
		c.add(path+".who", "there is no duty %q", s.Who.Duty)
	}
	if s.Retry < 0 || s.Retry > maxRetry {
		c.add(path+".retry", "want a number from 0 to %d", maxRetry)
	}
	for j, name := range s.After {
		if !earlier(name) {
			c.add(fmt.Sprintf("%s.after.%d", path, j), "no step before this one has the name %q", name)
		}
	}
	for j, name := range s.Apart {
		if !earlier(name) {
			c.add(fmt.Sprintf("%s.apart.%d", path, j), "no step before this one has the name %q", name)
		}
	}
	if strings.TrimSpace(s.Script) == "" && len(s.Verify) == 0 {
		c.add(path, "the step does nothing: write a script, or something to verify")
	}
	f.checkText(c, path+".script", s.Script)
	for j, v := range s.Verify {
		at := fmt.Sprintf("%s.verify.%d", path, j)
		if strings.TrimSpace(v.Query) == "" {
			c.add(at, "there is no query to verify by")
		}
		f.checkText(c, at+".query", v.Query)
		if v.Expect == nil || len(v.Expect) > maxRows {
			c.add(at, "say what to expect: a value, or a list of at most %d rows", maxRows)
		}
		for _, row := range v.Expect {
			if len(row) != len(v.Expect[0]) || len(row) == 0 {
				c.add(at+".expect", "all rows have as many values, and at least one")
				break
			}
		}
	}
}

// checkText refuses a placeholder that stands for nothing, or where a constant
// cannot stand.
func (f File) checkText(c *checker, path, text string) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		c.add(path, "the text is not valid UTF-8")
		return
	}
	if len(text) > MaxScripts {
		c.add(path, "the text has more than %d bytes", MaxScripts)
		return
	}
	places, err := placeholders(text)
	if err != nil {
		c.add(path, "%v", err)
		return
	}
	for _, name := range places {
		if !slices.ContainsFunc(f.Parameters, func(p Parameter) bool { return p.Name == name }) {
			c.add(path, "there is no parameter %q; declare it, or write \": %s\" if none is meant", name, name)
			return
		}
	}
}
