package tui

import "github.com/sallyport/sallyport/bastion"

// newSessionRoot wires the screens of one session.
func newSessionRoot(s *bastion.Session, th Theme, o Options) *Root {
	ctx := s.Context()
	console := func(target string) Screen { return newConsole(s, th, target) }
	p := places{
		console: console,
		request: func(id uint64) Screen { return newDetail(ctx, s, th, id, console) },
		recordings: func() Screen {
			return newRecordings(ctx, s, th, func(r bastion.Recording, only bool) Screen { return newPlayer(ctx, s, th, r, only) })
		},
	}
	r := newRoot(ctx, s, th, s.Terminal().Window(), newHome(ctx, s, th, p, o.Target))
	r.newQueue = func() Screen { return newApprovals(ctx, s, th, p.request) }
	r.notice = Notice{Text: o.Notice}
	return r
}
