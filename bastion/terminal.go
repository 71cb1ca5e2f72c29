package bastion

import (
	"errors"
	"io"
	"sync"
)

// Channel is the front door's side of a session: an SSH channel.
type Channel interface {
	io.ReadWriter
	Stderr() io.ReadWriter
	CloseWrite() error
}

// Window is the size of a person's terminal, in characters.
type Window struct{ Width, Height int }

// Clamp returns a size that screens can be drawn in: unknown sizes become
// 80x24, and absurd ones shrink, so that a client cannot make the bastion draw
// a screen of gigabytes.
func (w Window) Clamp() Window {
	if w.Width <= 0 {
		w.Width = 80
	}
	if w.Height <= 0 {
		w.Height = 24
	}
	return Window{min(w.Width, 1000), min(w.Height, 400)}
}

// Terminal is the person's end of a session. What is written to it is recorded
// first and shown second; there is no way round that.
type Terminal struct {
	channel Channel
	record  func([]byte) error
	resize  func(Window) error

	out sync.Mutex // keeps recording and channel in the same order

	reading sync.Once
	input   chan []byte   // what the reading goroutine has; closed at the end of input
	taken   chan struct{} // one token: who holds it may take from input or rest
	rest    []byte        // read from the channel, not yet by anybody; guarded by taken

	mu      sync.Mutex // guards the rest
	window  Window
	windows chan Window // newest wins
	tty     string      // value of TERM; empty without a terminal
}

func newTerminal(c Channel, term string, w Window, record func([]byte) error, resize func(Window) error) *Terminal {
	t := &Terminal{channel: c, record: record, resize: resize, window: w.Clamp(), tty: term,
		input: make(chan []byte), windows: make(chan Window, 1), taken: make(chan struct{}, 1)}
	t.taken <- struct{}{}
	return t
}

// Term is the client's TERM, empty if it asked for no terminal.
func (t *Terminal) Term() string { return t.tty }

// Window is the current size.
func (t *Terminal) Window() Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.window
}

// Windows receives the newest size after each change.
func (t *Terminal) Windows() <-chan Window { return t.windows }

// Resize tells the terminal its new size.
func (t *Terminal) Resize(w Window) error {
	w = w.Clamp()
	t.mu.Lock()
	if w == t.window {
		t.mu.Unlock()
		return nil
	}
	t.window = w
	select { // the unread size is out of date
	case <-t.windows:
	default:
	}
	t.windows <- w // room for one, and only this function sends, under mu
	t.mu.Unlock()
	return t.resize(w)
}

// Write records p, then shows it.
func (t *Terminal) Write(p []byte) (int, error) { return t.write(t.channel, p) }

// Stderr is the person's standard error, recorded like everything else.
func (t *Terminal) Stderr() io.Writer {
	return writer(func(p []byte) (int, error) { return t.write(t.channel.Stderr(), p) })
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func (t *Terminal) write(w io.Writer, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.out.Lock()
	defer t.out.Unlock()
	if err := t.record(p); err != nil {
		return 0, err
	}
	return w.Write(p)
}

// Input returns a reader of what the person types. Several may exist one after
// another: closing one ends its blocked Read with [io.EOF] and loses no byte,
// so that the next program on the same terminal reads on where it stopped.
func (t *Terminal) Input() *Input { return &Input{t: t, closed: make(chan struct{})} }

// Input is one program's reader of a [Terminal].
type Input struct {
	t      *Terminal
	once   sync.Once
	closed chan struct{}
}

// Read implements [io.Reader].
func (in *Input) Read(p []byte) (int, error) {
	t := in.t
	t.reading.Do(func() { go t.read() })
	select {
	case <-in.closed:
		return 0, io.EOF
	case <-t.taken:
	}
	defer func() { t.taken <- struct{}{} }()
	if len(t.rest) == 0 {
		select {
		case <-in.closed:
			return 0, io.EOF
		case b, ok := <-t.input:
			if !ok {
				return 0, io.EOF
			}
			t.rest = b
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// Close ends the reader, not the terminal.
func (in *Input) Close() error {
	in.once.Do(func() { close(in.closed) })
	return nil
}

// read is the one goroutine that reads the channel. It ends when the channel
// does, and waits while nobody takes: that is the flow control of the input.
func (t *Terminal) read() {
	defer close(t.input)
	for {
		b := make([]byte, 4096)
		n, err := t.channel.Read(b)
		if n > 0 {
			t.input <- b[:n]
		}
		if err != nil {
			return
		}
	}
}

// noTerminal is the channel of a session that has none of its own to show.
type noTerminal struct{}

var errNoTerminal = errors.New("internal error: this session has no terminal")

func (noTerminal) Read([]byte) (int, error)  { return 0, io.EOF }
func (noTerminal) Write([]byte) (int, error) { return 0, errNoTerminal }
func (noTerminal) Stderr() io.ReadWriter     { return noTerminal{} }
func (noTerminal) CloseWrite() error         { return nil }
