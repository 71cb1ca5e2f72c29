package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// answer is what comes back for one operation. Its methods are called by the answers'
// goroutine.
type answer struct {
	c        *client
	flight   *bastion.Flight // of a portal; nil for an empty one
	prepares *prepared       // what it prepares; nil if it runs
	pause    uint64          // the client's, when it was last decided; serve's goroutine's alone

	renames func() // what it does to names, once it ran; nil if nothing

	failed    bool // and the client is to hear why
	described bool // the columns were asked for
	told      bool // of masked columns
	begins    byte // a signal: what the parameters that follow belong to
	copies    *copyWriter
}

func (a *answer) job() bastion.Job {
	return bastion.Job{Show: a.show, Done: a.done, Reason: a.c.reasons, Given: a.c.reason, Unasked: true, Waiting: a.c.waiting}
}

func (a *answer) done(err error) {
	switch {
	case err == nil && a.renames != nil:
		a.renames()
	case err != nil && a.failed:
		a.c.failing(err)
	}
	a.c.watch.stir()
}

// show passes a frame of the operation on.
func (a *answer) show(f bastion.Frame) error {
	c := a.c
	switch f.Kind() {
	case bastion.ColumnsFrame:
		return a.columns(f.Columns())
	case bastion.RowFrame:
		if a.copies != nil && a.copies.on {
			return c.out.add(false, func(b []byte) []byte { return a.copies.row(b, f.Row()) })
		}
		return c.out.add(false, func(b []byte) []byte { return appendRow(b, f.Row()) })
	case bastion.SignalFrame:
		switch code, _ := f.Signal(); code {
		case signalFailed:
			a.failed = true
			return nil
		case signalDescribed:
			a.described = true
			return nil
		case signalCopyIn, signalCopyOut:
			a.begins = code
			return nil
		case 'c':
			if a.copies != nil {
				if err := c.out.add(false, a.copies.finish); err != nil {
					return err
				}
			}
		}
	case bastion.ParametersFrame:
		typ, raw := a.begins, f.Raw()
		a.begins = 0
		switch typ {
		case 0:
			if a.prepares != nil {
				types := bytes.Clone(raw)
				a.prepares.learnt.Store(&types)
			}
			return c.show(f)
		case signalCopyIn:
			return c.say(wire.Append(nil, typ, raw...)) // the client waits for it
		case signalCopyOut:
			var err error
			if a.copies, raw, err = newCopyWriter(raw); err != nil {
				return err
			}
		}
		return c.put(wire.Append(nil, typ, raw...))
	}
	return c.show(f)
}

// columns tells the client what columns come, if it asked, and which are masked.
func (a *answer) columns(columns []bastion.Column) error {
	c := a.c
	if !c.quiet && !a.told && a.prepares == nil {
		var masked []string
		for i := range columns {
			if columns[i].Masked() {
				masked = append(masked, columns[i].Name)
			}
		}
		if len(masked) > 0 {
			a.told = true
			text := "masked: " + bastion.VisibleLine(strings.Join(masked, ", "))
			if err := c.out.add(false, func(b []byte) []byte { return appendNotice(b, text, "") }); err != nil {
				return err
			}
		}
	}
	switch {
	case a.copies != nil:
		return c.out.add(false, func(b []byte) []byte { return a.copies.begin(b, columns) })
	case !a.described:
		return nil
	}
	a.described = false
	return c.out.add(false, func(b []byte) []byte {
		b, at := wire.Begin(b, 'T')
		b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
		for i := range columns {
			b = append(wire.String(b, columns[i].Name), columns[i].Native...)
		}
		return wire.End(b, at)
	})
}

// appendRow appends a DataRow.
func appendRow(b []byte, row [][]byte) []byte {
	b, at := wire.Begin(b, 'D')
	b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
	for _, v := range row {
		b = appendValue(b, v)
	}
	return wire.End(b, at)
}

// appendValue appends a value with its length; nil is NULL.
func appendValue(b, v []byte) []byte {
	if v == nil {
		return append(b, 0xff, 0xff, 0xff, 0xff)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

// show passes a frame on that needs no more than to be written.
func (c *client) show(f bastion.Frame) error {
	switch f.Kind() {
	case bastion.RawFrame:
		return c.out.raw(f.Affected() == 0, f.Raw())
	case bastion.TagFrame:
		return c.out.add(false, func(b []byte) []byte {
			b, at := wire.Begin(b, 'C')
			return wire.End(wire.String(b, f.Text()), at)
		})
	case bastion.NoticeFrame:
		if f.Raw() != nil {
			return c.put(wire.Append(nil, 'N', f.Raw()...))
		}
		return c.put(appendNotice(nil, f.Text(), ""))
	case bastion.SignalFrame:
		switch code, arg := f.Signal(); code {
		case signalFlush:
			return c.out.flush()
		case signalReady:
			c.status.Store(uint32(arg))
			return c.out.add(false, func(b []byte) []byte { return wire.Append(b, 'Z', arg) })
		default:
			return c.out.add(false, func(b []byte) []byte { return wire.Append(b, code) })
		}
	case bastion.ParametersFrame:
		return c.put(wire.Append(nil, 't', f.Raw()...))
	case bastion.SettingFrame:
		return c.put(appendSetting(nil, f.Name(), f.Text()))
	case bastion.NotificationFrame:
		b, at := wire.Begin(nil, 'A')
		b = binary.BigEndian.AppendUint32(b, uint32(f.Affected()))
		return c.put(wire.End(wire.String(wire.String(b, f.Name()), f.Text()), at))
	}
	return errors.New("internal error: a frame that no client understands")
}
