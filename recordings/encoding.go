package recordings

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// Events are kept in runs. An event in a run says only how it differs from the
// one of its kind before it, and a text that stood in the run already is told by
// its place: a statement that runs a thousand times is written once. A run is
// read from its beginning or not at all.
//
// An event is kept as:
//
//	kind      1 byte, its place in the table below, with firstOfRun added at the start of a run
//	fields    the set of fields that differ; parameters and origin differ if there are any
//	time      seconds since the event before, with sign, and nanoseconds
//	offset    nanoseconds since that of the event before, with sign
//	fields    in the order of the set
//
// Numbers are varints as in encoding/binary. A text is a number that says in its
// two lowest bits what it is: the place of an earlier text of the run; so many
// bytes, which follow; or so many bytes that stand for twice as many hexadecimal
// digits.
const (
	firstOfRun = 0x80

	textAgain = 0
	textPlain = 1
	textHex   = 2

	// A run ends before the event after so many bytes or events, and remembers so
	// many texts. They bound what a reader takes at once.
	runBytes  = 256 << 10
	runEvents = 4096
	runTexts  = 8192
)

// kinds is where each kind has its number. It only ever grows at its end.
var kinds = [...]bastion.EventKind{
	bastion.EventSignIn, bastion.EventStart, bastion.EventEnd, bastion.EventDecision, bastion.EventUnread,
	bastion.EventRequest, bastion.EventVote, bastion.EventUse, bastion.EventWithdrawn, bastion.EventExpired,
	bastion.EventResult, bastion.EventReplay, bastion.EventResize, bastion.EventRefused, bastion.EventAlarm,
	bastion.EventUnbind, bastion.EventRevoke, bastion.EventRestore, bastion.EventPrepare, bastion.EventTask,
	bastion.EventTry, bastion.EventAct, bastion.EventRetry, bastion.EventFacts,
}

// The set of fields, those that differ most often first. After fieldTexts, a bit
// for each of the texts.
const (
	fieldTook = 1 << iota
	fieldRows
	fieldParams
	fieldTexts
)

const (
	fieldRequest = fieldTexts << numTexts << iota
	fieldBy
	fieldMasked
	fieldOrigin
	fieldsEnd
)

const numTexts = 11

// eventTexts are the fields of an event that hold one text. The first is the
// digest, which is kept in half of its size.
func eventTexts(e *bastion.Event) [numTexts]*string {
	return [...]*string{&e.Digest, &e.Text, &e.Error, &e.Effect, &e.Rule, &e.Reason, &e.Target, (*string)(&e.Verb), &e.Session, &e.Who, &e.Name}
}

// run is what writer and reader of a run both remember. Its zero value is the
// start of a run.
type run struct {
	last    [len(kinds)]*bastion.Event // of each kind, without parameters and origin
	seconds int64                      // of the event before
	offset  time.Duration
}

// before is the event to which one of that kind is compared.
func (r *run) before(kind int) *bastion.Event {
	if r.last[kind] == nil {
		r.last[kind] = &bastion.Event{}
	}
	return r.last[kind]
}

// runWriter writes runs.
type runWriter struct {
	run
	texts  map[string]uint64 // to their places
	events int               // of this run so far
	bytes  int
}

// restart makes the next event the first of a run.
func (w *runWriter) restart() { *w = runWriter{} }

// append appends the event to b. The event keeps nothing of its caller's but texts.
func (w *runWriter) append(b []byte, e *bastion.Event) ([]byte, error) {
	kind := slices.Index(kinds[:], e.Kind)
	if kind < 0 {
		return b, fmt.Errorf("internal error: event of unknown kind %q", e.Kind)
	}
	if w.events >= runEvents || w.bytes >= runBytes {
		w.restart()
	}
	start, head := len(b), byte(kind)
	if w.events == 0 {
		head |= firstOfRun
	}
	l := w.before(kind)
	fields := uint64(0)
	now, then := eventTexts(e), eventTexts(l)
	for i := range now {
		if *now[i] != *then[i] {
			fields |= fieldTexts << i
		}
	}
	set := func(field uint64, differs bool) {
		if differs {
			fields |= field
		}
	}
	set(fieldTook, e.Took != l.Took)
	set(fieldRows, e.Rows != l.Rows)
	set(fieldParams, len(e.Params) > 0)
	set(fieldRequest, e.Request != l.Request)
	set(fieldBy, !slices.Equal(e.By, l.By))
	set(fieldMasked, !slices.Equal(e.Masked, l.Masked))
	set(fieldOrigin, e.Origin != nil)

	b = binary.AppendUvarint(append(b, head), fields)
	seconds := e.At.Unix()
	b = binary.AppendVarint(b, seconds-w.seconds)
	b = binary.AppendUvarint(b, uint64(e.At.Nanosecond()))
	b = binary.AppendVarint(b, int64(e.Offset-w.offset))
	w.seconds, w.offset = seconds, e.Offset

	if fields&fieldTook != 0 {
		b, l.Took = binary.AppendVarint(b, int64(e.Took)), e.Took
	}
	if fields&fieldRows != 0 {
		b, l.Rows = binary.AppendVarint(b, e.Rows), e.Rows
	}
	if fields&fieldParams != 0 {
		b = appendList(b, e.Params, appendPlain) // which seldom come again
	}
	for i := range now {
		if fields&(fieldTexts<<i) != 0 {
			b, *then[i] = w.text(b, *now[i], i == 0), *now[i]
		}
	}
	if fields&fieldRequest != 0 {
		b, l.Request = binary.AppendUvarint(b, e.Request), e.Request
	}
	known := func(b []byte, s string) []byte { return w.text(b, s, false) }
	if fields&fieldBy != 0 {
		b, l.By = appendList(b, e.By, known), slices.Clone(e.By)
	}
	if fields&fieldMasked != 0 {
		b, l.Masked = appendList(b, e.Masked, known), slices.Clone(e.Masked)
	}
	if fields&fieldOrigin != 0 {
		b = known(known(known(b, e.Origin.Address), e.Origin.Key), e.Origin.Client)
	}
	w.events++
	w.bytes += len(b) - start
	return b, nil
}

