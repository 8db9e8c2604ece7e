package policy

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// CodeWay says by which pair a code may go to an address of a patient, who asked for
// it on a page behind a link that went there; else why not. What is essential and
// what is not does not come into it: nobody gets a code who did not ask for one, so
// a declined channel is no refusal here. A stop and the confidential communication
// instruction are (47 CFR 64.1200(a)(10), 45 CFR 164.522(b)). Codes are texts and
// emails of the care program.
func CodeWay(s *preferences.Snapshot, address int64, now time.Time) (preferences.Pair, Code) {
	switch {
	case s == nil:
		return preferences.Pair{}, PatientUnknown
	case s.Standing == preferences.Erased:
		return preferences.Pair{}, PatientErased
	case s.Standing == preferences.Deceased:
		return preferences.Pair{}, PatientDeceased
	case s.AdultFrom > now.UnixMicro():
		return preferences.Pair{}, PatientMinor
	}
	a := s.AddressByID(address)
	if a == nil {
		return preferences.Pair{}, NoAddress
	}
	pair := preferences.Pair{Channel: channels.SMS, Address: a.ID}
	if a.Kind == channels.Mailbox {
		pair.Channel = channels.Email
	}
	confidential := s.Confidential != nil && slices.Contains(s.Confidential.Only, pair)
	switch {
	case s.Confidential != nil && !confidential:
		return pair, ConfidentialOnly
	case !a.OnRecord && !confidential:
		return pair, NoAddress
	case a.State == preferences.Bad:
		return pair, AddressBad
	case a.State == preferences.WrongPerson:
		return pair, WrongPerson
	case pair.Channel == channels.SMS && a.Line == preferences.Landline:
		return pair, NotTextable
	case a.Stops.Has(channels.Care):
		return pair, Stopped
	}
	return pair, ""
}
