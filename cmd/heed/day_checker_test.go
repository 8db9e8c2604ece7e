package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// check goes over everything that the provider saw, in order, and lists what the
// rules forbid about it.
func (b *dayBook) check() []string {
	var found []string
	b.index()
	for i := range b.provider {
		s := &b.provider[i]
		if s.Inbound {
			continue
		}
		for _, complaint := range b.judge(i) {
			found = append(found, fmt.Sprintf("%s to %s at %s (%q): %s", s.Channel, s.To, s.Created.Format(time.RFC3339), dayShort(s.Subject+s.Body), complaint))
		}
	}
	return found
}

// index finds, for each message and each patient, what the provider saw of it.
func (b *dayBook) index() {
	b.seenOf, b.seenBy = map[string][]int{}, map[string][]int{}
	for i := range b.provider {
		s := &b.provider[i]
		if id := b.tries[dayTry(&s.Message)]; !s.Inbound && b.messages[id] != nil {
			b.seenOf[id] = append(b.seenOf[id], i)
			b.seenBy[b.messages[id].Patient] = append(b.seenBy[b.messages[id].Patient], i)
		}
	}
}

func dayShort(text string) string { return text[:min(len(text), 40)] }

// judge is the whole of one request.
func (b *dayBook) judge(i int) []string {
	s := &b.provider[i]
	id := b.tries[dayTry(&s.Message)]
	m := b.messages[id]
	if m == nil {
		return []string{"nobody asked for it"}
	}
	found := b.once(i, id)
	if m.Category == "" {
		return append(found, b.answer(i, m)...)
	}
	c, ok := dayCategories[m.Category]
	if !ok {
		return append(found, "the category is none")
	}
	channel := s.Channel.String()
	found = append(found, b.forbidden(m, channel, s.To, s.Created)...)
	found = append(found, b.untimely(i, m, c)...)
	if !slices.Contains(b.senders[c.program], s.From) {
		found = append(found, "sender: it did not come from the program's own "+channel+" sender")
	}
	if m.Status == "canceled" {
		found = append(found, "canceled: it had been taken back")
	}
	return append(found, b.words(i, m, c)...)
}

// dayTry is the id of our try, as it rides in a request: nothing else of ours does.
func dayTry(m *sandboxMessage) string {
	if m.Channel == channels.Email {
		return m.Args["attempt"]
	}
	u, err := url.Parse(m.Callback)
	if err != nil {
		return ""
	}
	return u.Query().Get("attempt")
}

// once: a message is seen a second time only when the try before surely failed, or
// when it is on record that nobody knew and it was tried once more.
func (b *dayBook) once(i int, id string) []string {
	s := &b.provider[i]
	var found []string
	for _, j := range b.seenOf[id] {
		e := &b.provider[j]
		if j >= i || e.refused {
			continue
		}
		again := slices.ContainsFunc(b.messages[id].Events, func(e eventOut) bool { return e.Kind == "tried_once_more" })
		switch {
		case dayTry(&e.Message) == dayTry(&s.Message):
			found = append(found, "twice: the same try came twice")
		case !dayFailed(e) && !again:
			found = append(found, "twice: the message had been taken before, and had not failed")
		}
	}
	return found
}

// dayFailed: what was taken did not arrive, by the provider's own word; or a call
// was answered and nothing of its message was said.
func dayFailed(s *daySeen) bool {
	if slices.Contains([]string{"failed", "undelivered", "busy", "no-answer", "canceled", "bounce", "blocked", "dropped"}, s.Status) {
		return true
	}
	return s.Channel == channels.Voice && s.Status == "completed" && (s.Body == "" || dayWithheld(s.Body))
}

// dayWithheld: a call that may not say its message any more says who called.
func dayWithheld(body string) bool {
	return body == "This is Your provider. Goodbye." || body == "Le llamó Your provider. Adiós."
}

