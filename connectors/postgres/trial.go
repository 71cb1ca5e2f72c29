package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

var _ bastion.Trier = (*Conn)(nil)

// What a trial may take of the target. What it locks, others wait for.
const (
	trialTime  = 5 * time.Second // of the statement; of one that changes the schema the half
	trialLock  = 2 * time.Second // for each lock
	trialIdle  = 5 * time.Second // between two messages, in case the bastion falls silent
	beforeTime = 2 * time.Second // for reading rows as they are without it
	// sampled is how many rows the planner may expect at most where rows are to be
	// returned: all of them come, though few are looked at.
	sampled = 20_000
)

// Adopt implements [bastion.Trier]: the search path and how dates and times are read
// and written, which clients choose for themselves.
func (c *Conn) Adopt(ctx context.Context, settings string) error {
	if c.main.IsClosed() {
		return errClosed
	}
	for _, s := range chosen(settings) {
		set := c.main.ExecParams(ctx, "SELECT pg_catalog.set_config($1, $2, false)", [][]byte{[]byte(s[0]), []byte(s[1])}, nil, nil, nil).Read()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !isServerError(set.Err) && set.Err != nil {
			return errClosed
		}
	}
	if err := c.look(ctx); err != nil {
		return unread(ctx, err)
	}
	return nil
}

// chosen takes from the settings of an intent, as sessionQuery and looked write them,
// the names and values of those that a new session may be given.
func chosen(settings string) [][2]string {
	var out [][2]string
	if _, rest, ok := strings.Cut(settings, " search_path="); ok {
		if i := strings.LastIndex(rest, " schemas="); i >= 0 {
			out = append(out, [2]string{"search_path", rest[:i]})
		}
	}
	for _, name := range []string{"datestyle", "intervalstyle", "timezone"} {
		i := strings.LastIndex(settings, " "+name+"='")
		if i < 0 {
			continue
		}
		rest := settings[i+len(name)+3:]
		if end := strings.IndexByte(rest, '\''); end >= 0 { // none of their values holds a quote
			out = append(out, [2]string{name, rest[:end]})
		}
	}
	return out
}

// Look implements [bastion.Trier].
func (c *Conn) Look(ctx context.Context, text string) (string, error) {
	t, _, err := c.trial(ctx, text)
	if err != nil || t.Table == "" {
		return "", err
	}
	return "SELECT * FROM " + quote(t.Schema) + "." + quote(t.Table), nil
}

// trial reads how a text is tried, by the catalog as it is now.
func (c *Conn) trial(ctx context.Context, text string) (lineage.Trial, *lineage.Reading, error) {
	r, err := c.read(ctx, text)
	if err != nil {
		return lineage.Trial{}, nil, err
	}
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	k, err := c.source.current(ctx, false, r.System)
	if err != nil {
		return lineage.Trial{}, nil, err
	}
	t, err := k.reader.Trial(text, s)
	return t, r, err
}

// Try implements [bastion.Trier]. The statement runs in a transaction that nothing
// ever commits: COMMIT is not sent, the extended protocol takes a single statement,
// and one that could end the transaction, or have an effect outside of it, is not
// tried. If the bastion or the connection dies, the server rolls back. Afterwards the
// server is asked what became of the transaction.
func (c *Conn) Try(ctx context.Context, p *bastion.Permit, before, after *bastion.Sink) (bastion.Preview, error) {
	none := bastion.Preview{Rows: -1}
	op, err := p.Use(bastion.ForTry)
	if err != nil {
		return none, err
	}
	if t := op.Target(); t.Name != c.target.Name || t.Address != c.target.Address || t.Kind != c.target.Kind {
		return none, bastion.ErrPermit
	}
	if c.main.IsClosed() || c.main.TxStatus() != 'I' {
		return none, errClosed
	}
	t, r, err := c.trial(ctx, op.Text())
	if err != nil {
		return none, err
	}
	if !op.Means(r.Intent) {
		return none, &bastion.TargetError{Summary: "the target changed since the statement was read, so it was not run; look again"}
	}
	a := attempt{c: c, op: op, trial: t, reading: r, text: op.Text()}
	if before != nil && after != nil && t.Table != "" {
		if known, err := c.preview(ctx, op); err == nil && known.Rows <= sampled {
			a.text, a.looks = t.Returning, true
		} else {
			a.caveat("No rows are shown, because there are too many.")
		}
	}
	began := time.Now()
	err = a.run(ctx)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && a.looks && (pe.Code == "42501" || pe.Code == "0A000") {
		// It was not the statement that was refused, perhaps, but returning its rows.
		a = attempt{c: c, op: op, trial: t, reading: r, text: op.Text()}
		a.caveat("No rows are shown, because the target does not return them.")
		began = time.Now()
		err = a.run(ctx)
	}
	preview := a.preview(time.Since(began))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return preview, cause
		}
		if te, ok := errors.AsType[*bastion.TargetError](err); ok {
			return preview, te
		}
		return preview, a.failed(err)
	}
	if a.looks {
		err = a.show(ctx, before, after)
	}
	return preview, err
}

