package policy

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// FuzzDecide asks about any snapshot that can be decoded: it never panics, screening
// agrees, and nothing passes a confidential instruction.
func FuzzDecide(f *testing.F) {
	p := testPolicy(f)
	s := ana()
	seed := func(category string, flags uint64) {
		b, err := s.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, category, flags, at(f, night).UnixMicro(), int64(time.Hour), int64(40*time.Hour), []byte{0, 0, 0, 0, 1, 2, 3, 4})
	}
	seed("appointment_reminder", 0)
	s.Choices = []preferences.Choice{{Topic: "marketing", In: true, Consent: preferences.Written, At: 2}, {Topic: "non_essential", Channel: channels.Voice, At: 2}}
	s.Confidential = &preferences.Confidential{Only: []preferences.Pair{pair(channels.SMS, 1), pair(channels.Email, 2)}, Discreet: true}
	s.Zones = preferences.ZoneSetOf("Pacific/Guam", "Local", "")
	seed("marketing", 1<<40-1)
	s.Authorizations = []preferences.Authorization{{Category: "sponsored_marketing", SignedOn: preferences.Date{Year: 2026, Month: 1, Day: 1}, ExpiresOn: preferences.Date{Year: -3, Month: 200, Day: -9}}}
	seed("sponsored_marketing", 0x5555555555)
	f.Fuzz(func(t *testing.T, snapshot []byte, category string, flags uint64, now, later, expires int64, usage []byte) {
		var s preferences.Snapshot
		if s.UnmarshalBinary(snapshot) != nil {
			return
		}
		q := fuzzed(category, flags, now, later, expires, usage)
		d := p.Decide(&s, q)
		if outcome, code, by := p.Screen(&s, q); outcome != d.Outcome || code != d.Code || by != d.Pair {
			t.Fatalf("screening says %s %q by %v, the decision %s %q by %v", outcome, code, by, d.Outcome, d.Code, d.Pair)
		}
		if (d.Outcome == Send || d.Outcome == Defer) && s.Confidential != nil && !slices.Contains(s.Confidential.Only, d.Pair) {
			t.Fatalf("%s by %v", d.Outcome, d.Pair)
		}
		if d.Outcome < Send || d.Outcome > NeedsStaff || d.Outcome != Send && d.Code == "" || d.Code.Sentence() == "" {
			t.Fatalf("%s %q", d.Outcome, d.Code)
		}
		p.ScheduleAt(&s, q)
	})
}

// fuzzed makes a question of what the fuzzer gives: one flag a bit.
func fuzzed(category string, flags uint64, now, later, expires int64, usage []byte) Question {
	flag := func() bool {
		on := flags&1 == 1
		flags >>= 1
		return on
	}
	q := Question{
		Category: category, Now: time.UnixMicro(now), Urgent: flag(), Override: flag(), AtDispatch: flag(), ContentKnown: flag(), DiscreetKnown: flag(),
	}
	if flag() {
		q.SendAt = q.Now.Add(time.Duration(later))
	}
	if flag() {
		q.ExpiresAt = q.Now.Add(time.Duration(expires))
	}
	q.Content = Content(flags % 3)
	for _, ch := range channels.Channels {
		if flag() {
			q.Channels = append(q.Channels, ch)
		}
		q.Adapters[ch] = flag()
		q.Agreement[ch] = Content(flags % 3)
		for form := range q.HasDiscreet[ch] {
			q.HasDiscreet[ch][form] = flag()
		}
	}
	for i := 0; i+8 <= len(usage); i += 8 {
		program := channels.Programs[i/8%len(channels.Programs)]
		q.Usage[program] = append(q.Usage[program], int64(binary.LittleEndian.Uint64(usage[i:])))
	}
	return q
}
