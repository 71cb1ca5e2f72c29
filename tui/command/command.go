// Package command is Sallyport without screens: the verbs of `ssh bastion VERB`
// for scripts and agents, and the plain menu for terminals that can do no more.
//
// Data goes to standard output, words to standard error, and the exit code says
// how it went.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/task"
)

// The exit codes.
const (
	OK          = 0
	TargetError = 1 // the target answered with an error, or could not be reached
	Usage       = 2 // the command was not understood
	Denied      = 3 // policy, or lack of a right
	NotApproved = 4 // approval was not given in time
)

// Options are what a command needs besides the session.
type Options struct {
	PTY bool // the client has a terminal, which wants \r\n and sends ^C as a byte
	// Cast and Text write a recording as asciicast and as plain text.
	Cast func(io.Writer, bastion.Replay) error
	Text func(io.Writer, bastion.Replay) error
	// Tasks keeps tasks; nil if this bastion has none.
	Tasks Tasks
	// Address is what people type after ssh, host or host:port; empty if nobody said.
	Address string
}

// verb is one command. Its doc is what help prints.
type verb struct {
	name string
	args string
	doc  string
	run  func(context.Context, *call) error
}

// verbs is the table that dispatch and help share.
func verbs() []verb {
	return []verb{
		{"targets", "[--json]", "list the targets that you may use, and how", targets},
		{"sql", "[--json|--csv] [--reason WHY] [--wait 10m] TARGET [SQL]", "run SQL, from the command or from standard input", sql},
		{"request", "TARGET [--bundle B] [--for 2h] [--from 22:30] [--window W] --reason WHY", "ask for access to a target; --terms lists what can be asked for", request},
		{"break-glass", "TARGET [--bundle B] [--for 30m] --reason WHY", "take access in an emergency: alarms everybody, and is reviewed by somebody else", breakGlass},
		{"requests", "[--all] [--mine] [--limit 100] [--json] [NUMBER]", "list the requests that wait for you, or show one in full", requests},
		{"preview", "NUMBER [--json]", "have a request that waits for you run on its target and taken back, where policy lets you, and say what it did", preview},
		{"approve", "NUMBER [--reason WHY]", "approve a request: exactly what it shows will run", approve},
		{"deny", "NUMBER --reason WHY", "deny a request", deny},
		{"comment", "NUMBER WORDS", "say something about a request without deciding it", comment},
		{"revoke", "NUMBER [--reason WHY]", "take back a request of your own, or end access that was granted", revoke},
		{"recordings", "[--person P] [--target T] [--text S] [--since 24h] [--limit 100] [--all] [--json]", "list recorded sessions", recordings},
		{"play", "ID", "print what a recording showed, without its pauses", play},
		{"cast", "ID", "write a recording as asciicast v2, for asciinema", cast},
		{"text", "ID", "write a recording as a readable account", text},
		{"events", "[--from N] [--session ID] [--json]", "list events: decisions, votes, results", events},
		{"config", "psql|ssh [--port N] [--host H] [--ssh-port P] [--json]", "print what programs on your machine need: a pg_service file, or a block for ssh_config", config},
		{"tasks", "[list [--all]|show ID|runbooks|new [--runbook NAME] [--param NAME=VALUE]|edit ID|submit ID --reason WHY|run ID [--step NAME]|stop ID|retry ID STEP|skip ID STEP --reason WHY] [--json]",
			"planned changes in steps: list them, show all that is known of one, write one (a file on standard input), have it reviewed, and execute it", tasks},
		{"policy", "[show [N]|versions|diff|propose --reason WHY [--wait 10m]] [--json]", "read the policy; diff and propose take a whole policy file on standard input", policy},
		{"notify", "[dead|retry NUMBER] [--json]", "how notifications fare; dead lists those that were given up, retry delivers one after all", notices},
		{"login", "", "sign in again, for a target that wants a fresh sign-in", login},
		{"act", "ROLE", "choose in which role to act until you sign in again, where you hold roles that nobody may hold together", act},
		{"keys", "[forget FINGERPRINT] [--json]", "list your keys, or take one away: of a machine that you lost", ownKeys},
		{"people", "[lock NAME --reason WHY|unlock NAME] [--json]", "list who has signed in, or keep somebody out; for those who audit or administer", people},
		{"whoami", "[--json]", "who the bastion knows you as", whoami},
		{"help", "[VERB]", "this text", help},
	}
}

