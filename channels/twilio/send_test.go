package twilio

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"harmonize.care/heed/channels"
)

// provider answers every call in the same way and keeps what it was sent.
type provider struct {
	*httptest.Server
	asked []*http.Request
	forms []url.Values
}

func newProvider(t *testing.T, answer http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.asked, p.forms = append(p.asked, r), append(p.forms, form)
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) options() Options {
	return Options{
		AccountSID: testAccount, AuthToken: testToken, BaseURL: p.URL,
		From: map[channels.Program]string{channels.Care: careNumber}, HTTP: p.Client(),
	}
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

const taken = `{"sid": "SM00000000000000000000000000000001", "status": "queued", "error_code": null}`

func failed(t *testing.T, err error) *channels.SendError {
	t.Helper()
	e, ok := err.(*channels.SendError)
	if !ok {
		t.Fatalf("the error is %T %v", err, err)
	}
	return e
}

func TestForm(t *testing.T) {
	// twilio-go would send the token to another host.
	t.Setenv("TWILIO_EDGE", "sydney")
	t.Setenv("TWILIO_REGION", "au1")
	p := newProvider(t, answering(http.StatusCreated, taken))
	o := p.options()
	o.StatusCallback = "https://heed.example/webhooks/twilio/status?tenant=7"
	a := newAdapter(t, o)
	m := channels.Outgoing{Attempt: 41, Channel: channels.SMS, To: patient, Text: "1 + 1 = 2 & é 😀", Validity: 90*time.Minute + 500*time.Millisecond}
	r, err := a.Send(t.Context(), m)
	if err != nil || r.ProviderID != "SM00000000000000000000000000000001" {
		t.Fatalf("%+v, %v", r, err)
	}
	want := url.Values{
		"To": {patient}, "From": {careNumber}, "Body": {"1 + 1 = 2 & é 😀"}, "ValidityPeriod": {"5400"},
		"StatusCallback": {"https://heed.example/webhooks/twilio/status?attempt=41&tenant=7"},
	}
	if diff := cmp.Diff(want, p.forms[0]); diff != "" {
		t.Error(diff)
	}
	asked := p.asked[0]
	if user, password, _ := asked.BasicAuth(); user != testAccount || password != testToken {
		t.Error("the call does not sign in")
	}
	if asked.URL.RequestURI() != "/2010-04-01/Accounts/"+testAccount+"/Messages.json" {
		t.Errorf("called %s", asked.URL.RequestURI())
	}
	// With either header Go's transport would send the POST again by itself.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if asked.Header.Get(name) != "" {
			t.Errorf("the call has the header %s", name)
		}
	}
}

func TestSender(t *testing.T) {
	p := newProvider(t, answering(http.StatusCreated, taken))
	o := p.options()
	o.From = map[channels.Program]string{channels.Care: careNumber, channels.CheckIn: careNumber}
	o.MessagingService = map[channels.Program]string{channels.Care: testService, channels.Billing: testService}
	a := newAdapter(t, o)
	o.From[channels.Marketing] = shopNumber // the adapter has its own copy
	for program, want := range map[channels.Program]url.Values{
		channels.Care:    {"MessagingServiceSid": {testService}},
		channels.CheckIn: {"From": {careNumber}},
		channels.Billing: {"MessagingServiceSid": {testService}},
	} {
		m := text(1, "0143")
		m.Program = program
		if _, err := a.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := p.forms[len(p.forms)-1]
		for _, name := range []string{"From", "MessagingServiceSid"} {
			if got.Get(name) != want.Get(name) {
				t.Errorf("%s: %s is %q, want %q", program, name, got.Get(name), want.Get(name))
			}
		}
	}
	m := text(1, "0143")
	m.Program = channels.Marketing
	calls := len(p.forms)
	if _, err := a.Send(t.Context(), m); failed(t, err).Kind != channels.OperatorMustAct || len(p.forms) != calls {
		t.Errorf("without a sender: %v", err)
	}
}

