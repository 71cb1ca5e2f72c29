package approval

import (
	mathbits "math/bits"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// rule is one transition that is allowed. It is the table of next, written a
// second time, as the sentences of the design say it.
type rule struct {
	of   string // kinds, by their first letter
	from bastion.RequestState
	act  act
	when func(facts, record) bool
	to   bastion.RequestState
}

func rules(due bool) []rule {
	live := func(f func(facts, record) bool) func(facts, record) bool {
		return func(x facts, r record) bool { return (!due || r.Kind == bastion.KindReview) && f(x, r) }
	}
	always := func(facts, record) bool { return true }
	eligible := func(f facts) bool { return f.may && f.apart && f.outside && !f.asker && !f.owner }
	mine := live(func(f facts, _ record) bool { return f.asker || f.owner })
	sound := func(f facts) bool { return f.asker && f.exact && f.covered }
	emergency := func(r record) bool { return r.Access != nil && r.Access.Emergency }
	vote := func(covered bool) func(facts, record) bool {
		return live(func(f facts, r record) bool { return eligible(f) && !f.voted && f.covered == covered && !emergency(r) })
	}
	review := func(f func(facts) bool) func(facts, record) bool {
		return func(x facts, _ record) bool { return eligible(x) && x.over && f(x) }
	}
	denies := live(func(f facts, _ record) bool { return eligible(f) })
	reads := live(func(f facts, _ record) bool { return f.reads })
	const p, a = bastion.Pending, bastion.Approved
	return []rule{
		{"otr", "", file, always, p},
		{"a", "", file, func(_ facts, r record) bool { return !emergency(r) }, p},
		{"a", "", grant, func(_ facts, r record) bool { return emergency(r) }, a},

		{"ota", p, approve, vote(true), a},
		{"ota", p, approve, vote(false), p},
		{"ota", a, approve, vote(true), a},
		{"ota", a, approve, vote(false), a},
		{"r", p, approve, review(func(f facts) bool { return !f.voted && f.covered }), bastion.Closed},
		{"r", p, approve, review(func(f facts) bool { return !f.voted && !f.covered }), p},

		{"ota", p, deny, denies, bastion.Denied},
		{"ot", a, deny, denies, bastion.Denied},
		{"a", a, deny, denies, bastion.Revoked},
		{"r", p, deny, review(func(facts) bool { return true }), bastion.Closed},

		{"otar", p, comment, reads, p},
		{"ota", a, comment, reads, a},
		{"otar", p, see, denies, p},
		{"ota", a, see, denies, a},
		{"a", a, warn, live(always), a},

		{"ot", a, use, live(func(f facts, r record) bool {
			return sound(f) && (r.Holds == 0 || f.holds == 0) && r.Uses == 0
		}), bastion.Used},
		{"ot", a, use, live(func(f facts, r record) bool {
			return sound(f) && r.Holds > 0 && f.holds > 0 && f.now.Sub(r.Granted) < f.holds
		}), a},

		{"ota", p, expire, func(facts, record) bool { return due }, bastion.Expired},
		{"ota", a, expire, func(facts, record) bool { return due }, bastion.Expired},
		{"ota", a, lapse, live(always), bastion.Expired},

		{"ota", p, withdraw, mine, bastion.Withdrawn},
		{"ot", a, withdraw, mine, bastion.Withdrawn},
		{"ota", a, revoke, live(func(f facts, _ record) bool { return f.asker || f.owner || eligible(f) }), bastion.Revoked},
	}
}

// Every kind in every state with every act under every combination of facts does
// what one rule says, or is refused and leaves the request as it was.
func TestMachine(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kinds := []bastion.RequestKind{bastion.KindOperation, bastion.KindTask, bastion.KindAccess, bastion.KindReview, "", "nonsense"}
	states := []bastion.RequestState{"", bastion.Pending, bastion.Approved, bastion.Used, bastion.Denied, bastion.Expired,
		bastion.Withdrawn, bastion.Revoked, bastion.Closed, "nonsense"}
	acts := []act{file, grant, approve, deny, comment, see, use, warn, expire, lapse, withdraw, revoke, "", "nonsense"}
	count := make([]int, len(rules(false)))
	live := [][]rule{rules(false), rules(true)}
	for _, kind := range kinds {
		known := kind == bastion.KindOperation || kind == bastion.KindTask || kind == bastion.KindAccess || kind == bastion.KindReview
		knows := 1<<14 - 1 // the facts that mean something to the kind
		if kind != bastion.KindOperation && kind != bastion.KindTask {
			knows &^= 7 << 7
		}
		if kind != bastion.KindAccess {
			knows &^= 1 << 13
		}
		for _, state := range states {
			if kind == bastion.KindReview && state == bastion.Approved {
				continue // which no act leads to, see below
			}
			for _, a := range acts {
				for bits := range 1 << 14 {
					if bits&^knows != 0 {
						continue
					}
					if few := mathbits.OnesCount(uint(bits)); few > 1 && few < mathbits.OnesCount(uint(knows))-1 && (!known || state != "" && !state.Open()) {
						continue // nothing is possible here, whatever the facts
					}
					// What matters to a use alone, and the last two to an approval, changes from
					// case to case of the other acts, and is not multiplied with all the rest.
					if mixed := (bits ^ (bits&^(15<<7))*0x9e3779b1>>16) & knows >> 7; a != use && mixed&3 != 0 || a != use && a != approve && mixed>>2&3 != 0 {
						continue
					}
					machineCase(t, now, kind, state, a, bits, live[bits&1], count)
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

func machineCase(t *testing.T, now time.Time, kind bastion.RequestKind, state bastion.RequestState, a act, bits int, rules []rule, count []int) {
	bit := func(n int) bool { return bits>>n&1 == 1 }
	hours := func(n int, d time.Duration) time.Duration {
		if bit(n) {
			return d
		}
		return 0
	}
	due := bit(0)
	f := facts{now: now, asker: bit(1), owner: bit(2), may: bit(3), apart: bit(4), voted: bit(5),
		covered: bit(6), exact: bit(7), holds: hours(8, time.Hour), outside: bit(11), reads: bit(12), over: bit(12)}
	r := record{Request: bastion.Request{ID: 7, Kind: kind, State: state, Text: "secret", Holds: hours(9, 4*time.Hour), Expires: now.Add(time.Second),
		Votes: []bastion.Vote{{Verdict: bastion.VoteApprove, Reason: "first"}}}, Recorded: "•", Granted: now.Add(-2 * time.Hour)}
	if bit(10) {
		r.Uses = 1
	} else {
		r.Granted = now.Add(-time.Minute)
	}
	if kind == bastion.KindAccess {
		r.Access = &bastion.AccessAsked{Bundle: "writer", For: time.Hour, Emergency: bit(13)}
		if bit(10) {
			r.Access.From = now.Add(30 * time.Minute)
		}
	}
	if due {
		r.Expires = now
	}
	if kind == bastion.KindReview {
		r.Expires = time.Time{}
	}
	before := r
	before.Votes = append([]bastion.Vote(nil), r.Votes...)
	if r.Access != nil {
		asked := *r.Access
		before.Access = &asked
	}
	got, err := next(r, action{act: a, vote: bastion.Vote{Who: bastion.Identity{Issuer: "i", Subject: "s", Name: "n"}, Reason: "second"}, within: time.Minute}, f)
	// next has a copy of r, so it could change only what r leads to.
	if !reflect.DeepEqual(r.Votes, before.Votes) || r.Access != nil && *r.Access != *before.Access {
		t.Fatalf("%s %s %s %+v changed its argument", kind, state, a, f)
	}
	want, fits := bastion.RequestState(""), 0
	for i, x := range rules {
		if kind != "" && strings.Contains(x.of, string(kind[:1])) && x.from == state && x.act == a && x.when(f, r) {
			want = x.to
			fits++
			count[i]++
		}
	}
	switch {
	case fits > 1:
		t.Fatalf("%s %s %s %+v: %d rules", kind, state, a, f, fits)
	case fits == 0 && err == nil:
		t.Fatalf("%s %s %s due %v %+v: allowed, to %s", kind, state, a, due, f, got.State)
	case fits == 0 && !reflect.DeepEqual(got, before):
		t.Fatalf("%s %s %s %+v: refused, and changed all the same: %+v", kind, state, a, f, got)
	case fits == 1 && (err != nil || got.State != want):
		t.Fatalf("%s %s %s due %v %+v %+v: got %s, %v; want %s", kind, state, a, due, f, r, got.State, err, want)
	}
	if err != nil {
		return
	}
	votes, seen := len(got.Votes)-len(r.Votes), len(got.Seen)-len(r.Seen)
	if (votes == 1) != (a == approve || a == deny || a == comment) || votes > 1 || votes < 0 || (seen == 1) != (a == see) || got.Warned != (a == warn) {
		t.Fatalf("%s %s %s: %d more votes, %d more looks, warned %v", kind, state, a, votes, seen, got.Warned)
	}
	if ended := !got.State.Open(); ended != (got.Text == "•") || ended != !got.Ended.IsZero() {
		t.Fatalf("%s %s %s: %s with text %q, ended %v", kind, state, a, got.State, got.Text, got.Ended)
	}
	begins := state != bastion.Approved && got.State == bastion.Approved && kind == bastion.KindAccess
	if begins {
		from := now
		if bit(10) {
			from = now.Add(30 * time.Minute)
		}
		if !got.Access.From.Equal(from) || !got.Expires.Equal(from.Add(time.Hour)) || !got.Granted.Equal(now) {
			t.Fatalf("granted from %v to %v", got.Access.From, got.Expires)
		}
	}
	if kind == bastion.KindReview && (got.State == bastion.Approved || !got.Expires.IsZero()) {
		t.Fatalf("a review became %s, until %v", got.State, got.Expires)
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
		r := record{Request: bastion.Request{Kind: bastion.KindOperation, State: bastion.Pending, Holds: c.holds, Expires: now.Add(c.left)}}
		r, err := next(r, action{act: approve}, facts{now: now, may: true, apart: true, outside: true, covered: true})
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
		after, err = next(after, action{act: approve}, facts{now: later, may: true, apart: true, outside: true, covered: true})
		if err != nil || !after.Expires.Equal(r.Expires) {
			t.Errorf("%+v: a further approval moved the end to %v, %v", c, after.Expires, err)
		}
	}
}

// Zero facts let nobody do anything, and a kind that is not known can do nothing.
func TestZeroFacts(t *testing.T) {
	for _, kind := range []bastion.RequestKind{bastion.KindOperation, bastion.KindAccess, bastion.KindReview} {
		for _, state := range []bastion.RequestState{bastion.Pending, bastion.Approved} {
			for _, a := range []act{approve, deny, comment, see, use, withdraw, revoke, expire} {
				r := record{Request: bastion.Request{ID: 1, Kind: kind, State: state, Expires: time.Unix(1, 0), Access: &bastion.AccessAsked{For: 1}}}
				if got, err := next(r, action{act: a}, facts{}); err == nil {
					t.Errorf("%s %s %s: %s", kind, state, a, got.State)
				}
			}
		}
	}
}

// Nobody drowns a request in comments.
func TestCommentsAreBounded(t *testing.T) {
	r := record{Request: bastion.Request{Kind: bastion.KindReview, State: bastion.Pending}}
	for n := range MaxComments + 1 {
		var err error
		if r, err = next(r, action{act: comment, vote: bastion.Vote{Verdict: bastion.VoteComment}}, facts{reads: true}); (err != nil) != (n == MaxComments) {
			t.Fatalf("comment %d: %v", n, err)
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
		{"either role", needs(bastion.Need{Count: 2, Role: "a", Or: []string{"b"}}), [][]string{{"a"}, {"b"}}, true},
		{"one of either, twice", needs(bastion.Need{Count: 2, Role: "a", Or: []string{"b"}}), [][]string{{"a", "b"}}, false},
		{"either, and one of them besides", needs(bastion.Need{Count: 1, Role: "a", Or: []string{"b"}}, one("a")), [][]string{{"a"}, {"b"}}, true},
		{"either, and the only one of them taken", needs(bastion.Need{Count: 1, Role: "a", Or: []string{"b"}}, one("a")), [][]string{{"b"}, {"b"}}, false},
		{"a count that no machine holds", needs(bastion.Need{Count: 1 << 60, Role: "a"}), [][]string{{"a"}}, false},
	} {
		if got := covers(c.needs, c.people); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// brute tries every way of giving each needed seat a person.
func brute(seats []bastion.Need, people [][]string, taken []bool) bool {
	if len(seats) == 0 {
		return true
	}
	for p, roles := range people {
		if taken[p] || !slices.ContainsFunc(roles, seats[0].Takes) {
			continue
		}
		taken[p] = true
		ok := brute(seats[1:], people, taken)
		taken[p] = false
		if ok {
			return true
		}
	}
	return false
}

// For up to four people with any of three roles, and for all needs of up to two
// parts, the assignment is found exactly when there is one.
func TestCoversExhaustively(t *testing.T) {
	roles := []string{"a", "b", "c"}
	var parts []bastion.Need
	for bits := 1; bits < 8; bits++ {
		var of []string
		for i, r := range roles {
			if bits>>i&1 == 1 {
				of = append(of, r)
			}
		}
		for count := 1; count <= 3; count++ {
			parts = append(parts, bastion.Need{Count: count, Role: of[0], Or: of[1:]})
		}
	}
	var all []bastion.Needs
	for _, x := range parts {
		all = append(all, bastion.Needs{x})
		for _, y := range parts {
			all = append(all, bastion.Needs{x, y})
		}
	}
	var crowds [][][]string
	var add func(people [][]string, least int)
	add = func(people [][]string, least int) {
		crowds = append(crowds, slices.Clone(people))
		if len(people) == 4 {
			return
		}
		for bits := least; bits < 8; bits++ {
			var held []string
			for i, r := range roles {
				if bits>>i&1 == 1 {
					held = append(held, r)
				}
			}
			add(append(people, held), bits)
		}
	}
	add(nil, 0)
	yes := 0
	for _, needs := range all {
		var seats []bastion.Need
		for _, n := range needs {
			for range n.Count {
				seats = append(seats, n)
			}
		}
		for _, people := range crowds {
			want := brute(seats, people, make([]bool, len(people)))
			if want {
				yes++
			}
			backwards := slices.Clone(people)
			slices.Reverse(backwards)
			if covers(needs, people) != want || covers(needs, backwards) != want {
				t.Fatalf("%v by %v: should be %v", needs, people, want)
			}
		}
	}
	t.Logf("%d needs, %d crowds; %d are enough", len(all), len(crowds), yes)
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
