package connectors_test

import (
	"os"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/connectors"
)

// TestAll: every folder is a connector of that kind, and is listed.
func TestAll(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "connectortest" {
			folders = append(folders, e.Name())
		}
	}
	var kinds []string
	for _, c := range connectors.All() {
		kinds = append(kinds, c.Kind())
	}
	slices.Sort(kinds)
	if !slices.Equal(folders, kinds) {
		t.Errorf("folders %q, connectors %q", folders, kinds)
	}
}
