// Package catalog holds what a PostgreSQL database says of its own names:
// relations with their columns, functions, operators and types of users.
//
// A [Snapshot] is one state of it and never changes. PostgreSQL's own functions
// and operators are not in it: the reader of statements knows them by table.
package catalog

import (
	"maps"
	"slices"
	"strings"
)

// Kinds of relation, as pg_class.relkind spells them.
const (
	Table        = 'r'
	Partitioned  = 'p'
	View         = 'v'
	Materialized = 'm'
	Foreign      = 'f'
	Sequence     = 'S'
	Index        = 'i'
	Composite    = 'c' // a type made of fields, and no table
)

// FirstUserOID is the first OID that PostgreSQL gives to objects made after initdb.
const FirstUserOID = 16384

// Relation is a table, a view or something else with columns.
type Relation struct {
	OID          uint32
	Schema, Name string
	Kind         byte
	Columns      []Column // in order, dropped ones left out
	// Parents are the tables that this one inherits from or is a partition of.
	Parents []*Relation
	// Children are the tables that inherit from this one or are its partitions. New
	// fills them in.
	Children []*Relation
	// Definition is the query of a view, every name in it qualified.
	Definition string
	// RowType and RowArray are the OIDs of the types of its rows and of arrays of them.
	RowType, RowArray uint32

	// What may run when rows are written, beside the statement itself. Code says that
	// it can be anything: triggers, rules, a foreign server, functions behind an index.
	Code bool
	// Expressions run when rows are written: defaults, checks, generated columns,
	// indexes, partition keys. Every name in them is qualified.
	Expressions []string
	// Checks are the expressions of check constraints, names in them as in Expressions.
	Checks []string
	// Policies are the expressions of row security, which run on reading as well.
	Policies []string
	// Cascades are the tables to whose rows a foreign key passes on that rows of this
	// one were changed or removed.
	Cascades []*Relation

	rows Type // what its rows are made of
}

// FullName is schema.name, as policies and masks spell it.
func (r *Relation) FullName() string { return r.Schema + "." + r.Name }

// Column returns the column of that name, or nil.
func (r *Relation) Column(name string) *Column {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return &r.Columns[i]
		}
	}
	return nil
}

// Column is a column of a relation.
type Column struct {
	Name    string
	Number  int16 // attnum
	Type    string
	TypeOID uint32
	NotNull bool
	// Unique says that a unique index or an exclusion constraint compares the column:
	// whether a value can be written tells whether it is there already.
	Unique bool
	// Key says that no two rows have the same value in the column, and none has NULL.
	Key bool
	// Primary says that the column is the table's primary key by itself.
	Primary bool
	// References are the columns whose values a foreign key wants the column to have;
	// ReferencedBy are those that a foreign key wants to have values of this one, or none.
	References, ReferencedBy []string
	// Generated is the expression of a generated column, names of other columns in it.
	Generated string
	// Missing says that the catalog itself holds the column's value in rows that are
	// older than the column (pg_attribute.attmissingval).
	Missing bool
	// Sources are the column's own full name, first, and those of the same column in
	// the relation's ancestors and descendants.
	Sources []string
}

// Function is a function, procedure or aggregate outside of pg_catalog.
type Function struct {
	Schema, Name string
	Arguments    string // for people
	// Types are the types of the arguments that a call can give, as PostgreSQL
	// writes them with an empty search_path.
	Types []string
	// Optional is how many of the last arguments have defaults. Variadic says that
	// the last one takes any number.
	Optional int
	Variadic bool
	// Transparent says that the function is written in C or is built in, and runs with
	// the caller's rights, and is declared immutable or comes with an extension that is
	// known: it has no effect but its result, and the result comes from its arguments
	// alone, or from a clock or a random source.
	Transparent bool
	// Volatile says that the function is declared so, or is an aggregate of functions
	// that are: it may write.
	Volatile bool
	// Settings says that the text of the function seems to look at a setting.
	Settings bool
	// Language is the name of the language it is written in.
	Language string
	// Columns are the names of the columns of its result, if the function names them.
	// Returns is the OID of the type of the result.
	Columns []string
	Returns uint32
	// Row is the relation of whose rows the result is one, or nil. New fills it in.
	Row *Relation
	// Body is what the function does, where it can be looked into; else nil.
	Body *Body
}

