package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// What the provider said of somebody at their sign-in may not be so an hour later.
// So the sign-in leaves a refresh token (RFC 6749, section 6) with the bastion, and
// whenever what is known of a person is about to count and is older than
// [Config.Recheck], the provider is asked for it anew (OpenID Connect Core 1.0,
// section 12). Nobody is asked about while nothing depends on them.

const (
	// patience is how long somebody waits for the provider's answer about a person.
	patience = 5 * time.Second
	// again is how long a provider that gave no answer is left alone, unless
	// what is known may count for less than that.
	again = 10 * time.Second
)

// standing is how current what is known of a person is. It is in memory, and tells
// more than the record of the person does where the provider only confirmed it.
type standing struct {
	mu        sync.Mutex
	token     bool      // the provider can be asked at all
	confirmed time.Time // when the provider last said what is known
	tried     time.Time // when it last gave no answer, since then
	why       error     // the reason of that
	question  *question // the one under way; nil if there is none
}

// question is one to the provider.
type question struct {
	answered chan struct{}   // closed when it is over
	patience context.Context // ends when nobody has to wait for it any more
}

// wait waits for the answer, as long as anybody has to.
func (q *question) wait(ctx context.Context) {
	select {
	case <-q.answered:
	case <-q.patience.Done():
	case <-ctx.Done():
	}
}

// standing returns that of a person, or nil for somebody whom no provider knows.
func (k *Keeper) standing(id string) (*standing, error) {
	if k.c.Recheck <= 0 || !strings.HasPrefix(id, k.c.Provider.Issuer+"#") {
		return nil, nil
	}
	if s, ok := k.standings.Load(id); ok {
		return s.(*standing), nil
	}
	s := &standing{}
	var p *person
	err := k.c.DB.View(func(tx store.Tx) (err error) {
		if p, err = readPerson(tx, id); err != nil || p == nil {
			return err
		}
		kept, err := readRefresh(tx, id)
		s.confirmed, s.token = p.Confirmed, kept != nil
		return err
	})
	if err != nil || p == nil {
		return nil, err
	}
	kept, _ := k.standings.LoadOrStore(id, s)
	return kept.(*standing), nil
}

// due says what to do about a standing: ask tells to ask the provider now, wait
// that what is known is too old to do without the answer.
func (k *Keeper) due(s *standing, now time.Time) (ask, wait bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.token {
		return false, false
	}
	age := now.Sub(s.confirmed)
	wait = age < 0 || age >= k.c.Recheck
	since := now.Sub(s.tried)
	rested := s.why == nil || since < 0 || since >= min(again, k.c.Recheck)
	return (wait || age >= k.c.Recheck/2) && rested, wait
}

