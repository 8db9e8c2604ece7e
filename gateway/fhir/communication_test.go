package fhir_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// search gives what a search found.
func (h *house) search(query string) ([]r4.Communication, said) {
	h.Helper()
	got := h.call("GET", "/fhir/Communication?"+query, nil)
	if got.status != http.StatusOK || got.bundle.Type != r4.BundleTypeSearchset {
		h.Fatalf("%d %s", got.status, got.raw)
	}
	var all []r4.Communication
	for _, e := range got.bundle.Entry {
		c, err := r4.UnmarshalCommunication(e.Resource)
		if err != nil {
			h.Fatal(err)
		}
		if *e.FullUrl != "https://heed.example/fhir/Communication/"+*c.Id {
			h.Errorf("fullUrl %q", *e.FullUrl)
		}
		all = append(all, c)
	}
	return all, got
}

// tried puts one try of a message on record, as far as it got.
func (h *house) tried(m *gateway.Message, channel channels.Channel, status gateway.AttemptStatus) {
	h.Helper()
	attempt := m.ID + 1
	c := gateway.Change{At: h.clock, Actor: "test", Steps: []gateway.Step{{Message: m.ID, Patient: m.Patient, From: gateway.Waiting, To: gateway.Sending, Attempt: &gateway.Attempt{
		ID: attempt, Message: m.ID, Number: 1, Pair: preferences.Pair{Channel: channel}, Status: gateway.AttemptClaimed, At: h.clock, Program: channels.Care,
	}}}}
	if _, err := h.db.Commit(context.Background(), c); err != nil {
		h.Fatal(err)
	}
	c = gateway.Change{At: h.clock, Actor: "test", Edits: []gateway.Edit{{Attempt: attempt, Status: status}}}
	if _, err := h.db.Commit(context.Background(), c); err != nil {
		h.Fatal(err)
	}
}

func (h *house) moves(id int64, from, to gateway.Status, code, heard string) {
	h.Helper()
	c := gateway.Change{At: h.clock, Actor: "test", Steps: []gateway.Step{{Message: id, From: from, To: to, Code: code}}}
	if heard != "" {
		c.Heard = []gateway.MessageHeard{{Message: id, Event: gateway.MessageEvent{At: h.clock, Kind: heard}}}
	}
	if kept, err := h.db.Commit(context.Background(), c); err != nil || len(kept.Refused) > 0 {
		h.Fatal(err, kept.Refused)
	}
}

