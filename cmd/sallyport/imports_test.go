package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport/"

// owners says which package alone may import a library, so that the library can
// leave again.
var owners = map[string]string{
	"github.com/gliderlabs/ssh":         "bastion/sshd",
	"go.etcd.io/bbolt":                  "bastion/store",
	"github.com/jackc/pgx/":             "connectors/postgres",
	"github.com/pganalyze/pg_query_go/": "connectors/postgres",
	"github.com/charmbracelet/":         "tui",
	"github.com/hinshun/vt10x":          "tui",
	"github.com/goccy/go-yaml":          "bastion/config",
	"github.com/coreos/go-oidc/":        "bastion/identity",
	"golang.org/x/oauth2":               "bastion/identity",
}

// reasons says what a package may import of this module, and why.
var reasons = []struct {
	from   string   // the package and those below it
	may    []string // of this module; what is below counts too
	reason string
}{
	{"bastion/mask", nil, "the mask is pure, so that it can be reviewed and fuzzed alone"},
	{"bastion/store", []string{"bastion/store"}, "the store knows bytes, not the domain"},
	{"bastion/policy", []string{"bastion$", "bastion/mask", "bastion/policy"}, "policy is pure: a decision must not depend on the world"},
	{"bastion/approval", []string{"bastion$", "bastion/store", "bastion/approval"}, "approval decides by what it is told"},
	{"bastion/vault", []string{"bastion$", "bastion/vault"}, "credentials are seen by nobody else"},
	{"bastion/task", []string{"bastion$", "bastion/approval", "bastion/store", "bastion/task"}, "a task is run through sessions and nothing else"},
	{"tui", []string{"bastion$", "bastion/mask", "bastion/task$", "tui"}, "screens see sessions and frames, never targets or recordings"},
	{"connectors", []string{"bastion$", "bastion/mask", "connectors"}, "a connector sees no user and no recorder"},
	{"recordings", []string{"bastion$", "bastion/mask", "bastion/store", "recordings"}, "recordings see what was shown"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "bastion/demo/") || strings.HasPrefix(name, "cmd/") {
			continue // real servers for the demo and the tests; and wiring, which may import all
		}
		if name == "bastion/store/storetest" {
			continue // what tests of those who use the store share, and nothing else imports
		}
		for _, i := range p.Imports {
			for lib, owner := range owners {
				if strings.HasPrefix(i, lib) && !within(name, owner) {
					t.Errorf("%s imports %s, which belongs to %s alone", name, i, owner)
				}
			}
			local, ok := strings.CutPrefix(i, module)
			if !ok {
				continue
			}
			if name == "bastion" && local != "bastion/mask" {
				t.Errorf("bastion imports %s: the vocabulary depends on nothing but the mask", local)
			}
			for _, r := range reasons {
				if within(name, r.from) && !slices.ContainsFunc(r.may, func(m string) bool {
					exact, only := strings.CutSuffix(m, "$")
					return local == exact || !only && within(local, m)
				}) {
					t.Errorf("%s imports %s: %s", name, local, r.reason)
				}
			}
		}
	}
	if packages < 5 {
		t.Fatalf("only %d packages were looked at", packages)
	}
}

func within(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
