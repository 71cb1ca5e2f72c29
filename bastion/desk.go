package bastion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What follows is a session's other business: requests, recordings and names.
// Each asks anew who the person is, so that no screen can act for another.

// Split cuts a text into single operations of the target's language.
func (s *Session) Split(target, text string) (operations []string, rest string, err error) {
	_, t, err := s.link(target)
	if err != nil {
		return nil, "", err
	}
	c, err := s.connector(t)
	if err != nil {
		return nil, "", err
	}
	return c.Split(text)
}

// Names lists what completion may offer on an open target.
func (s *Session) Names(ctx context.Context, target string) ([]Name, error) {
	l, _, err := s.link(target)
	if err != nil {
		return nil, err
	}
	ctx, stop := s.bind(ctx)
	defer stop()
	return l.conn.Names(ctx)
}

// Command translates a console's own command into a text that runs like any other.
func (s *Session) Command(target, line string) (text string, ok bool, err error) {
	l, _, err := s.link(target)
	if err != nil {
		return "", false, err
	}
	return l.conn.Command(line)
}

// History lists what the person ran on a target before, oldest first.
func (s *Session) History(ctx context.Context, target string, limit int) ([]string, error) {
	who, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	return s.c.Archive.History(ctx, who.ID(), target, limit)
}

// Terms lists the access to a target that the person can ask for.
func (s *Session) Terms(ctx context.Context, target string) ([]Terms, error) {
	who, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	t, _, err := s.target(who, target)
	if err != nil {
		return nil, err
	}
	return s.c.Policy.Terms(who, t), nil
}

// RequestAccess asks for access to a target. An empty bundle means the only one
// that can be asked for, and a time of 0 the longest. Where connecting itself
// needs approval and no bundle is to be had, that is what is asked for.
func (s *Session) RequestAccess(ctx context.Context, target string, asked AccessAsked, reason string) (Request, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Request{}, err
	}
	t, _, err := s.target(who, target)
	if err != nil {
		return Request{}, err
	}
	if reason == "" {
		return Request{}, ErrReason
	}
	var of []Terms
	var names []string
	for _, x := range s.c.Policy.Terms(who, t) {
		if x.Emergency == asked.Emergency && (asked.Bundle == "" || asked.Bundle == x.Bundle) {
			of = append(of, x)
			names = append(names, x.Bundle)
		}
	}
	switch {
	case len(of) == 0 && asked.Bundle == "" && !asked.Emergency:
		return s.requestConnect(ctx, target, reason)
	case len(of) == 0 && asked.Emergency:
		return Request{}, &DeniedError{Reason: "policy has no emergency access to " + t.Name + " for you", Next: "ask for access instead"}
	case len(of) == 0:
		return Request{}, fmt.Errorf("access %q to %s: %w", VisibleLine(asked.Bundle), t.Name, ErrNotFound)
	case len(of) > 1:
		return Request{}, fmt.Errorf("say which access you want: %s", strings.Join(names, ", "))
	}
	terms := of[0]
	asked.Bundle = terms.Bundle
	switch {
	case asked.For == 0:
		asked.For = terms.Max
	case asked.For < 0 || asked.For > terms.Max:
		return Request{}, fmt.Errorf("%s is granted for %s at most", terms.Bundle, Span(terms.Max))
	}
	if err := s.flush(); err != nil {
		return Request{}, err
	}
	return s.c.Approvals.FileAccess(ctx, AccessQuestion{Who: who, Origin: s.c.Origin, Session: s.c.ID, Target: t.Name, Asked: asked, Terms: terms, Reason: reason})
}

// requestConnect files a request for connecting to a target, without connecting.
func (s *Session) requestConnect(ctx context.Context, target, reason string) (Request, error) {
	op, err := s.Connecting(ctx, target)
	if err != nil {
		return Request{}, err
	}
	_, d, q, err := s.decide(ctx, op, nil)
	if err != nil {
		return Request{}, err
	}
	if d.Effect == Allow {
		return Request{}, errors.New("you may connect already; no approval is needed")
	}
	q.Reason, q.Preview = reason, Preview{Rows: -1}
	if err := s.flush(); err != nil {
		return Request{}, err
	}
	return s.c.Approvals.File(ctx, q)
}

