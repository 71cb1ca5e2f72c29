package recordings

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// Text writes what happened in a session for people to read: who, when and from
// where, then the events in order, each statement in full. Characters that would
// deceive a reader or move the cursor are made visible. It leaves the replay open.
func Text(w io.Writer, r bastion.Replay) error {
	out := bufio.NewWriter(w)
	m := r.Recording()
	line := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) } // Flush tells the error
	line("Recording  %s", bastion.VisibleLine(m.ID))
	who := m.Who.Name
	if m.Who.Email != "" {
		who += " <" + m.Who.Email + ">"
	}
	line("Who        %s, %s", bastion.VisibleLine(who), bastion.VisibleLine(m.Who.ID()))
	line("From       %s, key %s, %s", bastion.VisibleLine(m.Origin.Address), bastion.VisibleLine(m.Origin.Key), bastion.VisibleLine(m.Origin.Client))
	line("When       %s, %s", m.Start.UTC().Format("2006-01-02 15:04:05 UTC"), ending(m))
	if m.Command != "" {
		line("Command    %s", bastion.VisibleLine(m.Command))
	}
	if len(m.Targets) > 0 {
		line("Targets    %s", bastion.VisibleLine(strings.Join(m.Targets, ", ")))
	}
	line("Decisions  %d, of them %d refused and %d subject to approval", m.Operations, m.Denied, m.Asked)
	line("Output     %d bytes", m.Bytes)
	for _, e := range r.Events() {
		line("")
		line("%s  %s", clock(e.Offset), sentence(e))
		if statement(e) {
			for l := range strings.SplitSeq(strings.TrimRight(bastion.Visible(e.Text), "\n"), "\n") {
				line("             %s", l)
			}
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the text of a recording: %w", err)
	}
	return nil
}

func ending(m bastion.Recording) string {
	length := bastion.Span(m.Length.Round(time.Second))
	switch {
	case m.End.IsZero():
		return length + " so far"
	case m.Broken:
		return length + ", then the recording breaks off"
	}
	return length + " long"
}

func clock(d time.Duration) string {
	d = max(0, d).Truncate(time.Millisecond)
	return fmt.Sprintf("%d:%02d:%02d.%03d", d/time.Hour, d/time.Minute%60, d/time.Second%60, d/time.Millisecond%1000)
}

// statement reports whether the event's text is something that a person wrote
// for a target. A connect has no text of its own.
func statement(e bastion.Event) bool {
	if e.Text == "" || e.Verb == bastion.Connect {
		return false
	}
	switch e.Kind {
	case bastion.EventDecision, bastion.EventUnread, bastion.EventVote, bastion.EventTry, bastion.EventPrepare:
		return true
	}
	return false
}

// sentence says in one line what an event tells, without its statement.
func sentence(e bastion.Event) string {
	var s string
	request := fmt.Sprintf("request %d", e.Request)
	by := e.By
	if len(by) == 0 && e.Name != "" {
		by = []string{e.Name}
	}
	because := func(text string) string {
		if text == "" {
			return ""
		}
		return ": " + text
	}
	switch e.Kind {
	case bastion.EventStart:
		s = "session begins"
	case bastion.EventEnd:
		s = "session ends" + because(e.Error)
	case bastion.EventSignIn:
		s = "signed in" + because(e.Error)
	case bastion.EventDecision:
		s = string(e.Verb) + " on " + e.Target + " "
		switch {
		case e.Error != "":
			s += "not allowed now" + because(e.Error)
		case e.Effect == bastion.Allow.String():
			s += "allowed"
		case e.Effect == bastion.Ask.String():
			s += "needs approval"
		default:
			s += "refused"
		}
		if e.Rule != "" {
			s += " (rule " + e.Rule + ")"
		}
		if e.Error == "" {
			s += because(e.Reason)
		}
	case bastion.EventUnread:
		s = "a text for " + e.Target + " could not be read" + because(e.Error)
	case bastion.EventRequest:
		s = request + " filed for " + e.Target + because(e.Reason)
	case bastion.EventVote:
		s = "vote on " + request
		switch {
		case e.Verb == "review" && e.Effect == string(bastion.VoteApprove):
			s = fmt.Sprintf("review %d: all in order", e.Request)
		case e.Verb == "review" && e.Effect == string(bastion.VoteDeny):
			s = fmt.Sprintf("review %d: something was wrong", e.Request)
		case e.Effect == string(bastion.VoteComment):
			s = "comment on " + request
		case e.Effect != "":
			s += ", " + e.Effect
		}
		s += " by " + strings.Join(by, ", ") + because(e.Reason)
	case bastion.EventTry:
		s = request + ": the " + string(e.Verb) + " on " + e.Target
		switch took := bastion.Span(e.Took.Round(10 * time.Microsecond)); {
		case e.Effect != "":
			s += " is run to be taken back, as a preview"
		case e.Error != "":
			s += " changed nothing: the preview failed after " + took + because(e.Error)
		default:
			s += " was run and taken back in " + took + ", " + rows(e.Rows)
		}
	case bastion.EventRevoke:
		if e.Request == 0 {
			s = "taken away: " + e.Text + ", by " + strings.Join(by, ", ") + because(e.Reason)
			break
		}
		s = request + " revoked by " + strings.Join(by, ", ") + because(e.Reason)
	case bastion.EventRestore:
		s = "given back: " + e.Text + ", by " + strings.Join(by, ", ")
	case bastion.EventUnbind:
		s = "taken away: " + e.Text + ", by " + strings.Join(by, ", ")
	case bastion.EventPrepare:
		s = "a text was prepared on " + e.Target + ", without running it" + because(e.Error)
	case bastion.EventUse:
		s = request + " used"
		if len(e.By) > 0 {
			s += ", approved by " + strings.Join(e.By, ", ")
		}
	case bastion.EventWithdrawn:
		s = request + " withdrawn" + because(e.Reason)
	case bastion.EventExpired:
		s = request + " expired" + because(e.Reason)
	case bastion.EventResult:
		s = result(e)
	case bastion.EventReplay:
		s = "opened recording " + e.Text
	case bastion.EventRefused:
		s = "refused" + because(e.Reason+e.Error)
	case bastion.EventAlarm:
		s = "ALARM" + because(e.Reason+e.Error)
	case bastion.EventAct, bastion.EventTask:
		s = strings.TrimSpace(e.Name + " " + e.Text)
	case bastion.EventFacts:
		s = "of " + e.Name + because(e.Text)
	case bastion.EventRetry:
		s = e.Text + " is delivered again"
	case bastion.EventResize:
		s = "the terminal has another size"
	default:
		s = string(e.Kind) + because(e.Text)
	}
	return bastion.VisibleLine(s)
}

func rows(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

func result(e bastion.Event) string {
	s := string(e.Verb) + " on " + e.Target
	took := bastion.Span(e.Took.Round(10 * time.Microsecond))
	if e.Error != "" {
		s += " failed after " + took + ": " + e.Error
	} else {
		s += " done in " + took
	}
	if e.Verb != bastion.Connect {
		s += ", " + rows(e.Rows)
	}
	if len(e.Masked) > 0 {
		s += ", masked: " + strings.Join(e.Masked, ", ")
	}
	return s
}
