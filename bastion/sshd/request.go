package sshd

import (
	"errors"
	"net"
	"strconv"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bastion"
)

// request handles one request on a session channel (RFC 4254, section 6). What
// it does not know it refuses.
func (v *visit) request(kind string, payload []byte) (ok bool) {
	switch kind {
	case "pty-req":
		term, w, ok := parsePTY(payload)
		if !ok || v.wanted || v.PTY {
			return false
		}
		v.PTY, v.Term, v.Window = true, term, w
		v.resize(w)
		return true
	case "window-change":
		w, ok := parseWindow(payload)
		if !ok || !v.PTY {
			return false
		}
		if !v.wanted {
			v.Window = w
		}
		v.resize(w)
		return true
	case "env":
		name, value, ok := parseEnv(payload)
		if _, known := v.Env[name]; !ok || v.wanted || !known && len(v.Env) == maxEnv {
			return false
		}
		v.Env[name] = value
		return true
	case "shell":
		if v.wanted || len(payload) > 0 {
			return false
		}
		v.wanted = true
		return true
	case "exec":
		command, ok := parseString(payload)
		if !ok || v.wanted || len(command) > maxCommand {
			return false
		}
		v.wanted, v.Command, v.HasCommand = true, command, true
		return true
	case "subsystem":
		// Before the refusal, after which the client stops listening.
		v.channel.Stderr().Write([]byte("sallyport: file transfer and other subsystems are not offered; try: ssh bastion help\n"))
		return false
	case "signal":
		name, ok := parseString(payload)
		v.broke = ok && name == "INT"
		return ok
	case "break": // RFC 4335
		v.broke = true
		return true
	case "eow@openssh.com": // the client's own output is closed, so nobody reads on
		v.end(errLeft)
		return true
	}
	// Agent and X11 forwarding among them: nobody here needs the client's keys or
	// its screen.
	return false
}

// Limits of a request to forward: a name of the domain name system has at most
// 253 characters, and who connected to the client is cut for the record.
const (
	maxHost = 253
	maxFrom = 64
)

var (
	errForward = errors.New("the request to forward cannot be read; use: ssh -N -L PORT:TARGET:5432 bastion")
	errHost    = errors.New("targets have names of letters, digits, - and . only; use: ssh -N -L PORT:TARGET:5432 bastion")
	errPort    = errors.New("a port is a number from 1 to 65535; use: ssh -N -L PORT:TARGET:5432 bastion")
)

// parseForward reads a request to forward a connection (RFC 4254, section 7.2).
// What cannot be the name of a target, such as an IPv6 address, is refused here.
func parseForward(payload []byte) (Forward, error) {
	var r struct {
		Host     string
		Port     uint32
		From     string
		FromPort uint32
	}
	switch {
	case gossh.Unmarshal(payload, &r) != nil:
		return Forward{}, errForward
	case r.Host == "" || len(r.Host) > maxHost || strings.ContainsFunc(r.Host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
	}):
		return Forward{}, errHost
	case r.Port == 0 || r.Port > 65535:
		return Forward{}, errPort
	}
	from := bastion.VisibleLine(r.From[:min(len(r.From), maxFrom)])
	from = net.JoinHostPort(from, strconv.FormatUint(uint64(r.FromPort), 10))
	return Forward{Host: r.Host, Port: r.Port, From: from}, nil
}

// interrupt tells the session, unless it has not yet heard of the last one.
func (v *visit) interrupt() {
	select {
	case v.breaks <- struct{}{}:
	default:
	}
}

// Limits of what a client may send along.
const (
	maxCommand = bastion.MaxText
	maxTerm    = 64
	maxEnv     = 32
	maxEnvName = 64
	maxValue   = 256
)

// parsePTY reads a request for a terminal (RFC 4254, section 6.2). Its modes are
// of no use here: there is no kernel terminal.
func parsePTY(payload []byte) (term string, w bastion.Window, ok bool) {
	var r struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if gossh.Unmarshal(payload, &r) != nil {
		return "", bastion.Window{}, false
	}
	return terminal(r.Term), window(r.Columns, r.Rows), true
}

// terminal makes a TERM that cannot be anything but a name.
func terminal(term string) string {
	if term == "" || len(term) > maxTerm || strings.Trim(term, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+") != "" {
		return "dumb"
	}
	return term
}

// window makes a size of what a client claims.
func window(columns, rows uint32) bastion.Window {
	const most = 1 << 16 // far beyond what Clamp leaves, and an int everywhere
	return bastion.Window{Width: int(min(columns, most)), Height: int(min(rows, most))}.Clamp()
}

func parseWindow(payload []byte) (w bastion.Window, ok bool) {
	var r struct{ Columns, Rows, Width, Height uint32 }
	if gossh.Unmarshal(payload, &r) != nil {
		return bastion.Window{}, false
	}
	return window(r.Columns, r.Rows), true
}

// parseEnv reads a variable and lets through what says how to show things.
func parseEnv(payload []byte) (name, value string, ok bool) {
	var r struct{ Name, Value string }
	if gossh.Unmarshal(payload, &r) != nil || len(r.Name) > maxEnvName || len(r.Value) > maxValue || bastion.VisibleLine(r.Value) != r.Value {
		return "", "", false
	}
	switch r.Name {
	case "LANG", "NO_COLOR", "COLORTERM", "TERM_PROGRAM":
		return r.Name, r.Value, true
	}
	if rest, ok := strings.CutPrefix(r.Name, "LC_"); ok && rest != "" && strings.Trim(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" {
		return r.Name, r.Value, true
	}
	return "", "", false
}

func parseString(payload []byte) (s string, ok bool) {
	var r struct{ S string }
	if gossh.Unmarshal(payload, &r) != nil {
		return "", false
	}
	return r.S, true
}
