package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// scripted is a connector whose target is a function. Nothing is read from its catalog:
// names mean what the text tells.
type scripted struct {
	Connector
	target func(net.Conn)
}

func (k scripted) Stream(_ context.Context, p *bastion.Permit) (bastion.Stream, error) {
	op, err := p.Use(bastion.ForDial)
	if err != nil {
		return nil, err
	}
	config, err := pgconn.ParseConfig("host=127.0.0.1 port=5432 user=nobody password=none database=none sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("there is no server") }
	ours, theirs := net.Pipe()
	go k.target(theirs) // until ours is closed
	cancel, err := pgconn.Construct(&pgconn.HijackedConn{Conn: ours, Config: config, PID: 7, TxStatus: 'I',
		Frontend: pgproto3.NewFrontend(ours, ours), ParameterStatuses: map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on"}})
	if err != nil {
		return nil, err
	}
	s := &stream{conn: ours, cancel: cancel, lanes: map[*lane]struct{}{}, done: make(chan struct{}), status: 'I',
		reading: reading{target: op.Target(), database: "shop", source: newSource(config), cursors: map[string]cursor{}, settled: true,
			session: lineage.Session{Path: []string{"pg_catalog", "public"}, Settings: "fixed"}}}
	s.source.enter()
	s.source.state.Store(&state{reader: lineage.NewReader(nil), checked: time.Now().Add(24 * time.Hour), system: true})
	return s, nil
}

// pretender answers as a server might, and notes the texts that it is given.
type pretender struct {
	mu    sync.Mutex // guards the rest
	texts []string
}

func (p *pretender) serve(c net.Conn) {
	defer c.Close()
	r := wire.NewReader(c, maxRequest)
	defer r.Close()
	var out []byte
	column := []byte("\x00\x01email\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00")
	failed, copying := false, false
	rows := func(text string) {
		switch word := strings.ToUpper(text); {
		case strings.Contains(word, "ERROR"):
			out = append(out, message('E', "SERROR\x00VERROR\x00C42P01\x00Mno\x00\x00")...)
			failed = true
		case strings.HasPrefix(word, "COPY") && strings.Contains(word, "FROM"):
			out = wire.Append(out, 'G', 0, 0, 1, 0, 0)
			copying = true
		case strings.HasPrefix(word, "COPY"):
			out = wire.Append(out, 'H', 0, 0, 1, 0, 0)
			out = wire.Append(append(out, message('d', "zqxcanary\n")...), 'c')
			out = append(out, message('C', "COPY 1\x00")...)
		default:
			row := binary.BigEndian.AppendUint32([]byte{0, 1}, 9)
			out = wire.Append(out, 'D', append(row, "zqxcanary"...)...)
			out = append(out, message('C', "SELECT 1\x00")...)
		}
	}
	names, portals := map[string]string{}, map[string]string{}
	for {
		typ, body, err := r.Next()
		if err != nil {
			return
		}
		b := wire.NewBody(body)
		switch {
		case failed && typ != 'S' && typ != 'X':
		case copying && strings.IndexByte("dHS", typ) >= 0:
		case copying:
			copying = false
			out = append(out, message('C', "COPY 1\x00")...)
		case typ == 'Q':
			text := b.String()
			p.note(text)
			texts, rest := lineage.Split(text)
			if rest != "" {
				texts = append(texts, rest)
			}
			if len(texts) == 0 {
				out = wire.Append(out, 'I')
			}
			for _, t := range texts {
				if !strings.HasPrefix(strings.ToUpper(t), "COPY") {
					out = wire.Append(out, 'T', column...)
				}
				if rows(t); failed || copying {
					break
				}
			}
			failed, copying = false, false
			out = wire.Append(out, 'Z', 'I')
		case typ == 'P':
			name, text := b.String(), b.String()
			p.note(text)
			if strings.Contains(text, "refused by") {
				out = append(out, message('E', "SERROR\x00VERROR\x00C42703\x00Mno\x00\x00")...)
				failed = true
				break
			}
			names[name] = text
			out = wire.Append(out, '1')
		case typ == 'B':
			portal, name := b.String(), b.String()
			portals[portal] = names[name]
			out = wire.Append(out, '2')
		case typ == 'D':
			if b.Byte() == 'S' {
				out = wire.Append(out, 't', 0, 0)
			}
			out = wire.Append(out, 'T', column...)
		case typ == 'E':
			rows(portals[b.String()])
		case typ == 'C':
			out = wire.Append(out, '3')
		case typ == 'S':
			failed = false
			out = wire.Append(out, 'Z', 'I')
		case typ == 'X':
			return
		}
		if !r.Ready() {
			if _, err := c.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

func (p *pretender) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts = append(p.texts, text)
}

// message makes one of a client or a server.
func message(typ byte, body string) []byte { return wire.Append(nil, typ, []byte(body)...) }

// started is what a client begins with.
func started() []byte {
	b := append([]byte{0, 0, 0, 0, 0, 3, 0, 0}, "user\x00alice\x00\x00"...)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// converse sends bytes as a client to a target, and returns what came back. It waits
// until the client was told as often that the server is ready as it asked, but not for
// what never comes.
func converse(t *testing.T, k scripted, s connectortest.Setup, sends []byte) []byte {
	ours, theirs := net.Pipe()
	s.Connector, s.Target = k, bastion.Target{Name: "shop", Kind: "postgres", Address: "127.0.0.1:5432", Options: map[string]string{"database": "shop", "sslmode": "disable"}}
	s.Labels, s.Trust, s.Forget = []mask.Label{{Pattern: "*", Kind: mask.Redact}}, true, true
	done := make(chan struct{})
	go func() { // ends when ours is closed, at the latest
		defer close(done)
		defer theirs.Close()
		_ = connectortest.Serve(context.Background(), s, theirs) // its error is for a log
	}()
	var got bytes.Buffer
	quiet := make(chan struct{})
	want := 1 + bytes.Count(sends, []byte{'S', 0, 0, 0, 4}) + bytes.Count(sends, []byte{'Q', 0, 0, 0})
	go func() { // ends when theirs is closed
		defer close(quiet)
		buf := make([]byte, 4096)
		for {
			n, err := ours.Read(buf)
			got.Write(buf[:n])
			if err != nil || bytes.Count(got.Bytes(), []byte{'Z', 0, 0, 0, 5}) >= want {
				return
			}
		}
	}()
	_, _ = ours.Write(started())
	_, _ = ours.Write(sends) // it may be hung up on
	select {
	case <-quiet:
	case <-time.After(20 * time.Millisecond):
	}
	_ = ours.Close()
	<-done
	<-quiet
	return got.Bytes()
}

// shows reads a server's messages, as far as they go, and reports whether rows show
// what is hidden.
func shows(t *testing.T, got []byte) {
	r := wire.NewReader(bytes.NewReader(got), 1<<30)
	defer r.Close()
	for {
		typ, body, err := r.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("what the client gets is no message: %v", err)
			}
			return
		}
		if strings.IndexByte("RKZSNETDCIstn123GHdcAv", typ) < 0 {
			t.Fatalf("the client gets a message of type %q", typ)
		}
		if (typ == 'D' || typ == 'd') && bytes.Contains(body, []byte("zqxcanary")) {
			t.Fatalf("a row shows what is hidden: %q", body)
		}
	}
}

// FuzzFrontend has a client send anything. Nothing that was not decided upon may reach
// the target, and nothing hidden the client.
func FuzzFrontend(f *testing.F) {
	join := func(messages ...[]byte) []byte { return bytes.Join(messages, nil) }
	text := "SELECT email FROM customers"
	end := message('S', "")
	f.Add(join(message('Q', text+"\x00")))
	f.Add(join(message('Q', text+"; SET search_path = x; "+text+"\x00"), message('Q', "\x00")))
	f.Add(join(message('P', "a\x00"+text+"\x00\x00\x00"), message('B', "p\x00a\x00\x00\x00\x00\x00\x00\x01\x00\x00"), message('D', "Pp\x00"), message('E', "p\x00\x00\x00\x00\x01"), message('C', "Sa\x00"), end))
	f.Add(join(message('P', "\x00SELECT error\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), message('E', "\x00\x00\x00\x00\x00"), message('D', "S\x00"), message('H', ""), end, end))
	f.Add(join(message('Q', "SELECT forbidden\x00"), message('P', "\x00SELECT forbidden\x00\x00\x00"), end))
	f.Add(join(message('Q', "COPY customers TO STDOUT\x00"), message('Q', "COPY customers FROM STDIN\x00"), message('d', "x\n"), message('c', "")))
	f.Add(join(message('P', "\x00COPY customers FROM STDIN\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), message('E', "\x00\x00\x00\x00\x00"), end, message('d', "x\n"), message('f', "no\x00"), end))
	f.Add(join(message('F', "\x00\x00\x00\x00"), message('X', "")))
	f.Add(join(message('Q', "PREPARE a AS "+text+"; EXECUTE a; DEALLOCATE a\x00"), message('Q', "BEGIN; DECLARE c CURSOR FOR "+text+"; FETCH c; CLOSE c; COMMIT\x00")))
	f.Fuzz(func(t *testing.T, sends []byte) {
		var mu sync.Mutex
		decided := map[string]bool{"": true}
		p := &pretender{}
		got := converse(t, scripted{target: p.serve}, connectortest.Setup{Decide: func(op bastion.Operation) bastion.Effect {
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(op.Text(), "forbidden") {
				return bastion.Deny
			}
			decided[op.Text()] = true
			return bastion.Allow
		}}, sends)
		shows(t, got)
		mu.Lock()
		defer mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		own := []string{sessionQuery, refusedText, "BEGIN", "COMMIT", "ROLLBACK"}
		for _, text := range p.texts {
			if decided[text] || slices.Contains(own, text) {
				continue
			}
			texts, rest := lineage.Split(text)
			if rest != "" {
				texts = append(texts, rest)
			}
			for _, part := range texts {
				// A single text is taken with the blanks and comments around it.
				if !decided[part] && !slices.Contains(own, part) && !within(decided, part) {
					t.Fatalf("the target was given %q, of which %q was not decided upon", text, part)
				}
			}
		}
	})
}

// within reports whether one of the texts is a part with blanks around it.
func within(texts map[string]bool, part string) bool {
	for t := range texts {
		if strings.TrimSpace(t) == strings.TrimSpace(part) {
			return true
		}
	}
	return false
}

// FuzzBackend has a target answer with anything to a query, to the messages of the
// extended protocol, and to COPY.
func FuzzBackend(f *testing.F) {
	column := "\x00\x01email\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00"
	row := message('D', "\x00\x01\x00\x00\x00\x09zqxcanary")
	join := func(messages ...[]byte) []byte { return bytes.Join(messages, nil) }
	f.Add(uint8(0), join(message('T', column), row, message('C', "SELECT 1\x00"), message('Z', "I")))
	f.Add(uint8(1), join(message('1', ""), message('2', ""), message('T', column), row, message('s', ""), message('Z', "T")))
	f.Add(uint8(1), join(message('1', ""), message('2', ""), message('n', ""), row, message('C', "SELECT 1\x00"), message('Z', "I")))
	f.Add(uint8(2), join(message('1', ""), message('t', "\x00\x00"), message('T', column), message('2', ""), row, message('C', "SELECT 1\x00"), message('Z', "I")))
	f.Add(uint8(3), join(message('H', "\x00\x00\x01\x00\x00"), message('d', "zqxcanary\n"), message('c', ""), message('C', "COPY 1\x00"), message('Z', "I")))
	f.Add(uint8(4), join(message('H', "\x01\x00\x01\x00\x01"), message('d', copySignature+"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09zqxcanary"), message('d', "\xff\xff"), message('c', ""), message('C', "COPY 1\x00"), message('Z', "I")))
	f.Add(uint8(5), join(message('G', "\x00\x00\x01\x00\x00"), message('E', "SERROR\x00VERROR\x00C42P01\x00Mno\x00\x00"), message('Z', "I")))
	f.Add(uint8(0), join(message('N', "SNOTICE\x00Mzqxcanary\x00\x00"), message('S', "TimeZone\x00UTC\x00"), message('A', "\x00\x00\x00\x07a\x00b\x00"), message('E', "SERROR\x00Mzqxcanary\x00\x00"), message('Z', "E")))
	f.Add(uint8(6), join(message('H', "\x00\x00\x01\x00\x00"), message('d', "\"zqx\"\"canary\"\n"), message('c', ""), message('C', "COPY 1\x00"), message('Z', "I")))
	asks := [][]byte{
		message('Q', "SELECT email FROM customers\x00"),
		join(message('P', "\x00SELECT email FROM customers\x00\x00\x00"), message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), message('E', "\x00\x00\x00\x00\x00"), message('S', "")),
		join(message('P', "a\x00SELECT email FROM customers\x00\x00\x00"), message('D', "Sa\x00"), message('B', "p\x00a\x00\x00\x00\x00\x00\x00\x00"), message('E', "p\x00\x00\x00\x00\x00"), message('C', "Sa\x00"), message('S', "")),
		message('Q', "COPY (SELECT email FROM customers) TO STDOUT\x00"),
		message('Q', "COPY (SELECT email FROM customers) TO STDOUT (FORMAT binary)\x00"),
		join(message('Q', "COPY customers FROM STDIN\x00"), message('d', "x\n"), message('c', "")),
		message('Q', "COPY (SELECT email FROM customers) TO STDOUT (FORMAT csv)\x00"),
	}
	f.Fuzz(func(t *testing.T, which uint8, answers []byte) {
		target := func(c net.Conn) {
			defer c.Close()
			var one [1]byte
			if _, err := c.Read(one[:]); err != nil {
				return
			}
			go func() { // ends with the connection
				_, _ = io.Copy(io.Discard, c)
			}()
			_, _ = c.Write(answers)
		}
		shows(t, converse(t, scripted{target: target}, connectortest.Setup{}, asks[int(which)%len(asks)]))
	})
}

// FuzzGreeting reads any first message. What is read is the same after its way from
// one half to the other, and policy can be asked about it.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte("user\x00alice\x00database\x00shop\x00\x00"))
	f.Add([]byte("user\x00a\x00options\x00-c a=b\\ c --d-e=f -cg=h\x00client_encoding\x00'utf-8'\x00_pq_.x\x00y\x00\x00"))
	f.Add([]byte("options\x00-c =\x00\x00"))
	f.Add([]byte("replication\x00database\x00\x00"))
	target := bastion.Target{Name: "shop", Kind: "postgres", Address: "127.0.0.1:5432", Options: map[string]string{"database": "shop"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		g, _, err := readGreeting(body)
		if err != nil {
			return
		}
		p, err := g.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeGreeting(p.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(back.settings) != len(g.settings) {
			t.Fatalf("%q became %q", g.settings, back.settings)
		}
		for _, s := range g.settings {
			if s.name == "client_encoding" || s.name == "application_name" || s.name == "" {
				t.Fatalf("the setting %q comes through", s.name)
			}
		}
		if i, err := (Connector{}).Greet(target, p); err == nil && (i.Verb != bastion.Connect || len(g.settings) > 0 && len(i.Actions) < 2) {
			t.Fatalf("%q is read as %+v", g.settings, i)
		}
	})
}

// FuzzCopyRows writes a row in each format, and reads it back.
func FuzzCopyRows(f *testing.F) {
	f.Add(uint8(0), byte('\t'), byte('"'), byte('"'), "\\N", "a\tb", "", true)
	f.Add(uint8(1), byte(','), byte('"'), byte('\\'), "", "x\"y\\", "\n", false)
	f.Add(uint8(2), byte(0), byte(0), byte(0), "", "x", "\x00", true)
	f.Add(uint8(1), byte(';'), byte('\''), byte('\''), "NULL", "NULL", "\\.", true)
	f.Fuzz(func(t *testing.T, format uint8, delimiter, quote, escape byte, null, first, second string, third bool) {
		c := lineage.Copy{Format: []string{"text", "csv", "binary"}[format%3], Delimiter: delimiter, Quote: quote, Escape: escape, Null: null}
		if c.Format == "text" {
			c.Quote, c.Escape = 0, 0
		}
		// What the server refuses.
		bad := func(b byte) bool { return b >= 0x80 || b == '\n' || b == '\r' || b == 0 }
		switch c.Format {
		case "text":
			if bad(delimiter) || strings.IndexByte(`\.abcdefghijklmnopqrstuvwxyz0123456789`, delimiter) >= 0 {
				return
			}
		case "csv":
			if bad(delimiter) || bad(quote) || bad(escape) || quote == delimiter || strings.IndexByte(null, quote) >= 0 {
				return
			}
		}
		if strings.ContainsAny(null, "\r\n") || c.Format != "binary" && strings.IndexByte(null, delimiter) >= 0 {
			return
		}
		// Text holds no zero bytes, and NULL is written in a way that no value is, but
		// for one that the server would write so, too.
		if c.Format != "binary" && (strings.IndexByte(first+second, 0) >= 0 || strings.IndexByte(null, 0) >= 0) {
			return
		}
		row := [][]byte{[]byte(first), []byte(second)}
		if third {
			row = append(row, nil)
		}
		w := &copyWriter{Copy: c, force: make([]bool, len(row)), on: true}
		b := w.row(nil, row)
		b = w.finish(b)
		rd := &copyRows{coding: &c, n: len(row)}
		var got [][][]byte
		r := wire.NewReader(bytes.NewReader(b), 1<<30)
		defer r.Close()
		for {
			_, body, err := r.Next()
			if err != nil {
				break
			}
			if err := rd.data(body, func(values [][]byte) error {
				var kept [][]byte
				for _, v := range values {
					kept = append(kept, bytes.Clone(v))
				}
				got = append(got, kept)
				return nil
			}); err != nil {
				t.Fatalf("%q, written %q: %v", row, b, err)
			}
		}
		if len(got) != 1 || len(got[0]) != len(row) {
			t.Fatalf("%q became %q", row, got)
		}
		for i := range row {
			if row[i] != nil && c.Format == "text" && string(w.value(nil, row[i], false, false)) == null {
				continue // the server would not know it from NULL, either
			}
			if !bytes.Equal(got[0][i], row[i]) || (got[0][i] == nil) != (row[i] == nil) {
				t.Fatalf("%q became %q by %q", row, got, b)
			}
		}
	})
}

// FuzzCopyData reads rows that no server wrote.
func FuzzCopyData(f *testing.F) {
	f.Add(uint8(0), []byte("a\tb\n"))
	f.Add(uint8(1), []byte("\"a\"\"\",b\n"))
	f.Add(uint8(2), []byte(copySignature+"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01x\xff\xff"))
	f.Fuzz(func(t *testing.T, format uint8, body []byte) {
		c := lineage.Copy{Format: []string{"text", "csv", "binary"}[format%3], Delimiter: '\t', Null: "\\N"}
		if c.Format == "csv" {
			c.Delimiter, c.Quote, c.Escape, c.Null = ',', '"', '"', ""
		}
		r := &copyRows{coding: &c, n: 2}
		_ = r.data(body, func(values [][]byte) error {
			if len(values) != 2 {
				t.Fatalf("a row of %d values", len(values))
			}
			return nil
		})
	})
}
