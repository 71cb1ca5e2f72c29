package postgres_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// edges fail for values at the edge of their types alone, such as the least integer, or json
// with an escaped zero. That is let through: what people hide is hardly ever there, and
// whoever has it computed is refused (see edged in package lineage).
var edges = regexp.MustCompile(`\b(abs|age|date_trunc|jsonb_build_object)\(|h_json ->`)

// vault is what the table vault hides: a column of each type, with values for which
// functions do different things, or fail. The first two of each serve as constants.
var vault = map[string][]string{
	"text":                        {"abc", "12", "", `Nq\`, "{1,2}", "(a", "2020-02-30", "UTC", "public.vault", "<a>"},
	"character varying":           {"abc", "7", "", `q\`},
	"character(4)":                {"abc", "7", "", "(["},
	"name":                        {"abc", "vault", "public", ""},
	`"char"`:                      {"a", "", "7"},
	"boolean":                     {"t", "f"},
	"smallint":                    {"1", "2", "0", "-32768", "32767"},
	"integer":                     {"1", "2", "0", "-1", "-2147483648", "2147483647"},
	"bigint":                      {"1", "2", "0", "-1", "-9223372036854775808", "9223372036854775807"},
	"real":                        {"1", "2.5", "0", "-1", "NaN", "Infinity", "3e38", "1e-37"},
	"double precision":            {"1", "2.5", "0", "-1", "NaN", "Infinity", "1e308", "1e-307"},
	"numeric":                     {"1", "2.5", "0", "-1", "NaN", "Infinity", "1e30", "1e-30", "1e300"},
	"money":                       {"1", "2.5", "0", "-1", "-92233720368547758.08", "92233720368547758.07"},
	"date":                        {"2020-02-03", "2021-12-31", "infinity", "4713-01-01 BC", "5874897-12-31"},
	"time without time zone":      {"12:30", "01:02:03", "00:00", "24:00"},
	"time with time zone":         {"12:30+01", "01:02:03+00", "24:00-15:59"},
	"timestamp without time zone": {"2020-02-03 04:05:06", "2021-12-31", "infinity", "-infinity", "294276-12-31", "4714-11-24 BC"},
	"timestamp with time zone":    {"2020-02-03 04:05:06+00", "2021-12-31+00", "infinity", "-infinity", "294276-12-31+00", "4714-11-24 00:00+00 BC"},
	"interval":                    {"1 day", "2 months", "0", "-1 hour", "178000000 years", "2147483647 days"},
	"uuid":                        {"00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	"json":                        {`{"a": 1}`, `[1, 2]`, `"x"`, `null`, `{"a": [{"b": "x"}]}`, `1e400`, `"\u0000"`, `{"\u0000": 1}`},
	"jsonb":                       {`{"a": 1}`, `[1, 2]`, `"x"`, `null`, `{"a": [{"b": "x"}]}`, `12345678901234567890`, `true`},
	"jsonpath":                    {"$.a", "$", "strict $.b", "$[*] ? (@ > 1)", `$.double()`},
	"xml":                         {"<a>1</a>", "<b/>", "x", "<a/><b/>"},
	"bytea":                       {`\x61`, `\x`, `\x00ff`, `\xe28282`, `\x7b`},
	"bit(4)":                      {"1010", "0000", "1111"},
	"bit varying":                 {"1010", "", "11111111111111111111111111111111111111111111111111111111111111111"},
	"inet":                        {"10.0.0.1", "10.0.0.0/8", "::1", "255.255.255.255", "0.0.0.0/0"},
	"cidr":                        {"10.0.0.0/8", "::/0", "255.255.255.255/32"},
	"macaddr":                     {"08:00:2b:01:02:03", "00:00:00:00:00:00"},
	"macaddr8":                    {"08:00:2b:01:02:03:04:05", "08:00:2b:ff:fe:03:04:05"},
	"point":                       {"(1,2)", "(0,0)", "(1e308,-1e308)", "(NaN,1)"},
	"line":                        {"{1,2,3}", "{0,1,0}"},
	"lseg":                        {"[(0,0),(1,1)]", "[(0,0),(0,0)]", "[(0,0),(1e308,1e308)]"},
	"box":                         {"(1,1),(0,0)", "(0,0),(0,0)", "(9,9),(0,0)"},
	"path":                        {"((0,0),(1,1),(2,0))", "[(0,0),(1,1)]", "[(0,0)]"},
	"polygon":                     {"((0,0),(1,1),(2,0))", "((0,0))"},
	"circle":                      {"<(0,0),1>", "<(0,0),0>", "<(9,0),2>"},
	"tsvector":                    {"'a':1 'b':2", "", "'x'"},
	"tsquery":                     {"'a' & 'b'", "", "!'x'"},
	"oid":                         {"1259", "0", "4294967295", "1255"},
	"regclass":                    {"pg_class", "vault", "pg_stats"},
	"regtype":                     {"integer", "text"},
	"integer[]":                   {"{1,2}", "{}", "{{1,2},{3,4}}", "{NULL,1}", "[2:3]={1,2}"},
	"text[]":                      {"{a,b}", "{}", "{{a,b},{c,d}}", "{NULL,a}", "{a}", `{"",a}`, "{a,b,c}"},
	"int4range":                   {"[1,5)", "empty", "(,)", "[7,9)", "[2147483646,2147483647)"},
	"numrange":                    {"[1,5)", "empty", "(,)", "[7,9)"},
	"daterange":                   {"[2020-01-01,2020-02-01)", "empty", "(,)"},
	"int4multirange":              {"{[1,5)}", "{}", "{[1,2),[7,9)}"},
	"pg_lsn":                      {"0/1", "FFFFFFFF/FFFFFFFF", "0/0"},
	"xid":                         {"3", "0", "4294967295"},
	"xid8":                        {"3", "0", "18446744073709551615"},
	"mood":                        {"glad", "sad"},
	"pair":                        {"(1,a)", "(,)", "(2,)"},
	"posint":                      {"1", "2", "2147483647"},
}

// poly are the types that stand for a polymorphic one, in the same order for all of them.
var poly = map[string][]string{
	"anyelement": {"integer", "text"}, "anyarray": {"integer[]", "text[]"}, "anynonarray": {"integer", "text"}, `"any"`: {"integer", "text"},
	"anycompatible": {"integer", "text"}, "anycompatiblearray": {"integer[]", "text[]"}, "anycompatiblenonarray": {"integer", "text"},
	"anyrange": {"int4range"}, "anycompatiblerange": {"int4range"}, "anymultirange": {"int4multirange"}, "anycompatiblemultirange": {"int4multirange"},
	"anyenum": {"mood"}, "record": {"pair"},
}

// forms are what the grammar has besides calls, operators and casts; h is the hidden
// column, c a constant of its type, t the type.
var forms = strings.Split(`h IS NULL|h IS NOT DISTINCT FROM c|h BETWEEN c AND c|h IN (c, c)|CASE h WHEN c THEN 1 ELSE 0 END|CASE WHEN h = c THEN 1/0 END|COALESCE(h, c)|NULLIF(h, c)|GREATEST(h, c)|LEAST(c, h)
ARRAY[h, c]|ARRAY[h, h]|ARRAY[ARRAY[h], ARRAY[c]]|(ARRAY[1, 2])[h]|h[1]|h[1:1]|(ARRAY[1, 2])[1:h]|h[h]|ROW(h, 1) < ROW(c, 1)|ROW(h) = ROW(c)|ROW(h)|h = ANY (ARRAY[c])|c = ANY (h)|c < ALL (ARRAY[h])
to_json(h)|json_build_object(h, 1)|jsonb_build_object('a', h)|json_object_agg(h, 1)|jsonb_object_agg(h, 1)|array_agg(h)|json_agg(h)|string_agg(h, c)|string_agg('x', h)|xmlforest(h AS a)|xmlelement(name a, h)|xmlconcat(h)|xmlparse(DOCUMENT h)|xmlparse(CONTENT h)|xmlserialize(CONTENT h AS text)|h IS DOCUMENT
min(h)|count(h)|count(DISTINCT h)|sum(h)|percentile_disc(0.5) WITHIN GROUP (ORDER BY h)|percentile_cont(0.5) WITHIN GROUP (ORDER BY h)|percentile_disc(h) WITHIN GROUP (ORDER BY id)|mode() WITHIN GROUP (ORDER BY h)|rank(c) WITHIN GROUP (ORDER BY h)|rank(h) WITHIN GROUP (ORDER BY c)
lag(id, h) OVER ()|lag(h, 1, c) OVER ()|ntile(h) OVER ()|nth_value(id, h) OVER ()|sum(id) OVER (ORDER BY h RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)|sum(id) OVER (ORDER BY id ROWS h PRECEDING)|first_value(h) OVER ()
extract(day FROM h)|extract(epoch FROM h)|extract(timezone FROM h)|extract(hour FROM h)|h AT TIME ZONE 'UTC'|timestamp '2020-01-01' AT TIME ZONE h|h COLLATE "C"|h < (c COLLATE "C")|overlay('abc' PLACING h FROM 2)|overlay('abc' PLACING 'x' FROM h)|substring('abc' FROM h)|substring(h FROM 1 FOR -1)|substring('abc' FROM 1 FOR h)|substring(h SIMILAR 'a#"b#"c' ESCAPE '#')|'x' LIKE h|'x' ~ h|h SIMILAR TO 'a'|'a' SIMILAR TO h|h LIKE 'a' ESCAPE 'xx'|'a' LIKE 'b' ESCAPE h|trim(h)|trim('x' FROM h)|trim(h FROM 'x')|position(h IN 'abc')|normalize(h)|h IS NORMALIZED
(h).a|(h).b|h::varchar(2)|h::char(2)|h::numeric(3,1)|h::numeric(3,-2)|h::bit(3)|h::varbit(2)|h::timestamp(0)|h::time(0)|h::interval day|h::interval(0)|CAST(h AS posint)|CAST(h AS mood)|CAST(h AS pair)|CAST(h AS posint[])|format('%s', h)|format(h, 1)|format('%I', h)|concat(h, 1)|pg_typeof(h)|pg_column_size(h)|repeat('x', h)|lpad('x', h)|h || repeat('x', 10)|make_date(h, 1, 1)|generate_series(1, h)|unnest(h)|json_populate_record(NULL::pair, h)|width_bucket(h, c, c, 2)|to_char(h, 'FM9')|to_char(1, h)|to_date(h, 'YYYY')|to_date('2020', h)|to_number(h, '9')|encode('a', h)|decode(h, 'hex')|decode('aa', h)|convert_from(h, 'UTF8')|set_bit(h, 3, 1)|get_byte(h, 1)|hashtext(h)|(SELECT h)|EXISTS (SELECT h)|(SELECT 1 WHERE h IS NULL)|-h|+h|NOT h|h AND true|abs(h)|1 / h|10 % h|h / 0|sqrt(h)|ln(h)|h IS TRUE|h ^ 2|factorial(h)|chr(h)|setseed(h)|currval(h)|pg_size_pretty(h)|json_array_length(h)|jsonb_path_query(h, '$.a.b')|jsonb_path_query('{"a": 1}', h)|jsonb_set(h, '{a}', '1')|jsonb_set('{"a": 1}', h, '1')|jsonb_insert(h, '{a}', '1')|h -> 'a'|h ->> 0|h #> '{a}'|'{"a": 1}'::jsonb -> h|'[1, 2]'::jsonb - h|xpath('/a', h)|xpath(h, '<a/>')|array_fill(1, ARRAY[h])|array_to_string(h, ',')|string_to_array(h, NULL)|regexp_matches('a', h)|regexp_replace('a', 'a', h)|regexp_replace('a', 'a', 'b', h)|regexp_split_to_array('a', h)|ts_rank(to_tsvector('a'), h)|to_tsquery(h)|to_tsvector(h)|plainto_tsquery(h)|setweight(h, 'A')|ts_filter(h, '{a}')|ts_headline('a', h)|lower(h)|upper(h)|date_trunc('day', h)|date_trunc(h, now())|date_part(h, now())|date_bin(h, now(), now())|age(h)|justify_interval(h)|make_interval(days => h)|isempty(h)|range_merge(h, c)|h -|-h- c`, "|")

// hiddenColumn is the name of the column of a type.
func hiddenColumn(typ string) string {
	return "h_" + strings.NewReplacer(" ", "_", "[]", "_array", `"`, "", "(", "", ")", "").Replace(typ)
}

// calls are all expressions by which a column of the type goes into something of PostgreSQL's.
func calls(t testing.TB, database string) map[string][]string {
	t.Helper()
	base := func(typ string) string { // as the catalog names it
		typ, _, _ = strings.Cut(typ, "(")
		return typ
	}
	by := map[string]string{} // the type of a column, by its base
	for typ := range vault {
		by[base(typ)] = typ
	}
	all := map[string][]string{}
	add := func(typ, expr string) { all[typ] = append(all[typ], expr) }
	constant := func(typ string, i int) string {
		return "'" + strings.ReplaceAll(vault[typ][i], "'", "''") + "'::" + typ
	}
	// args are the ways to fill arguments of these types, one of them with the column.
	args := func(types []string, each func(typ string, args []string)) {
		for family := range 2 {
			var real []string
			manifold := false
			for _, arg := range types {
				if p, ok := poly[arg]; ok {
					manifold = true
					arg = p[min(family, len(p)-1)]
				}
				real = append(real, by[arg])
			}
			if family > 0 && !manifold || slices.Contains(real, "") {
				continue
			}
			for at, typ := range real {
				for c := range 2 {
					var filled []string
					for i, other := range real {
						if i == at {
							filled = append(filled, hiddenColumn(typ))
						} else {
							filled = append(filled, constant(other, c))
						}
					}
					each(typ, filled)
					if len(real) == 1 {
						break
					}
				}
				if len(real) > 1 && !slices.ContainsFunc(real, func(other string) bool { return other != typ }) {
					each(typ, slices.Repeat([]string{hiddenColumn(typ)}, len(real)))
				}
			}
		}
	}
	query := func(sql string) [][]string {
		rows, err := server.Query(t.Context(), database, sql)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	for _, f := range query(`SELECT DISTINCT quote_ident(proname), prokind, (SELECT string_agg(format_type(t, NULL), '|' ORDER BY o) FROM unnest(proargtypes) WITH ORDINALITY u (t, o))
		FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid WHERE pronamespace = 'pg_catalog'::regnamespace AND pronargs BETWEEN 1 AND 6 AND COALESCE(aggkind, 'n') = 'n'
		AND proname !~ '(sleep|advisory|terminate|cancel_backend|lo_|loread|lowrite|_lo$|replication|wal|backup|notify|_to_xml|logical|_in$|recv|send$)' ORDER BY 1, 2, 3`) {
		args(strings.Split(f[2], "|"), func(typ string, args []string) {
			call := "pg_catalog." + f[0] + "(" + strings.Join(args, ", ") + ")"
			if f[1] == "w" {
				call += " OVER ()"
			}
			add(typ, call)
		})
	}
	for _, o := range query(`SELECT DISTINCT oprname, format_type(NULLIF(oprleft, 0), NULL), format_type(oprright, NULL) FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace ORDER BY 1, 2, 3`) {
		types := []string{o[1], o[2]}
		if o[1] == "-" || o[1] == "" {
			types = types[1:]
		}
		args(types, func(typ string, args []string) {
			if len(args) == 1 {
				add(typ, o[0]+" "+args[0])
			} else {
				add(typ, args[0]+" "+o[0]+" "+args[1])
			}
		})
	}
	for typ := range vault {
		for to := range vault {
			add(typ, hiddenColumn(typ)+"::"+to)
		}
		for _, f := range forms {
			for line := range strings.SplitSeq(f, "\n") {
				var b strings.Builder
				for i, r := range line {
					alone := !letterAt(line, i-1) && !letterAt(line, i+1)
					switch {
					case r == 'h' && alone:
						b.WriteString(hiddenColumn(typ))
					case r == 'c' && alone:
						b.WriteString(constant(typ, 0))
					default:
						b.WriteRune(r)
					}
				}
				add(typ, b.String())
			}
		}
	}
	return all
}

func letterAt(s string, i int) bool {
	return i >= 0 && i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || s[i] == '_' || s[i] == '\'' || s[i] == '%')
}

// plantVault makes the table, and a function that tries expressions on each of its rows:
// it tells what comes of them, to those who may see all.
func plantVault(t testing.TB, database string) {
	t.Helper()
	var sql strings.Builder
	sql.WriteString(`CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TYPE pair AS (a integer, b text); CREATE DOMAIN posint AS integer CHECK (value > 0);
		GRANT USAGE ON TYPE mood, pair, posint TO PUBLIC; CREATE TABLE vault (id integer PRIMARY KEY`)
	types := slices.Sorted(maps.Keys(vault))
	longest := 0
	for _, typ := range types {
		fmt.Fprintf(&sql, ", %s %s", hiddenColumn(typ), typ)
		longest = max(longest, len(vault[typ])+1)
	}
	sql.WriteString(");\n")
	for id := range longest { // after the last value, there is none
		fmt.Fprintf(&sql, "INSERT INTO vault VALUES (%d", id)
		for _, typ := range types {
			if id < len(vault[typ]) {
				fmt.Fprintf(&sql, ", '%s'", strings.ReplaceAll(vault[typ][id], "'", "''"))
			} else {
				sql.WriteString(", NULL")
			}
		}
		sql.WriteString(");\n")
	}
	sql.WriteString(`GRANT SELECT ON vault TO PUBLIC;
		CREATE FUNCTION outcomes(expr text, rows integer) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE result text; everything text := '';
		BEGIN
			FOR i IN 0 .. rows LOOP
				BEGIN
					EXECUTE 'SELECT string_agg(COALESCE(x::text, ''?''), ''|'') FROM (SELECT ' || expr || ' AS x FROM vault WHERE id = $1 LIMIT 3) q' INTO result USING i;
					everything := everything || ' v' || COALESCE(md5(result), '-');
				EXCEPTION WHEN OTHERS THEN
					everything := everything || ' e' || SQLSTATE;
					IF i = 0 AND SQLSTATE ~ '^42' AND SQLSTATE <> '42704' AND SQLSTATE <> '42P01' AND SQLSTATE <> '42883' THEN RETURN ''; END IF;
				END;
			END LOOP;
			RETURN everything;
		END $$;`)
	if _, err := server.Query(t.Context(), database, sql.String()); err != nil {
		t.Fatal(err)
	}
}

// TestVault puts hidden values of every type into every function, operator, cast and form
// of expression that PostgreSQL has. Where what comes of it depends on the value, the
// answer through the bastion must not: not even by whether it is an error.
func TestVault(t *testing.T) {
	const database = "vault"
	if err := server.Fill(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	plantVault(t, database)
	setup := connectortest.Setup{Connector: postgres.Connector{}, Target: target(database), Secret: bastion.NewSecret(server.App().User, server.App().Password),
		Labels: []mask.Label{{Pattern: "public.vault.h_*", Kind: mask.Redact}}}
	for typ, exprs := range calls(t, database) {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			who := console(t, setup)
			slices.Sort(exprs)
			exprs = slices.Compact(exprs)
			tried := 0
			const most = 200
			for part := range slices.Chunk(exprs, most) {
				var b strings.Builder
				b.WriteString("SELECT n, outcomes(x, " + fmt.Sprint(len(vault[typ])) + ") FROM (VALUES (0, NULL)")
				for n, x := range part {
					fmt.Fprintf(&b, ", (%d, '%s')", n+1, strings.ReplaceAll(x, "'", "''"))
				}
				rows, err := server.Query(t.Context(), database, "SET statement_timeout = '60s'; "+b.String()+") v (n, x) WHERE n > 0 ORDER BY n")
				if err != nil {
					t.Fatal(err)
				}
				for i, row := range rows {
					ids := differing(row[1])
					if len(ids) < 2 || edges.MatchString(part[i]) {
						continue
					}
					tried++
					first := ""
					for n, id := range ids {
						got, _ := who.run(fmt.Sprintf("SELECT %s FROM vault WHERE id = %d", part[i], id))
						if n == 0 {
							first = string(got)
						} else if string(got) != first {
							t.Errorf("SELECT %s FROM vault\nfor value %d: %s\nfor value %d: %s", part[i], ids[0], shown(first), id, shown(string(got)))
							break
						}
					}
				}
			}
			if t.Logf("%d of %d expressions tell a value", tried, len(exprs)); tried == 0 {
				t.Error("none does")
			}
		})
	}
}

// differing are rows whose outcomes differ in kind, and two that differ in value.
func differing(outcomes string) (ids []int) {
	seen := map[string]int{}
	for id, o := range strings.Fields(outcomes) {
		kind := o
		if o[0] == 'v' {
			kind = "v"
			if o == "v-" {
				kind = "v-"
			}
		}
		if seen[kind] < 1 || kind == "v" && seen[kind] < 2 && seen[o] == 0 {
			ids = append(ids, id)
		}
		seen[kind]++
		if kind != o {
			seen[o]++
		}
	}
	return ids
}
