package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sandbox"
)

// The scenes of the day, in order. Each begins with the clock, and ends when nothing
// is under way any more.

// message is what staff ask for; the words tell of the practice, so that whoever may
// not hear its name would.
func dayMessageFor(p *dayPatient, category string, channel ...string) map[string]any {
	variables := map[string]string{}
	switch category {
	case "appointment_reminder", "appointment_change":
		variables["appointment_time"] = "2027-11-12T14:30:00-07:00"
		variables["location"] = "Sandbox Practice, Suite 4"
		variables["clinician"] = "Dr. Quixada"
	case "follow_up":
		variables["text"] = "Your letter from Sandbox Practice is ready."
	case "treatment_update":
		variables["text"] = "Your new dosage is forty milligrams."
	case "legal_notice":
		variables["title"], variables["text"] = "Our privacy notice", "It has changed in one paragraph."
	case "billing_notice":
		variables["text"] = "Invoice 4711."
	case "survey":
		variables["url"] = "https://survey.example/q"
	case "newsletter", "marketing", "sponsored_marketing":
		variables["title"], variables["text"] = "An open evening", "Come and see the new rooms."
	}
	m := map[string]any{"patient": p.ref, "category": category, "template": category, "variables": variables}
	if len(channel) > 0 {
		m["channels"] = channel
	}
	return m
}

func (d *day) toAll(people []*dayPatient, category string, channel ...string) []string {
	if len(people) == 0 {
		return nil
	}
	var list []map[string]any
	for _, p := range people {
		list = append(list, dayMessageFor(p, category, channel...))
	}
	return d.asks(list...)
}

// some draws so many of 200 people.
func (d *day) some(people []*dayPatient, of int) []*dayPatient {
	n := min(len(people), max(1, of*len(d.people)/200))
	var list []*dayPatient
	for _, i := range d.rng.Perm(len(people))[:n] {
		list = append(list, people[i])
	}
	return list
}

// dawn: the front desk puts everybody on file and plans the day's reminders. It is
// day in New York, and night in the west.
func (d *day) dawn() {
	d.clock(0, "06:30")
	d.texting(d.numbers[0], channels.Marketing, "STOP") // nobody has this number yet
	for _, p := range d.people {
		d.enrols(p)
	}
	d.quiet()
	var reminders []map[string]any
	for _, p := range d.people {
		m := dayMessageFor(p, "appointment_reminder")
		m["send_at"], m["reference"] = "2027-11-10T09:00:00-07:00", fmt.Sprintf("visit-%d", p.n)
		reminders = append(reminders, m)
	}
	d.asks(reminders...)
	d.toAll(d.some(d.people, 30), "follow_up")
	for _, p := range d.some(dayWith(d.people, (*dayPatient).plainPart), 6) {
		m := dayMessageFor(p, "appointment_change")
		m["urgent"] = true
		d.asks(m)
	}
}

func (d *day) enrols(p *dayPatient) {
	path := "/v1/patients/" + p.ref
	d.staff(d.desk, "PUT", path, p.record())
	said := map[string]any{"source": "staff", "evidence": map[string]string{"form": "intake 2027"}}
	if len(p.choices) > 0 {
		said["choices"] = p.choices
	}
	if len(p.order)+len(p.declined) > 0 {
		said["care_channels"] = map[string]any{"order": append([]string{}, p.order...), "declined": append([]string{}, p.declined...)}
	}
	if p.plain {
		said["unencrypted_ok"] = true
	}
	d.staff(d.desk, "POST", path+"/preferences", said)
	if p.private {
		d.staff(d.desk, "PUT", path+"/confidential-communication", map[string]any{"only": p.only, "discreet": p.discreet, "requested_on": "2027-01-05"})
	}
	if p.restrict != "" {
		d.staff(d.privacy, "POST", path+"/restrictions", map[string]any{"purpose": p.restrict, "note": "Agreed on the phone."})
	}
	if p.sponsored && p.n%2 == 0 {
		d.staff(d.desk, "POST", path+"/authorizations", map[string]any{"category": "sponsored_marketing", "signed_on": "2027-01-02", "expires_on": "2028-01-01", "evidence": map[string]string{"paper": "binder 3"}})
	}
}

