package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/charter"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/vault"
	"github.com/sallyport/sallyport/connectors"
	govern "github.com/sallyport/sallyport/connectors/policy"
	"github.com/sallyport/sallyport/recordings"
)

// law is the policy in force and the one way to change it: a change that others
// approved. The file on disk is only how the first policy comes in.
type law struct {
	charter *charter.Charter
	live    *livePolicy
	context policy.Context
	people  func() []bastion.Identity

	mu sync.Mutex // held while one version takes the place of another
}

// read makes a policy of a text, with what is wrong with it. The name stands for the
// file in problems.
func read(name string, text []byte, c policy.Context) (*policy.Policy, policy.Problems) {
	return judge(config.ParsePolicy(name, text), c)
}

// judge makes a policy of a file, held to the floor.
func judge(f policy.File, c policy.Context) (*policy.Policy, policy.Problems) {
	p, problems := policy.New(f, c)
	if f.Problems.Err() == nil {
		problems = append(problems, policy.Floor(f)...)
	}
	problems.Sort()
	if problems.Err() != nil {
		return nil, problems
	}
	return p, problems
}

// kept makes a policy of a version that is in force already. The configuration may
// have lost since then what the policy speaks of, a service or all targets of a kind:
// that takes nothing but rights away, so it is a warning here, and the bastion starts
// and can be given another policy. Anything else that is wrong leaves no policy.
func kept(v charter.Version, c policy.Context) (*policy.Policy, policy.Problems) {
	f := config.ParsePolicy(fmt.Sprintf("version %d of the policy", v.Number), []byte(v.Text))
	var lost policy.Problems
	for _, r := range f.Roles {
		for _, s := range r.Services {
			if !slices.Contains(c.Services, s.Text) {
				lost.Warn(s.Pos, "there is no service %q any more; role %q keeps a place for it", s.Text, r.Name.Text)
				c.Services = append(slices.Clip(c.Services), s.Text)
			}
		}
	}
	// A verb that no target of the bundle knows is never asked for.
	_, problems := judge(f, c)
	for _, p := range problems {
		if p.Warning {
			continue
		}
		for b := range f.Bundles {
			for r := range f.Bundles[b].Rules {
				rule := &f.Bundles[b].Rules[r]
				rule.Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(w policy.Word) bool {
					gone := w.Pos == p.Pos && w.Text != "*"
					if gone {
						lost.Warn(w.Pos, "rule %q: no target knows the verb %q any more", rule.Name.Text, w.Text)
					}
					return gone
				})
			}
		}
	}
	for b := range f.Bundles {
		f.Bundles[b].Rules = slices.DeleteFunc(slices.Clone(f.Bundles[b].Rules), func(r policy.Rule) bool { return len(r.Verbs) == 0 })
	}
	f.Bundles = slices.DeleteFunc(slices.Clone(f.Bundles), func(b policy.Bundle) bool { return len(b.Rules) == 0 })
	p, problems := judge(f, c)
	return p, append(lost, problems...)
}

// enact puts the policy in force: the version in the store, or, where there is none
// yet, the file. It fails if that is not sound.
func (s *server) enact(key []byte) error {
	var err error
	if s.law.charter, err = charter.Open(charter.Config{DB: s.db, Append: recordings.Append, Now: time.Now}); err != nil {
		return err
	}
	s.law.context = world(s.config, key)
	v, ok := s.law.charter.Active()
	if !ok {
		text, err := os.ReadFile(s.config.Policy)
		if err != nil {
			return fmt.Errorf("reading the first policy: %w", err)
		}
		p, problems := read(s.config.Policy, text, s.law.context)
		if err := problems.Err(); err != nil || p == nil {
			return err
		}
		s.warn(problems)
		if v, err = s.law.charter.Found(string(text), s.config.Policy); err != nil {
			return err
		}
		s.log.Info("the policy file is version 1 of the policy now; from here on it changes by proposals alone", "file", s.config.Policy, "digest", v.Digest)
		s.law.live.Store(p)
		return nil
	}
	p, problems := kept(v, s.law.context)
	if err := problems.Err(); err != nil || p == nil {
		return fmt.Errorf("version %d of the policy, which is in force, is not sound any more, and without a policy nobody may do anything:\n%w\n"+
			"if the configuration changed, put back what it was; if the program did, start the one before; then propose a policy that fits both", v.Number, err)
	}
	s.warn(problems)
	s.law.live.Store(p)
	s.log.Info("the policy in force", "version", v.Number, "digest", v.Digest, "proposed by", v.Name)
	s.compare()
	return nil
}

