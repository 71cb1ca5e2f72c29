package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// Conn implements [bastion.Conn]: one session on a target. Statements run on the
// main connection. A side connection with the same credential, opened when it is
// first needed, reads the catalog and plans previews.
type Conn struct {
	target bastion.Target
	config *pgconn.Config

	main *pgconn.PgConn // Do owns it, which is never called twice at once
	out  *bastion.Sink  // of the running Do, for notices
	told error          // why a notice could not be passed on

	// What the session's statements mean, as of the last Do.
	mu          sync.Mutex // guards this group
	session     lineage.Session
	schemas     []string          // of the session's search path, in order
	prepared    map[string]string // PREPARE statements by name
	cursors     map[string]cursor // DECLARE statements by name
	uncommitted bool              // the schema may have been changed in a transaction
	stale       bool              // the schema may have been changed: look again

	sideMu      sync.Mutex // guards this group, and is held while the side connection works
	side        *pgconn.PgConn
	closed      bool
	reader      *lineage.Reader
	snapshot    *catalog.Snapshot
	system      bool // the snapshot holds system relations
	fingerprint string
	checked     time.Time
}

type cursor struct {
	lineage.OpenCursor
	hold bool
}

// fresh is how long the catalog is taken for unchanged by others.
const fresh = time.Second

// sessionQuery reads the settings that change what a text means.
const sessionQuery = `SELECT pg_catalog.session_user, pg_catalog.current_user, pg_catalog.current_setting('search_path'),
	pg_catalog.array_to_json(pg_catalog.current_schemas(true)), pg_catalog.concat_ws(' ',
	'row_security=' || pg_catalog.current_setting('row_security'),
	'session_replication_role=' || pg_catalog.current_setting('session_replication_role'),
	'transform_null_equals=' || pg_catalog.current_setting('transform_null_equals'),
	'datestyle=' || pg_catalog.quote_literal(pg_catalog.current_setting('datestyle')),
	'intervalstyle=' || pg_catalog.current_setting('intervalstyle'),
	'timezone=' || pg_catalog.quote_literal(pg_catalog.current_setting('timezone')))`

// settle pins the search path to the schemas that the role's default means now,
// so that a schema made later does not change what names mean, and reads the rest.
func (c *Conn) settle(ctx context.Context) error {
	pin := `SELECT pg_catalog.set_config('search_path', COALESCE((SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s), ', ')
		FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) s), ''), false)`
	if err := run(ctx, c.main, pin); err != nil {
		return err
	}
	return c.look(ctx)
}

// look reads the session's settings on the main connection.
func (c *Conn) look(ctx context.Context) error {
	// session_user and current_user are keywords, and have no schema.
	v, err := one(ctx, c.main, strings.NewReplacer("pg_catalog.session_user", "session_user", "pg_catalog.current_user", "current_user").Replace(sessionQuery))
	if err != nil {
		return err
	}
	if len(v) != 5 {
		return errCatalog
	}
	var schemas []string
	if err := json.Unmarshal([]byte(v[3]), &schemas); err != nil {
		return errCatalog
	}
	shown := slices.Clone(schemas)
	for i, s := range shown {
		if strings.HasPrefix(s, "pg_temp_") { // each session has a number of its own
			shown[i] = "pg_temp"
		}
	}
	settings := fmt.Sprintf("database=%s user=%s role=%s search_path=%s schemas=%s %s",
		c.config.Database, v[0], v[1], v[2], strings.Join(shown, ","), v[4])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schemas, c.session.Path, c.session.Settings = schemas, schemas, settings
	return nil
}

// Parse implements [bastion.Conn].
func (c *Conn) Parse(ctx context.Context, text string) (bastion.Intent, error) {
	r, err := c.read(ctx, text)
	if err != nil {
		return bastion.Intent{}, err
	}
	return r.Intent, nil
}

