package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/templates"
)

const landline = "+13035550161"

// enrolLandline puts a patient on file who has a landline, and perhaps a mailbox.
func (h *heedUnderTest) enrolLandline(id, phone, email, locale string) {
	h.t.Helper()
	addresses := []map[string]any{{"kind": "phone", "value": phone, "line_type": "landline"}}
	if email != "" {
		addresses = append(addresses, map[string]any{"kind": "email", "value": email})
	}
	h.ok("PUT", "/v1/patients/"+id, map[string]any{
		"given_name": "Xiomara", "family_name": "Okonkwo", "birth_date": "1980-04-02", "locale": locale, "time_zone": "America/Denver", "addresses": addresses,
	})
}

// byPhone is a reminder that goes by phone alone.
func byPhone(patient string) map[string]any {
	m := reminder(patient)
	m["channels"] = []string{"voice"}
	return m
}

// calls lists the calls between us and a phone that are over.
func (h *heedUnderTest) calls(phone string) []sandbox.Message {
	var list []sandbox.Message
	for _, m := range h.server.sandbox.Messages() {
		if m.Channel == channels.Voice && (m.To == phone || m.Inbound && m.From == phone) && !m.Ended.IsZero() {
			list = append(list, m)
		}
	}
	return list
}

// called waits for the nth call of a phone to end.
func (h *heedUnderTest) called(phone string, n int) sandbox.Message {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%d calls have ended", n), func() bool { return len(h.calls(phone)) >= n })
	return h.calls(phone)[n-1]
}

func TestLandlineIsCalled(t *testing.T) {
	for _, c := range []struct{ locale, who, when, keys string }{
		{"en", "Hello, this is Sandbox Practice. To stop these calls and texts, press 9.", "Wednesday, January 7, at 10:30 AM, at Cedar Practice", "To confirm, press 1."},
		{"es", "Hola, le llama Sandbox Practice. Para no recibir más llamadas ni textos, oprima 9.", "miércoles 7 de enero, a las 10 y media de la mañana, en Cedar Practice", "Para confirmar, oprima 1."},
	} {
		t.Run(c.locale, func(t *testing.T) {
			h := start(t, nil)
			h.enrolLandline("p1", landline, "", c.locale)
			m := h.settles(h.send(reminder("p1")), "delivered")
			call := h.called(landline, 1)
			lines := strings.Split(call.Body, "\n")
			if call.Status != "completed" || call.AnsweredBy != "human" || call.ErrorCode != 0 || lines[0] != c.who {
				t.Fatalf("%+v", call)
			}
			if !strings.Contains(call.Body, c.when) || strings.Count(call.Body, c.keys) != 2 { // said, and once more
				t.Errorf("%s", call.Body)
			}
			if len(h.calls(landline)) != 1 || h.server.sandbox.Messages()[0].Validity > time.Minute {
				t.Error("it rang too often, or too long")
			}
			for _, event := range []string{"said_to_person", "delivered"} {
				if !strings.Contains(fmt.Sprint(m["events"]), event) {
					t.Errorf("%s is not on record: %v", event, m["events"])
				}
			}
		})
	}
}

func TestMachineHearsNothingOfTheMessage(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "", "en")
	for n, who := range []sandbox.Takes{sandbox.TakesMachine, sandbox.TakesUnknown} {
		h.server.sandbox.SetPhone(landline, sandbox.Phone{Takes: who})
		h.settles(h.send(byPhone("p1")), "delivered")
		want := "This is Sandbox Practice. Please call us at 8 8 8, 5 5 5, 0 1 0 0. To stop automated calls and texts, call 8 8 8, 5 5 5, 0 1 9 9, toll free."
		if call := h.called(landline, n+1); call.Body != want || call.AnsweredBy != string(who) {
			t.Errorf("%s heard %q", who, call.Body)
		}
	}
}

func TestNineStopsAndTheNextOneGoesByMail(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "p1@patients.example", "en")
	h.server.sandbox.SetPhone(landline, sandbox.Phone{Keys: "9"})
	h.settles(h.send(byPhone("p1")), "delivered")
	call := h.called(landline, 1)
	if call.Pressed != "9" || !strings.HasSuffix(call.Body, "[9]\nYou will get no more calls or texts from Sandbox Practice through this number. Goodbye.") {
		t.Fatalf("%q", call.Body)
	}
	if d := h.decision("p1", "appointment_reminder", "voice"); d["code"] != "stopped" {
		t.Errorf("%v", d)
	}
	if d := h.decision("p1", "marketing", "voice"); d["code"] != "stopped" {
		t.Errorf("%v", d)
	}
	h.settles(h.send(reminder("p1")), "delivered")
	if len(h.calls(landline)) != 1 || len(h.to("p1@patients.example")) != 1 {
		t.Error("the next one did not go by mail")
	}
}

