package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

// scenes are the screens in the states that people meet, with the keys that lead there.
func scenes() []struct {
	name  string
	visit func() *visit
	keys  []string
} {
	deploys := func() *visit { return visitOf(alice(), deployer()) }
	offers := func() *visit {
		v := visitOf(alice(), deployer())
		for i := range v.targets {
			if v.targets[i].Name == "vault" {
				v.targets[i].Access = bastion.Access{Request: true}
			}
		}
		return v
	}
	reviews := func() *visit { return visitOf(rita(), reviewer()) }
	tries := func() *visit {
		v := reviews()
		v.requests[1].Try = true
		v.past = bastion.Past{Same: bastion.Tally{}, Shape: bastion.Tally{Total: 12, Used: 9, Denied: 3, Last: noon.AddDate(0, 0, -1)},
			Person: bastion.Tally{Total: 40, Used: 31, Denied: 2, Expired: 4, Withdrawn: 3, Last: noon}, Target: bastion.Tally{Total: 212, Used: 200, Revoked: 12, Emergency: 1, Last: noon}}
		v.trial = tryOut()
		return v
	}
	fails := func() *visit {
		v := tries()
		v.trial = &bastion.Preview{Rows: -1, Tried: true, At: noon, Took: 8 * time.Millisecond, Failure: "unique violation of constraint customers_email_key on table customers (23505)"}
		return v
	}
	untried := func() *visit {
		v := tries()
		v.trial = nil
		return v
	}
	policies := func() *visit {
		v := reviews()
		r := v.requests[1]
		r.Target, r.Verb, r.Summary, r.Actions = "policy", "policy-change", "policy: alice and ben gain; nobody loses", []bastion.Action{{Verb: "policy-change"}}
		r.Text, r.Settings = strings.Repeat("# the policy of the shop\nversion: 1\n", 40), "in place of version 3, sha256 5f0c954d"
		r.Preview = bastion.Preview{Rows: -1, Note: "against the policy in force: alice and ben gain; nobody loses", Effect: []string{
			"GAINS ACCESS: deployers (alice, ben) on shop-production: drop on public.*: deny → ask (2 approvals by reviewers, within 30m)",
			"warning: policy.yaml:31:5: nobody can be asked at night", "in the text:", "…", " rules:", "-  effect: deny", "+  effect: ask"},
			Caveats: []string{"there are so many groups that only pairs of them were compared"}}
		v.requests[1] = r
		return v
	}
	emergency := func() *visit {
		v := reviews()
		r := v.requests[1]
		r.Kind, r.Verb, r.Actions, r.Preview, r.Settings, r.Digest = bastion.KindReview, "review", nil, bastion.Preview{Rows: -1}, "", ""
		r.Summary, r.Text = "review of request 11: break-glass for 30m", "review 11: break-glass on shop-production for 30m, in an emergency"
		r.Access = &bastion.AccessAsked{Bundle: "break-glass", For: 30 * time.Minute, Emergency: true}
		v.requests[1] = r
		return v
	}
	audits := func() *visit {
		v := visitOf(rita(), auditor())
		v.who.Name, v.targets = "axel", nil
		return v
	}
	closes := func() *visit {
		v := emergency()
		v.who.Name, v.targets, v.roles = "axel", nil, []bastion.Role{auditor()}
		v.requests = v.requests[1:2]
		return v
	}
	sick := func() *visit {
		v := deploys()
		v.err = errors.New("the store is gone")
		return v
	}
	expired := func() *visit {
		v := deploys()
		v.err = fmt.Errorf("current identity: %w", bastion.ErrExpired)
		v.who.Expires = noon.Add(-time.Minute)
		v.signIn = func(ctx context.Context, show func(bastion.SignInPrompt) error) error {
			_ = show(bastion.SignInPrompt{Address: "https://id.example/device", Code: "WDJB-MJHT", Direct: "https://id.example/device?user_code=WDJB-MJHT", Key: "SHA256:Zk3m0cXv6mW3oTq0S9m2n8bq3m1f7xUuJc1Vq8r7h2A", Expires: noon.Add(5 * time.Minute)})
			<-ctx.Done()
			return ctx.Err()
		}
		return v
	}
	hats := func() *visit {
		v := deploys()
		v.err = &bastion.ChoiceError{Rule: "separation/audit-from-outside", Roles: []string{"deployer", "auditor"}, Reason: "who changes systems does not audit the changes"}
		v.act = func(role string) error {
			if role == "auditor" {
				return errors.New("you chose in another session just now; look again")
			}
			return nil
		}
		return v
	}
	return []struct {
		name  string
		visit func() *visit
		keys  []string
	}{
		{"choice", hats, nil},
		{"choice-failed", hats, []string{"down", "enter"}},
		{"choice-made", hats, []string{"down", "up", "enter"}},
		{"home", deploys, []string{"down"}},
		{"home-approver", reviews, nil},
		{"home-filter", deploys, []string{"/", "pro"}},
		{"home-empty", audits, nil},
		{"home-failed", sick, nil},
		{"request-access", deploys, []string{"down", "down", "enter", "quarter end"}},
		{"request-terms", offers, []string{"down", "down", "r", "down"}},
		{"request-length", offers, []string{"down", "down", "r", "enter", "9h", "enter"}},
		{"approvals", reviews, []string{"a"}},
		{"approvals-own", deploys, []string{"a"}},
		{"approvals-empty", audits, []string{"a"}},
		{"request", reviews, []string{"a", "down", "enter"}},
		{"request-end", reviews, []string{"a", "down", "enter", "end"}},
		{"request-own", deploys, []string{"a", "enter"}},
		{"request-approve", reviews, []string{"a", "down", "enter", "y", "1"}},
		{"request-deny", reviews, []string{"a", "down", "enter", "d", "enter"}},
		{"request-approved", reviews, []string{"a", "down", "enter", "y", "12", "enter"}},
		{"request-preview", tries, []string{"a", "down", "enter", "p"}},
		{"request-preview-offered", tries, []string{"a", "down", "enter", "end"}},
		{"request-preview-failed", fails, []string{"a", "down", "enter", "p"}},
		{"request-preview-refused", untried, []string{"a", "down", "enter", "p"}},
		{"request-policy", policies, []string{"a", "down", "enter"}},
		{"home-reviewer", closes, nil},
		{"approvals-reviewer", closes, []string{"a"}},
		{"request-review", emergency, []string{"a", "down", "enter"}},
		{"request-reviewed", emergency, []string{"a", "down", "enter", "d", "no ticket", "enter"}},
		{"sign-in", expired, nil},
		{"recordings", audits, []string{"l", "down"}},
		{"recordings-filter", audits, []string{"l", "/", "alice", "tab", "tab", "update", "tab", "7d"}},
		{"replay", audits, []string{"l", "down", "enter", " ", "1", "tab"}},
		{"replay-zoom", audits, []string{"l", "down", "enter", " ", "end", "z"}},
		{"events", audits, []string{"l", "down", "e", "down", "down"}},
		{"help", deploys, []string{"?"}},
		{"help-request", reviews, []string{"a", "down", "enter", "?"}},
	}
}

