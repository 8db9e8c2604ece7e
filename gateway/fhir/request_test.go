package fhir_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

func coding(system, code string) object {
	return object{"coding": list{object{"system": system, "code": code}}}
}

func mode(code string) object {
	return coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", code)
}

func variable(name string, value object) object {
	return object{"url": "https://harmonize.care/heed/variable", "extension": list{object{"url": "name", "valueString": name}, changed(object{"url": "value"}, value)}}
}

// TestRequest reads one field after another, and looks at the message.
func TestRequest(t *testing.T) {
	at := func(moment string) time.Time {
		got, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	tests := map[string]struct {
		change object
		is     func(m *gateway.Message) bool
	}{
		"plain": {nil, func(m *gateway.Message) bool {
			return m.Category == "follow_up" && m.Template == "follow_up" && m.Body.Variables["text"] == "Please call us." && m.Essential && m.Body.Actor == "service" &&
				m.Body.Channels == nil && m.Queue == gateway.SingleQueue && m.Expires.IsZero()
		}},
		"category in words":     {object{"category": list{object{"text": "treatment_update"}}}, func(m *gateway.Message) bool { return m.Category == "treatment_update" }},
		"category among others": {object{"category": list{coding("http://acme.org/messagetypes", "x"), coding("https://harmonize.care/heed/category", "follow_up")}}, func(m *gateway.Message) bool { return m.Category == "follow_up" }},
		"subject by identifier": {object{"subject": object{"identifier": object{"value": "P2"}}}, func(m *gateway.Message) bool { return true }},
		"subject by address":    {object{"subject": object{"reference": "https://ehr.example/fhir/Patient/P2/_history/3"}}, func(m *gateway.Message) bool { return true }},
		"subject contained": {object{"subject": object{"reference": "#p"}, "contained": list{object{"resourceType": "Patient", "id": "p", "identifier": list{
			object{"value": "900"}, object{"value": "P2", "type": coding("http://terminology.hl7.org/CodeSystem/v2-0203", "MR")}}}}}, func(m *gateway.Message) bool { return true }},
		"recipient is the patient": {object{"recipient": list{object{"reference": "Patient/P1"}}}, func(m *gateway.Message) bool { return true }},
		"sms":                      {object{"medium": list{mode("SMSWRIT")}}, func(m *gateway.Message) bool { return slices.Equal(m.Body.Channels, []channels.Channel{channels.SMS}) }},
		"email then call": {object{"medium": list{mode("EMAILWRIT"), mode("PHONE")}}, func(m *gateway.Message) bool {
			return slices.Equal(m.Body.Channels, []channels.Channel{channels.Email, channels.Voice})
		}},
		"written": {object{"medium": list{mode("WRITTEN")}}, func(m *gateway.Message) bool {
			return slices.Equal(m.Body.Channels, []channels.Channel{channels.Email, channels.SMS})
		}},
		"our own channel": {object{"medium": list{coding("https://harmonize.care/heed/channel", "voice")}}, func(m *gateway.Message) bool {
			return slices.Equal(m.Body.Channels, []channels.Channel{channels.Voice})
		}},
		"a letter or email": {object{"medium": list{mode("MAILWRIT"), mode("EMAILWRIT")}}, func(m *gateway.Message) bool {
			return slices.Equal(m.Body.Channels, []channels.Channel{channels.Email})
		}},
		"routine": {object{"priority": "routine"}, func(m *gateway.Message) bool { return !m.Body.Urgent }},
		"urgent":  {object{"priority": "urgent"}, func(m *gateway.Message) bool { return m.Body.Urgent && m.Queue == gateway.UrgentQueue }},
		"asap":    {object{"priority": "asap"}, func(m *gateway.Message) bool { return m.Body.Urgent }},
		"stat":    {object{"priority": "stat"}, func(m *gateway.Message) bool { return m.Body.Urgent }},
		"at a moment": {object{"occurrenceDateTime": "2026-11-04T12:00:00-07:00"}, func(m *gateway.Message) bool {
			return m.Due.Equal(at("2026-11-04T12:00:00-07:00")) && m.Queue == gateway.ReminderQueue && m.Expires.IsZero()
		}},
		"a little late": {object{"occurrenceDateTime": "2026-11-02T08:00:00-07:00"}, func(m *gateway.Message) bool { return m.Queue == gateway.SingleQueue }},
		"in a period": {object{"occurrencePeriod": object{"start": "2026-11-04T12:00:00-07:00", "end": "2026-11-05T12:00:00-07:00"}}, func(m *gateway.Message) bool {
			return m.Due.Equal(at("2026-11-04T12:00:00-07:00")) && m.Expires.Equal(at("2026-11-05T12:00:00-07:00"))
		}},
		"until": {object{"occurrencePeriod": object{"end": "2026-11-05T12:00:00-07:00"}}, func(m *gateway.Message) bool { return m.Expires.Equal(at("2026-11-05T12:00:00-07:00")) }},
		"variables": {object{"category": list{object{"text": "legal_notice"}}, "payload": nil, "extension": list{
			variable("title", object{"valueString": "Notice"}), variable("text", object{"valueMarkdown": "Our notice changed."}), object{"url": "https://ehr.example/other", "valueBoolean": true}}},
			func(m *gateway.Message) bool {
				return m.Body.Variables["title"] == "Notice" && m.Body.Variables["text"] == "Our notice changed."
			}},
		"a time and words left out": {object{"category": list{object{"text": "appointment_change"}}, "extension": list{
			variable("appointment_time", object{"valueDateTime": "2026-11-09T10:00:00-07:00"}), variable("location", object{"valueString": "Denver office"})}},
			func(m *gateway.Message) bool {
				return m.Body.Variables["text"] == "" && m.Expires.Equal(at("2026-11-09T10:00:00-07:00"))
			}},
		"template":      {object{"extension": list{object{"url": "https://harmonize.care/heed/template", "valueCode": "follow_up"}}}, func(m *gateway.Message) bool { return m.Template == "follow_up" }},
		"not forbidden": {object{"doNotPerform": false}, func(m *gateway.Message) bool { return true }},
	}
	h := newHouse(t)
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			got := h.call("POST", "/fhir/CommunicationRequest", asks(id, c.change))
			m := h.messages("CommunicationRequest/" + id)
			if got.status != http.StatusCreated || len(m) != 1 {
				t.Fatalf("%d, %d messages: %s", got.status, len(m), got.raw)
			}
			if !c.is(&m[0]) {
				t.Errorf("%+v", m[0])
			}
			if strings.HasPrefix(name, "subject") {
				if p, err := h.db.Patient(context.Background(), m[0].Patient); err != nil || p.Ref != "P2" {
					t.Errorf("for somebody else: %v", err)
				}
			}
			if want := "https://heed.example/fhir/Communication/"; !strings.HasPrefix(got.header.Get("Location"), want) {
				t.Errorf("Location %q", got.header.Get("Location"))
			}
		})
	}
}

