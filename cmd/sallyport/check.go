package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/identity"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/connectors"
)

// defaultConfig is where a packaged bastion has its configuration.
const defaultConfig = "/etc/sallyport/config.yaml"

// files is the two files of a bastion, read and found sound.
type files struct {
	config   *config.Config
	policy   *policy.Policy
	warnings policy.Problems
}

// load reads both files. Any error in either leaves nothing: a bastion does not
// run on half a policy.
func load(path string, key func(state string) ([]byte, error)) (*files, error) {
	c, problems := config.Load(path)
	if c == nil {
		return nil, problems.Err()
	}
	problems = append(problems, c.Check(connectors.All())...)
	var secret []byte
	if key != nil {
		var err error
		if secret, err = key(c.State); err != nil {
			return nil, err
		}
	}
	p, more := policy.New(config.LoadPolicy(c.Policy), c.PolicyContext(connectors.All(), secret))
	problems = append(problems, more...)
	problems.Sort()
	if err := problems.Err(); err != nil || p == nil {
		return nil, problems.Err()
	}
	return &files{c, p, problems}, nil
}

func connectorOf(kind string) (bastion.Connector, error) {
	var kinds []string
	for _, k := range connectors.All() {
		if k.Kind() == kind {
			return k, nil
		}
		kinds = append(kinds, k.Kind())
	}
	return nil, errors.New(policy.Unknown("kind", kind, kinds))
}

// check validates the files, or explains one decision.
func check(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	path := fs.String("config", defaultConfig, "configuration file")
	explain := fs.String("explain", "", "WHO@TARGET, with the text to explain as argument")
	groups := fs.String("groups", "", "with --explain: the groups of WHO, by commas")
	rest, err := flags(fs, args)
	if err != nil {
		return err
	}
	f, err := load(*path, nil)
	if err != nil {
		return err
	}
	for _, w := range f.warnings {
		fmt.Fprintln(out, w)
	}
	if *explain == "" {
		if len(rest) > 0 {
			return errUsage{fmt.Sprintf("unexpected %q; to explain a statement: check --explain WHO@TARGET TEXT", rest[0])}
		}
		fmt.Fprintf(out, "%s and %s: sound; %d targets, %d warnings\n", *path, f.config.Policy, len(f.config.Targets), len(f.warnings))
		return nil
	}
	if len(rest) != 1 {
		return errUsage{"--explain wants one text after WHO@TARGET, in quotes"}
	}
	return explainTo(out, f, *explain, *groups, rest[0])
}

// explainTo says what would happen if somebody ran a text. WHO is a role, a
// service, or anybody with the groups that the flag names.
func explainTo(out io.Writer, f *files, whoAt, groups, text string) error {
	name, targetName, ok := strings.Cut(whoAt, "@")
	if !ok {
		return errUsage{fmt.Sprintf("--explain wants WHO@TARGET, not %q", whoAt)}
	}
	t, ok := f.config.BastionTargets().Named(targetName)
	if !ok {
		var names []string
		for _, t := range f.config.Targets {
			names = append(names, t.Name)
		}
		return errors.New(policy.Unknown("target", targetName, names))
	}
	who, err := assume(f, name, groups)
	if err != nil {
		return err
	}
	c, err := connectorOf(t.Kind)
	if err != nil {
		return err
	}
	statements, rest, err := c.Split(text)
	if err != nil {
		return err
	}
	if strings.TrimSpace(rest) != "" {
		statements = append(statements, rest)
	}
	if len(statements) == 0 {
		return errUsage{"there is nothing to explain"}
	}
	for _, s := range statements {
		intent, err := c.Parse(t, s)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(s), err)
		}
		fmt.Fprintln(out, bastion.Visible(strings.TrimSpace(s)))
		fmt.Fprintln(out, f.policy.Explain(who, bastion.Plan(t, s, intent)))
	}
	return nil
}

// assume makes the identity that a policy is asked about. Nobody signs in here,
// so groups come from the flag, or WHO is the name of a service or of a group's
// role.
func assume(f *files, name, groups string) (bastion.Identity, error) {
	if slices.ContainsFunc(f.config.Services, func(s config.Service) bool { return s.Name == name }) {
		return bastion.Identity{Issuer: identity.Issuer, Subject: name, Kind: bastion.Service, Name: name}, nil
	}
	who := bastion.Identity{Issuer: f.config.Provider.Issuer, Subject: name, Kind: bastion.Person, Name: name}
	if groups != "" {
		who.Groups = strings.Split(groups, ",")
		return who, nil
	}
	known, err := lookUp(f.config.State, name)
	if err != nil {
		return bastion.Identity{}, fmt.Errorf("%w; name the person's groups: --groups deployers,reviewers", err)
	}
	return known, nil
}

// pseudonymKey reads the key that makes pseudonyms, or makes one: without it the
// same person would get another pseudonym after each restart.
func pseudonymKey(state string) ([]byte, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(state, "pseudonym.key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		err = os.WriteFile(path, key, 0o600)
	}
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("%s is damaged: it has %d bytes, not 32", path, len(key))
	}
	if err != nil {
		return nil, fmt.Errorf("key for pseudonyms: %w", err)
	}
	return key, nil
}
