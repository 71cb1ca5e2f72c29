package postgres

import (
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

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
