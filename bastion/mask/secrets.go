package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// key looks at a dash: at the fifth of "-----BEGIN ... PRIVATE KEY-----".
func (l *look) key(at int) (match, verdict) {
	v := l.v
	if at < 4 || string(v[at-4:at+1]) != "-----" {
		return match{}, no
	}
	label, verdict := l.after(at+1, "BEGIN ")
	if verdict != yes {
		return match{}, verdict
	}
	i := label
	for i < len(v) && i-label <= 64 && (v[i] >= 'A' && v[i] <= 'Z' || digit(v[i]) || v[i] == ' ') {
		i++
	}
	if i == len(v) {
		return match{}, l.end()
	}
	if !bytes.Contains(v[label:i], []byte("PRIVATE KEY")) {
		return match{}, no
	}
	body, verdict := l.after(i, "-----")
	if verdict != yes {
		return match{}, verdict
	}
	l.skip = body
	kind, on := l.s.kinds[PrivateKey], l.s.on[PrivateKey]
	// A Google service account's key is a private key in a JSON file.
	if l.s.on[CloudKey] && near(v, at-4, "private_key") {
		if !on || l.s.kinds[CloudKey] < kind {
			kind = l.s.kinds[CloudKey]
		}
		on = true
	}
	if !on {
		return match{}, no
	}
	end, verdict := l.armored(body)
	if verdict != yes {
		return match{}, verdict
	}
	m, verdict := l.found(PrivateKey, at-4, end)
	m.kind = kind
	return m, verdict
}

// armored returns where the text of a key ends that begins at i: behind "-----END
// ...-----" (RFC 7468, section 2), or, if it was cut off, where what is no base64
// begins. Without a long line of base64 it is no key but talk of one.
func (l *look) armored(i int) (end int, _ verdict) {
	v, first, run, longest := l.v, i, 0, 0
	for ; i < len(v) && i-first < maxKey; i++ {
		switch c := v[i]; {
		case base64Set[c] || c == '=':
			run++
			longest = max(longest, run)
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			run = 0
			continue
		case c == '\\': // a line's end as JSON and COPY write it
			if i+1 == len(v) && !l.final {
				return 0, wait
			}
			if i+1 < len(v) && (v[i+1] == 'n' || v[i+1] == 'r' || v[i+1] == 't' || v[i+1] == '/' || v[i+1] == '\\') {
				if v[i+1] != '/' {
					run = 0
				}
				i++
				continue
			}
		case c == ':': // the name of a header was what looked like base64 (RFC 1421: Proc-Type: 4,ENCRYPTED)
			run = 0
			for i+1 < len(v) && v[i+1] != '\n' && v[i+1] != '\r' && v[i+1] != '\\' && v[i+1] != '"' && i-first < maxKey {
				i++
			}
			continue
		case c == '-':
			if i > first && letter(v[i-1]) && i+1 < len(v) && letter(v[i+1]) { // Proc-Type, DEK-Info
				run = 0
				continue
			}
			switch end, verdict := l.after(i, "-----END "); verdict {
			case wait:
				return 0, wait
			case yes:
				for end < len(v) && end-first < maxKey && (letter(v[end]) || digit(v[end]) || v[end] == ' ') {
					end++
				}
				if end == len(v) && !l.final {
					return 0, wait
				}
				if end, verdict := l.after(end, "-----"); verdict != no {
					return end, verdict
				}
				return end, yes
			}
			if i+1 == len(v) && !l.final {
				return 0, wait
			}
		}
		break
	}
	if i >= len(v) && !l.final {
		return 0, wait
	}
	i = min(i, len(v))
	if longest < 20 {
		return 0, no
	}
	for i > first && (v[i-1] == ' ' || v[i-1] == '\n' || v[i-1] == '\r' || v[i-1] == '\t') {
		i--
	}
	return i, yes
}

// after returns the place after word if it stands at i.
func (l *look) after(i int, word string) (int, verdict) {
	rest := l.v[min(i, len(l.v)):]
	if len(rest) >= len(word) {
		if string(rest[:len(word)]) == word {
			return i + len(word), yes
		}
		return 0, no
	}
	if string(rest) == word[:len(rest)] {
		return 0, l.end()
	}
	return 0, no
}

