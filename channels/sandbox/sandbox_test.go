package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"
	"github.com/twilio/twilio-go"
	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"
	"pgregory.net/rapid"

	"harmonize.care/heed/channels/channelstest"
)

const (
	testAccount = "AC0123456789abcdef0123456789abcdef"
	testToken   = "token"
	testKey     = "SG.key"
	careNumber  = "+13125550001"
	patient     = "+13125550100"
)

var testStart = time.Date(2026, 3, 3, 15, 0, 0, 0, time.UTC)

// hook is one webhook call as it came in.
type hook struct {
	path, url string
	header    http.Header
	body      []byte
}

func (h hook) form() url.Values {
	form, _ := url.ParseQuery(string(h.body))
	return form
}

// world is a sandbox, its server, and a receiver of its webhooks.
type world struct {
	*Sandbox
	t     *testing.T
	url   string
	hooks chan hook
	clock *Clock
	reply func(path string, n int) int // the status the receiver answers the nth call with
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, hooks: make(chan hook, 4*keep), clock: NewClock(func() time.Time { return testStart })}
	w.reply = func(string, int) int { return http.StatusOK }
	calls := make(chan int, 1)
	calls <- 0
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n := <-calls + 1
		calls <- n
		rw.WriteHeader(w.reply(r.URL.Path, n))
		w.hooks <- hook{path: r.URL.Path, url: "http://" + r.Host + r.URL.String(), header: r.Header, body: body}
	}))
	w.Sandbox = New(Options{
		AccountSID: testAccount, AuthToken: testToken, SendGridKey: testKey,
		Webhooks: Webhooks{SMS: receiver.URL + "/sms", Status: receiver.URL + "/status", Voice: receiver.URL + "/voice", SendGridEvents: receiver.URL + "/events"},
		Programs: map[string]string{careNumber: "care", "+13125550002": "marketing"},
		Clock:    w.clock,
	})
	w.SetPace(10 * time.Millisecond)
	// Whatever is asked here, the answer is one that the provider gives.
	handler := w.Handler()
	for _, file := range []string{"../twilio/testdata/twilio.yaml", "../sendgrid/testdata/sendgrid.yaml"} {
		d, err := channelstest.Describe(file)
		if err != nil {
			t.Fatal(err)
		}
		handler = d.Answers(t, handler)
	}
	server := httptest.NewServer(http.StripPrefix("/sandbox", handler))
	w.url = server.URL + "/sandbox"
	t.Cleanup(func() {
		w.Close() // ends what hangs, so that the server can close
		server.Close()
		receiver.Close()
	})
	return w
}

// next waits for the next webhook.
func (w *world) next() hook {
	w.t.Helper()
	select {
	case h := <-w.hooks:
		return h
	case <-time.After(20 * time.Second):
		w.t.Fatal("no webhook came")
		return hook{}
	}
}

