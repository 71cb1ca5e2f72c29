package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
)

// Menu is the bastion without screens, for terminals that cannot draw and for
// input that is piped in: a numbered list of targets, and every command. With a
// target it opens that one's prompt first.
func Menu(s *bastion.Session, target string, o Options) int {
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	in := s.Terminal().Input()
	defer in.Close()
	m := &menu{s: s, o: o, out: s.Terminal(), err: s.Terminal().Stderr(), typed: &typing{in: in}}
	if o.PTY {
		m.out = &crlf{w: m.out}
		m.err = m.out // one terminal, one order
		m.lines = &lineReader{in: bufio.NewReader(m.typed), echo: m.out}
	} else {
		m.lines = &lineReader{in: bufio.NewReader(m.typed)}
	}
	err := m.run(ctx, target)
	if cause := context.Cause(s.Context()); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return m.code
	default:
		m.say("sallyport: %s", err)
		return Code(err)
	}
}

type menu struct {
	s     *bastion.Session
	o     Options
	out   io.Writer
	err   io.Writer
	typed *typing
	lines *lineReader
	code  int // of the last command, for scripts that pipe their input in
}

func (m *menu) say(format string, a ...any) {
	fmt.Fprintln(m.err, bastion.Visible(fmt.Sprintf(format, a...)))
}

func (m *menu) run(ctx context.Context, target string) error {
	if err := m.chooseRole(ctx); err != nil {
		return err
	}
	if target != "" {
		if err := m.prompt(ctx, target); err != nil {
			return err
		}
	}
	for {
		ts, err := m.list(ctx)
		if err != nil {
			return err
		}
		line, err := m.lines.read("choose> ")
		if errors.Is(err, errInterrupted) {
			continue
		}
		if err != nil {
			return err
		}
		switch line = strings.TrimSpace(line); line {
		case "":
			continue
		case "q", "quit", "exit":
			return nil
		case "a":
			line = "requests"
		case "l":
			line = "recordings"
		case "t":
			line = "tasks"
		case "?":
			line = "help"
		}
		if n, err := strconv.Atoi(line); err == nil {
			if n < 1 || n > len(ts) {
				m.say("there is no number %d in the list", n)
				m.code = Usage
				continue
			}
			if err := m.prompt(ctx, ts[n-1].Name); err != nil {
				return err
			}
			continue
		}
		m.command(ctx, line)
	}
}

// chooseRole has a person who holds roles that nobody may hold together choose the
// one to act in.
func (m *menu) chooseRole(ctx context.Context) error {
	for choice := m.s.Choice(ctx); choice != nil; choice = m.s.Choice(ctx) {
		m.say("%s", choice)
		line, err := m.lines.read("act as> ")
		if err != nil {
			return err
		}
		if err := m.s.Act(ctx, strings.TrimSpace(line)); err != nil {
			m.say("sallyport: %s", err)
		}
	}
	return nil
}

func (m *menu) list(ctx context.Context) ([]bastion.TargetView, error) {
	who := m.s.Who()
	ts, err := m.s.Targets(ctx)
	if err != nil {
		return nil, err
	}
	rs, err := m.s.Requests(ctx, bastion.RequestFilter{Open: true, Decide: true})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(m.out, "\nsallyport: %s, sign-in %s\n", bastion.VisibleLine(who.Name), left(who, m.s.Now()))
	c := m.call("")
	var rows [][]string
	for i, t := range ts {
		rows = append(rows, []string{fmt.Sprintf("%3d", i+1), t.Name, t.Kind, t.Environment(), Connecting(t.Access), t.Description})
	}
	if len(rows) > 0 {
		if err := c.table([]string{" NO", "TARGET", "KIND", "ENV", "CONNECT", "DESCRIPTION"}, rows); err != nil {
			return nil, err
		}
	} else {
		fmt.Fprintln(m.out, "your roles give no targets")
	}
	fmt.Fprintf(m.out, "a number connects; a approvals (%d wait), t tasks, l recordings, ? help, q quit, or any command\n", len(rs))
	return ts, nil
}

func (m *menu) call(line string) *call {
	return &call{s: m.s, o: m.o, line: line, words: m.say, out: m.out, in: strings.NewReader(""),
		ask: func(prompt string) (string, error) { return m.lines.read(prompt) }}
}

func (m *menu) command(ctx context.Context, line string) {
	m.code = m.call(line).dispatch(ctx)
}