// Revoke ends access that was granted.
func (s *Session) Revoke(ctx context.Context, id uint64, reason string) (Request, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Request{}, err
	}
	return s.c.Approvals.Revoke(ctx, Ballot{Request: id, Reason: reason, Who: who, Origin: s.c.Origin, Session: s.c.ID})
}

// Requests lists requests that the person may see.
func (s *Session) Requests(ctx context.Context, f RequestFilter) ([]Request, error) {
	who, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	return s.c.Approvals.Requests(ctx, who, f)
}

// Request returns one request that the person may see.
func (s *Session) Request(ctx context.Context, id uint64) (Request, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Request{}, err
	}
	return s.c.Approvals.Request(ctx, who, id)
}

// Past counts what became of earlier requests like one.
func (s *Session) Past(ctx context.Context, id uint64) (Past, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Past{}, err
	}
	return s.c.Approvals.Past(ctx, who, id)
}

// Vote casts the person's vote.
func (s *Session) Vote(ctx context.Context, id uint64, v Verdict, reason string) (Request, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Request{}, err
	}
	return s.c.Approvals.Vote(ctx, Ballot{Request: id, Verdict: v, Reason: reason, Who: who, Origin: s.c.Origin, Session: s.c.ID})
}

// Withdraw takes back the person's own request.
func (s *Session) Withdraw(ctx context.Context, id uint64) (Request, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Request{}, err
	}
	return s.c.Approvals.Withdraw(ctx, who, id)
}

// WatchRequests receives after any request changed. The function ends the watch.
func (s *Session) WatchRequests() (<-chan struct{}, func()) { return s.c.Approvals.Watch() }

// scope is whose recordings the person may see: everybody's with the duty of
// audit, else their own.
func (s *Session) scope(ctx context.Context) (Scope, error) {
	who, err := s.current(ctx)
	if err != nil {
		return Scope{}, err
	}
	return Scope{all: has(s.c.Policy.Roles(who), Audit), who: who.ID()}, nil
}

// Recordings lists recordings that the person may see.
func (s *Session) Recordings(ctx context.Context, f RecordingFilter) ([]Recording, error) {
	sc, err := s.scope(ctx)
	if err != nil {
		return nil, err
	}
	return s.c.Archive.Recordings(ctx, sc, f)
}

// Reviewed names the recordings of what a review looks at: the sessions in which its
// requester had the target open while the access lasted. Of other requests there are
// none, and of what the reader may not replay neither.
func (s *Session) Reviewed(ctx context.Context, r Request) (ids []string, err error) {
	if r.Kind != KindReview {
		return nil, nil
	}
	f := RecordingFilter{Person: r.Who.Name, Target: r.Target, Since: r.Created}
	if r.Access != nil {
		f.Until = r.Created.Add(r.Access.For)
	}
	rs, err := s.Recordings(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, rec := range rs {
		if rec.Who.Equal(r.Who) && slices.Contains(rec.Targets, r.Target) {
			ids = append(ids, rec.ID)
		}
	}
	slices.Reverse(ids) // the oldest first
	return ids, nil
}

// Replay opens a recording. That it was opened is recorded too.
func (s *Session) Replay(ctx context.Context, id string) (Replay, error) {
	sc, err := s.scope(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.c.Archive.Replay(ctx, sc, id)
	if err != nil {
		return nil, err
	}
	if err := s.record(Event{Kind: EventReplay, Text: id}); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Events calls yield with the events that the person may see, from a sequence
// number on, until it returns false.
func (s *Session) Events(ctx context.Context, from uint64, yield func(Event) bool) error {
	sc, err := s.scope(ctx)
	if err != nil {
		return err
	}
	return s.c.Archive.Events(ctx, sc, from, yield)
}
