package mask

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Detector finds one sort of sensitive value by what it looks like. README.md
// says what each looks for, by which source, and what it cannot see.
type Detector uint8

const (
	All        Detector = iota // every detector there is
	Card                       // payment card numbers (ISO/IEC 7812)
	IBAN                       // bank account numbers (ISO 13616)
	Address                    // e-mail addresses (RFC 5321)
	NationalID                 // numbers that states give to people
	PrivateKey                 // private keys in text form (RFC 7468, RFC 9580, age)
	CloudKey                   // keys and tokens of cloud providers and code hosts
	JWT                        // JSON web tokens (RFC 7519), signed or encrypted
	detectors
)

var detectorNames = [...]string{All: "all", Card: "card", IBAN: "iban", Address: "email", NationalID: "national-id",
	PrivateKey: "private-key", CloudKey: "cloud-key", JWT: "jwt"}

// DetectorNames lists the detectors as policy files spell them, all first.
func DetectorNames() []string { return append([]string(nil), detectorNames[:]...) }

// String returns the detector as policy files spell it.
func (d Detector) String() string {
	if int(d) < len(detectorNames) {
		return detectorNames[d]
	}
	return detectorNames[All]
}

// ParseDetector reads a detector as policy files spell it.
func ParseDetector(s string) (Detector, error) {
	for d, name := range detectorNames {
		if s == name {
			return Detector(d), nil
		}
	}
	return All, fmt.Errorf("unknown detector %q (known: %s)", s, strings.Join(detectorNames[:], ", "))
}

// Detection says that what Detector finds is hidden by Kind. Only the found part of
// a value is: Redact and Null put [Redacted] in its place, Email does so with
// everything but an address. The zero Detection redacts whatever can be found.
type Detection struct {
	Detector Detector
	Kind     Kind
}

// Detect returns rules that also look at values. Where several detections hold for
// one find, the strongest counts, also among those of earlier calls; one whose kind
// is Clear adds nothing.
func (r Rules) Detect(ds ...Detection) Rules {
	var s scanner
	if r.scanner != nil {
		s = *r.scanner
	}
	for _, d := range ds {
		if d.Kind == Clear {
			continue
		}
		first, last := d.Detector, d.Detector
		if d.Detector == All || d.Detector >= detectors {
			first, last = All+1, detectors-1
		}
		for x := first; x <= last; x++ {
			if !s.on[x] {
				s.on[x], s.kinds[x] = true, d.Kind
			}
			s.kinds[x] = min(s.kinds[x], d.Kind)
		}
	}
	if s.on != ([detectors]bool{}) {
		s.triggers()
		r.scanner = &s
	}
	return r
}

// Detects reports whether values have to be looked at, by [Rules.Scan] or a [Stream].
func (r Rules) Detects() bool { return !r.made || r.scanner != nil }

// Scan hides what the detectors find in v, a value as text, in one pass. It returns v
// itself and false where they find nothing. A JSON object or array stays valid JSON:
// what takes the place of a part is plain ASCII letters, or the digit 0 for a number.
// Zero Rules find everything.
func (r Rules) Scan(v []byte) (out []byte, found bool) {
	switch {
	case !r.made:
		return []byte(Redacted), true
	case r.scanner == nil:
		return v, false
	}
	done := 0
	for i := 0; ; {
		m, _, verdict := r.scanner.next(v, i, done, true)
		if verdict != yes {
			break
		}
		if out == nil {
			out = make([]byte, 0, len(v)+16)
		}
		out = append(out, v[done:m.start]...)
		out = append(out, r.part(m, v[m.start:m.end])...)
		i, done = m.end, m.end
	}
	if out == nil {
		return v, false
	}
	return append(out, v[done:]...), true
}

// ScanJSON is Scan for values of a JSON type, which may also be a lone number: a JSON
// string takes its place then. A byte 1 before the text, as PostgreSQL's jsonb has in
// binary format, stays.
func (r Rules) ScanJSON(v []byte) (out []byte, found bool) {
	text := v
	if r.made && len(v) > 0 && v[0] == 1 { // once: a value of nothing else must not cost a call each
		text = v[1:]
	}
	if out, found = r.Scan(text); !found {
		return v, false
	}
	if t := bytes.TrimLeft(text, " \t\r\n"); len(t) == 0 || t[0] != '{' && t[0] != '[' && t[0] != '"' {
		out = []byte(`"` + Redacted + `"`)
	}
	if len(text) < len(v) {
		out = append([]byte{1}, out...)
	}
	return out, true
}

