package sshd_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/sshd"
)

// serveBench does what the name says: what a server behind the forwarding does
// with a connection.
func serveBench(name string, c io.ReadWriter) error {
	switch name {
	case "up": // takes everything, says so with a byte
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Read(block); err == io.EOF {
				_, err = c.Write([]byte{0})
				return err
			} else if err != nil {
				return err
			}
		}
	case "down": // sends blocks for ever, as large as a result's
		block := make([]byte, 32<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return err
			}
		}
	}
	_, err := io.Copy(c, c)
	return err
}

// openSSHServer runs OpenSSH's sshd for the key, and returns its port.
func openSSHServer(b *testing.B, key string) (port string) {
	b.Helper()
	dir := b.TempDir()
	host := filepath.Join(dir, "host")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	port = freePort(b)
	config := filepath.Join(dir, "config")
	if err := errors.Join(os.MkdirAll("/run/sshd", 0o755), os.WriteFile(config, fmt.Appendf(nil, "ListenAddress 127.0.0.1:%s\nHostKey %s\nAuthorizedKeysFile %s.pub\nStrictModes no\nPermitRootLogin yes\nPidFile none\n", port, host, key), 0o600)); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	until(b, "OpenSSH's sshd", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return port
}

// BenchmarkForward carries bytes through `ssh -L`, by this package and by
// OpenSSH's sshd: 1 MiB up or down per operation, or a small message there and
// back.
func BenchmarkForward(b *testing.B) {
	me, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	for _, cipher := range []string{"chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes128-ctr"} {
		d := newDoor(b, forwards)
		path, key := keyFile(b)
		d.people.know(key, "alice")
		theirs := openSSHServer(b, path)
		for _, kind := range []string{"up", "down", "echo"} {
			d.serves(func(s *bastion.Session, v sshd.Visitor) int {
				if serveBench(kind, v.Channel) != nil {
					return 1
				}
				return 0
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { l.Close() })
			go func() { // ends with the listener
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { serveBench(kind, struct{ io.ReadWriter }{c}); c.Close() }()
				}
			}()
			ours, sshds := freePort(b), freePort(b)
			d.tunnel(b, path, "tcp", "127.0.0.1:"+ours, "-c", cipher, "-L", ours+":shop:5432")
			cmd := d.openSSH(b, path, "-N", "-c", cipher, "-p", theirs, "-L", sshds+":"+l.Addr().String(), me.Username+"@127.0.0.1")
			for i := range cmd.Args { // the first -p counts
				if cmd.Args[i] == d.port {
					cmd.Args[i] = theirs
				}
			}
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			until(b, "OpenSSH's tunnel", func() bool {
				c, err := net.Dial("tcp", "127.0.0.1:"+sshds)
				if err == nil {
					c.Close()
				}
				return err == nil
			})
			for _, who := range []struct{ name, port string }{{"sallyport", ours}, {"openssh", sshds}} {
				b.Run(cipher+"/"+kind+"/"+who.name, func(b *testing.B) { measureForward(b, kind, who.port) })
			}
		}
	}
}

func measureForward(b *testing.B, kind, port string) {
	c := dialLocal(b, "tcp", "127.0.0.1:"+port)
	defer c.Close()
	block := make([]byte, 1<<20)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	round := func() {
		_, err := c.Write(block)
		must(err)
	}
	switch kind {
	case "up":
		b.SetBytes(int64(len(block)))
	case "down":
		b.SetBytes(int64(len(block)))
		round = func() {
			_, err := io.ReadFull(c, block)
			must(err)
		}
	default:
		block = block[:64]
		there := round
		round = func() {
			there()
			_, err := io.ReadFull(c, block)
			must(err)
		}
	}
	round() // the way is open
	for b.Loop() {
		round()
	}
	if kind == "up" {
		must(c.(*net.TCPConn).CloseWrite())
		_, err := io.ReadFull(c, block[:1])
		must(err)
	}
}
