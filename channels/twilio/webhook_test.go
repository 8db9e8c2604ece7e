package twilio

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twilio/twilio-go/client"
	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

const smsURL = "https://heed.example/webhooks/twilio/sms"

// seal signs as Twilio's page says, written apart from the adapter.
func seal(token, signed string) string {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(signed))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func joined(form url.Values) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, v := range form[name] {
			b.WriteString(name + v)
		}
	}
	return b.String()
}

func hook(at, signature string, form url.Values) channels.Webhook {
	return channels.Webhook{URL: at, Body: []byte(form.Encode()), Header: map[string][]string{
		"Content-Type": {"application/x-www-form-urlencoded; charset=UTF-8"}, "X-Twilio-Signature": {signature},
	}}
}

func signedHook(at string, form url.Values) channels.Webhook {
	return hook(at, seal(testToken, at+joined(form)), form)
}

func stopForm() url.Values {
	return url.Values{
		"AccountSid": {testAccount}, "MessageSid": {"SM1"}, "SmsStatus": {"received"}, "From": {patient}, "To": {careNumber},
		"Body": {"Stop & thanks é"}, "NumMedia": {"0"}, "OptOutType": {"STOP"}, "MessagingServiceSid": {testService},
	}
}

func statusForm(status string) url.Values {
	return url.Values{
		"AccountSid": {testAccount}, "MessageSid": {"SM1"}, "SmsSid": {"SM1"}, "MessageStatus": {status}, "SmsStatus": {status},
		"To": {patient}, "From": {careNumber},
	}
}

func reader(t *testing.T) *Adapter {
	return newAdapter(t, Options{AccountSID: testAccount, AuthToken: testToken, PreviousAuthToken: "old token"})
}

// The vendor's own example: https://www.twilio.com/docs/usage/webhooks/webhooks-security
func TestVendorsExample(t *testing.T) {
	a := newAdapter(t, Options{AccountSID: testAccount, AuthToken: "12345"})
	form := url.Values{
		"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"},
	}
	const at = "https://mycompany.com/myapp.php?foo=1&bar=2"
	if !a.signed(at, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=") {
		t.Error("the vendor's signature is refused")
	}
}

func TestInboundText(t *testing.T) {
	heard, err := reader(t).Read(signedHook(smsURL, stopForm()), noon)
	want := channels.Heard{Inbound: []channels.Inbound{{
		ID: "SM1", From: patient, To: careNumber, Body: "Stop & thanks é", Service: testService, OptOut: "STOP", At: noon,
	}}}
	if diff := cmp.Diff(want, heard); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestStatus(t *testing.T) {
	for word, want := range map[string]channels.DeliveryStatus{
		"accepted": channels.Accepted, "queued": channels.Accepted, "sending": channels.Accepted, "sent": channels.OnItsWay,
		"delivered": channels.Delivered, "read": channels.Delivered, "failed": channels.Failed, "undelivered": channels.Failed,
	} {
		form := statusForm(word)
		kind := channels.SendErrorKind(0)
		if want == channels.Failed {
			form.Set("ErrorCode", "30005")
			kind = channels.AddressIsBad
		}
		heard, err := reader(t).Read(signedHook("https://heed.example/webhooks/twilio/status?attempt=9007", form), noon)
		wanted := channels.Heard{Deliveries: []channels.Delivery{{
			EventID: "SM1:" + word, Attempt: 9007, ProviderID: "SM1", Status: want, Kind: kind, Code: form.Get("ErrorCode"), From: careNumber, To: patient, At: noon,
		}}}
		if diff := cmp.Diff(wanted, heard); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", word, err, diff)
		}
	}
	for _, word := range []string{"", "receiving", "scheduled", "canceled", "new-word"} {
		heard, err := reader(t).Read(signedHook(smsURL, statusForm(word)), noon)
		if err != nil || heard.Deliveries != nil || heard.Inbound != nil {
			t.Errorf("%q: %+v, %v", word, heard, err)
		}
	}
}

