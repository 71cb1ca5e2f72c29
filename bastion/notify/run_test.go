package notify_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

const local = "http://127.0.0.1/hook"

// A note goes at once to every channel, once, and is gone from the outbox.
func TestDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, with(http.StatusNoContent))
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), s.dial, hook(t, "one", local+"/1"), hook(t, "two", local+"/2")).run()
		began := time.Now()
		w.put(asked(17))
		synctest.Wait()
		got := s.arrivals()
		if len(got) != 2 || got[0].key() == got[1].key() || got[0].path == got[1].path {
			t.Fatalf("got %v", got)
		}
		for _, a := range got {
			if !a.at.Equal(began) {
				t.Errorf("it took %s", a.at.Sub(began))
			}
		}
		want := []bastion.Delivery{{Channel: "one", Delivered: 1}, {Channel: "two", Delivered: 1}}
		if diff := cmp.Diff(want, w.counts()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(48 * time.Hour)
		if n := len(s.arrivals()); n != 2 {
			t.Errorf("%d arrivals later", n)
		}
	})
}

// What is put before Run, or by a transaction that fails.
func TestPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, with(http.StatusOK))
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), s.dial, hook(t, "one", local))
		w.put(asked(1), asked(2))
		broken := errors.New("the caller's own error")
		if err := w.db.Update(func(tx store.Tx) error {
			return errors.Join(w.Put(tx, asked(3)), broken)
		}); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		for _, k := range []notify.Kind{"", "requests"} {
			if err := w.db.Update(func(tx store.Tx) error { return w.Put(tx, of(k, 4)) }); err == nil {
				t.Errorf("kind %q was taken", k)
			}
		}
		w.run()
		synctest.Wait()
		if got := s.arrivals(); len(got) != 2 {
			t.Errorf("got %d", len(got))
		}
		// While it runs, too, nothing comes of what fails.
		if err := w.db.Update(func(tx store.Tx) error {
			return errors.Join(w.Put(tx, asked(5)), broken)
		}); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := s.arrivals(); len(got) != 2 {
			t.Errorf("got %d", len(got))
		}
	})
}

// Attempts that fail come again with growing pauses for about a day; then the
// letter is dead, is seen, and can be sent after all, under the same key.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works := false
		s := serve(t, func(w http.ResponseWriter, _ *http.Request, _ arrival) {
			if !works {
				http.Error(w, "the server's own words", http.StatusInternalServerError)
			}
		})
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), s.dial, hook(t, "one", local)).run()
		w.put(asked(17))
		synctest.Wait()
		if c := w.counts()[0]; c.Waiting != 1 || c.Failed != 1 || c.Error != "it answered 500 Internal Server Error" {
			t.Errorf("after one attempt: %+v", c)
		}
		time.Sleep(7 * 24 * time.Hour)
		got := s.arrivals()
		if len(got) != notify.Attempts {
			t.Fatalf("%d attempts", len(got))
		}
		nominal := 2 * time.Second
		same := 0
		for i := 1; i < len(got); i++ {
			gap := got[i].at.Sub(got[i-1].at)
			if gap < nominal*4/5 || gap > nominal*6/5 {
				t.Errorf("pause %d is %s, nominally %s", i, gap, nominal)
			}
			if gap == nominal {
				same++
			}
			nominal = min(2*nominal, notify.LongestPause)
		}
		if same == len(got)-1 {
			t.Error("no pause differs from what all others have")
		}
		if all := got[len(got)-1].at.Sub(got[0].at); all < 18*time.Hour || all > 30*time.Hour {
			t.Errorf("it went on for %s", all)
		}
		dead := w.dead()
		want := []bastion.Letter{{ID: 1, Channel: "one", Kind: "request", Request: 17, Target: "shop-production", At: start,
			Attempts: notify.Attempts, Last: got[len(got)-1].at.UTC(), Error: "it answered 500 Internal Server Error"}}
		if diff := cmp.Diff(want, dead); diff != "" {
			t.Fatal(diff)
		}
		if c := w.counts()[0]; c.Waiting != 0 || c.Dead != 1 || c.Failed != notify.Attempts || c.Delivered != 0 {
			t.Errorf("got %+v", c)
		}
		if log := w.log.String(); strings.Count(log, "tried again") != 1 || strings.Count(log, "given up") != 1 || strings.Contains(log, "own words") {
			t.Errorf("logged:\n%s", log)
		}

		if err := w.Retry(t.Context(), 2); !errors.Is(err, bastion.ErrNotFound) {
			t.Errorf("a letter that is not there: %v", err)
		}
		works = true
		began := time.Now()
		if err := w.Retry(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got = s.arrivals()
		last := got[len(got)-1]
		if len(got) != notify.Attempts+1 || last.key() != got[0].key() || !last.at.Equal(began) {
			t.Errorf("retried: %d, key %s, %s", len(got), last.key(), last.at.Sub(began))
		}
		if c := w.counts()[0]; c.Dead != 0 || c.Waiting != 0 || c.Delivered != 1 {
			t.Errorf("got %+v", c)
		}
		if err := w.Retry(t.Context(), 1); !errors.Is(err, bastion.ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
	})
}