// Signature is schema.name(type, type): what PostgreSQL tells functions apart by.
func (f *Function) Signature() string {
	return f.Schema + "." + f.Name + "(" + strings.Join(f.Types, ", ") + ")"
}

// Takes reports whether a call with n arguments can mean the function.
func (f *Function) Takes(n int) bool {
	return n >= len(f.Types)-f.Optional && (n <= len(f.Types) || f.Variadic) || f.Variadic && n == len(f.Types)-1
}

// MaxBody is the length of the longest body of a function that is kept, in bytes.
const MaxBody = 32 << 10

// Body is a function in LANGUAGE sql.
type Body struct {
	// Text is the statements of the function, or with Standard the body in the
	// standard's form (RETURN or BEGIN ATOMIC), every name in it qualified.
	Text     string
	Standard bool
	// Path is the search_path that is set for the function, as it is written in
	// pg_proc.proconfig, if Pinned; else names mean what they mean to the caller.
	Path   string
	Pinned bool
	// Settings names what else is set for the function.
	Settings []string
	// Definer says that the function runs with its owner's rights.
	Definer bool
	// Set says that it returns any number of rows, Void that it returns nothing.
	Set, Void bool
	// Parameters are the names of the arguments that a call can give, empty where
	// there is none.
	Parameters []string
	// Defaults are the expressions of the arguments that may be left out, with
	// commas between them, every name in it qualified.
	Defaults string
	// ArgumentTypes are the OIDs of the arguments that a call can give.
	ArgumentTypes []uint32

	// Checks and Calls are those of the types of the arguments and the result. New
	// fills them in.
	Checks []string
	Calls  bool
}

// Operator is an operator outside of pg_catalog.
type Operator struct {
	Schema, Name string
	Function     Function
}

// Type is a type of users, or one of PostgreSQL's own for which users made a cast.
type Type struct {
	OID          uint32
	Schema, Name string
	// Array is the OID of the type of arrays of it, or 0.
	Array uint32
	// Kind is pg_type.typtype, Category is typcategory, Label is the first label of an
	// enumeration.
	Kind, Category byte
	Label          string
	// Parts are the OIDs of the types that values of this one hold: the domain's
	// base, the range's subtype.
	Parts []uint32
	// Checks are the expressions by which making a value is checked, here and in its
	// parts, every name in them qualified and the value called VALUE.
	Checks []string
	// Calls says that making a value of the type may call a user's function by a cast.
	Calls bool
}

// Shape is what values of a type outside of pg_catalog are made of.
type Shape struct {
	Name     string   // without its schema
	Category byte     // as typcategory, but M for a multirange
	Elem     uint32   // of an array: the OID of its elements' type
	Label    string   // of an enumeration: its first one
	Fields   []uint32 // of a row: the OIDs of its fields' types
}

// A Snapshot is the catalog at one moment. It is safe for concurrent use. The
// zero Snapshot knows nothing.
type Snapshot struct {
	relations map[name]*Relation
	byOID     map[uint32]*Relation
	functions map[string][]Function
	operators map[string][]Operator
	types     map[name]*Type
	// composites are types made of fields, which are no tables.
	composites map[name]*Relation
	schemas    map[string]bool
	names      map[uint32]string
	shapes     map[uint32]Shape
	casts      bool
	missing    []string
	builtins   map[string]bool
}

type name struct{ schema, name string }

// Content is what a snapshot is made of.
type Content struct {
	Schemas   []string
	Relations []*Relation
	Functions []Function
	Operators []Operator
	Types     []Type
	// Composites are types made of fields, which are no tables.
	Composites []*Relation
	// ImplicitCasts says that users made casts that PostgreSQL may put into any
	// expression by itself, and whose functions are not transparent.
	ImplicitCasts bool
	// Builtins are the names of the functions and types of pg_catalog, if they are known.
	Builtins []string
	// TypeNames are the names of types by OID, for people.
	TypeNames map[uint32]string
}

