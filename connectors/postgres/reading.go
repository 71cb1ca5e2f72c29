package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// reading reads a session's texts: by the catalog, which it shares with others,
// and by what the session itself has done so far.
type reading struct {
	target   bastion.Target
	source   *source
	database string
	person   string // for whom it is

	mu      sync.Mutex // guards what follows
	session lineage.Session
	schemas []string          // of the session's search path, in order
	timeout time.Duration     // statement_timeout; 0 is none
	cursors map[string]cursor // DECLARE statements by name
	stale   bool              // the schema may have been changed: look again
	settled bool              // session is as the last look found it
	roams   bool              // the search path names what is no schema, or not for this session
	before  string            // the catalog's fingerprint before the last look
	own     *state            // the catalog as the session's transaction sees it; nil if that is not known
	base    string            // the fingerprint of what all see, when own was read
	earlier *catalog.Snapshot // what own was before in the same transaction
	// The maps in session are never changed, but replaced.
}

type cursor struct {
	lineage.OpenCursor
	hold bool
}

// sessionQuery reads the settings that change what a text means.
const sessionQuery = `SELECT session_user, current_user, pg_catalog.current_setting('search_path'),
	pg_catalog.array_to_json(pg_catalog.current_schemas(true)), pg_catalog.concat_ws(' ',
	'row_security=' || pg_catalog.current_setting('row_security'),
	'session_replication_role=' || pg_catalog.current_setting('session_replication_role'),
	'transform_null_equals=' || pg_catalog.current_setting('transform_null_equals'),
	'datestyle=' || pg_catalog.quote_literal(pg_catalog.current_setting('datestyle')),
	'intervalstyle=' || pg_catalog.quote_literal(pg_catalog.current_setting('intervalstyle')),
	'timezone=' || pg_catalog.quote_literal(pg_catalog.current_setting('timezone'))),
	(SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'statement_timeout'),
	pg_catalog.cardinality(pg_catalog.current_schemas(false)) OPERATOR(pg_catalog.<>)
	pg_catalog.cardinality(pg_catalog.string_to_array(pg_catalog.current_setting('search_path'), ','))`

// pinQuery pins the search path to the schemas that it means now, so that a schema
// made later does not change what names mean.
const pinQuery = `SELECT pg_catalog.set_config('search_path', COALESCE((SELECT pg_catalog.string_agg(pg_catalog.quote_ident(s), ', ')
	FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) s), ''), false)`

// looked takes the answer of sessionQuery in.
func (c *reading) looked(v []string) error {
	if len(v) != 7 {
		return errCatalog
	}
	var schemas []string
	if err := json.Unmarshal([]byte(v[3]), &schemas); err != nil {
		return errCatalog
	}
	timeout, err := strconv.ParseUint(v[5], 10, 31) // in milliseconds
	if err != nil {
		return errCatalog
	}
	shown := slices.Clone(schemas)
	for i, s := range shown {
		if strings.HasPrefix(s, "pg_temp_") { // each session has a number of its own
			shown[i] = "pg_temp"
		}
	}
	settings := fmt.Sprintf("database=%s user=%s role=%s search_path=%s schemas=%s %s",
		c.database, v[0], v[1], v[2], strings.Join(shown, ","), v[4])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schemas, c.timeout = schemas, time.Duration(timeout)*time.Millisecond
	c.session.Path, c.session.Settings = schemas, settings
	c.settled, c.roams = true, v[6] == "t"
	return nil
}

// seen notes by what catalog the session's settings are going to be looked at.
func (c *reading) seen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = c.source.fingerprint()
}

// strayed reports whether the search path may mean other schemas by now: one may have
// been made that it names.
func (c *reading) strayed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roams && c.before != c.source.fingerprint()
}

// read reads a text with the catalog as it is now, for the person of the session.
func (c *reading) read(ctx context.Context, text string) (*lineage.Reading, error) {
	r, err := c.understand(ctx, text)
	if err != nil {
		return nil, err
	}
	return c.wary(r), nil
}

