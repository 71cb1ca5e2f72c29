package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// someTexts are statements that a random script is made of. They leave out what differs
// for good reason: the bastion does not run SQL's prepared statements and cursors by
// messages of the protocol.
var someTexts = []string{"SELECT 1", "SELECT 2 AS x, 'y'::text", "SELECT nosuch", "SELECT 1/0", "INSERT INTO t VALUES (1) RETURNING a", "SELECT count(*) FROM t",
	"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "DEALLOCATE a", "DEALLOCATE ALL", "CLOSE p", "", "SET work_mem = '1MB'", "SELECT generate_series(1, 3)",
	"SELECT g FROM generate_series(1, 4) g", "SET LOCAL search_path = pg_catalog, public", "SELECT set_config('work_mem', '2MB', false)", "UPDATE t SET a = a + 1", "CLOSE ALL",
	"DO $$ BEGIN PERFORM 1; END $$", "SELEC", "DISCARD PLANS", "CREATE TEMP TABLE u (a int)", "DROP TABLE u", "SELECT * FROM u", "ALTER TABLE u ADD b text"}

// randomly makes a script of messages that a client might send.
func randomly(r *rand.Rand) []any {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	text := func() string { return pick(someTexts...) }
	var steps []any
	synced := true
	for range 4 + r.IntN(30) {
		synced = false
		switch r.IntN(16) {
		case 0, 1, 2:
			steps = append(steps, parse(pick("", "a", "b"), text()))
		case 3, 4, 5:
			steps = append(steps, bind(pick("", "", "p"), pick("", "a", "b")))
		case 6, 7, 8:
			steps = append(steps, run(pick("", "", "p"), uint32(r.IntN(3))))
		case 9:
			steps = append(steps, describe('S', pick("", "a", "b")))
		case 10:
			steps = append(steps, describe('P', pick("", "p")))
		case 11:
			steps = append(steps, closing("SP"[r.IntN(2)], pick("", "a", "p")))
		case 12:
			steps = append(steps, flush_)
		case 13:
			texts := []string{text()}
			for r.IntN(3) == 0 {
				texts = append(texts, text())
			}
			// If an error came before, the server leaves it out, and there is no answer.
			steps = append(steps, sync_, ready{}, strings.Join(texts, "; "))
			synced = true
		case 14:
			steps = append(steps, all(text())...)
		default:
			steps = append(steps, sync_, ready{})
			synced = true
		}
	}
	if !synced {
		steps = append(steps, sync_, ready{})
	}
	return steps
}

// codes leaves of errors the code alone, and leaves notices out.
func codes(lines []string) []string {
	var out []string
	for _, l := range lines {
		switch w := strings.Fields(l); w[0] {
		case "E":
			l = "E " + w[2]
		case "N":
			continue
		}
		out = append(out, l)
	}
	return out
}

// TestNativeRandomly plays random scripts to the server directly and through the
// bastion, and wants the same answers.
func TestNativeRandomly(t *testing.T) {
	s := shop(t, "native_random")
	_, url := listen(t, s)
	direct := server.URL(server.App(), "native_random")
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			script := together("CREATE TEMP TABLE t (a int)", randomly(rand.New(rand.NewPCG(seed, 1))))
			want := raw(t, direct).play(script...)
			got := raw(t, url).play(script...)
			if differ(t, codes(got), codes(want)); t.Failed() {
				for _, s := range script {
					t.Logf("%T %+v", s, s)
				}
			}
		})
	}
}