// TestRequestRefused: a refusal names the element and the reason, repeats no value, and
// changes nothing.
func TestRequestRefused(t *testing.T) {
	h := newHouse(t)
	h.enrol("gone", "+13035550103")
	if err := h.intake.Erase(context.Background(), "staff", h.id("gone"), "request"); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change     object
		code, path string
	}{
		"no status":             {object{"status": nil}, "required", ".status"},
		"status of no kind":     {object{"status": secret}, "code-invalid", ".status"},
		"status unknown":        {object{"status": "unknown"}, "business-rule", ".status"},
		"status said elsewhere": {object{"status": nil, "_status": object{"extension": list{}}}, "incomplete", ".status"},
		"no subject":            {object{"subject": nil}, "required", ".subject"},
		"subject a group":       {object{"subject": object{"reference": "Group/" + secret}}, "value", ".subject"},
		"subject of nothing":    {object{"subject": object{"display": secret}}, "value", ".subject"},
		"subject not sent":      {object{"subject": object{"reference": "urn:uuid:" + secret}}, "value", ".subject"},
		"subject by a search":   {object{"subject": object{"reference": "Patient?identifier=" + secret}}, "value", ".subject"},
		"subject of many numbers": {object{"subject": object{"reference": "#p"}, "contained": list{object{"resourceType": "Patient", "id": "p", "identifier": list{
			object{"value": secret, "type": coding("http://terminology.hl7.org/CodeSystem/v2-0203", "MR")}, object{"value": "P2", "type": coding("http://terminology.hl7.org/CodeSystem/v2-0203", "MR")}}}}}, "value", ".subject"},
		"subject contained without a number": {object{"subject": object{"reference": "#P1"}, "contained": list{object{"resourceType": "Patient", "id": "P1"}}}, "value", ".subject"},
		"subject unknown":                    {object{"subject": object{"reference": "Patient/" + secret}}, "not-found", ".subject"},
		"subject too long":                   {object{"subject": object{"reference": "Patient/" + strings.Repeat("x", 200)}}, "value", ".subject"},
		"subject erased":                     {object{"subject": object{"reference": "Patient/gone"}}, "deleted", ".subject"},
		"recipient somebody else":            {object{"recipient": list{object{"reference": "Patient/P1"}, object{"reference": "RelatedPerson/" + secret}}}, "business-rule", ".recipient[1]"},
		"recipient another patient":          {object{"recipient": list{object{"reference": "Patient/P2"}}}, "business-rule", ".recipient[0]"},
		"no category":                        {object{"category": nil}, "code-invalid", ".category"},
		"category of others":                 {object{"category": list{coding("http://acme.org/x", secret)}}, "code-invalid", ".category"},
		"category not of the policy":         {object{"category": list{coding("https://harmonize.care/heed/category", secret)}}, "business-rule", ".category"},
		"two categories":                     {object{"category": list{object{"text": "follow_up"}, object{"text": "marketing"}}}, "multiple-matches", ".category"},
		"template of nobody":                 {object{"extension": list{object{"url": "https://harmonize.care/heed/template", "valueString": secret}}, "payload": nil}, "business-rule", ".extension"},
		"template of another category":       {object{"extension": list{object{"url": "https://harmonize.care/heed/template", "valueString": "marketing"}}}, "business-rule", ".extension"},
		"template without a name":            {object{"extension": list{object{"url": "https://harmonize.care/heed/template", "valueBoolean": true}}}, "extension", ".extension[0]"},
		"variable without a name":            {object{"extension": list{object{"url": "https://harmonize.care/heed/variable", "extension": list{object{"url": "value", "valueString": secret}}}}}, "extension", ".extension[0]"},
		"variable nobody takes":              {object{"extension": list{variable(secret+" x", object{"valueString": "y"})}}, "business-rule", ".payload"},
		"no text":                            {object{"payload": nil}, "business-rule", ".payload"},
		"two payloads":                       {object{"payload": list{object{"contentString": "a"}, object{"contentString": "b"}}}, "not-supported", ".payload"},
		"a file":                             {object{"payload": list{object{"contentAttachment": object{"url": secret}}}}, "not-supported", ".payload[0].content"},
		"a reference as payload":             {object{"payload": list{object{"contentReference": object{"reference": secret}}}}, "not-supported", ".payload[0].content"},
		"a letter":                           {object{"medium": list{mode("MAILWRIT")}}, "not-supported", ".medium"},
		"medium in words":                    {object{"medium": list{object{"text": secret}}}, "not-supported", ".medium"},
		"priority of no kind":                {object{"priority": secret}, "code-invalid", ".priority"},
		"a day":                              {object{"occurrenceDateTime": "2026-11-05"}, "value", ".occurrence"},
		"no offset":                          {object{"occurrenceDateTime": "2026-11-05T10:00:00"}, "value", ".occurrence"},
		"no time at all":                     {object{"occurrenceDateTime": secret}, "value", ".occurrence"},
		"long ago":                           {object{"occurrenceDateTime": "2016-06-10T11:01:10-08:00"}, "expired", ".occurrence"},
		"period over":                        {object{"occurrencePeriod": object{"start": "2026-10-04T12:00:00-07:00", "end": "2026-10-05T12:00:00-07:00"}}, "business-rule", ".occurrence"},
		"period backwards":                   {object{"occurrencePeriod": object{"start": "2026-11-05T12:00:00-07:00", "end": "2026-11-04T12:00:00-07:00"}}, "invariant", ".occurrence"},
		"period of a day":                    {object{"occurrencePeriod": object{"end": "2026-11-05"}}, "value", ".occurrence.end"},
		"moment and period":                  {object{"occurrenceDateTime": "2026-11-05T12:00:00-07:00", "occurrencePeriod": object{}}, "structure", ".occurrence"},
		"moment said elsewhere":              {object{"_occurrenceDateTime": object{"extension": list{}}}, "incomplete", ".occurrenceDateTime"},
		"misspelt":                           {object{"doNotPreform": true}, "structure", ""},
		"element of another case":            {object{"DoNotPerform": true}, "structure", ""},
		"element deep down":                  {object{"payload": list{object{"contentString": "a", secret: 1}}}, "structure", ".payload[0]"},
		"null":                               {object{"priority": list(nil)}, "structure", ".priority"},
		"a text for a list":                  {object{"category": secret}, "structure", ".category"},
		"a text for true":                    {object{"doNotPerform": "true"}, "structure", ".doNotPerform"},
		"a number for a text":                {object{"subject": object{"reference": 7}}, "structure", ".subject.reference"},
		"modifier extension":                 {object{"modifierExtension": list{object{"url": secret}}}, "extension", ".modifierExtension"},
		"modifier deep down":                 {object{"payload": list{object{"contentString": "a", "modifierExtension": list{}}}}, "extension", ".payload[0].modifierExtension"},
		"implicit rules":                     {object{"implicitRules": secret}, "not-supported", ".implicitRules"},
		"id too long":                        {object{"id": strings.Repeat("x", 300)}, "too-long", ".identifier"},
		"identifier with a line break":       {object{"id": nil, "identifier": list{object{"value": secret + "\n"}}}, "too-long", ".identifier"},
		"another type":                       {object{"resourceType": "Appointment"}, "structure", ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got := h.call("POST", "/fhir/CommunicationRequest", asks("r1", c.change))
			code, path := got.first()
			if got.status < 400 || got.status >= 500 || code != c.code || path != "CommunicationRequest"+c.path {
				t.Errorf("%d %s %s: %s", got.status, code, path, got.raw)
			}
			if n := len(h.of("P1")) + len(h.of("P2")); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

func (h *house) id(ref string) int64 {
	h.Helper()
	id, err := h.db.PatientID(context.Background(), ref)
	if err != nil {
		h.Fatal(err)
	}
	return id
}

// TestOnce: a request leads to one message at most, however often and at what times it is told.
func TestOnce(t *testing.T) {
	h := newHouse(t)
	const name = "CommunicationRequest/r1"
	later := object{"occurrenceDateTime": "2026-11-04T12:00:00-07:00"}
	h.call("POST", "/fhir/CommunicationRequest", asks("r1", later))
	if got := h.call("PUT", "/fhir/CommunicationRequest/r1", asks("r1", later)); got.status != http.StatusOK || got.header.Get("Location") == "" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	h.expect(h.statuses(name), "scheduled")
	// A changed one takes the place of the one that waits.
	moved := object{"occurrenceDateTime": "2026-11-05T12:00:00-07:00"}
	if got := h.call("PUT", "/fhir/CommunicationRequest/r1", asks("r1", moved)); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.raw)
	}
	h.expect(h.statuses(name), "canceled replaced", "scheduled")
	// The same under its identifier beside its id is still the same.
	both := object{"occurrenceDateTime": "2026-11-05T12:00:00-07:00", "identifier": list{object{"system": "urn:ehr", "value": "7"}}}
	h.call("POST", "/fhir/CommunicationRequest", asks("r1", both))
	h.expect(h.statuses(name), "canceled replaced", "scheduled")
	// What was carried out is not carried out again, changed or not.
	h.becomes(h.messages(name)[1].ID, gateway.Sent, "")
	for _, c := range []struct {
		change   object
		severity string
	}{{moved, "information"}, {later, "warning"}} {
		got := h.call("POST", "/fhir/CommunicationRequest", asks("r1", c.change))
		if got.status != http.StatusOK || got.issues[0].Severity.Code() != c.severity || !strings.HasSuffix(got.header.Get("Location"), strconv.FormatInt(h.messages(name)[1].ID, 10)) {
			t.Errorf("%d %s", got.status, got.raw)
		}
	}
	h.expect(h.statuses(name), "canceled replaced", "sent")
}

