package recordings_test

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/recordings"
)

// again is what is read of events that were written as one run.
func again(t testing.TB, events ...bastion.Event) ([]byte, []bastion.Event) {
	t.Helper()
	b, err := recordings.Run(events...)
	must(t, err)
	got, starts, err := recordings.ReadRuns(b)
	must(t, err)
	if len(starts) > 0 && !starts[0] {
		t.Error("the first event does not begin the run")
	}
	return b, got
}

var kindsOfEvent = []bastion.EventKind{
	bastion.EventSignIn, bastion.EventStart, bastion.EventEnd, bastion.EventDecision, bastion.EventUnread,
	bastion.EventRequest, bastion.EventVote, bastion.EventUse, bastion.EventWithdrawn, bastion.EventExpired,
	bastion.EventResult, bastion.EventReplay, bastion.EventResize, bastion.EventRefused, bastion.EventAlarm,
	bastion.EventUnbind, bastion.EventRevoke, bastion.EventRestore,
	bastion.EventPrepare, bastion.EventTask, bastion.EventAct, bastion.EventRetry,
}

// filled is an event with something in each field that it has, also in those
// that it will have one day. The number gives its own kind of each.
func filled(t testing.TB, n int) (e bastion.Event) {
	t.Helper()
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); x := f.Addr().Interface().(type) {
		case *bastion.EventKind:
			*x = kindsOfEvent[n%len(kindsOfEvent)]
		case *time.Time:
			*x = time.Date(2026, 3, 1, 12, 0, n, 999999999-n, time.UTC)
		case **bastion.Origin:
			*x = &bastion.Origin{Address: fmt.Sprint("address ", n), Key: "key", Client: fmt.Sprint("client ", n)}
		case *[]string:
			*x = []string{fmt.Sprint("a ", i), "", fmt.Sprint("b ", n)}
		default:
			switch f.Kind() {
			case reflect.String:
				f.SetString(fmt.Sprint("text ", i, " of ", n))
			case reflect.Int64:
				f.SetInt(int64(n - 2*i))
			case reflect.Uint64:
				f.SetUint(uint64(n + i))
			default:
				t.Fatalf("a field of kind %v", f.Kind())
			}
		}
	}
	e.Seq = 0 // which the log gives
	return e
}