// TestCommunication: every status has its words, and none says what the message says.
func TestCommunication(t *testing.T) {
	h := newHouse(t)
	at := "2026-11-02T17:00:00.000Z"
	for _, c := range []struct {
		name, status string
		bring        func(m *gateway.Message)
		code         string // of statusReason
		system       string
		words        string
		medium       string
		sent, came   string
	}{
		{"waits", "preparation", func(*gateway.Message) {}, "", "", "", "", "", ""},
		{"on its way", "in-progress", func(m *gateway.Message) { h.tried(m, channels.SMS, gateway.AttemptBegun) }, "", "", "", "SMSWRIT", "", ""},
		{"unknown", "unknown", func(m *gateway.Message) {
			h.tried(m, channels.Voice, gateway.AttemptUnknown)
			h.moves(m.ID, gateway.Sending, gateway.Unknown, "", "")
		}, "", "", "", "PHONE", "", ""},
		{"sent", "completed", func(m *gateway.Message) {
			h.tried(m, channels.Email, gateway.AttemptTaken)
			h.moves(m.ID, gateway.Sending, gateway.Sent, "", "sent")
		}, "", "", "", "EMAILWRIT", at, ""},
		{"delivered", "completed", func(m *gateway.Message) {
			h.tried(m, channels.SMS, gateway.AttemptDelivered)
			h.moves(m.ID, gateway.Sending, gateway.Delivered, "", "delivered")
		}, "", "", "", "SMSWRIT", at, at},
		{"suppressed", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.Suppressed, "opted_out") }, "opted_out", "code", "opt-out", "", "", ""},
		{"a person", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.NeedsStaff, "stopped") }, "stopped", "code", "A person takes over.", "", "", ""},
		{"failed", "not-done", func(m *gateway.Message) {
			h.tried(m, channels.SMS, gateway.AttemptFailed)
			h.moves(m.ID, gateway.Sending, gateway.Failed, "30003", "")
		}, "30003", "provider-code", "The provider", "SMSWRIT", "", ""},
		{"never confirmed", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.NeedsStaff, "never_confirmed") }, "never_confirmed", "code", "never said that it arrived. A person", "", "", ""},
		{"a call not heard", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.Failed, "not_heard") }, "not_heard", "code", "not heard", "", "", ""},
		{"a call withheld", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.Failed, "withheld") }, "withheld", "code", "rules had changed", "", "", ""},
		{"expired", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.Expired, "too_late") }, "too_late", "code", "after its time", "", "", ""},
		{"taken back", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.Canceled, "") }, "canceled", "code", "taken back", "", "", ""},
		{"revoked", "not-done", func(m *gateway.Message) { h.becomes(m.ID, gateway.Canceled, "request_revoked") }, "request_revoked", "code", "taken back", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := strings.ReplaceAll(c.name, " ", "-")
			if got := h.call("POST", "/fhir/CommunicationRequest", asks(id, object{"payload": list{object{"contentString": secret}}})); got.status != http.StatusCreated {
				t.Fatalf("%d %s", got.status, got.raw)
			}
			c.bring(&h.messages("CommunicationRequest/" + id)[0])
			message := h.messages("CommunicationRequest/" + id)[0]
			got := h.call("GET", "/fhir/Communication/"+strconv.FormatInt(message.ID, 10), nil)
			m := got.message
			if got.status != http.StatusOK || m.Status.Code() != c.status || *m.Subject.Reference != "Patient/P1" || *m.BasedOn[0].Reference != "CommunicationRequest/"+id || *m.Category[0].Coding[0].Code != "follow_up" || len(m.Payload) != 0 {
				t.Fatalf("%d %s", got.status, got.raw)
			}
			if (m.StatusReason == nil) != (c.code == "") || c.code != "" && (*m.StatusReason.Coding[0].Code != c.code || !strings.HasSuffix(*m.StatusReason.Coding[0].System, "/heed/"+c.system) || !strings.Contains(*m.StatusReason.Text, c.words)) {
				t.Errorf("%s", got.raw)
			}
			if c.medium == "" && m.Medium != nil || c.medium != "" && (m.Medium == nil || *m.Medium[0].Coding[0].Code != c.medium) {
				t.Errorf("%s", got.raw)
			}
			if text(m.Sent) != c.sent || text(m.Received) != c.came {
				t.Errorf("sent %q, received %q", text(m.Sent), text(m.Received))
			}
			// A list tells the same.
			all, _ := h.search("subject=Patient/P1&_count=100")
			for i := range all {
				if *all[i].Id == *m.Id {
					one, _ := json.Marshal(all[i])
					two, _ := json.Marshal(m)
					if string(one) != string(two) {
						t.Errorf("the list tells\n%s\nand the message itself\n%s", one, two)
					}
				}
			}
		})
	}
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func TestSearch(t *testing.T) {
	h := newHouse(t)
	for _, id := range []string{"r1", "r2", "r3", "r4", "r5"} {
		h.call("POST", "/fhir/CommunicationRequest", asks(id, nil))
	}
	h.call("POST", "/fhir/CommunicationRequest", asks("", object{"id": nil, "identifier": list{object{"system": "urn:ehr", "value": "a|b"}}, "subject": object{"reference": "Patient/P2"}}))
	h.call("POST", "/fhir/Appointment", booked("a1", object{"participant": list{participant("Patient/P2", "", "accepted"), participant("Location/1", "Here", "accepted")}}))
	seen := map[string]bool{}
	pages := 0
	for next := "subject=Patient/P1&_count=2"; next != ""; pages++ {
		found, got := h.search(next)
		for _, c := range found {
			seen[text(c.BasedOn[0].Reference)] = true
		}
		next = ""
		for _, l := range got.bundle.Link {
			if l.Relation == "next" {
				_, next, _ = strings.Cut(l.Url, "?")
			}
		}
	}
	if len(seen) != 5 || pages != 3 {
		t.Errorf("%d pages, %v", pages, seen)
	}
	for _, query := range []string{"patient=P2", "patient=Patient/P2", "subject=https://ehr.example/fhir/Patient/P2"} {
		found, _ := h.search(query)
		if len(found) != 3 {
			t.Fatalf("%s: %d", query, len(found))
		}
		if b := found[0].BasedOn[0]; text(b.Identifier.System) != "urn:ehr" || text(b.Identifier.Value) != "a|b" || text(b.Type) != "CommunicationRequest" {
			t.Errorf("%+v", b)
		}
		if b := found[1].BasedOn[0]; text(b.Identifier.Value) != "a1" || text(b.Type) != "Appointment" {
			t.Errorf("%+v", b)
		}
	}
	for query, status := range map[string]int{
		"": 400, "subject=Patient/" + secret: 404, "subject=Group/P1": 400, "subject=P1": 400, "subject=Patient/": 400, "subject=Patient/P1&subject=Patient/P2": 400, "patient=P1&subject=Patient/P1": 400,
		"subject=Patient/P1&status=not-done": 400, "subject=Patient/P1&" + secret + "=1": 400, "subject=Patient/P1&_count=0": 400, "subject=Patient/P1&_count=" + secret: 400, "subject=Patient/P1&page=" + secret: 400, "subject=Patient/P1&page=-1": 400,
		"subject=Patient/" + strings.Repeat("x", 200): 400,
	} {
		if got := h.call("GET", "/fhir/Communication?"+query, nil); got.status != status || len(got.issues) != 1 {
			t.Errorf("%q: %d %s", query, got.status, got.raw)
		}
	}
	for _, id := range []string{"1", secret, "-1", "99999999999999999999"} {
		if got := h.call("GET", "/fhir/Communication/"+id, nil); got.status != http.StatusNotFound {
			t.Errorf("%q: %d %s", id, got.status, got.raw)
		}
	}
}

