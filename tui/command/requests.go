package command

import (
	"context"
	"fmt"
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
	if err := c.flags(nil, map[string]*bool{"all": &all, "mine": &mine, "json": &c.json}); err != nil {
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
			return fmt.Errorf("request %d: %w", id, err)
		}
		if c.json {
			return c.printJSON(r)
		}
		return c.printRequest(r)
	}
	rs, err := c.s.Requests(ctx, bastion.RequestFilter{Open: !all, Mine: mine, Decide: !mine && !all})
	if err != nil {
		return err
	}
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

func until(r bastion.Request, now time.Time) string {
	if !r.State.Open() {
		return "-"
	}
	return max(0, r.Expires.Sub(now)).Truncate(time.Second).String()
}

// printRequest shows all that an approver should weigh.
func (c *call) printRequest(r bastion.Request) error {
	var actions []string
	for _, a := range r.Actions {
		actions = append(actions, strings.TrimSpace(string(a.Verb)+" "+a.Resource))
	}
	rows := [][]string{
		{"state", string(r.State)},
		{"who", fmt.Sprintf("%s <%s> (%s)", r.Who.Name, r.Who.Email, r.Who.Kind)},
		{"from", r.Origin.Address + ", key " + r.Origin.Key},
		{"kind", string(r.Kind)}, {"target", r.Target}, {"access", accessLine(r)}, {"effect", r.Summary}, {"does", strings.Join(actions, "; ")},
		{"estimate", estimateLine(r.Preview)}, {"settings", r.Settings}, {"reason", r.Reason},
		{"rule", r.Rule}, {"needs", r.Needs.String()}, {"votes", strings.Trim(voters(r), " ()")}, {"seen by", seen(r)},
		{"left", until(r, c.s.Now())}, {"digest", r.Digest},
	}
	rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" && row[0] != "votes" })
	if err := c.table([]string{"request", strconv.FormatUint(r.ID, 10)}, rows); err != nil {
		return err
	}
	var params strings.Builder
	for i, p := range r.Params {
		fmt.Fprintf(&params, "$%d = %s\n", i+1, bastion.VisibleLine(p))
	}
	if _, err := fmt.Fprintf(c.out, "\n%s\n%s", bastion.Visible(r.Text), params.String()); err != nil {
		return err
	}
	for _, v := range r.Votes {
		if v.Reason != "" {
			if _, err := fmt.Fprintf(c.out, "%s %s: %s\n", v.Who.Name, v.Verdict, bastion.VisibleLine(v.Reason)); err != nil {
				return err
			}
		}
	}
	return nil
}

// seen lists who of those that can decide has looked.
func seen(r bastion.Request) string {
	var names []string
	for _, s := range r.Seen {
		names = append(names, s.Name+" at "+s.At.UTC().Format("15:04:05"))
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

func estimateLine(p bastion.Preview) string {
	if p.Rows < 0 {
		return strings.TrimSpace("unknown " + p.Note)
	}
	return fmt.Sprintf("%d rows (%s)", p.Rows, p.Note)
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
	c.words("request %d is %s%s", r.ID, r.State, voters(r))
	return nil
}

// refusedError is a vote that was not taken, which is a denial to a script.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }
