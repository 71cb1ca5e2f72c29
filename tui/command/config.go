package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/bastion"
)

// local is one target as a program on the person's own machine reaches it,
// through a forwarded port.
type local struct {
	Service  string `json:"service"` // the target's name
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Database string `json:"dbname"`
	User     string `json:"user"`
	SSLMode  string `json:"sslmode"`
	Connect  string `json:"connect"` // what happens when one connects: runs, or needs approval
	Forward  string `json:"forward"` // the argument of ssh -L
	SSH      string `json:"ssh"`     // the whole command for this target alone
	About    string `json:"description,omitempty"`
}

// front is the bastion as the person's ssh names it. The bastion itself knows that
// only if its configuration says so.
type front struct {
	host string
	port int  // 22 is left out
	made bool // nobody said: host only stands for it
}

// postgresPort is what the other end of a forwarding is called: the target's name
// and PostgreSQL's port, whatever the target's own port is.
const postgresPort = 5432

// defaultLocal is the first port on the person's machine: next to PostgreSQL's,
// and not in the way of one that runs there.
const defaultLocal = 15432

func config(ctx context.Context, c *call) error {
	var first, host, port string
	flags := func() error {
		return c.flags(map[string]*string{"port": &first, "host": &host, "ssh-port": &port}, map[string]*bool{"json": &c.json})
	}
	if err := flags(); err != nil {
		return err
	}
	kind := c.word()
	if err := flags(); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	write := writePSQL
	switch kind {
	case "psql":
	case "ssh":
		write = writeSSH
	case "":
		return usagef("configuration for what: psql or ssh?")
	default:
		return usagef("there is no configuration for %q, only for psql and ssh", bastion.VisibleLine(kind))
	}
	f := front{host: "bastion", port: 22, made: host == "" && c.o.Address == ""}
	switch {
	case host != "":
		f.host = host
	case c.o.Address != "":
		f.host = c.o.Address
		if h, p, err := net.SplitHostPort(c.o.Address); err == nil {
			f.host = h
			if f.port, err = portFlag("the configured address", p, 22, 1); err != nil {
				return err
			}
		}
	}
	if strings.HasPrefix(f.host, "-") || strings.Trim(f.host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:%-") != "" {
		return usagef("--host %q is neither a host name nor an address", bastion.VisibleLine(f.host))
	}
	var err error
	if f.port, err = portFlag("--ssh-port", port, f.port, 1); err != nil {
		return err
	}
	ts, err := c.s.Targets(ctx)
	if err != nil {
		return err
	}
	ts = onlyPostgres(ts)
	base, err := portFlag("--port", first, defaultLocal, len(ts))
	if err != nil {
		return err
	}
	if len(ts) == 0 {
		c.words("your roles give no PostgreSQL targets")
		return nil
	}
	ls := locals(c.s.Who(), ts, f, base)
	if c.json {
		for _, l := range ls {
			if err := c.printJSON(l); err != nil {
				return err
			}
		}
		return nil
	}
	var b bytes.Buffer // a program that reads this gets all of it or nothing
	write(&b, ls, f)
	if _, err := c.out.Write(b.Bytes()); err != nil {
		return err
	}
	if kind == "psql" {
		c.words("save this as ~/.pg_service.conf, keep the ssh command in its first lines running, then: psql service=%s", ls[0].Service)
	} else {
		c.words("add this to ~/.ssh/config and keep running: ssh -N %s", tunnelName(f))
	}
	return nil
}

// portFlag reads a flag with a port that so many follow on.
func portFlag(name, text string, standard, count int) (int, error) {
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n+max(count, 1)-1 > 65535 {
		return 0, usagef("%s wants a number from 1 to %d, not %q", name, 65535-max(count, 1)+1, bastion.VisibleLine(text))
	}
	return n, nil
}

func onlyPostgres(all []bastion.TargetView) (ts []bastion.TargetView) {
	for _, t := range all {
		if t.Kind == "postgres" {
			ts = append(ts, t)
		}
	}
	return ts
}

