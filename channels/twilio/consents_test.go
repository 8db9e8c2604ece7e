package twilio

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"harmonize.care/heed/channels"
)

// consentDesk plays the Consent Management API, and keeps what was asked of it.
type consentDesk struct {
	*httptest.Server
	asked  [][]consent
	answer func(w http.ResponseWriter, items []consent) bool
}

func newConsentDesk(t *testing.T) *consentDesk {
	d := &consentDesk{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodPost || r.URL.Path != "/v1/Consents/Bulk" || user != testAccount || password != testToken ||
			r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Idempotency-Key") != "" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form) != 1 {
			t.Errorf("%v: %s", err, body)
		}
		var items []consent
		for _, text := range form["Items"] {
			var c consent
			in := json.NewDecoder(strings.NewReader(text))
			in.DisallowUnknownFields()
			if err := in.Decode(&c); err != nil {
				t.Error(err)
			}
			items = append(items, c)
		}
		d.asked = append(d.asked, items)
		if d.answer != nil && d.answer(w, items) {
			return
		}
		outcomes := []map[string]any{}
		for _, c := range slices.Backward(items) { // the order is not promised
			outcomes = append(outcomes, map[string]any{"correlation_id": c.Correlation, "error_code": 0, "error_messages": []string{}})
		}
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"items": outcomes})
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *consentDesk) adapter(t *testing.T) *Adapter {
	return newAdapter(t, Options{AccountSID: testAccount, AuthToken: testToken, BaseURL: d.URL, HTTP: d.Client()})
}

func TestKeepConsents(t *testing.T) {
	d := newConsentDesk(t)
	said := time.Date(2026, 11, 26, 7, 30, 15, 123456, time.FixedZone("", -7*3600))
	refused, err := d.adapter(t).Keep(t.Context(), []channels.OptOut{
		{Address: patient, Sender: careNumber, Said: said}, {Address: patient, Sender: testService, Off: true},
	})
	if err != nil || len(refused) > 0 {
		t.Fatalf("%v %v", refused, err)
	}
	want := [][]consent{{
		{Contact: patient, Sender: careNumber, Status: "opt-out", Source: "others", Date: "2026-11-26T14:30:15Z"},
		{Contact: patient, Sender: testService, Status: "opt-in", Source: "others"},
	}}
	if diff := cmp.Diff(want, d.asked, cmpopts.IgnoreFields(consent{}, "Correlation")); diff != "" {
		t.Error(diff)
	}
	one, two := d.asked[0][0].Correlation, d.asked[0][1].Correlation
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(one) || one == two {
		t.Errorf("correlations %q and %q", one, two)
	}
}

