package bastion_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
)

// outbox is a bastion's that has given up one letter.
type outbox struct{ retried []uint64 }

func (o *outbox) Counts(context.Context) ([]bastion.Delivery, error) {
	return []bastion.Delivery{{Channel: "chat", Dead: 1}}, nil
}

func (o *outbox) Dead(context.Context) ([]bastion.Letter, error) {
	return []bastion.Letter{{ID: 7, Channel: "chat"}}, nil
}

func (o *outbox) Retry(_ context.Context, id uint64) error {
	if id != 7 {
		return bastion.ErrNotFound
	}
	o.retried = append(o.retried, id)
	return nil
}

// Notifications are for those who audit or administer. That one is delivered again is
// recorded first, and does not happen if it cannot be.
func TestNotifications(t *testing.T) {
	for _, c := range []struct {
		duty    bastion.Duty
		allowed bool
	}{
		{bastion.Audit, true}, {bastion.Administer, true}, {bastion.Approve, false}, {bastion.Execute, false}, {bastion.Design, false}, {"", false},
	} {
		w, o := newWorld(t), &outbox{}
		w.roles = []bastion.Role{{Name: "some", Duties: []bastion.Duty{c.duty}}}
		config := w.config()
		config.Outbox = o
		s, err := bastion.NewSession(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.Deliveries(t.Context())
		dead, derr := s.Undelivered(t.Context())
		rerr := s.Redeliver(t.Context(), 7)
		if !c.allowed {
			for _, err := range []error{err, derr, rerr} {
				if _, denied := errors.AsType[*bastion.DeniedError](err); !denied {
					t.Errorf("%s: %v", c.duty, err)
				}
			}
			if len(all)+len(dead)+len(o.retried) > 0 {
				t.Errorf("%s: %v %v %v", c.duty, all, dead, o.retried)
			}
			continue
		}
		if errors.Join(err, derr, rerr) != nil || len(all) != 1 || len(dead) != 1 || len(o.retried) != 1 || !w.did("event:retry:") {
			t.Errorf("%s: %v %v %v; %v %v %v; %s", c.duty, all, dead, o.retried, err, derr, rerr, w.happened())
		}
		if err := s.Redeliver(t.Context(), 8); !errors.Is(err, bastion.ErrNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
		w.recorder = func(string) error { return errors.New("disk full") }
		if err := s.Redeliver(t.Context(), 7); !errors.Is(err, bastion.ErrRecorder) || len(o.retried) != 1 {
			t.Errorf("not recorded: %v", err)
		}
	}
	w := newWorld(t)
	w.roles = []bastion.Role{{Name: "auditor", Duties: []bastion.Duty{bastion.Audit}}}
	if _, err := w.session().Deliveries(t.Context()); err == nil || !strings.Contains(err.Error(), "sends no notifications") {
		t.Errorf("without an outbox: %v", err)
	}
}
