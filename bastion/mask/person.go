package mask

// form is a way to write the numbers that a state gives to people.
type form struct {
	sizes string // digits of each group, as characters from '1' on
	seps  string // what stands between the groups
	words string // one of these words must stand near before it, by spaces; "" for none
	check func(d number) bool
}

// forms are listed by the digits of their first group. A number whose check lets too
// many others pass counts only as its country alone writes it, or beside a word that
// says what it is.
var forms = func() (t [20][]form) {
	for _, f := range [...]form{
		{"\x0b", "", "", germany}, {"\x02\x03\x03\x03", "   ", "", germany},
		{"\x09", "", "bsn burgerservice sofi", netherlands}, {"\x04\x02\x03", "..", "", netherlands}, {"\x04\x02\x03", "  ", "bsn burgerservice sofi", netherlands},
		{"\x0b", "", "", poland},
		{"\x06\x04", "-", "", sweden}, {"\x06\x04", "+", "", sweden}, {"\x08\x04", "-", "", swedenLong}, {"\x08\x04", "+", "", swedenLong},
		{"\x0a", "", "personnummer personnr pnr samordningsnummer", sweden}, {"\x0c", "", "personnummer personnr pnr samordningsnummer", swedenLong},
		{"\x06\x04", "-", "", denmark}, {"\x0a", "", "cpr personnummer", denmark}, {"\x06\x04", "-", "cpr personnummer", denmarkSince2007}, {"\x06\x04", " ", "cpr personnummer", denmarkSince2007},
		{"\x0b", "", "", norway}, {"\x06\x05", " ", "", norway},
		{"\x0b", "", "", belgium}, {"\x02\x02\x02\x03\x02", "..-.", "", belgium}, {"\x02\x02\x02\x03\x02", "    ", "", belgium},
		{"\x0a", "", "nhs", england}, {"\x03\x03\x04", "  ", "nhs", england}, {"\x03\x03\x04", "--", "nhs", england},
		{"\x03\x02\x04", "--", "", unitedStates}, {"\x03\x02\x04", "  ", "ssn social", unitedStates}, {"\x09", "", "ssn social", unitedStates},
		{"\x0b", "", "", brazil}, {"\x03\x03\x03\x02", "..-", "", brazil},
		{"\x0c", "", "aadhaar aadhar uidai", india}, {"\x04\x04\x04", "  ", "", india}, {"\x04\x04\x04", "--", "", india},
		{"\x12", "", "", china},
	} {
		t[f.sizes[0]] = append(t[f.sizes[0]], f)
	}
	return t
}()

// person looks for the number of a person that begins at a digit.
func (l *look) person(at int, g *groups, before byte) (match, verdict) {
	if before == '-' || before == '+' {
		return match{}, no
	}
	if m, verdict := l.withLetter(at, g); verdict != no {
		return m, verdict
	}
	if g.size[0] >= len(forms) {
		return match{}, no
	}
	for _, f := range forms[g.size[0]] {
		if !g.fits(f, before) || !f.check(g.digit) {
			continue
		}
		if f.words != "" && !nearOneOf(l.v, at, f.words) {
			continue
		}
		end := g.end[len(f.sizes)-1]
		ok, verdict := l.ends(end)
		if verdict == wait {
			return match{}, wait
		}
		if !ok {
			continue
		}
		if f.seps == "" {
			return l.number(NationalID, at, end)
		}
		return l.found(NationalID, at, end)
	}
	return match{}, no
}

// fits reports whether the groups are those of the form, and neither a part of more
// groups with the same signs between them.
func (g *groups) fits(f form, before byte) bool {
	n := len(f.sizes)
	if g.n < n {
		return false
	}
	for k := range n {
		if g.size[k] != int(f.sizes[k]) || k < n-1 && g.sep[k] != f.seps[k] {
			return false
		}
	}
	after := g.sep[n-1]
	if after == '-' || after == '+' || after == '.' {
		return false
	}
	return n == 1 || f.seps[0] != ' ' || before != ' ' && after != ' '
}

func nearOneOf(v []byte, at int, words string) bool {
	for words != "" {
		var w string
		w, words = cutWord(words)
		if near(v, at, w) {
			return true
		}
	}
	return false
}

