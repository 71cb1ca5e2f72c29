package lineage

import (
	"strings"

	"github.com/sallyport/sallyport/bastion"
)

// phrases say what a verb does, before the names of what it does it to.
var phrases = map[bastion.Verb]string{
	Catalog: "read of the catalog", Select: "read of", Explain: "plan", Transaction: "transaction control", Setting: "setting",
	Cursor: "cursor", Prepare: "prepared statement", Listen: "notification", Lock: "lock", Comment: "comment on",
	Insert: "insert into", Update: "update of", Merge: "merge into", Delete: "delete from", Maintain: "maintenance of",
	CopyOut: "copy out of", CopyIn: "copy into", Create: "creation of", Alter: "change of", LargeObject: "large object",
	Function: "call of", Call: "call of procedure", Do: "block of code", SettingMeaning: "setting that changes what statements mean",
	UpdateAll: "update of", DeleteAll: "delete from", Truncate: "truncation of", Drop: "drop of", Define: "definition of",
	Grant: "change of privileges or roles", Foreign: "foreign data or replication", Extension: "extension",
	ServerFile: "file or program on the server",
}

// summary says in a few words what the statement does, the strongest thing first.
func (a *analysis) summary() string {
	var verbs []bastion.Verb
	names := map[bastion.Verb][]string{}
	for _, x := range a.order {
		if names[x.Verb] == nil {
			verbs = append(verbs, x.Verb)
			names[x.Verb] = []string{}
		}
		if x.Resource != "" {
			names[x.Verb] = append(names[x.Verb], x.Resource)
		}
	}
	strongest := a.strongest().Verb
	parts := []string{phrase(strongest, names[strongest])}
	for _, v := range verbs {
		if v != strongest && v != Catalog && (v != Select || len(names[v]) > 0) {
			parts = append(parts, phrase(v, names[v]))
		}
	}
	return strings.Join(parts, "; ")
}

func phrase(v bastion.Verb, names []string) string {
	s := phrases[v]
	const most = 4
	switch {
	case len(names) > most:
		s += " " + strings.Join(names[:most], ", ") + " and more"
	case len(names) > 0:
		s += " " + strings.Join(names, ", ")
	case v == Select:
		return "read of no table"
	default:
		for _, w := range []string{" of", " on", " from", " into"} {
			s = strings.TrimSuffix(s, w)
		}
	}
	switch v {
	case Update, Delete:
		s += ", with WHERE"
	case UpdateAll, DeleteAll:
		s += ", all rows"
	}
	return s
}
