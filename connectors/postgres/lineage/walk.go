package lineage

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
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
