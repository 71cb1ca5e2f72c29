package postgres

import (
	"crypto/rand"
	"sync"
)

// clients knows the native clients that are connected now by the keys that they
// were given, so that one of their programs can cancel what another runs. The
// target's own key never leaves the bastion.
type clients struct {
	mu sync.Mutex // guards what follows
	by map[cancelKey]*client
}

// cancelKey is the contents of BackendKeyData: 64 random bits.
type cancelKey [8]byte

// enter registers a client and returns its key.
func (k *clients) enter(c *client) cancelKey {
	var key cancelKey
	if _, err := rand.Read(key[:]); err != nil {
		panic(err) // documented never to happen
	}
	key[0] &= 0x7f // clients take the first half for a process number, which is positive
	if k == nil {
		return key // nobody shares it
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by = map[cancelKey]*client{}
	}
	k.by[key] = c
	return key
}

func (k *clients) leave(key cancelKey) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.by, key)
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
