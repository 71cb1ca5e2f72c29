package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// The queries by which the catalog is read. They run with an empty search_path,
// so that PostgreSQL writes every name in a definition with its schema.
const (
	beginCatalog = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`

	schemasQuery = `SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp_)' ORDER BY 1`

	builtinsQuery = `SELECT proname FROM pg_proc WHERE pronamespace = 11 UNION SELECT typname FROM pg_type WHERE typnamespace = 11`

	// %[1]s chooses users' relations or the system's.
	relationsQuery = `SELECT c.oid, n.nspname, c.relname, c.relkind,
		CASE WHEN c.oid >= 16384 AND c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, c.reltype, t.typarray,
		c.relkind = 'f' OR c.relhastriggers AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
			OR c.relhasrules AND EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_type <> '1'),
		CASE WHEN c.relrowsecurity THEN (SELECT json_agg(x) FROM pg_policy p, LATERAL (VALUES
			(pg_get_expr(p.polqual, p.polrelid)), (pg_get_expr(p.polwithcheck, p.polrelid))) v (x) WHERE p.polrelid = c.oid AND x IS NOT NULL) END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_type t ON t.oid = c.reltype
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND n.nspname !~ '^pg_toast' AND %[1]s`
	columnsQuery = `SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.atttypid, a.atthasmissing
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_attrdef d ON a.attgenerated <> '' AND d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND n.nspname !~ '^pg_toast' AND a.attnum > 0 AND NOT a.attisdropped AND %[1]s
		ORDER BY a.attrelid, a.attnum`
	ofUsers  = `c.oid >= 16384`
	ofSystem = `c.oid < 16384`

	inheritsQuery = `SELECT inhrelid, inhparent FROM pg_inherits ORDER BY inhrelid, inhseqno`

	// transparent: catalog.Function says what it means. Languages below 16384 are
	// internal, c and sql, in this order. Nobody but a superuser makes functions in C.
	transparent = `(p.prolang IN (12, 13) AND NOT p.prosecdef AND p.prokind = 'f' AND NOT p.proretset AND (p.provolatile = 'i' OR EXISTS (
		SELECT FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid
		AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e' AND x.extname IN ('btree_gin', 'btree_gist', 'citext', 'cube',
		'earthdistance', 'fuzzystrmatch', 'hstore', 'intarray', 'isn', 'ltree', 'pg_trgm', 'pgcrypto', 'seg', 'unaccent', 'uuid-ossp'))))`
	// volatile: an aggregate is as the functions that it is made of.
	volatile = `(p.provolatile = 'v' OR p.prokind = 'a' AND EXISTS (SELECT FROM pg_aggregate g JOIN pg_proc f ON f.oid IN (g.aggtransfn, g.aggfinalfn,
		g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn) WHERE g.aggfnoid = p.oid AND f.provolatile = 'v'))`

	// What runs when rows are written; NULL stands for code that is no expression:
	// functions behind the operator classes of indexes and partitions, and behind
	// the comparisons of foreign keys.
	expressionsQuery = `WITH suspect AS (
			SELECT p.oid FROM pg_proc p WHERE p.oid >= 16384 AND NOT ` + transparent + `),
		classes AS (
			SELECT o.oid FROM pg_opclass o WHERE o.opcfamily IN (
				SELECT a.amprocfamily FROM pg_amproc a WHERE a.amproc IN (SELECT oid FROM suspect)
				UNION SELECT a.amopfamily FROM pg_amop a JOIN pg_operator x ON x.oid = a.amopopr WHERE x.oprcode IN (SELECT oid FROM suspect))),
		comparisons AS (
			SELECT k.conrelid, k.confrelid FROM pg_constraint k, unnest(k.conpfeqop || k.conppeqop || k.conffeqop || k.conexclop) u
			JOIN pg_operator x ON x.oid = u WHERE x.oprcode IN (SELECT oid FROM suspect))
		SELECT adrelid, pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid >= 16384
		UNION ALL SELECT conrelid, pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid >= 16384 AND contype = 'c'
		UNION ALL SELECT indrelid, pg_get_expr(indexprs, indrelid) FROM pg_index WHERE indrelid >= 16384 AND indexprs IS NOT NULL
		UNION ALL SELECT indrelid, pg_get_expr(indpred, indrelid) FROM pg_index WHERE indrelid >= 16384 AND indpred IS NOT NULL
		UNION ALL SELECT partrelid, pg_get_expr(partexprs, partrelid) FROM pg_partitioned_table WHERE partexprs IS NOT NULL
		UNION ALL SELECT i.indrelid, NULL FROM pg_index i WHERE EXISTS (SELECT FROM unnest(i.indclass) u WHERE u IN (SELECT oid FROM classes))
		UNION ALL SELECT i.partrelid, NULL FROM pg_partitioned_table i WHERE EXISTS (SELECT FROM unnest(i.partclass) u WHERE u IN (SELECT oid FROM classes))
		UNION ALL SELECT conrelid, NULL FROM comparisons UNION ALL SELECT confrelid, NULL FROM comparisons`
	cascadesQuery = `SELECT DISTINCT confrelid, conrelid FROM pg_constraint
		WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))`

	// Columns of unique indexes and exclusion constraints: keys, and what expressions
	// and conditions look at.
	uniqueQuery = `SELECT i.indrelid, u.attnum, i.indisunique AND i.indimmediate AND i.indisvalid AND i.indnkeyatts = 1
				AND u.place = 1 AND i.indexprs IS NULL AND i.indpred IS NULL AND EXISTS (SELECT FROM pg_attribute a
				WHERE a.attrelid = i.indrelid AND a.attnum = u.attnum AND a.attnotnull), i.indisprimary
			FROM pg_index i, unnest(i.indkey) WITH ORDINALITY u (attnum, place) WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 AND u.attnum > 0
		UNION SELECT i.indrelid, d.refobjsubid, false, false FROM pg_index i JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0
			WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)`

	keysQuery = `SELECT k.conrelid, u.ours, k.confrelid, u.theirs FROM pg_constraint k, unnest(k.conkey, k.confkey) u (ours, theirs)
		WHERE k.contype = 'f'`
	constraintsQuery = `SELECT conrelid, pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid >= 16384 AND contype = 'c'`

	// %[1]s is the body in the standard's form, which servers before version 14 do
	// not know.
	functionsQuery = `SELECT n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), ` + transparent + `,
		p.pronargdefaults, p.provariadic <> 0,
		(SELECT json_agg(format_type(u.t, NULL) ORDER BY u.i) FROM unnest(p.proargtypes) WITH ORDINALITY u (t, i)),
		json_build_object('returns', p.prorettype::bigint, 'settings', p.prosrc ~* 'current_setting|pg_settings|\mshow\M', 'names', p.proargnames, 'modes', p.proargmodes::text[]),
		CASE WHEN p.prolang = 14 AND p.prokind = 'f' AND length(p.prosrc) <= %[2]d THEN json_build_object(
			'text', p.prosrc, 'standard', %[1]s, 'config', p.proconfig, 'definer', p.prosecdef,
			'set', p.proretset, 'void', p.prorettype = 2278, 'types', p.proargtypes::bigint[],
			'defaults', pg_get_expr(p.proargdefaults, 0)) END, ` + volatile + `, (SELECT lanname FROM pg_language l WHERE l.oid = p.prolang)
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= 16384`
	standardBody = `pg_get_function_sqlbody(p.oid)`

	operatorsQuery = `SELECT n.nspname, o.oprname, m.nspname, p.proname, ` + transparent + `,
		(SELECT json_agg(format_type(u.t, NULL) ORDER BY u.i) FROM unnest(p.proargtypes) WITH ORDINALITY u (t, i)),
		` + volatile + `, (SELECT lanname FROM pg_language l WHERE l.oid = p.prolang)
		FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
		JOIN pg_proc p ON p.oid = o.oprcode JOIN pg_namespace m ON m.oid = p.pronamespace WHERE o.oid >= 16384`

	// Users' types but those of rows, and PostgreSQL's own that users cast to.
	// Arrays have no row of their own.
	typesQuery = `WITH casts AS (
			SELECT c.casttarget FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc WHERE p.oid >= 16384 AND NOT ` + transparent + `)
		SELECT t.oid, n.nspname, t.typname, t.typarray, t.oid IN (SELECT casttarget FROM casts), t.typbasetype, r.rngsubtype,
			CASE WHEN t.oid >= 16384 THEN format_type(t.oid, NULL) END, CASE WHEN t.typarray <> 0 THEN format_type(t.typarray, NULL) END,
			t.typtype, t.typcategory, (SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder LIMIT 1)
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		LEFT JOIN pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid)
		WHERE t.oid >= 16384 AND t.typtype IN ('e', 'd', 'r', 'm', 'b') AND NOT (t.typelem <> 0 AND t.typcategory = 'A')
			OR t.oid IN (SELECT casttarget FROM casts)`
	checksQuery   = `SELECT contypid, pg_get_expr(conbin, 0) FROM pg_constraint WHERE contypid <> 0 AND contype = 'c'`
	implicitQuery = `SELECT EXISTS (SELECT FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
		WHERE c.castcontext = 'i' AND p.oid >= 16384 AND NOT ` + transparent + `)`

	// busyQuery finds relations that somebody locks or waits to lock against all others, as
	// ALTER TABLE does until its transaction ends, and what is written in terms of them.
	// PostgreSQL would wait for these locks to tell what such a definition says.
	busyQuery = `WITH busy AS (SELECT relation AS oid FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND relation >= 16384
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid IS DISTINCT FROM pg_backend_pid()),
		uses AS (SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjid IN (SELECT oid FROM busy))
		SELECT oid FROM busy UNION SELECT r.ev_class FROM uses JOIN pg_rewrite r ON classid = 'pg_rewrite'::regclass AND r.oid = objid
		UNION SELECT p.polrelid FROM uses JOIN pg_policy p ON classid = 'pg_policy'::regclass AND p.oid = objid
		UNION SELECT objid FROM uses WHERE classid = 'pg_proc'::regclass`

	// fingerprintQuery changes with every change that the queries above could see:
	// each writes a row anew, with another xmin. Columns are most of it, and are
	// added up by transaction, which takes half the time.
	fingerprintQuery = `SELECT concat_ws('/',
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_class WHERE oid >= 16384),
		(SELECT sum(n) || ':' || sum(hashtext(concat(x, ' ', n, ' ', s))) FROM (SELECT xmin AS x, count(*) AS n, sum(hashint8(attrelid::bigint * 2048 + attnum)) AS s
			FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 GROUP BY xmin) a),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_rewrite WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_attrdef),
		(SELECT count(*) || ':' || sum(hashtext(concat(inhrelid, ' ', inhparent, ' ', xmin))) FROM pg_inherits),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_proc WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_operator WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_cast WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_constraint WHERE oid >= 16384),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_trigger WHERE NOT tgisinternal),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_policy),
		(SELECT count(*) || ':' || sum(hashtext(concat(oid, ' ', xmin))) FROM pg_type WHERE oid >= 16384 AND typtype <> 'c' AND typcategory <> 'A'),
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
// also PostgreSQL's own. before is the state read before, or nil. partial says that some
// definitions were left out, because others lock what they speak of.
func readCatalog(ctx context.Context, c *pgconn.PgConn, before *catalog.Snapshot, system bool) (s *catalog.Snapshot, partial bool, err error) {
	if err := run(ctx, c, beginCatalog); err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, run(ctx, c, "ROLLBACK")) }()
	var busy []string
	err = rows(ctx, c, busyQuery, func(v [][]byte) error {
		if len(v) != 1 {
			return errCatalog
		}
		_, err := number(v[0])
		busy = append(busy, string(v[0]))
		return err
	})
	if err != nil {
		return nil, false, err
	}
	l := newLoader()
	for _, x := range l.steps(c.ParameterStatus("server_version"), system) {
		if err := rows(ctx, c, without(x.sql, busy), x.each); err != nil {
			return nil, false, err
		}
	}
	return catalog.New(l.content, before), len(busy) > 0, nil
}

// definition is a call that tells what a definition says, and of what.
var definition = regexp.MustCompile(`pg_get_expr\([a-z.]+, ([a-z.]+)\)|pg_get_(?:viewdef|function_sqlbody)\(([a-z.]+)\)`)

// without is a query of the catalog that leaves out what relations and functions of some
// OIDs say. In its place stands what nobody can read, so that nothing is proven by it.
func without(sql string, oids []string) string {
	if len(oids) == 0 {
		return sql
	}
	return definition.ReplaceAllString(sql, "CASE WHEN $1$2 IN ("+strings.Join(oids, ", ")+") THEN '?' ELSE $0 END")
}

// step is a query of those that read the catalog, and what takes its rows.
type step struct {
	sql  string
	each func([][]byte) error
}

// steps are the queries for a server of that version, in their order.
func (l *loader) steps(version string, system bool) []step {
	parts := []string{ofUsers}
	if system {
		parts = append(parts, ofSystem)
	}
	standard := "NULL"
	if major(version) >= 14 {
		standard = standardBody
	}
	steps := []step{{schemasQuery, l.schema}, {builtinsQuery, l.builtin}}
	for _, p := range parts {
		steps = append(steps, step{fmt.Sprintf(relationsQuery, p), l.relation}, step{fmt.Sprintf(columnsQuery, p), l.column})
	}
	return append(steps, step{inheritsQuery, l.inherits}, step{expressionsQuery, l.expression}, step{cascadesQuery, l.cascade}, step{uniqueQuery, l.unique}, step{keysQuery, l.key}, step{constraintsQuery, l.constraint},
		step{fmt.Sprintf(functionsQuery, standard, catalog.MaxBody), l.function}, step{operatorsQuery, l.operator},
		step{typesQuery, l.typ}, step{checksQuery, l.check}, step{implicitQuery, l.implicit})
}

// major is the first number of a server's version, or 0.
func major(version string) int {
	digits := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(version)
	}
	n, err := strconv.Atoi(version[:digits])
	if err != nil {
		return 0
	}
	return n
}

// loader takes the rows of the queries above, in their order. The server may be
// hostile: what is not of the form that is expected is an error.
type loader struct {
	content catalog.Content
	byOID   map[uint32]*catalog.Relation
	types   map[uint32]int    // places in content.Types
	strings map[string]string // names repeat
}

func newLoader() *loader {
	return &loader{byOID: map[uint32]*catalog.Relation{}, types: map[uint32]int{}, strings: map[string]string{}}
}

// text copies a value, once for all that are equal.
func (l *loader) text(v []byte) string {
	if s, ok := l.strings[string(v)]; ok {
		return s
	}
	s := string(v)
	if len(s) <= 64 {
		l.strings[s] = s
	}
	return s
}

func (l *loader) schema(v [][]byte) error {
	if len(v) != 1 {
		return errCatalog
	}
	l.content.Schemas = append(l.content.Schemas, string(v[0]))
	return nil
}

func (l *loader) builtin(v [][]byte) error {
	if len(v) != 1 {
		return errCatalog
	}
	l.content.Builtins = append(l.content.Builtins, string(v[0]))
	return nil
}

func (l *loader) relation(v [][]byte) error {
	if len(v) != 9 || len(v[3]) != 1 {
		return errCatalog
	}
	oid, err := number(v[0])
	row, err2 := number(v[5])
	array, err3 := optional(v[6])
	policies, err4 := list[string](v[8])
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return errCatalog
	}
	r := &catalog.Relation{OID: oid, Schema: l.text(v[1]), Name: l.text(v[2]), Kind: v[3][0], Definition: string(v[4]),
		RowType: row, RowArray: array, Code: string(v[7]) != "f", Policies: policies}
	l.byOID[oid] = r
	if r.Kind == catalog.Composite {
		l.content.Composites = append(l.content.Composites, r)
	} else {
		l.content.Relations = append(l.content.Relations, r)
	}
	return nil
}

func (l *loader) column(v [][]byte) error {
	if len(v) != 8 {
		return errCatalog
	}
	oid, err := number(v[0])
	attnum, err2 := strconv.ParseInt(string(v[2]), 10, 16)
	typ, err3 := number(v[6])
	if err != nil || err2 != nil || err3 != nil {
		return errCatalog
	}
	if r := l.byOID[oid]; r != nil {
		r.Columns = append(r.Columns, catalog.Column{Name: l.text(v[1]), Number: int16(attnum), Type: l.text(v[3]), TypeOID: typ,
			NotNull: string(v[4]) == "t", Generated: string(v[5]), Missing: string(v[7]) == "t"})
	}
	return nil
}

// pair calls f for the two relations that a row names, if both are known.
func (l *loader) pair(v [][]byte, f func(x, y *catalog.Relation)) error {
	if len(v) != 2 {
		return errCatalog
	}
	a, err := number(v[0])
	b, err2 := number(v[1])
	if err != nil || err2 != nil {
		return errCatalog
	}
	if x, y := l.byOID[a], l.byOID[b]; x != nil && y != nil {
		f(x, y)
	}
	return nil
}

func (l *loader) inherits(v [][]byte) error {
	return l.pair(v, func(child, parent *catalog.Relation) { child.Parents = append(child.Parents, parent) })
}

func (l *loader) cascade(v [][]byte) error {
	return l.pair(v, func(from, to *catalog.Relation) { from.Cascades = append(from.Cascades, to) })
}

func (l *loader) unique(v [][]byte) error {
	if len(v) != 4 {
		return errCatalog
	}
	_, c, err := l.place(v[0], v[1])
	if c != nil {
		key := string(v[2]) == "t"
		c.Unique, c.Key, c.Primary = true, c.Key || key, c.Primary || key && string(v[3]) == "t"
	}
	return err
}

// place finds a column by the OID of its relation and its number there; nil if it is
// not known.
func (l *loader) place(relation, attnum []byte) (*catalog.Relation, *catalog.Column, error) {
	oid, err := number(relation)
	n, err2 := strconv.ParseInt(string(attnum), 10, 16)
	if err != nil || err2 != nil {
		return nil, nil, errCatalog
	}
	if r := l.byOID[oid]; r != nil {
		for i := range r.Columns {
			if r.Columns[i].Number == int16(n) {
				return r, &r.Columns[i], nil
			}
		}
	}
	return nil, nil, nil
}

func (l *loader) key(v [][]byte) error {
	if len(v) != 4 {
		return errCatalog
	}
	from, ours, err := l.place(v[0], v[1])
	to, theirs, err2 := l.place(v[2], v[3])
	if ours != nil && theirs != nil {
		ours.References = append(ours.References, to.FullName()+"."+theirs.Name)
		theirs.ReferencedBy = append(theirs.ReferencedBy, from.FullName()+"."+ours.Name)
	}
	return errors.Join(err, err2)
}

func (l *loader) constraint(v [][]byte) error {
	if len(v) != 2 {
		return errCatalog
	}
	oid, err := number(v[0])
	if r := l.byOID[oid]; r != nil {
		r.Checks = append(r.Checks, l.text(v[1]))
	}
	return err
}

func (l *loader) expression(v [][]byte) error {
	if len(v) != 2 {
		return errCatalog
	}
	oid, err := number(v[0])
	if err != nil {
		return errCatalog
	}
	r := l.byOID[oid]
	switch {
	case r == nil:
	case v[1] == nil:
		r.Code = true
	default:
		r.Expressions = append(r.Expressions, l.text(v[1]))
	}
	return nil
}

// signature is what functionsQuery tells of every function's arguments and result.
type signature struct {
	Returns  uint32   `json:"returns"`
	Names    []string `json:"names"`
	Modes    []string `json:"modes"` // none if all are plain arguments
	Settings bool     `json:"settings"`
}

// body is what functionsQuery tells of a function in LANGUAGE sql.
type body struct {
	Text     string   `json:"text"`
	Standard *string  `json:"standard"`
	Config   []string `json:"config"`
	Definer  bool     `json:"definer"`
	Set      bool     `json:"set"`
	Void     bool     `json:"void"`
	Types    []uint32 `json:"types"`
	Defaults *string  `json:"defaults"`
}

func (l *loader) function(v [][]byte) error {
	if len(v) != 11 {
		return errCatalog
	}
	types, err := list[string](v[6])
	optional, err2 := strconv.ParseUint(string(v[4]), 10, 15)
	var s signature
	err3 := json.Unmarshal(v[7], &s)
	if err != nil || err2 != nil || err3 != nil || int(optional) > len(types) {
		return errCatalog
	}
	for i := range types {
		types[i] = l.text([]byte(types[i]))
	}
	f := catalog.Function{Schema: l.text(v[0]), Name: l.text(v[1]), Arguments: string(v[2]), Transparent: string(v[3]) == "t",
		Types: types, Optional: int(optional), Variadic: string(v[5]) == "t", Returns: s.Returns,
		Volatile: string(v[9]) != "f", Language: l.text(v[10]), Settings: s.Settings}
	parameters, columns, ok := s.split(len(types))
	f.Columns = columns
	if v[8] != nil && ok {
		var b body
		if err := json.Unmarshal(v[8], &b); err != nil || len(b.Types) != len(types) {
			return errCatalog
		}
		f.Body = b.read(parameters)
	}
	l.content.Functions = append(l.content.Functions, f)
	return nil
}

// split tells the names of n arguments from those of the columns of the result.
func (s *signature) split(n int) (parameters, columns []string, ok bool) {
	parameters = make([]string, n)
	if s.Modes == nil {
		return parameters, nil, copy(parameters, s.Names) == len(s.Names)
	}
	in := 0
	for i, mode := range s.Modes {
		name := ""
		if i < len(s.Names) {
			name = s.Names[i]
		}
		if mode == "i" || mode == "v" || mode == "b" {
			if in == n {
				return nil, nil, false
			}
			parameters[in] = name
			in++
		}
		if mode == "o" || mode == "b" || mode == "t" {
			columns = append(columns, name)
		}
	}
	if len(columns) == 1 && columns[0] == "" {
		columns = nil
	}
	for i := range columns {
		if columns[i] == "" {
			columns[i] = "column" + strconv.Itoa(i+1)
		}
	}
	return parameters, columns, in == n
}

// read returns the body, or nil if it is not fit to be looked into.
func (b *body) read(parameters []string) *catalog.Body {
	out := &catalog.Body{Text: b.Text, Definer: b.Definer, Set: b.Set, Void: b.Void,
		ArgumentTypes: b.Types, Parameters: parameters}
	if b.Standard != nil {
		out.Text, out.Standard = *b.Standard, true
	}
	if len(out.Text) > catalog.MaxBody {
		return nil
	}
	if b.Defaults != nil {
		out.Defaults = *b.Defaults
	}
	for _, c := range b.Config {
		name, value, ok := strings.Cut(c, "=")
		switch {
		case !ok:
			return nil
		case strings.EqualFold(name, "search_path"):
			out.Path, out.Pinned = value, true
		default:
			out.Settings = append(out.Settings, strings.ToLower(name))
		}
	}
	return out
}

func (l *loader) operator(v [][]byte) error {
	if len(v) != 8 {
		return errCatalog
	}
	types, err := list[string](v[5])
	if err != nil {
		return errCatalog
	}
	l.content.Operators = append(l.content.Operators, catalog.Operator{Schema: l.text(v[0]), Name: l.text(v[1]),
		Function: catalog.Function{Schema: l.text(v[2]), Name: l.text(v[3]), Transparent: string(v[4]) == "t", Types: types,
			Volatile: string(v[6]) != "f", Language: l.text(v[7])}})
	return nil
}

func (l *loader) typ(v [][]byte) error {
	if len(v) != 12 || len(v[9]) != 1 || len(v[10]) != 1 {
		return errCatalog
	}
	oid, err := number(v[0])
	array, err2 := number(v[3])
	base, err3 := number(v[5])
	sub, err4 := optional(v[6])
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return errCatalog
	}
	t := catalog.Type{OID: oid, Schema: l.text(v[1]), Name: l.text(v[2]), Array: array, Calls: string(v[4]) != "f", Kind: v[9][0], Category: v[10][0], Label: string(v[11])}
	for _, p := range []uint32{base, sub} {
		if p != 0 {
			t.Parts = append(t.Parts, p)
		}
	}
	l.types[oid] = len(l.content.Types)
	l.content.Types = append(l.content.Types, t)
	if l.content.TypeNames == nil {
		l.content.TypeNames = map[uint32]string{}
	}
	if v[7] != nil {
		l.content.TypeNames[oid] = string(v[7])
		if v[8] != nil {
			l.content.TypeNames[array] = string(v[8])
		}
	}
	return nil
}

func (l *loader) check(v [][]byte) error {
	if len(v) != 2 {
		return errCatalog
	}
	oid, err := number(v[0])
	if err != nil {
		return errCatalog
	}
	if i, ok := l.types[oid]; ok {
		l.content.Types[i].Checks = append(l.content.Types[i].Checks, string(v[1]))
	}
	return nil
}

func (l *loader) implicit(v [][]byte) error {
	if len(v) != 1 {
		return errCatalog
	}
	l.content.ImplicitCasts = string(v[0]) != "f"
	return nil
}

// list reads a JSON array; NULL is an empty one.
func list[T any](v []byte) (out []T, err error) {
	if v == nil {
		return nil, nil
	}
	err = json.Unmarshal(v, &out)
	return out, err
}

// optional reads an OID that may be NULL.
func optional(v []byte) (uint32, error) {
	if v == nil {
		return 0, nil
	}
	return number(v)
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
