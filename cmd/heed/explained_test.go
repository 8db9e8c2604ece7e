package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

func TestMessagesSayWhy(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.texts("+13035550151", channels.Care, "STOP")
	eventually(t, "the stop is in force", func() bool { return h.decision("p1", "appointment_reminder", "sms")["code"] == "stopped" })
	id := h.send(reminder("p1"))
	one := h.settles(id, "delivered")
	eventually(t, "the receipt is among the events", func() bool {
		return len(h.ok("GET", "/v1/messages/"+id, nil)["events"].([]any)) > 0
	})
	var listed map[string]any
	for _, m := range h.ok("GET", "/v1/patients/p1/messages", nil)["messages"].([]any) {
		if m.(map[string]any)["id"] == id {
			listed = m.(map[string]any)
		}
	}
	for where, m := range map[string]map[string]any{"alone": one, "in a list": listed} {
		d, ok := m["decision"].(map[string]any)
		if !ok || d["outcome"] != "send" || d["channel"] != "email" || d["address"] != "p1@patients.example" {
			t.Fatalf("%s: %v", where, m["decision"])
		}
		if !strings.Contains(d["reason"].(string), "Not by sms: This person stopped") {
			t.Errorf("%s: %v", where, d["reason"])
		}
		first := d["considered"].([]any)[0].(map[string]any)
		if first["code"] != "stopped" || !strings.Contains(first["reason"].(string), "64.1200") || first["address"] != "+13035550151" {
			t.Errorf("%s: %v", where, first)
		}
	}
	if len(listed["events"].([]any)) == 0 {
		t.Errorf("a list without events: %v", listed)
	}
	if d := h.decision("p1", "appointment_reminder"); d["considered"].([]any)[0].(map[string]any)["reason"] == nil {
		t.Errorf("%v", d)
	}
}

