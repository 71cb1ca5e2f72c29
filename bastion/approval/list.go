package approval

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/bastion"
)

// Requests lists what the reader may see, newest first. Decide lists what waits
// for the reader's vote: pending, not the reader's own, not voted on yet; the most
// urgent first, which are reviews of emergencies, then what expires soonest, and after
// the first ten of one person those of the others.
func (s *Service) Requests(ctx context.Context, who bastion.Identity, f bastion.RequestFilter) ([]bastion.Request, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	held := s.c.Roles(who)
	bucket := allBucket
	if f.Open || f.Decide {
		bucket = openBucket
	}
	if f.Decide {
		return s.queue(ctx, who, held, f)
	}
	var rs []record
	err := s.read(ctx, func(v *view) error {
		rs = nil
		ids, err := merged(v, bucket, subjects(who, held, f), f.Limit)
		if err != nil {
			return err
		}
		for _, id := range ids[:min(len(ids), f.Limit)] {
			r, err := v.record(id)
			if err != nil {
				return err
			}
			rs = append(rs, r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.shown(rs, who), nil
}

// queue lists what the reader can vote on. It reads no more than what is open.
func (s *Service) queue(ctx context.Context, who bastion.Identity, held []bastion.Role, f bastion.RequestFilter) ([]bastion.Request, error) {
	var rs []record
	err := s.read(ctx, func(v *view) error {
		rs = nil
		ids, err := merged(v, openBucket, subjects(who, held, f), 0)
		if err != nil {
			return err
		}
		for _, id := range ids {
			r, err := v.record(id)
			if err != nil {
				return err
			}
			if !f.Mine || own(r, who) {
				rs = append(rs, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	known := s.crowd(slices.ContainsFunc(rs, func(r record) bool { return r.OtherTeam }), rs...)
	roles := approving(held)
	rs = slices.DeleteFunc(rs, func(r record) bool { return !known.canVote(r, who, roles) })
	byUrgency(rs) // of the newest first
	return s.shown(rs[:min(len(rs), f.Limit)], who), nil
}

// turn is how many of one person's requests stand in the queue before others get theirs.
const turn = 10

// byUrgency orders what waits for a vote: reviews first, then what expires soonest. What
// one person, with the services that they own, asks for beyond the first few stands
// behind what others ask for, so that a hundred requests do not hide one.
func byUrgency(rs []record) {
	reviews := func(r record) int {
		if r.Kind == bastion.KindReview {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(rs, func(a, b record) int {
		return cmp.Or(cmp.Compare(reviews(a), reviews(b)), a.Expires.Compare(b.Expires))
	})
	type asker struct {
		review int
		person string
	}
	asked, turns := map[asker]int{}, map[uint64]int{}
	for _, r := range rs {
		who := asker{reviews(r), r.Who.Person()}
		turns[r.ID] = asked[who] / turn
		asked[who]++
	}
	slices.SortStableFunc(rs, func(a, b record) int {
		return cmp.Or(cmp.Compare(reviews(a), reviews(b)), cmp.Compare(turns[a.ID], turns[b.ID]))
	})
}

// subjects are what the reader's lists are made of.
func subjects(who bastion.Identity, held []bastion.Role, f bastion.RequestFilter) []subject {
	if !f.Mine && !f.Decide && auditor(held) {
		return []subject{everything()}
	}
	var all []subject
	if !f.Decide && who.ID() != "" {
		all = append(all, requester(who.ID()), ownedBy(who.ID()))
	}
	if !f.Mine || f.Decide {
		for _, role := range approving(held) {
			all = append(all, neededRole(role))
		}
	}
	return all
}

// merged lists the numbers under any of the subjects, newest first; the newest
// limit of each at least.
func merged(v *view, bucket string, subjects []subject, limit int) ([]uint64, error) {
	var ids []uint64
	for _, s := range subjects {
		some, err := newest(v.tx, bucket, s, limit)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	slices.Reverse(ids)
	return ids, nil
}

// Request returns one request, or an error that wraps [bastion.ErrNotFound]. The
// first time that somebody who decides it reads it so, that is kept.
func (s *Service) Request(ctx context.Context, who bastion.Identity, id uint64) (bastion.Request, error) {
	r, err := s.one(ctx, id)
	if err != nil {
		return bastion.Request{}, err
	}
	held := s.c.Roles(who)
	if !visible(r, who, held) {
		return bastion.Request{}, notFound(id)
	}
	if r.State.Open() && !slices.Contains(r.SeenBy, who.ID()) && s.crowd(r.OtherTeam, r).mayDecide(r, who, approving(held)) {
		if r, err = s.seen(ctx, who, id); err != nil {
			return bastion.Request{}, err
		}
	}
	return s.shown([]record{r}, who)[0], nil
}

// Trial is what it takes to try what a request asks for: of one for an operation that
// waits for the reader's vote.
func (s *Service) Trial(ctx context.Context, who bastion.Identity, id uint64) (bastion.Trial, error) {
	r, err := s.one(ctx, id)
	if err != nil {
		return bastion.Trial{}, err
	}
	held := s.c.Roles(who)
	switch {
	case !visible(r, who, held):
		return bastion.Trial{}, notFound(id)
	case !r.State.Open():
		return bastion.Trial{}, ended(r)
	case r.Kind != bastion.KindOperation:
		return bastion.Trial{}, fmt.Errorf("request %d is for %s, and only an operation can be tried", id, r.Kind)
	case !s.crowd(r.OtherTeam, r).canVote(r, who, approving(held)):
		return bastion.Trial{}, fmt.Errorf("request %d does not wait for your vote, and only those who still decide about it can have it tried", id)
	}
	asker, ok := s.c.Known(r.Who.ID())
	if !ok {
		return bastion.Trial{}, fmt.Errorf("%s, who asked for it, may not come in any more, so request %d is not tried", bastion.VisibleLine(r.Who.Name), id)
	}
	if asker.Grants, err = s.Grants(ctx, asker); err != nil {
		return bastion.Trial{}, err
	}
	return bastion.Trial{Request: r.Request, Asker: asker, Params: bastion.Params{Bytes: slices.Clone(r.Bound), Shown: slices.Clone(r.Params)}, Recorded: r.recorded()}, nil
}

// seen notes that somebody who decides a request has read it.
func (s *Service) seen(ctx context.Context, who bastion.Identity, id uint64) (r record, err error) {
	err = s.change(ctx, func(w *work) error {
		var err error
		if r, err = w.record(id); err != nil {
			return err
		}
		after, err := next(r, action{act: see, vote: bastion.Vote{Who: who}}, facts{now: w.now, may: true, apart: true, outside: true})
		if err != nil {
			return nil // it ended meanwhile, or was read by the same person twice at once
		}
		r = after
		w.changed = append(w.changed, r)
		return save(w.tx, r)
	})
	return r, err
}

func (s *Service) one(ctx context.Context, id uint64) (r record, err error) {
	err = s.read(ctx, func(v *view) (err error) { r, err = v.record(id); return err })
	return r, err
}

// canVote reports whether the request waits for a vote of this identity.
func (c *crowd) canVote(r record, who bastion.Identity, roles []string) bool {
	return r.State == bastion.Pending && c.mayDecide(r, who, roles) && !c.voted(r, who)
}

// shown makes of records what the reader sees: who can still approve, whether
// the reader can, and a text without secrets unless it is the reader's own or
// to be decided by them.
func (s *Service) shown(rs []record, who bastion.Identity) []bastion.Request {
	known := s.crowd(slices.ContainsFunc(rs, func(r record) bool { return r.OtherTeam }), rs...)
	roles := approving(s.c.Roles(who))
	var people []member
	if slices.ContainsFunc(rs, func(r record) bool { return r.State == bastion.Pending }) {
		for _, p := range s.c.People() {
			people = append(people, member{p, true, approving(s.c.Roles(p))})
		}
	}
	var all []bastion.Request
	for _, r := range rs {
		if !own(r, who) && !mayDecide(r, roles) {
			r.Text = r.recorded()
		}
		r.Yours = known.canVote(r, who, roles)
		for _, p := range people {
			if known.canVote(r, p.who, p.roles) {
				r.Approvers = append(r.Approvers, p.who.Name)
			}
		}
		slices.Sort(r.Approvers)
		r.Approvers = slices.Compact(r.Approvers)
		all = append(all, r.Request)
	}
	return all
}
