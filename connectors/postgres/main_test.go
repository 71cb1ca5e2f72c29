package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/demo/pgserver"
	"github.com/sallyport/sallyport/bastion/mask"
	"github.com/sallyport/sallyport/connectors/connectortest"
	"github.com/sallyport/sallyport/connectors/postgres"
)

var update = flag.Bool("update", false, "write golden files anew")

var server *pgserver.Server

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	if about := os.Getenv(trialProcess); about != "" {
		return killedTrial(about)
	}
	var err error
	server, err = pgserver.Start(context.Background(), pgserver.Options{Settings: map[string]string{"log_statement": "all", "log_line_prefix": "%a ~ "}, Log: logged})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Close()
	return m.Run()
}

// labels hide what the demo's policy hides, and a little more.
var labels = []mask.Label{
	{Pattern: "public.customers.email", Kind: mask.Email, Lookup: true},
	{Pattern: "public.customers.phone", Kind: mask.Last4},
	{Pattern: "public.customers.national_id", Kind: mask.Redact},
	{Pattern: "public.customers.date_of_birth", Kind: mask.Null},
	{Pattern: "public.payments.card_*", Kind: mask.Last4},
	{Pattern: "public.payments.iban", Kind: mask.Last4},
	{Pattern: "public.employees.salary", Kind: mask.Null},
	{Pattern: "public.employees.iban", Kind: mask.Pseudonym},
	{Pattern: "public.employees.email", Kind: mask.Email},
	{Pattern: "public.audit_log.detail", Kind: mask.Redact},
}

func target(database string) bastion.Target {
	return bastion.Target{Name: "shop", Kind: "postgres", Address: server.Addr(),
		Options: map[string]string{"database": database, "ca": server.CACert()}}
}

// shop fills a database of the test's own and returns a setup for it.
func shop(t testing.TB, database string, labels ...mask.Label) connectortest.Setup {
	t.Helper()
	if err := server.Fill(context.Background(), database); err != nil {
		t.Fatal(err)
	}
	return connectortest.Setup{Connector: postgres.Connector{}, Target: target(database),
		Secret: bastion.NewSecret(server.App().User, server.App().Password), Labels: labels}
}
