package main

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sandbox"
)

// confidential: while messages wait for noon, some people ask on the page to be
// reached only in certain ways, and staff put other requests in force.
func (d *day) confidential() {
	d.clock(0, "11:00")
	var waiting []map[string]any
	for _, p := range d.people {
		category := []string{"follow_up", "follow_up", "treatment_update", "newsletter"}[p.n%4]
		m := dayMessageFor(p, category)
		m["send_at"] = "2027-11-10T12:00:00-07:00"
		waiting = append(waiting, m)
	}
	d.asks(waiting...)
	people := dayWith(d.people, func(p *dayPatient) bool { return p.plainPart() && d.link(p.mailbox, "p") != "" })
	for i, p := range d.some(people, 16) {
		switch i % 8 {
		case 0, 1:
			d.does(p, "p", url.Values{"do": {"private"}, "way": {"here"}})
		case 2:
			d.does(p, "p", url.Values{"do": {"private"}, "way": {"sms"}, "discreet": {"on"}})
		case 3:
			d.does(p, "p", url.Values{"do": {"private"}, "way": {"letters"}})
		case 4:
			d.does(p, "p", url.Values{"do": {"private"}, "way": {"email"}, "discreet": {"on"}, "elsewhere": {"my sister's phone"}})
		case 5, 6:
			d.numbers = append(d.numbers, fmt.Sprintf("+130355595%02d", i))
			d.staff(d.desk, "PUT", "/v1/patients/"+p.ref+"/confidential-communication", map[string]any{
				"only": []map[string]any{{"channel": "voice", "address": d.numbers[len(d.numbers)-1]}}, "discreet": i%8 == 5, "requested_on": "2027-11-10",
			})
		case 7:
			d.does(p, "p", url.Values{"do": {"data"}})
		}
	}
	for _, task := range d.all("/v1/tasks?kind=confidential_request", "tasks") {
		d.staff(d.desk, "POST", "/v1/tasks/"+task["id"].(string)+"/done", map[string]any{"outcome": "Confirmed on the phone."})
	}
	for _, p := range d.some(dayWith(d.people, func(p *dayPatient) bool { return p.private }), 1) {
		d.staff(d.desk, "DELETE", "/v1/patients/"+p.ref+"/confidential-communication", nil)
	}
}

// noon: what waited goes out, and while it does some people text STOP and click.
func (d *day) noon() {
	d.clock(0, "12:00")
	for i, p := range d.some(dayWith(d.people, (*dayPatient).plainPart), 30) {
		switch link := d.link(p.mailbox, "u"); {
		case i%3 == 0 && link != "":
			d.presses(d.browsers, link, "same-origin", url.Values{})
		case i%3 == 1:
			d.staff(d.desk, "POST", "/v1/stops", map[string]any{"number": p.phone(), "program": "care", "evidence": map[string]string{"note": "Said at the desk."}})
		default:
			d.texting(p.phone(), channels.Care, "STOP")
		}
	}
	d.quiet()
	d.clock(0, "12:10")
	d.quiet()
}

// calls: people take calls by hand, and call us.
func (d *day) calls() {
	d.clock(0, "13:00")
	d.quiet()
	d.server.sandbox.SetPace(time.Second)
	people := dayWith(d.people, func(p *dayPatient) bool {
		if !p.plainPart() {
			return false
		}
		got := d.decision(p.ref, "follow_up", "voice")
		return got["outcome"] == "send" && got["address"] == p.phone()
	})
	if len(people) < 5 {
		d.t.Fatalf("only %d people are left who may be called", len(people))
	}
	for i, p := range people[:3] {
		d.sandboxDoes("phone", url.Values{"number": {p.phone()}, "who": {string(sandbox.ByHand)}})
		m := dayMessageFor(p, "follow_up", "voice")
		m["urgent"] = true
		id := d.asks(m)[0]
		call := d.rings(p.phone(), id)
		if i == 0 { // STOP while it rings
			before := d.rows("SELECT count(*) FROM ledger WHERE kind = 'stopped'")
			d.texting(p.phone(), channels.Care, "STOP")
			eventually(d.t, "the stop is in the ledger", func() bool { return d.rows("SELECT count(*) FROM ledger WHERE kind = 'stopped'") > before })
		}
		d.sandboxDoes("take", url.Values{"id": {call}, "who": {string(sandbox.TakesPerson)}})
		switch i {
		case 0:
			d.server.sandbox.HangUp(call) // whatever is said; the call may be over
		case 1:
			d.sandboxDoes("press", url.Values{"id": {call}, "digit": {"9"}})
		case 2:
			d.sandboxDoes("hangup", url.Values{"id": {call}})
		}
	}
	d.quiet()
	lines := []string{d.server.cfg.Practice.OptOutPhone, d.server.cfg.Programs[channels.Billing].VoiceFrom}
	for i, p := range people[3:5] {
		d.sandboxDoes("call", url.Values{"from": {p.phone()}, "to": {lines[i]}})
		eventually(d.t, "a call to us is up", func() bool {
			return slices.ContainsFunc(d.server.sandbox.Messages(), func(m sandboxMessage) bool {
				return m.Inbound && m.From == p.phone() && d.server.sandbox.Press(m.ID, "9")
			})
		})
	}
	d.quiet()
	d.server.sandbox.SetPace(10 * time.Millisecond)
	d.clock(0, "13:10")
	d.toAll(people, "billing_notice", "sms")
	d.toAll(people[:5], "follow_up")
	d.quiet()
}

