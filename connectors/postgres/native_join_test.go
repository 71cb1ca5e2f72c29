package postgres_test

import (
	"slices"
	"strings"
	"testing"
)

// TestNativeJoinOfHiddenColumns: two hidden columns may be joined, whatever the client
// sends, and the order of the rows tells nothing of them.
func TestNativeJoinOfHiddenColumns(t *testing.T) {
	s := shop(t, "native_join", labels...)
	// The larger the number, the smaller the address.
	if _, err := server.Query(t.Context(), "native_join", `UPDATE customers SET email = 'z' || 9 - id || '@example.com' WHERE id < 9;
		UPDATE employees e SET email = c.email FROM customers c WHERE c.id = e.id AND c.id < 9`); err != nil {
		t.Fatal(err)
	}
	const join = "SELECT 'id' || c.id FROM customers c JOIN employees e ON c.email = e.email"
	script := func(last ...any) []any {
		return append([]any{"SET enable_hashjoin = off", "SET enable_nestloop = off"}, last...)
	}
	told := func(lines []string) (ids []string) {
		for _, l := range lines {
			if i := strings.Index(l, "id"); strings.HasPrefix(l, "D ") && i >= 0 {
				ids = append(ids, l[i:i+3])
			}
		}
		return ids
	}
	whole := together(parse("", join), bind("", ""), run(""), sync_, ready{})
	if ids := told(raw(t, server.URL(server.App(), "native_join")).play(script(whole...)...)); len(ids) != 8 || slices.IsSorted(ids) {
		t.Fatalf("the server itself gives %v: nothing to hide", ids)
	}
	_, url := listen(t, s)
	for name, last := range map[string][]any{"query": {join}, "extended": whole, "by key": {join + " ORDER BY c.id"}, "by a column": {join + " GROUP BY c.id ORDER BY c.id"}} {
		if ids := told(raw(t, url).play(script(last...)...)); !slices.Equal(ids, []string{"id1", "id2", "id3", "id4", "id5", "id6", "id7", "id8"}) {
			t.Errorf("%s: %v", name, ids)
		}
	}
	for name, last := range map[string][]any{
		"a few at a time": together("BEGIN", parse("", join), bind("", ""), run("", 3), sync_, ready{}, "ROLLBACK"),
		"limited":         {join + " LIMIT 3"},
		"numbered":        {strings.Replace(join, "'id'", "'id' || row_number() OVER ()", 1)},
		"cursor":          {"BEGIN", "DECLARE k CURSOR FOR " + join, "FETCH 3 FROM k", "ROLLBACK"},
		"copied out":      {"COPY (" + join + ") TO STDOUT"},
	} {
		if lines := raw(t, url).play(script(last...)...); strings.Contains(strings.Join(lines, "\n"), "id8") || told(lines) != nil {
			t.Errorf("%s: %q", name, lines)
		}
	}
}
