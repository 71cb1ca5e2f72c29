package lineage

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sallyport/sallyport/bastion"
)

// below walks the fields of a message that is no node of its own.
func (a *analysis) below(m protoreflect.Message, sc *scope) {
	if m == nil {
		return
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if d.Message() == nil {
			return true
		}
		visit := func(m protoreflect.Message) {
			switch x := m.Interface().(type) {
			case *pg.Node:
				a.walk(x, sc)
			case *pg.RangeVar:
				a.seen[x] = true
			case *pg.TypeName:
				a.typeName(x)
			case *pg.Constraint:
				a.constraint(x, sc)
				a.below(m, sc)
			default:
				a.below(m, sc)
			}
		}
		if d.IsList() {
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message())
			}
		} else {
			visit(v.Message())
		}
		return true
	})
}

// utility reads statements that are no queries. Each has its verb and names what
// it works on; expressions in it are read as probes.
func (a *analysis) utility(n *pg.Node, rd *Reading) {
	child := childOf(n)
	walk := func(sc *scope) { a.below(child, sc) }
	on := func(v bastion.Verb, r *pg.RangeVar) {
		if r == nil {
			a.action(v, "")
			return
		}
		schema, rel := a.resolve(r)
		a.seen[r] = true
		a.action(v, fullName(schema, r.Relname))
		if rel != nil {
			for _, p := range rel.Parents {
				a.action(v, p.FullName())
			}
		}
	}
	about := func(r *pg.RangeVar) *scope { // the columns of a table
		if r == nil {
			return nil
		}
		e := a.relation(r, "")
		old, new_ := *e, *e
		old.alias, new_.alias = "old", "new"
		return &scope{items: []item{{entries: []*entry{e, &old, &new_}, fields: e.fields, loose: e.loose}}}
	}
	// moves: what is labelled by its name would be read under another.
	moves := func(r *pg.RangeVar, column string) {
		_, rel := a.resolve(r)
		if rel == nil {
			a.unknown = a.unknown || a.reader.catalog != nil
			return
		}
		for i, f := range a.columns(rel) {
			switch {
			case i >= len(rel.Columns):
			case rel.Columns[i].Generated != "" && (column == "" || f.name == column):
				a.probe(f.flow, false)
			case column == "" || f.name == column:
				a.probe(flow{columns: rel.Columns[i].Sources}, false)
			}
		}
	}
	makes := func(r *pg.RangeVar, column string) {
		if r != nil {
			schema, _ := a.resolve(r)
			a.makes(fullName(schema, r.Relname), column)
		}
	}
	named := func(v bastion.Verb, names []*pg.Node) { a.action(v, a.name(stringsOf(names))) }
	switch x := n.GetNode().(type) {
	case *pg.Node_TransactionStmt:
		a.action(Transaction, "")
		switch x.TransactionStmt.Kind {
		case pg.TransactionStmtKind_TRANS_STMT_PREPARE, pg.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED, pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED:
			a.runs()
			a.action(SettingMeaning, "") // it outlives the session, or ends another's
		}
		walk(nil)
	case *pg.Node_ConstraintsSetStmt:
		a.action(Transaction, "")
		walk(nil)
	case *pg.Node_DiscardStmt:
		switch x.DiscardStmt.Target {
		case pg.DiscardMode_DISCARD_PLANS, pg.DiscardMode_DISCARD_SEQUENCES:
		case pg.DiscardMode_DISCARD_TEMP:
			rd.Discards = true
		default:
			rd.Forgets, rd.Closes, rd.Discards = "*", "*", true
		}
		a.action(SettingMeaning, "")
	case *pg.Node_ListenStmt:
		rd.Class = Streaming
		a.action(Listen, "")
	case *pg.Node_UnlistenStmt, *pg.Node_NotifyStmt:
		a.action(Listen, "")
	case *pg.Node_LockStmt:
		for _, r := range x.LockStmt.Relations {
			on(Lock, r.GetRangeVar())
		}
	case *pg.Node_TruncateStmt:
		for _, r := range x.TruncateStmt.Relations {
			on(Truncate, r.GetRangeVar())
		}
	case *pg.Node_CommentStmt:
		a.object(Comment, x.CommentStmt.Objtype, x.CommentStmt.Object)
		walk(nil)
	case *pg.Node_SecLabelStmt:
		a.object(Grant, x.SecLabelStmt.Objtype, x.SecLabelStmt.Object)
		walk(nil)
	case *pg.Node_DropStmt:
		for _, o := range x.DropStmt.Objects {
			a.object(dropVerb(x.DropStmt.RemoveType), x.DropStmt.RemoveType, o)
		}
		walk(nil)
	case *pg.Node_CreateStmt:
		rd.Class = 0
		a.create(x.CreateStmt, Create)
	case *pg.Node_CreateForeignTableStmt:
		rd.Class = 0
		a.create(x.CreateForeignTableStmt.BaseStmt, Foreign)
		a.options(x.CreateForeignTableStmt.Options)
	case *pg.Node_AlterTableStmt:
		rd.Class = 0
		v := Alter
		for _, c := range x.AlterTableStmt.Cmds {
			switch c.GetAlterTableCmd().GetSubtype() {
			case pg.AlterTableType_AT_ChangeOwner, pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_DisableRowSecurity,
				pg.AlterTableType_AT_ForceRowSecurity, pg.AlterTableType_AT_NoForceRowSecurity:
				on(Grant, x.AlterTableStmt.Relation)
			case pg.AlterTableType_AT_EnableTrig, pg.AlterTableType_AT_EnableAlwaysTrig, pg.AlterTableType_AT_EnableReplicaTrig,
				pg.AlterTableType_AT_DisableTrig, pg.AlterTableType_AT_EnableTrigAll, pg.AlterTableType_AT_DisableTrigAll,
				pg.AlterTableType_AT_EnableTrigUser, pg.AlterTableType_AT_DisableTrigUser, pg.AlterTableType_AT_EnableRule,
				pg.AlterTableType_AT_DisableRule, pg.AlterTableType_AT_EnableAlwaysRule, pg.AlterTableType_AT_EnableReplicaRule:
				on(Define, x.AlterTableStmt.Relation)
				a.code()
			case pg.AlterTableType_AT_ClusterOn:
				moves(x.AlterTableStmt.Relation, "") // rows will come in that order
			case pg.AlterTableType_AT_AlterColumnType, pg.AlterTableType_AT_SetNotNull:
				moves(x.AlterTableStmt.Relation, c.GetAlterTableCmd().GetName()) // it fails for some values
				makes(x.AlterTableStmt.Relation, c.GetAlterTableCmd().GetName())
			case pg.AlterTableType_AT_DropColumn:
				on(Drop, x.AlterTableStmt.Relation)
			case pg.AlterTableType_AT_AddColumn:
				makes(x.AlterTableStmt.Relation, c.GetAlterTableCmd().GetDef().GetColumnDef().GetColname())
			case pg.AlterTableType_AT_ColumnDefault:
				makes(x.AlterTableStmt.Relation, c.GetAlterTableCmd().GetName())
			case pg.AlterTableType_AT_DropExpression: // the label came with it
				moves(x.AlterTableStmt.Relation, c.GetAlterTableCmd().GetName())
			case pg.AlterTableType_AT_AddInherit, pg.AlterTableType_AT_DropInherit:
				moves(x.AlterTableStmt.Relation, "")
				makes(c.GetAlterTableCmd().GetDef().GetRangeVar(), everything)
			case pg.AlterTableType_AT_AttachPartition, pg.AlterTableType_AT_DetachPartition:
				moves(c.GetAlterTableCmd().GetDef().GetPartitionCmd().GetName(), "")
				makes(x.AlterTableStmt.Relation, everything)
			}
		}
		on(v, x.AlterTableStmt.Relation)
		walk(about(x.AlterTableStmt.Relation))
	case *pg.Node_IndexStmt:
		rd.Class = 0
		on(Create, x.IndexStmt.Relation)
		sc := about(x.IndexStmt.Relation)
		for _, n := range x.IndexStmt.IndexParams { // rows may come in its order
			a.uniques([]string{n.GetIndexElem().GetName()}, sc)
		}
		walk(sc)
	case *pg.Node_CreateStatsStmt:
		a.action(Create, a.name(stringsOf(x.CreateStatsStmt.Defnames)))
		rd.Class = 0
		var sc *scope
		for _, r := range x.CreateStatsStmt.Relations {
			if v := r.GetRangeVar(); v != nil {
				sc = about(v)
			}
		}
		walk(sc)
	case *pg.Node_RuleStmt:
		rd.Class = 0
		on(Define, x.RuleStmt.Relation)
		walk(about(x.RuleStmt.Relation))
	case *pg.Node_CreateTrigStmt:
		rd.Class = 0
		on(Define, x.CreateTrigStmt.Relation)
		a.code()
		walk(about(x.CreateTrigStmt.Relation))
	case *pg.Node_CreatePolicyStmt:
		rd.Class = 0
		on(Grant, x.CreatePolicyStmt.Table)
		walk(about(x.CreatePolicyStmt.Table))
	case *pg.Node_AlterPolicyStmt:
		rd.Class = 0
		on(Grant, x.AlterPolicyStmt.Table)
		walk(about(x.AlterPolicyStmt.Table))
	case *pg.Node_RefreshMatViewStmt:
		rd.Class = 0
		a.runs()
		on(Maintain, x.RefreshMatViewStmt.Relation)
	case *pg.Node_ClusterStmt:
		rd.Class = 0
		on(Maintain, x.ClusterStmt.Relation)
		if x.ClusterStmt.Relation == nil {
			a.probe(opaque, false)
		} else {
			moves(x.ClusterStmt.Relation, "")
		}
		walk(nil)
	case *pg.Node_ReindexStmt:
		rd.Class = 0
		on(Maintain, x.ReindexStmt.Relation)
		walk(nil)
	case *pg.Node_VacuumStmt:
		rd.Class = 0
		if len(x.VacuumStmt.Rels) == 0 {
			a.action(Maintain, "")
		}
		for _, r := range x.VacuumStmt.Rels {
			on(Maintain, r.GetVacuumRelation().GetRelation())
		}
		walk(nil)
	case *pg.Node_CheckPointStmt:
		a.action(Maintain, "")
	case *pg.Node_CreateSchemaStmt:
		rd.Class = 0
		a.action(Create, x.CreateSchemaStmt.Schemaname)
		for _, e := range x.CreateSchemaStmt.SchemaElts {
			var inner Reading
			a.statement(e, &inner)
		}
	case *pg.Node_CreateSeqStmt:
		a.created(x.CreateSeqStmt.Sequence, Create)
		walk(nil)
	case *pg.Node_AlterSeqStmt:
		on(Alter, x.AlterSeqStmt.Sequence)
		walk(nil)
	case *pg.Node_CompositeTypeStmt:
		a.created(x.CompositeTypeStmt.Typevar, Create)
		walk(nil)
	case *pg.Node_CreateEnumStmt:
		named(Create, x.CreateEnumStmt.TypeName)
	case *pg.Node_CreateRangeStmt:
		rd.Class = 0
		named(Define, x.CreateRangeStmt.TypeName) // names functions
		a.code()
		walk(nil)
	case *pg.Node_CreateDomainStmt:
		rd.Class = 0
		named(Create, x.CreateDomainStmt.Domainname)
		walk(value())
	case *pg.Node_AlterDomainStmt:
		rd.Class = 0
		named(Alter, x.AlterDomainStmt.TypeName)
		switch x.AlterDomainStmt.Subtype {
		case "C", "V", "O": // a check, or NOT NULL: it fails for some values of columns of the type
			a.probe(opaque, false)
		}
		walk(value())
	case *pg.Node_AlterEnumStmt:
		named(Alter, x.AlterEnumStmt.TypeName)
	case *pg.Node_AlterTypeStmt:
		named(Define, x.AlterTypeStmt.TypeName)
		walk(nil)
	case *pg.Node_AlterCollationStmt:
		named(Alter, x.AlterCollationStmt.Collname)
	case *pg.Node_AlterStatsStmt:
		named(Alter, x.AlterStatsStmt.Defnames)
		walk(nil)
	case *pg.Node_AlterTsdictionaryStmt:
		named(Alter, x.AlterTsdictionaryStmt.Dictname)
		walk(nil)
	case *pg.Node_AlterTsconfigurationStmt:
		named(Alter, x.AlterTsconfigurationStmt.Cfgname)
		walk(nil)
	case *pg.Node_RenameStmt:
		switch {
		case x.RenameStmt.RenameType == pg.ObjectType_OBJECT_ROLE:
			a.action(Grant, "")
		case x.RenameStmt.Relation != nil:
			on(Alter, x.RenameStmt.Relation)
			switch x.RenameStmt.RenameType {
			case pg.ObjectType_OBJECT_COLUMN:
				moves(x.RenameStmt.Relation, x.RenameStmt.Subname)
				makes(x.RenameStmt.Relation, x.RenameStmt.Newname)
			case pg.ObjectType_OBJECT_TABCONSTRAINT, pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE, pg.ObjectType_OBJECT_POLICY:
			case pg.ObjectType_OBJECT_ATTRIBUTE:
				a.probe(opaque, false) // tables of the type follow
			default:
				moves(x.RenameStmt.Relation, "")
				schema, _ := a.resolve(x.RenameStmt.Relation)
				a.makes(fullName(schema, x.RenameStmt.Newname), everything)
			}
		default:
			a.object(alterVerb(x.RenameStmt.RenameType), x.RenameStmt.RenameType, x.RenameStmt.Object)
			if alterVerb(x.RenameStmt.RenameType) == Define {
				a.code() // functions are trusted by name
			}
			if x.RenameStmt.RenameType == pg.ObjectType_OBJECT_SCHEMA {
				a.probe(opaque, false) // all of its tables are called otherwise then
			}
		}
		walk(nil)
	case *pg.Node_AlterObjectSchemaStmt:
		if x.AlterObjectSchemaStmt.Relation != nil {
			on(Alter, x.AlterObjectSchemaStmt.Relation)
			moves(x.AlterObjectSchemaStmt.Relation, "")
			a.makes(fullName(x.AlterObjectSchemaStmt.Newschema, x.AlterObjectSchemaStmt.Relation.Relname), everything)
		} else {
			a.object(alterVerb(x.AlterObjectSchemaStmt.ObjectType), x.AlterObjectSchemaStmt.ObjectType, x.AlterObjectSchemaStmt.Object)
			if alterVerb(x.AlterObjectSchemaStmt.ObjectType) == Define {
				a.code()
			}
		}
		walk(nil)
	case *pg.Node_AlterObjectDependsStmt:
		a.action(Extension, "")
		walk(nil)
	case *pg.Node_AlterOwnerStmt:
		if x.AlterOwnerStmt.Relation != nil {
			on(Grant, x.AlterOwnerStmt.Relation)
		} else {
			a.object(Grant, x.AlterOwnerStmt.ObjectType, x.AlterOwnerStmt.Object)
		}
		walk(nil)
	case *pg.Node_GrantStmt:
		a.grants(x.GrantStmt)
		walk(nil)
	case *pg.Node_GrantRoleStmt, *pg.Node_AlterDefaultPrivilegesStmt, *pg.Node_CreateRoleStmt, *pg.Node_AlterRoleStmt,
		*pg.Node_AlterRoleSetStmt, *pg.Node_DropRoleStmt, *pg.Node_ReassignOwnedStmt:
		a.action(Grant, "")
		walk(nil)
	case *pg.Node_DropOwnedStmt:
		a.action(Drop, "")
		walk(nil)
	case *pg.Node_CreatedbStmt:
		a.action(Create, "")
		walk(nil)
	case *pg.Node_DropdbStmt:
		a.action(Drop, "")
		walk(nil)
	case *pg.Node_AlterDatabaseStmt, *pg.Node_AlterDatabaseRefreshCollStmt:
		a.action(Alter, "")
		walk(nil)
	case *pg.Node_AlterDatabaseSetStmt, *pg.Node_AlterSystemStmt:
		a.action(SettingMeaning, "")
		walk(nil)
	case *pg.Node_CreateTableSpaceStmt, *pg.Node_DropTableSpaceStmt, *pg.Node_AlterTableSpaceOptionsStmt, *pg.Node_AlterTableMoveAllStmt:
		a.action(ServerFile, "")
		walk(nil)
	case *pg.Node_LoadStmt:
		a.action(ServerFile, "")
	case *pg.Node_DefineStmt:
		v := Create
		switch x.DefineStmt.Kind {
		case pg.ObjectType_OBJECT_AGGREGATE, pg.ObjectType_OBJECT_OPERATOR, pg.ObjectType_OBJECT_TYPE,
			pg.ObjectType_OBJECT_COLLATION: // which may say that any two texts are equal
			v = Define
		}
		named(v, x.DefineStmt.Defnames)
		rd.Class = 0
		walk(nil)
	case *pg.Node_CreateFunctionStmt:
		rd.Class = 0
		named(Define, x.CreateFunctionStmt.Funcname)
		a.defines(x.CreateFunctionStmt)
		a.body(x.CreateFunctionStmt)
	case *pg.Node_AlterFunctionStmt:
		named(Define, x.AlterFunctionStmt.Func.GetObjname())
		a.code() // it may be looked into differently then
		walk(nil)
	case *pg.Node_CreateEventTrigStmt, *pg.Node_AlterEventTrigStmt, *pg.Node_CreateConversionStmt, *pg.Node_CreateCastStmt,
		*pg.Node_CreateOpClassStmt, *pg.Node_CreateOpFamilyStmt, *pg.Node_AlterOpFamilyStmt, *pg.Node_AlterOperatorStmt,
		*pg.Node_CreateTransformStmt:
		a.action(Define, "")
		a.code()
		walk(nil)
	case *pg.Node_CreateExtensionStmt, *pg.Node_AlterExtensionStmt, *pg.Node_AlterExtensionContentsStmt, *pg.Node_CreateAmStmt, *pg.Node_CreatePlangStmt:
		rd.Class = 0
		a.action(Extension, "")
		walk(nil)
	case *pg.Node_CreateFdwStmt, *pg.Node_AlterFdwStmt, *pg.Node_CreateForeignServerStmt, *pg.Node_AlterForeignServerStmt,
		*pg.Node_CreateUserMappingStmt, *pg.Node_AlterUserMappingStmt, *pg.Node_DropUserMappingStmt, *pg.Node_ImportForeignSchemaStmt,
		*pg.Node_CreateSubscriptionStmt, *pg.Node_AlterSubscriptionStmt, *pg.Node_DropSubscriptionStmt:
		rd.Class = 0
		a.action(Foreign, "")
		walk(nil)
	case *pg.Node_CreatePublicationStmt, *pg.Node_AlterPublicationStmt:
		rd.Class = 0
		a.action(Foreign, "")
		walk(loose())
	default:
		a.refuse("the statement is of a kind that this bastion does not know")
	}
}

