// Forging a permit: only a session that decided makes one.
// want: cannot refer to unexported field op
package main

import "github.com/sallyport/sallyport/bastion"

func main() { _ = &bastion.Permit{op: bastion.Operation{}} }