// forbidden is what the ledger has against a message, at one instant. A call to the
// provider that was under way when the word came may still arrive, for a lease at the
// most: it is forbidden only when it was so all that time.
func (b *dayBook) forbidden(m *dayMessage, channel, to string, at time.Time) []string {
	found := b.objections(m, channel, to, at)
	for _, before := range b.instants(m.Patient, to, at) {
		if len(found) == 0 || len(b.objections(m, channel, to, before)) == 0 {
			return nil
		}
	}
	return found
}

// instants are those of the last seconds at which something changed for a message.
func (b *dayBook) instants(patient, to string, at time.Time) []time.Time {
	list := []time.Time{at.Add(-b.mercy)}
	subjects := []string{to}
	for address := range b.person(patient, at).places {
		subjects = append(subjects, address)
	}
	events := slices.Clone(b.ledgers[patient])
	for _, address := range subjects {
		events = append(events, b.addresses[address]...)
	}
	for _, e := range events {
		if e.At.After(at.Add(-b.mercy)) && !e.At.After(at) {
			list = append(list, e.At.Add(-time.Microsecond), e.At)
		}
	}
	return list
}

// objections lists what was said by an instant against a message of a patient by one
// way: the rules on the patient, on the address, and what the person said.
func (b *dayBook) objections(m *dayMessage, channel, to string, at time.Time) []string {
	c, p := dayCategories[m.Category], b.person(m.Patient, at)
	var found []string
	if what := p.nobody(m.Category, c, at); what != "" {
		found = append(found, what)
	}
	need, offered := c.needs[channel]
	place := p.places[to]
	if !offered || len(m.channels) > 0 && !slices.Contains(m.channels, channel) {
		return append(found, "channel: not offered for "+m.Category)
	}
	if p.private && !slices.Contains(p.only, channel+" "+to) {
		found = append(found, "confidential: only other ways may be used")
	}
	if !p.has(channel, to) {
		return append(found, "address: not one of the patient's")
	}
	if what := place.unfit(channel); what != "" {
		found = append(found, what)
	}
	found = append(found, b.stops(p, c, channel, to, at)...)
	level := min(dayLevel(place.consent), dayLevel("express")) // a signature stands in a choice alone
	if !c.essential {
		if last, said := b.lastWord(p, m.Category, c, channel, to, at); said {
			level = dayChosen(&last)
			if last.Choice == "opt_out" {
				found = append(found, "opted out: of "+last.Topic+" on "+last.Channel)
			}
		}
	}
	if level < dayLevel(need) {
		found = append(found, "consent: "+need+" is needed")
	}
	if c.essential && m.Override == "" && slices.Contains(p.declined, channel) {
		found = append(found, "declined: this channel, for care")
	}
	return found
}

// nobody: to this patient nothing of the category may go, by any way.
func (p *dayPerson) nobody(category string, c dayCategory, at time.Time) string {
	switch {
	case !p.known:
		return "unknown: no such patient"
	case p.erased:
		return "erased: the patient's data are gone"
	case p.deceased:
		return "deceased: the patient is dead"
	case p.minor(at):
		return "minor: the patient is under 18"
	case p.restricts(category, c):
		return "restricted: the practice agreed not to"
	case c.signed && !p.authorized(category, at):
		return "authorization: none is in force"
	}
	return ""
}

func (p *dayPlace) unfit(channel string) string {
	switch {
	case p.bad:
		return "bad: the address does not work"
	case p.wrong:
		return "wrong person: somebody else answers there"
	case p.landline && channel == "sms":
		return "landline: it takes no texts"
	}
	return ""
}

// stops: a number's STOP binds everybody who has it, and for what is not essential
// the patient's other numbers as well. It covers texts and calls.
func (b *dayBook) stops(p *dayPerson, c dayCategory, channel, to string, at time.Time) []string {
	if channel == "email" {
		return nil
	}
	if b.stopped(to, c.program, at) {
		return []string{"stopped: " + c.program + " at this number"}
	}
	for address := range p.places {
		reached := p.has("sms", address) || p.has("voice", address)
		if !c.essential && dayIsPhone(address) && reached && b.stopped(address, c.program, at) {
			return []string{"stopped: " + c.program + " at another number of the patient"}
		}
	}
	return nil
}