func cutWord(s string) (word, rest string) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// withLetter looks for the numbers that have a letter after their first digits:
// Spain, Finland, France for people from Corsica, China.
func (l *look) withLetter(at int, g *groups) (match, verdict) {
	v, end := l.v, g.end[0]
	switch size := g.size[0]; {
	case size == 8: // DNI: 12345678Z, 12345678-Z
		if end < len(v) && v[end] == '-' {
			end++
		}
		if end == len(v) {
			return match{}, l.end()
		}
		if !letter(v[end]) || v[end]&^0x20 != spain(g.digit[:8]) {
			return match{}, no
		}
		return l.word(NationalID, at, end+1)
	case size == 6 && end+5 > len(v) && !l.final: // Finland's and Corsica's are longer
		return match{}, wait
	case size == 6 && end+5 <= len(v) && finnish(v[at:end+5]):
		return l.word(NationalID, at, end+5)
	case size == 17: // with X, which stands for ten
		if end == len(v) {
			return match{}, l.end()
		}
		if v[end]|0x20 != 'x' || !chinese(g.digit[:17], 10) {
			return match{}, no
		}
		return l.word(NationalID, at, end+1)
	}
	if size := g.size[0]; size == 1 || size == 6 || size == 13 || size == 15 {
		return l.french(at)
	}
	return match{}, no
}

// word makes a match that no letter or digit follows.
func (l *look) word(d Detector, start, end int) (match, verdict) {
	if end == len(l.v) && !l.final {
		return match{}, wait
	}
	if end < len(l.v) && alnum[l.v[end]] {
		return match{}, no
	}
	return l.found(d, start, end)
}

// french looks for an INSEE number (NIR): sex, year, month, department, commune,
// order, and 97 minus the rest of all that by 97. A space may stand between the parts.
func (l *look) french(at int) (match, verdict) {
	v := l.v
	var d [15]byte
	corsica, plain := int64(0), true
	i := at
	for n := range d {
		if i < len(v) && v[i] == ' ' && (n == 1 || n == 3 || n == 5 || n == 7 || n == 10 || n == 13) {
			i, plain = i+1, false
		}
		if i == len(v) {
			return match{}, l.end()
		}
		c := v[i]
		switch {
		case digit(c):
			d[n] = c - '0'
		case n == 6 && d[5] == 2 && (c|0x20 == 'a' || c|0x20 == 'b'): // 2A and 2B count as 19 and 18
			d[5], d[6], plain = 1, 9-(c|0x20-'a'), false
			corsica = 1
		default:
			return match{}, no
		}
		if n == 0 && (d[0] == 0 || d[0] == 5 || d[0] == 6 || d[0] == 9) {
			return match{}, no
		}
		i++
	}
	month := int(d[3])*10 + int(d[4])
	if !(month >= 1 && month <= 12 || month >= 20 && month <= 42 || month >= 50) { // the later ones: not known
		return match{}, no
	}
	n := int64(0)
	for _, x := range d[:13] {
		n = n*10 + int64(x)
	}
	if 97-n%97 != int64(d[13])*10+int64(d[14]) {
		return match{}, no
	}
	ok, verdict := l.ends(i)
	switch {
	case verdict == wait:
		return match{}, wait
	case !ok:
		return match{}, no
	case plain && corsica == 0:
		return l.number(NationalID, at, i)
	}
	return l.found(NationalID, at, i)
}

const dniLetters = "TRWAGMYFPDXBNJZSQVHLCKE"

// spain returns the letter of a DNI, by the rest of its digits by 23.
func spain(d []byte) byte {
	n := 0
	for _, x := range d {
		n = 10*n + int(x)
	}
	return dniLetters[n%23]
}

// nie looks for a Spanish foreigner's number: X, Y or Z for 0, 1 or 2, seven digits
// and the letter of a DNI. Dashes may stand after the first letter and before the last.
func (l *look) nie(at int) (match, verdict) {
	v := l.v
	d := [8]byte{v[at]&^0x20 - 'X'}
	i := at + 1
	for n := 1; n < 8; n, i = n+1, i+1 {
		if i == len(v) {
			return match{}, l.end()
		}
		if !digit(v[i]) {
			return match{}, no
		}
		d[n] = v[i] - '0'
	}
	if i < len(v) && v[i] == '-' {
		i++
	}
	if i == len(v) {
		return match{}, l.end()
	}
	if !letter(v[i]) || v[i]&^0x20 != spain(d[:]) {
		return match{}, no
	}
	return l.word(NationalID, at, i+1)
}

