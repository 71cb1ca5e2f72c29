package pgserver

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// How much the shop holds. Payments and order items follow from the orders.
const (
	customerCount = 20_000
	orderCount    = 50_000
	productCount  = 400
	employeeCount = 120
	auditCount    = 12_000
)

var (
	//go:embed shop.sql
	shopSQL string
	//go:embed shop_finish.sql
	shopFinishSQL string
)

// fillShop creates the shop in an empty database, owned by the role of the bastion.
// All of it is one transaction: with wal_level=minimal, rows copied into tables of the
// same transaction need no log.
func fillShop(ctx context.Context, conn *pgconn.PgConn) error {
	if err := run(ctx, conn, "BEGIN; SET LOCAL ROLE "+appRole+";\n"+shopSQL); err != nil {
		return fmt.Errorf("creating the shop's tables: %w", err)
	}
	for _, t := range newShop().tables() {
		// Frozen rows need no second write when they are first read. Not possible on partitioned tables.
		freeze := strconv.FormatBool(t.name != "audit_log")
		sql := "COPY " + t.name + " (" + t.columns + ") FROM STDIN (FREEZE " + freeze + ")"
		if _, err := conn.CopyFrom(ctx, &t.Buffer, sql); err != nil {
			return fmt.Errorf("filling table %q: %w", t.name, err)
		}
	}
	if err := run(ctx, conn, shopFinishSQL+"\nCOMMIT;"); err != nil {
		return fmt.Errorf("finishing the shop's tables: %w", err)
	}
	// Sets the visibility map and the planner's figures: row estimates are the same everywhere.
	if err := run(ctx, conn, "VACUUM ANALYZE"); err != nil {
		return fmt.Errorf("analysing the shop's tables: %w", err)
	}
	return nil
}

