package recordings_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/recordings"
)

// childEnv names what a child process, which is this test binary once more, does.
const childEnv = "RECORDINGS_TEST_CHILD"

func TestMain(m *testing.M) {
	var err error
	switch what := os.Getenv(childEnv); what {
	case "":
		os.Exit(m.Run())
	case "write":
		err = childWrite()
	case "full":
		err = childFull()
	default:
		err = fmt.Errorf("no such child %q", what)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var (
	alice = bastion.Identity{Issuer: "https://id.example.org", Subject: "a", Kind: bastion.Person, Name: "alice", Email: "Alice.Ärmel@example.org"}
	anna  = bastion.Identity{Issuer: "https://id.example.org", Subject: "ab", Kind: bastion.Person, Name: "anna", Email: "anna@example.org"}
	rita  = bastion.Identity{Issuer: "https://id.example.org", Subject: "r", Kind: bastion.Person, Name: "rita", Email: "rita@example.org"}
	axel  = bastion.Identity{Issuer: "https://id.example.org", Subject: "x", Kind: bastion.Person, Name: "axel", Email: "axel@example.org"}
)

func open(t testing.TB) (*store.DB, *recordings.Archive) {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := recordings.New(recordings.Config{DB: db, Dir: filepath.Join(dir, "spool"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return db, a
}

func start(t testing.TB, a *recordings.Archive, id string, who bastion.Identity) bastion.Recorder {
	t.Helper()
	r, err := a.Start(bastion.Recording{ID: id, Who: who, Width: 80, Height: 24})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// decision is an event as a session of that person makes it.
func decision(id string, who bastion.Identity, target, effect, text string) bastion.Event {
	return bastion.Event{At: time.Now(), Kind: bastion.EventDecision, Session: id, Who: who.ID(), Name: who.Name,
		Target: target, Verb: "select", Text: text, Effect: effect}
}

// neighbours is what a session needs in order to ask for its own scope.
type neighbours struct {
	bastion.Archive
	bastion.Approvals
	audit bool
	scope bastion.Scope
}

func (n *neighbours) Recordings(_ context.Context, s bastion.Scope, _ bastion.RecordingFilter) ([]bastion.Recording, error) {
	n.scope = s
	return nil, nil
}
func (n *neighbours) Decide(bastion.Identity, bastion.Operation) bastion.Decision {
	return bastion.Decision{}
}
func (n *neighbours) Access(bastion.Identity, bastion.Target) bastion.Access { return bastion.Access{} }
func (n *neighbours) Roles(bastion.Identity) []bastion.Role {
	if n.audit {
		return []bastion.Role{{Name: "auditor", Duties: []bastion.Duty{bastion.Audit}}}
	}
	return nil
}
func (n *neighbours) Current(_ context.Context, i bastion.Identity) (bastion.Identity, error) {
	return i, nil
}
func (n *neighbours) Secret(context.Context, bastion.Target) (bastion.Secret, error) {
	return bastion.Secret{}, errors.New("no secrets here")
}

type channel struct{ io.ReadWriter }

func (channel) Stderr() io.ReadWriter { return nil }
func (channel) CloseWrite() error     { return nil }

// scope is the scope that a session of that person has. Only a session makes one.
func scope(t testing.TB, who bastion.Identity, audit bool) bastion.Scope {
	t.Helper()
	_, a := open(t)
	n := &neighbours{audit: audit}
	s, err := bastion.NewSession(t.Context(), bastion.Config{ID: "scope", Identity: who, Channel: channel{}, Policy: n, Approvals: n,
		Identities: n, Secrets: n, Recorder: start(t, a, "scope", who), Archive: n, Now: time.Now})
	must(t, err)
	_, err = s.Recordings(t.Context(), bastion.RecordingFilter{})
	must(t, err)
	must(t, s.Close())
	return n.scope
}

func replay(t testing.TB, a *recordings.Archive, s bastion.Scope, id string) bastion.Replay {
	t.Helper()
	r, err := a.Replay(t.Context(), s, id)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// chunks reads a replay to its present end.
func chunks(t testing.TB, r bastion.Replay) (all []bastion.Chunk) {
	t.Helper()
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, c)
	}
}

func ids(rs []bastion.Recording) (s []string) {
	for _, r := range rs {
		s = append(s, r.ID)
	}
	return s
}

func (*neighbours) Terms(bastion.Identity, bastion.Target) []bastion.Terms { return nil }
func (*neighbours) Conflict(bastion.Identity) error                        { return nil }

func (*neighbours) Grants(context.Context, bastion.Identity) ([]bastion.Grant, error) {
	return nil, nil
}
