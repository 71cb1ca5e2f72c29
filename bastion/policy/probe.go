package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// use is what a view says of one way to use a column other than by showing it.
type use struct {
	effect bastion.Effect
	needs  bastion.Needs // if asked
}

// uses are both ways, and what to tell where one of them is refused.
type uses struct {
	equal        use // by = and a constant, or another column that is hidden
	other        use
	reason, next string
}

type useKey struct {
	view   *view
	column string
}

// probe adds to a decision what the labels say of the columns that the operation
// uses other than by showing them.
func (p *Policy) probe(v *view, d bastion.Decision, probes []bastion.Probe) bastion.Decision {
	if v.mask.HidesNothing() {
		return d
	}
	var asks *uses
	var needs bastion.Needs
	for i := range probes {
		if by := probes[i].By; by != "" && v.mask.Trusts(by) {
			continue
		}
		u := p.using(v, probes[i].Column)
		how := &u.other
		switch {
		case probes[i].Paired(v.mask):
			continue // nothing shows but which of the two's values are equal
		case probes[i].Equality && !probes[i].Tells(v.mask):
			how = &u.equal
		}
		switch how.effect {
		case bastion.Allow:
		case bastion.Ask:
			if asks == nil {
				asks = u
			}
			needs = union(needs, how.needs)
		default:
			d := bastion.Decision{Rule: MaskedColumn, Reason: u.reason, Next: u.next, Mask: v.mask}
			if why := probes[i].Why; why != "" {
				d.Reason, d.Next = why+", and what is not known could hold masked values", "check the name"
			}
			if v.mask.Source(probes[i].Column) != mask.Clear && probes[i].Tells(v.mask) {
				d.Reason = fmt.Sprintf("column %s is masked for you, and rows that are joined by it may come in its order, which would tell its values", quote(probes[i].Column))
				d.Next = "order them by a key of a joined table and leave out LIMIT, window functions and lists, or count them"
			}
			return d
		}
	}
	if asks == nil || d.Effect == bastion.Deny {
		return d
	}
	if d.Effect == bastion.Allow {
		d.Effect, d.Rule, d.Reason, d.Next, d.Within = bastion.Ask, MaskedColumn, "", "", DefaultWithin
	}
	d.Reason = joined(d.Reason, asks.reason)
	// A label knows nothing of trying, and the number of rows would tell what it hides.
	d.Needs, d.Within, d.Holds, d.Try = union(d.Needs, needs), min(d.Within, DefaultWithin), 0, false
	return d
}

// using is what the view says of a column.
func (p *Policy) using(v *view, column string) *uses {
	if u, ok := p.uses.get(useKey{v, column}); ok {
		return u
	}
	u := p.weighUses(v, column)
	if len(column) <= maxName {
		p.uses.put(useKey{v, strings.Clone(column)}, u, maxRemembered)
	}
	return u
}

// weighUses lets the strictest of the labels decide that hide the column.
func (p *Policy) weighUses(v *view, column string) *uses {
	if v.mask.Source(column) == mask.Clear {
		return &uses{equal: use{effect: bastion.Allow}, other: use{effect: bastion.Allow}}
	}
	var hide []*label
	for _, l := range v.labels {
		if l.rules.Source(column) != mask.Clear { // of a name that cannot be read, every label
			hide = append(hide, l)
		}
	}
	u := &uses{equal: strictest(hide, true), other: strictest(hide, false),
		reason: fmt.Sprintf("column %s is masked for you, and filtering, joining, grouping or ordering by it, computing with it, copying or renaming it would tell its values", quote(column)),
		next:   "leave it out of everything but the list of shown columns"}
	if strings.Count(column, ".") < 2 { // it has no name, as in the answer of a function
		u.reason = "the operation uses something that cannot be looked into, such as the answer of a function or a system catalog, in more than the list of shown columns, and masked values could be in it"
		u.next = "show it as it is, or leave it out"
	} else if u.equal.effect == bastion.Allow {
		u.next = "compare it with = and a constant: that is allowed for this column"
	} else if roles := p.clearedFor(v.class, hide); len(roles) > 0 {
		u.next += ", or have it run by somebody with " + roleList(roles) + ", who may see it"
	}
	return u
}

// strictest is what labels that hide one column say of a use of it, all together.
// No label at all says no.
func strictest(hide []*label, equality bool) use {
	if len(hide) == 0 {
		return use{}
	}
	u := use{effect: bastion.Allow}
	for _, l := range hide {
		switch {
		case equality && l.lookup, l.probe == bastion.Allow:
		case l.probe == bastion.Ask:
			u.effect, u.needs = min(u.effect, bastion.Ask), union(u.needs, l.needs)
		default:
			return use{}
		}
	}
	return u
}

// clearedFor lists the roles to which bundles show everything that labels hide.
func (p *Policy) clearedFor(c *class, hide []*label) []string {
	var names []string
	for i, r := range p.roles {
		held := newBits(len(p.roles))
		held.set(i)
		shown := p.cleared(c, held, nil)
		if len(hide) > 0 && !slices.ContainsFunc(hide, func(l *label) bool { return !slices.Contains(shown, l.name) }) {
			names = append(names, r.Name)
		}
	}
	return names
}
