package recordings_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/recordings"
)

// openIn opens the store and the archive of a directory.
func openIn(t testing.TB, dir string) (*store.DB, *recordings.Archive) {
	t.Helper()
	db, err := store.Open(dir)
	must(t, err)
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now})
	must(t, err)
	return db, a
}

// crash returns a copy of a directory as it would be if the process died now.
func crash(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	must(t, os.Chmod(filepath.Join(to, "spool"), 0o700))
	return to
}

// count says how many keys a bucket has.
func count(t testing.TB, db *store.DB, bucket string) (n int) {
	t.Helper()
	must(t, db.View(func(tx store.Tx) error {
		n = 0
		return tx.Scan(bucket, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
	}))
	return n
}

func output(t testing.TB, r bastion.Replay) string {
	t.Helper()
	var b []byte
	for _, c := range chunks(t, r) {
		b = append(b, c.Output...)
	}
	return string(b)
}

func kinds(es []bastion.Event) (s []string) {
	for _, e := range es {
		s = append(s, string(e.Kind))
	}
	return s
}

func result(id string, who bastion.Identity, rows int64) bastion.Event {
	return bastion.Event{At: time.Now(), Kind: bastion.EventResult, Session: id, Who: who.ID(), Name: who.Name, Target: "t", Verb: "select", Rows: rows}
}

func spools(t testing.TB, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, "spool"))
	must(t, err)
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// What a session records does not wait for the disk, not even while the store is
// busy. What must, does.
func TestNothingWaits(t *testing.T) {
	for name, last := range map[string]func(bastion.Recorder) error{
		"flush": bastion.Recorder.Flush,
		"start": func(r bastion.Recorder) error {
			return r.Event(bastion.Event{At: time.Now(), Kind: bastion.EventStart})
		},
		"end": func(r bastion.Recorder) error {
			return r.Event(bastion.Event{At: time.Now(), Kind: bastion.EventEnd})
		},
		"close": bastion.Recorder.Close,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, a := openIn(t, t.TempDir())
				r := start(t, a, "s", alice)
				held, release := make(chan struct{}), make(chan struct{})
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := db.Update(func(store.Tx) error { close(held); <-release; return nil }); err != nil {
						t.Error(err)
					}
				})
				<-held
				say := func(text string) {
					t.Helper()
					must(t, r.Event(decision("s", alice, "t", "allow", text)))
					must(t, r.Output([]byte("echo ")))
					must(t, r.Event(result("s", alice, 1)))
					must(t, r.Note([]byte("note ")))
					must(t, r.Resize(100, 30))
				}
				say("select 1")
				done := false
				wg.Go(func() {
					if err := last(r); err != nil {
						t.Error(err)
					}
					done = true
				})
				synctest.Wait() // it waits for the store
				if done {
					t.Error("it did not wait")
				}
				want := "decision result"
				if name != "close" {
					say("select 2")
					want += " decision result"
				}
				close(release)
				wg.Wait()
				must(t, r.Close())
				p := replay(t, a, scope(t, alice, false), "s")
				var got []string
				for _, k := range kinds(p.Events()) {
					if !strings.HasPrefix(k, "session") {
						got = append(got, k)
					}
				}
				said := strings.Count(want, "decision")
				if s := strings.Join(got, " "); s != want || output(t, p) != strings.Repeat("echo note ", said) {
					t.Errorf("recorded: %q", s)
				}
				must(t, db.Close())
			})
		})
	}
}

