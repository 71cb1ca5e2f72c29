package recordings_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/recordings"
)

// spy is a spool that counts what is done to it, and fails when it is told to.
type spy struct {
	recordings.File

	mu            sync.Mutex
	writes, syncs int
	unsynced      bool
	write, sync   error
	short         bool // the failing write writes half
}

func (s *spy) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.write != nil {
		n := 0
		if s.short {
			n, _ = s.File.Write(p[:len(p)/2])
		}
		return n, s.write
	}
	s.writes, s.unsynced = s.writes+1, true
	return s.File.Write(p)
}

func (s *spy) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sync != nil {
		return s.sync
	}
	s.syncs, s.unsynced = s.syncs+1, false
	return s.File.Sync()
}

func (s *spy) did() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d writes, %d syncs", s.writes, s.syncs)
}

// spied opens an archive whose one spool is a spy.
func spied(t testing.TB, sync bool) (*store.DB, *recordings.Archive, *spy) {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	must(t, err)
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now, Sync: sync})
	must(t, err)
	s := &spy{}
	a.WrapSpools(func(f recordings.File) recordings.File { s.File = f; return s })
	return db, a, s
}

// A decision costs one write, what may come later none, and the disk is not
// waited for but where the configuration says so.
func TestWritesAndSyncs(t *testing.T) {
	for _, c := range []struct {
		sync bool
		want []string // after each step
	}{
		{false, []string{"1 writes, 0 syncs", "1 writes, 0 syncs", "1 writes, 0 syncs", "2 writes, 0 syncs", "3 writes, 0 syncs", "4 writes, 0 syncs"}},
		{true, []string{"1 writes, 1 syncs", "1 writes, 1 syncs", "1 writes, 1 syncs", "2 writes, 2 syncs", "3 writes, 2 syncs", "4 writes, 3 syncs"}},
	} {
		synctest.Test(t, func(t *testing.T) { // so that no time passes
			db, a, s := spied(t, c.sync)
			time.Sleep(time.Millisecond)
			r := start(t, a, "s", alice)
			for i, step := range []func() error{
				func() error { return r.Event(decision("s", alice, "t", "allow", "select 1")) },
				func() error { return r.Event(result("s", alice, 1)) },
				func() error { return r.Note([]byte("answer")) },
				func() error { return r.Event(decision("s", alice, "t", "allow", "select 2")) },
				func() error { return r.Output([]byte("x")) },
				func() error { return r.Event(bastion.Event{At: time.Now(), Kind: bastion.EventRefused}) },
			} {
				must(t, step())
				if got := s.did(); got != c.want[i] {
					t.Errorf("sync %v, step %d: %s, want %s", c.sync, i, got, c.want[i])
				}
			}
			if n := count(t, db, "recordings.block"); n != 0 {
				t.Errorf("%d blocks in the store already", n)
			}
			must(t, r.Close())
			p := replay(t, a, scope(t, alice, false), "s")
			if got := strings.Join(kinds(p.Events()), " "); got != "decision result decision refused" || output(t, p) != "answerx" {
				t.Errorf("recorded %q", got)
			}
			must(t, db.Close())
		})
	}
}

// What comes later than it may is still handed over in time, although nothing follows.
func TestLateIsBounded(t *testing.T) {
	db, a, s := spied(t, false)
	r := start(t, a, "s", alice)
	for range 100 {
		must(t, r.Note(make([]byte, 1000)))
	}
	if s.did() == "0 writes, 0 syncs" {
		t.Error("100 kB wait in memory")
	}
	p := []byte("mine")
	must(t, r.Note(p))
	copy(p, "gone")
	must(t, r.Note(nil))
	must(t, r.Close())
	if got := output(t, replay(t, a, scope(t, alice, false), "s")); len(got) != 100_004 || !strings.HasSuffix(got, "mine") {
		t.Errorf("%d bytes, the last %q", len(got), got[max(0, len(got)-4):])
	}
	must(t, db.Close())
}

