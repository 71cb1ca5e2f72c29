package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// The queries by which the catalog is read. They run with an empty search_path,
// so that PostgreSQL writes every name in a definition with its schema.
const (
	beginCatalog = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`

	schemasQuery = `SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp_)' ORDER BY 1`

	// %[1]s chooses users' relations or the system's.
	relationsQuery = `SELECT c.oid, n.nspname, c.relname, c.relkind,
		CASE WHEN c.oid >= 16384 AND c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_toast' AND %[1]s`
	columnsQuery = `SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_attrdef d ON a.attgenerated <> '' AND d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_toast' AND a.attnum > 0 AND NOT a.attisdropped AND %[1]s
		ORDER BY a.attrelid, a.attnum`
	ofUsers  = `c.oid >= 16384`
	ofSystem = `c.oid < 16384`

	inheritsQuery = `SELECT inhrelid, inhparent FROM pg_inherits ORDER BY inhrelid, inhseqno`

	// transparent: catalog.Function says what it means. Languages below 16384 are
	// internal, c and sql; sql is looked into by nobody yet.
	transparent    = `(p.prolang IN (12, 13) AND p.provolatile = 'i' AND NOT p.prosecdef AND p.prokind = 'f' AND NOT p.proretset)`
	functionsQuery = `SELECT n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), ` + transparent + `
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= 16384`
	operatorsQuery = `SELECT n.nspname, o.oprname, m.nspname, p.proname, ` + transparent + `
		FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
		JOIN pg_proc p ON p.oid = o.oprcode JOIN pg_namespace m ON m.oid = p.pronamespace WHERE o.oid >= 16384`
	// Types whose values are made with the help of users' functions.
	typesQuery = `WITH RECURSIVE checked AS (
			SELECT k.contypid AS oid FROM pg_constraint k JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
			WHERE k.contypid <> 0 AND d.refclassid = 'pg_proc'::regclass AND d.refobjid >= 16384
		UNION
			SELECT t.oid FROM pg_type t JOIN checked ON t.typbasetype = checked.oid)
		SELECT n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE t.oid IN (SELECT oid FROM checked) OR t.oid IN (
			SELECT c.casttarget FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc WHERE p.oid >= 16384 AND NOT ` + transparent + `)`
	typeNamesQuery = `SELECT oid, format_type(oid, NULL) FROM pg_type WHERE oid >= 16384 AND typtype IN ('e', 'd', 'r', 'm', 'b')
		AND NOT EXISTS (SELECT FROM pg_type e JOIN pg_class c ON c.oid = e.typrelid WHERE e.oid = pg_type.typelem)`

	// fingerprintQuery changes with every change that the queries above could see:
	// each writes a row anew, with another xmin.
	fingerprintQuery = `SELECT concat_ws('/',
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_class WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(attrelid, ' ', attnum, ' ', xmin))) FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_rewrite WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_attrdef),
		(SELECT count(*) || ':' || sum(hashtext(concat(inhrelid, ' ', inhparent, ' ', xmin))) FROM pg_inherits),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_proc WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_operator WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_cast WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_constraint WHERE contypid <> 0),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_namespace))`
)

// maxCatalog bounds what a catalog may hold, in rows, so that a hostile server
// cannot fill the bastion's memory.
const maxCatalog = 4_000_000

// rows runs a query and calls each with every row. Values are lent.
func rows(ctx context.Context, c *pgconn.PgConn, sql string, each func([][]byte) error) error {
	r := c.ExecParams(ctx, sql, nil, nil, nil, nil)
	var err error
	n := 0
	for err == nil && r.NextRow() {
		if n++; n > maxCatalog {
			err = errors.New("the target's catalog is too large")
			break
		}
		err = each(r.Values())
	}
	_, cerr := r.Close()
	return errors.Join(err, cerr)
}

