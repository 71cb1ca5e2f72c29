package postgres_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/bastion"
)

// liar is a server that passes everything on to the real one, until a statement with
// the word evil comes. Then it says what the test wants.
type liar struct {
	t    *testing.T
	addr string

	mu    sync.Mutex // guards the rest
	says  []byte
	after func(io.Writer) // after says
	hang  bool            // it hangs up then
}

func lying(t *testing.T) *liar {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	k := &liar{t: t, addr: l.Addr().String()}
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			open.Go(func() { k.relay(c) })
		}
	})
	return k
}

// relay ends when one side hangs up.
func (k *liar) relay(client net.Conn) {
	defer client.Close()
	plain, err := net.Dial("tcp", server.Addr())
	if err != nil {
		return
	}
	defer plain.Close()
	if _, err := plain.Write(startup(80877103)); err != nil {
		return
	}
	if _, err := io.ReadFull(plain, make([]byte, 1)); err != nil {
		return
	}
	target := tls.Client(plain, &tls.Config{InsecureSkipVerify: true})
	var mu sync.Mutex
	lied := false
	var back sync.WaitGroup
	back.Go(func() { // ends with the server's connection
		buf := make([]byte, 64<<10)
		for {
			n, err := target.Read(buf)
			mu.Lock()
			if !lied {
				_, _ = client.Write(buf[:n]) // whoever reads notices
			}
			quiet := lied
			mu.Unlock()
			if err != nil {
				if !quiet {
					_ = client.Close()
				}
				return
			}
		}
	})
	defer back.Wait()
	defer plain.Close()
	head := 0 // the first message has no type
	for {
		h := make([]byte, head+4)
		if _, err := io.ReadFull(client, h); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(h[head:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if head == 1 && (h[0] == 'Q' || h[0] == 'P') && bytes.Contains(body, []byte("evil")) {
			mu.Lock()
			lied = true
			mu.Unlock()
			k.mu.Lock()
			says, after, hang := k.says, k.after, k.hang
			k.mu.Unlock()
			_, _ = client.Write(says)
			if after != nil {
				after(client)
			}
			if !hang {
				_, _ = io.Copy(io.Discard, client) // until the bastion hangs up
			}
			return
		}
		head = 1
		if _, err := target.Write(append(h, body...)); err != nil {
			return
		}
	}
}

// said is messages of a server.
func said(messages ...pgproto3.BackendMessage) []byte {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			panic(err)
		}
	}
	return b
}

func columnsNamed(names ...string) *pgproto3.RowDescription {
	d := &pgproto3.RowDescription{}
	for _, n := range names {
		d.Fields = append(d.Fields, pgproto3.FieldDescription{Name: []byte(n), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1})
	}
	return d
}

func rowOf(values ...string) *pgproto3.DataRow {
	d := &pgproto3.DataRow{}
	for _, v := range values {
		d.Values = append(d.Values, []byte(v))
	}
	return d
}