// New makes a snapshot. The relations must not be changed afterwards. before is
// the snapshot that this one follows, or nil: columns that have another name now
// keep the sources that they had, so that renaming a table or a column does not
// take its label off.
func New(c Content, before *Snapshot) *Snapshot {
	s := &Snapshot{
		relations: make(map[name]*Relation, len(c.Relations)),
		byOID:     make(map[uint32]*Relation, len(c.Relations)),
		functions: map[string][]Function{},
		operators: map[string][]Operator{},
		types:     map[name]*Type{}, composites: map[name]*Relation{},
		schemas: map[string]bool{},
		names:   c.TypeNames,
		casts:   c.ImplicitCasts,
	}
	for _, n := range c.Schemas {
		s.schemas[n] = true
	}
	if len(c.Builtins) > 0 {
		s.builtins = make(map[string]bool, len(c.Builtins))
		for _, n := range c.Builtins {
			s.builtins[n] = true
		}
	}
	for _, r := range c.Relations {
		s.relations[name{r.Schema, r.Name}] = r
		if r.OID != 0 {
			s.byOID[r.OID] = r
		}
	}
	for _, r := range c.Relations {
		for i := range r.Columns {
			r.Columns[i].Sources = sources(r, r.Columns[i].Name)
		}
		r.keep(before.RelationOf(r.OID))
		for _, p := range r.Parents {
			p.Children = append(p.Children, r)
		}
	}
	for _, r := range c.Relations {
		if len(r.Children) > 0 {
			r.gather()
		}
	}
	for _, r := range c.Relations {
		for i := range r.Columns {
			if r.Columns[i].Missing {
				s.missing = append(s.missing, r.Columns[i].Sources...)
			}
		}
	}
	slices.Sort(s.missing)
	s.missing = slices.Compact(s.missing)
	for i := range c.Types {
		t := &c.Types[i]
		s.types[name{t.Schema, t.Name}] = t
	}
	s.weigh(c)
	s.shape(c)
	for _, f := range c.Functions {
		s.functions[f.Name] = append(s.functions[f.Name], f)
	}
	for _, o := range c.Operators {
		s.operators[o.Name] = append(s.operators[o.Name], o)
	}
	return s
}

// shape tells of each type what its values are made of, and names those of rows.
func (s *Snapshot) shape(c Content) {
	s.shapes = map[uint32]Shape{}
	array := func(oid, elem uint32) {
		if oid != 0 {
			s.shapes[oid] = Shape{Category: 'A', Elem: elem}
		}
	}
	for i := range c.Types {
		t := &c.Types[i]
		k := Shape{Name: t.Name, Category: t.Category, Label: t.Label}
		if t.Kind == 'm' {
			k.Category = 'M'
		}
		s.shapes[t.OID] = k
		array(t.Array, t.OID)
	}
	names := maps.Clone(s.names)
	if names == nil {
		names = map[uint32]string{}
	}
	for _, list := range [2][]*Relation{c.Relations, c.Composites} {
		for _, r := range list {
			if r.RowType == 0 {
				continue
			}
			k := Shape{Name: r.Name, Category: 'C'}
			for i := range r.Columns {
				k.Fields = append(k.Fields, r.Columns[i].TypeOID)
			}
			s.shapes[r.RowType] = k
			array(r.RowArray, r.RowType)
			name := written(r.Schema) + "." + written(r.Name)
			if _, ok := names[r.RowType]; !ok {
				names[r.RowType] = name
			}
			if _, ok := names[r.RowArray]; !ok && r.RowArray != 0 {
				names[r.RowArray] = name + "[]"
			}
		}
	}
	s.names = names
}

