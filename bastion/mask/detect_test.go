package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion/mask"
)

const (
	jws = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\nOF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n-----END PRIVATE KEY-----"
	b64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/ABCDEFGHIJKLMNOPQRSTUV"
)

func detecting(t testing.TB, kind mask.Kind, ds ...mask.Detector) mask.Rules {
	t.Helper()
	if len(ds) == 0 {
		ds = []mask.Detector{mask.All}
	}
	r := rules(t)
	for _, d := range ds {
		r = r.Detect(mask.Detection{Detector: d, Kind: kind})
	}
	return r
}

// finds are values that publish their own check digits: examples of the standards, of
// the issuers and of the states.
var finds = map[mask.Detector][]string{
	mask.Card: {"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444", "3782 822463 10005", "378282246310005",
		"6011111111111117", "3530111333300000", "30569309025904", "2223003122003222", "6200000000000005", "4222222222222", "4917610000000000003"},
	mask.IBAN: {"DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "de89370400440532013000", "GB29NWBK60161331926819", "GB29 NWBK 6016 1331 9268 19",
		"FR1420041010050500013M02606", "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "CH93-0076-2011-6238-5295-7", "BR1800360305000010009795493C1"},
	mask.Address: {"ann@example.com", "ann.o'hara+tag@mail.example.co.uk", "x@example.org", "élan@exämple.fr", "customer/department=shipping@example.com"},
	mask.NationalID: {
		"86095742719", "47036892816", "65 929 970 489", // Germany
		"255081416802538", "2 55 08 14 168 025 38", "180032B12345679", "2 85 07 2A 004 123 38", // France, Corsica
		"12345678Z", "12345678-z", "X1234567L", "x1234567-L", // Spain
		"RSSMRA85T10A562S", "rssmra85t10a562s", // Italy
		"bsn 111222333", "BSN: 123456782", "1112.22.333", // Netherlands
		"44051401359", "02070803628", // Poland
		"811228-9874", "19811228-9874", "personnummer 8112289874", "811228+9874", // Sweden
		"131052-308T", "131052A308T", // Finland
		"070761-4285", "CPR 0707614285", "cpr-nr. 010107-1234", // Denmark
		"15076500565", "150765 00565", // Norway
		"85.07.30-033.28", "85073003328", // Belgium
		"NHS number 943 476 5919", "nhs=9434765919", // England
		"123-45-6789", "SSN 123 45 6789", "social security number: 123456789", // United States
		"529.982.247-25", "52998224725", "111.444.777-35", // Brazil
		"9999 4105 7058", "aadhaar 999941057058", "9999-7165-8847", // India
		"11010519491231002X", "11010519491231002x", // China
	},
	mask.PrivateKey: {pem, strings.ReplaceAll(pem, "\n", `\n`), strings.ReplaceAll(pem, "\n", "\r\n"), strings.ReplaceAll(pem, "PRIVATE", "OPENSSH PRIVATE"),
		"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,6E4F0A\n\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\n-----END RSA PRIVATE KEY-----",
		"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: X 1.0 (y)\n\nlQOYBGAAAAABCADAAAAAAAAAAAAAAAAA\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
		"AGE-SECRET-KEY-1QQPQXF8EGPHQ9VRY6HCWLYSCMEJ5KDDGAT7GKFH3QZ6CHJZ7T3SQ4XXKAA"},
	mask.CloudKey: {"AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", "GOCSPX-abcdefghijklmnopqrstuvwx1234",
		"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", "github_pat_11ABCDEFG0abcdefghijkl_abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvw",
		"glpat-abcdefghij0123456789", "xoxb-123456789012-abcdefABCDEF", "sk_live_abcdefghijklmnop12345678", "rk_test_abcdefghijklmnop12345678",
		"npm_abcdefghijklmnopqrstuvwxyz0123456789", "whsec_abcdefghijklmnopqrstuvwx"},
	mask.JWT: {jws, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13g.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rp.XFBoMYUZodetZdvT",
		base64.RawURLEncoding.EncodeToString([]byte("{\n  \"typ\": \"JWT\", \"alg\": \"ES256\"}")) + ".eyJzdWIiOiJhIn0.abc"},
}

// settings show their secret, and nothing else of it is hidden.
var settings = map[string]string{
	"aws_secret_access_key = %s":                         b64[:40],
	`{"SecretAccessKey": "%s"}`:                          b64[:40],
	"AWS_SECRET_ACCESS_KEY=%s\n":                         b64[:40],
	`{\"SecretAccessKey\": \"%s\"}`:                      b64[:40],
	"AccountName=x;AccountKey=%s;Endpoint=y":             b64 + "==",
	"SharedAccessKeyName=a;SharedAccessKey=%s":           b64[:43] + "=",
	`{"type": "service_account", "private_key": "%s\n"}`: strings.ReplaceAll(pem, "\n", `\n`),
}

func TestDetectorsFind(t *testing.T) {
	for d, values := range finds {
		one, all := detecting(t, mask.Redact, d), detecting(t, mask.Redact)
		for _, v := range values {
			for _, in := range []string{"%s", "see %s!", "(%s)", "a\n%s\nb", `{"note": "%s", "n": 1}`, `{"note":"\n%s\n"}`, `["\u00e9%s\u00e9"]`, "1\t%s\t2", "x=%s;", "%s.", "%s, and"} {
				in = fmt.Sprintf(in, v)
				for _, r := range []mask.Rules{one, all} {
					out, found := r.Scan([]byte(in))
					if !found || strings.Contains(string(out), v) {
						t.Errorf("%v: %q became %q", d, in, out)
					}
					checkJSON(t, r, []byte(in))
				}
			}
		}
	}
	for text, secret := range settings {
		in := fmt.Sprintf(text, secret)
		out, _ := detecting(t, mask.Redact, mask.CloudKey).Scan([]byte(in))
		if want := fmt.Sprintf(text, mask.Redacted); string(out) != want {
			t.Errorf("%q became %q, want %q", in, out, want)
		}
	}
}

// A digit changed is no number any more, or seldom: some states' sums let a few
// through, and eleven digits may be a number of another state.
func TestCheckDigitsAreChecked(t *testing.T) {
	unchecked := regexp.MustCompile("3-45-6789|123 45 6789|123456789$|cpr-nr") // social security, and Denmark since 2007
	for d, bound := range map[mask.Detector]float64{mask.Card: 0, mask.IBAN: 0, mask.NationalID: 0.05} {
		r := detecting(t, mask.Redact, d)
		changed, found := 0, 0
		for _, v := range finds[d] {
			for i := range v {
				if v[i] < '0' || v[i] > '9' || unchecked.MatchString(v) {
					continue
				}
				for c := byte('0'); c <= '9'; c++ {
					if c == v[i] {
						continue
					}
					changed++
					if _, hit := r.Scan([]byte(v[:i] + string(c) + v[i+1:])); hit {
						found++
					}
				}
			}
		}
		if rate := float64(found) / float64(changed); rate > bound {
			t.Errorf("%v: of %d numbers with a wrong digit %d are found", d, changed, found)
		}
	}
}

func TestDetectorsLeaveAlone(t *testing.T) {
	r := detecting(t, mask.Redact)
	for _, v := range []string{"", "a", "0", "the quick brown fox", "4111111111111112", "0.4111111111111111", "4111111111111111.25", "-3.4111111111111111e-05",
		"4111111111111111111111", "a4111111111111111", "41111111111111112", "2024-01-15 10:22:33.123456+00", "2024-01-15T10:22:33Z", "1705314153", "1705314153123",
		"1705314153123456", "550e8400-e29b-41d4-a716-446655440000", "DE89370400440532013001", "XX89370400440532013000", "ann@localhost", "ann@", "@example.com", "pgx@5.12.0",
		"root@db1:~$ ", "a.b.c", "eyJhbGci.x.y", "www.example.com", "1.2.3.4", "192.168.100.200", "+49 170 1234567", "(415) 555-2671", "415-555-2671",
		"123456782", "9434765919", "-----BEGIN CERTIFICATE-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\n-----END CERTIFICATE-----",
		"-----BEGIN PRIVATE KEY----- is how a key begins.", "----- BEGIN -----", "keyboard monkey key=value", "secret_key=short", "AKIA", "A", "sk_live_", "ghp_short", "000-45-6789", "666-45-6789", "923-45-6789",
		"123-00-6789", "123-45-0000", "999999999999", "11010519491231002A", "1,234,567,890.12", `{"a":1,"b":[1.5,2,3],"c":null}`, "glpat-", "xoxb-x", "SELECT * FROM t WHERE id = 4711"} {
		if out, found := r.Scan([]byte(v)); found || string(out) != v {
			t.Errorf("%q became %q", v, out)
		}
	}
}

func TestPartsAreHiddenByKind(t *testing.T) {
	for _, c := range []struct {
		detector mask.Detector
		kind     mask.Kind
		in, want string
	}{
		{mask.Card, mask.Redact, "pay 4111 1111 1111 1111 now", "pay **** now"},
		{mask.Card, mask.Last4, "pay 4111 1111 1111 1111 now", "pay ****1111 now"},
		{mask.Card, mask.Null, "pay 4111111111111111 now", "pay **** now"},
		{mask.Card, mask.Email, "pay 4111111111111111 now", "pay **** now"},
		{mask.Card, mask.Clear, "pay 4111111111111111 now", "pay 4111111111111111 now"},
		{mask.Card, mask.Clear + 1, "pay 4111111111111111 now", "pay **** now"},
		{mask.Card, mask.Last4, "12 4111 1111 1111 1111 123", "12 ****1111 123"},
		{mask.Card, mask.Last4, "4111111111111111", "****1111"},
		{mask.Address, mask.Email, `{"to":"ann@example.com","cc":"\nbob@example.com"}`, `{"to":"a***@example.com","cc":"\nb***@example.com"}`},
		{mask.Address, mask.Last4, "to ann@example.com.", "to ****ecom."},
		{mask.Address, mask.Redact, "https://user:pass@db.example.com/x", "https://user:****/x"},
		{mask.IBAN, mask.Last4, "DE89 3704 0044 0532 0130 00, thanks", "****3000, thanks"},
		{mask.Card, mask.Redact, `{"card":4111111111111111,"n":1}`, `{"card":0,"n":1}`},
		{mask.Card, mask.Last4, `{ "card" : 4111111111111111 }`, `{ "card" : 0 }`},
		{mask.Card, mask.Last4, `[1, -4111111111111111]`, `[1, -0]`},
		{mask.Card, mask.Last4, `["x", 4111111111111111, true]`, `["x", 0, true]`},
		{mask.Card, mask.Last4, `[true,4111111111111111]`, `[true,0]`},
		{mask.Card, mask.Last4, "cards: 4111111111111111, 5555555555554444", "cards: ****1111, ****4444"},
		{mask.NationalID, mask.Redact, `{"bsn": 111222333}`, `{"bsn": 0}`},
		{mask.PrivateKey, mask.Redact, "key:\n" + pem + "\nend", "key:\n****\nend"},
		{mask.PrivateKey, mask.Redact, "key:\n" + pem[:100], "key:\n****"},
		{mask.JWT, mask.Redact, "Bearer " + jws + ".", "Bearer ****."},
		{mask.JWT, mask.Redact, "token%20" + jws + " x", "token%20**** x"},
	} {
		out, _ := detecting(t, c.kind, c.detector).Scan([]byte(c.in))
		if string(out) != c.want {
			t.Errorf("%v %v: %q became %q, want %q", c.detector, c.kind, c.in, out, c.want)
		}
	}
	r := detecting(t, mask.Pseudonym)
	a, _ := r.Scan([]byte("4111 1111 1111 1111"))
	b, _ := r.Scan([]byte("x 4111-1111-1111-1111"))
	c, _ := r.Scan([]byte("5555 5555 5555 4444"))
	if !strings.HasPrefix(string(a), "~") || string(b) != "x "+string(a) || string(c) == string(a) {
		t.Errorf("pseudonyms %q %q %q", a, b, c)
	}
	if got, _ := r.Scan([]byte("ann@example.com")); string(got) != string(r.Apply(mask.Pseudonym, []byte("ann@example.com"))) {
		t.Errorf("an address found in text has another pseudonym (%s) than the same address in a labelled column", got)
	}
}

func TestStrongestDetectionWins(t *testing.T) {
	r := rules(t).Detect(mask.Detection{Detector: mask.Card, Kind: mask.Last4}, mask.Detection{Detector: mask.Address, Kind: mask.Email})
	both := r.Detect(mask.Detection{Detector: mask.Card, Kind: mask.Clear}, mask.Detection{Kind: mask.Pseudonym})
	if got, _ := r.Scan([]byte("4111111111111111 ann@example.com")); string(got) != "****1111 a***@example.com" {
		t.Errorf("%s", got)
	}
	if got, _ := both.Scan([]byte("4111111111111111 ann@example.com")); bytes.Count(got, []byte("~")) != 2 {
		t.Errorf("%s", got)
	}
	if got, _ := r.Scan([]byte("DE89370400440532013000")); string(got) != "DE89370400440532013000" {
		t.Errorf("adding to rules changed them: %s", got)
	}
}

func TestDetectionIsOffByDefault(t *testing.T) {
	r := rules(t)
	v := []byte("4111111111111111")
	if out, found := r.Scan(v); found || &out[0] != &v[0] || r.Detects() || !r.HidesNothing() {
		t.Errorf("%s, %v", out, found)
	}
	if r = r.Detect(); r.Detects() {
		t.Error("no detection detects")
	}
	if r = r.Detect(mask.Detection{}); !r.Detects() || r.HidesNothing() {
		t.Error("with detectors something is hidden")
	}
	if out, found := r.Scan(nil); out != nil || found {
		t.Errorf("NULL became %q", out)
	}
	if r.Kind(mask.Column{}) != mask.Clear {
		t.Error("a detector hides columns")
	}
}

func TestZeroRulesDetectEverything(t *testing.T) {
	for _, r := range []mask.Rules{{}, mask.Rules{}.Detect(mask.Detection{Detector: mask.Card, Kind: mask.Last4}), mask.Rules{}.Trust("public.f(*)")} {
		for _, v := range []string{"", "secret-value", "4111111111111111"} {
			if out, found := r.Scan([]byte(v)); !found || string(out) != mask.Redacted {
				t.Errorf("%q became %q", v, out)
			}
			if out, found := r.ScanJSON([]byte(v)); !found || !json.Valid(out) {
				t.Errorf("%q became %q", v, out)
			}
			s := r.Stream()
			if out := s.Flush(s.Append(nil, []byte(v))); v != "" && string(out) != mask.Redacted {
				t.Errorf("the stream shows %q", out)
			}
		}
		if !r.Detects() || r.Trusts("public.f(integer)") || r.Kind(mask.Column{Opaque: []string{"public.f(integer)"}}) != mask.Redact {
			t.Error("zero rules open something")
		}
	}
	var s mask.Stream
	if out := s.Flush(s.Append(nil, []byte("secret"))); string(out) != mask.Redacted {
		t.Errorf("the zero stream shows %q", out)
	}
}

func TestScanJSON(t *testing.T) {
	r := detecting(t, mask.Last4)
	for in, want := range map[string]string{"4111111111111111": `"****"`, " 4111111111111111 ": `"****"`, `"4111111111111111"`: `"****1111"`,
		`{"a":4111111111111111}`: `{"a":0}`, "12": "12", "null": "null",
		"\x014111111111111111": "\x01\"****\"", "\x01[4111111111111111]": "\x01[0]", "\x01{}": "\x01{}", "\x01": "\x01", "": ""} {
		if out, _ := r.ScanJSON([]byte(in)); string(out) != want {
			t.Errorf("%s became %s, want %s", in, out, want)
		}
	}
}

// TestScanJSONOfVersions: a target may send nothing but first bytes, and a stack that
// overflows would end every session.
func TestScanJSONOfVersions(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(16 << 20))
	r := detecting(t, mask.Last4)
	v := append(bytes.Repeat([]byte{1}, 1<<20), " 4111111111111111"...)
	if out, found := r.ScanJSON(v); !found || bytes.Contains(out, []byte("4111111111111111")) {
		t.Errorf("found %v, %d bytes", found, len(out))
	}
}

