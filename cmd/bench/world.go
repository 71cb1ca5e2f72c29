package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sallyport/sallyport/bastion/demo"
	"github.com/sallyport/sallyport/bastion/demo/pgserver"
)

// A way is one road from a client to the database.
type way struct {
	name string
	url  string // for pgx and libpq, with the password in it
	// inspected is the same road to a target whose values detectors look at. Empty
	// where the road has none.
	inspected string
	// between are the processes that serve the road, the ssh client, which is the
	// same for all of them, left out.
	between func() ([]int, error)
}

// world is one database with several ways to it. Unlike the demo command it keeps
// the database and the provider in this process, so that the bastion's is the
// bastion alone: what it takes in memory and time is its own.
type world struct {
	company *demo.World
	bastion *bastion
	sshd    *sshd
	ways    []way
	stops   []func()
}

// worldOptions change what a world is made of.
type worldOptions struct {
	binary   string
	ways     []string            // names, in the order in which they are measured
	plain    bool                // no TLS to the database
	settings map[string]string   // of PostgreSQL
	policy   func(string) string // rewrites the demo's policy
	config   func(string) string // rewrites the demo's configuration
	super    bool                // the target's credential is the superuser's, not the shop's role's
	database string              // what the staging target and the direct way connect to; empty: the shop
}

const (
	direct     = "direct"
	throughSSH = "ssh -L"
	bouncer    = "pgbouncer"
	library    = "library"
	sallyport  = "sallyport"
	target     = "shop-staging"
	// inspectedTarget may be added by a change of the configuration.
	inspectedTarget = "shop-inspected"
)

