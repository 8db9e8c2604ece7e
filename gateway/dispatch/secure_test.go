package dispatch

import (
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

func TestBornOn(t *testing.T) {
	day := preferences.Date{Year: 1962, Month: 4, Day: 2}
	for born, want := range map[string]bool{"1962-04-02": true, "1962-04-03": false, "": false, "1962-04-02 ": false} {
		if got := (Secure{born: born}).BornOn(day); got != want {
			t.Errorf("born %q: %t", born, got)
		}
	}
	if (Secure{}).BornOn(preferences.Date{}) {
		t.Error("no date at all opens a message without a birth date")
	}
}

func TestLinkTry(t *testing.T) {
	try := func(number int, form string) gateway.Attempt { return gateway.Attempt{Number: number, Form: form} }
	for _, c := range []struct {
		tries []gateway.Attempt
		want  int // 0: none
	}{
		{nil, 0},
		{[]gateway.Attempt{try(1, "full")}, 0},
		{[]gateway.Attempt{try(1, "secure_link"), try(2, "secure_link"), try(3, "call_back")}, 2},
	} {
		got := 0
		if a := linkTry(&gateway.Message{Tries: c.tries}); a != nil {
			got = a.Number
		}
		if got != c.want {
			t.Errorf("%+v: try %d", c.tries, got)
		}
	}
}

func TestClosedWays(t *testing.T) {
	by := preferences.Pair{Channel: channels.Email, Address: 1}
	only := func(pairs ...preferences.Pair) *preferences.Confidential {
		return &preferences.Confidential{Only: pairs}
	}
	at := func(state preferences.AddressState) []preferences.Address {
		return []preferences.Address{{ID: 1, State: state}}
	}
	for name, c := range map[string]struct {
		s    preferences.Snapshot
		want bool
	}{
		"as it was":           {preferences.Snapshot{Addresses: at(preferences.OK)}, false},
		"bounced since":       {preferences.Snapshot{Addresses: at(preferences.Bad)}, false},
		"somebody else's":     {preferences.Snapshot{Addresses: at(preferences.WrongPerson)}, true},
		"only this way":       {preferences.Snapshot{Addresses: at(preferences.OK), Confidential: only(by)}, false},
		"only another way":    {preferences.Snapshot{Addresses: at(preferences.OK), Confidential: only(preferences.Pair{Channel: channels.SMS, Address: 1})}, true},
		"only letters":        {preferences.Snapshot{Addresses: at(preferences.OK), Confidential: only()}, true},
		"no longer on record": {preferences.Snapshot{}, false},
	} {
		if got := closed(&c.s, by); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
