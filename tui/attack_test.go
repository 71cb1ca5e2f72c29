package tui

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

// ours are the only sequences that a view may hold: colours.
var ours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// onlyColours returns what a view holds that is neither text nor a colour.
func onlyColours(view string) string {
	rest := ours.ReplaceAllString(view, "")
	if i := strings.IndexFunc(rest, func(r rune) bool {
		return r != '\n' && bastion.Visible(string(r)) != string(r)
	}); i >= 0 {
		return rest[i:min(len(rest), i+40)]
	}
	return ""
}

// attacks are what somebody could write into a text that others read.
func attacks() []string {
	return []string{
		"\x1b[2J\x1b[1;1Happroved",                             // draws over the screen
		"\x1b]52;c;ZXZpbA==\x07",                               // fills the clipboard
		"\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", // a link that says something else
		"\x1b]0;title\x07", "\x1bP+q544e\x1b\\", "\x1b[201~y\r12\r", "\x1b[6n",
		"\u009b2J", "\u009d0;title\u009c", // the same with single control characters
		"SELECT 1 \r-- DROP TABLE orders", // overwrites itself
		"DROP\b\b\b\bKEEP", "a\x00b\x7fc", "\a\a\a",
		"user\u202egnp.exe", "\u2066hidden\u2069", "zero\u200bwidth\u2060\ufeff", "tag\U000e0041\U000e007f", "no\u00a0break\u3000wide",
		"line\u2028separator\u2029", "broken \xff\xfe utf-8 \xed\xa0\x80", "x\nforged header\n\x1b[A", strings.Repeat("漢", 500), strings.Repeat("e\u0301", 300), strings.Repeat("w", 3000),
	}
}

// Whatever others put into names, reasons, statements, labels or errors, a
// screen holds nothing but text and our own colours, and keeps its size.
func TestEscapeInjection(t *testing.T) {
	// Each field gets the next attack, so that a few rounds bring most to most.
	all, n := attacks(), 0
	bad := func() string {
		n++
		return all[n%len(all)]
	}
	for range 5 {
		poison := func(v *visit) {
			v.who.Name += bad()
			v.roles[0].Name += bad()
			for i := range v.targets {
				tv := &v.targets[i]
				tv.Name += bad()
				tv.Kind, tv.Description, tv.Access.Note = bad(), bad(), bad()
				tv.Labels = map[string]string{"env": bad(), bad(): bad()}
				tv.Access.Allow, tv.Access.Ask = append(tv.Access.Allow, bastion.Verb(bad())), append(tv.Access.Ask, bastion.Verb(bad()))
			}
			for i := range v.requests {
				r := &v.requests[i]
				r.Who.Name, r.Who.Email, r.Target, r.Text, r.Summary, r.Reason, r.Rule, r.Settings = bad(), bad(), bad(), bad(), bad(), bad(), bad(), bad()
				r.Origin = bastion.Origin{Address: bad(), Key: bad(), Client: bad()}
				r.Actions = []bastion.Action{{Verb: bastion.Verb(bad()), Resource: bad()}}
				r.Preview.Note, r.Approvers, r.Digest = bad(), []string{bad()}, bad()
				r.Needs = bastion.Needs{{Count: 2, Role: bad()}}
				r.Votes = append(r.Votes, bastion.Vote{Who: bastion.Identity{Name: bad()}, Roles: []string{bad()}, Verdict: bastion.VoteDeny, Reason: bad(), At: noon})
			}
			for i := range v.tapes {
				r := &v.tapes[i]
				r.Who.Name, r.Targets, r.Command = bad(), []string{bad()}, bad()
			}
			v.replay = func(string) (bastion.Replay, error) {
				r := someReplay()
				r.recording.Who.Name = bad()
				for i := range r.events {
					e := &r.events[i]
					e.Name, e.Target, e.Verb, e.Text, e.Rule, e.Reason, e.Error, e.By, e.Masked, e.Effect = bad(), bad(), bastion.Verb(bad()), bad(), bad(), bad(), bad(), []string{bad()}, []string{bad()}, bad()
					if i%3 == 0 {
						e.Kind = bastion.EventKind(bad())
					}
				}
				for i := range r.chunks {
					if r.chunks[i].Output != nil {
						r.chunks[i].Output = []byte(bad())
					}
				}
				return r, nil
			}
			if v.err != nil {
				v.err = errors.Join(v.err, errors.New(bad()))
			}
		}
		for _, sc := range scenes() {
			v := sc.visit()
			poison(v)
			play(t, v, termenv.ANSI256, func(st *stage) {
				for _, size := range [][2]int{{80, 24}, {40, 10}, {160, 50}} {
					st.resize(size[0], size[1])
					if size[0] == 80 {
						st.press(sc.keys...)
					}
					view := st.view()
					if odd := onlyColours(view); odd != "" {
						t.Fatalf("%s: the view holds %q", sc.name, odd)
					}
				}
				st.send(Notice{bad(), Bad})
				st.send(Failed{errors.New(bad())})
				if odd := onlyColours(st.view()); odd != "" {
					t.Fatalf("%s: the status line holds %q", sc.name, odd)
				}
			})
		}
	}
}

// What a person types or pastes into an input is shown honestly too.
func TestInputShowsWhatIsHidden(t *testing.T) {
	for _, bad := range attacks() {
		play(t, visitOf(rita(), reviewer()), termenv.ANSI256, func(st *stage) {
			st.press("a", "down", "enter", "d")
			st.send(paste(bad))
			for _, k := range []string{"left", "left", "home", "right", "end"} {
				st.press(k)
				// The cursor is drawn reversed, which is a colour.
				if odd := onlyColours(st.view()); odd != "" {
					t.Fatalf("%q: the view holds %q", bad, odd)
				}
			}
		})
	}
}

// An approver sees all of a statement, and is told of what does not show.
func TestApproverSeesEverything(t *testing.T) {
	v := visitOf(rita(), reviewer())
	v.requests = v.requests[1:2]
	r := &v.requests[0]
	r.Text = "UPDATE customers SET note = 'ok' -- \u202e" + strings.Repeat("padding ", 40) + "\n; DROP TABLE orders"
	play(t, v, termenv.Ascii, func(st *stage) {
		st.press("a", "enter")
		st.wants("contains characters that do not show: <U+202E>")
		st.press("down")
		var seen strings.Builder
		d := st.root.top().(*detail)
		for _, l := range d.lines(80) {
			if _, text, ok := strings.Cut(l, "│ "); ok {
				seen.WriteString(text)
			}
		}
		want := strings.ReplaceAll(bastion.Visible(r.Text), "\n", "")
		if got := ansi.Strip(seen.String()); got != want {
			t.Errorf("shown is %q, want %q", got, want)
		}
	})
}
