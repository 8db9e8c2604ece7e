package policy

import (
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// carmen has what most patients have and a little more: a mobile in Denver, a second
// one in Idaho, which lies in two zones, a mailbox, and a word on three topics.
func carmen() *preferences.Snapshot {
	s := ana()
	s.Addresses[0].Rank, s.Addresses[1].Rank = 1, 1
	s.Addresses = append(s.Addresses, phone(3, "+12085550113"))
	s.Addresses[2].Rank, s.Addresses[2].Consent = 2, preferences.Express
	s.Choices = []preferences.Choice{
		{Topic: preferences.TopicNonEssential, At: 1},
		{Topic: preferences.TopicMarketing, In: true, Consent: preferences.Written, At: 2},
		{Topic: "newsletter", Channel: channels.Email, At: 3},
	}
	return s
}

// everyRule has something on record for every rule there is, and goes by the first
// pair: its program has one place left today.
func everyRule(s *preferences.Snapshot, q *Question) {
	s.Confidential = &preferences.Confidential{Only: []preferences.Pair{
		{Channel: channels.SMS, Address: 1}, {Channel: channels.SMS, Address: 3}, {Channel: channels.Voice, Address: 3}, {Channel: channels.Email, Address: 2},
	}}
	s.Restrictions = []preferences.Restriction{{ID: 1, Category: "newsletter"}}
	s.Care.Order = []channels.Channel{channels.SMS, channels.Voice}
	s.Care.Declined = []channels.Channel{channels.Email}
	q.Usage[channels.Care] = []int64{q.Now.Add(-time.Hour).UnixMicro(), q.Now.Add(-50 * time.Hour).UnixMicro(), q.Now.Add(-90 * time.Hour).UnixMicro()}
}

// dispatched is a question as the dispatcher asks it, at eleven in Denver.
func dispatched(category string) Question {
	q := ask(category, time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC))
	q.ExpiresAt = q.Now.Add(48 * time.Hour)
	q.AtDispatch, q.Adapters = true, [4]bool{true, true, true, true}
	q.Usage[channels.Care] = []int64{q.Now.Add(-50 * time.Hour).UnixMicro()}
	return q
}

type benchCase struct {
	name     string
	category string
	outcome  Outcome
	change   func(*preferences.Snapshot, *Question)
}

func (c benchCase) draw() (*preferences.Snapshot, Question) {
	s, q := carmen(), dispatched(c.category)
	if c.change != nil {
		c.change(s, &q)
	}
	return s, q
}

// benchCases are what is usually asked, the easy and the hard. All but the capped and
// the confidential one are settled by the first pair or before it.
var benchCases = []benchCase{
	{"every rule", "follow_up", Send, everyRule},
	{"every rule and a capped number", "follow_up", Send, func(s *preferences.Snapshot, q *Question) {
		everyRule(s, q)
		q.Usage[channels.Care][2] = q.Now.Add(-2 * time.Hour).UnixMicro()
	}},
	{"reminder by text", "appointment_reminder", Send, nil},
	{"campaign by email", "marketing", Send, nil},
	{"campaign by text", "marketing", Send, func(_ *preferences.Snapshot, q *Question) { q.Channels = []channels.Channel{channels.SMS} }},
	{"campaign opted out of", "newsletter", Suppress, nil},
	{"minor", "appointment_reminder", Suppress, func(s *preferences.Snapshot, q *Question) { s.AdultFrom = q.Now.AddDate(1, 0, 0).UnixMicro() }},
	{"confidential request", "appointment_reminder", Send, func(s *preferences.Snapshot, _ *Question) {
		s.Confidential = &preferences.Confidential{Only: []preferences.Pair{{Channel: channels.Email, Address: 2}}, Discreet: true}
	}},
	{"all numbers asleep", "marketing", Defer, func(_ *preferences.Snapshot, q *Question) {
		q.Now, q.Channels = q.Now.Add(11*time.Hour), []channels.Channel{channels.SMS, channels.Voice}
	}},
	{"lives in Spain", "appointment_reminder", Defer, func(s *preferences.Snapshot, q *Question) {
		s.Zones, q.Channels = preferences.ZoneSetOf("Europe/Madrid"), []channels.Channel{channels.SMS}
		q.Now = q.Now.Add(3 * time.Hour)
	}},
	{"lives anywhere in the 50 states", "appointment_reminder", Send, func(s *preferences.Snapshot, _ *Question) {
		s.Zones, s.Addresses[0].Zones = preferences.ZoneSet{}, preferences.ZoneSet{}
	}},
}

// Screening asks for no memory, whatever is asked.
func TestScreeningAsksForNoMemory(t *testing.T) {
	p := testPolicy(t)
	for _, c := range benchCases {
		s, q := c.draw()
		if n := testing.AllocsPerRun(100, func() { p.Screen(s, q) }); n > 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func runCases(b *testing.B, ask func(p *Policy, s *preferences.Snapshot, q Question)) {
	p := testPolicy(b)
	for _, c := range benchCases {
		s, q := c.draw()
		if d := p.Decide(s, q); d.Outcome != c.outcome {
			b.Fatalf("%s: %s %q", c.name, d.Outcome, d.Code)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask(p, s, q)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	runCases(b, func(p *Policy, s *preferences.Snapshot, q Question) { p.Decide(s, q) })
}

func BenchmarkScreen(b *testing.B) {
	runCases(b, func(p *Policy, s *preferences.Snapshot, q Question) { p.Screen(s, q) })
}
