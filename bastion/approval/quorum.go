package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
)

// member is what is known of an identity at this moment.
type member struct {
	who   bastion.Identity
	known bool
	roles []string // those that carry the duty to approve
}

// crowd is what is known, by identity ID, of the people around a request. What
// is not in it is not known, so its votes do not count.
type crowd map[string]member

// emails lists the addresses, in lower case, that tell the person behind an
// identity: the identity's own, as it was then, and the person's, as it is now.
func (c crowd) emails(i bastion.Identity) []string {
	var all []string
	for _, e := range []string{i.Email, c[i.Person()].who.Email} {
		if e != "" {
			all = append(all, strings.ToLower(e))
		}
	}
	return all
}

// same reports whether the same human being is behind both identities: the same
// account, a service and its owner, or accounts of several providers with one
// e-mail address.
func (c crowd) same(a, b bastion.Identity) bool {
	if a.Person() == b.Person() {
		return true
	}
	mails := c.emails(b)
	return slices.ContainsFunc(c.emails(a), func(e string) bool { return slices.Contains(mails, e) })
}

// errOwner is the answer when nobody can tell whether the voter owns the service.
var errOwner = errors.New("the owner of the service that asks has not signed in here yet, so it cannot be told whether that is you; ask the owner to sign in once")

// apart returns nil if the voter is another person than the requester, and in
// doubt an error.
func (c crowd) apart(requester, voter bastion.Identity) error {
	if c.same(requester, voter) {
		return errOwn
	}
	owner := requester.Person()
	if owner != requester.ID() && !c[owner].known && !strings.HasPrefix(owner, voter.Issuer+"#") {
		return errOwner // an account of the owner at another provider, for all we know
	}
	return nil
}

// counts returns the roles in which an approval counts at this moment, or why
// it does not. A vote counts in the roles that the voter held then and holds now.
func (c crowd) counts(requesters []bastion.Identity, v bastion.Vote) (roles []string, why string) {
	name := bastion.VisibleLine(v.Who.Name)
	m := c[v.Who.ID()]
	if !m.known || m.who.Kind != bastion.Person {
		return nil, name + " is no longer known here"
	}
	for _, r := range requesters {
		if c.apart(r, v.Who) != nil {
			return nil, name + " may be the same person as the one who asked"
		}
	}
	for _, role := range v.Roles {
		if slices.Contains(m.roles, role) {
			roles = append(roles, role)
		}
	}
	if roles == nil {
		return nil, name + " may no longer approve it"
	}
	return roles, ""
}

// tally is the outcome of a count.
type tally struct {
	people [][]string // each person's roles
	names  []string   // of those whose approval counts
	why    string     // an approval that does not count any more; may be empty
}

// count finds the people whose approval counts at this moment. Accounts of the
// same person are one.
func (c crowd) count(requesters []bastion.Identity, votes []bastion.Vote) tally {
	var t tally
	var who [][]bastion.Identity // the accounts of each of people
	for _, v := range votes {
		if v.Verdict != bastion.VoteApprove {
			continue
		}
		roles, why := c.counts(requesters, v)
		if why != "" {
			t.why = why
			continue
		}
		t.names = append(t.names, v.Who.Name)
		accounts := []bastion.Identity{v.Who}
		// A vote may join people who seemed to be several.
		for i := len(who) - 1; i >= 0; i-- {
			if slices.ContainsFunc(who[i], func(o bastion.Identity) bool { return c.same(o, v.Who) }) {
				accounts = append(accounts, who[i]...)
				roles = append(roles, t.people[i]...)
				who = slices.Delete(who, i, i+1)
				t.people = slices.Delete(t.people, i, i+1)
			}
		}
		who, t.people = append(who, accounts), append(t.people, roles)
	}
	return t
}

// cover reports whether the people who approved cover the needs, and if not, why.
func (t tally) cover(needs bastion.Needs) (ok bool, why string) {
	switch {
	case covers(needs, t.people):
		return true, ""
	case t.why != "":
		return false, t.why
	}
	return false, fmt.Sprintf("the policy now asks for %s", needs)
}

// covers reports whether different people can be found for all needs: a person
// of several roles stands for one need, once. It is a matching in a bipartite
// graph. Needs that ask nothing are never covered.
func covers(needs bastion.Needs, people [][]string) bool {
	var seats []string
	for _, n := range needs {
		if n.Count <= 0 || n.Role == "" || n.Count > len(people)-len(seats) {
			return false
		}
		seats = append(seats, slices.Repeat([]string{n.Role}, n.Count)...)
	}
	taken := make([]int, len(people)) // the seat of each person, from 1
	var sit func(seat int, tried []bool) bool
	sit = func(seat int, tried []bool) bool {
		for p, roles := range people {
			if tried[p] || !slices.Contains(roles, seats[seat]) {
				continue
			}
			tried[p] = true
			if taken[p] == 0 || sit(taken[p]-1, tried) {
				taken[p] = seat + 1
				return true
			}
		}
		return false
	}
	for seat := range seats {
		if !sit(seat, make([]bool, len(people))) {
			return false
		}
	}
	return len(seats) > 0
}