// TestUnusualID: an id that R4 does not allow in a reference is told as an identifier.
func TestUnusualID(t *testing.T) {
	h := newHouse(t)
	h.enrol("P 3/ü", "+13035550103")
	h.call("POST", "/fhir/CommunicationRequest", asks("r1", object{"subject": object{"identifier": object{"value": "P 3/ü"}}}))
	m := h.messages("CommunicationRequest/r1")[0]
	got := h.call("GET", "/fhir/Communication/"+strconv.FormatInt(m.ID, 10), nil)
	if s := got.message.Subject; s == nil || s.Reference != nil || text(s.Identifier.Value) != "P 3/ü" {
		t.Errorf("%s", got.raw)
	}
}

// TestAnAnswerToNobody is no patient's, and told to nobody here.
func TestAnAnswerToNobody(t *testing.T) {
	h := newHouse(t)
	id := h.dispatcher.NewID()
	if _, err := h.db.Commit(context.Background(), gateway.Change{At: h.clock, Actor: "test", Accepts: []gateway.Message{{ID: id, Template: "help", Due: h.clock, Created: h.clock, Body: gateway.Body{Answer: &gateway.Answer{To: "+13035550199"}}}}}); err != nil {
		t.Fatal(err)
	}
	if got := h.call("GET", "/fhir/Communication/"+strconv.FormatInt(id, 10), nil); got.status != http.StatusNotFound {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// TestWhoLooked: every look stands in the audit log, by our own ids.
func TestWhoLooked(t *testing.T) {
	h := newHouse(t)
	h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil))
	m := h.messages("CommunicationRequest/r1")[0]
	h.search("subject=Patient/P1")
	h.call("GET", "/fhir/Communication/"+strconv.FormatInt(m.ID, 10), nil, "Authorization", "Bearer privacy")
	h.call("GET", "/fhir/Communication?subject=Patient/P1", nil, "Authorization", "Bearer marketer")
	who := "patient:" + strconv.FormatInt(m.Patient, 10)
	h.expect(h.audited("messages.read"), "service "+who)
	h.expect(h.audited("message.read"), "privacy message:"+strconv.FormatInt(m.ID, 10)+" "+who)
}
