package lineage

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// Copy is how COPY codes rows, with PostgreSQL's defaults filled in. It is read from
// the options of the statement; see the manual, COPY.
type Copy struct {
	In     bool   // from the client
	Format string // text, csv or binary
	// Columns are the names of those that the statement lists or, where it lists
	// none, of those that it means; nil if they are not known.
	Columns []string
	// Delimiter stands between values, Null for NULL. Quote and Escape are for csv.
	Delimiter, Quote, Escape byte
	Null                     string
	// Default stands for a column's default, from the client, if HasDefault.
	Default    string
	HasDefault bool
	// Header: the first line holds the columns' names. Match: they are compared.
	Header, Match bool
	// ForceQuote names columns that are always quoted, and ForceQuoteAll means all.
	ForceQuote    []string
	ForceQuoteAll bool
	// ForceNotNull and ForceNull name columns for which Null is looked for otherwise,
	// from the client; All means all.
	ForceNotNull, ForceNull       []string
	ForceNotNullAll, ForceNullAll bool
	// Encoding is the name of the character set of text and csv; empty for the
	// client's own.
	Encoding string
	// Ignore: rows that cannot be read are left out (ON_ERROR ignore).
	Ignore bool
}

// coding reads the options of COPY. What is not known is refused, for it could change
// what rows look like.
func (a *analysis) coding(list []*pg.Node, in bool) *Copy {
	c := &Copy{In: in, Format: "text"}
	seen := map[string]bool{}
	given := func(name string) bool { return seen[name] }
	var delimiter, quote, escape string
	for _, n := range list {
		d := n.GetDefElem()
		name := d.GetDefname()
		if d == nil || seen[name] {
			a.refuse("the options of the COPY hold something twice, or something that this bastion does not know")
		}
		seen[name] = true
		if name == "format" {
			switch c.Format = optionText(d.Arg); c.Format {
			case "text", "csv", "binary":
			default:
				// In PostgreSQL's words, which refuses others as well.
				a.wrong(d.Location, "22023", "COPY format %q not recognized", c.Format)
			}
		}
	}
	for _, n := range list {
		d := n.GetDefElem()
		switch d.Defname {
		case "format":
		case "freeze":
			a.boolean(d.Arg)
		case "delimiter":
			delimiter = optionText(d.Arg)
		case "null":
			c.Null = optionText(d.Arg)
		case "default":
			c.Default, c.HasDefault = optionText(d.Arg), true
		case "header":
			if strings.EqualFold(optionText(d.Arg), "match") {
				c.Header, c.Match = true, true
			} else {
				c.Header = a.boolean(d.Arg)
			}
		case "quote":
			quote = optionText(d.Arg)
		case "escape":
			escape = optionText(d.Arg)
		case "force_quote":
			c.ForceQuote, c.ForceQuoteAll = a.optionNames(d.Arg)
		case "force_not_null":
			c.ForceNotNull, c.ForceNotNullAll = a.optionNames(d.Arg)
		case "force_null":
			c.ForceNull, c.ForceNullAll = a.optionNames(d.Arg)
		case "encoding":
			c.Encoding = optionText(d.Arg)
		case "on_error":
			switch v := strings.ToLower(optionText(d.Arg)); v {
			case "stop", "ignore":
				c.Ignore = v == "ignore"
			default:
				a.refuse("the COPY has an ON_ERROR that this bastion does not know")
			}
		case "log_verbosity":
		case "reject_limit":
		default:
			a.wrong(d.Location, "42601", "option %q not recognized", d.Defname)
		}
	}
	one := func(what, given string, set bool, otherwise byte) byte {
		if !set {
			return otherwise
		}
		if len(given) != 1 || given[0] >= 0x80 || given[0] == '\n' || given[0] == '\r' {
			a.refuse("the %s of the COPY is not a single character of one byte", what)
		}
		return given[0]
	}
	switch c.Format {
	case "binary":
		if given("delimiter") || given("null") || given("header") && c.Header || given("quote") || given("escape") || given("force_quote") ||
			given("force_null") || given("force_not_null") || given("default") {
			a.refuse("the COPY is binary, and has an option of the other formats")
		}
		return c
	case "csv":
		c.Delimiter = one("delimiter", delimiter, given("delimiter"), ',')
		c.Quote = one("quote", quote, given("quote"), '"')
		c.Escape = one("escape", escape, given("escape"), c.Quote)
	default:
		c.Delimiter = one("delimiter", delimiter, given("delimiter"), '\t')
		if !given("null") {
			c.Null = `\N`
		}
		if given("quote") || given("escape") || given("force_quote") || given("force_null") || given("force_not_null") {
			a.refuse("the COPY is in text, and has an option of CSV")
		}
		// As the server: these would be taken for a part of an escape.
		if strings.IndexByte(`\.abcdefghijklmnopqrstuvwxyz0123456789`, c.Delimiter) >= 0 {
			a.refuse("the delimiter of the COPY cannot be used")
		}
	}
	if strings.ContainsAny(c.Null, "\r\n") || strings.ContainsAny(c.Default, "\r\n") || strings.IndexByte(c.Null, c.Delimiter) >= 0 ||
		c.Quote != 0 && (c.Quote == c.Delimiter || strings.IndexByte(c.Null, c.Quote) >= 0) {
		a.refuse("the options of the COPY contradict each other")
	}
	return c
}