func TestOneConfirmsAndTwoAsksForACall(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "", "en")
	h.server.sandbox.SetPhone(landline, sandbox.Phone{Keys: "51"}) // a key that means nothing first
	id := h.send(byPhone("p1"))
	h.settles(id, "delivered")
	call := h.called(landline, 1)
	if !strings.Contains(call.Body, "[5]\nTo confirm, press 1.") || !strings.HasSuffix(call.Body, "[1]\nThank you. It is confirmed. Goodbye.") {
		t.Errorf("%q", call.Body)
	}
	if events := fmt.Sprint(h.ok("GET", "/v1/messages/"+id, nil)["events"]); strings.Count(events, "confirmed") != 1 {
		t.Errorf("%s", events)
	}
	h.server.sandbox.SetPhone(landline, sandbox.Phone{Keys: "12"}) // nothing to confirm here
	id = h.send(map[string]any{"patient": "p1", "category": "follow_up", "template": "follow_up", "urgent": true, "channels": []string{"voice"}, "variables": map[string]string{"text": "Your letter is ready."}})
	h.settles(id, "delivered")
	if call = h.called(landline, 2); !strings.HasSuffix(call.Body, "[2]\nThank you. We will call you back. Goodbye.") {
		t.Errorf("%q", call.Body)
	}
	tasks := h.ok("GET", "/v1/tasks?kind=call_back", nil)["tasks"].([]any)
	if len(tasks) != 1 || tasks[0].(map[string]any)["message"] != id || tasks[0].(map[string]any)["number"] != landline || tasks[0].(map[string]any)["patient"] != "p1" {
		t.Errorf("%v", tasks)
	}
}

func TestOptOutLine(t *testing.T) {
	h := start(t, nil)
	line := h.server.cfg.Practice.OptOutPhone
	caller := "+13035550162" // nobody's yet
	h.server.sandbox.Call(caller, line, "9")
	call := h.called(caller, 1)
	if strings.Contains(call.Body, "Sandbox Practice") || !strings.Contains(call.Body, "press 9") || !strings.Contains(call.Body, "oprima 9") || !strings.Contains(call.Body, "will get no more automated calls or texts") {
		t.Errorf("%q", call.Body)
	}
	h.enrolLandline("p2", caller, "", "en")
	for _, category := range []string{"appointment_reminder", "marketing"} {
		if d := h.decision("p2", category, "voice"); d["code"] != "stopped" {
			t.Errorf("%s: %v", category, d)
		}
	}
	stops := h.ok("GET", "/v1/stops?number="+url.QueryEscape(caller), nil)
	for _, program := range channels.Programs {
		if !strings.Contains(fmt.Sprint(stops), program.String()) {
			t.Errorf("%s is not stopped: %v", program, stops)
		}
	}
	// The line of one program stops that one and marketing; no key at all stops nothing.
	other := "+13035550163"
	h.enrolLandline("p3", other, "", "en")
	billing := h.server.cfg.Programs[channels.Billing].VoiceFrom
	h.server.sandbox.SetPace(time.Millisecond)
	h.server.sandbox.Call(other, billing, "5")
	if call := h.called(other, 1); strings.Contains(call.Body, "no more automated calls or texts. Goodbye") || !strings.HasSuffix(call.Body, "Goodbye.\nAdiós.") {
		t.Errorf("%q", call.Body)
	}
	h.server.sandbox.Call(other, billing, "9")
	h.called(other, 2)
	if d := h.decision("p3", "appointment_reminder", "voice"); d["outcome"] != "send" {
		t.Errorf("a stop of billing ended reminders: %v", d)
	}
	if d := h.decision("p3", "marketing", "voice"); d["code"] != "stopped" {
		t.Errorf("%v", d)
	}
	h.server.sandbox.Call("", line, "9")
	if call := h.called("", 1); !strings.Contains(call.Body, "hidden") || !strings.Contains(call.Body, "8 8 8, 5 5 5, 0 1 0 0") || call.Pressed != "" {
		t.Errorf("%q", call.Body)
	}
}

