package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sallyport/sallyport/bastion"
)

// Causes for which the console cancels what runs.
var (
	errCancelled   = errors.New("cancelled")
	errLeft        = errors.New("the rest was cancelled on the server")
	errStopWaiting = errors.New("you stopped waiting")
	errNoReason    = errors.New("no reason was given, so nothing was asked and nothing ran")
)

// run is one text on its way through the session: statements in order until one
// fails, or the opening of the target. It lives in one command; a feed carries
// what it tells to the screen.
type run struct {
	texts  []string // empty for opening the target
	shown  string   // what the person typed, if it is not what runs, such as \dt
	feed   *feed
	cancel context.CancelCauseFunc

	// What follows is the screen's.
	done    int             // texts that ran
	block   *block          // of the statement that runs now
	request bastion.Request // what it waits for; zero if it does not
	stopped error           // the cause of our cancelling; nil if we did not
	parked  bool            // the answer waits to be read on
	count   int             // how often it parked, so that a timer knows its own
	since   time.Time       // when the statement began, or was approved
	keeps   bool            // its answer is read to the end rather than cancelled
	catalog bool            // it changed what the target has
}

// What a run tells, in order. Rows come in batches.
type (
	// began: a statement starts.
	began struct {
		text  string
		keeps bool // it must not be cancelled half way for want of a reader
	}
	// cameColumns: an answer with these columns begins.
	cameColumns struct{ columns []bastion.Column }
	cameRows    struct{ rows [][][]byte }
	// passed: rows came and were only counted.
	passed struct{ n int64 }
	// parkedNow: there are more rows, for whoever asks.
	parkedNow struct{}
	cameTag   struct {
		text string
		rows int64
	}
	cameNotice struct{ text string }
	// asks: policy wants approval, and approvers want a reason. A reason goes into
	// reply; closing it means that there is none.
	asks struct {
		decision bastion.Decision
		preview  bastion.Preview
		summary  string
		reply    chan string
	}
	waits struct{ request bastion.Request }
	// ended: the statement is over.
	ended struct {
		err  error
		took time.Duration
		// refused tells that this one of several was refused before any ran.
		refused bool
	}
)

// feed carries what a run tells from its goroutine to the screen. It holds the
// run back: no more rows come than the screen gave leave for.
type feed struct {
	mu      sync.Mutex
	news    []any
	rows    int  // rows that may still come
	bytes   int  // bytes of them
	single  bool // rows beyond are counted and let go
	parked  bool // told that there are more
	notices int
	over    bool

	ready chan struct{} // has a token when there is news, or when the run is over
	leave chan struct{} // has a token when there is new leave
}

func newFeed() *feed {
	return &feed{rows: pageRows, bytes: pageBytes, ready: make(chan struct{}, 1), leave: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tell adds news.
func (f *feed) tell(n any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w, ok := n.(waits); ok && len(f.news) > 0 {
		if _, ok := f.news[len(f.news)-1].(waits); ok {
			f.news[len(f.news)-1] = w
			return
		}
	}
	f.news = append(f.news, n)
	signal(f.ready)
}

// fresh gives leave for the first rows of the next answer.
func (f *feed) fresh(rows, bytes int, single bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows, f.bytes, f.single, f.parked, f.notices = rows, bytes, single, false, 0
}

// more gives leave for another page.
func (f *feed) more() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows, f.bytes, f.parked = pageRows, pageBytes, false
	signal(f.leave)
}

// drain lets all further rows go by.
func (f *feed) drain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.single = true
	signal(f.leave)
}

