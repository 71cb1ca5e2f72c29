package bastion

import (
	"context"
	"slices"
	"time"
)

// EventKind names what an event tells.
type EventKind string

// The kinds of event.
const (
	EventSignIn    EventKind = "sign-in"
	EventStart     EventKind = "session-start"
	EventEnd       EventKind = "session-end"
	EventDecision  EventKind = "decision"
	EventPrepare   EventKind = "prepare" // a text was shown to the target, without running it
	EventUnread    EventKind = "unread"
	EventRequest   EventKind = "request"
	EventVote      EventKind = "vote"
	EventUse       EventKind = "use"
	EventWithdrawn EventKind = "withdrawn"
	EventExpired   EventKind = "expired"
	EventResult    EventKind = "result"
	EventReplay    EventKind = "replay"
	EventResize    EventKind = "resize"
	EventRefused   EventKind = "refused"
	EventAlarm     EventKind = "alarm"
	EventUnbind    EventKind = "unbind"  // a key was taken from a person
	EventRevoke    EventKind = "revoke"  // a person may not come in any more
	EventRestore   EventKind = "restore" // a person may come in again
	EventTask      EventKind = "task"    // something became of a task
	EventTry       EventKind = "try"     // an approver has an operation run and taken back: first with Effect, when it is over without
	EventRetry     EventKind = "retry"   // a notification that was given up is delivered again
	EventFacts     EventKind = "facts"   // the identity provider says something else of a person than before
	EventAct       EventKind = "act"     // a person chose the role to act in
)

// Event is one line of the proof of what happened. It never holds target data.
type Event struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Kind    EventKind `json:"kind"`
	Session string    `json:"session,omitempty"`
	Who     string    `json:"who,omitempty"`  // Identity.ID
	Name    string    `json:"name,omitempty"` // Identity.Name
	Origin  *Origin   `json:"origin,omitempty"`
	Target  string    `json:"target,omitempty"`
	Verb    Verb      `json:"verb,omitempty"`
	Text    string    `json:"text,omitempty"`
	// Params are the operation's parameters as they may be recorded.
	Params  []string `json:"params,omitempty"`
	Digest  string   `json:"digest,omitempty"`
	Effect  string   `json:"effect,omitempty"`
	Rule    string   `json:"rule,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Request uint64   `json:"request,omitempty"`
	By      []string `json:"by,omitempty"` // names of those who approved or denied
	Rows    int64    `json:"rows,omitempty"`
	Masked  []string `json:"masked,omitempty"` // names of masked columns
	// Took is the time that the target worked, in nanoseconds.
	Took  time.Duration `json:"took,omitempty"`
	Error string        `json:"error,omitempty"`
	// Offset is the time since the session began, for replay.
	Offset time.Duration `json:"offset,omitempty"`
}

// says reports whether the event tells the same decision as another one.
func (e Event) says(o Event) bool {
	return e.Kind == o.Kind && e.Effect == o.Effect && e.Rule == o.Rule && e.Reason == o.Reason && e.Error == o.Error &&
		e.Digest == o.Digest && e.Text == o.Text && slices.Equal(e.Params, o.Params)
}

// Recorder keeps what one session does and shows. An error from it ends the session.
type Recorder interface {
	// Event returns once the event would survive the death of the process, and is on
	// disk within 200 ms, as long as the disk works. Two kinds differ: EventStart and
	// EventEnd survive the death of the machine on return, and EventResult that of the
	// process only with what is recorded next, other results and notes apart, or within
	// 200 ms. After an error, also one that came later, every call returns it.
	//
	// The events of a session keep their order in the log. Those of different sessions
	// come in the order in which they reach it, which may not be that of their times.
	Event(Event) error
	// Flush returns once everything recorded so far survives the death of the machine
	// and has its place, Event.Seq, in the log, so that what is recorded of it
	// elsewhere comes after it.
	Flush() error
	// Output returns once the bytes would survive the death of the process.
	Output(p []byte) error
	// Note is Output that nobody watches live: the same stream, in the same place, but
	// it may come as late as an EventResult. It does not keep p.
	Note(p []byte) error
	// Resize tells the size of the person's terminal, in characters.
	Resize(width, height int) error
	// Close seals the recording. What it holds survives the death of the machine.
	Close() error
}

// Recording describes one recorded session.
type Recording struct {
	ID      string        `json:"id"` // the session's
	Who     Identity      `json:"who"`
	Origin  Origin        `json:"origin"`
	Start   time.Time     `json:"start"`
	End     time.Time     `json:"end,omitzero"` // zero while the session lives
	Length  time.Duration `json:"length"`
	Targets []string      `json:"targets,omitempty"`
	Command string        `json:"command,omitempty"` // the verb that came with ssh, without its arguments; empty for the TUI
	Term    string        `json:"term,omitempty"`    // TERM; empty for a session without a terminal, whose lines end in \n alone
	Width   int           `json:"width"`
	Height  int           `json:"height"`
	Bytes   int64         `json:"bytes"`
	// Operations counts operations that were decided, one that needed approval
	// once although it is decided twice; Denied and Asked count those that were
	// refused and those that needed approval.
	Operations int  `json:"operations"`
	Denied     int  `json:"denied"`
	Asked      int  `json:"asked"`
	Broken     bool `json:"broken,omitempty"` // the bastion died before the end
}

// RecordingFilter chooses recordings; zero fields choose all.
type RecordingFilter struct {
	Person string // a part of the name or e-mail
	Target string
	Text   string // a part of a statement
	Since  time.Time
	Until  time.Time
	All    bool // also sessions that touched no target
	Limit  int  // newest first; 0 means 100
}

// Scope is whose recordings and events a reader may see. The zero Scope is nobody's.
type Scope struct {
	all bool
	who string
}

// Covers reports whether the scope covers what the identity of that ID did.
func (s Scope) Covers(id string) bool { return s.all || s.who != "" && s.who == id }

// Replay is an opened recording.
type Replay interface {
	Recording() Recording
	// Events are the session's events in order.
	Events() []Event
	// Next returns the next piece of output, or io.EOF.
	Next() (Chunk, error)
	Close() error
}

// Chunk is a piece of a recording: output bytes or a new size.
type Chunk struct {
	At            time.Duration
	Output        []byte
	Width, Height int // if Output is nil
}

// Archive keeps recordings and events. It shows what the scope covers, and
// answers ErrNotFound for the rest.
type Archive interface {
	Recordings(ctx context.Context, s Scope, f RecordingFilter) ([]Recording, error)
	// The replay outlives ctx, which bounds its opening.
	Replay(ctx context.Context, s Scope, id string) (Replay, error)
	// Events calls yield with events from the sequence number on, oldest first,
	// until it returns false.
	Events(ctx context.Context, s Scope, from uint64, yield func(Event) bool) error
	// History lists the newest texts that the person of that ID ran or tried to run
	// on a target, oldest first, without repeats.
	History(ctx context.Context, who, target string, limit int) ([]string, error)
}
