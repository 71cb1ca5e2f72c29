// Forging an operation: a verb must not be the caller's claim.
// want: cannot refer to unexported field text
package main

import "github.com/sallyport/sallyport/bastion"

func main() { _ = bastion.Operation{text: "DROP TABLE payments"} }
