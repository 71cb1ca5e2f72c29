package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
)

// Sample says what [Connector.Scan] looks at.
type Sample struct {
	Schema string // this schema alone; all of users' if empty
	Rows   int    // rows of each table at most; 0 looks at names and types alone
}

// Scanned is a column of a table, as [Connector.Scan] finds it.
type Scanned struct {
	Schema, Table, Name string
	Type                string // as PostgreSQL writes it, such as numeric(10,2)
	// Base is the name of the type under domains and arrays, such as numeric.
	Base string
	// Looked says that values were looked at. Where they were not, Why says why not
	// if that is for want of a right, time or means.
	Looked bool
	Why    string
	// Triggers are those of its table, and of the table's partitions, with the functions
	// that they run, and rules: whatever writes to the table has them write elsewhere.
	Triggers []string
}

// Limits of a scan.
const (
	scanTimeout = 30 * time.Second // for one table
	scanLocks   = 2 * time.Second  // for a lock that somebody else holds
	maxScanned  = 4000             // characters of a value
)

// scanColumns lists columns of tables. Partitions and inherited columns are left
// out, because a label on the parent holds for them; so are views, because labels
// follow what flows into them. The column before the last says whether a value can be read
// without running anything that a user wrote: a cast is a function.
const scanColumns = `WITH RECURSIVE under AS (
		SELECT oid AS root, oid, 0 AS depth FROM pg_type
		UNION ALL SELECT u.root, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, u.depth + 1
		FROM under u JOIN pg_type t ON t.oid = u.oid
		WHERE u.depth < 16 AND (t.typtype = 'd' OR t.typcategory = 'A' AND t.typelem <> 0))
	SELECT n.nspname, c.relname, c.relkind, c.reltuples::float8, a.attname, format_type(a.atttypid, a.atttypmod), t.typname,
		has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT'),
		a.attgenerated NOT IN ('', 's') OR t.oid >= 16384 AND NOT EXISTS (
			SELECT FROM pg_cast x WHERE x.castsource = t.oid AND x.casttarget = 'text'::regtype AND x.castmethod = 'b'),
		array_to_string(ARRAY(
			WITH RECURSIVE kin AS (SELECT c.oid UNION SELECT k.oid FROM kin JOIN pg_inherits i ON i.inhparent = kin.oid JOIN pg_class k ON k.oid = i.inhrelid AND k.relispartition)
			SELECT format('trigger %I, which runs %s', g.tgname, g.tgfoid::regprocedure) FROM pg_trigger g
			WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgrelid IN (SELECT oid FROM kin)
			UNION SELECT format('rule %I', w.rulename) FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_type <> '1' AND w.ev_enabled <> 'D'
			ORDER BY 1), chr(10))
	FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN under u ON u.root = a.atttypid
	JOIN pg_type t ON t.oid = u.oid AND t.typtype <> 'd' AND NOT (t.typcategory = 'A' AND t.typelem <> 0)
	WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND a.attinhcount = 0
		AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ($1 = '' OR n.nspname = $1)
	ORDER BY n.nspname, c.relname, a.attnum`

// Scan lists the columns of a target's tables and calls look with sampled values,
// which are the caller's until look returns. It is for an administrator at the
// bastion, who holds the target's credential: nothing of it is decided, masked or
// recorded, so it must not be reachable for anybody else. It only reads, and runs
// no code that users of the target wrote: where a row-level policy would run, or a
// cast, it does not look.
func (k Connector) Scan(ctx context.Context, t bastion.Target, secret bastion.Secret, s Sample, look func(c *Scanned, value []byte)) ([]*Scanned, error) {
	o, err := read(t)
	if err != nil {
		return nil, err
	}
	user, password := secret.Reveal()
	config, err := o.config(user, password, "sallyport scan")
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, reaching(ctx, err)
	}
	defer func() { // what was read stays read
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
		defer cancel()
		conn.Close(stop)
	}()
	set := fmt.Sprintf("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET search_path = pg_catalog; SET row_security = off; SET statement_timeout = %d; SET lock_timeout = %d",
		scanTimeout.Milliseconds(), scanLocks.Milliseconds())
	if _, err := conn.Exec(ctx, set).ReadAll(); err != nil {
		return nil, scanFailed(ctx, err)
	}
	tables, err := scanTables(ctx, conn, s.Schema)
	if err != nil {
		return nil, scanFailed(ctx, err)
	}
	var all []*Scanned
	for _, table := range tables {
		for i := range table.columns {
			all = append(all, &table.columns[i].Scanned)
		}
		if s.Rows <= 0 {
			continue
		}
		if err := table.sample(ctx, conn, s.Rows, look); err != nil {
			err = scanFailed(ctx, err)
			if ctx.Err() != nil || conn.IsClosed() {
				return nil, err
			}
			for _, c := range table.readable() {
				c.Looked, c.Why = false, err.Error()
			}
		}
	}
	return all, nil
}

