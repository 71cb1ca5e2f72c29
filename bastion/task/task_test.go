package task_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

func TestValues(t *testing.T) {
	p := func(typ task.Type, change ...func(*task.Parameter)) task.Parameter {
		p := task.Parameter{Name: "p", Type: typ}
		for _, f := range change {
			f(&p)
		}
		return p
	}
	bounds := func(lo, hi string) func(*task.Parameter) {
		return func(p *task.Parameter) { p.Min, p.Max = lo, hi }
	}
	pattern := func(s string) func(*task.Parameter) { return func(p *task.Parameter) { p.Pattern = s } }
	choices := func(s ...string) func(*task.Parameter) { return func(p *task.Parameter) { p.Choices = s } }
	for _, c := range []struct {
		p          task.Parameter
		in         string
		text, fail string
	}{
		{p(task.Text), "O'Brien", "O'Brien", ""},
		{p(task.Text), `\'; drop table x --`, `\'; drop table x --`, ""},
		{p(task.Text), "", "", ""},
		{p(task.Text), "a\x00b", "", "valid UTF-8"},
		{p(task.Text), "\xff", "", "valid UTF-8"},
		{p(task.Text), strings.Repeat("x", 10_001), "", "at most 10000 bytes"},
		{p(task.Text, bounds("2", "3")), "é", "", "at least 2 characters"},
		{p(task.Text, bounds("2", "3")), "éé", "éé", ""},
		{p(task.Text, bounds("2", "3")), "éééé", "", "at most 3 characters"},
		{p(task.Text, pattern("[a-z]+")), "abc", "abc", ""},
		{p(task.Text, pattern("[a-z]+")), "abc;", "", "matches [a-z]+"},
		{p(task.Text, pattern("a|b")), "ab", "", "matches"},                 // all of it, not a part
		{p(task.Text, pattern("[a-z]+)|(?:x")), "abc; more", "", "matches"}, // it closes what it did not open
		{p(task.Integer), "7", "7", ""},
		{p(task.Integer), "-7", "-7", ""},
		{p(task.Integer), "+007", "7", ""},
		{p(task.Integer), "7; drop table x", "", "whole number"},
		{p(task.Integer), "0x7", "", "whole number"},
		{p(task.Integer), "9223372036854775808", "", "whole number"},
		{p(task.Integer, bounds("-1", "2")), "-2", "", "at least -1"},
		{p(task.Integer, bounds("-1", "2")), "3", "", "at most 2"},
		{p(task.Number), "12.50", "12.50", ""},
		{p(task.Number), "-0.5", "-0.5", ""},
		{p(task.Number), "1e5", "", "a number"},
		{p(task.Number), "NaN", "", "a number"},
		{p(task.Number, bounds("0.1", "")), "0.09", "", "at least 0.1"},
		{p(task.Boolean), "true", "true", ""},
		{p(task.Boolean), "yes", "", "true or false"},
		{p(task.Date), "2026-02-28", "2026-02-28", ""},
		{p(task.Date), "2026-02-29", "", "a date"},
		{p(task.Date), "0000-01-01", "", "a date"},
		{p(task.Date, bounds("2026-01-01", "2026-12-31")), "2027-01-01", "", "at most 2026-12-31"},
		{p(task.OneOf, choices("a", "b'")), "b'", "b'", ""},
		{p(task.OneOf, choices("a", "b")), "c", "", "one of a, b"},
		{p("money"), "1", "", "internal error"},
	} {
		v, err := c.p.Value(c.in)
		if c.fail != "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%s %q: %v, want %q", c.p.Type, c.in, err, c.fail)
			}
			continue
		}
		if err != nil || v.Text != c.text {
			t.Errorf("%s %q: %s, %v; want %s", c.p.Type, c.in, v.Text, err, c.text)
		}
	}
}