// attempt is one trial.
type attempt struct {
	c       *Conn
	op      bastion.Operation
	trial   lineage.Trial
	reading *lineage.Reading
	text    string // what runs
	looks   bool   // it returns rows

	touched int64
	fields  []pgconn.FieldDescription
	rows    [][][]byte // the first few that it returned
	xid     string     // of the transaction; empty if it changed nothing
	caveats []string
}

func (a *attempt) caveat(s string) { a.caveats = append(a.caveats, s) }

// run runs the statement in a transaction, rolls back, and makes sure of that.
func (a *attempt) run(ctx context.Context) (err error) {
	a.touched = -1
	if err := run(ctx, a.c.main, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"); err != nil {
		return err
	}
	defer func() {
		if back := a.back(ctx); back != nil {
			err = back
		}
	}()
	long := trialTime
	if a.trial.Schematic {
		long /= 2
	}
	for name, d := range map[string]time.Duration{"statement_timeout": long, "lock_timeout": trialLock, "idle_in_transaction_session_timeout": trialIdle} {
		if err := run(ctx, a.c.main, fmt.Sprintf("SET LOCAL %s = %d", name, d.Milliseconds())); err != nil {
			return err
		}
	}
	if a.trial.Schematic {
		listening, err := one(ctx, a.c.main, "SELECT count(*) FROM pg_catalog.pg_event_trigger WHERE evtenabled OPERATOR(pg_catalog.<>) 'D'")
		if err != nil {
			return err
		}
		if listening[0] != "0" {
			return &bastion.TargetError{Summary: "the target has event triggers, and what these do might not be taken back, so it was not run"}
		}
	}
	if err := a.statement(ctx); err != nil {
		return err
	}
	// What is checked when a transaction ends is checked now.
	if err := run(ctx, a.c.main, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return err
	}
	id, err := one(ctx, a.c.main, "SELECT pg_catalog.txid_current_if_assigned()")
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(id[0], 10, 63); err == nil {
		a.xid = id[0]
	}
	return nil
}

func (a *attempt) statement(ctx context.Context) error {
	values, formats, types, err := readParams(a.op.Params().Bytes)
	if err != nil {
		return err
	}
	result := a.c.main.ExecParams(ctx, a.text, values, types, formats, nil)
	if a.looks {
		a.fields = slices.Clone(result.FieldDescriptions())
	}
	for result.NextRow() {
		if a.looks && len(a.rows) < bastion.MaxSample {
			row := make([][]byte, len(result.Values()))
			for i, v := range result.Values() {
				row[i] = slices.Clone(v)
			}
			a.rows = append(a.rows, row)
		}
	}
	tag, err := result.Close()
	if err == nil && !a.trial.Schematic {
		a.touched = tag.RowsAffected()
	}
	return err
}

// back rolls back, whatever happened. What cannot be proved to be rolled back is an
// error, and a connection of which that is not known is closed: then the server does.
func (a *attempt) back(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer stop()
	if a.c.main.IsClosed() {
		return &bastion.TargetError{Summary: "the connection to the target was lost while it was tried; the target takes back what was begun", Lost: true}
	}
	a.c.absorb() // a cancel that came too late must not hit the next statement
	if err := run(ctx, a.c.main, "ROLLBACK"); err != nil || a.c.main.TxStatus() != 'I' {
		a.c.hangUp()
		return &bastion.TargetError{Summary: "the connection to the target was closed, because it did not roll back in time; the target takes back what was begun", Lost: true}
	}
	if a.xid == "" {
		return nil
	}
	state, err := one(ctx, a.c.main, "SELECT pg_catalog.txid_status("+a.xid+")")
	if err != nil || state[0] != "aborted" {
		return &bastion.TargetError{Summary: "the target does not confirm that transaction " + a.xid + " was rolled back; tell whoever runs it"}
	}
	return nil
}

// failed says why the statement did not come to its end.
func (a *attempt) failed(err error) error {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && pe.Code == "55P03":
		return &bastion.TargetError{Code: pe.Code, Summary: fmt.Sprintf("a lock was not to be had within %s, because others work on the same; nothing is known of what it would do", trialLock)}
	case ok && pe.Code == "57014":
		return &bastion.TargetError{Code: pe.Code, Summary: "it did not come to its end in the time that a preview has, so nothing is known of what it would do"}
	case a.text != a.op.Text() && ok:
		pe.Position = 0 // which is one in another text
	}
	return a.c.failed(err, a.reading.Class)
}