// TestNoIdentity: an Idempotency-Key is the identity of what has none of its own.
func TestNoIdentity(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		h.call("POST", "/fhir/CommunicationRequest", asks("", object{"id": nil}), "Idempotency-Key", "k1")
	}
	h.call("POST", "/fhir/CommunicationRequest", asks("", object{"id": nil}), "Idempotency-Key", "k2")
	h.call("POST", "/fhir/CommunicationRequest", asks("", object{"id": nil}), "Idempotency-Key", "k2", "Authorization", "Bearer scheduler")
	if n := len(h.of("P1")); n != 3 {
		t.Errorf("%d messages", n)
	}
	for range 2 {
		h.call("POST", "/fhir/CommunicationRequest", asks("", object{"id": nil}))
	}
	if n := len(h.of("P1")); n != 5 {
		t.Errorf("%d messages: without any identity, each is one of its own", n)
	}
	if got := h.call("POST", "/fhir/CommunicationRequest", asks("r", nil), "Idempotency-Key", strings.Repeat("k", 256)); got.status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// TestAtOneTime: the same told by many at one time is one message, and one set of reminders.
func TestAtOneTime(t *testing.T) {
	h := newHouse(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil)) })
		all.Go(func() { h.call("POST", "/fhir/Appointment", booked("a1", nil)) })
	}
	all.Wait()
	h.expect(h.statuses("CommunicationRequest/r1"), "queued")
	h.expect(h.waiting("a1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
}

// TestTakenBack: what is no longer in force does not go out.
func TestTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		change object
		code   string
		again  int  // what an active one is answered afterwards
		early  bool // remembered when it comes before the request itself
	}{
		"revoked":           {object{"status": "revoked"}, "canceled request_revoked", http.StatusConflict, true},
		"entered in error":  {object{"status": "entered-in-error"}, "canceled request_revoked", http.StatusConflict, true},
		"completed":         {object{"status": "completed"}, "canceled request_revoked", http.StatusConflict, false},
		"forbidden":         {object{"doNotPerform": true}, "canceled request_revoked", http.StatusConflict, true},
		"bare":              {object{"status": "revoked", "subject": nil, "category": nil, "payload": nil}, "canceled request_revoked", http.StatusConflict, false},
		"on hold":           {object{"status": "on-hold"}, "canceled request_on_hold", http.StatusCreated, false},
		"a draft again":     {object{"status": "draft"}, "canceled request_on_hold", http.StatusCreated, false},
		"a draft forbids":   {object{"status": "draft", "doNotPerform": true}, "queued", http.StatusOK, false},
		"a mistake forbade": {object{"status": "entered-in-error", "doNotPerform": true}, "queued", http.StatusOK, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			// Nothing had been asked for: nothing is done, and what was taken back is remembered.
			if got := h.call("POST", "/fhir/CommunicationRequest", asks("r0", c.change)); got.status != http.StatusOK || got.issues[0].Severity.Code() != "information" {
				t.Errorf("%d %s", got.status, got.raw)
			}
			if got := h.statuses("CommunicationRequest/r0"); c.early == (len(got) == 0) || c.early && got[0] != "canceled request_revoked" {
				t.Errorf("%q", got)
			}
			late := http.StatusCreated
			if c.early {
				late = http.StatusConflict
			}
			if got := h.call("POST", "/fhir/CommunicationRequest", asks("r0", nil)); got.status != late {
				t.Errorf("the late word: %d %s", got.status, got.raw)
			}
			h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil))
			h.call("POST", "/fhir/CommunicationRequest", asks("r2", nil))
			if got := h.call("PUT", "/fhir/CommunicationRequest/r1", asks("r1", c.change)); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.raw)
			}
			h.expect(h.statuses("CommunicationRequest/r1"), c.code)
			h.expect(h.statuses("CommunicationRequest/r2"), "queued")
			if got := h.call("PUT", "/fhir/CommunicationRequest/r1", asks("r1", nil)); got.status != c.again {
				t.Errorf("active again: %d %s", got.status, got.raw)
			}
		})
	}
	h := newHouse(t)
	if got := h.call("POST", "/fhir/CommunicationRequest", asks("", object{"id": nil, "status": "revoked"})); got.status != http.StatusUnprocessableEntity {
		t.Errorf("of nothing: %d %s", got.status, got.raw)
	}
	// What a person took back stays so; what was sent cannot be taken back, and that is told.
	h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil))
	h.becomes(h.messages("CommunicationRequest/r1")[0].ID, gateway.Canceled, "")
	if got := h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil)); got.status != http.StatusConflict {
		t.Errorf("%d %s", got.status, got.raw)
	}
	h.call("POST", "/fhir/CommunicationRequest", asks("r2", nil))
	h.becomes(h.messages("CommunicationRequest/r2")[0].ID, gateway.Sent, "")
	if got := h.call("POST", "/fhir/CommunicationRequest", asks("r2", object{"status": "revoked"})); got.status != http.StatusOK || got.issues[0].Severity.Code() != "warning" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	h.expect(h.statuses("CommunicationRequest/r2"), "sent")
}

