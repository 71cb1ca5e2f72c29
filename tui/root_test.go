package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

// Every screen fits every window, and has exactly its height.
func TestEverySize(t *testing.T) {
	for _, sc := range scenes() {
		t.Run(sc.name, func(t *testing.T) {
			play(t, sc.visit(), termenv.ANSI256, func(st *stage) {
				st.press(sc.keys...)
				for _, size := range [][2]int{{0, 0}, {1, 1}, {2, 3}, {3, 200}, {200, 3}, {12, 5}, {20, 8}, {40, 10}, {41, 16}, {59, 15}, {60, 20}, {80, 24}, {109, 30}, {110, 30}, {120, 40}, {1000, 400}, {65535, 65535}, {-1, -5}} {
					st.resize(size[0], size[1])
					st.view()
					st.press("down", "up") // positions are put right for the new size
					st.view()
				}
			})
		})
	}
}

func TestWindowsAreClamped(t *testing.T) {
	play(t, visitOf(alice(), deployer()), termenv.Ascii, func(st *stage) {
		st.resize(65535, 65535)
		if st.root.w != 1000 || st.root.h != 400 {
			t.Errorf("drawing %dx%d", st.root.w, st.root.h)
		}
		st.resize(0, 0)
		if st.root.w != 80 || st.root.h != 24 {
			t.Errorf("drawing %dx%d for an unknown size", st.root.w, st.root.h)
		}
	})
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		name  string
		who   func() bastion.Identity
		wants string
	}{
		{"person", alice, "alice (deployer) · signed in, 11h 58m left"},
		{"service", ciBot, "ci-bot (deployer) · no end"},
		{"soon over", func() bastion.Identity { i := alice(); i.Expires = noon.Add(9 * time.Minute); return i }, "signed in, 9m left"},
		{"nearly over", func() bastion.Identity { i := alice(); i.Expires = noon.Add(9 * time.Second); return i }, "signed in, under 1m left"},
		{"over", func() bastion.Identity { i := alice(); i.Expires = noon.Add(-1); return i }, "alice (deployer) · sign-in ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, visitOf(tt.who(), deployer()), termenv.Ascii, func(st *stage) {
				top, _, _ := strings.Cut(st.view(), "\n")
				if !strings.HasPrefix(top, " "+Product) || !strings.HasSuffix(top, tt.wants+" ") {
					t.Errorf("the top line is %q", top)
				}
			})
		})
	}
}

// The header stays on every screen and at every width, with name and time.
func TestHeaderEverywhere(t *testing.T) {
	for _, sc := range scenes() {
		for _, w := range []int{40, 60, 80, 200} {
			v := sc.visit()
			play(t, v, termenv.Ascii, func(st *stage) {
				st.resize(w, 24)
				st.press(sc.keys...)
				top, _, _ := strings.Cut(st.view(), "\n")
				for _, part := range []string{Product, v.who.Name} {
					if !strings.Contains(top, part) {
						t.Errorf("%s at %d columns: no %q in %q", sc.name, w, part, top)
					}
				}
				if !strings.Contains(top, " left") && !strings.Contains(top, "ended") {
					t.Errorf("%s at %d columns: no end in %q", sc.name, w, top)
				}
			})
		}
	}
}

// A request appears without a key, and rings once for those who may decide it.
func TestRequestsArrive(t *testing.T) {
	v := visitOf(rita(), reviewer())
	v.requests = nil
	play(t, v, termenv.Ascii, func(st *stage) {
		st.lacks("wait for you", "waits for you")
		st.press("a")
		st.wants("Nothing waits for you")
		v.requests = someRequests(v.who)[1:2]
		st.send(changed{})
		st.wants("update of public.cu", "1 request")
		if st.rings != 1 {
			t.Errorf("it rang %d times for a new request", st.rings)
		}
		st.send(changed{}, changed{})
		if st.rings != 1 {
			t.Errorf("it rang %d times for an old request", st.rings)
		}
		st.press("esc")
		st.wants("1 request waits for you — press a", "approvals (1)")

		// Who types is not led to believe that a letter opens the queue.
		st.press("/")
		st.wants("go back to the targets, then press a")
		st.press("esc")

		v.requests = someRequests(v.who)[:2]
		st.send(changed{})
		st.wants("2 requests wait for you")
		if st.rings != 2 {
			t.Errorf("it rang %d times for two requests", st.rings)
		}
		v.requests = nil
		st.send(changed{})
		st.lacks("wait for you")
	})
}

