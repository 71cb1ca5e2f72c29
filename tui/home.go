package tui

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/sallyport/sallyport/bastion"
)

// chooser is what the list of targets needs of a session.
type chooser interface {
	Targets(context.Context) ([]bastion.TargetView, error)
	Terms(ctx context.Context, target string) ([]bastion.Terms, error)
	RequestAccess(ctx context.Context, target string, asked bastion.AccessAsked, reason string) (bastion.Request, error)
	Requests(context.Context, bastion.RequestFilter) ([]bastion.Request, error)
}

// places are the screens that the home screen leads to.
type places struct {
	console    func(target string) Screen
	request    func(id uint64) Screen
	recordings func() Screen
	tasks      func() Screen // nil if there are none
}

// home is the list of targets.
type home struct {
	ctx     context.Context
	chooser chooser
	theme   Theme
	places  places
	goTo    string // a target to open as soon as the list is there

	targets []bastion.TargetView
	shown   []bastion.TargetView // those that the filter leaves
	cols    []column             // as wide as all targets need
	loaded  bool
	err     error
	waiting int // requests that the person may decide

	filter    input
	filtering bool
	list      list
	h         int

	load   Wait
	access Wait
	look   Wait   // for what access there is
	doing  string // what access waits for, in words
}

func newHome(ctx context.Context, c chooser, th Theme, p places, goTo string) *home {
	return &home{ctx: ctx, chooser: c, theme: th, places: p, goTo: goTo}
}

func (s *home) Title() string { return "targets" }
func (s *home) Typing() bool  { return s.filtering }
func (s *home) Init() tea.Cmd { return s.reload() }

func (s *home) reload() tea.Cmd { return ask(s.ctx, &s.load, s.chooser.Targets) }

func (s *home) ShortHelp() []key.Binding {
	if s.busy() {
		return []key.Binding{bind("esc", "cancel", "esc")}
	}
	some := len(s.shown) > 0
	connect, request := bind("enter", "connect", "enter"), bind("r", "request", "r")
	connect.SetEnabled(some)
	request.SetEnabled(some)
	if s.filtering {
		return []key.Binding{connect, bind("↑/↓", "choose", "up", "down"), bind("esc", "show all", "esc")}
	}
	approvals := keyQueue
	if s.waiting > 0 {
		approvals.SetHelp("a", "approvals ("+itoa(s.waiting)+")")
	}
	filter := bind("/", "filter", "/")
	filter.SetEnabled(len(s.targets) > 0)
	return []key.Binding{connect, request, filter, approvals, s.keyTasks(), bind("l", "recordings", "l"), keyQuit}
}

func (s *home) keyTasks() key.Binding {
	k := bind("t", "tasks", "t")
	k.SetEnabled(s.places.tasks != nil)
	return k
}

func (s *home) FullHelp() [][]key.Binding {
	return [][]key.Binding{
		{bind("enter", "connect to the target", "enter"), bind("r", "request access to the target, where that needs approval", "r"),
			bind("↑/↓ pgup/pgdn", "choose a target"), bind("/", "filter the list; any other letter starts it too"), bind("esc", "show all targets again")},
		{bind("a", "approvals: decide, and follow your own requests"), bind("t", "tasks: planned changes in steps"), bind("l", "recordings: list and replay"), bind("ctrl+r", "read the list again", "ctrl+r"), keyQuit},
	}
}

func (s *home) busy() bool { return s.access.Busy() || s.look.Busy() || s.load.Busy() && !s.loaded }

// refilter finds the targets that the filter leaves.
func (s *home) refilter() {
	s.shown = s.targets
	if words := strings.Fields(strings.ToLower(s.filter.String())); len(words) > 0 {
		s.shown = nil
		for _, t := range s.targets {
			hay := strings.ToLower(strings.Join([]string{t.Name, t.Kind, labels(t.Target), t.Description, may(t.Access)}, "\n"))
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(hay, w) }) {
				s.shown = append(s.shown, t)
			}
		}
	}
	s.list.clamp(len(s.shown), s.page(s.h))
}

func (s *home) selected() (bastion.TargetView, bool) {
	if s.list.at < 0 || s.list.at >= len(s.shown) {
		return bastion.TargetView{}, false
	}
	return s.shown[s.list.at], true
}

