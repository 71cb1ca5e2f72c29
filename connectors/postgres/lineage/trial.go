package lineage

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// Trial is how a statement is tried: run in a transaction that is rolled back.
type Trial struct {
	// Schema and Table name the table whose rows the statement changes, if they can be
	// looked at; else both are empty.
	Schema, Table string
	// Returning is the statement with all columns of that table returned, of each row
	// that it changes: as they are before a deletion, and else after.
	Returning string
	// Adds and Removes: the rows are new, or go.
	Adds, Removes bool
	// Schematic: it changes the schema, which event triggers could notice.
	Schematic bool
	// Draws: it may take numbers from sequences.
	Draws bool
}

// tried are the verbs of statements that can be tried: all that they do is taken back
// by a rollback.
var tried = set(`catalog select insert update update-all delete delete-all merge create alter drop truncate`)

// Trial says how a text is tried. It is not, unless everything that runs with it is
// known, and known to leave nothing behind: the error says why in words for people.
func (r *Reader) Trial(text string, s Session) (Trial, error) {
	if r.catalog == nil {
		return Trial{}, errors.New("without the target's catalog nothing is tried")
	}
	rd, err := r.Read(text, s)
	if err != nil {
		return Trial{}, err
	}
	stmt, err := parse(text)
	if err != nil {
		return Trial{}, err
	}
	t, on, err := triable(stmt)
	if err != nil {
		return Trial{}, err
	}
	for _, x := range rd.Intent.Actions {
		if !tried[string(x.Verb)] {
			return Trial{}, fmt.Errorf("it does more than can be taken back: %s", strings.TrimSpace(string(x.Verb)+" "+x.Resource))
		}
	}
	switch {
	case rd.Effects:
		return Trial{}, errors.New("it calls a function that cannot be looked into, and what that does might not be taken back")
	case rd.System:
		return Trial{}, errors.New("it touches system catalogs")
	case s.Uncommitted || r.catalog.ImplicitCasts():
		return Trial{}, errors.New("what runs with it is not known: values may be cast by users' functions")
	case rd.Unsettles && !t.Schematic:
		return Trial{}, errors.New("what it writes runs code beside it, such as a trigger or a rule, and what that does might not be taken back")
	}
	a := &analysis{reader: r, session: s, runtime: s.Path, text: text, seen: map[any]bool{}, actions: map[bastion.Action]bool{}}
	for _, x := range rd.Intent.Actions {
		schema, name, _ := strings.Cut(x.Resource, ".")
		rel := r.catalog.Relation(schema, name)
		if x.Verb == Select || x.Verb == Catalog {
			if rel != nil && slices.ContainsFunc(rel.Policies, func(p string) bool { return a.check(p) != effect{} }) {
				return Trial{}, fmt.Errorf("the row security of %s runs code that cannot be looked into", x.Resource)
			}
			continue
		}
		if rel == nil && t.Schematic {
			continue // a new table, an index, a sequence: nothing runs with it
		}
		draws, ok := a.harmless(rel)
		if !ok {
			return Trial{}, fmt.Errorf("code runs beside it when %s is used, such as a trigger, a rule or a function in a default, and what that does might not be taken back", x.Resource)
		}
		t.Draws = t.Draws || draws
	}
	if on == nil {
		return t, nil
	}
	schema, rel := a.resolve(on)
	if rel == nil {
		return t, nil
	}
	if text, ok := returning(stmt, on); ok {
		t.Schema, t.Table, t.Returning = schema, rel.Name, text
	}
	return t, nil
}

