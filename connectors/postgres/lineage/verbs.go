package lineage

import "github.com/sallyport/sallyport/bastion"

// The verbs of PostgreSQL, weakest first: the strongest one names an operation.
const (
	Catalog        bastion.Verb = "catalog"
	Select         bastion.Verb = "select"
	Explain        bastion.Verb = "explain"
	Transaction    bastion.Verb = "transaction"
	Setting        bastion.Verb = "setting"
	Cursor         bastion.Verb = "cursor"
	Prepare        bastion.Verb = "prepare"
	Listen         bastion.Verb = "listen"
	Lock           bastion.Verb = "lock"
	Comment        bastion.Verb = "comment"
	Insert         bastion.Verb = "insert"
	Update         bastion.Verb = "update"
	Merge          bastion.Verb = "merge"
	Delete         bastion.Verb = "delete"
	Maintain       bastion.Verb = "maintain"
	CopyOut        bastion.Verb = "copy-out"
	CopyIn         bastion.Verb = "copy-in"
	Create         bastion.Verb = "create"
	Alter          bastion.Verb = "alter"
	LargeObject    bastion.Verb = "large-object"
	Function       bastion.Verb = "function"
	Call           bastion.Verb = "call"
	Do             bastion.Verb = "do"
	SettingMeaning bastion.Verb = "setting-meaning"
	UpdateAll      bastion.Verb = "update-all"
	DeleteAll      bastion.Verb = "delete-all"
	Truncate       bastion.Verb = "truncate"
	Drop           bastion.Verb = "drop"
	Define         bastion.Verb = "define"
	Grant          bastion.Verb = "grant"
	Foreign        bastion.Verb = "foreign"
	Extension      bastion.Verb = "extension"
	ServerFile     bastion.Verb = "server-file"
)

// Verbs describes all verbs, weakest first.
func Verbs() []bastion.VerbInfo {
	return []bastion.VerbInfo{
		{Verb: Catalog, Doc: "reads system catalogs that tell how the database is built and hold no values of its tables"},
		{Verb: Select, Doc: "reads tables and views"},
		{Verb: Explain, Doc: "shows a plan; with ANALYZE the statement inside runs and counts as well"},
		{Verb: Transaction, Doc: "begins or ends a transaction or savepoint"},
		{Verb: Setting, Doc: "changes or shows a setting that does not change what statements mean"},
		{Verb: Cursor, Doc: "declares, reads or closes a cursor"},
		{Verb: Prepare, Doc: "prepares, executes or forgets a prepared statement; the statement inside counts as well"},
		{Verb: Listen, Doc: "LISTEN, NOTIFY and UNLISTEN", Write: true},
		{Verb: Lock, Doc: "locks tables or rows, or takes an advisory lock", Write: true},
		{Verb: Comment, Doc: "changes a comment", Write: true},
		{Verb: Insert, Doc: "adds rows", Write: true, Whole: true},
		{Verb: Update, Doc: "changes rows that a WHERE chooses", Write: true, Whole: true},
		{Verb: Merge, Doc: "MERGE; what its branches do counts as well", Write: true, Whole: true},
		{Verb: Delete, Doc: "removes rows that a WHERE chooses", Write: true, Whole: true},
		{Verb: Maintain, Doc: "VACUUM, ANALYZE, REINDEX, CLUSTER, REFRESH and CHECKPOINT", Write: true},
		{Verb: CopyOut, Doc: "COPY TO the client"},
		{Verb: CopyIn, Doc: "COPY FROM the client", Write: true},
		{Verb: Create, Doc: "creates tables, views, indexes, types and the like", Write: true},
		{Verb: Alter, Doc: "alters or renames tables, views, types and the like", Write: true},
		{Verb: LargeObject, Doc: "reads or writes large objects", Write: true},
		{Verb: Function, Doc: "calls a function that may have effects or is not known: volatile, a user's own, or with its owner's rights", Write: true},
		{Verb: Call, Doc: "calls a procedure", Write: true},
		{Verb: Do, Doc: "runs a block of procedural code", Write: true},
		{Verb: SettingMeaning, Doc: "changes a setting that changes what statements mean or who runs them: search_path, role and all that are not known", Write: true},
		{Verb: UpdateAll, Doc: "changes all rows: UPDATE without WHERE, or with one that is always true", Write: true, Whole: true},
		{Verb: DeleteAll, Doc: "removes all rows: DELETE without WHERE, or with one that is always true", Write: true, Whole: true},
		{Verb: Truncate, Doc: "empties tables", Write: true, Whole: true},
		{Verb: Drop, Doc: "drops tables, schemas, functions and the like", Write: true},
		{Verb: Define, Doc: "creates or alters functions, triggers, rules, operators, casts and event triggers", Write: true},
		{Verb: Grant, Doc: "changes privileges, roles, ownership and row security", Write: true},
		{Verb: Foreign, Doc: "foreign servers, user mappings, foreign tables, publications and subscriptions", Write: true},
		{Verb: Extension, Doc: "extensions, languages and access methods", Write: true},
		{Verb: ServerFile, Doc: "reads or writes files, or runs programs, on the server's machine", Write: true},
	}
}
