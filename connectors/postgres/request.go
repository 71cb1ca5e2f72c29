package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// prepared is a prepared statement.
type prepared struct {
	text   string
	types  []byte          // as in Parse, with their number before them
	sql    bool            // PREPARE made it
	flight *bastion.Flight // by which it was prepared; nil for an empty one, and for PREPARE's until it is described
	// learnt is the types as the target says them, if the client asked; nil before.
	learnt atomic.Pointer[[]byte]
}

// shownTypes are the types by which parameters are shown to people.
func (st *prepared) shownTypes() []byte {
	if learnt := st.learnt.Load(); learnt != nil {
		return *learnt
	}
	return st.types
}

// written counts the text of a statement, for as long as its name stands for it.
type written struct {
	*change[*prepared]
	c *client
}

func (w written) confirm() {
	before := w.replace()
	if before != nil {
		w.c.texts.Add(-int64(len(before.text)))
	}
}

func (w written) undo() {
	w.change.undo()
	if w.value != nil {
		w.c.texts.Add(-int64(len(w.value.text)))
	}
}

// name assumes that a statement's name is going to stand for something.
func (c *client) name(name string, st *prepared) outcome {
	if st != nil {
		c.texts.Add(int64(len(st.text)))
	}
	return written{c.statements.set(name, st), c}
}

// standing returns the prepared statement of a name, once nothing is on its way that
// could change it.
func (c *client) standing(name string) (*prepared, error) {
	if name != "" && c.renaming {
		if err := c.n.Send(quietMessage{}); err != nil {
			return nil, err
		}
	}
	return known(c, &c.statements, name)
}

// renames says what an operation does to the names of prepared statements once it has
// run; nil if nothing.
func (c *client) renames(op bastion.Operation) func() {
	var few [8]bastion.Action
	if !slices.ContainsFunc(op.AppendActions(few[:0]), func(a bastion.Action) bool { return a.Verb == lineage.Prepare || a.Verb == lineage.SettingMeaning }) {
		return nil
	}
	r, err := lineage.NewReader(nil).Read(op.Text(), lineage.Session{})
	if err != nil || r.Prepares == "" && r.Forgets == "" {
		return nil // EXECUTE is among those that cannot be read without its statement
	}
	return func() {
		if r.Prepares != "" {
			c.texts.Add(int64(len(r.Inner)))
			if before := c.statements.put(r.Prepares, &prepared{text: r.Inner, types: []byte{0, 0}, sql: true}); before != nil {
				c.texts.Add(-int64(len(before.text)))
			}
		}
		c.statements.forget(func(name string, st *prepared) bool {
			if name == "" || name != r.Forgets && r.Forgets != "*" {
				return false
			}
			c.texts.Add(-int64(len(st.text)))
			return true
		})
	}
}

// begin takes an operation through the gate.
func (c *client) begin(ctx context.Context, op bastion.Operation, a *answer) (*bastion.Flight, error) {
	a.renames = c.renames(op)
	if a.renames != nil {
		if c.crowded(len(op.Text())) {
			return nil, errCrowded
		}
		c.renaming = true
	}
	return c.n.Begin(ctx, op, a.job())
}

// crowded reports whether there are too many prepared statements for one more.
func (c *client) crowded(size int) bool {
	return c.statements.size() >= maxNames || c.texts.Load()+int64(size) > maxTexts
}

var errCrowded = &bastion.TargetError{Code: "53000", Summary: "there are too many prepared statements on this connection; close some"}

// unnamed assumes that the unnamed statement and portal are going to end.
func (c *client) unnamed() (statement, portal outcome) {
	if c.statements.holds("") {
		statement = c.name("", nil)
	}
	if c.portals.holds("") {
		portal = c.portals.set("", nil)
	}
	return statement, portal
}

// known returns what a name stands for, and waits for answers if it depends on them.
func known[T comparable](c *client, names *assumed[T], name string) (value T, err error) {
	value, sure := names.get(name)
	if sure {
		return value, nil
	}
	if err := c.n.Settle(c.fresh()); err != nil && !errors.Is(err, errSkipped) {
		return value, err
	}
	value, _ = names.get(name)
	return value, nil
}

// batch notes that what comes next is not skipped when what was sent so far fails.
func (c *client) batch() {
	c.statements.next()
	c.portals.next()
}

