// Package value knows PostgreSQL's types as far as hiding their values needs it: a
// value in words, the constant that stands for a hidden one, and a number or UUID
// that stands for a pseudonym, each in text and in binary format, so that drivers
// decode what they are given. It trusts no length that a server sends.
//
// The formats are those of the types' input, output, send and receive functions, in
// src/backend/utils/adt of PostgreSQL's source.
package value

// The formats of a value on the wire (protocol 3.0, RowDescription and Bind).
const (
	TextFormat   int16 = 0
	BinaryFormat int16 = 1
)

// Type is what is known of a type. The OID is enough for PostgreSQL's own types;
// those of a database have other OIDs in each, and need the rest.
type Type struct {
	OID  uint32
	Name string // typname, of an extension's type: citext, hstore
	// Category is typcategory: S for words, E for an enumeration, A for an array, C for a
	// row, R for a range; and M for a multirange, which PostgreSQL counts among ranges.
	Category byte
	Elem     uint32   // typelem: the OID of an array's elements
	Label    string   // the first one of an enumeration
	Fields   []uint32 // the OIDs of a row's fields
}

// kind is a way in which types write their values.
type kind uint8

const (
	other kind = iota
	text
	character // "char"
	enum
	boolean
	int2
	int4
	int8
	oid  // four bytes without a sign
	xid8 // eight
	reg  // an OID that text shows as a name
	float4
	float8
	numeric
	money
	bytea
	uuid
	date
	clock
	clockZone
	timestamp
	timestampZone
	interval
	json
	jsonb
	jsonpath
	xml
	inet
	cidr
	macaddr
	macaddr8
	bits
	tid
	lsn
	point
	lseg
	path
	box
	polygon
	line
	circle
	tsvector
	tsquery
	hstore
	rangeKind
	multirange
	array
	vector // int2vector and oidvector: arrays in binary, numbers with spaces in text
	record
	void
)

// kinds are those of PostgreSQL's own types, by OID (src/include/catalog/pg_type.dat).
// Arrays are in elements.
var kinds = map[uint32]kind{
	16: boolean, 17: bytea, 18: character, 19: text, 20: int8, 21: int2, 22: vector, 23: int4, 24: reg, 25: text, 26: oid, 27: tid,
	28: oid, 29: oid, 30: vector, 114: json, 142: xml, 194: text, 600: point, 601: lseg, 602: path, 603: box, 604: polygon, 628: line, 650: cidr,
	700: float4, 701: float8, 705: text, 718: circle, 774: macaddr8, 790: money, 829: macaddr, 869: inet, 1042: text, 1043: text,
	1082: date, 1083: clock, 1114: timestamp, 1184: timestampZone, 1186: interval, 1266: clockZone, 1560: bits, 1562: bits,
	1700: numeric, 1790: text, 2202: reg, 2203: reg, 2204: reg, 2205: reg, 2206: reg, 2249: record, 2275: text, 2278: void, 2950: uuid,
	3220: lsn, 3614: tsvector, 3615: tsquery, 3734: reg, 3769: reg, 3802: jsonb, 4072: jsonpath, 4089: reg, 4096: reg, 4191: reg, 5069: xid8,
	3904: rangeKind, 3906: rangeKind, 3908: rangeKind, 3910: rangeKind, 3912: rangeKind, 3926: rangeKind,
	4451: multirange, 4532: multirange, 4533: multirange, 4534: multirange, 4535: multirange, 4536: multirange,
	2287: array,
}

// elements are the types of arrays' elements.
var elements = map[uint32]uint32{
	22: 21, 30: 26, 143: 142, 199: 114, 271: 5069, 629: 628, 651: 650, 719: 718, 775: 774, 791: 790, 1000: 16, 1001: 17, 1002: 18, 1003: 19, 1005: 21,
	1006: 22, 1007: 23, 1008: 24, 1009: 25, 1010: 27, 1011: 28, 1012: 29, 1013: 30, 1014: 1042, 1015: 1043, 1016: 20, 1017: 600, 1018: 601,
	1019: 602, 1020: 603, 1021: 700, 1022: 701, 1027: 604, 1028: 26, 1034: 1033, 1040: 829, 1041: 869, 1115: 1114, 1182: 1082, 1183: 1083,
	1185: 1184, 1187: 1186, 1231: 1700, 1263: 2275, 1270: 1266, 1561: 1560, 1563: 1562, 2201: 1790, 2207: 2202, 2208: 2203, 2209: 2204, 2210: 2205,
	2211: 2206, 2287: 2249, 2949: 2970, 2951: 2950, 3221: 3220, 3643: 3614, 3644: 3642, 3645: 3615, 3735: 3734, 3770: 3769, 3807: 3802,
	3905: 3904, 3907: 3906, 3909: 3908, 3911: 3910, 3913: 3912, 3927: 3926, 4073: 4072, 4090: 4089, 4097: 4096, 4192: 4191, 5039: 5038,
	6150: 4451, 6151: 4532, 6152: 4533, 6153: 4534, 6155: 4535, 6157: 4536,
}

// bounds are the types of ranges' bounds, by range and by multirange.
var bounds = map[uint32]uint32{
	3904: 23, 3906: 1700, 3908: 1114, 3910: 1184, 3912: 1082, 3926: 20,
	4451: 23, 4532: 1700, 4533: 1114, 4534: 1184, 4535: 1082, 4536: 20,
}

func (t Type) kind() kind {
	if k, ok := kinds[t.OID]; ok {
		return k
	}
	if elements[t.OID] != 0 {
		return array
	}
	switch t.Name {
	case "citext":
		return text
	case "hstore":
		return hstore
	}
	switch t.Category {
	case 'S':
		return text
	case 'E':
		return enum
	case 'A':
		return array
	case 'C':
		return record
	case 'R':
		return rangeKind
	case 'M':
		return multirange
	}
	return other
}

// IsText reports whether values of a type are words, the same in both formats, so
// that a mask may leave other words: **** or a***@example.com.
func IsText(t Type) bool { return t.kind() == text }

// Inline reports whether a part of a value can be replaced by other letters where it
// stands and the value is still one of its type, in both formats: words, JSON, XML.
// (jsonb has a byte before its text in binary format, which is no letter.)
func Inline(t Type) bool {
	switch t.kind() {
	case text, json, jsonb, xml:
		return true
	}
	return false
}

// IsJSON reports whether values of a type are JSON, of which one may be a lone number.
func IsJSON(t Type) bool {
	k := t.kind()
	return k == json || k == jsonb
}
