package fhir

import (
	"fmt"
	"slices"
	"strings"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
)

// standing is what a request asks for, its status and doNotPerform together.
type standing uint8

const (
	inForce standing = iota
	onHold           // nothing goes out for now
	ended            // nothing goes out any more
	idle             // a prohibition that is not in force: it changes nothing
)

// order is a CommunicationRequest as the gateway understands it.
type order struct {
	path     string
	names    []string
	replaces []string
	standing standing
	forbids  bool // doNotPerform
	whole    bool // not in force, and says everything that it would have asked for
	history  bool // completed elsewhere
	ask      dispatch.Request
	moment   time.Time // the one moment it is meant for; zero: none
	notes    []issue
}

// counts says whether it is in force, as a wish or as a prohibition: only then does it
// take the place of others.
func (o *order) counts() bool {
	return o.standing == inForce || o.forbids && o.standing == ended
}

// reading collects what is wrong with a resource, and what is to be told of it.
type reading struct {
	*Server
	world  world
	path   string
	issues []issue
}

func (r *reading) wrong(code r4.IssueType, element, words string) {
	r.issues = append(r.issues, wrong(code, r.path+element, words))
}

func (r *reading) note(element, words string) {
	r.issues = append(r.issues, note(r.path+element, words))
}

// order reads a CommunicationRequest. One that is not in force need not be whole: its
// names say what is to be taken back.
func (r *reading) order(in *r4.CommunicationRequest, raw []byte, key string) *order {
	o := &order{path: r.path, names: names(in.Id, in.Identifier, key), replaces: r.replaced(in.Replaces)}
	if problem := namesProblem(append(slices.Clone(o.names), o.replaces...)); problem != "" {
		r.wrong(r4.IssueTypeTooLong, ".identifier", problem)
	}
	o.standing, o.forbids = r.standing(in, raw), in.DoNotPerform != nil && *in.DoNotPerform
	if o.standing == inForce {
		r.fill(in, o)
	} else {
		if len(o.names)+len(o.replaces) == 0 {
			r.wrong(r4.IssueTypeRequired, ".identifier", "Nothing says which request this is: send its id or an identifier.")
		}
		whole := &reading{Server: r.Server, world: r.world, path: r.path}
		whole.fill(in, o)
		o.whole = len(o.names) > 0 && !hasErrors(whole.issues)
		o.history = in.Status == r4.RequestStatusCompleted
	}
	o.notes = r.issues
	return o
}

// fill reads what is asked for.
func (r *reading) fill(in *r4.CommunicationRequest, o *order) {
	o.ask.Patient = r.subject(in)
	o.ask.Channels = r.channels(in.Medium)
	o.ask.Urgent = in.Priority != nil && *in.Priority != r4.RequestPriorityRoutine
	r.occurrence(in, o)
	r.text(in, &o.ask)
	if len(o.names) > 0 {
		o.ask.Reference = o.names[0]
	}
}

// standing reads status and doNotPerform. The library takes a status that is not
// there for the first of the list.
func (r *reading) standing(in *r4.CommunicationRequest, raw []byte) standing {
	if !given(raw, "status") {
		r.wrong(r4.IssueTypeRequired, ".status", "Say whether the request is in force.")
		return ended
	}
	forbids := in.DoNotPerform != nil && *in.DoNotPerform
	switch in.Status {
	case r4.RequestStatusActive:
		if forbids {
			return ended
		}
		return inForce
	case r4.RequestStatusDraft, r4.RequestStatusOnHold:
		if forbids {
			return idle
		}
		return onHold
	case r4.RequestStatusUnknown:
		r.wrong(r4.IssueTypeBusinessRule, ".status", "Nobody knows whether this is in force, so nothing was changed: send it with its status.")
	}
	if forbids {
		return idle
	}
	return ended
}

// replaced reads which requests this one takes the place of.
func (r *reading) replaced(list []r4.Reference) []string {
	var found []string
	for i := range list[:min(len(list), maxNames)] {
		ref := &list[i]
		kind, id := typeAndID(text(ref.Reference))
		switch {
		case kind == request && id != "":
			found = append(found, byID(id))
		case ref.Identifier != nil && text(ref.Identifier.Value) != "":
			found = append(found, byIdentifier(ref.Identifier))
		default:
			r.note(fmt.Sprintf(".replaces[%d]", i), "Nothing says which request this is: it was passed over.")
		}
	}
	return found
}

// subject is the patient. A request for somebody else's eyes is never sent to the
// patient, nor one about the patient to anybody else.
func (r *reading) subject(in *r4.CommunicationRequest) string {
	if in.Subject == nil {
		r.wrong(r4.IssueTypeRequired, ".subject", "Say who it is: reference Patient/{the practice's id}, or identifier.value.")
		return ""
	}
	id, problem := r.world.patient(in.Subject)
	if problem != "" {
		r.wrong(r4.IssueTypeValue, ".subject", problem)
	}
	for i := range in.Recipient {
		if to, problem := r.world.patient(&in.Recipient[i]); problem != "" || to != id {
			r.wrong(r4.IssueTypeBusinessRule, fmt.Sprintf(".recipient[%d]", i), "The gateway writes to the patient that the request is about, and to nobody else.")
		}
	}
	return id
}

