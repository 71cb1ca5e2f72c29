package tui

import (
	"errors"
	"slices"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

// Only the number, typed, approves. A paste of any form does not, nor does any
// single key.
func TestOnlyTypingApproves(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter")
		st.send(paste("y\r12\r"), paste("y"), paste("12\n"))
		st.lacks("You approve exactly this")
		st.press("enter", "enter")
		st.press("y")
		st.wants("You approve exactly this, for alice on shop-production.", "request's number (12)")
		st.press("enter")
		st.wants("that is not the number: this is request 12")
		for _, text := range []string{"12", "12\r", "12\n", "\r12\r\n"} {
			st.send(paste(text))
			st.wants("pasting does not count here", "then enter: _")
		}
		st.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("12")}) // a paste that the terminal did not mark
		st.wants("pasting does not count here", "then enter: _")
		st.press("enter")
		st.press("13", "enter")
		st.wants("that is not the number")
		st.press("y", "enter")
		st.wants("that is not the number")
		if len(v.ballots) != 0 {
			t.Fatalf("voted: %v", v.ballots)
		}
		st.press("12", "enter")
		st.wants("request 12 is approved; alice can run it")
		if !slices.Equal(v.ballots, []string{"12 approve"}) {
			t.Errorf("voted: %v", v.ballots)
		}
		st.press("y")
		st.wants("this request is approved already")
	})
}

func TestDenyNeedsReason(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter", "d", "enter")
		st.wants("please give a reason; alice reads it")
		st.press(" ", " ", "enter")
		st.wants("please give a reason")
		st.press("esc")
		st.lacks("You deny this")
		st.press("d", "wrong id")
		st.send(paste(", see\r4711"))
		if len(v.ballots) != 0 {
			t.Fatalf("a paste voted: %v", v.ballots)
		}
		st.press("enter")
		st.wants("request 12 is denied")
		if !slices.Equal(v.ballots, []string{"12 deny wrong id, see 4711"}) {
			t.Errorf("voted: %v", v.ballots)
		}
	})
}

// Who cannot decide is told why, and gets no dialog.
func TestCannotDecide(t *testing.T) {
	for _, tt := range []struct {
		name   string
		who    func() bastion.Identity
		role   bastion.Role
		change func(*bastion.Request)
		says   string
	}{
		{"own", alice, reviewer(), nil, "this is your own request, and nobody approves their own"},
		{"own, by another key of the same person", alice, reviewer(), func(r *bastion.Request) { r.Who.Name = "alice2"; r.Origin.Key = "SHA256:other" }, "this is your own request"},
		{"own service", alice, reviewer(), func(r *bastion.Request) { r.Who = ciBot(); r.Who.Owner = alice().ID() }, "you answer for this service"},
		{"no role", rita, auditor(), func(r *bastion.Request) { r.Yours = false }, "none of your roles may approve; this needs 1 approval by a reviewer"},
		{"other role", rita, reviewer(), func(r *bastion.Request) { r.Yours = false; r.Needs = bastion.Needs{{Count: 2, Role: "dba"}} }, "it needs 2 approvals by dbas"},
		{"voted", rita, reviewer(), func(r *bastion.Request) { r.Votes = []bastion.Vote{{Who: rita(), Verdict: bastion.VoteApprove}} }, "you have voted on this request already"},
		{"denied", rita, reviewer(), func(r *bastion.Request) { r.State = bastion.Denied }, "this request is denied already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := visitOf(tt.who(), tt.role)
			v.requests = someRequests(v.who)[1:2]
			if tt.change != nil {
				tt.change(&v.requests[0])
			}
			play(t, v, termenv.Ascii, func(st *stage) {
				st.resize(160, 30)
				st.send(Push{newDetail(st.ctx, v, newTheme(termenv.Ascii), 12, nil)})
				for _, k := range []string{"y", "d"} {
					st.press(k)
					st.wants(tt.says)
					st.press("12", "enter")
				}
				if len(v.ballots) != 0 {
					t.Errorf("voted: %v", v.ballots)
				}
			})
		})
	}
}

func TestWithdraw(t *testing.T) {
	v := visitOf(alice(), deployer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "enter", "w")
		st.wants("Press enter to withdraw")
		st.send(paste("\r"))
		st.press("esc", "w", "enter")
		st.wants("request 12 is withdrawn")
		st.press("w")
		st.wants("this request is withdrawn already")
	})
	v = visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter", "w")
		st.wants("only alice can withdraw this request")
	})
}

// What others do shows by itself; a dialog about what is settled closes.
func TestRequestSettledByOthers(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter", "y", "1")
		_, _ = v.change(12, func(r *bastion.Request) { r.State, r.Yours = bastion.Withdrawn, false })
		st.send(changed{})
		st.wants("withdrawn")
		st.lacks("You approve exactly this")
		st.press("2", "enter")
		if len(v.ballots) != 0 {
			t.Errorf("voted: %v", v.ballots)
		}
	})
}

func TestVoteFails(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter", "y", "12")
		v.mu.Lock()
		v.err = errors.New("your role was taken away")
		v.mu.Unlock()
		st.press("enter")
		st.wants("your role was taken away")
	})
	v = visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter", "y", "12")
		v.hold = make(chan struct{})
		st.press("enter")
		st.wants("your answer is being recorded")
		v.hold = nil
		st.press("esc")
		st.wants("you stopped waiting")
	})
}

