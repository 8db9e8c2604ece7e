package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// Quiet hours earlier rather than too late: a scheduled essential message whose
// next opening is too late goes in the last whole minute inside the last window
// before its time, and never before now.
func TestScheduleEarlierRatherThanTooLate(t *testing.T) {
	p := testPolicy(t)
	for _, c := range []struct {
		name, category     string
		now, send, expires string
		patient            func(*preferences.Snapshot)
		question           func(*Question)
		want               string
	}{
		{"five in the morning for a visit at eight", "appointment_reminder", day, "2026-11-25T12:00:00Z", "2026-11-25T15:00:00Z", nil, nil, "2026-11-25T03:59:00Z"},
		{"eight in the morning is in time", "appointment_reminder", day, "2026-11-25T12:00:00Z", "2026-11-25T15:00:01Z", nil, nil, "2026-11-25T12:00:00Z"},
		{"inside the window it stays", "appointment_reminder", day, "2026-11-24T20:00:00Z", "2026-11-24T21:00:00Z", nil, nil, "2026-11-24T20:00:00Z"},
		{"at nine in the evening, on the dot", "appointment_reminder", day, "2026-11-25T04:00:00Z", "2026-11-25T12:00:00Z", nil, nil, "2026-11-25T03:59:00Z"},
		{"without an end it waits", "appointment_reminder", day, "2026-11-25T12:00:00Z", "", nil, nil, "2026-11-25T12:00:00Z"},
		{"not a non-essential message", "symptom_check_in", day, "2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z", consented(preferences.Express), nil, "2026-11-25T12:00:00Z"},
		{"an urgent one goes at its time", "appointment_reminder", day, "2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z", nil, func(q *Question) { q.Urgent = true }, "2026-11-25T12:00:00Z"},
		{"a mailbox before the phone is open at any time", "appointment_reminder", day, "2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z", func(s *preferences.Snapshot) { s.Care.Order = []channels.Channel{channels.Email} }, nil, "2026-11-25T12:00:00Z"},
		{"by the window of every zone", "appointment_reminder", day, "2026-11-25T12:00:00Z", "2026-11-25T15:00:00Z", func(s *preferences.Snapshot) { s.Addresses[0].Zones = preferences.ZoneSetOf("America/New_York") }, nil, "2026-11-25T01:59:00Z"},
		{"the evening before is over, and now is night", "appointment_reminder", "2026-11-25T04:30:00Z", "2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z", nil, nil, "2026-11-25T12:00:00Z"},
		{"never before now, but in what is left of that minute", "appointment_reminder", "2026-11-25T03:59:30Z", "2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z", nil, nil, "2026-11-25T03:59:30Z"},
		{"too late for another reason than the hour", "follow_up", day, "2026-11-24T20:00:30Z", "2026-11-24T20:00:30Z", nil, func(q *Question) { only(channels.SMS)(q) }, "2026-11-24T20:00:30Z"},
		{"a number that stopped the program is not written to early", "appointment_reminder", day, "2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z", stop(channels.Care), nil, "2026-11-25T12:00:00Z"},
		{"a cap that is used up in the evening", "follow_up", "2026-11-25T02:00:00Z", "2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z", nil, func(q *Question) {
			q.Usage[channels.Care] = []int64{q.Now.Add(-time.Hour).UnixMicro(), q.Now.Add(-2 * time.Hour).UnixMicro()}
		}, "2026-11-25T12:00:00Z"},
		{"the evening before the clocks change", "appointment_reminder", "2027-03-13T18:00:00Z", "2027-03-14T12:00:00Z", "2027-03-14T13:00:00Z", nil, nil, "2027-03-14T03:59:00Z"},
		{"one number waits and is in time: nothing goes early by another", "follow_up", day, "2026-11-25T14:30:00Z", "2026-11-25T15:30:00Z", func(s *preferences.Snapshot) {
			s.Addresses = append(s.Addresses, phone(3, "+13105550118")) // an hour behind, but not capped
			s.Addresses[2].Consent = preferences.Express
		}, func(q *Question) {
			q.Usage[channels.Care] = slices.Repeat([]int64{at(t, "2026-11-18T14:45:00Z").UnixMicro()}, 10)
		}, "2026-11-25T14:30:00Z"},
	} {
		s, q := ana(), ask(c.category, at(t, c.now))
		q.SendAt = at(t, c.send)
		if c.expires != "" {
			q.ExpiresAt = at(t, c.expires)
		}
		if c.patient != nil {
			c.patient(s)
		}
		if c.question != nil {
			c.question(&q)
		}
		if got := p.ScheduleAt(s, q); !got.Equal(at(t, c.want)) {
			t.Errorf("%s: %s, wanted %s", c.name, got.UTC().Format(time.RFC3339), c.want)
		}
	}
}

