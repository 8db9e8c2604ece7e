package twilio

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/channelstest"
)

var description = sync.OnceValues(func() (*channelstest.Description, error) {
	return channelstest.Describe("testdata/twilio.yaml")
})

// described gives what Twilio publishes about the requests that this adapter makes.
// newAdapter holds every test of this package to it, and newWorld the pretend carrier.
func described(t testing.TB) *channelstest.Description {
	t.Helper()
	d, err := description()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// describedProvider checks every request as it comes over the wire, notes which
// operation it calls, and lets next answer.
func describedProvider(t *testing.T, next http.HandlerFunc) (*provider, map[string]int) {
	called := map[string]int{}
	return newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		operation, err := described(t).Request(r, "/")
		if err != nil {
			t.Errorf("over the wire: %v", err)
		}
		called[operation]++
		next(w, r)
	}), called
}

// anything answers each operation as when all is well; a list of texts has two pages.
func anything(w http.ResponseWriter, r *http.Request) {
	path, texts, calls := r.URL.Path, strings.HasSuffix(r.URL.Path, "/Messages.json"), strings.HasSuffix(r.URL.Path, "/Calls.json")
	switch {
	case r.Method == http.MethodPost && texts:
		answering(http.StatusCreated, taken)(w, r)
	case r.Method == http.MethodPost && calls:
		answering(http.StatusCreated, takenCall)(w, r)
	case r.Method == http.MethodPost: // consents
		answering(http.StatusCreated, `{"items": []}`)(w, r)
	case texts && r.URL.Query().Get("PageToken") == "":
		json.NewEncoder(w).Encode(map[string]any{"messages": []any{}, "next_page_uri": path + "?PageSize=500&Page=1&PageToken=PA" + sid(1)})
	case texts, calls:
		json.NewEncoder(w).Encode(map[string]any{"messages": []any{}, "calls": []any{}, "next_page_uri": nil})
	default:
		answering(http.StatusNotFound, `{"code": 20404}`)(w, r)
	}
}

// everyText is the texts that differ in a way that may matter on the wire.
var everyText = map[string]string{
	"plain":         "See you at 3 PM",
	"one letter":    "C",
	"signs of urls": "50% & more = a+b? #1 https://heed.example/p/abc;x=1",
	"GSM extension": "[10:30] {a} ~ ^ \\ | €",
	"Spanish":       "¿Confirma su cita? Responda SÍ, señora",
	"unicode":       "“Quoted” 😀 日本語 \u200d",
	"lines":         "one\r\ntwo\n\nthree\t",
	"longest":       strings.Repeat("x", 1600),
	"longest, é":    strings.Repeat("é", 1600),
}

// Every shape of a request that the adapter can make, over the wire.
func TestEveryRequestIsAsTwilioDescribes(t *testing.T) {
	p, called := describedProvider(t, anything)
	number, service := p.callOptions(), p.callOptions()
	number.StatusCallback = "https://heed.example/webhooks/twilio/status?tenant=7"
	service.MessagingService = map[channels.Program]string{channels.Care: testService}
	service.VoiceURL += "?tenant=7&x=%26"
	since := time.Date(2026, 3, 8, 1, 59, 59, 999, time.FixedZone("", -7*3600))
	for sender, o := range map[string]Options{"a number": number, "a service": service} {
		a := newAdapter(t, o)
		for _, validity := range []time.Duration{0, 1, time.Second, time.Minute, time.Hour, 10 * time.Hour, 1000 * time.Hour} {
			for kind, body := range everyText {
				m := text(1, "0143")
				m.Text, m.Validity = body, validity
				if _, err := a.Send(t.Context(), m); err != nil {
					t.Errorf("from %s, %s, %s: %v", sender, kind, validity, err)
				}
			}
			m := phoneCall(1, "0143")
			m.Validity = validity
			if _, err := a.Send(t.Context(), m); err != nil && validity != 1 && validity != time.Second {
				t.Errorf("a call from %s, %s: %v", sender, validity, err)
			}
		}
		for name, look := range map[string]func() error{
			"a text's fate": func() error { _, err := a.Find(t.Context(), text(1, "0143"), since); return err },
			"a call's fate": func() error { _, err := a.Find(t.Context(), phoneCall(1, "0143"), since); return err },
			"consents": func() error {
				out := channels.OptOut{Address: patient, Sender: testService, Said: since}
				in := channels.OptOut{Address: patient, Sender: careNumber, Off: true}
				_, err := a.Keep(t.Context(), append(slices.Repeat([]channels.OptOut{out}, 30), in))
				return err
			},
			"the inbox": func() error { _, err := a.Inbox(t.Context(), since); return err },
			"a text's date": func() error {
				_, err := a.Date(t.Context(), channels.Inbound{ID: sid(1), From: patient, To: careNumber, At: since})
				return err
			},
		} {
			if err := look(); err != nil {
				t.Errorf("%s from %s: %v", name, sender, err)
			}
		}
	}
	for _, operation := range described(t).Operations() {
		if called[operation] == 0 {
			t.Errorf("%s was never called: %v", operation, called)
		}
	}
	if !slices.ContainsFunc(p.asked, func(r *http.Request) bool { return r.URL.Query().Get("PageToken") != "" }) {
		t.Error("no second page was asked for")
	}
}

