// Package lineage reads PostgreSQL statements: what they do to what, which
// columns flow into each column of their answer, and which columns they compare,
// sort or group by.
//
// It works on the tree of PostgreSQL's own parser. What it does not know, it
// refuses or calls unproven; see the README of connectors/postgres.
package lineage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// Names tells what names mean. *catalog.Snapshot is one.
type Names interface {
	// Relation returns the relation of that name, or nil.
	Relation(schema, name string) *catalog.Relation
	// Functions returns functions of that name in all schemas but pg_catalog.
	Functions(name string) []catalog.Function
	// Operators returns operators of that name in all schemas but pg_catalog.
	Operators(name string) []catalog.Operator
	// Type returns a type outside of pg_catalog.
	Type(schema, name string) (catalog.Type, bool)
	// Composite returns the relation whose columns are the fields of a type, or nil.
	Composite(schema, name string) *catalog.Relation
	// Callable reports whether a call of that name may mean something.
	Callable(function string) bool
	// Missing are the sources of the columns of which the catalog itself holds a value.
	Missing() []string
	// ImplicitCasts reports whether values may be cast by users' functions where no
	// text says so.
	ImplicitCasts() bool
}

// Session is what the meaning of a text depends on besides the catalog.
type Session struct {
	// Path is the schemas in which names are looked up, in order, pg_catalog and
	// the session's temporary schema in their places.
	Path []string
	// Settings goes into the intent as it is.
	Settings string
	// Uncommitted says that the session has changed the schema in a transaction
	// that has not ended, so that the catalog is not what its statements see.
	Uncommitted bool
	// Ran says that code has run in the session that nobody could look into, so that
	// settings may hold what it put there.
	Ran bool
	// Prepared returns the text that made a prepared statement of the session, PREPARE
	// in full or the statement itself; what it means depends on the path of the
	// moment. nil: there are none.
	Prepared func(name string) (text string, ok bool)
	// Cursors are the session's open cursors by name.
	Cursors map[string]OpenCursor
}

// OpenCursor is the text, DECLARE in full, that made a cursor, and the path by
// which the names in it were looked up then, and for good.
type OpenCursor struct {
	Text string
	Path []string
}

// Class is how a statement must be treated where it runs.
type Class uint8

// The classes. The zero Class is for any other statement.
const (
	// Plannable statements can be explained.
	Plannable Class = iota + 1
	// Streaming statements need more than rows: COPY with the client, and LISTEN.
	Streaming
	// Static statements evaluate no expression over data: an error of theirs about
	// names or privileges speaks of the text alone.
	Static
)

// Reading is an intent with what else the connector needs to know.
type Reading struct {
	Intent bastion.Intent
	Class  Class
	// Effects: something may run that the reader cannot look into.
	Effects bool
	// Doubted: more could be said if the catalog were the one that the statement sees.
	Doubted bool
	// Unsettles: running the statement may change the session's settings, such as
	// search_path and role. That of a statement that ends a transaction counts only
	// if one in the transaction had it, too.
	Unsettles bool
	// Copy is how rows are coded, for COPY with the client; else nil.
	Copy *Copy
	// Prepares and Declares name the prepared statement or cursor that the
	// statement makes. Hold: the cursor outlives the transaction.
	Prepares, Declares string
	Hold               bool
	// Inner is the statement that it prepares, in the person's own words; empty if it
	// prepares none, or if those are not sure.
	Inner string
	// Executes and Fetches name the prepared statement or cursor on which depends what
	// the statement does and shows, at the moment when it runs.
	Executes, Fetches string
	// Forgets and Closes name what the statement ends; "*" is all.
	Forgets, Closes string
	// Discards: temporary tables end, and no action says so.
	Discards bool
	// Made are columns, beside Intent.Writes, whose values come from the statement or from
	// what it names so: schema.table.column, or schema.table.* for all of a table.
	Made []string
	// System: names of system catalogs were used.
	System bool
	// Unknown: a name was not in the catalog, which may be out of date.
	Unknown bool
}

// A Reader reads texts against one catalog. It is safe for concurrent use, and
// sessions of one target can share it.
type Reader struct {
	catalog Names // nil: names are taken as the text tells them
	cache   cache

	mu      sync.Mutex // guards the rest, which is bounded by the catalog
	views   map[viewOf]*view
	bodies  map[*catalog.Body]*body
	quiet   map[*catalog.Relation]bool
	exprs   map[string]effect
	fields  map[viewOf][]field
	checked map[checkOf]check
}