// constraint reads the columns that a constraint names: whether it holds tells which
// of their values are equal, to each other or to those of another table.
func (a *analysis) constraint(c *pg.Constraint, sc *scope) {
	a.uniques(append(stringsOf(c.Keys), stringsOf(c.FkAttrs)...), sc)
	for _, n := range c.Exclusions {
		if l := n.GetList().GetItems(); len(l) > 0 {
			a.uniques([]string{l[0].GetIndexElem().GetName()}, sc)
		}
	}
	if c.Pktable == nil {
		return
	}
	_, rel := a.resolve(c.Pktable)
	if rel == nil {
		a.unknown = a.unknown || a.reader.catalog != nil
		return
	}
	for _, name := range stringsOf(c.PkAttrs) {
		if k := rel.Column(name); k != nil {
			a.probe(flow{columns: k.Sources}, true)
		}
	}
}

// uniques notes that rows of a table are compared by these columns.
func (a *analysis) uniques(names []string, sc *scope) {
	for _, name := range names {
		if f, _, ok := sc.column(name); ok {
			a.probe(f, false)
		}
	}
}

// loose is a scope in which every name may be a column of something.
func loose() *scope {
	return &scope{items: []item{{entries: []*entry{{loose: true}}, loose: true}}}
}

// value is the scope of a domain's checks.
func value() *scope { return &scope{items: []item{{fields: []field{{name: "value"}}}}} }

