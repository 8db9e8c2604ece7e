package policy

import (
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// benchCase asks every rule there is: two phones in two zones and a mailbox, words
// on several topics, an instruction, an authorization, and sends to be counted.
func benchCase(b *testing.B) (*Policy, *preferences.Snapshot, Question) {
	p := testPolicy(b)
	s := ana()
	s.Addresses = append(s.Addresses, preferences.Address{
		ID: 3, Kind: channels.Phone, Line: preferences.Mobile, OnRecord: true, Rank: 2, Consent: preferences.Express, Zones: preferences.ZonesOfNumber("+12085550113"),
	})
	s.Choices = []preferences.Choice{
		{Topic: preferences.TopicNonEssential, At: 1},
		{Topic: preferences.TopicMarketing, In: true, Consent: preferences.Written, At: 2},
		{Topic: "newsletter", Channel: channels.Email, At: 3},
	}
	s.Confidential = &preferences.Confidential{Only: []preferences.Pair{
		{Channel: channels.SMS, Address: 1}, {Channel: channels.SMS, Address: 3}, {Channel: channels.Voice, Address: 3}, {Channel: channels.Email, Address: 2},
	}}
	s.Restrictions = []preferences.Restriction{{ID: 1, Category: "newsletter"}}
	s.Care.Order = []channels.Channel{channels.SMS, channels.Voice}
	q := ask("follow_up", time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC))
	q.ExpiresAt = q.Now.Add(48 * time.Hour)
	q.AtDispatch, q.Adapters = true, [4]bool{true, true, true, true}
	q.Usage[channels.Care] = []int64{q.Now.Add(-time.Hour).UnixMicro(), q.Now.Add(-50 * time.Hour).UnixMicro(), q.Now.Add(-2 * time.Hour).UnixMicro()}
	return p, s, q
}

func BenchmarkDecide(b *testing.B) {
	p, s, q := benchCase(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(s, q)
	}
}

func BenchmarkScreen(b *testing.B) {
	p, s, q := benchCase(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Screen(s, q)
	}
}

// A campaign's usual question: marketing by email, nothing against it.
func BenchmarkScreenCampaign(b *testing.B) {
	p, s, q := benchCase(b)
	s.Confidential, s.Restrictions, q.Category = nil, nil, "marketing"
	b.ReportAllocs()
	for b.Loop() {
		p.Screen(s, q)
	}
}
