package postgres_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// listen starts a way in for native clients.
func listen(t testing.TB, s connectortest.Setup) (*connectortest.Listener, string) {
	t.Helper()
	s.Connector = postgres.New()
	l := connectortest.Listen(t, s)
	return l, "postgres://alice:any@" + l.Addr + "/" + s.Target.Options["database"] + "?sslmode=disable"
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// talk is a connection on which a test says what it likes.
type talk struct {
	t    testing.TB
	conn net.Conn
	*pgproto3.Frontend
}

func raw(t testing.TB, url string) *talk {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Conn.Close() })
	return &talk{t, h.Conn, h.Frontend}
}

// Steps of a script, besides messages of the client. A string is a simple query.
type (
	ready   struct{}         // read until the server is ready
	receive int              // read so many messages
	until   string           // read until a message that begins so
	rawly   []byte           // send bytes as they are
	then    func(*testing.T) // do something else
)

// run plays a script, and returns a line for each message that came back.
func (k *talk) play(steps ...any) []string {
	k.t.Helper()
	var lines []string
	next := func() string {
		m, err := k.Receive()
		if err != nil {
			return "gone"
		}
		return line(m)
	}
	flush := func() {
		// A connection that is gone is noticed by who reads.
		_ = k.Flush()
	}
	for _, s := range steps {
		switch s := s.(type) {
		case string:
			k.SendQuery(&pgproto3.Query{String: s})
			flush()
			s2 := next()
			for lines = append(lines, s2); !strings.HasPrefix(s2, "Z") && s2 != "gone"; lines = append(lines, s2) {
				s2 = next()
			}
		case ready, until:
			flush()
			want := "Z"
			if u, ok := s.(until); ok {
				want = string(u)
			}
			for {
				l := next()
				lines = append(lines, l)
				if strings.HasPrefix(l, want) || l == "gone" {
					break
				}
			}
		case receive:
			flush()
			for range s {
				lines = append(lines, next())
			}
		case rawly:
			flush()
			_, _ = k.conn.Write(s)
		case then:
			flush()
			s(k.t.(*testing.T))
		case pgproto3.FrontendMessage:
			k.Send(s)
		default:
			k.t.Fatalf("a step of type %T", s)
		}
	}
	return lines
}

// line is a message in a line, without what differs from one connection to the next.
func line(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.ParseComplete:
		return "1"
	case *pgproto3.BindComplete:
		return "2"
	case *pgproto3.CloseComplete:
		return "3"
	case *pgproto3.NoData:
		return "n"
	case *pgproto3.PortalSuspended:
		return "s"
	case *pgproto3.EmptyQueryResponse:
		return "I"
	case *pgproto3.ParameterDescription:
		return fmt.Sprint("t ", m.ParameterOIDs)
	case *pgproto3.RowDescription:
		s := "T"
		for _, f := range m.Fields {
			s += fmt.Sprintf(" %s:%d:%d:%d:%d", f.Name, f.DataTypeOID, f.DataTypeSize, f.TypeModifier, f.Format)
		}
		return s
	case *pgproto3.DataRow:
		s := "D"
		for _, v := range m.Values {
			if v == nil {
				s += " NULL"
			} else {
				s += fmt.Sprintf(" %q", v)
			}
		}
		return s
	case *pgproto3.CommandComplete:
		return "C " + string(m.CommandTag)
	case *pgproto3.ReadyForQuery:
		return "Z " + string(m.TxStatus)
	case *pgproto3.ErrorResponse:
		return fmt.Sprintf("E %s %s %s pos=%d hint=%q", m.Severity, m.Code, m.Message, m.Position, m.Hint)
	case *pgproto3.NoticeResponse:
		return fmt.Sprintf("N %s %s %s", m.Severity, m.Code, m.Message)
	case *pgproto3.NotificationResponse:
		return fmt.Sprintf("A %s %q", m.Channel, m.Payload)
	case *pgproto3.ParameterStatus:
		return fmt.Sprintf("S %s=%s", m.Name, m.Value)
	case *pgproto3.CopyInResponse:
		return fmt.Sprint("G ", m.OverallFormat, m.ColumnFormatCodes)
	case *pgproto3.CopyOutResponse:
		return fmt.Sprint("H ", m.OverallFormat, m.ColumnFormatCodes)
	case *pgproto3.CopyData:
		return fmt.Sprintf("d %q", m.Data)
	case *pgproto3.CopyDone:
		return "c"
	}
	return fmt.Sprintf("%T", m)
}

// The messages of a client, in short.

func parse(name, text string, oids ...uint32) pgproto3.FrontendMessage {
	return &pgproto3.Parse{Name: name, Query: text, ParameterOIDs: oids}
}

func bind(portal, statement string, params ...string) *pgproto3.Bind {
	b := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement}
	for _, p := range params {
		b.Parameters = append(b.Parameters, []byte(p))
	}
	return b
}

// bindIn is bind with formats for the answer's columns.
func bindIn(formats []int16, portal, statement string, params ...string) *pgproto3.Bind {
	b := bind(portal, statement, params...)
	b.ResultFormatCodes = formats
	return b
}

func describe(kind byte, name string) pgproto3.FrontendMessage {
	return &pgproto3.Describe{ObjectType: kind, Name: name}
}

func run(portal string, rows ...uint32) pgproto3.FrontendMessage {
	e := &pgproto3.Execute{Portal: portal}
	for _, n := range rows {
		e.MaxRows = n
	}
	return e
}

func closing(kind byte, name string) pgproto3.FrontendMessage {
	return &pgproto3.Close{ObjectType: kind, Name: name}
}

var (
	sync_  = &pgproto3.Sync{}
	flush_ = &pgproto3.Flush{}
)

// all is messages for running a text by the extended protocol, without Sync.
func all(text string, params ...string) []any {
	return []any{parse("", text), bind("", "", params...), describe('P', ""), run("")}
}

func together(lists ...any) []any {
	var out []any
	for _, l := range lists {
		if s, ok := l.([]any); ok {
			out = append(out, s...)
		} else {
			out = append(out, l)
		}
	}
	return out
}

// alike plays scripts to the server directly and through the bastion, with nothing
// forbidden and nothing hidden, and wants the same answers.
func alike(t *testing.T, scripts map[string][]any) {
	t.Helper()
	s := shop(t, "native_same")
	_, url := listen(t, s)
	direct := server.URL(server.App(), "native_same")
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			want := raw(t, direct).play(script...)
			got := raw(t, url).play(script...)
			differ(t, got, want)
		})
	}
}

func differ(t *testing.T, got, want []string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("the script brings no answer")
	}
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		g, w := "-", "-"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		mark := "  "
		if g != w {
			mark = "! "
		}
		t.Errorf("%sgot  %s\n%*swant %s", mark, g, 14, "", w)
	}
}

// connectAt is connect for other goroutines than the test's.
func connectAt(t testing.TB, url string) *pgx.Conn {
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Error(err)
		return nil
	}
	return c
}

// settled waits until no more goroutines run than before. The test's own limit ends
// the wait.
func settled(t *testing.T, before int) {
	t.Helper()
	for runtime.NumGoroutine() > before {
		if t.Context().Err() != nil {
			t.Fatal("goroutines stay behind")
		}
		runtime.Gosched()
	}
}
