package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

func lives(zones ...string) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) { s.Zones = preferences.ZoneSetOf(zones...) }
}

// number gives ana's phone this number's area code.
func number(e164 string) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) {
		s.Addresses[0].Zones = preferences.ZoneSetOf(preferences.ZonesOfNumber(e164)...)
	}
}

// 47 CFR 64.1200(c)(1): texts and calls between 8 and 21 in the local time of the
// person called. The window is half-open.
func TestQuietHours(t *testing.T) {
	sms := only(channels.SMS)
	goes := want{Send, "", channels.SMS, 1, ""}
	waits := func(until string) want { return want{Defer, QuietHours, channels.SMS, 1, until} }
	runRules(t, testPolicy(t), []ruleCase{
		{"the last second of the evening", "follow_up", "2026-11-25T03:59:59Z", nil, sms, goes},
		{"nine in the evening", "follow_up", "2026-11-25T04:00:00Z", nil, sms, waits("2026-11-25T15:00:00Z")},
		{"the last second of the night", "follow_up", "2026-11-25T14:59:59Z", nil, sms, waits("2026-11-25T15:00:00Z")},
		{"eight in the morning", "follow_up", "2026-11-25T15:00:00Z", nil, sms, goes},
		{"calls too", "follow_up", night, nil, only(channels.Voice), want{Defer, QuietHours, channels.Voice, 1, "2026-11-25T15:00:00Z"}},
		{"no window for email", "newsletter", night, nil, nil, want{Send, "", channels.Email, 2, ""}},
		{"billing and check-ins keep the same hours", "symptom_check_in", "2026-11-25T04:00:00Z", consented(preferences.Express), sms, waits("2026-11-25T15:00:00Z")},
		{"judged at send_at", "follow_up", day, nil, func(q *Question) { sms(q); q.SendAt = at(t, night) }, waits("2026-11-25T15:00:00Z")},
		{"a send_at that has passed is now", "follow_up", day, nil, func(q *Question) { sms(q); q.SendAt = q.Now.Add(-8 * time.Hour) }, goes},

		{"a New York number in Denver, in the evening: the number sleeps", "follow_up", "2026-11-25T02:00:00Z", number("+12125550112"), sms, waits("2026-11-25T15:00:00Z")},
		{"a New York number in Denver, in the morning: the patient sleeps", "follow_up", "2026-11-25T13:30:00Z", number("+12125550112"), sms, waits("2026-11-25T15:00:00Z")},
		{"a New York number in Denver, awake in both", "follow_up", "2026-11-25T01:59:59Z", number("+12125550112"), sms, goes},
		{"an area code in two zones: asleep in one", "follow_up", "2026-11-25T15:30:00Z", number("+12085550113"), sms, waits("2026-11-25T16:00:00Z")},
		{"a toll-free number says nothing of where it is", "follow_up", "2026-11-25T15:00:00Z", number("+18885550115"), sms, goes},
		{"every zone of the patient's state", "follow_up", "2026-11-25T13:30:00Z", all(lives(preferences.ZonesOfPostalCode("42101")...), number("+12125550112")), sms, waits("2026-11-25T14:00:00Z")},
		{"no zone of the patient's: the number's", "follow_up", "2026-11-25T13:30:00Z", all(lives(), number("+12125550112")), sms, goes},
		{"nothing known: asleep in Hawaii", "follow_up", "2026-11-25T17:59:59Z", all(lives(), number("+18885550115")), sms, waits("2026-11-25T18:00:00Z")},
		{"nothing known: awake in all 50 states", "follow_up", "2026-11-25T18:00:00Z", all(lives(), number("+18885550115")), sms, goes},
		{"nothing known: asleep in New York", "follow_up", "2026-11-25T02:00:00Z", all(lives(), number("+18885550115")), sms, waits("2026-11-25T18:00:00Z")},
		{"Guam and New York share four hours", "follow_up", "2026-11-25T13:00:00Z", all(lives("Pacific/Guam"), number("+12125550112")), sms, waits("2026-11-25T22:00:00Z")},

		{"eight is eight on the day the clocks go forward", "follow_up", "2027-03-14T08:00:00Z", nil, sms, waits("2027-03-14T14:00:00Z")},
		{"and the evening before is not", "follow_up", "2027-03-14T04:00:00Z", nil, sms, waits("2027-03-14T14:00:00Z")},
		{"nine is nine on the day the clocks go forward", "follow_up", "2027-03-15T03:00:00Z", nil, sms, waits("2027-03-15T14:00:00Z")},
		{"eight is eight on the day the clocks go back", "follow_up", "2026-11-01T06:30:00Z", nil, sms, waits("2026-11-01T15:00:00Z")},
		{"nine is nine on the day the clocks go back", "follow_up", "2026-11-02T03:59:59Z", nil, sms, goes},
		{"Arizona keeps its clocks", "follow_up", "2027-03-15T03:59:59Z", all(lives("America/Phoenix"), number("+16025550111")), sms, goes},
	})
}