func (w *world) do(method, path, contentType, body string) *http.Response {
	w.t.Helper()
	res, err := w.try(method, path, contentType, body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	return res
}

func (w *world) try(method, path, contentType, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if strings.HasPrefix(path, "/v3") {
		req.Header.Set("Authorization", "Bearer "+testKey)
	} else {
		req.SetBasicAuth(testAccount, testToken)
	}
	plain := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return plain.Do(req)
}

func (w *world) text(form url.Values) *http.Response {
	w.t.Helper()
	return w.do("POST", "/2010-04-01/Accounts/"+testAccount+"/Messages.json", "application/x-www-form-urlencoded", form.Encode())
}

func textTo(to string) url.Values {
	return url.Values{"To": {to}, "From": {careNumber}, "Body": {"Hello"}}
}

func decode[T any](t *testing.T, res *http.Response) T {
	t.Helper()
	var v T
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// sdk is twilio-go, led to the sandbox.
func (w *world) sdk() *twilio.RestClient {
	base, _ := url.Parse(w.url)
	c := &client.Client{Credentials: client.NewCredentials(testAccount, testToken), HTTPClient: &http.Client{
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.URL.Scheme, r.URL.Host, r.URL.Path = base.Scheme, base.Host, base.Path+r.URL.Path
			return http.DefaultTransport.RoundTrip(r)
		}),
	}}
	c.SetAccountSid(testAccount)
	return twilio.NewRestClientWithParams(twilio.ClientParams{Client: c})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTextGoesItsWay(t *testing.T) {
	w := newWorld(t)
	callback := strings.Replace(w.opt.Webhooks.Status, "/status", "/mine?attempt=7", 1)
	params := (&openapi.CreateMessageParams{}).SetTo(patient).SetFrom(careNumber).SetBody("See you at 3 PM").SetStatusCallback(callback).SetValidityPeriod(600)
	m, err := w.sdk().Api.CreateMessage(params)
	if err != nil {
		t.Fatal(err)
	}
	if *m.Status != "queued" || *m.NumSegments != "1" || *m.Direction != "outbound-api" || m.ErrorCode != nil || len(*m.Sid) != 34 {
		t.Errorf("answer = %+v", *m)
	}
	if _, err := time.Parse(time.RFC1123Z, *m.DateCreated); err != nil {
		t.Error(err)
	}
	validator := client.NewRequestValidator(testToken)
	for _, want := range []string{"sending", "sent", "delivered"} {
		h := w.next()
		if got := h.form().Get("MessageStatus"); got != want || h.form().Get("MessageSid") != *m.Sid || h.path != "/mine" {
			t.Errorf("callback %s to %s, want %s", got, h.path, want)
		}
		if !validator.ValidateBody(h.url, h.body, h.header.Get("X-Twilio-Signature")) {
			t.Errorf("callback %s: bad signature", want)
		}
	}
	got, err := w.sdk().Api.FetchMessage(*m.Sid, &openapi.FetchMessageParams{})
	if err != nil || *got.Status != "delivered" || got.DateSent == nil {
		t.Errorf("fetched %+v, %v", got, err)
	}
	if kept := w.Messages(); len(kept) != 1 || kept[0].Validity != 10*time.Minute {
		t.Errorf("kept %+v", kept)
	}
}

func TestMessagingService(t *testing.T) {
	w := newWorld(t)
	form := textTo("+13125550011")
	form.Del("From")
	form.Set("MessagingServiceSid", "MG0123456789abcdef0123456789abcdef")
	m := decode[map[string]any](t, w.text(form))
	if m["status"] != "accepted" || m["from"] != nil || m["num_segments"] != "0" {
		t.Errorf("answer = %v", m)
	}
	if got := w.next().form(); got.Get("MessageStatus") != "queued" || got.Get("From") != careNumber {
		t.Errorf("first callback = %v", got)
	}
	if got := w.next().form(); got.Get("MessageStatus") != "failed" || got.Get("ErrorCode") != "21610" || got.Get("MessagingServiceSid") == "" {
		t.Errorf("last callback = %v", got)
	}
}

func TestTextRefused(t *testing.T) {
	w := newWorld(t)
	change := func(name, value string) url.Values {
		form := textTo(patient)
		form.Set(name, value)
		return form
	}
	for name, c := range map[string]struct {
		form         url.Values
		status, code int
	}{
		"no To":        {change("To", ""), 400, 21604},
		"no From":      {change("From", ""), 400, 21603},
		"no Body":      {change("Body", ""), 400, 21602},
		"long Body":    {change("Body", strings.Repeat("é", 1601)), 400, 21617},
		"bad To":       {change("To", "555"), 400, 21211},
		"other's From": {change("From", "+13125559999"), 400, 21606},
		"validity":     {change("ValidityPeriod", "36001"), 400, 21624},
		"callback":     {change("StatusCallback", "nowhere"), 400, 21609},
		"service":      {change("MessagingServiceSid", "XX"), 400, 21705},
		"opted out":    {textTo("+13125550010"), 400, 21610},
		"invalid":      {textTo("+13125550012"), 400, 21211},
		"landline":     {textTo("+13125550013"), 400, 21614},
		"too many":     {textTo("+13125550014"), 429, 20429},
		"server error": {textTo("+13125550015"), 500, 20500},
	} {
		t.Run(name, func(t *testing.T) {
			res := w.text(c.form)
			got := decode[problem](t, res)
			if res.StatusCode != c.status || got.Code != c.code || got.Status != c.status || got.Message == "" || got.MoreInfo == "" {
				t.Errorf("%d %+v", res.StatusCode, got)
			}
			if (res.Header.Get("Retry-After") != "") != (c.status == 429) {
				t.Errorf("Retry-After = %q", res.Header.Get("Retry-After"))
			}
		})
	}
	if n := len(w.Messages()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}

func TestWhoIsCalling(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		account, user, password string
		status                  int
	}{
		{testAccount, testAccount, "wrong", 401},
		{testAccount, "", "", 401},
		{"AC1", testAccount, testToken, 404},
		{testAccount, testAccount, testToken, 200},
	} {
		req, _ := http.NewRequest("GET", w.url+"/2010-04-01/Accounts/"+c.account+"/Messages.json", nil)
		req.SetBasicAuth(c.user, c.password)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%+v: got %d", c, res.StatusCode)
		}
	}
}