// errMessage ends a connection whose client does not keep to the protocol.
func errMessage(typ byte) error {
	return &bastion.TargetError{Code: "08P01", Summary: fmt.Sprintf("the client sent a message of type %q, which is not known or not right here", typ)}
}

// kept is what the target keeps of a name, a statement's or a portal's: 63 bytes
// (NAMEDATALEN), so that longer ones can be the same name. SQL cuts them at a letter, the
// protocol anywhere. Here it is at a letter, and the target is sent nothing longer.
func kept(name string) string {
	const most = 63
	if len(name) <= most {
		return name
	}
	n := most
	for n > most-utf8.UTFMax && !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}

// malformed answers a message whose body is not what its type says, as PostgreSQL
// does: it is refused, and what follows is skipped until Sync.
func (c *client) malformed() error {
	return c.refuse(&bastion.TargetError{Code: "08P01", Summary: "invalid message format"})
}

// message handles one message. An error ends the connection.
func (c *client) message(typ byte, body []byte) error {
	if c.skipping && typ != 'S' && typ != 'X' {
		if strings.IndexByte("PBDECHQFcf", typ) < 0 {
			return errMessage(typ)
		}
		return nil
	}
	c.heard = heard{}
	b := wire.NewBody(body)
	switch typ {
	case 'Q':
		text := b.String()
		if b.End() != nil {
			return c.refuseQuery(nil, "", &bastion.TargetError{Code: "08P01", Summary: "invalid message format"})
		}
		return c.query(text)
	case 'P':
		name, text := b.String(), b.String()
		types := b.Rest()
		b.Take(4 * b.Count(4))
		if b.End() != nil {
			return c.malformed()
		}
		return c.parse(name, text, bytes.Clone(types))
	case 'B':
		return c.bind(b)
	case 'D', 'C':
		kind, name := b.Byte(), b.String()
		if b.End() != nil || kind != 'S' && kind != 'P' {
			return c.malformed()
		}
		if typ == 'D' {
			return c.describe(kind, name)
		}
		name = kept(name)
		theirs := outcome(nil)
		if kind == 'S' {
			theirs = c.name(name, nil)
		} else {
			theirs = c.portals.set(name, nil)
		}
		return c.send(closeMessage{kind, name, theirs}, theirs)
	case 'E':
		name, rows := b.String(), uint32(b.Int32())
		if b.End() != nil {
			return c.malformed()
		}
		return c.execute(name, rows)
	case 'H', 'S', 'c', 'X':
		if b.End() != nil {
			return errMessage(typ)
		}
	}
	switch typ {
	case 'H':
		if err := c.n.Send(flushMessage{}); err != nil {
			return err
		}
		return c.n.Send(finishMessage{})
	case 'S':
		c.skipping = false
		c.batch()
		return c.n.Send(syncMessage{})
	case 'c':
		return c.n.Send(copyEndMessage{})
	case 'f':
		reason := b.String()
		if b.End() != nil {
			return errMessage(typ)
		}
		return c.n.Send(copyEndMessage{failed: true, reason: reason})
	case 'X':
		return errLeft
	case 'F':
		return c.refuseQuery(nil, "", &bastion.DeniedError{Reason: "calls of functions by the old protocol cannot be read", Next: "use SELECT function(...)"})
	}
	return errMessage(typ)
}

// query handles a text by the simple protocol.
func (c *client) query(text string) error {
	defer c.batch()
	ctx := c.fresh()
	texts, rest := lineage.Split(text)
	if rest != "" {
		texts = append(texts, rest)
	}
	if len(texts) == 1 {
		texts[0] = text
	}
	if len(texts) > maxTogether {
		return c.steps(text, texts, nil)
	}
	flights := make([]*bastion.Flight, 0, 4)
	at := 0
	for i, t := range texts {
		at = placeOf(text, t, at)
		op, err := c.n.Read(ctx, t, bastion.Params{})
		if err != nil {
			if pe, ok := errors.AsType[*bastion.ParseError](err); ok && pe.Code != "" {
				return c.refuseQuery(flights, text, shifted(err, text[:at]))
			}
			// PostgreSQL reads a text in full before it runs any of it.
			if derr := c.n.Send(dropMessage{}, flights...); derr != nil {
				return derr
			}
			return c.refuseQuery(nil, "", shifted(err, text[:at]))
		}
		f, err := c.begin(ctx, op, &answer{c: c})
		if err != nil {
			return c.refuseQuery(flights, text, err)
		}
		flights = append(flights, f)
		if i == len(texts)-1 {
			break
		}
		at = min(at+len(t), len(text))
		if err := c.n.Send(aloneMessage{}, f); errors.Is(err, errAlone) {
			return c.steps(text, texts, flights)
		} else if err != nil {
			return err
		}
	}
	statement, portal := c.unnamed()
	return c.send(queryMessage{text: text, statement: statement, portal: portal}, outcomes{statement, portal}, flights...)
}

