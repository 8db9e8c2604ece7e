package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/api"
)

// The people of the doctored books: one patient, with a mobile phone and a mailbox.
const (
	doctoredPhone = "+13035551001"
	doctoredOther = "+13035551002"
	doctoredMail  = "p@patients.example"
)

// doctored is an honest book with one message of each kind, all of them allowed.
type doctored struct {
	*dayBook
	noon time.Time // of a Wednesday, in Denver
}

func newDoctored(t *testing.T) *doctored {
	t.Helper()
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	d := &doctored{noon: time.Date(2027, 11, 10, 12, 0, 0, 0, denver), dayBook: &dayBook{
		practice: "Cedar Practice", discreet: "Your provider", phone: "8 8 8, 1", optOut: "8 8 8, 2", postal: "1 Main St", onCall: []string{"+13035559999"}, mercy: 5 * time.Second,
		senders:  map[string][]string{"care": {"+18880001", "care@x"}, "marketing": {"+18880004", "news@x"}, "check_in": {"+18880002", "check@x"}},
		messages: map[string]*dayMessage{}, tries: map[string]string{}, ledgers: map[string][]api.LedgerOut{}, addresses: map[string][]api.LedgerOut{},
		tasks: map[string]bool{}, takenBack: map[string]bool{},
	}}
	d.says(-10*time.Hour, "contact_set", api.LedgerEventOut{Contact: &api.ContactOut{BirthDate: "1980-04-02", TimeZones: []string{"America/Denver"}, Addresses: []api.ContactAddressOut{
		{Kind: "phone", Value: doctoredPhone, LineType: "mobile"}, {Kind: "phone", Value: doctoredOther, LineType: "mobile"}, {Kind: "email", Value: doctoredMail},
	}}})
	for _, c := range []string{"sms", "voice"} {
		d.says(-9*time.Hour, "choice_made", api.LedgerEventOut{Choice: &api.ChoiceOut{Topic: "marketing", Channel: c, Choice: "opt_in", Consent: "written", SaidAt: d.noon.Add(-9 * time.Hour)}})
	}
	d.sends("1", "appointment_reminder", channels.SMS, "Cedar Practice: Appointment at 12:30.\nReply C to confirm.\nReply STOP to stop.")
	d.sends("2", "marketing", channels.SMS, "Cedar Practice: A talk\nCome\nReply STOP to stop.")
	d.sends("3", "follow_up", channels.Voice, "Hello, this is Cedar Practice. To stop these calls and texts, press 9.\nYour letter is ready.\nOur phone number is 8 8 8, 1.")
	d.sends("4", "marketing", channels.Email, "Come\nThis is an advertisement.\n1 Main St\nhttp://x/p/1 http://x/u/1")
	d.sends("5", "treatment_update", channels.Email, "Your provider has a message for you: http://x/m/1 http://x/p/1")
	d.messages["5"].variables = map[string]string{"text": "The new dosage is ten."}
	return d
}

// says puts a word of the patient into the ledger, so long after noon.
func (d *doctored) says(after time.Duration, kind string, e api.LedgerEventOut) {
	d.ledgers["p"] = append(d.ledgers["p"], api.LedgerOut{Kind: kind, At: d.noon.Add(after), Event: e})
}

// binds puts a word of a number or mailbox into the ledger.
func (d *doctored) binds(after time.Duration, kind, address, source string, programs ...string) {
	at := d.noon.Add(after)
	d.addresses[address] = append(d.addresses[address], api.LedgerOut{Kind: kind, At: at, SaidAt: &at, Source: source, Event: api.LedgerEventOut{Number: address, Programs: programs}, Evidence: map[string]string{"to": "+18880001"}})
}

