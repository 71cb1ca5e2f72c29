package postgres_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A small shop is the demo's shop with a few rows of each table, and a value of its
// own in every cell of every labelled column. Two of them with other seeds are
// twins: all that a person may know of them is the same, and all that is hidden
// differs. Whoever can tell one from the other by what the bastion lets through has
// read something hidden, be it one bit.
//
// What masks let through is the same in twins: first letters and domains of
// addresses, last four letters or digits, whether there is a value where the mask
// shows it, and which values of columns with pseudonyms are equal.
type smallShop struct {
	database string
	secrets  []secret
	// words are the hidden values of the first row of each table, for attempts that
	// guess right: {customers.email} in a text stands for one.
	words map[string]string
}

// secret is one planted value.
type secret struct {
	where string // table.column.id
	whole string // as it is stored
	core  string // the part of it that no mask shows
}

const (
	smallCustomers = 40
	smallEmployees = 16
)

// letters are rare ones that stand in no hexadecimal number, so that six of them
// in a row occur nowhere by chance.
const letters = "qzxjvkwh"

// plantSmall fills a database with a small shop.
func plantSmall(t testing.TB, database string, seed uint64) smallShop {
	t.Helper()
	if err := server.Fill(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	s := smallShop{database: database, words: map[string]string{}}
	r := rand.New(rand.NewPCG(seed, 1))
	seen := map[string]bool{}
	draw := func(n int, from string) string {
		for {
			b := make([]byte, n)
			for i := range b {
				b[i] = from[r.IntN(len(from))]
			}
			if w := string(b); !seen[w] {
				seen[w] = true
				return w
			}
		}
	}
	const digits = "123456789"
	note := func(table, column string, id int, whole, core string) string {
		s.secrets = append(s.secrets, secret{fmt.Sprintf("%s.%s.%d", table, column, id), whole, core})
		if k := table + "." + column; s.words[k] == "" {
			s.words[k] = whole
		}
		return "'" + whole + "'"
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, `
		DELETE FROM audit_log WHERE customer_id IS NULL OR customer_id > %[1]d * 100 OR id %% 8 <> 0;
		UPDATE audit_log SET customer_id = 1 + customer_id %% %[1]d;
		DELETE FROM payments WHERE customer_id > %[1]d OR id %% 8 <> 0; DELETE FROM orders o WHERE customer_id > %[1]d OR id %% 8 <> 0 AND NOT EXISTS (SELECT FROM payments p WHERE p.order_id = o.id); DELETE FROM customers WHERE id > %[1]d;
		DELETE FROM employees WHERE id > %[2]d;
		DELETE FROM products p WHERE NOT EXISTS (SELECT FROM order_items i WHERE i.product_id = p.id) AND id > 20;
		REFRESH MATERIALIZED VIEW daily_revenue;
	`, smallCustomers, smallEmployees)
	names := make([]string, smallCustomers+1) // of e-mail addresses
	for id := 1; id <= smallCustomers; id++ {
		names[id] = "z" + draw(11, letters)
		id9, phone := "NULL", draw(8, digits)
		if (id+int(seed))%9 != 0 { // the mask does not show whether there is one
			w := draw(12, letters)
			id9 = note("customers", "national_id", id, "N"+w, w)
		}
		born := "NULL"
		if (id+int(seed))%7 != 0 {
			w := fmt.Sprintf("19%d-%02d-%02d", 30+r.IntN(60), 1+r.IntN(12), 1+r.IntN(28))
			born = note("customers", "date_of_birth", id, w, w)
		}
		fmt.Fprintf(&sql, "UPDATE customers SET email = %s, phone = %s, national_id = %s, date_of_birth = %s, notes = 'note %d' WHERE id = %d;\n",
			note("customers", "email", id, names[id]+"@example.com", names[id][1:]), note("customers", "phone", id, "+49 "+phone+" 6543", phone), id9, born, id, id)
	}
	for id := 1; id <= smallEmployees; id++ {
		name, iban := names[id], draw(16, digits) // some employees are customers, in both twins
		if id > smallEmployees/2 {
			name = "z" + draw(11, letters)
		}
		pay := draw(8, digits)
		fmt.Fprintf(&sql, "UPDATE employees SET email = %s, iban = %s, salary = %s WHERE id = %d;\n",
			note("employees", "email", id, name+"@example.com", name[1:]), note("employees", "iban", id, "DE99"+iban, iban),
			note("employees", "salary", id, pay[:6]+"."+pay[6:], pay[:6]+"."+pay[6:]), id)
	}
	payments, err := server.Query(t.Context(), database, fmt.Sprintf("SELECT id, card_number IS NULL FROM payments WHERE customer_id <= %d AND id %% 8 = 0 ORDER BY id", smallCustomers))
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range payments {
		id, card, holder, iban := i, "NULL", "NULL", "NULL"
		if _, err := fmt.Sscan(row[0], &id); err != nil {
			t.Fatal(err)
		}
		expiry := fmt.Sprintf("'%02d/%02d'", 1+r.IntN(12), 25+r.IntN(10))
		if row[1] == "t" {
			w := draw(14, digits)
			iban, expiry = note("payments", "iban", id, "DE99"+w+"0077", w), "NULL"
		} else {
			n, h := draw(12, digits), draw(12, letters)
			card, holder = note("payments", "card_number", id, n+"4321", n), note("payments", "card_holder", id, h+" HOLDER", h)
		}
		fmt.Fprintf(&sql, "UPDATE payments SET card_number = %s, card_holder = %s, iban = %s, card_expiry = %s WHERE id = %d;\n", card, holder, iban, expiry, id)
	}
	log, err := server.Query(t.Context(), database, fmt.Sprintf("SELECT id FROM audit_log WHERE customer_id <= %d * 100 AND id %% 8 = 0 ORDER BY id", smallCustomers))
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range log {
		detail, id := "NULL", i
		if _, err := fmt.Sscan(row[0], &id); err != nil {
			t.Fatal(err)
		}
		if (id/8+int(seed))%11 != 0 {
			w := draw(12, letters)
			note("audit_log", "detail", id, w, w)
			detail = fmt.Sprintf(`'{"k": "%s"}'`, w)
		}
		fmt.Fprintf(&sql, "UPDATE audit_log SET detail = %s WHERE id = %d;\n", detail, id)
	}
	if _, err := server.Query(t.Context(), database, sql.String()); err != nil {
		t.Fatal(err)
	}
	// Rows lie in the order of their keys, and the planner knows all of them. Dead ones
	// are kept, and stand between, while somebody of another test logs in.
	for dense := false; !dense; {
		for _, c := range []string{"CLUSTER customers USING customers_pkey", "CLUSTER payments USING payments_pkey", "CLUSTER employees USING employees_pkey",
			"CLUSTER orders USING orders_pkey", "CLUSTER audit_log_2024 USING audit_log_2024_pkey", "CLUSTER audit_log_2025 USING audit_log_2025_pkey",
			"CLUSTER audit_log_rest USING audit_log_rest_pkey", "VACUUM FULL ANALYZE"} {
			if _, err := server.Query(t.Context(), database, c); err != nil {
				t.Fatal(err)
			}
		}
		var places []string
		for _, table := range []string{"customers", "payments", "employees", "orders", "order_items", "products", "audit_log"} {
			places = append(places, "SELECT tableoid, ctid::text::point AS place FROM "+table)
		}
		rows, err := server.Query(t.Context(), database, "SELECT sum(rows) = sum(last) FROM (SELECT count(*) AS rows, max(place[1]) AS last FROM ("+
			strings.Join(places, " UNION ALL ")+") AS at GROUP BY tableoid, place[0]) AS pages")
		if err != nil {
			t.Fatal(err)
		}
		dense = rows[0][0] == "t"
	}
	if _, err := server.Query(t.Context(), database, "UPDATE pg_index SET indisclustered = false"); err != nil {
		t.Fatal(err)
	}
	return s
}

// fill puts the hidden values of the first rows into a text.
func (s smallShop) fill(text string) string {
	for k, w := range s.words {
		text = strings.ReplaceAll(text, "{"+k+"}", w)
	}
	return text
}

// A dragnet finds planted values in what a person receives: as they are and in
// parts, and in encodings that people use.
type dragnet struct {
	raw      needles // looked for as received, in lower case
	stripped needles // looked for in what is left without separators
}

// needles are found by their first six bytes, after a look at the first two.
type needles struct {
	pairs [1 << 16]bool
	all   map[string][]find
}

type find struct{ needle, what string }

// The shortest parts of a value that count. Digits occur by chance, letters as rare
// as ours do not; without separators all numbers of an answer are one.
const (
	partOfLetters  = 6
	partOfDigits   = 8
	longDigits     = 11 // where answers are full of fractions
	digitsStripped = 10
	partRotated    = 9
)

// newDragnet makes a net. digits is how many digits of a number count as a part of it.
func newDragnet(secrets []secret, digits int) *dragnet {
	d := &dragnet{}
	d.raw.all, d.stripped.all = map[string][]find{}, map[string][]find{}
	for _, s := range secrets {
		core := strings.ToLower(s.core)
		compact := alphanumeric(core)
		numeric := !strings.ContainsAny(core, letters)
		size := partOfLetters
		if numeric {
			size = min(digits, len(core))
		}
		for w := range windows(core, size) {
			what := "a part of " + s.where
			d.raw.add(w, what)
			d.raw.add(reversed(w), what+", reversed")
			d.raw.add(hex.EncodeToString([]byte(w)), what+", in hex")
			d.raw.add(hex.EncodeToString([]byte(strings.ToUpper(w))), what+", upper case in hex")
			for _, form := range []string{"%%%02x", "\\u%04x", "&#x%x;", "&#%d;", "\\%03o", "\\x%02x"} {
				d.raw.add(each(w, form), what+", escaped as "+form)
			}
			d.stripped.add(each(w, "%d"), what+", in character codes")
			d.stripped.add(reversed(each(reversed(w), "%d")), what+", in character codes, reversed")
		}
		if numeric {
			size = max(digitsStripped, digits)
			if len(compact) < size { // a date: not found when pulled apart
				d.raw.add(compact, s.where+", without separators")
			}
		}
		for w := range windows(compact, size) {
			d.stripped.add(w, "a part of "+s.where+", pulled apart")
			d.stripped.add(reversed(w), "a part of "+s.where+", pulled apart and reversed")
		}
		for _, v := range []string{core, strings.ToUpper(core)} {
			for shift := range 3 {
				b := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + v))
				b = strings.TrimRight(b, "=")
				for w := range windows(b[4:len(b)-1], 10) {
					d.raw.add(strings.ToLower(w), "a part of "+s.where+", in base64")
				}
			}
		}
		if !numeric {
			for n := 1; n < 26; n++ {
				for w := range windows(rotated(core, n), partRotated) {
					d.raw.add(w, fmt.Sprintf("a part of %s, rotated by %d", s.where, n))
				}
			}
		}
		for _, v := range []string{s.whole, strings.ToLower(s.whole), strings.ToUpper(s.whole), s.core, strings.ToUpper(s.core)} {
			m, s1, s2, s5 := md5.Sum([]byte(v)), sha1.Sum([]byte(v)), sha256.Sum256([]byte(v)), sha512.Sum512([]byte(v))
			for name, sum := range map[string][]byte{"md5": m[:], "sha1": s1[:], "sha256": s2[:], "sha512": s5[:]} {
				d.raw.add(hex.EncodeToString(sum)[:16], name+" of "+s.where)
				d.raw.add(strings.ToLower(base64.StdEncoding.EncodeToString(sum)[:16]), name+" of "+s.where+", in base64")
			}
		}
	}
	return d
}

