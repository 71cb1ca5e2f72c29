package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// rest takes what is left of the line: words of a reason without quotes.
func (c *call) rest() string {
	r := strings.TrimSpace(c.line)
	c.line = ""
	if r == "" {
		return ""
	}
	return " " + r
}

func requests(ctx context.Context, c *call) error {
	var all, mine bool
	var most string
	if err := c.flags(map[string]*string{"limit": &most}, map[string]*bool{"all": &all, "mine": &mine, "json": &c.json}); err != nil {
		return err
	}
	if w := c.word(); w != "" {
		id, err := number(w)
		if err != nil {
			return err
		}
		if err := c.flags(nil, map[string]*bool{"json": &c.json}); err != nil {
			return err
		}
		if err := c.nothing(); err != nil {
			return err
		}
		r, err := c.s.Request(ctx, id)
		if err != nil {
			return err
		}
		past, err := c.s.Past(ctx, id)
		if err != nil {
			return err
		}
		reviewed, err := c.s.Reviewed(ctx, r)
		if err != nil {
			return err
		}
		if c.json {
			return c.printJSON(struct {
				bastion.Request
				Past       bastion.Past `json:"past"`
				Recordings []string     `json:"recordings,omitempty"` // that a review looks at
			}{r, past, reviewed})
		}
		return c.printRequest(r, past, reviewed)
	}
	n, err := limit(most)
	if err != nil {
		return err
	}
	rs, err := c.s.Requests(ctx, bastion.RequestFilter{Open: !all, Mine: mine, Decide: !mine && !all, Limit: n + 1})
	if err != nil {
		return err
	}
	rs = first(c, rs, n)
	if c.json {
		for _, r := range rs {
			if err := c.printJSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	if len(rs) == 0 {
		c.words("no request waits for you; --mine lists your own, --all those that ended too")
		return nil
	}
	var rows [][]string
	for _, r := range rs {
		rows = append(rows, []string{strconv.FormatUint(r.ID, 10), string(r.State), r.Who.Name, r.Target, r.Summary, until(r, c.s.Now()), r.Reason})
	}
	return c.table([]string{"NO", "STATE", "WHO", "TARGET", "WHAT", "LEFT", "REASON"}, rows)
}

// limit reads how many entries of a list are wanted: 100 if nobody says.
func limit(text string) (int, error) {
	if text == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1e6 {
		return 0, usagef("--limit wants a number from 1 to 1000000, not %q", bastion.VisibleLine(text))
	}
	return n, nil
}

// first is the beginning of a list, of which one entry more was asked for than is
// wanted, to know whether there are others.
func first[T any](c *call, all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	c.words("these are the first %d, and there are more; --limit %d shows as many", n, min(10*n, 1e6))
	return all[:n]
}

func until(r bastion.Request, now time.Time) string {
	if !r.State.Open() || r.Expires.IsZero() { // a review waits until somebody does it
		return "-"
	}
	return max(0, r.Expires.Sub(now)).Truncate(time.Second).String()
}

// printRequest shows all that an approver should weigh.
func (c *call) printRequest(r bastion.Request, past bastion.Past, reviewed []string) error {
	var actions []string
	for _, a := range r.Actions {
		actions = append(actions, strings.TrimSpace(string(a.Verb)+" "+a.Resource))
	}
	ended := ""
	if !r.State.Open() {
		ended = r.End()
	}
	known := r.Preview.Lines()
	if r.Verb == bastion.Connect || r.Kind != bastion.KindOperation && r.Kind != "" {
		known = nil
	}
	rows := [][]string{
		{"state", string(r.State)}, {"ended", ended},
		{"who", fmt.Sprintf("%s <%s> (%s)", r.Who.Name, r.Who.Email, r.Who.Kind)},
		{"from", r.Origin.Address + ", key " + r.Origin.Key},
		{"kind", string(r.Kind)}, {"target", r.Target}, {"access", accessLine(r)}, {"effect", r.Summary}, {"does", strings.Join(actions, "; ")},
		{"known", strings.Join(known, "; ")}, {"settings", r.Settings}, {"reason", r.Reason}, {"recordings", strings.Join(reviewed, ", ")},
		{"rule", r.Rule}, {"needs", r.Needs.String()}, {"can approve", strings.Join(r.Approvers, ", ")}, {"votes", cmp.Or(strings.Trim(voters(r), " ()"), "none yet")}, {"seen by", seen(r, c.s.Now())},
		{"asked", since(c.s.Now().Sub(r.Created)) + " ago"}, {"left", until(r, c.s.Now())}, {"digest", r.Digest},
	}
	for i, l := range past.Lines(r) {
		name := ""
		if i == 0 {
			name = "earlier"
		}
		rows = append(rows, []string{name, l})
	}
	rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
	if err := c.table([]string{"request", strconv.FormatUint(r.ID, 10)}, rows); err != nil {
		return err
	}
	var b strings.Builder
	if len(r.Preview.Effect) > 0 {
		b.WriteString("\nWhat it does:\n")
		for _, l := range r.Preview.Effect {
			b.WriteString("  " + bastion.VisibleLine(l) + "\n")
		}
		b.WriteString("\nThe text:\n")
	}
	fmt.Fprintf(&b, "\n%s\n", bastion.Visible(r.Text))
	for i, p := range r.Params {
		fmt.Fprintf(&b, "$%d = %s\n", i+1, bastion.VisibleLine(p))
	}
	for _, v := range r.Votes {
		if v.Reason != "" {
			fmt.Fprintf(&b, "%s %s: %s\n", v.Who.Name, v.Verdict, bastion.VisibleLine(v.Reason))
		}
	}
	if _, err := io.WriteString(c.out, b.String()); err != nil {
		return err
	}
	if r.Try && r.Yours && r.State == bastion.Pending {
		c.words("preview %d runs it on %s and takes it back, so that you see what it would do", r.ID, r.Target)
	}
	return nil
}

// since is how long something is ago, in whole seconds.
func since(d time.Duration) string { return max(0, d).Truncate(time.Second).String() }

// preview has a request's operation run and taken back.
func preview(ctx context.Context, c *call) error {
	id, err := number(c.word())
	if err != nil {
		return err
	}
	if err := c.flags(nil, map[string]*bool{"json": &c.json}); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	p, err := c.s.Try(ctx, id)
	var te *bastion.TargetError
	switch {
	case errors.As(err, &te):
		return fmt.Errorf("request %d: %w", id, err)
	case err != nil:
		if name := fmt.Sprintf("request %d", id); !strings.HasPrefix(err.Error(), name) {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return refusedError{err}
	}
	if c.json {
		return c.printJSON(p)
	}
	lines := append(p.Lines(), fmt.Sprintf("made at %s in %s; request %d still waits", bastion.Moment(p.At, c.s.Now()), p.Took.Round(time.Millisecond), id))
	_, err = io.WriteString(c.out, strings.Join(lines, "\n")+"\n")
	return err
}

// seen lists who of those that can decide has looked.
func seen(r bastion.Request, now time.Time) string {
	var names []string
	for _, s := range r.Seen {
		names = append(names, s.Name+" at "+bastion.Moment(s.At, now))
	}
	return strings.Join(names, ", ")
}

// accessLine says what access is asked for.
func accessLine(r bastion.Request) string {
	a := r.Access
	if a == nil {
		return ""
	}
	s := a.Bundle + " for " + a.For.String()
	if !a.From.IsZero() {
		s += " from " + a.From.UTC().Format("2006-01-02 15:04 MST")
	}
	if a.Window != "" {
		s += " in " + a.Window
	}
	if a.Emergency {
		s += ", in an emergency"
	}
	return bastion.VisibleLine(s)
}

func number(w string) (uint64, error) {
	id, err := strconv.ParseUint(strings.TrimPrefix(w, "#"), 10, 64)
	if err != nil || id == 0 {
		return 0, usagef("%q is not the number of a request", bastion.VisibleLine(w))
	}
	return id, nil
}

// decision reads NUMBER [--reason] [WORDS...], as approve and deny share it.
func (c *call) decision() (id uint64, reason string, err error) {
	if id, err = number(c.word()); err != nil {
		return 0, "", err
	}
	if err := c.flags(map[string]*string{"reason": &reason}, map[string]*bool{"json": &c.json}); err != nil {
		return 0, "", err
	}
	return id, strings.TrimSpace(reason + c.rest()), nil
}

func approve(ctx context.Context, c *call) error { return c.vote(ctx, bastion.VoteApprove) }

func deny(ctx context.Context, c *call) error { return c.vote(ctx, bastion.VoteDeny) }

func (c *call) vote(ctx context.Context, v bastion.Verdict) error {
	id, reason, err := c.decision()
	if err != nil {
		return err
	}
	if v == bastion.VoteDeny && reason == "" {
		return usagef("say why: deny %d --reason WHY", id)
	}
	r, err := c.s.Vote(ctx, id, v, reason)
	return c.outcome(r, err)
}

// outcome says how a vote went.
func (c *call) outcome(r bastion.Request, err error) error {
	if err != nil {
		return refusedError{err}
	}
	if c.json {
		return c.printJSON(r)
	}
	if r.State == bastion.Closed {
		found := "all was in order"
		if slices.ContainsFunc(r.Votes, func(v bastion.Vote) bool { return v.Verdict == bastion.VoteDeny }) {
			found = "something was wrong, which is kept with the reason"
		}
		c.words("review %d is closed: %s", r.ID, found)
		return nil
	}
	c.words("request %d is %s%s", r.ID, r.State, voters(r))
	return nil
}

// refusedError is a vote that was not taken, which is a denial to a script.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }
