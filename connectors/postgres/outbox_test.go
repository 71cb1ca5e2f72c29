package postgres

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// What belongs to no answer goes between whole messages, whatever the sizes of the
// parts in which they come.
func TestInterject(t *testing.T) {
	long := strings.Repeat("x", piece)
	for _, c := range []struct {
		name  string
		steps func(o *outbox) error
		want  string
	}{
		{"between", func(o *outbox) error { return o.interject([]byte("!")) }, "!"},
		{"in the middle", func(o *outbox) error {
			return errors.Join(
				o.add(true, func(b []byte) []byte { return append(b, "<ab"...) }), o.interject([]byte("!")),
				o.add(true, func(b []byte) []byte { return append(b, "cd"...) }), o.interject([]byte("?")),
				o.add(false, func(b []byte) []byte { return append(b, "ef>"...) }), o.flush())
		}, "<abcdef>!?"},
		{"in the middle of what is lent", func(o *outbox) error {
			return errors.Join(o.raw(true, []byte("<"+long)), o.interject([]byte("!")), o.raw(true, []byte(long)), o.raw(false, []byte(long+">")), o.flush())
		}, "<" + long + long + long + ">!"},
		{"after what is collected", func(o *outbox) error {
			return errors.Join(o.add(false, func(b []byte) []byte { return append(b, "<a>"...) }), o.interject([]byte("!")))
		}, "<a>!"},
	} {
		var b bytes.Buffer
		if err := c.steps(&outbox{dst: &b}); err != nil || b.String() != c.want {
			t.Errorf("%s: %v, %.40q", c.name, err, b.String())
		}
	}
}
