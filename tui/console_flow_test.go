package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"github.com/sallyport/sallyport/bastion"
)

func flow(t *testing.T, test func(*consoleStage)) {
	t.Helper()
	playConsole(t, newConsoleWorld(t), termenv.Ascii, test)
}

func (st *consoleStage) ran(want string) {
	st.t.Helper()
	if got := st.w.did(); got != want {
		st.t.Errorf("the target was asked for %q, want %q", got, want)
	}
}

func (st *consoleStage) holds(want string) {
	st.t.Helper()
	if got := st.c.edit.String(); got != want {
		st.t.Errorf("the editor holds %q, want %q", got, want)
	}
}

// ended returns how the statements on the target ended.
func (st *consoleStage) ended() []error {
	st.w.mu.Lock()
	defer st.w.mu.Unlock()
	return st.w.finished
}

const consoleUpdate = "update customers set name = 'Anna Keller' where id = 7"

// A result of a million rows is read a page at a time, and no further.
func TestConsoleHoldsBack(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("select million from customers;")
		st.wants("of the first 500, more to read")
		// One row more waits for its turn: that is how we know of more.
		if n := st.w.pulled(); n > pageRows+1 {
			t.Errorf("the target was asked for %d rows before anybody read on", n)
		}
		st.press("pgup")
		for page := 2; page <= 14; page++ {
			st.press("end")
			if n := st.w.pulled(); n > page*pageRows+1 {
				t.Errorf("the target was asked for %d rows by page %d", n, page)
			}
			if n := len(st.c.active.sheet.rows); n > sheetRows {
				t.Errorf("%d rows are kept", n)
			}
		}
		st.wants("more to read · kept from 2,001")
		before := st.w.pulled()
		st.query("select 1;")
		st.wants("shop=> select 1", "3 rows")
		if ended := st.ended(); len(ended) != 2 || ended[0] == nil || ended[1] != nil {
			t.Errorf("the statements ended with %v: want the first one cancelled", ended)
		}
		if n := st.w.pulled(); n != before+3 {
			t.Errorf("the target was asked for %d rows after the next statement", n-before)
		}
	})
}

// Values are bounded by bytes as well as by rows.
func TestConsoleHoldsBackBytes(t *testing.T) {
	f := newFeed()
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan int)
	go func() {
		n := 0
		for f.row(ctx, [][]byte{make([]byte, 1<<20)}) == nil {
			n++
		}
		stopped <- n
	}()
	size := 0
	for parked := false; !parked; {
		news, _ := f.take()
		for _, n := range news {
			switch n := n.(type) {
			case *cameRows:
				for _, r := range n.rows {
					size += rowBytes(r)
					if cap(r[0]) > 2*cellBytes {
						t.Errorf("a cell keeps %d bytes", cap(r[0]))
					}
				}
			case parkedNow:
				parked = true
			}
		}
	}
	cancel()
	if n := <-stopped; size > pageBytes+2*cellBytes || n == 0 {
		t.Errorf("%d rows of %d bytes came", n, size)
	}
}

func TestConsoleStopsIdle(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("select million from customers;")
		st.pass(idleAfter + time.Second)
		st.wants("stopped after 500 rows; the rest was cancelled on the server, because nobody", "read on for 5m 00s")
		if ended := st.ended(); len(ended) != 1 || ended[0] == nil {
			t.Errorf("the statement ended with %v", ended)
		}
	})
}

// A change that returns rows is never cancelled for want of a reader.
func TestConsoleFinishesChanges(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("insert into customers bulk returning *;")
		st.wants("of 20,000", "first 5,000 kept")
		if n := st.w.pulled(); n != 20_000 {
			t.Errorf("the target gave %d rows", n)
		}
	})
}

// Nor is anything of an open transaction, which would not survive it.
func TestConsoleKeepsTransaction(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("begin;")
		st.wants("shop=*> ")
		st.query("select bulk from customers;")
		st.wants("more to read")
		st.query("select 1;")
		for _, err := range st.ended() {
			if err != nil {
				t.Errorf("a statement ended with %v", err)
			}
		}
		st.ran("begin | select bulk from customers | select 1")
		st.query("rollback to savepoint a;")
		st.wants("shop=*> ")
		st.query("rollback;")
		if st.c.tx != txNone {
			t.Error("the transaction did not end")
		}
	})
}

