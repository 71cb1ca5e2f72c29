//go:build unix && !linux

package pgserver

import (
	"context"
	"syscall"
)

// Only Linux tells a child that its parent died; elsewhere a killed program leaves
// the server running, and the next start in its directory reports it.
func signalWithParent(*syscall.SysProcAttr) {}

func rememberProcess(string, int) error { return nil }

// stopLeftover leaves the judgement to PostgreSQL, which refuses to start when the
// process in postmaster.pid lives.
func stopLeftover(context.Context, string) error { return nil }
