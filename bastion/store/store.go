// Package store keeps the bastion's state in one bbolt file. It is the only
// package that knows bbolt; others see [Tx], whose operations any ordered
// key-value store with serialisable transactions can offer.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Tx is a transaction. Keys and values that it returns are valid only while it
// lasts and must not be changed.
type Tx interface {
	// Get returns the value of a key, or nil if there is none.
	Get(bucket string, key []byte) []byte
	// Put sets the value of a key. In a read transaction it fails.
	Put(bucket string, key, value []byte) error
	// Delete removes a key if it is there. In a read transaction it fails.
	Delete(bucket string, key []byte) error
	// Scan calls f with keys and values in order, from the first key not below
	// from, until f returns false or an error.
	Scan(bucket string, from []byte, f func(k, v []byte) (bool, error)) error
	// ScanBack is Scan in descending order, from the last key not above from; nil
	// means from the last. In a write transaction it fails: bbolt's cursor can
	// miss keys or turn in circles going backwards over pages that the same
	// transaction has emptied, perhaps for another caller.
	ScanBack(bucket string, from []byte, f func(k, v []byte) (bool, error)) error
	// Next returns the next number of the bucket's own sequence, from 1.
	Next(bucket string) (uint64, error)
	// Take takes so many numbers of the sequence at once, and returns the first.
	Take(bucket string, n uint64) (uint64, error)
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the store is closed")

// ErrDamaged is of a file that cannot be read where it should: the disk changed it, or
// somebody did.
var ErrDamaged = errors.New("the store is damaged")

// DB is an open store. It is safe for concurrent use.
type DB struct {
	bolt *bbolt.DB
	path string // of the file: bbolt forgets it when it closes

	// held is held for reading while the store must stay open.
	held sync.RWMutex
	shut bool // guarded by held

	mu      sync.Mutex // guards what follows
	waiting []*update
	writing bool
	closed  bool

	damaged error // what was found; of the goroutine that writes
}

type update struct {
	f    func(Tx) error
	done chan error
}

// Open opens or creates the store in a directory, which only its owner may read.
// A second process that opens the same store gets an error.
func Open(dir string) (*DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	path := Path(dir)
	_, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	b, err := whole(path)
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("opening store %s: another process holds it; stop that bastion first", path)
	}
	if errors.Is(err, ErrDamaged) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("opening store %s: %w", path, err)
	}
	if fresh {
		// A new file's name survives a power cut only once its directory is synced.
		if err := syncDir(dir); err != nil {
			return nil, errors.Join(fmt.Errorf("opening store: %w", err), b.Close())
		}
	}
	return &DB{bolt: b, path: path}, nil
}

// Path is where the store in a directory has its file.
func Path(dir string) string { return filepath.Join(dir, "sallyport.db") }

