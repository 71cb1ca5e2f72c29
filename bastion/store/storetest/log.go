package storetest

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/store"
)

// log is the bucket of Append.
const log = "test.log"

// Append keeps an event, as the log of the bastion does: together with what the
// transaction changes.
func Append(tx store.Tx, e bastion.Event) error {
	n, err := tx.Next(log)
	if err != nil {
		return err
	}
	e.Seq = n
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return tx.Put(log, binary.BigEndian.AppendUint64(nil, n), b)
}

// Events are those that Append kept, oldest first.
func Events(t testing.TB, db *store.DB) []bastion.Event {
	t.Helper()
	var all []bastion.Event
	if err := db.View(func(tx store.Tx) error {
		return tx.Scan(log, nil, func(_, v []byte) (bool, error) {
			var e bastion.Event
			err := json.Unmarshal(v, &e)
			all = append(all, e)
			return true, err
		})
	}); err != nil {
		t.Fatal(err)
	}
	return all
}