// The store takes in what waits after a while, although nothing else happens.
func TestFoldInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, a := openIn(t, t.TempDir())
		r := start(t, a, "s", alice)
		time.Sleep(time.Millisecond)
		blocks := func() int { return count(t, db, "recordings.block") }
		shown := func() int { return count(t, db, "recordings.shown") }
		for name, record := range map[string]func() error{
			"decision": func() error { return r.Event(decision("s", alice, "t", "allow", "select 1")) },
			"result":   func() error { return r.Event(result("s", alice, 1)) },
			"note":     func() error { return r.Note([]byte("n")) },
		} {
			must(t, r.Output([]byte("x"))) // is in less of a hurry, and goes along
			before, b := shown(), blocks()
			must(t, record())
			time.Sleep(recordings.EventDelay)
			synctest.Wait()
			if shown() != before+1 || blocks() != b+1 && name != "note" {
				t.Errorf("%s: not folded in time", name)
			}
		}
		before := shown()
		must(t, r.Output([]byte("x")))
		time.Sleep(recordings.OutputDelay / 2)
		must(t, r.Output([]byte("y"))) // does not put it off
		time.Sleep(recordings.OutputDelay / 2)
		synctest.Wait()
		if shown() != before+1 {
			t.Errorf("%d records of output after their time, want one", shown()-before)
		}
		must(t, r.Close())
		must(t, db.Close())
	})
}

// The log has a session's events in the order in which they came, with their own times.
func TestOrder(t *testing.T) {
	db, _ := open(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(t.TempDir(), "spool"), Now: func() time.Time { return now }})
	must(t, err)
	r := start(t, a, "s", alice)
	var want []string
	for i := range 20 {
		now = now.Add(time.Second)
		e := result("s", alice, int64(i))
		if i%3 == 0 {
			e = decision("s", alice, "t", "allow", fmt.Sprint(i))
		}
		e.At = now
		want = append(want, fmt.Sprint(e.Kind, now.Format(time.TimeOnly), time.Duration(i+1)*time.Second))
		must(t, r.Output([]byte("x")))
		must(t, r.Event(e))
	}
	p := replay(t, a, scope(t, alice, false), "s")
	var got []string
	for i, e := range p.Events() {
		got = append(got, fmt.Sprint(e.Kind, e.At.Format(time.TimeOnly), e.Offset))
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has number %d", i, e.Seq)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(chunks(t, p)) != 20 {
		t.Error("the replay does not show what is in the spool")
	}
	must(t, r.Event(result("s", alice, 99)))
	must(t, r.Output([]byte("more")))
	if got := output(t, p); got != "more" {
		t.Errorf("the replay goes on with %q", got)
	}
	must(t, r.Close())
}

// A result that is too large for the spool is recorded all the same.
func TestGreatResult(t *testing.T) {
	_, a := open(t)
	r := start(t, a, "s", alice)
	must(t, r.Event(result("s", alice, 1)))
	e := result("s", alice, 2)
	e.Error = strings.Repeat("x", 2<<20)
	must(t, r.Event(e))
	must(t, r.Event(result("s", alice, 3)))
	must(t, r.Close())
	es := replay(t, a, scope(t, alice, false), "s").Events()
	if len(es) != 3 || es[0].Rows != 1 || len(es[1].Error) != 2<<20 || es[2].Rows != 3 {
		t.Errorf("%d events", len(es))
	}
}

// A spool stays small however much there is to say, belongs to its owner alone,
// and is gone when the session is.
func TestSpoolFile(t *testing.T) {
	dir := t.TempDir()
	db, a := openIn(t, dir)
	id := "a/../../b.c" // names that mean something in a path
	r := start(t, a, id, alice)
	if got := spools(t, dir); got != nil {
		t.Errorf("spools before any output: %q", got)
	}
	path := recordings.SpoolPath(filepath.Join(dir, "spool"), id)
	for range 3 {
		for _, size := range []int{recordings.SpoolSize - 1, 5 << 20, recordings.EmptySize} {
			must(t, r.Output(make([]byte, size)))
			info, err := os.Stat(path)
			must(t, err)
			if info.Mode().Perm() != 0o600 || info.Size() > recordings.MaxSpool {
				t.Fatalf("the spool has mode %v and %d bytes", info.Mode(), info.Size())
			}
		}
		must(t, r.Event(decision(id, alice, "t", "allow", "x")))
		must(t, r.Flush())
		info, err := os.Stat(path)
		must(t, err)
		if info.Size() != 0 {
			t.Errorf("after all was folded the spool has %d bytes", info.Size())
		}
	}
	dirInfo, err := os.Stat(filepath.Dir(path))
	must(t, err)
	if dirInfo.Mode().Perm() != 0o700 || len(spools(t, dir)) != 1 {
		t.Errorf("directory %v with %q", dirInfo.Mode(), spools(t, dir))
	}
	must(t, r.Output([]byte("x")))
	must(t, r.Close())
	if got := spools(t, dir); got != nil {
		t.Errorf("spools after the end: %q", got)
	}
	if n := count(t, db, "recordings.recording.tally"); n != 0 {
		t.Errorf("the store remembers %d living sessions", n)
	}
	must(t, db.Close())
}

