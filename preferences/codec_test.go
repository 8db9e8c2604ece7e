package preferences

import (
	"bytes"
	"errors"
	"reflect"
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
		s.Zones = append(s.Zones, zone.Draw(t, "zone"))
	}
	for range list(4) {
		a := Address{
			ID: rapid.Int64().Draw(t, "id"), Kind: channels.Kind(list(2)), State: AddressState(list(2)), Line: LineType(list(3)), OnRecord: rapid.Bool().Draw(t, "on"),
			Rank: int16(list(9)), Consent: Consent(list(3)), Stops: channels.ProgramSet(list(15)), OptedOut: rapid.Int64().Draw(t, "out"),
		}
		for range list(2) {
			a.Zones = append(a.Zones, zone.Draw(t, "zone"))
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

func benchSnapshot() *Snapshot {
	return Fold(7, []Event{contact(
		ContactAddress{ID: 1, Kind: channels.Phone, Rank: 1, Zones: []string{"America/Denver"}},
		ContactAddress{ID: 2, Kind: channels.Phone, Rank: 2, Zones: []string{"America/New_York"}},
		ContactAddress{ID: 3, Kind: channels.Mailbox, Rank: 1},
	)}, nil)
}

func BenchmarkEncode(b *testing.B) {
	s := benchSnapshot()
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = s.AppendBinary(buf[:0])
	}
}

func BenchmarkDecode(b *testing.B) {
	buf, err := benchSnapshot().AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	var s Snapshot
	b.ReportAllocs()
	for b.Loop() {
		if err := s.UnmarshalBinary(buf); err != nil {
			b.Fatal(err)
		}
	}
}
