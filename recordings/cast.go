package recordings

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
)

// Cast writes a recording as asciicast version 2
// (https://docs.asciinema.org/manual/asciicast/v2/), which asciinema and its
// web player show: output ("o"), sizes ("r"), and what was decided and done as
// markers ("m"). It reads the replay to its present end and leaves it open.
//
// A session without a terminal ends its lines with a bare \n. A player is a
// terminal, which would go on in the same column, so there each becomes \r\n.
func Cast(w io.Writer, r bastion.Replay) error {
	if err := cast(w, r); err != nil {
		return fmt.Errorf("writing asciicast: %w", err)
	}
	return nil
}

func cast(w io.Writer, r bastion.Replay) error {
	out := bufio.NewWriterSize(w, 64<<10)
	c := caster{w: out, bare: r.Recording().Term == ""}
	if err := c.value(header(r.Recording())); err != nil {
		return err
	}
	if err := out.WriteByte('\n'); err != nil {
		return err
	}
	markers := slices.Clone(r.Events())
	slices.SortStableFunc(markers, func(a, b bastion.Event) int { return cmp.Compare(a.Offset, b.Offset) })
	for {
		piece, err := r.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end := err != nil
		for len(markers) > 0 && (end || markers[0].Offset <= piece.At) {
			if err := c.marker(markers[0]); err != nil {
				return err
			}
			markers = markers[1:]
		}
		switch {
		case end:
			if err := c.line(0, "o", c.text.end()); err != nil {
				return err
			}
			return out.Flush()
		case piece.Output == nil:
			err = c.line(piece.At, "r", fmt.Sprintf("%dx%d", piece.Width, piece.Height))
		default:
			err = c.line(piece.At, "o", c.text.next(c.output(piece.Output)))
		}
		if err != nil {
			return err
		}
	}
}

type castHeader struct {
	Version   int               `json:"version"`
	Width     int               `json:"width"`
	Height    int               `json:"height"`
	Timestamp int64             `json:"timestamp"`
	Duration  float64           `json:"duration,omitempty"`
	Command   string            `json:"command,omitempty"`
	Title     string            `json:"title"`
	Env       map[string]string `json:"env"`
}

func header(r bastion.Recording) castHeader {
	size := bastion.Window{Width: r.Width, Height: r.Height}.Clamp()
	h := castHeader{Version: 2, Width: size.Width, Height: size.Height, Timestamp: r.Start.Unix(),
		Command: bastion.VisibleLine(r.Command), Title: title(r),
		// The person's own TERM does not matter to a player, which is an xterm.
		Env: map[string]string{"TERM": "xterm-256color"}}
	if !r.End.IsZero() {
		h.Duration = r.Length.Seconds()
	}
	return h
}

// title names a recording in one line.
func title(r bastion.Recording) string {
	s := r.Who.Name
	if len(r.Targets) > 0 {
		s += " on " + strings.Join(r.Targets, ", ")
	}
	return bastion.VisibleLine(s + ", " + r.Start.UTC().Format("2006-01-02 15:04:05") + " UTC")
}

// caster writes the lines of an asciicast.
type caster struct {
	w    *bufio.Writer
	at   time.Duration // of the last line: time in a cast never goes back
	text decoder

	bare     bool // whether lines end in \n alone
	returned bool // whether the last byte of output was \r
}

func (c *caster) line(at time.Duration, code, data string) error {
	if data == "" {
		return nil
	}
	c.at = max(c.at, at)
	if _, err := fmt.Fprintf(c.w, "[%d.%06d, %q, ", c.at/time.Second, c.at%time.Second/time.Microsecond, code); err != nil {
		return err
	}
	if err := c.value(data); err != nil {
		return err
	}
	_, err := c.w.WriteString("]\n")
	return err
}

// output is output as a terminal takes it.
func (c *caster) output(p []byte) []byte {
	if !c.bare {
		return p
	}
	b := make([]byte, 0, len(p)+bytes.Count(p, []byte("\n")))
	for _, x := range p {
		if x == '\n' && !c.returned {
			b = append(b, '\r')
		}
		c.returned = x == '\r'
		b = append(b, x)
	}
	return b
}

func (c *caster) value(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := c.w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	return err
}

// marker writes what an event says, with the beginning of its statement.
func (c *caster) marker(e bastion.Event) error {
	switch e.Kind {
	case bastion.EventDecision, bastion.EventUnread, bastion.EventRequest, bastion.EventVote, bastion.EventUse,
		bastion.EventWithdrawn, bastion.EventExpired, bastion.EventResult, bastion.EventRefused, bastion.EventAlarm, bastion.EventTry, bastion.EventRevoke:
	default:
		return nil
	}
	s := sentence(e)
	if statement(e) {
		s += ": " + bastion.VisibleLine(shorten(e.Text, 80))
	}
	return c.line(e.Offset, "m", s)
}

// shorten cuts a text to so many characters.
func shorten(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// decoder makes text of bytes that come in pieces. A character that is cut by
// the border of two pieces comes out whole with the second one; a byte that
// belongs to no character becomes U+FFFD.
type decoder struct{ held []byte }

func (d *decoder) next(p []byte) string {
	if len(d.held) > 0 {
		p = append(d.held, p...)
		d.held = nil
	}
	cut := len(p)
	for i := len(p) - 1; i >= 0 && i > len(p)-utf8.UTFMax; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				cut = i
			}
			break
		}
	}
	d.held = slices.Clone(p[cut:])
	return lossy(p[:cut])
}

func (d *decoder) end() string {
	s := lossy(d.held)
	d.held = nil
	return s
}

func lossy(p []byte) string {
	if utf8.Valid(p) {
		return string(p)
	}
	return string([]rune(string(p)))
}
