package approval

import (
	"reflect"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// rule is one transition that is allowed. It is the table of next, written a
// second time, as the sentences of the design say it.
type rule struct {
	from bastion.RequestState
	act  act
	when func(facts, record) bool
	to   bastion.RequestState
}

func rules(due bool) []rule {
	live := func(f func(facts, record) bool) func(facts, record) bool {
		return func(x facts, r record) bool { return !due && f(x, r) }
	}
	eligible := func(f facts) bool { return f.may && f.apart && !f.asker && !f.owner }
	mine := live(func(f facts, _ record) bool { return f.asker || f.owner })
	sound := func(f facts) bool { return f.asker && f.exact && f.covered }
	return []rule{
		{"", file, func(facts, record) bool { return true }, bastion.Pending},
		{bastion.Pending, approve, live(func(f facts, _ record) bool { return eligible(f) && !f.voted && f.covered }), bastion.Approved},
		{bastion.Pending, approve, live(func(f facts, _ record) bool { return eligible(f) && !f.voted && !f.covered }), bastion.Pending},
		{bastion.Approved, approve, live(func(f facts, _ record) bool { return eligible(f) && !f.voted }), bastion.Approved},
		{bastion.Pending, deny, live(func(f facts, _ record) bool { return eligible(f) }), bastion.Denied},
		{bastion.Approved, deny, live(func(f facts, _ record) bool { return eligible(f) }), bastion.Denied},
		{bastion.Approved, use, live(func(f facts, r record) bool {
			return sound(f) && (r.Holds == 0 || f.holds == 0) && r.Uses == 0
		}), bastion.Used},
		{bastion.Approved, use, live(func(f facts, r record) bool {
			return sound(f) && r.Holds > 0 && f.holds > 0 && f.now.Sub(r.Granted) < f.holds
		}), bastion.Approved},
		{bastion.Pending, expire, func(facts, record) bool { return due }, bastion.Expired},
		{bastion.Approved, expire, func(facts, record) bool { return due }, bastion.Expired},
		{bastion.Approved, lapse, live(func(facts, record) bool { return true }), bastion.Expired},
		{bastion.Pending, withdraw, mine, bastion.Withdrawn},
		{bastion.Approved, withdraw, mine, bastion.Withdrawn},
	}
}

// Every state with every act under every combination of facts does what one
// rule says, or is refused and leaves the request as it was.
func TestMachine(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	states := []bastion.RequestState{"", bastion.Pending, bastion.Approved, bastion.Used, bastion.Denied, bastion.Expired, bastion.Withdrawn, "nonsense"}
	acts := []act{file, approve, deny, use, expire, lapse, withdraw, "", "nonsense"}
	count := make([]int, len(rules(false)))
	for _, state := range states {
		for _, a := range acts {
			for bits := range 1 << 11 {
				bit := func(n int) bool { return bits>>n&1 == 1 }
				hours := func(n int, d time.Duration) time.Duration {
					if bit(n) {
						return d
					}
					return 0
				}
				due := bit(0)
				f := facts{now: now, asker: bit(1), owner: bit(2), may: bit(3), apart: bit(4), voted: bit(5),
					covered: bit(6), exact: bit(7), holds: hours(8, time.Hour)}
				r := record{Request: bastion.Request{ID: 7, State: state, Text: "secret", Holds: hours(9, 4*time.Hour), Expires: now.Add(time.Second),
					Votes: []bastion.Vote{{Verdict: bastion.VoteApprove, Reason: "first"}}}, Recorded: "•", Granted: now.Add(-2 * time.Hour)}
				if bit(10) {
					r.Uses = 1
				} else {
					r.Granted = now.Add(-time.Minute)
				}
				if due {
					r.Expires = now
				}
				before := r
				before.Votes = append([]bastion.Vote(nil), r.Votes...)
				got, err := next(r, action{act: a, vote: bastion.Vote{Reason: "second"}, within: time.Minute}, f)
				if !reflect.DeepEqual(r, before) {
					t.Fatalf("%s %s %+v changed its argument", state, a, f)
				}
				want, fits := bastion.RequestState(""), 0
				for i, x := range rules(due) {
					if x.from == state && x.act == a && x.when(f, r) {
						want = x.to
						fits++
						count[i]++
					}
				}
				switch {
				case fits > 1:
					t.Fatalf("%s %s %+v: %d rules", state, a, f, fits)
				case fits == 0 && err == nil:
					t.Fatalf("%s %s due %v %+v: allowed, to %s", state, a, due, f, got.State)
				case fits == 0 && !reflect.DeepEqual(got, before):
					t.Fatalf("%s %s %+v: refused, and changed all the same: %+v", state, a, f, got)
				case fits == 1 && (err != nil || got.State != want):
					t.Fatalf("%s %s due %v %+v %+v: got %s, %v; want %s", state, a, due, f, r, got.State, err, want)
				}
				if err != nil {
					continue
				}
				if votes := len(got.Votes) - len(r.Votes); (votes == 1) != (a == approve || a == deny) || votes > 1 || votes < 0 {
					t.Fatalf("%s %s: %d more votes", state, a, votes)
				}
				if ended := !got.State.Open(); ended != (got.Text == "•") || ended != !got.Ended.IsZero() {
					t.Fatalf("%s %s: %s with text %q, ended %v", state, a, got.State, got.Text, got.Ended)
				}
			}
		}
	}
	for i, n := range count {
		if n == 0 {
			t.Errorf("rule %d was never reached", i)
		}
	}
}

// The ends of an approval: a single use within what is left or a quarter of an
// hour; a hold from the approval on, however late it is used.
func TestDeadlines(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left, holds, want time.Duration
	}{
		{time.Minute, 0, 15 * time.Minute},
		{20 * time.Minute, 0, 20 * time.Minute},
		{20 * time.Minute, time.Minute, time.Minute},
		{time.Minute, 8 * time.Hour, 8 * time.Hour},
	} {
		r := record{Request: bastion.Request{State: bastion.Pending, Holds: c.holds, Expires: now.Add(c.left)}}
		r, err := next(r, action{act: approve}, facts{now: now, may: true, apart: true, covered: true})
		if err != nil || !r.Expires.Equal(now.Add(c.want)) {
			t.Errorf("%+v: %v, %v", c, r.Expires.Sub(now), err)
		}
		if c.holds == 0 {
			continue
		}
		later := r.Expires.Add(-time.Second)
		after, err := next(r, action{act: use}, facts{now: later, asker: true, covered: true, exact: true, holds: c.holds})
		if err != nil || !after.Expires.Equal(r.Expires) || after.State != bastion.Approved {
			t.Errorf("%+v: used: %s until %v, %v", c, after.State, after.Expires, err)
		}
		after, err = next(after, action{act: approve}, facts{now: later, may: true, apart: true, covered: true})
		if err != nil || !after.Expires.Equal(r.Expires) {
			t.Errorf("%+v: a further approval moved the end to %v, %v", c, after.Expires, err)
		}
	}
}

