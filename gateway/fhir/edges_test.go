package fhir_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// TestTexts: nothing comes in that PostgreSQL or a terminal would choke on, or that two
// readers could each read otherwise; what is refused in a batch refuses itself alone.
func TestTexts(t *testing.T) {
	h := newHouse(t)
	says := func(text string) object { return asks("r1", object{"payload": list{object{"contentString": text}}}) }
	place := func(display string) object {
		return booked("a1", object{"participant": list{participant("Patient/P1", "", "accepted"), participant("Location/1", display, "accepted")}})
	}
	for name, c := range map[string]struct {
		body       any
		status     int
		code, path string
	}{
		"NUL":               {says("a\x00b"), 422, "value", "CommunicationRequest.payload[0].contentString"},
		"escape":            {says("\x1b[2J"), 422, "value", "CommunicationRequest.payload[0].contentString"},
		"an id of lines":    {asks("r\n1", nil), 422, "too-long", "CommunicationRequest.identifier"},
		"a patient's id":    {asks("r1", object{"subject": object{"reference": "Patient/P\u009b1"}}), 422, "value", "CommunicationRequest.subject.reference"},
		"an id of two rows": {asks("r1", object{"subject": object{"reference": "Patient/P\n1"}}), 422, "value", "CommunicationRequest.subject"},
		"a variable's name": {asks("r1", object{"extension": list{variable("te\nxt", object{"valueString": "x"})}}), 422, "extension", "CommunicationRequest.extension[0]"},
		"a place of lines":  {place("Denver\noffice"), 422, "value", "Appointment.participant"},
		"a contained place": {booked("a1", object{"contained": list{object{"resourceType": "Location", "id": "l", "name": "South\x07"}}, "participant": list{participant("Patient/P1", "", "accepted"), participant("#l", "", "accepted")}}), 422, "value", "Appointment.participant"},
		"bytes of no text":  {`{"resourceType":"CommunicationRequest","status":"` + "\xff" + `"}`, 400, "invalid", ""},
		"a member twice":    {`{"resourceType":"CommunicationRequest","id":"r1","doNotPerform":true,"doNotPerform":false}`, 400, "invalid", ""},
		"another case":      {`{"resourceType":"CommunicationRequest","id":"r1","status":"active","DoNotPerform":true}`, 422, "structure", "CommunicationRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			kind := "CommunicationRequest"
			if o, ok := c.body.(object); ok {
				kind = o["resourceType"].(string)
			}
			got := h.call("POST", "/fhir/"+kind, c.body)
			if code, path := got.first(); got.status != c.status || code != c.code || path != c.path {
				t.Errorf("%d %s %s: %s", got.status, code, path, got.raw)
			}
		})
	}
	if n := len(h.of("P1")); n != 0 {
		t.Errorf("%d messages", n)
	}
	got := h.call("POST", "/fhir", bundle("batch", put(says("a\x00b")), put(asks("r2", object{"payload": list{object{"contentString": "Please\r\ncall\tus."}}}))))
	h.expect(outcomes(t, got.bundle), "422 value", "201 informational")
	for _, key := range []string{"a\x01b", "\xff", strings.Repeat("k", 256)} {
		if got := h.call("POST", "/fhir/CommunicationRequest", asks("r3", nil), "Idempotency-Key", key); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d %s", key, got.status, got.raw)
		}
	}
	for _, query := range []string{"subject=Patient/P%001", "subject=Patient/P%ff", "patient=P%0a1"} {
		if got := h.call("GET", "/fhir/Communication?"+query, nil); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
}

// TestRefusedCallsAreWrittenDown: a call that a role does not allow stands in the audit log.
func TestRefusedCallsAreWrittenDown(t *testing.T) {
	h := newHouse(t)
	marketer := []string{"Authorization", "Bearer marketer"}
	h.call("PUT", "/fhir/Appointment/a1", booked("a1", nil), marketer...)
	h.call("POST", "/fhir", bundle("batch"), marketer...)
	h.call("GET", "/fhir/Communication/1", nil, marketer...)
	h.call("GET", "/fhir/Communication/1", nil, "Authorization", "Bearer "+secret) // nobody: nothing to write down
	h.expect(h.audited("call.refused"), "marketer put-fhir-appointment-id message.send", "marketer post-fhir message.send", "marketer get-fhir-communication-id message.read")
}

// audited lists what stands in the audit log under some verbs.
func (h *house) audited(verbs ...string) []string {
	h.Helper()
	rows, err := h.db.Audits(context.Background(), 0, 1000)
	if err != nil {
		h.Fatal(err)
	}
	got := []string{}
	for _, r := range rows {
		for _, verb := range verbs {
			if r.Verb == verb {
				got = append(got, strings.TrimSpace(r.Actor+" "+r.Object+" "+r.Detail))
			}
		}
	}
	return got
}

// TestErasedMeanwhile: of an erasure that another replica has just kept, the cache here
// knows nothing yet. It refuses what is meant for that patient, and nothing beside it.
func TestErasedMeanwhile(t *testing.T) {
	h := newHouse(t)
	h.call("POST", "/fhir/CommunicationRequest", asks("r0", nil)) // P1 is in the cache now
	h.call("POST", "/fhir/Appointment", booked("a0", nil))
	id, err := h.db.PatientID(context.Background(), "P1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.db.Commit(context.Background(), gateway.Change{At: h.clock, Actor: "test", Patients: []gateway.PatientFact{
		{Patient: id, Expect: -1, Erase: true, Events: []preferences.Event{{ID: h.dispatcher.NewID(), Kind: preferences.PatientErased, At: h.clock.UnixMicro()}}},
	}}); err != nil {
		t.Fatal(err)
	}
	got := h.call("POST", "/fhir", bundle("batch", put(asks("r1", nil)), put(asks("r2", object{"subject": object{"reference": "Patient/P2"}})), put(booked("a1", nil))))
	h.expect(outcomes(t, got.bundle), "409 deleted", "201 informational", "409 deleted")
	// The appointment is somebody else's now.
	again := booked("a0", object{"participant": list{participant("Patient/P2", "", "accepted"), participant("Location/1", "Here", "accepted")}})
	if got := h.call("POST", "/fhir/Appointment", again); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if raw, err := json.Marshal(h.of("P1")); err != nil || strings.Contains(string(raw), "CommunicationRequest/") {
		t.Errorf("%v %s", err, raw)
	}
}