// A spool that is removed under its session ends the recorder at the next fold, and
// nothing of it is lost.
func TestSpoolRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	db, err := store.Open(t.TempDir())
	must(t, err)
	a, err := recordings.New(recordings.Config{DB: db, Dir: dir, Now: time.Now})
	must(t, err)
	r := start(t, a, "s", alice)
	must(t, r.Event(decision("s", alice, "t", "allow", "select 1")))
	must(t, r.Flush())
	spools, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(spools) != 1 {
		t.Fatalf("spools: %q", spools)
	}
	must(t, os.Remove(spools[0]))
	err = r.Event(decision("s", alice, "t", "allow", "select 2"))
	if err == nil { // else it was folded meanwhile
		err = r.Flush()
	}
	if err == nil || !strings.Contains(err.Error(), "its spool was removed") {
		t.Errorf("got %v", err)
	}
	if err := r.Close(); err == nil {
		t.Error("it was sealed as if nothing had happened")
	}
	p := replay(t, a, scope(t, alice, false), "s")
	if got := strings.Join(kinds(p.Events()), " "); !strings.HasPrefix(got, "decision") || !p.Recording().Broken {
		t.Errorf("recorded %q, %+v", got, p.Recording())
	}
	must(t, db.Close())
}

// A write or a sync that fails ends the recorder for good. What was accepted
// before is in the recording, which says that it is broken.
func TestSpoolFails(t *testing.T) {
	for _, c := range []struct {
		name string
		sync bool
		fail func(*spy)
		want string
	}{
		{"sync", true, func(s *spy) { s.sync = syscall.EIO }, "decision result decision"}, // handed over, and not let out
		{"write", false, func(s *spy) { s.write = syscall.ENOSPC }, "decision result"},
		{"half of a write", false, func(s *spy) { s.write, s.short = syscall.ENOSPC, true }, "decision result"},
		{"write of what waits for a sync", true, func(s *spy) { s.write = syscall.EIO }, "decision result"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, a, s := spied(t, c.sync)
			r := start(t, a, "s", alice)
			must(t, r.Event(decision("s", alice, "t", "allow", "select 1")))
			must(t, r.Event(result("s", alice, 1)))
			s.mu.Lock()
			c.fail(s)
			s.mu.Unlock()
			first := r.Event(decision("s", alice, "t", "allow", "select 2"))
			if !errors.Is(first, syscall.EIO) && !errors.Is(first, syscall.ENOSPC) {
				t.Fatalf("the decision: %v", first)
			}
			s.mu.Lock()
			s.write, s.sync = nil, nil // too late
			s.mu.Unlock()
			for _, err := range []error{r.Event(decision("s", alice, "t", "allow", "x")), r.Event(result("s", alice, 1)), r.Flush(), r.Output([]byte("x")), r.Note([]byte("x")), r.Resize(1, 1), r.Close(), r.Close()} {
				if err != first {
					t.Errorf("%v instead of %v", err, first)
				}
			}
			p := replay(t, a, scope(t, alice, false), "s")
			if got := strings.Join(kinds(p.Events()), " "); got != c.want || !p.Recording().Broken {
				t.Errorf("recorded %q, %+v", got, p.Recording())
			}
			must(t, db.Close())
		})
	}
}

// A failure that nobody waited for is the next call's.
func TestLateFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, a, s := spied(t, false)
		time.Sleep(time.Millisecond)
		r := start(t, a, "s", alice)
		s.write = syscall.EIO
		must(t, r.Event(result("s", alice, 1)))
		time.Sleep(recordings.EventDelay)
		synctest.Wait()
		if err := r.Event(decision("s", alice, "t", "allow", "select 1")); !errors.Is(err, syscall.EIO) {
			t.Errorf("the decision: %v", err)
		}
		if err := r.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("closing: %v", err)
		}
		if got := kinds(replay(t, a, scope(t, alice, false), "s").Events()); !slices.Equal(got, []string{"result"}) {
			t.Errorf("recorded %q", got)
		}
		must(t, db.Close())
	})
}

