package main

import (
	"context"
	"errors"
	"math"
	"runtime"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// perOp repeats something for a while and gives nanoseconds and allocations of one time.
// Others in the process may allocate meanwhile: as in package testing, less than one a
// time is none.
func perOp(d time.Duration, op func()) (ns, allocs float64) {
	for n := 1; ; n *= 2 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		for range n {
			op()
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if took >= d/2 || n > 1<<40 {
			return float64(took.Nanoseconds()) / float64(n), math.Floor(float64(after.Mallocs-before.Mallocs) / float64(n))
		}
	}
}

// repeat takes a figure of something pure.
func (b *bench) repeat(ctx context.Context, f figure, op func()) error {
	got := b.figure(f)
	most := 0.0
	for range b.scale.Runs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ns, allocs := perOp(b.scale.loop, op)
		got.add(ns)
		most = max(most, allocs)
	}
	got.Allocs = &most
	return nil
}

// decision measures what is asked for each message: of a patient with three addresses who
// has something on record for every rule there is.
func (b *bench) decision(ctx context.Context) error {
	p, err := policy.New(policy.Default())
	if err != nil {
		return err
	}
	s, q := everything()
	if outcome, _, _ := p.Screen(s, q); outcome != policy.Send {
		return errors.New("the question is not settled as it should be")
	}
	screen := figure{Name: "decision", What: "decision, screening path, every rule, three addresses", Unit: "ns", Aim: &goal{AtMost: 100, Allocs: true}}
	if err := b.repeat(ctx, screen, func() { p.Screen(s, q) }); err != nil {
		return err
	}
	explain := figure{Name: "explanation", What: "decision with its full explanation", Unit: "ns", Aim: &goal{AtMost: 1000}}
	if err := b.repeat(ctx, explain, func() { p.Decide(s, q) }); err != nil {
		return err
	}
	return b.decode(ctx)
}

// decode reads what a cache holds of a patient.
func (b *bench) decode(ctx context.Context) error {
	value, err := usual(1_204_511).AppendBinary(nil)
	if err != nil {
		return err
	}
	var read preferences.Snapshot
	done := b.repeat(ctx, figure{Name: "decode", What: "snapshot decode, three addresses", Unit: "ns", Aim: &goal{AtMost: 50, Allocs: true}}, func() {
		if wrong := read.Refill(value); wrong != nil {
			err = wrong
		}
	})
	return errors.Join(done, err)
}

// usual is what is held of most patients, with a second phone.
func usual(patient int64) *preferences.Snapshot {
	denver := preferences.ZoneSetOf("America/Denver")
	return &preferences.Snapshot{
		Patient: patient, Version: time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC).UnixMicro(), Locale: "en", Zones: denver,
		Addresses: []preferences.Address{
			{ID: 2_400_123, Kind: channels.Phone, Line: preferences.Mobile, OnRecord: true, Rank: 1, Consent: preferences.Provided, Zones: denver},
			{ID: 2_400_124, Kind: channels.Phone, Line: preferences.Mobile, OnRecord: true, Rank: 2, Consent: preferences.Express, Zones: preferences.ZoneSetOf("America/New_York")},
			{ID: 2_400_125, Kind: channels.Mailbox, OnRecord: true, Rank: 1, Consent: preferences.Provided},
		},
	}
}

// everything is a question in which no rule is passed over: the program has one place left
// today, and it is eleven in Denver.
func everything() (*preferences.Snapshot, policy.Question) {
	s := usual(7)
	a := s.Addresses
	s.Choices = []preferences.Choice{
		{Topic: preferences.TopicNonEssential, At: 1},
		{Topic: preferences.TopicMarketing, In: true, Consent: preferences.Written, At: 2},
		{Topic: "newsletter", Channel: channels.Email, At: 3},
	}
	s.Confidential = &preferences.Confidential{Only: []preferences.Pair{
		{Channel: channels.SMS, Address: a[0].ID}, {Channel: channels.SMS, Address: a[1].ID}, {Channel: channels.Voice, Address: a[1].ID}, {Channel: channels.Email, Address: a[2].ID},
	}}
	s.Restrictions = []preferences.Restriction{{ID: 1, Category: "newsletter"}}
	s.Care = preferences.CareChannels{Order: []channels.Channel{channels.SMS, channels.Voice}, Declined: []channels.Channel{channels.Email}}
	now := time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)
	q := policy.Question{
		Category: "follow_up", Now: now, ExpiresAt: now.Add(48 * time.Hour), AtDispatch: true, Adapters: [4]bool{true, true, true, true},
		Agreement: [4]policy.Content{channels.SMS: policy.Clinical, channels.Voice: policy.Clinical, channels.Email: policy.None},
	}
	q.Usage[channels.Care] = []int64{now.Add(-time.Hour).UnixMicro(), now.Add(-50 * time.Hour).UnixMicro(), now.Add(-90 * time.Hour).UnixMicro()}
	return s, q
}