// A restart neither forgets attempts nor makes new ones of old, and keeps the key.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, with(http.StatusBadGateway))
		db := storetest.Open(t, storetest.Dir(t))
		channel := hook(t, "one", local)
		first := newWorld(t, db, s.dial, channel).run()
		first.put(asked(17))
		time.Sleep(time.Minute)
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		before := len(s.arrivals())
		time.Sleep(time.Hour)
		if n := len(s.arrivals()); n != before || n < 4 {
			t.Fatalf("%d arrivals, and after the end %d", before, n)
		}
		second := newWorld(t, db, s.dial, channel).run()
		time.Sleep(7 * 24 * time.Hour)
		got := s.arrivals()
		if len(got) != notify.Attempts || len(second.dead()) != 1 {
			t.Errorf("%d attempts, %d dead", len(got), len(second.dead()))
		}
		for _, a := range got {
			if a.key() != got[0].key() || a.key() == "" {
				t.Errorf("key %q, then %q", got[0].key(), a.key())
			}
		}
	})
}

// The end of Run cuts what is on its way, and that is no attempt.
func TestCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := serve(t, func(w http.ResponseWriter, r *http.Request, _ arrival) {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		})
		db := storetest.Open(t, storetest.Dir(t))
		channel := hook(t, "one", local)
		first := newWorld(t, db, s.dial, channel).run()
		first.put(asked(17))
		synctest.Wait()
		if err := first.Run(t.Context()); err == nil {
			t.Error("two at once")
		}
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		if c := first.counts()[0]; c.Failed != 0 || c.Waiting != 1 || first.log.String() != "" {
			t.Errorf("got %+v, logged %s", c, first.log)
		}
		close(hold)
		second := newWorld(t, db, s.dial, channel).run()
		synctest.Wait()
		if c := second.counts()[0]; c.Delivered != 1 || c.Waiting != 0 {
			t.Errorf("got %+v", c)
		}
		if got := s.arrivals(); len(got) != 2 || got[0].key() != got[1].key() {
			t.Errorf("got %d", len(got))
		}
	})
}

// A channel that hangs has only so many places, holds up no other channel, and no
// alarm of its own.
func TestEmergencyOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request, a arrival) {
			if a.path == "/hook/slow" && !strings.Contains(string(a.body), `"kind":"emergency"`) {
				<-r.Context().Done()
			}
		})
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), s.dial, hook(t, "slow", local+"/slow"), hook(t, "quick", local+"/quick")).run()
		for i := range uint64(40) {
			w.put(asked(i + 1))
		}
		synctest.Wait()
		c := w.counts()
		if c[0].Waiting != 40 || c[1].Waiting != 0 || c[1].Delivered != 40 {
			t.Errorf("got %+v", c)
		}
		began := time.Now()
		w.put(of(notify.Emergency, 99))
		synctest.Wait()
		if !time.Now().Equal(began) {
			t.Errorf("it took %s", time.Since(began))
		}
		alarms, held := 0, 0
		for _, a := range s.arrivals() {
			if strings.Contains(string(a.body), `"request":99`) {
				alarms++
			} else if a.path == "/hook/slow" {
				held++
			}
		}
		if alarms != 2 || held != notify.Places {
			t.Errorf("%d alarms arrived, %d others are held", alarms, held)
		}
		time.Sleep(notify.Patience)
		synctest.Wait()
		if c := w.counts()[0]; c.Failed != notify.Places || c.Error != "it did not answer in time" {
			t.Errorf("got %+v", c)
		}
	})
}

