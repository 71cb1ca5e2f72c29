package approval_test

import (
	"context"
	"flag"
	"testing"

	"github.com/sallyport/sallyport/bastion"
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
		{"nobody's", person("eve"), bastion.RequestFilter{}},
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
}