// Who asked and went elsewhere learns what came of it, on any screen.
func TestOwnRequestDecided(t *testing.T) {
	vote := func(verdict bastion.Verdict, reason string) []bastion.Vote {
		return []bastion.Vote{{Who: rita(), Roles: []string{"reviewer"}, Verdict: verdict, Reason: reason, At: noon}}
	}
	for _, tt := range []struct {
		name  string
		keys  []string // to where the person is
		state bastion.RequestState
		verb  bastion.Verb
		votes []bastion.Vote
		wants string // empty if nobody tells
	}{
		{"approved", nil, bastion.Approved, "update", vote(bastion.VoteApprove, ""), "request 12 was approved by rita: run it again on shop-production"},
		{"access", nil, bastion.Approved, bastion.Connect, vote(bastion.VoteApprove, ""), "request 12 was approved by rita: connect to shop-production"},
		{"denied", []string{"l"}, bastion.Denied, "update", vote(bastion.VoteDeny, "not\x1b today"), "request 12 was denied by rita: not<U+001B> today"},
		{"expired", []string{"a"}, bastion.Expired, "update", nil, "request 12 expired before it was approved; you may ask again"},
		{"taken back", nil, bastion.Revoked, "update", vote(bastion.VoteDeny, "no"), "request 12 was taken back by rita: no; talk to them before you ask again"},
		{"used elsewhere", nil, bastion.Used, "update", vote(bastion.VoteApprove, ""), ""},
		{"withdrawn", nil, bastion.Withdrawn, "update", nil, ""},
		{"in sight", []string{"a", "enter"}, bastion.Denied, "update", vote(bastion.VoteDeny, "no"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := visitOf(alice(), deployer())
			v.requests = v.requests[:0]
			play(t, v, termenv.Ascii, func(st *stage) {
				v.requests = someRequests(v.who)[1:2]
				st.send(changed{})
				st.press(tt.keys...)
				_, _ = v.change(12, func(r *bastion.Request) { r.State, r.Verb, r.Votes = tt.state, tt.verb, tt.votes })
				st.send(changed{})
				notice, rings := clean(st.root.notice.Text), 1
				if tt.wants == "" {
					rings = 0
				} else {
					st.wants(tt.wants)
				}
				if notice != tt.wants || st.rings != rings {
					t.Errorf("it says %q and rings %d times", notice, st.rings)
				}
				st.press("down")
				st.send(changed{})
				if st.root.notice.Text != "" || st.rings != rings {
					t.Errorf("it says again %q, and has rung %d times", st.root.notice.Text, st.rings)
				}
			})
		})
	}
}

// What one may not decide does not ring.
func TestNoBellForOthers(t *testing.T) {
	v := visitOf(alice(), deployer())
	v.requests = nil
	play(t, v, termenv.Ascii, func(st *stage) {
		v.requests = someRequests(v.who)
		st.send(changed{})
		if st.rings != 0 {
			t.Errorf("it rang %d times", st.rings)
		}
		st.lacks("wait for you")
	})
	v = visitOf(rita(), reviewer())
	v.requests = nil
	play(t, v, termenv.Ascii, func(st *stage) {
		r := someRequests(v.who)[1]
		r.Yours = false // such as one's own
		v.requests = []bastion.Request{r}
		st.send(changed{})
		if st.rings != 0 {
			t.Errorf("it rang %d times for what is not theirs to decide", st.rings)
		}
	})
}

