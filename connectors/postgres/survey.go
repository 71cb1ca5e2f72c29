package postgres

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres/catalog"
	"github.com/sallyport/sallyport/connectors/postgres/lineage"
	"github.com/sallyport/sallyport/connectors/postgres/wire"
)

// surveyQuery makes what follows independent of the client's settings. Its temporary
// schema comes last, so that nothing in it stands for what is in pg_catalog. Nobody is
// waited for who holds a lock on what a view reads.
const surveyQuery = `SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('lock_timeout', '100ms', true),
	pg_catalog.set_config('statement_timeout', '10s', true), pg_catalog.current_setting('transaction_isolation')`

// survey reads the catalog as the session's transaction sees it, which has changed the
// schema: on the session's own connection, and from a savepoint on that is taken back, so
// that no setting and no lock stays. Where it cannot, nothing is proven until the
// transaction ends.
func (s *stream) survey(ctx context.Context, system bool) error {
	if err := s.Settle(ctx); err != nil {
		if errors.Is(err, errSkipped) || errors.Is(err, errCopying) {
			return nil
		}
		return err
	}
	s.mu.Lock()
	sure := s.block && s.status != 'E'
	s.mu.Unlock()
	if !sure {
		return nil // a savepoint would fail, and with it what the client has done
	}
	base, err := s.source.current(ctx, true, system)
	if err != nil {
		return err
	}
	var isolation, before, after []byte
	last := func(to *[]byte) func([][]byte) error {
		return func(row [][]byte) error {
			if len(row) == 0 {
				return errCatalog
			}
			*to = bytes.Clone(row[len(row)-1])
			return nil
		}
	}
	l := newLoader()
	system = system || base.system
	steps := []step{{`SAVEPOINT "sallyport: catalog"`, nil}, {surveyQuery, last(&isolation)}, {fingerprintQuery, last(&before)}}
	steps = append(steps, l.steps(s.params["server_version"], system)...)
	steps = append(steps, step{fingerprintQuery, last(&after)})
	began := time.Now()
	err = s.asks(ctx, steps)
	if broken := s.asks(ctx, []step{{`ROLLBACK TO "sallyport: catalog"`, nil}, {`RELEASE "sallyport: catalog"`, nil}}); broken != nil {
		return broken
	}
	// Where the transaction sees others' changes late or not at all, the server looks up
	// names in a newer catalog than it shows.
	if err != nil || string(isolation) != "read committed" || before == nil || !bytes.Equal(before, after) {
		return nil
	}
	s.reading.mu.Lock()
	defer s.reading.mu.Unlock()
	earlier := base.snapshot
	if s.earlier != nil {
		earlier = s.earlier
	}
	k := &state{system: system, fingerprint: string(after), checked: began, snapshot: catalog.New(l.content, earlier)}
	k.reader = lineage.NewReader(k.snapshot)
	s.own, s.base, s.earlier = k, base.fingerprint, k.snapshot
	return nil
}

// asks puts questions of the bastion's own to the target, and waits for the answers.
func (s *stream) asks(ctx context.Context, steps []step) error {
	const name = "sallyport: catalog"
	var b []byte
	var list []*question
	var failed error
	n := 0
	s.mu.Lock()
	for _, x := range steps {
		o := &question{each: func(row [][]byte) {
			if n++; n > maxCatalog || x.each == nil {
				failed = errCatalog
			}
			if failed == nil {
				failed = x.each(row)
			}
		}}
		list = append(list, o)
		b = appendOwn(b, name, x.sql)
		for _, kind := range []byte(ownTypes) {
			s.queue = append(s.queue, &expected{kind: kind, own: o})
		}
	}
	s.queue = append(s.queue, &expected{kind: 'S', own: &question{}})
	s.open = 0
	s.mu.Unlock()
	s.out = append(s.out, wire.Append(b, 'S')...)
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.wait(ctx, func() bool { return len(s.queue) == 0 }); err != nil {
		return err
	}
	for _, o := range list {
		if o.err != nil {
			return &bastion.TargetError{Code: o.err.Code, Summary: "the catalog could not be read within the transaction: " + o.err.Summary}
		}
	}
	return failed
}