// Every field of an event comes back, whatever stood before it.
func TestEventEncoding(t *testing.T) {
	var events []bastion.Event
	for n := range 3 * len(kindsOfEvent) {
		whole := filled(t, n)
		events = append(events, whole, bastion.Event{Kind: whole.Kind, At: whole.At}, whole)
		v := reflect.ValueOf(whole)
		for i := range v.NumField() {
			one := bastion.Event{Kind: whole.Kind, At: whole.At}
			reflect.ValueOf(&one).Elem().Field(i).Set(v.Field(i))
			events = append(events, one)
		}
	}
	digest := strings.Repeat("0123456789abcdef", 4)
	for _, d := range []string{digest, digest, strings.ToUpper(digest), digest[1:], "a", "aa", "0g", ""} {
		events = append(events, bastion.Event{Kind: bastion.EventDecision, At: time.Unix(-5, 7).UTC(), Digest: d, Text: d})
	}
	events = append(events,
		bastion.Event{Kind: bastion.EventResult, At: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), Took: math.MaxInt64, Rows: math.MinInt64, Request: math.MaxUint64, Offset: math.MaxInt64},
		bastion.Event{Kind: bastion.EventResult, At: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), Took: math.MinInt64, Rows: math.MaxInt64, Offset: math.MinInt64},
		bastion.Event{Kind: bastion.EventUnread, At: time.Unix(0, 0).UTC(), Text: "\xff\x00 no text", Params: []string{"\xff", ""}})
	_, got := again(t, events...)
	if d := cmp.Diff(events, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A caller may go on using what it gave, and a reader what it got.
func TestEncodingSharesNothing(t *testing.T) {
	masked := []string{"a", "b"}
	e := bastion.Event{Kind: bastion.EventResult, At: time.Unix(1, 0).UTC(), Masked: masked, By: masked, Params: masked}
	db, a := open(t)
	r := start(t, a, "s", alice)
	record := func(e bastion.Event) {
		e.Session, e.Who = "s", alice.ID()
		must(t, r.Event(e))
	}
	record(e)
	masked[0] = "c"
	record(e)
	must(t, r.Flush())
	if n := count(t, db, "recordings.block"); n != 1 {
		t.Errorf("%d blocks", n)
	}
	es := replay(t, a, scope(t, alice, false), "s").Events()
	for i, want := range []string{"a", "c"} {
		for _, list := range [][]string{es[i].Masked, es[i].By, es[i].Params} {
			if list[0] != want {
				t.Errorf("event %d has %q", i, list)
			}
			list[0] = "changed"
		}
	}
}

// What comes again is not written again.
func TestRunIsSmall(t *testing.T) {
	text := "select 'needle'" + strings.Repeat(" from orders where id = $1", 300)
	var events []bastion.Event
	for n := range 1000 {
		d := decision("s", alice, "shop", "allow", text)
		d.Digest, d.Rule = fmt.Sprintf("%064x", n), "production/read"
		r := result("s", alice, 1)
		r.Digest, r.Masked = d.Digest, []string{"email", "phone"}
		events = append(events, d, r)
	}
	b, got := again(t, events...)
	if strings.Count(string(b), "needle") != 1 {
		t.Error("the text stands there more than once, or never")
	}
	if per := (len(b) - len(text)) / 1000; per > 80 {
		t.Errorf("a statement takes %d bytes beside its text", per)
	}
	if len(got) != len(events) || got[1999].Digest != events[1999].Digest || got[1998].Text != text {
		t.Error("it does not come back")
	}
}

// A run ends before it is too much for a reader.
func TestRunsEnd(t *testing.T) {
	for name, text := range map[string]string{"many": "x", "large": strings.Repeat("x", 50_000)} {
		var events []bastion.Event
		for n := range 10_000 {
			if name == "large" && n == 100 {
				break
			}
			events = append(events, decision("s", alice, "shop", "allow", fmt.Sprint(n, text)))
		}
		b, err := recordings.Run(events...)
		must(t, err)
		got, starts, err := recordings.ReadRuns(b)
		must(t, err)
		runs, size := 0, 0
		for i, s := range starts {
			if s {
				runs, size = runs+1, 0
			}
			if size += len(got[i].Text); size > 512<<10 {
				t.Fatalf("%s: a run of %d bytes", name, size)
			}
			if got[i].Text != events[i].Text {
				t.Fatalf("%s: event %d is another", name, i)
			}
		}
		if runs < 3 {
			t.Errorf("%s: %d runs", name, runs)
		}
	}
}

// A block that was changed anywhere is not read as something else.
func TestBlockDamaged(t *testing.T) {
	run, err := recordings.Run(filled(t, 1), filled(t, 2), filled(t, 1))
	must(t, err)
	v := recordings.Block(3, run)
	if es, err := recordings.ReadBlock(7, v); err != nil || len(es) != 3 || es[2].Seq != 9 {
		t.Fatalf("%v, %v", es, err)
	}
	for i := range v {
		b := bytes.Clone(v)
		b[i] ^= 1
		if _, err := recordings.ReadBlock(1, b); err == nil {
			t.Errorf("byte %d changed, and nobody noticed", i)
		}
		if _, err := recordings.ReadBlock(1, v[:i]); err == nil {
			t.Errorf("cut to %d bytes, and nobody noticed", i)
		}
	}
	for _, n := range []int{0, 1, 2, 4, 1 << 40} {
		if _, err := recordings.ReadBlock(1, recordings.Block(n, run)); err == nil {
			t.Errorf("said to have %d events, and nobody noticed", n)
		}
	}
}

// FuzzRuns reads any bytes as runs. What can be read can be written, and read again as the same.
func FuzzRuns(f *testing.F) {
	for n := range 20 {
		b, err := recordings.Run(filled(f, n), decision("s", alice, "t", "allow", "select 1"), result("s", alice, int64(n)), filled(f, n))
		must(f, err)
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(b[n:])
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, starts, _ := recordings.ReadRuns(b)
		if len(events) > len(b) || len(events) > 0 && !starts[0] {
			t.Fatalf("%d events of %d bytes, the first of a run: %v", len(events), len(b), starts)
		}
		if len(events) == 0 {
			return
		}
		_, got := again(t, events...)
		if d := cmp.Diff(events, got); d != "" {
			t.Errorf("(-first +second):\n%s", d)
		}
		if _, err := recordings.ReadBlock(1, b); err == nil {
			return // a block, by some chance
		}
		if es, err := recordings.ReadBlock(5, recordings.Block(len(events), b)); err == nil && es[len(es)-1].Seq != uint64(4+len(es)) {
			t.Error("a block's events are not numbered one after another")
		}
	})
}