// What was flushed has its place in the log before all that comes after.
func TestFlushOrder(t *testing.T) {
	db, a := open(t)
	one, two := start(t, a, "one", alice), start(t, a, "two", rita)
	filed := func(text string) {
		t.Helper()
		must(t, db.Update(func(tx store.Tx) error { // as approvals do it
			return recordings.Append(tx, bastion.Event{At: time.Now(), Kind: bastion.EventRequest, Session: "one", Who: alice.ID(), Text: text})
		}))
	}
	for i := range 10 {
		must(t, two.Event(decision("two", rita, "t", "allow", fmt.Sprint("two ", i))))
		must(t, one.Event(decision("one", alice, "t", "ask", fmt.Sprint("one ", i))))
		must(t, two.Event(result("two", rita, int64(i))))
		must(t, one.Event(result("one", alice, int64(i))))
		if i%2 == 0 {
			must(t, two.Flush())
		}
		must(t, one.Flush())
		must(t, one.Flush())
		filed(fmt.Sprint("one ", i))
	}
	place := map[string]uint64{} // in the log
	var seqs []uint64
	must(t, a.Events(t.Context(), scope(t, axel, true), 0, func(e bastion.Event) bool {
		seqs = append(seqs, e.Seq)
		key := fmt.Sprint(e.Kind, " ", e.Text)
		if e.Kind == bastion.EventResult {
			key = fmt.Sprint(e.Session, " result ", e.Rows)
		}
		place[key] = e.Seq
		return true
	}))
	if len(seqs) != 50 {
		t.Fatalf("%d events", len(seqs))
	}
	for i, s := range seqs {
		if s != uint64(i+1) {
			t.Errorf("event %d has number %d", i, s)
		}
	}
	before := func(x, y string) {
		t.Helper()
		if place[x] == 0 || place[y] == 0 || place[x] >= place[y] {
			t.Errorf("%q is at %d and %q at %d", x, place[x], y, place[y])
		}
	}
	for i := range 10 {
		before(fmt.Sprint("decision one ", i), fmt.Sprint("one result ", i))
		before(fmt.Sprint("one result ", i), fmt.Sprint("request one ", i))
		before(fmt.Sprint("decision two ", i), fmt.Sprint("two result ", i))
		if i > 0 {
			before(fmt.Sprint("request one ", i-1), fmt.Sprint("decision one ", i))
			before(fmt.Sprint("two result ", i-1), fmt.Sprint("decision two ", i))
		}
	}
}

// Whoever reads sees what living sessions recorded, although it is in the store of none.
func TestReadersSeePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that nothing is folded by itself
		db, a := openIn(t, t.TempDir())
		auditor, mine := scope(t, axel, true), scope(t, alice, false)
		time.Sleep(time.Millisecond)
		for name, seen := range map[string]func(id, text string) (bool, error){
			"events": func(_, text string) (found bool, err error) {
				err = a.Events(t.Context(), auditor, 0, func(e bastion.Event) bool { found = found || e.Text == text; return true })
				return found, err
			},
			"own events": func(_, text string) (found bool, err error) {
				err = a.Events(t.Context(), mine, 0, func(e bastion.Event) bool { found = found || e.Text == text; return true })
				return found, err
			},
			"recordings": func(id, text string) (bool, error) {
				rs, err := a.Recordings(t.Context(), auditor, bastion.RecordingFilter{Text: text, Target: "t"})
				return len(rs) == 1 && rs[0].ID == id && rs[0].Operations == 1 && rs[0].Bytes == 7, err
			},
			"replay": func(id, _ string) (bool, error) {
				p, err := a.Replay(t.Context(), auditor, id)
				if err != nil {
					return false, err
				}
				seen := len(p.Events()) == 2 && p.Recording().Operations == 1 && output(t, p) == "someone"
				return seen, p.Close()
			},
			"history": func(_, text string) (bool, error) {
				h, err := a.History(t.Context(), alice.ID(), "t", 1)
				return slices.Equal(h, []string{text}), err
			},
		} {
			id := strings.ReplaceAll(name, " ", "-")
			r, text := start(t, a, id, alice), "select '"+name+"'"
			must(t, r.Event(decision(id, alice, "t", "allow", text)))
			must(t, r.Note([]byte("some")))
			must(t, r.Event(result(id, alice, 1)))
			must(t, r.Note([]byte("one")))
			if ok, err := seen(id, text); err != nil || !ok {
				t.Errorf("%s: not seen, %v", name, err)
			}
			must(t, r.Close())
		}
		must(t, db.Close())
	})
}

