package sshd_test

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// raw is an SSH client that sends what a test wants, in any order: the clients
// of libraries are too well behaved. It speaks one set of algorithms (RFC 4253,
// RFC 8731, RFC 5647) and does not check the server's key.
type raw struct {
	t       *testing.T
	conn    net.Conn
	r       *bufio.Reader
	session []byte // session identifier

	out, in     cipher.AEAD
	outIV, inIV []byte
}

// Message numbers (RFC 4250, section 4.1).
const (
	msgDisconnect     = 1
	msgServiceRequest = 5
	msgServiceAccept  = 6
	msgExtInfo        = 7
	msgKexInit        = 20
	msgNewKeys        = 21
	msgKexInitECDH    = 30
	msgKexReplyECDH   = 31
	msgAuthRequest    = 50
	msgAuthFailure    = 51
	msgAuthSuccess    = 52
	msgAuthBanner     = 53
	msgAuthOK         = 60 // also the request for information
	msgAuthInfo       = 61
)

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// dialRaw connects, exchanges keys and asks for authentication.
func dialRaw(t *testing.T, address string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil { // so that a wrong server cannot hang the tests
		t.Fatal(err)
	}
	c := &raw{t: t, conn: conn, r: bufio.NewReader(conn)}
	const version = "SSH-2.0-raw"
	if _, err := fmt.Fprint(conn, version+"\r\n"); err != nil {
		t.Fatal(err)
	}
	server, err := c.r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var init bytes.Buffer
	init.WriteByte(msgKexInit)
	init.Write(make([]byte, 16))
	for _, names := range []string{"curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com", "aes128-gcm@openssh.com",
		"hmac-sha2-256-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "none", "none", "", ""} {
		init.Write(text(names))
	}
	init.Write(make([]byte, 5))
	c.must(c.send(init.Bytes()))
	theirs := c.next(msgKexInit)

	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mine := string(private.PublicKey().Bytes())
	c.must(c.send(append([]byte{msgKexInitECDH}, text(mine)...)))
	var reply struct {
		HostKey   []byte `sshtype:"31"`
		Public    []byte
		Signature []byte
	}
	c.must(ssh.Unmarshal(c.next(msgKexReplyECDH), &reply))
	public, err := ecdh.X25519().NewPublicKey(reply.Public)
	c.must(err)
	secret, err := private.ECDH(public)
	c.must(err)
	k := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(secret)})
	h := sha256.New()
	for _, s := range []string{version, strings.TrimRight(server, "\r\n"), init.String(), string(theirs), string(reply.HostKey), mine, string(reply.Public)} {
		h.Write(text(s))
	}
	h.Write(k)
	c.session = h.Sum(nil)
	c.must(c.send([]byte{msgNewKeys}))
	c.next(msgNewKeys)
	derive := func(letter byte) []byte {
		h := sha256.New()
		h.Write(k)
		h.Write(c.session)
		h.Write([]byte{letter})
		h.Write(c.session)
		return h.Sum(nil)
	}
	aead := func(key []byte) cipher.AEAD {
		b, err := aes.NewCipher(key[:16])
		c.must(err)
		a, err := cipher.NewGCM(b)
		c.must(err)
		return a
	}
	c.outIV, c.inIV = derive('A')[:12], derive('B')[:12]
	c.out, c.in = aead(derive('C')), aead(derive('D'))
	c.must(c.send(append([]byte{msgServiceRequest}, text("ssh-userauth")...)))
	c.next(msgServiceAccept)
	return c
}

func (c *raw) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// send sends one packet.
func (c *raw) send(payload []byte) error {
	block, head := 8, 5
	if c.out != nil {
		block, head = 16, 1 // the length is not encrypted
	}
	pad := block - (len(payload)+head)%block
	if pad < 4 {
		pad += block
	}
	length := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+pad))
	body := append(append([]byte{byte(pad)}, payload...), make([]byte, pad)...)
	if c.out != nil {
		body = c.out.Seal(nil, c.outIV, body, length)
		count(c.outIV)
	}
	_, err := c.conn.Write(append(length, body...))
	return err
}

func count(iv []byte) {
	binary.BigEndian.PutUint64(iv[4:], binary.BigEndian.Uint64(iv[4:])+1)
}

// read reads one packet.
func (c *raw) read() ([]byte, error) {
	length := make([]byte, 4)
	if _, err := io.ReadFull(c.r, length); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if n > 1<<20 {
		return nil, errors.New("a packet of absurd length")
	}
	tag := 0
	if c.in != nil {
		tag = 16
	}
	body := make([]byte, int(n)+tag)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return nil, err
	}
	if c.in != nil {
		var err error
		if body, err = c.in.Open(nil, c.inIV, body, length); err != nil {
			return nil, err
		}
		count(c.inIV)
	}
	return body[1 : len(body)-int(body[0])], nil
}

// next reads up to a packet of the kind, past what may come at any time.
func (c *raw) next(kind byte) []byte {
	c.t.Helper()
	for {
		p, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for message %d: %v", kind, err)
		}
		switch p[0] {
		case kind:
			return p
		case msgExtInfo, msgAuthBanner, 2, 4:
		default:
			c.t.Fatalf("waiting for message %d, got %d: %q", kind, p[0], p)
		}
	}
}

// closed reads until the server has hung up, and returns what it said before.
func (c *raw) closed() (said string) {
	c.t.Helper()
	for {
		p, err := c.read()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				c.t.Fatal("the server did not hang up")
			}
			return said
		}
		said += string(p)
		if p[0] == msgAuthSuccess {
			c.t.Fatal("the server let us in")
		}
	}
}

func request(user, method string, rest ...[]byte) []byte {
	p := append([]byte{msgAuthRequest}, text(user)...)
	p = append(p, text("ssh-connection")...)
	p = append(p, text(method)...)
	return append(p, bytes.Join(rest, nil)...)
}

// offer asks whether a key would do.
func offer(user string, key ssh.PublicKey) []byte {
	return request(user, "publickey", []byte{0}, text(key.Type()), text(string(key.Marshal())))
}

// signed proves a key.
func (c *raw) signed(user string, key ssh.Signer) []byte {
	p := request(user, "publickey", []byte{1}, text(key.PublicKey().Type()), text(string(key.PublicKey().Marshal())))
	s, err := key.Sign(rand.Reader, append(text(string(c.session)), p...))
	c.must(err)
	return append(p, text(string(ssh.Marshal(s)))...)
}
