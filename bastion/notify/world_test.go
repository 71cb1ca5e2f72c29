package notify_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/vault"
)

var update = flag.Bool("update", false, "write golden files")

const (
	address = "bastion.example.com:2222"
	key     = "0123456789abcdef0123456789abcdef"
	token   = "T0KEN" // in URLs that are secrets
)

var start = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// asked is a note as the bastion would put it.
func asked(request uint64) notify.Note {
	return notify.Note{Kind: notify.Request, Request: request, Target: "shop-production", Who: "alice", Summary: "update of public.customers",
		Reason: "customer moved, ticket 4711", Needs: "1 approval by a reviewer", At: start, Expires: time.Now().Add(time.Hour),
		To: []notify.Recipient{{ID: "https://id.example.com#2", Name: "rita", Email: "rita@example.com"}, {ID: "https://id.example.com#3", Name: "ben", Email: "ben@example.com"}}}
}

func of(k notify.Kind, request uint64) notify.Note {
	n := asked(request)
	n.Kind = k
	return n
}

// secret keeps a text where only a source leads to it.
func secret(t testing.TB, text string) vault.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return vault.Source{File: path}
}

// hook is a webhook channel.
func hook(t testing.TB, name, url string) notify.Channel {
	return notify.Channel{Name: name, Webhook: &notify.Webhook{URL: url, Secret: secret(t, key)}}
}

// world is an outbox with what it logs. It runs until the test ends or stop.
type world struct {
	*notify.Outbox
	t    testing.TB
	db   *store.DB
	log  *logged
	stop func() error
}

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB, db *store.DB, dial func(context.Context, string, string) (net.Conn, error), channels ...notify.Channel) *world {
	t.Helper()
	w := &world{t: t, db: db, log: &logged{}}
	c := notify.Config{DB: db, Log: slog.New(slog.NewTextHandler(w.log, nil)), Name: "sallyport", Address: address, Channels: channels}
	var err error
	if dial == nil {
		w.Outbox, err = notify.New(c)
	} else {
		w.Outbox, err = notify.Open(c, dial)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs the outbox until stop, or the end of the test.
func (w *world) run() *world {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	w.t.Cleanup(func() {
		if err := w.stop(); err != nil {
			w.t.Error(err)
		}
	})
	return w
}

func (w *world) put(notes ...notify.Note) {
	w.t.Helper()
	if err := w.db.Update(func(tx store.Tx) error {
		for _, n := range notes {
			if err := w.Put(tx, n); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) counts() []bastion.Delivery {
	w.t.Helper()
	c, err := w.Counts(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) dead() []bastion.Letter {
	w.t.Helper()
	d, err := w.Dead(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// arrival is what a server got.
type arrival struct {
	at     time.Time
	path   string
	header http.Header
	body   []byte
}

func (a arrival) key() string { return a.header.Get("Idempotency-Key") }

// server is an HTTP server in memory, for tests in which time is not real.
type server struct {
	mu       sync.Mutex
	got      []arrival
	inside   int // requests being answered
	crowd    int // the most of them at once
	answer   func(w http.ResponseWriter, r *http.Request, a arrival)
	conns    chan net.Conn
	closed   chan struct{}
	shutdown sync.Once
}

func serve(t testing.TB, answer func(http.ResponseWriter, *http.Request, arrival)) *server {
	s := &server{answer: answer, conns: make(chan net.Conn), closed: make(chan struct{})}
	h := &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := h.Serve(s); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	a := arrival{time.Now(), r.URL.Path, r.Header, b}
	s.mu.Lock()
	s.got = append(s.got, a)
	s.inside++
	s.crowd = max(s.crowd, s.inside)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inside--
		s.mu.Unlock()
	}()
	s.answer(w, r, a)
}

func (s *server) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrival{}, s.got...)
}

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case s.conns <- theirs:
		return ours, nil
	case <-s.closed:
		return nil, errors.Join(net.ErrClosed, ours.Close(), theirs.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), ours.Close(), theirs.Close())
	}
}

func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *server) Close() error {
	s.shutdown.Do(func() { close(s.closed) })
	return nil
}

func (s *server) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// with answers everything with a status.
func with(status int) func(http.ResponseWriter, *http.Request, arrival) {
	return func(w http.ResponseWriter, _ *http.Request, _ arrival) { w.WriteHeader(status) }
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
