package recordings_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/recordings"
)

// child prepares this test binary to run as a child process.
func child(t *testing.T, what string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(append(os.Environ(), childEnv+"="+what), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// streamed is byte i of all that a child writes.
func streamed(i int) byte { return byte(i*7 ^ i>>8 ^ i>>16) }

// childWrite records output and events until it is killed. What a recorder
// accepted it reports on standard output: that stands for a person who sees the
// output, and for a target that executes a statement. Results and notes, which may
// come later, it reports with what is recorded next.
func childWrite() error {
	dir := os.Getenv("DIR")
	db, err := store.Open(dir)
	if err != nil {
		return err
	}
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now})
	if err != nil {
		return err
	}
	id := os.Getenv("SESSION")
	r, err := a.Start(bastion.Recording{ID: id, Who: alice})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	report := func(kind byte, n int) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := os.Stdout.Write(append([]byte{kind}, binary.BigEndian.AppendUint64(nil, uint64(n))...))
		return err
	}
	piece := func(sent int) []byte {
		size := 1 + rand.IntN(200)
		if rand.IntN(10) == 0 {
			size = rand.IntN(3 << 20)
		}
		p := make([]byte, size)
		for i := range p {
			p[i] = streamed(sent + i)
		}
		return p
	}
	if os.Getenv("ORDER") != "" {
		for sent, n := 0, 0; ; {
			switch what := rand.IntN(8); what {
			case 0, 1: // a result, or several
				n++
				e := result(id, alice, int64(n))
				e.Text = fmt.Sprint("statement ", n)
				err = r.Event(e)
			case 2, 3:
				p := piece(sent)[:1]
				sent += len(p)
				err = r.Note(p)
			case 4:
				p := piece(sent)
				sent += len(p)
				if err = r.Output(p); err == nil {
					err = errors.Join(report('o', sent), report('e', n))
				}
			case 5:
				if err = r.Flush(); err == nil {
					err = errors.Join(report('o', sent), report('e', n))
				}
			default:
				n++
				if err = r.Event(decision(id, alice, "t", "allow", fmt.Sprint("statement ", n))); err == nil {
					err = errors.Join(report('o', sent), report('e', n))
				}
			}
			if err != nil {
				return err
			}
		}
	}
	failed := make(chan error, 2) // the other one is left behind when the process ends
	go func() {
		for sent := 0; ; {
			p := piece(sent)
			if err := r.Output(p); err != nil {
				failed <- err
				return
			}
			sent += len(p)
			if err := report('o', sent); err != nil {
				failed <- err
				return
			}
		}
	}()
	go func() {
		for n := 1; ; n++ {
			e := decision(id, alice, "t", "allow", fmt.Sprint("statement ", n))
			if n%2 == 0 {
				e = result(id, alice, int64(n))
				e.Text = fmt.Sprint("statement ", n)
			}
			err := r.Event(e)
			if err == nil && n%2 == 1 {
				err = report('e', n)
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

// Killed at any moment, the bastion leaves recordings that hold at least what
// people saw and targets executed.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	auditor := scope(t, axel, true)
	partial, folded := 0, 0
	const rounds = 40
	for round := range rounds {
		id := fmt.Sprint("s", round)
		order := ""
		if round%2 == 0 {
			order = "yes"
		}
		cmd := child(t, "write", "DIR="+dir, "SESSION="+id, "ORDER="+order)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		sent := map[byte]int{}
		in := bufio.NewReader(out)
		read := func() bool {
			var b [9]byte
			if _, err := io.ReadFull(in, b[:]); err != nil {
				return false
			}
			sent[b[0]] = int(binary.BigEndian.Uint64(b[1:]))
			return true
		}
		for range rand.IntN(400) + 1 {
			if !read() {
				t.Fatal("the child ended by itself")
			}
		}
		must(t, cmd.Process.Kill())
		for read() { // what it had still said
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child: %v", err)
		}

		db, err := store.Open(dir)
		must(t, err)
		before := count(t, db, "recordings.block")
		a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now})
		must(t, err)
		folded += count(t, db, "recordings.block") - before
		r, err := a.Replay(t.Context(), auditor, id)
		must(t, err)
		total := 0
		for _, c := range chunks(t, r) {
			for i, b := range c.Output {
				if b != streamed(total+i) {
					t.Fatalf("round %d: byte %d differs", round, total+i)
				}
			}
			total += len(c.Output)
		}
		m, events := r.Recording(), r.Events()
		said, decided := sent['e'], 0
		if total < sent['o'] || len(events) < said {
			t.Errorf("round %d: %d bytes and %d events recorded, %d and %d let out", round, total, len(events), sent['o'], said)
		}
		if total > sent['o'] || len(events) > said {
			partial++
		}
		for i, e := range events { // an alarm, of something that cannot be read, has no such text
			if e.Text != fmt.Sprint("statement ", i+1) {
				t.Errorf("round %d: event %d is %+v", round, i, e)
			}
			if e.Kind == bastion.EventDecision {
				decided++
			}
			if i > 0 && (e.Seq <= events[i-1].Seq || e.Offset < events[i-1].Offset) {
				t.Errorf("round %d: event %d comes before the one that it follows", round, i)
			}
		}
		if !m.Broken || m.End.IsZero() || m.Bytes != int64(total) || m.Operations != decided {
			t.Errorf("round %d: %d bytes, %d decisions, but %+v", round, total, decided, m)
		}
		if left := spools(t, dir); left != nil {
			t.Errorf("round %d: left over: %q", round, left)
		}
		must(t, db.Close())
	}
	if folded == 0 {
		t.Error("no spool held an event when the process died")
	}
	t.Logf("in %d of %d rounds the recording was ahead when the process died; %d runs of events came from spools", partial, rounds, folded)
}

