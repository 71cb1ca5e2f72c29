package connectortest

import (
	"context"
	"fmt"
	"sync"

	"github.com/sallyport/sallyport/bastion"
)

// Approvals keeps requests in memory, for tests that decide about them. The zero
// Approvals is ready for use.
type Approvals struct {
	refusing // whatever tests have no use for

	mu      sync.Mutex // guards what follows
	by      []*request // the request n is at n-1
	filed   chan uint64
	used    []string // texts of what was used
	changed chan struct{}
}

type request struct {
	bastion.Request
	op bastion.Operation
}

// Filed receives the number of each request that is made.
func (a *Approvals) Filed() <-chan uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.channel()
}

// channel returns the channel of Filed. The caller holds mu.
func (a *Approvals) channel() chan uint64 {
	if a.filed == nil {
		a.filed = make(chan uint64, 100)
	}
	return a.filed
}

// Set ends a request in a state, such as Approved or Denied.
func (a *Approvals) Set(id uint64, state bastion.RequestState) {
	a.Change(id, func(r *bastion.Request) { r.State = state })
}

// Change changes a request, which whoever waits for it hears of.
func (a *Approvals) Change(id uint64, f func(*bastion.Request)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.by[id-1].Request)
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// Used lists the texts of the approvals that were used.
func (a *Approvals) Used() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.used...)
}

// Find implements [bastion.Approvals].
func (a *Approvals) Find(_ context.Context, who bastion.Identity, op bastion.Operation) (bastion.Request, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.by {
		if r.op.Digest() == op.Digest() && r.Who.ID() == who.ID() && (r.State == bastion.Pending || r.State == bastion.Approved) {
			return r.Request, true, nil
		}
	}
	return bastion.Request{}, false, nil
}

// File implements [bastion.Approvals].
func (a *Approvals) File(_ context.Context, q bastion.Question) (bastion.Request, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &request{op: q.Op}
	r.ID, r.Who, r.State, r.Reason, r.NoReason, r.Text = uint64(len(a.by)+1), q.Who, bastion.Pending, q.Reason, q.NoReason, q.Op.Text()
	i := q.Op.Intent()
	r.Target, r.Verb, r.Settings, r.Digest, r.Rule, r.Try = q.Op.TargetName(), i.Verb, i.Settings, q.Op.Digest(), q.Decision.Rule, q.Decision.Try
	a.by = append(a.by, r)
	a.channel() <- r.ID
	return r.Request, nil
}

// Trial implements [bastion.Approvals]. Everybody decides about everything.
func (a *Approvals) Trial(_ context.Context, _ bastion.Identity, id uint64) (bastion.Trial, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.by[id-1]
	return bastion.Trial{Request: r.Request, Asker: r.Who, Params: r.op.Params(), Recorded: r.op.Recorded()}, nil
}

// Wait implements [bastion.Approvals].
func (a *Approvals) Wait(ctx context.Context, id uint64, update func(bastion.Request)) (bastion.Request, error) {
	for {
		a.mu.Lock()
		r := a.by[id-1].Request
		if a.changed == nil {
			a.changed = make(chan struct{})
		}
		changed := a.changed
		a.mu.Unlock()
		if update != nil {
			update(r)
		}
		switch r.State {
		case bastion.Pending:
		case bastion.Approved:
			return r, nil
		default:
			return r, &bastion.NotApprovedError{Request: r}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	}
}

// Use implements [bastion.Approvals].
func (a *Approvals) Use(_ context.Context, id uint64, q bastion.Question) (bastion.Request, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.by[id-1]
	if r.State != bastion.Approved || r.op.Digest() != q.Op.Digest() {
		return r.Request, fmt.Errorf("request %d cannot be used", id)
	}
	r.State = bastion.Used
	a.used = append(a.used, r.op.Text())
	return r.Request, nil
}