func TestConsoleCancels(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("select sleep;")
		st.pass(time.Second)
		st.wants("running for 1s; ctrl+c cancels")
		st.query("select 1;")
		st.wants("a statement is running")
		st.holds("select 1;")
		st.press("ctrl+c")
		st.wants("cancelled on the server")
		var te *bastion.TargetError
		if ended := st.ended(); len(ended) != 1 || !errors.As(ended[0], &te) {
			t.Errorf("the statement ended with %v", ended)
		}
		st.press("ctrl+c")
		st.holds("")
		if st.quit {
			t.Error("ctrl+c left the program")
		}
	})
}

func TestConsoleRunsSeveral(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("insert into orders; select nosuch; insert into payments; insert into orders;")
		st.ran("insert into orders | select nosuch")
		st.wants("INSERT 1", `column "nosuch" does not exist`, "Stopped here: 2 later statements did not run.")
		st.query("select bulk from customers; select 1;")
		st.ran("insert into orders | select nosuch | select bulk from customers | select 1")
	})
}

// One refused statement refuses all, before the first one runs, and the attempt
// is on record.
func TestConsoleRefusesAll(t *testing.T) {
	for _, last := range []string{"delete from payments", "selec 1"} {
		flow(t, func(st *consoleStage) {
			st.query("insert into orders; " + last + ";")
			st.ran("")
			st.wants("None of the 2 statements ran")
			st.w.mu.Lock()
			defer st.w.mu.Unlock()
			for _, e := range st.w.events {
				if e.Text == last && (e.Kind == bastion.EventUnread || e.Effect == "deny") {
					return
				}
			}
			t.Errorf("%q is not on record", last)
		})
	}
}

func TestConsolePasteNeverRuns(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.send(paste("select 1;\r\nselect 2;\n\n"))
		st.ran("")
		st.holds("select 1;\nselect 2;")
		st.send(paste("\n"))
		st.ran("")
		st.send(tea.KeyMsg{Type: tea.KeyEnter, Paste: true})
		st.ran("")
		st.press("enter")
		st.ran("select 1 | select 2")
		st.send(paste(strings.Repeat("x", bastion.MaxText+1)))
		st.wants("more than 1 MiB")
		st.holds("")
	})
}

func TestConsoleEnter(t *testing.T) {
	for _, tt := range []struct{ text, ran, left string }{
		{"select 1;", "select 1", ""},
		{"select 1", "", "select 1\n"},
		{"select ';", "", "select ';\n"},
		{"select 1; -- done", "select 1", ""},
		{"select 1; /* ", "", "select 1; /* \n"},
		{"select $a$;", "", "select $a$;\n"},
		{`select ";`, "", "select \";\n"},
		{";", "", ""},
		{"-- nothing\n;", "", ""},
		{"   ", "", ""},
		{`\dt`, "catalog tables", ""},
	} {
		t.Run(tt.text, func(t *testing.T) {
			flow(t, func(st *consoleStage) {
				st.c.edit.set(tt.text)
				st.press("enter")
				st.holds(tt.left)
				if tt.text != ";" && tt.text != "-- nothing\n;" {
					st.ran(tt.ran)
				}
			})
		})
	}
	flow(t, func(st *consoleStage) {
		st.press("select 1;")
		st.send(tea.KeyMsg{Type: tea.KeyEnter, Alt: true})
		st.key(tea.KeyCtrlJ)
		st.ran("")
		st.holds("select 1;\n\n")
	})
}

// What comes from the target reaches the screen without its control characters.
func TestConsoleNeutralises(t *testing.T) {
	flow(t, func(st *consoleStage) {
		check := func() {
			t.Helper()
			v := st.view()
			if i := strings.IndexFunc(v, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' }); i >= 0 {
				t.Errorf("the screen has a control character: %q", v[i:min(len(v), i+20)])
			}
		}
		st.query("select evil;")
		st.wants("na<U+001B>]0;x<U+0007>me<U+202E>")
		check()
		st.press("pgup", "enter")
		check()
		st.query("select hostile;")
		st.wants("bad <U+001B>]52;c;ZXZpbA==<U+0007> thing<U+202E>", "(XX<U+001B>[2J)")
		check()
		st.query(`\d x`)
		st.wants("<U+001B>[31m")
		check()
		st.send(paste("select '\x1b[2J\u202e\x07'"))
		st.wants("<U+001B>[2J<U+202E><U+0007>")
		check()
		st.holds("select '\x1b[2J\u202e\x07'") // what runs is what was pasted
		st.key(tea.KeyCtrlL)
		st.press("ctrl+c")
		st.query(`\foo` + "\x1b[2J")
		check()
	})
}

