package notify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/store/storetest"
	"github.com/sallyport/sallyport/bastion/vault"
)

// receiver is a real HTTP server that hands over what it gets.
func receiver(t *testing.T, secure bool, answer http.HandlerFunc) (url, ca string, got chan arrival) {
	t.Helper()
	got = make(chan arrival, 100)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- arrival{time.Now(), r.URL.Path, r.Header, b}
		if answer != nil {
			answer(w, r)
		}
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if !secure {
		s.Start()
	} else {
		s.StartTLS()
		ca = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.Close)
	return s.URL, ca, got
}

// openssl computes the signature that the headers of a webhook should have.
func openssl(t *testing.T, key []byte, a arrival) string {
	t.Helper()
	cmd := exec.Command("openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:"+hex.EncodeToString(key), "-binary")
	cmd.Stdin = io.MultiReader(strings.NewReader(a.header.Get("Webhook-Id")+"."+a.header.Get("Webhook-Timestamp")+"."), bytes.NewReader(a.body))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return "v1," + base64.StdEncoding.EncodeToString(out)
}

// What a webhook gets is signed, as openssl sees it, with either form of secret.
func TestSignature(t *testing.T) {
	url, ca, got := receiver(t, true, nil)
	raw := []byte("\x00\xff a key of bytes, not of text")
	for _, c := range []struct {
		secret string
		key    []byte
	}{{key, []byte(key)}, {"whsec_" + base64.StdEncoding.EncodeToString(raw), raw}} {
		w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, notify.Channel{Name: "one", Webhook: &notify.Webhook{From: secret(t, url+"/hook"), Secret: secret(t, c.secret), CA: ca}}).run()
		before := time.Now().Unix()
		w.put(asked(17))
		a := <-got
		if want := openssl(t, c.key, a); a.header.Get("Webhook-Signature") != want {
			t.Errorf("signature %s, openssl says %s", a.header.Get("Webhook-Signature"), want)
		}
		at, err := strconv.ParseInt(a.header.Get("Webhook-Timestamp"), 10, 64)
		if err != nil || at < before || at > time.Now().Unix() {
			t.Errorf("timestamp %d, %v", at, err)
		}
		var body struct{ ID string }
		if err := json.Unmarshal(a.body, &body); err != nil || body.ID != a.key() || body.ID != a.header.Get("Webhook-Id") || len(body.ID) != 32 {
			t.Errorf("id %q in the body, %q and %q in headers", body.ID, a.key(), a.header.Get("Webhook-Id"))
		}
		if a.header.Get("Content-Type") != "application/json" || a.path != "/hook" {
			t.Errorf("got %+v", a)
		}
	}
}

// outcome runs one note through channels until the first attempt has ended, and
// returns how; the log and the counts must not tell what they must not.
func outcome(t *testing.T, never string, channel notify.Channel) bastion.Delivery {
	t.Helper()
	w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, channel).run()
	w.put(asked(17))
	// Real time: nothing tells when an attempt has ended but the counts.
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		c := w.counts()[0]
		if c.Delivered+c.Failed == 0 {
			continue
		}
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{w.log.String(), c.Error} {
			if never != "" && strings.Contains(s, never) || strings.Contains(s, token) || strings.Contains(s, key) || strings.Contains(s, "127.0.0.1") {
				t.Errorf("it tells too much: %s", s)
			}
		}
		return c
	}
}

