package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sallyport/sallyport/bastion/demo/pgserver"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// The corpora are for every client. What the console tries, a native client tries too:
// every attempt by every door where -wire=all says so, else one attempt in oneIn, by
// one door after the other, so that each class of attempts goes through each of them.
var wireDoors = flag.String("wire", "sample", "attempts by native clients: all or sample")

const oneIn = 9

// doors are the ways in which a native client sends a statement.
var doors = []string{"simple", "extended", "binary"}

// doorsOf are the doors for the attempt of a number.
func doorsOf(i int) []string {
	if *wireDoors == "all" {
		return doors
	}
	if i%oneIn != 0 {
		return nil
	}
	k := i / oneIn % len(doors)
	return doors[k : k+1]
}

// wired is a visitor who uses a driver.
func wired(t testing.TB, setup connectortest.Setup, door string) visitor {
	t.Helper()
	setup.Connector = postgres.New()
	l := connectortest.Listen(t, setup)
	c, err := pgconn.Connect(t.Context(), "postgres://alice@"+l.Addr+"/"+setup.Target.Options["database"]+"?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Conn.Close() })
	types := pgtype.NewMap()
	run := func(statement string) ([]byte, error) {
		if door == "simple" {
			h.Frontend.Send(&pgproto3.Query{String: statement})
		} else {
			format := []int16{0}
			if door == "binary" {
				format[0] = 1
			}
			h.Frontend.Send(&pgproto3.Parse{Query: statement})
			h.Frontend.Send(&pgproto3.Describe{ObjectType: 'S'})
			h.Frontend.Send(&pgproto3.Bind{ResultFormatCodes: format})
			h.Frontend.Send(&pgproto3.Execute{})
			h.Frontend.Send(&pgproto3.Sync{})
		}
		if err := h.Frontend.Flush(); err != nil {
			return nil, err
		}
		return received(h.Frontend, types, door)
	}
	return visitor{run: run, kept: func() string { return l.Recorded() + l.Transcript() }, offered: func() []byte { return nil }}
}

func visitorsOf(by map[string]visitor, doors []string) (all []visitor) {
	for _, door := range doors {
		all = append(all, by[door])
	}
	return all
}

// received is all that a client gets until the server is ready, in words.
func received(f *pgproto3.Frontend, types *pgtype.Map, door string) ([]byte, error) {
	var b bytes.Buffer
	var fields []pgproto3.FieldDescription
	var failed error
	for {
		m, err := f.Receive()
		if err != nil {
			return b.Bytes(), errors.Join(failed, err)
		}
		switch m := m.(type) {
		case *pgproto3.RowDescription:
			fields = slices.Clone(m.Fields)
			for i := range fields {
				fmt.Fprint(&b, string(fields[i].Name), " ", fields[i].DataTypeSize, fields[i].TypeModifier, fieldEnd)
			}
			b.WriteString(rowEnd)
		case *pgproto3.DataRow:
			for i, v := range m.Values {
				switch {
				case v == nil:
					b.WriteString(`\N`)
				case door == "binary" && i < len(fields):
					b.WriteString(words(types, fields[i].DataTypeOID, v))
				default:
					b.Write(v)
				}
				b.WriteString(fieldEnd)
			}
			b.WriteString(rowEnd)
		case *pgproto3.CopyData:
			b.Write(m.Data)
		case *pgproto3.CopyInResponse:
			f.Send(&pgproto3.CopyFail{Message: "nothing to say"})
			if door != "simple" {
				f.Send(&pgproto3.Sync{}) // the server left out the first
			}
			if err := f.Flush(); err != nil {
				return b.Bytes(), err
			}
		case *pgproto3.ErrorResponse:
			e := *m
			e.File, e.Line, e.Routine = "", 0, ""
			fmt.Fprintf(&b, "%+v%s", e, rowEnd)
			failed = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.NoticeResponse:
			n := *m
			n.File, n.Line, n.Routine = "", 0, ""
			fmt.Fprintf(&b, "%+v%s", n, rowEnd)
		case *pgproto3.NotificationResponse:
			fmt.Fprint(&b, m.Channel, fieldEnd, m.Payload, rowEnd)
		case *pgproto3.ParameterStatus:
			fmt.Fprint(&b, m.Name, fieldEnd, m.Value, rowEnd)
		case *pgproto3.CommandComplete:
			fmt.Fprint(&b, string(m.CommandTag), rowEnd)
		case *pgproto3.ReadyForQuery:
			return b.Bytes(), failed
		}
	}
}

// words is a binary value as people write it, and its bytes.
func words(types *pgtype.Map, oid uint32, v []byte) string {
	s := string(v)
	if typ, ok := types.TypeForOID(oid); ok {
		if d, err := typ.Codec.DecodeDatabaseSQLValue(types, oid, pgtype.BinaryFormatCode, v); err == nil {
			s += fmt.Sprint(" ", d)
		}
	}
	return s
}

// byDriver is an asker who uses a driver.
func byDriver(t testing.TB, url, door string) asker {
	t.Helper()
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = "public"
	config.RuntimeParams["application_name"] = ""
	var masked []string
	told := false
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if names, ok := strings.CutPrefix(n.Message, "masked: "); ok {
			masked, told = strings.Split(names, ", "), true
		}
	}
	c, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return func(statement string) (a table, err error) {
		masked, told = nil, false
		var r *pgconn.ResultReader
		end := func() error { return nil }
		if door == "simple" {
			all := c.Exec(t.Context(), statement)
			end = all.Close
			if !all.NextResult() {
				return a, end()
			}
			r = all.ResultReader()
		} else {
			format := []int16{0}
			if door == "binary" {
				format[0] = 1
			}
			r = c.ExecParams(t.Context(), statement, nil, nil, nil, format)
		}
		fields := r.FieldDescriptions()
		for _, f := range fields {
			a.columns = append(a.columns, f.Name)
		}
		for r.NextRow() {
			values := make([]string, len(fields))
			for i, v := range r.Values() {
				if values[i] = string(v); v == nil {
					values[i] = `\N`
				}
			}
			a.rows = append(a.rows, values)
		}
		tag, err := r.Close()
		a.tag = tag.String()
		for _, name := range a.columns {
			a.hidden = append(a.hidden, told && slices.Contains(masked, name))
		}
		return a, errors.Join(err, end())
	}
}