func TestDeliveryKinds(t *testing.T) {
	for code, want := range map[string]channels.SendErrorKind{
		"21610": channels.PersonOptedOut, "30004": channels.PersonOptedOut, "30005": channels.AddressIsBad, "30006": channels.NotTextable,
		"30003": channels.TryLater, "30008": channels.TryLater, "30007": channels.OperatorMustAct, "30034": channels.OperatorMustAct,
		"30999": channels.TryNever, "": channels.TryNever, "none": channels.TryNever,
	} {
		form := statusForm("failed")
		form.Set("ErrorCode", code)
		heard, err := reader(t).Read(signedHook(smsURL, form), noon)
		if err != nil || len(heard.Deliveries) != 1 || heard.Deliveries[0].Kind != want || heard.Deliveries[0].Code != code {
			t.Errorf("%q: %+v, %v", code, heard, err)
		}
	}
}

func TestAttempt(t *testing.T) {
	for query, want := range map[string]int64{
		"?attempt=7": 7, "?x=1&attempt=9223372036854775807": 9223372036854775807,
		"": 0, "?attempt=": 0, "?attempt=-7": 0, "?attempt=9223372036854775808": 0, "?attempt=seven": 0, "?attempt=%zz": 0,
	} {
		if got := attemptOf("https://heed.example/webhooks/twilio/status" + query); got != want {
			t.Errorf("%q: %d, want %d", query, got, want)
		}
	}
}

func TestForged(t *testing.T) {
	form := stopForm()
	good := seal(testToken, smsURL+joined(form))
	other := stopForm()
	other.Set("Body", "START")
	more := stopForm()
	more.Add("Body", "START")
	elsewhere := stopForm()
	elsewhere.Set("AccountSid", "AC9")
	nobodys := stopForm()
	nobodys.Del("AccountSid")
	plainBody := hook(smsURL, good, form)
	plainBody.Header["Content-Type"] = []string{"application/json"}
	noType := hook(smsURL, good, form)
	delete(noType.Header, "Content-Type")
	unsigned := hook(smsURL, good, form)
	delete(unsigned.Header, "X-Twilio-Signature")
	broken := hook(smsURL, good, form)
	broken.Body = []byte("Body=%zz")
	for name, w := range map[string]channels.Webhook{
		"no signature":            unsigned,
		"an empty signature":      hook(smsURL, "", form),
		"no base64":               hook(smsURL, "!!", form),
		"a cut signature":         hook(smsURL, good[:20], form),
		"another token":           hook(smsURL, seal("other", smsURL+joined(form)), form),
		"an empty token":          hook(smsURL, seal("", smsURL+joined(form)), form),
		"another body":            hook(smsURL, good, other),
		"a value added":           hook(smsURL, good, more),
		"another address":         hook("https://heed.example/webhooks/twilio/status", good, form),
		"another query":           hook(smsURL+"?attempt=1", good, form),
		"another scheme":          hook("http://heed.example/webhooks/twilio/sms", good, form),
		"another account":         signedHook(smsURL, elsewhere),
		"no account":              signedHook(smsURL, nobodys),
		"not a form":              plainBody,
		"no type":                 noType,
		"a form nobody can read":  broken,
		"nothing at all":          {},
		"a signature of nothing":  hook("", seal(testToken, ""), nil),
		"a hex signature":         hook(smsURL, "0123456789abcdef0123456789abcdef01234567", form),
		"the signature of a list": hook(smsURL, good+","+good, form),
	} {
		if heard, err := reader(t).Read(w, noon); !errors.Is(err, channels.ErrForged) || heard.Inbound != nil || heard.Deliveries != nil {
			t.Errorf("%s: %+v, %v", name, heard, err)
		}
	}
	// An adapter without a token must not take an empty one for it.
	empty := url.Values{"AccountSid": {""}, "MessageSid": {"SM1"}, "From": {patient}, "To": {careNumber}, "Body": {"START"}}
	if _, err := newAdapter(t, Options{}).Read(hook(smsURL, seal("", smsURL+joined(empty)), empty), noon); !errors.Is(err, channels.ErrForged) {
		t.Errorf("without a token: %v", err)
	}
}