// An answer that never comes: what was taken is listed and delivered.
func TestLostAnswers(t *testing.T) {
	for _, c := range []struct {
		to    string
		taken int
	}{{"+13125550016", 1}, {"+13125550017", 0}, {"+13125550019", 1}} {
		t.Run(c.to, func(t *testing.T) {
			w := newWorld(t)
			failed := make(chan error, 1)
			go func() {
				_, err := w.try("POST", "/2010-04-01/Accounts/"+testAccount+"/Messages.json", "application/x-www-form-urlencoded", textTo(c.to).Encode())
				failed <- err
			}()
			if c.taken > 0 {
				for w.next().form().Get("MessageStatus") != "delivered" {
				}
			}
			if strings.HasSuffix(c.to, "0019") {
				w.cancel() // the caller hangs until someone gives up
			}
			if err := <-failed; err == nil {
				t.Error("an answer came")
			}
			if n := len(w.Messages()); n != c.taken {
				t.Errorf("%d taken", n)
			}
		})
	}
}

func TestUndeliveredLater(t *testing.T) {
	w := newWorld(t)
	w.text(textTo("+13125550018"))
	var last url.Values
	for range 3 {
		last = w.next().form()
	}
	if last.Get("MessageStatus") != "undelivered" || last.Get("ErrorCode") != "30003" {
		t.Errorf("last = %v", last)
	}
}

func TestOutage(t *testing.T) {
	w := newWorld(t)
	w.SetUnreachable(true)
	for path, kind := range map[string]string{"/2010-04-01/Accounts/" + testAccount + "/Messages.json": "application/x-www-form-urlencoded", "/v3/mail/send": "application/json"} {
		if _, err := w.try("POST", path, kind, textTo(patient).Encode()); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", path, err)
		}
	}
	w.SetUnreachable(false)
	if res := w.text(textTo(patient)); res.StatusCode != 201 || len(w.Messages()) != 1 {
		t.Errorf("after the outage: %d", res.StatusCode)
	}
}

func TestReply(t *testing.T) {
	w := newWorld(t)
	missed := w.Reply(patient, careNumber, "STOP", true)
	w.clock.Add(time.Minute)
	w.reply = func(_ string, n int) int { return map[bool]int{true: 503, false: 200}[n == 1] }
	heard := w.Reply(patient, careNumber, "Yes & thank you ñ", false)
	first, second := w.next(), w.next()
	if first.form().Get("MessageSid") != heard.ID || string(first.body) != string(second.body) || first.header.Get("I-Twilio-Idempotency-Token") != second.header.Get("I-Twilio-Idempotency-Token") {
		t.Errorf("retry differs: %s and %s", first.body, second.body)
	}
	validator := client.NewRequestValidator(testToken)
	if !validator.ValidateBody(second.url, second.body, second.header.Get("X-Twilio-Signature")) {
		t.Error("bad signature")
	}
	list, err := w.sdk().Api.ListMessage((&openapi.ListMessageParams{}).SetTo(careNumber).SetDateSentAfter(testStart))
	if err != nil || len(list) != 2 || *list[0].Sid != heard.ID || *list[1].Sid != missed.ID || *list[1].Direction != "inbound" || *list[1].Body != "STOP" {
		t.Errorf("inbox = %+v, %v", list, err)
	}
	list, err = w.sdk().Api.ListMessage((&openapi.ListMessageParams{}).SetTo(careNumber).SetDateSentAfter(testStart.Add(time.Second)))
	if err != nil || len(list) != 1 || *list[0].Sid != heard.ID {
		t.Errorf("newer inbox = %+v, %v", list, err)
	}
}