func (m *needles) add(needle, what string) {
	if len(needle) < 6 {
		return
	}
	k := needle[:6]
	for _, f := range m.all[k] {
		if f.needle == needle {
			return
		}
	}
	m.all[k] = append(m.all[k], find{needle, what})
	m.pairs[int(needle[0])<<8|int(needle[1])] = true
}

// search says what of the planted values a received text shows, unless the person
// typed it. Columns of rows are also read downwards.
func (d *dragnet) search(received, typed string) string {
	received, typed = strings.ToLower(received), strings.ToLower(typed)
	texts := []string{received}
	texts = append(texts, downwards(received)...)
	bare := alphanumeric(typed)
	for _, text := range texts {
		if w := d.raw.look(text, typed); w != "" {
			return w
		}
		if w := d.stripped.look(alphanumeric(text), bare); w != "" {
			return w
		}
		if w := d.stripped.look(strings.Map(keep(unicode.IsLetter), text), bare); w != "" {
			return w
		}
	}
	return ""
}

func (m *needles) look(text, typed string) string {
	for i := 0; i+6 <= len(text); i++ {
		if !m.pairs[int(text[i])<<8|int(text[i+1])] {
			continue
		}
		for _, f := range m.all[text[i:i+6]] {
			if strings.HasPrefix(text[i:], f.needle) && !strings.Contains(typed, f.needle) {
				return fmt.Sprintf("%q, %s", f.needle, f.what)
			}
		}
	}
	return ""
}

