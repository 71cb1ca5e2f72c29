package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// reaching says in words, and without a word of the target's own, why there is no
// connection.
func reaching(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pe.Code {
		case "28P01", "28000":
			return &bastion.TargetError{Code: pe.Code, Summary: "the target refused the bastion's credential; tell whoever runs the bastion"}
		case "3D000":
			return &bastion.TargetError{Code: pe.Code, Summary: "the target has no database of the configured name; tell whoever runs the bastion"}
		}
		return &bastion.TargetError{Code: pe.Code, Summary: "the target refused the connection: " + condition(pe.Code)}
	}
	return &bastion.TargetError{Summary: "the target cannot be reached: " + why(err)}
}

func why(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is not signed by the configured authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is for another name"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "its certificate has expired or is not valid yet"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate cannot be verified"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return "its name is not known"
	}
	switch {
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "it does not offer TLS"
	case strings.Contains(err.Error(), "require_auth check failed"):
		return "it asks for the password in a way that is not safe without a verified certificate"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at its address"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), timeout(err):
		return "it did not answer in time"
	}
	return "the connection broke while it was made"
}

func timeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// failed turns an error of a running statement into one for people. Only what
// speaks of the person's own text goes into the summary.
func (c *reading) failed(err error, class lineage.Class) error {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return &bastion.TargetError{Summary: "the connection to the target was lost; open the target again", Lost: true}
	}
	te := c.serverError(pe, class, nil)
	if te.Code == "25P02" {
		te.Summary = "the transaction has failed, and nothing but ROLLBACK runs until it ends"
	}
	return te
}

// serverError is an error of the server's, and its own bytes for who may see them.
func (c *reading) serverError(pe *pgconn.PgError, class lineage.Class, native []byte) *bastion.TargetError {
	te := &bastion.TargetError{Code: sqlState(pe), Summary: condition(pe.Code), Detail: detail(pe), Position: int(pe.Position), Native: native}
	switch {
	case c.sentence(pe, class):
		te.Summary, te.Detail, te.Named = pe.Message, details(pe), named(pe)
	case own(pe, class):
		te.Summary, te.Detail = pe.Message, details(pe)
	case strings.HasPrefix(pe.Code, "23") && byServer(pe, class):
		if pe.ConstraintName != "" {
			te.Summary += " of constraint " + pe.ConstraintName
		}
		if pe.TableName != "" {
			te.Summary += " on table " + pe.TableName
		}
		te.Named = named(pe)
	}
	return te
}

// sqlState is an error's SQLSTATE, if it is one of those that carry no data: a function may
// raise any five characters.
func sqlState(pe *pgconn.PgError) string {
	switch {
	case len(pe.Code) != 5:
		return "XX000"
	case pe.Where == "" && strings.Trim(pe.Code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "", conditions[pe.Code] != "":
		return pe.Code
	case conditions[pe.Code[:2]] != "":
		return pe.Code[:2] + "000"
	}
	return "P0001"
}

// own reports whether an error's message speaks of the text alone. Errors of
// class 42 are about syntax and names; but a running query can raise them about
// data ('x'::regclass), and functions can raise anything. The parser's have a
// position in the text, running code has none or a context.
func own(pe *pgconn.PgError, class lineage.Class) bool {
	if pe.Where != "" || pe.InternalQuery != "" || pe.InternalPosition != 0 {
		return false
	}
	switch pe.Code {
	case "3F000":
		return pe.Position > 0 || class == lineage.Static
	case "0A000", "22023", "25001", "25P01", "26000", "2BP01", "34000", "3B001", "3D000", "55006":
		if class == lineage.Static {
			return true // what there is not, or what depends on it
		}
	}
	if !strings.HasPrefix(pe.Code, "42") {
		return false
	}
	switch pe.Code {
	case "42501", "42P07", "42P06", "42710", "42701", "42723", "42P04", "42P05", "42P03":
		return true // privileges, and names that exist already
	}
	return pe.Position > 0 || class == lineage.Static
}

// detail is the server's own words, and details all of them but the message.
func detail(pe *pgconn.PgError) string {
	return strings.Join(words(pe.Message, pe.Detail, pe.Hint, pe.Where), "; ")
}

func details(pe *pgconn.PgError) string {
	return strings.Join(words(pe.Detail, pe.Hint, pe.Where), "; ")
}

func words(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// condition is the name of an SQLSTATE, from appendix A of PostgreSQL's manual.
func condition(code string) string {
	if n := conditions[code]; n != "" {
		return n
	}
	if len(code) == 5 {
		if n := conditions[code[:2]]; n != "" {
			return n
		}
	}
	return "the target reports an error"
}

var conditions = map[string]string{
	"08": "connection exception", "0A": "feature not supported", "21": "cardinality violation", "22": "data exception",
	"23": "integrity constraint violation", "24": "invalid cursor state", "25": "invalid transaction state",
	"26": "invalid statement name", "28": "invalid authorization", "2B": "dependent privileges exist",
	"34": "invalid cursor name", "38": "external routine exception", "39": "external routine invocation exception",
	"3B": "savepoint exception", "3D": "invalid database name", "3F": "invalid schema name", "40": "transaction rollback",
	"42": "syntax error or access rule violation", "44": "check option violation", "53": "insufficient resources",
	"54": "program limit exceeded", "55": "object not in prerequisite state", "57": "operator intervention",
	"58": "system error", "F0": "configuration file error", "HV": "foreign data wrapper error", "P0": "error raised by a function",
	"XX":    "internal error",
	"21000": "cardinality violation", "22001": "string data too long", "22003": "numeric value out of range",
	"22007": "invalid date or time", "22008": "date or time out of range", "22012": "division by zero",
	"22023": "invalid parameter value", "22025": "invalid escape sequence", "2201B": "invalid regular expression",
	"2201W": "invalid row count in LIMIT", "2201X": "invalid row count in OFFSET", "22P02": "invalid text for the type",
	"22P03": "invalid binary representation", "22P05": "untranslatable character", "23001": "restrict violation",
	"23502": "not-null violation", "23503": "foreign key violation", "23505": "unique violation", "23514": "check violation",
	"23P01": "exclusion violation", "25001": "a transaction is active", "25006": "the transaction is read only",
	"25P01": "no transaction is active", "25P03": "the transaction idled too long", "40001": "serialization failure",
	"40P01": "deadlock detected", "42501": "insufficient privilege", "42601": "syntax error", "42602": "invalid name",
	"42703": "undefined column", "42704": "undefined object", "42804": "datatype mismatch", "42809": "wrong object type",
	"42846": "cannot cast", "42883": "undefined function", "42P01": "undefined table", "53100": "disk full",
	"53200": "out of memory", "53300": "too many connections", "54001": "statement too complex", "55006": "object in use",
	"55P03": "lock not available", "57014": "the statement was cancelled", "57P01": "the target shuts down",
	"57P03": "the target is not ready", "P0001": "error raised by a function", "P0002": "no data found",
	"P0003": "too many rows", "P0004": "an assertion failed", "XX001": "data corrupted", "XX002": "index corrupted",
}