func TestDetectorNames(t *testing.T) {
	for _, n := range mask.DetectorNames() {
		if d, err := mask.ParseDetector(n); err != nil || d.String() != n {
			t.Errorf("%s: %v, %v", n, d, err)
		}
	}
	if _, err := mask.ParseDetector("passport"); err == nil {
		t.Error("an unknown detector was taken")
	}
	if mask.Detector(200).String() != "all" {
		t.Error("an unknown detector is not all of them")
	}
}

func TestNothingFoundCostsNoMemory(t *testing.T) {
	r := detecting(t, mask.Redact)
	v := clean(1 << 12)
	if n := testing.AllocsPerRun(100, func() { r.Scan(v) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTrust(t *testing.T) {
	r := rules(t, mask.Label{Pattern: "a.b.email", Kind: mask.Email})
	trusting := r.Trust("public.clean(text)", "public.any(*)", "tools.pair(integer, text)")
	for f, want := range map[string]bool{
		"public.clean(text)": true, "public.clean(text, text)": false, "public.clean()": false, "Public.clean(text)": false, "clean(text)": false,
		"public.any()": true, "public.any(text)": true, "public.any(text, integer[])": true, "public.any": false, "public.any(": false, "public.anything(text)": false,
		`public.any(evil(text)`: false, `public.any(x) over (y)`: false, "tools.pair(integer, text)": true, "tools.pair(integer,text)": false, "": false,
	} {
		if got := trusting.Trusts(f); got != want {
			t.Errorf("%s: %v", f, got)
		}
		if r.Trusts(f) {
			t.Errorf("trusting %s reached the rules that it was made from", f)
		}
		k := trusting.Kind(mask.Column{Sources: []string{"a.b.id"}, Opaque: []string{"public.clean(text)", f}})
		if want != (k == mask.Clear) {
			t.Errorf("%s: %v", f, k)
		}
	}
	opaque := []string{"public.clean(text)"}
	for _, c := range []struct {
		name   string
		column mask.Column
		want   mask.Kind
	}{
		{"no reason is no proof", mask.Column{Sources: []string{"a.b.id"}}, mask.Redact},
		{"trusted, of a clean column", mask.Column{Sources: []string{"a.b.id"}, Opaque: opaque}, mask.Clear},
		{"trusted, of nothing", mask.Column{Opaque: opaque}, mask.Clear},
		{"trusted, of a labelled column: derived", mask.Column{Sources: []string{"a.b.email"}, Opaque: opaque}, mask.Redact},
		{"not all are trusted", mask.Column{Opaque: append(opaque, "public.other()")}, mask.Redact},
	} {
		if got := trusting.Kind(c.column); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	base := rules(t).Trust("a.a()")
	one, two := base.Trust("a.b()"), base.Trust("a.c()")
	if !one.Trusts("a.b()") || one.Trusts("a.c()") || !two.Trusts("a.c()") {
		t.Error("rules share what they trust")
	}
	if (mask.Rules{}).Trust("*(*)", "(*)", "*").Trusts("a.f()") || rules(t).Trust("*(*)", "(*)", "*", "a.*(*)").Trusts("a.f()") {
		t.Error("a star stands for more than a list of types")
	}
}

// What is found in values that only look like something. The bounds are about twice
// what the check digits let through; README.md has the rates.
func TestFalsePositives(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = '0' + byte(rng.IntN(10))
		}
		return string(b)
	}
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.IntN(256))
		}
		return b
	}
	r := detecting(t, mask.Redact)
	const n = 20000
	for _, c := range []struct {
		name  string
		bound float64 // share of values in which something is found
		value func(i int) string
	}{
		{"8 digits", 0, func(int) string { return digits(8) }},
		{"9 digits", 0, func(int) string { return digits(9) }},
		{"10 digits", 0, func(int) string { return digits(10) }},
		{"11 digits", 0.06, func(int) string { return digits(11) }},
		{"12 digits", 0, func(int) string { return digits(12) }},
		{"13 digits", 0.04, func(int) string { return digits(13) }},
		{"14 digits", 0.03, func(int) string { return digits(14) }},
		{"15 digits", 0.04, func(int) string { return digits(15) }},
		{"16 digits", 0.07, func(int) string { return digits(16) }},
		{"17 digits", 0.04, func(int) string { return digits(17) }},
		{"18 digits", 0.04, func(int) string { return digits(18) }},
		{"19 digits", 0.06, func(int) string { return digits(19) }},
		{"20 to 40 digits", 0, func(int) string { return digits(20 + rng.IntN(21)) }},
		{"two-digit numbers", 0.001, func(int) string { return fmt.Sprint(rng.Perm(90)[:12]) }},
		{"UUIDs", 0.0002, func(int) string {
			b := random(16)
			return fmt.Sprintf("%x-%x-4%x-a%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}},
		{"SHA-256 in hex", 0.0002, func(int) string { return hex.EncodeToString(random(32)) }},
		{"SHA-256 in hex, capitals", 0.0002, func(int) string { return fmt.Sprintf("%X", random(32)) }},
		{"base64", 0.0005, func(int) string { return base64.StdEncoding.EncodeToString(random(64)) }},
		{"seconds since 1970", 0, func(i int) string { return fmt.Sprint(1600000000 + i*9973) }},
		{"milliseconds since 1970", 0, func(i int) string { return fmt.Sprint(1600000000000 + int64(i)*9973001) }},
		{"microseconds since 1970", 0, func(i int) string { return fmt.Sprint(1600000000000000 + int64(i)*9973001337) }},
		{"nanoseconds since 1970", 0, func(i int) string { return fmt.Sprint(1600000000000000000 + int64(i)*9973001337001) }},
		{"timestamps", 0, func(i int) string {
			return fmt.Sprintf("20%02d-%02d-%02d %02d:%02d:%02d.%06d+00", i%100, 1+i%12, 1+i%28, i%24, i%60, i/7%60, rng.IntN(1000000))
		}},
		{"compact timestamps", 0.002, func(i int) string {
			return fmt.Sprintf("20%02d%02d%02d%02d%02d%02d", i%100, 1+i%12, 1+i%28, i%24, i%60, i/7%60)
		}},
		{"floating point numbers", 0, func(int) string { return fmt.Sprint(rng.Float64()) }},
		{"large floating point numbers", 0, func(int) string { return fmt.Sprintf("%.4f", rng.Float64()*1e16) }},
		{"order numbers", 0, func(i int) string { return fmt.Sprintf("ORD-%d-%06d", 2000+i%30, i) }},
		{"order numbers by date", 0.3, func(i int) string { return fmt.Sprintf("20%02d%02d%02d-%04d", i%30, 1+i%12, 1+i%28, i%10000) }},
		{"invoice numbers", 0, func(i int) string { return fmt.Sprintf("INV%08d/%d", i, 2000+i%30) }},
		{"serial numbers", 0, func(i int) string { return fmt.Sprint(100000 + i) }},
		{"telephone numbers of the US", 0, func(int) string { return fmt.Sprintf("%d-%d-%s", 200+rng.IntN(800), 200+rng.IntN(800), digits(4)) }},
		{"telephone numbers of Germany", 0.001, func(int) string { return fmt.Sprintf("+49 %d %s", 150+rng.IntN(30), digits(7)) }},
		{"IP addresses", 0, func(int) string {
			return fmt.Sprintf("%d.%d.%d.%d", rng.IntN(256), rng.IntN(256), rng.IntN(256), rng.IntN(256))
		}},
		{"versions", 0, func(i int) string { return fmt.Sprintf("v%d.%d.%d-rc%d", i%20, i%30, i%40, i%5) }},
		{"amounts", 0, func(int) string { return fmt.Sprintf("%s,%s,%s.%s", digits(3), digits(3), digits(3), digits(2)) }},
		{"words", 0, func(i int) string { return string(clean(1 << 10))[i%512:] }},
	} {
		hits := 0
		for i := range n {
			if _, found := r.Scan([]byte(c.value(i))); found {
				hits++
			}
		}
		rate := float64(hits) / n
		t.Logf("%-32s %7.3f %%", c.name, 100*rate)
		if rate > c.bound {
			t.Errorf("%s: something is found in %.4f of them, more than %.4f", c.name, rate, c.bound)
		}
	}
}

// clean is text of the sort that tables hold, without anything to find.
func clean(n int) []byte {
	const text = "The order was shipped on 2024-03-15 from the warehouse in Cork; the customer asked for delivery before noon. " +
		"Two items (SKU 48-1137, 48-1142) were out of stock and will follow. Please keep the invoice for your records. Note 7 of 12: " +
		"return within 30 days, no questions asked - thank you for shopping with us, we look forward to seeing you again soon!\n"
	return []byte(strings.Repeat(text, n/len(text)+1))[:n]
}

// hostile are texts that make a careless search look at the same bytes again and again.
var hostile = map[string]string{
	"digits": "4", "digit groups": "1 ", "card-like groups": "4111 1111 ", "dashed groups": "123-", "dotted": "1.", "eyJ": "eyJ", "eyJ.": "eyJ.",
	"header.": "eyJhbGciOiJIUzI1NiJ9.!", "header.header": "eyJhbGciOiJIUzI1NiJ9.eyJhbGciOiJIUzI1NiJ9 ", "long header": strings.Repeat("eyJ", 2700) + ".",
	"BEGIN": "-----BEGIN ", "BEGIN KEY": "-----BEGIN PRIVATE KEY-----", "BEGIN KEY body": "-----BEGIN PRIVATE KEY-----MIGHAgEAMBMGByqGSM49AgEGCCqGSM49 ",
	"dashes": "-", "at": "@", "a@": "a@", "a@b.": "a@b.", "a@b.c": "a@b.c,", "long domain": "a@" + strings.Repeat("b", 250), "backslashes": `\`, "escapes": `\u0041`, "escaped": `\\1`,
	"letters": "a", "IBAN": "DE89 3704 ", "DE12": "DE12", "key": "secret_key=", "AKIA": "AKIA", "ghp_": "ghp_", "ghp_a": "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.", "spaces": " ",
	"JSON numbers": strings.Repeat(" ", 200) + ":4111111111111111,", "bsn": "bsn 111222333 ", "letters digits": "a1", "utf8": "é", "zero": "\x00", "quotes": `"`,
}

// Each hostile text goes through in one piece and through a stream in small pieces.
// A search that is not linear does not come to an end here.
func TestHostileTexts(t *testing.T) {
	r := detecting(t, mask.Redact)
	for name, unit := range hostile {
		v := []byte(strings.Repeat(unit, 1<<20/len(unit)))
		want, _ := r.Scan(v)
		s := r.Stream()
		var got []byte
		for piece := range slicesOf(v, 1000) {
			got = s.Append(got, piece)
			if s.Held() > 96<<10 {
				t.Fatalf("%s: %d bytes are kept back", name, s.Held())
			}
		}
		if got = s.Flush(got); !bytes.Equal(got, want) {
			t.Errorf("%s: the stream lets something else through", name)
		}
	}
}

func slicesOf(v []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(v) > 0 {
			n := min(n, len(v))
			if !yield(v[:n]) {
				return
			}
			v = v[n:]
		}
	}
}

// seeds are pieces of text from which the fuzz targets' random texts are made.
var seeds = func() (all []string) {
	for _, values := range finds {
		all = append(all, values...)
	}
	for text, secret := range settings {
		all = append(all, fmt.Sprintf(text, secret))
	}
	for _, unit := range hostile {
		all = append(all, unit)
	}
	slices.Sort(all) // the same texts in each run
	return append(all, " ", "\n", `\n`, `"`, ":", ",", "[1,", `{"a": `, "bsn ", "-", ".", `\`, `\u00e9`, "é", "x", "4", "\t", "}", "]")
}()

// random is text made of seeds, some of them cut.
func random(rng *rand.Rand) []byte {
	var v []byte
	for range 1 + rng.IntN(12) {
		s := seeds[rng.IntN(len(seeds))]
		if rng.IntN(3) == 0 {
			s = s[rng.IntN(len(s)+1):]
		}
		if rng.IntN(3) == 0 {
			s = s[:rng.IntN(len(s)+1)]
		}
		v = append(v, s...)
		if rng.IntN(4) == 0 {
			v = append(v, byte(rng.IntN(256)))
		}
	}
	return v
}

// streamed sends v through a stream in pieces.
func streamed(r mask.Rules, v []byte, rng *rand.Rand) (out []byte) {
	s := r.Stream()
	most := 1 + rng.IntN(40)
	for len(v) > 0 {
		n := min(len(v), rng.IntN(most+1))
		out = s.Append(out, v[:n])
		v = v[n:]
	}
	return s.Flush(out)
}

func checkStream(t *testing.T, r mask.Rules, v []byte, rng *rand.Rand) {
	t.Helper()
	want, _ := r.Scan(bytes.Clone(v))
	if got := streamed(r, v, rng); !bytes.Equal(got, want) {
		t.Fatalf("%q\nin one piece:  %q\nin pieces:     %q", v, want, got)
	}
}

func TestStreamIsScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	r := detecting(t, mask.Last4)
	for range 30000 {
		checkStream(t, r, random(rng), rng)
	}
	// Keys and tokens of every length around the bounds.
	for _, n := range []int{100, 8 << 10, 8<<10 + 40, 64<<10 - 100, 64 << 10, 64<<10 + 100, 100 << 10} {
		long := strings.Repeat("QUJD", n/4)
		for _, v := range []string{"x -----BEGIN PRIVATE KEY-----\n" + long + "\n-----END PRIVATE KEY----- y", "a " + jws + long + " b", "a " + long + jws + " b",
			strings.Repeat("é", n) + "@example.com", strings.Repeat("a", n) + "@example.com", long + ".eyJzdWIiOiJhIn0.abc", strings.Repeat("7", n) + " 4111111111111111"} {
			checkStream(t, r, []byte(v), rand.New(rand.NewPCG(5, uint64(n))))
		}
	}
}

func TestStreamLetsCleanTextThrough(t *testing.T) {
	r := detecting(t, mask.Redact)
	s := r.Stream()
	if got := string(s.Append(nil, []byte("no secrets here, and no\n"))); got != "no secrets here, and no\n" {
		t.Errorf("kept back all but %q", got)
	}
	if got := string(s.Append(nil, []byte("card 4111 1111 "))); got != "card " {
		t.Errorf("let %q through", got)
	}
	if got := string(s.Append(nil, []byte("1111 1111\n"))); got != "****\n" {
		t.Errorf("let %q through", got)
	}
	if got := string(s.Flush(s.Append(nil, []byte("ann@exam")))); got != "ann@exam" || s.Held() != 0 {
		t.Errorf("flushed %q and kept %d bytes", got, s.Held())
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, v []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		for k := mask.Redact; k < mask.Clear; k++ {
			r := detecting(t, k)
			in := bytes.Clone(v)
			out, found := r.Scan(in)
			if !bytes.Equal(in, v) {
				t.Fatalf("%q was changed", v)
			}
			if !found && !bytes.Equal(out, v) {
				t.Fatalf("%q became %q, and nothing was found", v, out)
			}
			checkJSON(t, r, v)
			checkStream(t, r, v, rng)
		}
	})
}

func checkJSON(t *testing.T, r mask.Rules, v []byte) {
	t.Helper()
	if !json.Valid(v) {
		return
	}
	if out, _ := r.ScanJSON(v); !json.Valid(out) {
		t.Fatalf("%s is JSON, %s is not", v, out)
	}
	if out, _ := r.Scan(v); bytes.IndexAny(bytes.TrimLeft(v, " \t\r\n"), `{["`) == 0 && !json.Valid(out) {
		t.Fatalf("%s is JSON, %s is not", v, out)
	}
}

// What is found in a text does not come out of it, wherever it stands.
func TestPlantedSecretsAreHidden(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	r := detecting(t, mask.Redact)
	fillers := []string{" ", "\n", "some text ", "é ", `\n`, ", ", "; ", "a=\"", "(", " 12 "}
	for range 20000 {
		values := finds[mask.Detector(1+rng.IntN(7))]
		secret := values[rng.IntN(len(values))]
		v := ""
		for range rng.IntN(8) {
			v += fillers[rng.IntN(len(fillers))]
		}
		v += " " + secret + " "
		for range rng.IntN(8) {
			v += fillers[rng.IntN(len(fillers)-1)]
		}
		if out, _ := r.Scan([]byte(v)); strings.Contains(string(out), secret) {
			t.Fatalf("%q became %q", v, out)
		}
	}
}

// JSON documents with secrets in strings, names, arrays and as numbers stay JSON.
func TestJSONStaysJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	numbers := []any{json.Number("4111111111111111"), json.Number("86095742719"), json.Number("-5555555555554444"), json.Number("255081416802538"), 12, 1.5, true, nil}
	var value func(depth int) any
	value = func(depth int) any {
		switch rng.IntN(4 - min(depth, 2)) {
		case 0:
			return numbers[rng.IntN(len(numbers))]
		case 1:
			return strings.ToValidUTF8(string(random(rng)), "?")
		case 2:
			list := make([]any, rng.IntN(5))
			for i := range list {
				list[i] = value(depth + 1)
			}
			return list
		}
		object := map[string]any{}
		for range rng.IntN(5) {
			object[strings.ToValidUTF8(string(random(rng)), "?")] = value(depth + 1)
		}
		return object
	}
	for i := range 20000 {
		var v []byte
		var err error
		if i%2 == 0 {
			v, err = json.Marshal(value(0))
		} else {
			v, err = json.MarshalIndent(value(0), " ", "\t")
		}
		if err != nil {
			t.Fatal(err)
		}
		checkJSON(t, detecting(t, mask.Kind(rng.IntN(int(mask.Clear)))), v)
	}
}

func BenchmarkScan(b *testing.B) {
	r := detecting(b, mask.Redact)
	texts := map[string][]byte{"clean": clean(1 << 20), "letters": bytes.Repeat([]byte("abcdefgh ijlmn "), 1<<20/15),
		"short":   []byte("shipped to the address on file"),
		"numbers": []byte(strings.Repeat("1024,55.20,2024-03-15 10:11:12.131415,7\n", 1<<20/40)),
		"json":    []byte(strings.Repeat(`{"id":1234,"name":"green tea","tags":["a","b"],"price":12.5} `, 1<<20/61))}
	for _, name := range []string{"clean", "letters", "numbers", "json", "short"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(texts[name])))
			b.ReportAllocs()
			for b.Loop() {
				if _, found := r.Scan(texts[name]); found {
					b.Fatal("found")
				}
			}
		})
	}
	b.Run("copy", func(b *testing.B) {
		v, to := texts["clean"], make([]byte, 1<<20)
		b.SetBytes(int64(len(v)))
		for b.Loop() {
			copy(to, v)
		}
	})
}

// BenchmarkHostile has the same figures for both sizes if the time is linear.
func BenchmarkHostile(b *testing.B) {
	r := detecting(b, mask.Redact)
	for name, unit := range hostile {
		for _, size := range []int{1 << 18, 1 << 23} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				v := []byte(strings.Repeat(unit, size/len(unit)))
				b.SetBytes(int64(len(v)))
				for b.Loop() {
					r.Scan(v)
				}
			})
		}
	}
}

func BenchmarkStream(b *testing.B) {
	r := detecting(b, mask.Redact)
	v := clean(1 << 20)
	for _, size := range []int{100, 8 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(v)))
			b.ReportAllocs()
			to := make([]byte, 0, len(v)+100)
			for b.Loop() {
				s := r.Stream()
				for piece := range slicesOf(v, size) {
					to = s.Append(to, piece)
				}
				to = s.Flush(to)[:0]
			}
		})
	}
}
