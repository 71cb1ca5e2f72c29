package pgserver

import "os/exec"

var (
	FindIn = find
	Sweep  = sweep
)

const TempPrefix = tempPrefix

// Stranger is a program that runs as PostgreSQL does, and knows nothing of us.
func Stranger(program string, args ...string) (*exec.Cmd, error) {
	u, err := unprivileged()
	if err != nil {
		return nil, err
	}
	return u.command("/", program, args...), nil
}

// Remember records pid as the server of dir.
var Remember = rememberProcess