// channels narrows the ways to the media that are asked for.
func (r *reading) channels(media []r4.CodeableConcept) []channels.Channel {
	var list []channels.Channel
	var strange []int
	for i := range media {
		ways, understood := waysOf(&media[i])
		if !understood {
			strange = append(strange, i)
		}
		for _, way := range ways {
			if !slices.Contains(list, way) {
				list = append(list, way)
			}
		}
	}
	switch {
	case len(strange) > 0 && len(list) == 0:
		r.wrong(r4.IssueTypeNotSupported, ".medium", "None of these is a way that the gateway carries: SMSWRIT, EMAILWRIT, PHONE, or WRITTEN and VERBAL for what is below them.")
	case len(strange) > 0:
		for _, i := range strange {
			r.note(fmt.Sprintf(".medium[%d]", i), "The gateway does not carry this one: it goes by the others.")
		}
	}
	return list
}

// occurrence reads when it is to go.
func (r *reading) occurrence(in *r4.CommunicationRequest, o *order) {
	switch {
	case in.OccurrenceDateTime != nil && in.OccurrencePeriod != nil:
		r.wrong(r4.IssueTypeStructure, ".occurrence", "It is either a moment or a period.")
	case in.OccurrenceDateTime != nil:
		o.moment = r.moment(*in.OccurrenceDateTime, ".occurrence")
		o.ask.SendAt = o.moment
	case in.OccurrencePeriod != nil:
		if start := in.OccurrencePeriod.Start; start != nil {
			o.ask.SendAt = r.moment(*start, ".occurrence.start")
		}
		if end := in.OccurrencePeriod.End; end != nil {
			o.ask.Expires = r.moment(*end, ".occurrence.end")
		}
		if !o.ask.Expires.IsZero() && !o.ask.Expires.After(o.ask.SendAt) {
			r.wrong(r4.IssueTypeInvariant, ".occurrence", "The period ends before it begins.")
		}
	}
}

// moment reads an R4 dateTime that is one: a day alone does not say when.
func (r *reading) moment(said, element string) time.Time {
	at, err := time.Parse(time.RFC3339, said)
	if err != nil || len(said) < len("2006-01-02T15:04:05Z") || said[13] != ':' || strings.Contains(said, ",") {
		r.wrong(r4.IssueTypeValue, element, "Write a day and time with its offset, such as 2030-01-07T10:30:00-07:00.")
		return time.Time{}
	}
	return at
}

// text reads what it says: category, template and what the template is filled with.
func (r *reading) text(in *r4.CommunicationRequest, ask *dispatch.Request) {
	name, several := r.categoryOf(in.Category)
	switch {
	case several:
		r.wrong(r4.IssueTypeMultipleMatches, ".category", "It names several categories of the policy: which one decides what may be sent.")
		return
	case name == "":
		r.wrong(r4.IssueTypeCodeInvalid, ".category", "It names no category of the policy: send a coding of system "+systemCategory+", or the category's name as text.")
		return
	}
	ask.Category, ask.Template, ask.Variables = name, name, map[string]string{}
	for i := range in.Extension {
		r.extension(&in.Extension[i], fmt.Sprintf(".extension[%d]", i), ask)
	}
	if len(in.Payload) > 1 {
		r.wrong(r4.IssueTypeNotSupported, ".payload", "A message carries one payload.")
	}
	for i := range in.Payload[:min(len(in.Payload), 1)] {
		r.payload(&in.Payload[i], fmt.Sprintf(".payload[%d]", i), ask)
	}
}

// extension reads one of ours; others say nothing to the gateway.
func (r *reading) extension(x *r4.Extension, element string, ask *dispatch.Request) {
	switch x.Url {
	case extensionTemplate:
		ask.Template = text(x.ValueString)
		if ask.Template == "" {
			ask.Template = text(x.ValueCode)
		}
		if ask.Template == "" {
			r.wrong(r4.IssueTypeExtension, element, "It takes a template's name as valueString or valueCode.")
		}
	case extensionVariable:
		var name, value *string
		for i := range x.Extension {
			switch part := &x.Extension[i]; part.Url {
			case "name":
				name = valueOf(part)
			case "value":
				value = valueOf(part)
			}
		}
		if text(name) == "" || value == nil || gateway.TextProblem(*name, false) != "" {
			r.wrong(r4.IssueTypeExtension, element, "It takes two parts, name and value, each a text, an address, a day or a time.")
			return
		}
		ask.Variables[*name] = *value
	}
}

func valueOf(x *r4.Extension) *string {
	for _, v := range []*string{x.ValueString, x.ValueCode, x.ValueMarkdown, x.ValueUrl, x.ValueUri, x.ValueDate, x.ValueDateTime, x.ValueInstant} {
		if v != nil {
			return v
		}
	}
	return nil
}

// payload is the text of a template that takes one. What is sent is always an approved
// text: free text goes where the template has a place for it, and nowhere else.
func (r *reading) payload(p *r4.CommunicationRequestPayload, element string, ask *dispatch.Request) {
	if !isZero(p.ContentAttachment) || !isZero(p.ContentReference) {
		r.wrong(r4.IssueTypeNotSupported, element+".content", "The gateway carries text, and neither files nor references.")
		return
	}
	if p.ContentString == "" {
		return
	}
	if t, ok := r.Dispatcher.Templates().Get(ask.Template); ok {
		for _, v := range t.Variables {
			if v.Name == "text" {
				ask.Variables["text"] = p.ContentString
				return
			}
		}
		r.issues = append(r.issues, warn(r.path+element+".content", "The template takes no free text: this was left out, and the template's own words go."))
	}
}