// written is a name as it is written in a text.
func written(name string) string {
	plain := name != "" && (name[0] < '0' || name[0] > '9') && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// weigh tells of each type which checks and casts making a value of it may run,
// and passes that on to whatever holds such values.
func (s *Snapshot) weigh(c Content) {
	w := weights{parts: map[uint32][]uint32{}, own: map[uint32]*Type{}, done: map[uint32]*Type{}}
	for i := range c.Types {
		t := &c.Types[i]
		w.parts[t.OID] = t.Parts
		w.own[t.OID] = t
		if t.Array != 0 {
			w.parts[t.Array] = []uint32{t.OID}
		}
	}
	rows := map[uint32]*Relation{}
	for _, list := range [2][]*Relation{c.Relations, c.Composites} {
		for _, r := range list {
			if r.RowType == 0 {
				continue
			}
			rows[r.RowType] = r
			for i := range r.Columns {
				w.parts[r.RowType] = append(w.parts[r.RowType], r.Columns[i].TypeOID)
			}
			if r.RowArray != 0 {
				w.parts[r.RowArray] = []uint32{r.RowType}
			}
		}
	}
	for i := range c.Types {
		t := w.of(c.Types[i].OID, 0)
		c.Types[i].Checks, c.Types[i].Calls = t.Checks, t.Calls
	}
	for _, list := range [2][]*Relation{c.Relations, c.Composites} {
		for _, r := range list {
			r.rows = Type{OID: r.RowType, Schema: r.Schema, Name: r.Name}
			for i := range r.Columns {
				t := w.of(r.Columns[i].TypeOID, 0)
				r.rows.join(t)
				if r.Kind != View && r.Kind != Materialized && r.Kind != Sequence {
					for _, x := range t.Checks {
						r.Expressions = add(r.Expressions, x)
					}
					r.Code = r.Code || t.Calls
				}
			}
		}
	}
	for _, r := range c.Composites {
		s.types[name{r.Schema, r.Name}] = &r.rows
		s.composites[name{r.Schema, r.Name}] = r
	}
	for i := range c.Functions {
		f := &c.Functions[i]
		f.Row = rows[f.Returns]
		for t := w.own[f.Returns]; f.Row == nil && t != nil && len(t.Parts) == 1 && t.Parts[0] < t.OID; t = w.own[t.Parts[0]] {
			f.Row = rows[t.Parts[0]] // a domain over rows is made after them
		}
		b := f.Body
		if b == nil {
			continue
		}
		var all Type
		for _, oid := range b.ArgumentTypes {
			all.join(w.of(oid, 0))
		}
		all.join(w.of(f.Returns, 0))
		b.Checks, b.Calls = all.Checks, all.Calls
	}
}

// weights works out what the types of values hold.
type weights struct {
	parts map[uint32][]uint32
	own   map[uint32]*Type
	done  map[uint32]*Type
}

var nothing = &Type{}

func (w *weights) of(oid uint32, depth int) *Type {
	if t := w.done[oid]; t != nil {
		return t
	}
	own, parts := w.own[oid], w.parts[oid]
	if own == nil && len(parts) == 0 {
		return nothing
	}
	w.done[oid] = nothing // types cannot hold themselves; a hostile server might tell of one
	t := &Type{}
	if own != nil {
		t.join(own)
	}
	if depth > 100 {
		t.Calls = true
		return t
	}
	for _, p := range parts {
		t.join(w.of(p, depth+1))
	}
	if len(t.Checks) == 0 && !t.Calls {
		t = nothing
	}
	w.done[oid] = t
	return t
}

// join adds what making a value of u runs.
func (t *Type) join(u *Type) {
	for _, x := range u.Checks {
		t.Checks = add(t.Checks, x)
	}
	t.Calls = t.Calls || u.Calls
}

// add appends to a list that may be shared, without repeats.
func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(slices.Clip(list), s)
}

// keep adds the sources that columns had in an earlier state of the relation.
func (r *Relation) keep(before *Relation) {
	if before == nil || r.OID == 0 {
		return
	}
	for i := range r.Columns {
		c := &r.Columns[i]
		for _, old := range before.Columns {
			if old.Number != c.Number {
				continue
			}
			for _, s := range old.Sources {
				if !slices.Contains(c.Sources, s) {
					c.Sources = append(c.Sources, s)
				}
			}
		}
	}
}

// gather adds to the sources of a whole's columns those of its parts: who reads the
// whole reads the part, under the whole's name.
func (r *Relation) gather() {
	parts, seen := []*Relation{}, map[*Relation]bool{r: true}
	for list := slices.Clone(r.Children); len(list) > 0; {
		p := list[0]
		list = list[1:]
		if !seen[p] {
			seen[p] = true
			parts = append(parts, p)
			list = append(list, p.Children...)
		}
	}
	for i := range r.Columns {
		c := &r.Columns[i]
		known := make(map[string]bool, len(c.Sources)+len(parts))
		for _, s := range c.Sources {
			known[s] = true
		}
		for _, p := range parts {
			// Parts mostly keep the order of the whole.
			k := (*Column)(nil)
			if i < len(p.Columns) && p.Columns[i].Name == c.Name {
				k = &p.Columns[i]
			} else if k = p.Column(c.Name); k == nil {
				continue
			}
			for _, s := range k.Sources {
				if !known[s] {
					known[s] = true
					c.Sources = append(c.Sources, s)
				}
			}
		}
	}
}

