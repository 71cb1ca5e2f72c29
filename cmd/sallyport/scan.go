package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/bastion/policy"
	"github.com/sallyport/sallyport/bastion/vault"
	"github.com/sallyport/sallyport/connectors"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// scan proposes labels for a target's columns, for somebody who runs the bastion:
// it reads the target with the bastion's credential, and shows no value.
func scan(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("scan", flag.ContinueOnError)
	path := fs.String("config", defaultConfig, "configuration file")
	rows := fs.Int("sample", 1000, "rows of each table to look at; 0: names and types alone")
	schema := fs.String("schema", "", "this schema alone")
	all := fs.Bool("all", false, "propose labels also for columns that have one")
	rest, err := flags(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) != 1:
		return errUsage{"scan wants the name of one target\n\n" + usage}
	case *rows < 0 || *rows > 1_000_000:
		return errUsage{"--sample wants a number from 0 to 1000000"}
	}
	c, problems := config.Load(*path)
	if c == nil {
		return problems.Err()
	}
	if err := append(problems, c.Check(connectors.All())...).Err(); err != nil {
		return err
	}
	t, ok := c.BastionTargets().Named(rest[0])
	if !ok {
		var names []string
		for _, t := range c.Targets {
			names = append(names, t.Name)
		}
		return errors.New(policy.Unknown("target", rest[0], names))
	}
	if t.Kind != (postgres.Connector{}).Kind() {
		return fmt.Errorf("target %s is of kind %s, which cannot be scanned", t.Name, t.Kind)
	}
	secret, err := vault.New(c.Credentials()).Secret(ctx, t)
	if err != nil {
		return err
	}
	p := newProposal(t, *rows, config.LoadPolicy(c.Policy), *all)
	if p.columns, err = (postgres.Connector{}).Scan(ctx, t, secret, postgres.Sample{Schema: *schema, Rows: *rows}, p.look); err != nil {
		return err
	}
	if len(p.columns) == 0 {
		return fmt.Errorf("the bastion's role sees no tables in %s; grant it USAGE on the schemas, or check --schema", t.Name)
	}
	_, err = io.WriteString(out, p.write())
	return err
}

// proposal is what a scan found.
type proposal struct {
	target    bastion.Target
	rows      int
	columns   []*postgres.Scanned
	seen      map[*postgres.Scanned]*counts
	detectors []detector
	names     map[string]bool // of labels that the policy has
	labelled  []existing
}

// detector finds one sort of value.
type detector struct {
	mask.Detector
	rules mask.Rules
}

// existing is a label that the policy has for the target.
type existing struct {
	name  string
	rules mask.Rules
}

// counts are what is kept of a column's values.
type counts struct {
	values int
	// whole and part count values that are, or hold, what a detector finds.
	whole, part map[mask.Detector]int
}

func newProposal(t bastion.Target, rows int, f policy.File, all bool) *proposal {
	p := &proposal{target: t, rows: rows, seen: map[*postgres.Scanned]*counts{}, names: map[string]bool{}}
	none, err := mask.NewRules(nil)
	if err != nil {
		panic("internal error: rules of nothing: " + err.Error())
	}
	for _, name := range mask.DetectorNames() {
		if d, err := mask.ParseDetector(name); err == nil && d != mask.All {
			p.detectors = append(p.detectors, detector{d, none.Detect(mask.Detection{Detector: d, Kind: mask.Redact})})
		}
	}
	for _, l := range f.Columns {
		p.names[l.Name.Text] = true
		if all || !holds(l.Targets, t) {
			continue
		}
		var ls []mask.Label
		for _, c := range l.Columns {
			ls = append(ls, mask.Label{Pattern: c.Text, Kind: mask.Redact})
		}
		if rules, err := mask.NewRules(nil, ls...); err == nil { // else check says what is wrong
			p.labelled = append(p.labelled, existing{l.Name.Text, rules})
		}
	}
	return p
}

// holds reports whether a selector chooses a target. One that was not written
// chooses all.
func holds(s policy.Selector, t bastion.Target) bool {
	for _, r := range s.Requires {
		if !slices.ContainsFunc(r.Values, func(w policy.Word) bool { return w.Text == t.Labels[r.Key.Text] && w.Text != "" }) {
			return false
		}
	}
	return true
}

