package value

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// Limit is the size in bytes at which the text of a value of unknown form is cut.
	Limit = 1 << 20

	// depth is how deep arrays, rows and ranges may lie in one another.
	depth = 6
)

// Text returns a value in words, for transcripts, for detectors and for masks that
// keep a part: as the server writes it, with dates in ISO form, times in UTC and
// names of objects as numbers. Text format, and words in any format, are returned as
// they are, sharing memory with v. What cannot be decoded comes out as \x and
// hexadecimal digits, cut at Limit with three dots at the end, or as words if it is
// UTF-8 without control characters and the type is not known. Nil, NULL, stays nil.
//
// The time and memory that it takes grow with len(v) alone, whatever v says.
func Text(t Type, format int16, v []byte) []byte {
	if v == nil || format == TextFormat {
		return v
	}
	k := t.kind()
	if format == BinaryFormat && (k == text || k == json || k == xml || k == enum) {
		return v
	}
	return AppendText(make([]byte, 0, len(v)+16), t, format, v) // not nil, which is NULL, if it is empty
}

// AppendText is [Text], appended to dst.
func AppendText(dst []byte, t Type, format int16, v []byte) []byte {
	w := writer{out: dst, most: len(dst) + 4*len(v) + Limit/4}
	if format == TextFormat {
		return append(dst, v...)
	}
	if format != BinaryFormat || !w.value(t, v, depth) {
		w.out = appendHex(w.out[:len(dst)], v)
	}
	return w.out
}

func appendHex(dst, v []byte) []byte {
	dst = append(dst, `\x`...)
	if len(v) > Limit/2 {
		return append(hex.AppendEncode(dst, v[:Limit/2]), "..."...)
	}
	return hex.AppendEncode(dst, v)
}

// writer writes values as text, and stops where the text is out of proportion.
type writer struct {
	out  []byte
	most int
}

// reader reads a value's bytes. What is beyond the end is zero, and short is set.
type reader struct {
	v     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.v) {
		r.short, r.v = true, nil
		return nil
	}
	v := r.v[:n:n]
	r.v = r.v[n:]
	return v
}

func (r *reader) uint8() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// field reads a length and as many bytes; nil is NULL.
func (r *reader) field() []byte {
	n := int32(r.uint32())
	if n == -1 {
		return nil
	}
	if v := r.take(int(n)); v != nil {
		return v
	}
	return []byte{}
}

// ended reports whether all was read, and nothing was missing.
func (r *reader) ended() bool { return !r.short && len(r.v) == 0 }