// Whatever a message holds, its request is one that Twilio describes.
func TestAnyRequestIsAsTwilioDescribes(t *testing.T) {
	p, _ := describedProvider(t, anything)
	o := p.callOptions()
	o.StatusCallback = "https://heed.example/webhooks/twilio/status"
	a := newAdapter(t, o)
	rapid.Check(t, func(r *rapid.T) {
		m := channels.Outgoing{
			Channel: rapid.SampledFrom([]channels.Channel{channels.SMS, channels.Voice}).Draw(r, "channel"), Program: channels.Care,
			Attempt: rapid.Int64Min(1).Draw(r, "attempt"), To: rapid.StringMatching(`\+1[2-9][0-9]{9}`).Draw(r, "to"),
			Text:     rapid.StringN(1, 1600, -1).Draw(r, "text"),
			Validity: time.Duration(rapid.Int64Range(int64(20*time.Second), int64(100*time.Hour)).Draw(r, "validity")),
		}
		if _, err := a.Send(t.Context(), m); err != nil {
			r.Fatal(err)
		}
		since := time.Unix(rapid.Int64Range(0, 4e9).Draw(r, "since"), rapid.Int64Range(0, 999999999).Draw(r, "ns"))
		if _, err := a.Find(t.Context(), m, since); err != nil {
			r.Fatal(err)
		}
		if t.Failed() {
			r.FailNow() // says which message it was
		}
	})
}

const accountPath = "https://api.twilio.com/2010-04-01/Accounts/" + testAccount

// asking is one request by hand.
type asking struct {
	method, url string
	values      url.Values // the form of a POST, the query of the others
}