// triable says what kind of statement can be tried, and the table whose rows it
// changes, if rows can be returned. What is not in the list cannot.
func triable(n *pg.Node) (t Trial, on *pg.RangeVar, err error) {
	switch x := n.GetNode().(type) {
	case *pg.Node_InsertStmt:
		return Trial{Adds: true, Draws: true}, x.InsertStmt.Relation, nil
	case *pg.Node_UpdateStmt:
		return Trial{}, x.UpdateStmt.Relation, nil
	case *pg.Node_DeleteStmt:
		return Trial{Removes: true}, x.DeleteStmt.Relation, nil
	case *pg.Node_MergeStmt:
		return Trial{Draws: true}, nil, nil
	case *pg.Node_CreateStmt, *pg.Node_AlterTableStmt, *pg.Node_RenameStmt, *pg.Node_ViewStmt:
		return Trial{Schematic: true}, nil, nil
	case *pg.Node_IndexStmt:
		if x.IndexStmt.Concurrent {
			return t, nil, errors.New("CREATE INDEX CONCURRENTLY does not run in a transaction, so it could not be taken back")
		}
		return Trial{Schematic: true}, nil, nil
	case *pg.Node_DropStmt:
		if x.DropStmt.Concurrent {
			return t, nil, errors.New("DROP INDEX CONCURRENTLY does not run in a transaction, so it could not be taken back")
		}
		return Trial{Schematic: true}, nil, nil
	case *pg.Node_TruncateStmt:
		if x.TruncateStmt.Behavior == pg.DropBehavior_DROP_CASCADE {
			return t, nil, errors.New("TRUNCATE ... CASCADE empties tables that it does not name")
		}
		return Trial{Schematic: true}, nil, nil
	case *pg.Node_SelectStmt:
		return t, nil, errors.New("it reads, and shows what it reads when it runs")
	case *pg.Node_TransactionStmt:
		return t, nil, errors.New("it begins or ends a transaction")
	case *pg.Node_VacuumStmt, *pg.Node_CreatedbStmt, *pg.Node_DropdbStmt, *pg.Node_AlterSystemStmt, *pg.Node_CreateTableSpaceStmt, *pg.Node_DropTableSpaceStmt, *pg.Node_ReindexStmt, *pg.Node_ClusterStmt:
		return t, nil, errors.New("statements of this kind do not run in a transaction, so it could not be taken back")
	}
	return t, nil, errors.New("statements of this kind are not known to be taken back without a trace")
}

// harmless reports whether nothing runs when rows of a relation are written, or the
// table is changed, but what can be looked into and has no effect of its own: in it,
// its parts, the tables under a view, and those to which foreign keys pass changes on.
// draws: but that numbers of sequences are drawn.
func (a *analysis) harmless(rel *catalog.Relation) (draws, ok bool) {
	if rel == nil || catalog.System(rel.Schema) {
		return false, false
	}
	seen := map[*catalog.Relation]bool{rel: true}
	for list := []*catalog.Relation{rel}; len(list) > 0; {
		x := list[0]
		list = list[1:]
		if x.Code || x.Kind == catalog.Foreign {
			return false, false
		}
		for _, texts := range [2][]string{x.Expressions, x.Policies} {
			for _, text := range texts {
				if drawn(text) {
					draws = true
				} else if e := a.check(text); e.effects || e.unsettles {
					return false, false
				}
			}
		}
		next := [][]*catalog.Relation{x.Children, x.Cascades}
		if x.Kind == catalog.View {
			w := a.reader.view(x, a)
			if w.effects || w.unsettles {
				return false, false
			}
			next = append(next, w.under)
		}
		for _, more := range next {
			for _, y := range more {
				if !seen[y] {
					seen[y] = true
					list = append(list, y)
				}
			}
		}
	}
	return draws, true
}

// drawn reports whether an expression in the catalog is the next number of a sequence.
func drawn(text string) bool {
	list := expressions(text)
	if len(list) != 1 {
		return false
	}
	c := list[0].GetFuncCall()
	return c != nil && slices.Equal(stringsOf(c.Funcname), []string{"nextval"}) && len(c.Args) == 1 && isConstant(c.Args[0].GetTypeCast().GetArg())
}

// returning writes a statement anew, with all columns of the table that it changes
// returned. ok is false unless the new text is the same statement in all else.
func returning(stmt *pg.Node, on *pg.RangeVar) (text string, ok bool) {
	name := on.Relname
	if on.Alias != nil {
		name = on.Alias.Aliasname
	}
	set := func(n *pg.Node, list []*pg.Node) {
		switch x := n.GetNode().(type) {
		case *pg.Node_InsertStmt:
			x.InsertStmt.ReturningList = list
		case *pg.Node_UpdateStmt:
			x.UpdateStmt.ReturningList = list
		case *pg.Node_DeleteStmt:
			x.DeleteStmt.ReturningList = list
		}
	}
	all := &pg.Node{Node: &pg.Node_ResTarget{ResTarget: &pg.ResTarget{Val: &pg.Node{Node: &pg.Node_ColumnRef{ColumnRef: &pg.ColumnRef{Fields: []*pg.Node{
		pg.MakeStrNode(name), {Node: &pg.Node_AStar{AStar: &pg.A_Star{}}},
	}}}}}}}
	with := proto.Clone(stmt).(*pg.Node)
	set(with, []*pg.Node{all})
	tree, err := pg.Parse("SELECT 1") // of the version that Deparse wants
	if err != nil {
		return "", false
	}
	tree.Stmts = []*pg.RawStmt{{Stmt: with}}
	if text, err = pg.Deparse(tree); err != nil {
		return "", false
	}
	again, err := parse(text)
	if err != nil {
		return "", false
	}
	unplace(with.ProtoReflect())
	unplace(again.ProtoReflect())
	return text, proto.Equal(with, again)
}