// startWorld starts everything. What it started is stopped by stop, also after an error.
func startWorld(ctx context.Context, dir string, o worldOptions) (_ *world, err error) {
	w := &world{}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	w.company, err = demo.Start(ctx, demo.Options{Dir: filepath.Join(dir, "company"), Listen: addr, Provider: "127.0.0.1:0", Settings: o.settings})
	if err != nil {
		return nil, err
	}
	w.stops = append(w.stops, func() {
		if err := w.company.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	})
	if o.plain {
		if err := w.allowPlain(ctx); err != nil {
			return nil, err
		}
	}
	w.sshd, err = startSSHD(dir, w.key(demo.Bot))
	if err != nil {
		return nil, err
	}
	w.stops = append(w.stops, w.sshd.stop)
	login := w.company.Database.App()
	if o.super {
		login = w.company.Database.Superuser()
	}
	if o.database == "" {
		o.database = pgserver.Staging
	} else if _, err := w.company.Database.Query(ctx, "postgres", "create database "+o.database); err != nil {
		return nil, err
	}
	for _, name := range o.ways {
		var v way
		switch name {
		case direct:
			v, err = w.direct(login, o)
		case throughSSH:
			v, err = w.throughSSH(login, o)
		case bouncer:
			v, err = w.bouncer(login, o.plain, dir)
		case library:
			v, err = w.library(login, o)
		case sallyport:
			v, err = w.sallyport(login, o, addr)
		default:
			err = fmt.Errorf("no such way: choose of %s, %s, %s, %s, %s", direct, throughSSH, bouncer, library, sallyport)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		v.name = name
		w.ways = append(w.ways, v)
	}
	return w, nil
}

func (w *world) stop() {
	for i := len(w.stops) - 1; i >= 0; i-- {
		w.stops[i]()
	}
	w.stops = nil
}

func (w *world) key(name string) string { return filepath.Join(w.company.Dir, "keys", name) }

// allowPlain lets clients in without TLS, which the throw-away server does not by itself.
func (w *world) allowPlain(ctx context.Context) error {
	hba := filepath.Join(w.company.Database.Dir(), "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("host all all 127.0.0.1/32 scram-sha-256\n"), 0o644); err != nil {
		return err
	}
	_, err := w.company.Database.Query(ctx, pgserver.Staging, "select pg_reload_conf()")
	return err
}

// direct is no road at all.
func (w *world) direct(l pgserver.Login, o worldOptions) (way, error) {
	u, err := url.Parse(w.company.Database.URL(l, o.database))
	if err != nil {
		return way{}, err
	}
	if o.plain {
		u.RawQuery = "sslmode=disable"
	}
	return way{url: u.String(), between: func() ([]int, error) { return nil, nil }}, nil
}

func (w *world) throughSSH(l pgserver.Login, o worldOptions) (way, error) {
	v, err := w.direct(l, o)
	if err != nil {
		return way{}, err
	}
	v.url, err = w.tunnelled(w.sshd.addr, v.url, w.company.Database.Addr())
	v.between = func() ([]int, error) { return descendants(w.sshd.cmd.Process.Pid) }
	return v, err
}

// library is the SSH library that the bastion stands on, in a process of its own that
// copies what comes and does nothing else: what it takes less than the bastion is what
// reading, deciding, masking and recording cost.
func (w *world) library(l pgserver.Login, o worldOptions) (way, error) {
	v, err := w.direct(l, o)
	if err != nil {
		return way{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return way{}, err
	}
	addr, err := freeAddr()
	if err != nil {
		return way{}, err
	}
	cmd := exec.Command(self, "-copy-at", addr, "-copy-key", w.sshd.keyFile)
	if err := startListening(cmd, addr); err != nil {
		return way{}, err
	}
	w.stops = append(w.stops, func() { cmd.Process.Kill(); cmd.Wait() })
	v.url, err = w.tunnelled(addr, v.url, w.company.Database.Addr())
	v.between = func() ([]int, error) { return []int{cmd.Process.Pid}, nil }
	return v, err
}

// tunnelled forwards a port through an SSH server and returns the address with that
// port in it.
func (w *world) tunnelled(server, address, to string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	t, err := forward(server, w.sshd.user, w.sshd.keyFile, to)
	if err != nil {
		return "", err
	}
	w.stops = append(w.stops, t.stop)
	u.Host = t.addr
	return u.String(), nil
}

// bouncer is pgbouncer in session mode behind sshd. It logs in to the database with
// the target's login and asks its own clients for nothing, as Sallyport does.
func (w *world) bouncer(l pgserver.Login, plain bool, dir string) (way, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(program); err != nil {
		return way{}, errors.New("pgbouncer is not installed; on Debian and Ubuntu: sudo apt-get install pgbouncer")
	}
	addr, err := freeAddr()
	if err != nil {
		return way{}, err
	}
	dbHost, dbPort, err := net.SplitHostPort(w.company.Database.Addr())
	if err != nil {
		return way{}, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return way{}, err
	}
	home := filepath.Join(dir, "pgbouncer")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return way{}, err
	}
	tls := fmt.Sprintf("server_tls_sslmode = verify-full\nserver_tls_ca_file = %s\n", w.company.Database.CACert())
	if plain {
		tls = "server_tls_sslmode = disable\n"
	}
	config := fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]s dbname=%[1]s user=%[4]s password=%[5]s
[pgbouncer]
listen_addr = %[6]s
listen_port = %[7]s
unix_socket_dir =
auth_type = any
pool_mode = session
max_client_conn = 1000
default_pool_size = 300
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
logfile = /dev/null
%[8]s`, pgserver.Staging, dbHost, dbPort, l.User, l.Password, host, port, tls)
	path := filepath.Join(home, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return way{}, err
	}
	cmd := exec.Command(program, "-q", path)
	if os.Getuid() == 0 { // as root it refuses to run
		if cmd.SysProcAttr, err = asNobody(); err != nil {
			return way{}, err
		}
	}
	if err := startListening(cmd, addr); err != nil {
		return way{}, err
	}
	w.stops = append(w.stops, func() { cmd.Process.Kill(); cmd.Wait() })
	u := url.URL{Scheme: "postgres", User: url.UserPassword(l.User, "any"), Path: "/" + pgserver.Staging, RawQuery: "sslmode=disable"}
	tunnel, err := w.tunnelled(w.sshd.addr, u.String(), addr)
	return way{url: tunnel, between: func() ([]int, error) {
		all, err := descendants(w.sshd.cmd.Process.Pid)
		return append(all, cmd.Process.Pid), err
	}}, err
}

func asNobody() (*syscall.SysProcAttr, error) {
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, err
}

// sallyport is the bastion with the demo's policy, labels and recordings.
func (w *world) sallyport(l pgserver.Login, o worldOptions, addr string) (way, error) {
	password := filepath.Join(w.company.Dir, "target-password")
	if err := os.WriteFile(password, []byte(l.Password+"\n"), 0o600); err != nil {
		return way{}, err
	}
	app := w.company.Database.App().User
	for path, edit := range map[string]func(string) string{
		filepath.Join(w.company.Dir, "policy.yaml"): o.policy,
		w.company.Config: func(s string) string {
			s = strings.ReplaceAll(s, "user: "+app+", password: { file: "+filepath.Join(w.company.Dir, "password"), "user: "+l.User+", password: { file: "+password)
			s = strings.ReplaceAll(s, "database: "+pgserver.Staging+",", "database: "+o.database+",")
			if o.plain {
				s = strings.ReplaceAll(s, "sslmode: verify-full", "sslmode: disable")
			}
			if o.config != nil {
				s = o.config(s)
			}
			return s + "\nlimits: { sessions: 1000 }\n" // each forwarded connection is one
		},
	} {
		if edit == nil {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return way{}, err
		}
		if err := os.WriteFile(path, []byte(edit(string(b))), 0o600); err != nil {
			return way{}, err
		}
	}
	cmd := exec.Command(o.binary, "serve", "--config", w.company.Config)
	if err := startListening(cmd, addr); err != nil {
		return way{}, err
	}
	w.bastion = &bastion{cmd: cmd, addr: addr, keyFile: w.key(demo.Bot)}
	w.stops = append(w.stops, w.bastion.stop)
	if err := w.bastion.signIn(); err != nil {
		return way{}, err
	}
	v := way{between: func() ([]int, error) { return []int{cmd.Process.Pid}, nil }}
	person := demo.Bot
	if o.super {
		person = l.User // the target's own user may be asked for as well
	}
	for name, to := range map[string]*string{target: &v.url, inspectedTarget: &v.inspected} {
		if name == inspectedTarget && o.config == nil {
			continue
		}
		t, err := forward(addr, "bench", w.bastion.keyFile, name+":5432")
		if err != nil {
			return way{}, err
		}
		w.stops = append(w.stops, t.stop)
		u := url.URL{Scheme: "postgres", User: url.UserPassword(person, "any"), Host: t.addr, Path: "/" + o.database, RawQuery: "sslmode=disable"}
		*to = u.String()
	}
	return v, nil
}

// exec runs SQL as the shop's role, behind everybody's back.
func (w *world) exec(ctx context.Context, sql string) error {
	c, err := pgconn.Connect(ctx, w.company.Database.URL(w.company.Database.App(), pgserver.Staging))
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, sql).ReadAll()
	return errors.Join(err, c.Close(ctx))
}

// freeAddr is an address on this machine where nobody listens, below the ports that
// the kernel gives to outgoing connections.
func freeAddr() (string, error) {
	var last error
	for range 50 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("looking for a free port: %w", last)
}

// startListening starts a program and returns when something answers at the address.
// When it ends before, the error holds what it said.
func startListening(cmd *exec.Cmd, addr string) error {
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	return fmt.Errorf("%s does not listen: %s", filepath.Base(cmd.Path), said.String())
}

// tunnel is an ssh client that forwards one port.
type tunnel struct {
	cmd  *exec.Cmd
	addr string // of the forwarded port, on this machine
}

// forward starts `ssh -N -L`. The client and its cipher are the same whoever serves it.
func forward(addr, user, keyFile, to string) (*tunnel, error) {
	local, err := freeAddr()
	if err != nil {
		return nil, err
	}
	cmd := sshClient(addr, user, keyFile, []string{"-N", "-o", "ExitOnForwardFailure=yes", "-L", local + ":" + to})
	return &tunnel{cmd, local}, startListening(cmd, local)
}

// sshClient is OpenSSH's client with nothing of the user's own configuration.
func sshClient(addr, user, keyFile string, options []string, command ...string) *exec.Cmd {
	host, port, _ := net.SplitHostPort(addr)
	args := append([]string{"-F", "none", "-p", port, "-i", keyFile, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-c", "aes128-gcm@openssh.com"}, options...)
	return exec.Command("ssh", append(append(args, user+"@"+host), command...)...)
}

func (t *tunnel) stop() {
	t.cmd.Process.Kill()
	t.cmd.Wait()
}
