package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/bastion/demo/pgserver"
)

var updateCompat = flag.Bool("update-compat", false, "write the golden files anew")

// compat is two databases with the same in them and two doors: one is reached
// directly, the other through the bastion, whose policy lets everything through.
// What a client sees at one it should see at the other.
type compat struct {
	direct, through string // connection strings
	socket          string // the directory of a forwarded Unix socket
	database        *pgserver.Server
}

// TestCompat compares what clients see at the two doors. Other projects' own tests are
// compared by make compat.
func TestCompat(t *testing.T) {
	c := opensCompat(t)
	t.Run("psql", c.psql)
	t.Run("differences", c.differences)
	t.Run("protocol", c.protocol)
	t.Run("driver", c.driver)
}

// opensCompat starts both.
func opensCompat(t *testing.T) compat {
	t.Helper()
	// PostgreSQL runs as a user of its own, who cannot reach t.TempDir.
	dir, err := os.MkdirTemp("", "sallyport-compat-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	policy, err := os.ReadFile("../../testdata/compat/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), policy, 0o600); err != nil {
		t.Fatal(err)
	}
	c := opens(t, func(o *demo.Options) { o.Dir, o.Settings = dir, map[string]string{"max_connections": "50"} })
	c.known(t, "alice")
	app := c.Database.App()
	for _, db := range []string{pgserver.Staging, pgserver.Production} {
		if _, err := c.Database.Query(t.Context(), db, fmt.Sprintf("grant create on database %s to %s", db, app.User)); err != nil {
			t.Fatal(err)
		}
	}
	port, socket := c.forwards(t, dir)
	u := url.URL{Scheme: "postgres", User: url.UserPassword("alice", "any"), Host: "127.0.0.1:" + port, Path: "/" + pgserver.Staging, RawQuery: "sslmode=disable"}
	return compat{direct: c.Database.URL(app, pgserver.Production), through: u.String(), socket: socket, database: c.Database}
}

// forwards has alice's client forward a port and a Unix socket to the staging
// target, and returns the port and the directory of the socket.
func (c *testCompany) forwards(t *testing.T, dir string) (port, socket string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(addr)
	argv := c.ssh("alice", "-N", "-o", "ExitOnForwardFailure=yes", "-L", addr+":shop-staging:5432", "-L", filepath.Join(dir, ".s.PGSQL.5432")+":shop-staging:5432")
	cmd := exec.Command(argv[0], argv[1:]...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-gone
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		// It listens once it has logged in.
		if c, err := net.Dial("tcp", addr); err == nil {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			return port, dir
		}
		select {
		case <-tick.C:
		case err := <-gone:
			gone <- err
			t.Fatalf("ssh ends: %v: %s", err, said.String())
		case <-deadline:
			t.Fatal("ssh does not forward")
		}
	}
}

