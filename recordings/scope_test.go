package recordings_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/recordings"
)

// Insecure direct object references: whoever knows or guesses the name of
// another's recording gets nothing, and cannot even tell that it exists.
func TestIDORReplay(t *testing.T) {
	_, a := open(t)
	for id, who := range map[string]bastion.Identity{"alices": alice, "annas": anna, "ritas": rita} {
		r := start(t, a, id, who)
		must(t, r.Output([]byte("secret of "+who.Name)))
		must(t, r.Event(decision(id, who, "shop", "allow", "select "+who.Name)))
		if id != "ritas" { // which lives
			must(t, r.Close())
		}
	}
	otherIssuer, otherCase := alice, alice
	otherIssuer.Issuer = "https://id.example.com"
	otherCase.Subject = "A"
	for _, c := range []struct {
		name  string
		scope bastion.Scope
		sees  string
	}{
		{"alice", scope(t, alice, false), "alices"},
		{"anna, whose subject begins with alice's", scope(t, anna, false), "annas"},
		{"rita", scope(t, rita, false), "ritas"},
		{"auditor", scope(t, axel, true), "alices annas ritas"},
		{"auditor without the duty", scope(t, axel, false), ""},
		{"same subject of another issuer", scope(t, otherIssuer, false), ""},
		{"subject in another case", scope(t, otherCase, false), ""},
		{"zero scope", bastion.Scope{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, id := range []string{"alices", "annas", "ritas", "missing", "", "alice", "alicess", "alices\x00", strings.Repeat("x", 100)} {
				r, err := a.Replay(t.Context(), c.scope, id)
				if slices.Contains(strings.Fields(c.sees), id) {
					must(t, err)
					must(t, r.Close())
					continue
				}
				if err != bastion.ErrNotFound || r != nil {
					t.Errorf("replay of %q: %v, %v; want the very error of a missing one", id, r, err)
				}
			}
			for _, f := range []bastion.RecordingFilter{{All: true}, {All: true, Text: "select"}, {Person: "example"}, {Target: "shop"}, {Since: time.Unix(0, 0)}} {
				got, err := a.Recordings(t.Context(), c.scope, f)
				must(t, err)
				names := ids(got)
				slices.Sort(names)
				if s := strings.Join(names, " "); s != c.sees {
					t.Errorf("%+v lists %q, want %q", f, s, c.sees)
				}
			}
			events := 0
			must(t, a.Events(t.Context(), c.scope, 0, func(e bastion.Event) bool {
				events++
				if !slices.Contains(strings.Fields(c.sees), e.Session) {
					t.Errorf("event of %s", e.Session)
				}
				return true
			}))
			if want := len(strings.Fields(c.sees)); events != want {
				t.Errorf("%d events, want %d", events, want)
			}
		})
	}
}

// Another's filter must not work as an oracle: a text that only stands in a
// recording out of scope finds nothing.
func TestIDORFilterOracle(t *testing.T) {
	_, a := open(t)
	r := start(t, a, "ritas", rita)
	must(t, r.Event(decision("ritas", rita, "shop", "allow", "select needle")))
	for _, f := range []bastion.RecordingFilter{{Text: "needle"}, {Person: "rita"}, {Target: "shop"}} {
		got, err := a.Recordings(t.Context(), scope(t, alice, false), f)
		must(t, err)
		if len(got) != 0 {
			t.Errorf("%+v found %v", f, ids(got))
		}
	}
}

// Events that name somebody's session but come from another person, such as an
// approver's vote, belong to who did them.
func TestIDOREventOfAnother(t *testing.T) {
	db, a := open(t)
	start(t, a, "alices", alice)
	must(t, db.Update(func(tx store.Tx) error {
		return recordings.Append(tx, bastion.Event{At: time.Now(), Kind: bastion.EventVote, Session: "alices", Who: rita.ID(), Name: "rita"})
	}))
	for who, want := range map[*bastion.Identity]int{&alice: 0, &rita: 1} {
		n := 0
		must(t, a.Events(t.Context(), scope(t, *who, false), 0, func(bastion.Event) bool { n++; return true }))
		if n != want {
			t.Errorf("%s sees %d events, want %d", who.Name, n, want)
		}
	}
}
