package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/mirrors"
)

const group = "1" // the sandbox's unsubscribe group

// withTwilio turns the mirror to Twilio's consents on.
var withTwilio = map[string]string{"mirrors.twilio": "true", "providers.twilio.opt_out_replies": "provider"}

// enrolMail puts a patient with one mailbox on file.
func (h *heedUnderTest) enrolMail(id, email string) {
	h.t.Helper()
	h.ok("PUT", "/v1/patients/"+id, map[string]any{
		"given_name": "Xiomara", "family_name": "Okonkwo", "birth_date": "1980-04-02", "locale": "en", "time_zone": "America/Denver",
		"addresses": []map[string]any{{"kind": "email", "value": email}},
	})
}

// chooses records one choice on email; evidence "" is none.
func (h *heedUnderTest) chooses(id, topic, choice, evidence string) {
	h.t.Helper()
	body := map[string]any{"source": "staff", "choices": []map[string]any{{"topic": topic, "channel": "email", "choice": choice}}}
	if evidence != "" {
		body["evidence"] = map[string]string{"how": evidence}
	}
	h.ok("POST", "/v1/patients/"+id+"/preferences", body)
}

// inGroup waits until SendGrid's list is as it should be.
func (h *heedUnderTest) inGroup(want ...string) {
	h.t.Helper()
	eventually(h.t, "the group is "+strings.Join(want, " "), func() bool { return slices.Equal(h.server.sandbox.OptOuts(group), want) })
}

// compares lets the gateway compare both sides, and gives what the audit log tells of it.
func (h *heedUnderTest) compares() string {
	h.t.Helper()
	// It counts what was said before, not what is on its way.
	eventually(h.t, "nothing waits", func() bool {
		f, err := h.server.db.MirrorFigures(h.t.Context(), channels.Mailbox)
		return err == nil && f.Waiting == 0
	})
	asked := h.server.now()
	h.commandLine(h.t.(*testing.T)).ok("mirror", "reconcile")
	eventually(h.t, "both sides are compared", func() bool {
		done, err := h.server.db.Mark(h.t.Context(), mirrors.DoneMark("sendgrid"))
		return err == nil && done.After(asked)
	})
	detail := ""
	rows, err := h.server.db.Audits(h.t.Context(), 0, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Verb == "mirror.compare" && r.Object == "mirror:sendgrid" {
			detail = r.Detail
		}
	}
	return detail
}

// drifts lists the open tasks about lists that differed.
func (h *heedUnderTest) drifts() []any {
	h.t.Helper()
	return h.ok("GET", "/v1/tasks?kind=mirror_drift", nil)["tasks"].([]any)
}

