package pgserver

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	superuser    = "postgres"
	appRole      = "shop_app"
	shopTemplate = "shop_template" // copied by CREATE DATABASE; nobody can connect to it
)

// The sources that decide what a new cluster holds: when one changes, so does the key
// of the cache.
var (
	//go:embed cluster.go
	clusterSource string
	//go:embed shop.go
	shopSource string
	//go:embed names.go
	namesSource string
)

// create makes the data directory of a new cluster, from the cache where possible,
// and leaves s.super able to log in.
func (s *Server) create(ctx context.Context) error {
	if err := os.RemoveAll(s.data()); err != nil {
		return err
	}
	cache, err := openCache()
	if err != nil {
		// No cache directory that is ours alone: do without. A directory that others may
		// write to will not do, since what is in it would run as the superuser.
		return s.build(ctx)
	}
	sum := sha256.New()
	for _, part := range []string{s.version, runtime.GOARCH, clusterSource, shopSource, namesSource, shopSQL, shopFinishSQL} {
		fmt.Fprintf(sum, "%d %s", len(part), part)
	}
	entry := filepath.Join(cache, hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(entry); errors.Is(err, fs.ErrNotExist) {
		if err := s.fillCache(ctx, entry); err != nil {
			return err
		}
	}
	// Tells pruning that the entry is in use.
	now := time.Now()
	if err := os.Chtimes(entry, now, now); err != nil {
		return err
	}
	password, err := os.ReadFile(filepath.Join(entry, "password"))
	if err != nil {
		return err
	}
	s.super = Login{superuser, string(password)}
	if err := copyTree(s.data(), filepath.Join(entry, "data"), s.user); err != nil {
		return fmt.Errorf("copying a new cluster: %w", err)
	}
	return nil
}

// openCache returns the cache's directory, and removes what was not used for a month.
func openCache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "sallyport-pgserver")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !ownedByUs(info) || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("others may write to %q", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 30*24*time.Hour {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return "", err
			}
		}
	}
	return dir, nil
}

func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Geteuid()
}

// fillCache builds a cluster in a temporary directory and puts a copy at entry.
// Others who want the same entry at the same time wait for the first.
func (s *Server) fillCache(ctx context.Context, entry string) error {
	lock, err := waitLock(ctx, entry+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(entry); err == nil {
		return nil
	}
	b, err := prepare(ctx, Options{BinDir: s.bin, Log: s.o.Log})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.build(ctx); err != nil {
		return err
	}
	// Renamed when complete, so that nobody sees half of it.
	partial, err := os.MkdirTemp(filepath.Dir(entry), filepath.Base(entry)+".partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial) // gone already when all went well
	if err := copyTree(filepath.Join(partial, "data"), b.data(), runUser{}); err != nil {
		return fmt.Errorf("keeping a copy of the new cluster: %w", err)
	}
	if err := os.WriteFile(filepath.Join(partial, "password"), []byte(b.super.Password), 0o600); err != nil {
		return err
	}
	return os.Rename(partial, entry)
}

// build makes a new cluster with the shop's template in it, and stops it.
func (s *Server) build(ctx context.Context) error {
	if err := os.Mkdir(s.data(), 0o700); err != nil {
		return err
	}
	if err := s.user.own(s.data()); err != nil {
		return err
	}
	s.super = Login{superuser, cryptorand.Text()}
	passwordFile := filepath.Join(s.dir, "initdb-password")
	if err := replaceFile(passwordFile, []byte(s.super.Password), 0o600); err != nil {
		return err
	}
	defer os.Remove(passwordFile)
	if err := s.user.own(passwordFile); err != nil {
		return err
	}
	_, err := s.user.output(ctx, s.dir, s.program("initdb"),
		"--pgdata="+s.data(), "--username="+superuser, "--pwfile="+passwordFile, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "--no-sync")
	if err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return err
	}
	err = s.load(ctx)
	s.proc.stop(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL)
	if err == nil && s.proc.err != nil {
		err = fmt.Errorf("stopping the new cluster: %w", s.proc.err)
	}
	return err
}

// load creates the bastion's role and the template database with the shop.
func (s *Server) load(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, s.URL(s.super, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Each of these stands alone: CREATE DATABASE does not run inside a transaction.
	for _, sql := range []string{
		// No password yet, so nobody can log in.
		"CREATE ROLE " + appRole + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
		"CREATE DATABASE " + shopTemplate,
	} {
		if err := run(ctx, conn, sql); err != nil {
			return fmt.Errorf("preparing the shop: %w", err)
		}
	}
	shop, err := pgconn.Connect(ctx, s.URL(s.super, shopTemplate))
	if err != nil {
		return err
	}
	// Not the owner of the database, who could drop it, but allowed to create tables.
	err = run(ctx, shop, "GRANT CREATE ON SCHEMA public TO "+appRole)
	if err == nil {
		err = fillShop(ctx, shop)
	}
	if e := shop.Close(context.WithoutCancel(ctx)); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return run(ctx, conn, "ALTER DATABASE "+shopTemplate+" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
}

// copyTree copies a directory of files and directories to dst, which must not exist,
// and gives it to an account. The file system shares the blocks if it can.
func copyTree(dst, src string, u runUser) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		switch {
		case d.IsDir():
			err = os.Mkdir(to, 0o700)
		case d.Type().IsRegular():
			err = copyFile(to, path)
		default:
			err = fmt.Errorf("copying %q: not a file or directory", path)
		}
		if err != nil {
			return err
		}
		return u.own(to)
	})
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}

var versionNumber = regexp.MustCompile(`\d+`)

// major is 15 for "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", and 0 when
// there is no number.
func major(version string) int {
	_, after, _ := strings.Cut(version, ")")
	n, err := strconv.Atoi(versionNumber.FindString(after))
	if err != nil {
		return 0
	}
	return n
}
