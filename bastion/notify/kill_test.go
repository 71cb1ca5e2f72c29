package notify_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

// What a child is told.
const (
	childURL    = "NOTIFY_TEST_URL"
	childSecret = "NOTIFY_TEST_SECRET"
	childAsks   = "NOTIFY_TEST_ASKS" // not empty: it puts notes, else it only delivers
)

func TestMain(m *testing.M) { storetest.Main(m, child) }

// child delivers what an earlier child left and, if it is to, puts notes until it
// is killed. It tells the number of each only once it is kept.
func child(dir string) error {
	db, err := store.Open(dir)
	if err != nil {
		return err
	}
	hook := &notify.Webhook{URL: os.Getenv(childURL)}
	hook.Secret.Env = childSecret
	o, err := notify.New(notify.Config{DB: db, Log: slog.New(slog.DiscardHandler), Name: "sallyport", Address: address, Channels: []notify.Channel{{Name: "one", Webhook: hook}}})
	if err != nil {
		return err
	}
	ended := make(chan error)
	go func() { ended <- o.Run(context.Background()) }()
	for os.Getenv(childAsks) != "" {
		var id uint64
		if err := db.Update(func(tx store.Tx) error {
			if id, err = tx.Next("requests"); err != nil {
				return err
			}
			return o.Put(tx, asked(id))
		}); err != nil {
			return err
		}
		fmt.Println(id)
	}
	return <-ended
}

// witness is a receiver that knows what arrived, and may kill the sender before
// it has an answer.
type witness struct {
	mu      sync.Mutex
	keys    map[uint64]string // by request
	times   map[uint64]int
	changed bool
	left    int // arrivals until the kill; negative: never
	victim  *os.Process
	enough  func(*witness) bool
	done    chan struct{}
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var b struct {
		ID      string
		Request uint64
	}
	data, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(data, &b) != nil {
		return // cut off: it never arrived
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.keys[b.Request]; ok && old != b.ID || r.Header.Get("Idempotency-Key") != b.ID {
		w.changed = true
	}
	w.keys[b.Request] = b.ID
	w.times[b.Request]++
	if w.left == 0 {
		_ = w.victim.Kill() // it may have died of the one before
	}
	if w.left >= 0 {
		w.left--
	}
	if w.enough != nil && w.enough(w) {
		w.enough = nil
		close(w.done)
	}
}

// The bastion is killed between sending and noting that it was sent, again and
// again. Nothing that was kept is lost, and what comes twice has one key.
func TestKilled(t *testing.T) {
	dir := storetest.Dir(t)
	w := &witness{keys: map[uint64]string{}, times: map[uint64]int{}}
	s := httptest.NewServer(w)
	defer s.Close()
	start := func(asks string) (*exec.Cmd, *bufio.Reader, *strings.Builder) {
		cmd := storetest.Child(dir, childURL+"="+s.URL, childSecret+"="+key, childAsks+"="+asks)
		complaint := &strings.Builder{}
		cmd.Stderr = complaint
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		w.mu.Lock() // so that its first letter waits until it has a name
		defer w.mu.Unlock()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.victim = cmd.Process
		return cmd, bufio.NewReader(out), complaint
	}
	told := map[uint64]bool{}
	for range 12 {
		w.mu.Lock()
		w.left = rand.IntN(12)
		w.mu.Unlock()
		cmd, lines, complaint := start("yes")
		for {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break // a line that was cut off was not told
			}
			if err != nil {
				t.Fatal(err)
			}
			var id uint64
			if _, err := fmt.Sscan(line, &id); err != nil {
				t.Fatalf("child said %q", line)
			}
			told[id] = true
		}
		if err := cmd.Wait(); err == nil || complaint.Len() > 0 {
			t.Fatalf("child ended by itself: %v\n%s", err, complaint)
		}
	}
	// Now one that lives, until all has arrived that was told.
	w.mu.Lock()
	w.left, w.done = -1, make(chan struct{})
	w.enough = func(w *witness) bool {
		for id := range told {
			if w.times[id] == 0 {
				return false
			}
		}
		return true
	}
	all := w.enough(w)
	w.mu.Unlock()
	cmd, _, complaint := start("")
	if !all {
		<-w.done
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || complaint.Len() > 0 {
		t.Fatalf("child ended by itself: %v\n%s", err, complaint)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	repeated := 0
	keys := map[string]bool{}
	for id, n := range w.times {
		if keys[w.keys[id]] {
			t.Errorf("request %d has another's key", id)
		}
		keys[w.keys[id]] = true
		if n > 1 {
			repeated++
		}
	}
	if w.changed || len(told) == 0 || repeated == 0 {
		t.Errorf("%d told, %d arrived, %d more than once; a key changed: %v", len(told), len(w.times), repeated, w.changed)
	}
	t.Logf("%d told, %d arrived, %d of them more than once", len(told), len(w.times), repeated)
}
