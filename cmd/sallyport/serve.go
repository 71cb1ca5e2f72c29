package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/identity"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/sshd"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/task/ledger"
	"github.com/sallyport/sallyport/bastion/vault"
	"github.com/sallyport/sallyport/connectors"
	"github.com/sallyport/sallyport/recordings"
	"github.com/sallyport/sallyport/tui"
	"github.com/sallyport/sallyport/tui/command"
)

// serve runs the bastion until ctx ends.
func serve(ctx context.Context, args []string, errs io.Writer) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	path := fs.String("config", defaultConfig, "configuration file")
	rest, err := flags(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errUsage{fmt.Sprintf("unexpected %q", rest[0])}
	}
	log := slog.New(slog.NewTextHandler(errs, nil))
	b, err := open(*path, log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", b.config.Listen)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	log.Info("listening", "address", l.Addr().String(), "host key", b.hostKey())
	return errors.Join(b.serve(ctx, l), b.Close())
}

// server is a bastion, put together.
type server struct {
	config  *config.Config
	log     *slog.Logger
	db      *store.DB
	policy  *livePolicy
	law     law
	keeper  *identity.Keeper
	archive *recordings.Archive
	votes   *approval.Service
	tasks   *ledger.Ledger
	vault   *vault.Vault
	keys    []ssh.Signer
	front   *sshd.Server
	sweeper sweeper
	notes   *notify.Outbox
	// connectors are one of each kind, for all sessions.
	connectors []bastion.Connector
}

// open reads the files and the state, and puts a bastion together that does not
// listen yet.
func open(path string, log *slog.Logger) (s *server, err error) {
	c, warnings := configuration(path)
	if err := warnings.Err(); err != nil || c == nil {
		return nil, err
	}
	if err := private(c.State); err != nil {
		return nil, err
	}
	key, err := pseudonymKey(c.State)
	if err != nil {
		return nil, err
	}
	s = &server{config: c, log: log, policy: &livePolicy{}, connectors: connectors.All()}
	s.warn(warnings)
	if err := present(s.config.State); err != nil {
		return nil, err
	}
	if s.db, err = store.Open(s.config.State); err != nil {
		return nil, err
	}
	db := s.db
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if s.archive, err = recordings.New(recordings.Config{
		DB: s.db, Dir: filepath.Join(s.config.State, "spool"), Now: time.Now, Sync: s.config.Recordings.Sync == config.SyncAlways,
	}); err != nil {
		return nil, err
	}
	if s.keeper, err = s.newKeeper(); err != nil {
		return nil, err
	}
	s.law.live, s.law.people = s.policy, s.keeper.People
	if err = s.enact(key); err != nil {
		return nil, err
	}
	if s.notes, err = notify.New(notify.Config{DB: s.db, Log: log, Name: s.config.Name,
		Address: s.config.Notify.Address, Channels: s.config.Notify.Channels}); err != nil {
		return nil, err
	}
	s.votes, err = approval.New(approval.Config{Notify: s.tell, Teams: s.policy.Teams, Terms: s.terms, DB: s.db, Append: recordings.Append, Roles: s.eligible,
		Known: s.keeper.Known, Confirm: s.keeper.Confirm, People: s.keeper.People, Now: time.Now, Task: s.follow})
	if err != nil {
		return nil, err
	}
	if err = s.newTasks(); err != nil {
		return nil, err
	}
	s.vault = vault.New(credentials(s.config))
	return s, s.newFront()
}