func TestConsentsGoTwentyFiveAtATime(t *testing.T) {
	d := newConsentDesk(t)
	var many []channels.OptOut
	for i := range 2*maxConsents + 1 {
		many = append(many, channels.OptOut{Address: fmt.Sprintf("+1303555%04d", i), Sender: careNumber})
	}
	if refused, err := d.adapter(t).Keep(t.Context(), many); err != nil || len(refused) > 0 {
		t.Fatalf("%v %v", refused, err)
	}
	if len(d.asked) != 3 || len(d.asked[0]) != 25 || len(d.asked[2]) != 1 {
		t.Errorf("%d requests", len(d.asked))
	}
	// What fails after the first request leaves what is done.
	d.asked = nil
	d.answer = func(w http.ResponseWriter, _ []consent) bool {
		if len(d.asked) == 2 {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		return false
	}
	refused, err := d.adapter(t).Keep(t.Context(), many)
	if err != nil || len(refused) != 26 || refused[24] != nil || refused[25].Kind != channels.TryLater || refused[50].RetryAfter != 9*time.Second || len(d.asked) != 2 {
		t.Errorf("%d refused, %v, %d requests", len(refused), err, len(d.asked))
	}
}

func TestWhatBecomesOfEachConsent(t *testing.T) {
	d := newConsentDesk(t)
	d.answer = func(w http.ResponseWriter, items []consent) bool {
		bad := func(i int, message string) map[string]any {
			return map[string]any{"correlation_id": items[i].Correlation, "error_code": 30646, "error_messages": []string{message}}
		}
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"items": []map[string]any{
			bad(0, "INVALID_CONTACT_ID"), bad(1, "INVALID_SENDER_ID"), bad(2, "INTERNAL_SERVER_ERROR"), bad(3, "INVALID_SOURCE for "+patient),
			{"correlation_id": items[4].Correlation, "error_code": 0}, {"correlation_id": "of somebody else", "error_code": 0},
		}})
		return true
	}
	refused, err := d.adapter(t).Keep(t.Context(), slices.Repeat([]channels.OptOut{{Address: patient, Sender: careNumber}}, 6))
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]channels.SendErrorKind{}
	for i, e := range refused {
		got[i] = e.Kind
		if strings.Contains(e.Error(), patient) {
			t.Error("the error repeats the number")
		}
	}
	want := map[int]channels.SendErrorKind{
		0: channels.AddressIsBad, 1: channels.OperatorMustAct, 2: channels.TryLater, 3: channels.TryNever, 5: channels.OutcomeUnknown,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConsentsThatAreNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   channels.SendErrorKind
	}{
		"too many":     {429, `{"code": 20429}`, channels.TryLater},
		"no pilot":     {404, `{"code": 20404}`, channels.OperatorMustAct},
		"not let in":   {401, `{"code": 20003}`, channels.OperatorMustAct},
		"a fault":      {500, `{"code": 20500}`, channels.OutcomeUnknown},
		"no words":     {201, `<html>`, channels.OutcomeUnknown},
		"a proxy":      {403, `<html>`, channels.OperatorMustAct},
		"not refused":  {400, `{"code": 20001}`, channels.TryNever},
		"half a list":  {201, `{"items": [{"correlation_id`, channels.OutcomeUnknown},
		"another list": {201, `{"items": {"a": 1}}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newConsentDesk(t)
			d.answer = func(w http.ResponseWriter, _ []consent) bool {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
				return true
			}
			refused, err := d.adapter(t).Keep(t.Context(), []channels.OptOut{{Address: patient, Sender: careNumber}})
			switch {
			case c.kind == 0:
				if err != nil || refused[0] == nil || refused[0].Kind != channels.OutcomeUnknown {
					t.Errorf("%v %v", refused, err)
				}
			case failed(t, err).Kind != c.kind:
				t.Error(err)
			}
		})
	}
}

// Consents stand at another host than messages; a base URL of one's own leads both.
func TestWhereConsentsAreKept(t *testing.T) {
	for base, want := range map[string]string{"": "https://accounts.twilio.com", "http://127.0.0.1:9/sandbox": "http://127.0.0.1:9/sandbox"} {
		if got := newAdapter(t, Options{BaseURL: base}).accounts.String(); got != want {
			t.Errorf("%q: %s", base, got)
		}
	}
}

// The adapter and the pretend carrier understand each other, and a consent binds what is
// sent: at once by number, later through a messaging service.
func TestConsentsOfTheSandbox(t *testing.T) {
	w := newWorld(t)
	a := w.adapter(t)
	keep := func(off bool) {
		t.Helper()
		refused, err := a.Keep(t.Context(), []channels.OptOut{{Address: patient, Sender: careNumber, Off: off}, {Address: patient, Sender: "+13035550199"}, {Address: "+13", Sender: careNumber}})
		if err != nil || len(refused) != 2 || refused[1].Kind != channels.OperatorMustAct || refused[2].Kind != channels.AddressIsBad {
			t.Fatalf("%v %v", refused, err)
		}
	}
	keep(false)
	m := text(1, "0143")
	m.To = patient
	if _, err := a.Send(t.Context(), m); failed(t, err).Kind != channels.PersonOptedOut {
		t.Error(err)
	}
	m.Program = channels.Marketing
	if _, err := a.Send(t.Context(), m); err != nil {
		t.Errorf("another sender: %v", err)
	}
	keep(true)
	m.Program = channels.Care
	if _, err := a.Send(t.Context(), m); err != nil {
		t.Errorf("after it was asked for again: %v", err)
	}
}
