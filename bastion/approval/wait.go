package approval

import (
	"context"
	"reflect"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// patience is how long a wait trusts its timer: the system's clock may jump
// forward while the timer, which counts the machine's waking hours, does not.
const patience = time.Minute

// watcher is somebody who is told of changes.
type watcher struct {
	request uint64 // 0 is all of them
	wake    chan struct{}
}

// Watch returns a channel that receives after any request changed, and a
// function that ends the watch. Changes that nobody has received yet are one.
func (s *Service) Watch() (<-chan struct{}, func()) { return s.watch(0) }

func (s *Service) watch(request uint64) (<-chan struct{}, func()) {
	w := &watcher{request, make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[w] = struct{}{}
	return w.wake, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}

// notify tells those who watch, and waits for nobody.
func (s *Service) notify(changed []record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		for _, r := range changed {
			if w.request != 0 && w.request != r.ID {
				continue
			}
			select {
			case w.wake <- struct{}{}:
			default: // it has not looked since the last one
			}
		}
	}
}

// Wait returns once the request is approved, with a *[bastion.NotApprovedError]
// once it has ended otherwise, and with ctx's cause when ctx ends. update, which
// may be nil, is called with the request as it is now and after each change;
// changes in quick succession may come as one.
func (s *Service) Wait(ctx context.Context, id uint64, update func(bastion.Request)) (bastion.Request, error) {
	wake, stop := s.watch(id) // before the first look, so that no change is missed
	defer stop()
	var last bastion.Request
	for {
		r, err := s.one(ctx, id)
		if err != nil {
			return bastion.Request{}, err
		}
		shown := s.shown([]record{r}, r.Who)[0]
		if !reflect.DeepEqual(shown, last) {
			last = shown
			if update != nil {
				update(shown)
			}
		}
		if shown.State == bastion.Approved {
			s.refresh([]record{r}) // whoever approved it may not have come to that yet
			return shown, nil
		}
		if !shown.State.Open() {
			return shown, &bastion.NotApprovedError{Request: shown}
		}
		left := patience
		if r.Kind != bastion.KindReview {
			left = min(patience, max(time.Millisecond, r.Expires.Sub(s.clock.now())))
		}
		timer := time.NewTimer(left)
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return bastion.Request{}, context.Cause(ctx)
		}
		timer.Stop()
	}
}
