package postgres

// Messages between the client half and the target half, through
// [bastion.Native.Send]. They say what the client sent; the target half writes its
// own bytes by them, and takes texts and parameters from the permits alone.
//
// Where the target would answer one with an error before anything else, Send returns
// it as a *[bastion.TargetError] that is not Lost, and the client half refuses.
type (
	// queryMessage runs texts by the simple protocol, a lane each. text is all of
	// them as the client wrote it. If refused is not nil, something was refused after
	// them: it fails in its place, and refused is called then. A query ends the unnamed
	// statement, and the unnamed portal once the first of its statements begins.
	queryMessage struct {
		text              string
		refused           func()
		statement, portal outcome
	}
	// parseMessage prepares its lane's text under a name; without a lane, an empty
	// one. types is the number of parameter types, and the types.
	parseMessage struct {
		name   string
		types  []byte
		theirs outcome
	}
	// bindMessage makes a portal of a prepared statement and its lane's parameters.
	// results is the formats of the answer's columns, with their number before them.
	bindMessage struct {
		portal, statement string
		results           []byte
		theirs            outcome
	}
	// describeMessage asks for the columns of a statement ('S') or a portal ('P').
	describeMessage struct {
		kind byte
		name string
	}
	// executeMessage runs a portal for at most so many rows; 0 is all.
	executeMessage struct {
		portal string
		rows   uint32
	}
	// closeMessage closes a statement ('S') or a portal ('P').
	closeMessage struct {
		kind   byte
		name   string
		theirs outcome
	}
	// quietMessage waits for what may change what names stand for.
	quietMessage struct{}
	// cursorMessage asks whether SQL has made a cursor of a name. full is as the client has it.
	cursorMessage struct{ name, full string }
	syncMessage   struct{}
	flushMessage  struct{}
	// copyMessage is one or more messages of data for COPY, as they are.
	copyMessage struct{ raw []byte }
	// copyEndMessage ends the data, or with a reason says that it failed.
	copyEndMessage struct {
		failed bool
		reason string
	}
	// failMessage stands for a message of the extended protocol that was refused: it
	// fails on the target where that would have stood, so that what follows is skipped
	// and the transaction is broken as PostgreSQL would have it. refused is called then.
	failMessage struct{ refused func() }
	// finishMessage sends what was collected.
	finishMessage struct{}
	// dropMessage gives lanes up that were not sent.
	dropMessage struct{}
)

// A simple query of several statements goes to the target as one, if each can be
// read before those in front of it have run. Otherwise they go one by one.
type (
	// aloneMessage asks of a lane whether what follows in the same text has to wait
	// until it ran. Send says so with errAlone.
	aloneMessage struct{}
	// beginMessage begins such a text; wrap says that it holds no statement that
	// begins or ends transactions. It ends the unnamed statement.
	beginMessage struct {
		wrap   bool
		theirs outcome
	}
	// stepMessage runs a lane. shift is how many characters stand before it in the text.
	// It ends the unnamed portal.
	stepMessage struct {
		shift  int
		theirs outcome
	}
	// endMessage ends the text. If refused is not nil, what comes next was refused.
	endMessage struct{ refused func() }
)

// Signals of the target half to the client half, besides the types of messages
// without a body that matters ('1', '2', '3', 'n', 's', 'I', 'c').
const (
	signalReady     = 'Z' // with the state of the transaction
	signalFlush     = 0   // nothing more has arrived
	signalDescribed = 'T' // the columns that follow were asked for
	signalCopyIn    = 'G' // the format follows as parameters
	signalCopyOut   = 'H' // the format follows as parameters, and the columns
	signalFailed    = 'E' // the operation failed, and its error is the client's to hear
)
