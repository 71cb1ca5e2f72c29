package main

import (
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport/sallyport/bastion/mask"
)

// sort is one sort of sensitive data: how its columns are called, and how they
// should be hidden.
type sort struct {
	name     string // of the label
	what     string // said of a column's name
	kind     mask.Kind
	detector mask.Detector // that finds such values; mask.All if none does
	types    string        // classes of types that may hold it, by their letters in classOf
	unsure   bool          // a name alone is too little
	// words are how columns are called: words with a space between them, in the
	// order in which they stand in the name; without accents.
	words string
}

// sorts is the list of all, the more telling names first. Languages: English,
// German, French, Spanish, Italian, Portuguese, Dutch, Nordic ones, Polish.
func sorts() []sort {
	return []sort{
		{name: "secret", what: "a secret", kind: mask.Redact, types: "tbju", words: `password, passwd, pwd, pass hash, passphrase, passcode, secret, api key,
			access key, private key, signing key, encryption key, session key, ssh key, token, bearer, credential, otp, totp, mfa, pin, pin code, salt, cvv, cvc, cvv 2, csc,
			security code, security answer, security question, recovery code, backup code, connection string, dsn,
			passwort, kennwort, geheimnis, geheim, pruefziffer karte, mot passe, mdp, jeton, cle api, cle privee, contrasena, clave, senha, chave api,
			parola, wachtwoord, losenord, adgangskode, passord, salasana, haslo`},
		{name: "card-data", what: "a payment card", kind: mask.Last4, detector: mask.Card, types: "tn", words: `card number, card no, card num, card nr, credit card, debit card,
			payment card, cc number, cc no, cc num, ccn, pan, card pan, kreditkarte, kreditkartennummer, kartennummer, karten nr, numero carte, carte bancaire,
			carte credit, numero tarjeta, tarjeta credito, tarjeta, numero carta, carta credito, numero cartao, cartao credito, kaartnummer, creditcard,
			kortnummer, kredittkort, numer karty`},
		{name: "card-expiry", what: "a payment card's expiry", kind: mask.Redact, types: "tdn", unsure: true, words: `card expiry, card expires, card exp, card expiration, cc exp, cc expiry,
			exp month, exp year, card valid until, karte gueltig bis, gueltig bis`},
		{name: "bank-account", what: "a bank account", kind: mask.Last4, detector: mask.IBAN, types: "tn", words: `iban, bban, bank account, account number, account no, routing number,
			sort code, kontonummer, konto nr, bankkonto, bankverbindung, numero compte, compte bancaire, rib, numero cuenta, cuenta bancaria, clabe, conto corrente,
			conta bancaria, rekeningnummer, bankrekening, bankkonto, tilinumero, numer konta, rachunek`},
		{name: "civil-identity", what: "a number that a state gives to a person", kind: mask.Redact, detector: mask.NationalID, types: "tn", words: `ssn, social security, social security number,
			national id, national identity, national number, national insurance, nino, nin, tax id, tax number, tin, itin, vat number person, passport, passport number, passport no, identity card,
			id card, id number, driver license, drivers license, driving licence, driving license, licence number, aadhaar, citizen id, personal id, personal code,
			steuer id, steuer idnr, steuernummer, sozialversicherungsnummer, sozialversicherung, svnr, sv nummer, ahv, ahv nummer, reisepass, reisepassnummer, personalausweis, ausweisnummer,
			fuehrerschein, numero securite sociale, securite sociale, nir, insee, passeport, carte identite, permis conduire, dni, nif, nie, curp, numero identidad, pasaporte,
			codice fiscale, passaporto, carta identita, cpf, cnh, identidade, passaporte, bsn, burgerservicenummer, paspoort, rijbewijs, personnummer, fodselsnummer,
			cpr, henkilotunnus, hetu, pesel, nr dowodu, dowod osobisty, paszport, isikukood, cnp, egn, oib, rodne cislo`},
		{name: "contact-email", what: "an e-mail address", kind: mask.Email, detector: mask.Address, types: "tj", words: `email, e mail, mail, email address, mail address, mailbox,
			mailadresse, emailadresse, courriel, adresse mail, correo, correo electronico, posta elettronica, indirizzo email, endereco email, e post, epost, sahkoposti, adres email`},
		{name: "contact-phone", what: "a phone number", kind: mask.Last4, types: "tnj", words: `phone, phone number, telephone, tel, tel no, mobile, mobile number, mobile phone, cell, cell phone,
			cellphone, fax, fax number, msisdn, whatsapp, sms number, telefon, telefonnummer, telefonnr, rufnummer, handy, handynummer, mobil, mobilnummer, mobiltelefon,
			telefono, movil, celular, cellulare, telemovel, telefone, telefoon, telefoonnummer, mobiel, puhelin, puhelinnumero, komorka, numer telefonu`},
		{name: "birth", what: "a date of birth", kind: mask.Null, types: "dtn", words: `date birth, birth date, birthdate, birthday, birth, dob, born, born on, birth year, year birth, place birth, birth place, birthplace,
			geburtsdatum, geburtstag, geburtsort, geburtsjahr, geburtsname, geb datum, geb dat, date naissance, naissance, lieu naissance, fecha nacimiento, nacimiento,
			data nascita, nascita, luogo nascita, data nascimento, nascimento, geboortedatum, geboorteplaats, fodselsdato, fodelsedatum, fodelsedag, syntymaaika, data urodzenia, urodzenia`},
		{name: "pay", what: "somebody's pay", kind: mask.Redact, types: "ntj", words: `salary, base salary, wage, payroll, income, compensation, bonus, remuneration, hourly rate, pension,
			gehalt, jahresgehalt, monatsgehalt, grundgehalt, lohn, stundenlohn, einkommen, verguetung, salaire, revenu, remuneration, salario, sueldo, nomina, stipendio,
			reddito, ordenado, salaris, loon, inkomen, lonn, lon, inkomst, palkka, pensja, wynagrodzenie, pobory`},
		{name: "special-category", what: "health, belief or another special category of personal data", kind: mask.Redact, types: "tjnbe?", words: `diagnosis, diagnoses, disease, illness, medical, medication,
			prescription, blood type, blood group, allergy, allergies, disability, handicap, health, pregnancy, religion, faith, confession, ethnicity, ethnic, race,
			sexual orientation, sexuality, gender identity, union member, trade union, political, political party, biometric, dna, fingerprint, criminal record, diagnose, krankheit,
			befund, medikament, blutgruppe, allergie, behinderung, schwerbehinderung, konfession, religionszugehoerigkeit, maladie, groupe sanguin, handicap, enfermedad, discapacidad,
			malattia, gruppo sanguigno, doenca, ziekte, geloof, sjukdom, choroba, wyznanie`},
		{name: "card-holder", what: "a payment card's holder", kind: mask.Pseudonym, types: "t", words: `card holder, cardholder, name on card, cc name, card name, karteninhaber, titulaire carte, titular tarjeta, titolare carta, titular cartao, kaarthouder`},
		{name: "person-name", what: "a person's name", kind: mask.Pseudonym, types: "tj", words: `first name, firstname, last name, lastname, surname, given name, family name, full name, fullname, middle name,
			maiden name, forename, legal name, account holder, beneficiary, next kin, emergency contact, vorname, nachname, familienname, rufname, kontoinhaber, ansprechpartner,
			prenom, nom famille, nom complet, titulaire, apellido, apellidos, nombre completo, nombres, cognome, nome completo, sobrenome, apelido, voornaam, achternaam,
			fornavn, etternavn, efternavn, fornamn, efternamn, etunimi, sukunimi, imie, nazwisko, imie nazwisko`},
		{name: "postal-address", what: "a postal address or a place", kind: mask.Redact, types: "tnj?", words: `street, street address, address, address line, addr, home address, billing address, shipping address,
			delivery address, postal address, postcode, post code, postal code, zip, zip code, zipcode, house number, house no, latitude, longitude, lat, lng, lon, geo location, gps, coordinates,
			strasse, str nr, anschrift, adresse, hausnummer, plz, postleitzahl, rue, code postal, calle, direccion, domicilio, codigo postal, indirizzo, via, cap residenza,
			endereco, morada, cep, straat, adres, huisnummer, gade, gate, gata, adress, postnummer, katuosoite, ulica, kod pocztowy`},
		{name: "network-address", what: "a network address or a device", kind: mask.Pseudonym, types: "txu", words: `ip, ip address, ip addr, client ip, remote ip, remote addr, source ip, user ip, login ip, mac address, mac addr,
			device id, imei, imsi, advertising id, idfa, gaid, user agent, device fingerprint, browser fingerprint, cookie id, tracking id, ip adresse, geraete id, adresse ip, direccion ip, indirizzo ip`},
		{name: "free-text", what: "free text", kind: mask.Redact, types: "tj", unsure: true, words: `note, notes, comment, comments, remark, remarks, memo, message, body, feedback, free text, freetext, transcript, chat,
			bemerkung, bemerkungen, anmerkung, notiz, notizen, kommentar, nachricht, freitext, remarque, commentaire, nota, notas, observacion, observaciones, comentario, mensaje,
			annotazione, commento, messaggio, observacoes, mensagem, opmerking, opmerkingen, bericht, notat, anteckning, huomautus, uwagi, komentarz`},
	}
}