// Marketing: Monday to Friday from 10 to 18, not on federal holidays, which lies
// inside every state window known to us.
func TestMarketingHours(t *testing.T) {
	signed := func(s *preferences.Snapshot) { said(yes("marketing", 0, preferences.Written))(s) }
	marketing := func(name, now, until string, changes ...func(*preferences.Snapshot)) ruleCase {
		c := ruleCase{name, "marketing", now, all(append(changes, signed)...), only(channels.SMS), want{Send, "", channels.SMS, 1, ""}}
		if until != "" {
			c.want = want{Defer, QuietHours, channels.SMS, 1, until}
		}
		return c
	}
	never := marketing("Guam and New York never work at the same time", day, "", lives("Pacific/Guam"), number("+12125550112"))
	never.want = want{Suppress, QuietHours, 0, 0, ""}
	runRules(t, testPolicy(t), []ruleCase{
		marketing("ten", "2026-11-24T17:00:00Z", ""),
		marketing("a second before ten", "2026-11-24T16:59:59Z", "2026-11-24T17:00:00Z"),
		marketing("a second before six", "2026-11-25T00:59:59Z", ""),
		marketing("six", "2026-11-25T01:00:00Z", "2026-11-25T17:00:00Z"),
		marketing("Friday evening waits for Monday", "2026-12-05T01:00:00Z", "2026-12-07T17:00:00Z"),
		marketing("Saturday", "2026-11-28T19:00:00Z", "2026-11-30T17:00:00Z"),
		marketing("Sunday", "2026-11-29T19:00:00Z", "2026-11-30T17:00:00Z"),
		marketing("Thanksgiving (5 U.S.C. 6103)", "2026-11-26T19:00:00Z", "2026-11-27T17:00:00Z"),
		marketing("Christmas on a Friday, and the weekend", "2026-12-25T19:00:00Z", "2026-12-28T17:00:00Z"),
		marketing("Independence Day on a Sunday is observed on Monday", "2027-07-05T18:00:00Z", "2027-07-06T16:00:00Z"),
		marketing("Christmas on a Saturday is observed on Friday", "2027-12-24T19:00:00Z", "2027-12-27T17:00:00Z"),
		marketing("New Year on a Saturday is observed in the old year", "2027-12-31T19:00:00Z", "2028-01-03T17:00:00Z"),
		marketing("Saturday in Guam while it is Friday in Denver", "2026-11-27T20:00:00Z", "2026-12-01T00:00:00Z", number("+16715550119")),
		marketing("the day after a holiday in one place, the holiday in another", "2026-11-27T00:30:00Z", "2026-12-01T00:00:00Z", number("+16715550119")),
		never,
	})
}

// No common opening within 8 days: the pair is refused quiet_hours.
func TestNoOpeningWithinEightDays(t *testing.T) {
	f := Default()
	m := f.Programs["marketing"]
	m.Days = "Thu-Thu"
	f.Programs["marketing"] = m
	p, err := New(f)
	if err != nil {
		t.Fatal(err)
	}
	s := ana()
	said(yes("marketing", 0, preferences.Written))(s)
	// The only Thursday between is Thanksgiving.
	if d := p.Decide(s, bySMS("marketing", at(t, "2026-11-25T16:59:59Z"))); d.Outcome != Suppress || d.Code != QuietHours {
		t.Errorf("eight days and a second: %s %q until %s", d.Outcome, d.Code, d.Until)
	}
	if d := p.Decide(s, bySMS("marketing", at(t, "2026-11-25T17:00:00Z"))); d.Outcome != Defer || !d.Until.Equal(at(t, "2026-12-03T17:00:00Z")) {
		t.Errorf("eight days: %s %q until %s", d.Outcome, d.Code, d.Until)
	}
	// The mailbox is then open to it.
	if d := p.Decide(s, ask("marketing", at(t, "2026-11-25T16:59:59Z"))); d.Outcome != Send || d.Pair.Channel != channels.Email {
		t.Errorf("%s by %v", d.Outcome, d.Pair)
	}
}