// viewOf is a relation as one sees it who may have run code that puts values into
// settings, or may not: see [Session].Ran.
type viewOf struct {
	rel *catalog.Relation
	ran bool
}

// view is what a view's definition says.
type view struct {
	filters   flow // see analysis
	settable  bool
	fields    []field
	calls     []bastion.Action // functions that reading the view calls
	reads     []string         // relations in it, as schema.name
	under     []*catalog.Relation
	effects   bool
	unsettles bool
	folded    flow
	whole     bool // nothing was missing when it was read
}

// NewReader makes a reader. Without a catalog, names are taken as the text tells
// them, which is fit for explanation only.
func NewReader(c Names) *Reader {
	return &Reader{catalog: c, views: map[viewOf]*view{}, bodies: map[*catalog.Body]*body{},
		quiet: map[*catalog.Relation]bool{}, exprs: map[string]effect{}, fields: map[viewOf][]field{}, checked: map[checkOf]check{}}
}

// Read reads one statement. What it returns is shared: it must not be changed.
// An error is a *[bastion.ParseError].
func (r *Reader) Read(text string, s Session) (*Reading, error) {
	if known := r.cache.find(text, &s); known != nil {
		return known, nil
	}
	stmt, err := parse(text)
	if err != nil {
		return nil, err
	}
	a := &analysis{reader: r, session: s, runtime: s.Path, text: text, seen: map[any]bool{}, actions: map[bastion.Action]bool{}}
	reading, err := a.read(stmt)
	if err != nil {
		return nil, err
	}
	if !a.volatile {
		r.cache.keep(text, &s, reading, !a.valued && shareable(stmt, reading))
	}
	return reading, nil
}

// parse returns the only statement of a text.
func parse(text string) (*pg.Node, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, &bastion.ParseError{Message: "the text holds a zero byte", Next: "remove it"}
	}
	if !utf8.ValidString(text) {
		return nil, &bastion.ParseError{Message: "the text is not valid UTF-8", Next: "send it as UTF-8"}
	}
	if depth(text) > maxDepth {
		return nil, &bastion.ParseError{Message: fmt.Sprintf("the statement nests deeper than %d levels, or chains more operators than that", maxDepth), Next: "write it as a list or in several statements"}
	}
	tree, err := pg.Parse(text)
	if err != nil {
		var pe *parser.Error
		if errors.As(err, &pe) {
			return nil, &bastion.ParseError{Message: pe.Message, Position: max(pe.Cursorpos, 0)}
		}
		return nil, &bastion.ParseError{Message: "the text cannot be read"}
	}
	switch len(tree.Stmts) {
	case 0:
		return nil, &bastion.ParseError{Message: "there is no statement in the text", Next: "type one"}
	case 1:
		return tree.Stmts[0].Stmt, nil
	}
	return nil, &bastion.ParseError{Message: fmt.Sprintf("the text holds %d statements", len(tree.Stmts)), Next: "send them one by one"}
}

// refused ends an analysis from any depth.
type refused struct{ err *bastion.ParseError }

