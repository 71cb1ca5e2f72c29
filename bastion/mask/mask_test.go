package mask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion/mask"
)

func rules(t testing.TB, labels ...mask.Label) mask.Rules {
	t.Helper()
	r, err := mask.NewRules([]byte("key"), labels...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestZeroRulesHideEverything(t *testing.T) {
	var r mask.Rules
	if k := r.Kind(mask.Column{Proven: true}); k != mask.Redact {
		t.Errorf("kind %v", k)
	}
	for k := range mask.Clear + 2 {
		if got := r.Apply(k, []byte("secret-value")); strings.Contains(string(got), "secret") {
			t.Errorf("%v shows %q", k, got)
		}
	}
	if r.HidesNothing() || r.Lookup("a.b.c") {
		t.Error("zero rules open something")
	}
}

func TestKindOfColumn(t *testing.T) {
	r := rules(t, mask.Label{Pattern: "public.customers.email", Kind: mask.Email, Lookup: true},
		mask.Label{Pattern: "*.*.iban", Kind: mask.Last4}, mask.Label{Pattern: "public.pay*.*", Kind: mask.Redact})
	for _, c := range []struct {
		name   string
		column mask.Column
		want   mask.Kind
	}{
		{"unproven", mask.Column{Sources: []string{"public.customers.id"}}, mask.Redact},
		{"constant", mask.Column{Proven: true}, mask.Clear},
		{"clean", mask.Column{Proven: true, Sources: []string{"public.customers.id"}}, mask.Clear},
		{"labelled", mask.Column{Proven: true, Sources: []string{"public.customers.email"}}, mask.Email},
		{"case does not matter", mask.Column{Proven: true, Sources: []string{"Public.Customers.EMAIL"}}, mask.Email},
		{"glob", mask.Column{Proven: true, Sources: []string{"hr.employees.iban"}}, mask.Last4},
		{"glob stays in its part", mask.Column{Proven: true, Sources: []string{"public.xpay.id"}}, mask.Clear},
		{"strongest of two sources", mask.Column{Proven: true, Sources: []string{"public.customers.email", "hr.employees.iban"}}, mask.Email},
		{"strongest of two labels", mask.Column{Proven: true, Sources: []string{"public.payments.iban"}}, mask.Redact},
		{"unreadable source", mask.Column{Proven: true, Sources: []string{"?"}}, mask.Redact},
	} {
		if got := r.Kind(c.column); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if !r.Lookup("public.customers.email") || r.Lookup("hr.employees.iban") || !r.Lookup("public.customers.id") {
		t.Error("lookup")
	}
	if got := rules(t).Kind(mask.Column{}); got != mask.Clear {
		t.Errorf("without labels nothing is hidden: %v", got)
	}
}

func TestApply(t *testing.T) {
	r := rules(t)
	for _, c := range []struct {
		kind     mask.Kind
		in, want string
	}{
		{mask.Redact, "x", "****"}, {mask.Redact, "NULL", "****"},
		{mask.Null, "x", "NULL"},
		{mask.Email, "ann@example.com", "a***@example.com"}, {mask.Email, "a@example.com", "***@example.com"},
		{mask.Email, "not an address", "****"}, {mask.Email, "a@b@c", "****"}, {mask.Email, "NULL", "NULL"}, {mask.Email, "élan@x.org", "é***@x.org"},
		{mask.Last4, "4111 1111 1111 1234", "****1234"}, {mask.Last4, "1234567", "****"}, {mask.Last4, "DE89-3704-0044-05", "****4405"}, {mask.Last4, "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "****"},
		{mask.Clear, "x", "x"}, {mask.Pseudonym, "NULL", "NULL"},
		{mask.Clear + 1, "x", "****"},
	} {
		in := []byte(c.in)
		if c.in == "NULL" {
			in = nil
		}
		got := r.Apply(c.kind, in)
		s := string(got)
		if got == nil {
			s = "NULL"
		}
		if s != c.want {
			t.Errorf("%v of %q: %q, want %q", c.kind, c.in, s, c.want)
		}
	}
	a, b, c := r.Apply(mask.Pseudonym, []byte("ann")), r.Apply(mask.Pseudonym, []byte("ann")), r.Apply(mask.Pseudonym, []byte("bob"))
	if string(a) != string(b) || string(a) == string(c) {
		t.Errorf("pseudonyms %s %s %s", a, b, c)
	}
	other, err := mask.NewRules([]byte("other key"))
	if err != nil {
		t.Fatal(err)
	}
	if string(other.Apply(mask.Pseudonym, []byte("ann"))) == string(a) {
		t.Error("a pseudonym does not depend on the key")
	}
	none, err := mask.NewRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(none.Apply(mask.Pseudonym, []byte("ann"))); got != mask.Redacted {
		t.Errorf("without a key a pseudonym could be computed by anyone: %s", got)
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	r, err := mask.NewRules([]byte("hunter2hunter2"), mask.Label{Pattern: "a.b.c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(f, struct{ R mask.Rules }{r}) + fmt.Sprintf(f, r); strings.Contains(got, "hunter2") || strings.Contains(got, "104 117") {
			t.Errorf("%s prints %s", f, got)
		}
	}
}

func TestManyStars(t *testing.T) {
	r := rules(t, mask.Label{Pattern: "a.b." + strings.Repeat("*a", 40) + "b"})
	if r.Source("a.b."+strings.Repeat("a", 4000)) != mask.Clear {
		t.Error("it matched")
	}
	if r.Source("a.b."+strings.Repeat("a", 4000)+"b") != mask.Redact {
		t.Error("it did not match")
	}
}

func TestDerivedValuesAreNotShownInPart(t *testing.T) {
	r := rules(t, mask.Label{Pattern: "a.b.email", Kind: mask.Email}, mask.Label{Pattern: "a.b.birth", Kind: mask.Null})
	for source, want := range map[string]mask.Kind{"a.b.email": mask.Redact, "a.b.birth": mask.Null, "a.b.id": mask.Clear} {
		if got := r.Kind(mask.Column{Proven: true, Derived: true, Sources: []string{source}}); got != want {
			t.Errorf("%s: %v, want %v", source, got, want)
		}
	}
}

func TestBadPattern(t *testing.T) {
	for _, p := range []string{"", "a", "a.b", "a.b.c.d"} {
		if _, err := mask.NewRules(nil, mask.Label{Pattern: p}); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
	if _, err := mask.ParseKind("last5"); err == nil {
		t.Error("an unknown mask was taken")
	}
	for _, n := range mask.Names() {
		if k, err := mask.ParseKind(n); err != nil || k.String() != n {
			t.Errorf("%s: %v, %v", n, k, err)
		}
	}
}

// No mask shows more than it says: never the whole value, never more than half
// of what last4 keeps, never more than a letter of an address's name.
func FuzzApply(f *testing.F) {
	f.Add([]byte("ann@example.com"))
	f.Add([]byte("4111111111111111"))
	f.Fuzz(func(t *testing.T, v []byte) {
		r := rules(t)
		for k := mask.Redact; k < mask.Clear; k++ {
			got := string(r.Apply(k, v))
			if len(v) > 4 && strings.Contains(got, string(v)) && got != string(v) {
				t.Fatalf("%v of %q shows it: %q", k, v, got)
			}
			if len(v) > 4 && got == string(v) && got != mask.Redacted && !strings.HasPrefix(got, "***@") {
				t.Fatalf("%v leaves %q as it is", k, v)
			}
			if k == mask.Last4 && len([]rune(got)) > 8 {
				t.Fatalf("last4 of %q: %q", v, got)
			}
		}
	})
}

func BenchmarkKind(b *testing.B) {
	r := rules(b, mask.Label{Pattern: "public.customers.email"}, mask.Label{Pattern: "*.*.iban"}, mask.Label{Pattern: "public.payments.*"})
	c := mask.Column{Proven: true, Sources: []string{"public.orders.total"}}
	for b.Loop() {
		r.Kind(c)
	}
}
