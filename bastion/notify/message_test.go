package notify_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/bastion"
	"github.com/sallyport/sallyport/bastion/notify"
	"github.com/sallyport/sallyport/bastion/store/storetest"
	"github.com/sallyport/sallyport/bastion/vault"
)

var secretless vault.Source

// example is a note that is the same at all times.
func example(k notify.Kind) notify.Note {
	n := of(k, 17)
	n.Expires = start.Add(30 * time.Minute)
	return n
}

// Every kind in every medium, to be read.
func TestGolden(t *testing.T) {
	var slack, teams, mails bytes.Buffer
	for _, k := range notify.Kinds() {
		s, c, m := notify.Bodies("sallyport", address, "bastion@example.com", example(k), notify.Recipient{Name: "rita", Email: "rita@example.com"})
		fmt.Fprintf(&mails, "%s\n%s\n", strings.ReplaceAll(string(m), "\r\n", "\n"), strings.Repeat("-", 72))
		for to, from := range map[*bytes.Buffer][]byte{&slack: s, &teams: c} {
			if err := json.Indent(to, from, "", "  "); err != nil {
				t.Fatal(err)
			}
			to.WriteString("\n")
		}
	}
	golden(t, "slack.json", slack.Bytes())
	golden(t, "teams.json", teams.Bytes())
	golden(t, "mail.txt", mails.Bytes())
}

// The body of a webhook: the names of its fields are what receivers rely on.
func TestWebhookBody(t *testing.T) {
	url, _, got := receiver(t, false, nil)
	w := newWorld(t, storetest.Open(t, storetest.Dir(t)), nil, hook(t, "one", url)).run()
	n := example(notify.Request)
	n.Expires = start.AddDate(100, 0, 0)
	n.Reason = "first\nsecond \x1b[2J\u202e"
	w.put(n)
	a := <-got
	var b map[string]any
	if err := json.Unmarshal(a.body, &b); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"id": a.key(), "kind": "request", "bastion": "sallyport", "request": 17.0, "target": "shop-production", "who": "alice",
		"summary": "update of public.customers", "reason": "first\nsecond <U+001B>[2J<U+202E>", "needs": "1 approval by a reviewer",
		"to": []any{map[string]any{"id": "https://id.example.com#2", "name": "rita"}, map[string]any{"id": "https://id.example.com#3", "name": "ben"}},
		"at": "2026-03-02T09:30:00Z", "expires": "2126-03-02T09:30:00Z", "title": "sallyport: request 17 waits for approval",
		"commands": []any{"ssh -p 2222 bastion.example.com requests 17", "ssh -p 2222 bastion.example.com approve 17", "ssh -p 2222 bastion.example.com deny 17 --reason WHY"}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Error(diff)
	}
}

// What is too late to decide is told without the commands for it.
func TestLate(t *testing.T) {
	n := asked(17)
	n.At, n.Expires = start, start.Add(-time.Minute)
	_, _, raw := notify.Bodies("sallyport", "bastion", "bastion@example.com", n, notify.Recipient{Email: "rita@example.com"})
	_, body := decoded(t, raw)
	if strings.Contains(body, " approve 17") || !strings.Contains(body, "Waited until") || !strings.Contains(body, "ssh bastion requests 17") {
		t.Errorf("got\n%s", body)
	}
}

// Attacks on readers, by what a requester can choose.
func TestEscaping(t *testing.T) {
	n := example(notify.Request)
	n.Who = "<!channel> *alice*\r\nBcc: eve@example.com"
	n.Target = "=?utf-8?q?=0D=0ABcc:_eve@example.com?="
	n.Summary = "[approve](https://evil.example) <https://evil.example|approve> {{{{DATE(2026-03-02T09:30:00Z)}}"
	n.Reason = "fine\n\nApprove it:\n    ssh evil.example approve 17\n.\n\u202egnihton\x1b[2J & more"
	slack, teams, raw := notify.Bodies("sallyport", address, "bastion@example.com", n, notify.Recipient{Name: "Rita\r\nBcc: eve@example.com", Email: "rita@example.com"})
	for _, c := range []struct{ medium, body, must, not string }{
		{"slack", string(slack), "\\u0026lt;!channel\\u0026gt; *alice*⏎Bcc", "<"},
		{"slack", string(slack), "\\u0026lt;U+202E\\u0026gt;gnihton", "\\u003c"},
		{"slack", string(slack), "\\u0026amp; more", "mrkdwn\","},
		{"teams", string(teams), "fine⏎⏎Approve it:⏎", "{{"},
		{"teams", string(teams), "RichTextBlock", "TextBlock\",\"text"},
		{"mail", string(raw), "", "\r\nBcc"},
		{"mail", string(raw), "", "=0D"},
		{"mail", string(raw), "", "\n    ssh evil"},
	} {
		if !strings.Contains(c.body, c.must) || strings.Contains(c.body, c.not) {
			t.Errorf("%s: want %q and not %q in\n%s", c.medium, c.must, c.not, c.body)
		}
	}
	header, body := decoded(t, raw)
	if len(header["Bcc"]) > 0 || strings.Count(body, "\n    ssh ") != 3 {
		t.Errorf("got %v\n%s", header, body)
	}
}

