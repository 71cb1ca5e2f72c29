package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/task"
)

const tasks = "../../testdata/tasks/"

func TestTaskExamples(t *testing.T) {
	files, err := filepath.Glob(tasks + "*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("only %d examples, %v", len(files), err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, problems := config.ParseTask(path, data)
		if len(problems) > 0 {
			t.Error(problems)
		}
		if f.Name == "" || len(f.Steps) == 0 {
			t.Errorf("%s: read as %+v", path, f)
		}
	}
}

func TestTask(t *testing.T) {
	f, problems := config.ParseTask("t.yaml", []byte(`
name: n
within: 30m
lasts: 2h
approvals: [{ role: reviewer, count: 2 }, { any: [owner, chief] }]
parameters:
  day: { type: date, default: 2026-03-01, min: 2020-01-01 }
  rate: { type: number, min: 0.50, max: 1e }
  on: { type: boolean, default: true }
steps:
  - name: one
    target: a
    who: { role: deployer }
    script: select :day, :rate, :on
    verify:
      - { query: "select 1", expect: 007 }
      - { query: "select 1", expect: [[1, null, ""], [true, 1.50, x]] }
      - { query: "select 1", expect: [] }
  - { name: two, target: a, after: [], apart: [one], script: select 2, retry: 2 }
`))
	if len(problems) != 1 || !strings.Contains(problems.Err().Error(), "t.yaml:8:41: a number has no such bound") {
		t.Fatal(problems)
	}
	s := func(s string) *string { return &s }
	want := []task.Answer{{{s("007")}}, {{s("1"), nil, s("")}, {s("true"), s("1.50"), s("x")}}, {}}
	for i, v := range f.Steps[0].Verify {
		if diff := cmp.Diff(want[i], v.Expect); diff != "" {
			t.Error(diff)
		}
	}
	if f.Steps[0].After != nil || f.Steps[1].After == nil || f.Steps[1].Retry != 2 || f.Approvals[1].String() != "1 approval by an owner or chief" || *f.Parameters[0].Default != "2026-03-01" || f.Parameters[1].Min != "0.50" {
		t.Errorf("read as %+v", f)
	}
}

// Every mistake is told with its place, and no value is.
func TestTaskProblems(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"", "t.yaml:1:1: the file is empty"},
		{"name: n", "the task has no steps"},
		{"name: n\nstepps: []", `2:1: task: unknown field "stepps"; did you mean "steps"`},
		{"name: n\nsteps:\n  - { name: a, target: x, script: s, who: { role: r, duty: execute } }", "3:43: want a role or a duty"},
		{"name: n\nsteps:\n  - { name: a, target: x, script: s, who: { duty: hunter2 } }", `there is no duty "hunter2"`},
		{"name: n\nsteps:\n  - { name: a, target: x, script: s, after: [b] }", `3:46: no step before this one has the name "b"`},
		{"name: n\nsteps:\n  - { name: a, target: x, script: s, apart: a }", `no step before this one has the name "a"`},
		{"name: n\nsteps:\n  - { name: a, target: x, script: 'select :x' }", `3:35: there is no parameter "x"`},
		{"name: n\nsteps:\n  - { name: a, target: x, script: 'select ''' }", `a quote or comment has no end`},
		{"name: n\nsteps:\n  - { name: a, target: x }", `the step does nothing`},
		{"name: n\nsteps:\n  - { name: a, script: s }", `the step names no target`},
		{"name: n\nsteps:\n  - { name: a, target: x, script: s }\n  - { name: a, target: x, script: s }", `4:13: step "a" is here twice`},
		{"name: n\nsteps:\n  - { name: a, target: x, verify: [{ query: q }] }", `3:36: say what to expect`},
		{"name: n\nsteps:\n  - { name: a, target: x, verify: [{ query: q, expect: [[1], [1, 2]] }] }", `all rows have as many values`},
		{"name: n\nsteps:\n  - { name: a, target: x, verify: [{ query: q, expect: [1, 2] }] }", `want one value, or a list of rows`},
		{"name: n\nsteps:\n  - { name: a, target: x, script: s, retry: 6 }", `3:45: want a number from 0 to 5`},
		{"name: n\nwithin: 800h\nsteps:\n  - { name: a, target: x, script: s }", `2:9: want more than nothing, and at most 168h`},
		{"name: n\napprovals: [{ role: a, any: [b] }]\nsteps:\n  - { name: a, target: x, script: s }", `2:13: approval: want a role, or any of several`},
		{"name: n\napprovals: [{ count: 2 }]\nsteps:\n  - { name: a, target: x, script: s }", `2:13: an approval needs a role`},
		{"name: n\nparameters: { A: { type: text } }\nsteps:\n  - { name: a, target: x, script: s }", `2:15: the name of a parameter`},
		{"name: n\nparameters: { a: { type: txet } }\nsteps:\n  - { name: a, target: x, script: s }", `2:26: there is no type "txet"`},
		{"name: n\nparameters: { a: { type: one-of } }\nsteps:\n  - { name: a, target: x, script: s }", `one-of needs two choices`},
		{"name: n\nparameters: { a: { type: integer, default: x } }\nsteps:\n  - { name: a, target: x, script: s }", `2:44: the default is not a value`},
		{"name: n\nparameters: { a: { type: integer, min: 3, max: 2 } }\nsteps:\n  - { name: a, target: x, script: s }", `max is less than min`},
		{"name: n\nparameters: { a: { type: text, pattern: '(' } }\nsteps:\n  - { name: a, target: x, script: s }", `the pattern is no regular expression`},
		{"name: *x\nsteps: []", "anchor"},
		{"name: \"a\\u202eb\"\nsteps:\n  - { name: a, target: x, script: s }", "1:7: the name of the task"},
	} {
		_, problems := config.ParseTask("t.yaml", []byte(c.file))
		err := problems.Err()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.file, err, c.want)
		}
	}
}

func FuzzParseTask(f *testing.F) {
	files, err := filepath.Glob(tasks + "*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems := config.ParseTask("t.yaml", data)
		if problems.Err() == nil && (len(file.Steps) == 0 || len(file.Check()) > 0) {
			t.Errorf("a file without problems has some: %+v", file)
		}
	})
}