// Names lists the verbs, for completion and for documents.
func Names() []string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return names
}

// Verb names the verb of a command line, for a recording's entry. The rest of the
// line is not fit to be kept there: it may hold a statement with a secret in it,
// which the events keep in a form that is.
func Verb(line string) string {
	name := (&call{line: line}).word()
	switch {
	case slices.Contains(Names(), name):
		return name
	case name == "":
		return ""
	}
	return "(no command)"
}

// call is one command being run.
type call struct {
	s     *bastion.Session
	o     Options
	line  string // what is left of the command line
	json  bool
	words func(format string, a ...any) // one sentence to standard error
	out   io.Writer
	in    io.Reader // standard input
	// ask reads one line from the person; nil when nobody is there to answer.
	ask func(prompt string) (string, error)
}

// usageError is a command that was not understood.
type usageError struct{ what string }

func (e usageError) Error() string { return e.what }

func usagef(format string, a ...any) error { return usageError{fmt.Sprintf(format, a...)} }

// Run runs one command line as it came with ssh and returns its exit code. The
// line is the raw text: ssh joins the arguments with spaces, so SQL reaches the
// bastion with its own quotes and nothing is left of the shell's.
func Run(s *bastion.Session, line string, o Options) int {
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	in := s.Terminal().Input()
	defer in.Close()
	c := &call{s: s, o: o, line: line, out: s.Terminal(), in: in}
	stderr := s.Terminal().Stderr()
	if o.PTY {
		c.out = &crlf{w: c.out}
		stderr = c.out // one terminal, one order
		c.in = strings.NewReader("")
		go interrupts(in, cancel) // ends when in is closed
	}
	c.words = func(format string, a ...any) { fmt.Fprintln(stderr, bastion.Visible(fmt.Sprintf(format, a...))) }
	return c.dispatch(ctx)
}

var errInterrupted = errors.New("interrupted")

// interrupts turns ^C of a terminal in raw mode into a cancelled context.
func interrupts(in io.Reader, cancel context.CancelCauseFunc) {
	b := make([]byte, 64)
	for {
		n, err := in.Read(b)
		if slices.Contains(b[:n], 3) {
			cancel(errInterrupted)
		}
		if err != nil {
			return
		}
	}
}

func (c *call) dispatch(ctx context.Context) int {
	name := c.word()
	vs := verbs()
	i := slices.IndexFunc(vs, func(v verb) bool { return v.name == name })
	var err error
	if i < 0 {
		err = usagef("there is no command %q; the commands are: %s", bastion.VisibleLine(name), strings.Join(Names(), " "))
	} else {
		err = vs[i].run(ctx, c)
	}
	if err != nil && context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.words("sallyport: %s", explain(err))
		var u usageError
		if i >= 0 && errors.As(err, &u) {
			c.words("usage: %s %s", vs[i].name, vs[i].args)
		}
	}
	return Code(err)
}

// explain adds the next step to errors for which a command line has one.
func explain(err error) string {
	if _, stale := errors.AsType[*bastion.StaleError](err); stale {
		return err.Error() + ": ssh bastion login"
	}
	if errors.Is(err, bastion.ErrReason) {
		return err.Error() + `; say why with --reason, quoted twice: --reason "'fix for ticket 12'"`
	}
	return err.Error()
}

// Code is the exit code for an error.
func Code(err error) int {
	var (
		usage  usageError
		denied *bastion.DeniedError
		stale  *bastion.StaleError
		choice *bastion.ChoiceError
		refuse refusedError
		not    *bastion.NotApprovedError
		file   *task.FileError
	)
	switch {
	case err == nil:
		return OK
	case errors.As(err, &usage), errors.As(err, &file):
		return Usage
	case errors.As(err, &not):
		if not.Request.State == bastion.Denied || not.Request.State == bastion.Revoked {
			return Denied
		}
		return NotApproved
	case errors.Is(err, errNotYet):
		return NotApproved
	case errors.As(err, &denied), errors.As(err, &stale), errors.As(err, &choice), errors.As(err, &refuse), errors.Is(err, bastion.ErrExpired), errors.Is(err, bastion.ErrNotFound),
		errors.Is(err, bastion.ErrReason):
		return Denied
	}
	return TargetError
}

