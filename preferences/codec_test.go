package preferences

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

func drawSnapshot(t *rapid.T) *Snapshot {
	zone := rapid.SampledFrom([]string{"America/Denver", "America/New_York", "Europe/Madrid"})
	topic := rapid.SampledFrom([]string{"marketing", "non_essential", "newsletter", "a_topic_of_their_own"})
	channel := rapid.SampledFrom([]channels.Channel{channels.SMS, channels.Voice, channels.Email})
	date := rapid.Custom(func(t *rapid.T) Date {
		return Date{int16(rapid.IntRange(1900, 2100).Draw(t, "year")), time.Month(rapid.IntRange(1, 12).Draw(t, "month")), int8(rapid.IntRange(1, 28).Draw(t, "day"))}
	})
	list := func(n int) int { return rapid.IntRange(0, n).Draw(t, "n") }
	s := &Snapshot{
		Patient: rapid.Int64().Draw(t, "patient"), Version: rapid.Int64().Draw(t, "version"), Standing: Standing(list(2)),
		AdultFrom: rapid.Int64().Draw(t, "adult"), Locale: rapid.SampledFrom([]string{"", "en", "es", "fr-CA"}).Draw(t, "locale"),
		UnencryptedOK: rapid.Bool().Draw(t, "unencrypted"),
	}
	for range list(3) {
		s.Zones.add(zone.Draw(t, "zone"))
	}
	for range list(4) {
		a := Address{
			ID: rapid.Int64().Draw(t, "id"), Kind: channels.Kind(list(2)), State: AddressState(list(2)), Line: LineType(list(3)), OnRecord: rapid.Bool().Draw(t, "on"),
			Rank: int16(list(9)), Consent: Consent(list(3)), Stops: channels.ProgramSet(list(15)), OptedOut: rapid.Int64().Draw(t, "out"),
		}
		for range list(2) {
			a.Zones.add(zone.Draw(t, "zone"))
		}
		s.Addresses = append(s.Addresses, a)
	}
	for range list(4) {
		s.Choices = append(s.Choices, Choice{topic.Draw(t, "topic"), channels.Channel(list(3)), rapid.Bool().Draw(t, "in"), Consent(list(3)), rapid.Int64().Draw(t, "at")})
	}
	for range list(3) {
		s.Care.Order = append(s.Care.Order, channel.Draw(t, "order"))
	}
	if rapid.Bool().Draw(t, "confidential") {
		s.Confidential = &Confidential{Only: []Pair{}, Discreet: rapid.Bool().Draw(t, "discreet"), Hold: rapid.Bool().Draw(t, "hold")}
		for range list(2) {
			s.Confidential.Only = append(s.Confidential.Only, Pair{channel.Draw(t, "way"), rapid.Int64().Draw(t, "address")})
		}
	}
	for range list(2) {
		s.Restrictions = append(s.Restrictions, Restriction{rapid.Int64().Draw(t, "id"), topic.Draw(t, "category"), "treatment"})
		s.Authorizations = append(s.Authorizations, Authorization{rapid.Int64().Draw(t, "id"), topic.Draw(t, "category"), date.Draw(t, "signed"), date.Draw(t, "expires")})
	}
	return s
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		b, err := s.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got Snapshot
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s, &got) {
			t.Fatalf("wrote %+v, read %+v", s, got)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if got.UnmarshalBinary(b[:cut]) == nil {
			t.Fatalf("a snapshot cut at %d of %d was read", cut, len(b))
		}
		if got.UnmarshalBinary(append(bytes.Clone(b), 0)) == nil {
			t.Fatal("a snapshot with something behind it was read")
		}
	})
}

// What was in a snapshot before leaves nothing behind when it is read over, and asks
// for no memory where there was room.
func TestRefill(t *testing.T) {
	var reused Snapshot
	rapid.Check(t, func(t *rapid.T) {
		want, err := drawSnapshot(t).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := reused.Refill(want); err != nil {
			t.Fatal(err)
		}
		if got, _ := reused.AppendBinary(nil); !bytes.Equal(got, want) {
			t.Fatalf("wrote %x, read %x", want, got)
		}
		if rapid.Bool().Draw(t, "fault") && reused.Refill(want[:len(want)-1]) == nil {
			t.Fatal("a snapshot cut at its end was read")
		}
	})
	want, err := benchSnapshot().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { err = reused.Refill(want) }); n > 0 || err != nil {
		t.Errorf("%v allocations, error %v", n, err)
	}
}

// Whole numbers of every length are read as the standard library writes them.
func TestReadingNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Int64().Draw(t, "number") >> rapid.IntRange(0, 63).Draw(t, "bits")
		behind := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "behind")
		b := append(binary.AppendVarint(nil, want), behind...)
		if got, rest := (input{b: b}).int(); got != want || !bytes.Equal(rest.b[rest.at:], behind) {
			t.Fatalf("read %d from %x, up to %d", got, b, rest.at)
		}
	})
}

// The order of zones and how often one is named say nothing; what is no zone of the
// United States is kept as it was given.
func TestZoneSet(t *testing.T) {
	z := ZoneSetOf("America/New_York", "Europe/Madrid", "", "America/Denver", "America/New_York", "Europe/Madrid")
	if got := z.Names(); !slices.Equal(got, []string{"America/New_York", "America/Denver", "Europe/Madrid", ""}) || z.Len() != 4 {
		t.Errorf("%q, %d", got, z.Len())
	}
	body, err := json.Marshal(z)
	var again ZoneSet
	if err != nil || json.Unmarshal(body, &again) != nil || !reflect.DeepEqual(z, again) {
		t.Errorf("%v became %s, %v", z, body, again)
	}
	if body, err := json.Marshal(ZoneSet{}); err != nil || string(body) != "null" || json.Unmarshal(body, &again) != nil || again.Len() != 0 {
		t.Errorf("the empty set became %s, %v", body, again)
	}
	for i, name := range KnownZones() {
		if ZoneSetOf(name).Known != 1<<i {
			t.Errorf("%s is not bit %d", name, i)
		}
	}
	if len(KnownZones()) > 32 {
		t.Error("there are more zones than bits")
	}
}