// scanTable is a table with its columns.
type scanTable struct {
	schema, name string
	foreign      bool
	rows         float64 // as last counted; -1 if never
	columns      []scanColumn
	triggers     []string
}

type scanColumn struct {
	Scanned
	readable bool
}

func scanTables(ctx context.Context, conn *pgconn.PgConn, schema string) (tables []*scanTable, err error) {
	r := conn.ExecParams(ctx, scanColumns, [][]byte{[]byte(schema)}, []uint32{25}, nil, nil)
	for r.NextRow() {
		v := r.Values()
		var last *scanTable
		if len(tables) > 0 {
			last = tables[len(tables)-1]
		}
		c := scanColumn{Scanned: Scanned{Schema: string(v[0]), Table: string(v[1]), Name: string(v[4]), Type: string(v[5]), Base: string(v[6])}}
		if last == nil || last.schema != c.Schema || last.name != c.Table {
			last = &scanTable{schema: c.Schema, name: c.Table, foreign: string(v[2]) == "f", rows: -1}
			if rows, err := strconv.ParseFloat(string(v[3]), 64); err == nil {
				last.rows = rows
			}
			if len(v[9]) > 0 {
				last.triggers = strings.Split(string(v[9]), "\n")
			}
			tables = append(tables, last)
		}
		c.Triggers = last.triggers
		switch allowed, runs := string(v[7]) == "t", string(v[8]) == "t"; {
		case !c.holdsText():
		case last.foreign:
			c.Why = "the table is on another server"
		case !allowed:
			c.Why = "the bastion's role may not read it"
		case runs:
			c.Why = "reading it would run code of the database"
		default:
			c.readable = true
		}
		last.columns = append(last.columns, c)
	}
	_, err = r.Close()
	return tables, err
}

// holdsText reports whether values can be what detectors find: text, and numbers
// that are long enough and have no fraction.
func (c *scanColumn) holdsText() bool {
	switch c.Base {
	case "text", "varchar", "bpchar", "citext", "name", "json", "jsonb", "xml", "int8":
		return true
	case "numeric":
		_, scale, ok := strings.Cut(c.Type, ",")
		return !ok || strings.HasPrefix(scale, "0)")
	}
	return false
}

func (t *scanTable) readable() (cs []*Scanned) {
	for i := range t.columns {
		if t.columns[i].readable {
			cs = append(cs, &t.columns[i].Scanned)
		}
	}
	return cs
}

// sample lends values to look. Of a large table it takes blocks from everywhere,
// because the first rows are the oldest.
func (t *scanTable) sample(ctx context.Context, conn *pgconn.PgConn, rows int, look func(*Scanned, []byte)) error {
	cs := t.readable()
	if len(cs) == 0 {
		return nil
	}
	var list []string
	for _, c := range cs {
		list = append(list, fmt.Sprintf(`"left"(%s::text, %d)`, scanQuote(c.Name), maxScanned))
	}
	from := fmt.Sprintf("SELECT %s FROM %s.%s", strings.Join(list, ", "), scanQuote(t.schema), scanQuote(t.name))
	queries := []string{fmt.Sprintf("%s LIMIT %d", from, rows)}
	if many := 10 * float64(rows); t.rows > many {
		// No more than are wanted: blocks come in their order, and LIMIT would cut the end.
		queries = append([]string{fmt.Sprintf("%s TABLESAMPLE SYSTEM (%g) REPEATABLE (1) LIMIT %d", from, 100*float64(rows)/t.rows, rows)}, queries...)
	}
	for _, q := range queries {
		got := 0
		r := conn.Exec(ctx, q)
		for r.NextResult() {
			for rr := r.ResultReader(); rr.NextRow(); got++ {
				for i, v := range rr.Values() {
					if v != nil {
						look(cs[i], v)
					}
				}
			}
		}
		if err := r.Close(); err != nil {
			return err
		}
		for _, c := range cs {
			c.Looked = true
		}
		if got > 0 {
			return nil // few blocks are few rows, but enough
		}
	}
	return nil
}

// scanFailed says in words, and without a word of the target's own, why something
// could not be read.
func scanFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return &bastion.TargetError{Summary: "the connection to the target was lost"}
	}
	switch pe.Code {
	case "42501":
		return &bastion.TargetError{Code: pe.Code, Summary: "the bastion's role may not read it without its row-level policies, or has no right"}
	case "57014":
		return &bastion.TargetError{Code: pe.Code, Summary: "it took longer than " + scanTimeout.String()}
	case "55P03":
		return &bastion.TargetError{Code: pe.Code, Summary: "somebody holds a lock on it"}
	}
	return &bastion.TargetError{Code: pe.Code, Summary: condition(pe.Code)}
}

// scanQuote makes an identifier of any name.
func scanQuote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
