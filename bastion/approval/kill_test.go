package approval_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/store"
)

// childDir tells the test binary to be a bastion that will be killed.
const childDir = "APPROVAL_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child takes over what an earlier child left, then asks, votes and uses in
// several goroutines until it is killed. It says each thing only after it was
// told that it is done.
func child(dir string) error {
	db, err := store.Open(dir)
	if err != nil {
		return err
	}
	people := map[string]bastion.Identity{}
	for _, p := range everybody() {
		people[p.ID()] = p
	}
	s, err := approval.New(approval.Config{DB: db, Append: appendTo, Roles: rolesOf, Now: time.Now,
		Known:  func(id string) (bastion.Identity, bool) { p, ok := people[id]; return p, ok },
		People: everybody})
	if err != nil {
		return err
	}
	ctx := context.Background()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	old, err := s.Requests(ctx, axel, bastion.RequestFilter{Limit: 1 << 20})
	if err != nil {
		return err
	}
	say("hello %d", len(old))
	run := func(r bastion.Request) error {
		voted := map[string]bool{}
		for _, v := range r.Votes {
			voted[v.Who.Name] = true
		}
		for _, who := range []bastion.Identity{rita, ben} {
			if r.State != bastion.Pending || voted[who.Name] {
				continue
			}
			var err error
			if r, err = s.Vote(ctx, bastion.Ballot{Request: r.ID, Verdict: bastion.VoteApprove, Who: who}); err != nil {
				return err
			}
			say("vote %d %s", r.ID, who.Name)
		}
		used, err := s.Use(ctx, r.ID, ask(alice, plan(r.Text), need(2, "reviewer")))
		if err != nil {
			return err
		}
		say("run %d", used.ID) // here the statement would go to the target
		return nil
	}
	for _, r := range old {
		if r.State.Open() {
			if err := run(r); err != nil {
				return fmt.Errorf("going on with request %d, %s: %w", r.ID, r.State, err)
			}
		} else if _, err := s.Use(ctx, r.ID, ask(alice, plan(r.Text), need(2, "reviewer"))); err == nil {
			say("run %d", r.ID)
		}
	}
	failed := make(chan error)
	for g := range 4 {
		go func() {
			for n := 0; ; n++ {
				r, err := s.File(ctx, ask(alice, plan(fmt.Sprintf("update %d.%d.%d", os.Getpid(), g, n)), need(2, "reviewer")))
				if err == nil {
					say("file %d", r.ID)
					err = run(r)
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// The bastion is killed again and again, at whatever step it happens to be:
// nothing that was told is lost, and nothing runs twice.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	ran := map[uint64]int{}
	voted := map[string]bool{} // "7 rita"
	filed := map[uint64]bool{}
	for range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		var complaint strings.Builder
		cmd.Stderr = &complaint
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for left := rand.IntN(60); ; left-- {
			if left == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break // a line that was cut off was not told
			}
			if err != nil {
				t.Fatal(err)
			}
			var what, who string
			var id uint64
			if _, err := fmt.Sscan(line+" -", &what, &id, &who); err != nil {
				t.Fatalf("child said %q", line)
			}
			switch what {
			case "file":
				filed[id] = true
			case "vote":
				voted[fmt.Sprint(id, " ", who)] = true
			case "run":
				ran[id]++
			}
		}
		if err := cmd.Wait(); err == nil || complaint.Len() > 0 {
			t.Fatalf("child ended by itself: %v\n%s", err, complaint.String())
		}
		checkKilled(t, dir, filed, voted, ran)
	}
	if len(ran) == 0 {
		t.Error("nothing ever ran")
	}
}

// checkKilled compares the store with what the children told.
func checkKilled(t *testing.T, dir string, filed map[uint64]bool, voted map[string]bool, ran map[uint64]int) {
	t.Helper()
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := worldOver(t, db, everybody()...)
	w.Service = w.service(time.Now)
	uses := map[uint64]int{}
	votes := map[string]int{}
	for _, e := range eventsIn(t, db) {
		switch e.Kind {
		case bastion.EventUse:
			uses[e.Request]++
		case bastion.EventVote:
			votes[fmt.Sprint(e.Request, " ", e.Name)]++
		}
	}
	all, err := w.Requests(t.Context(), axel, bastion.RequestFilter{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	kept := map[uint64]bool{}
	keptVotes := map[string]bool{}
	for _, r := range all {
		kept[r.ID] = true
		for _, v := range r.Votes {
			key := fmt.Sprint(r.ID, " ", v.Who.Name)
			if keptVotes[key] || votes[key] != 1 {
				t.Errorf("vote %s: kept twice %v, logged %d times", key, keptVotes[key], votes[key])
			}
			keptVotes[key] = true
		}
		used := 0
		if r.State == bastion.Used {
			used = 1
		}
		if uses[r.ID] != used || ran[r.ID] > used {
			t.Errorf("request %d is %s; logged %d uses, ran %d times", r.ID, r.State, uses[r.ID], ran[r.ID])
		}
	}
	for id := range filed {
		if !kept[id] {
			t.Errorf("request %d is lost", id)
		}
	}
	for key := range voted {
		if !keptVotes[key] {
			t.Errorf("vote %s is lost", key)
		}
	}
	for id := range ran {
		if !kept[id] {
			t.Errorf("request %d ran and is lost", id)
		}
	}
}
