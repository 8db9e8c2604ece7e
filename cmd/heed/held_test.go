package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

type sendingState struct {
	Held      bool
	Since     string `json:"held_since"`
	Sending   int
	Due       int
	Campaigns int `json:"campaigns_running"`
}

func TestHeldSendsWaitOnEveryReplica(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		ctx, c := t.Context(), h.commandLine(t)
		h.staff("ana", "ben")
		h.enrol("p1", "+13035550151", "p1@patients.example")
		audience := people(40, nil)
		h.crowd(audience)
		campaign := h.campaign(audience, nil)
		var state sendingState
		if c.json(&state, "sending", "hold", "--reason", "a restore"); !state.Held || state.Since == "" || state.Sending != 0 {
			t.Fatalf("%+v", state)
		}
		urgent := h.send(reminder("p1"))
		h.begin(campaign)
		if c.json(&state, "sending", "status"); state.Due != 1 || state.Campaigns != 1 {
			t.Errorf("%+v", state)
		}
		// A replica that has not heard of the hold yet: its claims are refused.
		for _, q := range gateway.Queues {
			if n, err := h.server.dispatcher.Work(ctx, q); n != 0 || err != nil {
				t.Errorf("queue %d moved %d, %v", q, n, err)
			}
		}
		for worker := range campaignWorkers {
			if n, err := h.server.runner.Work(ctx, worker); n != 0 || err != nil {
				t.Errorf("campaign worker %d moved %d, %v", worker, n, err)
			}
		}
		if list := h.server.sandbox.Messages(); len(list) != 0 {
			t.Fatalf("%d were sent", len(list))
		}
		// What a patient writes is taken in, kept and answered.
		h.texts("+13035550152", channels.Care, "STOP")
		eventually(t, "the stop is confirmed", func() bool { return len(h.to("+13035550152")) == 1 })
		if got := h.stopped("+13035550152"); got == 0 {
			t.Error("the stop is not in force")
		}
		if r := h.call("GET", "/readyz", nil); r.status != http.StatusOK {
			t.Errorf("webhooks would not reach a gateway that answers %d", r.status)
		}
		if !strings.Contains(string(h.call("GET", "/metrics", nil).raw), "\nheed_held 1\n") {
			t.Error("nobody is alarmed")
		}
		if got := h.ok("GET", "/v1/messages/"+urgent, nil)["status"]; got != "queued" {
			t.Errorf("the message is %v", got)
		}
		if c.json(&state, "sending", "release"); state.Held {
			t.Errorf("%+v", state)
		}
		h.settles(urgent, "sent", "delivered")
		h.comesTo(campaign, "completed")
		if code, _, told := c.run("sending", "release"); code != failed || !strings.Contains(told, "not held") {
			t.Errorf("%d %s", code, told)
		}
		told := fmt.Sprint(h.audits())
		for _, want := range []string{"sending.hold", "a restore", "sending.release"} {
			if !strings.Contains(told, want) {
				t.Errorf("the audit log does not tell %q", want)
			}
		}
	})
}

func TestAHoldOutlivesTheGateway(t *testing.T) {
	cfg := load(t, nil)
	h := startWith(t, cfg)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.commandLine(t).ok("sending", "hold", "--reason", "moving")
	h.stop()
	h = startWith(t, cfg)
	id := h.send(reminder("p1"))
	h.texts("+13035550152", channels.Care, "HELP")
	eventually(t, "HELP is answered", func() bool { return len(h.to("+13035550152")) == 1 })
	if got := h.ok("GET", "/v1/messages/"+id, nil)["status"]; got != "queued" || len(h.to("+13035550151")) != 0 {
		t.Errorf("the message is %v", got)
	}
	h.commandLine(t).ok("sending", "release")
	h.settles(id, "sent", "delivered")
}

func news(patient string) map[string]any {
	return map[string]any{
		"patient": patient, "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "Groups", "text": "New groups begin."},
	}
}

func TestWhatMayHaveGoneOutBeforeARestore(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		c := h.commandLine(t)
		h.staff("ana", "ben")
		h.enrol("p1", "+13035550151", "p1@patients.example")
		audience := people(20, nil)
		h.crowd(audience)
		campaign := h.campaign(audience, nil)
		// They wait as the restored database has them: due before the hold that the restore began with.
		c.ok("sending", "hold", "--reason", "keep them waiting")
		essential, other := h.send(reminder("p1")), h.send(news("c00001"))
		h.begin(campaign)
		c.ok("sending", "release", "--lost") // they came after the hold: none of them may have gone out
		h.settles(essential, "sent", "delivered")
		h.settles(other, "sent", "delivered")
		if got := h.progress(campaign)["status"]; got != "paused" {
			t.Errorf("the campaign is %v", got)
		}

		c.ok("sending", "hold", "--reason", "keep them waiting")
		essential, other = h.send(reminder("p1")), h.send(news("c00002"))
		now := h.server.now()
		if err := h.server.db.Release(t.Context(), gateway.Change{At: now, Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		if err := h.server.db.Hold(t.Context(), gateway.Change{At: now, Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		if out := c.ok("sending", "release", "--lost"); !strings.Contains(out, "1 given up, 1 essential go once more, 0 campaigns paused") {
			t.Error(out)
		}
		m := h.settles(other, "failed")
		if m["code"] != "outcome_unknown" || !strings.Contains(fmt.Sprint(m["events"]), "given_up") {
			t.Errorf("%v", m)
		}
		if m := h.settles(essential, "sent", "delivered"); !strings.Contains(fmt.Sprint(m["events"]), "tried_once_more") {
			t.Errorf("that it goes once more is not recorded: %v", m)
		}
	})
}
