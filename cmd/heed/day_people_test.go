package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// dayPatient is one of the people of the day, as staff put them on file.
type dayPatient struct {
	n            int
	ref          string
	born, locale string
	zone, state  string
	phones       []dayPhone
	mailbox      string
	deceased     bool
	choices      []map[string]any
	declined     []string
	order        []string
	plain        bool // was warned, and prefers plain texts
	restrict     string
	sponsored    bool             // signed an authorization
	only         []map[string]any // a confidential instruction, from the beginning
	private      bool
	discreet     bool
}

type dayPhone struct{ number, line, consent string }

func (p *dayPatient) phone() string {
	if len(p.phones) == 0 {
		return ""
	}
	return p.phones[0].number
}

// dayPlaces are where people live and what their phones begin with. Some have a phone
// from elsewhere.
var dayPlaces = []struct{ zone, area string }{
	{"America/Denver", "303"}, {"America/Denver", "303"}, {"America/Denver", "303"}, {"America/New_York", "212"}, {"America/Los_Angeles", "415"},
	{"Pacific/Honolulu", "808"}, {"America/Phoenix", "602"}, {"America/Chicago", "312"}, {"America/Anchorage", "907"},
	{"America/Denver", "212"}, {"America/New_York", "415"}, {"", "303"},
}

// dayPeople makes the people: most are plain, and each part falls to some of them.
func dayPeople(rng *rand.Rand, count int) []*dayPatient {
	var people []*dayPatient
	for n := range count {
		place := dayPlaces[rng.IntN(len(dayPlaces))]
		p := &dayPatient{n: n, ref: fmt.Sprintf("MRN-%04d", n), born: fmt.Sprintf("%d-%02d-%02d", 1940+rng.IntN(65), 1+rng.IntN(12), 1+rng.IntN(28)), locale: "en", zone: place.zone}
		if place.zone == "" {
			p.state = "CO"
		}
		if rng.IntN(4) == 0 {
			p.locale = "es"
		}
		p.phones = []dayPhone{{number: fmt.Sprintf("+1%s555%04d", place.area, 2000+n), line: "mobile"}}
		p.mailbox = fmt.Sprintf("patient-%d@patients.example", n)
		people = append(people, p)
	}
	order := rng.Perm(count)
	for _, part := range dayParts() {
		size := (part.of*count + 100) / 200
		for k, n := range order[:min(size, len(order))] {
			part.play(people[n], k)
		}
		order = order[min(size, len(order)):]
	}
	dayWishes(rng, people)
	return people
}

// dayPart is what falls to so many of 200 people.
type dayPart struct {
	of   int
	play func(p *dayPatient, k int)
}

// dayParts are the parts that exclude each other.
func dayParts() []dayPart {
	var list []dayPart
	for suffix := 10; suffix <= 26; suffix++ { // each phone that fails on demand
		list = append(list, dayPart{1, func(p *dayPatient, _ int) { p.phones[0].number = p.phones[0].number[:8] + fmt.Sprintf("%04d", suffix) }})
	}
	for _, name := range []string{"bounce", "blocked", "suppressed", "unsubscribed", "spam", "error500", "429", "drop", "lose", "hang"} {
		list = append(list, dayPart{1, func(p *dayPatient, _ int) {
			p.mailbox = fmt.Sprintf("%s+%d@patients.example", name, p.n)
			p.order = []string{"email"}
		}})
	}
	return append(list,
		dayPart{3, func(p *dayPatient, _ int) { p.born = "2010-01-15" }},
		dayPart{2, func(p *dayPatient, _ int) { p.deceased = true }},
		dayPart{3, func(p *dayPatient, _ int) { p.phones, p.mailbox = nil, "" }},
		dayPart{12, func(p *dayPatient, _ int) { p.phones[0].line = "landline" }},
		dayPart{8, func(p *dayPatient, _ int) { p.phones[0].line, p.mailbox = "landline", "" }},
		dayPart{8, func(p *dayPatient, _ int) { p.phones = nil }},
		dayPart{10, func(p *dayPatient, _ int) { p.mailbox = "" }},
		dayPart{8, func(p *dayPatient, _ int) {
			p.phones = append(p.phones, dayPhone{number: p.phones[0].number[:7] + fmt.Sprintf("7%04d", p.n), line: "mobile"})
		}},
		dayPart{8, func(p *dayPatient, k int) { // four households, each with one phone
			p.phones[0].number, p.mailbox = fmt.Sprintf("+13035558%03d", k/2), fmt.Sprintf("household-%d@patients.example", k/2)
		}},
		dayPart{12, func(p *dayPatient, _ int) { p.order = []string{"voice", "sms", "email"} }},
		dayPart{5, func(p *dayPatient, _ int) { p.declined = []string{"sms"} }},
		dayPart{3, func(p *dayPatient, _ int) { p.restrict = "marketing" }},
		dayPart{2, func(p *dayPatient, _ int) { p.restrict = "treatment" }},
		dayPart{3, func(p *dayPatient, _ int) {
			p.private, p.only = true, []map[string]any{{"channel": "email", "address": p.mailbox}}
		}},
		dayPart{3, func(p *dayPatient, _ int) {
			p.private, p.discreet, p.only = true, true, []map[string]any{{"channel": "sms", "address": p.phone()}}
		}},
		dayPart{2, func(p *dayPatient, k int) { // a phone that is not on the record
			p.private, p.discreet, p.only = true, true, []map[string]any{{"channel": "voice", "address": fmt.Sprintf("+130355596%02d", k)}}
		}},
		dayPart{2, func(p *dayPatient, _ int) { p.private, p.only = true, []map[string]any{} }}, // letters only
	)
}

