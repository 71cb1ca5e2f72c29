package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

func open(t testing.TB) *store.DB {
	t.Helper()
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestScanBothWays(t *testing.T) {
	db := open(t)
	err := db.Update(func(tx store.Tx) error {
		for _, k := range []string{"b", "d", "f"} {
			if err := tx.Put("x", []byte(k), []byte(k)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from string
		back bool
		want string
	}{
		{"", false, "bdf"}, {"c", false, "df"}, {"d", false, "df"}, {"g", false, ""},
		{"", true, "fdb"}, {"c", true, "b"}, {"d", true, "db"}, {"g", true, "fdb"}, {"a", true, ""},
	} {
		got := ""
		collect := func(k, v []byte) (bool, error) { got += string(v); return true, nil }
		err := db.View(func(tx store.Tx) error {
			var from []byte
			if c.from != "" {
				from = []byte(c.from)
			}
			if c.back {
				return tx.ScanBack("x", from, collect)
			}
			return tx.Scan("x", from, collect)
		})
		if err != nil || got != c.want {
			t.Errorf("from %q back %v: got %q, %v; want %q", c.from, c.back, got, err, c.want)
		}
	}
}

// A failing or panicking update must neither keep its writes nor spoil those
// that share its commit.
func TestFailureIsNobodyElses(t *testing.T) {
	db := open(t)
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := db.Update(func(tx store.Tx) error {
				n, err := tx.Next("n")
				if err != nil {
					return err
				}
				if err := tx.Put("n", binary.BigEndian.AppendUint64(nil, n), []byte("x")); err != nil {
					return err
				}
				switch i % 10 {
				case 3:
					return boom
				case 7:
					panic("bad")
				}
				return nil
			})
			if bad := i%10 == 3 || i%10 == 7; bad != (err != nil) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	count := 0
	if err := db.View(func(tx store.Tx) error {
		return tx.Scan("n", nil, func(k, v []byte) (bool, error) {
			count++
			if got := binary.BigEndian.Uint64(k); got != uint64(count) {
				return false, fmt.Errorf("number %d at place %d: a failed update kept its number", got, count)
			}
			return true, nil
		})
	}); err != nil {
		t.Error(err)
	}
	if count != 160 {
		t.Errorf("%d records, want 160", count)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := store.Open(dir); err == nil {
		t.Fatal("a second opener got in")
	}
}

// A file of which a part is gone is refused, and not read until that kills the process.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx store.Tx) error {
		for n := range uint64(1000) {
			if err := tx.Put("numbers", binary.BigEndian.AppendUint64(nil, n), make([]byte, 1000)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(store.Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1 << 20, 1 << 16, 3 * 4096, 4096, 100} {
		err := errors.Join(os.Remove(store.Path(dir)), os.WriteFile(store.Path(dir), whole[:n], 0o600)) // what failed to open may be locked
		if err != nil {
			t.Fatal(err)
		}
		if db, err := store.Open(dir); err == nil {
			t.Errorf("with %d bytes of %d it opens", n, len(whole))
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Damage anywhere is an error that says what to do, for readers and writers: never a
// panic, and never the end of the process.
func TestDamaged(t *testing.T) {
	dir := storetest.Dir(t)
	path := store.Path(dir)
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx store.Tx) error {
		for n := range uint64(1500) {
			if err := tx.Put(fmt.Sprint("bucket ", n%3), binary.BigEndian.AppendUint64(nil, n), make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	sane, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	read, written := 0, 0
	for at := 2 * page; at+page <= len(sane); at += page {
		for _, junk := range []byte{0, 0x01, 0xff} {
			bad := bytes.Clone(sane)
			for i := at; i < at+page; i++ {
				if junk != 1 || i >= at+16 && i < at+48 { // or what a page says of its first elements
					bad[i] = junk
				}
			}
			if err := errors.Join(os.Remove(path), os.WriteFile(path, bad, 0o600)); err != nil { // what failed to open may be locked
				t.Fatal(err)
			}
			db, err := store.Open(dir)
			if err != nil {
				if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "put back a copy") {
					t.Fatalf("opening, page %d: %v", at/page, err)
				}
				continue
			}
			for n := range 3 {
				bucket := fmt.Sprint("bucket ", n)
				walk := func(tx store.Tx) error {
					sum := 0
					return tx.Scan(bucket, nil, func(k, v []byte) (bool, error) {
						for _, b := range v {
							sum += int(b)
						}
						return true, nil
					})
				}
				if err := db.View(walk); errors.Is(err, store.ErrDamaged) {
					read++
				} else if err != nil {
					t.Fatalf("reading, page %d: %v", at/page, err)
				}
				err := db.Update(func(tx store.Tx) error {
					if err := walk(tx); err != nil {
						return err
					}
					return tx.Put(bucket, make([]byte, 8), make([]byte, 300))
				})
				if errors.Is(err, store.ErrDamaged) {
					written++
				} else if err != nil {
					t.Fatalf("writing, page %d: %v", at/page, err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if read == 0 || written == 0 {
		t.Errorf("%d readers and %d writers found damage", read, written)
	}
}

// Whoever reads the store is told of their own mistakes, and not of damage.
func TestPanicIsNoDamage(t *testing.T) {
	db := open(t)
	defer func() {
		if r := recover(); r != "mine" {
			t.Errorf("recovered %v", r)
		}
	}()
	err := db.Update(func(tx store.Tx) error { panic("mine") })
	if err == nil || errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	err = db.View(func(tx store.Tx) error { panic("mine") })
	t.Errorf("returned %v", err)
}

func TestClosed(t *testing.T) {
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	nothing := func(store.Tx) error { return nil }
	if err := db.Update(nothing); !errors.Is(err, store.ErrClosed) {
		t.Errorf("update: %v", err)
	}
	if err := db.View(nothing); !errors.Is(err, store.ErrClosed) {
		t.Errorf("view: %v", err)
	}
}

// Who reads while the store closes gets an answer, or is told; the race detector looks on.
func TestReadWhileItCloses(t *testing.T) {
	db, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		var err error
		for n := 0; err == nil; n++ {
			if err = db.View(func(store.Tx) error { return nil }); n == 0 {
				close(begun)
			}
		}
		ended <- err
	}()
	<-begun
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	if err := open(t).View(func(tx store.Tx) error { return tx.Put("x", []byte("k"), nil) }); err == nil {
		t.Error("a read transaction wrote")
	}
}

// Going backwards over pages that the same transaction emptied, bbolt's cursor
// never ends: the store does not offer it.
func TestNoScanBackWhileWriting(t *testing.T) {
	db := open(t)
	key := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	if err := db.Update(func(tx store.Tx) error {
		for i := range 1000 {
			if err := tx.Put("x", key(i), make([]byte, 100)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx store.Tx) error {
		for i := range 1000 {
			if err := tx.Delete("x", key(i)); err != nil {
				return err
			}
		}
		return tx.ScanBack("x", nil, func(k, v []byte) (bool, error) { return true, nil })
	}); err == nil {
		t.Error("it scanned")
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, sessions := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			db := open(b)
			b.SetParallelism(sessions)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := db.Update(func(tx store.Tx) error {
						n, err := tx.Next("n")
						if err != nil {
							return err
						}
						return tx.Put("n", binary.BigEndian.AppendUint64(nil, n), make([]byte, 300))
					}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// Numbers that are taken together are nobody else's.
func TestTake(t *testing.T) {
	db := open(t)
	taken := map[uint64]bool{}
	for i := range 20 {
		if err := db.Update(func(tx store.Tx) error {
			n := uint64(i % 4)
			first, err := tx.Take("n", n)
			if err != nil {
				return err
			}
			next, err := tx.Next("n")
			if err != nil {
				return err
			}
			if next != first+n {
				t.Errorf("%d numbers from %d, and then %d", n, first, next)
			}
			for k := first; k <= next; k++ {
				if taken[k] {
					t.Errorf("%d is taken twice", k)
				}
				taken[k] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.View(func(tx store.Tx) error {
		_, err := tx.Take("n", 1)
		return err
	}); err == nil {
		t.Error("a read transaction took a number")
	}
}

// While somebody holds the store, it does not close.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	held, release, closed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	done := make(chan error, 1)
	go func() { done <- db.Hold(func() error { close(held); <-release; return nil }) }()
	<-held
	go func() { closed <- db.Close() }()
	if other, err := store.Open(dir); err == nil { // waits for a second
		t.Error("a store that is held was opened again")
		_ = other.Close()
	}
	select {
	case err := <-closed:
		t.Errorf("closed while it was held: %v", err)
	default:
	}
	close(release)
	if err := errors.Join(<-done, <-closed); err != nil {
		t.Error(err)
	}
	if err := db.Hold(func() error { t.Error("held after it was closed"); return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}
