package dispatch

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

func TestFactsAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := known{&preferences.Snapshot{
			Patient: rapid.Int64().Draw(t, "patient"), Version: rapid.Int64().Draw(t, "version"), Locale: "es",
			Addresses: []preferences.Address{{ID: 7, Kind: channels.Mailbox, Rank: 1}},
		}, rapid.SampledFrom([]string{"cache", "database", ""}).Draw(t, "from")}
		var usage policy.Usage
		for i := range usage {
			usage[i] = rapid.SliceOfN(rapid.Int64(), 0, 5).Draw(t, "usage")
		}
		var r Record
		if err := readFacts(facts(k, usage), &r); err != nil {
			t.Fatal(err)
		}
		if r.FactsFrom != k.from || r.Snapshot.Patient != k.Patient || r.Snapshot.Version != k.Version || r.Snapshot.Locale != "es" || len(r.Snapshot.Addresses) != 1 {
			t.Errorf("%+v", r)
		}
		for i := range usage {
			if len(usage[i]) != len(r.Question.Usage[i]) {
				t.Fatalf("%v and %v", usage, r.Question.Usage)
			}
			for n := range usage[i] {
				if usage[i][n] != r.Question.Usage[i][n] {
					t.Errorf("%v and %v", usage, r.Question.Usage)
				}
			}
		}
	})
}

func FuzzReadFacts(f *testing.F) {
	f.Add(facts(known{&preferences.Snapshot{Patient: 1, Version: 2}, "cache"}, policy.Usage{{time.Now().UnixMicro()}}))
	f.Add([]byte{})
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = readFacts(b, &Record{}) // whatever it says: it must come back
	})
}