func (a *attempt) preview(took time.Duration) bastion.Preview {
	p := bastion.Preview{Rows: a.touched, Took: took, Note: "run in a transaction and rolled back; counted, not estimated", Caveats: a.caveats}
	say := func(s string) { p.Caveats = append(p.Caveats, s) }
	if a.trial.Schematic {
		p.Note = "run in a transaction and rolled back"
	}
	if a.xid != "" {
		p.Note += "; the target confirms that transaction " + a.xid + " was aborted"
	}
	if a.trial.Draws {
		say("Numbers that new rows drew from sequences are not given back.")
	}
	say("It went by the data of that moment, without what the asking session has not committed. Times, random values and changes by others can make it come out otherwise.")
	say(fmt.Sprintf("What it locks was locked for at most %s, and others may have waited for it.", took.Round(time.Millisecond)))
	return p
}

// show passes a few rows on, as they are without it and with it.
func (a *attempt) show(ctx context.Context, before, after *bastion.Sink) error {
	columns := make([]bastion.Column, len(a.fields))
	for i, f := range a.fields {
		columns[i] = bastion.Column{Name: f.Name, Source: a.trial.Schema + "." + a.trial.Table + "." + f.Name}
	}
	if a.trial.Removes {
		return fill(before, columns, a.rows)
	}
	if !a.trial.Adds {
		if old := a.old(ctx); old != nil {
			if err := fill(before, columns, old); err != nil {
				return err
			}
		}
	}
	return fill(after, columns, a.rows)
}

func fill(out *bastion.Sink, columns []bastion.Column, rows [][][]byte) error {
	if err := out.Columns(columns); err != nil {
		return err
	}
	for _, row := range rows {
		if row == nil {
			if err := out.Skip(); err != nil {
				return err
			}
			continue
		}
		if err := out.Row(row); err != nil {
			return err
		}
	}
	return nil
}

// old reads the rows as they are without the statement, by their primary key, on a
// connection that can write nothing. Nil: they cannot be found again.
func (a *attempt) old(ctx context.Context) [][][]byte {
	var rel *catalog.Relation
	if k := a.c.source.state.Load(); k != nil {
		rel = k.snapshot.Relation(a.trial.Schema, a.trial.Table)
	}
	if rel == nil || rel.Kind != catalog.Table && rel.Kind != catalog.Partitioned || len(a.rows) == 0 {
		return nil
	}
	names := []string{"datestyle", "intervalstyle", "timezone", "extra_float_digits", "bytea_output"}
	written, err := one(ctx, a.c.main, "SELECT pg_catalog.current_setting('"+strings.Join(names, "'), pg_catalog.current_setting('")+"')")
	if err != nil {
		return nil
	}
	var old [][][]byte
	err = a.c.source.with(ctx, func(c *pgconn.PgConn) (err error) {
		old = nil
		if err := run(ctx, c, "BEGIN READ ONLY"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, run(ctx, c, "ROLLBACK")) }()
		if err := run(ctx, c, fmt.Sprintf("SET LOCAL statement_timeout = %d", beforeTime.Milliseconds())); err != nil {
			return err
		}
		for i, name := range names { // so that what is the same is written the same
			if err := c.ExecParams(ctx, "SELECT pg_catalog.set_config($1, $2, true)", [][]byte{[]byte(name), []byte(written[i])}, nil, nil, nil).Read().Err; err != nil {
				return err
			}
		}
		key, err := a.key(ctx, c, rel)
		if err != nil || len(key) == 0 {
			return err
		}
		var columns, where []string
		for _, f := range a.fields {
			columns = append(columns, quote(f.Name))
		}
		for i, k := range key {
			where = append(where, quote(a.fields[k].Name)+" = $"+strconv.Itoa(i+1))
		}
		query := "SELECT " + strings.Join(columns, ", ") + " FROM " + quote(rel.Schema) + "." + quote(rel.Name) + " WHERE " + strings.Join(where, " AND ")
		for _, row := range a.rows {
			values := make([][]byte, len(key))
			for i, k := range key {
				values[i] = row[k]
			}
			result := c.ExecParams(ctx, query, values, nil, nil, nil).Read()
			if result.Err != nil {
				return result.Err
			}
			if len(result.Rows) == 1 {
				old = append(old, result.Rows[0])
			} else {
				old = append(old, nil)
			}
		}
		return nil
	})
	if err != nil {
		return nil // it is a sample; the count stands
	}
	return old
}

// key is the places of the columns of a table's primary key among the fields; none if
// there is no key, or the statement sets a part of it.
func (a *attempt) key(ctx context.Context, c *pgconn.PgConn, rel *catalog.Relation) ([]int, error) {
	var key []int
	whole := true
	err := rows(ctx, c, fmt.Sprintf(`SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = %d AND i.indisprimary`, rel.OID), func(v [][]byte) error {
		name := string(v[0])
		at := slices.IndexFunc(a.fields, func(f pgconn.FieldDescription) bool { return f.Name == name })
		column := rel.Column(name)
		if at < 0 || column == nil || slices.ContainsFunc(column.Sources, func(s string) bool { return slices.Contains(a.reading.Intent.Writes, s) }) {
			whole = false
		}
		key = append(key, at)
		return nil
	})
	if err != nil || !whole {
		return nil, err
	}
	return key, nil
}