func TestNobodyAnswers(t *testing.T) {
	for suffix, code := range map[string]string{"0023": "no-answer", "0024": "busy", "0026": "fax"} {
		t.Run(code, func(t *testing.T) {
			h := start(t, nil)
			phone := "+1303555" + suffix
			h.enrolLandline("p1", phone, "", "en")
			m := h.settles(h.send(reminder("p1")), "needs_staff")
			if !strings.Contains(fmt.Sprint(m["attempts"]), code) || h.called(phone, 1).Body != "" {
				t.Errorf("%v", m)
			}
			// With another way open, the message takes it.
			h.enrolLandline("p2", phone, "p2@patients.example", "en")
			body := reminder("p2")
			body["channels"] = []string{"voice", "email"}
			h.settles(h.send(body), "delivered")
			if len(h.to("p2@patients.example")) != 1 {
				t.Error("no mail came")
			}
		})
	}
}

// A STOP that comes while the phone rings holds the words back; the message goes
// another way.
func TestStopWhileItRings(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "p1@patients.example", "en")
	h.server.sandbox.SetPace(time.Second)
	h.server.sandbox.SetPhone(landline, sandbox.Phone{Takes: sandbox.ByHand})
	id := h.send(byPhone("p1"))
	ringing := ""
	eventually(t, "it rings", func() bool {
		for _, m := range h.to(landline) {
			if m.Status == "ringing" {
				ringing = m.ID
			}
		}
		return ringing != ""
	})
	h.ok("POST", "/v1/stops", map[string]any{"number": landline, "program": "care", "evidence": map[string]string{"note": "said at the desk"}})
	if !h.server.sandbox.Take(ringing, sandbox.TakesPerson) {
		t.Fatal("it does not ring any more")
	}
	m := h.settles(id, "needs_staff") // by phone alone: a person takes over
	if call := h.called(landline, 1); call.Body != "This is Your provider. Goodbye." || call.Pressed != "" {
		t.Errorf("%q", call.Body)
	}
	if !strings.Contains(fmt.Sprint(m["events"]), "withheld") {
		t.Errorf("%v", m["events"])
	}
}

func TestConfidentialInstructionByPhone(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.ok("PUT", "/v1/patients/p1/confidential-communication", map[string]any{
		"only": []map[string]any{{"channel": "voice", "address": landline}}, "discreet": true, "requested_on": "2026-01-05",
	})
	h.settles(h.send(reminder("p1")), "delivered")
	call := h.called(landline, 1)
	if strings.Contains(call.Body, "Practice") || !strings.Contains(call.Body, "this is Your provider.") || !strings.Contains(call.Body, "10:30 AM.") {
		t.Errorf("%q", call.Body)
	}
	if len(h.to("+13035550151")) != 0 || len(h.to("p1@patients.example")) != 0 {
		t.Error("another way was used")
	}
}

func TestNoCallInQuietHours(t *testing.T) {
	h := start(t, nil)
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	now := h.server.now().In(denver)
	h.server.clock.Set(time.Date(now.Year(), now.Month(), now.Day()+1, 22, 0, 0, 0, denver))
	h.enrolLandline("p1", landline, "", "en")
	body := reminder("p1")
	delete(body, "urgent")
	id := h.send(body)
	m := h.settles(id, "scheduled")
	if len(h.calls(landline)) != 0 {
		t.Fatalf("somebody was called at night: %v", m)
	}
	h.server.clock.Set(time.Date(now.Year(), now.Month(), now.Day()+2, 8, 0, 1, 0, denver))
	h.settles(id, "delivered")
}

func TestCallsWithoutASignature(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "", "en")
	form := url.Values{"AccountSid": {h.server.cfg.Providers.Twilio.AccountSID}, "CallSid": {"CA1"}, "From": {landline}, "To": {h.server.cfg.Practice.OptOutPhone}, "Direction": {"inbound"}, "Digits": {"9"}}
	for _, path := range []string{"/webhooks/twilio/voice?asked=1", "/webhooks/twilio/status?attempt=1"} {
		r, err := http.PostForm(h.url+path, form)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
	if d := h.decision("p1", "appointment_reminder", "voice"); d["outcome"] != "send" {
		t.Errorf("%v", d)
	}
}

