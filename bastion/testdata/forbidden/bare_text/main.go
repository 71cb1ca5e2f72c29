// Running a text that no connector has read.
// want: as bastion.Operation value
package main

import (
	"context"

	"github.com/sallyport/sallyport/bastion"
)

func run(s *bastion.Session) error {
	return s.Run(context.Background(), "DELETE FROM payments", bastion.Job{})
}

func main() { _ = run }