// value appends a binary value and reports whether it could be decoded.
func (w *writer) value(t Type, v []byte, deep int) bool {
	r := &reader{v: v}
	switch t.kind() {
	case text, json, xml, enum, character:
		w.out = append(w.out, v...)
		return true
	case other:
		if !words(v) {
			return false
		}
		w.out = append(w.out, v...)
		return true
	case jsonb, jsonpath:
		if r.uint8() != 1 {
			return false
		}
		w.out = append(w.out, r.v...)
		return true
	case boolean:
		if r.uint8() != 0 {
			w.out = append(w.out, 't')
		} else {
			w.out = append(w.out, 'f')
		}
	case int2:
		w.out = strconv.AppendInt(w.out, int64(int16(r.uint16())), 10)
	case int4:
		w.out = strconv.AppendInt(w.out, int64(int32(r.uint32())), 10)
	case int8:
		w.out = strconv.AppendInt(w.out, int64(r.uint64()), 10)
	case oid, reg:
		w.out = strconv.AppendUint(w.out, uint64(r.uint32()), 10)
	case xid8:
		w.out = strconv.AppendUint(w.out, r.uint64(), 10)
	case float4:
		w.out = appendFloat(w.out, float64(math.Float32frombits(r.uint32())), 32)
	case float8:
		w.out = appendFloat(w.out, math.Float64frombits(r.uint64()), 64)
	case numeric:
		return w.numeric(r)
	case money:
		w.out = appendMoney(w.out, int64(r.uint64()))
	case bytea:
		w.out = appendHex(w.out, v)
		return true
	case uuid:
		if len(v) != 16 {
			return false
		}
		w.out = appendUUID(w.out, v)
		return true
	case date:
		w.date(int32(r.uint32()))
	case clock:
		w.clock(int64(r.uint64()))
	case clockZone:
		w.clock(int64(r.uint64()))
		w.zone(int32(r.uint32()))
	case timestamp:
		w.timestamp(int64(r.uint64()), "")
	case timestampZone:
		w.timestamp(int64(r.uint64()), "+00")
	case interval:
		w.interval(int64(r.uint64()), int32(r.uint32()), int32(r.uint32()))
	case inet, cidr:
		return w.inet(r, t.kind() == cidr)
	case macaddr, macaddr8:
		if len(v) != 6 && len(v) != 8 {
			return false
		}
		for i, b := range v {
			if i > 0 {
				w.out = append(w.out, ':')
			}
			w.out = hex.AppendEncode(w.out, []byte{b})
		}
		return true
	case bits:
		return w.bits(r)
	case tid:
		w.out = strconv.AppendUint(append(w.out, '('), uint64(r.uint32()), 10)
		w.out = strconv.AppendUint(append(w.out, ','), uint64(r.uint16()), 10)
		w.out = append(w.out, ')')
	case lsn:
		w.out = append(w.out, strings.ToUpper(strconv.FormatUint(uint64(r.uint32()), 16)+"/"+strconv.FormatUint(uint64(r.uint32()), 16))...)
	case point, lseg, path, box, polygon, line, circle:
		return w.shape(t.kind(), r)
	case tsvector:
		return w.tsvector(r)
	case hstore:
		return w.hstore(r)
	case rangeKind:
		return w.rangeOf(Type{OID: bounds[t.OID]}, r, deep)
	case multirange:
		return w.multirange(Type{OID: bounds[t.OID]}, r, deep)
	case array, vector:
		return w.array(t, r, deep)
	case record:
		return w.record(r, deep)
	case void:
	default:
		return false
	}
	return r.ended()
}

// words reports whether v looks like words.
func words(v []byte) bool {
	if !utf8.Valid(v) {
		return false
	}
	for _, c := range string(v) {
		if unicode.IsControl(c) && c != '\n' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// appendFloat writes the shortest number that reads back as f, with an exponent where
// PostgreSQL has one (src/common/d2s.c and f2s.c).
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	top := 15
	if bits == 32 {
		top = 6
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, bits)
	e := bytes.LastIndexByte(dst[start:], 'e')
	exponent, _ := strconv.Atoi(string(dst[start+e+1:])) // always a number
	if exponent < -4 || exponent >= top {
		return dst
	}
	return strconv.AppendFloat(dst[:start], f, 'f', -1, bits)
}

func (w *writer) numeric(r *reader) bool {
	count, weight, sign, scale := int(r.uint16()), int(int16(r.uint16())), r.uint16(), int(r.uint16())
	if r.short || len(r.v) != 2*count || scale > 0x3fff {
		return false
	}
	switch sign {
	case 0x0000:
	case 0x4000:
		w.out = append(w.out, '-')
	case 0xc000:
		w.out = append(w.out, "NaN"...)
		return count == 0
	case 0xd000:
		w.out = append(w.out, "Infinity"...)
		return count == 0
	case 0xf000:
		w.out = append(w.out, "-Infinity"...)
		return count == 0
	default:
		return false
	}
	group := func(i int) [4]byte { // the digits of 10000 to the power of i
		n := uint16(0)
		if at := weight - i; at >= 0 && at < count {
			n = binary.BigEndian.Uint16(r.v[2*at:])
		}
		return [4]byte{'0' + byte(n/1000%10), '0' + byte(n/100%10), '0' + byte(n/10%10), '0' + byte(n%10)}
	}
	start := len(w.out)
	for i := weight; i >= 0; i-- {
		g := group(i)
		w.out = append(w.out, g[:]...)
	}
	zeros := 0
	for start+zeros < len(w.out)-1 && w.out[start+zeros] == '0' {
		zeros++
	}
	w.out = append(w.out[:start], w.out[start+zeros:]...)
	if weight < 0 {
		w.out = append(w.out, '0')
	}
	if scale > 0 {
		w.out = append(w.out, '.')
		end := len(w.out) + scale
		for i := -1; len(w.out) < end; i-- {
			g := group(i)
			w.out = append(w.out, g[:]...)
		}
		w.out = w.out[:end]
	}
	return true
}

// appendMoney writes cents as the C locale does.
func appendMoney(dst []byte, cents int64) []byte {
	n := uint64(cents)
	if cents < 0 {
		n = -n
		dst = append(dst, '-')
	}
	dst = append(dst, '$')
	whole := strconv.FormatUint(n/100, 10)
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, whole[i])
	}
	return append(dst, '.', '0'+byte(n/10%10), '0'+byte(n%10))
}

