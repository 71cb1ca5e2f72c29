// Package config reads the bastion's two files, the configuration and the
// policy, strictly: an unknown or repeated field, a value of the wrong kind or a
// secret written in plain is an error with its file, line and column, and with
// the nearest valid name. It is the only package that knows YAML.
package config

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/vault"
)

// Config is the bastion's configuration. Its paths are absolute or relative to
// the working directory; in the file they are relative to the file.
type Config struct {
	File string // where it was read
	// Name is what the bastion calls itself to people.
	Name     string
	Listen   string   // host:port of the SSH front door
	State    string   // directory of all state and recordings
	HostKeys []string // private key files; none: keys are made in State on first start
	Policy   string   // path of the policy file
	Runbooks string   // directory of files that people make tasks of; may be empty
	Provider Provider
	// Binding is how long a key stays bound to a person after the sign-in.
	Binding    time.Duration
	Limits     Limits
	Recordings Recordings
	Notify     Notify
	Services   []Service
	Targets    []Target
}

// Provider is where people sign in: an OpenID provider with device authorization.
type Provider struct {
	Issuer       string
	ClientID     string
	ClientSecret vault.Source // nowhere for a public client
	Scopes       []string
	GroupsClaim  string
	Groups       []string      // groups that the provider is known to have; may be empty
	Recheck      time.Duration // age at which what it said of a person has to be asked again
	Unreachable  time.Duration // how much longer that counts for approvals while it cannot be asked
	CA           string        // PEM file of the authority that signs the provider's certificate; may be empty
}

// Limits keep a crowd, or somebody who pretends to be one, from taking the bastion.
type Limits struct {
	Handshake         time.Duration // from the TCP connection until keys are exchanged
	Login             time.Duration // until a key is proved; signing in at the provider has the provider's time
	Waiting           int           // connections that have not logged in yet
	WaitingPerAddress int           // the same, from one address
	Sessions          int           // at the same time, on one connection
	Forwards          int           // connections of native clients at the same time, on one connection
	Attempts          int           // failed proofs of a key on one connection
	Keepalive         time.Duration // of silence until a client is asked whether it is still there
	Idle              time.Duration // without a key or an answer until a session ends; 0 means never
	Longest           time.Duration // that a session may last; 0 means for ever
}

// Recordings says how events are kept.
type Recordings struct{ Sync Sync }

// Sync says when an event is on disk, so that it survives the death of the machine.
type Sync string

// When an event is on disk. It survives the death of the process at once in any case.
const (
	SyncSoon   Sync = "soon"   // a fifth of a second after it
	SyncAlways Sync = "always" // before anything happens that it speaks of
)

// Service is an identity of a machine, with keys of its own.
type Service struct {
	Name string
	// Owner is the person who answers for it: an e-mail address, or issuer#subject.
	// Empty means that nobody does.
	Owner string
	Keys  []string // lines as in authorized_keys, without options
	Pos   policy.Pos
}

// Target is a system behind the bastion, and how to sign in there.
type Target struct {
	bastion.Target
	Credential vault.Credential
	Pos        policy.Pos
}

// Defaults is the configuration of an empty file: every default is here.
func Defaults() Config {
	return Config{
		Name:   "sallyport",
		Listen: "127.0.0.1:2222",
		State:  "state",
		Policy: "policy.yaml",
		Provider: Provider{
			Scopes:      []string{"openid", "profile", "email", "groups", "offline_access"},
			GroupsClaim: "groups",
			Recheck:     time.Minute,
			Unreachable: time.Hour,
		},
		Binding: 12 * time.Hour,
		Limits: Limits{
			Handshake:         20 * time.Second,
			Login:             2 * time.Minute,
			Waiting:           1024,
			WaitingPerAddress: 64,
			Sessions:          10,
			Forwards:          256,
			Attempts:          6,
			Keepalive:         30 * time.Second,
		},
		Recordings: Recordings{Sync: SyncSoon},
	}
}

// Load reads a configuration file. The configuration is nil if a problem is an
// error; warnings come with one.
func Load(path string) (*Config, policy.Problems) {
	data, err := readFile(path)
	if err != nil {
		return nil, policy.Problems{failed(path, err)}
	}
	return Parse(path, data)
}

