package postgres

import (
	"strings"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// ReadCatalog, for the tests of what is read by it.
var ReadCatalog = readCatalog

// Load makes a snapshot of what a server might have answered: each line is a letter
// for the query and the values of a row, with tabs between them; \N is NULL.
func Load(answers string) (*catalog.Snapshot, error) {
	l := loader{byOID: map[uint32]*catalog.Relation{}, types: map[uint32]int{}, strings: map[string]string{}}
	each := map[string]func([][]byte) error{"n": l.schema, "b": l.builtin, "r": l.relation, "a": l.column, "i": l.inherits, "e": l.expression, "k": l.cascade,
		"u": l.unique, "f": l.function, "o": l.operator, "t": l.typ, "c": l.check, "x": l.implicit}
	for line := range strings.SplitSeq(answers, "\n") {
		fields := strings.Split(line, "\t")
		take := each[fields[0]]
		if take == nil {
			continue
		}
		var v [][]byte
		for _, f := range fields[1:] {
			if f == `\N` {
				v = append(v, nil)
			} else {
				v = append(v, []byte(f))
			}
		}
		if err := take(v); err != nil {
			return nil, err
		}
	}
	return catalog.New(l.content, nil), nil
}
