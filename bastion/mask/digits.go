package mask

// number is digits, 0 to 9, and zeros behind them.
type number [maxDigits]byte

// groups are digits in groups, as people write long numbers.
type groups struct {
	n     int     // groups
	size  [8]int  // digits of each
	end   [8]int  // where each ends
	sep   [8]byte // what stands after each group but the last
	digit number
	long  bool // the first group is longer than any number looked for
}

// groups reads the digits that begin at i. It reads at most eight groups and
// maxDigits digits: what is more belongs to no number.
func (l *look) groups(i int, g *groups) verdict {
	v, total := l.v, 0
	for g.n < len(g.size) {
		first := i
		for i < len(v) && digit(v[i]) && total < maxDigits {
			g.digit[total] = v[i] - '0'
			total++
			i++
		}
		if i < len(v) && digit(v[i]) {
			g.long = g.n == 0
			return yes
		}
		g.size[g.n], g.end[g.n] = i-first, i
		g.n++
		if i == len(v) {
			return l.end2()
		}
		if c := v[i]; c != ' ' && c != '-' && c != '.' && c != '+' {
			return yes
		}
		if i+1 == len(v) {
			return l.end2()
		}
		if !digit(v[i+1]) {
			return yes
		}
		g.sep[g.n-1] = v[i]
		i++
	}
	return yes
}

// end2 is the verdict of a look that has enough if the text ends here.
func (l *look) end2() verdict {
	if l.final {
		return yes
	}
	return wait
}

// plain returns where the digits end that begin at v[i], if a short look tells that no
// number begins there that anybody looks for, or 0. Most numbers of most tables pass
// here: short ones, dates, times, amounts.
func plain(v []byte, i int) int {
	if i == 0 || alnum[v[i-1]] {
		return 0
	}
	first := i
	for i < len(v) && digit(v[i]) {
		i++
	}
	n := i - first
	if n > 7 || i+1 >= len(v) {
		return 0
	}
	sep := v[i]
	if letter(sep) {
		if n == 6 {
			return 0
		}
		return i
	}
	if sep != ' ' && sep != '-' && sep != '.' && sep != '+' {
		return i
	}
	j := i + 1
	for j < len(v) && digit(v[j]) && j-i <= 8 {
		j++
	}
	switch m := j - i - 1; {
	case m == 0 && sep != '-' || m > 0 && j < len(v) && !shapes[n][min(m, 8)][sep]:
		return i
	case m == 0 && j < len(v) && n != 6: // Finland has a dash and a letter
		return i
	}
	return 0
}

// shapes tells whether a number that is looked for begins with groups of two sizes
// and a sign between them.
var shapes = func() (t [8][9]charset) {
	for n := 3; n <= 7; n++ { // cards
		for m := 3; m <= 7; m++ {
			t[n][m] = chars(" -")
		}
	}
	for n, of := range forms[:len(t)] {
		for _, f := range of {
			if len(f.sizes) > 1 {
				t[n][f.sizes[1]][f.seps[0]] = true
			}
		}
	}
	t[1][2][' '] = true   // France
	t[6][3] = chars("-+") // Finland
	return t
}()

// digits looks at a digit: card numbers, bank accounts and numbers of people.
func (l *look) digits(at int) (match, verdict) {
	v := l.v
	escape := -1
	if at > 0 && alnum[v[at-1]] {
		if at+4 > len(v) && !l.final {
			return match{}, wait
		}
		if escape = l.escaped(at); escape > at { // \u0041
			l.skip = escape
			return match{}, no
		}
		if digit(v[at-1]) && escape != at {
			l.skip = l.pastDigits(at)
			return match{}, no
		}
	}
	if at > 0 && letter(v[at-1]) && escape != at {
		l.skip = l.pastDigits(at)
		return l.lettered(at)
	}
	var g groups
	if l.groups(at, &g) == wait {
		return match{}, wait
	}
	if g.long {
		l.skip = l.pastDigits(at)
		return match{}, no
	}
	l.skip = g.end[0]
	// After a digit and a dot this is a fraction, after a digit and a dash a part of
	// something longer.
	var before byte
	if at > 1 && digit(v[at-2]) {
		before = v[at-1]
	}
	if before == '.' {
		return match{}, no
	}
	if l.s.on[Card] && (g.size[0] >= 13 || g.size[0] <= 7 && g.n > 1) {
		if m, verdict := l.card(at, &g, before); verdict != no {
			return m, verdict
		}
	}
	if l.s.on[NationalID] {
		return l.person(at, &g, before)
	}
	return match{}, no
}

func (l *look) pastDigits(i int) int {
	for i < len(l.v) && digit(l.v[i]) {
		i++
	}
	return i
}

