// Package pgserver starts throw-away PostgreSQL servers, real ones, with a
// realistic shop in them: for the demo and for every test that needs a database.
//
// The server listens on 127.0.0.1 alone and speaks TLS alone, with a certificate
// authority of its own; passwords are random, checked by SCRAM-SHA-256. Crash
// safety of the machine is switched off for speed: nothing here is for real data.
//
// A test that needs a server of its own calls [ForTest]. A package whose tests can
// share one starts it in TestMain and gives each test a database of its own, which
// takes a fraction of a second:
//
//	var server *pgserver.Server
//
//	func TestMain(m *testing.M) { os.Exit(testMain(m)) }
//
//	func testMain(m *testing.M) int {
//		var err error
//		server, err = pgserver.Start(context.Background(), pgserver.Options{})
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			return 1
//		}
//		defer server.Close()
//		return m.Run()
//	}
//
//	func TestDelete(t *testing.T) {
//		conn, err := pgx.Connect(t.Context(), server.URL(server.App(), server.Fresh(t)))
//
// The function around m.Run is there because os.Exit runs no deferred calls.
//
// The first start with a version of PostgreSQL makes a cluster and keeps a copy in
// the user's cache directory; later ones copy that.
package pgserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	cryptorand "crypto/rand"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The databases of the demo's two targets.
const (
	Staging    = "shop_staging"
	Production = "shop_production"
)

// Options say how to start a server. The zero value is a temporary server on a free
// port, without a shop.
type Options struct {
	// Dir holds everything and is kept by Close; the next Start there finds the same
	// data and passwords. It is made if missing, must be empty or of an earlier start,
	// and serves one server at a time. When root starts the server, it runs as another
	// user, which must be able to reach Dir: /root will not do, nor a testing.T.TempDir.
	// Empty: a temporary directory, removed by Close.
	Dir string

	// Port on 127.0.0.1. 0: any free one below 32768, so that no outgoing connection
	// of anybody can take it between two starts.
	Port int

	// Databases that hold the shop when Start returns. Those that exist already in Dir
	// are left as they are.
	Databases []string

	// Settings are added to postgresql.conf, as log_statement = all.
	Settings map[string]string

	// BinDir is where PostgreSQL's programs are. Empty: Find decides.
	BinDir string

	// Log takes what the server writes to its log, from another goroutine until Close
	// has returned. Nil: nobody reads it.
	Log io.Writer
}

// A Login is a role of the server and its password.
type Login struct {
	User     string
	Password string
}

// String is the name alone, so that a password is not printed by accident.
func (l Login) String() string { return l.User }

// GoString is the name alone, too.
func (l Login) GoString() string { return fmt.Sprintf("pgserver.Login{User: %q}", l.User) }

// A Server is a running PostgreSQL server. Its methods may be called from several
// goroutines.
type Server struct {
	o       Options
	bin     string
	version string // as postgres --version prints it
	user    runUser
	dir     string // real path, without symbolic links
	lock    *os.File

	port       int
	proc       *process
	super, app Login

	closing sync.Once
	closed  error
}

