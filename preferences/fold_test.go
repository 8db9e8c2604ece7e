package preferences

import (
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

var noon = time.Date(2026, 11, 24, 19, 0, 0, 0, time.UTC).UnixMicro()

func contact(addresses ...ContactAddress) Event {
	return Event{Kind: ContactSet, At: noon, Contact: &Contact{
		BirthDate: Date{1980, 4, 2}, Zones: []string{"America/Denver"}, Addresses: addresses,
	}}
}

func TestFoldKeepsWhatAContactRecordMayNotUndo(t *testing.T) {
	phone := ContactAddress{ID: 1, Kind: channels.Phone, Rank: 1}
	raised := phone
	raised.Consent = Express
	s := Fold(7, []Event{
		contact(phone),
		{Kind: AddressBad, Address: 1},
		contact(),       // removed …
		contact(raised), // … and back, with more consent than it had
		{Kind: AddressLandline, Address: 1},
		contact(phone),
	}, map[int64]Bound{1: {Stops: channels.SetOf(channels.Care)}})
	a := s.AddressByID(1)
	if a.State != Bad || a.Consent != Provided || a.Line != Landline || !a.OnRecord || !a.Stops.Has(channels.Care) {
		t.Errorf("a contact record cleaned, raised or forgot: %+v", a)
	}
}

func TestConsentNotStatedChangesNothing(t *testing.T) {
	express := ContactAddress{ID: 1, Kind: channels.Phone, Rank: 1, Consent: Express}
	unstated := express
	unstated.Consent = NoConsent
	if s := Fold(7, []Event{contact(express), contact(unstated)}, nil); s.Addresses[0].Consent != Express {
		t.Errorf("lowered to %s by saying nothing", s.Addresses[0].Consent)
	}
	lower := express
	lower.Consent = Provided
	if s := Fold(7, []Event{contact(express), contact(lower)}, nil); s.Addresses[0].Consent != Provided {
		t.Errorf("a record may lower a consent, but it is %s", s.Addresses[0].Consent)
	}
}

func TestWrongPersonOutlivesABounce(t *testing.T) {
	s := Fold(7, []Event{contact(ContactAddress{ID: 1, Kind: channels.Mailbox}), {Kind: AddressWrong, Address: 1}, {Kind: AddressBad, Address: 1}}, nil)
	if s.Addresses[0].State != WrongPerson {
		t.Errorf("state %s", s.Addresses[0].State)
	}
}

func TestLateWordsKeepTheirTime(t *testing.T) {
	word := func(in bool, at int64) Event {
		return Event{Kind: ChoiceMade, Choice: &Choice{Topic: "newsletter", In: in, At: at}}
	}
	s := Fold(7, []Event{word(false, 20), word(false, 10), word(true, 15)}, nil)
	for _, c := range s.Choices {
		if !c.In && c.At != 20 {
			t.Errorf("an older refusal replaced a newer one: %+v", c)
		}
	}
}

func TestEighteenAtLocalMidnightOfTheBirthday(t *testing.T) {
	born := Date{2008, 11, 25}
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := adultFrom(born, []string{"America/New_York", "America/Denver"}, noon), time.Date(2026, 11, 25, 0, 0, 0, 0, denver).UnixMicro(); got != want {
		t.Errorf("the westernmost of the zones counts: %s", time.UnixMicro(got))
	}
	if adultFrom(Date{1980, 4, 2}, nil, noon) != 0 {
		t.Error("an adult is not one")
	}
	if adultFrom(Date{}, nil, noon) == 0 {
		t.Error("an unknown age passed for an adult's")
	}
}

func TestErasedKeepsNothing(t *testing.T) {
	s := Fold(7, []Event{contact(ContactAddress{ID: 1, Kind: channels.Phone}), {Kind: PatientErased}}, nil)
	if s.Standing != Erased || len(s.Addresses) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestZones(t *testing.T) {
	for _, c := range []struct {
		number string
		want   int
	}{{"+13035550111", 1}, {"+12085550111", 2}, {"+18505550111", 2}, {"+18885550111", 0}, {"+19075550111", 2}, {"+442071838750", 0}} {
		if got := ZonesOfNumber(c.number); len(got) != c.want {
			t.Errorf("area code %s: %v", c.number[2:5], got)
		}
	}
	if got := ZonesOfPostalCode("80202"); len(got) != 1 || got[0] != "America/Denver" {
		t.Errorf("80202: %v", got)
	}
	for _, name := range AllZones() {
		if _, err := time.LoadLocation(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
