package command

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
)

// manyRequests is how many there are; a list of them ends at the limit, as the store's.
const manyRequests = 130

func (configVotes) Requests(_ context.Context, _ bastion.Identity, f bastion.RequestFilter) (rs []bastion.Request, err error) {
	for i := range min(f.Limit, manyRequests) {
		rs = append(rs, bastion.Request{ID: uint64(manyRequests - i), State: bastion.Used, Summary: "select"})
	}
	return rs, nil
}

// A list that is cut says so, on standard error, and how to see more.
func TestListsSayWhenTheyAreCut(t *testing.T) {
	for line, c := range map[string]struct {
		lines int
		says  string
	}{
		"requests --all":                    {101, "these are the first 100, and there are more; --limit 1000 shows as many\n"},
		"requests --all --limit 130":        {131, ""},
		"requests --all --limit 1000":       {131, ""},
		"requests --all --json --limit 129": {129, "these are the first 129, and there are more; --limit 1290 shows as many\n"},
		"requests --all --limit 0":          {0, "sallyport: --limit wants a number from 1"},
	} {
		out, errs, _ := runConfig(t, "alice", line, nil)
		if n := strings.Count(out, "\n"); n != c.lines || !strings.HasPrefix(errs, c.says) || c.says == "" && errs != "" {
			t.Errorf("%s: %d lines, %q", line, n, errs)
		}
	}
	if _, errs, _ := runConfig(t, "alice", "recordings --limit many", nil); !strings.Contains(errs, fmt.Sprintf("not %q", "many")) {
		t.Errorf("%q", errs)
	}
}
