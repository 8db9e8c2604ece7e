package policy

import (
	"slices"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// The order in which pairs are tried.
func TestOrder(t *testing.T) {
	const sms, voice, email = channels.SMS, channels.Voice, channels.Email
	prefers := func(list ...channels.Channel) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) { s.Care.Order = list }
	}
	ranks := func(one, three int16) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) {
			s.Addresses = append(s.Addresses, phone(3, "+13035550112"))
			s.Addresses[0].Rank, s.Addresses[2].Rank = one, three
		}
	}
	for _, c := range []struct {
		name     string
		category string
		patient  func(*preferences.Snapshot)
		request  []channels.Channel
		want     []preferences.Pair
	}{
		{"the category's order", "appointment_reminder", nil, nil, []preferences.Pair{pair(sms, 1), pair(email, 2), pair(voice, 1)}},
		{"the request's order", "appointment_reminder", nil, []channels.Channel{voice, sms}, []preferences.Pair{pair(voice, 1), pair(sms, 1)}},
		{"the patient's, completed from the category's", "appointment_reminder", prefers(voice), nil, []preferences.Pair{pair(voice, 1), pair(sms, 1), pair(email, 2)}},
		{"the patient's, completed from the request's, which narrows", "appointment_reminder", prefers(email), []channels.Channel{voice, email}, []preferences.Pair{pair(email, 2), pair(voice, 1)}},
		{"the request orders only where the patient does not", "appointment_reminder", prefers(email, sms, voice), []channels.Channel{voice, sms, email}, []preferences.Pair{pair(email, 2), pair(sms, 1), pair(voice, 1)}},
		{"a preferred channel that the category has not", "billing_notice", prefers(voice, sms), nil, []preferences.Pair{pair(sms, 1), pair(email, 2)}},
		{"a preferred channel that the request leaves out", "appointment_reminder", prefers(sms), []channels.Channel{email}, []preferences.Pair{pair(email, 2)}},
		{"the patient's order is for essential messages", "survey", prefers(sms, email), nil, []preferences.Pair{pair(email, 2), pair(sms, 1)}},
		{"the request's order for the others", "survey", prefers(email), []channels.Channel{sms, email}, []preferences.Pair{pair(sms, 1), pair(email, 2)}},
		{"a channel named twice is tried once", "survey", nil, []channels.Channel{sms, sms}, []preferences.Pair{pair(sms, 1)}},
		{"within a channel by rank", "appointment_reminder", ranks(2, 1), []channels.Channel{sms, voice}, []preferences.Pair{pair(sms, 3), pair(sms, 1), pair(voice, 3), pair(voice, 1)}},
		{"equal ranks as recorded", "appointment_reminder", ranks(1, 1), []channels.Channel{sms}, []preferences.Pair{pair(sms, 1), pair(sms, 3)}},
		{"other numbers of somebody who stopped, last", "appointment_reminder", all(ranks(2, 1), stop(channels.Care)), nil, []preferences.Pair{pair(sms, 1), pair(email, 2), pair(voice, 1), pair(sms, 3), pair(voice, 3)}},
		{"last also where the patient prefers them", "appointment_reminder", all(prefers(voice, sms), ranks(2, 1), stop(channels.Care)), nil, []preferences.Pair{pair(voice, 1), pair(sms, 1), pair(email, 2), pair(voice, 3), pair(sms, 3)}},
		{"in their place for a non-essential message", "symptom_check_in", all(ranks(2, 1), stop(channels.CheckIn)), nil, []preferences.Pair{pair(sms, 3), pair(sms, 1), pair(email, 2)}},
	} {
		s, q := ana(), ask(c.category, at(t, day))
		if c.patient != nil {
			c.patient(s)
		}
		q.Channels = c.request
		var got []preferences.Pair
		for _, x := range testPolicy(t).Decide(s, q).Considered {
			got = append(got, x.Pair)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// For an essential message a pair deferred by frequency_cap, or for more than 12
// hours, comes after every allowed pair; a short wait keeps its place.
func TestWaiting(t *testing.T) {
	used := func(program channels.Program) func(*Question) {
		return func(q *Question) {
			q.Usage[program] = []int64{q.Now.Add(-time.Hour).UnixMicro(), q.Now.Add(-2 * time.Hour).UnixMicro()}
		}
	}
	also := func(list ...func(*Question)) func(*Question) {
		return func(q *Question) {
			for _, change := range list {
				change(q)
			}
		}
	}
	express := func(s *preferences.Snapshot) {
		a := phone(3, "+13035550112")
		a.Consent = preferences.Express
		s.Addresses = append(s.Addresses, a)
	}
	runRules(t, testPolicy(t), []ruleCase{
		{"ten hours for a text, with an open mailbox behind it", "appointment_reminder", night, nil, nil, want{Defer, QuietHours, channels.SMS, 1, "2026-11-25T15:00:00Z"}},
		{"twelve hours are not more than twelve", "appointment_reminder", "2026-11-26T02:00:00Z", func(s *preferences.Snapshot) {
			s.Zones, s.Addresses[0].Zones = preferences.ZoneSetOf("America/New_York"), preferences.ZoneSetOf("America/Chicago")
		}, nil, want{Defer, QuietHours, channels.SMS, 1, "2026-11-26T14:00:00Z"}},
		{"more than twelve hours: the mailbox", "appointment_reminder", "2026-11-25T04:30:00Z", func(s *preferences.Snapshot) {
			s.Addresses[0].Zones = preferences.ZoneSetOf(preferences.ZonesOfNumber("+18085550117")...)
		}, nil, want{Send, "", channels.Email, 2, ""}},
		{"more than twelve hours, and nothing else: it waits", "appointment_reminder", "2026-11-25T04:30:00Z", func(s *preferences.Snapshot) {
			s.Addresses[0].Zones = preferences.ZoneSetOf(preferences.ZonesOfNumber("+18085550117")...)
		}, only(channels.SMS), want{Defer, QuietHours, channels.SMS, 1, "2026-11-25T18:00:00Z"}},
		{"a non-essential message waits as long as it takes", "symptom_check_in", "2026-11-25T04:30:00Z", all(consented(preferences.Express), func(s *preferences.Snapshot) {
			s.Addresses[0].Zones = preferences.ZoneSetOf(preferences.ZonesOfNumber("+18085550117")...)
		}), nil, want{Defer, QuietHours, channels.SMS, 1, "2026-11-25T18:00:00Z"}},
		{"frequency_cap: the third text of a day goes by email", "follow_up", day, nil, used(channels.Care), want{Send, "", channels.Email, 2, ""}},
		{"frequency_cap: even where it frees up within the hour", "follow_up", "2026-11-25T03:59:00Z", nil, func(q *Question) {
			q.Usage[channels.Care] = make([]int64, 0, 10)
			for i := range 10 { // the week's ten, and the oldest will be seven days old in a minute
				q.Usage[channels.Care] = append(q.Usage[channels.Care], q.Now.AddDate(0, 0, -7).Add(time.Minute/2+time.Duration(i)*time.Hour).UnixMicro())
			}
		}, want{Send, "", channels.Email, 2, ""}},
		{"frequency_cap: alone it waits for the morning", "follow_up", day, nil, also(used(channels.Care), only(channels.SMS)), want{Defer, FrequencyCap, channels.SMS, 1, "2026-11-25T15:00:00Z"}},
		{"frequency_cap: a number with express consent is not capped", "follow_up", day, express, used(channels.Care), want{Send, "", channels.SMS, 3, ""}},
		{"frequency_cap: a short wait for another number comes before a long one for this", "follow_up", "2026-11-25T13:00:00Z", all(express, func(s *preferences.Snapshot) { s.Addresses = slices.Delete(s.Addresses, 1, 2) }), func(q *Question) {
			q.Usage[channels.Care] = slices.Repeat([]int64{q.Now.AddDate(0, 0, -1).UnixMicro()}, 10)
		}, want{Defer, QuietHours, channels.SMS, 3, "2026-11-25T15:00:00Z"}},
		{"frequency_cap: a non-essential message keeps to its best pair", "symptom_check_in", day, consented(preferences.Express), used(channels.CheckIn), want{Defer, FrequencyCap, channels.SMS, 1, "2026-11-25T15:00:00Z"}},
		{"urgent does not wait for the hour", "appointment_change", night, nil, func(q *Question) { q.Urgent = true }, want{Send, "", channels.SMS, 1, ""}},
		{"urgent does not wait for the cap", "follow_up", day, nil, also(used(channels.Care), func(q *Question) { q.Urgent = true }), want{Send, "", channels.SMS, 1, ""}},
		{"urgent takes the first allowed pair", "follow_up", night, stop(channels.Care), func(q *Question) { q.Urgent = true }, want{Send, "", channels.Email, 2, ""}},
		{"urgent is ignored elsewhere", "symptom_check_in", night, consented(preferences.Express), func(q *Question) { q.Urgent = true }, want{Defer, QuietHours, channels.SMS, 1, "2026-11-25T15:00:00Z"}},
	})
}

func TestADecisionSaysThatUrgencyWasIgnored(t *testing.T) {
	p := testPolicy(t)
	for category, ignored := range map[string]bool{"survey": true, "marketing": true, "follow_up": false, "legal_notice": false} {
		q := ask(category, at(t, day))
		q.Urgent = true
		if d := p.Decide(ana(), q); d.UrgentIgnored != ignored {
			t.Errorf("%s: %t", category, d.UrgentIgnored)
		}
	}
}

// A decision carries what a record of it needs.
func TestADecisionSaysWhatItStandsOn(t *testing.T) {
	p := testPolicy(t)
	s, q := ana(), ask("appointment_reminder", at(t, day))
	s.Version = 41
	d := p.Decide(s, q)
	if d.SnapshotVersion != 41 || d.PolicyVersion != p.Version || p.Version == "" || !d.At.Equal(q.Now) || !d.WindowEnds.Equal(at(t, "2026-11-25T04:00:00Z")) {
		t.Errorf("%+v", d)
	}
}

// Same compares what a replay must reproduce: outcome, code, the way, and what was
// said of every pair; not the version it was made on, nor the face of a clock.
func TestSame(t *testing.T) {
	p := testPolicy(t)
	base := func() Decision { return p.Decide(ana(), bySMS("appointment_reminder", at(t, night))) }
	for name, change := range map[string]func(*Decision){
		"outcome":             func(d *Decision) { d.Outcome = Send },
		"code":                func(d *Decision) { d.Code = FrequencyCap },
		"pair":                func(d *Decision) { d.Pair.Address++ },
		"form":                func(d *Decision) { d.Form = SecureLink },
		"discreet":            func(d *Decision) { d.Discreet = true },
		"until":               func(d *Decision) { d.Until = d.Until.Add(1) },
		"a pair more":         func(d *Decision) { d.Considered = append(d.Considered, Considered{}) },
		"a pair less":         func(d *Decision) { d.Considered = nil },
		"a considered pair":   func(d *Decision) { d.Considered[0].Pair.Channel = channels.Voice },
		"a verdict":           func(d *Decision) { d.Considered[0].Verdict = Allowed },
		"a considered code":   func(d *Decision) { d.Considered[0].Code = TooLate },
		"a considered form":   func(d *Decision) { d.Considered[0].Form = CallBack },
		"a considered moment": func(d *Decision) { d.Considered[0].Until = d.Considered[0].Until.Add(1) },
	} {
		d := base()
		change(&d)
		if Same(base(), d) || Same(d, base()) {
			t.Errorf("another %s is taken for the same", name)
		}
	}
	d := base()
	d.PolicyVersion, d.SnapshotVersion, d.At = "another", 99, d.At.Add(time.Hour)
	d.Until, d.Considered[0].Until = d.Until.UTC(), d.Considered[0].Until.In(load("Asia/Kathmandu"))
	if !Same(base(), d) {
		t.Error("a decision made elsewhere to the same end is taken for another")
	}
}