// read reads a text with the catalog as it is now.
func (c *Conn) read(ctx context.Context, text string) (*lineage.Reading, error) {
	c.sideMu.Lock()
	defer c.sideMu.Unlock()
	c.mu.Lock()
	s := c.session
	s.Uncommitted = c.uncommitted
	s.Prepared = maps.Clone(c.prepared)
	s.Cursors = make(map[string]lineage.OpenCursor, len(c.cursors))
	for name, k := range c.cursors {
		s.Cursors[name] = k.OpenCursor
	}
	stale := c.stale
	c.stale = false
	c.mu.Unlock()
	if err := c.refresh(ctx, stale); err != nil {
		return nil, err
	}
	r, err := c.reader.Read(text, s)
	if err != nil {
		return nil, err
	}
	if r.System && !c.system {
		if err := c.load(ctx, true); err != nil {
			return nil, err
		}
		r, err = c.reader.Read(text, s)
	} else if r.Unknown {
		before := c.snapshot
		if err := c.refresh(ctx, true); err != nil {
			return nil, err
		}
		if c.snapshot != before {
			r, err = c.reader.Read(text, s)
		}
	}
	return r, err
}

// refresh makes sure that the catalog is as the target's. The caller holds sideMu.
func (c *Conn) refresh(ctx context.Context, now bool) error {
	if c.reader != nil && !now && time.Since(c.checked) < fresh {
		return nil
	}
	side, err := c.aside(ctx)
	if err != nil {
		return err
	}
	f, err := one(ctx, side, fingerprintQuery)
	if err != nil && side.IsClosed() && ctx.Err() == nil {
		// It idled for long, and somebody on the way forgot it.
		if side, err = c.aside(ctx); err != nil {
			return err
		}
		f, err = one(ctx, side, fingerprintQuery)
	}
	if err != nil {
		return c.lost(ctx, err)
	}
	c.checked = time.Now()
	if c.reader != nil && f[0] == c.fingerprint {
		return nil
	}
	if err := c.load(ctx, c.system); err != nil {
		return err
	}
	// What was read is at least as new as the fingerprint: if it is newer, it is
	// read once more than needed.
	c.fingerprint = f[0]
	return nil
}

// load reads the catalog. The caller holds sideMu.
func (c *Conn) load(ctx context.Context, system bool) error {
	side, err := c.aside(ctx)
	if err != nil {
		return err
	}
	s, err := readCatalog(ctx, side, c.snapshot, system)
	if err != nil {
		return c.lost(ctx, err)
	}
	c.snapshot, c.reader, c.system = s, lineage.NewReader(s), system
	return nil
}

// aside returns the side connection. The caller holds sideMu.
func (c *Conn) aside(ctx context.Context) (*pgconn.PgConn, error) {
	if c.closed {
		return nil, errClosed
	}
	if c.side != nil && !c.side.IsClosed() {
		return c.side, nil
	}
	config := c.config.Copy()
	config.RuntimeParams["application_name"] = applicationName(c.config.RuntimeParams["application_name"][:min(len(c.config.RuntimeParams["application_name"]), 55)] + " catalog")
	// Nothing but pg_catalog, which is always searched: definitions come with
	// schemas, and no function of a user can get in between.
	config.RuntimeParams["search_path"] = ""
	config.RuntimeParams["default_transaction_read_only"] = "on"
	side, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, reaching(ctx, err)
	}
	c.side = side
	return side, nil
}

var errClosed = &bastion.TargetError{Summary: "the connection to the target is closed; open the target again", Lost: true}

// lost drops the side connection after an error: the next use makes a new one.
func (c *Conn) lost(ctx context.Context, err error) error {
	if c.side != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.side.Close(stop) // it is given up
		c.side = nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	code := ""
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		code = pe.Code
	}
	return &bastion.TargetError{Code: code, Summary: "the target's catalog cannot be read, so nothing can be decided; try again"}
}

