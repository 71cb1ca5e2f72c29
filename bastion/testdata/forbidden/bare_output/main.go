// Sending an answer somewhere that does not mask.
// want: as *bastion.Sink value
package main

import (
	"context"
	"os"

	"github.com/sallyport/sallyport/bastion"
)

func run(c bastion.Conn, p *bastion.Permit) error {
	return c.Do(context.Background(), p, nil, os.Stdout)
}

func main() { _ = run }
