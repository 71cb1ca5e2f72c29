package postgres

import (
	"context"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// What follows runs the statements of one text one by one, by messages of the extended
// protocol. The client sees the answers of a simple query.

// begin begins a text whose statements go one by one. A text of several is one
// transaction, unless it says otherwise.
func (s *stream) begin(m beginMessage) error {
	if err := s.Settle(context.Background()); err != nil {
		return err
	}
	s.mu.Lock()
	s.wrapped = m.wrap && s.status == 'I' && s.open == 0
	wrapped := s.wrapped
	s.mu.Unlock()
	s.post(appendClose(s.out, 'S', ""), &expected{kind: 'C', hidden: true, name: s.names.set("", nil), theirs: m.theirs})
	if wrapped {
		s.run("BEGIN", false)
		s.mu.Lock()
		s.block = true
		s.mu.Unlock()
	}
	return nil
}

// run sends a statement of the bastion's own within a text whose statements go one
// by one. told says that the client hears of its failure.
func (s *stream) run(text string, told bool) {
	o := &question{told: told}
	s.post(appendParse(s.out, "", text), &expected{kind: 'P', own: o})
	s.post(appendBind(s.out, "", ""), &expected{kind: 'B', own: o})
	s.post(appendExecute(s.out, ""), &expected{kind: 'E', own: o})
}

// step sends one of a text's statements.
func (s *stream) step(m stepMessage, lanes []*lane) error {
	l, err := take(lanes, false)
	if err != nil || l == nil || l.used {
		return bastion.ErrPermit
	}
	if err := s.same(l); err != nil {
		return err
	}
	l.used, l.step, l.shift, l.of = true, true, m.shift, &statement{text: l.text, lane: l}
	s.going(l)
	s.copiesIn(l)
	s.post(appendParse(s.out, "", l.text), &expected{kind: 'P', lane: l, hidden: true})
	s.post(appendBind(s.out, "", ""), &expected{kind: 'B', lane: l, hidden: true, portal: s.portals.set("", nil), theirs: m.theirs})
	s.post(appendDescribe(s.out, 'P', ""), &expected{kind: 'D', lane: l})
	s.post(appendExecute(s.out, ""), &expected{kind: 'E', lane: l})
	return nil
}

// finish ends a text whose statements went one by one.
func (s *stream) finish(m endMessage) error {
	s.mu.Lock()
	wrapped := s.wrapped
	s.wrapped = false
	s.mu.Unlock()
	if m.refused != nil {
		s.post(appendParse(s.out, "", refusedText), &expected{kind: 'P', refused: m.refused})
	}
	if !wrapped {
		s.post(wire.Append(s.out, 'S'), &expected{kind: 'S'})
		return s.flush()
	}
	for _, text := range []string{"COMMIT", "ROLLBACK"} {
		s.mu.Lock()
		over := s.status == 'I' && text == "ROLLBACK"
		s.mu.Unlock()
		if over {
			break
		}
		s.run(text, true)
		s.post(wire.Append(s.out, 'S'), &expected{kind: 'S', own: &question{}})
		if err := s.Settle(context.Background()); err != nil {
			return err
		}
	}
	return s.atOnce(signalReady, s.state())
}