// TestUtilityCorpusByDriver is TestUtilityCorpus for native clients, in text and binary.
func TestUtilityCorpusByDriver(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(*utilityFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", *utilityFiles, err)
	}
	s := plantSmall(t, "driven", 3)
	net := newDragnet(s.secrets, partOfDigits)
	for _, door := range doors {
		copyDatabase(t, "driven", "driven_direct_"+door)
		copyDatabase(t, "driven", "driven_bastion_"+door)
	}
	for _, door := range doors {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			direct := byDriver(t, server.URL(server.App(), "driven_direct_"+door), door)
			_, url := listen(t, (&grounds{}).setup("driven_bastion_"+door, false))
			through := byDriver(t, url, door)
			for _, file := range files {
				for _, a := range attempts(t, file) {
					var masked []string
					if m := maskedColumns.FindStringSubmatch(a.story); m != nil {
						masked = strings.Split(m[1], ", ")
					}
					for _, step := range a.steps {
						step = s.fill(step)
						want, failed := direct(step)
						got, err := through(step)
						if failed != nil {
							// There are types that the server has no binary format for.
							if door != "binary" || codeOf(err) != codeOf(failed) {
								t.Errorf("%s: %s\nfails without the bastion: %v, and with it: %v", a.place, step, failed, err)
							}
							continue
						}
						if err != nil {
							t.Errorf("%s: %s\n%v", a.place, step, err)
							continue
						}
						if !slices.ContainsFunc(got.hidden, func(h bool) bool { return h }) && len(got.rows) == 0 {
							got.hidden = nil // nothing was shown, and nothing is told
						}
						var here []string
						for _, c := range want.columns {
							if slices.Contains(masked, c) {
								here = append(here, c)
							}
						}
						if d := compareTables(want, got, here); d != "" {
							t.Errorf("%s: %s\n%s", a.place, step, d)
						}
						if w := net.search(fmt.Sprint(got.columns, got.rows, got.tag), step); w != "" {
							t.Errorf("%s: %s\nshows %s", a.place, step, w)
						}
					}
				}
			}
		})
	}
}

func codeOf(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}

// TestAttackCorpusByPsql has psql send attempts, a file of them to each twin.
func TestAttackCorpusByPsql(t *testing.T) {
	t.Parallel()
	bin, err := pgserver.Find()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(*attackFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", *attackFiles, err)
	}
	twins := [2]smallShop{plantSmall(t, "small_a_psql", 1), plantSmall(t, "small_b_psql", 2)}
	net := [2]*dragnet{newDragnet(twins[0].secrets, partOfDigits), newDragnet(twins[1].secrets, partOfDigits)}
	var script strings.Builder
	tried := 0
	for _, f := range files {
		for i, a := range attempts(t, f) {
			if *wireDoors != "all" && i%oneIn != 1 || slices.ContainsFunc(a.steps, serverWide.MatchString) {
				continue
			}
			tried++
			// Each ends where it began; what rolls back by itself is warned of.
			fmt.Fprintf(&script, "BEGIN;\n%s;\nROLLBACK;\nDEALLOCATE ALL;\nCLOSE ALL;\nRESET ALL;\n", twins[0].fill(strings.Join(a.steps, ";\n")))
		}
	}
	var said [2]string
	for i, s := range twins {
		l := connectortest.Listen(t, connectortest.Setup{Connector: postgres.New(), Target: target(s.database),
			Secret: (&grounds{}).setup(s.database, false).Secret, Labels: labels})
		host, port, _ := strings.Cut(l.Addr, ":")
		psql := exec.CommandContext(t.Context(), filepath.Join(bin, "psql"), "-X", "-h", host, "-p", port, "-U", "alice", "-d", s.database, "-v", "VERBOSITY=verbose")
		psql.Stdin, psql.Env = strings.NewReader(script.String()), append(os.Environ(), "PAGER=cat", "PSQL_PAGER=cat", "PGSSLMODE=disable")
		out, err := psql.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		said[i] = string(out)
		if w := net[i].search(said[i], script.String()); w != "" {
			at := strings.Index(strings.ToLower(said[i]), strings.ToLower(w))
			t.Errorf("psql shows %s, %d of %d: …%s", w, at, len(said[i]), said[i][max(0, at-400):max(0, min(len(said[i]), at+400))])
		}
	}
	a, b := strings.Split(quiet(said[0]), "\n"), strings.Split(quiet(said[1]), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Errorf("psql tells twins apart, in line %d:\n%s\n%s", i+1, strings.Join(a[max(0, i-8):i+1], "\n"), b[i])
			break
		}
	}
	if len(a) < 2*tried {
		t.Errorf("psql printed %d lines for %d attempts", len(a), tried)
	}
	t.Logf("%d attempts", tried)
}