// ask has the provider asked about a person if that is due. It returns the question
// whose answer is to be waited for, after which what it says is written; nil if what is
// known is good enough.
func (k *Keeper) ask(ctx context.Context, s *standing, id string) *question {
	ask, wait := k.due(s, k.c.Now())
	if !ask && !wait {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.question == nil && ask {
		// It outlives whoever asked first: others wait for it, and an answer that
		// was on its way may have used the token up.
		ctx := context.WithoutCancel(ctx)
		p, cancel := context.WithTimeout(ctx, patience)
		s.question = &question{make(chan struct{}), p}
		go k.pose(ctx, s, id, s.question, cancel)
	}
	if !wait {
		return nil
	}
	return s.question
}

func (k *Keeper) pose(ctx context.Context, s *standing, id string, q *question, cancel context.CancelFunc) {
	defer cancel()
	defer close(q.answered)
	err := k.recheck(ctx, id)
	now := k.c.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.question = nil
	if s.why = err; err != nil {
		s.tried = now
		return
	}
	s.confirmed = now
}

// Confirm has what is known of people confirmed by their provider, as far as it is
// older than [Config.Recheck]. After it, Known and Current tell what the provider
// said; whose sign-in it has ended, they do not know any more. The error says that
// nobody could tell for longer than [Config.Unreachable]: then the vote or right of
// that person cannot count. Services, and people whose provider gives no refresh
// tokens, are as they are known.
func (k *Keeper) Confirm(ctx context.Context, ids ...string) error {
	standings := make([]*standing, len(ids))
	var questions []*question
	for i, id := range ids {
		var err error
		if standings[i], err = k.standing(id); err != nil {
			return err
		}
		if s := standings[i]; s != nil {
			if q := k.ask(ctx, s, id); q != nil {
				questions = append(questions, q)
			}
		}
	}
	for _, q := range questions {
		q.wait(ctx)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for i, s := range standings {
		if s == nil {
			continue
		}
		if err := k.tolerable(s, ids[i]); err != nil {
			return err
		}
	}
	return nil
}

// tolerable returns an error if what is known has waited too long for an answer.
func (k *Keeper) tolerable(s *standing, id string) error {
	now := k.c.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.confirmed); !s.token || age >= 0 && age < k.c.Recheck+k.c.Unreachable {
		return nil
	}
	name := id
	if who, ok := k.Known(id); ok {
		name = who.Name
	}
	why := "it takes too long"
	if s.why != nil {
		why = s.why.Error()
	}
	return fmt.Errorf("the identity provider last said at %s what %s may do, and gave no answer since that counts (%s); try again when it does",
		bastion.Moment(s.confirmed, now), bastion.VisibleLine(name), why)
}

// recheck asks the provider about a person and keeps the answer. An error means
// that there was none; that the person's sign-in has ended is an answer.
func (k *Keeper) recheck(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var kept *refresh
	if err := k.c.DB.View(func(tx store.Tx) (err error) { kept, err = readRefresh(tx, id); return err }); err != nil {
		return err
	}
	if kept == nil {
		return nil // the sign-in has ended meanwhile, and that is known
	}
	d, err := k.discover(ctx)
	if err != nil {
		return err
	}
	began := k.c.Now()
	status, body, err := k.post(ctx, d, d.token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {kept.Token}}, answerTime)
	if err != nil {
		k.forget()
		return asFault(ctx, err)
	}
	var r struct {
		Error   string `json:"error"`
		ID      string `json:"id_token"`
		Access  string `json:"access_token"`
		Type    string `json:"token_type"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &r); err != nil && status == 200 {
		return transportFault(ctx, err)
	}
	switch {
	case status >= 400 && status < 500 && r.Error == "invalid_grant":
		return k.end(id, *kept)
	case status != 200:
		return refusal(status, body)
	case len(r.Refresh) > maxToken:
		return fault(Misbehaved, nil, "the identity provider's refresh token is too large")
	}
	// A token that was used may be used up: the next one counts, whatever else is
	// wrong with the answer.
	now := *kept
	if r.Refresh != "" {
		now.Token = r.Refresh
	}
	if now != *kept {
		if err := k.c.DB.Update(func(tx store.Tx) error {
			if stale, err := outdated(tx, id, *kept); stale || err != nil {
				return err
			}
			return write(tx, tokensBucket, id, now)
		}); err != nil {
			return err
		}
	}
	p, err := k.told(ctx, d, r.ID, now.Nonce, &oauth2.Token{AccessToken: r.Access, TokenType: r.Type}, began)
	if err != nil {
		return err
	}
	if p.id() != id {
		return fault(BadToken, nil, "the identity provider answered about somebody else; tell whoever runs the bastion")
	}
	return k.learn(p, now)
}

// told is what the provider says of a person now: in an ID token if it gives one,
// else at its userinfo endpoint (OpenID Connect Core 1.0, sections 12.2 and 5.3).
func (k *Keeper) told(ctx context.Context, d *discovery, token, nonce string, access *oauth2.Token, began time.Time) (*person, error) {
	if token != "" {
		return k.verify(ctx, d, token, nonce, began)
	}
	if u, err := url.Parse(d.provider.UserInfoEndpoint()); err != nil || !secure(u, k.c.Provider.Issuer) || access.AccessToken == "" {
		return nil, fault(Misbehaved, err, "the identity provider says nothing about people after their sign-in; tell whoever runs the bastion")
	}
	info, err := d.provider.UserInfo(oidc.ClientContext(ctx, k.client.http), oauth2.StaticTokenSource(access))
	if err != nil {
		return nil, transportFault(ctx, err)
	}
	return k.describe(info.Subject, info.Claims)
}

// end keeps that the provider has ended somebody's sign-in.
func (k *Keeper) end(id string, asked refresh) error {
	return k.update(func(tx store.Tx) error {
		if stale, err := outdated(tx, id, asked); stale || err != nil {
			return err
		}
		p, err := k.personNamed(tx, id)
		if err != nil {
			return err
		}
		p.Ended = k.c.Now()
		if err := errors.Join(writePerson(tx, p), tx.Delete(tokensBucket, []byte(id))); err != nil {
			return err
		}
		return k.append(tx, p.identity(), bastion.EventFacts, "the identity provider has ended the sign-in")
	})
}

// outdated reports whether the provider was asked with what is no longer kept: the
// person has signed in again meanwhile, or their access was taken away.
func outdated(tx store.Tx, id string, asked refresh) (bool, error) {
	kept, err := readRefresh(tx, id)
	return kept == nil || *kept != asked, err
}

// learn keeps what the provider says of a person now, and records what changed. If
// nothing did, nothing is written: it is asked often.
func (k *Keeper) learn(now *person, asked refresh) error {
	id := now.id()
	var before *person
	if err := k.c.DB.View(func(tx store.Tx) (err error) { before, err = readPerson(tx, id); return err }); err != nil {
		return err
	}
	if before != nil && slices.Equal(before.Groups, now.Groups) && before.Email == now.Email {
		return nil
	}
	return k.update(func(tx store.Tx) error {
		if stale, err := outdated(tx, id, asked); stale || err != nil {
			return err
		}
		p, err := k.personNamed(tx, id)
		if err != nil {
			return err
		}
		text := changes(p, now)
		p.Groups, p.Email, p.Confirmed = now.Groups, now.Email, k.c.Now()
		if err := writePerson(tx, p); err != nil {
			return err
		}
		return k.append(tx, p.identity(), bastion.EventFacts, text)
	})
}

// changes says in words how what is known of a person changes.
func changes(before, now *person) string {
	var said []string
	list := func(what string, of, without []string) {
		var names []string
		for _, g := range of {
			if !slices.Contains(without, g) {
				names = append(names, g)
			}
		}
		if len(names) > 0 {
			said = append(said, what+" "+strings.Join(names, ", "))
		}
	}
	list("no longer in", before.Groups, now.Groups)
	list("now in", now.Groups, before.Groups)
	if before.Email != now.Email {
		said = append(said, "another verified e-mail address")
	}
	return "the identity provider says: " + strings.Join(said, "; ")
}
