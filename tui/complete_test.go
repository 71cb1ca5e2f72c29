package tui

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestComplete(t *testing.T) {
	c := newCatalogue(consoleNames())
	for _, tt := range []struct {
		text  string // | is the cursor
		has   string // offers, in this order, at the beginning
		lacks string
	}{
		{"|", "SELECT INSERT", "customers"},
		{"sel|", "select", ""},
		{"SEL|", "SELECT", ""},
		{"select * from |", `customers orders payments "Order Items" public audit`, "id"},
		{"select * from cu|", "customers", "orders"},
		{"select * from public.|", `customers orders payments "Order Items"`, "id"},
		{"select * from o|", `orders "Order Items"`, ""},
		{`select * from "Or|`, `"orders" "Order Items"`, "audit"},
		{`select * from "or|`, `"orders" "Order Items"`, ""},
		{"select | from customers", "id name email phone created_at customers", ""},
		{"select c.| from customers c", "id name email phone created_at", "SELECT"},
		{"select c.| from customers as c join orders o on true", "id name email phone created_at", "total"},
		{"select o.| from customers as c join orders o on true", "id customer_id total", "email"},
		{"select customers.| from public.customers", "id name email", "total"},
		{"select public.customers.em|", "email", ""},
		{"select * from customers c, orders o where o.t|", "total", ""},
		{"update customers set |", "id name email", ""},
		{"insert into orders (|", "id customer_id total", "SELECT"},
		{"insert into orders (id, |", "id customer_id total", "SELECT"},
		{"select * from customers |", "ADD ALL", "id"},
		{"select * from customers w|", "when where", "id"},
		{"select * from customers; select * from orders where |", "id customer_id total orders", "email"},
		{"select * from (select * from customers) x where em|", "email", ""},
		{"select cou| from customers", "count(", ""},
		{"select order_t|", "order_total(", ""},
		{"select mail| from customers", "email", ""},
		{"select 'cu|", "", "customers"},
		{"select 'cu'|", "ADD", "customers"},
		{"select 1 -- cu|", "", "customers"},
		{"select /* cu|", "", "customers"},
		{"select $$ cu|", "", "customers"},
		{"select 1|", "", "customers"},
		{`\d|`, `\dt \dv \dn`, "customers"},
		{`\d cu|`, "", ""},
		{"delete from customers where id = 1 and na|", "name", ""},
	} {
		at := strings.IndexByte(tt.text, '|')
		text := strings.Replace(tt.text, "|", "", 1)
		offers, replaces := c.complete(text, at)
		var got []string
		for _, o := range offers {
			got = append(got, o.text)
		}
		all := strings.Join(got, " ")
		if tt.has == "" && len(got) > 0 && tt.lacks != "" || !strings.HasPrefix(all, tt.has) {
			t.Errorf("%s\n got %s\nwant %s …", tt.text, all, tt.has)
		}
		if tt.lacks != "" && strings.Contains(" "+all+" ", " "+tt.lacks+" ") {
			t.Errorf("%s offers %s", tt.text, tt.lacks)
		}
		if replaces > at {
			t.Errorf("%s replaces %d bytes", tt.text, replaces)
		}
	}
}

// No text makes completion fall over or replace what is not a word.
func FuzzComplete(f *testing.F) {
	for _, s := range []string{"select c.| from customers c", `select "|`, "insert into a.b (|", "\\d|", "from ((((|", "U&\"x|", ". . . |", "from only only |", "a.\"b\".|"} {
		f.Add(strings.Replace(s, "|", "", 1), strings.IndexByte(s, '|'))
	}
	c := newCatalogue(consoleNames())
	f.Fuzz(func(t *testing.T, text string, at int) {
		if at < 0 || at > len(text) || !utf8.ValidString(text) || !utf8.ValidString(text[:at]) {
			return
		}
		offers, replaces := c.complete(text, at)
		if replaces < 0 || replaces > at || !utf8.ValidString(text[:at-replaces]) {
			t.Fatalf("%q at %d replaces %d", text, at, replaces)
		}
		if len(offers) > mostOffers {
			t.Fatalf("%d offers", len(offers))
		}
		if len(offers) > 0 && strings.ContainsAny(text[at-replaces:at], " \n;'") && !strings.Contains(text[at-replaces:at], `"`) {
			t.Fatalf("%q at %d replaces %q", text, at, text[at-replaces:at])
		}
	})
}