// finnish reports whether v is DDMMYY, a sign of the century, an order number and one
// of 31 letters by the rest of all digits.
func finnish(v []byte) bool {
	const signs, letters = "+-YXWVUABCDEF", "0123456789ABCDEFHJKLMNPRSTUVWXY"
	sign, last := v[6], v[10]
	if letter(sign) {
		sign &^= 0x20
	}
	if letter(last) {
		last &^= 0x20
	}
	known := false
	for i := range len(signs) {
		known = known || signs[i] == sign
	}
	n := 0
	for i := range 10 {
		if i == 6 {
			continue
		}
		if !digit(v[i]) {
			return false
		}
		n = 10*n + int(v[i]-'0')
	}
	return known && n%1000 >= 2 && day(n/10000000, n/100000%100) && letters[n%31] == last
}

// fiscal looks for an Italian codice fiscale: six letters of the name, the birth date
// and place, and a letter by a sum over the rest. Digits may be written as letters
// (omocodia), the first one seldom.
func (l *look) fiscal(at int) (match, verdict) {
	v := l.v
	if at+16 > len(v) {
		if i := l.pastAlnum(at); i < len(v) || l.final {
			return match{}, no
		}
		return match{}, wait
	}
	var c [16]byte
	for i := range c {
		if c[i] = v[at+i]; letter(c[i]) {
			c[i] &^= 0x20
		} else if !digit(c[i]) {
			return match{}, no
		}
	}
	for i, x := range c {
		switch i {
		case 6, 7, 9, 10, 12, 13, 14:
			if !digit(x) && !(x >= 'L' && x <= 'V' && x != 'O') {
				return match{}, no
			}
		default:
			if digit(x) {
				return match{}, no
			}
		}
	}
	// The month is one of ABCDEHLMPRST, the check letter a sum by 26 (decree of
	// 23 December 1976): odd places by the table, even ones by their place in the alphabet.
	const months = "ABCDEHLMPRST"
	known := false
	for i := range len(months) {
		known = known || months[i] == c[8]
	}
	odd := [26]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for i, x := range c[:15] {
		n := int(x - '0')
		if letter(x) {
			n = int(x - 'A')
		}
		if i%2 == 0 {
			n = odd[n]
		}
		sum += n
	}
	if !known || byte(sum%26)+'A' != c[15] {
		return match{}, no
	}
	return l.word(NationalID, at, at+16)
}

func (l *look) pastAlnum(i int) int {
	for i < len(l.v) && alnum[l.v[i]] {
		i++
	}
	return i
}

// two returns the number that two digits make.
func two(d []byte) int { return int(d[0])*10 + int(d[1]) }

// day reports whether a month has a day, in some year.
func day(d, m int) bool {
	return m >= 1 && m <= 12 && d >= 1 && d <= [...]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[m]
}

// weighed is the sum of digits, each times its weight.
func weighed(d []byte, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += int(d[i]) * w
	}
	return sum
}

// germany checks a tax identification number: of its first ten digits one comes twice
// or three times and no other more than once; ISO/IEC 7064, MOD 11,10.
func germany(d number) bool {
	var count [10]int
	product := 10
	for _, x := range d[:10] {
		count[x]++
		sum := (int(x) + product) % 10
		if sum == 0 {
			sum = 10
		}
		product = sum * 2 % 11
	}
	repeated := 0
	for _, n := range count {
		if n > 3 {
			return false
		}
		if n > 1 {
			repeated++
		}
	}
	return d[0] != 0 && repeated == 1 && (11-product)%10 == int(d[10])
}