// Emergencies go to everybody, whatever the filters say.
func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, with(http.StatusOK))
		channels := []notify.Channel{hook(t, "all", local+"/all"), hook(t, "kinds", local+"/kinds"), hook(t, "targets", local+"/targets"), hook(t, "none", local+"/none")}
		channels[1].Kinds = []notify.Kind{notify.Request, notify.Review}
		channels[2].Targets = []string{"shop-staging"}
		channels[3].Targets = []string{}
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), s.dial, channels...).run()
		for _, c := range []struct {
			note notify.Note
			want string
		}{
			{asked(1), "all kinds"},
			{of(notify.Used, 2), "all"},
			{of(notify.Emergency, 3), "all kinds none targets"},
			{notify.Note{Kind: notify.Review, Request: 4, Target: "shop-staging"}, "all kinds targets"},
			{notify.Note{Kind: notify.Denied, Request: 5}, "all"},
		} {
			before := len(s.arrivals())
			w.put(c.note)
			synctest.Wait()
			var to []string
			for _, a := range s.arrivals()[before:] {
				to = append(to, strings.TrimPrefix(a.path, "/hook/"))
			}
			slices.Sort(to)
			if got := strings.Join(to, " "); got != c.want {
				t.Errorf("%s %d went to %s, want %s", c.note.Kind, c.note.Request, got, c.want)
			}
		}
	})
}

// A server may ask for patience, and for no more than an hour of it.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		header string
		want   time.Duration
	}{
		{"", 0}, {"7", 7 * time.Second}, {"-7", 0}, {"99999", time.Hour}, {"99999999999999999999", 0}, {"soon", 0},
		{start.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second}, {start.Add(-time.Hour).Format(http.TimeFormat), 0},
	} {
		if got := notify.RetryAfter(c.header, start); got != c.want {
			t.Errorf("%q: %s, want %s", c.header, got, c.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, nil)
		s.answer = func(w http.ResponseWriter, _ *http.Request, _ arrival) {
			if len(s.arrivals()) == 1 {
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), s.dial, hook(t, "one", local)).run()
		w.put(asked(1))
		time.Sleep(time.Hour)
		if got := s.arrivals(); len(got) != 2 || got[1].at.Sub(got[0].at) != 10*time.Minute {
			t.Errorf("got %v", got)
		}
	})
}

// A channel that left the configuration keeps nobody waiting: its letters are
// seen among the dead, and wait there for its return.
func TestChannelGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, with(http.StatusServiceUnavailable))
		db := storetest.Open(t, storetest.Dir(t))
		old := hook(t, "old", local)
		newWorld(t, db, s.dial, old, hook(t, "new", local)).put(asked(1))
		w := newWorld(t, db, s.dial, hook(t, "new", local)).run()
		synctest.Wait()
		if d := w.dead(); len(d) != 1 || d[0].Channel != "old" || d[0].Error != "its channel is not in the configuration any more" {
			t.Errorf("got %+v", d)
		}
		if err := w.Retry(t.Context(), w.dead()[0].ID); err == nil || len(w.dead()) != 1 {
			t.Errorf("retried: %v", err)
		}
	})
}

// Nothing is late because the clock was set back.
func TestClockSetBack(t *testing.T) {
	dir := storetest.Dir(t)
	ahead := func(t *testing.T) { // in a bubble the clock begins in the year 2000
		s := serve(t, with(http.StatusServiceUnavailable))
		w := newWorld(t, storetest.Open(t, dir), s.dial, hook(t, "one", local)).run()
		w.put(asked(1))
		synctest.Wait()
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		w.put(asked(2))
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(365 * 24 * time.Hour)
		ahead(t)
	})
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, with(http.StatusOK))
		w := newWorld(t, storetest.Open(t, dir), s.dial, hook(t, "one", local)).run()
		synctest.Wait()
		if n := len(s.arrivals()); n != 2 {
			t.Errorf("%d arrived at once; %+v", n, w.counts())
		}
	})
}

