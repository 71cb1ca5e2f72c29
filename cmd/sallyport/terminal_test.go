package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

// patience is how long a journey waits for something to appear before it gives
// up. It is no measure of speed.
const patience = 60 * time.Second

// person is somebody at a terminal: a real ssh client under a pseudo-terminal,
// whose screen is drawn by a terminal emulator.
type person struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	pty  *os.File
	gone chan struct{} // closed when the client's output ended

	mu      sync.Mutex // guards what follows
	screen  vt10x.Terminal
	raw     strings.Builder
	changed chan struct{} // closed and replaced at each output
}

// sit runs a command at a terminal of that size.
func sit(t *testing.T, name string, width, height int, env []string, argv ...string) *person {
	t.Helper()
	p := &person{t: t, name: name, gone: make(chan struct{}), changed: make(chan struct{}),
		screen: vt10x.New(vt10x.WithSize(width, height))}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	f, err := pty.StartWithSize(p.cmd, &pty.Winsize{Rows: uint16(height), Cols: uint16(width)})
	if err != nil {
		t.Fatal(err)
	}
	p.pty = f
	go p.read()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.pty.Close()
		<-p.gone
	})
	return p
}

func (p *person) read() {
	defer close(p.gone)
	b := make([]byte, 32<<10)
	for {
		n, err := p.pty.Read(b)
		p.mu.Lock()
		p.screen.Write(b[:n])
		p.raw.Write(b[:n])
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// sees waits until the screen matches and returns the match.
func (p *person) sees(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		text, changed := p.text(), p.changed
		p.mu.Unlock()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-changed:
		case <-p.gone:
			p.t.Fatalf("%s's client ended without showing %q; the screen:\n%s", p.name, pattern, text)
		case <-deadline:
			p.t.Fatalf("%s does not see %q; the screen:\n%s", p.name, pattern, text)
		}
	}
}

// gets is sees for what does not need to be awaited: the screen as it is.
func (p *person) text() string {
	cols, rows := p.screen.Size()
	var b strings.Builder
	for y := range rows {
		line := make([]rune, cols)
		for x := range cols {
			if line[x] = p.screen.Cell(x, y).Char; line[x] == 0 {
				line[x] = ' '
			}
		}
		b.WriteString(strings.TrimRight(string(line), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// shown is everything that ever reached the terminal, as bytes.
func (p *person) shown() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.raw.String()
}

// types sends keys.
func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.pty, keys); err != nil {
		p.t.Fatalf("%s types: %v", p.name, err)
	}
}

// leaves waits for the client to end and returns its exit code.
func (p *person) leaves() int {
	p.t.Helper()
	select {
	case <-p.gone:
	case <-time.After(patience):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.t.Fatalf("%s's client does not end; the screen:\n%s", p.name, p.text())
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// result is what a command without a terminal left.
type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\nout: %s\nerr: %s", r.code, r.out, r.err)
}

// execute runs a command without a terminal.
func execute(t *testing.T, stdin string, argv ...string) result {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var out, errs strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}
