package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// stream implements [bastion.Stream]: the target half of a native client's
// connection. One goroutine, Listen's, reads what the target sends; the client
// half's goroutine, the sender, calls the rest. What was sent and is not answered
// yet stands in a queue, in order.
type stream struct {
	reading
	conn   net.Conn
	cancel *pgconn.PgConn // never spoken to: it knows how to cancel
	params map[string]string
	label  string // with which application_name begins: who it is
	told   string // of application_name, to the client; the listener's alone
	sink   *bastion.Sink
	failed func(error)

	out    []byte   // collected for the target; the sender's alone
	values [][]byte // of a row; the listener's alone
	types  typeCache

	// What stands behind names on the target.
	names   assumed[*statement]
	portals assumed[*portal]

	mu      sync.Mutex // guards what follows
	queue   []*expected
	spare   []*expected // of use again
	owed    int         // bytes of texts and parameters that stand in the queue
	until   func() bool // what the sender waits for; nil if it does not
	changed chan struct{}
	err     error // why the connection is of no more use
	status  byte  // of the transaction, as the target last said it
	open    int   // messages since the last Sync or Query
	// skipping: an error was answered, and nothing counts until a Sync is sent.
	// untold: it was that of a question of the bastion's own, so the client is to
	// hear of it as the failure of what it sends now.
	skipping, untold bool
	loud             bool    // something on its way may change how texts are read
	tainted          bool    // the transaction has run something that unsettles
	block            bool    // a transaction is open that only its end ends, and not the next Sync
	wrapped          bool    // the bastion began the transaction, for a text of several statements
	runs             int     // of code that nobody can look into: it may do what SQL can
	moves            int     // statements that made or closed cursors
	unlabelled       bool    // application_name does not begin with the label
	program          string  // what the session made of it then
	copies           []*lane // COPY FROM STDIN, of which the client has not ended the data
	lanes            map[*lane]struct{}
	listening        bool

	done    chan struct{} // closed when Listen returns
	closing sync.Once
}

// statement is a prepared statement, as the target described it. PREPARE and the
// protocol make them in one space of names.
type statement struct {
	text  string // empty for an empty one
	sql   string // PREPARE in full, if that made it
	types []byte // of its parameters, as in Parse
	runs  int    // of the stream, when it was last known to be what it says; the sender's alone

	// Guarded by the stream's mu.
	lane   *lane   // by which it was prepared or described; nil if there is none yet
	known  bool    // the target said what the columns are
	fields []field // the columns, in text format; nil if there are none

	last announced // the listener's alone
}

// announced is what was last said of the columns of a statement's answers. It is made
// once, as long as nothing has changed that it was made from.
type announced struct {
	said    []byte // RowDescription
	fields  []field
	names   *catalog.Snapshot
	reading *lineage.Reading
	outputs []mask.Column
	columns []bastion.Column
}

// portal is a statement with its parameters.
type portal struct {
	lane        *lane // nil for an empty one
	of          *statement
	runs, moves int  // of the stream, when it was last known to be what it says; the sender's alone
	begun       bool // it was to run; the sender's alone
	described   bool // its columns were asked for; guarded by the stream's mu
}

// lastWords is how long the client may hold up the end of a connection by not reading.
const lastWords = time.Second

// lane is an operation on its way.
type lane struct {
	s       *stream
	text    string // of the operation, as are the next two
	params  []byte
	outputs []mask.Column // as they were decided upon
	reading *lineage.Reading
	sink    *bastion.Sink
	done    func(error)
	prepare bool
	used    bool              // stands behind a name, or was sent; the sender's alone
	runs    int               // of the stream, when it was sent
	runsAs  *statement        // what its EXECUTE ran when it was read; else nil
	step    bool              // of a text whose statements go one by one
	shift   int               // characters before it in that text
	of      *statement        // of a portal; nil in a simple query
	results []byte            // formats of a portal's columns
	rows    copyRows          // how a COPY's rows are read; the listener's alone
	within  *catalog.Snapshot // by which it was read, if that is its transaction's own
	shown   bool              // its sink knows the columns; the listener's alone
	width   int               // how many they are; the listener's alone

	// Guarded by the stream's mu.
	ended  bool
	doubt  bool // what stands behind its portal's name may be another query by now
	taking bool // the target takes its COPY's data
}

