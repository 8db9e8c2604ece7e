package preferences_test

import (
	"reflect"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

func TestHeldFollowsTheRecordAndTheInstruction(t *testing.T) {
	contact := func(at int64, ids ...int64) preferences.Event {
		e := preferences.Event{Kind: preferences.ContactSet, At: at, Contact: &preferences.Contact{}}
		for _, id := range ids {
			e.Contact.Addresses = append(e.Contact.Addresses, preferences.ContactAddress{ID: id, Kind: channels.Phone, Rank: 1})
		}
		return e
	}
	got := preferences.Held(7, []preferences.Event{
		contact(10, 1, 2),
		contact(20, 2), // 1 is gone
		{Kind: preferences.ConfidentialSet, At: 30, Confidential: &preferences.Confidential{Only: []preferences.Pair{{Channel: channels.SMS, Address: 3}}},
			Extra: []preferences.ContactAddress{{ID: 3, Kind: channels.Phone, Rank: 1}}},
		contact(40, 1, 2), // 1 is back
		{Kind: preferences.ConfidentialEnded, At: 50},
	})
	want := map[int64][]preferences.Span{1: {{10, 20}, {40, 0}}, 2: {{10, 0}}, 3: {{30, 50}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
	for at, in := range map[int64]bool{9: false, 10: true, 19: true, 20: false, 39: false, 40: true, 1000: true} {
		if preferences.During(got[1], at) != in {
			t.Errorf("at %d", at)
		}
	}
}
