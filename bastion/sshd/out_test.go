package sshd_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/bastion/sshd"
)

// taker is a connection that hands what is written to a function.
type taker struct {
	net.Conn
	take func(p []byte) error
}

func (k *taker) Write(p []byte) (int, error) {
	if err := k.take(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// gathering writes one packet, and has others come while somebody waits to gather them.
func gathering(t *testing.T, fails error, others ...string) (o *sshd.Out, writes []string) {
	t.Helper()
	var wait sync.WaitGroup
	k := &taker{take: func(p []byte) error {
		writes = append(writes, string(p))
		if len(writes) > 1 {
			return fails
		}
		wait.Go(o.Gather)
		for !o.Gathers() {
			runtime.Gosched()
		}
		for _, p := range others {
			if n, err := o.Write([]byte(p)); n != len(p) || err != nil {
				t.Errorf("wrote %d bytes of %d: %v", n, len(p), err)
			}
		}
		return nil
	}}
	o = sshd.NewOut(k)
	if _, err := o.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	return o, writes
}

func TestPacketsGoOutTogether(t *testing.T) {
	begun := string(make([]byte, 4096)) // of a packet in two parts
	o, writes := gathering(t, nil, "second", begun, "its end", "third")
	if want := []string{"first", "second" + begun + "its end" + "third"}; !slices.Equal(writes, want) {
		t.Errorf("wrote %q", writes)
	}
	if _, err := o.Write([]byte("last")); err != nil || o.Gathers() {
		t.Errorf("afterwards: %v, gathers %v", err, o.Gathers())
	}
}

func TestWhatCannotBeWrittenLaterIsAnError(t *testing.T) {
	broken := errors.New("broken")
	o, writes := gathering(t, broken, "second")
	if n, err := o.Write([]byte("third")); n != 0 || !errors.Is(err, broken) {
		t.Errorf("wrote %d bytes: %v", n, err)
	}
	o.Gather() // returns
	if len(writes) != 2 || o.Gathers() {
		t.Errorf("wrote %q", writes)
	}
}

// Whoever finds that much is held writes it, as a client that does not read must hold
// back whoever answers it.
func TestMuchIsNotHeld(t *testing.T) {
	much := string(make([]byte, 40<<10))
	stuck, done := make(chan struct{}), make(chan struct{})
	var o *sshd.Out
	var all bytes.Buffer
	o = sshd.NewOut(&taker{take: func(p []byte) error {
		all.Write(p)
		if all.Len() > 1 {
			return nil
		}
		go func() {
			defer close(done)
			o.Gather()
		}()
		for !o.Gathers() {
			runtime.Gosched()
		}
		o.Write([]byte(much))
		o.Write([]byte(much))
		go func() {
			defer close(stuck)
			o.Write([]byte("end")) // is held up by this very write
		}()
		for range 100 {
			runtime.Gosched()
		}
		select {
		case <-stuck:
			t.Error("more was held")
		default:
		}
		return nil
	}})
	o.Write([]byte("1"))
	<-stuck
	<-done
	if want := "1" + much + much + "end"; all.String() != want {
		t.Errorf("wrote %d bytes instead of %d, or others", all.Len(), len(want))
	}
}

func TestPacketsKeepTheirOrder(t *testing.T) {
	here, there := net.Pipe()
	o := sshd.NewOut(here)
	var library sync.Mutex // it writes one packet at a time
	var sent []byte
	got := make(chan []byte)
	go func() {
		b, err := io.ReadAll(there)
		if err != nil {
			t.Error(err)
		}
		got <- b
	}()
	var wait sync.WaitGroup
	for who := range 8 {
		wait.Go(func() {
			for i := range 200 {
				parts := [][]byte{bytes.Repeat([]byte{byte(who), byte(i)}, 1+(who+i)%50)}
				if i%5 == 0 {
					parts = append([][]byte{bytes.Repeat([]byte{byte(i)}, 4096)}, parts...)
				}
				library.Lock()
				for _, p := range parts {
					if n, err := o.Write(p); n != len(p) || err != nil {
						t.Errorf("wrote %d bytes of %d: %v", n, len(p), err)
					}
					sent = append(sent, p...)
				}
				library.Unlock()
				o.Gather()
			}
		})
	}
	wait.Wait()
	here.Close()
	if !bytes.Equal(<-got, sent) {
		t.Error("what arrived is not what was sent")
	}
}
