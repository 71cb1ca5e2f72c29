package postgres

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// authors remembers into which columns people wrote through this bastion, by person.
// Whoever can put a guess into a hidden column could join another hidden column with
// it, or compare pseudonyms. The zero authors remember nothing. It is safe for
// concurrent use.
type authors struct {
	mu sync.RWMutex
	by map[string]*made
}

// made is what one person wrote to. It is never changed.
type made struct {
	columns map[string]struct{} // schema.table.column, or schema.table.*
	tables  bool                // there is one of the second kind
	all     bool                // it may be any
}

// How much is remembered. Whoever wrote to more columns is taken to have written to
// all, and so is everybody whom there is no more room for.
const (
	maxAuthors = 10_000
	maxMade    = 10_000
)

// everything stands for all columns.
const everything = "*"

// of returns what a person wrote to; nil is nothing.
func (a *authors) of(person string) *made {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if m := a.by[person]; m != nil || len(a.by) < maxAuthors {
		return m
	}
	return &made{all: true}
}

// wrote notes what a person is about to write.
func (a *authors) wrote(person string, columns []string) {
	before := a.of(person)
	if !slices.ContainsFunc(columns, func(c string) bool { return !before.has(c) }) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	next := &made{columns: map[string]struct{}{}}
	if m := a.by[person]; m != nil {
		next.columns, next.tables, next.all = maps.Clone(m.columns), m.tables, m.all
	} else if len(a.by) >= maxAuthors {
		return
	}
	for _, c := range columns {
		next.columns[strings.Clone(c)] = struct{}{}
		next.tables = next.tables || strings.HasSuffix(c, ".*")
		next.all = next.all || len(next.columns) > maxMade || strings.Count(c, ".") < 2
	}
	if a.by == nil {
		a.by = map[string]*made{}
	}
	a.by[person] = next
}

// has reports whether a column is among them.
func (m *made) has(column string) bool {
	switch {
	case m == nil:
		return false
	case m.all:
		return true
	}
	if _, ok := m.columns[column]; ok || !m.tables {
		return ok
	}
	_, ok := m.columns[column[:max(strings.LastIndexByte(column, '.'), 0)]+".*"]
	return ok
}

// wary is a reading as it is for a person who wrote to some of the columns in it:
// comparing with those is comparing with what the person chose.
func (c *reading) wary(r *lineage.Reading) *lineage.Reading {
	mine := c.source.authors.of(c.person)
	if mine == nil {
		return r
	}
	guess := func(p bastion.Probe) bool {
		return p.With != "" && (mine.has(p.Column) || slices.ContainsFunc(strings.Split(p.With, "\x00"), mine.has))
	}
	changed := slices.ContainsFunc(r.Intent.Probes, guess)
	for i := range r.Intent.Outputs {
		o := &r.Intent.Outputs[i]
		changed = changed || !o.Mixed && slices.ContainsFunc(o.Sources, mine.has)
	}
	if !changed {
		return r
	}
	out := *r
	out.Intent.Probes, out.Intent.Outputs = slices.Clone(r.Intent.Probes), slices.Clone(r.Intent.Outputs)
	for i := range out.Intent.Probes {
		if p := &out.Intent.Probes[i]; guess(*p) {
			p.With, p.Order = "", 0
		}
	}
	for i := range out.Intent.Outputs {
		o := &out.Intent.Outputs[i]
		o.Mixed = o.Mixed || slices.ContainsFunc(o.Sources, mine.has)
	}
	return &out
}

// writes notes what a statement that is about to run makes.
func (c *reading) writes(r *lineage.Reading) {
	c.source.authors.wrote(c.person, r.Intent.Writes)
	c.source.authors.wrote(c.person, r.Made)
	if slices.ContainsFunc(r.Intent.Actions, func(x bastion.Action) bool {
		return (x.Verb == lineage.Function || x.Verb == lineage.Call || x.Verb == lineage.Do) && !strings.HasPrefix(x.Resource, "pg_catalog.")
	}) {
		c.source.authors.wrote(c.person, []string{everything}) // nobody can look into it
	}
}