func (s *server) warn(problems policy.Problems) {
	for _, w := range problems {
		s.log.Warn(w.String())
	}
}

// compare tells whoever runs the bastion where the policy file is not what is in
// force. It changes nothing.
func (s *server) compare() {
	v, _ := s.law.charter.Active()
	text, err := os.ReadFile(s.config.Policy)
	switch {
	case err != nil:
		s.log.Info("the policy file cannot be read, which changes nothing: the policy in force is in the state directory", "version", v.Number, "error", err)
	case string(text) != v.Text:
		s.log.Warn("the policy file differs from the policy in force, and changes nothing", "file", s.config.Policy, "version", v.Number,
			"to propose it", "ssh bastion policy propose --reason WHY < "+s.config.Policy)
	}
}

// world is what a policy may speak of: the configuration's targets, and the policy
// itself as a target.
func world(c *config.Config, key []byte) policy.Context {
	x := c.PolicyContext(connectors.All(), key)
	x.Targets = targets(c)
	return x
}

// targets are the configuration's targets and the policy.
func targets(c *config.Config) bastion.Targets { return append(c.BastionTargets(), govern.Target()) }

// credentials say how to sign in at the targets. The policy takes no credential.
func credentials(c *config.Config) map[string]vault.Credential {
	m := c.Credentials()
	m[govern.Kind] = vault.Credential{}
	return m
}

// proposer is the law for one session: it remembers which approvals were used in it,
// so that nothing comes into force without one.
type proposer struct {
	bastion.Approvals
	law     *law
	session string
	origin  bastion.Origin

	mu   sync.Mutex // guards what follows
	used map[string]bastion.Request
}

// Use implements [bastion.Approvals].
func (p *proposer) Use(ctx context.Context, id uint64, q bastion.Question) (bastion.Request, error) {
	r, err := p.Approvals.Use(ctx, id, q)
	if err == nil && q.Op.Target().Kind == govern.Kind {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.used == nil {
			p.used = map[string]bastion.Request{}
		}
		p.used[q.Op.Digest()] = r
	}
	return r, err
}

// take takes the request that was used for the operation of that digest, once.
func (p *proposer) take(digest string) (bastion.Request, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.used[digest]
	delete(p.used, digest)
	return r, ok
}

// connectors are the connectors of one session: the policy's is its own.
func (p *proposer) connectors(all []bastion.Connector) []bastion.Connector {
	cs := slices.DeleteFunc(slices.Clone(all), func(c bastion.Connector) bool { return c.Kind() == govern.Kind })
	return append(cs, govern.New(charterOf{p}))
}

// charterOf implements [govern.Charter].
type charterOf struct{ p *proposer }

func versionOf(v charter.Version) govern.Version {
	return govern.Version{Number: v.Number, Text: v.Text, Digest: v.Digest, At: v.At, By: v.Name, Approved: v.Approved, Request: v.Request}
}

// Active implements [govern.Charter].
func (c charterOf) Active() govern.Version {
	v, _ := c.p.law.charter.Active()
	return versionOf(v)
}

// Versions implements [govern.Charter].
func (c charterOf) Versions(context.Context) ([]govern.Version, error) {
	vs, err := c.p.law.charter.Versions(0)
	var all []govern.Version
	for _, v := range vs {
		all = append(all, versionOf(v))
	}
	return all, err
}

