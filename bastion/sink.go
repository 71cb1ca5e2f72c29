package bastion

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
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
	// Typed says how to stand in for values that are not words. Nil: they are.
	Typed *Typed `json:"-"`
	// Native describes the column in the target's own protocol, values left out.
	Native []byte `json:"-"`
	// Inspected: values are looked through for secrets; set by the Sink.
	Inspected bool `json:"-"`
}

// Typed is what a Sink needs to hide values whose form a program relies on.
type Typed struct {
	// Blank stands for a hidden value; nil is NULL.
	Blank []byte
	// Number makes a value that stands for a keyed pseudonym; nil if none can.
	Number func(uint64) []byte
	// Text is a value in words, for the record and for finding secrets in it.
	Text func(v []byte) []byte
	// Inline says that what is found in a value can be replaced where it stands.
	Inline bool
	// JSON says that a value is JSON, and has to stay so.
	JSON bool
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
	// What follows is for native clients alone.
	RawFrame          // rows in the target's own encoding, because none of it is hidden
	SignalFrame       // a step of the protocol
	ParametersFrame   // types of a prepared statement's parameters
	SettingFrame      // a setting of the session, as the target tells it
	NotificationFrame // a message of another session
)

// Frame is a piece of an answer, masked. Only a [Sink] makes one.
type Frame struct {
	kind    FrameKind
	columns []Column
	row     [][]byte
	text    string
	name    string
	raw     []byte
	rows    int64
}

// Kind tells what the frame carries.
func (f Frame) Kind() FrameKind { return f.kind }

// Columns are the columns of the answer, in a ColumnsFrame.
func (f Frame) Columns() []Column { return f.columns }

// Row is one row of values in text form, nil for NULL, in a RowFrame. It is the
// caller's to keep; a native client's is lent until the call that brings the frame
// returns.
func (f Frame) Row() [][]byte { return f.row }

// Text is the command tag of a TagFrame ("UPDATE 1"), the text of a NoticeFrame, the
// value of a SettingFrame or the payload of a NotificationFrame.
func (f Frame) Text() string { return f.text }

// Name is the setting of a SettingFrame or the channel of a NotificationFrame.
func (f Frame) Name() string { return f.name }

// Raw is what the target sent, in its own encoding: the rows of a RawFrame, the
// notice of a NoticeFrame if it may be shown, the types of a ParametersFrame. It is
// lent until the call that brings the frame returns.
func (f Frame) Raw() []byte { return f.raw }

// Signal is the connector's own code of a SignalFrame, with its argument.
func (f Frame) Signal() (code, arg byte) { return byte(f.rows >> 8), byte(f.rows) }

// Affected is the number of rows that a TagFrame's operation returned or changed.
func (f Frame) Affected() int64 { return f.rows }

// Sink takes an answer from a connector, masks it and passes it on. There is no
// way to get anything out of it. The zero Sink refuses.
type Sink struct {
	rules   mask.Rules
	outputs []mask.Column
	show    func(Frame) error
	note    *note // the transcript, for native clients
	lends   bool  // rows are lent, not given
	row     [][]byte
	buf     []byte // of what is shown instead of values, and of values that are not lent

	columns []Column
	masked  []string
	hides   bool // a value of some column must be looked at before it is shown
	rows    int64
	changed int64

	// scatter: rows are kept until all are there, and shown in the order of what they
	// show.
	scatter bool
	kept    [][][]byte
	size    int // of kept, in bytes
}

// Rows that have to be scattered are kept in memory.
const (
	maxScattered      = 50_000
	maxScatteredBytes = 8 << 20
)

// ErrScattered is why an answer ends whose rows may come in the order of masked values.
var ErrScattered = errors.New("the rows of this join may come in the order of masked values, and there are too many to put them in another order; add ORDER BY with a key of a joined table, or count them")

// Scatters reports whether the rows of the answer are kept back until all are there.
// The zero Sink says so.
func (s *Sink) Scatters() bool { return s == nil || s.show == nil || s.scatter }

// Columns announces the columns of the answer. Where they are not those that the
// connector's reading announced, every column counts as unproven.
func (s *Sink) Columns(columns []Column) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	columns = slices.Clone(columns)
	s.masked, s.hides = nil, false
	for i := range columns {
		c := &columns[i]
		var read mask.Column
		if len(s.outputs) == len(columns) {
			read = s.outputs[i]
		}
		c.Mask = s.rules.Kind(read)
		if c.Source != "" {
			c.Mask = min(c.Mask, s.rules.Source(c.Source))
		}
		if c.Mask != mask.Clear {
			s.masked = append(s.masked, c.Name)
			s.hides = true
		} else if s.rules.Detects() && (c.Typed == nil || c.Typed.Text != nil) {
			c.Inspected, s.hides = true, true
		}
	}
	s.columns = columns
	s.note.header(columns)
	return s.show(Frame{kind: ColumnsFrame, columns: columns})
}

// Masked are the names of the columns whose values are hidden.
func (s *Sink) Masked() []string { return s.masked }