// neutral are last words of names that say something about a value instead of
// holding it: card_type, email_verified_at.
var neutral = strings.Fields(`type kind status state brand network count counter total verified unverified confirmed enabled disabled valid validated active format template subject
	provider domain at sent required policy min max minimum maximum length currency version algorithm algo expires expired attempts tries changed updated created reset preference
	preferences opt optin optout consent flag level class category group score rank limit ttl label title heading icon color language locale month quarter
	typ anzahl art status geaendert`)

// questions are first words of names that hold yes or no.
var questions = strings.Fields("is has can may was are allow allows allowed require requires needs show hide enable use uses num count")

// ends are what may follow a word without a gap: phonenumber, passwordhash.
var ends = strings.Fields("s es n address addr adresse number num no nr nummer code hash enc encrypted plain text value key data")

// fillers are left out of names and phrases.
var fillers = strings.Fields("of the a de del la le du des d l di da do der die das von van et og na z my our user usr cust customer client kunde kunden")

// tokens cuts a column's name into words, without accents and fillers.
func tokens(name string) (ts []string) {
	var b strings.Builder
	flush := func() {
		if t := b.String(); t != "" && !slices.Contains(fillers, t) {
			ts = append(ts, t)
		}
		b.Reset()
	}
	var last rune
	for _, r := range name {
		switch {
		case unicode.IsLetter(r):
			if unicode.IsUpper(r) && unicode.IsLower(last) || unicode.IsDigit(last) {
				flush()
			}
			b.WriteString(plainLetter(unicode.ToLower(r)))
		case unicode.IsDigit(r):
			if !unicode.IsDigit(last) {
				flush()
			}
			b.WriteRune(r)
		default:
			flush()
		}
		last = r
	}
	flush()
	return ts
}

