package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// tunnel forwards ports to targets with a real ssh client, as a person would, and
// waits until it listens. It ends with the test.
func (c *testCompany) tunnel(t *testing.T, name string, args ...string) {
	t.Helper()
	line := c.ssh(name, append([]string{"-N", "-o", "ExitOnForwardFailure=yes", "-v"}, args...)...)
	cmd := exec.Command(line[0], line[1:]...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	ready, said := make(chan bool, 1), &strings.Builder{}
	go func() { // ends with the client
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			said.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "Entering interactive session") {
				select {
				case ready <- true:
				default:
				}
			}
		}
		close(ready)
	}()
	if ok := <-ready; !ok {
		t.Fatalf("ssh did not stay: %s", said)
	}
}

// freePort finds a free port for a client to listen at.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// psql runs the real psql against an address of the tunnel.
func psql(t *testing.T, host string, port int, database string, args ...string) result {
	t.Helper()
	conn := fmt.Sprintf("host=%s port=%d dbname=%s user=alice connect_timeout=20", host, port, database)
	return execute(t, "", append([]string{"env", "PGPASSWORD=anything", "psql", "-X", conn}, args...)...)
}

// Native clients use the same gate as everybody: through -L to a port, through -L
// to a Unix socket, and with the approval of others.
func TestNativeClients(t *testing.T) {
	c := opens(t)
	c.known(t, "alice", "rita", "axel")
	at, socket := freePort(t), filepath.Join(t.TempDir(), ".s.PGSQL.5432")
	c.tunnel(t, "alice", "-L", fmt.Sprintf("%d:shop-production:5432", at), "-L", socket+":shop-staging:5432")

	r := psql(t, "127.0.0.1", at, "shop_production", "-c", "select id, name, email from customers where id = 7")
	if r.code != 0 || !strings.Contains(r.out, "g***@example.com") || !strings.Contains(r.err, "masked: email") {
		t.Errorf("a masked answer: %s", r)
	}
	if r := psql(t, filepath.Dir(socket), 5432, "shop_staging", "-At", "-c", "select count(*) from customers", "-c", "table pg_am limit 0"); r.code != 0 || !regexp.MustCompile(`^\d+\n$`).MatchString(r.out) {
		t.Errorf("through a socket: %s", r)
	}
	if r := psql(t, "127.0.0.1", at, "shop_production", "-c", "delete from payments"); r.code != 1 || !strings.Contains(r.err, "production/no-unbounded-writes") || !strings.Contains(r.err, "HINT:  add a WHERE") {
		t.Errorf("a refusal: %s", r)
	}
	if n := c.asked("delete from payments"); n != 0 {
		t.Error("a refused statement reached the target")
	}
	if r := psql(t, "127.0.0.1", at, "somewhere", "-c", "select 1"); r.code != 2 || !strings.Contains(r.err, `has the database "shop_production" for you`) {
		t.Errorf("another database: %s", r)
	}
	if r := psql(t, "127.0.0.1", at, "shop_production", "-c", "select session_user"); strings.Contains(r.out+r.err, "password") {
		t.Errorf("%s", r)
	}

	// A statement waits for approval, and runs in the connection that waits.
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://alice@127.0.0.1:%d/shop_production?sslmode=disable&options=-c%%20sallyport.reason%%3Da%%5C%%20customer%%5C%%20moved", at))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "update customers set city = $1 where id = $2", "Bonn", 11)
		done <- err
	}()
	number := c.waitsFor(t, "rita", "update customers set city = $1 where id = $2")
	shown := c.runs(t, "rita", "requests "+number)
	if !strings.Contains(shown.out, "$1 = Bonn") || !strings.Contains(shown.out, "$2 = 11") || !strings.Contains(shown.out, "a customer moved") {
		t.Errorf("the approver does not see all that runs: %s", shown)
	}
	// Who decides has it tried, with exactly these parameters, and it is taken back.
	before := c.query(t, "select city from customers where id = 11")
	if r := c.runs(t, "rita", "preview "+number); r.code != 0 || !strings.Contains(r.out, "1 row") || !strings.Contains(r.out, "request "+number+" still waits") {
		t.Errorf("a preview with parameters: %s", r)
	}
	if r := c.runs(t, "alice", "preview "+number); r.code != 3 {
		t.Errorf("alice has her own tried: %s", r)
	}
	if after := c.query(t, "select city from customers where id = 11"); after != before || strings.Contains(after, "Bonn") {
		t.Errorf("the preview left %s, where %s was", after, before)
	}
	if r := c.runs(t, "alice", "approve "+number); r.code != 3 {
		t.Errorf("alice approves her own: %s", r)
	}
	if r := c.runs(t, "rita", "approve "+number); r.code != 0 {
		t.Fatalf("rita approves: %s", r)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := c.query(t, "select city from customers where id = 11"); !strings.Contains(got, "Bonn") {
		t.Errorf("the database has %s", got)
	}
	// The approval was for these parameters, and for once.
	if _, err := conn.Exec(t.Context(), "set statement_timeout = '200ms'"); err != nil {
		t.Fatal(err)
	}
	for _, city := range []string{"Ulm", "Bonn"} {
		_, err := conn.Exec(t.Context(), "update customers set city = $1 where id = $2", city, 11)
		if err == nil || !strings.Contains(err.Error(), "57014") {
			t.Errorf("%s: %v", city, err)
		}
	}

	// The auditor reads it like any session.
	list := c.runs(t, "axel", "recordings --json --target shop-production")
	id := regexp.MustCompile(`"id":"([a-z0-9]+)"`).FindStringSubmatch(list.out)
	if id == nil {
		t.Fatalf("no recording: %s", list)
	}
	if r := c.runs(t, "axel", "text "+id[1]); !strings.Contains(r.out, "update customers set city = $1") {
		t.Errorf("the recording: %s", r)
	}
	if r := c.runs(t, "axel", "events --json"); !strings.Contains(r.out, `"params":["Bonn","11"]`) {
		t.Errorf("events have no parameters: %.2000s", r.out)
	}
}