// untimely: quiet hours, caps, and what has expired.
func (b *dayBook) untimely(i int, m *dayMessage, c dayCategory) []string {
	s := &b.provider[i]
	var found []string
	if m.ExpiresAt != nil && !s.Created.Before(*m.ExpiresAt) {
		found = append(found, "late: its time had passed")
	}
	if s.Channel == channels.Email || c.essential && (m.urgent || m.Override != "") {
		return found
	}
	p := b.person(m.Patient, s.Created)
	area, known := dayAreas[s.To[2:5]]
	if !known {
		return append(found, "quiet hours: the checker does not know this area code")
	}
	for _, loc := range dayZones(append(slices.Clone(p.zones), area...)) {
		if !dayOpen(c.program, s.Created.In(loc)) {
			found = append(found, "quiet hours: it is "+s.Created.In(loc).Format("Mon 15:04:05")+" in "+loc.String())
		}
	}
	if what := b.capped(i, m, c, p); what != "" {
		found = append(found, what)
	}
	return found
}

// dayAreas are the zones of the area codes that people of the day have.
var dayAreas = map[string][]string{
	"303": {"America/Denver"}, "212": {"America/New_York"}, "415": {"America/Los_Angeles"}, "808": {"Pacific/Honolulu"},
	"602": {"America/Phoenix"}, "312": {"America/Chicago"}, "907": {"America/Anchorage", "America/Adak"},
}

// dayOpen: 08:00 to 21:00, the end outside; marketing from Monday to Friday, 10:00 to
// 18:00, and not on a federal holiday (those of late 2027, as the government lists them).
func dayOpen(program string, local time.Time) bool {
	minute := local.Hour()*60 + local.Minute()
	if program != "marketing" {
		return minute >= 8*60 && minute < 21*60
	}
	holidays := []string{"2027-11-11", "2027-11-25", "2027-12-24", "2027-12-31"}
	weekend := local.Weekday() == time.Saturday || local.Weekday() == time.Sunday
	return minute >= 10*60 && minute < 18*60 && !weekend && !slices.Contains(holidays, local.Format(time.DateOnly))
}

// dayCaps are how many texts and calls of a program a patient gets on a local day,
// and in seven days.
var dayCaps = map[string][2]int{"care": {2, 10}, "check_in": {1, 7}, "billing": {1, 3}, "marketing": {1, 3}}

// capped: texts and calls count together, whatever the number, once a provider took
// them; changes of appointments and legal notices neither count nor are held back.
func (b *dayBook) capped(i int, m *dayMessage, c dayCategory, p *dayPerson) string {
	s := &b.provider[i]
	place := p.places[s.To]
	exempt := c.program == "care" && place != nil && dayLevel(place.consent) >= dayLevel("express")
	if exempt || m.Category == "appointment_change" || c.purpose == "legal" {
		return ""
	}
	week, days := 0, map[string]int{}
	for _, j := range b.seenBy[m.Patient] {
		e := &b.provider[j]
		if j >= i || e.refused || e.Channel == channels.Email {
			continue
		}
		other := b.messages[b.tries[dayTry(&e.Message)]]
		if other.Category == "appointment_change" || dayCategories[other.Category].program != c.program {
			continue
		}
		if e.Created.After(s.Created.Add(-7 * 24 * time.Hour)) {
			week++
		}
		for _, zone := range dayZones(p.zones) {
			if e.Created.In(zone).Format(time.DateOnly) == s.Created.In(zone).Format(time.DateOnly) {
				days[zone.String()]++
			}
		}
	}
	most := dayCaps[c.program]
	for zone, n := range days {
		if n >= most[0] {
			return fmt.Sprintf("cap: %d had gone that day in %s", n, zone)
		}
	}
	if week >= most[1] {
		return fmt.Sprintf("cap: %d had gone in seven days", week)
	}
	return ""
}

// dayLine gives the first line of what was said.
func dayLine(body string) string {
	line, _, _ := strings.Cut(body, "\n")
	return line
}