func appendUUID(dst, v []byte) []byte {
	for i, part := range [][]byte{v[:4], v[4:6], v[6:8], v[8:10], v[10:16]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// pad appends n with at least width digits.
func (w *writer) pad(n int64, width int) {
	s := strconv.FormatInt(n, 10)
	for i := len(s); i < width; i++ {
		w.out = append(w.out, '0')
	}
	w.out = append(w.out, s...)
}

// day appends a day, counted from 2000-01-01, and returns whether it is before Christ.
func (w *writer) day(days int64) (bc bool) {
	// Days are counted from the first of March of the year 0, in cycles of 400 years.
	days += 730425
	cycle := floor(days, 146097)
	d := days - cycle*146097
	year := (d - d/1460 + d/36524 - d/146096) / 365
	d -= 365*year + year/4 - year/100
	month := (5*d + 2) / 153
	d -= (153*month + 2) / 5
	year += 400 * cycle
	if month += 3; month > 12 {
		month -= 12
		year++
	}
	if bc = year <= 0; bc {
		year = 1 - year
	}
	w.pad(year, 4)
	w.out = append(w.out, '-')
	w.pad(month, 2)
	w.out = append(w.out, '-')
	w.pad(d+1, 2)
	return bc
}

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (w *writer) date(days int32) {
	switch days {
	case math.MaxInt32:
		w.out = append(w.out, "infinity"...)
	case math.MinInt32:
		w.out = append(w.out, "-infinity"...)
	default:
		if w.day(int64(days)) {
			w.out = append(w.out, " BC"...)
		}
	}
}

// clock appends microseconds as hours, minutes, seconds and what is left.
func (w *writer) clock(us int64) {
	n := uint64(us)
	if us < 0 {
		n = -n
		w.out = append(w.out, '-')
	}
	s := n / 1e6
	w.pad(int64(s/3600), 2)
	w.out = append(w.out, ':')
	w.pad(int64(s/60%60), 2)
	w.out = append(w.out, ':')
	w.pad(int64(s%60), 2)
	if n %= 1e6; n > 0 {
		w.out = append(w.out, '.')
		w.pad(int64(n), 6)
		for w.out[len(w.out)-1] == '0' {
			w.out = w.out[:len(w.out)-1]
		}
	}
}

// zone appends an offset in seconds west of Greenwich as one to the east.
func (w *writer) zone(west int32) {
	east := -int64(west)
	sign := byte('+')
	if east < 0 {
		sign, east = '-', -east
	}
	w.out = append(w.out, sign)
	w.pad(east/3600, 2)
	if east%3600 != 0 {
		w.out = append(w.out, ':')
		w.pad(east/60%60, 2)
	}
	if east%60 != 0 {
		w.out = append(w.out, ':')
		w.pad(east%60, 2)
	}
}

func (w *writer) timestamp(us int64, zone string) {
	const day = 24 * 3600 * 1e6
	switch us {
	case math.MaxInt64:
		w.out = append(w.out, "infinity"...)
		return
	case math.MinInt64:
		w.out = append(w.out, "-infinity"...)
		return
	}
	days := floor(us, day)
	bc := w.day(days)
	w.out = append(w.out, ' ')
	w.clock(us - days*day)
	w.out = append(w.out, zone...)
	if bc {
		w.out = append(w.out, " BC"...)
	}
}

// interval appends one as IntervalStyle postgres has it.
func (w *writer) interval(us int64, days, months int32) {
	switch {
	case us == math.MaxInt64 && days == math.MaxInt32 && months == math.MaxInt32:
		w.out = append(w.out, "infinity"...)
		return
	case us == math.MinInt64 && days == math.MinInt32 && months == math.MinInt32:
		w.out = append(w.out, "-infinity"...)
		return
	}
	first, before := true, false
	for _, p := range [...]struct {
		n    int32
		unit string
	}{{months / 12, "year"}, {months % 12, "mon"}, {days, "day"}} {
		if p.n == 0 {
			continue
		}
		if !first {
			w.out = append(w.out, ' ')
		}
		if before && p.n > 0 {
			w.out = append(w.out, '+')
		}
		w.out = strconv.AppendInt(w.out, int64(p.n), 10)
		w.out = append(append(w.out, ' '), p.unit...)
		if p.n != 1 {
			w.out = append(w.out, 's')
		}
		first, before = false, p.n < 0
	}
	if us == 0 && !first {
		return
	}
	if !first {
		w.out = append(w.out, ' ')
	}
	if before && us > 0 {
		w.out = append(w.out, '+')
	}
	w.clock(us)
}

func (w *writer) inet(r *reader, network bool) bool {
	family, bits, _, size := r.uint8(), r.uint8(), r.uint8(), r.uint8()
	if r.short || len(r.v) != int(size) || !(family == 2 && size == 4) && !(family == 3 && size == 16) || bits > 8*size {
		return false
	}
	a, ok := netip.AddrFromSlice(r.v)
	if !ok {
		return false
	}
	w.out = a.AppendTo(w.out)
	if network || bits != 8*size {
		w.out = strconv.AppendUint(append(w.out, '/'), uint64(bits), 10)
	}
	return true
}

func (w *writer) bits(r *reader) bool {
	n := int64(r.uint32())
	if r.short || int64(len(r.v)) != (n+7)/8 {
		return false
	}
	for i := range n {
		if i%1024 == 0 && len(w.out) > w.most {
			w.out = append(w.out, "..."...)
			return true
		}
		w.out = append(w.out, '0'+r.v[i/8]>>(7-i%8)&1)
	}
	return true
}

// shape appends a geometric value.
func (w *writer) shape(k kind, r *reader) bool {
	number := func() { w.out = appendFloat(w.out, math.Float64frombits(r.uint64()), 64) }
	point := func() {
		w.out = append(w.out, '(')
		number()
		w.out = append(w.out, ',')
		number()
		w.out = append(w.out, ')')
	}
	points := func(n int, open, end string) {
		w.out = append(w.out, open...)
		for i := range n {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			point()
		}
		w.out = append(w.out, end...)
	}
	open, end := "(", ")"
	switch k {
	case path:
		if r.uint8() == 0 {
			open, end = "[", "]"
		}
		fallthrough
	case polygon:
		n := int64(r.uint32())
		if r.short || int64(len(r.v)) != 16*n {
			return false
		}
		points(int(n), open, end)
	case lseg:
		points(2, "[", "]")
	case box:
		points(2, "", "")
	case line:
		w.out = append(w.out, '{')
		for i := range 3 {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			number()
		}
		w.out = append(w.out, '}')
	case circle:
		w.out = append(w.out, '<')
		point()
		w.out = append(w.out, ',')
		number()
		w.out = append(w.out, '>')
	default:
		point()
	}
	return r.ended()
}

func (w *writer) tsvector(r *reader) bool {
	n := int64(r.uint32())
	if n > int64(len(r.v))/3 {
		return false
	}
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ' ')
		}
		end := bytes.IndexByte(r.v, 0)
		if end < 0 {
			return false
		}
		w.out = append(w.out, '\'')
		for _, c := range r.take(end) {
			if c == '\'' || c == '\\' {
				w.out = append(w.out, c)
			}
			w.out = append(w.out, c)
		}
		w.out = append(w.out, '\'')
		r.take(1)
		for p := range r.uint16() {
			sep := byte(',')
			if p == 0 {
				sep = ':'
			}
			place := r.uint16()
			if r.short {
				return false
			}
			w.out = strconv.AppendUint(append(w.out, sep), uint64(place&0x3fff), 10)
			if weight := place >> 14; weight > 0 {
				w.out = append(w.out, "DCBA"[weight])
			}
		}
	}
	return r.ended()
}

