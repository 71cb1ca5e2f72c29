package postgres_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/connectors/connectortest"
)

// lines keeps the server's log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var logged = &lines{}

func TestMasked(t *testing.T) {
	s := connectortest.Start(t, shop(t, "masked", labels...))
	r, err := s.Do(t.Context(), "SELECT id, name, email, phone, date_of_birth, upper(email), customer_email(id) FROM customers ORDER BY id LIMIT 2")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Shown())
}
