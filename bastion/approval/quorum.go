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

// crowd is what is known of the people around a request.
type crowd struct {
	// members are by identity ID. Who is not among them is not known, so their votes
	// do not count.
	members map[string]member
	// teams are an identity's teams; nil if nobody is in any.
	teams func(bastion.Identity) []string
	// linked are the teams of all accounts with an e-mail address in lower case,
	// where somebody has to be of another team.
	linked map[string][]string
}

// emails lists the addresses, in lower case, that tell the person behind an
// identity: the identity's own, as it was then, and the person's, as it is now.
func (c *crowd) emails(i bastion.Identity) []string {
	var all []string
	for _, e := range []string{i.Email, c.members[i.Person()].who.Email} {
		if e != "" {
			all = append(all, strings.ToLower(e))
		}
	}
	return all
}

// same reports whether the same human being is behind both identities: the same
// account, a service and its owner, or accounts of several providers with one
// e-mail address.
func (c *crowd) same(a, b bastion.Identity) bool {
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
func (c *crowd) apart(requester, voter bastion.Identity) error {
	if c.same(requester, voter) {
		return errOwn
	}
	owner := requester.Person()
	if owner != requester.ID() && !c.members[owner].known && !strings.HasPrefix(owner, voter.Issuer+"#") {
		return errOwner // an account of the owner at another provider, for all we know
	}
	return nil
}

// link remembers the teams of people by their e-mail addresses.
func (c *crowd) link(people []bastion.Identity) {
	if c.teams == nil {
		return
	}
	c.linked = map[string][]string{}
	for _, p := range people {
		if p.Email != "" {
			mail := strings.ToLower(p.Email)
			c.linked[mail] = append(c.linked[mail], c.teams(p)...)
		}
	}
}

// apartFrom is apart from all those who have to do with the request.
func (c *crowd) apartFrom(r record, voter bastion.Identity) error {
	for _, who := range r.requesters() {
		if err := c.apart(who, voter); err != nil {
			return err
		}
	}
	return nil
}

// teamsOf are the teams of the person behind identities: as they say, as they are
// known now, and those of the person's other accounts.
func (c *crowd) teamsOf(person ...bastion.Identity) []string {
	if c.teams == nil {
		return nil
	}
	var all []string
	for _, i := range person {
		all = append(all, c.teams(i)...)
		for _, id := range []string{i.ID(), i.Person()} {
			if m := c.members[id]; m.known {
				all = append(all, c.teams(m.who)...)
			}
		}
		for _, e := range c.emails(i) {
			all = append(all, c.linked[e]...)
		}
	}
	return all
}

// otherTeam reports whether two people are of different teams: each is in one, or was
// when they asked or voted, and neither now nor then both are in the same. Of who is
// in none nobody knows where they belong. requester may be several identities: who
// asked, and who uses what was approved.
func (c *crowd) otherTeam(voter bastion.Identity, requester ...bastion.Identity) bool {
	as, bs := c.teamsOf(requester...), c.teamsOf(voter)
	return len(as) > 0 && len(bs) > 0 && !slices.ContainsFunc(as, func(t string) bool { return slices.Contains(bs, t) })
}

// mayDecide reports whether the identity, with the roles that it holds, is one of
// those who decide the request, whether or not it waits for them.
func (c *crowd) mayDecide(r record, who bastion.Identity, roles []string) bool {
	return who.Kind == bastion.Person && mayDecide(r, roles) && c.apartFrom(r, who) == nil &&
		(!r.OtherTeam || c.otherTeam(who, r.Who))
}

// voted reports whether the person voted before, with whatever account.
func (c *crowd) voted(r record, who bastion.Identity) bool {
	return slices.ContainsFunc(r.Votes, func(v bastion.Vote) bool {
		return v.Verdict != bastion.VoteComment && c.same(v.Who, who)
	})
}

// accounts are those of the identities that the same person is behind.
func (c *crowd) accounts(who bastion.Identity, all []bastion.Identity) []bastion.Identity {
	return slices.DeleteFunc(slices.Clone(all), func(o bastion.Identity) bool { return !c.same(o, who) })
}

// counts returns the roles in which an approval counts at this moment, or why
// it does not. A vote counts in the roles that the voter held then and holds now.
func (c *crowd) counts(requesters []bastion.Identity, otherTeam bool, v bastion.Vote) (roles []string, why string) {
	name := bastion.VisibleLine(v.Who.Name)
	m := c.members[v.Who.ID()]
	if !m.known || m.who.Kind != bastion.Person {
		return nil, name + " is no longer known here"
	}
	for _, r := range requesters {
		if c.apart(r, v.Who) != nil {
			return nil, name + " may be the same person as the one who asked"
		}
		if otherTeam && !c.otherTeam(v.Who, c.accounts(r, requesters)...) {
			return nil, name + " is not of another team than the one who asked"
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
// same person are one. If otherTeam is set, who is not of another team than the
// requesters does not count.
func (c *crowd) count(requesters []bastion.Identity, otherTeam bool, votes []bastion.Vote) tally {
	var t tally
	var who [][]bastion.Identity // the accounts of each of people
	for _, v := range votes {
		if v.Verdict != bastion.VoteApprove {
			continue
		}
		roles, why := c.counts(requesters, otherTeam, v)
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
// graph, found by augmenting paths (Kuhn, "The Hungarian method for the assignment
// problem", 1955), and so exact. Needs that ask nothing are never covered.
func covers(needs bastion.Needs, people [][]string) bool {
	var seats []bastion.Need
	for _, n := range needs {
		if n.Count <= 0 || n.Role == "" || n.Count > len(people)-len(seats) {
			return false
		}
		seats = append(seats, slices.Repeat([]bastion.Need{n}, n.Count)...)
	}
	taken := make([]int, len(people)) // the seat of each person, from 1
	var sit func(seat int, tried []bool) bool
	sit = func(seat int, tried []bool) bool {
		for p, roles := range people {
			if tried[p] || !slices.ContainsFunc(roles, seats[seat].Takes) {
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