// ends reports whether a number may end at i: no letter or digit goes on there, and
// no fraction.
func (l *look) ends(i int) (bool, verdict) {
	v := l.v
	if i == len(v) {
		return true, l.end2()
	}
	if alnum[v[i]] {
		return false, yes
	}
	if v[i] != '.' {
		return true, yes
	}
	if i+1 == len(v) {
		return true, l.end2()
	}
	return !digit(v[i+1]), yes
}

// number makes a match of digits, and notes whether they may be a number of JSON.
func (l *look) number(d Detector, start, end int) (match, verdict) {
	m, verdict := l.found(d, start, end)
	if verdict != yes {
		return m, verdict
	}
	m.number, verdict = l.jsonNumber(start, end)
	return m, verdict
}

// jsonNumber reports whether v[start:end] stands where JSON has a number: after a
// member's name, a bracket or another value, and before a comma or the end of an
// array or object (RFC 8259). It also says so of some prose, and inside of strings,
// which does no harm: what it leads to fits there, too.
func (l *look) jsonNumber(start, end int) (bool, verdict) {
	v := l.v
	back := func(i int) int {
		for n := 0; n < maxSpace && i > 0 && space(v[i-1]); n++ {
			i--
		}
		return i
	}
	if start > 0 && v[start-1] == '-' {
		start--
	}
	i := back(start)
	if i == 0 {
		return false, yes
	}
	i--
	switch c := v[i]; {
	case c == '[' || space(c): // more space than was looked at may hide anything
	case c == ':':
		if i = back(i); i == 0 || v[i-1] != '"' && !space(v[i-1]) {
			return false, yes
		}
	case c == ',':
		if i = back(i); i == 0 {
			return false, yes
		}
		switch c := v[i-1]; {
		case c == '"' || c == ']' || c == '}' || digit(c) || space(c):
		case ending(v[:i], "true"), ending(v[:i], "false"), ending(v[:i], "null"):
		default:
			return false, yes
		}
	default:
		return false, yes
	}
	for n := 0; end < len(v) && space(v[end]); n++ {
		if n == maxSpace {
			return true, yes
		}
		end++
	}
	if end == len(v) {
		return false, l.end2()
	}
	return v[end] == ',' || v[end] == ']' || v[end] == '}', yes
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func ending(v []byte, s string) bool { return len(v) >= len(s) && string(v[len(v)-len(s):]) == s }

// card looks for a card number in the first groups: digits without a break, or
// groups of three to seven with the same sign between them.
func (l *look) card(at int, g *groups, before byte) (match, verdict) {
	total := 0
	var sums [2]int // Luhn's sums, by which digits are doubled: those at even or at odd places
	for k := range g.n {
		if k > 0 && g.sep[k-1] != g.sep[0] {
			break
		}
		for i := total; i < total+g.size[k]; i++ {
			d := int(g.digit[i])
			sums[i%2] += doubled[d]
			sums[1-i%2] += d
		}
		total += g.size[k]
		if k > 0 && g.sep[0] != ' ' && (g.sep[0] != '-' || before == '-') {
			break
		}
		if total < 13 || total > 19 {
			continue
		}
		// The last digit is not doubled.
		if sums[total%2]%10 != 0 || !issued(g.digit[:total]) || k > 0 && !spaced(g.size[:k+1]) {
			continue
		}
		ok, verdict := l.ends(g.end[k])
		if verdict == wait {
			return match{}, wait
		}
		if !ok {
			continue
		}
		if k == 0 {
			return l.number(Card, at, g.end[k])
		}
		return l.found(Card, at, g.end[k])
	}
	return match{}, no
}

// spaced reports whether card numbers are written in groups of these sizes.
func spaced(sizes []int) bool {
	for i, n := range sizes {
		if n > 7 || n < 3 && i < len(sizes)-1 {
			return false
		}
	}
	return true
}

// doubled is a digit's share in Luhn's sum when it is doubled (ISO/IEC 7812-1, annex B).
var doubled = [10]int{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}

func luhn(d []byte) bool {
	sum := 0
	for i := range d {
		if n := d[len(d)-1-i]; i%2 == 1 {
			sum += doubled[n]
		} else {
			sum += int(n)
		}
	}
	return sum%10 == 0
}

// issuer is a range of issuer identification numbers, by the first six digits, and
// the lengths in use, a bit for each.
type issuer struct {
	first, last int
	lengths     uint32
}

const (
	n13, n14, n15, n16, n17, n18, n19 = 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19
	n16to19                           = n16 | n17 | n18 | n19
)

var issuers = [...]issuer{
	{220000, 220499, n16to19},                   // Mir
	{222100, 272099, n16},                       // Mastercard
	{300000, 305999, n14 | n16},                 // Diners Club
	{309500, 309599, n14 | n16},                 // Diners Club
	{340000, 349999, n15},                       // American Express
	{352800, 358999, n16to19},                   // JCB
	{360000, 369999, n14 | n16},                 // Diners Club
	{370000, 379999, n15},                       // American Express
	{380000, 399999, n14 | n16},                 // Diners Club
	{400000, 499999, n13 | n16 | n19},           // Visa
	{500000, 509999, n13 | n14 | n15 | n16to19}, // Maestro, Elo, Verve
	{510000, 559999, n16},                       // Mastercard
	{560000, 589999, n13 | n14 | n15 | n16to19}, // Maestro
	{600000, 609999, n16 | n18 | n19},           // RuPay, Discover (6011), Hipercard (6062)
	{620000, 629999, n16to19},                   // UnionPay, Discover
	{630400, 630499, n13 | n14 | n15 | n16to19}, // Maestro
	{636000, 639999, n16to19},                   // InterPayment, Elo, InstaPayment
	{640000, 659999, n16to19},                   // Discover, RuPay, Elo, Verve
	{670000, 679999, n13 | n14 | n15 | n16to19}, // Maestro
	{810000, 829999, n16to19},                   // UnionPay, RuPay
	{860000, 860099, n16},                       // Uzcard
	{979200, 979299, n16},                       // Troy
	{986000, 986099, n16},                       // Humo
}

// issued reports whether cards with such a beginning and length are issued.
func issued(d []byte) bool {
	n := 0
	for _, x := range d[:6] {
		n = 10*n + int(x)
	}
	for _, i := range issuers {
		if n >= i.first && n <= i.last {
			return i.lengths>>len(d)&1 == 1
		}
	}
	return false
}

// lettered looks at a digit after a letter: IBAN, and the numbers of Spain and Italy.
func (l *look) lettered(at int) (match, verdict) {
	v := l.v
	if l.s.on[IBAN] && at >= 2 && letter(v[at-2]) && l.begins(at-2) {
		if m, verdict := l.iban(at - 2); verdict != no {
			return m, verdict
		}
	}
	if !l.s.on[NationalID] {
		return match{}, no
	}
	if c := v[at-1] &^ 0x20; c >= 'X' && c <= 'Z' && l.begins(at-1) {
		return l.nie(at - 1)
	}
	if at >= 6 && l.begins(at-6) {
		for _, c := range v[at-6 : at] {
			if !letter(c) {
				return match{}, no
			}
		}
		return l.fiscal(at - 6)
	}
	return match{}, no
}

// ibanLengths are the lengths of a country's account numbers, from the registry of
// ISO 13616-1 that SWIFT keeps.
var ibanLengths = func() (t [26][26]uint8) {
	const list = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18" +
		"FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22" +
		"MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23" +
		"TN24TR26UA29VA22VG24XK20YE30"
	for i := 0; i < len(list); i += 4 {
		t[list[i]-'A'][list[i+1]-'A'] = (list[i+2]-'0')*10 + list[i+3] - '0'
	}
	return t
}()

// iban looks at the two letters before a digit. The number is written without a
// break or in groups of four with the same sign between them (ISO 13616-1).
func (l *look) iban(start int) (match, verdict) {
	v := l.v
	length := int(ibanLengths[v[start]&^0x20-'A'][v[start+1]&^0x20-'A'])
	if length == 0 {
		return match{}, no
	}
	var text [34]byte
	var sep byte
	i, n := start, 0
	for n < length {
		if i == len(v) {
			return match{}, l.end()
		}
		c := v[i]
		if n > 0 && n%4 == 0 && (c == ' ' || c == '-') && (c == sep || n == 4) {
			sep = c
			i++
			if i == len(v) {
				return match{}, l.end()
			}
			c = v[i]
		} else if n > 0 && n%4 == 0 && sep != 0 {
			return match{}, no
		}
		if !alnum[c] {
			return match{}, no
		}
		if letter(c) {
			c &^= 0x20
		}
		text[n] = c
		n++
		i++
	}
	if i == len(v) && !l.final {
		return match{}, wait
	}
	if i < len(v) && alnum[v[i]] || !digit(text[2]) || !digit(text[3]) {
		return match{}, no
	}
	// The remainder by 97 of the number with its first four letters at its end and
	// A = 10, B = 11 and so on is one (ISO/IEC 7064, MOD 97-10).
	rest := 0
	for k := range length {
		if c := text[(k+4)%length]; digit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	if rest != 1 {
		return match{}, no
	}
	return l.found(IBAN, start, i)
}