// Access that needs approval: asked for from the list, followed, then used.
func TestRequestAccess(t *testing.T) {
	v := visitOf(alice(), deployer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("r")
		st.wants("no request needed: you may connect to shop-staging at once")
		st.press("down", "down", "enter")
		st.wants("Connecting to vault needs approval", "Why do you need it?")
		st.press("enter")
		st.wants("please write a few words")
		st.press("quarter end", "enter")
		st.wants("request 31", "connect to vault", "quarter end", "can approve rita")
		st.press("esc", "enter") // back in the list, the same request is found again
		st.wants("request 31")
		_, _ = v.change(31, func(r *bastion.Request) { r.State = bastion.Approved })
		st.send(changed{})
		st.wants("approved, to be used within", "enter connect")
		st.press("enter")
		if got := st.root.top().Title(); got != "vault" {
			t.Errorf("on top is %q", got)
		}
		st.press("esc", "enter")
		if got := st.root.top().Title(); got != "vault" {
			t.Errorf("on top is %q", got)
		}
	})
}

func TestUnseen(t *testing.T) {
	for text, want := range map[string][]string{
		"select 1\n\tfrom t": nil,
		"grün 漢字":            nil,
		"a\u202eb\u202ec":    {"<U+202E>"},
		"a\u200bb\x00":       {"<U+200B>", "<U+0000>"},
		"a\rb":               {"<U+000D>"},
		"a\xffb":             {"<FF>"},
		"\u2066\u2067\u2068\u2069\u200e\u200f\u202a\u202b\u202c": {"<U+2066>", "<U+2067>", "<U+2068>", "<U+2069>", "<U+200E>", "<U+200F>", "<U+202A>", "<U+202B>", "…"},
	} {
		if got := unseen(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Access by request: chosen among what policy offers, for a time, with a reason.
func TestRequestAccessByTerms(t *testing.T) {
	v := visitOf(alice(), deployer())
	for i := range v.targets {
		if v.targets[i].Name == "vault" {
			v.targets[i].Access = bastion.Access{Request: true}
		}
	}
	play(t, v, termenv.Ascii, func(st *stage) {
		st.wants("by request")
		st.press("down", "down", "r")
		st.wants("What access to vault do you want?", "production-write", "at most 2h", "alarms people")
		st.press("enter")
		st.wants("For how long?")
		st.press("tomorrow", "enter")
		st.wants("is no length of time")
		st.press("9h", "enter")
		st.wants("for 2h 00m at most")
		st.press("30m", "enter")
		st.wants("Why do you need it?")
		st.press("a migration", "enter")
		st.wants("request 31", "a migration")
	})
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("down", "down", "r", "down", "esc")
		st.wants("vault")
		st.lacks("What access")
	})
}

// A comment decides nothing, and what was approved can be ended.
func TestCommentAndRevoke(t *testing.T) {
	v := visitOf(rita(), reviewer())
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter", "c")
		st.wants("A comment decides nothing")
		st.press("which ticket?", "enter")
		st.wants("your comment is kept")
		st.press("end")
		st.wants("said", "which ticket?")
		st.press("x")
		st.wants("there is nothing to end")
	})
}

// A preview is made when the person who decides presses its key, once at a time, and
// shown to that person alone.
func TestPreview(t *testing.T) {
	v := visitOf(rita(), reviewer())
	v.requests[1].Try = true
	v.trial = tryOut()
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "down", "enter")
		st.send(paste("p"))
		st.wants("request 12")
		if len(v.tried) > 0 {
			t.Fatal("a paste had it run")
		}
		st.press("p")
		st.wants("city: Köln → Bonn<U+202E>", "moved: NULL → 2026-03-04", "masked for you, so that a change may not show: email")
		if !slices.Equal(v.tried, []uint64{12}) || len(v.ballots) > 0 {
			t.Errorf("tried %v, voted %v", v.tried, v.ballots)
		}
		st.press("y", "12", "enter")
		st.wants("request 12 is approved")
		st.press("p")
		st.wants("this request is approved already")
		if len(v.tried) != 1 {
			t.Errorf("tried %v", v.tried)
		}
	})
	for name, change := range map[string]func(*bastion.Request){
		"this is your own request": func(r *bastion.Request) { r.Who, r.Yours = rita(), false },
		"you have voted on this request": func(r *bastion.Request) {
			r.Yours, r.Votes = false, []bastion.Vote{{Who: rita(), Verdict: bastion.VoteApprove}}
		},
		"production-writes be tried before":    func(r *bastion.Request) { r.Try = false },
		"only a single operation can be tried": func(r *bastion.Request) { r.Kind, r.Try = bastion.KindTask, false },
		"your roles do not fit this request;":  func(r *bastion.Request) { r.Yours = false },
	} {
		t.Run(name, func(t *testing.T) {
			v := visitOf(rita(), reviewer())
			v.requests = v.requests[1:2]
			v.requests[0].Try = true
			v.trial = tryOut()
			change(&v.requests[0])
			play(t, v, termenv.Ascii, func(st *stage) {
				st.resize(160, 30)
				st.send(Push{newDetail(st.ctx, v, newTheme(termenv.Ascii), 12, nil)})
				st.press("p")
				st.wants(name)
				if len(v.tried) > 0 {
					t.Errorf("tried %v", v.tried)
				}
			})
		})
	}
}