// expected is the answer to one message.
type expected struct {
	kind   byte // the message's type
	lane   *lane
	lanes  []*lane    // of a query, those not answered yet
	stmt   *statement // of a Describe
	hidden bool       // the client did not ask by itself
	shows  *portal    // of a Describe: its columns
	alone  bool       // of a Describe: there is nothing else about its lane
	own    *question  // of a question of the bastion's own
	// What it changes, if it is answered as it should.
	name   *change[*statement]
	portal *change[*portal]
	theirs outcome
	begun  bool    // of a query: a statement has begun, so that the unnamed portal is gone
	ends   outcome // of a query: what that means for the client half
	// refused is called when a message fails that stands for one that was refused.
	refused func()
	owes    int
}

// maxSpare is how many answers are kept for use again, and maxSaid the longest
// RowDescription, in bytes.
const (
	maxSpare = 16
	maxSaid  = 4 << 10
)

// due makes an answer that is to come.
func (s *stream) due(v expected) *expected {
	s.mu.Lock()
	var e *expected
	if n := len(s.spare); n > 0 {
		e, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		e = new(expected)
	}
	s.mu.Unlock()
	*e = v
	return e
}

// past lets an answer be used again, if it has come. Only the listener calls it, which
// knew it as the head.
func (s *stream) past(e *expected) {
	if e == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 && s.queue[0] == e || len(s.spare) == maxSpare {
		return
	}
	*e = expected{}
	s.spare = append(s.spare, e)
}

// question is one of the bastion's own to the target.
type question struct {
	told bool // the client hears of its failure
	row  [][]byte
	each func([][]byte) // takes the rows instead, and their values for as long as it runs
	stmt *statement
	err  *bastion.TargetError
}

var (
	errSkipped  = errors.New("skipped, because an operation before it in the same transaction failed")
	errGone     = &bastion.TargetError{Code: "08006", Summary: "the connection to the target was lost; connect again", Lost: true}
	errProtocol = &bastion.TargetError{Code: "08P01", Summary: "the target sent what the protocol does not allow, so the connection was closed", Lost: true}
	errSettings = &bastion.TargetError{Code: "0A000", Summary: "the session changed a setting by which the bastion reads texts, so the connection was closed; connect again", Lost: true}
)

// Stream implements [bastion.Proxy].
func (k Connector) Stream(ctx context.Context, p *bastion.Permit) (bastion.Stream, error) {
	op, err := p.Use(bastion.ForDial)
	if err != nil {
		return nil, err
	}
	t := op.Target()
	opts, err := read(t)
	if err != nil {
		return nil, err
	}
	asked, err := decodeGreeting(op.Params().Bytes)
	if err != nil {
		return nil, err
	}
	user, password := p.Secret().Reveal()
	if asked.user != "" && asked.user != user && !slices.Contains(asked.aliases, asked.user) {
		// libpq sends the name of the computer's user where the person gives none.
		self := "your own name"
		if len(asked.aliases) > 0 {
			self = strconv.Quote(bastion.VisibleLine(asked.aliases[0])) + ", which is you (psql -U)"
		}
		return nil, &bastion.TargetError{Code: "28000", Summary: "the target has no user of the name " + strconv.Quote(bastion.VisibleLine(asked.user)) + " for you; connect as " + self + ": the bastion logs in with the target's own credential"}
	}
	config, err := opts.config(user, password, p.Label())
	if err != nil {
		return nil, err
	}
	s := &stream{reading: reading{target: t, person: p.Person(), database: config.Database, source: k.sources.of(t, config), cursors: map[string]cursor{}},
		lanes: map[*lane]struct{}{}, done: make(chan struct{}), status: 'I'}
	s.session.Prepared = s.prepared
	for _, name := range []string{"datestyle", "intervalstyle", "extra_float_digits", "bytea_output"} {
		delete(config.RuntimeParams, name) // a program asks for what it wants
	}
	s.label = config.RuntimeParams["application_name"]
	for _, v := range asked.settings {
		if v.name == "application_name" {
			v.value = labelled(s.label, v.value)
		}
		config.RuntimeParams[v.name] = v.value
	}
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &ahead{Conn: c}, nil
	}
	c, err := pgconn.ConnectConfig(ctx, config)
	if err == nil {
		err = s.adopt(ctx, c)
	}
	if err != nil {
		s.source.leave()
		return nil, unsuited(err, asked.settings, reaching(ctx, err))
	}
	return s, nil
}

// unsuited is the error of a connection that was refused for a setting which came with it,
// in the target's own words: nothing has run that could put others in. Else it is why.
func unsuited(err error, asked []setting, why error) error {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pe.Where != "" || !slices.ContainsFunc(asked, func(a setting) bool { return strings.Contains(strings.ToLower(pe.Message), `parameter "`+a.name+`"`) }) {
		return why
	}
	return &bastion.TargetError{Code: pe.Code, Summary: pe.Message}
}