func TestConsoleNoticesAreBounded(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("select notice;")
		if n := len(st.c.blocks[len(st.c.blocks)-1].says); n > mostNotices {
			t.Errorf("%d notices are kept", n)
		}
		st.query("call notice;")
		st.wants("the target sent more notices")
	})
}

// The approval comes while alice types on. Her text stays as it is.
func TestConsoleApprovedInBackground(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query(consoleUpdate + ";")
		st.ran("")
		st.press("enter")
		st.wants("please write a few words")
		st.send(paste("typo in the name\nticket 4711\n"))
		if len(st.c.forms) != 1 {
			t.Error("a paste sent the reason")
		}
		st.press("enter")
		st.wants("request 17 waits", "30:00 left", "rita, ben", "typo in the name ticket 4711")
		st.pass(48 * time.Second)
		st.wants("29:12 left")
		st.press("esc")
		st.wants("request 17 waits: 29:12")
		st.query("select million from customers;") // holds the connection until somebody reads on
		st.press("select na")
		st.w.set(17, bastion.Approved)
		st.settle()
		st.holds("select na")
		st.wants("UPDATE 1", "request 17 was approved by rita", "it ran while you worked on")
		st.lacks("request 17 waits")
		st.ran("select million from customers | " + consoleUpdate)
		st.press("me")
		st.holds("select name")
	})
}

func TestConsoleRequestEnds(t *testing.T) {
	for state, says := range map[bastion.RequestState]string{
		bastion.Denied:    "request 17 was denied by rita: customer 7 is a test account",
		bastion.Expired:   "request 17 was not approved in time",
		bastion.Withdrawn: "request 17 was withdrawn",
	} {
		flow(t, func(st *consoleStage) {
			st.query(consoleUpdate + ";")
			st.press("ticket 4711", "enter", "esc")
			st.w.set(17, state)
			st.settle()
			st.wants(says)
			st.ran("")
		})
	}
}

func TestConsoleWithdraws(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query(consoleUpdate + ";")
		st.press("ticket 4711", "enter", "w")
		st.wants("Withdraw it? Press w again")
		st.press("x")
		st.wants("request 17 waits")
		st.press("w", "w")
		st.wants("request 17 was withdrawn")
		st.ran("")
	})
}

// Who stops waiting keeps the request: the same text uses its approval later.
func TestConsoleStopsWaiting(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query(consoleUpdate + ";")
		st.press("ticket 4711", "enter", "ctrl+c")
		st.wants("stopped waiting. Request 17 stays open for 30:00")
		st.w.set(17, bastion.Approved)
		st.settle()
		st.ran("")
		st.press("up", "enter")
		st.ran(consoleUpdate)
		st.wants("UPDATE 1")
	})
}

func TestConsoleGivesNoReason(t *testing.T) {
	for _, key := range []string{"esc", "ctrl+c"} {
		flow(t, func(st *consoleStage) {
			st.query(consoleUpdate + ";")
			st.press(key)
			st.wants("no reason was given, so nothing was asked and nothing ran")
			if len(st.w.requests) > 0 {
				t.Error("a request was made")
			}
		})
	}
}

// The form opens by itself. What was meant for the editor does not answer it.
func TestConsoleFormWaitsForPause(t *testing.T) {
	w := newConsoleWorld(t)
	hold := make(chan func(), 1)
	w.preview = func(ctx context.Context) error {
		c, cancel := context.WithCancel(ctx)
		hold <- cancel
		<-c.Done()
		return nil
	}
	playConsole(t, w, termenv.Ascii, func(st *consoleStage) {
		st.query(consoleUpdate + ";")
		st.press("select 1")
		(<-hold)()
		st.settle()
		st.wants("Why do you need it?")
		st.press("23456;", "enter")
		if len(st.w.requests) > 0 || st.c.forms[0].in.String() != "" {
			t.Error("text for the editor went into the form")
		}
		st.pass(grace + time.Millisecond)
		st.press("ticket 4711", "enter")
		if len(st.w.requests) != 1 || st.w.requests[0].Reason != "ticket 4711" {
			t.Errorf("the requests are %v", st.w.requests)
		}
		st.press("esc")
		st.holds("select 1")
	})
}

