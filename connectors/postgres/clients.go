package postgres

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
)

// clients knows the native clients that are connected now by the keys that they
// were given, so that one of their programs can cancel what another runs. The
// target's own key never leaves the bastion.
type clients struct {
	mu sync.Mutex // guards what follows
	by map[cancelKey]*client
}

// cancelKey is the contents of BackendKeyData: the number of the target's process, which
// is no secret, and 32 random bits.
type cancelKey [8]byte

// enter registers a client and returns its key. A client that has left is not entered.
func (k *clients) enter(c *client, pid uint32) cancelKey {
	var key cancelKey
	draw := func() {
		if _, err := rand.Read(key[4:]); err != nil {
			panic(err) // documented never to happen
		}
		binary.BigEndian.PutUint32(key[:], pid)
	}
	draw()
	if k == nil {
		return key // nobody shares it
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by = map[cancelKey]*client{}
	}
	for k.by[key] != nil { // targets count alike
		draw()
	}
	if !c.left {
		c.key, k.by[key] = key, c
	}
	return key
}

func (k *clients) leave(c *client) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c.left = true
	if k.by[c.key] == c {
		delete(k.by, c.key)
	}
}

// find returns the client with a key, if it is the same person's.
func (k *clients) find(body []byte, who string) *client {
	if k == nil || len(body) != 8 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.by[cancelKey(body)]
	if c == nil || c.n.Who().ID() != who {
		return nil
	}
	return c
}
