package postgres_test

import (
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// BenchmarkNative measures one small statement, directly and through the bastion.
func BenchmarkNative(b *testing.B) {
	s := shop(b, "native_bench", labels...)
	s.Forget = true
	_, url := listen(b, s)
	for _, way := range []struct{ name, url string }{{"direct", server.URL(server.App(), "native_bench")}, {"bastion", url}} {
		b.Run("simple/"+way.name, func(b *testing.B) {
			k := raw(b, way.url)
			once(b, k, query("SELECT id, name FROM customers WHERE id = 7"))
		})
		b.Run("prepared/"+way.name, func(b *testing.B) {
			k := raw(b, way.url)
			k.play(parse("a", "SELECT id, name, email FROM customers WHERE id = $1"), describe('S', "a"), sync_, ready{})
			once(b, k, bind("", "a", "7"), run(""), sync_)
		})
	}
}

// once sends messages and reads the answers, again and again.
func once(b *testing.B, k *talk, messages ...pgproto3.FrontendMessage) {
	var sends []byte
	for _, m := range messages {
		var err error
		if sends, err = m.Encode(sends); err != nil {
			b.Fatal(err)
		}
	}
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.conn.Write(sends); err != nil {
			b.Fatal(err)
		}
		for last := byte(0); last != 'Z'; {
			n, err := k.conn.Read(buf)
			if err != nil || n < 6 {
				b.Fatal(n, err)
			}
			if last = buf[n-6]; last == 'Z' && buf[n-2] != 5 {
				b.Fatal(io.ErrUnexpectedEOF)
			}
		}
	}
}
