package charter_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/charter"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m, child) }

func opened(t *testing.T, dir string) (*charter.Charter, *store.DB) {
	t.Helper()
	db := storetest.Open(t, dir)
	k, err := charter.Open(charter.Config{DB: db, Append: storetest.Append, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return k, db
}

func identity(name string) bastion.Identity {
	return bastion.Identity{Issuer: "https://idp.test", Subject: name, Kind: bastion.Person, Name: name}
}

// used is a request of alice's that ben and rita approved and that was used.
func used(id uint64, text string) bastion.Request {
	return bastion.Request{ID: id, State: bastion.Used, Who: identity("alice"), Text: text, Reason: "a reason", Votes: []bastion.Vote{
		{Who: identity("ben"), Verdict: bastion.VoteApprove}, {Who: identity("axel"), Verdict: bastion.VoteComment}, {Who: identity("rita"), Verdict: bastion.VoteApprove}}}
}

func TestVersions(t *testing.T) {
	dir := storetest.Dir(t)
	k, db := opened(t, dir)
	if _, ok := k.Active(); ok {
		t.Fatal("a policy is in force without any")
	}
	if _, err := k.Activate(charter.Change{Text: "two", On: 0, Request: used(1, "two")}); err == nil {
		t.Error("a request makes the first version")
	}
	first, err := k.Found("one", "policy.yaml")
	if err != nil || first.Number != 1 || first.Name != charter.Files || first.Who != "" || first.Digest != charter.Digest("one") {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, err := k.Found("another", "policy.yaml"); err == nil {
		t.Error("a file changes a policy that is in force")
	}
	second, err := k.Activate(charter.Change{Text: "two", On: 1, Request: used(7, "two"), Session: "s1", Origin: bastion.Origin{Key: "SHA256:x"}})
	if err != nil || second.Number != 2 || second.On != 1 || second.Who != identity("alice").ID() || fmt.Sprint(second.Approved) != "[ben rita]" || second.Request != 7 || second.Reason != "a reason" {
		t.Fatalf("%+v, %v", second, err)
	}
	for name, c := range map[string]charter.Change{
		"overtaken":     {Text: "three", On: 1, Request: used(8, "three")},
		"of the future": {Text: "three", On: 3, Request: used(8, "three")},
		"twice":         {Text: "two", On: 2, Request: used(7, "two")},
		"other text":    {Text: "three", On: 2, Request: used(8, "two")},
		"no request":    {Text: "three", On: 2},
		"not used":      {Text: "three", On: 2, Request: func() bastion.Request { r := used(8, "three"); r.State = bastion.Approved; return r }()},
		"nobody":        {Text: "three", On: 2, Request: func() bastion.Request { r := used(8, "three"); r.Votes = r.Votes[1:2]; return r }()},
		"own": {Text: "three", On: 2, Request: func() bastion.Request {
			r := used(8, "three")
			r.Votes = r.Votes[:1]
			r.Who = identity("ben")
			return r
		}()},
		"own service": {Text: "three", On: 2, Request: func() bastion.Request {
			r := used(8, "three")
			r.Votes = r.Votes[:1]
			r.Who = bastion.Identity{Issuer: "bastion", Subject: "bot", Kind: bastion.Service, Owner: identity("ben").ID()}
			return r
		}()},
	} {
		var stale *charter.StaleError
		if v, err := k.Activate(c); err == nil || errors.As(err, &stale) != (name == "overtaken" || name == "of the future") {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if v, ok := k.Active(); !ok || v.Text != "two" {
		t.Errorf("in force: %+v", v)
	}
	vs, err := k.Versions(0)
	if err != nil || len(vs) != 2 || vs[0].Number != 2 || vs[1].Text != "one" {
		t.Errorf("%+v, %v", vs, err)
	}
	if vs, err = k.Versions(1); err != nil || len(vs) != 1 || vs[0].Number != 2 {
		t.Errorf("%+v, %v", vs, err)
	}
	if v, err := k.Version(1); err != nil || v.Text != "one" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := k.Version(3); !errors.Is(err, bastion.ErrNotFound) {
		t.Error(err)
	}
	es := storetest.Events(t, db)
	if len(es) != 2 || es[0].Name != charter.Files || es[0].Kind != charter.Event || es[1].Request != 7 || es[1].Session != "s1" || es[1].Digest != second.Digest || fmt.Sprint(es[1].By) != "[ben rita]" {
		t.Errorf("%+v", es)
	}
	again, err := charter.Open(charter.Config{DB: db, Append: storetest.Append, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := again.Active(); !ok || v.Number != 2 || v.Text != "two" {
		t.Errorf("after a restart: %+v", v)
	}
}

// A version whose event cannot be kept is not kept either.
func TestNothingWithoutItsEvent(t *testing.T) {
	_, db := opened(t, storetest.Dir(t))
	full := errors.New("the disk is full")
	k, err := charter.Open(charter.Config{DB: db, Append: func(store.Tx, bastion.Event) error { return full }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Found("one", "policy.yaml"); !errors.Is(err, full) {
		t.Error(err)
	}
	if v, ok := k.Active(); ok {
		t.Errorf("%+v", v)
	}
	if vs, err := k.Versions(0); err != nil || len(vs) > 0 {
		t.Errorf("%+v, %v", vs, err)
	}
}

// Somebody who edits the store is found out.
func TestDamaged(t *testing.T) {
	k, db := opened(t, storetest.Dir(t))
	if _, err := k.Found("one", "policy.yaml"); err != nil {
		t.Fatal(err)
	}
	key := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	err := db.Update(func(tx store.Tx) error {
		b := strings.Replace(string(tx.Get("charter.versions", key)), `"text":"one"`, `"text":"all"`, 1)
		return tx.Put("charter.versions", key, []byte(b))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := charter.Open(charter.Config{DB: db, Append: storetest.Append, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
}

// Of changes at the same time upon the same version, one takes its place.
func TestAtTheSameTime(t *testing.T) {
	k, _ := opened(t, storetest.Dir(t))
	if _, err := k.Found("zero", "policy.yaml"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	won := make(chan uint64, 16)
	for i := range uint64(16) {
		wg.Go(func() {
			text := fmt.Sprint("text ", i)
			if v, err := k.Activate(charter.Change{Text: text, On: 1, Request: used(i+1, text)}); err == nil {
				won <- v.Request
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d changes took the place of version 1", len(won))
	}
	if v, _ := k.Active(); v.Number != 2 {
		t.Errorf("version %d is in force", v.Number)
	}
}

// child changes the policy until it is killed, and says what it was told is done.
func child(dir string) error {
	db, err := store.Open(dir)
	if err != nil {
		return err
	}
	k, err := charter.Open(charter.Config{DB: db, Append: storetest.Append, Now: time.Now})
	if err != nil {
		return err
	}
	if _, ok := k.Active(); !ok {
		if _, err := k.Found("first", "policy.yaml"); err != nil {
			return err
		}
	}
	for {
		v, _ := k.Active()
		text := fmt.Sprint("in place of ", v.Number, strings.Repeat(" words", 10_000))
		if v, err = k.Activate(charter.Change{Text: text, On: v.Number, Request: used(v.Number+1, text)}); err != nil {
			return err
		}
		fmt.Println(v.Number)
	}
}

// Killed at any moment, there is a whole version in force, none that was told is
// lost, and each has its event.
func TestKilled(t *testing.T) {
	dir := storetest.Dir(t)
	told := uint64(1)
	for range 10 {
		storetest.Killed(t, dir, 1+rand.IntN(20), func(line string) {
			if _, err := fmt.Sscan(line, &told); err != nil {
				t.Fatalf("child said %q", line)
			}
		})
		func() {
			db, err := store.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}()
			k, err := charter.Open(charter.Config{DB: db, Append: storetest.Append, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			v, ok := k.Active()
			if !ok || v.Number < told || v.Number > told+1 {
				t.Errorf("version %d is in force, and %d was told", v.Number, told)
			}
			vs, err := k.Versions(0)
			if err != nil || uint64(len(vs)) != v.Number || len(storetest.Events(t, db)) != len(vs) {
				t.Errorf("%d versions with %d events, in force is %d: %v", len(vs), len(storetest.Events(t, db)), v.Number, err)
			}
		}()
	}
}
