package lineage

import (
	"fmt"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sallyport/sallyport/bastion"
)

// unseen walks the whole tree, whatever its types, and names the first node that
// the reading should have understood and did not: then something would run that
// nobody decided upon. Empty means there is none.
func unseen(n *pg.Node, seen map[any]bool) string { return unseenIn(n.ProtoReflect(), seen) }

func unseenIn(m protoreflect.Message, seen map[any]bool) (missed string) {
	switch x := m.Interface().(type) {
	case *pg.Node:
	case *pg.SelectStmt, *pg.InsertStmt, *pg.UpdateStmt, *pg.DeleteStmt, *pg.MergeStmt:
		if !seen[x] {
			return "a query"
		}
	case *pg.RangeVar:
		if !seen[x] {
			return "a table"
		}
	case *pg.FuncCall:
		if !seen[x] {
			return "a function"
		}
	case *pg.A_Expr, *pg.TypeCast:
		if !seen[x] {
			return "an operator"
		}
	case *pg.ColumnRef:
		if !seen[x] {
			return "a column"
		}
	case *pg.SubLink, *pg.CommonTableExpr, *pg.RangeSubselect, *pg.RangeFunction, *pg.JoinExpr:
		if !seen[x] {
			return "a subquery"
		}
	case *pg.Integer, *pg.Float, *pg.Boolean, *pg.String, *pg.BitString, *pg.A_Const, *pg.A_Star, *pg.ParamRef:
		return ""
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if d.Message() == nil {
			return true
		}
		if d.IsList() {
			for i := range v.List().Len() {
				if missed = unseenIn(v.List().Get(i).Message(), seen); missed != "" {
					return false
				}
			}
			return true
		}
		missed = unseenIn(v.Message(), seen)
		return missed == ""
	})
	return missed
}

// Parameters counts the parameters of a text that holds one statement. They have to
// be $1, $2 and so on, without a gap.
func Parameters(text string) (int, error) {
	tree, err := pg.Parse(text)
	if err != nil {
		return 0, &bastion.ParseError{Message: err.Error()}
	}
	found := map[int32]bool{}
	for _, s := range tree.Stmts {
		if parameters(s.ProtoReflect(), found) {
			return 0, &bastion.ParseError{Message: "a parameter stands where PostgreSQL takes a quoted constant alone, as in: date $1", Next: "write the type behind it, as in: $1::date"}
		}
	}
	for i := range len(found) {
		if !found[int32(i+1)] {
			return 0, &bastion.ParseError{Message: fmt.Sprintf("the text has %d parameters, and none of them is $%d", len(found), i+1), Next: "number them from $1 on"}
		}
	}
	return len(found), nil
}

// parameters collects parameters. quoted reports one in the place of a quoted constant:
// this parser takes that, and a server does not. There the cast has no place of its own.
func parameters(m protoreflect.Message, found map[int32]bool) (quoted bool) {
	switch x := m.Interface().(type) {
	case *pg.ParamRef:
		found[x.Number] = true
	case *pg.TypeCast:
		quoted = x.Location == -1 && x.Arg.GetParamRef() != nil
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if d.Message() == nil {
			return true
		}
		if !d.IsList() {
			quoted = parameters(v.Message(), found) || quoted
			return true
		}
		for i := range v.List().Len() {
			quoted = parameters(v.List().Get(i).Message(), found) || quoted
		}
		return true
	})
	return quoted
}
