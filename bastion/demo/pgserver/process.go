package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A runUser is the account that PostgreSQL's programs run as. They refuse to run as
// root, so root hands them to another account; everybody else runs them as themselves.
type runUser struct {
	name       string
	credential *syscall.Credential // nil: the account of this process
}

func unprivileged() (runUser, error) {
	if os.Geteuid() != 0 {
		return runUser{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return runUser{}, fmt.Errorf("reading the ids of user %q: %w", name, err)
		}
		if uid == 0 {
			continue
		}
		return runUser{name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return runUser{}, errors.New("postgresql does not run as root, and there is no user postgres or nobody to run it as")
}

// own gives a file or directory to the account.
func (u runUser) own(path string) error {
	if u.credential == nil {
		return nil
	}
	return os.Lchown(path, int(u.credential.Uid), int(u.credential.Gid))
}

// dirMode lets the account pass through a directory that stays ours.
func (u runUser) dirMode() os.FileMode {
	if u.credential == nil {
		return 0o700
	}
	return 0o711
}

// command prepares a program of PostgreSQL, in a process group of its own, so that
// Ctrl-C at the terminal reaches us and not the database first. The environment is
// empty but for what is given here: PGDATA, PGOPTIONS and such mean another cluster.
func (u runUser) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: u.credential}
	signalWithParent(cmd.SysProcAttr)
	return cmd
}

// output runs a short program to its end and returns what it printed.
func (u runUser) output(ctx context.Context, dir, program string, args ...string) (string, error) {
	var all lastBytes
	p, err := startProcess(u.command(dir, program, args...), &all)
	if err != nil {
		return "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		<-p.done
		return "", fmt.Errorf("running %q: %w", filepath.Base(program), context.Cause(ctx))
	}
	if p.err != nil {
		return "", fmt.Errorf("running %q: %w: %s", filepath.Base(program), p.err, &all)
	}
	return all.String(), nil
}

// A process is a child that somebody waits for.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; read after done
}

// startProcess starts cmd and waits for it in the background, until it ends.
//
// The kernel sends the parent-death signal (see signalWithParent) when the *thread*
// that started the child ends, and Go ends threads when it likes. So one goroutine
// holds its thread from the start to the end of the child.
func startProcess(cmd *exec.Cmd, log io.Writer) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	// A grandchild that outlives its parent by a moment must not hold us by its end of the log.
	cmd.WaitDelay = 2 * time.Second
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if p.err = cmd.Wait(); errors.Is(p.err, exec.ErrWaitDelay) {
			p.err = nil
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the whole process group, without a chance to clean up.
func (p *process) kill() {
	// Not yet waited for, or p.done would be closed: the id is still ours.
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}

// stop asks with each signal in turn, giving the process some time for each, and
// returns when it has ended.
func (p *process) stop(signals ...syscall.Signal) {
	for _, sig := range signals {
		if p.cmd.Process.Signal(sig) != nil {
			break // it has ended already
		}
		select {
		case <-p.done:
			return
		case <-time.After(15 * time.Second):
		}
	}
	<-p.done
}

// lastBytes keeps the end of a log, for the error message when a start fails.
type lastBytes struct {
	mu  sync.Mutex // guards buf: written by the log's goroutine, read by Start
	buf []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if n := len(l.buf) - 4096; n > 0 {
		l.buf = append(l.buf[:0], l.buf[n:]...)
	}
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.buf))
}