// Do implements [bastion.Conn].
func (c *Conn) Do(ctx context.Context, p *bastion.Permit, in io.Reader, out *bastion.Sink) error {
	op, err := p.Use(bastion.ForDo)
	if err != nil {
		return err
	}
	if t := op.Target(); t.Name != c.target.Name || t.Address != c.target.Address || t.Kind != c.target.Kind {
		return bastion.ErrPermit
	}
	if c.main.IsClosed() {
		return errClosed
	}
	// The decision was about the text as it was read. It must mean the same now.
	r, err := c.read(ctx, op.Text())
	if err != nil {
		return err
	}
	decided := op.Intent()
	if !reflect.DeepEqual(decided.Actions, r.Intent.Actions) || decided.Settings != r.Intent.Settings || !covered(decided.Probes, r.Intent.Probes) {
		return &bastion.TargetError{Summary: "the target or this session changed since the statement was read, so it did not run; run it again"}
	}
	if r.Class == lineage.Streaming {
		return &bastion.TargetError{Summary: "COPY with the client and LISTEN need a stream, which is not available here, so nothing ran; use SELECT and INSERT"}
	}
	c.out, c.told = out, nil
	err = c.stream(ctx, op, r, out)
	c.out = nil
	if after := c.after(ctx, op.Text(), r, err); after != nil {
		return errors.Join(err, after)
	}
	return err
}

// covered reports whether every probe of the second list is in the first, or less
// than one there.
func covered(decided, now []bastion.Probe) bool {
	for _, p := range now {
		if !slices.ContainsFunc(decided, func(d bastion.Probe) bool { return d == p || d.Column == p.Column && !d.Equality }) {
			return false
		}
	}
	return true
}

// stream runs the text and passes its rows on one by one. While the sink holds a
// row back, nothing is read, and the target waits.
func (c *Conn) stream(ctx context.Context, op bastion.Operation, r *lineage.Reading, out *bastion.Sink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The extended protocol takes exactly one statement.
	result := c.main.ExecParams(ctx, op.Text(), nil, nil, nil, nil)
	fields := result.FieldDescriptions()
	var shown error
	if fields != nil {
		shown = out.Columns(c.columns(fields, op, r))
		for shown == nil && c.told == nil && result.NextRow() {
			shown = out.Row(result.Values())
		}
	}
	if shown == nil {
		shown = c.told
	}
	if shown != nil {
		cancel(shown) // stops the statement on the server; Close reads what is left
	}
	tag, err := result.Close()
	if cause := context.Cause(ctx); cause != nil {
		// A cancel that came too late must not hit the next statement.
		c.absorb()
		return cause
	}
	if err == nil {
		err = c.told
	}
	if err != nil {
		if _, ok := errors.AsType[*pgconn.PgError](err); !ok && c.told != nil {
			return c.told
		}
		err = failed(err, r.Class)
		if te, ok := errors.AsType[*bastion.TargetError](err); ok && c.main.IsClosed() {
			te.Lost = true // the target ended the session with its error
		}
		return err
	}
	return out.Tag(safeTag(tag.String()), tag.RowsAffected())
}

// absorb runs an empty query, so that a late cancel hits that.
func (c *Conn) absorb() {
	ctx, stop := context.WithTimeout(context.Background(), cancelTimeout)
	defer stop()
	// Being cancelled is what it is for; if the connection is gone, the next use says so.
	_, _ = c.main.Exec(ctx, "").ReadAll()
}

// safeTag is a command tag, if it is made of a command's name and numbers.
func safeTag(tag string) string {
	for _, r := range tag {
		if !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == ' ') {
			return "OK"
		}
	}
	return tag
}

