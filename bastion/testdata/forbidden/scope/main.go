// Widening one's own scope to everybody's recordings.
// want: cannot refer to unexported field all
package main

import "github.com/sallyport/sallyport/bastion"

func main() { _ = bastion.Scope{all: true} }
