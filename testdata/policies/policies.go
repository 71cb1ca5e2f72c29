// Package policies lends the demo's policy to the demo. The other policies here
// are for tests and for reading.
package policies

import _ "embed"

// Demo is demo.yaml.
//
//go:embed demo.yaml
var Demo []byte
