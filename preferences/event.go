package preferences

import "harmonize.care/heed/channels"

// EventKind names what happened. The names stand in the ledger for six years
// and more: they never change.
type EventKind string

// The kinds of event on a patient.
const (
	ContactSet           EventKind = "contact_set"           // Contact
	ChoiceMade           EventKind = "choice_made"           // Choice
	ConsentGiven         EventKind = "consent_given"         // Address, Consent
	AddressVerified      EventKind = "address_verified"      // Address
	AddressBad           EventKind = "address_bad"           // Address
	AddressWrong         EventKind = "address_wrong_person"  // Address
	AddressLandline      EventKind = "address_not_textable"  // Address
	CareChannelsSet      EventKind = "care_channels_set"     // Care
	UnencryptedSet       EventKind = "unencrypted_set"       // Yes
	ConfidentialSet      EventKind = "confidential_set"      // Confidential, Extra
	ConfidentialEnded    EventKind = "confidential_ended"    //
	RestrictionAgreed    EventKind = "restriction_agreed"    // Restriction
	RestrictionEnded     EventKind = "restriction_ended"     // Ended
	AuthorizationSigned  EventKind = "authorization_signed"  // Authorization
	AuthorizationRevoked EventKind = "authorization_revoked" // Ended
	PatientErased        EventKind = "patient_erased"        //
)

// The kinds of event on a number or a mailbox. They belong to it, not to a patient.
const (
	NumberStopped EventKind = "stopped" // Programs
	NumberStarted EventKind = "started" // Programs
	TextReceived  EventKind = "received"
	SpamReported  EventKind = "spam_reported" // on a mailbox: an opt-out of everything non-essential
)

// Source says how a word of the patient reached us.
type Source string

// The sources.
const (
	FromStaff    Source = "staff"
	FromWeb      Source = "web"
	FromSMS      Source = "sms"
	FromVoice    Source = "voice"
	FromEmail    Source = "email"
	FromImport   Source = "import"
	FromProvider Source = "provider"
)

// Event is one entry of the consent ledger. Fields that its kind does not name
// are empty. Evidence is kept word for word and never folded.
type Event struct {
	ID            int64               `json:"-"`
	Kind          EventKind           `json:"-"`
	At            int64               `json:"-"` // when it was recorded, Unix microseconds
	Said          int64               `json:"said,omitempty"`
	Source        Source              `json:"source,omitempty"`
	Actor         string              `json:"actor,omitempty"` // the key's name or the provider, never a patient
	Contact       *Contact            `json:"contact,omitempty"`
	Choice        *Choice             `json:"choice,omitempty"`
	Address       int64               `json:"address,omitempty"`
	Consent       Consent             `json:"consent,omitempty"`
	Care          *CareChannels       `json:"care,omitempty"`
	Yes           bool                `json:"yes,omitempty"`
	Confidential  *Confidential       `json:"confidential,omitempty"`
	Extra         []ContactAddress    `json:"extra,omitempty"` // addresses a confidential instruction names that are not on the record
	Restriction   *Restriction        `json:"restriction,omitempty"`
	Authorization *Authorization      `json:"authorization,omitempty"`
	Ended         int64               `json:"ended,omitempty"`
	Programs      channels.ProgramSet `json:"programs,omitempty"`
	Note          string              `json:"note,omitempty"`
	Evidence      map[string]string   `json:"evidence,omitempty"`
}

// Contact is the contact record as it bears on the decision. Names live in the
// sealed part of the patient's row.
type Contact struct {
	Deceased  bool             `json:"deceased,omitempty"`
	BirthDate Date             `json:"birth_date"`
	Locale    string           `json:"locale,omitempty"`
	Zones     []string         `json:"zones,omitempty"`
	Addresses []ContactAddress `json:"addresses"`
}

// ContactAddress is one address of a contact record.
type ContactAddress struct {
	ID      int64         `json:"id"`
	Kind    channels.Kind `json:"kind"`
	Line    LineType      `json:"line,omitempty"`
	Rank    int16         `json:"rank"`
	Consent Consent       `json:"consent,omitempty"` // 0: not stated, which changes nothing
	Zones   []string      `json:"zones,omitempty"`
}