func TestGiven(t *testing.T) {
	one := "1"
	f := task.File{Parameters: []task.Parameter{{Name: "a", Type: task.Integer}, {Name: "b", Type: task.Integer, Default: &one}}}
	v, err := f.Values(map[string]string{"a": "7"})
	if err != nil || len(v) != 2 || v[0].Text != "7" || v[1].Text != "1" {
		t.Errorf("%v, %v", v, err)
	}
	for _, c := range []struct {
		given map[string]string
		want  string
	}{
		{nil, "parameter a: it has no value"},
		{map[string]string{"a": "hunter2"}, "parameter a: want a whole number"},
		{map[string]string{"a": "1", "c": "2"}, "parameter c: there is no such parameter"},
	} {
		_, err := f.Values(c.given)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v, want %q", c.given, err, c.want)
		}
	}
}

func values() []task.Value {
	return []task.Value{{Name: "s", Type: task.Text, Text: "O'Brien"}, {Name: "n", Type: task.Integer, Text: "-5"}, {Name: "d", Type: task.Date, Text: "2026-03-01"}}
}

// script is a file of one step.
func script(text string) task.File {
	return task.File{Name: "n", Parameters: []task.Parameter{{Name: "s", Type: task.Text}, {Name: "n", Type: task.Integer}, {Name: "d", Type: task.Date}},
		Steps: []task.FileStep{{Name: "one", Target: "a", Script: text}}}
}

// A placeholder becomes a parameter of the statement, and nothing else of it changes.
func TestPlaceholders(t *testing.T) {
	for _, c := range []struct{ in, want, params, fail string }{
		{in: "select :s", want: "select $1", params: "s"},
		{in: "select :n, :s, :n", want: "select $1, $2, $1", params: "n s"},
		{in: "select a-:n", want: "select a-$1", params: "n"},
		{in: "select:n", want: "select $1", params: "n"},
		{in: "select x::text, y:=1", want: "select x::text, y:=1"},
		{in: "select ':s', \":s\", $q$:s$q$, $$:s$$ -- :s\n, /* :s /* :s */ :s */ 1", want: "select ':s', \":s\", $q$:s$q$, $$:s$$ -- :s\n, /* :s /* :s */ :s */ 1"},
		{in: "select 'it''s :n', :n", want: "select 'it''s :n', $1", params: "n"},
		{in: "select a$$b, :d", want: "select a$$b, $1", params: "d"},
		{in: "select U&'\\0041', N'x', b'1', :n", want: "select U&'\\0041', N'x', b'1', $1", params: "n"},
		{in: "select E'\\'', :s, ' :n'", want: "select E'\\'', $1, ' :n'", params: "s"},
		{in: "select :other", fail: `no parameter "other"`},
		{in: "select :S", fail: "not the name of a parameter"},
		{in: "select :s$x$", fail: "not the name of a parameter"},
		{in: "select $1, :s", fail: "no parameters such as $1"},
		{in: "select 'open :s", fail: "has no end"},
		{in: "select /* :s", fail: "has no end"},
		{in: "select $a$ :s $b$", fail: "has no end"},
		{in: "select E'\\", fail: "has no end"},
	} {
		f := script(c.in)
		found := f.Check()
		var p task.Plan
		if found == nil {
			p, found = f.Make(values(), semicolons)
		}
		switch {
		case c.fail != "":
			if len(found) == 0 || !strings.Contains(found[0].Message, c.fail) {
				t.Errorf("%q: %v; want %q", c.in, found, c.fail)
			}
		case found != nil || p.Steps[0].Statements[0].Text != c.want || strings.Join(p.Steps[0].Statements[0].Params, " ") != c.params:
			t.Errorf("%q: %+v, %v; want %q with %s", c.in, p.Steps, found, c.want, c.params)
		}
	}
}