func (w *writer) hstore(r *reader) bool {
	n := int64(r.uint32())
	if n > int64(len(r.v))/8 {
		return false
	}
	quote := func(v []byte) {
		w.out = append(w.out, '"')
		for _, c := range v {
			if c == '"' || c == '\\' {
				w.out = append(w.out, '\\')
			}
			w.out = append(w.out, c)
		}
		w.out = append(w.out, '"')
	}
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ", "...)
		}
		quote(r.field())
		w.out = append(w.out, "=>"...)
		if v := r.field(); v == nil {
			w.out = append(w.out, "NULL"...)
		} else {
			quote(v)
		}
	}
	return r.ended()
}

// within appends a value that lies in another one, and returns where it begins.
func (w *writer) within(t Type, v []byte, deep int) (start int, ok bool) {
	start = len(w.out)
	return start, deep > 0 && len(w.out) <= w.most && w.value(t, v, deep-1)
}

// The bytes for which arrays, and rows and ranges, put a value in quotes.
const (
	spaces       = " \t\n\r\v\f"
	arraySpecial = "{},\"\\" + spaces
	boxSpecial   = "{};\"\\" + spaces
	rowSpecial   = "(),\"\\" + spaces
	rangeSpecial = "()[],\"\\" + spaces
)

// quote puts what was appended from start on in quotes, if it is empty or has a byte
// of special in it, and a byte before each quote and backslash: another of the same,
// or a backslash.
func (w *writer) quote(start int, special string, double bool) {
	part := w.out[start:]
	if len(part) > 0 && !bytes.ContainsAny(part, special) {
		return
	}
	extra := 2
	for _, c := range part {
		if c == '"' || c == '\\' {
			extra++
		}
	}
	end := len(w.out)
	w.out = append(w.out, make([]byte, extra)...)
	to := len(w.out) - 1
	w.out[to] = '"'
	for from := end - 1; from >= start; from-- {
		c := w.out[from]
		to--
		w.out[to] = c
		if c == '"' || c == '\\' {
			to--
			if w.out[to] = '\\'; double {
				w.out[to] = c
			}
		}
	}
	w.out[start] = '"'
}

