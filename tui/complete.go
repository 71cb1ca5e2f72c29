package tui

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/bastion"
)

// Bounds of what completion keeps and offers.
const (
	mostNames  = 20_000
	mostOffers = 200
)

// relation is a table, or something like one.
type relation struct{ schema, name, kind string }

// catalogue is the names of a target, for completion.
type catalogue struct {
	schemas   []string
	relations []relation
	columns   map[string][]bastion.Name // by schema.table
	functions []bastion.Name
}

// newCatalogue sorts names by what they are. More than it wants are left out.
func newCatalogue(names []bastion.Name) catalogue {
	c := catalogue{columns: map[string][]bastion.Name{}}
	if len(names) > mostNames {
		names = names[:mostNames]
	}
	for _, n := range names {
		switch n.Kind {
		case "schema":
			c.schemas = append(c.schemas, n.Name)
		case "column":
			c.columns[n.Parent] = append(c.columns[n.Parent], n)
		case "function":
			c.functions = append(c.functions, n)
		default:
			r := relation{n.Parent, n.Name, n.Kind}
			if r.schema == "" {
				if s, t, ok := strings.Cut(n.Name, "."); ok {
					r.schema, r.name = s, t
				}
			}
			c.relations = append(c.relations, r)
		}
	}
	return c
}

// offer is something that completion could put in.
type offer struct {
	text string // as it goes into the statement
	kind string // what it is, for people
}

// mention is a table that a statement names, with the name that it has there.
type mention struct{ schema, name, alias string }

// situation is what a statement says of the word at the cursor.
type situation struct {
	from    int    // where the word begins, in bytes
	word    string // its part before the cursor, without its opening quote
	quoted  bool
	path    []string  // names before the word, each with a dot after it
	wants   want      // what may stand there
	tables  []mention // all that the statement mentions
	command bool      // it is a console command
}

// want is what may stand at a place of a statement.
type want uint8

// The kinds of want.
const (
	wantNothing   want = iota // a string or a comment is there
	wantStart                 // a statement begins there
	wantTable                 // after FROM and its like
	wantColumn                // columns of the one table before the parenthesis
	wantValue                 // columns, functions, keywords
	wantAfterward             // keywords, after something complete
)

// tokenAt is a token with its place.
type tokenAt struct {
	token
	at int
}

func (t tokenAt) end() int { return t.at + len(t.text) }

func (t tokenAt) is(word string) bool {
	return t.kind == lexKeyword && strings.EqualFold(t.text, word)
}

func (t tokenAt) op(c string) bool { return t.kind == lexOperator && t.text == c }

// name is the name that the token spells, as the target would fold it.
func (t tokenAt) name() (string, bool) {
	switch t.kind {
	case lexName:
		return strings.ToLower(t.text), true
	case lexQuoted:
		s := strings.TrimPrefix(t.text, `"`)
		if !t.open {
			s = strings.TrimSuffix(s, `"`)
		}
		return strings.ReplaceAll(s, `""`, `"`), true
	}
	return "", false
}

// situate reads the statement around an offset of a text.
func situate(text string, at int) situation {
	if strings.HasPrefix(text, `\`) {
		word := text[:at]
		if i := strings.LastIndexAny(word, " \t\n"); i >= 0 {
			return situation{from: at}
		}
		return situation{from: 0, word: word, command: true, wants: wantStart}
	}
	var all []tokenAt // of the statement, without space and comments
	word := -1        // the token that is being typed
	for i, t := range lex(text) {
		end := i + len(t.text)
		switch {
		case t.kind == lexSemicolon && end <= at:
			all = all[:0]
			continue
		case t.kind == lexSemicolon:
			goto read
		case (t.kind == lexString || t.kind == lexComment) && i < at && (at < end || t.open):
			return situation{from: at}
		case t.kind == lexSpace || t.kind == lexComment:
			continue
		case (t.kind == lexName || t.kind == lexKeyword || t.kind == lexQuoted || t.kind == lexNumber) && i < at && at <= end:
			word = len(all)
		}
		all = append(all, tokenAt{t, i})
	}
read:
	s := situation{from: at}
	before := 0 // the number of tokens before the word
	for before < len(all) && all[before].at < at {
		before++
	}
	if word >= 0 {
		w := all[word]
		before = word
		if w.kind == lexNumber || w.kind == lexQuoted && !w.open && at == w.end() {
			return situation{from: at}
		}
		s.from, s.word = w.at, text[w.at:at]
		if w.kind == lexQuoted {
			if !strings.HasPrefix(s.word, `"`) {
				return situation{from: at} // U&"…" is spelled in a way of its own
			}
			s.word, s.quoted = s.word[1:], true
		}
	}
	s.tables = mentions(all)
	i := before - 1
	for end := s.from; i >= 1 && all[i].op(".") && all[i].end() == end; {
		n, ok := all[i-1].name()
		if !ok || all[i-1].end() != all[i].at {
			break
		}
		s.path = append([]string{n}, s.path...)
		end = all[i-1].at
		i -= 2
	}
	s.wants = wanted(all[:i+1])
	return s
}