// childFull fills the disk, as a limit on the size of files does, and then makes
// room. FULL says which file meets the limit first: the spool or the store.
func childFull() error {
	signal.Ignore(syscall.SIGXFSZ) // writes fail instead
	dir := os.Getenv("DIR")
	db, err := store.Open(dir)
	if err != nil {
		return err
	}
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now})
	if err != nil {
		return err
	}
	r, err := a.Start(bastion.Recording{ID: "full", Who: alice})
	if err != nil {
		return err
	}
	other, err := a.Start(bastion.Recording{ID: "other", Who: alice})
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 512 << 10, Max: limit.Max}); err != nil {
		return err
	}
	event := decision("full", alice, "t", "allow", "x")
	sent := 0
	var first error
	for first == nil {
		if os.Getenv("FULL") == "store" && sent%50_000 == 0 {
			if first = r.Flush(); first != nil {
				break
			}
		}
		p := make([]byte, 1000)
		for i := range p {
			p[i] = streamed(sent + i)
		}
		if first = r.Output(p); first == nil {
			sent += len(p)
		}
		if sent > 2<<20 {
			return errors.New("the disk did not fill")
		}
	}
	if !strings.Contains(first.Error(), syscall.EFBIG.Error()) {
		return fmt.Errorf("the error does not say why: %w", first)
	}
	if spool := strings.Contains(first.Error(), ".spool"); spool != (os.Getenv("FULL") == "spool") {
		return fmt.Errorf("the other file filled: %w", first)
	}
	sticky := func(when string) error {
		for _, err := range []error{r.Output([]byte("x")), r.Event(event), r.Event(result("full", alice, 1)), r.Resize(80, 24), r.Output(nil), r.Note([]byte("x")), r.Flush()} {
			if err != first {
				return fmt.Errorf("%s: %v instead of %v", when, err, first)
			}
		}
		return nil
	}
	if err := sticky("full"); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := sticky("after room was made"); err != nil {
		return err
	}
	if err := other.Output([]byte("the store works again")); err != nil {
		return fmt.Errorf("another session, after room was made: %w", err)
	}
	if err := r.Close(); err != first {
		return fmt.Errorf("closing: %v instead of %v", err, first)
	}
	if err := other.Close(); err != nil {
		return err
	}
	_, err = fmt.Println(sent)
	return errors.Join(err, db.Close())
}

func TestDiskFull(t *testing.T) {
	for _, file := range []string{"spool", "store"} {
		t.Run(file, func(t *testing.T) { diskFull(t, file) })
	}
}

func diskFull(t *testing.T, file string) {
	dir := t.TempDir()
	out, err := child(t, "full", "DIR="+dir, "FULL="+file).Output()
	must(t, err)
	var sent int
	_, err = fmt.Sscan(string(out), &sent)
	must(t, err)
	db, err := store.Open(dir)
	must(t, err)
	defer db.Close()
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now})
	must(t, err)
	if left := spools(t, dir); left != nil {
		t.Errorf("left over: %q", left)
	}
	r := replay(t, a, scope(t, alice, false), "full")
	total := 0
	for _, c := range chunks(t, r) {
		for i, b := range c.Output {
			if b != streamed(total+i) {
				t.Fatalf("byte %d differs", total+i)
			}
		}
		total += len(c.Output)
	}
	m := r.Recording()
	if sent == 0 || total < sent || !m.Broken || m.End.IsZero() || m.Bytes != int64(total) {
		t.Errorf("%d bytes let out, %d recorded, %+v", sent, total, m)
	}
	if o := replay(t, a, scope(t, alice, false), "other").Recording(); o.Broken {
		t.Error("the other session's recording is broken too")
	}
}