// analysis is the reading of one text.
type analysis struct {
	reader  *Reader
	session Session
	// runtime is the path by which names in functions' bodies will be looked up; nil
	// if it is not known, as in a view's definition.
	runtime []string
	text    string
	// executes and fetches name what the statement runs that was read before.
	executes, fetches string

	seen    map[any]bool // nodes that were understood
	actions map[bastion.Action]bool
	order   []bastion.Action
	probes  []bastion.Probe
	writes  []string // columns
	made    []string // see Reading.Made
	effects bool
	system  bool
	unknown bool
	absent  string // a column that no table in sight has
	fails   *bastion.ParseError
	// filters is what decides in a view or a function, which is its author's choice, unless
	// it is settable: then it looks at a setting, which is the session's.
	filters  flow
	settable bool
	volatile bool // depends on more than text, catalog and settings
	valued   bool // depends on the value of a constant
	inView   bool // a view's definition: whoever reads it did not choose its filters
	views    []*catalog.Relation
	reads    []string // relations read, in a view's definition
	under    []*catalog.Relation
	// unsettles: something may run that changes the session's settings.
	unsettles bool
	// routines are the functions that are being looked into, outermost first;
	// parameters are what flows into the arguments of the last. calling: what its
	// author chose is no choice of the person's, but arguments are.
	routines   []*catalog.Body
	parameters []flow
	calling    bool
	// strict: a name that two schemas of the path know is not read.
	strict bool
	// folded is what functions return that the planner may compute.
	folded flow
	// sorted is by what aggregates sort their input, gathers what those return whose
	// result depends on its order, of the query that is being read.
	sorted, gathers []flow
	// paired are equalities of columns. What follows is for the order of rows: orderedBy is
	// what the outermost query is sorted by, limited that it has a LIMIT, ordinal that
	// the order of rows shows in more than that, outer that a join keeps rows without a
	// partner; uses counts where a table stands in a FROM.
	paired                  []pair
	orderedBy               []flow
	answer                  answer   // of the outermost query
	executed                *pg.Node // what EXECUTE runs
	limited, ordinal, outer bool
	measured                bool // EXPLAIN ANALYZE, which tells how far rows were read
	uses                    map[*catalog.Relation]int
	// sizes is what flows into answers whose size EXPLAIN ANALYZE tells, as if it were
	// computed; shown all that flows into answers. stores: rows are kept in memory,
	// whose size it tells as well.
	sizes, shown flow
	stores       bool
	depth        int
	steps        int // of work so far, views and all
	// touchesTarget: a column of what the statement changes was referred to.
	touchesTarget bool
}

func (a *analysis) refuse(format string, args ...any) {
	panic(refused{&bastion.ParseError{Message: fmt.Sprintf(format, args...)}})
}

// wrong refuses what the text has at a place, as a server does that has read it.
func (a *analysis) wrong(location int32, code, format string, args ...any) {
	at := min(max(int(location), 0), len(a.text))
	panic(refused{&bastion.ParseError{Code: code, Message: fmt.Sprintf(format, args...), Position: utf8.RuneCountInString(a.text[:at]) + 1}})
}

// maxSteps bounds the work on one text. Nested recursive queries are analysed
// again and again, and a hostile text could keep the bastion busy for years.
const maxSteps = 2_000_000

// spend counts work and gives up when it is too much.
func (a *analysis) spend(n int) {
	if a.steps += n; a.steps > maxSteps {
		a.refuse("the statement is too complex to be analysed")
	}
}

// maxColumns is how many columns an answer may have, as in PostgreSQL.
const maxColumns = 1664

func (a *analysis) read(stmt *pg.Node) (rd *Reading, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case refused:
			rd, err = nil, p.err
		default:
			panic(p)
		}
	}()
	rd = &Reading{}
	out := a.statement(stmt, rd)
	a.probePairs(stmt)
	if missed := unseen(stmt, a.seen); missed != "" {
		a.refuse("the statement uses %s in a way that this bastion does not know", missed)
	}
	if a.session.Uncommitted {
		rd.Doubted = len(out.fields) > 0 || a.touches()
		for i := range out.fields {
			out.fields[i].flow.unproven = true
		}
		if a.touches() {
			a.probe(opaque, false)
		}
	}
	if len(a.order) == 0 {
		a.action(Select, "") // SELECT 1
	}
	rd.Made = a.made
	rd.Effects, rd.System, rd.Unknown = a.effects, a.system, a.unknown
	rd.Executes, rd.Fetches = a.executes, a.fetches
	rd.Unsettles = rd.Unsettles || a.unsettles
	if a.reader.catalog != nil && a.reader.catalog.ImplicitCasts() {
		rd.Unsettles = true
	}
	in := &rd.Intent
	if a.fails != nil {
		in.Fails = a.fails
	}
	in.Actions = a.order
	in.Writes = a.writes
	in.Probes = a.probes
	for i := range in.Probes {
		if p := &in.Probes[i]; a.absent != "" && !a.session.Uncommitted && p.Column == unreadable && p.By == "" {
			p.Why = "no table that it names has a column " + strconv.Quote(bastion.VisibleLine(a.absent))
		}
	}
	in.Settings = a.session.Settings
	in.Verb = a.strongest().Verb
	if in.Summary == "" {
		in.Summary = a.summary()
	}
	if out.known {
		in.Outputs = make([]mask.Column, 0, len(out.fields))
		for _, f := range out.fields {
			c := mask.Column{Name: f.name, Sources: f.flow.columns, Proven: !f.flow.unproven && len(f.flow.by) == 0, Derived: f.flow.derived, Mixed: f.flow.mixed || slices.ContainsFunc(f.flow.columns, func(c string) bool { return slices.Contains(a.writes, c) })}
			if !f.flow.unproven {
				c.Opaque = f.flow.by
			}
			in.Outputs = append(in.Outputs, c)
		}
	}
	return rd, nil
}

