package policy

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

func testPolicy(t testing.TB) *Policy {
	t.Helper()
	p, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	got, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// ana has a mobile in Denver (id 1) and a mailbox (id 2).
func ana() *preferences.Snapshot {
	return &preferences.Snapshot{
		Patient: 7, Version: 1, Locale: "en", Zones: []string{"America/Denver"},
		Addresses: []preferences.Address{
			{ID: 1, Kind: channels.Phone, Line: preferences.Mobile, OnRecord: true, Rank: 1, Consent: preferences.Provided, Zones: preferences.ZonesOfNumber("+13035550111")},
			{ID: 2, Kind: channels.Mailbox, OnRecord: true, Rank: 1, Consent: preferences.Provided},
		},
	}
}

func ask(category string, now time.Time) Question {
	q := Question{Category: category, Now: now}
	q.Agreement = [4]Content{channels.SMS: Clinical, channels.Voice: Clinical, channels.Email: None}
	return q
}

func TestRules(t *testing.T) {
	p := testPolicy(t)
	day := at(t, "2026-11-24T18:00:00Z")
	night := at(t, "2026-11-25T05:00:00Z")
	type want struct {
		outcome Outcome
		code    Code
		channel channels.Channel
		until   string
	}
	cases := []struct {
		name     string
		category string
		now      time.Time
		patient  func(*preferences.Snapshot)
		question func(*Question)
		want     want
	}{
		{"a reminder goes by text in the daytime", "appointment_reminder", day, nil, nil, want{Send, "", channels.SMS, ""}},
		{"quiet_hours: a reminder at night waits for eight (47 CFR 64.1200(c)(1))", "appointment_reminder", night, nil, nil, want{Defer, QuietHours, channels.SMS, "2026-11-25T15:00:00Z"}},
		{"quiet_hours: the window is half-open", "appointment_reminder", at(t, "2026-11-25T04:00:00Z"), nil, nil, want{Defer, QuietHours, channels.SMS, "2026-11-25T15:00:00Z"}},
		{"quiet_hours: an urgent essential message does not wait", "appointment_change", night, nil, func(q *Question) { q.Urgent = true }, want{Send, "", channels.SMS, ""}},
		{"quiet_hours: a New York number is awake with its owner in Denver", "appointment_reminder", at(t, "2026-11-25T03:30:00Z"), func(s *preferences.Snapshot) {
			s.Addresses[0].Zones = preferences.ZonesOfNumber("+12125550111")
		}, nil, want{Defer, QuietHours, channels.SMS, "2026-11-25T15:00:00Z"}},
		{"quiet_hours: marketing on a Saturday waits for Monday at ten", "marketing", at(t, "2026-11-28T19:00:00Z"), optIn("marketing", preferences.Written), only(channels.SMS), want{Defer, QuietHours, channels.SMS, "2026-11-30T17:00:00Z"}},
		{"quiet_hours: no marketing on Thanksgiving (5 U.S.C. 6103)", "marketing", at(t, "2026-11-26T19:00:00Z"), optIn("marketing", preferences.Written), only(channels.SMS), want{Defer, QuietHours, channels.SMS, "2026-11-27T17:00:00Z"}},
		{"quiet_hours: eight is eight on the day the clocks change", "appointment_reminder", at(t, "2027-03-14T08:00:00Z"), nil, nil, want{Defer, QuietHours, channels.SMS, "2027-03-14T14:00:00Z"}},
		{"too_late: a reminder that would come too late by text goes by email", "appointment_reminder", night, nil, func(q *Question) { q.ExpiresAt = at(t, "2026-11-25T14:00:00Z") }, want{Send, "", channels.Email, ""}},
		{"consent_missing: marketing by text needs written consent (47 CFR 64.1200(a)(2))", "marketing", day, nil, only(channels.SMS), want{Suppress, ConsentMissing, 0, ""}},
		{"consent_missing: express is not written", "marketing", day, optIn("marketing", preferences.Express), only(channels.SMS), want{Suppress, ConsentMissing, 0, ""}},
		{"consent: written is enough", "marketing", day, optIn("marketing", preferences.Written), only(channels.SMS), want{Send, "", channels.SMS, ""}},
		{"consent: everything non-essential counts at most as express", "marketing", day, optIn("non_essential", preferences.Written), only(channels.SMS), want{Suppress, ConsentMissing, 0, ""}},
		{"marketing by email needs no opt-in", "marketing", day, nil, nil, want{Send, "", channels.Email, ""}},
		{"opted_out: a newer broad no ends an older narrow yes", "newsletter", day, func(s *preferences.Snapshot) {
			s.Choices = []preferences.Choice{{Topic: "newsletter", Channel: channels.Email, In: true, Consent: preferences.Express, At: 1}, {Topic: "non_essential", At: 2}}
		}, nil, want{Suppress, OptedOut, 0, ""}},
		{"opted_out: a newer narrow yes stands against an older broad no", "newsletter", day, func(s *preferences.Snapshot) {
			s.Choices = []preferences.Choice{{Topic: "newsletter", Channel: channels.Email, In: true, Consent: preferences.Express, At: 3}, {Topic: "non_essential", At: 2}}
		}, nil, want{Send, "", channels.Email, ""}},
		{"opted_out: at the same instant the refusal", "newsletter", day, func(s *preferences.Snapshot) {
			s.Choices = []preferences.Choice{{Topic: "newsletter", Channel: channels.Email, In: true, Consent: preferences.Express, At: 2}, {Topic: "non_essential", At: 2}}
		}, nil, want{Suppress, OptedOut, 0, ""}},
		{"opted_out: never an essential message", "appointment_reminder", day, func(s *preferences.Snapshot) {
			s.Choices = []preferences.Choice{{Topic: "non_essential", At: 2}}
		}, nil, want{Send, "", channels.SMS, ""}},
		{"stopped: the essential message finds another way (47 CFR 64.1200(a)(10))", "appointment_reminder", day, stop(channels.Care), nil, want{Send, "", channels.Email, ""}},
		{"stopped: with nothing but a phone a person takes over", "appointment_reminder", day, func(s *preferences.Snapshot) {
			stop(channels.Care)(s)
			s.Addresses = s.Addresses[:1]
		}, nil, want{NeedsStaff, Stopped, 0, ""}},
		{"stopped: marketing's stop leaves reminders alone", "appointment_reminder", day, stop(channels.Marketing), nil, want{Send, "", channels.SMS, ""}},
		{"stopped: another number of the patient comes last for an essential message", "appointment_reminder", day, func(s *preferences.Snapshot) {
			stop(channels.Care)(s)
			s.Addresses = append(s.Addresses[:1], preferences.Address{ID: 3, Kind: channels.Phone, OnRecord: true, Rank: 2, Consent: preferences.Provided})
		}, nil, want{Send, "", channels.SMS, ""}},
		{"stopped: and is refused for a non-essential one", "symptom_check_in", day, func(s *preferences.Snapshot) {
			stop(channels.CheckIn)(s)
			s.Addresses = append(s.Addresses, preferences.Address{ID: 3, Kind: channels.Phone, OnRecord: true, Rank: 2, Consent: preferences.Express})
		}, only(channels.SMS), want{Suppress, Stopped, 0, ""}},
		{"confidential_only: only by email (45 CFR 164.522(b))", "appointment_reminder", day, func(s *preferences.Snapshot) {
			s.Confidential = &preferences.Confidential{Only: []preferences.Pair{{Channel: channels.Email, Address: 2}}}
		}, nil, want{Send, "", channels.Email, ""}},
		{"confidential_only: an empty instruction is letters only", "legal_notice", day, func(s *preferences.Snapshot) {
			s.Confidential = &preferences.Confidential{}
		}, nil, want{NeedsStaff, ConfidentialOnly, 0, ""}},
		{"confidential_only: an address that is not on the record", "appointment_reminder", day, func(s *preferences.Snapshot) {
			s.Addresses = append(s.Addresses, preferences.Address{ID: 9, Kind: channels.Phone, Rank: 1, Consent: preferences.Provided})
			s.Confidential = &preferences.Confidential{Only: []preferences.Pair{{Channel: channels.SMS, Address: 9}}}
		}, nil, want{Send, "", channels.SMS, ""}},
		{"patient_minor", "appointment_reminder", day, func(s *preferences.Snapshot) { s.AdultFrom = day.AddDate(1, 0, 0).UnixMicro() }, nil, want{Suppress, PatientMinor, 0, ""}},
		{"patient_deceased", "appointment_reminder", day, func(s *preferences.Snapshot) { s.Standing = preferences.Deceased }, nil, want{Suppress, PatientDeceased, 0, ""}},
		{"not_textable: a landline is called", "appointment_reminder", day, func(s *preferences.Snapshot) {
			s.Addresses = s.Addresses[:1]
			s.Addresses[0].Line = preferences.Landline
		}, nil, want{Send, "", channels.Voice, ""}},
		{"care channels: email first", "appointment_reminder", day, func(s *preferences.Snapshot) { s.Care.Order = []channels.Channel{channels.Email} }, nil, want{Send, "", channels.Email, ""}},
		{"channel_declined", "appointment_reminder", day, func(s *preferences.Snapshot) { s.Care.Declined = []channels.Channel{channels.SMS} }, nil, want{Send, "", channels.Email, ""}},
		{"channel_declined: staff may override", "appointment_reminder", day, func(s *preferences.Snapshot) { s.Care.Declined = []channels.Channel{channels.SMS} }, func(q *Question) { q.Override = true }, want{Send, "", channels.SMS, ""}},
		{"purpose_restricted (45 CFR 164.522(a))", "newsletter", day, func(s *preferences.Snapshot) { s.Restrictions = []preferences.Restriction{{Purpose: "marketing"}} }, nil, want{Suppress, PurposeRestricted, 0, ""}},
		{"purpose_restricted never blocks a legal duty", "legal_notice", day, func(s *preferences.Snapshot) { s.Restrictions = []preferences.Restriction{{Purpose: "legal"}} }, nil, want{Send, "", channels.Email, ""}},
		{"authorization_missing (45 CFR 164.508)", "sponsored_marketing", day, optIn("marketing", preferences.Written), nil, want{Suppress, AuthorizationMissing, 0, ""}},
		{"authorization in force", "sponsored_marketing", day, func(s *preferences.Snapshot) {
			s.Choices = []preferences.Choice{{Topic: "marketing", Channel: channels.Email, In: true, Consent: preferences.Written, At: 1}}
			s.Authorizations = []preferences.Authorization{{Category: "sponsored_marketing", SignedOn: preferences.Date{Year: 2026, Month: 1, Day: 1}, ExpiresOn: preferences.Date{Year: 2027, Month: 1, Day: 1}}}
		}, nil, want{Send, "", channels.Email, ""}},
		{"frequency_cap: the third text of a day goes by email", "follow_up", day, nil, func(q *Question) {
			q.Usage[channels.Care] = []int64{day.Add(-time.Hour).UnixMicro(), day.Add(-2 * time.Hour).UnixMicro()}
		}, want{Send, "", channels.Email, ""}},
		{"frequency_cap: alone it waits for the morning", "follow_up", day, nil, func(q *Question) {
			q.Channels = []channels.Channel{channels.SMS}
			q.Usage[channels.Care] = []int64{day.Add(-time.Hour).UnixMicro(), day.Add(-2 * time.Hour).UnixMicro()}
		}, want{Defer, FrequencyCap, channels.SMS, "2026-11-25T15:00:00Z"}},
		{"no_adapter: at dispatch only", "appointment_reminder", day, nil, func(q *Question) {
			q.AtDispatch = true
			q.Adapters[channels.Email] = true
		}, want{Send, "", channels.Email, ""}},
		{"channel_not_offered", "legal_notice", day, nil, only(channels.SMS), want{NeedsStaff, ChannelNotOffered, 0, ""}},
		{"no_address", "newsletter", day, func(s *preferences.Snapshot) { s.Addresses = s.Addresses[:1] }, nil, want{Suppress, NoAddress, 0, ""}},
		{"address_bad", "newsletter", day, func(s *preferences.Snapshot) { s.Addresses[1].State = preferences.Bad }, nil, want{Suppress, AddressBad, 0, ""}},
		{"wrong_person", "appointment_reminder", day, func(s *preferences.Snapshot) { s.Addresses[0].State = preferences.WrongPerson }, nil, want{Send, "", channels.Email, ""}},
		{"a spam report is an opt-out bound to the mailbox", "newsletter", day, func(s *preferences.Snapshot) { s.Addresses[1].OptedOut = true }, nil, want{Suppress, OptedOut, 0, ""}},
		{"fallback passes the failed pair over", "appointment_reminder", day, nil, func(q *Question) {
			q.Excluded = []preferences.Pair{{Channel: channels.SMS, Address: 1}}
		}, want{Send, "", channels.Email, ""}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, q := ana(), ask(c.category, c.now)
			if c.patient != nil {
				c.patient(s)
			}
			if c.question != nil {
				c.question(&q)
			}
			d := p.Decide(s, q)
			if d.Outcome != c.want.outcome || d.Code != c.want.code || d.Pair.Channel != c.want.channel {
				t.Errorf("got %s %q by %q, wanted %s %q by %q\n%+v", d.Outcome, d.Code, d.Pair.Channel, c.want.outcome, c.want.code, c.want.channel, d.Considered)
			}
			if c.want.until != "" && !d.Until.Equal(at(t, c.want.until)) {
				t.Errorf("until %s, wanted %s", d.Until.UTC(), c.want.until)
			}
			if outcome, code := p.Screen(s, q); outcome != d.Outcome || code != d.Code {
				t.Errorf("screening says %s %s", outcome, code)
			}
		})
	}
}