// wanted says what may come after tokens.
func wanted(before []tokenAt) want {
	if len(before) == 0 {
		return wantStart
	}
	last := before[len(before)-1]
	switch {
	case last.kind == lexKeyword:
		switch strings.ToUpper(last.text) {
		case "FROM", "JOIN", "INTO", "UPDATE", "TABLE", "ONLY", "TRUNCATE", "COPY", "LATERAL", "ANALYZE", "VACUUM", "REFERENCES":
			return wantTable
		case "NULL", "TRUE", "FALSE", "END", "DEFAULT", "CURRENT_DATE", "CURRENT_TIMESTAMP", "CURRENT_USER", "ASC", "DESC":
			return wantAfterward
		}
		return wantValue
	case last.op(","):
		if listOf(before[:len(before)-1]) == "FROM" {
			return wantTable
		}
		if columnList(before) {
			return wantColumn
		}
	case last.op("("):
		if columnList(before) {
			return wantColumn
		}
	case last.op(")"), last.op("*"), last.kind != lexOperator:
		return wantAfterward
	}
	return wantValue
}

// listOf is the keyword that begins the list which tokens end in.
func listOf(before []tokenAt) string {
	depth := 0
	for _, t := range slices.Backward(before) {
		switch {
		case t.op(")"):
			depth++
		case t.op("("):
			if depth--; depth < 0 {
				return ""
			}
		case depth == 0 && t.kind == lexKeyword:
			if k := strings.ToUpper(t.text); k != "AS" && k != "ONLY" && k != "LATERAL" {
				return k
			}
		}
	}
	return ""
}

// columnList reports whether tokens end in the column list of an INSERT.
func columnList(before []tokenAt) bool {
	for i, t := range slices.Backward(before) {
		if !t.op("(") {
			if _, ok := t.name(); !ok && !t.op(",") {
				return false
			}
			continue
		}
		for i--; i >= 0; i-- {
			if _, ok := before[i].name(); !ok && !before[i].op(".") {
				return before[i].is("INTO")
			}
		}
		return false
	}
	return false
}

// mentions lists the tables that a statement names.
func mentions(all []tokenAt) []mention {
	var out []mention
	for i := 0; i < len(all); i++ {
		if !all[i].is("FROM") && !all[i].is("JOIN") && !all[i].is("UPDATE") && !all[i].is("INTO") && !all[i].is("TABLE") && !all[i].is("TRUNCATE") {
			continue
		}
		list := all[i].is("FROM")
		for j := i + 1; j < len(all); j++ {
			for j < len(all) && (all[j].is("ONLY") || all[j].is("LATERAL") || all[j].is("IF") || all[j].is("EXISTS") || all[j].is("TABLE")) {
				j++
			}
			m, n := oneMention(all[j:])
			if n == 0 {
				break
			}
			out = append(out, m)
			j += n
			if !list || j >= len(all) || !all[j].op(",") {
				break
			}
		}
	}
	return out
}

