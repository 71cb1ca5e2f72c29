package policy

import (
	"slices"
)

// Floor says where a file would let the policy be changed without the approval of
// somebody else each time. No rule may allow it, and an approval of it is used once. A
// file in which no rule asks for it gets a warning, because nobody could change that
// policy again.
func Floor(f File) Problems {
	const verb = policyChange
	var ps Problems
	asked := false
	for _, b := range f.Bundles {
		for _, r := range b.Rules {
			i := slices.IndexFunc(r.Verbs, func(w Word) bool { return w.Text == string(verb) || w.Text == string(star) })
			switch {
			case i < 0 || r.Effect.Text == "deny":
			case r.Effect.Text != "ask":
				ps.Add(r.Effect.Pos, "rule %q would let somebody change the policy alone; %s always needs the approval of somebody else: write effect: ask, with approvals", r.Name.Text, verb)
			case len(r.Approvals) == 0:
				ps.Add(r.Effect.Pos, "rule %q asks nobody, and %s always needs the approval of somebody else", r.Name.Text, verb)
			case r.Holds.D != 0:
				ps.Add(r.Holds.Pos, "an approval of %s is used once; leave holds out", verb)
			default:
				asked = true
			}
		}
	}
	if !asked && ps.Err() == nil {
		ps.Warn(f.Pos, "no rule lets anybody propose another policy (%s, with effect: ask), so this one could never be changed", verb)
	}
	return ps
}