// bothDoors runs something at both doors at once and returns what it made of each.
func bothDoors[T any](t *testing.T, c compat, run func(context.Context, string) (T, error)) (direct, through T) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var g errgroup.Group
	for _, d := range []struct {
		name, url string
		to        *T
	}{{"direct", c.direct, &direct}, {"through the bastion", c.through, &through}} {
		g.Go(func() (err error) {
			if *d.to, err = run(ctx, d.url); err != nil {
				err = fmt.Errorf("%s: %w", d.name, err)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return direct, through
}

// alike fails the test where the two differ, and shows the first place.
func alike(t *testing.T, what, direct, through string) {
	t.Helper()
	if direct == through {
		return
	}
	d, b := strings.Split(direct, "\n"), strings.Split(through, "\n")
	i := 0
	for i < len(d) && i < len(b) && d[i] == b[i] {
		i++
	}
	show := func(lines []string) string {
		const before, after, wide = 3, 6, 300
		var s strings.Builder
		for n, l := range lines[min(len(lines), max(0, i-before)):min(len(lines), i+after)] {
			if len(l) > wide {
				l = l[:wide] + "…"
			}
			fmt.Fprintf(&s, "%5d %s\n", max(0, i-before)+n+1, l)
		}
		return s.String()
	}
	t.Errorf("%s differs from line %d on.\ndirectly:\n%sthrough the bastion:\n%s", what, i+1, show(d), show(b))
}

// perSession is what is different at every connection: the numbers of server
// processes and of schemas for what is temporary.
var perSession = regexp.MustCompile(`(PID |pg_temp_)\d+`)

func psqlScript(ctx context.Context, conn, script string) (out, errs string, err error) {
	cmd := exec.CommandContext(ctx, "psql", "-X", "-a", "-f", script, conn)
	cmd.Dir = "../../testdata/compat/psql"
	cmd.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8", "LC_ALL=C.UTF-8", "PSQL_PAGER=", "PAGER=")
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 && ctx.Err() == nil {
		fmt.Fprintf(&e, "exit %d\n", exit.ExitCode()) // psql's own, which is compared as well
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("%w, after: %s%s", err, tail(o.String()), tail(e.String()))
	}
	return perSession.ReplaceAllString(o.String(), "${1}N"), perSession.ReplaceAllString(e.String(), "${1}N"), err
}

// tail is the last that was printed.
func tail(s string) string { return s[max(0, len(s)-500):] }

// psql prints the same at both doors, byte for byte.
func (c compat) psql(t *testing.T) {
	c.through = fmt.Sprintf("host=%s user=alice dbname=%s", c.socket, pgserver.Staging)
	scripts, err := filepath.Glob("../../testdata/compat/psql/*.sql")
	if err != nil || len(scripts) == 0 {
		t.Fatal(err, scripts)
	}
	for _, path := range scripts {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			type printed struct{ out, errs string }
			// Each begins with nothing, also where one before it broke off.
			for _, db := range []string{pgserver.Staging, pgserver.Production} {
				if _, err := c.database.Query(t.Context(), db, "drop schema if exists compat cascade"); err != nil {
					t.Fatal(err)
				}
			}
			d, b := bothDoors(t, c, func(ctx context.Context, conn string) (p printed, err error) {
				p.out, p.errs, err = psqlScript(ctx, conn, name)
				return p, err
			})
			alike(t, "standard output", d.out, b.out)
			alike(t, "standard error", d.errs, b.errs)
		})
	}
}

// What is meant to be different is written down: testdata/compat/differences.md says why.
func (c compat) differences(t *testing.T) {
	out, errs, err := psqlScript(t.Context(), c.through, "../different.psql")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "../../testdata/compat/different.golden"
	got := out + "--- standard error\n" + regexp.MustCompile(`port \d+`).ReplaceAllString(errs, "port N")
	for _, e := range differentExchanges() {
		said, err := e.run(t.Context(), c.through)
		if err != nil {
			t.Fatal(err)
		}
		got += "--- " + e.name + "\n" + said
	}
	if *updateCompat {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	alike(t, "the answer", string(want), got)
}

// A client that speaks the protocol by hand gets the same messages at both doors.
func (c compat) protocol(t *testing.T) {
	for _, e := range exchanges() {
		t.Run(e.name, func(t *testing.T) {
			d, b := bothDoors(t, c, func(ctx context.Context, conn string) (string, error) {
				return e.run(ctx, conn)
			})
			alike(t, "the transcript", d, b)
		})
	}
}

// A driver's own ways: modes, batches, COPY, large objects, notifications, cancel.
func (c compat) driver(t *testing.T) {
	for name, run := range map[string]func(context.Context, *pgx.Conn, io.Writer) error{
		"modes": driverModes, "batch": driverBatch, "copy": driverCopy, "large object": driverLargeObject,
		"notifications": driverNotifications, "cancel": driverCancel, "transactions": driverTransactions,
	} {
		t.Run(name, func(t *testing.T) {
			d, b := bothDoors(t, c, func(ctx context.Context, conn string) (string, error) {
				db, err := pgx.Connect(ctx, conn)
				if err != nil {
					return "", err
				}
				var out strings.Builder
				err = run(ctx, db, &out)
				return out.String(), errors.Join(err, db.Close(context.WithoutCancel(ctx)))
			})
			alike(t, "what the driver saw", d, b)
			if d == "" {
				t.Error("the driver saw nothing")
			}
		})
	}
}

func wrote(w io.Writer, what string, err error) {
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		fmt.Fprintf(w, "%s: %s\n", what, perSession.ReplaceAllString(fmt.Sprintf("%+v", *e), "${1}N"))
		return
	}
	fmt.Fprintf(w, "%s: %v\n", what, err)
}

func driverModes(ctx context.Context, c *pgx.Conn, w io.Writer) error {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		for range 3 {
			rows, err := c.Query(ctx, "select id, name, created_at, notes from customers where id between $1 and $2 order by id", mode, 5, 9)
			if err != nil {
				return err
			}
			for rows.Next() {
				v, err := rows.Values()
				if err != nil {
					return err
				}
				fmt.Fprintln(w, mode, v)
			}
			wrote(w, rows.CommandTag().String(), rows.Err())
		}
		_, err := c.Exec(ctx, "select 1 / $1::int", mode, 0)
		wrote(w, "division", err)
		_, err = c.Exec(ctx, "select * from nowhere where id = $1", mode, 1)
		wrote(w, "nowhere", err)
		tag, err := c.Exec(ctx, "update customers set notes = notes where id = $1", mode, 7)
		wrote(w, tag.String(), err)
	}
	var n int
	var s string
	err := c.QueryRow(ctx, "select $1::int, $2::text", 1<<20, strings.Repeat("long ", 200_000)).Scan(&n, &s)
	fmt.Fprintln(w, n, len(s))
	return err
}

