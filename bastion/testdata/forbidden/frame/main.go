// Forging a frame: what a person sees comes out of a sink, masked.
// want: cannot refer to unexported field row
package main

import "github.com/sallyport/sallyport/bastion"

func main() { _ = bastion.Frame{row: [][]byte{[]byte("4111111111111111")}} }