// steps runs the statements of a text one by one, because they are many, or because
// one has to run before the next can be read. The flights are those that have begun.
func (c *client) steps(text string, texts []string, flights []*bastion.Flight) error {
	// PostgreSQL reads a text in full before it runs any of it.
	at, reader := 0, lineage.NewReader(nil)
	for _, t := range texts {
		at = placeOf(text, t, at)
		_, err := reader.Read(t, lineage.Session{})
		if pe, ok := errors.AsType[*bastion.ParseError](err); ok && pe.Position > 0 && pe.Code == "" {
			if derr := c.n.Send(dropMessage{}, flights...); derr != nil {
				return derr
			}
			return c.refuseQuery(nil, "", shifted(err, text[:at]))
		}
		at = min(at+len(t), len(text))
	}
	statement, portal := c.unnamed()
	if err := c.send(beginMessage{!slices.ContainsFunc(texts, transactional), statement}, outcomes{statement, portal}); err != nil {
		if derr := c.n.Send(dropMessage{}, flights...); derr != nil {
			return derr
		}
		if errors.Is(err, errSkipped) {
			return nil
		}
		return c.refuseQuery(nil, "", err)
	}
	at = 0
	for i, t := range texts {
		at = placeOf(text, t, at)
		if i >= len(flights) {
			f, err := c.next(t)
			if errors.Is(err, errSkipped) {
				break
			}
			if err != nil {
				outcomes{portal}.undo()
				return c.ended(shifted(err, text[:at]))
			}
			flights = append(flights, f)
		}
		if err := c.send(stepMessage{utf8.RuneCountInString(text[:at]), portal}, outcomes{portal}, flights[i]); err != nil {
			return c.ended(err)
		}
		portal = nil
		if takesData(flights[i].Operation()) {
			if err := c.feed(flights[i]); err != nil {
				return err
			}
		}
		at = min(at+len(t), len(text))
	}
	return c.n.Send(endMessage{})
}

// placeOf is where a statement of a text begins, which is not before a place.
func placeOf(text, statement string, from int) int {
	return from + max(0, strings.Index(text[from:], statement))
}

// shifted is an error of a statement that stands in a text after others.
func shifted(err error, before string) error {
	pe, ok := errors.AsType[*bastion.ParseError](err)
	if !ok || pe.Position == 0 || before == "" {
		return err
	}
	moved := *pe
	moved.Position += utf8.RuneCountInString(before)
	return &moved
}

// next takes the next statement of a text through the gate, once those before it ran.
func (c *client) next(text string) (*bastion.Flight, error) {
	ctx := c.fresh()
	if err := c.n.Settle(ctx); err != nil {
		return nil, err
	}
	op, err := c.n.Read(ctx, text, bastion.Params{})
	if err != nil {
		return nil, err
	}
	return c.begin(ctx, op, &answer{c: c})
}

// takesData reports whether an operation is a COPY FROM the client.
func takesData(op bastion.Operation) bool {
	return slices.ContainsFunc(op.Intent().Actions, func(a bastion.Action) bool { return a.Verb == lineage.CopyIn })
}

// feed passes on what the client sends as the data of a COPY that stands in a text with
// others, until the COPY ends.
func (c *client) feed(f *bastion.Flight) error {
	for {
		if err := c.n.Send(finishMessage{}); err != nil {
			return err
		}
		switch err := c.n.Settle(c.ctx); {
		case err == nil, errors.Is(err, errSkipped):
			return nil
		case !errors.Is(err, errCopying):
			return err
		}
		if !c.in.Ready() {
			// The COPY may fail, and then the client sends nothing more.
			c.watch.await(c.n.Go, c.depart, f.Landed)
			if f.Landed() {
				continue
			}
		}
		typ, err := c.in.Peek()
		if err == nil && typ == 'd' {
			err = c.copyData()
		} else if err == nil {
			var body []byte
			if typ, body, err = c.in.Next(); err == nil {
				switch typ {
				case 'H', 'S': // left out, as the target does
				case 'c', 'f', 'X':
					err = c.message(typ, body)
				default:
					err = errCopying
				}
			}
		}
		if err != nil {
			return err
		}
	}
}

