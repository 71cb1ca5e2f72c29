package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// Lengths of texts in characters, in what is kept and in what is sent. The form
// that Slack limits most, 3,000 characters of a block, holds five times a long one.
const (
	keptText  = 2000
	keptName  = 300
	keptTo    = 100 // people; e-mail goes to all of them
	longText  = 500
	shortText = 100
	shownTo   = 12 // names in a message
)

// voice is what the bastion says of itself.
type voice struct {
	name string // what it calls itself
	ssh  string // "ssh -p 2222 bastion.example.com"
	host string
}

// message is a note in words, in one language and for every medium. Its texts
// show all their characters in one line each, so that none can pass for another
// part of the message; what they mean as markup is for the medium to take away.
type message struct {
	title  string  // of our own words alone
	gist   string  // who, what and where, short
	fields []field // in the order to be shown
	steps  []step
	end    string
}

type field struct{ label, value string }

// step is something that the reader may do, and the command for it.
type step struct{ what, command string }

// line makes a text show itself in full in one line.
func line(s string, most int) string { return clip(bastion.VisibleLine(s), most) }

// say puts a note in words. What can no longer be decided is not offered.
func (v voice) say(n Note, now time.Time) message {
	who, target := line(n.Who, shortText), line(n.Target, shortText)
	m := message{title: v.title(n)}
	m.gist = strings.Join(present(line(n.Who, 40), line(n.Summary, 80), line(n.Target, 40)), ", ")
	late := n.Kind == Request && !n.Expires.IsZero() && now.After(n.Expires)
	until := "Until"
	if n.Kind == Request {
		until = "Waits until"
	}
	if late {
		until = "Waited until"
	}
	by := line(n.By, shortText)
	if n.Kind == Request || n.Kind == Emergency || n.Kind == Review {
		by = "" // the requester, or the bastion
	}
	of := ""
	if n.Of > 0 {
		of = fmt.Sprintf("request %d", n.Of)
	}
	for _, f := range []field{
		{"Who", who}, {"By", by}, {"Emergency", of}, {"Target", target}, {"What", line(n.Summary, longText)}, {"Reason", line(n.Reason, longText)},
		{"Needs", line(n.Needs, longText)}, {"Can decide", deciders(n)}, {"At", moment(n.At)}, {until, moment(n.Expires)},
	} {
		if f.value != "" {
			m.fields = append(m.fields, f)
		}
	}
	if n.Request == 0 {
		return m
	}
	do := func(what, verb, more string) {
		m.steps = append(m.steps, step{what, fmt.Sprintf("%s %s %d%s", v.ssh, verb, n.Request, more)})
	}
	do("Read it in full", "requests", "")
	switch {
	case late:
		m.end = "It was not decided in time; there is nothing to do."
	case n.Kind == Request:
		do("Approve it", "approve", "")
		do("Deny it", "deny", " --reason WHY")
	case n.Kind == Review:
		do("Close it, because all was in order", "approve", "")
		do("Close it, because something was not", "deny", " --reason WHY")
	case n.Kind == Emergency:
		do("End it at once", "revoke", "")
	}
	if !late && (n.Kind == Request || n.Kind == Review) {
		m.end = "No link and no reply approves anything; only your own session does."
	}
	return m
}

func (v voice) title(n Note) string {
	r := fmt.Sprintf("request %d", n.Request)
	if n.Request == 0 {
		r = "a request"
	}
	s := ""
	switch n.Kind {
	case Request:
		s = r + " waits for approval"
	case Approved:
		s = r + " is approved"
	case Denied:
		s = r + " was denied"
	case Comment:
		s = r + " has a comment"
	case Used:
		s = r + ": the approval was used"
	case EndsSoon:
		s = r + ": what was granted ends soon"
	case Expired:
		s = r + " has expired"
	case Withdrawn:
		s = r + " was withdrawn"
	case Revoked:
		s = r + " was revoked"
	case Emergency:
		s = "EMERGENCY access was taken, " + r
	case Review:
		s = r + ": an emergency waits for its review"
	case Reviewed:
		s = r + ": the review found all in order"
		if n.Finding {
			s = r + ": the review found that something was wrong"
		}
	default:
		s = r
	}
	return line(v.name, 40) + ": " + s
}

// deciders names those who can decide, where that is still to be done.
func deciders(n Note) string {
	if n.Kind != Request && n.Kind != Review {
		return ""
	}
	var names []string
	for i, p := range n.To {
		if i == shownTo {
			names = append(names, fmt.Sprintf("and %d more", len(n.To)-i))
			break
		}
		names = append(names, present(line(p.Name, 30))...)
	}
	return clip(strings.Join(names, ", "), longText)
}

// present are the texts that are not empty.
func present(texts ...string) []string {
	var some []string
	for _, s := range texts {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