// text appends a text, which may be hexadecimal digits.
func (w *runWriter) text(b []byte, s string, digits bool) []byte {
	if s == "" {
		return appendPlain(b, s)
	}
	if place, ok := w.texts[s]; ok {
		return binary.AppendUvarint(b, place<<2|textAgain)
	}
	if len(w.texts) < runTexts {
		if w.texts == nil {
			w.texts = map[string]uint64{}
		}
		w.texts[s] = uint64(len(w.texts))
	}
	if digits && hexadecimal(s) {
		b = binary.AppendUvarint(b, uint64(len(s)/2)<<2|textHex)
		b, _ = hex.AppendDecode(b, []byte(s)) // which has nothing but digits, and an even number
		return b
	}
	return appendPlain(b, s)
}

// hexadecimal reports whether a text is an even number of lower-case digits.
func hexadecimal(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s)%2 == 0
}

func appendPlain(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))<<2|textPlain), s...)
}

func appendList(b []byte, list []string, text func([]byte, string) []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = text(b, s)
	}
	return b
}

var errCut = errors.New("it is cut short, or makes no sense")

// input reads numbers and bytes one after another. What does not fit sets bad,
// and is zero, as is all after it.
type input struct {
	b   []byte
	bad bool
}

func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *input) varint() int64 {
	v, n := binary.Varint(in.b)
	if n <= 0 {
		in.fail()
		return 0
	}
	in.b = in.b[n:]
	return v
}

// take returns so many bytes, which are part of the input.
func (in *input) take(n uint64) []byte {
	if n > uint64(len(in.b)) {
		in.fail()
		return nil
	}
	p := in.b[:n:n]
	in.b = in.b[n:]
	return p
}

// count is the length of a list each of whose entries has at least a byte.
func (in *input) count() int {
	n := in.uvarint()
	if n > uint64(len(in.b)) {
		in.fail()
		return 0
	}
	return int(n)
}

func (in *input) fail() { in.b, in.bad = nil, true }

// runReader reads runs. Its zero value awaits the first event of one.
type runReader struct {
	run
	texts []string
	begun bool
}

// next reads an event from the front of the input, and says whether it is the
// first of a run. After an error the reader and the input are of no more use.
func (r *runReader) next(in *input) (e bastion.Event, first bool, err error) {
	head := in.take(1)
	if head == nil {
		return e, false, errCut
	}
	kind := int(head[0] &^ firstOfRun)
	if first = head[0]&firstOfRun != 0; first {
		*r = runReader{texts: r.texts[:0], begun: true}
	}
	if kind >= len(kinds) || !r.begun {
		return e, first, errCut
	}
	l := r.before(kind)
	fields := in.uvarint()
	if fields >= fieldsEnd {
		return e, first, errCut
	}
	r.seconds += in.varint()
	nanoseconds := in.uvarint()
	r.offset += time.Duration(in.varint())
	if nanoseconds >= uint64(time.Second) {
		return e, first, errCut
	}
	if fields&fieldTook != 0 {
		l.Took = time.Duration(in.varint())
	}
	if fields&fieldRows != 0 {
		l.Rows = in.varint()
	}
	var params []string
	if fields&fieldParams != 0 {
		params = r.list(in, false)
	}
	for i, to := range eventTexts(l) {
		if fields&(fieldTexts<<i) != 0 {
			*to = r.text(in, true)
		}
	}
	if fields&fieldRequest != 0 {
		l.Request = in.uvarint()
	}
	if fields&fieldBy != 0 {
		l.By = r.list(in, true)
	}
	if fields&fieldMasked != 0 {
		l.Masked = r.list(in, true)
	}
	var origin *bastion.Origin
	if fields&fieldOrigin != 0 {
		origin = &bastion.Origin{Address: r.text(in, true), Key: r.text(in, true), Client: r.text(in, true)}
	}
	if in.bad {
		return e, first, errCut
	}
	e = *l
	e.Kind, e.At, e.Offset, e.Params, e.Origin = kinds[kind], time.Unix(r.seconds, int64(nanoseconds)).UTC(), r.offset, params, origin
	e.By, e.Masked = slices.Clone(l.By), slices.Clone(l.Masked) // nobody's to change for another
	return e, first, nil
}

