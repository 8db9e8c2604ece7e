package main

import (
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/gateway/api"
)

// The checker of the scripted day. It recomputes from the ledger what the pretend
// provider was allowed to see. Its rules are written out once more here, in plain
// words after the decision's description, and it calls neither preferences.Fold nor
// preferences/policy: a checker that asked them would only find that they agree
// with themselves.

// dayCategory is one row of the table of categories.
type dayCategory struct {
	essential bool
	purpose   string
	program   string
	needs     map[string]string // channel → the weakest consent that will do; absent: not offered
	content   string            // the most that its text may carry
	signed    bool              // takes an authorization: 45 CFR 164.508(a)(3)
}

var dayCategories = map[string]dayCategory{
	"appointment_reminder": {true, "treatment", "care", map[string]string{"sms": "provided", "email": "provided", "voice": "provided"}, "minimal", false},
	"appointment_change":   {true, "treatment", "care", map[string]string{"sms": "provided", "email": "provided", "voice": "provided"}, "minimal", false},
	"follow_up":            {true, "treatment", "care", map[string]string{"sms": "provided", "email": "provided", "voice": "provided"}, "minimal", false},
	"treatment_update":     {true, "treatment", "care", map[string]string{"sms": "provided", "email": "provided", "voice": "provided"}, "clinical", false},
	"legal_notice":         {true, "legal", "care", map[string]string{"email": "provided"}, "none", false},
	"billing_notice":       {true, "payment", "billing", map[string]string{"email": "provided", "sms": "express"}, "minimal", false},
	"symptom_check_in":     {false, "treatment", "check_in", map[string]string{"sms": "express", "email": "provided"}, "minimal", false},
	"survey":               {false, "operations", "check_in", map[string]string{"email": "provided", "sms": "express"}, "minimal", false},
	"newsletter":           {false, "marketing", "marketing", map[string]string{"email": "provided"}, "none", false},
	"marketing":            {false, "marketing", "marketing", map[string]string{"email": "provided", "sms": "written", "voice": "written"}, "none", false},
	"sponsored_marketing":  {false, "marketing", "marketing", map[string]string{"email": "written"}, "none", true},
}

// dayLevels orders the consents, weakest first.
var dayLevels = []string{"", "provided", "express", "written"}

func dayLevel(name string) int { return slices.Index(dayLevels, name) }

// dayBook is everything that the checker looks at.
type dayBook struct {
	practice, discreet string
	phone, optOut      string // as they are spoken
	postal             string
	senders            map[string][]string // by program: the number and the mailbox that it sends from
	onCall             []string
	mercy              time.Duration // how long a call that was under way may still arrive

	provider  []daySeen                  // what the pretend provider saw, in the order in which it came
	messages  map[string]*dayMessage     // by id
	tries     map[string]string          // the id of a try → that of its message
	ledgers   map[string][]api.LedgerOut // by patient, in order: what was said by and of the patient
	addresses map[string][]api.LedgerOut // by number or mailbox, in order: what binds whoever has it
	tasks     map[string]bool            // messages that a person was given
	takenBack map[string]bool            // messages that staff took back

	seenOf, seenBy map[string][]int // places in provider, by message and by patient
}

// daySeen is one request as the provider read it.
type daySeen struct {
	sandbox.Message
	refused bool // it was not taken
}

// dayMessage is a message as the gateway tells of it, and as it was asked for.
type dayMessage struct {
	api.MessageFull
	urgent    bool
	channels  []string // asked for; none: the category's
	variables map[string]string
}

// dayPerson is what the ledger had said of a patient by some instant.
type dayPerson struct {
	known, deceased, erased bool
	born                    string
	zones                   []string
	places                  map[string]*dayPlace // by number or mailbox
	choices                 []api.ChoiceOut
	declined                []string
	private                 bool     // a confidential communication instruction is in force
	only                    []string // its ways: channel and address
	discreet                bool
	restrictions            map[string]api.RestrictionOut
	authorizations          map[string]api.AuthorizationOut
	plain                   bool // was warned, and prefers plain texts and mails
}

type dayPlace struct {
	onRecord, bad, wrong, landline bool
	consent                        string
}

// person reads a patient's ledger up to an instant.
func (b *dayBook) person(ref string, at time.Time) *dayPerson {
	p := &dayPerson{places: map[string]*dayPlace{}, restrictions: map[string]api.RestrictionOut{}, authorizations: map[string]api.AuthorizationOut{}}
	for i := range b.ledgers[ref] {
		if e := &b.ledgers[ref][i]; !e.At.After(at) {
			p.hears(e.Kind, &e.Event)
		}
	}
	return p
}

func (p *dayPerson) hears(kind string, e *api.LedgerEventOut) {
	switch kind {
	case "contact_set":
		p.contact(e.Contact)
	case "choice_made":
		p.choices = append(p.choices, *e.Choice)
	case "care_channels_set":
		p.declined = e.CareChannels.Declined
	case "unencrypted_set":
		p.plain = *e.UnencryptedOK
	case "confidential_set":
		p.private, p.discreet, p.only = true, e.Confidential.Discreet, nil
		for _, way := range e.Confidential.Only {
			p.only = append(p.only, way.Channel+" "+way.Address)
			p.place(way.Address, "provided")
		}
	case "confidential_ended":
		p.private, p.discreet, p.only = false, false, nil
	case "restriction_agreed":
		p.restrictions[e.Restriction.ID] = *e.Restriction
	case "restriction_ended":
		delete(p.restrictions, e.Ended)
	case "authorization_signed":
		p.authorizations[e.Authorization.ID] = *e.Authorization
	case "authorization_revoked":
		delete(p.authorizations, e.Ended)
	case "patient_erased":
		p.erased = true
	default:
		p.address(kind, e)
	}
}

