package postgres

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// What follows decodes and encodes the rows of COPY TO STDOUT, as the manual
// describes its three formats. It is used where a column is hidden; otherwise rows
// pass as they are.

// copySignature begins COPY's binary format.
const copySignature = "PGCOPY\n\xff\r\n\x00"

var errCopy = &bastion.TargetError{Code: "08P01", Summary: "the target sent a row of COPY that cannot be read, so the connection was closed"}

// copyRows reads the rows that the target sends, one or more whole rows a message.
type copyRows struct {
	on     bool // COPY runs
	raw    bool // nothing is hidden
	coding *lineage.Copy
	n      int  // columns
	begun  bool // the header of the binary format, or the line of names, has been
	values [][]byte
	buf    []byte
}

// copyOut begins a COPY to the client.
func (s *stream) copyOut(l *lane, body []byte) error {
	b := wire.NewBody(body)
	format, n := b.Byte(), b.Count(2)
	b.Take(2 * n)
	coding := l.reading.Copy
	if b.End() != nil || coding == nil || coding.In || (format == 1) != (coding.Format == "binary") {
		return errProtocol
	}
	s.mu.Lock()
	doubt := l.doubt
	s.mu.Unlock()
	columns := make([]bastion.Column, n)
	outputs := l.outputs
	for i := range columns {
		columns[i].Name = "column" + strconv.Itoa(i+1)
		if len(outputs) == n && outputs[i].Name != "" {
			columns[i].Name = outputs[i].Name
		}
		if format == 1 {
			// The protocol does not tell the types, so only NULL can stand in.
			columns[i].Typed = &bastion.Typed{}
		}
		if doubt {
			columns[i].Source = unreadable
		}
	}
	options, err := json.Marshal(coding)
	if err != nil {
		return err
	}
	if err := l.sink.Signal(signalCopyOut, 0); err != nil {
		return err
	}
	if err := l.sink.Parameters(append(slices.Clone(body), options...)); err != nil {
		return err
	}
	if err := l.sink.Columns(columns); err != nil {
		return err
	}
	l.rows = copyRows{on: true, raw: l.sink.Clear(), coding: coding, n: n}
	l.shown, l.width = true, n
	if !l.rows.raw && !splittable(coding) {
		return &bastion.TargetError{Code: "0A000", Summary: "COPY in this encoding cannot be masked, so the connection was closed; leave ENCODING out", Lost: true}
	}
	return nil
}

// splittable reports whether every byte below 0x80 in the rows is a character of its
// own. In some encodings, the second byte of a character may look like a delimiter.
func splittable(c *lineage.Copy) bool {
	name := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(c.Encoding))
	switch {
	case c.Format == "binary", name == "", name == "utf8", name == "unicode", name == "sqlascii":
		return true
	}
	for _, single := range []string{"latin", "iso8859", "win125", "windows125", "koi8"} {
		if strings.HasPrefix(name, single) {
			return true
		}
	}
	return false
}

// data gives the rows of one CopyData to row, which must not keep them.
func (c *copyRows) data(body []byte, row func([][]byte) error) error {
	if c.coding.Format == "binary" {
		return c.binary(body, row)
	}
	for len(body) > 0 {
		c.values, c.buf = c.values[:0], c.buf[:0]
		var err error
		if c.coding.Format == "csv" {
			body, err = c.csv(body)
		} else {
			body, err = c.text(body)
		}
		if err != nil {
			return err
		}
		if c.coding.Header && !c.begun {
			c.begun = true // the client half knows the names
			continue
		}
		if len(c.values) != c.n {
			// A table without columns has empty lines.
			if c.n == 0 && len(c.values) == 1 && len(c.values[0]) == 0 {
				c.values = c.values[:0]
			} else {
				return errCopy
			}
		}
		if err := row(c.values); err != nil {
			return err
		}
	}
	return nil
}

// text reads a line of the text format.
func (c *copyRows) text(b []byte) (rest []byte, err error) {
	// Values share buf, which must not move while they do.
	c.buf = slices.Grow(c.buf, len(b))
	for i := 0; ; i++ {
		// NULL is written as it is, a backslash in it included.
		if k := i + len(c.coding.Null); k < len(b) && string(b[i:k]) == c.coding.Null && (b[k] == '\n' || b[k] == c.coding.Delimiter) {
			c.values = append(c.values, nil)
			i = k
		} else {
			start := len(c.buf)
			if i = c.words(b, i); i >= len(b) {
				return nil, errCopy
			}
			c.values = append(c.values, c.buf[start:len(c.buf):len(c.buf)])
		}
		if b[i] == '\n' {
			return b[i+1:], nil
		}
	}
}

// words adds a value of the text format to buf, and returns where it ends.
func (c *copyRows) words(b []byte, i int) int {
	for ; i < len(b) && b[i] != '\n' && b[i] != c.coding.Delimiter; i++ {
		if b[i] == '\\' {
			if i++; i < len(b) {
				c.buf = append(c.buf, unescaped(b[i]))
			}
			continue
		}
		from := i
		for i+1 < len(b) && b[i+1] != '\n' && b[i+1] != c.coding.Delimiter && b[i+1] != '\\' {
			i++
		}
		c.buf = append(c.buf, b[from:i+1]...)
	}
	return i
}

// unescaped is what a backslash and a character stand for. The server writes no
// others than these.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	}
	return c
}

