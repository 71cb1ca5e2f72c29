package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// What may stand in the queue. More waits for answers, so that a client which sends
// and does not read takes no more memory.
const (
	maxQueued = 1024
	maxOwed   = 4 << 20 // bytes of texts and parameters
)

// refusedText stands for what was refused. It fails where its names are looked up, so
// that PostgreSQL runs what comes before it in the same text.
const refusedText = `SELECT "refused by sallyport"`

// errAlone says that what follows a lane in the same text has to wait until it ran.
var errAlone = errors.New("internal error: a statement that has to run before the next can be read")

// Lane implements [bastion.Stream].
func (s *stream) Lane(p *bastion.Permit, out *bastion.Sink, done func(error)) (bastion.Lane, error) {
	purpose := p.Purpose()
	if purpose != bastion.ForDo && purpose != bastion.ForPrepare {
		return nil, bastion.ErrPermit
	}
	op, err := p.Use(purpose)
	if err != nil {
		return nil, err
	}
	if !op.On(s.target) {
		return nil, bastion.ErrPermit
	}
	// The decision was about the text as it was read. It must mean the same now.
	r, err := s.readSettled(context.Background(), op.Text())
	if err != nil {
		return nil, err
	}
	if !op.Means(r.Intent) {
		return nil, &bastion.TargetError{Code: "40001", Summary: "the target or this session changed since the statement was read, so it did not run; run it again"}
	}
	l := &lane{s: s, text: op.Text(), params: op.Params().Bytes, outputs: op.Outputs(), reading: r, within: s.within(), sink: out, done: done, prepare: purpose == bastion.ForPrepare}
	if !l.prepare {
		s.writes(r)
	}
	if r.Executes != "" && !l.prepare {
		if l.runsAs, err = certain(s, &s.names, r.Executes); err == nil && l.runsAs != nil {
			err = s.renew(r.Executes, l.runsAs)
		}
		if err != nil && !errors.Is(err, errSkipped) {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	s.lanes[l] = struct{}{}
	return l, nil
}

// Send implements [bastion.Stream].
func (s *stream) Send(message any, lanes ...bastion.Lane) error {
	var few [4]*lane
	own := few[:0]
	for _, l := range lanes {
		k, ok := l.(*lane)
		if !ok || k == nil || k.s != s {
			return bastion.ErrPermit
		}
		own = append(own, k)
	}
	err := s.send(message, own)
	if err != nil && !errors.Is(err, errAlone) {
		for _, l := range own {
			if !l.used { // it has no other way to end
				s.end(l, errSkipped)
			}
		}
	}
	if err == nil && len(s.out) >= 32<<10 {
		err = s.flush()
	}
	return err
}

func (s *stream) send(message any, lanes []*lane) error {
	switch m := message.(type) {
	case finishMessage:
		return s.flush()
	case dropMessage:
		for _, l := range lanes {
			if l.used {
				return bastion.ErrPermit
			}
			s.end(l, errSkipped)
		}
		return nil
	case copyMessage:
		return s.copyData(m)
	case copyEndMessage:
		return s.copyEnd(m)
	}
	if left, err := s.turn(message); err != nil || left {
		return err
	}
	if err := s.room(); err != nil {
		return err
	}
	if err := s.relabel(); err != nil {
		return err
	}
	switch m := message.(type) {
	case queryMessage:
		return s.query(m, lanes)
	case parseMessage:
		return s.parse(m, lanes)
	case bindMessage:
		return s.bind(m, lanes)
	case describeMessage:
		return s.describe(m, lanes)
	case executeMessage:
		return s.execute(m, lanes)
	case closeMessage:
		s.close(m)
		return nil
	case syncMessage:
		s.post(wire.Append(s.out, 'S'), s.due(expected{kind: 'S'}))
		return nil
	case cursorMessage:
		return s.cursor(m)
	case quietMessage:
		return s.quiet(context.Background())
	case flushMessage:
		s.out = wire.Append(s.out, 'H')
		return nil
	case failMessage:
		return s.fail(m)
	case aloneMessage:
		for _, l := range lanes {
			if s.noisy(l) {
				return errAlone
			}
		}
		return nil
	case beginMessage:
		return s.begin(m)
	case stepMessage:
		return s.step(m, lanes)
	case endMessage:
		return s.finish(m)
	}
	return bastion.ErrPermit
}

// flush sends what was collected.
func (s *stream) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	if cap(s.out) > 64<<10 {
		s.out = nil
	}
	s.out = s.out[:0]
	if err != nil {
		s.hangUp(errGone)
		return errGone
	}
	return nil
}

// room waits until there is room in the queue.
func (s *stream) room() error {
	s.mu.Lock()
	full, open := len(s.queue) >= maxQueued || s.owed >= maxOwed, s.open
	s.mu.Unlock()
	if !full {
		return nil
	}
	if open > 0 {
		s.out = wire.Append(s.out, 'H') // or the target keeps its answers until the Sync
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.wait(context.Background(), func() bool { return s.copying() || len(s.queue) <= maxQueued/2 && s.owed <= maxOwed/2 })
}

// post collects a message for the target: b is what was collected before, with the
// message at its end. If an error was answered and no Sync has come since, the target
// would leave the message out, so that it is not sent at all.
func (s *stream) post(b []byte, e *expected) {
	if s.expect(e) {
		s.out = b
	}
}

// expect puts an answer into the queue, unless there will be none.
func (s *stream) expect(e *expected) bool {
	for _, l := range e.lanes {
		e.owes += len(l.text)
	}
	if e.lane != nil && (e.kind == 'P' || e.kind == 'B') {
		e.owes += len(e.lane.text) + len(e.lane.params)
	}
	s.mu.Lock()
	if s.skipping && e.kind != 'S' {
		untold := s.untold && e.refused != nil
		s.untold = s.untold && !untold
		s.mu.Unlock()
		s.drop(e)
		if untold {
			e.refused()
			_ = s.sink.Signal(signalFlush, 0) // a client that is gone ends the session by itself
		}
		return false
	}
	defer s.mu.Unlock()
	s.queue = append(s.queue, e)
	s.owed += e.owes
	switch e.kind {
	case 'S':
		s.open, s.skipping, s.untold = 0, false, false
	case 'Q':
		s.open = 0
	default:
		s.open++
		return true
	}
	s.loud = s.loud || s.tainted // it may end a transaction, and with it what that has set
	s.names.next()
	s.portals.next()
	return true
}

// drop ends what a message was about that the target leaves out.
func (s *stream) drop(e *expected) {
	e.undo()
	switch e.kind {
	case 'P', 'B', 'E':
		if e.lane != nil {
			s.end(e.lane, errSkipped)
		}
	case 'Q':
		for _, l := range e.lanes {
			s.end(l, errSkipped)
		}
	case 'D':
		if e.shows != nil {
			s.mu.Lock()
			e.shows.described = false
			s.mu.Unlock()
		}
		if e.alone {
			s.end(e.lane, errSkipped)
		}
	}
}

// undo takes back what a message was to change.
func (e *expected) undo() {
	if e.name != nil {
		e.name.undo()
	}
	if e.portal != nil {
		e.portal.undo()
	}
	for _, o := range [...]outcome{e.theirs, e.ends} {
		if o != nil {
			o.undo()
		}
	}
}

// take checks that a message has one lane, which is for running or for preparing, or
// none.
func take(lanes []*lane, prepare bool) (*lane, error) {
	switch {
	case len(lanes) == 0:
		return nil, nil
	case len(lanes) > 1 || lanes[0].prepare != prepare:
		return nil, bastion.ErrPermit
	}
	return lanes[0], nil
}

// query sends a simple query. It ends what is unnamed, and the transaction that the
// messages before it began.
func (s *stream) query(m queryMessage, lanes []*lane) error {
	texts := make([]string, len(lanes), len(lanes)+1)
	for i, l := range lanes {
		if l.prepare || l.used {
			return bastion.ErrPermit
		}
		texts[i] = l.text
	}
	text := together(m.text, texts)
	if m.refused != nil {
		if len(lanes) == 0 && s.atRest(m.statement, m.portal) {
			m.refused()
			return s.atOnce(signalReady, s.state())
		}
		text = together("", append(texts, refusedText))
	}
	for _, l := range lanes {
		if err := s.same(l); err != nil {
			return err
		}
	}
	for _, l := range lanes {
		l.used = true
		s.going(l)
		s.copiesIn(l)
	}
	e := s.due(expected{kind: 'Q', lanes: slices.Clone(lanes), theirs: m.statement, ends: m.portal, refused: m.refused})
	if s.names.holds("") {
		e.name = s.names.set("", nil)
	}
	if s.portals.holds("") {
		e.portal = s.portals.set("", nil)
	}
	b, at := wire.Begin(s.out, 'Q')
	s.post(wire.End(wire.String(b, text), at), e)
	return nil
}

// together is a client's own text of several statements, if it is these and nothing
// but blanks and semicolons between them; else the statements in a row.
func together(text string, statements []string) string {
	if len(statements) == 1 {
		return statements[0]
	}
	row := strings.Join(statements, "\n;\n")
	rest := text
	for _, st := range statements {
		i := strings.Index(rest, st)
		if i < 0 || strings.Trim(rest[:i], "; \t\r\n\f\v") != "" {
			return row
		}
		rest = rest[i+len(st):]
	}
	if strings.Trim(rest, "; \t\r\n\f\v") != "" {
		return row
	}
	return text
}

// atRest reports whether nothing is on its way and no transaction is open that a
// refusal would break, so that the target need not hear of it. If so, the unnamed
// statement is gone for the client half.
func (s *stream) atRest(statement, portal outcome) bool {
	s.mu.Lock()
	rest := len(s.queue) == 0 && s.open == 0 && s.status != 'T'
	s.mu.Unlock()
	if rest {
		outcomes{statement}.confirm()
		outcomes{portal}.undo()
	}
	return rest
}

// state is the state of the transaction, as the target last said it.
func (s *stream) state() byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// certain returns what a name stands for on the target, and waits for answers if it
// depends on them.
func certain[T comparable](s *stream, names *assumed[T], name string) (value T, err error) {
	value, sure := names.get(name)
	if sure {
		return value, nil
	}
	if err := s.Settle(context.Background()); err != nil && !errors.Is(err, errSkipped) {
		return value, err
	}
	value, _ = names.get(name)
	return value, nil
}

// mistaken is the error of a message whose lane is not what its name stands for. If an
// error was answered in the meantime, the name was taken back, and the message would be
// skipped.
func (s *stream) mistaken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.skipping {
		return errSkipped
	}
	return bastion.ErrPermit
}

func (s *stream) parse(m parseMessage, lanes []*lane) error {
	l, err := take(lanes, true)
	if err != nil || l != nil && l.used {
		return bastion.ErrPermit
	}
	st := &statement{lane: l, types: m.types}
	if l != nil {
		l.used = true
		st.text = l.text
	}
	s.mu.Lock()
	st.runs = s.runs
	s.mu.Unlock()
	b, at := wire.Begin(s.out, 'P')
	b = wire.String(wire.String(b, m.name), st.text)
	s.post(wire.End(append(b, m.types...), at), s.due(expected{kind: 'P', lane: l, name: s.names.set(m.name, st), theirs: m.theirs}))
	return nil
}

func (s *stream) bind(m bindMessage, lanes []*lane) error {
	l, err := take(lanes, false)
	if err != nil || l != nil && l.used {
		return bastion.ErrPermit
	}
	st, err := certain(s, &s.names, m.statement)
	if err != nil {
		return err
	}
	if st == nil {
		return noStatement(m.statement) // SQL took it away
	}
	if (st.text == "") != (l == nil) || l != nil && st.text != l.text {
		return s.mistaken()
	}
	if err := s.renew(m.statement, st); err != nil {
		if !errors.Is(err, errSkipped) {
			return err
		}
	}
	var params []byte
	p := &portal{lane: l, of: st}
	if l != nil {
		s.going(l) // planning it may run functions
	}
	s.mu.Lock()
	p.runs, p.moves = s.runs, s.moves
	s.mu.Unlock()
	if l != nil {
		l.used, l.of, l.results = true, st, m.results
		params = l.params
	}
	if m.portal != "" {
		s.hushed(m.portal)
	}
	b, at := wire.Begin(s.out, 'B')
	b = wire.String(wire.String(b, m.portal), m.statement)
	b = append(b, paramValues(params)...)
	s.post(wire.End(append(b, m.results...), at), s.due(expected{kind: 'B', lane: l, portal: s.portals.set(m.portal, p), theirs: m.theirs}))
	return nil
}

// hushed makes the reading of what comes next wait, if SQL knows a cursor of a name
// that is about to stand for something else.
func (s *stream) hushed(name string) {
	s.reading.mu.Lock()
	_, cursor := s.reading.cursors[name]
	s.reading.mu.Unlock()
	if cursor {
		s.mu.Lock()
		s.loud = true
		s.mu.Unlock()
	}
}

// cursor returns an error if SQL has made no cursor of a name.
func (s *stream) cursor(m cursorMessage) error {
	if err := s.quiet(context.Background()); err != nil {
		return err
	}
	s.reading.mu.Lock()
	defer s.reading.mu.Unlock()
	if _, ok := s.reading.cursors[m.name]; !ok {
		return noPortal(m.full)
	}
	return nil
}

func (s *stream) describe(m describeMessage, lanes []*lane) error {
	if m.kind == 'P' && len(lanes) == 1 && lanes[0].prepare {
		l := lanes[0]
		if l.used || l.reading.Fetches != m.name || s.portals.holds(m.name) {
			return s.mistaken()
		}
		l.used = true
		s.post(appendDescribe(s.out, m.kind, m.name), s.due(expected{kind: 'D', lane: l, alone: true}))
		return nil
	}
	l, err := take(lanes, m.kind == 'S')
	if err != nil {
		return err
	}
	e := s.due(expected{kind: 'D', lane: l})
	if m.kind == 'S' {
		if e.stmt, err = certain(s, &s.names, m.name); err != nil {
			return err
		}
		if e.stmt == nil {
			return noStatement(m.name)
		}
		if !s.speaksOf(l, e.stmt) {
			return s.mistaken()
		}
	} else {
		p, err := certain(s, &s.portals, m.name)
		if err != nil {
			return err
		}
		if p == nil {
			return noPortal(m.name)
		}
		if p.lane != l {
			return s.mistaken()
		}
		s.doubt(m.name, p)
		s.describes(e, p)
	}
	s.post(appendDescribe(s.out, m.kind, m.name), e)
	return nil
}

// describes notes that an answer is going to say what columns a portal has.
func (s *stream) describes(e *expected, p *portal) {
	e.shows = p
	s.mu.Lock()
	p.described = true
	s.mu.Unlock()
}

// speaksOf reports whether a lane is a statement's. One that PREPARE made has none until
// the client first asks about it.
func (s *stream) speaksOf(l *lane, st *statement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.lane == nil && st.sql != "" && l != nil && !l.used && l.text == st.text {
		st.lane, l.used = l, true
	}
	return st.lane == l
}

// same returns an error if a lane's EXECUTE would run another statement by now than
// what was decided upon.
func (s *stream) same(l *lane) error {
	if l.runsAs == nil {
		return nil
	}
	now, err := certain(s, &s.names, l.reading.Executes)
	if err != nil {
		return err
	}
	if now != l.runsAs {
		return errOther
	}
	return nil
}

var errOther = &bastion.TargetError{Code: "40001", Summary: "the name stands for another prepared statement than when this was decided, so it did not run; run it again"}

// doubt notes that something else may stand behind a portal's name than what was
// decided upon, or may run in its functions: then all it answers is of unknown origin.
func (s *stream) doubt(name string, p *portal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.lane == nil || p.runs == s.runs && (p.moves == s.moves || name == "" && p.lane.reading.Fetches == "") {
		return
	}
	if !p.lane.doubt {
		p.lane.doubt = true
		p.described = false // the columns have to be announced again
	}
}

func (s *stream) execute(m executeMessage, lanes []*lane) error {
	l, err := take(lanes, false)
	if err != nil {
		return err
	}
	p, err := certain(s, &s.portals, m.portal)
	if err != nil {
		return err
	}
	if p == nil {
		return noPortal(m.portal)
	}
	if p.lane != l {
		return s.mistaken()
	}
	if l != nil && m.rows > 0 && l.sink.Scatters() {
		return &bastion.TargetError{Code: "0A000", Summary: "the rows of this join may come in the order of masked values, so they cannot be fetched a few at a time; add ORDER BY with a key of a joined table, or fetch all"}
	}
	if l != nil {
		if l.runsAs != nil && !p.begun {
			s.mu.Lock()
			swapped := p.runs != s.runs
			s.mu.Unlock()
			if swapped {
				return errOther
			}
			if err := s.same(l); err != nil {
				return err
			}
		}
		p.begun = true
		s.doubt(m.portal, p)
		s.mu.Lock()
		known := p.described || p.of.known && p.of.runs == s.runs && !l.doubt
		s.mu.Unlock()
		if !known {
			// The client did not ask what columns there are. Masks must know.
			e := &expected{kind: 'D', lane: l, hidden: true}
			s.describes(e, p)
			s.post(appendDescribe(s.out, 'P', m.portal), e)
		}
		s.going(l)
		s.copiesIn(l)
		s.mu.Lock()
		if !l.doubt {
			p.runs, p.moves = s.runs, s.moves // what it does itself cannot close it
		}
		s.mu.Unlock()
	}
	b, at := wire.Begin(s.out, 'E')
	s.post(wire.End(binary.BigEndian.AppendUint32(wire.String(b, m.portal), m.rows), at), s.due(expected{kind: 'E', lane: l}))
	return nil
}

func (s *stream) close(m closeMessage) {
	e := &expected{kind: 'C', theirs: m.theirs}
	if m.kind == 'S' {
		e.name = s.names.set(m.name, nil)
	} else {
		e.portal = s.portals.set(m.name, nil)
	}
	if m.kind == 'P' {
		s.hushed(m.name) // SQL's cursors go by the same names
	}
	s.post(appendClose(s.out, m.kind, m.name), e)
}

func (s *stream) fail(m failMessage) error {
	if s.atRest(nil, nil) {
		s.mu.Lock()
		s.skipping = true
		s.mu.Unlock()
		m.refused()
		return s.sink.Signal(signalFlush, 0)
	}
	s.post(appendParse(s.out, "sallyport: refused", refusedText), &expected{kind: 'P', refused: m.refused})
	return nil
}

// atOnce gives the client a signal that the target had no part in.
func (s *stream) atOnce(code, arg byte) error {
	if err := s.sink.Signal(code, arg); err != nil {
		return err
	}
	return s.sink.Signal(signalFlush, 0)
}

func noStatement(name string) error {
	if name == "" {
		return &bastion.TargetError{Code: "26000", Summary: "unnamed prepared statement does not exist"}
	}
	return &bastion.TargetError{Code: "26000", Summary: `prepared statement "` + bastion.VisibleLine(name) + `" does not exist`}
}

func noPortal(name string) error {
	return &bastion.TargetError{Code: "34000", Summary: `portal "` + bastion.VisibleLine(name) + `" does not exist`}
}