// word takes the next word of the command line. A word in single or double
// quotes may hold spaces.
func (c *call) word() string {
	c.line = strings.TrimLeft(c.line, " \t\n")
	if c.line == "" {
		return ""
	}
	if q := c.line[0]; q == '\'' || q == '"' {
		if end := strings.IndexByte(c.line[1:], q); end >= 0 {
			w := c.line[1 : 1+end]
			c.line = c.line[end+2:]
			return w
		}
	}
	w, rest := c.line, ""
	if end := strings.IndexAny(c.line, " \t\n"); end >= 0 {
		w, rest = c.line[:end], c.line[end:]
	}
	c.line = rest
	return w
}

// flags takes the flags at the head of the command line. A flag's value is
// written --name VALUE or --name=VALUE.
func (c *call) flags(set map[string]*string, switches map[string]*bool) error {
	for {
		c.line = strings.TrimLeft(c.line, " \t\n")
		if !strings.HasPrefix(c.line, "--") || c.line == "--" || strings.HasPrefix(c.line, "-- ") {
			return nil
		}
		// Only the name is split at the = sign: a quoted value keeps its quotes for word.
		head := c.line
		if end := strings.IndexAny(head, " \t\n="); end >= 0 {
			head = head[:end]
		}
		c.line = c.line[len(head):]
		name := head[2:]
		if b, ok := switches[name]; ok {
			*b = true
			continue
		}
		v, ok := set[name]
		if !ok {
			known := slices.Sorted(func(yield func(string) bool) {
				for n := range set {
					if !yield("--" + n) {
						return
					}
				}
				for n := range switches {
					if !yield("--" + n) {
						return
					}
				}
			})
			return usagef("unknown flag %s (known here: %s)", bastion.VisibleLine(head), strings.Join(known, " "))
		}
		c.line = strings.TrimPrefix(c.line, "=")
		if *v = c.word(); *v == "" {
			return usagef("flag %s needs a value", head)
		}
	}
}

// nothing insists that the command line is used up.
func (c *call) nothing() error {
	if rest := strings.TrimSpace(c.line); rest != "" {
		return usagef("unexpected %q", bastion.VisibleLine(rest))
	}
	return nil
}

// printJSON writes one value as a line of JSON.
func (c *call) printJSON(v any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table writes aligned columns.
func (c *call) table(head []string, rows [][]string) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		for i := range row {
			row[i] = strings.ReplaceAll(bastion.VisibleLine(row[i]), "\t", " ")
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), " \t"))
	}
	return w.Flush()
}

func help(_ context.Context, c *call) error {
	name := c.word()
	if err := c.nothing(); err != nil {
		return err
	}
	found := false
	for _, v := range verbs() {
		if name == "" || v.name == name {
			found = true
			fmt.Fprintf(c.out, "%-11s %s\n%11s   %s\n", v.name, v.args, "", v.doc)
		}
	}
	if !found {
		return usagef("there is no command %q; the commands are: %s", bastion.VisibleLine(name), strings.Join(Names(), " "))
	}
	if name == "" {
		fmt.Fprint(c.out, "\nWithout a command a terminal gets the screens, anything else a plain menu.\n"+
			"Exit codes: 0 done, 1 the target's error, 2 usage, 3 denied, 4 not approved in time.\n"+
			"Everything shown is recorded.\n")
	}
	return nil
}

func login(ctx context.Context, c *call) error {
	if err := c.nothing(); err != nil {
		return err
	}
	err := c.s.SignIn(ctx, func(p bastion.SignInPrompt) error {
		c.words("Open      %s\nCode      %s\nOr open   %s\nYour key  %s\nEnds      %s\nWaiting for you to sign in there; Ctrl-C gives up.",
			p.Address, p.Code, p.Direct, p.Key, bastion.Moment(p.Expires, c.s.Now()))
		return nil
	})
	if err != nil {
		return refusedError{err}
	}
	c.words("signed in as %s, %s", c.s.Who().Name, left(c.s.Who(), c.s.Now()))
	return nil
}

