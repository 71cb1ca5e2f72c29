package tui

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/hinshun/vt10x"
	"github.com/muesli/termenv"
	"github.com/sallyport/sallyport/bastion"
)

// house is a bastion in memory, with no more in it than sessions need to start.
type house struct {
	bastion.Approvals // what is not defined here is not used
	bastion.Archive
	roles []bastion.Role

	mu       sync.Mutex
	requests []bastion.Request
	watchers []chan struct{}
	full     bool // the recorder cannot write
	expired  bool
}

func (h *house) Decide(bastion.Identity, bastion.Operation) bastion.Decision {
	return bastion.Decision{Effect: bastion.Allow, Rule: "all"}
}

func (h *house) Access(bastion.Identity, bastion.Target) bastion.Access {
	return bastion.Access{Connect: bastion.Allow, Allow: []bastion.Verb{"select"}}
}
func (h *house) Roles(bastion.Identity) []bastion.Role { return h.roles }

func (h *house) Current(_ context.Context, who bastion.Identity) (bastion.Identity, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expired {
		return bastion.Identity{}, bastion.ErrExpired
	}
	return who, nil
}

func (h *house) Secret(context.Context, bastion.Target) (bastion.Secret, error) {
	return bastion.Secret{}, errors.New("no secrets here")
}

func (h *house) write() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return errors.New("no space left")
	}
	return nil
}
func (h *house) Event(bastion.Event) error { return h.write() }
func (h *house) Flush() error              { return h.write() }
func (h *house) Output([]byte) error       { return h.write() }
func (h *house) Note([]byte) error         { return h.write() }
func (h *house) Resize(int, int) error     { return h.write() }
func (h *house) Close() error              { return nil }

func (h *house) Requests(context.Context, bastion.Identity, bastion.RequestFilter) ([]bastion.Request, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]bastion.Request(nil), h.requests...), nil
}

func (h *house) Watch() (<-chan struct{}, func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan struct{}, 1)
	h.watchers = append(h.watchers, c)
	return c, func() {}
}

func (h *house) add(r bastion.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, r)
	for _, c := range h.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// line is the far end of an SSH channel: a terminal emulator and a keyboard.
type line struct {
	keys chan []byte
	rest []byte

	mu      sync.Mutex
	term    vt10x.Terminal // nil swallows the output
	bells   int
	raw     strings.Builder
	changed chan struct{} // receives after output, newest wins
}

func newLine(w, h int) *line {
	return &line{keys: make(chan []byte, 16), term: vt10x.New(vt10x.WithSize(w, h)), changed: make(chan struct{}, 1)}
}

func (l *line) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		b, ok := <-l.keys
		if !ok {
			return 0, io.EOF
		}
		l.rest = b
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term != nil {
		_, _ = l.term.Write(p)
		l.raw.Write(p)
		l.bells += strings.Count(string(p), "\a")
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}
func (l *line) Stderr() io.ReadWriter { return l }
func (l *line) CloseWrite() error     { return nil }

func (l *line) screen() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term.String()
}

// until waits for something to be on the screen.
func (l *line) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-l.changed:
		case <-late:
			t.Fatalf("%s: never came; the screen is\n%s", what, l.screen())
		}
	}
}

func (l *line) shows(t *testing.T, text string) {
	t.Helper()
	l.until(t, text, func() bool { return strings.Contains(l.screen(), text) })
}

