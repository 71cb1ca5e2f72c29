package recordings

import (
	"time"

	"github.com/sallyport/sallyport/bastion"
)

const (
	SpoolSize   = spoolSize
	MaxSpool    = maxSpool
	EmptySize   = emptySize
	OutputDelay = outputDelay
	EventDelay  = eventDelay
	FrameHeader = frameHeader
)

var SpoolPath = spoolPath

// File is a spool.
type File = file

// WrapSpools has f make a file of each spool that is opened.
func (a *Archive) WrapSpools(f func(File) File) {
	a.open = func(path string) (file, error) {
		s, err := create(path)
		if err != nil {
			return nil, err
		}
		return f(s), nil
	}
}

// Run is a run of events as it is kept.
func Run(events ...bastion.Event) (b []byte, err error) {
	var w runWriter
	for i := range events {
		if b, err = w.append(b, &events[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// ReadRuns reads runs to the end or to the first error.
func ReadRuns(b []byte) (events []bastion.Event, starts []bool, err error) {
	var r runReader
	in := input{b: b}
	for len(in.b) > 0 {
		e, first, err := r.next(&in)
		if err != nil {
			return events, starts, err
		}
		events, starts = append(events, e), append(starts, first)
	}
	return events, starts, nil
}

// Block is a block as it is kept, and ReadBlock what is in one.
func Block(n int, run []byte) []byte { return appendBlock(nil, n, run) }

// ReadBlock reads a block.
func ReadBlock(first uint64, v []byte) (events []bastion.Event, err error) {
	err = readBlock(first, v, func(e bastion.Event) bool { events = append(events, e); return true })
	return events, err
}

// Record is chunks as they are kept.
func Record(chunks []bastion.Chunk) []byte {
	var b []byte
	var at time.Duration
	for _, c := range chunks {
		b = appendPiece(b, at, chunk{kind: outputChunk, at: c.At, body: c.Output})
		at = c.At
	}
	return finishRecord(b)
}

// ReadRecord reads them.
func ReadRecord(v []byte) (chunks []bastion.Chunk, err error) {
	err = readRecord(v, func(c chunk) { chunks = append(chunks, bastion.Chunk{At: c.at, Output: c.body}) })
	return chunks, err
}

// AgainTally reads what a living recording has, and writes it again.
func AgainTally(v []byte) ([]byte, error) {
	t, err := parseTally(v)
	return t.encode(), err
}

// AppendFrame appends a frame of a session.
func AppendFrame(b []byte, session string, number uint64, body ...byte) []byte {
	start := len(b)
	return endFrame(append(startFrame(b, number), body...), start, checksum(0, []byte(session)))
}

// Frame is a frame of a spool.
type Frame struct {
	Number uint64
	Body   []byte
}

// ParseFrames reads a spool.
func ParseFrames(session string, b []byte) (frames []Frame, torn int, err error) {
	parsed, torn, err := parseFrames(checksum(0, []byte(session)), b)
	for _, f := range parsed {
		frames = append(frames, Frame{f.number, f.body})
	}
	return frames, torn, err
}
