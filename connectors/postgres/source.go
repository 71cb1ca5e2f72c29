package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// source is what all sessions on a target share: its catalog, and the connections
// on which that is read and previews are planned. Nothing that a session may
// choose runs on them but EXPLAIN, in a transaction that is rolled back.
type source struct {
	config *pgconn.Config

	mu    sync.Mutex // held while the catalog is compared or read
	state atomic.Pointer[state]

	authors authors

	idleMu sync.Mutex // guards the rest
	idle   []*pgconn.PgConn
	users  int // sessions
}

// state is the catalog as it was found at a time. It never changes.
type state struct {
	reader      *lineage.Reader
	snapshot    *catalog.Snapshot
	system      bool // the snapshot holds system relations
	partial     bool // some definitions in it are not known for now
	fingerprint string
	checked     time.Time // when it was last found to be as it is here
}

const (
	// fresh is how long the catalog is taken for unchanged by others.
	fresh = time.Second
	// maxBusy is how often the catalog is read anew because somebody locked a part of it.
	maxBusy = 3
	// maxIdle is how many connections wait for their next use, at most.
	maxIdle = 2
)

func newSource(config *pgconn.Config) *source {
	config = config.Copy()
	config.RuntimeParams = map[string]string{
		"application_name": "sallyport catalog",
		"client_encoding":  "UTF8",
		// Nothing but pg_catalog, which is always searched: definitions come with
		// schemas, and no function of a user can get in between.
		"search_path":                   "",
		"default_transaction_read_only": "on",
		"standard_conforming_strings":   "on",
		// A session must not wait for itself: its transaction may hold the lock.
		"lock_timeout": "1s",
	}
	config.OnNotice = nil
	return &source{config: config}
}

// enter and leave count the sessions. The last one to leave closes the connections.
func (s *source) enter() {
	s.idleMu.Lock()
	defer s.idleMu.Unlock()
	s.users++
}

func (s *source) leave() {
	s.idleMu.Lock()
	s.users--
	var idle []*pgconn.PgConn
	if s.users == 0 {
		idle, s.idle = s.idle, nil
	}
	s.idleMu.Unlock()
	for _, c := range idle {
		discard(c)
	}
}

// discard closes a connection. One that does not close cleanly is gone all the same.
func discard(c *pgconn.PgConn) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	_ = c.Close(ctx)
}

// current returns the catalog, at most a second old, or with now as it is.
func (s *source) current(ctx context.Context, now, system bool) (*state, error) {
	asked := time.Now()
	good := func(k *state) bool {
		return k != nil && (k.system || !system) && (k.checked.After(asked) || !now && asked.Sub(k.checked) < fresh)
	}
	if k := s.state.Load(); good(k) {
		return k, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.state.Load()
	if good(k) { // others were faster
		return k, nil
	}
	var next *state
	err := s.with(ctx, func(c *pgconn.PgConn) error {
		began := time.Now()
		f, err := one(ctx, c, fingerprintQuery)
		if err != nil {
			return err
		}
		if k != nil && k.fingerprint == f[0] && (k.system || !system) && !k.partial {
			same := *k
			same.checked = began
			next = &same
			return nil
		}
		// What is read is at least as new as the fingerprint: if it is newer, it is
		// read once more than needed.
		next = &state{system: system || k != nil && k.system, fingerprint: f[0], checked: began}
		var before *catalog.Snapshot
		if k != nil {
			before = k.snapshot
		}
		for range maxBusy {
			next.snapshot, next.partial, err = readCatalog(ctx, c, before, next.system)
			if pe, ok := errors.AsType[*pgconn.PgError](err); !ok || pe.Code != "55P03" {
				break // else somebody was faster who locks it
			}
		}
		if err != nil {
			return err
		}
		next.reader = lineage.NewReader(next.snapshot)
		return nil
	})
	if err != nil {
		return nil, unread(ctx, err)
	}
	s.state.Store(next)
	return next, nil
}

// fingerprint is that of the catalog as it is known.
func (s *source) fingerprint() string {
	if k := s.state.Load(); k != nil {
		return k.fingerprint
	}
	return ""
}

// with lends a connection. One that failed is not used again; if it was an old one
// that somebody on the way forgot while it idled, f runs once more on a new one.
func (s *source) with(ctx context.Context, f func(*pgconn.PgConn) error) error {
	for {
		s.idleMu.Lock()
		var c *pgconn.PgConn
		if n := len(s.idle); n > 0 {
			c, s.idle = s.idle[n-1], s.idle[:n-1]
		}
		s.idleMu.Unlock()
		old := c != nil
		if !old {
			var err error
			if c, err = pgconn.ConnectConfig(ctx, s.config); err != nil {
				return reaching(ctx, err)
			}
		}
		err := f(c)
		if err == nil && c.TxStatus() == 'I' {
			s.idleMu.Lock()
			keep := s.users > 0 && len(s.idle) < maxIdle
			if keep {
				s.idle = append(s.idle, c)
			}
			s.idleMu.Unlock()
			if !keep {
				discard(c)
			}
			return nil
		}
		lost := c.IsClosed()
		discard(c)
		if err == nil || !old || !lost || ctx.Err() != nil {
			return err
		}
	}
}

// unread is the error of a catalog that could not be read.
func unread(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if te, ok := errors.AsType[*bastion.TargetError](err); ok {
		return te
	}
	code := ""
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		code = pe.Code
	}
	return &bastion.TargetError{Code: code, Summary: "the target's catalog cannot be read, so nothing can be decided; try again"}
}

// sources keeps one source for each target and credential, for as long as the
// bastion runs: what is known of renamed columns must not be forgotten.
type sources struct {
	mu sync.Mutex // guards what follows
	by map[sourceKey]*source
}

type sourceKey struct{ name, address, database, user, password string }

// of returns the source for a target, entered.
func (s *sources) of(t bastion.Target, config *pgconn.Config) *source {
	if s == nil {
		k := newSource(config)
		k.enter()
		return k
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[sourceKey]*source{}
	}
	key := sourceKey{t.Name, t.Address, config.Database, config.User, config.Password}
	k := s.by[key]
	if k == nil {
		k = newSource(config)
		s.by[key] = k
	}
	k.enter()
	return k
}