func TestScheduleOfAnUnknownPatientStays(t *testing.T) {
	p := testPolicy(t)
	q := ask("appointment_reminder", at(t, day))
	q.SendAt, q.ExpiresAt = at(t, "2026-11-25T12:00:00Z"), at(t, "2026-11-25T14:00:00Z")
	if got := p.ScheduleAt(nil, q); !got.Equal(q.SendAt) {
		t.Errorf("moved to %s", got)
	}
	q.Category = "pigeon_post"
	if got := p.ScheduleAt(ana(), q); !got.Equal(q.SendAt) {
		t.Errorf("moved to %s", got)
	}
}

// Moving a message only ever helps: it is moved to an earlier moment, not before
// now, at which it goes by a way that at its own time was too late.
func TestMovingEarlierHelps(t *testing.T) {
	p := testPolicy(t)
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		q.SendAt = q.Now.Add(time.Duration(rapid.IntRange(0, 30*3600).Draw(t, "later")) * time.Second)
		q.ExpiresAt = q.SendAt.Add(time.Duration(rapid.IntRange(1, 12*3600).Draw(t, "good for")) * time.Second)
		if rapid.Bool().Draw(t, "asked by day for the night") { // what is moved most
			q.Category = rapid.SampledFrom([]string{"appointment_reminder", "appointment_change", "follow_up"}).Draw(t, "essential")
			q.Channels, q.Content, q.Usage = []channels.Channel{channels.SMS}, Minimal, Usage{}
			noon := time.Date(q.Now.Year(), q.Now.Month(), q.Now.Day(), 18, 0, 0, 0, time.UTC)
			q.Now = noon.Add(time.Duration(rapid.IntRange(0, 5*3600).Draw(t, "asked")) * time.Second)
			q.SendAt = noon.Add(time.Duration(rapid.IntRange(10*3600, 16*3600).Draw(t, "at night")) * time.Second)
			q.ExpiresAt = q.SendAt.Add(time.Duration(rapid.IntRange(1, 3600).Draw(t, "before morning")) * time.Second)
		}
		when := p.ScheduleAt(s, q)
		if when.Equal(q.at()) {
			return
		}
		moved++
		cat, _ := p.Category(q.Category)
		before := p.Decide(s, q)
		q.SendAt = when
		after := p.Decide(s, q)
		if when.Before(q.Now) || after.Outcome != Send || after.Pair.Channel == channels.Email || cat.Class != Essential {
			t.Fatalf("moved to %s, where it is %s by %v", when, after.Outcome, after.Pair)
		}
		if inside(cat.Program, before.At, s, s.AddressByID(after.Pair.Address)) && before.Pair == after.Pair {
			t.Fatal("it was open at its own time")
		}
		for _, c := range before.Considered {
			if c.Pair == after.Pair && c.Code != TooLate {
				t.Fatalf("%v was %s", c.Pair, c.Code)
			}
			if c.Pair == before.Pair {
				t.Fatal("a better or equal way was open in time")
			}
			if c.Pair == after.Pair {
				return
			}
		}
	})
	if moved == 0 {
		t.Error("nothing was ever moved")
	}
}
