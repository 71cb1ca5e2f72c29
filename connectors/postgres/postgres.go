// Package postgres connects to PostgreSQL. It reads statements with PostgreSQL's
// own parser and says what they do and where their answers come from; it decides
// nothing. See README.md.
package postgres

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
)

// Connector implements [bastion.Connector] and [bastion.Proxy]. The zero Connector
// works, but its sessions share nothing; make others with [New].
type Connector struct {
	sources *sources
	clients *clients
}

// New makes a connector whose sessions share what is known of each target.
func New() Connector { return Connector{&sources{}, &clients{}} }

// Kind implements [bastion.Connector].
func (Connector) Kind() string { return "postgres" }

// Verbs implements [bastion.Connector].
func (Connector) Verbs() []bastion.VerbInfo { return lineage.Verbs() }

// Options of a target.
const (
	optionDatabase = "database"        // name of the database; needed
	optionTLS      = "sslmode"         // disable, require, verify-ca or verify-full (the default)
	optionCA       = "ca"              // path of certificates in PEM that vouch for the server; else the machine's
	optionTimeout  = "connect_timeout" // as 10s, the default
)

var options = []string{optionDatabase, optionTLS, optionCA, optionTimeout}

// settings are a target's options, read.
type settings struct {
	host     string
	port     uint16
	database string
	mode     string
	ca       []byte
	timeout  time.Duration
}

// Check implements [bastion.Connector].
func (Connector) Check(t bastion.Target) error {
	_, err := read(t)
	return err
}

func read(t bastion.Target) (settings, error) {
	s := settings{database: t.Options[optionDatabase], mode: t.Options[optionTLS], timeout: 10 * time.Second}
	for name := range t.Options {
		if !slices.Contains(options, name) {
			return s, fmt.Errorf("target %q: unknown option %q (known: %s)", t.Name, name, strings.Join(options, ", "))
		}
	}
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil || host == "" {
		return s, fmt.Errorf("target %q: address %q is not host:port", t.Name, t.Address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return s, fmt.Errorf("target %q: address %q: the port is not a number from 1 to 65535", t.Name, t.Address)
	}
	s.host, s.port = host, uint16(n)
	if s.database == "" {
		return s, fmt.Errorf("target %q: option %q is missing; name the database", t.Name, optionDatabase)
	}
	if strings.IndexByte(s.database, 0) >= 0 {
		return s, fmt.Errorf("target %q: option %q holds a zero byte", t.Name, optionDatabase)
	}
	switch s.mode {
	case "":
		s.mode = "verify-full"
	case "disable", "require", "verify-ca", "verify-full":
	default:
		return s, fmt.Errorf("target %q: option %q is %q (known: disable, require, verify-ca, verify-full)", t.Name, optionTLS, s.mode)
	}
	if path := t.Options[optionCA]; path != "" {
		if s.ca, err = os.ReadFile(path); err != nil {
			return s, fmt.Errorf("target %q: option %q: %w", t.Name, optionCA, err)
		}
	}
	if v := t.Options[optionTimeout]; v != "" {
		if s.timeout, err = time.ParseDuration(v); err != nil || s.timeout <= 0 {
			return s, fmt.Errorf("target %q: option %q is %q; write it as 10s", t.Name, optionTimeout, v)
		}
	}
	if _, err := s.tls(); err != nil {
		return s, fmt.Errorf("target %q: %w", t.Name, err)
	}
	return s, nil
}

// Split implements [bastion.Connector].
func (Connector) Split(text string) (operations []string, rest string, err error) {
	operations, rest = lineage.Split(text)
	return operations, rest, nil
}

// Parse implements [bastion.Connector]. Names without a schema are taken to be in
// public, and columns to exist where the text puts them.
func (Connector) Parse(t bastion.Target, text string) (bastion.Intent, error) {
	r, err := offline(t, text)
	if err != nil {
		return bastion.Intent{}, err
	}
	return r.Intent, nil
}

// offline reads a text without a connection.
func offline(t bastion.Target, text string) (*lineage.Reading, error) {
	return lineage.NewReader(nil).Read(text, lineage.Session{Path: []string{"pg_catalog", "public"}, Settings: "database=" + t.Options[optionDatabase]})
}