func (q asking) request(t *testing.T) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), q.method, q.url, nil)
	if q.method == http.MethodPost {
		r = httptest.NewRequestWithContext(t.Context(), q.method, q.url, strings.NewReader(q.values.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r.URL.RawQuery = q.values.Encode()
	}
	r.SetBasicAuth(testAccount, testToken)
	return r
}

func consentItem(more ...string) string {
	item := map[string]string{
		"contact_id": patient, "correlation_id": "0123456789abcdef0123456789abcdef", "sender_id": testService, "status": "opt-out", "source": "others",
		"date_of_consent": "2026-03-03T12:00:00Z",
	}
	for i := 0; i < len(more); i += 2 {
		item[more[i]] = more[i+1]
	}
	text, _ := json.Marshal(item)
	return string(text)
}

// fair is a request of each operation that Twilio takes.
func fair() map[string]asking {
	return map[string]asking{
		"CreateMessage": {http.MethodPost, accountPath + "/Messages.json", url.Values{
			"To": {patient}, "From": {careNumber}, "Body": {"x"}, "ValidityPeriod": {"60"}, "StatusCallback": {voiceURL},
		}},
		"ListMessage":  {http.MethodGet, accountPath + "/Messages.json", url.Values{"To": {patient}, "DateSent>": {"2026-03-03T12:00:00Z"}, "PageSize": {"500"}}},
		"FetchMessage": {http.MethodGet, accountPath + "/Messages/" + sid(1) + ".json", url.Values{}},
		"CreateCall": {http.MethodPost, accountPath + "/Calls.json", url.Values{
			"To": {patient}, "From": {careNumber}, "Url": {voiceURL}, "Method": {"POST"}, "Timeout": {"60"}, "MachineDetection": {"DetectMessageEnd"},
			"StatusCallback": {voiceURL}, "StatusCallbackEvent": {"initiated", "completed"},
		}},
		"ListCall":           {http.MethodGet, accountPath + "/Calls.json", url.Values{"To": {patient}, "From": {careNumber}, "StartTime>": {"2026-03-03T00:00:00Z"}}},
		"CreateBulkConsents": {http.MethodPost, "https://accounts.twilio.com/v1/Consents/Bulk", url.Values{"Items": {consentItem(), consentItem("status", "opt-in")}}},
	}
}

// doctored is, for each operation, what makes a fair request one that Twilio would
// not take: the name of a value, and what stands in it instead (nothing: it is gone).
var doctored = map[string]map[string][]string{
	"CreateMessage": {
		"To": nil, "To ": {patient}, "From": nil, "Body": nil, "ValidityPeriod": {"0"}, "StatusCallback": {"/status"}, "MessagingServiceSid": {"MG1"},
		"Recipient": {patient}, "MaxPrice": {"much"}, "MediaUrl": {"cat.gif"}, "ScheduleType": {"loose"}, "SendAt": {"tomorrow"}, "RiskCheck": {""},
	},
	"ListMessage":  {"To": {"13035550143"}, "DateSent>": {"03/03/2026"}, "PageSize": {"1001"}, "Page": {"-1"}, "Since": {"2026-03-03T12:00:00Z"}},
	"FetchMessage": {"To": {patient}},
	"CreateCall": {
		"To": nil, "From": nil, "Url": nil, "Method": {"PUT"}, "Timeout": {"601"}, "MachineDetection": {"Yes"}, "StatusCallbackEvent": {"initiated", "hungup"},
		"StatusCallback": {"https://a_b.example/"}, "Record": {"true"}, "AsyncAmd": {"yes"}, "Twiml": {strings.Repeat("x", 4001)}, "Message": {"x"},
	},
	"ListCall": {"To": {"x"}, "StartTime>": {"yesterday"}, "Status": {"rang"}, "ParentCallSid": {"CA1"}, "Body": {"x"}},
	"CreateBulkConsents": {
		"Items": nil, "Item": {consentItem()}, "items": {consentItem()},
	},
}

// The description refuses what it should: a check that cannot fail is none.
func TestDoctoredRequestsAreRefused(t *testing.T) {
	d := described(t)
	all := fair()
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, d.Operations()) {
		t.Errorf("tested are %v, described are %v", got, d.Operations())
	}
	refused := func(name string, r *http.Request) {
		t.Helper()
		if _, err := d.Request(r, ""); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for operation, q := range all {
		if got, err := d.Request(q.request(t), ""); err != nil || got != operation {
			t.Fatalf("%s: %q, %v", operation, got, err)
		}
		for name, values := range doctored[operation] {
			bad := asking{q.method, q.url, maps.Clone(q.values)}
			bad.values[name] = values
			if values == nil {
				delete(bad.values, name)
			}
			refused(operation+" with "+name, bad.request(t))
		}
		for name, values := range q.values { // a field that stands twice
			if name != "StatusCallbackEvent" && name != "Items" {
				bad := asking{q.method, q.url, maps.Clone(q.values)}
				bad.values[name] = append(slices.Clone(values), values...)
				refused(operation+" with two "+name, bad.request(t))
			}
		}
		stranger := q.request(t)
		stranger.Header.Del("Authorization")
		refused(operation+" of nobody", stranger)
		refused(operation+" of another account", asking{q.method, strings.Replace(strings.Replace(q.url, testAccount, "AC1", 1), "Bulk", "Bulk/1", 1), q.values}.request(t))
		refused(operation+" at another host", asking{q.method, strings.Replace(q.url, "twilio.com", "twilio.example", 1), q.values}.request(t))
		refused(operation+" by another method", asking{http.MethodPut, q.url, q.values}.request(t))
		if q.method == http.MethodPost {
			plain := q.request(t)
			plain.Header.Set("Content-Type", "text/plain")
			refused(operation+" as plain text", plain)
		}
	}
	for name, items := range map[string][]string{
		"no JSON": {"x"}, "a list": {"[]"}, "a bare number": {consentItem("contact_id", "3035550143")}, "a short correlation": {consentItem("correlation_id", "7")},
		"another status": {consentItem("status", "stop")}, "another source": {consentItem("source", "gateway")}, "no date": {consentItem("date_of_consent", "today")},
		"another field": {consentItem("reason", "x")}, "too many": slices.Repeat([]string{consentItem()}, 26), "one of two": {consentItem(), consentItem("sender_id", "us")},
	} {
		q := all["CreateBulkConsents"]
		refused("a consent with "+name, asking{q.method, q.url, url.Values{"Items": items}}.request(t))
	}
}

// What Twilio's own pages show as answers passes, and what it would not say does not.
func TestDoctoredAnswersAreRefused(t *testing.T) {
	d := described(t)
	w := newWorld(t)
	a := w.adapter(t)
	for _, m := range []channels.Outgoing{text(1, "0143"), phoneCall(2, "0143")} {
		if _, err := a.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/Messages.json", "/Calls.json"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/sandbox/2010-04-01/Accounts/"+testAccount+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(testAccount, testToken)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err := d.Answer(r, "/sandbox", answer.StatusCode, answer.Header, body); err != nil {
			t.Fatal(err)
		}
		good := string(body)
		for name, bad := range map[string]string{
			"a field too many":    strings.Replace(good, `"sid":`, `"annotation":null,"sid":`, 1),
			"a field too few":     strings.Replace(good, `"price_unit":"USD",`, ``, 1),
			"another id":          strings.Replace(good, `"sid":"`, `"sid":"X`, 1),
			"another status":      strings.Replace(good, `"status":"`, `"status":"x`, 1),
			"another date":        strings.Replace(good, `+0000"`, `UTC+0"`, 1),
			"no list":             strings.Replace(good, `":[{`, `s":[{`, 1),
			"text for a number":   strings.Replace(good, `"page":0`, `"page":"0"`, 1),
			"no JSON":             "ok",
			"an answer cut short": good[:len(good)-2],
		} {
			if bad == good {
				t.Errorf("%s, %s: nothing was doctored", path, name)
			}
			if err := d.Answer(r, "/sandbox", answer.StatusCode, answer.Header, []byte(bad)); err == nil {
				t.Errorf("%s: %s is taken", path, name)
			}
		}
		for status, refusal := range map[int]string{400: `{"code": 21211, "message": "x", "status": 400}`, 500: `{}`} {
			if err := d.Answer(r, "/sandbox", status, answer.Header, []byte(refusal)); err == nil {
				t.Errorf("%s: %d with %s is taken", path, status, refusal)
			}
		}
	}
}

// spy counts what a test would be failed for.
type spy struct {
	testing.TB
	errors int
}

func (s *spy) Errorf(string, ...any) { s.errors++ }

// The two hooks that hold all other tests to the description do fail them.
func TestTheHooksFailATest(t *testing.T) {
	d, watched := described(t), &spy{TB: t}
	bad := fair()["CreateMessage"]
	bad.values.Del("To")
	r := bad.request(t)
	r.RequestURI = ""
	client := d.Transport(watched, "", roundTrip(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != bad.values.Encode() {
			t.Errorf("the check changed the request to %q", body)
		}
		return nil, io.EOF
	}))
	if _, err := client.RoundTrip(r); err != io.EOF || watched.errors != 1 {
		t.Errorf("%d errors, %v", watched.errors, err)
	}
	server := d.Answers(watched, answering(http.StatusCreated, `{"sid": "SM1"}`))
	server.ServeHTTP(httptest.NewRecorder(), fair()["CreateMessage"].request(t))
	server.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/page", nil))
	if watched.errors != 2 {
		t.Errorf("%d errors", watched.errors)
	}
}