// ended ends a text whose statements go one by one, where one was refused.
func (c *client) ended(err error) error {
	if c.ends(err) {
		return err
	}
	return c.n.Send(endMessage{func() { c.failing(err) }})
}

// transactional reports whether a statement seems to begin or end a transaction. Where
// it is wrong about one, PostgreSQL warns of a transaction more or less.
func transactional(text string) bool {
	word, _, _ := strings.Cut(strings.TrimLeft(text, " \t\r\n\f\v"), " ")
	switch strings.ToLower(strings.TrimRight(word, "; \t\r\n\f\v")) {
	case "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare":
		return true
	}
	return false
}

// send is n.Send for what changes the meaning of names.
func (c *client) send(message any, theirs outcome, flights ...*bastion.Flight) error {
	err := c.n.Send(message, flights...)
	if err != nil {
		theirs.undo()
	}
	return err
}

// parse prepares a statement.
func (c *client) parse(name, text string, types []byte) error {
	if c.crowded(len(text)) {
		return c.refuse(errCrowded)
	}
	st := &prepared{text: text, types: types}
	var flights []*bastion.Flight
	texts, rest := lineage.Split(text)
	if len(texts) > 1 || len(texts) == 1 && rest != "" {
		return c.refuse(&bastion.ParseError{Message: "cannot insert multiple commands into a prepared statement"})
	}
	if len(texts) > 0 || rest != "" {
		ctx := c.fresh()
		op, err := c.n.Read(ctx, text, bastion.Params{})
		if err == nil {
			a := &answer{c: c, prepares: st}
			st.flight, err = c.n.Prepare(ctx, op, a.job())
		}
		if err != nil {
			return c.refuse(err)
		}
		flights = append(flights, st.flight)
	}
	name = kept(name)
	theirs := c.name(name, st)
	if err := c.send(parseMessage{name, types, theirs}, theirs, flights...); err != nil {
		return c.refuse(err)
	}
	return nil
}

// bind takes a statement with its parameters through the gate.
func (c *client) bind(b *wire.Body) error {
	portal, full := kept(b.String()), b.String()
	name := kept(full)
	values := b.Rest()
	show, err := parameters(b)
	values = values[:len(values)-len(b.Rest())]
	results := bytes.Clone(b.Rest())
	b.Take(2 * b.Count(2))
	if err != nil || b.End() != nil {
		return c.malformed()
	}
	st, err := c.standing(name)
	switch {
	case err != nil:
		return c.refuse(err)
	case st == nil:
		return c.refuse(noStatement(full))
	case st.sql && st.text == "":
		return c.refuse(&bastion.TargetError{Code: "0A000", Summary: "what PREPARE made of this statement cannot be run by the protocol here; use EXECUTE"})
	case c.portals.size() >= maxNames:
		return c.refuse(&bastion.TargetError{Code: "53000", Summary: "there are too many portals on this connection; close some"})
	}
	a := &answer{c: c, pause: c.pauses}
	var few [1]*bastion.Flight
	flights := few[:0]
	if st.sql || st.flight != nil {
		ctx := c.fresh()
		op, err := c.n.Read(ctx, st.text, bastion.Params{Bytes: joinParams(st.types, values), Shown: show(st.shownTypes())})
		if err == nil {
			a.flight, err = c.begin(ctx, op, a)
		}
		if err != nil {
			return c.refuse(err)
		}
		flights = append(flights, a.flight)
	}
	theirs := c.portals.set(portal, a)
	if err := c.send(bindMessage{portal, name, results, theirs}, theirs, flights...); err != nil {
		return c.refuse(err)
	}
	return nil
}

