package postgres

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// sentences are the server's own messages by SQLSTATE that hold no data, which programs
// look for. What differs in them stands in braces: {t} is the table that the error names
// apart from its message, {n} the constraint, {c} the column and {d} the type, which
// only the server itself fills in; {r} is a relation that the catalog knows, {y} the type
// of a column in it, {k} a command's name. From the sources of PostgreSQL 13 to 18.
var sentences = map[string][]string{
	"0A000": {planChanged},
	"21000": {
		"more than one row returned by a subquery used as an expression",
		"ON CONFLICT DO UPDATE command cannot affect row a second time",
		"MERGE command cannot affect row a second time",
	},
	"22001": {"value too long for type {y}"},
	"22012": {"division by zero"},
	"22003": {"smallint out of range", "integer out of range", "bigint out of range", "numeric field overflow", "value overflows numeric format"},
	"23502": {
		`null value in column "{c}" of relation "{t}" violates not-null constraint`,
		`null value in column "{c}" violates not-null constraint`,
		`column "{c}" of relation "{t}" contains null values`,
		"domain {d} does not allow null values",
	},
	"23503": {
		`insert or update on table "{t}" violates foreign key constraint "{n}"`,
		`update or delete on table "{r}" violates foreign key constraint "{n}" on table "{t}"`,
		`update or delete on table "{r}" violates RESTRICT setting of foreign key constraint "{n}" on table "{t}"`,
	},
	"23001": {
		`update or delete on table "{r}" violates foreign key constraint "{n}" on table "{t}"`,
		`update or delete on table "{r}" violates RESTRICT setting of foreign key constraint "{n}" on table "{t}"`,
	},
	"23505": {
		`duplicate key value violates unique constraint "{n}"`,
		`could not create unique index "{n}"`,
	},
	"23514": {
		`new row for relation "{t}" violates check constraint "{n}"`,
		`check constraint "{n}" of relation "{t}" is violated by some row`,
		`no partition of relation "{t}" found for row`,
		`new row for relation "{t}" violates partition constraint`,
		`value for domain {d} violates check constraint "{n}"`,
	},
	"23P01": {
		`conflicting key value violates exclusion constraint "{n}"`,
		`could not create exclusion constraint "{n}"`,
	},
	"25001": {
		"{k} cannot run inside a transaction block",
		"SET TRANSACTION ISOLATION LEVEL must be called before any query",
		"transaction read-write mode must be set before any query",
	},
	"25006": {"cannot execute {k} in a read-only transaction", "cannot execute nextval() in a read-only transaction", "cannot execute setval() in a read-only transaction"},
	"25P01": {"{k} can only be used in transaction blocks"},
	"25P02": {"current transaction is aborted, commands ignored until end of transaction block"},
	"25P03": {"terminating connection due to idle-in-transaction timeout"},
	"25P04": {"terminating connection due to transaction timeout"},
	"40001": {
		"could not serialize access due to concurrent update",
		"could not serialize access due to concurrent delete",
		"could not serialize access due to read/write dependencies among transactions",
		"canceling statement due to conflict with recovery",
	},
	"40P01": {"deadlock detected", "canceling statement due to conflict with recovery"},
	"55P03": {
		"canceling statement due to lock timeout",
		`could not obtain lock on row in relation "{r}"`,
		`could not obtain lock on relation "{r}"`,
	},
	"57014": {
		"canceling statement due to user request",
		"canceling statement due to statement timeout",
		"canceling autovacuum task",
	},
	"57P01": {"terminating connection due to administrator command"},
	"57P05": {"terminating connection due to idle-session timeout"},
}

const planChanged = "cached plan must not change result type"

// byServer reports whether no function of a user was running when an error came up: it would
// be in its context. What COPY says of the line where it was comes after such a function's.
func byServer(pe *pgconn.PgError, class lineage.Class) bool {
	return pe.InternalQuery == "" && (pe.Where == "" || class == lineage.Streaming && strings.HasPrefix(pe.Where, "COPY "))
}

// sentence reports whether an error's message is one that holds no data.
func (c *reading) sentence(pe *pgconn.PgError, class lineage.Class) bool {
	if !byServer(pe, class) {
		return false
	}
	names := strings.NewReplacer("{t}", pe.TableName, "{n}", pe.ConstraintName, "{c}", pe.ColumnName)
	return slices.ContainsFunc(sentences[pe.Code], func(form string) bool {
		for _, mark := range []struct {
			in   string
			good func(string) bool
		}{
			{"{r}", func(s string) bool {
				return c.knows(func(r *catalog.Relation) bool { return r.Name == s && r.Kind != catalog.Sequence })
			}},
			{"{y}", func(s string) bool {
				return c.knows(func(r *catalog.Relation) bool {
					return slices.ContainsFunc(r.Columns, func(k catalog.Column) bool { return k.Type == s })
				})
			}},
			{"{k}", command},
			{"{d}", func(s string) bool {
				s = strings.ReplaceAll(s, `"`, "")
				return s == pe.DataTypeName || s == pe.SchemaName+"."+pe.DataTypeName
			}},
		} {
			before, after, ok := strings.Cut(form, mark.in)
			if !ok {
				continue
			}
			rest, begins := strings.CutPrefix(pe.Message, names.Replace(before))
			rest, ends := strings.CutSuffix(rest, names.Replace(after))
			return begins && ends && rest != "" && mark.good(rest)
		}
		return pe.Message == names.Replace(form)
	})
}

// command reports whether a word looks like a command's name.
func command(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ ") == ""
}

// named is what an error says of its table, column, type and constraint, in the form of
// ErrorResponse: who reads these needs no message. The message must be the server's own.
func named(pe *pgconn.PgError) []byte {
	var b []byte
	for _, f := range []struct {
		code byte
		name string
	}{{'s', pe.SchemaName}, {'t', pe.TableName}, {'c', pe.ColumnName}, {'d', pe.DataTypeName}, {'n', pe.ConstraintName}} {
		if f.name != "" && len(f.name) < maxName {
			b = append(append(append(b, f.code), f.name...), 0)
		}
	}
	if pe.Message == planChanged {
		b = append(b, "RRevalidateCachedQuery\x00"...) // by which drivers tell that they may prepare it again
	}
	return b
}

// maxName is NAMEDATALEN.
const maxName = 64

// knows reports whether the catalog has a relation of which something is so, in any schema.
func (c *reading) knows(good func(*catalog.Relation) bool) bool {
	snapshots := []*catalog.Snapshot{c.within()}
	if k := c.source.state.Load(); k != nil {
		snapshots = append(snapshots, k.snapshot)
	}
	for _, s := range snapshots {
		if s == nil {
			continue
		}
		for r := range s.Relations {
			if good(r) {
				return true
			}
		}
	}
	return false
}
