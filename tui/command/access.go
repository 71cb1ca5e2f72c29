package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// request asks for access to a target, or with --terms says what can be asked for.
func request(ctx context.Context, c *call) error { return c.access(ctx, false) }

// breakGlass takes access in an emergency: at once, with an alarm and a review.
func breakGlass(ctx context.Context, c *call) error { return c.access(ctx, true) }

func (c *call) access(ctx context.Context, emergency bool) error {
	var reason, bundle, length, from, window string
	var terms bool
	set := map[string]*string{"reason": &reason, "bundle": &bundle, "for": &length, "from": &from, "window": &window}
	switches := map[string]*bool{"json": &c.json, "terms": &terms}
	if emergency {
		delete(set, "from")
		delete(set, "window")
	}
	if err := c.flags(set, switches); err != nil {
		return err
	}
	target, err := c.target(ctx, &reason)
	if err != nil {
		return err
	}
	if err := c.flags(set, switches); err != nil {
		return err
	}
	if terms {
		if err := c.nothing(); err != nil {
			return err
		}
		return c.terms(ctx, target)
	}
	asked := bastion.AccessAsked{Bundle: bundle, Window: window, Emergency: emergency}
	if length != "" {
		if asked.For, err = time.ParseDuration(length); err != nil || asked.For <= 0 {
			return usagef("--for %q is no length of time; write it as 2h or 30m", bastion.VisibleLine(length))
		}
	}
	if from != "" {
		if asked.From, err = moment(from, c.s.Now()); err != nil {
			return err
		}
	}
	r, err := c.s.RequestAccess(ctx, target, asked, strings.TrimSpace(reason+c.rest()))
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(r)
	}
	switch {
	case r.State == bastion.Approved:
		c.words("request %d is granted until %s; the alarm goes to everybody configured, and somebody else will review it", r.ID, bastion.Moment(r.Expires, c.s.Now()))
	default:
		c.words("request %d needs %s%s; it waits until %s", r.ID, r.Needs, by(r.Approvers), bastion.Moment(r.Expires, c.s.Now()))
	}
	_, err = fmt.Fprintln(c.out, r.ID)
	return err
}

// terms lists what can be asked for.
func (c *call) terms(ctx context.Context, target string) error {
	ts, err := c.s.Terms(ctx, target)
	if err != nil {
		return err
	}
	if c.json {
		for _, t := range ts {
			if err := c.printJSON(t); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ts) == 0 {
		c.words("there is no access to %s that you could ask for", target)
		return nil
	}
	var rows [][]string
	for _, t := range ts {
		how := "ask"
		if t.Emergency {
			how = "break-glass"
		}
		rows = append(rows, []string{t.Bundle, how, t.Max.String(), t.Needs.String(), t.Reason})
	}
	return c.table([]string{"ACCESS", "HOW", "AT MOST", "NEEDS", "WHY"}, rows)
}

// moment reads a time: today's or tomorrow's hour, or a date and a time (RFC 3339).
func moment(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	h, err := time.Parse("15:04", text)
	if err != nil {
		return time.Time{}, usagef("--from %q is no time; write it as 22:30 (UTC) or as 2030-01-31T22:30:00Z", bastion.VisibleLine(text))
	}
	now = now.UTC()
	t := time.Date(now.Year(), now.Month(), now.Day(), h.Hour(), h.Minute(), 0, 0, time.UTC)
	if t.Before(now) {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}

// revoke ends what a request gave, or takes one's own request back.
func revoke(ctx context.Context, c *call) error {
	id, reason, err := c.decision()
	if err != nil {
		return err
	}
	r, err := c.s.Request(ctx, id)
	if err != nil {
		return err
	}
	if r.State == bastion.Approved && (r.Kind == bastion.KindAccess || !r.Who.Equal(c.s.Who())) {
		r, err = c.s.Revoke(ctx, id, reason)
	} else {
		r, err = c.s.Withdraw(ctx, id)
	}
	return c.outcome(r, err)
}

// comment says something about a request without deciding it.
func comment(ctx context.Context, c *call) error {
	id, text, err := c.decision()
	if err != nil {
		return err
	}
	if text == "" {
		return usagef("say what: comment %d WORDS", id)
	}
	r, err := c.s.Vote(ctx, id, bastion.VoteComment, text)
	return c.outcome(r, err)
}
