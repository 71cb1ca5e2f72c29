package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// What is bound is a value, whatever is written in it, and has a type.
func TestBind(t *testing.T) {
	setup := shop(t, "bind")
	s := connectortest.Start(t, setup)
	one := func(text string, values ...bastion.Value) (string, error) {
		op, err := s.Bind(t.Context(), setup.Target.Name, text, values)
		if err != nil {
			return "", err
		}
		answer := ""
		err = s.Run(t.Context(), op, bastion.Job{Show: func(f bastion.Frame) error {
			if f.Kind() == bastion.RowFrame {
				for _, v := range f.Row() {
					answer += string(v) + "|"
				}
			}
			return nil
		}})
		return answer, err
	}
	text := func(s string) bastion.Value { return bastion.Value{Type: bastion.TextValue, Text: s} }
	integer := func(s string) bastion.Value { return bastion.Value{Type: bastion.IntegerValue, Text: s} }
	for _, c := range []struct {
		text   string
		values []bastion.Value
		want   string
		fail   string
	}{
		{"select $1 || 'x', length($1)", []bastion.Value{text("'; drop table customers; --")}, "'; drop table customers; --x|27|", ""},
		{"select $1 || ''", []bastion.Value{text(`\'$1 :a E'\0`)}, `\'$1 :a E'\0|`, ""},
		{"select $1 || ''", []bastion.Value{text("")}, "|", ""},
		{"select pg_typeof($1), pg_typeof($2), pg_typeof($3), pg_typeof($4), pg_typeof($5)", []bastion.Value{integer("7"), integer("-2147483649"),
			{Type: bastion.NumberValue, Text: "1.50"}, {Type: bastion.BooleanValue, Text: "true"}, {Type: bastion.DateValue, Text: "2026-03-01"}},
			"integer|bigint|numeric|boolean|date|", ""},
		{"select $1, count(*) from customers where id = $1 or id = $2", []bastion.Value{integer("7"), integer("8")}, "7|2|", ""},
		{"update customers set city = $1 where id = $2 returning city", []bastion.Value{text("L'Aquila"), integer("7")}, "L'Aquila|", ""},
		{"select $1::int", []bastion.Value{text("7; select 1")}, "", "invalid input syntax"},
		{"select 1 where $1", []bastion.Value{integer("1")}, "", "must be type boolean"},
		{"select $1", nil, "", "supplies 0 parameters"},
		{"select '$1'", []bastion.Value{text("x")}, "", "names 0 parameters, and there are values for 1"},
		{"select $2", []bastion.Value{text("x")}, "", "none of them is $1"},
		{"select $1, $2", []bastion.Value{text("x")}, "", "names 2 parameters"},
		{"alter table customers add column x text default $1", []bastion.Value{text("x")}, "", "takes parameters in SELECT"},
		{"create table t as select $1", []bastion.Value{text("x")}, "", "takes parameters in SELECT"},
		{"drop table $1", []bastion.Value{text("customers")}, "", "syntax error"},
		{"select * from $1", []bastion.Value{text("customers")}, "", "syntax error"},
		{"select date $1", []bastion.Value{text("2026-01-01")}, "", "as in: $1::date"},
		{"select interval $1", []bastion.Value{text("1 day")}, "", "as in: $1::date"},
		{"select cast($1 as date), $1::date", []bastion.Value{text("2026-01-01")}, "2026-01-01|2026-01-01|", ""},
		{"do $$ begin end $$", []bastion.Value{text("x")}, "", "takes parameters in SELECT"},
		{"select $1", []bastion.Value{{Text: "x"}}, "", "internal error: a value of type"},
	} {
		got, err := one(c.text, c.values...)
		switch {
		case c.fail != "":
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%s %v: %q, %v; want %q", c.text, c.values, got, err, c.fail)
			}
		case err != nil || got != c.want:
			t.Errorf("%s %v: %q, %v; want %q", c.text, c.values, got, err, c.want)
		}
	}
	if n := strings.Count(s.Recorded(), `drop table customers`); n == 0 {
		t.Error("the values are not recorded")
	}
}

// Re-parameterised after approval: another value, or the same one as another type, is
// another operation.
func TestBindDigest(t *testing.T) {
	setup := shop(t, "bind_digest")
	waiting := &connectortest.Approvals{}
	setup.Approvals = waiting
	setup.Decide = func(op bastion.Operation) bastion.Effect {
		if op.Intent().Verb == "update" {
			return bastion.Ask
		}
		return bastion.Allow
	}
	s := connectortest.Start(t, setup)
	const text = "update customers set city = 'x' where id = $1"
	digests := map[string]bool{}
	var ops []bastion.Operation
	for _, v := range []bastion.Value{{Type: bastion.IntegerValue, Text: "7"}, {Type: bastion.IntegerValue, Text: "8"}, {Type: bastion.TextValue, Text: "7"}, {Type: bastion.NumberValue, Text: "7"}} {
		op, err := s.Bind(t.Context(), setup.Target.Name, text, []bastion.Value{v})
		if err != nil {
			t.Fatal(err)
		}
		digests[op.Digest()] = true
		ops = append(ops, op)
	}
	if len(digests) != len(ops) {
		t.Errorf("%d operations have %d digests", len(ops), len(digests))
	}
	r, err := waiting.File(t.Context(), bastion.Question{Op: ops[0], Who: s.Who(), Reason: "x"})
	if err != nil {
		t.Fatal(err)
	}
	waiting.Set(r.ID, bastion.Approved)
	quiet := bastion.Job{Show: func(bastion.Frame) error { return nil }}
	for _, op := range ops[1:] {
		if err := s.Run(t.Context(), op, quiet); !errors.Is(err, bastion.ErrReason) {
			t.Errorf("another parameter runs by the approval: %v", err)
		}
	}
	if err := s.Run(t.Context(), ops[0], quiet); err != nil {
		t.Error(err)
	}
	if op, err := s.Parse(t.Context(), strings.Replace(text, "$1", "7", 1)); err != nil || digests[op.Digest()] {
		t.Errorf("a constant is a parameter: %v", err)
	}
	if _, ok := bastion.Connector(postgres.Connector{}).(bastion.Binder); !ok {
		t.Error("the connector binds nothing")
	}
}
