package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// Listen implements [bastion.Stream].
func (s *stream) Listen() {
	s.mu.Lock()
	s.listening = true
	s.mu.Unlock()
	defer close(s.done)
	src := s.conn
	a, ok := aheadOf(src)
	if !ok {
		a = &ahead{Conn: src}
		src = a
	}
	// Nobody waits for more before the client has heard what there is.
	a.before = func() error { return s.sink.Signal(signalFlush, 0) }
	r := wire.NewReader(src, maxMessage)
	defer r.Close()
	var why error = errGone
	if te, ok := errors.AsType[*bastion.TargetError](s.listen(r)); ok {
		fatal := *te
		fatal.Lost = true
		why = &fatal
	}
	s.hangUp(why)
	s.failed(s.lost())
}

// listen handles messages until one cannot be.
func (s *stream) listen(r *wire.Reader) error {
	for name, value := range s.params {
		if err := s.parameter(name, value, true); err != nil {
			return err
		}
	}
	// The client is to know the number of the target's process. The key that goes with it
	// stays here.
	if err := s.sink.Parameters(binary.BigEndian.AppendUint32(nil, s.cancel.PID())); err != nil {
		return err
	}
	if err := s.sink.Signal(signalReady, 'I'); err != nil {
		return err
	}
	for {
		if r.Inside() {
			if err := s.raw(r, s.head().running()); err != nil {
				return err
			}
			continue
		}
		typ, err := r.Peek()
		if err != nil {
			return err
		}
		switch typ {
		case 'D':
			err = s.row(r, s.head())
		case 'd':
			err = s.copied(r, s.head().running())
		default:
			var body []byte
			if typ, body, err = r.Next(); err == nil {
				e := s.head()
				err = s.answer(typ, body, e)
				s.past(e)
			}
		}
		if err != nil {
			return err
		}
	}
}

// head is the answer that is due, or nil.
func (s *stream) head() *expected {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	return s.queue[0]
}

// running is the lane whose rows or tag are due, or nil.
func (e *expected) running() *lane {
	switch {
	case e == nil:
		return nil
	case e.kind == 'Q' && len(e.lanes) > 0:
		return e.lanes[0]
	case e.kind == 'E':
		return e.lane
	}
	return nil
}

