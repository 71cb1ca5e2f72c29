package postgres

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// What follows keeps the reading of texts in step with what runs. A text is read
// before what was sent earlier has run, as long as that cannot change how it is to be
// read; else the sender waits, and looks at the session's settings again.

// Parse implements [bastion.Conn].
func (s *stream) Parse(ctx context.Context, text string) (bastion.Intent, error) {
	r, err := s.readSettled(ctx, text)
	if err != nil {
		return bastion.Intent{}, err
	}
	return r.Intent, nil
}

// readSettled reads a text once nothing is on its way that could change how it is
// to be read.
func (s *stream) readSettled(ctx context.Context, text string) (*lineage.Reading, error) {
	if err := s.quiet(ctx); err != nil {
		return nil, err
	}
	s.reading.mu.Lock()
	settled := s.settled
	s.reading.mu.Unlock()
	if !settled {
		if err := s.look(ctx); err != nil {
			return nil, err
		}
	}
	r, err := s.read(ctx, text)
	if s.strayed() {
		if err := s.look(ctx); err != nil {
			return nil, err
		}
		r, err = s.read(ctx, text)
	}
	if err == nil && r.Doubted {
		if err := s.survey(ctx, r.System); err != nil {
			return nil, err
		}
		r, err = s.read(ctx, text)
	}
	// What EXECUTE names may depend on answers that are still to come.
	pe, _ := errors.AsType[*bastion.ParseError](err)
	again := pe != nil && pe.Code != ""
	if err == nil && r.Executes != "" {
		_, sure := s.names.get(r.Executes)
		again = !sure
	}
	if !again {
		return r, err
	}
	if err := s.calm(ctx); err != nil {
		return nil, err
	}
	return s.read(ctx, text)
}

// quiet waits for what is on its way, if that could change how texts are to be read.
func (s *stream) quiet(ctx context.Context) error {
	s.mu.Lock()
	loud := s.loud
	s.mu.Unlock()
	if !loud {
		return nil
	}
	return s.calm(ctx)
}

// calm waits for what is on its way. That it was skipped is as good.
func (s *stream) calm(ctx context.Context) error {
	if err := s.Settle(ctx); err != nil && !errors.Is(err, errSkipped) {
		return err
	}
	return nil
}

// prepared is how EXECUTE finds its statement.
func (s *stream) prepared(name string) (text string, ok bool) {
	st, _ := s.names.get(name)
	switch {
	case st == nil || name == "":
		return "", false
	case st.sql != "":
		return st.sql, true
	}
	return st.text, true
}

// look reads the session's settings, in the middle of what the client does. In a broken
// transaction nothing runs but its end, so that they do not matter.
func (s *stream) look(ctx context.Context) error {
	if err := s.Settle(ctx); err != nil {
		if errors.Is(err, errSkipped) {
			return nil // nothing runs until the client sends Sync
		}
		return err
	}
	s.mu.Lock()
	broken := s.status == 'E'
	s.mu.Unlock()
	if broken {
		return nil
	}
	s.seen()
	const name = "sallyport: settings"
	o := &question{}
	if err := s.ask(ctx, o, appendOwn(nil, name, sessionQuery), ownTypes); err != nil {
		return err
	}
	if o.err != nil {
		// Its transaction is broken, or there was none. Nothing else has happened.
		return &bastion.TargetError{Code: o.err.Code, Summary: "the session's settings could not be read before the statement, so it did not run: " + condition(o.err.Code)}
	}
	v := make([]string, len(o.row))
	for i := range o.row {
		v[i] = string(o.row[i])
	}
	if err := s.looked(v); err != nil {
		s.hangUp(&bastion.TargetError{Code: "08P01", Summary: "the session's settings cannot be read any more, so the connection was closed; connect again", Lost: true})
		return errGone
	}
	return nil
}

// relabel brings the label back to the beginning of application_name, so that the
// target's own log names the person, whatever the session calls itself.
func (s *stream) relabel() error {
	s.mu.Lock()
	wanted := s.unlabelled && s.status != 'E'
	s.mu.Unlock()
	if !wanted { // in a broken transaction nothing runs but the transaction's end, which may bring it back
		return nil
	}
	if err := s.Settle(context.Background()); err != nil {
		if errors.Is(err, errSkipped) || errors.Is(err, errCopying) {
			return nil
		}
		return err
	}
	s.mu.Lock()
	gone, program, status := s.unlabelled, s.program, s.status
	s.unlabelled = gone && status == 'E'
	s.mu.Unlock()
	if !gone || status == 'E' {
		return nil
	}
	const name = "sallyport: label"
	o := &question{}
	// What a transaction sets for itself ends with it, and so does this.
	b := appendOwn(nil, name, "SELECT pg_catalog.set_config('application_name', "+literal(labelled(s.label, program))+", "+strconv.FormatBool(status == 'T')+")")
	return s.ask(context.Background(), o, b, ownTypes)
}