// whole opens the file, unless it is shorter than it says: what reads beyond the end
// of a mapped file is killed by the system, whenever that may be.
func whole(path string) (b *bbolt.DB, err error) {
	in := true
	err = sound(path, &in, func() (err error) {
		b, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		var needs int64
		if err == nil {
			err = b.View(func(t *bbolt.Tx) error { needs = t.Size(); return nil })
		}
		if err == nil && info.Size() < needs {
			err = fmt.Errorf("%w: %s is cut short, and has %d bytes of %d; put back a copy of it", ErrDamaged, path, info.Size(), needs)
		}
		if err != nil {
			err = errors.Join(err, b.Close())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// sound runs f, and tells of damage that bbolt comes across in the file at path: it panics, or
// reads where there is nothing. in says when it is bbolt that runs: a panic of
// anything else goes on.
func sound(path string, in *bool, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if err = damage(path, *in, r); err == nil {
				panic(r)
			}
		}
	}()
	return f()
}

// damage is the error for a panic that tells of damage, and nil for any other.
func damage(path string, in bool, r any) error {
	if _, fault := r.(interface{ Addr() uintptr }); !fault && !in {
		return nil
	}
	return fmt.Errorf("%w: %s: %v; stop the bastion, and put back a copy of that file", ErrDamaged, path, r)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close waits for running transactions and closes the store.
func (db *DB) Close() error {
	db.mu.Lock()
	db.closed = true
	db.mu.Unlock()
	db.held.Lock()
	db.shut = true
	db.held.Unlock()
	return db.bolt.Close()
}

// Hold runs f while the store is open and stays so, and with it locked against
// other processes. It costs next to nothing. f must not close the store.
func (db *DB) Hold(f func() error) error {
	db.held.RLock()
	defer db.held.RUnlock()
	if db.shut {
		return ErrClosed
	}
	return f()
}

// View runs f in a read transaction. Keep it short: an old reader makes the file grow.
func (db *DB) View(f func(Tx) error) error {
	in := true
	err := sound(db.path, &in, func() error {
		return db.bolt.View(func(t *bbolt.Tx) error {
			in = false
			err := f(tx{t, &in})
			in = true
			return err
		})
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Update runs f in a write transaction and returns once it is on disk. Updates
// that wait at the same time share one commit; f may run more than once, each
// time on a clean state, so it must do nothing but read and write the Tx and
// set variables afresh.
func (db *DB) Update(f func(Tx) error) error {
	u := &update{f: f, done: make(chan error, 1)}
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return ErrClosed
	}
	db.waiting = append(db.waiting, u)
	lead := !db.writing
	db.writing = true
	db.mu.Unlock()
	if lead {
		go db.write() // ends when nothing waits
	}
	return <-u.done
}

// write commits what waits until nothing does. One goroutine at a time runs it.
func (db *DB) write() {
	for {
		db.mu.Lock()
		batch := db.waiting
		db.waiting = nil
		if len(batch) == 0 {
			db.writing = false
			db.mu.Unlock()
			return
		}
		db.mu.Unlock()
		db.commit(batch)
	}
}

// commit runs a batch in one transaction. If one update of it fails, each runs
// in a transaction of its own, so that a failure is nobody else's.
func (db *DB) commit(batch []*update) {
	if len(batch) > 1 {
		err := db.update(batch)
		if err == nil {
			for _, u := range batch {
				u.done <- nil
			}
			return
		}
	}
	for _, u := range batch {
		err := db.update([]*update{u})
		if errors.Is(err, berrors.ErrDatabaseNotOpen) {
			err = ErrClosed
		}
		u.done <- err
	}
}

// update runs updates in one transaction. Once damage is found nothing is written any
// more: what bbolt makes of it would be worse.
func (db *DB) update(batch []*update) error {
	if db.damaged != nil {
		return db.damaged
	}
	in := true
	err := sound(db.path, &in, func() error {
		return db.bolt.Update(func(t *bbolt.Tx) error {
			in = false
			for _, u := range batch {
				if err := call(u.f, tx{t, &in}); err != nil {
					return err
				}
			}
			in = true
			return nil
		})
	})
	if errors.Is(err, ErrDamaged) {
		db.damaged = err
	}
	return err
}

// call turns a panic of f into an error: it runs on another caller's goroutine,
// and one session's fault must not become another's.
func call(f func(Tx) error, t tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if err = damage(t.bolt.DB().Path(), *t.in, p); err == nil {
				err = fmt.Errorf("internal error: panic in a transaction")
			}
		}
	}()
	return f(t)
}

// tx is a transaction. in is set while bbolt runs.
type tx struct {
	bolt *bbolt.Tx
	in   *bool
}

func (t tx) Get(bucket string, key []byte) (value []byte) {
	*t.in = true
	if b := t.bolt.Bucket([]byte(bucket)); b != nil {
		value = b.Get(key)
	}
	*t.in = false
	return value
}

func (t tx) bucket(name string) (*bbolt.Bucket, error) {
	if !t.bolt.Writable() {
		return nil, errors.New("write in a read transaction")
	}
	return t.bolt.CreateBucketIfNotExists([]byte(name))
}

func (t tx) Put(bucket string, key, value []byte) error {
	*t.in = true
	b, err := t.bucket(bucket)
	if err == nil {
		err = b.Put(key, value)
	}
	*t.in = false
	return err
}

func (t tx) Delete(bucket string, key []byte) error {
	*t.in = true
	b, err := t.bucket(bucket)
	if err == nil {
		err = b.Delete(key)
	}
	*t.in = false
	return err
}

func (t tx) Next(bucket string) (uint64, error) { return t.Take(bucket, 1) }

func (t tx) Take(bucket string, n uint64) (first uint64, err error) {
	*t.in = true
	b, err := t.bucket(bucket)
	if err == nil {
		first = b.Sequence() + 1
		err = b.SetSequence(first - 1 + n)
	}
	*t.in = false
	return first, err
}

func (t tx) Scan(bucket string, from []byte, f func(k, v []byte) (bool, error)) error {
	return t.walk(bucket, func(c *bbolt.Cursor) ([]byte, []byte) { return c.Seek(from) }, (*bbolt.Cursor).Next, f)
}

func (t tx) ScanBack(bucket string, from []byte, f func(k, v []byte) (bool, error)) error {
	if t.bolt.Writable() {
		return errors.New("scan backwards in a write transaction")
	}
	first := func(c *bbolt.Cursor) ([]byte, []byte) {
		if from == nil {
			return c.Last()
		}
		switch k, v := c.Seek(from); {
		case k == nil:
			return c.Last()
		case string(k) > string(from):
			return c.Prev()
		default:
			return k, v
		}
	}
	return t.walk(bucket, first, (*bbolt.Cursor).Prev, f)
}

// walk calls f with what a cursor comes across.
func (t tx) walk(bucket string, first, next func(*bbolt.Cursor) (k, v []byte), f func(k, v []byte) (bool, error)) error {
	*t.in = true
	b := t.bolt.Bucket([]byte(bucket))
	if b == nil {
		*t.in = false
		return nil
	}
	c := b.Cursor()
	for k, v := first(c); k != nil; k, v = next(c) {
		*t.in = false
		if more, err := f(k, v); err != nil || !more {
			return err
		}
		*t.in = true
	}
	*t.in = false
	return nil
}