func run(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// A table is rows in the text format of COPY.
type table struct {
	bytes.Buffer
	name, columns string
}

// null is a field without a value.
var null = new(struct{})

var copyEscape = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

func (t *table) row(fields ...any) {
	for i, f := range fields {
		if i > 0 {
			t.WriteByte('\t')
		}
		switch f := f.(type) {
		case int:
			fmt.Fprint(t, f)
		case cents:
			fmt.Fprintf(t, "%d.%02d", f/100, f%100)
		case time.Time:
			t.WriteString(f.Format("2006-01-02 15:04:05Z07:00"))
		case string:
			copyEscape.WriteString(t, f)
		default:
			t.WriteString(`\N`)
		}
	}
	t.WriteByte('\n')
}

type cents int

// A shop is the demo data while it is being made. The same every time: the
// generator's seed is fixed, and no date depends on today.
type shop struct {
	r *rand.Rand

	customers, products, orders, items, payments, employees, audit table

	people []person // by customer id - 1
	prices []cents  // by product id - 1
	emails map[string]bool
}

type person struct {
	country       *country
	name, holder  string
	email, phone  string
	cardNumber    string
	cardExpiry    string
	iban          string
	paysByAccount bool
}

var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func newShop() *shop {
	s := &shop{
		r:         rand.New(rand.NewPCG(2024, 7)),
		customers: table{name: "customers", columns: "id, name, email, phone, national_id, date_of_birth, city, country, created_at, notes"},
		products:  table{name: "products", columns: "id, sku, name, price, attributes, tags"},
		orders:    table{name: "orders", columns: "id, customer_id, status, total, placed_at, shipped_at"},
		items:     table{name: "order_items", columns: "order_id, product_id, quantity, price"},
		payments:  table{name: "payments", columns: "id, order_id, customer_id, amount, currency, card_number, card_expiry, card_holder, iban, status, paid_at"},
		employees: table{name: "employees", columns: "id, name, email, salary, iban, manager_id, hired_on"},
		audit:     table{name: "audit_log", columns: "id, at, actor, action, customer_id, detail"},
		emails:    map[string]bool{},
	}
	s.makeProducts()
	s.makeCustomers()
	s.makeOrders()
	s.makeEmployees()
	s.makeAudit()
	return s
}

func (s *shop) tables() []*table {
	return []*table{&s.customers, &s.products, &s.orders, &s.items, &s.payments, &s.employees, &s.audit}
}

func (s *shop) makeProducts() {
	for id := 1; id <= productCount; id++ {
		material, thing, colour := pick(s.r, materials), pick(s.r, things), pick(s.r, colours)
		price := cents(300+s.r.IntN(60)*s.r.IntN(60)*5) / 10 * 10
		price += 9
		s.prices = append(s.prices, price)
		attributes := fmt.Sprintf(`{"colour": %q, "material": %q, "weight_g": %d, "size_cm": [%d, %d, %d]}`,
			colour, strings.ToLower(material), 50+s.r.IntN(5000), 5+s.r.IntN(60), 5+s.r.IntN(60), 1+s.r.IntN(30))
		var chosen []string
		for _, t := range tags {
			if s.r.IntN(4) == 0 {
				chosen = append(chosen, t)
			}
		}
		s.products.row(id, fmt.Sprintf("%s%s-%04d", material[:2], thing[:1], id), material+" "+thing, price,
			attributes, "{"+strings.Join(chosen, ",")+"}")
	}
}

func (s *shop) makeCustomers() {
	for id := 1; id <= customerCount; id++ {
		c := s.country()
		p := s.person(c, pick(s.r, []string{"example.com", "example.org", "example.net", "mail.example"}))
		city, nationalID := pick(s.r, c.cities), s.digits(11)
		born := time.Date(1940+s.r.IntN(66), time.Month(1+s.r.IntN(12)), 1+s.r.IntN(28), 0, 0, 0, 0, time.UTC)
		created := epoch.Add(-s.hours(5 * 365))
		if id == 7 {
			// The customer of the tour and of many tests: stable whatever else changes.
			p.name, p.holder, p.email, p.phone = "Grace Hoffmann", "GRACE HOFFMANN", "grace.hoffmann@example.com", "+49 30 5550107"
			p.country, p.cardNumber, p.cardExpiry, p.paysByAccount = &countries[0], "4242424242424242", "09/28", false
			p.iban = withIBANChecksum("DE", "500105170648489890")
			city, nationalID = "Berlin", "86095742719"
			born = time.Date(1986, 4, 12, 0, 0, 0, 0, time.UTC)
			created = time.Date(2022, 2, 22, 10, 30, 0, 0, time.UTC)
		}
		s.people = append(s.people, p)
		s.customers.row(id, p.name, p.email, s.mostly(id != 7, 85, p.phone), s.mostly(id != 7, 70, nationalID),
			s.mostly(id != 7, 90, born), city, p.country.code, created, s.note(id, p))
	}
}

// note is what support staff write down. Some of it is personal data in free text,
// as it is in real life.
func (s *shop) note(id int, p person) any {
	if id == 7 {
		return "Prefers e-mail to grace.hoffmann@example.com; card 4242 4242 4242 4242 was replaced once."
	}
	switch s.r.IntN(20) {
	case 0:
		return "Called from " + p.phone + " about a late parcel."
	case 1:
		return "Wants invoices to " + p.email + ", not by post."
	case 2:
		return "Refund to " + p.iban + " promised;\nwaiting for finance."
	case 3:
		return "Gift wrapping, please \u2764 — leave it with the neighbour."
	case 4:
		return "VIP"
	case 5:
		return ""
	default:
		return null
	}
}

func (s *shop) makeOrders() {
	statuses := weighted{{"delivered", 66}, {"shipped", 12}, {"paid", 7}, {"pending", 5}, {"cancelled", 6}, {"returned", 4}}
	payment := 0
	for id := 1; id <= orderCount; id++ {
		// The power makes some customers buy often and many seldom; one in twenty never bought.
		customer := 1 + int(math.Pow(s.r.Float64(), 1.5)*0.95*customerCount)
		status := statuses.pick(s.r)
		if id == 7 {
			customer, status = 7, "delivered"
		}
		p := s.people[customer-1]
		// Nearly in order of time, some 22 months.
		placed := epoch.Add(time.Duration(id)*19*time.Minute + s.hours(3))

		var total cents
		for _, product := range s.r.Perm(productCount)[:1+s.r.IntN(3)] {
			quantity := 1 + s.r.IntN(3)*s.r.IntN(2)
			total += cents(quantity) * s.prices[product]
			s.items.row(id, product+1, quantity, s.prices[product])
		}
		var shipped any = null
		switch status {
		case "delivered", "shipped", "returned":
			shipped = placed.Add(12*time.Hour + s.hours(5))
		}
		s.orders.row(id, customer, status, total, placed, shipped)

		paymentStatus := weighted{{"captured", 97}, {"failed", 3}}.pick(s.r)
		switch status {
		case "pending":
			continue
		case "cancelled":
			if s.r.IntN(5) > 0 {
				continue
			}
			paymentStatus = "refunded"
		case "returned":
			paymentStatus = "refunded"
		case "paid":
			paymentStatus = weighted{{"authorized", 50}, {"captured", 50}}.pick(s.r)
		}
		if id == 7 {
			paymentStatus = "captured"
		}
		payment++
		var card, expiry, holder, iban any = p.cardNumber, p.cardExpiry, p.holder, null
		if p.paysByAccount {
			card, expiry, holder, iban = null, null, null, p.iban
		}
		var paid any = placed.Add(time.Duration(s.r.IntN(3600)) * time.Second)
		if paymentStatus == "failed" {
			paid = null
		}
		s.payments.row(payment, id, customer, total, p.country.currency, card, expiry, holder, iban, paymentStatus, paid)
	}
}

func (s *shop) makeEmployees() {
	for id := 1; id <= employeeCount; id++ {
		p := s.person(s.country(), "shop.example")
		var manager any = null
		salary := cents(18_000_000)
		if id > 1 {
			// A tree: each manager leads about six people.
			manager = 1 + (id-2)/6
			salary = cents(2_900_000 + s.r.IntN(90)*50_000 + max(0, 22-id)*300_000)
		}
		hired := epoch.Add(-s.hours(9 * 365))
		s.employees.row(id, p.name, p.email, salary, p.iban, manager, hired)
	}
}

func (s *shop) makeAudit() {
	actions := weighted{{"login", 40}, {"customer.view", 30}, {"customer.update", 14}, {"order.refund", 8}, {"export.csv", 3}, {"password.reset", 5}}
	for id := 1; id <= auditCount; id++ {
		action := actions.pick(s.r)
		at := epoch.Add(time.Duration(id)*80*time.Minute + s.hours(1))
		var customer any = null
		detail := fmt.Sprintf(`{"ip": "192.0.2.%d"}`, 1+s.r.IntN(254))
		if action != "login" && action != "export.csv" {
			i := s.r.IntN(customerCount)
			customer = i + 1
			detail = fmt.Sprintf(`{"ip": "192.0.2.%d", "email": %q}`, 1+s.r.IntN(254), s.people[i].email)
		}
		s.audit.row(id, at, pick(s.r, jobs)+"@shop.example", action, customer, detail)
	}
}

func (s *shop) country() *country {
	sum := 0
	for i := range countries {
		sum += countries[i].weight
	}
	n := s.r.IntN(sum)
	for i := range countries {
		if n -= countries[i].weight; n < 0 {
			return &countries[i]
		}
	}
	panic("internal error: weights of countries do not add up")
}

// person makes up somebody whose address at domain nobody else has.
func (s *shop) person(c *country, domain string) person {
	given, givenLatin := spelled(pick(s.r, c.given))
	family, familyLatin := spelled(pick(s.r, c.family))
	p := person{country: c, name: given + " " + family}
	if c.code == "JP" {
		p.name = family + " " + given
	}
	p.holder = strings.ToUpper(givenLatin + " " + familyLatin)
	p.phone = fmt.Sprintf("%s %s %s", c.dial, s.digits(2), s.digits(7))
	for n := 1; ; n++ {
		p.email = mailbox.Replace(givenLatin + "." + familyLatin)
		if n > 1 {
			p.email += strconv.Itoa(n)
		}
		p.email += "@" + domain
		if !s.emails[p.email] && p.email != "grace.hoffmann@example.com" {
			break
		}
	}
	s.emails[p.email] = true
	// Ranges that card schemes keep for tests; nobody's account is behind them.
	prefix := pick(s.r, []string{"411111", "424242", "400000", "555555", "222300"})
	p.cardNumber = withLuhnDigit(prefix + s.digits(9))
	p.cardExpiry = fmt.Sprintf("%02d/%02d", 1+s.r.IntN(12), 26+s.r.IntN(5))
	banks := c
	if c.bban == "" {
		banks = &countries[0] // no IBANs there: they hold an account in Germany
	}
	p.iban = withIBANChecksum(banks.code, s.account(banks.bban))
	p.paysByAccount = s.r.IntN(4) == 0
	return p
}

// spelled splits "太郎/taro" into the name and its ASCII spelling.
func spelled(name string) (shown, ascii string) {
	shown, ascii, ok := strings.Cut(name, "/")
	if !ok {
		ascii = latin.Replace(strings.ToLower(shown))
	}
	return shown, ascii
}

// mostly is v, or when varied and in (100-percent) of 100 cases, null.
func (s *shop) mostly(varied bool, percent int, v any) any {
	if s.r.IntN(100) >= percent && varied {
		return null
	}
	return v
}

// hours is a time up to days long, to the second.
func (s *shop) hours(days int) time.Duration {
	return time.Duration(s.r.IntN(days*24*3600)) * time.Second
}

func (s *shop) digits(n int) string { return s.account(strings.Repeat("0", n)) }

func (s *shop) account(shape string) string {
	b := []byte(shape)
	for i := range b {
		if b[i] == 'A' {
			b[i] += byte(s.r.IntN(26))
		} else {
			b[i] += byte(s.r.IntN(10))
		}
	}
	return string(b)
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// weighted is words and how many shares each has.
type weighted []struct {
	word   string
	shares int
}

func (w weighted) pick(r *rand.Rand) string {
	sum := 0
	for _, x := range w {
		sum += x.shares
	}
	n := r.IntN(sum)
	for _, x := range w {
		if n -= x.shares; n < 0 {
			return x.word
		}
	}
	panic("internal error: shares do not add up")
}

// withLuhnDigit appends the check digit of ISO/IEC 7812-1.
func withLuhnDigit(digits string) string {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return digits + strconv.Itoa((10-sum%10)%10)
}

// withIBANChecksum puts the two check digits of ISO 13616 between country and account.
func withIBANChecksum(country, account string) string {
	rest := 0
	for _, c := range account + country + "00" {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return fmt.Sprintf("%s%02d%s", country, 98-rest, account)
}