func (s *server) newKeeper() (*identity.Keeper, error) {
	c := identity.Config{DB: s.db, Lasts: s.config.Binding, Recheck: s.config.Provider.Recheck, Unreachable: s.config.Provider.Unreachable, Append: recordings.Append, Now: time.Now,
		Provider: identity.Provider{Issuer: s.config.Provider.Issuer, ClientID: s.config.Provider.ClientID,
			Scopes: s.config.Provider.Scopes, GroupsClaim: s.config.Provider.GroupsClaim}}
	if source := s.config.Provider.ClientSecret; !source.IsZero() {
		c.Provider.Secret = source.Read
	}
	if s.config.Provider.CA != "" {
		pem, err := os.ReadFile(s.config.Provider.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the provider's CA: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the provider's CA %s holds no certificate", s.config.Provider.CA)
		}
		c.Provider.HTTP = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	}
	for _, v := range s.config.Services {
		c.Services = append(c.Services, identity.Service{Name: v.Name, Owner: v.Owner, Keys: v.Keys})
	}
	return identity.New(c)
}

// start makes the session of a visitor whom the front door let in.
func (s *server) start(ctx context.Context, v sshd.Visitor) (*bastion.Session, error) {
	id, now := newID(), time.Now()
	w := v.Window.Clamp()
	if err := s.notePeople(); err != nil {
		s.log.Warn("the list of people for check --explain cannot be written", "error", err)
	}
	rec, err := s.archive.Start(bastion.Recording{ID: id, Who: v.Identity, Origin: v.Origin, Start: now, Command: command.Verb(v.Command), Term: v.Term, Width: w.Width, Height: w.Height})
	if err != nil {
		s.log.Error("a recording cannot be started", "error", err)
		return nil, bastion.ErrRecorder
	}
	votes := &proposer{Approvals: s.votes, law: &s.law, session: id, origin: v.Origin}
	c := bastion.Config{
		ID: id, Identity: v.Identity, Origin: v.Origin, Go: s.front.Go, Term: v.Term, Window: v.Window,
		Targets: targets(s.config), Connectors: votes.connectors(s.connectors), Policy: s.policy, Approvals: votes,
		Identities: s.keeper.ForKey(v.Origin.Key), Secrets: s.vault, Recorder: rec, Archive: s.archive, Accounts: s.keeper, Outbox: s.notes, Now: time.Now,
	}
	if v.Forward != nil {
		c.Native = v.Channel
	} else {
		c.Channel = v.Channel
	}
	if v.Identity.Kind == bastion.Person && v.Forward == nil {
		c.SignIn = func(ctx context.Context, show func(bastion.SignInPrompt) error) (bastion.Identity, error) {
			return s.keeper.SignIn(ctx, v.Origin, show)
		}
	}
	if v.Identity.Kind == bastion.Person {
		c.Act = s.keeper.Act
	}
	session, err := bastion.NewSession(ctx, c)
	if err != nil {
		return nil, errors.Join(err, rec.Close())
	}
	s.sweeper.add(session)
	return session, nil
}

// visit serves a session until the person leaves, and returns the exit code.
func (s *server) visit(session *bastion.Session, v sshd.Visitor) int {
	if v.Forward != nil {
		if err := session.Forward(session.Context(), v.Forward.Host, v.Forward.Port); err != nil {
			s.log.Info("a native client's session ended with an error", "session", session.ID(), "error", err)
			return command.Code(err)
		}
		return 0
	}
	o := command.Options{PTY: v.PTY, Cast: recordings.Cast, Text: recordings.Text, Tasks: s.tasks, Address: s.config.Notify.Address}
	if v.HasCommand {
		return command.Run(session, v.Command, o)
	}
	target, notice := s.destination(session, v.User)
	if !v.PTY || v.Term == "" || v.Term == "dumb" {
		return command.Menu(session, target, o)
	}
	err := tui.Run(session, tui.Options{NoColor: v.Env["NO_COLOR"] != "", Target: target, Notice: notice, Tasks: s.tasks})
	return command.Code(err)
}

// forward says whether somebody may open a forwarded connection at all.
func (s *server) forward(who bastion.Identity, _ bastion.Origin, f sshd.Forward) error {
	if err := s.policy.Conflict(who); err != nil {
		return err // a client's own protocol has no place for it
	}
	return bastion.Reachable(s.policy, targets(s.config), s.connectors, who, f.Host, f.Port)
}

