// Package connectors lists the connectors of this build: one line each.
package connectors

import (
	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/postgres"
)

// All returns every connector.
func All() []bastion.Connector {
	return []bastion.Connector{
		postgres.Connector{},
	}
}
