package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// fhir speaks to the gateway as an EHR does.
func (h *heedUnderTest) fhir(method, path string, body any) answer {
	h.t.Helper()
	a := h.call(method, "/fhir"+path, body, "Content-Type", "application/fhir+json")
	if got := a.header.Get("Content-Type"); got != "application/fhir+json; charset=utf-8" {
		h.t.Errorf("%s /fhir%s: %q: %s", method, path, got, a.raw)
	}
	return a
}

// communications gives the status and the reason of what was meant for a patient, by
// what it is based on.
func (h *heedUnderTest) communications(patient string) map[string]string {
	h.t.Helper()
	a := h.fhir("GET", "/Communication?subject=Patient/"+patient, nil)
	if a.status != http.StatusOK {
		h.t.Fatalf("%d %s", a.status, a.raw)
	}
	got := map[string]string{}
	entries, _ := a.json["entry"].([]any)
	for _, e := range entries {
		c := e.(map[string]any)["resource"].(map[string]any)
		based := c["basedOn"].([]any)[0].(map[string]any)
		name, ok := based["reference"].(string)
		if !ok {
			name = based["identifier"].(map[string]any)["value"].(string)
		}
		told := []string{c["status"].(string)}
		if reason, ok := c["statusReason"].(map[string]any); ok {
			told = append(told, reason["coding"].([]any)[0].(map[string]any)["code"].(string))
		}
		for _, when := range []string{"sent", "received"} {
			if c[when] != nil {
				told = append(told, when)
			}
		}
		got[name] = strings.TrimSpace(got[name] + " " + strings.Join(told, " "))
	}
	return got
}

// TestFHIR: a Bundle goes in, texts arrive, and Communication tells it.
func TestFHIR(t *testing.T) {
	h := start(t, map[string]string{"practice.time_zone": "America/Denver"})
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	year, month, day := time.Now().In(denver).Date()
	h.server.clock.Set(time.Date(year, month, day+1, 10, 0, 0, 0, denver)) // inside every window
	h.enrol("p1", "+13035550151", "p1@patients.example")
	visit := h.server.now().Add(50 * time.Hour)
	asks := func(id, category string, more map[string]any) map[string]any {
		r := map[string]any{"resourceType": "CommunicationRequest", "id": id, "status": "active", "subject": map[string]any{"reference": "Patient/p1"},
			"category": []any{map[string]any{"text": category}}, "medium": []any{map[string]any{"coding": []any{map[string]any{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": "SMSWRIT"}}}}}
		for k, v := range more {
			r[k] = v
		}
		return r
	}
	taking := func(reference, display string) map[string]any {
		return map[string]any{"status": "accepted", "actor": map[string]any{"reference": reference, "display": display}}
	}
	appointment := map[string]any{"resourceType": "Appointment", "id": "a1", "status": "booked", "start": visit.UTC().Format(time.RFC3339),
		"participant": []any{taking("Patient/p1", "Xiomara Okonkwo"), taking("Location/1", "Cedar Practice"), taking("Practitioner/1", "Dr. Lee")}}
	var entries []any
	for _, r := range []map[string]any{
		appointment,
		asks("r1", "follow_up", map[string]any{"payload": []any{map[string]any{"contentString": "Please call us today."}}}),
		asks("r2", "symptom_check_in", nil), // needs express consent
		asks("r3", "follow_up", map[string]any{"payload": []any{map[string]any{"contentString": "Not now."}}, "occurrenceDateTime": visit.Format(time.RFC3339)}),
	} {
		entries = append(entries, map[string]any{"resource": r, "request": map[string]any{"method": "PUT", "url": fmt.Sprintf("%s/%s", r["resourceType"], r["id"])}})
	}
	bundle := map[string]any{"resourceType": "Bundle", "type": "transaction", "entry": entries}
	for range 2 { // an EHR that is not sure tells it again
		if a := h.fhir("POST", "", bundle); a.status != http.StatusOK || a.json["type"] != "transaction-response" || len(a.json["entry"].([]any)) != 4 {
			t.Fatalf("%d %s", a.status, a.raw)
		}
	}
	eventually(t, "the text has arrived", func() bool { return h.communications("p1")["CommunicationRequest/r1"] == "completed sent received" })
	texts := h.to("+13035550151")
	if len(texts) != 1 || !strings.Contains(texts[0].Body, "Please call us today.") {
		t.Fatalf("%+v", texts)
	}
	eventually(t, "the rule has said no", func() bool { return h.communications("p1")["CommunicationRequest/r2"] == "not-done consent_missing" })
	if a := h.fhir("POST", "/CommunicationRequest", asks("r3", "follow_up", map[string]any{"doNotPerform": true})); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if got := h.communications("p1"); got["CommunicationRequest/r3"] != "not-done request_revoked" || got["a1"] != "preparation preparation" {
		t.Errorf("%v", got)
	}
	h.server.clock.Add(2*time.Hour + time.Minute)
	eventually(t, "the first reminder has arrived", func() bool { return h.communications("p1")["a1"] == "completed sent received preparation" })
	if texts = h.to("+13035550151"); len(texts) != 2 || !strings.Contains(texts[1].Body, visit.In(denver).Format("3:04")) || !strings.Contains(texts[1].Body, "Cedar Practice") {
		t.Errorf("%+v", texts)
	}
	appointment["status"] = "cancelled"
	if a := h.fhir("PUT", "/Appointment/a1", appointment); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if got := h.communications("p1"); got["a1"] != "completed sent received not-done appointment_called_off" {
		t.Errorf("%v", got)
	}
	for _, secret := range []string{"+1303555", "Xiomara", "Please call", "Patient/p1"} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log says %q", secret)
		}
	}
}

// TestFHIRKeys: the keys and roles are those of the API.
func TestFHIRKeys(t *testing.T) {
	h := start(t, nil)
	for _, key := range []string{"Bearer wrong", "", "Basic " + adminKey} {
		if a := h.call("POST", "/fhir/Appointment", "{}", "Authorization", key, "Content-Type", "application/fhir+json"); a.status != http.StatusUnauthorized || a.json["resourceType"] != "OperationOutcome" {
			t.Errorf("%q: %d %s", key, a.status, a.raw)
		}
	}
	if a := h.fhir("GET", "/metadata", nil); a.json["fhirVersion"] != "4.0.1" {
		t.Errorf("%s", a.raw)
	}
	if a := h.fhir("GET", "/Communication?subject=Patient/nobody", nil); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// TestAnErasedPatientRefusesOneMessage, and not those beside it.
func TestAnErasedPatientRefusesOneMessage(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.enrol("p2", "+13035550152", "p2@patients.example")
	h.ok("DELETE", "/v1/patients/p2", map[string]any{"reason": "request"})
	a := h.call("POST", "/v1/messages", []any{reminder("p1"), reminder("p2"), reminder("p1")})
	if a.status != http.StatusAccepted || strings.Count(string(a.raw), `"id"`) != 2 || strings.Count(string(a.raw), `"erased"`) != 1 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := h.call("POST", "/v1/messages", reminder("p2")); a.status != http.StatusConflict {
		t.Errorf("%d %s", a.status, a.raw)
	}
}