// An expired or old sign-in leads to the sign-in screen, and then the statement
// runs again.
func TestConsoleSignsInAgain(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.w.mu.Lock()
		st.w.expired = true
		st.w.mu.Unlock()
		st.query("select 1;")
		st.ran("select 1")
		st.wants("you are signed in again", "3 rows")
		st.pass(11 * time.Minute)
		st.query("set x;")
		st.ran("select 1 | set x")
	})
}

func TestConsoleHistory(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.press("half", "up")
		st.holds("select * from customers where id = 7;")
		st.press("up")
		st.holds("select count(*) from orders;") // what is recorded has no semicolon
		st.press("up")
		st.holds("select count(*) from orders;")
		st.press("down", "down")
		st.holds("half")
		st.press("ctrl+c")
		st.query("select 1;")
		st.query("select 2;")
		st.query("select 1;")
		st.press("up", "up", "up")
		st.holds("select * from customers where id = 7;")
		st.press("ctrl+c", "ctrl+r", "CUSTOMERS")
		st.wants("select * from customers where id = 7;")
		st.press("esc")
		st.holds("")
		st.press("ctrl+r", "select", "ctrl+r", "enter")
		st.holds("select 2;")
		st.ran("select 1 | select 2 | select 1")
	})
}

func TestConsoleCompletes(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.press("select * from cu", "tab")
		st.holds("select * from customers")
		st.press(" c where c.na", "tab")
		st.holds("select * from customers c where c.name")
		st.press(" = 'a' and c.", "tab")
		st.wants("email       column text")
		st.press("shift+tab", "enter")
		st.holds("select * from customers c where c.name = 'a' and c.created_at")
		st.ran("")
		st.press(" > or c.", "tab", "e")
		st.lacks("created_at  column")
		st.press("enter", "esc")
		st.holds("select * from customers c where c.name = 'a' and c.created_at > or c.email")
		st.press("ctrl+u", `\ti`, "tab")
		st.holds(`\timing`)
		st.press("ctrl+u", "select 'cu", "tab")
		st.holds("select 'cu")
	})
}

func TestConsoleReadsNamesAfterDDL(t *testing.T) {
	flow(t, func(st *consoleStage) {
		st.query("select 1;")
		if st.w.names != 1 {
			t.Errorf("names were read %d times", st.w.names)
		}
		st.query("create table x;")
		if st.w.names != 2 {
			t.Errorf("names were read %d times after a change", st.w.names)
		}
	})
}

func TestConsoleCommands(t *testing.T) {
	flow(t, func(st *consoleStage) {
		for command, says := range map[string]string{
			`\x auto`:       "Results are expanded where a table is too wide.",
			`\x sideways`:   `\x knows on, off and auto.`,
			`\timing off`:   "Times are not shown.",
			`\timing maybe`: `\timing knows on and off.`,
			`\e`:            "There is no other editor",
			`\! ls`:         `\! does not work here`,
			`\copy a to b`:  `\copy does not work here`,
			`\wat;`:         `unknown command \wat. Known are \d \dt`,
			`\history`:      "select count(*) from orders;",
			`\dt`:           "3 rows",
		} {
			st.query(command)
			st.wants(says)
		}
		st.ran("catalog tables")
		st.query(`\q`)
		if st.root.top() == Screen(st.c) {
			t.Error(`\q did not leave`)
		}
	})
}

func TestConsoleLeaves(t *testing.T) {
	leaves := func(st *consoleStage, says string) {
		t.Helper()
		st.key(tea.KeyCtrlD)
		if says != "" {
			st.wants(says, "ctrl+d again leaves")
			st.key(tea.KeyCtrlD)
		}
		if st.root.top() == Screen(st.c) {
			t.Error("ctrl+d did not leave")
		}
	}
	flow(t, func(st *consoleStage) { leaves(st, "") })
	flow(t, func(st *consoleStage) { st.query("select sleep;"); leaves(st, "a statement is running") })
	flow(t, func(st *consoleStage) { st.query("select million from customers;"); leaves(st, "") })
	flow(t, func(st *consoleStage) {
		st.query(consoleUpdate + ";")
		st.press("ticket 4711", "enter", "esc")
		leaves(st, "request 17 waits, and stays open")
		if st.w.requests[0].State != bastion.Pending {
			t.Error("the request did not stay open")
		}
	})
}

