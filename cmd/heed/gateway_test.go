package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

// decision asks for a dry run.
func (h *heedUnderTest) decision(patient, category string, ways ...string) map[string]any {
	h.t.Helper()
	ask := map[string]any{"patient": patient, "category": category, "urgent": true}
	if len(ways) > 0 {
		ask["channels"] = ways
	}
	return h.ok("POST", "/v1/decisions", ask)
}

func TestReminderTakesAnotherWayAfterStop(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.settles(h.send(reminder("p1")), "delivered")
	texts := h.to("+13035550151")
	if len(texts) != 1 || !strings.Contains(texts[0].Body, "10:30") || !strings.Contains(texts[0].Body, "Cedar Practice") {
		t.Fatalf("%+v", texts)
	}
	h.texts("+13035550151", channels.Care, "Stop.")
	eventually(t, "the stop is confirmed once", func() bool { return len(h.to("+13035550151")) == 2 })
	if d := h.decision("p1", "appointment_reminder", "sms"); d["code"] != "stopped" || !strings.Contains(d["reason"].(string), "64.1200") {
		t.Errorf("%v", d)
	}
	m := h.settles(h.send(reminder("p1")), "delivered")
	mails := h.to("p1@patients.example")
	if len(mails) != 1 || strings.Contains(mails[0].Body, "10:30") || !strings.Contains(mails[0].Body, h.url+"/m/") {
		t.Fatalf("%v\n%+v", m, mails)
	}
	if len(h.to("+13035550151")) != 2 {
		t.Error("a text after the STOP")
	}
	// START gives back what STOP took, and nothing else. The carrier's clock knows whole
	// seconds, and in the same one the STOP wins.
	h.server.clock.Add(2 * time.Second)
	h.texts("+13035550151", channels.Care, "START")
	eventually(t, "the stop is lifted", func() bool { return h.decision("p1", "appointment_reminder", "sms")["outcome"] == "send" })
	if d := h.decision("p1", "marketing", "sms"); d["outcome"] == "send" {
		t.Errorf("START gave marketing back: %v", d)
	}
}