func (p *dayPerson) address(kind string, e *api.LedgerEventOut) {
	place := p.places[e.Address]
	if place == nil {
		return
	}
	switch kind {
	case "consent_given":
		place.consent = e.Consent
	case "address_verified":
		place.bad, place.wrong = false, false
	case "address_bad":
		place.bad = true
	case "address_wrong_person":
		place.wrong = true
	case "address_not_textable":
		place.landline = true
	}
}

// contact reads a contact record. It brings the consent of an address only when the
// address is first put on file; later it may lower it and never raise it.
func (p *dayPerson) contact(c *api.ContactOut) {
	p.known, p.deceased, p.born, p.zones = true, c.Deceased, c.BirthDate, c.TimeZones
	for _, place := range p.places {
		place.onRecord = false
	}
	for _, a := range c.Addresses {
		place := p.place(a.Value, a.Consent)
		place.onRecord = true
		if a.Consent != "" && dayLevel(a.Consent) < dayLevel(place.consent) {
			place.consent = a.Consent
		}
		switch a.LineType {
		case "landline":
			place.landline = true
		case "mobile", "voip":
			place.landline = false
		}
	}
}

func (p *dayPerson) place(address, consent string) *dayPlace {
	if p.places[address] == nil {
		if consent == "" {
			consent = "provided"
		}
		p.places[address] = &dayPlace{consent: consent}
	}
	return p.places[address]
}

// has says whether the patient may be reached at an address at all, by some channel.
func (p *dayPerson) has(channel, address string) bool {
	place := p.places[address]
	return place != nil && (place.onRecord || slices.Contains(p.only, channel+" "+address))
}

// minor: under 18 until the midnight of the birthday in the westernmost place where
// the patient may be.
func (p *dayPerson) minor(at time.Time) bool {
	born, err := time.Parse(time.DateOnly, p.born)
	if err != nil {
		return true // an age that nobody knows is no adult's
	}
	places := dayZones(p.zones)
	if len(places) == 0 {
		places = []*time.Location{time.FixedZone("furthest west", -11*3600)}
	}
	return slices.ContainsFunc(places, func(loc *time.Location) bool {
		return at.Before(time.Date(born.Year()+18, born.Month(), born.Day(), 0, 0, 0, 0, loc))
	})
}

func (p *dayPerson) restricts(category string, c dayCategory) bool {
	for _, r := range p.restrictions {
		if c.purpose != "legal" && (r.Category == category || r.Purpose != "" && r.Purpose == c.purpose) {
			return true
		}
	}
	return false
}

// authorized: signed for this category, in force on the patient's calendar, and with an end.
func (p *dayPerson) authorized(category string, at time.Time) bool {
	for _, a := range p.authorizations {
		all := a.Category == category && a.ExpiresOn != ""
		for _, loc := range dayZones(p.zones) {
			today := at.In(loc).Format(time.DateOnly)
			all = all && today >= a.SignedOn && today < a.ExpiresOn
		}
		if all {
			return true
		}
	}
	return false
}

// lastWord is the latest choice that covers a category on a channel; at the same
// instant the refusal counts, and of two consents the weaker.
func (b *dayBook) lastWord(p *dayPerson, category string, c dayCategory, channel, to string, at time.Time) (last api.ChoiceOut, said bool) {
	words := slices.Clone(p.choices)
	for _, e := range b.addresses[to] {
		if e.Kind == "spam_reported" && !e.At.After(at) {
			words = append(words, api.ChoiceOut{Topic: "non_essential", Channel: "email", Choice: "opt_out", SaidAt: daySaid(&e)})
		}
	}
	for _, w := range words {
		topic := w.Topic == category || w.Topic == "non_essential" || w.Topic == "marketing" && c.purpose == "marketing"
		if !topic || w.Channel != "all" && w.Channel != channel {
			continue
		}
		tie := said && w.SaidAt.Equal(last.SaidAt) && (w.Choice == "opt_out" || last.Choice == "opt_in" && dayChosen(&w) < dayChosen(&last))
		if !said || w.SaidAt.After(last.SaidAt) || tie {
			last, said = w, true
		}
	}
	return last, said
}

// dayChosen is what an opt-in counts as: without a level as provided, and one to
// everything non-essential at most as express.
func dayChosen(c *api.ChoiceOut) int {
	level := max(dayLevel(c.Consent), dayLevel("provided"))
	if c.Topic == "non_essential" {
		level = min(level, dayLevel("express"))
	}
	return level
}

// stopped says whether a number has stopped a program: its last word, by when it was
// said; at the same instant the STOP.
func (b *dayBook) stopped(number, program string, at time.Time) bool {
	var stop, start time.Time
	for i := range b.addresses[number] {
		e := &b.addresses[number][i]
		if e.At.After(at) || !slices.Contains(e.Event.Programs, program) {
			continue
		}
		switch said := daySaid(e); {
		case e.Kind == "stopped" && said.After(stop):
			stop = said
		case e.Kind == "started" && said.After(start):
			start = said
		}
	}
	return !stop.IsZero() && !start.After(stop)
}

func daySaid(e *api.LedgerOut) time.Time {
	if e.SaidAt != nil {
		return *e.SaidAt
	}
	return e.At
}

func dayZones(names []string) []*time.Location {
	var list []*time.Location
	for _, name := range names {
		if loc, err := time.LoadLocation(name); err == nil {
			list = append(list, loc)
		}
	}
	return list
}

func dayIsPhone(address string) bool { return strings.HasPrefix(address, "+") }