func TestAnUnsubscribeReachesTheGroup(t *testing.T) {
	h := start(t, nil)
	h.enrolMail("p1", "p1@patients.example")
	id := h.send(map[string]any{"patient": "p1", "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "News", "text": "We moved.", "url": "https://cedar.example/news"}})
	h.settles(id, "delivered")
	link := strings.Trim(h.to("p1@patients.example")[0].Headers["List-Unsubscribe"], "<>")
	r, err := http.Post(link, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", r, err)
	}
	r.Body.Close()
	h.inGroup("p1@patients.example")
	if global := h.server.sandbox.OptOuts(""); len(global) > 0 {
		t.Errorf("on the global list, which drops essential mail: %v", global)
	}

	// What is essential still comes: the list is for marketing alone.
	id = h.send(map[string]any{"patient": "p1", "category": "legal_notice", "template": "legal_notice", "variables": map[string]string{"title": "A notice", "text": "Of our new address."}})
	h.settles(id, "delivered")

	h.chooses("p1", "marketing", "opt_in", "") // without proof nothing is loosened there
	h.enrolMail("p2", "p2@patients.example")
	h.chooses("p2", "marketing", "opt_out", "")
	h.inGroup("p1@patients.example", "p2@patients.example")
	h.chooses("p2", "marketing", "opt_in", "signed form of today")
	h.inGroup("p1@patients.example")
	if said := h.compares(); said != "there=1 strangers=0 only_there=1 only_here=0 new=0" {
		t.Errorf("the nightly said %q", said)
	}
	if d := h.decision("p1", "newsletter"); d["code"] != "opted_out" {
		t.Errorf("a yes without proof won over the provider's no: %v", d)
	}
}

// A mailbox that two share goes to the group when both refused: a list knows no persons.
func TestASharedMailboxIsMirroredWhenAllRefuse(t *testing.T) {
	h := start(t, nil)
	h.enrolMail("p1", "shared@patients.example")
	h.enrolMail("p2", "shared@patients.example")
	h.enrolMail("p3", "p3@patients.example")
	h.chooses("p1", "marketing", "opt_out", "")
	h.chooses("p3", "newsletter", "opt_out", "") // the rest of marketing is still welcome
	h.enrolMail("p4", "p4@patients.example")
	h.chooses("p4", "non_essential", "opt_out", "")
	h.inGroup("p4@patients.example") // those before it were looked at by now
	if said := h.compares(); said != "there=1 strangers=0 only_there=0 only_here=0 new=0" {
		t.Errorf("the nightly said %q", said)
	}
	if d := h.decision("p2", "newsletter"); d["outcome"] != "send" {
		t.Errorf("one refused for the other: %v", d)
	}
	h.chooses("p2", "marketing", "opt_out", "")
	h.inGroup("p4@patients.example", "shared@patients.example")
}

func TestDriftIsRepairedToTheStricterSide(t *testing.T) {
	h := start(t, nil)
	for _, id := range []string{"p1", "p2", "p3"} {
		h.enrolMail(id, id+"@patients.example")
	}
	h.chooses("p1", "marketing", "opt_out", "")
	h.inGroup("p1@patients.example")
	box := h.server.sandbox
	box.SetOptOut("p1@patients.example", group, false) // lost there
	box.SetOptOut("P2@Patients.example", group, true)  // said there alone
	box.SetOptOut("stranger@elsewhere.example", group, true)
	if said := h.compares(); said != "there=2 strangers=1 only_there=1 only_here=1 new=0" {
		t.Errorf("the nightly said %q", said)
	}
	h.inGroup("p1@patients.example", "p2@patients.example", "stranger@elsewhere.example")
	for id, code := range map[string]string{"p1": "opted_out", "p2": "opted_out", "p3": ""} {
		if d := h.decision(id, "newsletter"); d["code"] != code && (d["code"] != nil || code != "") {
			t.Errorf("%s: %v", id, d)
		}
	}
	if list := h.drifts(); len(list) != 1 || !strings.Contains(list[0].(map[string]any)["title"].(string), "1 stood only there") {
		t.Errorf("tasks: %v", list)
	}
	if said := h.compares(); said != "there=3 strangers=1 only_there=0 only_here=0 new=0" {
		t.Errorf("the second time it said %q", said)
	}
	if list := h.drifts(); len(list) != 1 {
		t.Errorf("tasks: %v", list)
	}
	if log := h.log.String(); strings.Contains(log, "patients.example") || strings.Contains(log, "elsewhere.example") {
		t.Error("a mailbox is in the log")
	}
}

func TestNothingIsLostWhileTheProviderIsDown(t *testing.T) {
	cfg := load(t, nil)
	h := startWith(t, cfg)
	h.enrolMail("p1", "p1@patients.example")
	h.server.sandbox.SetUnreachable(true)
	began := time.Now()
	h.chooses("p1", "marketing", "opt_out", "")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the opt-out waited %s for the provider", took)
	}
	if d := h.decision("p1", "newsletter"); d["code"] != "opted_out" {
		t.Fatalf("%v", d)
	}
	eventually(t, "the call failed", func() bool {
		f, err := h.server.db.MirrorFigures(t.Context(), channels.Mailbox)
		return err == nil && f.Failing == 1
	})
	var state []mirrorState
	h.commandLine(t).json(&state, "mirror", "status")
	if state[0].Waiting != 1 || !state[0].On || state[1].On {
		t.Errorf("%+v", state)
	}
	h.stop() // and nothing is lost by a restart either
	h = startWith(t, cfg)
	h.inGroup("p1@patients.example")
}

func TestAStopReachesTwiliosConsents(t *testing.T) {
	h := start(t, withTwilio)
	care, news := h.server.cfg.Programs[channels.Care].SMSFrom, h.server.cfg.Programs[channels.Marketing].SMSFrom
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.texts("+13035550151", channels.Care, "STOP")
	eventually(t, "it is recorded", func() bool { return h.decision("p1", "appointment_reminder", "sms")["outcome"] != "send" })
	box := h.server.sandbox
	eventually(t, "the first comparison", func() bool {
		done, err := h.server.db.Mark(t.Context(), mirrors.DoneMark("twilio"))
		return err == nil && !done.IsZero()
	})
	if len(box.OptOuts(care)) > 0 {
		t.Errorf("Twilio was told before the answers were out")
	}
	h.server.clock.Add(7 * time.Minute)
	want := []string{"+13035550151"}
	eventually(t, "both senders know", func() bool { return slices.Equal(box.OptOuts(care), want) && slices.Equal(box.OptOuts(news), want) })
	if billing := h.server.cfg.Programs[channels.Billing].SMSFrom; len(box.OptOuts(billing)) > 0 {
		t.Error("a sender that was not stopped is stopped at Twilio")
	}
	h.texts("+13035550151", channels.Care, "START")
	eventually(t, "what was asked for again is taken off, and nothing else", func() bool { return len(box.OptOuts(care)) == 0 && slices.Equal(box.OptOuts(news), want) })

	// Twilio's list cannot be read: every night all of ours are put there again.
	box.SetOptOut("+13035550151", news, false)
	h.server.clock.Add(25 * time.Hour)
	eventually(t, "it is there again", func() bool { return slices.Equal(box.OptOuts(news), want) })
	if len(box.OptOuts(care)) > 0 {
		t.Error("the night stopped what was asked for again")
	}
}

func TestAMirrorThatIsOffCallsNobody(t *testing.T) {
	h := start(t, map[string]string{"mirrors.sendgrid": "false"})
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.chooses("p1", "marketing", "opt_out", "")
	h.texts("+13035550151", channels.Care, "STOP")
	eventually(t, "it is recorded", func() bool { return h.decision("p1", "appointment_reminder", "sms")["outcome"] != "send" })
	h.server.clock.Add(25 * time.Hour)
	h.settles(h.send(map[string]any{"patient": "p1", "category": "legal_notice", "template": "legal_notice", "variables": map[string]string{"title": "A notice", "text": "Of our new address."}}), "delivered")
	if n := h.server.sandbox.OptOutCalls(); n != 0 {
		t.Errorf("%d calls to the carriers' lists", n)
	}
	if code, _, err := h.commandLine(t).run("mirror", "reconcile", "--set", "mirrors.sendgrid=false"); code != failed || !strings.Contains(err, "mirror status") {
		t.Errorf("%d %s", code, err)
	}
	// Turned on later, what was said meanwhile is told.
	cfg := h.server.cfg
	h.stop()
	cfg.Mirrors.SendGrid = true
	h = startWith(t, cfg)
	h.inGroup("p1@patients.example")
}

func TestAGroupThatIsGoneIsATaskAndFillsNoOtherList(t *testing.T) {
	h := start(t, nil)
	h.enrolMail("p1", "p1@patients.example")
	eventually(t, "the first comparison", func() bool {
		done, err := h.server.db.Mark(t.Context(), mirrors.DoneMark("sendgrid"))
		return err == nil && !done.IsZero()
	})
	h.server.sandbox.RemoveGroup()
	h.chooses("p1", "marketing", "opt_out", "")
	h.server.clock.Add(25 * time.Hour)
	eventually(t, "somebody is told", func() bool { return len(h.drifts()) == 1 })
	if d := h.decision("p1", "newsletter"); d["code"] != "opted_out" {
		t.Errorf("%v", d)
	}
	for _, list := range []string{"", group} {
		if got := h.server.sandbox.OptOuts(list); len(got) > 0 {
			t.Errorf("list %q holds %v", list, got)
		}
	}
}
