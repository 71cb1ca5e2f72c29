package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

const max = 1 << 20

// pieces gives out bytes in pieces of the sizes that it is told, again and again.
type pieces struct {
	b     []byte
	sizes []byte
	n     int
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := 1 + len(p.b)/3
	if len(p.sizes) > 0 {
		n = 1 + int(p.sizes[p.n%len(p.sizes)])
		p.n++
	}
	n = copy(to, p.b[:min(n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

func messages(sizes ...int) []byte {
	var b []byte
	for i, n := range sizes {
		var at int
		b, at = wire.Begin(b, "DdQ"[i%3])
		b = wire.End(append(b, bytes.Repeat([]byte{byte(i)}, n)...), at)
	}
	return b
}

// TestReaderSplits reads messages that arrive in every way.
func TestReaderSplits(t *testing.T) {
	sizes := []int{0, 1, 5, 2043, 2048, 3000, 65531, 65536, 70000, 200000, 0, 3}
	all := messages(sizes...)
	for name, src := range map[string]func() io.Reader{
		"at once":      func() io.Reader { return bytes.NewReader(all) },
		"byte by byte": func() io.Reader { return iotest.OneByteReader(bytes.NewReader(all)) },
		"halves":       func() io.Reader { return iotest.HalfReader(bytes.NewReader(all)) },
		"small":        func() io.Reader { return &pieces{b: all, sizes: []byte{0, 4, 250, 9}} },
		"with EOF":     func() io.Reader { return iotest.DataErrReader(bytes.NewReader(all)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := wire.NewReader(src(), max)
			defer r.Close()
			for i, n := range sizes {
				typ, body, err := r.Next()
				if err != nil || typ != "DdQ"[i%3] || len(body) != n || bytes.Count(body, []byte{byte(i)}) != n {
					t.Fatalf("message %d: %q, %d bytes, %v", i, typ, len(body), err)
				}
			}
			if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string
		want  error
	}{
		"nothing":           {"", io.EOF},
		"half a header":     {"Q\x00\x00", io.ErrUnexpectedEOF},
		"half a message":    {"Q\x00\x00\x00\x0aabc", io.ErrUnexpectedEOF},
		"short":             {"Q\x00\x00\x00\x03", wire.ErrLength},
		"negative":          {"Q\x80\x00\x00\x00", wire.ErrLength},
		"too long":          {"Q\x7f\xff\xff\xff", wire.ErrTooLong},
		"a little too long": {"Q\x00\x10\x00\x05", wire.ErrTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			r := wire.NewReader(strings.NewReader(c.bytes), max)
			defer r.Close()
			if _, _, err := r.Next(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestReaderTakesMemoryAsItComes: a length alone costs nothing.
func TestReaderTakesMemoryAsItComes(t *testing.T) {
	result := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			r := wire.NewReader(strings.NewReader("Q\x3f\xff\xff\xffabc"), 1<<30)
			if _, _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
				b.Fatal(err)
			}
			r.Close()
		}
	})
	if n := result.AllocedBytesPerOp(); n > 1<<20 {
		t.Errorf("%d bytes for three that came", n)
	}
}

func TestString(t *testing.T) {
	if got := wire.String(nil, "a\x00b"); string(got) != "a\x00" {
		t.Errorf("%q", got)
	}
}

// FuzzReader reads the same bytes as messages and as runs, in pieces of any size:
// what comes out is what went in, and the same both ways.
func FuzzReader(f *testing.F) {
	f.Add(messages(0, 1, 5), []byte{3})
	f.Add(messages(3000, 3000, 70000), []byte{0, 255})
	f.Add([]byte("Q\x80\x00\x00\x00"), []byte{1})
	f.Add([]byte("D\x00\x00\x00\x03"), []byte{})
	f.Fuzz(func(t *testing.T, b, sizes []byte) {
		whole, first := read(&pieces{b: b, sizes: sizes}, false)
		runs, second := read(bytes.NewReader(b), true)
		if !bytes.HasPrefix(b, whole) || !bytes.HasPrefix(b, runs) {
			t.Fatal("something came out that did not go in")
		}
		if errors.Is(first, wire.ErrTooLong) || errors.Is(second, wire.ErrTooLong) {
			return // a run has no limit
		}
		if errors.Is(first, wire.ErrLength) != errors.Is(second, wire.ErrLength) {
			t.Fatalf("as messages %v, as runs %v", first, second)
		}
		if len(runs) < len(whole) {
			t.Fatalf("%d bytes of messages, %d of runs", len(whole), len(runs))
		}
	})
}

// read reads until an error, and returns what it read, headers included.
func read(src io.Reader, runs bool) (all []byte, err error) {
	r := wire.NewReader(src, max)
	defer r.Close()
	for {
		if runs && r.Inside() {
			raw, _, err := r.Run(0)
			if err != nil {
				return all, err
			}
			all = append(all, raw...)
			continue
		}
		typ, err := r.Peek()
		if err != nil {
			return all, err
		}
		if runs {
			raw, ends, err := r.Run(typ)
			if err != nil {
				return all, err
			}
			if ends == 0 && !r.Inside() {
				return all, errors.New("a run of nothing")
			}
			all = append(all, raw...)
			continue
		}
		size, ready := r.Size(), r.Ready()
		typ, body, err := r.Next()
		if err != nil {
			if ready && !errors.Is(err, wire.ErrTooLong) {
				return all, errors.New("what was ready was not there")
			}
			return all, err
		}
		if size != len(body) {
			return all, errors.New("a wrong size")
		}
		b, at := wire.Begin(nil, typ)
		all = append(all, wire.End(append(b, body...), at)...)
	}
}

// FuzzBody reads a body by a program of any steps. It must not read beyond the end,
// and must know at the end whether it tried to.
func FuzzBody(f *testing.F) {
	f.Add([]byte("abc\x00\x00\x01\x00\x00\x00\x01x"), []byte{3, 1, 4})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, []byte{4})
	f.Fuzz(func(t *testing.T, body, steps []byte) {
		b := wire.NewBody(bytes.Clone(body))
		for _, s := range steps {
			before := len(b.Rest())
			var got []byte
			switch s % 7 {
			case 0:
				b.Byte()
			case 1:
				b.Int16()
			case 2:
				b.Int32()
			case 3:
				got = []byte(b.String())
			case 4:
				got = b.Value()
			case 5:
				got = b.Take(int(int8(s)))
			case 6:
				if n := b.Count(1 + int(s>>4)); n*(1+int(s>>4)) > len(body) {
					t.Fatalf("%d things in %d bytes", n, len(body))
				}
			}
			if len(got) > before || len(b.Rest()) > before {
				t.Fatal("more came out than was there")
			}
		}
		if b.Err() != nil && b.End() == nil {
			t.Fatal("an error was forgotten")
		}
	})
}
