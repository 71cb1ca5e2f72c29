package postgres

import (
	"strconv"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// types names PostgreSQL's own common types by OID; src/include/catalog/pg_type.dat
// lists them all, and they never change.
var types = map[uint32]string{
	16: "boolean", 17: "bytea", 18: `"char"`, 19: "name", 20: "bigint", 21: "smallint", 23: "integer", 24: "regproc", 25: "text",
	26: "oid", 27: "tid", 28: "xid", 29: "cid", 114: "json", 142: "xml", 194: "pg_node_tree", 600: "point", 650: "cidr",
	700: "real", 701: "double precision", 705: "unknown", 790: "money", 829: "macaddr", 869: "inet", 1000: "boolean[]",
	1003: "name[]", 1005: "smallint[]", 1007: "integer[]", 1009: "text[]", 1014: "character[]", 1015: "character varying[]",
	1016: "bigint[]", 1021: "real[]", 1022: "double precision[]", 1028: "oid[]", 1034: "aclitem[]", 1042: "character",
	1043: "character varying", 1082: "date", 1083: "time without time zone", 1114: "timestamp without time zone",
	1184: "timestamp with time zone", 1186: "interval", 1231: "numeric[]", 1266: "time with time zone", 1560: "bit",
	1562: "bit varying", 1700: "numeric", 1790: "refcursor", 2202: "regprocedure", 2205: "regclass", 2206: "regtype",
	2249: "record", 2278: "void", 2950: "uuid", 3220: "pg_lsn", 3614: "tsvector", 3615: "tsquery", 3802: "jsonb",
	3904: "int4range", 3906: "numrange", 3908: "tsrange", 3910: "tstzrange", 3912: "daterange", 3926: "int8range",
	4072: "jsonpath", 4089: "regnamespace", 4096: "regrole", 5069: "xid8",
}

// numeric holds the OIDs of types that people read as numbers.
var numeric = map[uint32]bool{20: true, 21: true, 23: true, 26: true, 700: true, 701: true, 790: true, 1700: true}

func typeName(s *catalog.Snapshot, oid uint32) string {
	if n := types[oid]; n != "" {
		return n
	}
	if n := s.TypeName(oid); n != "" {
		return n
	}
	return "type " + strconv.FormatUint(uint64(oid), 10)
}
