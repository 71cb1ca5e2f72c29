package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// alone runs the test once more in a process of its own, where nothing that other tests
// left or began is counted, and returns true: then the test is over here.
func alone(t *testing.T) bool {
	t.Helper()
	const variable = "SALLYPORT_TEST_ALONE"
	if os.Getenv(variable) == t.Name() {
		return false
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
	c.Env = append(os.Environ(), variable+"="+t.Name())
	out, err := c.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")) {
		t.Errorf("%v\n%s", err, out)
	}
	return true
}

// heap measures how much memory is in use, at most, until the function that it returns
// is called, which says how much that was, in bytes. It is what the collector finds to be
// in use: how much garbage there is depends on how busy the machine is.
func heap() (most func() uint64) {
	before := debug.SetGCPercent(10) // look often
	live := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	runtime.GC()
	base := live()
	var top atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // until most is called
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if now := live(); now > base && now-base > top.Load() {
				top.Store(now - base)
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		debug.SetGCPercent(before)
		return top.Load()
	}
}

// spent fails the test if more memory was taken than a session may take at any moment.
func spent(t *testing.T, most uint64) {
	t.Helper()
	t.Logf("%d KiB at most", most>>10)
	if most > 64<<20 {
		t.Errorf("%d KiB were taken", most>>10)
	}
}

// drain reads messages until the server is ready, and counts the rows.
func drain(t *testing.T, k *talk) (rows int, size int64) {
	t.Helper()
	header := make([]byte, 5)
	for {
		if _, err := io.ReadFull(k.conn, header); err != nil {
			t.Fatal(err)
		}
		n := int64(header[1])<<24 | int64(header[2])<<16 | int64(header[3])<<8 | int64(header[4]) - 4
		if _, err := io.CopyN(io.Discard, k.conn, n); err != nil {
			t.Fatal(err)
		}
		switch header[0] {
		case 'D', 'd':
			rows++
			size += n
		case 'E':
			t.Fatal("the statement failed")
		case 'Z':
			return rows, size
		}
	}
}

func TestNativeMemoryStaysFlat(t *testing.T) {
	if alone(t) {
		return
	}
	setup := shop(t, "native_flow", labels...)
	setup.Forget = true
	_, url := listen(t, setup)
	k := raw(t, url)
	for name, c := range map[string]struct {
		text string
		rows int
	}{
		"rows":         {"SELECT g, repeat('x', 50) FROM generate_series(1, 1000000) g", 1_000_000},
		"masked rows":  {"SELECT g, email FROM generate_series(1, 20) g, customers", 0},
		"copy":         {"COPY (SELECT repeat('x', 200) FROM generate_series(1, 1000000)) TO STDOUT", 1_000_000},
		"masked copy":  {"COPY (SELECT email, repeat('x', 100) FROM generate_series(1, 20) g, customers) TO STDOUT", 0},
		"large values": {"SELECT repeat('x', 20000000) FROM generate_series(1, 10)", 10},
	} {
		t.Run(name, func(t *testing.T) {
			most := heap()
			k.SendQuery(&pgproto3.Query{String: c.text})
			if err := k.Flush(); err != nil {
				t.Fatal(err)
			}
			rows, size := drain(t, k)
			spent(t, most())
			t.Logf("%d rows, %d MB", rows, size/1e6)
			if c.rows > 0 && rows != c.rows || rows < 10 {
				t.Errorf("%d rows", rows)
			}
		})
	}
	t.Run("copy in", func(t *testing.T) {
		k.play("CREATE TEMP TABLE t (a text)", query("COPY t FROM STDIN"), until("G"))
		most := heap()
		row := bytes.Repeat([]byte("y"), 199)
		chunk := (&pgproto3.CopyData{Data: bytes.Repeat(append(row, '\n'), 100)})
		b, err := chunk.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 10_000 {
			if _, err := k.conn.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		lines := k.play(copyDone, ready{})
		spent(t, most())
		if lines[0] != "C COPY 1000000" {
			t.Errorf("%q", lines)
		}
	})
}

// TestNativePipelineUnread sends 100,000 statements before it reads an answer.
func TestNativePipelineUnread(t *testing.T) {
	if alone(t) {
		return
	}
	setup := shop(t, "native_pipeline")
	setup.Forget = true
	_, url := listen(t, setup)
	k := raw(t, url)
	k.play(parse("a", "SELECT $1::int"), sync_, ready{})
	one, err := bind("", "a", "7").Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if one, err = (&pgproto3.Execute{}).Encode(one); err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	most := heap()
	var sent atomic.Int64
	enough := make(chan struct{})
	go func() { // ends when all is sent, or the connection is gone
		many := bytes.Repeat(one, 100)
		for i := range n / 100 {
			if _, err := k.conn.Write(many); err != nil {
				return
			}
			sent.Add(int64(len(many)))
			if i == n/300 {
				close(enough)
			}
		}
		end, _ := (&pgproto3.Sync{}).Encode(nil)
		_, _ = k.conn.Write(end) // who reads sees whether it came through
	}()
	<-enough
	rows, _ := drain(t, k)
	spent(t, most())
	if rows != n {
		t.Errorf("%d rows for %d statements, %d bytes", rows, n, sent.Load())
	}
}

// TestNativeClientDoesNotRead: what a client does not read is not collected, and
// nobody else waits for it.
func TestNativeClientDoesNotRead(t *testing.T) {
	if alone(t) {
		return
	}
	setup := shop(t, "native_unread")
	setup.Forget = true
	l, url := listen(t, setup)
	slow, other := raw(t, url), connect(t, url)
	most := heap()
	slow.SendQuery(&pgproto3.Query{String: "SELECT repeat('x', 1000) FROM generate_series(1, 100000000)"})
	if err := slow.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		var n int
		if err := other.QueryRow(t.Context(), "SELECT 1").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	spent(t, most())
	// Not even the end of its session waits for it.
	why := errors.New("this session is over")
	l.End(why)
	gone(t, "native_unread")
}

// TestNativeManySessions lets sessions come and go, and run at once.
func TestNativeManySessions(t *testing.T) {
	setup := shop(t, "native_many", labels...)
	setup.Forget = true
	_, url := listen(t, setup)
	before := runtime.NumGoroutine()
	done := make(chan error)
	const clients = 8
	for i := range clients {
		go func() { // ends with its queries
			done <- func() error {
				for j := range 5 {
					c := connectAt(t, url)
					for k := range 50 {
						var name, email string
						if err := c.QueryRow(context.Background(), "SELECT name, email FROM customers WHERE id = $1", 1+(i+j+k)%50).Scan(&name, &email); err != nil {
							return err
						}
						if !strings.Contains(email, "***") {
							return fmt.Errorf("%s is not masked", email)
						}
					}
					if err := c.Close(context.Background()); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	settled(t, before)
}
