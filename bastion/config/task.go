package config

import (
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/task"
)

// ParseTask reads a task from memory: what people write, before its parameters have
// values. The name stands for the file in problems, of which a sound file has none.
func ParseTask(name string, data []byte) (task.File, policy.Problems) {
	r := &taskReader{reader: reader{file: name}, at: map[string]policy.Pos{}}
	var f task.File
	if root := r.parse(data); root != nil {
		r.task(root, &f)
	}
	// What is wrong with the form makes the rest guesswork.
	if len(r.Problems) == 0 {
		for _, p := range f.Check() {
			r.Add(r.place(p.Path), "%s", p.Message)
		}
	}
	r.Sort()
	return f, r.Problems
}

// TaskProblems gives problems that were found with the values of parameters their
// places in the file.
func TaskProblems(name string, data []byte, found []task.Problem) policy.Problems {
	r := &taskReader{reader: reader{file: name}, at: map[string]policy.Pos{}}
	if root := r.parse(data); root != nil {
		r.task(root, &task.File{})
	}
	r.Problems = nil
	for _, p := range found {
		r.Add(r.place(p.Path), "%s", p.Message)
	}
	r.Sort()
	return r.Problems
}

// taskReader remembers where things stand, by the paths of [task.Problem].
type taskReader struct {
	reader
	at map[string]policy.Pos
}