// part returns what takes the place of a found part.
func (r Rules) part(m match, v []byte) []byte {
	switch {
	case m.number:
		return []byte("0")
	case m.kind == Null, m.kind == Email && m.what != Address:
		return []byte(Redacted)
	case m.kind == Pseudonym && (m.what == Card || m.what == IBAN || m.what == NationalID):
		// The same number has the same pseudonym however it is written.
		v = slices.DeleteFunc(bytes.ToUpper(v), func(c byte) bool { return !alnum[c] })
	}
	return r.Apply(m.kind, v)
}

// match is a find: v[start:end] is to be hidden.
type match struct {
	start, end int
	what       Detector
	kind       Kind
	number     bool // it stands where JSON has a number
}

// verdict is what a look at one place ends with.
type verdict uint8

const (
	no   verdict = iota
	yes          // a match
	wait         // more text is needed to tell
)

// scanner holds which detectors are on, and the bytes at which they look closer.
//
// Each look starts at a trigger: a byte that every find of a detector has, and that
// is rare elsewhere. What it concludes depends on nothing but the bytes around (at
// most lookBehind before the trigger, maxKey after it) and on where the last find
// ended, so that a text gives the same result in one piece and in many.
type scanner struct {
	on    [detectors]bool
	kinds [detectors]Kind
	class [256]uint8
}

// The classes of trigger; 0 is a byte at which nothing starts.
const (
	digitClass uint8 = 1 << iota
	atClass          // the @ of an address
	dotClass         // the dot after a token's header
	dashClass        // the end of "-----", and of prefixes such as "glpat-"
	underClass       // the end of prefixes such as "ghp_"
	keyClass         // the k of "SecretAccessKey"
	akiaClass        // the A of "AKIA" and "AIza"
)

// The bounds of what a look may see.
const (
	maxHeader  = 8 << 10        // of a token's header
	maxKey     = 64 << 10       // of a private key, and of a token after its header
	lookBehind = maxHeader + 64 // how far before its trigger a find may start
	context    = 1 << 10        // how far before its start a find depends on other bytes
	maxSpace   = 256            // white space between a JSON number and its neighbours
	maxEscape  = 64             // backslashes in a row
	maxRandom  = 255            // of a token
	maxLocal   = 256            // of an address before the @; RFC 5321 has 64
	maxDomain  = 255            // and after it
	maxDigits  = 20             // of one number
)

// triggers fills the table of triggers.
func (s *scanner) triggers() {
	set := func(class uint8, chars string) {
		for i := range len(chars) {
			s.class[chars[i]] |= class
		}
	}
	if s.on[Card] || s.on[IBAN] || s.on[NationalID] {
		set(digitClass, "0123456789")
	}
	if s.on[Address] {
		set(atClass, "@")
	}
	if s.on[JWT] {
		set(dotClass, ".")
	}
	if s.on[PrivateKey] || s.on[CloudKey] {
		set(dashClass, "-")
	}
	if s.on[CloudKey] {
		set(underClass, "_")
		set(keyClass, "kK")
		set(akiaClass, "A")
	}
}

// next returns the first find of v whose trigger stands at i or later and that starts
// at done or later. If it has to wait for more text, at is the trigger that waits;
// final says that there is no more.
func (s *scanner) next(v []byte, i, done int, final bool) (m match, at int, _ verdict) {
	l := look{v: v, done: done, final: final, s: s}
	for {
		for class := &s.class; i+8 <= len(v); i += 8 {
			b := v[i : i+8 : i+8]
			if class[b[0]]|class[b[1]]|class[b[2]]|class[b[3]]|class[b[4]]|class[b[5]]|class[b[6]]|class[b[7]] != 0 {
				break
			}
		}
		for i < len(v) && s.class[v[i]] == 0 {
			i++
		}
		if i == len(v) {
			return match{}, i, no
		}
		l.skip = i + 1
		verdict := no
		switch s.class[v[i]] {
		case digitClass:
			if past := plain(v, i); past > 0 {
				i = past
				continue
			}
			m, verdict = l.digits(i)
		case atClass:
			m, verdict = l.address(i)
		case dotClass:
			m, verdict = l.token(i)
		case dashClass:
			if m, verdict = l.key(i); verdict == no {
				m, verdict = l.prefixed(i)
			}
		case underClass:
			m, verdict = l.prefixed(i)
		case keyClass:
			m, verdict = l.secret(i)
		case akiaClass:
			m, verdict = l.accessKey(i)
		}
		if verdict != no {
			return m, i, verdict
		}
		i = l.skip
	}
}