func (h *house) session(t testing.TB, ctx context.Context, l *line, term string, w bastion.Window) *bastion.Session {
	t.Helper()
	who := alice()
	who.Expires = time.Now().Add(11*time.Hour + 58*time.Minute + 30*time.Second)
	var targets bastion.Targets
	for _, v := range someTargets() {
		targets = append(targets, v.Target)
	}
	s, err := bastion.NewSession(ctx, bastion.Config{ID: "s-1", Identity: who, Channel: l, Term: term, Window: w, Targets: targets, Policy: h, Approvals: h, Identities: h, Secrets: h, Recorder: h, Archive: h, Now: time.Now,
		Connectors: []bastion.Connector{postgres{}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// postgres is a connector that connects to nothing.
type postgres struct{ bastion.Connector }

func (postgres) Kind() string { return "postgres" }

// The whole program, on a channel, seen through a terminal emulator.
func TestProgram(t *testing.T) {
	h := &house{roles: []bastion.Role{reviewer()}}
	l := newLine(80, 24)
	s := h.session(t, t.Context(), l, "xterm-256color", bastion.Window{Width: 80, Height: 24})
	done := make(chan error, 1)
	go func() { done <- Run(s, Options{Notice: "welcome back"}) }()

	l.shows(t, "shop-staging")
	l.shows(t, "alice (reviewer) · signed in, 11h 58m left")
	l.shows(t, "welcome back")
	if strings.ContainsAny(l.raw.String(), "\a") {
		t.Error("it rang for nothing")
	}

	h.add(bastion.Request{ID: 12, State: bastion.Pending, Who: rita(), Target: "shop-production", Summary: "update of public.customers", Expires: time.Now().Add(time.Hour), Created: time.Now(), Yours: true, Needs: bastion.Needs{{Count: 1, Role: "reviewer"}}})
	l.keys <- []byte("\x1b[B")
	l.shows(t, "1 request waits for you")
	l.until(t, "the bell", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.bells == 1 })
	l.keys <- []byte("a")
	l.shows(t, "update of public.cust")

	l.mu.Lock()
	l.term = vt10x.New(vt10x.WithSize(100, 30))
	l.mu.Unlock()
	if err := s.Terminal().Resize(bastion.Window{Width: 100, Height: 30}); err != nil {
		t.Fatal(err)
	}
	l.until(t, "the new size", func() bool {
		rows := strings.Split(l.screen(), "\n")
		return strings.Contains(rows[29], "esc back") && strings.Contains(rows[1], strings.Repeat("─", 100))
	})

	l.keys <- []byte("\x1b")
	l.shows(t, "YOU MAY")
	l.keys <- []byte("q")
	if err := <-done; err != nil {
		t.Errorf("leaving is no error, got %v", err)
	}
	if raw := l.raw.String(); !strings.HasPrefix(raw, enterScreen) || !strings.HasSuffix(raw, leaveScreen) {
		t.Error("the terminal was not left as it was found")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// What ends a session ends its screens, with the reason.
func TestProgramEnds(t *testing.T) {
	gone := errors.New("your access was taken away")
	for _, tt := range []struct {
		name string
		end  func(*house, *line, *bastion.Session)
		want error
	}{
		{"failed session", func(_ *house, _ *line, s *bastion.Session) { s.Fail(gone) }, gone},
		{"recorder full", func(h *house, l *line, _ *bastion.Session) {
			h.mu.Lock()
			h.full = true
			h.mu.Unlock()
			l.keys <- []byte("\x1b[B")
		}, bastion.ErrRecorder},
		{"input closed", func(_ *house, l *line, _ *bastion.Session) { close(l.keys) }, nil},
		{"ctrl-c", func(_ *house, l *line, _ *bastion.Session) { l.keys <- []byte{3} }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, l := &house{}, newLine(80, 24)
			s := h.session(t, t.Context(), l, "xterm", bastion.Window{})
			done := make(chan error, 1)
			go func() { done <- Run(s, Options{}) }()
			l.shows(t, "shop-staging")
			tt.end(h, l, s)
			if err := <-done; !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if raw := l.raw.String(); !errors.Is(tt.want, bastion.ErrRecorder) && !strings.HasSuffix(raw, leaveScreen) {
				t.Error("the terminal was not left as it was found")
			}
			if tt.want == nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// An expired sign-in is renewed in the running program.
func TestProgramSignsIn(t *testing.T) {
	h, l := &house{expired: true}, newLine(80, 24)
	s := h.session(t, t.Context(), l, "dumb", bastion.Window{Width: 80, Height: 24})
	done := make(chan error, 1)
	go func() { done <- Run(s, Options{}) }()
	l.shows(t, "Sign in again")
	l.shows(t, "cannot sign in interactively")
	l.keys <- []byte("\x1b")
	l.shows(t, "The list cannot be read")
	l.keys <- []byte("q")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// BenchmarkIdle reports what one idle session with its screens open costs.
func BenchmarkIdle(b *testing.B) {
	const n = 200
	for b.Loop() {
		b.StopTimer()
		ctx, cancel := context.WithCancel(b.Context())
		h := &house{}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		goroutines := runtime.NumGoroutine()
		var lines []*line
		var running sync.WaitGroup
		b.StartTimer()
		for range n {
			l := &line{keys: make(chan []byte, 16), changed: make(chan struct{}, 1)}
			s := h.session(b, ctx, l, "xterm-256color", bastion.Window{Width: 80, Height: 24})
			running.Go(func() { _ = Run(s, Options{}) })
			lines = append(lines, l)
		}
		for _, l := range lines { // each has drawn, taken a key and drawn again
			<-l.changed
			l.keys <- []byte("\x1b[B")
			<-l.changed
		}
		b.StopTimer()
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/n, "B/session")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/n, "stack-B/session")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/session")
		cancel()
		for _, l := range lines {
			close(l.keys)
		}
		running.Wait()
		b.StartTimer()
	}
}

// BenchmarkKey is one key from Update to the bytes for the terminal.
func BenchmarkKey(b *testing.B) {
	v := visitOf(alice(), deployer())
	th := newTheme(termenv.ANSI256)
	h := newHome(b.Context(), v, th, places{}, "")
	root := newRoot(b.Context(), v, th, bastion.Window{Width: 80, Height: 24}, h)
	p := &painter{Root: root, out: io.Discard, now: time.Now}
	p.Init()
	h.arrived(v.targets, nil)
	keys := []tea.KeyMsg{{Type: tea.KeyDown}, {Type: tea.KeyUp}}
	for i := 0; b.Loop(); i++ {
		p.drawn = time.Time{}
		p.Update(keys[i%2])
	}
}

func (*house) Terms(bastion.Identity, bastion.Target) []bastion.Terms { return nil }
func (*house) Conflict(bastion.Identity) error                        { return nil }

func (h *house) Grants(context.Context, bastion.Identity) ([]bastion.Grant, error) { return nil, nil }
