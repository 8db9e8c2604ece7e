package policy

import (
	"slices"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

func minorUntil(moment string) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) {
		t, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			panic(err)
		}
		s.AdultFrom = t.UnixMicro()
	}
}

func restricted(r preferences.Restriction) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) { s.Restrictions = append(s.Restrictions, r) }
}

// The rules that stop everything, in their order.
func TestRulesOnThePatient(t *testing.T) {
	dead := func(s *preferences.Snapshot) { s.Standing = preferences.Deceased }
	erased := func(s *preferences.Snapshot) { s.Standing = preferences.Erased }
	runRules(t, testPolicy(t), []ruleCase{
		{"patient_erased", "appointment_reminder", day, erased, nil, want{Suppress, PatientErased, 0, 0, ""}},
		{"patient_erased comes first", "survey", day, all(erased, minorUntil("2030-01-01T07:00:00Z")), nil, want{Suppress, PatientErased, 0, 0, ""}},
		{"patient_deceased: an essential message too", "legal_notice", day, dead, nil, want{Suppress, PatientDeceased, 0, 0, ""}},
		{"patient_deceased: nothing passes it", "appointment_change", day, dead, func(q *Question) { q.Urgent, q.Override = true, true }, want{Suppress, PatientDeceased, 0, 0, ""}},
		{"patient_minor", "appointment_reminder", day, minorUntil("2027-01-01T07:00:00Z"), nil, want{Suppress, PatientMinor, 0, 0, ""}},
		{"patient_minor: a moment before 18", "appointment_reminder", day, minorUntil("2026-11-24T18:00:01Z"), nil, want{Suppress, PatientMinor, 0, 0, ""}},
		{"patient_minor: 18 at this moment", "appointment_reminder", day, minorUntil(day), nil, want{Send, "", channels.SMS, 1, ""}},
		{"patient_minor: the age is judged at send_at", "appointment_reminder", day, minorUntil("2026-11-25T07:00:00Z"), func(q *Question) { q.SendAt = q.Now.AddDate(0, 0, 1) }, want{Send, "", channels.SMS, 1, ""}},
		{"patient_minor comes before purpose_restricted", "survey", day, all(minorUntil("2027-01-01T07:00:00Z"), restricted(preferences.Restriction{Category: "survey"})), nil, want{Suppress, PatientMinor, 0, 0, ""}},

		{"purpose_restricted: a purpose (45 CFR 164.522(a))", "newsletter", day, restricted(preferences.Restriction{Purpose: "marketing"}), nil, want{Suppress, PurposeRestricted, 0, 0, ""}},
		{"purpose_restricted: a category", "survey", day, restricted(preferences.Restriction{Category: "survey"}), nil, want{Suppress, PurposeRestricted, 0, 0, ""}},
		{"purpose_restricted: an essential message goes to a person", "billing_notice", day, restricted(preferences.Restriction{Purpose: "payment"}), nil, want{NeedsStaff, PurposeRestricted, 0, 0, ""}},
		{"purpose_restricted: staff cannot override it", "follow_up", day, restricted(preferences.Restriction{Purpose: "treatment"}), func(q *Question) { q.Override = true }, want{NeedsStaff, PurposeRestricted, 0, 0, ""}},
		{"purpose_restricted: another purpose is free", "survey", day, restricted(preferences.Restriction{Purpose: "treatment"}), nil, want{Send, "", channels.Email, 2, ""}},
		{"purpose_restricted: never a legal duty, by purpose", "legal_notice", day, restricted(preferences.Restriction{Purpose: "legal"}), nil, want{Send, "", channels.Email, 2, ""}},
		{"purpose_restricted: never a legal duty, by category", "legal_notice", day, restricted(preferences.Restriction{Category: "legal_notice"}), nil, want{Send, "", channels.Email, 2, ""}},
		{"purpose_restricted comes before authorization_missing", "sponsored_marketing", day, restricted(preferences.Restriction{Purpose: "marketing"}), nil, want{Suppress, PurposeRestricted, 0, 0, ""}},
	})
}