// sends lets a message be asked for, and seen by the provider at noon.
func (d *doctored) sends(id, category string, channel channels.Channel, body string) *daySeen {
	c := dayCategories[category]
	m := &dayMessage{MessageFull: api.MessageFull{
		ID: id, Patient: "p", Category: category, Template: category, Status: "delivered",
		Decision: &api.DecisionOut{Outcome: "send", Reason: "May go.", At: d.noon}, Events: []api.HeardOut{{Kind: "delivered"}},
	}}
	s := daySeen{Message: sandboxMessage{Channel: channel, From: "+18880001", To: doctoredPhone, Body: body, Status: "delivered", Created: d.noon, Callback: "http://x/status?attempt=" + id}}
	if len(d.senders[c.program]) > 0 {
		s.From = d.senders[c.program][0]
	}
	switch channel {
	case channels.Voice:
		s.Status, s.AnsweredBy, s.Sent = "completed", "human", d.noon
	case channels.Email:
		s.Callback, s.To, s.From, s.Args, s.HTML = "", doctoredMail, d.senders[c.program][1], map[string]string{"attempt": id}, body
		if !c.essential {
			s.Headers = map[string]string{"List-Unsubscribe": "<http://x/u/1>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
		}
	}
	d.messages[id], d.tries[id] = m, id
	d.provider = append(d.provider, s)
	return &d.provider[len(d.provider)-1]
}

// answers lets an answer go out at noon.
func (d *doctored) answers(template, body string) *daySeen {
	s := d.sends("9", "", channels.SMS, body)
	d.messages["9"].Template = template
	s.From = "+18880001"
	return s
}

func (d *doctored) confidential(after time.Duration, discreet bool, only ...api.WayIn) {
	d.says(after, "confidential_set", api.LedgerEventOut{Confidential: &api.ConfidentialOut{Only: only, Discreet: discreet}})
}

func (d *doctored) chooses(after time.Duration, topic, channel, choice string) {
	d.says(after, "choice_made", api.LedgerEventOut{Choice: &api.ChoiceOut{Topic: topic, Channel: channel, Choice: choice, SaidAt: d.noon.Add(after)}})
}

// A checker that cannot fail proves nothing: each record that breaks a rule is found,
// and an honest one is not.
func TestTheCheckerOfTheDay(t *testing.T) {
	const reminder, advert, call, mail, secure = 0, 1, 2, 3, 4
	onlyMail := api.WayIn{Channel: "email", Address: doctoredMail}
	for name, c := range map[string]struct {
		doctor func(d *doctored)
		want   string // of the complaint; "": none
	}{
		"an honest day":     {func(*doctored) {}, ""},
		"a text after STOP": {func(d *doctored) { d.binds(-time.Minute, "stopped", doctoredPhone, "sms", "care", "marketing") }, "stopped: care at this number"},
		"a call after STOP": {func(d *doctored) {
			d.provider = d.provider[2:3]
			d.binds(-time.Minute, "stopped", doctoredPhone, "sms", "care")
		}, "voice to " + doctoredPhone},
		"a STOP while the call was up": {func(d *doctored) { d.binds(-3*time.Second, "stopped", doctoredPhone, "sms", "care") }, ""},
		"a text after START": {func(d *doctored) {
			d.binds(-time.Hour, "stopped", doctoredPhone, "sms", "care")
			d.binds(-time.Minute, "started", doctoredPhone, "sms", "care")
		}, ""},
		"START at the same instant": {func(d *doctored) {
			d.binds(-time.Minute, "stopped", doctoredPhone, "sms", "care")
			d.binds(-time.Minute, "started", doctoredPhone, "sms", "care")
		}, "stopped: care"},
		"START of another program": {func(d *doctored) {
			d.binds(-time.Hour, "stopped", doctoredPhone, "sms", "marketing")
			d.binds(-time.Minute, "started", doctoredPhone, "sms", "care")
		}, "stopped: marketing"},
		"marketing to the other number":  {func(d *doctored) { d.binds(-time.Minute, "stopped", doctoredOther, "sms", "marketing") }, "another number"},
		"marketing after a page's stop":  {func(d *doctored) { d.chooses(-time.Minute, "non_essential", "all", "opt_out") }, "opted out"},
		"marketing mail after one click": {func(d *doctored) { d.chooses(-time.Minute, "marketing", "email", "opt_out") }, "email to " + doctoredMail},
		"mail after a spam report":       {func(d *doctored) { d.binds(-time.Minute, "spam_reported", doctoredMail, "provider") }, "opted out"},
		"no to another channel": {func(d *doctored) {
			d.provider = d.provider[advert : advert+1]
			d.chooses(-time.Minute, "marketing", "email", "opt_out")
		}, ""},
		"a weaker yes, later": {func(d *doctored) { d.chooses(-time.Minute, "marketing", "sms", "opt_in") }, "consent: written"},
		"no signature": {func(d *doctored) {
			d.ledgers["p"] = d.ledgers["p"][:1]
		}, "consent: written"},
		"a call, mail alone agreed": {func(d *doctored) { d.provider = d.provider[2:]; d.confidential(-time.Minute, false, onlyMail) }, "voice to " + doctoredPhone},
		"letters only":              {func(d *doctored) { d.confidential(-time.Minute, false) }, "email to " + doctoredMail},
		"the practice is named": {func(d *doctored) {
			d.confidential(-time.Minute, true, api.WayIn{Channel: "sms", Address: doctoredPhone})
		}, "discreet: it names the practice"},
		"marketing at ten at night": {func(d *doctored) { d.provider[advert].Created = d.noon.Add(10 * time.Hour) }, "quiet hours"},
		"marketing at six":          {func(d *doctored) { d.provider[advert].Created = d.noon.Add(6 * time.Hour) }, "quiet hours"},
		"marketing on a holiday":    {func(d *doctored) { d.provider[advert].Created = d.noon.Add(24 * time.Hour) }, "quiet hours"},
		"a reminder on a holiday":   {func(d *doctored) { d.provider[reminder].Created = d.noon.Add(24 * time.Hour) }, ""},
		"a reminder at night":       {func(d *doctored) { d.provider[reminder].Created = d.noon.Add(-5 * time.Hour) }, "quiet hours"},
		"an urgent one at night": {func(d *doctored) {
			d.provider[reminder].Created = d.noon.Add(-5 * time.Hour)
			d.messages["1"].urgent = true
		}, ""},
		"night where the number is": {func(d *doctored) { d.moves("+18085551001"); d.provider[reminder].Created = d.noon.Add(-2 * time.Hour) }, "Pacific/Honolulu"},
		"a third text in a day":     {func(d *doctored) { d.again(2); d.sends("8", "follow_up", channels.SMS, d.provider[reminder].Body) }, "cap: "},
		"a change is not counted":   {func(d *doctored) { d.sends("8", "appointment_change", channels.SMS, d.provider[reminder].Body) }, ""},
		"the same try twice":        {func(d *doctored) { d.provider = append(d.provider, d.provider[secure]) }, "twice: the same try"},
		"delivered, and once more": {func(d *doctored) {
			d.tries["7"] = "5"
			d.provider = append(d.provider, d.provider[secure])
			d.provider[5].Args = map[string]string{"attempt": "7"}
		}, "twice: the message had been taken"},
		"failed, and once more": {func(d *doctored) {
			d.tries["7"] = "5"
			d.provider = append(d.provider, d.provider[secure])
			d.provider[4].Status = "bounce"
			d.provider[5].Args = map[string]string{"attempt": "7"}
		}, ""},
		"nobody asked":            {func(d *doctored) { delete(d.tries, "1") }, "nobody asked"},
		"after it was taken back": {func(d *doctored) { d.messages["1"].Status = "canceled" }, "canceled"},
		"after the appointment":   {func(d *doctored) { d.messages["1"].ExpiresAt = &d.noon }, "late"},
		"a minor":                 {func(d *doctored) { d.ledgers["p"][0].Event.Contact.BirthDate = "2009-11-11" }, "minor"},
		"eighteen today":          {func(d *doctored) { d.ledgers["p"][0].Event.Contact.BirthDate = "2009-11-10" }, ""},
		"the deceased":            {func(d *doctored) { d.ledgers["p"][0].Event.Contact.Deceased = true }, "deceased"},
		"the erased":              {func(d *doctored) { d.says(-time.Minute, "patient_erased", api.LedgerEventOut{}) }, "erased"},
		"somebody else's number": {func(d *doctored) {
			d.says(-time.Minute, "address_wrong_person", api.LedgerEventOut{Address: doctoredPhone})
		}, "wrong person"},
		"a bounced mailbox": {func(d *doctored) { d.says(-time.Minute, "address_bad", api.LedgerEventOut{Address: doctoredMail}) }, "bad"},
		"a text to a landline": {func(d *doctored) {
			d.says(-time.Minute, "address_not_textable", api.LedgerEventOut{Address: doctoredPhone})
		}, "landline"},
		"a stranger's number":   {func(d *doctored) { d.provider[reminder].To = "+13035557777" }, "address: not one"},
		"a channel not offered": {func(d *doctored) { d.messages["1"].channels = []string{"email"} }, "channel: not offered"},
		"declined for care": {func(d *doctored) {
			d.says(-time.Minute, "care_channels_set", api.LedgerEventOut{CareChannels: &api.CareIn{Declined: []string{"sms"}}})
		}, "declined"},
		"a restriction": {func(d *doctored) {
			d.says(-time.Minute, "restriction_agreed", api.LedgerEventOut{Restriction: &api.RestrictionOut{ID: "1", Purpose: "treatment"}})
		}, "restricted"},
		"no authorization":           {func(d *doctored) { d.sends("8", "sponsored_marketing", channels.Email, d.provider[mail].Body) }, "authorization"},
		"another program's sender":   {func(d *doctored) { d.provider[reminder].From = "+18880004" }, "sender"},
		"clinical words by mail":     {func(d *doctored) { d.provider[secure].Body += d.messages["5"].variables["text"] }, "content: this provider"},
		"clinical words in the HTML": {func(d *doctored) { d.provider[secure].HTML += d.messages["5"].variables["text"] }, "content: this provider"},
		"an appointment by mail": {func(d *doctored) {
			d.sends("8", "appointment_reminder", channels.Email, "Your appointment: http://x/m/1 http://x/p/1")
		}, "content: this provider"},
		"clinical words by text": {func(d *doctored) {
			d.sends("8", "treatment_update", channels.SMS, "Cedar Practice: Ten.\nReply STOP to stop.")
		}, "content: clinical words in"},
		"clinical words, as wished": {func(d *doctored) {
			d.says(-time.Minute, "unencrypted_set", api.LedgerEventOut{UnencryptedOK: new(bool)})
			*d.ledgers["p"][3].Event.UnencryptedOK = true
			d.provider = d.provider[1:]
			d.sends("8", "treatment_update", channels.SMS, "Cedar Practice: Ten.\nReply STOP to stop.")
		}, ""},
		"the specialty in a text":  {func(d *doctored) { d.provider[advert].Body = "Cedar Practice: Therapy\nReply STOP to stop." }, "names what the practice treats"},
		"no name in a text":        {func(d *doctored) { d.provider[reminder].Body = "Appointment at 12:30. Reply STOP to stop." }, "identity: a text"},
		"no way out of a text":     {func(d *doctored) { d.provider[reminder].Body = "Cedar Practice: Appointment at 12:30." }, "way out: the text"},
		"a text that invites YES":  {func(d *doctored) { d.provider[reminder].Body += " Reply YES to confirm." }, "way out: it invites"},
		"no name in a call":        {func(d *doctored) { d.provider[call].Body = "Hello. Press 9.\nOur phone number is 8 8 8, 1." }, "identity: the call"},
		"no key in a call":         {func(d *doctored) { d.provider[call].Body = "This is Cedar Practice.\nOur phone number is 8 8 8, 1." }, "way out: the key"},
		"the message on a machine": {func(d *doctored) { d.provider[call].AnsweredBy = "machine_end_beep" }, "left on a machine"},
		"a STOP while it rang": {func(d *doctored) {
			d.provider = d.provider[call : call+1]
			d.provider[0].Sent = d.noon.Add(20 * time.Second)
			d.binds(10*time.Second, "stopped", doctoredPhone, "sms", "care")
		}, "said although it rang"},
		"no unsubscribe":           {func(d *doctored) { d.provider[mail].Headers = nil }, "way out: a mail"},
		"an essential unsubscribe": {func(d *doctored) { d.provider[secure].Headers = d.provider[mail].Headers }, "way out: an essential"},
		"no postal address":        {func(d *doctored) { d.provider[mail].Body = strings.ReplaceAll(d.provider[mail].Body, "1 Main St", "") }, "postal address"},
		"an advertisement in secret": {func(d *doctored) {
			d.provider[mail].Body = strings.ReplaceAll(d.provider[mail].Body, "advertisement", "letter")
		}, "does not say so"},
		"the patient's id rides along": {func(d *doctored) { d.provider[mail].Args["patient"] = "MRN-1" }, "tags"},
		"what was refused counts, too": {func(d *doctored) {
			d.provider[reminder].refused = true
			d.binds(-time.Minute, "stopped", doctoredPhone, "sms", "care")
		}, "stopped: care"},
		"an answer to nothing": {func(d *doctored) { d.answers("stop_confirmation", "Your provider: You are opted out.") }, "answer: nothing was said"},
		"an answer": {func(d *doctored) {
			d.provider = nil
			d.binds(-time.Minute, "received", doctoredPhone, "sms")
			d.answers("help", "Your provider: call")
		}, ""},
		"an answer after six minutes": {func(d *doctored) {
			d.provider = nil
			d.binds(-6*time.Minute, "received", doctoredPhone, "sms")
			d.answers("help", "Your provider: call")
		}, "answer: nothing was said"},
		"an answer that names": {func(d *doctored) {
			d.provider = nil
			d.binds(-time.Minute, "received", doctoredPhone, "sms")
			d.answers("help", "Cedar Practice: call")
		}, "discreet: an answer"},
		"a second confirmation": {func(d *doctored) {
			d.provider = nil
			d.binds(-time.Minute, "received", doctoredPhone, "sms")
			d.binds(-time.Minute, "stopped", doctoredPhone, "sms", "care")
			d.answers("stop_confirmation", "Out.")
			d.provider = append(d.provider, d.provider[0])
		}, "given once before"},
		"thanks after STOP": {func(d *doctored) {
			d.provider = nil
			d.binds(-2*time.Minute, "stopped", doctoredPhone, "sms", "care")
			d.binds(-time.Minute, "received", doctoredPhone, "sms")
			d.answers("confirm_received", "Thank you.")
		}, "thanks to a number"},
		"an alert to anybody": {func(d *doctored) { d.provider = nil; d.answers("staff_alert", "Your provider: a task") }, "answer: an alert"},
		"a code to a closed mailbox": {func(d *doctored) {
			d.provider = nil
			d.answers("page_code", "Your provider: Your code is 123456.")
			d.confidential(-time.Minute, false, onlyMail)
		}, "confidential: a code"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoctored(t)
			c.doctor(d)
			found := d.check()
			hit := slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) })
			if c.want == "" && len(found) > 0 || c.want != "" && !hit {
				t.Errorf("wanted %q, found %d:\n%s", c.want, len(found), strings.Join(found, "\n"))
			}
		})
	}
}

