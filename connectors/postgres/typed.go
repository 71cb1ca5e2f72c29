package postgres

import (
	"bytes"
	"fmt"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/value"
)

// typeCache keeps what is known of types, for one connection: each is made once. It
// is the listener's alone.
type typeCache map[typeFormat]*bastion.Typed

type typeFormat struct {
	oid    uint32
	format int16
}

// maxTypes is how many types a connection remembers; a target could make up more.
const maxTypes = 4096

// of says how to stand in for values of a type: nil for words.
func (c *typeCache) of(names *catalog.Snapshot, oid uint32, format int16) *bastion.Typed {
	k := typeFormat{oid, format}
	if t, ok := (*c)[k]; ok {
		return t
	}
	if *c == nil || len(*c) >= maxTypes {
		*c = typeCache{}
	}
	shape := names.Shape(oid)
	t := typed(value.Type{OID: oid, Name: shape.Name, Category: shape.Category, Elem: shape.Elem, Label: shape.Label, Fields: shape.Fields}, format)
	(*c)[k] = t
	return t
}

func typed(t value.Type, format int16) *bastion.Typed {
	if value.IsText(t) {
		return nil
	}
	out := &bastion.Typed{Inline: value.Inline(t), JSON: value.IsJSON(t), Text: func(v []byte) []byte { return value.Text(t, format, v) }}
	if blank, ok := value.Blank(t, format); ok {
		out.Blank = blank
	}
	if _, ok := value.Number(t, format, 1); ok {
		out.Number = func(n uint64) []byte {
			v, _ := value.Number(t, format, n)
			return v
		}
	}
	return out
}

// maxShown is how many bytes of a parameter are recorded and shown to approvers.
const maxShown = 16 << 10

// showParam is a parameter in words, for people. Where the client left its type to
// the server, what is not a text is shown by its bytes.
func showParam(oid uint32, format int16, v []byte) string {
	if len(v) > maxShown {
		return showParam(0, format, bytes.ToValidUTF8(v[:maxShown], nil)) + fmt.Sprintf("… (%d bytes)", len(v))
	}
	if oid == 0 && format == value.TextFormat {
		return string(v)
	}
	return string(value.Text(value.Type{OID: oid}, format, v))
}
