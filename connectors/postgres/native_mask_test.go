package postgres_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sallyport/sallyport/bastion/mask"
)

// everyType is a table with a column of each common type, and a row that is to be hidden.
const everyType = `CREATE TYPE mood AS ENUM ('sad', 'secret');
	CREATE DOMAIN code AS text; CREATE TYPE pair AS (a text, "B c" int); CREATE TYPE floats AS RANGE (subtype = float8);
	CREATE TABLE every (id int PRIMARY KEY, c_text text, c_varchar varchar(40), c_char char(12), c_name name, c_code code, c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8,
		c_float4 float4, c_float8 float8, c_numeric numeric(20,4), c_money money, c_bytea bytea, c_uuid uuid, c_date date, c_time time, c_timetz timetz,
		c_timestamp timestamp, c_timestamptz timestamptz, c_interval interval, c_json json, c_jsonb jsonb, c_xml xml, c_inet inet, c_cidr cidr, c_macaddr macaddr,
		c_bit bit(8), c_varbit varbit, c_oid oid, c_point point, c_box box, c_tsvector tsvector, c_int4s int4[], c_texts text[], c_range int4range, c_dates daterange,
		c_mood mood, c_moods mood[], c_pair pair, c_pairs pair[], c_codes code[], c_floats floats);
	GRANT ALL ON every TO shop_app;
	INSERT INTO every VALUES (1, 'secret31337', 'secret31337', 'secret31337', 'secret31337', 'secret31337', true, 31337-5, 313373, 31337313373,
		31337.5, 31337.25, 31337.1234, 31337.12, 'secret31337', '31337313-3731-3373-1337-313373133731', '1931-07-19', '03:13:37', '03:13:37+01',
		'1931-07-19 03:13:37', '1931-07-19 03:13:37+00', '31337 days', '{"k": "secret31337"}', '["secret31337", 31337]', '<a>secret31337</a>', '31.33.73.13', '31.33.73.0/24', '31:33:73:13:37:31',
		B'10101010', B'1010101', 31337, '(31337,1)', '(31337,1),(0,0)', 'secret31337', '{31337,31338}', '{secret31337,b}', '[31337,31339)', '[1931-07-19,1931-08-19)',
		'secret', '{secret}', '(secret,31337)', '{"(secret,31337)"}', '{secret31337}', '[31337,31338)');
	INSERT INTO every (id) VALUES (2)`

func TestNativeMaskedTypes(t *testing.T) {
	setup := shop(t, "native_types")
	if _, err := server.Query(t.Context(), "native_types", everyType); err != nil {
		t.Fatal(err)
	}
	direct := connect(t, server.URL(server.App(), "native_types"))
	for _, kind := range []mask.Kind{mask.Redact, mask.Null, mask.Pseudonym, mask.Email, mask.Last4} {
		setup.Labels = []mask.Label{{Pattern: "public.every.c_*", Kind: kind}}
		_, url := listen(t, setup)
		c := connect(t, url)
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec} {
			t.Run(kind.String()+" "+mode.String(), func(t *testing.T) {
				// The driver must be able to read each value as what its type says.
				rows, err := c.Query(t.Context(), "SELECT * FROM every ORDER BY id", mode)
				if err != nil {
					t.Fatal(err)
				}
				for rows.Next() {
					values, err := rows.Values()
					if err != nil {
						t.Fatal(err)
					}
					if fmt.Sprint(values[0]) == "2" {
						for i, v := range values[1:] {
							if kind != mask.Redact && v != nil {
								t.Errorf("%s: NULL is %v", rows.FieldDescriptions()[i+1].Name, v)
							}
						}
						continue
					}
					for i, v := range values[1:] {
						name := rows.FieldDescriptions()[i+1].Name
						if kind == mask.Null && v != nil {
							t.Errorf("%s is %v", name, v)
						}
						if kind != mask.Null && v == nil {
							t.Errorf("%s has nothing to stand for it", name)
						}
						if s := fmt.Sprintf("%v %s", v, v); hasSecret(s) {
							t.Errorf("%s shows %s", name, s)
						}
						if name == "c_text" && v != nil && v == "secret31337" {
							t.Errorf("text is %v", v)
						}
					}
				}
				if err := rows.Err(); err != nil {
					t.Error(err)
				}
			})
		}
		// The server can read what stands for rows, labels and ranges.
		for column, typ := range map[string]string{"c_mood": "mood", "c_moods": "mood[]", "c_pair": "pair", "c_pairs": "pair[]", "c_codes": "code[]", "c_floats": "floats"} {
			for _, format := range []int16{0, 1} {
				r := c.PgConn().ExecParams(t.Context(), "SELECT "+column+" FROM every WHERE id = 1", nil, nil, nil, []int16{format}).Read()
				if r.Err != nil {
					t.Fatal(r.Err)
				}
				back := direct.PgConn().ExecParams(t.Context(), "SELECT $1::"+typ+" IS NOT NULL OR true", [][]byte{r.Rows[0][0]}, nil, []int16{format}, nil).Read()
				if back.Err != nil || r.Rows[0][0] == nil && kind != mask.Null {
					t.Errorf("%s in format %d: %q: %v", column, format, r.Rows[0][0], back.Err)
				}
			}
		}
		// What is not hidden comes as it is.
		var id int
		if err := c.QueryRow(t.Context(), "SELECT id FROM every WHERE id = $1", 1).Scan(&id); err != nil || id != 1 {
			t.Error(id, err)
		}
		psql := exec.CommandContext(t.Context(), "psql", "-X", "-c", "\\x on", "-c", "SELECT * FROM every ORDER BY id", "-c", "COPY every TO STDOUT", "-c", "COPY every TO STDOUT (FORMAT csv)", url)
		out, err := psql.CombinedOutput()
		if err != nil || hasSecret(string(out)) || !strings.Contains(string(out), "masked: c_text") {
			t.Errorf("psql, %s: %v: %s", kind, err, out)
		}
	}
	var n int
	if err := direct.QueryRow(t.Context(), "SELECT count(*) FROM every").Scan(&n); err != nil || n != 2 {
		t.Error(n, err)
	}
}

// hasSecret reports whether a text shows something of the hidden row.
func hasSecret(s string) bool {
	for _, w := range []string{"secret", "31337", "1931", "03:13", "3:13:37", "31.33", "33:73", "10101"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