// The same of the ends of messages.
func TestTheOutcomesOfTheDay(t *testing.T) {
	ends := func(d *doctored, id, status, code string) *dayMessage {
		m := d.messages[id]
		m.Status, m.Code, m.Decision = status, code, &api.DecisionOut{Outcome: "suppress", Reason: "No.", At: d.noon}
		d.provider = slices.DeleteFunc(d.provider, func(s daySeen) bool { return d.tries[dayTry(&s.Message)] == id })
		return m
	}
	for name, c := range map[string]struct {
		doctor func(d *doctored)
		want   string
	}{
		"an honest day":             {func(*doctored) {}, ""},
		"still waiting":             {func(d *doctored) { d.messages["1"].Status = "scheduled" }, "no outcome"},
		"nobody knows":              {func(d *doctored) { d.messages["1"].Status = "sent" }, "nobody knows"},
		"no decision":               {func(d *doctored) { d.messages["1"].Decision = nil }, "no decision"},
		"not delivered":             {func(d *doctored) { d.provider[0].Status = "undelivered" }, "did not deliver"},
		"an unanswered call":        {func(d *doctored) { d.provider[2].Status, d.provider[2].Body = "no-answer", "" }, "did not deliver"},
		"no reason":                 {func(d *doctored) { ends(d, "4", "suppressed", "") }, "no reason"},
		"suppressed, and delivered": {func(d *doctored) { d.messages["4"].Status, d.messages["4"].Code = "suppressed", "opted_out" }, "all the same"},
		"an essential one vanished": {func(d *doctored) { ends(d, "1", "expired", "too_late") }, "vanished"},
		"nobody's task":             {func(d *doctored) { ends(d, "1", "needs_staff", "too_late") }, "no person"},
		"a task":                    {func(d *doctored) { ends(d, "1", "needs_staff", "too_late"); d.tasks["1"] = true }, ""},
		"taken back by nobody":      {func(d *doctored) { ends(d, "1", "canceled", "") }, "nobody is on record"},
		"held back for nothing":     {func(d *doctored) { ends(d, "4", "suppressed", "opted_out") }, "nothing speaks against email"},
		"held back for a reason": {func(d *doctored) {
			ends(d, "4", "suppressed", "opted_out")
			d.chooses(-time.Minute, "marketing", "all", "opt_out")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoctored(t)
			c.doctor(d)
			found := d.outcomes()
			hit := slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) })
			if c.want == "" && len(found) > 0 || c.want != "" && !hit {
				t.Errorf("wanted %q, found %d:\n%s", c.want, len(found), strings.Join(found, "\n"))
			}
		})
	}
}

// moves gives the patient another phone in place of the first.
func (d *doctored) moves(number string) {
	d.ledgers["p"][0].Event.Contact.Addresses[0].Value = number
	for i := range d.provider {
		if d.provider[i].To == doctoredPhone {
			d.provider[i].To = number
		}
	}
}

// again adds so many texts of the care program that were taken a minute before.
func (d *doctored) again(n int) {
	for i := range n {
		s := d.sends(fmt.Sprintf("2%d", i), "follow_up", channels.SMS, d.provider[0].Body)
		s.Created = d.noon.Add(-time.Minute)
	}
}