// token looks at the dot after the header of a JSON web token: JWS in compact form is
// header.payload.signature (RFC 7515, section 7.1), JWE has five parts (RFC 7516).
func (l *look) token(dot int) (match, verdict) {
	v := l.v
	if dot == 0 || !base64URL[v[dot-1]] {
		return match{}, no
	}
	if dot+1 == len(v) {
		return match{}, l.end()
	}
	if c := v[dot+1]; !base64URL[c] && c != '.' {
		return match{}, no
	}
	first := dot
	for first > l.done && dot-first <= maxHeader && base64URL[v[first-1]] {
		first--
	}
	if dot-first < 12 || dot-first > maxHeader { // {"alg":""} has fourteen letters in base64
		return match{}, no
	}
	first = min(l.inner(first), dot)
	start := header(v[first:dot])
	if start < 0 {
		return match{}, no
	}
	start += first
	end, parts := dot, 1
	for end < len(v) && end-dot < maxKey {
		if v[end] == '.' {
			if parts == 5 {
				break
			}
			parts++
		} else if !base64URL[v[end]] {
			break
		}
		end++
	}
	if end == len(v) && !l.final {
		return match{}, wait
	}
	if parts < 3 {
		return match{}, no
	}
	if parts == 4 && v[end-1] == '.' { // the end of a sentence
		end--
	}
	return l.found(JWT, start, end)
}

// header returns where in a run of base64url the header of a token begins, or -1: a
// JSON object with a member alg (RFC 7515, section 4.1.1). Other text may be glued
// to it, so a few places are tried.
func header(run []byte) int {
	for at, tries := 0, 0; tries < 4; tries++ {
		// {" is eyJ in base64, { with white space is ew or ey with something else.
		i := bytes.Index(run[at:], []byte("eyJ"))
		if tries == 0 && len(run) > 1 && run[0] == 'e' && (run[1] == 'y' || run[1] == 'w') {
			i = 0
		}
		if i < 0 {
			return -1
		}
		at += i
		if named(run[at:]) {
			return at
		}
		at++
	}
	return -1
}

// named reports whether a JSON object in base64url has a member alg.
func named(part []byte) bool {
	text := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
	n, err := base64.RawURLEncoding.Decode(text, part)
	if err != nil {
		return false
	}
	var h struct {
		Alg *string `json:"alg"`
	}
	return json.Unmarshal(text[:n], &h) == nil && h.Alg != nil
}

// prefix is what the tokens of an issuer begin with.
type prefix struct {
	text     string // ends with a dash or an underscore
	what     Detector
	more     *charset // what follows
	min, max int      // how much of it
}

