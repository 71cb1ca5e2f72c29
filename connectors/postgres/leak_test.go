package postgres_test

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
)

// plant puts values into hidden columns that no answer may show. They are chosen
// so that what a mask lets through (a first letter, a domain, four last digits)
// is no part of them.
const plant = `
	UPDATE customers SET email = 'zqxcanary' || id || '@example.com', phone = '+49 5550987 6543', national_id = 'NIDzqxcanary', date_of_birth = '1931-07-19' WHERE id <= 3;
	UPDATE payments SET card_number = '4111987612345670', card_holder = 'zqxcanary holder', iban = 'DE00ZQXCANARY0077' WHERE id <= 3;
	UPDATE payments SET card_number = '4111987612345670', card_holder = 'zqxcanary holder' WHERE customer_id <= 3;
	UPDATE employees SET salary = 98765.43, iban = 'DE00ZQXCANARY0077', email = 'zqxcanary' || id || '@example.net' WHERE id <= 3;
	UPDATE audit_log SET detail = '{"k": "zqxcanary"}' WHERE id <= 3;
	ANALYZE`

// canaries are parts of the planted values, and of their usual encodings.
func canaries() []string {
	words := []string{"zqxcanary", "zqxcan", "5550987", "1931-07-19", "4111987", "9876123", "98765.4", "nidzqx", "zqx", "qxc"}
	var all []string
	for _, w := range words {
		b := []byte(w)
		slices.Reverse(b)
		all = append(all, w, string(b), hex.EncodeToString([]byte(w)))
		if len(w) > 5 {
			all = append(all, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(w)), "=A"))
		}
	}
	return all
}

// leaked returns a canary that a text shows, unless the person typed it.
func leaked(shown, typed string) string {
	shown, typed = strings.ToLower(shown), strings.ToLower(typed)
	for _, c := range canaries() {
		if c = strings.ToLower(c); strings.Contains(shown, c) && !strings.Contains(typed, c) {
			return c
		}
	}
	return ""
}

// TestHonest runs everyday queries with masks and without the bastion: the answers
// are the same, and no column is hidden.
func TestHonest(t *testing.T) {
	setup := shop(t, "honest", labels...)
	if _, err := server.Query(t.Context(), "honest", plant); err != nil {
		t.Fatal(err)
	}
	s := connectortest.Start(t, setup)
	for _, text := range corpus(t, "testdata/honest.sql") {
		got, err := s.Do(t.Context(), text)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		for _, c := range got.Columns {
			if c.Masked() {
				t.Errorf("%s\nhides the column %s, which holds nothing hidden", text, c.Name)
			}
		}
		want, err := server.Query(t.Context(), "honest", "SET datestyle = 'ISO, MDY'; SET search_path = public; "+text)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got.Rows); d != "" {
			t.Errorf("%s\ndiffers (-direct +bastion):\n%s", text, d)
		}
	}
}

// TestMasks looks at each kind of mask on a plain column.
func TestMasks(t *testing.T) {
	setup := shop(t, "masks", labels...)
	if _, err := server.Query(t.Context(), "masks", plant); err != nil {
		t.Fatal(err)
	}
	s := connectortest.Start(t, setup)
	r, err := s.Do(t.Context(), "SELECT id, email, phone, national_id, date_of_birth FROM customers WHERE id = 1")
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"1", "z***@example.com", "****6543", mask.Redacted, `\N`}}
	if d := cmp.Diff(want, r.Rows); d != "" {
		t.Error(d)
	}
	r, err = s.Do(t.Context(), "SELECT a.iban = b.iban, a.iban, b.iban FROM employees a, employees b WHERE a.id = 1 AND b.id = 2")
	if err != nil {
		t.Fatal(err)
	}
	if row := r.Rows[0]; row[0] != mask.Redacted || row[1] != row[2] || !strings.HasPrefix(row[1], "~") {
		t.Errorf("pseudonyms: %v", row)
	}
}
