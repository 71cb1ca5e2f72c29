package command

import (
	"context"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

// ownKeys lists the caller's keys, and takes one away.
func ownKeys(ctx context.Context, c *call) error {
	switches := map[string]*bool{"json": &c.json}
	if err := c.flags(nil, switches); err != nil {
		return err
	}
	what, which := c.word(), c.word()
	if err := c.flags(nil, switches); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	switch {
	case what == "" && which == "":
		return c.listKeys(ctx)
	case what == "forget" && which != "":
		if err := c.s.Unbind(ctx, which); err != nil {
			return refusedError{err}
		}
		c.words("that key is nobody's now, and what it opened ends")
		return nil
	}
	return usagef("keys, or keys forget FINGERPRINT; keys lists them")
}

func (c *call) listKeys(ctx context.Context) error {
	all, err := c.s.Keys(ctx)
	if err != nil {
		return refusedError{err}
	}
	var rows [][]string
	for _, k := range all {
		if c.json {
			if err := c.printJSON(k); err != nil {
				return err
			}
			continue
		}
		note := ""
		switch {
		case k.Fingerprint == c.s.Origin().Key:
			note = "this one"
		case !c.s.Now().Before(k.Expires):
			note = "ended"
		}
		rows = append(rows, []string{k.Fingerprint, k.SignedIn.UTC().Format(time.RFC3339), k.Expires.UTC().Format(time.RFC3339), k.From.Address, note})
	}
	if c.json {
		return nil
	}
	return c.table([]string{"KEY", "SIGNED IN", "UNTIL", "FROM", ""}, rows)
}

// people lists who has signed in, and keeps somebody out.
func people(ctx context.Context, c *call) error {
	var reason string
	read := func() error {
		return c.flags(map[string]*string{"reason": &reason}, map[string]*bool{"json": &c.json})
	}
	if err := read(); err != nil {
		return err
	}
	what, name := c.word(), c.word()
	if err := read(); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	switch {
	case what == "" && name == "":
		return c.listPeople(ctx)
	case what == "lock" && name != "":
		if strings.TrimSpace(reason) == "" {
			return usagef("say why: people lock %s --reason WHY", bastion.VisibleLine(name))
		}
		if err := c.s.Lock(ctx, name, reason); err != nil {
			return refusedError{err}
		}
		c.words("%s is locked out, and what they have open ends", name)
		return nil
	case what == "unlock" && name != "":
		if err := c.s.Unlock(ctx, name); err != nil {
			return refusedError{err}
		}
		c.words("%s may sign in again", name)
		return nil
	}
	return usagef("people, people lock NAME --reason WHY, or people unlock NAME")
}

func (c *call) listPeople(ctx context.Context) error {
	all, err := c.s.Accounts(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, a := range all {
		if c.json {
			if err := c.printJSON(a); err != nil {
				return err
			}
			continue
		}
		var roles []string
		for _, r := range a.Roles {
			roles = append(roles, r.Name)
		}
		note := ""
		switch {
		case !a.Locked.IsZero():
			note = "locked out since " + a.Locked.UTC().Format(time.RFC3339)
		case !a.Ended.IsZero():
			note = "sign-in ended by the provider at " + a.Ended.UTC().Format(time.RFC3339)
		}
		who := a.Identity
		rows = append(rows, []string{who.Name, who.Email, strings.Join(who.Groups, ", "), strings.Join(roles, ", "), a.Confirmed.UTC().Format(time.RFC3339), note})
	}
	if c.json {
		return nil
	}
	return c.table([]string{"NAME", "E-MAIL", "GROUPS", "ROLES", "AS OF", ""}, rows)
}