// FuzzEvent writes any events and reads them.
func FuzzEvent(f *testing.F) {
	f.Add("select 1", "abcdef0123456789", "allow", int64(1), int64(2), uint64(3), byte(3))
	f.Add("", "", "", int64(-1), int64(math.MinInt64), uint64(math.MaxUint64), byte(10))
	f.Add("\xff", strings.Repeat("0a", 32), "\x00", int64(math.MaxInt64), int64(0), uint64(0), byte(255))
	f.Fuzz(func(t *testing.T, text, digest, other string, x, y int64, z uint64, kind byte) {
		if len(text) > bastion.MaxText {
			return
		}
		a := bastion.Event{Kind: kindsOfEvent[int(kind)%len(kindsOfEvent)], At: time.Unix(x%1e11, z2(z)).UTC(), Text: text, Digest: digest, Reason: other,
			Rows: x, Took: time.Duration(y), Request: z, Offset: time.Duration(y), Params: []string{text, other}}
		b := bastion.Event{Kind: kindsOfEvent[int(z%7)], At: time.Unix(y%1e11, 0).UTC(), Text: other, Digest: other, Error: text, Target: digest,
			Masked: []string{other, text}, By: []string{digest}, Origin: &bastion.Origin{Address: text, Key: digest, Client: other}}
		want := []bastion.Event{a, b, a, a, b, {Kind: a.Kind, At: b.At}, b}
		_, got := again(t, want...)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func z2(z uint64) int64 { return int64(z % uint64(time.Second)) }

// FuzzRecord reads any bytes as a record of what was shown, and any chunks come back from one.
func FuzzRecord(f *testing.F) {
	f.Add(recordings.Record([]bastion.Chunk{{At: 5, Output: []byte("hello")}, {At: 7, Output: []byte("x")}}), int64(9))
	f.Add([]byte{}, int64(0))
	f.Add([]byte{0, 0, 0, 0}, int64(1))
	f.Fuzz(func(t *testing.T, b []byte, step int64) {
		if cs, err := recordings.ReadRecord(b); err == nil {
			for i, c := range cs {
				if c.At < 0 || i > 0 && c.At < cs[i-1].At {
					t.Errorf("time goes back to %v", c.At)
				}
			}
		}
		var want []bastion.Chunk
		for i, p := range bytes.SplitAfter(b, []byte{0}) {
			want = append(want, bastion.Chunk{At: time.Duration(i) * time.Duration(step&0xffffffff), Output: p})
		}
		got, err := recordings.ReadRecord(recordings.Record(want))
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		harmed := recordings.Record(want)
		harmed[len(harmed)-1] ^= 1
		if _, err := recordings.ReadRecord(harmed); err == nil {
			t.Error("a changed record was read")
		}
	})
}

// FuzzTally reads any bytes as what a living recording has.
func FuzzTally(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1<<2 | 1, 't', 1, 2<<2 | 1, 'a', 'b'})
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := recordings.AgainTally(b)
		if err != nil {
			return
		}
		second, err := recordings.AgainTally(first)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%x became %x, %v", first, second, err)
		}
	})
}
