package recordings_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/recordings"
)

func TestRecordAndReplay(t *testing.T) {
	_, a := open(t)
	auditor := scope(t, axel, true)
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r, err := a.Start(bastion.Recording{ID: "s1", Who: alice, Origin: bastion.Origin{Address: "192.0.2.7:999", Key: "SHA256:x", Client: "SSH-2.0-x"},
		Start: began, Command: "sql shop", Width: 100, Height: 40, Operations: 99, Bytes: 99, Broken: true, End: began})
	must(t, err)
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB: many chunks, several commits
	must(t, r.Event(bastion.Event{At: time.Now(), Kind: bastion.EventStart}))
	must(t, r.Output([]byte("hello")))
	must(t, r.Output(nil))
	must(t, r.Event(decision("s1", alice, "shop", "allow", "select 1")))
	must(t, r.Event(decision("s1", alice, "shop", "deny", "drop table t")))
	must(t, r.Event(decision("s1", alice, "stock", "ask", "update t")))
	stale := decision("s1", alice, "stock", "allow", "select 2")
	stale.Error = "the sign-in is too old"
	must(t, r.Event(stale))
	must(t, r.Resize(120, 50))
	must(t, r.Resize(0, 70000))
	must(t, r.Output(big))

	want := bastion.Recording{ID: "s1", Who: alice, Origin: bastion.Origin{Address: "192.0.2.7:999", Key: "SHA256:x", Client: "SSH-2.0-x"},
		Start: began, Command: "sql shop", Width: 100, Height: 40, Bytes: int64(5 + len(big)), Targets: []string{"shop", "stock"},
		Operations: 4, Denied: 2, Asked: 1}
	compare := func(when string, got bastion.Recording) {
		t.Helper()
		got.Length = 0
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", when, d)
		}
	}
	live := replay(t, a, auditor, "s1")
	compare("living replay", live.Recording())
	list, err := a.Recordings(t.Context(), auditor, bastion.RecordingFilter{})
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("%d recordings listed, want 1", len(list))
	}
	compare("living in the list", list[0])
	before := chunks(t, live)

	must(t, r.Output([]byte("more")))
	if c, err := live.Next(); err != nil || string(c.Output) != "more" {
		t.Errorf("a living replay went on with %q, %v; want what came since", c.Output, err)
	}
	must(t, r.Close())
	must(t, r.Close())
	if err := r.Output([]byte("late")); err == nil {
		t.Error("a sealed recording took output")
	}
	if err := r.Event(decision("s1", alice, "shop", "allow", "late")); err == nil {
		t.Error("a sealed recording took an event")
	}

	sealed := replay(t, a, auditor, "s1")
	m := sealed.Recording()
	if m.End.Sub(m.Start) != m.Length || m.Length <= 0 {
		t.Errorf("start %v, end %v, length %v", m.Start, m.End, m.Length)
	}
	want.End, want.Bytes = m.End, want.Bytes+4
	compare("sealed", m)

	all := chunks(t, sealed)
	if len(all) != len(before)+1 {
		t.Errorf("%d chunks sealed, %d before", len(all), len(before))
	}
	var out []byte
	var sizes [][2]int
	at := time.Duration(0)
	for _, c := range all {
		if c.At < at {
			t.Errorf("time goes back from %v to %v", at, c.At)
		}
		at = c.At
		if len(c.Output) > 64<<10 {
			t.Errorf("a chunk of %d bytes", len(c.Output))
		}
		if c.Output == nil {
			sizes = append(sizes, [2]int{c.Width, c.Height})
		}
		out = append(out, c.Output...)
	}
	if want := slices.Concat([]byte("hello"), big, []byte("more")); !bytes.Equal(out, want) {
		t.Errorf("replayed %d bytes that differ from the %d recorded", len(out), len(want))
	}
	if want := [][2]int{{120, 50}, {80, 400}}; !slices.Equal(sizes, want) {
		t.Errorf("sizes %v, want %v", sizes, want)
	}
	var texts []string
	for i, e := range sealed.Events() {
		texts = append(texts, e.Text)
		if e.Seq != uint64(i+1) || e.Session != "s1" || e.Who != alice.ID() || e.Name != "alice" {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if want := []string{"", "select 1", "drop table t", "update t", "select 2"}; !slices.Equal(texts, want) {
		t.Errorf("events %q, want %q", texts, want)
	}
}

// Sessions whose names begin alike must not see each other's pieces.
func TestSessionsDoNotMix(t *testing.T) {
	_, a := open(t)
	auditor := scope(t, axel, true)
	var recorders []bastion.Recorder
	names := []string{"s", "s1", "s10", "s1-", "s2", "S"}
	for _, n := range names {
		recorders = append(recorders, start(t, a, n, alice))
	}
	for i := range 50 {
		for j, r := range recorders {
			must(t, r.Output(fmt.Appendf(nil, "%s/%d ", names[j], i)))
			must(t, r.Event(decision(names[j], alice, "t", "allow", fmt.Sprintf("%s/%d", names[j], i))))
		}
	}
	for j, r := range recorders {
		if j%2 == 0 {
			must(t, r.Close())
		}
	}
	for _, n := range names {
		r := replay(t, a, auditor, n)
		var got, events, want string
		for _, c := range chunks(t, r) {
			got += string(c.Output)
		}
		for _, e := range r.Events() {
			events += e.Text + " "
		}
		for i := range 50 {
			want += fmt.Sprintf("%s/%d ", n, i)
		}
		if got != want || events != want || r.Recording().Bytes != int64(len(want)) {
			t.Errorf("session %s: replayed %q and %q, %d bytes", n, got, events, r.Recording().Bytes)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	_, a := open(t)
	start(t, a, "taken", alice)
	for name, m := range map[string]bastion.Recording{
		"no name":          {Who: alice},
		"long name":        {ID: strings.Repeat("x", 65), Who: alice},
		"zero byte":        {ID: "a\x00b", Who: alice},
		"space":            {ID: "a b", Who: alice},
		"other alphabet":   {ID: "ä", Who: alice},
		"nobody":           {ID: "n"},
		"half an identity": {ID: "n", Who: bastion.Identity{Subject: "a", Name: "alice"}},
		"name in use":      {ID: "taken", Who: alice},
		"other's name":     {ID: "taken", Who: rita},
	} {
		if r, err := a.Start(m); err == nil || r != nil {
			t.Errorf("%s: recorder %v, error %v", name, r, err)
		}
	}
}

func TestZeroRefuses(t *testing.T) {
	var r recordings.Recorder
	var a recordings.Archive
	_, startErr := a.Start(bastion.Recording{ID: "s", Who: alice})
	_, listErr := a.Recordings(t.Context(), bastion.Scope{}, bastion.RecordingFilter{})
	_, replayErr := a.Replay(t.Context(), bastion.Scope{}, "s")
	_, historyErr := a.History(t.Context(), alice.ID(), "t", 1)
	_, newErr := recordings.New(recordings.Config{Dir: t.TempDir(), Now: time.Now})
	for i, err := range []error{r.Output([]byte("x")), r.Event(bastion.Event{Kind: bastion.EventStart, At: time.Now()}), r.Resize(1, 1), r.Flush(), r.Note([]byte("x")), r.Close(),
		startErr, listErr, replayErr, historyErr, newErr, a.Events(t.Context(), bastion.Scope{}, 0, func(bastion.Event) bool { return true })} {
		if err == nil {
			t.Errorf("zero value %d did not refuse", i)
		}
	}
}

func TestEventRefuses(t *testing.T) {
	for name, e := range map[string]bastion.Event{
		"unknown kind":  {Kind: "gossip", At: time.Now()},
		"zero kind":     {At: time.Now()},
		"no time":       {Kind: bastion.EventResult},
		"huge text":     {Kind: bastion.EventDecision, At: time.Now(), Text: strings.Repeat("x", bastion.MaxText+1)},
		"huge rest":     {Kind: bastion.EventDecision, At: time.Now(), Reason: strings.Repeat("x", 9<<20)},
		"bad session":   {Kind: bastion.EventSignIn, At: time.Now(), Session: "a\x00b"},
		"other person":  {Kind: bastion.EventResult, At: time.Now(), Session: "s", Who: rita.ID()},
		"no person":     {Kind: bastion.EventResult, At: time.Now(), Session: "s"},
		"other session": {Kind: bastion.EventResult, At: time.Now(), Session: "s2", Who: alice.ID()},
	} {
		t.Run(name, func(t *testing.T) {
			db, a := open(t)
			r := start(t, a, "s", alice)
			err := r.Event(e)
			if err == nil {
				t.Fatal("it was recorded")
			}
			if again := r.Output([]byte("x")); again != err {
				t.Errorf("after the failure %v, output returned %v", err, again)
			}
			if err := db.Update(func(tx store.Tx) error { return recordings.Append(tx, e) }); err == nil && e.Who == "" && e.Session != "s" {
				t.Error("append took it")
			}
		})
	}
}

// A text of the greatest length that is nothing but escapes is still an event.
func TestGreatestText(t *testing.T) {
	_, a := open(t)
	r := start(t, a, "s", alice)
	text := strings.Repeat("\x01", bastion.MaxText)
	must(t, r.Event(decision("s", alice, "t", "allow", text)))
	must(t, r.Close())
	if e := replay(t, a, scope(t, alice, false), "s").Events(); len(e) != 1 || e[0].Text != text {
		t.Error("the text did not come back")
	}
}

// Whatever happens to the wall clock, time in a recording goes forward.
func TestClockSetBack(t *testing.T) {
	db, _ := open(t)
	wall := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := wall
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(t.TempDir(), "spool"), Now: func() time.Time { return now }})
	must(t, err)
	r := start(t, a, "s", alice)
	for _, at := range []time.Duration{time.Second, 2 * time.Second, -time.Hour, -time.Hour + time.Second, -2 * time.Hour, -2*time.Hour + time.Second} {
		now = wall.Add(at)
		must(t, r.Output([]byte("x")))
		e := decision("s", alice, "t", "allow", "x")
		e.At = now
		must(t, r.Event(e))
	}
	now = wall.Add(-24 * time.Hour)
	must(t, r.Close())
	p := replay(t, a, scope(t, alice, false), "s")
	want := []time.Duration{1 * time.Second, 2 * time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second, 4 * time.Second}
	var out, events []time.Duration
	for _, c := range chunks(t, p) {
		out = append(out, c.At)
	}
	for _, e := range p.Events() {
		events = append(events, e.Offset)
	}
	if !slices.Equal(out, want) || !slices.Equal(events, want) {
		t.Errorf("output at %v, events at %v, want %v", out, events, want)
	}
	if m := p.Recording(); m.Length != 4*time.Second || !m.End.Equal(wall.Add(4*time.Second)) {
		t.Errorf("length %v, end %v", m.Length, m.End)
	}
}

func TestStoreClosed(t *testing.T) {
	db, err := store.Open(t.TempDir())
	must(t, err)
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(t.TempDir(), "spool"), Now: time.Now})
	must(t, err)
	r := start(t, a, "s", alice)
	must(t, r.Output([]byte("x")))
	must(t, db.Close())
	first := r.Output([]byte("y"))
	if !errors.Is(first, store.ErrClosed) {
		t.Fatalf("output: %v", first)
	}
	for _, err := range []error{r.Output([]byte("z")), r.Event(decision("s", alice, "t", "allow", "x")), r.Resize(80, 24), r.Close(), r.Close()} {
		if err != first {
			t.Errorf("after %v: %v", first, err)
		}
	}
	if _, err := a.Start(bastion.Recording{ID: "t", Who: alice}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("start: %v", err)
	}
	if _, err := a.Replay(t.Context(), scope(t, alice, false), "s"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("replay: %v", err)
	}
}