// Parse reads a configuration from memory. The name stands for the file: in
// problems, and as what paths are relative to.
func Parse(name string, data []byte) (*Config, policy.Problems) {
	r := &reader{file: name}
	c := Defaults()
	c.File = name
	c.State, c.Policy = r.path(c.State), r.path(c.Policy)
	if root := r.parse(data); root != nil {
		r.config(root, &c)
	}
	r.Sort()
	if r.Err() != nil {
		return nil, r.Problems
	}
	return &c, r.Problems
}

func (r *reader) config(n ast.Node, c *Config) {
	top := policy.Pos{File: r.file, Line: 1, Column: 1}
	provider := false
	choose := func(bastion.Targets) {}
	r.mapping(n, "configuration", fields{
		"name": func(n ast.Node) {
			if w := r.word(n, "name"); len(w.Text) > 40 || bastion.VisibleLine(w.Text) != w.Text {
				r.Add(w.Pos, "name: want at most 40 bytes without control or invisible characters")
			} else {
				c.Name = w.Text
			}
		},
		"listen":    func(n ast.Node) { c.Listen = r.address(n, "listen", true) },
		"state":     func(n ast.Node) { c.State = r.path(r.word(n, "state").Text) },
		"policy":    func(n ast.Node) { c.Policy = r.path(r.word(n, "policy").Text) },
		"runbooks":  func(n ast.Node) { c.Runbooks = r.path(r.word(n, "runbooks").Text) },
		"host_keys": func(n ast.Node) { c.HostKeys = r.paths(n, "host_keys") },
		"provider":  func(n ast.Node) { provider = true; r.provider(n, &c.Provider) },
		"binding": func(n ast.Node) {
			r.mapping(n, "binding", fields{
				"lasts": func(n ast.Node) { c.Binding = r.positive(n, "lasts") },
			})
		},
		"limits": func(n ast.Node) { r.limits(n, &c.Limits) },
		"recordings": func(n ast.Node) {
			r.mapping(n, "recordings", fields{
				"sync": func(n ast.Node) { c.Recordings.Sync = r.sync(n) },
			})
		},
		"notify": func(n ast.Node) { choose = r.notify(n, &c.Notify) },
		"services": func(n ast.Node) {
			r.list(n, "services", func(n ast.Node) { c.Services = append(c.Services, r.service(n)) })
		},
		"targets": func(n ast.Node) {
			r.list(n, "targets", func(n ast.Node) { c.Targets = append(c.Targets, r.target(n)) })
		},
	})
	if !provider && len(r.Problems) == 0 {
		r.Add(top, "provider is missing; people need a place to sign in")
	}
	if len(c.Targets) == 0 {
		r.Warn(top, "there are no targets")
	}
	choose(c.BastionTargets())
	r.unique(c)
}

// unique refuses what is named twice. A key of two services would be both of them.
func (r *reader) unique(c *Config) {
	seen := map[string]policy.Pos{}
	once := func(what, key string, at policy.Pos) {
		if first, twice := seen[what+" "+key]; twice {
			r.Add(at, "%s %q is here twice, first in line %d", what, key, first.Line)
			return
		}
		seen[what+" "+key] = at
	}
	for _, t := range c.Targets {
		once("target", t.Name, t.Pos)
	}
	for _, s := range c.Services {
		once("service", s.Name, s.Pos)
	}
	owners := map[string]Service{}
	for _, s := range c.Services {
		for _, k := range s.Keys {
			body, err := keyBlob(k) // one key can be spelled in many ways
			if err != nil {
				continue // told of where it stands
			}
			if o, taken := owners[string(body)]; taken {
				r.Add(s.Pos, "service %q has a key that service %q has too; every key is one identity's", s.Name, o.Name)
			}
			owners[string(body)] = s
		}
	}
}

// path makes a path of the file one of the working directory.
func (r *reader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(r.file), p)
}

func (r *reader) paths(n ast.Node, what string) []string {
	var s []string
	for _, w := range r.words(n, what) {
		s = append(s, r.path(w.Text))
	}
	return s
}

