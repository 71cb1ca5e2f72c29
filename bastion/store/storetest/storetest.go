// Package storetest gives tests a place for their stores, a log in them, and processes
// that die over them.
package storetest

import (
	"os"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/bastion/store"
)

// memory is a file system in memory, on Linux.
const memory = "/dev/shm"

// room is how many bytes must be free in memory for a test to use it. A container
// may have next to none.
const room = 1 << 30

// Dir makes a directory for a store that is removed when the test ends: in memory
// where there is room, because there a sync costs nothing, and what a killed process
// wrote is kept as it is on a disk. What must survive the death of the machine is no
// test's to show.
func Dir(t testing.TB) string {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < room {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "sallyport-test-")
	if err != nil {
		return t.TempDir() // not ours to write to
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Open opens the store in a directory until the test ends.
func Open(t testing.TB, dir string) *store.DB {
	t.Helper()
	db, err := store.Open(dir)
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