// create reads CREATE TABLE.
func (a *analysis) create(c *pg.CreateStmt, verb bastion.Verb) {
	a.makes(a.created(c.Relation, verb), everything) // there may be defaults
	var fields []field                               // the new table's own columns hold nothing yet
	for _, n := range c.TableElts {
		if d := n.GetColumnDef(); d != nil {
			fields = append(fields, field{name: d.Colname})
		}
		if l := n.GetTableLikeClause(); l != nil && l.Relation != nil {
			e := a.relation(l.Relation, "")
			for _, f := range e.fields {
				fields = append(fields, field{name: f.name})
			}
			a.action(Catalog, e.prefix[:len(e.prefix)-1])
		}
	}
	sc := &scope{items: []item{{entries: []*entry{{alias: c.Relation.GetRelname(), fields: fields}}, fields: fields}}}
	for _, n := range c.InhRelations {
		if v := n.GetRangeVar(); v != nil {
			schema, _ := a.resolve(v)
			a.seen[v] = true
			a.action(Alter, fullName(schema, v.Relname))
			if rel := a.relation(v, ""); rel != nil {
				for _, f := range rel.fields {
					sc.items[0].fields = append(sc.items[0].fields, field{name: f.name})
				}
			}
		}
	}
	a.below(c.ProtoReflect(), sc)
}

