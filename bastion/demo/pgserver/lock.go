package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	tempPrefix = "sallyport-pg-"
	lockName   = "pgserver.lock"
)

var errInUse = errors.New("another server uses this directory; stop it or choose another directory")

// lockDir makes a directory ours until the file is closed, or until we die. A
// directory with files in it and without our lock file is somebody else's: start
// would replace what is in there.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return nil, fmt.Errorf("%q is not empty and was not made by this program; choose a new or an empty directory", dir)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%q: %w", dir, err)
	}
	return f, nil
}

// tryLock takes the lock of an open file; children do not inherit it.
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errInUse
	}
	return err
}

// waitLock takes the lock of the file at path, waiting for others who have it.
func waitLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := tryLock(f)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, errInUse) {
			f.Close()
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another process to make a cluster: %w", context.Cause(ctx))
		}
	}
}

// sweep removes temporary directories of processes that were killed before they
// could do it. A lock that can be taken says that its owner is gone.
func sweep(temp string) {
	dirs, err := filepath.Glob(filepath.Join(temp, tempPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		// A young one may be between being made and being locked.
		if err != nil || !ownedByUs(info) || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if tryLock(f) == nil {
			// Best effort: what stays is tried again by the next start.
			_ = os.RemoveAll(dir)
		}
		f.Close()
	}
}
