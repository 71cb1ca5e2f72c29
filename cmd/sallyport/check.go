package main

import (
	"crypto/rand"
	"encoding/json"
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
	govern "github.com/sallyport/sallyport/connectors/policy"
)

// defaultConfig is where a packaged bastion has its configuration.
const defaultConfig = "/etc/sallyport/config.yaml"

// files is the two files of a bastion, read and found sound.
type files struct {
	config   *config.Config
	policy   *policy.Policy
	warnings policy.Problems
}

// configuration reads the configuration; it is nil if the file cannot be read. The
// problems may have errors among them, with which no bastion runs.
func configuration(path string) (*config.Config, policy.Problems) {
	c, problems := config.Load(path)
	if c == nil {
		return nil, problems
	}
	problems = append(problems, c.Check(connectors.All())...)
	for _, t := range c.Targets {
		if t.Name == govern.Kind && t.Kind != govern.Kind {
			problems.Add(t.Pos, "target %q: the policy itself is the target of that name; choose another", t.Name)
		}
	}
	return c, problems
}

// load reads both files. Any error in either leaves nothing: a bastion does not
// run on half a policy.
func load(path string) (*files, error) {
	c, problems := configuration(path)
	if c == nil {
		return nil, problems.Err()
	}
	p, more := judge(config.LoadPolicy(c.Policy), world(c, nil))
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

// checkOptions say what check does.
type checkOptions struct {
	config, explain, groups, granted string
	matrix, json, csv                bool
}

// check validates the files and analyses the policy, prints its matrix, or explains
// one decision.
func check(args []string, out io.Writer) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	var o checkOptions
	fs.StringVar(&o.config, "config", defaultConfig, "configuration file")
	fs.StringVar(&o.explain, "explain", "", "WHO@TARGET, with the text to explain as argument")
	fs.StringVar(&o.groups, "groups", "", "with --explain: the groups of WHO, by commas")
	fs.StringVar(&o.granted, "granted", "", "with --explain: access that WHO was granted on the target, by commas")
	fs.BoolVar(&o.matrix, "matrix", false, "print who may do what where, by role and target")
	fs.BoolVar(&o.json, "json", false, "print JSON, alone or with --matrix")
	fs.BoolVar(&o.csv, "csv", false, "with --matrix: print CSV")
	rest, err := flags(fs, args)
	if err != nil {
		return err
	}
	switch {
	case o.explain != "" && len(rest) != 1:
		return errUsage{"--explain wants one text after WHO@TARGET, in quotes"}
	case o.explain == "" && len(rest) > 0:
		return errUsage{fmt.Sprintf("unexpected %q; to explain a statement: check --explain WHO@TARGET TEXT", rest[0])}
	case o.explain == "" && (o.groups != "" || o.granted != ""):
		return errUsage{"--groups and --granted belong to --explain"}
	case o.explain != "" && (o.matrix || o.json || o.csv):
		return errUsage{"--explain prints text, and goes with none of --matrix, --json and --csv"}
	case o.csv && (o.json || !o.matrix):
		return errUsage{"--csv belongs to --matrix, and --json is another form"}
	}
	f, err := load(o.config)
	if err != nil {
		return err
	}
	switch {
	case o.explain != "":
		for _, w := range f.warnings {
			fmt.Fprintln(out, w)
		}
		return explainTo(out, f, o, rest[0])
	case o.matrix:
		return matrixTo(out, f.policy.Matrix(), o)
	}
	return analyseTo(out, f, o)
}

// matrixTo prints who may do what where.
func matrixTo(out io.Writer, m policy.Matrix, o checkOptions) error {
	switch {
	case o.json:
		return printJSON(out, m)
	case o.csv:
		return m.WriteCSV(out)
	}
	return m.WriteText(out)
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// checked is what check finds, for programs.
type checked struct {
	Warnings []warning      `json:"warnings"`
	Alone    []policy.Alone `json:"alone"`
	// People: the analysis is about those who have signed in, not about groups.
	People  bool `json:"people"`
	Targets int  `json:"targets"`
}

type warning struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// analyseTo prints what somebody should look at in the whole policy. It is about the
// people who have signed in, if the state directory tells them, else about groups.
func analyseTo(out io.Writer, f *files, o checkOptions) error {
	people, err := signedIn(f.config.State)
	if err != nil {
		return err
	}
	a := f.policy.Analyse(people)
	found := append(slices.Clone(f.warnings), a.Problems...)
	found.Sort()
	if o.json {
		c := checked{Warnings: []warning{}, Alone: append([]policy.Alone{}, a.Alone...), People: len(people) > 0, Targets: len(f.config.Targets)}
		for _, w := range found {
			c.Warnings = append(c.Warnings, warning{w.Pos.File, w.Pos.Line, w.Pos.Column, w.Message})
		}
		return printJSON(out, c)
	}
	for _, w := range found {
		fmt.Fprintln(out, w)
	}
	if len(a.Alone) > 0 {
		fmt.Fprintln(out, "what one person can change with nobody else:")
	}
	for _, alone := range a.Alone {
		fmt.Fprintln(out, "  "+alone.String())
	}
	about := "groups and services"
	if len(people) > 0 {
		about = fmt.Sprintf("services and the %d people who have signed in", len(people))
	}
	fmt.Fprintf(out, "%s and %s: sound; %d targets, %d warnings; looked at %s\n", o.config, f.config.Policy, len(f.config.Targets), len(found), about)
	return nil
}

// signedIn reads who has signed in; nobody, if the state does not tell.
func signedIn(state string) ([]bastion.Identity, error) {
	data, err := os.ReadFile(filepath.Join(state, peopleFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var people []bastion.Identity
	if err := json.Unmarshal(data, &people); err != nil {
		return nil, fmt.Errorf("reading %s: %w", peopleFile, err)
	}
	return people, nil
}

// explainTo says what would happen if somebody ran a text. WHO is a role, a
// service, or anybody with the groups that the flag names.
func explainTo(out io.Writer, f *files, o checkOptions, text string) error {
	whoAt, groups := o.explain, o.groups
	name, targetName, ok := strings.Cut(whoAt, "@")
	if !ok {
		return errUsage{fmt.Sprintf("--explain wants WHO@TARGET, not %q", whoAt)}
	}
	t, ok := targets(f.config).Named(targetName)
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
	if o.granted != "" {
		if err := grant(f, &who, t, strings.Split(o.granted, ",")); err != nil {
			return err
		}
	}
	if err := f.policy.Conflict(who); err != nil {
		fmt.Fprintln(out, err)
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

// grant gives an identity access that policy lets it ask for.
func grant(f *files, who *bastion.Identity, t bastion.Target, bundles []string) error {
	terms := f.policy.Terms(*who, t)
	for _, b := range bundles {
		i := slices.IndexFunc(terms, func(x bastion.Terms) bool { return x.Bundle == b })
		if i < 0 {
			var names []string
			for _, x := range terms {
				names = append(names, x.Bundle)
			}
			return errors.New(policy.Unknown("access", b, names))
		}
		who.Grants = append(who.Grants, bastion.Grant{Target: t.Name, Bundle: b, Emergency: terms[i].Emergency})
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