func (w *writer) array(t Type, r *reader, deep int) bool {
	dims := int(r.uint32())
	r.uint32() // whether there are NULLs
	elem := Type{OID: r.uint32()}
	if r.short || dims < 0 || dims > 6 {
		return false
	}
	var size [6]int
	total, shifted := 1, false
	if dims == 0 {
		total = 0
	}
	var lower [6]int32
	for i := range dims {
		n := int64(int32(r.uint32()))
		lower[i] = int32(r.uint32())
		shifted = shifted || lower[i] != 1
		if r.short || n < 0 || n*int64(total) > int64(len(r.v)) { // each element has four bytes or more
			return false
		}
		size[i] = int(n)
		total *= int(n)
	}
	if total > len(r.v)/4 {
		return false
	}
	if t.kind() == vector {
		for i := range total {
			if i > 0 {
				w.out = append(w.out, ' ')
			}
			if _, ok := w.within(elem, r.field(), deep); !ok {
				return false
			}
		}
		return r.ended()
	}
	if total == 0 {
		w.out = append(w.out, "{}"...)
		return r.ended()
	}
	if shifted {
		for i := range dims {
			w.out = strconv.AppendInt(append(w.out, '['), int64(lower[i]), 10)
			w.out = strconv.AppendInt(append(w.out, ':'), int64(lower[i])+int64(size[i])-1, 10)
			w.out = append(w.out, ']')
		}
		w.out = append(w.out, '=')
	}
	delimiter, special := byte(','), arraySpecial
	if elem.kind() == box {
		delimiter, special = ';', boxSpecial
	}
	for i := range total {
		if i > 0 {
			w.out = append(w.out, delimiter)
		}
		w.braces('{', i, size[:dims])
		v := r.field()
		if v == nil {
			w.out = append(w.out, "NULL"...)
		} else {
			start, ok := w.within(elem, v, deep)
			if !ok {
				return false
			}
			if bytes.EqualFold(w.out[start:], []byte("null")) {
				w.quote(start, "nN", false)
			} else {
				w.quote(start, special, false)
			}
		}
		if r.short {
			return false
		}
		// A row ends where the next element begins one.
		w.braces('}', i+1, size[:dims])
	}
	return r.ended()
}

