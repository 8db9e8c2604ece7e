package policy

import (
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

// changed is the built-in policy with one category changed.
func changed(t testing.TB, category string, change func(*CategoryRule)) *Policy {
	t.Helper()
	f := Default()
	c := f.Categories[category]
	change(&c)
	f.Categories[category] = c
	p, err := New(f)
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

// Eleven in the morning and ten at night in Denver, on a Tuesday.
const (
	day   = "2026-11-24T18:00:00Z"
	night = "2026-11-25T05:00:00Z"
)

// ana has a mobile in Denver (id 1) and a mailbox (id 2).
func ana() *preferences.Snapshot {
	return &preferences.Snapshot{
		Patient: 7, Version: 1, Locale: "en", Zones: preferences.ZoneSetOf("America/Denver"),
		Addresses: []preferences.Address{phone(1, "+13035550111"), mailbox(2)},
	}
}

func phone(id int64, number string) preferences.Address {
	return preferences.Address{
		ID: id, Kind: channels.Phone, Line: preferences.Mobile, OnRecord: true, Rank: int16(id), Consent: preferences.Provided,
		Zones: preferences.ZoneSetOf(preferences.ZonesOfNumber(number)...),
	}
}

func mailbox(id int64) preferences.Address {
	return preferences.Address{ID: id, Kind: channels.Mailbox, OnRecord: true, Rank: int16(id), Consent: preferences.Provided}
}

func ask(category string, now time.Time) Question {
	q := Question{Category: category, Now: now}
	q.Agreement = [4]Content{channels.SMS: Clinical, channels.Voice: Clinical, channels.Email: None}
	return q
}

func bySMS(category string, now time.Time) Question {
	q := ask(category, now)
	q.Channels = []channels.Channel{channels.SMS}
	return q
}

// want is what a rule should come to. An address of 0 is not looked at, nor an
// empty until, nor the forms.
type want struct {
	outcome Outcome
	code    Code
	channel channels.Channel
	address int64
	until   string
}

// ruleCase is one sentence of the rules: ana, changed, is asked about.
type ruleCase struct {
	name     string
	category string
	now      string
	patient  func(*preferences.Snapshot)
	question func(*Question)
	want     want
}

func runRules(t *testing.T, p *Policy, cases []ruleCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, q := ana(), ask(c.category, at(t, c.now))
			if c.patient != nil {
				c.patient(s)
			}
			if c.question != nil {
				c.question(&q)
			}
			d := p.Decide(s, q)
			if d.Outcome != c.want.outcome || d.Code != c.want.code || d.Pair.Channel != c.want.channel || c.want.address != 0 && d.Pair.Address != c.want.address {
				t.Errorf("got %s %q by %v, wanted %s %q by %q %d\n%+v", d.Outcome, d.Code, d.Pair, c.want.outcome, c.want.code, c.want.channel, c.want.address, d.Considered)
			}
			if c.want.until != "" && !d.Until.Equal(at(t, c.want.until)) {
				t.Errorf("until %s, wanted %s", d.Until.UTC(), c.want.until)
			}
			if outcome, code, by := p.Screen(s, q); outcome != d.Outcome || code != d.Code || by != d.Pair {
				t.Errorf("screening says %s %s by %v", outcome, code, by)
			}
		})
	}
}

// all makes several changes one after the other.
func all(changes ...func(*preferences.Snapshot)) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) {
		for _, change := range changes {
			change(s)
		}
	}
}

func stop(programs ...channels.Program) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) { s.Addresses[0].Stops = channels.SetOf(programs...) }
}

func only(list ...channels.Channel) func(*Question) {
	return func(q *Question) { q.Channels = list }
}

// said records choices, each a moment after the one before it.
func said(choices ...preferences.Choice) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) {
		for i, c := range choices {
			c.At = int64(i + 1)
			s.Choices = append(s.Choices, c)
		}
	}
}

func yes(topic string, ch channels.Channel, level preferences.Consent) preferences.Choice {
	return preferences.Choice{Topic: topic, Channel: ch, In: true, Consent: level}
}

func no(topic string, ch channels.Channel) preferences.Choice {
	return preferences.Choice{Topic: topic, Channel: ch}
}

// has puts these addresses in place of ana's.
func has(addresses ...preferences.Address) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) { s.Addresses = addresses }
}

// consented raises the phone's own level.
func consented(level preferences.Consent) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) { s.Addresses[0].Consent = level }
}

// confidential puts an instruction in force. 45 CFR 164.522(b).
func confidential(discreet bool, pairs ...preferences.Pair) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) {
		s.Confidential = &preferences.Confidential{Only: pairs, Discreet: discreet}
	}
}

func pair(ch channels.Channel, address int64) preferences.Pair {
	return preferences.Pair{Channel: ch, Address: address}
}