// readCatalog reads users' relations and all that belongs to them, or with system
// also PostgreSQL's own. before is the state read before, or nil.
func readCatalog(ctx context.Context, c *pgconn.PgConn, before *catalog.Snapshot, system bool) (s *catalog.Snapshot, err error) {
	if err := run(ctx, c, beginCatalog); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run(ctx, c, "ROLLBACK")) }()
	var content catalog.Content
	byOID := map[uint32]*catalog.Relation{}
	if err := rows(ctx, c, schemasQuery, func(v [][]byte) error {
		content.Schemas = append(content.Schemas, string(v[0]))
		return nil
	}); err != nil {
		return nil, err
	}
	parts := []string{ofUsers}
	if system {
		parts = append(parts, ofSystem)
	}
	for _, part := range parts {
		if err := rows(ctx, c, fmt.Sprintf(relationsQuery, part), func(v [][]byte) error {
			oid, err := number(v[0])
			if err != nil || len(v[3]) != 1 {
				return errCatalog
			}
			r := &catalog.Relation{OID: oid, Schema: string(v[1]), Name: string(v[2]), Kind: v[3][0], Definition: string(v[4])}
			byOID[oid] = r
			content.Relations = append(content.Relations, r)
			return nil
		}); err != nil {
			return nil, err
		}
		if err := rows(ctx, c, fmt.Sprintf(columnsQuery, part), func(v [][]byte) error {
			oid, err := number(v[0])
			attnum, err2 := strconv.ParseInt(string(v[2]), 10, 16)
			if err != nil || err2 != nil {
				return errCatalog
			}
			if r := byOID[oid]; r != nil {
				r.Columns = append(r.Columns, catalog.Column{Name: string(v[1]), Number: int16(attnum), Type: string(v[3]),
					NotNull: string(v[4]) == "t", Generated: string(v[5])})
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if err := rows(ctx, c, inheritsQuery, func(v [][]byte) error {
		child, err := number(v[0])
		parent, err2 := number(v[1])
		if err != nil || err2 != nil {
			return errCatalog
		}
		if r, p := byOID[child], byOID[parent]; r != nil && p != nil {
			r.Parents = append(r.Parents, p)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := rows(ctx, c, functionsQuery, func(v [][]byte) error {
		content.Functions = append(content.Functions, catalog.Function{Schema: string(v[0]), Name: string(v[1]), Arguments: string(v[2]), Transparent: string(v[3]) == "t"})
		return nil
	}); err != nil {
		return nil, err
	}
	if err := rows(ctx, c, operatorsQuery, func(v [][]byte) error {
		content.Operators = append(content.Operators, catalog.Operator{Schema: string(v[0]), Name: string(v[1]),
			Function: catalog.Function{Schema: string(v[2]), Name: string(v[3]), Transparent: string(v[4]) == "t"}})
		return nil
	}); err != nil {
		return nil, err
	}
	if err := rows(ctx, c, typesQuery, func(v [][]byte) error {
		content.Types = append(content.Types, catalog.Type{Schema: string(v[0]), Name: string(v[1]), Calls: true})
		return nil
	}); err != nil {
		return nil, err
	}
	content.TypeNames = map[uint32]string{}
	if err := rows(ctx, c, typeNamesQuery, func(v [][]byte) error {
		oid, err := number(v[0])
		if err != nil {
			return errCatalog
		}
		content.TypeNames[oid] = string(v[1])
		return nil
	}); err != nil {
		return nil, err
	}
	return catalog.New(content, before), nil
}

var errCatalog = errors.New("the target's catalog cannot be read")

func number(v []byte) (uint32, error) {
	n, err := strconv.ParseUint(string(v), 10, 32)
	return uint32(n), err
}

// run executes statements that return nothing.
func run(ctx context.Context, c *pgconn.PgConn, sql string) error {
	_, err := c.ExecParams(ctx, sql, nil, nil, nil, nil).Close()
	return err
}

// one returns the values of the only row of a query.
func one(ctx context.Context, c *pgconn.PgConn, sql string) ([]string, error) {
	var out []string
	err := rows(ctx, c, sql, func(v [][]byte) error {
		out = out[:0]
		for _, x := range v {
			out = append(out, string(x))
		}
		return nil
	})
	if err == nil && out == nil {
		err = errCatalog
	}
	return out, err
}
