// Executing an operation without a permit.
// want: as *bastion.Permit value
package main

import (
	"context"

	"github.com/sallyport/sallyport/bastion"
)

func run(c bastion.Conn, op bastion.Operation, out *bastion.Sink) error {
	return c.Do(context.Background(), op, nil, out)
}

func main() { _ = run }