func TestSpoolDirectory(t *testing.T) {
	db, _ := open(t)
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o750))
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for name, path := range map[string]string{"none": "", "others may enter": dir, "a file": file, "below a file": filepath.Join(file, "x")} {
		if a, err := recordings.New(recordings.Config{DB: db, Dir: path, Now: time.Now}); err == nil || a != nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// script records in a session what a spool holds after it, in part folded.
func script(t testing.TB, r bastion.Recorder, id string, who bastion.Identity) {
	t.Helper()
	must(t, r.Event(decision(id, who, "t", "allow", "select 1")))
	must(t, r.Output([]byte("one ")))
	must(t, r.Event(result(id, who, 1)))
	must(t, r.Event(decision(id, who, "t", "allow", "select 2")))
	must(t, r.Flush()) // folds, and leaves the file
	must(t, r.Output([]byte("two ")))
	must(t, r.Event(result(id, who, 2)))
	must(t, r.Resize(100, 30))
	must(t, r.Output([]byte("three")))
}

// The process dies: what the spool holds is folded, once, and what cannot be
// read is told.
func TestSpoolAfterDeath(t *testing.T) {
	dir := t.TempDir()
	db, a := openIn(t, dir)
	script(t, start(t, a, "s", alice), "s", alice)
	script(t, start(t, a, "other", rita), "other", rita)
	must(t, start(t, a, "silent", alice).Event(bastion.Event{At: time.Now(), Kind: bastion.EventStart}))
	died := crash(t, dir)
	must(t, db.Close())
	auditor := scope(t, axel, true)

	whole, err := os.ReadFile(recordings.SpoolPath(filepath.Join(died, "spool"), "s"))
	must(t, err)
	others, err := os.ReadFile(recordings.SpoolPath(filepath.Join(died, "spool"), "other"))
	must(t, err)
	frames, torn, err := recordings.ParseFrames("s", whole)
	if len(frames) != 8 || torn != 0 || err != nil {
		t.Fatalf("the spool has %d frames, %d bytes more, %v", len(frames), torn, err)
	}
	stranger, err := recordings.Run(result("other", rita, 1))
	must(t, err)
	var ends []int // of frames
	at := 0
	for _, f := range frames {
		at += recordings.FrameHeader + len(f.Body)
		ends = append(ends, at)
	}
	flip := func(i int) []byte {
		b := slices.Clone(whole)
		b[i] ^= 1
		return b
	}
	const (
		one  = "one |decision result decision"
		most = "one two |decision result decision result"
		all  = "one two three|decision result decision result"
	)
	for _, c := range []struct {
		name  string
		spool []byte // nil removes it
		want  string
		alarm string
	}{
		{"whole", whole, all, ""},
		{"last frame cut in its body", whole[:len(whole)-1], most, ""},
		{"last frame cut in its header", whole[:ends[6]+recordings.FrameHeader-1], most, ""},
		{"cut to one byte of a frame", whole[:ends[5]+1], most, ""},
		{"cut between frames", whole[:ends[3]], one, ""},
		{"empty", []byte{}, one, ""},
		{"gone", nil, one, "missing"},
		{"length of a frame", flip(ends[5]), most, "damaged"},
		{"number of a frame", flip(ends[5] + 11), most, "damaged"},
		{"sum of a frame", flip(ends[5] + 12), most, "damaged"},
		{"sum of a header", flip(ends[5] + 16), most, "damaged"},
		{"content of the last frame", flip(len(whole) - 1), most, "damaged"},
		{"content of a frame before", flip(ends[4] - 1), one, "damaged"},
		{"even of one that was folded", flip(ends[0] - 1), one, "damaged"},
		{"zeros after it", append(slices.Clone(whole), make([]byte, 4096)...), all, "damaged"},
		{"a frame left out", slices.Concat(whole[:ends[3]], whole[ends[4]:]), one, "frame 4 is missing"},
		{"a frame twice", slices.Concat(whole[:ends[4]], whole[ends[3]:]), all, ""},
		{"another session's", others, one, "damaged"},
		{"too large", append(slices.Clone(whole), bytes.Repeat(whole[:ends[0]], recordings.MaxSpool/ends[0]+1)...), all, "larger"},
		{"a chunk that does not follow", recordings.AppendFrame(slices.Clone(whole), "s", 8, 'o', 0, 0), all, "does not follow"},
		{"a chunk of no kind", recordings.AppendFrame(slices.Clone(whole), "s", 8, 'x', 0, 0), all, "no known kind"},
		{"a chunk cut short", recordings.AppendFrame(slices.Clone(whole), "s", 8, 'o', 0x80), all, "cut short"},
		{"no event", recordings.AppendFrame(slices.Clone(whole), "s", 8, []byte("e{")...), all, "reading an event"},
		{"another's event", recordings.AppendFrame(slices.Clone(whole), "s", 8, append([]byte{'e'}, stranger...)...), all, "another session"},
		{"an event and more", recordings.AppendFrame(slices.Clone(whole), "s", 8, append(append([]byte{'e'}, stranger...), 0)...), all, "reading an event"},
		{"an event without its run", recordings.AppendFrame(slices.Clone(whole[:ends[3]]), "s", 4, append([]byte{'e', stranger[0] &^ 0x80}, stranger[1:]...)...), one, "reading an event"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := crash(t, died)
			path := recordings.SpoolPath(filepath.Join(dir, "spool"), "s")
			must(t, os.Remove(path))
			if c.spool != nil {
				must(t, os.WriteFile(path, c.spool, 0o600))
			}
			stranger := recordings.SpoolPath(filepath.Join(dir, "spool"), "unheard-of")
			must(t, os.WriteFile(stranger, whole, 0o600))
			for range 2 { // opening again changes nothing
				db, a := openIn(t, dir)
				p := replay(t, a, auditor, "s")
				m := p.Recording()
				es := p.Events()
				alarm := ""
				if n := len(es); n > 0 && es[n-1].Kind == bastion.EventAlarm {
					alarm = es[n-1].Error
					if es[n-1].Offset > m.Length {
						t.Errorf("the alarm comes at %v of %v", es[n-1].Offset, m.Length)
					}
					es = es[:n-1]
				}
				got := output(t, p)
				if s := got + "|" + strings.Join(kinds(es), " "); s != c.want {
					t.Errorf("recorded %q, want %q", s, c.want)
				}
				if (c.alarm == "") != (alarm == "") || !strings.Contains(alarm, c.alarm) {
					t.Errorf("alarm %q, want one of %q", alarm, c.alarm)
				}
				if !m.Broken || m.End.IsZero() || m.Bytes != int64(len(got)) {
					t.Errorf("%+v", m)
				}
				if got := output(t, replay(t, a, auditor, "other")); got != "one two three" {
					t.Errorf("the other session has %q", got)
				}
				if es := replay(t, a, auditor, "silent").Events(); len(es) != 1 {
					t.Errorf("the session without a spool has %q", kinds(es))
				}
				if left := spools(t, dir); len(left) != 1 || left[0] != filepath.Base(stranger) {
					t.Errorf("left over: %q", left)
				}
				must(t, db.Close())
			}
		})
	}
}

