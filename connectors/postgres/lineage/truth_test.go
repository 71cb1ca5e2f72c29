package lineage_test

import (
	"testing"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// TestEverything: a condition that chooses every row counts as none, one that chooses
// does not.
func TestEverything(t *testing.T) {
	table := &catalog.Relation{Schema: "public", Name: "t", Kind: catalog.Table, Columns: []catalog.Column{
		{Name: "id", Number: 1, NotNull: true}, {Name: "name", Number: 2}, {Name: "flag", Number: 3, NotNull: true}}}
	other := &catalog.Relation{Schema: "public", Name: "u", Kind: catalog.Table, Columns: []catalog.Column{{Name: "id", Number: 1}}}
	r := lineage.NewReader(catalog.New(catalog.Content{Schemas: []string{"public"}, Relations: []*catalog.Relation{table, other}}, nil))
	for condition, all := range map[string]bool{
		"true": true, "1 = 1": true, "'a' = 'a'": true, "1::bool": true, "'yes'::boolean": true, "NOT false": true, "2 > 1.5": true,
		"'a' LIKE '%'": true, "name LIKE '%'": true, "name LIKE '%%'": true, "name ILIKE '%'": true, "name LIKE name": true,
		"name ~ ''": true, "name ~ '.*'": true, "NOT name NOT LIKE '%'": true, "name SIMILAR TO '%'": true,
		"id = id": true, "t.id = id": true, "id::text = id::text": true, "lower(name) = lower(name)": true, "id + 1 = id + 1": true,
		"(id, name) = (id, name)": true, "id >= id": true, "id BETWEEN id AND id": true, "id IS NOT DISTINCT FROM id": true,
		"id IS NOT NULL": true, "NOT id IS NULL": true, "ctid IS NOT NULL": true, "id IS DISTINCT FROM NULL": true,
		"(id = 5) IS NOT NULL": true, "(id = 5) IS NOT UNKNOWN": true, "(id = id) IS NOT FALSE": true, "(id = id) IS TRUE": true,
		"name = 'x' OR NOT name = 'x'": true, "name IS NULL OR name IS NOT NULL": true, "id = 1 OR id <> 1": true, "id > 1 OR id <= 1": true,
		"id > 1 OR id < 5": true, "id < 5 OR id > 1": true, "id >= 3 OR id < 3": true, "id <> 1 OR id <> 2": true, "name LIKE 'a' OR name NOT LIKE 'a'": true,
		"id = 5 OR true": true, "id = 5 OR 1 = 1": true, "id = 5 OR EXISTS (SELECT 1)": true, "id = 5 OR (SELECT true)": true, "id = 5 OR 1 IN (SELECT 1)": true,
		"EXISTS (SELECT 1 FROM u)": true, "id IN (SELECT id FROM t)": true, "id = ANY (SELECT x.id FROM t x)": true, "id IN (SELECT id FROM t WHERE true)": true,
		"EXISTS (SELECT FROM t x WHERE x.id = t.id)": true, "EXISTS (SELECT FROM t x WHERE x.id = t.id AND t.name = x.name)": true,
		"id IN (id, 5)": true, "id = ANY (ARRAY[id, 5])": true, "coalesce(true, id = 5)": true, "coalesce(NULL, id = id)": true,
		"CASE WHEN true THEN true ELSE id = 5 END": true, "CASE WHEN id = 5 THEN true ELSE true END": true, "CASE 1 WHEN 2 THEN id = 5 WHEN 1 THEN true END": true,
		"CASE WHEN false THEN id = 5 ELSE id = id END": true, "length(name) >= 0": true, "length(name) > -1": true,
		"id = id AND name LIKE '%'": true, "id = id AND (SELECT count(*) FROM u) > 0": true, "now() > '2000-01-01'": true,

		"id = 5": false, "name = 'x'": false, "name LIKE 'a%'": false, "name LIKE '%a%'": false, "name NOT LIKE '%'": false, "name IS NOT NULL": false,
		"id = 1 OR id = 2": false, "id > 5 OR id < 1": false, "id > 5 OR id < 5": false, "id <> 1 OR id <> 1": false, "id > 1 OR name < 'b'": false,
		"false": false, "id <> id": false, "id = id + 1": false, "random() < 0.5 AND id > 5": false, "random() = random() AND id > 1": false,
		"id IN (SELECT id FROM u)": false, "id IN (SELECT id FROM t WHERE name = 'x')": false, "id IN (SELECT id FROM t LIMIT 5)": false,
		"EXISTS (SELECT FROM u WHERE u.id = t.id)": false, "EXISTS (SELECT FROM t x WHERE x.id = t.id AND x.name = 'a')": false,
		"coalesce(id = 5, true)": false, "coalesce(flag = 'x', id = 4)": false, "CASE WHEN id = 5 THEN true ELSE false END": false, "CASE 1 WHEN 1 THEN id = 5 END": false,
		"length(name) > 0": false, "length(name) >= 1": false, "id = id AND id = 5": false, "name ~ 'a'": false, "id IN (1, 2)": false,
		"id IS DISTINCT FROM 5": false, "(name = 'x') IS NOT NULL": false, "NOT id = id": false, "id = $1": false, "$1 IS NULL OR id = $1": false,
	} {
		for text, verbs := range map[string][2]string{
			"UPDATE t SET name = 'y' WHERE " + condition: {"update", "update-all"},
			"DELETE FROM t WHERE " + condition:           {"delete", "delete-all"},
		} {
			rd, err := r.Read(text, session)
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			want := verbs[0]
			if all {
				want = verbs[1]
			}
			if got := rd.Intent.Verb; string(got) != want {
				t.Errorf("%s: %s, want %s", text, got, want)
			}
		}
	}
}
