package postgres

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// ends reports whether an error ends the connection, rather than an operation.
func (c *client) ends(err error) bool {
	if te, ok := errors.AsType[*bastion.TargetError](err); ok && te.Lost {
		return true
	}
	return errors.Is(err, bastion.ErrRecorder) || errors.Is(err, bastion.ErrExpired) || errors.Is(err, bastion.ErrPermit) || errors.Is(err, errCopying) || context.Cause(c.ctx) != nil
}

// refuse answers a message of the extended protocol with an error, where and as
// PostgreSQL would: after what came before it, with the transaction broken if there is
// one, and what follows skipped until the client sends Sync.
func (c *client) refuse(err error) error {
	if c.ends(err) {
		return err
	}
	c.skipping = true
	return c.n.Send(failMessage{func() { c.failing(err) }})
}

// refuseQuery is refuse for a simple query. The flights run before what was refused.
func (c *client) refuseQuery(flights []*bastion.Flight, text string, err error) error {
	if c.ends(err) {
		return err
	}
	statement, portal := c.unnamed()
	return c.send(queryMessage{text: text, refused: func() { c.failing(err) }, statement: statement, portal: portal}, outcomes{statement, portal}, flights...)
}

// failing tells the client of an error. If it is the last that the target had to say,
// the client has to go.
func (c *client) failing(err error) {
	te, ok := errors.AsType[*bastion.TargetError](err)
	if !ok || !te.Lost {
		_ = c.put(appendError(nil, "ERROR", err)) // a client that is gone ends the session by itself
		return
	}
	_ = c.put(appendError(nil, "FATAL", err)) // it is written when the client goes
	c.depart()
}

func appendSetting(b []byte, name, value string) []byte {
	b, at := wire.Begin(b, 'S')
	return wire.End(wire.String(wire.String(b, name), value), at)
}

func appendNotice(b []byte, text, hint string) []byte {
	b, at := wire.Begin(b, 'N')
	for _, f := range []struct {
		code byte
		text string
	}{{'S', "NOTICE"}, {'V', "NOTICE"}, {'C', "00000"}, {'M', text}, {'H', hint}} {
		if f.text != "" {
			b = wire.String(append(b, f.code), f.text)
		}
	}
	return wire.End(append(b, 0), at)
}

// endedError is why the bastion ended the session, in words for the person.
type endedError struct{ error }

func (e endedError) Unwrap() error { return e.error }

// appendError appends an ErrorResponse.
func appendError(b []byte, severity string, err error) []byte {
	b, at := wire.Begin(b, 'E')
	field := func(code byte, text string) {
		if text != "" {
			b = wire.String(append(b, code), bastion.VisibleLine(text))
		}
	}
	code, message, detail, hint, position := "XX000", err.Error(), "", "", 0
	var (
		te     *bastion.TargetError
		denied *bastion.DeniedError
		parse  *bastion.ParseError
		stale  *bastion.StaleError
		no     *bastion.NotApprovedError
	)
	if _, ok := errors.AsType[endedError](err); ok {
		code = "57P01" // admin_shutdown: nothing that the client did
	}
	switch {
	case errors.As(err, &te) && te.Native != nil:
		return wire.End(append(b, te.Native...), at)
	case errors.As(err, &te):
		message, detail, position = te.Summary, te.Detail, te.Position
		switch {
		case te.Code != "":
			code = te.Code
		case te.Lost:
			code = "08006"
		}
	case errors.As(err, &denied):
		code, hint = "42501", denied.Next
		short := *denied
		short.Next = ""
		message = short.Error()
	case errors.As(err, &parse):
		code, message, hint, position = cmp.Or(parse.Code, "42601"), parse.Message, parse.Next, parse.Position
	case errors.As(err, &stale):
		code, hint = "28000", "connect to the bastion again and sign in"
	case errors.As(err, &no):
		code, hint = "42501", "send it again to ask again"
	case errors.Is(err, bastion.ErrPatience), errors.Is(err, errCancelled), errors.Is(err, context.Canceled):
		code = "57014"
	case errors.Is(err, wire.ErrLength), errors.Is(err, wire.ErrBody):
		code = "08P01"
	case errors.Is(err, bastion.ErrExpired):
		code = "28000"
	case errors.Is(err, bastion.ErrRecorder):
		code = "58030"
	case errors.Is(err, bastion.ErrEnded):
		code = "57P01"
	}
	if errors.Is(err, errCancelled) || errors.Is(err, context.Canceled) {
		message = "canceling statement due to user request"
	}
	field('S', severity)
	field('V', severity)
	field('C', code)
	field('M', message)
	field('D', detail)
	field('H', hint)
	if position > 0 {
		field('P', strconv.Itoa(position))
	}
	if te != nil {
		b = append(b, te.Named...)
	}
	return wire.End(append(b, 0), at)
}
