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
		"values": func(n ast.Node) {
			r.list(n, "values", func(n ast.Node) { f.Values = append(f.Values, r.detector(n)) })
		},
		"functions": func(n ast.Node) {
			r.list(n, "functions", func(n ast.Node) { f.Functions = append(f.Functions, r.trust(n)) })
		},
		"teams": func(n ast.Node) { f.Teams = r.words(n, "teams") },
		"separation": func(n ast.Node) {
			r.list(n, "separation", func(n ast.Node) { f.Separation = append(f.Separation, r.separation(n)) })
		},
		"apart": func(n ast.Node) {
			r.list(n, "apart", func(n ast.Node) {
				f.Apart = append(f.Apart, policy.Apart{Pos: r.pos(n), Duties: r.words(n, "apart")})
			})
			if len(f.Apart) == 0 {
				r.Add(r.pos(n), "apart names nothing; leave it out to keep design, approve and execute apart")
			}
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
		"name":      func(n ast.Node) { l.Name = r.word(n, "name") },
		"targets":   func(n ast.Node) { l.Targets = r.selector(n) },
		"columns":   func(n ast.Node) { l.Columns = r.words(n, "columns") },
		"mask":      func(n ast.Node) { l.Mask = r.mask(n) },
		"lookup":    func(n ast.Node) { l.Lookup = r.flag(n, "lookup") },
		"probe":     func(n ast.Node) { l.Probe = r.word(n, "probe") },
		"approvals": func(n ast.Node) { l.Approvals = r.approvals(n, "approvals") },
	})
	return l
}

// mask reads the name of a mask, one of which YAML takes for nothing.
func (r *reader) mask(n ast.Node) policy.Word {
	if named(n) {
		return policy.Word{Text: mask.Null.String(), Pos: r.pos(n)}
	}
	return r.word(n, "mask")
}

func (r *reader) detector(n ast.Node) policy.Detector {
	d := policy.Detector{Name: policy.Word{Pos: r.pos(n)}}
	r.mapping(n, "value", fields{
		"name":    func(n ast.Node) { d.Name = r.word(n, "name") },
		"targets": func(n ast.Node) { d.Targets = r.selector(n) },
		"detect":  func(n ast.Node) { d.Detect = r.words(n, "detect") },
		"mask":    func(n ast.Node) { d.Mask = r.mask(n) },
	})
	return d
}

func (r *reader) trust(n ast.Node) policy.Trust {
	t := policy.Trust{Name: policy.Word{Pos: r.pos(n)}}
	r.mapping(n, "function", fields{
		"name":    func(n ast.Node) { t.Name = r.word(n, "name") },
		"targets": func(n ast.Node) { t.Targets = r.selector(n) },
		"trust":   func(n ast.Node) { t.Trust = r.words(n, "trust") },
	})
	return t
}

func (r *reader) bundle(n ast.Node) policy.Bundle {
	b := policy.Bundle{Name: policy.Word{Pos: r.pos(n)}}
	r.mapping(n, "bundle", fields{
		"name":      func(n ast.Node) { b.Name = r.word(n, "name") },
		"roles":     func(n ast.Node) { b.Roles = r.words(n, "roles") },
		"except":    func(n ast.Node) { b.Except = r.words(n, "except") },
		"targets":   func(n ast.Node) { b.Targets = r.selector(n) },
		"clear":     func(n ast.Node) { b.Clear = r.words(n, "clear") },
		"fresh":     func(n ast.Node) { b.Fresh = r.span(n, "fresh") },
		"request":   func(n ast.Node) { b.Request = r.request(n) },
		"emergency": func(n ast.Node) { b.Emergency = r.emergency(n) },
		"lifts":     func(n ast.Node) { b.Lifts = r.words(n, "lifts") },
		"rules": func(n ast.Node) {
			r.list(n, "rules", func(n ast.Node) { b.Rules = append(b.Rules, r.rule(n)) })
		},
	})
	return b
}

func (r *reader) request(n ast.Node) policy.Request {
	q := policy.Request{Pos: r.pos(n)}
	r.mapping(n, "request", fields{
		"max":        func(n ast.Node) { q.Max = r.span(n, "max") },
		"approvals":  func(n ast.Node) { q.Approvals = r.approvals(n, "approvals") },
		"within":     func(n ast.Node) { q.Within = r.span(n, "within") },
		"other_team": func(n ast.Node) { q.OtherTeam = r.flag(n, "other_team") },
		"reason":     func(n ast.Node) { q.Reason = r.word(n, "reason") },
	})
	return q
}

func (r *reader) emergency(n ast.Node) policy.Emergency {
	e := policy.Emergency{Pos: r.pos(n)}
	r.mapping(n, "emergency", fields{
		"for":     func(n ast.Node) { e.For = r.span(n, "for") },
		"reviews": func(n ast.Node) { e.Reviews = r.approvals(n, "reviews") },
		"reason":  func(n ast.Node) { e.Reason = r.word(n, "reason") },
	})
	return e
}

func (r *reader) separation(n ast.Node) policy.Separation {
	s := policy.Separation{Name: policy.Word{Pos: r.pos(n)}}
	r.mapping(n, "separation", fields{
		"name":     func(n ast.Node) { s.Name = r.word(n, "name") },
		"roles":    func(n ast.Node) { s.Roles = r.words(n, "roles") },
		"conflict": func(n ast.Node) { s.Conflict = r.word(n, "conflict") },
		"reason":   func(n ast.Node) { s.Reason = r.word(n, "reason") },
	})
	return s
}

func (r *reader) approvals(n ast.Node, what string) []policy.Approval {
	var all []policy.Approval
	r.list(n, what, func(n ast.Node) { all = append(all, r.approval(n)) })
	return all
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
		"columns": func(n ast.Node) {
			if l.Columns = r.words(n, "columns"); len(l.Columns) == 0 {
				r.Add(r.pos(n), "columns names nothing; leave it out to mean any")
			}
		},
		"rows":       func(n ast.Node) { l.Rows = r.rows(n) },
		"effect":     func(n ast.Node) { l.Effect = r.word(n, "effect") },
		"reason":     func(n ast.Node) { l.Reason = r.word(n, "reason") },
		"next":       func(n ast.Node) { l.Next = r.word(n, "next") },
		"approvals":  func(n ast.Node) { l.Approvals = r.approvals(n, "approvals") },
		"other_team": func(n ast.Node) { l.OtherTeam = r.flag(n, "other_team") },
		"within":     func(n ast.Node) { l.Within = r.span(n, "within") },
		"holds":      func(n ast.Node) { l.Holds = r.span(n, "holds") },
		"preview":    func(n ast.Node) { l.Preview = r.word(n, "preview") },
	})
	return l
}

func (r *reader) rows(n ast.Node) policy.Rows {
	rows := policy.Rows{Pos: r.pos(n)}
	r.mapping(n, "rows", fields{
		"over":  func(n ast.Node) { rows.Over = r.number(n, "over") },
		"up_to": func(n ast.Node) { rows.UpTo = r.number(n, "up_to") },
	})
	return rows
}

func (r *reader) approval(n ast.Node) policy.Approval {
	a := policy.Approval{Pos: r.pos(n)}
	r.mapping(n, "approval", fields{
		"count": func(n ast.Node) { a.Count = r.number(n, "count") },
		"role":  func(n ast.Node) { a.Role = r.word(n, "role") },
		"any":   func(n ast.Node) { a.Any = r.words(n, "any") },
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
