package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// told writes an answer in short: the calls, what may be told, and the letter.
func told(b ByHand) string {
	var calls []string
	for _, c := range b.Calls {
		text := fmt.Sprint(c.Address, " ", c.Verdict)
		if c.Code != "" {
			text += " " + string(c.Code)
		}
		for _, m := range c.Mind {
			text += " mind " + string(m)
		}
		if c.ForDanger {
			text += " for danger"
		}
		calls = append(calls, text)
	}
	letter := "letter"
	if b.Letter != "" {
		letter = "no letter: " + string(b.Letter)
	}
	text := strings.Join(calls, ", ") + "; " + b.Content.String() + "; " + letter
	if b.Discreet {
		text += "; discreet"
	}
	return text
}

func TestWhatAPersonMayStillDo(t *testing.T) {
	p := testPolicy(t)
	second := phone(3, "+13035550112")
	hidden := phone(9, "+13035550199")
	hidden.OnRecord = false
	with := func(a preferences.Address) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) { s.Addresses = append(s.Addresses, a) }
	}
	state := func(st preferences.AddressState) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) { s.Addresses[0].State = st }
	}
	standing := func(st preferences.Standing) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) { s.Standing = st }
	}
	noCalls := func(s *preferences.Snapshot) { s.Care.Declined = []channels.Channel{channels.Voice} }
	held := func(s *preferences.Snapshot) {
		s.Confidential = &preferences.Confidential{Only: []preferences.Pair{}, Hold: true}
	}
	for name, c := range map[string]struct {
		change func(*preferences.Snapshot)
		hand   Hand
		when   string
		want   string
		nobody Code
	}{
		"nothing stands against it": {nil, Hand{}, day, "1 allowed; minimal; letter", ""},
		"a stop is about machines; another phone comes first": {
			all(stop(channels.Care), with(second)), Hand{}, day, "3 allowed, 1 allowed mind stopped; minimal; letter", "",
		},
		"a stop of another program says nothing here": {stop(channels.Marketing), Hand{}, day, "1 allowed; minimal; letter", ""},
		"the stop of the message's own program":       {stop(channels.Billing), Hand{Category: "billing_notice"}, day, "1 allowed mind stopped; minimal; letter", ""},
		"calls were declined":                         {noCalls, Hand{}, day, "1 allowed mind channel_declined; minimal; letter", ""},
		"at night":                                    {nil, Hand{}, night, "1 allowed mind quiet_hours; minimal; letter", ""},
		"no phone":                                    {func(s *preferences.Snapshot) { s.Addresses = s.Addresses[1:] }, Hand{}, day, "; minimal; letter", NoAddress},
		"a removed phone is none":                     {func(s *preferences.Snapshot) { s.Addresses[0].OnRecord = false }, Hand{}, day, "; minimal; letter", NoAddress},

		"confidential: only this phone, by call":          {all(with(second), confidential(false, pair(channels.Voice, 3))), Hand{}, day, "3 allowed, 1 refused confidential_only; minimal; no letter: confidential_only", ""},
		"confidential: texts to a phone are no calls":     {confidential(true, pair(channels.SMS, 1)), Hand{}, day, "1 refused confidential_only; minimal; no letter: confidential_only; discreet", ConfidentialOnly},
		"confidential: a phone that is not on the record": {all(with(hidden), confidential(true, pair(channels.Voice, 9))), Hand{}, day, "9 allowed, 1 refused confidential_only; minimal; no letter: confidential_only; discreet", ""},
		"confidential: letters only":                      {confidential(false), Hand{}, day, "1 refused confidential_only; minimal; letter", ConfidentialOnly},
		"on hold until the note is read":                  {held, Hand{}, day, "1 refused confidential_only; minimal; no letter: confidential_only", ConfidentialOnly},

		"somebody else answers": {all(with(second), state(preferences.WrongPerson)), Hand{}, day, "3 allowed, 1 refused wrong_person; minimal; letter", ""},
		"out of service":        {state(preferences.Bad), Hand{}, day, "1 refused address_bad; minimal; letter", AddressBad},

		"deceased": {standing(preferences.Deceased), Hand{}, day, "1 refused patient_deceased; minimal; no letter: patient_deceased", PatientDeceased},
		"erased":   {all(standing(preferences.Erased), has()), Hand{}, day, "; minimal; no letter: patient_erased", PatientErased},
		"a minor":  {minorUntil("2030-01-01T07:00:00Z"), Hand{}, day, "1 refused patient_minor; minimal; no letter: patient_minor", PatientMinor},

		"a restriction on what the message is about": {
			restricted(preferences.Restriction{Purpose: "treatment"}), Hand{Category: "follow_up"}, day, "1 refused purpose_restricted; minimal; no letter: purpose_restricted", PurposeRestricted,
		},
		"a restriction does not bind what the patient asked": {restricted(preferences.Restriction{Purpose: "treatment"}), Hand{}, day, "1 allowed; minimal; letter", ""},
		"clinical content":                {nil, Hand{Category: "treatment_update"}, day, "1 allowed; clinical; letter", ""},
		"a category that the policy lost": {nil, Hand{Category: "pigeon_post"}, day, "1 allowed; minimal; letter", ""},

		"danger: at any hour, in spite of a restriction": {
			all(restricted(preferences.Restriction{Purpose: "treatment"})), Hand{Category: "follow_up", Danger: 1}, night, "1 allowed; minimal; letter", "",
		},
		"danger: back to the number that wrote, and no other": {
			all(with(second), confidential(false, pair(channels.Email, 2))), Hand{Danger: 1}, night, "1 allowed for danger, 3 refused confidential_only; minimal; no letter: confidential_only", "",
		},
		"danger: somebody else had answered there": {state(preferences.WrongPerson), Hand{Danger: 1}, day, "1 allowed for danger; minimal; letter", ""},
		"danger: a minor":                          {minorUntil("2030-01-01T07:00:00Z"), Hand{Danger: 1}, day, "1 allowed for danger; minimal; no letter: patient_minor", ""},
		"danger: it wrote first, though it stopped": {
			all(with(second), stop(channels.Care)), Hand{Danger: 1}, day, "1 allowed mind stopped, 3 allowed; minimal; letter", "",
		},
	} {
		s := ana()
		if c.change != nil {
			c.change(s)
		}
		c.hand.Now = at(t, c.when)
		b := p.ByHand(s, c.hand)
		if got := told(b); got != c.want || b.Nobody() != c.nobody {
			t.Errorf("%s: %s, nobody %q; wanted %s, %q", name, got, b.Nobody(), c.want, c.nobody)
		}
		if b.PolicyVersion != p.Version || b.SnapshotVersion != s.Version {
			t.Errorf("%s: it does not say of what it was made: %+v", name, b)
		}
	}
	if b := p.ByHand(nil, Hand{Now: at(t, day)}); b.Nobody() != PatientUnknown || b.Letter != PatientUnknown {
		t.Errorf("nobody on record: %+v", b)
	}
	quiet := p.ByHand(ana(), Hand{Now: at(t, night)}).Calls[0].Until
	if !quiet.Equal(at(t, "2026-11-25T15:00:00Z")) {
		t.Errorf("the hours begin at %s", quiet)
	}
}

