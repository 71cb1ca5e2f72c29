// Command sallyport is the bastion: `sallyport serve` runs it, `sallyport demo`
// runs it in a small company of its own, `sallyport check` reads its files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

const usage = `sallyport: a bastion that people reach with plain ssh

  sallyport demo  [--dir DIR] [--listen ADDR]    try it: a shop's database, people, a sign-in page
  sallyport serve [--config FILE]                run the bastion
  sallyport check [--config FILE] [--json]       validate configuration and policy, and say what to look at
  sallyport check --matrix [--csv|--json]        duties by role and target, as a table for auditors
  sallyport check --explain WHO@TARGET TEXT [--groups G,...] [--granted BUNDLE,...]
                                                 say what would happen, and which rule decides
  sallyport scan  TARGET [--config FILE] [--sample N] [--schema S] [--all]
                                                 propose labels for sensitive columns
  sallyport sign-in ADDRESS                      sign in at the demo's provider without a browser
  sallyport version
`

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "demo") {
		relax()
		if os.Getenv("GOGC") == "" {
			// A bastion's memory is small, and its statements are many: it may take three
			// times what it needs, rather than twice, to collect half as often.
			debug.SetGCPercent(200)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// errUsage is a command line that was not understood; its text says how.
type errUsage struct{ text string }

func (e errUsage) Error() string { return e.text }

// run is main without the process, and returns the exit code: 0 done, 1 failed,
// 2 not understood.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	var err error
	switch name {
	case "serve":
		err = serve(ctx, args, errs)
	case "demo":
		err = runDemo(ctx, args, out, errs)
	case "check":
		err = check(args, out)
	case "scan":
		err = scan(ctx, args, out)
	case "sign-in":
		err = signIn(ctx, args, in, out)
	case "version":
		_, err = fmt.Fprintln(out, version())
	case "help", "-h", "--help":
		_, err = io.WriteString(out, usage)
	default:
		err = errUsage{fmt.Sprintf("there is no command %q\n\n%s", name, usage)}
	}
	var u errUsage
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &u):
		fmt.Fprintln(errs, "sallyport:", u.text)
		return 2
	}
	fmt.Fprintln(errs, "sallyport:", err)
	return 1
}

// flags reads a command's flags. Positional arguments may stand among them.
func flags(fs *flag.FlagSet, args []string) (rest []string, err error) {
	fs.SetOutput(io.Discard)
	for {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, errUsage{err.Error() + "\n\n" + usage}
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "sallyport (unknown build)"
	}
	v := []string{"sallyport", info.Main.Version, info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v = append(v, s.Value)
		}
	}
	return strings.Join(v, " ")
}