// dayWishes are what people said before the day, whatever their part.
func dayWishes(rng *rand.Rand, people []*dayPatient) {
	choice := func(p *dayPatient, topic, channel, choice, consent string) {
		c := map[string]any{"topic": topic, "channel": channel, "choice": choice}
		if consent != "" {
			c["consent"] = consent
		}
		p.choices = append(p.choices, c)
	}
	for _, p := range people {
		for k := range p.phones {
			p.phones[k].consent = []string{"", "provided", "express"}[rng.IntN(3)]
		}
		switch rng.IntN(6) {
		case 0, 1:
			choice(p, "marketing", "sms", "opt_in", "written")
		case 2:
			choice(p, "marketing", "all", "opt_in", "written")
		case 3:
			choice(p, "marketing", "email", "opt_out", "")
		}
		switch rng.IntN(8) {
		case 0:
			choice(p, "non_essential", "sms", "opt_out", "")
		case 1:
			choice(p, "survey", "all", "opt_out", "")
		case 2:
			choice(p, "symptom_check_in", "sms", "opt_in", "express")
		}
		p.plain = rng.IntN(5) == 0
		p.sponsored = rng.IntN(6) == 0
		if p.sponsored {
			choice(p, "sponsored_marketing", "email", "opt_in", "written")
		}
	}
}

// record is the body that puts the patient on file.
func (p *dayPatient) record() map[string]any {
	addresses := []map[string]any{}
	for _, phone := range p.phones {
		a := map[string]any{"kind": "phone", "value": phone.number, "line_type": phone.line}
		if phone.consent != "" {
			a["consent"] = phone.consent
		}
		addresses = append(addresses, a)
	}
	if p.mailbox != "" {
		addresses = append(addresses, map[string]any{"kind": "email", "value": p.mailbox})
	}
	body := map[string]any{
		"given_name": "Xiomara", "family_name": "Okonkwo", "birth_date": p.born, "locale": p.locale, "deceased": p.deceased, "addresses": addresses,
	}
	if p.zone != "" {
		body["time_zone"] = p.zone
	} else {
		body["state"] = p.state
	}
	return body
}

// dayTexts are what people text back to a reminder, and what is then said of the
// number in the ledger.
var dayTexts = []string{
	"C", "STOP", "R", "running ten minutes late", "Stop, please", "Yes!", "please stop texting me", "HELP", "CANCEL", "wrong number", "sí", "STOPALL",
	"I want to end it all", "PARAR", "gracias, nos vemos", "ALTO", "reprogramar", "stop. I want to die", "ya no me manden mensajes", "info", "confirm", "S.T.O.P",
}

// with picks the people whom something is true of.
func dayWith(people []*dayPatient, is func(p *dayPatient) bool) []*dayPatient {
	return slices.DeleteFunc(slices.Clone(people), func(p *dayPatient) bool { return !is(p) })
}

// called: reminders come by call, because of the phone, or as the patient likes it.
func (p *dayPatient) called() bool {
	return len(p.phones) > 0 && (p.phones[0].line == "landline" || slices.Contains(p.order, "voice"))
}

func (p *dayPatient) plainPart() bool {
	return len(p.phones) == 1 && p.phones[0].line == "mobile" && strings.HasPrefix(p.mailbox, "patient-") && !p.private && !p.deceased && p.restrict == "" &&
		p.born < "2009" && len(p.order) == 0 && len(p.declined) == 0 && p.phones[0].number[8] == '2'
}
