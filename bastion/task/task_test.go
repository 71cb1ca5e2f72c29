package task_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

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
		p             task.Parameter
		in            string
		literal, fail string
	}{
		{p(task.Text), "O'Brien", "'O''Brien'", ""},
		{p(task.Text), `\'; drop table x --`, `'\''; drop table x --'`, ""},
		{p(task.Text), "", "''", ""},
		{p(task.Text), "a\x00b", "", "valid UTF-8"},
		{p(task.Text), "\xff", "", "valid UTF-8"},
		{p(task.Text), strings.Repeat("x", 10_001), "", "at most 10000 bytes"},
		{p(task.Text, bounds("2", "3")), "é", "", "at least 2 characters"},
		{p(task.Text, bounds("2", "3")), "éé", "'éé'", ""},
		{p(task.Text, bounds("2", "3")), "éééé", "", "at most 3 characters"},
		{p(task.Text, pattern("[a-z]+")), "abc", "'abc'", ""},
		{p(task.Text, pattern("[a-z]+")), "abc;", "", "matches [a-z]+"},
		{p(task.Text, pattern("a|b")), "ab", "", "matches"}, // all of it, not a part
		{p(task.Integer), "7", "7", ""},
		{p(task.Integer), "-7", "(-7)", ""},
		{p(task.Integer), "+007", "7", ""},
		{p(task.Integer), "7; drop table x", "", "whole number"},
		{p(task.Integer), "0x7", "", "whole number"},
		{p(task.Integer), "9223372036854775808", "", "whole number"},
		{p(task.Integer, bounds("-1", "2")), "-2", "", "at least -1"},
		{p(task.Integer, bounds("-1", "2")), "3", "", "at most 2"},
		{p(task.Number), "12.50", "12.50", ""},
		{p(task.Number), "-0.5", "(-0.5)", ""},
		{p(task.Number), "1e5", "", "a number"},
		{p(task.Number), "NaN", "", "a number"},
		{p(task.Number, bounds("0.1", "")), "0.09", "", "at least 0.1"},
		{p(task.Boolean), "true", "TRUE", ""},
		{p(task.Boolean), "yes", "", "true or false"},
		{p(task.Date), "2026-02-28", "DATE '2026-02-28'", ""},
		{p(task.Date), "2026-02-29", "", "a date"},
		{p(task.Date), "0000-01-01", "", "a date"},
		{p(task.Date, bounds("2026-01-01", "2026-12-31")), "2027-01-01", "", "at most 2026-12-31"},
		{p(task.OneOf, choices("a", "b'")), "b'", "'b'''", ""},
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
		if err != nil || v.Literal() != c.literal {
			t.Errorf("%s %q: %s, %v; want %s", c.p.Type, c.in, v.Literal(), err, c.literal)
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

func TestFill(t *testing.T) {
	for _, c := range []struct{ in, want, fail string }{
		{in: "select :s", want: "select  'O''Brien' "},
		{in: "select a-:n", want: "select a- (-5) "}, // not a comment
		{in: "select x::text, y:=1", want: "select x::text, y:=1"},
		{in: "select ':s', \":s\", $q$:s$q$, $$:s$$ -- :s\n, /* :s /* :s */ :s */ 1", want: "select ':s', \":s\", $q$:s$q$, $$:s$$ -- :s\n, /* :s /* :s */ :s */ 1"},
		{in: "select 'it''s :n', :n", want: "select 'it''s :n',  (-5) "},
		{in: "select a$$b, :d", want: "select a$$b,  DATE '2026-03-01' "},
		{in: "select U&'\\0041', N'x', b'1', :n", want: "select U&'\\0041', N'x', b'1',  (-5) "},
		{in: "select E'\\''", want: "select E'\\''"},
		{in: "select E'\\'', :s", fail: "E'...'"},
		{in: "select a[1:n]", want: "select a[1 (-5) ]"}, // which no parser takes
		{in: "select 'a'\n:s", fail: "beside another constant"},
		{in: "select :s 'a'", fail: "beside another constant"},
		{in: "select :s/**/:s", fail: "beside another constant"},
		{in: "select :other", fail: `no parameter "other"`},
		{in: "select :S", fail: "not the name of a parameter"},
		{in: "select :s$x$", fail: "not the name of a parameter"},
		{in: "select 'open :s", fail: "has no end"},
		{in: "select /* :s", fail: "has no end"},
		{in: "select $a$ :s $b$", fail: "has no end"},
		{in: "select E'\\", fail: "has no end"},
	} {
		got, err := task.Fill(c.in, values())
		switch {
		case c.fail != "":
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%q: %q, %v; want %q", c.in, got, err, c.fail)
			}
		case err != nil || got != c.want:
			t.Errorf("%q: %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

// Whatever the value, what is filled in differs from what is filled in with another
// value in nothing but the constant.
func FuzzFill(f *testing.F) {
	f.Add("update t set a = :v where b = ':v' -- :v", "'; drop table t; --")
	f.Add("select $$:v$$, :v", "$$")
	f.Add("select :v", `\`)
	f.Add("select e:v", "/*")
	f.Fuzz(func(t *testing.T, text, value string) {
		p := task.Parameter{Name: "v", Type: task.Text}
		v, err := p.Value(value)
		if err != nil {
			return
		}
		got, err := task.Fill(text, []task.Value{v})
		other, err2 := task.Fill(text, []task.Value{v.Plain()})
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%q: a value decides whether it can be filled in: %v, %v", text, err, err2)
		}
		if err != nil {
			return
		}
		if strings.Contains(text, " "+v.Plain().Literal()+" ") || strings.Contains(text, " "+v.Literal()+" ") {
			return // then the pieces cannot be told apart
		}
		if strings.ReplaceAll(got, " "+v.Literal()+" ", "") != strings.ReplaceAll(other, " "+v.Plain().Literal()+" ", "") {
			t.Fatalf("%q and %q differ in more than the constant", got, other)
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Fatal("invalid UTF-8 came of valid UTF-8")
		}
	})
}

func TestFillProperty(t *testing.T) {
	pieces := []string{"select ", ":v", ":v ", "'", "''", `"`, "$$", "$a$", "--", "\n", "/*", "*/", "E'", `\`, "::", ":=", "-", "(", ")", ";", "x", "1", ",", "U&'"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "text"), "")
		value := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "value"), "")
		v := task.Value{Name: "v", Type: task.Text, Text: value}
		got, err := task.Fill(text, []task.Value{v})
		if err != nil {
			return
		}
		// What stands between the constants is what stood between the placeholders.
		plain, err := task.Fill(text, []task.Value{v.Plain()})
		if err != nil {
			t.Fatalf("%q can be filled in with one value and not with another: %v", text, err)
		}
		a, b := strings.Split(got, " "+v.Literal()+" "), strings.Split(plain, " "+v.Plain().Literal()+" ")
		if strings.Join(a, "") != strings.Join(b, "") && !strings.Contains(text, " "+v.Plain().Literal()+" ") && !strings.Contains(text, " "+v.Literal()+" ") {
			t.Fatalf("%q became %q and %q", text, got, plain)
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
	if s := p.Steps[0].Statements; len(s) != 2 || s[0].Text != "x  7" || s[1].Text != "y" || s[0].Verifies() || !p.Steps[1].Statements[0].Verifies() {
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
