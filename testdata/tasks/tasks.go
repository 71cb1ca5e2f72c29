// Package tasks lends the example tasks to the demo, as its runbooks.
package tasks

import "embed"

// Files are the *.yaml files here.
//
//go:embed *.yaml
var Files embed.FS
