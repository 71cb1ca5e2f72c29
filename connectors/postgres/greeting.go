package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// greeting is what a client asks for when it connects.
type greeting struct {
	user, database string
	// aliases are the names that mean the person, whatever the target calls its user.
	aliases  []string
	settings []setting
	// quiet: no notice tells of masked columns.
	quiet bool
	// reason is what approvers read, if the client was told one.
	reason      string
	application string
}

type setting struct{ name, value string }

// Settings of the bastion's own, which clients give like the target's, as in
// PGOPTIONS="-c sallyport.reason=..."
const (
	reasonSetting = "sallyport.reason"
	noticeSetting = "sallyport.mask_notice"
)

// readGreeting reads the parameters of a StartupMessage.
func readGreeting(body []byte) (greeting, []string, error) {
	var g greeting
	var unknown []string // protocol extensions
	var options string
	var params []setting
	b := wire.NewBody(body)
	for range 200 {
		name := b.String()
		if name == "" {
			if err := b.End(); err != nil {
				return g, nil, err
			}
			// What stands by itself comes after options, as in PostgreSQL, and the last counts.
			if err := g.options(options); err != nil {
				return g, nil, err
			}
			for _, p := range params {
				g.set(p.name, p.value)
			}
			return g, unknown, g.check()
		}
		value := b.String()
		switch {
		case name == "user":
			g.user = value
		case name == "database":
			g.database = value
		case name == "replication":
			if !slices.Contains([]string{"", "false", "off", "no", "0"}, value) {
				return g, nil, &bastion.ParseError{Message: "replication does not go through this bastion", Next: "connect without it"}
			}
		case name == "options":
			options = value
		case strings.HasPrefix(name, "_pq_."):
			unknown = append(unknown, name)
		default:
			params = append(params, setting{name, value})
		}
	}
	return g, nil, wire.ErrBody
}

// options reads what libpq sends of PGOPTIONS: -c name=value, --name=value.
func (g *greeting) options(text string) error {
	words := splitOptions(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		default:
			return &bastion.ParseError{Message: fmt.Sprintf("the connection option %q is not known here", bastion.VisibleLine(w)), Next: "give settings as -c name=value"}
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return &bastion.ParseError{Message: fmt.Sprintf("the connection option %q has no value", bastion.VisibleLine(w)), Next: "give settings as -c name=value"}
		}
		g.set(strings.ReplaceAll(name, "-", "_"), value)
	}
	return nil
}

// splitOptions splits at blanks that no backslash precedes.
func splitOptions(text string) []string {
	var words []string
	var w strings.Builder
	in := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			w.WriteByte(text[i])
			in = true
		case strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			if in {
				words = append(words, w.String())
				w.Reset()
				in = false
			}
		default:
			w.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, w.String())
	}
	return words
}

func (g *greeting) set(name, value string) {
	switch name = strings.ToLower(name); name {
	case reasonSetting:
		g.reason = value
	case noticeSetting:
		g.quiet = slices.Contains([]string{"off", "false", "no", "0"}, strings.ToLower(value))
	case "application_name":
		g.application = value
		fallthrough // the target sees the person and the session before it
	default:
		g.settings = slices.DeleteFunc(g.settings, func(s setting) bool { return s.name == name })
		g.settings = append(g.settings, setting{name, value})
	}
}

// check refuses what cannot be asked of a server through the bastion.
func (g *greeting) check() error {
	var keep []setting
	for _, s := range g.settings {
		if s.name != "client_encoding" {
			if s.name == "" || strings.Trim(s.name, "abcdefghijklmnopqrstuvwxyz0123456789_.") != "" || s.name[0] >= '0' && s.name[0] <= '9' {
				return &bastion.ParseError{Message: fmt.Sprintf("the setting %q has a name that cannot be", bastion.VisibleLine(s.name))}
			}
			keep = append(keep, s)
			continue
		}
		// What is neither is converted by the server, and the bastion reads texts in
		// one encoding. SQL_ASCII converts nothing.
		e := strings.ToLower(strings.NewReplacer("-", "", "_", "", "'", "", " ", "").Replace(s.value))
		if e != "utf8" && e != "unicode" && e != "sqlascii" {
			return &bastion.ParseError{Message: fmt.Sprintf("the client asks for the encoding %q, and this bastion speaks UTF8", bastion.VisibleLine(s.value)), Next: "set PGCLIENTENCODING=UTF8"}
		}
	}
	g.settings = keep
	return nil
}

// wireGreeting is a greeting between the two halves.
type wireGreeting struct {
	User     string     `json:"user,omitempty"`
	Database string     `json:"database,omitempty"`
	Aliases  []string   `json:"aliases,omitempty"`
	Settings [][]string `json:"settings,omitempty"`
}

func (g greeting) encode() (bastion.Params, error) {
	w := wireGreeting{User: g.user, Database: g.database, Aliases: g.aliases}
	p := bastion.Params{}
	for _, s := range g.settings {
		w.Settings = append(w.Settings, []string{s.name, s.value})
		p.Shown = append(p.Shown, s.name+"="+s.value)
	}
	var err error
	p.Bytes, err = json.Marshal(w)
	return p, err
}

func decodeGreeting(b []byte) (greeting, error) {
	var w wireGreeting
	if err := json.Unmarshal(b, &w); err != nil {
		return greeting{}, errors.New("internal error: a connection without a greeting")
	}
	g := greeting{user: w.User, database: w.Database, aliases: w.Aliases}
	for _, s := range w.Settings {
		if len(s) == 2 {
			g.settings = append(g.settings, setting{s[0], s[1]})
		}
	}
	return g, nil
}

// Greet implements [bastion.Proxy]: a setting that comes with the connection is
// decided like one that is set later.
func (Connector) Greet(t bastion.Target, asked bastion.Params) (bastion.Intent, error) {
	g, err := decodeGreeting(asked.Bytes)
	if err != nil {
		return bastion.Intent{}, err
	}
	database := t.Options[optionDatabase]
	// libpq asks for a database of the user's name where it was told of none.
	if g.database != "" && g.database != database && g.database != g.user {
		return bastion.Intent{}, &bastion.TargetError{Code: "3D000", Summary: fmt.Sprintf("%s has the database %q for you, not %q; ask for that, or for none", t.Name, database, bastion.VisibleLine(g.database))}
	}
	i := bastion.Intent{Verb: bastion.Connect, Actions: []bastion.Action{{Verb: bastion.Connect}}, Summary: "connect to " + t.Name}
	r := lineage.NewReader(nil)
	for _, s := range g.settings {
		read, err := r.Read(fmt.Sprintf("SET %s TO %s", s.name, literal(s.value)), lineage.Session{Path: []string{"pg_catalog", "public"}})
		if err != nil {
			return bastion.Intent{}, err
		}
		for _, a := range read.Intent.Actions {
			if !slices.Contains(i.Actions, a) {
				i.Actions = append(i.Actions, a)
			}
		}
		i.Summary += ", with " + s.name
	}
	return i, nil
}

// Reach implements [bastion.Proxy].
func (Connector) Reach(t bastion.Target, port uint32) error {
	s, err := read(t)
	if err != nil {
		return err
	}
	if port != 5432 && port != uint32(s.port) {
		return fmt.Errorf("%s is reached at port 5432 through this bastion; use: ssh -L 5432:%s:5432", t.Name, t.Name)
	}
	return nil
}