// waitsFor waits until somebody's queue holds a request with the text, and returns
// its number.
func (c *testCompany) waitsFor(t *testing.T, name, text string) string {
	t.Helper()
	for {
		r := c.runs(t, name, "requests --json")
		for line := range strings.Lines(r.out) {
			if strings.Contains(line, text) && strings.Contains(line, `"state":"pending"`) {
				if n := regexp.MustCompile(`"id":(\d+)`).FindStringSubmatch(line); n != nil {
					return n[1]
				}
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("nobody asked")
		}
	}
}

// SOCKS resolves the target's name inside the bastion, and people reach only what
// they may.
func TestSOCKS(t *testing.T) {
	c := opens(t)
	c.known(t, "alice", "axel")
	at := freePort(t)
	c.tunnel(t, "alice", "-D", fmt.Sprint(at))
	d := socks{fmt.Sprintf("127.0.0.1:%d", at)}
	config, err := pgx.ParseConfig("postgres://alice@shop-staging:5432/shop_staging?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.DialFunc, config.LookupFunc = d.dial, d.lookup
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), "select 41 + 1").Scan(&n); err != nil || n != 42 {
		t.Error(n, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	other := freePort(t)
	c.tunnel(t, "axel", "-D", fmt.Sprint(other))
	for _, address := range []string{"shop-staging:5432", "127.0.0.1:22", "169.254.169.254:80", "localhost:5432", "shop-staging:22"} {
		if c, err := (socks{fmt.Sprintf("127.0.0.1:%d", other)}).dial(t.Context(), "tcp", address); err == nil {
			c.Close()
			t.Errorf("axel reached %s", address)
		}
	}
}

// socks dials through a SOCKS5 proxy (RFC 1928) that resolves names.
type socks struct{ address string }

func (socks) lookup(_ context.Context, host string) ([]string, error) { return []string{host}, nil }

func (s socks) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, s.address)
	if err != nil {
		return nil, err
	}
	request := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...)
	if _, err := c.Write(append(request, byte(n>>8), byte(n))); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	answer := make([]byte, 2+10)
	if _, err := io.ReadFull(c, answer); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if answer[3] != 0 {
		return nil, errors.Join(fmt.Errorf("the proxy answers %d", answer[3]), c.Close())
	}
	return c, nil
}
