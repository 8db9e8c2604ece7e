package preferences

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
)

// adultAge: the service is for adults.
const adultAge = 18

// Bound is what was said of an address itself: it binds whoever has it.
type Bound struct {
	Stops    channels.ProgramSet // of a number
	OptedOut int64               // of a mailbox: when the last spam report was made, Unix microseconds; 0: never
}

// Fold gives the snapshot that a patient's events make, oldest first, with what
// binds the addresses the patient has now.
func Fold(patient int64, events []Event, bound map[int64]Bound) *Snapshot {
	s := &Snapshot{Patient: patient}
	for i := range events {
		s.Apply(&events[i])
	}
	s.Bind(bound)
	return s
}

// Bind puts what was said of the numbers and mailboxes, by address id, onto the
// addresses. Of an address that is not in the map nothing was said.
func (s *Snapshot) Bind(bound map[int64]Bound) {
	for i := range s.Addresses {
		a := &s.Addresses[i]
		a.Stops, a.OptedOut = bound[a.ID].Stops, bound[a.ID].OptedOut
	}
}

// Apply folds one more event in. It leaves Version alone.
func (s *Snapshot) Apply(e *Event) {
	switch e.Kind {
	case ContactSet:
		s.applyContact(e)
	case ChoiceMade:
		s.applyChoice(*e.Choice)
	case CareChannelsSet:
		s.Care = *e.Care
	case UnencryptedSet:
		s.UnencryptedOK = e.Yes
	case ConfidentialSet:
		for _, extra := range e.Extra {
			s.address(extra)
		}
		c := *e.Confidential
		s.Confidential = &c
	case ConfidentialEnded:
		s.Confidential = nil
	case RestrictionAgreed:
		s.Restrictions = append(s.Restrictions, *e.Restriction)
	case RestrictionEnded:
		s.Restrictions = slices.DeleteFunc(s.Restrictions, func(r Restriction) bool { return r.ID == e.Ended })
	case AuthorizationSigned:
		s.Authorizations = append(s.Authorizations, *e.Authorization)
	case AuthorizationRevoked:
		s.Authorizations = slices.DeleteFunc(s.Authorizations, func(a Authorization) bool { return a.ID == e.Ended })
	case PatientErased:
		*s = Snapshot{Patient: s.Patient, Version: s.Version, Standing: Erased}
	default:
		s.applyToAddress(e)
	}
}

func (s *Snapshot) applyToAddress(e *Event) {
	a := s.AddressByID(e.Address)
	if a == nil {
		return
	}
	switch e.Kind {
	case ConsentGiven:
		a.Consent = e.Consent
	case AddressVerified:
		a.State = OK
	case AddressBad:
		if a.State == OK {
			a.State = Bad
		}
	case AddressWrong:
		a.State = WrongPerson
	case AddressLandline:
		a.Line = Landline
	}
}

// applyContact replaces the contact record. It may lower a consent and never
// raises one, never cleans a bad address and never forgets a removed one.
func (s *Snapshot) applyContact(e *Event) {
	c := e.Contact
	s.Standing = Active
	if c.Deceased {
		s.Standing = Deceased
	}
	s.Locale, s.Zones = c.Locale, ZoneSetOf(c.Zones...)
	s.AdultFrom = adultFrom(c.BirthDate, c.Zones, e.At)
	for i := range s.Addresses {
		s.Addresses[i].OnRecord = false
	}
	for _, ca := range c.Addresses {
		a := s.address(ca)
		a.OnRecord, a.Rank, a.Zones = true, ca.Rank, ZoneSetOf(ca.Zones...)
		if ca.Consent != NoConsent {
			a.Consent = min(a.Consent, ca.Consent)
		}
		if !(a.Line == Landline && ca.Line == UnknownLine) {
			a.Line = ca.Line
		}
	}
}

// address gives the address with this id, adding it as first put on file.
func (s *Snapshot) address(ca ContactAddress) *Address {
	if a := s.AddressByID(ca.ID); a != nil {
		return a
	}
	consent := min(ca.Consent, Express)
	if consent == NoConsent {
		consent = Provided // the default for an address on file
	}
	s.Addresses = append(s.Addresses, Address{
		ID: ca.ID, Kind: ca.Kind, Line: ca.Line, Rank: ca.Rank, Consent: consent, Zones: ZoneSetOf(ca.Zones...),
	})
	return &s.Addresses[len(s.Addresses)-1]
}

// applyChoice keeps, for each topic and channel, the latest opt-in and the latest
// opt-out: the last word wins by when it was said, not by when it was heard.
func (s *Snapshot) applyChoice(c Choice) {
	for i, old := range s.Choices {
		if old.Topic == c.Topic && old.Channel == c.Channel && old.In == c.In {
			if c.At > old.At || c.At == old.At && c.Consent < old.Consent {
				s.Choices[i] = c
			}
			return
		}
	}
	s.Choices = append(s.Choices, c)
}

// adultFrom is the instant of the 18th birthday, local midnight in the
// westernmost of the zones the patient may be in, or 0 when it had passed at now.
func adultFrom(born Date, zones []string, now int64) int64 {
	if born.IsZero() {
		return 1<<63 - 1 // an unknown age is never an adult's
	}
	born.Year += adultAge
	at := born.In(westernmost(zones, born)).UnixMicro()
	if at <= now {
		return 0
	}
	return at
}

func westernmost(zones []string, day Date) *time.Location {
	far := time.FixedZone("furthest", -11*3600) // American Samoa, when nothing is known
	if len(zones) == 0 {
		return far
	}
	var west *time.Location
	for _, name := range zones {
		loc, err := time.LoadLocation(name)
		if err != nil || name == "" || name == "Local" { // these two say nothing of the patient
			return far
		}
		if west == nil || day.In(loc).After(day.In(west)) {
			west = loc
		}
	}
	return west
}