// Thousands of events of a session are few blocks, and each can be found by its number.
func TestManyEventsInFewBlocks(t *testing.T) {
	db, a := open(t)
	r, other := start(t, a, "s", alice), start(t, a, "o", rita)
	const n = 12_000
	for i := range n {
		must(t, r.Event(decision("s", alice, fmt.Sprint("t", i%3), "allow", fmt.Sprint("statement ", i))))
		if i%1000 == 0 {
			must(t, other.Event(decision("o", rita, "t0", "allow", fmt.Sprint("other ", i))))
			must(t, other.Flush())
		}
	}
	must(t, r.Flush())
	for bucket, most := range map[string]int{"recordings.block": 200, "recordings.block.session": 200, "recordings.block.person": 200, "recordings.block.history": 600} {
		if got := count(t, db, bucket); got > most {
			t.Errorf("%s has %d keys", bucket, got)
		}
	}
	auditor := scope(t, axel, true)
	for _, s := range []struct {
		scope bastion.Scope
		who   string
		all   int
	}{{auditor, "", n + 12}, {scope(t, alice, false), alice.ID(), n}, {scope(t, rita, false), rita.ID(), 12}} {
		var all []bastion.Event
		must(t, a.Events(t.Context(), s.scope, 0, func(e bastion.Event) bool { all = append(all, e); return true }))
		if len(all) != s.all {
			t.Fatalf("%d events, want %d", len(all), s.all)
		}
		for i := range all {
			if i > 0 && all[i].Seq <= all[i-1].Seq || s.who != "" && all[i].Who != s.who {
				t.Fatalf("event %d: %+v", i, all[i])
			}
		}
		for i := 0; i < len(all); i += len(all)/40 + 1 {
			var first bastion.Event
			must(t, a.Events(t.Context(), s.scope, all[i].Seq, func(e bastion.Event) bool { first = e; return false }))
			if first.Seq != all[i].Seq || first.Text != all[i].Text {
				t.Errorf("from %d came %d", all[i].Seq, first.Seq)
			}
		}
		must(t, a.Events(t.Context(), s.scope, all[len(all)-1].Seq+1, func(e bastion.Event) bool {
			t.Errorf("event %d is beyond the end", e.Seq)
			return false
		}))
	}
	h, err := a.History(t.Context(), alice.ID(), "t1", 3)
	must(t, err)
	if want := []string{"statement 11992", "statement 11995", "statement 11998"}; !slices.Equal(h, want) {
		t.Errorf("history %q, want %q", h, want)
	}
	if h, err = a.History(t.Context(), alice.ID(), "t0", 5000); err != nil || len(h) != 4000 {
		t.Errorf("%d in the history, %v", len(h), err)
	}
}

// A log that was changed is not read as something else.
func TestLogDamaged(t *testing.T) {
	db, a := open(t)
	r := start(t, a, "s", alice)
	must(t, r.Event(decision("s", alice, "t", "allow", "select 1")))
	must(t, r.Flush())
	must(t, db.Update(func(tx store.Tx) (err error) {
		return tx.Scan("recordings.block", nil, func(k, v []byte) (bool, error) {
			b := slices.Clone(v)
			b[len(b)-1] ^= 1
			return false, tx.Put("recordings.block", slices.Clone(k), b)
		})
	}))
	auditor := scope(t, axel, true)
	all := func(bastion.Event) bool { return true }
	_, replayErr := a.Replay(t.Context(), auditor, "s")
	_, historyErr := a.History(t.Context(), alice.ID(), "t", 1)
	_, textErr := a.Recordings(t.Context(), auditor, bastion.RecordingFilter{Text: "select"})
	for i, err := range []error{a.Events(t.Context(), auditor, 0, all), a.Events(t.Context(), scope(t, alice, false), 0, all), replayErr, historyErr, textErr} {
		if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("reader %d: %v", i, err)
		}
	}
}

// A store of another layout is refused, not misread.
func TestLayout(t *testing.T) {
	for name, put := range map[string]func(store.Tx) error{
		`"1"`: func(tx store.Tx) error {
			return tx.Put("recordings.event", []byte{0, 0, 0, 0, 0, 0, 0, 1}, []byte(`{"seq":1,"kind":"sign-in"}`))
		},
		`"3"`: func(tx store.Tx) error { return tx.Put("recordings.layout", []byte("layout"), []byte("3")) },
	} {
		dir := t.TempDir()
		db, err := store.Open(dir)
		must(t, err)
		must(t, db.Update(put))
		for range 2 {
			a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now})
			if a != nil || err == nil || !strings.Contains(err.Error(), "layout "+name) || !strings.Contains(err.Error(), "state directory") {
				t.Errorf("layout %s: %v", name, err)
			}
		}
		must(t, db.Close())
	}
	dir := t.TempDir()
	for range 2 { // one's own is taken
		db, _ := openIn(t, dir)
		must(t, db.Close())
	}
}
