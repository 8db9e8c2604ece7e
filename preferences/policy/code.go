package policy

import "fmt"

// Outcome is what becomes of a message.
type Outcome uint8

// The outcomes.
const (
	Send Outcome = iota + 1
	Defer
	Suppress
	NeedsStaff
)

var outcomeNames = [...]string{"", "send", "defer", "suppress", "needs_staff"}

// String gives the API's word.
func (o Outcome) String() string { return outcomeNames[o] }

// MarshalText writes the word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the word.
func (o *Outcome) UnmarshalText(b []byte) error { return index(outcomeNames[:], b, (*uint8)(o)) }

// Verdict is what the rules say of one pair.
type Verdict uint8

// The verdicts.
const (
	Allowed Verdict = iota + 1
	Deferred
	Refused
)

var verdictNames = [...]string{"", "allowed", "deferred", "refused"}

// String gives the API's word.
func (v Verdict) String() string { return verdictNames[v] }

// MarshalText writes the word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the word.
func (v *Verdict) UnmarshalText(b []byte) error { return index(verdictNames[:], b, (*uint8)(v)) }

// Content is the most a text may carry. 45 CFR 164.502(b), minimum necessary.
type Content uint8

// The contents.
const (
	None     Content = iota // nothing that ties the person to care
	Minimal                 // who, when, where to call
	Clinical                // anything more
)

var contentNames = [...]string{"none", "minimal", "clinical"}

// String gives the policy file's word.
func (c Content) String() string { return contentNames[c] }

// MarshalText writes the word.
func (c Content) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the word.
func (c *Content) UnmarshalText(b []byte) error { return index(contentNames[:], b, (*uint8)(c)) }

// Form is how much of the message goes out on the chosen pair.
type Form uint8

// The forms.
const (
	Full       Form = iota
	SecureLink      // only that something waits, behind a signed link
	CallBack        // by voice: who is calling and which number to call
)

var formNames = [...]string{"full", "secure_link", "call_back"}

// String gives the API's word.
func (f Form) String() string { return formNames[f] }

// MarshalText writes the word.
func (f Form) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the word.
func (f *Form) UnmarshalText(b []byte) error { return index(formNames[:], b, (*uint8)(f)) }

func index(names []string, b []byte, to *uint8) error {
	for i, n := range names {
		if n == string(b) {
			*to = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("not one of %q", names)
}

// Code names the rule that decided. Codes are stable.
type Code string

// The codes, in the order of the rules.
const (
	PatientUnknown       Code = "patient_unknown"
	PatientErased        Code = "patient_erased"
	PatientDeceased      Code = "patient_deceased"
	PatientMinor         Code = "patient_minor"
	PurposeRestricted    Code = "purpose_restricted"
	AuthorizationMissing Code = "authorization_missing"
	NoAddress            Code = "no_address"
	ChannelNotOffered    Code = "channel_not_offered"
	DeliveryFailed       Code = "delivery_failed" // fallback: this pair was tried
	ConfidentialOnly     Code = "confidential_only"
	AddressBad           Code = "address_bad"
	WrongPerson          Code = "wrong_person"
	NotTextable          Code = "not_textable"
	Stopped              Code = "stopped"
	OptedOut             Code = "opted_out"
	ConsentMissing       Code = "consent_missing"
	ChannelDeclined      Code = "channel_declined"
	ContentNotAllowed    Code = "content_not_allowed"
	QuietHours           Code = "quiet_hours"
	FrequencyCap         Code = "frequency_cap"
	NoAdapter            Code = "no_adapter"
	TooLate              Code = "too_late"
)

var sentences = map[Code]string{
	"":                   "Nothing stands against it.",
	PatientUnknown:       "No patient is known under this id.",
	PatientErased:        "The patient's record was erased.",
	PatientDeceased:      "The patient has died.",
	PatientMinor:         "The patient is under 18 on the record; the service is for adults.",
	PurposeRestricted:    "The practice agreed not to use the patient's information for this (45 CFR 164.522(a)).",
	AuthorizationMissing: "This needs the patient's signed authorization, and none is in force (45 CFR 164.508).",
	NoAddress:            "The patient has no address on any channel this message may use.",
	ChannelNotOffered:    "The request and the category share no channel.",
	DeliveryFailed:       "It was tried this way and did not arrive.",
	ConfidentialOnly:     "The patient asked to be reached only in certain ways, and this is not one of them (45 CFR 164.522(b)).",
	AddressBad:           "The address does not work.",
	WrongPerson:          "Somebody else answers at this address; it is held until verified.",
	NotTextable:          "This phone takes no texts.",
	Stopped:              "This person stopped texts and calls of this program (47 CFR 64.1200(a)(10)).",
	OptedOut:             "The patient's last word on this topic is an opt-out.",
	ConsentMissing:       "The consent on record is weaker than this needs (47 CFR 64.1200(a)(1)-(2)).",
	ChannelDeclined:      "The patient declined this channel for care.",
	ContentNotAllowed:    "The text carries more than may go this way (45 CFR 164.502(b), 164.504(e)).",
	QuietHours:           "It is outside the hours in which the patient may be texted or called (47 CFR 64.1200(c)(1)).",
	FrequencyCap:         "The patient got as many texts and calls of this program as the policy allows.",
	NoAdapter:            "No provider is set up for this channel.",
	TooLate:              "It would arrive after its time.",
}

// Sentence explains the code in plain words, with its source.
func (c Code) Sentence() string { return sentences[c] }
