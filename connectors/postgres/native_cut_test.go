package postgres_test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// sent is messages of a client.
func sent(t testing.TB, messages ...any) []byte {
	t.Helper()
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.(pgproto3.FrontendMessage).Encode(b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// half connects, sends bytes, says that no more will come, and reads to the end.
func half(t *testing.T, addr string, bytes []byte) []byte {
	t.Helper()
	c := plainly(t, addr, bytes)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil && !strings.Contains(err.Error(), "reset") { // what it sent last may not have been read
		t.Fatal(err)
	}
	return b
}

// exchangeBytes is a client's part of a session with everything in it.
func exchangeBytes(t *testing.T) []byte {
	return sent(t, query("SELECT 1; SELECT 2"), parse("a", "SELECT $1::int"), describe('S', "a"), bind("p", "a", "7"), describe('P', "p"), run("p", 1), run("p"), closing('P', "p"), sync_,
		parse("", "SELECT nosuch"), bind("", ""), run(""), sync_, query("BEGIN; CREATE TEMP TABLE t (a int)"),
		query("COPY t FROM STDIN"), data("1\n2\n"), copyDone, query("COPY t FROM STDIN; SELECT count(*) FROM t"), data("3\n"), data("4\n"), copyFail, query("ROLLBACK"), &pgproto3.Terminate{})
}

// TestNativeCutShort has clients leave in the middle of every message. Each session
// ends, and takes no other with it.
func TestNativeCutShort(t *testing.T) {
	s := shop(t, "native_cut")
	s.Forget = true
	l, url := listen(t, s)
	witness := raw(t, url)
	all := slices.Concat(startup(3<<16, "user", "alice"), exchangeBytes(t))
	for n := 0; n < len(all); n += 7 {
		half(t, l.Addr, all[:n])
		if n%70 == 0 {
			if got := witness.play("SELECT 1"); len(got) != 4 || got[3] != "Z I" {
				t.Fatalf("another session, after %d of %d bytes: %q", n, len(all), got)
			}
		}
	}
}

// TestNativeByteByByte has a client that sends one byte at a time: it is answered as
// one that sends all at once.
func TestNativeByteByByte(t *testing.T) {
	s := shop(t, "native_bytes")
	l, _ := listen(t, s)
	begin, all := startup(3<<16, "user", "alice"), exchangeBytes(t)
	answer := func(b []byte) string {
		var lines []string
		f := pgproto3.NewFrontend(bytes.NewReader(b), io.Discard)
		for {
			m, err := f.Receive()
			if err != nil {
				return strings.Join(lines, "\n")
			}
			if _, ok := m.(*pgproto3.BackendKeyData); !ok {
				lines = append(lines, line(m))
			}
		}
	}
	atOnce := answer(half(t, l.Addr, slices.Concat(begin, all)))
	c := plainly(t, l.Addr)
	for _, b := range slices.Concat(begin, all) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	settings := func(s string) (kept string) { // they come in any order
		for l := range strings.Lines(s) {
			if !strings.HasPrefix(l, "S ") {
				kept += l
			}
		}
		return kept
	}
	if one := answer(b); settings(one) != settings(atOnce) || !strings.Contains(one, "C COPY 2") {
		t.Errorf("byte by byte:\n%s\nat once:\n%s", one, atOnce)
	}
}

// TestNativeHalfClosedCopy has a client leave in the middle of COPY's data: nothing of it
// stays.
func TestNativeHalfClosedCopy(t *testing.T) {
	s := shop(t, "native_half")
	l, url := listen(t, s)
	if got := raw(t, url).play("CREATE TABLE half (a int)"); got[0] != "C CREATE TABLE" {
		t.Fatal(got)
	}
	for name, messages := range map[string][]any{
		"simple":            {query("COPY half FROM STDIN"), data("1\n2\n")},
		"step by step":      {query("SET work_mem = '1MB'; COPY half FROM STDIN; SELECT 1"), data("1\n2\n")},
		"extended":          {parse("", "COPY half FROM STDIN"), bind("", ""), run(""), sync_, data("1\n")},
		"goodbye":           {query("COPY half FROM STDIN"), data("1\n"), &pgproto3.Terminate{}},
		"goodbye, step":     {query("SET work_mem = '1MB'; COPY half FROM STDIN"), data("1\n"), &pgproto3.Terminate{}},
		"goodbye, extended": {parse("", "COPY half FROM STDIN"), bind("", ""), run(""), flush_, data("1\n"), &pgproto3.Terminate{}},
		"in a message":      {query("COPY half FROM STDIN"), data("1\n2\n"), data(strings.Repeat("3\n", 100_000))},
	} {
		t.Run(name, func(t *testing.T) {
			b := slices.Concat(startup(3<<16, "user", "alice"), sent(t, messages...))
			half(t, l.Addr, b[:len(b)-1])
			half(t, l.Addr, b)
			// The table's lock is free as well.
			if got := raw(t, url).play("BEGIN; LOCK TABLE half; SELECT count(*) FROM half; COMMIT"); !slices.Contains(got, `D "0"`) {
				t.Errorf("%q", got)
			}
		})
	}
}