// oneMention reads a table and its alias, and returns how many tokens they are.
func oneMention(ts []tokenAt) (m mention, n int) {
	if len(ts) == 0 {
		return m, 0
	}
	var ok bool
	if m.name, ok = ts[0].name(); !ok {
		return m, 0
	}
	n = 1
	if len(ts) > 2 && ts[1].op(".") {
		if t, ok := ts[2].name(); ok {
			m.schema, m.name, n = m.name, t, 3
		}
	}
	i := n
	if i < len(ts) && ts[i].is("AS") {
		i++
	}
	if i < len(ts) {
		if a, ok := ts[i].name(); ok {
			m.alias, n = a, i+1
		}
	}
	return m, n
}

// of lists the columns of a table that a statement mentions.
func (c catalogue) of(m mention) []bastion.Name {
	for _, r := range c.relations {
		if strings.EqualFold(r.name, m.name) && (m.schema == "" || strings.EqualFold(r.schema, m.schema)) {
			if cols := c.columns[r.schema+"."+r.name]; cols != nil {
				return cols
			}
			if cols := c.columns[r.name]; cols != nil {
				return cols
			}
		}
	}
	return nil
}

// complete lists what the word at an offset of a text may become, best first, and
// the number of bytes before the offset that an offer replaces.
func (c catalogue) complete(text string, at int) (offers []offer, replaces int) {
	if len(text) > highlighted || at > len(text) {
		return nil, 0
	}
	s := situate(text, at)
	o := offering{word: s.word, quoted: s.quoted}
	switch {
	case s.command:
		for _, k := range consoleCommands {
			o.add(k.name, k.does, false)
		}
		for _, k := range targetCommands {
			o.add(k.name, k.does, false)
		}
	case s.wants == wantNothing:
		return nil, 0
	case len(s.path) > 0:
		c.below(&o, s)
	default:
		c.around(&o, s)
	}
	return o.best(), at - s.from
}

// below offers what can follow the names before the word.
func (c catalogue) below(o *offering, s situation) {
	last := s.path[len(s.path)-1]
	if len(s.path) >= 2 {
		c.columnsOf(o, mention{schema: s.path[len(s.path)-2], name: last})
		return
	}
	for _, m := range s.tables {
		if m.alias == last || m.alias == "" && m.name == last {
			c.columnsOf(o, m)
		}
	}
	for _, r := range c.relations {
		if r.schema == last {
			o.name(r.name, r.kind)
		}
	}
	for _, f := range c.functions {
		if f.Parent == last {
			o.function(f.Name)
		}
	}
	if len(o.first) == 0 {
		c.columnsOf(o, mention{name: last})
	}
}

// around offers what can stand where a statement has no names before the word.
func (c catalogue) around(o *offering, s situation) {
	switch s.wants {
	case wantStart:
		o.words(starters...)
		return
	case wantAfterward:
		o.words(keywords...)
		return
	case wantTable:
		c.tables(o)
		return
	case wantColumn:
		for _, m := range s.tables {
			c.columnsOf(o, m)
		}
		return
	}
	for _, m := range s.tables {
		c.columnsOf(o, m)
	}
	for _, m := range s.tables {
		if m.alias != "" {
			o.name(m.alias, "alias of "+m.name)
		} else {
			o.name(m.name, "table")
		}
	}
	for _, f := range builtins {
		o.function(f)
	}
	for _, f := range c.functions {
		o.function(f.Name)
	}
	o.words(keywords...)
	if s.word != "" {
		c.tables(o)
	}
}

func (c catalogue) tables(o *offering) {
	for _, r := range c.relations {
		if !system(r.schema) {
			o.name(r.name, r.kind)
		}
	}
	for _, s := range c.schemas {
		o.name(s, "schema")
	}
}

// system reports whether a schema is the target's own, whose tables have to be
// asked for by name.
func system(schema string) bool {
	return strings.HasPrefix(schema, "pg_") || schema == "information_schema"
}

func (c catalogue) columnsOf(o *offering, m mention) {
	for _, n := range c.of(m) {
		o.name(n.Name, "column "+n.Type)
	}
}

// starters are the words that statements begin with.
var starters = strings.Fields(`SELECT INSERT UPDATE DELETE WITH EXPLAIN BEGIN COMMIT ROLLBACK SHOW SET
CREATE ALTER DROP TRUNCATE GRANT REVOKE COMMENT COPY ANALYZE VACUUM CALL MERGE VALUES TABLE`)

