package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/approval"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/store"
	"github.com/sallyport/sallyport/bastion/task"
	"github.com/sallyport/sallyport/bastion/task/ledger"
	"github.com/sallyport/sallyport/recordings"
)

// newTasks opens the tasks, over the approvals that already are.
func (s *server) newTasks() (err error) {
	const file = "task"
	s.tasks, err = ledger.Open(ledger.Config{
		DB: s.db, Append: recordings.Append, Approvals: s.votes, Policy: s.policy, People: s.keeper.People, Targets: targets(s.config), Connectors: s.connectors,
		Parse: func(data []byte) (task.File, error) {
			f, problems := config.ParseTask(file, data)
			return f, problems.Err()
		},
		Place:    func(data []byte, found []task.Problem) error { return config.TaskProblems(file, data, found).Err() },
		Runbooks: func() ([]task.Runbook, error) { return runbooks(s.config.Runbooks) },
		Now:      time.Now,
	})
	return err
}

// runbooks reads the files of a directory, by their names; none if it has no name.
func runbooks(dir string) ([]task.Runbook, error) {
	if dir == "" {
		return nil, nil
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing runbooks: %w", err)
	}
	var all []task.Runbook
	for _, path := range paths { // in order
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a runbook: %w", err)
		}
		all = append(all, task.Runbook{Name: strings.TrimSuffix(filepath.Base(path), ".yaml"), Source: data})
	}
	return all, nil
}

// follow tells the tasks what became of a request for one.
func (s *server) follow(tx store.Tx, c approval.TaskChange) error { return s.tasks.Follow(tx, c) }

// Apart lists sets of duties of which nobody may have two in one task.
func (p *livePolicy) Apart() [][]bastion.Duty { return p.Load().Apart() }