// Check implements [govern.Charter].
func (c charterOf) Check(text string) ([]string, error) {
	_, warnings, err := c.p.law.next(text)
	return warnings, err
}

// proposed is the name of a policy that is no file yet.
const proposed = "policy"

// next reads a text as the policy that comes next. It is stricter than a first
// policy: a change may not be the last one, and hides nothing from those who read it.
func (l *law) next(text string) (*policy.Policy, []string, error) {
	for i, r := range text {
		if r != '\n' && r != '\t' && bastion.Visible(string(r)) != string(r) {
			return nil, nil, &bastion.ParseError{Message: fmt.Sprintf("the policy has a character that does not show: %s", bastion.VisibleLine(string(r))),
				Position: utf8.RuneCountInString(text[:i]) + 1, Next: "take it out, so that people read what holds"}
		}
	}
	p, problems := read(proposed, []byte(text), l.context)
	if p != nil && !p.Possible(bastion.Plan(govern.Target(), text, bastion.Intent{Verb: govern.Change, Actions: []bastion.Action{{Verb: govern.Change}}})) {
		problems.Add(policy.Pos{File: proposed, Line: 1, Column: 1}, "with this policy nobody could propose or nobody could approve another one, so it would be the last; give somebody %s with effect: ask", govern.Change)
	}
	var warnings []string
	at := policy.Pos{}
	for _, w := range problems {
		if w.Warning {
			warnings = append(warnings, w.String())
		} else if at.Line == 0 {
			at = w.Pos
		}
	}
	if err := problems.Err(); err != nil || p == nil {
		if err == nil {
			err = errors.New("the policy cannot be read")
		}
		return nil, nil, &bastion.ParseError{Message: err.Error(), Position: position(text, at)}
	}
	return p, warnings, nil
}

// position is a place in a text, in characters from 1; 0 if it is not in it.
func position(text string, at policy.Pos) int {
	n := 0
	for i, line := range strings.SplitAfter(text, "\n") {
		if i+1 == at.Line {
			return n + min(max(at.Column, 1), utf8.RuneCountInString(line)+1)
		}
		n += utf8.RuneCountInString(line)
	}
	return 0
}

// Difference implements [govern.Charter].
func (c charterOf) Difference(text string) (govern.Difference, error) {
	l := c.p.law
	next, _, err := l.next(text)
	if err != nil {
		return govern.Difference{}, err
	}
	d := policy.Compare(l.live.Load(), next, l.people())
	out := govern.Difference{Summary: d.Summary(), Note: d.Note}
	for _, x := range d.Changes {
		out.Lines = append(out.Lines, govern.Line{Kind: x.Kind.String(), Who: x.Who, Targets: x.Targets, What: x.What})
	}
	return out, nil
}

// Activate implements [govern.Charter].
func (c charterOf) Activate(_ context.Context, text string, on uint64, digest string) (govern.Version, error) {
	r, ok := c.p.take(digest)
	if !ok {
		return govern.Version{}, &bastion.DeniedError{Rule: "floor", Reason: "no approval was used for this change of the policy", Next: "propose it again"}
	}
	l := c.p.law
	l.mu.Lock()
	defer l.mu.Unlock()
	p, _, err := l.next(text)
	if err != nil {
		return govern.Version{}, err
	}
	v, err := l.charter.Activate(charter.Change{Text: text, On: on, Request: r, Origin: c.p.origin, Session: c.p.session})
	if stale, ok := errors.AsType[*charter.StaleError](err); ok {
		return govern.Version{}, &bastion.DeniedError{Rule: "exact-operation", Reason: stale.Error(), Next: "look at the difference, and propose it again"}
	}
	if err != nil {
		return govern.Version{}, err
	}
	l.live.Store(p)
	return versionOf(v), nil
}
