package pgserver_test

import (
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion/demo/pgserver"
)

// Other packages' tests rely on rows of the shop, so a change of the data is a
// decision: go test -update.
func TestShopGolden(t *testing.T) {
	var got [2]strings.Builder
	for i, database := range []string{pgserver.Staging, pgserver.Production} {
		for _, table := range []string{"customers", "products", "orders", "order_items", "payments", "employees", "audit_log", "customer_overview", "daily_revenue"} {
			row := query(t, shared, database, fmt.Sprintf(`SELECT count(*), md5(string_agg(t::text, E'\n' ORDER BY t::text COLLATE "C")) FROM %s t`, table))[0]
			fmt.Fprintf(&got[i], "%-18s %6s rows  %s\n", table, row[0], row[1])
		}
	}
	if got[0].String() != got[1].String() {
		t.Errorf("the databases differ:\n%s\n%s", &got[0], &got[1])
	}
	golden := filepath.Join("testdata", "shop.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got[0].String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].String() != string(want) {
		t.Errorf("got\n%swant\n%s", &got[0], want)
	}
}

func TestGraceHoffmann(t *testing.T) {
	row := query(t, shared, pgserver.Production, "SELECT name, email, phone, national_id, date_of_birth, city, country FROM customers WHERE id = 7")[0]
	if got, want := strings.Join(row, "|"), "Grace Hoffmann|grace.hoffmann@example.com|+49 30 5550107|86095742719|1986-04-12|Berlin|DE"; got != want {
		t.Errorf("customer 7 is %s, want %s", got, want)
	}
	row = query(t, shared, pgserver.Production, "SELECT customer_id, status, card_number, card_holder FROM payments WHERE order_id = 7")[0]
	if got, want := strings.Join(row, "|"), "7|captured|4242424242424242|GRACE HOFFMANN"; got != want {
		t.Errorf("payment of order 7 is %s, want %s", got, want)
	}
	row = query(t, shared, pgserver.Production, "SELECT customer_email(7), last_card(7), (SELECT contact FROM customer_overview WHERE id = 7)")[0]
	if got, want := strings.Join(row, "|"), "grace.hoffmann@example.com|4242424242424242|grace.hoffmann@example.com"; got != want {
		t.Errorf("functions and view say %s, want %s", got, want)
	}
}

func TestCardNumbers(t *testing.T) {
	shape := regexp.MustCompile(`^[0-9]{16}$`)
	for _, row := range query(t, shared, pgserver.Staging, "SELECT id, card_number FROM payments WHERE card_number IS NOT NULL") {
		if !shape.MatchString(row[1]) || !luhn(row[1]) {
			t.Errorf("payment %s: %q is not a card number", row[0], row[1])
		}
	}
	if luhn("4242424242424241") || !luhn("79927398713") {
		t.Error("the check itself is wrong")
	}
}

// luhn looks the doubled digits up, unlike the code that made the numbers.
func luhn(number string) bool {
	sum := 0
	for i, c := range number {
		d := int(c - '0')
		if (len(number)-i)%2 == 0 {
			d = []int{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}[d]
		}
		sum += d
	}
	return sum%10 == 0
}

func TestIBANs(t *testing.T) {
	for _, row := range query(t, shared, pgserver.Staging, "SELECT iban FROM payments WHERE iban IS NOT NULL UNION ALL SELECT iban FROM employees") {
		if !iban(row[0]) {
			t.Errorf("%q is not an account number", row[0])
		}
	}
	if iban("GB82WEST12345698765431") || !iban("GB82WEST12345698765432") {
		t.Error("the check itself is wrong")
	}
}

var ibanShape = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$`)

// iban computes with the whole number, as the standard tells it.
func iban(s string) bool {
	if !ibanShape.MatchString(s) {
		return false
	}
	var digits strings.Builder
	for _, c := range s[4:] + s[:4] {
		if c >= 'A' {
			fmt.Fprint(&digits, c-'A'+10)
		} else {
			digits.WriteRune(c)
		}
	}
	n, ok := new(big.Int).SetString(digits.String(), 10)
	return ok && n.Mod(n, big.NewInt(97)).Int64() == 1
}

func TestShopIsRealistic(t *testing.T) {
	for _, c := range []struct{ what, sql string }{
		{"mail addresses are ASCII and unique", "SELECT count(*) = count(DISTINCT email) AND bool_and(email ~ '^[a-z0-9.-]+@[a-z.]+$') FROM customers"},
		{"card holders are ASCII", "SELECT bool_and(card_holder ~ $$^[A-Z' -]+$$) FROM payments"},
		{"some names are not ASCII, some not Latin", "SELECT bool_or(name ~ 'ö') AND bool_or(name ~ 'Ελένη') AND bool_or(name ~ '田中') FROM customers"},
		{"some names have an apostrophe", "SELECT bool_or(name ~ '''') FROM customers"},
		{"optional fields are sometimes empty", "SELECT bool_and(n BETWEEN 100 AND 19900) FROM (SELECT unnest(ARRAY[count(phone), count(national_id), count(date_of_birth), count(notes)]) n FROM customers) x"},
		{"totals are those of the items", "SELECT bool_and(total = s) FROM orders JOIN (SELECT order_id, sum(line_total) s FROM order_items GROUP BY 1) i ON i.order_id = id"},
		{"a payment is the order's", "SELECT bool_and(p.amount = o.total AND p.customer_id = o.customer_id) FROM payments p JOIN orders o ON o.id = p.order_id"},
		{"a payment is by card or by account", "SELECT bool_and((card_number IS NULL) = (iban IS NOT NULL)) FROM payments"},
		{"shipped is what was sent", "SELECT bool_and((shipped_at IS NOT NULL) = (status IN ('shipped', 'delivered', 'returned'))) FROM orders"},
		{"some customers never bought", "SELECT count(*) BETWEEN 100 AND 10000 FROM customer_overview WHERE orders = 0"},
		{"one employee has no manager", "SELECT count(*) = 1 FROM employees WHERE manager_id IS NULL"},
		{"new rows get new ids", "SELECT nextval(pg_get_serial_sequence('customers', 'id')) > max(id) FROM customers"},
		{"the log is in its partitions", "SELECT count(DISTINCT tableoid) = 2 FROM audit_log"},
		{"planner's figures are there", "SELECT reltuples = 20000 FROM pg_class WHERE relname = 'customers'"},
		{"tables, views and functions have comments", "SELECT count(*) = 0 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition AND obj_description(oid, 'pg_class') IS NULL"},
		{"the application's role owns everything", "SELECT bool_and(relowner = 'shop_app'::regrole) FROM pg_class WHERE relnamespace = 'public'::regnamespace"},
		{"the order's status is an enum", "SELECT typtype = 'e' FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = 'orders'::regclass AND attname = 'status'"},
		{"the mail address is a domain", "SELECT typtype = 'd' FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = 'customers'::regclass AND attname = 'email'"},
	} {
		if got := value(t, shared, pgserver.Staging, c.sql); got != "t" {
			t.Errorf("%s: %s", c.what, got)
		}
	}
}
