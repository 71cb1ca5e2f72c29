package recordings

const (
	SpoolSize   = spoolSize
	MaxSpool    = maxSpool
	EmptySize   = emptySize
	OutputDelay = outputDelay
	ResultDelay = resultDelay
	FrameHeader = frameHeader
)

var (
	SpoolPath   = spoolPath
	AppendFrame = appendFrame
)

// Frame is a frame of a spool.
type Frame struct {
	Number uint64
	Body   []byte
}

// ParseFrames reads a spool.
func ParseFrames(session string, b []byte) (frames []Frame, torn int, err error) {
	parsed, torn, err := parseFrames(session, b)
	for _, f := range parsed {
		frames = append(frames, Frame{f.number, f.body})
	}
	return frames, torn, err
}
