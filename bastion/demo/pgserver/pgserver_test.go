package pgserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion/demo/pgserver"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// shared has both of the demo's databases. Tests that change something take one of
// their own from Fill.
var shared *pgserver.Server

func TestMain(m *testing.M) {
	flag.Parse()
	if dir := os.Getenv("PGSERVER_TEST_VICTIM"); dir != "" {
		victim(dir)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	var err error
	shared, err = pgserver.Start(context.Background(), pgserver.Options{
		Databases: []string{pgserver.Staging, pgserver.Production},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// victim is a program with a server that gets killed.
func victim(dir string) {
	if _, err := pgserver.Start(context.Background(), pgserver.Options{Dir: dir}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

// openDir is a directory that the server's user can reach, as t.TempDir is not for root.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func query(t *testing.T, s *pgserver.Server, database, sql string) [][]string {
	t.Helper()
	rows, err := s.Query(t.Context(), database, sql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func value(t *testing.T, s *pgserver.Server, database, sql string) string {
	t.Helper()
	rows := query(t, s, database, sql)
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: got %q, want one value", sql, rows)
	}
	return rows[0][0]
}

// processes lists those that serve dir.
func processes(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range all {
		// Workers stay in the data directory, whatever they call themselves.
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if strings.HasPrefix(cwd, dir) || bytes.Contains(cmdline, []byte(dir)) {
			found = append(found, filepath.Base(p)+" "+string(cmdline))
		}
	}
	return found
}

// waitGone waits for real processes to end; they cannot tell us.
func waitGone(t *testing.T, dir string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(processes(t, dir)) > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still running: %q", processes(t, dir))
		}
	}
}

func pgCode(err error) string {
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		return p.Code
	}
	return fmt.Sprintf("no error of the server's: %v", err)
}

func TestEncryption(t *testing.T) {
	url := shared.URL(shared.App(), pgserver.Staging)
	host, port, err := net.SplitHostPort(shared.Addr())
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("Addr() = %q, %v", shared.Addr(), err)
	}
	for _, name := range []string{"127.0.0.1", "localhost"} {
		conn, err := pgx.Connect(t.Context(), strings.Replace(url, shared.Addr(), net.JoinHostPort(name, port), 1))
		if err != nil {
			t.Errorf("verified connection to %q: %v", name, err)
			continue
		}
		var tls bool
		err = conn.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&tls)
		if err != nil || !tls {
			t.Errorf("connection to %q: encrypted %v, %v", name, tls, err)
		}
		conn.Close(t.Context())
	}

	t.Run("plain text", func(t *testing.T) {
		_, err := pgx.Connect(t.Context(), strings.Replace(url, "verify-full", "disable", 1))
		if got := pgCode(err); got != "28000" { // invalid_authorization_specification, before any password
			t.Errorf("got %s, want 28000", got)
		}
	})
	t.Run("other authority", func(t *testing.T) {
		other := pgserver.ForTest(t, pgserver.Options{})
		// The other server's URL, with the address of this one.
		_, err := pgx.Connect(t.Context(), strings.Replace(other.URL(shared.App(), pgserver.Staging), other.Addr(), shared.Addr(), 1))
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
			t.Errorf("got %v, want an unknown authority", err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		for _, login := range []pgserver.Login{
			{User: shared.App().User, Password: "shop_app"},
			{User: shared.App().User, Password: shared.Superuser().Password},
			{User: shared.Superuser().User, Password: "postgres"},
		} {
			_, err := pgx.Connect(t.Context(), shared.URL(login, pgserver.Staging))
			if got := pgCode(err); got != "28P01" { // invalid_password
				t.Errorf("%v: got %s, want 28P01", login, got)
			}
		}
	})
	if got := value(t, shared, "postgres", "SELECT string_agg(left(rolpassword, 14), ' ') FROM pg_authid WHERE rolcanlogin"); got != "SCRAM-SHA-256$ SCRAM-SHA-256$" {
		t.Errorf("passwords are kept as %q", got)
	}
}

func TestLoginHidesPassword(t *testing.T) {
	l := shared.Superuser()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, x := range []any{l, &l, []pgserver.Login{l}} {
			if got := fmt.Sprintf(format, x); strings.Contains(got, l.Password) || !strings.Contains(got, l.User) && x != any(&l) {
				t.Errorf("%s of %T prints %s", format, x, got)
			}
		}
	}
}

func TestAppRole(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), shared.URL(shared.App(), shared.Fresh(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))

	for _, sql := range []string{
		"INSERT INTO customers (name, email, city, country) VALUES ('Neu Hier', 'neu@example.com', 'Bonn', 'DE')",
		"UPDATE customers SET city = 'Potsdam' WHERE id = 7",
		"DELETE FROM payments WHERE id = 1",
		"TRUNCATE audit_log",
		"ALTER TABLE customers ADD COLUMN loyalty integer",
		"CREATE TABLE scratch AS SELECT 1 AS one",
		"CREATE INDEX ON orders (status)",
		"REFRESH MATERIALIZED VIEW daily_revenue",
		"DROP VIEW customer_overview",
		"DROP FUNCTION last_card(integer)",
		"DROP TABLE payments CASCADE",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"SELECT pg_read_file('PG_VERSION')",
		"COPY customers FROM '/etc/passwd'",
		"COPY customers TO PROGRAM 'cat'",
		"SELECT rolpassword FROM pg_authid",
		"CREATE ROLE another",
		"CREATE DATABASE another",
		"DROP DATABASE " + pgserver.Production,
		"ALTER SYSTEM SET fsync = on",
		"SET ROLE postgres",
		"SET SESSION AUTHORIZATION postgres",
		"CREATE SCHEMA another",
	} {
		_, err := conn.Exec(t.Context(), sql)
		if got := pgCode(err); got != "42501" { // insufficient_privilege
			if !(strings.HasPrefix(sql, "DROP DATABASE") && strings.Contains(err.Error(), "must be owner")) {
				t.Errorf("%s: got %s, want 42501", sql, got)
			}
		}
	}
	if got := value(t, shared, pgserver.Staging, "SELECT city FROM customers WHERE id = 7"); got != "Berlin" {
		t.Errorf("a change in one database shows in another: city %q", got)
	}
}