func TestAnUnknownPatient(t *testing.T) {
	p := testPolicy(t)
	for _, category := range categories {
		if d := p.Decide(nil, ask(category, at(t, day))); d.Outcome != Suppress || d.Code != PatientUnknown || d.PolicyVersion != p.Version || !d.At.Equal(at(t, day)) {
			t.Errorf("%s: %+v", category, d)
		}
	}
}

// A category that the policy has lost is nobody's consent.
func TestALostCategoryIsHeldBack(t *testing.T) {
	if d := testPolicy(t).Decide(ana(), ask("pigeon_post", at(t, day))); d.Outcome != Suppress || d.Code != ChannelNotOffered {
		t.Errorf("%+v", d)
	}
}

// 45 CFR 164.508: in force from the signing until the start of the day on which it
// expires, on the patient's calendar, wherever the patient may be.
func TestAuthorizationMissing(t *testing.T) {
	date := func(text string) preferences.Date {
		if text == "" {
			return preferences.Date{}
		}
		d, err := preferences.ParseDate(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	p := testPolicy(t)
	for _, c := range []struct {
		name, category, signed, expires, now string
		zones                                []string
		want                                 Code
	}{
		{"in force", "sponsored_marketing", "2026-01-01", "2027-01-01", day, nil, ""},
		{"for another category", "marketing", "2026-01-01", "2027-01-01", day, nil, AuthorizationMissing},
		{"without an expiry it is not valid: 164.508(c)(1)(v)", "sponsored_marketing", "2026-01-01", "", day, nil, AuthorizationMissing},
		{"without a signature", "sponsored_marketing", "", "2027-01-01", day, nil, AuthorizationMissing},
		{"the last second before the day it was signed", "sponsored_marketing", "2026-11-24", "2027-01-01", "2026-11-24T06:59:59Z", nil, AuthorizationMissing},
		{"the first of that day", "sponsored_marketing", "2026-11-24", "2027-01-01", "2026-11-24T07:00:00Z", nil, ""},
		{"the last second before it expires", "sponsored_marketing", "2026-01-01", "2026-11-25", "2026-11-25T06:59:59Z", nil, ""},
		{"expired", "sponsored_marketing", "2026-01-01", "2026-11-25", "2026-11-25T07:00:00Z", nil, AuthorizationMissing},
		{"two zones: expired in the eastern one", "sponsored_marketing", "2026-01-01", "2026-11-25", "2026-11-25T06:30:00Z", []string{"America/Denver", "America/Chicago"}, AuthorizationMissing},
		{"two zones: not yet signed in the western one", "sponsored_marketing", "2026-11-24", "2027-01-01", "2026-11-24T06:30:00Z", []string{"America/Chicago", "America/Denver"}, AuthorizationMissing},
		{"nowhere known: expired in New York", "sponsored_marketing", "2026-01-01", "2026-11-25", "2026-11-25T05:00:00Z", []string{}, AuthorizationMissing},
		{"nowhere known: in force in all 50 states", "sponsored_marketing", "2026-01-01", "2026-11-25", "2026-11-25T04:59:59Z", []string{}, ""},
		{"signed and expired in one day", "sponsored_marketing", "2026-11-24", "2026-11-24", day, nil, AuthorizationMissing},
	} {
		s := ana()
		if c.zones != nil {
			s.Zones = preferences.ZoneSetOf(c.zones...)
		}
		said(yes("marketing", channels.Email, preferences.Written))(s)
		s.Authorizations = []preferences.Authorization{{ID: 1, Category: c.category, SignedOn: date(c.signed), ExpiresOn: date(c.expires)}}
		if d := p.Decide(s, ask("sponsored_marketing", at(t, c.now))); d.Code != c.want || (c.want == "") != (d.Outcome == Send) {
			t.Errorf("%s: %s %q", c.name, d.Outcome, d.Code)
		}
	}
}

// authorization_missing goes before everything on a pair, and an essential message
// that needs an authorization goes to a person.
func TestAuthorizationMissingOfAnEssentialCategory(t *testing.T) {
	p := changed(t, "legal_notice", func(c *CategoryRule) { c.Authorization = true })
	s := ana()
	s.Addresses = nil
	if d := p.Decide(s, ask("legal_notice", at(t, day))); d.Outcome != NeedsStaff || d.Code != AuthorizationMissing || len(d.Considered) != 0 {
		t.Errorf("%+v", d)
	}
}

// A person is 18 from local midnight of the birthday, also who was born on a leap
// day: in a common year that day is the first of March.
func TestEighteenthBirthday(t *testing.T) {
	p := testPolicy(t)
	for _, c := range []struct {
		name       string
		born       preferences.Date
		zones      []string
		last, when string // the last second under 18, and the first as an adult
	}{
		{"Denver", preferences.Date{Year: 2008, Month: 11, Day: 25}, []string{"America/Denver"}, "2026-11-25T06:59:59Z", "2026-11-25T07:00:00Z"},
		{"a state of two zones: the western one", preferences.Date{Year: 2008, Month: 11, Day: 25}, []string{"America/New_York", "America/Chicago"}, "2026-11-25T05:59:59Z", "2026-11-25T06:00:00Z"},
		{"nowhere known: American Samoa", preferences.Date{Year: 2008, Month: 11, Day: 25}, nil, "2026-11-25T10:59:59Z", "2026-11-25T11:00:00Z"},
		{"born on a leap day", preferences.Date{Year: 2008, Month: time.February, Day: 29}, []string{"America/Denver"}, "2026-03-01T06:59:59Z", "2026-03-01T07:00:00Z"},
		{"midnight is skipped as the clocks change", preferences.Date{Year: 2009, Month: time.March, Day: 14}, []string{"America/Havana"}, "2027-03-14T04:59:59Z", "2027-03-14T05:00:00Z"},
		{"a zone that says nothing", preferences.Date{Year: 2008, Month: 11, Day: 25}, []string{"Local"}, "2026-11-25T10:59:59Z", "2026-11-25T11:00:00Z"},
	} {
		contact := preferences.Event{Kind: preferences.ContactSet, At: at(t, "2025-06-01T00:00:00Z").UnixMicro(), Contact: &preferences.Contact{
			BirthDate: c.born, Zones: c.zones, Addresses: []preferences.ContactAddress{{ID: 2, Kind: channels.Mailbox, Rank: 1}},
		}}
		s := preferences.Fold(7, []preferences.Event{contact}, nil)
		if d := p.Decide(s, ask("newsletter", at(t, c.last))); d.Code != PatientMinor {
			t.Errorf("%s, a second before: %s %q", c.name, d.Outcome, d.Code)
		}
		if d := p.Decide(s, ask("newsletter", at(t, c.when))); d.Outcome != Send {
			t.Errorf("%s, on the birthday: %s %q", c.name, d.Outcome, d.Code)
		}
	}
}

// The sentences name the law where a rule has one, and no code is without one.
func TestEveryCodeIsExplained(t *testing.T) {
	codes := []Code{
		PatientUnknown, PatientErased, PatientDeceased, PatientMinor, PurposeRestricted, AuthorizationMissing, NoAddress, ChannelNotOffered, DeliveryFailed,
		ConfidentialOnly, AddressBad, WrongPerson, NotTextable, Stopped, OptedOut, ConsentMissing, ChannelDeclined, ContentNotAllowed, QuietHours, FrequencyCap, NoAdapter, TooLate,
	}
	for _, c := range codes {
		if c.Sentence() == "" {
			t.Errorf("%s is not explained", c)
		}
	}
	for c := range sentences {
		if c != "" && !slices.Contains(codes, c) {
			t.Errorf("%s is explained and no code of the rules", c)
		}
	}
}