func TestSignedButNotUnderstood(t *testing.T) {
	for name, drop := range map[string][]string{"no message": {"MessageSid"}, "no sender": {"From"}, "no text": {"Body"}} {
		form := stopForm()
		for _, field := range drop {
			form.Del(field)
		}
		if _, err := reader(t).Read(signedHook(smsURL, form), noon); err == nil || errors.Is(err, channels.ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenBeingChanged(t *testing.T) {
	form := stopForm()
	for _, token := range []string{testToken, "old token"} {
		if _, err := reader(t).Read(hook(smsURL, seal(token, smsURL+joined(form)), form), noon); err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
}

// Repeated fields: as the page says, and as the vendor's libraries do it.
func TestRepeatedFields(t *testing.T) {
	form := stopForm()
	form["MediaUrl"] = []string{"b", "a", "b"}
	rest := stopForm()
	before, after := url.Values{}, url.Values{}
	for name, values := range rest {
		if name < "MediaUrl" {
			before[name] = values
		} else {
			after[name] = values
		}
	}
	for name, fields := range map[string]string{
		"every value as it came":                "MediaUrlbMediaUrlaMediaUrlb",
		"each different value once, in order":   "MediaUrlaMediaUrlb",
		"only the first, as one library has it": "MediaUrlb",
	} {
		_, err := reader(t).Read(hook(smsURL, seal(testToken, smsURL+joined(before)+fields+joined(after)), form), noon)
		if wrong := strings.HasPrefix(name, "only"); wrong != errors.Is(err, channels.ErrForged) || !wrong && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPorts(t *testing.T) {
	form := stopForm()
	for ours, signed := range map[string]string{
		"https://heed.example/sms?a=%2F":     "https://heed.example:443/sms?a=%2F",
		"https://heed.example:443/sms":       "https://heed.example/sms",
		"https://heed.example:8443/sms?x=:1": "https://heed.example/sms?x=:1",
		"http://heed.example?x=1":            "http://heed.example:80?x=1",
		"http://[::1]/sms":                   "http://[::1]:80/sms",
		"http://[::1]:8080/sms":              "http://[::1]/sms",
	} {
		if _, err := reader(t).Read(hook(ours, seal(testToken, signed+joined(form)), form), noon); err != nil {
			t.Errorf("%s signed as %s: %v", ours, signed, err)
		}
	}
	for ours, signed := range map[string]string{
		"https://heed.example/sms": "https://heed.example:80/sms",
		"http://heed.example/sms":  "http://heed.example:443/sms",
		"https://heed.example/a:1": "https://heed.example/a",
	} {
		if _, err := reader(t).Read(hook(ours, seal(testToken, signed+joined(form)), form), noon); !errors.Is(err, channels.ErrForged) {
			t.Errorf("%s signed as %s: %v", ours, signed, err)
		}
	}
}

// The vendor's own validator agrees wherever no field repeats.
func TestVendorsValidatorAgrees(t *testing.T) {
	a := reader(t)
	rapid.Check(t, func(t *rapid.T) {
		form := url.Values{}
		for name, value := range rapid.MapOfN(rapid.StringMatching(`[A-Za-z]{1,8}`), rapid.String(), 0, 6).Draw(t, "form") {
			form.Set(name, value)
		}
		at := rapid.SampledFrom([]string{smsURL, "http://127.0.0.1:8080/webhooks/twilio/status?attempt=7", "https://heed.example:443/"}).Draw(t, "url")
		signature := seal(testToken, at+joined(form))
		if rapid.Bool().Draw(t, "spoil") {
			signature = seal(testToken, at+"x"+joined(form))
		}
		theirs := client.NewRequestValidator(testToken)
		if got, want := a.signed(at, form, signature), theirs.ValidateBody(at, []byte(form.Encode()), signature); got != want {
			t.Fatalf("ours says %v, theirs %v", got, want)
		}
	})
}

// next waits for the next webhook of the pretend carrier.
func (w *world) next(t *testing.T) channels.Webhook {
	t.Helper()
	select {
	case h := <-w.hooks:
		return h
	case <-time.After(10 * time.Second):
		t.Fatal("no webhook came")
		return channels.Webhook{}
	}
}

// From the form of a text to its receipt, over the wire.
func TestReceiptsOfThePretendCarrier(t *testing.T) {
	for name, c := range map[string]struct {
		service bool
		last    string
		want    []channels.DeliveryStatus
		kind    channels.SendErrorKind
	}{
		"delivered":              {false, "0143", []channels.DeliveryStatus{channels.Accepted, channels.OnItsWay, channels.Delivered}, 0},
		"opted out, by service":  {true, "0011", []channels.DeliveryStatus{channels.Accepted, channels.Failed}, channels.PersonOptedOut},
		"out of reach":           {false, "0018", []channels.DeliveryStatus{channels.Accepted, channels.OnItsWay, channels.Failed}, channels.TryLater},
		"delivered, answer lost": {false, "0016", []channels.DeliveryStatus{channels.Accepted, channels.OnItsWay, channels.Delivered}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.service {
				w.opt.MessagingService = map[channels.Program]string{channels.Care: testService}
			}
			a := w.adapter(t)
			m := text(1, c.last)
			if _, err := a.Send(t.Context(), m); err != nil && c.last != "0016" {
				t.Fatal(err)
			}
			events := map[string]bool{}
			for i, status := range c.want {
				heard, err := a.Read(w.next(t), noon)
				if err != nil || len(heard.Deliveries) != 1 {
					t.Fatalf("%+v, %v", heard, err)
				}
				d := heard.Deliveries[0]
				if d.Status != status || d.Attempt != m.Attempt || d.ProviderID != w.Messages()[0].ID || d.To != m.To || events[d.EventID] {
					t.Errorf("step %d: %+v", i, d)
				}
				if status == channels.Failed && d.Kind != c.kind {
					t.Errorf("failed as %s, want %s", d.Kind, c.kind)
				}
				events[d.EventID] = true
			}
		})
	}
}

func TestReplyOfThePretendCarrier(t *testing.T) {
	w := newWorld(t)
	a := w.adapter(t)
	said := w.Reply(patient, careNumber, "Stop, please", false)
	heard, err := a.Read(w.next(t), noon)
	if err != nil || len(heard.Inbound) != 1 {
		t.Fatalf("%+v, %v", heard, err)
	}
	got := heard.Inbound[0]
	// The same text must have the same id in the webhook and in the list, or it would be taken twice.
	listed, err := a.Inbox(t.Context(), time.Now().Add(-time.Minute))
	if err != nil || len(listed) != 1 || listed[0].ID != got.ID || got.ID != said.ID || got.Body != said.Body || listed[0].From != got.From {
		t.Errorf("heard %+v\nlisted %+v, %v", got, listed, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(smsURL, stopForm().Encode(), "application/x-www-form-urlencoded")
	f.Add(smsURL+"?attempt=7", statusForm("sent").Encode(), "application/x-www-form-urlencoded")
	f.Add("::", "a=b&a=c;", "text/plain; =")
	a, err := New(Options{AccountSID: testAccount, AuthToken: testToken})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at, body, kind string) {
		w := channels.Webhook{URL: at, Body: []byte(body), Header: map[string][]string{"Content-Type": {kind}, "X-Twilio-Signature": {seal("other", at+body)}}}
		if _, err := a.Read(w, noon); !errors.Is(err, channels.ErrForged) {
			t.Fatalf("a call that nobody signed: %v", err)
		}
		// Signed as it should be, nothing in it may break the reader.
		if form, err := url.ParseQuery(body); err == nil {
			heard, _ := a.Read(signedHook(at, form), noon)
			if c, err := a.ReadCall(signedHook(at, form), noon); err == nil && (c.ID == "" || c.Attempt < 0 || c.Asked < 0) {
				t.Fatalf("%+v", c)
			}
			for _, d := range heard.Deliveries {
				if d.EventID == "" || d.ProviderID == "" || d.Status == 0 {
					t.Fatalf("%+v", d)
				}
			}
		}
	})
}
