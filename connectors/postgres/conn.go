package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"io"
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

// Conn implements [bastion.Conn]: one session on a target, for people. Statements
// run one after the other.
type Conn struct {
	reading
	main *pgconn.PgConn // Do owns it, which is never called twice at once
	out  *bastion.Sink  // of the running Do, for notices
	told error          // why a notice could not be passed on
	once sync.Once      // for Close

	// The session's prepared statements; Do's alone, but for the map, which mu guards.
	prepared map[string]consolePrepared
	runs     int // of code that nobody can look into: it may prepare others under their names
}

// consolePrepared is a prepared statement.
type consolePrepared struct {
	text string // PREPARE in full
	runs int    // of the connection, when it was last known to be this
}

// named is how EXECUTE finds its statement.
func (c *Conn) named(name string) (text string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.prepared[name]
	return p.text, ok
}

// renew prepares a statement again that is about to be executed, if code has run that
// may have put another behind its name.
func (c *Conn) renew(ctx context.Context, name string) error {
	c.mu.Lock()
	p := c.prepared[name]
	c.mu.Unlock()
	if p.runs == c.runs || c.main.TxStatus() == 'E' { // then nothing runs but the transaction's end
		return nil
	}
	err := c.main.Deallocate(ctx, name)
	if err == nil {
		err = c.main.ExecParams(ctx, p.text, nil, nil, nil, nil).Read().Err
	}
	if err != nil {
		te := &bastion.TargetError{Summary: "the prepared statement had to be prepared again, which failed"}
		if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
			te.Code, te.Summary = pe.Code, te.Summary+": "+condition(pe.Code)
		}
		return te
	}
	p.runs = c.runs
	c.mu.Lock()
	c.prepared[name] = p
	c.mu.Unlock()
	return nil
}

// renames keeps the names of prepared statements in step with what ran.
func (c *Conn) renames(text string, r *lineage.Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Prepares != "" {
		if c.prepared == nil {
			c.prepared = map[string]consolePrepared{}
		}
		c.prepared[r.Prepares] = consolePrepared{text, c.runs}
	}
	if r.Forgets == "*" {
		clear(c.prepared)
	}
	delete(c.prepared, r.Forgets)
}

// settle pins the search path and reads the session's settings.
func (c *Conn) settle(ctx context.Context) error {
	if err := run(ctx, c.main, pinQuery); err != nil {
		return err
	}
	return c.look(ctx)
}

// look reads the session's settings on the main connection.
func (c *Conn) look(ctx context.Context) error {
	v, err := one(ctx, c.main, sessionQuery)
	if err != nil {
		return err
	}
	return c.looked(v)
}

// Parse implements [bastion.Conn].
func (c *Conn) Parse(ctx context.Context, text string) (bastion.Intent, error) {
	r, err := c.read(ctx, text)
	if err != nil {
		return bastion.Intent{}, err
	}
	return r.Intent, nil
}

var errClosed = &bastion.TargetError{Summary: "the connection to the target is closed; open the target again", Lost: true}

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
	if r.Executes != "" {
		if err := c.renew(ctx, r.Executes); err != nil {
			return err
		}
	}
	if r.Unsettles || r.Effects {
		c.runs++
	}
	c.writes(r)
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
	values, formats, types, err := readParams(op.Params().Bytes)
	if err != nil {
		return err
	}
	// The extended protocol takes exactly one statement.
	result := c.main.ExecParams(ctx, op.Text(), values, types, formats, nil)
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
		err = c.failed(err, r.Class)
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
	c.ran(text, r, failure == nil)
	if failure == nil {
		c.renames(text, r)
	}
	if c.main.TxStatus() == 'I' {
		c.idle()
	}
	if !r.Unsettles || c.main.TxStatus() == 'E' {
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

// columns describes the answer. What the target says of a column's source can only
// add to what was read.
func (c *Conn) columns(fields []pgconn.FieldDescription, op bastion.Operation, r *lineage.Reading) []bastion.Column {
	var snapshot *catalog.Snapshot
	if k := c.source.state.Load(); k != nil {
		snapshot = k.snapshot
	}
	decided := op.Outputs()
	out := make([]bastion.Column, len(fields))
	for i, f := range fields {
		out[i] = bastion.Column{Name: f.Name, Type: typeName(snapshot, f.DataTypeOID), Numeric: numeric[f.DataTypeOID],
			Source: origin(snapshot, decided, r, i, len(fields), f.TableOID, int16(f.TableAttributeNumber))}
		if rel := snapshot.RelationOf(f.TableOID); rel != nil {
			for _, k := range rel.Columns {
				if k.Number == int16(f.TableAttributeNumber) {
					out[i].Type = k.Type
				}
			}
		}
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
	c.told = c.out.Notice(strings.ToLower(n.Severity)+": "+n.Message, nil)
}

// Preview implements [bastion.Conn]: the planner's estimate.
func (c *Conn) Preview(ctx context.Context, p *bastion.Permit) (bastion.Preview, error) {
	op, err := p.Use(bastion.ForPreview)
	if err != nil {
		return bastion.Preview{}, err
	}
	return c.preview(ctx, op)
}

// preview asks the planner, on a connection of its own.
func (s *source) preview(ctx context.Context, op bastion.Operation, path []string) (bastion.Preview, error) {
	rows := int64(-1)
	err := s.with(ctx, func(c *pgconn.PgConn) (err error) {
		rows, err = estimate(ctx, c, op, path)
		return err
	})
	switch {
	case err == nil:
		return bastion.Preview{Rows: rows, Note: "the planner's estimate; the true number may differ"}, nil
	case ctx.Err() == nil && isServerError(err):
		return bastion.Preview{Rows: -1, Note: "the target's planner gives no estimate for this statement"}, nil
	}
	return bastion.Preview{}, unread(ctx, err)
}

func isServerError(err error) bool {
	_, ok := errors.AsType[*pgconn.PgError](err)
	return ok
}

// plan is a node of EXPLAIN (FORMAT JSON).
type plan struct {
	Node  string  `json:"Node Type"`
	Rows  float64 `json:"Plan Rows"`
	Plans []plan  `json:"Plans"`
}

// estimate asks the planner in a transaction that can write nothing and ends soon.
func estimate(ctx context.Context, c *pgconn.PgConn, op bastion.Operation, path []string) (rows int64, err error) {
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
	values, formats, types, err := readParams(op.Params().Bytes)
	if err != nil {
		return -1, err
	}
	result := c.ExecParams(ctx, "EXPLAIN (FORMAT JSON) "+op.Text(), values, types, formats, nil).Read()
	if result.Err != nil {
		return -1, result.Err
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) != 1 {
		return -1, errCatalog
	}
	var plans []struct {
		Plan plan `json:"Plan"`
	}
	if err := json.Unmarshal(result.Rows[0][0], &plans); err != nil || len(plans) != 1 {
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
	c.once.Do(func() {
		if c.main != nil {
			discard(c.main)
		}
		c.source.leave()
	})
	return nil
}