func act(ctx context.Context, c *call) error {
	role := c.word()
	if role == "" {
		return usagef("which role? %s", whichRoles(c.s.Choice(ctx)))
	}
	if err := c.nothing(); err != nil {
		return err
	}
	if err := c.s.Act(ctx, role); err != nil {
		return refusedError{err}
	}
	c.words("you act as %s until you sign in again", role)
	if choice := c.s.Choice(ctx); choice != nil {
		c.words("there is more to choose: %s", whichRoles(choice))
	}
	return nil
}

func whichRoles(choice *bastion.ChoiceError) string {
	if choice == nil {
		return "there is nothing to choose"
	}
	return bastion.VisibleLine(strings.Join(choice.Roles, " or "))
}

func whoami(_ context.Context, c *call) error {
	if err := c.flags(nil, map[string]*bool{"json": &c.json}); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	who, roles := c.s.Who(), c.s.Roles()
	if c.json {
		return c.printJSON(struct {
			bastion.Identity
			Roles   []bastion.Role `json:"roles"`
			Origin  bastion.Origin `json:"origin"`
			Session string         `json:"session"`
		}{who, roles, c.s.Origin(), c.s.ID()})
	}
	var held []string
	for _, r := range roles {
		var duties []string
		for _, d := range r.Duties {
			duties = append(duties, string(d))
		}
		held = append(held, fmt.Sprintf("%s (%s)", r.Name, strings.Join(duties, ", ")))
	}
	rows := [][]string{
		{"issuer", who.Issuer}, {"subject", who.Subject}, {"kind", string(who.Kind)}, {"e-mail", who.Email},
		{"groups", strings.Join(who.Groups, ", ")}, {"roles", strings.Join(held, "; ")},
		{"key", c.s.Origin().Key}, {"from", c.s.Origin().Address}, {"session", c.s.ID()},
		{"sign-in", left(who, c.s.Now())},
	}
	return c.table([]string{"name", who.Name}, rows)
}

// left says how long a binding lasts.
func left(who bastion.Identity, now time.Time) string {
	if who.Expires.IsZero() {
		return "does not expire"
	}
	d := who.Expires.Sub(now)
	if d < time.Minute {
		return max(0, d.Truncate(time.Second)).String() + " left"
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s") + " left"
}

func targets(ctx context.Context, c *call) error {
	if err := c.flags(nil, map[string]*bool{"json": &c.json}); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	ts, err := c.s.Targets(ctx)
	if err != nil {
		return err
	}
	if c.json {
		for _, t := range ts {
			t.Address, t.Options = "", nil // what a person connects to is the bastion
			if err := c.printJSON(t); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ts) == 0 {
		c.words("your roles give no targets")
		return nil
	}
	var rows [][]string
	for _, t := range ts {
		rows = append(rows, []string{t.Name, t.Kind, t.Environment(), Connecting(t.Access), verbList(t.Access.Allow), verbList(t.Access.Ask), t.Description})
	}
	return c.table([]string{"TARGET", "KIND", "ENV", "CONNECT", "RUNS", "NEEDS APPROVAL", "DESCRIPTION"}, rows)
}

// Connecting says in a word what happens when one connects.
func Connecting(a bastion.Access) string {
	switch a.Connect {
	case bastion.Allow:
		return "run"
	case bastion.Ask:
		return "needs approval"
	}
	return "not allowed"
}

// verbList shortens a list of verbs to what fits a line.
func verbList(vs []bastion.Verb) string {
	var s []string
	for _, v := range vs {
		if v != bastion.Connect {
			s = append(s, string(v))
		}
	}
	if len(s) > 6 {
		s = append(s[:6], fmt.Sprintf("and %d more", len(s)-6))
	}
	if len(s) == 0 {
		return "-"
	}
	return strings.Join(s, " ")
}

// crlf writes for a terminal in raw mode, where a new line does not return.
type crlf struct {
	w    io.Writer
	last byte
}

func (c *crlf) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+16)
	for _, b := range p {
		if b == '\n' && c.last != '\r' {
			out = append(out, '\r')
		}
		out, c.last = append(out, b), b
	}
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