func TestFresh(t *testing.T) {
	var names []string
	t.Run("inner", func(t *testing.T) {
		names = append(names, shared.Fresh(t), shared.Fresh(t))
		query(t, shared, names[0], "UPDATE customers SET city = 'Potsdam' WHERE id = 7")
		if got := value(t, shared, names[1], "SELECT city FROM customers WHERE id = 7"); got != "Berlin" {
			t.Errorf("city %q", got)
		}
		// A session that a test forgot does not keep the database.
		if _, err := pgx.Connect(t.Context(), shared.URL(shared.App(), names[0])); err != nil {
			t.Error(err)
		}
	})
	for _, name := range names {
		if got := value(t, shared, "postgres", "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); got != "0" {
			t.Errorf("database %q is still there", name)
		}
	}
}

func TestSettings(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{Settings: map[string]string{"application_name": `it's a \ test`, "work_mem": "3MB"}})
	if got := value(t, s, "postgres", "SHOW application_name"); got != `it's a \ test` {
		t.Errorf("application_name is %q", got)
	}
	if got := value(t, s, "postgres", "SHOW work_mem"); got != "3MB" {
		t.Errorf("work_mem is %q", got)
	}
	_, err := pgserver.Start(t.Context(), pgserver.Options{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("unknown setting: got %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	s, err := pgserver.Start(t.Context(), pgserver.Options{Databases: []string{pgserver.Staging}})
	if err != nil {
		t.Fatal(err)
	}
	// A busy session must not hold it up.
	conn, err := pgx.Connect(t.Context(), s.URL(s.App(), pgserver.Staging))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	broken := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.WithoutCancel(t.Context()), "SELECT pg_sleep(3600)")
		broken <- err
	}()
	for value(t, s, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != "1" {
		select {
		case err := <-broken:
			t.Fatalf("the statement ended early: %v", err)
		default:
		}
	}
	if len(processes(t, s.Dir())) == 0 {
		t.Error("no process found for a running server: this test sees nothing")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := processes(t, s.Dir()); len(got) > 0 {
		t.Errorf("still running: %q", got)
	}
	if _, err := os.Lstat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary directory after Close: %v", err)
	}
	if err := <-broken; err == nil {
		t.Error("the statement of the open session did not fail")
	}
	<-s.Done()
}

func TestRestartKeepsData(t *testing.T) {
	dir := filepath.Join(openDir(t), "made", "by", "start's \\ \"own\"")
	options := pgserver.Options{Dir: dir, Databases: []string{"first"}}
	s := pgserver.ForTest(t, options)
	super, app := s.Superuser(), s.App()
	query(t, s, "first", "UPDATE customers SET city = 'Potsdam' WHERE id = 7")
	info, err := os.Stat(filepath.Join(s.Dir(), "passwords.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v", info.Mode(), err)
	}

	if _, err := pgserver.Start(t.Context(), options); err == nil || !strings.Contains(err.Error(), "another server uses this directory") {
		t.Errorf("second server in the same directory: %v", err)
	}
	if got := value(t, s, "first", "SELECT city FROM customers WHERE id = 7"); got != "Potsdam" {
		t.Errorf("after a second start was refused: city %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	options.Databases = append(options.Databases, "second")
	s = pgserver.ForTest(t, options)
	if s.Superuser() != super || s.App() != app {
		t.Error("passwords changed")
	}
	if got := value(t, s, "first", "SELECT city FROM customers WHERE id = 7"); got != "Potsdam" {
		t.Errorf("city %q, want what was written before the restart", got)
	}
	if got := value(t, s, "second", "SELECT city FROM customers WHERE id = 7"); got != "Berlin" {
		t.Errorf("new database beside an old one: city %q", got)
	}

	// The server itself is killed, as by the kernel when memory is short.
	query(t, s, "first", "UPDATE customers SET city = 'Erfurt' WHERE id = 7; CHECKPOINT")
	process, err := os.FindProcess(postmaster(t, s.Dir()))
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	waitGone(t, s.Dir())
	s = pgserver.ForTest(t, options)
	if got := value(t, s, "first", "SELECT city FROM customers WHERE id = 7"); got != "Erfurt" {
		t.Errorf("after a crash: city %q", got)
	}
}

func postmaster(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestHalfMadeClusterIsMadeAgain(t *testing.T) {
	dir := openDir(t)
	s := pgserver.ForTest(t, pgserver.Options{Dir: dir})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As if it had been killed in the middle of the first start.
	for _, name := range []string{"passwords.json", "data/PG_VERSION", "data/global"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s = pgserver.ForTest(t, pgserver.Options{Dir: dir, Databases: []string{pgserver.Staging}})
	if got := value(t, s, pgserver.Staging, "SELECT city FROM customers WHERE id = 7"); got != "Berlin" {
		t.Errorf("city %q", got)
	}
}

func TestForeignDirectoryIsLeftAlone(t *testing.T) {
	dir := openDir(t)
	for _, name := range []string{"data", "data/PG_VERSION"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := pgserver.Start(t.Context(), pgserver.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory now holds %v, %v", entries, err)
	}
}

// Root runs the server as another user, who is kept out by a private directory above.
func TestUnreachableDirectory(t *testing.T) {
	private := openDir(t)
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := pgserver.Start(t.Context(), pgserver.Options{Dir: filepath.Join(private, "state")})
	if os.Geteuid() != 0 {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "cannot reach") {
		t.Errorf("got %v, %v", s, err)
	}
}

// A killed program leaves no server behind, and the next one finds the data.
func TestParentKilled(t *testing.T) {
	dir := openDir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGSERVER_TEST_VICTIM="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Errorf("the program says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // killed, as it should be
	waitGone(t, filepath.Join(dir, "data"))
	s := pgserver.ForTest(t, pgserver.Options{Dir: dir, Databases: []string{pgserver.Staging}})
	value(t, s, pgserver.Staging, "SELECT city FROM customers WHERE id = 7")
}

// Process numbers come round: the one in a stale postmaster.pid may belong to anybody.
func TestStalePidOfStranger(t *testing.T) {
	dir := openDir(t)
	s := pgserver.ForTest(t, pgserver.Options{Dir: dir})
	lines, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stranger, err := pgserver.Stranger("sleep", "3600")
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stranger.Process.Kill()
		stranger.Wait()
	}()
	_, rest, _ := strings.Cut(string(lines), "\n")
	for name, text := range map[string]string{
		"a stranger's number": fmt.Sprintf("%d\n%s", stranger.Process.Pid, rest),
		"empty":               "",
		"no number":           "what\n",
		"one":                 "1\n",
		"minus one":           "-1\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			// The record of our own last process has the number, too, but another start time.
			record, err := os.ReadFile(filepath.Join(dir, "server.pid"))
			if err != nil {
				t.Fatal(err)
			}
			fields := strings.Fields(string(record))
			fields[1] = strconv.Itoa(stranger.Process.Pid)
			if err := os.WriteFile(filepath.Join(dir, "server.pid"), []byte(strings.Join(fields, " ")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := pgserver.ForTest(t, pgserver.Options{Dir: dir})
			value(t, s, "postgres", "SELECT 1")
			if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("the stranger: %v", err)
			}
		})
	}
}

// Somewhere the kernel cannot tell the server that its parent died. The next start
// ends it if it is surely ours, and asks otherwise.
func TestServerOfEarlierRun(t *testing.T) {
	dir := openDir(t)
	s := pgserver.ForTest(t, pgserver.Options{Dir: dir})
	bin, err := pgserver.Find()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	orphan, err := pgserver.Stranger(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"),
		"-c", "config_file="+filepath.Join(dir, "postgresql.conf"), "-c", "hba_file="+filepath.Join(dir, "pg_hba.conf"), "-p", port)
	if err != nil {
		t.Fatal(err)
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		orphan.Wait()
		close(ended)
	}()
	defer func() {
		orphan.Process.Kill()
		<-ended
	}()
	deadline := time.After(30 * time.Second)
	for {
		if _, err := s.Query(t.Context(), "postgres", "SELECT 1"); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the orphan does not answer")
		case <-ended:
			t.Fatal("the orphan ended")
		default:
		}
	}

	_, err = pgserver.Start(t.Context(), pgserver.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "was not started by this program") {
		t.Errorf("got %v, want a refusal", err)
	}
	if _, err := s.Query(t.Context(), "postgres", "SELECT 1"); err != nil {
		t.Errorf("the orphan after a refused start: %v", err)
	}

	if err := pgserver.Remember(dir, orphan.Process.Pid); err != nil {
		t.Fatal(err)
	}
	s = pgserver.ForTest(t, pgserver.Options{Dir: dir})
	<-ended
	value(t, s, "postgres", "SELECT 1")
}

func TestSideBySide(t *testing.T) {
	// An empty cache: all want to make the same cluster at the same time.
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	servers := make([]*pgserver.Server, 3)
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() {
			s, err := pgserver.Start(t.Context(), pgserver.Options{Databases: []string{pgserver.Staging}})
			if err != nil {
				t.Error(err)
				return
			}
			servers[i] = s
		})
	}
	wg.Wait()
	for _, s := range servers {
		if s != nil {
			defer s.Close()
		}
	}
	if t.Failed() {
		return
	}
	entries, err := filepath.Glob(filepath.Join(cache, "*", "*"))
	if err != nil || len(slices.DeleteFunc(entries, func(e string) bool { return strings.HasSuffix(e, ".lock") })) != 1 {
		t.Errorf("the cache holds %q, %v", entries, err)
	}
	query(t, servers[0], pgserver.Staging, "UPDATE customers SET city = 'Potsdam' WHERE id = 7")
	for i, s := range servers[1:] {
		if got := value(t, s, pgserver.Staging, "SELECT city FROM customers WHERE id = 7"); got != "Berlin" {
			t.Errorf("server %d sees a change made on another: %q", i+1, got)
		}
		if s.App().Password == servers[0].App().Password || s.Superuser().Password == servers[0].Superuser().Password {
			t.Error("two servers have the same password")
		}
	}
	// What the cache's copy opens with opens no server.
	password, err := os.ReadFile(filepath.Join(entries[0], "password"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = pgx.Connect(t.Context(), servers[0].URL(pgserver.Login{User: "postgres", Password: string(password)}, "postgres"))
	if got := pgCode(err); got != "28P01" {
		t.Errorf("login with the cache's password: got %s, want 28P01", got)
	}
}

// What is in the cache runs as the superuser, so nobody else may put something there.
func TestCacheOfOthersIsNotUsed(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir := filepath.Join(cache, "sallyport-pgserver")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s := pgserver.ForTest(t, pgserver.Options{Databases: []string{pgserver.Staging}})
	if got := value(t, s, pgserver.Staging, "SELECT city FROM customers WHERE id = 7"); got != "Berlin" {
		t.Errorf("city %q", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the directory of others holds %v, %v", entries, err)
	}
}

func TestPort(t *testing.T) {
	_, port, err := net.SplitHostPort(shared.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n >= 32768 {
		t.Errorf("port %q is one that outgoing connections use", port)
	}
	_, err = pgserver.Start(t.Context(), pgserver.Options{Port: n})
	if err == nil || !strings.Contains(err.Error(), "port "+port+" on 127.0.0.1: something else listens there") {
		t.Errorf("got %v, want the port and what to do", err)
	}
	s := pgserver.ForTest(t, pgserver.Options{})
	_, port, err = net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	if s = pgserver.ForTest(t, pgserver.Options{Port: n}); s.Addr() != "127.0.0.1:"+port {
		t.Errorf("listens on %s, want port %s", s.Addr(), port)
	}
}

// stopAt cancels when the log says something.
type stopAt struct {
	word   string
	cancel context.CancelFunc
}

func (s stopAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.word) {
		s.cancel()
	}
	return len(p), nil
}

func TestCancelledStart(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	temp := openDir(t)
	t.Setenv("TMPDIR", temp)
	for _, when := range []string{"before", "starting PostgreSQL"} {
		ctx, cancel := context.WithCancel(t.Context())
		log := io.Writer(stopAt{when, cancel})
		if when == "before" {
			cancel()
		}
		_, err := pgserver.Start(ctx, pgserver.Options{Log: log})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", when, err, context.Canceled)
		}
		if entries, err := os.ReadDir(temp); err != nil || len(entries) > 0 {
			t.Errorf("%s: left behind %v, %v", when, entries, err)
		}
		if got := processes(t, temp); len(got) > 0 {
			t.Errorf("%s: still running: %q", when, got)
		}
	}
}

func TestSweep(t *testing.T) {
	temp := openDir(t)
	t.Setenv("TMPDIR", temp)
	old := time.Now().Add(-time.Hour)
	s := pgserver.ForTest(t, pgserver.Options{})
	dead, young, other := filepath.Join(temp, pgserver.TempPrefix+"dead"), filepath.Join(temp, pgserver.TempPrefix+"young"), filepath.Join(temp, "other")
	for _, dir := range []string{dead, young, other} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pgserver.lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{dead, other, s.Dir()} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	pgserver.Sweep(temp)
	if _, err := os.Lstat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of a dead process: %v", err)
	}
	for _, dir := range []string{young, other, s.Dir()} {
		if _, err := os.Lstat(dir); err != nil {
			t.Error(err)
		}
	}
	value(t, s, "postgres", "SELECT 1")
}

func TestNotInstalled(t *testing.T) {
	_, err := pgserver.Start(t.Context(), pgserver.Options{BinDir: t.TempDir()})
	if !errors.Is(err, pgserver.ErrNotInstalled) || !strings.Contains(err.Error(), "install postgresql") {
		t.Errorf("got %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := pgserver.FindIn([]string{filepath.Join(t.TempDir(), "*", "bin")}); !errors.Is(err, pgserver.ErrNotInstalled) {
		t.Errorf("got %v", err)
	}
}

func TestFindNewest(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9.6", "15", "16", "100"} {
		bin := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{"initdb", "postgres"} {
			// Version 100 is half removed.
			if version == "100" && program == "postgres" {
				continue
			}
			if err := os.WriteFile(filepath.Join(bin, program), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", t.TempDir())
	places := []string{filepath.Join(root, "*", "bin")}
	if got, err := pgserver.FindIn(places); err != nil || got != filepath.Join(root, "16", "bin") {
		t.Errorf("got %q, %v", got, err)
	}

	// pg_config decides, but only if there is a server where it points.
	path := t.TempDir()
	t.Setenv("PATH", path)
	for version, want := range map[string]string{"15": "15", "100": "16"} {
		script := "#!/bin/sh\necho '" + filepath.Join(root, version, "bin") + "'\n"
		if err := os.WriteFile(filepath.Join(path, "pg_config"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := pgserver.FindIn(places); err != nil || got != filepath.Join(root, want, "bin") {
			t.Errorf("pg_config says %s: got %q, %v", version, got, err)
		}
	}
}