// Many changes while a question is open make one more question, not many.
func TestChangesCoalesce(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		v.hold = make(chan struct{})
		for range 50 {
			st.send(changed{})
		}
		for range 2 * 2 { // what to decide, and one's own
			v.hold <- struct{}{}
			st.settle()
		}
		if st.root.asking.Busy() || st.root.again {
			t.Error("questions pile up")
		}
		st.wants("2 requests wait for you")
	})
}

// A failing question in the background opens nothing over a person who types.
func TestBackgroundErrorsOpenNothing(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("/", "sh")
		v.mu.Lock()
		v.err = fmt.Errorf("who: %w", bastion.ErrExpired)
		v.mu.Unlock()
		st.send(changed{})
		st.press("op")
		st.wants("/ shop_")
		if len(st.root.stack) != 1 {
			t.Error("a screen opened by itself")
		}
	})
}

func TestSignInAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		says string
	}{
		{"expired", fmt.Errorf("who: %w", bastion.ErrExpired), "Your sign-in has ended."},
		{"stale", &bastion.StaleError{Max: 10 * time.Minute}, "less than 10m old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := visitOf(alice(), deployer())
			v.err = tt.err
			var proof chan error
			v.signIn = func(ctx context.Context, show func(bastion.SignInPrompt) error) error {
				proof = make(chan error) // of the bubble
				if err := show(bastion.SignInPrompt{Address: "https://id.example/device", Code: "AAAA-BBBB", Key: "SHA256:k", Expires: noon.Add(time.Minute)}); err != nil {
					return err
				}
				select {
				case err := <-proof:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			play(t, v, termenv.Ascii, func(st *stage) {
				st.wants("Sign in again", tt.says, "https://id.example/device", "AAAA-BBBB", "SHA256:k", "ends in 1m 00s")
				v.now = noon.Add(20 * time.Second)
				time.Sleep(time.Second) // of the bubble's clock
				st.settle()
				st.wants("ends in 40s")
				proof <- errors.New("the provider says no")
				st.settle()
				st.wants("not signed in: the provider says no", "try again")
				st.press("enter")
				st.wants("AAAA-BBBB")
				v.mu.Lock()
				v.err = nil
				v.mu.Unlock()
				proof <- nil
				st.settle()
				st.lacks("Sign in again")
				st.wants("you are signed in again", "shop-production") // the list was read anew
			})
		})
	}
}

// Leaving the sign-in ends its question.
func TestSignInCancelled(t *testing.T) {
	v := visitOf(alice(), deployer())
	v.err = bastion.ErrExpired
	ended := false
	v.signIn = func(ctx context.Context, _ func(bastion.SignInPrompt) error) error {
		<-ctx.Done()
		ended = true
		return ctx.Err()
	}
	play(t, v, termenv.Ascii, func(st *stage) {
		st.wants("asking the sign-in provider")
		st.press("esc")
		st.wants("The list cannot be read")
		if !ended {
			t.Error("the question goes on")
		}
	})
}

func TestHelpOverlay(t *testing.T) {
	play(t, visitOf(alice(), deployer()), termenv.Ascii, func(st *stage) {
		st.press("?")
		st.wants("Keys on this screen: targets", "ctrl+r", "filter the list")
		st.press("?")
		st.lacks("Keys on this screen")
		st.press("/", "?") // where letters are text, so is the question mark
		st.lacks("Keys on this screen")
		st.wants("/ ?_")
	})
}