// look counts what one value is, and forgets it.
func (p *proposal) look(c *postgres.Scanned, value []byte) {
	n := p.seen[c]
	if n == nil {
		n = &counts{whole: map[mask.Detector]int{}, part: map[mask.Detector]int{}}
		p.seen[c] = n
	}
	if len(value) == 0 {
		return
	}
	n.values++
	for _, d := range p.detectors {
		switch out, found := d.rules.Scan(value); {
		case found && strings.Trim(string(out), ` {}"`) == mask.Redacted: // an array of one counts as well
			n.whole[d.Detector]++
		case found:
			n.part[d.Detector]++
		}
	}
}

// finding is a column with the sort of what it holds, and why that is thought.
type finding struct {
	pattern string
	sort    sort
	why     string
	unsure  bool
}

// Shares of values that say something.
const (
	most     = 0.5 // as many make a column one of this sort
	some     = 0.1 // as many are worth a look
	fewest   = 10  // with fewer values, a check that one number in ten passes by chance says nothing
	byChance = 2   // so many may be chance
)

// judge says what a column holds, if it holds anything.
func (p *proposal) judge(all []sort, c *postgres.Scanned) (f finding, ok bool) {
	n := p.seen[c]
	if n == nil {
		n = &counts{}
	}
	class := classOf(c.Base)
	named, isNamed := byName(all, c.Name, class)
	valued, share, isValued := p.byValues(all, n)
	switch {
	case isValued && share >= most && (!isNamed || named.unsure || named.name == valued.name || exact(valued.detector)):
		f = finding{sort: valued, why: counted(n, valued.detector)}
		if isNamed {
			f.why = byItsName(named) + "; " + f.why
			f.sort.kind = min(f.sort.kind, named.kind)
			if named.unsure {
				f.sort.kind = valued.kind
			} else if named.kind < valued.kind {
				f.sort = named
			}
		}
	case isNamed && !named.unsure:
		f = finding{sort: named, why: byItsName(named)}
		if named.detector != mask.All && n.values >= fewest {
			f.why += "; " + counted(n, named.detector)
		}
	case isValued:
		// Here and there: in the middle of text, or by chance.
		f = finding{sort: all[slices.IndexFunc(all, func(s sort) bool { return s.name == "free-text" })], why: counted(n, valued.detector), unsure: !exact(valued.detector)}
		if isNamed {
			f.why = byItsName(named) + "; " + f.why
		}
	case isNamed:
		f = finding{sort: named, why: byItsName(named), unsure: true}
		if n.values > 0 {
			f.why += fmt.Sprintf("; nothing was found in %d sampled values", n.values)
		}
	case class == 'x':
		f = finding{sort: all[slices.IndexFunc(all, func(s sort) bool { return s.name == "network-address" })], why: "the type is " + c.Base, unsure: true}
	case c.Base == "money":
		f = finding{sort: sort{name: "amount", kind: mask.Redact}, why: "the type is money", unsure: true}
	case personal(c, class):
		f = finding{sort: all[slices.IndexFunc(all, func(s sort) bool { return s.name == "person-name" })], why: fmt.Sprintf("a name in a table called %s", bastion.VisibleLine(c.Table)), unsure: true}
	default:
		return finding{}, false
	}
	f.why = fmt.Sprintf("%s (%s)", f.why, bastion.VisibleLine(c.Type))
	return f, true
}

func byItsName(s sort) string { return "by its name " + s.what }

// exact reports whether a detector is hardly ever wrong. A card's check digit is
// right for one number in ten, and states number people in many ways.
func exact(d mask.Detector) bool { return d != mask.Card && d != mask.NationalID }

// byValues returns the sort of what was found most among a column's values, and its
// share of them.
func (p *proposal) byValues(all []sort, n *counts) (found sort, share float64, ok bool) {
	best := 0
	for _, d := range p.detectors {
		whole, hits := n.whole[d.Detector], n.whole[d.Detector]+n.part[d.Detector]
		if hits <= best || !exact(d.Detector) && (hits <= byChance || n.values < fewest || float64(hits) < some*float64(n.values)) {
			continue
		}
		i := slices.IndexFunc(all, func(s sort) bool { return s.detector == d.Detector })
		if i < 0 { // keys and tokens of all kinds
			i = slices.IndexFunc(all, func(s sort) bool { return s.name == "secret" })
		}
		found, best, ok = all[i], hits, true
		found.detector, share = d.Detector, float64(whole)/float64(n.values)
	}
	return found, share, ok
}