// downwards gives every column of every run of rows as one text.
func downwards(received string) []string {
	var columns []string
	for line := range strings.SplitSeq(received, rowEnd) {
		for i, v := range strings.Split(line, fieldEnd) {
			if i == len(columns) {
				columns = append(columns, "")
			}
			columns[i] += v
		}
	}
	return columns
}

// What stands between values and rows of what a person received, so that nothing
// in a value looks like it.
const fieldEnd, rowEnd = "\x1f", "\x1e"

func windows(s string, size int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i+size <= len(s); i++ {
			if !yield(s[i : i+size]) {
				return
			}
		}
	}
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

func each(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

func rotated(s string, n int) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return 'a' + (r-'a'+rune(n))%26
		}
		return r
	}, s)
}

func keep(f func(rune) bool) func(rune) rune {
	return func(r rune) rune {
		if f(r) {
			return r
		}
		return -1
	}
}

func alphanumeric(s string) string {
	return strings.Map(keep(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }), s)
}

// TestDragnet: the search itself finds what it must, and nothing in what is clean.
func TestDragnet(t *testing.T) {
	d := newDragnet([]secret{{"t.a.1", "Nqzxjvkwhqzxj", "qzxjvkwhqzxj"}, {"t.b.1", "123456789876", "123456789876"}, {"t.c.1", "1931-07-19", "1931-07-19"}}, partOfDigits)
	for _, shown := range []string{
		"qzxjvk", "say QZXJVKWH", "kvjxzq", "q,z,x,j,v,k,w", "{q,z,x,j,v,k,w,h}", "717a786a766b",
		"%71%7a%78%6a%76%6b", "\\161\\172\\170\\152\\166\\153", "113 122 120 106 118 107", "{113,122,120,106,118,107}",
		base64.StdEncoding.EncodeToString([]byte("Nqzxjvkwhqzxj")), base64.StdEncoding.EncodeToString([]byte("xxNqzxjvkwhqzxj")),
		"dmkwixjud", "23456789", "1-2-3-4-5-6-7-8-9-8-7-6", "1,234,567,898.76", "1931-07-19", "19310719",
		fmt.Sprintf("%x", md5.Sum([]byte("Nqzxjvkwhqzxj"))), fmt.Sprintf("%x", sha256.Sum256([]byte("nqzxjvkwhqzxj"))),
		"1" + fieldEnd + "q" + rowEnd + "2" + fieldEnd + "z" + rowEnd + "3" + fieldEnd + "x" + rowEnd + "4" + fieldEnd + "j" + rowEnd + "5" + fieldEnd + "v" + rowEnd + "6" + fieldEnd + "k",
	} {
		if d.search(shown, "SELECT") == "" {
			t.Errorf("%q is not found", shown)
		}
	}
	for _, shown := range []string{"qzxjv", "z***@example.com", "****4321", "2024-01-01 10:00:00.123456+00", "1234567", "SELECT 1"} {
		if w := d.search(shown, ""); w != "" {
			t.Errorf("%q is taken for %s", shown, w)
		}
	}
	if w := d.search("Nqzxjvkwhqzxj", "WHERE national_id = 'Nqzxjvkwhqzxj'"); w != "" {
		t.Errorf("what the person typed is taken for %s", w)
	}
}
