package main

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

const (
	workers      = 4
	loginsEach   = 40 // a round, by each worker
	idleOurs     = 200
	idleTheirs   = 20
	keystrokes   = 40  // as many letters as the filter shows at 80 columns
	statementsIn = 200 // a round
)

// logins compares full logins per second: TCP, key exchange, public key,
// session channel, one short command, exit status.
func logins(us *bastion, base *sshd, rounds int) ([]row, error) {
	key, err := readKey(us.keyFile)
	if err != nil {
		return nil, err
	}
	rate := func(addr, user string, work func(*ssh.Session) error) (float64, error) {
		var g errgroup.Group
		start := time.Now()
		for range workers {
			g.Go(func() error {
				for range loginsEach {
					c, err := dial(addr, user, key)
					if err != nil {
						return err
					}
					s, err := c.NewSession()
					if err != nil {
						return err
					}
					if err := work(s); err != nil {
						return err
					}
					if err := c.Close(); err != nil {
						return err
					}
				}
				return nil
			})
		}
		err := g.Wait()
		return workers * loginsEach / time.Since(start).Seconds(), err
	}
	var ours, theirs, ratios []float64
	for range rounds {
		o, err := rate(us.addr, "bench", func(s *ssh.Session) error { return s.Run("whoami") })
		if err != nil {
			return nil, fmt.Errorf("sallyport: %w", err)
		}
		b, err := rate(base.addr, base.user, emptySubsystem)
		if err != nil {
			return nil, fmt.Errorf("sshd: %w", err)
		}
		ours, theirs, ratios = append(ours, o), append(theirs, b), append(ratios, o/b)
	}
	return []row{{"full logins per second", fmt.Sprintf("%.0f", median(ours)), fmt.Sprintf("%.0f (sshd)", median(theirs)), median(ratios), ">= 6"}}, nil
}

// emptySubsystem has sshd start a session and end it at once, in its own process:
// a shell, and what that reads at its start, would count against sshd.
func emptySubsystem(s *ssh.Session) error {
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.RequestSubsystem("empty"); err != nil {
		return err
	}
	if err := in.Close(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, out) // ends with the session
	return err
}

// memory compares what one idle session costs: ours with the home screen open,
// sshd's the processes that serve it, its shell left out.
func memory(us *bastion, base *sshd, _ int) ([]row, error) {
	key, err := readKey(us.keyFile)
	if err != nil {
		return nil, err
	}
	open := func(n int, addr, user, command string) (func(), error) {
		var clients []*ssh.Client
		end := func() {
			for _, c := range clients {
				c.Close()
			}
		}
		for range n {
			c, err := dial(addr, user, key)
			if err != nil {
				return end, err
			}
			clients = append(clients, c)
			s, err := c.NewSession()
			if err != nil {
				return end, err
			}
			if err := s.RequestPty("xterm-256color", 24, 80, nil); err != nil {
				return end, err
			}
			out, err := s.StdoutPipe()
			if err != nil {
				return end, err
			}
			if command == "" {
				err = s.Shell()
			} else {
				err = s.Start(command)
			}
			if err != nil {
				return end, err
			}
			if _, err := out.Read(make([]byte, 1)); err != nil {
				return end, err
			}
			go io.Copy(io.Discard, out) // ends with the client
		}
		return end, nil
	}
	settle := func() { time.Sleep(3 * time.Second) } // the runtime gives memory back in its own time

	// A first crowd brings the program to its working size; what it then keeps is
	// not what a session costs.
	end, err := open(idleOurs/4, us.addr, "bench", "")
	if err != nil {
		return nil, err
	}
	settle()
	before, err := memoryOf(us.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	endMore, err := open(idleOurs, us.addr, "bench", "")
	if err != nil {
		return nil, err
	}
	settle()
	after, err := memoryOf(us.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	end()
	endMore()
	ours := float64(after-before) / idleOurs

	end, err = open(idleTheirs, base.addr, base.user, "echo ready; exec sleep 1000")
	if err != nil {
		return nil, err
	}
	defer end()
	settle()
	var total int64
	children, err := descendants(base.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	for _, pid := range children {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || strings.TrimSpace(string(name)) != "sshd" {
			continue
		}
		m, err := memoryOf(pid)
		if err != nil {
			return nil, err
		}
		total += m
	}
	theirs := float64(total) / idleTheirs
	return []row{{"memory of an idle session", kib(ours), kib(theirs) + " (sshd's processes)", theirs / ours, ">= 5"}}, nil
}

func kib(b float64) string { return fmt.Sprintf("%.0f KiB", b/1024) }

// memoryOf is the proportional set size of a process, in bytes: shared pages
// count by their share, which is fair to a server of many processes.
func memoryOf(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no Pss", pid)
}

func descendants(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := map[int][]int{}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // it ended meanwhile
		}
		_, rest, ok := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if !ok || len(f) < 2 {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(s)))
		parent, _ := strconv.Atoi(f[1])
		parents[parent] = append(parents[parent], child)
	}
	all := parents[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, parents[all[i]]...)
	}
	return all, nil
}