// The federal holidays of four years, as the Office of Personnel Management lists
// them: the days on which they are observed. 5 U.S.C. 6103.
func TestFederalHolidays(t *testing.T) {
	const listed = `
2026-01-01 2026-01-19 2026-02-16 2026-05-25 2026-06-19 2026-07-03 2026-09-07 2026-10-12 2026-11-11 2026-11-26 2026-12-25
2027-01-01 2027-01-18 2027-02-15 2027-05-31 2027-06-18 2027-07-05 2027-09-06 2027-10-11 2027-11-11 2027-11-25 2027-12-24
2027-12-31 2028-01-17 2028-02-21 2028-05-29 2028-06-19 2028-07-04 2028-09-04 2028-10-09 2028-11-10 2028-11-23 2028-12-25
2029-01-01 2029-01-15 2029-02-19 2029-05-28 2029-06-19 2029-07-04 2029-09-03 2029-10-08 2029-11-12 2029-11-22 2029-12-25`
	days := strings.Fields(listed)
	for d := time.Date(2026, 1, 1, 10, 0, 0, 0, load("America/Denver")); d.Year() < 2030; d = d.AddDate(0, 0, 1) {
		if d.Weekday() == time.Saturday || d.Weekday() == time.Sunday {
			continue
		}
		if got, want := federalHoliday(d), slices.Contains(days, d.Format(time.DateOnly)); got != want {
			t.Errorf("%s: %t", d.Format(time.DateOnly), got)
		}
	}
}

// A decision says when the window of a text or call that goes now ends: where it
// ends first. What waits in a queue until then is too late.
func TestWindowEnds(t *testing.T) {
	p := testPolicy(t)
	s := ana()
	number("+12125550112")(s)
	if d := p.Decide(s, bySMS("follow_up", at(t, day))); !d.WindowEnds.Equal(at(t, "2026-11-25T02:00:00Z")) {
		t.Errorf("nine in New York, not %s", d.WindowEnds)
	}
	for name, change := range map[string]func(*Question){
		"mail":              only(channels.Email),
		"an urgent text":    func(q *Question) { q.Urgent = true },
		"an overridden one": func(q *Question) { q.Override = true },
	} {
		q := ask("follow_up", at(t, day))
		change(&q)
		if d := p.Decide(s, q); d.Outcome != Send || !d.WindowEnds.IsZero() {
			t.Errorf("%s has no window, but it ends at %s", name, d.WindowEnds)
		}
	}
}

// A zone that says nothing, or one that this build does not know, is no zone: the
// person may be anywhere in the 50 states, and where else the record says. What is
// local to this machine least of all says where the patient is.
func TestAZoneThatSaysNothingIsEverywhere(t *testing.T) {
	waits := want{Defer, QuietHours, channels.SMS, 1, "2026-11-24T18:00:00Z"}
	runRules(t, testPolicy(t), []ruleCase{
		{"no name", "follow_up", "2026-11-24T17:00:00Z", lives(""), only(channels.SMS), waits},
		{"this machine's", "follow_up", "2026-11-24T17:00:00Z", lives("Local"), only(channels.SMS), waits},
		{"unknown", "follow_up", "2026-11-24T17:59:59Z", lives("Mars/Olympus_Mons"), only(channels.SMS), waits},
		{"unknown, and the 50 states are awake", "follow_up", day, lives("Mars/Olympus_Mons"), only(channels.SMS), want{Send, "", channels.SMS, 1, ""}},
		{"unknown, and six in the morning in Guam, which is named too", "follow_up", "2026-11-24T20:00:00Z", lives("Mars/Olympus_Mons", "Pacific/Guam"), only(channels.SMS), want{Defer, QuietHours, channels.SMS, 1, "2026-11-24T22:00:00Z"}},
		{"unknown, of the number", "follow_up", "2026-11-24T17:00:00Z", func(s *preferences.Snapshot) { s.Addresses[0].Zones = preferences.ZoneSetOf("Mars/Olympus_Mons") }, only(channels.SMS), waits},
	})
}