// ask puts a question of the bastion's own to the target: messages of the extended
// protocol, of the given types. It waits for the answer.
func (s *stream) ask(ctx context.Context, o *question, messages []byte, types string) error {
	s.mu.Lock()
	for i := range len(types) {
		s.queue = append(s.queue, &expected{kind: types[i], own: o})
	}
	if s.open == 0 {
		messages = wire.Append(messages, 'S')
		s.queue = append(s.queue, &expected{kind: 'S', own: o})
	} else {
		messages = wire.Append(messages, 'H')
	}
	s.mu.Unlock()
	s.out = append(s.out, messages...)
	if err := s.flush(); err != nil {
		return err
	}
	return s.wait(ctx, func() bool { return len(s.queue) == 0 })
}

// appendOwn runs a text of the bastion's own, under a name of its own, which is closed
// before as well: where an earlier one failed it stayed. ownTypes are the messages.
func appendOwn(b []byte, name, text string) []byte {
	b = appendParse(appendClose(appendClose(b, 'P', name), 'S', name), name, text)
	b = appendExecute(appendBind(b, name, name), name)
	return appendClose(appendClose(b, 'P', name), 'S', name)
}

const ownTypes = "CCPBECC"

func appendParse(b []byte, name, text string) []byte {
	b, at := wire.Begin(b, 'P')
	b = wire.String(wire.String(b, name), text)
	return wire.End(append(b, 0, 0), at)
}

func appendBind(b []byte, portal, statement string) []byte {
	b, at := wire.Begin(b, 'B')
	b = wire.String(wire.String(b, portal), statement)
	return wire.End(append(b, 0, 0, 0, 0, 0, 0), at)
}

func appendDescribe(b []byte, kind byte, name string) []byte {
	b, at := wire.Begin(b, 'D')
	return wire.End(wire.String(append(b, kind), name), at)
}

func appendExecute(b []byte, portal string) []byte {
	b, at := wire.Begin(b, 'E')
	return wire.End(append(wire.String(b, portal), 0, 0, 0, 0), at)
}

func appendClose(b []byte, kind byte, name string) []byte {
	b, at := wire.Begin(b, 'C')
	return wire.End(wire.String(append(b, kind), name), at)
}

// Settle implements [bastion.Stream].
func (s *stream) Settle(ctx context.Context) error {
	s.mu.Lock()
	waiting, open := len(s.queue) > 0, s.open
	s.mu.Unlock()
	if waiting && open > 0 {
		s.out = wire.Append(s.out, 'H')
	}
	if err := s.flush(); err != nil {
		return err
	}
	if waiting {
		if err := s.wait(ctx, func() bool { return len(s.queue) == 0 || s.copying() }); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case s.copying():
		return errCopying
	case s.skipping:
		return errSkipped
	}
	return nil
}

// after keeps what is known of the session in step with what ran.
func (s *stream) after(l *lane, err error) {
	s.ran(l.text, l.reading, err == nil)
	if err == nil {
		s.renames(l)
	}
	s.mu.Lock()
	unsettled := l.unsettles(s.tainted)
	s.tainted = s.tainted || unsettled // what it set, the end of the transaction may take back
	s.mu.Unlock()
	if unsettled {
		s.unsettle()
	}
}

// renames keeps the names of prepared statements in step with PREPARE and DEALLOCATE.
func (s *stream) renames(l *lane) {
	r := l.reading
	if r.Prepares != "" {
		st := &statement{text: r.Inner, sql: l.text, types: []byte{0, 0}}
		s.mu.Lock()
		st.runs = l.runs
		s.mu.Unlock()
		s.over(s.names.put(r.Prepares, st))
	}
	if r.Forgets == "" {
		return
	}
	var gone []*statement
	s.names.forget(func(name string, st *statement) bool {
		if name == "" || name != r.Forgets && r.Forgets != "*" {
			return false
		}
		gone = append(gone, st)
		return true
	})
	for _, st := range gone {
		s.over(st)
	}
}