// A recording that nobody sealed ends, broken, with what it holds.
func TestUnsealed(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(dir)
	must(t, err)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: clock})
	must(t, err)
	out, event, empty, sealed := start(t, a, "out", alice), start(t, a, "event", alice), start(t, a, "empty", alice), start(t, a, "sealed", alice)
	now = now.Add(5 * time.Second)
	must(t, out.Output([]byte("12345")))
	now = now.Add(5 * time.Second)
	must(t, event.Event(decision("event", alice, "t", "allow", "x")))
	must(t, sealed.Close())
	now = now.Add(time.Hour)
	must(t, db.Close())
	if err := empty.Close(); err == nil {
		t.Error("sealed in a closed store")
	}

	db, err = store.Open(dir)
	must(t, err)
	defer db.Close()
	a, err = recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: clock})
	must(t, err)
	list, err := a.Recordings(t.Context(), scope(t, axel, true), bastion.RecordingFilter{All: true})
	must(t, err)
	got := map[string]string{}
	for _, r := range list {
		got[r.ID] = fmt.Sprint(r.Length, r.End.Sub(r.Start), r.Bytes, r.Broken)
	}
	want := map[string]string{"out": "5s 5s 5 true", "event": "10s 10s 0 true", "empty": "0s 0s 0 true", "sealed": "10s 10s 0 false"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("length, end, bytes, broken (-want +got):\n%s", d)
	}
	if _, err := a.Start(bastion.Recording{ID: "out", Who: alice}); err == nil {
		t.Error("a broken recording was started again")
	}
}