func TestValidity(t *testing.T) {
	for d, want := range map[time.Duration]int{
		0: 36000, time.Nanosecond: 1, time.Second: 1, 1999 * time.Millisecond: 1, time.Hour: 3600,
		10 * time.Hour: 36000, 10*time.Hour + 1: 36000, 1000 * time.Hour: 36000,
	} {
		if got := validity(d); got != want {
			t.Errorf("validity(%s) = %d, want %d", d, got, want)
		}
	}
}

func TestNothingIsSent(t *testing.T) {
	p := newProvider(t, answering(http.StatusCreated, taken))
	o := p.options()
	late, call := text(1, "0143"), text(1, "0143")
	late.Validity = -time.Second
	call.Channel = channels.Voice
	mail := text(1, "0143")
	mail.Channel = channels.Email
	nobody := o
	nobody.AuthToken = ""
	for name, c := range map[string]struct {
		o    Options
		m    channels.Outgoing
		want channels.SendErrorKind
	}{
		"its time is over":   {o, late, channels.TryLater},
		"no number to call":  {o, call, channels.OperatorMustAct},
		"not a text":         {o, mail, channels.TryNever},
		"nobody to sign in":  {nobody, text(1, "0143"), channels.OperatorMustAct},
		"no account, either": {Options{From: o.From, BaseURL: p.URL}, text(1, "0143"), channels.OperatorMustAct},
	} {
		if _, err := newAdapter(t, c.o).Send(t.Context(), c.m); failed(t, err).Kind != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(p.asked) != 0 {
		t.Errorf("%d calls were made", len(p.asked))
	}
}

// What each answer means. Codes beyond these are in the table of codes.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   channels.SendErrorKind
		code   string
	}{
		"opted out":                         {400, `{"code": 21610, "message": "x +13035550143", "status": 400}`, channels.PersonOptedOut, "21610"},
		"no such number":                    {400, `{"code": 21211}`, channels.AddressIsBad, "21211"},
		"a landline":                        {400, `{"code": 21614}`, channels.NotTextable, "21614"},
		"a code nobody knows":               {400, `{"code": 21999}`, channels.TryNever, "21999"},
		"a code nobody knows, forbidden":    {403, `{"code": 20999}`, channels.TryNever, "20999"},
		"a wrong token":                     {401, `{"code": 20003}`, channels.OperatorMustAct, "20003"},
		"a wrong token, another code":       {401, `{"code": 70051}`, channels.OperatorMustAct, "70051"},
		"a wrong account":                   {404, `{"code": 20404}`, channels.OperatorMustAct, "20404"},
		"a sender that is not ours":         {400, `{"code": 21606}`, channels.OperatorMustAct, "21606"},
		"too many":                          {429, `{"code": 20429}`, channels.TryLater, "20429"},
		"too many, in other words":          {429, `{"code": 21610}`, channels.TryLater, "21610"},
		"too many, without words":           {429, ``, channels.TryLater, ""},
		"too many, by its code":             {400, `{"code": 20429}`, channels.TryLater, "20429"},
		"a proxy's page":                    {403, `<html>no</html>`, channels.OperatorMustAct, ""},
		"a code that is no number":          {400, `{"code": "21610"}`, channels.OperatorMustAct, ""},
		"a request that was cut":            {408, ``, channels.OutcomeUnknown, ""},
		"a fault":                           {500, `{"code": 20500}`, channels.OutcomeUnknown, "20500"},
		"a fault that says opted out":       {500, `{"code": 21610}`, channels.OutcomeUnknown, "21610"},
		"a fault of the way there":          {502, `bad gateway`, channels.OutcomeUnknown, ""},
		"no service":                        {503, `{"code": 20503}`, channels.OutcomeUnknown, "20503"},
		"another place":                     {302, ``, channels.OutcomeUnknown, ""},
		"an answer that is no JSON":         {201, `ok`, channels.OutcomeUnknown, ""},
		"an answer cut short":               {201, `{"sid": "SM1"`, channels.OutcomeUnknown, ""},
		"an empty answer":                   {201, ``, channels.OutcomeUnknown, ""},
		"an answer without an id":           {201, `{"status": "queued"}`, channels.OutcomeUnknown, ""},
		"an answer of another shape":        {201, `{"sid": 7}`, channels.OutcomeUnknown, ""},
		"an answer without end":             {201, `{"sid": "SM1", "body": "` + strings.Repeat("x", maxAnswer) + `"}`, channels.OutcomeUnknown, ""},
		"taken and failed, opted out":       {201, `{"sid": "SM1", "status": "failed", "error_code": 21610}`, channels.PersonOptedOut, "21610"},
		"taken and failed, nobody says why": {201, `{"sid": "SM1", "status": "undelivered"}`, channels.TryNever, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, answering(c.status, c.body))
			r, err := newAdapter(t, p.options()).Send(t.Context(), text(1, "0143"))
			if e := failed(t, err); e.Kind != c.want || e.Code != c.code {
				t.Errorf("got %s, code %q", e.Kind, e.Code)
			}
			if r.ProviderID != "" || len(p.asked) != 1 {
				t.Errorf("receipt %+v after %d calls", r, len(p.asked))
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := newProvider(t, answering(http.StatusCreated, taken))
	for _, status := range []int{301, 302, 303, 307, 308} {
		p := newProvider(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) })
		_, err := newAdapter(t, p.options()).Send(t.Context(), text(1, "0143"))
		if failed(t, err).Kind != channels.OutcomeUnknown || len(elsewhere.asked) != 0 {
			t.Errorf("%d: %v, %d calls elsewhere", status, err, len(elsewhere.asked))
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "0": 0, "-3": 0, "soon": 0, "99999999999": 24 * time.Hour, "999999999999999999999999": 0,
		"Tue, 03 Mar 2026 15:00:30 GMT": 30 * time.Second, "Tue, 03 Mar 2026 14:00:00 GMT": 0,
	} {
		h := http.Header{"Retry-After": {text}, "Date": {"Tue, 03 Mar 2026 15:00:00 GMT"}}
		if got := retryAfter(h); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {"Tue, 03 Mar 2026 15:00:30 GMT"}}); got != 0 {
		t.Errorf("a date without a date to count from: %s", got)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{BaseURL: "http://api.twilio.com"},
		{BaseURL: "http://10.0.0.1"},
		{BaseURL: "http://localhost.twilio.example"},
		{BaseURL: "http://0.0.0.0:80"},
		{BaseURL: "ftp://127.0.0.1"},
		{BaseURL: "https://user:secret@twilio.example"},
		{BaseURL: "https://twilio.example?x=1"},
		{BaseURL: "twilio.example"},
		{BaseURL: "https://"},
		{BaseURL: "://"},
		{AccountSID: "AC1/../AC2"},
		{StatusCallback: "/webhooks"},
		{StatusCallback: "https://heed.example/#x"},
	} {
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%+v): %v", o, err)
		}
	}
	for _, base := range []string{"", "https://twilio.example", "https://twilio.example/prefix/", "http://127.0.0.1:9", "http://localhost:1/sandbox", "http://[::1]:8080"} {
		if _, err := New(Options{BaseURL: base}); err != nil {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestRealHost(t *testing.T) {
	var called string
	o := Options{
		AccountSID: testAccount, AuthToken: testToken, From: map[channels.Program]string{channels.Care: careNumber},
		HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			called = r.URL.String()
			return nil, context.Canceled
		})},
	}
	_, err := newAdapter(t, o).Send(t.Context(), text(1, "0143"))
	if called != "https://api.twilio.com/2010-04-01/Accounts/"+testAccount+"/Messages.json" {
		t.Errorf("called %s", called)
	}
	// This transport tells nothing of its steps, so that nobody knows what it wrote.
	if failed(t, err).Kind != channels.OutcomeUnknown {
		t.Error(err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