// A store that is closed ends Run, with an error, and not the bastion.
func TestStoreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, with(http.StatusOK))
		db, err := store.Open(storetest.Dir(t))
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, db, s.dial, hook(t, "one", local))
		ended := make(chan error)
		go func() { ended <- w.Run(context.Background()) }()
		synctest.Wait()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx store.Tx) error { return w.Put(tx, asked(1)) }); !errors.Is(err, store.ErrClosed) {
			t.Errorf("put: %v", err)
		}
		w.Ring()
		if err := <-ended; !errors.Is(err, store.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// Too many dead letters push out the oldest, and that is told.
func TestMaxDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, storetest.Dir(t))
		s := serve(t, with(http.StatusOK))
		gone := newWorld(t, db, s.dial, hook(t, "gone", local))
		var notes []notify.Note
		for i := range uint64(notify.MaxDead + 7) {
			notes = append(notes, notify.Note{Kind: notify.Used, Request: i + 1})
		}
		gone.put(notes...)
		w := newWorld(t, db, s.dial, hook(t, "here", local)).run()
		synctest.Wait()
		if d := w.dead(); len(d) != notify.MaxDead || d[0].Request != 8 {
			t.Errorf("%d dead, the first of request %d", len(d), d[0].Request)
		}
	})
}

// Nothing is lost in a crowd: many put at once while half of all attempts fail.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, nil)
		s.answer = func(w http.ResponseWriter, _ *http.Request, a arrival) {
			if seen := len(s.arrivals()); seen%2 == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), s.dial, hook(t, "one", local), hook(t, "two", local)).run()
		done := make(chan struct{})
		for g := range 8 {
			go func() {
				defer func() { done <- struct{}{} }()
				for i := range 25 {
					w.put(asked(uint64(g*25 + i + 1)))
				}
			}()
		}
		for range 8 {
			<-done
		}
		time.Sleep(24 * time.Hour)
		for _, c := range w.counts() {
			if c.Delivered != 200 || c.Waiting != 0 || c.Dead != 0 || c.Failed == 0 {
				t.Errorf("got %+v", c)
			}
		}
		keys := map[string]bool{}
		for _, a := range s.arrivals() {
			keys[a.key()] = true
		}
		if len(keys) != 400 || s.crowd > 4*notify.Places {
			t.Errorf("%d letters arrived, %d at once", len(keys), s.crowd)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	db := storetest.Open(t, storetest.Dir(t))
	good := hook(t, "one", local)
	for i, c := range []notify.Config{
		{},
		{DB: db},
		{DB: db, Channels: []notify.Channel{good}},
		{DB: db, Address: "-oProxyCommand=x", Channels: []notify.Channel{good}},
		{DB: db, Address: address, Channels: []notify.Channel{good, good}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "none"}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Webhook: good.Webhook}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "x", Webhook: &notify.Webhook{URL: local}}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "x", Webhook: &notify.Webhook{Secret: good.Webhook.Secret}}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "x", Webhook: &notify.Webhook{URL: "http://example.com/", Secret: good.Webhook.Secret}}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "x", Webhook: &notify.Webhook{URL: local, Secret: good.Webhook.Secret, CA: "no such file"}}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "x", Kinds: []notify.Kind{"requests"}, Webhook: good.Webhook}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "x", Email: &notify.Email{Server: "smtp.example.com:25", TLS: notify.NoTLS, From: "a@b.example"}}}},
		{DB: db, Address: address, Channels: []notify.Channel{{Name: "x", Email: &notify.Email{Server: "smtp.example.com:25", From: "a@b.example\r\nBcc: c@d.example"}}}},
	} {
		if i > 1 {
			c.Log = slog.New(slog.DiscardHandler)
		}
		if _, err := notify.New(c); err == nil {
			t.Errorf("configuration %d was accepted", i)
		}
	}
	for _, a := range []string{"", "-x", "a b", "a;b", "a:0", "a:b", "a:1:2", "a\n", "$(x)", "[::1]", "fe80::1%eth0", "a:70000", "ä.example"} {
		if notify.CheckAddress(a) == nil {
			t.Errorf("address %q was accepted", a)
		}
	}
	for _, a := range []string{"bastion", "b.example.com:22", "10.0.0.1", "[::1]:2222", "1a.b-c"} {
		if err := notify.CheckAddress(a); err != nil {
			t.Errorf("address %q: %v", a, err)
		}
	}
	for _, u := range []string{"", "x", "ftp://a/", "http://example.com/", "https:///x", "https://u:hunter2@a/", "http://hunter2\x7f/", "http:a", "https://", "http://127.0.0.1.example.com/", "%"} {
		if err := notify.CheckURL(u); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("URL %q: %v", u, err)
		}
	}
	for _, u := range []string{"https://a/b?c=d", "http://localhost:80/", "http://[::1]/", "http://127.9.9.9/"} {
		if err := notify.CheckURL(u); err != nil {
			t.Errorf("URL %q: %v", u, err)
		}
	}
}