// csv reads a line of the CSV format.
func (c *copyRows) csv(b []byte) (rest []byte, err error) {
	start, quoted, inside := 0, false, false
	c.buf = slices.Grow(c.buf, len(b))
	field := func() {
		v := c.buf[start:len(c.buf):len(c.buf)]
		if !quoted && string(v) == c.coding.Null {
			v = nil
		}
		c.values = append(c.values, v)
		start, quoted = len(c.buf), false
	}
	for i := 0; i < len(b); i++ {
		ch := b[i]
		switch {
		case inside && ch == c.coding.Escape && i+1 < len(b) && (b[i+1] == c.coding.Quote || b[i+1] == c.coding.Escape):
			i++
			c.buf = append(c.buf, b[i])
		case ch == c.coding.Quote:
			inside, quoted = !inside, true
		case inside:
			c.buf = append(c.buf, ch)
		case ch == c.coding.Delimiter:
			field()
		case ch == '\n':
			field()
			return b[i+1:], nil
		default:
			c.buf = append(c.buf, ch)
		}
	}
	return nil, errCopy
}

// binary reads rows of the binary format.
func (c *copyRows) binary(body []byte, row func([][]byte) error) error {
	b := wire.NewBody(body)
	if !c.begun {
		if string(b.Take(len(copySignature))) != copySignature || b.Int32() != 0 {
			return errCopy // with OIDs, or of a version that is not known
		}
		b.Take(int(b.Int32())) // an extension
		c.begun = true
	}
	for len(b.Rest()) > 0 {
		n := b.Int16()
		if n == -1 {
			break
		}
		if n != c.n {
			return errCopy
		}
		c.values = c.values[:0]
		for range n {
			c.values = append(c.values, b.Value())
		}
		if b.Err() != nil {
			return errCopy
		}
		if err := row(c.values); err != nil {
			return err
		}
	}
	if b.End() != nil {
		return errCopy
	}
	return nil
}

// copyWriter encodes rows for the client, where some of them are hidden.
type copyWriter struct {
	lineage.Copy
	on    bool   // rows come one by one
	force []bool // by column
	begun bool
}

// newCopyWriter reads the format of CopyOutResponse and the options that follow it.
func newCopyWriter(raw []byte) (*copyWriter, []byte, error) {
	b := wire.NewBody(raw)
	b.Byte()
	n := b.Count(2)
	b.Take(2 * n)
	w := &copyWriter{force: make([]bool, n)}
	if b.Err() != nil || json.Unmarshal(b.Rest(), &w.Copy) != nil {
		return nil, nil, errors.New("internal error: a COPY without its options")
	}
	return w, raw[:len(raw)-len(b.Rest())], nil
}

// begin takes the columns in, and writes what comes before the first row.
func (w *copyWriter) begin(b []byte, columns []bastion.Column) []byte {
	w.on = slices.ContainsFunc(columns, func(c bastion.Column) bool { return c.Masked() || c.Inspected })
	if !w.on {
		return b
	}
	names := make([][]byte, len(columns))
	for i := range columns {
		names[i] = []byte(columns[i].Name)
		w.force[i] = w.ForceQuoteAll || slices.Contains(w.ForceQuote, columns[i].Name)
	}
	if !w.Header {
		return b
	}
	b, at := wire.Begin(b, 'd')
	for i, n := range names {
		if i > 0 {
			b = append(b, w.Delimiter)
		}
		b = w.value(b, n, false, len(names) == 1)
	}
	return wire.End(append(b, '\n'), at)
}

// row appends a row.
func (w *copyWriter) row(b []byte, row [][]byte) []byte {
	b, at := wire.Begin(b, 'd')
	if w.Format == "binary" {
		if !w.begun {
			b = append(append(b, copySignature...), make([]byte, 8)...)
			w.begun = true
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
		for _, v := range row {
			if v == nil {
				b = append(b, 0xff, 0xff, 0xff, 0xff)
				continue
			}
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		}
		return wire.End(b, at)
	}
	for i, v := range row {
		if i > 0 {
			b = append(b, w.Delimiter)
		}
		if v == nil {
			b = append(b, w.Null...)
		} else {
			b = w.value(b, v, w.force[i], len(row) == 1)
		}
	}
	return wire.End(append(b, '\n'), at)
}

// finish writes what comes after the last row.
func (w *copyWriter) finish(b []byte) []byte {
	if !w.on || w.Format != "binary" {
		return b
	}
	b, at := wire.Begin(b, 'd')
	if !w.begun {
		b = append(append(b, copySignature...), make([]byte, 8)...)
	}
	return wire.End(append(b, 0xff, 0xff), at)
}

// value appends a value as the server would write it.
func (w *copyWriter) value(b, v []byte, force, alone bool) []byte {
	if w.Format == "csv" {
		quote := force || string(v) == w.Null || alone && string(v) == `\.`
		for _, c := range v {
			quote = quote || c == w.Delimiter || c == w.Quote || c == '\n' || c == '\r'
		}
		if !quote {
			return append(b, v...)
		}
		b = append(b, w.Quote)
		for _, c := range v {
			if c == w.Quote || c == w.Escape {
				b = append(b, w.Escape)
			}
			b = append(b, c)
		}
		return append(b, w.Quote)
	}
	from := 0 // what is before it was appended
	for i, c := range v {
		if c >= ' ' && c != '\\' && c != w.Delimiter {
			continue
		}
		if j := strings.IndexByte("\b\f\n\r\t\v", c); j >= 0 {
			c = "bfnrtv"[j]
		} else if c != '\\' && c != w.Delimiter {
			continue
		}
		b = append(append(b, v[from:i]...), '\\', c)
		from = i + 1
	}
	return append(b, v[from:]...)
}
