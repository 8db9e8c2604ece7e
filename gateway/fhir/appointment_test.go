package fhir_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/imports"
)

func participant(reference, display, status string) object {
	return object{"actor": object{"reference": reference, "display": display}, "status": status}
}

// TestAppointment: reminders follow what is said of the appointment.
func TestAppointment(t *testing.T) {
	h := newHouse(t)
	steps := []struct {
		change object
		status int
		waits  []string
	}{
		{nil, http.StatusCreated, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{nil, http.StatusOK, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{object{"status": "pending"}, http.StatusOK, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{object{"start": "2026-11-07T14:30:00-07:00"}, http.StatusCreated, []string{"48h0m0s 11/05 14:30", "3h0m0s 11/07 11:30"}},
		{object{"status": "cancelled", "start": nil, "end": nil, "cancelationReason": object{"text": secret}}, http.StatusOK, []string{}},
		{object{"status": "cancelled"}, http.StatusOK, []string{}},
		{object{"status": "booked"}, http.StatusCreated, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{object{"status": "proposed", "start": nil}, http.StatusOK, []string{}},
		{object{"status": "checked-in"}, http.StatusCreated, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{object{"status": "waitlist"}, http.StatusOK, []string{}},
		{object{"status": "arrived"}, http.StatusCreated, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{object{"status": "noshow"}, http.StatusOK, []string{}},
		{nil, http.StatusCreated, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{object{"status": "fulfilled"}, http.StatusOK, []string{}},
		{nil, http.StatusCreated, []string{"48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30"}},
		{object{"status": "entered-in-error"}, http.StatusOK, []string{}},
		{object{"start": "2026-11-02T16:00:00Z"}, http.StatusOK, []string{}},                                // past
		{object{"start": "2026-11-02T18:00:00Z"}, http.StatusOK, []string{}},                                // too near
		{object{"start": "2026-11-03T15:00:00Z"}, http.StatusCreated, []string{"3h0m0s 11/02 20:59"}},       // 8:00 in Denver: the evening before
		{object{"participant": list{participant("Patient/P1", "", "declined")}}, http.StatusOK, []string{}}, // she does not come
	}
	for i, c := range steps {
		got := h.call("PUT", "/fhir/Appointment/a1", booked("a1", c.change))
		if got.status != c.status {
			t.Errorf("%d: %d %s", i, got.status, got.raw)
		}
		if waits := h.waiting("a1"); strings.Join(waits, ",") != strings.Join(c.waits, ",") {
			t.Errorf("%d: %q waits; want %q", i, waits, c.waits)
		}
	}
}

// TestAppointmentWords: what the reminder says, and what it never says.
func TestAppointmentWords(t *testing.T) {
	h := newHouse(t)
	say := func(id string, change object) map[string]string {
		t.Helper()
		if got := h.call("POST", "/fhir/Appointment", booked(id, change)); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		return h.messages(id)[0].Body.Variables
	}
	if v := say("a1", object{"description": secret, "serviceType": list{object{"text": "Group therapy"}}}); len(v) != 3 || v["location"] != "Denver office" || v["clinician"] != "Dr. Lee" || v["appointment_time"] != "2026-11-06T14:30:00-07:00" {
		t.Errorf("%v", v)
	}
	if v := say("a2", object{"participant": list{participant("Patient/P1", secret, "accepted"), participant("Location/1", "Anxiety Center", "accepted"), participant("Practitioner/1", "Dr. Roe, Psychologist", "accepted")}}); v["location"] != "Lakeside" || v["clinician"] != "" {
		t.Errorf("%v", v)
	}
	if v := say("a3", object{"contained": list{object{"resourceType": "Location", "id": "l", "name": "South Wing"}}, "participant": list{
		participant("Patient/P1", secret, "accepted"), object{"actor": object{"reference": "#l"}, "status": "accepted"}, participant("PractitionerRole/1", "Dr. Roe", "declined"), participant("PractitionerRole/2", "Dr. Poe", "accepted")}}); v["location"] != "South Wing" || v["clinician"] != "Dr. Poe" {
		t.Errorf("%v", v)
	}
}

func TestAppointmentRefused(t *testing.T) {
	h := newHouse(t)
	h.enrol("gone", "+13035550103")
	if err := h.intake.Erase(context.Background(), "staff", h.id("gone"), "request"); err != nil {
		t.Fatal(err)
	}
	patient := func(reference string) object {
		return object{"participant": list{participant(reference, secret, "accepted"), participant("Location/1", "Here", "accepted")}}
	}
	for name, c := range map[string]struct {
		change     object
		code, path string
	}{
		"no status":       {object{"status": nil}, "required", ".status"},
		"status":          {object{"status": secret}, "code-invalid", ".status"},
		"no id":           {object{"id": nil}, "required", ".identifier"},
		"long id":         {object{"id": strings.Repeat("x", 129)}, "too-long", ".identifier"},
		"no start":        {object{"start": nil}, "required", ".start"},
		"start":           {object{"start": secret}, "value", ".start"},
		"a day":           {object{"start": "2026-11-06"}, "value", ".start"},
		"mistyped year":   {object{"start": "2062-11-06T14:30:00Z"}, "value", ".start"},
		"no participant":  {object{"participant": nil}, "required", ".participant"},
		"no patient":      {object{"participant": list{participant("Location/1", "Here", "accepted")}}, "required", ".participant"},
		"two patients":    {object{"participant": list{participant("Patient/P1", "", "accepted"), participant("Patient/P2", "", "accepted")}}, "not-supported", ".participant[1]"},
		"nobody":          {patient("Patient/" + secret), "not-found", ".participant"},
		"erased":          {patient("Patient/gone"), "deleted", ".participant"},
		"no location":     {object{"participant": list{participant("Patient/P1", "", "accepted")}}, "business-rule", ".participant"},
		"priority":        {object{"priority": 1.5}, "structure", ".priority"},
		"participant":     {object{"participant": list{object{"status": "accepted", "actor": secret}}}, "structure", ".participant[0].actor"},
		"its status":      {object{"participant": list{object{"status": secret}}}, "code-invalid", ".participant[0].status"},
		"unknown element": {object{secret: "x"}, "structure", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := h.call("POST", "/fhir/Appointment", booked("a1", c.change))
			code, path := got.first()
			status := http.StatusUnprocessableEntity
			if name == "erased" {
				status = http.StatusConflict
			}
			if got.status != status || code != c.code || path != "Appointment"+c.path {
				t.Errorf("%d %s %s: %s", got.status, code, path, got.raw)
			}
			if n := len(h.of("P1")) + len(h.of("P2")); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
	if got := h.call("POST", "/fhir/Appointment", booked("", object{"id": nil}), "Idempotency-Key", "k"); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.raw)
	}
	for _, body := range []object{booked("a2", nil), booked("", object{"id": nil})} {
		if got := h.call("PUT", "/fhir/Appointment/a1", body); got.status != http.StatusBadRequest {
			t.Errorf("%d %s", got.status, got.raw)
		}
	}
}

// TestFileAndFHIR: a file and an EHR that tell of one appointment schedule one set of reminders.
func TestFileAndFHIR(t *testing.T) {
	h := newHouse(t)
	h.call("POST", "/fhir/Appointment", booked("opaque", object{"identifier": list{object{"value": "other"}, object{"use": "official", "value": "A1"}}}))
	h.expect(h.waiting("A1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
	r, err := imports.Appointments(context.Background(), strings.NewReader("Appt ID,MRN,Clinician,Start,Location,Status\nA1,P1,Dr. Lee,11/06/2026 02:30 PM,Denver office,Booked\n"),
		imports.Options{Dispatcher: h.dispatcher, Actor: "import", Zone: denver})
	if err != nil || r.Counts[imports.Unchanged] != 1 {
		t.Errorf("%v %+v", err, r)
	}
	// A request of the same number is another thing.
	h.call("POST", "/fhir/CommunicationRequest", asks("A1", object{"status": "revoked"}))
	h.expect(h.waiting("A1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
	if m := h.messages("A1"); m[0].Status != gateway.Waiting {
		t.Errorf("%+v", m[0])
	}
}

// Ids of two systems may meet: the reminders that wait are another patient's, and stay.
func TestAnAppointmentTakesNobodysReminders(t *testing.T) {
	h := newHouse(t)
	of := func(patient string, change object) object {
		all := object{"participant": list{participant("Patient/"+patient, "", "accepted"), participant("Location/1", "Lakeside", "accepted")}, "identifier": list{object{"system": "urn:clinic:" + patient, "value": "17"}}}
		for k, v := range change {
			all[k] = v
		}
		return booked("a-"+patient, all)
	}
	if got := h.call("POST", "/fhir/Appointment", of("P1", nil)); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	before := h.waiting("17")
	if got := h.call("POST", "/fhir/Appointment", of("P2", nil)); got.status != http.StatusConflict || !strings.Contains(got.raw, "another patient") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if after := h.waiting("17"); len(before) == 0 || strings.Join(after, ",") != strings.Join(before, ",") {
		t.Errorf("%q waits; before %q", after, before)
	}
	if got := h.call("POST", "/fhir/Appointment", of("P1", object{"status": "cancelled"})); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := h.call("POST", "/fhir/Appointment", of("P2", nil)); got.status != http.StatusCreated {
		t.Errorf("once it was given up: %d %s", got.status, got.raw)
	}
}
