package identity_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/demo/idp"
	"github.com/sallyport/sallyport/bastion/identity"
)

const (
	recheck     = 10 * time.Second
	unreachable = 20 * time.Second
)

// attentive is a house whose keeper asks the provider about people.
func attentive(t *testing.T, p identity.Provider) *house {
	h := newHouse(t, p)
	h.Keeper = h.keeper(identity.Config{Provider: p, Recheck: recheck, Unreachable: unreachable})
	return h
}

// texts are those of the events of a kind.
func (h *house) texts(kind bastion.EventKind) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var texts []string
	for _, e := range h.events {
		if e.Kind == kind {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// Who leaves a group at the provider has left it here before the next thing that
// rests on it, in open sessions and for those who vote, without signing in again.
func TestGroupsFollowTheProvider(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := attentive(t, at)
	key := ssh.FingerprintSHA256(newKey(t))
	rita, err := h.signIn(h.Keeper, p, key, "rita", true)
	if err != nil {
		t.Fatal(err)
	}
	before := rita.Groups
	session := h.ForKey(key)
	if _, err := session.Current(t.Context(), rita); err != nil {
		t.Fatal(err)
	}
	if err := p.SetGroups("rita", "auditors"); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(recheck)
	now, err := session.Current(t.Context(), rita)
	if err != nil || !slices.Equal(now.Groups, []string{"auditors"}) {
		t.Errorf("the session's groups are %v, %v; at sign-in they were %v", now.Groups, err, before)
	}
	if known, _ := h.Known(rita.ID()); !slices.Equal(known.Groups, []string{"auditors"}) {
		t.Errorf("known in %v", known.Groups)
	}
	if now.Name != rita.Name || now.Email != rita.Email || !now.SignedIn.Equal(rita.SignedIn) || !now.Expires.Equal(rita.Expires) {
		t.Errorf("%+v became %+v", rita, now)
	}

	// Nobody is connected, and somebody's approval of yesterday is about to count.
	if err := p.SetGroups("rita"); err != nil {
		t.Fatal(err)
	}
	later := h.keeper(identity.Config{Provider: at, Recheck: recheck, Unreachable: unreachable})
	h.clock.Pass(recheck)
	if err := later.Confirm(t.Context(), "sallyport#bot", rita.ID(), "nobody#known"); err != nil {
		t.Fatal(err)
	}
	if known, ok := later.Known(rita.ID()); !ok || len(known.Groups) != 0 {
		t.Errorf("known in %v, %v", known.Groups, ok)
	}
	want := []string{
		"the identity provider says: no longer in " + strings.Join(before, ", ") + "; now in auditors",
		"the identity provider says: no longer in auditors",
	}
	if got := h.texts(bastion.EventFacts); !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

// Who may not sign in any more at the provider is out here too, until they can.
func TestDisabledAtTheProvider(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := attentive(t, at)
	key := ssh.FingerprintSHA256(newKey(t))
	rita, err := h.signIn(h.Keeper, p, key, "rita", true)
	if err != nil {
		t.Fatal(err)
	}
	session := h.ForKey(key)
	if err := p.Disable("rita"); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(recheck)
	if err := h.Confirm(t.Context(), rita.ID()); err != nil {
		t.Errorf("that somebody is out is an answer, not %v", err)
	}
	if _, ok := h.Known(rita.ID()); ok {
		t.Error("still known")
	}
	if people := h.People(); len(people) != 0 {
		t.Errorf("people %+v", people)
	}
	if _, err := session.Current(t.Context(), rita); !errors.Is(err, bastion.ErrExpired) {
		t.Errorf("the session goes on: %v", err)
	}
	if _, err := h.Lookup(key); !errors.Is(err, bastion.ErrExpired) {
		t.Errorf("the key still counts: %v", err)
	}
	if got := h.texts(bastion.EventFacts); !slices.Equal(got, []string{"the identity provider has ended the sign-in"}) {
		t.Errorf("recorded %q", got)
	}
}

// While the provider cannot be asked, what it said counts a while longer for what
// others decide, and no longer; a session goes on until its binding ends.
func TestProviderCannotBeAsked(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := attentive(t, at)
	key := ssh.FingerprintSHA256(newKey(t))
	rita, err := h.signIn(h.Keeper, p, key, "rita", true)
	if err != nil {
		t.Fatal(err)
	}
	session := h.ForKey(key)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(recheck)
	if err := h.Confirm(t.Context(), rita.ID()); err != nil {
		t.Errorf("at once: %v", err)
	}
	h.clock.Pass(unreachable)
	err = h.Confirm(t.Context(), rita.ID())
	if err == nil || !strings.Contains(err.Error(), "what rita may do") || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("too late: %v", err)
	}
	if now, err := session.Current(t.Context(), rita); err != nil || !slices.Equal(now.Groups, rita.Groups) {
		t.Errorf("the session: %v, %v", now.Groups, err)
	}
	h.clock.Pass(-time.Hour) // what is known is from the future: nobody knows when it was so
	if err := h.Confirm(t.Context(), rita.ID()); err == nil {
		t.Error("a clock that was set back makes old answers count")
	}
}

// A refresh token works once. Whoever asks at the same time shares the answer.
func TestConfirmAtOnce(t *testing.T) {
	p, at := realProvider(t, idp.Options{})
	h := attentive(t, at)
	rita, err := h.signIn(h.Keeper, p, ssh.FingerprintSHA256(newKey(t)), "rita", true)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		h.clock.Pass(recheck)
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if err := h.Confirm(t.Context(), rita.ID()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if _, ok := h.Known(rita.ID()); !ok {
		t.Error("a token was used twice, and the provider ended the sign-in")
	}
}

// A provider that gives no refresh token leaves things as they are, and it is told.
func TestNoRefreshToken(t *testing.T) {
	f := newFake(t)
	h := attentive(t, f.provider())
	sam := h.enter(t)
	h.clock.Pass(12*time.Hour - time.Second)
	if err := h.Confirm(t.Context(), sam.ID()); err != nil {
		t.Error(err)
	}
	if f.polls != 1 {
		t.Errorf("%d questions", f.polls)
	}
	if got := h.texts(bastion.EventSignIn); len(got) != 1 || !strings.Contains(got[0], "no refresh token") {
		t.Errorf("recorded %q", got)
	}
}

// enter signs sam in at a fake provider.
func (h *house) enter(t *testing.T) bastion.Identity {
	t.Helper()
	h.Wait(func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
	sam, err := h.SignIn(t.Context(), from("SHA256:x"), func(bastion.SignInPrompt) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return sam
}

// Each answer that a provider may give about somebody, by itself.
func TestAnswersAboutPeople(t *testing.T) {
	// A token is good once here, as at most providers.
	refreshed := func(f *fake, change func(map[string]any)) func(int) map[string]any {
		given := ""
		return func(n int) map[string]any {
			f.mu.Lock()
			nonce, form := f.forms[0].Get("nonce"), f.asked
			f.mu.Unlock()
			a := map[string]any{"status": 200, "access_token": "a", "token_type": "Bearer", "refresh_token": fmt.Sprint("r", n), "id_token": f.token(n, nonce)}
			if n > 1 {
				if got := form.Get("refresh_token"); got != given || form.Get("grant_type") != "refresh_token" {
					f.t.Errorf("question %d came with %s, want %s", n, form, given)
				}
				change(a)
			}
			if r, ok := a["refresh_token"].(string); ok && len(r) < 10 {
				given = r
			}
			return a
		}
	}
	userinfo := func(claims map[string]any) func(f *fake, a map[string]any) {
		return func(f *fake, a map[string]any) {
			delete(a, "id_token")
			f.handle["/userinfo"] = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer a" {
					f.t.Errorf("userinfo was asked with %q", r.Header.Get("Authorization"))
				}
				f.json(w, 200, claims)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(f *fake, a map[string]any)
		groups []string // known afterwards
		err    string   // of Confirm, once the answer is overdue
		gone   bool     // the person is not known any more
	}{
		"an ID token":                {func(*fake, map[string]any) {}, []string{"new"}, "", false},
		"no new refresh token":       {func(_ *fake, a map[string]any) { delete(a, "refresh_token") }, []string{"new"}, "", false},
		"userinfo":                   {userinfo(map[string]any{"sub": "s1", "groups": []string{"told"}}), []string{"told"}, "", false},
		"userinfo without groups":    {userinfo(map[string]any{"sub": "s1"}), nil, "", false},
		"userinfo of somebody else":  {userinfo(map[string]any{"sub": "s2", "groups": []string{"told"}}), []string{"old"}, "about somebody else", false},
		"groups that are none":       {userinfo(map[string]any{"sub": "s1", "groups": 7}), []string{"old"}, "no list of names", false},
		"nothing":                    {func(_ *fake, a map[string]any) { delete(a, "id_token"); delete(a, "access_token") }, []string{"old"}, "says nothing about people", false},
		"somebody else":              {func(f *fake, a map[string]any) { a["id_token"] = f.token(7, "") }, []string{"old"}, "about somebody else", false},
		"another sign-in's nonce":    {func(f *fake, a map[string]any) { a["id_token"] = f.token(8, "") }, []string{"old"}, "answers another sign-in", false},
		"a token that nobody signed": {func(_ *fake, a map[string]any) { a["id_token"] = "e30.e30.e30" }, []string{"old"}, "signature is wrong", false},
		"the end of the sign-in":     {func(_ *fake, a map[string]any) { clear(a); a["error"] = "invalid_grant" }, nil, "", true},
		"another error":              {func(_ *fake, a map[string]any) { clear(a); a["error"] = "invalid_client" }, []string{"old"}, "invalid_client", false},
		"a failure":                  {func(_ *fake, a map[string]any) { clear(a); a["status"], a["error"] = 500, "invalid_grant" }, []string{"old"}, "invalid_grant", false},
		"an endless token":           {func(_ *fake, a map[string]any) { a["refresh_token"] = strings.Repeat("r", 1<<17) }, []string{"old"}, "too large", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.claims = func(n int, claims map[string]any) {
				claims["groups"] = []string{"old"}
				switch {
				case n == 7:
					claims["sub"] = "s2"
				case n == 8:
					claims["nonce"] = "other"
				case n > 1:
					claims["groups"] = []string{"new"}
				}
			}
			f.answer = refreshed(f, func(a map[string]any) { c.change(f, a) })
			h := attentive(t, f.provider())
			sam := h.enter(t)
			h.clock.Pass(recheck)
			if err := h.Confirm(t.Context(), sam.ID()); err != nil {
				t.Errorf("while it may be late: %v", err)
			}
			who, ok := h.Known(sam.ID())
			if ok == c.gone || !slices.Equal(who.Groups, c.groups) {
				t.Errorf("known in %v, %v", who.Groups, ok)
			}
			h.clock.Pass(unreachable)
			err := h.Confirm(t.Context(), sam.ID())
			if c.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("when it is overdue: %v, want %q", err, c.err)
			}
		})
	}
}