func driverBatch(ctx context.Context, c *pgx.Conn, w io.Writer) error {
	if _, err := c.Exec(ctx, "create temp table batched (id int primary key, name text)"); err != nil {
		return err
	}
	b := &pgx.Batch{}
	for i := range 200 {
		b.Queue("insert into batched values ($1, $2)", i, "row "+strconv.Itoa(i))
	}
	b.Queue("select count(*), sum(id) from batched")
	r := c.SendBatch(ctx, b)
	for range 200 {
		tag, err := r.Exec()
		wrote(w, tag.String(), err)
	}
	var count, sum int
	err := r.QueryRow().Scan(&count, &sum)
	fmt.Fprintln(w, count, sum)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	b = &pgx.Batch{}
	b.Queue("insert into batched values (1000, 'kept?')")
	b.Queue("insert into batched values (1, 'twice')")
	b.Queue("insert into batched values (1001, 'never')")
	wrote(w, "batch with an error", c.SendBatch(ctx, b).Close())
	err = c.QueryRow(ctx, "select count(*) from batched").Scan(&count)
	fmt.Fprintln(w, count)
	return err
}

func driverCopy(ctx context.Context, c *pgx.Conn, w io.Writer) error {
	if _, err := c.Exec(ctx, "create temp table copied (id int8, name text, n numeric, at timestamptz, b bytea, a int4[])"); err != nil {
		return err
	}
	n, err := c.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"id", "name", "n", "at", "b", "a"}, pgx.CopyFromSlice(20_000, func(i int) ([]any, error) {
		return []any{i, fmt.Sprint("name ", i), i / 2, time.Unix(int64(i), 0).UTC(), []byte{byte(i)}, []int{i, i + 1}}, nil
	}))
	wrote(w, fmt.Sprint("copied ", n), err)
	_, err = c.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"id"}, pgx.CopyFromSlice(10, func(i int) ([]any, error) {
		if i == 5 {
			return nil, errors.New("the source ends early")
		}
		return []any{i}, nil
	}))
	wrote(w, "a source that fails", err)
	var digest string
	if err := c.QueryRow(ctx, "select md5(string_agg(c::text, '' order by id)) from copied c").Scan(&digest); err != nil {
		return err
	}
	fmt.Fprintln(w, digest)
	var out strings.Builder
	tag, err := c.PgConn().CopyTo(ctx, &out, "copy (select * from copied order by id) to stdout with (format binary)")
	wrote(w, tag.String(), err)
	fmt.Fprintln(w, out.Len())
	tag, err = c.PgConn().CopyFrom(ctx, strings.NewReader("1,x\n2,\"y\nz\"\n"), "copy copied (id, name) from stdin with csv")
	wrote(w, tag.String(), err)
	tag, err = c.PgConn().CopyFrom(ctx, strings.NewReader("1,x\nnot a number,y\n"), "copy copied (id, name) from stdin with csv")
	wrote(w, tag.String(), err)
	return nil
}

func driverLargeObject(ctx context.Context, c *pgx.Conn, w io.Writer) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	objects := tx.LargeObjects()
	if _, err := objects.Create(ctx, 424242); err != nil {
		return err
	}
	o, err := objects.Open(ctx, 424242, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	if err != nil {
		return err
	}
	if _, err := io.Copy(o, strings.NewReader(strings.Repeat("large ", 100_000))); err != nil {
		return err
	}
	at, err := o.Seek(-12, io.SeekEnd)
	if err != nil {
		return err
	}
	rest, err := io.ReadAll(o)
	fmt.Fprintln(w, at, string(rest), err)
	fmt.Fprintln(w, o.Truncate(10), o.Close(), objects.Unlink(ctx, 424242))
	return tx.Rollback(ctx)
}