// The process dies after a recording was sealed and before its spool was removed.
func TestSpoolOfSealed(t *testing.T) {
	dir := t.TempDir()
	db, a := openIn(t, dir)
	r := start(t, a, "s", alice)
	script(t, r, "s", alice)
	path := recordings.SpoolPath(filepath.Join(dir, "spool"), "s")
	spool, err := os.ReadFile(path)
	must(t, err)
	must(t, r.Close())
	must(t, db.Close())
	must(t, os.WriteFile(path, spool, 0o600))
	db, a = openIn(t, dir)
	p := replay(t, a, scope(t, alice, false), "s")
	if got := output(t, p); got != "one two three" || len(p.Events()) != 4 || p.Recording().Broken || len(spools(t, dir)) != 0 {
		t.Errorf("%q, %q, %+v, spools %q", got, kinds(p.Events()), p.Recording(), spools(t, dir))
	}
	must(t, db.Close())
}

// A spool that is damaged while the session lives ends the session, and the
// recording has what came before.
func TestSpoolDamagedInUse(t *testing.T) {
	for name, harm := range map[string]func(string) error{
		"cut":     func(path string) error { return os.Truncate(path, 200) },
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"changed": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)-1] ^= 1
			return os.WriteFile(path, b, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db, a := openIn(t, dir)
			r := start(t, a, "s", alice)
			must(t, r.Event(decision("s", alice, "t", "allow", "before")))
			must(t, r.Flush())
			for range 5 {
				must(t, r.Output([]byte("abcdefghij")))
			}
			must(t, harm(recordings.SpoolPath(filepath.Join(dir, "spool"), "s")))
			first := r.Flush()
			if first == nil {
				t.Fatal("what came before is lost, and nobody said so")
			}
			for _, err := range []error{r.Event(decision("s", alice, "t", "allow", "after")), r.Flush(), r.Note([]byte("x")), r.Output([]byte("x")), r.Event(result("s", alice, 1)), r.Resize(80, 24), r.Close(), r.Close()} {
				if err != first {
					t.Errorf("after %v: %v", first, err)
				}
			}
			p := replay(t, a, scope(t, alice, false), "s")
			got, es := output(t, p), kinds(p.Events())
			if !strings.HasPrefix(strings.Repeat("abcdefghij", 5), got) || name == "changed" && len(got) != 40 || !p.Recording().Broken || !slices.Equal(es, []string{"decision", "alarm"}) {
				t.Errorf("recorded %q and %q, %+v", got, es, p.Recording())
			}
			must(t, db.Close())
		})
	}
}