func stop(programs ...channels.Program) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) { s.Addresses[0].Stops = channels.SetOf(programs...) }
}

func only(list ...channels.Channel) func(*Question) {
	return func(q *Question) { q.Channels = list }
}

func optIn(topic string, level preferences.Consent) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) {
		s.Choices = []preferences.Choice{{Topic: topic, In: true, Consent: level, At: 1}}
	}
}

func TestContentForms(t *testing.T) {
	p := testPolicy(t)
	day := at(t, "2026-11-24T18:00:00Z")
	if d := p.Decide(ana(), ask("treatment_update", day)); d.Form != SecureLink || d.Pair.Channel != channels.Email {
		t.Errorf("clinical content by email: %+v", d)
	}
	s := ana()
	s.Addresses = s.Addresses[:1]
	s.Addresses[0].Line = preferences.Landline
	if d := p.Decide(s, ask("treatment_update", day)); d.Form != CallBack || d.Pair.Channel != channels.Voice {
		t.Errorf("clinical content is never spoken: %+v", d)
	}
}

func TestScheduleEarlierRatherThanTooLate(t *testing.T) {
	p := testPolicy(t)
	q := ask("appointment_reminder", at(t, "2026-11-24T18:00:00Z"))
	q.SendAt, q.ExpiresAt = at(t, "2026-11-25T12:00:00Z"), at(t, "2026-11-25T15:00:00Z")
	if got, want := p.ScheduleAt(ana(), q), at(t, "2026-11-25T03:59:00Z"); !got.Equal(want) {
		t.Errorf("got %s, wanted %s: the last whole minute before nine in the evening in Denver", got.UTC(), want)
	}
	q.ExpiresAt = at(t, "2026-11-25T16:00:00Z")
	if got := p.ScheduleAt(ana(), q); !got.Equal(q.SendAt) {
		t.Errorf("eight in the morning is in time, but it was moved to %s", got.UTC())
	}
}

func TestNewReportsEveryMistakeAtOnce(t *testing.T) {
	f := Default()
	f.RevocationScope = "sometimes"
	f.ReminderOffsets = []string{"soon"}
	survey := f.Categories["survey"]
	survey.Program = "care"
	f.Categories["survey"] = survey
	_, err := New(f)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range []string{"revocation_scope", "reminder_offsets[0]", "categories.survey.program"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not reported in: %v", key, err)
		}
	}
}
