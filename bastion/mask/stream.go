package mask

// Stream is [Rules.Scan] for text that comes in pieces, such as COPY data or the
// output of a shell: what it lets through does not depend on how the text is cut. It
// keeps back what may be the beginning of something to hide, at most some
// 80 KiB. It is not safe for concurrent use. The zero Stream lets nothing
// through; make others with [Rules.Stream].
type Stream struct {
	rules Rules
	buf   []byte
	out   int  // buf[:out] has been let through, or hidden, and is kept as context
	done  int  // where the last find ended; at most out
	retry int  // with fewer bytes than this it is not worth looking again
	zero  bool // something came through zero rules
}

// Stream returns a stream that hides what r.Scan hides.
func (r Rules) Stream() *Stream { return &Stream{rules: r} }

// Append takes a piece of text and appends to dst what may be shown by now.
func (s *Stream) Append(dst, piece []byte) []byte {
	switch {
	case !s.rules.made:
		s.zero = s.zero || len(piece) > 0
		return dst
	case s.rules.scanner == nil:
		return append(dst, piece...)
	}
	for len(piece) > 0 {
		n := min(len(piece), maxKey)
		s.buf, piece = append(s.buf, piece[:n]...), piece[n:]
		if len(s.buf) >= s.retry {
			dst = s.advance(dst, false)
		}
	}
	return dst
}

// Flush appends to dst all that was kept back, as if the text ended here: at its end,
// or when a person waits for what a program has written so far. A find that goes on
// after a Flush may be missed.
func (s *Stream) Flush(dst []byte) []byte {
	if s.zero {
		s.zero = false
		return append(dst, Redacted...)
	}
	if s.rules.scanner == nil {
		return dst
	}
	return s.advance(dst, true)
}

// Held returns the number of bytes that are kept back.
func (s *Stream) Held() int { return len(s.buf) - s.out }

func (s *Stream) advance(dst []byte, final bool) []byte {
	sc := s.rules.scanner
	hold := len(s.buf)
	for i := s.out; ; {
		m, at, verdict := sc.next(s.buf, i, s.done, final)
		if verdict == yes {
			dst = append(dst, s.buf[s.out:m.start]...)
			dst = append(dst, s.rules.part(m, s.buf[m.start:m.end])...)
			i, s.out, s.done = m.end, m.end, m.end
			continue
		}
		if !final {
			hold = sc.joined(s.buf, s.out, at)
		}
		break
	}
	dst = append(dst, s.buf[s.out:hold]...)
	s.out = hold
	// What is kept back is looked at again only when it has grown by half, so that
	// many small pieces take no more time than a large one.
	s.retry = 0
	held := len(s.buf) - s.out
	if held > 512 {
		s.retry = len(s.buf) + held/2
	}
	if cut := s.out - context; cut > 4*context || cut > 0 && cut > held {
		n := copy(s.buf, s.buf[cut:])
		s.buf = s.buf[:n]
		s.out -= cut
		s.done = max(0, s.done-cut)
		s.retry = max(0, s.retry-cut)
	}
	return dst
}

// joined returns where the run of bytes begins that ends before v[at] and in which a
// find may begin whose trigger is v[at] or comes later. It begins at from or later.
func (s *scanner) joined(v []byte, from, at int) int {
	i := at
	for i > from && at-i < lookBehind && local[v[i-1]] {
		i--
	}
	return i
}