// A file in the spool's place is nobody's to append to.
func TestSpoolTaken(t *testing.T) {
	dir := t.TempDir()
	db, a := openIn(t, dir)
	r := start(t, a, "s", alice)
	must(t, os.WriteFile(recordings.SpoolPath(filepath.Join(dir, "spool"), "s"), nil, 0o600))
	if err := r.Output([]byte("x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("output: %v", err)
	}
	if err := r.Close(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("closing: %v", err)
	}
	must(t, db.Close())
}

// FuzzSpool reads any bytes as a spool, as they are and after a sound frame. What
// comes out are the very frames that went in, each with the sum that it claims.
func FuzzSpool(f *testing.F) {
	good := recordings.AppendFrame(nil, "s", 0, []byte("o\x00\x05hello")...)
	good = recordings.AppendFrame(good, "s", 1, []byte("e\x8a\x00")...)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[:10])
	f.Add([]byte{})
	f.Add(make([]byte, 100))
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Add(append([]byte{0, 0, 0}, good...))
	f.Add(recordings.AppendFrame(nil, "t", 0, 'x'))
	f.Add(recordings.AppendFrame(nil, "s", 1<<63))
	table := crc32.MakeTable(crc32.Castagnoli)
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(b []byte) int {
			frames, torn, err := recordings.ParseFrames("s", b)
			var again []byte
			for _, f := range frames {
				head := b[len(again):][:recordings.FrameHeader]
				if binary.BigEndian.Uint32(head[12:]) != crc32.Checksum(f.Body, table) ||
					binary.BigEndian.Uint32(head[16:]) != crc32.Checksum(append([]byte("s"), head[:16]...), table) {
					t.Errorf("frame %d fails its checksum", f.Number)
				}
				again = recordings.AppendFrame(again, "s", f.Number, f.Body...)
			}
			if !bytes.HasPrefix(b, again) {
				t.Error("other frames came out than went in")
			}
			if err == nil && len(again)+torn != len(b) || err != nil && torn != 0 {
				t.Errorf("%d bytes read, %d torn, of %d, and %v", len(again), torn, len(b), err)
			}
			return len(frames)
		}
		n := check(b)
		if m := check(slices.Concat(good, b)); m != n+2 {
			t.Errorf("%d frames alone and %d after two others", n, m)
		}
	})
}