// body walks CREATE FUNCTION. The body in standard SQL runs when the function is
// called, and then nobody looks into it: calls of users' functions are decided as
// such. So its names are only marked as seen.
func (a *analysis) body(f *pg.CreateFunctionStmt) {
	for _, o := range f.Options {
		a.options([]*pg.Node{o})
	}
	for _, p := range f.Parameters {
		if d := p.GetFunctionParameter(); d != nil {
			a.walk(d.Defexpr, nil)
		}
	}
	if f.SqlBody != nil {
		a.markAll(f.SqlBody.ProtoReflect())
	}
	a.markAll(f.ProtoReflect())
}

func (a *analysis) markAll(m protoreflect.Message) {
	a.seen[m.Interface()] = true
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.Message() == nil:
		case d.IsList():
			for i := range v.List().Len() {
				a.markAll(v.List().Get(i).Message())
			}
		default:
			a.markAll(v.Message())
		}
		return true
	})
}

// name is schema.name of a new or an existing object, as far as the text tells.
func (a *analysis) name(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return fullName(a.creating(), names[0])
	}
	return fullName(names[len(names)-2], names[len(names)-1])
}

// object notes what is done to an object of any type.
func (a *analysis) object(v bastion.Verb, t pg.ObjectType, n *pg.Node) {
	var names []string
	switch x := n.GetNode().(type) {
	case *pg.Node_List:
		names = stringsOf(x.List.Items)
	case *pg.Node_String_:
		names = []string{x.String_.Sval}
	case *pg.Node_TypeName:
		names = stringsOf(x.TypeName.Names)
	case *pg.Node_ObjectWithArgs:
		names = stringsOf(x.ObjectWithArgs.Objname)
	}
	switch t {
	case pg.ObjectType_OBJECT_SCHEMA:
		a.action(v, strings.Join(names, "."))
		return
	case pg.ObjectType_OBJECT_COLUMN, pg.ObjectType_OBJECT_TABCONSTRAINT, pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE,
		pg.ObjectType_OBJECT_POLICY:
		names = names[:max(len(names)-1, 0)] // the rest names the table
		fallthrough
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW, pg.ObjectType_OBJECT_MATVIEW, pg.ObjectType_OBJECT_SEQUENCE,
		pg.ObjectType_OBJECT_INDEX, pg.ObjectType_OBJECT_FOREIGN_TABLE:
		if len(names) == 0 {
			a.action(v, "")
			return
		}
		r := &pg.RangeVar{Relname: names[len(names)-1]}
		if len(names) > 1 {
			r.Schemaname = names[len(names)-2]
		}
		schema, rel := a.resolve(r)
		a.action(v, fullName(schema, r.Relname))
		if rel != nil {
			for _, p := range rel.Parents {
				a.action(v, p.FullName())
			}
		}
		return
	case pg.ObjectType_OBJECT_DATABASE, pg.ObjectType_OBJECT_ROLE, pg.ObjectType_OBJECT_TABLESPACE, pg.ObjectType_OBJECT_EXTENSION,
		pg.ObjectType_OBJECT_LANGUAGE, pg.ObjectType_OBJECT_FDW, pg.ObjectType_OBJECT_FOREIGN_SERVER, pg.ObjectType_OBJECT_EVENT_TRIGGER,
		pg.ObjectType_OBJECT_CAST, pg.ObjectType_OBJECT_LARGEOBJECT, pg.ObjectType_OBJECT_PUBLICATION, pg.ObjectType_OBJECT_SUBSCRIPTION,
		pg.ObjectType_OBJECT_ACCESS_METHOD, pg.ObjectType_OBJECT_TRANSFORM, pg.ObjectType_OBJECT_DOMCONSTRAINT,
		pg.ObjectType_OBJECT_OPCLASS, pg.ObjectType_OBJECT_OPFAMILY:
		a.action(v, "")
		return
	}
	a.action(v, a.name(names))
}