// plainLetter writes a letter without its accent, as people do in column names.
func plainLetter(r rune) string {
	switch {
	case r < 0x80:
		return string(r)
	case strings.ContainsRune("àáâãåą", r):
		return "a"
	case r == 'ä', r == 'æ':
		return "ae"
	case strings.ContainsRune("çćč", r):
		return "c"
	case strings.ContainsRune("èéêëęě", r):
		return "e"
	case strings.ContainsRune("ìíîï", r):
		return "i"
	case strings.ContainsRune("ñńň", r):
		return "n"
	case strings.ContainsRune("òóôõ", r):
		return "o"
	case r == 'ö', r == 'ø', r == 'œ':
		return "oe"
	case strings.ContainsRune("ùúûů", r):
		return "u"
	case r == 'ü':
		return "ue"
	case r == 'ß':
		return "ss"
	case r == 'ł':
		return "l"
	case strings.ContainsRune("śš", r):
		return "s"
	case strings.ContainsRune("żźž", r):
		return "z"
	case r == 'ř':
		return "r"
	case r == 'ý':
		return "y"
	}
	return string(r)
}

// byName returns the sort that a column's name speaks of. class is the letter of
// the column's type.
func byName(all []sort, name string, class byte) (s sort, ok bool) {
	ts := tokens(name)
	for len(ts) > 1 && strings.Trim(ts[len(ts)-1], "0123456789") == "" && ts[len(ts)-1] != "2" {
		ts = ts[:len(ts)-1] // phone_1
	}
	if len(ts) == 0 || slices.Contains(questions, ts[0]) {
		return sort{}, false
	}
	about := len(ts) > 1 && slices.Contains(neutral, ts[len(ts)-1])
	// A key of another table is not the thing itself.
	reference := len(ts) > 1 && ts[len(ts)-1] == "id" && (class == 'n' || class == 'u')
	longest := 0
	for _, candidate := range all {
		if strings.IndexByte(candidate.types, class) < 0 || reference && candidate.detector != mask.NationalID {
			continue
		}
		for phrase := range strings.SplitSeq(candidate.words, ",") {
			words := slices.DeleteFunc(strings.Fields(phrase), func(w string) bool { return slices.Contains(fillers, w) })
			// The longest phrase says most: "ip address" is no postal address.
			n := len(strings.Join(words, ""))
			if about && (len(words) < 2 || words[len(words)-1] != ts[len(ts)-1]) {
				continue // but blood_type is one
			}
			if n > longest && speaks(ts, words) {
				s, longest, ok = candidate, n, true
			}
		}
	}
	return s, ok
}

// speaks reports whether the words of a phrase stand in a name, one after another,
// or run together.
func speaks(ts, words []string) bool {
	for i := range ts {
		if i+len(words) <= len(ts) && slices.EqualFunc(ts[i:i+len(words)], words, same) {
			return true
		}
	}
	run := strings.Join(words, "")
	if len(run) < 5 {
		return false // "tel" is in "hotel"
	}
	return slices.ContainsFunc(ts, func(t string) bool {
		return same(t, run) || strings.HasSuffix(t, run) && len(t) >= len(run)+3
	})
}

// same compares a word of a name with one of ours, whatever ending it has.
func same(t, word string) bool {
	rest, ok := strings.CutPrefix(t, word)
	return ok && (rest == "" || len(word) >= 3 && slices.Contains(ends, rest))
}

// classOf is the class of a type, by its name: t text, j JSON and other structure,
// n number, d date, b bytes, x network address, u UUID, m money, ! yes or no, ? else.
func classOf(base string) byte {
	switch base {
	case "text", "varchar", "bpchar", "citext", "name", "char":
		return 't'
	case "json", "jsonb", "xml", "hstore":
		return 'j'
	case "int2", "int4", "int8", "numeric", "float4", "float8":
		return 'n'
	case "money":
		return 'n'
	case "date", "timestamp", "timestamptz":
		return 'd'
	case "bytea":
		return 'b'
	case "inet", "cidr", "macaddr", "macaddr8":
		return 'x'
	case "uuid":
		return 'u'
	case "bool":
		return '!'
	}
	return '?'
}