func (s *stream) unsettle() {
	s.reading.mu.Lock()
	s.settled = false
	s.reading.mu.Unlock()
}

// ends reports whether the operation only begins or ends transactions, which
// changes no setting but those that the transaction had changed.
func (l *lane) ends() bool {
	return l.reading.Intent.Verb == lineage.Transaction && len(l.reading.Intent.Actions) == 1
}

// unsettles reports whether the session's settings have to be looked at after the
// operation. tainted says that the transaction has changed some.
func (l *lane) unsettles(tainted bool) bool {
	return l.reading.Unsettles && (tainted || !l.ends())
}

// noisy reports whether the operation may change how texts are read.
func (s *stream) noisy(l *lane) bool {
	s.mu.Lock()
	tainted := s.tainted
	s.mu.Unlock()
	r := l.reading
	return l.unsettles(tainted) || r.Prepares != "" || r.Declares != "" || r.Forgets != "" || r.Closes != "" ||
		slices.ContainsFunc(r.Intent.Actions, func(a bastion.Action) bool { return changesSchema[a.Verb] })
}

// code reports whether the operation may run code that nobody can look into.
func (l *lane) code() bool { return l.reading.Unsettles && !l.ends() || l.reading.Effects }

// going notes that an operation is about to run, and what it may do to what others
// rely on: code may close whatever stands behind a name, and put something else there.
func (s *stream) going(l *lane) {
	loud := s.noisy(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loud = s.loud || loud
	if l.code() {
		s.runs++
	}
	if slices.ContainsFunc(l.reading.Intent.Actions, func(a bastion.Action) bool { return a.Verb == lineage.Transaction }) {
		s.block = false // until the target says more
	}
	l.runs = s.runs
	if l.reading.Declares != "" || l.reading.Closes != "" {
		s.moves++
	}
}

// renew prepares a statement again under its name, if code has run that may have put
// another behind it. It is described before that: PostgreSQL keeps the shape of a
// statement's answers, and fails if that is another one by now.
func (s *stream) renew(name string, st *statement) error {
	s.mu.Lock()
	runs, known, fields := s.runs, st.known, st.fields
	s.mu.Unlock()
	if name == "" || st.runs == runs { // SQL has no way to name the unnamed one
		return nil
	}
	if err := s.Settle(context.Background()); err != nil {
		return err
	}
	s.mu.Lock()
	broken := s.status == 'E'
	s.mu.Unlock()
	if broken {
		return nil // nothing runs until the transaction ends
	}
	o := &question{stmt: &statement{}}
	b, types := appendClose(appendDescribe(nil, 'S', name), 'S', name), "DCPD"
	if st.sql != "" {
		const by = "sallyport: prepare"
		b, types = appendOwn(b, by, st.sql), "DC"+ownTypes+"D"
	} else {
		var at int
		b, at = wire.Begin(b, 'P')
		b = wire.String(wire.String(b, name), st.text)
		b = wire.End(append(b, st.types...), at)
	}
	if err := s.ask(context.Background(), o, appendDescribe(b, 'S', name), types); err != nil {
		return err
	}
	switch {
	case o.err != nil && o.err.Code == "26000":
		return noStatement(name)
	case o.err != nil:
		te := *o.err
		te.Detail, te.Native = "", nil
		return &te
	case known && !sameShape(fields, o.stmt.fields):
		return errShape
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.runs = runs
	st.known, st.fields = true, o.stmt.fields
	return nil
}

// errShape is PostgreSQL's error where a prepared statement would answer in other columns
// than when it was prepared. Drivers know it by the routine that gives it, and prepare again.
var errShape = &bastion.TargetError{Code: "0A000", Summary: planChanged, Named: named(&pgconn.PgError{Message: planChanged})}

// sameShape reports whether a client that knows one answer's columns can read the other.
func sameShape(a, b []field) bool {
	return (a == nil) == (b == nil) && slices.EqualFunc(a, b, func(x, y field) bool { return x.name == y.name && bytes.Equal(x.native[6:16], y.native[6:16]) })
}

// forgetCursor notes that a name of SQL's cursors stands for something else now, or for
// nothing.
func (c *reading) forgetCursor(name string) {
	if name == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.cursors[name]; ok {
		delete(c.cursors, name)
		c.opened()
	}
}