// Ctrl-C leaves, unless it is pasted or the screen has a use for it.
func TestInterrupt(t *testing.T) {
	play(t, visitOf(alice(), deployer()), termenv.Ascii, func(st *stage) {
		st.send(tea.KeyMsg{Type: tea.KeyCtrlC, Paste: true})
		if st.quit {
			t.Error("a paste left the program")
		}
		s := &busy{page: page{"busy"}, at: 1}
		st.send(Push{s})
		st.press("ctrl+c")
		if st.quit || s.at != 0 {
			t.Error("the screen did not get its key")
		}
		st.press("ctrl+c")
		if !st.quit {
			t.Error("ctrl-c did not leave")
		}
	})
}

type busy struct {
	page
	at int
}

func (b *busy) Update(tea.Msg) (Screen, tea.Cmd) { return b, nil }
func (b *busy) Interrupt() (tea.Cmd, bool) {
	took := b.at > 0
	b.at = 0
	return nil, took
}

// Answers reach the question that asked them, and no other.
func TestWait(t *testing.T) {
	var w, other Wait
	first := ask(t.Context(), &w, func(context.Context) (int, error) { return 1, nil })
	second := ask(t.Context(), &w, func(context.Context) (int, error) { return 2, nil })
	ask(t.Context(), &other, func(context.Context) (int, error) { return 3, nil })
	if _, _, ok := take[int](&w, first()); ok {
		t.Error("an answer to an older question was taken")
	}
	msg := second()
	if _, _, ok := take[int](&other, msg); ok {
		t.Error("somebody else's answer was taken")
	}
	if _, _, ok := take[string](&w, msg); ok {
		t.Error("an answer of another kind was taken")
	}
	if v, err, ok := take[int](&w, msg); !ok || v != 2 || err != nil {
		t.Errorf("got %v %v %v", v, err, ok)
	}
	if _, _, ok := take[int](&w, msg); ok || w.Busy() {
		t.Error("an answer was taken twice")
	}
	var ctx context.Context
	ask(t.Context(), &w, func(context.Context) (int, error) { return 0, nil })
	cmd := ask(t.Context(), &w, func(c context.Context) (int, error) { ctx = c; return 0, c.Err() })
	w.Cancel()
	cmd()
	if ctx.Err() == nil || w.Cancel() {
		t.Error("cancelling did not end the question")
	}
	if (&Wait{}).Cancel() {
		t.Error("the zero wait waits for something")
	}
}

// The notice leaves with the next key, and never shows what is hidden.
func TestNotice(t *testing.T) {
	play(t, visitOf(alice(), deployer()), termenv.Ascii, func(st *stage) {
		st.send(Notice{"all is \x1b]0;evil\x07well\u202e", Warn})
		st.wants("all is <U+001B>]0;evil<U+0007>well<U+202E>")
		st.press("down")
		st.lacks("all is")
		st.send(Failed{errors.New("no such thing")})
		st.wants("no such thing")
		st.press("down")
		st.send(Failed{context.Canceled}) // the person's own doing needs no words
		st.lacks("cancel")
	})
}

// A terminal's name decides its colours; without any, styles change nothing.
func TestTheme(t *testing.T) {
	for _, tt := range []struct {
		term    string
		noColor bool
		want    string
	}{
		{"xterm-256color", false, "\x1b[38;5;160mno\x1b[0m"},
		{"xterm", false, "\x1b[38;5;160mno\x1b[0m"},
		{"linux", false, "\x1b[31mno\x1b[0m"},
		{"xterm-256color", true, "no"},
		{"dumb", false, "no"},
		{"", false, "no"},
		{"vt100", false, "no"},
	} {
		th := NewTheme(tt.term, tt.noColor)
		if got := th.Bad.Render("no"); got != tt.want && !(tt.term == "linux" && strings.HasPrefix(got, "\x1b[") && ansi.Strip(got) == "no" && !strings.Contains(got, "38;5")) {
			t.Errorf("%q: %q, want %q", tt.term, got, tt.want)
		}
		if th.Colourless() != (tt.want == "no") {
			t.Errorf("%q: colourless is %v", tt.term, th.Colourless())
		}
	}
}
