package store

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/gateway/campaign"
)

func TestItemsAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Int64Range(-1<<62, 1<<62)
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) campaign.OpenItem {
			return campaign.OpenItem{
				Message: id.Draw(t, "message"), Attempt: id.Draw(t, "attempt"), Number: rapid.IntRange(1, 9).Draw(t, "number"), Pos: id.Draw(t, "pos"),
				Patient: id.Draw(t, "patient"), Address: id.Draw(t, "address"), Version: id.Draw(t, "version"),
			}
		}), 0, 300).Draw(t, "items")
		got, err := readItems(writeItems(list))
		if err != nil || !slices.Equal(got, list) {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func FuzzReadItems(f *testing.F) {
	f.Add(writeItems([]campaign.OpenItem{{Message: 7, Attempt: 7, Number: 1, Pos: 2, Patient: 3, Address: 4, Version: 5}}))
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = readItems(b) // whatever it says: it must come back, and not take all memory
	})
}
