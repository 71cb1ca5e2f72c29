// Package catalog holds what a PostgreSQL database says of its own names:
// relations with their columns, functions, operators and types of users.
//
// A [Snapshot] is one state of it and never changes. PostgreSQL's own functions
// and operators are not in it: the reader of statements knows them by table.
package catalog

import (
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
	// Definition is the query of a view, every name in it qualified.
	Definition string
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
	NotNull bool
	// Generated is the expression of a generated column, names of other columns in it.
	Generated string
	// Sources are the column's own full name, first, and those of the same column in
	// the relation's ancestors and descendants.
	Sources []string
}

// Function is a function, procedure or aggregate outside of pg_catalog.
type Function struct {
	Schema, Name string
	Arguments    string // for people
	// Transparent says that the function is written in C or is built in, declared
	// immutable, and runs with the caller's rights: it has no effect but its result,
	// and the result comes from its arguments alone.
	Transparent bool
}

// Operator is an operator outside of pg_catalog.
type Operator struct {
	Schema, Name string
	Function     Function
}

// Type is a type outside of pg_catalog.
type Type struct {
	Schema, Name string
	// Calls says that making a value of the type may call a user's function: by a
	// check of a domain, or by a cast.
	Calls bool
}

// A Snapshot is the catalog at one moment. It is safe for concurrent use. The
// zero Snapshot knows nothing.
type Snapshot struct {
	relations map[name]*Relation
	byOID     map[uint32]*Relation
	functions map[string][]Function
	operators map[string][]Operator
	types     map[name]Type
	schemas   map[string]bool
	names     map[uint32]string
}

type name struct{ schema, name string }

// Content is what a snapshot is made of.
type Content struct {
	Schemas   []string
	Relations []*Relation
	Functions []Function
	Operators []Operator
	Types     []Type
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
		types:     map[name]Type{},
		schemas:   map[string]bool{},
		names:     c.TypeNames,
	}
	for _, n := range c.Schemas {
		s.schemas[n] = true
	}
	for _, r := range c.Relations {
		s.relations[name{r.Schema, r.Name}] = r
		if r.OID != 0 {
			s.byOID[r.OID] = r
		}
	}
	for _, r := range c.Relations {
		for i := range r.Columns {
			r.Columns[i].Sources = sources(r, r.Columns[i].Name, nil)
		}
		r.keep(before.RelationOf(r.OID))
	}
	for _, r := range c.Relations {
		r.give(r.Parents, []*Relation{r})
	}
	for _, f := range c.Functions {
		s.functions[f.Name] = append(s.functions[f.Name], f)
	}
	for _, o := range c.Operators {
		s.operators[o.Name] = append(s.operators[o.Name], o)
	}
	for _, t := range c.Types {
		s.types[name{t.Schema, t.Name}] = t
	}
	return s
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

// give adds the sources of a part's columns to the whole: who reads the whole reads
// the part, under the whole's name.
func (r *Relation) give(to, seen []*Relation) {
	for _, p := range to {
		if slices.Contains(seen, p) {
			continue
		}
		for i := range p.Columns {
			if k := r.Column(p.Columns[i].Name); k != nil {
				for _, s := range k.Sources {
					if !slices.Contains(p.Columns[i].Sources, s) {
						p.Columns[i].Sources = append(p.Columns[i].Sources, s)
					}
				}
			}
		}
		r.give(p.Parents, append(seen, p))
	}
}

// sources names a column and the columns of ancestors that hold the same values:
// PostgreSQL keeps inherited columns under one name.
func sources(r *Relation, column string, seen []*Relation) []string {
	s := []string{r.Schema + "." + r.Name + "." + column}
	for _, p := range seen {
		if p == r {
			return nil // no such cycle exists, but a hostile server might tell of one
		}
	}
	for _, p := range r.Parents {
		if p.Column(column) != nil {
			s = append(s, sources(p, column, append(seen, r))...)
		}
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

// Type returns a type outside of pg_catalog.
func (s *Snapshot) Type(schema, typ string) (Type, bool) {
	t, ok := s.types[name{schema, typ}]
	return t, ok
}

// TypeName returns the name of a type outside of pg_catalog, or nothing.
func (s *Snapshot) TypeName(oid uint32) string { return s.names[oid] }

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
