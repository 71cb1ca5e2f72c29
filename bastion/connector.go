package bastion

import (
	"context"
	"io"
	"time"
)

// Connector knows one kind of target. It has a target half, [Conn], that never
// sees a user, recorder or terminal, and a reading half that decides nothing.
type Connector interface {
	// Kind is the name by which targets choose the connector.
	Kind() string
	// Verbs lists what operations of this connector can do, Connect left out.
	Verbs() []VerbInfo
	// Check validates a target's options and address.
	Check(Target) error
	// Split cuts a text into single operations. The rest is what comes after the
	// last complete one, so that a console knows whether to wait for more.
	Split(text string) (operations []string, rest string, err error)
	// Parse reads a text without a connection. Names are resolved as far as the
	// text itself tells, so the answer serves explanation, not decisions.
	Parse(t Target, text string) (Intent, error)
	// Dial connects, with the secret of a permit for connecting.
	Dial(ctx context.Context, p *Permit) (Conn, error)
}

// Conn is a connection to a target for one session. Parse, Preview and Names
// may be called while Do runs; Do is never called twice at once.
type Conn interface {
	// Parse reads a text into an intent, with what the target knows of names.
	// It must not guess: a text that it cannot read in full is a *ParseError.
	Parse(ctx context.Context, text string) (Intent, error)
	// Preview says what the operation of a permit for previewing would do,
	// without doing it.
	Preview(ctx context.Context, p *Permit) (Preview, error)
	// Do executes the permit's operation and nothing else. in is the operation's
	// input and may be nil. When ctx ends, Do cancels on the target.
	Do(ctx context.Context, p *Permit, in io.Reader, out *Sink) error
	// Names lists what completion may offer.
	Names(ctx context.Context) ([]Name, error)
	// Command translates a console's own command, such as \dt, into a text that
	// runs like any other. ok is false if it is not such a command.
	Command(line string) (text string, ok bool, err error)
	Close() error
}

// Binder is a connector whose targets take typed values apart from the text, so that
// no value is ever read as a part of it.
type Binder interface {
	Connector
	// Bind makes the parameters of a text that names them $1, $2 and so on, in order. A
	// text that takes more of them, or fewer, or that cannot take any, is a *ParseError.
	Bind(t Target, text string, values []Value) (Params, error)
}

// ValueType is the type of a [Value]. The zero ValueType is none.
type ValueType string

// The types of values. A text takes the type that its place in the operation wants.
const (
	TextValue    ValueType = "text"
	IntegerValue ValueType = "integer" // of 64 bits
	NumberValue  ValueType = "number"  // decimal
	BooleanValue ValueType = "boolean" // true or false
	DateValue    ValueType = "date"    // year-month-day
)

// Value is a value that is bound to a text, and how people write it.
type Value struct {
	Type ValueType
	Text string
}

// Trier is a connection that can try an operation: run it, look at what it did and
// take it back, so that the target is as it was. A connection is made for one trial.
type Trier interface {
	Conn
	// Adopt gives the connection the settings of an operation that another session
	// asked for, as far as anybody may choose them. What is read afterwards tells how
	// far that went.
	Adopt(ctx context.Context, settings string) error
	// Look returns the text of an operation that reads what trying the one of a text
	// would show of the target, so that policy can say whether the one who looks may
	// read it; empty if there is nothing to show. An error says, in words for people,
	// why the text is not to be tried: because something of it would stay, or because
	// nobody knows whether it would.
	Look(ctx context.Context, text string) (string, error)
	// Try does the operation of a permit for trying, and takes it back whatever
	// happens: also when ctx ends, the connection breaks or this process dies. before
	// and after take rows as they are without and with it, those at the same place
	// belonging together; nil ones are not to be read at all. The preview's rows are
	// those that were touched. An error that is a *[TargetError] is the operation's own.
	Try(ctx context.Context, p *Permit, before, after *Sink) (Preview, error)
}

// Proxy is a connector whose targets can be used by native clients, programs that
// speak the target's own protocol. Its client half, Serve, meets the client and
// never the target; its target half, [Stream], meets the target and never the
// client. Between them stands [Native].
type Proxy interface {
	Connector
	// Reach says whether a client may ask for the target at a port, and if not,
	// at which.
	Reach(t Target, port uint32) error
	// Greet reads what a client asks for when it connects, such as settings, in the
	// encoding of the connector's own. The intent's verb is Connect.
	Greet(t Target, asked Params) (Intent, error)
	// Stream connects, with the secret of a permit for connecting.
	Stream(ctx context.Context, p *Permit) (Stream, error)
	// Serve speaks to the client until it leaves or ctx ends. It asks n for all that
	// concerns the target. Its error is for the log; the client was told.
	Serve(ctx context.Context, client io.ReadWriter, n *Native) error
}

// Stream is a connection to a target for one native client. It takes operations
// before earlier ones are answered. All methods but Close are called by one
// goroutine at a time, and answers come from another one.
type Stream interface {
	Conn
	// Attach says where answers go that belong to no operation, and failures that
	// belong to none. It is called once, before anything else.
	Attach(out *Sink, failed func(error))
	// Listen passes answers on until the connection is closed. It is called once, on a
	// goroutine of its own.
	Listen()
	// Lane opens the way for the operation of a permit for doing or preparing. done
	// is called once, when its answer is complete or will never be.
	Lane(p *Permit, out *Sink, done func(error)) (Lane, error)
	// Send hands over a message of the connector's own, with the lanes of the
	// operations that it speaks of. One without lanes does nothing to the target but
	// keep order.
	Send(message any, lanes ...Lane) error
	// Settle returns once everything that was sent is answered.
	Settle(ctx context.Context) error
	// Patience is how long the client lets an operation take; 0 is for ever.
	Patience() time.Duration
	// Cancel stops what runs on the target now. It may be called at any time.
	Cancel(ctx context.Context)
}

// Lane is a stream's own name for an operation on its way.
type Lane any

// Name is something on a target that a person may want to type.
type Name struct {
	Kind   string // "table", "view", "column", "schema", "function"
	Parent string // schema.table of a column
	Name   string
	Type   string // data type of a column
}

// Secrets fetches credentials. Run asks it after the decision, never before.
type Secrets interface {
	Secret(ctx context.Context, t Target) (Secret, error)
}

// Secret is a target's credential. It prints as a dot, and marshals as one.
type Secret struct{ user, password string }

// NewSecret makes a secret from a user name and a password.
func NewSecret(user, password string) Secret { return Secret{user, password} }

// Reveal returns the credential. Only connectors have a use for it.
func (s Secret) Reveal() (user, password string) { return s.user, s.password }

// String hides the secret from every print and log.
func (s Secret) String() string { return "•" }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return "•" }

// MarshalText hides the secret from JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte("•"), nil }
