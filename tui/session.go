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
	if o.Tasks != nil {
		plan := planning{s, o.Tasks}
		replay := func(session string) Screen { return newPlayer(ctx, s, th, bastion.Recording{ID: session}, false) }
		open := func(id uint64) Screen { return newTaskPage(ctx, plan, th, id, p.request, replay) }
		p.tasks = func() Screen { return newTasks(ctx, plan, th, open) }
	}
	r := newRoot(ctx, s, th, s.Terminal().Window(), newHome(ctx, s, th, p, o.Target))
	r.newQueue = func() Screen { return newApprovals(ctx, s, th, p.request) }
	r.notice = Notice{Text: o.Notice}
	return r
}
