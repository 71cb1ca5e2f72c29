package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

var errPortTaken = errors.New("something else listens there")

func (s *Server) program(name string) string { return filepath.Join(s.bin, name) }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// launch starts the server on the data directory and waits until it answers.
func (s *Server) launch(ctx context.Context) error {
	tls := filepath.Join(s.dir, "tls")
	if err := os.MkdirAll(tls, s.user.dirMode()); err != nil {
		return err
	}
	if err := writeCerts(tls, s.user); err != nil {
		return err
	}
	if err := s.writeConfig(); err != nil {
		return err
	}
	if s.port = s.o.Port; s.port != 0 {
		err := s.launchOnPort(ctx)
		if errors.Is(err, errPortTaken) {
			err = fmt.Errorf("port %d on 127.0.0.1: %w; stop it or choose another port", s.port, err)
		}
		return err
	}
	for range 20 {
		var err error
		if s.port, err = freePort(); err != nil {
			return err
		}
		// Between our look and the server's, somebody may have been faster.
		if err := s.launchOnPort(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return errors.New("no free port between 20000 and 32767 on 127.0.0.1")
}

func (s *Server) launchOnPort(ctx context.Context) error {
	tail := &lastBytes{}
	log := io.Writer(tail)
	if s.o.Log != nil {
		log = io.MultiWriter(tail, s.o.Log)
	}
	cmd := s.user.command(s.dir, s.program("postgres"),
		"-D", s.data(),
		"-c", "config_file="+filepath.Join(s.dir, "postgresql.conf"),
		"-c", "hba_file="+filepath.Join(s.dir, "pg_hba.conf"),
		"-p", strconv.Itoa(s.port))
	proc, err := startProcess(cmd, log)
	if err != nil {
		return err
	}
	s.proc = proc
	if err := rememberProcess(s.dir, cmd.Process.Pid); err != nil {
		select {
		case <-proc.done: // so there was nothing to remember; ready says why it ended
		default:
			return err
		}
	}
	err = s.ready(ctx)
	if err != nil && strings.Contains(tail.String(), "Address already in use") {
		s.stop()
		return errPortTaken
	}
	if errors.Is(err, errEnded) {
		err = fmt.Errorf("%w; its last words:\n%s", err, tail)
	}
	return err
}

var errEnded = errors.New("the server ended before it answered")

// ready returns when the server lets the superuser in.
func (s *Server) ready(ctx context.Context) error {
	config, err := pgconn.ParseConfig(s.URL(s.super, "postgres"))
	if err != nil {
		return err
	}
	config.ConnectTimeout = 5 * time.Second
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	const startingUp = "57P03" // the server's cannot_connect_now
	for {
		conn, err := pgconn.ConnectConfig(ctx, config)
		if err == nil {
			return conn.Close(ctx)
		}
		if p, ok := errors.AsType[*pgconn.PgError](err); ok && p.Code != startingUp {
			return err
		}
		select {
		case <-tick.C:
		case <-s.proc.done:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("waiting for the server to answer: %w", context.Cause(ctx))
		}
	}
}

// freePort finds a port that nobody listens on, below those that the kernel gives to
// outgoing connections.
func freePort() (int, error) {
	var last error
	for range 50 {
		port := 20000 + rand.IntN(32768-20000)
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("looking for a free port: %w", last)
}

func connURL(addr, ca string, l Login, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(l.User, l.Password), Host: addr, Path: "/" + database}
	q := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca}}.Encode()
	u.RawQuery = strings.ReplaceAll(q, "+", "%20") // to libpq a plus is a plus
	return u.String()
}

// writeConfig writes the server's configuration beside its data, where ALTER SYSTEM
// and initdb do not reach it.
func (s *Server) writeConfig() error {
	tls := filepath.Join(s.dir, "tls")
	settings := map[string]string{
		"listen_addresses": "127.0.0.1",
		// No socket file: one door less, and no trouble with the 107 bytes that its path may have.
		"unix_socket_directories":  "",
		"max_connections":          "100",
		"ssl":                      "on",
		"ssl_cert_file":            filepath.Join(tls, "server.pem"),
		"ssl_key_file":             filepath.Join(tls, "server.key"),
		"ssl_min_protocol_version": "TLSv1.2",
		"password_encryption":      "scram-sha-256",

		// The data may be lost with the machine, but not with the process: commits
		// still write the log to the kernel (synchronous_commit stays on).
		"fsync":            "off",
		"full_page_writes": "off",
		"wal_level":        "minimal",
		"max_wal_senders":  "0",
		"min_wal_size":     "2MB",
		"max_wal_size":     "1GB",

		// Small, and the same answers and plans every time.
		"shared_buffers":                  "32MB",
		"maintenance_work_mem":            "64MB",
		"autovacuum":                      "off",
		"jit":                             "off",
		"max_parallel_workers_per_gather": "0",
		"synchronize_seqscans":            "off",
		"timezone":                        "UTC",
		"datestyle":                       "ISO, MDY",
		"lc_messages":                     "C",

		// Statements that fail hold the shop's data, and so do error details.
		"log_timezone":            "UTC",
		"log_checkpoints":         "off",
		"log_line_prefix":         "%m [%p] %u@%d ",
		"log_error_verbosity":     "terse",
		"log_min_error_statement": "panic",
	}
	maps.Copy(settings, s.o.Settings)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, confEscape.Replace(settings[name]))
	}
	err := replaceFile(filepath.Join(s.dir, "postgresql.conf"), []byte(b.String()), 0o644)
	return cmp.Or(err, replaceFile(filepath.Join(s.dir, "pg_hba.conf"), []byte(hba), 0o644))
}

var confEscape = strings.NewReplacer(`\`, `\\`, `'`, `''`)

const hba = `# TYPE     DATABASE USER ADDRESS       METHOD
hostnossl all      all  all           reject
hostssl   all      all  127.0.0.1/32  scram-sha-256
`