// A call whose answer was lost is known by its own webhook.
func TestCallWhoseAnswerWasLost(t *testing.T) {
	for suffix, want := range map[string]string{"0016": "delivered", "0019": "delivered", "0021": "needs_staff"} {
		t.Run(suffix, func(t *testing.T) {
			h := start(t, map[string]string{"sending.lease": "1s"})
			phone := "+1303555" + suffix
			h.enrolLandline("p1", phone, "", "en")
			h.settles(h.send(reminder("p1")), want)
			if n := len(h.to(phone)); n != 1 {
				t.Errorf("it was called %d times", n)
			}
		})
	}
}

// What may not be spoken, or not by this provider, is asked for by a call back.
func TestCallBackInsteadOfTheWords(t *testing.T) {
	clinical := map[string]any{"patient": "p1", "category": "treatment_update", "template": "treatment_update", "urgent": true, "channels": []string{"voice"}, "variables": map[string]string{"text": "Your new dosage is ten."}}
	for name, c := range map[string]struct {
		settings map[string]string
		message  map[string]any
	}{
		"clinical":               {nil, clinical},
		"no agreement":           {map[string]string{"providers.twilio.agreement": "none"}, byPhone("p1")},
		"clinical, no agreement": {map[string]string{"providers.twilio.agreement": "none"}, clinical},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, c.settings)
			h.enrolLandline("p1", landline, "", "en")
			h.settles(h.send(c.message), "delivered")
			call := h.called(landline, 1)
			if !strings.Contains(call.Body, "We would like to talk with you.") || strings.Contains(call.Body, "dosage") || strings.Contains(call.Body, "10:30") || strings.Contains(call.Body, "press 1") {
				t.Errorf("%q", call.Body)
			}
		})
	}
}

// ringing places a call that nobody has taken yet, and gives it as the provider would.
func (h *heedUnderTest) ringing(patient string) (message string, call channels.Call) {
	h.t.Helper()
	h.server.sandbox.SetPace(time.Second)
	h.server.sandbox.SetPhone(landline, sandbox.Phone{Takes: sandbox.ByHand})
	message = h.send(byPhone(patient))
	eventually(h.t, "it rings", func() bool {
		for _, m := range h.to(landline) {
			if m.Status == "ringing" && call.ID == "" {
				u, _ := url.Parse(m.Callback)
				attempt, _ := strconv.ParseInt(u.Query().Get("attempt"), 10, 64)
				call = channels.Call{ID: m.ID, Attempt: attempt, From: m.From, To: m.To, AnsweredBy: channels.Human, At: h.server.now()}
			}
		}
		return call.ID != ""
	})
	return message, call
}

// Between the last look and the words no STOP is acknowledged.
func TestStopWaitsForTheWords(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "", "en")
	_, call := h.ringing("p1")
	script, done, err := h.server.dispatcher.Answered(t.Context(), "twilio", call)
	if err != nil || script.Ask != 1 || !strings.Contains(fmt.Sprint(script.Lines), "Cedar Practice") {
		t.Fatalf("%+v, %v", script, err)
	}
	acked := make(chan int, 1)
	go func() {
		acked <- h.call("POST", "/v1/stops", map[string]any{"number": landline, "program": "care", "evidence": map[string]string{"note": "said at the desk"}}).status
	}()
	eventually(t, "the stop is in force", func() bool { return h.decision("p1", "appointment_reminder", "voice")["code"] == "stopped" })
	if len(acked) > 0 {
		t.Error("acknowledged before the words were handed over")
	}
	id, err := h.server.db.PatientID(t.Context(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := h.server.db.Calling(t.Context(), []int64{id}); n == 0 || err != nil {
		t.Errorf("another replica would acknowledge a stop now: %d, %v", n, err)
	}
	done()
	if n, err := h.server.db.Calling(t.Context(), []int64{id}); n != 0 || err != nil {
		t.Errorf("an acknowledgement still waits: %d, %v", n, err)
	}
	if status := <-acked; status/100 != 2 {
		t.Errorf("%d", status)
	}
	if script, done, err = h.server.dispatcher.Answered(t.Context(), "twilio", call); err != nil || len(script.Lines) != 1 || script.Ask != 0 {
		t.Errorf("after the stop: %+v, %v", script, err)
	}
	done()
}

// A question that the provider repeats is answered again, and is one event.
func TestQuestionsThatComeTwice(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "", "en")
	id, call := h.ringing("p1")
	for range 2 {
		script, done, err := h.server.dispatcher.Answered(t.Context(), "twilio", call)
		if err != nil || len(script.Lines) < 3 {
			t.Fatalf("%+v, %v", script, err)
		}
		done()
	}
	pressed := call
	pressed.Asked, pressed.Key = 1, "2"
	for range 2 {
		asked, err := h.server.dispatcher.Asked(t.Context(), pressed)
		if err != nil || asked == nil {
			t.Fatal(err)
		}
		if key, err := h.server.intake.Key(t.Context(), "twilio", pressed, asked); err != nil || key != gateway.KeyCallBack {
			t.Errorf("%v, %v", key, err)
		}
	}
	events := fmt.Sprint(h.ok("GET", "/v1/messages/"+id, nil)["events"])
	if strings.Count(events, "said_to_person") != 1 || strings.Count(events, "call_back_asked") != 1 {
		t.Errorf("%s", events)
	}
	if tasks := h.ok("GET", "/v1/tasks?kind=call_back", nil)["tasks"].([]any); len(tasks) != 1 {
		t.Errorf("%v", tasks)
	}
	// Somebody else's call, and one that nobody knows, hear nothing of the message.
	for _, other := range []channels.Call{{ID: "CA2", Attempt: call.Attempt, AnsweredBy: channels.Human}, {ID: "CA3", Attempt: 1, AnsweredBy: channels.Human}} {
		script, done, err := h.server.dispatcher.Answered(t.Context(), "twilio", other)
		done()
		if err != nil || len(script.Lines) != 1 || script.Lines[0].Text != "This is Your provider. Goodbye." {
			t.Errorf("%+v, %v", script, err)
		}
	}
}

