package bastion

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/bastion/mask"
)

// Column describes one column of an answer.
type Column struct {
	Name    string    `json:"name"`
	Type    string    `json:"type,omitempty"`
	Numeric bool      `json:"numeric,omitempty"` // aligns right
	Mask    mask.Kind `json:"-"`                 // how its values are hidden; set by the Sink
	// Source is where the target itself says that the values come from
	// (schema.table.column), empty if it does not say. It can only add to what
	// the connector's reading found.
	Source string `json:"-"`
}

// Masked reports whether the column's values are hidden.
func (c Column) Masked() bool { return c.Mask != mask.Clear }

// FrameKind tells what a frame carries.
type FrameKind uint8

// The kinds of frame. The zero kind carries nothing.
const (
	ColumnsFrame FrameKind = iota + 1
	RowFrame
	TagFrame
	NoticeFrame
)

// Frame is a piece of an answer, masked. Only a [Sink] makes one.
type Frame struct {
	kind    FrameKind
	columns []Column
	row     [][]byte
	text    string
	rows    int64
}

// Kind tells what the frame carries.
func (f Frame) Kind() FrameKind { return f.kind }

// Columns are the columns of the answer, in a ColumnsFrame.
func (f Frame) Columns() []Column { return f.columns }

// Row is one row of values in text form, nil for NULL, in a RowFrame. It is the
// caller's to keep.
func (f Frame) Row() [][]byte { return f.row }

// Text is the command tag of a TagFrame ("UPDATE 1") or the text of a NoticeFrame.
func (f Frame) Text() string { return f.text }

// Affected is the number of rows that a TagFrame's operation returned or changed.
func (f Frame) Affected() int64 { return f.rows }

// Sink takes an answer from a connector, masks it and passes it on. There is no
// way to get anything out of it. The zero Sink refuses.
type Sink struct {
	rules   mask.Rules
	outputs []mask.Column
	show    func(Frame) error
	kinds   []mask.Kind
	masked  []string
	rows    int64
	changed int64
}

// Columns announces the columns of the answer. Where they are not those that the
// connector's reading announced, every column counts as unproven.
func (s *Sink) Columns(columns []Column) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	columns = slices.Clone(columns)
	s.kinds, s.masked = make([]mask.Kind, len(columns)), nil
	for i := range columns {
		var read mask.Column
		if len(s.outputs) == len(columns) {
			read = s.outputs[i]
		}
		k := s.rules.Kind(read)
		if columns[i].Source != "" {
			k = min(k, s.rules.Source(columns[i].Source))
		}
		s.kinds[i], columns[i].Mask = k, k
		if k != mask.Clear {
			s.masked = append(s.masked, columns[i].Name)
		}
	}
	return s.show(Frame{kind: ColumnsFrame, columns: columns})
}

// Row passes one row on, each value in text form and nil for NULL. The values
// are copied: the caller may use their memory again.
func (s *Sink) Row(values [][]byte) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if len(values) != len(s.kinds) {
		return fmt.Errorf("internal error: a row of %d values for %d columns", len(values), len(s.kinds))
	}
	size := 0
	for i, v := range values {
		if s.kinds[i] == mask.Clear {
			size += len(v)
		}
	}
	row, buf := make([][]byte, len(values)), make([]byte, 0, size)
	for i, v := range values {
		switch {
		case s.kinds[i] != mask.Clear:
			row[i] = s.rules.Apply(s.kinds[i], v)
		case v != nil:
			start := len(buf)
			buf = append(buf, v...)
			row[i] = buf[start:len(buf):len(buf)]
		}
	}
	s.rows++
	return s.show(Frame{kind: RowFrame, row: row})
}

// Tag ends an answer: the target's words for what it did, made of nothing but
// the command's name and a number of rows.
func (s *Sink) Tag(command string, rows int64) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if s.kinds == nil {
		s.changed += rows
	}
	return s.show(Frame{kind: TagFrame, text: command, rows: rows})
}

// Notice passes on words of the target that may carry data. They are shown only
// where nothing of this target is hidden from the person.
func (s *Sink) Notice(text string) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if !s.rules.HidesNothing() {
		text = "the target sent a notice; its text is hidden because it may carry masked data"
	}
	return s.show(Frame{kind: NoticeFrame, text: text})
}
