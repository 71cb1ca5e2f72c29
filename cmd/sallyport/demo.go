package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/bastion/demo/idp"
)

// company is a running demo with its bastion.
type company struct {
	*demo.World
	server   *server
	listener net.Listener
	addr     string // of the bastion
	ssh      string // path of the client's configuration
}

// found starts a company and its bastion, which serves once serve is called.
func found(ctx context.Context, o demo.Options, log *slog.Logger) (c *company, err error) {
	// The port must be known before the configuration is written.
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("the bastion cannot listen: %w; choose another address with --listen", err)
	}
	c = &company{listener: l, addr: l.Addr().String()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	o.Listen = c.addr
	if c.World, err = demo.Start(ctx, o); errors.Is(err, syscall.EADDRINUSE) {
		return c, fmt.Errorf("%w; choose another address with --provider", err)
	} else if err != nil {
		return c, err
	}
	if c.server, err = open(c.Config, log); err != nil {
		return c, err
	}
	c.ssh, err = c.SSH(c.addr, c.server.hostKey())
	return c, err
}

func (c *company) serve(ctx context.Context) error { return c.server.serve(ctx, c.listener) }

// Close stops everything.
func (c *company) Close() error {
	err := c.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if c.server != nil {
		err = errors.Join(err, c.server.Close())
	}
	if c.World != nil {
		err = errors.Join(err, c.World.Close())
	}
	return err
}

func runDemo(ctx context.Context, args []string, out, errs io.Writer) error {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	o := demo.Options{}
	fs.StringVar(&o.Dir, "dir", "", "keep state here between runs")
	fs.StringVar(&o.Listen, "listen", "127.0.0.1:2222", "address of the bastion")
	fs.StringVar(&o.Provider, "provider", "127.0.0.1:2280", "address of the OpenID provider")
	fs.StringVar(&o.Lasts, "lasts", "", "how long a sign-in lasts, such as 2m")
	verbose := fs.Bool("verbose", false, "log what happens")
	rest, err := flags(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errUsage{fmt.Sprintf("unexpected %q", rest[0])}
	}
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(errs, nil))
	}
	slog.SetDefault(log) // the provider's library logs there
	fmt.Fprintln(errs, "starting a shop's database and an OpenID provider ...")
	c, err := found(ctx, o, log)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, c.story(colours(out))); err != nil {
		return errors.Join(err, c.Close())
	}
	err = c.serve(ctx)
	fmt.Fprintln(errs, "\nstopping")
	return errors.Join(err, c.Close())
}

// colours reports whether to colour what is printed there.
func colours(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// story is what to type, for somebody who has never seen Sallyport.
func (c *company) story(colour bool) string {
	paint := func(code, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	title := func(s string) string { return paint("1", s) }
	run := func(s string) string { return paint("36", s) }
	dim := func(s string) string { return paint("2", s) }
	ssh := "ssh -F " + c.ssh + " "
	self, err := os.Executable()
	if err != nil {
		self = "sallyport"
	}
	var people []string
	for _, p := range idp.DemoPeople() {
		people = append(people, fmt.Sprintf("%s (%s)", p.User, strings.Join(p.Groups, ", ")))
	}
	var b strings.Builder
	say := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	say("")
	say("%s", title("Sallyport's demo runs."))
	say("listening on %s", c.addr)
	say("people   %s; a password is the name", strings.Join(people, ", "))
	say("")
	say("%s", title("Terminal 1, alice changes production"))
	say("  %s", run(ssh+"alice"))
	say("  Sign in at the page it shows, or in another terminal: %s", run(self+" sign-in ADDRESS"))
	say("  Choose shop-production, then type:")
	say("    %s", run("select name, email, phone from customers limit 5;"))
	say("    %s", run("update customers set city = 'Bonn' where id = 7;")+dim("    waits for approval"))
	say("    %s", run("delete from payments;")+dim("    is refused"))
	say("")
	say("%s", title("Terminal 2, rita approves"))
	say("  %s", run(ssh+"rita")+dim("    then a, Enter, y and the request's number"))
	say("")
	say("%s", title("Terminal 3, axel replays it"))
	say("  %s", run(ssh+"axel")+dim("    then l and Enter"))
	say("")
	say("%s", title("Scripts"))
	say("  %s", run(ssh+demo.Bot+" sql --json shop-staging 'select id, email from customers limit 3'")+dim("    once alice, its owner, has signed in"))
	say("  %s", run(ssh+"alice help"))
	say("")
	say("Your own key works too: %s", run("ssh -p "+port(c.addr)+" "+host(c.addr)))
	say("Configuration, policy and state: %s. Ctrl-C stops everything.", c.Dir)
	return b.String()
}

func port(addr string) string {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return p
}

func host(addr string) string {
	h, _, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	return h
}

// signIn is the demo's sign-in page for a terminal without a browser.
func signIn(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errUsage{"sign-in wants the address that ssh showed"}
	}
	return idp.Converse(ctx, args[0], in, out)
}
