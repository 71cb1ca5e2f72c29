package postgres

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// field is a column's description (RowDescription).
type field struct {
	name   string
	table  uint32
	column int16
	typ    uint32
	native [18]byte // table, column, type, size, modifier, format
}

func (f *field) format() int16 { return int16(binary.BigEndian.Uint16(f.native[16:])) }

// fields reads a RowDescription.
func fields(body []byte) ([]field, error) {
	b := wire.NewBody(body)
	out := make([]field, b.Count(19))
	for i := range out {
		f := &out[i]
		f.name = b.String()
		if copy(f.native[:], b.Take(len(f.native))) < len(f.native) {
			return nil, errProtocol
		}
		f.table = binary.BigEndian.Uint32(f.native[0:])
		f.column = int16(binary.BigEndian.Uint16(f.native[4:]))
		f.typ = binary.BigEndian.Uint32(f.native[6:])
	}
	if b.End() != nil {
		return nil, errProtocol
	}
	return out, nil
}

// portal returns the columns of a portal, with the formats that Bind asked for: none
// for text, one for all, or one each.
func (st *statement) portal(results []byte) []field {
	b := wire.NewBody(results)
	formats := make([]int, b.Count(2))
	for i := range formats {
		formats[i] = b.Int16()
	}
	out := slices.Clone(st.fields)
	for i := range out {
		format := 0
		switch {
		case len(formats) == 1:
			format = formats[0]
		case i < len(formats):
			format = formats[i]
		}
		binary.BigEndian.PutUint16(out[i].native[16:], uint16(format))
	}
	return out
}

// described reads a RowDescription, unless it is what was said of the statement before.
func (l *lane) described(body []byte) ([]field, error) {
	if l.of == nil || len(body) > maxSaid {
		return fields(body)
	}
	last := &l.of.last
	if last.fields != nil && bytes.Equal(last.said, body) {
		return last.fields, nil
	}
	fields, err := fields(body)
	if err == nil {
		*last = announced{said: bytes.Clone(body), fields: fields}
	}
	return fields, err
}

// columns announces the columns of a lane's answer.
func (s *stream) columns(l *lane, fields []field) error {
	snapshot := l.within
	if k := s.source.state.Load(); k != nil && snapshot == nil {
		snapshot = k.snapshot
	}
	s.mu.Lock()
	doubt := l.doubt
	s.mu.Unlock()
	l.shown, l.width = true, len(fields)
	outputs := l.outputs
	var last *announced
	if !doubt && l.of != nil && same(l.of.last.fields, fields) {
		if last = &l.of.last; last.columns != nil && last.names == snapshot && last.reading == l.reading && same(last.outputs, outputs) {
			return l.sink.Columns(last.columns)
		}
	}
	out := make([]bastion.Column, len(fields))
	for i := range fields {
		f := &fields[i]
		out[i] = bastion.Column{Name: f.name, Native: f.native[:], Typed: s.types.of(snapshot, f.typ, f.format())}
		if doubt {
			out[i].Source = unreadable
		} else {
			out[i].Source = origin(snapshot, outputs, l.reading, i, len(fields), f.table, f.column)
		}
	}
	if last != nil {
		last.names, last.reading, last.outputs, last.columns = snapshot, l.reading, outputs, out
	}
	return l.sink.Columns(out)
}

// same reports whether two slices are one, and not just alike.
func same[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// origin is what the target says of a column's source: it can only add to what was
// read.
func origin(snapshot *catalog.Snapshot, decided []mask.Column, r *lineage.Reading, i, n int, table uint32, column int16) (source string) {
	var read []string
	if len(decided) == n {
		read = decided[i].Sources
	}
	// The reading of this moment may know more than the one that was decided upon.
	if now := r.Intent.Outputs; len(now) != len(decided) || len(decided) == n && weaker(now[i].Proven, decided[i].Proven, now[i].Sources, read) {
		return unreadable
	}
	if table == 0 || column <= 0 {
		return ""
	}
	rel := snapshot.RelationOf(table)
	if rel == nil {
		if table < catalog.FirstUserOID {
			return "" // a system catalog, which the reading knows by name
		}
		return unreadable
	}
	if numbers := [...]string{"last_value", "log_cnt", "is_called"}; rel.Kind == catalog.Sequence && int(column) <= len(numbers) {
		return rel.FullName() + "." + numbers[column-1] // it has no columns of its own
	}
	for j := range rel.Columns {
		k := &rel.Columns[j]
		if k.Number != column {
			continue
		}
		source = k.Sources[0]
		for _, s := range k.Sources {
			if !slices.Contains(read, s) {
				source = s
			}
		}
		return source
	}
	return unreadable
}

// notice reads ErrorResponse and NoticeResponse.
func notice(body []byte) (*pgconn.PgError, error) {
	var e pgproto3.ErrorResponse
	if err := e.Decode(body); err != nil {
		return nil, err
	}
	return pgconn.ErrorResponseToPgError(&e), nil
}

// remark reports whether a notice can only speak of the statement's own text: the
// statement evaluates nothing over data, and no function was running, whose context
// the server would tell.
func remark(n *pgconn.PgError, r *lineage.Reading) bool {
	switch n.SeverityUnlocalized {
	case "NOTICE", "WARNING", "INFO":
		return r.Class == lineage.Static && !r.Effects && n.Where == "" && n.InternalQuery == "" && n.Detail == ""
	}
	return false
}

// truncated reports whether a notice says that the server cuts a name that stands in the
// statement's own text. The server's lexer says so before anything runs.
func truncated(n *pgconn.PgError, text string) bool {
	if n.Code != "42622" || n.SeverityUnlocalized != "NOTICE" || n.Where != "" || n.InternalQuery != "" || n.Detail != "" || n.Hint != "" {
		return false
	}
	name, short, ok := strings.Cut(strings.TrimPrefix(n.Message, `identifier "`), `" will be truncated to "`)
	return ok && strings.HasPrefix(name, strings.TrimSuffix(short, `"`)) && strings.Contains(strings.ToLower(text), strings.ToLower(name))
}

// placed is an ErrorResponse with another position in the text.
func placed(body []byte, position int) []byte {
	var out []byte
	b := wire.NewBody(body)
	for {
		code := b.Byte()
		if code == 0 {
			return append(out, 0)
		}
		text := b.String()
		if code == 'P' {
			text = strconv.Itoa(position)
		}
		out = wire.String(append(out, code), text)
	}
}