func (s *home) Update(msg tea.Msg) (Screen, tea.Cmd) {
	if targets, err, ok := take[[]bastion.TargetView](&s.load, msg); ok {
		return s, s.arrived(targets, err)
	}
	if r, err, ok := take[bastion.Request](&s.access, msg); ok {
		if err != nil {
			return s, fail(err)
		}
		return s, push(s.places.request(r.ID))
	}
	if a, err, ok := take[standing](&s.access, msg); ok {
		if err != nil {
			return s, fail(err)
		}
		return s, s.standing(a)
	}
	if o, err, ok := take[offered](&s.look, msg); ok {
		if err != nil {
			return s, fail(err)
		}
		return s, s.choose(o)
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.h = msg.Height
		s.list.clamp(len(s.shown), s.page(s.h))
	case Queue:
		s.waiting = len(msg.Waiting)
	case SignedIn:
		return s, s.reload()
	case tea.KeyMsg:
		return s, s.key(msg)
	}
	return s, nil
}

func (s *home) arrived(targets []bastion.TargetView, err error) tea.Cmd {
	s.err, s.loaded = err, true
	if err != nil {
		return fail(err)
	}
	s.targets = targets
	s.cols = []column{{head: "NAME", width: 30}, {head: "YOU MAY", width: 24}, {head: "ENV", width: 14}, {head: "KIND", width: 12}, {head: "DESCRIPTION", width: 1}}
	table := make([][]string, len(targets))
	for i, t := range targets { // all, so that the columns stay while the filter changes
		table[i] = cellsOf(t)
	}
	measure(s.cols, table)
	s.refilter()
	if s.goTo == "" {
		return nil
	}
	name := s.goTo
	s.goTo = ""
	for i, t := range targets {
		if t.Name == name {
			s.list.at = i
			s.list.clamp(len(targets), s.page(s.h))
			return s.connect(t)
		}
	}
	return notify(Bad, "there is no target "+name+" that you may see; choose one of these")
}

func (s *home) key(k tea.KeyMsg) tea.Cmd {
	if s.busy() {
		if k.Type == tea.KeyEsc {
			s.access.Cancel()
			s.look.Cancel()
			if s.load.Cancel() {
				s.loaded = true
			}
		}
		return nil
	}
	if s.list.key(k, len(s.shown), s.page(s.h)) {
		return nil
	}
	switch {
	case k.Paste:
		return nil
	case k.Type == tea.KeyEnter:
		if t, ok := s.selected(); ok {
			return s.connect(t)
		}
		return nil
	case k.Type == tea.KeyCtrlR:
		s.loaded = false
		return s.reload()
	case k.Type == tea.KeyEsc:
		s.filter, s.filtering = input{}, false
		s.refilter()
		return nil
	}
	if !s.filtering {
		if rest, ok := strings.CutPrefix(k.String(), "/"); ok && k.Type == tea.KeyRunes {
			s.filtering = len(s.targets) > 0
			if rest == "" {
				return nil
			}
			k.Runes = []rune(rest) // typed so fast that it came in one piece
		}
		switch k.String() {
		case "q":
			return tea.Quit
		case "l":
			return push(s.places.recordings())
		case "t":
			if s.places.tasks != nil {
				return push(s.places.tasks())
			}
		case "r":
			if t, ok := s.selected(); ok {
				return s.request(t)
			}
			return nil
		}
	}
	if len(s.targets) > 0 && (s.filtering || k.Type == tea.KeyRunes) && s.filter.key(k) {
		s.filtering, s.list = true, list{}
		s.refilter()
	}
	return nil
}

// standing is the person's own open request for connecting to a target, if any.
type standing struct {
	target  bastion.TargetView
	request bastion.Request
	found   bool
}

// connect opens the target, or finds out how far the approval for it is.
func (s *home) connect(t bastion.TargetView) tea.Cmd {
	if t.Access.Connect == bastion.Allow {
		return push(s.places.console(t.Name))
	}
	s.doing = "looking for your request"
	return ask(s.ctx, &s.access, func(ctx context.Context) (standing, error) {
		rs, err := s.chooser.Requests(ctx, bastion.RequestFilter{Open: true, Mine: true})
		if err != nil {
			return standing{}, err
		}
		a := standing{target: t}
		for _, r := range rs {
			// An approved one is worth more than one that still waits.
			if r.Target == t.Name && r.Verb == bastion.Connect && (!a.found || r.State == bastion.Approved) {
				a.request, a.found = r, true
			}
		}
		return a, nil
	})
}

