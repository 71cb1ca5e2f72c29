package value

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// hidden is what stands for hidden words, as everywhere in Sallyport.
const hidden = "****"

// blank is a value in both formats.
type blank struct {
	text   string
	binary string
}

const (
	zero4  = "\x00\x00\x00\x00"
	zero8  = zero4 + zero4
	zero16 = zero8 + zero8
)

// blanks are the values that stand for hidden ones. A kind that is missing has none.
var blanks = map[kind]blank{
	text: {hidden, hidden}, character: {"*", "*"}, boolean: {"f", "\x00"},
	int2: {"0", "\x00\x00"}, int4: {"0", zero4}, int8: {"0", zero8}, oid: {"0", zero4}, xid8: {"0", zero8}, reg: {"-", zero4},
	float4: {"0", zero4}, float8: {"0", zero8}, numeric: {"0", zero8}, money: {"$0.00", zero8},
	bytea: {`\x`, ""}, uuid: {"00000000-0000-0000-0000-000000000000", zero16},
	date: {"2000-01-01", zero4}, clock: {"00:00:00", zero8}, clockZone: {"00:00:00+00", zero8 + zero4},
	timestamp: {"2000-01-01 00:00:00", zero8}, timestampZone: {"2000-01-01 00:00:00+00", zero8}, interval: {"00:00:00", zero16},
	json: {`"` + hidden + `"`, `"` + hidden + `"`}, jsonb: {`"` + hidden + `"`, "\x01\"" + hidden + `"`},
	jsonpath: {`"` + hidden + `"`, "\x01\"" + hidden + `"`}, xml: {"<masked/>", "<masked/>"},
	inet: {"0.0.0.0", "\x02\x20\x00\x04" + zero4}, cidr: {"0.0.0.0/32", "\x02\x20\x01\x04" + zero4},
	macaddr: {"00:00:00:00:00:00", zero4 + "\x00\x00"}, macaddr8: {"00:00:00:00:00:00:00:00", zero8},
	bits: {"0", "\x00\x00\x00\x01\x00"}, tid: {"(0,0)", zero4 + "\x00\x00"}, lsn: {"0/0", zero8},
	point: {"(0,0)", zero16}, lseg: {"[(0,0),(0,0)]", zero16 + zero16}, box: {"(0,0),(0,0)", zero16 + zero16},
	path: {"((0,0))", "\x01\x00\x00\x00\x01" + zero16}, polygon: {"((0,0))", "\x00\x00\x00\x01" + zero16},
	line: {"{1,0,0}", "\x3f\xf0\x00\x00\x00\x00\x00\x00" + zero16}, circle: {"<(0,0),0>", zero16 + zero8},
	tsvector: {"", zero4}, tsquery: {"", zero4}, hstore: {"", zero4},
	rangeKind: {"empty", "\x01"}, multirange: {"{}", zero4}, void: {"", ""},
}

// Blank returns the constant that stands for a hidden value of a type: zero, false,
// nothing, the first day of 2000, the first label, a row of NULLs, "****". False means that the type has none that
// drivers can be trusted to decode, and NULL must stand for it.
func Blank(t Type, format int16) (v []byte, ok bool) {
	k := t.kind()
	switch {
	case format != TextFormat && format != BinaryFormat:
		return nil, false
	case k == array && format == TextFormat:
		return []byte("{}"), true
	case k == vector && format == TextFormat:
		return []byte{}, true
	case k == vector: // one dimension, no NULLs, the type of the elements, of which there are none
		v := binary.BigEndian.AppendUint32([]byte("\x00\x00\x00\x01"+zero4), elements[t.OID])
		return append(v, zero8...), true
	case k == array: // no dimensions
		elem := elements[t.OID]
		if elem == 0 {
			elem = t.Elem
		}
		return binary.BigEndian.AppendUint32([]byte(zero8), elem), elem != 0
	}
	switch {
	case k == enum && t.Label != "": // the same in both formats
		return []byte(t.Label), true
	case k == record && len(t.Fields) > 0 && format == TextFormat: // of NULLs
		return []byte("(" + strings.Repeat(",", len(t.Fields)-1) + ")"), true
	case k == record && len(t.Fields) > 0:
		v := binary.BigEndian.AppendUint32(nil, uint32(len(t.Fields)))
		for _, oid := range t.Fields {
			v = append(binary.BigEndian.AppendUint32(v, oid), "\xff\xff\xff\xff"...)
		}
		return v, true
	}
	b, ok := blanks[k]
	if !ok {
		return nil, false
	}
	if format == TextFormat {
		return []byte(b.text), true
	}
	return append([]byte{}, b.binary...), true
}

// Number returns n, a keyed hash of a hidden value, as a positive value of a numeric
// type, or as a UUID (version 8, RFC 9562). Where the type is smaller than n, part of
// n is used, so that two values may have one pseudonym: every 32,767th does in a
// smallint. Decimal numbers have at most fifteen digits, so that a program may read
// them as floating point. False for other types.
func Number(t Type, format int16, n uint64) ([]byte, bool) {
	const digits15 = 1_000_000_000_000_000
	size := 0
	switch t.kind() {
	case int2:
		n, size = n%math.MaxInt16+1, 2
	case int4:
		n, size = n%math.MaxInt32+1, 4
	case int8:
		n, size = n%math.MaxInt64+1, 8
	case oid:
		n, size = n%math.MaxUint32+1, 4
	case xid8:
		n, size = n|1, 8
	case numeric, float8:
		n = n%(digits15-1) + 1
	case money:
		n, size = n%(digits15-1)+1, 8
	case float4:
		n = n%(1<<24-1) + 1
	case uuid:
		return pseudoUUID(format, n)
	default:
		return nil, false
	}
	switch format {
	case TextFormat:
		if t.kind() == money {
			return appendMoney(nil, int64(n)), true
		}
		return strconv.AppendUint(nil, n, 10), true
	case BinaryFormat:
	default:
		return nil, false
	}
	switch t.kind() {
	case numeric:
		return binaryNumeric(n), true
	case float8:
		return binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(n))), true
	case float4:
		return binary.BigEndian.AppendUint32(nil, math.Float32bits(float32(n))), true
	}
	return binary.BigEndian.AppendUint64(nil, n)[8-size:], true
}

// binaryNumeric writes a whole number as numeric_send does: digits by ten thousands.
func binaryNumeric(n uint64) []byte {
	var groups [5]uint16
	count := 0
	for ; n > 0; n /= 10000 {
		groups[count] = uint16(n % 10000)
		count++
	}
	v := binary.BigEndian.AppendUint16(nil, uint16(count))
	v = binary.BigEndian.AppendUint16(v, uint16(max(count-1, 0))) // the weight of the first
	v = append(v, zero4...)                                       // no sign, no decimals
	for i := count - 1; i >= 0; i-- {
		v = binary.BigEndian.AppendUint16(v, groups[i])
	}
	return v
}

// pseudoUUID spreads n over the 122 bits of a version 8 UUID.
func pseudoUUID(format int16, n uint64) ([]byte, bool) {
	v := binary.BigEndian.AppendUint64(nil, n)
	// The bits of n that version and variant take are kept in the other half.
	v = binary.BigEndian.AppendUint64(v, n*0x9e3779b97f4a7c15)
	v[6], v[8] = v[6]&0x0f|0x80, v[8]&0x3f|0x80
	switch format {
	case TextFormat:
		return appendUUID(nil, v), true
	case BinaryFormat:
		return v, true
	}
	return nil, false
}