// Each statement has numbers of its own, and the values that belong to them.
func TestBound(t *testing.T) {
	p, found := script("x :n; y; z :d :s :d").Make(values(), semicolons)
	if found != nil {
		t.Fatal(found)
	}
	for i, want := range []struct {
		text   string
		values []bastion.Value
	}{
		{"x $1", []bastion.Value{{Type: bastion.IntegerValue, Text: "-5"}}},
		{"y", nil},
		{"z $1 $2 $1", []bastion.Value{{Type: bastion.DateValue, Text: "2026-03-01"}, {Type: bastion.TextValue, Text: "O'Brien"}}},
	} {
		st := p.Steps[0].Statements[i]
		got, err := p.Bound(st)
		if err != nil || st.Text != want.text || !slices.Equal(got, want.values) {
			t.Errorf("%q with %v, %v; want %+v", st.Text, got, err, want)
		}
	}
	if shown := p.String(); !strings.Contains(shown, `with $2 = "O'Brien", the text s`) || !strings.Contains(shown, `with $1 = "-5", the integer n`) {
		t.Error(shown)
	}
	if _, err := p.Bound(task.Statement{Params: []string{"x"}}); err == nil {
		t.Error("a parameter that is none has a value")
	}
	p.Steps[0].Statements[2].Recorded = "z ****"
	if shown := p.Recorded().String(); strings.Contains(shown, "Brien") || !strings.Contains(shown, `"-5"`) || !strings.Contains(p.String(), "Brien") {
		t.Error(shown)
	}
	one, err := p.Digest(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*task.Value){func(v *task.Value) { v.Text = "1" }, func(v *task.Value) { v.Type = task.Number }, func(v *task.Value) { v.Name = "m" }} {
		q, _ := script("x :n; y; z :d :s :d").Make(values(), semicolons)
		change(&q.Values[1])
		if two, err := q.Digest(1, 1); err != nil || two == one {
			t.Errorf("another value has the same digest, %v", err)
		}
	}
}

// Whatever the text, no value gets into it, and nothing of it changes but the
// placeholders.
func FuzzPlaceholders(f *testing.F) {
	for _, s := range []string{"update t set a = :s where b = ':s' -- :s", "select $$:s$$, :s", ":s:n", "select $1", "E'\\':s", "a:s;b:n:s", "$x$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := script(text)
		if file.Check() != nil {
			return
		}
		p, found := file.Make(values(), func(_, text string) ([]string, string, error) { return []string{text}, "", nil })
		if len(found) > 0 {
			return
		}
		st := p.Steps[0].Statements[0]
		back := st.Text
		for i := len(st.Params); i > 0; i-- {
			back = strings.ReplaceAll(back, fmt.Sprintf("$%d", i), ":"+st.Params[i-1])
		}
		if strings.ReplaceAll(back, " ", "") != strings.ReplaceAll(text, " ", "") {
			t.Fatalf("%q became %q with %v", text, st.Text, st.Params)
		}
		if strings.Contains(st.Text, "O'Brien") && !strings.Contains(text, "O'Brien") {
			t.Fatalf("a value is in %q", st.Text)
		}
		if values, err := p.Bound(st); err != nil || len(values) != len(st.Params) {
			t.Fatalf("%q: %v, %v", st.Text, values, err)
		}
	})
}

// semicolons splits as simply as no real connector does.
func semicolons(_, text string) (all []string, rest string, err error) {
	for {
		one, after, ok := strings.Cut(text, ";")
		if !ok {
			return all, strings.TrimSpace(text), nil
		}
		all, text = append(all, strings.TrimSpace(one)), after
	}
}