func TestNativeHostileServer(t *testing.T) {
	setup := shop(t, "native_hostile", labels...)
	k := lying(t)
	setup.Target = bastion.Target{Name: "shop", Kind: "postgres", Address: k.addr, Options: map[string]string{"database": "native_hostile", "sslmode": "disable"}}
	setup.Forget = true
	_, url := listen(t, setup)
	const canary = "zqxcanary"
	two, bad := columnsNamed("name", "email"), rowOf("x", canary)
	tag, z := &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'}
	cut := func(b []byte, n int) []byte { return b[:len(b)-n] }
	simple, extended := []any{query("SELECT name, email FROM customers /* evil */")}, append(all("SELECT name, email FROM customers /* evil */"), sync_)
	before := map[string][]byte{"bound": said(&pgproto3.ParseComplete{}, &pgproto3.BindComplete{})}
	for _, c := range []struct {
		name  string
		says  []byte
		lives bool // the session goes on
		flood func(io.Writer)
	}{
		{name: "as it should be", says: said(two, bad, tag, z), lives: true},
		{name: "row first", says: said(bad, two, tag, z)},
		{name: "row too wide", says: said(two, rowOf("x", "y", canary), tag, z)},
		{name: "row too narrow", says: said(two, rowOf(canary), tag, z)},
		{name: "row without columns", says: said(two, rowOf(), tag, z)},
		{name: "fewer columns", says: said(columnsNamed("name"), rowOf(canary), tag, z), lives: true},
		{name: "more columns", says: said(columnsNamed("name", "name", "name"), rowOf(canary, canary, canary), tag, z), lives: true},
		{name: "no columns", says: said(columnsNamed(), rowOf(), tag, z), lives: true},
		{name: "no columns, a row", says: said(columnsNamed(), bad, tag, z)},
		{name: "columns again", says: said(two, bad, columnsNamed("name"), rowOf(canary), tag, z), lives: true},
		{name: "copy out", says: said(&pgproto3.CopyOutResponse{ColumnFormatCodes: []uint16{0}}, &pgproto3.CopyData{Data: []byte(canary + "\n")}, &pgproto3.CopyDone{}, tag, z)},
		{name: "copy in", says: said(&pgproto3.CopyInResponse{ColumnFormatCodes: []uint16{0}}, z)},
		{name: "copy both", says: said(&pgproto3.CopyBothResponse{}, z)},
		{name: "copy data", says: said(two, &pgproto3.CopyData{Data: []byte(canary)}, tag, z)},
		{name: "ready at once", says: said(z, two, bad, tag, z)},
		{name: "ready twice", says: said(two, bad, tag, z, z)},
		{name: "no such state", says: said(tag, &pgproto3.ReadyForQuery{TxStatus: 'x'})},
		{name: "tag twice", says: said(two, tag, tag, z)},
		{name: "suspended", says: said(two, &pgproto3.PortalSuspended{}, z)},
		{name: "parsed", says: said(&pgproto3.ParseComplete{}, z)},
		{name: "parsed and more", says: said(&pgproto3.ParseComplete{}, &pgproto3.ParseComplete{}, bad)},
		{name: "bound", says: said(&pgproto3.BindComplete{}, z)},
		{name: "closed", says: said(&pgproto3.CloseComplete{}, z)},
		{name: "no data", says: said(&pgproto3.NoData{}, bad, z)},
		{name: "parameters", says: said(&pgproto3.ParameterDescription{ParameterOIDs: []uint32{25}}, z)},
		{name: "empty", says: said(&pgproto3.EmptyQueryResponse{}, bad)},
		{name: "login", says: said(&pgproto3.AuthenticationCleartextPassword{})},
		{name: "key", says: said(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})},
		{name: "function", says: said(&pgproto3.FunctionCallResponse{Result: []byte(canary)})},
		{name: "unknown type", says: []byte("y\x00\x00\x00\x04")},
		{name: "negative length", says: []byte("T\xff\xff\xff\xff")},
		{name: "short length", says: []byte("T\x00\x00\x00\x03")},
		{name: "huge length", says: append(said(two), "D\x7f\xff\xff\xff\x00\x02"+canary...)},
		{name: "huge notice", says: []byte("N\x7f\xff\xff\xffS" + canary)},
		{name: "value too long", says: append(said(two), "D\x00\x00\x00\x0e\x00\x01\x00\x00\x00\xffabcd"...)},
		{name: "value of length -2", says: append(said(two), "D\x00\x00\x00\x0e\x00\x02\xff\xff\xff\xfe\xff\xff\xff\xff"...)},
		{name: "description too short", says: []byte("T\x00\x00\x00\x0a\x00\x02a\x00\x00\x00")},
		{name: "columns that are not there", says: []byte("T\x00\x00\x00\x06\xff\xff")},
		{name: "values that are not there", says: append(said(two), "D\x00\x00\x00\x06\xff\xff"...)},
		{name: "formats that are not there", says: []byte("H\x00\x00\x00\x07\x00\xff\xff")},
		{name: "types that are not there", says: append(said(&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}), "t\x00\x00\x00\x06\xff\xff"...)},
		{name: "error without fields", says: append(append(said(two), "E\x00\x00\x00\x05\x00"...), said(z)...), lives: true},
		{name: "error without end", says: []byte("E\x00\x00\x00\x0cSERRORMx")},
		{name: "error with data", says: said(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "22P02", Message: canary, Detail: canary, Hint: canary, Where: canary, ConstraintName: canary}, z), lives: true},
		{name: "error with data everywhere", says: said(&pgproto3.ErrorResponse{Severity: canary, SeverityUnlocalized: canary, Code: canary, Message: canary, Detail: canary, Hint: canary, InternalQuery: canary, Where: canary,
			SchemaName: canary, TableName: canary, ColumnName: canary, DataTypeName: canary, ConstraintName: canary, File: canary, Routine: canary, Line: 1, UnknownFields: map[byte]string{'x': canary, 'Z': canary}}, z), lives: true},
		{name: "notice with data everywhere", says: said(&pgproto3.NoticeResponse{Severity: canary, SeverityUnlocalized: canary, Code: canary, Message: canary, Detail: canary, Hint: canary, InternalQuery: canary, Where: canary,
			SchemaName: canary, TableName: canary, ColumnName: canary, DataTypeName: canary, ConstraintName: canary, File: canary, Routine: canary, Line: 1, UnknownFields: map[byte]string{'x': canary, 'Z': canary}}, two, bad, tag, z), lives: true},
		{name: "another's column", says: said(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("id"), DataTypeOID: 25, TableOID: 1 << 31, TableAttributeNumber: 1 << 15, Format: 7}, {Name: []byte("name"), DataTypeOID: 1 << 31, Format: 1}}}, bad, tag, z), lives: true},
		{name: "endless rows", flood: func(w io.Writer) {
			n := append(said(two), bytes.Repeat(said(bad), 1000)...)
			for range 100 {
				if _, err := w.Write(n); err != nil {
					return
				}
				n = n[len(said(two)):]
			}
		}},
		{name: "endless notifications", flood: func(w io.Writer) {
			n := bytes.Repeat(said(&pgproto3.NotificationResponse{Channel: "a", Payload: canary}), 1000)
			for range 100 {
				if _, err := w.Write(n); err != nil {
					return
				}
			}
		}},
		{name: "fatal with data", says: said(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "XX000", Message: canary})},
		{name: "notice with data", says: said(&pgproto3.NoticeResponse{Severity: "NOTICE", Message: canary, Detail: canary}, two, bad, tag, z), lives: true},
		{name: "notification", says: said(&pgproto3.NotificationResponse{Channel: "a", Payload: canary}, two, bad, tag, z), lives: true},
		{name: "tag with data", says: said(two, bad, &pgproto3.CommandComplete{CommandTag: []byte(canary + " 1")}, z), lives: true},
		{name: "setting with data", says: said(&pgproto3.ParameterStatus{Name: canary, Value: canary}, &pgproto3.ParameterStatus{Name: "application_name", Value: canary}, two, bad, tag, z), lives: true},
		{name: "another encoding", says: said(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "LATIN1"}, two, bad, tag, z)},
		{name: "other strings", says: said(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "off"}, two, bad, tag, z)},
		{name: "hangs up", says: said(two, bad)},
		{name: "hangs up in a row", says: append(said(two), cut(said(bad), 3)...)},
		{name: "hangs up in a length", says: append(said(two), 'D', 0, 0)},
		{name: "endless notices", flood: func(w io.Writer) {
			n := bytes.Repeat(said(&pgproto3.NoticeResponse{Severity: "NOTICE", Message: canary}), 1000)
			for range 100 {
				if _, err := w.Write(n); err != nil {
					return
				}
			}
		}},
		{name: "endless settings", flood: func(w io.Writer) {
			n := bytes.Repeat(said(&pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"}, &pgproto3.ParameterStatus{Name: canary, Value: canary}), 1000)
			for range 100 {
				if _, err := w.Write(n); err != nil {
					return
				}
			}
		}},
	} {
		for protocol, steps := range map[string][]any{"simple": simple, "extended": extended, "bound": extended} {
			t.Run(c.name+", "+protocol, func(t *testing.T) {
				k.mu.Lock()
				// Each has bytes of its own: what an earlier one is sending still is not written over.
				k.says, k.after, k.hang = slices.Concat(before[protocol], c.says), c.flood, strings.HasPrefix(c.name, "hangs") || c.flood != nil
				k.mu.Unlock()
				most := heap()
				client := raw(t, url)
				lines := client.play(together(steps, ready{})...)
				if c.name == "suspended" && protocol == "bound" {
					return // there may be more rows, for all that anybody knows
				}
				if !c.lives && protocol != "extended" {
					// What came first may be a good answer.
					lines = append(lines, client.play("SELECT 1")...)
				}
				all := strings.Join(lines, "\n")
				if strings.Contains(strings.ToLower(all), canary) || strings.Contains(all, fmt.Sprintf("%x", canary)) {
					t.Errorf("shows what is hidden: %.3000s", all)
				}
				if !c.lives && (!strings.Contains(all, "E FATAL") || !strings.HasSuffix(all, "gone")) {
					t.Errorf("the session goes on: %.3000s", all)
				}
				if c.lives && !strings.HasSuffix(all, "Z I") && protocol == "simple" {
					t.Errorf("the session ends: %.3000s", all)
				}
				spent(t, most())
			})
		}
	}
}