// row passes a row on, and waits for leave to do so.
func (f *feed) row(ctx context.Context, row [][]byte) error {
	for i, v := range row {
		if len(v) > cellBytes {
			row[i] = slices.Clone(v[:cellBytes]) // let go of the rest
		}
	}
	size := rowBytes(row)
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if f.rows > 0 && f.bytes > 0 {
			break
		}
		if f.single {
			if p, ok := f.last().(passed); ok {
				f.news[len(f.news)-1] = passed{p.n + 1}
			} else {
				f.news = append(f.news, passed{1})
				signal(f.ready)
			}
			return nil
		}
		if !f.parked {
			f.parked = true
			f.news = append(f.news, parkedNow{})
			signal(f.ready)
		}
		f.mu.Unlock()
		select {
		case <-f.leave:
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
	f.rows--
	f.bytes -= size
	if r, ok := f.last().(*cameRows); ok {
		r.rows = append(r.rows, row)
	} else {
		f.news = append(f.news, &cameRows{[][][]byte{row}})
		signal(f.ready)
	}
	return nil
}

func (f *feed) last() any {
	if len(f.news) == 0 {
		return nil
	}
	return f.news[len(f.news)-1]
}

// mostNotices is how many notices of one statement are passed on.
const mostNotices = 50

func (f *feed) show(ctx context.Context, fr bastion.Frame) error {
	switch fr.Kind() {
	case bastion.ColumnsFrame:
		f.tell(cameColumns{fr.Columns()})
	case bastion.RowFrame:
		return f.row(ctx, fr.Row())
	case bastion.TagFrame:
		f.tell(cameTag{fr.Text(), fr.Affected()})
	case bastion.NoticeFrame:
		f.mu.Lock()
		f.notices++
		n := f.notices
		f.mu.Unlock()
		switch {
		case n < mostNotices:
			f.tell(cameNotice{string(head([]byte(fr.Text()), 4096))})
		case n == mostNotices:
			f.tell(cameNotice{"the target sent more notices, which are not shown"})
		}
	}
	return nil
}

// end says that nothing more will come.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	signal(f.ready)
}

// take waits for news and takes them.
func (f *feed) take() (news []any, over bool) {
	<-f.ready
	f.mu.Lock()
	defer f.mu.Unlock()
	news, f.news = f.news, nil
	return news, f.over
}

// told is the message that brings news to the screen.
type told struct {
	run  *run
	news []any
	over bool
}

// listen waits for the run's next news.
func (r *run) listen() tea.Cmd {
	return func() tea.Msg {
		news, over := r.feed.take()
		return told{r, news, over}
	}
}

// start makes a run and the commands that carry it.
func (c *console) start(r *run) tea.Cmd {
	ctx, cancel := context.WithCancelCause(c.ctx)
	r.feed, r.cancel = newFeed(), cancel
	r.done, r.parked, r.stopped, r.request, r.block = 0, false, nil, bastion.Request{}, nil
	s, target := c.s, c.target
	return tea.Batch(r.listen(), func() tea.Msg {
		defer cancel(nil)
		defer r.feed.end()
		w := worker{ctx: ctx, s: s, target: target, feed: r.feed}
		if len(r.texts) == 0 {
			w.open()
		} else {
			w.all(r.texts)
		}
		return nil
	}, c.pulse())
}

// worker is what a run's goroutine has: nothing of the screen.
type worker struct {
	ctx    context.Context
	s      consoleSession
	target string
	feed   *feed
}

// open connects to the target.
func (w worker) open() {
	w.feed.tell(began{})
	since := w.s.Now()
	err := w.s.Open(w.ctx, w.target, w.job("connect to "+w.target, &since))
	w.feed.tell(ended{err: err, took: w.s.Now().Sub(since)})
}

// all runs statements in order until one fails. Of several, each is read and
// decided before the first one runs: one that is refused refuses all.
func (w worker) all(texts []string) {
	// This does nothing unless the connection was lost since.
	since := w.s.Now()
	if err := w.s.Open(w.ctx, w.target, w.job("connect to "+w.target, &since)); err != nil {
		w.feed.tell(began{text: texts[0]})
		w.feed.tell(ended{err: err})
		return
	}
	if len(texts) > 1 {
		for i, text := range texts {
			op, err := w.s.Parse(w.ctx, w.target, text)
			if err == nil {
				var d bastion.Decision
				d, err = w.s.Decide(w.ctx, op)
				if err == nil && d.Effect != bastion.Allow && d.Effect != bastion.Ask {
					// Run refuses it, and records that it did.
					err = w.s.Run(w.ctx, op, bastion.Job{Show: func(bastion.Frame) error { return nil }})
				}
			}
			if err != nil {
				w.feed.tell(began{text: texts[i]})
				w.feed.tell(ended{err: err, refused: true})
				return
			}
		}
	}
	for i, text := range texts {
		if !w.one(text, i == len(texts)-1) {
			return
		}
	}
}

