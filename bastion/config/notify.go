package config

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/vault"
)

// Notify says where people hear of requests outside of their sessions.
type Notify struct {
	Address  string // what people type after ssh; needed if there is a channel
	Channels []notify.Channel
}

// notify reads the section. What it returns chooses the channels' targets, once
// all targets are known.
func (r *reader) notify(n ast.Node, to *Notify) (choose func(bastion.Targets)) {
	type chosen struct {
		channel int
		by      policy.Selector
	}
	var selectors []chosen
	r.mapping(n, "notify", fields{
		"address": func(n ast.Node) {
			w := r.word(n, "address")
			r.check(w, "address", notify.CheckAddress)
			to.Address = w.Text
		},
		"channels": func(n ast.Node) {
			seen := map[string]policy.Pos{}
			r.list(n, "channels", func(n ast.Node) {
				c, by := r.channel(n)
				if first, twice := seen[c.Name]; twice && c.Name != "" {
					r.Add(r.pos(n), "channel %q is here twice, first in line %d", c.Name, first.Line)
				}
				seen[c.Name] = r.pos(n)
				if by.Pos.Line != 0 {
					selectors = append(selectors, chosen{len(to.Channels), by})
				}
				to.Channels = append(to.Channels, c)
			})
		},
	})
	if len(to.Channels) > 0 && to.Address == "" {
		r.Add(r.pos(n), "notify: address is missing; write what people type after ssh")
	}
	return func(targets bastion.Targets) {
		for _, s := range selectors {
			to.Channels[s.channel].Targets = r.choose(s.by, targets)
		}
	}
}

// check has a text checked that is there.
func (r *reader) check(w policy.Word, what string, check func(string) error) {
	if w.Text == "" {
		return
	}
	if err := check(w.Text); err != nil {
		r.Add(w.Pos, "%s: %v", what, err)
	}
}

func (r *reader) channel(n ast.Node) (notify.Channel, policy.Selector) {
	var c notify.Channel
	var by policy.Selector
	before, found := len(r.Problems), 0
	r.mapping(n, "channel", fields{
		"name": func(n ast.Node) { c.Name = r.name(n, "channel") },
		"kinds": func(n ast.Node) {
			for _, w := range r.words(n, "kinds") {
				if k := notify.Kind(w.Text); slices.Contains(notify.Kinds(), k) {
					c.Kinds = append(c.Kinds, k)
				} else {
					r.Add(w.Pos, "kinds: %s", policy.Unknown("kind", w.Text, kinds()))
				}
			}
			// An empty list would mean all, which is not what it looks like.
			if len(c.Kinds) == 0 && len(r.Problems) == before {
				r.Add(r.pos(n), "kinds names nothing; leave it out to mean all")
			}
		},
		"targets": func(n ast.Node) {
			before := len(r.Problems)
			if by = r.selector(n); by.All || len(r.Problems) > before {
				by = policy.Selector{}
			}
		},
		"webhook": func(n ast.Node) { found++; c.Webhook = r.webhook(n) },
		"slack":   func(n ast.Node) { found++; c.Slack = &notify.Slack{URL: r.secretURL(n, "slack")} },
		"teams":   func(n ast.Node) { found++; c.Teams = &notify.Teams{URL: r.secretURL(n, "teams")} },
		"email":   func(n ast.Node) { found++; c.Email = r.email(n) },
	})
	switch {
	case len(r.Problems) > before:
	case c.Name == "":
		r.Add(r.pos(n), "channel: name is missing")
	case found != 1:
		r.Add(r.pos(n), "channel: want exactly one of webhook, slack, teams and email")
	}
	return c, by
}

func kinds() []string {
	var all []string
	for _, k := range notify.Kinds() {
		all = append(all, string(k))
	}
	return all
}

func (r *reader) webhook(n ast.Node) *notify.Webhook {
	w := &notify.Webhook{}
	before := len(r.Problems)
	r.mapping(n, "webhook", fields{
		"url": func(n ast.Node) {
			if _, plain := text(n); !plain {
				w.From = r.source(n, "url")
				return
			}
			word := r.word(n, "url")
			r.check(word, "url", notify.CheckURL)
			if strings.ContainsAny(word.Text, "?#") {
				r.Add(word.Pos, "url: what stands after the path may be a secret; write {env: NAME}, {file: PATH} or {command: [PROGRAM, ARGUMENT]}")
			}
			w.URL = word.Text
		},
		"secret": func(n ast.Node) { w.Secret = r.source(n, "secret") },
		"ca":     func(n ast.Node) { w.CA = r.path(r.word(n, "ca").Text) },
	})
	if len(r.Problems) > before {
		return w
	}
	if w.URL == "" && w.From.IsZero() {
		r.Add(r.pos(n), "webhook: url is missing")
	}
	if w.Secret.IsZero() {
		r.Add(r.pos(n), "webhook: secret is missing; without one its receiver cannot tell who sent something")
	}
	return w
}

// secretURL reads a URL that lets whoever knows it write to people.
func (r *reader) secretURL(n ast.Node, what string) (s vault.Source) {
	before := len(r.Problems)
	r.mapping(n, what, fields{
		"url": func(n ast.Node) { s = r.source(n, "url") },
	})
	if s.IsZero() && len(r.Problems) == before {
		r.Add(r.pos(n), "%s: url is missing", what)
	}
	return s
}

func (r *reader) email(n ast.Node) *notify.Email {
	e := &notify.Email{TLS: notify.STARTTLS}
	before := len(r.Problems)
	r.mapping(n, "email", fields{
		"server": func(n ast.Node) { e.Server = r.address(n, "server", false) },
		"tls":    func(n ast.Node) { e.TLS = notify.TLS(r.word(n, "tls").Text) },
		"from": func(n ast.Node) {
			w := r.word(n, "from")
			r.check(w, "from", notify.CheckEmail)
			e.From = w.Text
		},
		"user":     func(n ast.Node) { e.User = r.word(n, "user").Text },
		"password": func(n ast.Node) { e.Password = r.source(n, "password") },
		"to": func(n ast.Node) {
			for _, w := range r.words(n, "to") {
				r.check(w, "to", notify.CheckEmail)
				e.To = append(e.To, w.Text)
			}
		},
		"ca": func(n ast.Node) { e.CA = r.path(r.word(n, "ca").Text) },
	})
	if len(r.Problems) > before {
		return e
	}
	for _, f := range []struct{ name, value string }{{"server", e.Server}, {"from", e.From}} {
		if f.value == "" {
			r.Add(r.pos(n), "email: %s is missing", f.name)
			return e
		}
	}
	if err := notify.CheckServer(*e); err != nil {
		r.Add(r.pos(n), "email: %v", err)
	}
	return e
}

// choose names the targets that a selector chooses, never nil.
func (r *reader) choose(s policy.Selector, targets bastion.Targets) []string {
	names := []string{}
	for _, t := range targets {
		fits := len(s.Requires) > 0
		for _, q := range s.Requires {
			v, ok := t.Labels[q.Key.Text]
			fits = fits && ok && slices.Contains(texts(q.Values), v)
		}
		if fits {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		r.Warn(s.Pos, "no target has these labels, so this channel is told of emergencies alone")
	}
	return names
}
