package postgres_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/connectors/connectortest"
)

// corpus reads a file of statements, one on each line; # begins a comment.
func corpus(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	s := bufio.NewScanner(strings.NewReader(string(b)))
	for s.Scan() {
		if line := s.Text(); line != "" && !strings.HasPrefix(line, "#") {
			texts = append(texts, line)
		}
	}
	return texts
}

// told writes all that an intent tells.
func told(i bastion.Intent, err error) string {
	var b strings.Builder
	if err != nil {
		pe, ok := errors.AsType[*bastion.ParseError](err)
		if !ok {
			return fmt.Sprintf("    error of another type: %v\n", err)
		}
		fmt.Fprintf(&b, "    refused: %s", pe)
		if pe.Position > 0 {
			fmt.Fprintf(&b, " (at %d)", pe.Position)
		}
		b.WriteByte('\n')
		return b.String()
	}
	fmt.Fprintf(&b, "    %s\n", i.Summary)
	for _, a := range i.Actions {
		fmt.Fprintf(&b, "    do %s %s\n", a.Verb, a.Resource)
	}
	if i.Outputs == nil {
		fmt.Fprintln(&b, "    out not known")
	}
	for _, o := range i.Outputs {
		fmt.Fprintf(&b, "    out %s <- %s", o.Name, strings.Join(o.Sources, " "))
		if o.Derived {
			b.WriteString(" (computed)")
		}
		if o.Mixed {
			b.WriteString(" (mixed)")
		}
		if !o.Proven {
			b.WriteString(" UNPROVEN")
		}
		b.WriteByte('\n')
	}
	for _, p := range i.Probes {
		fmt.Fprintf(&b, "    probe %s", p.Column)
		if p.Equality {
			b.WriteString(" by equality")
		}
		if p.With != "" {
			fmt.Fprintf(&b, " with %s, order %d", strings.ReplaceAll(p.With, "\x00", " or "), p.Order)
		}
		b.WriteByte('\n')
	}
	if i.Fails != nil {
		fmt.Fprintf(&b, "    fails: %s\n", i.Fails)
	}
	if i.Record != "" {
		fmt.Fprintf(&b, "    recorded as %s\n", i.Record)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

// TestStatements compares the reading of every statement of the corpus, with the
// shop's catalog, with the golden file.
func TestStatements(t *testing.T) {
	s := connectortest.Start(t, shop(t, "statements"))
	var b strings.Builder
	for _, text := range corpus(t, "testdata/statements.sql") {
		op, err := s.Parse(t.Context(), text)
		fmt.Fprintf(&b, "%s\n%s\n", text, told(op.Intent(), err))
	}
	golden(t, "testdata/statements.golden", b.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("differs from %s (-want +got); if this is right, run the test with -update:\n%s", path, d)
	}
}