func (w worker) one(text string, last bool) bool {
	since := w.s.Now()
	op, err := w.s.Parse(w.ctx, w.target, text)
	if err != nil {
		w.feed.tell(began{text: text})
		w.feed.tell(ended{err: err})
		return false
	}
	// An answer that is not read holds its statement. That may be for what only
	// reads; a change that returns rows must not hang on somebody's page keys.
	// Nor may a statement, while others wait for their turn.
	keeps := !reads(op.Intent().Verb)
	switch {
	case keeps:
		w.feed.fresh(sheetRows, sheetBytes, true)
	default:
		w.feed.fresh(pageRows, pageBytes, !last)
	}
	w.feed.tell(began{text: text, keeps: keeps})
	err = w.s.Run(w.ctx, op, w.job(op.Intent().Summary, &since))
	if err != nil && w.ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(w.ctx), err)
	}
	w.feed.tell(ended{err: err, took: w.s.Now().Sub(since)})
	return err == nil
}

// reads reports whether the verb is one of those that only read, so that they
// can be cancelled half way. What is not known is not cancelled.
func reads(v bastion.Verb) bool { return v == "select" || v == "catalog" || v == "explain" }

func (w worker) job(summary string, since *time.Time) bastion.Job {
	return bastion.Job{
		Show: func(f bastion.Frame) error { return w.feed.show(w.ctx, f) },
		Reason: func(ctx context.Context, d bastion.Decision, p bastion.Preview) (string, error) {
			reply := make(chan string, 1)
			w.feed.tell(asks{decision: d, preview: p, summary: summary, reply: reply})
			select {
			case reason, ok := <-reply:
				if !ok {
					return "", errNoReason
				}
				return reason, nil
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		},
		Waiting: func(q bastion.Request) {
			*since = w.s.Now() // people's time is not the statement's
			w.feed.tell(waits{q})
		},
	}
}

// hear takes a run's news to the screen.
func (c *console) hear(m told) tea.Cmd {
	r := m.run
	mine := r == c.front || slices.Contains(c.back, r)
	var cmds []tea.Cmd
	for _, n := range m.news {
		if mine {
			cmds = append(cmds, c.news(r, n))
		}
	}
	switch {
	case !m.over:
		cmds = append(cmds, r.listen())
	case mine:
		cmds = append(cmds, c.over(r))
	}
	return tea.Batch(cmds...)
}

func (c *console) news(r *run, n any) tea.Cmd {
	switch n := n.(type) {
	case began:
		r.keeps, r.parked, r.request, r.since = n.keeps, false, bastion.Request{}, c.s.Now()
		text := n.text
		if r.shown != "" {
			text = r.shown
		}
		r.block = &block{text: clip(text), state: blockRuns}
		if len(r.texts) > 0 {
			c.put(r.block)
		}
	case cameColumns:
		r.block.sheet = newSheet(c.theme, n.columns)
		r.block.tag = ""
		c.settle()
	case *cameRows:
		if r.block.sheet == nil {
			break
		}
		for _, row := range n.rows {
			r.block.sheet.add(row)
		}
	case passed:
		if r.block.sheet != nil {
			r.block.sheet.after += n.n
		}
	case parkedNow:
		r.parked = true
		r.block.reach = reachMore
		r.count++
		return c.idle(r)
	case cameTag:
		r.block.tag = n.text
		r.catalog = r.catalog || defines(n.text)
		c.tx = c.tx.after(n.text, r.current())
	case cameNotice:
		r.block.say(Info, "notice: "+n.text)
	case asks:
		f := &form{run: r, asks: n, armed: !c.typed}
		c.forms = append(c.forms, f)
		if len(c.forms) == 1 {
			return f.arm(c.ctx)
		}
	case waits:
		return c.waits(r, n.request)
	case ended:
		return c.ended(r, n)
	}
	return nil
}

// current is the text that the run is at.
func (r *run) current() string {
	if r.done < len(r.texts) {
		return r.texts[r.done]
	}
	return ""
}

// defines reports whether a tag tells of a change in what the target has.
func defines(tag string) bool {
	word, _, _ := strings.Cut(tag, " ")
	return word == "CREATE" || word == "ALTER" || word == "DROP" || tag == "IMPORT FOREIGN SCHEMA"
}

func (c *console) waits(r *run, q bastion.Request) tea.Cmd {
	was := r.request
	r.request = q
	r.block.request = q
	switch {
	case q.State == bastion.Approved:
		r.block.state, r.since = blockRuns, c.s.Now()
		if c.panel == r {
			c.panel = nil
		}
		// It wants the connection at once. An answer that waits for its reader gives way.
		if f := c.front; f != nil && f != r && f.parked {
			c.stop(f, fmt.Errorf("%w, because request %d was approved and runs", errLeft, q.ID))
		}
		if r != c.front && was.State != bastion.Approved {
			c.toEnd(r.block)
			return notify(Good, fmt.Sprintf("request %d was approved%s; it runs now", q.ID, approvers(q)))
		}
	case q.State.Open():
		r.block.state = blockWaits
		// Whoever is typing already goes on with that: the panel would take the keys.
		if was.ID == 0 && r == c.front && (!c.typed || c.phase != ready || !c.putBack()) {
			c.panel = r
		}
		return c.pulse()
	}
	return nil
}

// follows implements [follower]: what is in the scrollback tells its own end.
func (c *console) follows(request uint64) bool {
	its := func(b *block) bool { return b != nil && b.request.ID == request }
	return its(c.open) || c.front != nil && its(c.front.block) || slices.ContainsFunc(c.blocks, its)
}

// approvers says who approved.
func approvers(q bastion.Request) string { return voters(q, bastion.VoteApprove) }

// voters says whose vote it was.
func voters(q bastion.Request, verdict bastion.Verdict) string {
	var out []string
	for _, v := range q.Votes {
		if v.Verdict == verdict {
			out = append(out, clean(v.Who.Name))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " by " + strings.Join(out, " and ")
}

// ended closes a statement's block.
func (c *console) ended(r *run, n ended) tea.Cmd {
	b := r.block
	text := r.current()
	q := r.request
	r.parked, r.request = false, bastion.Request{}
	if c.panel == r {
		c.panel = nil
	}
	c.drop(r)
	b.took, b.state = n.took, blockDone
	if r != c.front {
		c.toEnd(b)
	}
	if n.err == nil {
		b.reach = reachAll
		r.done++
		if q.ID != 0 {
			b.say(Good, fmt.Sprintf("request %d was approved%s", q.ID, approvers(q)))
			if r != c.front {
				b.say(Good, "it ran while you worked on")
			}
		}
		return nil
	}
	if b.reach != reachAll {
		b.reach = reachStopped
	}
	if c.tx == txOpen && (isTarget(n.err) || r.stopped != nil && b.request.State != bastion.Pending) {
		c.tx = txFailed
	}
	var stale *bastion.StaleError
	if r.stopped == nil && (errors.Is(n.err, bastion.ErrExpired) || errors.As(n.err, &stale)) {
		again := &run{texts: r.texts[r.done:], shown: r.shown}
		if n.refused {
			again.texts = r.texts
		}
		c.retry = append(c.retry, again)
		b.fail(n.err, text)
		b.say(Info, "It runs as soon as you are signed in.")
		return fail(n.err)
	}
	switch {
	case errors.Is(r.stopped, errLeft):
		b.say(Info, "stopped after "+countRows(b.came())+"; "+r.stopped.Error())
	case errors.Is(r.stopped, errStopWaiting):
		b.say(Warn, fmt.Sprintf("stopped waiting. Request %d stays open %s; run the same text again to use its approval", q.ID, until(q, c.s.Now())))
	case r.stopped != nil:
		b.say(Warn, "cancelled"+onTarget(b)+"; "+howFar(b))
	default:
		b.fail(n.err, text)
		if n.refused {
			b.say(Info, fmt.Sprintf("None of the %d statements ran, because this one was refused.", len(r.texts)))
		} else if rest := len(r.texts) - r.done - 1; rest > 0 {
			b.say(Info, "Stopped here: "+notRun(rest)+".")
		}
	}
	return nil
}

func notRun(n int) string {
	if n == 1 {
		return "1 later statement did not run"
	}
	return itoa(n) + " later statements did not run"
}

func onTarget(b *block) string {
	if b.request.State == bastion.Pending {
		return ""
	}
	return " on the server"
}

func howFar(b *block) string {
	if b.sheet != nil {
		return countRows(b.came()) + " came"
	}
	return "no result"
}

// came is the number of rows that came.
func (b *block) came() int64 {
	if b.sheet == nil {
		return 0
	}
	return b.sheet.total()
}

// until says how long a request stays open.
func until(q bastion.Request, now time.Time) string {
	if q.Expires.IsZero() {
		return "until it is decided"
	}
	return "for " + countdown(q.Expires.Sub(now))
}

func isTarget(err error) bool {
	var te *bastion.TargetError
	return errors.As(err, &te)
}

// over lets go of a run whose goroutine has ended.
func (c *console) over(r *run) tea.Cmd {
	c.drop(r)
	if r == c.front {
		c.front = nil
	}
	c.back = slices.DeleteFunc(c.back, func(b *run) bool { return b == r })
	if c.panel == r {
		c.panel = nil
	}
	if len(r.texts) == 0 {
		return c.opened(r)
	}
	if r.block != nil && r.block.state != blockDone {
		r.block.state = blockDone
		r.block.say(Bad, "stopped: something broke inside of the bastion")
	}
	if r.catalog {
		return c.readNames()
	}
	return nil
}

// stop cancels a run for a reason of ours. What only reads is cancelled on the
// server; the answer of a change, or of a transaction that a cancelled
// statement would break, is read to its end instead.
func (c *console) stop(r *run, cause error) {
	if r == nil || r.stopped != nil {
		return
	}
	if errors.Is(cause, errLeft) && r.parked && (r.keeps || c.tx == txOpen) {
		r.parked = false
		if r.block != nil {
			r.block.reach = reachRunning
		}
		r.feed.drain()
		return
	}
	r.stopped = cause
	r.parked = false
	if r.block != nil && r.block.reach == reachMore {
		r.block.reach = reachStopped
	}
	r.cancel(cause)
}

// toEnd moves a block to the end of the scrollback, where what is new is looked for.
func (c *console) toEnd(b *block) {
	i := slices.Index(c.blocks, b)
	if i < 0 || i == len(c.blocks)-1 || errors.Is(c.causeOf(b), errLeft) {
		return
	}
	c.blocks = slices.Delete(c.blocks, i, i+1)
	c.put(b)
}

// causeOf is why we cancelled the run of a block, if we did.
func (c *console) causeOf(b *block) error {
	for _, r := range c.back {
		if r.block == b {
			return r.stopped
		}
	}
	return nil
}

// drop forgets the forms of a run.
func (c *console) drop(r *run) {
	c.forms = slices.DeleteFunc(c.forms, func(f *form) bool { return f.run == r })
}

// idleAfter is how long an answer may wait for its reader before the rest of it
// is cancelled, so that a forgotten screen does not hold a snapshot open.
const idleAfter = 5 * time.Minute

// idled tells that an answer waited for its reader for long.
type idled struct {
	run   *run
	count int
}

func (c *console) idle(r *run) tea.Cmd {
	count := r.count
	return ask(c.ctx, &c.idling, func(ctx context.Context) (idled, error) {
		_, err := sleep(ctx, idleAfter)
		return idled{r, count}, err
	})
}