// parameters reads the formats and values of Bind, and returns a function that
// shows them.
func parameters(b *wire.Body) (show func(types []byte) []string, err error) {
	formats := make([]int16, b.Count(2))
	for i := range formats {
		formats[i] = int16(b.Int16())
	}
	values := make([][]byte, b.Count(4))
	for i := range values {
		values[i] = b.Value()
	}
	if len(formats) > 1 && len(formats) != len(values) {
		return nil, wire.ErrBody
	}
	return func(types []byte) []string {
		t := wire.NewBody(types)
		n := t.Count(4)
		shown := make([]string, len(values))
		for i, v := range values {
			oid := uint32(0)
			if i < n {
				oid = uint32(t.Int32())
			}
			if shown[i] = "NULL"; v != nil {
				shown[i] = showParam(oid, formatOf(formats, i), v)
			}
		}
		return shown
	}, b.Err()
}

// formatOf is the format of a parameter or column: text if none are given, the same
// for all if there is one.
func formatOf(formats []int16, i int) int16 {
	switch {
	case len(formats) == 1:
		return formats[0]
	case i < len(formats):
		return formats[i]
	}
	return 0
}

// joinParams makes the bytes of an operation's parameters: the declared types, and
// formats and values as Bind has them.
func joinParams(types, values []byte) []byte {
	b := make([]byte, 0, 4+len(types)+len(values))
	b = binary.BigEndian.AppendUint32(b, uint32(len(types)))
	return append(append(b, types...), values...)
}

// paramValues is the part of joinParams that Bind has.
func paramValues(b []byte) []byte {
	if len(b) < 4 {
		return []byte{0, 0, 0, 0}
	}
	n := int(binary.BigEndian.Uint32(b))
	return b[min(4+n, len(b)):]
}

// describe asks for the columns of a statement or a portal.
func (c *client) describe(kind byte, full string) error {
	name := kept(full)
	var flight *bastion.Flight
	if kind == 'S' {
		st, err := c.standing(name)
		switch {
		case err != nil:
			return c.refuse(err)
		case st == nil:
			return c.refuse(noStatement(full))
		case st.sql && st.flight == nil:
			return c.describePrepared(st, name)
		}
		flight = st.flight
	} else {
		a, err := known(c, &c.portals, name)
		if err != nil {
			return c.refuse(err)
		}
		if a == nil {
			return c.describeCursor(name, full)
		}
		flight = a.flight
	}
	return c.about(describeMessage{kind, name}, flight)
}

// describeCursor asks for the columns of a cursor that SQL made: they are those of FETCH.
func (c *client) describeCursor(name, full string) error {
	if err := c.n.Send(cursorMessage{name, full}); err != nil {
		return c.refuse(err)
	}
	ctx := c.fresh()
	op, err := c.n.Read(ctx, `FETCH ALL FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`, bastion.Params{})
	if err != nil {
		return c.refuse(err)
	}
	a := &answer{c: c, prepares: &prepared{}}
	flight, err := c.n.Prepare(ctx, op, a.job())
	if err != nil {
		return c.refuse(err)
	}
	return c.about(describeMessage{'P', name}, flight)
}

// describePrepared asks for the columns of what PREPARE made, for the first time.
func (c *client) describePrepared(st *prepared, name string) error {
	ctx := c.fresh()
	op, err := c.n.Read(ctx, st.text, bastion.Params{})
	if err != nil {
		return c.refuse(err)
	}
	a := &answer{c: c, prepares: st}
	flight, err := c.n.Prepare(ctx, op, a.job())
	if err == nil {
		err = c.n.Send(describeMessage{'S', name}, flight)
	}
	if err != nil {
		return c.refuse(err)
	}
	st.flight = flight
	return nil
}

// execute runs a portal.
func (c *client) execute(full string, rows uint32) error {
	name := kept(full)
	a, err := known(c, &c.portals, name)
	if err != nil {
		return c.refuse(err)
	}
	if a == nil {
		return c.refuse(noPortal(full))
	}
	if a.flight != nil && a.pause != c.pauses {
		// Time has passed since it was decided.
		a.pause = c.pauses
		if err := c.n.Again(c.fresh(), a.flight); err != nil {
			return c.refuse(err)
		}
	}
	return c.about(executeMessage{name, rows}, a.flight)
}

// about sends a message about a flight, or about what is empty.
func (c *client) about(message any, flight *bastion.Flight) error {
	var err error
	if flight == nil {
		err = c.n.Send(message)
	} else {
		err = c.n.Send(message, flight)
	}
	if err != nil {
		return c.refuse(err)
	}
	return nil
}
