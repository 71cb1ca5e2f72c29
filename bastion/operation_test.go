package bastion_test

import (
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// A text that is read again before it is sent, for others may have changed the target
// meanwhile, must say nothing that was not decided: no other object, no column that
// flows in or is written, no harder question about a hidden one.
func TestMeansWhatWasDecided(t *testing.T) {
	output := mask.Column{Name: "name", Sources: []string{"public.t.name", "public.t.nick"}, Proven: true}
	decided := func() bastion.Intent {
		return bastion.Intent{Verb: "select", Actions: []bastion.Action{{Verb: "select", Resource: "public.v"}}, Settings: "search_path=public",
			Outputs: []mask.Column{output, {Name: "n", Opaque: []string{"public.f(integer)"}, Derived: true}},
			Probes:  []bastion.Probe{{Column: "public.t.email", Equality: true}, {Column: "public.t.name"}}, Writes: []string{"public.t.city"}}
	}
	op := bastion.Plan(bastion.Target{Name: "db"}, "select name, n from v", decided())
	for _, c := range []struct {
		name   string
		change func(*bastion.Intent)
		means  bool
	}{
		{"the same", func(*bastion.Intent) {}, true},
		{"less flows in", func(i *bastion.Intent) { i.Outputs[0].Sources = i.Outputs[0].Sources[:1] }, true},
		{"and can be looked into", func(i *bastion.Intent) { i.Outputs[1].Opaque, i.Outputs[1].Proven = nil, true }, true},
		{"fewer probes and writes", func(i *bastion.Intent) { i.Probes, i.Writes = i.Probes[:1], nil }, true},
		{"an easier question", func(i *bastion.Intent) { i.Probes[1].Equality = true }, true},
		{"another source", func(i *bastion.Intent) { i.Outputs[0].Sources = []string{"public.t.email"} }, false},
		{"a source more", func(i *bastion.Intent) {
			i.Outputs[0].Sources = append([]string{"public.t.email"}, i.Outputs[0].Sources...)
		}, false},
		{"sources that nobody knows", func(i *bastion.Intent) { i.Outputs[0].Proven = false }, false},
		{"computed from them", func(i *bastion.Intent) { i.Outputs[0].Derived = true }, false},
		{"mixed", func(i *bastion.Intent) { i.Outputs[0].Mixed = true }, false},
		{"another function", func(i *bastion.Intent) { i.Outputs[1].Opaque = []string{"public.g(integer)"} }, false},
		{"a column more", func(i *bastion.Intent) { i.Outputs = append(i.Outputs, output) }, false},
		{"a column less", func(i *bastion.Intent) { i.Outputs = i.Outputs[:1] }, false},
		{"in another order", func(i *bastion.Intent) { i.Outputs[0], i.Outputs[1] = i.Outputs[1], i.Outputs[0] }, false},
		{"another object", func(i *bastion.Intent) { i.Actions = []bastion.Action{{Verb: "select", Resource: "public.w"}} }, false},
		{"an object more", func(i *bastion.Intent) {
			i.Actions = append(i.Actions, bastion.Action{Verb: "select", Resource: "public.w"})
		}, false},
		{"settings", func(i *bastion.Intent) { i.Settings = "search_path=evil" }, false},
		{"a harder question", func(i *bastion.Intent) { i.Probes[0].Equality = false }, false},
		{"another write", func(i *bastion.Intent) { i.Writes = []string{"public.t.email"} }, false},
	} {
		now := decided()
		c.change(&now)
		if got := op.Means(now); got != c.means {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