func (s *home) standing(a standing) tea.Cmd {
	switch {
	case a.found && a.request.State == bastion.Approved:
		return push(s.places.console(a.target.Name))
	case a.found:
		return push(s.places.request(a.request.ID))
	}
	return s.request(a.target)
}

// offered is the access to a target that can be asked for.
type offered struct {
	target bastion.TargetView
	terms  []bastion.Terms
}

// request finds out what can be asked for.
func (s *home) request(t bastion.TargetView) tea.Cmd {
	if !t.Access.Request {
		return s.requestConnect(t)
	}
	s.doing = "looking for the access that you can ask for"
	return ask(s.ctx, &s.look, func(ctx context.Context) (offered, error) {
		ts, err := s.chooser.Terms(ctx, t.Name)
		return offered{t, ts}, err
	})
}

// choose has the person choose among what is offered, and ask for it.
func (s *home) choose(o offered) tea.Cmd {
	t := o.target
	want := func(x bastion.Terms) tea.Cmd {
		return askAccess(s.theme, t.Name, x, func(asked bastion.AccessAsked, reason string) tea.Cmd {
			s.doing = "asking for access to " + t.Name
			return ask(s.ctx, &s.access, func(ctx context.Context) (bastion.Request, error) {
				return s.chooser.RequestAccess(ctx, t.Name, asked, reason)
			})
		})
	}
	switch len(o.terms) {
	case 0:
		return s.requestConnect(t)
	case 1:
		return want(o.terms[0])
	}
	return push(newTerms(s.theme, t.Name, o.terms, want))
}

// requestConnect asks for the reason, and then to connect.
func (s *home) requestConnect(t bastion.TargetView) tea.Cmd {
	if t.Access.Connect == bastion.Allow {
		return notify(Info, "no request needed: you may connect to "+t.Name+" at once; press enter")
	}
	about := []string{"Connecting to " + clean(t.Name) + " needs approval. Those who can approve will read your reason, and it is recorded."}
	if t.Access.Note != "" {
		about = append(about, clean(t.Access.Note))
	}
	return push(newPrompt(s.theme, "request access to "+t.Name, about, "Why do you need it?", "ask for access", func(reason string) tea.Cmd {
		s.doing = "asking for access to " + t.Name
		return ask(s.ctx, &s.access, func(ctx context.Context) (bastion.Request, error) {
			return s.chooser.RequestAccess(ctx, t.Name, bastion.AccessAsked{}, reason)
		})
	}))
}

// Leave implements [Leaver].
func (s *home) Leave() {
	s.load.Cancel()
	s.access.Cancel()
	s.look.Cancel()
}

// may says in words what the person may do on a target.
func may(a bastion.Access) string {
	switch {
	case a.Connect == bastion.Ask:
		return "needs approval"
	case a.Connect != bastion.Allow && a.Request:
		return "by request"
	case a.Connect != bastion.Allow:
		return "not allowed"
	case len(a.Allow) > 0 && len(a.Ask) > 0:
		if slices.ContainsFunc(a.Allow, changes) {
			return "run, some by approval"
		}
		return "read, change by approval"
	case len(a.Allow) > 0:
		if slices.ContainsFunc(a.Allow, changes) {
			return "run"
		}
		return "read"
	case len(a.Ask) > 0:
		return "run by approval"
	}
	return "connect only"
}

// changes reports whether a verb may change something. What is not known may.
func changes(v bastion.Verb) bool {
	switch v {
	case bastion.Connect, "transaction", "setting", "cursor", "prepare":
		return false
	}
	return !reads(v)
}

func (s *home) mayStyle(a bastion.Access) func(...string) string {
	switch {
	case a.Connect == bastion.Ask || a.Connect == bastion.Allow && len(a.Allow) == 0:
		return s.theme.Warn.Render
	case a.Connect != bastion.Allow:
		return s.theme.Bad.Render
	}
	return s.theme.Good.Render
}

func labels(t bastion.Target) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(t.Labels)) {
		out = append(out, k+"="+t.Labels[k])
	}
	return strings.Join(out, " ")
}

// details is the number of lines that tell more about the selected target.
func details(h int) int {
	if h >= 16 {
		return min(12, h/2)
	}
	return 0
}

// page is the number of targets on a screen of h lines.
func (s *home) page(h int) int { return max(1, h-2-details(h)) }