// reminders go out; calls are taken by people who press keys, by machines, and by nobody.
func (d *day) reminders() {
	keys := []string{"1", "2", "9", "", "51", "7"}
	for i, p := range dayWith(d.people, func(p *dayPatient) bool { return p.called() || len(p.only) > 0 }) {
		number, who := p.phone(), ""
		if len(p.only) > 0 {
			number, _ = p.only[0]["address"].(string)
		}
		if dayIsPhone(number) && (len(p.phones) == 0 || number != p.phone() || number[8:] > "0100") {
			if i%4 == 3 {
				who = string(sandbox.TakesMachine)
			}
			d.sandboxDoes("phone", url.Values{"number": {number}, "who": {who}, "keys": {keys[i%len(keys)]}})
		}
	}
	d.clock(0, "09:00")
	d.quiet()
	d.clock(0, "09:02") // some carriers asked to try again later
}

// replies: whoever was reminded by text answers, everybody in another way.
func (d *day) replies() {
	d.clock(0, "09:10")
	reached := dayWith(d.people, func(p *dayPatient) bool {
		return p.plainPart() && len(d.to(p.phone())) > 0
	})
	for i, p := range d.some(reached, 66) {
		d.texting(p.phone(), channels.Care, dayTexts[i%len(dayTexts)])
		if i%33 == 1 {
			d.texting(p.phone(), channels.Care, "STOP") // once more: one confirmation for each
		}
	}
	for _, p := range d.some(dayWith(d.people, func(p *dayPatient) bool { return p.phone() != "" && p.phone()[8] == '8' }), 2) {
		d.texting(p.phone(), channels.Care, "C") // a shared phone
	}
	d.texting(d.numbers[1], channels.Billing, "STOPALL")
	d.clock(0, "09:20")
	d.toAll(reached, "follow_up") // whoever stopped is not texted
	d.quiet()
	d.clock(0, "09:30")
	for _, p := range dayWith(reached, func(p *dayPatient) bool { return p.n%3 == 0 }) {
		d.texting(p.phone(), channels.Care, "START")
	}
	d.clock(0, "09:40")
	d.toAll(reached, "appointment_change") // counts for no cap
	d.quiet()
}

// mail: the newsletter goes out, with advertisements by every channel, questions and bills.
func (d *day) mail() {
	d.clock(0, "10:05")
	d.toAll(d.people, "newsletter")
	d.toAll(d.some(d.people, 80), "marketing", "sms")
	d.toAll(d.some(d.people, 80), "marketing", "voice", "sms")
	d.toAll(d.some(d.people, 30), "treatment_update", "sms", "voice")
	d.toAll(d.some(d.people, 60), "survey")
	d.toAll(d.some(d.people, 60), "symptom_check_in")
	d.toAll(d.some(d.people, 40), "billing_notice")
	d.toAll(dayWith(d.people, func(p *dayPatient) bool { return p.sponsored }), "sponsored_marketing")
	d.toAll(d.some(d.people, 10), "legal_notice")
	d.quiet()
	d.clock(0, "10:20")
}

// scanners open every link of every mail, as mailbox providers' do. Nothing changes.
func (d *day) scanners() {
	before := d.rows("SELECT count(*) FROM ledger")
	seen := map[string]bool{}
	for _, m := range d.server.sandbox.Messages() {
		for _, link := range dayLink.FindAllString(m.Body+" "+m.HTML+" "+m.Headers["List-Unsubscribe"], -1) {
			if !m.Inbound && !seen[link] {
				seen[link] = true
				if status, page := d.reads(d.browsers, link); status != http.StatusOK && status != http.StatusNotFound {
					d.t.Errorf("a link in a mail answers %d: %s", status, page)
				}
			}
		}
	}
	if after := d.rows("SELECT count(*) FROM ledger"); after != before || len(seen) < len(d.people) {
		d.t.Errorf("after %d links were opened, the ledger has %d entries in place of %d", len(seen), after, before)
	}
}