// Receivers that misbehave. What they do costs an attempt, and nothing else.
func TestHostileReceivers(t *testing.T) {
	elsewhere, _, stolen := receiver(t, false, nil)
	endless := func(w http.ResponseWriter, r *http.Request) {
		block := bytes.Repeat([]byte("own words "), 6000)
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // empty: delivered
	}{
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, ""},
		{"accepted", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, ""},
		{"endless body", endless, ""},
		{"endless error", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot); endless(w, r) }, "it answered 418 I'm a teapot"},
		{"hanging body", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-r.Context().Done()
		}, ""},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+"/"+token, http.StatusTemporaryRedirect)
		}, "it answered 307, a redirect, and redirects are not followed"},
		{"redirect with another method", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusSeeOther) }, "it answered 303, a redirect, and redirects are not followed"},
		{"huge headers", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Add("X-"+strconv.Itoa(i), strings.Repeat("own words ", 200))
			}
		}, "the connection failed, or it does not speak the protocol"},
		{"gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "it closed the connection"},
		{"odd status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) }, "it answered 799"},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				url, ca, _ := receiver(t, secure, c.answer)
				got := outcome(t, "own words", notify.Channel{Name: "one", Webhook: &notify.Webhook{From: secret(t, url+"/"+token), Secret: secret(t, key), CA: ca}})
				if c.want == "" && got.Delivered != 1 || c.want != "" && got.Error != c.want && !(secure && got.Failed == 1 && c.name == "gone") {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
	if len(stolen) > 0 {
		t.Error("a redirect was followed")
	}
}

// Servers that are not what they should be, and secrets that are not there.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String() + "/" + token
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	garbage := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("\x00\x01 own words \xff\r\n\r\n")) })
	secure, ca, _ := receiver(t, true, nil)
	plain, _, _ := receiver(t, false, nil)
	name := strings.Replace(secure, "127.0.0.1", "localhost", 1)
	for _, c := range []struct{ name, url, secret, ca, want string }{
		{"closed", closed, key, "", "connection refused"},
		{"garbage", "http://" + garbage + "/" + token, key, "", "the connection failed, or it does not speak the protocol"},
		{"garbage for TLS", "https://" + garbage + "/" + token, key, "", "it does not speak TLS"},
		{"no such name", "https://" + token + ".invalid/", key, "", "the name of its server cannot be resolved"},
		{"unknown authority", secure + "/" + token, key, "", "its certificate is of an authority that is not known"},
		{"another name", name + "/" + token, key, ca, "its certificate is for another name"},
		{"no TLS", strings.Replace(plain, "http:", "https:", 1), key, "", "the connection failed, or it does not speak the protocol"},
		{"plain to elsewhere", "http://example.com/" + token, key, "", "its URL is wrong: want https; http is for a server on this machine only"},
		{"no URL", token + " " + token, key, "", "its URL is wrong: want an address such as https://example.com/hook"},
		{"short key", secure, "short", ca, "its secret is shorter than 24 bytes"},
		{"short coded key", secure, "whsec_" + base64.StdEncoding.EncodeToString([]byte("short")), ca, "its secret is shorter than 24 bytes"},
		{"broken key", secure, "whsec_!!!" + key, ca, "its secret has no base64 after whsec_"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := outcome(t, "own words", notify.Channel{Name: "one", Webhook: &notify.Webhook{From: secret(t, c.url), Secret: secret(t, c.secret), CA: c.ca}})
			if got.Error != c.want || got.Delivered != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
	t.Run("no source", func(t *testing.T) {
		for _, ch := range []notify.Channel{
			{Name: "one", Slack: &notify.Slack{URL: vault.Source{Env: "SALLYPORT_TEST_" + token}}},
			{Name: "one", Teams: &notify.Teams{URL: vault.Source{Env: "SALLYPORT_TEST_" + token}}},
		} {
			if got := outcome(t, "", ch); got.Error != "fetching its URL: environment variable: it is not set" {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// listen is a server that does one thing with each connection and closes it.
func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return l.Addr().String()
}

// A link-local address is reached only if it was written as such. (Nothing
// listens there; what counts is who says no.)
func TestLinkLocal(t *testing.T) {
	if _, err := net.LookupHost("localhost"); err != nil {
		t.Fatal(err)
	}
	url, _, _ := receiver(t, false, nil)
	host := strings.TrimPrefix(url, "http://")
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{host, "localhost:" + port} {
		c, err := notify.Dial(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []string{"169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80", "0.0.0.0:80", "224.0.0.1:80", "not an address"} {
		if err := notify.Guard(a); err == nil {
			t.Errorf("a name may lead to %s", a)
		}
	}
	for _, a := range []string{"10.1.2.3:443", "127.0.0.1:443", "[fd00::1]:443", "93.184.216.34:443"} {
		if err := notify.Guard(a); err != nil {
			t.Errorf("a name may not lead to %s: %v", a, err)
		}
	}
}

// Slack and Teams get their forms; the URL is asked for each time.
func TestChat(t *testing.T) {
	url, _, got := receiver(t, false, nil)
	first, second := secret(t, url+"/first"), secret(t, url+"/second")
	w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil,
		notify.Channel{Name: "slack", Slack: &notify.Slack{URL: first}}, notify.Channel{Name: "teams", Teams: &notify.Teams{URL: second}}).run()
	w.put(asked(17))
	for range 2 {
		a := <-got
		var body struct {
			Text   string
			Blocks []any
			Type   string
		}
		if err := json.Unmarshal(a.body, &body); err != nil {
			t.Fatal(err)
		}
		if a.path == "/first" && (body.Text == "" || len(body.Blocks) == 0) || a.path == "/second" && body.Type != "message" || a.key() == "" {
			t.Errorf("got %s: %s", a.path, a.body)
		}
		if a.header.Get("Webhook-Signature") != "" {
			t.Error("signed without a key")
		}
	}
	if err := os.WriteFile(first.File, []byte(url+"/changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.put(asked(18))
	paths := map[string]bool{(<-got).path: true, (<-got).path: true}
	if !paths["/changed"] || !paths["/second"] {
		t.Errorf("got %v", paths)
	}
}