// look is a closer look at one place of v.
type look struct {
	v     []byte
	done  int
	final bool
	s     *scanner
	skip  int // where to go on if it was nothing
}

// end is the verdict of a look that ran into the end of the text.
func (l *look) end() verdict {
	if l.final {
		return no
	}
	return wait
}

// found makes a match, unless it would begin within the one before or within an escape.
func (l *look) found(d Detector, start, end int) (match, verdict) {
	if start < l.done || l.inner(start) != start {
		return match{}, no
	}
	return match{start: start, end: end, what: d, kind: l.s.kinds[d]}, yes
}

// begins reports whether v[i] begins a word: no letter or digit stands before it
// but that of an escape, such as the n of \n in JSON and COPY.
func (l *look) begins(i int) bool {
	return i <= 0 || !alnum[l.v[i-1]] || l.escaped(i) == i
}

// escaped returns where the escape ends that v[i] or v[i-1] is part of (\n, \u0041),
// or -1 if there is none.
func (l *look) escaped(i int) int {
	for k := 1; k <= 5 && i-k > 0; k++ {
		c := l.v[i-k]
		if l.v[i-k-1] == '\\' && l.odd(i-k) {
			switch {
			case c == 'u' && l.hex(i-k+1):
				return i - k + 5
			case k == 1:
				return i
			}
			return -1
		}
		if !alnum[c] {
			return -1
		}
	}
	return -1
}

// hex reports whether v[i:i+4] are hexadecimal digits.
func (l *look) hex(i int) bool {
	if i+4 > len(l.v) {
		return false
	}
	for _, c := range l.v[i : i+4] {
		if !digit(c) && !(c|0x20 >= 'a' && c|0x20 <= 'f') {
			return false
		}
	}
	return true
}

// odd reports whether an odd number of backslashes stands before v[i]: the last of
// them is not escaped itself.
func (l *look) odd(i int) bool {
	n := 0
	for n < maxEscape && i-n > 0 && l.v[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}

// inner returns the first place from i on that is not the inside of an escape.
func (l *look) inner(i int) int {
	if i > 0 && i < len(l.v) && l.v[i-1] == '\\' && l.odd(i) {
		if l.v[i] == 'u' && l.hex(i+1) {
			return i + 5
		}
		return i + 1
	}
	return i
}

// address looks at an @.
func (l *look) address(at int) (match, verdict) {
	v, start := l.v, at
	for start > l.done && at-start < maxLocal && local[v[start-1]] {
		start--
	}
	start = l.inner(start)
	for start < at && !(alnum[v[start]] || v[start] >= utf8.RuneSelf && utf8.RuneStart(v[start])) {
		start++
	}
	if start >= at {
		return match{}, no
	}
	end := at + 1
	for end < len(v) && end-at <= maxDomain && domain[v[end]] && !(v[end] == '.' && (v[end-1] == '.' || v[end-1] == '@')) {
		end++
	}
	if end == len(v) && !l.final {
		return match{}, wait
	}
	for end < len(v) && !utf8.RuneStart(v[end]) { // the bound cut a letter
		end--
	}
	for v[end-1] == '.' || v[end-1] == '-' {
		end--
	}
	// The last part of a domain is a word: pgx@5.12 is none.
	dot := at + bytes.LastIndexByte(v[at:end], '.')
	if dot <= at || end-dot < 3 || digit(v[dot+1]) {
		return match{}, no
	}
	return l.found(Address, start, end)
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// charset is a set of bytes. Sets are made once and never changed.
type charset [256]bool

func chars(s string) (set charset) {
	for i := range len(s) {
		set[s[i]] = true
	}
	return set
}

const (
	lettersDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	// RFC 5322 atext and the dot.
	atext = lettersDigits + "!#$%&'*+-/=?^_`{|}~."
)

var (
	alnum     = chars(lettersDigits)
	base64Set = chars(lettersDigits + "+/")
	base64URL = chars(lettersDigits + "-_")
	local     = high(chars(atext))                // RFC 6531 adds UTF-8
	domain    = high(chars(lettersDigits + "-.")) // and internationalised names
)

func high(set charset) charset {
	for c := utf8.RuneSelf; c < 256; c++ {
		set[c] = true
	}
	return set
}