// dropVerb is drop, or the verb of what guards the kind of object.
func dropVerb(t pg.ObjectType) bastion.Verb {
	switch t {
	case pg.ObjectType_OBJECT_POLICY:
		return Grant
	case pg.ObjectType_OBJECT_EXTENSION, pg.ObjectType_OBJECT_LANGUAGE, pg.ObjectType_OBJECT_ACCESS_METHOD:
		return Extension
	case pg.ObjectType_OBJECT_FDW, pg.ObjectType_OBJECT_FOREIGN_SERVER, pg.ObjectType_OBJECT_PUBLICATION, pg.ObjectType_OBJECT_SUBSCRIPTION,
		pg.ObjectType_OBJECT_USER_MAPPING:
		return Foreign
	}
	return Drop
}

// alterVerb is alter, or the verb of what defines the kind of object.
func alterVerb(t pg.ObjectType) bastion.Verb {
	switch t {
	case pg.ObjectType_OBJECT_FUNCTION, pg.ObjectType_OBJECT_PROCEDURE, pg.ObjectType_OBJECT_ROUTINE, pg.ObjectType_OBJECT_AGGREGATE,
		pg.ObjectType_OBJECT_OPERATOR, pg.ObjectType_OBJECT_OPCLASS, pg.ObjectType_OBJECT_OPFAMILY, pg.ObjectType_OBJECT_TRIGGER,
		pg.ObjectType_OBJECT_RULE, pg.ObjectType_OBJECT_EVENT_TRIGGER, pg.ObjectType_OBJECT_CONVERSION:
		return Define
	case pg.ObjectType_OBJECT_POLICY:
		return Grant
	}
	switch v := dropVerb(t); v {
	case Drop:
		return Alter
	default:
		return v
	}
}