func TestMake(t *testing.T) {
	f := task.File{Name: "n", Parameters: []task.Parameter{{Name: "v", Type: task.Integer}}, Steps: []task.FileStep{
		{Name: "one", Target: "a", Script: "x :v; y;"},
		{Name: "two", Target: "b", Verify: []task.FileCheck{{Query: "z :v", Expect: task.Answer{}}}},
		{Name: "three", Target: "b", After: []string{}, Script: "w", Who: task.Who{Role: "dba"}},
	}}
	if found := f.Check(); found != nil {
		t.Fatal(found)
	}
	p, found := f.Make([]task.Value{{Name: "v", Type: task.Integer, Text: "7"}}, semicolons)
	if found != nil {
		t.Fatal(found)
	}
	if p.Within != task.Within || p.Lasts != task.Lasts || p.Steps[0].Who.Duty != bastion.Execute || p.Steps[2].Who != (task.Who{Role: "dba"}) {
		t.Errorf("defaults: %+v", p)
	}
	if !slices.Equal(p.Steps[1].After, []string{"one"}) || len(p.Steps[0].After) != 0 || len(p.Steps[2].After) != 0 {
		t.Errorf("what comes after what: %+v", p.Steps)
	}
	if s := p.Steps[0].Statements; len(s) != 2 || s[0].Text != "x $1" || s[1].Text != "y" || s[0].Verifies() || !p.Steps[1].Statements[0].Verifies() {
		t.Errorf("statements: %+v", p.Steps)
	}
	one, err := p.Digest(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*task.Plan){
		func(p *task.Plan) { p.Steps[0].Statements[0].Text += " " },
		func(p *task.Plan) { p.Steps[0].Target = "c" },
		func(p *task.Plan) { p.Steps[0].Who = task.Who{Role: "x"} },
		func(p *task.Plan) { p.Steps[1].After = nil },
		func(p *task.Plan) { p.Steps[1].Statements[0].Expect = nil },
		func(p *task.Plan) { p.Steps[0].Statements[0].Settings = "search_path=evil" },
		func(p *task.Plan) { p.Lasts++ },
	} {
		q, _ := f.Make([]task.Value{{Name: "v", Type: task.Integer, Text: "7"}}, semicolons)
		change(&q)
		if two, err := q.Digest(1, 1); err != nil || two == one {
			t.Errorf("another plan has the same digest, %v: %s", err, q)
		}
	}
	if two, err := p.Digest(1, 2); err != nil || two == one {
		t.Error("another revision has the same digest")
	}
}

// A transaction that a step does not end would be rolled back, and the task call
// itself done.
func TestUnended(t *testing.T) {
	for script, open := range map[string]bool{
		"x": false, "begin; x; commit": false, "begin; x": true, "START TRANSACTION; x; end": false,
		"begin; x; rollback": false, "begin; savepoint a; rollback to a; commit": false, "begin; savepoint a; rollback to savepoint a": true,
		"begin; commit and chain": true, "begin; commit and no chain": false, "/* begin */ x": false, "begin; prepare transaction 'a'": false,
	} {
		f := task.File{Name: "n", Steps: []task.FileStep{{Name: "s", Target: "a", Script: script}}}
		_, found := f.Make(nil, semicolons)
		if (len(found) > 0) != open {
			t.Errorf("%s: %v", script, found)
		}
	}
}

