// Package policy is the connector of the bastion's own policy, as a target: reading
// it and changing it are operations like any other, decided, approved by others,
// used once and recorded on the one path that there is.
//
// The text of a change is a whole policy file. Any other text is one of the
// commands that read: show, show 3, versions, and diff with a policy file below it.
package policy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/mask"
)

// Kind is the connector's kind, and the name of the one target that it has.
const Kind = "policy"

// The verbs.
const (
	Read   bastion.Verb = "policy-read"
	Change bastion.Verb = "policy-change"
)

// Target is the policy as a target. Bundles choose it by its label, kind: policy.
func Target() bastion.Target {
	return bastion.Target{Name: Kind, Kind: Kind, Labels: map[string]string{"kind": Kind},
		Description: "the policy of this bastion: read it, propose another"}
}

// Version is a version of the policy.
type Version struct {
	Number   uint64
	Text     string
	Digest   string
	At       time.Time
	By       string   // who proposed it
	Approved []string // by whom
	Request  uint64   // 0: none
}

// Line is one thing that is different in meaning.
type Line struct {
	Kind    string // such as "gains access"
	Who     string
	Targets string
	What    string
}

// Difference is what a new policy would change, in meaning.
type Difference struct {
	Summary string // in a few words
	// Lines are the changes, the dangerous ones first. None means that both say the same.
	Lines []Line
	Note  string // what the comparison cannot know; may be empty
}

// Charter is the policy in force, as one session reads it and may change it.
// Implementations are safe for concurrent use.
type Charter interface {
	// Active is the version in force.
	Active() Version
	// Versions lists versions, the newest first.
	Versions(ctx context.Context) ([]Version, error)
	// Check reads a text as the policy that comes next. An error says what is wrong
	// with it, a *bastion.ParseError where; warnings are what may be meant so.
	Check(text string) (warnings []string, err error)
	// Difference compares a text that Check takes with the version in force.
	Difference(text string) (Difference, error)
	// Activate puts a text in force, in place of the version of that number and of
	// no other. The digest is that of the operation, whose approval has been used.
	Activate(ctx context.Context, text string, on uint64, digest string) (Version, error)
}

// Connector implements [bastion.Connector]. The zero Connector tells what it could
// do, reads commands, and connects to nothing.
type Connector struct{ charter Charter }

// New makes a connector for one session. Without a charter it only tells what
// connectors of this kind can do.
func New(c Charter) *Connector { return &Connector{c} }

// Kind implements [bastion.Connector].
func (*Connector) Kind() string { return Kind }

// Verbs implements [bastion.Connector].
func (*Connector) Verbs() []bastion.VerbInfo {
	return []bastion.VerbInfo{
		{Verb: Read, Doc: "read the policy, its versions, and what a proposed one would change"},
		{Verb: Change, Doc: "put another policy in force; always needs the approval of somebody else", Write: true},
	}
}

// Check implements [bastion.Connector]: every bastion has this target and one of it.
func (*Connector) Check(t bastion.Target) error {
	if t.Name != Kind || t.Kind != Kind || t.Address != "" {
		return errors.New("the policy is a target of every bastion by itself, named policy; leave it out of the configuration")
	}
	return nil
}

// command reads a text that is not a policy file. ok is false if it is one.
func command(text string) (name, rest string, ok bool) {
	head, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	fields := strings.Fields(head)
	switch {
	case len(fields) == 1 && fields[0] == "diff" && strings.TrimSpace(rest) != "":
		return "diff", rest, true
	case rest != "":
		return "", "", false
	case len(fields) == 1 && (fields[0] == "show" || fields[0] == "versions"):
		return fields[0], "", true
	case len(fields) == 2 && fields[0] == "show":
		return "show", fields[1], true
	}
	return "", "", false
}

// Split implements [bastion.Connector]. A command stands in a line; a policy file
// ends with the text, or with the line that ends a YAML document, "...".
func (*Connector) Split(text string) (operations []string, rest string, err error) {
	for strings.TrimSpace(text) != "" {
		line, after, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n")
		line = strings.TrimRight(line, "; \t\r")
		if name, _, ok := command(line); ok && name != "diff" {
			operations, text = append(operations, strings.TrimSpace(line)), after
			continue
		}
		file, after, more := document(text)
		if !more {
			return operations, text, nil
		}
		operations, text = append(operations, file), after
	}
	return operations, "", nil
}

