package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// Names implements [bastion.Conn]: schemas, tables, views, columns and functions
// of users.
func (c *reading) Names(ctx context.Context) ([]bastion.Name, error) {
	k, err := c.source.current(ctx, false, false)
	if err != nil {
		return nil, err
	}
	var names []bastion.Name
	for s := range k.snapshot.Schemas {
		if !catalog.System(s) {
			names = append(names, bastion.Name{Kind: "schema", Name: s})
		}
	}
	for r := range k.snapshot.Relations {
		if catalog.System(r.Schema) || temporary(r.Schema) {
			continue
		}
		kind := "table"
		switch r.Kind {
		case catalog.View, catalog.Materialized:
			kind = "view"
		case catalog.Sequence:
			continue
		}
		names = append(names, bastion.Name{Kind: kind, Parent: r.Schema, Name: r.Name})
		for _, k := range r.Columns {
			names = append(names, bastion.Name{Kind: "column", Parent: r.FullName(), Name: k.Name, Type: k.Type})
		}
	}
	for f := range k.snapshot.AllFunctions {
		if !catalog.System(f.Schema) {
			names = append(names, bastion.Name{Kind: "function", Parent: f.Schema, Name: f.Name, Type: f.Arguments})
		}
	}
	slices.SortFunc(names, func(x, y bastion.Name) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Parent, y.Parent), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Type, y.Type))
	})
	return names, nil
}

func temporary(schema string) bool { return len(schema) > 8 && schema[:8] == "pg_temp_" }
