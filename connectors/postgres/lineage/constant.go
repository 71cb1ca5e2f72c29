package lineage

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// literal is a constant of the text.
type literal struct {
	is                                   bool // it is one
	null, isBool, isInt, isFloat, isText bool
	b                                    bool
	i                                    int32
	f                                    float64 // of a number
	s                                    string
}

// constant returns the value of a node if it is a constant. It is the only way to
// look at one: a reading that depends on values holds for its own text alone, not
// for those that differ in their constants.
func (a *analysis) constant(n *pg.Node) literal {
	k := n.GetAConst()
	if k == nil {
		return literal{}
	}
	v := literal{is: true}
	switch x := k.Val.(type) {
	case *pg.A_Const_Boolval:
		v.isBool, v.b = true, x.Boolval.GetBoolval()
	case *pg.A_Const_Ival:
		a.valued = true
		v.isInt, v.i = true, x.Ival.GetIval()
		v.f = float64(v.i)
	case *pg.A_Const_Fval:
		a.valued = true
		f, err := strconv.ParseFloat(x.Fval.GetFval(), 64)
		v.isFloat, v.f, v.s = err == nil, f, x.Fval.GetFval()
	case *pg.A_Const_Sval:
		a.valued = true
		v.isText, v.s = true, x.Sval.GetSval()
	case *pg.A_Const_Bsval:
		a.valued = true
		v.s = x.Bsval.GetBsval()
	default:
		v.null = k.Isnull
	}
	return v
}

// positive reports whether a node is a constant integer that is not negative. Texts of
// one shape agree in where a minus stands, so that only a zero depends on the value:
// it may have been one with a minus.
func (a *analysis) positive(n *pg.Node) bool {
	x, ok := n.GetNode().(*pg.Node_AConst)
	if !ok {
		return false
	}
	k, ok := x.AConst.Val.(*pg.A_Const_Ival)
	if !ok {
		return false
	}
	i := k.Ival.GetIval()
	a.valued = a.valued || i <= 0
	return i >= 0
}

// small reports whether a node is nothing, NULL, a truth value or an integer of four bytes:
// no sum of such is too large.
func (a *analysis) small(n *pg.Node) bool {
	k := a.constant(n)
	return n.GetNode() == nil || k.null || k.isBool || k.isInt
}

// isConstant reports whether a node is a constant, whatever its value.
func isConstant(n *pg.Node) bool {
	_, ok := n.GetNode().(*pg.Node_AConst)
	return ok
}

// nameOf is the name in a node of a list of names.
func nameOf(n *pg.Node) string { return n.GetString_().GetSval() }
