package command

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// notices says how notifications fare, and delivers after all what was given up.
func notices(ctx context.Context, c *call) error {
	switches := map[string]*bool{"json": &c.json}
	if err := c.flags(nil, switches); err != nil {
		return err
	}
	what := c.word()
	if err := c.flags(nil, switches); err != nil {
		return err
	}
	switch what {
	case "":
		return c.deliveries(ctx)
	case "dead":
		if err := c.nothing(); err != nil {
			return err
		}
		return c.undelivered(ctx)
	case "retry":
		n := c.word()
		id, err := strconv.ParseUint(n, 10, 64)
		if err != nil {
			return usagef("%q is not the number of a notification; notify dead lists them", bastion.VisibleLine(n))
		}
		if err := c.nothing(); err != nil {
			return err
		}
		if err := c.s.Redeliver(ctx, id); err != nil {
			return err
		}
		c.words("notification %d is on its way again", id)
		return nil
	}
	return usagef("notify %q is not known; dead or retry", bastion.VisibleLine(what))
}

func (c *call) deliveries(ctx context.Context) error {
	all, err := c.s.Deliveries(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, d := range all {
		if c.json {
			if err := c.printJSON(d); err != nil {
				return err
			}
			continue
		}
		last := d.Error
		if last != "" {
			last = d.At.UTC().Format(time.RFC3339) + " " + last
		}
		rows = append(rows, []string{d.Channel, strconv.FormatUint(d.Delivered, 10), strconv.Itoa(d.Waiting), strconv.Itoa(d.Dead), strconv.FormatUint(d.Failed, 10), last})
	}
	switch {
	case c.json:
		return nil
	case len(rows) == 0:
		c.words("no channels are configured, so nobody is told of anything outside of sessions: see notify in the configuration")
		return nil
	}
	return c.table([]string{"CHANNEL", "DELIVERED", "WAITING", "DEAD", "FAILED", "LAST FAILURE"}, rows)
}

func (c *call) undelivered(ctx context.Context) error {
	all, err := c.s.Undelivered(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, l := range all {
		if c.json {
			if err := c.printJSON(l); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{strconv.FormatUint(l.ID, 10), l.Channel, l.Kind, strconv.FormatUint(l.Request, 10), l.To, l.At.UTC().Format(time.RFC3339),
			fmt.Sprintf("%d times, last %s", l.Attempts, l.Last.UTC().Format(time.RFC3339)), l.Error})
	}
	switch {
	case c.json:
		return nil
	case len(rows) == 0:
		c.words("nothing was given up on: what a channel was to tell was told, or is still being tried")
		return nil
	}
	return c.table([]string{"NO", "CHANNEL", "KIND", "REQUEST", "TO", "HAPPENED", "TRIED", "WHY NOT"}, rows)
}
