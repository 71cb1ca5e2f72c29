package recordings_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/recordings"
)

// recorders makes a function that gives each caller a recorder of its own.
func recorders(b *testing.B) func() (string, bastion.Recorder) {
	_, a := open(b)
	var n atomic.Int64
	return func() (string, bastion.Recorder) {
		id := fmt.Sprint("s", n.Add(1))
		r, err := a.Start(bastion.Recording{ID: id, Who: alice})
		if err != nil {
			panic(err)
		}
		return id, r
	}
}

func BenchmarkOutput(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 32 << 10, 1 << 20, 50 << 20} {
		for _, sessions := range []int{1, 64} {
			if size > 1<<20 && sessions > 1 {
				continue
			}
			b.Run(fmt.Sprintf("%dB/%d", size, sessions), func(b *testing.B) {
				next, p := recorders(b), make([]byte, size)
				b.SetBytes(int64(size))
				run(b, sessions, func() func() error {
					_, r := next()
					return func() error { return r.Output(p) }
				})
			})
		}
	}
}

// BenchmarkStatement is what one statement of a session costs the recorder:
// decision, result, output.
func BenchmarkStatement(b *testing.B) {
	for _, sessions := range []int{1, 64} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			next, p := recorders(b), make([]byte, 2000)
			run(b, sessions, func() func() error {
				id, r := next()
				return func() error { return statement(id, r, p) }
			})
		})
	}
}

// BenchmarkPair is what a statement costs whose answer nobody watches: decision
// and result, and what it costs later, when all is brought into the store.
func BenchmarkPair(b *testing.B) {
	for _, texts := range []string{"same", "different"} {
		for _, sessions := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", texts, sessions), func(b *testing.B) {
				next := recorders(b)
				var rs []bastion.Recorder
				run(b, sessions, func() func() error {
					id, r := next()
					rs = append(rs, r)
					e := decision(id, alice, "shop", "allow", "select abalance from pgbench_accounts where aid = $1")
					e.Rule, e.Reason = "production/read", "reading is allowed"
					done := bastion.Event{Kind: bastion.EventResult, Session: id, Who: alice.ID(), Name: "alice", Target: "shop", Verb: "select", Rows: 1, Took: 57 * time.Microsecond}
					n := 0
					return func() error {
						n++
						e.At, e.Digest = time.Now(), fmt.Sprintf("%064x", n)
						if texts == "same" {
							e.Params = []string{strconv.Itoa(n)}
						} else {
							e.Text = "select abalance from pgbench_accounts where aid = " + strconv.Itoa(n)
						}
						if err := r.Event(e); err != nil {
							return err
						}
						done.At, done.Digest = time.Now(), e.Digest
						return r.Event(done)
					}
				})
				for _, r := range rs { // the rest is part of the cost
					must(b, r.Close())
				}
			})
		}
	}
}

// BenchmarkNote is a pair with the transcript of it.
func BenchmarkNote(b *testing.B) {
	next := recorders(b)
	var r bastion.Recorder
	run(b, 1, func() func() error {
		var id string
		id, r = next()
		p := []byte("select abalance from pgbench_accounts where aid = $1\r\n 1 row, 57 µs\r\n")
		e := decision(id, alice, "shop", "allow", "select abalance from pgbench_accounts where aid = $1")
		done := bastion.Event{Kind: bastion.EventResult, At: e.At, Session: id, Who: alice.ID(), Name: "alice", Target: "shop", Verb: "select", Rows: 1}
		return func() error {
			return errors.Join(r.Event(e), r.Note(p), r.Event(done), r.Note(p))
		}
	})
	must(b, r.Close())
}

func BenchmarkEvent(b *testing.B) {
	for _, sessions := range []int{1, 64} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			next := recorders(b)
			run(b, sessions, func() func() error {
				id, r := next()
				return func() error {
					return r.Event(decision(id, alice, "shop", "allow", "select id, name, email from customers where id = 7"))
				}
			})
		})
	}
}

