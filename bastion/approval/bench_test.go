package approval_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/bastiontest"
)

var past = flag.Int("past", 20_000, "past requests in benchmarks")

// BenchmarkLists reads lists over a long history: go test -bench Lists -past 1000000.
func BenchmarkLists(b *testing.B) {
	w := newWorld(b, everybody()...)
	work := make(chan int)
	done := make(chan error)
	const workers = 40 // they share commits; one person may have no more than 50 open
	for range workers {
		go func() {
			for n := range work {
				who := alice
				if n%1000 == 0 {
					who = ben
				}
				r, err := w.File(context.Background(), ask(who, plan(number(n)), need(1, "reviewer")))
				if err == nil {
					_, err = w.Withdraw(context.Background(), who, r.ID)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for n := range *past {
		if n%100 == 0 {
			w.Pass(time.Hour) // nobody asks for more at once
		}
		work <- n
	}
	close(work)
	for range workers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	for n := range 20 {
		w.file(ask(alice, plan(number(n)), need(1, "reviewer")))
	}
	for _, c := range []struct {
		name string
		who  bastion.Identity
		f    bastion.RequestFilter
	}{
		{"queue", rita, bastion.RequestFilter{Decide: true}},
		{"open", axel, bastion.RequestFilter{Open: true}},
		{"history", axel, bastion.RequestFilter{}},
		{"mine", ben, bastion.RequestFilter{Mine: true, Limit: 10}},
		{"nobody's", bastiontest.Person("eve"), bastion.RequestFilter{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.Requests(b.Context(), c.who, c.f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			if _, ok, err := w.Find(b.Context(), alice, plan(number(7))); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
	})
	one := w.file(ask(alice, plan("update beside"), need(1, "reviewer")))
	b.Run("beside", func(b *testing.B) {
		for b.Loop() {
			if h, err := w.Past(b.Context(), rita, one.ID); err != nil || h.Shape.Total != *past {
				b.Fatal(h, err)
			}
		}
	})
	b.Run("sweep of nothing", func(b *testing.B) {
		for b.Loop() {
			if err := w.Sweep(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ask and withdraw", func(b *testing.B) {
		for b.Loop() {
			r, err := w.File(b.Context(), ask(ben, plan("again"), need(1, "reviewer")))
			if err == nil {
				_, err = w.Withdraw(b.Context(), ben, r.ID)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restart", func(b *testing.B) {
		for b.Loop() {
			w.service(w.Now)
		}
	})
}

// BenchmarkGrants asks before an operation what somebody was granted, while a
// thousand others were granted something too.
func BenchmarkGrants(b *testing.B) {
	w := newWorld(b, everybody()...)
	for n := range 1000 {
		w.access(urgent(bastiontest.Person("p" + number(n))))
	}
	r := w.access(want(alice, "writer"))
	w.approves(rita, r.ID)
	windowed := want(ben, "writer")
	windowed.Asked.Window = "mon-fri 09:00-17:00 Europe/Berlin; sun 08:00-20:00 UTC"
	w.approves(rita, w.access(windowed).ID)
	grants := func(b *testing.B, who bastion.Identity, want int) {
		if g, err := w.Grants(context.Background(), who); err != nil || len(g) != want {
			b.Error(g, err)
		}
	}
	for _, c := range []struct {
		name string
		who  bastion.Identity
		want int
	}{{"none", omar, 0}, {"one", alice, 1}, {"in a window", ben, 1}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				grants(b, c.who, c.want)
			}
		})
		b.Run(c.name+" together", func(b *testing.B) {
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					grants(b, c.who, c.want)
				}
			})
		})
	}
	for _, c := range []struct {
		name   string
		window string
	}{{"looked at again", ""}, {"looked at again in a window", "mon-sun 00:00-24:00 Europe/Berlin; sun 08:00-20:00 UTC"}} {
		b.Run(c.name, func(b *testing.B) {
			q := want(axel, "writer")
			q.Asked.For, q.Asked.Window = 8*time.Hour, c.window
			for n := 0; b.Loop(); n++ {
				if n%5000 == 0 { // before it ends
					b.StopTimer()
					w.Pass(9 * time.Hour)
					w.approves(rita, w.access(q).ID)
					b.StartTimer()
				}
				w.Pass(approval.Recheck)
				if _, err := w.Grants(context.Background(), axel); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
