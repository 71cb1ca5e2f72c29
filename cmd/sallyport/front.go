package main

import (
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion/sshd"
)

// newFront loads the host keys and makes the front door.
func (s *server) newFront() error {
	paths := s.config.HostKeys
	if len(paths) == 0 {
		paths = []string{filepath.Join(s.config.State, "host_key")}
	}
	for _, p := range paths {
		key, err := sshd.HostKey(p)
		if err != nil {
			return err
		}
		s.keys = append(s.keys, key)
	}
	l := s.config.Limits
	var err error
	s.front, err = sshd.New(sshd.Config{
		HostKeys: s.keys, Identities: s.keeper, Forward: s.forward,
		Start: s.start, Serve: s.visit, Log: s.log, Now: time.Now,
		Limits: sshd.Limits{Handshake: l.Handshake, Login: l.Login, Waiting: l.Waiting, WaitingEach: l.WaitingPerAddress,
			Channels: l.Sessions, Forwards: l.Forwards, Tries: l.Attempts, KeepAlive: l.Keepalive, Idle: l.Idle, Longest: l.Longest},
	})
	return err
}

// hostKey is the first host key's public half, as in authorized_keys. It is the
// bastion's own key, from a file: nothing that a client claims.
func (s *server) hostKey() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.keys[0].PublicKey())))
}
