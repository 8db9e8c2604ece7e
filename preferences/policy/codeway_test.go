package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

func TestCodeWay(t *testing.T) {
	now := time.Date(2030, 3, 6, 19, 0, 0, 0, time.UTC)
	mail := preferences.Pair{Channel: channels.Email, Address: 1}
	text := preferences.Pair{Channel: channels.SMS, Address: 2}
	for name, c := range map[string]struct {
		change  func(*preferences.Snapshot)
		address int64
		pair    preferences.Pair
		code    Code
	}{
		"a mailbox":              {func(*preferences.Snapshot) {}, 1, mail, ""},
		"a phone":                {func(*preferences.Snapshot) {}, 2, text, ""},
		"nobody's address":       {func(*preferences.Snapshot) {}, 3, preferences.Pair{}, NoAddress},
		"erased":                 {func(s *preferences.Snapshot) { s.Standing = preferences.Erased }, 1, preferences.Pair{}, PatientErased},
		"deceased":               {func(s *preferences.Snapshot) { s.Standing = preferences.Deceased }, 1, preferences.Pair{}, PatientDeceased},
		"a minor":                {func(s *preferences.Snapshot) { s.AdultFrom = now.Add(time.Hour).UnixMicro() }, 1, preferences.Pair{}, PatientMinor},
		"no longer on record":    {func(s *preferences.Snapshot) { s.Addresses[0].OnRecord = false }, 1, mail, NoAddress},
		"bad":                    {func(s *preferences.Snapshot) { s.Addresses[0].State = preferences.Bad }, 1, mail, AddressBad},
		"somebody else's":        {func(s *preferences.Snapshot) { s.Addresses[1].State = preferences.WrongPerson }, 2, text, WrongPerson},
		"a landline":             {func(s *preferences.Snapshot) { s.Addresses[1].Line = preferences.Landline }, 2, text, NotTextable},
		"a stopped phone":        {func(s *preferences.Snapshot) { s.Addresses[1].Stops = channels.SetOf(channels.Care) }, 2, text, Stopped},
		"another program's stop": {func(s *preferences.Snapshot) { s.Addresses[1].Stops = channels.SetOf(channels.Marketing) }, 2, text, ""},
		"a declined channel":     {func(s *preferences.Snapshot) { s.Care.Declined = []channels.Channel{channels.Email} }, 1, mail, ""},
		"not in the instruction": {func(s *preferences.Snapshot) {
			s.Confidential = &preferences.Confidential{Only: []preferences.Pair{{Channel: channels.Voice, Address: 2}}}
		}, 2, text, ConfidentialOnly},
		"named by the instruction alone": {func(s *preferences.Snapshot) {
			s.Addresses[0].OnRecord = false
			s.Confidential = &preferences.Confidential{Only: []preferences.Pair{mail}}
		}, 1, mail, ""},
	} {
		s := &preferences.Snapshot{Addresses: []preferences.Address{
			{ID: 1, Kind: channels.Mailbox, OnRecord: true}, {ID: 2, Kind: channels.Phone, OnRecord: true, Line: preferences.Mobile},
		}}
		c.change(s)
		if pair, code := CodeWay(s, c.address, now); pair != c.pair || code != c.code {
			t.Errorf("%s: %v, %q", name, pair, code)
		}
	}
	if _, code := CodeWay(nil, 1, now); code != PatientUnknown {
		t.Errorf("nobody: %q", code)
	}
}

// A code never goes where the decision itself would refuse an essential message for
// what is known of the patient or the address.
func TestCodeWayIsNeverWider(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		if len(s.Addresses) == 0 {
			return
		}
		address := s.Addresses[rapid.IntRange(0, len(s.Addresses)-1).Draw(t, "address")].ID
		pair, code := CodeWay(s, address, q.Now)
		if code != "" {
			return
		}
		s.Restrictions, s.Care.Declined = nil, nil
		for i := range s.Addresses {
			s.Addresses[i].Consent = preferences.Express
		}
		all := Question{Category: "follow_up", Channels: []channels.Channel{pair.Channel}, Now: q.Now, Urgent: true, ContentKnown: true}
		for _, c := range p.Decide(s, all).Considered {
			if c.Pair == pair && c.Verdict != Allowed {
				t.Fatalf("a code may go by %v, a message is refused: %s", pair, c.Code)
			}
		}
	})
}
