package identity

import (
	"context"
	"time"
)

// Wait replaces the pauses between polls.
func (k *Keeper) Wait(f func(context.Context, time.Duration) error) { k.wait = f }