// destination reads the user part of `ssh USER@bastion`: the name of a target
// goes straight there; anything else is the client's own user name and means
// nothing here, but a near miss of a target is worth a word.
func (s *server) destination(session *bastion.Session, user string) (target, notice string) {
	views, err := session.Targets(session.Context())
	if err != nil {
		return "", ""
	}
	var names []string
	for _, t := range views {
		if t.Name == user {
			return user, ""
		}
		names = append(names, t.Name)
	}
	if near := policy.Near(user, names); near != "" {
		return "", fmt.Sprintf("there is no target %q; did you mean %s?", bastion.VisibleLine(user), near)
	}
	return "", ""
}

// serve serves connections until ctx ends.
func (s *server) serve(ctx context.Context, l net.Listener) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() { // ends with ctx
		for {
			select {
			case <-hup:
				s.reload()
			case <-ctx.Done():
				return
			}
		}
	}()
	changed, unwatch := s.votes.Watch()
	defer unwatch()
	go s.sweeper.run(ctx, changed, s.votes.Sweep) // ends with ctx
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	told := make(chan struct{})
	go func() { // ends with stop, below
		defer close(told)
		if err := s.notes.Run(running); err != nil {
			s.log.Error("notifications have ended", "error", err)
		}
	}()
	err := s.front.Serve(ctx, l)
	stop()
	<-told // before the store is closed
	return err
}

// reload changes nothing, because nobody may change the policy alone: it tells how
// to propose what is in the file.
func (s *server) reload() {
	v, _ := s.law.charter.Active()
	s.log.Info("the policy stays as it is; it changes by proposals alone, and other changes need a restart", "version", v.Number)
	s.compare()
}

// Close closes the state.
func (s *server) Close() error { return s.db.Close() }

// livePolicy is the policy of this moment.
type livePolicy struct{ atomic.Pointer[policy.Policy] }

func (p *livePolicy) Decide(i bastion.Identity, op bastion.Operation) bastion.Decision {
	return p.Load().Decide(i, op)
}

func (p *livePolicy) Access(i bastion.Identity, t bastion.Target) bastion.Access {
	return p.Load().Access(i, t)
}

func (p *livePolicy) Roles(i bastion.Identity) []bastion.Role { return p.Load().Roles(i) }

func (p *livePolicy) Terms(i bastion.Identity, t bastion.Target) []bastion.Terms {
	return p.Load().Terms(i, t)
}

func (p *livePolicy) Conflict(i bastion.Identity) error { return p.Load().Conflict(i) }

// Teams are the teams that the identity belongs to.
func (p *livePolicy) Teams(i bastion.Identity) []string { return p.Load().Teams(i) }

// eligible are the roles by which somebody's votes count. Who has to choose in which
// role to act has those of any choice, because a vote is cast in the chosen one and
// stays what it is; who may not act at all has none.
func (s *server) eligible(i bastion.Identity) []bastion.Role {
	if err := s.policy.Conflict(i); err != nil {
		if _, ok := errors.AsType[*bastion.ChoiceError](err); !ok {
			return nil
		}
	}
	return s.policy.Roles(i)
}

// terms are what policy says now of access that was granted.
func (s *server) terms(who bastion.Identity, target, bundle string, emergency bool) (bastion.Terms, bool) {
	t, ok := s.config.BastionTargets().Named(target)
	if !ok {
		return bastion.Terms{}, false
	}
	for _, x := range s.policy.Terms(who, t) {
		if x.Bundle == bundle && x.Emergency == emergency {
			return x, true
		}
	}
	return bastion.Terms{}, false
}

// newID names a session: 60 random bits, so that no name can be guessed and none
// comes twice.
func newID() string {
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		panic(err) // documented never to happen
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(b)[:12])
}