func (r *reader) provider(n ast.Node, p *Provider) {
	r.mapping(n, "provider", fields{
		"issuer": func(n ast.Node) {
			w := r.word(n, "issuer")
			u, err := url.Parse(w.Text)
			switch {
			case w.Text == "":
			case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
				r.Add(w.Pos, "issuer: want an address such as https://id.example.com, without user or password")
			case u.Scheme == "http" && !loopback(u.Hostname()):
				r.Add(w.Pos, "issuer: want https; http is for a provider on this machine only")
			}
			p.Issuer = w.Text
		},
		"client_id":     func(n ast.Node) { p.ClientID = r.word(n, "client_id").Text },
		"client_secret": func(n ast.Node) { p.ClientSecret = r.source(n, "client_secret") },
		"scopes": func(n ast.Node) {
			if p.Scopes = texts(r.words(n, "scopes")); !slices.Contains(p.Scopes, "openid") {
				r.Add(r.pos(n), "scopes: openid is missing, and without it the provider says nothing about who somebody is")
			}
		},
		"recheck": func(n ast.Node) {
			if p.Recheck = r.positive(n, "recheck"); p.Recheck > 0 && p.Recheck < time.Second {
				r.Add(r.pos(n), "recheck: want a second or more; the provider is asked about everybody who works that often")
			}
		},
		"unreachable": func(n ast.Node) {
			if p.Unreachable = r.span(n, "unreachable").D; p.Unreachable < 0 {
				r.Add(r.pos(n), "unreachable: want 0 or more; 0 means that nothing counts that the provider cannot be asked about")
			}
		},
		"groups_claim": func(n ast.Node) { p.GroupsClaim = r.word(n, "groups_claim").Text },
		"groups":       func(n ast.Node) { p.Groups = texts(r.words(n, "groups")) },
		"ca":           func(n ast.Node) { p.CA = r.path(r.word(n, "ca").Text) },
	})
	if p.Scopes != nil && !slices.Contains(p.Scopes, "offline_access") {
		r.Warn(r.pos(n), "scopes: without offline_access the provider gives no refresh token; somebody who leaves a group there keeps it here until their sign-in ends")
	}
	for _, f := range []struct{ name, value string }{{"issuer", p.Issuer}, {"client_id", p.ClientID}} {
		if f.value == "" {
			r.Add(r.pos(n), "provider: %s is missing", f.name)
		}
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *reader) limits(n ast.Node, l *Limits) {
	count := func(to *int, what string) func(ast.Node) {
		return func(n ast.Node) {
			before := len(r.Problems)
			if v := r.number(n, what); v.N >= 1 {
				*to = v.N
			} else if len(r.Problems) == before {
				r.Add(v.Pos, "%s must be at least 1", what)
			}
		}
	}
	r.mapping(n, "limits", fields{
		"handshake":           func(n ast.Node) { l.Handshake = r.positive(n, "handshake") },
		"login":               func(n ast.Node) { l.Login = r.positive(n, "login") },
		"keepalive":           func(n ast.Node) { l.Keepalive = r.positive(n, "keepalive") },
		"idle":                func(n ast.Node) { l.Idle = r.positive(n, "idle") },
		"longest":             func(n ast.Node) { l.Longest = r.positive(n, "longest") },
		"waiting":             count(&l.Waiting, "waiting"),
		"waiting_per_address": count(&l.WaitingPerAddress, "waiting_per_address"),
		"sessions":            count(&l.Sessions, "sessions"),
		"forwards":            count(&l.Forwards, "forwards"),
		"attempts":            count(&l.Attempts, "attempts"),
	})
}

func (r *reader) sync(n ast.Node) Sync {
	w := r.word(n, "sync")
	switch s := Sync(w.Text); s {
	case SyncSoon, SyncAlways:
		return s
	case "":
	default:
		r.Add(w.Pos, "sync: want %s or %s", SyncSoon, SyncAlways)
	}
	return SyncAlways
}

func (r *reader) service(n ast.Node) Service {
	s := Service{Pos: r.pos(n)}
	r.mapping(n, "service", fields{
		"name": func(n ast.Node) { s.Name = r.name(n, "service") },
		"owner": func(n ast.Node) {
			w := r.word(n, "owner")
			if w.Text != "" && (!strings.ContainsAny(w.Text, "@#") || bastion.VisibleLine(w.Text) != w.Text || strings.Contains(w.Text, " ")) {
				r.Add(w.Pos, "owner: want the e-mail address of a person, or issuer#subject")
			}
			s.Owner = w.Text
		},
		"keys": func(n ast.Node) {
			for _, w := range r.words(n, "keys") {
				if _, err := keyBlob(w.Text); err != nil {
					r.Add(w.Pos, "keys: %v", err)
					continue
				}
				s.Keys = append(s.Keys, w.Text)
			}
			if len(s.Keys) == 0 && len(r.Problems) == 0 {
				r.Add(r.pos(n), "keys is empty; write a public key, as in authorized_keys")
			}
		},
	})
	switch {
	case s.Name == "":
		r.Add(s.Pos, "service: name is missing")
	case len(s.Keys) == 0:
		r.Warn(s.Pos, "service %q has no keys, so it cannot sign in", s.Name)
	case s.Owner == "":
		r.Warn(s.Pos, "service %q has no owner, so nobody is kept from approving their own service's requests", s.Name)
	}
	return s
}

// keyBlob reads a public key: a type and, in base64, a blob that begins with the same
// type (RFC 4253, section 6.6). Whether the kind of key is good enough is for the
// front door to say.
func keyBlob(line string) ([]byte, error) {
	f := strings.Fields(line)
	if len(f) < 2 || strings.ContainsAny(line, "\r\n") {
		return nil, fmt.Errorf("want a line as in authorized_keys: a type, the key and a comment")
	}
	if strings.HasPrefix(line, "-----BEGIN") {
		return nil, fmt.Errorf("this is no public key; write the line of the .pub file, and never a private key")
	}
	blob, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil {
		return nil, fmt.Errorf("want a type and the key in base64 first; options are not supported here")
	}
	if len(blob) < 4 || uint64(binary.BigEndian.Uint32(blob)) > uint64(len(blob)-4) || string(blob[4:4+binary.BigEndian.Uint32(blob)]) != f[0] {
		return nil, fmt.Errorf("the key is not of the type that stands before it, or is cut off")
	}
	return blob, nil
}

func (r *reader) name(n ast.Node, what string) string {
	w := r.word(n, "name")
	if w.Text == "" {
		return ""
	}
	if err := policy.CheckName(w.Text); err != nil {
		r.Add(w.Pos, "%s %v", what, err)
	}
	return w.Text
}

func (r *reader) target(n ast.Node) Target {
	t := Target{Pos: r.pos(n)}
	before := len(r.Problems)
	credential := false
	r.mapping(n, "target", fields{
		"name":    func(n ast.Node) { t.Name = r.name(n, "target") },
		"kind":    func(n ast.Node) { t.Kind = r.word(n, "kind").Text },
		"address": func(n ast.Node) { t.Address = r.address(n, "address", false) },
		"description": func(n ast.Node) {
			w := r.word(n, "description")
			if bastion.VisibleLine(w.Text) != w.Text {
				r.Add(w.Pos, "description: want one line without control or invisible characters")
			}
			t.Description = w.Text
		},
		"labels":     func(n ast.Node) { t.Labels = r.texts(n, "labels") },
		"options":    func(n ast.Node) { t.Options = r.options(n) },
		"credential": func(n ast.Node) { credential = true; t.Credential = r.credential(n) },
	})
	if len(r.Problems) > before {
		return t
	}
	for _, f := range []struct{ name, value string }{{"name", t.Name}, {"kind", t.Kind}, {"address", t.Address}} {
		if f.value == "" {
			r.Add(t.Pos, "target: %s is missing", f.name)
		}
	}
	if !credential {
		r.Add(t.Pos, "target: credential is missing; write credential: {user: NAME, password: {env: NAME}}")
	}
	return t
}

// texts reads a mapping from names to texts.
func (r *reader) texts(n ast.Node, what string) map[string]string {
	m := map[string]string{}
	r.pairs(n, what, func(key policy.Word, n ast.Node) {
		w := r.word(n, what+": "+key.Text)
		if !shown(key.Text) || !shown(w.Text) {
			r.Add(key.Pos, "%s: want names and values without control or invisible characters", what)
		}
		m[key.Text] = w.Text
	})
	return m
}

// shown reports whether a text shows itself in full in one line.
func shown(s string) bool { return bastion.VisibleLine(s) == s }

// options reads a connector's own settings, which are shown and logged.
func (r *reader) options(n ast.Node) map[string]string {
	m := r.texts(n, "options")
	r.pairs(n, "options", func(key policy.Word, _ ast.Node) {
		name := strings.ToLower(key.Text)
		for _, s := range []string{"password", "passwd", "secret", "token", "passphrase"} {
			if strings.Contains(name, s) {
				r.Add(key.Pos, "options: %s looks like a secret, and options are not kept secret; use credential", key.Text)
				delete(m, key.Text)
				return
			}
		}
	})
	return m
}

func (r *reader) credential(n ast.Node) vault.Credential {
	var c vault.Credential
	if _, inline := text(n); inline {
		r.Add(r.pos(n), "credential: want {user: NAME, password: {env: NAME}}, and never the secret itself")
		return c
	}
	r.mapping(n, "credential", fields{
		"user":     func(n ast.Node) { c.User = r.word(n, "user").Text },
		"password": func(n ast.Node) { c.Password = r.source(n, "password") },
	})
	if c.User == "" {
		r.Add(r.pos(n), "credential: user is missing")
	}
	if c.Password.IsZero() && len(r.Problems) == 0 {
		r.Warn(r.pos(n), "credential: there is no password, so the target must let the bastion in without one")
	}
	return c
}

// source reads where a secret is. The secret itself is refused, and not repeated.
func (r *reader) source(n ast.Node, what string) vault.Source {
	var s vault.Source
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		r.Add(r.pos(n), "%s: a secret does not belong into this file; write {env: NAME}, {file: PATH} or {command: [PROGRAM, ARGUMENT]}", what)
		return s
	}
	found := 0
	r.mapping(n, what, fields{
		"env": func(n ast.Node) {
			found++
			if s.Env = r.word(n, "env").Text; s.Env != "" && !variable(s.Env) {
				r.Add(r.pos(n), "env: want the name of an environment variable")
				s.Env = ""
			}
		},
		"file":    func(n ast.Node) { found++; s.File = r.path(r.word(n, "file").Text) },
		"command": func(n ast.Node) { found++; s.Command = texts(r.words(n, "command")) },
	})
	if found != 1 {
		r.Add(r.pos(n), "%s: want exactly one of env, file and command", what)
	}
	return s
}

