package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// mailEvents brings SendGrid's events as its signed webhook does.
func (h *heedUnderTest) mailEvents(events ...map[string]any) {
	h.t.Helper()
	body, err := json.Marshal(events)
	if err != nil {
		h.t.Fatal(err)
	}
	stamp := strconv.FormatInt(h.server.now().Unix(), 10)
	digest := sha256.Sum256(append([]byte(stamp), body...))
	signature, err := h.server.signing.Sign(rand.Reader, digest[:], nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, h.url+"/webhooks/sendgrid/events", bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(signature))
	r.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", stamp)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		h.t.Fatalf("the events were answered %d", answer.StatusCode)
	}
}

// newsletter is what a dry run of one says: "" when it may go.
func (h *heedUnderTest) newsletter(patient string) string {
	h.t.Helper()
	code, _ := h.ok("POST", "/v1/decisions", map[string]any{"patient": patient, "category": "newsletter"})["code"].(string)
	return code
}

// TestASpamReportIsBoundToTheMailbox: it binds whoever has the mailbox, then and
// later, outlives the erasure of who made it, is shown to staff, and a later word of
// a patient counts again for that patient.
func TestASpamReportIsBoundToTheMailbox(t *testing.T) {
	h := start(t, nil)
	report := func(id, mailbox, event string, ago time.Duration) {
		t.Helper()
		h.mailEvents(map[string]any{"event": event, "email": mailbox, "sg_event_id": id, "timestamp": h.server.now().Add(-ago).Unix()})
	}
	says := func(patient, want string) {
		t.Helper()
		if got := h.newsletter(patient); got != want {
			t.Errorf("%s: %q, wanted %q", patient, got, want)
		}
	}
	report("e1", "Late@patients.example", "spamreport", 0)
	h.enrol("p1", "+13035550151", "late@patients.example")
	says("p1", "opted_out")

	h.enrol("p2", "+13035550152", "shared@patients.example")
	says("p2", "")
	report("e2", "shared@patients.example", "unsubscribe", time.Hour)
	says("p2", "opted_out")
	h.enrol("p3", "+13035550153", "shared@patients.example")
	says("p3", "opted_out")
	h.ok("DELETE", "/v1/patients/p2", map[string]any{"reason": "request"})
	h.enrol("p4", "+13035550154", "shared@patients.example")
	says("p4", "opted_out")

	choices := h.ok("GET", "/v1/patients/p4/preferences", nil)["choices"].([]any)
	if len(choices) != 1 {
		t.Fatalf("the report is not shown: %v", choices)
	}
	shown := choices[0].(map[string]any)
	for field, want := range map[string]string{
		"topic": "non_essential", "channel": "email", "choice": "opt_out", "source": "spam_report", "address": "shared@patients.example",
	} {
		if shown[field] != want {
			t.Errorf("%s: %v, wanted %s", field, shown[field], want)
		}
	}

	optIn := map[string]any{"source": "staff", "choices": []map[string]any{{"topic": "newsletter", "channel": "email", "choice": "opt_in"}}}
	h.ok("POST", "/v1/patients/p4/preferences", optIn)
	says("p4", "")
	says("p3", "opted_out") // it was p4's word alone
	h.server.clock.Add(2 * time.Second)
	report("e3", "shared@patients.example", "spamreport", 0)
	says("p4", "opted_out")

	if found, err := h.server.db.Verify(t.Context()); err != nil || len(found.Faults) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
}