// optionText is the value of an option that is a word, a text or a number.
func optionText(n *pg.Node) string {
	switch x := n.GetNode().(type) {
	case *pg.Node_String_:
		return x.String_.Sval
	case *pg.Node_Integer:
		return itoa(int(x.Integer.Ival))
	case *pg.Node_Float:
		return x.Float.Fval
	case *pg.Node_Boolean:
		if x.Boolean.Boolval {
			return "true"
		}
		return "false"
	case *pg.Node_TypeName:
		names := stringsOf(x.TypeName.Names)
		return strings.Join(names, ".")
	}
	return ""
}

// boolean is the value of an option that is true or false, and true without one.
func (a *analysis) boolean(n *pg.Node) bool {
	if n.GetNode() == nil {
		return true
	}
	switch strings.ToLower(optionText(n)) {
	case "true", "on", "1":
		return true
	case "false", "off", "0":
		return false
	}
	a.refuse("an option of the COPY is neither true nor false")
	return false
}

// optionNames reads a list of columns, or *.
func (a *analysis) optionNames(n *pg.Node) (names []string, all bool) {
	if n.GetAStar() != nil {
		return nil, true
	}
	l := n.GetList()
	if l == nil || len(l.Items) == 0 || slices.ContainsFunc(l.Items, func(n *pg.Node) bool { return n.GetString_() == nil }) {
		a.refuse("an option of the COPY names no columns")
	}
	return stringsOf(l.Items), false
}

// copy reads COPY.
func (a *analysis) copy(c *pg.CopyStmt, rd *Reading) answer {
	verb := CopyOut
	if c.IsFrom {
		verb = CopyIn
	}
	client := !c.IsProgram && c.Filename == ""
	if client {
		rd.Class = Streaming
		rd.Copy = a.coding(c.Options, c.IsFrom)
	} else {
		a.action(ServerFile, "")
		a.runs()
	}
	a.options(c.Options)
	finish := func(out answer) answer {
		if !client {
			a.copies(out)
		}
		if rd.Copy != nil && out.known {
			rd.Copy.Columns = make([]string, len(out.fields))
			for i, f := range out.fields {
				rd.Copy.Columns[i] = f.name
			}
		}
		return out
	}
	if c.Query != nil {
		a.action(verb, "")
		return finish(a.query(c.Query, nil))
	}
	e := a.relation(c.Relation, verb)
	if !c.IsFrom {
		a.relation(c.Relation, Select)
	}
	sc := &scope{items: []item{{entries: []*entry{e}, fields: e.fields, loose: e.loose}}}
	a.where(c.WhereClause, sc)
	out := answer{known: !e.loose}
	if names := stringsOf(c.Attlist); len(names) > 0 {
		out.known = true
		for _, name := range names {
			f, ok := e.of(name)
			if !ok {
				f = a.missing(opaque)
			}
			out.fields = append(out.fields, field{name: name, flow: f})
		}
	} else {
		for _, f := range e.fields {
			if !f.generated { // those are not copied
				out.fields = append(out.fields, f)
			}
		}
	}
	out = finish(out)
	if c.IsFrom {
		names := make([]string, len(out.fields))
		for i, f := range out.fields {
			names[i] = f.name
		}
		a.sets(e, names, len(c.Attlist) == 0)
		return answer{known: true}
	}
	return out
}