// grants reads GRANT and REVOKE on objects.
func (a *analysis) grants(g *pg.GrantStmt) {
	for _, n := range g.Objects {
		switch x := n.GetNode().(type) {
		case *pg.Node_RangeVar:
			schema, _ := a.resolve(x.RangeVar)
			a.seen[x.RangeVar] = true
			a.action(Grant, fullName(schema, x.RangeVar.Relname))
		case *pg.Node_ObjectWithArgs:
			a.action(Grant, a.name(stringsOf(x.ObjectWithArgs.Objname)))
		default:
			a.action(Grant, "")
		}
	}
	if len(g.Objects) == 0 {
		a.action(Grant, "")
	}
}

// redacts reports whether the text of a statement may hold a password.
func (a *analysis) redacts(n *pg.Node) bool {
	switch n.GetNode().(type) {
	case *pg.Node_CreateRoleStmt, *pg.Node_AlterRoleStmt, *pg.Node_CreateUserMappingStmt, *pg.Node_AlterUserMappingStmt,
		*pg.Node_CreateForeignServerStmt, *pg.Node_AlterForeignServerStmt, *pg.Node_CreateFdwStmt, *pg.Node_AlterFdwStmt,
		*pg.Node_CreateForeignTableStmt, *pg.Node_CreateSubscriptionStmt, *pg.Node_AlterSubscriptionStmt, *pg.Node_AlterSystemStmt:
		return true
	}
	return false
}