// Row passes one row on, each value as its column describes it and nil for NULL.
// The values are copied: the caller may use their memory again.
func (s *Sink) Row(values [][]byte) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if len(values) != len(s.columns) || s.columns == nil {
		return fmt.Errorf("internal error: a row of %d values for %d columns", len(values), len(s.columns))
	}
	var row [][]byte
	lends := s.lends && !s.scatter // what is kept must be its own
	if lends {
		row, s.buf = s.row[:0], s.buf[:0]
	} else {
		size := 0
		for i, v := range values {
			if s.columns[i].Mask == mask.Clear {
				size += len(v)
			}
		}
		row, s.buf = make([][]byte, 0, len(values)), make([]byte, 0, size)
	}
	for i, v := range values {
		shown := s.value(&s.columns[i], v)
		if v != nil && shown != nil && len(shown) == 0 {
			shown = []byte{}
		} else if !lends && len(v) > 0 && len(shown) > 0 && &shown[0] == &v[0] { // as it is, but the caller's
			start := len(s.buf)
			s.buf = append(s.buf, shown...)
			shown = s.buf[start:len(s.buf):len(s.buf)]
		}
		row = append(row, shown)
	}
	if lends {
		s.row = row
	}
	s.rows++
	if s.scatter {
		s.kept = append(s.kept, row)
		for _, v := range row {
			s.size += len(v) + 24
		}
		if len(s.kept) > maxScattered || s.size > maxScatteredBytes {
			s.kept = nil
			return ErrScattered
		}
		return nil
	}
	s.note.row(s.columns, row)
	return s.show(Frame{kind: RowFrame, row: row})
}

// gathered shows the rows that were kept back.
func (s *Sink) gathered() error {
	slices.SortFunc(s.kept, func(x, y [][]byte) int {
		return slices.CompareFunc(x, y, func(v, w []byte) int {
			if (v == nil) != (w == nil) {
				if v == nil {
					return 1
				}
				return -1
			}
			return bytes.Compare(v, w)
		})
	})
	for _, row := range s.kept {
		s.note.row(s.columns, row)
		if err := s.show(Frame{kind: RowFrame, row: row}); err != nil {
			return err
		}
	}
	s.kept, s.size = nil, 0
	return nil
}

// value is what is shown of a value: itself, or something that shares no memory
// with it.
func (s *Sink) value(c *Column, v []byte) []byte {
	switch t := c.Typed; {
	case c.Mask == mask.Clear && (v == nil || !s.rules.Detects()):
		return v
	case c.Mask == mask.Clear && t != nil && t.JSON:
		v, _ = s.rules.ScanJSON(v)
		return v
	case c.Mask == mask.Clear && (t == nil || t.Inline):
		v, _ = s.rules.Scan(v)
		return v
	case c.Mask == mask.Clear:
		if t.Text != nil {
			if _, found := s.rules.Scan(t.Text(v)); found {
				return t.Blank
			}
		}
		return v
	case t == nil:
		s.buf, v = s.rules.Append(s.buf, c.Mask, v)
		return v
	case c.Mask == mask.Null || v == nil && c.Mask != mask.Redact:
		return nil
	case c.Mask == mask.Pseudonym && t.Number != nil:
		h := fnv.New64a()
		h.Write(s.rules.Apply(mask.Pseudonym, v)) // keyed
		return t.Number(h.Sum64())
	default:
		return t.Blank
	}
}

// Passes reports whether Raw may be used for the rows that come: nothing of them
// is hidden, and the transcript has enough of them.
func (s *Sink) Passes() bool { return s.Clear() && !s.note.wants() }

// Clear reports whether nothing of the rows that come is hidden, their order included.
func (s *Sink) Clear() bool { return s != nil && s.columns != nil && !s.hides && !s.scatter }

// Raw passes rows on in the target's own encoding. It refuses unless nothing of
// them is hidden. p may be a part of a row; rows counts those that end in it. The
// bytes are lent.
func (s *Sink) Raw(p []byte, rows int64) error {
	if s == nil || s.show == nil || s.columns == nil || s.hides || s.scatter {
		return ErrPermit
	}
	s.rows += rows
	return s.show(Frame{kind: RawFrame, raw: p, rows: rows})
}

// Tag ends an answer: the target's words for what it did, made of nothing but
// the command's name and a number of rows.
func (s *Sink) Tag(command string, rows int64) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if err := s.gathered(); err != nil {
		return err
	}
	if s.columns == nil {
		s.changed += rows
	}
	s.note.tag(command, s.masked)
	return s.show(Frame{kind: TagFrame, text: command, rows: rows})
}

// Notice passes on words of the target that may carry data, and the same in the
// target's own protocol, which may be nil. They are shown only where nothing of
// this target is hidden from the person.
func (s *Sink) Notice(text string, native []byte) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if !s.rules.HidesNothing() {
		text, native = "the target sent a notice; its text is hidden because it may carry masked data", nil
	}
	return s.show(Frame{kind: NoticeFrame, text: text, raw: native})
}

// Remark passes on a notice of the target in its own protocol, which the connector
// knows to speak of the operation's text alone and to hold no data.
func (s *Sink) Remark(text string, native []byte) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	return s.show(Frame{kind: NoticeFrame, text: text, raw: native})
}

// Signal passes on a step of the target's protocol that carries no data.
func (s *Sink) Signal(code, arg byte) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	return s.show(Frame{kind: SignalFrame, rows: int64(code)<<8 | int64(arg)})
}

// Parameters passes on the types of a prepared statement's parameters, in the
// target's own encoding.
func (s *Sink) Parameters(types []byte) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	return s.show(Frame{kind: ParametersFrame, raw: types})
}

// Setting passes on what the target tells of a setting. known says that the value is one
// of those that the connector knows, so that it holds no data; others are passed on only
// where nothing of this target is hidden from the person.
func (s *Sink) Setting(name, value string, known bool) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if !known && !s.rules.HidesNothing() {
		return nil
	}
	return s.show(Frame{kind: SettingFrame, name: name, text: value})
}

// Notification passes on a message of another session of the target. What it says
// is shown only where nothing of this target is hidden from the person.
func (s *Sink) Notification(channel, payload string, sender uint32) error {
	if s == nil || s.show == nil {
		return ErrPermit
	}
	if !s.rules.HidesNothing() && payload != "" {
		payload = mask.Redacted
	}
	return s.show(Frame{kind: NotificationFrame, name: channel, text: payload, rows: int64(sender)})
}
