package postgres

import (
	"context"
	"slices"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// errCopying ends a connection whose client sends something else in the middle of the
// data of COPY FROM STDIN.
var errCopying = &bastion.TargetError{Code: "08P01", Summary: "unexpected message during COPY from stdin"}

// turn waits until the target takes the data of a COPY FROM STDIN that was sent, or is
// over it. In the middle of the data, Sync and Flush are left out, as the target would,
// and any other message ends the connection, as there. left says that nothing is to be
// done with the message.
func (s *stream) turn(message any) (left bool, err error) {
	s.mu.Lock()
	none := len(s.copies) == 0
	s.mu.Unlock()
	if none {
		return false, nil
	}
	if err := s.flush(); err != nil {
		return false, err
	}
	if err := s.wait(context.Background(), func() bool { return len(s.copies) == 0 || s.copying() }); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.copying() {
		return false, nil
	}
	switch message.(type) {
	case syncMessage, flushMessage:
		return true, nil
	}
	return false, errCopying
}

// copying reports whether the target takes the data of a COPY. The caller holds mu.
func (s *stream) copying() bool { return len(s.copies) > 0 && s.copies[0].taking }

// copiesIn notes that a lane's COPY is about to ask for data.
func (s *stream) copiesIn(l *lane) {
	if l.reading.Copy == nil || !l.reading.Copy.In {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copies = append(s.copies, l)
}

// copyData passes data on, if a COPY asked for it or is going to. What is not wanted
// is left out, as the target would.
func (s *stream) copyData(m copyMessage) error {
	s.mu.Lock()
	wanted, err := len(s.copies) > 0, s.err
	s.mu.Unlock()
	if err != nil || !wanted {
		return err
	}
	if len(s.out)+len(m.raw) > 32<<10 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.out = append(s.out, m.raw...)
	return nil
}

// copyEnd ends a COPY's data.
func (s *stream) copyEnd(m copyEndMessage) error {
	s.mu.Lock()
	wanted, err := len(s.copies) > 0, s.err
	if wanted {
		s.copies[0].taking = false
		s.copies = slices.Delete(s.copies, 0, 1)
	}
	s.mu.Unlock()
	switch {
	case err != nil || !wanted:
		return err
	case m.failed:
		b, at := wire.Begin(s.out, 'f')
		s.out = wire.End(wire.String(b, m.reason), at)
	default:
		s.out = wire.Append(s.out, 'c')
	}
	return nil
}