func TestFilter(t *testing.T) {
	db, _ := open(t)
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := day
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(t.TempDir(), "spool"), Now: func() time.Time { return now }})
	must(t, err)
	// Each runs for an hour but "long", which began first and lives.
	record := func(id string, who bastion.Identity, at time.Time, events ...bastion.Event) bastion.Recorder {
		now = at
		r := start(t, a, id, who)
		for _, e := range events {
			must(t, r.Event(e))
		}
		now = now.Add(time.Hour)
		return r
	}
	long := record("long", rita, day, decision("long", rita, "stock", "allow", "select 'ÄRMEL' -- \"quoted\" <b>\nfrom t"))
	must(t, record("one", alice, day.Add(10*time.Hour), decision("one", alice, "shop", "allow", "SELECT 1")).Close())
	must(t, record("two", anna, day.Add(20*time.Hour), bastion.Event{At: day, Kind: bastion.EventUnread, Session: "two", Who: anna.ID(), Target: "shop", Text: "selekt two"}).Close())
	must(t, record("idle", alice, day.Add(30*time.Hour)).Close())
	vote := record("vote", rita, day.Add(40*time.Hour))
	must(t, db.Update(func(tx store.Tx) error { // as approvals do it
		return recordings.Append(tx, bastion.Event{At: now, Kind: bastion.EventVote, Session: "vote", Who: rita.ID(), Name: "rita", Target: "shop", Request: 7, Text: "select voted"})
	}))
	must(t, vote.Close())

	for _, c := range []struct {
		name string
		f    bastion.RecordingFilter
		want string
	}{
		{"zero", bastion.RecordingFilter{}, "vote two one long"},
		{"all", bastion.RecordingFilter{All: true}, "vote idle two one long"},
		{"limit", bastion.RecordingFilter{All: true, Limit: 2}, "vote idle"},
		{"person", bastion.RecordingFilter{Person: "LICE"}, "one"},
		{"e-mail", bastion.RecordingFilter{Person: "ärmel@"}, "one"},
		{"all persons of a domain", bastion.RecordingFilter{Person: "example.ORG", All: true}, "vote idle two one long"},
		{"no person, but part of a statement", bastion.RecordingFilter{Person: "select"}, ""},
		{"target", bastion.RecordingFilter{Target: "shop"}, "two one"},
		{"part of a target", bastion.RecordingFilter{Target: "sho"}, ""},
		{"text", bastion.RecordingFilter{Text: "select"}, "one long"},
		{"text that was not read", bastion.RecordingFilter{Text: "selekt"}, "two"},
		{"text of a vote is not a statement", bastion.RecordingFilter{Text: "voted"}, ""},
		{"text with letters of its own", bastion.RecordingFilter{Text: "ärmel' -- \"QUOTED\" <b>\nfrom"}, "long"},
		{"text that is JSON", bastion.RecordingFilter{Text: `"kind":`}, ""},
		{"text and limit", bastion.RecordingFilter{Text: "select", Limit: 1}, "one"},
		{"since", bastion.RecordingFilter{Since: day.Add(15 * time.Hour)}, "vote two long"},
		{"since the middle", bastion.RecordingFilter{Since: day.Add(10*time.Hour + time.Minute)}, "vote two one long"},
		{"until", bastion.RecordingFilter{Until: day.Add(15 * time.Hour)}, "one long"},
		{"until the start itself", bastion.RecordingFilter{Until: day.Add(20 * time.Hour)}, "two one long"},
		{"between", bastion.RecordingFilter{Since: day.Add(12 * time.Hour), Until: day.Add(35 * time.Hour), All: true}, "idle two long"},
		{"empty time", bastion.RecordingFilter{Until: day.Add(-time.Hour)}, ""},
		{"everything", bastion.RecordingFilter{Person: "alice", Target: "shop", Text: "select 1", Since: day, Until: day.Add(11 * time.Hour)}, "one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := a.Recordings(t.Context(), scope(t, axel, true), c.f)
			must(t, err)
			if s := strings.Join(ids(got), " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
			for _, r := range got {
				if r.End.IsZero() != (r.ID == "long") {
					t.Errorf("%s ends at %v", r.ID, r.End)
				}
			}
		})
	}
	must(t, long.Close())
}