// Of what a step did nothing lasts only if that is certain.
func TestUndone(t *testing.T) {
	st := func(text string, reads, whole bool) task.Statement {
		return task.Statement{Text: text, Reads: reads, Whole: whole}
	}
	read, write, ddl := st("select 1", true, true), st("update t set a = 1", false, true), st("create index concurrently i on t (a)", false, false)
	begin, commit := st("BEGIN", true, true), st("commit", true, true)
	check := task.Statement{Text: "update t set a = 1 returning a", Whole: true, Expect: task.Answer{}}
	ok, failed, refused := task.Result{Outcome: task.Succeeded, Tag: "X"}, task.Result{Outcome: task.Failing}, task.Result{Outcome: task.Refused}
	wrong, unknown := task.Result{Outcome: task.Failing, Tag: "UPDATE 1"}, task.Result{Outcome: task.Unknowable}
	for i, c := range []struct {
		statements []task.Statement
		results    []task.Result
		want       bool
	}{
		{[]task.Statement{write}, []task.Result{failed}, true},
		{[]task.Statement{write}, []task.Result{unknown}, false},
		{[]task.Statement{ddl}, []task.Result{failed}, false},
		{[]task.Statement{ddl}, []task.Result{refused}, true},
		{[]task.Statement{write, write}, []task.Result{ok, failed}, false},
		{[]task.Statement{read, write}, []task.Result{ok, failed}, true},
		{[]task.Statement{read, write}, []task.Result{ok}, true},
		{[]task.Statement{write, write}, []task.Result{ok}, false},
		{[]task.Statement{read, read}, []task.Result{ok, wrong}, true},
		{[]task.Statement{check}, []task.Result{wrong}, false},
		{[]task.Statement{check}, []task.Result{failed}, true},
		{[]task.Statement{begin, write, ddl, commit}, []task.Result{ok, ok, failed}, true},
		{[]task.Statement{begin, write, write, commit}, []task.Result{ok, ok}, true},
		{[]task.Statement{begin, write, write, commit}, []task.Result{ok, ok, unknown}, false},
		{[]task.Statement{begin, write, commit}, []task.Result{ok, ok, failed}, true},
		{[]task.Statement{begin, write, commit}, []task.Result{ok, ok, unknown}, false},
		{[]task.Statement{begin, write, commit, write}, []task.Result{ok, ok, ok, failed}, false},
		{[]task.Statement{write, begin, write, commit}, []task.Result{ok, ok, failed}, false},
		{[]task.Statement{begin, write, st("rollback to a", true, true), write, commit}, []task.Result{ok, ok, ok, failed}, true},
		{[]task.Statement{read, begin, write, commit, write}, []task.Result{ok, ok, failed}, true},
		{[]task.Statement{begin, write, st("end", true, true), read, write}, []task.Result{ok, ok, ok, ok, failed}, false},
		{nil, nil, true},
	} {
		if got := (task.Step{Statements: c.statements}).Undone(c.results); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// No line of a statement passes for something else in what approvers read.
func TestText(t *testing.T) {
	s := "a"
	p := task.Plan{Name: "n", Steps: []task.Step{{Name: "one", Target: "a", Statements: []task.Statement{
		{Text: "select 1\n\nstep 2 of 2: harmless\n  statement 1 of 1:\r\n| x", Expect: task.Answer{{&s, nil}}, Recorded: "select ****"}}}}}
	for line := range strings.Lines(p.String()) {
		if strings.Contains(line, "harmless") && !strings.HasPrefix(line, "    | ") {
			t.Errorf("a statement's line begins like the text around it: %q", line)
		}
	}
	if r := p.Recorded(); strings.Contains(r.String(), "harmless") || !strings.Contains(p.String(), "harmless") || !strings.Contains(p.String(), `"a", NULL`) {
		t.Errorf("%s\n%s", p, r)
	}
}

func TestNext(t *testing.T) {
	x := task.Task{State: task.Approved, Plan: task.Plan{Steps: []task.Step{{Name: "a"}, {Name: "b", After: []string{"a"}}, {Name: "c"}}},
		Progress: make([]task.Progress, 3)}
	for i, c := range []struct {
		states [3]task.StepState
		want   int
	}{
		{[3]task.StepState{task.StepWaiting, task.StepWaiting, task.StepWaiting}, 0},
		{[3]task.StepState{task.StepDone, task.StepWaiting, task.StepWaiting}, 1},
		{[3]task.StepState{task.StepFailed, task.StepWaiting, task.StepWaiting}, 2},
		{[3]task.StepState{task.StepFailed, task.StepWaiting, task.StepDone}, -1},
		{[3]task.StepState{task.StepSkipped, task.StepWaiting, task.StepDone}, 1},
		{[3]task.StepState{task.StepWaiting, task.StepWaiting, task.StepRunning}, 2},
	} {
		for j, s := range c.states {
			x.Progress[j].State = s
		}
		if got := x.Next(); got != c.want {
			t.Errorf("%d: %d, want %d", i, got, c.want)
		}
	}
	x.State = task.Stopped
	if x.Next() != -1 {
		t.Error("a stopped task goes on")
	}
}
