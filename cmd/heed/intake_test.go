package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/store"
)

const (
	texter  = "+13035550151"
	service = "MG11111111111111111111111111111111"
)

// hears plays Twilio's call about one text, signed as Twilio signs it, and gives
// the answer's status.
func (h *heedUnderTest) hears(sid, from, to, body string, more ...string) int {
	h.t.Helper()
	form := url.Values{"AccountSid": {h.server.cfg.Providers.Twilio.AccountSID}, "MessageSid": {sid}, "From": {from}, "To": {to}, "Body": {body}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	target := h.url + "/webhooks/twilio/sms"
	mac := hmac.New(sha1.New, []byte(h.server.cfg.Providers.Twilio.AuthToken))
	_, _ = io.WriteString(mac, target)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		_, _ = io.WriteString(mac, name+form.Get(name))
	}
	r, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func (h *heedUnderTest) sender(p channels.Program) string { return h.server.cfg.Programs[p].SMSFrom }

// stopped lists the programs that a number has stopped.
func (h *heedUnderTest) stopped(number string) channels.ProgramSet {
	h.t.Helper()
	n, err := h.server.db.Number(h.t.Context(), number)
	if err != nil {
		h.t.Fatal(err)
	}
	return n.Stops
}

// tasksOf lists the open tasks of a kind.
func (h *heedUnderTest) tasksOf(kind string) []map[string]any {
	h.t.Helper()
	var list []map[string]any
	for _, t := range h.ok("GET", "/v1/tasks?kind="+kind, nil)["tasks"].([]any) {
		list = append(list, t.(map[string]any))
	}
	return list
}

// settled waits for the reading of the inbox that comes with the start, so that it
// takes nothing from under a test.
func (h *heedUnderTest) settled() *heedUnderTest {
	h.t.Helper()
	eventually(h.t, "the first reading of the inbox", func() bool {
		at, err := h.server.db.Mark(h.t.Context(), "inbox twilio")
		return err == nil && !at.IsZero()
	})
	return h
}

// fetch reads the inbox as the job does.
func (h *heedUnderTest) fetch() {
	h.t.Helper()
	if err := h.server.fetchMissed(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// TestAHiddenTextDoesNotSwallowItsWebhook: an account that hides bodies lists a STOP
// without its word.
func TestAHiddenTextDoesNotSwallowItsWebhook(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", texter, "p1@patients.example")
	listed := func(sid string) {
		in := channels.Inbound{ID: sid, From: texter, To: h.sender(channels.Care), At: h.server.now(), Precision: time.Second}
		for range 2 { // seen twice while it is young
			if err := h.server.intake.Listed(t.Context(), "twilio", in); err != nil {
				t.Fatal(err)
			}
		}
		h.server.clock.Add(6 * time.Minute)
		for range 2 {
			if err := h.server.intake.Listed(t.Context(), "twilio", in); err != nil {
				t.Fatal(err)
			}
		}
	}
	listed("SM1")
	if tasks := h.tasksOf("unread_text"); len(tasks) != 1 || tasks[0]["number"] != texter || tasks[0]["patient"] != "p1" {
		t.Errorf("no webhook came, and staff were told: %v", tasks)
	}
	if status := h.hears("SM1", texter, h.sender(channels.Care), "STOP"); status != http.StatusOK || !h.stopped(texter).Has(channels.Care) {
		t.Errorf("the webhook came late: %d, %v", status, h.stopped(texter).List())
	}
	h.hears("SM2", texter, h.sender(channels.Care), "see you")
	listed("SM2")
	if tasks := h.tasksOf("unread_text"); len(tasks) != 1 {
		t.Errorf("a text whose webhook came: %v", tasks)
	}
}

func TestAStartCountsForWhereItCameTo(t *testing.T) {
	h := start(t, map[string]string{"programs.check_in.messaging_service": service})
	h.enrol("p1", texter, "p1@patients.example")
	h.ok("POST", "/v1/stops", map[string]any{"number": texter, "program": "all"})
	h.server.clock.Add(2 * time.Second)
	const pool = "+17205550123"
	h.hears("SM1", texter, pool, "START")
	if h.stopped(texter) != channels.AllPrograms {
		t.Errorf("a START to a number nobody listed lifted something: still stopped %v", h.stopped(texter).List())
	}
	if tasks := h.tasksOf("start_not_lifted"); len(tasks) != 1 || tasks[0]["number"] != texter {
		t.Errorf("%v", tasks)
	}
	h.hears("SM2", texter, pool, "START", "MessagingServiceSid", service)
	if want := channels.AllPrograms &^ channels.SetOf(channels.CheckIn); h.stopped(texter) != want {
		t.Errorf("a START through check_in's service: still stopped %v", h.stopped(texter).List())
	}
	h.hears("SM3", texter, pool, "STOP", "MessagingServiceSid", service)
	if !h.stopped(texter).Has(channels.CheckIn) {
		t.Error("a STOP through check_in's service")
	}
	h.hears("SM4", "+13035550152", pool, "STOP")
	if h.stopped("+13035550152") != channels.AllPrograms {
		t.Errorf("a STOP to a number nobody listed stops everything: %v", h.stopped("+13035550152").List())
	}
}

// TestAStartThatWasSaidFirst: its webhook was lost once and is tried again after a
// later STOP.
func TestAStartThatWasSaidFirst(t *testing.T) {
	h := start(t, nil).settled()
	h.enrol("p1", texter, "p1@patients.example")
	care := h.sender(channels.Care)
	h.hears("SM1", texter, care, "STOP")
	h.server.clock.Add(3 * time.Second)
	first := h.server.sandbox.Reply(texter, care, "START", true)
	h.server.clock.Add(3 * time.Second)
	h.hears("SM2", texter, care, "STOP")
	h.server.clock.Add(3 * time.Second)
	if status := h.hears(first.ID, texter, care, "START"); status != http.StatusOK || !h.stopped(texter).Has(channels.Care) {
		t.Errorf("%d, a START said before the STOP lifted it", status)
	}
	if tasks := h.tasksOf("start_not_lifted"); len(tasks) != 1 {
		t.Errorf("%v", tasks)
	}
	second := h.server.sandbox.Reply(texter, care, "START", true)
	h.hears(second.ID, texter, care, "START")
	if h.stopped(texter).Has(channels.Care) {
		t.Error("a START said after the STOP lifts it")
	}
}

// TestAStartWhoseDateCannotBeAsked lifts nothing before it can, and is not forgotten.
func TestAStartWhoseDateCannotBeAsked(t *testing.T) {
	h := start(t, nil).settled()
	h.enrol("p1", texter, "p1@patients.example")
	care := h.sender(channels.Care)
	h.hears("SM1", texter, care, "STOP")
	h.server.clock.Add(3 * time.Second)
	m := h.server.sandbox.Reply(texter, care, "START", true)
	h.server.sandbox.SetUnreachable(true)
	if status := h.hears(m.ID, texter, care, "START"); status != http.StatusInternalServerError || !h.stopped(texter).Has(channels.Care) {
		t.Errorf("%d: it must be told again", status)
	}
	h.server.sandbox.SetUnreachable(false)
	h.fetch()
	if h.stopped(texter).Has(channels.Care) {
		t.Error("the inbox has its date, and it was said after the STOP")
	}
}

// TestAStartThatTheProviderDoesNotKnow: where the provider lists other texts of the
// number, this one proves nothing; where it lists none, arrival is all there is.
func TestAStartThatTheProviderDoesNotKnow(t *testing.T) {
	h := start(t, nil).settled()
	h.enrol("p1", texter, "p1@patients.example")
	care := h.sender(channels.Care)
	h.server.sandbox.Reply(texter, care, "STOP", true)
	h.fetch()
	h.server.clock.Add(3 * time.Second)
	h.hears("SMx", texter, care, "START")
	if !h.stopped(texter).Has(channels.Care) || len(h.tasksOf("start_not_lifted")) != 1 {
		t.Errorf("%v, %v", h.stopped(texter).List(), h.tasksOf("start_not_lifted"))
	}
	const other = "+13035550152"
	h.hears("SM1", other, care, "STOP")
	h.hears("SM2", other, care, "START")
	if h.stopped(other).Has(channels.Care) {
		t.Error("neither is known to the provider: the later one counts")
	}
	h.hears("SM3", other, care, "STOP")
	h.server.clock.Add(36 * 24 * time.Hour)
	if _, err := h.server.db.Forget(t.Context(), store.Retention{Content: days(30), Answers: keepAnswers, Seen: keepSeen}); err != nil {
		t.Fatal(err)
	}
	h.hears("SM2", other, care, "START")
	if !h.stopped(other).Has(channels.Care) {
		t.Error("an old START, played again, lifted a STOP")
	}
}

func TestYesIsNoStartWhateverTheProviderSays(t *testing.T) {
	h := start(t, map[string]string{"providers.twilio.opt_out_replies": "provider"})
	care := h.sender(channels.Care)
	h.hears("SM1", texter, care, "STOP", "OptOutType", "STOP")
	h.server.clock.Add(3 * time.Second)
	h.hears("SM2", texter, care, "YES", "OptOutType", "START")
	if !h.stopped(texter).Has(channels.Care) {
		t.Error("YES lifted a STOP")
	}
	h.hears("SM3", texter, care, "RESUME", "OptOutType", "START")
	if h.stopped(texter).Has(channels.Care) {
		t.Error("a word that we do not know, and the provider takes for START")
	}
}

func TestAnImportOnlyTightensThroughTheAPI(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", texter, "p1@patients.example")
	path := "/v1/patients/p1/preferences"
	imported := func(more map[string]any) map[string]any {
		body := map[string]any{"source": "import", "evidence": map[string]any{"row": "1"}}
		maps.Copy(body, more)
		return body
	}
	optIn := map[string]any{"choices": []map[string]any{{"topic": "marketing", "channel": "sms", "choice": "opt_in", "consent": "written"}}}
	h.ok("POST", path, imported(optIn))
	if d := h.decision("p1", "marketing", "sms"); d["code"] != "consent_missing" {
		t.Errorf("an imported opt-in counts as express at most: %v", d)
	}
	h.ok("POST", path, map[string]any{"source": "staff", "evidence": map[string]any{"who": "x"}, "care_channels": map[string]any{"order": []string{"sms"}, "declined": []string{"voice"}}})
	h.ok("POST", path, imported(map[string]any{"care_channels": map[string]any{"order": []string{"voice"}, "declined": []string{}}}))
	if d := h.decision("p1", "appointment_reminder", "voice"); d["code"] != "channel_declined" {
		t.Errorf("an import dropped a decline: %v", d)
	}
	h.hears("SM1", texter, h.sender(channels.Care), "wrong number")
	for _, more := range []map[string]any{{"verified": []string{texter}}, {"unencrypted_ok": true}} {
		if a := h.call("POST", path, imported(more)); a.status != http.StatusUnprocessableEntity || strings.Contains(string(a.raw), "5550151") {
			t.Errorf("%v: %d %s", more, a.status, a.raw)
		}
	}
	if d := h.decision("p1", "appointment_reminder", "sms"); d["code"] != "wrong_person" {
		t.Errorf("an import verified an address: %v", d)
	}
	h.ok("POST", path, imported(map[string]any{"unencrypted_ok": false}))
}

// events gives the kinds of what was heard of a message.
func (h *heedUnderTest) events(id string) string {
	h.t.Helper()
	return fmt.Sprint(h.ok("GET", "/v1/messages/"+id, nil)["events"])
}

func (h *heedUnderTest) replies(from, sid, body string) {
	h.t.Helper()
	if status := h.hears(sid, from, h.sender(channels.Care), body); status != http.StatusOK {
		h.t.Fatalf("%q: %d", body, status)
	}
}

func TestRepliesToAReminder(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", texter, "p1@patients.example")
	h.replies(texter, "SM0", "C")
	if tasks := h.tasksOf("reply"); len(tasks) != 1 || tasks[0]["message"] != nil {
		t.Errorf("nothing is open yet: %v", tasks)
	}
	id := h.send(reminder("p1"))
	h.settles(id, "delivered")
	for range 2 { // and the provider's retry
		h.replies(texter, "SM1", "Sí")
	}
	eventually(t, "a thank-you", func() bool { return len(h.to(texter)) == 2 })
	if events := h.events(id); strings.Count(events, "confirmed") != 1 {
		t.Errorf("%s", events)
	}
	h.replies(texter, "SM2", "R")
	eventually(t, "the wish is acknowledged", func() bool { return len(h.to(texter)) == 3 })
	if tasks := h.tasksOf("reschedule"); len(tasks) != 1 || tasks[0]["message"] != id || tasks[0]["patient"] != "p1" || tasks[0]["quote"] != "R" || !strings.Contains(h.events(id), "reschedule_asked") {
		t.Errorf("%v, %s", tasks, h.events(id))
	}
	h.replies(texter, "SM3", "Where do I park?")
	h.replies(texter, "SM4", "And is there a ramp?")
	if tasks := h.tasksOf("reply"); len(tasks) != 3 || tasks[1]["message"] != id || tasks[2]["message"] != id {
		t.Errorf("%v", tasks)
	}
	if len(h.tasksOf("reply")) != 3 || len(h.to(texter)) != 3 {
		t.Error("free text is not answered by us")
	}
	for _, m := range h.to(texter)[1:] {
		if strings.Contains(m.Body, "Xiomara") || strings.Contains(m.Body, "Cedar") || m.From != h.sender(channels.Care) {
			t.Errorf("an acknowledgement says too much: %+v", m)
		}
	}
	// Another program's number answers no reminder of care.
	h.hears("SM5", texter, h.sender(channels.CheckIn), "C")
	if strings.Count(h.events(id), "confirmed") != 1 {
		t.Error("C to another program confirmed a reminder of care")
	}
	// Whoever stopped the program is not thanked, and is heard.
	h.replies(texter, "SM6", "STOP")
	eventually(t, "the stop is confirmed", func() bool { return len(h.to(texter)) == 4 })
	h.replies(texter, "SM7", "C")
	if strings.Count(h.events(id), "confirmed") != 2 || len(h.to(texter)) != 4 {
		t.Errorf("%s, %d texts", h.events(id), len(h.to(texter)))
	}
}

func TestRepliesFromASharedPhone(t *testing.T) {
	h := start(t, nil)
	for _, p := range []string{"p1", "p2"} {
		h.enrol(p, texter, p+"@patients.example")
	}
	first, second := h.send(reminder("p1")), h.send(reminder("p2"))
	h.settles(first, "delivered")
	h.settles(second, "delivered")
	h.replies(texter, "SM1", "C")
	h.replies(texter, "SM2", "R")
	eventually(t, "both are acknowledged", func() bool { return len(h.to(texter)) == 4 })
	if events := h.events(first) + h.events(second); strings.Contains(events, "confirmed") || strings.Contains(events, "reschedule") {
		t.Errorf("nobody knows who wrote: %s", events)
	}
	for _, kind := range []string{"reply", "reschedule"} {
		if tasks := h.tasksOf(kind); len(tasks) != 1 || tasks[0]["patient"] != nil || tasks[0]["number"] != texter {
			t.Errorf("%v", tasks)
		}
	}
	for _, m := range h.to(texter)[2:] {
		if strings.Contains(m.Body, "Xiomara") || strings.Contains(m.Body, "10:30") {
			t.Errorf("%q", m.Body)
		}
	}
}

// TestACrisisInFreeTextReachesAPerson, a stop beside it or not.
func TestACrisisInFreeTextReachesAPerson(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", texter, "p1@patients.example")
	for i, body := range []string{"I can't go on...goodbye", "me quiero suicidar", "stop texting me I want to end my own life"} {
		h.replies(texter, fmt.Sprint("SM", i), body)
		if tasks := h.tasksOf("crisis"); len(tasks) != i+1 || tasks[i]["quote"] != body {
			t.Errorf("%q: %v", body, tasks)
		}
		eventually(t, "the safety text", func() bool { return len(h.to(texter)) == i+1 && strings.Contains(h.to(texter)[i].Body, "988") })
		if stopped := h.stopped(texter).Has(channels.Care); stopped != (i == 2) {
			t.Errorf("%q: stopped %v", body, stopped)
		}
	}
	h.replies(texter, "SM9", "Dejé de tomar mi medicina")
	if len(h.tasksOf("free_text_stop")) != 1 {
		t.Error("a sentence about a medicine is no stop")
	}
}
