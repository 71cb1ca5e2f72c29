package apx
import ("testing";"fmt";"github.com/sallyport/sallyport/bastion/store")
func TestHang(t *testing.T) {
	db, err := store.Open(t.TempDir()); if err != nil { t.Fatal(err) }
	db.Update(func(tx store.Tx) error { for i := range 1000 { tx.Put("b", []byte(fmt.Sprintf("%06d", i)), make([]byte, 50)) }; return nil })
	db.Update(func(tx store.Tx) error {
		for i := range 1000 { tx.Delete("b", []byte(fmt.Sprintf("%06d", i))) }
		return tx.ScanBack("b", nil, func(k, v []byte) (bool, error) { return true, nil })
	})
}
func TestShort(t *testing.T) {
	db, err := store.Open(t.TempDir()); if err != nil { t.Fatal(err) }
	db.Update(func(tx store.Tx) error { for i := range 1000 { tx.Put("b", []byte(fmt.Sprintf("%06d", i)), make([]byte, 50)) }; return nil })
	db.Update(func(tx store.Tx) error {
		for i := 300; i < 700; i++ { tx.Delete("b", []byte(fmt.Sprintf("%06d", i))) }
		n := 0
		err := tx.ScanBack("b", nil, func(k, v []byte) (bool, error) { n++; return true, nil })
		if n != 600 { t.Errorf("saw %d of 600", n) }
		return err
	})
}