// tryOut is what came of trying an update of two rows.
func tryOut() *bastion.Preview {
	sample := func(rows ...[]string) *bastion.Sample {
		s := &bastion.Sample{Columns: []bastion.SampleColumn{{Name: "id"}, {Name: "email", Masked: true}, {Name: "city"}, {Name: "moved"}}}
		for _, r := range rows {
			var row []*string
			for _, v := range r {
				if v == "NULL" {
					row = append(row, nil)
				} else {
					row = append(row, &v)
				}
			}
			s.Rows = append(s.Rows, row)
		}
		return s
	}
	return &bastion.Preview{Rows: 2, Tried: true, At: noon, Took: 12 * time.Millisecond,
		Note:   "run in a transaction and rolled back; counted, not estimated; the target confirms that transaction 790 was aborted",
		Before: sample([]string{"7", "****", "Köln", "NULL"}, []string{"8", "****", "Bonn", "2024-01-02"}),
		After:  sample([]string{"7", "****", "Bonn\u202e", "2026-03-04"}, []string{"8", "****", "Bonn", "2024-01-02"}),
		Caveats: []string{"It went by the data of that moment, without what the asking session has not committed. Times, random values and changes by others can make it come out otherwise.",
			"What it locks was locked for at most 12ms, and others may have waited for it."}}
}

func TestScreens(t *testing.T) {
	for _, sc := range scenes() {
		t.Run(sc.name, func(t *testing.T) {
			for _, size := range []struct{ w, h int }{{80, 24}, {120, 40}, {40, 10}} {
				play(t, sc.visit(), termenv.Ascii, func(st *stage) {
					st.resize(size.w, size.h)
					st.press(sc.keys...)
					v := st.view()
					if strings.Contains(v, "\x1b") {
						t.Error("a screen without colour has escape sequences")
					}
					golden(t, fmt.Sprintf("%s_%dx%d.txt", sc.name, size.w, size.h), v)
				})
			}
		})
	}
}

// TestColours keeps some screens with their colours.
func TestColours(t *testing.T) {
	for _, sc := range scenes() {
		switch sc.name {
		case "home", "approvals", "request", "recordings", "replay":
		default:
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			var plain string
			play(t, sc.visit(), termenv.Ascii, func(st *stage) {
				st.press(sc.keys...)
				plain = st.view()
			})
			play(t, sc.visit(), termenv.ANSI256, func(st *stage) {
				st.press(sc.keys...)
				v := st.view()
				golden(t, sc.name+"_80x24.ansi", v)
				trim := func(s string) string {
					var b strings.Builder
					for l := range strings.SplitSeq(s, "\n") {
						b.WriteString(strings.TrimRight(l, " ") + "\n")
					}
					return b.String()
				}
				if trim(ansi.Strip(v)) != trim(plain) {
					t.Error("colour says something that words do not")
				}
			})
		})
	}
}
