package lineage

import (
	"reflect"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
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

// equalNodes reports whether two expressions read the same, places aside.
func equalNodes(l, r *pg.Node) bool {
	if a, b := l.GetAConst(), r.GetAConst(); a != nil || b != nil { // most of them
		return a != nil && b != nil && a.Isnull == b.Isnull && a.GetIval().GetIval() == b.GetIval().GetIval() &&
			a.GetSval().GetSval() == b.GetSval().GetSval() && a.GetFval().GetFval() == b.GetFval().GetFval() &&
			a.GetBoolval().GetBoolval() == b.GetBoolval().GetBoolval() && a.GetBsval().GetBsval() == b.GetBsval().GetBsval()
	}
	if reflect.TypeOf(l.GetNode()) != reflect.TypeOf(r.GetNode()) {
		return false
	}
	x, y := proto.Clone(l).(*pg.Node), proto.Clone(r).(*pg.Node)
	unplace(x.ProtoReflect())
	unplace(y.ProtoReflect())
	return proto.Equal(x, y)
}

func unplace(m protoreflect.Message) {
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.Name() == "location":
			m.Clear(d)
		case d.Message() == nil:
		case d.IsList():
			for i := range v.List().Len() {
				unplace(v.List().Get(i).Message())
			}
		default:
			unplace(v.Message())
		}
		return true
	})
}