func TestTheLedgerShowsWhatWasSaidOfThePatientsNumbers(t *testing.T) {
	h := start(t, nil)
	const number, shared = "+13035550151", "+13035550152"
	phone := func(id string, numbers ...string) {
		var list []map[string]any
		for _, n := range numbers {
			list = append(list, map[string]any{"kind": "phone", "value": n, "line_type": "mobile"})
		}
		h.ok("PUT", "/v1/patients/"+id, map[string]any{"birth_date": "1980-04-02", "time_zone": "America/Denver", "addresses": list})
	}
	says := func(from, text string) {
		t.Helper()
		before := h.heard()
		h.texts(from, channels.Care, text)
		eventually(t, "the text is kept", func() bool { return h.heard() > before })
	}
	ledger := func(id string) (all []map[string]any, text string) {
		for after := ""; ; { // pages of two, so that they must meet
			a := h.call("GET", "/v1/patients/"+id+"/ledger?limit=2&after="+after, nil)
			text += string(a.raw)
			for _, e := range a.json["entries"].([]any) {
				all = append(all, e.(map[string]any))
			}
			if a.json["next"] == nil {
				return all, text
			}
			after = a.json["next"].(string)
		}
	}
	kinds := func(list []map[string]any) string {
		var names []string
		for _, e := range list {
			names = append(names, e["kind"].(string))
		}
		return strings.Join(names, " ")
	}
	says(number, "before anybody had it")
	phone("p1", number, shared)
	says(number, "running late")
	says(number, "STOP")
	says(shared, "family words")
	all, text := ledger("p1")
	if got := kinds(all); got != "contact_set received received stopped received" {
		t.Errorf("%s", got)
	}
	if strings.Contains(text, "before anybody") || !strings.Contains(text, "running late") || !strings.Contains(text, "family words") {
		t.Errorf("%s", text)
	}
	stop := all[3]
	event := stop["event"].(map[string]any)
	if stop["said"] != "Stopped care, marketing at "+number+"." || stop["source"] != "sms" || event["number"] != number || fmt.Sprint(event["programs"]) != "[care marketing]" {
		t.Errorf("%v", stop)
	}
	for _, at := range []string{"at", "said_at"} {
		if when, err := time.Parse(time.RFC3339, stop[at].(string)); err != nil || time.Since(when) > time.Hour {
			t.Errorf("%s: %v", at, stop[at])
		}
	}
	if c := all[0]["event"].(map[string]any)["contact"].(map[string]any); c["addresses"].([]any)[0].(map[string]any)["kind"] != "phone" || c["birth_date"] != "1980-04-02" {
		t.Errorf("not in words: %v", c)
	}
	// From the moment somebody else has the number, its words are nobody's to show. Stops bind both.
	phone("p2", shared)
	says(shared, "whose words")
	h.ok("POST", "/v1/stops", map[string]any{"number": shared, "program": "billing", "evidence": map[string]any{"call": "Zoltan rang"}})
	for _, id := range []string{"p1", "p2"} {
		all, text := ledger(id)
		if strings.Contains(text, "whose words") || strings.Contains(text, "family words") || strings.Contains(text, "Zoltan") {
			t.Errorf("%s: another's words: %s", id, text)
		}
		if last := all[len(all)-1]; last["kind"] != "stopped" || last["said"] != "Stopped billing, marketing at "+shared+"." {
			t.Errorf("%s: %v", id, last)
		}
	}
	// What is said of a number after it was taken off the record is somebody else's.
	phone("p1", shared)
	says(number, "the new holder")
	if _, text := ledger("p1"); strings.Contains(text, "the new holder") || !strings.Contains(text, "running late") {
		t.Errorf("%s", text)
	}
	stops := h.ok("GET", "/v1/stops?number="+url.QueryEscape(shared), nil)["stops"].([]any)
	if s := stops[0].(map[string]any); s["program"] != "billing" || s["source"] != "staff" || s["at"] == nil || s["evidence"].(map[string]any)["call"] != "Zoltan rang" {
		t.Errorf("%v", stops)
	}
	for _, s := range h.ok("GET", "/v1/stops?patient=p2", nil)["stops"].([]any) {
		if s := s.(map[string]any); s["at"] == nil || s["source"] != "staff" || s["evidence"] != nil {
			t.Errorf("%v", s)
		}
	}
	h.ok("DELETE", "/v1/patients/p1", map[string]any{"reason": "request"})
	if _, text := ledger("p1"); strings.Contains(text, number) || strings.Contains(text, "running late") {
		t.Errorf("of somebody erased: %s", text)
	}
}

// A spam report binds whoever has the mailbox: the ledger that explains why a mail was
// held back tells of it, but not of one from before the patient had the mailbox.
func TestTheLedgerTellsOfSpamReports(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "spam@patients.example")
	survey := map[string]any{"patient": "p1", "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "News", "text": "All is well."}}
	h.settles(h.send(survey), "delivered")
	eventually(t, "the report is in force", func() bool { return h.decision("p1", "newsletter", "email")["code"] == "opted_out" })
	h.enrol("p2", "+13035550152", "spam@patients.example")
	for patient, want := range map[string]int{"p1": 1, "p2": 0} {
		found := 0
		for _, e := range h.ok("GET", "/v1/patients/"+patient+"/ledger", nil)["entries"].([]any) {
			if e := e.(map[string]any); e["kind"] == "spam_reported" {
				found++
				if e["said"] != "A mail to spam@patients.example was reported as spam: an opt-out of everything non-essential." || e["event"].(map[string]any)["address"] != "spam@patients.example" {
					t.Errorf("%v", e)
				}
			}
		}
		if found != want {
			t.Errorf("the ledger of %s tells of %d spam reports", patient, found)
		}
	}
}

// heard counts the texts that were kept of any number.
func (h *heedUnderTest) heard() int {
	h.t.Helper()
	writer, _ := h.server.db.SQL()
	var n int
	if err := writer.QueryRow("SELECT count(*) FROM ledger WHERE kind = 'received'").Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}