// braces appends one brace for each dimension whose rows begin at element i.
func (w *writer) braces(c byte, i int, size []int) {
	row := 1
	for d := len(size) - 1; d >= 0; d-- {
		row *= size[d]
		if i%row != 0 {
			return
		}
		w.out = append(w.out, c)
	}
}

func (w *writer) record(r *reader, deep int) bool {
	n := int64(r.uint32())
	if r.short || n > int64(len(r.v))/8 {
		return false
	}
	w.out = append(w.out, '(')
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		t := Type{OID: r.uint32()}
		v := r.field()
		if r.short {
			return false
		}
		if v == nil {
			continue
		}
		start, ok := w.within(t, v, deep)
		if !ok {
			return false
		}
		w.quote(start, rowSpecial, true)
	}
	w.out = append(w.out, ')')
	return r.ended()
}

func (w *writer) rangeOf(t Type, r *reader, deep int) bool {
	const empty, lowerIn, upperIn, noLower, noUpper = 1, 2, 4, 8, 16
	flags := r.uint8()
	if flags&empty != 0 {
		w.out = append(w.out, "empty"...)
		return r.ended()
	}
	bound := func(missing byte) bool {
		if flags&missing != 0 {
			return true
		}
		start, ok := w.within(t, r.field(), deep)
		w.quote(start, rangeSpecial, true)
		return ok && !r.short
	}
	open, end := byte('('), byte(')')
	if flags&lowerIn != 0 {
		open = '['
	}
	if flags&upperIn != 0 {
		end = ']'
	}
	w.out = append(w.out, open)
	if !bound(noLower) {
		return false
	}
	w.out = append(w.out, ',')
	if !bound(noUpper) {
		return false
	}
	w.out = append(w.out, end)
	return r.ended()
}

func (w *writer) multirange(t Type, r *reader, deep int) bool {
	n := int64(r.uint32())
	if r.short || n > int64(len(r.v))/5 {
		return false
	}
	w.out = append(w.out, '{')
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		v := r.field()
		if r.short || deep == 0 || !w.rangeOf(t, &reader{v: v}, deep-1) {
			return false
		}
	}
	w.out = append(w.out, '}')
	return r.ended()
}