// TestOlderBytesAreRefused: what a cache kept before spam reports had an instant is a
// miss, and never read as something else.
func TestOlderBytesAreRefused(t *testing.T) {
	b, err := benchSnapshot().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	b[0] = 1
	if err := new(Snapshot).UnmarshalBinary(b); !errors.Is(err, ErrEncoded) {
		t.Errorf("read bytes of an older version: %v", err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	b, err := benchSnapshot().AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{codecVersion, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Snapshot
		if s.UnmarshalBinary(b) != nil {
			return
		}
		again, err := s.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var same Snapshot
		if err := same.UnmarshalBinary(again); err != nil || !reflect.DeepEqual(s, same) {
			t.Fatalf("read twice, got two: %v", err)
		}
	})
}

// benchSnapshot has ids and instants as long as they are after some years.
func benchSnapshot() *Snapshot {
	s := Fold(1_204_511, []Event{contact(
		ContactAddress{ID: 2_400_123, Kind: channels.Phone, Rank: 1, Zones: []string{"America/Denver"}},
		ContactAddress{ID: 2_400_124, Kind: channels.Phone, Rank: 2, Zones: []string{"America/New_York"}},
		ContactAddress{ID: 2_400_125, Kind: channels.Mailbox, Rank: 1},
	)}, nil)
	s.Locale = "en"
	s.Version = time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC).UnixMicro()
	return s
}

// benchSnapshots are the usual patient, and one who said something of everything.
func benchSnapshots() map[string]*Snapshot {
	long := benchSnapshot()
	said := long.Version
	long.Choices = []Choice{{"marketing", channels.Email, true, Express, said}, {"marketing", channels.SMS, true, Written, said}, {"newsletter", 0, false, NoConsent, said}}
	long.Care.Order, long.Care.Declined = []channels.Channel{channels.SMS, channels.Email}, []channels.Channel{channels.Voice}
	long.Confidential = &Confidential{Only: []Pair{{channels.SMS, 2_400_123}, {channels.Email, 2_400_125}}, Discreet: true}
	long.Restrictions = []Restriction{{4_711, "survey", ""}}
	long.Authorizations = []Authorization{{4_712, "sponsored_marketing", Date{2026, 1, 2}, Date{2027, 1, 2}}}
	return map[string]*Snapshot{"three addresses": benchSnapshot(), "and a word on everything": long}
}

func BenchmarkEncode(b *testing.B) {
	for name, s := range benchSnapshots() {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = s.AppendBinary(buf[:0])
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, s := range benchSnapshots() {
		b.Run(name, func(b *testing.B) {
			buf, err := s.AppendBinary(nil)
			if err != nil {
				b.Fatal(err)
			}
			var s Snapshot
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Refill(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// longAgo is a snapshot with something in every field.
func longAgo() *Snapshot {
	s := &Snapshot{
		Patient: 446122609960982646, Version: 1795670105593932, Standing: 1, AdultFrom: 1795670105000000, Locale: "es", UnencryptedOK: true,
		Addresses: []Address{{
			ID: 446122609856368603, Kind: channels.Phone, State: 1, Line: 2, OnRecord: true, Rank: 1, Consent: Express, Stops: channels.SetOf(channels.Marketing), OptedOut: 5,
		}},
		Choices:        []Choice{{"newsletter", channels.Email, true, Written, 1795670105593000}, {"a_topic_of_their_own", 0, false, NoConsent, 7}},
		Care:           CareChannels{Order: []channels.Channel{channels.SMS}, Declined: []channels.Channel{channels.Voice}},
		Confidential:   &Confidential{Only: []Pair{{channels.Email, 9}}, Discreet: true, Hold: true},
		Restrictions:   []Restriction{{3, "newsletter", "treatment"}},
		Authorizations: []Authorization{{4, "sponsored_marketing", Date{2026, 1, 2}, Date{2027, 3, 4}}},
	}
	s.Zones.add("America/Denver")
	s.Addresses[0].Zones.add("Europe/Madrid")
	return s
}

// TestDecisionsOfLongAgoAreRead: snapshots lie for years beside what campaigns decided. A
// new form of the codec must go on to read this one.
func TestDecisionsOfLongAgoAreRead(t *testing.T) {
	const form2 = "02ece1f4cfcd89f9b00c98e1b8ece0c9b0060180a1f0ebe0c9b00612010301b6bf92eccc89f9b00c010102010202080a01000d4575726f70652f4d61647269640203030103d0d2b8ece0c9b0060014615f746f7069635f6f665f74686569725f6f776e0000000e010101020101031201010106030d010806d41f0102d61f030401"
	kept, err := hex.DecodeString(form2)
	if err != nil {
		t.Fatal(err)
	}
	var s Snapshot
	if err := s.UnmarshalBinary(kept); err != nil {
		t.Fatal(err)
	}
	if is, want := readable(t, &s), readable(t, longAgo()); is != want {
		t.Errorf("%s\n%s", is, want)
	}
}

func readable(t *testing.T, s *Snapshot) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
