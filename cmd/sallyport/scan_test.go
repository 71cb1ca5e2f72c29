package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/config"
	"github.com/sallyport/sallyport/bastion/mask"
)

// The names of columns as people write them, in several languages, and what they
// must not be taken for.
func TestScanNames(t *testing.T) {
	all := sorts()
	for base, names := range map[string]string{
		"text": `secret: password passwd user_password PasswordHash password_hash pwd api_key apiKey API_KEY client_secret access_token refreshToken totp_secret mfa_secret
				passwort kennwort mot_de_passe contraseña senha hasło wachtwoord salt pin cvv cvv2 credentials stripe_secret_key user2password
			card-data: card_number cardNumber cardnumber card_no credit_card creditcard cc_number pan kreditkartennummer Kartennummer numero_de_carte tarjeta numero_tarjeta
			bank-account: iban IBAN customer_iban bank_account account_number bankkonto kontonummer numero_compte rekeningnummer
			civil-identity: ssn SSN social_security_number national_id nationalId tax_id steuer_id Steuernummer passport_number passport_no dni cpf pesel bsn personnummer codice_fiscale
				reisepassnummer personalausweis nino drivers_license customer_ssn
			contact-email: email e_mail eMail email_address emailAddress billing_email useremail user_email mail courriel correo_electronico work_mail email2 email_1 mailadresse email_encrypted emails
			contact-phone: phone phone_number phonenumber mobile mobile_phone tel telefon telefonnummer handynummer telefono fax cell_phone phone_1 homephone customer_phone_numbers rufnummer
			birth: dob date_of_birth birthdate birthday geburtsdatum geburtsort date_naissance fecha_nacimiento dateOfBirth
			pay: salary gehalt salaire income
			special-category: diagnosis religion blood_type ethnicity disability krankheit konfession
			card-holder: card_holder cardholder cardholder_name name_on_card karteninhaber
			person-name: first_name firstname firstName last_name surname family_name vorname nachname prénom apellidos cognome voornaam imię nazwisko full_name maiden_name kontoinhaber
			postal-address: street address address_line_1 shipping_address billingaddress postcode zip zip_code plz strasse Straße hausnummer adresse dirección postal_code
			network-address: ip ip_address client_ip remote_addr mac_address user_agent device_id
			free-text: notes note comment bemerkung remarks message
			: name id city country status type sku description title currency card_type card_brand email_template email_subject phone_type token_type address_type hotel hostel
				companyname pinned painting panel spanish company email_provider email_verified is_email has_password mailbox_count order_number telling birthday_greeting_sent
				language level scope payload reason url path`,
		"int4": `pay: salary base_salary bonus
			birth: birth_year
			: id card_id address_id token_id phone_id email_id password_id passport_check_count num_phones count_email email street_id secret_id`,
		"int8": `civil-identity: ssn tax_id national_id
			contact-phone: phone mobile
			card-data: card_number
			: address_id account_id user_id`,
		"numeric":     `pay: salary wage`,
		"date":        `birth: dob date_of_birth birthday geburtsdatum`,
		"timestamptz": `: email_sent_at password_changed_at phone_verified_at token_expires created_at salary_changed`,
		"bool":        `: email password phone is_disabled disability`,
		"bytea":       `secret: password_hash private_key salt`,
		"inet":        `network-address: ip client_ip`,
		"uuid":        "secret: token session_key reset_token\n: id address_id token_id customer_id",
	} {
		want := ""
		for _, name := range strings.Fields(names) {
			if label, ok := strings.CutSuffix(name, ":"); ok {
				want = label
				continue
			}
			if s, ok := byName(all, name, classOf(base)); ok != (want != "") || s.name != want {
				t.Errorf("%s %s: %q, want %q", name, base, s.name, want)
			}
		}
	}
}

