// Package vault fetches the credentials of targets by reference: from the
// environment, a file or a command. It keeps none of them, and says in errors
// which kind of source failed and never what came out of it.
package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
)

// Limits of a source.
const (
	// Most is the greatest length of a secret, in bytes.
	Most = 64 << 10
	// Patience is how long a command may take.
	Patience = 10 * time.Second
)

// Source says where a secret is; it does not hold it. Exactly one field is set.
// The zero Source is nowhere. It prints as its kind alone, because an argument of
// a command may be a secret too.
type Source struct {
	Env     string   // name of an environment variable
	File    string   // path of a file that only its owner and root can change or read
	Command []string // program and arguments, run without a shell; its output is the secret
}

// IsZero reports whether the source is nowhere.
func (s Source) IsZero() bool { return s.Env == "" && s.File == "" && len(s.Command) == 0 }

// String is the kind of the source.
func (s Source) String() string {
	switch {
	case s.Env != "":
		return "environment variable"
	case s.File != "":
		return "file"
	case len(s.Command) > 0:
		return "command"
	}
	return "no source"
}

// GoString is the kind of the source, for %#v.
func (s Source) GoString() string { return s.String() }

// MarshalText is the kind of the source, for JSON and YAML.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Credential says how the bastion signs in at a target.
type Credential struct {
	User string
	// Password may be nowhere, for a target that asks for none.
	Password Source
}

// Vault fetches credentials. It implements [bastion.Secrets]. The zero Vault has
// none.
type Vault struct {
	// find is a function and not a map, because printing a map in an unexported
	// field shows what its values hide.
	find func(target string) (Credential, bool)
}

// New makes a vault of the credentials of targets, by name. It fetches nothing.
func New(credentials map[string]Credential) *Vault {
	kept := make(map[string]Credential, len(credentials))
	for name, c := range credentials {
		c.Password.Command = slices.Clone(c.Password.Command)
		kept[name] = c
	}
	return &Vault{find: func(target string) (Credential, bool) { c, ok := kept[target]; return c, ok }}
}

// Secret fetches the credential of a target, anew each time, so that a changed
// password is used at the next connection.
func (v *Vault) Secret(ctx context.Context, t bastion.Target) (bastion.Secret, error) {
	if v == nil || v.find == nil {
		return bastion.Secret{}, errors.New("internal error: no vault")
	}
	c, ok := v.find(t.Name)
	if !ok {
		return bastion.Secret{}, fmt.Errorf("target %s has no credential in the configuration", t.Name)
	}
	if c.Password.IsZero() {
		return bastion.NewSecret(c.User, ""), nil
	}
	password, err := c.Password.Read(ctx)
	if err != nil {
		return bastion.Secret{}, fmt.Errorf("fetching the password of target %s: %w", t.Name, err)
	}
	return bastion.NewSecret(c.User, password), nil
}

// Read fetches the secret, without one line end at its end. An error says which
// kind of source failed and why, without anything that was read.
func (s Source) Read(ctx context.Context) (string, error) {
	var b []byte
	var err error
	switch {
	case s.IsZero():
		return "", errors.New("no source is configured")
	case s.Env != "":
		v, ok := os.LookupEnv(s.Env)
		if !ok {
			err = errors.New("it is not set")
		}
		b = []byte(v)
	case s.File != "":
		b, err = readFile(s.File)
	default:
		b, err = run(ctx, s.Command)
	}
	if err == nil {
		b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
		err = fit(b)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	return string(b), nil
}

// fit refuses what cannot be a password: an empty one would make a target that
// trusts everybody look protected.
func fit(b []byte) error {
	switch {
	case len(b) == 0:
		return errors.New("the secret is empty")
	case len(b) > Most:
		return fmt.Errorf("the secret has more than %d bytes", Most)
	case !utf8.Valid(b):
		return errors.New("the secret is not valid UTF-8")
	case bytes.IndexByte(b, 0) >= 0:
		return errors.New("the secret has a zero byte")
	}
	return nil
}

// readFile reads a file that others cannot read or replace. The checks are of the
// file that was opened, not of its name.
func readFile(path string) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, reason(err)
	}
	b, err := io.ReadAll(io.LimitReader(f, Most+2))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return b, reason(err)
}

func open(path string) (*os.File, error) {
	before, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() { // opening a pipe would wait for a writer
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err == nil {
		err = private(info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// private refuses a file that more people can read than should: only the owner,
// or, for a file of root's, its group too.
func private(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	if mode&0o077 == 0 {
		return nil
	}
	if mode&0o037 == 0 && ownedByRoot(info) {
		return nil
	}
	return fmt.Errorf("its mode is %04o, so others can read or change it; use chmod 0600", mode)
}

// reason is an error without the path that it happened to: whoever reads the
// error may not be the one who may know it.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// run runs a command and returns its output. What it writes as errors may hold
// secrets, and is thrown away.
func run(ctx context.Context, argv []string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, fmt.Errorf("it took more than %s", Patience))
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out := &bounded{most: Most + 2, full: cancel}
	cmd.Stdout = out
	cmd.WaitDelay = time.Second // a grandchild may hold the output open
	contain(cmd)
	err := cmd.Run()
	if err != nil && cmd.Process != nil {
		_ = cmd.Cancel() // what it started, and left behind
	}
	switch {
	case out.over:
		return nil, fmt.Errorf("it wrote more than %d bytes", Most)
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil, fmt.Errorf("it ended, but something that it started kept its output open for more than %s; have it wait for that, or send that output elsewhere", cmd.WaitDelay)
	case err != nil:
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil, fmt.Errorf("it failed (%s)", strings.TrimSpace(exit.ProcessState.String()))
		}
		return nil, errors.New("it could not be run")
	}
	return out.b.Bytes(), nil
}

// bounded keeps what is written until it is too much.
type bounded struct {
	b    bytes.Buffer
	most int
	over bool
	full func()
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > w.most {
		w.over = true
		w.full()
		return 0, io.ErrShortWrite
	}
	return w.b.Write(p)
}