// understand reads a text with the catalog as it is now.
func (c *reading) understand(ctx context.Context, text string) (*lineage.Reading, error) {
	c.mu.Lock()
	s, stale, own, base := c.session, c.stale, c.own, c.base
	c.stale = false
	c.mu.Unlock()
	k, err := c.source.current(ctx, stale, false)
	if err != nil {
		if stale {
			c.mu.Lock()
			c.stale = true
			c.mu.Unlock()
		}
		return nil, err
	}
	if own != nil && k.fingerprint == base {
		within := s
		within.Uncommitted = false
		r, err := own.reader.Read(text, within)
		if err != nil || !r.Unknown && (!r.System || own.system) {
			return r, err
		}
		// Others may have made what it names.
		if r.Unknown {
			if k, err = c.source.current(ctx, true, false); err != nil {
				return nil, err
			}
			if k.fingerprint == base {
				return r, nil
			}
		}
	}
	r, err := k.reader.Read(text, s)
	if err != nil {
		return nil, err
	}
	switch {
	case r.System && !k.system:
		if k, err = c.source.current(ctx, false, true); err != nil {
			return nil, err
		}
		return k.reader.Read(text, s)
	case r.Unknown:
		now, err := c.source.current(ctx, true, false)
		if err != nil {
			return nil, err
		}
		if now.reader != k.reader {
			return now.reader.Read(text, s)
		}
	}
	return r, nil
}

// ran keeps what is known of the session in step with a statement that ran.
func (c *reading) ran(text string, r *lineage.Reading, ok bool) {
	c.passed(r, ok)
	schema := ok && (r.Discards || slices.ContainsFunc(r.Intent.Actions, func(a bastion.Action) bool { return changesSchema[a.Verb] }))
	code := r.Unsettles && r.Class != lineage.Static || r.Effects
	if !schema && !code && r.Declares == "" && r.Closes == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Somebody who may read by such code what is hidden has run it.
	c.session.Ran = c.session.Ran || code && slices.ContainsFunc(r.Intent.Probes, func(p bastion.Probe) bool { return p.Column == unreadable })
	if schema {
		c.stale, c.session.Uncommitted = true, true
	}
	if code && len(c.cursors) > 0 {
		clear(c.cursors) // it may have closed them, and opened others under their names
		c.opened()
	}
	if ok && r.Declares != "" {
		c.cursors[r.Declares] = cursor{lineage.OpenCursor{Text: text, Path: c.session.Path}, r.Hold}
	}
	if r.Closes == "*" {
		clear(c.cursors)
	}
	if ok {
		delete(c.cursors, r.Closes)
	}
	c.opened()
}

// passed forgets the catalog of the transaction, where a statement may have changed it or
// taken a change back.
func (c *reading) passed(r *lineage.Reading, ok bool) {
	plain := ok && !r.Discards && !r.Unsettles && !r.Effects && !slices.ContainsFunc(r.Intent.Actions, func(a bastion.Action) bool {
		return changesSchema[a.Verb] || a.Verb == lineage.Transaction
	})
	if plain {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = nil
}

// within is the catalog that the session's transaction sees, if it is another one than
// others see and is known; else nil.
func (c *reading) within() *catalog.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		return nil
	}
	return c.own.snapshot
}

// idle notes that no transaction is open any more.
func (c *reading) idle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own, c.earlier = nil, nil
	if c.session.Uncommitted {
		c.stale, c.session.Uncommitted = true, false
	}
	if len(c.cursors) > 0 {
		maps.DeleteFunc(c.cursors, func(_ string, k cursor) bool { return !k.hold })
		c.opened()
	}
}

// opened brings the cursors into the session. The caller holds mu.
func (c *reading) opened() {
	c.session.Cursors = make(map[string]lineage.OpenCursor, len(c.cursors))
	for name, k := range c.cursors {
		c.session.Cursors[name] = k.OpenCursor
	}
}

// Verbs after which the catalog is looked at anew.
var changesSchema = map[bastion.Verb]bool{lineage.Create: true, lineage.Alter: true, lineage.Drop: true, lineage.Define: true,
	lineage.Grant: true, lineage.Extension: true, lineage.Foreign: true, lineage.Function: true, lineage.Call: true, lineage.Do: true,
	lineage.ServerFile: true, lineage.Maintain: true}

// preview asks the planner for an estimate.
func (c *reading) preview(ctx context.Context, op bastion.Operation) (bastion.Preview, error) {
	r, err := c.read(ctx, op.Text())
	if err != nil {
		return bastion.Preview{}, err
	}
	c.mu.Lock()
	uncommitted, path := c.session.Uncommitted, c.schemas
	c.mu.Unlock()
	switch {
	case r.Class != lineage.Plannable:
		return bastion.Preview{Rows: -1, Note: "the target's planner has no estimate for statements of this kind"}, nil
	case r.Effects:
		return bastion.Preview{Rows: -1, Note: "not estimated: planning could run a function of the statement"}, nil
	case uncommitted:
		return bastion.Preview{Rows: -1, Note: "not estimated: the session's transaction has changed the schema"}, nil
	}
	return c.source.preview(ctx, op, path)
}
