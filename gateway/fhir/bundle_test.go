package fhir_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"
)

func bundle(kind string, entries ...object) object {
	all := list{}
	for _, e := range entries {
		all = append(all, e)
	}
	return object{"resourceType": "Bundle", "type": kind, "entry": all}
}

// post is an entry that creates a resource, put one that updates it.
func post(resource object) object {
	return object{"fullUrl": "urn:uuid:" + fmt.Sprint(resource["id"]), "resource": resource, "request": object{"method": "POST", "url": resource["resourceType"]}}
}

func put(resource object) object {
	return object{"resource": resource, "request": object{"method": "PUT", "url": fmt.Sprintf("%s/%s", resource["resourceType"], resource["id"])}}
}

// outcomes gives the status of each entry, and the code of its first issue.
func outcomes(t *testing.T, b r4.Bundle) []string {
	t.Helper()
	got := []string{}
	for _, e := range b.Entry {
		o, err := r4.UnmarshalOperationOutcome(e.Response.Outcome)
		if err != nil || len(o.Issue) == 0 {
			t.Fatalf("%v: %s", err, e.Response.Outcome)
		}
		got = append(got, e.Response.Status[:3]+" "+o.Issue[0].Code.Code())
	}
	return got
}

// TestBatch: each entry has an answer of its own, in their order.
func TestBatch(t *testing.T) {
	for _, kind := range []string{"batch", "collection", "message"} {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t)
			got := h.call("POST", "/fhir", bundle(kind,
				object{"resource": object{"resourceType": "MessageHeader", "eventUri": secret}},
				put(asks("r1", nil)), post(booked("a1", nil)),
				post(asks("r2", object{"subject": object{"reference": "Patient/" + secret}})),
				post(asks("r3", object{"status": secret})),
				object{"resource": asks("r4", nil)},
				object{"resource": asks("r5", nil), "request": object{"method": "DELETE", "url": "CommunicationRequest/r5"}},
				object{"resource": asks("r6", nil), "request": object{"method": "PUT", "url": "CommunicationRequest/other"}},
				object{"resource": asks("r7", nil), "request": object{"method": "POST", "url": "Appointment"}},
				object{"fullUrl": secret},
				object{"resource": object{"id": secret}},
			))
			if got.status != http.StatusOK || got.bundle.Type != r4.BundleTypeBatchResponse {
				t.Fatalf("%d %s", got.status, got.raw)
			}
			h.expect(outcomes(t, got.bundle), "200 not-supported", "201 informational", "201 informational", "422 not-found", "422 code-invalid", "201 informational",
				"422 not-supported", "422 not-supported", "422 not-supported", "422 structure", "422 structure")
			if at := got.bundle.Entry[1].Response.Location; at == nil || !strings.HasPrefix(*at, "Communication/") {
				t.Errorf("%s", got.raw)
			}
			h.expect(h.statuses("CommunicationRequest/r1"), "queued")
			h.expect(h.waiting("a1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
			if n := len(h.of("P1")); n != 4 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestTransaction: all are kept, or none.
func TestTransaction(t *testing.T) {
	h := newHouse(t)
	h.call("POST", "/fhir", bundle("transaction", post(asks("r1", nil)), post(booked("a1", nil))))
	h.expect(h.statuses("CommunicationRequest/r1"), "queued")
	for name, c := range map[string]struct {
		bad  object
		path string
	}{
		"cannot be read":   {post(asks("x", object{"status": secret})), "Bundle.entry[2].resource.status"},
		"nobody":           {post(asks("x", object{"subject": object{"reference": "Patient/" + secret}})), "Bundle.entry[2].resource.subject"},
		"not to be filled": {post(asks("x", object{"payload": nil})), "Bundle.entry[2].resource.payload"},
		"no location":      {post(booked("x", object{"participant": list{participant("Patient/P1", "", "accepted")}})), "Bundle.entry[2].resource.participant"},
		"about the same":   {put(asks("r2", nil)), "Bundle.entry[0].resource"},
		"another verb":     {object{"resource": asks("x", nil), "request": object{"method": "PATCH", "url": "CommunicationRequest/x"}}, "Bundle.entry[2].resource"},
	} {
		t.Run(name, func(t *testing.T) {
			got := h.call("POST", "/fhir", bundle("transaction", post(asks("r2", nil)), put(booked("a1", object{"start": "2026-11-07T14:30:00-07:00"})), c.bad))
			if _, path := got.first(); got.status != http.StatusUnprocessableEntity || path != c.path {
				t.Errorf("%d %s", got.status, got.raw)
			}
			h.expect(h.statuses("CommunicationRequest/r2"))
			h.expect(h.waiting("a1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
		})
	}
	got := h.call("POST", "/fhir", bundle("transaction", post(asks("r2", nil)), put(booked("a1", object{"start": "2026-11-07T14:30:00-07:00"})), put(asks("r1", object{"status": "revoked"}))))
	if got.status != http.StatusOK || got.bundle.Type != r4.BundleTypeTransactionResponse {
		t.Errorf("%d %s", got.status, got.raw)
	}
	h.expect(h.statuses("CommunicationRequest/r1"), "canceled request_revoked")
	h.expect(h.statuses("CommunicationRequest/r2"), "queued")
	h.expect(h.waiting("a1"), "48h0m0s 11/05 14:30", "3h0m0s 11/07 11:30")
}

// TestLastWord: of what a Bundle says twice the later counts, and what it replaces does not.
func TestLastWord(t *testing.T) {
	h := newHouse(t)
	got := h.call("POST", "/fhir", bundle("batch",
		post(asks("r1", nil)), post(booked("a1", nil)), post(asks("r2", object{"replaces": list{object{"reference": "CommunicationRequest/r3"}}})), post(asks("r3", nil)),
		put(asks("r1", object{"status": "revoked"})), put(booked("a1", object{"start": "2026-11-07T14:30:00-07:00"})),
	))
	h.expect(outcomes(t, got.bundle), "200 informational", "200 informational", "201 informational", "200 informational", "200 informational", "201 informational")
	h.expect(h.statuses("CommunicationRequest/r1"), "canceled request_revoked")
	h.expect(h.statuses("CommunicationRequest/r2"), "queued")
	h.expect(h.statuses("CommunicationRequest/r3"))
	h.expect(h.waiting("a1"), "48h0m0s 11/05 14:30", "3h0m0s 11/07 11:30")
}

func TestBundleRefused(t *testing.T) {
	h := newHouse(t)
	var many []object
	for range 1001 {
		many = append(many, object{})
	}
	for name, c := range map[string]struct {
		body       any
		status     int
		code, path string
	}{
		"no type":       {object{"resourceType": "Bundle"}, 422, "required", "Bundle.type"},
		"history":       {bundle("history"), 422, "not-supported", "Bundle.type"},
		"searchset":     {bundle("searchset"), 422, "not-supported", "Bundle.type"},
		"type":          {bundle(secret), 422, "code-invalid", "Bundle.type"},
		"many":          {bundle("batch", many...), 422, "too-costly", "Bundle.entry"},
		"an entry":      {object{"resourceType": "Bundle", "type": "batch", "entry": list{secret}}, 422, "structure", "Bundle.entry[0]"},
		"no bundle":     {asks("r1", nil), 422, "structure", "Bundle"},
		"no object":     {`"` + secret + `"`, 422, "structure", "Bundle"},
		"no JSON":       {`{"resourceType": ` + secret, 400, "invalid", "Bundle"},
		"nothing":       {"", 400, "invalid", "Bundle"},
		"half":          {`{"resourceType":"Bundle","type":"batch","entry":[`, 400, "invalid", "Bundle"},
		"larger":        {`{"resourceType":"Bundle","id":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "too-long", ""},
		"entries of no": {object{"resourceType": "Bundle", "type": "batch", "entry": secret}, 422, "structure", "Bundle.entry"},
	} {
		t.Run(name, func(t *testing.T) {
			got := h.call("POST", "/fhir", c.body)
			if code, path := got.first(); got.status != c.status || code != c.code || path != c.path {
				t.Errorf("%d %s %s: %.300s", got.status, code, path, got.raw)
			}
		})
	}
	if got := h.call("POST", "/fhir/", bundle("batch")); got.status != http.StatusOK || len(got.bundle.Entry) != 0 {
		t.Errorf("empty: %d %s", got.status, got.raw)
	}
}

// synthea makes a Bundle as Synthea exports one: a transaction of everything about a
// patient, referring to each other by urn:uuid and to the outside by searches; with
// the appointments and requests that an EHR adds to it.
func synthea(i int, patient string) object {
	uuid := func(kind int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", i, kind) }
	urn := func(kind int) string { return "urn:uuid:" + uuid(kind) }
	entry := func(kind int, resource object) object {
		resource["id"] = uuid(kind)
		return object{"fullUrl": urn(kind), "resource": resource, "request": object{"method": "POST", "url": resource["resourceType"]}}
	}
	subject := object{"reference": urn(1)}
	return bundle("transaction",
		entry(1, object{"resourceType": "Patient",
			"extension": list{object{"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F"}},
			"identifier": list{
				object{"system": "https://github.com/synthetichealth/synthea", "value": uuid(1)},
				object{"type": object{"coding": list{object{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}}, "text": "Medical Record Number"}, "system": "http://hospital.smarthealthit.org", "value": patient},
				object{"type": object{"coding": list{object{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "SS"}}}, "system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-54-" + secret},
			},
			"name": list{object{"use": "official", "family": secret, "given": list{"Abe604"}}}, "telecom": list{object{"system": "phone", "value": "555-" + secret}},
			"birthDate": "1980-04-02", "multipleBirthBoolean": false}),
		entry(2, object{"resourceType": "Encounter", "status": "finished", "class": object{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
			"subject": subject, "serviceProvider": object{"reference": "Organization?identifier=https://github.com/synthetichealth/synthea|" + secret}}),
		entry(3, object{"resourceType": "Condition", "subject": subject, "encounter": object{"reference": urn(2)}, "code": object{"text": secret}}),
		entry(4, object{"resourceType": "Observation", "status": "final", "subject": subject, "code": object{"text": secret}, "valueQuantity": object{"value": 27.1, "unit": "kg/m2"}}),
		entry(5, object{"resourceType": "Appointment", "status": "fulfilled", "start": "2019-01-04T15:02:00-07:00", "end": "2019-01-04T15:32:00-07:00",
			"participant": list{object{"actor": subject, "status": "accepted"}}}),
		entry(6, object{"resourceType": "Appointment", "identifier": list{object{"system": "urn:ehr:visit", "value": fmt.Sprintf("V%d", i)}}, "status": "booked",
			"start": "2026-11-06T21:30:00Z", "end": "2026-11-06T22:20:00Z",
			"serviceType": list{object{"coding": list{object{"system": "http://snomed.info/sct", "code": "75516001", "display": "Psychotherapy (regime/therapy)"}}}},
			"participant": list{
				object{"actor": object{"reference": urn(1), "display": secret}, "required": "required", "status": "accepted"},
				object{"type": list{coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "PPRF")},
					"actor": object{"reference": "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|9999", "display": "Dr. Lemke"}, "status": "accepted"},
				object{"actor": object{"reference": "Location?identifier=https://github.com/synthetichealth/synthea|77", "display": "Denver office"}, "status": "accepted"},
			}}),
		entry(7, object{"resourceType": "CommunicationRequest", "status": "active", "subject": subject, "encounter": object{"reference": urn(2)},
			"category": list{object{"text": "follow_up"}}, "payload": list{object{"contentString": "Please call us."}},
			"recipient": list{object{"reference": urn(1)}}, "authoredOn": "2026-11-01T15:02:00-07:00", "reasonReference": list{object{"reference": urn(3)}}}),
	)
}

func TestSynthea(t *testing.T) {
	h := newHouse(t)
	got := h.call("POST", "/fhir", synthea(1, "P2"))
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	h.expect(outcomes(t, got.bundle), "200 not-supported", "200 not-supported", "200 not-supported", "200 not-supported", "200 informational", "201 informational", "201 informational")
	h.expect(h.waiting("V1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
	if m := h.messages("V1"); m[0].Patient != h.id("P2") || m[0].Body.Variables["clinician"] != "Dr. Lemke" || len(m[0].Body.Variables) != 3 {
		t.Errorf("%+v", m[0])
	}
	if n := len(h.of("P2")); n != 3 || len(h.of("P1")) != 0 {
		t.Errorf("%d messages", n)
	}
	// The same again changes nothing; somebody who is not on file refuses the whole.
	h.call("POST", "/fhir", synthea(1, "P2"))
	if n := len(h.of("P2")); n != 3 {
		t.Errorf("%d messages after the same again", n)
	}
	if got := h.call("POST", "/fhir", synthea(2, secret)); got.status != http.StatusUnprocessableEntity || len(got.issues) != 3 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// TestAThousand: a full Bundle goes through in one commit.
func TestAThousand(t *testing.T) {
	h := newHouse(t)
	var all []object
	for i := range 1000 {
		all = append(all, object{"resource": object{"resourceType": "CommunicationRequest", "id": fmt.Sprint("r", i), "status": "active", "subject": object{"reference": "Patient/P1"},
			"category": list{object{"text": "follow_up"}}, "payload": list{object{"contentString": "Please call us."}}}})
	}
	raw, err := json.Marshal(bundle("batch", all...))
	if err != nil {
		t.Fatal(err)
	}
	if got := h.call("POST", "/fhir", raw); got.status != http.StatusOK || len(got.bundle.Entry) != 1000 {
		t.Fatalf("%d", got.status)
	}
	if n := len(h.of("P1")); n != 1000 {
		t.Errorf("%d messages", n)
	}
}

// TestLastWordOfWhatIsInForce: a request that is no wish yet, or none any more, takes
// nothing's place, in a Bundle as by itself.
func TestLastWordOfWhatIsInForce(t *testing.T) {
	for _, kind := range []string{"batch", "transaction"} {
		for _, status := range []string{"draft", "on-hold", "entered-in-error", "completed", "revoked"} {
			t.Run(kind+" "+status, func(t *testing.T) {
				h := newHouse(t)
				replaces := list{object{"reference": "CommunicationRequest/r1"}}
				got := h.call("POST", "/fhir", bundle(kind, post(asks("r1", nil)), post(asks("r2", object{"status": status, "replaces": replaces}))))
				if got.status != http.StatusOK {
					t.Fatalf("%d %s", got.status, got.raw)
				}
				h.expect(h.statuses("CommunicationRequest/r1"), "queued")
			})
		}
	}
}

// TestDeepNest: what lies too deep is not looked at any further.
func TestDeepNest(t *testing.T) {
	h := newHouse(t)
	for depth, want := range map[int]int{5: http.StatusCreated, 4000: http.StatusUnprocessableEntity} {
		var x any = object{"url": "a", "valueString": "b"}
		for range depth {
			x = object{"url": "a", "extension": list{x}}
		}
		got := h.call("POST", "/fhir/CommunicationRequest", asks(fmt.Sprint("r", depth), object{"extension": list{x}}))
		if code, path := got.first(); got.status != want || want != http.StatusCreated && (code != "too-costly" || len(path) > 1000) {
			t.Errorf("%d deep: %d %s %.200s", depth, got.status, code, got.raw)
		}
	}
}