// echo compares how long a typed letter takes to show: in the filter of our home
// screen, and in cat under sshd.
func echo(us *bastion, base *sshd, _ int) ([]row, error) {
	key, err := readKey(us.keyFile)
	if err != nil {
		return nil, err
	}
	measure := func(addr, user, command, first string, letter func(int) (key, shows string)) (time.Duration, error) {
		c, err := dial(addr, user, key)
		if err != nil {
			return 0, err
		}
		defer c.Close()
		s, err := c.NewSession()
		if err != nil {
			return 0, err
		}
		if err := s.RequestPty("xterm-256color", 24, 80, ssh.TerminalModes{ssh.ECHO: 1}); err != nil {
			return 0, err
		}
		in, err := s.StdinPipe()
		if err != nil {
			return 0, err
		}
		pipe, err := s.StdoutPipe()
		if err != nil {
			return 0, err
		}
		if command == "" {
			err = s.Shell()
		} else {
			err = s.Start(command)
		}
		if err != nil {
			return 0, err
		}
		out := newWatcher(pipe)
		if err := out.until(first); err != nil {
			return 0, err
		}
		time.Sleep(300 * time.Millisecond) // the first screen is complete
		var times []time.Duration
		for i := range keystrokes {
			k, shows := letter(i)
			out.forget()
			start := time.Now()
			if _, err := io.WriteString(in, k); err != nil {
				return 0, err
			}
			if err := out.until(shows); err != nil {
				return 0, err
			}
			times = append(times, time.Since(start))
			time.Sleep(20 * time.Millisecond) // a fast typist
		}
		return median(times), nil
	}
	ours, err := measure(us.addr, "bench", "", "shop-staging", func(i int) (string, string) {
		if i == 0 {
			return "/", "show all"
		}
		// Only this many letters in a row are the answer to this key.
		return "s", strings.Repeat("s", i)
	})
	if err != nil {
		return nil, err
	}
	theirs, err := measure(base.addr, base.user, "echo ready; exec cat", "ready", func(int) (string, string) { return "s", "s" })
	if err != nil {
		return nil, err
	}
	return []row{{"echo of a keystroke, p50", ours.Round(10 * time.Microsecond).String(), theirs.Round(10*time.Microsecond).String() + " (cat under sshd)", float64(theirs) / float64(ours), "none set"}}, nil
}

// watcher reads a stream and waits for texts in it.
type watcher struct {
	r    io.Reader
	seen []byte
	buf  []byte
}

func newWatcher(r io.Reader) *watcher { return &watcher{r: r, buf: make([]byte, 64<<10)} }

func (w *watcher) forget() { w.seen = w.seen[:0] }

func (w *watcher) until(text string) error {
	for !bytes.Contains(w.seen, []byte(text)) {
		n, err := w.r.Read(w.buf)
		w.seen = append(w.seen, w.buf[:n]...)
		if err != nil && !bytes.Contains(w.seen, []byte(text)) {
			return fmt.Errorf("waiting for %q: %w", text, err)
		}
	}
	return nil
}

// statements compares the time of one small statement: piped into `ssh bastion
// sql`, with policy, mask and recording, and into psql through sshd's tunnel.
func statements(us *bastion, base *sshd, rounds int) ([]row, error) {
	u, err := url.Parse(us.url)
	if err != nil {
		return nil, err
	}
	tunnel, err := forward(base.addr, base.user, us.keyFile, u.Host)
	if err != nil {
		return nil, err
	}
	defer tunnel.stop()
	u.Host = tunnel.addr

	one := func(cmd *exec.Cmd) (time.Duration, error) {
		cmd.Stderr = nil
		in, err := cmd.StdinPipe()
		if err != nil {
			return 0, err
		}
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			return 0, err
		}
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		out := newWatcher(pipe)
		var times []time.Duration
		for i := range statementsIn {
			out.forget()
			start := time.Now()
			if _, err := fmt.Fprintf(in, "select id, city, 'done%d' from customers where id = %d;\n", i, i+1); err != nil {
				return 0, err
			}
			if err := out.until(fmt.Sprintf(",done%d\n", i)); err != nil {
				return 0, err
			}
			if i >= 20 { // the first ones warm caches on both sides
				times = append(times, time.Since(start))
			}
		}
		in.Close()
		err = cmd.Wait()
		return median(times), err
	}
	var ours, theirs []time.Duration
	for range rounds {
		o, err := one(sshClient(us.addr, "bench", us.keyFile, nil, "sql --csv shop-staging"))
		if err != nil {
			return nil, fmt.Errorf("sallyport: %w", err)
		}
		p, err := one(exec.Command("psql", "-X", "-q", "--csv", "-t", u.String()))
		if err != nil {
			return nil, fmt.Errorf("psql: %w", err)
		}
		ours, theirs = append(ours, o), append(theirs, p)
	}
	o, p := median(ours), median(theirs)
	return []row{{"statement, p50 (added " + (o - p).Round(10*time.Microsecond).String() + ")", o.Round(10 * time.Microsecond).String(),
		p.Round(10*time.Microsecond).String() + " (psql through ssh -L)", float64(p) / float64(o), "added <= 1ms"}}, nil
}
