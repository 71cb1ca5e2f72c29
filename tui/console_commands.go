package tui

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
)

// command is one of the console's own commands.
type consoleCommand struct{ name, does string }

// consoleCommands are those that the console does by itself.
var consoleCommands = []consoleCommand{
	{`\x`, "expanded results: on, off, auto"},
	{`\timing`, "show how long statements work: on, off"},
	{`\history`, "what you ran before"},
	{`\?`, "this list"},
	{`\q`, "leave"},
}

// targetCommands are those that ask the target. Others may exist: the connector
// knows.
var targetCommands = []consoleCommand{
	{`\d`, `tables, or what NAME is: \d NAME`},
	{`\dt`, "tables"},
	{`\dv`, "views"},
	{`\dn`, "schemas"},
	{`\df`, "functions"},
	{`\di`, "indexes"},
	{`\du`, "roles"},
	{`\l`, "databases"},
}

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// enter runs what stands in the editor if it is complete, or begins a new line.
func (c *console) enter() tea.Cmd {
	text := c.edit.String()
	if strings.HasPrefix(strings.TrimSpace(text), `\`) {
		return c.send(text, c.command(strings.TrimSpace(text)))
	}
	if strings.TrimSpace(text) == "" {
		c.edit.set("")
		return nil
	}
	if !completeText(text) {
		c.edit.insert("\n")
		return nil
	}
	texts, rest, err := c.s.Split(c.target, text)
	switch {
	case err != nil:
		texts = []string{text} // reading it will say why it cannot be cut
	case !blankText(rest):
		c.edit.insert("\n")
		return notify(Info, "the statement goes on: a parenthesis or a body is still open")
	case len(texts) == 0:
		c.edit.set("")
		return nil
	}
	return c.send(text, func() tea.Cmd { return c.run(&run{texts: texts}) })
}

// send empties the editor and does what its text says, unless something runs.
func (c *console) send(text string, do func() tea.Cmd) tea.Cmd {
	// An answer whose rest nobody reads gives way by itself.
	if c.front != nil && !c.front.parked && !errors.Is(c.front.stopped, errLeft) {
		if c.front.stopped != nil {
			return notify(Info, "the statement before is still being cancelled; try again in a moment")
		}
		return notify(Info, "a statement is running; ctrl+c cancels it")
	}
	c.past.add(strings.TrimRight(text, "\n"))
	c.edit.set("")
	c.up = 0
	c.popup = nil
	return do()
}

// run starts a run in the foreground. An answer that was not read to its end is
// left.
func (c *console) run(r *run) tea.Cmd {
	if f := c.front; f != nil {
		c.stop(f, errLeft)
		c.back = append(c.back, f)
	}
	c.front, c.typed = r, false
	return c.start(r)
}

// command is what a line that begins with a backslash does.
func (c *console) command(line string) func() tea.Cmd {
	line = strings.TrimRight(line, "; \n")
	name := line
	if i := strings.IndexFunc(line, unicode.IsSpace); i > 0 {
		name = line[:i]
	}
	rest := strings.TrimSpace(line[len(name):])
	return func() tea.Cmd {
		b := &block{text: clip(line), state: blockDone}
		switch name {
		case `\q`:
			if cmd := c.askQuit(); c.ctx.Err() != nil {
				return cmd
			}
			b.say(Warn, c.busy()+". Press ctrl+d to leave all the same.")
		case `\x`:
			c.expand(b, rest)
		case `\timing`:
			c.timed(b, rest)
		case `\?`, `\h`, `\help`:
			for _, l := range c.commandList() {
				b.say(Info, l)
			}
		case `\history`:
			for _, t := range c.past.texts[max(0, len(c.past.texts)-20):] {
				b.say(Info, cut(clean(t), 500))
			}
		case `\e`, `\edit`:
			b.say(Info, `There is no other editor inside of the bastion: edit here. alt+enter makes a new line, ↑ brings earlier statements back.`)
		case `\!`, `\i`, `\o`, `\copy`, `\g`, `\gx`, `\c`, `\connect`, `\password`:
			b.say(Bad, name+" does not work here, because the bastion gives no files, shells or connections of its own. "+c.known())
		default:
			text, ok, err := c.s.Command(c.target, line)
			switch {
			case err != nil:
				b.say(Bad, "not run: "+err.Error())
			case !ok:
				b.say(Bad, "unknown command "+name+". "+c.known())
			default:
				return c.run(&run{texts: []string{text}, shown: line})
			}
		}
		c.put(b)
		return nil
	}
}

func (c *console) known() string {
	var names []string
	for _, k := range append(append([]consoleCommand{}, targetCommands...), consoleCommands...) {
		names = append(names, k.name)
	}
	return "Known are " + strings.Join(names, " ")
}

func (c *console) commandList() []string {
	var out []string
	for _, k := range append(append([]consoleCommand{}, targetCommands...), consoleCommands...) {
		out = append(out, k.name+strings.Repeat(" ", max(1, 10-utf8.RuneCountInString(k.name)))+k.does)
	}
	return append(out, "f1        the keys")
}

func (c *console) expand(b *block, how string) {
	switch strings.ToLower(how) {
	case "on":
		c.expanded = expandOn
	case "off":
		c.expanded = expandOff
	case "auto":
		c.expanded = expandAuto
	case "":
		if c.expanded == expandOff {
			c.expanded = expandOn
		} else {
			c.expanded = expandOff
		}
	default:
		b.say(Bad, `\x knows on, off and auto.`)
		return
	}
	b.say(Info, [...]string{expandOff: "Results are tables.", expandOn: "Results are expanded: a line for each value.", expandAuto: "Results are expanded where a table is too wide."}[c.expanded])
}

func (c *console) timed(b *block, how string) {
	switch strings.ToLower(how) {
	case "on":
		c.timing = true
	case "off":
		c.timing = false
	case "":
		c.timing = !c.timing
	default:
		b.say(Bad, `\timing knows on and off.`)
		return
	}
	if c.timing {
		b.say(Info, "Times are shown.")
	} else {
		b.say(Info, "Times are not shown.")
	}
}