// netherlands checks a burgerservicenummer by its test of eleven.
func netherlands(d number) bool {
	return weighed(d[:], 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0 && weighed(d[:], 1, 1, 1, 1, 1, 1, 1, 1, 1) > 0
}

// poland checks a PESEL: the month tells the century.
func poland(d number) bool {
	month := two(d[2:])
	return month < 80 && day(two(d[4:]), month%20) && weighed(d[:], 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0
}

// sweden checks a personnummer or samordningsnummer, whose day is greater by 60:
// Luhn's sum.
func sweden(d number) bool {
	return day(two(d[4:])%60, two(d[2:])) && luhn(d[:10])
}

// swedenLong checks one with its century.
func swedenLong(d number) bool {
	century := two(d[:])
	copy(d[:], d[2:])
	return century >= 18 && century <= 20 && sweden(d)
}

// denmark checks a CPR number by its test of eleven. Since 2007 there are numbers
// that fail it: denmarkSince2007 looks at the date alone.
func denmark(d number) bool {
	return denmarkSince2007(d) && weighed(d[:], 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

func denmarkSince2007(d number) bool { return day(two(d[:]), two(d[2:])) }

// norway checks a fødselsnummer or D-nummer, whose day is greater by 40, or one of the
// health service, whose month is.
func norway(d number) bool {
	return day(two(d[:])%40, two(d[2:])%40) && weighed(d[:], 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 &&
		weighed(d[:], 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

// belgium checks a national register number: 97 minus the rest of its first nine
// digits by 97, with a 2 before them for those born since 2000. In a BIS number the
// month is greater by 20 or 40, and parts of the date may be zero.
func belgium(d number) bool {
	month := two(d[2:]) % 20
	if month > 12 || two(d[2:]) > 52 || two(d[4:]) > 31 {
		return false
	}
	n := 0
	for _, x := range d[:9] {
		n = 10*n + int(x)
	}
	check := two(d[9:])
	return n > 0 && (97-n%97 == check || 97-(2000000000+n)%97 == check)
}

// england checks an NHS number by its sum by eleven.
func england(d number) bool {
	return weighed(d[:], 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)%11 == 0 && weighed(d[:], 1, 1, 1, 1, 1, 1, 1, 1, 1, 1) > 0
}

// unitedStates checks the areas, groups and serials that a social security number
// can have. It has no check digit.
func unitedStates(d number) bool {
	area := int(d[0])*100 + two(d[1:])
	return area != 0 && area != 666 && area < 900 && two(d[3:]) != 0 && (two(d[5:]) != 0 || two(d[7:]) != 0)
}

// brazil checks a CPF: two digits by sums by eleven.
func brazil(d number) bool {
	same := true
	for _, x := range d[:11] {
		same = same && x == d[0]
	}
	first := weighed(d[:], 10, 9, 8, 7, 6, 5, 4, 3, 2) * 10 % 11 % 10
	second := weighed(d[:], 11, 10, 9, 8, 7, 6, 5, 4, 3, 2) * 10 % 11 % 10
	return !same && first == int(d[9]) && second == int(d[10])
}

// india checks an Aadhaar number by Verhoeff's scheme: sums in the dihedral group of
// the pentagon, over permuted digits.
func india(d number) bool {
	if d[0] < 2 {
		return false
	}
	sum := 0
	for i := range 12 {
		sum = dihedral(sum, permuted(i, int(d[11-i])))
	}
	return sum == 0
}

// dihedral is the product of two elements of the group: 0 to 4 turn the pentagon, 5 to
// 9 turn and flip it.
func dihedral(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b-5)%5
	case b < 5:
		return 5 + (a-5-b+5)%5
	}
	return (a - b + 5) % 5
}

// permuted is digit x after n turns of Verhoeff's permutation.
func permuted(n, x int) int {
	for range n % 8 {
		x = [...]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}[x]
	}
	return x
}

// china checks a resident identity number (GB 11643-1999): a province, a birth date
// and ISO/IEC 7064, MOD 11-2.
func china(d number) bool { return chinese(d[:17], int(d[17])) }

func chinese(d []byte, last int) bool {
	century, province := two(d[6:]), two(d)
	return (century == 19 || century == 20) && province >= 11 && province <= 91 && day(two(d[12:]), two(d[10:])) &&
		(12-weighed(d[:], 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11)%11 == last
}
