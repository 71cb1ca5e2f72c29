package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// transcript writes messages down so that two servers that do the same give the same.
type transcript struct {
	b      strings.Builder
	tables map[uint32]int // by their number in the catalog, in order of appearance
}

// message writes one and returns its type.
func (w *transcript) message(m pgproto3.BackendMessage) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
	switch m := m.(type) {
	case *pgproto3.NotificationResponse:
		m.PID = 0
	case *pgproto3.ErrorResponse:
		// Where in the server's source it was: errors of the bastion's own have no such place.
		m.File, m.Line, m.Routine = "", 0, ""
	case *pgproto3.RowDescription:
		for i, f := range m.Fields {
			if w.tables == nil {
				w.tables = map[uint32]int{0: 0}
			}
			if _, ok := w.tables[f.TableOID]; !ok {
				w.tables[f.TableOID] = len(w.tables)
			}
			m.Fields[i].TableOID = uint32(w.tables[f.TableOID])
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		b = fmt.Appendf(nil, "%+v", m)
	}
	fmt.Fprintf(&w.b, "%s %s\n", name, perSession.ReplaceAll(b, []byte("${1}N")))
	return name
}

// answered is a batch that is answered until the server is ready as often as it was
// asked to be.
func answered(messages ...pgproto3.FrontendMessage) exchangeBatch {
	b := exchangeBatch{messages: messages, ends: "ReadyForQuery"}
	for _, m := range messages {
		switch m.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
			b.times++
		}
	}
	return b
}

// until is a batch that is answered until a message of the type.
func until(ends string, messages ...pgproto3.FrontendMessage) exchangeBatch {
	return exchangeBatch{messages: messages, ends: ends, times: 1}
}

// differentExchanges are answered otherwise than by the server.
func differentExchanges() []exchange {
	begin := &pgproto3.Query{String: "begin; declare c cursor for select 1"}
	return []exchange{
		{"a cursor of SQL as a portal", []exchangeBatch{answered(begin, &pgproto3.Execute{Portal: "c"}, &pgproto3.Sync{})}},
		{"EXECUTE, parsed before there is such a statement", []exchangeBatch{answered(&pgproto3.Parse{Query: "execute nowhere"}, &pgproto3.Sync{})}},
		{"a function by the old protocol", []exchangeBatch{answered(&pgproto3.Query{String: "select 1"}), until("ReadyForQuery", &pgproto3.FunctionCall{Function: 1598})}},
	}
}

