package postgres

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// maxParams is how many parameters the protocol can carry in a Bind message.
const maxParams = math.MaxInt16

// Bind implements [bastion.Binder]. A value has the type that PostgreSQL gives to a
// constant written like it: a text has none of its own, as a quoted constant has not,
// and takes the one that its place wants.
func (k Connector) Bind(t bastion.Target, text string, values []bastion.Value) (bastion.Params, error) {
	r, err := offline(t, text)
	if err != nil {
		return bastion.Params{}, err
	}
	if r.Class != lineage.Plannable {
		return bastion.Params{}, &bastion.ParseError{Message: "PostgreSQL takes parameters in SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES alone, and this is none of them", Next: "write out what stands in this statement"}
	}
	n, err := lineage.Parameters(text)
	if err != nil {
		return bastion.Params{}, err
	}
	if n != len(values) || n > maxParams {
		return bastion.Params{}, &bastion.ParseError{Message: fmt.Sprintf("the text names %d parameters, and there are values for %d", n, len(values))}
	}
	var types, data []byte
	types = binary.BigEndian.AppendUint16(types, uint16(n))
	data = binary.BigEndian.AppendUint16(data, 0) // all values are text
	data = binary.BigEndian.AppendUint16(data, uint16(n))
	var shown []string
	for _, v := range values {
		oid, ok := typeOf(v)
		if !ok {
			return bastion.Params{}, fmt.Errorf("internal error: a value of type %q", v.Type)
		}
		types = binary.BigEndian.AppendUint32(types, oid)
		data = binary.BigEndian.AppendUint32(data, uint32(len(v.Text)))
		data = append(data, v.Text...)
		shown = append(shown, showParam(oid, 0, []byte(v.Text)))
	}
	return bastion.Params{Bytes: joinParams(types, data), Shown: shown}, nil
}

// typeOf is the type of a value, by its OID: 0 if its place decides.
func typeOf(v bastion.Value) (oid uint32, ok bool) {
	switch v.Type {
	case bastion.TextValue:
		return 0, true
	case bastion.IntegerValue:
		if _, err := strconv.ParseInt(v.Text, 10, 32); err == nil {
			return 23, true
		}
		return 20, true
	case bastion.NumberValue:
		return 1700, true
	case bastion.BooleanValue:
		return 16, true
	case bastion.DateValue:
		return 1082, true
	}
	return 0, false
}

// readParams takes an operation's parameters apart, as joinParams made them: for
// each its value, its format and its declared type, 0 where the server is to infer it.
func readParams(b []byte) (values [][]byte, formats []int16, types []uint32, err error) {
	if len(b) == 0 {
		return nil, nil, nil, nil
	}
	body := wire.NewBody(b)
	declared := wire.NewBody(body.Take(int(body.Int32())))
	given := make([]uint32, declared.Count(4))
	for i := range given {
		given[i] = uint32(declared.Int32())
	}
	formats = make([]int16, body.Count(2))
	for i := range formats {
		formats[i] = int16(body.Int16())
	}
	values = make([][]byte, body.Count(4))
	for i := range values {
		values[i] = body.Value()
	}
	if body.End() != nil || declared.End() != nil || len(given) > len(values) || len(formats) > 1 && len(formats) != len(values) {
		return nil, nil, nil, wire.ErrBody
	}
	types = make([]uint32, len(values))
	copy(types, given)
	return values, formats, types, nil
}