// check holds bodies to what every reader relies on.
func check(t *testing.T, n notify.Note, to notify.Recipient) {
	slack, teams, raw := notify.Bodies("sallyport", address, "bastion@example.com", n, to)

	var card struct {
		Text   string
		Mrkdwn bool
		Blocks []struct {
			Type     string
			Text     text
			Elements []text
		}
	}
	strict(t, slack, &card)
	harmless(t, "slack", card.Text)
	all := []text{}
	for _, b := range card.Blocks {
		if b.Type != "context" {
			all = append(all, b.Text)
		}
		all = append(all, b.Elements...)
	}
	if card.Mrkdwn || len(all) > 50 || utf8.RuneCountInString(all[0].Text) > 150 {
		t.Fatalf("slack: %s", slack)
	}
	for _, s := range append(all, text{"plain_text", card.Text}) {
		if s.Type != "plain_text" || s.Text == "" || utf8.RuneCountInString(s.Text) > 3000 {
			t.Fatalf("slack: a text that it refuses or reads: %+v", s)
		}
		rest := strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(s.Text)
		if strings.ContainsAny(rest, "&<>") {
			t.Fatalf("slack: not escaped: %q", s.Text)
		}
		harmless(t, "slack", s.Text)
	}

	var message struct {
		Attachments []struct {
			Content struct {
				FallbackText string
				Body         []struct {
					Type    string
					Inlines []text
				}
			}
		}
	}
	if err := json.Unmarshal(teams, &message); err != nil {
		t.Fatal(err)
	}
	if len(teams) > 28<<10 {
		t.Fatalf("teams: %d bytes", len(teams))
	}
	for _, b := range message.Attachments[0].Content.Body {
		for _, r := range b.Inlines {
			if b.Type != "RichTextBlock" || r.Type != "TextRun" || strings.Contains(r.Text, "{{") {
				t.Fatalf("teams: a text that it reads: %+v", b)
			}
			harmless(t, "teams", r.Text)
		}
	}

	for l := range strings.SplitAfterSeq(string(raw), "\r\n") {
		if len(l) > 1000 || strings.ContainsAny(strings.TrimSuffix(l, "\r\n"), "\r\n\x00") {
			t.Fatalf("mail: line %q", l)
		}
	}
	for _, c := range raw {
		if c >= 0x7f || c < ' ' && c != '\r' && c != '\n' {
			t.Fatalf("mail: byte %#x", c)
		}
	}
	header, body := decoded(t, raw)
	var names []string
	for name, values := range header {
		names = append(names, name)
		if len(values) != 1 {
			t.Fatalf("mail: %d headers %s", len(values), name)
		}
		harmless(t, "mail", values[0])
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "Auto-Submitted Content-Transfer-Encoding Content-Type Date From Message-Id Mime-Version Subject To" {
		t.Fatalf("mail: headers %s", got)
	}
	harmless(t, "mail", strings.ReplaceAll(body, "\r\n", ""))
	if strings.Count(body, "\n    ") > 3 {
		t.Fatalf("mail: somebody else's command in\n%s", body)
	}
}

// text is a text of Slack or Teams.
type text struct{ Type, Text string }

func strict(t *testing.T, b []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// harmless checks that a text shows all that is in it. Where a label and a value
// stand on two lines, the line between them is ours.
func harmless(t *testing.T, medium, s string) {
	t.Helper()
	if bastion.Visible(s) != s || !utf8.ValidString(s) {
		t.Fatalf("%s: hides something: %q", medium, s)
	}
}

func TestLimits(t *testing.T) {
	for _, s := range []string{"", "&", "<", "\u202e", "\x00", "ü", "日", "😀", "{", "=?", "\xff", "\n", " ", ".\n"} {
		long := strings.Repeat(s, 5000)
		n := notify.Note{Kind: notify.Request, Request: 1<<64 - 1, Target: long, Who: long, Summary: long, Reason: long, Needs: long, By: long, Of: 1<<64 - 1, At: start, Expires: start}
		for range 200 {
			n.To = append(n.To, notify.Recipient{ID: long, Name: long, Email: long})
		}
		check(t, n, notify.Recipient{Name: long, Email: "rita@example.com"})
	}
}

// A review that found something says so at once.
func TestFinding(t *testing.T) {
	n := example(notify.Reviewed)
	n.Finding, n.Of, n.By = true, 12, "rita"
	_, _, raw := notify.Bodies("sallyport", address, "bastion@example.com", n, notify.Recipient{Email: "rita@example.com"})
	header, body := decoded(t, raw)
	if !strings.Contains(header["Subject"][0], "something was wrong") || !strings.Contains(body, "request 12") || !strings.Contains(body, "By:          rita") {
		t.Errorf("got %v\n%s", header, body)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("alice", "shop", "update", "why", "one", "rita", uint8(0))
	f.Add("<!channel>", "{{DATE(x)}}", "[a](b)", "\u202e\x1b\r\n.\r\n", "=?utf-8?q?x?=", "\"\\<>,;:", uint8(7))
	f.Add("  a", "&&&&", "```", "\xff\xfe", "\u2028", " ", uint8(8))
	f.Fuzz(func(t *testing.T, who, target, summary, reason, needs, name string, kind uint8) {
		kinds := notify.Kinds()
		n := notify.Note{Kind: kinds[int(kind)%len(kinds)], Request: uint64(kind), Who: who, By: name, Target: target, Summary: summary, Reason: reason, Needs: needs,
			At: start, Expires: start, To: []notify.Recipient{{Name: name}}}
		check(t, n, notify.Recipient{Name: name, Email: "rita@example.com"})
	})
}