// after keeps what is known of the session in step with what ran.
func (c *Conn) after(ctx context.Context, text string, r *lineage.Reading, failure error) error {
	if c.main.IsClosed() {
		return nil
	}
	// The connector reads texts by these. Only a function could have changed them.
	if c.main.ParameterStatus("standard_conforming_strings") != "on" || c.main.ParameterStatus("client_encoding") != "UTF8" {
		c.hangUp()
		return &bastion.TargetError{Summary: "the statement changed a setting by which the bastion reads texts, so the connection was closed; open the target again", Lost: true}
	}
	idle, broken := c.main.TxStatus() == 'I', c.main.TxStatus() == 'E'
	c.mu.Lock()
	if failure == nil {
		if r.Prepares != "" {
			c.prepared[r.Prepares] = text
		}
		if r.Declares != "" {
			c.cursors[r.Declares] = cursor{lineage.OpenCursor{Text: text, Path: c.session.Path}, r.Hold}
		}
	}
	switch {
	case r.Forgets == "*":
		clear(c.prepared)
	case r.Forgets != "":
		delete(c.prepared, r.Forgets)
	}
	if r.Closes == "*" {
		clear(c.cursors)
	}
	if failure == nil {
		delete(c.cursors, r.Closes)
	}
	if idle {
		maps.DeleteFunc(c.cursors, func(_ string, k cursor) bool { return !k.hold })
	}
	schema := slices.ContainsFunc(r.Intent.Actions, func(a bastion.Action) bool { return changesSchema[a.Verb] })
	c.stale = c.stale || schema || c.uncommitted
	c.uncommitted = !idle && (c.uncommitted || schema)
	c.mu.Unlock()
	// Whatever runs expressions that were kept earlier (cursors, defaults, checks,
	// rules) may have changed a setting, though the text names none.
	quiet := !r.Effects && !slices.ContainsFunc(r.Intent.Actions, func(a bastion.Action) bool { return !leavesSession[a.Verb] })
	if quiet || broken {
		// In a broken transaction nothing runs but its end, which is looked at.
		return nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer stop()
	if err := c.look(ctx); err != nil {
		c.hangUp()
		return &bastion.TargetError{Summary: "the session's settings cannot be read any more, so the connection was closed; open the target again", Lost: true}
	}
	return nil
}

func (c *Conn) hangUp() {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	// It is given up; whether the target hears of it does not matter.
	_ = c.main.Close(ctx)
}

// Verbs after which the catalog is looked at anew, and those after which the
// session's settings need not be, unless a function ran.
var (
	changesSchema = map[bastion.Verb]bool{lineage.Create: true, lineage.Alter: true, lineage.Drop: true, lineage.Define: true,
		lineage.Grant: true, lineage.Extension: true, lineage.Foreign: true, lineage.Function: true, lineage.Call: true, lineage.Do: true,
		lineage.ServerFile: true, lineage.Maintain: true}
	leavesSession = map[bastion.Verb]bool{lineage.Select: true, lineage.Catalog: true, lineage.Explain: true, lineage.Lock: true}
)

// columns describes the answer. What the target says of a column's source can only
// add to what was read.
func (c *Conn) columns(fields []pgconn.FieldDescription, op bastion.Operation, r *lineage.Reading) []bastion.Column {
	c.sideMu.Lock()
	snapshot := c.snapshot
	c.sideMu.Unlock()
	decided := op.Intent().Outputs
	out := make([]bastion.Column, len(fields))
	for i, f := range fields {
		col := bastion.Column{Name: f.Name, Type: typeName(snapshot, f.DataTypeOID), Numeric: numeric[f.DataTypeOID]}
		var read []string
		if len(decided) == len(fields) {
			read = decided[i].Sources
		}
		if f.TableOID != 0 && f.TableAttributeNumber > 0 {
			col.Source = unreadable
			if rel := snapshot.RelationOf(f.TableOID); rel != nil {
				for _, k := range rel.Columns {
					if k.Number == int16(f.TableAttributeNumber) {
						col.Source, col.Type = k.Sources[0], k.Type
						for _, s := range k.Sources {
							if !slices.Contains(read, s) {
								col.Source = s
							}
						}
					}
				}
			} else if f.TableOID < catalog.FirstUserOID {
				col.Source = "" // a system catalog, which the reading knows by name
			}
		}
		// The reading of this moment may know more than the one that was decided upon.
		if len(r.Intent.Outputs) != len(decided) || len(decided) == len(fields) && weaker(r.Intent.Outputs[i].Proven, decided[i].Proven, r.Intent.Outputs[i].Sources, read) {
			col.Source = unreadable
		}
		out[i] = col
	}
	return out
}

// unreadable is a source that no mask can read, so that it hides the column
// wherever anything is hidden.
const unreadable = "?"

func weaker(proven, decided bool, now, then []string) bool {
	return decided && !proven || slices.ContainsFunc(now, func(s string) bool { return !slices.Contains(then, s) })
}

// notice passes a notice on. It runs within Do, while the main connection is read.
func (c *Conn) notice(n *pgconn.Notice) {
	if c.out == nil || c.told != nil {
		return
	}
	c.told = c.out.Notice(strings.ToLower(n.Severity) + ": " + n.Message)
}

// Preview implements [bastion.Conn]: the planner's estimate.
func (c *Conn) Preview(ctx context.Context, p *bastion.Permit) (bastion.Preview, error) {
	op, err := p.Use(bastion.ForPreview)
	if err != nil {
		return bastion.Preview{}, err
	}
	r, err := c.read(ctx, op.Text())
	if err != nil {
		return bastion.Preview{}, err
	}
	c.mu.Lock()
	uncommitted, path := c.uncommitted, c.schemas
	c.mu.Unlock()
	switch {
	case r.Class != lineage.Plannable:
		return bastion.Preview{Rows: -1, Note: "the target's planner has no estimate for statements of this kind"}, nil
	case r.Effects:
		return bastion.Preview{Rows: -1, Note: "not estimated: planning could run a function of the statement"}, nil
	case uncommitted:
		return bastion.Preview{Rows: -1, Note: "not estimated: the session's transaction has changed the schema"}, nil
	}
	c.sideMu.Lock()
	defer c.sideMu.Unlock()
	side, err := c.aside(ctx)
	if err != nil {
		return bastion.Preview{}, err
	}
	n, err := estimate(ctx, side, op.Text(), path)
	if err != nil {
		if _, ok := errors.AsType[*pgconn.PgError](err); ok && ctx.Err() == nil {
			return bastion.Preview{Rows: -1, Note: "the target's planner gives no estimate for this statement"}, nil
		}
		return bastion.Preview{}, c.lost(ctx, err)
	}
	return bastion.Preview{Rows: n, Note: "the planner's estimate; the true number may differ"}, nil
}

// plan is a node of EXPLAIN (FORMAT JSON).
type plan struct {
	Node  string  `json:"Node Type"`
	Rows  float64 `json:"Plan Rows"`
	Plans []plan  `json:"Plans"`
}

// estimate asks the planner in a transaction that can write nothing and ends soon.
func estimate(ctx context.Context, c *pgconn.PgConn, text string, path []string) (rows int64, err error) {
	quoted := make([]string, 0, len(path))
	for _, s := range path {
		if !strings.HasPrefix(s, "pg_temp_") {
			quoted = append(quoted, quote(s))
		}
	}
	if err := run(ctx, c, "BEGIN READ ONLY"); err != nil {
		return -1, err
	}
	defer func() { err = errors.Join(err, run(ctx, c, "ROLLBACK")) }()
	if err := run(ctx, c, "SET LOCAL statement_timeout = '5s'"); err != nil {
		return -1, err
	}
	if err := c.ExecParams(ctx, "SELECT pg_catalog.set_config('search_path', $1, true)", [][]byte{[]byte(strings.Join(quoted, ", "))}, nil, nil, nil).Read().Err; err != nil {
		return -1, err
	}
	v, err := one(ctx, c, "EXPLAIN (FORMAT JSON) "+text)
	if err != nil {
		return -1, err
	}
	var plans []struct {
		Plan plan `json:"Plan"`
	}
	if err := json.Unmarshal([]byte(v[0]), &plans); err != nil || len(plans) != 1 {
		return -1, errCatalog
	}
	top := plans[0].Plan
	if top.Node == "ModifyTable" && len(top.Plans) > 0 {
		// The node itself returns nothing: its input is what it changes.
		top.Rows = 0
		for _, p := range top.Plans {
			top.Rows += p.Rows
		}
	}
	return int64(top.Rows), nil
}

// Close implements [bastion.Conn].
func (c *Conn) Close() error {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
	defer stop()
	// A connection that does not close cleanly is gone all the same.
	if c.main != nil {
		_ = c.main.Close(ctx)
	}
	c.sideMu.Lock()
	defer c.sideMu.Unlock()
	c.closed = true
	if c.side != nil {
		_ = c.side.Close(ctx)
		c.side = nil
	}
	return nil
}
