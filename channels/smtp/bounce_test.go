package smtp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

var secrets = [][]byte{[]byte(strings.Repeat("new-secret-", 4)), []byte(strings.Repeat("old-secret-", 4))}

const hookSecret = "a secret of the webhook, long enough"

func bounces(t testing.TB) *Bounces {
	t.Helper()
	b, err := NewBounces(secrets, hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ourID is the Message-ID of an attempt.
func ourID(t testing.TB, attempt int64, secrets ...[]byte) string {
	t.Helper()
	m, err := newMarks(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return m.id(attempt, "clinic.example")
}

// notification writes a bounce as Postfix does.
func notification(id, fields string) string {
	return strings.ReplaceAll(fmt.Sprintf(`Return-Path: <>
From: MAILER-DAEMON@relay.example (Mail Delivery System)
To: care@clinic.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="B/relay.example"

This is a MIME-encapsulated message.

--B/relay.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you.

--B/relay.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example
X-Postfix-Queue-ID: 4F1

%s

--B/relay.example
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: 8bit

From: "Your provider" <care@clinic.example>
To: <ann@patients.example>
Subject: A reminder
Message-ID: <%s>

--B/relay.example--
`, strings.TrimSpace(fields), id), "\n", "\r\n")
}

// fields are those of one recipient.
func fields(action, status, diagnostic string) string {
	return fmt.Sprintf("Final-Recipient: rfc822; ann@patients.example\nOriginal-Recipient: rfc822;ann@patients.example\nAction: %s\nStatus: %s\nRemote-MTA: dns; mx.patients.example\nDiagnostic-Code: smtp; %s\n", action, status, diagnostic)
}

func TestBounces(t *testing.T) {
	id, old := ourID(t, 9001, secrets[0]), ourID(t, 9001, secrets[1])
	gone := fields("failed", "5.1.1", "550 5.1.1 <ann@patients.example>: unknown")
	ann := []string{"ann@patients.example"}
	for _, c := range []struct {
		name, raw string
		to        []string
		kind      channels.SendErrorKind
		code      string
	}{
		{"no such mailbox", notification(id, gone), ann, channels.AddressIsBad, "bounce 5.1.1"},
		{"signed with the secret before", notification(old, gone), ann, channels.AddressIsBad, "bounce 5.1.1"},
		{"lines that end with a newline alone", strings.ReplaceAll(notification(id, gone), "\r\n", "\n"), ann, channels.AddressIsBad, "bounce 5.1.1"},
		{"no such domain", notification(id, fields("Failed", "5.1.2", "x")), ann, channels.AddressIsBad, "bounce 5.1.2"},
		{"a domain that takes no mail", notification(id, fields("failed", "5.1.10", "x")), ann, channels.AddressIsBad, "bounce 5.1.10"},
		{"a mailbox that is full", notification(id, fields("failed", "5.2.2", "x")), ann, channels.TryNever, "bounce 5.2.2"},
		{"a filter", notification(id, fields("failed", "5.7.1", "554 5.7.1 spam")), ann, channels.TryNever, "bounce 5.7.1"},
		{"given up after days", notification(id, fields("failed", "4.4.1", "x")), ann, channels.TryNever, "bounce 4.4.1"},
		{"a status that says nothing", notification(id, fields("failed", "5.0.0", "550 5.1.1 unknown")), ann, channels.AddressIsBad, "bounce 5.1.1"},
		{"no status at all", notification(id, fields("failed", "", "who knows")), ann, channels.TryNever, "bounce"},
		{"an address in xtext, and one it was forwarded to", notification(id, "Original-Recipient: rfc822;ann+2B1@patients.example\nFinal-Recipient: RFC822; <other@elsewhere.example>\nAction: failed\nStatus: 5.1.1"),
			[]string{"ann+1@patients.example", "other@elsewhere.example"}, channels.AddressIsBad, "bounce 5.1.1"},
		{"an address with a plus as it is", notification(id, "Final-Recipient: rfc822; ann+301@patients.example\nAction: failed\nStatus: 5.1.1"), []string{"ann+301@patients.example"}, channels.AddressIsBad, "bounce 5.1.1"},
		{"an answer that returns nothing", strings.Replace(notification("other@clinic.example", gone), "Subject: Und", "In-Reply-To: <"+id+">\r\nSubject: Und", 1), ann, channels.AddressIsBad, "bounce 5.1.1"},
		{"delayed", notification(id, fields("delayed", "4.4.1", "x")), nil, 0, ""},
		{"delivered", notification(id, fields("delivered", "2.0.0", "x")), nil, 0, ""},
		{"an id without a signature", notification("heed.9001@clinic.example", gone), nil, 0, ""},
		{"another attempt under this signature", notification(strings.Replace(id, "9001", "9002", 1), gone), nil, 0, ""},
		{"an attempt written in another way", notification(strings.Replace(id, "9001", "+9001", 1), gone), nil, 0, ""},
		{"a signature of somebody else", notification(ourID(t, 9001, []byte(strings.Repeat("other-secret-", 4))), gone), nil, 0, ""},
		{"no id", notification("", gone), nil, 0, ""},
		{"no recipient", notification(id, "Action: failed\nStatus: 5.1.1"), nil, 0, ""},
		{"a read receipt", strings.Replace(notification(id, gone), "delivery-status;", "disposition-notification;", 1), nil, 0, ""},
		{"a letter", "From: ann@patients.example\r\nSubject: Hello\r\n\r\nAction: failed\r\n", nil, 0, ""},
		{"nothing", "", nil, 0, ""},
		{"a mail without an end", notification(id, gone)[:400], nil, 0, ""},
		{"a huge one", notification(id, gone) + strings.Repeat("x", maxReport), nil, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []channels.Delivery
			for _, to := range c.to {
				want = append(want, channels.Delivery{
					EventID: "9001:" + strings.TrimSpace(strings.TrimPrefix(c.code, "bounce")), Attempt: 9001, Status: channels.Failed, Kind: c.kind, Code: c.code, To: to, Claimed: true, At: testNow,
				})
			}
			if diff := cmp.Diff(want, bounces(t).Letter([]byte(c.raw), testNow)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// call is a call of the webhook as a relay's script makes it.
func call(body, secret string, at time.Time) channels.Webhook {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	return channels.Webhook{Body: []byte(body), Header: map[string][]string{timestampHeader: {stamp}, signatureHeader: {hex.EncodeToString(mac.Sum(nil))}}}
}

func TestBounceWebhook(t *testing.T) {
	b, body := bounces(t), notification(ourID(t, 9001, secrets[0]), fields("failed", "5.1.1", "x"))
	if heard, err := b.Read(call(body, hookSecret, testNow.Add(-maxSkew)), testNow); err != nil || len(heard.Deliveries) != 1 || len(heard.Inbound) != 0 {
		t.Errorf("%+v, %v", heard, err)
	}
	if heard, err := b.Read(call("From: x\r\n\r\nHello", hookSecret, testNow), testNow); err != nil || len(heard.Deliveries) != 0 {
		t.Errorf("a letter: %+v, %v", heard, err)
	}
	quiet, err := NewBounces(secrets, "")
	if err != nil {
		t.Fatal(err)
	}
	altered, unsigned := call(body, hookSecret, testNow), call(body, hookSecret, testNow)
	altered.Body = append(altered.Body, ' ')
	delete(unsigned.Header, signatureHeader)
	moved := call(body, hookSecret, testNow)
	moved.Header[timestampHeader] = []string{strconv.FormatInt(testNow.Unix()+1, 10)}
	for name, c := range map[string]struct {
		reader *Bounces
		hook   channels.Webhook
	}{
		"another secret": {b, call(body, hookSecret+"x", testNow)}, "an old call": {b, call(body, hookSecret, testNow.Add(-maxSkew-time.Second))},
		"a call of tomorrow": {b, call(body, hookSecret, testNow.Add(maxSkew+time.Second))}, "another body": {b, altered}, "another time": {b, moved}, "unsigned": {b, unsigned},
		"no secret is set": {quiet, call(body, "", testNow)}, "nothing": {b, channels.Webhook{}},
	} {
		if heard, err := c.reader.Read(c.hook, testNow); !errors.Is(err, channels.ErrForged) || len(heard.Deliveries) != 0 {
			t.Errorf("%s: %+v, %v", name, heard, err)
		}
	}
}

// What goes out can be recognised when it comes back, and by nothing but the secret.
func TestMarks(t *testing.T) {
	m, err := newMarks(secrets)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.Int64Range(1, 1<<62).Draw(t, "attempt")
		id := m.id(attempt, "clinic.example")
		if got := m.attempt(" <" + id + "> "); got != attempt {
			t.Fatalf("%s reads as %d", id, got)
		}
		at := rapid.IntRange(len("heed."), strings.IndexByte(id, '@')-1).Draw(t, "at")
		if other := id[:at] + string(rapid.SampledFrom([]byte("0123456789abcdef.")).Draw(t, "letter")) + id[at+1:]; other != id && m.attempt(other) != 0 {
			t.Fatalf("%s was taken", other)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "address")
		if written := toXtext(text); strings.ContainsAny(written, "= ") || fromXtext(written) != text {
			t.Fatalf("%q is written %q and read %q", text, written, fromXtext(written))
		}
	})
}

// A relay that knows DSN is asked to return no text, and to name the address as it was.
func TestDSN(t *testing.T) {
	r := newRelay(t, func(r *relay) { r.dsn = true })
	o := r.options()
	o.Secrets = secrets
	m := letter(1, "reader")
	receipt, err := newAdapter(t, o).Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	got := r.taken()[0]
	if got.from != "<care@clinic.example> BODY=8BITMIME RET=HDRS" || got.to != "<reader+301@patients.example> NOTIFY=FAILURE ORCPT=rfc822;reader+2B301@patients.example" {
		t.Errorf("%+v", got)
	}
	if receipt.ProviderID != ourID(t, 9001, secrets[0]) {
		t.Errorf("%+v", receipt)
	}
	header, _, _ := got.read(t)
	list := bounces(t).Letter([]byte(notification(strings.Trim(header.Get("Message-Id"), "<>"), fields("failed", "5.1.1", "x"))), testNow)
	if len(list) != 1 || list[0].Attempt != m.Attempt {
		t.Errorf("the bounce of it is %+v", list)
	}
}

// FuzzBounce: whatever mail comes, nothing breaks, and without the signed id it says nothing.
func FuzzBounce(f *testing.F) {
	id := ourID(f, 9001, secrets[0])
	f.Add([]byte(notification(id, fields("failed", "5.1.1", "550 5.1.1 x"))))
	f.Add([]byte(notification("x", fields("delayed", "4.0.0", "x"))))
	f.Add([]byte("Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n!!\n--b\n\n"))
	b := bounces(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, e := range b.Letter(raw, testNow) {
			if e.Attempt != 9001 || e.To == "" || len(e.To) > maxAddress || !e.Claimed || e.Status != channels.Failed || len(e.EventID) > 100 {
				t.Errorf("%+v", e)
			}
		}
	})
}
