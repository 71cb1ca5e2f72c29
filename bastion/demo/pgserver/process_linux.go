package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// signalWithParent has the kernel tell the child when we die, however we die: a killed
// test leaves no server behind. SIGQUIT is PostgreSQL's immediate shutdown.
func signalWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }

// birth names one process for all time: a number alone comes round again and may by
// then be a stranger's. The error is os.ErrProcessDone when the process has ended, also
// when nobody has waited for it: in containers the first process often waits for none.
func birth(pid int) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return "", os.ErrProcessDone
	}
	if err != nil {
		return "", err
	}
	// The second field is the program's name in parentheses, with any bytes in it.
	// The state is field 3, the start time in clock ticks after boot field 22 (proc(5)).
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("reading /proc/%d/stat: too few fields", pid)
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return "", os.ErrProcessDone
	}
	return fmt.Sprintf("%s %d %s\n", bytes.TrimSpace(boot), pid, fields[19]), nil
}

// rememberProcess writes down which process serves dir.
func rememberProcess(dir string, pid int) error {
	b, err := birth(pid)
	if err != nil {
		return fmt.Errorf("reading the start time of process %d: %w", pid, err)
	}
	return replaceFile(filepath.Join(dir, "server.pid"), []byte(b), 0o600)
}

// stopLeftover makes way for a new server in dir, whose lock the caller holds. A server
// that an earlier run started and could not stop is stopped. A process that only has
// the number in a stale postmaster.pid is left alone, and the file is removed, because
// PostgreSQL would not start beside it.
func stopLeftover(ctx context.Context, dir string) error {
	data := filepath.Join(dir, "data")
	pidFile := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", pidFile, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return removePidFile(pidFile) // written half when the machine went down
	}
	// From here to the signal, p means the one process that has the number now, even
	// when it ends meanwhile and the number is given to another.
	p, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("finding process %d: %w", pid, err)
	}
	defer p.Release()
	if errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone) {
		return nil // PostgreSQL sees that itself, and waits for orphaned workers besides
	}
	now, err := birth(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return removePidFile(pidFile) // PostgreSQL would take the remains for a living server
	}
	if err != nil {
		return fmt.Errorf("reading the start time of process %d: %w", pid, err)
	}
	ours, err := os.ReadFile(filepath.Join(dir, "server.pid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading which process ran last: %w", err)
	}
	if now != string(ours) {
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil && cwd == data {
			return fmt.Errorf("process %d serves %q and was not started by this program; stop it first", pid, data)
		}
		return removePidFile(pidFile)
	}
	if err := p.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the server of an earlier run, process %d: %w", pid, err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if again, err := birth(pid); err != nil || again != now {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the server of an earlier run, process %d, to stop: %w", pid, context.Cause(ctx))
		}
	}
	return removePidFile(pidFile)
}

// removePidFile removes a stale postmaster.pid. A server that was just ending may have
// done it first.
func removePidFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
