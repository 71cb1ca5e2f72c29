package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
)

func recordings(ctx context.Context, c *call) error {
	var f bastion.RecordingFilter
	var since, most string
	err := c.flags(map[string]*string{"person": &f.Person, "target": &f.Target, "text": &f.Text, "since": &since, "limit": &most},
		map[string]*bool{"all": &f.All, "json": &c.json})
	if err == nil {
		err = c.nothing()
	}
	if err != nil {
		return err
	}
	if since != "" {
		d, err := time.ParseDuration(since)
		if err != nil || d <= 0 {
			return usagef("--since wants a duration such as 24h, not %q", bastion.VisibleLine(since))
		}
		f.Since = c.s.Now().Add(-d)
	}
	n, err := limit(most)
	if err != nil {
		return err
	}
	f.Limit = n + 1
	rs, err := c.s.Recordings(ctx, f)
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
		c.words("no recording that you may see matches")
		return nil
	}
	var rows [][]string
	for _, r := range rs {
		length := r.Length.Truncate(time.Second).String()
		switch {
		case r.Broken:
			length += " (broken off)"
		case r.End.IsZero():
			length = "live"
		}
		rows = append(rows, []string{r.ID, r.Start.UTC().Format("2006-01-02 15:04:05"), r.Who.Name, strings.Join(r.Targets, " "), length,
			strconv.Itoa(r.Operations), strconv.Itoa(r.Asked), strconv.Itoa(r.Denied)})
	}
	return c.table([]string{"ID", "START (UTC)", "WHO", "TARGETS", "LENGTH", "OPERATIONS", "ASKED", "DENIED"}, rows)
}

// replay opens the recording that the command line names.
func (c *call) replay(ctx context.Context) (bastion.Replay, error) {
	id := c.word()
	if id == "" {
		return nil, usagef("which recording? `recordings` lists them")
	}
	if err := c.nothing(); err != nil {
		return nil, err
	}
	r, err := c.s.Replay(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("recording %q: %w", bastion.VisibleLine(id), err)
	}
	return r, nil
}

func play(ctx context.Context, c *call) (err error) {
	r, err := c.replay(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		chunk, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = c.s.Terminal().Write(chunk.Output) // the bytes as they were, whatever this terminal is
		}
		if err != nil {
			return err
		}
	}
}

func cast(ctx context.Context, c *call) error { return c.write(ctx, c.o.Cast) }

func text(ctx context.Context, c *call) error { return c.write(ctx, c.o.Text) }

func (c *call) write(ctx context.Context, f func(io.Writer, bastion.Replay) error) (err error) {
	r, err := c.replay(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return f(c.out, r)
}

func events(ctx context.Context, c *call) error {
	var from, session string
	if err := c.flags(map[string]*string{"from": &from, "session": &session}, map[string]*bool{"json": &c.json}); err != nil {
		return err
	}
	if err := c.nothing(); err != nil {
		return err
	}
	first := uint64(1)
	if from != "" {
		n, err := strconv.ParseUint(from, 10, 64)
		if err != nil {
			return usagef("--from wants the number of an event, not %q", bastion.VisibleLine(from))
		}
		first = n
	}
	var werr error
	err := c.s.Events(ctx, first, func(e bastion.Event) bool {
		if session != "" && e.Session != session {
			return true
		}
		if c.json {
			werr = c.printJSON(e)
		} else {
			_, werr = fmt.Fprintln(c.out, Line(e))
		}
		return werr == nil
	})
	return errors.Join(err, werr)
}

// Line tells an event in one line.
func Line(e bastion.Event) string {
	s := fmt.Sprintf("%d %s %s %s", e.Seq, e.At.UTC().Format("2006-01-02 15:04:05"), e.Name, e.Kind)
	for _, part := range []struct{ name, value string }{
		{"session", e.Session}, {"target", e.Target}, {"verb", string(e.Verb)}, {"effect", e.Effect}, {"rule", e.Rule},
		{"request", positive(int64(e.Request))}, {"by", strings.Join(e.By, ",")}, {"rows", positive(e.Rows)},
		{"masked", strings.Join(e.Masked, ",")}, {"reason", e.Reason}, {"error", e.Error}, {"text", e.Text},
	} {
		if part.value != "" {
			s += " " + part.name + "=" + strconv.Quote(part.value)
		}
	}
	return bastion.VisibleLine(s)
}

func positive(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