// More recordings than a page has, and none of them twice.
func TestManyRecordings(t *testing.T) {
	_, a := open(t)
	const n = 1500
	people := []bastion.Identity{alice, anna, rita}
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := w; i < n; i += 50 {
				id, who := fmt.Sprintf("s%04d", i), people[i%3]
				r, err := a.Start(bastion.Recording{ID: id, Who: who, Start: time.Unix(int64(i/4), 0)})
				if err == nil && i%10 == 0 {
					err = r.Event(decision(id, who, "t", "allow", fmt.Sprint("select ", i)))
				}
				if err == nil {
					err = r.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range []struct {
		scope bastion.Scope
		f     bastion.RecordingFilter
		want  int
	}{
		{scope(t, axel, true), bastion.RecordingFilter{All: true, Limit: 10 * n}, n},
		{scope(t, axel, true), bastion.RecordingFilter{Limit: 10 * n}, n / 10},
		{scope(t, axel, true), bastion.RecordingFilter{All: true}, 100},
		{scope(t, alice, false), bastion.RecordingFilter{All: true, Limit: 10 * n}, n / 3},
		{scope(t, axel, true), bastion.RecordingFilter{Text: "select 10"}, 12},
		{scope(t, axel, true), bastion.RecordingFilter{Person: "rita", All: true, Limit: 10 * n}, n / 3},
		{scope(t, axel, true), bastion.RecordingFilter{Person: "rita", All: true, Limit: 7}, 7},
	} {
		got, err := a.Recordings(t.Context(), c.scope, c.f)
		must(t, err)
		names := ids(got)
		if !slices.IsSortedFunc(names, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Errorf("%+v: not newest first", c.f)
		}
		if len(slices.Compact(names)) != c.want {
			t.Errorf("%+v: %d recordings, want %d", c.f, len(names), c.want)
		}
	}
}

func TestHistory(t *testing.T) {
	_, a := open(t)
	r := start(t, a, "s", alice)
	other := start(t, a, "o", anna)
	must(t, other.Event(decision("o", anna, "shop", "allow", "not alice's")))
	for i := range 700 {
		must(t, r.Event(decision("s", alice, "shop", "allow", fmt.Sprint("old ", i%3))))
	}
	connect := decision("s", alice, "shop", "allow", "connect shop")
	connect.Verb = bastion.Connect
	must(t, r.Event(connect))
	must(t, r.Event(decision("s", alice, "shop", "allow", "a")))
	must(t, r.Event(decision("s", alice, "shop", "deny", "b")))
	must(t, r.Event(decision("s", alice, "stock", "allow", "elsewhere")))
	must(t, r.Event(bastion.Event{At: time.Now(), Kind: bastion.EventUnread, Session: "s", Who: alice.ID(), Target: "shop", Text: "selec"}))
	must(t, r.Event(bastion.Event{At: time.Now(), Kind: bastion.EventResult, Session: "s", Who: alice.ID(), Target: "shop", Text: "not a statement"}))
	must(t, r.Event(decision("s", alice, "shop", "allow", "a")))
	for _, c := range []struct {
		who, target string
		limit       int
		want        string
	}{
		{alice.ID(), "shop", 10, "old 1,old 2,old 0,b,selec,a"},
		{alice.ID(), "shop", 0, "old 1,old 2,old 0,b,selec,a"},
		{alice.ID(), "shop", 4, "old 0,b,selec,a"},
		{alice.ID(), "shop", 1, "a"},
		{alice.ID(), "shop", -1, ""},
		{alice.ID(), "stock", 10, "elsewhere"},
		{alice.ID(), "sho", 10, ""},
		{anna.ID(), "shop", 10, "not alice's"},
		{"", "shop", 10, ""},
	} {
		got, err := a.History(t.Context(), c.who, c.target, c.limit)
		must(t, err)
		if s := strings.Join(got, ","); s != c.want {
			t.Errorf("history of %s on %s, %d: %q, want %q", c.who, c.target, c.limit, s, c.want)
		}
	}
}

func TestEvents(t *testing.T) {
	db, a := open(t)
	auditor := scope(t, axel, true)
	must(t, db.Update(func(tx store.Tx) error {
		for i := range 1300 {
			e := bastion.Event{Seq: 999999, At: time.Now(), Kind: bastion.EventSignIn, Who: alice.ID(), Text: fmt.Sprint(i)}
			if i%2 == 1 {
				e.Who = rita.ID()
			}
			if i == 1299 {
				e = bastion.Event{At: time.Now(), Kind: bastion.EventAlarm, Text: "1299"} // nobody's
			}
			if err := recordings.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	list := func(s bastion.Scope, from uint64, n int) (seqs []uint64) {
		t.Helper()
		must(t, a.Events(t.Context(), s, from, func(e bastion.Event) bool {
			if e.Text != fmt.Sprint(e.Seq-1) {
				t.Errorf("event %d says %q", e.Seq, e.Text)
			}
			seqs = append(seqs, e.Seq)
			return len(seqs) < n
		}))
		return seqs
	}
	for _, c := range []struct {
		name        string
		scope       bastion.Scope
		from        uint64
		n           int
		first, last uint64
		count       int
	}{
		{"auditor", auditor, 0, 9999, 1, 1300, 1300},
		{"auditor from", auditor, 1290, 9999, 1290, 1300, 11},
		{"auditor from beyond", auditor, 1301, 9999, 0, 0, 0},
		{"auditor stops", auditor, 5, 3, 5, 7, 3},
		{"alice", scope(t, alice, false), 0, 9999, 1, 1299, 650},
		{"rita from", scope(t, rita, false), 1001, 9999, 1002, 1298, 149},
		{"stranger", scope(t, anna, false), 0, 9999, 0, 0, 0},
		{"zero scope", bastion.Scope{}, 0, 9999, 0, 0, 0},
	} {
		got := list(c.scope, c.from, c.n)
		if len(got) != c.count || !slices.IsSorted(got) || c.count > 0 && (got[0] != c.first || got[len(got)-1] != c.last) {
			t.Errorf("%s: %d events, want %d from %d to %d", c.name, len(got), c.count, c.first, c.last)
		}
	}
	// Whoever reads may write: no transaction is open meanwhile.
	must(t, a.Events(t.Context(), auditor, 1300, func(e bastion.Event) bool {
		must(t, db.Update(func(tx store.Tx) error {
			return recordings.Append(tx, bastion.Event{At: time.Now(), Kind: bastion.EventReplay})
		}))
		return e.Seq < 1310
	}))
}

// A transaction that fails takes its events with it, and leaves no gap.
func TestAppendIsPartOfTheTransaction(t *testing.T) {
	db, a := open(t)
	boom := errors.New("boom")
	for i := range 10 {
		err := db.Update(func(tx store.Tx) error {
			if err := recordings.Append(tx, bastion.Event{At: time.Now(), Kind: bastion.EventSignIn, Who: alice.ID()}); err != nil {
				return err
			}
			if i%2 == 0 {
				return boom
			}
			return nil
		})
		if (i%2 == 0) != errors.Is(err, boom) {
			t.Fatal(err)
		}
	}
	var seqs []uint64
	must(t, a.Events(t.Context(), scope(t, axel, true), 0, func(e bastion.Event) bool { seqs = append(seqs, e.Seq); return true }))
	if !slices.Equal(seqs, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("events %v", seqs)
	}
}

// A slow reader must hold no transaction: closing the store waits for those.
func TestReplayHoldsNoTransaction(t *testing.T) {
	db, err := store.Open(t.TempDir())
	must(t, err)
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(t.TempDir(), "spool"), Now: time.Now})
	must(t, err)
	r := start(t, a, "s", alice)
	for range 3000 {
		must(t, r.Output([]byte("x")))
	}
	p, err := a.Replay(t.Context(), scope(t, alice, false), "s")
	must(t, err)
	_, err = p.Next()
	must(t, err)
	must(t, db.Close())
	for err == nil {
		_, err = p.Next()
	}
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("the replay ended with %v", err)
	}
}

// A recording from which something was taken is not shown as if it were whole.
func TestDamaged(t *testing.T) {
	const bucket, records = "recordings.shown", 60
	key := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte("s\x00"), n) }
	for name, harm := range map[string]func(store.Tx) error{
		"first":  func(tx store.Tx) error { return tx.Delete(bucket, key(0)) },
		"middle": func(tx store.Tx) error { return tx.Delete(bucket, key(30)) },
		"last":   func(tx store.Tx) error { return tx.Delete(bucket, key(records-1)) },
		"all": func(tx store.Tx) error {
			for n := range uint64(records) {
				if err := tx.Delete(bucket, key(n)); err != nil {
					return err
				}
			}
			return nil
		},
		"cut": func(tx store.Tx) error { return tx.Put(bucket, key(30), []byte("123")) },
		"changed": func(tx store.Tx) error {
			v := bytes.Clone(tx.Get(bucket, key(30)))
			v[len(v)-1] ^= 1
			return tx.Put(bucket, key(30), v)
		},
		"another": func(tx store.Tx) error { return tx.Put(bucket, key(30), tx.Get(bucket, key(31))[:0]) },
	} {
		t.Run(name, func(t *testing.T) {
			db, a := open(t)
			r := start(t, a, "s", alice)
			for _, other := range []string{"r", "s1", "t"} { // their chunks lie beside it
				o := start(t, a, other, alice)
				must(t, o.Output([]byte("x")))
				must(t, o.Flush())
			}
			for range records {
				must(t, r.Output([]byte("x")))
				must(t, r.Flush())
			}
			must(t, r.Close())
			p := replay(t, a, scope(t, alice, false), "s")
			if n := len(chunks(t, p)); n != records {
				t.Fatalf("%d chunks before the harm", n)
			}
			must(t, db.Update(harm))
			p = replay(t, a, scope(t, alice, false), "s")
			var err error
			for err == nil {
				_, err = p.Next()
			}
			if errors.Is(err, io.EOF) {
				t.Error("nobody noticed")
			}
			if err := recordings.Cast(io.Discard, replay(t, a, scope(t, alice, false), "s")); err == nil {
				t.Error("it became a cast")
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	_, a := open(t)
	r := start(t, a, "s", alice)
	must(t, r.Output([]byte("x")))
	ctx, cancel := context.WithCancel(t.Context())
	s := scope(t, alice, false)
	p, err := a.Replay(ctx, s, "s")
	must(t, err)
	cancel()
	if _, err := p.Next(); err != nil {
		t.Errorf("a replay outlives the context that opened it, but: %v", err)
	}
	_, listErr := a.Recordings(ctx, s, bastion.RecordingFilter{})
	_, replayErr := a.Replay(ctx, s, "s")
	must(t, r.Event(decision("s", alice, "t", "allow", "x")))
	_, historyErr := a.History(ctx, alice.ID(), "t", 1)
	for _, err := range []error{listErr, replayErr, historyErr, a.Events(ctx, s, 0, func(bastion.Event) bool { return true })} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	must(t, p.Close())
	if _, err := p.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a closed replay: %v", err)
	}
}

// Many sessions at once, each with output and events in parallel.
func TestParallel(t *testing.T) {
	_, a := open(t)
	watch := scope(t, axel, true)
	var wg sync.WaitGroup
	for i := range 64 {
		id := fmt.Sprint("s", i)
		r := start(t, a, id, alice)
		wg.Go(func() {
			var inner sync.WaitGroup
			inner.Go(func() {
				for n := range 20 {
					if err := r.Output(fmt.Appendf(nil, "%d,", n)); err != nil {
						t.Error(err)
					}
				}
			})
			inner.Go(func() {
				for n := range 20 {
					if err := r.Event(decision(id, alice, "t", "allow", fmt.Sprint(n))); err != nil {
						t.Error(err)
					}
				}
			})
			inner.Go(func() { // somebody looks on
				for range 10 {
					p, err := a.Replay(t.Context(), watch, id)
					for err == nil {
						_, err = p.Next()
					}
					if !errors.Is(err, io.EOF) {
						t.Error(err)
					}
				}
			})
			inner.Wait()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := scope(t, alice, false)
	for i := range 64 {
		p := replay(t, a, s, fmt.Sprint("s", i))
		if m := p.Recording(); m.Operations != 20 || len(p.Events()) != 20 || m.Bytes != 50 || len(chunks(t, p)) != 20 {
			t.Errorf("session %d: %+v", i, m)
		}
	}
}