// BenchmarkEcho is how long one keystroke's echo is held up, while as many
// sessions run statements one after another.
func BenchmarkEcho(b *testing.B) {
	for _, sessions := range []int{0, 1, 64} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			next, p := recorders(b), make([]byte, 2000)
			_, echo := next()
			var wg sync.WaitGroup
			var done atomic.Bool
			for range sessions {
				id, r := next()
				wg.Go(func() {
					for !done.Load() {
						if err := statement(id, r, p); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				must(b, echo.Output(p[:64]))
				took = append(took, time.Since(began))
				time.Sleep(time.Millisecond) // nobody types faster
			}
			done.Store(true)
			wg.Wait()
			slices.Sort(took)
			for _, q := range []float64{0.5, 0.99, 1} {
				b.ReportMetric(float64(took[int(q*float64(len(took)-1))].Microseconds()), fmt.Sprintf("µs/p%g", 100*q))
			}
		})
	}
}

func statement(id string, r bastion.Recorder, answer []byte) error {
	if err := r.Event(decision(id, alice, "shop", "allow", "select id, name, email from customers where id = 7")); err != nil {
		return err
	}
	if err := r.Event(bastion.Event{At: time.Now(), Kind: bastion.EventResult, Session: id, Who: alice.ID(), Target: "shop", Verb: "select", Rows: 1}); err != nil {
		return err
	}
	return r.Output(answer)
}

// run spreads b.N calls over sessions.
func run(b *testing.B, sessions int, session func() func() error) {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	var calls []func() error
	for range sessions {
		calls = append(calls, session())
	}
	b.ResetTimer()
	for _, f := range calls {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkArchive lists and searches 100,000 recordings with four events each.
func BenchmarkArchive(b *testing.B) {
	dir := b.TempDir()
	db, err := store.Open(dir)
	must(b, err)
	defer db.Close()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: func() time.Time { return now }})
	must(b, err)
	const n = 100_000
	var wg sync.WaitGroup
	for w := range 200 {
		wg.Go(func() {
			for i := w; i < n; i += 200 {
				id, who := fmt.Sprintf("s%06d", i), rita
				if i%1000 == 7 {
					who = alice
				}
				r, err := a.Start(bastion.Recording{ID: id, Who: who, Start: now.Add(time.Duration(i) * time.Minute)})
				if err != nil {
					b.Error(err)
					return
				}
				if err := db.Update(func(tx store.Tx) error {
					for j := range 4 {
						e := decision(id, who, fmt.Sprint("target-", i%50), "allow", fmt.Sprintf("select %d from customers where id = %d", j, i))
						if err := recordings.Append(tx, e); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					b.Error(err)
				}
				if err := r.Close(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	info, err := os.Stat(filepath.Join(dir, "sallyport.db"))
	must(b, err)
	b.Logf("the store has %d MB", info.Size()>>20)
	auditor, mine := scope(b, axel, true), scope(b, alice, false)
	for _, c := range []struct {
		name  string
		scope bastion.Scope
		f     bastion.RecordingFilter
		want  int
	}{
		{"newest", auditor, bastion.RecordingFilter{}, 100},
		{"own", mine, bastion.RecordingFilter{}, 100},
		{"rare-person", auditor, bastion.RecordingFilter{Person: "alice", Limit: 1000}, 100},
		{"nobody", auditor, bastion.RecordingFilter{Person: "zoe"}, 0},
		{"target", auditor, bastion.RecordingFilter{Target: "target-7"}, 100},
		{"no-such-target", auditor, bastion.RecordingFilter{Target: "none"}, 0},
		{"month", auditor, bastion.RecordingFilter{Since: now, Until: now.Add(100 * time.Minute)}, 100},
		{"text-of-one-person", mine, bastion.RecordingFilter{Text: "id = 7"}, 12},
		{"text-found-nowhere", auditor, bastion.RecordingFilter{Text: "needle"}, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				got, err := a.Recordings(b.Context(), c.scope, c.f)
				must(b, err)
				if len(got) != c.want {
					b.Fatalf("%d found, want %d", len(got), c.want)
				}
			}
		})
	}
	b.Run("history", func(b *testing.B) {
		for b.Loop() {
			_, err := a.History(b.Context(), rita.ID(), "target-3", 1000)
			must(b, err)
		}
	})
}

func BenchmarkCast(b *testing.B) {
	_, a := open(b)
	r, p := start(b, a, "s", alice), make([]byte, 32<<10)
	for i := range p {
		p[i] = "row of text with \x1b[31m colour\x1b[0m and ünïcödé\r\n"[i%47]
	}
	const pieces = 320
	for range pieces {
		must(b, r.Output(p))
	}
	s := scope(b, alice, false)
	b.SetBytes(pieces * int64(len(p)))
	for b.Loop() {
		must(b, recordings.Cast(io.Discard, replay(b, a, s, "s")))
	}
}