// counted says what a detector found, in words.
func counted(n *counts, d mask.Detector) string {
	what := map[mask.Detector][2]string{
		mask.Card: {"a card number", "card numbers"}, mask.IBAN: {"an IBAN", "IBANs"}, mask.Address: {"an e-mail address", "e-mail addresses"},
		mask.NationalID: {"a person's number", "persons' numbers"}, mask.PrivateKey: {"a private key", "private keys"},
		mask.CloudKey: {"a cloud key", "cloud keys"}, mask.JWT: {"a JSON web token", "JSON web tokens"},
	}[d]
	if what[0] == "" {
		what = [2]string{d.String(), d.String()}
	}
	switch whole, part := n.whole[d], n.part[d]; {
	case whole+part == 0:
		return fmt.Sprintf("none of %d sampled values is %s", n.values, what[0])
	case part == 0:
		return fmt.Sprintf("%d of %d sampled values are %s", whole, n.values, what[1])
	case whole == 0:
		return fmt.Sprintf("%d of %d sampled values hold %s", part, n.values, what[1])
	default:
		return fmt.Sprintf("%d of %d sampled values are %s, %d more hold some", whole, n.values, what[1], part)
	}
}

// personal reports whether a column is called name in a table that is called like
// people.
func personal(c *postgres.Scanned, class byte) bool {
	ts := tokens(c.Name)
	if class != 't' || len(ts) != 1 || !slices.Contains(strings.Fields("name nom nombre nome naam navn namn nimi nazwa username login nickname"), ts[0]) {
		return false
	}
	const people = `customer client person people user employee staff member patient student teacher contact owner tenant applicant candidate subscriber
		guest passenger driver doctor author account profile lead kunde mitarbeiter benutzer nutzer patient mitglied kontakt schueler bewerber personne utilisateur employe
		cliente usuario empleado paciente persona utente dipendente funcionario klant medewerker gebruiker kund ansatt pracownik klient`
	return slices.ContainsFunc(strings.FieldsFunc(strings.ToLower(c.Table), func(r rune) bool { return r == '_' || r == '-' || r == ' ' }), func(t string) bool {
		return slices.ContainsFunc(strings.Fields(people), func(w string) bool { return t == w || t == w+"s" || t == w+"n" || t == w+"e" })
	})
}

// write makes the text of the proposal: YAML for a policy, and comments.
func (p *proposal) write() string {
	all := sorts()
	groups := map[string][]finding{}
	var labelled, odd []string
	why := map[string][]string{}
	tables := map[string]bool{}
	var triggers []string // of tables with something to hide
	looked := 0
	for _, c := range p.columns {
		place := c.Schema + "." + c.Table + "." + c.Name
		tables[c.Schema+"."+c.Table] = true
		if c.Looked {
			looked++
		}
		if c.Why != "" {
			why[c.Why] = append(why[c.Why], place)
		}
		f, ok := p.judge(all, c)
		if !ok {
			continue
		}
		for _, t := range c.Triggers {
			if t = c.Schema + "." + c.Table + ": " + t; !slices.Contains(triggers, t) {
				triggers = append(triggers, t)
			}
		}
		if i := slices.IndexFunc(p.labelled, func(e existing) bool { return e.rules.Source(place) != mask.Clear }); i >= 0 {
			labelled = append(labelled, fmt.Sprintf("%s by %s", place, p.labelled[i].name))
			continue
		}
		if f.pattern, ok = pattern(c); !ok {
			odd = append(odd, place+": "+f.why)
			continue
		}
		key := f.sort.name
		if f.unsure {
			key += " unsure"
		}
		groups[key] = append(groups[key], f)
	}
	var b strings.Builder
	say := func(format string, a ...any) { // a comment: whatever is in a name stays in its line
		b.WriteString(strings.TrimRight("# "+bastion.VisibleLine(fmt.Sprintf(format, a...)), " ") + "\n")
	}
	sampled := "names and types alone were looked at"
	if p.rows > 0 {
		sampled = fmt.Sprintf("values of %d were looked at, from at most %d rows of a table", looked, p.rows)
	}
	say("Labels that `sallyport scan` proposes for %s: %d columns in %d tables; %s.", p.target.Name, len(p.columns), len(tables), sampled)
	say("To be reviewed, and moved into the policy. A guess by name misses what is called otherwise.")
	sure, unsure := p.labels(all, groups, ""), p.labels(all, groups, " unsure")
	if sure == "" {
		b.WriteString("\n")
		say("Nothing was found that has to be hidden.")
	} else {
		b.WriteString("columns:\n" + sure)
	}
	if unsure != "" {
		b.WriteString("\n")
		say("Less sure: take the # away from what is right.")
		for l := range strings.Lines(unsure) {
			b.WriteString("#" + l)
		}
	}
	list := func(head string, items []string) {
		if len(items) > 0 {
			b.WriteString("\n")
			say("%s", head)
			for _, i := range items {
				say("  %s", i)
			}
		}
	}
	list("Labelled already:", labelled)
	list("Found, but a pattern cannot be written for the name; rename it, or label with *:", odd)
	list("What is written to these tables is copied, perhaps to where no label is. Look at what these do, and label it there too:", triggers)
	reasons := make([]string, 0, len(why))
	for r := range why {
		reasons = append(reasons, r)
	}
	slices.Sort(reasons)
	for _, r := range reasons {
		list("Values not looked at, because "+r+":", why[r])
	}
	return b.String()
}