// locals gives each target a port. They follow the order of the configuration, so
// that they stay when a target is added at its end.
func locals(who bastion.Identity, ts []bastion.TargetView, f front, base int) (ls []local) {
	for i, t := range ts {
		l := local{Service: t.Name, Host: "localhost", Port: base + i, Database: bastion.VisibleLine(t.Options["database"]), User: bastion.VisibleLine(who.Name),
			SSLMode: "disable", Connect: Connecting(t.Access), About: bastion.VisibleLine(t.Description)}
		l.Forward = fmt.Sprintf("%d:%s:%d", l.Port, t.Name, postgresPort)
		l.SSH = fmt.Sprintf("ssh -N%s -L %s %s", f.portArgument(), l.Forward, f.host)
		ls = append(ls, l)
	}
	return ls
}

// stands is a comment that says what to replace, where there is something.
func (f front) stands() string {
	if !f.made {
		return ""
	}
	return "# \"" + f.host + "\" stands for what you type after ssh to get here; --host and --ssh-port put that in.\n"
}

func (f front) portArgument() string {
	if f.port == 22 {
		return ""
	}
	return fmt.Sprintf(" -p %d", f.port)
}

// writePSQL writes a connection service file as libpq reads it: a comment has a
// line of its own, and a line has less than 256 bytes, which is the limit of
// older versions.
func writePSQL(w io.Writer, ls []local, f front) {
	fmt.Fprintf(w, "# PostgreSQL through Sallyport. Save as ~/.pg_service.conf, or name it in PGSERVICEFILE.\n"+
		"# Keep this running; leave out what you do not need:\n#\n#   ssh -N%s \\\n", f.portArgument())
	for _, l := range ls {
		fmt.Fprintf(w, "#     -L %s \\\n", l.Forward)
	}
	fmt.Fprintf(w, "#     %s\n#\n# Then: psql service=%s\n"+
		"# You are known by your SSH key: no password is asked for, and any will do.\n"+
		"# sslmode=disable: between here and the bastion ssh encrypts, and behind it the\n"+
		"# bastion has its own connection to the target.\n", f.host, ls[0].Service)
	io.WriteString(w, f.stands())
	for _, l := range ls {
		fmt.Fprintln(w)
		if about := cut(l.About, 200); about != "" {
			fmt.Fprintf(w, "# %s\n", about)
		}
		if l.Connect != Connecting(bastion.Access{Connect: bastion.Allow}) {
			fmt.Fprintf(w, "# connecting %s; to ask first: ssh%s %s request %s --reason WHY\n", l.Connect, f.portArgument(), f.host, l.Service)
		}
		fmt.Fprintf(w, "[%s]\nhost=%s\nport=%d\ndbname=%s\nuser=%s\nsslmode=%s\n", l.Service, l.Host, l.Port, l.Database, l.User, l.SSLMode)
	}
}

// cut shortens a line to about so many bytes, between characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// tunnelName is the name of the block in ssh_config. It is not the bastion's own:
// then every `ssh bastion sql` would open the ports too.
func tunnelName(f front) string {
	return strings.NewReplacer(":", "-", "%", "-").Replace(f.host) + "-targets"
}

// writeSSH writes a block for ssh_config.
func writeSSH(w io.Writer, ls []local, f front) {
	fmt.Fprintf(w, "# PostgreSQL through Sallyport. Add to ~/.ssh/config and keep running: ssh -N %s\n"+
		"# It has a name of its own, so that the ports open with it alone.\n%s"+
		"Host %s\n    HostName %s\n    Port %d\n", tunnelName(f), f.stands(), tunnelName(f), f.host, f.port)
	for _, l := range ls {
		fmt.Fprintf(w, "    # psql \"%s\"\n    LocalForward %d %s:%d\n", conninfo(l), l.Port, l.Service, postgresPort)
	}
	fmt.Fprint(w, "    # the fastest for large results\n    Ciphers ^aes128-gcm@openssh.com,aes256-gcm@openssh.com\n"+
		"    ExitOnForwardFailure yes\n    ServerAliveInterval 30\n    ServerAliveCountMax 3\n")
}

// conninfo is a connection string of libpq.
func conninfo(l local) string {
	quote := func(s string) string {
		if s != "" && !strings.ContainsAny(s, ` '"\`+"`$") {
			return s
		}
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
	}
	return fmt.Sprintf("host=%s port=%d dbname=%s user=%s sslmode=%s", l.Host, l.Port, quote(l.Database), quote(l.User), l.SSLMode)
}