// Start starts a server and returns when it answers. ctx bounds the starting; the
// server then runs until Close, or until this process ends, however it ends.
// Without PostgreSQL on the machine the error is [ErrNotInstalled].
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("starting postgresql: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("starting postgresql: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

// prepare finds the programs and a directory to work in, and locks it.
func prepare(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, bin: o.BinDir}
	var err error
	switch {
	case s.bin == "":
		s.bin, err = Find()
	case !hasServer(s.bin):
		err = notInstalled()
	}
	if err != nil {
		return nil, err
	}
	if s.user, err = unprivileged(); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		sweep(os.TempDir())
		s.dir, err = os.MkdirTemp("", tempPrefix)
	} else {
		s.dir, err = filepath.Abs(o.Dir)
		if err == nil {
			err = os.MkdirAll(s.dir, s.user.dirMode())
		}
	}
	if err != nil {
		return nil, err
	}
	if s.dir, err = filepath.EvalSymlinks(s.dir); err != nil {
		return nil, err
	}
	if s.lock, err = lockDir(s.dir); err != nil {
		if o.Dir == "" {
			err = errors.Join(err, os.Remove(s.dir))
		}
		return nil, err
	}
	// From here on Close tidies up.
	if err = os.Chmod(s.dir, s.user.dirMode()); err == nil {
		s.version, err = s.user.output(ctx, s.dir, s.program("postgres"), "--version")
	}
	if errors.Is(err, fs.ErrPermission) && s.user.credential != nil {
		err = fmt.Errorf("user %q, whom root runs postgresql as, cannot reach %q; choose a directory below one that everybody may enter, as /var/lib or /tmp: %w", s.user.name, s.dir, err)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := stopLeftover(ctx, s.dir); err != nil {
		return err
	}
	fresh := false
	err := s.readPasswords()
	if errors.Is(err, fs.ErrNotExist) {
		// The passwords are written last. Without them an earlier start was cut short.
		fresh = true
		err = s.create(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return err
	}
	if fresh {
		if err := s.changePasswords(ctx); err != nil {
			return err
		}
	}
	for _, name := range s.o.Databases {
		if err := s.Fill(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Close stops the server at once, waits until it is gone, and removes a temporary
// directory. Open connections break. Calling it again does nothing.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.stop()
		if s.o.Dir == "" {
			s.closed = os.RemoveAll(s.dir)
		}
		s.closed = errors.Join(s.closed, s.lock.Close())
	})
	return s.closed
}

func (s *Server) stop() {
	if s.proc == nil {
		return
	}
	if s.o.Dir == "" {
		s.proc.stop(syscall.SIGQUIT, syscall.SIGKILL)
	} else {
		// The "fast" shutdown ends sessions at once, too, but leaves the files in order.
		s.proc.stop(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL)
	}
}

// Done is closed when the server has ended, by Close or by itself.
func (s *Server) Done() <-chan struct{} { return s.proc.done }

// Addr is where the server listens, as 127.0.0.1:25432.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// Dir is the directory that holds everything.
func (s *Server) Dir() string { return s.dir }

// CACert is the path of the certificate authority that vouches for the server as
// localhost and as 127.0.0.1, in PEM. It changes with each Start.
func (s *Server) CACert() string { return filepath.Join(s.dir, "tls", "ca.pem") }

// Superuser is the role that may do everything. For looking at what happened; the
// bastion does not use it.
func (s *Server) Superuser() Login { return s.super }

// App is the role that the bastion uses for its targets: it owns the shop's tables
// and may do nothing outside of them.
func (s *Server) App() Login { return s.app }

// URL is a connection string for pgx and libpq, with the password in it, that
// verifies the server's certificate and name.
func (s *Server) URL(l Login, database string) string {
	return connURL(s.Addr(), s.CACert(), l, database)
}

// Fill makes sure that there is a database of this name: a new one gets the whole
// shop, an existing one is left as it is.
func (s *Server) Fill(ctx context.Context, database string) error {
	conn, err := pgconn.Connect(ctx, s.URL(s.super, "postgres"))
	if err != nil {
		return fmt.Errorf("filling database %q: %w", database, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	sql := "CREATE DATABASE " + pgx.Identifier{database}.Sanitize() + " TEMPLATE " + shopTemplate
	if major(s.version) >= 15 {
		sql += " STRATEGY file_copy" // before 15 there was no other
	}
	const duplicateDatabase = "42P04"
	if err := run(ctx, conn, sql); err != nil {
		if p, ok := errors.AsType[*pgconn.PgError](err); ok && p.Code == duplicateDatabase {
			return nil
		}
		return fmt.Errorf("filling database %q: %w", database, err)
	}
	return nil
}

// Query runs SQL as the superuser, behind everybody's back, and returns the rows of
// the last statement as the server writes them in text; NULL is \N. For tests that
// look at what reached the database.
func (s *Server) Query(ctx context.Context, database, sql string) ([][]string, error) {
	conn, err := pgconn.Connect(ctx, s.URL(s.super, database))
	if err != nil {
		return nil, fmt.Errorf("querying database %q: %w", database, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("querying database %q: %w", database, err)
	}
	if len(results) == 0 {
		return nil, nil
	}
	var rows [][]string
	for _, values := range results[len(results)-1].Rows {
		row := make([]string, len(values))
		for i, v := range values {
			if row[i] = string(v); v == nil {
				row[i] = `\N`
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// TB is the part of testing.TB that ForTest uses. Naming it here keeps the testing
// package out of the demo.
type TB interface {
	Helper()
	Fatal(args ...any)
	Error(args ...any)
	Cleanup(func())
	Context() context.Context
}

// ForTest is Start for one test: the test fails when the server does not start, and
// the server is closed when the test ends.
func ForTest(tb TB, o Options) *Server {
	tb.Helper()
	s, err := Start(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Fresh makes a database for one test, with the whole shop and a name that no other
// has, and drops it when the test ends.
func (s *Server) Fresh(tb TB) string {
	tb.Helper()
	name := "test_" + strings.ToLower(cryptorand.Text())
	if err := s.Fill(tb.Context(), name); err != nil {
		tb.Fatal(err)
	}
	ctx := context.WithoutCancel(tb.Context()) // which ends before the cleanup
	tb.Cleanup(func() {
		if _, err := s.Query(ctx, "postgres", "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	return name
}

// passwords is the file that is written when a cluster is complete.
type passwords struct {
	Postgres string `json:"postgres"`
	App      string `json:"shop_app"`
}

func (s *Server) passwordFile() string { return filepath.Join(s.dir, "passwords.json") }

func (s *Server) readPasswords() error {
	data, err := os.ReadFile(s.passwordFile())
	if err != nil {
		return err
	}
	var p passwords
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("reading %q: %w", s.passwordFile(), err)
	}
	s.super, s.app = Login{superuser, p.Postgres}, Login{appRole, p.App}
	return nil
}

// changePasswords gives a new cluster passwords that nobody else has: its copy in the
// cache opens with the one it was made with.
func (s *Server) changePasswords(ctx context.Context) error {
	p := passwords{cryptorand.Text(), cryptorand.Text()}
	conn, err := pgconn.Connect(ctx, s.URL(s.super, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Letters and digits, so there is nothing to quote.
	err = run(ctx, conn, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'; ALTER ROLE %s PASSWORD '%s'", superuser, p.Postgres, appRole, p.App))
	if err != nil {
		return fmt.Errorf("setting passwords: %w", err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("writing passwords: %w", err)
	}
	if err := replaceFile(s.passwordFile(), data, 0o600); err != nil {
		return err
	}
	return s.readPasswords()
}
