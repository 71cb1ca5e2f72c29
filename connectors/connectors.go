// Package connectors lists the connectors of this build: one line each.
package connectors

import (
	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/policy"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// All makes one connector of each kind, for all sessions of a bastion.
func All() []bastion.Connector {
	return []bastion.Connector{
		postgres.New(),
		policy.New(nil), // each session has one of its own
	}
}