// By hand a person reaches whom a machine may call, and never whom the instruction, the
// patient's standing or a wrong number forbids.
func TestByHandKeepsTheRulesThatBindAPerson(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		b := p.ByHand(s, Hand{Category: q.Category, Now: q.Now})
		q.SendAt, q.Excluded, q.AtDispatch = q.Now, nil, false
		d := p.Decide(s, q)
		standing := []Code{PatientErased, PatientDeceased, PatientMinor, PurposeRestricted, AuthorizationMissing}
		if slices.Contains(standing, d.Code) != (b.Code != "") || b.Code != "" && b.Code != d.Code {
			t.Fatalf("a machine %q, a person %q", d.Code, b.Code)
		}
		allowed := map[int64]bool{}
		for _, c := range b.Calls {
			a := s.AddressByID(c.Address)
			if c.Verdict != Allowed {
				continue
			}
			allowed[c.Address] = true
			bound := s.Confidential != nil && !slices.Contains(s.Confidential.Only, preferences.Pair{Channel: channels.Voice, Address: c.Address})
			if b.Code != "" || bound || a.State != preferences.OK || a.Stops.Has(channels.Care) && len(c.Mind) == 0 && p.find(q.Category).Program == channels.Care {
				t.Fatalf("%+v may be called: %+v", a, b)
			}
		}
		for _, c := range d.Considered {
			if c.Pair.Channel == channels.Voice && c.Verdict != Refused && !allowed[c.Pair.Address] {
				t.Fatalf("a machine may call %d and a person may not: %+v", c.Pair.Address, b)
			}
		}
	})
}