// builtins are functions that everybody uses.
var builtins = strings.Fields(`count sum avg min max now coalesce lower upper length substring trim
round abs date_trunc extract to_char string_agg array_agg row_number concat replace random age`)

// offering collects offers for a word.
type offering struct {
	word   string
	quoted bool
	first  []offer // those that begin with the word
	second []offer // those that hold it elsewhere
	seen   map[string]bool
}

// add takes an offer if it fits the word.
func (o *offering) add(text, kind string, anywhere bool) {
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	plain := strings.ToLower(strings.TrimPrefix(text, `"`))
	word := strings.ToLower(o.word)
	if o.seen[text] || strings.EqualFold(text, o.word) {
		return
	}
	switch {
	case strings.HasPrefix(plain, word):
		o.first = append(o.first, offer{text, kind})
	case anywhere && len(word) > 1 && strings.Contains(plain, word):
		o.second = append(o.second, offer{text, kind})
	default:
		return
	}
	o.seen[text] = true
}

// name offers a name of the target, in quotes where it needs them.
func (o *offering) name(n, kind string) {
	if o.quoted || !plainName(n) {
		n = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	o.add(n, strings.TrimSpace(kind), true)
}

func (o *offering) function(n string) {
	if !o.quoted && plainName(n) {
		o.add(n+"(", "function", false)
	}
}

// words offers keywords, in the case that the person types.
func (o *offering) words(ws ...string) {
	if o.quoted {
		return
	}
	lower := o.word != "" && o.word == strings.ToLower(o.word)
	for _, w := range ws {
		if lower {
			w = strings.ToLower(w)
		}
		o.add(w, "keyword", false)
	}
}

func (o *offering) best() []offer {
	all := append(o.first, o.second...)
	return all[:min(len(all), mostOffers)]
}

// plainName reports whether a name means itself without quotes.
func plainName(n string) bool {
	if n == "" || isKeyword(n) || n[0] >= '0' && n[0] <= '9' || n[0] == '$' {
		return false
	}
	for i := range len(n) {
		if c := n[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '$') {
			return false
		}
	}
	return true
}

// popup is the list of offers under the cursor.
type popup struct {
	offers   []offer
	at       int
	replaces int // bytes before the cursor that an offer replaces
}

// common is the longest beginning that all offers share, in the case of the first.
func (p *popup) common() string {
	c := p.offers[0].text
	for _, o := range p.offers[1:] {
		n := 0
		for n < len(c) && n < len(o.text) && c[n] == o.text[n] {
			n++
		}
		c = c[:n]
	}
	for c != "" && !utf8.ValidString(c) {
		c = c[:len(c)-1]
	}
	return c
}

// popupLines is the greatest height of a popup.
const popupLines = 8

// view draws the popup with its left edge under a column.
func (p *popup) view(th Theme, w, h, under int) []string {
	h = min(h, popupLines)
	if h <= 0 || len(p.offers) == 0 {
		return nil
	}
	n := min(len(p.offers), h)
	more := len(p.offers) > n && h > 1
	if more {
		n = min(n, h-1)
	}
	top := max(0, min(p.at-n/2, len(p.offers)-n))
	name, kind := 0, 0
	for _, o := range p.offers[top : top+n] {
		name = max(name, textWidth(clean(o.text)))
		kind = max(kind, textWidth(clean(o.kind)))
	}
	name = min(name, max(8, w/2))
	kind = min(kind, max(0, w-name-5))
	wide := name + kind + 5
	indent := strings.Repeat(" ", max(0, min(under-1, w-wide)))
	var out []string
	for i, o := range p.offers[top : top+n] {
		mark, st := "  ", th.Muted
		if top+i == p.at {
			mark, st = "› ", th.Selected
			out = append(out, indent+st.Render(mark+pad(clean(o.text), name)+"  "+pad(clean(o.kind), kind)+" "))
			continue
		}
		out = append(out, indent+mark+pad(clean(o.text), name)+"  "+st.Render(pad(clean(o.kind), kind))+" ")
	}
	if more {
		out = append(out, indent+th.Muted.Render("  "+itoa(p.at+1)+" of "+itoa(len(p.offers))))
	}
	return out
}