// prompt is the SQL prompt of one target. It returns to the menu at \q.
func (m *menu) prompt(ctx context.Context, target string) error {
	r := &runner{c: m.call(""), target: target}
	if err := r.open(ctx); err != nil {
		m.say("sallyport: %s", err)
		m.code = Code(err)
		return nil
	}
	m.say("connected to %s; end a statement with ; and go back with \\q", target)
	text := ""
	for {
		p := target + "=> "
		if text != "" {
			p = target + "-> "
		}
		line, err := m.lines.read(p)
		if errors.Is(err, errInterrupted) {
			text = ""
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || strings.TrimSpace(text) == "") {
			return err
		}
		ended := err != nil
		trimmed := strings.TrimSpace(line)
		if text == "" && (trimmed == `\q` || trimmed == "exit" || trimmed == "quit") {
			return nil
		}
		var statements []string
		if text == "" && strings.HasPrefix(trimmed, `\`) {
			statements = []string{trimmed}
		} else {
			text += line + "\n"
			if statements, text, err = r.c.s.Split(target, text); err != nil {
				return err
			}
			if ended && strings.TrimSpace(text) != "" {
				statements, text = append(statements, text), ""
			}
			if strings.TrimSpace(text) == "" {
				text = ""
			}
		}
		for _, statement := range statements {
			err := m.statement(ctx, r, statement)
			m.code = Code(err)
			if err != nil {
				m.say("%s", err)
				text = ""
				break
			}
		}
		if ended {
			return io.EOF
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
}

// statement runs one statement. On a terminal ^C cancels it; what else is typed
// meanwhile is kept for the next prompt.
func (m *menu) statement(ctx context.Context, r *runner, statement string) error {
	if !m.o.PTY {
		return r.one(ctx, statement)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in := m.s.Terminal().Input()
	done := make(chan struct{})
	go func() { // ends when in is closed, and is waited for
		defer close(done)
		b := make([]byte, 64)
		for {
			n, err := in.Read(b)
			for _, c := range b[:n] {
				if c == 3 {
					cancel(errInterrupted)
				} else if len(m.typed.ahead) < maxLine {
					m.typed.ahead = append(m.typed.ahead, c)
				}
			}
			if err != nil {
				return
			}
		}
	}()
	err := r.one(ctx, statement)
	in.Close()
	<-done
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return errInterrupted
	}
	return err
}

// typing is the person's input, with what they typed ahead of the prompt.
type typing struct {
	ahead []byte
	in    io.Reader
}

func (t *typing) Read(p []byte) (int, error) {
	if len(t.ahead) > 0 {
		n := copy(p, t.ahead)
		t.ahead = t.ahead[n:]
		return n, nil
	}
	return t.in.Read(p)
}

// lineReader reads lines. With an echo it is the line discipline of a terminal in
// raw mode: it echoes, knows backspace, ^U, ^C and ^D, and nothing else.
type lineReader struct {
	in   *bufio.Reader
	echo io.Writer
}

const maxLine = bastion.MaxText

func (l *lineReader) read(prompt string) (string, error) {
	if l.echo == nil {
		line, err := l.in.ReadString('\n')
		if len(line) > maxLine {
			return "", usagef("a line has more than %d bytes", maxLine)
		}
		if err != nil && line != "" {
			return strings.TrimRight(line, "\r\n"), nil
		}
		return strings.TrimRight(line, "\r\n"), err
	}
	if _, err := io.WriteString(l.echo, prompt); err != nil {
		return "", err
	}
	var line []byte
	say := func(s string) { io.WriteString(l.echo, s) }
	for {
		c, size, err := l.in.ReadRune()
		if err != nil {
			return "", err
		}
		switch {
		case c == '\r' || c == '\n':
			say("\n")
			return string(line), nil
		case c == 3:
			say("^C\n")
			return "", errInterrupted
		case c == 4 && len(line) == 0:
			say("\n")
			return "", io.EOF
		case c == 21:
			say(strings.Repeat("\b \b", utf8.RuneCount(line)))
			line = line[:0]
		case c == 127 || c == 8:
			if len(line) > 0 {
				_, n := utf8.DecodeLastRune(line)
				line = line[:len(line)-n]
				say("\b \b")
			}
		case c < 32 && c != '\t' || c == utf8.RuneError && size == 1:
			// a control character or a broken one: not text
		case len(line)+size <= maxLine:
			line = utf8.AppendRune(line, c)
			say(bastion.VisibleLine(string(c)))
		}
	}
}