// rings waits until a phone rings for a message, and gives the call.
func (d *day) rings(number, message string) (id string) {
	d.t.Helper()
	defer func() {
		if id == "" {
			d.t.Logf("%s", d.call("GET", "/v1/messages/"+message, nil).raw)
		}
	}()
	eventually(d.t, "it rings", func() bool {
		for _, m := range d.to(number) {
			if m.Channel == channels.Voice && m.Status == "ringing" {
				id = m.ID
			}
		}
		return id != ""
	})
	return id
}

// desk: what staff have to do in an afternoon.
func (d *day) afternoon() {
	d.clock(0, "15:00")
	people := d.some(dayWith(d.people, (*dayPatient).plainPart), 16)
	for i, p := range people {
		path := "/v1/patients/" + p.ref
		waits := dayMessageFor(p, "follow_up")
		waits["send_at"], waits["reference"] = "2027-11-10T16:00:00-07:00", "later-"+p.ref
		id := d.asks(waits)[0]
		switch i % 8 {
		case 0:
			d.remembers(p)
			d.staff(d.privacy, "DELETE", path, map[string]any{"reason": "request"})
		case 1:
			p.deceased = true
			d.staff(d.desk, "PUT", path, p.record())
		case 2:
			d.staff(d.desk, "DELETE", "/v1/messages?reference=later-"+p.ref, nil)
		case 3:
			d.staff(d.desk, "DELETE", "/v1/messages/"+id, nil)
		case 4:
			d.staff(d.desk, "PATCH", "/v1/messages/"+id, map[string]any{"send_at": "2027-11-10T16:30:00-07:00"})
		case 5: // the number of somebody who once wrote STOP to us
			p.phones[0].number = d.numbers[i/8]
			d.staff(d.desk, "PUT", path, p.record())
		case 6:
			d.staff(d.privacy, "POST", path+"/restrictions", map[string]any{"category": "follow_up"})
		case 7:
			d.staff(d.desk, "POST", path+"/preferences", map[string]any{"source": "staff", "care_channels": map[string]any{"order": []string{}, "declined": []string{"sms", "voice"}}})
			m := dayMessageFor(p, "follow_up", "sms")
			m["override"] = map[string]any{"reason": "Asked for it at the desk."}
			d.asks(m)
		}
	}
	d.quiet()
	d.clock(0, "16:00")
	d.quiet()
	d.clock(0, "16:30")
	d.lifts()
	d.toAll(d.some(d.people, 40), "marketing", "sms")
	d.toAll(d.some(d.people, 40), "symptom_check_in")
	d.quiet()
}

// remembers keeps what can be read of a patient only before the erasure.
func (d *day) remembers(p *dayPatient) {
	d.early[p.ref] = d.ledger(p.ref)
	for _, m := range d.all("/v1/patients/"+p.ref+"/messages?", "messages") {
		if id, _ := m["id"].(string); d.asked[id] == nil {
			d.asked[id] = &dayMessage{}
			d.asked[id].Patient = p.ref
		}
	}
}

// lifts: some agreed at the desk to get texts again, after they had stopped them.
func (d *day) lifts() {
	for _, p := range dayWith(d.people, (*dayPatient).plainPart) {
		stops := d.staff(d.desk, "GET", "/v1/stops?number="+url.QueryEscape(p.phone()), nil)["stops"].([]any)
		if p.n%4 != 0 || len(stops) == 0 || stops[0].(map[string]any)["program"] != "care" {
			continue
		}
		d.staff(d.desk, "POST", "/v1/stops/lift", map[string]any{
			"number": p.phone(), "program": "care", "evidence": map[string]string{"form": "signed at the desk"}, "consented_on": "2027-11-10T16:15:00-07:00",
		})
	}
}

// night: what is not urgent waits for the morning; what is goes.
func (d *day) night() {
	d.clock(0, "22:15")
	d.toAll(d.some(d.people, 40), "follow_up", "sms", "voice")
	d.toAll(d.some(d.people, 40), "marketing", "sms", "voice")
	for _, p := range d.some(d.people, 10) {
		m := dayMessageFor(p, "appointment_change")
		m["urgent"] = true
		d.asks(m)
	}
	d.quiet()
}

// days goes on until nothing waits any more: the holiday, and the days after it.
func (d *day) days() {
	for range 60 {
		d.quiet()
		db, _ := d.server.db.SQL()
		var next *int64
		if err := db.QueryRow("SELECT min(CASE status WHEN 0 THEN due_at ELSE ask_at END) FROM messages WHERE status = 0 OR status = 3 AND ask_at > 0").Scan(&next); err != nil {
			d.t.Fatal(err)
		}
		if next == nil {
			return
		}
		d.moveTo(time.UnixMicro(*next).Add(time.Minute))
	}
	d.t.Fatal("after sixty steps of the clock, messages wait still")
}