// place is where a path stands, or the nearest thing around it that stands anywhere.
func (r *taskReader) place(path string) policy.Pos {
	for path != "" {
		if p, ok := r.at[path]; ok {
			return p
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return policy.Pos{File: r.file, Line: 1, Column: 1}
}

// items reads a list, each item with its path.
func (r *taskReader) items(n ast.Node, path string, read func(n ast.Node, path string)) {
	r.at[path] = r.pos(n)
	i := 0
	r.list(n, path[strings.LastIndexByte(path, '.')+1:], func(n ast.Node) {
		at := path + "." + strconv.Itoa(i)
		i++
		r.at[at] = r.pos(n)
		read(n, at)
	})
}

// text reads a word and remembers its place.
func (r *taskReader) text(n ast.Node, path string) string {
	r.at[path] = r.pos(n)
	return r.word(n, path[strings.LastIndexByte(path, '.')+1:]).Text
}

// names reads a list of names, each with its path. It is not nil.
func (r *taskReader) names(n ast.Node, path string) []string {
	r.at[path] = r.pos(n)
	all := []string{}
	for i, w := range r.words(n, path[strings.LastIndexByte(path, '.')+1:]) {
		r.at[path+"."+strconv.Itoa(i)] = w.Pos
		all = append(all, w.Text)
	}
	return all
}

func (r *taskReader) task(n ast.Node, f *task.File) {
	r.mapping(n, "task", fields{
		"name":        func(n ast.Node) { f.Name = r.text(n, "name") },
		"description": func(n ast.Node) { f.Description = r.text(n, "description") },
		"within":      func(n ast.Node) { r.at["within"] = r.pos(n); f.Within = r.positive(n, "within") },
		"lasts":       func(n ast.Node) { r.at["lasts"] = r.pos(n); f.Lasts = r.positive(n, "lasts") },
		"approvals": func(n ast.Node) {
			r.items(n, "approvals", func(n ast.Node, _ string) { f.Approvals = append(f.Approvals, r.need(n)) })
		},
		"parameters": func(n ast.Node) {
			r.pairs(n, "parameters", func(name policy.Word, n ast.Node) {
				path := "parameters." + strconv.Itoa(len(f.Parameters))
				r.at[path] = name.Pos
				f.Parameters = append(f.Parameters, r.parameter(name.Text, n, path))
			})
		},
		"steps": func(n ast.Node) {
			r.items(n, "steps", func(n ast.Node, path string) { f.Steps = append(f.Steps, r.step(n, path)) })
		},
	})
}

func (r *taskReader) need(n ast.Node) bastion.Need {
	need := bastion.Need{Count: 1}
	var any []string
	r.mapping(n, "approval", fields{
		"count": func(n ast.Node) { need.Count = r.number(n, "count").N },
		"role":  func(n ast.Node) { need.Role = r.word(n, "role").Text },
		"any":   func(n ast.Node) { any = texts(r.words(n, "any")) },
	})
	switch {
	case len(any) > 0 && need.Role != "":
		r.Add(r.pos(n), "approval: want a role, or any of several, not both")
	case len(any) > 0:
		need.Role, need.Or = any[0], any[1:]
	}
	return need
}

func (r *taskReader) parameter(name string, n ast.Node, path string) task.Parameter {
	p := task.Parameter{Name: name}
	r.mapping(n, "parameter", fields{
		"description": func(n ast.Node) { p.Description = r.text(n, path+".description") },
		"type":        func(n ast.Node) { p.Type = task.Type(r.text(n, path+".type")) },
		"pattern":     func(n ast.Node) { p.Pattern = r.text(n, path+".pattern") },
		"min":         func(n ast.Node) { p.Min = r.value(n, path+".min") },
		"max":         func(n ast.Node) { p.Max = r.value(n, path+".max") },
		"default":     func(n ast.Node) { s := r.value(n, path+".default"); p.Default = &s },
		"choices":     func(n ast.Node) { p.Choices = r.names(n, path+".choices") },
	})
	return p
}

func (r *taskReader) step(n ast.Node, path string) task.FileStep {
	var s task.FileStep
	r.mapping(n, "step", fields{
		"name":        func(n ast.Node) { s.Name = r.text(n, path+".name") },
		"description": func(n ast.Node) { s.Description = r.text(n, path+".description") },
		"target":      func(n ast.Node) { s.Target = r.text(n, path+".target") },
		"script":      func(n ast.Node) { s.Script = r.text(n, path+".script") },
		"retry":       func(n ast.Node) { r.at[path+".retry"] = r.pos(n); s.Retry = r.number(n, "retry").N },
		"after":       func(n ast.Node) { s.After = r.names(n, path+".after") },
		"apart":       func(n ast.Node) { s.Apart = r.names(n, path+".apart") },
		"who": func(n ast.Node) {
			r.at[path+".who"] = r.pos(n)
			r.mapping(n, "who", fields{
				"role": func(n ast.Node) { s.Who.Role = r.word(n, "role").Text },
				"duty": func(n ast.Node) { s.Who.Duty = bastion.Duty(r.word(n, "duty").Text) },
			})
		},
		"verify": func(n ast.Node) {
			r.items(n, path+".verify", func(n ast.Node, path string) { s.Verify = append(s.Verify, r.verify(n, path)) })
		},
	})
	return s
}

func (r *taskReader) verify(n ast.Node, path string) task.FileCheck {
	var v task.FileCheck
	r.mapping(n, "verify", fields{
		"query":  func(n ast.Node) { v.Query = r.text(n, path+".query") },
		"expect": func(n ast.Node) { r.at[path+".expect"] = r.pos(n); v.Expect = r.answer(n, path+".expect") },
	})
	return v
}

// answer reads one value, or a list of rows, which are lists of values.
func (r *taskReader) answer(n ast.Node, path string) task.Answer {
	value := func(n ast.Node) *string {
		if _, null := n.(*ast.NullNode); null {
			return nil
		}
		s := r.value(n, path)
		return &s
	}
	rows, ok := n.(*ast.SequenceNode)
	if !ok {
		return task.Answer{{value(n)}}
	}
	a := task.Answer{}
	for _, row := range rows.Values {
		values, ok := row.(*ast.SequenceNode)
		if !ok {
			r.Add(r.pos(n), "expect: want one value, or a list of rows, such as [[1, a], [2, b]]")
			return nil
		}
		line := []*string{}
		for _, v := range values.Values {
			line = append(line, value(v))
		}
		a = append(a, line)
	}
	return a
}

// value reads a plain value as it is written: a text, also an empty one, a number,
// or true or false.
func (r *taskReader) value(n ast.Node, path string) string {
	r.at[path] = r.pos(n)
	what := path[strings.LastIndexByte(path, '.')+1:]
	if s, ok := text(n); ok {
		return s
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value // as it is written
	case *ast.BoolNode:
		return strconv.FormatBool(n.Value)
	}
	r.want(n, what, "a text, a number, or true or false")
	return ""
}