// A scan of the demo finds what the demo's policy hides, shows no value, and what
// it prints is a policy's part as it stands.
func TestScanDemo(t *testing.T) {
	c := opens(t)
	scan := func(args ...string) (out, errs string, code int) {
		t.Helper()
		var o, e bytes.Buffer
		code = run(t.Context(), append([]string{"scan", "--config", c.Config}, args...), nil, &o, &e)
		for _, l := range []string{c.Database.App().Password, c.Database.Superuser().Password} {
			if strings.Contains(o.String()+e.String(), l) {
				t.Error("a password shows")
			}
		}
		return o.String(), e.String(), code
	}
	out, errs, code := scan("shop-production", "--all", "--sample", "500")
	if code != 0 || errs != "" {
		t.Fatalf("code %d: %s", code, errs)
	}
	for _, value := range []string{"example.com", "example.net", "@", "Hoffmann", "5550107", "DE8", "4111"} {
		if strings.Contains(out, value) {
			t.Errorf("a value shows: %s", value)
		}
	}

	// Everything that is commented out is taken in, too.
	uncommented := regexp.MustCompile(`(?m)^#(  +)`).ReplaceAllString(out, "$1")
	_, rules, ok := strings.Cut(readFile(t, "../../testdata/policies/demo.yaml"), "\nbundles:")
	if !ok {
		t.Fatal("the demo's policy has no bundles")
	}
	head, _, _ := strings.Cut(readFile(t, "../../testdata/policies/demo.yaml"), "\n# What is sensitive")
	pasted := head + "\n" + uncommented + "\nbundles:" + rules
	f := config.ParsePolicy("pasted.yaml", []byte(pasted))
	if err := f.Problems.Err(); err != nil {
		t.Fatalf("%v\n%s", err, pasted)
	}
	labels := func(text string, certain bool) mask.Rules {
		t.Helper()
		var ls []mask.Label
		for _, l := range config.ParsePolicy("x.yaml", []byte(text)).Columns {
			kind, err := mask.ParseKind(l.Mask.Text)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range l.Columns {
				if !certain || !strings.HasSuffix(l.Name.Text, "-perhaps") {
					ls = append(ls, mask.Label{Pattern: c.Text, Kind: kind})
				}
			}
		}
		r, err := mask.NewRules(nil, ls...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	certain, perhaps := labels(pasted, true), labels(pasted, false)
	for column, want := range map[string]mask.Kind{
		"public.customers.email": mask.Email, "public.customers.phone": mask.Last4, "public.customers.national_id": mask.Redact,
		"public.customers.notes": mask.Redact, "public.customers.date_of_birth": mask.Null, "public.payments.card_number": mask.Last4,
		"public.payments.iban": mask.Last4, "public.employees.iban": mask.Last4, "public.payments.card_holder": mask.Pseudonym,
		"public.employees.salary": mask.Redact, "public.employees.email": mask.Email,
		// which nobody sees by the name
		"public.audit_log.actor": mask.Email, "public.audit_log.detail": mask.Redact,
	} {
		if got := certain.Source(column); got != want {
			t.Errorf("%s: %s, want %s", column, got, want)
		}
	}
	for _, column := range []string{"public.customers.name", "public.employees.name", "public.payments.card_expiry"} {
		if certain.Source(column) != mask.Clear || perhaps.Source(column) == mask.Clear {
			t.Errorf("%s: %s for sure, else %s", column, certain.Source(column), perhaps.Source(column))
		}
	}
	for _, column := range []string{"public.customers.id", "public.customers.city", "public.customers.country", "public.orders.total", "public.orders.status",
		"public.products.name", "public.products.price", "public.payments.amount", "public.payments.status", "public.audit_log.action", "public.order_items.quantity"} {
		if perhaps.Source(column) != mask.Clear {
			t.Errorf("%s: a false alarm", column)
		}
	}

	// sallyport check takes it.
	dir := t.TempDir()
	configuration := strings.Replace(readFile(t, c.Config), "policy: ", "policy: "+filepath.Join(dir, "policy.yaml")+" # ", 1)
	writeFile(t, filepath.Join(dir, "policy.yaml"), pasted)
	writeFile(t, filepath.Join(dir, "config.yaml"), configuration)
	var checked, problems bytes.Buffer
	if code := run(t.Context(), []string{"check", "--config", filepath.Join(dir, "config.yaml")}, nil, &checked, &problems); code != 0 {
		t.Errorf("check: %s%s\n%s", &checked, &problems, pasted)
	}
	if strings.Contains(checked.String(), "pasted") || strings.Contains(checked.String(), "column") {
		t.Errorf("check: %s", &checked)
	}

	// Without --all, what has a label is told, not proposed.
	out, _, code = scan("shop-production", "--sample", "500")
	proposed, told, ok := strings.Cut(out, "# Labelled already:")
	if code != 0 || !ok || strings.Contains(proposed, "customers.email") || !strings.Contains(told, "public.customers.email by contact-email") || !strings.Contains(proposed, "public.employees.email") {
		t.Errorf("code %d: %s", code, out)
	}
	if !strings.Contains(proposed, "name: contact-email-shop-production") {
		t.Errorf("a name that the policy has: %s", proposed)
	}
	// By names alone.
	out, _, code = scan("shop-staging", "--all", "--sample=0")
	if code != 0 || strings.Contains(out, "sampled") || !strings.Contains(out, "names and types alone") || !strings.Contains(out, "public.customers.email") || strings.Contains(out, "audit_log.actor") {
		t.Errorf("code %d: %s", code, out)
	}

	for line, want := range map[string]struct {
		code int
		said string
	}{
		"":                                {2, "wants the name of one target"},
		"one two":                         {2, "wants the name of one target"},
		"shop-production --sample -1":     {2, "--sample"},
		"shop-production --sampel 1":      {2, "sampel"},
		"shop-prodution":                  {1, "shop-production"},
		"shop-production --schema nosuch": {1, "sees no tables"},
		"--help":                          {0, ""},
	} {
		out, errs, code := scan(strings.Fields(line)...)
		if code != want.code || !strings.Contains(errs, want.said) || out != "" {
			t.Errorf("scan %s: code %d, %q, %q", line, code, errs, out)
		}
	}
	var o, e bytes.Buffer
	if code := run(t.Context(), []string{"scan", "shop", "--config", filepath.Join(dir, "nosuch.yaml")}, nil, &o, &e); code != 1 {
		t.Errorf("no configuration: code %d, %s", code, &e)
	}
}

// Names that are made to mean something else in YAML, in a pattern or on a terminal.
func TestScanOddNames(t *testing.T) {
	c := opens(t)
	for _, sql := range []string{
		`CREATE TABLE odd ("E-Mail: [a], {b} # c" text, "phone ""x""" text, "null" text, "e.mail" text, "pass*password" text, "email
  - name: injected" text, "` + "\u202e" + `iban" text, ip_address inet, cost money)`,
		`INSERT INTO odd ("null") SELECT 'x' || i || '@x.test' FROM generate_series(1, 20) i`,
		`CREATE FUNCTION "co
pies"() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$; CREATE TRIGGER copy BEFORE UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION "co
pies"()`,
		`CREATE SCHEMA "dot.ted"; CREATE TABLE "dot.ted".t (email text)`,
		`GRANT USAGE ON SCHEMA "dot.ted" TO ` + c.Database.App().User + `; GRANT SELECT ON ALL TABLES IN SCHEMA public, "dot.ted" TO ` + c.Database.App().User,
	} {
		if _, err := c.Database.Query(t.Context(), databaseOf(t, c, "shop-staging"), sql); err != nil {
			t.Fatal(err)
		}
	}
	var o, e bytes.Buffer
	if code := run(t.Context(), []string{"scan", "--config", c.Config, "--all", "shop-staging"}, nil, &o, &e); code != 0 {
		t.Fatalf("code %d: %s", code, &e)
	}
	out := o.String()
	if bastion.Visible(out) != out {
		t.Errorf("not fit for a terminal: %q", out)
	}
	f := config.ParsePolicy("x.yaml", []byte("version: 1\nroles: {}\nbundles: []\n"+regexp.MustCompile(`(?m)^#(  +)`).ReplaceAllString(strings.SplitN(out, "# Found, but", 2)[0], "$1")))
	var patterns []string
	for _, l := range f.Columns {
		if l.Name.Text == "injected" {
			t.Error("a column's name became a label")
		}
		for _, c := range l.Columns {
			patterns = append(patterns, c.Text)
		}
	}
	all := "\n" + strings.Join(patterns, "\n") + "\n"
	for _, want := range []string{`public.odd.E-Mail: [a], {b} # c`, `public.odd.phone "x"`, `public.odd.null`, `public.odd.e*mail`, `public.odd.pass*password`,
		`public.odd.email*  - name: injected`, `public.odd.*iban`, `public.odd.ip_address`, `public.odd.cost`} {
		if !strings.Contains(all, "\n"+want+"\n") {
			t.Errorf("no %q in %q\n%s", want, patterns, out)
		}
	}
	if !strings.Contains(out, "#   public.odd: trigger copy, which runs public.\"co") || strings.Count(out, "trigger copy") != 1 {
		t.Errorf("a trigger on a table with labels is not told once:\n%s", out)
	}
	if !strings.Contains(out, "#   dot.ted.t.email: by its name an e-mail address") {
		t.Errorf("what cannot be written is not told:\n%s", out)
	}
}

func databaseOf(t *testing.T, c *testCompany, name string) string {
	t.Helper()
	target, ok := c.server.config.BastionTargets().Named(name)
	if !ok {
		t.Fatal("no target", name)
	}
	return target.Options["database"]
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
