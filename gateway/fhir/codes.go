package fhir

import (
	"slices"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences/policy"
)

// The code systems and extensions that are ours.
const (
	systemCategory = "https://harmonize.care/heed/category"      // a category of the policy file
	systemChannel  = "https://harmonize.care/heed/channel"       // sms, voice or email
	systemCode     = "https://harmonize.care/heed/code"          // the rule that decided
	systemStatus   = "https://harmonize.care/heed/status"        // a message's status
	systemProvider = "https://harmonize.care/heed/provider-code" // what the provider said

	extensionTemplate = "https://harmonize.care/heed/template" // valueString: a template's name
	extensionVariable = "https://harmonize.care/heed/variable" // parts name and value
)

const (
	systemMode       = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
	systemIdentifier = "http://terminology.hl7.org/CodeSystem/v2-0203"
	recordNumber     = "MR" // of systemIdentifier
)

// modes are the codes of v3-ParticipationMode that name a way we carry, or stand above
// one. Letters, fax and meetings are no way of ours.
var modes = map[string][]channels.Channel{
	"SMSWRIT":   {channels.SMS},
	"EMAILWRIT": {channels.Email},
	"PHONE":     {channels.Voice},
	"WRITTEN":   {channels.Email, channels.SMS},
	"VERBAL":    {channels.Voice},
}

// modeOf is how a channel is told.
var modeOf = map[channels.Channel]string{channels.SMS: "SMSWRIT", channels.Email: "EMAILWRIT", channels.Voice: "PHONE"}

// waysOf gives the channels that a medium names; understood is false when none of its
// codes is one of ours.
func waysOf(medium *r4.CodeableConcept) (ways []channels.Channel, understood bool) {
	for _, c := range medium.Coding {
		switch text(c.System) {
		case systemMode:
			ways = append(ways, modes[text(c.Code)]...)
		case systemChannel:
			if ch, err := channels.ParseChannel(text(c.Code)); err == nil {
				ways = append(ways, ch)
			}
		}
	}
	return ways, len(ways) > 0
}

// Why a message that a CommunicationRequest asked for was taken back.
const (
	codeRevoked = "request_revoked"  // for good
	codeOnHold  = "request_on_hold"  // the request may come into force again
	codeInstead = "request_replaced" // another request took its place, for good
)

// sentences of the codes that are not the policy's.
var sentences = map[string]string{
	codeRevoked:        "The request was taken back.",
	codeOnHold:         "The request was put on hold.",
	codeInstead:        "Another request took its place.",
	dispatch.Replaced:  "Another message took its place.",
	dispatch.CalledOff: "The appointment does not take place as it stood.",
	"outcome_unknown":  "The provider never said what became of it.",
	"never_confirmed":  "The provider took it and never said that it arrived.",
	"not_heard":        "The call was answered, and the message was not heard.",
	"fax":              "Nobody who could listen answered the call.",
	"withheld":         "The rules had changed between the call and its answer.",
	"no_template":      "The text that it was to carry is not there.",
	"text_refused":     "The text cannot go out as it is filled in.",
	"lease_ended":      "The call to the provider did not end in its time.",
	"canceled":         "It was taken back before it went.",
}

// reasonOf tells why a message was not delivered: the rule or the provider's code, and
// the status that it ended in.
func reasonOf(m *gateway.Message, status string) *r4.CodeableConcept {
	code := m.Code
	if code == "" {
		code = status
	}
	system, sentence := systemCode, policy.Code(code).Sentence()
	if sentence == "" {
		sentence = sentences[code]
	}
	if sentence == "" {
		system, sentence = systemProvider, "The provider did not deliver it."
	}
	reason := &r4.CodeableConcept{Text: &sentence, Coding: []r4.Coding{{System: &system, Code: &code, Display: &sentence}, {System: ptr(systemStatus), Code: &status}}}
	if m.Status == gateway.NeedsStaff {
		reason.Text = ptr(sentence + " A person takes over.")
	}
	return reason
}

// categoryOf finds the category of ours that a resource names, by its code or by its
// name in words. Several different ones are none.
func (s *Server) categoryOf(list []r4.CodeableConcept) (name string, several bool) {
	var found []string
	add := func(n string) {
		if n != "" && !slices.Contains(found, n) {
			found = append(found, n)
		}
	}
	for _, concept := range list {
		for _, c := range concept.Coding {
			if text(c.System) == systemCategory {
				add(text(c.Code))
			}
		}
		if _, known := s.Dispatcher.Policy.Category(text(concept.Text)); known {
			add(text(concept.Text))
		}
	}
	switch len(found) {
	case 0:
		return "", false
	case 1:
		return found[0], false
	}
	return "", true
}