// sources names a column and the columns of ancestors that hold the same values:
// PostgreSQL keeps inherited columns under one name.
func sources(r *Relation, column string) []string {
	s := []string{r.Schema + "." + r.Name + "." + column}
	if len(r.Parents) == 0 {
		return s
	}
	// No cycle exists, but a hostile server might tell of one.
	seen := map[*Relation]bool{r: true}
	for list := slices.Clone(r.Parents); len(list) > 0; {
		p := list[0]
		list = list[1:]
		if seen[p] || p.Column(column) == nil {
			continue
		}
		seen[p] = true
		s = append(s, p.Schema+"."+p.Name+"."+column)
		list = append(list, p.Parents...)
	}
	return s
}

// Relation returns the relation of that name, or nil.
func (s *Snapshot) Relation(schema, relation string) *Relation {
	if s == nil {
		return nil
	}
	return s.relations[name{schema, relation}]
}

// RelationOf returns the relation of an OID, or nil.
func (s *Snapshot) RelationOf(oid uint32) *Relation {
	if s == nil {
		return nil
	}
	return s.byOID[oid]
}

// Relations calls yield for all relations, in no order.
func (s *Snapshot) Relations(yield func(*Relation) bool) {
	for _, r := range s.relations {
		if !yield(r) {
			return
		}
	}
}

// Functions returns the functions of that name in all schemas but pg_catalog.
func (s *Snapshot) Functions(function string) []Function { return s.functions[function] }

// AllFunctions calls yield for all functions, in no order.
func (s *Snapshot) AllFunctions(yield func(Function) bool) {
	for _, fs := range s.functions {
		for _, f := range fs {
			if !yield(f) {
				return
			}
		}
	}
}

// Operators returns the operators of that name in all schemas but pg_catalog.
func (s *Snapshot) Operators(operator string) []Operator { return s.operators[operator] }

// Type returns a type outside of pg_catalog, those of the rows of relations included.
func (s *Snapshot) Type(schema, typ string) (Type, bool) {
	if t := s.types[name{schema, typ}]; t != nil {
		return *t, true
	}
	if r := s.relations[name{schema, typ}]; r != nil && r.Kind != Sequence {
		return r.rows, true
	}
	return Type{}, false
}

// Composite returns the relation whose columns are the fields of a type, or nil.
func (s *Snapshot) Composite(schema, typ string) *Relation {
	if r := s.composites[name{schema, typ}]; r != nil {
		return r
	}
	return s.relations[name{schema, typ}]
}

// Callable reports whether a call of that name, with whatever schema and arguments, may
// mean something: a function, a type, or a column of an argument that is a row.
func (s *Snapshot) Callable(function string) bool {
	if s.builtins == nil || s.builtins[function] || len(s.functions[function]) > 0 {
		return true
	}
	for n := range s.types {
		if n.name == function {
			return true
		}
	}
	for _, list := range [2]map[name]*Relation{s.relations, s.composites} {
		for n, r := range list {
			if n.name == function || slices.ContainsFunc(r.Columns, func(c Column) bool { return c.Name == function }) {
				return true
			}
		}
	}
	return false
}

// Missing are the sources of the columns of which the catalog itself holds a value.
func (s *Snapshot) Missing() []string { return s.missing }

// ImplicitCasts reports whether PostgreSQL may call users' functions, which are not
// transparent, to turn values of one type into another where no text says so.
func (s *Snapshot) ImplicitCasts() bool { return s.casts }

// TypeName returns the name of a type outside of pg_catalog, or nothing.
func (s *Snapshot) TypeName(oid uint32) string { return s.names[oid] }

// Shape returns what values of a type outside of pg_catalog are made of.
func (s *Snapshot) Shape(oid uint32) Shape {
	if s == nil {
		return Shape{}
	}
	return s.shapes[oid]
}

// Schemas calls yield for all schemas, in no order.
func (s *Snapshot) Schemas(yield func(string) bool) {
	for n := range s.schemas {
		if !yield(n) {
			return
		}
	}
}

// System reports whether a schema belongs to PostgreSQL itself.
func System(schema string) bool {
	return schema == "pg_catalog" || schema == "information_schema" || strings.HasPrefix(schema, "pg_toast")
}