// touches reports whether the statement reads or compares anything of the target.
func (a *analysis) touches() bool {
	return len(a.probes) > 0 || slices.ContainsFunc(a.order, func(x bastion.Action) bool {
		return x.Verb == Select && x.Resource != ""
	})
}

// action notes that the statement does something.
func (a *analysis) action(v bastion.Verb, resource string) {
	if strings.HasPrefix(resource, "pg_temp_") { // each session has a number of its own
		_, name, _ := strings.Cut(resource, ".")
		resource = "pg_temp." + name
	}
	if resource == "pg_catalog.pg_settings" && (v == Update || v == UpdateAll || v == Merge) {
		a.action(SettingMeaning, "") // a rule of that view makes it SET
	}
	x := bastion.Action{Verb: v, Resource: resource}
	if !a.actions[x] {
		a.actions[x] = true
		a.order = append(a.order, x)
	}
}

// unreadable is the name of a probe's column where it is not known.
const unreadable = "?"

// probe notes that columns are used other than by showing them.
func (a *analysis) probe(f flow, equality bool) {
	if a.inView || a.calling && !f.argument {
		a.filters = a.filters.with(f)
		return
	}
	for _, c := range f.columns {
		a.oneProbe(bastion.Probe{Column: c, Equality: equality})
	}
	if f.hidden {
		a.oneProbe(bastion.Probe{Column: unreadable})
	}
	for _, function := range f.by {
		a.oneProbe(bastion.Probe{Column: unreadable, By: function})
	}
}

// probeBy notes that columns are arguments of a function that cannot be looked into.
func (a *analysis) probeBy(f flow, function string) {
	if a.inView || a.calling && !f.argument {
		a.filters = a.filters.with(f)
		return
	}
	for _, c := range f.columns {
		a.oneProbe(bastion.Probe{Column: c, By: function})
	}
	if f.hidden || len(f.by) > 0 {
		a.oneProbe(bastion.Probe{Column: unreadable, By: function})
	}
}

// decides takes over what decides in a view or a function, or in a table's policy.
func (a *analysis) decides(f flow, settable bool) {
	a.settable = a.settable || settable
	switch {
	case a.inView || a.calling:
	case !settable:
		return
	case !a.session.Ran: // else a setting's own value may be a hidden one
		f = flow{columns: f.columns}
	}
	a.probe(f, false)
}

func (a *analysis) oneProbe(p bastion.Probe) {
	a.spend(1 + len(a.probes)/64)
	for i := range a.probes {
		if q := &a.probes[i]; q.Column == p.Column && q.By == p.By && (q.Check == p.Check || !q.Check && !q.Equality) && (q.With == p.With || !q.Equality || !p.Equality) {
			q.Order = min(q.Order, p.Order)
			if q.Equality = q.Equality && p.Equality; !q.Equality { // the harder one covers the other
				q.With, q.Order = "", 0
			}
			return
		}
	}
	a.probes = append(a.probes, p)
}

var rank = func() map[bastion.Verb]int {
	m := map[bastion.Verb]int{}
	for i, v := range Verbs() {
		m[v.Verb] = i
	}
	return m
}()

func (a *analysis) strongest() bastion.Action {
	return slices.MaxFunc(a.order, func(x, y bastion.Action) int { return cmp.Compare(rank[x.Verb], rank[y.Verb]) })
}

// answer is the columns of what a statement returns.
type answer struct {
	fields []field
	known  bool
}

// constant reports whether nothing of the target flows into any column.
func (out answer) constant() bool {
	return out.known && !slices.ContainsFunc(out.fields, func(f field) bool { return !f.flow.constant() })
}
