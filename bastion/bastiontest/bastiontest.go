// Package bastiontest gives tests people and a clock that they move.
package bastiontest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// Issuer is where the identities of Person come from.
const Issuer = "https://id.example"

// Person is somebody with an address of their own.
func Person(name string, groups ...string) bastion.Identity {
	return bastion.Identity{Issuer: Issuer, Subject: name, Kind: bastion.Person, Name: name, Email: name + "@example.com", Groups: groups}
}

// Clock stands still until somebody moves it. It may be used at once by several.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewClock makes a clock that shows a time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is what it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass moves it, also backwards.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// People are those whom the provider knows, as they are now. They may be used at
// once by several.
type People struct {
	mu   sync.Mutex // guards byID
	byID map[string]bastion.Identity
}

// NewPeople makes a company of people.
func NewPeople(all ...bastion.Identity) *People {
	p := &People{byID: map[string]bastion.Identity{}}
	for _, i := range all {
		p.byID[i.ID()] = i
	}
	return p
}

// Known is somebody as they are now, and whether there is such a person.
func (p *People) Known(id string) (bastion.Identity, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.byID[id]
	return i, ok
}

// Everybody is all of them, in no order.
func (p *People) Everybody() []bastion.Identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.byID))
}

// Set makes somebody what they are from now on.
func (p *People) Set(i bastion.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byID[i.ID()] = i
}

// Forget makes somebody unknown.
func (p *People) Forget(i bastion.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byID, i.ID())
}
