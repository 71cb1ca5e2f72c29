package postgres_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/connectors/postgres"
)

// slowConn is a connection some of whose writes take so long that the driver reads in
// the background meanwhile: they return once it has read the answer, and reads on.
type slowConn struct {
	net.Conn

	mu      sync.Mutex // guards what follows
	changed sync.Cond  // of mu
	slow    int        // writes to come that are
	heard   bool       // something was read since the last of them
	reading int        // calls of Read that have not returned
}

func (c *slowConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.reading++
	c.changed.Broadcast()
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading--
	c.heard = true
	c.changed.Broadcast()
	return n, err
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slow := c.slow > 0
	if slow {
		c.slow--
		c.heard = false
	}
	n, err := c.Conn.Write(p)
	for slow && err == nil && !(c.heard && c.reading > 0) {
		c.changed.Wait()
	}
	return n, err
}

// A machine under load writes slowly, and then the driver reads ahead. A connection
// that is taken over while it does loses the answer to the first statement.
func TestAdoptedConnIsReadByNobodyElse(t *testing.T) {
	config, err := pgconn.ParseConfig(server.URL(server.Superuser(), "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	var under *slowConn
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		under = &slowConn{Conn: c}
		under.changed.L = &under.mu
		return under, err
	}
	c, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	under.mu.Lock()
	under.slow = 1 // all that is asked before
	under.mu.Unlock()
	conn, err := postgres.Adopt(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	under.mu.Lock()
	defer under.mu.Unlock()
	if under.slow > 0 {
		t.Errorf("%d writes less than expected", under.slow)
	}
	if under.reading > 0 {
		t.Error("somebody else reads what the target answers next")
	}
}