func (s *home) View(w, h int) string {
	th := s.theme
	head := " " + th.Strong.Render("Targets")
	shown := s.shown
	right := ""
	switch {
	case s.filtering:
		head = " " + th.Accent.Render("/ ") + s.filter.view(th, max(8, w/2), true)
		right = th.Muted.Render(itoa(len(shown))+" of "+count(len(s.targets), "target")) + " "
	case s.access.Busy():
		right = th.Muted.Render("… "+clean(s.doing)+"; esc cancels") + " "
	case s.load.Busy() && !s.loaded:
		right = th.Muted.Render("… reading the list; esc cancels") + " "
	case len(s.targets) > 0:
		right = th.Muted.Render(count(len(s.targets), "target")) + " "
	}
	b := []string{ends(head, right, w)}
	switch {
	case s.err != nil && len(s.targets) == 0:
		b = append(b, "")
		b = append(b, rows(th.Bad, indent(prose("The list cannot be read: "+s.err.Error(), w-4)))...)
		b = append(b, indent(prose("ctrl+r tries again.", w-4))...)
		return strings.Join(b, "\n")
	case s.loaded && len(s.targets) == 0:
		b = append(b, "")
		b = append(b, indent(prose("No targets for your roles.", w-4))...)
		b = append(b, rows(th.Muted, indent(prose("Press l for the recordings and a for the approvals. If you expected a target here, ask whoever writes the policy.", w-4)))...)
		return strings.Join(b, "\n")
	case len(s.targets) > 0 && len(shown) == 0:
		b = append(b, "", "  No target matches. "+th.Muted.Render("esc shows all."))
		return strings.Join(b, "\n")
	case len(shown) == 0:
		return strings.Join(b, "\n")
	}
	cols := slices.Clone(s.cols)
	if w < 60 {
		cols = cols[:2]
		cols[0].width = min(cols[0].width, max(8, w-24))
	}
	share(cols, w, 10)
	b = append(b, tableHead(th, cols, w))
	from, to := s.list.page(len(shown), s.page(h))
	for i := from; i < to; i++ {
		cells, on := cellsOf(shown[i]), i == s.list.at
		if !on {
			cells[0] = th.Strong.Render(pad(cells[0], cols[0].width))
			cells[1] = s.mayStyle(shown[i].Access)(pad(cells[1], cols[1].width))
			cells[4] = th.Muted.Render(cells[4])
		}
		b = append(b, tableRow(th, cols, cells, w, on))
	}
	if n := details(h); n > 0 {
		for len(b) < h-n {
			b = append(b, "")
		}
		b = append(b, s.details(w, n)...)
	}
	return strings.Join(b, "\n")
}

// cellsOf are the cells of a target's row.
func cellsOf(t bastion.TargetView) []string {
	return []string{clean(t.Name), may(t.Access), clean(t.Environment()), clean(t.Kind), clean(t.Description)}
}

// details tells what the table has no room for, in n lines.
func (s *home) details(w, n int) []string {
	t, ok := s.selected()
	if !ok {
		return nil
	}
	th := s.theme
	b := []string{th.Muted.Render(strings.Repeat("─", w)), " " + th.Strong.Render(cut(clean(t.Name), w/2)) + "  " + cut(clean(t.Description), w/2-4)}
	// A value that is longer than most lines is cut.
	lines := func(value string, most int) []string {
		if value == "" {
			return nil
		}
		all := prose(clean(value), w-17)
		if len(all) > most {
			all = append(all[:most-1], cut(strings.Join(all[most-1:], " "), w-17))
		}
		return all
	}
	field := func(name string, st lipgloss.Style, lines []string) {
		for i, l := range rows(st, lines) {
			if i > 0 {
				name = ""
			}
			b = append(b, " "+th.Muted.Render(pad(name, 14))+" "+l)
		}
	}
	// What runs at once, which is the longest, gets what the others leave.
	most := max(1, (n-6)/2)
	asks, note, marks := lines(verbs(t.Access.Ask), most), lines(t.Access.Note, most), lines(labels(t.Target), 1)
	field("connecting", th.Plain, lines(map[bastion.Effect]string{bastion.Allow: "at once", bastion.Ask: "needs approval: press enter or r to ask for it", bastion.Deny: "not allowed"}[t.Access.Connect], 1))
	field("runs at once", th.Good, lines(verbs(t.Access.Allow), max(1, n-len(b)-len(asks)-len(note)-len(marks))))
	field("needs approval", th.Warn, asks)
	field("note", th.Plain, note)
	field("labels", th.Muted, marks)
	return window(b, 0, n)
}

func verbs(vs []bastion.Verb) string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}