// document cuts a text after the line that ends a YAML document (YAML 1.2.2,
// section 9.1.2).
func document(text string) (file, rest string, ok bool) {
	for at := 0; at < len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		next := min(at+len(line)+1, len(text))
		if strings.TrimRight(line, " \t\r") == "..." {
			return text[:at], text[next:], true
		}
		at = next
	}
	return "", text, false
}

// Parse implements [bastion.Connector].
func (c *Connector) Parse(_ bastion.Target, text string) (bastion.Intent, error) {
	return c.parse(text)
}

func (c *Connector) parse(text string) (bastion.Intent, error) {
	if strings.TrimSpace(text) == "" || strings.ContainsRune(text, 0) {
		return bastion.Intent{}, &bastion.ParseError{Message: "this is no policy file", Next: "write show, versions, or a whole policy file"}
	}
	if name, rest, ok := command(text); ok {
		return c.read(name, rest)
	}
	i := bastion.Intent{Verb: Change, Actions: []bastion.Action{{Verb: Change}}, Summary: "a change of the policy"}
	if c.charter == nil {
		return i, notAFile(text)
	}
	if _, err := c.charter.Check(text); err != nil {
		return bastion.Intent{}, err
	}
	active := c.charter.Active()
	if text == active.Text {
		return bastion.Intent{}, &bastion.ParseError{Message: fmt.Sprintf("this is version %d of the policy, which is in force already", active.Number), Next: "there is nothing to change"}
	}
	d, err := c.charter.Difference(text)
	if err != nil {
		return bastion.Intent{}, err
	}
	i.Summary = "policy: " + d.Summary
	i.Settings = settings(active)
	return i, nil
}

// settings name the version that a change takes the place of. They are part of what
// is approved, so an approval dies with the version that it was given upon.
func settings(v Version) string {
	return fmt.Sprintf("in place of version %d, sha256 %s", v.Number, v.Digest)
}

// notAFile refuses what cannot be a policy file by its looks.
func notAFile(text string) error {
	if !strings.Contains(text, ":") {
		return &bastion.ParseError{Message: "this is neither a command nor a policy file", Next: "write show, versions, or a whole policy file"}
	}
	return nil
}

// read is the intent of a command that reads.
func (c *Connector) read(name, rest string) (bastion.Intent, error) {
	i := bastion.Intent{Verb: Read, Actions: []bastion.Action{{Verb: Read}}}
	columns := []string{"policy"}
	switch name {
	case "show":
		i.Summary = "show the policy in force"
		if rest != "" {
			if _, err := strconv.ParseUint(rest, 10, 64); err != nil {
				return bastion.Intent{}, &bastion.ParseError{Message: fmt.Sprintf("%q is not the number of a version", bastion.VisibleLine(rest)), Next: "versions lists them"}
			}
			i.Summary = "show version " + rest + " of the policy"
		}
	case "versions":
		i.Summary, columns = "list the versions of the policy", versionColumns()
	case "diff":
		i.Summary, columns = "compare a policy with the one in force", lineColumns()
		if c.charter == nil {
			if err := notAFile(rest); err != nil {
				return bastion.Intent{}, err
			}
		} else if _, err := c.charter.Check(rest); err != nil {
			return bastion.Intent{}, shifted(err)
		}
	}
	for _, name := range columns { // from no column of a table, so nothing of them is secret by its place
		i.Outputs = append(i.Outputs, mask.Column{Name: name, Proven: true})
	}
	return i, nil
}

// shifted moves the position of an error behind the line that says diff.
func shifted(err error) error {
	var pe *bastion.ParseError
	if errors.As(err, &pe) && pe.Position > 0 {
		moved := *pe
		moved.Position += len("diff\n")
		return &moved
	}
	return err
}

// Dial implements [bastion.Connector].
func (c *Connector) Dial(_ context.Context, p *bastion.Permit) (bastion.Conn, error) {
	op, err := p.Use(bastion.ForDial)
	if err != nil {
		return nil, err
	}
	if err := c.Check(op.Target()); err != nil {
		return nil, err
	}
	if c.charter == nil {
		return nil, errors.New("internal error: there is no policy to connect to")
	}
	return &conn{c}, nil
}