// exchanges are what clients may say, in every order that the protocol has.
func exchanges() []exchange {
	// Short names for what a client sends.
	query := func(s string) pgproto3.FrontendMessage { return &pgproto3.Query{String: s} }
	parse := func(name, sql string, types ...uint32) pgproto3.FrontendMessage {
		return &pgproto3.Parse{Name: name, Query: sql, ParameterOIDs: types}
	}
	bind := func(portal, statement string, params ...string) pgproto3.FrontendMessage {
		b := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement}
		for _, p := range params {
			b.Parameters = append(b.Parameters, []byte(p))
		}
		return b
	}
	binary := func(portal, statement string, results ...int16) pgproto3.FrontendMessage {
		return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement, ResultFormatCodes: results}
	}
	describeStatement := func(name string) pgproto3.FrontendMessage { return &pgproto3.Describe{ObjectType: 'S', Name: name} }
	describePortal := func(name string) pgproto3.FrontendMessage { return &pgproto3.Describe{ObjectType: 'P', Name: name} }
	// run asks for all rows of a portal, or for so many.
	run := func(portal string, rows ...uint32) pgproto3.FrontendMessage {
		e := &pgproto3.Execute{Portal: portal}
		if len(rows) > 0 {
			e.MaxRows = rows[0]
		}
		return e
	}
	closeStatement := func(name string) pgproto3.FrontendMessage { return &pgproto3.Close{ObjectType: 'S', Name: name} }
	closePortal := func(name string) pgproto3.FrontendMessage { return &pgproto3.Close{ObjectType: 'P', Name: name} }
	data := func(s string) pgproto3.FrontendMessage { return &pgproto3.CopyData{Data: []byte(s)} }
	sync, flush, done := &pgproto3.Sync{}, &pgproto3.Flush{}, &pgproto3.CopyDone{}
	one := func(name string, messages ...pgproto3.FrontendMessage) exchange {
		return exchange{name, []exchangeBatch{answered(messages...)}}
	}
	types := `select 1::int2, 2::int4, 3::int8, 1.5::float4, 2.5::float8, 12345.678::numeric, 'NaN'::numeric, 'text'::text, 'v'::varchar(5), 'c'::char(3), 'n'::name,
		'\xdeadbeef'::bytea, true, '2024-02-29'::date, '12:34:56'::time, '2024-02-29 12:34:56.789'::timestamp, '2024-02-29 12:34:56+02'::timestamptz, '1 year 2 days 3 hours'::interval,
		'{"a": 1}'::json, '{"a": [1, 2]}'::jsonb, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '10.0.0.0/8'::cidr, '1.2.3.4'::inet, '{1,NULL,3}'::int4[], '{{a,b},{c,NULL}}'::text[],
		int4range(1, 5), numrange(1.5, null), '{[1,3),[5,7)}'::int4multirange, b'101'::bit(3), point(1, 2), 'infinity'::timestamptz, null::text, row(1, 'x', null), 'a'::"char", 42::oid, 'customers'::regclass::text`
	var many, params []pgproto3.FrontendMessage
	for i := range 300 {
		many = append(many, parse("", fmt.Sprintf("select %d, $1::text", i)), bind("", "", fmt.Sprint("p", i)), describePortal(""), run(""))
		if i%7 == 6 {
			many = append(many, sync)
		}
	}
	wide := make([]string, 1000)
	places := make([]string, 1000)
	for i := range wide {
		wide[i], places[i] = fmt.Sprint(i), fmt.Sprintf("$%d::int", i+1)
	}
	params = append(params, parse("", "select cardinality(array["+strings.Join(places, ", ")+"])"), bind("", "", wide...), run(""), sync)
	mixed := &pgproto3.Bind{PreparedStatement: "m", ParameterFormatCodes: []int16{1, 0, 1, 0}, ResultFormatCodes: []int16{0, 1, 1, 0, 1},
		Parameters: [][]byte{{0, 0, 0, 7}, []byte("text"), nil, []byte("1.25")}}
	table := query("create temp table t (id int primary key, name text)")

	return []exchange{
		one("simple", query("select 1 as a, 'two' as b, null as c"), query("select id, name from customers where id < 4 order by id"), query("insert into orders select * from orders where false")),
		one("simple, empty", query(""), query(";"), query("-- nothing"), query(" ; ; ")),
		one("simple, several", query("select 1; select 2 where false; select 3"), query("select 1; select 1/0; select 3"), query("select 1; selec 2"), query("begin; select 1; select 1/0"), query("select 2"), query("rollback; select 3"),
			query("create temp table s (i int); insert into s values (1), (2); select * from s; update s set i = 3; delete from s"), query("begin; insert into s values (9); commit; select 1/0"), query("select * from s; drop table s")),
		one("extended", parse("", "select id, name from customers where id = $1"), bind("", "", "7"), describePortal(""), run(""), sync),
		one("describe first", parse("s", "select id, name, $2::text as x from customers where id = $1"), describeStatement("s"), sync, bind("p", "s", "7", "y"), describePortal("p"), describePortal("p"), run("p"), describeStatement("s"), sync),
		one("describe without rows", parse("", "insert into orders (customer_id) select 1 where $1"), describeStatement(""), sync, parse("", "begin"), describeStatement(""), bind("", ""), describePortal(""), sync, parse("", ""), describeStatement(""), bind("", ""), describePortal(""), run(""), sync),
		one("unnamed again and again", parse("", "select 1"), bind("", ""), run(""), parse("", "select 2"), bind("", ""), run(""), bind("", ""), run(""), sync, bind("", ""), run(""), sync),
		one("unnamed gone after a simple query", parse("", "select 1"), sync, query("select 2"), bind("", ""), run(""), sync),
		one("named", parse("a", "select 1"), parse("b", "select $1::int + 1"), sync, bind("", "a"), run(""), bind("", "b", "41"), run(""), sync, bind("x", "b", "1"), bind("y", "b", "2"), run("y"), run("x"), sync,
			closeStatement("a"), closePortal("x"), closeStatement("never"), closePortal("never"), sync, bind("", "a"), run(""), sync, bind("", "b", "5"), run(""), sync),
		one("named twice", parse("a", "select 1"), parse("a", "select 2"), bind("", "a"), run(""), sync, bind("", "a"), run(""), sync),
		one("prepared in sql, run by protocol", query("prepare p (int) as select $1 * 2"), describeStatement("p"), bind("", "p", "21"), run(""), sync, parse("q", "select $1::int * 3"), sync, query("execute q (5)"), query("deallocate p"), bind("", "p", "1"), sync, query("deallocate all"), bind("", "q", "1"), sync),
		one("discard all", parse("q", "select 1"), sync, query("discard all"), bind("", "q"), run(""), sync),
		one("formats mixed", parse("m", "select $1::int4, $2::text, $3::int8, $4::numeric, now() - now()"), describeStatement("m"), mixed, describePortal(""), run(""), sync),
		one("types as text", parse("", types), bind("", ""), describePortal(""), run(""), sync),
		one("types as binary", parse("", types), binary("", "", 1), describePortal(""), run(""), sync),
		one("declared types", parse("", "select $1, $2, $3", 23, 0, 25), describeStatement(""), bind("", "", "1", "guess", "x"), run(""), sync, parse("", "select $1 + $2", 21, 20), describeStatement(""), sync),
		one("nulls and empties", parse("", "select $1::text is null, $2::text = '', $2"), &pgproto3.Bind{Parameters: [][]byte{nil, {}}}, run(""), sync),
		one("a thousand parameters", params...),
		one("a long parameter", parse("", "select length($1), md5($1)"), bind("", "", strings.Repeat("long ", 1_000_000)), run(""), sync),
		one("partial", query("begin"), parse("s", "select i from generate_series(1, 7) i"), bind("p", "s"), run("p", 3), run("p", 3), run("p", 3), run("p", 3), sync, bind("p", "s"), describePortal("p"), run("p", 2), sync, run("p", 2), sync, closePortal("p"), run("p", 2), sync, query("rollback")),
		one("partial ends with the transaction", parse("s", "select i from generate_series(1, 7) i"), bind("p", "s"), run("p", 2), sync, run("p", 2), sync, query("select 1")),
		one("partial, unnamed", parse("", "select i from generate_series(1, 5) i"), bind("", ""), run("", 2), run("", 2), run("", 2), run("", 2), sync),
		one("two portals in turns", query("begin"), parse("s", "select i from generate_series($1::int, 100) i"), bind("a", "s", "1"), bind("b", "s", "50"), run("a", 2), run("b", 2), run("a", 2), run("b", 2), sync, run("a", 1), run("b", 1), sync, query("commit")),
		one("a write in parts", query("begin"), table, parse("", "insert into t select i, 'x' from generate_series(1, 5) i returning id"), bind("w", ""), run("w", 2), run("w", 2), run("w", 2), sync, query("select count(*) from t"), query("rollback")),
		one("a portal is a cursor", query("begin; declare c cursor for select i from generate_series(1, 5) i"), query("fetch 2 from c"), bind("c", "nowhere"), sync, query("rollback; begin"), parse("", "select i from generate_series(11, 15) i"), bind("mine", ""), sync, query("fetch 2 from mine"), run("mine", 1), sync, query("close mine"), run("mine"), sync, query("rollback")),
		{"flush", []exchangeBatch{
			until("ParseComplete", parse("s", "select i from generate_series(1, 5) i"), flush),
			until("RowDescription", describeStatement("s"), flush),
			until("BindComplete", bind("p", "s"), flush),
			until("PortalSuspended", run("p", 2), flush),
			until("PortalSuspended", run("p", 2), flush),
			until("CommandComplete", run("p", 2), flush),
			until("ErrorResponse", run("nowhere"), flush),
			answered(run("p"), sync),
		}},
		one("an error skips to sync", parse("", "select 1"), bind("", ""), run(""), parse("", "select 1/0"), bind("", ""), run(""), parse("", "select 3"), bind("", ""), run(""), sync, parse("", "select 4"), bind("", ""), run(""), sync),
		one("an error undoes the pipeline", table, parse("", "insert into t values (1, 'x')"), bind("", ""), run(""), parse("", "select 1/0"), bind("", ""), run(""), sync, parse("", "insert into t values (2, 'y')"), bind("", ""), run(""), sync, query("select * from t")),
		one("errors of each step", parse("", "selec"), sync, parse("", "select * from nowhere"), sync, bind("", "nowhere"), sync, parse("", "select $1::int"), bind("", ""), sync, bind("", "", "x"), sync, bind("", "", "1", "2"), sync, describeStatement("nowhere"), sync, describePortal("nowhere"), sync, run("nowhere"), sync,
			parse("", "select 1; select 2"), sync, parse("", "select $1"), describeStatement(""), sync, parse("", "select 1"), &pgproto3.Bind{ResultFormatCodes: []int16{1, 1, 1}}, sync, &pgproto3.Bind{ResultFormatCodes: []int16{7}}, sync, parse("", "select 1 / $1::int"), bind("", "", "0"), run(""), sync),
		one("sync alone", sync, sync, sync),
		one("transactions", parse("b", "begin"), parse("c", "commit"), parse("r", "rollback"), parse("bad", "select 1/0"), sync, bind("", "b"), run(""), sync, bind("", "bad"), run(""), sync, parse("", "select 'refused'"), sync, bind("", "c"), run(""), sync, bind("", "b"), run(""), bind("", "bad"), run(""), bind("", "c"), run(""), sync, bind("", "r"), run(""), sync, bind("", "c"), run(""), sync),
		one("savepoints in a pipeline", table, parse("", "begin"), bind("", ""), run(""), parse("", "savepoint a"), bind("", ""), run(""), parse("", "insert into t values (1, 'x')"), bind("", ""), run(""), parse("", "rollback to a"), bind("", ""), run(""), parse("", "commit"), bind("", ""), run(""), sync, query("select count(*) from t")),
		one("a plan that no longer fits", table, parse("s", "select * from t"), describeStatement("s"), sync, query("alter table t add more int"), bind("", "s"), run(""), sync, closeStatement("s"), parse("s", "select * from t"), describeStatement("s"), bind("", "s"), run(""), sync),
		one("settings are reported", query("set timezone = 'Europe/Berlin'"), query("set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'"), parse("", "set timezone = 'UTC'"), bind("", ""), run(""), sync, query("begin; set local timezone = 'Asia/Tokyo'"), query("rollback"), query("reset all")),
		one("notices", parse("", "do $$ begin raise notice 'one'; raise warning 'two' using detail = 'd', hint = 'h', errcode = '01P42'; end $$"), bind("", ""), run(""), sync, query("drop table if exists nowhere; begin; begin; rollback; rollback")),
		one("notifications", query("listen a"), query("notify a, 'x'"), parse("", "select pg_notify('a', $1)"), bind("", "", "y"), run(""), sync, query("begin; notify a, 'z'"), query("commit"), query("unlisten a; notify a")),
		one("copy out", query("copy (select i, 'row ' || i from generate_series(1, 5) i) to stdout"), query("copy (select 1, null) to stdout with csv header"), query("copy (select 1::int8, 'x') to stdout with binary"), query("select 1; copy (select 2) to stdout; select 3"),
			parse("", "copy (select i from generate_series(1, 3) i) to stdout"), describeStatement(""), bind("", ""), describePortal(""), run(""), sync, query("copy (select 1 / (2 - i) from generate_series(1, 3) i) to stdout")),
		{"copy in", []exchangeBatch{
			answered(table),
			until("CopyInResponse", query("copy t from stdin")),
			{[]pgproto3.FrontendMessage{data("1\ton"), data("e\n2\t"), data("two\n"), &pgproto3.Flush{}, &pgproto3.Sync{}, data("3\tthree\n"), done}, "ReadyForQuery", 1},
			until("CopyInResponse", query("copy t from stdin with csv")),
			until("ReadyForQuery", data("4,four\n"), &pgproto3.CopyFail{Message: "changed my mind"}),
			until("CopyInResponse", query("copy t (id) from stdin")),
			until("ReadyForQuery", data("5\nbad\n6\n"), data("7\n"), done),
			answered(query("select * from t order by id")),
		}},
		{"copy in, extended", []exchangeBatch{
			answered(table),
			until("CopyInResponse", parse("", "copy t from stdin"), bind("", ""), run(""), flush),
			answered(data("1\tone\n"), done, sync),
			until("CopyInResponse", parse("", "copy t from stdin"), bind("", ""), run(""), flush),
			answered(data("2\ttwo\n"), &pgproto3.CopyFail{Message: "no"}, sync),
			until("CopyInResponse", parse("", "copy t from stdin"), bind("", ""), run(""), flush),
			answered(data("x\n"), done, sync),
			answered(query("select * from t order by id")),
		}},
		{"copy in within a transaction", []exchangeBatch{
			answered(query("begin"), table),
			until("CopyInResponse", query("copy t from stdin; select count(*) from t")),
			until("ReadyForQuery", data("1\tone\n2\ttwo\n"), done),
			until("CopyInResponse", query("copy t from stdin")),
			until("ReadyForQuery", data("1\tagain\n"), done),
			answered(query("select 1"), query("rollback")),
		}},
		one("a long pipeline", append(many, sync)...),
		one("many rows", query("select i, md5(i::text) from generate_series(1, 5000) i"), parse("", "select i, repeat('x', i) from generate_series(1, 500) i"), binary("", "", 1, 0), run(""), sync),
	}
}