// pop takes the answer that is complete off the queue, and what it changes is so. The
// client is told before that: once nothing is due any more, the sender may answer for
// itself.
func (s *stream) pop() {
	s.mu.Lock()
	if len(s.queue) == 0 { // the connection was given up
		s.mu.Unlock()
		return
	}
	e := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.mu.Unlock()
	s.confirm(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed -= e.owes
	if len(s.queue) == 0 {
		s.queue = nil
		s.loud = false
	}
	s.wake()
}

// confirm makes what a message was to change so, and ends what that takes the place of.
func (s *stream) confirm(e *expected) {
	var over *lane
	if e.name != nil {
		s.over(e.name.replace())
	}
	if e.portal != nil {
		if before := e.portal.replace(); before != nil {
			over = before.lane
		}
		s.forgetCursor(e.portal.name)
	}
	if over != nil {
		s.end(over, nil)
	}
	for _, o := range [...]outcome{e.theirs, e.ends} {
		if o != nil {
			o.confirm()
		}
	}
}

// over ends the lane of a statement whose name stands for it no more.
func (s *stream) over(st *statement) {
	if st == nil {
		return
	}
	s.mu.Lock()
	l := st.lane
	s.mu.Unlock()
	if l != nil {
		s.end(l, nil)
	}
}

// long is the size in bytes from which rows pass as they are, where nothing of them is
// hidden, although the transcript would have liked to see them.
const long = 64 << 10

// row passes a DataRow on, or as many as have arrived.
func (s *stream) row(r *wire.Reader, e *expected) error {
	l := e.running()
	switch {
	case e != nil && e.own != nil && e.kind == 'E':
		_, body, err := r.Next()
		if err != nil {
			return err
		}
		row, err := cells(s.values[:0], body)
		if err != nil {
			return err
		}
		s.values = row
		if e.own.each != nil {
			e.own.each(row)
			return nil
		}
		e.own.row = nil
		for _, v := range row {
			e.own.row = append(e.own.row, bytes.Clone(v))
		}
		return nil
	case l == nil || l.rows.on:
		return errProtocol
	case !l.shown:
		// The statement was described once, and what it says holds for the portal.
		s.mu.Lock()
		known := l.of != nil && l.of.known && l.of.fields != nil && !l.doubt
		s.mu.Unlock()
		if !known {
			return errProtocol
		}
		if err := s.columns(l, l.of.portal(l.results)); err != nil {
			return err
		}
	}
	if l.sink.Passes() || l.sink.Clear() && r.Size() > long {
		return s.raw(r, l)
	}
	_, body, err := r.Next()
	if err != nil {
		return err
	}
	if s.values, err = cells(s.values[:0], body); err != nil {
		return err
	}
	if len(s.values) != l.width {
		return errProtocol
	}
	return l.sink.Row(s.values)
}

// copied passes a CopyData on, or as many as have arrived.
func (s *stream) copied(r *wire.Reader, l *lane) error {
	if l == nil || !l.rows.on {
		return errProtocol
	}
	if l.rows.raw {
		return s.raw(r, l)
	}
	_, body, err := r.Next()
	if err != nil {
		return err
	}
	return l.rows.data(body, l.sink.Row)
}

// raw passes on what has arrived of an answer of which nothing is hidden.
func (s *stream) raw(r *wire.Reader, l *lane) error {
	if l == nil {
		return errProtocol
	}
	typ := byte('D')
	if l.rows.on {
		typ = 'd'
	}
	begins := !r.Inside()
	raw, ends, err := r.Run(typ)
	if err != nil {
		return err
	}
	if begins && typ == 'D' && !wide(raw, l.width) {
		return errProtocol
	}
	return l.sink.Raw(raw, int64(ends))
}

// wide reports whether all rows in a run of DataRow have so many columns.
func wide(raw []byte, columns int) bool {
	for len(raw) > 0 {
		if len(raw) < 7 || int(binary.BigEndian.Uint16(raw[5:])) != columns {
			return false
		}
		raw = raw[min(len(raw), 1+int(binary.BigEndian.Uint32(raw[1:]))):]
	}
	return true
}

// cells splits a DataRow.
func cells(list [][]byte, body []byte) ([][]byte, error) {
	b := wire.NewBody(body)
	for range b.Count(4) {
		list = append(list, b.Value())
	}
	if b.End() != nil {
		return nil, errProtocol
	}
	return list, nil
}

// answer handles one message, except rows.
func (s *stream) answer(typ byte, body []byte, e *expected) error {
	switch typ {
	case 'S':
		b := wire.NewBody(body)
		name, value := b.String(), b.String()
		if b.End() != nil {
			return errProtocol
		}
		return s.parameter(name, value, false)
	case 'N':
		if e != nil && e.own != nil && !e.own.told {
			return nil // nobody asked
		}
		return s.notice(e.running(), body)
	case 'A':
		b := wire.NewBody(body)
		pid, channel, payload := uint32(b.Int32()), b.String(), b.String()
		if b.End() != nil {
			return errProtocol
		}
		return s.sink.Notification(channel, payload, pid)
	case 'E':
		return s.failure(e, body)
	}
	switch {
	case e == nil:
		return errProtocol
	case typ == 'Z' && len(body) == 1 && (e.kind == 'S' || e.kind == 'Q'):
		return s.ready(e, body[0])
	case e.own != nil:
		return s.ours(typ, body, e)
	}
	switch e.kind {
	case 'P':
		if typ == '1' && e.refused == nil {
			return s.accepted(e, typ)
		}
	case 'B':
		if typ == '2' {
			return s.accepted(e, typ)
		}
	case 'C':
		if typ == '3' {
			return s.accepted(e, typ)
		}
	case 'D':
		return s.described(typ, body, e)
	case 'E', 'Q':
		return s.answered(typ, body, e)
	}
	return errProtocol
}

// accepted passes on that a message was done that has no other answer.
func (s *stream) accepted(e *expected, typ byte) error {
	defer s.pop()
	if e.hidden {
		return nil
	}
	return s.to(e.lane).Signal(typ, 0)
}

// ours handles an answer to a question of the bastion's own.
func (s *stream) ours(typ byte, body []byte, e *expected) error {
	switch {
	case typ == '1' && e.kind == 'P', typ == '2' && e.kind == 'B', typ == '3' && e.kind == 'C', typ == 'C' && e.kind == 'E':
		s.pop()
		return nil
	case typ == 'n' && e.kind == 'D' && e.own.stmt != nil:
		e.own.stmt.fields = nil
		s.pop()
		return nil
	case typ == 't' && e.kind == 'D':
		return nil
	case typ == 'T' && e.kind == 'D' && e.own.stmt != nil:
		fields, err := fields(body)
		if err != nil {
			return err
		}
		e.own.stmt.fields = fields
		s.pop()
		return nil
	}
	return errProtocol
}

// described handles the answer to a Describe.
func (s *stream) described(typ byte, body []byte, e *expected) error {
	switch typ {
	case 't':
		b := wire.NewBody(body)
		n := uint16(b.Int16())
		// A statement may have more parameters than the count can say.
		if e.stmt == nil || b.Err() != nil || len(b.Rest())%4 != 0 || uint16(len(b.Rest())/4) != n {
			return errProtocol
		}
		return s.to(e.lane).Parameters(bytes.Clone(body))
	case 'n':
		if e.stmt != nil {
			s.mu.Lock()
			e.stmt.known, e.stmt.fields = true, nil
			s.mu.Unlock()
		} else if e.lane != nil {
			e.lane.shown = false
		}
		defer s.pop()
		if e.alone {
			defer s.end(e.lane, nil)
		}
		if e.hidden || e.lane != nil && e.lane.step {
			return nil
		}
		return s.to(e.lane).Signal(typ, 0)
	case 'T':
		if e.lane == nil {
			return errProtocol
		}
		fields, err := e.lane.described(body)
		if err != nil {
			return err
		}
		if e.stmt != nil {
			s.mu.Lock()
			e.stmt.known, e.stmt.fields = true, fields
			s.mu.Unlock()
		}
		defer s.pop()
		if e.alone {
			defer s.end(e.lane, nil)
		}
		return s.announce(e.lane, fields, !e.hidden)
	}
	return errProtocol
}

// announce tells of an answer's columns; asked says that the client wants to know.
func (s *stream) announce(l *lane, fields []field, asked bool) error {
	if asked {
		if err := l.sink.Signal(signalDescribed, 0); err != nil {
			return err
		}
	}
	return s.columns(l, fields)
}

// answered handles the answer to an Execute or a simple query.
func (s *stream) answered(typ byte, body []byte, e *expected) error {
	l := e.running()
	e.begun = e.begun || typ != 'I'
	switch {
	case typ == 'I' && e.kind == 'Q' && l == nil:
		return s.sink.Signal(typ, 0)
	case typ == 'I' && e.kind == 'E':
		defer s.pop()
		if err := s.to(l).Signal(typ, 0); err != nil || l == nil {
			return err
		}
		s.end(l, nil)
		return nil
	case l == nil:
		return errProtocol
	case typ == 'T' && e.kind == 'Q':
		fields, err := fields(body)
		if err != nil {
			return err
		}
		return s.announce(l, fields, true)
	case typ == 's' && e.kind == 'E':
		defer s.pop()
		return l.sink.Signal(typ, 0)
	case typ == 'C':
		return s.complete(e, l, body)
	case typ == 'G' && l.reading.Copy != nil && l.reading.Copy.In:
		b := wire.NewBody(body)
		b.Byte()
		b.Take(2 * b.Count(2))
		if b.End() != nil {
			return errProtocol
		}
		s.mu.Lock()
		l.taking = true
		s.wake()
		s.mu.Unlock()
		if err := l.sink.Signal(signalCopyIn, 0); err != nil {
			return err
		}
		return l.sink.Parameters(bytes.Clone(body))
	case typ == 'H' && l.reading.Copy != nil && !l.reading.Copy.In && !l.rows.on:
		return s.copyOut(l, body)
	case typ == 'c' && l.rows.on:
		return l.sink.Signal(typ, 0)
	}
	return errProtocol
}

// complete handles CommandComplete.
func (s *stream) complete(e *expected, l *lane, body []byte) error {
	b := wire.NewBody(body)
	tag := pgconn.NewCommandTag(b.String())
	if b.End() != nil {
		return errProtocol
	}
	l.rows.on = false
	if e.kind == 'Q' {
		s.mu.Lock()
		e.lanes = e.lanes[1:]
		s.mu.Unlock()
	}
	if err := l.sink.Tag(safeTag(tag.String()), tag.RowsAffected()); err != nil {
		return err
	}
	// What it changed must be known before anybody is told that nothing is on its way.
	s.end(l, nil)
	if e.kind == 'E' {
		s.pop()
	}
	return nil
}

// to is where the answers of a lane go, or of none.
func (s *stream) to(l *lane) *bastion.Sink {
	if l == nil {
		return s.sink
	}
	return l.sink
}

// ready handles ReadyForQuery.
func (s *stream) ready(e *expected, status byte) error {
	if status != 'I' && status != 'T' && status != 'E' {
		return errProtocol
	}
	s.mu.Lock()
	s.status, s.block = status, status != 'I'
	unsettled := status == 'I' && s.tainted
	s.tainted = s.tainted && status != 'I'
	s.mu.Unlock()
	for _, l := range e.lanes { // after an error
		s.end(l, errSkipped)
	}
	if e.kind == 'Q' && !e.begun { // the unnamed portal is as it was, or the target knows better
		if e.portal != nil {
			e.portal.undo()
		}
		outcomes{e.ends}.undo()
		e.portal, e.ends = nil, nil
	}
	if status == 'I' {
		// Portals end with the transaction.
		var over []*lane
		s.portals.forget(func(_ string, p *portal) bool {
			if p.lane != nil {
				over = append(over, p.lane)
			}
			return true
		})
		for _, l := range over {
			s.end(l, nil)
		}
		s.idle()
		if unsettled {
			s.unsettle()
		}
	}
	defer s.pop()
	if e.own != nil {
		return nil
	}
	return s.sink.Signal(signalReady, status)
}

// failure handles ErrorResponse: it ends what is due, and what is skipped for it.
func (s *stream) failure(e *expected, body []byte) error {
	pe, err := notice(body)
	if err != nil {
		return errProtocol
	}
	var l *lane
	if l = e.running(); l == nil && e != nil && (e.kind != 'D' || e.alone) {
		l = e.lane
	}
	class := lineage.Class(0)
	if l != nil {
		class = l.reading.Class
	}
	te := s.serverError(pe, class, bytes.Clone(body))
	if e == nil || pe.SeverityUnlocalized == "FATAL" || pe.SeverityUnlocalized == "PANIC" {
		te.Lost = true
		return te
	}
	if l != nil && l.shift > 0 && te.Position > 0 {
		te.Position += l.shift
		te.Native = placed(te.Native, te.Position)
	}
	var skipped []*expected
	s.mu.Lock()
	if e.kind != 'Q' && e.kind != 'S' {
		// All up to the next Sync is skipped.
		i := slices.IndexFunc(s.queue, func(e *expected) bool { return e.kind == 'S' })
		if i < 0 {
			i, s.skipping = len(s.queue), true
			s.untold = e.own != nil && !e.own.told
		}
		skipped = slices.Clone(s.queue[1:i])
		s.queue = slices.Delete(s.queue, 1, i)
	}
	s.mu.Unlock()
	if e.kind != 'Q' && e.kind != 'S' {
		e.undo()
		e.name, e.portal, e.theirs, e.ends = nil, nil, nil, nil
	}
	err = s.fails(e, l, te)
	for _, x := range skipped {
		s.drop(x)
		s.mu.Lock()
		s.owed -= x.owes
		s.mu.Unlock()
	}
	if e.kind == 'Q' {
		s.mu.Lock()
		rest := e.lanes
		e.lanes, e.refused = nil, nil // its ReadyForQuery is still to come
		s.mu.Unlock()
		for _, l := range rest {
			s.end(l, errSkipped)
		}
	} else if e.kind != 'S' {
		s.pop()
	}
	return err
}

// fails tells whoever has to know of the failure of what is due.
func (s *stream) fails(e *expected, l *lane, te *bastion.TargetError) error {
	switch {
	case e.own != nil && !e.own.told:
		e.own.err = te
		return nil
	case e.refused != nil && l == nil:
		e.refused()
		return nil
	case e.kind == 'D' && e.shows != nil:
		s.mu.Lock()
		e.shows.described = false
		s.mu.Unlock()
		l = e.lane
	}
	if l != nil {
		s.mu.Lock()
		ended := l.ended
		s.mu.Unlock()
		if !ended {
			err := l.sink.Signal(signalFailed, 0)
			s.end(l, te)
			return err
		}
		s.end(l, te) // it may be waited for
	}
	s.failed(te)
	return nil
}

// notice passes a notice on. One that can only speak of the statement's own text goes
// the way of what holds no data.
func (s *stream) notice(l *lane, body []byte) error {
	n, err := notice(body)
	if err != nil {
		return errProtocol
	}
	if l == nil {
		return s.sink.Notice(strings.ToLower(n.Severity)+": "+n.Message, body)
	}
	if remark(n, l.reading) || truncated(n, l.text) {
		return l.sink.Remark(strings.ToLower(n.Severity)+": "+n.Message, body)
	}
	return l.sink.Notice(strings.ToLower(n.Severity)+": "+n.Message, body)
}

// parameter handles ParameterStatus: what it says of how texts are read must not
// change, and only settings that hold no data are passed on. first says that nothing
// has run yet.
func (s *stream) parameter(name, value string, first bool) error {
	switch name {
	case "client_encoding":
		if value != "UTF8" {
			return errSettings
		}
	case "standard_conforming_strings":
		if value != "on" {
			return errSettings
		}
	case "server_version", "server_encoding", "integer_datetimes", "DateStyle", "IntervalStyle", "is_superuser",
		"default_transaction_read_only", "in_hot_standby":
		first = true // functions cannot give them values of their own making
	case "TimeZone":
		// POSIX lets anything be a time zone's name.
		_, err := time.LoadLocation(value)
		first = first || err == nil
	case "scram_iterations", "session_authorization", "search_path": // as they were at first
	case "application_name":
		value = s.programIs(value)
		if value == s.told {
			return nil
		}
		s.told = value
	default:
		return nil
	}
	if len(value) > 63 {
		return nil
	}
	return s.sink.Setting(name, value, first)
}

// programIs takes apart what the target says of application_name: the label, and the
// name that the client gave its program. If the session took the label away, the sender
// has to bring it back.
func (s *stream) programIs(value string) (program string) {
	program, ok := strings.CutPrefix(value, s.label)
	program = strings.TrimPrefix(program, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlabelled = !ok
	if !ok {
		s.program = value
		return value
	}
	return program
}