// Any filter, any page size: the pages together are the matching texts, newest
// first, each once.
func TestPagesHoldEveryTextOnce(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w.mu.Lock()
		w.list, w.byID = nil, map[string]*Message{}
		w.mu.Unlock()
		var want []string
		for range rapid.IntRange(0, 30).Draw(t, "texts") {
			to := rapid.SampledFrom([]string{careNumber, "+13125550002"}).Draw(t, "to")
			if m := w.Reply(patient, to, "x", true); to == careNumber {
				want = append([]string{m.ID}, want...)
			}
		}
		size := rapid.IntRange(1, 12).Draw(t, "size")
		list, err := w.sdk().Api.ListMessage((&openapi.ListMessageParams{}).SetTo(careNumber).SetPageSize(size))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range list {
			got = append(got, *m.Sid)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t)
	first := w.Reply(patient, careNumber, "first", true)
	for range keep {
		w.Reply(patient, careNumber, "more", true)
	}
	if _, ok := w.get(first.ID); ok || len(w.Messages()) != keep || len(w.byID) != keep {
		t.Errorf("%d kept, the first: %v", len(w.Messages()), ok)
	}
}

func TestCall(t *testing.T) {
	w := newWorld(t)
	params := (&openapi.CreateCallParams{}).SetTo(patient).SetFrom(careNumber).SetStatusCallback(w.opt.Webhooks.Status).
		SetStatusCallbackEvent([]string{"answered", "completed"}).SetTwiml(`<Response><Gather numDigits="1"><Say>Press 9 to stop.</Say></Gather></Response>`)
	call, err := w.sdk().Api.CreateCall(params)
	if err != nil {
		t.Fatal(err)
	}
	w.SetPace(time.Second) // time enough to press
	if got := w.next().form().Get("CallStatus"); got != "in-progress" {
		t.Errorf("call status %q", got)
	}
	if !w.Press(*call.Sid, "9") {
		t.Fatal("no such call")
	}
	h := w.next()
	validator := client.NewRequestValidator(testToken)
	if h.path != "/voice" || h.form().Get("Digits") != "9" || !validator.ValidateBody(h.url, h.body, h.header.Get("X-Twilio-Signature")) {
		t.Errorf("key press = %s %s", h.path, h.body)
	}
	for h = w.next(); h.path != "/status"; h = w.next() { // the receiver answers no TwiML, so that it is asked twice
	}
	if got := h.form().Get("CallStatus"); got != "completed" {
		t.Errorf("call status %q", got)
	}
	if m := w.Messages()[0]; m.Body != "Press 9 to stop.\n[9]" || m.Pressed != "9" || m.Ended.IsZero() {
		t.Errorf("kept %+v", m)
	}
	if w.Press(*call.Sid, "9") {
		t.Error("a key was pressed in a call that is over")
	}
}

func TestSegments(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 1}, {strings.Repeat("a", 160), 1}, {strings.Repeat("a", 161), 2}, {strings.Repeat("€", 80), 1}, {strings.Repeat("€", 81), 2},
		{strings.Repeat("’", 70), 1}, {strings.Repeat("’", 71), 2}, {strings.Repeat("😀", 36), 2},
	} {
		if got := segments(c.text); got != c.want {
			t.Errorf("%.3q…: %d segments, want %d", c.text, got, c.want)
		}
	}
}

// The events' signature is checked by SendGrid's own helper.
func checkEvents(t *testing.T, w *world, h hook) []map[string]any {
	t.Helper()
	key, err := eventwebhook.ConvertPublicKeyBase64ToECDSA(w.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	ok, err := eventwebhook.VerifySignature(key, h.body, h.header.Get(eventwebhook.VerificationHTTPHeader), h.header.Get(eventwebhook.TimestampHTTPHeader))
	if err != nil || !ok {
		t.Errorf("bad signature: %v", err)
	}
	var events []map[string]any
	if err := json.Unmarshal(h.body, &events); err != nil {
		t.Fatal(err)
	}
	return events
}

// What is refused on demand was read all the same.
func TestWhatIsTurnedAwayIsRemembered(t *testing.T) {
	w := newWorld(t)
	for _, to := range []string{"+13125550010", "+13125550014", patient} {
		r, err := http.NewRequest(http.MethodPost, w.url+"/2010-04-01/Accounts/"+testAccount+"/Messages.json",
			strings.NewReader(url.Values{"From": {careNumber}, "To": {to}, "Body": {"words"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(testAccount, testToken)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	away := w.TurnedAway()
	if len(away) != 2 || away[0].To != "+13125550010" || away[1].To != "+13125550014" || away[0].Body != "words" || !away[0].Created.Equal(testStart) {
		t.Errorf("%+v", away)
	}
	if taken := w.Messages(); len(taken) != 1 || taken[0].To != patient {
		t.Errorf("%+v", taken)
	}
}
