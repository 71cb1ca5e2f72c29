// Forging a sink: its mask rules come from a decision.
// want: cannot refer to unexported field show
package main

import "github.com/sallyport/sallyport/bastion"

func main() { _ = &bastion.Sink{show: func(bastion.Frame) error { return nil }} }
