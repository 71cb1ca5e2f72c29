//go:build !unix

package vault

import (
	"io/fs"
	"os/exec"
)

func ownedByRoot(fs.FileInfo) bool { return false }

func contain(*exec.Cmd) {}
