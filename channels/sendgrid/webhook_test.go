package sendgrid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

var testNow = time.Date(2026, 3, 3, 15, 0, 0, 0, time.UTC)

// signer signs as SendGrid does.
type signer struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

func newSigner(t testing.TB) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, key}
}

func (s signer) der(public any) []byte {
	s.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		s.t.Fatal(err)
	}
	return der
}

func (s signer) reader() *Adapter {
	return newAdapter(s.t, Options{WebhookPublicKey: base64.StdEncoding.EncodeToString(s.der(&s.key.PublicKey))})
}

func (s signer) hook(at time.Time, body string) channels.Webhook {
	stamp := fmt.Sprint(at.Unix())
	digest := sha256.Sum256([]byte(stamp + body))
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return call(base64.StdEncoding.EncodeToString(signature), stamp, body)
}

func call(signature, stamp, body string) channels.Webhook {
	return channels.Webhook{URL: "https://heed.example/webhooks/sendgrid/events", Body: []byte(body), Header: map[string][]string{
		"X-Twilio-Email-Event-Webhook-Signature": {signature}, "X-Twilio-Email-Event-Webhook-Timestamp": {stamp},
	}}
}

// The example that the vendor's library is tested with.
func TestVendorsExample(t *testing.T) {
	const (
		public    = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
		signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
		body      = `[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]` + "\r\n"
	)
	heard, err := newAdapter(t, Options{WebhookPublicKey: public}).Read(call(signature, "1600112502", body), time.Unix(1600112503, 0))
	want := channels.Heard{Deliveries: []channels.Delivery{{
		EventID: "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA", ProviderID: "LRzXl_NHStOGhQ4kofSm_A",
		Status: channels.Failed, Kind: channels.AddressIsBad, Code: "dropped bounced", To: "hello@world.com", At: time.Unix(1600112492, 0).UTC(),
	}}}
	if diff := cmp.Diff(want, heard); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestForged(t *testing.T) {
	s := newSigner(t)
	a := s.reader()
	const body = `[{"event":"delivered","sg_event_id":"e1","email":"ann@patients.example","timestamp":1772549999}]`
	good := s.hook(testNow, body)
	signature, stamp := good.Header["X-Twilio-Email-Event-Webhook-Signature"][0], good.Header["X-Twilio-Email-Event-Webhook-Timestamp"][0]
	der, _ := base64.StdEncoding.DecodeString(signature)
	if heard, err := a.Read(good, testNow); err != nil || len(heard.Deliveries) != 1 {
		t.Fatalf("%+v, %v", heard, err)
	}
	for name, w := range map[string]channels.Webhook{
		"nothing":             {},
		"no signature":        call("", stamp, body),
		"no timestamp":        call(signature, "", body),
		"no base64":           call("!"+signature, stamp, body),
		"half a signature":    call(base64.StdEncoding.EncodeToString(der[:len(der)/2]), stamp, body),
		"signed by others":    newSigner(t).hook(testNow, body),
		"another body":        call(signature, stamp, body+" "),
		"another timestamp":   call(signature, fmt.Sprint(testNow.Unix()+1), body),
		"a moved border":      call(signature, stamp+body[:1], body[1:]),
		"a timestamp of text": s.hook(testNow, body),
		"too old":             s.hook(testNow.Add(-maxSkew-time.Second), body),
		"too new":             s.hook(testNow.Add(maxSkew+time.Second), body),
		"long ago":            s.hook(time.Unix(-1<<60, 0), body),
		"broken, not signed":  call("", stamp, "{"),
	} {
		if name == "a timestamp of text" {
			digest := sha256.Sum256([]byte("now" + body))
			der, _ := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
			w = call(base64.StdEncoding.EncodeToString(der), "now", body)
		}
		if heard, err := a.Read(w, testNow); err != channels.ErrForged || len(heard.Deliveries) != 0 {
			t.Errorf("%s: %+v, %v", name, heard, err)
		}
	}
	for _, off := range []time.Duration{-maxSkew, maxSkew} {
		if _, err := a.Read(s.hook(testNow.Add(off), body), testNow); err != nil {
			t.Errorf("%s off: %v", off, err)
		}
	}
	// Without a key nothing is believed.
	if _, err := newAdapter(t, Options{}).Read(good, testNow); err != channels.ErrForged {
		t.Errorf("without a key: %v", err)
	}
}

func TestPublicKeys(t *testing.T) {
	s := newSigner(t)
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sized, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := s.der(&s.key.PublicKey)
	private, err := x509.MarshalECPrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	shown := base64.StdEncoding.EncodeToString
	inPEM := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, c := range map[string]struct {
		key string
		ok  bool
	}{
		"as shown":       {shown(der), true},
		"with a newline": {"\n" + shown(der) + "\n", true},
		"PEM":            {inPEM("PUBLIC KEY", der), true},
		"another curve":  {shown(s.der(&small.PublicKey)), false},
		"RSA":            {shown(s.der(&sized.PublicKey)), false},
		"RSA in PEM":     {inPEM("PUBLIC KEY", s.der(&sized.PublicKey)), false},
		"a private key":  {inPEM("EC PRIVATE KEY", private), false},
		"half a key":     {shown(der[:40]), false},
		"half a PEM":     {inPEM("PUBLIC KEY", der)[:60], false},
	} {
		a, err := New(Options{WebhookPublicKey: c.key})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if _, err := a.Read(s.hook(testNow, `[]`), testNow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// eventOf gives an event of ours with fields changed or, by nil, left out.
func eventOf(fields object) string {
	e := object{
		"event": "delivered", "sg_event_id": "e1", "sg_message_id": "Cy7CjT6pQ.recvd-6-5F5FC76C-9.0", "email": "Ann@Patients.example",
		"timestamp": testNow.Unix() - 60, "attempt": "9001", "smtp-id": "<x@y>", "ip": "192.0.2.1",
	}
	for k, v := range fields {
		if e[k] = v; v == nil {
			delete(e, k)
		}
	}
	text, _ := json.Marshal(e)
	return string(text)
}

func TestEvents(t *testing.T) {
	s := newSigner(t)
	a := s.reader()
	usual := func(change func(*channels.Delivery)) *channels.Delivery {
		d := channels.Delivery{EventID: "e1", Attempt: 9001, ProviderID: "Cy7CjT6pQ", To: "ann@patients.example", At: testNow.Add(-time.Minute)}
		change(&d)
		return &d
	}
	failure := func(kind channels.SendErrorKind, code string) *channels.Delivery {
		return usual(func(d *channels.Delivery) { d.Status, d.Kind, d.Code = channels.Failed, kind, code })
	}
	refusal := func(code string) *channels.Delivery {
		return usual(func(d *channels.Delivery) {
			d.Status, d.Kind, d.Code, d.Unsub = channels.Failed, channels.PersonOptedOut, code, true
		})
	}
	delivered := func(change func(*channels.Delivery)) *channels.Delivery {
		return usual(func(d *channels.Delivery) { d.Status = channels.Delivered; change(d) })
	}
	dropped := func(reason string) object { return object{"event": "dropped", "reason": reason} }
	const told = "550 5.1.1 ann@patients.example does not exist"
	for name, c := range map[string]struct {
		event object
		want  *channels.Delivery // nil: it says nothing to us
	}{
		"processed": {object{"event": "processed"}, usual(func(d *channels.Delivery) { d.Status = channels.Accepted })},
		"deferred":  {object{"event": "deferred", "response": told}, usual(func(d *channels.Delivery) { d.Status, d.Code = channels.Accepted, "deferred" })},
		"delivered": {object{"response": "250 OK"}, delivered(func(*channels.Delivery) {})},

		"bounce":              {object{"event": "bounce", "type": "bounce", "reason": told, "status": "5.1.1"}, failure(channels.AddressIsBad, "bounce 5.1.1")},
		"bounce, no status":   {object{"event": "bounce", "type": "bounce", "reason": told}, failure(channels.AddressIsBad, "bounce")},
		"bounce, odd status":  {object{"event": "bounce", "type": "bounce", "status": told}, failure(channels.AddressIsBad, "bounce")},
		"blocked":             {object{"event": "bounce", "type": "blocked", "reason": told, "status": "5.7.1"}, failure(channels.TryNever, "blocked 5.7.1")},
		"a bounce of no type": {object{"event": "bounce", "status": "5.0.0"}, failure(channels.TryNever, "bounce 5.0.0")},

		"dropped: bounced":      {dropped("Bounced Address"), failure(channels.AddressIsBad, "dropped bounced")},
		"dropped: invalid":      {dropped("Invalid"), failure(channels.AddressIsBad, "dropped invalid")},
		"dropped: header":       {dropped("Invalid SMTPAPI header"), failure(channels.TryNever, "dropped")},
		"dropped: unsubscribed": {dropped("Unsubscribed Address"), refusal("dropped unsubscribed")},
		"dropped: reported":     {dropped("Spam Reporting Address"), refusal("dropped spam_report")},
		"dropped: content":      {dropped("Spam Content"), failure(channels.TryNever, "dropped spam_content")},
		"dropped: quota":        {dropped("Recipient List over Package Quota"), failure(channels.OperatorMustAct, "dropped over_quota")},
		"dropped: words":        {dropped("ann@patients.example"), failure(channels.TryNever, "dropped")},
		"dropped: no reason":    {object{"event": "dropped"}, failure(channels.TryNever, "dropped")},

		"spam report":       {object{"event": "spamreport"}, usual(func(d *channels.Delivery) { d.SpamReport = true })},
		"unsubscribe":       {object{"event": "unsubscribe"}, usual(func(d *channels.Delivery) { d.Unsub = true })},
		"group unsubscribe": {object{"event": "group_unsubscribe", "asm_group_id": 12}, usual(func(d *channels.Delivery) { d.Unsub = true })},

		// A click is not a person.
		"open":              {object{"event": "open"}, nil},
		"click":             {object{"event": "click", "url": "https://heed.example/u/abc"}, nil},
		"group resubscribe": {object{"event": "group_resubscribe"}, nil},
		"a later event":     {object{"event": "teleported"}, nil},
		"no event":          {object{"event": nil}, nil},
		"an odd event":      {object{"event": []string{"delivered"}}, nil},

		"not ours":             {object{"attempt": nil}, delivered(func(d *channels.Delivery) { d.Attempt = 0 })},
		"a numeric attempt":    {object{"attempt": 9001}, delivered(func(*channels.Delivery) {})},
		"an odd attempt":       {object{"attempt": object{"a": 1}}, delivered(func(d *channels.Delivery) { d.Attempt = 0 })},
		"an attempt of text":   {object{"attempt": "first"}, delivered(func(d *channels.Delivery) { d.Attempt = 0 })},
		"an attempt below 0":   {object{"attempt": "-9001"}, delivered(func(d *channels.Delivery) { d.Attempt = 0 })},
		"an attempt too large": {object{"attempt": "9223372036854775808"}, delivered(func(d *channels.Delivery) { d.Attempt = 0 })},
		"no message":           {object{"sg_message_id": nil}, delivered(func(d *channels.Delivery) { d.ProviderID = "" })},
		"a bare message":       {object{"sg_message_id": "abc"}, delivered(func(d *channels.Delivery) { d.ProviderID = "abc" })},

		// An opt-out of no time must not stand before every yes, nor one of a time to
		// come after every later word.
		"no time":        {object{"event": "spamreport", "timestamp": nil}, usual(func(d *channels.Delivery) { d.SpamReport, d.At = true, testNow })},
		"time 0":         {object{"event": "spamreport", "timestamp": 0}, usual(func(d *channels.Delivery) { d.SpamReport, d.At = true, testNow })},
		"a time to come": {object{"event": "spamreport", "timestamp": testNow.Unix() + 3600}, usual(func(d *channels.Delivery) { d.SpamReport, d.At = true, testNow })},
		"a far time":     {object{"timestamp": "9223372036854775807"}, delivered(func(d *channels.Delivery) { d.At = testNow })},
		"a time of text": {object{"timestamp": fmt.Sprint(testNow.Unix() - 60)}, delivered(func(*channels.Delivery) {})},
	} {
		t.Run(name, func(t *testing.T) {
			heard, err := a.Read(s.hook(testNow, "["+eventOf(c.event)+"]"), testNow)
			want := channels.Heard{}
			if c.want != nil {
				want.Deliveries = []channels.Delivery{*c.want}
			}
			if diff := cmp.Diff(want, heard); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

// Two events without an id are two, and one that comes again is one.
func TestEventsWithoutAnID(t *testing.T) {
	s := newSigner(t)
	body := "[" + eventOf(object{"event": "spamreport", "sg_event_id": nil}) + "," + eventOf(object{"event": "unsubscribe", "sg_event_id": nil}) + "]"
	var ids []string
	for range 2 {
		heard, err := s.reader().Read(s.hook(testNow, body), testNow)
		if err != nil || len(heard.Deliveries) != 2 {
			t.Fatalf("%+v, %v", heard, err)
		}
		for _, d := range heard.Deliveries {
			ids = append(ids, d.EventID)
		}
	}
	if ids[0] == ids[1] || ids[0] != ids[2] || ids[1] != ids[3] || ids[0] == "" || strings.Contains(ids[0], "ann") {
		t.Errorf("ids %q", ids)
	}
}

func TestUnreadable(t *testing.T) {
	s := newSigner(t)
	a := s.reader()
	many := func(n int) string { return "[" + strings.Repeat("{},", n-1) + "{}]" }
	for name, body := range map[string]string{
		"nothing": "", "no list": `{"event":"delivered"}`, "text": `"ann@patients.example"`, "null": "null", "half a list": "[" + eventOf(nil), "half an event": `[{"event":"deliv`,
		"a list of text": `["ann@patients.example"]`, "a list of lists": `[[]]`, "something after": "[]{}", "two lists": "[][]", "two ends": "[]]", "a comma": "[{},]", "no comma": "[{}{}]", "bytes": "[\xff]",
		"too many": many(maxEvents + 1), "too large": "[" + strings.Repeat(" ", maxBody) + "]", "too deep": "[" + strings.Repeat("[", 100_000),
		"one good, one not": "[" + eventOf(nil) + `,7]`,
	} {
		heard, err := a.Read(s.hook(testNow, body), testNow)
		if err == nil || errors.Is(err, channels.ErrForged) || len(heard.Deliveries) != 0 {
			t.Errorf("%s: %d deliveries, %v", name, len(heard.Deliveries), err)
		} else if strings.Contains(err.Error(), "patients") {
			t.Errorf("%s: the error tells an address: %v", name, err)
		}
	}
	for name, body := range map[string]string{"empty": "[]", "spaces": " [ ] \r\n", "the most": many(maxEvents), "null inside": "[null]"} {
		if heard, err := a.Read(s.hook(testNow, body), testNow); err != nil || len(heard.Deliveries) != 0 {
			t.Errorf("%s: %d deliveries, %v", name, len(heard.Deliveries), err)
		}
	}
}

// An odd event loses nothing of what stands beside it.
func TestOddEventsLoseNothing(t *testing.T) {
	s := newSigner(t)
	a := s.reader()
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.SampledFrom([]string{"event", "sg_event_id", "sg_message_id", "email", "timestamp", "type", "reason", "status", "attempt", "other"}).Draw(t, "field")
		value := rapid.SampledFrom([]any{1, -1.5e300, true, []any{}, object{"a": []any{object{}}}, "\u0000", "<", "é\xff"}).Draw(t, "value")
		body := "[" + eventOf(object{field: value}) + "," + eventOf(object{"event": "spamreport", "sg_event_id": "stop"}) + "]"
		heard, err := a.Read(s.hook(testNow, body), testNow)
		if n := len(heard.Deliveries); err != nil || n == 0 || !heard.Deliveries[n-1].SpamReport || heard.Deliveries[n-1].EventID != "stop" {
			t.Errorf("%s: %+v, %v", body, heard, err)
		}
	})
}

// Whatever comes in signed, the reader answers, never panics, and holds its word on
// what it gives.
func FuzzRead(f *testing.F) {
	s := newSigner(f)
	a := s.reader()
	f.Add("[" + eventOf(nil) + "]")
	f.Add("[" + eventOf(object{"event": "bounce", "type": "bounce", "status": "5.1.1"}) + `,{"event":"spamreport"},null]`)
	f.Add(`[{"event":"dropped","reason":7,"timestamp":"x"}]`)
	f.Fuzz(func(t *testing.T, body string) {
		heard, err := a.Read(s.hook(testNow, body), testNow)
		if err != nil && len(heard.Deliveries) > 0 {
			t.Error("an error came with deliveries")
		}
		for _, d := range heard.Deliveries {
			news := d.Status != 0 || d.SpamReport || d.Unsub
			if d.EventID == "" || d.Attempt < 0 || d.At.After(testNow) || !d.At.After(time.Unix(0, 0)) || !news || (d.Kind != 0) != (d.Status == channels.Failed) || len(d.Code) > 40 || strings.Contains(d.Code, "@") {
				t.Errorf("%q gives %+v", body, d)
			}
		}
	})
}