// text reads a text. One that is remembered can be told by its place later.
func (r *runReader) text(in *input, remembered bool) string {
	v := in.uvarint()
	n := v >> 2
	var s string
	switch v & 3 {
	case textAgain:
		if in.bad || n >= uint64(len(r.texts)) {
			in.fail()
			return ""
		}
		return r.texts[n]
	case textPlain:
		s = string(in.take(n))
	case textHex:
		s = hex.EncodeToString(in.take(n))
	default:
		in.fail()
	}
	if remembered && s != "" && len(r.texts) < runTexts {
		r.texts = append(r.texts, s)
	}
	return s
}

func (r *runReader) list(in *input, remembered bool) []string {
	n := in.count()
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.text(in, remembered))
	}
	return list
}

// A block is a run as the log keeps it, under the number of its first event:
//
//	layout    1 byte
//	checksum  4 bytes, big-endian, CRC-32C of the rest
//	count     how many events there are
//	events
//
// The events of a block are of one session and one person, if they are of any.
const (
	blockLayout = 1
	blockHeader = 1 + 4
)

var errBlock = errors.New("a block of events is damaged")

func appendBlock(b []byte, events int, run []byte) []byte {
	start := len(b)
	b = append(b, blockLayout, 0, 0, 0, 0)
	b = append(binary.AppendUvarint(b, uint64(events)), run...)
	binary.BigEndian.PutUint32(b[start+1:], crc32.Checksum(b[start+blockHeader:], castagnoli()))
	return b
}

// openBlock returns how many events a block has, and them.
func openBlock(v []byte) (events uint64, in input, err error) {
	if len(v) < blockHeader || v[0] != blockLayout || binary.BigEndian.Uint32(v[1:]) != crc32.Checksum(v[blockHeader:], castagnoli()) {
		return 0, input{}, errBlock
	}
	in.b = v[blockHeader:]
	if events = in.uvarint(); in.bad || events == 0 || events > uint64(len(in.b)) {
		return 0, input{}, errBlock
	}
	return events, in, nil
}

// readBlock calls f with the events of a block whose first has that number,
// until f returns false.
func readBlock(first uint64, v []byte, f func(bastion.Event) bool) error {
	n, in, err := openBlock(v)
	if err != nil {
		return err
	}
	var r runReader
	for i := range n {
		e, start, err := r.next(&in)
		if err != nil || start != (i == 0) {
			return errBlock
		}
		e.Seq = first + i
		if !f(e) {
			return nil
		}
	}
	if len(in.b) > 0 {
		return errBlock
	}
	return nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Pieces of what the person saw are kept many in one record: a checksum as in a
// block, and then for each piece
//
//	kind      1 byte
//	time      nanoseconds since the piece before, or since the start of the session
//	length    of the body
//	body      output; or width and height, 4 bytes each
const recordSize = 128 << 10 // where a record is full, in bytes

var errRecord = errors.New("a record of what was shown is damaged")

// appendPiece appends a chunk to a record, which it begins if need be. The time
// is that of the chunk before it in the record.
func appendPiece(b []byte, before time.Duration, c chunk) []byte {
	if len(b) == 0 {
		b = append(b, 0, 0, 0, 0)
	}
	b = binary.AppendUvarint(append(b, c.kind), uint64(c.at-before))
	return append(binary.AppendUvarint(b, uint64(len(c.body))), c.body...)
}

// finishRecord writes the checksum.
func finishRecord(b []byte) []byte {
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli()))
	return b
}

// readRecord calls f with the chunks of a record, whose bodies are part of v.
func readRecord(v []byte, f func(chunk)) error {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != crc32.Checksum(v[4:], castagnoli()) {
		return errRecord
	}
	in := input{b: v[4:]}
	at := uint64(0)
	for len(in.b) > 0 {
		c := chunk{kind: in.take(1)[0]}
		step := in.uvarint()
		c.body = in.take(in.uvarint())
		if in.bad || step > math.MaxInt64-at || !c.sound() {
			return errRecord
		}
		at += step
		c.at = time.Duration(at)
		f(c)
	}
	return nil
}
