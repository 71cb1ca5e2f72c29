package lineage

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/sallyport/sallyport/connectors/postgres/catalog"
)

// effect is what running an expression of the catalog may do.
type effect struct {
	effects   bool // something that cannot be looked into
	unsettles bool // a change of the session's settings
}

// check returns what an expression in the catalog may do: a default, a check, a
// policy. Every name in it is qualified but those of columns.
func (a *analysis) check(expression string) effect {
	r := a.reader
	r.mu.Lock()
	e, ok := r.exprs[expression]
	r.mu.Unlock()
	if ok {
		return e
	}
	e = effect{true, true}
	if len(a.routines) > maxRoutines {
		return e
	}
	if list := expressions(expression); list != nil {
		sub := a.inside()
		if sub.guard(func() { sub.list(list, loose()) }) {
			seen := true
			for _, n := range list {
				seen = seen && unseen(n, sub.seen) == ""
			}
			if seen {
				e = effect{sub.effects, sub.unsettles}
			}
		}
		a.steps = sub.steps
	}
	r.mu.Lock()
	r.exprs[expression] = e
	r.mu.Unlock()
	return e
}

// expressions parses a list of expressions, as PostgreSQL writes them. What cannot
// be read gives nil.
func expressions(text string) []*pg.Node {
	if depth(text) > maxDepth {
		return nil
	}
	tree, err := pg.Parse("SELECT " + text)
	if err != nil || len(tree.Stmts) != 1 {
		return nil
	}
	s := tree.Stmts[0].Stmt.GetSelectStmt()
	if s == nil || len(s.FromClause) > 0 || s.WhereClause != nil || s.Op != pg.SetOperation_SETOP_NONE {
		return nil
	}
	list := make([]*pg.Node, len(s.TargetList))
	for i, n := range s.TargetList {
		list[i] = n.GetResTarget().GetVal()
	}
	return list
}

// written notes what writing rows of a relation runs beside the statement: nil is one
// that is not known.
func (a *analysis) written(rel *catalog.Relation) {
	if a.unsettles {
		return
	}
	if rel == nil || catalog.System(rel.Schema) {
		a.unsettles = true
		return
	}
	r := a.reader
	r.mu.Lock()
	quiet, ok := r.quiet[rel]
	r.mu.Unlock()
	if !ok {
		quiet = a.undisturbed(rel)
		r.mu.Lock()
		r.quiet[rel] = quiet
		r.mu.Unlock()
	}
	a.unsettles = !quiet
}

// undisturbed reports whether nothing that writing rows of a relation runs can change
// the session's settings: in it, its parts, the tables under a view, and those to
// which foreign keys pass changes on.
func (a *analysis) undisturbed(rel *catalog.Relation) bool {
	seen := map[*catalog.Relation]bool{rel: true}
	for list := []*catalog.Relation{rel}; len(list) > 0; {
		x := list[0]
		list = list[1:]
		if x.Code {
			return false
		}
		for _, texts := range [2][]string{x.Expressions, x.Policies} {
			for _, text := range texts {
				if a.check(text).unsettles {
					return false
				}
			}
		}
		next := [][]*catalog.Relation{x.Children, x.Cascades}
		if x.Kind == catalog.View {
			w := a.reader.view(x, a)
			if w.unsettles {
				return false
			}
			next = append(next, w.under)
		}
		for _, more := range next {
			for _, y := range more {
				if !seen[y] {
					seen[y] = true
					list = append(list, y)
				}
			}
		}
	}
	return true
}

// calm names functions of pg_catalog that are not pure and yet leave the session's
// settings as they are.
var calm = set(`nextval currval lastval setval current_setting setseed txid_current pg_current_xact_id
	pg_sleep pg_sleep_for pg_sleep_until pg_cancel_backend pg_terminate_backend pg_notify pg_listening_channels
	pg_notification_queue_usage pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
	pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock
	pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
	lo_close lo_creat lo_create lo_from_bytea lo_get lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64
	lo_truncate lo_truncate64 lo_unlink loread lowrite pg_stat_get_activity pg_stat_reset pg_blocking_pids
	pg_safe_snapshot_blocking_pids pg_lock_status pg_is_wal_replay_paused pg_export_snapshot`)
