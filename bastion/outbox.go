package bastion

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Outbox tells people outside of their sessions what happens to requests.
type Outbox interface {
	// Counts says how each channel fares, in the order of the configuration.
	Counts(context.Context) ([]Delivery, error)
	// Dead lists what was given up, oldest first.
	Dead(context.Context) ([]Letter, error)
	// Retry delivers one of those after all, or returns ErrNotFound.
	Retry(ctx context.Context, id uint64) error
}

// Letter is a notification that could not be delivered to a channel.
type Letter struct {
	ID       uint64    `json:"id"`
	Channel  string    `json:"channel"`
	Kind     string    `json:"kind"`
	Request  uint64    `json:"request,omitempty"`
	Target   string    `json:"target,omitempty"`
	To       string    `json:"to,omitempty"` // e-mail address
	At       time.Time `json:"at"`           // when it happened
	Attempts int       `json:"attempts"`
	Last     time.Time `json:"last"`  // the last attempt
	Error    string    `json:"error"` // of the last attempt, in the bastion's own words
}

// Delivery is how a channel of notifications fares.
type Delivery struct {
	Channel string `json:"channel"`
	Waiting int    `json:"waiting"`
	Dead    int    `json:"dead"`
	// Delivered and Failed count letters and attempts since the bastion started.
	Delivered uint64 `json:"delivered"`
	Failed    uint64 `json:"failed"`
	// Error is why the latest failure was, and At its time; empty if there was none.
	Error string    `json:"error,omitempty"`
	At    time.Time `json:"at,omitzero"`
}

// outbox is the outbox, for those who look after the bastion: the duty to audit or to
// administer. Its letters say who does what, and who did not hear of it.
func (s *Session) outbox(ctx context.Context) (Outbox, error) {
	if _, err := s.caretaker(ctx, "notifications are looked after", Audit, Administer); err != nil {
		return nil, err
	}
	if s.c.Outbox == nil {
		return nil, errors.New("this bastion sends no notifications")
	}
	return s.c.Outbox, nil
}

// Deliveries says how each channel of notifications fares.
func (s *Session) Deliveries(ctx context.Context) ([]Delivery, error) {
	o, err := s.outbox(ctx)
	if err != nil {
		return nil, err
	}
	return o.Counts(ctx)
}

// Undelivered lists the notifications that were given up, oldest first.
func (s *Session) Undelivered(ctx context.Context) ([]Letter, error) {
	o, err := s.outbox(ctx)
	if err != nil {
		return nil, err
	}
	return o.Dead(ctx)
}

// Redeliver delivers a notification after all that was given up. That somebody did so
// is recorded.
func (s *Session) Redeliver(ctx context.Context, id uint64) error {
	o, err := s.outbox(ctx)
	if err != nil {
		return err
	}
	if err := s.record(Event{Kind: EventRetry, Text: "notification " + strconv.FormatUint(id, 10)}); err != nil {
		return err
	}
	if err := o.Retry(ctx, id); err != nil {
		return fmt.Errorf("delivering again: %w", err)
	}
	return nil
}