// Zero facts let nobody do anything.
func TestZeroFacts(t *testing.T) {
	for _, state := range []bastion.RequestState{bastion.Pending, bastion.Approved} {
		for _, a := range []act{approve, deny, use, withdraw, expire} {
			r := record{Request: bastion.Request{ID: 1, State: state, Expires: time.Unix(1, 0)}}
			if got, err := next(r, action{act: a}, facts{}); err == nil {
				t.Errorf("%s %s: %s", state, a, got.State)
			}
		}
	}
}

func TestCovers(t *testing.T) {
	needs := func(n ...bastion.Need) bastion.Needs { return n }
	one := func(role string) bastion.Need { return bastion.Need{Count: 1, Role: role} }
	for _, c := range []struct {
		name   string
		needs  bastion.Needs
		people [][]string
		want   bool
	}{
		{"no needs are never covered", nil, [][]string{{"reviewer"}}, false},
		{"nor needs of nobody", needs(bastion.Need{Count: 0, Role: "reviewer"}), [][]string{{"reviewer"}}, false},
		{"nor fewer than nobody", needs(one("reviewer"), bastion.Need{Count: -1, Role: "reviewer"}), [][]string{{"reviewer"}}, false},
		{"nor needs of no role", needs(one("")), [][]string{{""}}, false},
		{"nobody", needs(one("reviewer")), nil, false},
		{"one", needs(one("reviewer")), [][]string{{"reviewer"}}, true},
		{"the wrong one", needs(one("reviewer")), [][]string{{"owner"}}, false},
		{"one of two", needs(bastion.Need{Count: 2, Role: "reviewer"}), [][]string{{"reviewer", "reviewer"}}, false},
		{"one person in two roles", needs(one("reviewer"), one("owner")), [][]string{{"reviewer", "owner"}}, false},
		{"the same role named twice", needs(one("reviewer"), one("reviewer")), [][]string{{"reviewer"}, {"reviewer"}}, true},
		{"the first has to move over", needs(one("reviewer"), one("owner")), [][]string{{"reviewer", "owner"}, {"reviewer"}}, true},
		{"and not", needs(one("reviewer"), one("owner")), [][]string{{"reviewer"}, {"reviewer"}}, false},
		{"a chain moves over", needs(one("a"), one("b"), one("c")), [][]string{{"a", "b"}, {"b", "c"}, {"a"}}, true},
		{"more than needed", needs(one("a")), [][]string{{"a"}, {"a"}, {"b"}}, true},
		{"a count that no machine holds", needs(bastion.Need{Count: 1 << 60, Role: "a"}), [][]string{{"a"}}, false},
	} {
		if got := covers(c.needs, c.people); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestClock(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	wall := start
	c := newClock(func() time.Time { return wall }, start.Add(-time.Hour))
	for _, x := range []struct {
		move, want time.Duration
	}{
		{0, 0}, {time.Minute, time.Minute},
		{-time.Hour, time.Minute},            // set back: it stands
		{10 * time.Minute, 11 * time.Minute}, // and goes on
		{0, 11 * time.Minute},
		{2 * time.Hour, 131 * time.Minute},
	} {
		wall = wall.Add(x.move)
		if got := c.now().Sub(start); got != x.want {
			t.Errorf("after %v: %v, want %v", x.move, got, x.want)
		}
	}
	// A new process whose clock is behind what the store has seen.
	if got := newClock(func() time.Time { return start }, start.Add(time.Hour)).now().Sub(start); got != time.Hour {
		t.Errorf("behind the store: %v", got)
	}
}
