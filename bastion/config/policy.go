package config

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/bastion/policy"
)

// LoadPolicy reads a policy file. What is wrong with it travels in the file's
// Problems, so that [policy.New] refuses it and reports everything at once.
func LoadPolicy(path string) policy.File {
	data, err := readFile(path)
	if err != nil {
		return policy.File{Pos: policy.Pos{File: path}, Problems: policy.Problems{failed(path, err)}}
	}
	return ParsePolicy(path, data)
}

// ParsePolicy reads a policy from memory. The name stands for the file in problems.
func ParsePolicy(name string, data []byte) policy.File {
	r := &reader{file: name}
	f := policy.File{Pos: policy.Pos{File: name, Line: 1, Column: 1}}
	if root := r.parse(data); root != nil {
		r.policy(root, &f)
	}
	f.Problems = r.Problems
	return f
}

func (r *reader) policy(n ast.Node, f *policy.File) {
	r.mapping(n, "policy", fields{
		"version": func(n ast.Node) { f.Version = r.number(n, "version") },
		"roles": func(n ast.Node) {
			r.pairs(n, "roles", func(name policy.Word, n ast.Node) { f.Roles = append(f.Roles, r.role(name, n)) })
		},
		"columns": func(n ast.Node) {
			r.list(n, "columns", func(n ast.Node) { f.Columns = append(f.Columns, r.label(n)) })
		},
		"bundles": func(n ast.Node) {
			r.list(n, "bundles", func(n ast.Node) { f.Bundles = append(f.Bundles, r.bundle(n)) })
		},
	})
}

func (r *reader) role(name policy.Word, n ast.Node) policy.Role {
	role := policy.Role{Name: name}
	r.mapping(n, "role", fields{
		"groups":   func(n ast.Node) { role.Groups = r.words(n, "groups") },
		"services": func(n ast.Node) { role.Services = r.words(n, "services") },
		"duties":   func(n ast.Node) { role.Duties = r.words(n, "duties") },
	})
	return role
}

func (r *reader) label(n ast.Node) policy.Label {
	l := policy.Label{Name: policy.Word{Pos: r.pos(n)}}
	r.mapping(n, "label", fields{
		"name":    func(n ast.Node) { l.Name = r.word(n, "name") },
		"targets": func(n ast.Node) { l.Targets = r.selector(n) },
		"columns": func(n ast.Node) { l.Columns = r.words(n, "columns") },
		"mask": func(n ast.Node) {
			if l.Mask = (policy.Word{Text: mask.Null.String(), Pos: r.pos(n)}); !named(n) {
				l.Mask = r.word(n, "mask")
			}
		},
		"lookup": func(n ast.Node) { l.Lookup = r.flag(n, "lookup") },
	})
	return l
}

func (r *reader) bundle(n ast.Node) policy.Bundle {
	b := policy.Bundle{Name: policy.Word{Pos: r.pos(n)}}
	r.mapping(n, "bundle", fields{
		"name":    func(n ast.Node) { b.Name = r.word(n, "name") },
		"roles":   func(n ast.Node) { b.Roles = r.words(n, "roles") },
		"except":  func(n ast.Node) { b.Except = r.words(n, "except") },
		"targets": func(n ast.Node) { b.Targets = r.selector(n) },
		"clear":   func(n ast.Node) { b.Clear = r.words(n, "clear") },
		"fresh":   func(n ast.Node) { b.Fresh = r.span(n, "fresh") },
		"rules": func(n ast.Node) {
			r.list(n, "rules", func(n ast.Node) { b.Rules = append(b.Rules, r.rule(n)) })
		},
	})
	return b
}

func (r *reader) rule(n ast.Node) policy.Rule {
	l := policy.Rule{Name: policy.Word{Pos: r.pos(n)}}
	r.mapping(n, "rule", fields{
		"name":  func(n ast.Node) { l.Name = r.word(n, "name") },
		"verbs": func(n ast.Node) { l.Verbs = r.words(n, "verbs") },
		"on": func(n ast.Node) {
			// An empty list would mean anything, which is not what it looks like.
			if l.On = r.words(n, "on"); len(l.On) == 0 {
				r.Add(r.pos(n), "on names nothing; leave it out to mean anything")
			}
		},
		"effect": func(n ast.Node) { l.Effect = r.word(n, "effect") },
		"reason": func(n ast.Node) { l.Reason = r.word(n, "reason") },
		"next":   func(n ast.Node) { l.Next = r.word(n, "next") },
		"approvals": func(n ast.Node) {
			r.list(n, "approvals", func(n ast.Node) { l.Approvals = append(l.Approvals, r.approval(n)) })
		},
		"within": func(n ast.Node) { l.Within = r.span(n, "within") },
		"holds":  func(n ast.Node) { l.Holds = r.span(n, "holds") },
	})
	return l
}

func (r *reader) approval(n ast.Node) policy.Approval {
	a := policy.Approval{Pos: r.pos(n)}
	r.mapping(n, "approval", fields{
		"count": func(n ast.Node) { a.Count = r.number(n, "count") },
		"role":  func(n ast.Node) { a.Role = r.word(n, "role") },
	})
	return a
}

// selector reads the word all, or labels with a value or several.
func (r *reader) selector(n ast.Node) policy.Selector {
	s := policy.Selector{Pos: r.pos(n)}
	if w, ok := text(n); ok {
		if s.All = w == "all"; !s.All {
			r.Add(s.Pos, "targets: want labels, such as {env: production}, or the word all")
		}
		return s
	}
	r.pairs(n, "targets", func(key policy.Word, n ast.Node) {
		s.Requires = append(s.Requires, policy.Requirement{Key: key, Values: r.words(n, "targets: "+key.Text)})
	})
	return s
}