// Every script that any template gives is taken by the provider: its grammar, and
// its 4,000 characters, at the longest values that are accepted.
func TestEveryScriptIsValid(t *testing.T) {
	h := start(t, nil)
	set, n := h.server.templates, 0
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		for _, w := range tmpl.Wordings() {
			if w.Channel != channels.Voice {
				continue
			}
			for _, vars := range []map[string]string{tmpl.Sample(w.Language, true), tmpl.Sample(w.Language, false), longest(tmpl, w.Language)} {
				text, err := tmpl.Render(templates.Request{Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language, Vars: vars, Identity: h.server.identity})
				if err != nil {
					t.Errorf("%s %s %s: %v", name, w.Language, w.Form, err)
					continue
				}
				s := channels.Script{Ask: 1, Attempt: 1<<63 - 1}
				for line := range strings.SplitSeq(text.Text, "\n") {
					s.Lines = append(s.Lines, channels.Line{Language: text.Language, Text: line})
				}
				doc, err := h.server.carriers.twilio.Speak(s)
				if err == nil {
					err = sandbox.CheckTwiML(doc)
				}
				if n++; err != nil {
					t.Errorf("%s %s %s: %v", name, w.Language, w.Form, err)
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d scripts were looked at", n)
	}
}

func longest(tmpl *templates.Template, language string) map[string]string {
	vars := tmpl.Sample(language, true)
	for _, v := range tmpl.Variables {
		if v.Kind == templates.KindText {
			vars[v.Name] = strings.Repeat("l'été & an ", v.Max/11)
		}
	}
	return vars
}

func TestPreviewOfACall(t *testing.T) {
	h := start(t, nil)
	for form, want := range map[string]string{"": "Hello, this is Sandbox Practice.", "call_back": "We would like to talk with you.", "voicemail": "toll free"} {
		body := map[string]any{"channel": "voice", "variables": map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "Cedar Practice"}}
		if form != "" {
			body["content"] = form
		}
		if out := h.ok("POST", "/v1/templates/appointment_reminder/preview", body); !strings.Contains(out["text"].(string), want) || out["segments"] != nil {
			t.Errorf("%s: %v", form, out)
		}
	}
}

func TestProgramsThatCannotCall(t *testing.T) {
	cfg := load(t, nil)
	care := cfg.Programs[channels.Care]
	care.VoiceFrom = ""
	cfg.Programs[channels.Care] = care
	h := startWith(t, cfg)
	if log := h.log.String(); strings.Count(log, "programs.care.voice_from") != 1 || strings.Contains(log, "programs.marketing.voice_from") {
		t.Errorf("%s", log)
	}
	h.enrolLandline("p1", landline, "", "en")
	if m := h.settles(h.send(byPhone("p1")), "needs_staff"); m["code"] != "no_adapter" {
		t.Errorf("%v", m)
	}
}