// unsubscribes: people who got the newsletter use what it offers.
func (d *day) unsubscribes() {
	readers := dayWith(d.people, func(p *dayPatient) bool { return p.plainPart() && d.link(p.mailbox, "u") != "" })
	for i, p := range d.some(readers, 40) {
		last := d.to(p.mailbox)
		newest := last[len(last)-1].ID
		switch i % 10 {
		case 0, 1, 2:
			for _, m := range last {
				if m.Headers["List-Unsubscribe-Post"] != "" {
					newest = m.ID
				}
			}
			d.sandboxDoes("oneclick", url.Values{"id": {newest}})
		case 3:
			d.does(p, "u", url.Values{})
		case 4:
			d.does(p, "p", url.Values{"stop": {"marketing"}})
		case 5:
			d.does(p, "p", url.Values{"stop": {"non_essential"}})
		case 6:
			d.does(p, "p", url.Values{"do": {"topics"}, "was": {"survey/email", "newsletter/email"}, "on": {"newsletter/email"}})
		case 7:
			d.does(p, "p", url.Values{"do": {"care"}, "was": {"sms", "email", "voice"}, "on": {"email"}})
		case 8:
			d.sandboxDoes("event", url.Values{"id": {newest}, "event": {"spamreport"}})
		case 9:
			d.sandboxDoes("event", url.Values{"id": {newest}, "event": {"unsubscribe"}})
		}
	}
	d.forged(readers[0])
	d.bounces(d.some(readers, 4))
	d.opensMessages()
	d.quiet()
}

// forged: a form of a page that another site sends is refused.
func (d *day) forged(p *dayPatient) {
	link := d.link(p.mailbox, "p")
	if status, _ := d.presses(d.guest(link).client, link, "cross-site", url.Values{"stop": {"non_essential"}}); status != http.StatusForbidden {
		d.t.Errorf("a form from another site is answered %d", status)
	}
}

// bounces come back hours after the mail was taken.
func (d *day) bounces(people []*dayPatient) {
	before := d.rows("SELECT count(*) FROM ledger WHERE kind = 'address_bad'")
	for _, p := range people {
		list := d.to(p.mailbox)
		d.sandboxDoes("event", url.Values{"id": {list[len(list)-1].ID}, "event": {"bounce"}})
	}
	eventually(d.t, "the bounces are in the ledger", func() bool {
		return d.rows("SELECT count(*) FROM ledger WHERE kind = 'address_bad'") >= before+len(people)
	})
}

// opensMessages: some read the message behind a secure link, with their date of birth,
// and some guess.
func (d *day) opensMessages() {
	for i, p := range d.some(dayWith(d.people, func(p *dayPatient) bool { return p.plainPart() && d.link(p.mailbox, "m") != "" }), 6) {
		born, _ := time.Parse(time.DateOnly, p.born)
		form := url.Values{"month": {born.Format("1")}, "day": {born.Format("2")}, "year": {born.Format("2006")}}
		want := http.StatusOK
		if i == 0 {
			form.Set("year", "1900")
			want = http.StatusUnprocessableEntity
		}
		link := d.link(p.mailbox, "m")
		if status, page := d.presses(d.guest(link).client, link, "same-origin", form); status != want {
			d.t.Errorf("the message of %s: %d %s", p.ref, status, page)
		}
	}
}

// codes: some turn something on again, with a code that comes to the same mailbox.
func (d *day) codes() {
	d.clock(0, "10:40")
	for _, p := range d.some(dayWith(d.people, func(p *dayPatient) bool { return p.plainPart() && d.link(p.mailbox, "p") != "" }), 3) {
		link, before := d.link(p.mailbox, "p"), len(d.to(p.mailbox))
		client := d.guest(link).client
		d.presses(client, link, "same-origin", url.Values{"do": {"code"}})
		d.quiet()
		mails := d.to(p.mailbox)
		if len(mails) == before {
			continue // the address was closed meanwhile
		}
		code := digitsOf.FindString(mails[len(mails)-1].Body)
		if status, page := d.presses(client, link, "same-origin", url.Values{"do": {"prove"}, "code": {code}}); status != http.StatusOK {
			d.t.Fatalf("the code of %s: %d %s", p.ref, status, page)
		}
		d.presses(client, link, "same-origin", url.Values{"do": {"topics"}, "on": {"survey/email"}})
		if status, _ := d.reads(client, link+"?view=sent"); status != http.StatusOK {
			d.t.Errorf("what was sent to %s: %d", p.ref, status)
		}
	}
}
