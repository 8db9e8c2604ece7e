// Package preferences holds what a patient said: the events of the consent
// ledger, and the snapshot they fold into. The snapshot holds flags and our own
// ids only: no name, number, mailbox, birth date or postal code, so that it may
// lie in a cache.
package preferences

import (
	"slices"

	"harmonize.care/heed/channels"
)

// Standing says whether a patient may be written to at all.
type Standing uint8

// The standings.
const (
	Active Standing = iota
	Deceased
	Erased
)

// AddressState says what is known of an address itself.
type AddressState uint8

// The states of an address.
const (
	OK          AddressState = iota
	Bad                      // bounced, invalid, not in service
	WrongPerson              // somebody else answers: held until verified
)

// String gives the name used in the API.
func (s AddressState) String() string { return [...]string{"ok", "bad", "wrong_person"}[s] }

// LineType says what a phone can do.
type LineType uint8

// The line types. Unknown is treated as textable.
const (
	UnknownLine LineType = iota
	Mobile
	Landline
	VoIP
)

var lineTypeNames = [...]string{"unknown", "mobile", "landline", "voip"}

// String gives the name used in the API.
func (t LineType) String() string { return lineTypeNames[t] }

// Consent is how strong a patient's yes is, weakest first.
// 47 CFR 64.1200(a)(1)-(2), (f)(9).
type Consent uint8

// The consent levels.
const (
	NoConsent Consent = iota
	Provided          // the patient gave the address for this purpose
	Express           // said yes, oral or written, recorded
	Written           // signed: prior express written consent
)

var consentNames = [...]string{"", "provided", "express", "written"}

// String gives the name used in the API.
func (c Consent) String() string { return consentNames[c] }

// Topics that cover more than one category.
const (
	TopicMarketing    = "marketing"     // every category whose purpose is marketing
	TopicNonEssential = "non_essential" // every non-essential category
)

// Snapshot is everything the decision needs to know of one patient, as of Version.
type Snapshot struct {
	Patient        int64
	Version        int64
	Standing       Standing
	AdultFrom      int64   // Unix microseconds of the 18th birthday, 0 when already an adult as the record was written
	Locale         string  // en or es
	Zones          ZoneSet // the patient's own zone, or else every zone of the postal code or state; empty: unknown
	Addresses      []Address
	Choices        []Choice
	Care           CareChannels
	Confidential   *Confidential
	Restrictions   []Restriction
	Authorizations []Authorization
	UnencryptedOK  bool
}

// Address is one phone or mailbox of a patient, by our own id. The text stays
// in the database and is read at the claim.
type Address struct {
	ID       int64
	Kind     channels.Kind
	State    AddressState
	Line     LineType
	OnRecord bool  // on the contact record; false: removed, or only named by a confidential instruction
	Rank     int16 // 1 first
	Consent  Consent
	Stops    channels.ProgramSet // of the number, whoever has it
	OptedOut int64               // of the mailbox, whoever has it: when a spam report, an opt-out of everything non-essential, was made; 0: never
	Zones    ZoneSet             // phones: every zone of the area code
}

// Choice is an opt-in or opt-out of a topic on a channel.
type Choice struct {
	Topic   string           `json:"topic"`
	Channel channels.Channel `json:"channel,omitempty"` // 0: all
	In      bool             `json:"in"`
	Consent Consent          `json:"consent,omitempty"` // of an opt-in
	At      int64            `json:"at"`                // when the patient said it, Unix microseconds
}

// CareChannels is how a patient wants essential messages to come.
type CareChannels struct {
	Order    []channels.Channel `json:"order,omitempty"`
	Declined []channels.Channel `json:"declined,omitempty"`
}

// Confidential is a confidential communication instruction: the only pairs that
// may be used. Empty means letters only. 45 CFR 164.522(b).
type Confidential struct {
	Only     []Pair `json:"only"`
	Discreet bool   `json:"discreet,omitempty"` // never name the practice
	Hold     bool   `json:"hold,omitempty"`     // put in place by an import until a person has read the note
}

// Pair is an address used over one channel.
type Pair struct {
	Channel channels.Channel `json:"channel"`
	Address int64            `json:"address"`
}

// Restriction is one the practice agreed to: a category or a purpose.
// 45 CFR 164.522(a).
type Restriction struct {
	ID       int64  `json:"id"`
	Category string `json:"category,omitempty"`
	Purpose  string `json:"purpose,omitempty"`
}

// Authorization is a signed permission for a category, in force from SignedOn
// until the start of ExpiresOn on the patient's calendar. 45 CFR 164.508.
type Authorization struct {
	ID        int64  `json:"id"`
	Category  string `json:"category"`
	SignedOn  Date   `json:"signed_on"`
	ExpiresOn Date   `json:"expires_on"`
}

// AddressByID gives the address with this id, or nil.
func (s *Snapshot) AddressByID(id int64) *Address {
	for i := range s.Addresses {
		if s.Addresses[i].ID == id {
			return &s.Addresses[i]
		}
	}
	return nil
}

// Has says whether the patient has an address now: it is on the record, or named by
// the confidential instruction.
func (s *Snapshot) Has(a *Address) bool {
	return a.OnRecord || s.Confidential != nil && slices.ContainsFunc(s.Confidential.Only, func(p Pair) bool { return p.Address == a.ID })
}

// String gives the name used in the API.
func (s Standing) String() string { return [...]string{"active", "deceased", "erased"}[s] }

// ParseConsent reads a level as String writes it; anything else is NoConsent.
func ParseConsent(name string) Consent {
	for i, n := range consentNames {
		if n == name {
			return Consent(i)
		}
	}
	return NoConsent
}

// ParseLineType reads a line type as String writes it; anything else is unknown.
func ParseLineType(name string) LineType {
	for i, n := range lineTypeNames {
		if n == name {
			return LineType(i)
		}
	}
	return UnknownLine
}