// labels writes labels of one certainty, as a list in YAML.
func (p *proposal) labels(all []sort, groups map[string][]finding, certainty string) string {
	var b strings.Builder
	for _, s := range append(slices.Clone(all), sort{name: "amount", kind: mask.Redact}) {
		fs := groups[s.name+certainty]
		if len(fs) == 0 {
			continue
		}
		slices.SortFunc(fs, func(x, y finding) int { return cmp.Compare(x.pattern, y.pattern) })
		name := s.name
		if certainty != "" {
			name += "-perhaps"
		}
		if p.names[name] { // of a label that does not cover this: say what it is for
			name += "-" + p.target.Name
		}
		for n, base := 2, name; p.names[name]; n++ {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		fmt.Fprintf(&b, "  - name: %s\n", name)
		if len(p.target.Labels) > 0 {
			fmt.Fprintf(&b, "    targets: { %s }\n", requirements(p.target.Labels))
		}
		b.WriteString("    columns:\n")
		for _, f := range fs {
			fmt.Fprintf(&b, "      # %s\n      - %s\n", f.why, yamlText(f.pattern))
		}
		fmt.Fprintf(&b, "    mask: %s\n", s.kind)
		if s.kind == mask.Email {
			b.WriteString("    # lookup: true    # lets somebody find a row by the whole address\n")
		}
	}
	return b.String()
}

func requirements(labels map[string]string) string {
	var rs []string
	for k, v := range labels {
		rs = append(rs, yamlText(k)+": "+yamlText(v))
	}
	slices.Sort(rs)
	return strings.Join(rs, ", ")
}

// pattern writes a column as policies do. Letters that would mean something else
// become a *, which holds for more, not for less; a dot in the name of a schema or
// a table cannot be written at all.
func pattern(c *postgres.Scanned) (string, bool) {
	part := func(s string, dots bool) string {
		return strings.Map(func(r rune) rune {
			if r == '*' || r == '.' && dots || bastion.VisibleLine(string(r)) != string(r) {
				return '*'
			}
			return r
		}, s)
	}
	if strings.Contains(c.Schema, ".") || strings.Contains(c.Table, ".") {
		return "", false
	}
	return part(c.Schema, false) + "." + part(c.Table, false) + "." + part(c.Name, true), true
}

// plainYAML is what needs no quotes anywhere, and is no number, date or yes.
var plainYAML = regexp.MustCompile(`^[a-z_][a-z0-9_]*([.-][a-z_][a-z0-9_]*)*$`)

// yamlText writes a text as YAML reads it back.
func yamlText(s string) string {
	if plainYAML.MatchString(s) && !slices.Contains(strings.Fields("true false null yes no on off y n"), s) {
		return s
	}
	return strconv.Quote(s)
}