func driverNotifications(ctx context.Context, c *pgx.Conn, w io.Writer) error {
	other, err := pgx.ConnectConfig(ctx, c.Config())
	if err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "listen heard"); err != nil {
		return err
	}
	for _, payload := range []string{"one", "", "drei ☃"} {
		if _, err := other.Exec(ctx, "select pg_notify('heard', $1)", payload); err != nil {
			return err
		}
		// It comes while the connection is idle.
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, n.Channel, n.Payload)
	}
	return other.Close(ctx)
}

func driverCancel(ctx context.Context, c *pgx.Conn, w io.Writer) error {
	// Only when the statement runs can it be cancelled: another connection looks.
	other, err := pgx.ConnectConfig(ctx, c.Config())
	if err != nil {
		return err
	}
	defer other.Close(ctx)
	var pid int
	if err := c.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid); err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, "select pg_sleep(600)")
		ran <- err
	}()
	for running := false; !running; {
		if err := other.QueryRow(ctx, "select exists (select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep')", pid).Scan(&running); err != nil {
			return err
		}
	}
	if err := c.PgConn().CancelRequest(ctx); err != nil {
		return err
	}
	wrote(w, "cancelled", <-ran)
	var n int
	err = c.QueryRow(ctx, "select 42").Scan(&n)
	fmt.Fprintln(w, n)
	return err
}

func driverTransactions(ctx context.Context, c *pgx.Conn, w io.Writer) error {
	for _, o := range []pgx.TxOptions{{}, {IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable}} {
		tx, err := c.BeginTx(ctx, o)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "create temp table written (i int)")
		wrote(w, "create", err)
		inner, err := tx.Begin(ctx)
		wrote(w, "savepoint", err)
		if err == nil {
			_, err = inner.Exec(ctx, "select 1/0")
			wrote(w, "division", err)
			wrote(w, "rollback to", inner.Rollback(ctx))
		}
		wrote(w, "commit", tx.Commit(ctx))
		fmt.Fprintf(w, "%c\n", c.PgConn().TxStatus())
	}
	// Many at once, each on its own.
	var g errgroup.Group
	var mu sync.Mutex
	sums := map[int]int{}
	for i := range 4 {
		g.Go(func() error {
			conn, err := pgx.ConnectConfig(ctx, c.Config())
			if err != nil {
				return err
			}
			for n := range 50 {
				var got int
				if err := conn.QueryRow(ctx, "select $1::int * $2::int", i, n).Scan(&got); err != nil {
					return err
				}
				mu.Lock()
				sums[i] += got
				mu.Unlock()
			}
			return conn.Close(ctx)
		})
	}
	err := g.Wait()
	fmt.Fprintln(w, sums)
	return err
}

// exchange is what a client sends, in batches, and for each the message that ends
// the answer.
type exchange struct {
	name    string
	batches []exchangeBatch
}

type exchangeBatch struct {
	messages []pgproto3.FrontendMessage
	ends     string // the type of the last message of the answer
	times    int    // how many of those there are
}

// run runs the exchange on a connection of its own and writes down what the
// server said.
func (e exchange) run(ctx context.Context, conn string) (string, error) {
	c, err := pgconn.Connect(ctx, conn)
	if err != nil {
		return "", err
	}
	h, err := c.Hijack()
	if err != nil {
		return "", err
	}
	defer h.Conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := h.Conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	w := &transcript{}
	for _, b := range e.batches {
		for _, m := range b.messages {
			h.Frontend.Send(m)
		}
		if err := h.Frontend.Flush(); err != nil {
			return "", err
		}
		for left := b.times; left > 0; {
			m, err := h.Frontend.Receive()
			if err != nil {
				return "", fmt.Errorf("waiting for %s %d times: %w; so far:\n%s", b.ends, b.times, err, w.b.String())
			}
			if w.message(m) == b.ends {
				left--
			}
		}
		fmt.Fprintln(&w.b, "--")
	}
	h.Frontend.Send(&pgproto3.Terminate{})
	if err := h.Frontend.Flush(); err != nil {
		return "", err
	}
	// After Terminate there is nothing but the end.
	if m, err := h.Frontend.Receive(); err == nil {
		w.message(m)
	}
	return w.b.String(), nil
}