// variable reports whether a text is the name of an environment variable, and so
// not a secret that somebody put in its place.
func variable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// address reads host:port, or the path of a socket where that makes sense. To
// listen, the host may be left out.
func (r *reader) address(n ast.Node, what string, listen bool) string {
	w := r.word(n, what)
	if w.Text == "" || !listen && filepath.IsAbs(w.Text) && shown(w.Text) {
		return w.Text
	}
	if strings.Contains(w.Text, "://") || strings.Contains(w.Text, "@") {
		r.Add(w.Pos, "%s: want host:port alone; user and password belong under credential", what)
		return ""
	}
	host, port, err := net.SplitHostPort(w.Text)
	number, perr := strconv.Atoi(port)
	if err != nil || perr != nil || number < 0 || number > 65535 || number == 0 && !listen || host == "" && !listen || strings.ContainsAny(host, " /") || !shown(w.Text) {
		r.Add(w.Pos, "%s: want host:port, such as db.example.com:5432 or [::1]:5432", what)
		return ""
	}
	return w.Text
}

// Check has the connectors check the targets, each at its place.
func (c *Config) Check(connectors []bastion.Connector) policy.Problems {
	var ps policy.Problems
	var kinds []string
	for _, k := range connectors {
		kinds = append(kinds, k.Kind())
	}
	for _, t := range c.Targets {
		i := slices.Index(kinds, t.Kind)
		if i < 0 {
			ps.Add(t.Pos, "target %q: %s", t.Name, policy.Unknown("kind", t.Kind, kinds))
			continue
		}
		if err := connectors[i].Check(t.Target); err != nil {
			ps.Add(t.Pos, "target %q: %v", t.Name, err)
		}
	}
	return ps
}

// BastionTargets are the targets as the core knows them.
func (c *Config) BastionTargets() bastion.Targets {
	var ts bastion.Targets
	for _, t := range c.Targets {
		ts = append(ts, t.Target)
	}
	return ts
}

// Credentials says where the targets' credentials are, for [vault.New].
func (c *Config) Credentials() map[string]vault.Credential {
	m := map[string]vault.Credential{}
	for _, t := range c.Targets {
		m[t.Name] = t.Credential
	}
	return m
}

// PolicyContext is what the policy may speak of. The key makes pseudonyms.
func (c *Config) PolicyContext(connectors []bastion.Connector, key []byte) policy.Context {
	x := policy.Context{Targets: c.BastionTargets(), Owners: map[string]string{}, Verbs: map[string][]bastion.VerbInfo{}, Groups: c.Provider.Groups, Unheard: len(c.Notify.Channels) == 0, PseudonymKey: key}
	for _, k := range connectors {
		x.Verbs[k.Kind()] = k.Verbs()
	}
	for _, s := range c.Services {
		x.Services = append(x.Services, s.Name)
		x.Owners[s.Name] = s.Owner
	}
	return x
}