// An operation that needs approval is decided twice and counted once.
func TestCount(t *testing.T) {
	const ask, stale, use = "ask", "stale", "use"
	for _, c := range []struct {
		name                      string
		what                      string // event and digest
		operations, denied, asked int
	}{
		{"allowed twice", "allow:a allow:a", 2, 0, 0},
		{"asked and approved", "ask:a ask:a use:a", 1, 0, 1},
		{"twice", "ask:a ask:a use:a ask:a ask:a use:a", 2, 0, 2},
		{"side by side", "ask:a ask:b ask:b use:b ask:a use:a", 2, 0, 2},
		{"denied by people, and asked again", "ask:a ask:a ask:a use:a", 1, 0, 1},
		{"no longer allowed after approval", "ask:a deny:a", 1, 1, 1},
		{"and then anew", "ask:a deny:a ask:a", 2, 1, 2},
		{"allowed without approval meanwhile", "ask:a allow:a allow:a", 2, 0, 1},
		{"sign-in too old meanwhile", "ask:a stale:a", 1, 1, 1},
		{"sign-in too old", "stale:a stale:a", 2, 2, 0},
		{"approval used in vain", "use:a ask:a", 1, 0, 1},
		{"without a digest", "ask: ask:", 2, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, a := open(t)
			r := start(t, a, "s", alice)
			for _, w := range strings.Fields(c.what) {
				effect, digest, _ := strings.Cut(w, ":")
				e := decision("s", alice, "t", effect, "update t")
				e.Digest = digest
				switch effect {
				case stale:
					e.Effect, e.Error = ask, "the sign-in is too old"
				case use:
					must(t, r.Flush())
					e.Kind, e.Effect = bastion.EventUse, ""
					must(t, db.Update(func(tx store.Tx) error { return recordings.Append(tx, e) }))
					continue
				}
				must(t, r.Event(e))
			}
			check := func() {
				t.Helper()
				m := replay(t, a, scope(t, alice, false), "s").Recording()
				if m.Operations != c.operations || m.Denied != c.denied || m.Asked != c.asked {
					t.Errorf("%d operations, %d denied, %d asked; want %d, %d, %d", m.Operations, m.Denied, m.Asked, c.operations, c.denied, c.asked)
				}
			}
			check()
			must(t, r.Close())
			check()
		})
	}
	_, a := open(t)
	r := start(t, a, "many", alice)
	for i := range 200 { // what is remembered is bounded
		e := decision("many", alice, "t", ask, "update t")
		e.Digest = fmt.Sprint(i)
		must(t, r.Event(e))
	}
	for _, digest := range []string{"199", "0"} {
		e := decision("many", alice, "t", ask, "update t")
		e.Digest = digest
		must(t, r.Event(e))
	}
	if m := replay(t, a, scope(t, alice, false), "many").Recording(); m.Operations != 201 {
		t.Errorf("%d operations", m.Operations)
	}
}