func TestConsoleOpens(t *testing.T) {
	slow := newConsoleWorld(t)
	slow.dial = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	playConsole(t, slow, termenv.Ascii, func(st *consoleStage) {
		st.wants("opening the connection; esc cancels")
		st.press("esc")
		if st.root.top() == Screen(st.c) {
			t.Error("esc did not go back")
		}
	})
	playConsole(t, slow, termenv.Ascii, func(st *consoleStage) {
		st.press("ctrl+c")
		if st.root.top() == Screen(st.c) || st.quit {
			t.Error("ctrl+c did not go back")
		}
	})
	flaky := newConsoleWorld(t)
	flaky.dial = func(context.Context) error { return errors.New("connection refused") }
	playConsole(t, flaky, termenv.Ascii, func(st *consoleStage) {
		st.wants("failed: connection refused", "enter tries again")
		flaky.dial = nil
		st.press("enter")
		st.wants("shop=> ")
	})
	closed := newConsoleWorld(t)
	closed.connect = bastion.Deny
	playConsole(t, closed, termenv.Ascii, func(st *consoleStage) {
		st.wants("refused before it reached the target", "connect-production", "esc goes back")
		st.press("esc")
		if st.root.top() == Screen(st.c) {
			t.Error("esc did not go back")
		}
	})
	asked := newConsoleWorld(t)
	asked.connect = bastion.Ask
	playConsole(t, asked, termenv.Ascii, func(st *consoleStage) {
		st.wants("needs 1 approval by a reviewer", "connect to shop")
		st.press("ticket 4711", "enter")
		st.wants("request 17 waits", "The console opens when it is approved")
		st.w.set(17, bastion.Approved)
		st.settle()
		st.wants("shop=> ", "request 17 was approved by rita")
	})
}

// Only the newest result keeps its rows, and the scrollback has an end.
func TestConsoleScrollbackIsBounded(t *testing.T) {
	flow(t, func(st *consoleStage) {
		for i := range mostBlocks + 10 {
			st.query(fmt.Sprintf("select page %d from customers;", i))
		}
		if n := len(st.c.blocks); n > mostBlocks {
			t.Errorf("%d blocks are kept", n)
		}
		rows := 0
		for _, b := range st.c.blocks {
			if b.sheet != nil {
				rows += len(b.sheet.rows)
			}
		}
		if rows > pageRows+oldRows*mostBlocks {
			t.Errorf("%d rows are kept", rows)
		}
		st.press("pgup", "pgup", "pgup")
		st.wants("select page 58 from customers")
		st.press("x")
		st.wants("shop=> x", "select page 59 from customers")
	})
}

// No size of the window breaks a screen.
func TestConsoleSizes(t *testing.T) {
	for name, does := range map[string]func(*consoleStage){
		"result":     func(st *consoleStage) { st.query("select wide from customers;"); st.press("select c") },
		"browse":     func(st *consoleStage) { st.query("select wide from customers;"); st.press("pgup", "down", "right") },
		"record":     func(st *consoleStage) { st.query("select wide from customers;"); st.press("pgup", "enter", "down") },
		"error":      func(st *consoleStage) { st.query("select " + strings.Repeat("林美 ", 80) + "nosuch;") },
		"popup":      func(st *consoleStage) { st.press("select c", "tab") },
		"form":       func(st *consoleStage) { st.query(consoleUpdate + ";"); st.press("because") },
		"panel":      func(st *consoleStage) { st.query(consoleUpdate + ";"); st.press("because", "enter") },
		"background": func(st *consoleStage) { st.query(consoleUpdate + ";"); st.press("because", "enter", "esc") },
		"lines":      func(st *consoleStage) { st.send(paste(strings.Repeat("select 'äöü林', 1 -- x\n", 60))) },
		"long line":  func(st *consoleStage) { st.send(paste(strings.Repeat("x 林", 40_000))) },
		"empty":      func(st *consoleStage) { st.query("insert into x;"); st.press("pgup", "up", "enter") },
		"expanded":   func(st *consoleStage) { st.query(`\x`); st.query("select wide from customers;") },
	} {
		t.Run(name, func(t *testing.T) {
			flow(t, func(st *consoleStage) {
				does(st)
				for _, w := range []int{1, 2, 5, 9, 20, 33, 79, 200} {
					for h := 1; h < 30; h += 3 {
						st.resize(w, h)
						st.view()
						st.press("down", "up")
						st.view()
					}
				}
			})
		})
	}
}
