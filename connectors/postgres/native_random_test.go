package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// someTexts are statements that a random script is made of. They leave out what differs
// for good reason: the bastion does not run SQL's prepared statements and cursors by
// messages of the protocol.
var someTexts = []string{"SELECT 1", "SELECT 2 AS x, 'y'::text", "SELECT nosuch", "SELECT 1/0", "INSERT INTO t VALUES (1) RETURNING a", "SELECT count(*) FROM t",
	"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "DEALLOCATE a", "DEALLOCATE ALL", "CLOSE p", "", "SET work_mem = '1MB'", "SELECT generate_series(1, 3)",
	"SELECT g FROM generate_series(1, 4) g", "SET LOCAL search_path = pg_catalog, public", "SELECT set_config('work_mem', '2MB', false)", "UPDATE t SET a = a + 1", "CLOSE ALL",
	"DO $$ BEGIN PERFORM 1; END $$", "SELEC", "DISCARD ALL", "CREATE TEMP TABLE u (a int)", "DROP TABLE u", "SELECT * FROM u", "ALTER TABLE u ADD b text"}

var sqlNames = regexp.MustCompile(`(PREPARE|EXECUTE|DEALLOCATE|DECLARE|FETCH|CLOSE) [ap]\b`)

// randomly makes a script of messages that a client might send.
func randomly(r *rand.Rand, texts []string) []any {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	text := func() string { return pick(texts...) }
	if r.IntN(4) == 0 { // names that are one for the target
		plainly := pick
		pick = func(s ...string) string {
			name := plainly(s...)
			if len(name) == 1 {
				name = strings.Repeat(name, 63) + plainly("x", "y")
			}
			return name
		}
		text = func() string {
			return sqlNames.ReplaceAllStringFunc(plainly(texts...), func(s string) string { return s[:len(s)-1] + strings.Repeat(s[len(s)-1:], 63) })
		}
	}
	var steps []any
	due := 0 // answers that are not waited for yet
	wait := func() {
		for ; due > 0; due-- {
			steps = append(steps, ready{})
		}
	}
	for range 4 + r.IntN(30) {
		switch r.IntN(17) {
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
			several := []string{text()}
			for r.IntN(3) == 0 {
				several = append(several, text())
			}
			// After an error and without Sync, the server would leave it out.
			steps = append(steps, sync_, query(strings.Join(several, "; ")))
			due += 2
		case 14:
			steps = append(steps, all(text())...)
		default:
			steps = append(steps, sync_)
			due++
		}
		if r.IntN(8) == 0 {
			wait()
		}
	}
	steps = append(steps, sync_)
	due++
	wait()
	return steps
}

// codes leaves of errors the code alone, and leaves notices out. In a broken transaction,
// an unnamed portal that a query used is there and of no use, or is not there.
func codes(lines []string) []string {
	var out []string
	for _, l := range lines {
		switch w := strings.Fields(l); w[0] {
		case "E":
			l = "E " + strings.ReplaceAll(w[2], "25P02", "34000")
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
			script := together("CREATE TEMP TABLE t (a int)", randomly(rand.New(rand.NewPCG(seed, 1)), someTexts))
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

// TestNativeRandomAttacks plays random scripts of statements that show what is hidden
// and statements that do not, under the same names.
func TestNativeRandomAttacks(t *testing.T) {
	s := shop(t, "native_random_attack", labels...)
	s.Trust = true
	if _, err := server.Query(t.Context(), "native_random_attack", plant+";"+evil); err != nil {
		t.Fatal(err)
	}
	_, url := listen(t, s)
	texts := []string{hiddenRows, hiddenRows, plainRows, plainRows, plainRows, "BEGIN", "SAVEPOINT s", "ROLLBACK TO s", "ROLLBACK", "SELECT nosuch", "SELECT 1/0",
		"SET search_path = evil", "SET LOCAL search_path = evil", "SET search_path = public", "SELECT best()", "DEALLOCATE a", "PREPARE a AS " + plainRows, "PREPARE a AS " + hiddenRows, "EXECUTE a",
		"DECLARE p CURSOR FOR " + plainRows, "DECLARE p CURSOR FOR " + hiddenRows, "FETCH p", "CLOSE p", "DISCARD ALL", "COPY (" + plainRows + ") TO STDOUT",
		"INSERT INTO quiet VALUES (1)", "INSERT INTO quiet VALUES (2)", "DECLARE c CURSOR FOR " + plainRows, "FETCH c"}
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			script := randomly(rand.New(rand.NewPCG(seed, 2)), texts)
			lines := raw(t, url).play(script...)
			if c := leaked(strings.Join(lines, "\n"), ""); c != "" {
				t.Errorf("shows %q: %s", c, strings.Join(lines, "\n"))
				for _, s := range script {
					t.Logf("%T %+v", s, s)
				}
			}
			if lines[len(lines)-1] == "gone" {
				t.Errorf("the session ended: %q", lines)
			}
		})
	}
}