// adopt prepares the connection and takes it over from the driver.
func (s *stream) adopt(ctx context.Context, c *pgconn.PgConn) error {
	s.seen()
	v, err := one(ctx, c, sessionQuery)
	if err == nil {
		err = s.looked(v)
	}
	if err == nil {
		// A slow write makes the driver read in the background. It would take the next answer.
		err = c.SyncConn(ctx)
	}
	if err != nil {
		discard(c)
		return err
	}
	h, err := c.Hijack()
	if err != nil {
		discard(c)
		return err
	}
	s.conn, s.params = h.Conn, h.ParameterStatuses
	if s.cancel, err = pgconn.Construct(h); err != nil {
		_ = h.Conn.Close() // the error is the other one
		return err
	}
	return nil
}

// Attach implements [bastion.Stream].
func (s *stream) Attach(out *bastion.Sink, failed func(error)) {
	s.sink, s.failed = out, failed
}

// Do implements [bastion.Conn]. Native clients do not wait, so there is no use for it.
func (s *stream) Do(context.Context, *bastion.Permit, io.Reader, *bastion.Sink) error {
	return bastion.ErrPermit
}

// Preview implements [bastion.Conn].
func (s *stream) Preview(ctx context.Context, p *bastion.Permit) (bastion.Preview, error) {
	op, err := p.Use(bastion.ForPreview)
	if err != nil {
		return bastion.Preview{}, err
	}
	return s.preview(ctx, op)
}

// Patience implements [bastion.Stream]: statement_timeout.
func (s *stream) Patience() time.Duration {
	s.reading.mu.Lock()
	defer s.reading.mu.Unlock()
	return s.timeout
}

// Cancel implements [bastion.Stream].
func (s *stream) Cancel(ctx context.Context) {
	s.mu.Lock()
	busy := len(s.queue) > 0 && s.err == nil
	s.mu.Unlock()
	if !busy {
		return
	}
	ctx, stop := context.WithTimeout(ctx, cancelTimeout)
	defer stop()
	_ = s.cancel.CancelRequest(ctx) // like a client's own: nobody says whether it came in time
}

// Close implements [bastion.Conn].
func (s *stream) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		idle, listening := len(s.queue) == 0 && s.err == nil, s.listening
		s.mu.Unlock()
		if idle {
			_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = s.conn.Write(wire.Append(nil, 'X')) // a goodbye that may get lost
		} else {
			s.Cancel(context.Background())
		}
		s.hangUp(errGone)
		if listening {
			t := time.NewTimer(lastWords)
			defer t.Stop()
			select {
			case <-s.done:
			case <-t.C:
				_ = s.lost() // Listen has the same to say, once the client reads or is gone
			}
		}
		s.source.leave()
	})
	return nil
}

// hangUp closes the connection, which ends Listen and all answers, with an error
// that says why.
func (s *stream) hangUp(why error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = why
	}
	s.mu.Unlock()
	_ = s.conn.Close() // it is given up
}

// lost ends everything that is on its way.
func (s *stream) lost() error {
	s.mu.Lock()
	err := s.err
	lanes := make([]*lane, 0, len(s.lanes))
	for l := range s.lanes {
		lanes = append(lanes, l)
	}
	s.queue, s.copies = nil, nil
	s.wake()
	s.mu.Unlock()
	for _, l := range lanes {
		s.end(l, err)
	}
	return err
}

// wait returns once ready does, which is called with mu held. Only the sender waits.
func (s *stream) wait(ctx context.Context, ready func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && !ready() {
		changed := make(chan struct{})
		s.until, s.changed = ready, changed
		s.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-s.done:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		s.mu.Lock()
		s.until, s.changed = nil, nil
		if err != nil {
			return err
		}
	}
	return s.err
}

// wake lets the sender go on, if what it waits for is so. The caller holds mu.
func (s *stream) wake() {
	if s.until != nil && (s.err != nil || s.until()) {
		close(s.changed)
		s.until, s.changed = nil, nil
	}
}

// end ends a lane, once. The caller does not hold mu.
func (s *stream) end(l *lane, err error) {
	s.mu.Lock()
	was := l.ended
	l.ended = true
	delete(s.lanes, l)
	if i := slices.Index(s.copies, l); i >= 0 {
		s.copies = slices.Delete(s.copies, i, i+1)
		s.wake()
	}
	s.mu.Unlock()
	if was {
		return
	}
	if !l.prepare && !errors.Is(err, errSkipped) {
		s.after(l, err)
	}
	l.done(err)
}
