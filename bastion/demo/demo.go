// Package demo is a small company around a bastion: a shop's database, an OpenID
// provider with people in it, keys for each of them, and the two files that
// configure Sallyport for all that. Everything in it is real and throw-away.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion/demo/idp"
	"github.com/sallyport/sallyport/bastion/demo/pgserver"
	"github.com/sallyport/sallyport/testdata/policies"
	"github.com/sallyport/sallyport/testdata/tasks"
)

//go:embed config.yaml
var config string

// Bot is the demo's service account. Alice answers for it.
const Bot = "ci-bot"

// Options say where the demo lives.
type Options struct {
	// Dir keeps everything between runs. Empty: a temporary directory, removed by Close.
	Dir string
	// Listen is the bastion's address, Provider the one of the OpenID provider.
	Listen, Provider string
	// Lasts is how long a key stays bound; empty means 12h.
	Lasts string
	// Recheck is how old what the provider said of somebody may be; empty means 5s.
	Recheck string
	// Log takes what the database logs; nil drops it.
	Log io.Writer
	// Settings are added to the database's.
	Settings map[string]string
	// More is added to the end of the bastion's configuration.
	More string
	// IDP changes how the provider behaves; its address and folder are set by Start.
	IDP idp.Options
}

// World is a running demo, without the bastion itself.
type World struct {
	Dir      string
	Config   string // path of the bastion's configuration
	Database *pgserver.Server
	Provider *idp.Provider

	temporary bool
}

// Start starts the database and the provider, and writes keys and configuration.
func Start(ctx context.Context, o Options) (w *World, err error) {
	w = &World{Dir: o.Dir}
	if w.Dir == "" {
		if w.Dir, err = os.MkdirTemp("", "sallyport-demo-"); err != nil {
			return nil, fmt.Errorf("starting the demo: %w", err)
		}
		w.temporary = true
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting the demo: %w", err), w.Close())
		}
	}()
	if w.Dir, err = filepath.Abs(w.Dir); err != nil {
		return w, err
	}
	if err := os.MkdirAll(filepath.Join(w.Dir, "keys"), 0o755); err != nil {
		return w, err
	}
	// PostgreSQL may run as a user of its own, who must be able to pass through.
	if err := os.Chmod(w.Dir, 0o711); err != nil {
		return w, err
	}
	w.Database, err = pgserver.Start(ctx, pgserver.Options{Dir: filepath.Join(w.Dir, "postgres"), Log: o.Log, Settings: o.Settings,
		Databases: []string{pgserver.Staging, pgserver.Production}})
	if err != nil {
		return w, err
	}
	o.IDP.Addr, o.IDP.Dir = o.Provider, filepath.Join(w.Dir, "provider")
	if w.Provider, err = idp.Start(ctx, o.IDP); err != nil {
		return w, err
	}
	return w, w.write(o)
}

// write makes what is not there yet: an edited policy or a key is kept. The
// configuration is written anew each time, because ports change.
func (w *World) write(o Options) error {
	var bot string
	for _, name := range append(w.Names(), Bot) {
		public, err := w.key(name)
		if err != nil {
			return err
		}
		if name == Bot {
			bot = public
		}
	}
	if _, err := os.Stat(w.path("policy.yaml")); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(w.path("policy.yaml"), policies.Demo, 0o600); err != nil {
			return err
		}
	}
	if err := w.runbooks(); err != nil {
		return err
	}
	if o.Lasts == "" {
		o.Lasts = "12h"
	}
	t, err := template.New("config").Option("missingkey=error").Parse(config)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]string{
		"Listen": o.Listen, "State": w.path("state"), "Issuer": w.Provider.Issuer(), "Client": idp.ClientID, "Scopes": strings.Join(idp.Scopes(), ", "), "Recheck": cmp.Or(o.Recheck, "5s"),
		"Lasts": o.Lasts, "Bot": Bot, "BotKey": bot, "Address": w.Database.Addr(), "CA": w.Database.CACert(), "User": w.Database.App().User,
		"Password": w.path("password"), "Staging": pgserver.Staging, "Production": pgserver.Production, "Policy": w.path("policy.yaml"), "Runbooks": w.path("runbooks"),
	})
	if err != nil {
		return err
	}
	b.WriteString(o.More)
	if err := os.WriteFile(w.path("password"), []byte(w.Database.App().Password+"\n"), 0o600); err != nil {
		return err
	}
	w.Config = w.path("config.yaml")
	return os.WriteFile(w.Config, b.Bytes(), 0o600)
}

// runbooks writes the example tasks, where they are not yet.
func (w *World) runbooks() error {
	if err := os.MkdirAll(w.path("runbooks"), 0o755); err != nil {
		return err
	}
	files, err := tasks.Files.ReadDir(".")
	if err != nil {
		return err
	}
	for _, f := range files {
		path := w.path(filepath.Join("runbooks", f.Name()))
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		data, err := tasks.Files.ReadFile(f.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) path(name string) string { return filepath.Join(w.Dir, name) }

// Names are the demo's people, as they sign in.
func (w *World) Names() []string {
	var names []string
	for _, p := range idp.DemoPeople() {
		names = append(names, p.User)
	}
	return names
}

// key makes a key for somebody if there is none, and returns the public half.
func (w *World) key(name string) (string, error) {
	path := w.path(filepath.Join("keys", name))
	if b, err := os.ReadFile(path + ".pub"); err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, name+"@demo")
	if err != nil {
		return "", err
	}
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p))) + " " + name + "@demo"
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", err
	}
	return line, os.WriteFile(path+".pub", []byte(line+"\n"), 0o644)
}

// SSH writes the client's configuration, so that `ssh -F FILE alice` reaches the
// bastion at that address with alice's key, and returns its path. hostKey is the
// bastion's, as in authorized_keys.
func (w *World) SSH(addr, hostKey string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	known := fmt.Sprintf("[%s]:%s %s\n", host, port, strings.TrimSpace(hostKey))
	if err := os.WriteFile(w.path("known_hosts"), []byte(known), 0o644); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range append(w.Names(), Bot) {
		fmt.Fprintf(&b, "Host %s\n\tUser %s\n\tIdentityFile %s\n", name, name, w.path(filepath.Join("keys", name)))
	}
	fmt.Fprintf(&b, "Host *\n\tHostName %s\n\tPort %s\n\tIdentitiesOnly yes\n\tIdentityAgent none\n\tUserKnownHostsFile %s\n\tStrictHostKeyChecking yes\n", host, port, w.path("known_hosts"))
	path := w.path("ssh_config")
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}

// Close stops what Start started, and removes a temporary directory.
func (w *World) Close() error {
	var errs []error
	if w.Provider != nil {
		errs = append(errs, w.Provider.Close())
	}
	if w.Database != nil {
		errs = append(errs, w.Database.Close())
	}
	if w.temporary {
		errs = append(errs, os.RemoveAll(w.Dir))
	}
	return errors.Join(errs...)
}