// TestReplaces: a request that takes the place of others takes back what waits for them.
func TestReplaces(t *testing.T) {
	h := newHouse(t)
	identified := object{"id": nil, "identifier": list{object{"system": "urn:ehr", "value": "7"}}}
	h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil))
	h.call("POST", "/fhir/CommunicationRequest", asks("", identified))
	h.call("POST", "/fhir/CommunicationRequest", asks("r3", nil))
	replaces := list{object{"reference": "https://ehr.example/CommunicationRequest/r1/_history/1"}, object{"identifier": object{"system": "urn:ehr", "value": "7"}}, object{"display": secret}}
	// A draft of it, and one that is taken back, replace nothing.
	for _, status := range []string{"draft", "revoked"} {
		h.call("POST", "/fhir/CommunicationRequest", asks("other", object{"replaces": replaces, "status": status}))
	}
	h.expect(h.statuses("CommunicationRequest/r1"), "queued")
	if got := h.call("POST", "/fhir/CommunicationRequest", asks("r2", object{"replaces": replaces})); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.raw)
	}
	h.expect(h.statuses("CommunicationRequest/r1"), "canceled request_replaced")
	h.expect(h.statuses("CommunicationRequest?identifier=urn:ehr|7"), "canceled request_replaced")
	h.expect(h.statuses("CommunicationRequest/r2"), "queued")
	if got := h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil)); got.status != http.StatusConflict {
		t.Errorf("a late retry of the old one: %d %s", got.status, got.raw)
	}
	// A prohibition stands beside what it forbids.
	h.call("POST", "/fhir/CommunicationRequest", asks("no", object{"doNotPerform": true, "replaces": list{object{"reference": "CommunicationRequest/r3"}}}))
	h.expect(h.statuses("CommunicationRequest/r3"), "canceled request_revoked")
	h.expect(h.statuses("CommunicationRequest/no"), "canceled request_revoked")
}

// TestRulesAreTold: what the rules say of an accepted message is told with its code.
func TestRulesAreTold(t *testing.T) {
	h := newHouse(t)
	got := h.call("POST", "/fhir/CommunicationRequest", asks("r1", object{"category": list{object{"text": "survey"}}, "medium": list{mode("SMSWRIT")}, "payload": nil, "priority": "stat",
		"extension": list{variable("url", object{"valueUrl": "https://practice.example/survey"})}}))
	if got.status != http.StatusCreated || len(got.issues) != 2 || got.issues[0].Severity.Code() != "warning" || *got.issues[0].Details.Coding[0].Code != "consent_missing" ||
		!strings.Contains(*got.issues[0].Diagnostics, "64.1200") || !strings.Contains(*got.issues[1].Diagnostics, "essential") {
		t.Errorf("%d %s", got.status, got.raw)
	}
}