func TestNoWayLeftBecomesATask(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.ok("PUT", "/v1/patients/p1/confidential-communication", map[string]any{"only": []any{}})
	m := h.settles(h.send(reminder("p1")), "needs_staff")
	if m["code"] != "confidential_only" {
		t.Errorf("%v", m)
	}
	tasks := h.ok("GET", "/v1/tasks", nil)["tasks"].([]any)
	if len(tasks) != 1 || tasks[0].(map[string]any)["kind"] != "needs_staff" || len(tasks[0].(map[string]any)["reasons"].([]any)) < 3 {
		t.Fatalf("%v", tasks)
	}
	id := tasks[0].(map[string]any)["id"].(string)
	h.ok("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "Wrote a letter."})
	if left := h.ok("GET", "/v1/tasks", nil)["tasks"].([]any); len(left) != 0 {
		t.Errorf("%v", left)
	}
	if a := h.call("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "Again."}); a.status != http.StatusConflict {
		t.Errorf("closed twice: %d", a.status)
	}
	if n := len(h.to("+13035550151")) + len(h.to("p1@patients.example")); n != 0 {
		t.Errorf("%d messages past a confidential communication instruction", n)
	}
}

// TestAddressesThatFail sends an essential message to every phone that fails on
// demand, and looks that it ends as delivered another way, or with a person.
func TestAddressesThatFail(t *testing.T) {
	h := start(t, nil)
	for _, c := range []struct {
		digits, status string
		texts, mails   int
		code           string // what a later text is refused for; "": nothing
	}{
		{"0010", "delivered", 0, 1, "stopped"},
		{"0011", "delivered", 1, 1, "stopped"},
		{"0012", "delivered", 0, 1, "address_bad"},
		{"0013", "delivered", 0, 1, "not_textable"},
		{"0016", "delivered", 1, 0, ""},
		{"0018", "delivered", 1, 1, ""},
		{"0019", "delivered", 1, 0, ""},
		{"0020", "delivered", 1, 0, ""}, // no receipt comes: it was looked up
		{"0021", "delivered", 1, 1, ""}, // and found to have failed
	} {
		t.Run(c.digits, func(t *testing.T) {
			id, number, mail := "p"+c.digits, "+1303555"+c.digits, "p"+c.digits+"@patients.example"
			h.enrol(id, number, mail)
			m := h.settles(h.send(reminder(id)), "delivered", "needs_staff", "failed")
			if m["status"] != c.status || len(h.to(number)) != c.texts || len(h.to(mail)) != c.mails {
				t.Errorf("%d texts, %d mails: %v", len(h.to(number)), len(h.to(mail)), m)
			}
			if d := h.decision(id, "appointment_reminder", "sms"); c.code != "" && d["code"] != c.code || c.code == "" && d["outcome"] != "send" {
				t.Errorf("afterwards: %v", d)
			}
		})
	}
}

func TestAnOutcomeThatStaysUnknownEndsWithAPerson(t *testing.T) {
	h := start(t, nil)
	h.ok("PUT", "/v1/patients/p1", map[string]any{"birth_date": "1980-04-02", "addresses": []map[string]any{{"kind": "phone", "value": "+13035550017"}}})
	m := h.settles(h.send(reminder("p1")), "needs_staff")
	if tries := m["attempts"].([]any); len(tries) != 2 {
		t.Errorf("an essential message is tried once more, and recorded so: %v", m)
	}
	if !strings.Contains(fmt.Sprint(m["events"]), "tried_once_more") {
		t.Errorf("%v", m["events"])
	}
}

func TestCrisisTellsThoseOnCall(t *testing.T) {
	h := start(t, map[string]string{"practice.on_call": "+13035550190"})
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.texts("+13035550151", channels.Care, "stop. I want to die")
	eventually(t, "the safety text goes out", func() bool {
		for _, m := range h.to("+13035550151") {
			if strings.Contains(m.Body, "988") {
				return true
			}
		}
		return false
	})
	eventually(t, "those on call are told", func() bool { return len(h.to("+13035550190")) == 1 })
	if told := h.to("+13035550190")[0].Body; strings.Contains(told, "die") || strings.Contains(told, "0151") {
		t.Errorf("the alert says too much: %q", told)
	}
	if d := h.decision("p1", "appointment_reminder", "sms"); d["code"] != "stopped" {
		t.Errorf("it was a stop, too: %v", d)
	}
	tasks := h.ok("GET", "/v1/tasks?kind=crisis", nil)["tasks"].([]any)
	if len(tasks) != 1 || tasks[0].(map[string]any)["quote"] != "stop. I want to die" {
		t.Errorf("%v", tasks)
	}
}

func TestMissedTextsAreFetched(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.server.sandbox.Reply("+13035550151", h.server.cfg.Programs[channels.Care].SMSFrom, "STOP", true)
	if err := h.server.fetchMissed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := h.decision("p1", "appointment_reminder", "sms"); d["code"] != "stopped" {
		t.Errorf("%v", d)
	}
}

var hrefs = regexp.MustCompile(`https?://[^\s"<>]+`)

func TestUnsubscribeAndPreferenceLinks(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.settles(h.send(map[string]any{"patient": "p1", "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "Autumn hours", "text": "We open at eight."}}), "delivered")
	mail := h.to("p1@patients.example")[0]
	if mail.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" {
		t.Fatalf("%v", mail.Headers)
	}
	unsubscribe := strings.Trim(mail.Headers["List-Unsubscribe"], "<>")
	preferences := ""
	for _, link := range hrefs.FindAllString(mail.Body, -1) {
		if strings.HasPrefix(link, h.url+"/p/") {
			preferences = link
		}
	}
	for _, link := range []string{unsubscribe, preferences} { // what a mail scanner does
		r, err := http.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("%d", r.StatusCode)
		}
	}
	if d := h.decision("p1", "newsletter"); d["outcome"] != "send" {
		t.Fatalf("a GET unsubscribed: %v", d)
	}
	r, err := http.Post(unsubscribe, "multipart/form-data; boundary=x", strings.NewReader("--x--"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if d := h.decision("p1", "newsletter"); r.StatusCode != http.StatusOK || d["code"] != "opted_out" {
		t.Errorf("%d, %v", r.StatusCode, d)
	}
	if d := h.decision("p1", "appointment_reminder", "email"); d["outcome"] != "send" {
		t.Errorf("an unsubscribe ended what is essential: %v", d)
	}
	altered := unsubscribe[:len(unsubscribe)-1] + "A"
	if altered == unsubscribe {
		altered = unsubscribe[:len(unsubscribe)-1] + "B"
	}
	if r, err = http.Post(altered, "", nil); err != nil || r.StatusCode/100 != 4 {
		t.Errorf("an altered token: %v, %v", r, err)
	}
}

func TestBounceAndSpamReport(t *testing.T) {
	h := start(t, nil)
	for _, name := range []string{"bounce", "spam", "unsubscribed"} {
		h.ok("PUT", "/v1/patients/"+name, map[string]any{"birth_date": "1980-04-02", "addresses": []map[string]any{{"kind": "email", "value": name + "@patients.example"}}})
		h.send(map[string]any{"patient": name, "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "Hours", "text": "We open at eight."}})
	}
	eventually(t, "a bounce makes the address bad", func() bool { return h.decision("bounce", "newsletter")["code"] == "address_bad" })
	eventually(t, "a spam report is an opt-out", func() bool { return h.decision("spam", "newsletter")["code"] == "opted_out" })
	eventually(t, "a provider's refusal is an opt-out", func() bool { return h.decision("unsubscribed", "newsletter")["code"] == "opted_out" })
	for _, name := range []string{"spam", "unsubscribed"} {
		if d := h.decision(name, "legal_notice"); d["outcome"] != "send" {
			t.Errorf("%s ended what is essential: %v", name, d)
		}
	}
}