var (
	upper     = chars("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
	word      = chars(lettersDigits + "_")
	dashed    = chars(lettersDigits + "-_")
	dotted    = chars(lettersDigits + "-_.")
	slashed   = chars(lettersDigits + "+/=")
	akia      = chars("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
	separator = chars(" \t\"'=:>,\\")
)

// prefixes are those that issuers publish; README.md names the sources.
var prefixes = [...]prefix{
	{"ghp_", CloudKey, &word, 36, maxRandom},
	{"gho_", CloudKey, &word, 36, maxRandom},
	{"ghu_", CloudKey, &word, 36, maxRandom},
	{"ghs_", CloudKey, &word, 36, maxRandom},
	{"ghr_", CloudKey, &word, 36, maxRandom},
	{"github_pat_", CloudKey, &word, 22, maxRandom},
	{"npm_", CloudKey, &alnum, 36, maxRandom},
	{"sk_live_", CloudKey, &alnum, 16, maxRandom},
	{"sk_test_", CloudKey, &alnum, 16, maxRandom},
	{"rk_live_", CloudKey, &alnum, 16, maxRandom},
	{"rk_test_", CloudKey, &alnum, 16, maxRandom},
	{"whsec_", CloudKey, &slashed, 24, maxRandom},
	{"glpat-", CloudKey, &dotted, 20, maxRandom},
	{"gldt-", CloudKey, &dotted, 20, maxRandom},
	{"glrt-", CloudKey, &dotted, 20, maxRandom},
	{"glcbt-", CloudKey, &dotted, 20, maxRandom},
	{"glptt-", CloudKey, &dotted, 20, maxRandom},
	{"glft-", CloudKey, &dotted, 20, maxRandom},
	{"glsoat-", CloudKey, &dotted, 20, maxRandom},
	{"gloas-", CloudKey, &dotted, 20, maxRandom},
	{"glimt-", CloudKey, &dotted, 20, maxRandom},
	{"glagent-", CloudKey, &dotted, 20, maxRandom},
	{"glffct-", CloudKey, &dotted, 20, maxRandom},
	{"xoxa-", CloudKey, &dashed, 10, maxRandom},
	{"xoxb-", CloudKey, &dashed, 10, maxRandom},
	{"xoxc-", CloudKey, &dashed, 10, maxRandom},
	{"xoxe-", CloudKey, &dashed, 10, maxRandom},
	{"xoxe.xoxb-", CloudKey, &dashed, 10, maxRandom},
	{"xoxe.xoxp-", CloudKey, &dashed, 10, maxRandom},
	{"xoxo-", CloudKey, &dashed, 10, maxRandom},
	{"xoxp-", CloudKey, &dashed, 10, maxRandom},
	{"xoxr-", CloudKey, &dashed, 10, maxRandom},
	{"xoxs-", CloudKey, &dashed, 10, maxRandom},
	{"xapp-", CloudKey, &dashed, 10, maxRandom},
	{"GOCSPX-", CloudKey, &dashed, 28, maxRandom},
	{"AGE-SECRET-KEY-", PrivateKey, &upper, 50, maxRandom},
}

// byEnd holds the prefixes by their byte before the last, which tells most of them
// from what they are not.
var byEnd = func() (t [256][]prefix) {
	for _, p := range prefixes {
		c := p.text[len(p.text)-2]
		t[c] = append(t[c], p)
	}
	return t
}()

// prefixed looks at a dash or an underscore that may end the prefix of a token.
func (l *look) prefixed(at int) (match, verdict) {
	v := l.v
	if at == 0 {
		return match{}, no
	}
	for _, p := range byEnd[v[at-1]] {
		start := at + 1 - len(p.text)
		if start < 0 || !l.s.on[p.what] || string(v[start:at+1]) != p.text || !l.begins(start) {
			continue
		}
		end := at + 1
		for end < len(v) && end-at <= p.max && p.more[v[end]] {
			end++
		}
		if end == len(v) && !l.final {
			return match{}, wait
		}
		for v[end-1] == '.' {
			end--
		}
		if end-at-1 >= p.min {
			return l.found(p.what, start, end)
		}
	}
	return match{}, no
}

// accessKey looks at an A that may begin an access key id of AWS or an API key of Google.
func (l *look) accessKey(at int) (match, verdict) {
	v := l.v
	if !l.begins(at) {
		return match{}, no
	}
	if at+4 > len(v) {
		return match{}, l.end()
	}
	set, more := &akia, 16
	switch string(v[at : at+4]) {
	case "AKIA", "ASIA", "ABIA", "ACCA":
	case "AIza":
		set, more = &dashed, 35
	default:
		return match{}, no
	}
	end := at + 4
	for end < len(v) && end-at <= 4+more && set[v[end]] {
		end++
	}
	if end == len(v) && !l.final {
		return match{}, wait
	}
	if end-at != 4+more || end < len(v) && alnum[v[end]] {
		return match{}, no
	}
	return l.found(CloudKey, at, end)
}

// secret looks at the k of "key" in the name of a setting whose value is a secret:
// of AWS (forty characters of base64) or of Azure (base64 of 32 or 64 bytes).
func (l *look) secret(at int) (match, verdict) {
	v := l.v
	if at+3 > len(v) {
		return match{}, l.end()
	}
	if v[at+1]|0x20 != 'e' || v[at+2]|0x20 != 'y' {
		return match{}, no
	}
	aws := near(v, at, "secret")
	if !aws && !near(v, at, "account") && !near(v, at, "sharedaccess") {
		return match{}, no
	}
	start := at + 3
	for start < len(v) && start-at < 16 && separator[v[start]] {
		start++
	}
	end := start
	for end < len(v) && end-start <= 90 && base64Set[v[end]] {
		end++
	}
	n := end - start
	for end < len(v) && end-start < n+2 && v[end] == '=' {
		end++
	}
	if end == len(v) && !l.final {
		return match{}, wait
	}
	padding := end - start - n
	switch {
	case start == at+3:
	case aws && n == 40 && padding == 0, n == 86 && padding == 2, n == 43 && padding == 1:
		return l.found(CloudKey, start, end)
	}
	return match{}, no
}

// near reports whether one of the words, in small letters, stands in the 48 bytes
// before v[at], written in any case.
func near(v []byte, at int, words ...string) bool {
	var buf [48]byte
	n := copy(buf[:], v[max(0, at-len(buf)):at])
	text := bytes.ToLower(buf[:n])
	for _, w := range words {
		if bytes.Contains(text, []byte(w)) {
			return true
		}
	}
	return false
}
